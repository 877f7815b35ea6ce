"""Trust roots: the certificate authorities, logs and timestamp authorities that are believed in, and when.

Values and their document: `trusted_root.json` (protobuf-specs, sigstore_trustroot.proto). A member that is not known here
may take something away from what is believed, so it is refused, as cosign does; so is everything that can be read in two
ways. Keys, certificates and the ids of logs are checked when the document is read: nothing later fails for the root's sake.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import ContentError, KeyMaterialError, TrustRootInvalidError
from sealgate.evidence import base64, document
from sealgate.evidence.gojson import protojson
from sealgate.keys import algorithms
from sealgate.trust import period
from sealgate.trust.period import Period as Period  # noqa: PLC0414 - a value of this module: whoever reads roots has it from here

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from sealgate.keys.algorithms import PublicKey

    T = TypeVar("T")

MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
"""What is written: cosign 3.1.1 and sigstore-python 4.5.1 read no newer one."""
CLIENT_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
"""A trust root and a signing configuration in one document, as sigstore-python takes them."""

_MEDIA_TYPES = frozenset(
    f"application/vnd.dev.sigstore.trustedroot{form}"
    for version in ("0.1", "0.2")
    for form in (f"+json;version={version}", f".v{version}+json")
)
_ROOT = frozenset({"mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities"})
_CLIENT_CONFIG = frozenset({"mediaType", "trustedRoot", "signingConfig"})
_LOG = frozenset({"baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator"})
_PUBLIC_KEY = frozenset({"rawBytes", "keyDetails", "validFor"})
_AUTHORITY = frozenset({"subject", "uri", "certChain", "validFor", "operator"})
_SUBJECT = frozenset({"organization", "commonName"})

_KEY_DETAILS = {
    "PKIX_ECDSA_P256_SHA_256": "ecdsa-p256",
    "PKIX_ECDSA_P384_SHA_384": "ecdsa-p384",
    "PKIX_ECDSA_P521_SHA_512": "ecdsa-p521",
    "PKIX_ED25519": "ed25519",
    "PKIX_RSA_PKCS1V15_2048_SHA256": "rsa-2048",
    "PKIX_RSA_PKCS1V15_3072_SHA256": "rsa-3072",
    "PKIX_RSA_PKCS1V15_4096_SHA256": "rsa-4096",
    "PKIX_RSA_PKCS1V5": "rsa",
    "PKCS1_RSA_PKCS1V5": "rsa",
}
"""`PublicKeyDetails` of sigstore_common.proto to the kind of key; the last two are of any size, and old."""
_PKCS1 = "PKCS1_RSA_PKCS1V5"
"""The one that stands there as RSAPublicKey (RFC 8017, A.1.1), not as SubjectPublicKeyInfo: a CT log of Sigstore's staging."""
_RSA_IDENTIFIER = bytes.fromhex("300d06092a864886f70d0101010500")


class Log(NamedTuple):
    """A transparency log or a CT log: its key, and when the key was in use."""

    base_url: str
    key: PublicKey
    key_details: str
    """`PublicKeyDetails` of sigstore_common.proto: `PKIX_ECDSA_P256_SHA_256`, `PKIX_ED25519`, …"""
    valid: Period
    log_id: bytes
    """32 bytes: SHA-256 of the SPKI (Rekor v1, CT), or the id of the checkpoint's key (Rekor v2)."""
    operator: str = ""


class Authority(NamedTuple):
    """A certificate authority or a timestamp authority."""

    chain: tuple[bytes, ...]
    """DER, leaf-most first; the last one is the anchor, even where it is no root. Of a TSA, the first signs timestamps."""
    valid: Period
    uri: str = ""
    organization: str = ""
    common_name: str = ""
    operator: str = ""


class TrustRoot(NamedTuple):
    """Everything that is believed in. Empty parts are believed in by nobody: they prove nothing."""

    certificate_authorities: tuple[Authority, ...]
    ct_logs: tuple[Log, ...]
    logs: tuple[Log, ...]
    timestamp_authorities: tuple[Authority, ...]


