"""`validate` rules that restrict registries."""

import pytest

from policy.kyverno.scene import policy
from policy.scene import References, codes, decide, load, one
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

GOOD, BAD = "registry.example.com/team/unsigned:1.0", "evil.example.com/team/x:1.0"


def rule(validate, **more):
    return policy(rule={"validate": {"message": "Unknown image registry."} | validate} | more)


def containers(text):
    return {
        "pattern": {
            "spec": {
                "=(ephemeralContainers)": [{"image": text}],
                "=(initContainers)": [{"image": text}],
                "containers": [{"image": text}],
            }
        }
    }


def deny(key, operator, value, how="all"):
    return {"deny": {"conditions": {how: [{"key": key, "operator": operator, "value": value}]}}}


def foreach(inner, elements="request.object.spec.[initContainers, ephemeralContainers, containers][]"):
    return {"foreach": [{"list": elements} | inner]}


ALLOW = [
    containers("registry.example.com/* | docker.io/*"),
    {"pattern": {"spec": {"containers": [{"name": "*", "image": "docker.io/* | registry.example.com/*"}]}}},
    foreach({"pattern": {"image": "registry.example.com/* | docker.io/*"}}),
    foreach(deny("{{ element.image }}", "AnyNotIn", ["registry.example.com/*", "docker.io/*"])),
    foreach(deny('{{ images.containers."{{element.name}}".registry }}', "NotIn", ["registry.example.com", "docker.io"]), "request.object.spec.containers"),
    deny("{{ images.containers.*.registry[] || `[]` }}", "AnyNotIn", ["registry.example.com", "docker.io"]),
    deny("{{ images.containers.*.registry }}", "AnyNotIn", ["registry.example.com", "docker.io"], how="any"),
    deny("{{ request.object.spec.containers[].image }}", "AnyNotIn", ["registry.example.com/*", "docker.io/*"]),
    {"pattern": {"spec": {"containers": [{"=(image)": "registry.example.com/* | docker.io/*"}]}}},
    {"pattern": {"spec": {"template": {"spec": {"containers": [{"image": "registry.example.com/* | docker.io/*"}]}}}}},
    {"pattern": {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "registry.example.com/* | docker.io/*"}]}}}}}}},
    deny("{{ images.[containers, initContainers, ephemeralContainers][].*.registry[] }}", "AnyNotIn", ["registry.example.com", "docker.io"]),
    foreach({"deny": {"conditions": {"all": [
        {"key": "{{element.image}}", "operator": "NotEquals", "value": "registry.example.com/*"},
        {"key": "{{ element.image }}", "operator": "AnyNotIn", "value": ["docker.io/*"]}]}}}),
    {"cel": {"expressions": [
        {"expression": "object.spec.containers.all(c, c.image.startsWith('registry.example.com/') || c.image.startsWith(\"docker.io/\"))", "message": "x"}]}},
    {"cel": {
        "variables": [{"name": "all", "expression": "(object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []))"}],
        "expressions": [{"expression": "variables.all.all(it, it.image.startsWith('registry.example.com/') || it.image.startsWith('docker.io/'))"}]}},
    {"cel": {"expressions": [{"expression": "(object.spec.containers + object.spec.?initContainers.orValue([])).all(c, "
                                            "c.image.startsWith('docker.io/') || c.image.startsWith('registry.example.com/'))"}]}},
]  # fmt: skip


@pytest.mark.parametrize("validate", ALLOW, ids=range(len(ALLOW)))
@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_only_some_registries(registry, validate, kind):
    policies = load(rule(validate))
    for image in (GOOD, "nginx", "docker.io/library/nginx:1"):
        assert codes(one(policies, registry, image, kind=kind)) == ["image-allowed"]
    decision = decide(policies, registry, GOOD, BAD, kind=kind)
    assert decision.outcome == "deny"
    [ruling] = decision.images[1].rulings
    assert (ruling.rule, ruling.code) == ("check/verify", "static-refusal")


def test_the_message_is_the_policys_and_the_registry_is_not_asked(registry):
    registry.asked.clear()
    [ruling] = one(load(rule(ALLOW[0])), registry, BAD).rulings
    assert (ruling.code, ruling.message) == ("static-refusal", "Unknown image registry.")
    assert registry.asked == []


FORBID = [
    containers("!evil.example.com/* & !quay.io/*"),
    foreach(deny("{{ element.image }}", "AnyIn", ["evil.example.com/*", "quay.io/*"])),
    deny("{{ images.containers.*.registry }}", "AnyIn", ["evil.example.com", "quay.io"]),
]


@pytest.mark.parametrize("validate", FORBID, ids=range(len(FORBID)))
def test_all_but_some_registries(registry, validate):
    policies = load(rule(validate))
    assert codes(one(policies, registry, BAD)) == ["static-refusal"]
    assert codes(one(policies, registry, GOOD)) == ["image-unmatched"]


