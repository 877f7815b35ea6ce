"""Log entries: those of real clients, each wrong one of the catalogue, and that no log can be read as the other kind."""

import base64
import copy
import datetime
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl import bindings as nacl_bindings

from sealgate import limits
from sealgate.evidence import dsse
from sealgate.keys.algorithms import PublicKey, parse_spki
from sealgate.trust import entries
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Log, Period
from trust.recordings import PUBLIC, of_bundle, of_made, recorded, recorded_root, root_of, signed_by
from trust_service import authority, notes, rekor2
from trust_service.hooks import Hooks
from trust_service.merkle import Tree

ROOT = recorded_root()
RECORDED = [case for case in recorded() if case.entries or case.promises]
BY_NAME = {case.name: case for case in RECORDED}
DAY = 86_400
BOTH = pytest.mark.parametrize("rekor", [1, 2])
KINDS = pytest.mark.parametrize("kind", ["blob", "dsse"])


def verify(case, root, signed=None):
    """What every entry of a case proves."""
    signed = signed or case.signed
    found = [entries.verify_entry(entry, signed, root) for entry in case.entries]
    return found + [entries.verify_promise(promise, signed, root) for promise in case.promises]


def refusal(function):
    with pytest.raises(TrustFailure) as failure:
        function()
    assert failure.value.message.startswith(("its log entry", "the checkpoint of its log entry"))
    return failure.value.code


def code_of(service, alter=None, root=None, **options):
    """Why a bundle that was altered is refused. Its unaltered twin is not."""
    trusted = root_of(service.trusted_root()) if root is None else root
    assert verify(of_made(service.make_bundle(**options)), trusted)
    case = of_made(service.make_bundle(alter=alter, **options))
    return refusal(lambda: verify(case, trusted))


def entry_with(**changes):
    """An alteration of an entry: members replaced, `None` removes."""

    def alter(entry):
        changed = {**entry, **changes}
        return {name: value for name, value in changed.items() if value is not None}

    return {"entry": alter}


def proof_with(**changes):
    def alter(entry):
        return entry | {"inclusionProof": entry_with(**changes)["entry"](entry["inclusionProof"])}

    return {"entry": alter}


def in_body(*path, to):
    """An alteration of what the log holds, and so signs."""

    def alter(body):
        body = copy.deepcopy(body)
        at = body
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = to(at[path[-1]]) if callable(to) else to
        return body

    return {"body": alter}


def b64(data):
    return base64.b64encode(data).decode()


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


# -- (L01 to L07) about another signature


@BOTH
@KINDS
def test_L01_L05_only_the_entry_of_this_very_signature_counts(trust_service, rekor, kind):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())

    def made(artifact, key, other="blob"):
        return of_made(trust_service.make_bundle(rekor=rekor, kind=other, artifact=artifact, key=key, managed=True))

    mine = made(b"one", key, kind)
    others = {
        "the other artifact, the same key": made(b"two", key, kind),
        "the same artifact, another key": made(b"one", ec.generate_private_key(ec.SECP256R1()), kind),
        "a second signature of the same by the same": made(b"one", key, kind),
        "the other kind": made(b"one", key, "blob" if kind == "dsse" else "dsse"),
    }
    assert verify(mine, root)
    for what, other in others.items():
        assert verify(other, root), what
        assert refusal(lambda other=other: verify(other, root, mine.signed)) == "log-entry-not-bound", what


@BOTH
def test_L01_the_entry_of_another_certificate_for_the_same_key_is_another(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())
    case = of_made(trust_service.make_bundle(rekor=rekor, key=key))
    certificate = trust_service.make_bundle(rekor=rekor, key=key).certificate
    assert verify(case, root)
    other = case.signed._replace(certificate=certificate)
    assert refusal(lambda: verify(case, root, other)) == "log-entry-not-bound"


def _other_pem():
    key = ec.generate_private_key(ec.SECP256R1())
    times = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2026, 2027))
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 7, *times)
    return authority.pem([builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)]).encode()


