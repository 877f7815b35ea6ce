"""Timestamps and times that are altered, in every form of evidence and with every way of supplying the trust root (S01 to S16)."""

import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bypasses import scene
from bypasses.keyless_cases import Case, rows, try_case
from bypasses.keyless_forms import FORMS, names
from bypasses.keyless_ways import WAYS, WINDOWED, Asked, Asker, Roots, can
from trust.stamping import Maker
from trust_service import der, timestamping
from trust_service.period import DAY, YEAR, Period

STAMPED = names(rekor=2)
"""Where nothing else tells the time."""
CERTIFIED = names(rekor=2, managed=False)
BESIDE = ("bundle-v0.1", "bundle-v0.2", "bundle-rekor1", "attestation-rekor1", "image-attestation", "legacy-image", "legacy-attestation",
          "key-rekor1")  # fmt: skip
"""Where a promise tells the time already: every timestamp that comes along must be good all the same."""
BUNDLES = names(holds="bundle")
TSA = {"tsa": "current"}


@pytest.fixture
def asker(trust_service, tmp_path):
    return Asker(trust_service, tmp_path)


def stamp(**changes):
    """A timestamp that says something else, and is signed so."""
    return {"timestamp": lambda found: found._replace(**{
        name: value(getattr(found, name)) if callable(value) else value for name, value in changes.items()
    })}  # fmt: skip


def signed(alter):
    return {"signed-timestamp": alter}


def parts(alter):
    """The signed timestamp, taken apart: alter(info, attributes, signature) of SignerInfo, and put together again."""

    def change(response):
        [whole] = der.read_all(response)
        status, token = whole.children()
        kind, content = token.children()
        [data] = content.children()
        version, algorithms, inner, *rest = data.children()
        *between, signers = rest
        [signer] = signers.children()
        pieces = signer.children()
        inner, pieces = alter(inner, pieces)
        made = der.sequence(
            version.raw, algorithms.raw, inner.raw, *(each.raw for each in between),
            der.set_of(der.sequence(*(each.raw for each in pieces))),
        )  # fmt: skip
        return der.sequence(status.raw, der.sequence(kind.raw, der.tlv(0xA0, made)))

    return signed(change)


def flipped(number):
    """One byte of a piece of SignerInfo flipped: 3 the signed attributes, 5 the signature."""

    def alter(inner, pieces):
        content = pieces[number].content
        pieces[number] = pieces[number]._replace(content=content[:-1] + bytes([content[-1] ^ 1]))
        return inner, pieces

    return alter


def another_time(inner, pieces):
    """genTime a minute later, unsigned."""
    at = inner.content.rindex(b"\x18\x0f") + 2
    text = inner.content[at : at + 14]
    later = b"20" + bytes([text[2]]) + bytes([text[3] ^ 1]) + text[4:]
    return inner._replace(content=inner.content[:at] + later + inner.content[at + 14 :]), pieces


def without_attributes(inner, pieces):
    return inner, [each for number, each in enumerate(pieces) if number != 3]


def of_others(service, evidence):
    """The timestamps of another signature of the same by the same."""
    other = evidence.form.make(service, key=evidence.made.key, tsa="current")
    return evidence.with_timestamps(*other.made.timestamps)


def over(data):
    """The timestamp of something else than the signature, which the authority really made."""
    return stamp(imprint=lambda _: hashlib.sha256(data).digest())


def sha1(found):
    return found._replace(hash="sha1", imprint=found.imprint[:20])


OLD = Roots(tsa=("retired",))

