"""Until when verdicts are believed: a cache changes no decision, at no moment, whichever way the clock goes (P13)."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admission.place import by_key
from policy import scene as own
from policy.kyverno import scene as kyverno
from policy.remembering import Remembering
from policy.scene import NOW, Registry
from sealgate import limits
from sealgate.admission import cache as caches
from sealgate.admission.cache import key_of
from sealgate.admission.lifetime import Lifetimes
from sealgate.conditions import policy as conditions
from sealgate.digest import Digest
from sealgate.evidence import predicates
from sealgate.evidence.statement import Statement
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy import attestors as asking
from sealgate.policy import caged
from sealgate.policy.evaluate import Placed, evaluate
from sealgate.policy.index import Index
from sealgate.policy.judging import StoreJudge
from sealgate.policy.model import attestors
from sealgate.policy.scanned import Scanned
from sealgate.policy.times import CLOCK_SECONDS, Fresh
from sealgate.scan import judge
from sealgate.scan.ignores import IgnoreEntry
from sealgate.scan.severity import Severity
from sealgate.transport import driver
from sealgate.trust import certificates
from sealgate.trust import root as roots
from sealgate.trust.identity import IdentityPattern
from sealgate.trust.period import Period, rfc3339
from sealgate.verification.attestation import Attested
from sealgate.verification.checks import SignatureReport
from sealgate.verification.findings import Finding
from sealgate.verification.requirement import IdentifiedAs
from sealgate.verification.verdict import Verdict

TEAM = "registry.example.com/team"
DIGEST = Digest.parse("sha256:" + "a" * 64)
SCORE = "https://example.com/score"
DAY = 86_400


class Kept:
    """The webhook's cache as the memory of a `Remembering`."""

    def __init__(self, **settings):
        self.cache = caches.Cache(caches.Settings(**settings))

    def recall(self, reference, digest, attestor, now):
        return self.cache.recall(key_of("", reference, digest, attestor), now)

    def remember(self, reference, digest, attestor, now, verdict):
        self.cache.remember(key_of("", reference, digest, attestor), attestor, verdict, now)


def codes(policies, registry, image, now, memory=None):
    """The codes of the rulings on an image at a time."""
    workload = own.workload(images=(image,))
    judge = StoreJudge(registry) if memory is None else Remembering(StoreJudge(registry), memory)
    flow = evaluate(Index(policies), workload, [Placed(image, "containers[0].image")], judge, clock=lambda: now)
    [found] = driver.run(flow, sender=lambda *_: pytest.fail("nothing is asked over the network")).images
    return [ruling.code for ruling in found.rulings]


def scan(at, *severities, database=None):
    """A cosign vuln predicate around a report by Grype that says it is of `at`."""
    matches = [
        {
            "vulnerability": {"id": f"CVE-2026-{n}", "severity": severity, "fix": {"state": "fixed", "versions": ["2"]}},
            "artifact": {"name": "x", "version": "1", "type": "deb", "purl": "pkg:deb/debian/x@1"},
            "relatedVulnerabilities": [], "matchDetails": [],
        }
        for n, severity in enumerate(severities)
    ]  # fmt: skip
    when = rfc3339(at)
    result = {
        "matches": matches, "source": {"type": "image", "target": {}}, "distro": {"name": "debian", "version": "12"},
        "descriptor": {"name": "grype", "version": "1", "timestamp": when},
    }  # fmt: skip
    db = {"uri": "", "version": "", "lastUpdate": rfc3339(database if database is not None else at)}
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {"uri": "https://github.com/anchore/grype", "version": "1", "db": db, "result": result},
        "metadata": {"scanStartedOn": when, "scanFinishedOn": when},
    }


def image_policy(require):
    """One of our own policies about everything in the registry."""
    document = {
        "apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"},
        "spec": {"images": ["registry.example.com/**"], "require": require},
    }  # fmt: skip
    return own.load(document)


@pytest.fixture(scope="module")
def good():
    return PrivateKey.generate()


