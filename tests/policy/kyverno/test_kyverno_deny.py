"""`validate.deny`: what attestations must not say."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import codes, load, one
from sealgate.errors import PolicyInvalidError

TEAM = "registry.example.com/team"
SBOM, SLSA = "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"


@pytest.fixture(scope="module", autouse=True)
def attested(registry, good, stranger):
    for name, licenses in (("free", [["MIT"]]), ("closed", [["AGPL-3.0"]]), ("second-closed", [["MIT"], ["AGPL-3.0"]])):
        registry.push(f"{TEAM}/{name}")
        for each in licenses:
            registry.attest(f"{TEAM}/{name}", good, SBOM, {"packages": [{"license": it} for it in each]})
        registry.attest(f"{TEAM}/{name}", good, SLSA, {"buildType": "x", "packages": []})
    registry.attest(f"{TEAM}/free", stranger, SBOM, {"packages": [{"license": "AGPL-3.0"}]})


def denying(good, key, operator="AnyIn", value=("AGPL-*",), names=("sbom",)):
    types = dict(zip(names, (SBOM, SLSA), strict=False))
    attestations = [
        {"type": kind, "attestors": [{"entries": [keys(good)]}]} | ({"name": name} if name else {})
        for name, kind in types.items()
    ]
    validate = {
        "message": "no such licence",
        "deny": {"conditions": {"any": [{"key": key, "operator": operator, "value": list(value)}]}},
    }
    return policy(block(attestations=attestations, validate=validate))


@pytest.mark.parametrize(
    ("image", "code"), [("free", "accepted"), ("closed", "policy-not-met"), ("second-closed", "policy-not-met")]
)
@pytest.mark.parametrize(("key", "names"), [
    ("{{ sbom.packages[].license }}", ("sbom",)), ("{{ packages[].license }}", (None,)), ("{{ sbom.packages[].license }}", ("sbom", "build")),
])  # fmt: skip
def test_every_attestation_that_was_verified_counts(registry, good, image, code, key, names):
    found = one(load(denying(good, key, names=names)), registry, f"{TEAM}/{image}:1.0")
    assert codes(found) == [code]
    if code != "accepted":
        assert found.rulings[0].message.endswith("no such licence")


@pytest.mark.parametrize("key", ["{{ sbom.missing }}", "{{ request.userInfo.username }}", "{{ sbom.packages }}"])
def test_no_answer_denies(registry, good, key):
    assert codes(one(load(denying(good, key)), registry, f"{TEAM}/free:1.0")) == ["policy-not-met"]


def test_it_sees_the_object(registry, good):
    made = denying(good, "{{ images.containers.*.name }}", value=("free",))
    assert codes(one(load(made), registry, f"{TEAM}/free:1.0")) == ["policy-not-met"]
    assert codes(one(load(made), registry, f"{TEAM}/closed:1.0")) == ["accepted"]


def test_it_takes_nothing_away(registry, good):
    """Not denied is not verified."""
    assert codes(one(load(denying(good, "{{ sbom.packages[].license }}")), registry, f"{TEAM}/signed:1.0")) == [
        "no-attestation"
    ]


@pytest.mark.parametrize("names", [("a", None), (None, "b")])
def test_several_attestations_have_names(good, names):
    with pytest.raises(PolicyInvalidError) as caught:
        load(denying(good, "{{ a.x }}", names=names))
    assert "needs a name" in caught.value.message


def test_what_does_not_load(good):
    for validate in ({}, {"deny": {}}, {"deny": {"conditions": {"any": []}}}, {"message": "x", "pattern": {}}):
        made = denying(good, "{{ sbom.x }}")
        made["spec"]["rules"][0]["verifyImages"][0]["validate"] = validate
        with pytest.raises(PolicyInvalidError):
            load(made)
    with pytest.raises(PolicyInvalidError):
        load(
            policy(
                block(keys(good), validate={"deny": {"conditions": [{"key": "x", "operator": "Equals", "value": "x"}]}})
            )
        )
    with pytest.raises(PolicyInvalidError):
        load(denying(good, "{{ time_now() }}"))
