"""Answers in time, whatever registries do: deadlines, looks that are shared, and what is remembered how long (K12, K20, P13)."""

from __future__ import annotations

import functools
import time

import pytest

from admission.place import Count, at_once, by_key, either, patched, pod, rule
from bypasses.scene import Signer
from evil_registry.scripts import delay, fail, stall, throttle
from sealgate.admission.cache import Settings as CacheSettings
from sealgate.oci.host import RegistrySettings

_LOOKS = ("*/manifests/*", "*/referrers/*", "*/blobs/*")


def _evidence(registry):
    """How often evidence of images was asked for."""
    return len(registry.asked("GET", "*/referrers/*"))


def test_K12_a_registry_that_stalls_is_refused_before_the_api_server_gives_up_and_named(place, scene):
    scene.registry.on("*", "/v2/*", stall())
    refused = place.validate(pod(scene.name), timeout="2s")
    refused.is_denied("timed-out")
    assert refused.seconds < 2
    assert f"{scene.registry.host}" in refused.message
    assert "has no answer after" in refused.message
    assert place.metric("sealgate_deadlines_missed_total", host=scene.registry.host) == 1


def test_K12_a_slow_registry_is_waited_for_as_long_as_the_request_allows(place, scene):
    scene.registry.on("GET", "*/referrers/*", delay(1.5))
    place.validate(pod(scene.name), timeout="1s").is_denied("timed-out")
    place.validate(pod(scene.name), timeout="20s").is_allowed()  # the look went on, or is made again


def test_K12_without_a_time_out_in_the_request_the_operators_counts(start, scene, signed):
    place = start(rule(signed), seconds=1.0)
    scene.registry.on("*", "/v2/*", stall())
    for timeout in (None, "nonsense", "-5s", "0s"):
        refused = place.validate(pod(scene.name), timeout=timeout)
        refused.is_denied("timed-out")
        assert refused.seconds < 5


def test_D15_K12_one_registry_that_hangs_does_not_delay_another(start, scene, signed, evil_registry):
    other = evil_registry()
    other.honest.put_image("team/app", "v1")
    other.on("*", "/v2/*", stall())
    place = start(rule(signed))

    def hanging(number):
        return lambda: place.validate(pod(f"{other.host}/team/app{number}:v1"), timeout="6s")

    def healthy():
        return place.validate(pod(scene.name), timeout="6s")

    *stalled, good = at_once(*[hanging(number) for number in range(60)], healthy)
    for answer in stalled:
        answer.is_denied("timed-out")
    good.is_allowed()
    assert good.seconds < min(answer.seconds for answer in stalled)


def test_an_image_that_hangs_is_named_and_the_others_of_the_pod_are_judged(start, scene, signed, evil_registry):
    other = evil_registry()
    other.on("*", "/v2/*", stall())
    place = start(rule(signed))
    refused = place.validate(pod(scene.name, f"{other.host}/x:1"), timeout="2s")
    refused.is_denied("timed-out")
    assert other.host in refused.message
    assert scene.name not in refused.message


def test_identical_work_in_flight_is_done_once(place, scene):
    scene.registry.on("GET", "*/referrers/*", delay(1.0))
    answers = at_once(*[lambda: place.validate(pod(scene.name), timeout="30s")] * 20)
    for answer in answers:
        answer.is_allowed()
    assert _evidence(scene.registry) == 1
    created = pod(scene.tag)
    scene.registry.on("GET", "*/manifests/v1", delay(1.0))
    answers = at_once(*[lambda: place.mutate(created, timeout="30s")] * 20)
    assert len({str(answer.patch) for answer in answers}) == 1
    assert len(scene.registry.asked("GET", "*/manifests/v1")) == 1
    assert _evidence(scene.registry) == 1


def test_a_look_goes_on_when_those_who_waited_have_answered(place, scene):
    scene.registry.on("GET", "*/referrers/*", delay(3.0))
    place.validate(pod(scene.name), timeout="1s").is_denied("timed-out")
    place.validate(pod(scene.name), timeout="30s").is_allowed()
    assert _evidence(scene.registry) == 1


