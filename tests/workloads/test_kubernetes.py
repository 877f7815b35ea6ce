"""Images of Kubernetes manifests: every place, and nothing that two programs may read differently."""

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import JsonAmbiguousError, LimitError, SealgateError, WorkloadInvalidError
from sealgate.workloads import kubernetes

POD_SPEC = {
    "initContainers": [{"name": "i", "image": "r/init:1"}],
    "containers": [{"name": "c", "image": "r/main:1"}, {"name": "d", "image": "r/side:1"}],
    "ephemeralContainers": [{"name": "e", "image": "r/debug:1"}],
    "volumes": [{"name": "v", "image": {"reference": "r/data:1"}}, {"name": "w", "emptyDir": {}}],
}
EVERYTHING = {"r/init:1", "r/main:1", "r/side:1", "r/debug:1", "r/data:1"}


def names(document) -> set[str]:
    raw = document if isinstance(document, bytes) else yaml.safe_dump(document).encode()
    return set(kubernetes.find(raw).names())


def pod(text: str) -> bytes:
    return b"kind: Pod\nspec:\n  containers:\n  - image: " + text.encode()


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("Pod", lambda spec: {"spec": spec}),
        ("PodTemplate", lambda spec: {"template": {"spec": spec}}),
        *((kind, lambda spec: {"spec": {"template": {"spec": spec}}}) for kind in
          ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")),
        ("CronJob", lambda spec: {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
    ],
)  # fmt: skip
def test_K02_every_place_of_every_kind(kind, wrap):
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **wrap(POD_SPEC)}
    assert names(document) == EVERYTHING
    assert names(json.dumps(document).encode()) == EVERYTHING
    assert names({"kind": "List", "items": [document]}) == EVERYTHING
    assert names({"kind": f"{kind}List", "items": [{**document, "kind": kind}]}) == EVERYTHING
    unnamed = {key: value for key, value in document.items() if key != "kind"}
    assert names({"kind": f"{kind}List", "items": [unnamed]}) == EVERYTHING


def test_documents_lists_and_other_kinds():
    found = kubernetes.find(
        b"---\n---\nkind: ConfigMap\ndata: {image: no/image}\n--- # two\nkind: Pod\nmetadata: {name: p}\n"
        b"spec: {containers: [{image: a/b}]}\n---\nkind: Pod\nspec: {containers: [{image: a/b}, {image: c/d}]}\n"
    )
    assert found.names() == ["a/b", "c/d"]
    assert next(image.where for image in found.images) == "Pod/p: containers[0].image"
    assert found.searched == ()


def test_unknown_kinds_are_searched_by_form():
    rollout = {"kind": "Rollout", "metadata": {"name": "r"}, "spec": {"template": {"spec": POD_SPEC}}}
    found = kubernetes.find(yaml.safe_dump(rollout).encode())
    assert set(found.names()) == EVERYTHING
    assert found.searched == ("Rollout/r",)
    schema = {"kind": "CustomResourceDefinition", "spec": {"properties": {"containers": {"type": "array"}}}}
    assert kubernetes.find(yaml.safe_dump(schema).encode()).images == ()


def test_anchors_and_merge_keys():
    raw = b"""
kind: Pod
base: &base {image: a/b, name: x}
more: &more {<<: *base, name: z}
spec:
  containers:
  - {<<: *base, name: y}
  - {<<: *more, image: c/d}
  - *more
"""
    assert kubernetes.find(raw).names() == ["a/b", "c/d"]


@pytest.mark.parametrize("image", ["1.10", "12", "null", "[a]", "{a: b}", "true", "2020-01-01", "''", "' a/b'"])
def test_an_image_that_is_no_string_is_refused(image):
    with pytest.raises(WorkloadInvalidError):
        kubernetes.find(pod(image))
    assert kubernetes.find(pod('"1.10"')).names() == ["1.10"]


