"""Programs as callables: the peers that `make peers` fetched, and the installed `sealgate` command.

Each call gets a home, a docker configuration and a working directory of its own, all empty, unless it brings them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".peers"
PASSWORD = "pw"
NAMES = (
    "cosign3",
    "cosign2",
    "crane",
    "oras",
    "docker-registry",
    "kubectl",
    "etcd",
    "openssl",
    "sigstore-python",
    "node",
    "sigstore-js",
    "sigstore-js4",
    "sigstore-js-cli",
    "oidc-provider",
)
JAVASCRIPT = Path(__file__).resolve().parent / "javascript"
_LOOPBACK_ONLY = {
    "http_proxy": "http://127.0.0.1:9",  # nobody is there
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "127.0.0.1,localhost",
}


class Peer(NamedTuple):
    """A peer that is here: where, and which version."""

    path: Path
    """The program, or the `package.json` of a module."""
    version: str
    libraries: Path | None = None
    """The shared libraries that came with it."""


def installed() -> dict[str, Peer | str]:
    """Each peer, or the reason why it is not here."""
    try:
        record = json.loads((FOLDER / "peers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    found: dict[str, Peer | str] = {}
    for name in NAMES:
        entry = record.get(name, {})
        path = FOLDER / entry.get("path", "missing")
        if path.is_file():
            libraries = FOLDER / entry["libraries"] if "libraries" in entry else None
            found[name] = Peer(path, entry["version"], libraries)
        else:
            found[name] = entry.get("missing", "`make peers` has not been run")
    return found


def require(name: str) -> Peer:
    """The peer, or skip the test with the reason; under `CI=true` fail it."""
    peer = installed()[name]
    if isinstance(peer, Peer):
        return peer
    if os.environ.get("CI") == "true":
        pytest.fail(f"the peer {name} is missing: {peer}", pytrace=False)
    pytest.skip(f"the peer {name} is missing: {peer}")


class Program:
    """`program("sign", "--key", …)` runs it and gives what it said, as text."""

    def __init__(
        self,
        path: Path,
        scratch: Path,
        *,
        version: str = "",
        before: tuple[str | Path, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`before`: arguments of every call, such as the script of an interpreter; `env`: of every call too."""
        self.path = path
        self.version = version
        self._before = before
        self._env = dict(env or {})
        self._scratch = scratch
        self._calls = 0

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """A clean environment with empty folders of its own, and `env` on top (None removes a name)."""
        self._calls += 1
        home = self._scratch / f"{self._calls}"
        home.mkdir(parents=True)
        (home / "runtime").mkdir(mode=0o700)
        clean: dict[str, str | None] = {
            "PATH": os.defpath,
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / ".docker"),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
            "TMPDIR": str(self._scratch),
            "LC_ALL": "C.UTF-8",
            "COSIGN_PASSWORD": PASSWORD,
        }
        return {name: value for name, value in (clean | self._env | dict(env or {})).items() if value is not None}

    def __call__(
        self,
        *args: str | Path,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        input: str | bytes | None = None,
        check: bool = False,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run it. `check` fails the test, showing what it said, unless it ends in 0. No input is the end of input."""
        environment = self.environment(env)
        data = input.encode("utf-8") if isinstance(input, str) else input
        done = subprocess.run(
            [str(self.path), *map(str, self._before), *map(str, args)],
            env=environment,
            cwd=cwd or environment.get("HOME") or self._scratch,
            input=data if data is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        said = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode("utf-8", "backslashreplace"),
            done.stderr.decode("utf-8", "backslashreplace"),
        )
        if check and said.returncode != 0:
            pytest.fail(f"{self.path.name} {' '.join(map(str, args))} ended in {said.returncode}:\n{said.stderr}")
        return said

    def popen(
        self,
        *args: str | Path,
        env: Mapping[str, str | None] | None = None,
        stderr: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start it, with pipes at its ends; the caller ends it."""
        command = [str(self.path), *map(str, self._before), *map(str, args)]
        if setpriv := shutil.which("setpriv"):  # ends with the test run, however that ends
            command = [setpriv, "--pdeathsig", "TERM", *command]
        environment = self.environment(env)
        pipe = subprocess.PIPE
        home = environment["HOME"]
        return subprocess.Popen(command, env=environment, cwd=home, stdin=pipe, stdout=stdout, stderr=stderr)


def pytest_report_header() -> list[str]:
    """The versions of the peers, for the record: they move with Debian."""
    lines = []
    for name, peer in installed().items():
        lines.append(f"{name} {peer.version}" if isinstance(peer, Peer) else f"{name} missing ({peer})")
    return ["peers: " + ", ".join(lines)]


def _peer(name: str, factory: pytest.TempPathFactory) -> Program:
    peer = require(name)
    return Program(peer.path, factory.mktemp(name), version=peer.version)


@pytest.fixture(scope="session")
def peer_versions() -> dict[str, str]:
    """The version of each peer that is here."""
    return {name: peer.version for name, peer in installed().items() if isinstance(peer, Peer)}


@pytest.fixture(scope="session")
def cosign3(tmp_path_factory) -> Program:
    """cosign 3.1, which writes bundles unless told otherwise."""
    return _peer("cosign3", tmp_path_factory)


@pytest.fixture(scope="session")
def cosign2(tmp_path_factory) -> Program:
    """cosign 2.5, which reads the legacy format only."""
    return _peer("cosign2", tmp_path_factory)


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory) -> Program:
    """kubectl; each call needs `--kubeconfig`."""
    return _peer("kubectl", tmp_path_factory)


