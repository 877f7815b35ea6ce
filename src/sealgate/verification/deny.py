"""The deny-list: what is refused whatever else holds.

A text file, one entry a line, each with its reason; `#` begins a comment:

    digest sha256:3ea8…  CVE-2026-1234, recalled on 2026-11-02
    key SHA256:uTbS…     the key of the old build server leaked
    identity ci@example.com  left the company

A denied digest refuses the image, and an index that has it. A signature by a denied key or identity proves nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ContentError, LimitError, UsageError


class DenyList(NamedTuple):
    """Entries and their reasons."""

    digests: tuple[tuple[Digest, str], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    identities: tuple[tuple[str, str], ...] = ()

    def digest(self, digest: Digest) -> str | None:
        """Why this image is denied, or None."""
        return next((reason for denied, reason in self.digests if denied == digest), None)

    def key(self, fingerprint: str) -> str | None:
        """Why this key (`SHA256:…`) is denied, or None."""
        return next((reason for denied, reason in self.keys if denied == fingerprint), None)

    def identity(self, subject: str) -> str | None:
        """Why this identity is denied, or None."""
        return next((reason for denied, reason in self.identities if denied == subject), None)


NOTHING = DenyList()


def parse(data: bytes, *, what: str) -> DenyList:
    """Read a deny-list; `what` names it. Raises `UsageError` with the line for anything that is not understood."""
    if len(data) > limits.DENY_ENTRIES * 400:
        raise LimitError(f"{what} is too large")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is not UTF-8 text") from error
    if len(lines) > limits.DENY_ENTRIES:
        raise LimitError(f"{what} has more than {limits.DENY_ENTRIES} lines")
    digests: list[tuple[Digest, str]] = []
    keys: list[tuple[str, str]] = []
    identities: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"{what}, line {number}"
        words = text.split(None, 2)
        if len(words) < 3:
            raise UsageError(f"{where}: an entry is a kind, a value and a reason", hint="digest sha256:…  why")
        kind, value, reason = words
        if kind == "digest":
            try:
                digest = Digest.parse(value)
            except ContentError as error:
                raise UsageError(f"{where}: {error.message}") from error
            if digest.algorithm != "sha256":  # it would match nothing, in silence
                raise UsageError(
                    f"{where}: images and files are known by their sha256 digests, not by {digest.algorithm}"
                )
            digests.append((digest, reason))
        elif kind == "key":
            if not value.startswith("SHA256:") or len(value.rstrip("=")) != 50:
                raise UsageError(
                    f"{where}: a key is given by its fingerprint", hint="key SHA256:…, as verdicts print it"
                )
            keys.append((value.rstrip("="), reason))
        elif kind == "identity":
            identities.append((value, reason))
        else:
            raise UsageError(f"{where}: unknown kind {ascii(kind)}", hint="digest, key or identity")
    return DenyList(tuple(digests), tuple(keys), tuple(identities))
