"""Timestamps: those of real clients, and each wrong one of the catalogue (S01 to S13)."""

import datetime
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.trust import proof, timestamps
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Authority, Period, TrustRoot
from trust.recordings import PUBLIC, of_bundle, of_made, recorded, recorded_root, root_of
from trust_service import der, timestamping
from trust_service.hooks import Hooks

ROOT = recorded_root()
RECORDED = [case for case in recorded() if case.timestamps]
SIGNATURE = b"the raw bytes of a signature"
IMPRINT = hashlib.sha256(SIGNATURE).digest()
NOW = 1_790_000_000.0
DAY, YEAR = 86_400, 31_536_000
OPEN = Period(None, None)
PURPOSE = x509.ExtendedKeyUsageOID.TIME_STAMPING


def root_with(*chains, valid=OPEN):
    return TrustRoot(
        (), (), (), tuple(Authority(chain, valid, f"https://tsa{n}.test") for n, chain in enumerate(chains))
    )


def verify(response, root, signature=SIGNATURE):
    return timestamps.verify_timestamp(response, signature, root)


def refusal(function):
    with pytest.raises(TrustFailure) as failure:
        function()
    assert failure.value.message.startswith("its timestamp")
    return failure.value.code


# -- authorities with whatever certificates


def certificate(
    name, key, *, issuer=None, issuer_key=None, ca=False, purposes=(), critical=True, usages=("digital_signature",),
    start=NOW - YEAR, end=NOW + YEAR, length=None, basic=True, more=(), serial=None, hashed=None,
):  # fmt: skip
    def named(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def moment(at):
        return datetime.datetime.fromtimestamp(at, datetime.UTC)

    builder = x509.CertificateBuilder(
        named(issuer or name),
        named(name),
        key.public_key(),
        serial or x509.random_serial_number(),
        moment(start),
        moment(end),
    )
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca, length), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=critical)
    if usages:
        words = (
            "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
            "encipher_only decipher_only"
        ).split()
        builder = builder.add_extension(x509.KeyUsage(**{word: word in usages for word in words}), critical=True)
    for extension, is_critical in more:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuer_key or key, hashed or hashes.SHA256())


CA = {"ca": True, "usages": ("key_cert_sign",)}
LEAF = {"purposes": (PURPOSE,)}


class Maker:
    """An authority: root, intermediate, leaf, of which a test changes any."""

    def __init__(self, *, leaf=None, middle=None, root=None, name="tsa"):
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        root_key, middle_key, self.key = self.keys
        self.root = certificate(f"{name} root", root_key, **(CA | (root or {})))
        self.middle = certificate(
            f"{name} middle", middle_key, issuer=f"{name} root", issuer_key=root_key, **(CA | (middle or {}))
        )
        issued = {"issuer": f"{name} middle", "issuer_key": middle_key}
        self.leaf = certificate(name, self.key, **(issued | LEAF | (leaf or {})))

    @property
    def certificates(self):
        return self.leaf, self.middle, self.root

    @property
    def chain(self):
        return tuple(one.public_bytes(Encoding.DER) for one in self.certificates)

    def stamp(self, at=NOW, *, alter=None, imprint=IMPRINT, hash_="sha256", key=None, **changes):
        hooks = Hooks({name: (change,) for name, change in (alter or {}).items()})
        made = timestamping.Timestamp(hash_, imprint, at, None, False, key or self.key, self.certificates, 1 << 100)
        return hooks("signed-timestamp", hooks("timestamp", made._replace(**changes)).signed())


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


def test_cosign_stamps_the_whole_layer_of_a_legacy_attestation():
    case = next(case for case in RECORDED if case.layer is not None)
    [response] = case.timestamps
    asked = proof.demand(ROOT, now=NOW, insecure_ignore_log=False, insecure_ignore_sct=True, use_signed_timestamps=True)
    material = proof.Material(promises=case.promises, timestamps=case.timestamps, stamped=case.layer)
    codes = {check.code: check.outcome for check in proof.prove(case.signed, None, material, asked).checks}
    assert codes == {"log-entry-verified": "passed", "timestamp-verified": "passed"}
    bare = proof.prove(case.signed, None, material._replace(stamped=None), asked)
    assert ("timestamp-not-bound", "failed") in {(check.code, check.outcome) for check in bare.checks}
    assert refusal(lambda: verify(response, ROOT, case.signed.signature)) == "timestamp-not-bound"


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


def parts_of(response):
    """The elements of SignedData, and a function that puts them together again."""
    [whole] = der.read_all(response)
    status, token = whole.children()
    kind, content = token.children()
    [data] = content.children()

    def again(parts):
        inner = der.tlv(0xA0, der.sequence(*(part.raw for part in parts)))
        return der.sequence(status.raw, der.sequence(kind.raw, inner))

    return data.children(), again


def signer_with(response, change):
    parts, again = parts_of(response)
    [signer] = parts[-1].children()
    changed = change(signer.children())
    return again([*parts[:-1], der.Element(0x31, der.sequence(*(part.raw for part in changed)))])


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
        members[3] = der.Element(0xA0, covered[1 + _length_of(covered) :])
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


def _length_of(element):
    return 1 if element[1] < 0x80 else 1 + (element[1] & 0x7F)


def test_S02_there_is_one_signer(maker):
    root = root_with(maker.chain)
    parts, again = parts_of(maker.stamp())
    signers = parts[-1]
    assert verify(again(parts), root)
    twice = again([*parts[:-1], der.Element(0x31, signers.content * 2)])
    assert refusal(lambda: verify(twice, root)) == "timestamp-malformed"
    none = again([*parts[:-1], der.Element(0x31, b"")])
    assert refusal(lambda: verify(none, root)) == "timestamp-malformed"


# -- (S02, S03) who signed


def bag_of(response, certificates):
    parts, again = parts_of(response)
    parts = [part for part in parts if part.tag != 0xA0]
    bag = der.Element(0xA0, b"".join(one.public_bytes(Encoding.DER) for one in certificates))
    return again([*parts[:3], bag, parts[3]])


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
        parts[3] = der.Element(0xA0, covered[1 + _length_of(covered) :])
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
