"""Public keys: which are accepted, how they are read, and what a signature by them is.

Accepted (bypass E17): ECDSA on the named curves P-256, P-384 and P-521, RSA of 2048 to 8192 bits, Ed25519. A key is one
PEM block `PUBLIC KEY` with a SubjectPublicKeyInfo (RFC 5280, section 4.1; RFC 7468, section 13). Everything is checked when the key is
read, so that verifying cannot fail for the key's sake.

`cryptography`'s serialization costs 12 ms to import, so elliptic and Edwards keys, whose encodings have fixed prefixes, are
built without it.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from sealgate import limits
from sealgate.errors import KeyIsPrivateError, KeyMalformedError, KeyUnsupportedError
from sealgate.keys import pem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

HashName = Literal["sha256", "sha384", "sha512"]
"""The only hashes that sign anything here; SHA-1 and MD5 do not exist (bypass E16)."""

HASHES: dict[HashName, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class Ecdsa(ec.ECDSA):
    """ECDSA with random nonces.

    The base's constructor imports the whole back end, to ask whether it could do without them: 8 ms of start-up.
    """

    def __init__(self, algorithm: hashes.HashAlgorithm | Prehashed) -> None:
        self._hash = algorithm

    @property
    def algorithm(self) -> hashes.HashAlgorithm | Prehashed:
        """The hash."""
        return self._hash

    @property
    def deterministic_signing(self) -> bool:
        """RFC 6979: no."""
        return False


_ECDSA = {name: Ecdsa(algorithm) for name, algorithm in HASHES.items()}
_PREHASHED = {name: Prehashed(algorithm) for name, algorithm in HASHES.items()}
_ECDSA_PREHASHED = {name: Ecdsa(hashed) for name, hashed in _PREHASHED.items()}


class _Curve(NamedTuple):
    curve: ec.EllipticCurve
    identifier: bytes
    """The AlgorithmIdentifier with the named curve (RFC 5480, section 2.1.1)."""
    header: bytes
    """All of the SubjectPublicKeyInfo before an uncompressed point."""
    hashes: tuple[HashName, ...]
    """In the order in which they are tried: the curve's own, then SHA-256, which cosign 2 signs with."""


_CURVES = {
    "ecdsa-p256": _Curve(
        ec.SECP256R1(),
        bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
        bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
        ("sha256", "sha384", "sha512"),
    ),
    "ecdsa-p384": _Curve(
        ec.SECP384R1(),
        bytes.fromhex("301006072a8648ce3d020106052b81040022"),
        bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
        ("sha384", "sha256", "sha512"),
    ),
    "ecdsa-p521": _Curve(
        ec.SECP521R1(),
        bytes.fromhex("301006072a8648ce3d020106052b81040023"),
        bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"),
        ("sha512", "sha256", "sha384"),
    ),
}
_ED25519_HEADER = bytes.fromhex("302a300506032b6570032100")
_RSA_IDENTIFIER = bytes.fromhex("300d06092a864886f70d0101010500")
_RSA_NAMED_BITS = frozenset({2048, 3072, 4096})
_RSA_HASHES: tuple[HashName, ...] = ("sha256", "sha384", "sha512")
_SIGNATURE_BYTES = limits.RSA_BITS_MAX // 8
"""No signature of an accepted key is longer."""


