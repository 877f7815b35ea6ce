"""Severities on one scale, whatever a scanner calls them."""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    """unknown < negligible < low < medium < high < critical. What *unknown* counts as is the judge's business."""

    UNKNOWN = 0
    NEGLIGIBLE = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    def __str__(self) -> str:
        return self.name.lower()


NAMES = tuple(str(severity) for severity in Severity)

_WORDS = {
    "negligible": Severity.NEGLIGIBLE,
    "none": Severity.NEGLIGIBLE,  # CVSS and CycloneDX: a score of 0.0
    "info": Severity.NEGLIGIBLE,
    "informational": Severity.NEGLIGIBLE,
    "unimportant": Severity.NEGLIGIBLE,
    "low": Severity.LOW,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,  # GitHub, Red Hat
    "high": Severity.HIGH,
    "important": Severity.HIGH,  # Red Hat
    "critical": Severity.CRITICAL,
}


def of(text: object) -> Severity:
    """The severity that a word stands for; anything that is no known word is UNKNOWN."""
    return _WORDS.get(text.strip().lower(), Severity.UNKNOWN) if isinstance(text, str) else Severity.UNKNOWN


def of_score(score: float | None) -> Severity:
    """The severity of a CVSS base score (CVSS v3.1 specification, section 5); out of range or missing is UNKNOWN."""
    if score is None or not 0.0 <= score <= 10.0:
        return Severity.UNKNOWN
    if score == 0.0:
        return Severity.NEGLIGIBLE
    for least, severity in ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM)):
        if score >= least:
            return severity
    return Severity.LOW


def of_vector(vector: str) -> tuple[float | None, Severity]:
    """Base score and severity of a CVSS vector (v2, v3.x, v4.0); what cannot be read is (None, UNKNOWN)."""
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError

    if len(vector) > 512:
        return None, Severity.UNKNOWN
    try:
        if vector.startswith("CVSS:4"):
            score = float(CVSS4(vector).base_score)
        elif vector.startswith("CVSS:3"):
            score = float(CVSS3(vector).base_score)
        else:
            score = float(CVSS2(vector).base_score)
    except (CVSSError, ValueError, KeyError, TypeError, ArithmeticError):
        return None, Severity.UNKNOWN
    return score, of_score(score)
