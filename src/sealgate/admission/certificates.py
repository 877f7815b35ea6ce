"""The webhook's serving certificate: from files that somebody else renews, or from an authority of its own.

The certificate is loaded into the one live `SSLContext`: connections that stand go on with the old one, new ones get the new
one, and none is dropped. A pair is tried on another context first, and handed over by one file, so that a certificate and a
key that do not belong together (between two writes) never reach the live one.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import KeyMaterialError, NotFoundError, UsageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY_DAYS = 365
SERVING_DAYS = 90
RENEW_SHARE = 1 / 3
"""A certificate is renewed when this much of its time is left."""
_LATE_SHARE = 1 / 6
"""Who renews certificates (cert-manager among them) has done so before this much of the time is left."""
_SKEW = 300
"""Seconds that clocks of a cluster may differ."""


class Pair(NamedTuple):
    """A certificate with its chain, and its private key; PEM."""

    chain: bytes
    key: bytes


class Authority(NamedTuple):
    """An authority of our own: what the API server is told to believe (`caBundle`), and its key."""

    certificate: bytes
    key: bytes


# -- loading


def new_context(client_ca: str | None) -> ssl.SSLContext:
    """A server's context without a certificate yet. With `client_ca`, clients may show a certificate of it.

    It is not demanded in the handshake: probes and metrics have none. Who asks for a review must have shown one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{client_ca} has no certificate authorities that can be used: {_reason(error)}"
            ) from error
    return context


def read(certificate: str, key: str) -> Pair:
    """A pair from its files. Raises `NotFoundError`, `KeyMaterialError`."""
    return Pair(_file(certificate), _file(key))


def load(context: ssl.SSLContext, pair: Pair) -> float:
    """Put a pair into a context that may be in use; the end of the certificate (seconds since 1970).

    Raises `KeyMaterialError`, and leaves the context as it was, for a pair that cannot be used.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(pair.chain)
    except ValueError as error:
        raise KeyMaterialError("the serving certificate is no certificate in PEM") from error
    try:
        with _one_file(pair) as path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=_no_password)
            context.load_cert_chain(path, password=_no_password)
    except (OSError, ValueError) as error:
        raise KeyMaterialError(
            f"the serving certificate and its key cannot be used: {_reason(error)}",
            hint="do they belong together, and is the key not encrypted?",
        ) from error
    return found.not_valid_after_utc.timestamp()


def leaf(chain: bytes) -> bytes:
    """The server's own certificate of a chain that was loaded, in DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER)


@contextlib.contextmanager
def _one_file(pair: Pair) -> Iterator[str]:
    """Key and chain as one file that nobody else sees; in memory where the system can."""
    data = pair.key.rstrip() + b"\n" + pair.chain
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("sealgate", os.MFD_CLOEXEC)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{handle}"
        return
    with tempfile.NamedTemporaryFile() as file:  # pragma: no cover - not on Linux
        file.write(data)
        file.flush()
        yield file.name


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limits.CONFIG_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise KeyMaterialError(f"{path} cannot be read: {_reason(error)}") from error
    if len(data) > limits.CONFIG_FILE_BYTES:
        raise KeyMaterialError(f"{path} is larger than {limits.CONFIG_FILE_BYTES} bytes")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is not what it should be"
    return getattr(error, "strerror", None) or "it is not what it should be"


# -- making


def make_authority(name: str, *, now: float) -> Authority:
    """An authority for the certificates of one webhook: it can sign servers' certificates and nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(_signed(builder, key), _private(key))


def issue(authority: Authority, names: Sequence[str], *, now: float) -> Pair:
    """A serving certificate for these DNS names, by our own authority. Raises `KeyMaterialError`, `UsageError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not names:
        raise UsageError("a serving certificate needs a name", hint="SERVICE.NAMESPACE.svc")
    try:
        above = x509.load_pem_x509_certificate(authority.certificate)
        signer = serialization.load_pem_private_key(authority.key, None)
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("the webhook's own authority cannot be read") from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise KeyMaterialError("the webhook's own authority has another kind of key than it was made with")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        _builder(subject, above.subject, key.public_key(), now, SERVING_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return Pair(_signed(builder, signer) + authority.certificate, _private(key))


def is_due(certificate: bytes, *, now: float) -> bool:
    """Whether a certificate (PEM, the first one) is to be renewed by now; also one that cannot be read."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return True
    begin, end = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return not begin <= now < end - (end - begin) * RENEW_SHARE


def is_valid(certificate: bytes, *, now: float) -> bool:
    """Whether a certificate (PEM, the first one) can be read and has not ended."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return False
    return now < found.not_valid_after_utc.timestamp()


def check_valid(certificate: bytes, *, now: float) -> None:
    """Raise `KeyMaterialError` for a certificate (PEM, the first one) that takes the place of a better one."""
    if not is_valid(certificate, now=now):
        raise KeyMaterialError(
            "the new serving certificate has ended, or is no certificate in PEM",
            hint="the one before it is served on",
        )


def ending(certificate: bytes, *, now: float) -> bool | None:
    """Whether a certificate (PEM, the first one) is about to end and nobody has renewed it: True once it has ended, None while
    there is time.
    """
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate)
    start, end = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    if now >= end:
        return True
    return False if now >= end - (end - start) * _LATE_SHARE else None


def end(chain: bytes) -> float:
    """When a certificate (PEM, the first one) ends (seconds since 1970)."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()


def begin(certificate: bytes) -> float:
    """When a certificate of ours was made (seconds since 1970)."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).not_valid_before_utc.timestamp() + _SKEW


def is_authority(authority: Authority) -> bool:
    """Whether certificate and key belong together, and are such as `make_authority` makes."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, None)
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return constraints.ca and key.public_key() == found.public_key()


def is_issued(pair: Pair, authorities: Sequence[Authority], names: Sequence[str], *, now: float) -> bool:
    """Whether a pair is for these names, by one of these authorities, whole, and holds now."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificate(pair.chain)
        key = serialization.load_pem_private_key(pair.key, None)
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    if not found.not_valid_before_utc.timestamp() <= now < found.not_valid_after_utc.timestamp():
        return False
    if key.public_key() != found.public_key() or not set(names) <= set(said.get_values_for_type(x509.DNSName)):
        return False
    for each in authorities:
        try:
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(each.certificate))
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def split(chain: bytes) -> list[bytes]:
    """The certificates of a PEM text, each on its own; none where it holds something else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificates(chain) if chain else []
    except ValueError:
        return []
    return [each.public_bytes(serialization.Encoding.PEM) for each in found]


def bundle(authorities: Sequence[Authority], *, now: float) -> bytes:
    """`caBundle`: the newest authority first, and older ones while their certificates may still be served."""
    from cryptography import x509

    kept = [
        each.certificate
        for each in authorities
        if x509.load_pem_x509_certificate(each.certificate).not_valid_after_utc.timestamp() > now
    ]
    return b"".join(kept)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    begin = datetime.datetime.fromtimestamp(now - _SKEW, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization

    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
