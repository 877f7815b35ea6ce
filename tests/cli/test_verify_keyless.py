"""`sealgate verify` of images that were signed keyless, by both versions of cosign, and what it says of them."""

import json
import socket

import pytest

from peers.images import push_image
from trust_service.identities import EMAIL, WORKFLOW, github

REPOSITORY = "https://github.com/acme/app"


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "keyless/image")


@pytest.fixture
def signed(trust_service, cosign3, cosign2, image, tmp_path):
    """`signed(form, identity)` signs the image keyless and gives the options that verify it."""

    def sign(form, identity=EMAIL, name=EMAIL):
        rekor = 1 if form in {"rekor1", "legacy"} else 2
        files = trust_service.files(tmp_path / "files", rekor=rekor, tsa=None if rekor == 1 else "current")
        (tmp_path / "token").write_text(trust_service.token(identity))
        token = ("--identity-token", tmp_path / "token")
        if form == "legacy":
            places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url)
            keys = {"SIGSTORE_ROOT_FILE": str(files.ca), "SIGSTORE_REKOR_PUBLIC_KEY": str(files.rekor)}
            keys |= {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(files.ct)}
            cosign2("sign", "--yes", *places, *token, image.reference, env=keys, check=True)
        else:
            services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
            cosign3("sign", "--yes", *services, *token, image.reference, check=True)
        issuer = ("--certificate-oidc-issuer", trust_service.issuer.url)
        return ("--trusted-root", files.trusted_root, "--certificate-identity", name, *issuer)

    return sign


@pytest.mark.parametrize("form", ["rekor2", "rekor1", "legacy"])
def test_an_image_that_was_signed_keyless(cli, image, signed, form):
    options = signed(form)
    said = cli("verify", *options, image.tagged)
    assert said.code == 0, said.err
    assert f"accepted: signed by {EMAIL}" in said.err
    assert "was logged" in said.err
    refused = cli("verify", *options[:3], "somebody@example.test", *options[4:], image.tagged)
    assert (refused.code, refused.out) == (12, "")
    assert "identity-mismatch" in refused.err
    refused = cli("verify", *options[:5], "https://issuer.example.test", image.tagged)
    assert refused.code == 12
    assert "issuer-mismatch" in refused.err


@pytest.mark.parametrize("form", ["rekor2", "legacy"])
def test_another_image_with_the_same_evidence(cli, image, docker_registry, signed, form, cosign3):
    options = signed(form)
    other = push_image(docker_registry, "keyless/other")
    assert cli("verify", *options, image.tagged).code == 0
    assert cli("verify", *options, other.tagged).code == 10


def test_the_verdict_says_who_through_which_issuer_from_which_source_and_when(cli, trust_service, image, signed):
    options = signed("rekor2", github(), WORKFLOW)
    said = cli("verify", *options, "-o", "verdict", image.tagged)
    verdict = json.loads(said.out)
    identity = verdict["signatures"][0]["identity"]
    assert identity["subject"] == WORKFLOW
    assert identity["issuer"] == trust_service.issuer.url
    assert identity["extensions"]["sourceRepositoryURI"].startswith("https://")
    assert identity["signedAt"][0]["time"].endswith("Z")
    assert identity["logEntries"][0]["log"]
    for more in ((), ("--verbose",)):
        seen = cli("verify", *options, *more, image.tagged).err
        assert f"is by {WORKFLOW} (issuer: {trust_service.issuer.url})" in seen
        source = [identity["extensions"][f"sourceRepository{name}"] for name in ("URI", "Ref", "Digest")]
        assert "source: {}, {}, commit {}".format(*source) in seen
        assert identity["signedAt"][0]["time"].replace("T", " ").replace("Z", " UTC") in seen


def test_of_a_workflow_that_stands_elsewhere_the_source_is_said(cli, trust_service, image, signed):
    """The name is that of the workflow, which several repositories may use."""
    elsewhere = "https://github.test/shared/workflows/.github/workflows/build.yml@refs/tags/v1"
    claims = github() | {"job_workflow_ref": "shared/workflows/.github/workflows/build.yml@refs/tags/v1"}
    seen = cli("verify", *signed("rekor2", claims, elsewhere), image.tagged).err
    assert f"is by {elsewhere}" in seen
    assert "source: https://github.test/acme/app, refs/heads/main, commit " in seen