TABLE = [
    Case("S01 another time than was signed", "timestamp-invalid", STAMPED, alter=parts(another_time)),
    Case("S01 signed attributes altered", "timestamp-invalid", STAMPED, alter=parts(flipped(3))),
    Case("S01 the signature altered", "timestamp-invalid", STAMPED, alter=parts(flipped(5))),
    Case("S01 no signed attributes", "timestamp-malformed", STAMPED, alter=parts(without_attributes)),
    Case("S01 a digest of another content is signed", "timestamp-invalid", STAMPED, alter=stamp(claimed_digest=b"x" * 32)),
    Case("S01 signed as something else", "timestamp-malformed", STAMPED, alter=stamp(content_type="1.2.840.113549.1.7.1")),
    Case("S01 S02 by another key in the authority's name", "timestamp-invalid", STAMPED,
         alter=stamp(key=ec.generate_private_key(ec.SECP256R1()))),
    Case("S01 beside a promise, altered", "timestamp-invalid", BESIDE, given=TSA, alter=parts(flipped(5))),
    Case("S01 cut off", "timestamp-malformed", STAMPED, alter=signed(lambda found: found[:-1])),
    Case("S01 none was granted", "timestamp-invalid", STAMPED, alter=stamp(status=2)),
    Case("S02 S09 by a stranger", "timestamp-untrusted", CERTIFIED, options={"tsa": "stranger"}),
    Case("S02 S03 naming a certificate of another authority", "timestamp-untrusted", CERTIFIED,
         alter={"timestamp": lambda found: found._replace(named=Maker().leaf)}),
    Case("S04 S05 S10 no time at all", "timestamp-missing", CERTIFIED, change=lambda _, evidence: evidence.with_timestamps()),
    Case("S04 a time beside an entry that nothing signs", "timestamp-missing",
         ("bundle-v0.2", "bundle-rekor1", "attestation-rekor1", "image-attestation"),
         change=lambda _, evidence: evidence.with_entry(lambda found: found.pop("inclusionPromise"))),
    Case("S04 a time beside an entry of a log that promises none", "log-entry-malformed", STAMPED,
         change=lambda _, evidence: evidence.with_entry(lambda found: found.update(integratedTime="1700000000"))),
    Case("S05 a timestamp is asked for, and there is none", "timestamp-missing",
         names(rekor=1, managed=False, holds="bundle annotations"),
         given=TSA, asked=Asked(stamped=True),
         change=lambda service, evidence: evidence.form.make(service)),
    Case("S05 S07 no timestamp among none", "timestamp-malformed", STAMPED, change=lambda _, evidence: evidence.with_timestamps(b"\x30\0")),
    Case("S06 a timestamp when the certificate had ended, beside a promise when it was good", "timestamp-outside",
         tuple(name for name in BESIDE if not FORMS[name].managed), given=TSA, alter=stamp(at=lambda at: at + DAY)),
    Case("S06 a timestamp when the certificate had ended", "timestamp-outside", CERTIFIED, alter=stamp(at=lambda at: at + DAY)),
    Case("S06 a timestamp before the certificate began", "timestamp-outside", CERTIFIED, alter=stamp(at=lambda at: at - 60)),
    Case("S06 S07 a good one and one when it had ended", "timestamp-outside", CERTIFIED,
         change=lambda service, evidence: evidence.with_timestamps(
             *evidence.made.timestamps,
             service.tsa().stamp("sha256", hashlib.sha256(evidence.made.signature).digest(), service.now() + DAY, service.hooks))),
    Case("S12 C14 by an authority that was not in use any more", "timestamp-untrusted", CERTIFIED, WINDOWED,
         given=lambda service: {"tsa": "retired", "at": service.now() - 2 * DAY}, roots=OLD,
         change=lambda service, evidence: evidence.form.make(service, tsa="retired")),
    Case("S12 by an authority whose certificates had ended", "timestamp-invalid", STAMPED,
         given=lambda service: {"tsa": "expired", "at": service.now() - 2 * DAY}, roots=Roots(tsa=("expired",)),
         change=lambda service, evidence: evidence.form.make(service, tsa="expired")),
    Case("S13 of another signature of the same by the same", "timestamp-not-bound",
         tuple(name for name in STAMPED), change=of_others),
    Case("S13 of the artifact, not of the signature", "timestamp-not-bound", STAMPED, alter=over(b"an artifact of the tests\n")),
    Case("S13 beside a promise, of something else", "timestamp-not-bound", BESIDE, given=TSA, alter=over(b"something else")),
    Case("S13 over a weak hash", "timestamp-invalid", STAMPED, alter={"timestamp": sha1}),
    Case("S09 an untrusted one alone, beside an entry of a log without times", "timestamp-untrusted", CERTIFIED,
         change=lambda service, evidence: evidence.with_timestamps(
             service.tsa("stranger").stamp("sha256", hashlib.sha256(evidence.made.signature).digest(), service.now(), service.hooks))),
    Case("S07 D01 more timestamps than are looked at", "evidence-limit", STAMPED,
         change=lambda _, evidence: evidence.with_timestamps(*evidence.made.timestamps * 33)),
]  # fmt: skip


@pytest.mark.parametrize(("case", "way"), rows(TABLE))
def test_each_alteration_is_refused(trust_service, asker, case, way):
    try_case(trust_service, asker, case, way)


# -- authorities of other shapes


LEAVES = {
    "S11 for servers too": {"purposes": (x509.ExtendedKeyUsageOID.TIME_STAMPING, x509.ExtendedKeyUsageOID.SERVER_AUTH)},
    "S11 the purpose not critical": {"critical": False},
    "S11 no purpose": {"purposes": ()},
    "S11 an authority's own certificate": {"ca": True, "usages": ("key_cert_sign", "digital_signature")},
    "S11 not for signatures": {"usages": ("key_encipherment",)},
}


