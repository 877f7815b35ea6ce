"""The way of a Pod: created, verified against a real registry by a key's policy, patched, validated."""

from __future__ import annotations

import pytest

from admission.place import by_key, patched, pod, recorded, rule
from bypasses.scene import Signer
from peers.images import push_image


def test_a_signed_pod_of_a_real_registry_is_patched_and_validated_and_an_unsigned_one_refused(
    start, docker_registry, sealgate, tmp_path
):
    signed = push_image(docker_registry, "team/app", tag="v1")
    unsigned = push_image(docker_registry, "team/other", tag="v1")
    sealgate("generate-key-pair", env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    sealgate("sign", "--key", "cosign.key", "--yes", signed.reference, env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    place = start(rule(by_key((tmp_path / "cosign.pub").read_bytes())))

    created = pod(signed.tagged)
    answer = place.mutate(created)
    answer.is_allowed()
    assert answer.patch == [
        {"op": "replace", "path": "/spec/containers/0/image", "value": f"{signed.tagged}@{signed.digest}"}
    ]
    assert not answer.warnings
    place.validate(patched(created, answer.patch)).is_allowed()

    refused = place.mutate(pod(unsigned.tagged))
    refused.is_denied("no-signature")
    for part in (unsigned.tagged, "containers[0].image", "check-image/verify-signature"):
        assert part in refused.message
    place.validate(pod(f"{unsigned.tagged}@{unsigned.digest}")).is_denied("no-signature")
    place.validate(created).is_denied("digest-missing")


def test_the_recorded_requests_are_all_understood(start):
    place = start(rule(by_key_of_nobody(), "registry.other.example/*"))
    for number in range(1, 37):
        review = recorded(f"{number:02d}-")
        answer = place.mutate(review) if number % 2 else place.validate(review)
        answer.is_allowed()


def by_key_of_nobody():
    """The demand of a key that signed nothing."""
    from sealgate.keys.private import PrivateKey

    return by_key(PrivateKey.generate().public_key.pem())


@pytest.mark.parametrize("action", ["warn", "audit"])
@pytest.mark.parametrize("lax_first", [True, False])
def test_T07_K13_a_rule_that_does_not_enforce_takes_no_digest_away_and_excuses_from_none(
    start, scene, signed, tmp_path, action, lax_first
):
    """The enforcing rule's digest is written though another rule is not met, and without it that rule refuses the Pod."""
    lax = rule(by_key(Signer(tmp_path, "other").path.read_bytes()), policy="lax", action=action)
    rules = (lax, rule(signed)) if lax_first else (rule(signed), lax)
    place = start(*rules)
    created = pod(scene.tag)
    refused = place.validate(created)
    refused.is_denied("digest-missing")
    assert "check-image/verify-signature" in refused.message
    answer = place.mutate(created)
    answer.is_allowed()
    assert [step["value"] for step in answer.patch] == [f"{scene.tag}@{scene.image.digest}"]
    admitted = place.validate(patched(created, answer.patch))
    admitted.is_allowed()
    assert bool(admitted.warnings) == (action == "warn")
    alone = start(lax)
    assert alone.mutate(created).patch == []  # nobody has verified that digest
    alone.validate(created).is_allowed()
