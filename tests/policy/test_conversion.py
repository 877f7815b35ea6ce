"""Policies from one grammar to another: the converted ones decide as their originals do, or are not written."""

import itertools

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.scene import Registry, codes, decide, load, one, pem, workload
from policy.sigstore.scene import cip, keyed
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy.conversion import grammars
from sealgate.policy.index import Index
from sealgate.policy.reading import Source

HOST = "registry.example.com"
KINDS = [{"resources": {"kinds": ["Pod"]}}]


@pytest.fixture(scope="session")
def keys():
    """By name, and as often as the tests need them."""
    return {name: PrivateKey.generate() for name in ("a", "b", "c")}


@pytest.fixture(scope="session")
def registry(tmp_path_factory, keys):
    """Images by who signed them: `a`, `ab`, …, and `plain`."""
    made = Registry(tmp_path_factory.mktemp("registry"))
    for size in range(4):
        for names in itertools.combinations(keys, size):
            image = f"{HOST}/team/{''.join(names) or 'plain'}"
            made.push(image)
            if names:
                made.sign(image, *(keys[name] for name in names))
    for image in (f"{HOST}/other/plain", f"{HOST}/team", "elsewhere.example.com/team/plain"):
        made.push(image)
    made.push(f"{HOST}/other/a")
    made.sign(f"{HOST}/other/a", keys["a"])
    return made


SIGNED = ["plain", "a", "b", "c", "ab", "ac", "bc", "abc"]
IMAGES = [f"{HOST}/team/{name}:1.0" for name in SIGNED] + [
    f"{HOST}/other/plain:1.0", f"{HOST}/other/a:1.0", f"{HOST}/team:1.0", "elsewhere.example.com/team/plain:1.0",
]  # fmt: skip


def convert(*documents, to="sealgate"):
    sources = [Source(f"{at}.yaml", each) for at, each in enumerate(documents)]
    return grammars.convert(sources, to)


def outcomes(documents, registry, *, no_match="deny", kinds=("Pod", "Deployment"), namespaces=("default",), **more):
    """What becomes of every image, in every kind of workload, in every namespace."""
    policies = load(*documents, no_match=no_match, **more)
    return [
        (decide(policies, registry, image, kind=kind, namespace=namespace).outcome, image, kind, namespace)
        for image in IMAGES
        for kind in kinds
        for namespace in namespaces
    ]


def same(registry, original, *targets, **more):
    """That the original and what it is converted to, step by step, decide alike; and what came out at the end."""
    before = outcomes(original, registry, **more)
    assert len({outcome for outcome, *_ in before}) > 1, "the table tells nothing apart"
    documents = original
    for to in targets:
        documents = yaml.safe_load_all(yaml.safe_dump_all(convert(*documents, to=to).documents))
        documents = list(documents)
        assert outcomes(documents, registry, **more) == before, to
    return documents


def kyverno(*sets, kind="ClusterPolicy", namespace=None, annotations=None, spec=None, **block):
    blocks = {"imageReferences": [f"{HOST}/team/*"], "attestors": list(sets)} | block
    metadata = {"name": "check"} | ({"namespace": namespace} if namespace else {})
    if annotations:
        metadata["annotations"] = annotations
    rule = {"name": "signed", "match": {"any": KINDS}, "verifyImages": [blocks]}
    rules = {"validationFailureAction": "Enforce", "rules": [rule]} | (spec or {})
    return {"apiVersion": "kyverno.io/v1", "kind": kind, "metadata": metadata, "spec": rules}


def entries(*keys, **more):
    return {"entries": [{"keys": {"publicKeys": pem(key)}} for key in keys]} | more


def own(require, *, images=(f"{HOST}/team/**",), kind="ClusterImagePolicy", namespace=None, **spec):
    metadata = {"name": "own"} | ({"namespace": namespace} if namespace else {})
    fields = {"images": list(images), "require": require} | spec
    return {"apiVersion": grammars.VERSION, "kind": kind, "metadata": metadata, "spec": fields}


