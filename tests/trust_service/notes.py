"""Checkpoints: a log's signed statement of its size and root (C2SP signed-note, tlog-checkpoint)."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

LogKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Checkpoint(NamedTuple):
    """What a log is about to sign."""

    origin: str
    size: int
    root: bytes
    name: str
    """Of the signer; of Rekor v2 the origin itself."""
    key: LogKey
    key_id: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The signed part."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    def signature_line(self) -> str:
        signature = sign(self.key, self.text.encode())
        return f"\N{EM DASH} {self.name} {base64.b64encode(self.key_id[:4] + signature).decode()}\n"

    def signed(self) -> str:
        """The signed note."""
        return f"{self.text}\n{self.signature_line()}"


def sign(key: LogKey, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def key_id(name: str, key: LogKey) -> bytes:
    """The 32 bytes whose first four stand in the note, and which are the log's id (Rekor v2)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return hashlib.sha256(f"{name}\n".encode() + b"\x01" + key.public_key().public_bytes_raw()).digest()
    return hashlib.sha256(spki(key)).digest()


def key_details(key: LogKey) -> str:
    return "PKIX_ED25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "PKIX_ECDSA_P256_SHA_256"


def spki(key) -> bytes:
    """The public key of a private or public key: SubjectPublicKeyInfo, DER."""
    public = key.public_key() if hasattr(key, "public_key") else key
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def cosignature(name: str, key: ed25519.Ed25519PrivateKey, time: int, text: str) -> str:
    """The line of a witness (cosignature/v1), to be added to a signed note."""
    public = key.public_key().public_bytes_raw()
    identifier = hashlib.sha256(f"{name}\n".encode() + b"\x04" + public).digest()[:4]
    blob = identifier + time.to_bytes(8, "big") + key.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
    return f"\N{EM DASH} {name} {base64.b64encode(blob).decode()}\n"
