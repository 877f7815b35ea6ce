"""sign-blob and verify-blob as people type them."""

import base64
import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from sealgate.digest import Digest
from sealgate.evidence import simple

RECORDED = Path(__file__).parents[1] / "verification" / "recorded-blobs"
SCHEMA = "sealgate.dev/verdict/v1"


@pytest.fixture
def folder(tmp_path):
    """What cosign recorded, and nothing else."""
    shutil.copytree(RECORDED, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def blob(tmp_path):
    """A file to sign."""
    path = tmp_path / "app.tar"
    path.write_bytes(b"content")
    return path


# -- verify-blob


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bundle", "blob.sigstore.json"],
        ["--bundle", "blob.25n.bundle"],
        ["--bundle", "blob.25.bundle"],
        ["--bundle", "blob.legacy.bundle", "--new-bundle-format=false"],
        ["--bundle", "created.sigstore.json"],
        ["--signature", "blob.sig"],
        ["--signature", (RECORDED / "blob.sig").read_text().strip()],
        ["--signature", "blob.sig", "--signature-digest-algorithm", "sha256"],
        ["--bundle", "blob.sigstore.json", "--insecure-ignore-tlog", "--offline", "--max-workers", "3"],
    ],
)
def test_cosigns_command_lines_hold_and_fail_as_they_should(cli, folder, arguments, monkeypatch):
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", "cosign.pub", *arguments, "blob.txt")
    assert (said.code, said.out) == (0, "")
    assert said.err.endswith("Verified OK\n")
    said = cli("verify-blob", "--key", "cosign.pub", *arguments, "bad.txt")
    assert (said.code, said.out) == (12, "")
    assert "Verified OK" not in said.err
    said = cli("verify-blob", "--key", "nopw.pub", *arguments, "blob.txt")
    assert (said.code, "code: signature-key-mismatch" in said.err) == (12, True)
    assert "signed by key" not in said.err  # the hint is unsigned: nobody knows who signed


