"""RFC 3161 timestamps: that an authority of the trust root says when a signature existed.

The signer is the certificate that the trust root names; the token's own certificates are looked at only where the root
has none for the authority, and then as claims (S01 to S03). Everything is judged at the time that the timestamp tells: the
chain may have ended since.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import SealgateError
from sealgate.trust import token as tokens
from sealgate.trust.failure import TrustFailure
from sealgate.trust.token import Token, invalid, malformed

if TYPE_CHECKING:
    from cryptography import x509

    from sealgate.keys.algorithms import PublicKey
    from sealgate.trust.root import Authority, TrustRoot

_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
_ANY_PURPOSE = "2.5.29.37.0"
_KNOWN_EXTENSIONS = frozenset({"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.32", "2.5.29.37"})
"""Key usage, names, basic constraints, policies, extended key usage: critical ones beside them are not understood."""


class Stamp(NamedTuple):
    """An authority says that a signature existed at a time."""

    authority: Authority
    time: float


class _Certificate(NamedTuple):
    """A certificate's part in timestamps."""

    issuer: bytes
    serial: bytes
    is_ca: bool
    loaded: x509.Certificate


class _Signer(NamedTuple):
    """A certificate that signs timestamps, with its chain judged but for the time."""

    key: PublicKey
    not_before: float
    """Of the chain: the latest."""
    not_after: float
    """The earliest."""


def verify_timestamp(response: bytes, stamped: tuple[bytes, ...], root: TrustRoot) -> Stamp:
    """Verify a timestamp over one of these: the raw bytes of a signature, or what holds it (`proof.Material.stamped`).

    Raises `TrustFailure`.

    `timestamp-malformed`: it cannot be read. `timestamp-untrusted`: no authority of the root that was in use then signs
    such ones. `timestamp-invalid`: an authority of the root is named, and did not make it so. `timestamp-not-bound`: it is
    about something else.
    """
    token = tokens.read(response)
    failure: TrustFailure | None = None
    for authority in root.timestamp_authorities:
        der = _signer_of(token, authority.chain)
        if der is None or not authority.valid.contains(token.time):
            continue
        try:
            _verify(token, der, authority.chain)
        except TrustFailure as problem:
            failure = failure or problem
            continue
        _bound(token, stamped)
        return Stamp(authority, token.time)
    if failure is not None:
        raise failure
    from sealgate.trust.proof import utc

    message = f"its timestamp of {utc(token.time)} is by no timestamp authority of the trust root that was in use then"
    raise TrustFailure("timestamp-untrusted", message)


def _bound(token: Token, stamped: tuple[bytes, ...]) -> None:
    if token.imprint_hash is None:
        raise invalid("is over a hash that is not accepted: SHA-256, SHA-384 and SHA-512 are")
    if all(token.imprint != hashlib.new(token.imprint_hash, each).digest() for each in stamped):
        raise TrustFailure("timestamp-not-bound", "its timestamp is about another signature")


def _signer_of(token: Token, chain: tuple[bytes, ...]) -> bytes | None:
    """The certificate that the token names, if an authority of that chain has it. None: it is by somebody else.

    The bag's order and what else is in it change nothing.
    """
    if not chain:
        return None
    first = _read(chain[0])
    if not first.is_ca:
        return chain[0] if (first.issuer, first.serial) == (token.issuer, token.serial) else None
    for der in token.certificates:
        if hashlib.new(token.certificate_hash[0], der, usedforsecurity=False).digest() != token.certificate_hash[1]:
            continue
        try:
            found = _read(der)
            if (found.issuer, found.serial) == (token.issuer, token.serial):
                found.loaded.verify_directly_issued_by(first.loaded)
                return der
        except TrustFailure:
            continue
        except _unsound():
            continue
    return None


def _verify(token: Token, der: bytes, chain: tuple[bytes, ...]) -> None:
    """The signature, and the chain at the time that is told."""
    hash_name, digest = token.certificate_hash
    if hashlib.new(hash_name, der, usedforsecurity=False).digest() != digest:
        raise invalid("names another certificate than that of the authority in the trust root")
    signer = _signer(der, chain if _read(chain[0]).is_ca else chain[1:])
    family, hash_name = token.scheme
    if not _signed(signer.key, family, hash_name, token):
        raise invalid("does not verify with the key of its authority: altered, or made by another")
    if not signer.not_before <= token.time <= signer.not_after:
        from sealgate.trust.proof import utc

        raise invalid(f"is of {utc(token.time)}, when a certificate of its authority was not valid")


