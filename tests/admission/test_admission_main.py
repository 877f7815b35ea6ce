"""The way of a Pod: created, verified against a real registry by a key's policy, patched, validated."""

from __future__ import annotations

from admission.place import by_key, patched, pod, recorded, rule
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
