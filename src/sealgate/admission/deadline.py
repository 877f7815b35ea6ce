"""How long a review may take: what its request says, less what the way back needs. Pure.

The API server writes its time-out into the URL (`?timeout=10s`, Go's notation). Every image of a review has the same
deadline, since all are looked at at once; what comes too late is said by name.

Source: Kubernetes, pkg/util/webhook and admission/plugin/webhook: `timeout` in the query of each call.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from sealgate import limits

_PARTS = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|h|m|s))+", re.ASCII)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|h|m|s)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RESERVE_SHARE = 0.15
_RESERVE_SECONDS = 0.3
_SHORTEST = 0.1


def seconds(query: bytes, default: float) -> float:
    """What the API server waits: `timeout` of the query, else `default`; never more than its own bound."""
    found = default
    try:
        pairs = parse_qsl(query.decode("ascii"), max_num_fields=16)
    except ValueError:
        pairs = []
    for name, value in pairs:
        if name == "timeout" and (given := duration(value)) is not None and given > 0:
            found = given
    return min(found, limits.REVIEW_SECONDS_MAX)


def duration(text: str) -> float | None:
    """Seconds of Go's `time.Duration` in text: `10s`, `1m30s`, `500ms`; None for anything else."""
    if len(text) > 64 or _PARTS.fullmatch(text) is None:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def budget(waits: float) -> float:
    """How long to work when the API server waits that long: the answer must be there before it gives up."""
    return max(waits - max(_RESERVE_SECONDS, waits * _RESERVE_SHARE), _SHORTEST)
