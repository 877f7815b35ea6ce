"""Sigstore bundles v0.1, v0.2 and v0.3 (protobuf-specs, sigstore_bundle.proto, as protobuf JSON).

A reader that is laxer than the next one can be shown something else (E13). So every object that this module reads has
the known fields and no other, each in its one spelling (lowerCamelCase; protobuf's second spelling is refused), exactly
one member of each `oneof`, and no `null`. Log entries are handed on as they stand; who believes them must read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import BundleInvalidError, LimitError, UsageError
from sealgate.evidence import base64, document, dsse
from sealgate.evidence.dsse import Envelope
from sealgate.evidence.gojson import protojson

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""What is written: the media type of the layer, the artifact type of the referrer, and the bundle's own."""
MEDIA_TYPE_PREFIX = "application/vnd.dev.sigstore.bundle"
"""cosign takes a layer for a bundle if its media type begins so."""

_VERSIONS = {
    f"application/vnd.dev.sigstore.bundle+json;version={version}": version for version in ("0.1", "0.2", "0.3")
}
_VERSIONS |= {f"application/vnd.dev.sigstore.bundle.v{version}+json": version for version in ("0.1", "0.2", "0.3")}

_BUNDLE = frozenset({"mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"})
_CONTENTS = ("messageSignature", "dsseEnvelope")
_MATERIALS = ("publicKey", "x509CertificateChain", "certificate")
_MATERIAL = frozenset({*_MATERIALS, "tlogEntries", "timestampVerificationData"})
_DIGEST_BYTES = {"SHA2_256": 32, "SHA2_384": 48, "SHA2_512": 64, "SHA3_256": 32, "SHA3_384": 48}
"""`HashAlgorithm` of sigstore_common.proto."""


class MessageSignature(NamedTuple):
    """A signature over a file. The digest is an unsigned hint (E08): compare it, never verify by it."""

    digest_algorithm: str | None
    digest: bytes | None
    signature: bytes


class Bundle(NamedTuple):
    """What a bundle holds. Nothing of it is believed yet."""

    media_type: str
    version: str
    """`0.1`, `0.2` or `0.3`."""
    raw: bytes
    content: Envelope | MessageSignature
    public_key_hint: str | None
    """`None`: the bundle names no key but has certificates. Empty: signed with a key, and no hint which."""
    certificates: tuple[bytes, ...]
    """DER, the leaf first. What follows the leaf is never an anchor of trust."""
    log_entries: tuple[dict[str, Any], ...]
    """`TransparencyLogEntry` objects as they stand in the document."""
    timestamps: tuple[bytes, ...]
    """RFC 3161 responses, DER."""


