"""Rekor v2: a log of tiles, whose answer to an upload is the proof (rekor-tiles, C2SP tlog-tiles)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import threading
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from trust_service import notes, signatures
from trust_service.hooks import Hooks
from trust_service.merkle import Tree
from trust_service.period import Period
from trust_service.refusal import RefusedError


class TileLog:
    """A log. Its first leaf is nobody's: an index of 0 and a proof without hashes vanish from Go's JSON."""

    def __init__(self, name: str, key: notes.LogKey, valid: Period) -> None:
        self.name = name
        self.origin = f"{name}.log.test"
        self.base_url = f"https://{self.origin}"
        self.key = key
        self.valid = valid
        self.log_id = notes.key_id(self.origin, key)
        self.tree = Tree()
        self.tree.append(b"the first leaf")
        self.deduplicates = False
        """A second upload of an entry: 409 as real ones do, or the first entry again."""
        self.takes_dsse = "convert"
        """What becomes of `dsseRequestV002`, which old clients send: `convert` (into hashedrekord over the PAE), `keep`
        (an entry of kind dsse, as until 2.2), `refuse` (as real ones do now)."""
        self._known: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def add(self, request: dict[str, Any], hooks: Hooks, *, keep: bool = False) -> dict[str, Any]:
        """The TransparencyLogEntry for an upload, as the server writes it. Raises RefusedError.

        `keep`: a `dsseRequestV002` becomes an entry of kind dsse, whatever `takes_dsse` says.
        """
        try:
            body = hooks("body", self._body(request, "keep" if keep else self.takes_dsse))
        except (KeyError, TypeError, IndexError, binascii.Error, ValueError) as error:
            raise RefusedError(400, f"invalid request: {error!r}") from None
        leaf = rfc8785.dumps(body)
        with self._lock:
            index = self._known.get(leaf)
            if index is None:
                index = self._known[leaf] = self.tree.append(leaf)
            elif not self.deduplicates:
                raise RefusedError(409, "an equivalent entry already exists", (("x-log-index", str(index)),))
            return hooks("entry", self._entry(body, leaf, index, hooks))

    def checkpoint(self, hooks: Hooks, size: int | None = None) -> str:
        """The signed note of the tree as it is, or as it was."""
        size = self.tree.size if size is None else size
        note = notes.Checkpoint(self.origin, size, self.tree.root(size), self.origin, self.key, self.log_id)
        return hooks("signed-checkpoint", hooks("checkpoint", note).signed())

    def tile(self, level: int, number: int, width: int) -> bytes | None:
        """A tile of hashes; None: there is none."""
        row = self.tree.levels[8 * level] if 8 * level < len(self.tree.levels) else []
        hashes = row[number * 256 : number * 256 + width]
        return b"".join(hashes) if len(hashes) == width else None

    def entries(self, number: int, width: int) -> bytes | None:
        """An entry bundle; None: there is none."""
        leaves = self.tree.leaves[number * 256 : number * 256 + width]
        return b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in leaves) if len(leaves) == width else None

    def _entry(self, body: dict[str, Any], leaf: bytes, index: int, hooks: Hooks) -> dict[str, Any]:
        size = self.tree.size
        proof = {
            "logIndex": index,
            "treeSize": size,
            "rootHash": self.tree.root(size),
            "hashes": self.tree.proof(index, size),
        }
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": "0",
            "inclusionPromise": None,
            "inclusionProof": proof_document(hooks("proof", proof), self.checkpoint(hooks, size)),
            "canonicalizedBody": b64(leaf),
        }

    def _body(self, request: dict[str, Any], takes_dsse: str) -> dict[str, Any]:
        if "dsseRequestV002" in request:
            return self._dsse(request["dsseRequestV002"], takes_dsse)
        asked = request["hashedRekordRequestV002"]
        signature = base64.b64decode(asked["signature"]["content"], validate=True)
        digest = base64.b64decode(asked["digest"], validate=True)
        return _hashedrekord(digest, signature, asked["signature"]["verifier"])

    def _dsse(self, asked: dict[str, Any], takes_dsse: str) -> dict[str, Any]:
        if takes_dsse == "refuse":
            raise RefusedError(400, "dsse requests are not taken any more: log a hashedrekord over the PAE")
        envelope = asked["envelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        covered = signatures.pae(envelope["payloadType"], payload)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        verifier = asked["verifiers"][0]
        key, words = _verifier(verifier)
        digest = hashlib.new(signatures.hash_of(key), covered).digest()
        if takes_dsse == "convert":
            return _hashedrekord(digest, signature, verifier)
        signatures.check_digest(key, signature, digest)
        content = {
            "payloadHash": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(payload).digest())},
            "signatures": [{"content": b64(signature), "verifier": words}],
        }
        return {"apiVersion": "0.0.2", "kind": "dsse", "spec": {"dsseV002": content}}


def request(digest: bytes, signature: bytes, key: Any, certificate: bytes | None) -> dict[str, Any]:
    """An upload: of a signature over a digest, by the certificate's key or by a public key alone."""
    verifier: dict[str, Any] = {"keyDetails": signatures.details(key)}
    if certificate is None:
        verifier["publicKey"] = {"rawBytes": b64(notes.spki(key))}
    else:
        verifier["x509Certificate"] = {"rawBytes": b64(certificate)}
    signed = {"content": b64(signature), "verifier": verifier}
    return {"hashedRekordRequestV002": {"digest": b64(digest), "signature": signed}}


def dsse_request(envelope: dict[str, Any], key: Any, certificate: bytes | None) -> dict[str, Any]:
    """An upload as clients sent it until 2026."""
    verifier = request(b"", b"", key, certificate)["hashedRekordRequestV002"]["signature"]["verifier"]
    return {"dsseRequestV002": {"envelope": envelope, "verifiers": [verifier]}}


def proof_document(proof: dict[str, Any], checkpoint: str) -> dict[str, Any]:
    """An inclusion proof as bundles have it."""
    return {
        "logIndex": str(proof["logIndex"]),
        "rootHash": b64(proof["rootHash"]),
        "treeSize": str(proof["treeSize"]),
        "hashes": [b64(one) for one in proof["hashes"]],
        "checkpoint": {"envelope": checkpoint},
    }


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hashedrekord(digest: bytes, signature: bytes, verifier: dict[str, Any]) -> dict[str, Any]:
    key, words = _verifier(verifier)
    signatures.check_digest(key, signature, digest)
    content = {
        "data": {"algorithm": signatures.ALGORITHMS[len(digest)], "digest": b64(digest)},
        "signature": {"content": b64(signature), "verifier": words},
    }
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": content}}


def _verifier(verifier: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The key, and the words of the entry about it."""
    words: dict[str, Any] = {}
    if "x509Certificate" in verifier:
        raw = base64.b64decode(verifier["x509Certificate"]["rawBytes"], validate=True)
        key, words["x509Certificate"] = x509.load_der_x509_certificate(raw).public_key(), {"rawBytes": b64(raw)}
    else:
        raw = base64.b64decode(verifier["publicKey"]["rawBytes"], validate=True)
        key, words["publicKey"] = serialization.load_der_public_key(raw), {"rawBytes": b64(raw)}
    words["keyDetails"] = verifier["keyDetails"]
    expected = signatures.details(key)
    if words["keyDetails"] != expected:
        raise RefusedError(400, f"the key is {expected}, not {words['keyDetails']}")
    return key, words
