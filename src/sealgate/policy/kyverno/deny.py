"""`validate.deny` of Kyverno's `verifyImages`: what the attestations of an image must not say. Pure.

It sees attestations that were verified, each under the `name` that the policy gives it; where there is but one, its predicate
is also there without a name. Of several that were verified under one name, none may be denied: which of them is first is
nobody's to choose (weak where only the first is looked at). What has no answer denies.

Source: Kyverno, api/kyverno/v1/image_verification_types.go: ValidateImageVerification.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError, PolicyUnsupportedError, SealgateError
from sealgate.policy import model
from sealgate.policy.kyverno import conditions
from sealgate.policy.kyverno.expression import EvaluationError, Unknown
from sealgate.policy.kyverno.request import images

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields
    from sealgate.policy.kyverno.conditions import Block
    from sealgate.policy.kyverno.variables import Scope
    from sealgate.policy.model import Attestor, Expression
    from sealgate.verification.verdict import Verdict

_MOST = 256
"""Combinations of attestations that are looked at."""


class Deny(NamedTuple):
    """A `model.Program`."""

    groups: tuple[tuple[str | None, tuple[Attestor, ...]], ...]
    """The attestations that it sees: their name, and who must have attested them."""
    conditions: Block
    message: str
    scope: Scope
    where: str

    @property
    def attestors(self) -> tuple[Attestor, ...]:
        """Everybody whose attestations it sees."""
        return tuple({each.identity: each for _, group in self.groups for each in group}.values())

    def decide(self, verdicts: Mapping[str, Verdict], subject: Mapping[str, Any]) -> tuple[bool, str]:
        """Not denied, for every combination of what was verified."""
        seen = [[(name, each) for each in _predicates(group, verdicts)] for name, group in self.groups]
        if not all(seen):
            return False, f"{self.where}: an attestation that it looks at was not verified"
        combinations = list(itertools.islice(itertools.product(*seen), _MOST + 1))
        if len(combinations) > _MOST:
            return False, f"{self.where}: more than {_MOST} combinations of attestations"
        try:
            for combination in combinations:
                if self.conditions.holds(self.scope.data(_known(combination, subject), None), None):
                    return False, self.message
        except EvaluationError as error:
            return False, f"{self.where} has no answer: {error}"
        except PolicyUndecidedError as error:
            return False, f"{self.where} has no answer: {error.message}"
        return True, "not denied"


def _known(combination: tuple[tuple[str | None, Any], ...], subject: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if len(combination) == 1 and isinstance(combination[0][1], Mapping):
        found |= combination[0][1]
    document = subject.get("object")
    document = document if isinstance(document, Mapping) else {}
    request = {"object": document} | {
        name: Unknown(f"request.{name}")
        for name in ("userInfo", "operation", "namespace", "name", "oldObject", "roles")
    }
    found |= {"request": request, "images": images(document)}
    return found | {name: predicate for name, predicate in combination if name is not None}


def _predicates(group: tuple[Attestor, ...], verdicts: Mapping[str, Verdict]) -> list[Any]:
    """What was verified, each document once."""
    found: dict[bytes, Any] = {}
    for attestor in group:
        for report in verdicts[attestor.identity].signatures:
            if not report.accepted:
                continue
            try:
                statement = report.statement()
            except SealgateError:
                continue
            found[statement.raw] = statement.predicate
    return list(found.values())


def read(fields: Fields, named: list[tuple[str | None, tuple[Expression, ...]]], scope: Scope) -> Deny | None:
    """`validate` of a block; `named`: its attestations. Raises `PolicyInvalidError`."""
    validate = fields.fields("validate")
    if validate is None:
        return None
    message = validate.text("message") or "an attestation says what is denied"
    deny = validate.fields("deny")
    if deny is None:
        raise PolicyInvalidError(f"{validate.where}: deny is required", hint="deny: {conditions: …}")
    block = conditions.block(deny.take("conditions"), deny.at("conditions"))
    deny.end()
    validate.end()
    if not named:
        raise PolicyUnsupportedError(
            f"{validate.where} sees attestations, and none is asked for", hint="attestations, or a rule of its own"
        )
    names = [name for name, _ in named if name is not None]
    if len(set(names)) != len(names) or (len(named) > 1 and len(names) < len(named)):
        raise PolicyInvalidError(
            f"{validate.where}: each attestation that it looks at needs a name", hint="attestations[].name"
        )
    if any(each.timed() for each in conditions.variables([block])):
        raise PolicyUnsupportedError(f"{deny.where}: the time decides no denial here", hint="attestations[].conditions")
    groups = []
    for name, parts in named:
        group = {each.identity: each for part in parts for each in model.attestors(part)}
        groups.append((name, tuple(group.values())))
    return Deny(tuple(groups), block, message, scope, ".validate.deny")