OTHER_PEM = _other_pem()


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "data", "hash", "value"), "ab" * 32),
        (("spec", "data", "hash", "algorithm"), "sha512"),
        (("spec", "data", "hash", "algorithm"), "sha1"),
        (("spec", "data", "hash", "algorithm"), "md5"),
        (("spec", "signature", "content"), b64(b"another signature")),
        (("spec", "signature", "publicKey", "content"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_a_hashedrekord_is_compared(trust_service, path, to):
    assert code_of(trust_service, in_body(*path, to=to), rekor=1) == "log-entry-not-bound"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "payloadHash", "value"), "ab" * 32),
        (("spec", "payloadHash", "algorithm"), "sha512"),
        (("spec", "signatures", 0, "signature"), b64(b"another signature")),
        (("spec", "signatures", 0, "verifier"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_a_dsse_entry_is_compared(trust_service, path, to):
    assert code_of(trust_service, in_body(*path, to=to), rekor=1, kind="dsse") == "log-entry-not-bound"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "content", "payloadHash", "value"), "ab" * 32),
        (("spec", "content", "envelope", "payloadType"), "text/plain"),
        (("spec", "content", "envelope", "signatures", 0, "sig"), b64(b64(b"another signature").encode())),
        (("spec", "content", "envelope", "signatures", 0, "publicKey"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_an_intoto_entry_is_compared(trust_service, path, to):
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"}
    assert code_of(trust_service, in_body(*path, to=to), **options) == "log-entry-not-bound"


@pytest.mark.parametrize("to", [b64(b"one level only"), b64(b"\xff\xfe"), "!", 7, ""])
def test_the_signature_of_an_intoto_entry_is_base64_twice(trust_service, to):
    path = ("spec", "content", "envelope", "signatures", 0, "sig")
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"}
    assert code_of(trust_service, in_body(*path, to=to), **options) == "log-entry-malformed"


V2 = ("spec", "hashedRekordV002")


@KINDS
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ((*V2, "data", "digest"), b64(b"x" * 32)),
        ((*V2, "data", "algorithm"), "SHA2_512"),
        ((*V2, "signature", "content"), b64(b"another signature")),
        ((*V2, "signature", "verifier", "keyDetails"), "PKIX_ECDSA_P384_SHA_384"),
        ((*V2, "signature", "verifier", "x509Certificate", "rawBytes"), b64(b"another certificate")),
        ((*V2, "signature", "verifier"), lambda verifier: verifier | {"more": "words"}),
        (("spec", "more"), "words"),
    ],
)
def test_L06_the_leaf_of_rekor_v2_is_made_again_whole(trust_service, kind, path, to):
    if path == ("spec", "more"):
        alter = {"body": lambda body: body | {"spec": body["spec"] | {"more": "words"}}}
    else:
        alter = in_body(*path, to=to)
    assert code_of(trust_service, alter, kind=kind) == "log-entry-not-bound"
    without = {**alter, **entry_with(canonicalizedBody=None)}
    assert code_of(trust_service, without, kind=kind) == "log-proof-invalid"


def test_L06_the_leaf_of_old_envelopes_in_rekor_v2_is_made_again_whole(trust_service):
    options = {"kind": "dsse", "entry_kind": "dsse"}
    path = ("spec", "dsseV002", "payloadHash", "digest")
    assert code_of(trust_service, in_body(*path, to=b64(b"x" * 32)), **options) == "log-entry-not-bound"
    path = ("spec", "dsseV002", "signatures", 0, "content")
    assert code_of(trust_service, in_body(*path, to=b64(b"x" * 32)), **options) == "log-entry-not-bound"
    path = ("spec", "dsseV002", "signatures")
    assert code_of(trust_service, in_body(*path, to=lambda them: them * 2), **options) == "log-entry-not-bound"