class PublicKey:
    """A public key that was checked. Equal to another when the SubjectPublicKeyInfo is the same, however it was spelled."""

    __slots__ = ("_algorithm", "_handle", "_spki")

    def __init__(self, algorithm: str, spki: bytes, handle: Any) -> None:
        """Not for callers: use `from_pem`, or `parse_spki`."""
        self._algorithm = algorithm
        self._spki = spki
        self._handle = handle

    @classmethod
    def from_pem(cls, data: bytes | str, *, what: str = "the public key") -> PublicKey:
        """Read a PEM block `PUBLIC KEY`; `what` names its source in errors. Raises as `parse_public_pem`."""
        return parse_public_pem(data.encode("utf-8", "replace") if isinstance(data, str) else data, what=what)

    @property
    def algorithm(self) -> str:
        """`ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `ed25519`, `rsa-2048`, `rsa-3072`, `rsa-4096`, or `rsa` of another size."""
        return self._algorithm

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo in DER, in its canonical spelling."""
        return self._spki

    @property
    def hint(self) -> str:
        """base64(SHA-256(SPKI)), as cosign writes it into a bundle's `publicKey.hint`."""
        return binascii.b2a_base64(hashlib.sha256(self._spki).digest(), newline=False).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the hint without padding, for people."""
        return "SHA256:" + self.hint.rstrip("=")

    def pem(self) -> bytes:
        """The PEM block `PUBLIC KEY`, as cosign writes `cosign.pub`."""
        return pem.encode("PUBLIC KEY", self._spki)

    def verify(self, signature: bytes, message: bytes) -> str | None:
        """The scheme under which `signature` is this key's signature of `message`, or None. Never raises for bad ones.

        Schemes: `ecdsa-p256-sha256` and so on (ASN.1 DER, never raw r‖s; the hash of the curve's size first),
        `rsa-pkcs1v15-sha256` and so on, `ed25519`, `ed25519ph` (RFC 8032).
        """
        if not signature or len(signature) > _SIGNATURE_BYTES:
            return None
        curve = _CURVES.get(self._algorithm)
        if curve is not None:
            for name in curve.hashes:
                if _holds(self._handle, signature, message, _ECDSA[name]):
                    return f"{self._algorithm}-{name}"
            return None
        if self._algorithm == "ed25519":
            if _holds(self._handle, signature, message):
                return "ed25519"
            return "ed25519ph" if _holds_ed25519ph(self._spki[-32:], signature, message) else None
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        for name in _RSA_HASHES:
            if _holds(self._handle, signature, message, PKCS1v15(), HASHES[name]):
                return f"rsa-pkcs1v15-{name}"
        return None

    @property
    def hashes(self) -> tuple[HashName, ...]:
        """The hashes that `verify` tries, in order; none for Ed25519, which needs the message itself."""
        if self._algorithm == "ed25519":
            return ()
        curve = _CURVES.get(self._algorithm)
        return _RSA_HASHES if curve is None else curve.hashes

    def verify_digest(self, signature: bytes, digest: bytes, hash_name: HashName) -> str | None:
        """As `verify`, of a message that was hashed before with `hash_name`. Always None for Ed25519."""
        if not signature or len(signature) > _SIGNATURE_BYTES or self._algorithm == "ed25519":
            return None
        if self._algorithm in _CURVES:
            good = _holds(self._handle, signature, digest, _ECDSA_PREHASHED[hash_name])
            return f"{self._algorithm}-{hash_name}" if good else None
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        return (
            f"rsa-pkcs1v15-{hash_name}"
            if _holds(self._handle, signature, digest, PKCS1v15(), _PREHASHED[hash_name])
            else None
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other._spki == self._spki

    def __hash__(self) -> int:
        return hash(self._spki)

    def __repr__(self) -> str:
        return f"PublicKey({self._algorithm}, {self.fingerprint})"


def _holds(key: Any, signature: bytes, message: bytes, *scheme: object) -> bool:
    try:
        key.verify(signature, message, *scheme)
    except (InvalidSignature, ValueError):
        return False
    return True


def _holds_ed25519ph(key: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519ph without a context (RFC 8032, section 5.1), which cosign 3.1.1 signs images with; OpenSSL lacks it."""
    from nacl import bindings
    from nacl.exceptions import CryptoError

    if len(signature) != bindings.crypto_sign_BYTES:
        return False
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, message)
    try:
        return bool(bindings.crypto_sign_ed25519ph_final_verify(state, signature, key))
    except (CryptoError, ValueError):
        return False


def parse_public_pem(data: bytes, *, what: str) -> PublicKey:
    """Read a PEM public key; `what` names its source in errors.

    Raises `KeyIsPrivateError` for a private key, `KeyUnsupportedError` for a key or certificate of another kind or size,
    `KeyMalformedError` for everything else.
    """
    found = pem.labels(data)
    for label in found:
        if "PRIVATE KEY" in label:
            raise KeyIsPrivateError(
                f"{what} is a private key; a public key is needed here",
                hint="`sealgate public-key --key FILE` prints the public key of a private key",
            )
    if len(found) == 1 and found[0] != "PUBLIC KEY":
        for part, kind, hint in _OTHER_KINDS:
            if part in found[0]:
                raise KeyUnsupportedError(f"{what} is {kind}; a PEM block PUBLIC KEY is needed", hint=hint)
    block = pem.decode(data, what=what)
    if block.label != "PUBLIC KEY":
        raise KeyMalformedError(f"{what} is a PEM block {ascii(block.label[:40])}; PUBLIC KEY is needed")
    return parse_spki(block.body, what=what)


