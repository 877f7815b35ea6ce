"""Transparency logs: an entry about our signature, in Rekor v1 and v2.

v1 (sigstore/rekor, openapi.yaml): `POST /api/v1/log/entries`, entries `hashedrekord` 0.0.1 and `dsse` 0.0.1; the answer has
a promise with the log's time, and a proof. v2 (rekor-tiles, rekor_service.proto): `POST /api/v2/log/entries`, entries
`hashedrekord` 0.0.2, of an envelope over its encoding; the answer has a proof, and no time. A log that has the entry already
answers 409: v1 says where it stands, v2 at which index (`tiles`).

What comes back must be about our signature, our key and what was signed; whether the log's own signatures hold is judged
under the trust root, with everything else (`author`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import (
    ContentError,
    KeyUnsupportedError,
    LogAnswerError,
    LogRefusedError,
    LogUnavailableError,
    SealgateError,
)
from sealgate.evidence import base64
from sealgate.keys import pem
from sealgate.signing.service import Kind, Service, ask, document

if TYPE_CHECKING:
    from sealgate.evidence.dsse import Envelope
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.transport.message import Response, Tls, Url
    from sealgate.trust.root import TrustRoot

KIND = Kind("the log", LogUnavailableError, LogRefusedError, LogAnswerError)
_HEADERS = (("Content-Type", "application/json"), ("Accept", "application/json"))
_HASHES = 64
"""Of one proof: more than any tree has levels."""


class Log(NamedTuple):
    """A log that is asked, and which of its two interfaces it has."""

    service: Service
    version: int


class Covered(NamedTuple):
    """One signature, as it is logged and timestamped."""

    signature: bytes
    key: PublicKey
    hash_name: HashName | None
    """The hash that was signed; None: pure Ed25519, which no log takes but of an envelope."""
    digest: bytes
    """Of what was signed: the message, or the encoding of the envelope."""
    envelope: Envelope | None
    certificate: bytes | None
    """DER; None: the key is a managed one."""


class Entry(NamedTuple):
    """An entry as evidence carries it."""

    bundled: dict[str, Any]
    """`TransparencyLogEntry` (sigstore_rekor.proto) as protobuf JSON."""
    promise: dict[str, Any] | None
    """`SignedEntryTimestamp` and `Payload`, as the legacy format has them; v1 only."""


def log(url: Url, version: int, tls: Tls) -> Log:
    """The log at this address."""
    return Log(Service(KIND, url, tls), version)


async def add(log: Log, covered: Covered, root: TrustRoot | None = None) -> Entry:
    """Log a signature. `root`: only under one an entry is read that stands already in a log of version 2.

    Raises `LogUnavailableError`, `LogRefusedError`, `LogAnswerError`, `KeyUnsupportedError`.
    """
    return await (_add2(log.service, covered, root) if log.version == 2 else _add1(log.service, covered))


# -- v2

_DETAILS: dict[tuple[str, str], str] = {
    ("ecdsa-p256", "sha256"): "PKIX_ECDSA_P256_SHA_256",
    ("ecdsa-p384", "sha384"): "PKIX_ECDSA_P384_SHA_384",
    ("ecdsa-p521", "sha512"): "PKIX_ECDSA_P521_SHA_512",
    ("rsa-2048", "sha256"): "PKIX_RSA_PKCS1V15_2048_SHA256",
    ("rsa-3072", "sha256"): "PKIX_RSA_PKCS1V15_3072_SHA256",
    ("rsa-4096", "sha256"): "PKIX_RSA_PKCS1V15_4096_SHA256",
}
"""`PublicKeyDetails` of sigstore_common.proto: the only ones that Rekor v2 takes."""
_NAMES = {"sha256": "SHA2_256", "sha384": "SHA2_384", "sha512": "SHA2_512"}


def check_loggable(key: PublicKey, hash_name: HashName | None, *, version: int, envelope: bool) -> None:
    """Raise `KeyUnsupportedError` for a signature that no log of this version takes: said before anything is signed."""
    if version == 2 and (key.algorithm, hash_name or "") not in _DETAILS:
        right = next((name for kind, name in _DETAILS if kind == key.algorithm), None)
        raise KeyUnsupportedError(
            f"Rekor v2 takes no signatures by {key.algorithm} keys over {hash_name or 'the message itself'}",
            hint=f"--signature-digest-algorithm {right}" if right else "an ECDSA or RSA key, or a log of version 1",
        )
    if version == 1 and hash_name is None and not envelope:
        raise KeyUnsupportedError("Rekor v1 takes no signatures of files by Ed25519 keys", hint="an ECDSA or RSA key")


async def _add2(service: Service, covered: Covered, root: TrustRoot | None) -> Entry:
    import json

    import rfc8785

    check_loggable(covered.key, covered.hash_name, version=2, envelope=covered.envelope is not None)
    hash_name = str(covered.hash_name)
    content = covered.certificate or covered.key.spki
    kind = "publicKey" if covered.certificate is None else "x509Certificate"
    verifier = {
        kind: {"rawBytes": base64.encode(content)},
        "keyDetails": _DETAILS[covered.key.algorithm, hash_name],
    }
    digest = base64.encode(covered.digest)
    signature = {"content": base64.encode(covered.signature), "verifier": verifier}
    body = json.dumps({"hashedRekordRequestV002": {"digest": digest, "signature": signature}}).encode("utf-8")
    url = service.below("/api/v2/log/entries")
    response = await ask(service, "POST", url, headers=_HEADERS, body=body, answers={409})
    data = {"algorithm": _NAMES[hash_name], "digest": digest}
    entry: dict[str, Any] = {"apiVersion": "0.0.2", "kind": "hashedrekord"}
    leaf = rfc8785.dumps(entry | {"spec": {"hashedRekordV002": {"data": data, "signature": signature}}})
    if response.status != 409:
        return _read2(service, document(service, response), leaf)
    if root is None:
        raise LogRefusedError(
            f"{service} has this very entry already, and only a trust root says whether it is the log that proves it",
            hint="--trusted-root FILE; or sign again: an ECDSA key makes another signature each time",
        )
    from sealgate.signing import tiles

    return Entry(await tiles.existing(service, response, leaf, root), None)


def _read2(service: Service, answer: dict[str, Any], leaf: bytes) -> Entry:
    reading = _Reading(service, answer)
    body = reading.decoded("canonicalizedBody")
    if body != leaf:
        raise service.invalid("gives an entry about something else")
    kind = {"kind": "hashedrekord", "version": "0.0.2"}
    if reading.inner("kindVersion").whole != kind:
        raise service.invalid("gives an entry of another kind")
    proof = reading.inner("inclusionProof")
    hashes = proof.whole.get("hashes") or []
    if not isinstance(hashes, list) or len(hashes) > _HASHES:
        raise service.invalid("gives an entry with a proof that is none")
    bundled = {
        "logIndex": str(reading.number("logIndex")),
        "logId": {"keyId": base64.encode(reading.inner("logId").decoded("keyId"))},
        "kindVersion": kind,
        "inclusionProof": {
            "logIndex": str(proof.number("logIndex")),
            "rootHash": base64.encode(proof.decoded("rootHash")),
            "treeSize": str(proof.number("treeSize")),
            "hashes": [base64.encode(_Reading(service, {"hash": each}).decoded("hash")) for each in hashes],
            "checkpoint": {"envelope": proof.inner("checkpoint").text("envelope")},
        },
        "canonicalizedBody": base64.encode(body),
    }
    return Entry(bundled, None)


# -- v1


async def _add1(service: Service, covered: Covered) -> Entry:
    import json

    check_loggable(covered.key, covered.hash_name, version=1, envelope=covered.envelope is not None)
    proposed = _proposed(covered)
    url = service.below("/api/v1/log/entries")
    body = json.dumps(proposed).encode("utf-8")
    response = await ask(service, "POST", url, headers=_HEADERS, body=body, answers={409})
    if response.status == 409:  # ours, if an answer was lost on its way to us; that is looked at as closely
        response = await _existing(service, response)
    return _read1(service, document(service, response), proposed, covered)


async def _existing(service: Service, response: Response) -> Response:
    """The entry that stands already: `Location` says which."""
    place = re.fullmatch(
        r"(?:https?://[^/]+)?(?:/[^?#]*)?/api/v1/log/entries/([0-9a-f]{64,80})", response.header("location") or ""
    )
    if place is None:
        raise service.invalid("has an equal entry, and does not say where")
    return await ask(service, "GET", service.below(f"/api/v1/log/entries/{place[1]}"), headers=_HEADERS[1:])


def _proposed(covered: Covered) -> dict[str, Any]:
    """`ProposedEntry` (openapi.yaml)."""
    label, content = ("CERTIFICATE", covered.certificate) if covered.certificate else ("PUBLIC KEY", covered.key.spki)
    verifier = base64.encode(pem.encode(label, content or b""))
    if covered.envelope is not None:
        from sealgate.evidence import dsse

        shown = {"envelope": dsse.encode(covered.envelope).decode("utf-8"), "verifiers": [verifier]}
        return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": shown}}
    data = {"hash": {"algorithm": covered.hash_name, "value": covered.digest.hex()}}
    signature = {"content": base64.encode(covered.signature), "publicKey": {"content": verifier}}
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": data, "signature": signature}}


def _read1(service: Service, answer: dict[str, Any], proposed: dict[str, Any], covered: Covered) -> Entry:
    if len(answer) != 1:
        raise service.invalid(f"gives {len(answer)} entries where one was asked for")
    reading = _Reading(service, answer).inner(next(iter(answer)))
    body = reading.decoded("body")
    if not _is_ours(service, body, proposed, covered):
        raise service.invalid("gives an entry about something else")
    verification = reading.inner("verification")
    proof = verification.inner("inclusionProof")
    hashes = proof.whole.get("hashes") or []
    if not isinstance(hashes, list) or len(hashes) > _HASHES:
        raise service.invalid("gives an entry with a proof that is none")
    index, time = reading.number("logIndex"), reading.number("integratedTime")
    log_id, promise = reading.hexed("logID"), verification.decoded("signedEntryTimestamp")
    bundled = {
        "logIndex": str(index),
        "logId": {"keyId": base64.encode(log_id)},
        "kindVersion": {"kind": proposed["kind"], "version": proposed["apiVersion"]},
        "integratedTime": str(time),
        "inclusionPromise": {"signedEntryTimestamp": base64.encode(promise)},
        "inclusionProof": {
            "logIndex": str(proof.number("logIndex")),
            "rootHash": base64.encode(proof.hexed("rootHash")),
            "treeSize": str(proof.number("treeSize")),
            "hashes": [base64.encode(_Reading(service, {"hash": each}).hexed("hash")) for each in hashes],
            "checkpoint": {"envelope": proof.text("checkpoint")},
        },
        "canonicalizedBody": base64.encode(body),
    }
    payload = {"body": base64.encode(body), "integratedTime": time, "logIndex": index, "logID": log_id.hex()}
    return Entry(bundled, {"SignedEntryTimestamp": base64.encode(promise), "Payload": payload})


def _is_ours(service: Service, body: bytes, proposed: dict[str, Any], covered: Covered) -> bool:
    """Whether the entry is what the log makes of ours. Of an envelope it keeps hashes and signatures only."""
    import hashlib

    from sealgate import strictjson

    try:
        found = strictjson.parse_object(body, limit=limits.SERVICE_BODY_BYTES, what="the entry")
    except ContentError as error:
        raise service.invalid(f"gives an entry that cannot be read: {error.message}") from error
    if covered.envelope is None:
        return found == proposed
    spec = found.get("spec")
    if not isinstance(spec, dict) or (found.get("kind"), found.get("apiVersion")) != ("dsse", "0.0.1"):
        return False
    payload = {"algorithm": "sha256", "value": hashlib.sha256(covered.envelope.payload).hexdigest()}
    verifier = proposed["spec"]["proposedContent"]["verifiers"][0]
    signed = [{"signature": base64.encode(covered.signature), "verifier": verifier}]
    return spec.get("payloadHash") == payload and spec.get("signatures") == signed


class _Reading(NamedTuple):
    """An object of an answer and its members, each read with a check of its type."""

    service: Service
    whole: dict[str, Any]

    def inner(self, name: str) -> _Reading:
        """An object."""
        value = self.whole.get(name)
        if not isinstance(value, dict):
            raise self.service.invalid(f"gives an entry without {name}")
        return _Reading(self.service, value)

    def text(self, name: str) -> str:
        """A string."""
        value = self.whole.get(name)
        if not isinstance(value, str) or not value:
            raise self.service.invalid(f"gives an entry without {name}")
        return value

    def number(self, name: str) -> int:
        """A number, as JSON's or protobuf's (text; 0 may be absent)."""
        value = self.whole.get(name, 0)
        if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise self.service.invalid(f"gives an entry whose {name} is no number")
        return value

    def decoded(self, name: str) -> bytes:
        """Base64."""
        try:
            return base64.decode(self.text(name), what=name, error=ContentError, url_safe=True)
        except SealgateError as error:
            raise self.service.invalid(f"gives an entry whose {name} is not base64") from error

    def hexed(self, name: str) -> bytes:
        """Lower-case hex."""
        text = self.text(name)
        if re.fullmatch("(?:[0-9a-f]{2})+", text) is None:
            raise self.service.invalid(f"gives an entry whose {name} is not hex")
        return bytes.fromhex(text)
