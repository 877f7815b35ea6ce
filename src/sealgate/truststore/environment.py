"""Whom the environment says to believe: variables that name files, and what `sealgate initialize` left.

cosign's variables: `SIGSTORE_ROOT_FILE`, `SIGSTORE_CT_LOG_PUBLIC_KEY_FILE`, `SIGSTORE_REKOR_PUBLIC_KEY` and
`SIGSTORE_TSA_CERTIFICATE_FILE` each replace one part; `TUF_ROOT`, `TUF_MIRROR` and `TUF_ROOT_JSON` say which TUF repository
has the rest and where it is kept. Only the command line reads them (bypass U14).

A repository is asked when what is kept of it has expired, or nothing is; never otherwise, and never where all parts are
files. An error is never taken for "nothing is believed" (bypass U13).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import (
    KeyMaterialError,
    TrustRootMissingError,
    TrustUpdateError,
    TrustUpdateExpiredError,
    UnavailableError,
    UsageError,
)
from sealgate.trust import root as roots
from sealgate.trust.root import TrustRoot
from sealgate.truststore import cache
from sealgate.truststore.cache import Cache, Kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.truststore.signing_config import SigningConfig

PUBLIC_MIRROR = "https://tuf-repo-cdn.sigstore.dev"
"""The public Sigstore's repository, whose root comes with this package."""

_ROOT_FILE = "SIGSTORE_ROOT_FILE"
_CT_FILE = "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"
_LOG_FILE = "SIGSTORE_REKOR_PUBLIC_KEY"
_TSA_FILE = "SIGSTORE_TSA_CERTIFICATE_FILE"
_NEEDED = {_ROOT_FILE: "certificate_authorities", _CT_FILE: "ct_logs", _LOG_FILE: "logs"}
"""Together they need no repository; timestamp authorities are believed in where somebody names them."""
_HINT = "`sealgate initialize` fetches one, --trusted-root FILE names one"


async def default(
    environ: Mapping[str, str], *, without: frozenset[str] = frozenset(), now: float | None = None, public: bool = False
) -> TrustRoot:
    """What is believed in where no option says so. `now`: seconds since 1970; None: the clock of this machine.

    `public`: where nobody said, the public Sigstore is believed, as by cosign, and its repository asked.

    `without`: parts of the root (by their names in `TrustRoot`) that will not be looked at; nobody needs to name them.
    Raises `TrustRootMissingError` where nobody said, `KeyMaterialError`s and `TrustUpdateError`s for what cannot be
    believed, `UnavailableError`s where a repository must be asked and cannot be.
    """
    named = [name for name in (*_NEEDED, _TSA_FILE) if environ.get(name)]
    missing = [name for name, part in _NEEDED.items() if name not in named and part not in without]
    if named and not missing:
        return _with_files(TrustRoot((), (), (), ()), environ)
    kept = await initialized(environ, now=now, public=public and not named)
    if kept is None:
        if not named:
            raise TrustRootMissingError(
                "no trust root is known: nothing says which authorities and logs are believed in", hint=_HINT
            )
        raise TrustRootMissingError(
            f"{named[0]} is set, and neither {' and '.join(missing)} nor `sealgate initialize` says who else is believed in",
            hint="`sealgate trusted-root create` writes a trust root that has only some parts, for --trusted-root",
        )
    if cache.TRUSTED_ROOT not in kept.targets:
        raise TrustUpdateError(f"the TUF repository has no {cache.TRUSTED_ROOT}", hint="--trusted-root FILE names one")
    return _with_files(roots.parse(kept.targets[cache.TRUSTED_ROOT]), environ)


async def beside_own(environ: Mapping[str, str], *, logs: bool, ct_logs: bool, now: float | None = None) -> TrustRoot:
    """What is believed in beside certificate authorities that somebody named; no authorities are in it.

    `logs`, `ct_logs`: whether such ones are asked for. As in cosign, own authorities change nothing about logs: what the
    environment or `sealgate initialize` says of them counts, and where nobody said anything, that is an error: entries and SCTs
    are asked for until somebody says that they are not. Raises as `default`.
    """
    needed = [name for name, asked in ((_LOG_FILE, logs), (_CT_FILE, ct_logs)) if asked]
    named = [name for name in (_LOG_FILE, _CT_FILE) if environ.get(name)]
    root = TrustRoot((), (), (), ())
    if any(name not in named for name in needed):
        kept = await initialized(environ, now=now)
        if kept is not None:
            if cache.TRUSTED_ROOT not in kept.targets:
                raise TrustUpdateError(f"the TUF repository has no {cache.TRUSTED_ROOT}", hint=_HINT)
            root = roots.parse(kept.targets[cache.TRUSTED_ROOT])
        else:
            missing = [name for name in needed if name not in named]
            flags = {_LOG_FILE: "--insecure-ignore-tlog", _CT_FILE: "--insecure-ignore-sct"}
            kinds = {_LOG_FILE: "logs", _CT_FILE: "CT logs"}
            raise TrustRootMissingError(
                f"own authorities are named, and nothing says which {' and '.join(kinds[name] for name in missing)} are believed "
                f"({', '.join(missing)}, `sealgate initialize`)",
                hint=f"--trusted-root FILE says it; {' and '.join(flags[name] for name in missing)}: the authority's "
                "certificates, or what is signed by them, are logged nowhere",
            )
    return _with_files(root, environ)._replace(certificate_authorities=())


