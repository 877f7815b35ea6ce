"""Members of a log entry's JSON, each read once, with its type and its bounds.

An entry of a bundle is protobuf's JSON: zero values may be left out, 64-bit integers are strings or numbers, bytes are
base64 in either alphabet. Everything that does not fit is a `TrustFailure` of the code `log-entry-malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sealgate.errors import ContentError
from sealgate.evidence import base64
from sealgate.trust.failure import TrustFailure

_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MOST = 2**63 - 1


def malformed(message: str) -> TrustFailure:
    """What is raised here; the message is about the log entry: "has no …"."""
    return TrustFailure("log-entry-malformed", f"its log entry {message}")


def known_only(whole: Mapping[str, Any], names: frozenset[str], what: str) -> None:
    """Two programs must not read two things (E13)."""
    if whole.keys() <= names:
        return
    for name in whole:
        if name not in names:
            raise malformed(f"has an unknown field {ascii(name)[:60]} in {what}")


def part(whole: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """An object; None where it is absent, or null, which protobuf takes for absent."""
    found = whole.get(name)
    if found is not None and not isinstance(found, dict):
        raise malformed(f"has a {name} that is not an object")
    return found


def needed(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that must be there."""
    found = part(whole, name)
    if found is None:
        raise malformed(f"has no {name}")
    return found


def text(whole: Mapping[str, Any], name: str) -> str:
    """A string that is not empty."""
    found = whole.get(name)
    if not isinstance(found, str) or not found:
        raise malformed(f"has no {name}, or one that is not a string")
    return found


def integer(whole: Mapping[str, Any], name: str) -> int:
    """A number from 0 to 2^63 - 1, as a string or a number; 0 where it is absent. `1.0` and `true` are none (L19)."""
    found = whole.get(name, 0)
    if type(found) is str and _INTEGER.fullmatch(found):
        found = int(found)
    if type(found) is not int or not 0 <= found <= _MOST:
        raise malformed(f"has a {name} that is no number from 0 to 2^63 - 1")
    return found


def octets(whole: Mapping[str, Any], name: str, *, limit: int) -> bytes:
    """Bytes in base64, at most `limit`; empty where they are absent."""
    return decoded(whole.get(name, ""), name, limit=limit)


def decoded(value: object, name: str, *, limit: int, url_safe: bool = True) -> bytes:
    """The bytes of a text in base64, at most `limit` of them."""
    if isinstance(value, str) and len(value) > limit // 3 * 4 + 4:
        raise malformed(f"has a {name} of more than {limit} bytes")
    try:
        return base64.decode(value, what=name, error=ContentError, url_safe=url_safe)
    except ContentError:
        raise malformed(f"has a {name} that is not base64") from None
