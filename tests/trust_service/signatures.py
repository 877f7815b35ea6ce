"""Signatures as the services check them, and as the makers of bundles make them: with `cryptography`, over digests."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from trust_service.refusal import RefusedError

_HASHES = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}
_CURVES = {"secp256r1": ("P256", "sha256"), "secp384r1": ("P384", "sha384"), "secp521r1": ("P521", "sha512")}
ALGORITHMS = {32: "SHA2_256", 48: "SHA2_384", 64: "SHA2_512"}


def details(key: Any) -> str:
    """`PublicKeyDetails` of sigstore_common.proto, with the hash that the key's kind implies."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve, name = _CURVES[key.curve.name]
        return f"PKIX_ECDSA_{curve}_{name.upper().replace('SHA', 'SHA_')}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"PKIX_RSA_PKCS1V15_{key.key_size}_SHA256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "PKIX_ED25519"
    raise RefusedError(400, "such keys are not known here")


def hash_of(key: Any) -> str:
    """The name of the hash that goes with a public key."""
    return _CURVES[key.curve.name][1] if isinstance(key, ec.EllipticCurvePublicKey) else "sha256"


def sign(key: Any, message: bytes) -> bytes:
    """A signature by the key with its hash."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    digest = hashlib.new(hash_of(key.public_key()), message).digest()
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PKCS1v15(), utils.Prehashed(_HASHES[len(digest)]))
    return key.sign(digest, ec.ECDSA(utils.Prehashed(_HASHES[len(digest)])))


def check_digest(key: Any, signature: bytes, digest: bytes) -> None:
    """Raises RefusedError(400) unless the signature is of that digest."""
    hashed = _HASHES.get(len(digest))
    if hashed is None:
        raise RefusedError(400, f"a digest of {len(digest)} bytes")
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashed)))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashed))
        else:
            raise RefusedError(400, "keys of this kind sign no digests")
    except InvalidSignature:
        raise RefusedError(
            400, "verifying signature: invalid signature when validating ASN.1 encoded signature"
        ) from None


def check_message(key: Any, signature: bytes, message: bytes) -> None:
    """Raises RefusedError(400) unless the signature is of that message, with the key's hash or, as cosign 2, SHA-256."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        try:
            return key.verify(signature, message)
        except InvalidSignature:
            raise RefusedError(400, "verifying signature: invalid signature") from None
    for name in {hash_of(key), "sha256"}:
        try:
            return check_digest(key, signature, hashlib.new(name, message).digest())
        except RefusedError as refused:
            last = refused
    raise last


def load_public(pem: bytes) -> Any:
    """The key of a PEM text, of a key or of a certificate. Raises RefusedError(400)."""
    from cryptography import x509

    try:
        if b"BEGIN CERTIFICATE" in pem:
            return x509.load_pem_x509_certificate(pem).public_key()
        return serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise RefusedError(400, f"not a key: {error}") from None


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature is over (DSSE protocol, section "Signature Definition")."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
