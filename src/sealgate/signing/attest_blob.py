"""Sign what is known about files: the Statement, signed once, in each of cosign's forms. No registry and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError, SigningError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, statement
from sealgate.evidence.legacy import BlobBundle, encode_blob_bundle
from sealgate.keys.signer import sign_message
from sealgate.verification import blob_attestation as blobs
from sealgate.verification import deny
from sealgate.verification.attestation import Attested
from sealgate.verification.requirement import SignedBy

if TYPE_CHECKING:
    from sealgate.keys.signer import Signer


class BlobAttestation(NamedTuple):
    """A signed Statement about files, in every form."""

    statement: bytes
    """What was signed."""
    bundle: bytes
    """A Sigstore bundle v0.3."""
    envelope: bytes
    """The DSSE envelope, which cosign calls the signature."""
    legacy_bundle: bytes
    """cosign's older bundle around the envelope."""


async def attest_blob(payload: bytes, signer: Signer, *, limit: int = limits.EVIDENCE_BYTES) -> BlobAttestation:
    """Sign a Statement (`evidence.attestation`). What is made is judged as a verifier would before it is returned.

    Raises `StatementInvalidError`, `LimitError` when verifiers would not read it, `SigningError`, and what the signer raises.
    """
    found = statement.parse(payload, limit=limit)
    signature = await sign_message(signer, dsse.pae(dsse.IN_TOTO, payload))
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, (dsse.EnvelopeSignature(signature),))
    text = dsse.encode(envelope)
    made = BlobAttestation(
        payload,
        bundles.encode_dsse(envelope, hint=signer.public_key.hint),
        text,
        encode_blob_bundle(BlobBundle(text, None, None)),
    )
    attested = Attested(found.predicate_type, (), unsafe_any_subject=True)  # there may be several, of any algorithm
    for form in (made.bundle, made.envelope, made.legacy_bundle):
        if len(form) > limit:
            raise LimitError(
                f"the attestation would have {len(form)} bytes; verifiers read at most {limit}", hint="attest less"
            )
        verdict = blobs.verify(
            "the attestation", Digest.of(payload), [blobs.parse(form, "the attestation", limit=limit)],
            requirement=SignedBy(signer.public_key, "the key"), attested=attested, deny=deny.NOTHING, hash_name=None, trust=None,
        )  # fmt: skip
        if not verdict.accepted:
            raise SigningError("the attestation that was made does not verify", hint="nothing was written")
    return made
