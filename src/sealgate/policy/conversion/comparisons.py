"""Kyverno's conditions on attestations in CEL: those that mean the same there, value for value. Pure.

What has no answer there has none here, and both refuse: missing members, null, objects that are compared with texts. In `any`
one that has no answer refuses all of them, which CEL's `||` would not: they stand in a list, of which every element is asked.
Where an attestation writes numbers in another way than anybody does (`5.0` for a text, `5k` for a number), this refuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from sealgate.policy.conversion.grammars import lost
from sealgate.policy.kyverno import conditions, globs, quantities
from sealgate.policy.kyverno.expression import HOLE, as_text
from sealgate.policy.kyverno.variables import Variable

if TYPE_CHECKING:
    from sealgate.policy.kyverno.conditions import Condition

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    "as break const continue else false for function if import in let loop namespace null package return true var void "
    "while".split()
)
_NONE = "[''][1]"
"""What has no answer."""
_NUMBER = "^[+-]?[0-9]{1,18}([.][0-9]{1,9})?$"
_ORDERS = {
    "greaterthan": ">", "greaterthanorequals": ">=", "lessthan": "<", "lessthanorequals": "<=",
    "durationgreaterthan": ">", "durationgreaterthanorequals": ">=", "durationlessthan": "<",
    "durationlessthanorequals": "<=",
}  # fmt: skip
_MEMBERS = {
    "in": "all(e, e)", "allin": "all(e, e)", "anyin": "exists(e, e)", "notin": "all(e, !e)", "allnotin": "all(e, !e)",
    "anynotin": "exists(e, !e)",
}  # fmt: skip
_RANGE = re.compile(r"!?\s*-?\d+(\.\d+)?\s*-\s*-?\d+(\.\d+)?")


def convert(value: object, where: str) -> str:
    """One expression for `any` and `all`. Raises `PolicyUnsupportedError` for what CEL does not say alike."""
    found = conditions.block(value, where)
    parts = [_condition(each, strict=False) for each in found.every]
    some = found.some or ()
    if len(some) == 1:
        parts.append(_condition(some[0], strict=False))
    elif some:
        inner = ", ".join(_condition(each, strict=True) for each in some)
        parts.append(f"[{inner}].exists(e, e)")
    return " && ".join(parts if len(parts) == 1 else (f"({each})" for each in parts))


def _condition(each: Condition, *, strict: bool) -> str:
    """`strict`: null is an error, not false."""
    variable = each.key.value[0] if isinstance(each.key.value, tuple) and len(each.key.value) == 1 else None
    if not isinstance(variable, Variable):
        lost(f"{each.where}.key", "a key that is not one variable alone")
    if each.value.variables():
        lost(f"{each.where}.value", "a variable in a value", "write the value itself")
    where = f"{each.where}.key"
    tree = variable.expression.tree
    if tree["type"] == "function_expression":
        return _called(tree, variable, each)
    key = _path(tree, where)
    if strict:
        key = f"[{key}][{key} == null ? 1 : 0]"
    return _compared(key, each)


# -- keys


def _path(node: Mapping[str, Any], where: str) -> str:
    """Members of members, and elements of lists by their number."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return f"predicate{_member(node['value'])}"
    if kind in {"subexpression", "index_expression"} and children:
        found = _path(children[0], where)
        for step in children[1:]:
            if step["type"] == "field":
                found += _member(step["value"])
            elif step["type"] == "index" and step["value"] >= 0:
                found += f"[{step['value']}]"
            elif step["type"] == "index_expression" and step["children"][0]["type"] == "field":
                found += _steps(step, where)
            else:
                _beyond(where)
        return found
    return _beyond(where)


def _steps(node: Mapping[str, Any], where: str) -> str:
    field, *indexes = node["children"]
    if any(each["type"] != "index" or each["value"] < 0 for each in indexes):
        _beyond(where)
    return _member(field["value"]) + "".join(f"[{each['value']}]" for each in indexes)


def _member(name: str) -> str:
    if _NAME.fullmatch(name) is not None and name not in _RESERVED:
        return f".{name}"
    return f"[{_text(name)}]"


def _beyond(where: str) -> NoReturn:
    lost(
        where,
        "an expression beyond members of the predicate",
        "converted are paths, length, regex_match and time_since to now",
    )


