"""`bundle create`, `upgrade` and `show`: what they make, what they refuse, what they say."""

import json
import unicodedata

import pytest

from peers.recorded import RECORDED
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse
from sealgate.evidence.base64 import encode
from sealgate.evidence.legacy import BlobBundle, encode_blob_bundle

STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "file", "digest": {"sha256": ""}}],
    "predicateType": "https://example.test/kind",
    "predicate": {"says": "this", "much": "x" * 500},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"what is signed\n")
    return path


@pytest.fixture
def signature(file, key, tmp_path):
    path = tmp_path / "file.sig"
    path.write_text(encode(signed(key, file.read_bytes())) + "\n")
    return path


def signed(key, message):
    """As cosign signs a file with this key: with the hash of the curve's size."""
    return key.handle.sign(message, next(iter(key.handle.public_key.hashes), "sha256"))


def envelope(file, key, *, signers=1, digest=None):
    import hashlib

    statement = json.loads(json.dumps(STATEMENT))
    statement["subject"][0]["digest"]["sha256"] = digest or hashlib.sha256(file.read_bytes()).hexdigest()
    payload = json.dumps(statement).encode()
    covered = dsse.pae(dsse.IN_TOTO, payload)
    entries = [{"sig": encode(signed(key, covered))} for _ in range(signers)]
    return json.dumps({"payload": encode(payload), "payloadType": dsse.IN_TOTO, "signatures": entries})


def refused(said, code, exit_code=1):
    assert f"[{code}]" in said.err, said.err
    assert (said.code, said.out) == (exit_code, "")


# -- create


def test_a_bundle_of_a_signature_is_verified(cli, file, signature, key, tmp_path):
    made = cli("bundle", "create", "--artifact", file, "--key", key.public, "--signature", signature, "--ignore-tlog")
    assert made.code == 0
    (tmp_path / "made").write_text(made.out)
    assert cli("verify-blob", "--key", key.public, "--bundle", tmp_path / "made", file).code == 0
    written = cli(
        "bundle", "create", "--artifact", file, "--key", key.public, "--signature", signature, "--ignore-tlog",
        "--out", tmp_path / "written",
    )  # fmt: skip
    assert (written.code, written.out) == (0, "")
    assert (tmp_path / "written").read_text() == made.out.rstrip("\n")


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048", "ed25519"])
def test_every_kind_of_key_makes_a_bundle(cli, file, make_key, algorithm, tmp_path):
    key = make_key(f"of-{algorithm}", algorithm)
    signature = tmp_path / "signature"
    signature.write_text(encode(signed(key, file.read_bytes())))
    made = cli("bundle", "create", "--artifact", file, "--key", key.public, "--signature", signature, "--ignore-tlog")
    (tmp_path / "made").write_text(made.out)
    assert cli("verify-blob", "--key", key.public, "--bundle", tmp_path / "made", file).code == 0


def test_a_signature_by_another_key_or_over_another_file_makes_no_bundle(cli, file, signature, key, other, tmp_path):
    arguments = ["bundle", "create", "--signature", signature, "--ignore-tlog"]
    refused(cli(*arguments, "--artifact", file, "--key", other.public), "signing-failed")
    (tmp_path / "else").write_bytes(b"what is not\n")
    refused(cli(*arguments, "--artifact", tmp_path / "else", "--key", key.public), "signing-failed")
    assert cli(*arguments, "--artifact", file, "--key", key.public).code == 0


def test_a_bundle_of_an_envelope_is_verified(cli, file, key, tmp_path):
    (tmp_path / "envelope").write_text(envelope(file, key))
    made = cli("bundle", "create", "--attestation", tmp_path / "envelope", "--key", key.public, "--ignore-tlog")
    assert made.code == 0
    (tmp_path / "made").write_text(made.out)
    verify = ["verify-blob-attestation", "--type", "https://example.test/kind", "--key", key.public]
    assert cli(*verify, "--bundle", tmp_path / "made", file).code == 0


