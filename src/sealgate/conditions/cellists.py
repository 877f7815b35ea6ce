"""Lists and sets in CEL, as cel-go's extensions and Kubernetes have them: pure, linear or sorted, and bounded.

Elements are equal as in CEL: 1 is 1.0, and true is no number. Errors are `ValueError`s: the engine makes its own of them.

Source: cel-go, ext: Lists (version 3), Sets; Kubernetes, apiserver/pkg/cel/library: lists; Kyverno, pkg/cel/libs/transform.
"""

from __future__ import annotations

from typing import Any

from sealgate import limits


def _bounded(found: list[Any]) -> list[Any]:
    if len(found) > limits.PROGRAM_ITEMS:
        raise ValueError(f"the list has more than {limits.PROGRAM_ITEMS} elements")
    return found


def _key(value: Any, depth: int = 0) -> Any:
    """What two elements have in common that are equal."""
    if depth > limits.JSON_DEPTH:
        raise ValueError("it is nested too deep")
    if value is None or isinstance(value, bool):
        return ("word", value)
    if isinstance(value, (int, float)):
        return ("number", value)
    if isinstance(value, (bytes, bytearray)):
        return ("bytes", bytes(value))
    if isinstance(value, list):
        return ("list", tuple(_key(each, depth + 1) for each in value))
    if isinstance(value, dict):
        return ("map", frozenset((_key(name), _key(each, depth + 1)) for name, each in value.items()))
    return (type(value).__name__, value)


def _orderable(items: list[Any]) -> list[Any]:
    """Elements of one kind that has an order."""
    kinds = {_key(each)[0] for each in items}
    words = kinds == {"word"} and all(isinstance(each, bool) for each in items)
    if len(kinds) > 1 or not (words or kinds <= {"number", "str", "bytes", "datetime", "timedelta"}):
        raise ValueError("elements of different kinds, or without an order")
    return items


def index_of(items: list[Any], item: Any) -> int:
    """The first place of an element; -1."""
    keys = [_key(each) for each in items]
    wanted = _key(item)
    return keys.index(wanted) if wanted in keys else -1


def last_index_of(items: list[Any], item: Any) -> int:
    """The last place of an element; -1."""
    found = index_of(items[::-1], item)
    return -1 if found < 0 else len(items) - 1 - found


def is_sorted(items: list[Any]) -> bool:
    """Whether no element is less than the one before it."""
    return all(one <= other for one, other in zip(_orderable(items), items[1:], strict=False))


def total(items: list[Any]) -> Any:
    """The sum of numbers."""
    if any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in items):
        raise ValueError("only numbers are added up here")
    found = sum(items)
    if isinstance(found, int) and not -(2**63) <= found < 2**63:
        raise ValueError("the sum has more than 64 bits")
    return found


def least(items: list[Any]) -> Any:
    """The least element."""
    if not items:
        raise ValueError("the list is empty")
    return min(_orderable(items))


def greatest(items: list[Any]) -> Any:
    """The greatest element."""
    if not items:
        raise ValueError("the list is empty")
    return max(_orderable(items))


def ordered(items: list[Any]) -> list[Any]:
    """The elements in their order."""
    return sorted(_orderable(items))


def part(items: list[Any], start: int, end: int) -> list[Any]:
    """From one place to before another one."""
    if not 0 <= start <= end <= len(items):
        raise ValueError(f"there is no part from {start} to {end}")
    return items[start:end]


def flat(items: list[Any], depth: int = 1) -> list[Any]:
    """The elements of lists in the list, so many levels deep."""
    if depth < 0:
        raise ValueError("a depth is no negative number")
    found = items
    for _ in range(min(depth, limits.JSON_DEPTH)):
        if not any(isinstance(each, list) for each in found):
            break
        found = _bounded([each for item in found for each in (item if isinstance(item, list) else [item])])
    return found


def distinct(items: list[Any]) -> list[Any]:
    """Each element once, in their order."""
    found: dict[Any, Any] = {}
    for each in items:
        found.setdefault(_key(each), each)
    return list(found.values())


def backwards(items: list[Any]) -> list[Any]:
    """The last one first."""
    return items[::-1]


def numbers(count: int) -> list[int]:
    """0, 1, … so many."""
    if not 0 <= count <= limits.PROGRAM_ITEMS:
        raise ValueError(f"more than {limits.PROGRAM_ITEMS} elements, or fewer than none")
    return list(range(count))


def _keys(items: list[Any]) -> set[Any]:
    return {_key(each) for each in items}


def includes(items: list[Any], others: list[Any]) -> bool:
    """Whether every one of the others is there."""
    return _keys(others) <= _keys(items)


def equivalent(items: list[Any], others: list[Any]) -> bool:
    """Whether each is in the other one."""
    return _keys(items) == _keys(others)


def intersects(items: list[Any], others: list[Any]) -> bool:
    """Whether they have something in common."""
    return bool(_keys(items) & _keys(others))


def to_map(keys: list[Any], values: list[Any], key: str, value: str) -> dict[str, Any]:
    """A map of a member of one list's objects to a member of the other's."""
    if len(keys) != len(values):
        raise ValueError("the lists are of different lengths")
    found: dict[str, Any] = {}
    for one, other in zip(keys, values, strict=True):
        name = one.get(key) if isinstance(one, dict) else None
        if not isinstance(name, str) or not isinstance(other, dict):
            raise ValueError(f"an element is no object with a text {key}")  # noqa: TRY004 - as above
        found[name] = other.get(value)
    return found
