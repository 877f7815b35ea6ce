"""Sign a file: make the signature, judge it as a verifier would, and give it in each of cosign's forms.

What the signature of an image is made over could be signed as a file just as well (W06): a simple-signing payload, or the
pre-authentication encoding of a DSSE envelope. `ImagePayload` notices both, so that a service that signs files for others
cannot be made to sign images.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import SigningError
from sealgate.evidence import bundle as bundles
from sealgate.evidence.legacy import BlobBundle, encode_blob_bundle
from sealgate.keys.algorithms import HASHES
from sealgate.signing.author import Author, authors, failure
from sealgate.verification import blob as blobs
from sealgate.verification import deny

if TYPE_CHECKING:
    from collections.abc import Collection

    from sealgate.keys.signer import Signer
    from sealgate.verification.blob import Blob

_DIGEST_NAME = {"sha256": "SHA2_256", "sha384": "SHA2_384", "sha512": "SHA2_512"}


class BlobSignature(NamedTuple):
    """The signature of a file, in every form."""

    signature: bytes
    bundle: bytes
    """A Sigstore bundle v0.3; empty where witnesses were asked for the other form alone."""
    legacy_bundle: bytes
    """cosign's older bundle; empty likewise."""
    certificate: bytes = b""
    """PEM; empty: a key signed."""
    timestamp: bytes = b""
    """An RFC 3161 response as cosign writes it into a file of its own, JSON."""


def hashes_of(signer: Signer | Author) -> Collection[str]:
    """The hashes that a file must be read with, for `sign_blob`."""
    [author] = authors([signer])
    return {hash_of(author.signer)} if author.root is None else {*HASHES, hash_of(author.signer)}


def hash_of(signer: Signer) -> str:
    """The hash that a bundle by `signer` names.

    For Ed25519 it is SHA-256, as cosign 2.5.0 has it: 3.1.1 names none, and then refuses its own bundle.
    """
    return signer.hash_name or "sha256"


def needs_message(signer: Signer | Author) -> bool:
    """Whether `signer` needs the file in memory."""
    [author] = authors([signer])
    return author.signer.wants == "message"


async def sign_blob(blob: Blob, signer: Signer | Author, *, legacy: bool = False) -> BlobSignature:
    """Sign a file that was read with `hashes_of(signer)`, and whole if the signer needs it.

    Both bundles are made; where somebody bears witness, only the one for which they were asked: with `legacy` the older one.
    Raises `SigningError` when what was made does not verify, and what the signer and the witnesses raise.
    """
    [author] = authors([signer])
    hash_name = hash_of(author.signer)
    author.check(bundle=not legacy, legacy=legacy, envelope=False)
    if needs_message(author):
        if blob.message is None:
            raise SigningError(f"{blob.name} was not kept, and the key needs the whole of it")
        witnessed = await author.sign(blob.message, legacy=legacy)
    else:
        witnessed = await author.sign_digest(blob.digests[hash_name], legacy=legacy)
    made = BlobSignature(witnessed.signature, b"", b"")
    fields = author.legacy_fields(witnessed)
    if not legacy or author == Author(author.signer):
        content = bundles.encode_message(
            witnessed.signature, _DIGEST_NAME[hash_name], blob.digests[hash_name], **author.bundle_fields(witnessed)
        )
        made = made._replace(bundle=content)
    if legacy or author == Author(author.signer):
        # cosign 3.1.1 adds the public key as `cert`, and then cannot read it as a certificate; 2.5.0 adds nothing.
        older = encode_blob_bundle(BlobBundle(witnessed.signature, fields.get("certificate"), witnessed.promise))
        made = made._replace(legacy_bundle=older)
    asked = blobs.BlobAsked(author.keys, deny.NOTHING, author.signer.hash_name, author.trust(legacy=legacy))
    for form, what in ((made.bundle, "the bundle"), (made.legacy_bundle, "the legacy bundle")):
        evidence = blobs.parse_bundle(form, what)
        if evidence.came is not None:  # the older bundle has no room for timestamps; they go into a file of their own
            evidence = evidence._replace(came=evidence.came._replace(timestamps=witnessed.timestamps))
        if form and not (report := blobs.judge(evidence, blob, asked)).accepted:
            raise failure("the signature", report.findings)
    return made._replace(
        certificate=fields.get("certificate", b""), timestamp=fields.get("timestamp", "").encode("ascii")
    )


def _letter(char: str) -> bytes:
    """A letter of a JSON key in every spelling that Go's reader takes: other case, its two folded twins, escapes."""
    spellings = {char, char.upper(), *{"k": "\u212a", "s": "\u017f"}.get(char, "")}
    plain = [re.escape(each.encode()) for each in sorted(spellings)]
    escaped = [rf"\\u(?i:{ord(each):04x})".encode() for each in sorted(spellings)]
    return b"(?:" + b"|".join(plain + escaped) + b")"


_PAYLOAD_KEY = "docker-manifest-digest"
_PAYLOAD = re.compile(b"".join(_letter(char) for char in _PAYLOAD_KEY))
_OVERLAP = 6 * len(_PAYLOAD_KEY)
"""The longest spelling: all of it escapes."""


class ImagePayload:
    """Watches a file go by, piece by piece, for what an image signature is made over. Errs on the side of seeing one."""

    def __init__(self) -> None:
        self._start = b""
        self._end = b""
        self._key = False

    def hear(self, piece: bytes) -> None:
        """The next piece."""
        if len(self._start) < 64:
            self._start = (self._start + piece.lstrip(b" \t\r\n") if not self._start else self._start + piece)[:64]
        if not self._key and self._start[:1] in {b"{", b""}:
            window = self._end + piece
            self._key = _PAYLOAD.search(window) is not None
            self._end = window[-_OVERLAP:]

    @property
    def found(self) -> str | None:
        """What the file is, for people; None when it is neither."""
        if self._start.startswith(b"DSSEv1 "):
            return "the encoding of a DSSE envelope, which image signatures and attestations are made over"
        if self._start.startswith(b"{") and self._key:
            return "the payload of an image signature"
        return None
