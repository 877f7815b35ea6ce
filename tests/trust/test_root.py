"""Trust roots: those of the public Sigstore and of cosign, and documents that are wrong in one place."""

import base64
import copy
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import SealgateError, TrustRootInvalidError
from sealgate.trust import period, root
from trust_service import notes

ROOTS = Path(__file__).parent / "roots"
RECORDED = sorted(ROOTS.glob("*.trusted_root.json"))


@pytest.fixture(scope="module")
def document(running_trust_service):
    running_trust_service.reset()
    return running_trust_service.trusted_root()


def encoded(whole):
    return json.dumps(whole).encode()


def refused(whole, words):
    raw = whole if isinstance(whole, bytes) else encoded(whole)
    with pytest.raises(TrustRootInvalidError) as caught:
        root.parse(raw)
    assert caught.value.code == "trust-root-invalid"
    assert caught.value.exit_code == 15
    assert words in caught.value.message
    return caught.value


@pytest.fixture
def changed(document):
    """`changed(change)`: a document of its own, with one thing changed."""

    def make(change):
        whole = copy.deepcopy(document)
        change(whole)
        return whole

    return make


def set_at(path, value):
    """A change: the member at `path`."""

    def change(whole):
        for step in path[:-1]:
            whole = whole[step]
        if value is ...:
            del whole[path[-1]]
        else:
            whole[path[-1]] = value

    return change


# -- what is read


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_real_roots_are_read_and_written_alike(path):
    found = root.parse(path.read_bytes())
    assert root.parse(root.encode(found)) == found
    written, original = json.loads(root.encode(found)), json.loads(path.read_bytes())
    for name in ("tlogs", "ctlogs"):
        for mine, theirs in zip(written[name], original[name], strict=True):
            assert mine["logId"] == theirs["logId"]
            assert mine["publicKey"]["rawBytes"] == theirs["publicKey"]["rawBytes"]


def test_the_public_root_says_whom_to_believe():
    found = root.parse((ROOTS / "public.trusted_root.json").read_bytes())
    assert [log.base_url for log in found.logs] == [
        "https://rekor.sigstore.dev",
        "https://log2025-1.rekor.sigstore.dev",
    ]
    assert [log.key.algorithm for log in found.logs] == ["ecdsa-p256", "ed25519"]
    assert [len(one.chain) for one in found.certificate_authorities] == [1, 2]
    first = found.certificate_authorities[0].valid
    assert first.start == 1615087229.0
    assert first.end == 1672531199.999
    assert found.timestamp_authorities[0].common_name == "sigstore-tsa-selfsigned"


def test_an_old_rsa_key_is_read_without_its_wrapping():
    found = root.parse((ROOTS / "staging.trusted_root.json").read_bytes())
    old = found.ct_logs[0]
    assert old.key_details == "PKCS1_RSA_PKCS1V5"
    assert old.key.algorithm == "rsa-4096"
    assert old.log_id == hashlib.sha256(old.key.spki).digest()


def test_a_clients_configuration_is_a_trust_root_too(document):
    config = {"mediaType": root.CLIENT_CONFIG, "trustedRoot": document, "signingConfig": {}}
    assert root.parse(encoded(config)) == root.parse(encoded(document))
    refused(config | {"trustedRoot": {}}, "is of type")
    refused({"mediaType": root.CLIENT_CONFIG, "signingConfig": {}}, "is not an object")
    refused(config | {"more": 1}, "unknown field 'more'")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    ],
)
def test_media_types_of_the_specification_are_read(document, media_type):
    assert root.parse(encoded(document | {"mediaType": media_type})) == root.parse(encoded(document))


