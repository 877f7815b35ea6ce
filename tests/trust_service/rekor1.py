"""Rekor v1: entries in JSON with a promise (SET) and a proof (sigstore/rekor, openapi.yaml)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
from typing import Any, NamedTuple

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from trust_service import notes, signatures
from trust_service.hooks import Hooks
from trust_service.merkle import Tree, leaf_hash
from trust_service.period import Period
from trust_service.refusal import RefusedError
from trust_service.rekor2 import b64, proof_document

TREE_ID = 1234567890123456789
FIRST = 5000
"""The log's index of the tree's first leaf: older trees hold those before, so that the two indexes differ."""


class Row(NamedTuple):
    """What the log keeps of an entry."""

    index: int
    """In the tree."""
    leaf: bytes
    time: int
    promise: bytes
    body: dict[str, Any]


class Log:
    """A log; the first leaf is nobody's."""

    def __init__(self, name: str, valid: Period) -> None:
        self.name = name
        self.host = f"{name}.rekor.test"
        self.base_url = f"https://{self.host}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.valid = valid
        self.log_id = hashlib.sha256(notes.spki(self.key)).digest()
        self.tree = Tree()
        self.tree.append(b"the first leaf")
        self.rows: dict[str, Row] = {}
        self._lock = threading.Lock()

    def add(self, proposed: dict[str, Any], at: float, hooks: Hooks) -> tuple[str, Row]:
        """Log a proposed entry: its uuid. Raises RefusedError; 409 with its place for one that is there already."""
        try:
            body = hooks("body", _canonical(proposed))
        except (KeyError, TypeError, IndexError, binascii.Error, ValueError) as error:
            raise RefusedError(400, f"error processing entry: {error!r}") from None
        leaf = rfc8785.dumps(body)
        uuid = f"{TREE_ID:016x}{leaf_hash(leaf).hex()}"
        with self._lock:
            if uuid in self.rows:
                headers = (("Location", f"/api/v1/log/entries/{uuid}"),)
                raise RefusedError(409, "an equivalent entry already exists in the transparency log", headers)
            index = self.tree.append(leaf)
            payload = {"body": b64(leaf), "integratedTime": int(at), "logID": self.log_id.hex()}
            payload = hooks("set", payload | {"logIndex": FIRST + index})
            promise = self.key.sign(rfc8785.dumps(payload), ec.ECDSA(hashes.SHA256()))
            row = Row(index, leaf, payload["integratedTime"], hooks("signed-set", promise), body)
            self.rows[uuid] = row
        return uuid, row

    def entry(self, uuid: str, hooks: Hooks) -> dict[str, Any]:
        """The answer about an entry: `{uuid: …}`. Raises KeyError."""
        row = self.rows[uuid[-80:]] if len(uuid) >= 80 else self._by_leaf(uuid)
        proof, checkpoint = self._proof(row, hooks)
        hexed = {
            "checkpoint": checkpoint,
            "hashes": [one.hex() for one in proof["hashes"]],
            "logIndex": proof["logIndex"],
            "rootHash": proof["rootHash"].hex(),
            "treeSize": proof["treeSize"],
        }
        content = {
            "body": b64(row.leaf),
            "integratedTime": row.time,
            "logID": self.log_id.hex(),
            "logIndex": FIRST + row.index,
            "verification": {"inclusionProof": hexed, "signedEntryTimestamp": b64(row.promise)},
        }
        return hooks("entry", {uuid: content})

    def bundle_entry(self, row: Row, hooks: Hooks) -> dict[str, Any]:
        """The same as a TransparencyLogEntry, as clients put it into a bundle."""
        proof, checkpoint = self._proof(row, hooks)
        entry = {
            "logIndex": str(FIRST + row.index),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": row.body["kind"], "version": row.body["apiVersion"]},
            "integratedTime": str(row.time),
            "inclusionPromise": {"signedEntryTimestamp": b64(row.promise)},
            "inclusionProof": proof_document(proof, checkpoint),
            "canonicalizedBody": b64(row.leaf),
        }
        return hooks("entry", entry)

    def promise(self, row: Row) -> dict[str, Any]:
        """The SET as cosign writes it into annotations and legacy bundles."""
        payload = {"body": b64(row.leaf), "integratedTime": row.time}
        payload |= {"logIndex": FIRST + row.index, "logID": self.log_id.hex()}
        return {"SignedEntryTimestamp": b64(row.promise), "Payload": payload}

    def checkpoint(self, hooks: Hooks, size: int | None = None) -> str:
        size = self.tree.size if size is None else size
        origin = f"{self.host} - {TREE_ID}"
        note = notes.Checkpoint(origin, size, self.tree.root(size), self.host, self.key, self.log_id)
        return hooks("signed-checkpoint", hooks("checkpoint", note).signed())

    def info(self, hooks: Hooks) -> dict[str, Any]:
        """The answer to GET /api/v1/log."""
        root = self.tree.root().hex()
        state = {"rootHash": root, "treeSize": self.tree.size, "signedTreeHead": self.checkpoint(hooks)}
        return state | {"treeID": str(TREE_ID), "inactiveShards": []}

    def uuid_at(self, index: int) -> str:
        """Of the log's index. Raises KeyError."""
        for uuid, row in self.rows.items():
            if FIRST + row.index == index:
                return uuid
        raise KeyError(index)

    def _by_leaf(self, digest: str) -> Row:
        for uuid, row in self.rows.items():
            if uuid.endswith(digest):
                return row
        raise KeyError(digest)

    def _proof(self, row: Row, hooks: Hooks) -> tuple[dict[str, Any], str]:
        with self._lock:
            size = self.tree.size
            hashes_ = self.tree.proof(row.index, size)
            proof = {"logIndex": row.index, "treeSize": size, "rootHash": self.tree.root(size), "hashes": hashes_}
            return hooks("proof", proof), self.checkpoint(hooks, size)


