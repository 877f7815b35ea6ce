"""triangulate and generate: cosign's own words for an image."""

import json

import pytest

from peers.images import push_image

NOWHERE = "127.0.0.1:1/a/b"
DIGEST = "sha256:" + "3ea851cf" * 8


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("signature", f"{NOWHERE}:sha256-{DIGEST[7:]}.sig"),
        ("attestation", f"{NOWHERE}:sha256-{DIGEST[7:]}.att"),
        ("sbom", f"{NOWHERE}:sha256-{DIGEST[7:]}.sbom"),
        ("digest", f"{NOWHERE}@{DIGEST}"),
    ],
)
def test_triangulate_by_digest_asks_nobody(sealgate, type_, expected):
    assert sealgate("triangulate", "--type", type_, f"{NOWHERE}@{DIGEST}", check=True).stdout == expected + "\n"


def test_triangulate_as_cosign(sealgate, cosign3, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    for type_ in ("signature", "attestation", "sbom", "digest"):
        arguments = ("triangulate", "--type", type_, image.tagged)
        assert sealgate(*arguments, check=True).stdout == cosign3(*arguments, check=True).stdout


def test_triangulate_with_another_repository(sealgate):
    said = sealgate("triangulate", f"{NOWHERE}@{DIGEST}", env={"COSIGN_REPOSITORY": "127.0.0.1:1/sigs"}, check=True)
    assert said.stdout == f"127.0.0.1:1/sigs:sha256-{DIGEST[7:]}.sig\n"


def test_triangulate_a_tag_that_is_not_there(sealgate, docker_registry, repository):
    push_image(docker_registry, repository, "v1")
    said = sealgate("triangulate", f"{docker_registry}/{repository}:nope")
    assert (said.returncode, said.stdout) == (11, "")
    assert "[image-not-found]" in said.stderr


def test_generate_by_digest_asks_nobody_and_prints_no_newline(sealgate):
    said = sealgate("generate", "-a", "foo=bar", f"{NOWHERE}@{DIGEST}", check=True)
    assert said.stdout == (
        '{"critical":{"identity":{"docker-reference":"127.0.0.1:1/a/b"},"image":{"docker-manifest-digest":"'
        + DIGEST
        + '"},"type":"cosign container image signature"},"optional":{"foo":"bar"}}'
    )


def test_generate_as_cosign(sealgate, cosign3, cosign2, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    for arguments in (("generate", image.tagged), ("generate", "-a", "b=<&>", "-a", "a=ü", image.tagged)):
        ours = sealgate(*arguments, check=True).stdout
        assert ours == cosign3(*arguments, check=True).stdout == cosign2(*arguments, check=True).stdout
        assert json.loads(ours)["critical"]["image"]["docker-manifest-digest"] == image.digest


def test_generate_refuses_a_bad_reference(sealgate):
    said = sealgate("generate", f"{NOWHERE}@sha256:123")
    assert (said.returncode, said.stdout) == (2, "")
    assert "[reference-invalid]" in said.stderr
