"""Signers: local ones, ones that want a digest, and ones that lie."""

import hashlib
from pathlib import Path

import pytest

from sealgate.errors import KeyUnsupportedError, SigningError
from sealgate.keys import private
from sealgate.keys.signer import PrivateKeySigner, sign_digest, sign_message, signing_hash
from sealgate.transport import driver

RECORDED = Path(__file__).with_name("recorded")
KINDS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519")


def run(flow):
    return driver.run(flow, sender=lambda request, deadline: pytest.fail("no network is needed"))


class Service:
    """A key service that signs digests, as most do."""

    def __init__(self, key, hash_name="sha256", sign_with=None):
        self.public_key = key.public_key
        self.key_version = "3"
        self.wants = "digest"
        self.hash_name = hash_name
        self.remote = True
        self._key = sign_with or key
        self.given = None

    def sign(self, data):
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        from sealgate.keys.algorithms import HASHES

        self.given = data
        return self._key._handle.sign(data, ec.ECDSA(utils.Prehashed(HASHES[self.hash_name])))


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_key_signs_with_what_every_cosign_verifies(kind):
    key = private.generate(kind)
    signer = PrivateKeySigner(key)
    signature = run(sign_message(signer, b"message"))
    scheme = "ed25519" if kind == "ed25519" else ("rsa-pkcs1v15" if kind.startswith("rsa") else kind) + "-sha256"
    assert key.public_key.verify(signature, b"message") == scheme
    assert signer.hash_name == signing_hash(kind) == (None if kind == "ed25519" else "sha256")
    wants = "message" if kind == "ed25519" else "digest"
    assert (signer.wants, signer.key_version, signer.remote) == (wants, None, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_is_signed_as_the_message_would_be(kind):
    key = private.generate(kind)
    signer = PrivateKeySigner(key)
    digest = hashlib.sha256(b"message").digest()
    if kind == "ed25519":
        with pytest.raises(SigningError):
            run(sign_digest(signer, digest))
        with pytest.raises(KeyUnsupportedError):
            key.sign_digest(digest, "sha256")
        signature = run(sign_message(signer, b"message"))
        assert (key.public_key.hashes, key.public_key.verify_digest(signature, digest, "sha256")) == ((), None)
        return
    signature = run(sign_digest(signer, digest))
    scheme = key.public_key.verify(signature, b"message")
    assert scheme is not None
    assert key.public_key.verify_digest(signature, digest, "sha256") == scheme
    assert "sha256" in key.public_key.hashes
    assert key.public_key.verify_digest(signature, hashlib.sha256(b"other").digest(), "sha256") is None
    assert key.public_key.verify_digest(signature, digest, "sha384") is None
    assert key.public_key.verify_digest(b"", digest, "sha256") is None


def test_a_signature_of_a_digest_by_another_key_is_refused():
    key = private.generate()
    digest = hashlib.sha256(b"message").digest()
    with pytest.raises(SigningError) as caught:
        run(sign_digest(Service(key, sign_with=private.generate()), digest))
    assert caught.value.code == "signing-failed"
    assert run(sign_digest(Service(key), digest))


def test_the_hash_can_be_chosen_but_not_for_ed25519():
    signer = PrivateKeySigner(private.generate("ecdsa-p384"), hash_name="sha384")
    assert signer.public_key.verify(run(sign_message(signer, b"m")), b"m") == "ecdsa-p384-sha384"
    with pytest.raises(KeyUnsupportedError):
        PrivateKeySigner(private.generate("ed25519"), hash_name="sha512")


@pytest.mark.parametrize("hash_name", ["sha256", "sha384"])
def test_a_signer_of_digests_is_given_the_digest(hash_name):
    service = Service(private.generate(), hash_name)
    signature = run(sign_message(service, b"message"))
    assert service.given == hashlib.new(hash_name, b"message").digest()
    assert service.public_key.verify(signature, b"message") == f"ecdsa-p256-{hash_name}"


def test_a_signature_by_another_key_is_refused():
    key = private.generate()
    with pytest.raises(SigningError) as caught:
        run(sign_message(Service(key, sign_with=private.generate()), b"message"))
    assert caught.value.code == "signing-failed"
    assert key.public_key.fingerprint in caught.value.message
    assert run(sign_message(Service(key), b"message"))


def test_a_signer_of_digests_without_a_hash_is_refused():
    with pytest.raises(SigningError):
        run(sign_message(Service(private.generate(), None), b"message"))


def signed(directory, kind, hash_name):
    key = private.generate(kind)
    (directory / "k.pub").write_bytes(key.public_key.pem())
    (directory / "message").write_bytes(b"message\n")
    signature = run(sign_message(PrivateKeySigner(key, hash_name=hash_name), b"message\n"))
    import base64

    (directory / "signature").write_bytes(base64.b64encode(signature))


@pytest.mark.parametrize("peer", ["cosign2", "cosign3"])
@pytest.mark.parametrize("kind", KINDS)
def test_cosign_verifies_the_signature_of_each_kind_of_key(request, tmp_path, kind, peer):
    cosign = request.getfixturevalue(peer)
    signed(tmp_path, kind, None)
    arguments = ["verify-blob", "--key", "k.pub", "--insecure-ignore-tlog", "--signature", "signature", "message"]
    done = cosign(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stderr
    (tmp_path / "message").write_bytes(b"another\n")
    assert cosign(*arguments, cwd=tmp_path).returncode != 0


@pytest.mark.parametrize("peer", ["cosign2", "cosign3"])
def test_cosign_refuses_other_hashes_which_is_why_sha256_is_the_default(request, tmp_path, peer, peer_versions):
    cosign = request.getfixturevalue(peer)
    if not peer_versions[peer].startswith(("2.5.", "3.1.1")):
        pytest.skip("measured with 2.5 and 3.1.1 only")
    signed(tmp_path, "ecdsa-p384", "sha384")
    arguments = ["verify-blob", "--key", "k.pub", "--insecure-ignore-tlog", "--signature", "signature", "message"]
    assert cosign(*arguments, cwd=tmp_path).returncode != 0
