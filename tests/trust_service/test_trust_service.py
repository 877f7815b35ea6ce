"""The trust service does what the other tests lean on: real clients sign with it and verify what it makes.

No line of the product runs here.
"""

import json
import time

import pytest

from trust_service.identities import WORKFLOW, github, kubernetes
from trust_service.period import DAY

PREDICATE = ("--type", "https://example.test/predicate/v1")


@pytest.fixture
def cosign_verifies(trust_service, cosign3, tmp_path):
    """`cosign_verifies(made, …)`: what cosign 3 says of a bundle, given the trust root."""

    def verify(made, *more, command="verify-blob", cosign=cosign3):
        files = trust_service.files(tmp_path)
        (tmp_path / "bundle").write_bytes(made.json)
        (tmp_path / "artifact").write_bytes(made.artifact)
        identity = ("--certificate-identity", made.subject, "--certificate-oidc-issuer", made.issuer)
        flags = ("--trusted-root", files.trusted_root, "--bundle", "bundle", *identity)
        return cosign(command, *flags, *more, "artifact", cwd=tmp_path)

    return verify


GOOD = {
    "v2": ({}, ()),
    "second of each": ({"log": "ecdsa", "tsa": "second", "authority": "second", "ct": "second"}, ()),
    "two logs": ({"log": ("current", "second"), "tsa": ("current", "second")}, ()),
    "v1": ({"rekor": 1}, ()),
    "bundle 0.1": ({"rekor": 1, "version": "0.1"}, ()),
    "bundle 0.2": ({"rekor": 1, "version": "0.2", "tsa": True}, ("--use-signed-timestamps",)),
    "no log": ({"rekor": None}, ("--insecure-ignore-tlog", "--use-signed-timestamps")),
    "github": ({"identity": github()}, ()),
    "kubernetes": ({"identity": kubernetes()}, ()),
    "uri": ({"identity": "spiffe://example.test/signer"}, ()),
    "name": ({"identity": "somebody"}, ()),
}
ALTERED = {
    "authority": ({"authority": "stranger"}, "leaf certificate verification failed"),
    "expired": ({"authority": "expired"}, "leaf certificate verification failed"),
    "ct log": ({"ct": "stranger"}, "only able to verify 0 SCT entries"),
    "log": ({"log": "stranger"}, "not enough verified log entries"),
    "tsa": ({"tsa": "stranger"}, "unable to verify signed timestamps"),
    "proof": ({"alter": {"proof": lambda proof: proof | {"hashes": proof["hashes"][1:]}}}, "inclusion"),
    "sct": ({"alter": {"signed-sct": lambda sct: sct[:-1] + bytes([sct[-1] ^ 1])}}, "SCT"),
    "checkpoint": ({"alter": {"checkpoint": lambda note: note._replace(size=note.size + 1)}}, "wrong proof size"),
    "note": (
        {"alter": {"signed-checkpoint": lambda note: note.replace("test\n", "test\n1", 1)}},
        "invalid signature for key",
    ),
    "timestamp": ({"alter": {"timestamp": lambda stamp: stamp._replace(at=stamp.at + 3600)}}, "leaf certificate"),
    "certificate": (
        {"alter": {"certificate": lambda profile: profile._replace(purposes=("1.3.6.1.5.5.7.3.1",))}},
        "leaf certificate",
    ),
    "set": (
        {"rekor": 1, "alter": {"signed-set": lambda promise: promise[:-1] + bytes([promise[-1] ^ 1])}},
        "inclusion",
    ),
    "bundle": ({"alter": {"bundle": lambda bundle: bundle | {"unknown": 1}}}, "only supported with"),
}


@pytest.mark.parametrize("case", GOOD)
def test_cosign_verifies_what_is_made(trust_service, cosign_verifies, case):
    options, more = GOOD[case]
    said = cosign_verifies(trust_service.make_bundle(**options), *more)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("entry_kind", [None, "dsse", "intoto"])
def test_cosign_verifies_attestations_that_are_made(trust_service, cosign_verifies, entry_kind):
    made = trust_service.make_bundle(kind="dsse", rekor=1 if entry_kind else 2, entry_kind=entry_kind)
    said = cosign_verifies(made, *PREDICATE, command="verify-blob-attestation")
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("case", ALTERED)
def test_cosign_refuses_what_is_altered(trust_service, cosign_verifies, case):
    options, words = ALTERED[case]
    said = cosign_verifies(trust_service.make_bundle(**options))
    assert said.returncode != 0
    assert words in said.stderr


def test_retired_and_expired_ones_made_good_evidence_in_their_time(trust_service, cosign_verifies):
    before = time.time() - 3 * DAY
    for name in ("expired", "retired"):
        assert cosign_verifies(trust_service.make_bundle(authority=name, tsa=name, at=before)).returncode == 0
        assert cosign_verifies(trust_service.make_bundle(authority=name)).returncode != 0


