"""`sealgate policy test`: run tests of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.places import add_layout_arguments, stores_of
from sealgate.cli.policies import add_setting_arguments, settings_of
from sealgate.cli.registries import add_registry_arguments
from sealgate.cli.text import Style, printable, printable_json

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.gate.expectations import Result, Suite
    from sealgate.policy.judging import Stores

HELP = """Run tests of policies: Kyverno's kyverno-test.yaml, and sealgate-test.yaml, which has its images in layouts beside it. Exit
codes: 0 everything came as expected, 1 something did not, 2 a test or a policy cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("tests", nargs="+", metavar="TEST", help="a file of tests, or a directory that has some")
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "junit"), default="text", help="what stdout has (text)"
    )
    add_flag(parser, "--fail-only", help="say nothing of what came as expected")
    add_setting_arguments(parser)
    add_layout_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Run every suite; say what did not come as expected."""
    from sealgate.gate import expectations

    results: list[Result] = []
    suites = [suite for file in expectations.find(arguments.tests) for suite in expectations.read(file)]
    for suite in suites:
        results += _run(suite, arguments, context)
    shown = [each for each in results if not (arguments.fail_only and each.passed)]
    if arguments.output == "text":
        if shown:
            colour = context.stdout.isatty() and not context.environ.get("NO_COLOR")
            context.out(_text(shown, Style(colour=colour)))
    else:
        context.out(_document(shown) if arguments.output == "json" else _junit(shown))
    failed = sum(not each.passed for each in results)
    context.err(f"{len(results) - failed} of {len(results)} came as expected")
    return 0 if expectations.all_met(results) else 1


def _run(suite: Suite, arguments: argparse.Namespace, context: Context) -> list[Result]:
    import time

    from sealgate.gate import expectations
    from sealgate.policy.judging import StoreJudge

    trusted = arguments.trusted_root or suite.trusted_root
    settings = context.run(settings_of(arguments, context, trusted_root=trusted))
    prepared = expectations.prepare(suite, settings, home=arguments.policy_namespace)
    judge = StoreJudge(_stores(suite, arguments, context))
    moment = suite.time
    clock = time.time if moment is None else lambda: moment
    return context.run(expectations.run(prepared, judge, clock=clock))


def _stores(suite: Suite, arguments: argparse.Namespace, context: Context) -> Stores:
    """What the command line says comes before what the test says."""
    if suite.layouts is not None and arguments.offline is None:
        arguments = type(arguments)(**(vars(arguments) | {"offline": suite.layouts}))
    return stores_of(arguments, context)


def _text(results: list[Result], style: Style) -> str:
    lines: list[str] = []
    suite = ""
    for each in results:
        if each.file != suite:
            suite = each.file
            lines.append(f"{printable(each.suite)} ({printable(each.file)})")
        if each.passed:
            lines.append(f"  {style.good('✓')} {printable(each.title)}  {each.found}")
        else:
            lines.append(
                f"  {style.bad('✗')} {printable(each.title)}  {style.bad(f'expected {each.expected}, found {each.found}')}"
            )
            lines.append(f"    {printable(each.reason, most=2000)}")
    return "\n".join(lines)


def _document(results: list[Result]) -> str:
    import json

    return printable_json(json.dumps([each._asdict() for each in results], ensure_ascii=False, indent=2))


def _junit(results: list[Result]) -> str:
    from xml.sax.saxutils import escape, quoteattr

    lines = []
    for each in results:
        where, name = quoteattr(printable(f"{each.file}: {each.suite}")), quoteattr(printable(each.title))
        if each.passed:
            lines.append(f"  <testcase classname={where} name={name}/>")
            continue
        message = quoteattr(f"expected {each.expected}, found {each.found}")
        lines.append(f"  <testcase classname={where} name={name}>")
        lines.append(f"    <failure message={message}>{escape(printable(each.reason, most=4000))}</failure>")
        lines.append("  </testcase>")
    failed = sum(not each.passed for each in results)
    head = f'<testsuite name="sealgate policy test" tests="{len(results)}" failures="{failed}" errors="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *lines, "</testsuite>"])
