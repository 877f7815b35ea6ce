"""Certificates of signers, and their paths to the authorities of a trust root."""

import datetime
import time

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import KeyMaterialError
from sealgate.trust import certificates
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Authority, Period, TrustRoot
from trust import authorities
from trust.authorities import CODE_SIGNING, HOUR, T, authority, leaf, trusting
from trust_service import der
from trust_service.identities import ARC, github
from trust_service.period import DAY

TLS = ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
RECORDED = list(authorities.recorded())
ROOT = authorities.recorded_root()


def refused(call, *arguments):
    with pytest.raises(TrustFailure) as caught:
        call(*arguments)
    return caught.value.code


def path(made, root, at=T):
    return certificates.path_at(certificates.read_leaf(made.der), root, at)


def no_path(made, root, at=T):
    return refused(path, made, root, at)


# -- real clients


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: each.case)
def test_every_recorded_certificate_is_read_and_believed(recorded):
    found = certificates.read_leaf(recorded.der)
    assert found.identity.subject in recorded.subjects or recorded.case.endswith("-two")
    assert found.identity.issuer
    assert certificates.path_at(found, ROOT, found.not_before).authority.common_name == "box-root"
    assert certificates.path_at(found, ROOT, found.not_after)


def test_recordings_show_all_kinds_of_names_and_keys():
    found = [certificates.read_leaf(each.der) for each in RECORDED]
    assert {each.identity.kind for each in found} == {"email", "uri", "othername"}
    assert {each.key.algorithm for each in found} == {"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048"}


def test_extensions_of_a_workflow_are_read():
    [found] = [certificates.read_leaf(each.der) for each in RECORDED if each.case == "blob-c31-github-uri"]
    said = dict(found.identity.extensions)
    assert len(said) == 19
    assert said["githubWorkflowRef"] == said["sourceRepositoryRef"] == "refs/heads/main"
    assert said["sourceRepositoryIdentifier"] == "1001"


def test_a_certificate_is_not_believed_outside_its_time():
    found = certificates.read_leaf(RECORDED[0].der)
    assert refused(certificates.path_at, found, ROOT, found.not_before - 1) == "certificate-expired"
    assert refused(certificates.path_at, found, ROOT, found.not_after + 1) == "certificate-expired"


# -- the leaf


def altered(trust_service, **changes):
    def change(profile):
        return profile._replace(**changes)

    return trust_service.make_bundle(rekor=None, identity=github(), alter={"certificate": change}).certificate


def names(*found):
    return {"names": found}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"usages": ("key_agreement",)}, "certificate-usage"),
        ({"usages": ("digital_signature", "key_cert_sign")}, "certificate-usage"),
        ({"purposes": ()}, "certificate-usage"),
        ({"purposes": (TLS.dotted_string,)}, "certificate-usage"),
        ({"purposes": (ANY.dotted_string,)}, "certificate-usage"),
        ({"ca": True}, "certificate-usage"),
        (names(), "identity-malformed"),
        (names(x509.RFC822Name("a@b.test"), x509.RFC822Name("c@d.test")), "identity-malformed"),
        (names(x509.RFC822Name("a@b.test"), x509.UniformResourceIdentifier("https://b.test")), "identity-malformed"),
        (names(x509.DNSName("b.test")), "identity-malformed"),
        (names(x509.UniformResourceIdentifier("alice@corp.test")), "identity-malformed"),
        (names(x509.UniformResourceIdentifier("https://corp.test/\0")), "identity-malformed"),
        (names(x509.RFC822Name._init_without_validation("mailto:a@b.test")), "identity-malformed"),
        (names(x509.OtherName(x509.ObjectIdentifier(f"{ARC}.6"), der.utf8("a!b.test"))), "identity-malformed"),
        (names(x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), der.utf8("a@b.test"))), "identity-malformed"),
        (names(x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), b"\x05\x00")), "identity-malformed"),
        ({"extensions": ((f"{ARC}.8", b"https://raw.test"),)}, "certificate-malformed"),
        ({"extensions": ((f"{ARC}.8", der.utf8("a\0")),)}, "certificate-malformed"),
        ({"extensions": ((f"{ARC}.1", b"https://a"), (f"{ARC}.8", der.utf8("https://b")))}, "identity-malformed"),
    ],
)
def test_C07_C09_C10_leaves_that_are_not_read(trust_service, changes, code):
    assert certificates.read_leaf(altered(trust_service)).identity.kind == "uri"
    assert refused(certificates.read_leaf, altered(trust_service, **changes)) == code


