"""Envelopes and payloads signed by the trusted key, and yet no signatures of the image (E01 to E24, P02, U01, W06, W09, W16 to W18)."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from bypasses.scene import BUNDLE, IMAGE_SIGNATURE, IN_TOTO, Signer, b64, compact, run

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256."""


def _refused(scene, contents: dict[str, bytes]) -> None:
    """None of these is good; the good one beside them is."""
    assert scene.accepted_of({"good": compact(scene.bundle()), **contents}) == {"good"}


def _enveloped(bundle: dict, **changes) -> bytes:
    return compact({**bundle, "dsseEnvelope": {**bundle["dsseEnvelope"], **changes}})


def test_E01_a_payload_type_that_only_looks_the_same_is_another(scene):
    """CVE-2026-48758: characters whose low byte is that of the type that was signed."""
    good = scene.bundle()
    shifted = "".join(chr(ord(char) + 0x100) for char in IN_TOTO)
    others = [shifted, IN_TOTO + "\u0301", IN_TOTO.upper(), IN_TOTO + " ", IN_TOTO[:-1], "b" + IN_TOTO[1:]]
    _refused(scene, {kind: _enveloped(good, payloadType=kind) for kind in others})


def test_E02_a_statement_signed_as_another_type_is_none(scene):
    statement = scene.signer.statement(scene.image.digest)
    kinds = ("text/plain", "application/json", "application/vnd.in-toto", "x")
    _refused(scene, {kind: compact(scene.signer.bundle(statement, payload_type=kind)) for kind in kinds})
    scene.attach(scene.signer.bundle(statement, payload_type="text/plain"))
    scene.verify().is_refused("not-an-image-signature", 12)


def test_E03_E22_E20_exactly_one_signature(scene, stranger):
    good = scene.bundle()
    right = good["dsseEnvelope"]["signatures"][0]
    wrong = stranger.bundle(scene.signer.statement(scene.image.digest))["dsseEnvelope"]["signatures"][0]
    lists = {
        "none": [], "two good": [right, right], "good, bad": [right, wrong], "bad, good": [wrong, right], "bad": [wrong],
        "empty": [{"sig": ""}], "empty, good": [{"sig": ""}, right], "no sig": [{"keyid": "x"}], "null": [None],
    }  # fmt: skip
    _refused(scene, {name: _enveloped(good, signatures=signatures) for name, signatures in lists.items()})


def test_E05_P02_what_was_signed_must_be_a_statement_of_an_image_signature(scene):
    statement = scene.signer.statement(scene.image.digest)
    payloads = {
        "hello": b'"hello"', "text": b"hello", "nothing": b"", "array": b"[]", "number": b"1", "null": b"null",
        "type 5": compact({**statement, "predicateType": 5}), "other type": compact({**statement, "predicateType": "https://evil"}),
        "no type": compact({key: value for key, value in statement.items() if key != "predicateType"}),
        "list of types": compact({**statement, "predicateType": [IMAGE_SIGNATURE]}),
        "longer": compact({**statement, "predicateType": IMAGE_SIGNATURE + "/"}),
        "other document": compact({**statement, "_type": "https://in-toto.io/Layout/v1"}),
    }  # fmt: skip
    _refused(scene, {name: compact(scene.signer.bundle(payload)) for name, payload in payloads.items()})


def test_E06_E07_X02_attestations_are_no_signatures_however_many_there_are(scene):
    """CVE-2022-35929, CVE-2025-25204: something that is signed, and nothing of the kind that was asked for."""
    for predicate in ("https://slsa.dev/provenance/v1", "https://spdx.dev/Document", "https://cyclonedx.org/bom"):
        scene.attach(scene.signer.bundle({**scene.signer.statement(scene.image.digest), "predicateType": predicate}))
    outcome = scene.verify()
    outcome.is_refused("no-signature", 10)
    assert len(outcome.verdict["signatures"]) == 3
    assert run(["verify", "--key", str(scene.signer.path), scene.name]).stdout == ""
    scene.attach()
    scene.verify().is_accepted()


def test_E09_E10_all_annotations_asked_for_stand_in_one_signature(scene):
    scene.attach(scene.bundle(annotations={"team": "x"}))
    scene.sign_legacy(scene.layer(scene.signer.payload(scene.image.digest, {"env": "prod"})))
    scene.verify("-a", "team=x").is_accepted()
    scene.verify("-a", "env=prod").is_accepted()
    scene.verify("-a", "team=x", "-a", "env=prod").is_refused("annotation-mismatch", 12)
    scene.attach(scene.bundle(annotations={"team": "x", "env": "prod"}))
    scene.verify("-a", "team=x", "-a", "env=prod").is_accepted()


