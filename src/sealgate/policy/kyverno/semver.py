"""Semantic versions and ranges of them, as Kyverno compares them. Pure.

Sources: semver.org 2.0.0, section 11; github.com/blang/semver, ranges: `>1.0.0 <2.0.0 || >3.0.0`, `1.2.x`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_PART = re.compile(r"(>=|<=|>|<|!=|!|==|=|)\s*(v?\d[0-9A-Za-z.*+-]*)", re.ASCII)


class Version(NamedTuple):
    """Comparable: a pre-release comes before its release."""

    numbers: tuple[int, int, int]
    release: bool
    pre: tuple[tuple[int, int, str], ...]


def parse(text: str) -> Version | None:
    """None for what is no version."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        return None
    parts = found[4].split(".") if found[4] else []
    pre = tuple((0, int(part), "") if part.isdigit() and len(part) < 10 else (1, 0, part) for part in parts)
    return Version((int(found[1]), int(found[2]), int(found[3])), not parts, pre)


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version lies in a range. Raises `ValueError` for what is none."""
    found = parse(version)
    if found is None:
        raise ValueError(f"{version[:60]!r} is no version")
    return any([_all(found, part) for part in wanted.split("||")])  # noqa: C419 - every part is read


def _all(version: Version, wanted: str) -> bool:
    parts = _PART.findall(wanted)
    if not parts or _PART.sub("", wanted).strip():
        raise ValueError(f"{wanted[:60]!r} is no range of versions")
    return all([_holds(version, operator, text) for operator, text in parts])  # noqa: C419 - every part is read


def _holds(version: Version, operator: str, text: str) -> bool:
    wild = re.fullmatch(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.[xX*])+", text)
    if wild is not None:
        given = tuple(int(part) for part in wild.groups() if part is not None)
        cut = version.numbers[: len(given)]
        return _compare(operator, (cut > given) - (cut < given))
    other = parse(text)
    if other is None:
        raise ValueError(f"{text[:60]!r} is no version")
    return _compare(operator, (version > other) - (version < other))


def _compare(operator: str, sign: int) -> bool:
    return {
        ">": sign > 0, "<": sign < 0, ">=": sign >= 0, "<=": sign <= 0, "!": sign != 0, "!=": sign != 0,
    }.get(operator, sign == 0)  # fmt: skip
