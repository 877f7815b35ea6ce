"""What was signed and by whom, as the checks on certificates, log entries and timestamps compare it."""

from __future__ import annotations

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
