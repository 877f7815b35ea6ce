"""Complete evidence, made in Python without a client and without HTTP: bundles, and cosign's legacy formats.

What a client would do: a key, a certificate for it, a signature, a log entry, timestamps, written down. Every step goes
through the hooks, so that evidence that is wrong in one place is as easy to have as evidence that is right.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trust_service import authority, rekor1, rekor2, signatures
from trust_service.hooks import Alteration, Hooks
from trust_service.identities import EMAIL, claims_of
from trust_service.rekor2 import b64

if TYPE_CHECKING:
    from trust_service.service import TrustService

STATEMENT_TYPE = "application/vnd.in-toto+json"
ARTIFACT = b"an artifact of the tests\n"
_MEDIA_TYPES = {version: f"application/vnd.dev.sigstore.bundle+json;version={version}" for version in ("0.1", "0.2")}
_MEDIA_TYPES["0.3"] = "application/vnd.dev.sigstore.bundle.v0.3+json"

Names = str | Sequence[str]


class Options(NamedTuple):
    """How evidence is made: see `TrustService.make_bundle`."""

    kind: Literal["blob", "dsse"] = "blob"
    rekor: Literal[1, 2] | None = 2
    tsa: bool | Names | None = None
    identity: str | Mapping[str, Any] = EMAIL
    issuer: str | None = None
    artifact: bytes = ARTIFACT
    statement: Mapping[str, Any] | bytes | None = None
    payload_type: str = STATEMENT_TYPE
    key: Any = None
    managed: bool = False
    authority: str | None = None
    log: Names | None = None
    ct: Names | None = None
    entry_kind: Literal["hashedrekord", "dsse", "intoto"] | None = None
    version: Literal["0.1", "0.2", "0.3"] = "0.3"
    at: float | None = None


class Made(NamedTuple):
    """Evidence, and what it was made of."""

    bundle: dict[str, Any]
    artifact: bytes
    key: Any
    """The private key of the signer."""
    certificates: tuple[bytes, ...]
    """DER, the leaf first; empty: a managed key."""
    signature: bytes
    signed: bytes
    """What the signature is over: the artifact, or the envelope's PAE."""
    envelope: dict[str, Any] | None
    rows: tuple[rekor1.Row, ...]
    timestamps: tuple[bytes, ...]
    subject: str
    """The identity as the certificate has it; empty: a managed key."""
    issuer: str

    @property
    def json(self) -> bytes:
        """The bundle."""
        return json.dumps(self.bundle).encode()

    @property
    def certificate(self) -> bytes:
        """The leaf, DER."""
        return self.certificates[0]


def make(service: TrustService, options: Options, alter: Mapping[str, Alteration] | None = None) -> Made:
    """A bundle; valid unless something is altered."""
    hooks = service.hooks.also(alter)
    at = service.now() if options.at is None else options.at
    key = options.key or ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    issuer, subject = "", ""
    certificates: list[bytes] = []
    if not options.managed:
        claims = claims_of(options.identity)
        issuer = options.issuer or claims.get("iss") or service.issuer.url
        claims = hooks("token", claims | {"iss": issuer})
        certificates = service.issue(public, claims, at, authority=options.authority, ct=options.ct, hooks=hooks)
        subject = _subject(certificates[0])
    envelope, signed = None, options.artifact
    if options.kind == "dsse":
        payload = hooks("statement", _statement(options))
        signed = signatures.pae(options.payload_type, payload)
    signature = signatures.sign(key, signed)
    if options.kind == "dsse":
        envelope = {
            "payload": b64(payload),
            "payloadType": options.payload_type,
            "signatures": [{"sig": b64(signature)}],
        }
    entries, rows = _log(service, options, hooks, at, key, certificates, signature, signed, envelope)
    stamps = _timestamps(service, options, hooks, at, signature)
    bundle: dict[str, Any] = {
        "mediaType": _MEDIA_TYPES[options.version],
        "verificationMaterial": _material(options, public, certificates, entries, stamps),
    }
    if envelope is not None:
        bundle["dsseEnvelope"] = hooks("envelope", envelope)
    else:
        name = signatures.hash_of(public)
        words = {"algorithm": name.upper().replace("SHA", "SHA2_"), "digest": b64(hashlib.new(name, signed).digest())}
        bundle["messageSignature"] = {"messageDigest": words, "signature": b64(signature)}
    return Made(
        hooks("bundle", bundle),
        options.artifact,
        key,
        tuple(certificates),
        signature,
        signed,
        envelope,
        tuple(rows),
        tuple(stamps),
        subject,
        issuer,
    )