@KINDS
def test_rekor_v2_without_a_body_is_proven_by_what_was_signed(trust_service, kind):
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(kind=kind, alter=entry_with(canonicalizedBody=None))
    other = trust_service.make_bundle(kind=kind)
    assert verify(of_made(made), root)
    assert refusal(lambda: verify(of_made(made), root, of_made(other).signed)) == "log-proof-invalid"


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p384", "p521", "rsa"],
)
def test_entries_of_every_kind_of_key(trust_service, key, managed):
    root = root_of(trust_service.trusted_root())
    for options in (
        {"rekor": 1}, {"rekor": 2}, {"rekor": 1, "kind": "dsse"}, {"rekor": 2, "kind": "dsse"},
        {"rekor": 2, "kind": "dsse", "entry_kind": "dsse"}, {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"},
    ):  # fmt: skip
        assert verify(of_made(trust_service.make_bundle(key=key, managed=managed, **options)), root)


def held(service, body):
    """The entry of a log of tiles that holds whatever it is told to."""
    entry = service.log2().add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"], entry["integratedTime"]
    return entry


def hashedrekord_v2(signed, details, name, digest):
    verifier = {"keyDetails": details, "publicKey": {"rawBytes": b64(signed.key.spki)}}
    content = {
        "data": {"algorithm": name, "digest": b64(digest)},
        "signature": {"content": b64(signed.signature), "verifier": verifier},
    }
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": content}}


def test_an_ed25519_key_is_logged_prehashed_in_rekor_v2(trust_service):
    root = root_of(trust_service.trusted_root())
    seed = bytes(range(32))
    public, secret = nacl_bindings.crypto_sign_seed_keypair(seed)
    state = nacl_bindings.crypto_sign_ed25519ph_state()
    nacl_bindings.crypto_sign_ed25519ph_update(state, b"an artifact")
    signature = nacl_bindings.crypto_sign_ed25519ph_final_create(state, secret)
    key = parse_spki(bytes.fromhex("302a300506032b6570032100") + public)
    signed = signed_by(signature, b"an artifact", certificate=None, key=key)
    digest = hashlib.sha512(b"an artifact").digest()
    entry = held(trust_service, hashedrekord_v2(signed, "PKIX_ED25519_PH", "SHA2_512", digest))
    assert entries.verify_entry(entry, signed, root)
    del entry["canonicalizedBody"]
    assert entries.verify_entry(entry, signed, root)
    pure = held(trust_service, hashedrekord_v2(signed, "PKIX_ED25519", "SHA2_512", digest))
    assert refusal(lambda: entries.verify_entry(pure, signed, root)) == "log-entry-not-bound"


def test_a_p384_key_may_sign_sha256(trust_service):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP384R1())
    signature = key.sign(b"an artifact", ec.ECDSA(hashes.SHA256()))
    public = parse_spki(notes.spki(key))
    signed = signed_by(signature, b"an artifact", certificate=None, key=public)
    digest = hashlib.sha256(b"an artifact").digest()
    entry = held(trust_service, hashedrekord_v2(signed, "PKIX_ECDSA_P384_SHA_256", "SHA2_256", digest))
    assert entries.verify_entry(entry, signed, root)
    del entry["canonicalizedBody"]
    assert entries.verify_entry(entry, signed, root)
    mixed = held(trust_service, hashedrekord_v2(signed, "PKIX_ECDSA_P384_SHA_384", "SHA2_256", digest))
    assert refusal(lambda: entries.verify_entry(mixed, signed, root)) == "log-entry-not-bound"


def test_a_key_of_a_size_that_rekor_v2_does_not_know_is_not_logged_there(trust_service):
    root = root_of(trust_service.trusted_root())
    key = rsa.generate_private_key(65537, 2560)
    case = of_made(trust_service.make_bundle(rekor=1, key=key, managed=True))
    assert verify(case, root)
    digest = dict(case.signed.digests)["sha256"]
    entry = held(trust_service, hashedrekord_v2(case.signed, "PKIX_RSA_PKCS1V15_2560_SHA256", "SHA2_256", digest))
    assert refusal(lambda: entries.verify_entry(entry, case.signed, root)) == "log-entry-not-bound"
    del entry["canonicalizedBody"]
    assert refusal(lambda: entries.verify_entry(entry, case.signed, root)) == "log-entry-not-bound"


def test_a_log_may_be_ecdsa(trust_service):
    assert verify(of_made(trust_service.make_bundle(log="ecdsa")), root_of(trust_service.trusted_root()))


@BOTH
def test_a_managed_key_may_have_been_logged_as_a_certificate_of_its_own(trust_service, rekor):
    """cosign logs `--certificate` beside `--key`."""
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(rekor=rekor)
    case = of_made(made)
    managed = case.signed._replace(certificate=None)
    assert verify(case, root, managed)
    other = of_made(trust_service.make_bundle(rekor=rekor, managed=True)).signed
    assert refusal(lambda: verify(case, root, managed._replace(key=other.key))) == "log-entry-not-bound"


@BOTH
def test_a_certificate_is_not_proven_by_an_entry_of_its_bare_key(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())
    bare = of_made(trust_service.make_bundle(rekor=rekor, key=key, managed=True))
    certificate = trust_service.make_bundle(rekor=rekor, key=key).certificate
    assert verify(bare, root)
    assert refusal(lambda: verify(bare, root, bare.signed._replace(certificate=certificate))) == "log-entry-not-bound"


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


# -- (L12, L20) kinds of entries


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (in_body("kind", to="foo"), "log-entry-malformed"),
        (in_body("apiVersion", to="0.0.9"), "log-entry-malformed"),
        (in_body("spec", to={}), "log-entry-malformed"),
        (in_body("spec", to=[]), "log-entry-malformed"),
    ],
)
def test_L12_an_entry_of_an_unknown_kind_or_without_content_is_refused(trust_service, alter, code):
    assert code_of(trust_service, alter, rekor=1) == code
    expected = (
        code if alter["body"]({"kind": "", "apiVersion": "", "spec": ""})["spec"] == "" else "log-entry-not-bound"
    )
    assert code_of(trust_service, alter, rekor=2) == expected


