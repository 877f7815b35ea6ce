"""`sealgate initialize` beside cosign's, and that a verification with a file asks nobody."""

import hashlib
import json

import pytest

from sealgate.truststore import environment
from trust_service import documents

DAY = 86_400


@pytest.fixture
def root_file(trust_service, tmp_path):
    path = tmp_path / "root.json"
    path.write_bytes(trust_service.tuf.root)
    return path


@pytest.fixture
def made(trust_service, tmp_path):
    """A signed file: the options of verify-blob for it."""
    found = trust_service.make_bundle(rekor=2)
    (tmp_path / "bundle").write_bytes(found.json)
    (tmp_path / "file").write_bytes(found.artifact)
    who = ["--certificate-identity", found.subject, "--certificate-oidc-issuer", found.issuer]
    return [*who, "--bundle", tmp_path / "bundle", tmp_path / "file"]


def test_it_fetches_whom_to_believe_and_later_nobody_is_asked(cli, trust_service, root_file, made, monkeypatch):
    monkeypatch.setattr(environment, "PUBLIC_MIRROR", "http://127.0.0.1:9/nobody")
    before = cli("verify-blob", *made)
    assert before.code == 14  # the public Sigstore's repository would be asked
    assert "[registry-unreachable]" in before.err
    said = cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file)
    assert said.code == 0, said.err
    assert said.out == ""
    assert f"Initialized from {trust_service.tuf_url}" in said.err
    assert "believed in: 4 × certificate authority" in said.err
    trust_service.requests.clear()
    assert cli("verify-blob", *made).code == 0
    assert trust_service.requests == []


def test_again_it_asks_the_same_repository(cli, trust_service, root_file):
    assert cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file).code == 0
    trust_service.publish(rotate=("root", "timestamp"))
    trust_service.requests.clear()
    said = cli("initialize")
    assert said.code == 0, said.err
    assert "root version 2" in said.err
    assert trust_service.requests


def test_without_a_root_nothing_is_believed(cli, trust_service, root_file):
    said = cli("initialize", "--mirror", trust_service.tuf_url)
    assert said.code == 15
    assert "[trust-root-missing]" in said.err
    assert trust_service.requests == []
    assert cli("initialize", "--mirror", trust_service.tuf_url, env={"TUF_ROOT_JSON": str(root_file)}).code == 0


def test_a_root_of_somebody_else_is_refused_and_nothing_chosen(cli, trust_service, tmp_path):
    from trust_service.server import serve

    with serve() as other:
        (tmp_path / "other.json").write_bytes(other.tuf.root)
    said = cli("initialize", "--mirror", trust_service.tuf_url, "--root", tmp_path / "other.json")
    assert said.code == 15
    assert "[trust-update-invalid]" in said.err
    assert "no trust root is known" in cli("trusted-root", "show").err


@pytest.mark.parametrize("algorithm", ["", "sha256:", "sha512:"])
def test_the_checksum_of_the_root_is_compared(cli, trust_service, root_file, algorithm, cosign3):
    name = algorithm.rstrip(":") or "sha256"
    good = hashlib.new(name, root_file.read_bytes()).hexdigest()
    bad = ("1" if good[0] == "0" else "0") + good[1:]
    for source in (root_file, f"{trust_service.tuf_url}/1.root.json"):
        options = ["initialize", "--mirror", trust_service.tuf_url, "--root", source, "--root-checksum"]
        assert cli(*options, algorithm + good).code == 0
        assert cosign3(*options, algorithm + good).returncode == 0
        said = cli(*options, algorithm + bad)
        assert said.code == cosign3(*options, algorithm + bad).returncode == 1
        assert "[digest-mismatch]" in said.err
        assert f"expected {bad} but got {good}" in said.err


def test_a_root_from_a_url_needs_a_checksum(cli, trust_service):
    """cosign only warns."""
    said = cli("initialize", "--mirror", trust_service.tuf_url, "--root", f"{trust_service.tuf_url}/1.root.json")
    assert said.code == 2
    assert "--root-checksum" in said.err
    assert trust_service.requests == []


@pytest.mark.parametrize(
    "options",
    [
        ["--root-checksum", "00"],
        ["--staging"],
        ["--mirror", "ftp://x"],
        ["--root", "file:///x", "--root-checksum", "00"],
        ["--mirror", "https://x/?y"],
        ["--root", "x", "--root-checksum", "md5:00"],
    ],
)
def test_wrong_usage(cli, options, root_file):
    options = [root_file if option == "x" else option for option in options]
    assert cli("initialize", *options).code == 2


def test_a_repository_of_keys_alone_is_said_to_be_one(cli, trust_service, root_file):
    files = {name: text.encode() for name, text in trust_service.pems().items()}
    trust_service.tuf.publish(files, trust_service.now())
    said = cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file)
    assert said.code == 15
    assert "has no trusted_root.json" in said.err


def test_a_trust_root_that_cannot_be_read_is_not_chosen(cli, trust_service, root_file):
    trust_service.alter("trusted-root", lambda document: document | {"revoked": ["everybody"]})
    trust_service.publish()
    said = cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file)
    assert said.code == 15
    assert "[trust-root-invalid]" in said.err
    assert "unknown field 'revoked'" in said.err
    assert "no trust root is known" in cli("trusted-root", "show").err


