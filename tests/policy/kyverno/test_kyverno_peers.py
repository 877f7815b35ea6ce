"""Kyverno's policies at the deployment gate, over images that cosign signed on a real registry."""

import json

import pytest
import yaml

from peers.images import push_image
from policy.kyverno.scene import block, policy
from sealgate.evidence.predicates import SLSA_PROVENANCE_V1

OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")


@pytest.fixture(scope="module")
def cosigned(cosign3, cosign2, docker_registry, tmp_path_factory):
    """The public key, and images by how they were signed."""
    folder = tmp_path_factory.mktemp("cosigned")
    cosign3("generate-key-pair", "--output-key-prefix", folder / "cosign", check=True)
    key = folder / "cosign.key"
    predicate = folder / "predicate.json"
    predicate.write_text(json.dumps({"buildDefinition": {"buildType": "https://example.com/make"}}))
    found = {}
    for name in ("bundle", "legacy", "attested", "unsigned"):
        found[name] = push_image(docker_registry, f"kyverno/{name}", "1.0")
    cosign3("sign", "--key", key, *OFFLINE, found["bundle"].reference, check=True)
    cosign2(
        "sign", "--key", key, "--tlog-upload=false", "-y", "-a", "env=prod-eu", found["legacy"].reference, check=True
    )
    attest = ("attest", "--key", key, *OFFLINE, "--type", "slsaprovenance1", "--predicate", predicate)
    cosign3(*attest, found["attested"].reference, check=True)
    return (folder / "cosign.pub").read_text(), found


def gate(sealgate, folder, document, *images, kind="Pod"):
    (folder / "policy.yaml").write_text(yaml.safe_dump(document))
    spec = {"containers": [{"name": f"c{index}", "image": image} for index, image in enumerate(images)]}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    if kind == "Deployment":
        made = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": spec}},
        }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(made))
    return sealgate("gate", "-p", folder / "policy.yaml", "-o", "json", folder / "manifest.yaml")


@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_what_cosign_signed(sealgate, cosigned, docker_registry, tmp_path, kind):
    key, images = cosigned
    document = policy(block({"keys": {"publicKeys": key}}, images=(f"{docker_registry}/*",)))
    done = gate(sealgate, tmp_path, document, images["bundle"].tagged, images["legacy"].tagged, kind=kind)
    assert done.returncode == 0, done.stderr
    done = gate(sealgate, tmp_path, document, images["bundle"].tagged, images["unsigned"].tagged, kind=kind)
    assert done.returncode == 16
    assert ".attestors[0].entries[0].keys" in done.stdout
    assert '"no-signature"' in done.stdout


@pytest.mark.parametrize(("pattern", "code"), [("prod-*", 0), ("test-*", 16)])
def test_annotations_that_cosign_signed(sealgate, cosigned, docker_registry, tmp_path, pattern, code):
    key, images = cosigned
    entry = {"keys": {"publicKeys": key}, "annotations": {"env": pattern}}
    document = policy(block(entry, images=(f"{docker_registry}/*",)))
    assert gate(sealgate, tmp_path, document, images["legacy"].tagged).returncode == code


@pytest.mark.parametrize(("value", "code"), [("https://example.com/*", 0), ("https://example.org/*", 16)])
def test_attestations_that_cosign_made(sealgate, cosigned, docker_registry, tmp_path, value, code):
    key, images = cosigned
    asked = {
        "type": SLSA_PROVENANCE_V1,
        "attestors": [{"entries": [{"keys": {"publicKeys": key}}]}],
        "conditions": [{"all": [{"key": "{{ buildDefinition.buildType }}", "operator": "Equals", "value": value}]}],
    }
    document = policy(block(images=(f"{docker_registry}/*",), attestations=[asked]))
    assert gate(sealgate, tmp_path, document, images["attested"].tagged).returncode == code
    assert gate(sealgate, tmp_path, document, images["bundle"].tagged).returncode == 16


@pytest.mark.parametrize(("name", "code"), [("bundle", 0), ("unsigned", 16)])
def test_images_at_places_that_only_the_policy_knows(sealgate, cosigned, docker_registry, tmp_path, name, code):
    key, images = cosigned
    document = policy(
        block({"keys": {"publicKeys": key}}, images=(f"{docker_registry}/*",)),
        rule={
            "match": {"any": [{"resources": {"kinds": ["Task"]}}]},
            "imageExtractors": {"Task": [{"path": "/spec/runner/with", "jmesPath": "trim_prefix(@, 'docker://')"}]},
        },
    )
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document))
    task = {"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "t"}}
    task["spec"] = {"runner": {"with": f"docker://{images[name].tagged}"}}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task))
    assert sealgate("gate", "-p", tmp_path / "policy.yaml", tmp_path / "task.yaml").returncode == code


@pytest.mark.parametrize(("name", "code"), [("bundle", 0), ("unsigned", 16)])
def test_a_secret_and_an_exception_beside_the_policy(sealgate, cosigned, docker_registry, tmp_path, name, code):
    key, images = cosigned
    folder = tmp_path / "policies"
    folder.mkdir()
    document = policy(block({"keys": {"publicKeys": "k8s://kyverno/keys"}}, images=(f"{docker_registry}/*",)))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys", "namespace": "kyverno"},
        "stringData": {"cosign.pub": key},
    }
    exception = {
        "apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "old", "namespace": "kyverno"},
        "spec": {
            "exceptions": [{"policyName": "check", "ruleNames": ["verify"]}], "expires": "2020-01-01T00:00:00Z",
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        },
    }  # fmt: skip
    (folder / "all.yaml").write_text(yaml.safe_dump_all([document, secret, exception]))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": images[name].tagged}]},
    }
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    assert sealgate("gate", "-p", folder, tmp_path / "pod.yaml").returncode == code
    exception["spec"]["expires"] = "2999-01-01T00:00:00Z"
    (folder / "all.yaml").write_text(yaml.safe_dump_all([document, secret, exception]))
    done = sealgate("gate", "-p", folder, "-o", "json", tmp_path / "pod.yaml")
    assert done.returncode == 0
    assert '"image-exempted"' in done.stdout
