"""clean: deletes what is attached, and nothing else."""

import json

import pytest

from peers.attachments import COSIGN_OFFLINE, add_missing_to_fallback, add_to_fallback, attach_artifact, fallback_tag
from peers.images import Client, push_image


@pytest.fixture
def left(sealgate):
    """What is attached to an image, by origin or type."""

    def look(image):
        document = json.loads(sealgate("tree", "-o", "json", image, check=True).stdout)
        return sorted(artifact["predicateType"] or artifact["artifactType"] for artifact in document["artifacts"])

    return look


BUNDLE = "https://sigstore.dev/cosign/sign/v1"
LEGACY = "application/vnd.oci.image.config.v1+json"
SBOM = "application/spdx+json"


@pytest.fixture
def signed(sign, pushed):
    sign(pushed.reference, "--format", "both")
    attach_artifact(Client(pushed.host), pushed, SBOM, b"{}")
    return pushed


@pytest.mark.parametrize(
    ("type_", "stays"),
    [("all", []), ("referrer", [LEGACY]), ("signature", [SBOM]), ("sbom", [LEGACY, BUNDLE]),
     ("attestation", [LEGACY, SBOM, BUNDLE])],
)  # fmt: skip
def test_deletes_by_type(sealgate, left, signed, type_, stays):
    assert left(signed.tagged) == sorted([LEGACY, SBOM, BUNDLE])
    said = sealgate("clean", "-f", "--type", type_, signed.tagged, check=True)
    assert left(signed.tagged) == sorted(stays)
    assert said.stderr.count("Removed ") == 3 - len(stays)
    assert Client(signed.host).get_manifest(signed.repository, "v1").status == 200


def test_a_cleaned_image_is_unsigned_and_can_be_signed_again(sealgate, cosign3, sign, verify, keys, signed):
    assert verify(signed.tagged) == 0
    sealgate("clean", "-f", signed.tagged, check=True)
    assert verify(signed.tagged) == 10
    offline = ("verify", "--key", keys.public, "--insecure-ignore-tlog", signed.tagged)
    assert cosign3(*offline).returncode == 10
    sign(signed.reference)
    assert verify(signed.tagged) == cosign3(*offline).returncode == 0


def test_what_cosign_attached(sealgate, cosign3, verify, left, keys, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    for more in ((), ("--new-bundle-format=false",)):
        cosign3("sign", "--key", keys.private, *COSIGN_OFFLINE, *more, image.reference, check=True)
    said = sealgate("clean", "--force", image.reference, check=True)
    assert f"Removed {image.name}:{fallback_tag(image)}.sig from {image.reference}" in said.stderr
    assert left(image.tagged) == []
    assert Client(docker_registry).tags(repository) == ["v1"]


def test_it_asks_first(sealgate, left, signed):
    declined = sealgate("clean", signed.tagged, input="n\n")
    assert declined.returncode == 1
    assert "[aborted]" in declined.stderr
    assert sealgate("clean", signed.tagged).returncode == 1
    assert len(left(signed.tagged)) == 3
    assert sealgate("clean", signed.tagged, input="y\n").returncode == 0
    assert left(signed.tagged) == []


def test_nothing_to_delete(sealgate, pushed):
    said = sealgate("clean", "-f", pushed.tagged, check=True)
    assert "Nothing was deleted" in said.stderr


def test_layouts(sealgate, left, signed, tmp_path):
    sealgate("copy", signed.tagged, f"oci:{tmp_path}/layout:v1", check=True)
    sealgate("clean", "-f", "--type", "signature", f"oci:{tmp_path}/layout:v1", check=True)
    assert left(f"oci:{tmp_path}/layout:v1") == [SBOM]
    sealgate("copy", signed.tagged, f"oci-archive:{tmp_path}/a.tar:v1", check=True)
    sealgate("clean", "-f", f"oci-archive:{tmp_path}/a.tar:v1", check=True)
    assert left(f"oci-archive:{tmp_path}/a.tar:v1") == []


def test_an_image_that_somebody_listed_is_not_deleted(sealgate, left, docker_registry, repository):
    image, other = (push_image(docker_registry, repository, tag) for tag in ("v1", "v2"))
    client = Client(docker_registry)
    add_to_fallback(client, image, {"mediaType": other.media_type, "digest": other.digest, "size": len(other.raw)})
    sealgate("clean", "-f", image.tagged, check=True)
    assert client.get_manifest(repository, "v2").status == 200
    assert left(image.tagged) == []


def test_an_index_that_somebody_put_under_the_fallback_tag_is_not_deleted(sealgate, left, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    index = push_image(docker_registry, repository, "v2", kind="index")
    client = Client(docker_registry)
    client.put_manifest(repository, fallback_tag(image), index.raw, index.media_type)
    sealgate("clean", "-f", image.tagged, check=True)
    assert client.get_manifest(repository, "v2").status == 200
    assert all(client.get_manifest(repository, child.digest).status == 200 for child in index.children)
    assert left(image.tagged) == []


@pytest.mark.parametrize("suffix", ["sig", "att", "sbom"])
def test_an_image_under_a_tag_of_cosign_is_not_deleted(sealgate, docker_registry, repository, suffix):
    image, other = (push_image(docker_registry, repository, tag) for tag in ("v1", "v2"))
    client = Client(docker_registry)
    client.put_manifest(repository, f"{fallback_tag(image)}.{suffix}", other.raw, other.media_type)
    said = sealgate("clean", "-f", image.tagged, check=True)
    assert "is left alone" in said.stderr
    assert client.get_manifest(repository, "v2").status == 200


def test_the_image_under_its_own_fallback_tag_is_not_deleted(sealgate, docker_registry, repository):
    index = push_image(docker_registry, repository, "v1", kind="index")
    client = Client(docker_registry)
    client.put_manifest(repository, fallback_tag(index), index.raw, index.media_type)
    sealgate("clean", "-f", index.tagged, check=True)
    assert client.get_manifest(repository, "v1").status == 200
    assert all(client.get_manifest(repository, child.digest).status == 200 for child in index.children)


def test_other_entries_of_the_fallback_index_stay_though_one_is_missing(sealgate, sign, left, docker_registry, repository):  # fmt: skip
    image = push_image(docker_registry, repository, "v1")
    client = Client(docker_registry)
    sign(image.reference)
    attach_artifact(client, image, SBOM, b"{}")
    add_missing_to_fallback(client, image)
    sealgate("clean", "-f", "--type", "signature", image.tagged, check=True)
    assert left(image.tagged) == [SBOM]


def test_a_registry_that_refuses_deletion(sealgate, start_registry, sign, repository):
    host = start_registry(delete=False).host
    image = push_image(host, repository, "v1")
    sign(image.reference, "--format", "legacy")
    said = sealgate("clean", "-f", image.tagged)
    assert said.returncode == 14
    assert "[registry-denied]" in said.stderr


def test_a_missing_image_ends_in_11(sealgate, pushed):
    said = sealgate("clean", "-f", f"{pushed.name}:nope")
    assert said.returncode == 11
    assert "[image-not-found]" in said.stderr