def signature(key, **more):
    return {"signature": {"key": pem(key)} | more}


# -- round trips

BACK = ("sealgate", "kyverno", "sealgate")


def test_kyverno_a_key(registry, keys):
    found = same(registry, [kyverno(entries(keys["a"]))], *BACK)
    assert [each["kind"] for each in found] == ["ClusterImagePolicy"]


@pytest.mark.parametrize("count", [None, 1, 2, 3])
def test_kyverno_counts(registry, keys, count):
    wanted = entries(keys["a"], keys["b"], keys["c"]) | ({} if count is None else {"count": count})
    same(registry, [kyverno(wanted)], *BACK)


def test_kyverno_several_sets(registry, keys):
    sets = entries(keys["a"], keys["b"], count=1), entries(keys["c"])
    same(registry, [kyverno(*sets)], *BACK)


@pytest.mark.parametrize(
    ("block", "spec"),
    [
        ({"failureAction": "Audit", "mutateDigest": False}, {}),
        ({}, {"validationFailureAction": "Audit"}),
        ({}, {"validationFailureAction": "audit", "emitWarning": True}),
        ({"failureAction": "Audit", "mutateDigest": False}, {"emitWarning": True}),
        ({"failureAction": "Enforce"}, {"validationFailureAction": "Audit", "emitWarning": True}),
        ({}, {"admission": False}),
    ],
)
def test_P06_kyverno_actions(registry, keys, block, spec):
    same(registry, [kyverno(entries(keys["a"]), spec=spec, **block)], *BACK)


def test_kyverno_no_action_is_audit(registry, keys):
    policy = kyverno(entries(keys["a"]))
    del policy["spec"]["validationFailureAction"]
    [found] = convert(policy).documents
    assert found["spec"]["action"] == "audit"
    assert found["spec"]["digests"] == {"mutate": False}
    same(registry, [policy], *BACK)


def test_kyverno_of_a_namespace(registry, keys):
    policy = kyverno(entries(keys["a"]), kind="Policy", namespace="team")
    [found] = same(registry, [policy], *BACK, namespaces=("team", "default"), no_match="allow")
    assert (found["kind"], found["metadata"]["namespace"]) == ("ImagePolicy", "team")


def test_kyverno_pods_alone(registry, keys):
    policy = kyverno(entries(keys["a"]), annotations={"pod-policies.kyverno.io/autogen-controllers": "none"})
    [found] = same(registry, [policy], *BACK, no_match="allow")
    assert found["spec"]["match"] == {"kinds": ["Pod"]}


def test_kyverno_what_is_skipped(registry, keys):
    policy = kyverno(entries(keys["a"]), imageReferences=["*"], skipImageReferences=[f"{HOST}/team/*"])
    same(registry, [policy], *BACK, no_match="allow")
    named = own(signature(keys["a"]), images=["**"], skip=[f"{HOST}/team/plain", f"{HOST}/other/**"])
    same(registry, [named], "kyverno", "sealgate", no_match="allow")


def test_kyverno_digests(registry, keys):
    policy = kyverno(entries(keys["a"]), mutateDigest=False, required=False)
    [found] = same(registry, [policy], *BACK)
    assert found["spec"]["digests"] == {"mutate": False, "required": False}


def test_kyverno_annotations_and_places(registry, keys):
    set_ = {"entries": [{"keys": {"publicKeys": pem(keys["a"])}, "repository": f"{HOST}/team/a"}]}
    same(registry, [kyverno(set_)], *BACK, no_match="allow")
    annotated = entries(keys["a"])
    annotated["entries"][0]["annotations"] = {"stage": "prod"}
    image = f"{HOST}/annotated/a"
    registry.push(image)
    registry.sign(image, keys["a"], annotations={"stage": "prod"})
    for stage, code in (("prod", ["accepted"]), ("dev", ["annotation-mismatch"])):
        annotated["entries"][0]["annotations"] = {"stage": stage}
        policy = kyverno(annotated, imageReferences=[f"{HOST}/annotated/*"])
        for documents in ([policy], list(convert(policy).documents)):
            assert codes(one(load(*documents), registry, f"{image}:1.0")) == code