def test_other_media_types_are_refused(document):
    refused(document | {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.3"}, "not read here")
    refused(document | {"mediaType": ""}, "not read here")
    refused({name: value for name, value in document.items() if name != "mediaType"}, "not read here")
    refused(document | {"mediaType": 1}, "mediaType is not a string")


def test_an_empty_root_is_read_as_cosign_makes_it():
    found = root.parse(encoded({"mediaType": root.MEDIA_TYPE}))
    assert found == root.TrustRoot((), (), (), ())
    assert root.encode(found) == b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


def test_parts_are_kept_apart_and_in_order(document):
    found = root.parse(encoded(document))
    assert [one.common_name for one in found.certificate_authorities] == [
        one["subject"]["commonName"] for one in document["certificateAuthorities"]
    ]
    assert [log.log_id for log in found.logs] == [base64.b64decode(one["logId"]["keyId"]) for one in document["tlogs"]]
    assert not {log.log_id for log in found.logs} & {log.log_id for log in found.ct_logs}


# -- what is refused


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("more",), 1, "unknown field 'more'"),
        (("tlogs", 0, "more"), 1, "tlogs[0] has an unknown field"),
        (("tlogs", 0, "base_url"), "x", "tlogs[0] has an unknown field"),
        (("tlogs", 1, "publicKey", "more"), 1, "tlogs[1].publicKey has an unknown field"),
        (("ctlogs", 0, "logId", "oid"), "1.2", "ctlogs[0].logId has an unknown field"),
        (("certificateAuthorities", 1, "more"), 1, "certificateAuthorities[1] has an unknown field"),
        (("certificateAuthorities", 0, "subject", "more"), 1, "certificateAuthorities[0].subject has an unknown"),
        (("timestampAuthorities", 0, "certChain", "more"), 1, "timestampAuthorities[0].certChain has an unknown"),
        (("tlogs",), {}, "tlogs of the trust root is not a list"),
        (("tlogs",), None, "tlogs of the trust root is not a list"),
        (("tlogs", 0), [], "tlogs[0] is not an object"),
        (("tlogs", 0, "hashAlgorithm"), "SHA2_512", "tlogs[0].hashAlgorithm"),
        (("tlogs", 0, "hashAlgorithm"), ..., "tlogs[0].hashAlgorithm"),
        (("tlogs", 0, "baseUrl"), 1, "tlogs[0].baseUrl"),
        (("tlogs", 0, "publicKey"), ..., "tlogs[0].publicKey is not an object"),
        (("tlogs", 0, "publicKey", "rawBytes"), "AAAA", "tlogs[0].publicKey.rawBytes"),
        (("tlogs", 0, "publicKey", "rawBytes"), "", "tlogs[0].publicKey.rawBytes is empty"),
        (("tlogs", 0, "publicKey", "rawBytes"), "AA=A", "not base64"),
        (("tlogs", 0, "publicKey", "keyDetails"), ..., "tlogs[0].publicKey.keyDetails"),
        (("tlogs", 0, "publicKey", "keyDetails"), 5, "tlogs[0].publicKey.keyDetails"),
        (("tlogs", 0, "publicKey", "keyDetails"), "PKIX_ED25519", "keyDetails says PKIX_ED25519"),
        (("tlogs", 0, "publicKey", "keyDetails"), "PKIX_ECDSA_P384_SHA_384", "keyDetails says"),
        (("tlogs", 0, "publicKey", "keyDetails"), "PKIX_RSA_PSS_2048_SHA256", "not accepted here"),
        (("tlogs", 0, "publicKey", "validFor"), ..., "tlogs[0].publicKey has no validFor"),
        (("ctlogs", 0, "publicKey", "validFor", "start"), ..., "ctlogs[0].publicKey.validFor has no start"),
        (("tlogs", 0, "logId"), ..., "tlogs[0].logId is not an object"),
        (("tlogs", 0, "logId"), {}, "tlogs[0].logId.keyId"),
        (("tlogs", 0, "logId", "keyId"), "AAAA", "tlogs[0].logId has 3 bytes"),
        (("certificateAuthorities", 0, "certChain"), ..., "certificateAuthorities[0].certChain is not an object"),
        (("certificateAuthorities", 0, "certChain", "certificates"), [], "certificateAuthorities[0].certChain has no"),
        (
            ("certificateAuthorities", 0, "certChain", "certificates", 1, "rawBytes"),
            "MAA=",
            "certificateAuthorities[0].certChain.certificates[1] is not a certificate",
        ),
        (
            ("timestampAuthorities", 2, "certChain", "certificates", 0),
            {},
            "timestampAuthorities[2].certChain.certificates[0].rawBytes",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_place(document, changed, path, value, words):
    root.parse(encoded(document))
    refused(changed(set_at(path, value)), words)


def test_a_certificate_with_something_behind_it_is_none(document, changed):
    path = ("certificateAuthorities", 0, "certChain", "certificates", 0, "rawBytes")
    der = base64.b64decode(document["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"])
    refused(changed(set_at(path, base64.b64encode(der + b"\0").decode())), "is not a certificate")
    assert root.parse(encoded(changed(set_at(path, base64.b64encode(der).decode()))))


def test_the_id_of_a_log_is_that_of_its_key(document, changed):
    """Else another log's entries would be taken for this one's, or none at all (wrong key id)."""
    first, second = (log["logId"]["keyId"] for log in document["tlogs"][:2])
    error = refused(
        changed(set_at(("tlogs", 0, "logId", "keyId"), base64.b64encode(bytes(32)).decode())), "tlogs[0].logId"
    )
    assert "SHA-256" in error.hint

    def exchange(whole):
        whole["tlogs"][0]["logId"]["keyId"], whole["tlogs"][1]["logId"]["keyId"] = second, first

    refused(changed(exchange), "tlogs[0].logId is not the id")


def log_of(key, url, *, log_id=None, name="log.test", **more):
    found = log_id or notes.key_id(name, key)
    details = {"rawBytes": base64.b64encode(notes.spki(key)).decode(), "keyDetails": notes.key_details(key)}
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": details | {"validFor": {"start": "2026-01-01T00:00:00Z"}},
        "logId": {"keyId": base64.b64encode(found).decode()},
    } | more


def of_logs(*logs, kind="tlogs"):
    return {"mediaType": root.MEDIA_TYPE, kind: list(logs)}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://log.test", "log.test"),
        ("https://log.test:8443", "log.test"),
        ("https://log.test:8443", "log.test:8443"),
        ("http://log.test/a/b", "log.test/a/b"),
        ("http://log.test/a/", "log.test/a"),
        ("http://log.test/a", "log.test"),
        ("http://[::1]:9/", "[::1]"),
    ],
)
def test_an_ed25519_log_is_known_by_its_key_under_its_own_name(url, name):
    key = ed25519.Ed25519PrivateKey.generate()
    found = root.parse(encoded(of_logs(log_of(key, url, name=name))))
    assert found.logs[0].log_id == notes.key_id(name, key)
    refused(of_logs(log_of(key, url, name="other.test")), "tlogs[0].logId is not the id")


