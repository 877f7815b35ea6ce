"""A certificate transparency log, as far as anybody sees it: the signed certificate timestamps in leaf certificates
(RFC 6962, section 3.2)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from trust_service.hooks import Hooks
from trust_service.notes import spki
from trust_service.period import Period

LIST_OID = "1.3.6.1.4.1.11129.2.4.2"


class Sct(NamedTuple):
    """A timestamp that is about to be signed."""

    log_id: bytes
    milliseconds: int
    issuer_key_hash: bytes
    tbs: bytes
    """The certificate to be signed, without the extension that will hold this timestamp."""
    key: ec.EllipticCurvePrivateKey
    extensions: bytes = b""
    version: int = 0

    def signed(self) -> bytes:
        covered = bytes([self.version, 0]) + self.milliseconds.to_bytes(8, "big") + (1).to_bytes(2, "big")
        covered += self.issuer_key_hash + len(self.tbs).to_bytes(3, "big") + self.tbs + _short(self.extensions)
        signature = self.key.sign(covered, ec.ECDSA(hashes.SHA256()))
        head = bytes([self.version]) + self.log_id + self.milliseconds.to_bytes(8, "big")
        return head + _short(self.extensions) + b"\x04\x03" + _short(signature)


class CtLog(NamedTuple):
    """A log: a key, and when it was in use."""

    name: str
    key: ec.EllipticCurvePrivateKey
    valid: Period

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(spki(self.key)).digest()

    @property
    def base_url(self) -> str:
        return f"https://{self.name}.ct.test"

    def promise(self, tbs: bytes, issuer, at: float, hooks: Hooks) -> bytes:
        """The timestamp for a certificate of `issuer` (its public key)."""
        sct = Sct(self.log_id, int(at * 1000), hashlib.sha256(spki(issuer)).digest(), tbs, self.key)
        return hooks("signed-sct", hooks("sct", sct).signed())


def make(name: str, valid: Period) -> CtLog:
    return CtLog(name, ec.generate_private_key(ec.SECP256R1()), valid)


def encode_list(scts: list[bytes]) -> bytes:
    """The TLS list of the extension, without the OCTET STRING around it."""
    return _short(b"".join(_short(sct) for sct in scts))


def _short(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
