"""Signing without a key of one's own, against a private Sigstore; stock cosign verifies it offline, given the trust root."""

import base64
import json

import pytest

from peers.images import Client, push_image
from trust_service.identities import EMAIL, WORKFLOW, github

PREDICATE = "https://example.test/predicate/v1"


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "keyless/image")


@pytest.fixture
def keyless(cli, trust_service, tmp_path):
    """`keyless("sign", …, rekor=1)`: signed with a token, against the services of a signing config."""

    def run(command, *words, rekor=2, identity=EMAIL, root=True, input="", **config):
        files = trust_service.files(tmp_path / "services", rekor=rekor, **config)
        (tmp_path / "token").write_text(trust_service.token(identity) + "\n")
        flags = ["--signing-config", files.signing_config, "--identity-token", tmp_path / "token", "--yes"]
        flags += ["--trusted-root", files.trusted_root] if root else []
        said = cli(command, *flags, *words, input=input)
        assert "ey" + "J" not in said.out + said.err  # every token begins so
        return said

    return run


@pytest.fixture
def offline(trust_service, tmp_path):
    """Flags with which a verifier asks nobody."""
    files = trust_service.files(tmp_path / "verifier")

    def flags(identity=EMAIL, *, root=True):
        who = ("--certificate-identity", identity, "--certificate-oidc-issuer", trust_service.issuer.url)
        return (*(("--trusted-root", files.trusted_root) if root else ()), *who)

    return flags


@pytest.fixture
def old_keys(trust_service, tmp_path):
    """How cosign 2 is told whom to believe."""
    files = trust_service.files(tmp_path / "verifier2")
    return {
        "SIGSTORE_ROOT_FILE": str(files.ca),
        "SIGSTORE_REKOR_PUBLIC_KEY": str(files.rekor),
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(files.ct),
    }


def layer(image, suffix):
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-") + suffix)
    return json.loads(answer.body)["layers"][-1] if answer.status == 200 else None


def referrers(image):
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-"))
    return json.loads(answer.body)["manifests"] if answer.status == 200 else []


# -- images


@pytest.mark.parametrize("rekor", [2, 1])
def test_an_image_is_signed_as_a_bundle(keyless, cli, cosign3, offline, trust_service, image, rekor):
    said = keyless("sign", "-a", "env=prod", image.reference, rekor=rekor, identity=github())
    assert said.code == 0, said.err
    assert WORKFLOW in said.err
    assert {seen.service for seen in trust_service.requests} == {"fulcio", "tsa", "rekor"}
    verified = cosign3("verify", *offline(WORKFLOW), "-a", "env=prod", image.reference)
    assert verified.returncode == 0, verified.stderr
    assert cosign3("verify", *offline(EMAIL), image.reference).returncode != 0
    assert cli("verify", *offline(WORKFLOW), "-a", "env=prod", image.reference).code == 0


