"""Layouts that cannot be believed, links that lead out of them, writers at once."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    DigestMismatchError,
    JsonAmbiguousError,
    LayoutInvalidError,
    LimitError,
    ManifestAmbiguousError,
    ManifestInvalidError,
    SealgateError,
)
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.layout import LayoutStore
from sealgate.oci.manifest import OCI_INDEX, OCI_MANIFEST, encode_image_manifest
from sealgate.transport import driver

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
