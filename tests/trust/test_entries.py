"""Log entries: those of real clients, and every way in which an entry, a promise or a proof can be wrong."""

import base64
import copy
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealgate import limits
from sealgate.keys.algorithms import PublicKey, parse_spki
from sealgate.trust import entries
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Log, Period
from trust.altered import (
    BOTH,
    BY_NAME,
    RECORDED,
    ROOT,
    b64,
    code_of,
    entry_with,
    proof_with,
    refusal,
    verify,
)
from trust.recordings import PUBLIC, of_bundle, of_made, root_of
from trust_service import notes, rekor2
from trust_service.hooks import Hooks
from trust_service.merkle import Tree

# -- what is real


@pytest.mark.parametrize("case", RECORDED, ids=[case.name for case in RECORDED])
def test_every_recorded_entry_verifies(case):
    for proof in verify(case, ROOT):
        assert proof.log in ROOT.logs
        assert (proof.promised is not None) == ("rekor1" in proof.log.base_url)


@pytest.mark.parametrize("name", ["rekor1-hashedrekord-of-envelope", "rekor2-dsse", "rekor1-intoto"])
def test_entries_of_public_logs_verify(name):
    root = root_of(json.loads((PUBLIC / "trusted_root.json").read_bytes()))
    raw = (PUBLIC / f"{name}.json").read_bytes()
    key = None
    if name == "rekor1-intoto":
        body = json.loads(
            base64.b64decode(json.loads(raw)["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"])
        )
        text = body["spec"]["content"]["envelope"]["signatures"][0]["publicKey"]
        key = PublicKey.from_pem(base64.b64decode(text))
    case = of_bundle(name, raw, b"", key)
    [proof] = verify(case, root)
    expected = {
        "rekor1-hashedrekord-of-envelope": (1_525_557_801, 1_778_701_653),
        "rekor2-dsse": (7131, None),
        "rekor1-intoto": (0, None),
    }
    assert (proof.index, proof.promised) == expected[name]
    other = BY_NAME["att-c31-custom/bundle.json"].signed
    assert refusal(lambda: verify(case, root, other)) == "log-entry-not-bound"


def test_L01_L02_L04_L05_no_recorded_entry_is_about_another_recorded_signature():
    for case in RECORDED:
        for other in RECORDED:
            if other is not case:
                codes = {refusal(lambda one=one, case=case: verify(one, ROOT, case.signed)) for one in _each(other)}
                assert codes == {"log-entry-not-bound"}, (case.name, other.name)


def _each(case):
    yield from (case._replace(entries=(entry,), promises=()) for entry in case.entries)
    yield from (case._replace(entries=(), promises=(promise,)) for promise in case.promises)


