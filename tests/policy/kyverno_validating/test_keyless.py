"""Identities in image policies."""

import base64
import json

import pytest

from policy.kept import keep
from policy.kyverno.test_kyverno_keyless import issuer, keyless, settings
from policy.kyverno_validating.scene import SIGNED, TEAM, codes, ivp
from policy.scene import load
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy.attestors import Settings
from sealgate.truststore.environment import PUBLIC_MIRROR

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


MIRROR = "https://tuf.example.com"


def by_tuf(issuer, **tuf):
    return {"keyless": {"identities": [{"issuer": issuer, "subject": "dev@example.com"}]}, "tuf": tuf}


def test_a_repository_that_was_initialized(registry, keyless, issuer, tmp_path):
    settings = Settings(repositories=keep(tmp_path / "root", keyless.tuf.files, mirror=MIRROR))
    root = base64.b64encode(keyless.tuf.files["1.root.json"]).decode()
    for tuf in (
        {"mirror": MIRROR},
        {"mirror": MIRROR, "root": {"data": root}},
        {"mirror": MIRROR, "root": {"data": base64.b64decode(root).decode()}},
    ):
        policies = load(ivp(SIGNED, keys={"k": by_tuf(issuer, **tuf)}), settings=settings)
        assert codes(policies, registry, f"{TEAM}/by-dev:1.0") == ["accepted"]
        assert codes(policies, registry, f"{TEAM}/by-evil:1.0") == ["identity-mismatch"]
        assert codes(policies, registry, f"{TEAM}/unlogged:1.0") == ["log-entry-missing"]


@pytest.mark.parametrize(
    ("tuf", "said", "kind"),
    [
        ({}, f"nothing is kept of the TUF repository {PUBLIC_MIRROR}", PolicyInvalidError), ({"mirror": "https://other.example.com"}, "nothing is kept", PolicyInvalidError),
        ({"mirror": MIRROR, "root": {"data": "e30="}}, "was not reached from this root", PolicyInvalidError), ({"mirror": MIRROR, "root": {"path": "/root.json"}}, "tuf.root.path", PolicyUnsupportedError),
        ({"mirror": MIRROR, "root": {"data": "?"}}, "trust-update", PolicyInvalidError), ({"root": {"data": "e30="}}, "tuf.mirror is missing", PolicyInvalidError), ({"mirror": "x y"}, "cosign.tuf", PolicyInvalidError),
        ({"mirror": MIRROR, "rooot": {}}, "did you mean root?", PolicyInvalidError),
    ],
)  # fmt: skip
def test_U03_repositories_that_do_not_count(keyless, issuer, tmp_path, tuf, said, kind):
    settings = Settings(repositories=keep(tmp_path / "root", keyless.tuf.files, mirror=MIRROR))
    with pytest.raises(kind) as raised:
        load(ivp(SIGNED, keys={"k": by_tuf(issuer, **tuf)}), settings=settings)
    assert said in f"{raised.value.message} {raised.value.hint}"
    assert "spec.attestors[0].cosign.tuf" in raised.value.message


def test_a_repository_beside_a_trust_root(keyless, issuer, tmp_path):
    settings = Settings(repositories=keep(tmp_path / "root", keyless.tuf.files, mirror=MIRROR))
    both = by_tuf(issuer, mirror=MIRROR) | {"trustedRoot": {"value": json.dumps(keyless.trusted_root())}}
    with pytest.raises(PolicyInvalidError, match="tuf and trustedRoot: one of them"):
        load(ivp(SIGNED, keys={"k": both}), settings=settings)
    with pytest.raises(PolicyUnsupportedError, match="no repository is asked while policies are read"):
        load(ivp(SIGNED, keys={"k": by_tuf(issuer, mirror=MIRROR)}))
