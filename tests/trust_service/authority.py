"""Certificate authorities as Fulcio runs them: a root, an intermediate, and leaves that live ten minutes
(Fulcio, certificate-specification.md)."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust_service import ctlog, der
from trust_service.hooks import Hooks
from trust_service.identities import extensions_of, name_of
from trust_service.period import DAY, MINUTE, Period, moment

_DER = serialization.Encoding.DER
_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()


class Profile(NamedTuple):
    """What a leaf certificate is about to say; alterations change it with `_replace`."""

    public_key: Any
    names: tuple[x509.GeneralName, ...]
    not_before: float
    not_after: float
    extensions: tuple[tuple[str, bytes], ...]
    """Fulcio's own: (OID, DER)."""
    issuer: x509.Certificate
    issuer_key: ec.EllipticCurvePrivateKey
    serial: int
    subject: str = ""
    names_critical: bool = True
    usages: tuple[str, ...] = ("digital_signature",)
    purposes: tuple[str, ...] = (ExtendedKeyUsageOID.CODE_SIGNING.dotted_string,)
    ca: bool | None = None
    """With BasicConstraints; None: without, as Fulcio does."""

    def build(self, last: tuple[str, bytes] | None = None) -> x509.Certificate:
        """The certificate; `last`: one more extension at the end."""
        name = [x509.NameAttribute(NameOID.COMMON_NAME, self.subject)] if self.subject else []
        builder = x509.CertificateBuilder(self.issuer.subject, x509.Name(name), self.public_key, self.serial)
        builder = builder.not_valid_before(moment(self.not_before)).not_valid_after(moment(self.not_after))
        builder = builder.add_extension(_usage(*self.usages), critical=True)
        if self.purposes:
            purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose) for purpose in self.purposes])
            builder = builder.add_extension(purposes, critical=False)
        if self.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(self.ca, None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.public_key), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuer.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if self.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(self.names), critical=self.names_critical)
        for oid, value in (*self.extensions, *([last] if last else [])):
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False
            )
        return builder.sign(self.issuer_key, hashes.SHA384())


class Authority(NamedTuple):
    """An authority: its chain and the key that signs leaves."""

    name: str
    intermediate: x509.Certificate
    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    root_key: ec.EllipticCurvePrivateKey
    valid: Period

    @property
    def chain(self) -> list[bytes]:
        """DER, without the leaf."""
        return [self.intermediate.public_bytes(_DER), self.root.public_bytes(_DER)]

    def issue(
        self, public_key: Any, claims: Mapping[str, Any], at: float, logs: Sequence[ctlog.CtLog], hooks: Hooks
    ) -> list[bytes]:
        """A leaf for what the token says, with a timestamp of each CT log in it, and the chain: DER."""
        profile = Profile(
            public_key,
            (name_of(claims),),
            at,
            int(at) + 10 * MINUTE,
            extensions_of(claims),
            self.intermediate,
            self.key,
            x509.random_serial_number(),
        )
        profile = hooks("certificate", profile)
        leaf = profile.build()
        issuer = profile.issuer.public_key()
        scts = [log.promise(leaf.tbs_certificate_bytes, issuer, at, hooks) for log in logs]
        if scts := hooks("scts", scts):
            leaf = profile.build((ctlog.LIST_OID, der.octets(ctlog.encode_list(scts))))
        return hooks("chain", [hooks("signed-certificate", leaf.public_bytes(_DER)), *self.chain])


def make(name: str, valid: Period, certificates: Period) -> Authority:
    """An authority; `certificates`: the validity that its own certificates state."""
    root_key, root = _authority(f"{name} root", certificates)
    key, intermediate = _authority(
        f"{name} intermediate", certificates, issuer=root, issuer_key=root_key, purpose=ExtendedKeyUsageOID.CODE_SIGNING
    )
    return Authority(name, intermediate, root, key, root_key, valid)


def timestamping(name: str, certificates: Period) -> tuple[ec.EllipticCurvePrivateKey, list[x509.Certificate]]:
    """The key and the chain of a timestamp authority: its leaf, its root."""
    root_key, root = _authority(f"{name} timestamping root", certificates)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(f"{name} timestamping", certificates, key, root.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    return key, [builder.sign(root_key, hashes.SHA384()), root]


def pem(certificates: Sequence[bytes]) -> str:
    """DER certificates as one PEM text; nobody looks into them."""
    return "".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in certificates)


def fingerprint(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()


def _authority(name: str, certificates: Period, *, issuer=None, issuer_key=None, purpose=None):
    key = ec.generate_private_key(ec.SECP384R1())
    builder = _builder(name, certificates, key, None if issuer is None else issuer.subject)
    length = 1 if issuer is None else 0
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if issuer is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return key, builder.sign(issuer_key or key, hashes.SHA384())


def _builder(name: str, certificates: Period, key, issuer: x509.Name | None) -> x509.CertificateBuilder:
    words = [(NameOID.ORGANIZATION_NAME, "trust.test"), (NameOID.COMMON_NAME, name)]
    subject = x509.Name([x509.NameAttribute(*word) for word in words])
    builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number())
    end = certificates.start + 3650 * DAY if certificates.end is None else certificates.end
    builder = builder.not_valid_before(moment(certificates.start)).not_valid_after(moment(end))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in names for usage in _USAGES})
