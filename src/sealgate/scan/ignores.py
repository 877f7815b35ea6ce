"""The ignore file: findings that somebody accepts, for a reason and until a date.

    ignore:
      - id: CVE-2026-0001            # or an alias
        purl: pkg:deb/debian/openssl # optional; or `package: openssl`
        reason: not reachable, see ticket 4711
        expires: 2026-12-31          # through the end of that day, UTC

Nothing else is understood: an unknown key is an error, since it would narrow or widen an entry without anybody noticing.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from sealgate import limits, strictyaml
from sealgate.errors import IgnoreFileError, LimitError
from sealgate.scan import purl as purls
from sealgate.scan.report import Finding

_KEYS = frozenset({"id", "purl", "package", "reason", "expires", "owner"})


class IgnoreEntry(NamedTuple):
    """One accepted finding."""

    id: str
    reason: str
    expires: str
    """`YYYY-MM-DD`."""
    until: float
    """The end of that day, in seconds of the epoch."""
    purl: str | None = None
    package: str | None = None
    owner: str = ""

    def matches(self, finding: Finding) -> bool:
        """Whether the entry is about this finding, expired or not."""
        if self.id.casefold() not in {name.casefold() for name in finding.names}:
            return False
        if self.package is not None and self.package not in {finding.package, finding.source_package}:
            return False
        return self.purl is None or purls.names_package(self.purl, finding)

    @property
    def label(self) -> str:
        """How people recognise it."""
        where = self.purl or self.package
        return f"{self.id} in {where}" if where else self.id


def read(raw: bytes, *, what: str) -> tuple[IgnoreEntry, ...]:
    """The entries of an ignore file. Raises `IgnoreFileError`, `LimitError`."""
    documents = strictyaml.parse(raw, limit=limits.IGNORE_FILE_BYTES, what=what, error=IgnoreFileError)
    if len(documents) != 1 or not isinstance(documents[0], dict) or set(documents[0]) != {"ignore"}:
        raise IgnoreFileError(f"{what} is not one document with the one key `ignore`", hint="ignore: [{id: …}]")
    rows = documents[0]["ignore"]
    if rows is None:
        return ()
    if not isinstance(rows, list):
        raise IgnoreFileError(f"{what}: `ignore` is not a list")
    if len(rows) > limits.SCAN_FINDINGS:
        raise LimitError(f"{what} has more than {limits.SCAN_FINDINGS} entries")
    entries = [_entry(row, f"{what}: entry {number}") for number, row in enumerate(rows, 1)]
    seen: set[tuple[str, str | None, str | None]] = set()
    for entry in entries:
        key = (entry.id.casefold(), entry.purl, entry.package)
        if key in seen:
            raise IgnoreFileError(f"{what}: {entry.label} stands twice", hint="which of the two holds?")
        seen.add(key)
    return tuple(entries)


def _entry(row: Any, what: str) -> IgnoreEntry:
    if not isinstance(row, dict):
        raise IgnoreFileError(f"{what} is not a mapping")
    unknown = sorted(str(key) for key in row if key not in _KEYS)
    if unknown:
        raise IgnoreFileError(
            f"{what} has the unknown key {unknown[0][:40]!a}", hint=f"known are {', '.join(sorted(_KEYS))}"
        )
    words = {key: _word(value, key, what) for key, value in row.items() if key != "expires"}
    for key in ("id", "reason"):
        if not words.get(key):
            raise IgnoreFileError(f"{what} has no {key}", hint="id, reason and expires belong to every entry")
    if "*" in words["id"]:
        raise IgnoreFileError(f"{what}: an id is no pattern", hint="name each vulnerability")
    if "purl" in words and (purls.parse(words["purl"]) is None or purls.is_image(words["purl"])):
        raise IgnoreFileError(f"{what}: {words['purl'][:100]!a} is not the purl of a package")
    day = _day(row.get("expires"), what)
    after = datetime.datetime.combine(day, datetime.time.min, datetime.UTC) + datetime.timedelta(days=1)
    return IgnoreEntry(
        words["id"], words["reason"], day.isoformat(), after.timestamp(),
        words.get("purl"), words.get("package"), words.get("owner", ""),
    )  # fmt: skip


def _word(value: object, key: str, what: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 4096:
        raise IgnoreFileError(f"{what}: {key} is not a text")
    return value.strip()


def _day(value: object, what: str) -> datetime.date:
    if value is None:
        raise IgnoreFileError(f"{what} has no expiry date", hint="expires: 2026-12-31; nothing is accepted for ever")
    if isinstance(value, str):
        try:
            value = datetime.date.fromisoformat(value.strip())
        except ValueError:
            value = None
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime) or value.year >= 9999:
        raise IgnoreFileError(f"{what}: expires is not a date", hint="expires: 2026-12-31")
    return value
