"""The shell blocks of the README and of docs/how-to/ are run as they stand, one page after the other, against real registries.

A page's `sh` blocks run in order, in one shell, in an empty directory. `registry.example.com` is a docker-registry (without
the referrers API), `inside.example.com` the embedded registry (with it), `127.0.0.1:5000` a free port. What a block needs or
should do stands before it, in comments that readers do not see:

    <!-- test: image registry.example.com/shop/app:1.0 -->   this image is there
    <!-- test: exit 12 -->                                   the block ends in this code, not in 0
    <!-- test: skip -->                                      the block is not run
    <!-- test: cluster -->                                   the block is run (or looked at) where there is a kube-apiserver
    <!-- test: says -->                                      each line of the next `text` block stands in what the last block
                                                             said; `…` is anything, a digest or fingerprint is any
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cluster.controller import Controller, command, why_nobody_listens, words
from cluster.place import Cluster
from peers import trivy_database
from peers.images import push_image
from peers.programs import ROOT, require
from sealgate.oci.server import serve_in_thread

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
_PART = re.compile(
    r"^<!-- test: (?P<rule>[^>]+) -->$|^```(?P<kind>sh|text)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)

_VALUE = re.compile(r"(?P<kind>(?i:sha256)):(?:[0-9a-f]{64}|[0-9a-f]{12}|[A-Za-z0-9+/]{43})(?![A-Za-z0-9+/])")


class Block(NamedTuple):
    kind: str
    code: str
    rules: tuple[tuple[str, str], ...]

    def rule(self, name):
        return next((value for rule, value in self.rules if rule == name), None)


def blocks_of(page):
    rules, found = [], []
    for part in _PART.finditer(page.read_text(encoding="utf-8")):
        if part["rule"]:
            name, _, value = part["rule"].partition(" ")
            assert name in {"image", "exit", "skip", "says", "cluster"}, part["rule"]
            rules.append((name, value))
        else:
            found.append(Block(part["kind"], part["code"], tuple(rules)))
            rules = []
    assert not rules, "a rule stands before a block"
    return [block for block in found if block.rule("skip") is None]


def _free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def programs(tmp_path):
    """A PATH with the system's programs, ours, the peers by their own names, and a Trivy that needs no database."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sealgate").symlink_to(Path(sys.executable).with_name("sealgate"))
    for name, peer in (("crane", "crane"), ("cosign", "cosign3")):
        (folder / name).symlink_to(require(peer).path)
    (folder / "trivy").write_text(f'#!/bin/sh\nexec {shlex.join(map(str, _trivy(tmp_path)))} "$@"\n')
    (folder / "trivy").chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"


def _trivy(folder):
    """The real one where it is here, with a database of one vulnerability; else one that writes what that would write."""
    if (real := shutil.which("trivy")) is None:
        tests = Path(__file__).parents[1]
        return [sys.executable, tests / "docs" / "trivy_stand_in.py", tests / "scan" / "reports" / "trivy.json"]
    cache = folder / "trivy-cache"
    trivy_database.write(
        cache, system="debian 12", package="openssl", fixed="3.0.17-1", vulnerability="CVE-2099-0001", severity=4
    )
    offline = ("TRIVY_SKIP_DB_UPDATE=true", "TRIVY_SKIP_JAVA_DB_UPDATE=true", "TRIVY_OFFLINE_SCAN=true")
    return ["env", f"TRIVY_CACHE_DIR={cache}", *offline, real]


