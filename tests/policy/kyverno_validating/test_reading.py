"""What loads, and what does not: each error with its place, and a twin that loads."""

import copy

import pytest

from policy.kyverno_validating.scene import PODS, SIGNED, TEAM, codes, decide, ivp
from policy.scene import References, load, pem
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.keys.private import PrivateKey
from sealgate.policy import model

KEY = PrivateKey.generate()


def changed(change, keys=None):
    document = ivp(SIGNED, keys=keys or {"k": KEY})
    change(document["spec"])
    return document


def cosign(**more):
    return lambda spec: spec["attestors"][0]["cosign"].update(more)


def key(**more):
    return lambda spec: spec["attestors"][0]["cosign"].update(key={"data": pem(KEY)} | more)


BROKEN = {
    "no constraints": (lambda s: s.pop("matchConstraints"), "matchConstraints is missing"),
    "P14 empty rules": (lambda s: s.update(matchConstraints={"resourceRules": []}), "about nothing"),
    "P14 empty resources": (lambda s: s.update(matchConstraints={"resourceRules": [PODS | {"resources": []}]}), "about nothing"),
    "P14 empty conditions": (lambda s: s.update(matchConditions=[]), "is empty"),
    "no validations": (lambda s: s.update(validations=[]), "would demand nothing"),
    "no attestors": (lambda s: s.update(attestors=[]), "spec.attestors must be there"),
    "same attestor": (lambda s: s["attestors"].append(copy.deepcopy(s["attestors"][0])), "name of its own"),
    "unknown field": (lambda s: s.update(validation=[]), "did you mean validations?"),
    "two kinds": (cosign(keyless={"identities": []}), "one of key, keyless or certificate"),
    "misplaced": (cosign(insecureIgnoreTlog=True), "it belongs under ctlog"),
    "misplaced digest": (lambda s: s.update(mutateDigest=False), "it belongs under validationConfigurations"),
    "misplaced selector": (lambda s: s.update(namespaceSelector={}), "it belongs under matchConstraints"),
    "no key": (lambda s: s["attestors"][0]["cosign"].update(key={}), "data or expression"),
    "bad key": (lambda s: s["attestors"][0]["cosign"].update(key={"data": "x"}), "key.data"),
    "glob and expression": (lambda s: s.update(matchImageReferences=[{"glob": "a", "expression": "true"}]), "one of them"),
    "brace": (lambda s: s.update(matchImageReferences=[{"glob": "a{b"}]), "brace"),
    "range": (lambda s: s.update(matchImageReferences=[{"glob": "[z-a]"}]), "range"),
    "actions": (lambda s: s.update(validationActions=["Deny", "Warn"]), "one of them"),
    "not CEL": (lambda s: s.update(validations=[{"expression": "1 +"}]), "spec.validations[0].expression: is not CEL"),
    "no truth": (lambda s: s.update(validations=[{"expression": "1"}]), "gives INT, not true or false"),
    "unknown name": (lambda s: s.update(validations=[{"expression": "nothing == 1"}]), "undeclared reference to 'nothing'"),
    "message": (lambda s: s["validations"][0].update(messageExpression="'"), "spec.validations[0].messageExpression"),
    "annotation": (lambda s: s.update(auditAnnotations=[{"key": "a", "valueExpression": "("}]), "auditAnnotations[0].valueExpression"),
    "extractor": (lambda s: s.update(images=[{"name": "containers", "expression": "[]"}]), "is taken"),
    "object decides the key": (lambda s: s["attestors"][0]["cosign"].update(key={"expression": "object.metadata.name"}), "key.expression"),
    "no text": (lambda s: s["attestors"][0]["cosign"].update(key={"expression": "1"}), "not a string"),
    "deep": (lambda s: s.update(validations=[{"expression": "(" * 3000 + "true" + ")" * 3000}]), "recursion limit"),
    "long": (lambda s: s.update(validations=[{"expression": "true || " * 4000 + "true"}]), "longer than"),
    "attestation": (lambda s: s.update(attestations=[{"name": "a"}]), "intoto is missing"),
    "timeout": (lambda s: s.update(webhookConfiguration={"timeoutSeconds": 31}), "from 1 to 30"),
    "autogen": (lambda s: s.update(autogen={"podControllers": {"controllers": ["pods"]}}), "names 'pods'"),
}  # fmt: skip
UNSUPPORTED = {
    "kms": (key(kms="awskms:///x"), "key.kms"),
    "sha224": (key(hashAlgorithm="sha224"), "hashAlgorithm"),
    "tuf": (cosign(tuf={"mirror": "https://x.example"}), "cosign.tuf"),
    "notary": (lambda s: s.update(attestors=[{"name": "n", "notary": {"certs": {"value": "x"}}}]), "notary"),
    "referrer": (lambda s: s.update(attestations=[{"name": "a", "referrer": {"type": "x/y"}}]), "referrer"),
    "mode": (lambda s: s.update(evaluation={"mode": "Envoy"}), "evaluation.mode"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_load(case):
    assert load(changed(lambda _: None)).rules
    with pytest.raises(PolicyInvalidError) as raised:
        load(changed(BROKEN[case][0]))
    assert raised.value.code == "policy-invalid"
    assert BROKEN[case][1] in f"{raised.value.message} {raised.value.hint}"
    assert raised.value.message.startswith("0.yaml: ImageValidatingPolicy/ivp: spec") or case == "glob"


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_evaluated(case):
    with pytest.raises(PolicyUnsupportedError) as raised:
        load(changed(UNSUPPORTED[case][0]))
    assert (raised.value.code, UNSUPPORTED[case][1] in raised.value.message) == ("policy-unsupported", True)


@pytest.mark.parametrize(
    "call",
    ['http.Get("https://x").a == 1', 'resource.Get("v1", "pods", "a", "b").x == 1', 'globalContext.Get("a", "") == 1', 'authorizer.group("").check("get").allowed()', "random() == 'a'"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["validations", "variables", "matchConditions"])
def test_functions_that_reach_elsewhere_are_an_error_with_their_place(call, place):
    entry = {"expression": call} | ({} if place == "validations" else {"name": "n"})
    with pytest.raises(PolicyUnsupportedError) as raised:
        load(changed(lambda s: s.update({place: [entry]})))
    assert f"spec.{place}[0].expression" in raised.value.message


def test_every_field_at_once(registry):
    policies = load(
        changed(
            lambda s: s.update(
                matchConstraints={
                    "resourceRules": [PODS | {"scope": "*", "resourceNames": []}], "matchPolicy": "Equivalent",
                    "namespaceSelector": {}, "objectSelector": {},
                },
                matchConditions=[{"name": "c", "expression": "object.metadata.name == 'web'"}], failurePolicy="Fail",
                validationActions=["Deny"], evaluation={"mode": "Kubernetes", "admission": {"enabled": True}, "background": {"enabled": False}},
                validationConfigurations={"mutateDigest": False, "verifyDigest": True, "required": True},
                credentials={"allowInsecureRegistry": False, "providers": ["google"], "secrets": ["pull"]},
                autogen={"podControllers": {"controllers": ["jobs"]}}, webhookConfiguration={"timeoutSeconds": 5},
                images=[{"name": "more", "expression": "['registry.example.com/x:1']"}], variables=[{"name": "v", "expression": "1"}],
                attestations=[{"name": "a", "intoto": {"type": "https://x.example/p"}}],
                auditAnnotations=[{"key": "k", "valueExpression": "'x'"}],
            )
        ),
        references=References({("kyverno", "pull"): {".dockerconfigjson": b'{"auths": {}}'}}),
    )  # fmt: skip
    [rule] = policies.rules
    assert rule.digests == model.Digests(mutate=False, verify=True, required=True)
    assert (rule.credentials.secrets, rule.credentials.providers) == ((("kyverno", "pull"),), ("google",))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["no-signature"]


def test_P03_digests_are_asked_for_by_default():
    [rule] = load(ivp(SIGNED, keys={"k": KEY})).rules
    assert rule.digests == model.Digests(mutate=True, verify=True, required=True)


def test_keys_by_expression(registry, good):
    document = ivp(SIGNED, keys={"k": {"key": {"expression": "variables.pem"}}})
    document["spec"]["variables"] = [{"name": "pem", "expression": repr(pem(good))}]
    assert codes(load(document), registry, f"{TEAM}/signed:1.0") == ["accepted"]
    assert codes(load(document), registry, f"{TEAM}/foreign:1.0") == ["signature-key-mismatch"]


def test_annotations_and_hashes_of_an_attestor(registry, good):
    registry.push(f"{TEAM}/annotated")
    registry.sign(f"{TEAM}/annotated", good, annotations={"env": "prod"})
    for env, code in (("prod", "accepted"), ("dev", "annotation-mismatch")):
        policies = load(ivp(SIGNED, keys={"k": {"key": {"data": pem(good)}, "annotations": {"env": env}}}))
        assert codes(policies, registry, f"{TEAM}/annotated:1.0") == [code]
    for name, code in (("sha256", "accepted"), ("sha512", "signature-hash-mismatch")):
        found = codes(load(changed(key(data=pem(good), hashAlgorithm=name))), registry, f"{TEAM}/signed:1.0")
        assert found == [code]


def test_namespaced_policies(registry, good):
    document = ivp(SIGNED, keys={"k": good})
    document["kind"] = "NamespacedImageValidatingPolicy"
    with pytest.raises(PolicyInvalidError, match="namespace is missing"):
        load(document)
    document["metadata"]["namespace"] = "team"
    policies = load(document)
    assert policies.rules[0].policy == "team/ivp"
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", namespace="team") == ["no-signature"]
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", namespace="other") == ["image-unmatched"]


def keyless(**identity):
    return {"k": {"keyless": {"identities": [identity]}}}


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"issuer": "https://i.example"}, "nobody is named"), ({"subject": "a@b.example"}, "no issuer is named"),
        ({"issuer": "https://i.example", "subject": "a*"}, "wildcard"),
        ({"issuer": "https://i.example", "subject": "a", "subjectRegExp": "a"}, "one of them"),
        ({"issuer": "https://i.example", "subject": "a@b.example"}, "no certificate authority is believed in"),
        ({"issuer": "https://i.example", "subjectExpression": "object.metadata.name"}, "subjectExpression"),
    ],
)  # fmt: skip
def test_C18_identities_that_name_nobody(identity, message):
    with pytest.raises(PolicyInvalidError, match=message):
        load(ivp(SIGNED, keys=keyless(**identity)))


