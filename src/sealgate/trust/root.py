"""Trust roots: the certificate authorities, logs and timestamp authorities that are believed in, and when.

Values and their document: `trusted_root.json` (protobuf-specs, sigstore_trustroot.proto, media type version 0.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sealgate.keys.algorithms import PublicKey

MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"


class Period(NamedTuple):
    """A closed interval of time, in seconds since 1970 (UTC). `None`: no bound on that side."""

    start: float | None
    end: float | None

    def contains(self, at: float) -> bool:
        """Whether `at` lies in it; both ends do."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


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