async def signing_config(
    environ: Mapping[str, str], *, now: float | None = None, public: bool = False
) -> SigningConfig:
    """Where to sign where no option says so: what the TUF repository says; `public` as of `default`. Raises as `default`."""
    from sealgate.truststore import signing_config as configs

    kept = await initialized(environ, now=now, public=public)
    if kept is None:
        raise TrustRootMissingError(
            "no signing configuration is known: nothing says where to sign",
            hint="`sealgate initialize` fetches one, --signing-config FILE names one",
        )
    if cache.SIGNING_CONFIG not in kept.targets:
        raise TrustUpdateError(
            f"the TUF repository has no {cache.SIGNING_CONFIG}", hint="--signing-config FILE names one"
        )
    return configs.parse(kept.targets[cache.SIGNING_CONFIG])


async def initialized(environ: Mapping[str, str], *, now: float | None = None, public: bool = False) -> Kept | None:
    """What the TUF repository of the environment says, asked again if that has expired; None: there is no repository.

    `public`: where none was chosen, the public Sigstore's.
    """
    where = folder(environ)
    if where is None:
        return None
    store = Cache(where)
    chosen = environ.get("TUF_MIRROR")
    mirror = check_mirror(chosen) if chosen else store.mirror()
    given = environ.get("TUF_ROOT_JSON")
    if mirror is None:
        if given:
            raise TrustRootMissingError("TUF_ROOT_JSON is set, and nothing says of which repository it is", hint=_HINT)
        if not public:
            return None
        mirror = PUBLIC_MIRROR
    at = _now() if now is None else now
    kept = store.read(mirror)
    root = read_file(given, limits.TUF_ROOT_BYTES) if given else None
    if cache.is_whole(kept) and (root is None or store.began_with(mirror, root)):
        try:
            cache.check_fresh(kept.metadata, now=at)
        except TrustUpdateExpiredError as expired:
            try:
                return await refresh(store, mirror, root or kept.metadata["root"])
            except UnavailableError as error:
                raise type(error)(
                    f"of what is kept of {mirror}, {expired.message}, and it cannot be asked: {error.message}",
                    hint=error.hint or "--trusted-root FILE needs no repository",
                ) from error
        return kept
    root = root or store.root(mirror) or (public_root() if mirror == PUBLIC_MIRROR else None)
    if root is None:
        raise TrustRootMissingError(
            f"TUF_MIRROR is {mirror}, and no root of it is trusted",
            hint=f"`sealgate initialize --mirror {mirror} --root FILE`, or TUF_ROOT_JSON",
        )
    return await refresh(store, mirror, root)


async def refresh(store: Cache, mirror: str, root: bytes) -> Kept:
    """Ask `mirror`, starting from the trusted `root`, and keep what it says."""
    from sealgate.transport import flow
    from sealgate.truststore import repository

    known = store.read(mirror)
    kept = await repository.update(mirror, root=root, known=known)

    def write() -> Kept:
        with store.lock():
            meanwhile = store.read(mirror)
            if cache.is_whole(meanwhile) and _is_newer(meanwhile, kept) and store.began_with(mirror, root):
                return meanwhile  # another program was faster
            store.write(mirror, kept, began_with=root)
        return kept

    return await flow.call(write)


def _is_newer(one: Kept, other: Kept) -> bool:
    return all(
        cache.version(role, one.metadata[role]) >= cache.version(role, other.metadata[role]) for role in cache.ROLES
    )


def folder(environ: Mapping[str, str]) -> str | None:
    """Where repositories are kept; None: there is no home directory."""
    if environ.get("TUF_ROOT"):
        return environ["TUF_ROOT"]
    home = environ.get("HOME")
    return os.path.join(home, ".sigstore", "root") if home else None


def check_mirror(text: str) -> str:
    """The address of a TUF repository: http(s), or file:// and an absolute path. Raises `UsageError`."""
    from sealgate.errors import ProtocolError
    from sealgate.transport.url import parse_url

    if text.startswith("file:///") and text.isprintable() and not {".", ".."} & set(text.split("/")):
        return text
    try:
        parse_url(text)
    except ProtocolError as error:
        raise UsageError(f"the mirror's address is refused: {error.message}") from error
    if "?" in text or "#" in text:
        raise UsageError("the mirror's address has a query, and file names are put behind it")
    return text


def public_root() -> bytes:
    """The root of the public Sigstore's repository that this version came with (version 15)."""
    with open(os.path.join(os.path.dirname(__file__), "public_root.json"), "rb") as file:
        return file.read()


def read_file(path: str, limit: int) -> bytes:
    """A file that somebody named. Raises `KeyMaterialError`."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise KeyMaterialError(f"{path[:300]} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > limit:
        raise KeyMaterialError(f"{path[:300]} is larger than {limit} bytes, which no trust material is")
    return data


def _now() -> float:
    import time

    return time.time()


def _with_files(root: TrustRoot, environ: Mapping[str, str]) -> TrustRoot:
    """`root` with the parts that variables name in place of its own."""
    parts = {name: read_file(environ[name], limits.CONFIG_FILE_BYTES) for name in _VARIABLES if environ.get(name)}
    if not parts:
        return root
    from sealgate.truststore import material

    if _ROOT_FILE in parts:
        root = root._replace(certificate_authorities=material.pool(parts[_ROOT_FILE], what=_ROOT_FILE))
    if _CT_FILE in parts:
        root = root._replace(ct_logs=(material.key_alone(parts[_CT_FILE], what=_CT_FILE),))
    if _LOG_FILE in parts:
        root = root._replace(logs=(material.key_alone(parts[_LOG_FILE], what=_LOG_FILE),))
    if _TSA_FILE in parts:
        root = root._replace(timestamp_authorities=(material.chain(parts[_TSA_FILE], what=_TSA_FILE),))
    return root


_VARIABLES = (*_NEEDED, _TSA_FILE)
