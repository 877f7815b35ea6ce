"""`attest-blob` and `verify-blob-attestation`: with both versions of cosign, recorded files, and what must be refused."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from attestations.conftest import HERE, OFFLINE, PREDICATES

RECORDED = HERE / "recorded-blobs"
SLSA = "https://slsa.dev/provenance/v1"
TOOLS = ("sealgate", "cosign3", "cosign2")
OLD = "--new-bundle-format=false"


@pytest.fixture
def folder(tmp_path):
    """A file, a predicate, and everything that is recorded."""
    for path in RECORDED.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "file").write_bytes(b"content\n" * 1000)
    (tmp_path / "other").write_bytes(b"content\n" * 999)
    shutil.copy(PREDICATES / "slsa1.json", tmp_path / "p.json")
    return tmp_path


@pytest.fixture
def tools(sealgate, cosign3, cosign2, pair, folder):
    programs = {"sealgate": sealgate, "cosign3": cosign3, "cosign2": cosign2}

    class Tools:
        def attest(self, tool, *words, kind="slsaprovenance1", **options):
            flags = {"sealgate": (), "cosign3": OFFLINE, "cosign2": ("--tlog-upload=false", "-y")}[tool]
            return programs[tool](
                "attest-blob", "--key", pair.key, *flags, "--predicate", "p.json", "--type", kind, *words,
                cwd=folder, **options,
            )  # fmt: skip

        def verify(self, tool, *words, kind="slsaprovenance1", key=pair.pub, **options):
            flags = () if tool == "sealgate" else ("--insecure-ignore-tlog",)
            return programs[tool](
                "verify-blob-attestation", "--key", key, *flags, "--type", kind, *words, cwd=folder, **options
            )

    return Tools()


def forms(tool, folder):
    """How a tool writes each form, and how a tool reads it."""
    bundle = ("--new-bundle-format", "--trusted-root", str(HERE / "trusted-root.json")) if tool == "cosign2" else ()
    legacy = () if tool == "cosign2" else (OLD,)
    return {
        "bundle": ((*bundle, "--bundle", "b"), (*bundle, "--bundle", "b")),
        "envelope": (
            (*legacy, "--output-signature", "e", "--output-attestation", "s"),
            (*legacy, "--signature", "e"),
        ),
    }


@pytest.mark.parametrize("form", ["bundle", "envelope"])
@pytest.mark.parametrize("signer", TOOLS)
@pytest.mark.parametrize("verifier", TOOLS)
def test_who_attested_and_who_verifies_files(tools, folder, signer, verifier, form):
    written, _ = forms(signer, folder)[form]
    written = tuple(word for word in written if "trusted-root" not in word)
    tools.attest(signer, *written, "file", check=True)
    _, read = forms(verifier, folder)[form]
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    good = tools.verify(verifier, *read, "file")
    assert (good.returncode, good.stdout) == (0, ""), good.stderr
    assert good.stderr.endswith("Verified OK\n")
    if verifier != "cosign2":  # 2.5.0 has no such option
        assert tools.verify(verifier, *read, "--digest", digest, "--digestAlg", "sha256").returncode == 0
    assert tools.verify(verifier, *read, "other").returncode == (12 if verifier == "sealgate" else 1)
    another = tools.verify(verifier, *read, "file", kind="custom").returncode
    if (verifier, form) == ("cosign2", "bundle"):
        assert another in {0, 1}, "2.5.0 does not compare the types of bundles (CVE-2026-39395, E05)"
    else:
        assert another == (12 if verifier == "sealgate" else 1)


def test_what_is_written_about_files(tools, folder):
    tools.attest(
        "sealgate", OLD, "--output-signature", "e", "--output-attestation", "s", "--bundle", "l", "file", check=True
    )
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    statement = (folder / "s").read_bytes()
    assert statement == (
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"file","digest":{"sha256":"%s"}}],'
        b'"predicateType":"%s","predicate":%s}'
        % (digest.encode(), SLSA.encode(), (folder / "p.json").read_bytes().strip())
    )
    envelope = json.loads((folder / "e").read_bytes())
    assert list(envelope) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(envelope["payload"]) == statement
    assert base64.b64decode(json.loads((folder / "l").read_bytes())["base64Signature"]) == (folder / "e").read_bytes()
    assert tools.verify("sealgate", "--bundle", "l", "file").returncode == 0
    said = tools.attest("sealgate", OLD, "file", check=True)
    cosign = tools.attest("cosign3", OLD, "file", check=True)
    assert list(json.loads(said.stdout)) == list(json.loads(cosign.stdout))
    assert said.stdout.endswith("}\n") == cosign.stdout.endswith("}\n")


def test_several_files_are_several_subjects(tools, folder):
    tools.attest("sealgate", "--bundle", "b", "file", "other", "--subject", "x@sha256:" + "a" * 64, check=True)
    for name in ("file", "other"):
        for tool in ("sealgate", "cosign3"):
            assert tools.verify(tool, "--bundle", "b", name).returncode == 0
    assert tools.verify("sealgate", "--bundle", "b", "--digest", "a" * 64).returncode == 0
    assert tools.verify("sealgate", "--bundle", "b", "--digest", "b" * 64).returncode == 12
    assert tools.verify("sealgate", "--bundle", "b", "p.json").returncode == 12


def test_a_hash_in_place_of_the_file(tools, folder):
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    tools.attest("sealgate", "--bundle", "b", "--hash", digest, "not-there", check=True)
    for tool in ("sealgate", "cosign3"):
        assert tools.verify(tool, "--bundle", "b", "file").returncode == 0
    assert tools.attest("sealgate", "--bundle", "b", "--hash", "12", "x").returncode == 2
    assert tools.attest("sealgate", "--bundle", "b", "not-there").returncode == 1


def test_stdin(tools, folder):
    content = (folder / "file").read_text()
    tools.attest("sealgate", "--bundle", "b", "-", input=content, check=True)
    assert tools.verify("sealgate", "--bundle", "b", "-", input=content).returncode == 0
    assert tools.verify("sealgate", "--bundle", "-", "file", input=(folder / "b").read_text()).returncode == 0


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("--bundle", "ab.sigstore.json"), "slsaprovenance1"),
        (("--signature", "ab.dsse.sig"), "slsaprovenance1"),
        (("--signature", "ab25.sig"), "slsaprovenance1"),
        (("--bundle", "stmt.sigstore.json"), "https://example.com/p/v1"),
    ],
)
def test_what_cosign_wrote_once_is_verified(tools, folder, words, kind):
    key = folder / "cosign.pub"
    assert tools.verify("sealgate", *words, "blob.txt", kind=kind, key=key).returncode == 0
    wrong = tools.verify("sealgate", *words, "bad.txt", kind=kind, key=key)
    assert (wrong.returncode, "signature-subject-mismatch" in wrong.stderr) == (12, True)
    other = tools.verify("sealgate", *words, "blob.txt", kind=kind)
    assert (other.returncode, "signature-key-mismatch" in other.stderr) == (12, True)
    another = tools.verify("sealgate", *words, "blob.txt", kind="cyclonedx", key=key)
    assert (another.returncode, "predicate-type-mismatch" in another.stderr) == (12, True)


def test_a_statement_is_signed_byte_for_byte(sealgate, pair, tools, folder):
    text = (folder / "stmt.json").read_text().replace("{", "{ ", 1) + "\n"
    (folder / "own.json").write_text(text)
    run = ("attest-blob", "--key", pair.key, "--statement", "own.json", "--bundle", "b")
    sealgate(*run, cwd=folder, check=True)
    assert base64.b64decode(json.loads((folder / "b").read_text())["dsseEnvelope"]["payload"]).decode() == text
    for tool in ("sealgate", "cosign3"):
        assert tools.verify(tool, "--bundle", "b", "blob.txt", kind="https://example.com/p/v1").returncode == 0
    assert sealgate(*run, "file", cwd=folder).returncode == 2
    assert sealgate(*run, "--type", "cyclonedx", cwd=folder).returncode == 2


def test_W06_attest_blob_signs_no_image(sealgate, pair, folder, tools):
    sign = "https://sigstore.dev/cosign/sign/v1"
    done = tools.attest("sealgate", "--bundle", "b", "--hash", "a" * 64, "x", kind=sign)
    assert (done.returncode, (folder / "b").exists()) == (2, False)
    (folder / "own.json").write_text((folder / "stmt.json").read_text().replace("https://example.com/p/v1", sign))
    done = sealgate("attest-blob", "--key", pair.key, "--statement", "own.json", "--bundle", "b", cwd=folder)
    assert (done.returncode, (folder / "b").exists()) == (2, False)
    assert tools.attest("sealgate", "--bundle", "b", "file").returncode == 0


def test_check_claims_is_only_left_out_aloud(tools, folder):
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    done = tools.verify("sealgate", "--check-claims=false", "--bundle", "b", "-o", "verdict", "other")
    assert done.returncode == 0
    assert "was not looked at" in done.stderr
    [report] = json.loads(done.stdout)["signatures"]
    assert "subject-not-checked" in [finding["code"] for finding in report["findings"]]
    assert tools.verify("sealgate", "--check-claims=false", "--bundle", "b").returncode == 2
    assert tools.verify("sealgate", "--check-claims=false", "--bundle", "b", "other", kind="link").returncode == 12


def test_outputs_about_files(tools, folder):
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    said = tools.verify("sealgate", "--bundle", "b", "-o", "json", "file")
    assert json.loads(said.stdout)["payloadType"] == "application/vnd.in-toto+json"
    verdict = json.loads(tools.verify("sealgate", "--bundle", "b", "-o", "verdict", "other").stdout)
    assert (verdict["code"], verdict["predicateType"], verdict["image"]) == (
        "signature-subject-mismatch",
        SLSA,
        "other",
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", b"{}", b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}', b"\xff"],
)
def test_junk_is_no_attestation(tools, folder, content):
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    (folder / "junk").write_bytes(content)
    assert tools.verify("sealgate", "--bundle", "junk", "file").returncode == 12
    assert tools.verify("sealgate", "--bundle", "junk", "--bundle", "b", "file").returncode == 0


def test_a_signature_of_the_file_is_no_attestation(sealgate, tools, pair, folder):
    sealgate("sign-blob", "--key", pair.key, "--bundle", "sig", "file", cwd=folder, check=True)
    done = tools.verify("sealgate", "--bundle", "sig", "file")
    assert (done.returncode, "attestation" in done.stderr) == (10, True)
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    assert sealgate("verify-blob", "--key", pair.pub, "--bundle", "b", "file", cwd=folder).returncode == 12


@pytest.mark.parametrize(
    "words",
    [(), ("--bundle", "b"), ("--bundle", "b", "file", "--digest", "a" * 64), ("file",), ("--bundle", "b", "--digest", "12"),
     ("--bundle", "b", "file", "--digestAlg", "md5"), ("--bundle", "b", "file", "--rekor-url", "x"),
     ("--bundle", "-", "-")],
)  # fmt: skip
def test_wrong_use_of_verify_blob_attestation(tools, folder, words):
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    assert tools.verify("sealgate", *words).returncode == 2


def test_missing_files_and_places(tools, folder):
    assert tools.attest("sealgate", "file").returncode == 2
    assert tools.attest("sealgate", "--bundle", "b").returncode == 2
    assert tools.verify("sealgate", "--bundle", "none", "file").returncode == 1
    tools.attest("sealgate", "--bundle", "b", "file", check=True)
    assert tools.verify("sealgate", "--bundle", "b", "none").returncode == 1
    assert Path(folder / "b").is_file()
