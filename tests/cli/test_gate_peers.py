"""What cosign signed and attested on a docker-registry, judged by `sealgate gate` under policies of each dialect."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from peers.images import push_image

OFFLINE3 = ("--use-signing-config=false", "--tlog-upload=false", "-y")
OFFLINE2 = ("--tlog-upload=false", "-y")
REVIEW = "https://example.com/review/v1"


def kyverno(host, pem):
    keys = {"entries": [{"keys": {"publicKeys": pem}}]}
    condition = {"all": [{"key": "{{ approved }}", "operator": "Equals", "value": True}]}
    block = {
        "imageReferences": [f"{host}/*"],
        "attestors": [keys],
        "attestations": [{"type": REVIEW, "attestors": [keys], "conditions": [condition]}],
    }
    rule = {"name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "verifyImages": [block]}
    spec = {"validationFailureAction": "Enforce", "rules": [rule]}
    return [{"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "kyverno"}, "spec": spec}]


def policy_controller(host, pem):
    policy = {
        "type": "rego",
        "data": "package sigstore\ndefault isCompliant = false\nisCompliant { input.predicate.approved == true }\n",
    }
    review = {"name": "review", "predicateType": REVIEW, "policy": policy}
    signed, attested = {"key": {"data": pem}}, {"key": {"data": pem}, "attestations": [review]}
    return [
        {
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": f"controller-{number}"},
            "spec": {"images": [{"glob": f"{host}/**"}], "authorities": [authority]},
        }
        for number, authority in enumerate((signed, attested))
    ]  # fmt: skip


def containers(host, pem):
    signed = {
        "type": "sigstoreSigned",
        "keyData": base64.b64encode(pem.encode()).decode(),
        "signedIdentity": {"type": "matchRepository"},
    }
    return [{"default": [{"type": "reject"}], "transports": {"docker": {host: [signed]}}}]


def sealgate(host, pem):
    by = {"key": pem}
    condition = {"cel": "predicate.approved == true"}
    require = {"all": [{"signature": by}, {"attestation": {"type": REVIEW, "by": by, "conditions": [condition]}}]}
    spec = {"images": [f"{host}/**"], "require": require}
    return [
        {"apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"}, "spec": spec}
    ]


@pytest.fixture(scope="module")
def images(docker_registry, cosign3, cosign2, make_key, password, tmp_path_factory):
    """By cosign 3 in bundles, by cosign 2 in the legacy format; by a stranger; attested with another answer; unsigned."""
    folder = tmp_path_factory.mktemp("predicates")
    key, other = make_key("good"), make_key("other")
    environ = {"COSIGN_PASSWORD": password}
    made = {
        name: push_image(docker_registry, f"gate-peers/{name}")
        for name in ("three", "two", "foreign", "disapproved", "unsigned")
    }
    for name, cosign, flags, signer, approved in (
        ("three", cosign3, OFFLINE3, key, True), ("two", cosign2, OFFLINE2, key, True), ("foreign", cosign3, OFFLINE3, other, True),
        ("disapproved", cosign3, OFFLINE3, key, False),
    ):  # fmt: skip
        predicate = folder / f"{name}.json"
        predicate.write_text(json.dumps({"approved": approved}))
        cosign("sign", "--key", signer.private, *flags, made[name].reference, env=environ, check=True)
        attest = ("attest", "--key", signer.private, "--type", REVIEW, "--predicate", predicate)
        cosign(*attest, *flags, made[name].reference, env=environ, check=True)
    return made


@pytest.mark.parametrize(
    ("dialect", "codes"),
    [
        (kyverno, {"three": 0, "two": 0, "foreign": 16, "disapproved": 16, "unsigned": 16}),
        (policy_controller, {"three": 0, "two": 0, "foreign": 16, "disapproved": 16, "unsigned": 16}),
        (
            containers,
            {"three": 16, "two": 0, "foreign": 16, "unsigned": 16},
        ),  # a bundle does not say what it calls the image
        (sealgate, {"three": 0, "two": 0, "foreign": 16, "disapproved": 16, "unsigned": 16}),
    ],
    ids=["kyverno", "policy-controller", "containers", "sealgate"],
)
def test_what_cosign_made_under_policies_of_each_dialect(cli, images, docker_registry, key, tmp_path, dialect, codes):
    pem = Path(key.public).read_text()
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump_all(dialect(docker_registry, pem)))
    for name, code in codes.items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x"},
            "spec": {"containers": [{"name": "c", "image": images[name].tagged}]},
        }
        said = cli("gate", "-p", tmp_path / "policy.yaml", "-", input=yaml.safe_dump(pod))
        assert said.code == code, (name, said.out, said.err)
        if code == 0:
            assert images[name].digest in said.out
