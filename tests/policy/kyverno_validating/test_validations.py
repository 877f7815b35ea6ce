"""What validations ask, and what they get."""

import pytest
import yaml

from policy.kyverno_validating.scene import SIGNED, TEAM, codes, decide, ivp
from policy.scene import load, pem

SLSA = "https://slsa.dev/provenance/v1"
SAMPLE = """
apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata: {name: ivp}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}]}
  matchImageReferences: [{glob: "registry.example.com/*"}]
  attestors: [{name: k, cosign: {key: {data: PEM}, ctlog: {insecureIgnoreTlog: true}}}]
  validations: [{expression: "images.containers.map(i, verifyImageSignatures(i, [attestors.k])).all(e, e > 0)", message: "not signed"}]
"""


def test_the_sample(registry, good):
    document = yaml.safe_load(SAMPLE)
    document["spec"]["attestors"][0]["cosign"]["key"]["data"] = pem(good)
    policies = load(document)
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["accepted"]
    found = decide(policies, registry, f"{TEAM}/unsigned:1.0")
    assert found.outcome == "deny"
    assert found.images[0].rulings[0].code == "no-signature"
    assert found.images[0].rulings[0].message.startswith("not signed: ")


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_every_version(registry, good, version):
    policies = load(ivp(SIGNED, keys={"k": good}, version=version))
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["accepted"]
    assert codes(policies, registry, f"{TEAM}/foreign:1.0") == ["signature-key-mismatch"]


def test_one_image_that_fails_fails_the_workload(registry, good):
    policies = load(ivp(SIGNED, keys={"k": good}))
    found = codes(policies, registry, f"{TEAM}/signed:1.0", f"{TEAM}/unsigned:1.0")
    assert found == ["policy-not-met", "no-signature"]
    assert codes(policies, registry, f"{TEAM}/signed:1.0", f"{TEAM}/both:1.0") == ["accepted", "accepted"]


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "Job", "StatefulSet"])
def test_autogen_reads_the_pod_that_the_object_makes(registry, good, kind):
    policies = load(ivp(SIGNED, "object.spec.containers.size() == 1", keys={"k": good}))
    assert codes(policies, registry, f"{TEAM}/signed:1.0", kind=kind) == ["accepted"]
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", kind=kind) == ["no-signature"]


def test_autogen_only_for_the_controllers_that_are_named(registry, good):
    autogen = {"podControllers": {"controllers": ["deployments"]}}
    policies = load(ivp(SIGNED, keys={"k": good}, autogen=autogen))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", kind="Deployment") == ["no-signature"]
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", kind="Job") == ["image-unmatched"]


def test_P04_two_policies_each_hold_for_cronjobs(registry, good, other):
    policies = load(ivp(SIGNED, keys={"k": good}, name="a"), ivp(SIGNED, keys={"k": other}, name="b"))
    assert codes(policies, registry, f"{TEAM}/both:1.0", kind="CronJob") == ["accepted", "accepted"]
    assert sorted(codes(policies, registry, f"{TEAM}/signed:1.0", kind="CronJob")) == [
        "accepted",
        "signature-key-mismatch",
    ]


@pytest.mark.parametrize("expression", ["true", "images.containers.map(i, 1).all(e, e > 0)", "size([]) == 0"])
def test_P02_an_expression_alone_proves_nothing(registry, good, expression):
    policies = load(ivp(expression, keys={"k": good}))
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["not-verified"]
    assert codes(load(ivp(expression, SIGNED, keys={"k": good})), registry, f"{TEAM}/signed:1.0") == ["accepted"]


def test_P02_a_count_that_is_not_asked_for_is_no_proof(registry, good):
    weak = "images.containers.all(i, verifyImageSignatures(i, [attestors.k]) >= 0)"
    policies = load(ivp(weak, keys={"k": good}))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["no-signature"]
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["accepted"]


def test_P01_all_over_an_empty_list_is_no_pass(registry, good):
    """The expression looks at containers alone: an image elsewhere was verified by nobody."""
    policies = load(ivp(SIGNED, keys={"k": good}))
    for place in ("initContainers", "ephemeralContainers"):
        spec = {"containers": [], place: [{"name": "i", "image": f"{TEAM}/signed:1.0"}]}
        assert codes(policies, registry, spec=spec) == ["not-verified"]
        better = ivp(SIGNED, SIGNED.replace("containers", place), keys={"k": good})
        assert codes(load(better), registry, spec=spec) == ["accepted"]


