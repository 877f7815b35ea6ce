"""Statements made from predicates: what was given stands in them byte for byte, or is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealgate import errors
from sealgate.evidence import attestation, predicates, statement
from sealgate.evidence.statement import Subject

SUBJECT = Subject("registry.test/app", (("sha256", "a" * 64),), {})
MOMENT = "2026-01-02T03:04:05Z"


def claim(kind, content, **options):
    return attestation.claim_of(kind, content, moment=MOMENT, what="the file", **options)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), _JSON, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans(),
       st.sampled_from([b"", b"\n", b" \r\n\t"]))  # fmt: skip
def test_the_predicate_stands_in_the_statement_as_it_was_given(value, indent, escaped, space):
    raw = json.dumps(value, indent=indent, ensure_ascii=escaped).encode()
    payload = attestation.encode(claim("https://example.com/t", space + raw + space), [SUBJECT])
    assert payload.endswith(b',"predicate":' + raw + b"}")
    found = statement.parse(payload)
    assert found.predicate == value
    assert found.type == statement.STATEMENT_V1
    assert found.subjects == (SUBJECT,)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"a":1,"a":2}', errors.JsonAmbiguousError),
        (b'{"a":1,"A":2}', errors.JsonAmbiguousError),
        (b'{"a":NaN}', errors.JsonAmbiguousError),
        (b'{"a":"\\ud800"}', errors.JsonAmbiguousError),
        (b'\xef\xbb\xbf{"a":1}', errors.JsonInvalidError),
        (b'{"a":"\xff"}', errors.JsonInvalidError),
        (b'{"a":1}{"b":2}', errors.JsonInvalidError),
        (b'{"a":1},"predicate":{}', errors.JsonInvalidError),
        (b"[1]", errors.JsonInvalidError),
        (b'"text"', errors.JsonInvalidError),
        (b"null", errors.JsonInvalidError),
        (b"", errors.JsonInvalidError),
        (b"not json", errors.JsonInvalidError),
        (b"[" * 80 + b"]" * 80, errors.LimitError),
        (b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", None),
        (b'{"a":1}', None),
    ],
)
@pytest.mark.parametrize("kind", ["cyclonedx", "slsaprovenance1", "https://example.com/t"])
def test_what_could_be_read_in_two_ways_is_not_signed(kind, raw, error):
    if error is None:
        assert claim(kind, raw).predicate == raw
        return
    with pytest.raises(error) as caught:
        claim(kind, raw)
    assert "the file" in caught.value.message


def test_a_predicate_that_is_deep_enough_already_makes_no_statement():
    with pytest.raises(errors.LimitError):
        attestation.encode(claim("cyclonedx", b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"), [SUBJECT])


def test_custom_wraps_any_text_as_cosign_does():
    made = claim("custom", '{"a":"é<"}\n'.encode())
    assert json.loads(made.predicate) == {"Data": '{"a":"é<"}\n', "Timestamp": MOMENT}
    assert made.predicate_type == predicates.CUSTOM
    assert json.loads(claim("custom", b"").predicate)["Data"] == ""
    with pytest.raises(errors.ContentError) as caught:
        claim("custom", b"\xff\xfe")
    assert caught.value.code == "content-invalid"
    # the type by its URI is no wrapping: what is given is the predicate
    assert claim(predicates.CUSTOM, b'{"Data":"x"}').predicate == b'{"Data":"x"}'


def test_spdx_is_text_and_json_is_spdxjson():
    made = claim("spdx", b"SPDXVersion: SPDX-2.3\n")
    assert json.loads(made.predicate) == "SPDXVersion: SPDX-2.3\n"
    assert made.predicate_type == predicates.SPDX == claim("spdxjson", b'{"spdxVersion":"SPDX-2.3"}').predicate_type
    with pytest.raises(errors.UsageError) as caught:
        claim("spdx", b' {"spdxVersion":"SPDX-2.3"}')
    assert caught.value.hint == "--type spdxjson"


@pytest.mark.parametrize("kind", ["nonsense", "", "https", "a b:c", "spdx:", predicates.IMAGE_SIGNATURE])
def test_W06_types_that_are_none_or_an_image_signatures_are_not_attested(kind):
    with pytest.raises(errors.UsageError) as caught:
        claim(kind, b"{}")
    assert caught.value.code == "usage"


def test_W06_a_statement_that_signs_an_image_is_not_attested():
    image = attestation.encode(claim("https://example.com/t", b"{}"), [SUBJECT])
    assert attestation.given(image, what="the file").predicate_type == "https://example.com/t"
    with pytest.raises(errors.UsageError):
        attestation.given(image.replace(b"https://example.com/t", predicates.IMAGE_SIGNATURE.encode()), what="the file")
    with pytest.raises(errors.StatementInvalidError) as caught:
        attestation.given(b'{"_type":"x"}', what="the file")
    assert caught.value.message.startswith("the file: ")


def test_sizes_and_counts_are_bounded():
    with pytest.raises(errors.LimitError):
        claim("cyclonedx", b'{"a":"' + b"x" * 100 + b'"}', limit=50)
    assert claim("cyclonedx", b'{"a":1}', limit=7).predicate == b'{"a":1}'
    with pytest.raises(errors.LimitError):
        attestation.encode(claim("cyclonedx", b"{}"), [SUBJECT] * 1025)
    assert attestation.encode(claim("cyclonedx", b"{}"), [SUBJECT] * 1024)
    with pytest.raises(errors.StatementInvalidError):
        attestation.encode(claim("cyclonedx", b"{}"), [])


def test_names_and_annotations_stand_in_the_subject():
    both = [
        Subject("é", (("sha256", "b" * 64), ("sha512", "c" * 128)), {"env": "prod"}),
        Subject(None, SUBJECT.digests, {}),
    ]
    found = statement.parse(attestation.encode(claim("cyclonedx", b"{}"), both))
    assert found.subjects == tuple(both)
