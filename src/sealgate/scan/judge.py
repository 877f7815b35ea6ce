"""The judgement: reports, what excuses a finding, and what is demanded, to one decision an image. Pure; `now` is given.

Every finding is judged alone, by what is said of it and its own aliases; findings are joined for people afterwards. So taking
a finding away never turns a pass into a refusal, and a finding that nobody excused is not excused by its neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sealgate.errors import (
    ReportEmptyError,
    ReportInvalidError,
    ReportStaleError,
    ReportUnboundError,
    SealgateError,
    VulnerableError,
)
from sealgate.scan import binding, vex
from sealgate.scan.binding import Target
from sealgate.scan.ignores import IgnoreEntry
from sealgate.scan.report import Finding, Report
from sealgate.scan.severity import Severity

Outcome = Literal["refused", "passed", "ignored"]

CLOCK_SECONDS = 300.0
"""How far a scanner's clock may be ahead of ours."""
SOON_SECONDS = 7 * 86_400.0
"""An ignore entry that ends within this time is pointed out."""
_ORDER: dict[Outcome, int] = {"refused": 0, "passed": 1, "ignored": 2}


class Policy(NamedTuple):
    """What is demanded of an image."""

    fail_on: Severity
    """This severity and worse ones refuse."""
    severity_source: str = "vendor"
    """`vendor` (what the scanner chose), `highest`, or a source such as `nvd`; where that says nothing, the scanner's."""
    unknown: Severity = Severity.HIGH
    """What an unknown severity counts as."""
    ignore_unfixed: bool = False
    ignores: tuple[IgnoreEntry, ...] = ()
    statements: tuple[vex.Statement, ...] = ()
    kev: frozenset[str] = frozenset()
    epss: Mapping[str, float] = {}
    fail_on_kev: bool = False
    fail_on_epss: float | None = None
    max_age: float | None = None
    max_database_age: float | None = None
    unsafe_unbound: bool = False
    unsafe_empty: bool = False


class Judged(NamedTuple):
    """One finding, judged."""

    finding: Finding
    severity: Severity
    """What it counts as."""
    outcome: Outcome
    why: str
    known_exploited: bool = False
    epss: float | None = None
    also: tuple[str, ...] = ()
    """Ids of findings that are the same one."""


class Decision(NamedTuple):
    """What was decided of one image."""

    target: Target
    reports: tuple[tuple[Report, str], ...]
    """Those about it, and what binds each: `manifest`, `image id`, `index` or `nothing`."""
    findings: tuple[Judged, ...]
    problems: tuple[SealgateError, ...]
    """Why the reports cannot carry a decision."""
    notes: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems and not any(one.outcome == "refused" for one in self.findings)

    def refusal(self) -> SealgateError | None:
        """Why it is refused; None when it is not."""
        if self.problems:
            return self.problems[0]
        refused = [one for one in self.findings if one.outcome == "refused"]
        if not refused:
            return None
        listed = ", ".join(f"{one.finding.id} in {one.finding.package or 'the image'}" for one in refused[:3])
        return VulnerableError(
            f"{self.target.name} has {len(refused)} vulnerabilit{'y' if len(refused) == 1 else 'ies'} that may not ship: "
            f"{listed}{', …' if len(refused) > 3 else ''}",
            hint="update the packages, or excuse findings with a reason: --ignore-file, --vex",
        )


def judge(targets: Sequence[Target], reports: Sequence[Report], policy: Policy, *, now: float) -> list[Decision]:
    """One decision an image. Every image needs a report for each of its platforms, every report must be about one of them."""
    bound: dict[int, list[tuple[Report, str, frozenset[str]]]] = {number: [] for number in range(len(targets))}
    problems: dict[int, list[SealgateError]] = {number: [] for number in range(len(targets))}
    for report in reports:
        about = 0
        faults: dict[int, SealgateError] = {}
        for number, target in enumerate(targets):
            try:
                parts = binding.bind(report, target)
            except ReportUnboundError as error:
                if policy.unsafe_unbound:
                    everything = frozenset(part.digest for part in target.parts)
                    bound[number].append((report, "nothing", everything))
                    about += 1
                else:
                    faults[number] = error
                continue
            except ReportInvalidError as error:
                faults[number] = error
                continue
            if parts:
                about += 1
                by = next(iter(parts.values()))
                bound[number].append((report, by, frozenset(parts)))
        if not about:
            for number, target in enumerate(targets):
                problems[number].append(faults.get(number) or binding.mismatch(report, target))
    expired = [entry for entry in policy.ignores if now >= entry.until]
    policy = policy._replace(ignores=tuple(entry for entry in policy.ignores if now < entry.until))
    found = [_decide(target, bound[n], problems[n], policy, now) for n, target in enumerate(targets)]
    notes = _notes(found, expired, policy, now)
    return [decision._replace(notes=decision.notes + notes) for decision in found]