def test_format_both_reaches_both_cosigns(keyless, cosign3, cosign2, cli, offline, old_keys, image):
    assert keyless("sign", "--format", "both", image.reference, rekor=1).code == 0
    assert cosign3("verify", *offline(), image.reference).returncode == 0
    legacy = cosign3("verify", *offline(), "--new-bundle-format=false", image.reference)
    assert legacy.returncode == 0, legacy.stderr
    old = cosign2("verify", *offline(root=False), image.reference, env=old_keys)
    assert old.returncode == 0, old.stderr
    assert json.loads(old.stdout)[0]["optional"]["Subject"] == EMAIL
    assert cli("verify", *offline(), image.reference).code == 0
    notes = layer(image, ".sig")["annotations"]
    assert notes["dev.sigstore.cosign/certificate"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert notes["dev.sigstore.cosign/chain"].count("BEGIN") == 2
    assert json.loads(notes["dev.sigstore.cosign/bundle"]).keys() == {"SignedEntryTimestamp", "Payload"}
    assert notes["dev.sigstore.cosign/rfc3161timestamp"].startswith('{"SignedRFC3161Timestamp":"')


def test_each_image_and_format_is_signed_by_one_certificate(keyless, cosign3, offline, trust_service, docker_registry):
    index = push_image(docker_registry, "keyless/index", kind="index")
    assert keyless("sign", "-r", "--format", "both", index.reference, rekor=1).code == 0
    asked = [seen.service for seen in trust_service.requests]
    assert (asked.count("fulcio"), asked.count("rekor")) == (1, 2 * (1 + len(index.children)))
    for each in (index, *index.children):
        assert cosign3("verify", *offline(), each.reference).returncode == 0


def test_signing_again_adds_a_signature_with_a_time_of_its_own(keyless, cli, offline, image):
    for _ in range(2):
        said = keyless("sign", image.reference)
        assert (said.code, "Already signed" in said.err) == (0, False)
    assert len(referrers(image)) == 2
    assert cli("verify", *offline(), image.reference).code == 0


def test_outputs(keyless, cosign3, offline, image, tmp_path):
    paths = {name: tmp_path / name for name in ("bundle", "output-certificate")}
    flags = [word for name, path in paths.items() for word in (f"--{name}", path)]
    assert keyless("sign", "--upload=false", *flags, image.reference).code == 0
    assert referrers(image) == []
    bundle = json.loads(paths["bundle"].read_bytes())["verificationMaterial"]
    pem = paths["output-certificate"].read_text()
    assert base64.b64decode("".join(pem.splitlines()[1:-1])) == base64.b64decode(bundle["certificate"]["rawBytes"])
    assert (len(bundle["tlogEntries"]), len(bundle["timestampVerificationData"]["rfc3161Timestamps"])) == (1, 1)


def test_every_log_and_timestamp_authority_that_the_selection_names_is_asked(
    keyless, cosign3, offline, image, tmp_path
):
    flags = ("--bundle", tmp_path / "b", image.reference)
    assert keyless("sign", *flags, log=("current", "second"), tsa=("current", "second"), selector="ALL").code == 0
    bundle = json.loads((tmp_path / "b").read_bytes())["verificationMaterial"]
    assert len({entry["logId"]["keyId"] for entry in bundle["tlogEntries"]}) == 2
    assert len(bundle["timestampVerificationData"]["rfc3161Timestamps"]) == 2
    assert cosign3("verify", *offline(), image.reference).returncode == 0


# -- attestations


@pytest.mark.parametrize(("rekor", "formats"), [(2, "bundle"), (1, "both")])
def test_an_image_is_attested(keyless, cli, cosign3, cosign2, offline, old_keys, image, tmp_path, rekor, formats):
    (tmp_path / "p").write_text('{"says":"so"}')
    said = keyless(
        "attest", "--type", PREDICATE, "--predicate", tmp_path / "p", "--format", formats, image.reference, rekor=rekor
    )
    assert said.code == 0, said.err
    verified = cosign3("verify-attestation", "--type", PREDICATE, *offline(), image.reference)
    assert verified.returncode == 0, verified.stderr
    assert cli("verify-attestation", "--type", PREDICATE, *offline(), image.reference).code == 0
    if formats == "both":
        old = cosign2("verify-attestation", "--type", PREDICATE, *offline(root=False), image.reference, env=old_keys)
        assert old.returncode == 0, old.stderr


def test_replace_takes_those_by_the_same_identity_and_no_other(keyless, cli, offline, image, tmp_path):
    (tmp_path / "p").write_text('{"says":"so"}')
    attest = ("attest", "--type", PREDICATE, "--predicate", tmp_path / "p", image.reference)
    assert keyless(*attest, identity="other@example.test").code == 0
    assert keyless(*attest).code == 0
    assert len(referrers(image)) == 2
    assert keyless(*attest, "--replace").code == 0
    assert len(referrers(image)) == 2
    for identity in (EMAIL, "other@example.test"):
        assert cli("verify-attestation", "--type", PREDICATE, *offline(identity), image.reference).code == 0
    blind = keyless(*attest, "--replace", root=False)
    assert (blind.code, "trust root" in blind.err) == (2, True)


# -- files


@pytest.fixture
def blob(tmp_path):
    path = tmp_path / "app.tar"
    path.write_bytes(b"some content" * 1000)
    return path


@pytest.mark.parametrize("rekor", [2, 1])
@pytest.mark.parametrize(
    "algorithm", [None, "ecdsa-sha2-384-nistp384", "ecdsa-sha2-512-nistp521", "rsa-sign-pkcs1-2048-sha256"]
)
def test_a_file_is_signed(keyless, cli, cosign3, offline, blob, tmp_path, rekor, algorithm):
    chosen = ("--signing-algorithm", algorithm) if algorithm else ()
    said = keyless("sign-blob", *chosen, "--bundle", tmp_path / "b", blob, rekor=rekor)
    assert said.code == 0, said.err
    verified = cosign3("verify-blob", *offline(), "--bundle", tmp_path / "b", blob)
    assert verified.returncode == 0, verified.stderr
    assert cli("verify-blob", *offline(), "--bundle", tmp_path / "b", blob).code == 0
    blob.write_bytes(b"other content")
    assert cosign3("verify-blob", *offline(), "--bundle", tmp_path / "b", blob).returncode != 0


def test_a_file_is_signed_in_the_older_form(keyless, cli, cosign2, offline, old_keys, blob, tmp_path):
    paths = {
        name: tmp_path / name for name in ("bundle", "output-signature", "output-certificate", "rfc3161-timestamp")
    }
    flags = [word for name, path in paths.items() for word in (f"--{name}", path)]
    assert keyless("sign-blob", "--new-bundle-format=false", *flags, blob, rekor=1).code == 0
    who = offline(root=False)
    old = cosign2("verify-blob", *who, "--bundle", paths["bundle"], blob, env=old_keys)
    assert old.returncode == 0, old.stderr
    assert cli("verify-blob", *offline(), "--bundle", paths["bundle"], blob).code == 0
    assert base64.b64decode(paths["output-certificate"].read_bytes()).startswith(b"-----BEGIN CERTIFICATE-----")
    assert json.loads(paths["rfc3161-timestamp"].read_bytes()).keys() == {"SignedRFC3161Timestamp"}


def test_a_file_is_attested(keyless, cli, cosign3, offline, blob, tmp_path):
    (tmp_path / "p").write_text('{"says":"so"}')
    attest = ("attest-blob", "--type", PREDICATE, "--predicate", tmp_path / "p", "--bundle", tmp_path / "b", blob)
    said = keyless(*attest)
    assert said.code == 0, said.err
    verify = ("verify-blob-attestation", "--type", PREDICATE, *offline(), "--bundle", tmp_path / "b", blob)
    verified = cosign3(*verify)
    assert verified.returncode == 0, verified.stderr
    assert cli(*verify).code == 0


# -- keys, with witnesses


@pytest.mark.parametrize("rekor", [2, 1])
def test_a_key_s_signature_is_logged_and_timestamped_where_that_is_asked_for(
    cli, cosign3, trust_service, image, key, tmp_path, rekor
):
    files = trust_service.files(tmp_path / "services", rekor=rekor)
    sign = ("sign", "--key", key.private, image.reference, "--yes")
    config = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    assert cli(*sign).code == 0
    assert trust_service.requests == []
    said = cli(*sign, *config)
    assert (said.code, "Already signed" in said.err) == (0, False), said.err
    assert {seen.service for seen in trust_service.requests} == {"rekor", "tsa"}
    again = cli(*sign, *config)
    assert (again.code, "Already signed" in again.err) == (0, True)
    verify = ("verify", "--key", key.public, "--trusted-root", files.trusted_root, image.reference)
    assert cli(*verify, "--require-tlog", "--use-signed-timestamps").code == 0
    verified = cosign3(*verify)
    assert verified.returncode == 0, verified.stderr


def test_a_certificate_is_issued_for_a_key_of_one_s_own(keyless, cosign3, offline, image, key):
    said = keyless("sign", "--key", key.private, "--issue-certificate", image.reference)
    assert said.code == 0, said.err
    verified = cosign3("verify", *offline(), image.reference)
    assert verified.returncode == 0, verified.stderr


# -- services by their addresses, and by TUF


def test_services_are_given_by_their_addresses(cli, trust_service, cosign3, offline, image, tmp_path):
    (tmp_path / "token").write_text(trust_service.token())
    places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url, "--yes")
    sign = ("sign", *places, "--identity-token", tmp_path / "token", image.reference)
    said = cli(*sign)
    assert (said.code, "no trust root is known" in said.err) == (0, True)
    assert [seen.path for seen in trust_service.requests] == ["/api/v2/signingCert", "/api/v1/log/entries"]
    verified = cosign3("verify", *offline(), image.reference)
    assert verified.returncode == 0, verified.stderr