@pytest.fixture(scope="session")
def crane(tmp_path_factory) -> Program:
    """crane, of go-containerregistry."""
    return _peer("crane", tmp_path_factory)


@pytest.fixture(scope="session")
def oras(tmp_path_factory) -> Program:
    """oras, the client of the OCI artifacts."""
    return _peer("oras", tmp_path_factory)


@pytest.fixture(scope="session")
def openssl(tmp_path_factory) -> Program:
    """openssl 3.0, without a configuration."""
    peer = require("openssl")
    env = {"LD_LIBRARY_PATH": str(peer.libraries), "OPENSSL_CONF": os.devnull}
    return Program(peer.path, tmp_path_factory.mktemp("openssl"), version=peer.version, env=env)


@pytest.fixture(scope="session")
def sigstore_python(tmp_path_factory) -> Program:
    """sigstore-python's own command: `sigstore_python("--trust-config", …, "sign", …)`."""
    peer = require("sigstore-python")
    scratch = tmp_path_factory.mktemp("sigstore-python")
    env = _LOOPBACK_ONLY | {"COLUMNS": "1000"}  # what it says stays in one line
    return Program(peer.path, scratch, version=peer.version, before=("-I", "-m", "sigstore"), env=env)


def script(name: str, module: str, factory: pytest.TempPathFactory, env: Mapping[str, str] | None = None) -> Program:
    """A program in JavaScript: one of `peers/javascript`, or (a path) of a module's own."""
    node, peer = require("node"), require(module)
    modules = str(FOLDER / "node" / "node_modules")
    more = _LOOPBACK_ONLY | {"NODE_PATH": modules, **(env or {})}
    scratch = factory.mktemp(module)
    return Program(node.path, scratch, version=peer.version, before=(JAVASCRIPT / name,), env=more)


@pytest.fixture(scope="session")
def sigstore_js(tmp_path_factory) -> Program:
    """sigstore-js 5, through `javascript/sigstore.cjs`, which says what it takes."""
    return script("sigstore.cjs", "sigstore-js", tmp_path_factory, {"SIGSTORE": "sigstore"})


@pytest.fixture(scope="session")
def sigstore_js4(tmp_path_factory) -> Program:
    """sigstore-js 4, likewise: it knows other entries of attestations in Rekor v2."""
    return script("sigstore.cjs", "sigstore-js4", tmp_path_factory, {"SIGSTORE": "sigstore4"})


@pytest.fixture(scope="session")
def sigstore_js_cli(tmp_path_factory) -> Program:
    """sigstore-js's own command: `initialize`, `attest`, `verify`, all through TUF."""
    return script(str(require("sigstore-js-cli").path.with_name("bin") / "run"), "sigstore-js-cli", tmp_path_factory)


@pytest.fixture(scope="session")
def sealgate(tmp_path_factory) -> Program:
    """The installed command, as a user runs it."""
    path = Path(sys.executable).with_name("sealgate")
    if not path.is_file():
        pytest.fail("the command sealgate is not installed beside this Python: `make setup`", pytrace=False)
    return Program(path, tmp_path_factory.mktemp("sealgate"))
