"""SCTs: that a certificate was logged where the trust root says."""

import base64
import hashlib
import json
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.keys import algorithms
from sealgate.trust import certificates, sct
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Log, Period
from trust import authorities
from trust_service.notes import spki

ROOT = authorities.recorded_root()
RECORDED = list(authorities.recorded())
LOG_ID, VERSION = slice(1, 33), slice(0, 1)


def verify(der, root, *detached, issuer=None):
    leaf = certificates.read_leaf(der)
    path = certificates.path_at(leaf, root, leaf.not_before)
    return sct.verify_scts(leaf, path if issuer is None else path._replace(issuer_spki=issuer), root, detached=detached)


def refused(der, root, *detached, issuer=None):
    with pytest.raises(TrustFailure) as caught:
        verify(der, root, *detached, issuer=issuer)
    return caught.value.code


@pytest.fixture
def made(trust_service):
    """`made(ct=…, alter=…)`: a certificate."""
    return lambda **options: trust_service.make_bundle(rekor=None, **options).certificate


@pytest.fixture
def root(trust_service):
    return authorities.root_of(trust_service.trusted_root())


def logs(found):
    return [each.log.base_url for each in found]


# -- in the certificate


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: each.case)
def test_every_recorded_certificate_was_logged(recorded):
    [found] = verify(recorded.der, ROOT)
    assert found.log.base_url == "https://ct.box.internal"
    assert abs(found.time - certificates.read_leaf(recorded.der).not_before) < 60


def test_C08_none(made, root):
    assert logs(verify(made(), root)) == ["https://current.ct.test"]
    assert refused(made(ct=()), root) == "sct-missing"


def test_C08_another_log(made, root):
    assert refused(made(ct="stranger"), root) == "sct-untrusted"
    assert logs(verify(made(ct=("stranger", "current")), root)) == ["https://current.ct.test"]
    assert refused(made(), root._replace(ct_logs=())) == "sct-untrusted"


def test_C08_one_log_counts_once(made, root):
    twice = {"scts": lambda scts: scts * 2}
    assert logs(verify(made(alter=twice), root)) == ["https://current.ct.test"]
    both = logs(verify(made(ct=("current", "second")), root))
    assert both == ["https://current.ct.test", "https://second.ct.test"]


def test_C08_each_one_of_a_known_log_must_verify(made, root):
    good, bad = (
        made(ct=("current", "second")),
        {"scts": lambda scts: [scts[0], scts[1][:-1] + bytes([scts[1][-1] ^ 1])]},
    )
    assert len(verify(good, root)) == 2
    assert refused(made(ct=("current", "second"), alter=bad), root) == "sct-invalid"
    assert logs(verify(made(ct=("current", "stranger"), alter=bad), root)) == ["https://current.ct.test"]


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made._replace(tbs=made.tbs[:-1] + bytes([made.tbs[-1] ^ 1])),
        lambda made: made._replace(issuer_key_hash=bytes(32)),
        lambda made: made._replace(key=ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["another certificate", "another issuer", "another key"],
)
def test_C08_over_something_else(made, root, change):
    assert verify(made(alter={"sct": lambda value: value}), root)
    assert refused(made(alter={"sct": change}), root) == "sct-invalid"


def test_C08_the_issuer_is_part_of_what_was_logged(made, root):
    der = made()
    assert verify(der, root)
    assert refused(der, root, issuer=spki(ec.generate_private_key(ec.SECP256R1()))) == "sct-invalid"


def test_C08_the_issuer_is_whose_key_signed_not_whoever_is_called_so(trust_service, made, root):
    """As sigstore-conformance has it (`sct-duplicate-intermediate-name`)."""
    subject = trust_service.authority().intermediate.subject
    ca = [(x509.BasicConstraints(ca=True, path_length=None), True)]
    at = int(time.time())
    key = ec.generate_private_key(ec.SECP384R1())
    decoy = authorities.certificate(subject, key, None, ca, at - authorities.HOUR, at + authorities.HOUR)
    first = (*authorities.trusting(decoy).certificate_authorities, *root.certificate_authorities)
    assert verify(made(), root._replace(certificate_authorities=first))


def test_C08_extensions_are_signed_too(made, root):
    assert verify(made(alter={"sct": lambda value: value._replace(extensions=b"\0\0\5\0\0\0\0\1")}), root)
    change = {"signed-sct": lambda data: data[:41] + b"\0\1\0" + data[43:]}
    assert refused(made(alter=change), root) == "sct-invalid"


