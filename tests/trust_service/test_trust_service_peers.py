"""Every client works with the trust service, not cosign alone: sigstore-python, sigstore-js, openssl; and people sign in.

Who verifies what of whom stands in `tests/matrix/keyless.py`. No line of the product runs here.
"""

import re
import subprocess
import time
import urllib.request

import pytest

from matrix.keyless import MEASURED, Evidence
from matrix.keyless_tools import Signed, Tools
from peers.issuers import ACCOUNT
from trust_service.identities import EMAIL, WORKFLOW, github, kubernetes
from trust_service.period import DAY

CLIENTS = ("sigstore-python", "sigstore-js")


@pytest.fixture
def clients(trust_service, sigstore_python, sigstore_js, sigstore_js4, cosign3, tmp_path):
    """The clients as `matrix.keyless_tools` has them, with this test's trust service."""
    programs = {
        "sigstore-python": sigstore_python,
        "sigstore-js": sigstore_js,
        "sigstore-js4": sigstore_js4,
        "cosign3": cosign3,
    }
    return Tools(trust_service, programs, tmp_path)


@pytest.fixture
def verifies(clients, tmp_path):
    """`verifies(client, made)`: what it says of a bundle that was made here."""

    def verify(client, made, evidence=Evidence("blob", 2, tsa=True)):  # noqa: B008 - a value
        (tmp_path / "made").write_bytes(made.json)
        (tmp_path / "of").write_bytes(made.artifact)
        return clients.verify(client, Signed(evidence, tmp_path / "made", tmp_path / "of", made.subject, made.issuer))

    return verify


