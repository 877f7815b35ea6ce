"""Signing keyless with the library: an author takes the place of a key."""

import asyncio
import json

import pytest

import sealgate
from peers.images import push_image
from sealgate import blocking
from trust_service.identities import EMAIL

PREDICATE = "https://example.test/predicate/v1"


@pytest.fixture
def documents(trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services", rekor=1)
    return {"signing_config": files.signing_config.read_bytes(), "trusted_root": files.trusted_root.read_bytes()}


@pytest.fixture
def verified(trust_service, cosign3, tmp_path):
    """Whether cosign verifies it."""

    def verify(command, *words):
        (tmp_path / "root").write_text(json.dumps(trust_service.trusted_root()))
        who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", trust_service.issuer.url)
        return cosign3(command, "--trusted-root", tmp_path / "root", *who, *words).returncode == 0

    return verify


def test_an_image(trust_service, documents, docker_registry, verified):
    image = push_image(docker_registry, "library/keyless")

    async def everything():
        author = await sealgate.load_author(trust_service.token(), formats=["bundle", "legacy"], **documents)
        made = await sealgate.sign(image.reference, keys=[author], formats=["bundle", "legacy"])
        await sealgate.attest(image.reference, keys=[author], predicate={}, predicate_type=PREDICATE)
        return author, made

    author, made = asyncio.run(everything())
    assert (author.name, [one.added for one in made]) == (EMAIL, [True, True])
    assert verified("verify", image.reference)
    assert verified("verify", "--new-bundle-format=false", image.reference)
    assert verified("verify-attestation", "--type", PREDICATE, image.reference)


def test_a_file(trust_service, documents, verified, tmp_path):
    author = blocking.load_author(trust_service.token(), **documents)
    (tmp_path / "bundle").write_bytes(blocking.sign_blob(b"content", key=author).bundle)
    (tmp_path / "app").write_bytes(b"content")
    assert verified("verify-blob", "--bundle", tmp_path / "bundle", tmp_path / "app")
    made = blocking.attest_blob(tmp_path / "app", key=author, predicate={}, predicate_type=PREDICATE)
    (tmp_path / "bundle").write_bytes(made.bundle)
    assert verified("verify-blob-attestation", "--type", PREDICATE, "--bundle", tmp_path / "bundle", tmp_path / "app")


def test_what_is_made_is_judged_under_the_root(trust_service, documents, docker_registry):
    image = push_image(docker_registry, "library/keyless")
    author = blocking.load_author(trust_service.token(), **documents)
    trust_service.use(log="stranger")
    with pytest.raises(sealgate.errors.SigningError, match="log-entry-untrusted"):
        blocking.sign(image.reference, keys=[author])
    assert blocking.attachments(image.reference).items == ()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"token": "nonsense"}, sealgate.errors.IdentityTokenError),
        ({"audience": "somebody"}, sealgate.errors.TokenAudienceError),
        ({"signing_config": b"{}"}, sealgate.errors.SigningConfigInvalidError),
        ({"trusted_root": b"{}"}, sealgate.errors.TrustRootInvalidError),
        ({"formats": []}, sealgate.UsageError),
        ({"formats": "bundle"}, TypeError),
        ({"algorithm": "ed25519"}, sealgate.UsageError),
    ],
)
def test_wrong_use(trust_service, documents, changed, error):
    asked = {"token": trust_service.token(), **documents} | changed
    with pytest.raises(error):
        blocking.load_author(asked.pop("token"), **asked)
    assert trust_service.requests == []


def test_nothing_shows_the_token_or_the_key(trust_service, documents):
    token = trust_service.token()
    author = blocking.load_author(token, **documents)
    assert not any(part in repr(author) for part in token.split("."))