@pytest.mark.parametrize("changes", [{"ca": False}, {"subject": "Somebody"}, {"names_critical": False}])
def test_leaves_that_are_read(trust_service, changes):
    assert certificates.read_leaf(altered(trust_service, **changes)).identity.kind == "uri"


def test_a_user_name_may_be_the_only_and_critical_name(trust_service):
    made = trust_service.make_bundle(identity="somebody")
    assert certificates.read_leaf(made.certificate).identity[:2] == ("somebody!example.test", "othername")


def test_C07_a_critical_extension_that_is_unknown_refuses():
    top = authority("root")
    assert certificates.read_leaf(leaf(top, more=[(UNKNOWN, False)]).der)
    assert refused(certificates.read_leaf, leaf(top, more=[(UNKNOWN, True)]).der) == "certificate-malformed"
    poisoned = leaf(top, more=[(x509.PrecertPoison(), True)])
    assert refused(certificates.read_leaf, poisoned.der) == "certificate-malformed"
    constrained = leaf(top, more=[(x509.NameConstraints([x509.RFC822Name("b.test")], None), True)])
    assert refused(certificates.read_leaf, constrained.der) == "certificate-malformed"


def test_C10_an_extension_that_stands_there_twice_refuses():
    """The builder of `cryptography` makes no such certificate, so one extension's OID is overwritten; the signature is not
    looked at yet."""
    first, second = (der.oid(f"{ARC}.{number}") for number in (8, 99))
    more = [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{ARC}.{number}"), der.utf8("https://a")), False)
        for number in (8, 99)
    ]
    made = leaf(authority("root"), more=more).der
    assert certificates.read_leaf(made).identity.issuer == "https://a"
    assert made.count(second) == 1
    assert refused(certificates.read_leaf, made.replace(second, first)) == "certificate-malformed"


def test_large_certificates_are_refused():
    top = authority("root")
    own = len(leaf(top).der)

    def made(size):
        filling = x509.UnrecognizedExtension(UNKNOWN.oid, bytes(size))
        return leaf(top, more=[(filling, False)]).der

    assert certificates.read_leaf(made(limits.CERTIFICATE_BYTES - own - 200))
    assert refused(certificates.read_leaf, made(limits.CERTIFICATE_BYTES - own + 200)) == "certificate-malformed"


def test_certificates_before_version_3_are_refused():
    """Nothing in them says what they are for."""
    [whole] = der.read_all(leaf(authority("root")).der)
    tbs, *rest = whole.children()
    fields = tbs.children()
    assert [fields[0].tag, fields[-1].tag] == [0xA0, 0xA3]

    def made(*inside):
        return der.sequence(der.sequence(*(field.raw for field in inside)), *(each.raw for each in rest))

    assert certificates.read_leaf(made(*fields))
    assert refused(certificates.read_leaf, made(*fields[1:-1])) == "certificate-malformed"
    assert refused(certificates.check_bag, (made(*fields[1:-1]),)) == "certificate-malformed"


def test_a_certificate_without_key_usage_or_purpose_is_refused():
    top = authority("root")
    assert refused(certificates.read_leaf, leaf(top, usages=()).der) == "certificate-usage"
    assert refused(certificates.read_leaf, leaf(top, eku=()).der) == "certificate-usage"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
        dsa.generate_private_key(2048),
    ],
    ids=["secp256k1", "rsa-1024", "dsa"],
)
def test_keys_that_are_not_accepted_refuse(key):
    top = authority("root")
    assert certificates.read_leaf(leaf(top, key=ed25519.Ed25519PrivateKey.generate()).der).key.algorithm == "ed25519"
    assert refused(certificates.read_leaf, leaf(top, key=key).der) == "certificate-malformed"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: b"\x30\x00",
        lambda data: b"\x30\x80" + data[4:] + b"\0\0",
        lambda data: data + b"\0" * limits.CERTIFICATE_BYTES,
    ],
)
def test_what_is_no_certificate_is_refused(change):
    assert refused(certificates.read_leaf, change(RECORDED[0].der)) == "certificate-malformed"