def test_no_log_is_written_to_that_nobody_named(cli, trust_service, image, tmp_path):
    (tmp_path / "token").write_text(trust_service.token())
    sign = ("sign", "--fulcio-url", trust_service.url, "--identity-token", tmp_path / "token", "--yes", image.reference)
    assert cli(*sign).code == 2
    without = cli(*sign, "--tlog-upload=false")
    assert (without.code, "nothing would prove when" in without.err) == (2, True)
    assert trust_service.requests == []
    stamped = (*sign, "--tlog-upload=false", "--timestamp-server-url", f"{trust_service.url}/api/v1/timestamp")
    assert cli(*stamped).code == 0
    assert {seen.service for seen in trust_service.requests} == {"fulcio", "tsa"}


def test_what_initialize_got_says_where_to_sign(cli, trust_service, cosign3, offline, image, tmp_path):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    assert cli("initialize", "--mirror", trust_service.tuf_url, "--root", tmp_path / "root.json").code == 0
    said = cli("sign", "--yes", image.reference, env={"SIGSTORE_ID_TOKEN": trust_service.token()})
    assert said.code == 0, said.err
    assert cosign3("verify", *offline(), image.reference).returncode == 0


@pytest.fixture
def public(trust_service, monkeypatch):
    """The service is the public Sigstore."""
    from sealgate.truststore import environment

    monkeypatch.setattr(environment, "PUBLIC_MIRROR", trust_service.tuf_url)
    monkeypatch.setattr(environment, "public_root", lambda: trust_service.tuf.root)


