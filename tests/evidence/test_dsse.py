"""DSSE: the bytes that are signed, and envelopes of both cosigns."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import EnvelopeInvalidError, JsonAmbiguousError, LimitError, SealgateError
from sealgate.evidence import dsse
from sealgate.evidence.dsse import Envelope, EnvelopeSignature

RECORDED = sorted((Path(__file__).parent / "recorded" / "envelopes").iterdir())
GOOD = {"payload": "e30=", "payloadType": dsse.IN_TOTO, "signatures": [{"sig": "YQ=="}]}


def raw(**changes):
    document = GOOD | changes
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_envelopes_parse_and_are_written_byte_for_byte(path):
    text = path.read_bytes().rstrip(b"\n")
    envelope = dsse.parse(text)
    dsse.require_in_toto(envelope)
    assert len(envelope.signatures) == 1
    # cosign 2.5.0 and the command `download` write a keyid and another order.
    encode = dsse.encode_with_keyid if b'"keyid"' in text else dsse.encode
    assert encode(envelope) == text


def test_pae_of_the_specification():
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "


@given(st.text(st.characters(max_codepoint=127)), st.binary(), st.text(st.characters(max_codepoint=127)), st.binary())
def test_E01_pae_is_injective(first_type, first, second_type, second):
    same = (first_type, first) == (second_type, second)
    assert (dsse.pae(first_type, first) == dsse.pae(second_type, second)) is same


@given(st.text(st.characters(max_codepoint=127)), st.binary())
def test_E01_pae_can_be_read_back(payload_type, payload):
    head, length, rest = dsse.pae(payload_type, payload).split(b" ", 2)
    assert head == b"DSSEv1"
    assert rest[: int(length)] == payload_type.encode()
    second, body = rest[int(length) + 1 :].split(b" ", 1)
    assert int(second) == len(body)
    assert body == payload


@pytest.mark.parametrize(
    "payload_type", ["".join(chr(ord(char) + 0x100) for char in "text/plain"), "text/plain\u0301", "é", "\udc80"]
)
def test_E01_a_payload_type_that_is_not_ascii_is_refused(payload_type):
    dsse.parse(raw(payloadType="text/plain"))
    for attempt in (
        lambda: dsse.pae(payload_type, b""),
        lambda: dsse.from_document(GOOD | {"payloadType": payload_type}),
    ):
        with pytest.raises(EnvelopeInvalidError) as caught:
            attempt()
        assert caught.value.code == "envelope-invalid"


@pytest.mark.parametrize(
    "payload_type", ["text/plain", dsse.IN_TOTO + " ", dsse.IN_TOTO.upper(), "application/vnd.in-toto"]
)
def test_E02_another_payload_type_is_not_in_toto(payload_type):
    dsse.require_in_toto(dsse.parse(raw()))
    with pytest.raises(EnvelopeInvalidError):
        dsse.require_in_toto(dsse.parse(raw(payloadType=payload_type)))


def test_E03_E20_any_number_of_signatures_and_empty_ones_can_be_represented():
    assert dsse.parse(raw(signatures=[])).signatures == ()
    assert dsse.parse(raw(signatures=...)).signatures == ()
    two = [{"sig": ""}, {"sig": "YQ==", "keyid": "k"}]
    assert dsse.parse(raw(signatures=two)).signatures == (EnvelopeSignature(b""), EnvelopeSignature(b"a", "k"))


def test_unknown_fields_are_tolerated_in_bare_envelopes_only():
    more = GOOD | {"extra": 1, "signatures": [{"sig": "YQ==", "cert": "x"}]}
    assert dsse.parse(json.dumps(more).encode()) == dsse.parse(raw())
    for document in (GOOD | {"extra": 1}, GOOD | {"signatures": more["signatures"]}):
        with pytest.raises(EnvelopeInvalidError):
            dsse.from_document(document, known_fields_only=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": ...},
        {"payload": None},
        {"payload": {}},
        {"payload": "e30"},
        {"payload": "e31="},
        {"payload": "e30=\n"},
        {"payloadType": ...},
        {"payloadType": ""},
        {"payloadType": 5},
        {"signatures": None},
        {"signatures": {}},
        {"signatures": [None]},
        {"signatures": ["YQ=="]},
        {"signatures": [{}]},
        {"signatures": [{"sig": None}]},
        {"signatures": [{"sig": "YQ"}]},
        {"signatures": [{"sig": "YR=="}]},
        {"signatures": [{"sig": "YQ==", "keyid": 1}]},
        {"signatures": [{"sig": "YQ==", "keyid": None}]},
    ],
    ids=str,
)
def test_E12_W16_malformed_envelopes_are_refused(changes):
    dsse.parse(raw())
    with pytest.raises(EnvelopeInvalidError) as caught:
        dsse.parse(raw(**changes))
    assert caught.value.code == "envelope-invalid"


def test_both_alphabets_of_base64_are_allowed_by_the_specification():
    assert dsse.parse(raw(payload="-_8=")) == dsse.parse(raw(payload="+/8="))


def test_M03_duplicate_fields_are_refused():
    with pytest.raises(JsonAmbiguousError):
        dsse.parse(raw().replace(b'"payload":', b'"payload": "", "payload":'))


def test_signatures_are_bounded():
    dsse.parse(raw(signatures=[{"sig": "YQ=="}] * limits.ENVELOPE_SIGNATURES))
    with pytest.raises(LimitError):
        dsse.parse(raw(signatures=[{"sig": "YQ=="}] * (limits.ENVELOPE_SIGNATURES + 1)))


SIGNATURES = st.builds(EnvelopeSignature, st.binary(), st.text(st.characters(codec="utf-8")))
ENVELOPES = st.builds(
    Envelope,
    st.text(st.characters(max_codepoint=127), min_size=1),
    st.binary(),
    st.lists(SIGNATURES, max_size=3).map(tuple),
)


@given(ENVELOPES)
def test_what_is_written_is_read_again(envelope):
    assert dsse.parse(dsse.encode(envelope)) == envelope
    assert dsse.parse(dsse.encode_with_keyid(envelope)) == envelope


@given(st.binary(max_size=60))
def test_bytes_give_only_our_errors(data):
    with pytest.raises(SealgateError):
        dsse.parse(data)


def test_base64_of_the_payload_is_standard():
    assert base64.b64decode(json.loads(dsse.encode(dsse.parse(raw())))["payload"]) == b"{}"
