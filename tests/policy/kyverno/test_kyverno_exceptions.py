"""Kyverno's exceptions: what they take away, and until when."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import NOW, codes, decide, load, one
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

IMAGE = "registry.example.com/team/unsigned:1.0"


def exception(name="hotfix", rules=("verify",), policy_name="check", match=None, metadata=None, **spec):
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, "namespace": "kyverno"} | (metadata or {}),
        "spec": {
            "exceptions": [{"policyName": policy_name, "ruleNames": list(rules)}],
            "match": match or {"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["default"]}}]},
        }
        | spec,
    }


@pytest.fixture
def base(good):
    return policy(block(keys(good)))


def test_an_exception_is_named_in_the_ruling(registry, base):
    policies = load(base, exception())
    found = one(policies, registry, IMAGE)
    assert codes(found) == ["image-exempted"]
    assert (found.severity, found.verified) == ("none", False)
    assert "kyverno/hotfix" in found.rulings[0].message
    assert codes(one(policies, registry, IMAGE, namespace="other")) == ["no-signature"]
    assert [note.code for note in policies.notes if note.code == "exception-endless"]


@pytest.mark.parametrize(
    ("rules", "policy_name", "exempt"),
    [
        (("verify",), "check", True), (("ver*",), "check", True), (("other",), "check", False), (("verify",), "other", False),
        (("autogen-verify",), "check", True), (("autogen-cronjob-verify",), "check", True), (("x", "verify"), "check", True),
    ],
)  # fmt: skip
def test_rules_by_name(registry, base, rules, policy_name, exempt):
    found = one(load(base, exception(rules=rules, policy_name=policy_name)), registry, IMAGE)
    assert codes(found) == ["image-exempted" if exempt else "no-signature"]


class TestP08:
    """P08: two exceptions, broader ones, conditions, time, namespaces."""

    @pytest.mark.parametrize(
        ("home", "of", "code"),
        [
            ("kyverno", "team-a", "image-exempted"), ("kyverno", "team-b", "image-exempted"), ("kyverno", "kyverno", "image-exempted"),
            ("team-a", "team-a", "image-exempted"), ("team-a", "team-b", "no-signature"), ("team-a", "kyverno", "no-signature"),
            ("team-*", "team-a", "no-signature"), (None, "team-b", "image-exempted"),
        ],
    )  # fmt: skip
    def test_P08_an_exception_is_for_its_own_namespace(self, registry, base, home, of, code):
        wide = {"any": [{"resources": {"kinds": ["Pod"]}}]}
        found = exception(match=wide, metadata={"namespace": home} if home is not None else {})
        if home is None:
            del found["metadata"]["namespace"]
        assert codes(one(load(base, found), registry, IMAGE, namespace=of)) == [code]

    def test_P08_which_namespace_is_the_clusters_is_for_the_operator_to_say(self, registry, base):
        wide = exception(match={"any": [{"resources": {"kinds": ["Pod"]}}]})
        for home, code in (("kyverno", "image-exempted"), ("security", "no-signature")):
            policies = load(base, wide, home=home)
            assert codes(one(policies, registry, IMAGE, namespace="team-b")) == [code]

    def test_P08_one_exception_takes_nothing_from_another(self, registry, base):
        narrow = exception("narrow", match={"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["other"]}}]})
        for both in ((narrow, exception()), (exception(), narrow)):
            policies = load(base, *both)
            assert codes(one(policies, registry, IMAGE)) == ["image-exempted"]
            assert codes(one(policies, registry, IMAGE, namespace="third")) == ["no-signature"]

    @pytest.mark.parametrize("how", ["field", "annotation"])
    def test_P08_an_expiry_is_kept_to_the_second(self, registry, base, how):
        text = "2027-01-15T08:00:00Z"
        more = {"expires": text} if how == "field" else {"metadata": {"annotations": {"sealgate.dev/expires": text}}}
        policies = load(base, exception(**more))
        assert codes(one(policies, registry, IMAGE, now=NOW - 1)) == ["image-exempted"]
        assert codes(one(policies, registry, IMAGE, now=NOW)) == ["no-signature"]
        assert "exception-endless" not in [note.code for note in policies.notes]

    @pytest.mark.parametrize("text", ["soon", "2027-01-15", "2027-13-15T08:00:00Z", "1800000000"])
    def test_P08_an_expiry_that_is_no_time(self, base, text):
        with pytest.raises(PolicyInvalidError):
            load(base, exception(expires=text))

    def test_P08_what_cannot_be_decided_is_no_exception(self, registry, base):
        selector = {"any": [{"resources": {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"a": "b"}}}}]}
        policies = load(base, exception(match=selector))
        assert codes(one(policies, registry, IMAGE)) == ["no-signature"]
        assert codes(one(policies, registry, IMAGE, namespace_labels={"a": "b"})) == ["image-exempted"]
        broken = [{"key": "{{ request.object.spec.missing }}", "operator": "GreaterThan", "value": 3}]
        assert codes(one(load(base, exception(conditions=broken)), registry, IMAGE)) == ["no-signature"]

    @pytest.mark.parametrize(("value", "exempt"), [("web", True), ("db", False)])
    def test_P08_conditions(self, registry, base, value, exempt):
        asked = {"any": [{"key": "{{ request.object.metadata.name }}", "operator": "Equals", "value": value}]}
        found = one(load(base, exception(conditions=asked)), registry, IMAGE)
        assert codes(found) == ["image-exempted" if exempt else "no-signature"]


@pytest.mark.parametrize("how", ["field", "annotation"])
def test_images_narrow_it_to_some_of_a_pod(registry, base, how):
    """Weakness 13: an exception for one image is none for the pod."""
    more = {"images": ["registry.example.com/team/uns*"]}
    if how == "annotation":
        more = {"metadata": {"annotations": {"sealgate.dev/images": "registry.example.com/team/uns*"}}}
    decision = decide(load(base, exception(**more)), registry, IMAGE, "registry.example.com/team/foreign:1.0")
    assert [codes(each) for each in decision.images] == [["image-exempted"], ["signature-key-mismatch"]]
    assert decision.outcome == "deny"


@pytest.mark.parametrize(
    "change",
    [
        {"exceptions": []}, {"exceptions": [{"policyName": "check"}]}, {"exceptions": [{"ruleNames": ["x"]}]}, {"match": {}},
        {"podSecurity": [{"controlName": "x"}]}, {"until": "2027-01-15T08:00:00Z"}, {"images": "x"},
        {"conditions": [{"key": "{{ time_now() }}", "operator": "Equals", "value": "x"}]},
    ],
)  # fmt: skip
def test_P18_exceptions_that_do_not_load(base, change):
    made = exception()
    made["spec"] |= change
    with pytest.raises(PolicyInvalidError):
        load(base, made)


def test_versions(base):
    assert load(base, exception() | {"apiVersion": "kyverno.io/v2beta1"}).exemptions
    with pytest.raises(PolicyUnsupportedError):
        load(base, exception() | {"apiVersion": "kyverno.io/v1"})


def test_P08_a_bound_that_the_object_runs_into_makes_no_exception_hold(registry, base):
    joined = "{{ join(',', values(request.object.metadata.labels)) }}"
    policies = load(base, exception(conditions={"any": [{"key": joined, "operator": "NotEquals", "value": "*prod*"}]}))
    assert codes(one(policies, registry, IMAGE, labels={"tier": "dev"})) == ["image-exempted"]
    assert codes(one(policies, registry, IMAGE, labels={"tier": "prod"})) == ["no-signature"]
    many = {"tier": "prod"} | {f"l{number}": "x" * 1000 for number in range(1100)}
    assert codes(one(policies, registry, IMAGE, labels=many)) == ["no-signature"]


@pytest.mark.parametrize("more", [{"images": []}, {"metadata": {"annotations": {"sealgate.dev/images": " , "}}}])
def test_P08_an_empty_list_of_images_is_not_all_of_them(base, more):
    with pytest.raises(PolicyInvalidError, match="would excuse every image"):
        load(base, exception(**more))
