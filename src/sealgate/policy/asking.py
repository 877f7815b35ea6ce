"""With whose credentials images are asked for: those that a rule or an attestor names, before whatever else there is.

What was found with one rule's credentials counts for that rule alone: each set of credentials is a judge of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import CredentialsUnavailableError, ForbiddenError, ImageNotFoundError, UnauthorizedError
from sealgate.transport import flow
from sealgate.verification import verdict as verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealgate.digest import Digest
    from sealgate.errors import PullSecretError, SealgateError
    from sealgate.oci.reference import Reference
    from sealgate.policy.evaluate import Judge
    from sealgate.policy.model import Attestor, Rule
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.verification.verdict import Verdict


def problem(rule: Rule) -> PullSecretError | None:
    """Why a rule's credentials cannot be had: nothing may be asked for it then, not even as somebody else."""
    return rule.keyring.problem if rule.keyring is not None else None


async def resolve(judge: Judge, rules: Sequence[Rule], reference: Reference) -> Digest:
    """What a reference means to the first of these rules whose credentials may see it. Raises as `Judge.resolve`."""
    refused: SealgateError | None = None
    for keyring in dict.fromkeys(rule.keyring for rule in rules):
        try:
            return await under(judge, keyring).resolve(reference)
        except (UnauthorizedError, ForbiddenError, ImageNotFoundError, CredentialsUnavailableError) as error:
            # Others may see more.
            refused = refused or error
    if refused is None:
        return await judge.resolve(reference)
    raise refused


async def verdicts_of(
    judge: Judge, rules: Sequence[Rule], attestors: Callable[[Rule], tuple[Attestor, ...]], reference: Reference,
    digest: Digest, *, now: float,
) -> list[dict[str, Verdict]]:  # fmt: skip
    """For each rule, the verdicts of its attestors by their identity, each with the credentials that it names."""
    wanted: dict[PullSecrets | None, dict[str, Attestor]] = {}
    for rule in rules:
        for each in attestors(rule):
            wanted.setdefault(_keyring(each, rule), {}).setdefault(each.identity, each)

    async def ask(keyring: PullSecrets | None, asked: dict[str, Attestor]) -> dict[str, Verdict]:
        if keyring is not None and keyring.problem is not None:
            error = keyring.problem
            return {
                identity: verdicts.from_error(str(reference), reference.name, error, each.wanted.describe())
                for identity, each in asked.items()
            }
        found = await under(judge, keyring).verdicts(reference, digest, tuple(asked.values()), now=now)
        return dict(zip(asked, found, strict=True))

    if len(wanted) == 1:
        [(keyring, asked)] = wanted.items()
        found = {keyring: await ask(keyring, asked)}
    else:
        answers = await flow.gather([ask(keyring, asked) for keyring, asked in wanted.items()])
        found = dict(zip(wanted, answers, strict=True))
    return [{each.identity: found[_keyring(each, rule)][each.identity] for each in attestors(rule)} for rule in rules]


def _keyring(attestor: Attestor, rule: Rule) -> PullSecrets | None:
    return attestor.keyring if attestor.keyring is not None else rule.keyring


def under(judge: Judge, keyring: PullSecrets | None) -> Judge:
    """The judge that asks with these credentials first."""
    return judge if keyring is None else judge.under(keyring)