def test_docker_hub_and_globs_mean_what_they_say(registry, good):
    """Weakness 5: patterns are tried on what a name means; R01: and on every digest."""

    def matched(glob, image):
        policies = load(ivp(SIGNED, keys={"k": good}, matchImageReferences=[{"glob": glob}]))
        return codes(policies, registry, image) != ["image-unmatched"]

    digest = "sha256:" + "a" * 64
    assert matched("docker.io/*", f"nginx@{digest}")
    assert matched("registry.example.com/{a,team}/*", f"{TEAM}/signed:1.0")
    assert not matched("registry.example.com/{a,b}/*", f"{TEAM}/signed:1.0")
    assert matched("registry.example.com/te[a-c]m/*", f"{TEAM}/signed:1.0")
    assert not matched("registry.example.com/te[!a-c]m/*", f"{TEAM}/signed:1.0")
    assert matched(f"{TEAM}/app:*", f"{TEAM}/app@{digest}")


def test_references_by_expression(registry, good):
    policies = load(
        ivp(SIGNED, keys={"k": good}, matchImageReferences=[{"expression": "ref.startsWith('docker.io/')"}])
    )
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["image-unmatched"]
    assert codes(policies, registry, "nginx:1") == ["image-not-found"]
    both = [{"expression": "ref.startsWith('docker.io/')"}, {"glob": f"{TEAM}/*"}]
    policies = load(ivp(SIGNED, keys={"k": good}, matchImageReferences=both))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == ["no-signature"]