def test_policy_controller_any_authority(registry, keys):
    policy = cip(keyed(keys["a"]), keyed(keys["b"]), images=[f"{HOST}/team/**"])
    same(registry, [policy], "sealgate", "sigstore", "sealgate")


def test_policy_controller_to_kyverno(registry, keys):
    policy = cip(keyed(keys["a"]), keyed(keys["b"]), images=[f"{HOST}/team/**"])
    [found] = same(registry, [policy], "kyverno", "sigstore")
    assert found["apiVersion"] == "policy.sigstore.dev/v1beta1"
    assert [each["glob"] for each in found["spec"]["images"]] == [f"{HOST}/team/**"]


@pytest.mark.parametrize(
    "static", [{"action": "pass"}, {"action": "fail", "message": "no"}, {"action": "fail", "message": ""}]
)
def test_policy_controller_static(registry, static):
    same(
        registry,
        [cip({"static": static}, images=[f"{HOST}/team/**"])],
        "sealgate",
        "sigstore",
        no_match="allow" if static["action"] == "fail" else "deny",
    )


def test_policy_controller_mode_and_match(registry, keys):
    policy = cip(keyed(keys["a"]), images=[f"{HOST}/team/**"], mode="warn")
    same(registry, [policy], "sealgate", "sigstore")
    policy = cip(keyed(keys["a"]), images=["**"], match=[{"resource": "deployments", "group": "apps", "version": "v1"}])
    same(registry, [policy], "sealgate", "sigstore", no_match="allow", kinds=("Pod", "Deployment", "Job"))
    labelled = cip(
        keyed(keys["a"]), images=["**"], match=[{"resource": "pods", "selector": {"matchLabels": {"app": "x"}}}]
    )
    found = list(convert(labelled).documents)
    for labels, outcome in (({"app": "x"}, "deny"), ({"app": "y"}, "admit")):
        for documents in ([labelled], found, list(convert(*found, to="sigstore").documents)):
            policies = load(*documents, no_match="allow")
            image = f"{HOST}/team/plain:1.0"
            placed = workload("Pod", images=(image,), labels=labels)
            assert decide(policies, registry, image, workload=placed).outcome == outcome


def test_policy_controller_conditions(registry, keys):
    policy = cip(
        keyed(keys["a"], attestations=[{"name": "x", "predicateType": "custom", "policy": {"type": "cue", "data": "predicate: {Data: string}"}}]),
        images=[f"{HOST}/team/**"],
    )  # fmt: skip
    [found] = convert(policy).documents
    assert found["spec"]["require"]["attestation"]["conditions"] == [{"cue": "predicate: {Data: string}"}]
    [again] = convert(found, to="sigstore").documents
    assert again["spec"]["authorities"][0]["attestations"][0]["policy"] == {
        "type": "cue",
        "data": "predicate: {Data: string}",
    }
    load(again)


def test_policy_controller_secrets(registry, keys):
    policy = cip({"key": {"secretRef": {"name": "k"}}}, images=[f"{HOST}/team/**"])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k", "namespace": "cosign-system"}}
    found = convert(policy, secret)
    [document] = found.documents
    assert document["spec"]["require"]["signature"]["key"] == {"secret": "k"}
    assert any("--policy-namespace" in each for each in found.remarks)
    assert any("Secret/k" in each for each in found.remarks)


def test_own_policies_to_every_grammar(registry, keys):
    a, b, c = (signature(keys[name], log="ignore") for name in "abc")
    same(registry, [own({"any": [a, b]})], "sigstore", "sealgate", "kyverno", "sealgate", "sigstore")
    same(registry, [own({"atLeast": {"count": 2, "of": [a, b, c]}})], *BACK)
    same(registry, [own({"all": [{"any": [a, b]}, c]})], *BACK)


