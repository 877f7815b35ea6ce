"""Who signs timestamps: the certificate of the trust root, what it must be, and when (S02, S03, S09, S11, S12)."""

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sealgate.trust.root import Authority, Period, TrustRoot
from trust.recordings import of_made, root_of
from trust.stamping import (
    DAY,
    IMPRINT,
    LEAF,
    NOW,
    PURPOSE,
    Maker,
    bag_of,
    certificate,
    length_of,
    refusal,
    root_with,
    signer_with,
    verify,
)
from trust_service import der, timestamping


@pytest.fixture(scope="module")
def maker():
    return Maker()


# -- (S02, S03) who signed


def test_S02_S03_what_else_is_in_the_bag_changes_nothing(maker):
    pinned = Maker(name="pinned")
    key = ec.generate_private_key(ec.SECP256R1())
    forged = certificate("pinned", key, **LEAF)
    dummy = certificate("dummy", key, issuer="tsa", issuer_key=maker.key, **LEAF)
    twin = certificate("tsa", key, issuer="tsa middle", issuer_key=key, serial=maker.leaf.serial_number, **LEAF)
    bags = [
        [forged, dummy], [dummy, forged], [forged, maker.leaf, dummy], [maker.leaf, forged], [pinned.leaf, pinned.middle],
        [twin], [twin, maker.leaf], [maker.leaf, twin], [maker.root, maker.middle, maker.leaf], [],
    ]  # fmt: skip
    for bag in bags:
        response = bag_of(maker.stamp(), bag)
        assert verify(response, root_with(maker.chain)).time == NOW
        assert verify(response, root_with(maker.chain[1:])).time == NOW if maker.leaf in bag else True
        assert refusal(lambda response=response: verify(response, root_with(pinned.chain))) == "timestamp-untrusted"
        assert refusal(lambda response=response: verify(response, root_with(pinned.chain[1:]))) == "timestamp-untrusted"


def test_S02_naming_the_certificate_of_another_authority_is_not_being_it(maker):
    """The attacker has a key and a certificate of his own, and names the one that is trusted."""
    thief = Maker(name="thief")
    root = root_with(maker.chain)
    assert refusal(lambda: verify(thief.stamp(), root)) == "timestamp-untrusted"
    assert refusal(lambda: verify(thief.stamp(named=maker.leaf), root)) == "timestamp-invalid"
    assert refusal(lambda: verify(bag_of(thief.stamp(named=maker.leaf), [thief.leaf]), root)) == "timestamp-invalid"
    assert verify(thief.stamp(), root_with(maker.chain, thief.chain)).authority.uri == "https://tsa1.test"


def test_S02_the_certificate_that_is_named_is_hashed(maker):
    """Another certificate with the same issuer and number."""
    twin = certificate(
        "tsa", maker.key, issuer="tsa middle", issuer_key=maker.keys[1], serial=maker.leaf.serial_number, **LEAF
    )
    assert verify(maker.stamp(named=maker.leaf), root_with(maker.chain))
    assert refusal(lambda: verify(maker.stamp(named=twin), root_with(maker.chain))) == "timestamp-invalid"
    assert (
        refusal(lambda: verify(bag_of(maker.stamp(named=twin), [twin]), root_with(maker.chain))) == "timestamp-invalid"
    )


@pytest.mark.parametrize("good", [True, False])
def test_the_certificate_may_be_named_as_it_was_before_sha256(maker, good):
    """ESSCertID of RFC 2634, with SHA-1: who signed says the trust root, not this hash."""
    digest = hashlib.sha1(maker.chain[0]).digest() if good else b"x" * 20
    value = der.sequence(der.sequence(der.sequence(der.octets(digest))))
    old = der.sequence(der.oid("1.2.840.113549.1.9.16.2.12"), der.set_of(value))

    def rewrite(parts):
        kept = [one.raw for one in parts[3].children() if der.oid("1.2.840.113549.1.9.16.2.47") not in one.raw]
        covered = der.set_of(*kept, old)
        parts[3] = der.Element(0xA0, covered[1 + length_of(covered) :])
        parts[5] = der.Element(0x04, maker.key.sign(covered, ec.ECDSA(hashes.SHA256())))
        return parts

    response = signer_with(maker.stamp(), rewrite)
    if good:
        assert verify(response, root_with(maker.chain))
    else:
        assert refusal(lambda: verify(response, root_with(maker.chain))) == "timestamp-invalid"