def test_where_nobody_said_where_the_public_sigstore_is_asked_with_consent(
    cli, trust_service, public, cosign3, offline, image
):
    env = {"SIGSTORE_ID_TOKEN": trust_service.token()}
    said = cli("sign", image.reference, env=env)
    assert (said.code, "--yes signs with the public Sigstore" in said.err) == (2, True)
    assert trust_service.requests == []
    said = cli("sign", "--yes", image.reference, env=env)
    assert (said.code, "no trust root" in said.err) == (0, False), said.err
    assert cosign3("verify", *offline(), image.reference).returncode == 0


def test_without_a_signing_config_and_addresses_it_is_cosign_s_public_ones(
    cli, trust_service, public, image, monkeypatch
):
    from sealgate.signing import keyless as services

    monkeypatch.setattr(services, "PUBLIC_AUTHORITY", trust_service.url)
    monkeypatch.setattr(services, "PUBLIC_LOG", trust_service.url)
    env = {"SIGSTORE_ID_TOKEN": trust_service.token()}
    sign = ("sign", "--use-signing-config=false", image.reference)
    refused = cli(*sign, env=env)
    assert (refused.code, "[aborted]" in refused.err) == (1, True)
    assert {seen.service for seen in trust_service.requests} == {"tuf"}
    said = cli(*sign, env=env, input="y\n")
    assert (said.code, "no trust root" in said.err) == (0, False), said.err


def test_a_layout_is_signed_in_place(keyless, cli, offline, image, tmp_path):
    assert cli("copy", image.reference, f"oci:{tmp_path}/layout").code == 0
    assert keyless("sign", f"oci:{tmp_path}/layout").code == 0
    assert cli("verify", *offline(), f"oci:{tmp_path}/layout").code == 0


