"""Older bundles and loose parts as Sigstore bundles v0.3: the same signature, said in the newer way. Pure; nothing is verified.

Nothing may get lost: what v0.3 has no place for (certificates behind the leaf, which it forbids) is named, and an entry of a
log without the proof of inclusion that v0.3 demands is refused unless the log is asked for it (`with_proof`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import BundleInvalidError, EnvelopeInvalidError, SealgateError, SigningError, UsageError
from sealgate.evidence import base64, document, dsse
from sealgate.evidence import bundle as bundles
from sealgate.evidence.gojson import protojson

if TYPE_CHECKING:
    from sealgate.evidence.bundle import Bundle
    from sealgate.evidence.legacy import BlobBundle
    from sealgate.keys.algorithms import HashName, PublicKey

HASHES: tuple[HashName, ...] = ("sha256", "sha384", "sha512")
_NAMES = {"sha256": "SHA2_256", "sha384": "SHA2_384", "sha512": "SHA2_512"}
"""`HashAlgorithm` of sigstore_common.proto."""


class Parts(NamedTuple):
    """What a bundle is made of."""

    signature: bytes | None
    """Of a file; None: `envelope` has it."""
    envelope: dsse.Envelope | None
    certificate: bytes | None
    """DER of the leaf; None: a key signed."""
    key: PublicKey | None
    """None: a certificate says who, or nothing does."""
    entries: tuple[dict[str, Any], ...] = ()
    """`TransparencyLogEntry` objects."""
    timestamps: tuple[bytes, ...] = ()
    digest: tuple[HashName, bytes] | None = None
    """Of the file, by the hash that was signed."""
    hashed: bool = True
    """False: an Ed25519 key signed the file itself, and its digest is left out, as cosign does."""


def upgrade(raw: bytes, found: Bundle, entries: tuple[dict[str, Any], ...]) -> tuple[bytes, tuple[str, ...]]:
    """A bundle v0.1 or v0.2 as v0.3, and what had to be left out. `entries` are those of the bundle, each with its proof.

    Members keep their order and their texts. Raises `BundleInvalidError` when an entry has no proof of inclusion.
    """
    require_proofs(entries)
    whole = strictjson.parse_object(raw, limit=limits.EVIDENCE_BYTES, what="the bundle")
    material = dict(whole["verificationMaterial"])
    left_out: tuple[str, ...] = ()
    if "x509CertificateChain" in material:
        leaf, *others = material["x509CertificateChain"]["certificates"]
        material = {
            ("certificate" if name == "x509CertificateChain" else name): (
                leaf if name == "x509CertificateChain" else value
            )
            for name, value in material.items()
        }
        if others:
            left_out = (f"{len(others)} certificates behind the leaf, for which v0.3 has no place",)
    if entries:
        material["tlogEntries"] = list(entries)
    made = protojson({**whole, "mediaType": bundles.MEDIA_TYPE, "verificationMaterial": material}).encode("utf-8")
    again = bundles.parse(made, limit=len(made))
    if (again.content, again.certificates[:1], again.timestamps, again.public_key_hint) != (
        found.content, found.certificates[:1], found.timestamps, found.public_key_hint,
    ):  # fmt: skip
        raise BundleInvalidError("the bundle means something else when it is written again")
    return made, left_out


def of_blob_bundle(found: BlobBundle, *, key: PublicKey | None) -> Parts:
    """The parts of cosign's legacy bundle of a file, or of an envelope. `key` is the one asked for, if any.

    Raises `BundleInvalidError`, `EnvelopeInvalidError`, `KeyMaterialError`, `UsageError`.
    """
    from sealgate.keys import pem as pems
    from sealgate.keys.algorithms import parse_public_pem

    certificate = None
    if found.certificate is not None:
        if "PUBLIC KEY" in pems.labels(found.certificate):  # cosign 3.1.1 puts the key there
            key = key if key is not None else parse_public_pem(found.certificate, what="the bundle's cert")
        else:
            certificate = certificate_of(found.certificate, what="the bundle's cert")
            if key is not None:
                raise UsageError("a key, and the bundle has a certificate: one of them signed", hint="leave out --key")
    entries = () if found.log_entry is None else (entry_of_promise(found.log_entry),)
    try:
        envelope = dsse.parse(found.signature, limit=len(found.signature))
    except SealgateError:
        envelope = None
    digest = _digest_in(entries[0]) if entries else None
    return Parts(None if envelope else found.signature, envelope, certificate, key, entries, digest=digest)


def certificate_of(pem: bytes, *, what: str) -> bytes:
    """The leaf of a PEM text: its first certificate. Raises `KeyMaterialError`, `BundleInvalidError`."""
    from sealgate.keys import pem as pems

    first, mark, _ = pem.partition(b"-----END CERTIFICATE-----")
    block = pems.decode(first + mark if mark else pem, what=what)
    if block.label != "CERTIFICATE":
        raise BundleInvalidError(f"{what} is a {block.label.lower()}, not a certificate")
    return block.body


def key_of(certificate: bytes) -> PublicKey:
    """The key in a certificate (DER). Raises `BundleInvalidError`, `KeyMaterialError`."""
    import warnings

    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from sealgate.keys.algorithms import parse_spki

    try:
        with warnings.catch_warnings(
            action="error"
        ):  # what RFC 5280 forbids, and the library still takes with a warning
            public = x509.load_der_x509_certificate(certificate).public_key()
        return parse_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), what="its key")
    except (ValueError, TypeError, Warning, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise BundleInvalidError("the certificate cannot be read") from error


def fitting(parts: Parts, path: str | None) -> Parts:
    """The parts with the digest of the file at `path`. What will be in the bundle must fit: the signature is by its key, over its file.

    Raises `SigningError`, `UsageError`, and what reading the file raises.
    """
    from sealgate.evidence import statement
    from sealgate.verification import blob as blobs

    key = key_of(parts.certificate) if parts.certificate is not None else parts.key
    if key is None:
        raise UsageError("nothing says by whose key it is signed", hint="--key cosign.pub, or --certificate FILE")
    if parts.envelope is not None:
        signed = dsse.pae(parts.envelope.payload_type, parts.envelope.payload)
        if len(parts.envelope.signatures) != 1 or key.verify(parts.envelope.signatures[0].sig, signed) is None:
            raise SigningError("the envelope has not one signature that verifies with this key")
        if path is not None:
            blob = blobs.read_file(path, hashes=("sha256",), whole=False)
            said = statement.parse(parts.envelope.payload, limit=len(parts.envelope.payload))
            if not any(("sha256", blob.digest.hex) in subject.digests for subject in said.subjects):
                raise SigningError("the attestation is about something else than this file")
        return parts
    signature = parts.signature or b""
    if path is None:
        if parts.digest is not None and key.verify_digest(signature, parts.digest[1], parts.digest[0]) is None:
            raise SigningError(
                "the signature does not verify with this key over the digest in the log entry", hint="--artifact FILE"
            )
        return parts
    blob = blobs.read_file(path, hashes=HASHES, whole=not key.hashes)
    if parts.digest is not None and blob.digests[parts.digest[0]] != parts.digest[1]:
        raise SigningError("the log entry is about something else than this file")
    if blob.message is not None:
        if key.verify(signature, blob.message) is None:
            raise SigningError("the signature does not verify with this key over this file")
        return parts._replace(digest=None, hashed=False)
    for name in key.hashes:
        if key.verify_digest(signature, blob.digests[name], name) is not None:
            return parts._replace(digest=(name, blob.digests[name]))
    raise SigningError("the signature does not verify with this key over this file")


def assemble(parts: Parts) -> bytes:
    """A bundle v0.3. Raises `BundleInvalidError` (an entry without proof), `UsageError` (neither key nor certificate)."""
    require_proofs(parts.entries)
    hint = None
    if parts.certificate is None:
        if parts.key is None:
            raise UsageError("nothing says by whose key it is signed", hint="--key cosign.pub, or --certificate FILE")
        hint = parts.key.hint
    if parts.envelope is not None:
        return bundles.encode_dsse(
            parts.envelope,
            hint=hint,
            certificate=parts.certificate,
            log_entries=parts.entries,
            timestamps=parts.timestamps,
        )
    if parts.signature is None:
        raise UsageError("there is no signature", hint="--signature FILE, --attestation FILE or --bundle FILE")
    if parts.digest is None and parts.hashed:
        raise UsageError("the digest of the file belongs into the bundle", hint="--artifact FILE")
    name, digest = parts.digest or (None, None)
    return bundles.encode_message(
        parts.signature, None if name is None else _NAMES[name], digest,
        hint=hint, certificate=parts.certificate, log_entries=parts.entries, timestamps=parts.timestamps,
    )  # fmt: skip


def has_proof(entry: dict[str, Any]) -> bool:
    """Whether a `TransparencyLogEntry` has a proof of inclusion with the checkpoint that v0.2 and v0.3 demand."""
    proof = entry.get("inclusionProof")
    return isinstance(proof, dict) and bool(proof.get("checkpoint"))


def require_proofs(entries: tuple[dict[str, Any], ...]) -> None:
    """Raises `BundleInvalidError` when an entry has no proof of inclusion, or one without a checkpoint."""
    for entry in entries:
        if not has_proof(entry):
            raise BundleInvalidError(
                f"the log entry {entry.get('logIndex', '')} has no proof of inclusion, which v0.3 demands",
                hint="--rekor-url https://… asks the log for it",
            )


# -- entries of a log


def entry_of_promise(promise: dict[str, Any]) -> dict[str, Any]:
    """cosign's `rekorBundle` (`SignedEntryTimestamp`, `Payload`) as a `TransparencyLogEntry`, which has no proof of inclusion yet.

    Raises `BundleInvalidError`.
    """
    error = BundleInvalidError
    payload = document.as_object(promise.get("Payload"), what="the log's promise", error=error)
    timestamp = document.as_text(promise.get("SignedEntryTimestamp"), what="the log's signature", error=error)
    body = document.as_text(payload.get("body"), what="the entry's body", error=error)
    whole = document.parse(
        base64.decode(body, what="the entry's body", error=error),
        limit=limits.EVIDENCE_BYTES,
        what="the entry",
        error=error,
    )
    log = document.as_text(payload.get("logID"), what="the log's id", error=error)
    index, time = payload.get("logIndex"), payload.get("integratedTime")
    if type(index) is not int or type(time) is not int:
        raise error("the log's promise has no index or time")
    try:
        log_id = bytes.fromhex(log)
    except ValueError as problem:
        raise error("the log's id is not hex") from problem
    return {
        "logIndex": str(index),
        "logId": {"keyId": base64.encode(log_id)},
        "kindVersion": {
            "kind": document.as_text(whole.get("kind"), what="the entry's kind", error=error),
            "version": document.as_text(whole.get("apiVersion"), what="the entry's version", error=error),
        },
        "integratedTime": str(time),
        "inclusionPromise": {"signedEntryTimestamp": timestamp},
        "canonicalizedBody": body,
    }


def with_proof(entry: dict[str, Any], answer: bytes) -> dict[str, Any]:
    """The entry with the proof of inclusion that a Rekor v1 log answers for its index (`LogEntry` of its openapi.yaml).

    The answer must be about this very entry: body, index, log and time. Raises `BundleInvalidError`.
    """
    error = BundleInvalidError
    whole = document.parse(answer, limit=limits.EVIDENCE_BYTES, what="the log's answer", error=error)
    if len(whole) != 1:
        raise error("the log answered with another number of entries than one")
    found = document.as_object(next(iter(whole.values())), what="the log's answer", error=error)
    same = (  # all of it has been signed by the log: the promise covers it
        found.get("body") == entry.get("canonicalizedBody")
        and isinstance(found.get("body"), str)
        and str(found.get("logIndex")) == str(entry.get("logIndex"))
        and str(found.get("integratedTime")) == str(entry.get("integratedTime"))
        and _log_id(found.get("logID")) == _key_id(entry)
    )
    if not same:
        raise error("the log answered with another entry")
    verification = document.as_object(found.get("verification"), what="the log's answer", error=error)
    proof = document.as_object(verification.get("inclusionProof"), what="the proof of inclusion", error=error)
    hashes = document.as_list(proof.get("hashes") or [], what="the hashes of the proof", error=error)
    made = {
        "logIndex": str(_number(proof.get("logIndex"))),
        "rootHash": _from_hex(proof.get("rootHash")),
        "treeSize": str(_number(proof.get("treeSize"))),
        "hashes": [_from_hex(value) for value in hashes],
        "checkpoint": {"envelope": document.as_text(proof.get("checkpoint"), what="the checkpoint", error=error)},
    }
    others = {name: value for name, value in entry.items() if name not in {"inclusionProof", "canonicalizedBody"}}
    return others | {"inclusionProof": made, "canonicalizedBody": entry["canonicalizedBody"]}


def _digest_in(entry: dict[str, Any]) -> tuple[HashName, bytes] | None:
    """The digest of the file that an entry of kind hashedrekord names. It is a hint, as in every bundle (E08)."""
    try:
        body = strictjson.parse_object(
            base64.decode(entry["canonicalizedBody"], what="the entry", error=BundleInvalidError),
            limit=limits.EVIDENCE_BYTES, what="the entry",
        )  # fmt: skip
        found = body["spec"]["data"]["hash"]
        name: HashName = found["algorithm"]
        return (name, bytes.fromhex(found["value"])) if name in HASHES else None
    except (SealgateError, LookupError, TypeError, ValueError):
        return None


def _key_id(entry: dict[str, Any]) -> object:
    log = entry.get("logId")
    return log.get("keyId") if isinstance(log, dict) else None


def _log_id(value: object) -> str | None:
    return _from_hex(value) if isinstance(value, str) else None


def _from_hex(value: object) -> str:
    text = document.as_text(value, what="a hash of the log's answer", error=BundleInvalidError)
    try:
        return base64.encode(bytes.fromhex(text))
    except ValueError as problem:
        raise BundleInvalidError("a hash of the log's answer is not hex") from problem


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise BundleInvalidError("a number of the log's answer is none")
    return value


def timestamp_of(raw: bytes) -> bytes:
    """The DER of an RFC 3161 response: as it is, or in cosign's JSON (`SignedRFC3161Timestamp`). Raises `EnvelopeInvalidError`."""
    if raw[:1] == b"0":  # a DER sequence
        return raw
    what, error = "the timestamp", EnvelopeInvalidError
    whole = document.parse(raw, limit=limits.SMALL_BODY_BYTES, what=what, error=error)
    return base64.decode(
        document.as_text(whole.get("SignedRFC3161Timestamp"), what=what, error=error), what=what, error=error
    )
