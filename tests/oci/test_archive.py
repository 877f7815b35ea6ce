"""Archives as layouts: read, written back whole, and hostile tar files refused."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ImageNotFoundError, LayoutInvalidError, LimitError, SealgateError
from sealgate.oci.archive import open_archive
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.layout import LayoutStore
from sealgate.oci.manifest import OCI_MANIFEST, encode_image_manifest
from sealgate.transport import driver

RECORDED = Path(__file__).parent / "recorded"
IMAGE = Digest.parse("sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef")
EMPTY = Descriptor("application/vnd.oci.empty.v1+json", 2, Digest.of(b"{}"))


def run(flow):
    """Drive a flow that needs no network."""

    def nobody(request, ends):
        raise AssertionError(request)

    return driver.run(flow, sender=nobody)


def image(text="one", **more) -> bytes:
    return encode_image_manifest(EMPTY, [EMPTY], annotations={"text": text}, **more)


def members_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def pack(members, *, more=(), format=tarfile.PAX_FORMAT) -> bytes:
    """A tar of files by name, and of further TarInfos as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info, data in more:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special(name, kind, target="") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def saved() -> dict[str, bytes]:
    """The files of a layout that cosign saved."""
    return members_of(RECORDED / "save-bundle")


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "image.tar"


@pytest.fixture(autouse=True)
def _temporary(tmp_path_factory, monkeypatch):
    """Every test leaves the temporary directory empty."""
    import tempfile

    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert os.listdir(folder) == []


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_archive_is_read_like_the_layout(archive, saved, compressed, prefix):
    raw = pack({prefix + name: data for name, data in saved.items()})
    archive.write_bytes(gzip.compress(raw) if compressed else raw)
    before = archive.stat()
    with open_archive(str(archive), writable=False) as store:
        assert store.name == f"oci-archive:{archive}"
        assert run(store.only_image()).digest == IMAGE
        assert run(store.get_manifest(IMAGE)).raw == saved[f"blobs/sha256/{IMAGE.hex}"]
        assert len(run(store.list_referrers(IMAGE))) == 1
        run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    assert archive.stat() == before


@pytest.mark.parametrize("compressed", [False, True])
def test_what_changed_is_written_back(archive, saved, compressed, tmp_path):
    raw = pack(saved)
    archive.write_bytes(gzip.compress(raw) if compressed else raw)
    archive.chmod(0o640)
    signature = image("signature", subject=Descriptor(OCI_MANIFEST, 401, IMAGE))
    with open_archive(str(archive), writable=True) as store:
        run(store.put_manifest(signature, OCI_MANIFEST))
    assert (archive.read_bytes()[:2] == b"\x1f\x8b") is compressed
    assert archive.stat().st_mode & 0o777 == 0o640
    with open_archive(str(archive), writable=False) as store:
        assert len(run(store.list_referrers(IMAGE))) == 2
        assert run(store.only_image()).digest == IMAGE
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    unpacked = members_of(tmp_path / "unpacked")
    assert unpacked.pop(f"blobs/sha256/{Digest.of(signature).hex}") == signature
    assert unpacked | {"index.json": b""} == saved | {"index.json": b""}
    assert len(run(LayoutStore(str(tmp_path / "unpacked")).list_referrers(IMAGE))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "unpacked"]


def test_nothing_is_written_when_nothing_changed_or_something_failed(archive, saved):
    archive.write_bytes(pack(saved))
    before = archive.stat()
    with open_archive(str(archive), writable=True) as store:
        assert run(store.get_manifest(IMAGE)) is not None
    assert archive.stat() == before

    def fail():
        with open_archive(str(archive), writable=True) as store:
            run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert archive.stat() == before


def test_a_new_archive(archive):
    with open_archive(str(archive), writable=True) as store:
        digest = run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    with open_archive(str(archive), writable=False) as store:
        assert run(store.get_manifest("v1")).digest == digest
    again = archive.with_name("again.tar")
    with open_archive(str(again), writable=True) as store:
        run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    assert again.read_bytes() == archive.read_bytes()


