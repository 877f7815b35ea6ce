"""What a trust root or a signing configuration says, told to a person. Pure; the clock is a parameter.

A `Told` has names for people, and texts, numbers, lists or further `Told`s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.errors import NoServiceError
from sealgate.trust import period
from sealgate.truststore.signing_config import select, select_one

if TYPE_CHECKING:
    from sealgate.trust.period import Period
    from sealgate.trust.root import Authority, Log, TrustRoot
    from sealgate.truststore.signing_config import Selection, Service, SigningConfig

Told = dict[str, Any]

_AUTHORITY_VERSIONS = (1,)
_ISSUER_VERSIONS = (1,)
_LOG_VERSIONS = (1, 2)
_TIMESTAMP_VERSIONS = (1,)
"""What clients speak: cosign 3.1.1 and this one."""


def trust_root(root: TrustRoot, *, now: float) -> Told:
    """Who is believed, for what, and until when."""
    return {
        "certificate authorities": [_authority(one, now) for one in root.certificate_authorities],
        "CT logs": [_log(log, now) for log in root.ct_logs],
        "transparency logs": [_log(log, now) for log in root.logs],
        "timestamp authorities": [_authority(one, now) for one in root.timestamp_authorities],
        "asked of a signature with a certificate": _asked(root),
        "remarks": _remarks(root),
    }


def _asked(root: TrustRoot) -> list[str]:
    """The rule of docs/trust-roots.md: what a verification asks for follows from what is in the root."""
    asked = [
        "a certificate by one of the authorities"
        if root.certificate_authorities
        else "nothing can be verified: no authority"
    ]
    if root.ct_logs:
        asked.append("an SCT by one of the CT logs, in the certificate")
    if root.logs:
        asked.append("an entry in one of the transparency logs")
    if root.timestamp_authorities and not root.logs:
        asked.append("a timestamp by one of the timestamp authorities")
    elif root.timestamp_authorities:
        asked.append("a time: that of the log entry if the log promises one, else a timestamp")
    return asked


def _remarks(root: TrustRoot) -> list[str]:
    """What may be meant, and mostly is not: one key in two roles speaks for itself (bypass W07)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    roles: dict[bytes, dict[str, None]] = {}
    for role, logs in (("a CT log", root.ct_logs), ("a transparency log", root.logs)):
        for log in logs:
            roles.setdefault(log.key.spki, {})[role] = None
    for role, authorities in (
        ("a certificate authority", root.certificate_authorities),
        ("a timestamp authority", root.timestamp_authorities),
    ):
        for der in {der for one in authorities for der in one.chain}:
            key = x509.load_der_x509_certificate(der).public_key()
            roles.setdefault(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), {})[role] = None
    return [f"one key is that of {' and of '.join(found)}" for found in roles.values() if len(found) > 1]


def _state(valid: Period, now: float) -> str:
    if valid.start is not None and now < valid.start:
        return "not in use yet"
    if valid.end is not None and valid.end < now:
        return "retired: what was made before its end is still believed"
    return "in use"


def _period(valid: Period, now: float) -> Told:
    told: Told = {"state": _state(valid, now)}
    if valid.start is not None:
        told["from"] = period.rfc3339(valid.start)
    if valid.end is not None:
        told["until"] = period.rfc3339(valid.end)
    return told


def _authority(one: Authority, now: float) -> Told:
    names = {
        "common name": one.common_name,
        "organization": one.organization,
        "address": one.uri,
        "operator": one.operator,
    }
    chain = [_certificate(der, now) for der in one.chain]
    told: Told = {name: text for name, text in names.items() if text} | _period(one.valid, now)
    if told["state"] == "in use" and any("state" in certificate for certificate in chain):
        told["state"] = "in use, but a certificate of it has expired: nothing that is made now is believed"
    return told | {"certificates": chain}


def _certificate(der: bytes, now: float) -> Told:
    import hashlib

    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    end = certificate.not_valid_after_utc.timestamp()
    told: Told = {
        "subject": certificate.subject.rfc4514_string(),
        "from": period.rfc3339(certificate.not_valid_before_utc.timestamp()),
        "until": period.rfc3339(end),
        "sha256": hashlib.sha256(der).hexdigest(),
    }
    if end < now:
        told["state"] = "expired"
    return told


def _log(log: Log, now: float) -> Told:
    told: Told = {"address": log.base_url} if log.base_url else {}
    if log.operator:
        told["operator"] = log.operator
    return {
        **told,
        **_period(log.valid, now),
        "key": f"{log.key.algorithm} {log.key.fingerprint}",
        "log id": log.log_id.hex(),
    }


def signing_config(config: SigningConfig, *, now: float) -> Told:
    """Where signing would go now, and all that there is."""
    return {
        "certificate authority": _one(config.authorities, _AUTHORITY_VERSIONS, now, "certificate authority"),
        "issuer of identities": _one(config.issuers, _ISSUER_VERSIONS, now, "issuer"),
        "transparency logs": _several(config.logs, config.log_selection, _LOG_VERSIONS, now, "log"),
        "timestamp authorities": _several(
            config.timestamp_authorities, config.timestamp_selection, _TIMESTAMP_VERSIONS, now, "timestamp authority"
        ),
        "services": {
            "certificate authorities": [_service(one, now) for one in config.authorities],
            "issuers of identities": [_service(one, now) for one in config.issuers],
            "transparency logs": [_service(one, now) for one in config.logs],
            "timestamp authorities": [_service(one, now) for one in config.timestamp_authorities],
        },
    }


def _one(services: tuple[Service, ...], versions: tuple[int, ...], now: float, what: str) -> str:
    if not services:
        return "none"
    try:
        return select_one(services, versions=versions, now=now, what=what).url
    except NoServiceError as error:
        return f"none: {error.message}"


def _several(
    services: tuple[Service, ...], selection: Selection | None, versions: tuple[int, ...], now: float, what: str
) -> list[str]:
    try:
        return [service.url for service in select(services, selection, versions=versions, now=now, what=what)]
    except NoServiceError as error:
        return [f"none: {error.message}"]


def _service(service: Service, now: float) -> Told:
    told: Told = {"address": service.url, "version of its interface": service.api_version}
    if service.operator:
        told["operator"] = service.operator
    return {**told, **_period(service.valid, now)}