def test_match_conditions(registry, good):
    def said(expression):
        policies = load(ivp(SIGNED, keys={"k": good}, matchConditions=[{"name": "c", "expression": expression}]))
        return codes(policies, registry, f"{TEAM}/unsigned:1.0")

    assert said("object.metadata.name == 'web'") == ["no-signature"]
    assert said("object.metadata.name == 'other'") == ["image-unmatched"]
    assert said("object.metadata.nothing") == ["policy-undecided"]
    assert said("request.userInfo.username == 'x'") == ["policy-undecided"]
    assert said("dyn('text')") == ["policy-undecided"]


def test_P09_labels_of_a_namespace_that_are_not_known(registry, good):
    constraints = {"resourceRules": [PODS], "namespaceSelector": {"matchLabels": {"a": "b"}}}
    policies = load(ivp(SIGNED, keys={"k": good}, matchConstraints=constraints))
    for labels, code in ((None, "policy-undecided"), ({"a": "b"}, "no-signature"), ({}, "image-unmatched")):
        assert codes(policies, registry, f"{TEAM}/unsigned:1.0", namespace_labels=labels) == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "no-signature"),
        ({"operations": ["DELETE"]}, "image-unmatched"),
        ({"resources": ["services"]}, "image-unmatched"),
        ({"resources": ["*"]}, "no-signature"),
        ({"resources": ["pods/*"]}, "no-signature"),
        ({"apiGroups": ["apps"]}, "image-unmatched"),
        ({"scope": "Cluster"}, "image-unmatched"),
    ],
)
def test_resource_rules(registry, good, change, code):
    policies = load(ivp(SIGNED, keys={"k": good}, matchConstraints={"resourceRules": [PODS | change]}))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == [code]


