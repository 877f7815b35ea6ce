"""Durations, times and quantities as Go and Kubernetes write them. Pure: the clock is a parameter.

Source: Go, time.ParseDuration and RFC 3339; Kubernetes, apimachinery/pkg/api/resource: Quantity.
"""

from __future__ import annotations

import datetime
import re
from fractions import Fraction

_DURATION = re.compile(r"([+-]?)((?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h))+|0)")
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {
    "ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6), "ms": Fraction(1, 1000),
    "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?\d{1,18}(?:\.\d{1,9})?)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E|)")
_SCALE = {
    "": Fraction(1), "m": Fraction(1, 1000), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9),
    "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18), "Ki": Fraction(2**10), "Mi": Fraction(2**20),
    "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII)


def duration(text: str) -> Fraction | None:
    """Seconds; None for what is no duration."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    total = sum((Fraction(number) * _SECONDS[unit] for number, unit in _PART.findall(found[2])), Fraction(0))
    return -total if found[1] == "-" else total


def duration_text(seconds: Fraction) -> str:
    """As Go prints it: `1h2m3s`, `0s`, `1.5s`."""
    sign = "-" if seconds < 0 else ""
    nanoseconds = abs(int(seconds * 10**9))
    whole, rest = divmod(nanoseconds, 10**9)
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    if hours:
        return f"{sign}{hours}h{minutes}m{left}{fraction}s"
    return f"{sign}{minutes}m{left}{fraction}s" if minutes else f"{sign}{left}{fraction}s"


def quantity(text: str) -> Fraction | None:
    """A Kubernetes quantity; None for what is none."""
    found = _QUANTITY.fullmatch(text)
    return None if found is None else Fraction(found[1]) * _SCALE[found[2]]


def moment(text: str) -> Fraction | None:
    """Seconds since 1970 of an RFC 3339 time; None for what is none."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    offset = "+00:00" if found[4] else found[5]
    try:
        whole = datetime.datetime.fromisoformat(f"{found[1]}T{found[2]}{offset}")
    except ValueError:
        return None
    return Fraction(int(whole.timestamp())) + Fraction(int((found[3] or "0").ljust(9, "0")), 10**9)


def moment_text(seconds: Fraction) -> str:
    """RFC 3339, in UTC."""
    at = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=int(seconds))
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
