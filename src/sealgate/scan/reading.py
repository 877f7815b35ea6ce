"""From the bytes of a report to a `Report`: the format is told by the content, never by the name of the file."""

from __future__ import annotations

from typing import Any

from sealgate import limits, strictjson
from sealgate.errors import (
    JsonAmbiguousError,
    JsonInvalidError,
    LimitError,
    ReportInvalidError,
    ReportLimitError,
    ReportUnsupportedError,
)
from sealgate.scan import cyclonedx, grype, osv, predicate, sarif, trivy
from sealgate.scan.fields import Fields
from sealgate.scan.report import Report

_FORMATS = {
    "Trivy": trivy.detect,
    "Grype": grype.detect,
    "OSV-Scanner": osv.detect,
    "SARIF": sarif.detect,
    "CycloneDX": cyclonedx.detect,
    "in-toto Statement": predicate.detect_statement,
    "scan predicate": predicate.detect,
}
_READERS = {
    "Trivy": trivy.read,
    "Grype": grype.read,
    "OSV-Scanner": osv.read,
    "SARIF": sarif.read,
    "CycloneDX": cyclonedx.read,
}
FORMATS = "Trivy, Grype and OSV-Scanner JSON, SARIF 2.1.0, CycloneDX VDR, cosign vuln and in-toto vulns predicates"


def read(raw: bytes, *, what: str) -> Report:
    """Read a report of at most `limits.SCAN_REPORT_BYTES`; `what` names it in errors.

    Raises `ReportInvalidError` (not JSON, cut off, contradictory), `ReportUnsupportedError` (something else),
    `ReportLimitError`. Whether it is empty, old or about this image is judged later.
    """
    try:
        return _whole(raw, what)
    except LimitError as error:
        raise ReportLimitError(error.message, hint=error.hint) from error


def _whole(raw: bytes, what: str) -> Report:
    if not raw.strip():
        raise ReportInvalidError(f"{what} is empty: 0 bytes", hint="did the scanner fail? Look at what it said")
    try:
        document = strictjson.parse(raw, limit=limits.SCAN_REPORT_BYTES, what=what, values=limits.SCAN_REPORT_VALUES)
    except JsonInvalidError as error:
        raise ReportInvalidError(error.message, hint="a scan report is JSON; was it cut off?") from error
    except JsonAmbiguousError as error:
        raise ReportInvalidError(error.message, hint="two programs may read two reports in it") from error
    if not isinstance(document, dict):
        raise ReportUnsupportedError(f"{what} is not a scan report", hint=f"read are {FORMATS}")
    report = _read(document, what, inside=False)
    if len(report.findings) > limits.SCAN_FINDINGS:
        raise LimitError(f"{what} has more than {limits.SCAN_FINDINGS} findings")
    return report._replace(name=what)


def _read(document: dict[str, Any], what: str, *, inside: bool) -> Report:
    """`inside`: what a scanner wrote into a predicate, which cannot be a predicate again."""
    found = [name for name, detect in _FORMATS.items() if detect(document)]
    if inside:
        found = [name for name in found if name in _READERS]
    if not found:
        raise ReportUnsupportedError(f"{what} is not a scan report of a known format", hint=f"read are {FORMATS}")
    if len(found) > 1:
        raise ReportInvalidError(f"{what} is {' and '.join(found)} at once", hint="nothing of it is believed")
    fields = Fields(what, ReportInvalidError)
    if found[0] in _READERS:
        return _READERS[found[0]](document, fields)
    subjects: frozenset[str] = frozenset()
    if found[0] == "in-toto Statement":
        document, subjects = predicate.open_statement(document, fields)
    report = predicate.read(document, fields, lambda inner: _read(inner, what, inside=True))
    return report._replace(subjects=subjects)
