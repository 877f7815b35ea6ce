"""Timestamps: those of real clients, and every way in which one can be altered, or be about something else (S01, S13)."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.trust import proof, timestamps
from sealgate.trust.failure import TrustFailure
from trust.recordings import PUBLIC, of_bundle, of_made, root_of
from trust.stamping import (
    LEAF,
    NOW,
    RECORDED,
    ROOT,
    SIGNATURE,
    Maker,
    certificate,
    length_of,
    parts_of,
    refusal,
    root_with,
    signer_with,
    verify,
)
from trust_service import der


@pytest.fixture(scope="module")
def maker():
    return Maker()


# -- what is real


@pytest.mark.parametrize("case", RECORDED, ids=[case.name for case in RECORDED])
def test_every_recorded_timestamp_verifies(case):
    for response in case.timestamps:
        stamp = verify(response, ROOT, case.stamped)
        assert stamp.authority in ROOT.timestamp_authorities
        assert 1_795_354_000 < stamp.time < 1_795_355_000


@pytest.mark.parametrize("name", ["rekor1-hashedrekord-of-envelope", "rekor2-dsse"])
def test_timestamps_of_public_authorities_verify(name):
    root = root_of(json.loads((PUBLIC / "trusted_root.json").read_bytes()))
    case = of_bundle(name, (PUBLIC / f"{name}.json").read_bytes(), b"", None)
    [response] = case.timestamps
    stamp = verify(response, root, case.signed.signature)
    assert stamp.time in {1_778_701_653, 1_753_473_184}
    assert refusal(lambda: verify(response, root)) == "timestamp-not-bound"
    assert refusal(lambda: verify(response, ROOT, case.signed.signature)) == "timestamp-untrusted"


def test_cosign_2_stamps_the_whole_layer_of_a_legacy_attestation():
    case = next(case for case in RECORDED if case.layer is not None)
    [response] = case.timestamps
    asked = proof.demand(ROOT, now=NOW, insecure_ignore_log=False, insecure_ignore_sct=True, use_signed_timestamps=True)
    material = proof.Material(promises=case.promises, timestamps=case.timestamps, stamped=case.layer)
    codes = {check.code: check.outcome for check in proof.prove(case.signed, None, material, asked).checks}
    assert codes == {"log-entry-verified": "passed", "timestamp-verified": "passed"}
    bare = proof.prove(case.signed, None, material._replace(stamped=None), asked)
    assert ("timestamp-not-bound", "failed") in {(check.code, check.outcome) for check in bare.checks}
    assert refusal(lambda: verify(response, ROOT, case.signed.signature)) == "timestamp-not-bound"


def test_S13_of_a_legacy_attestation_the_layer_or_the_signature_is_stamped_and_nothing_else(trust_service):
    """cosign 3.1.1 stamps the signature; over anything else it counts for nothing."""
    made = trust_service.make_bundle(rekor=1, kind="dsse", tsa="current")
    root = root_of(trust_service.trusted_root())
    [response] = made.timestamps
    for stamped, good in (((made.signature, b"layer"), True), ((b"layer", made.signature), True), ((b"layer",), False)):
        if good:
            assert timestamps.verify_timestamp(response, stamped, root).authority in root.timestamp_authorities
        else:
            failure = refusal(lambda stamped=stamped: timestamps.verify_timestamp(response, stamped, root))
            assert failure == "timestamp-not-bound"


def test_S13_no_recorded_timestamp_is_about_another_recorded_signature():
    for case in RECORDED:
        for other in RECORDED:
            if other is not case:
                for response in other.timestamps:
                    code = refusal(lambda response=response, case=case: verify(response, ROOT, case.stamped))
                    assert code == "timestamp-not-bound"


def test_what_the_private_sigstore_stamps_verifies(trust_service):
    root = root_of(trust_service.trusted_root())
    case = of_made(trust_service.make_bundle(tsa=("current", "second")))
    found = [verify(response, root, case.signed.signature) for response in case.timestamps]
    assert [stamp.authority.uri for stamp in found] == ["https://current.tsa.test", "https://second.tsa.test"]


# -- (S01) the token's own signature


def test_S01_every_altered_byte_is_refused_or_changes_nothing():
    case = next(case for case in RECORDED if case.name == "blob-c31-email/bundle.json")
    [response] = case.timestamps
    good = verify(response, ROOT, case.stamped)
    same = 0
    for at in range(len(response)):
        for bit in (1, 0x80):
            altered = response[:at] + bytes([response[at] ^ bit]) + response[at + 1 :]
            try:
                stamp = verify(altered, ROOT, case.stamped)
            except TrustFailure as failure:
                assert failure.code.startswith("timestamp-")
                continue
            assert stamp == good
            same += 1
    assert same < 40  # versions, and the list of hashes that nobody signs


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made._replace(claimed_digest=b"x" * 32),
        lambda made: made._replace(key=ec.generate_private_key(ec.SECP256R1())),
        lambda made: made._replace(content_type="1.2.840.113549.1.7.1"),
    ],
    ids=["messageDigest", "key", "contentType"],
)
def test_S01_what_is_signed_must_be_this_timestamp(maker, change):
    assert verify(maker.stamp(), root_with(maker.chain))
    code = refusal(lambda: verify(maker.stamp(alter={"timestamp": change}), root_with(maker.chain)))
    assert code in {"timestamp-invalid", "timestamp-malformed"}


def test_S01_signed_attributes_may_not_be_left_out(maker):
    root = root_with(maker.chain)
    response = maker.stamp()
    assert verify(signer_with(response, lambda parts: parts), root)
    assert (
        refusal(lambda: verify(signer_with(response, lambda parts: parts[:3] + parts[4:]), root))
        == "timestamp-malformed"
    )


def test_S01_the_signer_of_another_token_of_the_same_authority_does_not_fit(maker):
    root = root_with(maker.chain)
    response, other = maker.stamp(), maker.stamp(NOW + 1)
    parts, again = parts_of(response)
    assert verify(again(parts), root)
    foreign = parts_of(other)[0][-1]
    assert refusal(lambda: verify(again([*parts[:-1], foreign]), root)) == "timestamp-invalid"


@pytest.mark.parametrize("index", range(4))
def test_S01_every_signed_attribute_that_counts_must_be_there_once(maker, index):
    root = root_with(maker.chain)

    def altered(change):
        """Signed again with other attributes."""
        parts, again = parts_of(maker.stamp())
        [signer] = parts[-1].children()
        members = signer.children()
        attributes = change([one.raw for one in members[3].children()])
        covered = der.set_of(*attributes)
        members[3] = der.Element(0xA0, covered[1 + length_of(covered) :])
        signature = maker.key.sign(covered, ec.ECDSA(hashes.SHA256()))
        members[5] = der.Element(0x04, signature)
        return again([*parts[:-1], der.Element(0x31, der.sequence(*(one.raw for one in members)))])

    assert verify(altered(lambda them: them), root)
    twice = refusal(lambda: verify(altered(lambda them: [*them, them[index]]), root))
    assert twice == "timestamp-malformed"
    without = altered(lambda them: them[:index] + them[index + 1 :])
    signing_time = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05" not in without
    if signing_time:
        assert verify(without, root)  # a claim like any other
    else:
        assert refusal(lambda: verify(without, root)) == "timestamp-invalid"


def test_S02_there_is_one_signer(maker):
    root = root_with(maker.chain)
    parts, again = parts_of(maker.stamp())
    signers = parts[-1]
    assert verify(again(parts), root)
    twice = again([*parts[:-1], der.Element(0x31, signers.content * 2)])
    assert refusal(lambda: verify(twice, root)) == "timestamp-malformed"
    none = again([*parts[:-1], der.Element(0x31, b"")])
    assert refusal(lambda: verify(none, root)) == "timestamp-malformed"


# -- (S13) what it is about


def test_S13_a_timestamp_is_about_the_raw_signature(maker):
    root = root_with(maker.chain)
    assert verify(maker.stamp(), root)
    for other in (b"", SIGNATURE + b"\n", SIGNATURE.hex().encode(), b"another"):
        assert refusal(lambda other=other: verify(maker.stamp(), root, other)) == "timestamp-not-bound"
    assert refusal(lambda: verify(maker.stamp(imprint=SIGNATURE), root)) == "timestamp-not-bound"
    assert refusal(lambda: verify(maker.stamp(imprint=b""), root)) == "timestamp-not-bound"


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_imprints_of_accepted_hashes(maker, name):
    imprint = hashlib.new(name, SIGNATURE).digest()
    assert verify(maker.stamp(hash_=name, imprint=imprint), root_with(maker.chain))
    wrong = "sha512" if name == "sha256" else "sha256"
    assert (
        refusal(lambda: verify(maker.stamp(hash_=wrong, imprint=imprint), root_with(maker.chain)))
        == "timestamp-not-bound"
    )


def test_S13_an_imprint_of_sha1_is_refused(maker):
    imprint = hashlib.sha1(SIGNATURE).digest()
    assert (
        refusal(lambda: verify(maker.stamp(hash_="sha1", imprint=imprint), root_with(maker.chain)))
        == "timestamp-invalid"
    )


@pytest.mark.parametrize("status", [0, 1])
def test_a_timestamp_may_be_granted_with_modifications(maker, status):
    assert verify(maker.stamp(status=status), root_with(maker.chain))


@pytest.mark.parametrize("status", [2, 3, 4, 5, 6])
def test_what_was_not_granted_is_no_timestamp(maker, status):
    assert refusal(lambda: verify(maker.stamp(status=status), root_with(maker.chain))) == "timestamp-invalid"


def test_a_status_that_refuses_is_not_outweighed_by_a_token(maker):
    [whole] = der.read_all(maker.stamp())
    _, token = whole.children()
    refused = der.sequence(der.sequence(der.integer(2)), token.raw)
    assert refusal(lambda: verify(refused, root_with(maker.chain))) == "timestamp-invalid"


# -- schemes


@pytest.mark.parametrize(
    ("identifier", "hashed"),
    [
        ("1.2.840.113549.1.1.11", hashes.SHA256()),
        ("1.2.840.113549.1.1.13", hashes.SHA512()),
        ("1.2.840.113549.1.1.1", hashes.SHA256()),
    ],
)
def test_authorities_may_sign_with_rsa(identifier, hashed):
    from cryptography.hazmat.primitives.asymmetric import padding

    made = Maker()
    key = rsa.generate_private_key(65537, 2048)
    made.leaf = certificate("tsa", key, issuer="tsa middle", issuer_key=made.keys[1], **LEAF)

    def rewrite(parts):
        covered = b"\x31" + parts[3].raw[1:]
        parts[4] = der.Element(0x30, der.oid(identifier) + b"\x05\x00")
        parts[5] = der.Element(0x04, key.sign(covered, padding.PKCS1v15(), hashed))
        return parts

    response = signer_with(made.stamp(), rewrite)
    assert verify(response, root_with(made.chain))
    broken = response[:-1] + bytes([response[-1] ^ 1])
    assert refusal(lambda: verify(broken, root_with(made.chain))) == "timestamp-invalid"


@pytest.mark.parametrize(
    "identifier",
    [
        "1.2.840.10045.4.1",
        "1.2.840.113549.1.1.5",
        "1.2.840.113549.1.1.10",
        "1.2.840.113549.1.1.11",
        "1.3.101.112",
        "1.2.3",
    ],
)
def test_another_algorithm_than_the_keys_is_refused(maker, identifier):
    def rewrite(parts):
        parts[4] = der.Element(0x30, der.oid(identifier))
        return parts

    assert refusal(lambda: verify(signer_with(maker.stamp(), rewrite), root_with(maker.chain))) == "timestamp-invalid"


def test_a_digest_of_sha1_is_refused(maker):
    def rewrite(parts):
        parts[2] = der.Element(0x30, der.oid("1.3.14.3.2.26"))
        return parts

    assert refusal(lambda: verify(signer_with(maker.stamp(), rewrite), root_with(maker.chain))) == "timestamp-invalid"


# -- what is no timestamp


@pytest.mark.parametrize(
    "change",
    [
        lambda response: b"",
        lambda response: b"\x30",
        lambda response: b"\x30\x00",
        lambda response: b"\x30\x80" + response[4:] + b"\0\0",
        lambda response: response + b"\0",
        lambda response: response[:-1],
        lambda response: b"\x31" + response[1:],
        lambda response: response.replace(b"\x30\x03\x02\x01\x00", b"\x30\x81\x03\x02\x01\x00", 1),
        lambda response: der.sequence(der.sequence(der.integer(0))),
        lambda response: der.sequence(der.sequence()),
        lambda response: der.sequence(der.sequence(der.utf8("granted"))),
        lambda response: der.sequence(der.sequence(der.integer(0)), der.sequence()),
        lambda response: response + bytes(limits.TIMESTAMP_BYTES),
        lambda response: b"0" * 1000,
        lambda response: b"\x30\x82" + response[1:],
    ],
)
def test_what_is_no_response_is_refused(maker, change):
    root = root_with(maker.chain)
    assert verify(maker.stamp(), root)
    assert refusal(lambda: verify(change(maker.stamp()), root)) == "timestamp-malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_code(data):
    assert refusal(lambda: verify(data, ROOT)) in {"timestamp-malformed", "timestamp-invalid"}
    assert refusal(lambda: verify(der.sequence(der.sequence(der.integer(0)), data), ROOT)) == "timestamp-malformed"


@given(st.data())
def test_whatever_is_put_into_a_token_it_is_refused_or_changes_nothing(data):
    case = RECORDED[0]
    [response] = case.timestamps
    at = data.draw(st.integers(0, len(response)))
    end = data.draw(st.integers(at, min(len(response), at + 40)))
    altered = response[:at] + data.draw(st.binary(max_size=40)) + response[end:]
    try:
        stamp = verify(altered, ROOT, case.stamped)
    except TrustFailure as failure:
        assert failure.code.startswith("timestamp-")
    else:
        assert stamp == verify(response, ROOT, case.stamped)
