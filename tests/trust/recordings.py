"""What real clients left (`recorded/`, see its INDEX.md) and what the private Sigstore of the tests makes, as the product
takes it: trust roots, and each signature with all that came along."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy
from sealgate.evidence.dsse import Envelope
from sealgate.keys import pem
from sealgate.keys.algorithms import PublicKey, parse_spki
from sealgate.trust.root import Authority, Log, Period, TrustRoot
from sealgate.trust.signed import Signed

RECORDED = Path(__file__).parent / "recorded"
PUBLIC = Path(__file__).parent / "public"


class Case(NamedTuple):
    """A signature, and what came along."""

    name: str
    signed: Signed
    entries: tuple[dict[str, Any], ...] = ()
    promises: tuple[dict[str, Any], ...] = ()
    timestamps: tuple[bytes, ...] = ()
    layer: bytes | None = None
    """Of an attestation in the legacy format: what cosign stamps."""

    @property
    def stamped(self) -> bytes:
        return self.signed.signature if self.layer is None else self.layer


def root_of(document: dict[str, Any]) -> TrustRoot:
    """A trust root, without the product's own reader of them."""
    return TrustRoot(
        tuple(_authority(one) for one in document.get("certificateAuthorities", [])),
        tuple(_log(one) for one in document.get("ctlogs", [])),
        tuple(_log(one) for one in document.get("tlogs", [])),
        tuple(_authority(one) for one in document.get("timestampAuthorities", [])),
    )


def recorded_root() -> TrustRoot:
    return root_of(json.loads((RECORDED / "trusted_root.json").read_bytes()))


def signed_by(
    signature: bytes,
    message: bytes,
    *,
    certificate: bytes | None,
    key: PublicKey | None = None,
    envelope: Envelope | None = None,
) -> Signed:
    """As the verifier makes it."""
    if key is None:
        public = x509.load_der_x509_certificate(certificate).public_key()
        key = parse_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert key.verify(signature, message)
    names = ("sha256", *key.hashes[:1]) if key.hashes else ("sha256", "sha512")
    digests = tuple((name, hashlib.new(name, message).digest()) for name in dict.fromkeys(names))
    return Signed(signature, key, certificate, envelope, message if envelope is None else None, digests)


def of_bundle(name: str, raw: bytes, artifact: bytes, key: PublicKey | None) -> Case:
    found = bundles.parse(raw)
    envelope, message = None, artifact
    if isinstance(found.content, Envelope):
        envelope = found.content
        message = dsse.pae(envelope.payload_type, envelope.payload)
        signature = envelope.signatures[0].sig
    else:
        signature = found.content.signature
    certificate = found.certificates[0] if found.certificates else None
    signed = signed_by(signature, message, certificate=certificate, key=key, envelope=envelope)
    return Case(name, signed, found.log_entries, (), found.timestamps)


def of_made(made: Any) -> Case:
    """What `trust_service.make_bundle` made."""
    key = None
    if not made.certificates:
        key = parse_spki(made.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return of_bundle("made", made.json, made.artifact, key)


def recorded() -> list[Case]:
    """Every signature that was recorded."""
    return [case for folder in sorted(RECORDED.iterdir()) if folder.is_dir() for case in _cases(folder)]


def _cases(folder: Path) -> list[Case]:
    key = None
    if (folder / "key.pub").exists():
        key = PublicKey.from_pem((folder / "key.pub").read_bytes())
    artifact = (folder / "artifact.txt").read_bytes() if (folder / "artifact.txt").exists() else b""
    cases = []
    for path in sorted(folder.glob("bundle*.json")):
        raw = path.read_bytes()
        if b'"base64Signature"' in raw:
            found = legacy.parse_blob_bundle(raw)
            certificate = pem.decode(found.certificate, what="it").body
            signed = signed_by(found.signature, artifact, certificate=certificate)
            cases.append(Case(folder.name, signed, (), (found.log_entry,), ()))
        else:
            cases.append(of_bundle(f"{folder.name}/{path.name}", raw, artifact, key))
    return cases + [_legacy(folder, path, key) for path in sorted(folder.glob("*annotations.json"))]


def _legacy(folder: Path, path: Path, key: PublicKey | None) -> Case:
    prefix = path.name.removesuffix("annotations.json")
    found = json.loads(path.read_bytes())
    text = found.get(legacy.CERTIFICATE)
    certificate = pem.decode(text.encode(), what="it").body if text else None
    layer = None
    if (folder / f"{prefix}envelope.json").exists():
        layer = (folder / f"{prefix}envelope.json").read_bytes()
        envelope = dsse.parse(layer)
        message, signature = dsse.pae(envelope.payload_type, envelope.payload), envelope.signatures[0].sig
    else:
        envelope, message = None, (folder / f"{prefix}payload.json").read_bytes()
        signature = base64.b64decode(found[legacy.SIGNATURE])
    signed = signed_by(signature, message, certificate=certificate, key=key, envelope=envelope)
    promises = (json.loads(found[legacy.BUNDLE]),) if legacy.BUNDLE in found else ()
    stamps = ()
    if legacy.TIMESTAMP in found:
        stamps = (base64.b64decode(json.loads(found[legacy.TIMESTAMP])["SignedRFC3161Timestamp"]),)
    return Case(f"{folder.name}/{path.name}", signed, (), promises, stamps, layer)


def _log(document: dict[str, Any]) -> Log:
    key = document["publicKey"]
    return Log(
        document["baseUrl"],
        parse_spki(base64.b64decode(key["rawBytes"])),
        key["keyDetails"],
        _period(key["validFor"]),
        base64.b64decode(document["logId"]["keyId"]),
    )


def _authority(document: dict[str, Any]) -> Authority:
    chain = tuple(base64.b64decode(one["rawBytes"]) for one in document["certChain"]["certificates"])
    return Authority(chain, _period(document["validFor"]), document.get("uri", ""))


def _period(document: dict[str, str]) -> Period:
    ends = (document.get("start"), document.get("end"))
    return Period(*(None if end is None else datetime.datetime.fromisoformat(end).timestamp() for end in ends))