@pytest.fixture(scope="module")
def registry(tmp_path_factory, good):
    """Images that somebody looked at, at various times."""
    made = Registry(tmp_path_factory.mktemp("registry"))
    for name, scans in {
        "scanned": [scan(NOW, "Low")],
        "soon": [scan(NOW + 2 * CLOCK_SECONDS, "Low")],
        "twice": [scan(NOW, "Critical"), scan(NOW + DAY, "Low")],
        "database": [scan(NOW, "Low", database=NOW + 2 * CLOCK_SECONDS)],
        "bad": [scan(NOW, "Critical")],
    }.items():
        made.push(f"{TEAM}/{name}")
        for each in scans:
            made.attest(f"{TEAM}/{name}", good, "vuln", each)
    made.push(f"{TEAM}/scored")
    made.attest(f"{TEAM}/scored", good, SCORE, {"until": rfc3339(NOW + 10), "score": 9})
    return made


def demands(good):
    """What policies may ask of these images."""
    key = {"key": own.pem(good)}
    return {
        "scan": image_policy({"scan": {"by": key, "maxAge": "1d", "failOn": "high"}}),
        "age": image_policy({"attestation": {"type": "vuln", "by": key, "maxAge": "1d"}}),
        "either": image_policy({"any": [
            {"scan": {"by": key, "maxAge": "1d", "failOn": "high"}},
            {"attestation": {"type": "vuln", "by": key, "maxAge": "1h"}},
        ]}),
    }  # fmt: skip


# -- the property


EDGES = [NOW + at for at in (0, CLOCK_SECONDS, 2 * CLOCK_SECONDS, 3600, DAY, DAY + CLOCK_SECONDS, 2 * DAY)]
MOMENTS = st.builds(
    lambda edge, off: edge + off, st.sampled_from(EDGES), st.sampled_from([-1.0, -0.25, 0.0, 0.25, 1.0, 7.0])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    demand=st.sampled_from(["scan", "age", "either"]),
    image=st.sampled_from(["scanned", "soon", "twice", "database", "bad"]),
    moments=st.lists(MOMENTS, min_size=2, max_size=8),
)
def test_P13_a_cache_changes_no_decision_at_no_moment(registry, good, demand, image, moments):
    policies = demands(good)[demand]
    memory = Kept(accepted_seconds=10 * DAY, refused_seconds=10 * DAY)
    name = f"{TEAM}/{image}:1.0"
    for now in moments:
        assert codes(policies, registry, name, now, memory) == codes(policies, registry, name, now)


# -- the boundaries, one by one


@pytest.mark.parametrize(
    ("demand", "image", "begun", "edge", "before", "after"),
    [
        ("scan", "scanned", NOW + 60, NOW + DAY, "accepted", "attestation-stale"),
        ("age", "scanned", NOW + 60, NOW + DAY, "accepted", "attestation-stale"),
        ("scan", "soon", NOW, NOW + CLOCK_SECONDS - 1, "attestation-stale", "accepted"),
        ("age", "soon", NOW, NOW + CLOCK_SECONDS - 1, "condition-failed", "accepted"),
        ("scan", "database", NOW, NOW + CLOCK_SECONDS - 1, "attestation-stale", "accepted"),
        ("scan", "twice", NOW + DAY - 60, NOW + DAY, "condition-failed", "accepted"),
    ],
)
def test_P13_a_verdict_is_believed_until_the_second_that_turns_it(
    registry, good, demand, image, begun, edge, before, after
):
    """`edge`: the last whole second before it turns."""
    policies = demands(good)[demand]
    memory = Kept(accepted_seconds=10 * DAY, refused_seconds=10 * DAY)
    name = f"{TEAM}/{image}:1.0"
    assert codes(policies, registry, name, begun, memory) == [before]
    asked = len(registry.asked)
    hits = memory.cache.counts.hits
    assert codes(policies, registry, name, edge - 1, memory) == [before]
    assert memory.cache.counts.hits == hits + 1  # it was kept until then: nobody was asked for evidence
    assert len(registry.asked) <= asked + 1  # but for what the tag means
    assert codes(policies, registry, name, edge, memory) == [before]
    assert codes(policies, registry, name, edge + 1, memory) == [after]
    assert codes(policies, registry, name, edge, memory) == [before]  # the clock went back


def test_P13_a_refusal_that_time_turns_good_is_kept_no_longer_than_other_refusals(registry, good):
    policies = demands(good)["scan"]
    memory = Kept(accepted_seconds=10 * DAY, refused_seconds=10)
    name = f"{TEAM}/twice:1.0"
    begun = NOW + DAY - 60
    assert codes(policies, registry, name, begun, memory) == ["condition-failed"]
    codes(policies, registry, name, begun + 9, memory)
    assert (memory.cache.counts.hits, memory.cache.counts.misses) == (1, 1)
    codes(policies, registry, name, begun + 10, memory)
    assert (memory.cache.counts.hits, memory.cache.counts.misses) == (1, 2)
    codes(policies, registry, name, NOW + DAY - 5, memory)
    codes(policies, registry, name, NOW + DAY + 1, memory)  # before ten seconds are over
    assert codes(policies, registry, name, NOW + DAY + 1, memory) == ["accepted"]


