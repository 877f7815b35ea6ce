"""Sealgate's own container image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest

from sealgate.admission.installation import image
from sealgate.errors import UsageError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("ldd") is None, reason="made on Linux with glibc only"
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "layout"
    return folder, image.write(str(folder))


def blob(folder, descriptor) -> bytes:
    return (folder / "blobs" / "sha256" / descriptor["digest"].partition(":")[2]).read_bytes()


def unpacked(layout, target):
    folder, _ = layout
    [described] = json.loads((folder / "index.json").read_text(encoding="utf-8"))["manifests"]
    manifest = json.loads(blob(folder, described))
    [layer] = manifest["layers"]
    with tarfile.open(folder / "blobs" / "sha256" / layer["digest"].partition(":")[2]) as tar:
        members = tar.getmembers()
        tar.extractall(target, filter="tar")
    return json.loads(blob(folder, manifest["config"])), members


def test_it_runs_from_its_own_files_alone(layout, tmp_path):
    config, members = unpacked(layout, tmp_path / "root")
    assert config["config"]["User"] == "65532:65532"
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}
    assert not any(member.mode & 0o022 for member in members if member.name != "tmp")
    if os.geteuid() != 0:
        pytest.skip("only root may change the root directory")
    env = dict(each.split("=", 1) for each in config["config"]["Env"])
    words = [*config["config"]["Entrypoint"], "admission", "serve", "--help"]
    done = subprocess.run(
        ["chroot", "--userspec=65532:65532", tmp_path / "root", *words], env={"PATH": os.environ["PATH"], **env},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "/mutate" in done.stdout
    modules = (
        "import cryptography.x509, uvicorn, uvloop, httptools, aiohttp, re2, nacl.public, sealgate.admission.server"
    )
    done = subprocess.run(
        ["chroot", "--userspec=65532:65532", tmp_path / "root", *words[:4], modules], env={"PATH": os.environ["PATH"], **env},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_same_files_give_the_same_digest(layout, tmp_path):
    assert image.write(str(tmp_path / "again")) == layout[1]


def test_the_command_writes_it_and_says_its_digest(layout, sealgate, tmp_path):
    done = sealgate("admission", "image", tmp_path / "again", "--tag", "v1", check=True)
    assert done.stdout.strip() == layout[1]
    [described] = json.loads((tmp_path / "again" / "index.json").read_text(encoding="utf-8"))["manifests"]
    assert described["digest"] == layout[1]
    assert described["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    done = sealgate("admission", "image", tmp_path / "again")
    assert (done.returncode, "is not empty" in done.stderr) == (2, True)


def test_sealgate_signs_it(layout, sealgate, tmp_path):
    folder = shutil.copytree(layout[0], tmp_path / "copy")
    sealgate("generate-key-pair", cwd=tmp_path, check=True)
    sealgate("sign", "--key", tmp_path / "cosign.key", "--yes", f"oci:{folder}:latest", check=True)
    sealgate("verify", "--key", tmp_path / "cosign.pub", f"oci:{folder}:latest", check=True)


def test_a_folder_with_something_in_it_is_refused(layout):
    with pytest.raises(UsageError) as caught:
        image.write(str(layout[0]))
    assert caught.value.code == "usage"


def test_a_tag_or_a_folder_that_cannot_be_is_refused(sealgate, tmp_path):
    (tmp_path / "file").write_text("x")
    for words, said in (
        (("new", "--tag", "a:b"), "is not a tag"),
        (("file/below",), "cannot be made"),
        ((".",), "is not empty"),
    ):
        done = sealgate("admission", "image", *words, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "[usage]" in done.stderr
    assert os.listdir(tmp_path) == ["file"]