def test_K02_image_volumes_are_images(registry, good):
    spec = {"containers": [], "volumes": [{"name": "v", "image": {"reference": f"{TEAM}/signed:1.0"}}]}
    assert codes(load(ivp(SIGNED, keys={"k": good})), registry, spec=spec) == ["not-verified"]
    policies = load(ivp(SIGNED.replace("containers", "volumes"), keys={"k": good}))
    assert codes(policies, registry, spec=spec) == ["accepted"]


def test_P01_images_that_do_not_match_are_reported(registry, good):
    policies = load(ivp(SIGNED, keys={"k": good}, matchImageReferences=[{"glob": f"{TEAM}/unsigned*"}]))
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["image-unmatched"]
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["no-signature"]


def test_required_false_leaves_it_to_the_expressions(registry, good):
    policies = load(ivp("true", keys={"k": good}, validationConfigurations={"required": False}))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["accepted"]
    assert "static-pass" in {note.code for note in policies.notes}


def test_counts_are_of_distinct_signers(registry, good, other):
    two = "images.containers.all(i, verifyImageSignatures(i, [attestors.a, attestors.b]) == 2)"
    assert codes(load(ivp(two, keys={"a": good, "b": other})), registry, f"{TEAM}/both:1.0") == ["accepted"]
    same = {"a": good, "b": good}
    assert codes(load(ivp(two, keys=same)), registry, f"{TEAM}/both:1.0") == ["policy-not-met"]


def test_one_of_several_attestors(registry, good, other):
    one = "images.containers.all(i, verifyImageSignatures(i, [attestors.a, attestors.b]) > 0)"
    policies = load(ivp(one, keys={"a": good, "b": other}))
    assert codes(policies, registry, f"{TEAM}/other:1.0") == ["accepted"]
    assert codes(policies, registry, f"{TEAM}/foreign:1.0") == ["signature-key-mismatch"]


def test_messages_of_validations(registry, good):
    said = {"expression": SIGNED, "message": "m", "messageExpression": "'in ' + object.metadata.name"}
    found = decide(load(ivp(said, keys={"k": good})), registry, f"{TEAM}/unsigned:1.0")
    assert found.images[0].rulings[0].message.startswith("in web: ")
    broken = said | {"messageExpression": "object.nothing"}
    found = decide(load(ivp(broken, keys={"k": good})), registry, f"{TEAM}/unsigned:1.0")
    assert found.images[0].rulings[0].message.startswith("m: ")


@pytest.mark.parametrize(
    ("actions", "outcome"),
    [(["Deny"], "deny"), ([], "deny"), (["Deny", "Audit"], "deny"), (["Warn"], "warn"), (["Audit"], "admit")],
)
def test_validation_actions(registry, good, actions, outcome):
    policies = load(ivp(SIGNED, keys={"k": good}, validationActions=actions))
    assert decide(policies, registry, f"{TEAM}/unsigned:1.0").outcome == outcome
    assert decide(policies, registry, f"{TEAM}/signed:1.0").outcome == "admit"


def test_variables_and_audit_annotations(registry, good):
    policy = ivp(
        "variables.counts.all(e, e > 0)", keys={"k": good},
        variables=[
            {"name": "all", "expression": "images.containers"},
            {"name": "counts", "expression": "variables.all.map(i, verifyImageSignatures(i, [attestors.k]))"},
        ],
        auditAnnotations=[{"key": "n", "valueExpression": "string(variables.counts.size())"}, {"key": "z", "valueExpression": "null"}],
    )  # fmt: skip
    policies = load(policy)
    [ruling] = decide(policies, registry, f"{TEAM}/signed:1.0").images[0].rulings
    assert (ruling.code, ruling.annotations) == ("accepted", (("n", "1"),))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["no-signature"]


def attested(*more, keys, **spec):
    """An attestation must be there, and say something."""
    verified = "images.containers.all(i, verifyAttestationSignatures(i, attestations.slsa, [attestors.k]) > 0)"
    attestations = [{"name": "slsa", "intoto": {"type": SLSA}}]
    return load(ivp(*(more or (verified,)), keys=keys, attestations=attestations, **spec))