def legacy_annotations(service: TrustService, payload: bytes, made: Made, hooks: Hooks) -> dict[str, str]:
    """The annotations of a layer of a legacy image signature, or attestation, over `payload`."""
    annotations = {"dev.cosignproject.cosign/signature": "" if made.envelope else b64(made.signature)}
    if made.certificates:
        annotations["dev.sigstore.cosign/certificate"] = authority.pem(made.certificates[:1])
        annotations["dev.sigstore.cosign/chain"] = authority.pem(made.certificates[1:])
    for row in made.rows[:1]:
        annotations["dev.sigstore.cosign/bundle"] = json.dumps(service.log1().promise(row))
    for stamp in made.timestamps[:1]:
        annotations["dev.sigstore.cosign/rfc3161timestamp"] = json.dumps({"SignedRFC3161Timestamp": b64(stamp)})
    return hooks("annotations", annotations)


def legacy_bundle(service: TrustService, made: Made, hooks: Hooks) -> dict[str, Any]:
    """cosign's bundle of a file before there were Sigstore's."""
    bundle: dict[str, Any] = {"base64Signature": b64(made.signature)}
    if made.certificates:
        bundle["cert"] = b64(authority.pem(made.certificates[:1]).encode())
    for row in made.rows[:1]:
        bundle["rekorBundle"] = service.log1().promise(row)
    return hooks("bundle", bundle)


def simple_signing(repository: str, digest: str) -> bytes:
    """The payload of a legacy image signature."""
    critical = {
        "identity": {"docker-reference": repository},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def _statement(options: Options) -> bytes:
    if isinstance(options.statement, bytes):
        return options.statement
    subject = {"name": "artifact", "digest": {"sha256": hashlib.sha256(options.artifact).hexdigest()}}
    words = options.statement or {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": "https://example.test/predicate/v1",
        "predicate": {"made": "by a test"},
    }
    return json.dumps(words).encode()


def _log(service, options, hooks, at, key, certificates, signature, signed, envelope):
    """The entries of every log that was named; of Rekor v1 its rows too."""
    entries: list[dict[str, Any]] = []
    rows: list[rekor1.Row] = []
    public = key.public_key()
    digest = hashlib.new(signatures.hash_of(public), signed).digest()
    kind = options.entry_kind or ("dsse" if envelope and options.rekor == 1 else "hashedrekord")
    for name in () if options.rekor is None else _names(options.log or service.chosen.log):
        if options.rekor == 1:
            log1 = service.log1(name)
            pem = _pem(public, certificates).encode()
            proposed = {
                "hashedrekord": lambda pem=pem: rekor1.hashedrekord(digest, signature, pem),
                "dsse": lambda pem=pem: rekor1.dsse(envelope, pem),
                "intoto": lambda pem=pem: rekor1.intoto(envelope, pem),
            }[kind]()
            _, row = log1.add(proposed, at, hooks)
            rows.append(row)
            entries.append(log1.bundle_entry(row, hooks))
            continue
        log2 = service.log2(name)
        leaf = certificates[0] if certificates else None
        if kind == "dsse":
            entry = log2.add(rekor2.dsse_request(envelope, public, leaf), hooks, keep=True)
        else:
            entry = log2.add(rekor2.request(digest, signature, public, leaf), hooks)
        entries.append({name: value for name, value in entry.items() if value not in ("0", None)})
    return entries, rows


def _timestamps(service, options, hooks, at, signature) -> list[bytes]:
    tsa = options.tsa if options.tsa is not None else options.rekor != 1
    names = _names(service.chosen.tsa if tsa is True else tsa or ())
    imprint = hashlib.sha256(signature).digest()
    return [service.tsa(name).stamp("sha256", imprint, at, hooks) for name in names]


def _material(options, public, certificates, entries, stamps) -> dict[str, Any]:
    material: dict[str, Any] = {}
    if not certificates:
        hint = base64.b64encode(hashlib.sha256(_spki(public)).digest()).decode()
        material["publicKey"] = {"hint": hint}
    elif options.version == "0.3":
        material["certificate"] = {"rawBytes": b64(certificates[0])}
    else:  # as clients did: without the root
        chain = [{"rawBytes": b64(certificate)} for certificate in certificates[:-1]]
        material["x509CertificateChain"] = {"certificates": chain}
    if entries:
        material["tlogEntries"] = entries
    if stamps:
        signed = [{"signedTimestamp": b64(stamp)} for stamp in stamps]
        material["timestampVerificationData"] = {"rfc3161Timestamps": signed}
    return material


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _pem(public: Any, certificates: Sequence[bytes]) -> str:
    if certificates:
        return authority.pem(certificates[:1])
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def _spki(public: Any) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _subject(certificate: bytes) -> str:
    """The first name of a certificate; empty where it has none, or cannot be read."""
    try:
        found = x509.load_der_x509_certificate(certificate).extensions
        [name, *_] = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ""
    if isinstance(name, x509.OtherName):
        return name.value[2:].decode()
    return str(name.value)