def test_variables_say_whom_to_believe_beside_addresses(cli, trust_service, image, old_keys, tmp_path):
    (tmp_path / "token").write_text(trust_service.token())
    places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url, "--yes")
    sign = ("sign", *places, "--identity-token", tmp_path / "token", image.reference)
    said = cli(*sign, env=old_keys)
    assert (said.code, "no trust root" in said.err) == (0, False), said.err
    trust_service.use(log="second")
    said = cli(*sign, env=old_keys)
    assert (said.code, "[log-entry-untrusted]" in said.err) == (1, True), said.err


# -- what is asked first, and what is kept to oneself


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_log_that_is_given_by_its_address_is_written_to_with_consent(
    cli, trust_service, image, tmp_path, answer, code
):
    (tmp_path / "token").write_text(trust_service.token())
    places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url)
    said = cli("sign", *places, "--identity-token", tmp_path / "token", image.reference, input=answer)
    assert said.code == code
    assert "transparency log" in said.err
    assert (trust_service.requests == []) == (code != 0)
    assert len(referrers(image)) == (code == 0)


def test_a_key_s_owner_is_asked_too(cli, trust_service, image, key):
    sign = ("sign", "--key", key.private, "--rekor-url", trust_service.url, image.reference)
    said = cli(*sign)
    assert (said.code, "[aborted]" in said.err, "your public key" in said.err) == (1, True, True)
    assert cli(*sign, "--yes").code == 0


def test_an_ed25519_key_is_told_early_that_no_log_of_version_2_takes_it(cli, trust_service, image, make_key, tmp_path):
    files = trust_service.files(tmp_path / "services")
    key = make_key("edwards", "ed25519")
    said = cli("sign", "--key", key.private, "--signing-config", files.signing_config, image.reference)
    assert (said.code, "[key-unsupported]" in said.err) == (15, True)
    assert trust_service.requests == []
    older = trust_service.files(tmp_path / "older", rekor=1)
    flags = ("--signing-config", older.signing_config, "--trusted-root", older.trusted_root)
    assert cli("sign", "--key", key.private, *flags, image.reference).code == 0


def test_the_legacy_format_needs_a_log_of_version_1(keyless, image, trust_service):
    said = keyless("sign", "--format", "legacy", image.reference)
    assert (said.code, "[service-missing]" in said.err, "version 1" in said.err) == (15, True, True)
    assert trust_service.requests == []


@pytest.mark.parametrize("tsa", [None, "current"])
def test_a_log_of_version_2_alone_proves_no_time(keyless, image, trust_service, tsa):
    said = keyless("sign", image.reference, tsa=tsa)
    assert said.code == (2 if tsa is None else 0)
    assert ("nothing would prove when" in said.err) == (tsa is None)
    assert (trust_service.requests == []) == (tsa is None)


def test_no_core_is_dumped_while_a_key_is_held(keyless, image, monkeypatch):
    """Into a file, which the limit prevents, or into a program (Linux), which it does not."""
    import ctypes
    import resource
    import sys

    from sealgate.signing import fulcio

    def dumping():
        dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform.startswith("linux") else 0
        return resource.getrlimit(resource.RLIMIT_CORE), dumpable

    seen = []
    certify = fulcio.certify

    async def watched(*words, **named):
        seen.append(dumping())
        return await certify(*words, **named)

    monkeypatch.setattr(fulcio, "certify", watched)
    before = dumping()
    assert keyless("sign", image.reference).code == 0
    assert (seen, dumping()) == ([((0, before[0][1]), 0)], before)


def test_the_token_goes_to_the_authority_and_to_nobody_else(keyless, image, trust_service):
    assert keyless("sign", image.reference).code == 0
    [token] = [
        seen.headers["authorization"].partition(" ")[2] for seen in trust_service.requests if seen.service == "fulcio"
    ]
    for seen in trust_service.requests:
        assert token not in seen.path + seen.body.decode("latin-1")
        assert seen.service == "fulcio" or "authorization" not in seen.headers