def test_E09_an_annotation_is_signed_or_it_is_not_there(scene):
    """Annotations of manifests, layers and descriptors are nobody's word."""
    scene.sign_legacy(scene.layer(env="prod"))
    attached = scene.attach()
    scene.honest.put_manifest(
        "team/app", {**attached.document, "annotations": {"env": "prod"}, "subject": scene.image.descriptor()}
    )
    outcome = scene.verify("-a", "env=prod")
    outcome.is_refused("annotation-mismatch", 12)
    scene.verify().is_accepted()


def test_E11_P01_subjects_that_are_vacuous_or_mislabelled(scene):
    value = scene.image.digest.partition(":")[2]
    good = {"digest": {"sha256": value}}
    subjects = {
        "null": [None], "empty list": [], "no digest": [{}], "empty digest": [{"digest": {}}], "null digest": [{"digest": None}],
        "sha512 label": [{"digest": {"sha512": value}}], "upper case": [{"digest": {"sha256": value.upper()}}],
        "with prefix": [{"digest": {"sha256": "sha256:" + value}}], "label": [{"digest": {"SHA256": value}}],
        "name only": [{"name": f"sha256:{value}", "digest": {"sha256": "0" * 64}}], "list": [{"digest": {"sha256": [value]}}],
        "good and null": [good, None], "good and empty": [good, {"digest": {}}], "not a list": good,
        "gitCommit": [{"digest": {"gitCommit": value}}], "shorter": [{"digest": {"sha256": value[:-1]}}],
    }  # fmt: skip
    statement = scene.signer.statement(scene.image.digest)
    _refused(
        scene,
        {name: compact(scene.signer.bundle({**statement, "subject": found})) for name, found in subjects.items()},
    )


def test_W09_M06_other_subjects_beside_the_right_one_are_nobodys_harm(scene):
    """The signer signed them all; a name or a table of contents is no identity."""
    statement = scene.signer.statement(scene.image.digest)
    others = [{"name": "other", "digest": {"sha256": f"{number:064x}"}} for number in range(1000)]
    toc = {"name": scene.image.digest, "digest": {"sha256": scene.evil.digest.partition(":")[2]}}
    assert scene.accepted_of(
        {
            "many": compact(scene.signer.bundle({**statement, "subject": [*others, *statement["subject"]]})),
            "toc": compact(scene.signer.bundle({**statement, "subject": [toc]})),
        }
    ) == {"many"}


def test_E12_nothing_that_is_attached_brings_the_verifier_down(scene):
    seeds = [
        b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"true", b"[]", b"{}", b'{"payload":{}}', b'"' * 9, b"1e999", b"-0",
        b'{"mediaType":null}', b'{"mediaType":{"a":[]},"dsseEnvelope":[]}', b"\xed\xa0\x80", b'{"a":"\\ud800"}', b"{" * 70 + b"}" * 70,
    ]  # fmt: skip
    seeds += [compact({**scene.bundle(), key: value}) for key in ("mediaType", "verificationMaterial", "dsseEnvelope") for value in (None, 1, [], {}, "x", True)]  # fmt: skip
    seeds += [compact(scene.signer.bundle(seed)) for seed in seeds[:17]]
    for seed in seeds:
        scene.attach(seed)
    scene.sign_legacy(
        *(scene.layer(seed) for seed in seeds if seed),
        *(scene.layer(signature=text) for text in ("", " ", "=", "AA", "\n")),
    )
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert not any(found["accepted"] for found in outcome.verdict["signatures"])
    assert run(["verify", "--key", str(scene.signer.path), scene.name]).exit_code == 12
    scene.attach()
    scene.verify().is_accepted()