def parse(raw: bytes) -> TrustRoot:
    """Read `trusted_root.json`, or the trust root in a client's configuration. Raises `TrustRootInvalidError`."""
    try:
        whole = document.parse(raw, limit=limits.TRUST_ROOT_BYTES, what="the trust root", error=TrustRootInvalidError)
    except TrustRootInvalidError:
        raise
    except ContentError as problem:  # it can be read in two ways, or reaches a bound
        raise TrustRootInvalidError(problem.message) from problem
    return from_document(whole)


def from_document(whole: dict[str, Any]) -> TrustRoot:
    """As `parse`, of a document that was read strictly before."""
    if whole.get("mediaType") == CLIENT_CONFIG:
        _known(whole, _CLIENT_CONFIG, "the client's configuration")
        whole = _object(whole.get("trustedRoot"), _ROOT, "the trust root in the client's configuration")
    media_type = _text(whole, "mediaType", "the trust root")
    if media_type not in _MEDIA_TYPES:
        raise TrustRootInvalidError(
            f"the trust root is of type {ascii(media_type)[:100]}, which is not read here",
            hint=f"{MEDIA_TYPE} is" if media_type else "is this a trusted_root.json? It has no mediaType",
        )
    _known(whole, _ROOT, "the trust root")
    root = TrustRoot(
        certificate_authorities=_each(whole, "certificateAuthorities", _authority),
        ct_logs=_each(whole, "ctlogs", _ct_log),
        logs=_each(whole, "tlogs", _log),
        timestamp_authorities=_each(whole, "timestampAuthorities", _authority),
    )
    for name, logs in (("tlogs", root.logs), ("ctlogs", root.ct_logs)):
        _distinct(name, logs)
    return root


def encode(root: TrustRoot) -> bytes:
    """The document byte for byte as cosign 3.1.1 writes it: every client reads it.

    `operator` stands there only where it is known: cosign 2.5 refuses a document that has it.
    """
    return protojson(as_document(root)).encode("utf-8")


def as_document(root: TrustRoot) -> dict[str, Any]:
    """The document as a value, in the order of the protobuf message; what is empty is left out."""
    parts: dict[str, list[dict[str, Any]]] = {
        "tlogs": [_log_document(log) for log in root.logs],
        "certificateAuthorities": [_authority_document(one) for one in root.certificate_authorities],
        "ctlogs": [_log_document(log) for log in root.ct_logs],
        "timestampAuthorities": [_authority_document(one) for one in root.timestamp_authorities],
    }
    return {"mediaType": MEDIA_TYPE} | {name: part for name, part in parts.items() if part}


def key_details(key: PublicKey) -> str:
    """What `keyDetails` says of a key. Raises `TrustRootInvalidError` for RSA of a size that has no name there."""
    for details, algorithm in _KEY_DETAILS.items():
        if algorithm == key.algorithm:
            return details if key.algorithm != "rsa" else _no_name(key)
    return _no_name(key)


def _no_name(key: PublicKey) -> str:
    raise TrustRootInvalidError(f"{key.fingerprint} is an RSA key of a size that a trust root has no name for")


def note_key_id(name: str, key: PublicKey) -> bytes:
    """The id of a key that signs checkpoints under `name`; its first four bytes stand in the note.

    C2SP signed-note, section "Signatures": Ed25519 is of type 1; ECDSA is as in RFC 6962, without the name; RSA is
    Sigstore's own (type 0xff), which its Go library computes so.
    """
    if key.algorithm == "ed25519":
        return hashlib.sha256(name.encode("utf-8") + b"\n\x01" + key.spki[-32:]).digest()
    if key.algorithm.startswith("rsa"):
        return hashlib.sha256(name.encode("utf-8") + b"\n\xffPKIX-RSA-PKCS#1v1.5" + key.spki).digest()
    return hashlib.sha256(key.spki).digest()


def origins(base_url: str) -> tuple[str, ...]:
    """The names under which a log at this address may sign: its host (sigstore-go's rule), or more of the address."""
    found = re.fullmatch(r"[a-z][a-z0-9+.-]*://([^/?#@]+)(/[^?#]*)?", base_url)
    if found is None:
        return ()
    place, path = found[1], (found[2] or "").rstrip("/")
    host = re.sub(r":[0-9]*\Z", "", place)
    return tuple(dict.fromkeys((host, place, host + path, place + path)))


