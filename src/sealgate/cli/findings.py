"""Decisions of the scan gate as text: a table for people, JSON, SARIF and JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.text import printable, printable_json

if TYPE_CHECKING:
    from sealgate.errors import SealgateError
    from sealgate.scan.judge import Decision, Judged

_LEVELS = {5: "error", 4: "error", 3: "warning"}
_ROWS = 200
_WIDTHS = (24, 28, 20, 20)


def table(decisions: list[Decision]) -> str:
    """For a person: what was found, in what, where it is fixed, and why it counts or does not."""
    blocks = []
    for decision in decisions:
        lines = [f"{'passed' if decision.accepted else 'refused'}: {printable(decision.target.name)}"]
        lines += [
            f"  {printable(report.name)}: {printable(report.scanner)} {printable(report.version)}, bound by {by}"
            for report, by in decision.reports
        ]
        if decision.findings:
            rows = [("SEVERITY", "VULNERABILITY", "PACKAGE", "INSTALLED", "FIXED IN", "")]
            rows += [_row(one) for one in decision.findings[:_ROWS]]
            widths = [max(len(row[column]) for row in rows) for column in range(5)]
            lines += [
                "  "
                + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
                for row in rows
            ]
            if len(decision.findings) > _ROWS:
                lines.append(f"  … and {len(decision.findings) - _ROWS} more; -o json has all of them")
        lines.append("  " + _summary(decision))
        lines += [f"  ! {printable(problem.message)}  {problem.code}" for problem in decision.problems]
        lines += [f"  note: {printable(note)}" for note in decision.notes]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _row(one: Judged) -> tuple[str, str, str, str, str, str]:
    finding = one.finding
    cells = (finding.id, finding.package or "-", finding.version or "-", _fix(one))
    shown = [printable(cell, most=width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    marks = [one.outcome if not one.why else f"{one.outcome}: {one.why}"]
    if finding.severity != one.severity:
        marks.append(f"{finding.chosen_from or 'scanner'} says {finding.severity}")
    if one.known_exploited and "KEV" not in one.why:
        marks.append("exploited (KEV)")
    if one.epss is not None and "EPSS" not in one.why:
        marks.append(f"EPSS {one.epss:.2f}")
    return str(one.severity), *shown, printable("; ".join(marks))  # type: ignore[return-value]  # `shown` has four


def _fix(one: Judged) -> str:
    return {
        "fixed": ", ".join(one.finding.fixed_versions),
        "affected": "(none yet)",
        "wont-fix": "(will not fix)",
        "unknown": "(not said)",
    }[one.finding.status]


def _summary(decision: Decision) -> str:
    counts = {"refused": 0, "passed": 0, "ignored": 0}
    for one in decision.findings:
        counts[one.outcome] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def document(decisions: list[Decision]) -> str:
    """One document for one image, an array for several."""
    import json

    found = [_decision(decision) for decision in decisions]
    return printable_json(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=2))


def _decision(decision: Decision) -> dict[str, Any]:
    refusal = decision.refusal()
    return {
        "image": decision.target.name,
        "digest": decision.target.digest,
        "accepted": decision.accepted,
        "code": "accepted" if refusal is None else refusal.code,
        "reports": [
            {
                "name": report.name,
                "format": report.format,
                "scanner": report.scanner,
                "version": report.version,
                "scannedAt": _time(report.scanned_at),
                "databaseAt": _time(report.database_at),
                "packages": report.packages_seen,
                "boundBy": by,
            }
            for report, by in decision.reports
        ],
        "findings": [_finding(one) for one in decision.findings],
        "problems": [{"code": problem.code, "message": problem.message} for problem in decision.problems],
        "notes": list(decision.notes),
    }


def _finding(one: Judged) -> dict[str, Any]:
    finding = one.finding
    return {
        "id": finding.id,
        "aliases": list(one.also),
        "related": list(finding.related),
        "package": finding.package,
        "version": finding.version,
        "purl": finding.purl,
        "severity": str(one.severity),
        "reportedSeverity": str(finding.severity),
        "severitySource": finding.chosen_from,
        "ratings": [
            {"source": rating.source, "severity": str(rating.severity), "score": rating.score}
            for rating in finding.ratings
        ],
        "status": finding.status,
        "fixedVersions": list(finding.fixed_versions),
        "outcome": one.outcome,
        "why": one.why,
        "knownExploited": one.known_exploited,
        "epss": one.epss,
    }


def _time(moment: float | None) -> str | None:
    import time

    return None if moment is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def sarif(decisions: list[Decision]) -> str:
    """SARIF 2.1.0 (OASIS): a result for each finding that counts, and for each problem of the reports."""
    import json

    from sealgate._version import __version__

    results: list[dict[str, Any]] = []
    rules: dict[str, dict[str, Any]] = {}
    for decision in decisions:
        for problem in decision.problems:
            rules.setdefault(
                problem.code, {"id": problem.code, "shortDescription": {"text": problem.code.replace("-", " ")}}
            )
            results.append(_result(decision, problem.code, "error", problem.message))
        for one in decision.findings:
            finding = one.finding
            rules.setdefault(
                finding.id, {"id": finding.id, "shortDescription": {"text": f"{finding.id} ({one.severity})"}}
            )
            level = _LEVELS.get(int(one.severity), "note")
            text = (
                f"{finding.id} in {finding.package} {finding.version}: {one.outcome}{f', {one.why}' if one.why else ''}"
            )
            result = _result(decision, finding.id, "error" if one.outcome == "refused" else level, text)
            if one.outcome == "ignored":
                result["suppressions"] = [{"kind": "external", "justification": one.why}]
            results.append(result)
    order = list(rules)
    for result in results:
        result["ruleIndex"] = order.index(result["ruleId"])
    driver = {"name": "sealgate", "version": __version__, "rules": list(rules.values())}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return printable_json(json.dumps(document, ensure_ascii=False, indent=2))


def _result(decision: Decision, rule: str, level: str, text: str) -> dict[str, Any]:
    image = decision.target.name
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": image, "kind": "resource"}]}],
        "partialFingerprints": {"image/v1": image},
    }


def junit(decisions: list[Decision]) -> str:
    """JUnit XML: one test case an image, and one a finding."""
    from xml.sax.saxutils import escape, quoteattr

    lines: list[str] = []
    tests = failures = 0
    for decision in decisions:
        refusal: SealgateError | None = decision.refusal()
        tests += 1
        failures += refusal is not None
        name = quoteattr(printable(decision.target.name))
        if refusal is None:
            lines.append(f'  <testcase classname="image" name={name}/>')
        else:
            said = quoteattr(printable(refusal.message))
            lines.append(
                f'  <testcase classname="image" name={name}><failure type={quoteattr(refusal.code)} message={said}/></testcase>'
            )
        for one in decision.findings:
            tests += 1
            name = quoteattr(printable(f"{one.finding.id} {one.finding.package} {one.finding.version}"))
            inner = ""
            if one.outcome == "refused":
                failures += 1
                inner = f'<failure type="{one.severity}" message={quoteattr(printable(one.why))}/>'
            elif one.outcome == "ignored":
                inner = f"<skipped message={quoteattr(printable(one.why))}/>"
            where = escape(printable(decision.target.name), {'"': "&quot;"})
            lines.append(f'  <testcase classname="{where}" name={name}>{inner}</testcase>')
    head = f'<testsuite name="sealgate scan" tests="{tests}" failures="{failures}" errors="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *lines, "</testsuite>"])
