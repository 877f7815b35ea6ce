"""Writing digests into manifests: the names change, and nothing else does."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import WorkloadInvalidError
from sealgate.workloads import kubernetes, rewriting, yamldocs

DIGEST = "@sha256:" + "ab" * 32


def pin(text, *, only=None):
    """Every image of the manifest, with a digest behind it."""
    found = kubernetes.read(text.encode())
    changes = {
        (each.document, f"{each.pointer}{image.pointer}"): (image.image, image.image + DIGEST)
        for each in found
        for image in each.images
        if only is None or image.image in only
    }
    return rewriting.rewrite(text, changes, what="x.yaml")


def images(text):
    return [image.image for each in kubernetes.read(text.encode()) for image in each.images]


def documents(text):
    return yamldocs.parse(text.encode(), limit=10**6, what="x")


KUSTOMIZE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  ports:
  - port: 80
---
# the web
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {note: "image: registry.example.com/web:1.0"}}
spec:
  template:
    spec:
      initContainers:
      - {name: init, image: 'registry.example.com/init:1.0'}   # flow, quoted
      containers:
      - image:   registry.example.com/web:1.0   # kept
        name: "web"
        args: [--image=registry.example.com/web:1.0]
      - image: "registry.example.com/side:2"\r
        name: side
      volumes:
      - name: v
        image: {reference: registry.example.com/data:3}
---
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: p}
  spec: {containers: [{name: ä, image: registry.example.com/p:1}]}
"""


def test_a_stream_keeps_its_comments_quotes_and_line_ends():
    made = pin(KUSTOMIZE)
    expected = KUSTOMIZE
    for name in ("init:1.0'", 'side:2"', "data:3}", "p:1}]"):
        short = name.rstrip("'\"}]")
        expected = expected.replace(
            f"registry.example.com/{name}", f"registry.example.com/{name.replace(short, short + DIGEST)}"
        )
    expected = expected.replace(
        "registry.example.com/web:1.0   # kept", f"registry.example.com/web:1.0{DIGEST}   # kept"
    )
    assert made == expected


def test_only_what_is_asked_for_changes():
    assert images(pin(KUSTOMIZE, only={"registry.example.com/p:1"}))[:-1] == images(KUSTOMIZE)[:-1]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_and_streams_of_json(indent):
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"ä{n}"},
            "spec": {"containers": [{"name": "c", "image": f"r.io/a:{n}"}]},
        }
        for n in range(3)
    ]
    for ascii_only in (True, False):
        text = "\n".join(json.dumps(each, indent=indent, ensure_ascii=ascii_only) for each in pods) + "\n"
        assert images(text) == ["r.io/a:0", "r.io/a:1", "r.io/a:2"]
        made = pin(text)
        assert made == text.replace("r.io/a:0", f"r.io/a:0{DIGEST}").replace("r.io/a:1", f"r.io/a:1{DIGEST}").replace(
            "r.io/a:2", f"r.io/a:2{DIGEST}"
        )


def test_M03_a_stream_of_json_with_something_else_in_it_is_refused():
    good = '{"kind": "Pod", "spec": {"containers": [{"image": "a/b"}]}}'
    assert images(good + good) == ["a/b", "a/b"]
    for bad in (good + "x", good + '{"kind": "Pod"', good + "\n[]\n", good + '{"kind": "Pod", "kind": "Job"}'):
        with pytest.raises(Exception) as error:
            images(bad)
        assert error.value.code in {"workload-invalid", "json-ambiguous", "json-invalid"}


@pytest.mark.parametrize(
    "scalar",
    ["|\n      registry.example.com/a:1", ">-\n      registry.example.com/a:1", '"registry.example.com\\\n      /a:1"'],
)
def test_a_name_on_several_lines_is_refused(scalar):
    text = f"kind: Pod\nspec:\n  containers:\n  - name: c\n    image: {scalar}\n"
    value = yaml.safe_load(text)["spec"]["containers"][0]["image"]
    with pytest.raises(WorkloadInvalidError) as error:
        rewriting.rewrite(text, {(0, "/spec/containers/0/image"): (value, "a/b" + DIGEST)}, what="x")
    assert error.value.code == "workload-invalid"


@pytest.mark.parametrize(
    ("pointer", "old"),
    [("/spec/containers/0/image", "other:1"), ("/spec/containers/1/image", "a/b:1"), ("/spec/containers/x", "a/b:1"), ("/nothing", "a/b:1"),
     ("/spec", "a/b:1"), ("/spec/containers/-1/image", "a/b:1")],
)  # fmt: skip
def test_a_place_that_does_not_hold_what_it_should_is_refused(pointer, old):
    text = "kind: Pod\nspec: {containers: [{image: a/b:1}]}\n"
    with pytest.raises(WorkloadInvalidError) as error:
        rewriting.rewrite(text, {(0, pointer): (old, "x/y" + DIGEST)}, what="x")
    assert error.value.code == "workload-invalid"
    assert images(rewriting.rewrite(text, {(0, "/spec/containers/0/image"): ("a/b:1", "x/y" + DIGEST)}, what="x")) == [
        "x/y" + DIGEST
    ]


@pytest.mark.parametrize("new", ["a: b", "a\nb", "'x", "x # y", "{x}", "", "&x"])
def test_nothing_but_names_is_written(new):
    with pytest.raises(WorkloadInvalidError) as error:
        rewriting.rewrite(
            "kind: Pod\nspec: {containers: [{image: a/b:1}]}\n",
            {(0, "/spec/containers/0/image"): ("a/b:1", new)},
            what="x",
        )
    assert error.value.code == "workload-invalid"


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
names = st.builds("registry.example.com/{}:{}".format, st.sampled_from(["app", "web", "a/b"]), st.integers(0, 99))
containers = st.lists(
    st.fixed_dictionaries({"name": texts, "image": names, "args": st.lists(texts | names, max_size=2)}),
    min_size=1,
    max_size=3,
)
pods = st.fixed_dictionaries(
    {
        "kind": st.just("Pod"), "metadata": st.fixed_dictionaries({"name": texts, "annotations": st.dictionaries(texts, texts | names, max_size=3)}),
        "spec": st.fixed_dictionaries({"containers": containers}, optional={"initContainers": containers}),
    }
)  # fmt: skip


def pinned(value, inside=False):
    if isinstance(value, dict):
        return {
            key: pinned(item, key in {"containers", "initContainers"})
            if key != "image" or not inside
            else item + DIGEST
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [pinned(item, inside) for item in value]
    return value


@given(st.lists(pods, min_size=1, max_size=3), st.sampled_from([None, '"', "'"]), st.booleans(), st.booleans())
def test_rewriting_changes_nothing_but_the_names(found, style, flow, wide):
    options = {"default_style": style, "default_flow_style": flow, "width": 10_000 if wide else 10**9}
    text = "\n---\n".join(yaml.safe_dump(each, allow_unicode=True, **options) for each in found)
    made = pin(text)
    assert documents(made) == pinned(found)
    assert len(made) - len(text) == len(images(text)) * len(DIGEST)
    assert made.replace(DIGEST, "") == text.replace(DIGEST, "")