@pytest.mark.parametrize(
    "name", ["blob-c31-rekor1/bundle.json", "blob-c31-email/bundle.json", "att-c31-rekor1/bundle.json"]
)
def test_L16_every_altered_byte_of_an_entry_refuses(name):
    case = BY_NAME[name]
    [entry] = case.entries
    assert verify(case, ROOT)
    proof = entry["inclusionProof"]
    texts = [(proof, "rootHash"), *((proof["hashes"], at) for at in range(len(proof["hashes"])))]
    texts.append((entry["logId"], "keyId"))
    texts.append((entry, "canonicalizedBody"))
    if "inclusionPromise" in entry:
        texts.append((entry["inclusionPromise"], "signedEntryTimestamp"))
    for holder, member in texts:
        original = holder[member]
        raw = base64.b64decode(original)
        for at in range(0, len(raw), 1 if len(raw) < 100 else 37):
            holder[member] = b64(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
            assert refusal(lambda: verify(case, ROOT)).startswith("log-")
        holder[member] = original
    assert verify(case, ROOT)


# -- (L03) what is there must be good


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        ({"signed-set": lambda signature: signature[:-1] + bytes([signature[-1] ^ 1])}, "log-promise-invalid"),
        ({"signed-set": lambda _: b""}, "log-promise-invalid"),
        ({"set": lambda payload: payload | {"logIndex": 1}}, "log-promise-invalid"),
        ({"set": lambda payload: payload | {"logID": "ab" * 32}}, "log-promise-invalid"),
        ({"set": lambda payload: payload | {"body": b64(b"{}")}}, "log-promise-invalid"),
        ({"set": lambda payload: payload | {"more": 1}}, "log-promise-invalid"),
        (entry_with(integratedTime="1700000000"), "log-promise-invalid"),
        (entry_with(integratedTime="0"), "log-promise-invalid"),
        (entry_with(integratedTime=None), "log-promise-invalid"),
        (entry_with(logIndex="1"), "log-promise-invalid"),
        (entry_with(logIndex=None), "log-promise-invalid"),
        (entry_with(inclusionPromise={}), "log-promise-invalid"),
        (entry_with(inclusionPromise={"signedEntryTimestamp": ""}), "log-promise-invalid"),
        (entry_with(inclusionPromise={"signedEntryTimestamp": "!"}), "log-entry-malformed"),
        (entry_with(inclusionPromise=[]), "log-entry-malformed"),
        (entry_with(inclusionProof={}), "log-proof-missing"),
        (entry_with(inclusionProof=None, inclusionPromise=None), "log-proof-missing"),
        (entry_with(inclusionProof="proof"), "log-entry-malformed"),
        (entry_with(canonicalizedBody=b64(b"\0\0\0")), "log-entry-malformed"),
        (entry_with(canonicalizedBody=b64(b"[]")), "log-entry-malformed"),
        (entry_with(canonicalizedBody=b64(b"{}")), "log-entry-malformed"),
        (entry_with(canonicalizedBody="AAA"), "log-entry-malformed"),
        (entry_with(canonicalizedBody=None), "log-entry-malformed"),
        (entry_with(canonicalizedBody="A" * (limits.LOG_BODY_BYTES * 2)), "log-entry-malformed"),
        (entry_with(kindVersion=None), "log-entry-malformed"),
        (entry_with(kindVersion={}), "log-entry-malformed"),
        (entry_with(kindVersion={"kind": "dsse", "version": "0.0.1"}), "log-entry-malformed"),
        (entry_with(logId=None), "log-entry-malformed"),
        (entry_with(logId={}), "log-entry-untrusted"),
        (entry_with(unknown="field"), "log-entry-malformed"),
        (entry_with(canonicalized_body="AAAA"), "log-entry-malformed"),
    ],
)
def test_L03_an_entry_of_rekor_v1_that_is_wrong_anywhere_is_refused(trust_service, alter, code):
    assert code_of(trust_service, alter, rekor=1) == code


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (entry_with(inclusionProof=None), "log-proof-missing"),
        (entry_with(inclusionProof={}), "log-proof-invalid"),
        (entry_with(inclusionProof={"logIndex": "1"}), "log-proof-invalid"),
        (entry_with(inclusionPromise={"signedEntryTimestamp": b64(b"a promise")}), "log-entry-malformed"),
        (entry_with(inclusionPromise={}), "log-entry-malformed"),
        (entry_with(integratedTime="1700000000"), "log-entry-malformed"),
        (entry_with(kindVersion={"kind": "hashedrekord", "version": "0.0.1"}), "log-entry-malformed"),
        (entry_with(kindVersion={"kind": "dsse", "version": "0.0.2"}), "log-entry-malformed"),
        (entry_with(canonicalizedBody=b64(b"[]")), "log-entry-malformed"),
        (entry_with(canonicalizedBody=b64(b"{}")), "log-entry-malformed"),
        (entry_with(logIndex="1"), "log-proof-invalid"),
        (entry_with(unknown="field"), "log-entry-malformed"),
    ],
)
def test_L03_an_entry_of_rekor_v2_that_is_wrong_anywhere_is_refused(trust_service, alter, code):
    for _ in range(2):
        trust_service.make_bundle()  # no entry of the test is the first one
    assert code_of(trust_service, alter, rekor=2) == code


