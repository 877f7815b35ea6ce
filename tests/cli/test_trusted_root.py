"""`sealgate trusted-root create|show` and `signing-config create|show`, byte for byte beside cosign 3.1.1."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sealgate.trust import root
from sealgate.truststore import signing_config
from trust_service import authority


@pytest.fixture
def folder(trust_service, tmp_path):
    """PEM files: ca, ct, rekor, tsa, second-ca, and keys of other kinds."""
    trust_service.files(tmp_path)
    (tmp_path / "second.pem").write_text(authority.pem(trust_service.authority("second").chain))
    kinds = {
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "rsa": rsa.generate_private_key(65537, 3072),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, key in kinds.items():
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (tmp_path / f"{name}.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return tmp_path


START = "start-time=2025-01-01T00:00:00Z"
SPECS = {
    "nothing": [],
    "authority": ["--fulcio", "url=https://ca.test,certificate-chain={}/fulcio_v1.crt.pem"],
    "two authorities": [
        "--fulcio", "url=https://b.test,certificate-chain={}/second.pem,start-time=2026-01-01T00:00:00Z",
        "--fulcio", "url=https://a.test,certificate-chain={}/fulcio_v1.crt.pem,start-time=2025-01-01T02:00:00.25+02:00",
        "--fulcio", "url=https://c.test,certificate-chain={}/second.pem,start-time=2024-01-01T00:00:00Z,end-time=2027-01-01T00:00:00Z",
    ],
    "CT logs": [
        "--ctfe", f"url=https://one.test,public-key={{}}/ctfe.pub,{START}",
        "--ctfe", "url=https://two.test,public-key={}/p384.pub,start-time=2024-01-01T00:00:00Z,end-time=2024-06-01T00:00:00Z",
        "--ctfe", "url=https://three.test,public-key={}/rsa.pub,start-time=2023-01-01T00:00:00Z",
        "--ctfe", "url=https://four.test,public-key={}/p521.pub,start-time=2022-01-01T00:00:00Z,origin=four.test",
    ],
    "logs": [
        "--rekor", f"url=https://one.test,public-key={{}}/rekor.pub,{START}",
        "--rekor", "url=https://two.test:8443/a,public-key={}/ed25519.pub,start-time=2024-01-01T00:00:00Z,origin=two.test",
        "--rekor", "url=https://three.test,public-key={}/rsa.pub,start-time=2023-01-01T00:00:00Z,origin=three.test",
        "--rekor", "url=https://four.test,public-key={}/p521.pub,start-time=2022-01-01T00:00:00Z,origin=four.test",
    ],
    "a log of Ed25519 without origin": ["--rekor", f"url=https://one.test,public-key={{}}/ed25519.pub,{START}"],
    "timestamps": ["--tsa", "url=https://tsa.test/api/v1/timestamp?a=<b>,certificate-chain={}/tsa.certchain.pem"],
    "options of old": [
        "--certificate-chain", "{}/fulcio_v1.crt.pem", "--ctfe-key", "{}/ctfe.pub", "--ctfe-start-time", "2025-01-01T00:00:00Z",
        "--rekor-key", "{}/rekor.pub", "--rekor-url", "https://rekor.test", "--timestamp-uri", "https://tsa.test",
        "--timestamp-certificate-chain", "{}/tsa.certchain.pem", "--fulcio-uri", "https://ca.test",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_trust_roots_are_cosigns_byte_for_byte(cli, cosign3, folder, name):
    options = [option.format(folder) for option in SPECS[name]]
    theirs = cosign3("trusted-root", "create", *options, check=True)
    ours = cli("trusted-root", "create", *options)
    assert ours.code == 0, ours.err
    if name == "options of old":  # cosign begins a timestamp authority of old with its root's certificate
        assert json.loads(ours.out)["tlogs"] == json.loads(theirs.stdout)["tlogs"]
        assert json.loads(ours.out)["certificateAuthorities"] == json.loads(theirs.stdout)["certificateAuthorities"]
        assert json.loads(ours.out)["ctlogs"] == json.loads(theirs.stdout)["ctlogs"]
    else:
        assert ours.out == theirs.stdout
    cosign3("trusted-root", "create", *options, "--out", folder / "theirs", check=True)
    assert cli("trusted-root", "create", *options, "--out", folder / "ours").code == 0
    assert (folder / "ours").read_text() == ours.out.rstrip("\n")
    root.parse((folder / "theirs").read_bytes())


def spec(url, version, operator, start="2025-01-01T00:00:00Z", **more):
    words = {"url": url, "api-version": version, "start-time": start, "operator": operator} | more
    return ",".join(f"{name}={value}" for name, value in words.items())


CONFIGS = {
    "nothing": [],
    "all": [
        "--fulcio", spec("https://ca.test", 1, "a", **{"end-time": "2030-01-01T00:00:00Z"}),
        "--oidc-provider", spec("https://oidc.test/auth", 1, "a"),
        "--rekor", spec("https://new.test", 2, "a", start="2026-01-01T00:00:00.5Z"),
        "--rekor", spec("https://old.test", 1, "a"),
        "--rekor", spec("https://other.test", 2, "b", start="2024-01-01T00:00:00+01:00"),
        "--rekor-config", "EXACT:2",
        "--tsa", spec("https://tsa.test/api/v1/timestamp?x=<y>", 1, "a"),
        "--tsa-config", "ALL",
    ],
    "a selection of nothing": ["--rekor-config", "ANY"],
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_signing_configurations_are_cosigns_byte_for_byte(cli, cosign3, tmp_path, name):
    theirs = cosign3("signing-config", "create", *CONFIGS[name], check=True)
    ours = cli("signing-config", "create", *CONFIGS[name])
    assert ours.code == 0, ours.err
    assert ours.out == theirs.stdout
    assert cli("signing-config", "create", *CONFIGS[name], "--out", tmp_path / "ours").code == 0
    assert (tmp_path / "ours").read_text() == ours.out.rstrip("\n")
    signing_config.parse(theirs.stdout.encode())


def test_stock_cosign_verifies_with_what_is_made_here(cli, cosign3, cosign2, trust_service, folder):
    log, ct, tsa = trust_service.log2(), trust_service.ct_log(), trust_service.tsa()
    origin = log.base_url.removeprefix("https://")
    (folder / "log2.pub").write_bytes(
        log.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    made = cli(
        "trusted-root", "create", "--out", folder / "made.json",
        "--fulcio", f"url=https://ca.test,certificate-chain={folder}/fulcio_v1.crt.pem",
        "--ctfe", f"url={ct.base_url},public-key={folder}/ctfe.pub,{START}",
        "--rekor", f"url={log.base_url},public-key={folder}/log2.pub,{START},origin={origin}",
        "--rekor", f"url=https://rekor.test,public-key={folder}/rekor.pub,{START}",
        "--tsa", f"url=https://tsa.test,certificate-chain={folder}/tsa.certchain.pem",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert tsa
    for rekor, programs in ((2, [cosign3]), (1, [cosign3, cosign2])):
        signed = trust_service.make_bundle(rekor=rekor)
        (folder / "bundle").write_bytes(signed.json)
        (folder / "file").write_bytes(signed.artifact)
        who = ["--certificate-identity", signed.subject, "--certificate-oidc-issuer", signed.issuer]
        verify = ["verify-blob", *who, "--bundle", folder / "bundle", folder / "file"]
        for program in programs:
            new = ["--new-bundle-format"] if program is cosign2 else []
            program(*verify, "--trusted-root", folder / "made.json", *new, check=True)
            assert program(*verify, "--trusted-root", folder / "empty.json", *new).returncode != 0
        assert cli(*verify, "--trusted-root", folder / "made.json").code == 0


def test_stock_cosign_signs_with_what_is_made_here(cli, cosign3, trust_service, folder):
    made = cli(
        "signing-config", "create", "--out", folder / "made.json",
        "--fulcio", spec(trust_service.url, 1, "a"),
        "--rekor", spec(trust_service.url, 2, "a"), "--rekor-config", "ANY",
        "--tsa", spec(f"{trust_service.url}/api/v1/timestamp", 1, "a"), "--tsa-config", "EXACT:1",
    )  # fmt: skip
    assert made.code == 0, made.err
    (folder / "file").write_text("content")
    (folder / "token").write_text(trust_service.token("signer@example.test"))
    trusted = ["--trusted-root", folder / "trusted_root.json"]
    cosign3(
        "sign-blob", "--yes", "--signing-config", folder / "made.json", *trusted, "--identity-token", folder / "token",
        "--bundle", folder / "bundle", folder / "file", check=True,
    )  # fmt: skip
    who = ["--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url]
    assert cli("verify-blob", *who, *trusted, "--bundle", folder / "bundle", folder / "file").code == 0


def test_what_cosign_2_makes_is_read(cli, cosign2, folder):
    options = [
        "--certificate-chain", folder / "fulcio_v1.crt.pem", "--ctfe-key", folder / "ctfe.pub",
        "--rekor-key", folder / "rekor.pub", "--timestamp-certificate-chain", folder / "tsa.certchain.pem",
        "--ctfe-start-time", "2025-01-01T00:00:00Z", "--rekor-start-time", "2025-01-01T00:00:00Z",
    ]  # fmt: skip
    cosign2("trusted-root", "create", *options, "--out", folder / "theirs", check=True)
    found = root.parse((folder / "theirs").read_bytes())
    assert [len(part) for part in found] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fulcio", "url=https://x"], "certificate-chain is missing"),
        (["--fulcio", "bla"], "is not NAME=VALUE"),
        (["--fulcio", "url=,certificate-chain={}/second.pem"], "url is missing"),
        (["--fulcio", "url=https://x,certificate-chain={}/second.pem,endtime=2030-01-01T00:00:00Z"], "is not known"),
        (["--fulcio", "url=https://x,url=https://y,certificate-chain={}/second.pem"], "url is there twice"),
        (["--fulcio", "url=https://x,certificate-chain={}/second.pem,end-time=2030"], "end-time is not a time"),
        (["--rekor", "url=https://x,public-key={}/rekor.pub"], "start-time is missing"),
        (
            ["--rekor", f"url=https://x.test,public-key={{}}/ed25519.pub,{START},origin=y.test"],
            "logId is not the id",
        ),
        (
            ["--rekor", f"url=https://x,public-key={{}}/rekor.pub,{START}", "--rekor", f"url=https://y,public-key={{}}/rekor.pub,{START}"],
            "is tlogs[0] again",
        ),
        (["--fulcio", "url=https://x,certificate-chain={}/second.pem,start-time=2030-01-01T00:00:00Z,end-time=2029-01-01T00:00:00Z"], "ends before it starts"),
    ],
)  # fmt: skip
def test_wrong_descriptions_are_wrong_usage(cli, folder, options, words):
    said = cli("trusted-root", "create", *(option.format(folder) for option in options))
    assert said.code == 2
    assert words in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--tsa", "url=https://x,certificate-chain={}/fulcio_v1.crt.pem"], "key-invalid"),
        (["--fulcio", "url=https://x,certificate-chain={}/none.pem"], "key-invalid"),
        (["--fulcio", "url=https://x,certificate-chain={}/rekor.pub"], "key-malformed"),
        (["--rekor", f"url=https://x,public-key={{}}/second.pem,{START}"], "key-malformed"),
    ],
)
def test_wrong_files_are_wrong_trust_material(cli, folder, options, code):
    said = cli("trusted-root", "create", *(option.format(folder) for option in options))
    assert said.code == 15
    assert f"[{code}]" in said.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rekor", spec("https://x", 1, "a")], "--rekor-config must be given"),
        (["--tsa", spec("https://x", 1, "a")], "--tsa-config must be given"),
        (["--tsa-config", "SOME"], "not ANY, ALL or EXACT:N"),
        (["--tsa-config", "EXACT"], "not ANY, ALL or EXACT:N"),
        (["--tsa-config", "EXACT:0"], "not ANY, ALL or EXACT:N"),
        (["--tsa-config", "ALL:2"], "not ANY, ALL or EXACT:N"),
        (["--fulcio", spec("https://x", 0, "a")], "majorApiVersion"),
        (["--fulcio", spec("https://x", "one", "a")], "api-version is not a number"),
        (["--fulcio", spec("https://x", 1, "")], "operator is missing"),
        (["--fulcio", spec("x", 1, "a")], "caUrls[0].url"),
    ],
)
def test_wrong_descriptions_of_services_are_wrong_usage(cli, options, words):
    said = cli("signing-config", "create", *options)
    assert said.code == 2
    assert words in said.err


def test_a_log_that_rekor_2_would_not_be_known_by_is_warned_of(cli, folder):
    said = cli(
        "trusted-root", "create", *(option.format(folder) for option in SPECS["a log of Ed25519 without origin"])
    )
    assert "warning: the log https://one.test" in said.err
    assert "warning" not in cli("trusted-root", "create", *(option.format(folder) for option in SPECS["logs"])).err


@pytest.fixture
def initialized(cli, trust_service, tmp_path):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    assert cli("initialize", "--mirror", trust_service.tuf_url, "--root", tmp_path / "root.json").code == 0


def test_what_was_initialized_can_be_a_beginning(cli, trust_service, folder, initialized):
    said = cli(
        "trusted-root", "create", "--with-default-services", "--no-default-rekor", "--no-default-tsa",
        "--rekor", f"url=https://mine.test,public-key={folder}/p384.pub,{START}",
    )  # fmt: skip
    found, whole = root.parse(said.out.encode()), root.parse(json.dumps(trust_service.trusted_root()).encode())
    assert set(found.certificate_authorities) == set(whole.certificate_authorities)
    assert [log.base_url for log in found.logs] == ["https://mine.test"]
    assert found.timestamp_authorities == ()
    said = cli("signing-config", "create", "--with-default-services", "--no-default-tsa", "--no-default-oidc")
    config = signing_config.parse(said.out.encode())
    assert config.authorities
    assert config.logs
    assert config.issuers == config.timestamp_authorities == ()


def test_without_what_was_initialized_there_is_no_beginning(cli):
    assert cli("trusted-root", "create", "--with-default-services").code == 15
    assert cli("signing-config", "create", "--with-default-services").code == 15


# -- show


def test_show_says_who_is_believed_for_what_and_until_when(cli, trust_service, folder):
    text = cli("trusted-root", "show", folder / "trusted_root.json")
    assert text.code == 0
    for words in (
        "certificate authorities:", "CT logs:", "transparency logs:", "timestamp authorities:", "state: in use",
        "state: retired: what was made before its end is still believed", "a certificate of it has expired",
        "an SCT by one of the CT logs", "an entry in one of the transparency logs",
    ):  # fmt: skip
        assert words in text.out
    told = json.loads(cli("trusted-root", "show", "-o", "json", folder / "trusted_root.json").out)
    document = trust_service.trusted_root()
    assert [one["address"] for one in told["transparency logs"]] == [one["baseUrl"] for one in document["tlogs"]]
    assert told["certificate authorities"][0]["certificates"][-1]["subject"].startswith("CN=")
    assert cli("trusted-root", "show", folder / "client_config.json").out == text.out
    assert cli("trusted-root", "show", "-", input=(folder / "trusted_root.json").read_text()).out == text.out


def test_W07_show_remarks_on_one_key_in_two_roles(cli, folder):
    apart = ["--rekor", f"url=https://a.test,public-key={folder}/rekor.pub,{START}"]
    for key, words in (("ctfe", "remarks: none"), ("rekor", "one key is that of a CT log and of a transparency log")):
        options = [*apart, "--ctfe", f"url=https://b.test,public-key={folder}/{key}.pub,{START}"]
        assert cli("trusted-root", "create", *options, "--out", folder / "made").code == 0
        assert words in cli("trusted-root", "show", folder / "made").out


def test_show_says_what_is_not_asked_for(cli, tmp_path):
    (tmp_path / "empty").write_text('{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    said = cli("trusted-root", "show", tmp_path / "empty")
    assert said.code == 0
    assert "nothing can be verified: no authority" in said.out
    assert "SCT" not in said.out


def test_show_refuses_what_is_no_trust_root(cli, tmp_path):
    (tmp_path / "bad").write_text("{}")
    said = cli("trusted-root", "show", tmp_path / "bad")
    assert said.code == 15
    assert "[trust-root-invalid]" in said.err
    assert cli("signing-config", "show", tmp_path / "bad").code == 15
    assert cli("trusted-root", "show", tmp_path / "none").code == 15


def test_show_does_not_let_names_write_to_the_terminal(cli, trust_service, tmp_path):
    document = trust_service.trusted_root()
    document["certificateAuthorities"][0]["uri"] = "https://\x1b[31m\u202ex"
    (tmp_path / "root").write_text(json.dumps(document))
    for output in ("text", "json"):
        said = cli("trusted-root", "show", "-o", output, tmp_path / "root")
        assert said.code == 0
        assert "\x1b" not in said.out
        assert "\u202e" not in said.out


def test_show_says_where_signing_would_go(cli, trust_service, folder, initialized):
    for arguments in ((folder / "signing_config.json",), (folder / "client_config.json",), ()):
        told = json.loads(cli("signing-config", "show", "-o", "json", *arguments).out)
        assert told["certificate authority"] == trust_service.url
        assert told["transparency logs"] == [trust_service.url]
    assert "operator: operator-0.test" in cli("signing-config", "show", folder / "signing_config.json").out


def test_show_says_that_nobody_can_be_used(cli, tmp_path):
    made = cli("signing-config", "create", "--fulcio", spec("https://x.test", 1, "a", start="2090-01-01T00:00:00Z"))
    (tmp_path / "config").write_text(made.out)
    said = cli("signing-config", "show", tmp_path / "config")
    assert said.code == 0
    assert "names no certificate authority that is in use now" in said.out
    assert "state: not in use yet" in said.out
