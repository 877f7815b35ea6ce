"""in-toto Statements: which subjects count, and cosign's bytes of an image signature."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import JsonAmbiguousError, LimitError, SealgateError, StatementInvalidError, UsageError
from sealgate.evidence import bundle, dsse, predicates, statement

RECORDED = Path(__file__).parent / "recorded"
IMAGE = Digest("sha256", "3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef")
OTHER = Digest("sha256", "77" * 32)
GOOD = {
    "_type": statement.STATEMENT_V1,
    "subject": [{"digest": {"sha256": IMAGE.hex}}],
    "predicateType": predicates.IMAGE_SIGNATURE,
    "predicate": {},
}


def raw(**changes):
    document = GOOD | changes
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def recorded():
    for path in sorted((RECORDED / "statements").iterdir()):
        yield pytest.param(path.read_bytes(), id=path.stem)
    for path in sorted((RECORDED / "envelopes").iterdir()):
        yield pytest.param(dsse.parse(path.read_bytes()).payload, id=path.stem)
    for path in sorted((RECORDED / "bundles").iterdir()):
        content = bundle.parse(path.read_bytes()).content
        if isinstance(content, dsse.Envelope):
            yield pytest.param(content.payload, id=path.stem)


@pytest.mark.parametrize("payload", list(recorded()))
def test_recorded_statements_parse(payload):
    found = statement.parse(payload)
    assert found.raw == payload
    for subject in found.subjects:
        for algorithm, value in subject.digests:
            assert statement.matches(found, Digest(algorithm, value))
    assert not statement.matches(found, OTHER)


@pytest.mark.parametrize(
    ("name", "annotations"),
    [("sign-bundle-v3-basic", {}), ("sign-bundle-annot", {"env": "prod", "build.id": "42"})],
)
def test_an_image_signature_is_written_as_cosign_does(name, annotations):
    content = bundle.parse((RECORDED / "bundles" / f"{name}.json").read_bytes()).content
    assert statement.encode_image_signature(IMAGE, annotations) == content.payload
    found = statement.parse(content.payload)
    assert found.predicate_type == predicates.IMAGE_SIGNATURE
    assert found.subjects[0].annotations == annotations
    assert statement.subjects_of(found, IMAGE) == found.subjects
    assert statement.subjects_of(found, OTHER) == ()


def test_annotations_of_an_image_signature_are_not_escaped_for_html():
    # `cosign sign -a 'x=a<b>&é'` uploaded a bundle of 675 bytes, all of whose other parts have fixed sizes.
    payload = statement.encode_image_signature(IMAGE, {"x": "a<b>&é"})
    assert '"annotations":{"x":"a<b>&é"}'.encode() in payload
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, (dsse.EnvelopeSignature(bytes(71)),))
    assert len(bundle.encode_dsse(envelope, hint="uTbSPpdThkWkznoyRRJwlo0hT8vlc9UtvWSUsIEEfNI=")) == 675
    assert statement.encode_image_signature(IMAGE, {"x": "\u2028"}).count("\u2028".encode()) == 1


def test_a_name_can_be_added_to_an_image_signature():
    found = statement.parse(statement.encode_image_signature(IMAGE, {}, name="registry.example.com/app"))
    assert found.subjects[0].name == "registry.example.com/app"
    assert statement.matches(found, IMAGE)


def test_only_sha256_and_utf8_are_signed():
    with pytest.raises(StatementInvalidError):
        statement.encode_image_signature(Digest("sha512", "3e" * 64), {})
    with pytest.raises(UsageError):
        statement.encode_image_signature(IMAGE, {"a": "\udc80"})


def test_what_cosign_tolerates_and_unknown_fields_are_tolerated():
    document = GOOD | {
        "_type": statement.STATEMENT_V0_1,
        "subject": [
            {"name": "other", "digest": {"sha256": OTHER.hex, "gitCommit": "abc", "sha512": "ab" * 64}, "uri": "x"},
            {"name": "app", "digest": {"sha256": IMAGE.hex}, "annotations": None, "more": 1},
        ],
        "extra": True,
    }
    del document["predicate"]
    found = statement.parse(json.dumps(document, indent=2).encode())
    assert found.predicate is None
    assert [subject.name for subject in found.subjects] == ["other", "app"]
    assert statement.matches(found, IMAGE)
    assert statement.matches(found, OTHER)
    assert [subject.name for subject in statement.subjects_of(found, IMAGE)] == ["app"]
    assert statement.parse(raw(predicate="SPDXVersion: 2.3")).predicate == "SPDXVersion: 2.3"


SUBJECTS = {
    "null": [None],
    "null beside a good one": [GOOD["subject"][0], None],
    "no digest": [{"name": "app"}],
    "null digest": [{"digest": None}],
    "empty digest": [{"digest": {}}],
    "empty digest beside a good one": [GOOD["subject"][0], {"digest": {}}],
    "digest is text": [{"digest": str(IMAGE)}],
    "value is null": [{"digest": {"sha256": None}}],
    "value is a list": [{"digest": {"sha256": [IMAGE.hex]}}],
    "value is empty": [{"digest": {"sha256": ""}}],
    "sha256 under the label sha512": [{"digest": {"sha512": IMAGE.hex}}],
    "sha512 under the label sha256": [{"digest": {"sha256": "3e" * 64}}],
    "upper case": [{"digest": {"sha256": IMAGE.hex.upper()}}],
    "prefixed": [{"digest": {"sha256": str(IMAGE)}}],
    "trailing newline": [{"digest": {"sha256": IMAGE.hex + "\n"}}],
    "name is a number": [{"name": 5, "digest": {"sha256": IMAGE.hex}}],
    "annotations are a list": [{"digest": {"sha256": IMAGE.hex}, "annotations": []}],
    "text": ["sha256:" + IMAGE.hex],
    "empty": [],
    "an object": {"digest": {"sha256": IMAGE.hex}},
    "absent": ...,
    "null list": None,
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_E11_subjects_without_a_real_digest_are_refused(subject):
    assert statement.matches(statement.parse(raw()), IMAGE)
    with pytest.raises(StatementInvalidError) as caught:
        statement.parse(raw(subject=subject))
    assert caught.value.code == "statement-invalid"


@pytest.mark.parametrize("label", ["SHA256", "sha-256", "sha3_256", "sha512_256", "blake2b", "dirHash"])
def test_E11_a_value_under_another_label_does_not_match(label):
    found = statement.parse(raw(subject=[{"digest": {label: IMAGE.hex}}]))
    assert not statement.matches(found, IMAGE)


@pytest.mark.parametrize("payload", [b"", b"hello", b'"not json"', b"[]", b"null", b"5", b"\xef\xbb\xbf{}", b"{}"])
def test_E05_what_is_not_a_statement_is_refused(payload):
    statement.parse(raw())
    with pytest.raises(StatementInvalidError) as caught:
        statement.parse(payload)
    assert caught.value.code == "statement-invalid"


@pytest.mark.parametrize("predicate_type", [..., None, 5, "", [], {}, True])
def test_E05_a_predicate_type_is_a_string(predicate_type):
    statement.parse(raw())
    with pytest.raises(StatementInvalidError):
        statement.parse(raw(predicateType=predicate_type))


@pytest.mark.parametrize("kind", [..., None, "", 5, "https://in-toto.io/Statement/v2", "https://in-toto.io/Link/v1"])
def test_other_documents_are_not_statements(kind):
    statement.parse(raw(_type=statement.STATEMENT_V0_1))
    with pytest.raises(StatementInvalidError):
        statement.parse(raw(_type=kind))


def test_E21_M03_a_statement_that_means_two_things_is_refused():
    for old, new in [
        (b'"sha256":', b'"sha256": "00", "sha256":'),
        (b'"sha256":', b'"SHA256": "00", "sha256":'),
        (b'"subject":', b'"Subject": [], "subject":'),
    ]:
        with pytest.raises(JsonAmbiguousError) as caught:
            statement.parse(raw().replace(old, new))
        assert caught.value.code == "json-ambiguous"


def test_W09_subjects_and_digests_are_bounded():
    subjects = [{"digest": {"sha256": f"{number:064x}"}} for number in range(limits.STATEMENT_SUBJECTS)]
    subjects[-1] = GOOD["subject"][0]
    assert statement.matches(statement.parse(raw(subject=subjects)), IMAGE)
    with pytest.raises(LimitError) as caught:
        statement.parse(raw(subject=[*subjects, subjects[0]]))
    assert caught.value.code == "limit-exceeded"
    digests = {f"algorithm{number}": "00" for number in range(limits.SUBJECT_DIGESTS)}
    statement.parse(raw(subject=[{"digest": digests}]))
    with pytest.raises(LimitError):
        statement.parse(raw(subject=[{"digest": digests | {"one-more": "00"}}]))


TEXT = st.text(st.characters(codec="utf-8"))


@given(st.binary(min_size=32, max_size=32), st.dictionaries(TEXT, TEXT, max_size=4), st.none() | TEXT)
def test_what_is_written_is_read_again(value, annotations, name):
    digest = Digest("sha256", value.hex())
    try:
        found = statement.parse(statement.encode_image_signature(digest, annotations, name=name))
    except JsonAmbiguousError:  # keys that differ in case only
        return
    assert statement.matches(found, digest)
    assert found.subjects == (statement.Subject(name, (("sha256", digest.hex),), annotations),)


@given(st.binary(max_size=60))
def test_bytes_give_only_our_errors(data):
    with pytest.raises(SealgateError):
        statement.parse(data)