# -- patterns

NAMES = [
    *(f"{HOST}/{path}" for path in ("team", "team/app", "team/app/x", "team/apple", "te/am", "a")),
    "docker.io/library/nginx", "docker.io/org/nginx", "evil.example.com/registry.example.com/team/app", "localhost:5000/team/app",
]  # fmt: skip
ENDS = ["", ":1.0", ":latest", ":prod-1", ":prod", "@sha256:" + "ab" * 32, ":1.0@sha256:" + "ab" * 32, ":prod-1@sha256:" + "cd" * 32]  # fmt: skip


def about(documents):
    """The images that the policies ask about."""
    index = Index(load(*documents))
    pod = workload("Pod")
    return {name + end for name in NAMES for end in ENDS if index.matching(parse(name + end), pod)[0]}


@pytest.mark.parametrize(
    "glob",
    [
        "*", "*:*", "*/*", f"{HOST}/*", f"{HOST}/team/*", f"{HOST}/team/*:*", f"{HOST}/team/app", f"{HOST}/team/app:*", f"{HOST}/team/app:1.0",
        f"{HOST}/team/app:prod-*", f"{HOST}/team/*:prod", f"{HOST}/team/app@sha256:" + "ab" * 32, f"{HOST}/team/app@*", "docker.io/nginx",
        "docker.io/library/nginx", "index.docker.io/nginx:1.0", "docker.io/*", "docker.io/library/*", "docker.io/org/*", "localhost:5000/*",
    ],
)  # fmt: skip
def test_P20_kyvernos_patterns_cover_the_same_names(keys, glob):
    policy = kyverno(entries(keys["a"]), imageReferences=[glob])
    assert about([policy]) == about(convert(policy).documents) != set()


@pytest.mark.parametrize(
    "glob", [f"{HOST}/*", f"{HOST}/team/*", f"{HOST}/team/*:*", f"{HOST}/team/app:1.0", f"{HOST}/team/*:prod", "docker.io/library/*", "docker.io/*"]
)  # fmt: skip
def test_P20_kyvernos_patterns_excuse_the_same_names(keys, glob):
    policy = kyverno(entries(keys["a"]), imageReferences=["*"], skipImageReferences=[glob])
    assert (
        about([policy])
        == about(convert(policy).documents)
        != about([kyverno(entries(keys["a"]), imageReferences=["*"])])
    )


@pytest.mark.parametrize(
    "glob",
    [
        "**", f"{HOST}/**", f"{HOST}/*", f"{HOST}/team/**", f"{HOST}/team/*", f"{HOST}/*/app", f"{HOST}/team/app", f"{HOST}/team/app*", f"{HOST}/team/app:1.0",
        f"{HOST}/team/app:**", f"{HOST}/team/app@*", f"{HOST}/team/app@**", f"{HOST}/team/**:prod", "docker.io/nginx", "docker.io/*", "docker.io/*/*", "docker.io/**",
    ],
)  # fmt: skip
def test_P20_policy_controllers_globs_cover_the_same_names(keys, glob):
    policy = cip(keyed(keys["a"]), images=[glob])
    assert about([policy]) == about(convert(policy).documents) != set()


@pytest.mark.parametrize(
    ("pattern", "targets"),
    [
        ("**", ("kyverno", "sigstore")), (f"{HOST}/**", ("kyverno", "sigstore")), (f"{HOST}/team/**", ("kyverno", "sigstore")),
        (f"{HOST}/team/*/**", ("kyverno", "sigstore")), (f"{HOST}/team/app", ("kyverno", "sigstore")), (f"{HOST}/team/*", ("sigstore",)),
        (f"{HOST}/team/app*", ("sigstore",)), (f"{HOST}/team/app:1.0", ("sigstore",)), (f"{HOST}/team/**:1.0", ("sigstore",)),
        ("docker.io/library/nginx", ("kyverno", "sigstore")), ("docker.io/library/**", ("kyverno", "sigstore")), ("docker.io/**", ("kyverno", "sigstore")),
    ],
)  # fmt: skip
def test_P20_our_patterns_cover_the_same_names(keys, pattern, targets):
    policy = own(signature(keys["a"], log="ignore"), images=[pattern])
    for to in targets:
        found = convert(policy, to=to).documents
        assert about([policy]) == about(found) != set(), to
        assert about([policy]) == about(convert(*found).documents), to


