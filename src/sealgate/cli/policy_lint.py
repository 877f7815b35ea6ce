"""`sealgate policy lint`: errors and weaknesses of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.options import add_flag
from sealgate.cli.policies import add_setting_arguments, settings_of, stance
from sealgate.cli.text import Style, printable, printable_json

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.gate.linting import Looked, Remark
    from sealgate.policy.attestors import Settings

HELP = """Read policies and say what is wrong with them: errors, for which they cannot be loaded, each with its place and what to
write; and notes on what weakens them, each with a code. Exit codes: 0 no error, 2 an error; with --strict, 16 for notes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("policies", nargs="+", metavar="POLICY", help="a file or a directory of policies")
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "sarif"), default="text", help="what stdout has (text)"
    )
    add_flag(parser, "--strict", help="end in 16 when there are notes")
    add_setting_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Look at everything, and say all of it."""
    from sealgate.gate import linting
    from sealgate.policy.notes import QUIET

    settings = context.run(settings_of(arguments, context))
    looked = linting.lint(arguments.policies, settings, home=arguments.policy_namespace)
    if arguments.output == "text":
        if looked.remarks:
            context.out("\n".join(_lines(looked, context.style() if context.stdout.isatty() else Style(colour=False))))
    else:
        context.out(_document(looked, settings) if arguments.output == "json" else _sarif(looked))
    errors = sum(each.level == "error" for each in looked.remarks)
    notes = len(looked.remarks) - errors
    context.err(f"{looked.files} files, {len(looked.rules)} rules: {errors} errors, {notes} notes; {stance(settings)}")
    weak = any(each.level != "error" and each.code not in QUIET for each in looked.remarks)
    return 2 if errors else 16 if weak and arguments.strict else 0


def _lines(looked: Looked, style: Style) -> list[str]:
    lines = []
    for each in looked.remarks:
        mark = style.bad("error") if each.level == "error" else style.strong("note")
        place = f"{each.file}: {each.where}" if each.where else each.file
        lines.append(
            f"{mark}: {printable(f'{place}: ' if place else '')}{printable(each.message, most=1000)}  {style.faint(each.code)}"
        )
        if each.hint and each.level == "error":
            lines.append(f"  hint: {printable(each.hint)}")
    return lines


def _document(looked: Looked, settings: Settings) -> str:
    import json

    found: dict[str, Any] = {
        "files": looked.files,
        "rules": [
            {
                "rule": rule.title, "kind": rule.kind, "dialect": rule.dialect, "where": rule.where,
                "action": rule.action, "images": list(rule.images),
            }
            for rule in looked.rules
        ],
        "log": stance(settings),
        "remarks": [each._asdict() for each in looked.remarks],
    }  # fmt: skip
    return printable_json(json.dumps(found, ensure_ascii=False, indent=2))


def _sarif(looked: Looked) -> str:
    """SARIF 2.1.0 (OASIS)."""
    import json

    from sealgate._version import __version__

    codes = list(dict.fromkeys(each.code for each in looked.remarks))
    driver = {
        "name": "sealgate",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": _short(code)}} for code in codes],
    }
    whole = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_result(each, codes) for each in looked.remarks]}],
    }
    return printable_json(json.dumps(whole, ensure_ascii=False, indent=2))


def _short(code: str) -> str:
    from sealgate.policy.notes import CODES

    return CODES.get(code, code.replace("-", " "))


def _result(remark: Remark, codes: list[str]) -> dict[str, Any]:
    text = f"{remark.message}: {remark.hint}" if remark.hint and remark.level == "error" else remark.message
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": remark.file or "policies"}}}
    if remark.where:
        location["logicalLocations"] = [{"fullyQualifiedName": remark.where, "kind": "member"}]
    return {
        "ruleId": remark.code,
        "ruleIndex": codes.index(remark.code),
        "level": "error" if remark.level == "error" else "note",
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"policy/v1": f"{remark.code} {remark.where}"},
    }
