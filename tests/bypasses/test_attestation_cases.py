"""The envelope stage for attestations, end to end: what must not pass for an attestation of this image and this type.

E02, E03, E05 to E07, E10 to E12, E20, E23, E24, M08, M10, M12, T17, W04 to W06, W09, X02.
"""

from __future__ import annotations

import json

import pytest

from bypasses.scene import BUNDLE, IMAGE_SIGNATURE, IN_TOTO, REPOSITORY, b64, compact, run
from evil_registry.honest import CONFIG, MANIFEST, digest_of

SLSA = "https://slsa.dev/provenance/v1"
CUSTOM = "https://cosign.sigstore.dev/attestation/v1"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"


class Attesting:
    """A scene, seen as attestations."""

    def __init__(self, scene):
        self.scene = scene
        self.signer = scene.signer

    def statement(self, predicate_type=SLSA, **changes):
        value = self.scene.image.digest.partition(":")[2]
        return {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "registry.test/team/app", "digest": {"sha256": value}}],
            "predicateType": predicate_type,
            "predicate": {"builder": "x"},
        } | changes

    def bundle(self, statement=None, **options):
        return self.signer.bundle(self.statement() if statement is None else statement, **options)

    def attach(self, bundle=None, **options):
        return self.scene.attach(self.bundle() if bundle is None else bundle, **options)

    def layer(self, envelope=None, *, predicate_type=SLSA, **notes):
        envelope = self.bundle()["dsseEnvelope"] if envelope is None else envelope
        content = envelope if isinstance(envelope, bytes) else compact(envelope)
        described = self.scene.honest.put_blob(REPOSITORY, content, ENVELOPE)
        return {
            **described,
            "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type} | notes,
        }

    def attach_legacy(self, *layers, image=None):
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.scene.honest.put_blob(REPOSITORY, b'{"architecture":"","os":""}', CONFIG),
            "layers": list(layers or [self.layer()]),
        }
        tag = (image or self.scene.image).digest.replace(":", "-") + ".att"
        return self.scene.honest.put_manifest(REPOSITORY, document, tag)

    def verify(self, *extra, image=None, kind=SLSA, key=None):
        argv = ["verify-attestation", "--key", str(key or self.signer.path), "--type", kind, "-o", "verdict", *extra]
        found = run([*argv, self.scene.name if image is None else image])
        assert "Traceback" not in found.stderr
        return found

    def accepted_of(self, contents, kind=SLSA):
        """Attach all these to one image of a repository of its own, in both formats; the names of those that were good."""
        honest = self.scene.honest
        repository = f"team/many{len(honest.manifests)}"
        image = honest.put_manifest(repository, self.scene.image.raw)
        names, layers = {}, []
        for name, content in contents.items():
            if name.startswith("att "):
                layers.append(honest.put_blob(repository, content, ENVELOPE))
            else:
                honest.put_referrer(repository, image, content, artifact_type=BUNDLE)
            names.setdefault(digest_of(content), []).append(name)
        if layers:
            document = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
                        "config": honest.put_blob(repository, b"{}", CONFIG)}  # fmt: skip
            honest.put_manifest(repository, document, image.digest.replace(":", "-") + ".att")
        found = self.verify(image=f"{self.scene.registry.host}/{repository}@{image.digest}", kind=kind)
        reports = found.verdict["signatures"]
        assert {report["content"] for report in reports} == names.keys()
        good = {name for report in reports if report["accepted"] for name in names[report["content"]]}
        assert found.exit_code == (0 if good else 12)
        return good


@pytest.fixture
def attesting(scene):
    return Attesting(scene)


def _refused(attesting, bundles):
    """None of these bundles is good, neither is its envelope under `.att`; the good ones beside them are."""
    good = attesting.bundle()
    everything = {"good": compact(good), "att good": compact(good["dsseEnvelope"])}
    for name, bundle in bundles.items():
        everything[name] = compact(bundle)
        everything[f"att {name}"] = compact(bundle["dsseEnvelope"])
    assert attesting.accepted_of(everything) == {"good", "att good"}


def test_E02_a_statement_signed_as_another_type_is_no_attestation(attesting):
    kinds = ("text/plain", "application/json", "application/vnd.in-toto", "application/vnd.in-toto+json;x")
    _refused(attesting, {kind: attesting.bundle(payload_type=kind) for kind in kinds})
    good = attesting.bundle()
    relabelled = {**good, "dsseEnvelope": {**good["dsseEnvelope"], "payloadType": "text/plain"}}
    _refused(attesting, {"relabelled": relabelled})
    attesting.attach(attesting.bundle(payload_type="text/plain"))
    attesting.verify().is_refused("not-an-attestation", 12)


