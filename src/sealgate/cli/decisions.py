"""Decisions as text: for people, one line an image, JSON, SARIF and JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.text import Style, printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sealgate.gate.gating import Gated
    from sealgate.policy.decision import ImageDecision, Ruling

_WORDS = {"none": "admitted", "audit": "admitted", "warn": "admitted with a warning", "deny": "refused"}


def text(gated: list[Gated]) -> str:
    """One line an image: what becomes of it, in which object, which digest, and the code."""
    rows = [
        (
            "deny" if image.severity == "deny" else "warn" if image.severity == "warn" else "admit",
            printable(each.decision.workload),
            printable(image.image),
            str(image.digest) if image.digest is not None else "-",
            telling(image).code,
        )
        for each, image in _images(gated)
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )


def people(gated: list[Gated], style: Style, *, verbose: bool) -> str:
    """What was judged, by which policy, and why, for a person."""
    lines: list[str] = []
    admitted = 0
    for each, image in _images(gated):
        bad = image.severity == "deny"
        admitted += not bad
        mark = style.bad("✗") if bad else style.strong("!") if image.severity == "warn" else style.good("✓")
        name = printable(image.image)
        if image.digest is not None and str(image.digest) not in image.image:
            name = f"{name}@{image.digest}"
        paint = style.bad if bad else style.good
        where = printable(f"{each.deployed.manifest.name}: {image.where}")
        lines.append(f"{mark} {style.strong(name)}  {paint(_WORDS[image.severity])}  {style.faint(where)}")
        for ruling in image.rulings:
            lines += _ruling(ruling, style, verbose=verbose)
    if len(lines):
        lines.append(f"{admitted} of {sum(1 for _ in _images(gated))} images admitted")
    return "\n".join(lines)


def _ruling(ruling: Ruling, style: Style, *, verbose: bool) -> Iterator[str]:
    good = ruling.outcome in {"accepted", "skipped"}
    if ruling.outcome == "unmatched":
        yield f"  {style.faint('-')} {ruling.message} ({ruling.dialect})" + (
            f"  {style.faint(ruling.code)}" if ruling.severity != "none" else ""
        )
    else:
        mark = style.good("✓") if good else style.bad("?" if ruling.outcome == "unknown" else "✗")
        title = f"{ruling.rule}: " if ruling.rule else ""
        code = "" if good else f"  {style.faint(ruling.code)}"
        yield f"  {mark} {printable(title)}{printable(ruling.message, most=1000)}{code}"
    if ruling.outcome == "accepted" and not verbose:
        yield from (f"    {style.faint(printable(each))}" for each in _not_asked(ruling))
    if not good and ruling.hint and ruling.severity != "none":
        yield f"    hint: {printable(ruling.hint)}"
    if ruling.outcome in {"refused", "unknown"} or verbose:
        from sealgate.cli.render import people as verdict_of

        for attestor, verdict in ruling.verdicts:
            if verdict.accepted and not verbose:
                continue
            told = verdict_of([verdict], style, verbose=verbose).split("\n")[1:]
            place = printable(f"{attestor.where} ({attestor.name})" if attestor.where else attestor.name)
            yield f"    {style.faint(place)}"
            yield from (f"    {line}" for line in told if not line.strip().startswith(("code:", "hint:")))


def _not_asked(ruling: Ruling) -> Iterable[str]:
    """What was not asked of those who were accepted: the log above all."""
    from sealgate.cli.render import said

    return dict.fromkeys(text for _, verdict in ruling.verdicts if verdict.accepted for text in said(verdict))


def telling(image: ImageDecision) -> Ruling:
    """The ruling that decides: the severest, the first of them."""
    order = {"deny": 0, "warn": 1, "audit": 2, "none": 3}
    return min(image.rulings, key=lambda each: order[each.severity])


def _images(gated: list[Gated]) -> Iterable[tuple[Gated, ImageDecision]]:
    return ((each, image) for each in gated for image in each.decision.images)


def document(gated: list[Gated]) -> str:
    """Every decision, with the file it is about."""
    import json

    found = [{"file": each.deployed.manifest.name, **each.decision.as_json()} for each in gated]
    return printable_json(json.dumps(found, ensure_ascii=False, indent=2))


def sarif(gated: list[Gated]) -> str:
    """SARIF 2.1.0 (OASIS): one result for each ruling that denies or warns, or that is only reported."""
    import json

    from sealgate._version import __version__

    told = [
        (each, image, ruling)
        for each, image in _images(gated)
        for ruling in image.rulings
        if ruling.severity != "none" or ruling.outcome == "unmatched"
    ]
    rules = list(dict.fromkeys(ruling.code for _, _, ruling in told))
    lines = _lines([(each, image) for each, image, _ in told])
    results: list[dict[str, Any]] = [
        {
            "ruleId": ruling.code,
            "ruleIndex": rules.index(ruling.code),
            "level": {"deny": "error", "warn": "warning"}.get(ruling.severity, "note"),
            "message": {"text": f"{image.image}: {ruling.rule or 'policies'}: {ruling.message}"},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": each.deployed.manifest.name}}
                    | _region(
                        lines.get((each.deployed.manifest.name, each.deployed.document, image.pointer or image.where))
                    ),
                    "logicalLocations": [{"fullyQualifiedName": image.where, "kind": "resource"}],
                }
            ],
            "partialFingerprints": {"image/v1": f"{image.image} {ruling.rule}"},
        }
        for each, image, ruling in told
    ]
    driver = {
        "name": "sealgate",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in rules],
    }
    whole = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return printable_json(json.dumps(whole, ensure_ascii=False, indent=2))


def _region(line: int | None) -> dict[str, Any]:
    return {"region": {"startLine": line}} if line is not None else {}


def _lines(told: list[tuple[Gated, ImageDecision]]) -> dict[tuple[str, int, str], int]:
    """Where the images stand, by file, document and place; of Dockerfiles the place says it itself."""
    import re

    from sealgate.workloads import rewriting

    found: dict[tuple[str, int, str], int] = {}
    manifests = {each.deployed.manifest.name: each.deployed.manifest for each, _ in told}
    for name, manifest in manifests.items():
        own = [(each.deployed.document, image) for each, image in told if each.deployed.manifest.name == name]
        places = {(document, image.pointer) for document, image in own if image.pointer}
        if places:
            text = manifest.raw.decode("utf-8")
            found |= {(name, *place): line for place, line in rewriting.lines(text, places).items()}
        for document, image in own:
            if (said := re.match(r"line (\d+): ", image.where)) is not None and not image.pointer:
                found[name, document, image.where] = int(said[1])
    return found


def junit(gated: list[Gated]) -> str:
    """JUnit XML: one test case an image; nothing known is an error, a refusal a failure, and what else is to be said stands in
    `system-out`.
    """
    from xml.sax.saxutils import escape, quoteattr

    lines = []
    counts = {"failure": 0, "error": 0}
    total = 0
    for each, image in _images(gated):
        total += 1
        where = quoteattr(printable(f"{each.deployed.manifest.name}: {each.decision.workload}"))
        name = quoteattr(printable(image.image))
        if image.severity != "deny":
            told = [each for each in image.rulings if each.severity != "none" or each.outcome == "unmatched"]
            said = escape("\n".join(printable(f"{_sentence(each)} [{each.code}]") for each in told))
            inner = f"><system-out>{said}</system-out></testcase>" if told else "/>"
            lines.append(f"  <testcase classname={where} name={name}{inner}")
            continue
        ruling = telling(image)
        kind = "error" if ruling.outcome == "unknown" else "failure"
        counts[kind] += 1
        message = quoteattr(printable(_sentence(ruling)))
        inner = escape(printable(ruling.hint or ""))
        lines.append(
            f"  <testcase classname={where} name={name}><{kind} type={quoteattr(ruling.code)} message={message}>"
            f"{inner}</{kind}></testcase>"
        )
    head = f'<testsuite name="sealgate gate" tests="{total}" failures="{counts["failure"]}" errors="{counts["error"]}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *lines, "</testsuite>"])


def _sentence(ruling: Ruling) -> str:
    return f"{ruling.rule}: {ruling.message}" if ruling.rule else ruling.message
