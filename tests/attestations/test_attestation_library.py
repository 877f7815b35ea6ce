"""`sealgate.attest` and `sealgate.verify_attestation`, blocking and as coroutines; and the same of files."""

import asyncio
import inspect
import json

import pytest

import sealgate
from peers.images import push_image
from sealgate import blocking, errors

PREDICATE = b'{"z": 1.50, "a": [1]}'
TYPE = "https://example.com/my/type"


class Coroutines:
    """The coroutines of the library, each run to its end."""

    def __getattr__(self, name):
        found = getattr(sealgate, name)
        return lambda *args, **options: asyncio.run(found(*args, **options))


@pytest.fixture(params=["blocking", "coroutines"])
def face(request):
    return blocking if request.param == "blocking" else Coroutines()


@pytest.fixture
def image(docker_registry, request):
    return push_image(docker_registry, f"attest-library/{abs(hash(request.node.name))}")


@pytest.fixture(scope="module")
def private():
    return sealgate.PrivateKey.generate()


@pytest.fixture(scope="module")
def other():
    return sealgate.PrivateKey.generate("ed25519")


def asked(*keys, kind=TYPE, **more):
    return {"keys": [key.public_key for key in keys], "require": "all", "predicate_type": kind} | more


def attest(face, image, key, **more):
    how = {"keys": [key], "predicate": PREDICATE, "predicate_type": TYPE, "settle": 0.001} | more
    return face.attest(image.reference, **{name: value for name, value in how.items() if value is not None})


@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_attested_and_verified(face, image, private, other, format_):
    assert face.verify_attestation(image.reference, **asked(private)).code == "no-attestation"
    [made] = attest(face, image, private, formats=[format_])
    assert (made.added, made.format, made.predicate_type, str(made.digest)) == (True, format_, TYPE, image.digest)
    [again] = attest(face, image, private, formats=[format_])
    assert (again.added, again.content) == (False, b"")
    verdict = face.verify_attestation(image.reference, **asked(private))
    assert verdict.accepted
    [report] = verdict.signatures
    assert report.statement().raw.endswith(b'"predicate":' + PREDICATE + b"}")
    assert report.statement().predicate == {"z": 1.5, "a": [1]}
    refused = face.verify_attestation(image.reference, **asked(other))
    assert (refused.outcome, refused.code) == ("refused", "signature-key-mismatch")
    with pytest.raises(errors.StatementInvalidError):
        refused.signatures[0].statement()
    assert face.verify_attestation(image.reference, **asked(private, kind="link")).code == "predicate-type-mismatch"
    attest(face, image, other, formats=[format_])
    assert face.verify_attestation(image.reference, **asked(private, other)).accepted
    assert face.verify(image.reference, keys=[private.public_key], require="any").code == "no-signature"


def test_predicates_in_every_form(face, image, private):
    for predicate, kind, expected in (
        ('{"a":"é"}', "cyclonedx", {"a": "é"}),
        ({"b": [1, None]}, "openvex", {"b": [1, None]}),
        ("SPDXVersion: SPDX-2.3", "spdx", "SPDXVersion: SPDX-2.3"),
    ):
        attest(face, image, private, predicate=predicate, predicate_type=kind)
        verdict = face.verify_attestation(image.reference, **asked(private, kind=kind))
        assert [each.statement().predicate for each in verdict.signatures if each.accepted] == [expected]
    attest(face, image, private, predicate="text", predicate_type="custom")
    [said] = [each.statement() for each in face.verify_attestation(image.reference, **asked(private, kind="custom")).signatures
              if each.accepted]  # fmt: skip
    assert said.predicate["Data"] == "text"


def test_replace_and_subjects_and_statements(face, image, private):
    attest(face, image, private, predicate='{"n":1}')
    [made] = attest(
        face, image, private, predicate='{"n":2}', replace=True, subjects={"x": sealgate.Digest("sha256", "a" * 64)}
    )
    assert made.replaced == 1
    [report] = face.verify_attestation(image.reference, **asked(private)).signatures
    statement = report.statement()
    assert statement.predicate == {"n": 2}
    assert [subject.name for subject in statement.subjects] == [image.name, "x"]
    attest(face, image, private, predicate=None, predicate_type=None, statement=statement.raw + b"\n")
    assert (
        len([each for each in face.verify_attestation(image.reference, **asked(private)).signatures if each.accepted])
        == 2
    )


def test_nothing_is_stored_without_upload(face, image, private):
    [bundle, envelope] = attest(face, image, private, formats=["bundle", "legacy"], upload=False)
    assert "dsseEnvelope" in json.loads(bundle.content)
    assert "payload" in json.loads(envelope.content)
    assert not bundle.added
    assert face.verify_attestation(image.reference, **asked(private)).code == "no-attestation"