def test_R02_a_look_alike_is_excused_by_no_host(registry):
    for image in (
        "evil.io/registry.example.com/x:1",
        "registry.example.com.evil.io/x:1",
        "evilregistry.example.com/x:1",
    ):
        assert codes(one(load(rule(ALLOW[0])), registry, image)) == ["static-refusal"]
    wide = load(rule(containers("*example.com/*")))
    assert "pattern-excuse" in [note.code for note in wide.notes]


@pytest.mark.parametrize("listed", ["registry.example.com", '["registry.example.com", "docker.io"]'])
def test_a_list_of_a_config_map(registry, listed):
    made = rule(
        deny("{{ images.containers.*.registry }}", "AnyNotIn", "{{ allowed.data.registries }}"),
        context=[{"name": "allowed", "configMap": {"name": "registries", "namespace": "kyverno"}}],
    )
    policies = load(made, references=References(maps={("kyverno", "registries"): {"registries": listed}}))
    assert codes(one(policies, registry, GOOD)) == ["image-allowed"]
    assert codes(one(policies, registry, BAD)) == ["static-refusal"]


@pytest.mark.parametrize(
    "validate",
    [
        containers("!*:latest"), containers("*:1.0"), {"pattern": {"spec": {"containers": [{"image": "a/*", "imagePullPolicy": "Always"}]}}},
        {"pattern": {"spec": {"containers": [{"image": "a/*"}], "initContainers": [{"image": "b/*"}]}}},
        containers("a/* | !b/*"), deny("{{ images.containers.*.tag }}", "AnyIn", ["latest"]),
        deny("{{ images.containers.*.registry }}", "Equals", ["{{ request.namespace }}"]),
        {"anyPattern": [{"spec": {"containers": [{"image": "a/*"}]}}]}, {"deny": {"conditions": {"all": [
            {"key": "{{ element.image }}", "operator": "AnyIn", "value": ["a"]}, {"key": "{{ element.image }}", "operator": "AnyIn", "value": ["b"]}]}}},
        foreach({"pattern": {"image": "a/*"}, "preconditions": {"all": []}}), {"cel": {"expressions": [{"expression": "image"}]}},
        {"deny": {"conditions": {"all": [{"key": "{{ images.containers.*.registry }}", "operator": "AnyNotIn", "value": each} for each in "ab"]}}},
        foreach({"deny": {"conditions": {"all": [
            {"key": "{{ element.image }}", "operator": "NotEquals", "value": "a/*"}, {"key": "{{ element.image }}", "operator": "Equals", "value": "b/*"}]}}}),
        *({"cel": {"expressions": [{"expression": text}]}} for text in (
            "object.spec.containers.all(c, c.image.contains('a/'))", "object.spec.containers.exists(c, c.image.startsWith('a/'))",
            "object.spec.containers.all(c, c.image.startsWith('a/') && c.name != 'x')", "object.spec.containers.all(c, !c.image.startsWith('a/'))",
            "object.spec.volumes.all(c, c.image.startsWith('a/'))", "object.spec.containers.all(c, d.image.startsWith('a/'))",
            "object.spec.containers.all(c, c.image.startsWith('registry'))", "object.spec.containers.all(c, c.image.startsWith('a*/'))",
            "variables.x.all(c, c.image.startsWith('a/'))", "true || object.spec.containers.all(c, c.image.startsWith('a/'))",
            "object.spec.containers.all(c, c.image.startsWith('a/') || true)")),
        {"cel": {"variables": [{"name": "x", "expression": "[]"}], "expressions": [{"expression": "variables.x.all(c, c.image.startsWith('a/'))"}]}},
        {"cel": {"paramKind": {}, "expressions": [{"expression": "object.spec.containers.all(c, c.image.startsWith('a/'))"}]}},
    ],
)  # fmt: skip
def test_what_else_is_said_of_images_does_not_load(validate):
    with pytest.raises(PolicyInvalidError):
        load(rule(validate))


def test_a_path_is_no_registry():
    with pytest.raises(PolicyInvalidError) as caught:
        load(rule(deny("{{ images.containers.*.registry }}", "AnyNotIn", ["ghcr.io/your-org"])))
    assert "is no registry" in caught.value.message


def test_the_hint_says_what_is_read():
    with pytest.raises(PolicyUnsupportedError) as caught:
        load(rule(containers("*:1.0")))
    assert "restricts registries" in caught.value.hint


def test_the_action_of_the_rule(registry):
    registry.push("evil.example.com/team/x")
    for own, outcome in (("Enforce", "deny"), ("Audit", "admit")):
        assert decide(load(rule(ALLOW[0] | {"failureAction": own})), registry, BAD).outcome == outcome
