"""Digests as the OCI image specification writes them: `sha256:<64 lower-case hex>`.

`sha512` is read (registries may use it for blobs); images are addressed by `sha256`, since every attachment tag is
built from it. Everything is keyed by the whole text, algorithm included.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from sealgate.errors import DigestInvalidError, DigestMismatchError

_HEX_CHARS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


class Digest(NamedTuple):
    """A hash algorithm and its lower-case hex value."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: object) -> Digest:
        """Read `algorithm:hex`. Raises `DigestInvalidError` for anything else, of whatever type."""
        if not isinstance(text, str) or len(text) > 200:
            raise DigestInvalidError("a digest must be a short string such as sha256:…")
        algorithm, _, value = text.partition(":")
        if _HEX_CHARS.get(algorithm) != len(value) or not _HEX.issuperset(value):
            raise DigestInvalidError(f"not a digest: {ascii(text)}", hint="sha256: and 64 lower-case hex digits")
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """Hash `data` with `algorithm` (`sha256` or `sha512`)."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def check(self, data: bytes, what: str) -> None:
        """Raise `DigestMismatchError`, naming `what` and both digests, unless `data` hashes to this digest."""
        found = Digest.of(data, self.algorithm)
        if found != self:
            raise DigestMismatchError(
                f"{what}: asked for {self}, got bytes that hash to {found}",
                hint="the registry or something before it serves other content; nothing of it was used",
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
