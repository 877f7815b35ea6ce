"""Attestations and image policies of Kyverno in our own grammar: what was converted loads, and decides as its original does."""

import itertools
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.kyverno_validating.scene import PODS
from policy.kyverno_validating.scene import ivp as image_policy
from policy.scene import Registry, decide, load, pem
from policy.sigstore.scene import cip, keyed
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.keys.private import PrivateKey
from sealgate.policy.conversion import grammars
from sealgate.policy.reading import Source

HOST = "registry.example.com"
TYPE = "https://x.example/review/v1"
OTHER = "https://x.example/build/v1"
PREDICATES = {
    "good": {"level": 7, "name": "alice", "ok": True, "tags": ["a", "b"], "inner": {"x-y": [1, "two"]}, "at": "2027-01-14T00:00:00Z", "uri": "https://github.com/o/app"},
    "bad": {"level": 3, "name": "mallory", "ok": False, "tags": ["c"], "inner": {"x-y": [5]}, "at": "2020-01-14T00:00:00Z", "uri": "https://evil.example/github.com/o/app"},
    "texts": {"level": "7", "name": "7", "ok": "true", "tags": "a", "inner": {"x-y": "one"}, "at": "yesterday", "uri": 5},
    "odd": {"level": None, "name": ["alice"], "ok": None, "tags": [{"a": "b"}, "a"], "inner": [], "at": 5, "uri": None},
    "none": {"unrelated": 1},
    "more": {"level": 7.5, "name": {"alice": 1}, "ok": 1, "tags": ["a", "c", 5], "inner": {"x-y": [[1], 5]}, "uri": True, "at": "2027-01-14T23:00:00+01:00"},
}  # fmt: skip


@pytest.fixture(scope="session")
def keys():
    return {name: PrivateKey.generate() for name in ("a", "b", "c")}


@pytest.fixture(scope="session")
def registry(tmp_path_factory, keys):
    """Images by who signed them and who attested what: `plain`, `a-sab`, `good`, …"""
    made = Registry(tmp_path_factory.mktemp("attested"))
    made.push(f"{HOST}/team/plain")
    for name, predicate in PREDICATES.items():
        made.push(f"{HOST}/team/{name}")
        made.attest(f"{HOST}/team/{name}", keys["a"], TYPE, predicate)
    for size in range(4):
        for names in itertools.combinations("abc", size):
            image = f"{HOST}/team/s-{''.join(names)}z"
            made.push(image)
            for name in names:
                made.attest(image, keys[name], TYPE, PREDICATES["good"])
            if names:
                made.sign(image, *(keys[name] for name in names))
    made.push(f"{HOST}/team/signed-a")
    made.sign(f"{HOST}/team/signed-a", keys["a"])
    made.push(f"{HOST}/team/both")
    for kind in (TYPE, OTHER):
        made.attest(f"{HOST}/team/both", keys["a"], kind, PREDICATES["good"])
    return made


COMBINED = ["plain", "signed-a", "good", "bad", "both", *(f"s-{''.join(names)}z" for size in range(4) for names in itertools.combinations("abc", size))]  # fmt: skip


def convert(*documents, to="sealgate"):
    return grammars.convert([Source(f"{at}.yaml", each) for at, each in enumerate(documents)], to)


def admitted(documents, registry, names, kinds=("Pod",)):
    policies = load(*documents, no_match="deny")
    return {
        (name, kind)
        for name in names
        for kind in kinds
        if decide(policies, registry, f"{HOST}/team/{name}:1.0", kind=kind).outcome == "admit"
    }


def same(registry, policy, *targets, names=COMBINED, kinds=("Pod",)):
    """That everything it is converted to, step by step, admits the same."""
    before = admitted([policy], registry, names, kinds)
    documents = [policy]
    for to in targets or ("sealgate",):
        documents = list(yaml.safe_load_all(yaml.safe_dump_all(convert(*documents, to=to).documents)))
        assert admitted(documents, registry, names, kinds) == before, to
    return before, documents


def entries(*keys, **more):
    return {"entries": [{"keys": {"publicKeys": pem(key)}} for key in keys]} | more