def test_conditions_are_asked_about_good_statements_only(face, image, private, other):
    seen = []

    def condition(*codes, outcome="passed"):
        def judge(statement):
            seen.append(statement.predicate)
            return [sealgate.Finding(code, outcome, "said so") for code in codes]

        return judge

    attest(face, image, other, predicate='{"by":"a stranger"}')
    attest(face, image, private, predicate='{"of":"another type"}', predicate_type="openvex")
    attest(face, image, private, predicate='{"good":true}')
    met, failed = condition("condition-met"), condition("condition-failed", outcome="failed")
    assert face.verify_attestation(image.reference, **asked(private, conditions=[met])).accepted
    assert seen == [{"good": True}], "what is not signed, or of another type, is shown to no condition"
    for conditions in (
        [failed],
        [met, failed],
        [failed, met],
        [condition()],
        [condition("condition-met", outcome="skipped")],
    ):
        verdict = face.verify_attestation(image.reference, **asked(private, conditions=conditions))
        assert (verdict.outcome, verdict.code, verdict.exit_code) == ("refused", "condition-failed", 12)
        assert not any(report.accepted or report.envelope for report in verdict.signatures)

    def broken(statement):
        raise errors.LimitError("too long")

    verdict = face.verify_attestation(image.reference, **asked(private, conditions=[broken, met]))
    assert (verdict.code, "too long" in verdict.summary) == ("condition-failed", True)

    def faulty(statement):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        face.verify_attestation(image.reference, **asked(private, conditions=[faulty]))
    with pytest.raises(TypeError):
        face.verify_attestation(image.reference, **asked(private, conditions=["p.rego"]))


def test_every_attestation_of_the_type_by_the_key_must_meet_the_conditions(face, image, private, other):
    """As with cosign. What strangers push is asked nothing, and cannot make a condition fail (W04)."""
    for number in range(3):
        attest(face, image, private, predicate=f'{{"n":{number}}}')
    attest(face, image, other, predicate='{"n":0}')

    def is_two(statement):
        if statement.predicate == {"n": 2}:
            return [sealgate.Finding("condition-met", "passed", "is two")]
        return [sealgate.Finding("condition-failed", "failed", "is not two")]

    verdict = face.verify_attestation(image.reference, **asked(private, conditions=[is_two]))
    assert (verdict.outcome, verdict.code) == ("refused", "condition-failed")
    attest(face, image, private, predicate='{"n":2}', replace=True)
    assert face.verify_attestation(image.reference, **asked(private, conditions=[is_two])).accepted


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"predicate_type": "nonsense"}, errors.UsageError),
        ({"predicate_type": "https://sigstore.dev/cosign/sign/v1"}, errors.UsageError),
        ({"predicate": None}, errors.UsageError),
        ({"predicate_type": None}, errors.UsageError),
        ({"statement": b"{}"}, errors.UsageError),
        ({"keys": []}, errors.UsageError),
        ({"formats": ["nothing"]}, errors.UsageError),
        ({"replace": True, "upload": False}, errors.UsageError),
        ({"subjects": {"x": "sha256:" + "a" * 64}}, TypeError),
        ({"predicate": b"[1]"}, errors.JsonInvalidError),
        ({"predicate": b'{"a":1,"a":2}'}, errors.JsonAmbiguousError),
        ({"evidence_bytes": 100}, errors.LimitError),
    ],
)
def test_wrong_use_of_attest(face, image, private, change, error):
    with pytest.raises(error):
        attest(face, image, private, **change)
    assert face.verify_attestation(image.reference, **asked(private)).code == "no-attestation"


def test_blobs_are_attested(face, private, other, tmp_path):
    (tmp_path / "a").write_bytes(b"content a")
    (tmp_path / "b").write_bytes(b"content b")
    made = face.attest_blob(tmp_path / "a", tmp_path / "b", key=private, predicate=PREDICATE, predicate_type=TYPE)
    for form in (made.bundle, made.envelope, made.legacy_bundle):
        for source in (tmp_path / "a", b"content b", sealgate.Digest.of(b"content a")):
            verdict = face.verify_blob_attestation(source, attestations=[form], **asked(private))
            assert verdict.accepted
            assert verdict.signatures[0].statement().raw == made.statement
        assert (
            face.verify_blob_attestation(b"c", attestations=[form], **asked(private)).code
            == "signature-subject-mismatch"
        )
        assert face.verify_blob_attestation(
            b"c", attestations=[form], unsafe_any_subject=True, **asked(private)
        ).accepted
        assert not face.verify_blob_attestation(b"content a", attestations=[form], **asked(other)).accepted
    assert face.verify_blob_attestation(b"content a", attestations=[], **asked(private)).code == "no-attestation"
    with pytest.raises(TypeError):
        face.verify_blob_attestation(b"content a", attestations=made.bundle, **asked(private))
    with pytest.raises(errors.UsageError):
        face.attest_blob(key=private, predicate=PREDICATE, predicate_type=TYPE)
    with pytest.raises(errors.NotFoundError):
        face.attest_blob(tmp_path / "none", key=private, predicate=PREDICATE, predicate_type=TYPE)


def test_both_faces_have_the_same_arguments():
    for name in ("attest", "verify_attestation", "attest_blob", "verify_blob_attestation"):
        assert inspect.signature(getattr(blocking, name)).parameters.keys() == (
            inspect.signature(getattr(sealgate, name)).parameters.keys()
        )