@BOTH
@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (proof_with(checkpoint=None), "log-proof-missing"),
        (proof_with(checkpoint={}), "log-proof-missing"),
        (proof_with(checkpoint={"envelope": ""}), "log-proof-missing"),
        (proof_with(checkpoint={"envelope": 7}), "log-entry-malformed"),
        (proof_with(checkpoint={"envelope": "no note"}), "log-checkpoint-invalid"),
        (proof_with(checkpoint="no object"), "log-entry-malformed"),
        (proof_with(hashes=None), "log-proof-invalid"),
        (proof_with(hashes="no list"), "log-proof-invalid"),
        (proof_with(hashes=[b64(b"x" * 32)] * 64), "log-proof-invalid"),
        (proof_with(hashes=[b64(b"x" * 31)]), "log-proof-invalid"),
        (proof_with(hashes=["!"]), "log-entry-malformed"),
        (proof_with(hashes=[7]), "log-entry-malformed"),
        (proof_with(rootHash=b64(b"x" * 32)), "log-proof-invalid"),
        (proof_with(treeSize="1"), "log-proof-invalid"),
        (proof_with(unknown="field"), "log-entry-malformed"),
        ({"proof": lambda proof: proof | {"hashes": proof["hashes"][:-1]}}, "log-proof-invalid"),
        ({"proof": lambda proof: proof | {"hashes": [*proof["hashes"], b"x" * 32]}}, "log-proof-invalid"),
        ({"proof": lambda proof: proof | {"logIndex": 0}}, "log-proof-invalid"),
        ({"proof": lambda proof: proof | {"logIndex": proof["treeSize"]}}, "log-proof-invalid"),
        ({"proof": lambda proof: proof | {"treeSize": proof["treeSize"] + 1}}, "log-proof-invalid"),
        ({"checkpoint": lambda note: note._replace(root=b"x" * 32)}, "log-proof-invalid"),
        ({"checkpoint": lambda note: note._replace(size=note.size + 1)}, "log-proof-invalid"),
        ({"checkpoint": lambda note: note._replace(size=0)}, "log-proof-invalid"),
        ({"checkpoint": lambda note: note._replace(origin="another.test")}, "log-checkpoint-invalid"),
        ({"checkpoint": lambda note: note._replace(name="another.test")}, "log-checkpoint-invalid"),
        ({"checkpoint": lambda note: note._replace(key_id=b"another key")}, "log-checkpoint-invalid"),
        ({"signed-checkpoint": lambda text: text.replace("\n\n", "\n1\n\n")}, "log-checkpoint-invalid"),
    ],
)
def test_L03_L13_L14_a_proof_that_is_wrong_anywhere_is_refused(trust_service, rekor, alter, code):
    assert code_of(trust_service, alter, rekor=rekor) == code


