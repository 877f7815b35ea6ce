"""Asking a TUF repository what it says now (The Update Framework 1.0.31, section 5).

The workflow, its signatures, versions and expiry dates are python-tuf's `Updater`. It is given what was fetched, and each
time it wants something more it is stopped, the flow fetches that, bounded and without following redirects, and it starts
again: it reads nothing from the network itself. It works in a directory of its own; what it has verified to the end is
handed over, and nothing of what it has not (bypass U03).

Stricter than python-tuf: JSON that can be read in two ways is refused, and so is one key under two ids, which would
count twice towards a threshold (bypass U01).
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import (
    ContentError,
    LimitError,
    RedirectError,
    SealgateError,
    ServerFailureError,
    ThrottledError,
    TrustUpdateError,
    TrustUpdateExpiredError,
    UnauthorizedError,
)
from sealgate.transport import flow
from sealgate.transport.message import Request
from sealgate.truststore.cache import ROLES, TARGETS, Kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ABSENT = frozenset({403, 404, 410})
"""What stores answer for a file that is not there; some say 403 to whoever may not list them."""


class _Missing(NamedTuple):
    """A file that the workflow wants next."""

    url: str
    limit: int


async def update(mirror: str, *, root: bytes, known: Kept) -> Kept:
    """What the repository at `mirror` says now, starting from the trusted `root`.

    `known` is what it said at an earlier time: nothing older is taken, and nothing is fetched that is still the same.
    Raises `TrustUpdateError` for what does not verify, `UnavailableError`s where it cannot be asked.
    """
    fetched: dict[str, bytes | None] = {}
    folder = await flow.call(lambda: _begin(known))
    try:
        while len(fetched) <= limits.TUF_FILES:
            outcome = await flow.call(lambda: _go_on(mirror, folder, root, fetched))
            if isinstance(outcome, Kept):
                return outcome
            fetched[outcome.url] = await _fetch(mirror, outcome)
        raise TrustUpdateError(f"{mirror} wants more than {limits.TUF_FILES} files to be fetched")
    finally:
        _end(folder)


def update_from(mirror: str, *, root: bytes, fetched: Mapping[str, bytes], names: tuple[str, ...]) -> Kept:
    """What a repository says that is at hand as a whole, by address; nobody is asked. Raises `TrustUpdateError`."""
    for url, data in fetched.items():
        name = url.removeprefix(f"{mirror}/")
        if name.endswith(".json") and "/" not in name:
            check_metadata(name, data)
    known = Kept({}, {})
    absent: dict[str, bytes | None] = {}
    folder = _begin(known)
    try:
        while len(absent) <= limits.TUF_FILES:
            outcome = _go_on(mirror, folder, root, {**fetched, **absent}, names)
            if isinstance(outcome, Kept):
                return outcome
            absent[outcome.url] = None
        raise TrustUpdateError(f"{mirror} names more than {limits.TUF_FILES} files that it does not have")
    finally:
        _end(folder)


def _begin(known: Kept) -> str:
    import tempfile

    folder = tempfile.mkdtemp(prefix="sealgate-tuf-")
    os.mkdir(os.path.join(folder, "targets"))
    files = {f"{role}.json": data for role, data in known.metadata.items() if role != "root"}  # it starts from the root
    files |= {os.path.join("targets", name): data for name, data in known.targets.items()}
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    return folder


def _end(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _go_on(
    mirror: str, folder: str, root: bytes, fetched: Mapping[str, bytes | None], names: tuple[str, ...] = TARGETS
) -> Kept | _Missing:
    """The workflow from its start to what is missing, or to its end."""
    from tuf.api import exceptions
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.updater import Updater

    wanted: list[_Missing] = []
    check_metadata("root.json", root)
    targets = os.path.join(folder, "targets")
    try:
        updater = Updater(
            metadata_dir=folder,
            metadata_base_url=mirror,
            target_dir=targets,
            target_base_url=f"{mirror.rstrip('/')}/targets/",
            fetcher=_fetcher(fetched, wanted),
            config=UpdaterConfig(
                max_root_rotations=limits.TUF_ROOTS,
                max_delegations=limits.TUF_DELEGATIONS,
                root_max_length=limits.TUF_ROOT_BYTES,
                timestamp_max_length=limits.TUF_TIMESTAMP_BYTES,
                snapshot_max_length=limits.TUF_METADATA_BYTES,
                targets_max_length=limits.TUF_METADATA_BYTES,
            ),
            bootstrap=root,
        )
        found = {}
        for name in names:
            info = updater.get_targetinfo(name)
            if info is None:
                continue
            if info.length > limits.TRUST_ROOT_BYTES:
                raise TrustUpdateError(f"{name} of {mirror} is larger than {limits.TRUST_ROOT_BYTES} bytes")
            path = os.path.join(targets, name)
            found[name] = _contents(updater.find_cached_target(info, path) or updater.download_target(info, path))
    except SealgateError:
        raise
    except exceptions.DownloadHTTPError as error:
        raise TrustUpdateError(
            f"{mirror}: {error}", hint="is it a TUF repository? It has timestamp.json and N.root.json files"
        ) from error
    except exceptions.DownloadError as error:
        if wanted:
            return wanted[-1]
        raise TrustUpdateError(f"{mirror}: {str(error)[:300]}") from error
    except exceptions.ExpiredMetadataError as error:
        raise TrustUpdateExpiredError(
            f"what {mirror} serves has expired: {error}",
            hint="a newer version may be kept back; ask whoever runs it, or check this machine's clock",
        ) from error
    except Exception as error:  # metadata can be malformed in more ways than python-tuf has errors for (bypass U08)
        raise TrustUpdateError(
            f"what {mirror} serves is not believed: {str(error)[:300] or type(error).__name__}"
        ) from error
    return Kept({role: _contents(os.path.join(folder, f"{role}.json")) for role in ROLES}, found)


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _fetcher(fetched: Mapping[str, bytes | None], wanted: list[_Missing]) -> Any:
    """A fetcher that knows what was fetched, notes what is wanted, and asks nobody."""
    import io

    from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
    from tuf.ngclient.fetcher import FetcherInterface

    class Fetched(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            raise DownloadError(f"{url} is asked for without a bound")

        def download_bytes(self, url: str, max_length: int) -> bytes:
            if url not in fetched:
                wanted.append(_Missing(url, max_length))
                raise DownloadError(url)
            data = fetched[url]
            if data is None:
                raise DownloadHTTPError(f"there is no {url.rpartition('/')[2]}", 404)
            if len(data) > max_length:
                raise DownloadLengthMismatchError(f"{url} is longer than {max_length} bytes")
            return data

        @contextlib.contextmanager
        def download_file(self, url: str, max_length: int) -> Iterator[io.BytesIO]:
            yield io.BytesIO(self.download_bytes(url, max_length))

    return Fetched()


async def _fetch(mirror: str, missing: _Missing) -> bytes | None:
    """One file of the repository; None: it has none of that name."""
    base = mirror.rstrip("/") + "/"
    name = missing.url.removeprefix(base)
    if not missing.url.startswith(base) or re.fullmatch(r"[0-9A-Za-z%._-]+(?:/[0-9A-Za-z%._-]+)*", name) is None:
        raise TrustUpdateError(f"{mirror} names a file {ascii(name)[:100]}, which no repository has")
    if {".", ".."} & set(name.split("/")):
        raise TrustUpdateError(f"{mirror} names a file outside itself")
    if mirror.startswith("file://"):
        data = await flow.call(lambda: _local(base.removeprefix("file://") + name, missing.limit))
    else:
        data = await _remote(missing)
    if data is not None and name.endswith(".json") and not name.startswith("targets/"):
        check_metadata(name, data)
    return data


def _local(path: str, limit: int) -> bytes | None:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustUpdateError(f"{path[:300]} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise TrustUpdateError(f"{path[:300]} is larger than {limit} bytes")
    return data


async def _remote(missing: _Missing) -> bytes | None:
    from sealgate.transport.url import parse_url

    url = parse_url(missing.url)
    pause = 0.5
    attempt = 1
    while True:
        try:
            response = await flow.send(Request("GET", url, limit=missing.limit))
        except LimitError:
            raise TrustUpdateError(f"{url} is larger than {missing.limit} bytes") from None
        status = response.status
        if status == 200:
            return response.body
        if status in _ABSENT:
            return None
        if (status != 429 and status < 500) or attempt == limits.ATTEMPTS:
            break
        await flow.sleep(pause)
        pause *= 2
        attempt += 1
    if 300 <= status < 400:
        raise RedirectError(f"{url} redirects, which no mirror may", hint="give the address that it redirects to")
    if status == 401:
        raise UnauthorizedError(f"{url} wants credentials, and none are ever sent for trust material")
    if status == 429:
        raise ThrottledError(f"{url} answers 429 again and again", hint="try later")
    raise ServerFailureError(f"{url} answers {status}")


def check_metadata(name: str, data: bytes) -> None:
    """Raise `TrustUpdateError` for metadata that can be read in two ways, or that names one key twice for a role."""
    try:
        whole = strictjson.parse_object(data, limit=limits.TUF_METADATA_BYTES, what=name)
    except ContentError as error:
        raise TrustUpdateError(error.message) from error
    signed = whole.get("signed")
    if not isinstance(signed, dict):
        raise TrustUpdateError(f"{name} is not metadata of a TUF repository")
    delegations = signed.get("delegations") if signed.get("_type") == "targets" else signed
    if not isinstance(delegations, dict) or "roles" not in delegations:
        return
    keys, roles = delegations.get("keys"), delegations["roles"]
    listed = list(roles.values()) if isinstance(roles, dict) else roles
    if not isinstance(keys, dict) or not isinstance(listed, list):
        raise TrustUpdateError(f"{name} has no keys and roles that can be read")
    for role in listed:
        ids = role.get("keyids") if isinstance(role, dict) else None
        if not isinstance(ids, list) or not all(isinstance(key_id, str) for key_id in ids):
            raise TrustUpdateError(f"{name} has a role without keys")
        material = [_material(keys.get(key_id)) for key_id in ids]
        if len(set(material)) != len(material):
            raise TrustUpdateError(f"{name} names one key twice for a role: it would count twice")


def _material(key: object) -> str:
    """A key's own bytes, however they are spelled: the body of a PEM block, or hexadecimal digits."""
    value = key.get("keyval") if isinstance(key, dict) else None
    public = value.get("public") if isinstance(value, dict) else None
    if not isinstance(public, str):
        raise TrustUpdateError("a role of a TUF repository has a key that is not there")
    body = re.search(r"-----BEGIN [^-]*-----(.*?)-----END", public, re.DOTALL)
    return "".join((body[1] if body else public.lower()).split())
