"""References: the frozen corpus, the properties, and stage 1 of the bypass catalogue.

`references.json` has for each text what is expected here, and what distribution/reference 0.6.0 (containerd, Docker) and
go-containerregistry 0.22.1 (cosign) made of it: `[registry, repository, tag, digest]`, or null for a refusal.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import InvalidReferenceError
from sealgate.oci.reference import Reference, parse, parse_registry, parse_repository, parse_tag

CORPUS = json.loads((pathlib.Path(__file__).parent / "references.json").read_text("utf-8"))
GOOD = "sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef"
EVIL = "sha256:" + "e" * 64
ALIASES = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def parts(text: str) -> list[str | None] | None:
    try:
        found = parse(text)
    except InvalidReferenceError as error:
        assert error.code == "reference-invalid"
        assert error.exit_code == 2
        return None
    return [found.registry, found.repository, found.tag, str(found.digest) if found.digest else None]


def refused(text: str) -> InvalidReferenceError:
    with pytest.raises(InvalidReferenceError) as caught:
        parse(text)
    assert caught.value.code == "reference-invalid"
    return caught.value


@pytest.mark.parametrize("row", CORPUS, ids=[f"{row['id']}-{index}" for index, row in enumerate(CORPUS)])
def test_corpus_R01_R04_R05_R06_R07_R08_R09_R10_R12_R15_M15(row) -> None:
    assert parts(row["text"]) == row["expected"]


@pytest.mark.parametrize("column", ["distribution", "go_containerregistry"])
def test_corpus_is_never_looser_than_other_parsers(column) -> None:
    """What is accepted here, they accept, as the same repository but for the spellings that are made canonical here."""
    for row in CORPUS:
        ours, theirs = row["expected"], row[column]
        if ours is None:
            continue
        assert theirs is not None, row["text"]
        registry, repository = theirs[0].lower(), theirs[1]
        if registry.removesuffix(":443") in ALIASES:
            assert ours[0] == "index.docker.io"
        elif registry.startswith("[2001:"):
            assert ours[0] == "[2001:db8::1]" + registry.partition("]")[2]
        else:
            assert ours[0] in {registry, registry.removesuffix(":443")}
        assert ours[1] == repository
        assert ours[3] == theirs[3]


def test_corpus_size() -> None:
    assert len(CORPUS) >= 200
    assert len({row["text"] for row in CORPUS}) == len(CORPUS)
    assert sum(row["expected"] is not None for row in CORPUS) >= 80


def test_R01_digest_decides_and_tag_is_kept_for_display() -> None:
    found = parse(f"r:signed@{EVIL}")
    assert found.which == Digest.parse(EVIL)
    assert found.tag == "signed"
    assert str(found) == f"index.docker.io/library/r:signed@{EVIL}"
    assert parse(f"r:nosuchtag@{GOOD}").which == Digest.parse(GOOD)
    assert parse("r:signed").which == "signed"
    assert parse("r").which == "latest"


@pytest.mark.parametrize(
    "text", ["nginx", "docker.io/nginx", "docker.io/library/nginx", "index.docker.io/nginx", "registry-1.docker.io/library/nginx",
             "registry.hub.docker.com/library/nginx", "DOCKER.io:443/library/nginx"]
)  # fmt: skip
def test_R04_docker_hub_has_one_name(text) -> None:
    found = parse(text)
    assert found.name == "index.docker.io/library/nginx"
    assert found.hub
    assert found.api_host == "index.docker.io"


def test_R04_other_registries_are_not_docker_hub() -> None:
    for text in ("ghcr.io/library/nginx", "docker.io.evil.test/library/nginx", "docker.io:5000/library/nginx"):
        assert not parse(text).hub


def test_R06_user_information_is_refused_and_never_shown() -> None:
    for text in (
        "user:s3cret@ghcr.io/o/a",
        "https://user:s3cret@ghcr.io/o/a",
        "user:s3cret@ghcr.io",
        f"a:s3cret@b@{GOOD}",
    ):
        error = refused(text)
        assert "s3cret" not in error.message + (error.hint or "")
    assert parse("ghcr.io/o/a").registry == "ghcr.io"


def test_R08_messages_name_the_character() -> None:
    assert "U+212A" in refused("\u212aernel").message
    assert "U+00A0" in refused("nginx\u00a0").message
    assert "U+000A at position 6" in refused("nginx\n").message


def test_R12_hints_say_what_to_write() -> None:
    assert "registry/repository@sha256:" in (refused(GOOD).hint or "")
    assert "without the scheme" in (refused("docker://nginx").hint or "")
    assert "oci:DIR" in (refused("docker-daemon:x").hint or "")


def test_M15_sha512_is_refused_with_the_reason() -> None:
    error = refused("ghcr.io/o/a@sha512:" + "a" * 128)
    assert "sha512" in error.message
    assert "sha256" in (error.hint or "")


def test_over_long_message_is_short() -> None:
    for text in ("x" * 100_000, "ghcr.io/" + "a" * 400):
        assert len(refused(text).message) < 500


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("ghcr.io/o/a", "ghcr.io", None),
        ("ghcr.io:8443/o/a", "ghcr.io", 8443),
        ("localhost:5000/a", "localhost", 5000),
        ("[2001:db8::1]:5000/a", "2001:db8::1", 5000),
        ("[::1]/a", "::1", None),
        ("nginx", "index.docker.io", None),
    ],
)
def test_host_and_port(text, host, port) -> None:
    assert (parse(text).host, parse(text).port) == (host, port)


def test_with_digest_and_with_tag() -> None:
    found = parse("ghcr.io/o/a:v1")
    assert str(found.with_digest(Digest.parse(GOOD))) == f"ghcr.io/o/a@{GOOD}"
    assert str(found.with_digest(Digest.parse(GOOD)).with_tag("sha256-x.sig")) == "ghcr.io/o/a:sha256-x.sig"
    with pytest.raises(InvalidReferenceError):
        found.with_tag("../x")


def test_repository() -> None:
    assert parse_repository("GHCR.io/o/signatures") == Reference("ghcr.io", "o/signatures", None, None)
    assert parse_repository("localhost:5000/s").name == "localhost:5000/s"
    for text in ("ghcr.io/o/a:v1", f"ghcr.io/o/a@{GOOD}", "ghcr.io/o/a:", "", "ghcr.io/", "ghcr.io/o/a\n"):
        with pytest.raises(InvalidReferenceError) as caught:
            parse_repository(text)
        assert caught.value.code == "reference-invalid"


def test_registry() -> None:
    assert parse_registry("GHCR.io:443") == "ghcr.io"
    assert parse_registry("docker.io") == "index.docker.io"
    assert parse_registry("localhost:5000") == "localhost:5000"
    for text in ("ghcr.io/o", "https://ghcr.io", "ghcr.io.", "user@ghcr.io", "xn--a.io", "", "a b"):
        with pytest.raises(InvalidReferenceError):
            parse_registry(text)


def test_tag() -> None:
    assert parse_tag("V1.2_x-y") == "V1.2_x-y"
    for text in ("", ".x", "-x", "x/y", "x:y", "x\n", "t" * 129, "\u0661"):
        with pytest.raises(InvalidReferenceError):
            parse_tag(text)


LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?", fullmatch=True)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["localhost", "docker.io", "index.docker.io", "127.0.0.1", "[::1]", "[2001:DB8::A]", "10.0.0.300"]),
)
PORT = st.one_of(st.just(""), st.just(":443"), st.integers(0, 70000).map(lambda number: f":{number}"))
NAME = st.from_regex(r"[a-z0-9]{1,4}([._]|__|-{1,3})?[a-z0-9]{1,3}", fullmatch=True)
TAG = st.one_of(st.just(""), st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True))
DIGEST = st.sampled_from(["", f"@{GOOD}", f"@{EVIL}"])
LIKELY = st.tuples(HOST, PORT, st.lists(NAME, min_size=1, max_size=3).map("/".join), TAG, DIGEST).map(
    lambda parts: f"{parts[0]}{parts[1]}/{parts[2]}{parts[3]}{parts[4]}"
)
ALPHABET = st.text(alphabet="aAzZ09.:/@-_[]%~+xn\u212a\u00a0\n sha256", max_size=40)


@given(st.one_of(LIKELY, ALPHABET, st.text(max_size=60)))
def test_parses_to_a_canonical_text_or_raises(text) -> None:
    try:
        found = parse(text)
    except InvalidReferenceError:
        return
    assert parse(str(found)) == found
    assert str(found).isascii()
    assert found.registry == found.registry.lower()
    assert parse(f"{found.name}:x").name == found.name


@given(LIKELY, st.integers(0, 60), st.sampled_from("\n\r\t \0\u200b\u00a0\u212a\u0661\u202e%?#\\\"'<>*"))
def test_R08_no_foreign_character_anywhere(text, position, char) -> None:
    position = min(position, len(text))
    refused(text[:position] + char + text[position:])
