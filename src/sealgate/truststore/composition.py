"""Trust roots and signing configurations put together from cosign's descriptions of services (`url=…,start-time=…`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from sealgate import limits
from sealgate.errors import SigningConfigInvalidError, TrustRootInvalidError, UsageError
from sealgate.trust import period
from sealgate.trust import root as roots
from sealgate.trust.period import Period
from sealgate.trust.root import TrustRoot
from sealgate.truststore import signing_config as configs
from sealgate.truststore.environment import read_file
from sealgate.truststore.signing_config import Selection, Service, SigningConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealgate.trust.root import Authority, Log

T = TypeVar("T", "Authority", "Log")

Spec = str | Mapping[str, str]
"""A description, as text or as the words in it (which may leave out what cosign's options of old leave out)."""

_AUTHORITY = (("url", "certificate-chain"), ("start-time", "end-time"))
_LOG = (("url", "public-key", "start-time"), ("end-time", "origin"))
_SERVICE = (("url", "api-version", "start-time", "operator"), ("end-time",))


def trust_root(
    base: TrustRoot,
    *,
    authorities: Sequence[Spec],
    ct_logs: Sequence[Spec],
    logs: Sequence[Spec],
    timestamp_authorities: Sequence[Spec],
) -> TrustRoot:
    """`base` and what is described, each kind oldest first, as cosign writes it. Raises `UsageError`, `KeyMaterialError`s.

    The id of a CT log is SHA-256 of its key (RFC 6962, section 3.2); cosign 3.1.1 takes `origin` for it too, and then knows
    none of its SCTs.
    """
    from sealgate.truststore import material

    def authority(text: Spec, flag: str, *, signer: bool) -> Authority:
        words = _words(text, _AUTHORITY, flag)
        pem = read_file(words["certificate-chain"], limits.CONFIG_FILE_BYTES)
        return material.authority(
            pem,
            kind="signer" if signer else "timestamp",
            url=words["url"],
            valid=_period(words, flag),
            what=words["certificate-chain"],
        )

    def log(text: Spec, flag: str, *, checkpoints: bool) -> Log:
        words = _words(text, _LOG, flag)
        return material.log(
            read_file(words["public-key"], limits.KEY_FILE_BYTES),
            url=words["url"],
            valid=_period(words, flag),
            origin=words.get("origin") if checkpoints else None,
            what=words["public-key"],
        )

    made = TrustRoot(
        _by_age([*base.certificate_authorities, *(authority(text, "--fulcio", signer=True) for text in authorities)]),
        _by_age([*base.ct_logs, *(log(text, "--ctfe", checkpoints=False) for text in ct_logs)]),
        _by_age([*base.logs, *(log(text, "--rekor", checkpoints=True) for text in logs)]),
        _by_age([
            *base.timestamp_authorities,
            *(authority(text, "--tsa", signer=False) for text in timestamp_authorities),
        ]),
    )  # fmt: skip
    try:
        return roots.parse(roots.encode(made))  # whatever it refuses to read must not be written
    except TrustRootInvalidError as error:
        raise UsageError(f"that makes no trust root: {error.message}", hint=error.hint) from error


def without_origin(root: TrustRoot) -> list[Log]:
    """Logs with an Ed25519 key but without the name that it signs checkpoints under: Rekor v2 logs are not known by them."""
    import hashlib

    return [
        log
        for log in root.logs
        if log.key.algorithm == "ed25519" and log.log_id == hashlib.sha256(log.key.spki).digest()
    ]


def signing_config(
    base: SigningConfig,
    *,
    authorities: Sequence[str],
    issuers: Sequence[str],
    logs: Sequence[str],
    timestamp_authorities: Sequence[str],
    log_selection: str | None,
    timestamp_selection: str | None,
) -> SigningConfig:
    """`base` and what is described, in the order given. Raises `UsageError`."""
    for flag, services, selection in (
        ("rekor", logs, log_selection),
        ("tsa", timestamp_authorities, timestamp_selection),
    ):
        if services and not selection:
            raise UsageError(f"--{flag}-config must be given with --{flag}", hint="ANY, ALL or EXACT:N")
    made = SigningConfig(
        base.authorities + tuple(_service(text, "--fulcio") for text in authorities),
        base.issuers + tuple(_service(text, "--oidc-provider") for text in issuers),
        base.logs + tuple(_service(text, "--rekor") for text in logs),
        base.timestamp_authorities + tuple(_service(text, "--tsa") for text in timestamp_authorities),
        _selection(log_selection, "--rekor-config") if log_selection else base.log_selection,
        _selection(timestamp_selection, "--tsa-config") if timestamp_selection else base.timestamp_selection,
    )
    try:
        return configs.parse(configs.encode(made))
    except SigningConfigInvalidError as error:
        raise UsageError(f"that makes no signing configuration: {error.message}", hint=error.hint) from error


def _service(text: str, flag: str) -> Service:
    words = _words(text, _SERVICE, flag)
    version = words["api-version"]
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise UsageError(f"{flag}: api-version is not a number")
    return Service(words["url"], int(version), _period(words, flag), words["operator"])


def _selection(text: str, flag: str) -> Selection:
    name, _, count = text.partition(":")
    if name in {"ANY", "ALL"} and text == name:
        return Selection("ANY" if name == "ANY" else "ALL")
    if name == "EXACT" and count.isascii() and count.isdigit() and int(count[:10]) > 0:
        return Selection("EXACT", int(count[:10]))
    raise UsageError(f"{flag} is {text[:40]!a}, not ANY, ALL or EXACT:N")


def _words(text: Spec, names: tuple[tuple[str, ...], tuple[str, ...]], flag: str) -> Mapping[str, str]:
    if isinstance(text, Mapping):
        return text
    needed, optional = names
    words: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals:
            raise UsageError(f"{flag}: {pair[:60]!a} is not NAME=VALUE")
        if name not in (*needed, *optional):
            raise UsageError(f"{flag}: {name[:40]!a} is not known", hint=f"{', '.join((*needed, *optional))} are")
        if name in words:
            raise UsageError(f"{flag}: {name} is there twice")
        words[name] = value.strip()
    for name in needed:
        if not words.get(name):
            raise UsageError(f"{flag}: {name} is missing", hint=f"it needs {', '.join(needed)}")
    return {name: value for name, value in words.items() if value}


def _period(words: Mapping[str, str], flag: str) -> Period:
    bounds = {}
    for name in ("start-time", "end-time"):
        at = period.epoch(words[name]) if name in words else None
        if name in words and at is None:
            raise UsageError(f"{flag}: {name} is not a time such as 2026-01-31T12:00:00Z")
        bounds[name] = at
    return Period(bounds["start-time"], bounds["end-time"])


def _by_age(found: list[T]) -> tuple[T, ...]:
    return tuple(sorted(found, key=lambda one: float("-inf") if one.valid.start is None else one.valid.start))
