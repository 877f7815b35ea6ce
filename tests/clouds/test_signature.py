"""Signature Version 4, against the test suite that AWS publishes (aws-sig-v4-test-suite)."""

from __future__ import annotations

import pytest

from sealgate.oci.exchange.signature import Keys, sign
from sealgate.transport.message import Url

KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
MOMENT = 1440938160.0
"""2015-08-30T12:36:00Z"""
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
SUITE = {
    # name: method, target, headers, body, signed headers, signature
    "get-vanilla": ("GET", "/", (), b"", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "post-vanilla": ("POST", "/", (), b"", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "get-vanilla-query-order-key-case": (
        "GET", "/?Param2=value2&Param1=value1", (), b"", "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-header-key-duplicate": (
        "GET", "/", (("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")), b"",
        "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-multiline": (
        "GET", "/", (("My-Header1", "value1"), ("My-Header1", "value2"), ("My-Header1", "value3")), b"",
        "host;my-header1;x-amz-date", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
    ),
    "post-x-www-form-urlencoded": (
        "POST", "/", FORM, b"Param1=value1", "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUITE)
def test_the_published_suite_of_aws(name):
    method, target, headers, body, signed, signature = SUITE[name]
    url = Url("https", "example.amazonaws.com", 443, target)
    found = sign(method, url, headers, body, keys=KEYS, region="us-east-1", service="service", now=MOMENT)
    assert found[: len(headers)] == headers
    assert dict(found)["X-Amz-Date"] == "20150830T123600Z"
    assert dict(found)["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed}, Signature={signature}"
    )


def test_a_session_token_is_signed_and_a_key_is_never_shown():
    keys = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session")
    url = Url("https", "example.amazonaws.com", 443, "/")
    found = dict(sign("GET", url, (), b"", keys=keys, region="us-east-1", service="service", now=MOMENT))
    assert found["X-Amz-Security-Token"] == "a-session"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in found["Authorization"]
    assert repr(keys) == str(keys) == "Keys(…)"
    assert not any(keys.secret in value for value in found.values())