@pytest.mark.parametrize("byte", [0, 1, 5, 20, 32, 33, 40, 41, 43, 44, 45, 60])
def test_each_part_of_it_counts(made, root, byte):
    """Version, log, time, extensions, algorithm, signature; another log or version proves nothing."""

    def flip(data):
        return data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :]

    assert verify(made(), root)
    expected = {"sct-untrusted"} if 1 <= byte < 33 else {"sct-invalid", "certificate-malformed", "sct-untrusted"}
    with pytest.raises(TrustFailure) as caught:
        verify(made(alter={"signed-sct": flip}), root)
    assert caught.value.code in expected


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:40],
        lambda data: b"",
    ],
)
def test_C08_cut_off_or_too_long(made, root, change):
    assert refused(made(alter={"signed-sct": change}), root) in {"certificate-malformed", "sct-invalid"}


def test_a_list_that_is_cut_off_is_refused():
    recorded = certificates.read_leaf(RECORDED[0].der)
    path = certificates.path_at(recorded, ROOT, recorded.not_before)
    assert sct.verify_scts(recorded, path, ROOT, detached=())
    for data in (recorded.scts[:-1], recorded.scts + b"\0", b"", b"\0\0", b"\0\2\0\0", recorded.scts[2:]):
        with pytest.raises(TrustFailure) as caught:
            sct.verify_scts(recorded._replace(scts=data), path, ROOT, detached=())
        assert caught.value.code == ("sct-missing" if data == b"\0\0" else "sct-invalid")


@given(st.binary(max_size=300))
def test_any_list_is_refused_with_a_code(data):
    recorded = certificates.read_leaf(RECORDED[0].der)
    path = certificates.path_at(recorded, ROOT, recorded.not_before)
    for changes, detached in (({"scts": data}, ()), ({}, (data,))):
        with pytest.raises(TrustFailure) as caught:
            sct.verify_scts(recorded._replace(**changes), path, ROOT, detached=detached)
        assert caught.value.code in {"sct-invalid", "sct-missing", "sct-untrusted"}


def test_too_many_are_refused(made, root):
    few = {"scts": lambda scts: scts * limits.SCTS}
    many = {"scts": lambda scts: scts * (limits.SCTS + 1)}
    assert len(verify(made(alter=few), root)) == 1
    assert refused(made(alter=many), root) == "sct-invalid"


# -- the log


def test_a_key_counts_while_it_was_in_use(made, root):
    der = made()
    [found] = verify(der, root)

    def during(start, end):
        log = found.log._replace(valid=Period(start, end))
        return root._replace(ct_logs=(log,))

    assert verify(der, during(found.time, found.time))
    assert refused(der, during(found.time + 0.001, None)) == "sct-untrusted"
    assert refused(der, during(None, found.time - 0.001)) == "sct-untrusted"


def test_C14_a_retired_log_promises_nothing_new(made, root):
    assert refused(made(ct="retired"), root) == "sct-untrusted"
    assert logs(verify(made(ct=("retired", "current")), root)) == ["https://current.ct.test"]


def of(key, base_url="https://own.ct.test"):
    public = algorithms.parse_spki(spki(key))
    return Log(base_url, public, "", Period(None, None), hashlib.sha256(public.spki).digest())


def signed_by(key, name=b"\x04\x03"):
    """A change of an SCT: by another kind of key."""

    def change(made):
        class Signer:
            @staticmethod
            def sign(covered, _scheme):
                if isinstance(key, rsa.RSAPrivateKey):
                    return key.sign(covered, padding.PKCS1v15(), hashes.SHA256())
                if isinstance(key, ed25519.Ed25519PrivateKey):
                    return key.sign(covered)
                return key.sign(covered, ec.ECDSA(hashes.SHA256()))

        return made._replace(log_id=hashlib.sha256(spki(key)).digest(), key=Signer)

    return {"sct": change, "signed-sct": lambda data: data[:43] + name + data[45:]}


def test_logs_with_other_keys(made, root):
    elliptic, old = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
    for key, name, wrong in ((elliptic, b"\x04\x03", b"\x04\x01"), (old, b"\x04\x01", b"\x04\x03")):
        known = root._replace(ct_logs=(of(key),))
        assert logs(verify(made(alter=signed_by(key, name)), known)) == ["https://own.ct.test"]
        assert refused(made(alter=signed_by(key, wrong)), known) == "sct-invalid"


