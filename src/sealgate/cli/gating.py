"""The options of the scan gate, the same for every command that has one, and the values they stand for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.cli.context import Context
    from sealgate.oci.images import Image
    from sealgate.scan.judge import Policy
    from sealgate.scan.report import Report
    from sealgate.signing.gate import Gate

_SEVERITIES = ("negligible", "low", "medium", "high", "critical")
_COUNTS_AS = ("low", "medium", "high", "critical")
_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def add_gate_arguments(parser: ArgumentParser, *, report: str) -> None:
    """`report` is the name of the option that takes reports: `--scan-report`, or `--report` where that cannot be misread."""
    group = parser.add_argument_group("scan gate")
    group.add_argument(
        report, dest="scan_report", action="append", default=[], metavar="FILE",
        help="a scan report of the image: Trivy, Grype, OSV-Scanner, SARIF, CycloneDX, vuln predicate; - is stdin (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--fail-on", choices=_SEVERITIES, metavar="SEVERITY",
        help=f"refuse from this severity on: {', '.join(_SEVERITIES)} (high)",
    )  # fmt: skip
    group.add_argument(
        "--severity-source", metavar="SOURCE",
        help="whose severity counts: vendor (what the scanner chose), highest, or a source such as nvd (vendor)",
    )  # fmt: skip
    group.add_argument(
        "--unknown-severity", choices=_COUNTS_AS, metavar="SEVERITY", help="what an unknown severity counts as (high)"
    )
    add_flag(group, "--ignore-unfixed", help="let pass what has no fix yet, and what the vendor will not fix")
    group.add_argument(
        "--ignore-file", action="append", default=[], metavar="FILE", help="accepted findings (YAML, repeatable)"
    )
    group.add_argument(
        "--vex", action="append", default=[], metavar="FILE", help="OpenVEX, CycloneDX VEX or CSAF VEX (repeatable)"
    )
    group.add_argument("--kev", metavar="FILE", help="CISA's known_exploited_vulnerabilities.json")
    group.add_argument("--epss", metavar="FILE", help="FIRST's EPSS scores (CSV, plain or gzip)")
    add_flag(group, "--fail-on-kev", help="refuse what is known to be exploited, whatever its severity")
    group.add_argument("--fail-on-epss", type=_probability, metavar="P", help="refuse from this EPSS score on: 0 to 1")
    group.add_argument("--max-age", type=_age, metavar="AGE", help="how old the scan may be: 12h, 7d")
    group.add_argument("--max-db-age", type=_age, metavar="AGE", help="how old the scanner's database may be")
    add_flag(
        group,
        "--unsafe-unbound-report",
        help="accept a report that does not say which image it is about (SARIF, OSV-Scanner)",
    )
    add_flag(group, "--unsafe-empty-report", help="accept a report in which nothing shows that the scanner looked")


_NEEDS_REPORT = (
    "fail_on", "severity_source", "unknown_severity", "ignore_unfixed", "ignore_file", "vex", "kev", "epss",
    "fail_on_kev", "fail_on_epss", "max_age", "max_db_age", "unsafe_unbound_report", "unsafe_empty_report",
)  # fmt: skip


def gate_of(arguments: Namespace, context: Context) -> Gate | None:
    """The gate that the options of `sign` or `attest` ask for; None without a report.

    Raises `UsageError` when an option asks for something that only a report can answer, and what reading the files raises.
    """
    if "-" in arguments.scan_report and "COSIGN_PASSWORD" not in context.environ and not context.interactive:
        raise UsageError("stdin cannot be both the report and the password of the key", hint="set COSIGN_PASSWORD")
    if not arguments.scan_report:
        asked = [name for name in _NEEDS_REPORT if getattr(arguments, name)]
        if asked:
            raise UsageError(f"--{asked[0].replace('_', '-')} needs a report", hint="--scan-report FILE")
        return None
    import time

    from sealgate.signing.gate import Gate

    policy = policy_of(arguments, context)
    return Gate(reports_of(arguments, context), policy, time.time())


async def pass_gate(places: list[Image], gate: Gate, context: Context) -> list[Image]:
    """The images, pinned to the digests that were judged. Raises the first refusal: then nothing is signed at all."""
    from sealgate.signing import gate as gates

    passed, decisions = await gates.pass_gate(places, gate)
    for note in dict.fromkeys(note for decision in decisions for note in decision.notes):
        context.err(f"note: {note}")
    return passed


def reports_of(arguments: Namespace, context: Context) -> tuple[Report, ...]:
    """Every report, read."""
    return tuple(report for report, _ in raw_reports_of(arguments, context))


def raw_reports_of(arguments: Namespace, context: Context) -> list[tuple[Report, bytes]]:
    """Every report, read, with its bytes."""
    from sealgate import limits
    from sealgate.scan import reading

    if arguments.scan_report.count("-") > 1:
        raise UsageError("stdin is one report")
    found = []
    for path in arguments.scan_report:
        raw = read_file(path, context, limit=limits.SCAN_REPORT_BYTES)
        found.append((reading.read(raw, what="stdin" if path == "-" else path), raw))
    return found


def policy_of(arguments: Namespace, context: Context) -> Policy:
    """What is demanded. Raises `UsageError`, `IgnoreFileError`, `VexInvalidError`, `FeedInvalidError`."""
    from sealgate import limits
    from sealgate.scan import feeds, ignores, severity, vex
    from sealgate.scan.judge import Policy

    if arguments.fail_on_kev and arguments.kev is None:
        raise UsageError("--fail-on-kev needs the list", hint="--kev FILE")
    if arguments.fail_on_epss is not None and arguments.epss is None:
        raise UsageError("--fail-on-epss needs the scores", hint="--epss FILE")
    source = (arguments.severity_source or "vendor").lower()
    if not _CHARS.issuperset(source):
        raise UsageError("--severity-source is vendor, highest or the name of a source", hint="nvd, debian, ghsa, …")
    entries = [
        ignores.read(read_file(path, context, limit=limits.IGNORE_FILE_BYTES), what=path)
        for path in arguments.ignore_file
    ]
    documents = [
        vex.read(read_file(path, context, limit=limits.SCAN_REPORT_BYTES), what=path) for path in arguments.vex
    ]
    kev: frozenset[str] = frozenset()
    if arguments.kev is not None:
        kev = feeds.read_kev(read_file(arguments.kev, context, limit=limits.FEED_BYTES), what=arguments.kev)
    epss: dict[str, float] = {}
    if arguments.epss is not None:
        epss = feeds.read_epss(read_file(arguments.epss, context, limit=limits.FEED_BYTES), what=arguments.epss)
    return Policy(
        fail_on=severity.of(arguments.fail_on or "high"),
        severity_source=source,
        unknown=severity.of(arguments.unknown_severity or "high"),
        ignore_unfixed=arguments.ignore_unfixed,
        ignores=tuple(entry for found in entries for entry in found),
        statements=tuple(statement for found in documents for statement in found),
        kev=kev,
        epss=epss,
        fail_on_kev=arguments.fail_on_kev,
        fail_on_epss=arguments.fail_on_epss,
        max_age=arguments.max_age,
        max_database_age=arguments.max_db_age,
        unsafe_unbound=arguments.unsafe_unbound_report,
        unsafe_empty=arguments.unsafe_empty_report,
    )


def read_file(path: str, context: Context, *, limit: int) -> bytes:
    """A file, or stdin for `-`; one byte more than `limit` where it is larger, for the reader to refuse."""
    if path == "-":
        return context.stdin.buffer.read(limit + 1)
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the name is not a path"
        raise UsageError(f"{path} cannot be read: {reason}") from error


def _age(text: str) -> float:
    """`90m`, `12h`, `7d` in seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    number, unit = text[:-1], units.get(text[-1:])
    if unit is None or not (number.isascii() and number.isdigit()) or len(number) > 6 or not int(number):
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not an age such as 12h or 7d")
    return int(number) * unit


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a probability: more than 0, at most 1")
    return value
