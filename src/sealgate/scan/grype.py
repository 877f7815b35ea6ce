"""Grype's JSON report (`grype -o json`)."""

from __future__ import annotations

from typing import Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields, digest_in
from sealgate.scan.report import Finding, Rating, Report, Status, Suppressed, sort_names

_STATUS: dict[str, Status] = {"fixed": "fixed", "not-fixed": "affected", "wont-fix": "wont-fix"}


def detect(document: dict[str, Any]) -> bool:
    """Whether it is one of Grype's."""
    descriptor = document.get("descriptor")
    return "matches" in document and isinstance(descriptor, dict) and descriptor.get("name") == "grype"


def read(document: dict[str, Any], fields: Fields) -> Report:
    """The report. Raises `fields.error`."""
    descriptor = fields.mapping(document.get("descriptor"), "descriptor")
    if not isinstance(document["matches"], list):
        raise fields.error(f"{fields.what}: matches is not a list")
    findings = tuple(_finding(row, fields) for row in fields.rows(document["matches"], "matches"))
    suppressed = tuple(
        Suppressed(_finding(row, fields), _reason(row, fields))
        for row in fields.rows(document.get("ignoredMatches"), "ignoredMatches")
    )
    source = fields.mapping(document.get("source"), "source")
    target: dict[str, Any] = {}
    if source.get("type") == "image":
        target = fields.mapping(source.get("target"), "target")
    said = [fields.text(target.get("manifestDigest"), "manifestDigest")]
    said += fields.words(target.get("repoDigests"), "repoDigests")
    image_id = digest_in(fields.text(target.get("imageID"), "imageID"))
    distro = fields.mapping(document.get("distro"), "distro")
    return Report(
        "grype",
        "grype",
        fields.text(descriptor.get("version"), "version"),
        findings,
        suppressed,
        digests=frozenset(digest for text in said if (digest := digest_in(text))),
        image_ids=frozenset({image_id} if image_id else ()),
        scanned_at=fields.moment(descriptor.get("timestamp"), "timestamp"),
        database_at=_built(descriptor, fields),
        looked=bool(findings or suppressed or fields.text(distro.get("name"), "distro")),
    )


def _built(descriptor: dict[str, Any], fields: Fields) -> float | None:
    database = descriptor.get("db")
    if not isinstance(database, dict):
        return None
    status = fields.mapping(database.get("status"), "status")
    return fields.moment(status.get("built") or database.get("built"), "built")


def _reason(row: dict[str, Any], fields: Fields) -> str:
    words = []
    for rule in fields.rows(row.get("appliedIgnoreRules"), "appliedIgnoreRules"):
        words += [
            f"{name} {rule[name]}" for name in ("reason", "vulnerability", "namespace", "fix-state") if rule.get(name)
        ]
    return "Grype's rule: " + ", ".join(words) if words else "left out by Grype"


def _finding(row: dict[str, Any], fields: Fields) -> Finding:
    artifact = fields.mapping(row.get("artifact"), "artifact")
    vulnerability = fields.mapping(row.get("vulnerability"), "vulnerability")
    related = fields.rows(row.get("relatedVulnerabilities"), "relatedVulnerabilities")
    ratings: list[Rating] = []
    for entry in (vulnerability, *related):
        source = _source(fields.text(entry.get("namespace"), "namespace"))
        level = severity.of(entry.get("severity"))
        if source:
            ratings.append(Rating(source, level))
        for mark in fields.rows(entry.get("cvss"), "cvss"):
            score = fields.number(fields.mapping(mark.get("metrics"), "metrics").get("baseScore"), "baseScore")
            name = fields.text(mark.get("source"), "source").lower()
            name = "nvd" if name.startswith("nvd") else name or source or "cvss"
            ratings.append(Rating(name, severity.of_score(score), score))
    fix = fields.mapping(vulnerability.get("fix"), "fix")
    state = fields.text(fix.get("state"), "state")
    fixed = fields.words(fix.get("versions"), "versions")
    upstreams = fields.rows(artifact.get("upstreams"), "upstreams")
    locations = fields.rows(artifact.get("locations"), "locations")
    scores = [fields.number(mark.get("epss"), "epss") for mark in fields.rows(vulnerability.get("epss"), "epss")]
    identity = fields.required(vulnerability.get("id"), "vulnerability.id")
    aliases, others = sort_names(identity, [fields.text(entry.get("id"), "id") for entry in related])
    return Finding(
        identity,
        fields.text(artifact.get("name"), "name"),
        fields.text(artifact.get("version"), "version"),
        severity.of(vulnerability.get("severity")),
        aliases,
        others,
        fields.text(artifact.get("purl"), "purl") or None,
        source_package=next((name for up in upstreams if (name := fields.text(up.get("name"), "name"))), None),
        chosen_from=_source(fields.text(vulnerability.get("namespace"), "namespace")),
        ratings=tuple(ratings),
        status="fixed" if fixed else _STATUS.get(state if state != "fixed" else "", "unknown"),
        fixed_versions=fixed,
        path=fields.text(locations[0].get("path"), "path") if locations else "",
        known_exploited=bool(fields.rows(vulnerability.get("knownExploited"), "knownExploited")),
        epss=max((score for score in scores if score is not None), default=None),
    )


def _source(namespace: str) -> str:
    """`debian:distro:debian:12` → `debian`, `github:language:python` → `ghsa`, `nvd:cpe` → `nvd`."""
    name = namespace.partition(":")[0].lower()
    return "ghsa" if name == "github" else name
