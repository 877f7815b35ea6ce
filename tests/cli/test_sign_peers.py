"""Signing beside cosign: what one made, the other accepts and does not make again."""

import json

import pytest

from peers.images import Client, push_image

OFFLINE3 = ("--use-signing-config=false", "--tlog-upload=false", "-y")
LEGACY3 = (*OFFLINE3, "--new-bundle-format=false")
OFFLINE2 = ("--tlog-upload=false", "-y")


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "peers/image")


@pytest.fixture
def environ(password):
    return {"COSIGN_PASSWORD": password}


def layers(image, repository=None):
    answer = Client(image.host).get_manifest(repository or image.repository, image.digest.replace(":", "-") + ".sig")
    return json.loads(answer.body)["layers"] if answer.status == 200 else []


def referrers(image, repository=None):
    answer = Client(image.host).get_manifest(repository or image.repository, image.digest.replace(":", "-"))
    return json.loads(answer.body)["manifests"] if answer.status == 200 else []


def accepted(cosign, key, image, *flags, env=None):
    said = cosign("verify", "--key", key.public, "--insecure-ignore-tlog", *flags, image.reference, env=env)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_format_both_reaches_both_cosigns(cli, cosign2, cosign3, image, key):
    assert cli("sign", "--key", key.private, "--format", "both", "-a", "env=prod", image.reference).code == 0
    assert accepted(cosign2, key, image, "-a", "env=prod")[0]["optional"] == {"env": "prod"}
    assert accepted(cosign3, key, image, "-a", "env=prod")[0]["critical"]["type"].startswith("https://sigstore.dev")
    assert accepted(cosign3, key, image, "-a", "env=prod", "--new-bundle-format=false")


@pytest.mark.parametrize("kind", ["index", "docker", "docker-list"])
def test_other_kinds_of_images(cli, cosign2, cosign3, docker_registry, key, kind):
    image = push_image(docker_registry, "peers/kinds", kind=kind)
    assert cli("sign", "--key", key.private, "--format", "both", "-r", image.reference).code == 0
    for each in (image, *image.children):
        accepted(cosign2, key, each)
        accepted(cosign3, key, each)


@pytest.mark.parametrize("first", ["cosign3", "cosign2"])
def test_what_cosign_signed_is_not_signed_again_legacy(cli, request, image, key, environ, first):
    cosign = request.getfixturevalue(first)
    flags = LEGACY3 if first == "cosign3" else OFFLINE2
    cosign("sign", "--key", key.private, *flags, "-a", "env=prod", image.reference, env=environ, check=True)
    before = layers(image)
    said = cli("sign", "--key", key.private, "--format", "legacy", "-a", "env=prod", image.reference)
    assert "Already signed" in said.err
    assert layers(image) == before
    assert cli("sign", "--key", key.private, "--format", "legacy", image.reference).code == 0
    assert layers(image)[0] == before[0]
    assert len(layers(image)) == 2
    accepted(cosign, key, image, "-a", "env=prod")


def test_what_cosign_signed_is_not_signed_again_bundle(cli, cosign3, image, key, environ):
    cosign3("sign", "--key", key.private, *OFFLINE3, "-a", "env=prod", image.reference, env=environ, check=True)
    before = referrers(image)
    said = cli("sign", "--key", key.private, "-a", "env=prod", image.reference)
    assert "Already signed" in said.err
    assert referrers(image) == before
    assert cli("sign", "--key", key.private, image.reference).code == 0
    assert len(referrers(image)) == 2
    assert before[0] in referrers(image), "an entry of somebody else is kept as it was"
    assert len(accepted(cosign3, key, image)) == 2


def test_cosign_adds_to_what_sealgate_signed(cli, cosign2, cosign3, image, key, other, environ):
    assert cli("sign", "--key", key.private, "--format", "both", image.reference).code == 0
    cosign3("sign", "--key", other.private, *OFFLINE3, image.reference, env=environ, check=True)
    cosign2("sign", "--key", other.private, *OFFLINE2, image.reference, env=environ, check=True)
    assert (len(referrers(image)), len(layers(image))) == (2, 2)
    for each in (key, other):
        accepted(cosign3, each, image)
        accepted(cosign2, each, image)
    both = ("--key", key.public, "--key", other.public, "--require", "all")
    assert cli("verify", *both, image.reference).code == 0
    cosign2("sign", "--key", key.private, *OFFLINE2, image.reference, env=environ, check=True)
    assert len(layers(image)) == 2, "cosign sees that ours stands"


