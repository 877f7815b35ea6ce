"""What is known beyond the report: CISA's list of exploited vulnerabilities (KEV), and EPSS scores (FIRST)."""

from __future__ import annotations

from sealgate import limits, strictjson
from sealgate.errors import FeedInvalidError, JsonAmbiguousError, JsonInvalidError, LimitError


def read_kev(raw: bytes, *, what: str) -> frozenset[str]:
    """The ids of `known_exploited_vulnerabilities.json`. Raises `FeedInvalidError`, `LimitError`."""
    try:
        document = strictjson.parse_object(raw, limit=limits.FEED_BYTES, what=what)
    except (JsonInvalidError, JsonAmbiguousError) as error:
        raise FeedInvalidError(error.message) from error
    rows = document.get("vulnerabilities")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise FeedInvalidError(f"{what} is not CISA's KEV catalogue", hint="it has a list of vulnerabilities")
    found = [row.get("cveID") for row in rows]
    if not all(isinstance(name, str) and name.startswith("CVE-") for name in found):
        raise FeedInvalidError(f"{what}: an entry has no cveID")
    return frozenset(str(name) for name in found)


def read_epss(raw: bytes, *, what: str) -> dict[str, float]:
    """CVE to probability, of FIRST's CSV, plain or gzip. Raises `FeedInvalidError`, `LimitError`."""
    import csv

    if raw[:2] == b"\x1f\x8b":
        raw = _unpacked(raw, what)
    if len(raw) > limits.FEED_BYTES:
        raise LimitError(f"{what} is larger than {limits.FEED_BYTES} bytes")
    try:
        lines = [line for line in raw.decode("utf-8").splitlines() if line and not line.startswith("#")]
        rows = csv.DictReader(lines, strict=True)
        if not {"cve", "epss"} <= set(rows.fieldnames or ()):
            raise FeedInvalidError(f"{what} is not an EPSS file", hint="its columns are cve, epss, percentile")
        found = {row["cve"]: float(row["epss"]) for row in rows}
    except (ValueError, TypeError, csv.Error) as error:
        raise FeedInvalidError(f"{what} is not an EPSS file: {str(error)[:100]}") from error
    if not found or not all(0.0 <= score <= 1.0 for score in found.values()):
        raise FeedInvalidError(f"{what}: no scores, or scores that are not between 0 and 1")
    return found


def _unpacked(raw: bytes, what: str) -> bytes:
    import zlib

    try:
        unpacking = zlib.decompressobj(wbits=31)
        found = unpacking.decompress(raw, limits.FEED_BYTES + 1)
    except zlib.error as error:
        raise FeedInvalidError(f"{what} is not gzip: {error}") from error
    if not unpacking.eof and len(found) <= limits.FEED_BYTES:
        raise FeedInvalidError(f"{what} is cut off")
    return found