def test_an_envelope_about_another_file_by_another_key_or_with_two_signatures_makes_no_bundle(
    cli, file, key, other, tmp_path
):
    arguments = ["bundle", "create", "--artifact", file, "--ignore-tlog", "--attestation", tmp_path / "envelope"]
    for content, public in (
        (envelope(file, key, digest="0" * 64), key.public),
        (envelope(file, other), key.public),
        (envelope(file, key, signers=2), key.public),
        (envelope(file, key, signers=0), key.public),
    ):
        (tmp_path / "envelope").write_text(content)
        said = cli(*arguments, "--key", public)
        assert said.code == 1
        assert "[signing-failed]" in said.err or "[envelope-invalid]" in said.err
    (tmp_path / "envelope").write_text(envelope(file, key))
    assert cli(*arguments, "--key", key.public).code == 0


def test_a_signature_beside_an_envelope_is_the_one_inside_it(cli, file, key, signature, tmp_path):
    """cosign demands both, and looks at none but the envelope."""
    text = envelope(file, key)
    (tmp_path / "envelope").write_text(text)
    arguments = ["bundle", "create", "--artifact", file, "--key", key.public, "--ignore-tlog"]
    arguments += ["--attestation", tmp_path / "envelope", "--signature"]
    refused(cli(*arguments, signature), "signing-failed")
    for content in (encode(text.encode()), json.loads(text)["signatures"][0]["sig"]):
        (tmp_path / "same").write_text(content)
        assert cli(*arguments, tmp_path / "same").code == 0


def test_cosigns_older_bundle_with_a_public_key_is_checked_with_that_key(cli, file, key, other, tmp_path):
    """3.1.1 writes the public key where a certificate belongs, and cannot read that itself."""
    good = BlobBundle(signed(key, file.read_bytes()), key.handle.public_key.pem(), None)
    (tmp_path / "older").write_bytes(encode_blob_bundle(good))
    arguments = ["bundle", "create", "--artifact", file, "--bundle", tmp_path / "older", "--ignore-tlog"]
    made = cli(*arguments)
    assert made.code == 0
    assert bundles.parse(made.out.strip().encode()).public_key_hint == key.handle.public_key.hint
    refused(cli(*arguments, "--key", other.public), "signing-failed")
    (tmp_path / "older").write_bytes(encode_blob_bundle(good._replace(certificate=other.handle.public_key.pem())))
    refused(cli(*arguments), "signing-failed")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--artifact", "file", "--key", "key"], "there is no signature"),
        (["--artifact", "file", "--key", "key", "--signature", "file.sig", "--bundle", "file.sig"], "--bundle has"),
        (["--artifact", "file", "--key", "key", "--certificate", "key", "--signature", "file.sig"], "one of them"),
        (["--artifact", "file", "--signature", "file.sig", "--ignore-tlog"], "by whose key"),
        (["--key", "key", "--signature", "file.sig", "--ignore-tlog"], "what was signed"),
        (["--artifact", "file", "--key", "key", "--signature", "file.sig"], "no entry of a transparency log"),
        (["--artifact", "file", "--sk", "--signature", "file.sig", "--ignore-tlog"], "hardware"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_wrong_usage(cli, file, signature, key, given, words):
    places = {"file": file, "file.sig": signature, "key": key.public}
    said = cli("bundle", "create", *(places.get(word, word) for word in given))
    refused(said, "usage", 2)
    assert words in said.err


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "envelope-invalid"),
        ("?", "envelope-invalid"),
        ("MEQ=\nMEQ=", "envelope-invalid"),
        ("A" * 2**22, "signing-failed"),
        ("MEQCIA==", "signing-failed"),
    ],
    ids=["empty", "junk", "two", "endless", "not a signature"],
)
def test_what_is_no_signature_makes_no_bundle(cli, file, key, content, code, tmp_path):
    (tmp_path / "bad").write_text(content)
    arguments = ["--artifact", file, "--key", key.public, "--signature", tmp_path / "bad", "--ignore-tlog"]
    refused(cli("bundle", "create", *arguments), code)