def parse(raw: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> Bundle:
    """Read a bundle, at most `limit` bytes. Raises `BundleInvalidError`, `JsonAmbiguousError`, `LimitError`."""
    return from_document(document.parse(raw, limit=limit, what="the bundle", error=BundleInvalidError), raw)


def from_document(whole: dict[str, Any], raw: bytes) -> Bundle:
    """As `parse`, of a document that was read strictly before."""
    document.known_only(whole, _BUNDLE, what="the bundle", error=BundleInvalidError)
    media_type = _text(whole, "mediaType", "the bundle")
    version = _VERSIONS.get(media_type)
    if version is None:
        raise BundleInvalidError(
            f"a bundle of type {ascii(media_type)[:100]} is not read here", hint="versions 0.1, 0.2 and 0.3 are"
        )
    content: Envelope | MessageSignature
    if _one_of(whole, _CONTENTS, "the bundle") == "dsseEnvelope":
        content = dsse.from_document(whole["dsseEnvelope"], known_fields_only=True, error=BundleInvalidError)
    else:
        content = _message_signature(whole["messageSignature"])
    material = _object(whole.get("verificationMaterial"), _MATERIAL, "the verification material")
    hint, certificates = _key_material(material, version)
    entries = _list(material, "tlogEntries", "the verification material")
    log_entries = tuple(document.as_object(entry, what="a log entry", error=BundleInvalidError) for entry in entries)
    return Bundle(media_type, version, raw, content, hint, certificates, log_entries, _timestamps(material))


def encode_dsse(
    envelope: Envelope,
    *,
    hint: str | None = None,
    certificate: bytes | None = None,
    log_entries: Iterable[Mapping[str, Any]] = (),
    timestamps: Iterable[bytes] = (),
) -> bytes:
    """A bundle v0.3 with a DSSE envelope, byte for byte as cosign 3.1.1 writes it.

    Either `hint` (base64 of the SHA-256 of the public key's DER; empty writes none) or the leaf `certificate` as DER.
    Raises `UsageError` if both or neither are given.
    """
    material = _material(hint, certificate, log_entries, timestamps)
    return _encode(material, "dsseEnvelope", dsse.as_json(envelope))


def encode_message(
    signature: bytes,
    digest_algorithm: str | None,
    digest: bytes | None,
    *,
    hint: str | None = None,
    certificate: bytes | None = None,
    log_entries: Iterable[Mapping[str, Any]] = (),
    timestamps: Iterable[bytes] = (),
) -> bytes:
    """A bundle v0.3 with a signature over a file; the rest as for `encode_dsse`.

    `digest_algorithm` is `SHA2_256` and the like. With neither it nor a digest, `messageDigest` is empty, as cosign 3.1.1
    writes it for Ed25519.
    """
    message_digest: dict[str, str] = {}
    if digest_algorithm is not None:
        message_digest["algorithm"] = digest_algorithm
    if digest is not None:
        message_digest["digest"] = base64.encode(digest)
    content = {"messageDigest": message_digest, "signature": base64.encode(signature)}
    return _encode(_material(hint, certificate, log_entries, timestamps), "messageSignature", content)


def _encode(material: dict[str, Any], name: str, content: dict[str, Any]) -> bytes:
    return protojson({"mediaType": MEDIA_TYPE, "verificationMaterial": material, name: content}).encode("utf-8")


def _material(
    hint: str | None,
    certificate: bytes | None,
    log_entries: Iterable[Mapping[str, Any]],
    timestamps: Iterable[bytes],
) -> dict[str, Any]:
    if (hint is None) == (certificate is None):
        raise UsageError("a bundle has either a hint of the public key or a certificate")
    material: dict[str, Any] = {}
    if certificate is not None:
        material["certificate"] = {"rawBytes": base64.encode(certificate)}
    else:
        material["publicKey"] = {"hint": hint} if hint else {}
    entries = list(log_entries)
    if entries:
        material["tlogEntries"] = entries
    stamps = [{"signedTimestamp": base64.encode(timestamp)} for timestamp in timestamps]
    if stamps:
        material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    return material


def _message_signature(value: object) -> MessageSignature:
    what = "the message signature"
    whole = _object(value, frozenset({"messageDigest", "signature"}), what)
    signature = _bytes(whole.get("signature"), what)
    hint = _object(whole.get("messageDigest", {}), frozenset({"algorithm", "digest"}), "the message digest")
    algorithm = _text(hint, "algorithm", "the message digest") if "algorithm" in hint else None
    digest = _bytes(hint["digest"], "the message digest") if "digest" in hint else None
    if algorithm is not None and algorithm not in _DIGEST_BYTES:
        raise BundleInvalidError(f"the message digest is of an unknown algorithm {ascii(algorithm)[:60]}")
    if algorithm is not None and digest is not None and len(digest) != _DIGEST_BYTES[algorithm]:
        raise BundleInvalidError(f"the message digest is not a {algorithm} digest")
    return MessageSignature(algorithm, digest, signature)


def _key_material(material: dict[str, Any], version: str) -> tuple[str | None, tuple[bytes, ...]]:
    name = _one_of(material, _MATERIALS, "the verification material")
    if name == "publicKey":
        key = _object(material[name], frozenset({"hint"}), "the public key")
        hint = key.get("hint", "")
        if not isinstance(hint, str):
            raise BundleInvalidError("the public key's hint is not a string")
        return hint, ()
    if name == "certificate":
        return None, (_certificate(material[name]),)
    if version == "0.3":
        raise BundleInvalidError("a bundle of version 0.3 has one certificate, not a chain")
    chain = _object(material[name], frozenset({"certificates"}), "the certificate chain")
    entries = _list(chain, "certificates", "the certificate chain")
    if not entries:
        raise BundleInvalidError("the certificate chain is empty")
    return None, tuple(_certificate(entry) for entry in entries)


def _certificate(value: object) -> bytes:
    entry = _object(value, frozenset({"rawBytes"}), "a certificate")
    data = _bytes(entry.get("rawBytes"), "a certificate")
    if not data:
        raise BundleInvalidError("a certificate is empty")
    return data


def _timestamps(material: dict[str, Any]) -> tuple[bytes, ...]:
    what = "the timestamp data"
    data = _object(material.get("timestampVerificationData", {}), frozenset({"rfc3161Timestamps"}), what)
    found = []
    for value in _list(data, "rfc3161Timestamps", what):
        entry = _object(value, frozenset({"signedTimestamp"}), "a timestamp")
        found.append(_bytes(entry.get("signedTimestamp"), "a timestamp"))
    return tuple(found)


def _one_of(whole: dict[str, Any], names: tuple[str, ...], what: str) -> str:
    present = [name for name in names if name in whole]
    if len(present) != 1:
        raise BundleInvalidError(
            f"{what} has {' and '.join(present) or 'none'} where one of {', '.join(names)} belongs"
        )
    return present[0]


def _object(value: object, names: frozenset[str], what: str) -> dict[str, Any]:
    found = document.as_object(value, what=what, error=BundleInvalidError)
    document.known_only(found, names, what=what, error=BundleInvalidError)
    return found


def _list(whole: dict[str, Any], name: str, what: str) -> list[Any]:
    found = document.as_list(whole.get(name, []), what=f"{name} of {what}", error=BundleInvalidError)
    if len(found) > limits.BUNDLE_ENTRIES:
        raise LimitError(f"{what} has more than {limits.BUNDLE_ENTRIES} {name}")
    return found


def _text(whole: dict[str, Any], name: str, what: str) -> str:
    return document.as_text(whole.get(name), what=f"{name} of {what}", error=BundleInvalidError)


def _bytes(value: object, what: str) -> bytes:
    # protobuf JSON allows both alphabets.
    return base64.decode(value, what=what, error=BundleInvalidError, url_safe=True)
