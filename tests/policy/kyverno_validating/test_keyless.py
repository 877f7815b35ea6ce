"""Identities in image policies."""

import json

import pytest

from policy.kyverno.test_kyverno_keyless import issuer, keyless, settings
from policy.kyverno_validating.scene import SIGNED, TEAM, codes, ivp
from policy.scene import load

__all__ = ["issuer", "keyless", "settings"]


@pytest.mark.parametrize(
    ("identity", "image", "code"),
    [
        ({"subject": "dev@example.com"}, "by-dev", "accepted"),
        ({"subject": "dev@example.com"}, "by-evil", "identity-mismatch"),
        ({"subjectRegExp": ".*@example.com"}, "by-dev", "accepted"),
        ({"subjectRegExp": ".*@example.com"}, "by-evil", "identity-mismatch"),  # C04: the whole text
        ({"subjectExpression": "'dev@' + variables.host"}, "by-dev", "accepted"),
        ({"subjectExpression": "'dev@' + variables.host"}, "by-other", "identity-mismatch"),
    ],
)
def test_C04_identities(registry, settings, issuer, identity, image, code):
    attestors = {"k": {"keyless": {"identities": [{"issuer": issuer} | identity]}}}
    policy = ivp(SIGNED, keys=attestors, variables=[{"name": "host", "expression": "'example.com'"}])
    assert codes(load(policy, settings=settings), registry, f"{TEAM}/{image}:1.0") == [code]


def test_a_trust_root_of_the_policys_own(registry, keyless, issuer):
    cosign = {
        "keyless": {"identities": [{"issuer": issuer, "subject": "dev@example.com"}]},
        "trustedRoot": {"value": json.dumps(keyless.trusted_root())},
    }
    policies = load(ivp(SIGNED, keys={"k": cosign}))
    assert codes(policies, registry, f"{TEAM}/by-dev:1.0") == ["accepted"]
    assert codes(policies, registry, f"{TEAM}/by-evil:1.0") == ["identity-mismatch"]
    assert codes(policies, registry, f"{TEAM}/unlogged:1.0") == ["log-entry-missing"]
    cosign["ctlog"] = {"insecureIgnoreTlog": True}
    assert codes(load(ivp(SIGNED, keys={"k": cosign})), registry, f"{TEAM}/unlogged:1.0") == ["accepted"]
