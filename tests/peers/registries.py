"""docker-registry (distribution 2.8, no referrers API) on loopback, started for a test run and ended after it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from peers.certificates import Authority
from peers.programs import require

_START_SECONDS = 30
_LISTENING = re.compile(rb"listening on (\S+?:\d+)")


class Registry(NamedTuple):
    """A registry that runs."""

    host: str
    """`127.0.0.1:port`"""
    log: Path
    """What it logged, requests included."""
    ca: Path | None = None
    """The authority that its certificate is of; None when it speaks plain HTTP."""


def start(
    folder: Path,
    *,
    htpasswd: Mapping[str, str] | None = None,
    tls: Authority | None = None,
    client_ca: Path | None = None,
    delete: bool = True,
    settings: Mapping[str, object] | None = None,
) -> contextlib.AbstractContextManager[Registry]:
    """Run docker-registry on a free port, with its content in memory and its files in `folder`.

    `htpasswd`: user names and passwords (basic auth). `tls`: the authority that issues its certificate, `client_ca`: it
    asks clients for a certificate of that authority. `settings`: further top-level sections of its configuration.
    """
    peer = require("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "tests"}
    if tls is not None:
        issued = tls.issue("127.0.0.1", "localhost")
        http["tls"] = {"certificate": str(issued.certificate), "key": str(issued.key)}
        if client_ca is not None:
            http["tls"]["clientcas"] = [str(client_ca)]
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"inmemory": {}, "delete": {"enabled": delete}},
        "http": http,
    }
    if htpasswd is not None:
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(_htpasswd(folder / "htpasswd", htpasswd))}}
    (folder / "config.yml").write_text(json.dumps(config | dict(settings or {})), encoding="utf-8")  # JSON is YAML
    return _running(peer.path, folder, None if tls is None else tls.certificate)


@contextlib.contextmanager
def _running(program: Path, folder: Path, ca: Path | None) -> Iterator[Registry]:
    command = [str(program), "serve", str(folder / "config.yml")]
    if setpriv := shutil.which("setpriv"):  # ends with the test run, however that ends
        command = [setpriv, "--pdeathsig", "TERM", *command]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={}, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Registry(_host(process, log), log, ca)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _host(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, read from its log: it chose the port itself, so nobody can have taken it."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if found := _LISTENING.search(log.read_bytes()):
            return found[1].decode("ascii")
        if process.poll() is not None:
            break
        time.sleep(0.02)
    pytest.fail(f"docker-registry did not start:\n{log.read_text(errors='replace')[-2000:]}", pytrace=False)


def _htpasswd(path: Path, users: Mapping[str, str]) -> Path:
    import bcrypt

    lines = []
    for name, password in users.items():
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4, prefix=b"2a"))
        lines.append(f"{name}:{hashed.decode()}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory) -> Iterator[Callable[..., Registry]]:
    """`start_registry(htpasswd=…, tls=…, …)`: as `start`; every one of them runs until the end of the session."""
    with contextlib.ExitStack() as running:
        yield lambda **options: running.enter_context(start(tmp_path_factory.mktemp("registry"), **options))


@pytest.fixture(scope="session")
def docker_registry(start_registry) -> str:
    """`host:port` of a docker-registry for everybody, plain HTTP; take a repository of your own in it."""
    return start_registry().host


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    """A certificate authority for servers and clients of the tests."""
    return Authority(tmp_path_factory.mktemp("authority"))