class _Stamper:
    """A timestamp authority of any shape."""

    def __init__(self, name, now, **shape):
        ends = {"start": now - YEAR, "end": now + YEAR}
        leaf = {**ends, **shape}
        self._made = Maker(leaf=leaf, middle=dict(ends), root=dict(ends), name=name)
        self.name, self.chain = name, list(self._made.chain)
        self.valid = Period(now - YEAR)

    def stamp(self, hash_, imprint, at, hooks, **_):
        made = timestamping.Timestamp(hash_, imprint, at, None, False, self._made.key, self._made.certificates, 7)
        return hooks("signed-timestamp", hooks("timestamp", made).signed())


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("way", [way for way in WAYS if can(way, FORMS["bundle-rekor2"])])
def test_S11_a_timestamp_by_a_certificate_for_another_use(trust_service, asker, way, leaf):
    trust_service._tsas["shape"] = _Stamper("shape", trust_service.now())
    trust_service._tsas["flawed"] = _Stamper("shape", trust_service.now(), **LEAVES[leaf])
    try:
        for name in ("bundle-rekor2", "attestation-rekor2", "image"):
            good = asker.ask(FORMS[name].make(trust_service, tsa="shape"), way, Roots(tsa=("shape",)))
            assert good.accepted, good
            bad = asker.ask(FORMS[name].make(trust_service, tsa="flawed"), way, Roots(tsa=("flawed",)))
            assert not bad.accepted
            assert bad.codes & {"timestamp-invalid", "timestamp-untrusted"}, bad
    finally:
        del trust_service._tsas["shape"], trust_service._tsas["flawed"]


# -- what is good


@pytest.mark.parametrize("name", ["bundle-rekor2", "attestation-rekor2", "image"])
def test_S12_both_ends_of_a_certificate_belong_to_it(trust_service, asker, name):
    """The certificate lives from `at` for 600 s."""
    at = int(trust_service.now())
    for seconds, accepted in ((-1, False), (0, True), (600, True), (601, False)):
        evidence = FORMS[name].make(trust_service, stamp(at=at + seconds), at=at)
        answer = asker.ask(evidence, "file")
        assert answer.accepted is accepted, (seconds, answer)
        assert answer.codes == (frozenset() if accepted else {"timestamp-outside"})


def test_S07_one_authority_twice_is_one_and_a_bad_second_one_refuses(trust_service, asker):
    form = FORMS["bundle-rekor2"]
    assert asker.ask(form.make(trust_service, tsa=("current", "current")), "file").accepted
    assert asker.ask(
        form.make(trust_service, tsa=("current", "second")), "file", Roots(tsa=("current", "second"))
    ).accepted
    assert asker.ask(form.make(trust_service, tsa=("current", "stranger")), "file").accepted
    assert not asker.ask(form.make(trust_service, tsa=("stranger", "stranger")), "file").accepted


@pytest.mark.parametrize("name", ["bundle-rekor1", "attestation-rekor1", "legacy-image", "legacy-attestation"])
def test_S09_a_timestamp_that_nobody_can_check_proves_nothing(trust_service, asker, name):
    """Beside a promise it is said and changes nothing; asked for, it is not one."""
    evidence = FORMS[name].make(trust_service, tsa="stranger")
    assert asker.ask(evidence, "file").accepted
    refused = asker.ask(evidence, "file", asked=Asked(stamped=True))
    assert (refused.accepted, refused.codes) == (False, {"timestamp-untrusted"})
    good = FORMS[name].make(trust_service, tsa="current")
    assert asker.ask(good, "file", asked=Asked(stamped=True)).accepted


@pytest.mark.parametrize("name", ["bundle-rekor1", "bundle-rekor2"])
def test_S09_S10_timestamps_are_asked_for_and_no_authority_is_known(trust_service, tmp_path, name):
    evidence = FORMS[name].make(trust_service, tsa="current")
    command, *rest = evidence.form.arguments(evidence, tmp_path / "evidence")
    who = ["--certificate-identity", evidence.made.subject, "--certificate-oidc-issuer", evidence.made.issuer]
    found = {}
    for kind, document in (("some", trust_service.trusted_root()), ("none", trust_service.trusted_root(tsa=[]))):
        (tmp_path / kind).write_text(json.dumps(document))
        words = [
            command,
            "-o",
            "verdict",
            *who,
            "--trusted-root",
            str(tmp_path / kind),
            "--use-signed-timestamps",
            *rest,
        ]
        found[kind] = scene.run(words, environ={"HOME": str(tmp_path)})
    found["some"].is_accepted()
    assert (found["none"].exit_code, found["none"].stdout) == (2, "")


@pytest.mark.parametrize("clock", [0.0, 4_102_444_800.0])
@pytest.mark.parametrize("name", ["bundle-rekor1", "bundle-rekor2", "legacy-image"])
def test_S16_the_clock_of_this_machine_decides_nothing_that_is_proven(trust_service, asker, monkeypatch, clock, name):
    """What was signed at a time that is proven is good in 1970 and in 2100; what is not proven is no better for any clock."""
    import time

    form = FORMS[name]
    evidence = form.make(trust_service)
    unproven = form.make(trust_service, tsa="current").without_entries()
    asked = Asked()
    monkeypatch.setattr(time, "time", lambda: clock)
    assert asker.ask(evidence, "file", asked=asked).accepted
    if form.holds == "bundle":
        assert not asker.ask(unproven.with_timestamps(), "file", asked=asked).accepted
