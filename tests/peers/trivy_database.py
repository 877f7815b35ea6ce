"""A database for the real Trivy with vulnerabilities that we made up: a bbolt file, written without a line of anybody's code.

bbolt's format (go.etcd.io/bbolt, page.go and bucket.go): pages of 4096 bytes, two meta pages, a list of free pages, and one leaf
with the buckets; a bucket that is small enough lies inline in the value of its key, and all of these are.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

_PAGE = 4096
_LEAF, _META, _FREE = 0x02, 0x04, 0x10
_MAGIC, _VERSION = 0xED0CDAED, 2

Bucket = dict[str, Any]
"""Names to bytes, or to further buckets."""


def write(cache: Path, *, system: str, package: str, fixed: str, vulnerability: str, severity: int) -> None:
    """`cache` becomes Trivy's: one vulnerability of one package, mended in version `fixed`. Severities are 0 to 4."""
    folder = cache / "db"
    folder.mkdir(parents=True)
    detail = {"Title": "made up", "VendorSeverity": {"nvd": severity}, "Severity": "", "CVSS": {}}
    source = {"ID": "debian", "Name": "Debian Security Tracker", "URL": "https://example.test"}
    buckets: Bucket = {
        system: {package: {vulnerability: json.dumps({"FixedVersion": fixed, "Status": 3}).encode()}},
        "data-source": {system: json.dumps(source).encode()},
        "vulnerability": {vulnerability: json.dumps(detail).encode()},
    }
    (folder / "trivy.db").write_bytes(_database(buckets))
    moment = {"UpdatedAt": "2026-01-01T00:00:00Z", "NextUpdate": "2199-01-01T00:00:00Z"}
    (folder / "metadata.json").write_text(json.dumps({"Version": 2, "DownloadedAt": "2026-01-01T00:00:00Z"} | moment))


def _database(buckets: Bucket) -> bytes:
    leaf = _leaf(3, buckets)
    pages = -(-len(leaf) // _PAGE)
    leaf = leaf[:12] + struct.pack("<I", pages - 1) + leaf[16:]
    free = struct.pack("<QHHI", 2, _FREE, 0, 0)
    return b"".join(page.ljust(_PAGE, b"\0") for page in (_meta(0, 3 + pages), _meta(1, 3 + pages), free)) + leaf.ljust(
        pages * _PAGE, b"\0"
    )


def _meta(number: int, pages: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", _MAGIC, _VERSION, _PAGE, 0, 3, 0, 2, pages, number)
    return struct.pack("<QHHI", number, _META, 0, 0) + body + struct.pack("<Q", _fnv(body))


def _leaf(number: int, bucket: Bucket) -> bytes:
    items = sorted((name.encode(), value) for name, value in bucket.items())
    elements, data = b"", b""
    for place, (name, value) in enumerate(items):
        # an inline bucket: no root page, no sequence, then a page of its own
        content = struct.pack("<QQ", 0, 0) + _leaf(0, value) if isinstance(value, dict) else value
        distance = 16 * (len(items) - place) + len(data)
        elements += struct.pack("<IIII", isinstance(value, dict), distance, len(name), len(content))
        data += name + content
    return struct.pack("<QHHI", number, _LEAF, len(items), 0) + elements + data


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found
