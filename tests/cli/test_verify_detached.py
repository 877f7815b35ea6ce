"""`verify --signature --payload`: a signature that is attached nowhere, made by cosign, by openssl's like, or by us."""

from __future__ import annotations

import pytest

from peers.images import push_image


@pytest.fixture
def made(sealgate, docker_registry, tmp_path):
    sealgate("generate-key-pair", "--output-key-prefix", str(tmp_path / "k"), check=True)
    image = push_image(docker_registry, "detached/app", "v1")
    name = f"{docker_registry}/detached/app@{image.digest}"
    sealgate(
        "sign", "--key", str(tmp_path / "k.key"), "--format", "legacy", "--upload=false",
        "--output-signature", str(tmp_path / "sig"), "--output-payload", str(tmp_path / "payload"), name, check=True,
    )  # fmt: skip
    return name, tmp_path


def test_a_detached_signature_is_judged_like_an_attached_one(sealgate, cosign3, made):
    name, folder = made
    options = ("--key", folder / "k.pub", "--signature", folder / "sig", "--payload", folder / "payload", name)
    said = sealgate("verify", *map(str, options))
    theirs = cosign3("verify", "--insecure-ignore-tlog", *map(str, options))
    assert (said.returncode, theirs.returncode) == (0, 0), said.stderr + theirs.stderr
    assert said.stdout == theirs.stdout


def test_the_signature_may_be_given_itself(sealgate, made):
    name, folder = made
    text = (folder / "sig").read_text()
    said = sealgate("verify", "--key", f"{folder}/k.pub", "--signature", text, "--payload", f"{folder}/payload", name)
    assert said.returncode == 0, said.stderr


def test_nothing_attached_counts_beside_it(sealgate, made):
    name, folder = made
    sealgate("sign", "--key", f"{folder}/k.key", name, check=True)
    (folder / "payload").write_bytes((folder / "payload").read_bytes() + b" ")
    said = sealgate(
        "verify", "--key", f"{folder}/k.pub", "--signature", f"{folder}/sig", "--payload", f"{folder}/payload", name
    )
    assert said.returncode == 12
    assert "signature-key-mismatch" in said.stderr


def test_one_without_the_other_is_wrong_use(sealgate, made):
    name, folder = made
    assert sealgate("verify", "--key", f"{folder}/k.pub", "--signature", f"{folder}/sig", name).returncode == 2
    assert sealgate("verify", "--key", f"{folder}/k.pub", "--payload", f"{folder}/payload", name).returncode == 2


def test_a_signature_that_is_none_is_refused(sealgate, made):
    name, folder = made
    said = sealgate(
        "verify", "--key", f"{folder}/k.pub", "--signature", "./nowhere", "--payload", f"{folder}/payload", name
    )
    assert said.returncode == 12
    assert "evidence-malformed" in said.stderr
