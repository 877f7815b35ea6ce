"""Layouts and archives between sealgate and other programs: each reads what the other wrote."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from peers.images import push_image
from sealgate.oci.layout import LayoutStore
from sealgate.oci.server import serve_in_thread
from sealgate.transport import driver

RECORDED = Path(__file__).parent / "recorded"
FORMATS = pytest.mark.parametrize(
    ("name", "options"), [("save-bundle", ()), ("save-legacy", ("--new-bundle-format=false",))]
)


def run(flow):
    """Drive a flow that needs no network."""

    def nobody(request, ends):
        raise AssertionError(request)

    return driver.run(flow, sender=nobody)


@pytest.fixture(scope="module")
def key(sealgate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("key")
    sealgate("generate-key-pair", cwd=folder, check=True)
    return folder / "cosign"


@FORMATS
def test_cosign_verifies_the_layout_that_sealgate_signed(sealgate, cosign3, key, tmp_path, name, options):
    shutil.copytree(RECORDED / name, tmp_path / "layout")
    verify = (
        "verify",
        "--local-image",
        "--key",
        key.with_suffix(".pub"),
        "--insecure-ignore-tlog",
        tmp_path / "layout",
    )
    assert cosign3(*verify).returncode != 0
    sealgate("sign", "--key", key.with_suffix(".key"), "-y", *options, f"oci:{tmp_path}/layout", check=True)
    assert cosign3(*verify, check=True).returncode == 0
    sealgate("verify", "--key", key.with_suffix(".pub"), f"oci:{tmp_path}/layout", check=True)


@FORMATS
def test_an_archive_is_signed_and_verified(sealgate, key, tmp_path, name, options):
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(RECORDED / name, ".")
    verify = ("verify", "--key", key.with_suffix(".pub"), f"oci-archive:{archive}")
    assert sealgate(*verify).returncode == 12
    sealgate("sign", "--key", key.with_suffix(".key"), "-y", *options, f"oci-archive:{archive}", check=True)
    assert "sha256:3ea851cf" in sealgate(*verify, check=True).stdout


def test_layouts_of_crane_and_oras_are_read(crane, oras, tmp_path):
    with serve_in_thread(tmp_path / "registry") as host:
        image = push_image(host, "team/app", "v1", kind="index")
        (tmp_path / "note.txt").write_text("a note")
        oras("attach", "--plain-http", "--artifact-type", "a/b", image.reference, "note.txt", cwd=tmp_path, check=True)
        crane("pull", "--format=oci", image.tagged, tmp_path / "crane", check=True)
        oras("copy", "--from-plain-http", "--to-oci-layout", "-r", image.tagged, f"{tmp_path}/oras:v1", check=True)
    assert str(run(LayoutStore(str(tmp_path / "crane")).only_image()).digest) == image.digest
    copied = LayoutStore(str(tmp_path / "oras"))
    assert run(copied.get_manifest("v1")).raw == image.raw
    assert str(run(copied.only_image()).digest) == image.digest
    assert [item.artifact_type for item in run(copied.list_referrers(run(copied.only_image()).digest))] == ["a/b"]


def test_oras_reads_what_sealgate_signed(sealgate, oras, key, tmp_path):
    with serve_in_thread(tmp_path / "registry") as host:
        image = push_image(host, "team/app", "v1")
        oras("copy", "--from-plain-http", "--to-oci-layout", image.tagged, f"{tmp_path}/layout:v1", check=True)
    sealgate("sign", "--key", key.with_suffix(".key"), "-y", f"oci:{tmp_path}/layout:v1", check=True)
    found = json.loads(oras("discover", "--oci-layout", "--format", "json", f"{tmp_path}/layout:v1", check=True).stdout)
    (signature,) = found.get("referrers") or found["manifests"]
    assert signature["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
