"""Images at places that only policies know: Kyverno's `imageExtractors`, and `images` of its image policies (K14, K18)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from admission.place import patched, recorded, updated
from sealgate.admission.standing import Loaded
from sealgate.gate import policies
from sealgate.policy.attestors import Settings

EXTRACTORS = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: tasks
spec:
  validationFailureAction: Enforce
  rules:
  - name: signed
    match: {any: [{resources: {kinds: [tekton.dev/v1/Task]}}]}
    imageExtractors:
      Task:
      - path: /spec/a~b/*/image
      - path: /spec/steps/*
        value: uses
    verifyImages:
    - imageReferences: ["*"]
      attestors: [{entries: [{keys: {publicKeys: PEM}}]}]
"""
EXPRESSIONS = """\
apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata:
  name: tasks
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [tekton.dev], apiVersions: [v1], operations: ["*"], resources: [tasks]}]
  matchImageReferences: [{glob: "HOST/*"}]
  attestors: [{name: k, cosign: {key: {data: PEM}}}]
  images: [{name: steps, expression: "object.spec.steps.map(s, s.uses)"}]
  validations: [{expression: "images.steps.map(i, verifyImageSignatures(i, [attestors.k])).all(e, e > 0)", message: not signed}]
"""


@pytest.fixture
def serving(start, scene, tmp_path):
    """A webhook with policies of files."""

    def begun(text: str):
        text = text.replace("PEM", json.dumps(scene.signer.path.read_text())).replace("HOST", scene.registry.host)
        (tmp_path / "policies.yaml").write_text(text)
        return start(load=lambda: Loaded(policies.load([str(tmp_path / "policies.yaml")], Settings()), {}))

    return begun


def task(*images: str, field: str = "steps", name: str = "uses") -> dict[str, Any]:
    """The creation of a Task."""
    review = recorded("06-")
    review["request"] |= {
        "kind": {"group": "tekton.dev", "version": "v1", "kind": "Task"},
        "resource": {"group": "tekton.dev", "version": "v1", "resource": "tasks"},
        "object": {
            "apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "build", "namespace": "default"},
            "spec": {field: [{"name": "same", name: image} for image in images]},
        },
    }  # fmt: skip
    return review


@pytest.mark.parametrize("text", [EXTRACTORS, EXPRESSIONS], ids=["paths", "expressions"])
def test_K14_K18_images_that_a_policy_finds_are_judged_every_one_of_them(serving, scene, text):
    place = serving(text)
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    for path in ("/mutate", "/validate"):
        place.ask(path, task(scene.name, scene.name)).is_allowed()
        for images in ((evil, scene.name), (scene.name, evil)):
            refused = place.ask(path, task(*images))
            assert refused.response["allowed"] is False
            assert evil in refused.message
            assert "[no-signature]" in refused.message


def test_the_digest_is_written_at_the_place_that_a_path_names(serving, scene):
    place = serving(EXTRACTORS)
    for field, name, where in (("steps", "uses", "/spec/steps/1/uses"), ("a~b", "image", "/spec/a~0b/1/image")):
        created = task(scene.name, scene.tag, field=field, name=name)
        answer = place.mutate(created)
        answer.is_allowed()
        assert answer.patch == [{"op": "replace", "path": where, "value": f"{scene.tag}@{scene.image.digest}"}]
        if "~" not in where:
            place.validate(patched(created, answer.patch)).is_allowed()


def test_what_an_expression_finds_has_no_place_to_write_to(serving, scene):
    answer = serving(EXPRESSIONS).mutate(task(scene.tag))
    answer.is_allowed()
    assert not answer.patch


def test_K08_K10_what_stands_unchanged_at_such_a_place_is_admitted_and_said(serving, scene):
    place = serving(EXTRACTORS)
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    base = task(evil, scene.name)
    base["request"]["object"]["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/x"]
    }  # fmt: skip
    before = len(scene.registry.asked())
    freed = place.validate(updated(base, lambda new: new["metadata"].pop("finalizers")))
    freed.is_allowed()
    assert len(scene.registry.asked()) == before
    assert freed.response["auditAnnotations"]["unchanged"] == "2"
    assert place.metric("sealgate_images_total", state="unchanged") == 2
    assert any("[image-unchanged]" in each and evil in each for each in freed.warnings)
    place.validate(updated(base, lambda new: new["spec"]["steps"].reverse())).is_denied("no-signature")
    added = updated(base, lambda new: new["spec"]["steps"].append({"name": "more", "uses": evil}))
    place.validate(added).is_denied("no-signature")
    created = copy.deepcopy(base)
    created["request"]["oldObject"] = copy.deepcopy(base["request"]["object"])
    place.validate(created).is_denied("no-signature")


def test_K09_an_old_object_that_cannot_be_read_excuses_nothing(serving, scene):
    place = serving(EXTRACTORS)
    unreadable = updated(task(f"{scene.registry.host}/team/app@{scene.evil.digest}"), lambda new: None)
    place.validate(unreadable).is_allowed()
    unreadable["request"]["oldObject"]["spec"]["steps"].append({"name": "x", "uses": 7})
    place.validate(unreadable).is_denied("no-signature")


def test_what_stands_at_such_a_place_and_is_no_name_is_refused(serving, scene):
    place = serving(EXTRACTORS)
    place.validate(task(scene.name)).is_allowed()
    place.validate(task(7)).is_denied("workload-invalid")  # type: ignore[arg-type]
