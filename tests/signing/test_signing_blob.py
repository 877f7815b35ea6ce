"""Files are signed in every form cosign reads, and what an image signature is made over is noticed."""

import base64
import hashlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import SigningError
from sealgate.evidence import dsse, simple
from sealgate.keys import private
from sealgate.keys.signer import PrivateKeySigner
from sealgate.signing import blob as signing
from sealgate.transport import driver
from sealgate.verification import blob as blobs

KINDS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519")
IMAGE = Digest.of(b"image")


def run(flow):
    return driver.run(flow, sender=lambda request, deadline: pytest.fail("no network is needed"))


def read(content, signer):
    return blobs.read(io.BytesIO(content), "f", hashes=[signing.hash_of(signer)], whole=signing.needs_message(signer))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_is_what_cosign_writes(kind):
    signer = PrivateKeySigner(private.generate(kind))
    made = run(signing.sign_blob(read(b"content", signer), signer))
    assert (
        made.bundle
        == (
            '{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{}"}}}},'
            '"messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":"{}"}}}}'.format(
                signer.public_key.hint,
                base64.b64encode(hashlib.sha256(b"content").digest()).decode(),
                base64.b64encode(made.signature).decode(),
            )
        ).encode()
    )
    assert json.loads(made.legacy_bundle) == {"base64Signature": base64.b64encode(made.signature).decode()}
    scheme = signer.public_key.verify(made.signature, b"content")
    assert scheme is not None
    assert scheme.endswith("-sha256") or scheme == "ed25519"


def test_another_hash_can_be_signed_and_the_bundle_says_so():
    signer = PrivateKeySigner(private.generate("ecdsa-p384"), hash_name="sha384")
    made = run(signing.sign_blob(read(b"content", signer), signer))
    digest = json.loads(made.bundle)["messageSignature"]["messageDigest"]
    assert digest == {
        "algorithm": "SHA2_384",
        "digest": base64.b64encode(hashlib.sha384(b"content").digest()).decode(),
    }


def test_a_large_file_is_not_kept_in_memory():
    signer = PrivateKeySigner(private.generate())
    assert read(b"content", signer).message is None
    ed25519 = PrivateKeySigner(private.generate("ed25519"))
    with pytest.raises(SigningError):
        run(signing.sign_blob(read(b"content", signer), ed25519))


def test_a_signature_that_does_not_verify_is_not_given_out():
    good = PrivateKeySigner(private.generate())

    class Lying(PrivateKeySigner):
        def sign(self, data):
            return good.sign(data)

    lying = Lying(private.generate())
    with pytest.raises(SigningError) as caught:
        run(signing.sign_blob(read(b"content", lying), lying))
    assert caught.value.code == "signing-failed"
    assert run(signing.sign_blob(read(b"content", good), good)).signature


def noticed(content, size=1 << 20):
    watch = signing.ImagePayload()
    for start in range(0, len(content), size):
        watch.hear(content[start : start + size])
    return watch.found


PAYLOAD = simple.encode("registry.example.com/app", IMAGE, {})


@pytest.mark.parametrize(
    "payload",
    [
        PAYLOAD,
        json.dumps(json.loads(PAYLOAD), indent=3).encode(),
        b"\n\t " * 1000 + PAYLOAD,
        PAYLOAD.replace(b'{"critical"', b'{"padding":"' + b"x" * 100_000 + b'","critical"'),
        PAYLOAD.replace(b"docker-manifest-digest", b"Docker-Manifest-DIGEST"),
        PAYLOAD.replace(b"docker-manifest-digest", b"doc\\u006ber-manifest\\u002Ddigest"),
        PAYLOAD.replace(b"docker-manifest-digest", "doc\u212aer-manife\u017ft-digest".encode()),
        PAYLOAD.replace(b"docker-manifest-digest", b"doc\\u212aer-manife\\u017Ft-digest"),
        dsse.pae(dsse.IN_TOTO, b"{}"),
    ],
)
def test_W06_what_an_image_signature_is_made_over_is_noticed_in_every_spelling(payload):
    assert noticed(payload)


@given(st.integers(1, 200))
def test_W06_it_is_noticed_whatever_the_pieces_it_comes_in(size):
    assert noticed(PAYLOAD, size) == "the payload of an image signature"
    assert "DSSE" in noticed(dsse.pae(dsse.IN_TOTO, b"{}"), size)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\n",
        b"{}",
        b'{"critical": 7}',
        b"an image has a docker-manifest-digest",
        b'[{"critical":{"image":{"docker-manifest-digest":"sha256:00"}}}]',
        b"DSSE is an envelope",
        b"\x7fELF" + b"docker-manifest-digest",
    ],
)
def test_W06_other_files_are_not_taken_for_it(content):
    assert noticed(content) is None