@given(st.sampled_from(RECORDED), st.data())
def test_altered_bytes_are_refused_or_not_believed(recorded, data):
    """Up to the signature: its own last bits are free, and are no part of what is believed."""
    at = data.draw(st.integers(0, len(recorded.der) - 110))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != recorded.der[at]))
    made = recorded.der[:at] + bytes([byte]) + recorded.der[at + 1 :]
    with pytest.raises(TrustFailure):
        found = certificates.read_leaf(made)
        certificates.path_at(found, ROOT, certificates.read_leaf(recorded.der).not_before)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    assert refused(certificates.read_leaf, data) == "certificate-malformed"
    assert refused(certificates.check_bag, (data,)) == "certificate-malformed"


# -- authorities that were in use


def test_C15_an_authority_is_believed_while_it_was_in_use(trust_service):
    root = authorities.root_of(trust_service.trusted_root())
    before, now = time.time() - 3 * DAY, time.time()
    for name, code in (("expired", "certificate-expired"), ("retired", "certificate-untrusted")):
        old = certificates.read_leaf(trust_service.make_bundle(rekor=None, authority=name, at=before).certificate)
        assert certificates.path_at(old, root, before).authority.common_name == name
        new = certificates.read_leaf(trust_service.make_bundle(rekor=None, authority=name, at=now).certificate)
        assert refused(certificates.path_at, new, root, now) == code


def test_C15_both_ends_of_the_time_in_use_belong_to_it():
    top = authority("root")
    made = leaf(top)
    root = trusting(top, valid=Period(T - 5, T + 5))
    assert path(made, root, T - 5)
    assert path(made, root, T + 5)
    assert no_path(made, root, T - 6) == "certificate-untrusted"
    assert no_path(made, root, T + 6) == "certificate-untrusted"


def test_a_stranger_is_not_believed(trust_service):
    root = authorities.root_of(trust_service.trusted_root())
    now = time.time()
    for name in ("current", "second"):
        made = certificates.read_leaf(trust_service.make_bundle(rekor=None, authority=name, at=now).certificate)
        assert certificates.path_at(made, root, now).authority.common_name == name
    made = certificates.read_leaf(trust_service.make_bundle(rekor=None, authority="stranger", at=now).certificate)
    assert refused(certificates.path_at, made, root, now) == "certificate-untrusted"


def test_nobody_is_believed_by_an_empty_root():
    assert no_path(leaf(authority("root")), TrustRoot((), (), (), ())) == "certificate-untrusted"


def test_an_altered_signature_is_not_believed(trust_service):
    root = authorities.root_of(trust_service.trusted_root())
    now = time.time()
    flip = {"signed-certificate": lambda made: made[:-1] + bytes([made[-1] ^ 1])}
    made = certificates.read_leaf(trust_service.make_bundle(rekor=None, at=now, alter=flip).certificate)
    assert refused(certificates.path_at, made, root, now) == "certificate-untrusted"


# -- chains


