"""`sealgate initialize`: choose a TUF repository and fetch what it says whom to believe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.errors import DigestMismatchError, ProtocolError, TrustRootMissingError, TrustUpdateError, UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.truststore.cache import Cache, Kept

HELP = (
    "Fetch a trust root and a signing configuration from a TUF repository, and keep them below ~/.sigstore/root (TUF_ROOT), "
    "where cosign 3 has them too. Other commands read them from there, and ask the repository again only when they expire."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options."""
    parser.add_argument(
        "--mirror", metavar="URL",
        help="the repository: http(s)://… or file:///… (the one chosen before, else the public Sigstore's)",
    )  # fmt: skip
    parser.add_argument(
        "--root",
        metavar="FILE|URL",
        help="its root.json, which everything else is verified by (of the public one: built in)",
    )
    parser.add_argument(
        "--root-checksum", metavar="HEX", help="SHA-256 of --root, or sha512:HEX; needed where --root is a URL"
    )
    add_flag(parser, "--staging", help="refused: name the repository and its root")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Fetch, verify, keep. Like cosign 3, it says nothing on stdout."""
    from sealgate.truststore import environment
    from sealgate.truststore.cache import Cache

    if arguments.staging:
        raise UsageError(
            "--staging: the root of the public Sigstore's staging repository is not built in",
            hint="--mirror URL --root FILE",
        )
    where = environment.folder(context.environ)
    if where is None:
        raise UsageError("there is no home directory to keep it in", hint="TUF_ROOT=DIR")
    store = Cache(where)
    chosen = arguments.mirror or context.environ.get("TUF_MIRROR") or store.mirror() or environment.PUBLIC_MIRROR
    mirror = environment.check_mirror(chosen)
    if arguments.root_checksum and not arguments.root:
        raise UsageError("--root-checksum goes with --root")
    root = _root(arguments, context, store, mirror)
    kept = context.run(environment.refresh(store, mirror, root))
    _check(kept, mirror)
    with store.lock():
        store.choose(mirror)
    _say(kept, mirror, where, context)
    return 0


def _root(arguments: argparse.Namespace, context: Context, store: Cache, mirror: str) -> bytes:
    """What everything is verified by: as given, else as known from before, else the public one's."""
    from sealgate.truststore import environment

    given = arguments.root or context.environ.get("TUF_ROOT_JSON")
    if given:
        data = (
            _fetched(given, arguments, context)
            if "://" in given
            else environment.read_file(given, limits.TUF_ROOT_BYTES)
        )
        if arguments.root_checksum:
            _check_sum(data, arguments.root_checksum, given)
        return data
    known = store.root(mirror) or (environment.public_root() if mirror == environment.PUBLIC_MIRROR else None)
    if known is None:
        raise TrustRootMissingError(
            f"no root of {mirror} is trusted: without one, anybody could serve anything",
            hint="--root FILE, got in a way that you trust",
        )
    return known


def _fetched(url: str, arguments: argparse.Namespace, context: Context) -> bytes:
    from sealgate.transport import flow
    from sealgate.transport.message import Request
    from sealgate.transport.url import parse_url

    if not arguments.root_checksum:
        raise UsageError(
            "--root is a URL, and nothing says what is there: everything else would be believed because of it",
            hint="--root-checksum HEX, or give a file",
        )
    try:
        where = parse_url(url)
    except ProtocolError as error:
        raise UsageError(f"--root: {error.message}", hint="a file, or https://…") from error
    response = context.run(flow.send(Request("GET", where, limit=limits.TUF_ROOT_BYTES)))
    if response.status != 200:
        raise TrustUpdateError(f"there is no root at {where} ({response.status})")
    return response.body


def _check_sum(data: bytes, text: str, source: str) -> None:
    import hashlib
    import hmac

    algorithm, colon, value = text.rpartition(":")
    if colon and algorithm not in {"sha256", "sha512"}:
        raise UsageError(f"--root-checksum: {algorithm[:20]!a} is not sha256 or sha512")
    found = hashlib.new(algorithm or "sha256", data).hexdigest()
    if not value.isascii() or not hmac.compare_digest(found, value.lower()):
        raise DigestMismatchError(f"incorrect checksum for {source}: expected {value[:200]} but got {found}")


def _check(kept: Kept, mirror: str) -> None:
    """What it says must be of use, before it is chosen."""
    from sealgate.trust import root
    from sealgate.truststore import cache, signing_config

    if cache.TRUSTED_ROOT not in kept.targets:
        raise TrustUpdateError(
            f"{mirror} has no {cache.TRUSTED_ROOT}",
            hint="repositories of keys alone, for cosign 2, are not read; `sealgate trusted-root create` makes one of them",
        )
    root.parse(kept.targets[cache.TRUSTED_ROOT])
    if cache.SIGNING_CONFIG in kept.targets:
        signing_config.parse(kept.targets[cache.SIGNING_CONFIG])


def _say(kept: Kept, mirror: str, where: str, context: Context) -> None:
    from sealgate.cli.text import printable
    from sealgate.trust import period, root
    from sealgate.truststore import cache

    found = root.parse(kept.targets[cache.TRUSTED_ROOT])
    context.err(f"Initialized from {printable(mirror)} (kept in {printable(where)})")
    context.err(
        f"  believed in: {len(found.certificate_authorities)} × certificate authority, {len(found.ct_logs)} × CT log, "
        f"{len(found.logs)} × transparency log, {len(found.timestamp_authorities)} × timestamp authority"
    )
    context.err(
        f"  root version {cache.version('root', kept.metadata['root'])}; asked again after "
        f"{period.rfc3339(cache.expires(kept.metadata))}"
    )
    if cache.SIGNING_CONFIG not in kept.targets:
        context.err(f"  it has no {cache.SIGNING_CONFIG}: where to sign must be said by --signing-config")