def kyverno(**block):
    rule = {
        "name": "attested", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "verifyImages": [{"imageReferences": [f"{HOST}/team/*"]} | block],
    }  # fmt: skip
    return {
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "check"}, "spec": {"validationFailureAction": "Enforce", "rules": [rule]},
    }  # fmt: skip


def attested(key, *conditions, kind=TYPE, **more):
    found = {"type": kind, "attestors": [entries(key)]} | more
    return found | ({"conditions": list(conditions)} if conditions else {})


BACK = ("sealgate", "kyverno", "sealgate")


def test_attestations_by_type_and_signer(registry, keys):
    before, _ = same(registry, kyverno(attestations=[attested(keys["a"])]), *BACK)
    assert ("good", "Pod") in before
    assert ("signed-a", "Pod") not in before
    before, _ = same(registry, kyverno(attestations=[attested(keys["a"], kind=OTHER)]), *BACK)
    assert before == {("both", "Pod")}


@pytest.mark.parametrize("count", [None, 1, 2])
def test_counts_of_those_who_attest(registry, keys, count):
    wanted = entries(keys["a"], keys["b"]) | ({} if count is None else {"count": count})
    before, _ = same(registry, kyverno(attestations=[{"type": TYPE, "attestors": [wanted]}]), *BACK)
    assert (("good", "Pod") in before) == (count == 1)
    assert ("s-abz", "Pod") in before


def test_C18_an_attestation_without_attestors_is_by_those_who_must_sign(registry, keys):
    before, [found] = same(registry, kyverno(attestors=[entries(keys["b"])], attestations=[{"type": TYPE}]), "sealgate")
    assert before == {("s-bz", "Pod"), ("s-abz", "Pod"), ("s-bcz", "Pod"), ("s-abcz", "Pod")}
    assert [list(each) for each in found["spec"]["require"]["all"]] == [["signature"], ["attestation"]]
    with pytest.raises(PolicyInvalidError, match="nobody is named"):
        convert(kyverno(attestations=[{"type": TYPE}]))


def test_W39_the_older_key_is_who_must_have_attested(registry, keys):
    """The conversion of older fields in the product loses it (C18)."""
    before, _ = same(registry, kyverno(key=pem(keys["b"]), attestations=[{"type": TYPE}]), *BACK)
    assert ("s-bz", "Pod") in before
    assert ("good", "Pod") not in before
    before, _ = same(
        registry, kyverno(key=pem(keys["b"]), attestors=[entries(keys["a"])], attestations=[{"type": TYPE}])
    )
    assert ("s-abz", "Pod") in before
    assert ("s-az", "Pod") not in before


def condition(key, operator, value):
    return {"key": key, "operator": operator, "value": value}


CONDITIONS = [
    condition("{{ level }}", "GreaterThan", 5), condition("{{ level }}", "GreaterThanOrEquals", 7), condition("{{ level }}", "LessThan", 7),
    condition("{{ level }}", "LessThanOrEquals", 7.5), condition("{{ level }}", "Equals", 7), condition("{{ level }}", "NotEquals", 7),
    condition("{{ name }}", "Equals", "alice"), condition("{{ name }}", "NotEquals", "alice"), condition("{{ name }}", "Equals", "al*e"),
    condition("{{ name }}", "NotEquals", "?alice*"), condition("{{ ok }}", "Equals", True), condition("{{ ok }}", "NotEquals", True), condition("{{ ok }}", "Equals", False),
    *(condition("{{ tags }}", operator, value) for operator in ("AnyIn", "AllIn", "AnyNotIn", "AllNotIn", "In", "NotIn") for value in (["a", "b"], ["a*", "5"], "c")),
    *(condition("{{ name }}", operator, ["alice", "7"]) for operator in ("AnyIn", "AllNotIn")),
    condition('{{ inner."x-y"[0] }}', "Equals", 1), condition('{{ inner."x-y"[1] }}', "NotEquals", "two"), condition('{{ length(inner."x-y") }}', "LessThan", 3),
    condition("{{ regex_match('^https://github.com/o/', '{{ uri }}') }}", "Equals", True), condition("{{ regex_match('github.com', uri) }}", "NotEquals", True),
    condition("{{ regex_match('5', '{{ uri }}') }}", "Equals", True), condition("{{ time_since('', '{{ at }}', '') }}", "LessThanOrEquals", "720h"),
    condition("{{ time_since('', at, '') }}", "GreaterThan", "720h"),
]  # fmt: skip


