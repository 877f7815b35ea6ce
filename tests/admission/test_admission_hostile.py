"""Registries, clocks, floods and policies that are hostile or broken: an answer in time, its code, and its good twin (K12, D10, D12)."""

from __future__ import annotations

import threading
import time

import pytest

from admission.place import Static, at_once, by_key, pod, recorded, rule
from admission.test_admission_lifetimes import scan
from conditions.test_cage import ENDLESS
from evil_registry.scripts import altered, cut, drip, endless, fail, honest, sequence, stall, throttle
from policy import scene as own
from policy.kyverno_validating.scene import ivp
from policy.kyverno_validating.test_cage import BOMBS
from sealgate.admission.cache import Settings as CacheSettings
from sealgate.conditions.evaluation import Conditions
from sealgate.evidence import predicates
from sealgate.policy.times import Fresh
from sealgate.verification.attestation import Attested

DAY = 86_400
SCORE = "https://example.com/score"


def statement(scene, predicate_type, predicate):
    """A Statement about the scene's image."""
    return scene.signer.statement(scene.image.digest) | {"predicateType": predicate_type, "predicate": predicate}


def attested(scene, predicate_type, predicate):
    """Attach an attestation of the scene's key to its image."""
    scene.attach(scene.signer.bundle(statement(scene, predicate_type, predicate)))


def in_time(answer, seconds):
    assert answer.seconds < seconds
    return answer


# -- registries


_ANSWERS = {
    "another body": (lambda: altered(body=b'{"schemaVersion":2}'), "digest-mismatch"),
    "half of it": (lambda: cut(40), "registry-unreachable"),
    "without an end": (endless, "limit-exceeded"),
    "one byte at a time": (lambda: drip(pause=0.5), "timed-out"),
    "silence": (stall, "timed-out"),
    "come back in an hour": (lambda: throttle("3600"), "registry-throttled"),
    "come back in twenty seconds": (lambda: throttle("20"), "timed-out"),
    "no": (lambda: fail(403), "registry-denied"),
    "not there": (lambda: fail(404), "image-not-found"),
}


@pytest.mark.parametrize("case", _ANSWERS)
def test_T02_K12_what_a_registry_may_do_instead_of_giving_a_manifest(place, scene, case):
    script, code = _ANSWERS[case]
    scene.registry.on("GET", f"*/manifests/{scene.image.digest}", script())
    in_time(place.validate(pod(scene.name), timeout="3s"), 3).is_denied(code)
    assert len(place.parts.cache) == (code in {"image-not-found", "digest-mismatch", "limit-exceeded"})  # errors never
    scene.registry.on("GET", f"*/manifests/{scene.image.digest}", honest())
    place.clock.ahead += 31  # no refusal is believed so long, and no look that goes on
    place.validate(pod(scene.name), timeout="20s").is_allowed()


def test_T01_a_registry_that_says_otherwise_each_time_admits_nothing_that_is_not_signed(place, scene):
    """Whatever it says a tag means, the digest that was verified is the one that is written."""
    scene.registry.on(
        "GET", "*/manifests/v1", sequence(*[honest(), altered(body=scene.evil.raw, without=("Docker-Content-Digest",))] * 20)
    )  # fmt: skip
    written = set()
    for _ in range(10):
        place.clock.ahead += 11
        answer = place.mutate(pod(scene.tag))
        if answer.response["allowed"]:
            written |= {step["value"] for step in answer.patch}
        else:
            answer.is_denied("no-signature")
    assert written == {f"{scene.tag}@{scene.image.digest}"}


def test_K12_a_registry_that_throttles_for_a_moment_is_waited_for(place, scene):
    scene.registry.on("GET", "*/referrers/*", sequence(throttle("1"), honest()))
    place.validate(pod(scene.name), timeout="30s").is_allowed()
    assert place.metric("sealgate_registry_answers_total", host="127.0.0.1", status="429") == 1


# -- clocks


@pytest.fixture
def aged(start, scene):
    """A webhook that asks for an attestation of a scan that is at most a day old, and one that is."""
    attested(scene, predicates.VULNERABILITIES, scan(int(time.time()) - 3600))
    demand = by_key(
        scene.signer.path.read_bytes(), attested=Attested(predicates.VULNERABILITIES, (Fresh(float(DAY), "1d"),))
    )
    return start(rule(demand), cache=CacheSettings(accepted_seconds=10 * DAY, refused_seconds=10 * DAY))