GOOD = {
    "v2": {},
    "second of each": {"log": "ecdsa", "tsa": "second", "authority": "second", "ct": "second"},
    "v1": {"rekor": 1},
    "v1 and a timestamp": {"rekor": 1, "tsa": True},
    "bundle 0.1": {"rekor": 1, "version": "0.1"},
    "bundle 0.2": {"rekor": 1, "version": "0.2"},
    "github": {"identity": github()},
    "kubernetes": {"identity": kubernetes()},
    "uri": {"identity": "spiffe://example.test/signer"},
}
# What is altered, and what sigstore-python and sigstore-js say of it; None: they leave that check out.
ALTERED = {
    "authority": (
        {"authority": "stranger"},
        "failed to build timestamp certificate chain",
        "no valid certificate path found",
    ),
    "expired": (
        {"authority": "expired"},
        "cert is not valid at validation time",
        "not valid or expired at the specified date",
    ),
    "ct log": ({"ct": "stranger"}, "failed to verify SCT", "SCT verification failed"),
    "log": ({"log": "stranger"}, "checkpoint: invalid signature", "invalid checkpoint signature"),
    "tsa": ({"tsa": "stranger"}, "not enough sources of verified time", "timestamp could not be verified"),
    "proof": (
        {"alter": {"proof": lambda proof: proof | {"hashes": proof["hashes"][1:]}}},
        "inclusion proof has wrong size",
        "invalid hash count",
    ),
    "sct": (
        {"alter": {"signed-sct": lambda sct: sct[:-1] + bytes([sct[-1] ^ 1])}},
        "failed to verify SCT",
        "SCT verification failed",
    ),
    "checkpoint": (
        {"alter": {"checkpoint": lambda note: note._replace(size=note.size + 1)}},
        None,
        "invalid hash count",
    ),
    "note": (
        {"alter": {"signed-checkpoint": lambda note: note.replace("test\n", "test\n1", 1)}},
        "checkpoint: invalid signature",
        "invalid checkpoint signature",
    ),
    "timestamp": (
        {"alter": {"timestamp": lambda stamp: stamp._replace(at=stamp.at + 3600)}},
        "cert is not valid at validation time",
        "no valid certificate path found",
    ),
    "certificate": (
        {"alter": {"certificate": lambda profile: profile._replace(purposes=("1.3.6.1.5.5.7.3.1",))}},
        "Extended usage does not contain",
        None,
    ),
    "set": (
        {"rekor": 1, "alter": {"signed-set": lambda promise: promise[:-1] + bytes([promise[-1] ^ 1])}},
        "SET: invalid",
        "inclusion promise could not be verified",
    ),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("client", CLIENTS)
def test_clients_verify_what_is_made(trust_service, verifies, client, case):
    said = verifies(client, trust_service.make_bundle(**GOOD[case]))
    assert said.accepts, said.words


@pytest.mark.parametrize("case", ALTERED)
@pytest.mark.parametrize("client", CLIENTS)
def test_clients_refuse_what_is_altered(trust_service, verifies, peer_versions, client, case):
    options, *words = ALTERED[case]
    said = verifies(client, trust_service.make_bundle(**options))
    word = words[CLIENTS.index(client)]
    if word is None:  # a check that this version leaves out
        assert said.accepts or not peer_versions[client].startswith(MEASURED[client])
    else:
        assert not said.accepts
        assert word in " ".join(said.words.split())


@pytest.mark.parametrize("client", CLIENTS)
def test_retired_and_expired_ones_made_good_evidence_in_their_time(trust_service, verifies, client):
    before = time.time() - 3 * DAY
    for name in ("expired", "retired"):
        said = verifies(client, trust_service.make_bundle(authority=name, tsa=name, at=before))
        assert said.accepts, said.words


def test_sigstore_python_is_configured_from_tuf(trust_service, sigstore_python, tmp_path):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": None}
    instance = ("--instance", trust_service.tuf_url)
    sigstore_python(*instance, "trust-instance", "root.json", cwd=tmp_path, env=home, check=True)
    token = trust_service.token(github())
    sign = ("sign", "--identity-token", token, "--bundle", "bundle", "root.json")
    sigstore_python(*instance, *sign, cwd=tmp_path, env=home, check=True)
    assert {seen.service for seen in trust_service.requests} == {"tuf", "fulcio", "tsa", "rekor"}
    verify = ("verify", "identity", "--bundle", "bundle", "--cert-oidc-issuer", trust_service.issuer.url)
    verify += ("--cert-identity", WORKFLOW)
    sigstore_python(*instance, *verify, "root.json", cwd=tmp_path, env=home, check=True)
    (tmp_path / "other").write_text("other")
    assert sigstore_python(*instance, *verify, "other", cwd=tmp_path, env=home).returncode != 0


def test_sigstore_js_is_configured_from_tuf(trust_service, sigstore_js_cli, tmp_path):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    home = {"HOME": str(tmp_path / "home"), "CI": "true"}
    home["SIGSTORE_ID_TOKEN"] = trust_service.token(github())
    mirror = ("--mirror", trust_service.tuf_url, "--root", "root.json")
    sigstore_js_cli("initialize", *mirror, cwd=tmp_path, env=home, check=True)
    services = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url)
    attest = ("attest", *services, "--payload-type", "text/plain", "-o", "bundle", "root.json")
    sigstore_js_cli(*attest, cwd=tmp_path, env=home, check=True)
    who = ("--certificate-issuer", trust_service.issuer.url, "--certificate-identity-uri")
    verify = ("verify", "--tuf-mirror-url", trust_service.tuf_url, "bundle", *who)
    sigstore_js_cli(*verify, WORKFLOW, cwd=tmp_path, env=home, check=True)
    assert sigstore_js_cli(*verify, f"{WORKFLOW}s", cwd=tmp_path, env=home).returncode != 0


