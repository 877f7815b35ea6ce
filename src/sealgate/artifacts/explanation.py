"""What is in a bundle or an envelope, told to a person. Pure, and no judgement: nothing is verified, nothing is left out.

What cannot be read is said where it stands, so that a broken bundle can be looked at as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.errors import BundleInvalidError, SealgateError
from sealgate.evidence import base64, dsse, legacy, statement
from sealgate.evidence import bundle as bundles

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.x509 import Certificate

Told = dict[str, Any]
"""Names for people, and texts, numbers, lists or further `Told`s."""

_FULCIO = "1.3.6.1.4.1.57264.1."
_EXTENSIONS = {
    1: "issuer (first form)",
    2: "GitHub workflow trigger",
    3: "GitHub workflow commit",
    4: "GitHub workflow name",
    5: "GitHub workflow repository",
    6: "GitHub workflow ref",
    7: "other name",
    8: "issuer",
    9: "build signer URI",
    10: "build signer digest",
    11: "runner environment",
    12: "source repository URI",
    13: "source repository digest",
    14: "source repository ref",
    15: "source repository identifier",
    16: "source repository owner URI",
    17: "source repository owner identifier",
    18: "build config URI",
    19: "build config digest",
    20: "build trigger",
    21: "run invocation URI",
    22: "source repository visibility at signing",
    23: "deployment environment",
    24: "token subject",
}
"""sigstore/fulcio, docs/oid-info.md."""
_NAMES = {
    "2.5.29.14": "subject key identifier",
    "2.5.29.15": "key usage",
    "2.5.29.19": "basic constraints",
    "2.5.29.35": "authority key identifier",
    "2.5.29.37": "extended key usage",
}
_USAGES = {
    "digital_signature": "digital signature",
    "content_commitment": "content commitment",
    "key_encipherment": "key encipherment",
    "data_encipherment": "data encipherment",
    "key_agreement": "key agreement",
    "key_cert_sign": "certificates",
    "crl_sign": "revocation lists",
}
_PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "TLS server",
    "1.3.6.1.5.5.7.3.2": "TLS client",
    "1.3.6.1.5.5.7.3.3": "code signing",
    "1.3.6.1.5.5.7.3.4": "e-mail",
    "1.3.6.1.5.5.7.3.8": "timestamping",
    "2.5.29.37.0": "anything",
}
"""RFC 5280, section 4.2.1.12."""
_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_RAW_TEXT = frozenset(range(1, 7))
"""The older extensions are bare text, the others a DER string."""


def explain(raw: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> Told:
    """What a Sigstore bundle, cosign's older bundle of a file, or a DSSE envelope has in it.

    Raises `BundleInvalidError` for anything else, and what its readers raise.
    """
    whole = strictjson.parse_object(raw, limit=limit, what="the bundle")
    if "base64Signature" in whole:
        return _older(raw, limit)
    if "payloadType" in whole:
        return {"kind": "DSSE envelope", "content": _envelope(dsse.parse(raw, limit=limit))}
    if "mediaType" not in whole:
        raise BundleInvalidError(
            "this is no bundle and no envelope", hint="`sealgate download signature IMAGE` prints some"
        )
    found = bundles.parse(raw, limit=limit)
    told: Told = {"kind": f"Sigstore bundle v{found.version}", "media type": found.media_type}
    if isinstance(found.content, dsse.Envelope):
        told["content"] = _envelope(found.content)
    else:
        told["content"] = _message(found.content)
    told["signer"] = _signer(found.certificates, found.public_key_hint)
    told["log entries"] = [_entry(entry, found.version) for entry in found.log_entries]
    told["timestamps"] = [_timestamp(stamp) for stamp in found.timestamps]
    return told


def _older(raw: bytes, limit: int) -> Told:
    found = legacy.parse_blob_bundle(raw, limit=limit)
    told: Told = {"kind": "cosign's older bundle of a file"}
    try:
        told["content"] = _envelope(dsse.parse(found.signature, limit=limit))
    except SealgateError:
        told["content"] = {"kind": "signature of a file", "signature": f"{len(found.signature)} bytes"}
    if found.certificate is not None:
        told["signer"] = _pem(found.certificate)
    told["log entries"] = [_promise(found.log_entry)] if found.log_entry is not None else []
    return told


# -- what was signed


def _message(found: bundles.MessageSignature) -> Told:
    told: Told = {"kind": "signature of a file", "signature": f"{len(found.signature)} bytes"}
    if found.digest is not None:
        told["digest of the file"] = f"{found.digest_algorithm or 'unknown'}:{found.digest.hex()}"
    return told


def _envelope(found: dsse.Envelope) -> Told:
    told: Told = {"kind": "DSSE envelope", "payload type": found.payload_type, "signatures": len(found.signatures)}
    keys = [entry.keyid for entry in found.signatures if entry.keyid]
    if keys:
        told["key ids"] = keys
    if found.payload_type != dsse.IN_TOTO:
        told["payload"] = f"{len(found.payload)} bytes"
        return told
    try:
        said = statement.parse(found.payload, limit=len(found.payload))
    except SealgateError as error:
        told["statement"] = _unreadable(error)
        return told
    told["statement"] = {
        "type": said.type,
        "subjects": [_subject(subject) for subject in said.subjects],
        "predicate type": said.predicate_type,
        "predicate": said.predicate,
    }
    return told


def _subject(subject: statement.Subject) -> Told:
    told: Told = {} if subject.name is None else {"name": subject.name}
    told["digests"] = [f"{algorithm}:{value}" for algorithm, value in subject.digests]
    if subject.annotations:
        told["annotations"] = subject.annotations
    return told


# -- who


def _signer(certificates: tuple[bytes, ...], hint: str | None) -> Told:
    if not certificates:
        return {"kind": "a key", "hint (base64 of the SHA-256 of the public key)": hint or "none"}
    return {"kind": "a certificate", "certificates": [_certificate(der) for der in certificates]}


def _pem(pem: bytes) -> Told:
    from sealgate.keys import pem as pems
    from sealgate.keys.algorithms import parse_public_pem

    try:
        if "PUBLIC KEY" in pems.labels(pem):
            key = parse_public_pem(pem, what="the key")
            return {
                "kind": "a key",
                "key": f"{key.algorithm} {key.fingerprint}",
                "note": "a key that comes along proves nothing",
            }
        mark = b"-----END CERTIFICATE-----"
        blocks = [pems.decode(part + mark, what="the certificate") for part in pem.split(mark) if part.strip()]
    except SealgateError as error:
        return _unreadable(error)
    return _signer(tuple(block.body for block in blocks[: limits.BUNDLE_ENTRIES]), None)


def _certificate(der: bytes) -> Told:
    import warnings

    from cryptography import x509

    # The library warns of what RFC 5280 forbids and it still takes; here it is told like the rest.
    with warnings.catch_warnings(action="ignore"):
        try:
            found = x509.load_der_x509_certificate(der)
        except Exception as error:  # noqa: BLE001 (as in `_part`)
            return _failed(error)
        told = {
            "identity": _part(lambda: _alternative_names(found)),
            "subject": _part(lambda: found.subject.rfc4514_string() or "none"),
            "issued by": _part(lambda: found.issuer.rfc4514_string() or "none"),
            "valid": _part(lambda: _validity(found)),
            "serial number": _part(lambda: f"{found.serial_number:x}"),
            "key": _part(lambda: _key(found)),
            "Fulcio": _part(lambda: _extensions(found)[0]),
            "other extensions": _part(lambda: _extensions(found)[1]),
        }
    return {name: value for name, value in told.items() if value}


def _part(read: Callable[[], Any]) -> Any:
    """What `read` gives, or why it cannot be read: foreign DER makes the library raise errors of half a dozen families."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 (each of them means the same here, and the rest is told)
        return _failed(error)