def test_a_good_verdict_is_remembered_a_refusal_briefly_and_an_error_never(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(pod(scene.name)).is_allowed()
    asked = _evidence(scene.registry)
    place.validate(pod(scene.name)).is_allowed()
    assert _evidence(scene.registry) == asked
    place.validate(pod(evil)).is_denied("no-signature")
    place.validate(pod(evil)).is_denied("no-signature")
    assert _evidence(scene.registry) == asked + 1
    scene.attach(scene.bundle(scene.evil), subject=scene.evil)
    place.validate(pod(evil)).is_denied("no-signature")
    place.clock.ahead += 11
    place.validate(pod(evil)).is_allowed()
    assert _evidence(scene.registry) == asked + 2
    place.clock.ahead += 3601
    place.validate(pod(scene.name)).is_allowed()
    assert _evidence(scene.registry) == asked + 3
    scene.registry.on("*", "/v2/*", fail(403))
    place.clock.ahead += 3601
    place.validate(pod(scene.name)).is_denied("registry-denied")
    scene.registry.on("*", "/v2/*", lambda exchange: exchange.reply(exchange.honest()))
    place.validate(pod(scene.name)).is_allowed()
    assert place.metric("sealgate_cache_requests_total", cache="verdict", result="hit") > 0


def test_P13_a_tag_that_moved_is_resolved_anew_and_what_it_means_now_is_judged(place, scene):
    created = pod(scene.tag)
    first = place.mutate(created)
    first.is_allowed()
    scene.honest.put_manifest("team/app", scene.evil.raw, "v1")
    again = place.mutate(created)  # within the short time that a tag is remembered: the digest that was verified, still
    assert again.patch == first.patch
    place.clock.ahead += 11
    place.mutate(created).is_denied("no-signature")


def test_a_tag_that_is_old_is_looked_up_again_before_anybody_has_to_wait(place, scene):
    created = pod(scene.tag)
    first = place.mutate(created)
    first.is_allowed()
    asked = len(scene.registry.asked("GET", "*/manifests/v1"))
    place.clock.ahead += 3.9  # not old yet, whatever its share is
    place.mutate(created).is_allowed()
    assert len(scene.registry.asked("GET", "*/manifests/v1")) == asked
    scene.honest.put_manifest("team/app", scene.evil.raw, "v1")
    place.clock.ahead += 4.2
    dry = pod(scene.tag)
    dry["request"]["dryRun"] = True
    assert place.mutate(dry).patch == first.patch
    assert place.mutate(created).patch == first.patch
    ends = time.monotonic() + 30
    while place.mutate(created).response["allowed"]:  # the look goes on beside, and what it found is judged
        assert time.monotonic() < ends
        time.sleep(0.02)
    place.mutate(created).is_denied("no-signature")
    assert len(scene.registry.asked("GET", "*/manifests/v1")) == asked + 1


def test_P13_P12_another_policy_does_not_see_what_was_verified_for_one(start, scene, signed, tmp_path):
    other = by_key(Signer(tmp_path, "other").path.read_bytes())
    place = start(rule(signed), rule(other, policy="other"))
    refused = place.validate(pod(scene.name))
    refused.is_denied("signature-key-mismatch")
    assert "other/verify-signature" in refused.message
    place.validate(pod(scene.name)).is_denied("signature-key-mismatch")
    place = start(rule(either(signed, other)))
    place.validate(pod(scene.name)).is_allowed()


def test_P13_a_policy_that_is_tightened_is_asked_anew(start, scene, signed, tmp_path):
    from sealgate.admission.standing import Loaded
    from sealgate.policy.model import Policies

    other = by_key(Signer(tmp_path, "other").path.read_bytes())
    file = tmp_path / "policies.yaml"
    file.write_text("1")
    rules = {"1": (rule(signed),), "2": (rule(Count(2, (signed, other))),)}

    def load():
        from sealgate.errors import PolicyInvalidError

        text = file.read_text()
        if text not in rules:
            raise PolicyInvalidError(f"{text} is no policy")
        return Loaded(Policies(rules[text]), {})

    place = start(load=load, paths=(str(file),))
    place.validate(pod(scene.name)).is_allowed()
    file.write_text("2")
    place.running.renew()
    place.validate(pod(scene.name)).is_denied("signature-key-mismatch")
    ready = place.get("/readyz")
    assert b'"generation": 2' in ready.body
    file.write_text("broken")
    place.running.renew()
    place.validate(pod(scene.name)).is_denied("signature-key-mismatch")  # what was in force stays
    ready = place.get("/readyz")
    assert (ready.status, b"broken is no policy [policy-invalid]" in ready.body) == (200, True)
    assert place.metric("sealgate_policies_broken") == 1
    assert [line["event"] for line in place.log() if line["event"].startswith("policies")] == [
        "policies-changed", "policies-broken",
    ]  # fmt: skip
    file.write_text("1")
    place.running.renew()
    place.validate(pod(scene.name)).is_allowed()
    assert place.metric("sealgate_policies_broken") == 0


def test_P13_the_signatures_of_one_repository_are_not_those_of_another(place, scene):
    place.validate(pod(scene.name)).is_allowed()
    scene.honest.put_manifest("team/copy", scene.image.raw, "v1")
    place.validate(pod(f"{scene.registry.host}/team/copy@{scene.image.digest}")).is_denied("no-signature")


def test_K20_a_dry_run_leaves_no_trace_in_the_caches(place, scene):
    dry = pod(scene.tag)
    dry["request"]["dryRun"] = True
    answer = place.mutate(dry)
    answer.is_allowed()
    assert answer.patch
    place.validate(patched(dry, answer.patch)).is_allowed()
    assert (len(place.parts.cache), place.parts.cache.tags) == (0, 0)
    place.mutate(pod(scene.tag)).is_allowed()
    assert (len(place.parts.cache), place.parts.cache.tags) == (1, 1)
    asked = len(scene.registry.asked())
    place.mutate(dry).is_allowed()  # it may read them
    assert len(scene.registry.asked()) == asked


def test_known_good_images_go_on_while_their_registry_is_down_if_the_operator_allows_it(start, scene, signed):
    quick = RegistrySettings(first_pause=0.01)
    place = start(rule(signed), cache=CacheSettings(accepted_seconds=60, known_good_seconds=3600), registry=quick)
    strict = start(rule(signed), cache=CacheSettings(accepted_seconds=60), registry=quick)
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    for each in (place, strict):
        each.validate(pod(scene.name)).is_allowed()
        each.validate(pod(evil)).is_denied("no-signature")
        each.clock.ahead += 61
    scene.registry.on("*", "/v2/*", fail(503))
    answer = place.validate(pod(scene.name))
    answer.is_allowed()
    assert any("[known-good]" in each for each in answer.warnings)
    assert place.metric("sealgate_known_good_total") == 1
    strict.validate(pod(scene.name)).is_denied("registry-failed")
    place.validate(pod(evil)).is_denied("registry-failed")  # what was refused is not known as good
    place.mutate(pod(scene.tag)).is_denied("registry-failed")  # nobody knows what a tag means
    place.clock.ahead += 3600
    place.validate(pod(scene.name)).is_denied("registry-failed")


def test_known_good_is_not_asked_where_the_registry_answers_that_it_is_not_signed(start, scene, signed):
    place = start(rule(signed), cache=CacheSettings(accepted_seconds=60, known_good_seconds=3600))
    place.validate(pod(scene.name)).is_allowed()
    place.clock.ahead += 61
    scene.registry.on("GET", "*/referrers/*", lambda exchange: exchange.reply(exchange.honest().changed(
        body=b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}')))  # fmt: skip
    place.validate(pod(scene.name)).is_denied("no-signature")


def test_a_clock_that_jumps_back_makes_nothing_hold(place, scene):
    place.validate(pod(scene.name)).is_allowed()
    asked = _evidence(scene.registry)
    place.clock.ahead -= 86_400
    place.validate(pod(scene.name)).is_allowed()
    assert _evidence(scene.registry) == asked + 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_registries_that_throttle_or_fail_are_not_mixed_up_with_unsigned(place, scene, status):
    scene.registry.on("*", "/v2/*", throttle("0") if status == 429 else fail(status))
    refused = place.validate(pod(scene.name), timeout="5s")
    refused.is_denied("registry-throttled" if status == 429 else "registry-failed")
    assert place.metric("sealgate_registry_answers_total", host="127.0.0.1", status=str(status)) > 0


def test_T01_a_registry_that_answers_a_tag_twice_differently_gets_what_was_verified_written(place, scene):
    from evil_registry.scripts import altered, honest, sequence

    scene.registry.on("GET", "*/manifests/v1", sequence(honest(), altered(body=scene.evil.raw)))
    answer = place.mutate(pod(scene.tag, scene.tag))
    answer.is_allowed()
    assert {step["value"] for step in answer.patch} == {f"{scene.tag}@{scene.image.digest}"}


def test_twenty_images_of_a_pod_are_asked_for_at_once(start, scene, signed):
    place = start(rule(signed))
    names = []
    for number in range(20):
        image = scene.honest.put_image(f"team/many{number}", "v1", b"%d" % number)
        scene.honest.put_referrer(
            f"team/many{number}", image, __import__("json").dumps(scene.bundle(image)).encode(),
            artifact_type="application/vnd.dev.sigstore.bundle.v0.3+json",
        )  # fmt: skip
        names.append(f"{scene.registry.host}/team/many{number}:v1")
    scene.registry.on("GET", "*/referrers/*", delay(0.5))
    answer = place.mutate(pod(*names), timeout="30s")
    answer.is_allowed()
    assert len(answer.patch) == 20
    for number in range(
        20
    ):  # every evidence was asked for before any had come: with one after the other it would be 10 s
        assert len(scene.registry.asked("GET", f"*/team/many{number}/referrers/*")) == 1


def test_T19_two_hundred_reviews_at_once_get_each_its_own_digests(place, scene):
    images = []
    for number in range(25):
        stored = scene.honest.put_image("team/app", f"n{number}", content=b"%d" % number)
        scene.attach(scene.bundle(stored), subject=stored)
        images.append((f"{scene.registry.host}/team/app:n{number}", stored.digest))

    def asked(number):
        first, second = images[number % 25], images[(number * 7 + 1) % 25]
        return [step["value"] for step in place.mutate(pod(first[0], second[0]), timeout="30s").patch], (first, second)

    for values, pair in at_once(*(functools.partial(asked, number) for number in range(200))):
        assert values == [f"{name}@{digest}" for name, digest in pair]


def test_a_text_that_cannot_be_compiled_unloads_nothing(start, scene, tmp_path):
    import json

    from sealgate.admission.standing import Loaded
    from sealgate.gate import policies
    from sealgate.policy.attestors import Settings

    folder = tmp_path / "policies"
    folder.mkdir()
    key = scene.signer.path.read_text()

    def write(*texts: str) -> None:
        conditions = [{"cel": text} for text in texts]
        attestation = {"type": "https://example.com/score", "by": {"key": key}, "conditions": conditions}
        document = {
            "apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"},
            "spec": {
                "images": [f"{scene.registry.host}/**"],
                "require": {"any": [{"signature": {"key": key}}, {"attestation": attestation}]},
            },
        }  # fmt: skip
        (folder / "own.json").write_text(json.dumps(document))

    write("predicate.score > 5")
    place = start(load=lambda: Loaded(policies.load([str(folder)], Settings()), {}), paths=(str(folder),))
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(pod(scene.name)).is_allowed()
    place.validate(pod(evil)).is_denied("no-signature")
    write("predicate.score > 5", "predicate.score >")
    place.running.renew()
    place.validate(pod(scene.name)).is_allowed()
    place.validate(pod(evil)).is_denied("no-signature")
    ready = place.get("/readyz")
    assert ready.status == 200
    assert b"attestation.conditions[1].cel: is not CEL" in ready.body
    assert place.metric("sealgate_policies_broken") == 1
    write("predicate.score > 5", "predicate.score > 6")
    place.running.renew()
    assert place.metric("sealgate_policies_broken") == 0
    place.validate(pod(scene.name)).is_allowed()