def test_E03_E20_an_attestation_has_exactly_one_signature(attesting, stranger):
    good = attesting.bundle()
    right = good["dsseEnvelope"]["signatures"][0]
    wrong = stranger.bundle(attesting.statement())["dsseEnvelope"]["signatures"][0]
    lists = {
        "none": [], "two good": [right, right], "good, bad": [right, wrong], "bad, good": [wrong, right], "bad": [wrong],
        "empty": [{"sig": ""}], "empty, good": [{"sig": ""}, right],
    }  # fmt: skip
    _refused(
        attesting,
        {
            name: {**good, "dsseEnvelope": {**good["dsseEnvelope"], "signatures": found}}
            for name, found in lists.items()
        },
    )


def test_E05_E12_what_was_signed_must_be_a_statement_of_the_type(attesting):
    """CVE-2026-39395: a payload that cannot be parsed, or of another type, on all paths."""
    statement = attesting.statement()
    payloads = {
        "hello": b'"hello"', "text": b"hello", "nothing": b"", "array": b"[]", "number": b"1", "null": b"null",
        "type 5": {**statement, "predicateType": 5}, "list of types": {**statement, "predicateType": [SLSA]},
        "no type": {key: value for key, value in statement.items() if key != "predicateType"},
        "other type": {**statement, "predicateType": "https://evil"}, "longer": {**statement, "predicateType": SLSA + "/"},
        "case": {**statement, "predicateType": SLSA.upper()}, "space": {**statement, "predicateType": " " + SLSA},
        "short name": {**statement, "predicateType": "slsaprovenance1"},
        "other document": {**statement, "_type": "https://in-toto.io/Layout/v1"},
        "two types": compact(statement)[:-1] + b',"predicateType":"https://evil"}',
        "folded type": compact({**statement, "predicateType": "https://evil"})[:-1] + b',"PredicateType":"%s"}' % SLSA.encode(),
        "not UTF-8": compact(statement)[:-1] + b',"x":"\xff"}',
    }  # fmt: skip
    _refused(attesting, {name: attesting.bundle(payload) for name, payload in payloads.items()})


def test_E05_a_payload_that_cannot_be_read_alone_refuses(attesting):
    attesting.attach(attesting.bundle(b'"hello"'))
    attesting.verify().is_refused("evidence-malformed", 12)
    attesting.attach(attesting.bundle(attesting.statement("https://evil")))
    attesting.verify().is_refused("evidence-malformed", 12)
    attesting.attach()
    attesting.verify().is_accepted()


def test_E06_E07_X02_filter_first_and_then_at_least_one(attesting):
    """CVE-2022-35929, CVE-2025-25204: attestations that are signed, and none of the type that was asked for."""
    attesting.verify().is_refused("no-attestation", 10)
    attesting.attach(attesting.bundle(attesting.statement(CUSTOM)))
    attesting.attach_legacy(attesting.layer(attesting.bundle(attesting.statement("https://x.y/z"))["dsseEnvelope"]))
    outcome = attesting.verify()
    outcome.is_refused("predicate-type-mismatch", 12)
    assert f"types found: {CUSTOM}, https://x.y/z" in outcome.verdict["summary"]
    assert (
        run(["verify-attestation", "--key", str(attesting.signer.path), "--type", SLSA, attesting.scene.name]).stdout
        == ""
    )
    attesting.verify(kind="custom").is_accepted()
    attesting.verify(kind="https://x.y/z").is_accepted()
    attesting.attach()
    attesting.verify().is_accepted()


def test_E06_E07_a_signature_is_no_attestation(attesting):
    attesting.scene.attach()
    attesting.scene.sign_legacy()
    attesting.verify().is_refused("no-attestation", 10)
    attesting.verify(kind=IMAGE_SIGNATURE).is_accepted()
    attesting.scene.verify().is_accepted()


def test_E10_annotations_stand_on_the_subject_of_one_attestation(attesting):
    def with_notes(**notes):
        subject = {**attesting.statement()["subject"][0], "annotations": notes}
        return attesting.bundle(attesting.statement(subject=[subject]))

    attesting.attach(with_notes(team="x"))
    attesting.attach(with_notes(env="prod"))
    attesting.verify("-a", "team=x").is_accepted()
    attesting.verify("-a", "team=x", "-a", "env=prod").is_refused("annotation-mismatch", 12)
    attesting.verify("--check-claims=false", "-a", "team=y").is_accepted()
    attesting.attach(with_notes(team="x", env="prod"))
    attesting.verify("-a", "team=x", "-a", "env=prod").is_accepted()


