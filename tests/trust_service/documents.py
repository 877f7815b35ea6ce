"""What clients are configured with: `trusted_root.json`, `signing_config.json`, and PEM files for cosign 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import serialization

from trust_service import authority, ctlog, notes, rekor1, rekor2, timestamping
from trust_service.period import Period
from trust_service.rekor2 import b64

TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNING_CONFIG = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
CLIENT_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


def trusted_root(
    *,
    authorities: Sequence[authority.Authority],
    ct_logs: Sequence[ctlog.CtLog],
    logs: Sequence[rekor1.Log | rekor2.TileLog],
    timestamp_authorities: Sequence[timestamping.TimestampAuthority],
) -> dict[str, Any]:
    """The document that cosign 2.5.0 and newer, sigstore-python and sigstore-js all read: no `operator`."""
    return {
        "mediaType": TRUSTED_ROOT,
        "tlogs": [_log(log, log.log_id) for log in logs],
        "certificateAuthorities": [_authority(one, f"https://{one.name}.ca.test") for one in authorities],
        "ctlogs": [_log(log, log.log_id) for log in ct_logs],
        "timestampAuthorities": [_authority(one, f"https://{one.name}.tsa.test") for one in timestamp_authorities],
    }


def signing_config(
    *,
    ca: str,
    oidc: str,
    logs: Sequence[tuple[str, int]],
    timestamps: Sequence[str],
    valid: Period,
    selector: str = "ANY",
) -> dict[str, Any]:
    """Where to sign; `logs`: address and version."""

    def service(url: str, version: int, number: int) -> dict[str, Any]:
        words = {"url": url, "majorApiVersion": version, "validFor": valid.document()}
        return words | {"operator": f"operator-{number}.test"}

    choice: dict[str, Any] = {"selector": selector}
    config = {
        "mediaType": SIGNING_CONFIG,
        "caUrls": [service(ca, 1, 0)],
        "oidcUrls": [service(oidc, 1, 0)],
        "rekorTlogUrls": [service(url, version, number) for number, (url, version) in enumerate(logs)],
        "rekorTlogConfig": choice,
        "tsaUrls": [service(url, 1, number) for number, url in enumerate(timestamps)],
        "tsaConfig": choice,
    }
    # sigstore-js asks a timestamp authority wherever the document says how to choose one.
    return config if timestamps else {name: value for name, value in config.items() if name != "tsaConfig"}


def client_config(root: dict[str, Any], signing: dict[str, Any]) -> dict[str, Any]:
    """Both in one, as sigstore-python takes them (`--trust-config`)."""
    return {"mediaType": CLIENT_CONFIG, "trustedRoot": root, "signingConfig": signing}


def public_pem(key: Any) -> str:
    """A public key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _log(log: Any, log_id: bytes) -> dict[str, Any]:
    key = {"rawBytes": b64(notes.spki(log.key)), "keyDetails": notes.key_details(log.key)}
    return {
        "baseUrl": log.base_url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": key | {"validFor": log.valid.document()},
        "logId": {"keyId": b64(log_id)},
    }


def _authority(one: Any, uri: str) -> dict[str, Any]:
    return {
        "subject": {"organization": "trust.test", "commonName": one.name},
        "uri": uri,
        "certChain": {"certificates": [{"rawBytes": b64(certificate)} for certificate in one.chain]},
        "validFor": one.valid.document(),
    }
