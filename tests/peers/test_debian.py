"""Where the peers come from, and what happens when they cannot be had."""

import importlib.util
import json

import pytest

from peers import programs
from peers.programs import ROOT


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """`tools/debian.py`, on a machine that runs bookworm and has `sources(name, text)`."""
    spec = importlib.util.spec_from_file_location("debian", ROOT / "tools" / "debian.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(module, "_OS_RELEASE", release)
    monkeypatch.setattr(module, "_SOURCES", tmp_path)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    return module


DEB822 = """\
# a comment
Types: deb
# another
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg
"""


def test_the_stanza_of_the_own_suite_is_taken(debian, tmp_path):
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    line = debian.own_source().line("sid")
    assert line == "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian sid main\n"


def test_a_disabled_stanza_is_not_taken(debian, tmp_path):
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822 + "Enabled: no\n")
    with pytest.raises(debian.DebianError, match="no source line"):
        debian.own_source()


@pytest.mark.parametrize(
    ("line", "uri", "signed_by"),
    [
        ("deb http://mirror.example/debian bookworm main", "http://mirror.example/debian", None),
        ("deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main", "http://mirror.example/debian", "/k.gpg"),
        ("deb [ arch=amd64 signed-by=/k.gpg ] http://m.example/ bookworm main contrib", "http://m.example/", "/k.gpg"),
    ],
)
def test_a_line_of_the_own_suite_is_taken(debian, tmp_path, line, uri, signed_by):
    lines = ["# deb http://no.example bookworm main", "deb-src http://no.example bookworm main", "deb [oops"]
    lines += ["deb http://no.example/debian-security bookworm-security main", line]
    (tmp_path / "sources.list").write_text("\n".join(lines))
    assert debian.own_source() == (uri, signed_by)


def test_another_system_is_told_why(debian, tmp_path):
    (tmp_path / "os-release").write_text("ID=fedora\n")
    with pytest.raises(debian.DebianError, match="this is not Debian"):
        debian.own_source()


@pytest.mark.parametrize("record", [None, {}, {"crane": {"missing": "no network"}}, {"crane": {"path": "x/crane"}}])
def test_a_missing_peer_skips_with_the_reason_and_fails_under_ci(tmp_path, monkeypatch, record):
    monkeypatch.setattr(programs, "FOLDER", tmp_path)
    if record is not None:
        (tmp_path / "peers.json").write_text(json.dumps(record))
    reason = "no network" if record and "missing" in record["crane"] else "make peers"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"crane is missing: .*{reason}"):
        programs.require("crane")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"crane is missing: .*{reason}"):
        programs.require("crane")


def test_a_python_that_is_too_old_is_said_to_be(monkeypatch, capsys, tmp_path):
    """Not left to pip, which says that there is no distribution of something."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OLDEST", (9, 0))
    assert module.main([str(tmp_path / "venv"), "none.txt"]) == 1
    assert "or newer is needed" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()
