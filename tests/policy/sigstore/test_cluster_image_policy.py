"""policy-controller's policies: what is admitted, what is refused and why."""

import pytest

from policy.scene import References, codes, decide, load, one, pem, refused, workload
from policy.sigstore.scene import cip, keyed
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

TEAM = "registry.example.com/team"
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
REGO = "package sigstore\nisCompliant { input.predicate.score > 5 }"


def test_a_signed_image_and_one_that_is_not(registry, good):
    policies = load(cip(keyed(good)))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0")) == ["no-signature"]
    found = one(policies, registry, f"{TEAM}/foreign:1.0")
    assert codes(found) == ["signature-key-mismatch"]
    assert found.rulings[0].message.startswith("authority authority-0: ")
    assert found.rulings[0].rule == "cip"


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_both_versions(registry, good, version):
    policies = load(cip(keyed(good)) | {"apiVersion": f"policy.sigstore.dev/{version}"})
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]


def test_there_is_no_other_version(good):
    assert "v1" in refused(cip(keyed(good)) | {"apiVersion": "policy.sigstore.dev/v1"}).message


def test_P21_any_authority_of_a_policy_is_enough(registry, good, other):
    policies = load(cip(keyed(good), keyed(other)))
    for name in ("signed", "other", "both"):
        assert codes(one(policies, registry, f"{TEAM}/{name}:1.0")) == ["accepted"]
    assert one(policies, registry, f"{TEAM}/foreign:1.0").severity == "deny"


def test_P21_every_policy_that_matches_must_be_met(registry, good, other):
    policies = load(cip(keyed(good), name="a"), cip(keyed(other), name="b"))
    assert one(policies, registry, f"{TEAM}/both:1.0").severity == "none"
    found = one(policies, registry, f"{TEAM}/signed:1.0")
    assert (found.severity, codes(found)) == ("deny", ["accepted", "signature-key-mismatch"])


def test_P15_what_no_policy_matches_is_denied_unless_the_operator_says_otherwise(registry, good):
    policy = cip(keyed(good), images=("registry.example.com/another/**",))
    found = one(load(policy), registry, f"{TEAM}/signed:1.0")
    assert (found.severity, codes(found)) == ("deny", ["image-unmatched"])
    assert one(load(policy, no_match="allow"), registry, f"{TEAM}/signed:1.0").severity == "none"
    assert one(load(policy, no_match="warn"), registry, f"{TEAM}/signed:1.0").severity == "warn"


def test_mode_warn_admits_with_a_warning(registry, good):
    policies = load(cip(keyed(good), mode="warn"))
    assert decide(policies, registry, f"{TEAM}/unsigned:1.0").outcome == "warn"
    assert decide(policies, registry, f"{TEAM}/signed:1.0").outcome == "admit"