def test_K01_ephemeral_containers_are_pods(registry, good):
    spec = {"containers": [], "ephemeralContainers": [{"name": "e", "image": f"{TEAM}/unsigned:1.0"}]}
    policies = load(ivp(SIGNED.replace("containers", "ephemeralContainers"), keys={"k": good}))
    more = {"subresource": "ephemeralcontainers", "operation": "UPDATE", "spec": spec}
    assert codes(policies, registry, **more) == ["no-signature"]


def exception(**spec):
    refs = [{"name": "ivp", "kind": "ImageValidatingPolicy"}]
    return {"apiVersion": "policies.kyverno.io/v1", "kind": "PolicyException", "metadata": {"name": "x", "annotations": {"sealgate.dev/expires": "2030-01-01T00:00:00Z"}}, "spec": {"policyRefs": refs} | spec}  # fmt: skip


def test_weakness_13_an_exception_is_for_its_images_alone(registry, good):
    policies = load(ivp(SIGNED, keys={"k": good}), exception(images=[f"{TEAM}/unsigned:*"]))
    images = (f"{TEAM}/unsigned:1.0", f"{TEAM}/foreign:1.0")
    assert codes(policies, registry, *images) == ["image-exempted", "signature-key-mismatch"]
    assert codes(policies, registry, images[0], f"{TEAM}/signed:1.0") == ["image-exempted", "accepted"]
    assert codes(policies, registry, images[0], now=1_900_000_000.0) == ["no-signature"]


@pytest.mark.parametrize(
    ("expression", "code"),
    [("object.metadata.name == 'web'", "image-exempted"), ("object.metadata.name == 'x'", "no-signature"), ("object.nothing", "no-signature"), ("1 / 0 == 1", "no-signature")],
)  # fmt: skip
def test_P08_an_exception_without_an_answer_is_none(registry, good, expression, code):
    conditions = [{"name": "c", "expression": expression}]
    policies = load(ivp(SIGNED, keys={"k": good}), exception(matchConditions=conditions))
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0") == [code]


@pytest.mark.parametrize(
    ("namespace", "of", "code"),
    [("kyverno", "team-b", "image-exempted"), ("team-a", "team-a", "image-exempted"), ("team-a", "team-b", "no-signature"), ("team-a", "kyverno", "no-signature"), (None, "team-b", "image-exempted")],
)  # fmt: skip
def test_P08_an_exception_from_image_policies_is_for_its_own_namespace(registry, good, namespace, of, code):
    found = exception(images=[f"{TEAM}/unsigned:*"])
    if namespace is not None:
        found["metadata"]["namespace"] = namespace
    policies = load(ivp(SIGNED, keys={"k": good}), found)
    assert codes(policies, registry, f"{TEAM}/unsigned:1.0", namespace=of) == [code]


