"""Times: seconds since 1970 everywhere, other forms only where they are written."""

from __future__ import annotations

import datetime
from typing import NamedTuple

MINUTE, DAY, YEAR = 60, 86_400, 31_536_000


class Period(NamedTuple):
    """When something was in use; no end: still is."""

    start: float
    end: float | None = None

    def document(self) -> dict[str, str]:
        """`validFor` of a trusted root."""
        words = {"start": rfc3339(self.start)}
        return words if self.end is None else words | {"end": rfc3339(self.end)}


def moment(at: float) -> datetime.datetime:
    """UTC, whole seconds: certificates and timestamps have no others here."""
    return datetime.datetime.fromtimestamp(int(at), datetime.UTC)


def rfc3339(at: float) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")