@pytest.mark.parametrize(
    ("match", "kind", "about"),
    [
        ([], "Pod", True),
        ([{"resource": "pods"}], "Pod", True),
        ([{"resource": "pods"}], "Deployment", False),
        ([{"group": "apps", "version": "v1", "resource": "deployments"}], "Deployment", True),
        ([{"group": "apps", "version": "v1beta1", "resource": "deployments"}], "Deployment", False),
        ([{"group": "", "version": "*", "resource": "pods"}], "Pod", True),
        ([{"resource": "pods", "selector": {"matchLabels": {"tier": "prod"}}}], "Pod", True),
        ([{"resource": "pods", "selector": {"matchLabels": {"tier": "test"}}}], "Pod", False),
        ([{"resource": "pods", "selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["prod"]}]}}], "Pod", False),
        ([{"resource": "jobs"}, {"resource": "pods"}], "Pod", True),
    ],
)  # fmt: skip
def test_match(registry, good, match, kind, about):
    policies = load(cip(keyed(good), match=match))
    found = one(policies, registry, f"{TEAM}/unsigned:1.0", kind=kind, labels={"tier": "prod"})
    assert codes(found) == (["no-signature"] if about else ["image-unmatched"])


def test_P17_another_groups_object_of_the_same_name_is_not_meant(registry, good):
    policies = load(cip(keyed(good), match=[{"resource": "deployments"}]))
    foreign = workload("Deployment", images=(f"{TEAM}/unsigned:1.0",), gvr=("mattmoor.dev", "v1", "deployments"))
    assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0", workload=foreign)) == ["image-unmatched"]
    assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0", kind="Deployment")) == ["no-signature"]


def test_static_authorities(registry):
    passing = load(cip({"static": {"action": "pass"}}))
    assert codes(one(passing, registry, f"{TEAM}/unsigned:1.0")) == ["accepted"]
    assert [note.code for note in passing.notes] == ["static-pass"]
    found = one(load(cip({"static": {"action": "fail", "message": "gone"}})), registry, f"{TEAM}/signed:1.0")
    assert codes(found) == ["static-refusal"]
    assert found.rulings[0].message == "disallowed by static policy: gone"


def test_a_key_in_a_secret(registry, good):
    policy = cip({"key": {"secretRef": {"name": "keys"}}})
    secrets = {("cosign-system", "keys"): {"cosign.pub": pem(good).encode()}}
    policies = load(policy, references=References(secrets))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert "there is no Secret" in refused(policy).message
    two = {("cosign-system", "keys"): {"a": b"", "b": b""}}
    assert "2 entries" in refused(policy, references=References(two)).message


def test_P23_a_secret_of_another_namespace_is_not_read(good):
    policy = cip({"key": {"secretRef": {"name": "keys", "namespace": "team-a"}}})
    secrets = {("team-a", "keys"): {"cosign.pub": pem(good).encode()}}
    assert "taken from cosign-system alone" in refused(policy, references=References(secrets)).message


def test_signatures_that_are_elsewhere(registry, good):
    registry.push(f"{TEAM}/moved")
    registry.push("registry.example.com/signatures")
    policies = load(cip(keyed(good, source=[{"oci": "registry.example.com/signatures"}])))
    assert codes(one(policies, registry, f"{TEAM}/moved:1.0")) == ["no-signature"]
    assert "registry.example.com/signatures" in registry.asked
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["no-signature"]


def test_attestations_every_one_that_is_named(registry, good, other):
    registry.push(f"{TEAM}/attested")
    registry.attest(f"{TEAM}/attested", good, "https://example.com/score", {"score": 7})
    both = [
        {"name": "score", "predicateType": "https://example.com/score", "policy": {"type": "rego", "data": REGO}},
        {"name": "vuln", "predicateType": VULN},
    ]
    assert codes(one(load(cip(keyed(good, attestations=both[:1]))), registry, f"{TEAM}/attested:1.0")) == ["accepted"]
    found = one(load(cip(keyed(good, attestations=both))), registry, f"{TEAM}/attested:1.0")
    assert codes(found) == ["predicate-type-mismatch"]
    assert "authority authority-0: attestation vuln: " in found.rulings[0].message
    assert codes(one(load(cip(keyed(other, attestations=both[:1]))), registry, f"{TEAM}/attested:1.0")) == [
        "signature-key-mismatch"
    ]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (REGO, "accepted"),
        ("package sigstore\nisCompliant { input.predicate.score > 50 }", "condition-failed"),
        ('package sigstore\nisCompliant = {"result": true, "error": "", "warning": "w"}', "accepted"),
        ('package sigstore\nisCompliant = {"result": false, "error": "too low"}', "condition-failed"),
        ('package sigstore\nisCompliant = {"result": true, "error": "contradicts"}', "condition-failed"),
        ("package sigstore\nisCompliant = 1", "condition-failed"),
        ("package sigstore", "condition-failed"),
    ],
)
def test_rego_of_an_attestation(registry, good, source, code):
    name = f"{TEAM}/scored"
    if name not in registry._stores:
        registry.push(name)
        registry.attest(name, good, "https://example.com/score", {"score": 7})
    wanted = {"name": "s", "predicateType": "https://example.com/score", "policy": {"type": "rego", "data": source}}
    assert codes(one(load(cip(keyed(good, attestations=[wanted]))), registry, f"{name}:1.0")) == [code]


def test_rego_that_cannot_be_compiled_is_no_policy(good):
    wanted = {"name": "s", "predicateType": "https://example.com/score", "policy": {"type": "rego", "data": REGO}}
    load(cip(keyed(good, attestations=[wanted])))
    wanted["policy"] = {"type": "rego", "data": "package signature\nallow = true"}
    error = refused(cip(keyed(good, attestations=[wanted])))
    assert error.code == "policy-invalid"
    assert error.message == (
        "0.yaml: ClusterImagePolicy/cip: spec.authorities[0].attestations[0].policy: its package is not `sigstore`, as"
        " policy-controller demands"
    )


def test_short_names_of_types_are_deprecated(good):
    policies = load(cip(keyed(good, attestations=[{"name": "v", "predicateType": "vuln"}])))
    assert "deprecated-field" in [note.code for note in policies.notes]
    policies = load(cip(keyed(good, attestations=[{"name": "v", "predicateType": VULN}])))
    assert "deprecated-field" not in [note.code for note in policies.notes]


BOTH = "package sigstore\nisCompliant { count(input.authorityMatches.a.signatures) == 1; input.authorityMatches.b }"


def test_a_policy_over_all_authorities(registry, good, other):
    policies = load(cip(keyed(good, name="a"), keyed(other, name="b"), policy={"type": "rego", "data": BOTH}))
    assert codes(one(policies, registry, f"{TEAM}/both:1.0")) == ["accepted"]
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["policy-not-met"]
    assert codes(one(policies, registry, f"{TEAM}/foreign:1.0")) == ["signature-key-mismatch"]


def test_P02_a_policy_that_says_yes_to_everything_admits_nothing_by_itself(registry, good):
    always = {"type": "rego", "data": "package sigstore\nisCompliant = true"}
    policies = load(cip(keyed(good), policy=always))
    assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0")) == ["no-signature"]
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert "ask nothing" in refused(cip({"static": {"action": "pass"}}, policy=always)).message


def test_what_the_policy_sees_of_the_object(registry, good):
    text = 'package sigstore\nisCompliant { input.spec.x == 1; input.metadata.labels.tier == "prod"; input.typemeta.kind == "Pod" }'
    included = {"includeSpec": True, "includeObjectMeta": True, "includeTypeMeta": True}
    policies = load(cip(keyed(good), policy={"type": "rego", "data": text} | included))
    image = f"{TEAM}/signed:1.0"
    pod = workload("Pod", images=(image,), spec={"x": 1}, labels={"tier": "prod"})
    pod = pod._replace(document=pod.document | {"kind": "Pod", "apiVersion": "v1"})
    assert codes(one(policies, registry, image, workload=pod)) == ["accepted"]
    bare = load(cip(keyed(good), policy={"type": "rego", "data": text}))
    assert codes(one(bare, registry, image, workload=pod)) == ["policy-not-met"]


def test_a_text_in_a_config_map(registry, good):
    policy = {"type": "rego", "configMapRef": {"name": "texts", "key": "p"}}
    maps = {("cosign-system", "texts"): {"p": "package sigstore\nisCompliant = true", "q": "x"}}
    policies = load(cip(keyed(good), policy=policy), references=References(maps=maps))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    bad = cip(keyed(good), policy={"type": "rego", "configMapRef": {"name": "texts"}})
    assert "has p, q" in refused(bad, references=References(maps=maps)).message


def test_when_the_registry_is_down_nothing_is_known(registry, good):
    policies = load(cip(keyed(good)))
    registry.down = True
    try:
        found = decide(policies, registry, f"{TEAM}/signed:1.0")
    finally:
        registry.down = False
    assert (found.outcome, found.exit_code) == ("deny", 14)
    assert decide(policies, registry, f"{TEAM}/signed:1.0").exit_code == 0


ISSUER, SUBJECT = "https://issuer.example.com", "me@example.com"
KEYLESS = {"keyless": {"identities": [{"issuer": ISSUER, "subject": SUBJECT}]}}


def _spec(**spec):
    return lambda key: cip(keyed(key), **spec)


def _authority(**authority):
    return lambda key: cip(authority)


def _with(**more):
    return lambda key: cip(keyed(key, **more))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (_spec(images=[]), "missing field(s): images"),
        (_spec(images=[{}]), "missing field(s): glob"),
        (_spec(images=["a[b"]), "not a glob"),
        (_spec(authorities=[]), "missing field(s): authorities"),
        (_spec(mode="Enforce"), "mode is 'Enforce'"),
        (_spec(match=[{"resource": "services"}]), "unsupported resource name"),
        (_spec(match=[{"selector": {}}]), "selector requires a resource type"),
        (_spec(keyless={}), "there is no field 'keyless' here"),
        (_spec(policy={"type": "cel", "data": "x"}), "type is 'cel'"),
        (_spec(policy={"data": "x"}), "missing field(s): type"),
        (_spec(policy={"type": "cue"}), "expected exactly one, got neither"),
        (_spec(policy={"type": "cue", "data": "x", "configMapRef": {}}), "expected exactly one, got both"),
        (_authority(), "got neither: key, keyless, static"),
        (_with(static={"action": "pass"}), "got both: key, static"),
        (_authority(key={}), "got neither: data, kms, secretref"),
        (_authority(key={"data": "nonsense"}), "key:"),
        (_authority(keyless={}), "missing field(s): identities"),
        (_authority(keyless={"identities": []}), "missing field(s): identities"),
        (_authority(keyless={"identities": [{"issuer": ISSUER}]}), "missing field(s): subject, subjectRegExp"),
        (_authority(keyless={"identities": [{"subject": SUBJECT}]}), "missing field(s): issuer, issuerRegExp"),
        (_authority(keyless={"identities": [{"issuer": "a", "issuerRegExp": "a", "subject": "b"}]}), "got both: issuer"),
        (_authority(keyless={"identities": [{"issuer": "a", "subjectRegExp": "("}]}), "regex is invalid"),
        (_authority(**KEYLESS), "no certificate authority is believed in"),
        (_authority(static={}), "missing field(s): action"),
        (_authority(static={"action": "pass"}, ctlog={}), "must not set the field(s): ctlog"),
        (_with(source=[{"oci": "a.example/b"}, {"oci": "a.example/c"}]), "only single source is supported"),
        (_with(source=[{"oci": "a.example/b:tag"}]), "source[0].oci"),
        (_with(signatureFormat="bundle"), "bundle is for keyless authorities"),
        (_with(identities=[]), "there is no field 'identities' here"),
        (_with(ctlog={"url": "rekor"}), "is no URL"),
        (_with(attestations=[{"name": "a"}]), "missing field(s): predicateType"),
        (_with(attestations=[{"name": "a", "predicateType": "no type"}]), "not a predicate type"),
        (_with(attestations=[{"name": "a", "predicateType": VULN, "policy": {"type": "cue", "data": "x", "includeSpec": True}}]), "includeSpec"),
        (_with(attestations=[{"name": "a", "predicateType": VULN}] * 2), "two of them have one name"),
        (_with(rfc3161timestamp={}), "no timestamp authority is believed in"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_not_loaded(good, policy, said):
    load(cip(keyed(good)))
    error = refused(policy(good))
    assert error.code == "policy-invalid"
    assert said in error.message
    assert error.message.startswith("0.yaml: ClusterImagePolicy/cip: spec")


@pytest.mark.parametrize(
    "policy",
    [
        _authority(key={"kms": "awskms://x"}),
        _spec(policy={"type": "cue", "remote": {"url": "https://x.example", "sha256sum": "0"}}),
        _spec(policy={"type": "cue", "data": "x", "fetchConfigFile": True}),
        _authority(key={"data": "x", "hashAlgorithm": "sha224"}),
    ],
)
def test_what_is_not_evaluated_is_an_error_at_load(good, policy):
    assert refused(policy(good), kind=PolicyUnsupportedError).code == "policy-unsupported"


def test_C18_keyless_without_identities_would_admit_anybody():
    error = refused(cip({"keyless": {"url": "https://fulcio.sigstore.dev"}}))
    assert "missing field(s): identities" in error.message
    assert "anybody" in (error.hint or "")


def test_P18_a_misplaced_field_says_where_it_belongs(good):
    error = refused(cip(keyed(good, hashAlgorithm="sha256")))
    assert error.hint == "it belongs under key"
    load(cip({"key": {"data": pem(good), "hashAlgorithm": "sha256"}}))


def test_two_policies_of_one_name(good):
    with pytest.raises(PolicyInvalidError, match="stands there twice"):
        load(cip(keyed(good)), cip(keyed(good)))


def test_hash_algorithms(registry, good):
    right = {"key": {"data": pem(good), "hashAlgorithm": "sha256"}}
    wrong = {"key": {"data": pem(good), "hashAlgorithm": "sha512"}}
    assert codes(one(load(cip(right)), registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert one(load(cip(wrong)), registry, f"{TEAM}/signed:1.0").severity == "deny"