def until(reports: Sequence[Report], policy: Policy, *, now: float) -> float:
    """Until when a judgement of `now` holds: the next moment at which the age of a report or the end of an entry turns it.

    Statements of VEX, KEV and EPSS are as old as they were given: no clock turns them.
    """
    moments = [entry.until for entry in policy.ignores]
    for report in reports:
        for moment, most in ((report.scanned_at, policy.max_age), (report.database_at, policy.max_database_age)):
            if moment is not None:
                moments.append(moment - CLOCK_SECONDS)
                if most is not None:
                    moments.append(moment + most)
    return min((moment for moment in moments if now <= moment), default=math.inf)


def _decide(
    target: Target, bound: list[tuple[Report, str, frozenset[str]]], problems: list[SealgateError],
    policy: Policy, now: float,
) -> Decision:  # fmt: skip
    problems = list(problems)
    notes: list[str] = []
    covered = {digest for _, _, parts in bound for digest in parts}
    for part in target.parts:
        if part.digest not in covered and not problems:
            where = f" for {part.platform} ({part.digest})" if target.is_index else ""
            problems.append(
                ReportUnboundError(
                    f"no scan report{where} of {target.name}",
                    hint="an index needs a report of each of its platforms" if target.is_index else "--report FILE",
                )
            )
    judged: list[Judged] = []
    for report, by, parts in bound:
        problems += _trouble(report, policy, now)
        notes += [f"{report.name}: {note}" for note in report.notes]
        if by == "nothing":
            notes.append(
                f"{report.name} does not say which image it is about; --unsafe-unbound-report takes it for this one"
            )
        named = {part.image_id for part in target.parts if part.digest in parts} | {target.digest} | parts
        if by == "nothing" and len(target.parts) > 1:
            named = {target.digest}
        subject = vex.Subject(target.repository, frozenset(named))
        judged += [_judge(finding, subject, policy) for finding in report.findings]
        for suppressed in report.suppressed:
            one = _judge(suppressed.finding, subject, policy)
            judged.append(one._replace(outcome="ignored", why=f"by the scanner: {suppressed.reason}"))
    kept = tuple((report, by) for report, by, _ in bound)
    return Decision(target, kept, _joined(judged), tuple(problems), tuple(dict.fromkeys(notes)))


def _trouble(report: Report, policy: Policy, now: float) -> list[SealgateError]:
    """Why a report cannot carry a decision, other than whom it is about."""
    found: list[SealgateError] = []
    if not report.looked and not policy.unsafe_empty:
        found.append(
            ReportEmptyError(
                f"{report.name} has no findings, and nothing in it shows that the scanner looked at any package",
                hint="is the image's system known to the scanner? --unsafe-empty-report takes it for a clean scan",
            )
        )
    ages = (
        ("scan", report.scanned_at, policy.max_age, "--max-age"),
        ("vulnerability database", report.database_at, policy.max_database_age, "--max-db-age"),
    )
    for what, moment, most, option in ages:
        if moment is not None and moment > now + CLOCK_SECONDS:
            found.append(
                ReportStaleError(f"{report.name}: the time of the {what} is in the future", hint="check the clocks")
            )
        elif most is not None and moment is None:
            found.append(
                ReportStaleError(
                    f"{report.name} does not say how old its {what} is", hint=f"{option} needs a report that says so"
                )
            )
        elif most is not None and moment is not None and now - moment > most:
            age = (now - moment) / 3600
            found.append(
                ReportStaleError(
                    f"{report.name}: the {what} is {age:.1f} hours old, more than {option} allows", hint="scan again"
                )
            )
    return found


