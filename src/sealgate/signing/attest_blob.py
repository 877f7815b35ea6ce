"""Sign what is known about files: the Statement, signed once, in each of cosign's forms. No registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, statement
from sealgate.evidence.legacy import BlobBundle, encode_blob_bundle
from sealgate.signing.author import Author, authors, failure
from sealgate.verification import blob_attestation as blobs
from sealgate.verification import deny
from sealgate.verification.attestation import Attested

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
    certificate: bytes = b""
    """PEM; empty: a key signed."""
    timestamp: bytes = b""
    """An RFC 3161 response as cosign writes it into a file of its own, JSON."""


async def attest_blob(
    payload: bytes, signer: Signer | Author, *, legacy: bool = False, limit: int = limits.EVIDENCE_BYTES
) -> BlobAttestation:
    """Sign a Statement (`evidence.attestation`). What is made is judged as a verifier would before it is returned.

    Both bundles are made; where somebody bears witness, only the one for which they were asked: with `legacy` the older one.
    Raises `StatementInvalidError`, `LimitError` when verifiers would not read it, `SigningError`, and what the signer and the
    witnesses raise.
    """
    [author] = authors([signer])
    author.check(bundle=not legacy, legacy=legacy, envelope=True)
    alone = author == Author(author.signer)
    found = statement.parse(payload, limit=limit)
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, ())
    witnessed = await author.sign(dsse.pae(dsse.IN_TOTO, payload), legacy=legacy, envelope=envelope)
    envelope = envelope._replace(signatures=(dsse.EnvelopeSignature(witnessed.signature),))
    text = dsse.encode(envelope)
    fields = author.legacy_fields(witnessed)
    certificate = fields.get("certificate")
    older = encode_blob_bundle(BlobBundle(text, certificate, witnessed.promise)) if legacy or alone else b""
    bundle = bundles.encode_dsse(envelope, **author.bundle_fields(witnessed)) if not legacy or alone else b""
    stamp = fields.get("timestamp", "").encode("ascii")
    made = BlobAttestation(payload, bundle, text, older, certificate or b"", stamp)
    attested = Attested(found.predicate_type, (), unsafe_any_subject=True)  # there may be several, of any algorithm
    for form in (made.bundle, made.envelope if alone else b"", made.legacy_bundle):
        if not form:
            continue
        if len(form) > limit:
            raise LimitError(
                f"the attestation would have {len(form)} bytes; verifiers read at most {limit}", hint="attest less"
            )
        evidence = blobs.parse(form, "the attestation", limit=limit)
        if evidence.came is not None:  # the older bundle has no room for timestamps; they go into a file of their own
            evidence = evidence._replace(came=evidence.came._replace(timestamps=witnessed.timestamps))
        verdict = blobs.verify(
            "the attestation", Digest.of(payload), [evidence], requirement=author.by, attested=attested, deny=deny.NOTHING,
            hash_name=None, trust=author.trust(legacy=legacy),
        )  # fmt: skip
        if not verdict.accepted:
            raise failure("the attestation", [finding for each in verdict.signatures for finding in each.findings])
    return made
