"""What a Rekor v1 entry is about (sigstore/rekor, pkg/types): each of its fields bound to what was signed.

An entry that verifies and is about another signature is the oldest attack of all (L01, L02, L04 to L06; GHSA-whqx-f9j3-ch6m), so
the comparison comes before everything else, and is one of decoded bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.errors import SealgateError
from sealgate.keys import pem
from sealgate.trust import fields
from sealgate.trust.failure import TrustFailure

if TYPE_CHECKING:
    from sealgate.evidence.dsse import Envelope
    from sealgate.trust.signed import Signed

Kind = tuple[str, str]
"""Kind and version of an entry."""

KINDS: frozenset[Kind] = frozenset({("hashedrekord", "0.0.1"), ("dsse", "0.0.1"), ("intoto", "0.0.2")})


def bind(body: bytes, signed: Signed) -> Kind:
    """The kind of an entry, once everything in it is what was signed, by whom and how. Raises `TrustFailure`.

    An envelope is logged as `dsse` or `intoto`, or as a `hashedrekord` of its PAE (client-spec, section 4.2); a file only as
    the last (L20).
    """
    whole = document(body)
    kind = fields.text(whole, "kind"), fields.text(whole, "apiVersion")
    spec = fields.needed(whole, "spec")
    if kind not in KINDS:
        raise fields.malformed(f"is of a kind that is not read here: {' '.join(kind)[:60]!a}")
    if kind[0] == "hashedrekord":
        _hashedrekord(spec, signed)
    elif signed.envelope is None:
        raise not_bound(f"is of the kind {kind[0]}, in which only envelopes are logged")
    elif kind[0] == "dsse":
        _dsse(spec, signed, signed.envelope)
    else:
        _intoto(fields.needed(spec, "content"), signed, signed.envelope)
    return kind


def document(body: bytes) -> dict[str, Any]:
    """The JSON of an entry."""
    try:
        return strictjson.parse_object(body, limit=limits.LOG_BODY_BYTES, what="its body")
    except SealgateError as problem:
        raise fields.malformed(f"cannot be read: {problem.message}") from None


def not_bound(message: str) -> TrustFailure:
    """What is raised where an entry is about something else."""
    return TrustFailure("log-entry-not-bound", f"its log entry {message}")


def _hashedrekord(spec: dict[str, Any], signed: Signed) -> None:
    found = fields.needed(fields.needed(spec, "data"), "hash")
    _hash(found, signed.digest(fields.text(found, "algorithm")))
    signature = fields.needed(spec, "signature")
    _signature(fields.text(signature, "content"), signed)
    _signer(fields.text(fields.needed(signature, "publicKey"), "content"), signed)


def _dsse(spec: dict[str, Any], signed: Signed, envelope: Envelope) -> None:
    """`envelopeHash` is of the envelope's JSON as it was once uploaded: nobody can compute it again."""
    _payload(fields.needed(spec, "payloadHash"), envelope)
    signature = _only(spec.get("signatures"))
    _signature(fields.text(signature, "signature"), signed)
    _signer(fields.text(signature, "verifier"), signed)


def _intoto(content: dict[str, Any], signed: Signed, envelope: Envelope) -> None:
    """The signature is in base64 twice, since it is that of a text in JSON; the key once."""
    _payload(fields.needed(content, "payloadHash"), envelope)
    logged = fields.needed(content, "envelope")
    if fields.text(logged, "payloadType") != envelope.payload_type:
        raise not_bound("is about an envelope of another type")
    signature = _only(logged.get("signatures"))
    inner = _decoded(fields.text(signature, "sig"), "signature")
    if not inner.isascii():
        raise fields.malformed("has a signature that is not base64 twice")
    _signature(inner.decode("ascii"), signed)
    _signer(fields.text(signature, "publicKey"), signed)


def _only(signatures: object) -> dict[str, Any]:
    """The one signature of an entry: one more could be somebody else's (E03)."""
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise fields.malformed("has no signature, or several")
    return signatures[0]


def _payload(found: dict[str, Any], envelope: Envelope) -> None:
    name = fields.text(found, "algorithm")
    _hash(found, hashlib.sha256(envelope.payload).digest() if name == "sha256" else None)


def _hash(found: dict[str, Any], digest: bytes | None) -> None:
    if digest is None:
        raise not_bound(f"has a digest of a kind that nothing here has: {fields.text(found, 'algorithm')[:40]!a}")
    if fields.text(found, "value").lower() != digest.hex():
        raise not_bound("is about other content")


def _signature(text: str, signed: Signed) -> None:
    if _decoded(text, "signature") != signed.signature:
        raise not_bound("is about another signature")


def _signer(text: str, signed: Signed) -> None:
    """A certificate or a public key, in PEM: one block, compared as DER (L21)."""
    found = _decoded(text, "key")
    if signed.certificate is not None and found == pem.encode("CERTIFICATE", signed.certificate):
        return  # as every client writes it
    try:
        block = pem.decode(found, what="the key in it")
    except SealgateError as problem:
        raise fields.malformed(f"cannot be read: {problem.message}") from None
    if block.label == "CERTIFICATE":
        if signed.is_by(block.body):
            return
        raise not_bound("is about a signature by another certificate")
    if block.label != "PUBLIC KEY":
        raise fields.malformed("has neither a certificate nor a public key")
    if signed.certificate is not None or block.body != signed.key.spki:
        raise not_bound("is about a signature by another key")


def _decoded(text: str, name: str) -> bytes:
    return fields.decoded(text, name, limit=limits.LOG_BODY_BYTES, url_safe=False)