def test_E11_W09_subjects_of_attestations(attesting):
    value = attesting.scene.image.digest.partition(":")[2]
    good = {"digest": {"sha256": value}}
    other = {"digest": {"sha256": "0" * 64}}
    subjects = {
        "null": [None], "empty list": [], "no digest": [{}], "empty digest": [{"digest": {}}], "null digest": [{"digest": None}],
        "sha512 label": [{"digest": {"sha512": value}}], "upper case": [{"digest": {"sha256": value.upper()}}],
        "name only": [{"name": f"sha256:{value}", "digest": {"sha256": "0" * 64}}], "list": [{"digest": {"sha256": [value]}}],
        "good and null": [good, None], "good and empty": [good, {"digest": {}}], "not a list": good,
        "other": [other], "others": [other] * 3, "too many": [good, *[other] * 1024],
    }  # fmt: skip
    _refused(
        attesting, {name: attesting.bundle(attesting.statement(subject=found)) for name, found in subjects.items()}
    )


def test_W09_a_subject_among_many_and_names_that_are_no_identity(attesting):
    value = attesting.scene.image.digest.partition(":")[2]
    good = {"name": "elsewhere.test/other", "digest": {"sha256": value, "gitCommit": "1" * 40}}
    many = [{"digest": {"sha256": f"{number:064x}"}} for number in range(1023)]
    attesting.attach(attesting.bundle(attesting.statement(subject=[*many, good])))
    attesting.verify().is_accepted()


def test_M10_E04_an_attestation_of_another_image_is_not_this_ones(attesting):
    """Bytes unchanged, under the other image's tag, and as a referrer that lies about its subject."""
    scene = attesting.scene
    attesting.attach_legacy(image=scene.evil)
    attesting.attach(subject=scene.evil)
    evil = f"{scene.registry.host}/{REPOSITORY}@{scene.evil.digest}"
    outcome = attesting.verify(image=evil)
    outcome.is_refused("signature-subject-mismatch", 12)
    assert [report["accepted"] for report in outcome.verdict["signatures"]] == [False, False]
    attesting.attach_legacy()
    attesting.verify().is_accepted()


def test_M10_a_referrer_that_says_it_is_anothers_is_not_believed(attesting):
    """Listed by the fallback index of this image, with this image's statement, and a manifest about another."""
    attesting.scene.registry.honest.referrers_api = False
    stored = attesting.attach(subject=attesting.scene.evil)
    attesting.scene.honest.put_index(REPOSITORY, [stored], attesting.scene.image.digest.replace(":", "-"))
    attesting.verify().is_refused("referrer-subject-mismatch", 12)
    stored = attesting.attach()
    attesting.scene.honest.put_index(REPOSITORY, [stored], attesting.scene.image.digest.replace(":", "-"))
    attesting.verify().is_accepted()


def test_M08_every_layer_of_an_attached_manifest_is_judged_by_itself(attesting):
    """One bad layer and a good one: the good one counts, the bad one never; no layer is no attestation."""
    evil = attesting.layer(
        attesting.bundle(attesting.statement(subject=[{"digest": {"sha256": "0" * 64}}]))["dsseEnvelope"]
    )
    attesting.attach_legacy(evil)
    attesting.verify().is_refused("signature-subject-mismatch", 12)
    attesting.attach_legacy(evil, attesting.layer())
    outcome = attesting.verify()
    outcome.is_accepted()
    assert [report["accepted"] for report in outcome.verdict["signatures"]] == [False, True]


def test_M12_what_an_attestation_covers_is_what_was_signed(attesting):
    """The predicate swapped in the envelope, the layer kept: the signature is over the payload's bytes."""
    good = attesting.bundle()
    payload = compact(attesting.statement(predicate={"builder": "evil"}))
    _refused(attesting, {"swapped": {**good, "dsseEnvelope": {**good["dsseEnvelope"], "payload": b64(payload)}}})


def test_E23_each_attestation_is_verified_by_itself(attesting, stranger):
    """A good attestation of another type lends nothing to one that a stranger signed."""
    attesting.attach(attesting.bundle(attesting.statement(CUSTOM)))
    attesting.attach(stranger.bundle(attesting.statement()))
    unsigned = attesting.bundle()
    unsigned["dsseEnvelope"]["signatures"] = []
    attesting.attach(unsigned)
    outcome = attesting.verify()
    assert (outcome.exit_code, outcome.verdict["outcome"]) == (12, "refused")
    assert not any(report["accepted"] for report in outcome.verdict["signatures"])
    attesting.attach()
    attesting.verify().is_accepted()