def test_E13_bundles_that_say_two_things_are_refused(scene):
    good = scene.bundle()
    message = {"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}, "signature": "AAAA"}
    material = good["verificationMaterial"]
    certificate = {"rawBytes": "AAAA"}
    _refused(
        scene,
        {
            "two contents": compact({**good, "messageSignature": message}),
            "two materials": compact({**good, "verificationMaterial": {**material, "certificate": certificate}}),
            "chain": compact({**good, "verificationMaterial": {**material, "x509CertificateChain": {"certificates": [certificate]}}}),
            "snake case": compact({**good, "dsse_envelope": good["dsseEnvelope"]}),
            "snake entries": compact({**good, "verificationMaterial": {**material, "tlog_entries": []}}),
            "unknown": compact({**good, "x": 1}),
            "unknown inside": _enveloped(good, x=1),
            "other version": compact({**good, "mediaType": "application/vnd.dev.sigstore.bundle.v9+json"}),
            "case": compact({**good, "MediaType": BUNDLE}),
            "twice": compact(good)[:-1] + b',"dsseEnvelope":' + compact(good["dsseEnvelope"]) + b"}",
        },
    )  # fmt: skip


def test_E15_a_signature_and_its_mirror_image_are_one_signer(scene, stranger):
    """(r, n−s) verifies as well as (r, s): no identity, and no second vote."""
    good = scene.bundle()
    r, s = decode_dss_signature(base64.b64decode(good["dsseEnvelope"]["signatures"][0]["sig"]))
    mirrored = _enveloped(good, signatures=[{"sig": b64(encode_dss_signature(r, ORDER - s))}])
    scene.attach(good)
    scene.attach(mirrored)
    both = ("--key", str(stranger.path), "--require")
    scene.verify(*both, "2").is_refused("no-matching-signature", 12)
    scene.verify(*both, "1").is_accepted()
    scene.attach(stranger.bundle(stranger.statement(scene.image.digest)))
    scene.verify(*both, "2").is_accepted()


def test_E15_E20_signatures_that_are_none(scene):
    good = scene.bundle()
    der = base64.b64decode(good["dsseEnvelope"]["signatures"][0]["sig"])
    r, s = decode_dss_signature(der)
    others = {
        "zeros": encode_dss_signature(0, 0), "r only": encode_dss_signature(r, 0), "s only": encode_dss_signature(0, s),
        "order": encode_dss_signature(r, s + ORDER), "raw": r.to_bytes(32, "big") + s.to_bytes(32, "big"), "trailing": der + b"\x00",
        "long length": b"\x30\x81" + der[1:], "padded": b"\x30" + bytes([der[1] + 1]) + b"\x02" + bytes([der[3] + 1]) + b"\x00" + der[4:],
        "empty sequence": b"\x30\x00", "nothing": b"",
    }  # fmt: skip
    _refused(scene, {name: _enveloped(good, signatures=[{"sig": b64(sig)}]) for name, sig in others.items()})


@pytest.mark.parametrize("weak", [hashes.SHA1(), hashes.SHA224()])
def test_E16_signatures_over_weak_hashes_do_not_count(scene, weak):
    payload = compact(scene.signer.payload(scene.image.digest))
    signature = scene.signer._private.sign(payload, ec.ECDSA(weak))
    scene.sign_legacy(scene.layer(payload, signature=signature))
    scene.verify().is_refused("signature-key-mismatch", 12)
    scene.sign_legacy(scene.layer(payload))
    scene.verify().is_accepted()


def test_E24_labels_outside_the_signature_decide_nothing(scene):
    """An attestation called a signature is an attestation; a signature called anything else is a signature."""
    label = "dev.sigstore.bundle.predicateType"
    attestation = scene.signer.bundle(
        {**scene.signer.statement(scene.image.digest), "predicateType": "https://slsa.dev/provenance/v1"}
    )
    attached = scene.attach(attestation)
    scene.honest.put_manifest("team/app", {**attached.document, "annotations": {label: IMAGE_SIGNATURE}})
    scene.verify().is_refused("no-signature", 10)
    attached = scene.attach()
    del scene.honest.manifests["team/app", attached.digest]
    scene.honest.put_manifest(
        "team/app", {**attached.document, "annotations": {label: "https://slsa.dev/provenance/v1"}}
    )
    scene.verify().is_accepted()


def test_E18_E19_other_kinds_of_signatures_are_said_to_be_unknown_and_prove_nothing(scene):
    """Notation envelopes, OpenPGP, in-toto links: listed, counted, never a reason to accept."""
    for kind in ("application/vnd.cncf.notary.signature", "application/pgp-signature", "application/vnd.in-toto+json"):
        scene.honest.put_referrer("team/app", scene.image, b"{}", artifact_type=kind)
    outcome = scene.verify()
    outcome.is_refused("no-signature", 10)
    assert outcome.verdict["otherAttachments"] == 3


@pytest.mark.parametrize(
    "other",
    [
        "atomic container signature",
        "Cosign container image signature",
        "cosign container image signature ",
        "",
        None,
        5,
    ],
)
def test_W06_payloads_signed_for_another_purpose_are_no_image_signatures(scene, other):
    payload = scene.signer.payload(scene.image.digest)
    payload["critical"]["type"] = other
    scene.sign_legacy(scene.layer(payload))
    code = "payload-type-mismatch" if isinstance(other, str) and other else "evidence-malformed"
    scene.verify().is_refused(code, 12)
    scene.sign_legacy()
    scene.verify().is_accepted()


def test_W06_a_signature_of_a_file_is_no_signature_of_an_image(scene):
    """`messageSignature` bundles sign files: whatever the file says, and whatever the image's bytes are."""
    payload = compact(scene.signer.payload(scene.image.digest))
    for message in (payload, scene.image.raw):
        signature = b64(scene.signer.sign(message))
        bundle = {key: value for key, value in scene.bundle().items() if key != "dsseEnvelope"}
        scene.attach({**bundle, "messageSignature": {"signature": signature}})
    outcome = scene.verify()
    outcome.is_refused("evidence-unsupported", 12)
    assert len(outcome.findings) == 2


def test_W16_one_spelling_of_base64(scene):
    payload = compact(scene.signer.payload(scene.image.digest))
    text = b64(scene.signer.sign(payload))
    others = [" " + text, text.rstrip("=") + "!" + "=" * (len(text) - len(text.rstrip("="))), text[:10] + "\n" + text[10:], text + "=", text.rstrip("=") + "A"]  # fmt: skip
    scene.sign_legacy(*(scene.layer(payload, signature=other) for other in others))
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert len(outcome.findings) == len(others)
    scene.sign_legacy(scene.layer(payload, signature=text + "\n"))  # as `attach signature` stores it
    scene.verify().is_accepted()


def test_W17_W18_numbers_and_encodings_that_two_programs_read_differently(scene):
    good = compact(scene.signer.payload(scene.image.digest)).decode()
    payloads = [
        good.encode("utf-16"), b"\xef\xbb\xbf" + good.encode(), good[:-1].encode() + b',"x":1e999}', good[:-1].encode() + b',"x":NaN}',
        good[:-1].encode() + b',"x":"\\ud800"}', good.encode("utf-8")[:-1] + b',"x":"\xff"}', good.encode() + b"\x00", good.encode() + b"{}",
        good.replace("sha256:", "sha256:\\u0000").encode(), good[:-1].encode() + b',"x":' + b"1" * 400 + b"}",
    ]  # fmt: skip
    for payload in payloads:
        scene.sign_legacy(scene.layer(payload))
        scene.verify().is_refused("evidence-malformed", 12)
    scene.sign_legacy(scene.layer(good.encode()))
    scene.verify().is_accepted()


def test_W17_sizes_are_numbers_and_nothing_else(scene):
    good = scene.layer()
    for size in (True, str(good["size"]), float(good["size"]), -1, None):
        scene.sign_legacy({**good, "size": size})
        assert scene.verify().exit_code == 12
    scene.sign_legacy(good)
    scene.verify().is_accepted()


def test_U01_E15_a_key_given_twice_is_one_key(scene, tmp_path):
    """CVE-2020-6174 and its kin: one key under two names, in another wrapping."""
    scene.attach()
    other = tmp_path / "again.pub"
    other.write_bytes(scene.signer.path.read_bytes().replace(b"\n", b"\r\n"))
    twice = ("--key", str(other), "--require")
    outcome = run(scene.arguments(*twice, "2"))
    assert (outcome.code, outcome.exit_code) == ("usage", 2)
    scene.verify(*twice, "1").is_accepted()
    scene.verify(*twice, "all").is_accepted()


@pytest.mark.parametrize("count", ["0", "-1", "1.0", "٢", "2x", "", "99999"])
def test_U02_S15_P01_a_threshold_is_a_number_that_can_be_reached(scene, stranger, count):
    scene.attach()
    outcome = scene.verify("--key", str(stranger.path), f"--require={count}")
    assert (outcome.code, outcome.exit_code) == ("usage", 2)
    scene.verify("--key", str(stranger.path), "--require=1").is_accepted()


def test_P21_any_all_and_some_of_several_keys(scene, tmp_path):
    """The truth table of three keys of which some have signed."""
    signers = [Signer(tmp_path, f"key{number}") for number in range(3)]
    keys = [word for signer in signers for word in ("--key", str(signer.path))]
    for signed in range(4):
        if signed:
            scene.attach(signers[signed - 1].bundle(signers[signed - 1].statement(scene.image.digest)))
        for wanted, needed in (("any", 1), ("1", 1), ("2", 2), ("3", 3), ("all", 3)):
            outcome = run(["verify", *keys, "--require", wanted, scene.name])
            assert outcome.exit_code == (0 if signed >= needed else 12 if signed else 10), (signed, wanted)


def test_W11_W12_what_is_denied_is_refused_whoever_signed_it(scene, stranger, tmp_path):
    scene.attach()
    deny = tmp_path / "deny"
    deny.write_text(f"digest {scene.evil.digest} another image\n")
    scene.verify("--deny", str(deny)).is_accepted()
    deny.write_text(f"digest {scene.image.digest} recalled\n")
    scene.verify("--deny", str(deny)).is_refused("denied-digest", 16)
    fingerprint = scene.verify().verdict["signatures"][0]["key"]["fingerprint"]
    deny.write_text(f"key {fingerprint} leaked\n")
    scene.verify("--deny", str(deny)).is_refused("denied-key", 16)
    scene.attach(stranger.bundle(stranger.statement(scene.image.digest)))
    scene.verify("--deny", str(deny), "--key", str(stranger.path), "--require", "any").is_accepted()
