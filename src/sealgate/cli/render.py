"""Verdicts as text: for people, as cosign prints them, as JSON, SARIF and JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from sealgate.cli.text import Style, printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.verification.checks import SignatureReport
    from sealgate.verification.findings import Finding
    from sealgate.verification.verdict import Verdict

_MARK = {"passed": "✓", "failed": "✗", "skipped": "-"}


def style(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Styles for a stream."""
    return Style(colour=stream.isatty() and not environ.get("NO_COLOR"))


def people(verdicts: list[Verdict], style: Style, *, verbose: bool) -> str:
    """What was found and decided, for a person."""
    blocks = [_one(verdict, style, verbose=verbose) for verdict in verdicts]
    if len(verdicts) > 1:
        good = sum(verdict.accepted for verdict in verdicts)
        blocks.append(f"{good} of {len(verdicts)} images accepted")
    return "\n".join(blocks)


def _one(verdict: Verdict, style: Style, *, verbose: bool) -> str:
    mark = style.good("✓") if verdict.accepted else style.bad("✗" if verdict.outcome == "refused" else "?")
    outcome = "not known" if verdict.outcome == "unknown" else verdict.outcome
    paint = style.good if verdict.accepted else style.bad
    name = verdict.image
    if verdict.digest is not None and str(verdict.digest) not in name:
        name = f"{name}@{verdict.digest}"
    lines = [f"{mark} {style.strong(printable(name))}  {paint(outcome)}: {printable(verdict.summary)}"]
    signatures = [report for report in verdict.signatures if _counts(report, verdict)]
    noun = "signature" if verdict.predicate_type is None else "attestation"
    if signatures:
        lines.append(f"  {len(signatures)} {noun}{'s' if len(signatures) > 1 else ''} found")
    shown = verdict.signatures if verbose or not verdict.accepted else signatures
    for report in shown[:50]:
        lines += _report(report, style, verbose=verbose, counts=_counts(report, verdict))
    if len(shown) > 50:
        lines.append(f"  … and {len(shown) - 50} more; -o verdict has all of them")
    for problem in verdict.problems:
        if problem.message not in verdict.summary:
            lines.append(f"  {style.bad('!')} {printable(problem.message)}  {style.faint(problem.code)}")
    if verdict.accepted:
        lines += [f"  {style.faint(note.message)}" for note in verdict.notes]
    else:
        lines.append(f"  code: {verdict.code}")
        if verdict.hint:
            lines.append(f"  hint: {printable(verdict.hint)}")
    return "\n".join(lines)


def _counts(report: SignatureReport, verdict: Verdict) -> bool:
    """Whether it is of the kind that was asked for, or may be."""
    if verdict.predicate_type is None:
        return report.kind != "attestation"
    return report.predicate_type == verdict.predicate_type or report.kind == "unknown"


def _report(report: SignatureReport, style: Style, *, verbose: bool, counts: bool) -> list[str]:
    label = printable(report.label)
    for digest in (report.content, report.manifest):
        if digest is not None and not verbose:
            label = label.replace(str(digest), f"{digest.algorithm}:{digest.hex[:12]}…")
    mark = style.good("✓") if report.accepted else style.bad("✗") if counts else style.faint("-")
    failed = [finding for finding in report.findings if finding.outcome == "failed"]
    if verbose:
        lines = [f"  {mark} {label}"]
        lines += [f"      {_MARK[finding.outcome]} {_sentence(finding, style)}" for finding in report.findings]
        return lines + _source(report)
    telling: list[Finding] = failed or _good(report)
    skipped = [finding for finding in report.findings if finding.code in _SAID]
    lines = [f"  {mark} {label}  {_sentence(telling[0], style)}" if telling else f"  {mark} {label}"]
    return lines + _source(report) + [f"      {_sentence(finding, style)}" for finding in (*telling[1:], *skipped)]


def _source(report: SignatureReport) -> list[str]:
    """From which source, where a good certificate tells."""
    leaf = report.made.leaf if report.made is not None and report.accepted else None
    return [f"      source: {printable(leaf.identity.source)}"] if leaf is not None and leaf.identity.source else []


_SAID = frozenset({"annotations-not-checked", "log-entry-not-asked", "sct-not-asked"})
"""What was not checked is said even of good signatures."""


def said(verdict: Verdict) -> list[str]:
    """What was not asked of an image that was accepted."""
    findings = [each for report in verdict.signatures if report.accepted for each in report.findings]
    return [*(each.message for each in verdict.notes), *(each.message for each in findings if each.code in _SAID)]