# -- reading


def _each(whole: dict[str, Any], name: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    values = document.as_list(whole.get(name, []), what=f"{name} of the trust root", error=TrustRootInvalidError)
    if len(values) > limits.TRUST_ROOT_ENTRIES:
        raise TrustRootInvalidError(f"the trust root has more than {limits.TRUST_ROOT_ENTRIES} {name}")
    return tuple(read(value, f"{name}[{at}]") for at, value in enumerate(values))


def _log(value: object, place: str) -> Log:
    return _any_log(value, place, checkpoints=True)


def _ct_log(value: object, place: str) -> Log:
    return _any_log(value, place, checkpoints=False)


def _any_log(value: object, place: str, *, checkpoints: bool) -> Log:
    whole = _object(value, _LOG, place)
    if _text(whole, "hashAlgorithm", place) != "SHA2_256":
        raise TrustRootInvalidError(f"{place}.hashAlgorithm is not SHA2_256, the only one that logs have here")
    held = _object(whole.get("publicKey"), _PUBLIC_KEY, f"{place}.publicKey")
    key, details = _key(held, f"{place}.publicKey")
    if "validFor" not in held:
        raise TrustRootInvalidError(f"{place}.publicKey has no validFor: since when the key is in use is unknown")
    valid = period.from_document(held["validFor"], what=f"{place}.publicKey.validFor", error=TrustRootInvalidError)
    if valid.start is None:
        raise TrustRootInvalidError(f"{place}.publicKey.validFor has no start: since when the key is in use is unknown")
    base_url = _text(whole, "baseUrl", place)
    log_id = _log_id(whole.get("logId"), f"{place}.logId")
    if len(log_id) != 32:
        raise TrustRootInvalidError(f"{place}.logId has {len(log_id)} bytes; 32 are needed")
    ids = {hashlib.sha256(key.spki).digest()}
    if checkpoints:
        ids |= {note_key_id(name, key) for name in origins(base_url)}
    if log_id not in ids:
        raise TrustRootInvalidError(
            f"{place}.logId is not the id of {place}.publicKey",
            hint="it is SHA-256 of the key; of an Ed25519 key that signs checkpoints, with the host of baseUrl as its name",
        )
    if "checkpointKeyId" in whole:
        short = _log_id(whole["checkpointKeyId"], f"{place}.checkpointKeyId")
        if len(short) < 4 or not any(known.startswith(short) for known in ids):
            raise TrustRootInvalidError(f"{place}.checkpointKeyId is not the id of {place}.publicKey")
    return Log(base_url, key, details, valid, log_id, _text(whole, "operator", place))


def _key(held: dict[str, Any], place: str) -> tuple[PublicKey, str]:
    details = _text(held, "keyDetails", place)
    algorithm = _KEY_DETAILS.get(details)
    if algorithm is None:
        raise TrustRootInvalidError(
            f"{place}.keyDetails is {ascii(details)[:60]}, which is not accepted here",
            hint=f"accepted are {', '.join(_KEY_DETAILS)}",
        )
    der = _bytes(held.get("rawBytes"), f"{place}.rawBytes")
    if details == _PKCS1:
        bits = b"\x00" + der
        der = _tlv(0x30, _RSA_IDENTIFIER + _tlv(0x03, bits))
    try:
        key = algorithms.parse_spki(der, what=f"{place}.rawBytes")
    except KeyMaterialError as problem:
        raise TrustRootInvalidError(problem.message, hint=problem.hint) from problem
    if key.algorithm != algorithm and not (algorithm == "rsa" and key.algorithm.startswith("rsa")):
        raise TrustRootInvalidError(f"{place} is a key of the kind {key.algorithm}, and keyDetails says {details}")
    return key, details


def _log_id(value: object, place: str) -> bytes:
    return _bytes(_object(value, frozenset({"keyId"}), place).get("keyId"), f"{place}.keyId")


def _distinct(name: str, logs: tuple[Log, ...]) -> None:
    """One log under two ids, or twice, would count as two (bypass U01, C08)."""
    seen: dict[bytes, int] = {}
    for at, log in enumerate(logs):
        for known in (log.log_id, log.key.spki):
            if seen.setdefault(known, at) != at:
                raise TrustRootInvalidError(f"{name}[{at}] is {name}[{seen[known]}] again: same key or id")


def _authority(value: object, place: str) -> Authority:
    from cryptography import x509

    whole = _object(value, _AUTHORITY, place)
    held = _object(whole.get("certChain"), frozenset({"certificates"}), f"{place}.certChain")
    entries = document.as_list(
        held.get("certificates", []), what=f"{place}.certChain.certificates", error=TrustRootInvalidError
    )
    if not entries:
        raise TrustRootInvalidError(f"{place}.certChain has no certificate")
    if len(entries) > limits.TRUST_ROOT_CHAIN:
        raise TrustRootInvalidError(f"{place}.certChain has more than {limits.TRUST_ROOT_CHAIN} certificates")
    chain = []
    for at, entry in enumerate(entries):
        where = f"{place}.certChain.certificates[{at}]"
        der = _bytes(_object(entry, frozenset({"rawBytes"}), where).get("rawBytes"), f"{where}.rawBytes")
        try:
            x509.load_der_x509_certificate(der)
        except (ValueError, x509.InvalidVersion) as problem:
            raise TrustRootInvalidError(f"{where} is not a certificate") from problem
        chain.append(der)
    subject = _object(whole.get("subject", {}), _SUBJECT, f"{place}.subject")
    valid = period.from_document(whole.get("validFor", {}), what=f"{place}.validFor", error=TrustRootInvalidError)
    return Authority(
        tuple(chain),
        valid,
        uri=_text(whole, "uri", place),
        organization=_text(subject, "organization", f"{place}.subject"),
        common_name=_text(subject, "commonName", f"{place}.subject"),
        operator=_text(whole, "operator", place),
    )


def _object(value: object, names: frozenset[str], place: str) -> dict[str, Any]:
    found = document.as_object(value, what=place, error=TrustRootInvalidError)
    _known(found, names, place)
    return found


def _known(whole: dict[str, Any], names: frozenset[str], place: str) -> None:
    document.known_only(whole, names, what=place, error=TrustRootInvalidError)


def _text(whole: dict[str, Any], name: str, place: str) -> str:
    """A string; protobuf leaves out empty ones."""
    found = whole.get(name, "")
    if not isinstance(found, str) or len(found) > limits.TRUST_ROOT_TEXT:
        raise TrustRootInvalidError(f"{place}.{name} is not a string of at most {limits.TRUST_ROOT_TEXT} characters")
    return found


def _bytes(value: object, place: str) -> bytes:
    found = base64.decode(value, what=place, error=TrustRootInvalidError, url_safe=True)
    if not found:
        raise TrustRootInvalidError(f"{place} is empty")
    return found


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (length if size < 0x80 else bytes([0x80 | len(length)]) + length) + content


# -- writing


def _log_document(log: Log) -> dict[str, Any]:
    raw = log.key.spki
    if log.key_details == _PKCS1:
        raw = _pkcs1(raw)
    key = {
        "rawBytes": base64.encode(raw),
        "keyDetails": log.key_details,
        "validFor": period.as_document(log.valid),
    }
    written = {
        "baseUrl": log.base_url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": key,
        "logId": {"keyId": base64.encode(log.log_id)},
        "operator": log.operator,
    }
    return {name: value for name, value in written.items() if value}


def _pkcs1(spki: bytes) -> bytes:
    """The RSAPublicKey in a SubjectPublicKeyInfo that was read before."""
    at = spki.index(_RSA_IDENTIFIER) + len(_RSA_IDENTIFIER)
    size = spki[at + 1]
    at += 2 if size < 0x80 else 2 + (size & 0x7F)
    return spki[at + 1 :]  # behind the count of unused bits


def _authority_document(one: Authority) -> dict[str, Any]:
    subject = {"organization": one.organization, "commonName": one.common_name}
    written = {
        "subject": {name: text for name, text in subject.items() if text},
        "uri": one.uri,
        "certChain": {"certificates": [{"rawBytes": base64.encode(der)} for der in one.chain]},
        "validFor": period.as_document(one.valid),
        "operator": one.operator,
    }
    return {name: value for name, value in written.items() if value}