def test_P13_known_good_goes_no_further_than_the_age_that_a_policy_allows(registry, good):
    policies = demands(good)["scan"]
    [attestor] = attestors(policies.rules[0].demand)
    memory = Kept(accepted_seconds=60, known_good_seconds=10 * DAY)
    codes(policies, registry, f"{TEAM}/scanned:1.0", NOW + 5, memory)
    [key] = memory.cache._verdicts
    assert key.identity == attestor.identity
    assert memory.cache.recall(key, NOW + 65) is None
    assert memory.cache.known_good(key, NOW + DAY - 1) is not None
    assert memory.cache.known_good(key, NOW + DAY + 1) is None


# -- conditions that users write


def test_P13_conditions_that_know_the_time_hold_for_the_second_that_they_saw(registry, good):
    key = {"key": own.pem(good)}
    timed = {"cel": 'now <= timestamp(predicate["until"])'}
    policies = image_policy({"attestation": {"type": SCORE, "by": key, "conditions": [timed]}})
    memory = Kept(refused_seconds=3600)
    name = f"{TEAM}/scored:1.0"
    for now, code, hits in (
        (NOW, "accepted", 0), (NOW + 0.75, "accepted", 1), (NOW + 1, "accepted", 1), (NOW + 10, "accepted", 1),
        (NOW + 10.9, "accepted", 2), (NOW + 11, "condition-failed", 2), (NOW + 11.5, "condition-failed", 3),
        (NOW + 10, "accepted", 3),
    ):  # fmt: skip
        assert codes(policies, registry, name, now, memory) == [code]
        assert memory.cache.counts.hits == hits


def test_P13_conditions_that_know_no_time_hold_as_long_as_any_other_verdict(registry, good):
    key = {"key": own.pem(good)}
    policies = image_policy({"attestation": {"type": SCORE, "by": key, "conditions": [{"cel": "predicate.score > 5"}]}})
    memory = Kept()
    name = f"{TEAM}/scored:1.0"
    assert codes(policies, registry, name, NOW, memory) == ["accepted"]
    assert codes(policies, registry, name, NOW + limits.VERDICT_SECONDS - 1, memory) == ["accepted"]
    assert memory.cache.counts.hits == 1
    codes(policies, registry, name, NOW + limits.VERDICT_SECONDS, memory)
    assert memory.cache.counts.hits == 1


def test_P13_kyvernos_conditions_that_ask_for_the_time_hold_for_its_second(registry, good):
    condition = {
        "all": [{"key": "{{ time_before(time_now_utc(), until) }}", "operator": "Equals", "value": True}]
    }  # fmt: skip
    document = kyverno.policy(
        kyverno.block(attestations=[
            {"type": SCORE, "attestors": [{"entries": [kyverno.keys(good)]}], "conditions": [condition]}
        ])
    )  # fmt: skip
    policies = own.load(document)
    memory = Kept(refused_seconds=3600)
    name = f"{TEAM}/scored:1.0"
    for now, code, hits in (
        (NOW + 9, "accepted", 0), (NOW + 9.9, "accepted", 1), (NOW + 10, "condition-failed", 1),
        (NOW + 10.5, "condition-failed", 2), (NOW + 9.5, "accepted", 2),
    ):  # fmt: skip
        assert codes(policies, registry, name, now, memory) == [code]
        assert memory.cache.counts.hits == hits