def test_the_certificate_may_come_along_where_the_root_has_none(maker):
    root = root_with(maker.chain[1:])
    assert verify(bag_of(maker.stamp(), [maker.leaf]), root)
    assert refusal(lambda: verify(maker.stamp(), root)) == "timestamp-untrusted"
    thief = Maker(name="tsa")  # the same names, other keys
    assert refusal(lambda: verify(bag_of(thief.stamp(), thief.certificates), root)) == "timestamp-untrusted"


def test_a_certificate_that_comes_along_is_no_authority(maker):
    """One that the root's authority issued is not enough: it must be for timestamps."""
    other = Maker()
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificate(
        "server", key, issuer="tsa middle", issuer_key=other.keys[1], purposes=(x509.ExtendedKeyUsageOID.SERVER_AUTH,)
    )
    response = bag_of(other.stamp(key=key, named=leaf), [leaf])
    assert refusal(lambda: verify(response, root_with(other.chain[1:]))) == "timestamp-invalid"
    assert verify(bag_of(other.stamp(), [other.leaf]), root_with(other.chain[1:]))


def test_S09_without_authorities_nothing_is_trusted(maker):
    assert refusal(lambda: verify(maker.stamp(), root_with())) == "timestamp-untrusted"
    assert refusal(lambda: verify(maker.stamp(), root_with(()))) == "timestamp-untrusted"


def test_a_strangers_timestamp_is_untrusted(trust_service):
    case = of_made(trust_service.make_bundle(tsa="stranger"))
    [response] = case.timestamps
    root = root_of(trust_service.trusted_root())
    assert refusal(lambda: verify(response, root, case.signed.signature)) == "timestamp-untrusted"
    everybody = root_of(trust_service.trusted_root(tsa=["stranger"]))
    assert verify(response, everybody, case.signed.signature)


# -- (S11) certificates


@pytest.mark.parametrize(
    "leaf",
    [
        {"purposes": ()},
        {"critical": False},
        {"purposes": (PURPOSE, x509.ExtendedKeyUsageOID.SERVER_AUTH)},
        {"purposes": (x509.ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"purposes": (x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"usages": ("key_encipherment",)},
        {"more": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),)},
    ],
    ids=str,
)
def test_S11_the_certificate_is_for_timestamps_alone(leaf):
    made = Maker(leaf=leaf)
    assert refusal(lambda: verify(made.stamp(), root_with(made.chain))) == "timestamp-invalid"


@pytest.mark.parametrize(
    "leaf",
    [
        {},
        {"basic": False},
        {"usages": ()},
        {"usages": ("content_commitment",)},
        {"more": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False),)},
    ],
    ids=str,
)
def test_S11_what_else_the_certificate_may_say(leaf):
    made = Maker(leaf=leaf)
    assert verify(made.stamp(), root_with(made.chain)).time == NOW


def test_S11_an_authoritys_own_certificate_stamps_nothing():
    made = Maker(leaf={"ca": True})
    assert refusal(lambda: verify(made.stamp(), root_with(made.chain))) == "timestamp-untrusted"
    assert refusal(lambda: verify(bag_of(made.stamp(), [made.leaf]), root_with(made.chain[1:]))) == "timestamp-invalid"


@pytest.mark.parametrize("part", ["middle", "root"])
@pytest.mark.parametrize(
    "words",
    [
        {"ca": False},
        {"basic": False},
        {"usages": ("digital_signature",)},
        {"purposes": (x509.ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"more": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),)},
    ],
    ids=str,
)
def test_S11_the_chain_is_one_of_authorities(part, words):
    made = Maker(**{part: words})
    assert refusal(lambda: verify(made.stamp(), root_with(made.chain))) == "timestamp-invalid"