def test_an_ed25519_log_may_be_known_by_its_key_alone():
    key = ed25519.Ed25519PrivateKey.generate()
    plain = hashlib.sha256(notes.spki(key)).digest()
    assert root.parse(encoded(of_logs(log_of(key, "", log_id=plain)))).logs[0].log_id == plain


def test_a_ct_log_is_known_by_its_key_alone():
    """RFC 6962, section 3.2: a CT log signs no checkpoints of this kind."""
    key = ed25519.Ed25519PrivateKey.generate()
    plain = hashlib.sha256(notes.spki(key)).digest()
    assert root.parse(encoded(of_logs(log_of(key, "https://log.test", log_id=plain), kind="ctlogs")))
    refused(of_logs(log_of(key, "https://log.test"), kind="ctlogs"), "ctlogs[0].logId is not the id")


def test_the_checkpoint_key_id_is_compared_too():
    key = ed25519.Ed25519PrivateKey.generate()
    whole = notes.key_id("log.test", key)
    for size in (4, 32):
        short = {"keyId": base64.b64encode(whole[:size]).decode()}
        assert root.parse(encoded(of_logs(log_of(key, "https://log.test", checkpointKeyId=short)))).logs
    for wrong in (whole[:3], bytes(4), whole + b"\0"):
        bad = {"keyId": base64.b64encode(wrong).decode()}
        refused(of_logs(log_of(key, "https://log.test", checkpointKeyId=bad)), "tlogs[0].checkpointKeyId")


def test_U01_one_log_does_not_count_twice():
    """As two logs it would meet a threshold of two on its own (also C08)."""
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    assert len(root.parse(encoded(of_logs(log_of(key, "https://a.test"), log_of(other, "https://b.test")))).logs) == 2
    for kind in ("tlogs", "ctlogs"):
        error = refused(of_logs(log_of(key, "https://a.test"), log_of(key, "https://b.test"), kind=kind), "again")
        assert f"{kind}[1] is {kind}[0]" in error.message


def test_U01_one_key_under_two_ids_does_not_count_twice():
    key = ed25519.Ed25519PrivateKey.generate()
    plain = hashlib.sha256(notes.spki(key)).digest()
    twice = of_logs(log_of(key, "https://log.test"), log_of(key, "https://log.test", log_id=plain))
    refused(twice, "tlogs[1] is tlogs[0] again")


def test_a_log_and_a_ct_log_may_share_a_key():
    key = ec.generate_private_key(ec.SECP256R1())
    log = log_of(key, "https://log.test")
    found = root.parse(encoded(of_logs(log) | {"ctlogs": [log]}))
    assert found.logs == found.ct_logs


# -- JSON and bounds


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[],"tlogs":[]}',
        b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[],"TLOGS":[]}',
        b'{"mediaType":NaN}',
        b'\xef\xbb\xbf{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
        b"[" * 100_000,
    ],
    ids=["empty", "list", "cut", "bytes", "twice", "case", "nan", "mark", "deep"],
)
def test_M03_json_that_means_two_things_is_refused(raw):
    refused(raw, "")
    assert root.parse(b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[]}')


