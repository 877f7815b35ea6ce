"""Verification that is given a trust root in a file speaks to the registry and to nobody else: the whole process is watched.

Python's audit events come from the socket module itself, whoever calls it: connections, look-ups of names, datagrams. Other
programs would escape them, so that none is started is watched too.
"""

import subprocess
import sys

import pytest

from peers.images import push_image
from trust_service.identities import EMAIL

WATCHED = """
import os, sys
out = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
EVENTS = {"socket.connect": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0,
          "socket.getnameinfo": 0, "socket.sendto": 1, "socket.sendmsg": 1, "subprocess.Popen": 0, "os.exec": 0,
          "os.posix_spawn": 0, "os.fork": None, "os.system": 0}
def hook(event, args):
    if event in EVENTS:
        what = args[EVENTS[event]] if EVENTS[event] is not None else None
        os.write(out, f"{event} {what!r}\\n".encode())
sys.addaudithook(hook)
from sealgate.cli.__main__ import main
sys.exit(main())
"""
PREDICATE = "https://example.test/predicate/v1"


@pytest.fixture
def watched(tmp_path):
    """`watched("verify", …)`: what the process ended with, what it said, and whom it spoke to."""

    def run(*words, env=None):
        log = tmp_path / "log"
        log.write_bytes(b"")
        (tmp_path / "home").mkdir(exist_ok=True)
        env = {"HOME": str(tmp_path / "home"), "PATH": "/nowhere"} | (env or {})
        command = [sys.executable, "-c", WATCHED, str(log), *map(str, words)]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        return done, set(log.read_text().splitlines())

    return run


@pytest.fixture
def signed(cli, trust_service, docker_registry, tmp_path):
    """`signed(rekor, formats)` signs and attests an image and a file: the options that verify them."""

    def sign(rekor, formats):
        files = trust_service.files(tmp_path / "services", rekor=rekor)
        (tmp_path / "token").write_text(trust_service.token())
        (tmp_path / "p").write_text('{"says":"so"}')
        (tmp_path / "app").write_bytes(b"content")
        image = push_image(docker_registry, f"offline/{formats}{rekor}")
        services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root, "--yes")
        services += ("--identity-token", tmp_path / "token")
        attest = ("--type", PREDICATE, "--predicate", tmp_path / "p")
        for words in (
            ("sign", "--format", formats, image.reference),
            ("attest", *attest, "--format", formats, image.reference),
            ("sign-blob", "--bundle", tmp_path / "blob.json", tmp_path / "app"),
            ("attest-blob", *attest, "--bundle", tmp_path / "statement.json", tmp_path / "app"),
        ):
            said = cli(words[0], *services, *words[1:])
            assert said.code == 0, said.err
        who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", trust_service.issuer.url)
        return image, ("--trusted-root", files.trusted_root, *who)

    return sign


@pytest.mark.parametrize(("rekor", "formats"), [(1, "bundle"), (1, "legacy"), (2, "bundle")])
def test_whom_verification_speaks_to(watched, signed, tmp_path, rekor, formats):
    image, options = signed(rekor, formats)
    host, _, port = image.host.rpartition(":")
    registry = {f"socket.getaddrinfo {host.encode()!r}", f"socket.connect {(host, int(port))!r}"}
    commands = {
        ("verify", *options, image.tagged): registry,
        ("verify-attestation", "--type", PREDICATE, *options, image.tagged): registry,
        ("verify-blob", *options, "--bundle", tmp_path / "blob.json", tmp_path / "app"): set(),
        ("verify-blob-attestation", "--type", PREDICATE, *options, "--bundle", tmp_path / "statement.json", tmp_path / "app"): set(),
    }  # fmt: skip
    for words, expected in commands.items():
        done, spoken = watched(*words)
        assert done.returncode == 0, done.stderr
        assert spoken == expected, words[0]


def test_the_watch_sees_whom_else_it_speaks_to(watched, signed, trust_service, tmp_path):
    """Without the file the repository is asked."""
    image, options = signed(2, "bundle")
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    variables = {"TUF_MIRROR": trust_service.tuf_url, "TUF_ROOT_JSON": str(tmp_path / "root.json")}
    done, spoken = watched("verify", *options[2:], image.tagged, env=variables)
    assert done.returncode == 0, done.stderr
    ports = {line.rpartition(", ")[2] for line in spoken if line.startswith("socket.connect")}
    assert ports == {f"{place.rpartition(':')[2]})" for place in (image.host, trust_service.url)}
