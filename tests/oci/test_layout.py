"""Layouts as stores: what cosign saved, what we write, links that lead out, writers at once."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    JsonAmbiguousError,
    LayoutInvalidError,
    LimitError,
    ManifestAmbiguousError,
    ManifestInvalidError,
    NotFoundError,
    SealgateError,
    UsageError,
)
from sealgate.oci import layout_index
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.layout import LayoutStore
from sealgate.oci.layout_index import REF_NAME, Index
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


# -- what cannot be believed


def test_altered_bytes_are_not_given(store):
    raw = image()
    digest = run(store.put_manifest(raw, OCI_MANIFEST, "v1"))
    run(store.put_blob(b"blob", Digest.of(b"blob")))
    blobs = Path(store.layout.path, "blobs/sha256")
    (blobs / digest.hex).write_bytes(raw.replace(b"one", b"two"))
    (blobs / Digest.of(b"blob").hex).write_bytes(b"blop")
    sink, other = Collector(), LayoutStore(str(blobs.parents[2] / "other"))
    flows = (
        store.get_manifest("v1"),
        store.get_manifest(digest),
        store.get_blob(Digest.of(b"blob"), limit=10),
        store.get_blob_to(Digest.of(b"blob"), sink),
        other.mount_blob(Digest.of(b"blob"), store),
    )
    for flow in flows:
        with pytest.raises(DigestMismatchError) as caught:
            run(flow)
        assert caught.value.code == "digest-mismatch"
    assert run(other.has_blob(Digest.of(b"blob"))) is False


def test_D02_sizes_are_bounded(store, monkeypatch):
    run(store.put_blob(b"12345", Digest.of(b"12345")))
    assert run(store.get_blob(Digest.of(b"12345"), limit=5)) == b"12345"
    with pytest.raises(LimitError) as caught:
        run(store.get_blob(Digest.of(b"12345"), limit=4))
    assert caught.value.code == "limit-exceeded"
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    monkeypatch.setattr(limits, "LAYOUT_INDEX_BYTES", 10)
    with pytest.raises(LimitError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "limit-exceeded"


def test_D01_counts_are_bounded(store, monkeypatch):
    for number in range(3):
        run(store.put_manifest(image(str(number)), OCI_MANIFEST, f"v{number}"))
    monkeypatch.setattr(limits, "LAYOUT_ENTRIES", 3)
    assert len(run(store.list_tags())) == 3
    assert run(store.list_referrers(IMAGE)) == []
    for flow in (store.put_manifest(image("3"), OCI_MANIFEST, "v3"), store.list_referrers(IMAGE)):
        with pytest.raises(LimitError) as caught:
            run(flow)
        assert caught.value.code == "limit-exceeded"
    assert len(run(store.list_tags())) == 3


def test_M13_a_size_that_lies(store):
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    path = Path(store.layout.path, "index.json")
    document = json.loads(path.read_bytes())
    document["manifests"][0]["size"] -= 1
    path.write_text(json.dumps(document))
    with pytest.raises(LayoutInvalidError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "layout-invalid"


def test_M01_a_media_type_that_lies(store):
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    path = Path(store.layout.path, "index.json")
    path.write_text(path.read_text().replace(OCI_MANIFEST, OCI_INDEX))
    with pytest.raises(ManifestAmbiguousError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "manifest-ambiguous"


def test_what_is_no_manifest_is_not_listed(store):
    with pytest.raises(ManifestInvalidError) as caught:
        run(store.put_manifest(b'{"schemaVersion":2}', OCI_MANIFEST, "v1"))
    assert caught.value.code == "manifest-invalid"
    assert run(store.list_tags()) == []


def test_a_listed_manifest_that_is_missing(store):
    digest = run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    Path(store.layout.path, "blobs/sha256", digest.hex).unlink()
    with pytest.raises(LayoutInvalidError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "layout-invalid"
    assert run(store.get_manifest(digest)) is None


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "layout-invalid"),
        ("oci-layout", b"[]", "layout-invalid"),
        ("oci-layout", None, "layout-invalid"),
        ("index.json", None, "layout-invalid"),
        ("index.json", b"", "layout-invalid"),
        ("index.json", b'{"manifests":[]}', "layout-invalid"),
        ("index.json", b'{"schemaVersion":1,"manifests":[]}', "layout-invalid"),
        ("index.json", b'{"schemaVersion":2,"manifests":{}}', "layout-invalid"),
        ("index.json", b'{"schemaVersion":2,"manifests":[{}]}', "layout-invalid"),
        ("index.json", b'{"schemaVersion":2,"manifests":[],"manifests":[]}', "json-ambiguous"),
        ("index.json", b'{"schemaVersion":2,"manifests":[],"Manifests":[]}', "json-ambiguous"),
        ("index.json", b'{"schemaVersion":2,"mediaType":"x/y","manifests":[]}', "layout-invalid"),
    ],
)
def test_M03_layouts_that_are_none(store, name, content, code):
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    assert run(store.get_manifest("v1")) is not None
    path = Path(store.layout.path, name)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises((LayoutInvalidError, JsonAmbiguousError)) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == code


def test_a_directory_of_other_things_is_not_written_to(tmp_path):
    (tmp_path / "precious").write_text("mine")
    store = LayoutStore(str(tmp_path))
    for flow in (
        store.put_manifest(image(), OCI_MANIFEST, "v1"),
        store.get_manifest("v1"),
        store.put_blob(b"", Digest.of(b"")),
    ):
        with pytest.raises(LayoutInvalidError) as caught:
            run(flow)
        assert caught.value.code == "layout-invalid"
    assert os.listdir(tmp_path) == ["precious"]
    file = LayoutStore(str(tmp_path / "precious"))
    for flow in (file.get_manifest("v1"), file.put_manifest(image(), OCI_MANIFEST, "v1")):
        with pytest.raises(LayoutInvalidError) as caught:
            run(flow)
        assert caught.value.code == "layout-invalid"


# -- links


@pytest.mark.parametrize("where", ["blob", "blobs/sha256", "blobs", "index.json", "oci-layout"])
def test_X07_links_are_not_followed(store, tmp_path, where):
    digest = run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    assert run(store.get_manifest("v1")) is not None
    path = Path(store.layout.path, f"blobs/sha256/{digest.hex}" if where == "blob" else where)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    flows = [store.get_manifest("v1"), store.get_manifest(digest)]
    if where == "blob":
        flows += [store.get_blob(digest, limit=9999), store.get_blob_to(digest, Collector()), store.has_blob(digest)]
    if where.startswith("blobs"):
        flows += [store.put_blob(b"new", Digest.of(b"new")), store.list_referrers(IMAGE)]
    for flow in flows:
        with pytest.raises(LayoutInvalidError) as caught:
            run(flow)
        assert caught.value.code == "layout-invalid"
    if where != "blob":
        assert "new" not in str(list(tmp_path.rglob("*")))


def test_X07_a_link_in_blobs_is_no_referrer_and_no_source(store, tmp_path):
    raw = image("signature", subject=Descriptor(OCI_MANIFEST, 401, IMAGE))
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    (tmp_path / "outside").write_bytes(raw)
    blobs = Path(store.layout.path, "blobs/sha256")
    (blobs / Digest.of(raw).hex).symlink_to(tmp_path / "outside")
    assert run(store.list_referrers(IMAGE)) == []
    with pytest.raises(LayoutInvalidError) as caught:
        run(LayoutStore(str(tmp_path / "other")).mount_blob(Digest.of(raw), store))
    assert caught.value.code == "layout-invalid"


def test_X07_what_is_written_replaces_a_link_and_not_its_target(store, tmp_path):
    run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    (tmp_path / "outside").write_text("mine")
    raw = image("two")
    path = Path(store.layout.path, "blobs/sha256", Digest.of(raw).hex)
    path.symlink_to(tmp_path / "outside")
    run(store.put_manifest(raw, OCI_MANIFEST, "v2"))
    assert (tmp_path / "outside").read_text() == "mine"
    assert not path.is_symlink()
    assert path.read_bytes() == raw


def test_X07_special_files_are_refused_at_once(store):
    digest = run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    path = Path(store.layout.path, "blobs/sha256", digest.hex)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LayoutInvalidError) as caught:
        run(store.get_manifest("v1"))
    assert caught.value.code == "layout-invalid"
    assert run(store.list_referrers(IMAGE)) == []


def test_the_directory_itself_may_be_a_link(store, tmp_path):
    run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    (tmp_path / "link").symlink_to(store.layout.path)
    assert run(LayoutStore(str(tmp_path / "link")).get_manifest("v1")) is not None


# -- writers at once

_WRITER = """
import sys
from sealgate.oci.layout import LayoutStore
from sealgate.oci.manifest import OCI_MANIFEST
layout = LayoutStore(sys.argv[1]).layout
sys.stdin.read(1)
for number in range(3):
    raw = sys.argv[3].encode().replace(b"NAME", f"{sys.argv[2]}-{number}".encode())
    layout.put_manifest(raw, OCI_MANIFEST, f"{sys.argv[2]}-{number}")
