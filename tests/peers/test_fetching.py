"""`make peers`: what is asked for is fetched once, what cannot be had is said, and lock files name exact bytes and no address."""

import importlib.util
import json
import re
from typing import NamedTuple

import pytest

from peers import programs
from peers.programs import ROOT

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
NODE = ROOT / "requirements" / "node"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tools/peers.py`, for a project in which nothing is there yet."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    spec = importlib.util.spec_from_file_location("tool_of_peers", ROOT / "tools" / "peers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "RECORD", tmp_path / "peers.json")
    return module


class Fetched(NamedTuple):
    """A peer that writes down when it is fetched."""

    name: str
    folder: object
    error: Exception | None = None
    wants: str = "1"

    def is_current(self, entry):
        return entry.get("version") == self.wants

    def fetch(self):
        with (self.folder / "fetched").open("a") as file:
            file.write(self.name)
        if self.error:
            raise self.error
        (self.folder / self.name).touch()
        return {"version": self.wants, "path": self.name}


def test_peers_are_fetched_once_and_again_when_another_version_is_asked_for(tool, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tool, "PEERS", (Fetched("a", tmp_path), Fetched("b", tmp_path)))
    assert tool.main() == tool.main() == 0
    assert (tmp_path / "fetched").read_text() == "ab"
    monkeypatch.setattr(tool, "PEERS", (Fetched("a", tmp_path), Fetched("b", tmp_path, wants="2")))
    tool.main()
    assert (tmp_path / "fetched").read_text() == "abb"
    (tmp_path / "a").unlink()
    tool.main()
    assert (tmp_path / "fetched").read_text() == "abba"
    assert "peer b: 2" in capfd.readouterr().err


def test_a_peer_that_cannot_be_had_is_said_and_the_others_are_fetched(tool, tmp_path, monkeypatch):
    error = tool.FetchError("npm failed (1): no network")
    monkeypatch.setattr(tool, "PEERS", (Fetched("node", tmp_path, error), Fetched("crane", tmp_path)))
    assert tool.main() == 0
    record = json.loads((tmp_path / "peers.json").read_text())
    assert record == {"node": {"missing": str(error)}, "crane": {"version": "1", "path": "crane"}}
    monkeypatch.setattr(programs, "FOLDER", tmp_path)
    assert programs.installed()["node"] == str(error)


def test_what_many_peers_need_is_tried_once(tool):
    tried = []

    def make(name):
        tried.append(name)
        raise tool.FetchError("no network")

    once = tool._once(make)
    for _ in range(2):
        with pytest.raises(tool.FetchError, match="no network"):
            once("sid")
    assert tried == ["sid"]


def test_a_program_that_fails_is_a_reason(tool):
    assert tool._run(["sh", "-c", "echo said"]) == "said\n"
    with pytest.raises(tool.FetchError, match=r"^sh -c failed \(3\): no space$"):
        tool._run(["sh", "-c", "echo no space >&2; exit 3"])
    with pytest.raises(tool.FetchError, match=r"^nobody cannot be run"):
        tool._run(["/nobody"])


def test_every_peer_has_a_fixture_and_every_name_is_a_peer(tool):
    assert tuple(peer.name for peer in tool.PEERS) == programs.NAMES


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_exact_hashed_and_without_addresses(path):
    text = path.read_text()
    assert "://" not in text
    assert "index-url" not in text
    for requirement in re.sub(r"\\\n", "", re.sub(r"#.*\n", "", text)).splitlines():
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_the_lock_file_of_npm_is_exact_hashed_and_without_addresses():
    text = (NODE / "package-lock.json").read_text()
    assert "://" not in text
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    root = packages.pop("")
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    asked = json.loads((NODE / "package.json").read_text())["dependencies"]
    assert root["dependencies"] == asked
    for name, version in asked.items():
        assert packages[f"node_modules/{name}"]["version"] == version.rpartition("@")[2], "an exact version"
    assert "omit-lockfile-registry-resolved=true" in (NODE / ".npmrc").read_text()