# -- Connaisseur and Portieris


def connaisseur(*rules, roots=None, features=None, keys=None, **validator):
    named = {"default": keys["a"], "b": keys["b"], "c": keys["c"]} if keys else {}
    found = roots if roots is not None else [{"name": name, "key": pem(key)} for name, key in named.items()]
    validators = [
        {"name": "allow", "type": "static", "approve": True}, {"name": "deny", "type": "static", "approve": False},
        {"name": "default", "type": "cosign", "trustRoots": found} | validator,
    ]  # fmt: skip
    application = {"validators": validators, "policy": list(rules)} | ({"features": features} if features else {})
    return {"application": application}


def admitted(documents, registry, **more):
    return {
        image.removesuffix(":1.0")
        for outcome, image, *_ in outcomes(documents, registry, kinds=("Pod",), **more)
        if outcome == "admit"
    }


def team(*names):
    return {f"{HOST}/team/{name}" for name in names}


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({}, ("a", "ab", "ac", "abc")), ({"trustRoot": "b"}, ("b", "ab", "bc", "abc")),
        ({"trustRoot": "*"}, ("a", "b", "c", "ab", "ac", "bc", "abc")), ({"trustRoot": "*", "threshold": 2}, ("ab", "ac", "bc", "abc")),
        ({"trustRoot": "*", "threshold": 2, "required": ["c"]}, ("ac", "bc", "abc")), ({"trustRoot": "*", "required": ["b", "c"]}, ("bc", "abc")),
        ({"trustRoot": "*", "threshold": 3}, ("abc",)), ({"verifyInTransparencyLog": False}, ("a", "ab", "ac", "abc")),
    ],
)  # fmt: skip
def test_connaisseur_decides_by_the_narrowest_rule(registry, keys, options, good):
    config = connaisseur(
        {"pattern": "*:*", "validator": "deny"}, {"pattern": f"{HOST}/team/*:*", "with": options}, {"pattern": f"{HOST}/other/plain:*", "validator": "allow"},
        keys=keys,
    )  # fmt: skip
    documents = convert(config).documents
    assert admitted(documents, registry) == team(*good) | {f"{HOST}/other/plain"}
    assert any("--tlog require" in each for each in convert(config).remarks)


def test_connaisseur_a_narrower_rule_may_ask_for_more(registry, keys):
    config = connaisseur({"pattern": "*:*", "validator": "allow"}, {"pattern": f"{HOST}/team/*:*"}, keys=keys)
    everywhere = {f"{HOST}/other/plain", f"{HOST}/other/a", f"{HOST}/team", "elsewhere.example.com/team/plain"}
    assert admitted(convert(config).documents, registry) == team("a", "ab", "ac", "abc") | everywhere


def test_connaisseur_to_other_grammars_names_the_rule(keys):
    config = connaisseur({"pattern": "*:*"}, {"pattern": f"{HOST}/other/*:*", "validator": "allow"}, keys=keys)
    with pytest.raises(PolicyUnsupportedError, match=r"ClusterImagePolicy/connaisseur-1: spec\.require"):
        convert(config, to="kyverno")
    with pytest.raises(PolicyUnsupportedError, match=r"ClusterImagePolicy/connaisseur-0: spec\.skip"):
        convert(config, to="sigstore")