@BOTH
def test_L13_size_and_root_are_those_of_the_checkpoint(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(rekor=rekor, alter=proof_with(rootHash=None, treeSize=None))
    assert verify(of_made(made), root)
    forged = {
        "proof": lambda proof: proof | {"rootHash": b"x" * 32, "treeSize": 1, "hashes": [], "logIndex": 0},
        "checkpoint": lambda note: note._replace(size=1, root=b"x" * 32, key=notes_key()),
    }
    assert code_of(trust_service, forged, rekor=rekor) in {"log-checkpoint-invalid", "log-proof-invalid"}


def notes_key():
    return ec.generate_private_key(ec.SECP256R1())


def test_L03_a_promise_does_not_make_up_for_a_proof_nor_the_other_way_round(trust_service):
    root = root_of(trust_service.trusted_root())
    assert verify(of_made(trust_service.make_bundle(rekor=1, alter=entry_with(inclusionProof=None))), root)
    assert verify(of_made(trust_service.make_bundle(rekor=1, alter=entry_with(inclusionPromise=None))), root)
    bad = {"checkpoint": lambda note: note._replace(root=b"x" * 32)}
    assert code_of(trust_service, bad, rekor=1) == "log-proof-invalid"
    assert code_of(trust_service, {"signed-set": lambda _: b"x" * 70}, rekor=1) == "log-promise-invalid"


def test_S04_a_time_that_no_log_promised_is_none(trust_service):
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(rekor=1, alter=entry_with(inclusionPromise=None))
    assert of_made(made).entries[0]["integratedTime"]
    [proof] = verify(of_made(made), root)
    assert proof.promised is None
    [proof] = verify(of_made(trust_service.make_bundle(rekor=1, at=trust_service.now() - 5)), root)
    assert trust_service.now() - 60 < proof.promised <= trust_service.now() - 4


def test_L11_each_entry_is_looked_at_by_itself(trust_service):
    root = root_of(trust_service.trusted_root())
    made = of_made(trust_service.make_bundle(log=("current", "second")))
    [first, second] = made.entries
    assert [proof.log.log_id for proof in verify(made, root)] == [
        trust_service.log2("current").log_id, trust_service.log2("second").log_id,
    ]  # fmt: skip
    del second["inclusionProof"]
    assert entries.verify_entry(first, made.signed, root)
    assert refusal(lambda: entries.verify_entry(second, made.signed, root)) == "log-proof-missing"


# -- (L18) which logs count


@BOTH
def test_S09_L08_an_entry_of_a_log_that_the_root_does_not_know_proves_nothing(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(rekor=rekor, log="stranger"))
    assert refusal(lambda: verify(case, root)) == "log-entry-untrusted"
    everybody = root_of(trust_service.trusted_root(logs=["stranger"]))
    assert verify(case, everybody)
    assert refusal(lambda: verify(case, root._replace(logs=()))) == "log-entry-untrusted"


def test_L18_a_promise_counts_while_the_key_of_the_log_was_in_use(trust_service):
    root = root_of(trust_service.trusted_root())
    log = trust_service.log1("retired")
    for at, good in (
        (log.valid.end, True),
        (log.valid.end + 2, False),
        (log.valid.start + 1, True),
        (log.valid.start - 2, False),
    ):
        case = of_made(trust_service.make_bundle(rekor=1, log="retired", at=at))
        if good:
            assert verify(case, root)
        else:
            assert refusal(lambda case=case: verify(case, root)) == "log-entry-untrusted"


def test_L18_both_ends_of_the_period_are_in_it(trust_service):
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(rekor=1))
    [proof] = verify(case, root)
    for period, good in (
        (Period(proof.promised, proof.promised), True),
        (Period(proof.promised + 1, None), False),
        (Period(None, proof.promised - 1), False),
        (Period(None, None), True),
    ):
        changed = root._replace(logs=tuple(log._replace(valid=period) for log in root.logs))
        if good:
            assert verify(case, changed)
        else:
            assert refusal(lambda changed=changed: verify(case, changed)) == "log-entry-untrusted"


def test_L18_one_key_may_stand_in_the_root_for_several_periods(trust_service):
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(rekor=1))
    [proof] = verify(case, root)
    past = proof.log._replace(valid=Period(0, 1), base_url="https://past.test")
    [found] = verify(case, root._replace(logs=(past, proof.log)))
    assert found.log == proof.log


def test_L08_another_key_under_the_id_of_a_log_changes_nothing(trust_service):
    """Such a root is wrong; whatever stands in it, what was promised is verified with the key that the id is of."""
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(rekor=1))
    [proof] = verify(case, root)
    other = proof.log._replace(key=of_made(trust_service.make_bundle()).signed.key, base_url="https://other.test")
    past = proof.log._replace(valid=Period(0, 1))
    for logs in ((other, proof.log), (proof.log, other)):
        assert verify(case, root._replace(logs=logs)) == [proof]
    assert refusal(lambda: verify(case, root._replace(logs=(past, other)))) == "log-entry-untrusted"


@BOTH
def test_L08_the_key_is_the_roots(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(rekor=rekor))
    [proof] = verify(case, root)
    other = of_made(trust_service.make_bundle()).signed.key
    swapped = root._replace(logs=(proof.log._replace(key=other),))
    assert refusal(lambda: verify(case, swapped)) in {"log-entry-malformed", "log-checkpoint-invalid"}


# -- (L19) numbers, and protobuf's JSON


