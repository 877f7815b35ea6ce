"""OSV-Scanner's JSON report (`osv-scanner scan image --format json`). It names no image: alone it binds to none."""

from __future__ import annotations

from typing import Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields
from sealgate.scan.report import Finding, Rating, Report, sort_names
from sealgate.scan.severity import Severity

_TYPES = {
    "npm": "npm",
    "PyPI": "pypi",
    "Go": "golang",
    "crates.io": "cargo",
    "RubyGems": "gem",
    "Maven": "maven",
    "NuGet": "nuget",
    "Packagist": "composer",
}
_SYSTEMS = {"Debian": "deb/debian", "Ubuntu": "deb/ubuntu", "Alpine": "apk/alpine"}


def detect(document: dict[str, Any]) -> bool:
    """Whether it is one of OSV-Scanner's."""
    results = document.get("results")
    if not isinstance(results, list) or "runs" in document:
        return False
    return all(isinstance(row, dict) and "packages" in row and "source" in row for row in results)


def read(document: dict[str, Any], fields: Fields) -> Report:
    """The report. Raises `fields.error`."""
    findings: list[Finding] = []
    packages = 0
    for result in fields.rows(document["results"], "results"):
        path = fields.text(fields.mapping(result.get("source"), "source").get("path"), "path")
        for entry in fields.rows(result.get("packages"), "packages"):
            packages += 1
            findings += _findings(entry, path, fields)
    return Report("osv-scanner", "osv-scanner", "", tuple(findings), packages_seen=packages, looked=packages > 0)


def _findings(entry: dict[str, Any], path: str, fields: Fields) -> list[Finding]:
    """One finding a group: ids that are aliases of each other are one vulnerability."""
    known = {
        fields.required(row.get("id"), "vulnerabilities.id"): row
        for row in fields.rows(entry.get("vulnerabilities"), "vulnerabilities")
    }
    groups = []
    for group in fields.rows(entry.get("groups"), "groups"):
        ids = fields.words(group.get("ids"), "ids")
        if not ids:
            raise fields.error(f"{fields.what}: a group has no ids")
        groups.append((ids, fields.words(group.get("aliases"), "aliases"), group.get("max_severity")))
    grouped = {name for ids, _, _ in groups for name in ids}
    groups += [((name,), (), None) for name in known if name not in grouped]
    return [_finding(entry, ids, aliases, top, known, path, fields) for ids, aliases, top in groups]


def _finding(
    entry: dict[str, Any], ids: tuple[str, ...], aliases: tuple[str, ...], top: object,
    known: dict[str, dict[str, Any]], path: str, fields: Fields,
) -> Finding:  # fmt: skip
    package = fields.mapping(entry.get("package"), "package")
    name, version = fields.text(package.get("name"), "name"), fields.text(package.get("version"), "version")
    ecosystem = fields.text(package.get("ecosystem"), "ecosystem")
    rows = [known[each] for each in ids if each in known]
    names = list(
        dict.fromkeys([*ids, *aliases, *(n for row in rows for n in fields.words(row.get("aliases"), "aliases"))])
    )
    cves = [each for each in names if each.startswith("CVE-")]
    identity = cves[0] if len(cves) == 1 else names[0]
    same, related = sort_names(identity, names)
    score = fields.number(top, "max_severity")
    ratings = [] if score is None else [Rating("cvss", severity.of_score(score), score)]
    for row in rows:
        ratings += _ratings(row, fields)
    fixed, judged = _fixes(rows, name, fields)
    level = ratings[0].severity if score is not None else max((r.severity for r in ratings), default=Severity.UNKNOWN)
    return Finding(
        identity,
        name,
        version,
        level,
        same,
        related,
        _purl(ecosystem, name, version),
        chosen_from="cvss" if score is not None else "",
        ratings=tuple(ratings),
        status="fixed" if fixed else "affected" if judged else "unknown",
        fixed_versions=fixed,
        path=path,
    )


def _ratings(row: dict[str, Any], fields: Fields) -> list[Rating]:
    found = []
    for entry in fields.rows(row.get("severity"), "severity"):
        text = fields.text(entry.get("score"), "score")
        if fields.text(entry.get("type"), "type").startswith("CVSS"):
            score, level = severity.of_vector(text)
            found.append(Rating("cvss", level, score))
        else:
            found.append(Rating(fields.text(entry.get("type"), "type").lower(), severity.of(text)))
    specific = row.get("database_specific")
    if isinstance(specific, dict) and isinstance(specific.get("severity"), str):
        source = "ghsa" if str(row.get("id")).startswith("GHSA-") else "osv"
        found.append(Rating(source, severity.of(specific["severity"])))
    return found


def _fixes(rows: list[dict[str, Any]], package: str, fields: Fields) -> tuple[tuple[str, ...], bool]:
    """Versions in which it is fixed, and whether the database speaks of this package at all."""
    found: dict[str, None] = {}
    judged = False
    for row in rows:
        for affected in fields.rows(row.get("affected"), "affected"):
            if fields.mapping(affected.get("package"), "package").get("name") != package:
                continue
            for span in fields.rows(affected.get("ranges"), "ranges"):
                judged = True
                for event in fields.rows(span.get("events"), "events"):
                    if fix := fields.text(event.get("fixed"), "fixed"):
                        found[fix] = None
    return tuple(found), judged


def _purl(ecosystem: str, name: str, version: str) -> str | None:
    from packageurl import PackageURL

    system = _SYSTEMS.get(ecosystem.partition(":")[0])
    kind, _, namespace = (system or _TYPES.get(ecosystem, "")).partition("/")
    if not kind or not name:
        return None
    if kind == "maven":
        namespace, _, name = name.rpartition(":")
    elif "/" in name and not namespace:
        namespace, _, name = name.rpartition("/")
    try:
        return PackageURL(type=kind, namespace=namespace or None, name=name, version=version or None).to_string()
    except ValueError:
        return None
