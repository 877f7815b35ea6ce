"""SARIF 2.1.0 as image scanners write it (OASIS). Severities are coarse there, and most writers name no image."""

from __future__ import annotations

import re
from typing import Any

from sealgate.scan import severity
from sealgate.scan.fields import Fields, digest_in
from sealgate.scan.report import Finding, Report, Suppressed
from sealgate.scan.severity import Severity

_SCANNERS = frozenset({"trivy", "grype", "osv-scanner", "clair", "docker scout", "snyk container"})
"""Others (linters, secret finders) find no vulnerabilities in images: their silence is no clean scan."""
_ID = re.compile(
    r"((?:CVE-\d{4}-\d{4,})|(?:GHSA(?:-[0-9a-z]{4}){3})|(?:[A-Z]{2,10}-[0-9A-Za-z:.]+(?:-\d+)*))(?:-(.*))?", re.ASCII
)
_LINE = re.compile(r"^(Package|Installed Version|Fixed Version|Severity): *(.*?) *$", re.MULTILINE)
_LEVELS = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW}


def detect(document: dict[str, Any]) -> bool:
    """Whether it is SARIF."""
    return "runs" in document and ("version" in document or "$schema" in document)


def read(document: dict[str, Any], fields: Fields) -> Report:
    """The report. Raises `fields.error`."""
    if document.get("version") != "2.1.0":
        raise fields.error(f"{fields.what}: not SARIF 2.1.0")
    runs = fields.rows(document["runs"], "runs")
    if not runs:
        raise fields.error(f"{fields.what}: SARIF without a run")
    findings: list[Finding] = []
    suppressed: list[Suppressed] = []
    digests: set[str] = set()
    image_ids: set[str] = set()
    times: list[float] = []
    tools = []
    for run in runs:
        driver = fields.mapping(fields.mapping(run.get("tool"), "tool").get("driver"), "driver")
        name = fields.required(driver.get("name"), "the tool's name")
        if name.lower() not in _SCANNERS:
            raise fields.error(f"{fields.what}: {name[:60]!a} is no scanner of images that is known here")
        tools.append((name, fields.text(driver.get("version"), "version")))
        for invocation in fields.rows(run.get("invocations"), "invocations"):
            if invocation.get("executionSuccessful") is False:
                raise fields.error(f"{fields.what}: the scanner says that it failed")
            moment = fields.moment(invocation.get("endTimeUtc"), "endTimeUtc")
            times += [] if moment is None else [moment]
        if run.get("results") is None:
            raise fields.error(f"{fields.what}: a run without results: the scanner did not get to the end")
        properties = fields.mapping(run.get("properties"), "properties")
        digests |= {d for t in fields.words(properties.get("repoDigests"), "repoDigests") if (d := digest_in(t))}
        if identity := digest_in(fields.text(properties.get("imageID"), "imageID")):
            image_ids.add(identity)
        rules = fields.rows(driver.get("rules"), "rules")
        for row in fields.rows(run["results"], "results"):
            rule = _rule(row, rules, fields)
            found = _finding(row, rule, fields)
            if found is None:
                continue
            if reasons := fields.rows(row.get("suppressions"), "suppressions"):
                reason = fields.text(reasons[0].get("justification"), "justification")
                suppressed.append(Suppressed(found, reason or "left out by the scanner"))
            else:
                findings.append(found)
    return Report(
        "sarif",
        tools[0][0].lower(),
        tools[0][1],
        tuple(findings),
        tuple(suppressed),
        digests=frozenset(digests),
        image_ids=frozenset(image_ids),
        scanned_at=min(times, default=None),
        looked=bool(findings or suppressed),
    )


def _rule(row: dict[str, Any], rules: list[dict[str, Any]], fields: Fields) -> dict[str, Any]:
    index = row.get("ruleIndex", -1)
    identity = fields.text(row.get("ruleId"), "ruleId")
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules):
        rule = rules[index]
        if identity and identity != rule.get("id"):
            raise fields.error(f"{fields.what}: a result's ruleIndex and ruleId name two rules")
        return rule
    return next((rule for rule in rules if rule.get("id") == identity), {})


def _finding(row: dict[str, Any], rule: dict[str, Any], fields: Fields) -> Finding | None:
    properties = fields.mapping(rule.get("properties"), "properties")
    tags = {tag.lower() for tag in fields.words(properties.get("tags"), "tags")}
    if tags & {"secret", "misconfiguration", "license"}:
        return None
    identity = fields.required(row.get("ruleId") or rule.get("id"), "ruleId")
    match = _ID.fullmatch(identity)
    message = fields.text(fields.mapping(row.get("message"), "message").get("text"), "message")
    lines = dict(_LINE.findall(message))
    score = fields.number(properties.get("security-severity"), "security-severity")
    levels = [severity.of(word) for word in (lines.get("Severity"), *sorted(tags))]
    level = max(levels, default=Severity.UNKNOWN)
    if level is Severity.UNKNOWN and score:  # 0.0 is what Trivy writes for UNKNOWN
        level = severity.of_score(score)
    if level is Severity.UNKNOWN and score is None and "Severity" not in lines:
        level = _LEVELS.get(str(row.get("level")), Severity.UNKNOWN)
    purls = fields.words(properties.get("purls"), "purls")
    fixed = tuple(part.strip() for part in lines.get("Fixed Version", "").split(",") if part.strip())
    return Finding(
        match[1] if match else identity,
        lines.get("Package") or (match[2] if match and match[2] else ""),
        lines.get("Installed Version", ""),
        level,
        purl=purls[0] if len(purls) == 1 else None,
        chosen_from="sarif",
        status="fixed" if fixed else "unknown",
        fixed_versions=fixed,
    )