@pytest.mark.parametrize("hash_", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("certificates", [True, False])
def test_openssl_asks_for_timestamps_and_verifies_them(trust_service, openssl, tmp_path, hash_, certificates):
    files = trust_service.files(tmp_path)
    (tmp_path / "data").write_text("something")
    more = ("-cert",) if certificates else ()
    openssl("ts", "-query", "-data", "data", f"-{hash_}", *more, "-out", "query", cwd=tmp_path, check=True)
    url = f"{trust_service.url}/api/v1/timestamp"
    headers = {"Content-Type": "application/timestamp-query"}
    request = urllib.request.Request(url, (tmp_path / "query").read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        (tmp_path / "response").write_bytes(answer.read())
    chain = ("-CAfile", files.tsa, *(() if certificates else ("-untrusted", files.tsa)))
    verify = ("ts", "-verify", "-in", "response", *chain)
    for what in (("-queryfile", "query"), ("-data", "data")):
        said = openssl(*verify, *what, cwd=tmp_path, check=True)
        assert "Verification: OK" in said.stdout + said.stderr
    assert openssl(*verify, "-data", files.tsa, cwd=tmp_path).returncode != 0


def test_openssl_verifies_the_timestamps_in_bundles(trust_service, openssl, tmp_path):
    files = trust_service.files(tmp_path)
    verify = ("ts", "-verify", "-in", "response", "-data", "signature", "-CAfile", files.tsa, "-untrusted", files.tsa)
    for tsa, accepts in (("current", True), ("stranger", False)):
        made = trust_service.make_bundle(tsa=tsa)
        (tmp_path / "signature").write_bytes(made.signature)
        (tmp_path / "response").write_bytes(made.timestamps[0])
        said = openssl(*verify, cwd=tmp_path)
        assert (said.returncode == 0) is accepts, said.stderr


NORMAL = ("--fulcio-auth-flow", "normal")
"""By browser: cosign else takes a standard input that is no terminal for a machine without one."""


def sign_in_at(trust_service, oidc_provider):
    """The real issuer's tokens are as good as the trust service's own, and clients are sent to it."""
    trust_service.issuer.believe(oidc_provider.url, oidc_provider.keys())

    def elsewhere(config):
        return config | {"oidcUrls": [one | {"url": oidc_provider.url} for one in config["oidcUrls"]]}

    trust_service.alter("signing-config", elsewhere)


@pytest.mark.parametrize("flow", ["normal", "device"])
def test_people_sign_in_at_a_real_issuer_and_sign(trust_service, oidc_provider, browser, cosign3, tmp_path, flow):
    sign_in_at(trust_service, oidc_provider)
    files = trust_service.files(tmp_path)
    (tmp_path / "artifact").write_text("something")
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    sign = ("sign-blob", "--yes", *services, "--bundle", tmp_path / "bundle", tmp_path / "artifact")
    if flow == "normal":
        cosign3(*sign, *NORMAL, env=browser, check=True)
    else:
        with cosign3.popen(*sign, "--fulcio-auth-flow", "device", stderr=subprocess.STDOUT) as process:
            try:
                said = b""
                while not (place := re.search(rb"http://\S+user_code=\S+", said)):
                    line = process.stdout.readline()
                    assert line, said
                    said += line
                oidc_provider.browse(place[0].decode())
                more, _ = process.communicate(timeout=30)
            finally:
                process.kill()
        assert process.returncode == 0, more
    identity = ("--certificate-identity", ACCOUNT["email"], "--certificate-oidc-issuer", oidc_provider.url)
    verify = ("verify-blob", *services[2:], *identity, "--bundle", "bundle")
    cosign3(*verify, "artifact", cwd=tmp_path, check=True)
    assert cosign3(*verify, files.ca, cwd=tmp_path).returncode != 0


def test_people_sign_in_by_browser_with_sigstore_python(trust_service, browser, sigstore_python, tmp_path):
    """At the trust service's own issuer: it wants an identity token as access token, and shows an empty password, as Sigstore's
    own Dex has it; oidc-provider does not.
    """
    trust_service.issuer.same_tokens = True
    files = trust_service.files(tmp_path)
    config = ("--trust-config", files.client_config)
    sigstore_python(*config, "sign", "--bundle", "bundle", files.ca, cwd=tmp_path, env=browser, check=True)
    verify = ("verify", "identity", "--bundle", "bundle", "--cert-oidc-issuer", trust_service.issuer.url, files.ca)
    sigstore_python(*config, *verify, "--cert-identity", EMAIL, cwd=tmp_path, check=True)
    assert sigstore_python(*config, *verify, "--cert-identity", f"a{EMAIL}", cwd=tmp_path).returncode != 0


def test_tokens_of_a_real_issuer_are_worth_nothing_where_it_is_not_known(
    trust_service, oidc_provider, browser, cosign3, tmp_path
):
    sign_in_at(trust_service, oidc_provider)
    trust_service.issuer.reset()
    files = trust_service.files(tmp_path)
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    said = cosign3("sign-blob", "--yes", *services, *NORMAL, "--bundle", "b", files.ca, cwd=tmp_path, env=browser)
    assert said.returncode != 0
    assert "error processing the identity token" in said.stderr
