"""When something was in use: closed intervals, and the times of protobuf's JSON (RFC 3339). Pure, and without `datetime`."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from sealgate.evidence import document

if TYPE_CHECKING:
    from sealgate.errors import ContentError

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Period(NamedTuple):
    """A closed interval of time, in seconds since 1970 (UTC). `None`: no bound on that side."""

    start: float | None
    end: float | None

    def contains(self, at: float) -> bool:
        """Whether `at` lies in it; both ends do."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


ALWAYS = Period(None, None)


def from_document(value: object, *, what: str, error: type[ContentError]) -> Period:
    """A `TimeRange` (sigstore_common.proto); `what` names it. Raises `error`, also for one that ends before it starts."""
    whole = document.as_object(value, what=what, error=error)
    document.known_only(whole, _BOUNDS, what=what, error=error)
    bounds = {}
    for name, text in whole.items():
        seconds = epoch(text) if isinstance(text, str) else None
        if seconds is None:
            raise error(f"the {name} of {what} is not a time: {ascii(text)[:60]} (RFC 3339 is: 2026-01-31T12:00:00Z)")
        bounds[name] = seconds
    found = Period(bounds.get("start"), bounds.get("end"))
    if found.start is not None and found.end is not None and found.end < found.start:
        raise error(f"{what} ends before it starts")
    return found


_BOUNDS = frozenset({"start", "end"})


def as_document(period: Period) -> dict[str, str]:
    """The `TimeRange` of a period."""
    bounds = (("start", period.start), ("end", period.end))
    return {name: rfc3339(at) for name, at in bounds if at is not None}


def epoch(text: str) -> float | None:
    """The seconds since 1970 of an RFC 3339 time, as protobuf's JSON has it: any fraction up to nanoseconds, any offset.

    None for anything else; leap seconds, which have no number, are something else.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] + (month == 2 and _leap(year)) and year):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    seconds = _day(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 23 or minutes > 59:
            return None
        offset = hours * 3600 + minutes * 60
        seconds += offset if found[8] == "-" else -offset
    return (seconds * 10**9 + int((found[7] or "").ljust(9, "0"))) / 10**9


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _day(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, carried on to earlier years (ISO 8601)."""
    before = year - 1
    leaps = before // 4 - before // 100 + before // 400
    passed = sum(_DAYS[: month - 1]) + (month > 2 and _leap(year))
    return before * 365 + leaps + passed + day - 719_163  # 1970-01-01 is day 719163 of the calendar


def rfc3339(at: float) -> str:
    """`at` in UTC, with three or six digits of its fraction where it has one, as protobuf's JSON writes times."""
    micros = round(at * 1_000_000)
    whole, fraction = divmod(micros, 1_000_000)
    digits = f"{fraction:06d}".removesuffix("000") if fraction else ""
    moment = time.gmtime(whole)
    return f"{moment.tm_year:04d}" + time.strftime("-%m-%dT%H:%M:%S", moment) + (f".{digits}Z" if digits else "Z")
