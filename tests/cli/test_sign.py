"""`sealgate sign`: what it stores and where, what it refuses, and that signing again adds nothing."""

import base64
import json
import subprocess

import pytest

from peers.images import Client, push_image, push_index_of

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "sign/image")


def fallback(image):
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-"))
    return json.loads(answer.body)["manifests"] if answer.status == 200 else []


def legacy(image, prefix=""):
    answer = Client(image.host).get_manifest(image.repository, prefix + image.digest.replace(":", "-") + ".sig")
    return json.loads(answer.body) if answer.status == 200 else {"layers": []}


def counts(image):
    return len(fallback(image)), len(legacy(image)["layers"])


FORMATS = {
    "default": ([], (1, 0)),
    "bundle": (["--format", "bundle"], (1, 0)),
    "legacy": (["--format", "legacy"], (0, 1)),
    "cosign's flag": (["--new-bundle-format=false"], (0, 1)),
    "both": (["--format", "both"], (1, 1)),
}


@pytest.mark.parametrize(("flags", "expected"), FORMATS.values(), ids=FORMATS.keys())
def test_formats(cli, image, key, flags, expected):
    said = cli("sign", "--key", key.private, *flags, image.reference)
    assert (said.code, said.out) == (0, "")
    assert f"Pushing signature to: {image.name}" in said.err
    assert counts(image) == expected
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_the_fallback_index_is_written_as_the_specification_says(cli, image, key):
    cli("sign", "--key", key.private, image.reference)
    [entry] = fallback(image)
    assert entry["artifactType"] == BUNDLE
    assert entry["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    manifest = json.loads(Client(image.host).get_manifest(image.repository, entry["digest"]).body)
    assert (manifest["artifactType"], manifest["subject"]["digest"]) == (BUNDLE, image.digest)


def test_a_tag_is_signed_as_what_it_points_to(cli, image, key):
    said = cli("sign", "--key", key.private, image.tagged)
    assert said.code == 0
    assert "is a tag" in said.err
    assert cli("verify", "--key", key.public, image.reference).code == 0


@pytest.mark.parametrize("flags", [["--format", "bundle"], ["--format", "legacy"], ["--format", "both"]], ids=" ".join)
def test_signing_again_adds_nothing(cli, image, key, flags):
    sign = ("sign", "--key", key.private, *flags, "-a", "env=prod", image.reference)
    assert cli(*sign).code == 0
    before = counts(image)
    said = cli(*sign)
    assert said.code == 0
    assert "Already signed" in said.err
    assert "Pushing" not in said.err
    assert counts(image) == before
    assert cli(*sign[:-1], "-a", "more=1", image.reference).code == 0
    assert counts(image) == tuple(2 * count for count in before)


def test_another_key_adds_its_own(cli, image, key, other):
    for each in (key, other):
        assert cli("sign", "--key", each.private, "--format", "both", image.reference).code == 0
    assert counts(image) == (2, 2)
    both = ("--key", key.public, "--key", other.public, "--require", "all")
    assert cli("verify", *both, image.reference).code == 0


def test_several_keys_in_one_go(cli, image, key, other):
    said = cli("sign", "--key", key.private, "--key", other.private, "--key", key.private, image.reference)
    assert said.code == 0
    assert counts(image) == (2, 0)
    both = ("--key", key.public, "--key", other.public, "--require", "all")
    assert cli("verify", *both, image.reference).code == 0


def test_several_images_in_one_go(cli, docker_registry, key):
    images = [push_image(docker_registry, f"sign/several{number}") for number in range(3)]
    assert cli("sign", "--key", key.private, *(image.reference for image in images)).code == 0
    assert cli("verify", "--key", key.public, *(image.reference for image in images)).code == 0


@pytest.mark.parametrize("kind", ["index", "docker-list"])
@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_recursive(cli, docker_registry, key, kind, format_):
    index = push_image(docker_registry, "sign/index", kind=kind)
    sign = ("sign", "--key", key.private, "--format", format_)
    assert cli(*sign, index.reference).code == 0
    assert [sum(counts(each)) for each in (index, *index.children)] == [1, 0, 0]
    assert cli(*sign, "-r", index.reference).code == 0
    assert [sum(counts(each)) for each in (index, *index.children)] == [1, 1, 1]
    assert cli("verify", "--key", key.public, "-r", index.reference).code == 0


def test_recursive_reaches_the_images_of_an_index_in_an_index(cli, cosign3, docker_registry, key):
    inner = push_image(docker_registry, "sign/nested", kind="index")
    outer = push_index_of(inner)
    assert cli("sign", "--key", key.private, "-r", outer.reference).code == 0
    everything = (outer, inner, *inner.children)
    assert [sum(counts(each)) for each in everything] == [1, 1, 1, 1]
    for each in everything:
        cosign3("verify", "--key", key.public, "--insecure-ignore-tlog", each.reference, check=True)


def test_a_single_image_may_be_signed_recursively(cli, image, key):
    assert cli("sign", "--key", key.private, "-r", image.reference).code == 0
    assert cli("verify", "--key", key.public, "-r", image.reference).code == 0


def test_annotations_are_signed(cli, image, key):
    cli("sign", "--key", key.private, "--format", "both", "-a", "b=2,a=1", "-a", "eq=x=y", image.reference)
    payload = Client(image.host).get_blob(image.repository, legacy(image)["layers"][0]["digest"]).body
    assert json.loads(payload)["optional"] == {"a": "1", "b": "2", "eq": "x=y"}
    assert payload.endswith(b'"optional":{"a":"1","b":"2","eq":"x=y"}}')
    for format_ in ("--new-bundle-format=true", "--new-bundle-format=false"):
        assert cli("verify", "--key", key.public, "-a", "a=1,b=2,eq=x=y", format_, image.reference).code == 0


def test_container_identity(cli, image, key):
    identity = "registry.example.com/team/app"
    sign = ("sign", "--key", key.private, "--format", "legacy", image.reference)
    assert cli(*sign, "--sign-container-identity", identity).code == 0
    said = cli("verify", "--key", key.public, image.reference)
    assert json.loads(said.out)[0]["critical"]["identity"] == {"docker-reference": identity}
    assert cli(*sign).code == 0
    assert len(legacy(image)["layers"]) == 2, "another identity is another signature"


@pytest.mark.parametrize("epoch", ["0", "1700000000", None])
def test_creation_timestamp(cli, image, key, epoch):
    env = {} if epoch is None else {"SOURCE_DATE_EPOCH": epoch}
    sign = ("sign", "--key", key.private, "--format", "legacy", "--record-creation-timestamp", image.reference)
    assert cli(*sign, env=env).code == 0
    config = json.loads(Client(image.host).get_blob(image.repository, legacy(image)["config"]["digest"]).body)
    expected = {"0": "1970-01-01T00:00:00Z", "1700000000": "2023-11-14T22:13:20Z"}
    assert config["created"] == expected[epoch] if epoch else config["created"] > "2026"


def test_without_it_no_time_is_recorded(cli, image, key):
    cli("sign", "--key", key.private, "--format", "legacy", image.reference, env={"SOURCE_DATE_EPOCH": "1"})
    config = json.loads(Client(image.host).get_blob(image.repository, legacy(image)["config"]["digest"]).body)
    assert config["created"] == "0001-01-01T00:00:00Z"


def test_docker_media_types(cli, image, key):
    env = {"COSIGN_DOCKER_MEDIA_TYPES": "1"}
    assert cli("sign", "--key", key.private, "--format", "legacy", image.reference, env=env).code == 0
    manifest = legacy(image)
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_tag_prefix(cli, image, key):
    sign = ("sign", "--key", key.private, "--format", "legacy", "--attachment-tag-prefix", "pfx-", image.reference)
    assert cli(*sign).code == 0
    assert len(legacy(image, "pfx-")["layers"]) == 1
    assert cli("verify", "--key", key.public, image.reference).code == 10
    assert cli("verify", "--key", key.public, "--attachment-tag-prefix", "pfx-", image.reference).code == 0


def test_upload_false(cli, image, key, tmp_path):
    bundle = tmp_path / "bundle"
    assert cli("sign", "--key", key.private, "--upload=false", "--bundle", bundle, image.reference).code == 0
    document = json.loads(bundle.read_text())
    assert document["mediaType"] == BUNDLE
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    assert statement["subject"][0]["digest"] == {"sha256": image.digest.partition(":")[2]}
    assert counts(image) == (0, 0)
    said = cli("sign", "--key", key.private, "--upload=false", image.reference)
    assert said.code == 2
    assert "--bundle FILE" in said.err


def test_output_files_of_the_legacy_format(cli, image, key, tmp_path):
    files = ("--output-signature", tmp_path / "sig", "--output-payload", tmp_path / "payload")
    sign = ("sign", "--key", key.private, "--format", "legacy", *files, image.reference)
    assert cli(*sign).code == 0
    signature = base64.b64decode((tmp_path / "sig").read_text(), validate=True)
    assert key.handle.public_key.verify(signature, (tmp_path / "payload").read_bytes()) == "ecdsa-p256-sha256"
    assert legacy(image)["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"] == (
        (tmp_path / "sig").read_text().strip()
    )


def test_signature_repository(cli, image, key):
    elsewhere = f"{image.host}/sign/signatures"
    env = {"COSIGN_REPOSITORY": elsewhere}
    said = cli("sign", "--key", key.private, "--format", "both", image.reference, env=env)
    assert said.code == 0
    assert f"Pushing signature to: {elsewhere}" in said.err
    assert counts(image) == (0, 0)
    assert counts(image._replace(repository="sign/signatures")) == (1, 1)
    assert cli("verify", "--key", key.public, image.reference).code == 10
    for flag in ("--new-bundle-format=true", "--new-bundle-format=false"):
        assert cli("verify", "--key", key.public, flag, image.reference, env=env).code == 0


# -- passwords


def test_passwords(cli, image, key, password):
    sign = ("sign", "--key", key.private, image.reference)
    assert cli(*sign, env={"COSIGN_PASSWORD": None}, input=password).code == 0
    assert cli(*sign, env={"COSIGN_PASSWORD": None}, input=f"{password}\n").code == 0
    for env, typed in (
        ({"COSIGN_PASSWORD": "wrong"}, ""),
        ({"COSIGN_PASSWORD": None}, ""),
        ({"COSIGN_PASSWORD": ""}, ""),
    ):
        said = cli(*sign, env=env, input=typed)
        assert said.code == 15
        assert "[key-password]" in said.err
        assert "wrong" not in said.err.replace("wrong or", "").replace("is wrong", "")


def test_keys_from_the_environment(cli, image, key):
    with open(key.private, encoding="ascii") as file:
        env = {"THE_KEY": file.read()}
    assert cli("sign", "--key", "env://THE_KEY", image.reference, env=env).code == 0
    assert cli("verify", "--key", key.public, image.reference).code == 0


# -- refusals


def test_15_keys_that_cannot_sign(cli, image, key, tmp_path):
    (tmp_path / "junk.key").write_text("junk")
    for name, code in {
        str(tmp_path / "missing.key"): "key-not-found",
        str(tmp_path / "junk.key"): "key-malformed",
        key.public: None,
        "https://127.0.0.1/cosign.key": "key-unsupported",
        "awskms:///alias/x": "key-unsupported",
    }.items():
        said = cli("sign", "--key", name, image.reference)
        assert said.code == 15, name
        assert code is None or f"[{code}]" in said.err, name
    assert counts(image) == (0, 0)
    assert cli("sign", "--key", key.private, image.reference).code == 0


@pytest.mark.parametrize("which", ["tag", "digest", "repository"])
def test_11_no_such_image(cli, image, key, which):
    name = {
        "tag": f"{image.name}:nope",
        "digest": f"{image.name}@sha256:{'0' * 64}",
        "repository": f"{image.host}/sign/nothing:latest",
    }[which]
    said = cli("sign", "--key", key.private, name)
    assert said.code == 11
    assert "[image-not-found]" in said.err


def test_14_nobody_listens(cli, key):
    said = cli("sign", "--key", key.private, "127.0.0.1:1/a/b:c")
    assert said.code == 14
    assert "[registry-unreachable]" in said.err


def test_14_wants_credentials(cli, start_registry, key):
    registry = start_registry(htpasswd={"someone": "canary-4711"})
    image = push_image(registry.host, auth=("someone", "canary-4711"))
    assert cli("sign", "--key", key.private, image.reference).code == 14
    flags = ("--registry-username", "someone", "--registry-password", "canary-4711")
    said = cli("sign", "--key", key.private, *flags, "--verbose", image.reference)
    assert said.code == 0
    assert "canary" not in said.err + said.out


@pytest.mark.parametrize(
    "args",
    [
        ("IMAGE",),
        ("--key", "KEY"),
        ("--key", "KEY", "--format", "notation", "IMAGE"),
        ("--key", "KEY", "--format", "bundle", "--new-bundle-format=false", "IMAGE"),
        ("--key", "KEY", "--bundle", "x", "--format", "legacy", "IMAGE"),
        ("--key", "KEY", "--output-signature", "x", "IMAGE"),
        ("--key", "KEY", "-a", "novalue", "IMAGE"),
        ("--key", "KEY", "--settle", "-1s", "IMAGE"),
        ("--key", "KEY", "--tlog-upload", "IMAGE"),
        ("--key", "KEY", "--tlog-upload=true", "IMAGE"),
        ("--key", "KEY", "--use-signing-config", "IMAGE"),
        ("--key", "KEY", "--certificate", "x", "--issue-certificate", "IMAGE"),
        ("--key", "KEY", "--key", "OTHER", "--certificate", "x", "IMAGE"),
        ("--certificate", "x", "IMAGE"),
        ("--key", "KEY", "--certificate-chain", "x", "IMAGE"),
        ("--key", "KEY", "--timestamp-server-url", "x y", "IMAGE"),
        ("--key", "KEY", "--trusted-root", "x", "IMAGE"),
        ("--key", "KEY", "--identity-token", "x", "IMAGE"),
        ("--key", "KEY", "--issue-certificate", "IMAGE"),
        ("--key", "KEY", "--sk", "IMAGE"),
        ("--key", "KEY", "--rekor-url", "https://user@rekor.example.com", "--yes", "IMAGE"),
        ("--key", "KEY", "UPPER/case"),
    ],
    ids=" ".join,
)
def test_2_wrong_use(cli, image, key, args):
    said = cli("sign", *({"KEY": key.private, "IMAGE": image.reference}.get(arg, arg) for arg in args))
    assert said.code == 2
    assert counts(image) == (0, 0)


def test_2_a_bad_source_date_epoch(cli, image, key):
    sign = ("sign", "--key", key.private, "--format", "legacy", "--record-creation-timestamp", image.reference)
    assert cli(*sign, env={"SOURCE_DATE_EPOCH": "yesterday"}).code == 2
    assert counts(image) == (0, 0)


OFFLINE = {
    "3.1": ["--use-signing-config=false", "--tlog-upload=false", "-y"],
    "2.5": ["--tlog-upload=false", "--yes"],
    "2.5 with an address": ["--tlog-upload=false", "--rekor-url", "https://rekor.example.com"],
    "referrers": ["--registry-referrers-mode", "oci-1-1"],
}


@pytest.mark.parametrize("flags", OFFLINE.values(), ids=OFFLINE.keys())
def test_cosign_s_offline_flags_are_taken(cli, image, key, flags):
    assert cli("sign", "--key", key.private, *flags, image.reference).code == 0
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_a_signing_config_without_services(cli, image, key, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(
        '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}'
    )
    sign = ("sign", "--key", key.private, "--signing-config", config, image.reference)
    assert cli(*sign).code == 0
    for wrong in ('{"rekorTlogUrls":[{"url":"https://rekor.example.com"}]}', "not json"):
        config.write_text(wrong)
        said = cli(*sign)
        assert (said.code, "[signing-config-invalid]" in said.err) == (15, True)
    assert cli("sign", "--key", key.private, "--signing-config", "/nowhere", image.reference).code == 15


def test_a_signature_that_does_not_verify_is_not_published(cli, image, key, monkeypatch):
    from sealgate.keys.signer import PrivateKeySigner

    good = PrivateKeySigner.sign
    monkeypatch.setattr(PrivateKeySigner, "sign", lambda self, data: good(self, data)[:-1] + b"\0")
    said = cli("sign", "--key", key.private, "--format", "both", image.reference)
    assert said.code == 1
    assert "[signing-failed]" in said.err
    assert counts(image) == (0, 0)
    monkeypatch.undo()
    assert cli("sign", "--key", key.private, "--format", "both", image.reference).code == 0


def test_no_secret_in_any_output(sealgate, image, key, password):
    """The password is not in what is said, the private key neither, in any of the ways it can go."""
    secrets = [password, key.handle.pkcs8().hex(), base64.b64encode(key.handle.pkcs8()).decode()]
    for args in (
        ["--verbose"],
        ["-d", "--format", "both"],
        ["--registry-password", "canary-1", "--registry-username", "u"],
    ):
        for name in (image.reference, f"{image.name}:nope", "127.0.0.1:1/a/b:c"):
            env = {"COSIGN_PASSWORD": password, "SEALGATE_TRACEBACK": "1"}
            said = sealgate("sign", "--key", key.private, *args, name, env=env)
            assert isinstance(said, subprocess.CompletedProcess)
            for secret in [*secrets, "canary-1"]:
                assert secret not in said.stdout + said.stderr
