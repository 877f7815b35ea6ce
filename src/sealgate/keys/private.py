"""Private keys in memory: made, read from PEM as other programs write them, and signing.

Sizes are cosign's (RSA 2048, 3072 and 4096). Nothing here shows a secret: not in a `repr`, not in an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from sealgate.errors import KeyMalformedError, KeyUnsupportedError
from sealgate.keys import pem
from sealgate.keys.algorithms import HASHES, HashName, PublicKey, parse_spki

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

_CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "ecdsa-p256": ec.SECP256R1,
    "ecdsa-p384": ec.SECP384R1,
    "ecdsa-p521": ec.SECP521R1,
}
_RSA_BITS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
ALGORITHMS = (*_CURVES, *_RSA_BITS, "ed25519")
"""What can be made and imported."""


class PrivateKey:
    """A private key and its public half."""

    __slots__ = ("_handle", "_public_key")

    def __init__(self, handle: Any, public_key: PublicKey) -> None:
        """Not for callers: use `generate`, `import_pem` or `from_der`."""
        self._handle = handle
        self._public_key = public_key

    @classmethod
    def generate(cls, algorithm: str = "ecdsa-p256") -> PrivateKey:
        """Make a key of one of `ALGORITHMS`. Raises `KeyUnsupportedError`."""
        return generate(algorithm)

    @classmethod
    def from_pem(cls, data: bytes | str, *, what: str = "the private key") -> PrivateKey:
        """Read an unencrypted PEM key; `what` names its source in errors. Raises as `import_pem`."""
        return import_pem(data.encode("utf-8", "replace") if isinstance(data, str) else data, what=what)

    def encrypt(self, password: bytes) -> bytes:
        """The key as cosign keeps it: `cosign.key`, PEM, encrypted with `password` (0.15 s and 64 MiB, on purpose)."""
        from sealgate.keys import keyfile

        return keyfile.encrypt(self, password)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public_key

    def pkcs8(self) -> bytes:
        """The key as unencrypted PKCS#8 (RFC 5958) in DER. A secret."""
        encoded: bytes = self._handle.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return encoded

    def sign(self, message: bytes, hash_name: HashName | None) -> bytes:
        """Sign `message` with `hash_name`; None, and only None, for Ed25519, which has no choice."""
        if self._public_key.algorithm == "ed25519":
            signature: bytes = self._handle.sign(message)
            return signature
        if hash_name is None:
            raise KeyUnsupportedError(f"a key of the kind {self._public_key.algorithm} signs a hash; name one")
        return self._sign(message, HASHES[hash_name])

    def sign_digest(self, digest: bytes, hash_name: HashName) -> bytes:
        """Sign a message by its digest, made with `hash_name`. Raises `KeyUnsupportedError` for Ed25519."""
        if self._public_key.algorithm == "ed25519":
            raise KeyUnsupportedError("Ed25519 signs the message itself, not a digest of it")
        return self._sign(digest, Prehashed(HASHES[hash_name]))

    def _sign(self, data: bytes, hashing: HashAlgorithm | Prehashed) -> bytes:
        scheme = (ec.ECDSA(hashing),) if self._public_key.algorithm in _CURVES else (PKCS1v15(), hashing)
        signature: bytes = self._handle.sign(data, *scheme)
        return signature

    def __repr__(self) -> str:
        return f"PrivateKey({self._public_key.algorithm}, {self._public_key.fingerprint})"


def generate(algorithm: str = "ecdsa-p256") -> PrivateKey:
    """Make a key of one of `ALGORITHMS`. Raises `KeyUnsupportedError`."""
    if algorithm in _CURVES:
        return _wrap(ec.generate_private_key(_CURVES[algorithm]()), "the new key")
    if algorithm in _RSA_BITS:
        return _wrap(rsa.generate_private_key(65537, _RSA_BITS[algorithm]), "the new key")
    if algorithm == "ed25519":
        return _wrap(Ed25519PrivateKey.generate(), "the new key")
    raise KeyUnsupportedError(f"no keys of the kind {ascii(algorithm[:40])}", hint=f"one of {', '.join(ALGORITHMS)}")


def import_pem(data: bytes, *, what: str) -> PrivateKey:
    """Read an unencrypted private key: PKCS#8 `PRIVATE KEY`, SEC 1 `EC PRIVATE KEY` or PKCS#1 `RSA PRIVATE KEY`.

    Raises `KeyUnsupportedError` for other kinds, sizes and encrypted keys, `KeyMalformedError` for what is none.
    """
    found = pem.labels(data)
    for label in found:
        if label in {"ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"}:
            raise KeyUnsupportedError(f"{what} is a cosign key already", hint="use it as it is: --key FILE")
    if "ENCRYPTED PRIVATE KEY" in found or b"Proc-Type:" in data[:4096]:
        raise KeyUnsupportedError(
            f"{what} is an encrypted private key of another format",
            hint="`openssl pkey -in FILE -out PLAIN` decrypts it; import PLAIN, then delete it",
        )
    if "OPENSSH PRIVATE KEY" in found:
        raise KeyUnsupportedError(
            f"{what} is an OpenSSH private key", hint="`ssh-keygen -p -m PKCS8 -f COPY` turns a copy of it into PKCS#8"
        )
    if "EC PARAMETERS" in found and "EC PRIVATE KEY" in found:
        raise KeyMalformedError(
            f"{what} has a block EC PARAMETERS before the key", hint="`openssl pkey -in FILE -out PLAIN` drops it"
        )
    block = pem.decode(data, what=what)
    if block.label not in {"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"}:
        raise KeyUnsupportedError(
            f"{what} is a PEM block {ascii(block.label[:40])}, not a private key",
            hint="PRIVATE KEY (PKCS#8), EC PRIVATE KEY (SEC 1) and RSA PRIVATE KEY (PKCS#1) are read",
        )
    return from_der(block.body, what=what)


def from_der(der: bytes, *, what: str, authenticated: bool = False) -> PrivateKey:
    """Read an unencrypted PKCS#8, SEC 1 or PKCS#1 private key, and prove that its halves belong together.

    `authenticated`: the bytes are as they were when the key was made or imported (a key file's secretbox proves it), so
    that the primes of an RSA key need not be tested again: 0.4 s for 4096 bits. Every signature is still checked.
    """
    try:
        handle = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=authenticated)
    except UnsupportedAlgorithm:
        raise KeyUnsupportedError(f"{what} is of an algorithm that is not accepted", hint=_HINT) from None
    except (ValueError, TypeError):
        # The cause is dropped on purpose: nothing about the bytes of a private key may surface.
        raise KeyMalformedError(f"{what} is not a sound private key") from None
    if not isinstance(handle, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey):
        raise KeyUnsupportedError(f"{what} is of an algorithm that is not accepted", hint=_HINT)
    key = _wrap(handle, what)
    name: HashName | None = None if key.public_key.algorithm == "ed25519" else "sha256"
    if key.public_key.verify(key.sign(b"sealgate", name), b"sealgate") is None:
        raise KeyMalformedError(f"the private and the public half of {what} do not belong together")
    return key


def _wrap(handle: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey, what: str) -> PrivateKey:
    der = handle.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(handle, rsa.RSAPrivateKey) and handle.key_size not in _RSA_BITS.values():
        raise KeyUnsupportedError(f"{what} is an RSA key of {handle.key_size} bits", hint=_HINT)
    return PrivateKey(handle, parse_spki(der, what=what))


_HINT = "accepted are ECDSA P-256, P-384 and P-521, RSA of 2048, 3072 and 4096 bits, and Ed25519"
