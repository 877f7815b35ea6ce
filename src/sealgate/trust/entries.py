"""Log entries: that a log of the trust root holds an entry about exactly this signature, and when it promised so.

Two kinds of logs: Rekor v1 signs a promise (SET) over an entry, its time and its index, and has proofs of inclusion;
Rekor v2 is a log of tiles (C2SP tlog-tiles), which has proofs and tells no time. Which one an entry is of says its kind,
which is in what the log signed; that must go with the log's id and the form of its checkpoint, so that nobody can choose
how an entry is read. Whatever comes along must hold: promise and proof, where there are both (L03).

The time beside an entry counts only if the log promised it: no proof covers it (S04).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.evidence import base64
from sealgate.trust import checkpoint, fields, merkle, rekor1, rekor2
from sealgate.trust.failure import TrustFailure

if TYPE_CHECKING:
    from sealgate.trust.root import Log, TrustRoot
    from sealgate.trust.signed import Signed

_ENTRY = frozenset(
    "logIndex logId kindVersion integratedTime inclusionPromise inclusionProof canonicalizedBody".split()
)
"""`TransparencyLogEntry` of sigstore_rekor.proto; as are those below."""
_PROOF = frozenset({"logIndex", "rootHash", "treeSize", "hashes", "checkpoint"})


class Place(NamedTuple):
    """Where an entry is, in a tree that the log signed."""

    at: int
    size: int
    root: bytes


class LogProof(NamedTuple):
    """A log of the trust root holds an entry about the signature."""

    log: Log
    index: int  # type: ignore[assignment]  # nobody asks a proof for the place of a value
    """As the log counts; where it promised nothing, in its tree."""
    promised: float | None
    """When it was logged, if the log signed that."""
    claimed: float | None = None
    """When it was logged, as stands beside the entry and nothing signs; it may refuse, and never proves."""
    place: Place | None = None
    """None: the log promised it, and there is no proof."""


def verify_entry(entry: dict[str, Any], signed: Signed, root: TrustRoot) -> LogProof:
    """Verify a `TransparencyLogEntry` of a bundle. Raises `TrustFailure`."""
    fields.known_only(entry, _ENTRY, "it")
    log_id = _member(entry, "logId", "keyId")
    version = fields.needed(entry, "kindVersion")
    fields.known_only(version, frozenset({"kind", "version"}), "its kindVersion")
    kind = fields.text(version, "kind"), fields.text(version, "version")
    index, at = fields.integer(entry, "logIndex"), fields.integer(entry, "integratedTime")
    body = fields.octets(entry, "canonicalizedBody", limit=limits.LOG_BODY_BYTES)
    promise, proof = fields.part(entry, "inclusionPromise"), fields.part(entry, "inclusionProof")
    logs = _logs(root, log_id)
    if kind in rekor1.KINDS:
        logs = _of_rekor1(logs)
        if promise is None and proof is None:
            raise TrustFailure("log-proof-missing", "its log entry has neither a promise nor a proof of the log")
        if rekor1.bind(body, signed) != kind:
            raise fields.malformed(f"is said to be {' '.join(kind)[:60]!a}, and is something else")
        promised = place = None
        log = logs[0]
        if promise is not None:
            fields.known_only(promise, frozenset({"signedEntryTimestamp"}), "its promise")
            log = _promised(logs, body, at, index, _member(entry, "inclusionPromise", "signedEntryTimestamp"))
            promised = float(at)
        if proof is not None:
            place = _included(proof, log, (body,), tiles=False)
            index = index if promise is not None else place.at
        return LogProof(log, index, promised, float(at) if at and promise is None else None, place)
    if kind in rekor2.KINDS:
        if promise is not None or at:
            raise fields.malformed("has a time, which its log never promises")
        if proof is None:
            raise TrustFailure("log-proof-missing", "its log entry comes without a proof that it is in the log")
        bodies = rekor2.bind(body, kind, signed)
        if fields.integer(proof, "logIndex") != index:
            raise TrustFailure("log-proof-invalid", "its log entry has a proof about another place in the log")
        return _in_tiles(logs, proof, bodies)
    raise fields.malformed(f"is of a kind that is not read here: {' '.join(kind)[:60]!a}")


def verify_promise(promise: dict[str, Any], signed: Signed, root: TrustRoot) -> LogProof:
    """Verify what cosign keeps of a Rekor v1 entry in annotations and legacy bundles. Raises `TrustFailure`."""
    fields.known_only(promise, frozenset({"SignedEntryTimestamp", "Payload"}), "it")
    payload = fields.needed(promise, "Payload")
    fields.known_only(payload, frozenset({"body", "integratedTime", "logIndex", "logID"}), "its payload")
    if any(isinstance(payload.get(name), str) for name in ("integratedTime", "logIndex")):
        raise fields.malformed("has a number that is a string")
    at, index = fields.integer(payload, "integratedTime"), fields.integer(payload, "logIndex")
    body = fields.decoded(payload.get("body"), "body", limit=limits.LOG_BODY_BYTES, url_safe=False)
    signature = fields.decoded(
        promise.get("SignedEntryTimestamp"), "promise", limit=limits.LOG_SIGNATURE_BYTES, url_safe=False
    )
    try:
        log_id = bytes.fromhex(fields.text(payload, "logID"))
    except ValueError:
        raise fields.malformed("has a logID that is not hexadecimal") from None
    if log_id.hex() != payload["logID"]:
        raise fields.malformed("has a logID that is not in its one spelling")
    logs = _of_rekor1(_logs(root, log_id))
    rekor1.bind(body, signed)
    return LogProof(_promised(logs, body, at, index, signature), index, float(at))


def _logs(root: TrustRoot, log_id: bytes) -> list[Log]:
    """The log of that id; several: one key under several addresses, or in several periods."""
    found = [log for log in root.logs if log.log_id == log_id]
    if not log_id or not found:
        name = log_id.hex()[:64] or "none"
        raise TrustFailure(
            "log-entry-untrusted", f"its log entry is by a log that is not in the trust root (id {name})"
        )
    return found


def _of_rekor1(logs: list[Log]) -> list[Log]:
    """Those whose id is the hash of their key, as in Rekor v1; that of a log of tiles with an Ed25519 key is not."""
    found = [log for log in logs if log.log_id == hashlib.sha256(log.key.spki).digest()]
    if not found:
        raise fields.malformed(f"is of Rekor v1, and {logs[0].base_url} is a log of tiles")
    return found


def _promised(logs: list[Log], body: bytes, at: int, index: int, signature: bytes) -> Log:
    """The log, once its promise is verified: its signature over RFC 8785 JSON, whose members all need no escapes.

    All of `logs` have the same key: their ids are its hash.
    """
    log = logs[0]
    if not at:
        raise TrustFailure("log-promise-invalid", "its log entry has a promise without a time")
    covered = b'{"body":"%b","integratedTime":%d,"logID":"%b","logIndex":%d}' % (
        base64.encode(body).encode("ascii"), at, log.log_id.hex().encode("ascii"), index,
    )  # fmt: skip
    if not checkpoint.signed_by(log.key, signature, covered):
        raise TrustFailure("log-promise-invalid", f"its log entry has a promise that is not by the log {log.base_url}")
    for each in logs:
        if each.valid.contains(at):
            return each
    from sealgate.trust.proof import utc

    message = f"its log entry was promised at {utc(at)}, when the key of the log {log.base_url} was not in use"
    raise TrustFailure("log-entry-untrusted", message)


def _in_tiles(logs: list[Log], proof: dict[str, Any], bodies: tuple[bytes, ...]) -> LogProof:
    """`logs` has one at least; what is said of the first is raised."""
    failures: list[TrustFailure] = []
    for log in logs:
        try:
            place = _included(proof, log, bodies, tiles=True)
            return LogProof(log, place.at, None, None, place)
        except TrustFailure as problem:
            failures.append(problem)
    raise failures[0]


def _included(proof: dict[str, Any], log: Log, bodies: Iterable[bytes], *, tiles: bool) -> Place:
    """The place in the tree of the entry that is one of `bodies`, once a proof leads to a root that the log signed.

    Size and root are the checkpoint's; what the proof itself says of them must be the same (L13).
    """
    fields.known_only(proof, _PROOF, "its proof")
    index, size = fields.integer(proof, "logIndex"), fields.integer(proof, "treeSize")
    claimed = fields.octets(proof, "rootHash", limit=64)
    note = fields.part(proof, "checkpoint") or {}
    fields.known_only(note, frozenset({"envelope"}), "its checkpoint")
    if not note.get("envelope"):
        raise TrustFailure("log-proof-missing", "its log entry has a proof without a checkpoint, which proves nothing")
    hashes = proof.get("hashes")
    hashes = [] if hashes is None else hashes
    if not isinstance(hashes, list) or len(hashes) > limits.MERKLE_PATH:
        raise TrustFailure("log-proof-invalid", f"its log entry has a proof of more than {limits.MERKLE_PATH} hashes")
    path = [fields.decoded(each, "hash of its proof", limit=64) for each in hashes]
    head = checkpoint.verified(checkpoint.read(fields.text(note, "envelope")), log, tiles=tiles)
    if (size and size != head.size) or (claimed and claimed != head.root):
        raise TrustFailure("log-proof-invalid", "its log entry has a proof for another tree than its checkpoint's")
    for body in bodies:
        if merkle.root_of(merkle.leaf_hash(body), index, head.size, path) == head.root:
            return Place(index, head.size, head.root)
    raise TrustFailure("log-proof-invalid", f"its log entry is not where its proof says in the log {log.base_url}")


def _member(entry: dict[str, Any], name: str, member: str) -> bytes:
    whole = fields.needed(entry, name)
    fields.known_only(whole, frozenset({member}), f"its {name}")
    return fields.octets(whole, member, limit=limits.LOG_SIGNATURE_BYTES)