def chains():
    """Name: (leaf, chain of the authority, the code or None)."""
    root, other = authority("root"), authority("root")
    short = authority("root", length=0)
    middle = authority("middle", root, eku=[CODE_SIGNING])
    below = authority("below", middle)
    tls = authority("tls", root, eku=[TLS])
    anyone = authority("anyone", root, eku=[ANY])
    twice = authority("twice", anyone, eku=[CODE_SIGNING, TLS])
    signer = leaf(root)
    as_issuer = authorities.Made(signer.certificate, signer.key)
    no_ca, no_sign = authority("no ca", root, ca=False), authority("no sign", root, usages=["crl_sign"])
    unknown, known = (
        authority("unknown", root, more=[(UNKNOWN, True)]),
        authority("known", root, more=[(UNKNOWN, False)]),
    )
    policies = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    demanding = authority("demanding", root, more=[(policies, True)])
    impostor = authorities.Made(middle.certificate, other.key)
    weak = authority("weak", root, key=rsa.generate_private_key(65537, 1024))
    return {
        "root": (leaf(root), (root,), None),
        "intermediate": (leaf(middle), (middle, root), None),
        "two intermediates": (leaf(below), (below, middle, root), None),
        "in another order": (leaf(below), (middle, below, root), None),
        "by the root beside an intermediate": (leaf(root), (middle, root), None),
        "intermediate as anchor": (leaf(middle), (middle,), None),
        "purposes that include it": (leaf(twice), (twice, anyone, root), None),
        "unknown extension": (leaf(known), (known, root), None),
        "self-signed leaf": (leaf(None, subject=authorities.directory("root")), (root,), "certificate-untrusted"),
        "attacker's root of the same name": (leaf(other), (root,), "certificate-untrusted"),
        "leaf issued by a leaf": (leaf(as_issuer), (signer, root), "certificate-untrusted"),
        "leaf as anchor": (leaf(as_issuer), (signer,), "certificate-untrusted"),
        "no CA bit": (leaf(no_ca), (no_ca, root), "certificate-untrusted"),
        "keyUsage without keyCertSign": (leaf(no_sign), (no_sign, root), "certificate-untrusted"),
        "too long": (leaf(authority("below", short)), (authority("below", short), short), "certificate-untrusted"),
        "purpose of the intermediate": (leaf(tls), (tls, root), "certificate-untrusted"),
        "critical extension": (leaf(unknown), (unknown, root), "certificate-untrusted"),
        "policies are demanded": (leaf(demanding), (demanding, root), "certificate-untrusted"),
        "intermediate only in the bundle": (leaf(middle), (root,), "certificate-untrusted"),
        "intermediate of another root": (leaf(middle), (middle, other), "certificate-untrusted"),
        "another key than the intermediate's": (leaf(impostor), (middle, root), "certificate-untrusted"),
        "weak key": (leaf(weak), (weak, root), "certificate-untrusted"),
        "no certificate": (leaf(root), (), "certificate-untrusted"),
    }


CHAINS = chains()


@pytest.mark.parametrize("case", CHAINS)
def test_C07_chains(case):
    made, chain, code = CHAINS[case]
    if code is None:
        assert path(made, trusting(*chain)).authority.common_name == "corp.test"
    else:
        assert no_path(made, trusting(*chain)) == code


STRICTER = {"purpose of the intermediate", "leaf as anchor", "policies are demanded", "no certificate"}
"""Where the verification of `cryptography`, as `peer` asks it, says nothing."""


@pytest.mark.parametrize("case", [case for case in CHAINS if case not in STRICTER])
def test_C07_chains_that_are_believed_are_those_that_cryptography_believes(case):
    made, chain, code = CHAINS[case]
    assert peer(made, chain) == (code is None)


def peer(made, chain):
    at = datetime.datetime.fromtimestamp(T, datetime.UTC)
    above = (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, must_be_ca)
        .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, must_sign)
    )
    below = verification.ExtensionPolicy.permit_all().require_present(
        x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
    )
    builder = verification.PolicyBuilder().store(verification.Store([chain[-1].certificate])).time(at)
    verifier = builder.extension_policies(ca_policy=above, ee_policy=below).build_client_verifier()
    try:
        verifier.verify(made.certificate, [each.certificate for each in chain[:-1]])
    except verification.VerificationError:
        return False
    return True


def must_be_ca(_policy, _certificate, extension):
    if not extension.ca:
        raise ValueError("no authority")


def must_sign(_policy, _certificate, extension):
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("does not sign")


