"""A JSON document from outside and its members, each read once and with a check of its type."""

from __future__ import annotations

from typing import Any

from sealgate import strictjson
from sealgate.errors import ContentError, JsonInvalidError


def parse(raw: bytes, *, limit: int, what: str, error: type[ContentError]) -> dict[str, Any]:
    """The object in `raw`. Raises `error` (not JSON, not an object), `JsonAmbiguousError` or `LimitError`."""
    try:
        return strictjson.parse_object(raw, limit=limit, what=what)
    except JsonInvalidError as problem:
        raise error(problem.message) from problem


def as_object(value: object, *, what: str, error: type[ContentError]) -> dict[str, Any]:
    """`value`, if it is an object."""
    if not isinstance(value, dict):
        raise error(f"{what} is not an object")
    return value


def as_list(value: object, *, what: str, error: type[ContentError]) -> list[Any]:
    """`value`, if it is a list."""
    if not isinstance(value, list):
        raise error(f"{what} is not a list")
    return value


def as_text(value: object, *, what: str, error: type[ContentError]) -> str:
    """`value`, if it is a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise error(f"{what} is missing, empty or not a string")
    return value


def known_only(document: dict[str, Any], names: frozenset[str], *, what: str, error: type[ContentError]) -> None:
    """Raise `error` for a member that is not one of `names`: two programs must not read two things (E13)."""
    if document.keys() <= names:
        return
    for name in document:
        if name not in names:
            raise error(f"{what} has an unknown field {ascii(name)[:60]}")
