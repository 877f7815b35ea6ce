"""The peers and makers do what the other tests lean on. No line of the product runs here."""

import json

import pytest

from peers.certificates import Authority
from peers.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Client, digest_of, push_image

OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")


@pytest.fixture(scope="module")
def key(cosign3, tmp_path_factory):
    folder = tmp_path_factory.mktemp("key")
    cosign3("generate-key-pair", cwd=folder, check=True)
    return folder / "cosign"


def test_cosign3_signs_and_verifies_a_bundle(cosign3, docker_registry, key):
    image = push_image(docker_registry, "peers/bundle")
    cosign3("sign", "--key", key.with_suffix(".key"), *OFFLINE, image.reference, check=True)
    verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog")
    accepted = cosign3(*verify, image.reference, check=True)
    assert image.digest in accepted.stdout
    other = push_image(docker_registry, "peers/bundle", "other")
    refused = cosign3(*verify, other.reference)
    assert refused.returncode != 0
    assert "no signatures found" in refused.stderr


def test_cosign2_verifies_what_cosign3_signs_in_the_legacy_format(cosign2, cosign3, docker_registry, key):
    image = push_image(docker_registry, "peers/legacy", kind="docker")
    legacy = (*OFFLINE, "--new-bundle-format=false")
    cosign3("sign", "--key", key.with_suffix(".key"), *legacy, image.reference, check=True)
    verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog", "-o", "json")
    said = json.loads(cosign2(*verify, image.reference, check=True).stdout)
    assert said[0]["critical"]["image"]["docker-manifest-digest"] == image.digest
    assert Client(docker_registry).tags("peers/legacy") == ["latest", image.digest.replace(":", "-") + ".sig"]


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("image", OCI_MANIFEST), ("index", OCI_INDEX), ("docker", DOCKER_MANIFEST), ("docker-list", DOCKER_LIST)],
)
def test_crane_and_oras_read_what_push_image_made(crane, oras, docker_registry, kind, media_type):
    image = push_image(docker_registry, f"peers/{kind}", kind=kind)
    assert image.media_type == media_type
    assert crane("digest", image.tagged, check=True).stdout.strip() == image.digest == digest_of(image.raw)
    assert crane("validate", "--remote", image.tagged, check=True).returncode == 0
    fetched = oras("manifest", "fetch", "--plain-http", image.tagged, check=True)
    assert fetched.stdout.encode() == image.raw
    assert len(image.children) == (2 if kind in {"index", "docker-list"} else 0)


def test_push_image_makes_other_bytes_each_time(docker_registry):
    assert push_image(docker_registry, "peers/fresh").digest != push_image(docker_registry, "peers/fresh").digest


def test_a_registry_with_passwords(start_registry, crane):
    registry = start_registry(htpasswd={"someone": "a secret"})
    image = push_image(registry.host, auth=("someone", "a secret"))
    assert Client(registry.host).get_manifest("test/image", "latest").status == 401
    assert Client(registry.host, auth=("someone", "wrong")).get_manifest("test/image", "latest").status == 401
    assert Client(registry.host, auth=("someone", "a secret")).get_manifest("test/image", "latest").body == image.raw
    assert "UNAUTHORIZED" in crane("digest", image.tagged).stderr


def test_a_registry_with_tls_and_client_certificates(start_registry, authority, crane, tmp_path):
    registry = start_registry(tls=authority)
    image = push_image(registry.host, ca=registry.ca)
    done = crane("digest", image.tagged, env={"SSL_CERT_FILE": str(registry.ca)}, check=True)
    assert done.stdout.strip() == image.digest
    assert "certificate" in crane("digest", image.tagged).stderr

    clients = Authority(tmp_path / "clients", "clients")
    closed = start_registry(tls=authority, client_ca=clients.certificate)
    issued = clients.issue("someone", client=True)
    known = Client(closed.host, ca=closed.ca, client=tuple(issued))
    assert known.request("GET", "/v2/").status == 200
    with pytest.raises(OSError, match=r"(?i)certificate|reset|eof"):
        Client(closed.host, ca=closed.ca).request("GET", "/v2/")


def test_registry_deletes(docker_registry):
    image = push_image(docker_registry, "peers/gone")
    client = Client(docker_registry)
    assert client.request("DELETE", f"/v2/peers/gone/manifests/{image.digest}").status == 202
    assert client.get_manifest("peers/gone", image.digest).status == 404
    assert client.tags("peers/gone") == []
