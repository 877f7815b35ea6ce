"""Explaining a bundle: whatever stands in one, it is told or said to be unreadable, and never a crash (E12)."""

import base64
import copy
import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.recorded import RECORDED
from sealgate.artifacts.explanation import explain
from sealgate.cli import told as command
from sealgate.errors import SealgateError
from sealgate.evidence import bundle as bundles

CASES = ["att-c31-slsa-github", "blob-js4-email", "blob-c31-rekor1-tsa", "blob-c25-legacy-bundle", "att-c31-key-rekor2"]
RAW = {case: (RECORDED / case / "bundle.json").read_bytes() for case in CASES}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def told_or_refused(raw):
    try:
        told = explain(raw)
    except SealgateError as error:
        return error.code
    text = json.dumps(told)  # everything in it is plain values
    for line in command.lines(told):
        assert "\n" not in line
        assert not {char for char in line if unicodedata.category(char) in {"Cc", "Cf"}}
    return text


def places(value, path=()):
    """The way to everything in a document."""
    yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, name))


def changed(document, path, change):
    found = copy.deepcopy(document)
    place = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change(place[path[-1]])
    return json.dumps(found).encode()


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_bundle_is_told(case):
    told = told_or_refused(RAW[case])
    assert "cannot be read" not in told
    assert len(told) > 300


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
def test_E12_anything_in_any_place_is_told_or_refused(case, data):
    document = json.loads(RAW[case])
    path = data.draw(st.sampled_from([path for path in places(document) if path]))
    junk = data.draw(JUNK)
    told_or_refused(changed(document, path, lambda _: junk))


@pytest.mark.parametrize("case", CASES)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_E12_broken_bytes_in_certificates_timestamps_and_envelopes_are_told_or_refused(case, data):
    document = json.loads(RAW[case])
    texts = [
        path
        for path in places(document)
        if path and isinstance(_at(document, path), str) and _bytes(_at(document, path))
    ]
    path = data.draw(st.sampled_from(texts))
    raw = bytearray(_bytes(_at(document, path)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "grow"]))
        if how == "set":
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del raw[at + 1 :]
        else:
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=4))
    told_or_refused(changed(document, path, lambda _: base64.b64encode(bytes(raw)).decode()))


@given(st.binary(max_size=200))
def test_E12_any_bytes_are_told_or_refused(raw):
    told_or_refused(raw)


@given(st.binary(max_size=200))
def test_E12_any_bytes_for_a_certificate_or_a_timestamp_are_told(der):
    document = json.loads(RAW["att-c31-slsa-github"])
    material = document["verificationMaterial"]
    material["certificate"]["rawBytes"] = base64.b64encode(der or b"0").decode()
    material["timestampVerificationData"]["rfc3161Timestamps"] = [{"signedTimestamp": base64.b64encode(der).decode()}]
    told = explain(json.dumps(document).encode())
    assert told["signer"]["certificates"]
    assert told["timestamps"]


def test_a_certificate_that_cannot_be_read_hides_nothing_else():
    document = json.loads(RAW["att-c31-slsa-github"])
    document["verificationMaterial"]["certificate"]["rawBytes"] = "MAA="
    told = explain(json.dumps(document).encode())
    assert "cannot be read" in told["signer"]["certificates"][0]
    assert told["content"]["statement"]["predicate type"] == "https://slsa.dev/provenance/v1"
    assert len(told["log entries"]) == len(told["timestamps"]) == 1


def test_an_extension_that_cannot_be_read_hides_nothing_else_of_the_certificate():
    document = json.loads(RAW["att-c31-slsa-github"])
    raw = document["verificationMaterial"]["certificate"]
    der = base64.b64decode(raw["rawBytes"])
    key_usage, extended = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d25")
    assert key_usage in der
    raw["rawBytes"] = base64.b64encode(der.replace(key_usage, extended)).decode()  # one extension twice
    (told,) = explain(json.dumps(document).encode())["signer"]["certificates"]
    assert "cannot be read" in told["Fulcio"]
    assert told["issued by"] == "CN=box-intermediate,O=box"
    assert told["valid"].startswith("2026-11-22T13:27:59Z")


def test_a_statement_that_cannot_be_read_is_said_with_its_code():
    document = json.loads(RAW["att-c31-slsa-github"])
    document["dsseEnvelope"]["payload"] = base64.b64encode(b'{"_type":1,"_type":2}').decode()
    told = explain(json.dumps(document).encode())
    assert "[json-ambiguous]" in told["content"]["statement"]["cannot be read"]


def test_every_certificate_of_an_older_bundle_is_told():
    document = json.loads(RAW["blob-c25-legacy-bundle"])
    pem = base64.b64decode(document["cert"])
    document["cert"] = base64.b64encode(pem * 3).decode()
    assert len(explain(json.dumps(document).encode())["signer"]["certificates"]) == 3


def test_the_members_are_those_of_the_reader():
    """Nothing that the reader finds is left out."""
    found = bundles.parse(RAW["blob-c31-rekor1-tsa"])
    told = explain(RAW["blob-c31-rekor1-tsa"])
    assert len(told["signer"]["certificates"]) == len(found.certificates)
    assert len(told["log entries"]) == len(found.log_entries)
    assert len(told["timestamps"]) == len(found.timestamps)


def _at(document, path):
    for step in path:
        document = document[step]
    return document


def _bytes(text):
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