def test_a_recorded_certificate_and_timestamp_make_a_bundle(cli):
    case = RECORDED / "image-c25-legacy-sign-tsa"
    parts = ["--artifact", case / "payload.json", "--signature", case / "signature.b64", "--ignore-tlog"]
    parts += ["--certificate", case / "certificate.pem", "--rfc3161-timestamp", case / "rfc3161timestamp.json"]
    made = cli("bundle", "create", *parts)
    assert made.code == 0, made.err
    found = bundles.parse(made.out.strip().encode())
    assert (len(found.certificates), len(found.timestamps)) == (1, 1)
    parts[1] = RECORDED / "blob-c25-bundle" / "artifact.txt"
    refused(cli("bundle", "create", *parts), "signing-failed")


# -- upgrade


@pytest.mark.parametrize("case", ["blob-js4-email", "blob-js4-rekor1", "blob-js5-github-uri"])
def test_an_older_bundle_becomes_v0_3(cli, case):
    path = RECORDED / case / "bundle.json"
    said = cli("bundle", "upgrade", path)
    assert said.code == 0
    assert "Upgraded from v0.2 to v0.3" in said.err
    before, after = bundles.parse(path.read_bytes()), bundles.parse(said.out.strip().encode())
    assert (before.version, after.version) == ("0.2", "0.3")
    for name in ("content", "certificates", "log_entries", "timestamps"):
        assert getattr(before, name) == getattr(after, name)


def test_certificates_behind_the_leaf_are_left_out_and_that_is_said(cli, tmp_path):
    document = json.loads((RECORDED / "blob-js4-email" / "bundle.json").read_text())
    chain = document["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain *= 3
    (tmp_path / "chain").write_text(json.dumps(document))
    said = cli("bundle", "upgrade", tmp_path / "chain")
    assert said.code == 0
    assert "left out: 2 certificates behind the leaf" in said.err


def test_what_is_v0_3_stays_as_it_is(cli):
    path = RECORDED / "blob-c31-email" / "bundle.json"
    said = cli("bundle", "upgrade", path)
    assert (said.code, said.out.rstrip("\n")) == (0, path.read_text().rstrip("\n"))
    assert "0.3 already" in said.err


def unsigned(entry):
    """The entry, without the signature of its checkpoint, which is another one each time the log is asked."""
    proof = entry["inclusionProof"]
    note = proof["checkpoint"]["envelope"].partition("\n\n")[0]
    return entry | {"inclusionProof": proof | {"checkpoint": note}}


def without_proof(document):
    for entry in document["verificationMaterial"]["tlogEntries"]:
        del entry["inclusionProof"]


def without_checkpoint(document):
    for entry in document["verificationMaterial"]["tlogEntries"]:
        del entry["inclusionProof"]["checkpoint"]


@pytest.mark.parametrize("change", [without_proof, without_checkpoint])
def test_L14_the_log_is_asked_for_a_proof_that_is_missing_and_only_where_one_says_so(
    cli, trust_service, tmp_path, change
):
    made = trust_service.make_bundle(rekor=1, version="0.1", tsa=False)
    document = json.loads(made.json)
    change(document)
    (tmp_path / "older").write_text(json.dumps(document))
    refused(cli("bundle", "upgrade", tmp_path / "older"), "bundle-invalid")
    assert trust_service.requests == []
    said = cli("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older")
    assert said.code == 0, said.err
    (entry,) = bundles.parse(said.out.strip().encode()).log_entries
    (expected,) = json.loads(made.json)["verificationMaterial"]["tlogEntries"]
    assert unsigned(entry) == unsigned(expected)


@pytest.mark.parametrize("name", ["body", "integratedTime", "logIndex", "logID"])
def test_a_log_that_answers_with_another_entry_gives_no_proof(cli, trust_service, tmp_path, name):
    document = json.loads(trust_service.make_bundle(rekor=1, version="0.1", tsa=False).json)
    without_proof(document)
    (tmp_path / "older").write_text(json.dumps(document))
    arguments = ["bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older"]
    assert cli(*arguments).code == 0
    wrong = {"body": "e30=", "integratedTime": 5, "logIndex": 5, "logID": "00" * 32}[name]

    def another(answer):
        return {uuid: content | {name: wrong} for uuid, content in answer.items()}

    trust_service.alter("entry", another)
    refused(cli(*arguments), "bundle-invalid")


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"a":5}', b'{"a":{},"b":{}}', b'{"a":{"body":null}}', b"<html>", b'{"a":1,"a":1}'],
)  # fmt: skip
def test_a_log_that_answers_junk_gives_no_proof(cli, trust_service, tmp_path, answer):
    document = json.loads(trust_service.make_bundle(rekor=1, version="0.1", tsa=False).json)
    without_proof(document)
    (tmp_path / "older").write_text(json.dumps(document))
    trust_service.fail("rekor", status=200, body=answer)
    said = cli("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older")
    assert (said.code, said.out) == (1, "")
    assert "[bundle-invalid]" in said.err or "[json-ambiguous]" in said.err


