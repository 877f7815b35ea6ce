"""Decide an expression over the verdicts of its attestors. Pure.

Thresholds count distinct signers (invariant 7): where several attestors are asked for, each needs a signer of its own, so one
key that two entries name counts once. What could not be asked is `unknown`, unless the rest is enough, or too little anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from sealgate.pairing import most
from sealgate.policy import model as models
from sealgate.policy.model import Attestor, Count, Listed, Static
from sealgate.verification.requirement import signer_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.policy.model import Exemption, Expression, Program, Rule
    from sealgate.verification.verdict import Verdict


class Outcome(NamedTuple):
    """What an expression came to."""

    outcome: Literal["accepted", "refused", "unknown"]
    code: str
    message: str
    hint: str | None = None


def decide(expression: Expression, verdicts: Mapping[str, Verdict], subject: Mapping[str, object]) -> Outcome:
    """Whether the expression is met by these verdicts (by the attestors' `identity`)."""
    if isinstance(expression, Attestor):
        verdict = verdicts[expression.identity]
        place = f"{expression.where}: " if expression.where else ""
        return Outcome(verdict.outcome, verdict.code, f"{place}{verdict.summary}", verdict.hint)
    if isinstance(expression, Static):
        if expression.passes:
            return Outcome("accepted", "accepted", expression.message or "admitted by a static policy")
        return Outcome("refused", "static-refusal", expression.message or "disallowed by a static policy")
    if isinstance(expression, Listed):
        return _listed(expression, subject)
    if isinstance(expression, Count):
        return _count(expression, verdicts, subject)
    if models.is_joint(expression):
        return Outcome("refused", "policy-not-met", "it is decided over whole workloads only")
    accepted = [each for each in expression.attestors if verdicts[each.identity].accepted]
    met, why = cast("Program", expression).decide(verdicts, subject)
    if met and accepted:
        return Outcome("accepted", "accepted", why)
    unknown = next(
        (found for each in expression.attestors if (found := verdicts[each.identity]).outcome == "unknown"), None
    )
    if unknown is not None:
        return Outcome("unknown", unknown.code, unknown.summary, unknown.hint)
    refused = next((verdicts[each.identity] for each in expression.attestors), None)
    if met or (refused is not None and not accepted):
        code, hint = (refused.code, refused.hint) if refused is not None else ("nothing-verified", None)
        detail = refused.summary if refused is not None else "the policy asks for no signature"
        return Outcome("refused", code, f"{why}: {detail}" if why else detail, hint)
    return Outcome("refused", "policy-not-met", why)


def hopeless(expression: Expression, subject: Mapping[str, object]) -> Outcome | None:
    """The refusal that the image's name alone leads to, whatever hangs on it; None: it depends on more than that.

    `subject["digest"]` is None where the name has none.
    """
    if isinstance(expression, Static):
        return None if expression.passes else decide(expression, {}, subject)
    if isinstance(expression, Listed):
        if expression.wanted and expression.digests and subject["digest"] is None:
            return None
        listed = _listed(expression, subject)
        return listed if listed.outcome == "refused" else None
    if not isinstance(expression, Count):
        return None
    lost = [found for part in expression.parts if (found := hopeless(part, subject)) is not None]
    if not lost or len(expression.parts) - len(lost) >= expression.needed:
        return None
    told = "; ".join(dict.fromkeys(outcome.message for outcome in lost))
    return lost[0]._replace(message=told)


def _listed(listed: Listed, subject: Mapping[str, object]) -> Outcome:
    from sealgate.policy import listing

    place = f"{listed.where}: " if listed.where else ""
    if listing.is_on(listed, subject) is listed.wanted:
        return Outcome("accepted", "accepted", f"{place}{'is' if listed.wanted else 'is not'} on the list")
    code = "image-not-listed" if listed.wanted else "image-denied"
    return Outcome("refused", code, f"{place}{listed.message}")


def _count(count: Count, verdicts: Mapping[str, Verdict], subject: Mapping[str, object]) -> Outcome:
    if not count.parts or count.needed < 1:
        return Outcome("refused", "nothing-required", "the policy requires nothing, which nothing can meet")
    if len(count.parts) == 1 == count.needed and isinstance(count.parts[0], Count):
        return _count(count.parts[0], verdicts, subject)  # one of one: sets in sets are how Kyverno writes them
    found = [(part, decide(part, verdicts, subject)) for part in count.parts]
    sure = _met(found, verdicts, frozenset({"accepted"}))
    if sure >= count.needed:
        good = [outcome.message for _, outcome in found if outcome.outcome == "accepted"]
        return Outcome("accepted", "accepted", "; ".join(dict.fromkeys(good)))
    failed = [outcome for _, outcome in found if outcome.outcome != "accepted"]
    unknown = [outcome for outcome in failed if outcome.outcome == "unknown"]
    if unknown and sure + len(unknown) >= count.needed:
        return Outcome("unknown", unknown[0].code, unknown[0].message, unknown[0].hint)
    refused = [outcome for outcome in failed if outcome.outcome == "refused"] or failed
    if not refused:
        message = f"{count.needed} different signers are asked for, and there are {sure}"
        return Outcome("refused", "too-few-signers", message)
    first = refused[0]
    if len(count.parts) == 1 or (count.needed == len(count.parts) and len(refused) == 1):
        return first
    told = "; ".join(dict.fromkeys(outcome.message for outcome in refused))
    return Outcome("refused", first.code, f"{sure} of {count.needed} asked for: {told}", first.hint)


def _met(found: list[tuple[Expression, Outcome]], verdicts: Mapping[str, Verdict], good: frozenset[str]) -> int:
    """How many parts hold at once: attestors with a signer each of their own, everything else by itself."""
    held = [part for part, outcome in found if outcome.outcome in good]
    signers: list[frozenset[object]] = []
    others = 0
    for part in held:
        if isinstance(part, Attestor):
            signers.append(frozenset(signer_id(each) for each in verdicts[part.identity].signatories))
        else:
            others += 1
    return others + most(signers)


def exempts(exemption: Exemption, rule: Rule) -> bool:
    """Whether an exception is from this rule: what is called alike in another dialect is not meant."""
    return (exemption.everywhere or exemption.dialect == rule.dialect) and any(
        named(policy, rule.policy) and named(name, rule.name) for policy, name in exemption.rules
    )


def named(pattern: str, name: str) -> bool:
    """Whether `*` and `?` in a pattern cover a name."""
    import fnmatch

    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