@pytest.mark.parametrize(
    "words",
    [{"purposes": (PURPOSE,)}, {"purposes": (x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, {"usages": ()}],
)
def test_an_intermediate_may_be_for_timestamps(words):
    made = Maker(middle=words)
    assert verify(made.stamp(), root_with(made.chain))


def test_the_length_of_the_chain_is_bounded_by_the_root():
    assert verify((made := Maker(root={"length": 1})).stamp(), root_with(made.chain))
    made = Maker(root={"length": 0})
    assert refusal(lambda: verify(made.stamp(), root_with(made.chain))) == "timestamp-invalid"


def test_the_chain_must_hold(maker):
    other = Maker()
    mixed = (maker.chain[0], other.chain[1], other.chain[2])
    assert refusal(lambda: verify(maker.stamp(), root_with(mixed))) == "timestamp-invalid"
    assert refusal(lambda: verify(maker.stamp(), root_with((maker.chain[0], maker.chain[2])))) == "timestamp-invalid"
    assert verify(maker.stamp(), root_with(maker.chain[:2]))  # the last one is the anchor, whoever it is


# -- (S12) time


def test_S12_the_period_of_the_authority_is_closed(maker):
    for at, good in ((NOW, True), (NOW + 10, True), (NOW - 1, False), (NOW + 11, False)):
        root = root_with(maker.chain, valid=Period(NOW, NOW + 10))
        if good:
            assert verify(maker.stamp(at), root).time == at
        else:
            assert refusal(lambda at=at, root=root: verify(maker.stamp(at), root)) == "timestamp-untrusted"


@pytest.mark.parametrize("part", ["leaf", "middle", "root"])
def test_S12_every_certificate_is_valid_at_the_time_that_is_told(part):
    made = Maker(**{part: {"start": NOW, "end": NOW + 10}})
    root = root_with(made.chain)
    for at, good in ((NOW, True), (NOW + 10, True), (NOW - 1, False), (NOW + 11, False)):
        if good:
            assert verify(made.stamp(at), root).time == at
        else:
            assert refusal(lambda at=at: verify(made.stamp(at), root)) == "timestamp-invalid"


def test_a_chain_that_has_ended_since_is_good(trust_service):
    root = root_of(trust_service.trusted_root())
    at = trust_service.now() - 30 * DAY
    case = of_made(trust_service.make_bundle(tsa=("expired", "retired"), at=at))
    for response in case.timestamps:
        assert verify(response, root, case.signed.signature).time == int(at)


def test_an_authority_may_stand_in_the_root_for_several_periods(maker):
    first = Authority(maker.chain, Period(0, NOW - 1), "https://past.test")
    second = Authority(maker.chain, Period(NOW, None), "https://present.test")
    root = TrustRoot((), (), (), (first, second))
    assert verify(maker.stamp(), root).authority.uri == "https://present.test"
    assert verify(maker.stamp(NOW - 5), root).authority.uri == "https://past.test"


def with_time(maker, text):
    """A timestamp with a time as it is never written, signed by its authority."""

    class Odd(timestamping.Timestamp):
        def info(self):
            [info] = der.read_all(super().info())
            parts = [der.tlv(0x18, text) if part.tag == 0x18 else part.raw for part in info.children()]
            return der.sequence(*parts)

    return Odd("sha256", IMPRINT, NOW, None, False, maker.key, maker.certificates, 7).signed()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (b"20260921135320Z", 1_789_998_800),
        (b"20260921135320.5Z", 1_789_998_800.5),
        (b"20260921135320.001Z", 1_789_998_800.001),
    ],
)
def test_times_may_have_fractions(maker, text, at):
    assert verify(with_time(maker, text), root_with(maker.chain)).time == at


@pytest.mark.parametrize(
    "text",
    [
        b"", b"20260921135320", b"20260921135320+0200", b"202609211353Z", b"260921135320Z", b"20260921135320.Z",
        b"20260921135320.50Z", b"20260921135320,5Z", b"20261321135320Z", b"20260921245320Z", b"20260921135360Z",
        b"00000101000000Z", b" 0260921135320Z", b"20260921135320Z\0", b"20260921135320.1234567891Z",
    ],
)  # fmt: skip
def test_S12_a_time_is_whole_and_in_utc(maker, text):
    assert refusal(lambda: verify(with_time(maker, text), root_with(maker.chain))) == "timestamp-malformed"