@pytest.mark.parametrize(
    "raw",
    [
        b"kind: Pod\nspec: {containers: []}",
        b"kind: Pod\nspec: {containers: null}",
        b"kind: Pod\nspec: {containers: {image: a}}",
        b"kind: Pod\nspec: {containers: [a]}",
        b"kind: Pod\nspec: {containers: [{name: a}]}",
        b"kind: Pod\nspec: []",
        b"kind: Pod",
        b"kind: Deployment\nspec: {template: {}}",
        b"kind: Pod\nspec: {containers: [{image: a}], volumes: [{image: {}}]}",
        b"kind: Pod\nspec: {containers: [{image: a}], initContainers: {image: b}}",
        b"kind: List\nitems: [{spec: {}}]",
        b"kind: PodList\nitems: {}",
        b"spec: {}",
        b"kind: [Pod]",
        b"a string",
        b"- a list",
    ],
)
def test_known_objects_of_another_shape_are_refused(raw):
    with pytest.raises(WorkloadInvalidError):
        kubernetes.find(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pod("good/a\n    image: evil/b"),
        pod('good/a\n    "image": evil/b'),
        pod("good/a\n    Image: evil/b"),
        b"kind: Pod\nspec: {containers: [{image: good/a}]}\nspec: {containers: [{image: evil/b}]}",
        b"kind: Pod\nspec: {containers: [{image: good/a}], Containers: [{image: evil/b}]}",
        b"kind: Pod\nspec: {containers: [{image: good/a}], initcontainers: [{image: evil/b}]}",
        b"kind: Pod\n<<: {}\n<<: {}\nspec: {containers: [{image: good/a}]}",
        b"kind: Pod\nspec: {containers: [{image: good/a}]}\n--- {kind: Pod, spec: {containers: [{image: evil/b}]}}",
        b'kind: Pod\nspec: {containers: [{image: good/a}]}\nx: "\n---y\n"',
        b"kind: Pod\nspec: {containers: [{image: !!python/name:os.system good/a}]}",
        b"kind: Pod\nspec: {containers: [{image: !str good/a}]}",
        b"kind: Pod\nspec: {containers: [{image: good/a}]}\n? [a]\n: b",
        b"kind: Pod\nspec: {containers: [{image: *a}]}",
        b"kind: Pod\nspec: {containers: [{image: good/a\x00}]}",
        b"kind: Pod\nspec: {containers: [{image: \xff}]}",
        b"kind: Pod\n\tspec: {}",
    ],
)  # fmt: skip
def test_M03_what_two_programs_may_read_differently_is_refused(raw):
    with pytest.raises(WorkloadInvalidError):
        kubernetes.find(raw)


def test_M03_json_with_a_key_twice_is_refused():
    with pytest.raises(JsonAmbiguousError):
        kubernetes.find(b'{"kind":"Pod","spec":{"containers":[{"image":"good/a","image":"evil/b"}]}}')
    assert kubernetes.find(b'{"kind":"Pod","spec":{"containers":[{"image":"good/a"}]}}').names() == ["good/a"]


def test_keys_of_other_objects_may_differ_in_case():
    raw = b"kind: ConfigMap\ndata: {README: a, readme: b}\n---\n" + pod("a/b")
    assert kubernetes.find(raw).names() == ["a/b"]


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b"- " * 100_000,
        b"kind: X\na: &a [*a]",
        b"kind: List\nitems: &a [{kind: List, items: *a}]",
        b"a: &a {x: 1}\n" + b"".join(b"m%d: &m%d {<<: [%s]}\n" % (n, n, b",".join([b"*a" if n == 0 else b"*m%d" % (n - 1)] * 16))
                                      for n in range(8)),
        b"a: {<<: [" + b"{x: 1}," * 17 + b"]}",
        b"---\na: b\n" * (limits.DOCUMENTS + 1),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_would_never_end_is_refused(raw):
    with pytest.raises(LimitError):
        kubernetes.find(raw)


def test_a_list_of_lists_by_aliases_ends():
    lines = [b"a0: &a0 {kind: Pod, spec: {containers: [{image: a/b}]}}"]
    lines += [b"a%d: &a%d {kind: List, items: [%s]}" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    raw = b"kind: X\n" + b"\n".join(lines) + b"\n---\nkind: List\nitems: []\n"
    with pytest.raises(LimitError):
        kubernetes.find(raw)


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(LimitError):
        kubernetes.find(b"a: b", limit=3)
    assert kubernetes.find(b"kind: b", limit=7).images == ()


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_end_in_an_answer_or_an_error_of_ours(raw):
    with contextlib.suppress(SealgateError):
        kubernetes.find(b"kind: Pod\n" + raw)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "template", "containers", "image", "volumes", "items", "kind"]), inner
        )
    ),
    max_leaves=20,
)


@given(VALUES, st.sampled_from(["Pod", "Deployment", "CronJob", "List", "Rollout"]))
def test_any_object_ends_in_an_answer_or_an_error_of_ours(value, kind):
    with contextlib.suppress(SealgateError):
        kubernetes.find(yaml.safe_dump({"spec": value, "kind": kind, "items": value}).encode())