def test_connaisseur_features(registry, keys):
    rule = {"pattern": f"{HOST}/team/*:*"}
    warned = convert(connaisseur(rule, features={"detectionMode": True}, keys=keys)).documents
    policies = load(*warned)
    assert decide(policies, registry, f"{HOST}/team/plain:1.0").outcome == "warn"
    pods = convert(connaisseur(rule, features={"resourceValidationMode": "podsOnly"}, keys=keys)).documents
    for kind, outcome in (("Pod", "deny"), ("Deployment", "admit")):
        assert decide(load(*pods, no_match="allow"), registry, f"{HOST}/team/plain:1.0", kind=kind).outcome == outcome
    label = "securesystemsengineering.connaisseur/webhook"
    for mode, labels, outcome in (
        ("ignore", {label: "ignore"}, "admit"), ("ignore", {}, "deny"), ("validate", {label: "validate"}, "deny"), ("validate", {}, "admit"),
    ):  # fmt: skip
        config = connaisseur(rule, features={"namespacedValidation": {"enabled": True, "mode": mode}}, keys=keys)
        policies = load(*convert(config).documents, no_match="allow")
        image = f"{HOST}/team/plain:1.0"
        placed = workload("Pod", images=(image,), namespace_labels=labels)
        assert decide(policies, registry, image, workload=placed).outcome == outcome


def test_portieris(registry):
    repositories = [
        {"name": "*", "policy": {"simple": {"requirements": [{"type": "reject"}]}}}, {"name": f"{HOST}/team/*", "policy": {}},
        {"name": f"{HOST}/other/*"}, {"name": f"{HOST}/other/a", "policy": {"simple": {"requirements": [{"type": "reject"}]}}},
    ]  # fmt: skip
    policy = {
        "apiVersion": "portieris.cloud.ibm.com/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"}, "spec": {"repositories": repositories},
    }  # fmt: skip
    assert admitted(convert(policy).documents, registry) == team(*SIGNED) | {f"{HOST}/other/plain"}
    repositories[1]["policy"] = {"trust": {"enabled": True}}
    with pytest.raises(PolicyUnsupportedError, match="trust"):
        convert(policy)


# -- what would be lost


def _rule(policy, **more):
    policy["spec"]["rules"][0] |= more
    return policy


def _kyverno_losses(keys):
    key = entries(keys["a"])
    any_ = "any"
    return {
        "exclude": _rule(kyverno(key), exclude={any_: KINDS}), "preconditions": _rule(kyverno(key), preconditions={"all": []}),
        "match": _rule(kyverno(key), match={any_: [{"resources": {"kinds": ["Job"]}}]}), "attestations": kyverno(key, attestations=[{"type": "custom"}]),
        "validationFailureActionOverrides": kyverno(key, spec={"validationFailureActionOverrides": [{"action": "Audit", "namespaces": ["x"]}]}),
        "applyRules": kyverno(key, spec={"applyRules": "One", "rules": [kyverno(key)["spec"]["rules"][0]] * 2}),
        "metadata.annotations": kyverno(key, annotations={"pod-policies.kyverno.io/autogen-controllers": "Job"}),
        "imageReferences": kyverno(key, imageReferences=["*example.com/x*"]), "skipImageReferences": kyverno(key, skipImageReferences=[f"{HOST}/team/app"]),
        "keys.kms": kyverno({"entries": [{"keys": {"kms": "awskms:///x"}}]}), "signatureAlgorithm": kyverno({"entries": [{"keys": {"publicKeys": pem(keys["a"]), "signatureAlgorithm": "sha512"}}]}),
        "entries[0].certificates": kyverno({"entries": [{"certificates": {"cert": "x"}}]}), "pubkey": kyverno({"entries": [{"keys": {"publicKeys": pem(keys["a"]), "rekor": {"pubkey": "x"}}}]}),
        "keyless.roots": kyverno({"entries": [{"keyless": {"issuer": "https://x.example", "subject": "y", "roots": "z"}}]}),
        "additionalExtensions": kyverno({"entries": [{"keyless": {"issuer": "https://x.example", "subject": "y", "additionalExtensions": {"a": "b"}}}]}),
        "annotations": kyverno({"entries": [{"keys": {"publicKeys": pem(keys["a"])}, "annotations": {"a": "b*"}}]}), "verifyImages[0]": kyverno(),
        "type": kyverno(key, type="Notary"), "imageRegistryCredentials": kyverno(key, imageRegistryCredentials={"secrets": ["x"]}),
    }  # fmt: skip