def test_attestations(registry, good, stranger):
    registry.push(f"{TEAM}/attested")
    registry.attest(f"{TEAM}/attested", good, SLSA, {"builder": "b", "n": 1})
    registry.push(f"{TEAM}/attested-foreign")
    registry.attest(f"{TEAM}/attested-foreign", stranger, SLSA, {"builder": "b"})
    policies = attested(keys={"k": good})
    assert codes(policies, registry, f"{TEAM}/attested:1.0") == ["accepted"]
    assert codes(policies, registry, f"{TEAM}/attested-foreign:1.0") == ["signature-key-mismatch"]
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["no-attestation"]


def test_weakness_14_an_attestation_is_no_signature(registry, good):
    registry.push(f"{TEAM}/only-attested")
    registry.attest(f"{TEAM}/only-attested", good, SLSA, {"builder": "b"})
    assert codes(load(ivp(SIGNED, keys={"k": good})), registry, f"{TEAM}/only-attested:1.0") == ["no-signature"]
    assert codes(attested(keys={"k": good}), registry, f"{TEAM}/only-attested:1.0") == ["accepted"]


SAYS = "images.containers.all(i, verifyAttestationSignatures(i, attestations.slsa, [attestors.k]) > 0 && extractPayload(i, attestations.slsa).builder == 'b')"


def test_weakness_12_only_what_was_verified_is_extracted(registry, good, stranger):
    registry.push(f"{TEAM}/payload")
    registry.attest(f"{TEAM}/payload", stranger, SLSA, {"builder": "b"})
    bare = "images.containers.all(i, extractPayload(i, attestations.slsa).builder == 'b')"
    assert codes(attested(bare, keys={"k": good}), registry, f"{TEAM}/payload:1.0") == ["condition-error"]
    registry.attest(f"{TEAM}/payload", good, SLSA, {"builder": "b"})
    assert codes(attested(SAYS, keys={"k": good}), registry, f"{TEAM}/payload:1.0") == ["accepted"]
    member = SAYS.replace(").builder", ").predicate.builder")
    assert codes(attested(member, keys={"k": good}), registry, f"{TEAM}/payload:1.0") == ["accepted"]
    assert codes(attested(bare, keys={"k": good}), registry, f"{TEAM}/payload:1.0") == ["not-verified"]


def test_every_attestation_that_was_verified_must_hold(registry, good):
    registry.push(f"{TEAM}/two")
    registry.attest(f"{TEAM}/two", good, SLSA, {"builder": "b"})
    assert codes(attested(SAYS, keys={"k": good}), registry, f"{TEAM}/two:1.0") == ["accepted"]
    registry.attest(f"{TEAM}/two", good, SLSA, {"builder": "c"})
    assert codes(attested(SAYS, keys={"k": good}), registry, f"{TEAM}/two:1.0") == ["policy-not-met"]


def test_image_data(registry, good):
    asks = SIGNED + " && images.containers.all(i, getImageData(i).config.architecture == '{}')"
    assert codes(load(ivp(asks.format("amd64"), keys={"k": good})), registry, f"{TEAM}/signed:1.0") == ["accepted"]
    assert codes(load(ivp(asks.format("arm"), keys={"k": good})), registry, f"{TEAM}/signed:1.0") == ["policy-not-met"]


def test_could_not_ask_is_unknown(registry, good):
    policies = load(ivp(SIGNED, keys={"k": good}))
    registry.down = True
    try:
        found = decide(policies, registry, f"{TEAM}/signed:1.0")
    finally:
        registry.down = False
    assert (found.outcome, found.exit_code) == ("deny", 14)
    assert decide(policies, registry, f"{TEAM}/signed:1.0").exit_code == 0


def test_an_image_that_does_not_exist(registry, good):
    policies = load(ivp(SIGNED, keys={"k": good}))
    assert codes(policies, registry, f"{TEAM}/missing:1.0", f"{TEAM}/signed:1.0") == [
        "image-not-found",
        "policy-not-met",
    ]
    assert codes(policies, registry, f"{TEAM}/both:1.0", f"{TEAM}/signed:1.0") == ["accepted", "accepted"]
    assert decide(policies, registry, f"{TEAM}/missing:1.0", f"{TEAM}/signed:1.0").outcome == "deny"
