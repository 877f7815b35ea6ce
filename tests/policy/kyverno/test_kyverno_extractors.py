"""`imageExtractors`: images in objects of kinds that nobody else knows."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import load, workload
from sealgate.errors import PolicyInvalidError, WorkloadInvalidError
from sealgate.policy.kyverno import extractors

TASK = {
    "kind": "Task",
    "spec": {
        "steps": [{"name": "a", "image": "r.example.com/a:1"}, {"name": "b", "image": "r.example.com/b:1"}],
        "sidecar": {"image": "docker://r.example.com/c:1"}, "more": {"x": {"image": "r.example.com/x:1"}, "y": {}},
    },
}  # fmt: skip


def found(good, *asked, document=TASK, kind="Task"):
    made = policy(block(keys(good)), rule={"imageExtractors": {"Task": list(asked)}})
    policies = load(made)
    task = workload("Task", gvr=("tekton.dev", "v1", "tasks"), document=document)._replace(kind=kind)
    return [(each.image, each.where, each.pointer) for each in extractors.images(policies, task)]


@pytest.mark.parametrize(
    ("extractor", "images"),
    [
        ({"path": "/spec/steps/*/image"}, [("r.example.com/a:1", "spec.steps[0].image", "/spec/steps/0/image"), ("r.example.com/b:1", "spec.steps[1].image", "/spec/steps/1/image")]),
        ({"path": "/spec/steps/*", "value": "image", "key": "name", "name": "steps"}, [("r.example.com/a:1", "spec.steps[0].image", "/spec/steps/0/image"), ("r.example.com/b:1", "spec.steps[1].image", "/spec/steps/1/image")]),
        ({"path": "/spec/steps/1/image"}, [("r.example.com/b:1", "spec.steps[1].image", "/spec/steps/1/image")]),
        ({"path": "/spec/sidecar/image", "jmesPath": "trim_prefix(@, 'docker://')"}, [("r.example.com/c:1", "spec.sidecar.image", "")]),
        ({"path": "/spec/more/*/image"}, [("r.example.com/x:1", "spec.more.x.image", "/spec/more/x/image")]),
        ({"path": "/spec/none/*/image"}, []),
    ],
)  # fmt: skip
def test_paths(good, extractor, images):
    assert found(good, extractor) == images
    assert found(good, extractor, kind="Other") == []


def test_K18_two_elements_of_one_name_are_two(good):
    document = {"spec": {"steps": [{"name": "a", "image": "r/one:1"}, {"name": "a", "image": "r/two:1"}]}}
    extractor = {"path": "/spec/steps/*", "value": "image", "key": "name"}
    assert [image for image, *_ in found(good, extractor, document=document)] == ["r/one:1", "r/two:1"]


@pytest.mark.parametrize("value", [1, ["x"], {"a": "b"}, True])
def test_R13_what_is_no_name_is_refused(good, value):
    with pytest.raises(WorkloadInvalidError):
        found(good, {"path": "/spec/image"}, document={"spec": {"image": value}})
    assert found(good, {"path": "/spec/image"}, document={"spec": {"image": "r/x:1"}}) == [
        ("r/x:1", "spec.image", "/spec/image")
    ]


@pytest.mark.parametrize("transform", ["@.x", "to_upper(`1`)", "split(@, '/')"])
def test_a_transformation_that_gives_no_name(good, transform):
    with pytest.raises(WorkloadInvalidError):
        found(good, {"path": "/spec/sidecar/image", "jmesPath": transform})


@pytest.mark.parametrize(
    "extractor",
    [
        {},
        {"path": "spec/image"},
        {"path": "/"},
        {"path": "/spec//x"},
        {"path": "/a", "jmesPath": "x("},
        {"path": "/a", "values": "x"},
    ],
)
def test_P18_extractors_that_do_not_load(good, extractor):
    with pytest.raises(PolicyInvalidError):
        found(good, extractor)