_OTHER_KINDS = (
    ("RSA PUBLIC KEY", "a PKCS#1 public key", "`openssl rsa -RSAPublicKey_in -in FILE -pubout` turns it into one"),
    ("CERTIFICATE", "a certificate", "`openssl x509 -in FILE -noout -pubkey` prints its public key"),
    ("SSH2 PUBLIC KEY", "an SSH public key", "`ssh-keygen -i -f FILE -e -m PKCS8` turns it into one"),
    ("PGP PUBLIC KEY", "an OpenPGP key", "OpenPGP keys are not read"),
)


def parse_spki(der: bytes, *, what: str = "the public key") -> PublicKey:
    """Read a SubjectPublicKeyInfo. Raises `KeyMalformedError` or `KeyUnsupportedError`."""
    for algorithm, curve in _CURVES.items():
        header = curve.header
        size = 2 * ((curve.curve.key_size + 7) // 8) + 1
        if der.startswith(header) and len(der) == len(header) + size and der[len(header)] == 4:
            try:
                handle = ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, der[len(header) :])
            except ValueError:
                raise KeyMalformedError(f"{what}: the point is not on the curve {curve.curve.name}") from None
            return PublicKey(algorithm, der, handle)
    if der.startswith(_ED25519_HEADER):
        return _ed25519(der, what)
    return _parse_other(der, what)


def _ed25519(der: bytes, what: str) -> PublicKey:
    """RFC 8410, section 4. Keys of small order, by which anybody can sign anything, and points off the curve are refused."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from nacl import bindings

    raw = der[len(_ED25519_HEADER) :]
    if len(raw) != bindings.crypto_core_ed25519_BYTES:
        raise KeyMalformedError(f"{what}: an Ed25519 key has 32 bytes, not {len(raw)}")
    if not bindings.crypto_core_ed25519_is_valid_point(raw):
        raise KeyMalformedError(f"{what}: not a point of the prime-order group of Ed25519")
    return PublicKey("ed25519", der, Ed25519PublicKey.from_public_bytes(raw))


def _parse_other(der: bytes, what: str) -> PublicKey:
    """RSA, and elliptic keys in a rarer spelling (a compressed point)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        handle = serialization.load_der_public_key(der)
        if isinstance(handle, ec.EllipticCurvePublicKey | RSAPublicKey):
            canonical = handle.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            identifier = _identifier(der)
        else:
            raise UnsupportedAlgorithm(type(handle).__name__)
    except UnsupportedAlgorithm:
        raise KeyUnsupportedError(f"{what} is of an algorithm that is not accepted", hint=_ACCEPTED) from None
    except ValueError:
        raise KeyMalformedError(f"{what} is not a SubjectPublicKeyInfo of a sound key", hint=_ACCEPTED) from None
    if isinstance(handle, RSAPublicKey):
        return _rsa(handle, canonical, identifier, what)
    for algorithm, curve in _CURVES.items():
        if handle.curve.name == curve.curve.name and identifier == curve.identifier:
            return PublicKey(algorithm, canonical, handle)
    raise KeyUnsupportedError(f"{what} is on the curve {handle.curve.name}, or does not name its curve", hint=_ACCEPTED)


def _rsa(handle: RSAPublicKey, canonical: bytes, identifier: bytes, what: str) -> PublicKey:
    bits = handle.key_size
    if identifier != _RSA_IDENTIFIER:
        raise KeyUnsupportedError(f"{what} is an RSA key bound to another scheme than PKCS #1 v1.5", hint=_ACCEPTED)
    if not limits.RSA_BITS_MIN <= bits <= limits.RSA_BITS_MAX:
        raise KeyUnsupportedError(f"{what} is an RSA key of {bits} bits", hint=_ACCEPTED)
    numbers = handle.public_numbers()
    if not 3 <= numbers.e < 2**31 or numbers.e % 2 == 0 or numbers.n % 2 == 0:
        raise KeyUnsupportedError(f"{what} is an RSA key with a modulus or exponent that is unsound", hint=_ACCEPTED)
    return PublicKey(f"rsa-{bits}" if bits in _RSA_NAMED_BITS else "rsa", canonical, handle)


_ACCEPTED = f"accepted are ECDSA P-256, P-384 and P-521, RSA of {limits.RSA_BITS_MIN} to {limits.RSA_BITS_MAX} bits, and Ed25519"


def _identifier(der: bytes) -> bytes:
    """The AlgorithmIdentifier of a SubjectPublicKeyInfo that `cryptography` (strict DER) has read."""
    at = 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)
    return der[at : at + 2 + der[at + 1]] if der[at + 1] < 0x80 else b""
