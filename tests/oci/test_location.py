"""Where image arguments point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import InvalidReferenceError
from sealgate.oci.location import LayoutLocation, parse_location
from sealgate.oci.reference import Reference

GOOD = "sha256:" + "a" * 64
DIGEST = Digest.parse(GOOD)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:build", LayoutLocation("oci", "build")),
        ("oci:/srv/build:v1", LayoutLocation("oci", "/srv/build", "v1")),
        (f"oci:build@{GOOD}", LayoutLocation("oci", "build", None, DIGEST)),
        (f"oci:build:v1@{GOOD}", LayoutLocation("oci", "build", "v1", DIGEST)),
        ("oci-archive:image.tar", LayoutLocation("oci-archive", "image.tar")),
        (f"oci-archive:a b/ü.tar:V_1@{GOOD}", LayoutLocation("oci-archive", "a b/ü.tar", "V_1", DIGEST)),
        ("oci:a:b", LayoutLocation("oci", "a", "b")),
        ("oci:a:b/", LayoutLocation("oci", "a:b/")),
        ("oci:a:b/c", LayoutLocation("oci", "a:b/c")),
        ("oci:a:b:c", LayoutLocation("oci", "a:b", "c")),
        ("oci:a:.x", LayoutLocation("oci", "a:.x")),
        ("oci:a@b", LayoutLocation("oci", "a@b")),
        ("oci:user@host/dir:v1", LayoutLocation("oci", "user@host/dir", "v1")),
        ("oci:.", LayoutLocation("oci", ".")),
    ],
)
def test_layouts(text, expected) -> None:
    assert parse_location(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["oci:", "oci-archive:", "oci::v1", f"oci:@{GOOD}", "oci:a\n", "oci:a\0b", "oci:" + "a" * 5000, "oci://ghcr.io/o/a",
     "oci-archive://x", f"oci:a@{GOOD[:-1]}", f"oci:a@{GOOD.upper().replace('SHA', 'sha')}", "oci:a@sha512:" + "a" * 128, "OCI:a/b"],
)  # fmt: skip
def test_malformed_layouts(text) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_location(text)
    assert caught.value.code == "reference-invalid"


def test_registry() -> None:
    assert parse_location("ghcr.io/o/a:v1") == Reference("ghcr.io", "o/a", "v1")


def test_X06_a_file_named_like_a_digest_is_not_taken_for_either(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / GOOD).write_bytes(b"a file")
    for text in (GOOD, "a" * 64):
        with pytest.raises(InvalidReferenceError) as caught:
            parse_location(text)
        assert caught.value.code == "reference-invalid"
    with pytest.raises(InvalidReferenceError) as caught:
        parse_location(GOOD)
    assert "another" in (caught.value.hint or "")


def test_X06_hints_lead_to_what_is_there(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, expected in (("A", "oci:A"), ("B:v1", "oci:B:v1/"), (GOOD, f"oci:{GOOD}/")):
        (tmp_path / name).mkdir()
        with pytest.raises(InvalidReferenceError) as caught:
            parse_location(name)
        assert caught.value.hint is not None
        assert caught.value.hint.endswith(f"write {expected}")
        assert parse_location(expected).path.rstrip("/") == name
    (tmp_path / "IMAGE.tar").write_bytes(b"")
    with pytest.raises(InvalidReferenceError) as caught:
        parse_location("IMAGE.tar")
    assert (caught.value.hint or "").endswith("write oci-archive:IMAGE.tar")


def test_X06_a_directory_gets_a_hint_and_a_reference_stays_one(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nginx").mkdir()
    with pytest.raises(InvalidReferenceError) as caught:
        parse_location("./nginx")
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("oci:./nginx")
    with pytest.raises(InvalidReferenceError) as caught:
        parse_location("./nothing")
    assert "oci:./nothing" not in (caught.value.hint or "")
    assert parse_location("nginx") == Reference("index.docker.io", "library/nginx", "latest")


@given(st.text(max_size=30), st.sampled_from(["oci:", "oci-archive:", ""]), st.sampled_from(["", ":v1", f"@{GOOD}"]))
def test_round_trip(path, prefix, suffix) -> None:
    try:
        found = parse_location(prefix + path + suffix)
    except InvalidReferenceError:
        return
    assert parse_location(str(found)) == found
