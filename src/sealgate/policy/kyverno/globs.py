"""Kyverno's wildcards in everything but image names: `*` is any run of characters, `?` exactly one. Pure.

RE2, so linear in the text: no pattern is a bomb. A pattern is the policy's alone; what is compared with it is never read as
one, whoever wrote it.
"""

from __future__ import annotations

import re
from typing import Any

from sealgate import regexp as regexps
from sealgate.errors import PolicyInvalidError


def is_wild(pattern: str) -> bool:
    """Whether there is a wildcard in it."""
    return "*" in pattern or "?" in pattern


def regexp(pattern: str) -> str:
    """The regular expression that means the same, for whole texts, line ends included."""
    pieces = re.split(r"(\*+|\?)", pattern)
    found = "".join(".*" if piece.startswith("*") else "." if piece == "?" else re.escape(piece) for piece in pieces)
    return f"(?s:{found})"


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits. Raises `PolicyInvalidError` for a pattern that is too long."""
    if not is_wild(pattern):
        return pattern == text
    return compiled(regexp(pattern)).fullmatch(text) is not None


def any_matches(patterns: tuple[str, ...], text: str) -> bool:
    """Whether the text fits one of them."""
    return any(matches(pattern, text) for pattern in patterns)


def compiled(expression: str) -> Any:
    """A regular expression of somebody else. Raises `PolicyInvalidError`."""
    try:
        return regexps.compiled(expression)
    except ValueError as error:
        raise PolicyInvalidError(
            f"{expression[:200]!r} is not a regular expression: {error}", hint="the syntax is RE2's, as in Go"
        ) from error