def _called(node: Mapping[str, Any], variable: Variable, each: Condition) -> str:
    """`length`, `regex_match` and `time_since` of a path."""
    where = f"{each.where}.key"
    name, arguments = node["value"], node["children"]

    def path(argument: Mapping[str, Any]) -> str:
        if argument["type"] == "literal":
            hole = HOLE.fullmatch(argument["value"]) if isinstance(argument["value"], str) else None
            if hole is None:
                _beyond(where)
            inner = variable.inner[int(hole[1])]
            if inner.inner:
                _beyond(where)
            return _path(inner.expression.tree, where)
        return _path(argument, where)

    def literal(argument: Mapping[str, Any]) -> str:
        value = argument.get("value") if argument["type"] == "literal" else None
        if not isinstance(value, str) or HOLE.search(value) is not None:
            _beyond(where)
        return value

    if name == "length" and len(arguments) == 1:
        return _compared(f"dyn(size({path(arguments[0])}))", each)
    value = each.value.value
    if name == "regex_match" and len(arguments) == 2:
        if not isinstance(value, bool) or each.operator not in {"equal", "equals", "notequal", "notequals"}:
            lost(each.where, "a comparison of true or false with something else")
        found = path(arguments[1])
        # Numbers are texts there; whatever else is no text has no answer.
        text = f"(type({found}) == int ? string({found}) : {found})"
        wanted = value == each.operator.startswith("equal")
        return f"{'' if wanted else '!'}{text}.matches({_text(literal(arguments[0]))})"
    if name == "time_since" and len(arguments) == 3 and literal(arguments[0]) == literal(arguments[2]) == "":
        seconds = quantities.duration(value) if isinstance(value, str) else None
        order = _ORDERS.get(each.operator)
        if seconds is None or order is None or seconds.denominator != 1:
            lost(each.where, "a comparison of a duration with something else", "LessThanOrEquals: 168h")
        return f"(now - timestamp(string({path(arguments[1])}))) {order} duration('{seconds}s')"
    _beyond(where)


# -- comparisons


def _compared(key: str, each: Condition) -> str:
    value, operator = each.value.value, each.operator
    if _is_number(value) and not abs(value) <= 2**53:  # NaN is neither
        lost(f"{each.where}.value", "a number that is not exact everywhere")
    if operator in _MEMBERS:
        return _among(key, value, each)
    if operator in _ORDERS:
        if not operator.startswith("duration") and _is_number(value):
            return f"{_numeric(key)} {_ORDERS[operator]} {_double(value)}"
        lost(f"{each.where}.value", "an order of durations, quantities or versions", "numbers are converted")
    equal = _equal(key, value, each)
    if not operator.startswith("not"):
        return equal
    if _is_number(value):  # a text that begins as a number, and is none as it stands, may be the same in another unit
        begins = f"type({key}) == string && {key}.matches('^[+-]?[0-9]') && !{key}.matches({_text(_NUMBER)})"
        equal = f"({begins}) || {equal}"
    return f"{key} != null && !({equal})"


def _numeric(key: str) -> str:
    """A number, also one that is written as text; anything else has no answer."""
    return f"(type({key}) == string ? double({key}.matches({_text(_NUMBER)}) ? {key} : '') : {key})"


def _equal(key: str, value: Any, each: Condition) -> str:
    if isinstance(value, bool):
        return f"{key} == {'true' if value else 'false'}"
    if _is_number(value):
        double = _double(value)
        return f"(type({key}) == string ? ({key}.matches({_text(_NUMBER)}) && double({key}) == {double}) : {key} == {double})"
    text = _plain(value, each)
    if globs.is_wild(text):
        said = f"type({key}) == string ? {key} : type({key}) == int ? string({key}) : type({key}) == double ? {_NONE} : '\\n'"
        return f"({said}).matches({_regexp(text, each)})"
    return f"{key} == {_text(text)}"


def _regexp(pattern: str, each: Condition) -> str:
    if not pattern.strip("*?"):  # the line end that stands for what is no text would fit
        lost(f"{each.where}.value", f"what {pattern!r} covers")
    return _text(f"^{globs.regexp(pattern)}$")


def _plain(value: Any, each: Condition) -> str:
    """A text that is nothing but a text there: no duration, no quantity, no list."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        lost(f"{each.where}.value", "a comparison with null, a list or an object")
    numbers = quantities.duration(value) is not None or quantities.quantity(value) is not None
    if numbers or _is_float(value):
        lost(f"{each.where}.value", f"that {value!r} is a duration or a quantity, too")
    return value


def _among(key: str, value: Any, each: Condition) -> str:
    """Of every element of the key (or of it alone), whether it is among the values: compared as texts."""
    found = conditions.listed(value)
    if any(isinstance(one, (bool, list, Mapping)) or one is None for one in found):
        lost(f"{each.where}.value", "lists with something beside texts and numbers")
    texts = [as_text(one) for one in found]
    for text in texts:
        if _RANGE.fullmatch(text) is not None or (_is_float(text) and not _is_number_text(text)):
            lost(f"{each.where}.value", f"that {text!r} is a range or a number, too")
    plain = [text for text in texts if not globs.is_wild(text)]
    tests = [f"t in [{', '.join(_text(text) for text in plain)}]"] if plain else []
    tests += [f"t.matches({_text(f'^{globs.regexp(text)}$')})" for text in texts if globs.is_wild(text)]
    member = " || ".join(tests) or "false"
    text = f"type(x) == string ? x : type(x) == double ? {_NONE} : string(x)"
    one = f"type(x) == bool || type(x) == null_type ? false : cel.bind(t, {text}, {member})"
    listed = f"(type({key}) == list ? {key} : [{key}]).map(x, {one}).{_MEMBERS[each.operator]}"
    return f"{key} != null && {listed}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_number_text(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,15}", text) is not None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _double(value: float) -> str:
    """A literal of CEL with a point, so that whole numbers compare with it too."""
    return json.dumps(float(value))


def _text(value: str) -> str:
    """A literal of CEL: JSON's escapes are CEL's."""
    return json.dumps(value, ensure_ascii=False)