def test_exceptions_that_do_not_load(good):
    assert load(exception()).exemptions
    for change in ({"policyRefs": [{"name": "x", "kind": "ValidatingPolicy"}]}, {"allowedValues": ["a"]}):
        with pytest.raises(PolicyUnsupportedError):
            load(exception(**change))
    for change in ({"images": []}, {"policyRefs": [{"name": "*", "kind": "ImageValidatingPolicy"}]}, {"image": "x"}):
        with pytest.raises(PolicyInvalidError):
            load(exception(**change))


def test_images_of_other_kinds(registry, good):
    from policy.scene import workload
    from sealgate.policy.kyverno import extractors

    rules = {"apiGroups": ["x.example"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["tasks"]}
    policies = load(
        ivp(SIGNED.replace("containers", "task"), keys={"k": good}, matchConstraints={"resourceRules": [rules]},
            images=[{"name": "task", "expression": "object.spec.steps.map(s, s.uses)"}])
    )  # fmt: skip
    for name, code in (("signed", "accepted"), ("unsigned", "no-signature")):
        document = {"metadata": {}, "spec": {"steps": [{"uses": f"{TEAM}/{name}:1.0"}]}}
        found = workload("Task", gvr=("x.example", "v1", "tasks"), document=document)
        placed = extractors.images(policies, found)
        assert [each.where for each in placed] == ["images.task[0]"]
        assert [r.code for i in decide(policies, registry, found=found, placed=placed).images for r in i.rulings] == [
            code
        ]


@pytest.mark.parametrize(("of", "places"), [("team-a", ["images.more[0]"]), ("team-b", [])])
def test_P23_a_policy_of_a_namespace_finds_no_images_in_another(good, of, places):
    from policy.scene import workload
    from sealgate.policy.kyverno import extractors

    found = ivp(SIGNED, keys={"k": good}, images=[{"name": "more", "expression": "['registry.example.com/team/x:1']"}])
    found |= {"kind": "NamespacedImageValidatingPolicy", "metadata": {"name": "ivp", "namespace": "team-a"}}
    placed = extractors.images(load(found), workload(images=(f"{TEAM}/signed:1.0",), namespace=of))
    assert [each.where for each in placed] == places


def test_the_deny_list_is_above_image_policies(registry, good):
    from sealgate.digest import Digest
    from sealgate.policy.attestors import Settings
    from sealgate.verification.deny import DenyList

    policy, image = ivp(SIGNED, keys={"k": good}), f"{TEAM}/signed:1.0"
    digest = decide(load(policy), registry, image).images[0].digest
    assert isinstance(digest, Digest)
    policies = load(policy, settings=Settings(deny=DenyList(digests=((digest, "recalled"),))))
    assert codes(policies, registry, image) == ["denied-digest"]
    assert codes(policies, registry, image, f"{TEAM}/both:1.0") == ["denied-digest", "policy-not-met"]
    assert codes(policies, registry, f"{TEAM}/both:1.0") == ["accepted"]


def test_an_image_at_a_mirror_is_judged_as_that_of_its_origin(registry, good):
    from sealgate.policy.mirrors import Mirror

    policies = load(ivp(SIGNED, keys={"k": good}))
    mirrored = policies._replace(mirrors=(Mirror("mirror.example.com/team", TEAM),))
    store = registry._stores
    for name, code in (("signed", "accepted"), ("unsigned", "no-signature"), ("foreign", "signature-key-mismatch")):
        store[f"mirror.example.com/team/{name}"] = store[f"{TEAM}/{name}"]
        assert codes(policies, registry, f"mirror.example.com/team/{name}:1.0") == ["image-unmatched"]
        assert codes(mirrored, registry, f"mirror.example.com/team/{name}:1.0") == [code]