def test_a_log_that_cannot_be_asked_is_no_answer(cli, trust_service, tmp_path):
    document = json.loads(trust_service.make_bundle(rekor=1, version="0.1", tsa=False).json)
    without_proof(document)
    (tmp_path / "older").write_text(json.dumps(document))
    trust_service.fail("rekor", status=500)
    refused(cli("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older"), "unavailable", 14)
    refused(cli("bundle", "upgrade", "--rekor-url", "http://127.0.0.1:1", tmp_path / "older"), "unavailable", 14)
    refused(cli("bundle", "upgrade", "--rekor-url", "ftp://log.test", tmp_path / "older"), "usage", 2)


def test_cosigns_older_bundle_of_a_log_becomes_v0_3(cli, trust_service, tmp_path):
    made, older = trust_service.make_legacy_bundle()
    (tmp_path / "older").write_text(json.dumps(older))
    (tmp_path / "file").write_bytes(made.artifact)
    refused(cli("bundle", "upgrade", tmp_path / "older"), "bundle-invalid")
    said = cli("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older")
    assert said.code == 0, said.err
    expected = json.loads(made.json)["verificationMaterial"]
    found = json.loads(said.out)["verificationMaterial"]
    assert list(map(unsigned, found["tlogEntries"])) == list(map(unsigned, expected["tlogEntries"]))
    assert found["certificate"] == expected["certificate"]
    create = ["bundle", "create", "--artifact", tmp_path / "file", "--bundle", tmp_path / "older"]
    again = json.loads(cli(*create, "--rekor-url", trust_service.url).out)
    assert again["messageSignature"] == json.loads(said.out)["messageSignature"]
    refused(cli(*create, "--ignore-tlog"), "usage", 2)


def test_an_entry_about_another_file_is_no_part_of_the_bundle(cli, trust_service, tmp_path):
    made, older = trust_service.make_legacy_bundle()
    _, another = trust_service.make_legacy_bundle(artifact=b"another\n")
    (tmp_path / "file").write_bytes(made.artifact)
    create = ["bundle", "create", "--artifact", tmp_path / "file", "--rekor-url", trust_service.url]
    for document, good in ((older, True), (older | {"rekorBundle": another["rekorBundle"]}, False)):
        (tmp_path / "older").write_text(json.dumps(document))
        said = cli(*create, "--bundle", tmp_path / "older")
        assert said.code == (0 if good else 1)
    refused(said, "signing-failed")
    refused(cli("bundle", "upgrade", "--rekor-url", trust_service.url, tmp_path / "older"), "signing-failed")


# -- show