def test_path_length_does_not_count_certificates_of_its_own_name():
    """RFC 5280, section 6.1.4 (l): a new key of the same authority."""
    root = authority("root", length=1)
    middle = authority("middle", root, length=0)
    renewed = authorities.certificate(
        middle.certificate.subject, ec.generate_private_key(ec.SECP256R1()), middle,
        [(x509.BasicConstraints(ca=True, path_length=0), True)], T - HOUR, T + HOUR,
    )  # fmt: skip
    assert path(leaf(renewed), trusting(renewed, middle, root))
    other = authority("other", middle)
    assert no_path(leaf(other), trusting(other, middle, root)) == "certificate-untrusted"


def test_C06_an_intermediate_that_expired_before_the_signature():
    root = authority("root")
    middle = authority("middle", root, start=T, end=T + HOUR)
    made = leaf(middle, start=T + 600, end=T + 24 * HOUR)
    assert path(made, trusting(middle, root), T + HOUR)
    assert no_path(made, trusting(middle, root), T + 2 * HOUR) == "certificate-expired"


def test_an_anchor_that_expired_is_not_believed_any_more():
    root = authority("root", end=T)
    made = leaf(root)
    assert path(made, trusting(root), T)
    assert no_path(made, trusting(root), T + 1) == "certificate-expired"


def test_C06_an_anchor_that_expired_before_its_intermediate():
    root = authority("root", end=T)
    middle = authority("middle", root)
    assert path(leaf(middle), trusting(middle, root), T)
    assert no_path(leaf(middle), trusting(middle, root), T + 1) == "certificate-expired"


def test_one_of_several_authorities_of_one_name_will_do():
    first, second = authority("root"), authority("root")
    root = TrustRoot(trusting(first).certificate_authorities + trusting(second).certificate_authorities, (), (), ())
    assert path(leaf(second), root).authority.chain == (second.der,)
    expired = authority("root", key=second.key, end=T - 1)
    both = TrustRoot(trusting(expired).certificate_authorities + trusting(second).certificate_authorities, (), (), ())
    assert path(leaf(second), both).authority.chain == (second.der,)


def test_keys_of_authorities_of_all_kinds():
    for key in (
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ):
        root = authority("root", key=key)
        middle = authority("middle", root, key=key)
        assert path(leaf(middle), trusting(middle, root))


def test_signatures_over_other_hashes_are_not_believed():
    root = authority("root")
    for hashed in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        assert path(leaf(root, hashed=hashed), trusting(root))
    for hashed in (hashes.SHA224(), hashes.SHA3_256()):
        assert no_path(leaf(root, hashed=hashed), trusting(root)) == "certificate-untrusted"


def test_the_issuer_of_the_path_is_whose_key_signed():
    root = authority("root")
    middle = authority("middle", root)
    spki = middle.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert path(leaf(middle), trusting(middle, root)).issuer_spki == spki


def test_C12_too_many_certificates_in_an_authority():
    root = authority("root")
    spare = tuple(authority(f"spare {number}", root) for number in range(limits.CHAIN_CERTIFICATES - 1))
    assert path(leaf(root), trusting(*spare, root))
    assert no_path(leaf(root), trusting(*spare, spare[0], root)) == "certificate-untrusted"


