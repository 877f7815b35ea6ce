"""Signing without a key of one's own: a key for this once, and a certificate for it that names who signs.

1. Which services take part: those of a signing configuration by its rules of selection, or those given by their addresses;
2. an identity token (`tokens.sources`);
3. a key pair that lives as long as the process, and proof of its possession;
4. a certificate of the authority, for this key and this identity (`fulcio`);
5. signing, with timestamps and log entries, and judging what was made: `author`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import NoServiceError, UsageError
from sealgate.signing import fulcio, rekor, timestamping
from sealgate.signing.author import Author, Witnesses
from sealgate.signing.service import Service, address
from sealgate.transport import flow
from sealgate.transport.message import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.keys.signer import Signer
    from sealgate.signing.tokens.token import IdentityToken
    from sealgate.trust.root import TrustRoot
    from sealgate.truststore.signing_config import SigningConfig

PUBLIC_AUTHORITY = "https://fulcio.sigstore.dev"
PUBLIC_LOG = "https://rekor.sigstore.dev"
"""cosign's, which it asks when it is told to use no signing configuration and no other address."""

ALGORITHMS = {
    "ecdsa-sha2-256-nistp256": ("ecdsa-p256", "sha256"),
    "ecdsa-sha2-384-nistp384": ("ecdsa-p384", "sha384"),
    "ecdsa-sha2-512-nistp521": ("ecdsa-p521", "sha512"),
    "rsa-sign-pkcs1-2048-sha256": ("rsa-2048", "sha256"),
    "rsa-sign-pkcs1-3072-sha256": ("rsa-3072", "sha256"),
    "rsa-sign-pkcs1-4096-sha256": ("rsa-4096", "sha256"),
}
"""cosign's names, and what they mean: kind of key, hash."""
ALGORITHM = "ecdsa-sha2-256-nistp256"
"""What every verifier takes."""


class Services(NamedTuple):
    """Who takes part in signing."""

    authority: Service | None = None
    issuer: str | None = None
    """Of identity tokens; None: whoever signs in says where."""
    witnesses: Witnesses = Witnesses()


class Formats(NamedTuple):
    """In which formats something is to be signed: they need different logs."""

    bundle: bool
    legacy: bool


def from_config(
    config: SigningConfig, formats: Formats, *, certified: bool, log: bool, now: float, tls: Tls
) -> Services:
    """(1) The services of a signing configuration; `certified`: a certificate is needed; `log`: False takes the logs away.

    `tls`: how timestamp authorities are spoken to. Raises `NoServiceError`.
    """
    from sealgate.truststore import signing_config as configs

    authority = issuer = None
    if certified:
        found = configs.select_one(config.authorities, versions=(1,), now=now, what="certificate authority")
        authority = fulcio.service(address(found.url, what="the certificate authority"), Tls())
        if config.issuers:
            issuer = configs.select_one(config.issuers, versions=(1,), now=now, what="issuer").url
    logs: tuple[rekor.Log, ...] = ()
    legacy_log = None
    if log and formats.bundle:
        chosen = configs.select(config.logs, config.log_selection, versions=(1, 2), now=now, what="log")
        logs = tuple(_log(each.url, each.api_version) for each in chosen)
    if log and formats.legacy and config.logs:
        try:
            legacy_log = _log(configs.select_one(config.logs, versions=(1,), now=now, what="log").url, 1)
        except NoServiceError as error:
            raise NoServiceError(
                f"{error.message}; the legacy format needs one of version 1", hint="the bundle format takes version 2"
            ) from error
    stamps = configs.select(
        config.timestamp_authorities, config.timestamp_selection, versions=(1,), now=now, what="timestamp authority"
    )
    authorities = tuple(_timestamp_authority(each.url, tls) for each in stamps)
    return Services(authority, issuer, Witnesses(logs, legacy_log, authorities))


def from_addresses(
    *, authority: str | None, log: str | None, timestamp_authority: str | None, issuer: str | None, formats: Formats,
    tls: Tls,
) -> Services:  # fmt: skip
    """(1) The services at these addresses; the log is of version 1, as cosign's `--rekor-url` is."""
    asked = _log(log, 1) if log is not None else None
    stamps = (_timestamp_authority(timestamp_authority, tls),) if timestamp_authority is not None else ()
    return Services(
        fulcio.service(address(authority, what="--fulcio-url"), Tls()) if authority is not None else None,
        issuer,
        Witnesses((asked,) if asked is not None and formats.bundle else (), asked if formats.legacy else None, stamps),
    )


def _log(url: str, version: int) -> rekor.Log:
    return rekor.log(address(url, what="the log"), version, Tls())


def _timestamp_authority(url: str, tls: Tls) -> Service:
    return timestamping.service(address(url, what="the timestamp authority"), tls)


async def author(
    authority: Service,
    token: IdentityToken,
    *,
    signer: Signer | None,
    algorithm: str,
    witnesses: Witnesses,
    root: TrustRoot | None,
    sct: bool,
    now: float,
    told: Callable[[str], None] = lambda _: None,
) -> Author:
    """(3), (4) Somebody with a certificate; `signer` has a key of its own (`--issue-certificate`), None: one is made.

    `told` hears what goes on, for people. Raises what `fulcio.certify` raises.
    """
    if signer is None:
        told("Generating ephemeral keys...")
        signer = await ephemeral(algorithm)
    told("Retrieving signed certificate...")
    certificate = await fulcio.certify(authority, token, signer, now=now)
    told(f"Signing as {certificate.leaf.identity.describe()}")
    return Author(signer, certificate, witnesses, root, sct, now)


async def ephemeral(algorithm: str) -> Signer:
    """A key pair in memory, by one of `ALGORITHMS`. Raises `UsageError`."""
    from sealgate.keys.private import generate
    from sealgate.keys.signer import PrivateKeySigner

    if algorithm not in ALGORITHMS:
        raise UsageError(f"no keys by the name {algorithm[:60]!r}", hint=f"one of {', '.join(ALGORITHMS)}")
    kind, hash_name = ALGORITHMS[algorithm]
    key = await flow.call(lambda: generate(kind)) if kind.startswith("rsa") else generate(kind)
    return PrivateKeySigner(key, hash_name=hash_name)  # type: ignore[arg-type]
