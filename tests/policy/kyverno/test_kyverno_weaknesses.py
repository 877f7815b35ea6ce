"""Ways past such policies that no other file of these tests tries."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import codes, decide, load, one
from sealgate.policy import model

TEAM = "registry.example.com/team"
SLSA = "https://slsa.dev/provenance/v1"
MARKS = {
    "kyverno.io/verify-images": '{"registry.example.com/team/unsigned:1.0":"pass"}',
    "kyverno.io/verify-images-scoped": '{"version":1,"policies":{"/check":{"verify":{"registry.example.com/team/unsigned:1.0":"pass"}}}}',
    "kyverno.io/image-verification-outcomes": "{}",
}


@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_P10_P11_annotations_of_the_object_prove_nothing(registry, good, kind):
    policies = load(policy(block(keys(good))))
    assert decide(policies, registry, f"{TEAM}/unsigned:1.0", kind=kind, annotations=MARKS).outcome == "deny"
    assert decide(policies, registry, f"{TEAM}/signed:1.0", kind=kind, annotations=MARKS).outcome == "admit"


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z", "finalizers": ["x"]}}, {"spec": {"replicas": 0}},
        {"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "x", "controller": True}]}}, {"status": {"phase": "Running"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_P16_K05_nothing_in_the_object_reduces_checking(registry, good, change, operation):
    policies = load(policy(block(keys(good))))
    spec = {"containers": [{"image": f"{TEAM}/unsigned:1.0"}]}
    document = {"metadata": {}, "spec": spec} | {
        name: ({} | value | (spec if name == "spec" else {})) for name, value in change.items()
    }
    assert codes(
        one(policies, registry, f"{TEAM}/unsigned:1.0", document=document, old=document, operation=operation)
    ) == ["no-signature"]
    assert codes(
        one(policies, registry, f"{TEAM}/signed:1.0", document=document, old=document, operation=operation)
    ) == ["accepted"]


@pytest.mark.parametrize("order", [0, 1])
def test_P12_P13_each_block_of_a_rule_has_its_own_verdict(registry, good, other, order):
    """Weakness 2: what the first block accepted says nothing of the second."""
    blocks = [block(keys(good)), block(keys(other))]
    policies = load(policy(*(blocks if order else blocks[::-1])))
    found = codes(one(policies, registry, f"{TEAM}/signed:1.0"))
    assert sorted(found) == ["accepted", "signature-key-mismatch"]
    assert codes(one(policies, registry, f"{TEAM}/both:1.0")) == ["accepted", "accepted"]


def identities(*documents, **more):
    return [each.identity for rule in load(*documents, **more).rules for each in model.attestors(rule.demand)]


def test_P13_everything_that_decides_is_in_an_attestors_identity(good, other):
    """Weakness 3: conditions, variables, annotations and places of signatures belong to what a verdict is kept under."""

    def asked(value="x", context="a", **entry):
        attestation = {"type": SLSA, "attestors": [{"entries": [keys(good, **entry)]}]}
        attestation["conditions"] = [{"all": [{"key": "{{ a }}", "operator": "Equals", "value": value}]}]
        return policy(
            block(attestations=[attestation]), rule={"context": [{"name": "c", "variable": {"value": context}}]}
        )

    variants = [
        asked(), asked("y"), asked(context="b"), asked(annotations={"a": "b"}), asked(annotations={"a": "b*"}),
        asked(repository="signatures.example.com/x"), asked(signatureAlgorithm="sha256"), policy(block(keys(good))), policy(block(keys(other))),
    ]  # fmt: skip
    found = [identities(each) for each in variants]
    assert all(len(each) == 1 for each in found)
    assert len({each for [each] in found}) == len(variants)
    assert identities(asked()) == identities(asked())


def test_T07_what_was_verified_is_what_is_written(registry, good):
    """Weakness 1: the tag moves after it was resolved."""
    name = f"{TEAM}/moving"
    before = registry.push(name)
    registry.sign(name, good)
    policies = load(policy(block(keys(good))))
    found = one(policies, registry, f"{name}:1.0")
    assert (str(found.digest), found.mutates) == (before, True)
    after = registry.push(name)
    moved = one(policies, registry, f"{name}:1.0")
    assert (str(moved.digest), codes(moved), moved.mutates) == (after, ["no-signature"], False)
    assert codes(one(policies, registry, f"{name}:1.0@{before}")) == ["accepted"]


def test_M03_policies_mean_one_thing(good):
    """The same key in two spellings, in what the policy's file is parsed to."""
    from sealgate.errors import SealgateError
    from sealgate.gate import policies as files

    text = b"apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: a, name: b}\nspec: {}\n"
    with pytest.raises(SealgateError):
        list(files.parse(text, "x.yaml"))
    assert list(files.parse(text.replace(b", name: b", b""), "x.yaml"))