def severity_of(finding: Finding, policy: Policy) -> Severity:
    """What a finding counts as. An unknown severity counts as `policy.unknown`, or as what any source says if that is more."""
    said = [rating.severity for rating in finding.ratings]
    chosen = finding.severity
    if policy.severity_source == "highest":
        chosen = max([chosen, *said])
    elif policy.severity_source != "vendor":
        named = [rating.severity for rating in finding.ratings if rating.source == policy.severity_source]
        known = max(named, default=Severity.UNKNOWN)
        chosen = known if known is not Severity.UNKNOWN else chosen
    return max([policy.unknown, *said]) if chosen is Severity.UNKNOWN else chosen


def _judge(finding: Finding, subject: vex.Subject, policy: Policy) -> Judged:
    names = {name.upper() for name in (*finding.names, *finding.related)}
    exploited = finding.known_exploited or not names.isdisjoint(policy.kev)
    scores = [policy.epss[name] for name in names if name in policy.epss]
    epss = max(scores, default=finding.epss)
    severity = severity_of(finding, policy)
    base = Judged(finding, severity, "passed", "", exploited, epss)
    entry = next((entry for entry in policy.ignores if entry.matches(finding)), None)
    if entry is not None:
        return base._replace(outcome="ignored", why=f"until {entry.expires}: {entry.reason}")
    statement = vex.verdict(policy.statements, finding, subject)
    if statement is not None and statement.state in {"not_affected", "fixed"}:
        state = statement.state.replace("_", " ")
        return base._replace(outcome="ignored", why=f"VEX {statement.document}: {state}, {statement.reason}")
    if policy.fail_on_kev and exploited:
        return base._replace(outcome="refused", why="known to be exploited (KEV)")
    if policy.fail_on_epss is not None and epss is not None and epss >= policy.fail_on_epss:
        return base._replace(outcome="refused", why=f"EPSS {epss:.2f}")
    if policy.ignore_unfixed and finding.status in {"affected", "wont-fix"}:
        why = "no fix yet" if finding.status == "affected" else "the vendor will not fix it"
        return base._replace(outcome="ignored", why=why)
    if severity >= policy.fail_on:
        unknown = finding.severity is Severity.UNKNOWN and not any(rating.severity for rating in finding.ratings)
        return base._replace(outcome="refused", why=f"unknown, counts as {severity}" if unknown else str(severity))
    return base


def _joined(judged: list[Judged]) -> tuple[Judged, ...]:
    """One entry for findings of one package that share a name; the worst speaks for all. The worst come first."""
    groups: dict[tuple[str, str, str], list[Judged]] = {}
    for one in judged:
        group = next((groups[key] for key in _keys(one) if key in groups), [])
        fresh = [one]
        for key in _keys(one):
            other = groups.get(key, group)
            if other is not group:
                fresh += other
                groups.update({moved: group for each in other for moved in _keys(each)})
        group += fresh
        groups.update(dict.fromkeys(_keys(one), group))
    unique = {id(group): group for group in groups.values()}
    return tuple(sorted((_worst(group) for group in unique.values()), key=_rank))


def _keys(one: Judged) -> list[tuple[str, str, str]]:
    return [(one.finding.package, one.finding.version, name.upper()) for name in one.finding.names]


def _worst(group: list[Judged]) -> Judged:
    worst = min(group, key=_rank)
    names = dict.fromkeys(name for one in group for name in one.finding.names)
    return worst._replace(also=tuple(name for name in names if name != worst.finding.id))


def _rank(one: Judged) -> tuple[int, int, str, str]:
    return _ORDER[one.outcome], -one.severity, one.finding.id, one.finding.package


def _notes(found: list[Decision], expired: list[IgnoreEntry], policy: Policy, now: float) -> tuple[str, ...]:
    """What should be tidied up, and what was not asked."""
    findings = [
        finding
        for decision in found
        for report, _ in decision.reports
        for finding in (*report.findings, *(suppressed.finding for suppressed in report.suppressed))
    ]
    notes = [f"expired on {entry.expires}, and no longer ignored: {entry.label}" for entry in expired]
    for entry in policy.ignores:
        if not any(entry.matches(finding) for finding in findings):
            notes.append(f"unused entry of the ignore file: {entry.label}")
        elif entry.until - now < SOON_SECONDS:
            notes.append(f"ignored only until {entry.expires}: {entry.label}")
    if policy.max_age is None:
        notes.append("the age of the scan was not judged (--max-age)")
    return tuple(notes)
