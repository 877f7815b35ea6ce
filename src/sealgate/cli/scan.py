"""`sealgate scan`: judge what a scanner found in images, by the user's own scanner or by reports."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.gating import add_gate_arguments, policy_of, raw_reports_of
from sealgate.cli.keyless import add_keyless_arguments, check_keyless_arguments, require_services
from sealgate.cli.options import add_flag, duration
from sealgate.cli.registries import add_registry_arguments, images
from sealgate.errors import ReportInvalidError, ReportLimitError, UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Image, Images
    from sealgate.scan.binding import Target
    from sealgate.scan.judge import Decision
    from sealgate.scan.report import Report

HELP = """Judge what a scanner found in images. Runs the scanner that is there (trivy or grype on the PATH), or takes the reports
that were made (--report). Exit codes: 0 nothing speaks against the images, 16 refused, 14 could not ask or scan, 2 wrong
usage. The same options make `sealgate sign` and `sealgate attest` refuse."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument("--scanner", choices=("trivy", "grype"), help="the scanner to run (the first that is there)")
    parser.add_argument(
        "--scan-timeout", type=duration, metavar="DURATION", help="how long the scanner may take for an image (15m0s)"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "sarif", "junit"), default="text", help="what stdout has (text)"
    )
    add_flag(
        parser, "--attest", help="attach the report as vuln attestation, and --vex where it is OpenVEX, unless refused"
    )
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="the key that attests (repeatable)")
    parser.add_argument("--format", choices=("bundle", "legacy", "both"), help="where to put attestations (bundle)")
    add_flag(parser, "--replace", help="attestations of the same type by the same key give way to the new ones")
    add_gate_arguments(parser, report="--report")
    add_keyless_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Judge every image."""
    import time

    from sealgate.cli import findings
    from sealgate.scan import judge as judging

    if arguments.scan_report and arguments.scanner:
        raise UsageError("--report and --scanner contradict each other", hint="a report was made already")
    if arguments.attest:
        check_keyless_arguments(arguments)
        context.run(require_services(arguments, context))
    elif arguments.key or arguments.identity_token or arguments.signing_config:
        raise UsageError("nothing is signed without --attest", hint="--attest --key cosign.key")
    if not arguments.attest and (arguments.format or arguments.replace):
        raise UsageError("--format and --replace belong to --attest")
    policy = policy_of(arguments, context)
    with ExitStack() as closing:
        opened = images(arguments, context, closing)
        found = context.run(_targets(arguments, opened))
        try:
            read = raw_reports_of(arguments, context) if arguments.scan_report else _scan(arguments, context, found)
        except (ReportInvalidError, ReportLimitError) as error:  # a refusal of every image, in every form of output
            read = []
            decisions = [judging.Decision(target, (), (), (error,), ()) for _, target in found]
        else:
            reports = [report for report, _ in read]
            decisions = judging.judge([target for _, target in found], reports, policy, now=time.time())
        writers = {"text": findings.table, "json": findings.document, "sarif": findings.sarif, "junit": findings.junit}
        context.out(writers[arguments.output](decisions))
        code = _end(decisions, context, text=arguments.output == "text")
        if arguments.attest and code == 0:
            from sealgate.cli.scan_attest import attest_reports

            attest_reports(arguments, context, found, read)
    return code


def _end(decisions: list[Decision], context: Context, *, text: bool) -> int:
    """Every image that is refused is named; one refusal is enough."""
    from sealgate.cli.__main__ import report

    code = 0
    for decision in decisions:
        if (refusal := decision.refusal()) is not None:
            report(refusal, context)
            code = 16
        if not text:
            for note in decision.notes:
                context.err(f"note: {note}")
    return code


async def _targets(arguments: argparse.Namespace, opened: Images) -> list[tuple[Image, Target]]:
    from sealgate.signing.gate import target_of
    from sealgate.transport import flow

    places = [await opened.open(text, writable=arguments.attest) for text in arguments.images]
    return await flow.gather([target_of(place) for place in places], limit=8)


def _scan(
    arguments: argparse.Namespace, context: Context, found: list[tuple[Image, Target]]
) -> list[tuple[Report, bytes]]:
    """A fresh report of every platform of every image."""
    from sealgate import limits
    from sealgate.cli.text import printable
    from sealgate.oci.location import parse_location
    from sealgate.oci.reference import Reference
    from sealgate.scan import reading, scanner

    chosen = scanner.find(context.environ, wanted=arguments.scanner)
    reports = []
    for text, (_, target) in zip(arguments.images, found, strict=True):
        location = parse_location(text)
        layout = None if isinstance(location, Reference) else (location.kind, location.path)
        for part in target.parts:
            name = f"{target.repository}@{part.digest}" if layout is None else None
            words = scanner.command(chosen, reference=name, layout=layout, digest=part.digest)
            context.err(f"Scanning {printable(name or text)} with {chosen.name}")
            raw = scanner.run(words, environ=context.environ, seconds=arguments.scan_timeout or limits.SCAN_SECONDS)
            reports.append((reading.read(raw, what=f"{chosen.name}'s report of {part.digest}"), raw))
    return reports
