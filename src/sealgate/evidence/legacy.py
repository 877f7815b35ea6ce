"""cosign's legacy format: a payload as a layer, everything else in the layer's annotations; and its bundle for blobs.

The layer is a simple-signing payload (`simple`) under the tag `sha256-<hex>.sig`, or a DSSE envelope (`dsse`) under
`.att`. Only the signed bytes mean anything; the media type and the annotations are hints (E24).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import BundleInvalidError, EnvelopeInvalidError, UsageError
from sealgate.evidence import base64, document
from sealgate.evidence.gojson import encoding_json

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
SIGNATURE_CONFIG = "application/vnd.dev.cosign.artifact.sig.v1+json"
"""The config of cosign's experimental OCI 1.1 mode, in which the manifest has a subject and no tag."""
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""With `COSIGN_DOCKER_MEDIA_TYPES=1`."""

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"
TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"
PREDICATE_TYPE = "predicateType"
"""On layers of attestations; unsigned, so never believed."""

NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time, which cosign writes unless told to record the time."""


class LegacySignature(NamedTuple):
    """One layer and what its annotations carry. Nothing of it is believed yet."""

    payload: bytes
    signature: bytes
    """Empty for an attestation, whose signatures are inside the envelope."""
    signature_text: str
    certificate: bytes | None
    """PEM."""
    chain: bytes | None
    """PEM; intermediates and root as the signer saw them, never anchors of trust."""
    bundle: str | None
    """Rekor's signed entry timestamp and what it covers, JSON."""
    timestamp: str | None
    """An RFC 3161 response inside JSON."""
    annotations: tuple[tuple[str, str], ...]
    media_type: str


def decode_signature(text: str) -> bytes:
    """A signature as text: in an annotation, in a file of `--output-signature`, as `sign-blob` prints it.

    Line ends may follow the base64, since `sign-blob` prints one and `cosign attach signature` stores it; the decoded
    bytes are what is verified. Raises `EnvelopeInvalidError` if it is empty (E20) or not base64.
    """
    signature = base64.decode(text.rstrip("\r\n"), what="the signature", error=EnvelopeInvalidError)
    if not signature:
        raise EnvelopeInvalidError("the signature is empty")
    return signature


def parse_layer(payload: bytes, annotations: Mapping[str, str], media_type: str) -> LegacySignature:
    """Read a layer of a `.sig` manifest, of whatever media type. `payload` is checked by nobody but the signature.

    Raises `EnvelopeInvalidError`: no signature, one that is empty (E20) or not base64, or an annotation that is there
    and blank (M09: that is not the same as absent).
    """
    text = annotations.get(SIGNATURE)
    if text is None:
        raise EnvelopeInvalidError("the layer has no signature in its annotations")
    return _layer(payload, decode_signature(text), text, annotations, media_type)


def parse_attestation_layer(payload: bytes, annotations: Mapping[str, str], media_type: str) -> LegacySignature:
    """Read a layer of a `.att` manifest: the signatures are inside the envelope, the annotation is empty.

    Raises `EnvelopeInvalidError` for an annotation that is there and blank (M09).
    """
    return _layer(payload, b"", annotations.get(SIGNATURE, ""), annotations, media_type)


def layer_annotations(
    signature: bytes,
    *,
    certificate: bytes | None = None,
    chain: bytes | None = None,
    bundle: str | None = None,
    timestamp: str | None = None,
) -> dict[str, str]:
    """The annotations of a signature's layer, in cosign's order. Certificate and chain are PEM.

    As cosign, an empty chain is written beside a certificate that has none. Raises `UsageError`: not PEM.
    """
    return {SIGNATURE: base64.encode(signature)} | _came_along(certificate, chain, bundle, timestamp)


def attestation_annotations(
    predicate_type: str,
    *,
    certificate: bytes | None = None,
    chain: bytes | None = None,
    bundle: str | None = None,
    timestamp: str | None = None,
) -> dict[str, str]:
    """The annotations of an attestation's layer: the signature is empty, since the envelope has it; else as a signature's."""
    return {SIGNATURE: "", PREDICATE_TYPE: predicate_type} | _came_along(certificate, chain, bundle, timestamp)


def _came_along(
    certificate: bytes | None, chain: bytes | None, bundle: str | None, timestamp: str | None
) -> dict[str, str]:
    found: dict[str, str] = {}
    if bundle is not None:
        found[BUNDLE] = bundle
    if certificate is not None:
        found[CERTIFICATE] = _ascii(certificate)
        found[CHAIN] = _ascii(chain or b"")
    if timestamp is not None:
        found[TIMESTAMP] = timestamp
    return found


