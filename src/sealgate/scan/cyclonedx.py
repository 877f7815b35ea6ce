"""CycloneDX documents with vulnerabilities (VDR, BOV): read as a scan report. As VEX they are read by `cyclonedx_vex`."""

from __future__ import annotations

import re
from typing import Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields, digest_in
from sealgate.scan.purl import parse
from sealgate.scan.report import Finding, Rating, Report, Suppressed, sort_names
from sealgate.scan.severity import Severity

EXCUSING = frozenset({"not_affected", "false_positive", "resolved", "resolved_with_pedigree"})
_DEPTH = 32
_UPGRADE = re.compile(r"Upgrade \S+ to version ([^\s;]+(?:, [^\s;]+)*)")


def detect(document: dict[str, Any]) -> bool:
    """Whether it is CycloneDX."""
    return document.get("bomFormat") == "CycloneDX"


def read(document: dict[str, Any], fields: Fields) -> Report:
    """The report. Raises `fields.error`; a mere SBOM is none."""
    if "vulnerabilities" not in document:
        raise fields.error(f"{fields.what} is an SBOM: it says nothing of vulnerabilities")
    metadata = fields.mapping(document.get("metadata"), "metadata")
    subject = fields.mapping(metadata.get("component"), "metadata.component")
    parts = components(document, fields)
    findings: list[Finding] = []
    suppressed: list[Suppressed] = []
    for row in fields.rows(document["vulnerabilities"], "vulnerabilities"):
        analysis = fields.mapping(row.get("analysis"), "analysis")
        state = fields.text(analysis.get("state"), "state")
        for found in _findings(row, parts, fields):
            if state in EXCUSING:
                reason = fields.text(analysis.get("detail"), "detail") or fields.text(
                    analysis.get("justification"), "why"
                )
                suppressed.append(Suppressed(found, f"{state}: {reason}" if reason else state))
            else:
                findings.append(found)
    digests, image_ids = identities(subject, fields)
    tool, version = _tool(metadata, fields)
    return Report(
        "cyclonedx",
        tool,
        version,
        tuple(findings),
        tuple(suppressed),
        digests=digests,
        image_ids=image_ids,
        scanned_at=fields.moment(metadata.get("timestamp"), "timestamp"),
        packages_seen=sum(1 for part in parts.values() if part.get("purl")),
        # An empty list proves nothing: SBOM writers put one into documents that nobody scanned.
        looked=bool(findings or suppressed),
    )


def components(document: dict[str, Any], fields: Fields) -> dict[str, dict[str, Any]]:
    """Every component by its bom-ref, nested ones too."""
    metadata = fields.mapping(document.get("metadata"), "metadata")
    found: dict[str, dict[str, Any]] = {}
    level = [fields.mapping(metadata.get("component"), "metadata.component")]
    level += fields.rows(document.get("components"), "components")
    for _ in range(_DEPTH):
        for part in level:
            reference = fields.text(part.get("bom-ref"), "bom-ref")
            if reference and found.setdefault(reference, part) is not part:
                raise fields.error(f"{fields.what}: the bom-ref {reference[:100]!a} stands twice")
        level = [inner for part in level for inner in fields.rows(part.get("components"), "components")]
        if not level:
            return found
    raise fields.error(f"{fields.what}: components are nested deeper than {_DEPTH}")


def identities(component: dict[str, Any], fields: Fields) -> tuple[frozenset[str], frozenset[str]]:
    """Manifest digests and image ids that the document's subject says of itself."""
    said = [fields.text(component.get("version"), "version"), fields.text(component.get("bom-ref"), "bom-ref")]
    image_ids = set()
    if (purl := parse(fields.text(component.get("purl"), "purl"))) and purl.type in {"oci", "docker"}:
        said.append(purl.version or "")
    for row in fields.rows(component.get("properties"), "properties"):
        name, value = fields.text(row.get("name"), "name"), fields.text(row.get("value"), "value")
        if name == "aquasecurity:trivy:RepoDigest":
            said.append(value)
        elif name == "aquasecurity:trivy:ImageID" and (digest := digest_in(value)):
            image_ids.add(digest)
    return frozenset(digest for text in said if (digest := digest_in(text))), frozenset(image_ids)


def _tool(metadata: dict[str, Any], fields: Fields) -> tuple[str, str]:
    tools = metadata.get("tools")
    rows = tools.get("components") if isinstance(tools, dict) else tools  # since 1.5 an object
    for row in fields.rows(rows, "tools"):
        return fields.text(row.get("name"), "name"), fields.text(row.get("version"), "version")
    return "", ""


def _findings(row: dict[str, Any], parts: dict[str, dict[str, Any]], fields: Fields) -> list[Finding]:
    identity = fields.required(row.get("id"), "vulnerabilities.id")
    aliases = [fields.text(each.get("id"), "id") for each in fields.rows(row.get("references"), "references")]
    advice = _UPGRADE.search(fields.text(row.get("recommendation"), "recommendation"))
    fixed = tuple(advice[1].split(", ")) if advice else ()
    source = fields.text(fields.mapping(row.get("source"), "source").get("name"), "source").lower()
    ratings = tuple(_rating(rating, fields) for rating in fields.rows(row.get("ratings"), "ratings"))
    base = Finding(
        identity,
        "",
        "",
        Severity.UNKNOWN,
        *sort_names(identity, aliases),
        ratings=ratings,
        status="fixed" if fixed else "unknown",
        fixed_versions=fixed,
    )
    found = []
    for affected in fields.rows(row.get("affects"), "affects"):
        states = {fields.text(v.get("status"), "status") for v in fields.rows(affected.get("versions"), "versions")}
        if states == {"unaffected"}:
            continue
        reference = fields.text(affected.get("ref"), "ref")
        part = parts.get(reference, {})
        purl = fields.text(part.get("purl"), "purl") or (reference if parse(reference) else "")
        named = parse(purl)
        name = fields.text(part.get("name"), "name") or (named.name if named else reference)
        version = fields.text(part.get("version"), "version") or (named.version or "" if named else "")
        level, chosen = _choose(ratings, source, named.namespace or "" if named else "")
        one = base._replace(package=name, version=version, purl=purl or None, severity=level, chosen_from=chosen)
        found.append(one)
    if not found and not fields.rows(row.get("affects"), "affects"):
        level, chosen = _choose(ratings, source, "")
        found.append(base._replace(severity=level, chosen_from=chosen))
    return found


def _rating(row: dict[str, Any], fields: Fields) -> Rating:
    name = fields.text(fields.mapping(row.get("source"), "source").get("name"), "source").lower()
    score = fields.number(row.get("score"), "score")
    if score is not None and not 0 <= score <= 10:
        score = None  # another method's scale
    level = severity.of(row.get("severity"))
    if level is Severity.UNKNOWN and "severity" not in row:
        level = severity.of_score(score)
    return Rating(name, level, score)


def _choose(ratings: tuple[Rating, ...], source: str, namespace: str) -> tuple[Severity, str]:
    """The vendor's rating where there is one, then that of the vulnerability's own source, else the highest."""
    for name in (namespace, "ghsa" if not namespace else "", source):
        chosen = [rating for rating in ratings if name and rating.source == name]
        if chosen:
            return max(rating.severity for rating in chosen), name
    top = max(ratings, key=lambda rating: rating.severity, default=None)
    return (Severity.UNKNOWN, "") if top is None else (top.severity, top.source)
