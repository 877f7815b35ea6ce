"""Base64: one text for each byte string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import EnvelopeInvalidError
from sealgate.evidence import base64


def decode(text, *, url_safe=False):
    return base64.decode(text, what="it", error=EnvelopeInvalidError, url_safe=url_safe)


@given(st.binary(max_size=80))
def test_what_is_encoded_decodes(data):
    assert decode(base64.encode(data)) == data
    assert decode(base64.encode(data).translate(str.maketrans("+/", "-_")), url_safe=True) == data


@pytest.mark.parametrize(
    "text", ["YQ=", "YQ", "Y Q==", "YQ==\n", "YQ==YQ==", "YR==", "YWJ=", "Y@Q=", "=", "YQ===", "é", None, 5, []]
)
def test_W16_lax_base64_is_refused(text):
    assert decode("YQ==") == b"a"
    with pytest.raises(EnvelopeInvalidError) as caught:
        decode(text)
    assert caught.value.code == "envelope-invalid"
    assert "it is not base64" in caught.value.message


def test_E13_one_text_has_one_alphabet():
    assert decode("-_-_", url_safe=True) == decode("+/+/") == b"\xfb\xff\xbf"
    for text, url_safe in [("-/-/", True), ("+_+_", True), ("-_-_", False)]:
        with pytest.raises(EnvelopeInvalidError):
            decode(text, url_safe=url_safe)


@given(st.text(max_size=12))
def test_no_two_texts_are_one_byte_string(text):
    try:
        data = decode(text)
    except EnvelopeInvalidError:
        return
    assert base64.encode(data) == text