"""


def test_16_processes_lose_nothing(store):
    template = image("NAME", subject=Descriptor(OCI_MANIFEST, 401, IMAGE)).decode()
    command = [sys.executable, "-c", _WRITER, store.layout.path]
    writers = [
        subprocess.Popen([*command, f"w{number}", template], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(16)
    ]
    for writer in writers:
        writer.stdin.write(b".")
        writer.stdin.close()
    for writer in writers:
        assert (writer.stderr.read(), writer.wait(60)) == (b"", 0)
        writer.stderr.close()
    expected = {f"w{writer}-{number}" for writer in range(16) for number in range(3)}
    assert set(run(store.list_tags())) == expected
    assert len(run(store.list_referrers(IMAGE))) == 48
    assert sorted(os.listdir(store.layout.path)) == ["blobs", "index.json", "oci-layout"]
    assert not [name for name in os.listdir(Path(store.layout.path, "blobs/sha256")) if name.startswith(".")]


def test_16_threads_lose_nothing(store):
    failures = []

    def write(number):
        try:
            own = LayoutStore(store.layout.path) if number % 2 else store
            for round_ in range(3):
                run(own.put_manifest(image(f"{number}-{round_}"), OCI_MANIFEST, f"{number}-{round_}"))
        except SealgateError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(run(store.list_tags())) == 48


def test_a_layout_that_is_locked_for_long_is_given_up(store, monkeypatch):
    run(store.put_manifest(image("one"), OCI_MANIFEST, "v1"))
    monkeypatch.setattr(limits, "LOCK_SECONDS", 0.05)
    with store.layout.files.lock():
        with pytest.raises(SealgateError) as caught:
            run(store.put_manifest(image("two"), OCI_MANIFEST, "v2"))
        assert run(store.get_manifest("v1")) is not None
    assert caught.value.code == "timed-out"
    run(store.put_manifest(image("two"), OCI_MANIFEST, "v2"))


# -- index.json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(["v1", "v2", f"sha256-{IMAGE.hex}", f"sha256-{IMAGE.hex}.sig", "häß:/x"])
kinds = st.sampled_from(
    ["dev.cosignproject.cosign/image", "dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts", "other"]
)
digests = st.sampled_from([IMAGE, Digest.of(b"1"), Digest.of(b"2"), Digest.of(b"2", "sha512")])
annotated = st.fixed_dictionaries({}, optional={REF_NAME: names, "kind": kinds, "x": st.text(max_size=3)})
descriptors = st.builds(
    lambda digest, annotations: Descriptor(OCI_MANIFEST, 1, digest, tuple(annotations.items())), digests, annotated
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_anything_is_an_index_or_an_error_of_ours(raw):
    try:
        layout_index.parse(raw, "it")
    except SealgateError as error:
        assert error.code in {"layout-invalid", "json-ambiguous", "limit-exceeded"}


@given(st.dictionaries(st.sampled_from(["mediaType", "size", "digest", "annotations", "platform", "x"]), json_values))
def test_any_entry_is_read_or_an_error_of_ours(entry):
    raw = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    try:
        found = layout_index.parse(raw, "it")
    except SealgateError as error:
        assert error.code in {"layout-invalid", "json-ambiguous", "limit-exceeded"}
    else:
        assert found.entries[0].document == entry


@given(st.lists(descriptors, max_size=8))
def test_an_index_survives_being_written(listed):
    index = Index()
    for descriptor in listed:
        index = index.listed(descriptor)
    assert layout_index.parse(index.encode(), "it") == index


@given(st.lists(descriptors, max_size=6), names, digests)
def test_listing_a_name_gives_it_to_that_content_and_changes_no_other(listed, name, digest):
    before = Index()
    for descriptor in listed:
        before = before.listed(descriptor)
    after = before.listed(Descriptor(OCI_MANIFEST, 1, digest, ((REF_NAME, name),)))
    assert after.tagged(name, "it").descriptor.digest == digest
    assert after.of(digest) is not None
    for other in set(before.tags()) - {name}:
        with_other = [entry.descriptor.digest for entry in before.entries if entry.tag == other]
        assert [entry.descriptor.digest for entry in after.entries if entry.tag == other] == with_other
    assert name not in after.without_tag(name).tags() or after.without_tag(name) != after
    assert after.without_digest(digest).of(digest) is None