def test_the_file_may_come_from_stdin_and_so_may_the_signature(cli, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = Path("blob.txt").read_text()
    assert cli("verify-blob", "--key", "cosign.pub", "--signature", "blob.sig", "-", input=text).code == 0
    assert cli("verify-blob", "--key", "cosign.pub", "--signature", "blob.sig", "-", input=text + " ").code == 12
    signature = Path("blob.sig").read_text()
    assert cli("verify-blob", "--key", "cosign.pub", "--signature", "-", "blob.txt", input=signature).code == 0
    assert cli("verify-blob", "--key", "cosign.pub", "--signature", "-", "-", input=signature).code == 2


def test_the_verdict_can_be_had_in_every_form(cli, folder, monkeypatch):
    monkeypatch.chdir(folder)
    base = ["verify-blob", "--key", "cosign.pub", "--bundle", "blob.sigstore.json"]
    for output in ("json", "verdict"):
        good = cli(*base, "-o", output, "blob.txt")
        document = json.loads(good.out)
        assert (document["schema"], document["outcome"], document["code"]) == (SCHEMA, "accepted", "accepted")
        bad = cli(*base, "-o", output, "bad.txt")
        document = json.loads(bad.out)
        assert (document["outcome"], document["code"], bad.code) == ("refused", "blob-digest-mismatch", 12)
    assert "accepted" in cli(*base, "-o", "human", "blob.txt").out
    assert (
        json.loads(cli(*base, "-o", "sarif", "bad.txt").out)["runs"][0]["results"][0]["ruleId"]
        == "blob-digest-mismatch"
    )
    assert 'failures="1"' in cli(*base, "-o", "junit", "bad.txt").out
    assert cli(*base, "--quiet", "blob.txt").err == ""


@pytest.mark.parametrize("file", ["blob.txt", "bad.txt"])
@pytest.mark.parametrize("name", ["blob.sigstore.json", "blob.legacy.bundle", "ab.sigstore.json", "bad.txt"])
def test_the_verdict_on_a_file_keeps_to_the_schema(cli, folder, monkeypatch, name, file):
    schema = json.loads((Path(__file__).parents[2] / "docs" / "verdict.schema.json").read_bytes())
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", "cosign.pub", "--bundle", name, "-o", "json", file)
    jsonschema.validate(json.loads(said.out), schema)
    said = cli("verify-blob", "--key", "cosign.pub", "--signature", name, "-o", "json", file)
    jsonschema.validate(json.loads(said.out), schema)


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["--bundle", "blob.sigstore.json", "nofile"], 1, "not-found"),
        (["--bundle", "nofile", "blob.txt"], 1, "not-found"),
        (["--signature", "nofile.sig", "blob.txt"], 1, "not-found"),
        (["--signature", "https://example.com/blob.sig", "blob.txt"], 2, "usage"),
        (["--bundle", ".", "blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "."], 2, "usage"),
        (["blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "--signature", "blob.sig", "blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "blob.txt", "bad.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "--trusted-root", "x", "blob.txt"], 15, "key-invalid"),
        (["--bundle", "blob.sigstore.json", "--rekor-url", "x", "blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "--certificate-identity", "x", "blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "--rfc3161-timestamp", "x", "blob.txt"], 2, "usage"),
        (["--bundle", "blob.sigstore.json", "--use-signed-timestamps", "blob.txt"], 15, "trust-root-missing"),
        (["--bundle", "blob.sigstore.json", "--deny", "nofile", "blob.txt"], 2, "usage"),
    ],
)
def test_every_failure_has_its_exit_code(cli, folder, monkeypatch, arguments, code, name):
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", "cosign.pub", *arguments)
    assert (said.code, said.out) == (code, "")
    assert f"[{name}]" in said.err


@pytest.mark.parametrize(("key", "name"), [("nokey", "key-not-found"), ("blob.txt", "key-malformed")])
def test_a_key_that_is_none_ends_in_15(cli, folder, monkeypatch, key, name):
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", key, "--bundle", "blob.sigstore.json", "blob.txt")
    assert (said.code, f"[{name}]" in said.err) == (15, True)


def test_a_private_key_is_refused_and_no_key_is_wrong_usage(cli, folder, key, monkeypatch):
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", key.private, "--bundle", "blob.sigstore.json", "blob.txt")
    assert (said.code, "[key-is-private]" in said.err) == (15, True)
    assert cli("verify-blob", "--bundle", "blob.sigstore.json", "blob.txt").code == 2


def test_several_keys_need_require(cli, folder, monkeypatch):
    monkeypatch.chdir(folder)
    base = ["verify-blob", "--key", "cosign.pub", "--key", "ed25519.pub", "--bundle", "blob.sigstore.json", "blob.txt"]
    assert cli(*base).code == 2
    assert cli(*base, "--require", "any").code == 0
    assert cli(*base, "--require", "all").code == 12
    assert cli(*base, "--require", "all", "--bundle", "ed25519.cosign2.sigstore.json").code == 0


def test_what_is_denied_ends_in_16(cli, folder, monkeypatch):
    monkeypatch.chdir(folder)
    base = ["verify-blob", "--key", "cosign.pub", "--bundle", "blob.sigstore.json", "--deny", "deny.txt", "blob.txt"]
    Path("deny.txt").write_text("")
    assert cli(*base).code == 0
    Path("deny.txt").write_text(f"digest {Digest.of(Path('blob.txt').read_bytes())} recalled\n")
    said = cli(*base)
    assert (said.code, "recalled" in said.err) == (16, True)


def test_an_attestation_is_pointed_elsewhere(cli, folder, monkeypatch):
    monkeypatch.chdir(folder)
    said = cli("verify-blob", "--key", "cosign.pub", "--bundle", "ab.sigstore.json", "blob.txt")
    assert (said.code, "verify-blob-attestation" in said.err) == (12, True)


# -- sign-blob


@pytest.mark.parametrize("kind", ["ecdsa-p256", "rsa-2048", "ed25519"])
def test_what_is_signed_verifies_in_every_form(cli, make_key, blob, tmp_path, kind):
    pair = make_key(f"blob-{kind}", kind)
    bundle, legacy, signature, raw = (str(tmp_path / name) for name in ("b", "l", "s", "r"))
    said = cli("sign-blob", "--key", pair.private, "--bundle", bundle, "--output-signature", signature, blob)
    assert (said.code, said.out) == (0, "")
    assert f"Using payload from: {blob}\n" in said.err
    assert f"Wrote bundle to file {bundle}\n" in said.err
    printed = cli("sign-blob", "--key", pair.private, "--new-bundle-format=false", "--bundle", legacy, blob)
    assert base64.b64decode(printed.out, validate=False)
    (tmp_path / "p").write_text(printed.out)
    assert not cli(
        "sign-blob", "--key", pair.private, "--new-bundle-format=false", "--b64=false", "--output", raw, blob
    ).out
    for form in (["--bundle", bundle], ["--bundle", legacy], *(["--signature", str(tmp_path / n)] for n in "srp")):
        assert cli("verify-blob", "--key", pair.public, *form, blob).code == 0
    blob.write_bytes(b"altered")
    for form in (["--bundle", bundle], ["--bundle", legacy], *(["--signature", str(tmp_path / n)] for n in "srp")):
        assert cli("verify-blob", "--key", pair.public, *form, blob).code == 12


def test_several_files_are_signed_one_line_each_in_order(cli, key, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    said = cli("sign-blob", "--key", key.private, "--new-bundle-format=false", tmp_path / "one", tmp_path / "two")
    lines = said.out.splitlines()
    assert len(lines) == 2
    for name, line in zip(("one", "two"), lines, strict=True):
        assert cli("verify-blob", "--key", key.public, "--signature", line, tmp_path / name).code == 0


def test_the_file_may_be_stdin_but_then_the_password_is_not(cli, key, blob, tmp_path):
    base = ["sign-blob", "--key", key.private, "--bundle", tmp_path / "b", "-"]
    assert cli(*base, input="content").code == 0
    assert cli("verify-blob", "--key", key.public, "--bundle", tmp_path / "b", blob).code == 0
    (tmp_path / "b").unlink()
    said = cli(*base, input="content", env={"COSIGN_PASSWORD": None})
    assert (said.code, (tmp_path / "b").exists()) == (2, False)


def test_W06_the_payload_of_an_image_is_signed_on_request_only(cli, key, tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(simple.encode("registry.example.com/app", Digest.of(b"image"), {}))
    base = ["sign-blob", "--key", key.private, "--bundle", tmp_path / "b", path]
    said = cli(*base)
    assert (said.code, (tmp_path / "b").exists()) == (2, False)
    assert "--image-payload" in said.err
    assert cli(*base, "--image-payload").code == 0
    assert cli("verify-blob", "--key", key.public, "--bundle", tmp_path / "b", path).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],  # nowhere to put the bundle
        ["--b64=false", "--new-bundle-format=false"],
        ["--bundle", "OUT", "--output-certificate", "x"],
        ["--bundle", "OUT", "--rfc3161-timestamp", "x"],
        ["--bundle", "OUT", "--trusted-root", "x"],
        ["--bundle", "OUT", "--tlog-upload"],
        ["--bundle", "OUT", "--sk"],
        ["--bundle", "OUT", "--signing-algorithm", "ecdsa-sha2-384-nistp384"],
        ["--bundle", "OUT", "SECOND"],
        ["--bundle", "OUT", "--key", "OTHER"],
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(cli, key, other, blob, tmp_path, arguments):
    out = tmp_path / "out"
    words = {"OUT": str(out), "SECOND": str(blob), "OTHER": other.private}
    said = cli("sign-blob", "--key", key.private, blob, *(words.get(word, word) for word in arguments))
    assert (said.code, said.out, out.exists()) == (2, "", False)
    assert cli("sign-blob", "--key", key.private, blob, "--bundle", out, "--tlog-upload=false", "-y").code == 0


def test_the_signing_algorithm_may_be_named_when_it_is_the_keys(cli, make_key, blob, tmp_path):
    pair = make_key("blob-p384", "ecdsa-p384")
    base = ["sign-blob", "--key", pair.private, "--bundle", tmp_path / "b", blob]
    assert cli(*base, "--signing-algorithm", "ecdsa-sha2-384-nistp384").code == 0
    assert json.loads((tmp_path / "b").read_text())["messageSignature"]["messageDigest"]["algorithm"] == "SHA2_384"
    assert cli(*base, "--signing-algorithm", "ecdsa-sha2-256-nistp256").code == 2
    assert cli("verify-blob", "--key", pair.public, "--bundle", tmp_path / "b", blob).code == 0


def test_a_file_or_key_that_is_not_there_or_a_wrong_password(cli, key, blob, tmp_path):
    out = tmp_path / "b"
    assert cli("sign-blob", "--key", key.private, "--bundle", out, tmp_path / "none").code == 1
    assert cli("sign-blob", "--key", tmp_path / "none", "--bundle", out, blob).code == 15
    said = cli("sign-blob", "--key", key.private, "--bundle", out, blob, env={"COSIGN_PASSWORD": "wrong"})
    assert (said.code, "[key-password]" in said.err) == (15, True)
    assert cli("sign-blob", "--bundle", out, blob).code == 2
    assert not out.exists()
    assert cli("sign-blob", "--key", key.private, "--bundle", tmp_path / "no" / "b", blob).code == 2