def _signed(key: PublicKey, family: str, hash_name: str, token: Token) -> bool:
    if not key.algorithm.startswith(family):
        return False
    if family == "ed25519":
        return key.verify(token.signature, token.covered) == "ed25519"
    if hash_name not in {"sha256", "sha384", "sha512"}:
        return False
    digest = hashlib.new(hash_name, token.covered).digest()
    return key.verify_digest(token.signature, digest, hash_name) is not None  # type: ignore[arg-type]


# -- certificates of authorities: read and judged once


@functools.cache
def _unsound() -> tuple[type[Exception], ...]:
    """What `cryptography` raises for certificates and signatures that do not hold."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    named = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
    return (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, *named)


@functools.lru_cache(maxsize=256)
def _read(der: bytes) -> _Certificate:
    """Raises `TrustFailure`."""
    from cryptography import x509

    try:
        loaded = x509.load_der_x509_certificate(der)
        constraints = _extension(loaded, x509.BasicConstraints)
        is_ca = constraints is not None and constraints.value.ca
    except _unsound():
        raise malformed("is by a certificate that cannot be read") from None
    tbs = tokens.children(tokens.children(tokens.Element(0, loaded.tbs_certificate_bytes, b""))[0])
    parts = [each for each in tbs if each.tag != 0xA0]  # the version
    return _Certificate(parts[2].raw, parts[0].content, is_ca, loaded)


@functools.lru_cache(maxsize=256)
def _signer(der: bytes, issuers: tuple[bytes, ...]) -> _Signer:
    """Judge a signer and the authorities above it, whose last one is the anchor (RFC 5280, section 6; RFC 3161, section 2.3).

    Only what does not depend on the time. Raises `TrustFailure`.
    """
    from sealgate.keys.algorithms import parse_spki

    leaf, above = _read(der), [_read(each) for each in issuers]
    _leaf(leaf.loaded)
    path = [leaf, *above]
    try:
        for depth, (subject, issuer) in enumerate(zip(path, above, strict=False)):
            _may_issue(issuer.loaded, depth)
            hashed = subject.loaded.signature_hash_algorithm
            if hashed is not None and hashed.name not in {"sha256", "sha384", "sha512"}:
                raise invalid("is by an authority whose certificate is signed with a hash that is not accepted")
            subject.loaded.verify_directly_issued_by(issuer.loaded)
        key = parse_spki(_spki(leaf.loaded), what="the key of a timestamp authority")
    except _unsound():
        raise invalid("is by an authority whose chain in the trust root does not hold") from None
    except SealgateError as problem:
        raise invalid(f"is by an authority with a key that is not accepted: {problem.message}") from None
    return _Signer(
        key,
        max(each.loaded.not_valid_before_utc.timestamp() for each in path),
        min(each.loaded.not_valid_after_utc.timestamp() for each in path),
    )


def _leaf(certificate: x509.Certificate) -> None:
    """No authority, and for timestamps alone: the purpose critical and the only one (RFC 3161, section 2.3; S11)."""
    from cryptography import x509

    _understood(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise invalid("is by a certificate that is an authority's own")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not (usage.value.digital_signature or usage.value.content_commitment):
        raise invalid("is by a certificate whose key is not for signatures")
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or not purposes.critical or [each.dotted_string for each in purposes.value] != [_TIME_STAMPING]:
        raise invalid("is by a certificate that is not for timestamps alone")


def _may_issue(certificate: x509.Certificate, depth: int) -> None:
    """An authority, with at most `depth` others below it."""
    from cryptography import x509

    _understood(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise invalid("is by a certificate that no authority issued")
    if constraints.value.path_length is not None and constraints.value.path_length < depth:
        raise invalid("is by a certificate in a longer chain than its authority allows")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.value.key_cert_sign:
        raise invalid("is by a certificate of an authority that may issue none")
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not {each.dotted_string for each in purposes.value} & {_TIME_STAMPING, _ANY_PURPOSE}:
        raise invalid("is by a certificate of an authority that is not for timestamps")


def _understood(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid.dotted_string not in _KNOWN_EXTENSIONS:
            raise invalid("is by a certificate with a critical extension that is not known here")


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension | None:  # type: ignore[type-arg]
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _spki(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