def _validity(found: Certificate) -> str:
    begin, end = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return f"{_utc(begin)} to {_utc(end)}"


def _key(found: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from sealgate.keys.algorithms import parse_spki

    try:
        key = parse_spki(found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except SealgateError as error:
        return f"cannot be read: {error.message}"
    return f"{key.algorithm} {key.fingerprint}"


def _alternative_names(found: Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    told = []
    for name in names:
        if isinstance(name, x509.OtherName):
            told.append(f"{_der_text(name.value) or name.value.hex()} (other name {name.type_id.dotted_string})")
        else:
            told.append(str(name.value))
    return told


def _extensions(found: Certificate) -> tuple[Told, list[str]]:
    fulcio: Told = {}
    others = []
    for extension in found.extensions:
        oid = extension.oid.dotted_string
        number = oid.removeprefix(_FULCIO)
        if oid.startswith(_FULCIO) and number.isdigit():
            raw = extension.value.public_bytes()
            text = raw.decode("utf-8", "replace") if int(number) in _RAW_TEXT else _der_text(raw)
            fulcio[_EXTENSIONS.get(int(number), oid)] = text if text is not None else raw.hex()
        elif oid == "1.3.6.1.4.1.11129.2.4.2":
            stamps = list(extension.value)
            others += [
                f"signed certificate timestamp of {_utc(_unix(stamp.timestamp))} by {stamp.log_id.hex()}"
                for stamp in stamps
            ]
        elif oid != "2.5.29.17":
            name, value = _NAMES.get(oid, oid), _value(extension.value)
            others.append(f"{name}: {value}" if value else name)
    return fulcio, others


def _value(value: Any) -> str:
    """What a person wants to know of the extensions that every certificate has."""
    from cryptography import x509

    if isinstance(value, x509.KeyUsage):
        return ", ".join(word for name, word in _USAGES.items() if getattr(value, name))
    if isinstance(value, x509.ExtendedKeyUsage):
        return ", ".join(_PURPOSES.get(oid.dotted_string, oid.dotted_string) for oid in value)
    if isinstance(value, x509.BasicConstraints):
        return "a certificate authority" if value.ca else "no certificate authority"
    return ""


def _unix(moment: Any) -> float:
    """Seconds of a time that has no zone and is UTC, as `cryptography` gives those of SCTs."""
    import datetime

    return float(moment.replace(tzinfo=datetime.UTC).timestamp())


def _der_text(raw: bytes) -> str | None:
    """A DER UTF8String, PrintableString or IA5String."""
    if len(raw) < 2 or raw[0] not in {0x0C, 0x13, 0x16}:
        return None
    at, size = 2, raw[1]
    if size & 0x80:
        octets = size & 0x7F
        at, size = 2 + octets, int.from_bytes(raw[2 : 2 + octets], "big")
    return raw[at:].decode("utf-8", "replace") if len(raw) == at + size else None


# -- when


def _entry(entry: dict[str, Any], version: str) -> Told:
    def part(name: str) -> dict[str, Any]:
        value = entry.get(name)
        return value if isinstance(value, dict) else {}

    kind, proof = part("kindVersion"), part("inclusionProof")
    told: Told = {
        "index": entry.get("logIndex", "none"),
        "log (base64 of its id)": part("logId").get("keyId", "none"),
        "kind": f"{kind.get('kind', 'none')} {kind.get('version', '')}".strip(),
    }
    moment = entry.get("integratedTime")
    if isinstance(moment, str) and moment.isascii() and moment.isdigit() and moment != "0" and len(moment) < 12:
        told["says it was entered"] = _utc(int(moment))
    told["promise of the log"] = "there" if part("inclusionPromise") else "none"
    if not proof:
        told["proof of inclusion"] = "none" if version == "0.1" else "none, though this version demands it"
        return told
    checkpoint = proof.get("checkpoint")
    text = checkpoint.get("envelope") if isinstance(checkpoint, dict) else None
    told["proof of inclusion"] = {
        "index": proof.get("logIndex", "none"),
        "tree size": proof.get("treeSize", "none"),
        "checkpoint": text.splitlines()[0] if isinstance(text, str) and text else "none",
        "signatures of the checkpoint": sum(line.startswith("\u2014 ") for line in text.splitlines())
        if isinstance(text, str)
        else 0,
    }
    return told


def _promise(found: dict[str, Any]) -> Told:
    payload = found.get("Payload")
    if not isinstance(payload, dict):
        return {"cannot be read": "it has no payload"}
    told: Told = {"index": payload.get("logIndex", "none"), "log (hex of its id)": payload.get("logID", "none")}
    moment = payload.get("integratedTime")
    if type(moment) is int and 0 < moment < 10**11:
        told["says it was entered"] = _utc(moment)
    try:
        body = strictjson.parse_object(
            base64.decode(payload.get("body"), what="the body", error=BundleInvalidError),
            limit=limits.EVIDENCE_BYTES, what="the body",
        )  # fmt: skip
        told["kind"] = f"{body.get('kind', 'none')} {body.get('apiVersion', '')}".strip()
    except SealgateError as error:
        told["kind"] = f"cannot be read: {error.message}"
    return told | {"promise of the log": "there", "proof of inclusion": "none"}


def _timestamp(der: bytes) -> Told:
    import rfc3161_client

    try:
        found = rfc3161_client.decode_timestamp_response(der)
        info = found.tst_info
        oid = info.message_imprint.hash_algorithm.dotted_string
        return {
            "says it was signed": _utc(info.gen_time.timestamp()),
            "over": f"{_HASHES.get(oid, oid)}:{info.message_imprint.message.hex()}",
            "policy": info.policy.dotted_string,
            "serial number": f"{info.serial_number:x}",
        }
    except Exception as error:  # noqa: BLE001 (as in `_part`)
        return _failed(error)


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _failed(error: Exception) -> Told:
    return {"cannot be read": str(error)[: limits.TEXT_CHARS] or type(error).__name__}


def _unreadable(error: SealgateError) -> Told:
    return {"cannot be read": f"{error.message} [{error.code}]"}
