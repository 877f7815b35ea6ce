"""JSON that means one thing only.

Two parsers must not read one document differently (bypass M03, W17, W18): duplicate keys, keys that differ in case only
(Go folds case), NaN and infinities, invalid UTF-8, a byte order mark, lone surrogates, endless numbers and deep nesting
are refused. `JSON_DEPTH` and the caller's byte limit bound the work.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, NoReturn

from sealgate import limits
from sealgate.errors import JsonAmbiguousError, JsonInvalidError, LimitError


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonAmbiguousError("an object has the same key twice")
    if len(found) > 1 and len({key.casefold() for key in found}) != len(found):
        raise JsonAmbiguousError("an object has keys that differ in case only")
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonAmbiguousError("an object has the same key twice")
    return found


def _constant(name: str) -> NoReturn:
    raise JsonAmbiguousError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > limits.JSON_NUMBER_CHARS:
        raise LimitError(f"a number has more than {limits.JSON_NUMBER_CHARS} characters")
    return int(text)


def _float(text: str) -> float:
    if len(text) > limits.JSON_NUMBER_CHARS:
        raise LimitError(f"a number has more than {limits.JSON_NUMBER_CHARS} characters")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise JsonAmbiguousError("a number is out of range")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_float)
_CASED = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def parse(data: bytes, *, limit: int, what: str, values: int | None = None, cased: bool = False) -> Any:
    """Parse `data`, at most `limit` bytes and `values` values (`limits.JSON_VALUES`); `what` names it in errors.

    `cased`: keys may differ in case only. That is for documents that a program wrote whose objects are maps (labels of
    Kubernetes): who looks for a key in one must look for its other spellings.

    Raises `JsonInvalidError` (not JSON), `JsonAmbiguousError` (means two things) or `LimitError`.
    """
    if len(data) > limit:
        raise LimitError(f"{what} is larger than {limit} bytes")
    brackets = data.count(b"{") + data.count(b"[")
    most = limits.JSON_VALUES if values is None else values
    if brackets + data.count(b",") > most:
        raise LimitError(f"{what} has more than {most} values")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonInvalidError(f"{what} is not UTF-8") from error
    if brackets > limits.JSON_DEPTH and _depth(data) > limits.JSON_DEPTH:
        raise LimitError(f"{what} is nested deeper than {limits.JSON_DEPTH}")
    try:
        value = (_CASED if cased else _DECODER).decode(text)
        if "\\u" in text:
            _no_surrogates(value)
    except (JsonAmbiguousError, LimitError) as error:
        raise type(error)(f"{what}: {error.message}") from None
    except (ValueError, RecursionError) as error:
        raise JsonInvalidError(f"{what} is not JSON: {str(error)[:100]}") from error
    return value


def parse_object(data: bytes, *, limit: int, what: str) -> dict[str, Any]:
    """As `parse`, and the document must be an object."""
    value = parse(data, limit=limit, what=what)
    if not isinstance(value, dict):
        raise JsonInvalidError(f"{what} is not a JSON object")
    return value


def _depth(data: bytes) -> int:
    """The deepest nesting of brackets outside strings; of what is no JSON, any number (the parser has a limit of its own)."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = data.translate(None, _NEITHER_QUOTES_NOR_BRACKETS).split(b'"')[::2]
    return max(accumulate(1 if byte in b"{[" else -1 for byte in b"".join(outside)), default=0)


_NEITHER_QUOTES_NOR_BRACKETS = bytes(byte for byte in range(256) if byte not in b'"{}[]')


def _no_surrogates(value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise JsonAmbiguousError("a string has a lone surrogate") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _no_surrogates(key)
            _no_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _no_surrogates(item)
