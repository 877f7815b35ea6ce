"""copy: everything attached goes along, nothing at the target is lost, the tag comes last."""

import json
import secrets

import pytest

from peers.attachments import COSIGN_OFFLINE, add_missing_to_fallback, attach_artifact, fallback_tag
from peers.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Client, descriptor, digest_of, push_image


@pytest.fixture
def target(registry, repository) -> str:
    return f"{registry}/copies/{repository}:v1"


def verify_by_cosign(cosign, keys, image, *more):
    return cosign("verify", "--key", keys.public, "--insecure-ignore-tlog", *more, image).returncode


def test_both_formats_arrive_and_cosign_verifies_them(
    sealgate, cosign3, cosign2, crane, keys, sign, docker_registry, target, repository
):
    image = push_image(docker_registry, repository, "v1")
    sign(image.reference, "--format", "both")
    sealgate("copy", image.tagged, target, check=True)
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == image.digest
    assert verify_by_cosign(cosign3, keys, target) == 0
    assert verify_by_cosign(cosign3, keys, target, "--new-bundle-format=false") == 0
    assert verify_by_cosign(cosign2, keys, target) == 0


def test_from_a_registry_with_the_api_to_one_without(sealgate, cosign3, oras, keys, sign, api_registry, docker_registry, repository):  # fmt: skip
    image = push_image(api_registry, repository, "v1")
    sign(image.reference)
    attach_artifact(Client(api_registry), image, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
    target = f"{docker_registry}/{repository}/there:v1"
    sealgate("copy", image.tagged, target, check=True)
    assert verify_by_cosign(cosign3, keys, target) == 0
    answer = Client(docker_registry).get_manifest(f"{repository}/there", fallback_tag(image))
    entries = json.loads(answer.body)["manifests"]
    assert sorted(entry["artifactType"] for entry in entries) == [
        "application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json",
    ]  # fmt: skip
    for kind in ("application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"):
        found = oras("discover", "--plain-http", "--format", "json", "--artifact-type", kind, target, check=True)
        document = json.loads(found.stdout)
        assert len(document.get("referrers") or document.get("manifests")) == 1


def test_an_index_brings_its_children_and_what_hangs_on_them(sealgate, sign, verify, docker_registry, target, repository):  # fmt: skip
    index = push_image(docker_registry, repository, "v1", kind="index")
    sign(index.reference, "-r", "--format", "both")
    sealgate("copy", index.tagged, target, check=True)
    assert verify(target, "-r") == 0
    assert verify(target, "-r", "--new-bundle-format=false") == 0


def test_attachments_of_attachments_go_along(sealgate, sign, verify, registry, target, repository):
    image = push_image(registry, repository, "v1")
    sbom = attach_artifact(Client(registry), image, "application/spdx+json", b"{}")
    sign(f"{image.name}@{sbom}", "--format", "both")
    sealgate("copy", image.tagged, target, check=True)
    assert verify(f"{target.rpartition(':')[0]}@{sbom}") == 0


def test_the_tag_of_cosign_copy_is_not_made(sealgate, registry, target, repository):
    image = push_image(registry, repository, "v1")
    sealgate("copy", image.tagged, target, check=True)
    assert Client(registry).tags(f"copies/{repository}") == ["v1"]


def test_layouts_and_archives(sealgate, sign, verify, crane, registry, target, repository, tmp_path):
    image = push_image(registry, repository, "v1", kind="index")
    sign(image.reference, "-r", "--format", "both")
    sealgate("copy", image.tagged, f"oci:{tmp_path}/layout:one", check=True)
    assert verify(f"oci:{tmp_path}/layout:one", "-r") == 0
    sealgate("copy", f"oci:{tmp_path}/layout:one", f"oci-archive:{tmp_path}/a.tar:two", check=True)
    assert verify(f"oci-archive:{tmp_path}/a.tar:two", "-r", "--new-bundle-format=false") == 0
    sealgate("copy", f"oci-archive:{tmp_path}/a.tar:two", target, check=True)
    assert verify(target, "-r") == 0
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == image.digest


def test_signatures_at_the_target_stay(sealgate, sign, verdict, docker_registry, target, repository):
    image = push_image(docker_registry, repository, "v1")
    sign(image.reference, "--format", "both")
    sealgate("copy", image.tagged, target, check=True)
    sign(target, "--format", "both", "-a", "where=target")
    sign(image.reference, "--format", "both", "-a", "where=source")
    sealgate("copy", image.tagged, target, check=True)
    signatures = verdict(target)["signatures"]
    assert len(signatures) == 6
    assert all(signature["accepted"] for signature in signatures)


def test_a_second_copy_moves_nothing(sealgate, sign, registry, target, repository):
    image = push_image(registry, repository, "v1")
    sign(image.reference, "--format", "both")
    sealgate("copy", image.tagged, target, check=True)
    again = sealgate("copy", image.tagged, target, check=True)
    assert "0 blobs (0 B) and 0 manifests moved" in again.stderr


def test_blobs_are_mounted_on_the_same_registry(sealgate, sign, registry, target, repository):
    image = push_image(registry, repository, "v1")
    said = sealgate("copy", image.tagged, target, check=True)
    assert "0 blobs (0 B)" in said.stderr
    assert "2 blobs mounted" in said.stderr


def test_another_tag_needs_force(sealgate, crane, registry, target, repository):
    one, two = (push_image(registry, repository, tag) for tag in ("one", "two"))
    sealgate("copy", one.tagged, target, check=True)
    refused = sealgate("copy", two.tagged, target)
    assert refused.returncode == 1
    assert "[tag-exists]" in refused.stderr
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == one.digest
    sealgate("copy", "-f", two.tagged, target, check=True)
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == two.digest


def test_only_some_kinds_without_the_tag(sealgate, sign, registry, target, repository):
    image = push_image(registry, repository, "v1")
    sign(image.reference, "--format", "both")
    attach_artifact(Client(registry), image, "application/spdx+json", b"{}")
    sealgate("copy", "--only=sig", image.tagged, target, check=True)
    assert "v1" not in Client(registry).tags(f"copies/{repository}")
    name = f"{target.rpartition(':')[0]}@{image.digest}"
    document = json.loads(sealgate("tree", "-o", "json", name, check=True).stdout)
    assert sorted(artifact["predicateType"] or artifact["origin"] for artifact in document["artifacts"]) == [
        "https://sigstore.dev/cosign/sign/v1", "sig",
    ]  # fmt: skip
    sealgate("copy", "--only=sbom", image.tagged, target, check=True)
    document = json.loads(sealgate("tree", "-o", "json", name, check=True).stdout)
    assert len(document["artifacts"]) == 3


def test_only_of_an_unknown_kind_is_refused(sealgate):
    said = sealgate("copy", "--only=signatures", "127.0.0.1:1/a:b", "127.0.0.1:1/c:d")
    assert said.returncode == 2
    assert "[usage]" in said.stderr


def test_one_platform(sealgate, crane, sign, verify, registry, target, repository):
    index = push_image(registry, repository, "v1", kind="index")
    sign(index.reference, "-r")
    sealgate("copy", "--platform", "linux/arm64", index.tagged, target, check=True)
    assert crane("digest", "--insecure", target, check=True).stdout.strip() == index.children[1].digest
    assert verify(target) == 0
    refused = sealgate("copy", "--platform", "plan9/mips", index.tagged, target)
    assert refused.returncode == 1
    assert "[not-found]" in refused.stderr


def test_a_target_digest_must_be_the_source_s(sealgate, registry, target, repository):
    image = push_image(registry, repository, "v1")
    wrong = sealgate("copy", image.tagged, f"{target.rpartition(':')[0]}@sha256:{'0' * 64}")
    assert wrong.returncode == 2
    assert "[usage]" in wrong.stderr
    sealgate("copy", image.tagged, f"{target.rpartition(':')[0]}@{image.digest}", check=True)
    assert Client(registry).get_manifest(f"copies/{repository}", image.digest).status == 200


def test_bundles_of_cosign_without_a_subject_in_the_list_stay_found(sealgate, cosign3, keys, docker_registry, api_registry, verify, repository):  # fmt: skip
    image = push_image(docker_registry, repository, "v1")
    cosign3("sign", "--key", keys.private, *COSIGN_OFFLINE, image.reference, check=True)
    sealgate("copy", image.tagged, f"{api_registry}/{repository}:v1", check=True)
    assert verify(f"{api_registry}/{repository}:v1") == 0
    assert Client(api_registry).tags(repository) == ["v1"]


def test_what_is_listed_and_gone_is_named_and_left_out(sealgate, sign, verify, docker_registry, target, repository):
    image = push_image(docker_registry, repository, "v1")
    sign(image.reference)
    add_missing_to_fallback(Client(docker_registry), image)
    said = sealgate("copy", image.tagged, target, check=True)
    assert "it cannot be copied [not-found]" in said.stderr
    assert verify(target) == 0


def test_a_missing_image_ends_in_11(sealgate, registry, target, repository):
    push_image(registry, repository, "v1")
    said = sealgate("copy", f"{registry}/{repository}:nope", target)
    assert said.returncode == 11
    assert "[image-not-found]" in said.stderr


def test_a_child_that_is_missing_stops_before_anything_is_written(sealgate, docker_registry, target, repository):
    index = push_image(docker_registry, repository, "v1", kind="index")
    client = Client(docker_registry)
    client.request("DELETE", f"/v2/{repository}/manifests/{index.children[0].digest}")
    said = sealgate("copy", index.tagged, target)
    assert said.returncode == 11
    assert "[image-not-found]" in said.stderr
    assert Client(target.partition("/")[0]).tags(f"copies/{repository}") == []


def test_a_source_that_cannot_be_asked_ends_in_14(sealgate, target):
    said = sealgate("copy", "127.0.0.1:1/a/b:c", target)
    assert said.returncode == 14
    assert "[registry-unreachable]" in said.stderr


def push_large(host, repository, *, says: int | None = None):
    """An image whose layer is larger than what is held in memory; `says`: the size that its manifest has for it."""
    client = Client(host)
    layer, config = secrets.token_bytes(300_000), b"{}"
    for blob in (layer, config):
        client.put_blob(repository, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER, layer) | ({} if says is None else {"size": says})],
    }
    client.put_manifest(repository, "v1", json.dumps(manifest).encode(), OCI_MANIFEST)
    return digest_of(layer), layer


def test_large_blobs_go_through_a_file_that_is_removed(sealgate, docker_registry, api_registry, repository, tmp_path):
    digest, layer = push_large(docker_registry, repository)
    target = f"{api_registry}/{repository}:v1"
    sealgate("copy", f"{docker_registry}/{repository}:v1", target, check=True, env={"TMPDIR": str(tmp_path)})
    assert Client(api_registry).get_blob(repository, digest).body == layer
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("says", "code"), [(299_999, "limit-exceeded"), (300_001, "digest-mismatch")])
def test_M13_a_layer_of_another_size_than_said_is_refused(sealgate, api_registry, repository, tmp_path, says, code):
    digest, _ = push_large(api_registry, repository, says=says)
    said = sealgate("copy", f"{api_registry}/{repository}:v1", f"oci:{tmp_path}/layout", env={"TMPDIR": str(tmp_path)})
    assert said.returncode == 1
    assert f"[{code}]" in said.stderr
    assert not (tmp_path / "layout" / "blobs" / digest.replace(":", "/")).exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "layout"] == []