@pytest.mark.parametrize("one", CONDITIONS, ids=json.dumps)
def test_conditions_mean_the_same_value_for_value(registry, keys, one):
    policy = kyverno(attestations=[attested(keys["a"], {"all": [one]})])
    before, [found] = same(registry, policy, names=PREDICATES)
    assert [list(each) for each in found["spec"]["require"]["attestation"]["conditions"]] == [["cel"]]
    assert before != {(name, "Pod") for name in PREDICATES}
    assert ("none", "Pod") not in before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)
@given(
    some=st.lists(st.sampled_from(CONDITIONS), max_size=3), every=st.lists(st.sampled_from(CONDITIONS), max_size=2),
    more=st.lists(st.sampled_from(CONDITIONS), max_size=1),
)  # fmt: skip
def test_any_and_all_mean_the_same(registry, keys, some, every, more):
    blocks = [{name: found for name, found in (("any", some), ("all", every)) if found}, {"all": more}]
    blocks = [each for each in blocks if any(each.values())]
    same(registry, kyverno(attestations=[attested(keys["a"], *blocks)]), names=PREDICATES)


@pytest.mark.parametrize(
    ("one", "place", "what"),
    [
        (condition("{{ a[?b].c }}", "Equals", 1), "all[0].key", "beyond members"), (condition("x {{ a }}", "Equals", "x"), "all[0].key", "one variable alone"),
        (condition("{{ a }}", "Equals", "{{ b }}"), "all[0].value", "a variable in a value"), (condition("{{ a }}", "Equals", "5k"), "all[0].value", "a duration or a quantity"),
        (condition("{{ a }}", "GreaterThan", "1.2.3"), "all[0].value", "versions"), (condition("{{ a }}", "Equals", [1]), "all[0].value", "null, a list or an object"),
        (condition("{{ a }}", "AnyIn", ["1-5"]), "all[0].value", "a range"), (condition("{{ to_upper(a) }}", "Equals", "X"), "all[0].key", "beyond members"),
        (condition("{{ a }}", "DurationLessThan", "5m"), "all[0].value", "an order of durations"), (condition("{{ a }}", "Equals", "*"), "all[0].value", "what '*' covers"),
        (condition("{{ a[-1] }}", "Equals", 1), "all[0].key", "beyond members"), (condition("{{ a }}", "Equals", 2**60), "all[0].value", "not exact everywhere"),
        (condition("{{ a }}", "LessThan", float("nan")), "all[0].value", "not exact everywhere"), (condition("{{ a }}", "AnyIn", [1.5]), "all[0].value", "a range or a number"),
        (condition("{{ regex_match('a', '{{ b }}') }}", "Equals", "true"), "all[0]", "true or false"), (condition("{{ time_since('', '{{ b }}', '{{ c }}') }}", "LessThan", "1h"), "all[0].key", "beyond members"),
        (condition("{{ time_since('', '{{ b }}', '') }}", "LessThan", 5), "all[0]", "a duration"),
    ],
)  # fmt: skip
def test_conditions_that_would_be_lost_are_named(keys, one, place, what):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(kyverno(attestations=[attested(keys["a"], {"all": [one]})]))
    assert f"attestations[0].conditions[0].{place}" in found.value.message
    assert what in found.value.message
    assert (found.value.code, found.value.exit_code) == ("policy-unsupported", 2)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"type": "vuln"}, "attestations[0].type"), ({"type": "{{ x }}"}, "attestations[0].type"),
        ({"attestors": [{"entries": [{"keys": {"publicKeys": "x"}, "annotations": {"a": "b"}}]}]}, "entries[0].annotations"),
    ],
)  # fmt: skip
def test_attestations_that_would_be_lost_are_named(keys, change, place):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(kyverno(attestations=[attested(keys["a"]) | change]))
    assert place in found.value.message


# -- back


def own(require, **spec):
    return {
        "apiVersion": grammars.VERSION, "kind": "ClusterImagePolicy", "metadata": {"name": "own"}, "spec": {"images": [f"{HOST}/team/**"], "require": require} | spec,
    }  # fmt: skip


def asked(key, kind=TYPE, **more):
    return {"attestation": {"type": kind, "by": {"key": pem(key), "log": "ignore"}} | more}


