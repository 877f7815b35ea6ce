"""Trivy's JSON report (`trivy image --format json`, SchemaVersion 2)."""

from __future__ import annotations

from typing import Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields, digest_in
from sealgate.scan.report import Finding, Rating, Report, Status, Suppressed, sort_names
from sealgate.scan.severity import Severity

_VENDOR = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
"""Trivy's numbers in `VendorSeverity`."""
_STATUS: dict[str, Status] = {
    "fixed": "fixed",
    "affected": "affected",
    "will_not_fix": "wont-fix",
    "fix_deferred": "wont-fix",
    "end_of_life": "wont-fix",
}
_CLASSES = frozenset({"os-pkgs", "lang-pkgs"})


def detect(document: dict[str, Any]) -> bool:
    """Whether it is one of Trivy's."""
    return "SchemaVersion" in document and "ArtifactType" in document


def read(document: dict[str, Any], fields: Fields) -> Report:
    """The report. Raises `fields.error`."""
    if document["SchemaVersion"] != 2 or isinstance(document["SchemaVersion"], bool):
        raise fields.error(f"{fields.what}: Trivy's SchemaVersion is not 2")
    metadata = fields.mapping(document.get("Metadata"), "Metadata")
    system = fields.mapping(metadata.get("OS"), "OS")
    findings: list[Finding] = []
    suppressed: list[Suppressed] = []
    packages: int | None = None
    looked = False
    for result in fields.rows(document.get("Results"), "Results"):
        about_packages = fields.text(result.get("Class"), "Class") in _CLASSES
        sources: dict[str, str] = {}
        if "Packages" in result:
            rows = fields.rows(result["Packages"], "Packages")
            packages = (packages or 0) + len(rows)
            looked = looked or bool(rows)
            sources = {
                key: row["SrcName"] for row in rows if (key := _key(row)) and isinstance(row.get("SrcName"), str)
            }
        elif about_packages:
            looked = True  # Trivy lists what it looked at, also where it found nothing
        rows = fields.rows(result.get("Vulnerabilities"), "Vulnerabilities")
        findings += [_finding(row, result, sources, fields) for row in rows]
        for row in fields.rows(result.get("ExperimentalModifiedFindings"), "ExperimentalModifiedFindings"):
            if row.get("Type") == "vulnerability":
                inner = fields.mapping(row.get("Finding"), "Finding")
                reason = fields.text(row.get("Statement"), "Statement") or fields.text(row.get("Status"), "Status")
                suppressed.append(Suppressed(_finding(inner, result, sources, fields), reason or "left out by Trivy"))
    is_image = document.get("ArtifactType") == "container_image"
    repo_digests = fields.words(metadata.get("RepoDigests"), "RepoDigests")
    image_id = fields.text(metadata.get("ImageID"), "ImageID")
    notes = []
    if system.get("EOSL") is True:
        notes.append("the image's system is no longer supported by its vendor; new vulnerabilities may not be known")
    trivy = fields.mapping(document.get("Trivy"), "Trivy")
    return Report(
        "trivy",
        "trivy",
        fields.text(trivy.get("Version"), "Version"),
        tuple(findings),
        tuple(suppressed),
        digests=frozenset(d for text in repo_digests if (d := digest_in(text))) if is_image else frozenset(),
        image_ids=frozenset({d} if (d := digest_in(image_id)) and is_image else ()),
        scanned_at=fields.moment(document.get("CreatedAt"), "CreatedAt"),
        packages_seen=packages,
        looked=looked or bool(findings) or bool(suppressed),
        notes=tuple(notes),
    )


def _key(row: dict[str, Any]) -> str | None:
    """What ties a finding to a package of the list."""
    identifier = row.get("PkgIdentifier") or row.get("Identifier")
    uid = identifier.get("UID") if isinstance(identifier, dict) else None
    return uid if isinstance(uid, str) else None


def _finding(row: dict[str, Any], result: dict[str, Any], sources: dict[str, str], fields: Fields) -> Finding:
    identifier = fields.mapping(row.get("PkgIdentifier"), "PkgIdentifier")
    fixed = tuple(
        part.strip() for part in fields.text(row.get("FixedVersion"), "FixedVersion").split(",") if part.strip()
    )
    status = _STATUS.get(fields.text(row.get("Status"), "Status"), "unknown")
    identity = fields.required(row.get("VulnerabilityID"), "VulnerabilityID")
    aliases, related = sort_names(identity, fields.words(row.get("VendorIDs"), "VendorIDs"))
    return Finding(
        identity,
        fields.text(row.get("PkgName"), "PkgName"),
        fields.text(row.get("InstalledVersion"), "InstalledVersion"),
        severity.of(row.get("Severity")),
        aliases,
        related,
        fields.text(identifier.get("PURL"), "PURL") or None,
        source_package=sources.get(_key(row) or ""),
        chosen_from=fields.text(row.get("SeveritySource"), "SeveritySource").lower(),
        ratings=_ratings(row, fields),
        status="fixed" if fixed else "unknown" if status == "fixed" else status,
        fixed_versions=fixed,
        path=fields.text(row.get("PkgPath"), "PkgPath") or fields.text(result.get("Target"), "Target"),
    )


def _ratings(row: dict[str, Any], fields: Fields) -> tuple[Rating, ...]:
    scores = fields.mapping(row.get("CVSS"), "CVSS")
    vendors = fields.mapping(row.get("VendorSeverity"), "VendorSeverity")
    found = []
    for source in sorted({*scores, *vendors}):
        marks = fields.mapping(scores.get(source), "CVSS")
        values = [fields.number(marks.get(name), name) for name in ("V40Score", "V3Score", "V2Score")]
        score = next((value for value in values if value is not None), None)
        number = vendors.get(source)
        known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(_VENDOR)
        level = _VENDOR[number] if known else severity.of_score(score)  # type: ignore[index]  # `known` says it is one
        found.append(Rating(source.lower(), level, score))
    return tuple(found)