def test_of_a_person_no_source_is_said(cli, image, signed):
    said = cli("verify", *signed("rekor2"), image.tagged)
    assert (said.code, "source:" in said.err) == (0, False)


def test_workflow_options_are_compared_whole(cli, image, signed):
    options = signed("rekor2", github(), WORKFLOW)
    good = cli("verify", *options, "--certificate-github-workflow-ref", "refs/heads/main", image.tagged)
    assert good.code == 0, good.err
    bad = cli("verify", *options, "--certificate-github-workflow-ref", "refs/heads/mai", image.tagged)
    assert bad.code == 12
    assert "extension-mismatch" in bad.err


def test_C04_a_regular_expression_is_cosigns_and_a_loose_one_is_warned_of(cli, image, signed):
    options = signed("rekor2")
    loose = cli("verify", *options[:2], "--certificate-identity-regexp", "example.test", *options[4:], image.tagged)
    assert loose.code == 0
    assert "not anchored" in loose.err
    tight = cli("verify", *options[:2], "--certificate-identity-regexp", "^example.test$", *options[4:], image.tagged)
    assert tight.code == 12
    assert "identity-mismatch" in tight.err
    assert "not anchored" not in tight.err


def test_an_identity_that_is_denied(cli, image, signed, tmp_path):
    options = signed("rekor2")
    deny = tmp_path / "deny"
    for name, code in ((EMAIL, 16), ("somebody@example.test", 0), (EMAIL.upper(), 0), (EMAIL[:-1], 0)):
        deny.write_text(f"identity {name} the account was taken over\n")
        said = cli("verify", *options, "--deny", deny, image.tagged)
        assert (said.code, "denied-identity" in said.err) == (code, code != 0), said.err


def test_nobody_but_the_registry_is_asked(cli, image, signed, monkeypatch):
    options = signed("rekor2")
    asked = []
    connect = socket.socket.connect

    def watch(self, address):
        asked.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watch)
    said = cli("verify", *options, image.tagged)
    assert said.code == 0, said.err
    assert {port for _, port in asked} == {int(image.host.rpartition(":")[2])}


def test_13_no_certificate_on_the_signature(cli, image, signed, sign, make_key):
    options = signed("rekor2")
    other = push_image(image.host, "keyless/by-key")
    sign(other, make_key("good"))
    said = cli("verify", *options, other.tagged)
    assert (said.code, said.out) == (13, "")
    assert "certificate-missing" in said.err
    assert cli("verify", *options, image.tagged).code == 0


def test_15_a_trust_root_that_is_none(cli, image, signed, tmp_path):
    options = signed("rekor2")
    (tmp_path / "root.json").write_text('{"mediaType": "application/json"}')
    said = cli("verify", options[0], tmp_path / "root.json", *options[2:], image.tagged)
    assert said.code == 15
    missing = cli("verify", options[0], tmp_path / "nothing.json", *options[2:], image.tagged)
    assert missing.code == 15
    assert cli("verify", *options, image.tagged).code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--certificate-identity", EMAIL),
        ("--certificate-oidc-issuer", "https://issuer.example.test"),
        ("--certificate-identity", EMAIL, "--certificate-identity-regexp", ".*", "--certificate-oidc-issuer", "x"),
    ],
)
def test_2_half_an_identity(cli, image, options):
    said = cli("verify", *options, image.tagged)
    assert said.code == 2
    assert "hint:" in said.err


def test_a_key_or_an_identity_and_both(cli, image, signed, sign, make_key):
    options = signed("rekor2")
    key = make_key("good")
    both = ("--key", key.public, *options)
    assert cli("verify", *both, image.tagged).code == 2
    only = cli("verify", *both, "--require", "any", image.tagged)
    assert only.code == 0, only.err
    missing = cli("verify", *both, "--require", "all", image.tagged)
    assert missing.code == 12
    assert "no-matching-signature" in missing.err
