"""tree: everything that hangs on an image, of whatever tool, on registries with and without the referrers API."""

import json

import pytest

from peers.attachments import COSIGN_OFFLINE, add_missing_to_fallback, add_to_fallback, attach_artifact
from peers.images import Client, push_image


def test_lists_both_formats_and_foreign_artifacts(sealgate, sign, pushed):
    sign(pushed.reference, "--format", "both")
    sbom = attach_artifact(Client(pushed.host), pushed, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
    said = sealgate("tree", pushed.tagged, check=True)
    lines = said.stdout.splitlines()
    assert lines[0] == f"📦 Supply Chain Security Related artifacts for an image: {pushed.tagged}"
    tag = pushed.digest.replace(":", "-")
    assert f"└── 🔐 Signatures for an image tag: {pushed.name}:{tag}.sig" in lines
    assert any(
        line.startswith(f"└── 🔗 https://sigstore.dev/cosign/sign/v1 artifacts via OCI referrer: {pushed.name}@sha256:")
        for line in lines
    )
    assert f"└── 🔗 application/spdx+json artifacts via OCI referrer: {pushed.name}@{sbom}" in lines


def test_json_has_types_sizes_and_times(sealgate, sign, pushed):
    sign(pushed.reference)
    document = json.loads(sealgate("tree", "-o", "json", pushed.tagged, check=True).stdout)
    (artifact,) = document["artifacts"]
    assert document["digest"] == pushed.digest
    assert artifact["origin"] == "referrer"
    assert artifact["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert artifact["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    assert artifact["created"].endswith("Z")
    assert artifact["size"] == artifact["layers"][0]["size"] > 0


def test_the_same_lines_as_cosign(sealgate, cosign3, sign, pushed):
    sign(pushed.reference, "--format", "both")
    theirs = cosign3("tree", pushed.tagged, check=True).stdout.splitlines()
    ours = [line.partition("  ")[0] if "🍒" not in line else line.rsplit("  ", 1)[0] for line in
            sealgate("tree", pushed.tagged, check=True).stdout.splitlines()]  # fmt: skip
    assert ours == theirs


def test_lists_what_cosign_attached(sealgate, cosign3, keys, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    cosign3("sign", "--key", keys.private, *COSIGN_OFFLINE, image.reference, check=True)
    cosign3("sign", "--key", keys.private, *COSIGN_OFFLINE, "--new-bundle-format=false", image.reference, check=True)
    document = json.loads(sealgate("tree", "-o", "json", image.tagged, check=True).stdout)
    assert sorted(artifact["origin"] for artifact in document["artifacts"]) == ["referrer", "sig"]
    assert {artifact["predicateType"] for artifact in document["artifacts"]} == {
        None, "https://sigstore.dev/cosign/sign/v1",
    }  # fmt: skip


def test_unsigned_says_so(sealgate, pushed):
    said = sealgate("tree", pushed.tagged, check=True)
    assert f"No Supply Chain Security Related Artifacts found for image {pushed.tagged}," in said.stdout


def test_recursive_shows_children_and_attachments_of_attachments(sealgate, sign, registry, repository):
    index = push_image(registry, repository, "v1", kind="index")
    sign(index.reference, "-r")
    client = Client(registry)
    sbom = attach_artifact(client, index, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
    sign(f"{index.name}@{sbom}")
    plain = json.loads(sealgate("tree", "-o", "json", index.tagged, check=True).stdout)
    assert plain["children"] == []
    deep = json.loads(sealgate("tree", "-r", "-o", "json", index.tagged, check=True).stdout)
    assert [child["digest"] for child in deep["children"]] == [child.digest for child in index.children]
    assert [child["platform"] for child in deep["children"]] == ["linux/amd64", "linux/arm64"]
    assert all(len(child["artifacts"]) == 1 for child in deep["children"])
    (described,) = [artifact for artifact in deep["artifacts"] if artifact["digest"] == sbom]
    assert [nested["predicateType"] for nested in described["attached"]] == ["https://sigstore.dev/cosign/sign/v1"]
    assert "(linux/arm64)" in sealgate("tree", "-r", index.tagged, check=True).stdout


def test_a_referrer_that_is_not_there_is_shown(sealgate, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    add_missing_to_fallback(Client(docker_registry), image)
    said = sealgate("tree", image.tagged, check=True)
    assert "which is not there [not-found]" in said.stdout


def test_fallback_tags_in_a_circle_end(sealgate, docker_registry, repository):
    one, two = (push_image(docker_registry, repository, tag) for tag in ("one", "two"))
    client = Client(docker_registry)
    for image, other in ((one, two), (two, one)):
        entry = {"mediaType": other.media_type, "digest": other.digest, "size": len(other.raw)}
        add_to_fallback(client, image, entry)
    document = json.loads(sealgate("tree", "-r", "-o", "json", one.tagged, check=True).stdout)
    assert [artifact["digest"] for artifact in document["artifacts"]] == [two.digest]


def test_the_tag_that_cosign_copy_leaves_is_no_list_of_referrers(sealgate, docker_registry, repository):
    index = push_image(docker_registry, repository, "v1", kind="index")
    client = Client(docker_registry)
    client.put_manifest(repository, index.digest.replace(":", "-"), index.raw, index.media_type)
    document = json.loads(sealgate("tree", "-o", "json", index.tagged, check=True).stdout)
    assert document["artifacts"] == []


def test_X10_foreign_text_is_escaped(sealgate, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    attach_artifact(Client(docker_registry), image, "application/x\x1b[2J\r\nError", b"x")
    said = sealgate("tree", image.tagged)
    assert "\x1b" not in said.stdout + said.stderr
    assert "application/x\\x1b[2J\\r\\nError" in said.stdout


def test_a_missing_image_ends_in_11(sealgate, docker_registry, repository):
    push_image(docker_registry, repository, "v1")
    said = sealgate("tree", f"{docker_registry}/{repository}:nope")
    assert said.returncode == 11
    assert "[image-not-found]" in said.stderr


@pytest.mark.parametrize("image", ["127.0.0.1:1/x@sha256:" + "0" * 64])
def test_could_not_ask_ends_in_14(sealgate, image):
    said = sealgate("tree", image)
    assert said.returncode == 14
    assert "[registry-unreachable]" in said.stderr
