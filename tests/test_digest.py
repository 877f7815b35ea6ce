"""Digests: bypasses R10 (used before they are validated) and M15 (two algorithms)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError, DigestMismatchError

HEX = hashlib.sha256(b"content").hexdigest()
GOOD = f"sha256:{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "sha256:../../x",
        "sha256:../../v2/other",
        "sha256:",
        "sha256",
        "",
        ":",
        HEX,
        f":{HEX}",
        f"md5:{'a' * 32}",
        f"sha1:{'a' * 40}",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha256:{HEX[:-1]}g",
        f"sha256:{HEX[:-1]}/",
        f"sha256:{HEX[:-1]}\n",
        f"{GOOD}\n",
        f" {GOOD}",
        f"sha256::{HEX[:-1]}",
        f"sha256:{'٠' * 64}",
        f"sha256-{HEX}",
        f"sha512:{HEX}",
        f"sha384:{'a' * 96}",
        f"sha256+b64:{HEX}",
        GOOD + "a" * 1000,
    ],
)
def test_R10_what_is_not_a_digest(text):
    with pytest.raises(DigestInvalidError) as caught:
        Digest.parse(text)
    assert caught.value.code == "digest-invalid"
    assert caught.value.message.isascii() or "…" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("value", [None, 1, True, b"sha256:" + HEX.encode(), ["sha256", HEX], {"sha256": HEX}])
def test_R10_what_is_not_even_text(value):
    with pytest.raises(DigestInvalidError) as caught:
        Digest.parse(value)
    assert caught.value.code == "digest-invalid"


def test_R10_twin_a_digest():
    digest = Digest.parse(GOOD)
    assert (digest.algorithm, digest.hex, str(digest)) == ("sha256", HEX, GOOD)
    assert digest == Digest.of(b"content")


def test_M15_sha512_is_another_digest_even_when_the_hex_agrees():
    long = Digest.parse(f"sha512:{HEX}{HEX}")
    assert str(Digest.of(b"content", "sha512")) == "sha512:" + hashlib.sha512(b"content").hexdigest()
    assert Digest("sha256", HEX) != Digest("sha512", HEX)
    assert len({Digest("sha256", HEX), Digest("sha512", HEX), Digest.parse(GOOD), long}) == 3


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_M15_content_is_checked_with_the_algorithm_of_the_digest(algorithm):
    digest = Digest.of(b"content", algorithm)
    digest.check(b"content", "the manifest")
    with pytest.raises(DigestMismatchError) as caught:
        digest.check(b"Content", "the manifest")
    assert caught.value.code == "digest-mismatch"
    assert caught.value.message.startswith("the manifest: asked for " + str(digest))
    assert str(Digest.of(b"Content", algorithm)) in caught.value.message


@given(st.text(max_size=150))
def test_any_text_is_refused_or_read_as_it_stands(text):
    try:
        digest = Digest.parse(text)
    except DigestInvalidError:
        return
    assert str(digest) == text


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_what_is_made_is_read(data, algorithm):
    digest = Digest.of(data, algorithm)
    assert Digest.parse(str(digest)) == digest
    digest.check(data, "it")
