"""Reading single fields of foreign JSON: the type it must have, or the error of the document it stands in."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import ContentError, LimitError

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?\s?(?:([Zz])|([+-])(\d\d):?(\d\d))", re.ASCII
)


class Fields(NamedTuple):
    """How to complain: `what` names the document, `error` is the class."""

    what: str
    error: type[ContentError]

    def mapping(self, value: object, name: str) -> dict[str, Any]:
        """An object; nothing is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(f"{self.what}: {name} is not an object")
        return value

    def rows(self, value: object, name: str) -> list[dict[str, Any]]:
        """A list of objects; nothing is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self.error(f"{self.what}: {name} is not a list of objects")
        if len(value) > limits.SCAN_FINDINGS:
            raise LimitError(f"{self.what}: {name} has more than {limits.SCAN_FINDINGS} entries")
        return value

    def words(self, value: object, name: str) -> tuple[str, ...]:
        """A list of strings; nothing is an empty one."""
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(f"{self.what}: {name} is not a list of strings")
        return tuple(word.strip() for word in value if word.strip())

    def text(self, value: object, name: str) -> str:
        """A string without the space around it; nothing is the empty one."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{self.what}: {name} is not a string")
        return value.strip()

    def required(self, value: object, name: str) -> str:
        """A string that is not empty."""
        found = self.text(value, name)
        if not found:
            raise self.error(f"{self.what}: {name} is missing")
        return found

    def number(self, value: object, name: str) -> float | None:
        """A number, or a string of one; nothing and the empty string are None."""
        if value is None or value == "":
            return None
        try:
            found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            raise self.error(f"{self.what}: {name} is not a number")
        return found

    def moment(self, value: object, name: str) -> float | None:
        """A time in RFC 3339 in seconds of the epoch; nothing, the empty string and Go's zero time are None."""
        found = self.text(value, name)
        if not found or found.startswith("0001-01-01"):
            return None
        seconds = epoch(found)
        if seconds is None:
            raise self.error(f"{self.what}: {name} is not a time: {found[:40]!a}")
        return seconds


def epoch(text: str) -> float | None:
    """RFC 3339, with up to nine digits behind the second, in seconds of the epoch; None for anything else."""
    import calendar
    import datetime

    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime.datetime(year, month, day, hour, minute, min(second, 59), tzinfo=datetime.UTC)
    except ValueError:
        return None
    seconds = calendar.timegm(moment.timetuple()) + float(f"0.{found[7] or 0}")
    if found[9]:
        offset = int(found[10]) * 3600 + int(found[11]) * 60
        seconds += offset if found[9] == "-" else -offset
    return seconds


def digest_in(text: str) -> str | None:
    """The `sha256:…` that `text` is or ends in (`repository@sha256:…`)."""
    found = re.search(r"(?:^|@)(sha256:[0-9a-f]{64})\Z", text)
    return None if found is None else found[1]
