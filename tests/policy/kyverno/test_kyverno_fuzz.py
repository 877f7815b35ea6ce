"""Whatever stands in a policy, an exception or an object: an answer, or an error of the policy. Never anything else."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.kyverno.scene import block, keys, policy
from policy.scene import NOW, References, workload
from sealgate.errors import PolicyUndecidedError, SealgateError
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy import reading
from sealgate.policy.attestors import Settings
from sealgate.policy.index import Asked, Index
from sealgate.policy.reading import Context, Source

KEY = PrivateKey.generate()
WHOLE = policy(
    block(
        keys(KEY, annotations={"a": "b*"}, signatureAlgorithm="sha256"),
        {"attestor": {"count": 1, "entries": [keys(KEY)]}},
        skipImageReferences=["r.example.com/skip/*"], repository="r.example.com/sigs", failureAction="Enforce",
        imageRegistryCredentials={"secrets": ["x"], "providers": ["default"], "allowInsecureRegistry": False},
        attestations=[{"name": "n", "type": "https://slsa.dev/provenance/v1", "attestors": [{"entries": [keys(KEY)]}],
                       "conditions": [{"any": [{"key": "{{ a.b || 'x' }}", "operator": "AnyIn", "value": ["{{ v }}"]}]}]}],
        validate={"message": "m", "deny": {"conditions": {"all": [{"key": "{{ n.x }}", "operator": "GreaterThan", "value": 3}]}}},
    ),
    rule={
        "context": [{"name": "v", "variable": {"value": "x", "jmesPath": "@", "default": "y"}}],
        "match": {"any": [{"resources": {"kinds": ["Pod", "apps/v1/Deployment"], "names": ["w*"], "namespaces": ["d*"],
                           "annotations": {"a": "*"}, "operations": ["CREATE"], "selector": {"matchLabels": {"a": "b"}},
                           "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
                           "roles": ["x"], "clusterRoles": ["y"], "subjects": [{"kind": "User", "name": "z"}]}]},
        "exclude": {"any": [{"resources": {"namespaces": ["kube-*"]}}]},
        "preconditions": {"all": [{"key": "{{ request.object.metadata.labels.a || '' }}", "operator": "NotEquals", "value": "x"}]},
        "imageExtractors": {"Task": [{"path": "/spec/*/image", "value": "x", "key": "k", "name": "n", "jmesPath": "to_lower(@)"}]},
    },
    spec={
        "validationFailureActionOverrides": [{"action": "audit", "namespaces": ["x"], "namespaceSelector": {"matchLabels": {}}}],
        "webhookConfiguration": {"failurePolicy": "Fail", "timeoutSeconds": 10, "matchConditions": [{}]},
    },
)  # fmt: skip
EXCEPTION = {
    "apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "e", "namespace": "n"},
    "spec": {"exceptions": [{"policyName": "check", "ruleNames": ["verify"]}], "images": ["r.example.com/*"], "expires": "2030-01-01T00:00:00Z",
             "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "conditions": {"any": [{"key": "{{ request.name }}", "operator": "Equals", "value": "x"}]}},
}  # fmt: skip
REGISTRIES = policy(
    rule={"validate": {"message": "m", "pattern": {"spec": {"=(initContainers)": [{"image": "a.io/* | b.io/*"}], "containers": [{"image": "b.io/* | a.io/*"}]}},
                       "foreach": [{"list": "request.object.spec.containers", "deny": {"conditions": {"any": [{"key": "{{ element.image }}", "operator": "AnyIn", "value": ["c.io/*"]}]}}}]}}
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["*", "{{", "{{ x }}", "{{ request.object }}", "\\{{ x }}", "k8s://a/b", "Pod", "any", "all", "1-5", "1h", "(", "{{ '{{ x }}' }}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["any", "all", "key", "operator", "value", "kinds", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in items:
        yield from places(each, (*path, name))


def spoilt(document, path, value):
    made = copy.deepcopy(document)
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


def read(document):
    context = Context(Settings(), References(), "kyverno")
    return reading.load([Source("x.yaml", document)], context)


@pytest.mark.parametrize("document", [WHOLE, EXCEPTION, REGISTRIES], ids=["policy", "exception", "registries"])
def test_they_load_as_they_are(document):
    found = read(document)
    assert found.rules or found.exemptions


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.data())
def test_P18_any_value_in_any_place(data):
    document = data.draw(st.sampled_from([WHOLE, EXCEPTION, REGISTRIES]))
    path = data.draw(st.sampled_from([path for path in places(document) if path]))
    made = spoilt(document, path, data.draw(JSON))
    try:
        found = read(made)
    except SealgateError as error:
        assert error.message
        return
    index = Index(found)
    objects = [
        workload(images=("r.example.com/a:1",), labels={"a": "b"}, annotations={"a": "x"}, namespace_labels={"a": "b"}),
        workload("Deployment"),
    ]
    for each in objects:
        asked = Asked(each)
        for image in ("r.example.com/a:1", "nginx", "r.example.com/skip/x@sha256:" + "a" * 64):
            reference = parse(image)
            try:
                rules, _ = index.matching(reference, each, asked)
            except PolicyUndecidedError:
                continue
            for rule in rules:
                index.exemption(rule, reference, asked, NOW)


@settings(max_examples=200)
@given(JSON, st.sampled_from(["metadata", "spec", "labels", "containers", "image"]))
def test_any_object(value, place):
    """What an object says may leave a precondition without an answer, and does nothing else."""
    conditions = [
        {"key": "{{ request.object.metadata.labels.a }}", "operator": "GreaterThan", "value": 3},
        {"key": "{{ images.containers.*.tag }}", "operator": "AllIn", "value": "1-5"},
        {
            "key": "{{ request.object.spec.containers[?image == 'x'].name | join('-', @) }}",
            "operator": "NotEquals",
            "value": "{{ request.object.spec }}",
        },
    ]
    found = Index(read(policy(block(keys(KEY), images=("*",)), rule={"preconditions": {"any": conditions}})))
    document = {"metadata": {"labels": {"a": value}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    if place in document:
        document[place] = value
    elif place == "containers":
        document["spec"]["containers"] = value
    elif place == "image":
        document["spec"]["containers"][0]["image"] = value
    for kind in ("Pod", "Deployment"):
        made = workload(kind, document=document if kind == "Pod" else {"spec": {"template": document}})
        try:
            found.matching(parse("nginx"), made)
        except PolicyUndecidedError as error:
            assert error.code == "policy-undecided"
    assert json.dumps(document, default=str)
