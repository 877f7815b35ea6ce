"""Keyless verification, for the library: who must have signed as identities, and what is believed in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NotRequired, TypedDict

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.trust.identity import IdentityPattern
from sealgate.trust.root import TrustRoot

if TYPE_CHECKING:
    from sealgate.verification.requirement import IdentifiedAs
    from sealgate.verification.signer import Trust


class TrustArguments(TypedDict):
    """What the verifying functions ask of certificates, log entries and timestamps."""

    identities: NotRequired[Iterable[IdentityPattern]]
    """Who may have signed with a certificate, made by `identity`. They count beside `keys`."""
    trust_root: NotRequired[TrustRoot | None]
    """Who is believed in; needed with identities. With keys alone it adds what it asks for: a log entry where it has logs."""
    use_signed_timestamps: NotRequired[bool]
    """Ask for a timestamp by an authority of the trust root, with or without a log entry."""
    unsafe_ignore_log: NotRequired[bool]
    """Ask for no log entry."""
    unsafe_ignore_sct: NotRequired[bool]
    """Ask for no SCT in certificates."""


def identity(
    subject: str | None = None,
    *,
    subject_regexp: str | None = None,
    issuer: str | None = None,
    issuer_regexp: str | None = None,
    extensions: Mapping[str, str] | None = None,
    unsafe_any_issuer: bool = False,
) -> IdentityPattern:
    """Who must have signed: the name in a certificate, and who vouched for it; each exactly, or by a regular expression (RE2).

    A regular expression must match the whole text. `extensions` are compared exactly, by their names in Fulcio:
    `sourceRepositoryURI`, `githubWorkflowTrigger`, … Without an issuer anybody may run one that calls anybody so:
    `unsafe_any_issuer` is for authorities of your own, whose certificates name none. Raises `UsageError`.
    """
    if (issuer is None and issuer_regexp is None) != unsafe_any_issuer:
        raise UsageError(
            "an identity needs who vouches for it: issuer or issuer_regexp",
            hint="unsafe_any_issuer=True, and neither of them, for an authority of your own that names none",
        )
    return IdentityPattern.parse(
        subject=subject,
        subject_regexp=subject_regexp,
        issuer=issuer,
        issuer_regexp=issuer_regexp,
        extensions=tuple((extensions or {}).items()),
        anchored=True,
    )


def identified(identities: Iterable[IdentityPattern]) -> tuple[IdentifiedAs, ...]:
    """Identities as parts of a requirement. Raises `TypeError` for anything else."""
    from sealgate.verification.requirement import IdentifiedAs

    if isinstance(identities, (IdentityPattern, str, bytes)):
        raise TypeError("identities is a list; sealgate.identity makes what belongs in it")
    found = tuple(identities)
    for each in found:
        if not isinstance(each, IdentityPattern):
            raise TypeError(f"an identity is made by sealgate.identity, not a {type(each).__name__}")
    return tuple(IdentifiedAs(each, each.describe()) for each in found)


def trust(
    identities: tuple[IdentifiedAs, ...],
    *,
    trust_root: TrustRoot | None,
    use_signed_timestamps: bool,
    unsafe_ignore_log: bool,
    unsafe_ignore_sct: bool,
) -> Trust | None:
    """`TrustArguments` as the engine takes them; None: keys alone, and nothing beside them.

    Raises `UsageError` for what cannot be meant, `TypeError` for wrong types.
    """
    if trust_root is None:
        if identities:
            raise UsageError(
                "identities need a trust_root: nothing says whose certificates count", hint="load_trust_root reads one"
            )
        if use_signed_timestamps:
            raise UsageError("use_signed_timestamps needs a trust_root that has a timestamp authority")
        return None
    if not isinstance(trust_root, TrustRoot):
        raise TypeError("trust_root is a TrustRoot; load_trust_root reads one")
    if use_signed_timestamps and not trust_root.timestamp_authorities:
        raise UsageError("use_signed_timestamps needs a trust_root that has a timestamp authority")
    from sealgate.trust import proof
    from sealgate.verification.signer import Trust

    demand = proof.demand(
        trust_root,
        now=time.time(),
        insecure_ignore_log=unsafe_ignore_log,
        insecure_ignore_sct=unsafe_ignore_sct,
        use_signed_timestamps=use_signed_timestamps,
    )
    return Trust(demand, identities, None)


def parse_trust_root(raw: bytes) -> TrustRoot:
    """The trust root in a `trusted_root.json`, or in a client's configuration. Raises `TrustRootInvalidError`."""
    from sealgate.trust import root

    if not isinstance(raw, bytes):
        raise TypeError("a trust root is read from bytes; load_trust_root takes a path")
    return root.parse(raw)


async def loading(path: str | os.PathLike[str] | None, environ: Mapping[str, str] | None) -> TrustRoot:
    """As `load_trust_root`, as a flow."""
    if (path is None) == (environ is None):
        raise UsageError("a trust root is a file, or what an environment says: one of them")
    if path is not None:
        return await _of_file(os.fspath(path))
    from sealgate import truststore

    return await truststore.default(environ or {})


async def _of_file(path: str) -> TrustRoot:
    from sealgate.transport import flow
    from sealgate.truststore import environment

    return parse_trust_root(await flow.call(lambda: environment.read_file(path, limits.TRUST_ROOT_BYTES)))


async def load_trust_root(
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    seconds: float = limits.TOTAL_SECONDS,
) -> TrustRoot:
    """The trust root in a file, or the one that the command line would find in `environ`: its variables name files, or
    `sealgate initialize` left it. The latter asks a TUF repository if what is kept of it has expired.

    Raises `KeyMaterialError`s (`TrustRootInvalidError`, `TrustRootMissingError` …) and `UnavailableError`s.
    """
    from sealgate.library.driving import Threads

    return await Threads(None).run_beside(loading(path, environ), seconds=seconds)