def test_our_attestations_in_other_grammars(registry, keys):
    a, b = (asked(keys[name]) for name in "ab")
    same(registry, own({"all": [{"signature": {"key": pem(keys["a"]), "log": "ignore"}}, {"any": [a, b]}]}), *BACK)
    same(registry, own({"atLeast": {"count": 2, "of": [a, b]}}), *BACK)
    same(registry, own({"all": [a, asked(keys["a"], OTHER)]}), "sigstore", "sealgate", "kyverno", "sigstore")
    same(registry, own({"any": [a, b]}), "sigstore", "kyverno", "sealgate")


@pytest.mark.parametrize(
    ("to", "require", "place"),
    [
        ("kyverno", lambda a, b: asked(a, conditions=[{"cel": "true"}]), "conditions"), ("kyverno", lambda a, b: {"any": [asked(a), asked(a, OTHER)]}, "spec.require"),
        ("kyverno", lambda a, b: asked(a, "openvex", maxAge="7d"), "maxAge"), ("sigstore", lambda a, b: {"all": [asked(a), asked(b)]}, "several signers"),
        ("sigstore", lambda a, b: asked(a, conditions=[{"cel": "true"}]), "conditions[0]"),
    ],
)  # fmt: skip
def test_our_attestations_that_would_be_lost_are_named(keys, to, require, place):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(own(require(keys["a"], keys["b"])), to=to)
    assert place in found.value.message


# -- image policies

SIGNED = "images.containers.map(i, verifyImageSignatures(i, [%s])).all(e, e %s)"
ATTESTED = "images.containers.map(image, verifyAttestationSignatures(image, attestations.r, [%s])).all(e, e %s)"


def ivp(*validations, keys, **spec):
    named = {name: {"key": {"data": pem(key)}, "ctlog": {"insecureIgnoreTlog": True}} for name, key in keys.items()}
    more = {"attestations": [{"name": "r", "intoto": {"type": TYPE}}], "matchImageReferences": [{"glob": f"{HOST}/*"}]}
    return image_policy(*validations, keys=named, **(more | spec))


@pytest.mark.parametrize(
    ("expression", "some"),
    [
        (SIGNED % ("attestors.a", "> 0"), "signed-a"), (SIGNED % ("attestors.a, attestors.b", ">= 2"), "s-abz"), (SIGNED % ("attestors.a, attestors.b", "== 2"), "s-abz"),
        (SIGNED % ("attestors.b", "> 0") + " && " + ATTESTED % ("attestors.b", "> 0"), "s-bz"), ("(" + SIGNED % ("attestors.a", ">= 1") + ")", "signed-a"),
        ("(images.containers + images.initContainers).all(x, verifyImageSignatures(x, [attestors.c]) > 0)", "s-cz"),
        ("images . containers.all( i,verifyAttestationSignatures(i, attestations.r, [attestors.a, attestors.c]) > 1)", "s-acz"),
    ],
)  # fmt: skip
def test_image_policies_of_the_plain_forms(registry, keys, expression, some):
    before, _ = same(registry, ivp(expression, keys=keys), kinds=("Pod", "Deployment"))
    assert (some, "Pod") in before
    assert (some, "Deployment") in before
    assert ("plain", "Pod") not in before
    same(registry, ivp(expression, keys=keys), "kyverno", "sealgate")


def test_image_policies_to_policy_controller(registry, keys):
    same(registry, ivp(SIGNED % ("attestors.a, attestors.b", "> 0"), keys=keys), "sigstore", "sealgate")