def test_cosign3_signs_against_it(trust_service, cosign3, tmp_path):
    files = trust_service.files(tmp_path)
    (tmp_path / "artifact").write_text("something")
    (tmp_path / "token").write_text(trust_service.token(github()))
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    sign = ("sign-blob", "--yes", *services, "--identity-token", "token", "--bundle", "bundle", "artifact")
    cosign3(*sign, cwd=tmp_path, check=True)
    assert [seen.service for seen in trust_service.requests] == ["fulcio", "tsa", "rekor"]
    identity = ("--certificate-identity", WORKFLOW, "--certificate-oidc-issuer", trust_service.issuer.url)
    verify = ("verify-blob", "--trusted-root", files.trusted_root, *identity, "--bundle", "bundle", "artifact")
    cosign3(*verify, cwd=tmp_path, check=True)
    assert cosign3(*verify[:-1], "token", cwd=tmp_path).returncode != 0
    trust_service.fail("rekor", status=500)
    assert cosign3(*sign, cwd=tmp_path).returncode != 0
    trust_service.reset()
    cosign3(*sign, cwd=tmp_path, check=True)


def test_cosign2_signs_against_it(trust_service, cosign2, cosign3, tmp_path):
    files = trust_service.files(tmp_path)
    (tmp_path / "artifact").write_text("something")
    (tmp_path / "token").write_text(trust_service.token())
    places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url)
    keys = {"SIGSTORE_ROOT_FILE": str(files.ca), "SIGSTORE_REKOR_PUBLIC_KEY": str(files.rekor)}
    keys |= {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(files.ct)}
    sign = ("sign-blob", "--yes", *places, "--identity-token", "token", "--new-bundle-format", "--bundle", "bundle")
    cosign2(*sign, "artifact", cwd=tmp_path, env=keys, check=True)
    assert [seen.path for seen in trust_service.requests] == ["/api/v1/signingCert", "/api/v1/log/entries"]
    identity = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    verify = ("verify-blob", "--trusted-root", files.trusted_root, *identity, "--bundle", "bundle", "artifact")
    cosign3(*verify, cwd=tmp_path, check=True)
    cosign2(verify[0], "--new-bundle-format", *verify[1:], cwd=tmp_path, check=True)


def test_cosign_is_initialized_from_tuf(trust_service, cosign3, cosign2, tmp_path):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    (tmp_path / "token").write_text(trust_service.token())
    identity = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    for cosign in (cosign3, cosign2):
        home = {"HOME": str(tmp_path / cosign.version)}
        cosign(
            "initialize", "--mirror", trust_service.tuf_url, "--root", "root.json", cwd=tmp_path, env=home, check=True
        )
        # cosign 2.5.0 takes its trust in Sigstore's bundles from the public repository whatever it was initialized from; its
        # own bundles are verified with what it was given.
        more = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url) if cosign is cosign2 else ()
        sign = ("sign-blob", "--yes", *more, "--identity-token", "token", "--bundle", "bundle", "root.json")
        cosign(*sign, cwd=tmp_path, env=home, check=True)
        verify = ("verify-blob", *more[2:], *identity, "--bundle", "bundle", "root.json")
        cosign(*verify, cwd=tmp_path, env=home, check=True)
        assert cosign(*verify[:-1], "token", cwd=tmp_path, env=home).returncode != 0
    trust_service.publish(rotate=("root", "targets", "timestamp"))
    assert trust_service.tuf.versions == {"root": 2, "targets": 2, "snapshot": 2, "timestamp": 2}
    home = {"HOME": str(tmp_path / cosign3.version)}
    (tmp_path / "bundle").unlink()
    cosign3(
        "sign-blob",
        "--yes",
        "--identity-token",
        "token",
        "--bundle",
        "bundle",
        "root.json",
        cwd=tmp_path,
        env=home,
        check=True,
    )
    cosign3("verify-blob", *identity, "--bundle", "bundle", "root.json", cwd=tmp_path, env=home, check=True)


@pytest.mark.parametrize("flow", ["client_credentials", "device"])
def test_cosign_signs_in(trust_service, cosign3, tmp_path, flow):
    files = trust_service.files(tmp_path)
    (tmp_path / "secret").write_text("secret")
    trust_service.issuer.pending = 1
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    flags = ("--fulcio-auth-flow", flow, "--oidc-client-id", "sigstore", "--oidc-client-secret-file", "secret")
    cosign3("sign-blob", "--yes", *services, *flags, "--bundle", "bundle", "secret", cwd=tmp_path, check=True)
    asked = [seen.path for seen in trust_service.requests if seen.service == "oidc"]
    assert asked.count("/oidc/token") == (2 if flow == "device" else 1)


def test_misspelt_names_are_errors(trust_service):
    with pytest.raises(ValueError, match="nothing is called cheque"):
        trust_service.alter("cheque", lambda value: value)
    with pytest.raises(ValueError, match="no service is called records"):
        trust_service.fail("records")


def test_every_test_begins_anew(trust_service):
    assert not trust_service.requests
    made = trust_service.make_bundle(rekor=1)
    assert json.loads(made.json)["verificationMaterial"]["tlogEntries"]