def test_no_archive(archive):
    with pytest.raises(ImageNotFoundError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "image-not-found"
    with open_archive(str(archive), writable=True) as store:
        assert run(store.list_tags()) == []
    assert not archive.exists()
    archive.mkdir()
    with pytest.raises(SealgateError) as caught, open_archive(str(archive), writable=True):
        pass
    assert caught.value.code == "unavailable"


@pytest.mark.parametrize("compressed", [False, True])
def test_large_members_are_unpacked_when_they_are_asked_for(archive, saved, compressed, monkeypatch):
    monkeypatch.setattr(limits, "ARCHIVE_EAGER_BYTES", 2000)
    large = {name: os.urandom(5000) for name in "ab"}
    digests = {name: Digest.of(data) for name, data in large.items()}
    raw = pack(saved | {f"blobs/sha256/{digests[name].hex}": data for name, data in large.items()})
    archive.write_bytes(gzip.compress(raw) if compressed else raw)
    with open_archive(str(archive), writable=True) as store:
        unpacked = Path(store.layout.files._directory, "blobs/sha256")
        assert run(store.has_blob(digests["a"])) is True
        assert not (unpacked / digests["a"].hex).exists()
        assert run(store.get_blob(digests["a"], limit=5000)) == large["a"]
        run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    with open_archive(str(archive), writable=True) as store:
        assert run(store.get_blob(digests["a"], limit=5000)) == large["a"]
        assert run(store.get_blob(digests["b"], limit=5000)) == large["b"]
        assert store.layout.files.remove_blob(digests["a"]) is True
    with open_archive(str(archive), writable=False) as store:
        assert run(store.has_blob(digests["a"])) is False
        assert run(store.has_blob(digests["b"])) is True


def test_what_docker_adds_is_kept_and_what_nobody_adds_is_not_lost(archive, saved):
    archive.write_bytes(pack(saved | {"manifest.json": b"[]", "repositories": b"{}"}))
    with open_archive(str(archive), writable=True) as store:
        run(store.put_manifest(image(), OCI_MANIFEST, "v1"))
    with tarfile.open(archive) as tar:
        assert {"manifest.json", "repositories"} <= set(tar.getnames())
    archive.write_bytes(pack(saved | {"notes/mine.txt": b"mine"}))
    before = archive.read_bytes()

    def change():
        with open_archive(str(archive), writable=True) as store:
            run(store.put_manifest(image(), OCI_MANIFEST, "v1"))

    with pytest.raises(LayoutInvalidError) as caught:
        change()
    assert caught.value.code == "layout-invalid"
    assert archive.read_bytes() == before
    with open_archive(str(archive), writable=False) as store:
        assert run(store.get_manifest(IMAGE)) is not None


def test_writers_at_once_lose_nothing(archive, saved):
    archive.write_bytes(pack(saved))
    program = (
        "import sys\n"
        "from sealgate.oci.archive import open_archive\n"
        "with open_archive(sys.argv[1], writable=True) as store:\n"
        "    store.layout.put_manifest(sys.argv[3].encode(), sys.argv[4], sys.argv[2])\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(archive), f"v{number}", image(str(number)).decode(), OCI_MANIFEST]
        )
        for number in range(8)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 8
    with open_archive(str(archive), writable=False) as store:
        assert set(run(store.list_tags())) == {f"v{number}" for number in range(8)}


# -- hostile


@pytest.mark.parametrize(
    "member",
    [
        special("blobs/sha256/" + "0" * 64, tarfile.SYMTYPE, "/etc/passwd"),
        special("blobs/sha256/" + "0" * 64, tarfile.LNKTYPE, "index.json"),
        special("blobs", tarfile.SYMTYPE, "/tmp"),
        special("fifo", tarfile.FIFOTYPE),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
        special("sparse", tarfile.GNUTYPE_SPARSE),
        special("../outside", tarfile.REGTYPE),
        special("blobs/../../outside", tarfile.REGTYPE),
        special("blobs/sha256/../../x", tarfile.REGTYPE),
        special("/absolute", tarfile.REGTYPE),
        special("//absolute", tarfile.REGTYPE),
        special(".", tarfile.REGTYPE),
        special("a\\b", tarfile.REGTYPE),
        special("a\nb", tarfile.REGTYPE),
        special("../outside", tarfile.DIRTYPE),
        special("index.json", tarfile.REGTYPE),
        special("./index.json", tarfile.REGTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_X07_members_that_no_layout_has(archive, saved, member):
    archive.write_bytes(pack(saved))
    with open_archive(str(archive), writable=False) as store:
        assert run(store.get_manifest(IMAGE)) is not None
    archive.write_bytes(pack(saved, more=[(member, b"")], format=tarfile.GNU_FORMAT))
    with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "layout-invalid"
    assert sorted(path.name for path in archive.parent.iterdir()) == ["image.tar"]


def test_altered_blobs_are_found_when_they_are_read(archive, saved):
    name = f"blobs/sha256/{IMAGE.hex}"
    archive.write_bytes(pack(saved | {name: saved[name] + b" "}))
    with open_archive(str(archive), writable=False) as store, pytest.raises(SealgateError) as caught:
        run(store.get_manifest(IMAGE))
    assert caught.value.code == "digest-mismatch"


@pytest.mark.parametrize(
    "raw", [b"", b"\x1f\x8b", b"not a tar" * 200, gzip.compress(b"not a tar" * 200, mtime=0), b"\0" * 2048]
)
def test_what_is_no_archive(archive, raw):
    archive.write_bytes(raw)
    with pytest.raises(SealgateError) as caught, open_archive(str(archive), writable=False) as store:
        run(store.only_image())
    assert caught.value.code == ("layout-invalid" if raw else "image-not-found")


def test_an_archive_that_is_cut_off(archive, saved):
    whole = pack(saved)
    packed = gzip.compress(whole)
    for raw in (whole[: len(whole) // 2], packed[: len(packed) // 2]):
        archive.write_bytes(raw)
        with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
            pass
        assert caught.value.code == "layout-invalid"


def test_a_tar_without_a_layout(archive, saved):
    for missing in ("oci-layout", "index.json"):
        archive.write_bytes(pack({name: data for name, data in saved.items() if name != missing}))
        with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
            pass
        assert caught.value.code == "layout-invalid"


def test_D07_bombs_are_bounded(archive, saved, monkeypatch):
    bomb = bytes(3_000_000)
    archive.write_bytes(gzip.compress(pack(saved | {f"blobs/sha256/{Digest.of(bomb).hex}": bomb})))
    monkeypatch.setattr(limits, "ARCHIVE_FREE_BYTES", 5_000_000)
    with open_archive(str(archive), writable=False) as store:
        assert run(store.has_blob(Digest.of(bomb))) is True
    monkeypatch.setattr(limits, "ARCHIVE_FREE_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "ARCHIVE_RATIO", 10)
    with pytest.raises(LimitError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "limit-exceeded"


def test_D01_members_are_bounded(archive, saved, monkeypatch):
    archive.write_bytes(pack(saved))
    monkeypatch.setattr(limits, "LAYOUT_ENTRIES", len(saved))
    with open_archive(str(archive), writable=False) as store:
        assert run(store.get_manifest(IMAGE)) is not None
    monkeypatch.setattr(limits, "LAYOUT_ENTRIES", len(saved) - 1)
    with pytest.raises(LimitError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "limit-exceeded"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_D02_extended_headers_are_bounded(archive, saved, kind):
    header = special("x", kind)
    header.size = 100 * 1024
    archive.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"1" * header.size + pack(saved))
    with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "layout-invalid"


def test_D11_a_chain_of_extended_headers(archive, saved):
    header = special("x", tarfile.GNUTYPE_LONGNAME)
    header.size = 2
    link = header.tobuf(tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")
    archive.write_bytes(link * 5000 + pack(saved))
    with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "layout-invalid"


def test_a_negative_size(archive, saved):
    header = bytearray(special("blobs/sha256/" + "0" * 64, tarfile.REGTYPE).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive.write_bytes(pack(saved)[:-1024] + bytes(header) + bytes(1024))
    with pytest.raises(LayoutInvalidError) as caught, open_archive(str(archive), writable=False):
        pass
    assert caught.value.code == "layout-invalid"


@settings(max_examples=60)
@given(st.data())
def test_any_bytes_are_an_archive_or_an_error_of_ours(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "image.tar"
    raw = bytearray(pack(members_of(RECORDED / "save-bundle")))
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, 1500) | st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.none() | st.integers(0, len(raw)))])
    try:
        with open_archive(str(path), writable=False) as store:
            run(store.list_referrers(run(store.only_image()).digest))
    except SealgateError as error:
        assert error.code