def _sigstore_losses(keys):
    issued = {"identities": [{"issuer": "https://x.example", "subject": "y"}]}
    return {
        "spec.policy": cip(keyed(keys["a"]), policy={"type": "cue", "data": "x: 1"}), "key": cip({"key": {"kms": "awskms:///x"}}),
        "secretRef.namespace": cip({"key": {"secretRef": {"name": "k", "namespace": "x"}}}),
        "authorities[0]": cip({"keyless": issued | {"trustRootRef": "mine"}}), "images[0].glob": cip(keyed(keys["a"]), images=["*/*"]),
        "authorities[0]:": cip(keyed(keys["a"], ctlog={"trustRootRef": "x"}, rfc3161timestamp={"trustRootRef": "y"})),
        "match[0]": cip(keyed(keys["a"]), match=[{"resource": "pods", "group": "batch"}]), "spec.match": cip(keyed(keys["a"]), match=[{"resource": "pods", "selector": {"matchLabels": {"a": "b"}}}, {"resource": "jobs"}]),
        "ca-cert": cip({"keyless": issued | {"ca-cert": {"secretRef": {"name": "x"}}}}), "glob": cip(keyed(keys["a"]), images=[f"{HOST}/team/app:v*"]),
    }  # fmt: skip


@pytest.mark.parametrize("field", _kyverno_losses({"a": PrivateKey.generate()}))
def test_what_kyverno_would_lose_is_named(keys, field):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(_kyverno_losses(keys)[field])
    assert field in found.value.message
    assert (found.value.code, found.value.exit_code) == ("policy-unsupported", 2)


@pytest.mark.parametrize("field", _sigstore_losses({"a": PrivateKey.generate()}))
def test_what_policy_controller_would_lose_is_named(keys, field):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(_sigstore_losses(keys)[field])
    assert field in found.value.message


@pytest.mark.parametrize(
    ("to", "field", "spec", "more"),
    [
        *((to, f"spec.{name}", {name: value}, {}) for to in ("kyverno", "sigstore") for name, value in {
            "deny": {"digests": ["sha256:" + "ab" * 32]}, "overrides": [{"action": "warn", "match": {"namespaces": ["x"]}}],
            "grace": {"until": "2027-01-01T00:00:00Z"}, "mirrors": [{"mirror": "a.example.com", "of": "b.example.com"}],
            "exceptions": [{"images": ["a.example.com/x"], "until": "2027-01-01T00:00:00Z", "reason": "x"}],
        }.items()),
        ("sigstore", "spec.skip", {"skip": [f"{HOST}/team/plain"]}, {}), ("sigstore", "spec.digests", {"digests": {"mutate": False}}, {}),
        ("sigstore", "spec.action", {"action": "audit"}, {}), ("kyverno", "digests.mutate", {"action": "audit"}, {}),
        ("kyverno", "spec.match", {"match": {"namespaces": ["x"]}}, {}), ("sigstore", "match.namespaces", {"match": {"namespaces": ["x"]}}, {}),
        ("kyverno", "signature.log", {}, {"log": "require"}), ("sigstore", "signature.log", {}, {"log": "require"}),
        ("sigstore", "signature.annotations", {}, {"annotations": {"a": "b"}}), ("kyverno", "signature.tagPrefix", {}, {"tagPrefix": "x"}),
        ("kyverno", "signature.timestamp", {}, {"timestamp": True}), ("kyverno", "signature.trustRoot", {}, {"trustRoot": "x"}),
    ],
)  # fmt: skip
def test_what_our_own_would_lose_is_named(keys, to, field, spec, more):
    with pytest.raises(PolicyUnsupportedError) as found:
        convert(own(signature(keys["a"], **more), **spec), to=to)
    assert field in found.value.message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"validator": "x"}, "there is no validator 'x'"), ({"with": {"trustRoot": "x"}}, "no trust root 'x'"),
        ({"with": {"trustRoot": "*", "threshold": 9}}, "9 are asked for"), ({"with": {"treshold": 2}}, "no field 'treshold'"),
    ],
)  # fmt: skip
def test_connaisseur_mistakes(keys, config, said):
    with pytest.raises(PolicyInvalidError, match=said):
        convert(connaisseur({"pattern": "*:*"} | config, keys=keys))


