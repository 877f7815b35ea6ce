"""Layouts as stores: what cosign saved, what we write, links that lead out, writers at once."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sealgate.digest import Digest
from sealgate.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LayoutInvalidError,
    NotFoundError,
    UsageError,
)
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.layout import LayoutStore
from sealgate.oci.layout_index import REF_NAME
from sealgate.oci.manifest import OCI_INDEX, OCI_MANIFEST, encode_image_manifest, encode_index
from sealgate.transport import driver
from sealgate.transport.message import FileBody

RECORDED = Path(__file__).parent / "recorded"
IMAGE = Digest.parse("sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef")
EMPTY = Descriptor("application/vnd.oci.empty.v1+json", 2, Digest.of(b"{}"))


def run(flow):
    """Drive a flow that needs no network."""

    def nobody(request, ends):
        raise AssertionError(request)

    return driver.run(flow, sender=nobody)


class Collector:
    """A sink."""

    def __init__(self):
        self.data = b"left over"

    def restart(self):
        self.data = b""

    def write(self, data):
        self.data += data


def image(text="one", **more) -> bytes:
    """The manifest of an image; other bytes for another text."""
    return encode_image_manifest(EMPTY, [EMPTY], annotations={"text": text}, **more)


@pytest.fixture
def store(tmp_path):
    """A layout that does not exist yet."""
    return LayoutStore(str(tmp_path / "layout"))


@pytest.fixture
def saved(tmp_path):
    """`saved(name)`: a copy of what cosign saved, and its store."""

    def copy(name):
        shutil.copytree(RECORDED / name, tmp_path / name)
        return tmp_path / name, LayoutStore(str(tmp_path / name))

    return copy


# -- reading what cosign saved


def test_the_unnamed_image_of_a_layout_that_cosign_saved():
    store = LayoutStore(str(RECORDED / "save-bundle"))
    assert run(store.only_image()).digest == IMAGE
    assert run(store.get_manifest("")).digest == IMAGE
    assert run(store.get_manifest(IMAGE)).raw == (RECORDED / f"save-bundle/blobs/sha256/{IMAGE.hex}").read_bytes()
    assert run(store.head_manifest("")) == Descriptor(OCI_MANIFEST, 401, IMAGE)
    assert run(store.get_manifest(Digest.of(b"nothing"))) is None
    assert run(store.get_manifest("v1")) is None


def test_referrers_that_index_json_does_not_list():
    store = LayoutStore(str(RECORDED / "save-bundle"))
    (found,) = run(store.list_referrers(IMAGE))
    assert found.artifact_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert found.annotation("dev.sigstore.bundle.predicateType") == "https://sigstore.dev/cosign/sign/v1"
    assert run(store.get_manifest(found.digest)).size == found.size
    assert run(store.list_referrers(Digest.of(b"another"))) == []
    index = LayoutStore(str(RECORDED / "save-index-bundle"))
    assert len(run(index.list_referrers(run(index.only_image()).digest))) == 1
    assert run(index.list_referrers(IMAGE)) == []


def test_signatures_that_cosign_saved_answer_to_their_tag():
    store = LayoutStore(str(RECORDED / "save-legacy"))
    tag = f"sha256-{IMAGE.hex}.sig"
    assert run(store.list_tags()) == [tag]
    found = run(store.get_manifest(tag))
    assert found.document["layers"][0]["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    assert run(store.only_image()).digest == IMAGE
    assert run(store.get_manifest(f"sha256-{IMAGE.hex}.att")) is None
    assert run(store.get_manifest(f"sha256-{'0' * 64}.sig")) is None


def test_signatures_written_beside_what_cosign_saved_stand_where_cosign_looks(saved):
    directory, store = saved("save-legacy")
    tag = f"sha256-{IMAGE.hex}.sig"
    run(store.put_manifest(image("signatures"), OCI_MANIFEST, tag))
    entries = json.loads((directory / "index.json").read_bytes())["manifests"]
    assert [entry["annotations"]["kind"] for entry in entries] == [
        "dev.cosignproject.cosign/image",
        "dev.cosignproject.cosign/sigs",
    ]
    assert run(store.get_manifest(tag)).raw == image("signatures")
    assert run(store.delete_manifest(tag)) is True
    assert run(store.get_manifest(tag)) is None


def test_signatures_of_two_images_saved_into_one_layout_are_not_mixed_up(saved):
    directory, store = saved("save-legacy")
    raw = image("other")
    other = run(store.put_manifest(raw, OCI_MANIFEST))
    document = json.loads((directory / "index.json").read_bytes())
    document["manifests"][2]["annotations"] = {"kind": "dev.cosignproject.cosign/image"}
    (directory / "index.json").write_text(json.dumps(document))
    assert run(store.get_manifest(f"sha256-{IMAGE.hex}.sig")) is None
    assert run(store.get_manifest(f"sha256-{other.hex}.sig")) is None
    for entry, name in zip(document["manifests"], ("a", "a", "b"), strict=True):
        entry["annotations"][REF_NAME] = name
    (directory / "index.json").write_text(json.dumps(document))
    assert run(store.get_manifest(f"sha256-{IMAGE.hex}.sig")) is not None
    assert run(store.get_manifest(f"sha256-{other.hex}.sig")) is None
    assert run(store.get_manifest("a")).digest == IMAGE


# -- writing and reading


def test_what_was_put_is_there(store):
    raw = image()
    run(store.put_blob(b"{}", EMPTY.digest))
    digest = run(store.put_manifest(raw, OCI_MANIFEST, "v1"))
    assert digest == Digest.of(raw)
    for which in ("v1", digest, ""):
        found = run(store.get_manifest(which))
        assert (found.raw, found.digest, found.media_type) == (raw, digest, OCI_MANIFEST)
    assert run(store.list_tags()) == ["v1"]
    assert run(store.get_blob(EMPTY.digest, limit=2)) == b"{}"
    assert run(store.has_blob(EMPTY.digest)) is True
    sink = Collector()
    run(store.get_blob_to(EMPTY.digest, sink))
    assert sink.data == b"{}"
    directory = Path(store.layout.path)
    assert json.loads((directory / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert sorted(path.name for path in directory.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_a_layout_that_is_not_there_has_nothing(store):
    assert run(store.get_manifest("v1")) is None
    assert run(store.get_manifest(IMAGE)) is None
    assert run(store.list_tags()) == []
    assert run(store.list_referrers(IMAGE)) == []
    assert run(store.has_blob(IMAGE)) is False
    assert run(store.delete_manifest("v1")) is False
    with pytest.raises(ImageNotFoundError) as caught:
        run(store.only_image())
    assert caught.value.code == "image-not-found"
    with pytest.raises(NotFoundError) as caught:
        run(store.get_blob(IMAGE, limit=10))
    assert caught.value.code == "not-found"
    assert not Path(store.layout.path).exists()


def test_a_tag_moves(store):
    first = run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    run(store.put_manifest(image("one"), OCI_MANIFEST, "also"))
    second = run(store.put_manifest(image("two"), OCI_MANIFEST, "v1"))
    assert run(store.get_manifest("v1")).digest == second
    assert run(store.get_manifest("also")).digest == first
    assert sorted(run(store.list_tags())) == ["also", "v1"]


def test_deleting(store):
    digest = run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    run(store.put_manifest(image(), OCI_MANIFEST, "v2"))
    assert run(store.delete_manifest("v1")) is True
    assert run(store.delete_manifest("v1")) is False
    assert run(store.get_manifest(digest)) is not None
    assert run(store.delete_manifest(digest)) is True
    assert run(store.get_manifest(digest)) is None
    assert run(store.list_tags()) == []
    assert run(store.delete_manifest(digest)) is False


def test_a_layer_is_not_deleted_as_a_manifest(store):
    digest = Digest.of(b"a layer")
    run(store.put_blob(b"a layer", digest))
    assert run(store.delete_manifest(digest)) is False
    assert run(store.has_blob(digest)) is True


def test_referrers_of_what_we_wrote(store):
    subject = Descriptor(OCI_MANIFEST, 401, IMAGE)
    made = [
        run(store.put_manifest(image(str(number), subject=subject, artifact_type="a/b"), OCI_MANIFEST))
        for number in range(3)
    ]
    run(store.put_manifest(image("other", subject=EMPTY), OCI_MANIFEST))
    found = run(store.list_referrers(IMAGE))
    assert [item.digest for item in found] == made
    assert {item.artifact_type for item in found} == {"a/b"}
    assert run(store.delete_manifest(made[1])) is True
    assert [item.digest for item in run(store.list_referrers(IMAGE))] == [made[0], made[2]]
    (fallback,) = run(store.list_referrers(EMPTY.digest))
    assert fallback.artifact_type == EMPTY.media_type


def test_junk_in_blobs_hides_no_referrer(store):
    subject = Descriptor(OCI_MANIFEST, 401, IMAGE)
    made = run(store.put_manifest(image("signature", subject=subject), OCI_MANIFEST))
    for junk in (
        b'{"subject":',
        b'{"subject": 5}',
        b'{"subject": {"digest": "x"}}',
        b'{"subject":{},"Subject":{}}',
        b"",
    ):
        run(store.put_blob(junk, Digest.of(junk)))
    Path(store.layout.path, "blobs/sha256/not a digest").write_bytes(b'{"subject": {}}')
    assert [item.digest for item in run(store.list_referrers(IMAGE))] == [made]


def test_children_of_an_index_are_not_choices(store):
    children = [Descriptor(OCI_MANIFEST, len(image(name)), Digest.of(image(name))) for name in "ab"]
    for name in "ab":
        run(store.put_manifest(image(name), OCI_MANIFEST))
    index = run(store.put_manifest(encode_index(children), OCI_INDEX, "v1"))
    run(store.put_manifest(image("sig"), OCI_MANIFEST, f"sha256-{index.hex}.sig"))
    run(store.put_manifest(image("bundle", subject=children[0]), OCI_MANIFEST))
    assert run(store.only_image()).digest == index
    run(store.put_manifest(image("a"), OCI_MANIFEST, "a"))
    assert run(store.only_image()).digest == index


def test_several_images_without_a_tag_are_listed(store):
    run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    run(store.put_manifest(image("two"), OCI_MANIFEST, "v2"))
    with pytest.raises(UsageError) as caught:
        run(store.only_image())
    assert caught.value.code == "usage"
    assert caught.value.hint == "it holds v1, v2"
    assert run(store.get_manifest("v1")) is not None


def test_two_contents_of_one_name_are_refused(store):
    run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    run(store.put_manifest(image("two"), OCI_MANIFEST, "v2"))
    path = Path(store.layout.path, "index.json")
    path.write_text(path.read_text().replace("v2", "v1"))
    with pytest.raises(LayoutInvalidError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "layout-invalid"


def test_entries_of_others_are_kept_as_they_are(store):
    run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    path = Path(store.layout.path, "index.json")
    document = json.loads(path.read_bytes())
    document["annotations"] = {"who": "ours"}
    document["manifests"][0] |= {"platform": {"os": "linux", "architecture": "arm64"}, "x": [1]}
    path.write_text(json.dumps(document))
    run(store.put_manifest(image("two"), OCI_MANIFEST, "v2"))
    after = json.loads(path.read_bytes())
    assert after["annotations"] == {"who": "ours"}
    assert after["manifests"][0] == document["manifests"][0]


def test_kind_and_name_can_be_given_to_what_is_there(store):
    digest = run(store.put_manifest(image(), OCI_MANIFEST))
    annotations = (("kind", "dev.cosignproject.cosign/image"),)
    run(store.list_entry(Descriptor(OCI_MANIFEST, 0, digest, annotations)))
    entries = json.loads(Path(store.layout.path, "index.json").read_bytes())["manifests"]
    assert [entry["annotations"] for entry in entries] == [dict(annotations)]
    assert entries[0]["size"] == len(image())
    with pytest.raises(NotFoundError) as caught:
        run(store.list_entry(Descriptor(OCI_MANIFEST, 0, IMAGE)))
    assert caught.value.code == "not-found"


def test_sha512_blobs(store):
    digest = Digest.of(b"large", "sha512")
    run(store.put_blob(b"large", digest))
    assert run(store.get_blob(digest, limit=5)) == b"large"
    assert Path(store.layout.path, "blobs/sha512", digest.hex).is_file()


def test_blobs_from_files_and_other_layouts(store, tmp_path):
    path = tmp_path / "layer"
    path.write_bytes(b"x" * 3_000_000)
    digest = Digest.of(path.read_bytes())
    run(store.put_blob(FileBody(str(path), 3_000_000), digest))
    other = LayoutStore(str(tmp_path / "other"))
    assert run(other.mount_blob(digest, store)) is True
    assert run(other.get_blob(digest, limit=3_000_000)) == path.read_bytes()
    assert run(other.mount_blob(digest, store)) is True
    assert run(other.mount_blob(Digest.of(b"nothing"), store)) is False
    assert os.listdir(Path(other.layout.path, "blobs/sha256")) == [digest.hex]
    with pytest.raises(NotFoundError) as caught:
        run(other.put_blob(FileBody(str(tmp_path / "none"), 1), Digest.of(b"1")))
    assert caught.value.code == "not-found"


def test_no_blob_is_kept_under_another_digest(store, tmp_path):
    path = tmp_path / "layer"
    path.write_bytes(b"other bytes")
    for body in (b"other bytes", FileBody(str(path), 11)):
        with pytest.raises(DigestMismatchError) as caught:
            run(store.put_blob(body, Digest.of(b"bytes")))
        assert caught.value.code == "digest-mismatch"
    assert os.listdir(Path(store.layout.path, "blobs/sha256")) == []
    run(store.put_blob(b"bytes", Digest.of(b"bytes")))
    assert run(store.has_blob(Digest.of(b"bytes"))) is True


def test_a_blob_left_by_a_crash_is_written_again(store):
    digest = Digest.of(b"bytes")
    run(store.put_blob(b"bytes", digest))
    path = Path(store.layout.path, "blobs/sha256", digest.hex)
    for left in (b"", b"bytez"):
        path.write_bytes(left)
        run(store.put_blob(b"bytes", digest))
        assert path.read_bytes() == b"bytes"
