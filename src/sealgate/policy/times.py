"""Spans of time, moments, and how old what an attestation says is. Pure; the time is a parameter.

The age is that of the newest moment at which the predicate itself says that its subject was looked at or built: it is
signed, unlike the time of an upload. One that says no such moment, or one to come, does not count, and neither does one that
is too old: a younger one beside it may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import PolicyInvalidError
from sealgate.evidence import predicates
from sealgate.trust import period
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from sealgate.evidence.statement import Statement
    from sealgate.policy.fields import Fields

CLOCK_SECONDS = 300.0
"""How far the clock of who attested may be ahead of ours."""
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_MOMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    predicates.VULNERABILITIES: (("metadata", "scanFinishedOn"),),
    "https://in-toto.io/attestation/vulns/v0.1": (("metadata", "scanFinishedOn"),),
    "https://in-toto.io/attestation/vulns/v0.2": (("metadata", "scanFinishedOn"),),
    predicates.SLSA_PROVENANCE_V1: (("runDetails", "metadata", "finishedOn"), ("runDetails", "metadata", "startedOn")),
    predicates.SLSA_PROVENANCE_V0_2: (("metadata", "buildFinishedOn"), ("metadata", "buildStartedOn")),
    predicates.SLSA_PROVENANCE_V0_1: (("metadata", "buildFinishedOn"), ("metadata", "buildStartedOn")),
    predicates.CUSTOM: (("Timestamp",),),
    predicates.SPDX: (("creationInfo", "created"),),
    predicates.CYCLONEDX: (("metadata", "timestamp"),),
    predicates.OPENVEX: (("timestamp",),),
}
"""Where a predicate says when; the first that is there counts."""


class Fresh(NamedTuple):
    """At most so old: a `verification.attestation.Condition`."""

    seconds: float
    said: str
    """The span as the policy says it."""
    now: float = 0.0

    @property
    def dated(self) -> bool:
        """That its findings say until when they hold."""
        return True

    def at(self, now: float) -> Fresh:
        """The same, asked at another time."""
        return self._replace(now=now)

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """Whether the attestation is young enough."""
        moment = _moment(statement)
        if moment is None:
            return [
                Finding("attestation-stale", "failed", "does not say when that was, and how old it may be is limited")
            ]
        said = f"is of {period.rfc3339(moment)}"
        if moment > self.now + CLOCK_SECONDS:
            message = f"says that it {said}, which is yet to come"
            return [Finding("condition-failed", "failed", message, moment - CLOCK_SECONDS)]
        if self.now - moment > self.seconds:  # which it is from now on
            return [Finding("attestation-stale", "failed", f"{said}, older than {self.said}")]
        return [Finding("condition-met", "passed", f"{said}, not older than {self.said}", moment + self.seconds)]


def _moment(statement: Statement) -> float | None:
    for path in _MOMENTS.get(statement.predicate_type, ()):
        value: Any = statement.predicate
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            return period.epoch(value)
    return None


def has_moment(predicate_type: str) -> bool:
    """Whether predicates of this type say when."""
    return predicate_type in _MOMENTS


def span(fields: Fields, name: str) -> tuple[float, str] | None:
    """`30m`, `12h`, `7d`, `4w` in seconds, and as it stands there; None when absent. Raises `PolicyInvalidError`."""
    text = fields.text(name)
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise PolicyInvalidError(f"{fields.at(name)}: {text!r} is no span of time", hint="30m, 12h, 7d or 4w")
    return int(found[1]) * _UNITS[found[2]], text


def moment(fields: Fields, name: str) -> float:
    """A moment that must be there. Raises `PolicyInvalidError`."""
    text = fields.required_text(name)
    found = period.epoch(text)
    if found is None:
        raise PolicyInvalidError(
            f"{fields.at(name)}: {text!r} is no moment", hint='RFC 3339, quoted: "2027-01-31T12:00:00Z"'
        )
    return found