def test_a_mirror_in_a_directory_needs_no_network(cli, trust_service, root_file, tmp_path, made):
    for name, data in trust_service.tuf.files.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    trust_service.requests.clear()
    assert cli("initialize", "--mirror", f"file://{tmp_path}/mirror", "--root", root_file).code == 0
    assert cli("verify-blob", *made).code == 0
    assert trust_service.requests == []


# -- nobody is asked


@pytest.fixture
def connections(monkeypatch):
    """Every attempt to connect or to resolve a name."""
    found = []

    def watch(*args, **more):
        found.append(args[-2:])
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.socket.connect", watch)
    monkeypatch.setattr("socket.socket.connect_ex", watch)
    monkeypatch.setattr("socket.getaddrinfo", watch)
    return found


def test_U14_with_a_file_nobody_is_asked_and_no_variable_read(cli, trust_service, tmp_path, made, connections):
    root = tmp_path / "trusted_root.json"
    root.write_text(json.dumps(trust_service.trusted_root()))
    (tmp_path / "bad").write_text("bad")
    environ = {
        name: str(tmp_path / "bad")
        for name in (
            "SIGSTORE_ROOT_FILE",
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
            "SIGSTORE_REKOR_PUBLIC_KEY",
            "SIGSTORE_TSA_CERTIFICATE_FILE",
            "TUF_ROOT_JSON",
        )
    } | {"TUF_MIRROR": trust_service.tuf_url, "TUF_ROOT": str(tmp_path / "cache")}
    assert cli("verify-blob", "--trusted-root", root, *made, env=environ).code == 0
    assert cli("trusted-root", "show", root, env=environ).code == 0
    assert connections == []
    assert not (tmp_path / "cache").exists()
    assert cli("verify-blob", *made, env=environ).code == 15  # without it they are read


def test_a_clients_configuration_is_a_trust_root_too(cli, trust_service, tmp_path, made):
    config = documents.client_config(trust_service.trusted_root(), trust_service.signing_config())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert cli("verify-blob", "--trusted-root", tmp_path / "config.json", *made).code == 0
    (tmp_path / "config.json").write_text(json.dumps(config | {"trustedRoot": None}))
    said = cli("verify-blob", "--trusted-root", tmp_path / "config.json", *made)
    assert said.code == 15
    assert "[trust-root-invalid]" in said.err


def test_only_without_a_choice_the_public_repository_is_asked(cli, connections):
    said = cli("initialize")
    assert said.code == 14
    assert {name for name, *_ in connections} <= {"tuf-repo-cdn.sigstore.dev", b"tuf-repo-cdn.sigstore.dev", 443}
    assert "tuf-repo-cdn.sigstore.dev" in said.err
    assert cli("trusted-root", "show").code == 15
    assert (
        cli("verify-blob", "--certificate-identity", "x", "--certificate-oidc-issuer", "y", "--bundle", "b", "f").code
        != 0
    )


def test_what_was_initialized_asks_nobody_either(cli, trust_service, root_file, made, request):
    assert cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file).code == 0
    connections = request.getfixturevalue("connections")
    assert cli("verify-blob", *made).code == 0
    assert cli("trusted-root", "show").code == 0
    assert cli("signing-config", "show").code == 0
    assert connections == []


def test_without_network_and_with_what_has_expired_it_says_so(cli, trust_service, root_file, made, monkeypatch):
    assert cli("initialize", "--mirror", trust_service.tuf_url, "--root", root_file).code == 0
    trust_service.fail("tuf", status=0)
    assert cli("verify-blob", *made).code == 0
    later = trust_service.now() + 400 * DAY
    monkeypatch.setattr("time.time", lambda: later)
    said = cli("verify-blob", *made)
    assert said.code == 14
    assert "has expired" in said.err
    assert "[registry-unreachable]" in said.err


def test_a_key_of_a_log_is_enough_for_signatures_by_a_key(cli, trust_service, tmp_path):
    """cosign's way with a Rekor of one's own: SIGSTORE_REKOR_PUBLIC_KEY and --key."""
    files = trust_service.files(tmp_path / "pem")
    found = trust_service.make_bundle(rekor=1, managed=True)
    (tmp_path / "bundle").write_bytes(found.json)
    (tmp_path / "file").write_bytes(found.artifact)
    (tmp_path / "key.pub").write_text(documents.public_pem(found.key))
    verify = ["verify-blob", "--key", tmp_path / "key.pub", "--bundle", tmp_path / "bundle", tmp_path / "file"]
    assert cli(*verify).code == 0
    assert cli(*verify, "--require-tlog").code == 15
    assert cli(*verify, "--require-tlog", env={"SIGSTORE_REKOR_PUBLIC_KEY": str(files.rekor)}).code == 0
    said = cli(*verify, "--require-tlog", env={"SIGSTORE_REKOR_PUBLIC_KEY": str(files.ct)})
    assert said.code == 12
    assert "log-entry-untrusted" in said.err
