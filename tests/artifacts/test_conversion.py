"""Older bundles and answers of logs, with anything in any place: a bundle that means the same, or one of our errors (E12, L22)."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.recorded import RECORDED
from sealgate.artifacts import conversion
from sealgate.errors import BundleInvalidError, SealgateError
from sealgate.evidence import bundle as bundles
from sealgate.evidence.legacy import parse_blob_bundle

OLDER = (RECORDED / "blob-js4-rekor1" / "bundle.json").read_bytes()
LEGACY = (RECORDED / "blob-c25-legacy-bundle" / "bundle.json").read_bytes()
JUNK = st.sampled_from([None, True, -1, 0, 2**70, 1.5, "", "?", "e30=", "AAAA", "\u2028", [], {}, [None], {"a": []}])


def places(value, path=()):
    if path:
        yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, name))


def spoilt(document, data):
    """The document with one part of it replaced or taken out."""
    found = copy.deepcopy(document)
    *way, last = data.draw(st.sampled_from(list(places(document))))
    place = found
    for step in way:
        place = place[step]
    if data.draw(st.booleans()):
        place[last] = data.draw(JUNK)
    else:
        del place[last]
    return json.dumps(found).encode()


def upgraded(raw):
    found = bundles.parse(raw)
    return conversion.upgrade(raw, found, found.log_entries)


def test_an_older_bundle_means_the_same_afterwards():
    made, left_out = upgraded(OLDER)
    assert left_out == ()
    before, after = bundles.parse(OLDER), bundles.parse(made)
    assert (after.version, after.content, after.log_entries) == ("0.3", before.content, before.log_entries)


@given(st.data())
def test_E12_a_spoilt_older_bundle_means_the_same_or_is_refused(data):
    raw = spoilt(json.loads(OLDER), data)
    try:
        made, _ = upgraded(raw)
    except SealgateError:
        return
    before, after = bundles.parse(raw), bundles.parse(made)
    assert (before.content, before.log_entries, before.timestamps) == (
        after.content,
        after.log_entries,
        after.timestamps,
    )


@given(st.data())
def test_E12_a_spoilt_bundle_of_old_gives_parts_or_is_refused(data):
    raw = spoilt(json.loads(LEGACY), data)
    try:
        parts = conversion.of_blob_bundle(parse_blob_bundle(raw), key=None)
    except SealgateError:
        return
    with pytest.raises(SealgateError):  # of an entry there is a promise and no proof, or no entry and so no digest
        conversion.assemble(parts)


@given(st.data())
def test_E12_a_certificate_that_cannot_be_read_is_refused(data):
    (found,) = bundles.parse((RECORDED / "blob-c31-email" / "bundle.json").read_bytes()).certificates
    assert conversion.key_of(found)
    raw = bytearray(found)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        conversion.key_of(bytes(raw))
    except SealgateError as error:
        assert error.code


@pytest.fixture(scope="module")
def asked():
    """An entry without a proof, and what its log answers."""
    from trust_service.service import TrustService

    service = TrustService()
    made = service.make_bundle(rekor=1, tsa=False)
    (entry,) = json.loads(made.json)["verificationMaterial"]["tlogEntries"]
    log = service.log1()
    answer = log.entry(log.uuid_at(int(entry["logIndex"])), service.hooks)
    return {name: value for name, value in entry.items() if name != "inclusionProof"}, answer


def test_the_answer_of_the_log_becomes_the_proof(asked):
    entry, answer = asked
    assert conversion.has_proof(conversion.with_proof(entry, json.dumps(answer).encode()))


@given(st.data())
def test_L22_a_spoilt_answer_gives_a_proof_of_this_entry_or_is_refused(asked, data):
    entry, answer = asked
    try:
        made = conversion.with_proof(entry, spoilt(answer, data))
    except SealgateError:
        return
    assert {name: value for name, value in made.items() if name != "inclusionProof"} == entry
    assert conversion.has_proof(made)


@pytest.mark.parametrize("name", ["logId", "canonicalizedBody", "integratedTime", "logIndex"])
def test_an_entry_that_lacks_what_is_compared_gets_no_proof(asked, name):
    entry, answer = asked
    raw = json.dumps(answer).encode()
    assert conversion.with_proof(entry, raw)
    with pytest.raises(BundleInvalidError):
        conversion.with_proof({key: value for key, value in entry.items() if key != name}, raw)
