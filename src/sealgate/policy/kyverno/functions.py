"""How JMESPath is evaluated: the library's interpreter within bounds, and Kyverno's functions. Pure.

Every step costs, and so does every value that is made: an expression that doubles what it is given ends at the bound.
Functions that ask somebody, or give another answer each time, are not there.

Sources: JMESPath specification; Kyverno, pkg/engine/jmespath/functions.go.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar, cast

import jmespath.functions
import jmespath.visitor

from sealgate import limits, strictjson
from sealgate.errors import SealgateError
from sealgate.policy.kyverno import globs, quantities
from sealgate.policy.kyverno.expression import HOLE, EvaluationError, NoAnswerError, Unknown, as_text
from sealgate.policy.kyverno.semver import satisfies

_F = TypeVar("_F", bound=Callable[..., Any])


def _signature(*kinds: dict[str, list[str]]) -> Callable[[_F], _F]:
    """The types of a function's arguments."""
    return cast("Callable[[_F], _F]", jmespath.functions.signature(*kinds))


_TEXT = {"types": ["string"]}
_NUMBER = {"types": ["number"]}
_NUMBER_BITS = 1024
_ANY: dict[str, list[str]] = {"types": []}


class Interpreter(jmespath.visitor.TreeInterpreter):  # type: ignore[misc]  # the library has no types
    """The library's interpreter, for one evaluation: its steps are counted."""

    def __init__(self, now: float | None, holes: tuple[Any, ...]) -> None:
        super().__init__(jmespath.visitor.Options(custom_functions=Functions(now)))
        self._left = limits.POLICY_STEPS
        self._holes = holes

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """Any node."""
        self._pay(1)
        return super().visit(node, *args, **kwargs)

    def _pay(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise NoAnswerError(f"it takes more than {limits.POLICY_STEPS} steps")

    def _weigh(self, value: Any) -> Any:
        """Pay for every part of a value that was made."""
        waiting = [value]
        while waiting:
            self._pay(1)
            part = waiting.pop()
            if isinstance(part, Unknown):
                raise part.refuse()
            if isinstance(part, str):
                self._pay(len(part) >> 6)
            elif isinstance(part, list):
                self._pay(len(part))
                waiting += part
            elif isinstance(part, dict):
                self._pay(len(part))
                waiting += part.values()
        return value

    def visit_field(self, node: Any, value: Any) -> Any:
        """A member of an object. Raises `PolicyUndecidedError` for what is not known."""
        if isinstance(value, Unknown):
            raise value.refuse()
        found = value.get(self._fill(node["value"])) if isinstance(value, dict) else None
        if isinstance(found, Unknown):
            raise found.refuse()
        return found

    def visit_literal(self, node: Any, value: Any) -> Any:
        """A constant, with the values of inner variables."""
        return self._fill(node["value"])

    def _fill(self, text: Any) -> Any:
        """Values of inner variables in their places: as they are where they stand alone, else as text."""
        if not self._holes:
            return text
        if isinstance(text, list):
            return [self._fill(each) for each in text]
        if isinstance(text, dict):
            return {as_text(self._fill(name)): self._fill(each) for name, each in text.items()}
        if not isinstance(text, str):
            return text
        found = HOLE.fullmatch(text)
        if found is not None:
            return self._holes[int(found[1])]
        return HOLE.sub(lambda hole: as_text(self._holes[int(hole[1])]), text)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """It makes a list."""
        return self._weigh(super().visit_flatten(node, value))

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        """It makes a list."""
        return self._weigh(super().visit_multi_select_list(node, value))

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        """It makes an object."""
        return self._weigh(super().visit_multi_select_dict(node, value))

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """What is compared is paid for first: equal parts may be shared, and then it takes longer than they are large."""
        for child in node["children"]:
            self._weigh(super().visit(child, value))
        return super().visit_comparator(node, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        """It may make anything."""
        return self._weigh(super().visit_function_expression(node, value))


class Functions(jmespath.functions.Functions):  # type: ignore[misc]  # the library has no types
    """JMESPath's functions and Kyverno's."""

    def __init__(self, now: float | None) -> None:
        self._now = now

    def _clock(self) -> Fraction:
        if self._now is None:
            raise NoAnswerError("the time is not known here")
        return Fraction(int(self._now * 1000), 1000)

    # text

    @_signature(_TEXT)
    def _func_to_upper(self, text: str) -> str:
        return text.upper()

    @_signature(_TEXT)
    def _func_to_lower(self, text: str) -> str:
        return text.lower()

    @_signature(_TEXT, _TEXT)
    def _func_equal_fold(self, one: str, other: str) -> bool:
        return one.casefold() == other.casefold()

    @_signature(_TEXT, _TEXT)
    def _func_compare(self, one: str, other: str) -> int:
        return (one > other) - (one < other)

    @_signature(_TEXT, _TEXT)
    def _func_trim(self, text: str, cut: str) -> str:
        return text.strip(cut) if cut else text

    @_signature(_TEXT, _TEXT)
    def _func_trim_prefix(self, text: str, prefix: str) -> str:
        return text.removeprefix(prefix)

    @_signature(_TEXT, _TEXT)
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator) if separator else list(text)

    @_signature(_TEXT, _TEXT, _TEXT, _NUMBER)
    def _func_replace(self, text: str, old: str, new: str, count: float) -> str:
        return self._bounded(text, old, new, int(count))

    @_signature(_TEXT, _TEXT, _TEXT)
    def _func_replace_all(self, text: str, old: str, new: str) -> str:
        return self._bounded(text, old, new, -1)

    def _bounded(self, text: str, old: str, new: str, count: int) -> str:
        if (text.count(old) + 1) * len(new) + len(text) > limits.POLICY_TEXT_CHARS:
            raise NoAnswerError(f"a text becomes longer than {limits.POLICY_TEXT_CHARS} characters")
        return text.replace(old, new, count)

    @_signature(_TEXT, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> str:
        if len(separator) * len(texts) + sum(len(each) for each in texts) > limits.POLICY_TEXT_CHARS:
            raise NoAnswerError(f"a text becomes longer than {limits.POLICY_TEXT_CHARS} characters")
        return separator.join(texts)

    @_signature(_TEXT, _NUMBER)
    def _func_truncate(self, text: str, length: float) -> str:
        return text[: max(0, int(length))]

    @_signature(_TEXT)
    def _func_base64_decode(self, text: str) -> str:
        return base64.b64decode(text, validate=True).decode("utf-8")

    @_signature(_TEXT)
    def _func_base64_encode(self, text: str) -> str:
        return base64.b64encode(text.encode("utf-8")).decode("ascii")

    @_signature(_TEXT)
    def _func_sha256(self, text: str) -> str:
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @_signature({"types": ["string", "number", "boolean"]})
    def _func_to_boolean(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        text = as_text(value).lower()
        if text not in {"true", "false"}:
            raise EvaluationError(f"{text[:40]!r} is neither true nor false")
        return text == "true"

    @_signature(_TEXT)
    def _func_parse_json(self, text: str) -> Any:
        try:
            return strictjson.parse(text.encode("utf-8"), limit=limits.POLICY_TEXT_CHARS, what="the text")
        except SealgateError as error:
            raise EvaluationError(error.message) from error

    # patterns

    @_signature(_TEXT, {"types": ["string", "number"]})
    def _func_regex_match(self, pattern: str, text: Any) -> bool:
        return globs.compiled(pattern).search(as_text(text)) is not None

    @_signature(_TEXT, {"types": ["string", "number"]}, {"types": ["string", "number"]})
    def _func_regex_replace_all(self, pattern: str, text: Any, new: Any) -> str:
        return self._replaced(
            pattern, as_text(text), re.sub(r"\$\{?(\d)\}?", r"\\\1", as_text(new).replace("\\", "\\\\"))
        )

    @_signature(_TEXT, {"types": ["string", "number"]}, {"types": ["string", "number"]})
    def _func_regex_replace_all_literal(self, pattern: str, text: Any, new: Any) -> str:
        return self._replaced(pattern, as_text(text), as_text(new).replace("\\", "\\\\"))

    def _replaced(self, pattern: str, text: str, new: str) -> str:
        if (len(text) + 1) * (len(new) + 1) > limits.POLICY_TEXT_CHARS:
            raise NoAnswerError(f"a text could become longer than {limits.POLICY_TEXT_CHARS} characters")
        found = globs.compiled(pattern).sub(new, text)
        return found if isinstance(found, str) else str(found)

    @_signature(_TEXT, {"types": ["string", "number"]})
    def _func_pattern_match(self, pattern: str, text: Any) -> bool:
        return globs.matches(pattern, as_text(text))

    @_signature({"types": ["object"]}, {"types": ["object"]})
    def _func_label_match(self, wanted: dict[str, Any], labels: dict[str, Any]) -> bool:
        return all(name in labels and labels[name] == value for name, value in wanted.items())

    @_signature(_TEXT, _TEXT)
    def _func_semver_compare(self, version: str, wanted: str) -> bool:
        return satisfies(version, wanted)

    # numbers: plain ones, quantities, durations

    @_signature(_ANY, _ANY)
    def _func_add(self, one: Any, other: Any) -> Any:
        return _arithmetic(one, other, lambda a, b: a + b)

    @_signature(_ANY, _ANY)
    def _func_subtract(self, one: Any, other: Any) -> Any:
        return _arithmetic(one, other, lambda a, b: a - b)

    @_signature(_NUMBER, _NUMBER)
    def _func_multiply(self, one: Any, other: Any) -> Any:
        return _number(_fraction(one) * _fraction(other))

    @_signature(_NUMBER, _NUMBER)
    def _func_divide(self, one: Any, other: Any) -> Any:
        if not other:
            raise EvaluationError("a division by nothing")
        return _number(_fraction(one) / _fraction(other))

    @_signature(_NUMBER, _NUMBER)
    def _func_modulo(self, one: Any, other: Any) -> Any:
        if not other:
            raise EvaluationError("a division by nothing")
        return _number(_fraction(one) % _fraction(other))

    @_signature(_NUMBER, _NUMBER)
    def _func_round(self, value: Any, digits: Any) -> Any:
        return _number(round(_fraction(value), min(max(int(digits), 0), 12)))

    # lists and objects

    @_signature({"types": ["object", "array"]}, {"types": ["string", "number"]})
    def _func_lookup(self, where: Any, name: Any) -> Any:
        if isinstance(where, dict):
            return where.get(name) if isinstance(name, str) else None
        return where[int(name)] if isinstance(name, (int, float)) and 0 <= int(name) < len(where) else None

    @_signature({"types": ["object", "array"]}, _TEXT, _TEXT)
    def _func_items(self, value: Any, key: str, item: str) -> list[Any]:
        pairs = sorted(value.items()) if isinstance(value, dict) else enumerate(value)
        return [{key: name, item: each} for name, each in pairs]

    @_signature({"types": ["array"]}, {"types": ["array"]})
    def _func_object_from_lists(self, keys: list[Any], values: list[Any]) -> dict[str, Any]:
        padded = [*values, *[None] * len(keys)]
        return {as_text(key): value for key, value in zip(keys, padded, strict=False)}

    # time

    @_signature()
    def _func_time_now(self) -> str:
        return quantities.moment_text(self._clock())

    @_signature()
    def _func_time_now_utc(self) -> str:
        return quantities.moment_text(self._clock())

    @_signature(_TEXT, _TEXT, _TEXT)
    def _func_time_since(self, layout: str, start: str, end: str) -> str:
        until = _moment(layout, end) if end else self._clock()
        return quantities.duration_text(Fraction(int(until - _moment(layout, start))))

    @_signature(_TEXT, _TEXT)
    def _func_time_parse(self, layout: str, text: str) -> str:
        return quantities.moment_text(_moment(layout, text))

    @_signature(_TEXT)
    def _func_time_utc(self, text: str) -> str:
        return quantities.moment_text(_moment("", text))

    @_signature(_TEXT, _TEXT)
    def _func_time_add(self, text: str, more: str) -> str:
        seconds = quantities.duration(more)
        if seconds is None:
            raise EvaluationError(f"{more[:40]!r} is no duration")
        return quantities.moment_text(_moment("", text) + seconds)

    @_signature(_TEXT, _TEXT)
    def _func_time_diff(self, start: str, end: str) -> str:
        return quantities.duration_text(_moment("", end) - _moment("", start))

    @_signature(_TEXT, _TEXT)
    def _func_time_before(self, one: str, other: str) -> bool:
        return _moment("", one) < _moment("", other)

    @_signature(_TEXT, _TEXT)
    def _func_time_after(self, one: str, other: str) -> bool:
        return _moment("", one) > _moment("", other)

    @_signature(_TEXT, _TEXT, _TEXT)
    def _func_time_between(self, at: str, start: str, end: str) -> bool:
        return _moment("", start) < _moment("", at) < _moment("", end)


def _moment(layout: str, text: str) -> Fraction:
    if layout not in {"", "2006-01-02T15:04:05Z07:00"}:
        raise EvaluationError(f"times of the form {layout[:60]!r} are not read here; RFC 3339 is")
    found = quantities.moment(text)
    if found is None:
        raise EvaluationError(f"{text[:60]!r} is no time (RFC 3339)")
    return found


def _fraction(value: Any) -> Fraction:
    return Fraction(str(value))


def _number(value: Fraction | int) -> int | float:
    found = Fraction(value)
    if max(found.numerator.bit_length(), found.denominator.bit_length()) > _NUMBER_BITS:
        raise NoAnswerError("a number becomes too large")
    return int(found) if found.denominator == 1 else float(found)


def _arithmetic(one: Any, other: Any, compute: Any) -> Any:
    if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (one, other)):
        return _number(compute(_fraction(one), _fraction(other)))
    durations = [quantities.duration(each) if isinstance(each, str) else None for each in (one, other)]
    if None not in durations:
        return quantities.duration_text(compute(*durations))
    raise EvaluationError("that can be computed with numbers and durations only")