@BOTH
@pytest.mark.parametrize(
    "number",
    [
        "-1",
        -1,
        1.0,
        "1.0",
        "01",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1e0",
        "",
        True,
        False,
        [],
        {},
        2**63,
        str(2**63),
        "9" * 40,
        "٣",
    ],
)
@pytest.mark.parametrize("name", ["logIndex", "integratedTime"])
def test_L19_a_number_has_one_spelling(trust_service, rekor, number, name):
    def alter(entry):
        return entry | {name: number}

    assert code_of(trust_service, {"entry": alter}, rekor=rekor) == "log-entry-malformed"


@BOTH
@pytest.mark.parametrize("number", ["-1", 1.0, True, 2**63, "01"])
@pytest.mark.parametrize("name", ["logIndex", "treeSize"])
def test_L19_a_number_of_a_proof_has_one_spelling(trust_service, rekor, number, name):
    assert code_of(trust_service, proof_with(**{name: number}), rekor=rekor) == "log-entry-malformed"


@BOTH
def test_numbers_may_be_numbers_and_base64_may_be_url_safe(trust_service, rekor):
    root = root_of(trust_service.trusted_root())

    def alter(entry):
        proof = entry["inclusionProof"]
        proof = proof | {name: int(proof[name]) for name in ("logIndex", "treeSize")}
        proof["rootHash"] = proof["rootHash"].replace("+", "-").replace("/", "_")
        changed = entry | {"logIndex": int(entry["logIndex"]), "inclusionProof": proof}
        return changed | ({"integratedTime": int(entry["integratedTime"])} if rekor == 1 else {})

    assert verify(of_made(trust_service.make_bundle(rekor=rekor, alter={"entry": alter})), root)


def test_the_first_entry_of_a_log_has_neither_index_nor_hashes_in_gos_json(trust_service):
    key = ec.generate_private_key(ec.SECP256R1())
    log = rekor2.TileLog("first", key, trust_service.log2("current").valid)
    log.tree = Tree()
    case = of_made(trust_service.make_bundle(rekor=None, managed=True))
    request = rekor2.request(dict(case.signed.digests)["sha256"], case.signed.signature, case.signed.key._handle, None)
    entry = log.add(request, Hooks())
    assert entry["logIndex"] == entry["inclusionProof"]["logIndex"] == "0"
    for absent in ("logIndex", "integratedTime", "inclusionPromise"):
        del entry[absent]
    for absent in ("logIndex", "hashes"):
        del entry["inclusionProof"][absent]
    root = root_of(trust_service.trusted_root())
    known = Log(log.base_url, parse_spki(notes.spki(log.key)), "", Period(0, None), log.log_id)
    proof = entries.verify_entry(entry, case.signed, root._replace(logs=(known,)))
    assert proof.index == 0
    log.tree.append(b"another")
    assert log.tree.size == 2
    later = json.loads(json.dumps(entry))
    later["inclusionProof"]["checkpoint"]["envelope"] = log.checkpoint(Hooks())
    assert (
        refusal(lambda: entries.verify_entry(later, case.signed, root._replace(logs=(known,)))) == "log-proof-invalid"
    )


# -- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def _places(value, path=()):
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        yield from _places(inner, (*path, name))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_stands_in_an_entry_it_is_refused_with_a_code_or_means_the_same(data):
    case = BY_NAME[
        data.draw(
            st.sampled_from(["blob-c31-rekor1/bundle.json", "att-c31-custom/bundle.json", "blob-c25-legacy-bundle"])
        )
    ]
    [found] = case.entries or case.promises
    changed = copy.deepcopy(found)
    path = data.draw(st.sampled_from([place for place in _places(changed) if place]))
    at = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = data.draw(JSON)
    one = case._replace(entries=(changed,)) if case.entries else case._replace(promises=(changed,))
    try:
        proofs = verify(one, ROOT)
    except TrustFailure as failure:
        assert failure.code.startswith("log-")
        return
    [before], [after] = verify(case, ROOT), proofs
    aside = {"promised": None, "claimed": None, "index": 0, "place": None}
    assert after._replace(**aside) == before._replace(**aside)
    assert after.promised in {before.promised, None}
    assert after.claimed in {None, before.promised}  # without the promise, its time is only said
    assert after.claimed is None or after.promised is None
