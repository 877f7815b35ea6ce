"""What cosign keeps of a Rekor v1 entry in annotations and legacy bundles: a promise, and what it covers."""

import pytest

from sealgate.trust import entries
from trust.altered import KINDS, refusal
from trust.recordings import of_made, root_of


def promise_of(service, **options):
    made = service.make_bundle(rekor=1, **options)
    return of_made(made), service.log1().promise(made.rows[0])


@KINDS
def test_a_legacy_promise_is_about_a_file_or_an_envelope(trust_service, kind):
    root = root_of(trust_service.trusted_root())
    case, promise = promise_of(trust_service, kind=kind)
    proof = entries.verify_promise(promise, case.signed, root)
    assert (proof.index, proof.promised) == (promise["Payload"]["logIndex"], promise["Payload"]["integratedTime"])


@KINDS
def test_L01_a_legacy_promise_about_another_signature(trust_service, kind):
    root = root_of(trust_service.trusted_root())
    case, promise = promise_of(trust_service, kind=kind)
    for other in (promise_of(trust_service, kind=kind), promise_of(trust_service, artifact=b"another")):
        code = refusal(lambda other=other: entries.verify_promise(promise, other[0].signed, root))
        assert code == "log-entry-not-bound"
    assert entries.verify_promise(promise, case.signed, root)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda payload: {"integratedTime": payload["integratedTime"] + 1}, "log-promise-invalid"),
        (lambda payload: {"integratedTime": 0}, "log-promise-invalid"),
        (lambda payload: {"integratedTime": str(payload["integratedTime"])}, "log-entry-malformed"),
        (lambda payload: {"integratedTime": float(payload["integratedTime"])}, "log-entry-malformed"),
        (lambda payload: {"integratedTime": -1}, "log-entry-malformed"),
        (lambda payload: {"integratedTime": True}, "log-entry-malformed"),
        (lambda payload: {"logIndex": payload["logIndex"] + 1}, "log-promise-invalid"),
        (lambda payload: {"logIndex": str(payload["logIndex"])}, "log-entry-malformed"),
        (lambda payload: {"logID": payload["logID"].upper()}, "log-entry-malformed"),
        (lambda payload: {"logID": payload["logID"] + "  "}, "log-entry-malformed"),
        (lambda payload: {"logID": "ab" * 32}, "log-entry-untrusted"),
        (lambda payload: {"logID": ""}, "log-entry-malformed"),
        (lambda payload: {"logID": "xyz"}, "log-entry-malformed"),
        (lambda payload: {"logID": 7}, "log-entry-malformed"),
        (lambda payload: {"body": ""}, "log-entry-malformed"),
        (lambda payload: {"body": None}, "log-entry-malformed"),
        (lambda payload: {"body": {}}, "log-entry-malformed"),
        (lambda payload: {"body": payload["body"] + "\n"}, "log-entry-malformed"),
        (lambda payload: {"more": 1}, "log-entry-malformed"),
    ],
)
def test_L03_a_legacy_promise_that_is_wrong_anywhere_is_refused(trust_service, change, code):
    root = root_of(trust_service.trusted_root())
    case, promise = promise_of(trust_service)
    assert entries.verify_promise(promise, case.signed, root)
    promise["Payload"] |= change(promise["Payload"])
    assert refusal(lambda: entries.verify_promise(promise, case.signed, root)) == code


@pytest.mark.parametrize(
    ("promise", "code"),
    [
        ({}, "log-entry-malformed"),
        ({"Payload": None}, "log-entry-malformed"),
        ({"SignedEntryTimestamp": None}, "log-entry-malformed"),
        ({"SignedEntryTimestamp": ""}, "log-promise-invalid"),
        ({"SignedEntryTimestamp": "AAAA"}, "log-promise-invalid"),
        ({"SignedEntryTimestamp": "AAA"}, "log-entry-malformed"),
        ({"SignedEntryTimestamp": 7}, "log-entry-malformed"),
        ({"signedEntryTimestamp": "AAAA"}, "log-entry-malformed"),
    ],
)
def test_L03_what_is_no_legacy_promise_is_refused(trust_service, promise, code):
    root = root_of(trust_service.trusted_root())
    case, good = promise_of(trust_service)
    assert entries.verify_promise(good, case.signed, root)
    bad = good | promise if promise else {}
    assert refusal(lambda: entries.verify_promise(bad, case.signed, root)) == code


def test_L20_a_log_of_tiles_promises_nothing(trust_service):
    root = root_of(trust_service.trusted_root())
    case, promise = promise_of(trust_service)
    promise["Payload"]["logID"] = trust_service.log2().log_id.hex()
    assert refusal(lambda: entries.verify_promise(promise, case.signed, root)) == "log-entry-malformed"
