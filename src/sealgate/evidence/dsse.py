"""DSSE envelopes (Dead Simple Signing Envelope v1.0: protocol.md and envelope.md).

What is signed is not the payload but `pae(payload_type, payload)`. An envelope with no signature, several or an empty
one can be represented: judging them is the caller's business (E03, E20).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import ContentError, EnvelopeInvalidError, LimitError
from sealgate.evidence import base64, document
from sealgate.evidence.gojson import protojson

IN_TOTO = "application/vnd.in-toto+json"
"""The only payload type of signatures and attestations of images (E02)."""

_ENVELOPE_FIELDS = frozenset({"payload", "payloadType", "signatures"})
_SIGNATURE_FIELDS = frozenset({"sig", "keyid"})


class EnvelopeSignature(NamedTuple):
    """One signature. `keyid` is an unsigned hint."""

    sig: bytes
    keyid: str = ""


class Envelope(NamedTuple):
    """A payload, its type, and signatures over both."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body.

    Lengths count bytes. Raises `EnvelopeInvalidError` for a type that is not ASCII: no encoding of it may collide with
    that of another (E01).
    """
    if not payload_type.isascii():
        raise EnvelopeInvalidError("the envelope's payloadType is not ASCII")
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def require_in_toto(envelope: Envelope) -> None:
    """Raise `EnvelopeInvalidError` unless the payload is said to be an in-toto Statement (E02)."""
    if envelope.payload_type != IN_TOTO:
        raise EnvelopeInvalidError(f"the envelope holds {ascii(envelope.payload_type)[:100]}, not {IN_TOTO}")


def parse(raw: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> Envelope:
    """Read a bare envelope, at most `limit` bytes; unknown fields are ignored, as the specification asks.

    Raises `EnvelopeInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    return from_document(document.parse(raw, limit=limit, what="the DSSE envelope", error=EnvelopeInvalidError))


def from_document(
    value: object, *, known_fields_only: bool = False, error: type[ContentError] = EnvelopeInvalidError
) -> Envelope:
    """Read an envelope that stands in parsed JSON. In a Sigstore bundle `known_fields_only` holds (protobuf JSON, E13).

    Base64 may be in the standard or the URL-safe alphabet, as the specification allows. Raises `error`, `LimitError`.
    """
    whole = document.as_object(value, what="the DSSE envelope", error=error)
    if known_fields_only:
        document.known_only(whole, _ENVELOPE_FIELDS, what="the DSSE envelope", error=error)
    payload_type = document.as_text(whole.get("payloadType"), what="the envelope's payloadType", error=error)
    if not payload_type.isascii():
        raise error("the envelope's payloadType is not ASCII")
    payload = base64.decode(whole.get("payload"), what="the envelope's payload", error=error, url_safe=True)
    entries = document.as_list(whole.get("signatures", []), what="the envelope's list of signatures", error=error)
    if len(entries) > limits.ENVELOPE_SIGNATURES:
        raise LimitError(f"the envelope has more than {limits.ENVELOPE_SIGNATURES} signatures")
    signatures = tuple(_signature(entry, known_fields_only=known_fields_only, error=error) for entry in entries)
    return Envelope(payload_type, payload, signatures)


def as_json(envelope: Envelope) -> dict[str, Any]:
    """The envelope as cosign 3.1.1 orders it; no `keyid` where it is empty (cosign refuses others)."""
    return {
        "payload": base64.encode(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": [
            {"sig": base64.encode(entry.sig)} | ({"keyid": entry.keyid} if entry.keyid else {})
            for entry in envelope.signatures
        ],
    }


def encode(envelope: Envelope) -> bytes:
    """The envelope byte for byte as cosign 3.1.1 writes it into `.att` layers and prints it."""
    return protojson(as_json(envelope)).encode("utf-8")


def encode_with_keyid(envelope: Envelope) -> bytes:
    """The envelope as cosign 2.5.0 writes it, and as `cosign download attestation` prints it."""
    found = {
        "payloadType": envelope.payload_type,
        "payload": base64.encode(envelope.payload),
        "signatures": [{"keyid": entry.keyid, "sig": base64.encode(entry.sig)} for entry in envelope.signatures],
    }
    return protojson(found).encode("utf-8")


def _signature(value: object, *, known_fields_only: bool, error: type[ContentError]) -> EnvelopeSignature:
    entry = document.as_object(value, what="a signature of the envelope", error=error)
    if known_fields_only:
        document.known_only(entry, _SIGNATURE_FIELDS, what="a signature of the envelope", error=error)
    keyid = entry.get("keyid", "")
    if not isinstance(keyid, str):
        raise error("a signature's keyid is not a string")
    sig = base64.decode(entry.get("sig"), what="a signature of the envelope", error=error, url_safe=True)
    return EnvelopeSignature(sig, keyid)