def test_L20_an_envelope_may_be_logged_as_its_pae_but_not_as_its_payload(trust_service):
    root = root_of(trust_service.trusted_root())
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "hashedrekord"}
    case = of_made(trust_service.make_bundle(**options))
    assert verify(case, root)
    payload = hashlib.sha256(case.signed.envelope.payload).hexdigest()
    alter = in_body("spec", "data", "hash", "value", to=payload)
    assert code_of(trust_service, alter, **options) == "log-entry-not-bound"


def test_L20_a_file_is_not_logged_as_an_envelope(trust_service):
    root = root_of(trust_service.trusted_root())
    for options in ({"rekor": 1}, {"rekor": 1, "entry_kind": "intoto"}, {"rekor": 2, "entry_kind": "dsse"}):
        case = of_made(trust_service.make_bundle(kind="dsse", **options))
        assert verify(case, root)
        message = dsse.pae(case.signed.envelope.payload_type, case.signed.envelope.payload)
        file = case.signed._replace(envelope=None, message=message)  # the very same signature
        assert refusal(lambda case=case, file=file: verify(case, root, file)) == "log-entry-not-bound"


def test_L20_a_log_of_tiles_has_no_entries_of_rekor_v1(trust_service):
    """Somebody has a Rekor v2 log hold the body of another kind of log."""
    root = root_of(trust_service.trusted_root())
    of_v1 = of_made(trust_service.make_bundle(rekor=1))
    body = json.loads(base64.b64decode(of_v1.entries[0]["canonicalizedBody"]))
    entry = trust_service.log2().add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"]
    assert verify(of_v1, root)
    assert refusal(lambda: entries.verify_entry(entry, of_v1.signed, root)) == "log-entry-malformed"


def test_L20_what_a_log_holds_is_bound_however_it_is_read(trust_service):
    """The id of a log of tiles with an ECDSA key could be that of Rekor v1; but the kind is in the leaf."""
    root = root_of(trust_service.trusted_root())
    of_v1, other = (of_made(trust_service.make_bundle(rekor=1)) for _ in range(2))
    body = json.loads(base64.b64decode(of_v1.entries[0]["canonicalizedBody"]))
    entry = trust_service.log2("ecdsa").add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"]
    assert entries.verify_entry(entry, of_v1.signed, root).promised is None
    assert refusal(lambda: entries.verify_entry(entry, other.signed, root)) == "log-entry-not-bound"
    promised = entry | {"integratedTime": "1790000000", "inclusionPromise": of_v1.entries[0]["inclusionPromise"]}
    assert refusal(lambda: entries.verify_entry(promised, of_v1.signed, root)) == "log-promise-invalid"
    as_tile = entry | {"kindVersion": {"kind": "hashedrekord", "version": "0.0.2"}}
    assert refusal(lambda: entries.verify_entry(as_tile, of_v1.signed, root)) == "log-entry-malformed"


def rekor2_request():
    key = ec.generate_private_key(ec.SECP256R1())
    digest = b"x" * 32
    signature = key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    return rekor2.request(digest, signature, key.public_key(), None)


def test_L20_rekor_v1_has_no_entries_of_a_log_of_tiles(trust_service):
    root = root_of(trust_service.trusted_root())
    of_v2 = of_made(trust_service.make_bundle(rekor=2))
    body = json.loads(base64.b64decode(of_v2.entries[0]["canonicalizedBody"]))
    made = trust_service.make_bundle(
        rekor=1, alter={"body": lambda _: body, **entry_with(inclusionPromise=None, integratedTime=None)}
    )
    [entry] = of_made(made).entries
    entry["logIndex"] = entry["inclusionProof"]["logIndex"]
    assert verify(of_v2, root)
    assert refusal(lambda: entries.verify_entry(entry, of_v2.signed, root)) == "log-checkpoint-invalid"


@pytest.mark.parametrize(
    "change", [lambda pem: pem * 2, lambda pem: OTHER_PEM + pem, lambda pem: pem + OTHER_PEM, lambda _: b"PEM"]
)
def test_L21_a_key_is_one_pem_block(trust_service, change):
    alter = in_body("spec", "signature", "publicKey", "content", to=lambda text: b64(change(base64.b64decode(text))))
    assert code_of(trust_service, alter, rekor=1) == "log-entry-malformed"


def test_L21_a_key_is_compared_as_der(trust_service):
    root = root_of(trust_service.trusted_root())
    alter = in_body(
        "spec", "signature", "publicKey", "content",
        to=lambda text: b64(base64.b64decode(text).replace(b"\n", b"\r\n")),
    )  # fmt: skip
    assert verify(of_made(trust_service.make_bundle(rekor=1, alter=alter)), root)


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


# -- the legacy promise


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
    assert after._replace(promised=None, index=0) == before._replace(promised=None, index=0)
    assert after.promised in {before.promised, None}