def hashedrekord(digest: bytes, signature: bytes, pem: bytes) -> dict[str, Any]:
    """A proposed entry for a signature over a digest; `pem`: certificate or public key."""
    name = {32: "sha256", 48: "sha384", 64: "sha512"}[len(digest)]
    spec = {
        "data": {"hash": {"algorithm": name, "value": digest.hex()}},
        "signature": {"content": b64(signature), "publicKey": {"content": b64(pem)}},
    }
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}


def dsse(envelope: dict[str, Any], pem: bytes) -> dict[str, Any]:
    """A proposed entry for an envelope."""
    content = {"envelope": json.dumps(envelope), "verifiers": [b64(pem)]}
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": content}}


def intoto(envelope: dict[str, Any], pem: bytes) -> dict[str, Any]:
    """A proposed entry as clients made it before there was `dsse`: everything once more in base64."""
    digest = hashlib.sha256(json.dumps(envelope).encode()).hexdigest()
    signed = [{"sig": b64(one["sig"].encode()), "publicKey": b64(pem)} for one in envelope["signatures"]]
    doubled = {"payloadType": envelope["payloadType"], "payload": b64(envelope["payload"].encode())}
    payload = hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
    content = {
        "envelope": doubled | {"signatures": signed},
        "hash": {"algorithm": "sha256", "value": digest},
        "payloadHash": {"algorithm": "sha256", "value": payload},
    }
    return {"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": content}}


def _canonical(proposed: dict[str, Any]) -> dict[str, Any]:
    kind, version, spec = proposed["kind"], proposed["apiVersion"], proposed["spec"]
    makers = {("hashedrekord", "0.0.1"): _hashedrekord, ("dsse", "0.0.1"): _dsse, ("intoto", "0.0.2"): _intoto}
    if (kind, version) not in makers:
        raise RefusedError(400, f"entries of kind {kind} {version} are not taken here")
    return {"apiVersion": version, "kind": kind, "spec": makers[kind, version](spec)}


def _hashedrekord(spec: dict[str, Any]) -> dict[str, Any]:
    algorithm, value = spec["data"]["hash"]["algorithm"], spec["data"]["hash"]["value"]
    content, pem = spec["signature"]["content"], spec["signature"]["publicKey"]["content"]
    key = signatures.load_public(base64.b64decode(pem, validate=True))
    signatures.check_digest(key, base64.b64decode(content, validate=True), bytes.fromhex(value))
    data = {"hash": {"algorithm": algorithm, "value": value}}
    return {"data": data, "signature": {"content": content, "publicKey": {"content": pem}}}


def _dsse(spec: dict[str, Any]) -> dict[str, Any]:
    text, verifiers = spec["proposedContent"]["envelope"], spec["proposedContent"]["verifiers"]
    envelope = json.loads(text)
    payload = base64.b64decode(envelope["payload"], validate=True)
    covered = signatures.pae(envelope["payloadType"], payload)
    signed = []
    for one, verifier in zip(envelope["signatures"], verifiers, strict=True):
        key = signatures.load_public(base64.b64decode(verifier, validate=True))
        signatures.check_message(key, base64.b64decode(one["sig"], validate=True), covered)
        signed.append({"signature": one["sig"], "verifier": verifier})
    return {
        "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(text.encode()).hexdigest()},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": signed,
    }


def _intoto(spec: dict[str, Any]) -> dict[str, Any]:
    content = spec["content"]
    envelope = content["envelope"]
    payload = base64.b64decode(base64.b64decode(envelope["payload"], validate=True), validate=True)
    covered = signatures.pae(envelope["payloadType"], payload)
    signed = []
    for one in envelope["signatures"]:
        key = signatures.load_public(base64.b64decode(one["publicKey"], validate=True))
        inner = base64.b64decode(one["sig"], validate=True)
        signatures.check_message(key, base64.b64decode(inner, validate=True), covered)
        signed.append({"publicKey": one["publicKey"], "sig": one["sig"]})
    kept = {"payloadType": envelope["payloadType"], "signatures": signed}
    payload_hash = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
    return {"content": {"envelope": kept, "hash": content["hash"], "payloadHash": payload_hash}}
