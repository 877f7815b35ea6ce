"""`--certificate` and `--certificate-chain` beside `--key`: what could be believed by nobody is not made."""

import json

import pytest
from cryptography.hazmat.primitives import serialization

from peers.code_signing import NAME, CodeSigning
from peers.images import Client, push_image


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "own/certificate")


@pytest.fixture
def own(tmp_path):
    return CodeSigning(tmp_path / "own")


@pytest.fixture
def sign(cli, key, image):
    def run(certificate, chain, *more):
        words = ["--certificate", certificate, *(["--certificate-chain", chain] if chain else []), *more]
        return cli("sign", "--key", key.private, *words, image.reference)

    return run


def signatures(image):
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-"))
    return len(json.loads(answer.body)["manifests"]) if answer.status == 200 else 0


def test_an_image_is_signed_and_verified_without_an_issuer(sign, cli, own, key, image):
    said = sign(own.pem(key.public), own.chain)
    assert said.code == 0, said.err
    for whom in (
        ("--certificate-chain", own.chain), ("--ca-roots", own.root, "--ca-intermediates", own.intermediate),
    ):  # fmt: skip
        verify = ("verify", "--certificate-identity", NAME, *whom, "--insecure-ignore-tlog", "--insecure-ignore-sct")
        found = cli(*verify, image.reference)
        assert found.code == 0, found.err
        assert f"signed by {NAME}" in found.err
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_der_and_a_file_with_everything_in_it(sign, cli, own, key, image, tmp_path):
    made = own.issue(key.public)
    (tmp_path / "der").write_bytes(made.public_bytes(serialization.Encoding.DER))
    assert sign(tmp_path / "der", own.chain).code == 0
    whole = made.public_bytes(serialization.Encoding.PEM) + own.chain.read_bytes()
    (tmp_path / "whole").write_bytes(whole)
    said = sign(tmp_path / "whole", None)
    assert (said.code, "no trust root is known" in said.err) == (0, True), said.err
    assert (sign(tmp_path / "whole", own.chain).code, signatures(image)) == (15, 2)


def test_each_signature_stands_beside_the_others(sign, own, key, image):
    certificate = own.pem(key.public)
    assert [sign(certificate, own.chain).code for _ in range(2)] == [0, 0]
    assert signatures(image) == 2


BAD = {
    "of another key": (lambda own, key, other: (own.pem(other.public), own.chain), "key-invalid", "is to sign"),
    "expired": (lambda own, key, other: (own.pem(key.public, days=-3), own.chain), "key-invalid", "not valid now"),
    "nobody named": (lambda own, key, other: (own.pem(key.public, named=None), own.chain), "key-invalid", "identity-malformed"),
    "not for signing code": (
        lambda own, key, other: (own.pem(key.public, purpose=False), own.chain), "key-invalid", "certificate-usage"
    ),
    "root alone": (lambda own, key, other: (own.pem(key.public), own.root), "key-invalid", "certificate-untrusted"),
    "an authority's": (lambda own, key, other: (own.intermediate, own.chain), "key-invalid", "certificate"),
    "none": (lambda own, key, other: (key.public, own.chain), "key-malformed", "only certificates"),
    "a chain that is none": (lambda own, key, other: (own.pem(key.public), key.public), "key-malformed", "only certificates"),
    "missing": (lambda own, key, other: ("/nowhere", own.chain), "key-invalid", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_certificate_that_nobody_could_believe(sign, own, key, make_key, image, name):
    make, code, words = BAD[name]
    said = sign(*make(own, key, make_key("other")))
    assert (said.code, f"[{code}]" in said.err, words in said.err) == (15, True, True), said.err
    assert signatures(image) == 0
    assert sign(own.pem(key.public), own.chain).code == 0


def test_another_authority_s_chain(sign, own, key, image, tmp_path):
    other = CodeSigning(tmp_path / "other", "other")
    said = sign(own.pem(key.public), other.chain)
    assert (said.code, "certificate-untrusted" in said.err) == (15, True)
    assert sign(own.pem(key.public), own.chain).code == 0


def test_under_a_trust_root_that_does_not_know_the_authority(sign, own, key, image, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services")
    said = sign(own.pem(key.public), None, "--trusted-root", files.trusted_root, "--tlog-upload=false")
    assert (said.code, "[signing-failed]" in said.err, "certificate-untrusted" in said.err) == (1, True, True)
    assert signatures(image) == 0


def test_under_a_trust_root_with_logs_that_nobody_wrote_to(sign, own, key, image, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services")
    certificate = own.pem(key.public)
    said = sign(certificate, own.chain, "--trusted-root", files.trusted_root, "--insecure-skip-verify")
    assert (said.code, "asks for an entry" in said.err) == (2, True)
    assert signatures(image) == 0
    unlogged = ("--insecure-skip-verify", "--tlog-upload=false")
    said = sign(certificate, own.chain, "--trusted-root", files.trusted_root, *unlogged)
    assert said.code == 0, said.err


def test_output_certificate(sign, own, key, tmp_path):
    certificate = own.pem(key.public)
    assert sign(certificate, own.chain, "--output-certificate", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_text() == certificate.read_text()


# -- authorities of one's own, where nothing says which logs are believed

IGNORING = {
    "nothing": (),
    "the log": ("--insecure-ignore-tlog",),
    "the SCT": ("--insecure-ignore-sct",),
    "both": ("--insecure-ignore-tlog", "--insecure-ignore-sct"),
}


@pytest.mark.parametrize("name", IGNORING)
@pytest.mark.parametrize("way", ["chain", "roots"])
def test_U13_as_with_cosign_logs_are_asked_for_until_somebody_says_not(
    sign, cli, cosign3, cosign2, own, key, image, name, way
):
    """cosign of both versions refuses unless both checks are ignored: with an error, since it would ask the public repository."""
    assert sign(own.pem(key.public), own.chain, "--format", "legacy").code == 0
    whom = ("--certificate-chain", own.chain)
    if way == "roots":
        whom = ("--ca-roots", own.root, "--ca-intermediates", own.intermediate)
    verify = (
        "verify",
        "--certificate-identity",
        NAME,
        "--certificate-oidc-issuer-regexp",
        ".*",
        *whom,
        *IGNORING[name],
    )
    old = ("--new-bundle-format=false",)
    theirs = [peer(*verify, *more, image.reference).returncode for peer, more in ((cosign3, old), (cosign2, ()))]
    said = cli(*verify, image.reference)
    assert (theirs == [0, 0], said.code) == ((True, 0) if name == "both" else (False, 15)), said.err
    if name != "both":
        assert 0 not in theirs
        assert "[trust-root-missing]" in said.err
        for missing in set(IGNORING["both"]) - set(IGNORING[name]):
            assert missing in said.err.partition("hint:")[2]


def test_a_trust_root_in_a_file_says_it_by_its_content(sign, cli, own, key, image, trust_service, tmp_path):
    assert sign(own.pem(key.public), own.chain).code == 0
    verify = ("verify", "--certificate-identity", NAME, "--certificate-chain", own.chain, "--trusted-root")
    none, some = tmp_path / "none.json", tmp_path / "some.json"
    none.write_text(json.dumps(trust_service.trusted_root(ct=(), logs=(), tsa=())))
    some.write_text(json.dumps(trust_service.trusted_root(ct=(), tsa=())))
    assert cli(*verify, none, image.reference).code == 0
    said = cli(*verify, some, image.reference)
    assert (said.code, "log-entry-missing" in said.err) == (12, True)
