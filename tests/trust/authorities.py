"""Certificates and trust roots for the tests of this room: what `trust_service` makes, what real clients were given
(`recorded`), and chains of authorities that no service would run.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealgate.keys import algorithms, pem
from sealgate.trust.root import Authority, Log, Period, TrustRoot

RECORDED = Path(__file__).parent / "recorded"
T = 1_700_000_000
HOUR = 3600
ALWAYS = Period(None, None)
CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()


def root_of(document: dict[str, Any]) -> TrustRoot:
    """The values of a `trusted_root.json` that is known to be sound."""
    return TrustRoot(
        tuple(_authority(each) for each in document["certificateAuthorities"]),
        tuple(_log(each) for each in document["ctlogs"]),
        tuple(_log(each) for each in document["tlogs"]),
        tuple(_authority(each) for each in document["timestampAuthorities"]),
    )


def recorded_root() -> TrustRoot:
    return root_of(json.loads((RECORDED / "trusted_root.json").read_text()))


class Recorded(NamedTuple):
    """A certificate that a real client was given."""

    case: str
    der: bytes
    subjects: tuple[str, ...]
    """Who signed in this case; with two signatures the case says one of them."""


def recorded() -> Iterator[Recorded]:
    """Every certificate of the recordings, from bundles and from annotations."""
    for folder in sorted(path for path in RECORDED.iterdir() if (path / "identity.txt").exists()):
        subjects = ((folder / "identity.txt").read_text().strip(),)
        for file in sorted(folder.glob("bundle*.json")):
            found = json.loads(file.read_text())
            if "cert" in found:
                yield Recorded(folder.name, pem.decode(_b64(found["cert"]), what="it").body, subjects)
                continue
            material = found["verificationMaterial"]
            chain = material.get("x509CertificateChain", {}).get("certificates", [])
            leaf = material.get("certificate") or (chain[0] if chain else None)
            if leaf:
                yield Recorded(folder.name, _b64(leaf["rawBytes"]), subjects)
        for file in sorted(folder.glob("*certificate.pem")):
            yield Recorded(folder.name, pem.decode(file.read_bytes(), what="it").body, subjects)


class Made(NamedTuple):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{each: each in names for each in _USAGES})


def purposes(*oids: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage(oids)


def authority(
    name: str,
    above: Made | None = None,
    *,
    length: int | None = None,
    ca: bool = True,
    usages: Sequence[str] = ("key_cert_sign",),
    eku: Sequence[x509.ObjectIdentifier] = (),
    more: Extensions = (),
    start: int = T - 1000 * HOUR,
    end: int = T + 1000 * HOUR,
    key: Any = None,
) -> Made:
    """The certificate of an authority, by the one above it, or by itself."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca, length if ca else None), True)]
    if usages:
        extensions.append((usage(*usages), True))
    if eku:
        extensions.append((purposes(*eku), False))
    key = key or ec.generate_private_key(ec.SECP256R1())
    return certificate(directory(name), key, above, [*extensions, *more], start, end)


def leaf(
    above: Made | None,
    name: x509.GeneralName | None = None,
    *,
    usages: Sequence[str] = ("digital_signature",),
    eku: Sequence[x509.ObjectIdentifier] = (CODE_SIGNING,),
    more: Extensions = (),
    subject: x509.Name | None = None,
    start: int = T - HOUR,
    end: int = T + HOUR,
    key: Any = None,
    hashed: Any = None,
) -> Made:
    """The certificate of a signer, as an ordinary authority makes it: without Fulcio's extensions."""
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if usages:
        extensions.append((usage(*usages), True))
    if eku:
        extensions.append((purposes(*eku), False))
    extensions.append((x509.SubjectAlternativeName([name or x509.RFC822Name("signer@corp.test")]), False))
    key = key or ec.generate_private_key(ec.SECP256R1())
    return certificate(subject or x509.Name([]), key, above, [*extensions, *more], start, end, hashed)


def certificate(
    subject: x509.Name, key: Any, above: Made | None, extensions: Extensions, start: int, end: int, hashed: Any = None
) -> Made:
    """Any certificate; `above` None: signed by itself. `hashed`: the hash of its signature, SHA-256 if it is not given."""
    issuer = subject if above is None else above.certificate.subject
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(_moment(start)).not_valid_after(_moment(end))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = key if above is None else above.key
    if hashed is None and not isinstance(signer, ed25519.Ed25519PrivateKey):
        hashed = hashes.SHA256()
    return Made(builder.sign(signer, hashed), key)


def directory(name: str, *, organization: str = "corp.test") -> x509.Name:
    words = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(*word) for word in words])


def trusting(*chain: Made, valid: Period = ALWAYS) -> TrustRoot:
    """A root that believes in one authority with this chain, the anchor last."""
    return TrustRoot((Authority(tuple(each.der for each in chain), valid, common_name="corp.test"),), (), (), ())


def _moment(at: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def _authority(value: dict[str, Any]) -> Authority:
    chain = tuple(_b64(each["rawBytes"]) for each in value["certChain"]["certificates"])
    return Authority(
        chain, _period(value.get("validFor", {})), value["uri"], common_name=value["subject"]["commonName"]
    )


def _log(value: dict[str, Any]) -> Log:
    key = value["publicKey"]
    return Log(
        value["baseUrl"],
        algorithms.parse_spki(_b64(key["rawBytes"])),
        key["keyDetails"],
        _period(key["validFor"]),
        _b64(value["logId"]["keyId"]),
    )


def _period(value: dict[str, str]) -> Period:
    start, end = (
        datetime.datetime.fromisoformat(value[side]).timestamp() if side in value else None for side in ("start", "end")
    )
    return Period(start, end)


def _b64(text: str) -> bytes:
    return base64.b64decode(text)
