"""What was signed and by whom, as the checks on certificates, log entries and timestamps compare it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sealgate.evidence.dsse import Envelope
    from sealgate.keys.algorithms import PublicKey


class Signed(NamedTuple):
    """One signature and its signer. Every log entry and every timestamp must be about exactly this (invariant 5)."""

    signature: bytes
    """Raw bytes; of an envelope, its only signature, decoded."""
    key: PublicKey
    """The key that the signature was made with: the certificate's, or the managed one."""
    certificate: bytes | None
    """DER of the leaf; None: a managed key."""
    envelope: Envelope | None
    """The DSSE envelope; None: `message` was signed itself."""
    message: bytes | None
    """The signed bytes, where they are at hand and there is no envelope (a simple-signing payload, a small file)."""
    digests: tuple[tuple[str, bytes], ...]
    """(`sha256` | `sha384` | `sha512`, digest) of what was signed, computed here, never taken from the bundle: of the
    message, or of the envelope's PAE."""

    def digest(self, name: str) -> bytes | None:
        """The digest of what was signed under a hash that a log entry names; None: it cannot be computed here."""
        for known, found in self.digests:
            if known == name:
                return found
        if name not in {"sha256", "sha384", "sha512"}:
            return None
        message = self.message
        if self.envelope is not None:
            from sealgate.evidence import dsse

            message = dsse.pae(self.envelope.payload_type, self.envelope.payload)
        return None if message is None else hashlib.new(name, message).digest()

    def is_by(self, certificate: bytes) -> bool:
        """Whether the certificate in a log entry is the signer's: the very one; for a managed key, one of that key.

        (cosign logs a certificate that `--certificate` gave it beside `--key`.)
        """
        if self.certificate is not None:
            return certificate == self.certificate
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            key = x509.load_der_x509_certificate(certificate).public_key()
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == self.key.spki
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            return False
