"""Packages of any Debian suite, unpacked into a folder: nothing is installed, and no host name is written down.

The machine's own source line says where its mirror is and which keys sign it; another suite is put into that line, and
apt keeps everything it needs to know (`Dir::State::Lists`, `Dir::Cache`) in a folder of the project. apt checks the
signatures as always.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SOURCES = Path("/etc/apt")
_OS_RELEASE = Path("/etc/os-release")
_ATTEMPTS = 4
_COMMAND_SECONDS = 300


class DebianError(Exception):
    """Why a package cannot be had here, as a sentence."""


class Source(NamedTuple):
    """Where this machine gets Debian from."""

    uri: str
    signed_by: str | None

    def line(self, suite: str) -> str:
        """The one-line source of `suite` on this mirror."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {suite} main\n"


def own_source() -> Source:
    """The machine's own Debian mirror. Raises `DebianError` on another system, or when no source line is found."""
    if _os_release().get("ID") != "debian":
        raise DebianError("this is not Debian, and the packages are taken from Debian's own archive")
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise DebianError("apt-get and dpkg are not here")
    parts = _SOURCES / "sources.list.d"
    for path in sorted(parts.glob("*.sources")):
        for stanza in _stanzas(path.read_text(encoding="utf-8", errors="replace")):
            source = _from_stanza(stanza)
            if source is not None:
                return source
    for path in [_SOURCES / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                source = _from_line(line)
                if source is not None:
                    return source
    raise DebianError("no source line of the machine's own Debian suite was found in /etc/apt")


def codename() -> str:
    """The suite that this machine runs, such as `bookworm`."""
    return _os_release().get("VERSION_CODENAME", "stable")


class Archive:
    """apt with its own lists, in `folder`, for some suites."""

    def __init__(self, folder: Path, suites: tuple[str, ...]) -> None:
        self._folder = folder.resolve()
        self._suites = suites

    def update(self) -> None:
        """Fetch the lists. Raises `DebianError`, after some attempts."""
        source = own_source()
        for name in ("lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        sources = "".join(source.line(suite) for suite in self._suites)
        (self._folder / "sources.list").write_text(sources, encoding="utf-8")
        self._retry(["update", "-o", "APT::Update::Error-Mode=any"], self._folder)

    def unpack(self, package: str, suite: str, target: Path, *, more: tuple[str, ...] = ()) -> str:
        """Download `package` of `suite`, unpack it, and `more` packages beside it, as the folder `target`; its version."""
        versions = []
        with _emptied(target.with_name(target.name + ".part")) as part:
            for name in (package, *more):
                with _emptied(self._folder / "download" / f"{name}-{suite}") as downloads:
                    self._retry(["download", f"{name}/{suite}"], downloads)
                    found = sorted(downloads.glob("*.deb"))
                    if len(found) != 1:
                        raise DebianError(f"apt-get download {name}/{suite} left {len(found)} packages")
                    versions.append(_run(["dpkg-deb", "-f", str(found[0]), "Version"], self._folder).strip())
                    _run(["dpkg", "-x", str(found[0]), str(part)], self._folder)
            shutil.rmtree(target, ignore_errors=True)
            part.rename(target)
        return versions[0]

    def _retry(self, arguments: list[str], cwd: Path) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _run(["apt-get", *self._options(), *arguments], cwd)
            except DebianError:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(2**attempt)
            else:
                return

    def _options(self) -> list[str]:
        folder = self._folder
        options = {
            "Dir::State::Lists": f"{folder}/lists",
            "Dir::Etc::SourceList": f"{folder}/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::Cache": f"{folder}/cache",
            "Dir::Cache::Archives": f"{folder}/cache/archives",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "",  # the user _apt may not write into the project
            "Debug::NoLocking": "true",  # callers hold a lock of their own
        }
        given = ["-q", "-y"]
        for name, value in options.items():
            given += ["-o", f"{name}={value}"]
        return given


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process: two `make`s in one tree take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], cwd: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DebianError(f"{command[0]} took longer than {_COMMAND_SECONDS} seconds") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise DebianError(f"{command[0]} failed ({done.returncode}): {' / '.join(lines[-3:])[:500]}")
    return done.stdout


def _os_release() -> dict[str, str]:
    if not _OS_RELEASE.is_file():
        return {}
    pairs = (line.partition("=") for line in _OS_RELEASE.read_text(encoding="utf-8").splitlines())
    return {key: value.strip().strip('"') for key, _, value in pairs}


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a deb822 file; a value that goes on in the next line is joined by newlines."""
    stanza: dict[str, str] = {}
    last = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if stanza:
                yield stanza
            stanza = {}
        elif line.startswith("#"):
            continue
        elif line[0] in " \t":
            stanza[last] += "\n" + line.strip()
        else:
            last, _, value = line.partition(":")
            last = last.strip().lower()
            stanza[last] = value.strip()


def _from_stanza(stanza: dict[str, str]) -> Source | None:
    if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").lower() in {"no", "false"}:
        return None
    if codename() not in stanza.get("suites", "").split() or not stanza.get("uris"):
        return None
    signed_by = stanza.get("signed-by", "").strip()
    # A key written into the stanza itself cannot stand in a one-line source: then apt's trusted keys decide.
    return Source(stanza["uris"].split()[0], signed_by if signed_by.startswith("/") else None)


def _from_line(line: str) -> Source | None:
    words = line.split("#", maxsplit=1)[0].split()
    if not words or words[0] != "deb":
        return None
    signed_by = None
    rest = words[1:]
    if rest and rest[0].startswith("["):
        end = next((number for number, word in enumerate(rest) if word.endswith("]")), None)
        if end is None:
            return None
        for option in " ".join(rest[: end + 1]).strip("[] ").split():
            name, _, value = option.partition("=")
            if name == "signed-by" and value.startswith("/"):
                signed_by = value
        rest = rest[end + 1 :]
    if len(rest) < 3 or rest[1] != codename():
        return None
    return Source(rest[0], signed_by)