def looks(scene):
    return len(scene.registry.asked("GET", "*/referrers/*"))


def test_P13_the_webhook_believes_an_age_until_it_is_over_whichever_way_the_clock_goes(aged, scene):
    for ahead, code, asked in (
        (0, None, 1), (22 * 3600, None, 1), (24 * 3600, "attestation-stale", 2), (0, None, 3), (30 * 3600, "attestation-stale", 4),
        (9 * DAY, "attestation-stale", 4), (-2 * DAY, "condition-failed", 5), (60, None, 6),
    ):  # fmt: skip
        aged.clock.ahead = float(ahead)
        answer = aged.validate(pod(scene.name))
        answer.is_allowed() if code is None else answer.is_denied(code)
        assert looks(scene) == asked, ahead


@pytest.mark.parametrize(
    ("jump", "code", "asked"), [(0, None, 1), (20, None, 1), (600, None, 2), (DAY, "attestation-stale", 2), (-2 * DAY, "condition-failed", 2)]
)  # fmt: skip
def test_P13_a_look_that_began_before_the_clock_jumped_is_not_believed_beyond_what_it_saw(
    aged, scene, jump, code, asked
):
    begun, go = threading.Event(), threading.Event()

    def slow(exchange):
        begun.set()
        go.wait(30)
        return exchange.reply(exchange.honest())

    scene.registry.on("GET", "*/referrers/*", slow)
    answers = {}
    first = threading.Thread(target=lambda: answers.update(first=aged.validate(pod(scene.name), timeout="30s")))
    first.start()
    assert begun.wait(30)
    aged.clock.ahead += jump
    second = threading.Thread(target=lambda: answers.update(second=aged.validate(pod(scene.name), timeout="30s")))
    second.start()
    ends = time.monotonic() + 30
    while aged.metric("sealgate_reviews_in_flight") < 2:
        assert time.monotonic() < ends
        time.sleep(0.02)
    go.set()
    for each in (first, second):
        each.join(60)
    answers["first"].is_allowed()  # by the time that it was asked at
    answers["second"].is_allowed() if code is None else answers["second"].is_denied(code)
    assert looks(scene) == asked


# -- floods


def test_D10_a_flood_of_images_leaves_what_is_kept_within_its_bounds(start, scene, signed):
    place = start(rule(signed), cache=CacheSettings(entries=40))
    names = [f"{scene.registry.host}/flood/app{number}:v1" for number in range(200)]
    for number in range(200):
        scene.honest.put_image(f"flood/app{number}", "v1", b"%d" % number)

    def some(begin):
        return lambda: [place.mutate(pod(*names[at : at + 10]), timeout="30s") for at in range(begin, 200, 50)]

    for answers in at_once(*[some(begin) for begin in range(0, 50, 10)]):
        for answer in answers:
            answer.is_denied("no-signature")
    cache = place.parts.cache
    assert (len(cache), cache.tags) == (40, 40)
    assert cache.weight == sum(kept.weight for kept in cache._verdicts.values())
    assert place.metric("sealgate_cache_evictions_total") >= 160
    assert place.metric("sealgate_looks_in_flight") == 0
    place.validate(pod(scene.name)).is_allowed()


# -- policies


def test_D12_a_thousand_rules_are_all_asked(start, scene, signed):
    host = scene.registry.host
    others = [rule(signed, f"registry{number}.example.com/*", name=f"r{number}") for number in range(998)]
    place = start(*others, rule(signed, f"{host}/*", name="r998"), rule(Static(True, "", ""), f"{host}/*", name="r999"))
    in_time(place.validate(pod(scene.name), timeout="10s"), 10).is_allowed()
    evil = f"{host}/team/app@{scene.evil.digest}"
    refused = in_time(place.validate(pod(*[scene.name] * 20, evil), timeout="10s"), 10)
    refused.is_denied("no-signature")
    assert "check-image/r998" in refused.message
    everything = start(*[rule(signed, "*", policy=f"p{number}") for number in range(1000)])
    in_time(everything.validate(pod(scene.name), timeout="10s"), 10).is_allowed()
    in_time(everything.validate(pod(evil), timeout="10s"), 10).is_denied("no-signature")