def test_bounds_are_refusals_that_name_them(monkeypatch, document, changed):
    raw = encoded(document)
    root.parse(raw + b" " * (limits.TRUST_ROOT_BYTES - len(raw)))
    refused(raw + b" " * (limits.TRUST_ROOT_BYTES - len(raw) + 1), f"larger than {limits.TRUST_ROOT_BYTES} bytes")
    monkeypatch.setattr(limits, "TRUST_ROOT_ENTRIES", len(document["tlogs"]))
    assert root.parse(raw)
    monkeypatch.setattr(limits, "TRUST_ROOT_ENTRIES", len(document["tlogs"]) - 1)
    refused(raw, f"more than {len(document['tlogs']) - 1} tlogs")
    monkeypatch.undo()
    chain = document["certificateAuthorities"][0]["certChain"]["certificates"]
    path = ("certificateAuthorities", 0, "certChain", "certificates")
    assert root.parse(encoded(changed(set_at(path, chain[:1] * limits.TRUST_ROOT_CHAIN))))
    refused(changed(set_at(path, chain[:1] * (limits.TRUST_ROOT_CHAIN + 1))), f"more than {limits.TRUST_ROOT_CHAIN}")
    text = "x" * limits.TRUST_ROOT_TEXT
    assert root.parse(encoded(changed(set_at(("certificateAuthorities", 0, "uri"), text))))
    refused(changed(set_at(("certificateAuthorities", 0, "uri"), text + "x")), "certificateAuthorities[0].uri")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["mediaType", "tlogs", "ctlogs", "publicKey", "logId", "certChain", "validFor"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_comes_is_read_or_refused(value):
    raw = json.dumps({"mediaType": root.MEDIA_TYPE, "tlogs": value, "certificateAuthorities": [value]}).encode()
    try:
        root.parse(raw)
    except SealgateError as error:
        assert error.code == "trust-root-invalid"


# -- times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-11-26T08:00:00Z", 1795680000.0),
        ("2026-11-26T08:00:00.5Z", 1795680000.5),
        ("2026-11-26T08:00:00.123456789Z", 1795680000.123456789),
        ("2026-11-26T10:30:00+02:30", 1795680000.0),
        ("2026-11-26T00:00:00-08:00", 1795680000.0),
        ("2024-02-29T00:00:00Z", 1709164800.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
        ("9999-12-31T23:59:59Z", 253402300799.0),
    ],
)
def test_times_are_read(text, seconds):
    assert period.epoch(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-26", "2026-11-26T08:00:00", "2026-11-26 08:00:00Z", "2026-11-26t08:00:00z", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-26T24:00:00Z", "2026-11-26T08:60:00Z",
        "2026-06-30T23:59:60Z", "0000-01-01T00:00:00Z", "2026-11-26T08:00:00.Z", "2026-11-26T08:00:00.1234567890Z",
        "2026-11-26T08:00:00+24:00", "2026-11-26T08:00:00+0230", "٢026-11-26T08:00:00Z", "2026-11-26T08:00:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(document, changed, text):
    assert period.epoch(text) is None
    refused(changed(set_at(("tlogs", 0, "publicKey", "validFor", "start"), text)), "is not a time")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_times_are_written_as_they_are_read(millis):
    assert period.epoch(period.rfc3339(millis / 1000)) == millis / 1000


def test_both_bounds_belong_to_the_period(document, changed):
    bounds = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    found = root.parse(encoded(changed(set_at(("tlogs", 0, "publicKey", "validFor"), bounds)))).logs[0].valid
    assert [found.contains(at) for at in (1767225599.999, 1767225600, 1767312000, 1767312000.001)] == [
        False, True, True, False,
    ]  # fmt: skip
    same = {"start": bounds["start"], "end": bounds["start"]}
    assert root.parse(encoded(changed(set_at(("tlogs", 0, "publicKey", "validFor"), same))))
    reverse = {"start": bounds["end"], "end": bounds["start"]}
    refused(changed(set_at(("tlogs", 0, "publicKey", "validFor"), reverse)), "ends before it starts")
    refused(changed(set_at(("certificateAuthorities", 0, "validFor"), {"begin": "x"})), "unknown field 'begin'")
    refused(changed(set_at(("certificateAuthorities", 0, "validFor", "end"), None)), "is not a time")


def test_an_authority_without_a_period_was_always_in_use(changed):
    found = root.parse(encoded(changed(set_at(("certificateAuthorities", 0, "validFor"), ...))))
    assert found.certificate_authorities[0].valid == period.ALWAYS
