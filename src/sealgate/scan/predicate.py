"""Scan results as attestation predicates: cosign's `vuln`, in-toto's vulns v0.1 and v0.2, alone or in a Statement.

Sources: cosign's COSIGN_VULN_ATTESTATION_SPEC.md; in-toto attestation, spec/predicates/vuln.md and vulns_02.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields, digest_in
from sealgate.scan.report import Finding, Rating, Report
from sealgate.scan.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

COSIGN = "https://cosign.sigstore.dev/attestation/vuln/v1"
IN_TOTO = ("https://in-toto.io/attestation/vulns/v0.1", "https://in-toto.io/attestation/vulns/v0.2")
_STATEMENTS = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")


def detect_statement(document: dict[str, Any]) -> bool:
    """Whether it is an in-toto Statement."""
    return document.get("_type") in _STATEMENTS


def detect(document: dict[str, Any]) -> bool:
    """Whether it is a predicate of one of these types."""
    scanner = document.get("scanner")
    return isinstance(scanner, dict) and "result" in scanner and "metadata" in document


def open_statement(document: dict[str, Any], fields: Fields) -> tuple[dict[str, Any], frozenset[str]]:
    """The predicate and the SHA-256 digests of the subjects. Raises `fields.error`."""
    kind = document.get("predicateType")
    if kind != COSIGN and kind not in IN_TOTO:
        raise fields.error(f"{fields.what}: the Statement is of the type {str(kind)[:100]!a}, not a scan")
    subjects = set()
    for row in fields.rows(document.get("subject"), "subject"):
        value = fields.mapping(row.get("digest"), "digest").get("sha256")
        if isinstance(value, str) and (digest := digest_in(f"sha256:{value}")):
            subjects.add(digest)
    if not subjects:
        raise fields.error(f"{fields.what}: the Statement has no subject with a SHA-256 digest")
    predicate = fields.mapping(document.get("predicate"), "predicate")
    if not detect(predicate):
        raise fields.error(f"{fields.what}: the predicate has no scanner.result or no metadata")
    return predicate, frozenset(subjects)


def read(document: dict[str, Any], fields: Fields, inner: Callable[[dict[str, Any]], Report]) -> Report:
    """The report; what the scanner wrote is read by `inner`. Raises `fields.error`."""
    scanner = fields.mapping(document["scanner"], "scanner")
    metadata = fields.mapping(document["metadata"], "metadata")
    database = fields.mapping(scanner.get("db"), "db")
    finished = fields.moment(metadata.get("scanFinishedOn"), "scanFinishedOn")
    started = fields.moment(metadata.get("scanStartedOn"), "scanStartedOn")
    if started is not None and finished is not None and finished < started:
        raise fields.error(f"{fields.what}: the scan ended before it began")
    updated = fields.moment(database.get("lastUpdate"), "lastUpdate")
    result = scanner["result"]
    if isinstance(result, list):
        report = _listed(result, scanner, fields, looked=finished is not None and updated is not None)
    else:
        report = inner(fields.mapping(result, "scanner.result"))._replace(format="cosign-vuln")
    times = [moment for moment in (finished, report.scanned_at) if moment is not None]
    return report._replace(
        scanned_at=min(times, default=None),  # the older one, where they differ
        database_at=updated if updated is not None else report.database_at,
    )


def encode(raw: bytes, report: Report, *, uri: str) -> bytes:
    """cosign's `vuln` predicate around what a scanner wrote, whose bytes stand in it as they are.

    Raises `ReportStaleError` when the report does not say when it was made, `ReportUnsupportedError` for one that is no JSON of
    a scanner's own.
    """
    import datetime
    import json

    from sealgate.errors import ReportStaleError, ReportUnsupportedError

    if report.format == "cosign-vuln" and not report.subjects:
        return raw.strip()
    if report.format not in {"trivy", "grype", "osv-scanner"}:
        raise ReportUnsupportedError(f"{report.name} is {report.format}: only a scanner's own JSON is attested as vuln")
    if report.scanned_at is None:
        raise ReportStaleError(f"{report.name} does not say when the scan was made, and the attestation must")
    rfc3339 = "%Y-%m-%dT%H:%M:%SZ"
    moment = datetime.datetime.fromtimestamp(report.scanned_at, datetime.UTC).strftime(rfc3339)
    head = {"invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""}}
    database: dict[str, str] = {"uri": "", "version": ""}
    if report.database_at is not None:
        database["lastUpdate"] = datetime.datetime.fromtimestamp(report.database_at, datetime.UTC).strftime(rfc3339)
    scanner = {"uri": uri, "version": report.version, "db": database}
    return (
        json.dumps(head, separators=(",", ":")).encode()[:-1]
        + b',"scanner":'
        + json.dumps(scanner, separators=(",", ":")).encode()[:-1]
        + b',"result":'
        + raw.strip()
        + b'},"metadata":'
        + json.dumps({"scanStartedOn": moment, "scanFinishedOn": moment}, separators=(",", ":")).encode()
        + b"}"
    )


def _listed(result: list[Any], scanner: dict[str, Any], fields: Fields, *, looked: bool) -> Report:
    """in-toto's own list of results. It names no packages, and no fixes."""
    findings = []
    for row in fields.rows(result, "scanner.result"):
        ratings = tuple(_rating(rating, fields) for rating in fields.rows(row.get("severity"), "severity"))
        top = max(ratings, key=lambda rating: rating.severity, default=None)
        findings.append(
            Finding(
                fields.required(row.get("id"), "id"),
                "",
                "",
                Severity.UNKNOWN if top is None else top.severity,
                chosen_from="" if top is None else top.source,
                ratings=ratings,
            )
        )
    uri = fields.required(scanner.get("uri"), "scanner.uri")
    version = fields.text(scanner.get("version"), "version")
    return Report("in-toto-vulns", uri, version, tuple(findings), looked=looked or bool(findings))


def _rating(row: dict[str, Any], fields: Fields) -> Rating:
    method = fields.text(row.get("method"), "method").lower()
    said = row.get("score")
    level = severity.of(said)
    if level is not Severity.UNKNOWN:
        return Rating(method, level)
    if isinstance(said, str) and "/" in said:
        score, level = severity.of_vector(said)
        return Rating(method, level, score)
    try:
        score = fields.number(said, "score")
    except fields.error:
        return Rating(method, Severity.UNKNOWN)
    return Rating(method, severity.of_score(score), score)