def test_everything_in_a_keyless_attestation_is_told(cli):
    case = RECORDED / "att-c31-slsa-github"
    said = cli("bundle", "show", case / "bundle.json")
    assert said.code == 0
    assert "nothing of this has been verified" in said.err
    for words in (
        "kind: Sigstore bundle v0.3",
        "predicate type: https://slsa.dev/provenance/v1",
        (case / "identity.txt").read_text().strip(),
        (case / "issuer.txt").read_text().strip(),
        "issued by: CN=box-intermediate,O=box",
        "valid: 2026-11-22T13:27:59Z to 2026-11-22T13:37:59Z",
        "source repository URI: https://github.box.internal/acme/app",
        "key usage: digital signature",
        "extended key usage: code signing",
        "signed certificate timestamp of 2026-11-22T13:27:59Z",
        "checkpoint: log1.box.internal",
        "says it was signed: 2026-11-22T13:27:59Z",
    ):
        assert words in said.out, words


def test_an_identity_of_another_kind_is_told(cli):
    case = RECORDED / "blob-c31-username-othername"
    assert (case / "identity.txt").read_text().strip() in cli("bundle", "show", case / "bundle.json").out


def test_json_has_the_predicate_and_text_says_how_large_it_is(cli, file, key, tmp_path):
    (tmp_path / "envelope").write_text(envelope(file, key))
    text = cli("bundle", "show", tmp_path / "envelope")
    assert "characters of JSON: says, much" in text.out
    assert "x" * 50 not in text.out
    told = json.loads(cli("bundle", "show", "-o", "json", tmp_path / "envelope").out)
    assert told["content"]["statement"]["predicate"] == STATEMENT["predicate"]


def test_a_bundle_from_stdin_is_shown(cli):
    raw = (RECORDED / "blob-c25-legacy-bundle" / "bundle.json").read_text()
    said = cli("bundle", "show", "-", input=raw)
    assert said.code == 0
    assert "cosign's older bundle of a file" in said.out
    assert "dev@box.internal" in said.out


def test_X10_hostile_words_do_not_reach_the_terminal(cli, file, key, tmp_path):
    document = json.loads(envelope(file, key))
    statement = STATEMENT | {"predicateType": "x:\x1b[2J\u202e\r\n" + "y" * 9000, "predicate": {"\x07\u2066": 1}}
    statement["subject"] = [{"name": "\x9b2J\x1b]0;", "digest": {"sha256": "0" * 64}}]
    document["payload"] = encode(json.dumps(statement).encode())
    (tmp_path / "hostile").write_text(json.dumps(document))
    for form in ("text", "json"):
        said = cli("bundle", "show", "-o", form, tmp_path / "hostile")
        assert said.code == 0
        assert {char for char in said.out + said.err if unicodedata.category(char) in {"Cc", "Cf"}} <= {"\n"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "json-invalid"),
        (b"[]", "json-invalid"),
        (b"{}", "bundle-invalid"),
        (b'{"mediaType":"application/vnd.dev.sigstore.bundle.v9+json"}', "bundle-invalid"),
        (b'{"payloadType":"x","payloadType":"y"}', "json-ambiguous"),
        (b'{"base64Signature":5}', "bundle-invalid"),
        (b'{"payloadType":"x"}', "envelope-invalid"),
        (b"[" * 5000, "limit-exceeded"),
        (b"\xff\xfe", "json-invalid"),
    ],
    ids=repr,
)
def test_what_is_no_bundle_is_refused_with_a_code(cli, tmp_path, content, code):
    (tmp_path / "bad").write_bytes(content)
    refused(cli("bundle", "show", tmp_path / "bad"), code)
    assert cli("bundle", "upgrade", tmp_path / "bad").code == 1


def test_a_file_that_is_not_there_is_named(cli, tmp_path):
    refused(cli("bundle", "show", tmp_path / "none"), "not-found")
    refused(cli("bundle", "upgrade", tmp_path / "none"), "not-found")
