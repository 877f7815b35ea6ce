"""attach signature: what was made elsewhere, for this image only, and nothing lost."""

import base64
import json
import subprocess

import pytest

from peers.attachments import COSIGN_OFFLINE
from peers.images import push_image


@pytest.fixture
def payload(sealgate, pushed, tmp_path):
    path = tmp_path / "payload.json"
    path.write_text(sealgate("generate", pushed.tagged, check=True).stdout)
    return path


@pytest.fixture(scope="session")
def openssl_key(tmp_path_factory):
    """A key that this project has never touched."""
    folder = tmp_path_factory.mktemp("openssl")
    key, public = folder / "key.pem", folder / "pub.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


@pytest.fixture
def signature(openssl_key, payload, tmp_path):
    raw = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", openssl_key[0], payload], check=True, capture_output=True
    ).stdout
    path = tmp_path / "payload.sig"
    path.write_text(base64.b64encode(raw).decode() + "\n")
    return path


def test_a_signature_of_openssl_verifies_everywhere(
    sealgate, cosign3, cosign2, openssl_key, pushed, payload, signature
):
    arguments = ("attach", "signature", "--payload", payload, "--signature", signature, "--key", openssl_key[1])
    sealgate(*arguments, pushed.tagged, check=True)
    sealgate("verify", "--key", openssl_key[1], pushed.tagged, check=True)
    offline = ("verify", "--key", openssl_key[1], "--insecure-ignore-tlog", pushed.tagged)
    cosign2(*offline, check=True)
    cosign3(*offline, check=True)
    again = sealgate(*arguments, pushed.tagged, check=True)
    assert "Already attached" in again.stderr


def test_the_manifest_is_that_of_cosign(
    sealgate, cosign3, crane, pushed, payload, signature, docker_registry, repository
):
    signature.write_text(signature.read_text().strip())  # cosign would keep the line end in the annotation
    arguments = ("attach", "signature", "--payload", payload, "--signature", signature)
    cosign3(*arguments, pushed.reference, check=True)
    tag = sealgate("triangulate", pushed.reference, check=True).stdout.strip()
    theirs = crane("digest", "--insecure", tag, check=True).stdout
    sealgate("clean", "-f", pushed.reference, check=True)
    sealgate(*arguments, pushed.reference, check=True)
    assert crane("digest", "--insecure", tag, check=True).stdout == theirs


def test_signature_from_stdin_beside_others(sealgate, sign, verdict, pushed, payload, signature):
    sign(pushed.reference, "--format", "both")
    sealgate("attach", "signature", "--payload", payload, "--signature", "-", pushed.tagged, check=True,
             input=signature.read_text())  # fmt: skip
    assert len(verdict(pushed.tagged)["signatures"]) == 3


def test_a_bundle_made_on_another_machine(sealgate, cosign3, keys, verify, pushed, tmp_path):
    bundle = tmp_path / "bundle.json"
    sealgate("sign", "--key", keys.private, "--upload=false", "--bundle", bundle, pushed.reference, check=True)
    assert verify(pushed.tagged) == 10
    for option in ("--bundle", "--payload"):
        sealgate("attach", "signature", option, bundle, "--key", keys.public, pushed.tagged, check=True)
        assert verify(pushed.tagged) == 0
    cosign3("verify", "--key", keys.public, "--insecure-ignore-tlog", pushed.tagged, check=True)
    document = json.loads(sealgate("tree", "-o", "json", pushed.tagged, check=True).stdout)
    assert len(document["artifacts"]) == 1


def test_a_bundle_of_cosign(sealgate, cosign3, keys, verify, docker_registry, repository, tmp_path):
    image = push_image(docker_registry, repository, "v1")
    bundle = tmp_path / "bundle.json"
    cosign3(
        "sign",
        "--key",
        keys.private,
        *COSIGN_OFFLINE,
        "--upload=false",
        "--bundle",
        bundle,
        image.reference,
        check=True,
    )
    sealgate("attach", "signature", "--bundle", bundle, image.tagged, check=True)
    assert verify(image.tagged) == 0


def test_M10_a_payload_for_another_image_is_refused(sealgate, verify, registry, repository, pushed, payload, signature):
    other = push_image(registry, repository, "other")
    said = sealgate("attach", "signature", "--payload", payload, "--signature", signature, other.tagged)
    assert said.returncode == 1
    assert "[payload-invalid]" in said.stderr
    assert "for another image" in said.stderr
    assert verify(other.tagged) == 10
    sealgate("attach", "signature", "--payload", payload, "--signature", signature, pushed.tagged, check=True)


def test_M10_a_bundle_for_another_image_is_refused(sealgate, keys, verify, registry, repository, pushed, tmp_path):
    other = push_image(registry, repository, "other")
    bundle = tmp_path / "bundle.json"
    sealgate("sign", "--key", keys.private, "--upload=false", "--bundle", bundle, pushed.reference, check=True)
    said = sealgate("attach", "signature", "--bundle", bundle, other.tagged)
    assert said.returncode == 1
    assert "[statement-invalid]" in said.stderr
    assert verify(other.tagged) == 10


def test_with_a_key_it_must_verify(sealgate, keys, verify, pushed, payload, signature):
    said = sealgate(
        "attach", "signature", "--payload", payload, "--signature", signature, "--key", keys.public, pushed.tagged
    )
    assert said.returncode == 12
    assert "[no-matching-signature]" in said.stderr
    assert verify(pushed.tagged) == 10


def test_an_attestation_is_no_signature(sealgate, pushed, tmp_path):
    statement = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://example.com/x", "predicate": {},
                 "subject": [{"digest": {"sha256": pushed.digest[7:]}}]}  # fmt: skip
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "AAAA"}],
        },
    }
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle))
    said = sealgate("attach", "signature", "--bundle", path, pushed.tagged)
    assert said.returncode == 1
    assert "[bundle-invalid]" in said.stderr


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), "usage"),
        (("--payload", "{payload}"), "usage"),
        (("--payload", "{payload}", "--signature", "{missing}"), "usage"),
        (("--payload", "{payload}", "--signature", "{junk}"), "envelope-invalid"),
        (("--payload", "{junk}", "--signature", "{signature}"), "payload-invalid"),
        (("--payload", "{payload}", "--signature", "{signature}", "--rekor-response", "{payload}"), "usage"),
        (("--payload", "{payload}", "--bundle", "{payload}"), "usage"),
        (("--bundle", "{payload}"), "bundle-invalid"),
    ],
)
def test_what_cannot_be_attached(sealgate, pushed, payload, signature, tmp_path, more, code):
    (tmp_path / "junk").write_text("%%%")
    names = {"payload": payload, "signature": signature, "junk": tmp_path / "junk", "missing": tmp_path / "missing"}
    said = sealgate("attach", "signature", *(word.format(**names) for word in more), pushed.tagged)
    assert said.returncode == (2 if code == "usage" else 1)
    assert f"[{code}]" in said.stderr
