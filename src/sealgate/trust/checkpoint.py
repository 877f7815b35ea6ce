"""Checkpoints: a log's signed statement of its size and its root (C2SP, signed-note.md and tlog-checkpoint.md).

    log.example.org          the origin
    1234                     the size of the tree
    q80h…=                   its root
                             (lines of extensions may stand before the empty line)
    — log.example.org PI6…   signatures: of the log, and of witnesses, in any order

What a checkpoint says counts only once `verified` has found the log's own signature on it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import ContentError
from sealgate.evidence import base64
from sealgate.trust.failure import TrustFailure
from sealgate.trust.merkle import HASH_BYTES

if TYPE_CHECKING:
    from sealgate.keys.algorithms import PublicKey
    from sealgate.trust.root import Log

_DASH = "\N{EM DASH} "
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f]")
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TREE = re.compile(r"(?P<host>[^ ]+) - [0-9]+", re.ASCII)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(?P<place>(?P<host>[^/?#@:\[\]]+)(?::[0-9]*)?)(?P<path>(?:/[^?#]*)?)")
_KEY_ID_BYTES = 4


class Signature(NamedTuple):
    """A line under the text: a name, the first bytes of a key's id, and what that key says."""

    name: str
    key_id: bytes
    blob: bytes


class Checkpoint(NamedTuple):
    """What stands in a checkpoint."""

    origin: str
    size: int
    root: bytes
    text: bytes
    """What is signed."""
    signatures: tuple[Signature, ...]

    @property
    def host(self) -> str | None:
        """Of a tree of Rekor v1, whose origin is `host - number of the tree`, the host, which signs; None: another log."""
        match = _TREE.fullmatch(self.origin)
        return match["host"] if match else None


def read(note: str) -> Checkpoint:
    """Read a checkpoint. Raises `TrustFailure` (`log-checkpoint-invalid`)."""
    if len(note) > limits.CHECKPOINT_BYTES:
        raise _invalid(f"is longer than {limits.CHECKPOINT_BYTES} bytes")
    if _CONTROL.search(note):
        raise _invalid("has control characters")
    text, empty, below = note.rpartition("\n\n")  # the last empty line: the text may have others
    if not empty or not below.endswith("\n"):
        raise _invalid("has no signatures, or no line end")
    lines = text.split("\n")
    if len(lines) < 3 or not all(lines):
        raise _invalid("has no origin, no size or no root, or empty lines between them")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) >= 2**63:
        raise _invalid("has no size of a tree in its second line")
    signatures = below[:-1].split("\n")
    if len(signatures) > limits.CHECKPOINT_SIGNATURES:
        raise _invalid(f"has more than {limits.CHECKPOINT_SIGNATURES} signatures")
    try:
        signed = f"{text}\n".encode()
    except UnicodeEncodeError:
        raise _invalid("is not UTF-8") from None
    digest = _decoded(root, "root")
    if len(digest) != HASH_BYTES:
        raise _invalid("has no root of a tree in its third line")
    return Checkpoint(origin, int(size), digest, signed, tuple(_signature(line) for line in signatures))


def verified(checkpoint: Checkpoint, log: Log, *, tiles: bool) -> Checkpoint:
    """The checkpoint, once the log's own signature is found on it. `tiles`: a log of tiles (Rekor v2), else Rekor v1.

    The origin is that of the log's address in the trust root; but that of a tree of Rekor v1 is `host - number`, and the
    host signs, which may have another address. Lines of other names or keys (witnesses) say nothing, wherever they stand,
    but each line in the log's own name and key must be good (L14). Raises `TrustFailure` (`log-checkpoint-invalid`).
    """
    name = None if tiles else checkpoint.host
    if name is None:
        name = checkpoint.origin
        if name not in origins_of(log.base_url):
            raise _invalid(f"is by {ascii(name)[:100]}, not by the log {log.base_url}")
    key_id = tile_key_id(name, log.key) if tiles else hashlib.sha256(log.key.spki).digest()
    short = key_id[:_KEY_ID_BYTES]
    own = [line.blob for line in checkpoint.signatures if line.key_id == short and line.name == name]
    if not own:
        raise _invalid(f"has no signature by the log {log.base_url}")
    if not all(signed_by(log.key, blob, checkpoint.text) for blob in own):
        raise _invalid(f"has a signature that is not by the log {log.base_url}: altered, or another key")
    return checkpoint


def tile_key_id(name: str, key: PublicKey) -> bytes:
    """The 32 bytes of a key's id under a name, of which a note has the first four (signed-note.md, section Signature types;
    of ECDSA and RSA keys as Rekor v2 has them).
    """
    if key.algorithm == "ed25519":
        return hashlib.sha256(b"%b\n\x01%b" % (name.encode(), key.spki[-32:])).digest()
    if key.algorithm.startswith("ecdsa-"):
        return hashlib.sha256(key.spki).digest()
    return hashlib.sha256(b"%b\n\xffPKIX-RSA-PKCS#1v1.5%b" % (name.encode(), key.spki)).digest()


def signed_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a log's key made a signature; logs sign messages, never Ed25519ph."""
    return key.verify(signature, message) not in {None, "ed25519ph"}


@functools.lru_cache(maxsize=256)
def origins_of(base_url: str) -> frozenset[str]:
    """The origins that a log at an address may have: its host (sigstore-go's rule), or the address without its scheme, which
    tlog-checkpoint.md asks for, with or without the port.
    """
    match = _URL.fullmatch(base_url)
    if match is None:
        return frozenset()
    place, path = match["place"].lower(), match["path"].rstrip("/")
    host = match["host"].lower()
    return frozenset({host, place, host + path, place + path})


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _NAME.fullmatch(name):
        raise _invalid("has a line among its signatures that is none")
    blob = _decoded(encoded, "signature")
    if len(blob) <= _KEY_ID_BYTES:
        raise _invalid("has a signature without a key's id, or empty")
    return Signature(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.decode(text, what=what, error=ContentError)
    except ContentError:
        raise _invalid(f"has a {what} that is not base64") from None


def _invalid(message: str) -> TrustFailure:
    return TrustFailure("log-checkpoint-invalid", f"the checkpoint of its log entry {message}")