def test_E24_labels_that_nobody_signed_decide_nothing(attesting):
    """Annotations say slsa, the payload says custom; and the other way round."""
    scene = attesting.scene
    config = scene.honest.put_blob(REPOSITORY, b"{}", "application/vnd.oci.empty.v1+json")

    def attach(bundle, said):
        layer = scene.honest.put_blob(REPOSITORY, compact(bundle), BUNDLE)
        scene.honest.put_manifest(REPOSITORY, {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
            "annotations": {"dev.sigstore.bundle.predicateType": said, "dev.sigstore.bundle.content": "dsse-envelope"},
            "subject": scene.image.descriptor(),
        })  # fmt: skip

    attach(attesting.bundle(attesting.statement(CUSTOM)), SLSA)
    attesting.attach_legacy(
        attesting.layer(attesting.bundle(attesting.statement(CUSTOM))["dsseEnvelope"], predicate_type=SLSA)
    )
    attesting.verify().is_refused("predicate-type-mismatch", 12)
    attesting.verify(kind=CUSTOM).is_accepted()
    attach(attesting.bundle(), CUSTOM)
    attesting.verify().is_accepted()
    attesting.attach_legacy(attesting.layer(predicate_type=CUSTOM))
    attesting.verify("--new-bundle-format=false").is_accepted()


def test_W04_W05_junk_and_strangers_neither_let_in_nor_lock_out(attesting, stranger):
    for content in (b"junk", b"{}", compact(stranger.bundle(attesting.statement())), compact({"mediaType": BUNDLE})):
        attesting.attach(content)
    attesting.attach_legacy(attesting.layer(b"junk"), attesting.layer(b"{}"))
    outcome = attesting.verify()
    assert (outcome.exit_code, outcome.verdict["outcome"]) == (12, "refused")
    attesting.attach()
    attesting.verify().is_accepted()


def test_W06_what_was_signed_for_another_purpose_is_no_attestation(attesting):
    scene = attesting.scene
    digest = scene.image.digest
    payload = compact(scene.signer.payload(digest))
    raw = compact(attesting.statement())
    message = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": scene.signer.hint}},
        "messageSignature": {"messageDigest": {}, "signature": b64(scene.signer.sign(raw))},
    }
    bare = {"payload": b64(raw), "payloadType": IN_TOTO, "signatures": [{"sig": b64(scene.signer.sign(raw))}]}
    simple = {"payload": b64(payload), "payloadType": IN_TOTO, "signatures": [{"sig": b64(scene.signer.sign(payload))}]}
    everything = {
        "signed as a file": compact(message), "att signed as a file": compact(bare), "att simple": compact(simple),
        "image signature": compact(scene.bundle()),
    }  # fmt: skip
    assert attesting.accepted_of(everything) == set()


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        ("404", "no-attestation", 10),
        ("junk", "no-attestation", 10),
        ("empty", "no-attestation", 10),
        ("500", "registry-failed", 14),
    ],
)
def test_T17_T18_hidden_attestations_deny_each_for_its_own_reason(attesting, evil_registry, answer, code, exit_code):
    from evil_registry.scripts import fail

    scene = attesting.scene
    attesting.attach()
    attesting.verify().is_accepted()
    scene.honest.referrers_api = answer not in {"404", "junk"}
    if answer == "junk":
        scene.honest.put_index(REPOSITORY, [], scene.image.digest.replace(":", "-"))
    if answer == "empty":
        scene.honest.manifests = {
            key: value for key, value in scene.honest.manifests.items() if "subject" not in value.document
        }
    if answer == "500":
        scene.registry.on("GET", scene.path("referrers", scene.image.digest), fail(500))
    attesting.verify().is_refused(code, exit_code)


def test_deny_lists_hold_for_attestations(attesting, tmp_path):
    from sealgate import PublicKey

    attesting.attach()
    fingerprint = PublicKey.from_pem(attesting.signer.path.read_bytes()).fingerprint
    (tmp_path / "deny").write_text(f"key {fingerprint} leaked\n")
    deny = ("--deny", str(tmp_path / "deny"))
    attesting.verify(*deny).is_refused("denied-key", 16)
    (tmp_path / "deny").write_text(f"digest {attesting.scene.image.digest} recalled\n")
    attesting.verify(*deny).is_refused("denied-digest", 16)
    (tmp_path / "deny").write_text(f"digest {attesting.scene.evil.digest} recalled\n")
    attesting.verify(*deny).is_accepted()