@pytest.mark.parametrize(
    ("language", "source", "timed"),
    [
        ("cel", "now < timestamp('2030-01-01T00:00:00Z')", True),
        ("cel", "[1].exists(x, now==now)", True),
        ("cel", "predicate.known == 'renown'", False),
        ("rego", "package signature\nallow if data.sealgate.now_ns > 0", True),
        ("rego", "package signature\nimport data.sealgate as s\nallow if s.now_ns > 0", True),
        ("rego", 'package signature\nallow if data["sealgate"]["now_" + "ns"] > 0', True),
        ("rego", "package signature\nallow if walk(data, [_, x])", True),
        ("rego", "package signature\nallow if some k; data[k][_] > 0", True),
        ("rego", "package signature\nallow if data . sealgate [x]", True),
        ("rego", "package signature\nallow if data.signature.good", False),
        ("rego-compliant", "package sigstore\nisCompliant if input.data.x", False),
        ("rego-compliant", "package sigstore\nisCompliant if data.sealgate[_] > 1", True),
        ("schema", '{"const": "now"}', False),
        ("cue", "now: data", False),
    ],
)
def test_P13_which_texts_look_at_the_time(language, source, timed):
    text = conditions.of_language("text", language, source.encode())
    assert text.timed is timed
    assert caged.Caged((text,)).dated


def test_a_condition_that_does_not_say_until_when_is_believed_for_a_minute():
    attestor = by_key(
        PrivateKey.generate().public_key.pem(),
        attested=Attested(SCORE, (lambda _: [Finding("condition-met", "passed", "well")],)),
    )
    verdict = Verdict("x", "x", DIGEST, "accepted", "accepted", 0, "signed", None, "a key")
    end = Lifetimes().end(attestor, verdict, NOW, most=3600.0)
    assert end == NOW + limits.CONDITION_VERDICT_SECONDS
    known = attestor._replace(wanted=attestor.wanted._replace(attested=Attested(SCORE, (Fresh(60.0, "1m"),))))
    assert Lifetimes().end(known, verdict, NOW, most=3600.0) == NOW + 3600


@pytest.mark.parametrize("now", [NOW - 1, NOW, NOW + 1])
def test_P13_what_ends_at_this_very_moment_is_not_kept(now):
    report = SignatureReport(
        "a", "bundle", DIGEST, None, True, None, None, None, None, (Finding("condition-met", "passed", "", NOW),),
        "attestation", None, True,
    )  # fmt: skip
    verdict = Verdict("x", "x", DIGEST, "accepted", "accepted", 0, "signed", None, "a key", (report,))
    attestor = by_key(PrivateKey.generate().public_key.pem(), attested=Attested(SCORE, (Fresh(60.0, "1m"),)))
    assert Lifetimes().end(attestor, verdict, now, most=3600.0) == {NOW - 1: NOW, NOW: NOW, NOW + 1: NOW + 3601}[now]


# -- what conditions say themselves


def of(predicate_type, predicate):
    raw = json.dumps({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type, "predicate": predicate,
        "subject": [{"digest": {"sha256": "a" * 64}}],
    }).encode()  # fmt: skip
    from sealgate.evidence import statement

    found: Statement = statement.parse(raw, limit=len(raw))
    return found


@pytest.mark.parametrize("condition", [Fresh(float(DAY), "1d"), Scanned(Severity.HIGH, float(DAY), False)])
@pytest.mark.parametrize("severity", ["Low", "Critical"])
def test_P13_a_finding_holds_until_it_says_and_not_a_second_longer(condition, severity):
    found = of(predicates.VULNERABILITIES, scan(NOW, severity))

    def said(at):
        [finding] = condition.at(at)(found)
        return finding.code, finding.until

    ends = [NOW - 2 * CLOCK_SECONDS]
    while not math.isinf(ends[-1]):
        code, until = said(ends[-1])
        assert until >= ends[-1]
        if until == ends[-1]:  # a closed end: it still holds at it
            ends[-1] += 0.5
            continue
        middle = [ends[-1] + (min(until, ends[-1] + 2 * DAY) - ends[-1]) * share for share in (0.25, 0.5, 0.99)]
        assert {said(at)[0] for at in middle} == {code}
        ends.append(until)
    changes = [said(one)[0] != said(other)[0] for one, other in itertools.pairwise(ends[:-1])]
    assert any(changes)  # and it did turn on the way


def test_ignore_entries_end_a_judgement_and_vex_does_not():
    entry = IgnoreEntry("CVE-2026-1", "because", "2027-01-15", NOW + 60)
    policy = judge.Policy(Severity.HIGH, ignores=(entry,))
    assert judge.until([], policy, now=NOW) == NOW + 60
    assert judge.until([], policy, now=NOW + 60) == NOW + 60
    assert judge.until([], policy, now=NOW + 61) == math.inf
    assert judge.until([], judge.Policy(Severity.HIGH), now=NOW) == math.inf


# -- what is decided anew each time, and who is believed


