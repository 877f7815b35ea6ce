"""save and load: layouts that cosign and we write and read."""

import json
import shutil
from pathlib import Path

import pytest

from peers.attachments import COSIGN_OFFLINE, attach_artifact
from peers.images import Client, push_image

KIND = "kind"


def entries(folder: Path) -> list[dict]:
    return json.loads((folder / "index.json").read_text())["manifests"]


@pytest.fixture
def layout(tmp_path) -> Path:
    return tmp_path / "layout"


def test_kinds_are_those_of_cosign_and_referrers_are_listed(sealgate, sign, pushed, layout):
    sign(pushed.reference, "--format", "both")
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    found = entries(layout)
    assert [entry.get("annotations", {}).get(KIND) for entry in found if entry["digest"] == pushed.digest] == [
        "dev.cosignproject.cosign/image"
    ]
    kinds = [entry.get("annotations", {}).get(KIND) for entry in found if entry["digest"] != pushed.digest]
    assert sorted(kinds, key=str) == [None, "dev.cosignproject.cosign/sigs"]


def test_layouts_are_equal_citizens(sealgate, sign, verify, pushed, layout):
    sign(pushed.reference, "--format", "both")
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    document = json.loads(sealgate("tree", "-o", "json", f"oci:{layout}", check=True).stdout)
    assert sorted(artifact["origin"] for artifact in document["artifacts"]) == ["referrer", "sig"]
    assert verify(f"oci:{layout}") == verify(f"oci:{layout}", "--new-bundle-format=false") == 0


def test_cosign_verifies_and_loads_what_we_saved(sealgate, cosign3, cosign2, keys, sign, verify, docker_registry, repository, layout):  # fmt: skip
    image = push_image(docker_registry, repository, "v1")
    sign(image.reference, "--format", "legacy")
    sealgate("save", "--dir", layout, image.tagged, check=True)
    offline = ("verify", "--key", keys.public, "--insecure-ignore-tlog", "--local-image")
    cosign3(*offline, "--new-bundle-format=false", layout, check=True)
    cosign2(*offline, layout, check=True)
    cosign3("load", "--dir", layout, f"{docker_registry}/{repository}/loaded:v1", check=True)
    assert verify(f"{docker_registry}/{repository}/loaded:v1") == 0


def test_cosign_verifies_bundles_that_we_saved(sealgate, cosign3, keys, sign, pushed, layout):
    sign(pushed.reference)
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    cosign3("verify", "--key", keys.public, "--insecure-ignore-tlog", "--local-image", layout, check=True)


@pytest.mark.parametrize("new", [True, False], ids=["bundle", "legacy"])
@pytest.mark.parametrize("kind", ["image", "index"])
def test_we_load_what_cosign_saved(sealgate, cosign3, keys, verify, docker_registry, repository, layout, kind, new):
    image = push_image(docker_registry, repository, "v1", kind=kind)
    more = () if new else ("--new-bundle-format=false",)
    cosign3("sign", "--key", keys.private, *COSIGN_OFFLINE, *more, image.reference, check=True)
    cosign3("save", "--dir", layout, image.tagged, check=True)
    target = f"{docker_registry}/{repository}/loaded:v1"
    sealgate("load", "--dir", layout, target, check=True)
    assert verify(target) == 0
    assert cosign3("verify", "--key", keys.public, "--insecure-ignore-tlog", *more, target).returncode == 0


def test_recorded_layouts_of_cosign_load(sealgate, registry, repository, tmp_path):
    recorded = Path(__file__).parents[1] / "oci" / "recorded"
    for name in ("save-bundle", "save-legacy", "save-index-bundle"):
        folder = next(iter(recorded.rglob(name)), None)
        if folder is None:
            pytest.skip(f"{name} is not recorded")
        shutil.copytree(folder, tmp_path / name)
        target = f"{registry}/{repository}/{name}:v1"
        sealgate("load", "--dir", tmp_path / name, target, check=True)
        document = json.loads(sealgate("tree", "-o", "json", target, check=True).stdout)
        assert len(document["artifacts"]) == 1, name


def test_there_and_back_with_an_index_and_everything_on_it(sealgate, crane, sign, verify, registry, repository, layout):
    index = push_image(registry, repository, "v1", kind="index")
    sign(index.reference, "-r", "--format", "both")
    attach_artifact(Client(registry), index, "application/spdx+json", b"{}")
    sealgate("save", "--dir", layout, index.tagged, check=True)
    target = f"{registry}/{repository}/loaded:v1"
    sealgate("load", "--dir", layout, target, check=True)
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == index.digest
    assert verify(target, "-r") == verify(target, "-r", "--new-bundle-format=false") == 0
    document = json.loads(sealgate("tree", "-o", "json", target, check=True).stdout)
    assert len(document["artifacts"]) == 3


def test_saving_again_adds_what_is_new(sealgate, sign, verdict, pushed, layout):
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    sign(pushed.reference, "--format", "both")
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    assert len(verdict(f"oci:{layout}")["signatures"]) == 2


def test_a_layout_of_another_image_is_left_alone(sealgate, registry, repository, layout):
    one, two = (push_image(registry, repository, tag) for tag in ("one", "two"))
    sealgate("save", "--dir", layout, one.tagged, check=True)
    before = (layout / "index.json").read_bytes()
    refused = sealgate("save", "--dir", layout, two.tagged)
    assert refused.returncode == 2
    assert "[usage]" in refused.stderr
    assert (layout / "index.json").read_bytes() == before


def test_a_directory_of_something_else_is_left_alone(sealgate, pushed, layout):
    layout.mkdir()
    (layout / "notes.txt").write_text("mine")
    refused = sealgate("save", "--dir", layout, pushed.tagged)
    assert refused.returncode == 1
    assert "[layout-invalid]" in refused.stderr
    assert [path.name for path in layout.iterdir()] == ["notes.txt"]


def test_load_of_nothing_ends_in_11(sealgate, registry, repository, layout):
    said = sealgate("load", "--dir", layout, f"{registry}/{repository}:v1")
    assert said.returncode == 11
    assert "[image-not-found]" in said.stderr


def test_load_of_a_tampered_layer_is_refused_and_no_tag_is_set(sealgate, sign, pushed, registry, repository, layout):
    sealgate("save", "--dir", layout, pushed.tagged, check=True)
    layer = json.loads(pushed.raw)["layers"][0]["digest"]
    path = layout / "blobs" / layer.replace(":", "/")
    path.write_bytes(b"x" * path.stat().st_size)
    said = sealgate("load", "--dir", layout, f"{registry}/{repository}/loaded:v1")
    assert said.returncode == 1
    assert "[digest-mismatch]" in said.stderr
    assert Client(registry).tags(f"{repository}/loaded") == []
