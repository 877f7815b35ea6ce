"""Where programs of others are looked for."""

import os

import pytest

from sealgate import program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path / "bin")
    return str(tmp_path / "bin")


def test_it_is_found_in_the_first_absolute_directory_that_has_it(folder):
    assert program.find("tool", f"/nowhere:{folder}") == os.path.join(folder, "tool")


@pytest.mark.parametrize("path", ["", ".", ":", "::", "/nowhere:", ":/nowhere", "bin", "../bin", "./"])
def test_X05_it_is_never_found_in_the_working_directory(folder, path):
    assert program.find("tool", path) is None
    assert program.find("tool", f"{path}:{folder}") == os.path.join(folder, "tool")


def test_X05_what_cannot_be_run_is_passed_over(folder, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "tool").write_text("")
    (tmp_path / "directory" / "tool").mkdir(parents=True)
    assert program.find("tool", f"{tmp_path}/text:{tmp_path}/directory") is None
    assert program.find("tool", f"{tmp_path}/text:{tmp_path}/directory:{folder}") == os.path.join(folder, "tool")