def test_P08_P13_exceptions_and_grace_end_at_their_second_though_verdicts_are_kept(registry, good):
    stranger = own.pem(PrivateKey.generate())
    spec = {"images": ["registry.example.com/**"], "require": {"signature": {"key": stranger}}}
    metadata = {"apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"}}
    excused = {"images": [f"{TEAM}/scanned"], "until": rfc3339(NOW + 60), "reason": "for now"}
    memory = Kept(refused_seconds=3600)
    name = f"{TEAM}/scanned:1.0"
    policies = own.load(metadata | {"spec": spec | {"exceptions": [excused]}})
    for now, said in (
        (NOW + 61, ["no-signature"]), (NOW + 59, ["image-exempted"]), (NOW + 59.75, ["image-exempted"]),
        (NOW + 60, ["no-signature"]), (NOW + 61, ["no-signature"]),
    ):  # fmt: skip
        assert codes(policies, registry, name, now, memory) == said
    policies = own.load(metadata | {"spec": spec | {"grace": {"until": rfc3339(NOW + 60)}}})
    for now, severity in ((NOW + 61, "deny"), (NOW + 59.75, "warn"), (NOW + 60, "deny"), (NOW + 61, "deny")):
        flow = evaluate(
            Index(policies), own.workload(images=(name,)), [Placed(name, "containers[0].image")],
            Remembering(StoreJudge(registry), memory), clock=lambda now=now: now,
        )  # fmt: skip
        [found] = driver.run(flow, sender=lambda *_: pytest.fail("nothing is asked over the network")).images
        assert found.severity == severity
    assert memory.cache.counts.hits >= 2


@pytest.fixture(scope="module")
def keyless(registry, running_trust_service):
    """An image that somebody signed with a certificate, without any proof of when; the certificate, and the trust root."""
    service = running_trust_service
    service.reset()
    digest = registry.push(f"{TEAM}/keyless")
    statement = {
        "_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {},
    }  # fmt: skip
    made = service.make_bundle(kind="dsse", rekor=None, tsa=False, identity="dev@example.com", statement=statement)
    registry.attach(f"{TEAM}/keyless", made.bundle)
    leaf = certificates.read_leaf(made.certificates[0])
    return leaf, roots.parse(json.dumps(service.trusted_root()).encode())


def by_identity(root):
    """Signed by somebody with a certificate that is valid now."""
    pattern = IdentityPattern.parse(
        subject="dev@example.com", subject_regexp=None, issuer=None, issuer_regexp=".*", extensions=(), anchored=True
    )
    return asking.of_identities(
        [IdentifiedAs(pattern, "dev@example.com")], name="dev@example.com", where="keyless",
        log=asking.Log(ignore_log=True, ignore_sct=True), settings=asking.Settings(root=root),
    )  # fmt: skip


@pytest.mark.parametrize("ends", ["certificate", "authority", "authority begins"])
def test_P13_C06_a_certificate_that_must_be_valid_now_is_believed_until_its_last_second(registry, keyless, ends):
    leaf, root = keyless
    edge = leaf.not_after
    before, after = "accepted", "certificate-expired"
    if ends != "certificate":
        edge, after = leaf.not_before + 60, "certificate-untrusted"
        period = Period(None, edge)
        if ends == "authority begins":
            period, before, after = Period(edge + 0.25, None), after, before
        root = root._replace(
            certificate_authorities=tuple(each._replace(valid=period) for each in root.certificate_authorities)
        )
    attestor = by_identity(root)
    reference = parse(f"{TEAM}/keyless:1.0")
    memory = Kept(accepted_seconds=10 * DAY, refused_seconds=10 * DAY)

    def said(now, memory=None):
        judge = StoreJudge(registry) if memory is None else Remembering(StoreJudge(registry), memory)
        digest = driver.run(judge.resolve(reference), sender=lambda *_: pytest.fail("nothing is asked"))
        [verdict] = driver.run(
            judge.verdicts(reference, digest, [attestor], now=now), sender=lambda *_: pytest.fail("nothing is asked")
        )
        return verdict.code

    begun = leaf.not_before + 1
    for now, code in (
        (begun, before), (edge - 1, before), (edge, before), (edge + 0.5, after), (edge + 1, after), (edge - 1, before), (begun, before),
    ):  # fmt: skip
        assert said(now) == code
        assert said(now, memory) == code
    assert memory.cache.counts.hits >= 2
