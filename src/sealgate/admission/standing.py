"""The policies in force, and their replacement when the files change.

Files are looked at about once a second (size, times, inode of each); a change is read whole, and takes the place of the
older policies at once, or not at all: what cannot be read never unloads what could. Requests that are being judged keep the
policies that they began with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import SealgateError
from sealgate.policy.index import Index

if TYPE_CHECKING:
    from sealgate.policy.model import Policies

LOOK_SECONDS = 1.0


class Loaded(NamedTuple):
    """What the files came to."""

    policies: Policies
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels of namespaces whose objects stand beside the policies."""


class Force(NamedTuple):
    """What is in force."""

    catalogue: Index
    namespaces: Mapping[str, Mapping[str, str]]
    generation: int
    """Counts the changes."""


class Standing:
    """Holds the policies in force. `load` reads them anew; it may block and is called beside the event loop."""

    def __init__(self, paths: Sequence[str], load: Callable[[], Loaded]) -> None:
        """Reads them; raises what reading raises: nothing is in force yet that could stay."""
        self._paths = tuple(paths)
        self._load = load
        self._print = fingerprint(self._paths)
        self.broken: SealgateError | None = None
        """Why the newest files are not in force."""
        self.force = self._read(1)

    def _read(self, generation: int) -> Force:
        loaded = self._load()
        return Force(Index(loaded.policies), loaded.namespaces, generation)

    def renew(self) -> bool:
        """Look at the files, and read them if they changed. Whether anything is different now, for better or worse."""
        found = fingerprint(self._paths)
        if found == self._print:
            return False
        try:
            force = self._read(self.force.generation + 1)
        except SealgateError as error:
            self.broken = error
        except Exception as error:  # noqa: BLE001 - a fault in a reader must not unload what is in force either
            self.broken = SealgateError(f"the policies cannot be read: {type(error).__name__}")
        else:
            self.force = force
            self.broken = None
        self._print = found
        return True


def fingerprint(paths: Sequence[str]) -> str:
    """What tells one state of files and directories from another."""
    seen = hashlib.sha256()
    for path in paths:
        for name in _files(path):
            try:
                found = os.stat(name)
            except OSError:
                seen.update(f"{name}\0gone\0".encode("utf-8", "surrogateescape"))
                continue
            state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            seen.update(f"{name}\0{state}\0".encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    found = [path]
    for folder, below, names in os.walk(path):
        below[:] = sorted(each for each in below if not each.startswith("."))
        found += [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found