def promise_of(text: str) -> dict[str, Any]:
    """The object of the annotation `BUNDLE`: a log's signed entry timestamp and what it covers.

    Raises `EnvelopeInvalidError`, `JsonAmbiguousError`.
    """
    return document.parse(
        text.encode("utf-8"), limit=limits.EVIDENCE_BYTES, what="the log's promise", error=EnvelopeInvalidError
    )


def timestamp_of(text: str) -> bytes:
    """The RFC 3161 response, DER, of the annotation `TIMESTAMP`. Raises `EnvelopeInvalidError`."""
    error = EnvelopeInvalidError
    what = "the timestamp"
    whole = document.parse(text.encode("utf-8"), limit=limits.SMALL_BODY_BYTES, what=what, error=error)
    found = document.as_text(whole.get("SignedRFC3161Timestamp"), what=what, error=error)
    return base64.decode(found, what=what, error=error)


def config(layers: Iterable[Digest], *, created: str = NO_TIME) -> bytes:
    """The image config of a `.sig` or `.att` manifest with these layers, byte for byte as cosign writes it.

    Layers are not compressed, so their digests are the diff ids. `created` (RFC 3339) is for
    `--record-creation-timestamp`; the history has no times.
    """
    diff_ids = [str(layer) for layer in layers]
    image = {
        "architecture": "",
        "created": created,
        "history": [{"created": NO_TIME} for _ in diff_ids],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {},
    }
    return encoding_json(image).encode("utf-8")


class BlobBundle(NamedTuple):
    """cosign's legacy bundle of a blob (`sign-blob --new-bundle-format=false --bundle`)."""

    signature: bytes
    certificate: bytes | None
    """PEM of a certificate. cosign 3.1.1 puts the *public key* here when it signs with a key; a key that comes with the
    signature is no reason to believe it."""
    log_entry: dict[str, Any] | None
    """`rekorBundle`: signed entry timestamp and payload, as they stand in the document."""


def parse_blob_bundle(raw: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> BlobBundle:
    """Read a legacy blob bundle. Raises `BundleInvalidError`, `JsonAmbiguousError`, `LimitError`.

    Unknown fields are ignored. A field that is there and blank is an error.
    """
    error = BundleInvalidError
    whole = document.parse(raw, limit=limit, what="the bundle", error=error)
    text = document.as_text(whole.get("base64Signature"), what="the bundle's base64Signature", error=error)
    signature = base64.decode(text, what="the bundle's base64Signature", error=error)
    certificate = None
    if "cert" in whole:
        certificate = base64.decode(whole["cert"], what="the bundle's cert", error=error)
        if not certificate.strip():
            raise error("the bundle's cert is there and blank")
    log_entry = None
    if whole.get("rekorBundle") is not None:
        log_entry = document.as_object(whole["rekorBundle"], what="the bundle's rekorBundle", error=error)
    return BlobBundle(signature, certificate, log_entry)


def encode_blob_bundle(bundle: BlobBundle) -> bytes:
    """The bundle byte for byte as cosign writes it, without a newline."""
    found: dict[str, Any] = {"base64Signature": base64.encode(bundle.signature)}
    if bundle.certificate is not None:
        found["cert"] = base64.encode(bundle.certificate)
    if bundle.log_entry is not None:
        found["rekorBundle"] = bundle.log_entry
    return encoding_json(found).encode("utf-8")


def _ascii(pem: bytes) -> str:
    if not pem.isascii():
        raise UsageError("a certificate is not PEM")
    return pem.decode("ascii")


def _layer(
    payload: bytes, signature: bytes, text: str, annotations: Mapping[str, str], media_type: str
) -> LegacySignature:
    certificate = _pem(annotations, CERTIFICATE)
    # cosign writes an empty chain beside a certificate that has none; white space is no chain of anybody's.
    chain = _pem(annotations, CHAIN) if annotations.get(CHAIN) != "" else None
    return LegacySignature(
        payload,
        signature,
        text,
        certificate,
        chain,
        _present(annotations, BUNDLE),
        _present(annotations, TIMESTAMP),
        tuple(annotations.items()),
        media_type,
    )


def _present(annotations: Mapping[str, str], name: str) -> str | None:
    text = annotations.get(name)
    if text is not None and not text.strip():
        raise EnvelopeInvalidError(f"the annotation {name} is there and blank")
    return text


def _pem(annotations: Mapping[str, str], name: str) -> bytes | None:
    text = _present(annotations, name)
    if text is None:
        return None
    if not text.isascii():
        raise EnvelopeInvalidError(f"the annotation {name} is not PEM")
    return text.encode("utf-8")