@contextlib.contextmanager
def _cluster(server, sealgate, folder):
    """kubectl and sealgate mean this cluster, in which a Deployment of the webhook runs; what to add to the environment."""
    home = Cluster(server, "sealgate")
    (folder / "bin" / "kubectl").symlink_to(require("kubectl").path)
    (folder / "bin" / "sealgate").unlink()
    (folder / "bin" / "sealgate").write_text(f'#!/bin/sh\nexec {shlex.join(words(server))} "$@"\n')
    (folder / "bin" / "sealgate").chmod(0o755)
    (folder / "controller").mkdir()
    server.namespace("sealgate")  # before 1.21 nobody else gives it its label
    controller = Controller(home, sealgate, folder / "controller")
    controller.start()
    try:
        yield {"KUBECONFIG": str(server.kubeconfig)}
        assert controller.failure is None
    finally:
        controller.stop()
        command(sealgate, server)("admission", "uninstall", "--kubeconfig", server.kubeconfig, check=True)
        home.kubectl("delete", "clusterimagepolicies.sealgate.dev", "--all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(page, programs, start_registry, tmp_path, request):
    if shutil.which("bash") is None:
        pytest.skip("bash is missing")
    blocks = blocks_of(page)
    assert blocks
    within = contextlib.nullcontext({})
    if any(block.rule("cluster") is not None for block in blocks):
        if os.environ.get("KUBEBUILDER_ASSETS") and why_nobody_listens() is None:
            server, sealgate = (request.getfixturevalue(name) for name in ("api_server", "sealgate"))
            within = _cluster(server, sealgate, tmp_path)
        else:
            blocks = [block for block in blocks if block.rule("cluster") is None]
            assert blocks
    with within as environ:
        _run_page(blocks, programs, start_registry().host, environ, tmp_path)


def _run_page(blocks, programs, outside, environ, tmp_path):
    with serve_in_thread(tmp_path / "inside") as inside:
        places = {
            "registry.example.com": outside,
            "inside.example.com": inside,
            "127.0.0.1:5000": f"127.0.0.1:{_free_port()}",
        }
        for block in blocks:
            for rule, value in block.rules:
                if rule == "image":
                    host, _, rest = value.partition("/")
                    repository, _, tag = rest.rpartition(":")
                    push_image(places[host], repository, tag)
        said = _run(_script(blocks, places, tmp_path), programs, environ, tmp_path)
    shown = [_hide(text, places) for text in said]
    position = -1
    for block in blocks:
        if block.kind == "sh":
            position += 1
        elif block.rule("says") is not None:
            for line in filter(None, map(str.strip, block.code.splitlines())):
                pattern = ".*".join(re.escape(piece) for piece in _VALUE.sub(r"\g<kind>:…", line).split("…"))
                assert re.search(pattern, shown[position]), f"{line}\nis not in\n{shown[position]}"


def _script(blocks, places, folder):
    """One script: each block's output in a file of its own."""
    lines = ["set -e -o pipefail"]
    for number, block in enumerate(block for block in blocks if block.kind == "sh"):
        code = block.code
        for name, place in places.items():
            code = code.replace(name, place)
        output = folder / f"{number}.out"
        expected = block.rule("exit")
        if expected is None:
            lines.append(f"{{\n{code}}} >{output} 2>&1")
        else:
            lines.append(f"set +e\n( set -e\n{code}) >{output} 2>&1\n[ $? = {expected} ] || exit 99\nset -e")
    path = folder / "script"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _run(script, path, more, folder):
    work = folder / "work"
    work.mkdir()
    (folder / "home").mkdir()
    environ = {
        "PATH": path,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "COSIGN_PASSWORD": "of the how-to",
        "REGISTRY_TOKEN": "a token",
        **more,
    }
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=work, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    code = None
    try:
        code = process.wait(180)
    except subprocess.TimeoutExpired:
        pass  # said below
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # what a page leaves running is in its group
        process.wait(10)
        with process.stderr:
            errors = process.stderr.read().decode("utf-8", "replace")
    said = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.out"), key=lambda file: int(file.stem))]
    assert code == 0, f"block {len(said)} ended in {code} (None: not at all):\n{said[-1] if said else ''}{errors}"
    return said


def _hide(text, places):
    for name, place in places.items():
        text = text.replace(place, name)
    return text
