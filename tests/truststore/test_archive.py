"""A TUF repository in one file: what is taken out of it, and what an archive may not be."""

import gzip
import io
import json
import tarfile

import pytest

from sealgate import limits
from sealgate.errors import TrustUpdateError
from sealgate.truststore import archive
from trust_service.repository import Repository

NAME = "trusted_root.json"
CONTENT = json.dumps({"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}).encode()


@pytest.fixture(scope="module")
def published(running_trust_service):
    made = Repository()
    made.publish({NAME: CONTENT, "other.json": b"{}"}, running_trust_service.now())
    return made


def packed(files, *, prefix="", members=()):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as made:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return raw.getvalue()


def target(raw, published, *, targets="targets", name=NAME):
    return archive.target(raw, root=published.files["1.root.json"], targets=targets, name=name)


def member(name, kind=tarfile.REGTYPE, size=1, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, 0 if link else size, link
    return made


@pytest.mark.parametrize("prefix", ["", "./", "repository/", "/", "a/b/"])
def test_wherever_the_repository_is_in_the_archive(published, prefix):
    assert target(packed(published.files, prefix=prefix), published) == CONTENT
    assert target(packed(published.files, prefix=prefix), published, name="other.json") == b"{}"


def test_the_folder_of_targets_is_named(published):
    moved = {
        name.replace("targets/", "files/", 1) if name.startswith("targets/") else name: data
        for name, data in published.files.items()
    }
    assert target(packed(moved), published, targets="files") == CONTENT
    with pytest.raises(TrustUpdateError):
        target(packed(moved), published)


@pytest.mark.parametrize(
    ("members", "said"),
    [([member("../x")], "outside itself"), ([member("a/../../x")], "outside itself"), ([member("timestamp.json")], "twice"), ([member("./timestamp.json")], "twice")],
)  # fmt: skip
def test_U06_names_that_lead_outside_or_stand_there_twice(published, members, said):
    with pytest.raises(TrustUpdateError, match=said):
        target(packed(published.files, members=members), published)
    assert target(packed(published.files, members=[member("x")]), published) == CONTENT


def test_U06_links_are_no_files(published):
    links = [
        member("more.json", tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard.json", tarfile.LNKTYPE, link="timestamp.json"),
    ]
    assert target(packed(published.files, members=links), published) == CONTENT
    without = {name: data for name, data in published.files.items() if name != "timestamp.json"}
    with pytest.raises(TrustUpdateError, match=r"no timestamp\.json"):
        target(packed(without, members=[member("timestamp.json", tarfile.SYMTYPE, link="/x")]), published)


def test_an_archive_has_bounds(published, monkeypatch):
    monkeypatch.setattr(limits, "TUF_ARCHIVE_BYTES", 1_000_000)
    assert target(packed(published.files), published) == CONTENT
    with pytest.raises(TrustUpdateError, match="larger than 1000000 bytes"):
        target(packed(published.files | {"zeros": bytes(1_000_000)}), published)
    monkeypatch.setattr(limits, "TUF_FILES", len(published.files))
    assert target(packed(published.files), published) == CONTENT
    with pytest.raises(TrustUpdateError, match="too many"):
        target(packed(published.files | {"one": b"more"}), published)


@pytest.mark.parametrize("alter", [lambda raw: raw[:100], lambda raw: b"x" + raw, gzip.decompress, lambda raw: b""])
def test_what_is_no_archive(published, alter):
    raw = packed(published.files)
    with pytest.raises(TrustUpdateError) as found:
        target(alter(raw), published)
    assert found.value.code == "trust-update-invalid"
    assert target(raw, published) == CONTENT


def test_U06_a_file_is_not_larger_than_the_archive(published):
    """Sparse members and sizes that are none: what is not in the archive is never written out."""
    for headers in ({"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}, {"size": "9" * 23}):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz", format=tarfile.PAX_FORMAT) as made:
            big = tarfile.TarInfo("x")
            big.pax_headers = headers
            made.addfile(big, io.BytesIO())
        with pytest.raises(TrustUpdateError, match="no gzipped tar"):
            target(raw.getvalue(), published)
    assert target(packed(published.files, members=[member("x")]), published) == CONTENT
