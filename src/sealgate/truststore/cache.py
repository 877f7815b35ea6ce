"""What `sealgate initialize` leaves on disk, and later commands read without asking anybody.

The layout is that of cosign 3 below `~/.sigstore/root` (`TUF_ROOT`), so that each reads what the other left:

    remote.json                       {"mirror": the address of the TUF repository}
    HOST-PORT-PATH/root.json          and timestamp.json, snapshot.json, targets.json: its metadata, verified
    HOST-PORT-PATH/targets/NAME       trusted_root.json and signing_config.v0.2.json, as targets.json has them

What is written was verified before (bypass U03), file by file under a temporary name and renamed. Reading checks that
nothing has expired and that each file is the one that targets.json names; signatures are not checked again: whoever can
write here can replace the root as well.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import (
    ContentError,
    DeadlineError,
    KeyMaterialError,
    TrustUpdateError,
    TrustUpdateExpiredError,
    UsageError,
)
from sealgate.trust import period

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROLES = ("root", "timestamp", "snapshot", "targets")
TRUSTED_ROOT = "trusted_root.json"
SIGNING_CONFIG = "signing_config.v0.2.json"
TARGETS = (TRUSTED_ROOT, SIGNING_CONFIG)
_REMOTE = "remote.json"
_BEGIN = "sealgate.json"
"""Of which mirror it is and which root it began with; cosign has no such file, and does not mind it."""


class Kept(NamedTuple):
    """What one repository said when it was asked last."""

    metadata: dict[str, bytes]
    """By role; whole or empty."""
    targets: dict[str, bytes]
    """By name; those that targets.json names and that are whole."""


class Cache:
    """The cache in one directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def mirror(self) -> str | None:
        """The repository that was chosen by `initialize`; None: none was."""
        data = _read(os.path.join(self.path, _REMOTE), limits.CONFIG_FILE_BYTES)
        if data is None:
            return None
        try:
            found = strictjson.parse_object(data, limit=len(data), what=_REMOTE).get("mirror")
        except ContentError as error:
            raise TrustUpdateError(f"{self.path}/{_REMOTE}: {error.message}", hint=_AGAIN) from error
        if not isinstance(found, str) or not found:
            raise TrustUpdateError(f"{self.path}/{_REMOTE} names no mirror", hint=_AGAIN)
        return found

    def folder(self, mirror: str) -> str:
        """Where what `mirror` says is kept; cosign's name for it."""
        name = re.sub("^https?://", "", mirror).replace("/", "-").replace(":", "-").lower()
        if re.fullmatch(r"[0-9a-z\[][0-9a-z._\[\]~%-]{0,199}", name) is None:
            raise UsageError(f"the mirror's address {ascii(mirror)[:200]} makes no name of a directory")
        return os.path.join(self.path, name)

    def read(self, mirror: str) -> Kept:
        """What was kept of `mirror`; nothing of it unless all metadata is there. What is damaged counts as not there."""
        folder = self.folder(mirror)
        if self._is_of_another(mirror):
            return Kept({}, {})
        metadata = {}
        for role in ROLES:
            data = _read(os.path.join(folder, f"{role}.json"), limits.TUF_METADATA_BYTES)
            if data is None:
                return Kept({}, {})
            metadata[role] = data
        targets = {}
        for name in TARGETS:
            data = _read(os.path.join(folder, "targets", name), limits.TRUST_ROOT_BYTES)
            if data is not None and _is_target(metadata["targets"], name, data):
                targets[name] = data
        return Kept(metadata, targets)

    def root(self, mirror: str) -> bytes | None:
        """The root that is trusted for `mirror`."""
        if self._is_of_another(mirror):
            return None
        return _read(os.path.join(self.folder(mirror), "root.json"), limits.TUF_ROOT_BYTES)

    def began_with(self, mirror: str, root: bytes) -> bool:
        """Whether what is kept of `mirror` is `root`, or was reached from it."""
        return self.root(mirror) == root or self._begin(mirror).get("root") == _sha256(root)

    def _begin(self, mirror: str) -> dict[str, Any]:
        data = _read(os.path.join(self.folder(mirror), _BEGIN), limits.SMALL_BODY_BYTES)
        if data is None:
            return {}
        try:
            return strictjson.parse_object(data, limit=len(data), what=_BEGIN)
        except ContentError:
            return {"mirror": None}  # damaged: as if it were of another mirror

    def _is_of_another(self, mirror: str) -> bool:
        """Several addresses make one name of a directory: https://a/b and https://a-b."""
        return bool(self._begin(mirror).get("mirror", mirror) != mirror)

    def write(self, mirror: str, kept: Kept, *, began_with: bytes) -> None:
        """Replace what is kept of `mirror`, reached from the root `began_with`."""
        import json

        folder = self.folder(mirror)
        begin = {"mirror": mirror, "root": _sha256(began_with)}
        _write(folder, _BEGIN, json.dumps(begin, separators=(",", ":")).encode("utf-8"))
        for role in ROLES:
            _write(folder, f"{role}.json", kept.metadata[role])
        for name in TARGETS:
            if name in kept.targets:
                _write(os.path.join(folder, "targets"), name, kept.targets[name])
            else:
                with suppress(OSError):
                    os.unlink(os.path.join(folder, "targets", name))

    def choose(self, mirror: str) -> None:
        """From now on `mirror` is asked."""
        import json

        _write(self.path, _REMOTE, json.dumps({"mirror": mirror}, separators=(",", ":")).encode("utf-8"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out. Raises `DeadlineError`."""
        import fcntl
        import time

        with _failures(self.path):
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            ends = time.monotonic() + limits.LOCK_SECONDS
            while True:
                try:
                    with _failures(self.path):
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise DeadlineError(
                            f"{self.path} is locked by another program for {limits.LOCK_SECONDS:g} s"
                        ) from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(fd)  # and with it goes the lock


_AGAIN = "`sealgate initialize` writes it anew"


def is_whole(kept: Kept) -> bool:
    """Whether everything is there that is to be there. A trust root that a delegated role names is not kept as such."""
    if not kept.metadata or TRUSTED_ROOT not in kept.targets:
        return False
    listed = _signed("targets", kept.metadata["targets"]).get("targets")
    return SIGNING_CONFIG in kept.targets or not isinstance(listed, dict) or SIGNING_CONFIG not in listed


def expires(metadata: Mapping[str, bytes]) -> float:
    """When the first part of it expires, in seconds since 1970. Raises `TrustUpdateError` for what does not say."""
    return min(_expires(role, data) for role, data in metadata.items())


def check_fresh(metadata: Mapping[str, bytes], *, now: float) -> None:
    """Raise `TrustUpdateExpiredError` for metadata that has expired: a newer one may be kept from us (bypass U10)."""
    for role, data in metadata.items():
        at = _expires(role, data)
        if at <= now:
            raise TrustUpdateExpiredError(f"{role}.json has expired at {period.rfc3339(at)}")


def version(role: str, data: bytes) -> int:
    """The version of a piece of metadata."""
    found = _signed(role, data).get("version")
    if not isinstance(found, int):
        raise TrustUpdateError(f"{role}.json has no version")
    return found


def _expires(role: str, data: bytes) -> float:
    text = _signed(role, data).get("expires")
    at = period.epoch(text) if isinstance(text, str) else None
    if at is None:
        raise TrustUpdateError(f"{role}.json does not say when it expires")
    return at


def _signed(role: str, data: bytes) -> dict[str, Any]:
    try:
        whole = strictjson.parse_object(data, limit=limits.TUF_METADATA_BYTES, what=f"{role}.json")
    except ContentError as error:
        raise TrustUpdateError(error.message) from error
    signed = whole.get("signed")
    if not isinstance(signed, dict):
        raise TrustUpdateError(f"{role}.json is not metadata of a TUF repository")
    return signed


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _is_target(targets: bytes, name: str, data: bytes) -> bool:
    """Whether `data` is what targets.json says of `name`."""
    import hashlib

    entry: Any = _signed("targets", targets).get("targets")
    entry = entry.get(name) if isinstance(entry, dict) else None
    hashes = entry.get("hashes") if isinstance(entry, dict) else None
    if not isinstance(hashes, dict) or entry.get("length") != len(data):
        return False
    known = {algorithm: value for algorithm, value in hashes.items() if algorithm in {"sha256", "sha512"}}
    return bool(known) and all(hashlib.new(algorithm, data).hexdigest() == value for algorithm, value in known.items())


def _read(path: str, limit: int) -> bytes | None:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KeyMaterialError(f"{path[:300]} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise TrustUpdateError(f"{path[:300]} is larger than {limit} bytes", hint=_AGAIN)
    return data


def _write(folder: str, name: str, data: bytes) -> None:
    with _failures(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        temporary = os.path.join(folder, f".{name}-{os.urandom(8).hex()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, os.path.join(folder, name))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


@contextmanager
def _failures(path: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise KeyMaterialError(f"{path[:300]} cannot be written: {error.strerror}") from error