def _good(report: SignatureReport) -> list[Finding]:
    """What to say of a good signature: by whom, and what a certificate, a log and a timestamp say."""
    of_key = "signature-verified" if report.made is None or report.made.leaf is None else "identity-verified"
    codes = (of_key, "source-named", "log-entry-verified", "timestamp-verified")
    return [finding for code in codes for finding in report.findings if finding.code == code]


def _sentence(finding: Finding, style: Style) -> str:
    code = f"  {style.faint(finding.code)}" if finding.outcome == "failed" else ""
    return f"{printable(finding.message)}{code}"


# -- cosign's own output (reference: cosign 3.1.1 `verify`, measured)


def cosign(verdicts: list[Verdict], *, text: bool) -> str:
    """One JSON array a line and image, after an empty line; with `text` one object a line. Good signatures only."""
    from sealgate.evidence.gojson import encoding_json

    parts = []
    for verdict in verdicts:
        if not verdict.accepted:
            continue
        payloads = [_payload(verdict, report) for report in verdict.signatures if report.accepted]
        if text:
            parts += [encoding_json(payload) + "\n" for payload in payloads]
        else:
            parts.append("\n" + encoding_json(payloads) + "\n")
    return printable_json("".join(parts))


def envelopes(verdicts: list[Verdict]) -> str:
    """What `cosign verify-attestation` prints: the DSSE envelopes of the good attestations, one a line."""
    good = [report.envelope for verdict in verdicts if verdict.accepted for report in verdict.signatures]
    return "".join(envelope.decode("utf-8") + "\n" for envelope in good if envelope is not None)


def _payload(verdict: Verdict, report: SignatureReport) -> dict[str, Any]:
    payload = report.payload or {}
    reference = payload.get("reference")
    return {
        "critical": {
            "identity": {"docker-reference": verdict.image if reference is None else reference},
            "image": {"docker-manifest-digest": str(verdict.digest)},
            "type": payload.get("type"),
        },
        "optional": _as_go_map(payload.get("optional")) or ({} if report.format == "bundle" else None),
    }


def _as_go_map(value: Any) -> Any:
    """Go prints the members of a map in the order of their names, whatever the order in which they were signed."""
    if isinstance(value, dict):
        return {name: _as_go_map(value[name]) for name in sorted(value)}
    return [_as_go_map(item) for item in value] if isinstance(value, list) else value


# -- other programs


def documents(verdicts: list[Verdict]) -> str:
    """The full verdicts: one document for one image, an array for several."""
    import json

    found = [verdict.as_json() for verdict in verdicts]
    return printable_json(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=2))


def sarif(verdicts: list[Verdict]) -> str:
    """SARIF 2.1.0 (OASIS): one result for each image that was not accepted."""
    import json

    from sealgate._version import __version__

    refused = [verdict for verdict in verdicts if not verdict.accepted]
    rules = list(dict.fromkeys(verdict.code for verdict in refused))
    results = [
        {
            "ruleId": verdict.code,
            "ruleIndex": rules.index(verdict.code),
            "level": "error",
            "message": {"text": f"{verdict.image}: {verdict.summary}"},
            "locations": [
                {"logicalLocations": [{"fullyQualifiedName": verdict.image, "kind": "resource"}]},
            ],
            "partialFingerprints": {"image/v1": f"{verdict.repository}@{verdict.digest}"},
        }
        for verdict in refused
    ]
    driver = {
        "name": "sealgate",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in rules],
    }
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return printable_json(json.dumps(document, ensure_ascii=False, indent=2))


def junit(verdicts: list[Verdict]) -> str:
    """JUnit XML: one test case an image."""
    from xml.sax.saxutils import escape, quoteattr

    failures = sum(verdict.outcome == "refused" for verdict in verdicts)
    errors = sum(verdict.outcome == "unknown" for verdict in verdicts)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="sealgate verify" tests="{len(verdicts)}" failures="{failures}" errors="{errors}">',
    ]
    for verdict in verdicts:
        name = quoteattr(printable(verdict.image))
        if verdict.accepted:
            lines.append(f'  <testcase classname="image" name={name}/>')
            continue
        kind = "failure" if verdict.outcome == "refused" else "error"
        text = escape(printable(verdict.hint or ""))
        lines.append(
            f'  <testcase classname="image" name={name}><{kind} type={quoteattr(verdict.code)} '
            f"message={quoteattr(printable(verdict.summary))}>{text}</{kind}></testcase>"
        )
    return "\n".join([*lines, "</testsuite>"])
