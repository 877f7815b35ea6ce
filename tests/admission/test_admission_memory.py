"""The pure parts: how long verdicts hold, what they are kept under, time-outs in Go's notation, policies on the disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admission.place import by_key
from sealgate import limits
from sealgate.admission import cache as caches
from sealgate.admission import certificates, deadline, standing
from sealgate.admission.lifetime import Lifetimes
from sealgate.digest import Digest
from sealgate.errors import PolicyInvalidError
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy.model import Policies
from sealgate.trust import proof
from sealgate.trust.period import ALWAYS, Period
from sealgate.trust.root import Authority, TrustRoot
from sealgate.verification.checks import SignatureReport
from sealgate.verification.signer import Trust
from sealgate.verification.verdict import Verdict

NOW = 1_800_000_000.0
DIGEST = Digest.parse("sha256:" + "a" * 64)
OTHER = Digest.parse("sha256:" + "b" * 64)
IMAGE = parse("registry.example.com/team/app:1")


def attestor(root=None):
    found = by_key(PrivateKey.generate().public_key.pem())
    if root is None:
        return found
    demand = proof.demand(
        root, now=0.0, insecure_ignore_log=False, insecure_ignore_sct=False, use_signed_timestamps=False
    )
    return found._replace(wanted=found.wanted._replace(trust=Trust(demand, (), None)))


def verdict(outcome="accepted"):
    return Verdict(str(IMAGE), IMAGE.name, DIGEST, outcome, "accepted", 0, "signed", None, "a key")


def key(**other):
    base = caches.Key(str(DIGEST), IMAGE.name, "", "", "identity")
    return base._replace(**other)


def test_P13_verdicts_are_kept_under_everything_that_decides_them():
    cache = caches.Cache(caches.Settings())
    cache.remember(key(), attestor(), verdict(), NOW)
    assert cache.recall(key(), NOW + 1) is not None
    for other in (
        {"digest": str(OTHER)}, {"repository": "registry.example.com/team/other"}, {"signatures": "registry.example.com/s"},
        {"scope": "team-b"}, {"identity": "another"},
    ):  # fmt: skip
        assert cache.recall(key(**other), NOW + 1) is None
    one, two = attestor(), attestor()
    assert caches.key_of("", IMAGE, DIGEST, one) != caches.key_of("", IMAGE, DIGEST, two)
    assert caches.key_of("", IMAGE, DIGEST, one) == caches.key_of("", parse(f"{IMAGE.name}@{DIGEST}"), DIGEST, one)
    elsewhere = one._replace(repository="registry.example.com/signatures")
    assert caches.key_of("", IMAGE, DIGEST, one) != caches.key_of("", IMAGE, DIGEST, elsewhere)


def test_verdicts_end_when_told_refusals_sooner_and_errors_are_not_kept():
    cache = caches.Cache(caches.Settings(accepted_seconds=100, refused_seconds=5))
    cache.remember(key(), attestor(), verdict(), NOW)
    assert cache.recall(key(), NOW + 99.9) is not None
    assert cache.recall(key(), NOW + 100) is None
    assert cache.recall(key(), NOW - 1) is None
    cache.remember(key(), attestor(), verdict("refused"), NOW)
    assert cache.recall(key(), NOW + 4.9) is not None
    assert cache.recall(key(), NOW + 5) is None
    cache.remember(key(), attestor(), verdict(), NOW)
    cache.remember(key(), attestor(), verdict("unknown"), NOW)
    assert cache.recall(key(), NOW).outcome == "accepted"
    assert len(cache) == 1


def test_the_least_recently_used_go_first():
    cache = caches.Cache(caches.Settings(entries=3))
    for number in range(3):
        cache.remember(key(digest=str(number)), attestor(), verdict(), NOW)
        cache.remember_tag("", parse(f"registry.example.com/a:{number}"), DIGEST, NOW)
    assert cache.recall(key(digest="0"), NOW) is not None
    cache.remember(key(digest="3"), attestor(), verdict(), NOW)
    cache.remember_tag("", parse("registry.example.com/a:3"), DIGEST, NOW)
    assert [cache.recall(key(digest=str(number)), NOW) is None for number in range(4)] == [False, True, False, False]
    assert (len(cache), cache.tags, cache.counts.evicted) == (3, 3, 1)
    assert cache.recall_tag("", parse("registry.example.com/a:0"), NOW) is None
    assert cache.recall_tag("other", parse("registry.example.com/a:3"), NOW) is None
    assert cache.recall_tag("", parse("registry.example.com/a:3"), NOW + limits.TAG_SECONDS) is None
    assert cache.recall_tag("", parse("registry.example.com/a:3"), NOW) == DIGEST


def test_W04_what_others_attach_takes_no_room_and_all_of_it_is_bounded(monkeypatch):
    def report(*, accepted, envelope=None):
        return SignatureReport(
            "bundle",
            "bundle",
            DIGEST,
            None,
            accepted,
            None,
            None,
            None,
            None,
            (),
            "attestation",
            None,
            True,
            None,
            envelope,
        )

    junk = (report(accepted=False),) * 500
    cache = caches.Cache(caches.Settings())
    cache.remember(key(), attestor(), verdict()._replace(signatures=(*junk, report(accepted=True))), NOW)
    assert [each.accepted for each in cache.recall(key(), NOW).signatures] == [True]
    cache.remember(key(), attestor(), verdict("refused")._replace(signatures=junk), NOW)
    assert len(cache.recall(key(), NOW).signatures) == 4
    monkeypatch.setattr(limits, "VERDICT_BYTES", 100_000)
    large = verdict()._replace(signatures=(report(accepted=True, envelope=b"x" * 40_000),))
    for number in range(10):
        cache.remember(key(digest=str(number)), attestor(), large, NOW)
    assert len(cache) == 2
    assert 0 < cache.weight <= 100_000
    huge = verdict()._replace(signatures=(report(accepted=True, envelope=b"x" * 200_000),))
    cache.remember(key(), attestor(), huge, NOW)
    assert (len(cache), cache.weight) == (0, 0)


def test_known_good_outlives_the_verdict_and_not_its_trust():
    authority = Authority((), Period(None, NOW + 500))
    believed = attestor(TrustRoot((authority,), (), (), ()))
    cache = caches.Cache(caches.Settings(accepted_seconds=100, known_good_seconds=1000))
    cache.remember(key(), believed, verdict(), NOW)
    assert cache.recall(key(), NOW + 200) is None
    assert cache.known_good(key(), NOW + 499) is not None
    assert cache.known_good(key(), NOW + 500) is None
    cache.remember(key(), believed, verdict("refused"), NOW)
    assert cache.known_good(key(), NOW + 1) is None
    without = caches.Cache(caches.Settings(accepted_seconds=100))
    without.remember(key(), believed, verdict(), NOW)
    assert without.known_good(key(), NOW + 200) is None


def test_P13_a_verdict_ends_with_the_next_moment_of_its_trust_root():
    lifetimes = Lifetimes()

    def end(*authorities, most=10_000.0):
        return lifetimes.end(attestor(TrustRoot(tuple(authorities), (), (), ())), verdict(), NOW, most=most) - NOW

    assert end(Authority((), ALWAYS)) == 10_000
    assert end(Authority((), Period(NOW - 5, NOW + 300))) == 300
    assert end(Authority((), Period(NOW + 70, None)), Authority((), Period(None, NOW + 300))) == 70
    assert end(Authority((), Period(None, NOW - 1))) == 10_000  # over already: it can turn nothing
    assert end(Authority((), Period(None, NOW + 20_000))) == 10_000
    made = certificates.make_authority("a", now=NOW - 364.9 * 86_400)
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = x509.load_pem_x509_certificate(made.certificate)
    der = certificate.public_bytes(Encoding.DER)
    left = certificate.not_valid_after_utc.timestamp() - NOW
    assert 0 < left < 10_000
    assert end(Authority((der,), ALWAYS)) == left
    assert end(Authority((b"no certificate",), ALWAYS)) == limits.CONDITION_VERDICT_SECONDS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("1.5s", 1.5), ("1h", 3600), ("2us", 2e-6), ("2µs", 2e-6)],
)
def test_durations_of_go(text, seconds):
    assert deadline.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-1s", "1s ", " 1s", "1x", "1e3s", "١s", "1s" * 40, "9" * 9 + "s", "NaNs"]
)
def test_what_is_no_duration(text):
    assert deadline.duration(text) is None


@given(st.text(max_size=40))
def test_no_query_gives_more_than_the_api_servers_bound_or_less_than_nothing(text):
    waits = deadline.seconds(f"timeout={text}".encode("utf-8", "surrogatepass"), 10.0)
    assert 0 < waits <= limits.REVIEW_SECONDS_MAX
    assert 0 < deadline.budget(waits) <= max(waits, 0.1)


def test_K12_the_answer_is_on_its_way_before_the_api_server_gives_up():
    assert deadline.seconds(b"timeout=7s", 10.0) == 7
    assert deadline.seconds(b"", 10.0) == 10
    assert deadline.seconds(b"timeout=5m", 10.0) == limits.REVIEW_SECONDS_MAX
    assert deadline.budget(10.0) == 8.5
    assert deadline.budget(1.0) == pytest.approx(0.7)
    assert deadline.budget(30.0) == 25.5


def test_policies_that_cannot_be_read_leave_those_in_force(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("1")
    wrong: list[Exception] = []
    loads = []

    def load():
        loads.append(file.read_text())
        if wrong:
            raise wrong[0]
        return standing.Loaded(Policies(()), {})

    held = standing.Standing([str(tmp_path)], load)
    first = held.force
    assert not held.renew()
    for error in (PolicyInvalidError("no"), RuntimeError("a fault")):
        wrong[:] = [error]
        file.write_text(f"{error} {len(loads)}")
        assert held.renew()
        assert held.broken is not None
        assert held.force is first
        assert not held.renew()  # and it is not read again and again
    wrong.clear()
    (tmp_path / "b.yaml").write_text("2")
    assert held.renew()
    assert (held.broken, held.force.generation) == (None, 2)
    file.unlink()  # here a file that must be there
    assert held.renew()
    assert (held.broken is None, held.force.generation) == (False, 2)
    file.write_text("3")
    assert held.renew()
    assert (held.broken, held.force.generation) == (None, 3)
