"""A TUF repository that hands out trust roots (The Update Framework 1.0.31, consistent snapshots)."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from trust_service.period import DAY, moment

ROLES = ("root", "targets", "snapshot", "timestamp")
_USAGES = {"fulcio_v1.crt.pem": "Fulcio", "ctfe.pub": "CTFE", "rekor.pub": "Rekor", "tsa.certchain.pem": "TSA"}


class Repository:
    """Signed metadata and targets; `files` is what lies under its address, by path."""

    def __init__(self) -> None:
        self.signers = {role: CryptoSigner.generate_ecdsa() for role in ROLES}
        self.versions = dict.fromkeys(ROLES, 0)
        self.files: dict[str, bytes] = {}

    @property
    def root(self) -> bytes:
        """The newest root.json: what `initialize --root` takes."""
        return self.files[f"{self.versions['root']}.root.json"]

    def publish(
        self,
        targets: Mapping[str, bytes],
        at: float,
        *,
        days: float = 365,
        timestamp_days: float | None = None,
        rotate: tuple[str, ...] = (),
    ) -> None:
        """Sign everything anew, a version higher. `days`: until it expires, of `timestamp_days` the timestamp alone;
        `rotate`: roles that get a new key (of the root: signed by the old and the new one).
        """
        expires = _day(at, days)
        old = self.signers["root"]
        for role in rotate:
            self.signers[role] = CryptoSigner.generate_ecdsa()
        if rotate or not self.versions["root"]:
            self._publish_root(expires, old)
        listed = Targets(version=self._next("targets"), expires=expires)
        for name, data in targets.items():
            file = TargetFile.from_data(name, data, ["sha256"])
            if name in _USAGES:
                file.unrecognized_fields["custom"] = {
                    "sigstore": {"status": "Active", "usage": _USAGES[name], "uri": ""}
                }
            listed.targets[name] = file
            self.files[f"targets/{hashlib.sha256(data).hexdigest()}.{name}"] = data
        self._put("targets", listed)
        meta = {"targets.json": MetaFile(listed.version)}
        snapshot = Snapshot(version=self._next("snapshot"), expires=expires, meta=meta)
        self._put("snapshot", snapshot)
        end = expires if timestamp_days is None else _day(at, timestamp_days)
        meta_file = MetaFile(snapshot.version)
        self._put("timestamp", Timestamp(version=self._next("timestamp"), expires=end, snapshot_meta=meta_file))

    def _publish_root(self, expires: datetime.datetime, old: CryptoSigner) -> None:
        root = Root(version=self._next("root"), expires=expires, consistent_snapshot=True)
        for role, signer in self.signers.items():
            root.add_key(signer.public_key, role)
        signed = Metadata(root)
        signed.sign(self.signers["root"])
        if old is not self.signers["root"]:
            signed.sign(old, append=True)
        text = signed.to_bytes(JSONSerializer(compact=False))
        self.files[f"{root.version}.root.json"] = text
        self.files["root.json"] = text

    def _put(self, role: str, signed: Any) -> None:
        metadata = Metadata(signed)
        metadata.sign(self.signers[role])
        name = f"{role}.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self.files[name] = metadata.to_bytes(JSONSerializer(compact=False))

    def _next(self, role: str) -> int:
        self.versions[role] += 1
        return self.versions[role]


def targets(
    trusted_root: Mapping[str, Any], signing_config: Mapping[str, Any], pems: Mapping[str, str]
) -> dict[str, bytes]:
    """What Sigstore's repositories hold: for new clients, and the keys alone for cosign 2."""
    documents = {"trusted_root.json": trusted_root, "signing_config.v0.2.json": signing_config}
    files = {name: json.dumps(document, indent=1).encode() for name, document in documents.items()}
    return files | {name: text.encode() for name, text in pems.items()}


def _day(at: float, days: float) -> datetime.datetime:
    return moment(at + days * DAY)