@pytest.mark.parametrize(
    ("validator", "field"),
    [({"type": "notaryv1", "host": "x"}, "notaryv1"), ({"host": "https://rekor.example.com"}, "host"), ({"trustRoots": [{"name": "default", "key": "awskms:///x"}]}, "key")],
)  # fmt: skip
def test_what_connaisseur_would_lose_is_named(keys, validator, field):
    with pytest.raises(PolicyUnsupportedError, match=field):
        convert(connaisseur({"pattern": "*:*"}, keys=keys, **validator))


def test_P18_misspelt_fields_are_not_left_out(keys):
    for policy in (kyverno(entries(keys["a"]), imageReference=["x"]), cip(keyed(keys["a"]), mod="warn")):
        with pytest.raises(PolicyInvalidError, match="there is no field"):
            convert(policy)
    with pytest.raises(PolicyInvalidError, match="there is no field"):
        convert(own(signature(keys["a"]), skips=["x"]), to="kyverno")


def test_nothing_and_names_that_collide(keys):
    with pytest.raises(PolicyInvalidError, match="there is no policy"):
        convert({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})
    with pytest.raises(PolicyInvalidError, match="two policies would be called"):
        convert(own(signature(keys["a"])), own(signature(keys["a"])), to="kyverno")
    with pytest.raises(PolicyUnsupportedError, match="cannot be converted"):
        convert({"apiVersion": "x.example/v1", "kind": "Policy", "metadata": {"name": "x"}})


# -- any demand


@st.composite
def demands(draw, keys=("a", "b", "c"), depth=2):
    """Demands of signatures, some of which other grammars cannot say."""
    name = draw(st.sampled_from(keys))
    if depth == 0 or draw(st.booleans()):
        return {"signature": {"key": name, "log": "ignore"}}
    form = draw(st.sampled_from(["any", "all", "atLeast"]))
    if form == "atLeast":
        parts = [draw(demands(depth=0)) for _ in range(draw(st.integers(1, 3)))]
        return {"atLeast": {"count": draw(st.integers(1, len(parts))), "of": parts}}
    return {form: [draw(demands(depth=depth - 1)) for _ in range(draw(st.integers(1, 3)))]}


def _with_keys(demand, keys):
    if isinstance(demand, list):
        return [_with_keys(each, keys) for each in demand]
    if isinstance(demand, dict):
        return {name: pem(keys[each]) if name == "key" else _with_keys(each, keys) for name, each in demand.items()}
    return demand


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(demand=demands(), to=st.sampled_from(["kyverno", "sigstore"]))
def test_whatever_is_converted_decides_alike(registry, keys, demand, to):
    original = own(_with_keys(demand, keys))
    before = outcomes([original], registry, kinds=("Pod",))
    try:
        made = convert(original, to=to).documents
    except PolicyUnsupportedError:
        return
    assert outcomes(made, registry, kinds=("Pod",)) == before
    assert outcomes(convert(*made).documents, registry, kinds=("Pod",)) == before


def test_C04_regular_expressions_are_anchored_where_others_match_anywhere():
    identity = {"issuer": "https://accounts.example.com", "subjectRegExp": "me@x"}
    [document] = convert(own({"signature": {"identity": identity}}), to="sigstore").documents
    [authority] = document["spec"]["authorities"]
    assert authority["keyless"]["identities"] == [identity | {"subjectRegExp": "^(?:me@x)$"}]