def conditioned(scene, language, text):
    """A policy with a condition of a user on an attestation."""
    key = {"key": scene.signer.path.read_text()}
    wanted = {"attestation": {"type": SCORE, "by": key, "conditions": [{language: text}]}}
    document = {
        "apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"},
        "spec": {"images": [f"{scene.registry.host}/**"], "require": wanted},
    }  # fmt: skip
    return own.load(document)


_NUMBERS = "[" + ",".join(map(str, range(200))) + "]"


@pytest.mark.parametrize(
    ("language", "text", "good"),
    [
        ("rego", ENDLESS, "package signature\nallow { input.predicate.score > 5 }"),
        ("cel", f"{_NUMBERS}.all(a, {_NUMBERS}.all(b, {_NUMBERS}.all(c, {_NUMBERS}.all(d, a + b + c + d >= 0))))", "predicate.score > 5"),
    ],
)  # fmt: skip
def test_D12_K12_a_condition_that_never_ends_is_a_refusal_in_time_and_others_are_answered(
    start, scene, monkeypatch, language, text, good
):
    monkeypatch.setitem(Conditions.__init__.__kwdefaults__, "seconds", 8.0)  # so that it is over when the test is
    attested(scene, SCORE, {"score": 9})
    place = start(policies=conditioned(scene, language, text))
    refused = in_time(place.validate(pod(scene.name), timeout="2s"), 2)
    assert refused.response["allowed"] is False
    assert any(f"[{code}]" in refused.message for code in ("timed-out", "condition-error")), refused.message
    place.validate(pod("elsewhere.example.com/x:1")).is_denied("image-unmatched")  # meanwhile
    start(policies=conditioned(scene, language, good)).validate(pod(scene.name)).is_allowed()


@pytest.mark.parametrize("name", ["loops", "text"])
def test_D12_K12_an_image_policy_that_never_ends_is_a_refusal_in_time(start, scene, name):
    def policy(expression):
        document = ivp(expression, keys={"k": {"key": {"data": scene.signer.path.read_text()}}})
        document["spec"]["matchImageReferences"] = [{"glob": f"{scene.registry.host}/*"}]
        return own.load(document)

    signed = "images.containers.map(i, verifyImageSignatures(i, [attestors.k])).all(e, e > 0)"
    start(policies=policy(signed)).validate(pod(scene.name)).is_allowed()
    refused = start(policies=policy(BOMBS[name])).validate(pod(scene.name), timeout="20s")
    in_time(refused, 20).is_denied("condition-error")


# -- reviews


def test_K17_objects_without_images_are_admitted_and_ask_nobody(place, scene):
    review = pod(scene.name)
    for kind, resource in (("ConfigMap", "configmaps"), ("Service", "services")):
        review["request"]["kind"] = {"group": "", "version": "v1", "kind": kind}
        review["request"]["resource"] = {"group": "", "version": "v1", "resource": resource}
        review["request"]["object"] = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": "a"},
            "data": {"image": "x"},
        }
        place.validate(review).is_allowed()
        assert place.mutate(review).patch == []
    assert scene.registry.asked() == []


@pytest.mark.parametrize("version", ["v2", "v1beta7"])
@pytest.mark.parametrize("name", ["01", "deployment"])
def test_K17_K18_a_version_that_nobody_knows_yet_is_judged_by_its_form(place, scene, version, name):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    for image, code in ((scene.name, None), (evil, "no-signature")):
        review = recorded(name)
        found = review["request"]["object"]
        group = found["apiVersion"].rpartition("/")[0]
        found["apiVersion"] = f"{group}/{version}" if group else version
        review["request"]["kind"]["version"] = review["request"]["resource"]["version"] = version
        spec = found["spec"] if name == "01" else found["spec"]["template"]["spec"]
        spec["containers"] = [{"name": "c", "image": image}]
        answer = place.validate(review)
        answer.is_allowed() if code is None else answer.is_denied(code)


def test_K17_more_images_than_are_looked_at_are_refused_by_their_number(place, scene):
    from sealgate import limits

    review = pod(*[f"{scene.registry.host}/team/app:{number}" for number in range(limits.REVIEW_IMAGES + 1)])
    in_time(place.validate(review, timeout="20s"), 20).is_denied("review-invalid")
    place.validate(pod(*[scene.name] * 200), timeout="20s").is_allowed()
