"""`bundle create` and `bundle upgrade` beside cosign 3.1.1: the same bundles, the same refusals."""

import json

import pytest

from peers.recorded import RECORDED

CASES = sorted(
    path.parent.name for path in RECORDED.glob("*/bundle.json") if "mediaType" in json.loads(path.read_text())
)
OLD_SPELLING = "application/vnd.dev.sigstore.bundle+json;version=0.3"
"""`bundle create` of cosign 3.1.1 writes it; its other commands do not, and neither do we."""


@pytest.mark.parametrize("case", CASES)
def test_upgrade_writes_what_cosign_writes(cosign3, sealgate, tmp_path, case):
    path = RECORDED / case / "bundle.json"
    theirs = cosign3("bundle", "upgrade", "--out", tmp_path / "theirs", path, check=True)
    ours = sealgate("bundle", "upgrade", "--out", tmp_path / "ours", path, check=True)
    assert ("already" in theirs.stderr) == ("already" in ours.stderr)
    # protojson puts a space behind each comma or none, by a coin toss of each build
    assert json.loads((tmp_path / "ours").read_text()) == json.loads((tmp_path / "theirs").read_text())
    assert list(json.loads((tmp_path / "ours").read_text())) == list(json.loads((tmp_path / "theirs").read_text()))


def test_cosign_asks_the_log_for_the_same_proof(cosign3, sealgate, trust_service, tmp_path):
    document = json.loads(trust_service.make_bundle(rekor=1, version="0.1", tsa=False).json)
    for entry in document["verificationMaterial"]["tlogEntries"]:
        del entry["inclusionProof"]
    (tmp_path / "older").write_text(json.dumps(document))
    made = []
    for program in (cosign3, sealgate):
        said = program("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older", check=True)
        made.append(json.loads(said.stdout))
        for entry in made[-1]["verificationMaterial"]["tlogEntries"]:
            note = entry["inclusionProof"]["checkpoint"]
            note["envelope"] = note["envelope"].partition("\n\n")[0]  # what follows is signed anew each time
    assert made[0] == made[1]


@pytest.fixture(scope="module")
def parts(cosign2, cosign3, tmp_path_factory):
    """A key, a file, and what cosign signs of it in its older forms."""
    folder = tmp_path_factory.mktemp("parts")
    cosign3("generate-key-pair", cwd=folder, check=True)
    (folder / "file").write_bytes(b"a file\n")
    (folder / "predicate").write_text('{"a":1}')
    offline = ["--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"]
    signed = cosign3("sign-blob", *offline, "--bundle", "older", "file", cwd=folder, check=True)
    (folder / "signature").write_text(signed.stdout)
    cosign2(
        "sign-blob", "-y", "--key", "cosign.key", "--tlog-upload=false", "--bundle", "older2", "file",
        cwd=folder, check=True,
    )  # fmt: skip
    attest = ["attest-blob", *offline, "--predicate", "predicate", "--type", "custom"]
    cosign3(*attest, "--output-signature", "envelope", "--bundle", "older-envelope", "file", cwd=folder, check=True)
    return folder


MADE = [
    ["--signature", "signature", "--ignore-tlog"],
    ["--bundle", "older2", "--ignore-tlog"],
    ["--signature", "signature", "--attestation", "envelope", "--ignore-tlog"],
]


@pytest.mark.parametrize("given", MADE, ids=" ".join)
def test_create_writes_what_cosign_writes(cosign3, sealgate, parts, given):
    if "--attestation" in given:  # cosign wants a signature as well, and looks at none of it
        envelope = json.loads((parts / "envelope").read_text())
        (parts / "inner").write_text(envelope["signatures"][0]["sig"])
        given = ["--signature", "inner", *given[2:]]
    arguments = ["bundle", "create", "--artifact", "file", "--key", "cosign.pub", *given]
    theirs = json.loads(cosign3(*arguments, cwd=parts, check=True).stdout)
    ours = json.loads(sealgate(*arguments, cwd=parts, check=True).stdout)
    assert theirs.pop("mediaType") == OLD_SPELLING
    assert ours.pop("mediaType") == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert ours == theirs


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (["--signature", "signature"], "blob"),
        (["--bundle", "older"], "blob"),
        (["--bundle", "older2"], "blob"),
        (["--attestation", "envelope"], "attestation"),
        (["--bundle", "older-envelope"], "attestation"),
    ],
    ids=str,
)
def test_cosign_verifies_what_create_makes(cosign3, sealgate, parts, given, kind):
    """Of its own older bundles 3.1.1 can make none: the public key stands where it expects a certificate."""
    arguments = ["--artifact", "file", "--key", "cosign.pub", "--ignore-tlog", "--out", "made"]
    sealgate("bundle", "create", *arguments, *given, cwd=parts, check=True)
    verify = ["--key", "cosign.pub", "--bundle", "made", "file"]
    command = "verify-blob" if kind == "blob" else "verify-blob-attestation"
    cosign3(command, "--insecure-ignore-tlog", *verify, cwd=parts, check=True)
    sealgate(command, *verify, cwd=parts, check=True)


def test_create_refuses_a_key_that_cosign_takes(cosign3, sealgate, parts, tmp_path):
    """cosign checks nothing here: its bundle names a key that did not sign."""
    sealgate("generate-key-pair", cwd=tmp_path, check=True)
    arguments = ["bundle", "create", "--artifact", "file", "--key", tmp_path / "cosign.pub", "--signature", "signature"]
    assert cosign3(*arguments, "--ignore-tlog", cwd=parts).returncode == 0
    said = sealgate(*arguments, "--ignore-tlog", cwd=parts)
    assert (said.returncode, "[signing-failed]" in said.stderr) == (1, True)


def test_the_recorded_certificate_makes_the_same_bundle(cosign3, sealgate):
    case = RECORDED / "blob-c25-legacy-bundle"
    given = ["--artifact", case / "artifact.txt", "--signature", case / "signature.b64", "--ignore-tlog"]
    given += ["--certificate", case / "certificate.pem.b64"]
    theirs = json.loads(cosign3("bundle", "create", *given, check=True).stdout)
    ours = json.loads(sealgate("bundle", "create", *given, check=True).stdout)
    assert theirs | {"mediaType": ""} == ours | {"mediaType": ""}