@st.composite
def forms(draw):
    names = draw(st.permutations("abc").map(lambda found: found[: draw(st.integers(1, 3))]))
    template = draw(st.sampled_from([SIGNED, ATTESTED]))
    listed = ", ".join(f"attestors.{name}" for name in names)
    return template % (listed, f">= {draw(st.integers(1, len(names)))}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)
@given(found=st.lists(forms(), min_size=1, max_size=3), joined=st.booleans())
def test_whatever_plain_forms_ask_for(registry, keys, found, joined):
    validations = [" && ".join(found)] if joined else found
    same(registry, ivp(*validations, keys=keys))


@pytest.mark.parametrize(
    ("actions", "action"), [(["Deny"], None), (["Warn"], "warn"), (["Audit"], "audit"), (["Deny", "Audit"], None)]
)
def test_P06_actions_of_image_policies(keys, actions, action):
    [found] = convert(ivp(SIGNED % ("attestors.a", "> 0"), keys=keys, validationActions=actions)).documents
    assert found["spec"].get("action") == action
    assert found["spec"].get("digests") == (None if action is None else {"mutate": False})


def test_image_policies_say_where_they_hold(keys):
    expression = SIGNED % ("attestors.a", "> 0")
    rule = PODS | {"operations": ["CREATE"]}
    labels = {"matchLabels": {"team": "a"}}
    policy = ivp(expression, keys=keys, matchConstraints={"resourceRules": [rule], "namespaceSelector": labels})
    [found] = convert(policy).documents
    assert found["spec"]["match"] == {"namespaceSelector": labels, "operations": ["CREATE"]}
    [found] = convert(ivp(expression, keys=keys, autogen={"podControllers": {"controllers": ["jobs"]}})).documents
    assert found["spec"]["match"] == {"kinds": ["Pod", "Job"]}
    policy = ivp(expression, keys=keys) | {
        "kind": "NamespacedImageValidatingPolicy",
        "metadata": {"name": "n", "namespace": "team"},
    }
    [found] = convert(policy).documents
    assert (found["kind"], found["metadata"]["namespace"]) == ("ImagePolicy", "team")
    globs = ivp(expression, keys=keys, matchImageReferences=[{"glob": f"{HOST}/{{team,other}}/*"}])
    assert convert(globs).documents[0]["spec"]["images"] == [f"{HOST}/team/*/**", f"{HOST}/other/*/**"]


def test_keyless_image_policies(keys):
    identity = {"issuer": "https://x.example", "subjectRegExp": "^https://github.com/o/.*$"}
    signer = {
        "keyless": {"identities": [identity]},
        "ctlog": {"insecureIgnoreSCT": True},
        "source": {"repository": f"{HOST}/sigs"},
    }
    policy = image_policy(SIGNED % ("attestors.k", "> 0"), keys={"k": signer})
    found = convert(policy)
    assert found.documents[0]["spec"]["require"] == {
        "signature": {"identities": [identity], "ignoreSCT": True, "repository": f"{HOST}/sigs"}
    }
    assert any("initContainers, ephemeralContainers, volumes" in each for each in found.remarks)


def _signer(**more):
    return lambda spec: spec["attestors"][0]["cosign"].update(more)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda s: s.update(matchConditions=[{"name": "c", "expression": "true"}]), "spec.matchConditions"), (lambda s: s.update(variables=[{"name": "v", "expression": "1"}]), "spec.variables"),
        (lambda s: s.update(images=[{"name": "x", "expression": "[]"}]), "spec.images"), (lambda s: s.update(credentials={"secrets": ["x"]}), "spec.credentials"),
        (lambda s: s.update(matchImageReferences=[{"expression": "true"}]), "matchImageReferences[0].expression"), (lambda s: s.update(matchImageReferences=[{"glob": f"{HOST}/[ab]/x"}]), "matchImageReferences[0].glob"),
        (lambda s: s.update(validationConfigurations={"required": False}), "validationConfigurations.required"), (_signer(tuf={"mirror": "https://x.example"}), "cosign.tuf"),
        (_signer(trustedRoot={"value": "{}"}), "cosign.trustedRoot"), (_signer(ctlog={"rekorPubKey": "x"}), "ctlog.rekorPubKey"), (_signer(key={"kms": "awskms:///x"}), "key.kms"),
        (_signer(key={"data": "x", "hashAlgorithm": "sha512"}), "key.hashAlgorithm"), (lambda s: s["attestors"][0].update(notary={}), "attestors[0].notary"),
        (lambda s: s["matchConstraints"].update(objectSelector={"matchLabels": {"a": "b"}}), "objectSelector"), (lambda s: s["matchConstraints"].update(resourceRules=[PODS | {"resources": ["deployments"], "apiGroups": ["apps"]}]), "resourceRules"),
        *((lambda s, e=e: s["validations"][0].update(expression=e), "validations[0].expression") for e in (
            "true", "images.containers.all(i, true)", SIGNED % ("attestors.a, attestors.b", "== 1"), SIGNED % ("attestors.a", "> 1"), SIGNED % ("attestors.a", "> 0") + " || true",
            SIGNED.replace("all", "exists") % ("attestors.a", "> 0"), SIGNED % ("attestors.a", "> 0") + " && extractPayload(images.containers[0], attestations.r).x == 1",
            (SIGNED % ("attestors.a", "> 0")).replace("verifyImageSignatures(i,", "verifyImageSignatures(j,"), (SIGNED % ("attestors.a", "> 0")).replace(".all(e, e", ".all(e, f"),
            (SIGNED % ("attestors.a, attestors.a", "> 0")), (SIGNED % ("attestors.a", "> 0")) + " // x",
        )),
        (lambda s: s["validations"].append({"expression": (SIGNED % ("attestors.b", "> 0")).replace("containers", "initContainers")}), "spec.validations"),
    ],
)  # fmt: skip
def test_image_policies_that_would_be_lost_are_named(keys, change, place):
    policy = ivp(SIGNED % ("attestors.a", "> 0"), keys=keys)
    assert convert(policy).documents
    change(policy["spec"])
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(policy)
    assert f"ImageValidatingPolicy/ivp: {'spec' if place.startswith('spec') else ''}" in found.value.message
    assert place in found.value.message


