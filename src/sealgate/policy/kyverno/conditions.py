"""Kyverno's conditions, `{key, operator, value}` in `any` and `all`: of rules, of attestations, of `deny`. Pure.

Patterns are the policy's values alone: what an object or an attestation says is never read as one. What cannot be compared
has no answer, and no answer is a refusal: a condition that is false by accident would let a rule, or a denial, fall away.

Source: Kyverno, api/kyverno/v1: Condition; pkg/engine/variables/operator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError, SealgateError
from sealgate.policy.fields import Fields
from sealgate.policy.kyverno import globs, quantities, semver
from sealgate.policy.kyverno.expression import EvaluationError, as_text
from sealgate.policy.kyverno.variables import Template, template
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from sealgate.evidence.statement import Statement
    from sealgate.policy.kyverno.variables import Scope, Variable

_RANGE = re.compile(r"(!?)\s*(-?\d{1,18}(?:\.\d{1,9})?)\s*-\s*(-?\d{1,18}(?:\.\d{1,9})?)")
_SCALARS = (str, int, float, bool)


class Condition(NamedTuple):
    """One comparison."""

    key: Template
    operator: str
    value: Template
    message: str | None
    where: str

    def holds(self, data: Mapping[str, Any], now: float | None, *, missing: str | None) -> bool:
        """Raises `EvaluationError` when it has no answer, `PolicyUndecidedError` when what decides is not known."""
        key = self.key.fill(data, now, missing=missing)
        value = self.value.fill(data, now, missing=missing)
        try:
            return _OPERATORS[self.operator](key, value)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise EvaluationError(f"{self.where}: {str(error)[:200]}") from error
        except PolicyInvalidError as error:
            raise EvaluationError(f"{self.where}: {error.message}") from error


class Block(NamedTuple):
    """`any` and `all`: both must hold; an absent one does."""

    some: tuple[Condition, ...] | None
    every: tuple[Condition, ...]

    def holds(self, data: Mapping[str, Any], now: float | None, *, missing: str | None = None) -> bool:
        """As `Condition.holds`."""
        return self.unmet(data, now, missing=missing) is None

    def unmet(self, data: Mapping[str, Any], now: float | None, *, missing: str | None = None) -> str | None:
        """Why it does not hold, or None."""
        for condition in self.every:
            if not condition.holds(data, now, missing=missing):
                return condition.message or f"{condition.where} does not hold"
        if self.some is None or any([each.holds(data, now, missing=missing) for each in self.some]):  # noqa: C419 - all are asked
            return None
        messages = [each.message for each in self.some if each.message]
        return "; ".join(messages) or f"none of {self.some[0].where.rpartition('[')[0]} holds"

    def conditions(self) -> tuple[Condition, ...]:
        """All of them."""
        return (*(self.some or ()), *self.every)


def block(value: object, where: str) -> Block:
    """`{any: […], all: […]}`, or the list of older policies, which means `all`. Raises `PolicyInvalidError`."""
    if isinstance(value, list):
        if value and all(isinstance(each, Mapping) and ("any" in each or "all" in each) for each in value):
            parts = [block(each, f"{where}[{index}]") for index, each in enumerate(value)]
            if sum(part.some is not None for part in parts) > 1:
                raise PolicyUnsupportedError(f"{where}: several blocks with any", hint="write them as one")
            some = next((part.some for part in parts if part.some is not None), None)
            return Block(some, tuple(each for part in parts for each in part.every))
        value = {"all": value}
    fields = Fields(value, where)
    some = tuple(_condition(each) for each in fields.objects("any"))
    every = tuple(_condition(each) for each in fields.objects("all"))
    if not some and not every:
        raise PolicyInvalidError(f"{where} demands nothing", hint="any or all, with conditions")
    return fields.done(Block(some or None, every))


def _condition(fields: Fields) -> Condition:
    if not fields.has("key"):
        fields.missing("key")
    key = template(fields.take("key"), fields.at("key"))
    operator = fields.required_text("operator").lower()
    if operator not in _OPERATORS:
        raise PolicyInvalidError(
            f"{fields.at('operator')} is {operator!r}",
            hint="Equals, NotEquals, AnyIn, AllIn, AnyNotIn, AllNotIn, GreaterThan, …",
        )
    value = template(fields.take("value"), fields.at("value"))
    return fields.done(Condition(key, operator, value, fields.text("message"), fields.where))


def variables(blocks: Sequence[Block]) -> list[Variable]:
    """Every variable in these conditions."""
    return [
        found
        for each in blocks
        for condition in each.conditions()
        for part in (condition.key, condition.value)
        for found in part.variables()
    ]


class OnPredicate(NamedTuple):
    """Conditions on an attestation's predicate: a `verification.attestation.Condition`."""

    blocks: tuple[Block, ...]
    scope: Scope
    timed: bool
    """Whether the time decides. They see it in whole seconds: so long what they say holds."""
    now: float | None = None

    @property
    def dated(self) -> bool:
        """That its findings say until when they hold."""
        return True

    def at(self, now: float) -> OnPredicate:
        """The same conditions at a time."""
        return self._replace(now=float(math.floor(now))) if self.timed else self

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """One finding: all of them are met, or the first that is not."""
        found = self._judge(statement)
        return [found if self.now is None else found._replace(until=self.now + 1.0)]

    def _judge(self, statement: Statement) -> Finding:
        predicate = statement.predicate
        if not isinstance(predicate, Mapping):
            return Finding("condition-error", "failed", "has a predicate that is no object")
        data = self.scope.data(predicate, self.now)
        try:
            for each in self.blocks:
                unmet = each.unmet(data, self.now)
                if unmet is not None:
                    return Finding("condition-failed", "failed", f"does not meet the policy: {unmet}")
        except EvaluationError as error:
            return Finding("condition-error", "failed", f"cannot be judged by the policy: {error}")
        return Finding("condition-met", "passed", "meets the conditions of the policy")