@pytest.mark.parametrize("name", [b"\x05\x03", b"\x02\x03", b"\x04\x02"])
def test_only_the_algorithms_of_the_standard(made, root, name):
    """SHA-384, SHA-1, DSA: neither is what signed, and RFC 6962 has none of them."""
    key = ec.generate_private_key(ec.SECP256R1())
    known = root._replace(ct_logs=(of(key),))
    assert verify(made(alter=signed_by(key)), known)
    assert refused(made(alter=signed_by(key, name)), known) in {"sct-invalid", "certificate-malformed"}


def test_ed25519_is_no_key_of_a_ct_log(made, root):
    key = ed25519.Ed25519PrivateKey.generate()
    assert refused(made(alter=signed_by(key, b"\x04\x03")), root._replace(ct_logs=(of(key),))) == "sct-invalid"


# -- beside the certificate


def detached(key, der, at, *, extensions=b"", log_id=None, version=0):
    """Serialized, and as a log answers `add-chain`."""
    covered = b"\0\0" + at.to_bytes(8, "big") + b"\0\0" + len(der).to_bytes(3, "big") + der
    covered += len(extensions).to_bytes(2, "big") + extensions
    signature = key.sign(covered, ec.ECDSA(hashes.SHA256()))
    name = log_id or hashlib.sha256(spki(key)).digest()
    digitally_signed = b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
    serialized = bytes([version]) + name + at.to_bytes(8, "big")
    serialized += len(extensions).to_bytes(2, "big") + extensions + digitally_signed
    answer = {"sct_version": version, "id": _b64(name), "timestamp": at}
    answer |= {"extensions": _b64(extensions), "signature": _b64(digitally_signed)}
    return serialized, json.dumps(answer).encode()


def _b64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("extensions", [b"", b"\0\0\5\0\0\0\0\1"])
def test_one_that_comes_beside_the_certificate(trust_service, made, root, form, extensions):
    key, der = trust_service.ct_log().key, made(ct=())
    at = int(certificates.read_leaf(der).not_before * 1000) + 7
    data = detached(key, der, at, extensions=extensions)[form]
    [found] = verify(der, root, data)
    assert (found.log.base_url, found.time) == ("https://current.ct.test", at / 1000)
    assert refused(made(ct=()), root, data) == "sct-invalid"
    assert refused(der, root, detached(key, der[:-1], at)[form]) == "sct-invalid"
    assert refused(der, root, detached(key, der, at, version=1)[form]) == "sct-invalid"
    assert refused(der, root, detached(key, der, at, log_id=bytes(32))[form]) == "sct-untrusted"
    assert refused(der, root, data[:-3]) == "sct-invalid"


def test_one_beside_the_certificate_must_be_good_too(trust_service, made, root):
    der = made()
    at = int(certificates.read_leaf(der).not_before * 1000)
    assert len(verify(der, root, detached(trust_service.ct_log().key, der, at)[0])) == 1
    assert len(verify(der, root, detached(trust_service.ct_log("second").key, der, at)[0])) == 2
    assert refused(der, root, detached(trust_service.ct_log("second").key, der[:-1], at)[0]) == "sct-invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"sct_version": 1},
        {"sct_version": None},
        {"sct_version": False},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": True},
        {"timestamp": 1.5},
        {"timestamp": 2**64},
        {"signature": None},
        {"signature": "BAM*"},
        {"signature": ""},
        {"id": ""},
        {"id": 7},
        {"extensions": None},
        {"extensions": _b64(bytes(70_000))},
    ],
)
def test_answers_of_logs_that_are_not_read(trust_service, made, root, changes):
    der = made(ct=())
    at = int(certificates.read_leaf(der).not_before * 1000)
    answer = json.loads(detached(trust_service.ct_log().key, der, at)[1])
    assert verify(der, root, json.dumps(answer).encode())
    assert refused(der, root, json.dumps(answer | changes).encode()) in {"sct-invalid", "sct-untrusted"}


def test_answers_that_mean_two_things_are_refused(trust_service, made, root):
    der = made(ct=())
    at = int(certificates.read_leaf(der).not_before * 1000)
    answer = detached(trust_service.ct_log().key, der, at)[1]
    assert verify(der, root, b"\n" + answer)
    assert refused(der, root, answer[:-1] + b', "id": ""}') == "sct-invalid"
    assert refused(der, root, b'{"sct_version": 0}') == "sct-invalid"
    assert refused(der, root, b"{") == "sct-invalid"