@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_signature_repository(cli, cosign2, cosign3, image, key, environ, format_):
    elsewhere = f"{image.host}/peers/elsewhere-{format_}"
    env = {"COSIGN_REPOSITORY": elsewhere}
    assert cli("sign", "--key", key.private, "--format", format_, image.reference, env=env).code == 0
    flag = f"--new-bundle-format={str(format_ == 'bundle').lower()}"
    accepted(cosign3, key, image, flag, env=env)
    if format_ == "legacy":
        accepted(cosign2, key, image, env=env)
    other_way = push_image(image.host, "peers/image")
    flags = OFFLINE3 if format_ == "bundle" else LEGACY3
    cosign3("sign", "--key", key.private, *flags, other_way.reference, env=environ | env, check=True)
    assert cli("verify", "--key", key.public, other_way.reference, env=env).code == 0
    assert cli("verify", "--key", key.public, other_way.reference).code == 10


def test_docker_media_types_and_identity(cli, cosign2, cosign3, image, key):
    env = {"COSIGN_DOCKER_MEDIA_TYPES": "1", "SOURCE_DATE_EPOCH": "1700000000"}
    identity = "registry.example.com/team/app"
    flags = ("--format", "legacy", "--sign-container-identity", identity, "--record-creation-timestamp")
    assert cli("sign", "--key", key.private, *flags, image.reference, env=env).code == 0
    for cosign in (cosign2, cosign3):
        [found] = accepted(cosign, key, image)
        assert found["critical"]["identity"] == {"docker-reference": identity}


def test_the_manifests_are_byte_for_byte_cosign_s(cli, cosign3, docker_registry, key, environ):
    """But for the signature, which is random, the legacy manifest and payload are the very bytes of cosign."""
    documents = []
    for signer in ("cosign", "sealgate"):
        image = push_image(docker_registry, "peers/bytes")
        if signer == "cosign":
            cosign3("sign", "--key", key.private, *LEGACY3, "-a", "a=<1>", image.reference, env=environ, check=True)
        else:
            assert cli("sign", "--key", key.private, "--format", "legacy", "-a", "a=<1>", image.reference).code == 0
        client = Client(docker_registry)
        raw = client.get_manifest(image.repository, image.digest.replace(":", "-") + ".sig").body
        [layer] = json.loads(raw)["layers"]
        payload = client.get_blob(image.repository, layer["digest"]).body
        config = json.loads(raw)["config"]["digest"]
        texts = [raw, payload, client.get_blob(image.repository, config).body]
        for digest in (layer["digest"], config, image.digest):
            texts = [text.replace(digest.encode(), b"DIGEST") for text in texts]
        signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
        documents.append([text.replace(signature.encode(), b"SIGNATURE") for text in texts])
    assert documents[0] == documents[1]


def test_a_bundle_file_is_read_by_cosign(cli, cosign3, image, key, tmp_path):
    bundle = tmp_path / "bundle"
    assert cli("sign", "--key", key.private, "--upload=false", "--bundle", bundle, image.reference).code == 0
    attached = cosign3("attach", "signature", "--payload", bundle, image.reference)
    assert attached.returncode == 0, attached.stderr
    accepted(cosign3, key, image)
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_a_key_made_by_either_signs_with_both(cli, sealgate, cosign3, image, tmp_path):
    env = {"COSIGN_PASSWORD": "pw"}
    cosign3("generate-key-pair", "--output-key-prefix", tmp_path / "theirs", check=True)
    sealgate("generate-key-pair", "--output-key-prefix", tmp_path / "ours", check=True)
    for name in ("theirs", "ours"):
        assert cli("sign", "--key", tmp_path / f"{name}.key", image.reference, env=env).code == 0
        cosign3("sign", "--key", tmp_path / f"{name}.key", *LEGACY3, image.reference, check=True)
        asked = ("verify", "--key", tmp_path / f"{name}.pub", "--insecure-ignore-tlog", image.reference)
        assert cosign3(*asked).returncode == 0
        assert cli(*asked).code == 0