def on_predicate(fields: Fields, scope: Scope) -> OnPredicate | None:
    """`conditions` of an attestation; None when absent. Raises `PolicyInvalidError`."""
    if not fields.has("conditions"):
        return None
    blocks = tuple(block(value, where) for value, where in fields.items("conditions"))
    if not blocks:
        raise PolicyInvalidError(f"{fields.at('conditions')} demands nothing", hint="leave it out")
    found = variables(blocks)
    root = scope.depends_on_object(found)
    if root is not None:
        raise PolicyUnsupportedError(
            f"{fields.at('conditions')} depends on the object under review ({root})",
            hint="conditions see the predicate alone",
        )
    return OnPredicate(blocks, scope, any(each.timed() for each in found))


# -- operators


def _equals(key: Any, value: Any) -> bool:
    if isinstance(key, bool) or isinstance(value, bool):
        return isinstance(key, bool) and isinstance(value, bool) and key is value
    if isinstance(key, (Mapping, list)) or isinstance(value, (Mapping, list)):
        return _same(key, value)
    numbers = _comparable(key, value)
    if numbers is not None:
        return bool(numbers[0] == numbers[1])
    if key is None or value is None:
        return key is value
    return globs.matches(as_text(value), as_text(key))


def _same(key: Any, value: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and true is no number."""
    if isinstance(key, bool) or isinstance(value, bool):
        return isinstance(key, bool) and isinstance(value, bool) and key is value
    if isinstance(key, Mapping) and isinstance(value, Mapping):
        return key.keys() == value.keys() and all(_same(item, value[name]) for name, item in key.items())
    if isinstance(key, list) and isinstance(value, list):
        return len(key) == len(value) and all(_same(one, other) for one, other in zip(key, value, strict=True))
    return bool(key == value)


def _comparable(key: Any, value: Any) -> tuple[Any, Any] | None:
    """Both as numbers, durations, quantities or versions; None where they are not of one kind."""
    plain = [each for each in (key, value) if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if len(plain) == 2:
        return Fraction(str(key)), Fraction(str(value))
    texts = [each if isinstance(each, str) else str(each) for each in (key, value)]
    if any(isinstance(each, bool) or not isinstance(each, _SCALARS) for each in (key, value)):
        return None
    for read in (quantities.duration, quantities.quantity):
        found = [read(text) for text in texts]
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    return None


def _ordered(key: Any, value: Any) -> tuple[Any, Any]:
    found = _comparable(key, value)
    if found is not None:
        return found
    versions = [semver.parse(each) if isinstance(each, str) else None for each in (key, value)]
    if versions[0] is not None and versions[1] is not None:
        return versions[0], versions[1]
    raise EvaluationError(f"{as_text(key)[:60]!r} and {as_text(value)[:60]!r} cannot be compared")


def _durations(key: Any, value: Any) -> tuple[Fraction, Fraction]:
    found = []
    for each in (key, value):
        seconds = None
        if isinstance(each, str):
            seconds = quantities.duration(each)
        elif isinstance(each, (int, float)) and not isinstance(each, bool):
            seconds = Fraction(str(each))
        if seconds is None:
            raise EvaluationError(f"{as_text(each)[:60]!r} is no duration")
        found.append(seconds)
    return found[0], found[1]


def _members(key: Any, value: Any) -> list[bool]:
    """Of every element of the key, whether it is among the values."""
    keys = key if isinstance(key, list) else [key]
    values = listed(value)
    if any(isinstance(each, (Mapping, list)) for each in (*keys, *values)):
        raise EvaluationError("lists and objects in lists cannot be looked for")
    if len(keys) * len(values) > limits.POLICY_STEPS:
        raise EvaluationError(f"it takes more than {limits.POLICY_STEPS} steps")
    return [any(_among(one, each) for each in values) for one in keys]


def listed(value: Any) -> list[Any]:
    """A list, also where it is written as one text (in a ConfigMap); anything else is a list of one."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = strictjson.parse(value.encode(), limit=limits.POLICY_TEXT_CHARS, what="the list")
        except SealgateError:
            return [value]
        return found if isinstance(found, list) else [value]
    return [value]


def _among(key: Any, value: Any) -> bool:
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is not None and isinstance(key, (int, float)) and not isinstance(key, bool):
        inside = Fraction(found[2]) <= Fraction(str(key)) <= Fraction(found[3])
        return inside != bool(found[1])
    if isinstance(key, bool) or isinstance(value, bool) or key is None or value is None:
        return type(key) is type(value) and key == value
    return globs.matches(as_text(value), as_text(key))


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": _equals,
    "equals": _equals,
    "notequal": lambda key, value: not _equals(key, value),
    "notequals": lambda key, value: not _equals(key, value),
    "in": lambda key, value: all(_members(key, value)),
    "anyin": lambda key, value: any(_members(key, value)),
    "allin": lambda key, value: all(_members(key, value)),
    "notin": lambda key, value: not any(_members(key, value)),
    "anynotin": lambda key, value: not all(_members(key, value)),
    "allnotin": lambda key, value: not any(_members(key, value)),
    "greaterthan": lambda key, value: _greater(*_ordered(key, value)),
    "greaterthanorequals": lambda key, value: not _less(*_ordered(key, value)),
    "lessthan": lambda key, value: _less(*_ordered(key, value)),
    "lessthanorequals": lambda key, value: not _greater(*_ordered(key, value)),
    "durationgreaterthan": lambda key, value: _greater(*_durations(key, value)),
    "durationgreaterthanorequals": lambda key, value: not _less(*_durations(key, value)),
    "durationlessthan": lambda key, value: _less(*_durations(key, value)),
    "durationlessthanorequals": lambda key, value: not _greater(*_durations(key, value)),
}


def _greater(one: Any, other: Any) -> bool:
    return bool(one > other)


def _less(one: Any, other: Any) -> bool:
    return bool(one < other)
