"""Rules that look at whole workloads and at images' manifests, in the webhook: asked for once, refused where they cannot be had."""

from __future__ import annotations

from typing import NamedTuple

from admission.place import at_once, pod, rule
from evil_registry.scripts import delay, fail, stall
from sealgate import limits
from sealgate.policy import model as models


class Every(NamedTuple):
    """Every image is signed, and its manifest is known."""

    attestors: tuple[models.Attestor, ...]
    where: str = ""
    wants_data: bool = True
    notes: tuple[tuple[str, str], ...] = ()

    def concerns(self, workload, image, texts):
        return True

    def judge_all(self, workload, candidates, now):
        found = []
        for each in candidates:
            verdicts = [each.verdicts.get(attestor.identity) for attestor in self.attestors]
            if each.data is None or "config" not in each.data:
                found.append(models.Judged("unknown", "policy-undecided", "nothing is known of the image"))
            elif all(verdict is not None and verdict.accepted for verdict in verdicts):
                found.append(models.Judged("accepted", "accepted", "signed", None, self.notes))
            else:
                found.append(models.Judged("refused", "policy-not-met", "not signed"))
        return found


def test_manifests_are_asked_for_once_by_reviews_at_the_same_time(start, scene, signed):
    place = start(rule(Every((signed,))))
    scene.registry.on("GET", "*/blobs/*", delay(0.5))
    for answer in at_once(*[lambda: place.validate(pod(scene.name), timeout="30s")] * 8):
        answer.is_allowed()
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(pod(scene.name, evil)).is_denied("policy-not-met")


def test_a_manifest_that_cannot_be_had_admits_nothing(start, scene, signed, monkeypatch):
    monkeypatch.setattr(limits, "DESCRIPTION_BYTES", 0)  # so that none is kept
    place = start(rule(Every((signed,))))
    place.validate(pod(scene.name)).is_allowed()  # the verdict is known from here on
    scene.registry.on("GET", "*/v2/*", fail(403))
    place.validate(pod(scene.name)).is_denied("policy-undecided")
    scene.registry.on("GET", "*/v2/*", stall())
    answer = place.validate(pod(scene.name), timeout="2s")
    assert answer.response["allowed"] is False
    assert answer.seconds < 2


def test_what_a_policy_writes_into_the_audit_log_goes_there_and_takes_no_name_of_ours(start, scene, signed):
    notes = (("outcome", "denied by nobody"), ("signed-by", "team"), ("no name/at all", "x"), ("long", "y" * 5000))
    place = start(rule(Every((signed,), notes=notes)))
    found = place.validate(pod(scene.name)).response["auditAnnotations"]
    assert (found["outcome"], found["signed-by"]) == ("admit", "team")
    assert "no name/at all" not in found
    assert len(found["long"]) <= 2048