def test_an_image_that_is_not_there_and_one_whose_blob_is_gone(attesting):
    attesting.verify(image=f"{attesting.scene.registry.host}/{REPOSITORY}:gone").is_refused("image-not-found", 11)
    stored = attesting.attach()
    attesting.verify().is_accepted()
    del attesting.scene.honest.blobs[REPOSITORY, stored.document["layers"][0]["digest"]]
    assert attesting.verify().exit_code != 0
    attesting.attach_legacy()
    attesting.verify().is_accepted()


def test_the_verdict_on_attestations_is_as_its_schema_says(attesting):
    import jsonschema

    from peers.programs import ROOT

    schema = json.loads((ROOT / "docs" / "verdict.schema.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft202012Validator(schema).validate
    check(attesting.verify().verdict)
    attesting.attach(b"junk")
    attesting.attach(attesting.bundle(attesting.statement(CUSTOM)))
    check(attesting.verify().verdict)
    attesting.attach()
    verdict = attesting.verify().verdict
    check(verdict)
    assert verdict["predicateType"] == SLSA
    assert {report["predicateType"] for report in verdict["signatures"]} == {SLSA, CUSTOM, None}


# -- every check is leaned on


def _agreeing_signature(signature, message, asked, hint):
    from sealgate.verification.findings import Finding

    return asked.keys[0], "ecdsa-p256-sha256", Finding("signature-verified", "passed", "agreed")


def _agreeing_type(found, wanted):
    from sealgate.verification.findings import Finding

    return Finding("predicate-type-verified", "passed", "agreed")


def _agreeing_subjects(found, digest):
    return found.subjects


KILLED = {
    # a check, replaced by one that agrees: what it alone refuses is accepted then
    "nothing": (None, set()),
    "checks.verify_signature": (_agreeing_signature, {"another key", "empty signature"}),
    "attestation._predicate_type": (_agreeing_type, set()),  # the verdict filters by the type once more
    "statement.subjects_of": (_agreeing_subjects, {"another image"}),
    "dsse.IN_TOTO": ("text/plain", {"another payload type"}),
    "deny.DenyList.key": (lambda self, fingerprint: None, {"denied key"}),
}


@pytest.mark.parametrize("check", KILLED)
def test_kill_switch_every_check_on_attestations_is_leaned_on(attesting, stranger, tmp_path, monkeypatch, check):
    from sealgate import PublicKey
    from sealgate.evidence import dsse, statement
    from sealgate.verification import attestation, checks, deny

    scene = attesting.scene
    other = [{"digest": {"sha256": "0" * 64}}]
    good = attesting.bundle()
    cases = {
        "another key": stranger.bundle(attesting.statement()),
        "empty signature": {**good, "dsseEnvelope": {**good["dsseEnvelope"], "signatures": [{"sig": b64(b"x")}]}},
        "another type": attesting.bundle(attesting.statement(CUSTOM)),
        "another image": attesting.bundle(attesting.statement(subject=other)),
        "another payload type": attesting.bundle(payload_type="text/plain"),
        "denied key": good,
    }
    fingerprint = PublicKey.from_pem(attesting.signer.path.read_bytes()).fingerprint
    (tmp_path / "deny").write_text(f"key {fingerprint} leaked\n")
    images = {}
    for number, (name, bundle) in enumerate(cases.items()):
        repository = f"team/killed{number}"
        image = scene.honest.put_manifest(repository, scene.image.raw)
        scene.honest.put_referrer(repository, image, compact(bundle), artifact_type=BUNDLE)
        images[name] = f"{scene.registry.host}/{repository}@{image.digest}"
    agreeing, expected = KILLED[check]
    holders = {"checks": checks, "attestation": attestation, "statement": statement, "dsse": dsse, "deny": deny}
    if agreeing is not None:
        holder, *names = check.split(".")
        target = holders[holder]
        for name in names[:-1]:
            target = getattr(target, name)
        monkeypatch.setattr(target, names[-1], agreeing)
    accepted = set()
    for name, image in images.items():
        words = ("--deny", str(tmp_path / "deny")) if name == "denied key" else ()
        if attesting.verify(*words, image=image).exit_code == 0:
            accepted.add(name)
    assert accepted == expected