# -- what is passed through


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imagse": []}, "did you mean images?"), ({"require": {"signature": {"key": "x"}}}, "spec.require.signature.key"), ({"action": "Enforce"}, "spec.action"),
        ({"skip": ["**"]}, "spec.skip"), ({"require": {"attestation": {"type": TYPE, "by": {"key": None}}}}, "spec.require.attestation.by"),
    ],
)  # fmt: skip
def test_P18_our_own_is_not_passed_unread(keys, change, said):
    policy = own({"signature": {"key": pem(keys["a"])}})
    assert convert(policy).documents == (policy,)
    with pytest.raises(PolicyInvalidError) as found:
        convert(policy | {"spec": policy["spec"] | change})
    assert said in f"{found.value.message} {found.value.hint}"
    assert found.value.message.startswith("0.yaml: ")


def test_P18_what_is_converted_was_read_whole(keys):
    """Fields that no conversion looks at are looked at all the same."""
    policy = cip(keyed(keys["a"]), images=[f"{HOST}/team/**"])
    assert convert(policy).documents
    policy["spec"]["authorities"][0]["ctlog"] = {"url": 5}
    with pytest.raises(PolicyInvalidError, match="url"):
        convert(policy)
    broken = cip({"key": {"data": "no key"}}, images=[f"{HOST}/team/**"])
    with pytest.raises(PolicyInvalidError, match="key"):
        convert(broken)


def test_secrets_and_trust_roots_need_not_be_there(keys):
    identity = {"issuer": "https://x.example", "subject": "y"}
    policy = own(
        {"all": [{"signature": {"key": {"secret": "k", "entry": "alice.pub"}}}, {"signature": {"identity": identity, "trustRoot": "ours", "timestamp": True, "log": "require"}}]}
    )  # fmt: skip
    assert convert(policy).documents == (policy,)
    root = {
        "apiVersion": "policy.sigstore.dev/v1alpha1",
        "kind": "TrustRoot",
        "metadata": {"name": "ours"},
        "spec": {"sigstoreKeys": {}},
    }
    with pytest.raises(PolicyInvalidError, match="it names nobody"):  # one that is there is read
        convert(policy, root)


def test_P18_our_exceptions_are_read_and_stay_ours(keys):
    exception = {
        "apiVersion": grammars.VERSION, "kind": "PolicyException", "metadata": {"name": "own"}, "spec": {"policies": ["own"], "images": [f"{HOST}/team/old"], "until": "2030-01-01T00:00:00Z", "reason": "x"},
    }  # fmt: skip
    policy = own({"signature": {"key": pem(keys["a"]), "log": "ignore"}})
    assert convert(policy, exception).documents == (policy, exception)
    with pytest.raises(PolicyInvalidError, match=r"spec\.until"):
        convert(policy, exception | {"spec": exception["spec"] | {"until": "soon"}})
    with pytest.raises(PolicyUnsupportedError, match="PolicyException/own"):
        convert(policy, exception, to="kyverno")