def test_C12_too_many_ways_in_an_authority():
    """Authorities that all signed each other."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(5)]
    own = [authority(f"ca {number}", key=key) for number, key in enumerate(keys)]
    crossed = [
        authority(f"ca {below}", own[above], key=keys[below])
        for above in range(5)
        for below in range(5)
        if above != below
    ]
    assert path(leaf(own[1]), trusting(*crossed[:3], own[0]))
    assert no_path(leaf(own[1]), trusting(*crossed[:15], own[0])) == "certificate-untrusted"


# -- name constraints


def permitted(*found):
    return x509.NameConstraints(list(found), None)


def excluded(*found):
    return x509.NameConstraints(None, list(found))


MAIL, URI, NAME = x509.RFC822Name, x509.UniformResourceIdentifier, x509.DirectoryName
MAILBOX = MAIL("signer@corp.test")
LINK = URI("https://ci.corp.test/job@main")
USER = x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), der.utf8("a!corp.test"))
CONSTRAINED = [
    (permitted(MAIL("corp.test")), MAILBOX, True),
    (permitted(MAIL("CORP.test")), MAILBOX, True),
    (permitted(MAIL("signer@corp.test")), MAILBOX, True),
    (permitted(MAIL("Signer@corp.test")), MAILBOX, False),
    (permitted(MAIL._init_without_validation(".corp.test")), MAILBOX, False),
    (permitted(MAIL._init_without_validation(".corp.test")), MAIL("signer@ci.corp.test"), True),
    (permitted(MAIL("corp.test")), MAIL("signer@ci.corp.test"), False),
    (permitted(MAIL("other.test")), MAILBOX, False),
    (permitted(MAIL("other.test"), MAIL("corp.test")), MAILBOX, True),
    (permitted(MAIL("other.test")), LINK, True),
    (excluded(MAIL("corp.test")), MAILBOX, False),
    (excluded(MAIL("SIGNER@corp.test")), MAILBOX, False),
    (excluded(MAIL("other.test")), MAILBOX, True),
    (permitted(URI("ci.corp.test")), LINK, True),
    (permitted(URI(".corp.test")), LINK, True),
    (permitted(URI("corp.test")), LINK, False),
    (permitted(URI(".ci.corp.test")), LINK, False),
    (permitted(URI("ci.corp.test")), URI("https://evil@ci.corp.test:443/"), True),
    (permitted(URI("ci.corp.test")), URI("https://ci.corp.test@evil.test/"), False),
    (permitted(URI("ci.corp.test")), URI("https://evil.test/https://ci.corp.test"), False),
    (permitted(URI("ci.corp.test")), URI("https://evil.test\\@ci.corp.test/"), False),
    (permitted(URI("ci.corp.test")), URI("mailto:a@ci.corp.test"), False),
    (permitted(URI("127.0.0.1")), URI("https://127.0.0.1/"), False),
    (excluded(URI("ci.corp.test")), URI("https://CI.corp.test/"), False),
    (excluded(URI("ci.corp.test")), URI("https://ci.corp.test./"), False),
    (excluded(URI("ci.corp.test")), URI("https://[::1]/"), False),
    (excluded(URI(".evil.test")), LINK, True),
    (excluded(URI("")), LINK, False),
    (permitted(x509.DNSName("other.test")), LINK, True),
    (permitted(USER), USER, False),
    (excluded(x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")), USER, False),
    (permitted(MAIL("other.test")), USER, True),
]


@pytest.mark.parametrize("anchor", [False, True])
@pytest.mark.parametrize(("limited", "name", "allowed"), CONSTRAINED)
def test_C11_names_outside_what_an_authority_may_certify(limited, name, allowed, anchor):
    top = authority("root", more=[(limited, True)] if anchor else [])
    middle = authority("middle", top, more=[] if anchor else [(limited, True)])
    made, root = leaf(middle, name), trusting(middle, top)
    if allowed:
        assert path(made, root)
    else:
        assert no_path(made, root) == "certificate-untrusted"


def test_C11_every_constraint_of_the_path_counts():
    top = authority("root", more=[(permitted(MAIL("corp.test")), True)])
    middle = authority("middle", top, more=[(excluded(MAIL("signer@corp.test")), True)])
    assert path(leaf(middle, MAIL("other@corp.test")), trusting(middle, top))
    assert no_path(leaf(middle, MAILBOX), trusting(middle, top)) == "certificate-untrusted"
    assert no_path(leaf(middle, MAIL("signer@other.test")), trusting(middle, top)) == "certificate-untrusted"


def test_C11_directory_names():
    corp = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "corp.test")])
    top = authority("root", more=[(permitted(NAME(corp)), True)])
    inside, outside = authorities.directory("signer"), authorities.directory("signer", organization="other.test")
    assert path(leaf(top, subject=inside), trusting(top))
    assert path(leaf(top), trusting(top))
    assert no_path(leaf(top, subject=outside), trusting(top)) == "certificate-untrusted"
    below = authority("below", top)
    assert path(leaf(below), trusting(below, top))
    strange = authorities.certificate(
        outside, ec.generate_private_key(ec.SECP256R1()), top, [(x509.BasicConstraints(ca=True, path_length=None), True)],
        T - HOUR, T + HOUR,
    )  # fmt: skip
    assert no_path(leaf(strange), trusting(strange, top)) == "certificate-untrusted"
    spelled = authorities.directory("signer", organization="CORP.test ")
    barred = authority("barred", more=[(excluded(NAME(corp)), True)])
    assert no_path(leaf(barred, subject=spelled), trusting(barred)) == "certificate-untrusted"
    assert path(leaf(barred, subject=outside), trusting(barred))


def test_C11_constraints_do_not_bind_the_own_name_of_an_authority():
    """RFC 5280, section 6.1.3 (b): a new key of the authority that is constrained."""
    corp = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "corp.test")])
    basic = (x509.BasicConstraints(ca=True, path_length=None), True)
    outside, inside = (authorities.directory("root", organization=name) for name in ("other.test", "corp.test"))

    def made(subject, above, *more):
        key = ec.generate_private_key(ec.SECP256R1())
        return authorities.certificate(subject, key, above, [basic, *more], T - HOUR, T + HOUR)

    top = made(outside, None, (permitted(NAME(corp)), True))
    renewed = made(outside, top)
    assert path(leaf(renewed, subject=inside), trusting(renewed, top))
    assert no_path(leaf(renewed, subject=outside), trusting(renewed, top)) == "certificate-untrusted"


def test_C11_an_address_in_the_subject_is_a_name_too():
    top = authority("root", more=[(permitted(MAIL("corp.test")), True)])
    for address, allowed in (("a@corp.test", True), ("a@other.test", False)):
        subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, address)])
        made = leaf(top, LINK, subject=subject)
        assert bool(path(made, trusting(top))) if allowed else no_path(made, trusting(top)) == "certificate-untrusted"


# -- what comes along


def test_C07_C12_what_comes_along_behind_the_certificate():
    root = authority("root")
    middle = authority("middle", root)
    certificates.check_bag(())
    certificates.check_bag((middle.der,) * limits.BAG_CERTIFICATES)
    too_many = (middle.der,) * (limits.BAG_CERTIFICATES + 1)
    assert refused(certificates.check_bag, too_many) == "certificate-malformed"
    assert refused(certificates.check_bag, (middle.der, root.der)) == "certificate-malformed"
    assert refused(certificates.check_bag, (middle.der[:-1],)) == "certificate-malformed"


# -- authorities of one's own


def own(*chain, intermediates=(), anchors="last"):
    below = b"".join(each.pem for each in intermediates)
    return certificates.authorities_from_pem(
        b"".join(each.pem for each in chain), below, anchors=anchors, what="the file"
    )


def believing(found):
    return TrustRoot(found, (), (), ())


def test_a_chain_of_ones_own_names_who_is_in_an_ordinary_certificate():
    root = authority("root")
    middle = authority("middle", root)
    [found] = own(middle, root)
    assert found == Authority((middle.der, root.der), Period(None, None), common_name="root")
    made = leaf(middle)
    assert path(made, believing((found,)))
    assert certificates.read_leaf(made.der).identity == ("signer@corp.test", "email", "", ())
    assert no_path(leaf(authority("root")), believing((found,))) == "certificate-untrusted"


def test_roots_of_ones_own_are_each_an_anchor():
    first, second = authority("first"), authority("second")
    below, beside = authority("below", first), authority("beside", second)
    found = own(first, second, intermediates=[beside, below], anchors="all")
    assert [each.common_name for each in found] == ["first", "second"]
    for issuer in (first, second, below, beside):
        assert path(leaf(issuer), believing(found))
    assert no_path(leaf(below), believing(own(first, second, anchors="all"))) == "certificate-untrusted"
    assert no_path(leaf(first), believing(own(first, second))) == "certificate-untrusted"


def test_text_between_certificates_is_left_aside():
    root = authority("root")
    data = b"subject=root\n" + root.pem.replace(b"\n", b"\r\n") + b"# the end\n"
    assert certificates.certificates_from_pem(data, what="the file") == (root.der,)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: b"", "key-malformed"),
        (lambda data: data.replace(b"CERTIFICATE", b"PUBLIC KEY"), "key-malformed"),
        (lambda data: data.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), "key-malformed"),
        (lambda data: data.replace(b"-----END", b"-----FIN"), "key-malformed"),
        (lambda data: data[: len(data) // 2], "key-malformed"),
        (lambda data: data.replace(b"MII", b"MIJ", 1), "key-malformed"),
        (lambda data: data * (limits.CHAIN_CERTIFICATES + 1), "key-invalid"),
        (lambda data: data * (limits.AUTHORITY_CERTIFICATES + 1), "key-invalid"),
    ],
)
def test_files_of_authorities_that_are_refused(change, code):
    data = authority("root").pem
    assert certificates.authorities_from_pem(data, anchors="last", what="the file")
    with pytest.raises(KeyMaterialError) as caught:
        certificates.authorities_from_pem(change(data), anchors="last", what="the file")
    assert caught.value.code == code
    assert "the file" in caught.value.message


# -- the signature of a certificate

WITH = {"sha256": (2, hashes.SHA256()), "sha384": (3, hashes.SHA384()), "sha512": (4, hashes.SHA512())}


def resigned(made, key, inside, outside, signed_with, unused=0):
    """The certificate with these algorithms inside and beside its signature, signed anew."""
    names = {name: der.sequence(der.oid(f"1.2.840.10045.4.3.{last}")) for name, (last, _) in WITH.items()}
    tbs = made.certificate.tbs_certificate_bytes.replace(names["sha256"], names[inside], 1)
    signature = bytes([unused]) + key.sign(tbs, ec.ECDSA(WITH[signed_with][1]))
    return der.sequence(tbs, names[outside], der.tlv(0x03, signature))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
@pytest.mark.parametrize("inside", WITH)
@pytest.mark.parametrize("outside", WITH)
@pytest.mark.parametrize("signed_with", WITH)
def test_a_signature_is_by_the_algorithm_inside_and_beside_it(curve, inside, outside, signed_with):
    anchor = authority("anchor", key=ec.generate_private_key(curve))
    found = certificates.read_leaf(resigned(leaf(anchor), anchor.key, inside, outside, signed_with))
    root = trusting(anchor)
    loaded = x509.load_der_x509_certificate(found.der)
    if inside == outside == signed_with:
        loaded.verify_directly_issued_by(anchor.certificate)
        assert certificates.path_at(found, root, T).authority is root.certificate_authorities[0]
    else:
        with pytest.raises((ValueError, InvalidSignature)):
            loaded.verify_directly_issued_by(anchor.certificate)
        assert refused(certificates.path_at, found, root, T) == "certificate-untrusted"


def test_a_key_of_another_kind_made_no_ecdsa_signature():
    signer, namesake = authority("anchor"), authority("anchor", key=ed25519.Ed25519PrivateKey.generate())
    assert path(leaf(signer), trusting(signer))
    assert no_path(leaf(signer), trusting(namesake)) == "certificate-untrusted"
    assert path(leaf(namesake), trusting(namesake))
    assert no_path(leaf(namesake), trusting(signer)) == "certificate-untrusted"


@pytest.mark.parametrize("unused", [1, 7, 8, 255])
def test_a_signature_is_of_whole_bytes(unused):
    anchor = authority("anchor")
    good, bad = (resigned(leaf(anchor), anchor.key, "sha256", "sha256", "sha256", bits) for bits in (0, unused))
    assert certificates.path_at(certificates.read_leaf(good), trusting(anchor), T)
    with pytest.raises(TrustFailure) as caught:
        certificates.path_at(certificates.read_leaf(bad), trusting(anchor), T)
    assert caught.value.code in {"certificate-malformed", "certificate-untrusted"}
