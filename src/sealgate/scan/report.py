"""What a scan report says, as frozen values, whatever format it came in. Nothing of it is believed yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from sealgate.scan.severity import Severity

Status = Literal["fixed", "unknown", "affected", "wont-fix"]
"""Of the fix: there is one; nobody says; none yet; the vendor will make none (will not fix, deferred, end of life)."""


class Rating(NamedTuple):
    """What one source says of how bad it is."""

    source: str
    """`nvd`, `debian`, `ghsa`, …: lower case."""
    severity: Severity
    score: float | None = None


class Finding(NamedTuple):
    """One vulnerability in one package."""

    id: str
    package: str
    version: str
    severity: Severity
    """The one that the scanner chose, from `chosen_from`."""
    aliases: tuple[str, ...] = ()
    """Other names of the same one vulnerability."""
    related: tuple[str, ...] = ()
    """Names of more or less than that: advisories that fix several at once, and what such an advisory fixes."""
    purl: str | None = None
    source_package: str | None = None
    """The deb or rpm source package that the package was built from."""
    chosen_from: str = ""
    ratings: tuple[Rating, ...] = ()
    status: Status = "unknown"
    fixed_versions: tuple[str, ...] = ()
    path: str = ""
    known_exploited: bool = False
    epss: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Id and aliases."""
        return (self.id, *self.aliases)


_SINGLE = ("CVE-", "GHSA-", "GO-", "PYSEC-", "RUSTSEC-", "MAL-", "OSV-", "EUVD-")
"""Databases with one entry a vulnerability, unlike DSA, USN, RHSA or ALAS."""


def sort_names(identity: str, others: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aliases of `identity`, and what is merely related: who excuses one CVE must not excuse its neighbour in an advisory."""
    found = [name for name in dict.fromkeys(others) if name and name != identity]
    if len({name for name in (identity, *found) if name.startswith("CVE-")}) > 1:
        return (), tuple(found)
    aliases = tuple(name for name in found if name.startswith(_SINGLE))
    return aliases, tuple(name for name in found if name not in aliases)


class Suppressed(NamedTuple):
    """A finding that the scanner itself left out, and why it says so."""

    finding: Finding
    reason: str


class Report(NamedTuple):
    """A whole report."""

    format: str
    scanner: str
    version: str
    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...] = ()
    digests: frozenset[str] = frozenset()
    """Manifests or indexes that the scanner says it scanned."""
    image_ids: frozenset[str] = frozenset()
    """Config digests that the scanner says it scanned."""
    subjects: frozenset[str] = frozenset()
    """Digests in the subject of the Statement that holds the report."""
    scanned_at: float | None = None
    database_at: float | None = None
    packages_seen: int | None = None
    looked: bool = False
    """Whether anything shows that the scanner looked at packages: findings, packages, a recognised system."""
    notes: tuple[str, ...] = ()
    name: str = ""
    """The file or scanner it came from: for people."""
