"""Our own policies: every demand with an image that meets it and one that does not."""

import pytest

from policy.scene import NOW, References, codes, decide, load, one, pem, refused, workload
from sealgate.errors import PolicyUndecidedError
from sealgate.oci.reference import parse
from sealgate.policy import mirrors, patterns
from sealgate.policy.fields import Fields
from sealgate.policy.own import selection

HOST = "registry.example.com"
TEAM = f"{HOST}/team"
SCORE = "https://example.com/score"
SCHEMA = """{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["predicate"],
"properties": {"predicate": {"type": "object", "required": ["NAME"], "properties": {"NAME": {"type": "number"}}}}}"""
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"


def policy(require=None, *, kind="ClusterImagePolicy", name="own", images=(f"{HOST}/**",), namespace=None, **spec):
    """One of our own policies."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    made = {"images": list(images)} | ({"require": require} if require is not None else {}) | spec
    return {"apiVersion": "sealgate.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": made}


def by(key, **more):
    return {"key": pem(key)} | more


def signature(key, **more):
    return {"signature": by(key, **more)}


def when(seconds):
    from sealgate.trust.period import rfc3339

    return rfc3339(NOW + seconds)


def outcome(document, registry, name, **more):
    return codes(one(load(document), registry, f"{TEAM}/{name}:1.0", **more))


def test_signatures(registry, good, other):
    assert outcome(policy(signature(good)), registry, "signed") == ["accepted"]
    assert outcome(policy(signature(good)), registry, "foreign") == ["signature-key-mismatch"]
    assert outcome(policy(signature(good)), registry, "unsigned") == ["no-signature"]
    either = policy({"signature": {"keys": [pem(good), pem(other)]}})
    assert [outcome(either, registry, name) for name in ("signed", "other", "both")] == [["accepted"]] * 3
    assert outcome(either, registry, "foreign") == ["signature-key-mismatch"]


def test_all_any_and_at_least(registry, good, other, stranger):
    parts = [signature(good), signature(other)]
    assert outcome(policy({"all": parts}), registry, "both") == ["accepted"]
    assert outcome(policy({"all": parts}), registry, "signed") == ["signature-key-mismatch"]
    assert outcome(policy({"any": parts}), registry, "signed") == ["accepted"]
    assert outcome(policy({"any": parts}), registry, "foreign") == ["signature-key-mismatch"]
    two = {"atLeast": {"count": 2, "of": [*parts, signature(stranger)]}}
    assert outcome(policy(two), registry, "both") == ["accepted"]
    assert outcome(policy(two), registry, "signed") != ["accepted"]


def test_P21_at_least_counts_signers_and_never_a_key_twice(registry, good, other):
    twice = {"atLeast": {"count": 2, "of": [signature(good), {"signature": {"keys": [pem(good), pem(other)]}}]}}
    assert outcome(policy(twice), registry, "both") == ["accepted"]
    assert outcome(policy(twice), registry, "signed") != ["accepted"]
    nested = {"atLeast": {"count": 1, "of": [{"any": [signature(good)]}]}}
    assert "so that signers can be counted" in refused(policy(nested)).message
    both = {"all": [signature(good), {"any": [signature(good), signature(other)]}]}
    assert outcome(policy(both), registry, "signed") == ["accepted"]


def test_annotations(registry, good):
    registry.push(f"{TEAM}/annotated")
    registry.sign(f"{TEAM}/annotated", good, annotations={"env": "prod"})
    assert outcome(policy(signature(good, annotations={"env": "prod"})), registry, "annotated") == ["accepted"]
    assert outcome(policy(signature(good, annotations={"env": "test"})), registry, "annotated") == [
        "annotation-mismatch"
    ]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"cel": "predicate.score > 5"}, "accepted"),
        ({"cel": "predicate.score > 50"}, "condition-failed"),
        ({"rego": "package signature\nallow { input.predicate.score > 5 }"}, "accepted"),
        ({"rego": "package signature\nallow { input.predicate.score > 50 }"}, "condition-failed"),
        ({"schema": SCHEMA.replace("NAME", "score")}, "accepted"),
        ({"schema": SCHEMA.replace("NAME", "scores")}, "condition-failed"),
        ({"cel": "predicate.scores > 5"}, "condition-error"),
    ],
)
def test_attestations_and_their_conditions(registry, good, condition, code):
    if f"{TEAM}/score" not in registry._stores:
        registry.push(f"{TEAM}/score")
        registry.attest(f"{TEAM}/score", good, SCORE, {"score": 7})
    wanted = {"attestation": {"type": SCORE, "by": by(good), "conditions": [condition]}}
    assert outcome(policy(wanted), registry, "score") == [code]


def test_who_attested(registry, good, other):
    registry.push(f"{TEAM}/attested-by-good")
    registry.attest(f"{TEAM}/attested-by-good", good, SCORE, {"score": 7})
    assert outcome(policy({"attestation": {"type": SCORE, "by": by(good)}}), registry, "attested-by-good") == [
        "accepted"
    ]
    assert outcome(policy({"attestation": {"type": SCORE, "by": by(other)}}), registry, "attested-by-good") == [
        "signature-key-mismatch"
    ]


def provenance(**more):
    """A provenance v1 as GitHub's generator writes it."""
    source = "git+https://github.com/acme/app@refs/tags/v1.0"
    return {
        "buildDefinition": {
            "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {
                    "ref": "refs/tags/v1.0",
                    "repository": "https://github.com/acme/app",
                    "path": ".github/x.yml",
                }
            },
            "internalParameters": {},
            "resolvedDependencies": [{"uri": source, "digest": {"gitCommit": "a" * 40}}],
        },
        "runDetails": {"builder": {"id": "https://builder.example/b"}, "metadata": {"finishedOn": when(-3600)} | more},
    }


def test_provenance(registry, good):
    registry.push(f"{TEAM}/built")
    registry.attest(f"{TEAM}/built", good, "slsaprovenance1", provenance())

    def asked(**expected):
        return outcome(policy({"provenance": {"by": by(good)} | expected}), registry, "built")

    assert asked(builderId="https://builder.example/b") == ["accepted"]
    assert asked(builderId="https://evil.example/b") == ["builder-mismatch"]
    assert asked(sourceUri="github.com/acme/app", sourceTag="v1.0") == ["accepted"]
    assert asked(sourceUri="github.com/acme/evil") == ["source-mismatch"]
    assert asked(sourceUri="github.com/acme/app", sourceTag="v2.0") == ["source-ref-mismatch"]
    assert asked(builderId="https://builder.example/b", maxAge="2h") == ["accepted"]
    assert asked(builderId="https://builder.example/b", maxAge="30m") == ["attestation-stale"]


def test_sboms(registry, good):
    registry.push(f"{TEAM}/listed")
    registry.attest(f"{TEAM}/listed", good, "cyclonedx", {"bomFormat": "CycloneDX", "specVersion": "1.5"})
    assert outcome(policy({"sbom": {"by": by(good)}}), registry, "listed") == ["accepted"]
    assert outcome(policy({"sbom": {"by": by(good), "formats": ["cyclonedx"]}}), registry, "listed") == ["accepted"]
    assert outcome(policy({"sbom": {"by": by(good), "formats": ["spdx"]}}), registry, "listed") == [
        "predicate-type-mismatch"
    ]


def scan(age, *severities):
    """A cosign vuln predicate around a report by Grype."""
    matches = [
        {
            "vulnerability": {"id": f"CVE-2026-{at}", "severity": severity, "fix": {"state": "fixed", "versions": ["2"]}},
            "artifact": {"name": "x", "version": "1", "type": "deb", "purl": "pkg:deb/debian/x@1"},
            "relatedVulnerabilities": [], "matchDetails": [],
        }
        for at, severity in enumerate(severities)
    ]  # fmt: skip
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "https://github.com/anchore/grype", "version": "1", "db": {"uri": "", "version": "", "lastUpdate": when(-age)},
            "result": {
                "matches": matches, "source": {"type": "image", "target": {}}, "distro": {"name": "debian", "version": "12"},
                "descriptor": {"name": "grype", "version": "1", "timestamp": when(-age)},
            },
        },
        "metadata": {"scanStartedOn": when(-age), "scanFinishedOn": when(-age)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scans", "code"),
    [
        ([scan(3600, "Low")], "accepted"),
        ([scan(3600, "Critical")], "condition-failed"),
        ([scan(90_000, "Low")], "attestation-stale"),
        ([scan(90_000, "Critical"), scan(3600, "Low")], "accepted"),
        ([scan(90_000, "Low"), scan(3600, "Critical")], "condition-failed"),
        ([scan(-3600, "Low")], "attestation-stale"),
        ([{"scanner": {"result": {}}, "metadata": {}}], "condition-failed"),
        ([], "no-attestation"),
    ],
)
def test_P19_a_recent_clean_scan(registry, good, scans, code):
    name = f"{TEAM}/scanned"
    registry.push(name)
    for each in scans:
        registry.attest(name, good, "vuln", each)
    wanted = {"scan": {"by": by(good), "maxAge": "1d", "failOn": "high"}}
    assert outcome(policy(wanted), registry, "scanned") == [code]


def test_an_allow_list_of_registries(registry, good):
    allowed = policy(
        {"all": [{"registries": ["registry.example.com/team", "*.corp.example"]}, signature(good)]},
        images=("*.example.com/**", "*.corp.example/**"),
    )
    assert outcome(allowed, registry, "signed") == ["accepted"]
    registry.push(f"{HOST}/teams/x")
    registry.sign(f"{HOST}/teams/x", good)
    assert codes(one(load(allowed), registry, f"{HOST}/teams/x:1.0")) == ["image-not-listed"]


def test_a_policy_for_every_image_and_no_excuse_for_every_image(registry, good):
    document = policy({"registries": ["ghcr.io"]}, images=("**",))
    assert outcome(document, registry, "signed") == ["image-not-listed"]
    assert "every image away" in refused(policy(signature(good), skip=["**"])).message
    exception = {"images": ["**"], "until": when(0), "reason": "x"}
    assert "every image away" in refused(policy(signature(good), exceptions=[exception])).message


@pytest.mark.parametrize(
    ("registry_name", "image", "good"),
    [
        ("ghcr.io", "ghcr.io/a/b:1", True),
        ("ghcr.io", "evilghcr.io/a/b:1", False),
        ("ghcr.io", "ghcr.io.evil.example/a/b:1", False),
        ("ghcr.io", "evil.example/ghcr.io/a/b:1", False),
        ("ghcr.io", "ghcr.io:444/a/b:1", False),
        ("ghcr.io/team", "ghcr.io/team/a", True),
        ("ghcr.io/team", "ghcr.io/team", True),
        ("ghcr.io/team", "ghcr.io/teamx/a", False),
        ("*.example.com", "a.example.com/x", True),
        ("*.example.com", "a.b.example.com/x", True),
        ("*.example.com", "example.com/x", False),
        ("*.example.com", "evilexample.com/x", False),
        ("docker.io", "nginx", True),
        ("docker.io", "index.docker.io/library/nginx@sha256:" + "0" * 64, True),
        ("docker.io/library", "you/nginx", False),
        ("localhost:5000", "localhost:5000/x:1", True),
        ("localhost:5000", "localhost:5001/x:1", False),
    ],
)
def test_no_look_alike_passes_a_list_of_registries(registry_name, image, good):
    from sealgate.policy import listing
    from sealgate.policy.model import Listed
    from sealgate.policy.own.demand import registry_pattern

    listed = Listed(True, (registry_pattern(registry_name),), (), "no", "")
    subject = {"reference": str(parse(image)), "digest": "sha256:" + "1" * 64}
    assert listing.is_on(listed, subject) is good


@pytest.mark.parametrize(
    "name", ["", "*", "ghcr", "ghcr.*", "*ghcr.io", "ghcr.io:443/a:1", "ghcr.io/a@b", "ghcr.io/*", "*.com"]
)
def test_lists_that_look_alikes_could_pass_are_not_loaded(name):
    assert refused(policy({"registries": [name]})).code == "policy-invalid"
    load(policy({"registries": ["ghcr.io"]}))


@pytest.mark.parametrize(
    ("pattern", "image", "good"),
    [
        ("ghcr.io/o/**", "ghcr.io/o/a/b/c:1", True),
        ("ghcr.io/o/*", "ghcr.io/o/a/b:1", False),
        ("ghcr.io/o/*", "ghcr.io/o/a@sha256:" + "0" * 64, True),
        ("ghcr.io/o/app", "ghcr.io/o/app:v1", True),
        ("ghcr.io/o/app:v*", "ghcr.io/o/app:v1", True),
        ("ghcr.io/o/app:v*", "ghcr.io/o/app:w1", False),
        ("ghcr.io/**/app", "ghcr.io/a/b/app", True),
        ("ghcr.io/**/app", "ghcr.io/app", True),
        ("ghcr.io/**/app", "ghcr.io/a/xapp", False),
        ("docker.io/library/*", "nginx", True),
        ("*.example.com/**", "a.example.com/x/y", True),
        ("*.example.com/**", "evil.com/a.example.com/x", False),
    ],
)
def test_P20_patterns(pattern, image, good):
    found = patterns.PatternSet([[patterns.expression(pattern, "sealgate")]])
    assert bool(found.matching(patterns.candidates(parse(image), "sealgate"))) is good


def test_lists_of_digests(registry, good):
    digest = registry.push(f"{TEAM}/pinned")
    assert outcome(policy({"digests": [digest]}), registry, "pinned") == ["accepted"]
    assert outcome(policy({"digests": ["sha256:" + "0" * 64]}), registry, "pinned") == ["image-not-listed"]
    denied = policy({"static": {"action": "pass"}}, deny={"digests": [digest], "reason": "recalled"})
    found = one(load(denied), registry, f"{TEAM}/pinned:1.0")
    assert (codes(found), found.rulings[0].message) == (["image-denied"], "deny: recalled")
    assert outcome(denied, registry, "signed") == ["accepted"]


def test_deny_lists_of_names_keys_and_identities(registry, good):
    named = policy(signature(good), deny={"images": [f"{TEAM}/signed"]})
    assert outcome(named, registry, "signed") == ["image-denied"]
    assert outcome(named, registry, "both") == ["accepted"]
    keyed = policy(signature(good), deny={"keys": [good.public_key.fingerprint]})
    assert outcome(keyed, registry, "signed") == ["denied-key"]


def test_skip(registry, good):
    document = policy(signature(good), skip=[f"{TEAM}/unsigned"])
    assert outcome(document, registry, "unsigned") == ["image-skipped"]
    assert outcome(document, registry, "foreign") == ["signature-key-mismatch"]


def test_grace_ends(registry, good):
    document = policy(signature(good), grace={"until": when(0), "action": "warn"})
    assert decide(load(document), registry, f"{TEAM}/unsigned:1.0", now=NOW - 1).outcome == "warn"
    assert decide(load(document), registry, f"{TEAM}/unsigned:1.0", now=NOW).outcome == "deny"


def test_P08_exceptions_end_and_are_for_images_by_name(registry, good):
    exception = {"images": [f"{TEAM}/unsigned"], "until": when(0), "reason": "migration"}
    document = policy(signature(good), exceptions=[exception])
    before = one(load(document), registry, f"{TEAM}/unsigned:1.0", now=NOW - 1)
    assert before.severity == "none"
    assert one(load(document), registry, f"{TEAM}/unsigned:1.0", now=NOW).severity == "deny"
    assert one(load(document), registry, f"{TEAM}/foreign:1.0", now=NOW - 1).severity == "deny"
    for missing in ("images", "until", "reason"):
        broken = {name: value for name, value in exception.items() if name != missing}
        assert f"{missing} is missing" in refused(policy(signature(good), exceptions=[broken])).message


def test_P08_an_exception_as_an_object_of_its_own(registry, good):
    spec = {"policies": ["own"], "images": [f"{TEAM}/unsigned"], "until": when(60), "reason": "migration"}
    exception = {
        "apiVersion": "sealgate.dev/v1alpha1",
        "kind": "PolicyException",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    assert one(load(policy(signature(good)), exception), registry, f"{TEAM}/unsigned:1.0").severity == "none"
    other = exception | {"spec": spec | {"policies": ["another"]}}
    assert one(load(policy(signature(good)), other), registry, f"{TEAM}/unsigned:1.0").severity == "deny"
    tenant = exception | {"metadata": {"name": "x", "namespace": "team-a"}}
    assert "of the whole cluster" in refused(tenant).message


def test_P23_a_policy_of_a_namespace(registry, good):
    document = policy(signature(good), kind="ImagePolicy", namespace="default")
    assert outcome(document, registry, "unsigned") == ["no-signature"]
    elsewhere = policy(signature(good), kind="ImagePolicy", namespace="other")
    assert outcome(elsewhere, registry, "unsigned") == ["image-unmatched"]
    redirected = policy(
        signature(good), kind="ImagePolicy", namespace="default", mirrors=[{"mirror": "m.local", "of": "ghcr.io"}]
    )
    assert "for the cluster to say" in refused(redirected).message
    secret = policy({"signature": {"key": {"secret": "keys"}}}, kind="ImagePolicy", namespace="default")
    secrets = {("kyverno", "keys"): {"k": pem(good).encode()}}
    assert "no Secret default/keys" in refused(secret, references=References(secrets)).message
    load(secret, references=References({("default", "keys"): {"k": pem(good).encode()}}))


def test_mirrors_are_judged_as_their_origin(registry, good):
    document = policy(signature(good), mirrors=[{"mirror": "mirror.local:5000/cache", "of": HOST}])
    policies = load(document)
    store = registry._stores
    store["mirror.local:5000/cache/team/signed"] = store[f"{TEAM}/signed"]
    store["mirror.local:5000/cache/team/unsigned"] = store[f"{TEAM}/unsigned"]
    registry.asked.clear()
    assert codes(one(policies, registry, "mirror.local:5000/cache/team/signed:1.0")) == ["accepted"]
    assert set(registry.asked) == {"mirror.local:5000/cache/team/signed", f"{TEAM}/signed"}
    assert codes(one(policies, registry, "mirror.local:5000/cache/team/unsigned:1.0")) == ["no-signature"]
    assert codes(one(policies, registry, "mirror.local:5000/cachex/team/signed:1.0")) == ["image-unmatched"]
    assert one(policies, registry, "mirror.local:5000/other/team/signed:1.0").severity == "deny"


@pytest.mark.parametrize(
    ("mirror", "of", "image", "origin"),
    [
        ("m.local", "ghcr.io", "m.local/a/b:1", "ghcr.io/a/b:1"),
        ("m.local/hub", "docker.io", "m.local/hub/library/nginx", "index.docker.io/library/nginx:latest"),
        ("m.local/hub", "docker.io", "m.local/hubx/library/nginx", None),
        ("m.local", "ghcr.io", "m.local.evil.example/a", None),
        ("m.local", "ghcr.io/team", "m.local/a@sha256:" + "0" * 64, "ghcr.io/team/a@sha256:" + "0" * 64),
    ],
)
def test_names_of_mirrors(mirror, of, image, origin):
    found = mirrors.read(Fields({"mirror": mirror, "of": of}, "mirrors[0]")).origin(parse(image))
    assert (str(found) if found is not None else None) == origin


@pytest.mark.parametrize(
    ("match", "about"),
    [
        ({"namespaces": ["default"]}, True),
        ({"namespaces": ["def*"]}, True),
        ({"namespaces": ["efault"]}, False),
        ({"kinds": ["Pod"]}, True),
        ({"kinds": ["Deployment", "argoproj.io/Rollout"]}, False),
        ({"operations": ["UPDATE"]}, False),
        ({"operations": ["CREATE", "UPDATE"]}, True),
        ({"selector": {"matchLabels": {"tier": "prod"}}}, True),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}, False),
        ({"namespaceSelector": {"matchLabels": {"env": "prod"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "test"}}}, False),
        ({"namespaces": ["default"], "kinds": ["apps/Deployment"]}, False),
    ],
)
def test_match(registry, good, match, about):
    policies = load(policy(signature(good), match=match))
    pod = workload(labels={"tier": "prod"}, namespace_labels={"env": "prod"})
    assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0", workload=pod)) == [
        "no-signature" if about else "image-unmatched"
    ]


def test_P09_labels_of_a_namespace_that_nobody_knows(registry, good):
    with pytest.raises(PolicyUndecidedError):
        selection.read(Fields({"namespaceSelector": {}}, "match")).selects(workload())
    policies = load(policy(signature(good), match={"namespaceSelector": {"matchLabels": {"a": "b"}}}))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["policy-undecided"]


def test_overrides_by_namespace(registry, good):
    document = policy(signature(good), overrides=[{"action": "audit", "match": {"namespaces": ["default"]}}])
    assert decide(load(document), registry, f"{TEAM}/unsigned:1.0").outcome == "admit"
    assert decide(load(document), registry, f"{TEAM}/unsigned:1.0", namespace="prod").outcome == "deny"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (policy(), "require is missing"),
        (policy({}), "exactly one of all, any"),
        (policy({"all": []}), "all is empty"),
        (policy({"any": []}), "any is empty"),
        (policy({"signature": {}}), "says who, and none of them"),
        (policy({"signature": {"keys": []}}), "keys is empty"),
        (policy({"signature": {"identities": []}}), "identities is empty"),
        (policy({"signature": {"identity": {"subject": "me@example.com"}}}), "nobody vouches"),
        (policy({"attestation": {"type": SCORE}}), "by is missing"),
        (policy({"scan": {"by": {"key": "x"}}}), "maxAge is missing"),
        (policy({"provenance": {"by": {"key": {"secret": "x"}}, "sourceTag": "v1"}}), "sourceTag says nothing without"),
        (policy({"digests": ["sha256:0"]}), "digests"),
        (policy({"digests": []}), "digests is empty"),
        (policy({"registries": []}), "registries is empty"),
        (policy({"static": {}}), "action is missing"),
        (policy({"static": {"action": "pass"}}, images=()), "images is missing"),
        (policy({"static": {"action": "pass"}}, images=("*/**",)), "a foreign host could fit"),
        (policy({"static": {"action": "pass"}}, action="Enforce"), "action is 'Enforce'"),
        (policy({"static": {"action": "pass"}}, match={}), "match is empty"),
        (policy({"static": {"action": "pass"}}, match={"kinds": ["Rollout"]}), "of which API group"),
        (policy({"static": {"action": "pass"}}, deny={}), "denies nothing"),
        (policy({"static": {"action": "pass"}}, grace={"until": "2026-01-01"}), "is no moment"),
        (policy({"static": {"action": "pass"}}, requires={}), "no field 'requires'"),
        (policy({"static": {"action": "pass"}}, mirrors=[{"mirror": "ghcr.io", "of": "ghcr.io/x"}]), "mirror of itself"),
        (policy({"static": {"action": "pass"}}, kind="ImagePolicy"), "metadata.namespace is missing"),
        (policy({"static": {"action": "pass"}}, namespace="x"), "of the whole cluster"),
        (policy({"static": {"action": "pass"}}) | {"apiVersion": "sealgate.dev/v1"}, "no version 'v1'"),
    ],
)  # fmt: skip
def test_P18_what_is_no_policy_is_not_loaded(document, said):
    load(policy({"static": {"action": "pass"}}))
    error = refused(document)
    assert error.code == "policy-invalid"
    assert said in error.message


def test_ages_are_of_predicates_that_say_when(good):
    wanted = {"attestation": {"type": SCORE, "by": by(good), "maxAge": "1d"}}
    assert "do not say when" in refused(policy(wanted)).message
    load(policy({"attestation": {"type": VULN, "by": by(good), "maxAge": "1d"}}))
    assert "no span of time" in refused(policy({"attestation": {"type": VULN, "by": by(good), "maxAge": "1y"}})).message


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("key", "require.signature"), ("identities", "require.signature"), ("scan", "require"), ("namespaceSelector", "match"),
        ("operations", "match"), ("until", "grace, or an exception"),
    ],
)  # fmt: skip
def test_P18_a_misplaced_field_is_told_where_it_belongs(good, field, place):
    error = refused(policy(signature(good), **{field: "x"}))
    assert error.hint == f"it belongs under {place}"
    assert load(policy(signature(good))).rules


def test_what_is_denied_by_name_is_denied_by_each_of_its_names(registry, good):
    mirrored = [{"mirror": "mirror.local:5000/cache", "of": HOST}]
    document = policy(signature(good), mirrors=mirrored, deny={"images": [f"{TEAM}/signed:1.0"]})
    for name in ("signed", "both"):
        registry._stores[f"mirror.local:5000/cache/team/{name}"] = registry._stores[f"{TEAM}/{name}"]
    digest = one(load(policy(signature(good))), registry, f"{TEAM}/signed:1.0").digest
    policies = load(document)
    for name in (f"{TEAM}/signed:1.0", f"{TEAM}/signed:1.0@{digest}", "mirror.local:5000/cache/team/signed:1.0"):
        assert codes(one(policies, registry, name)) == ["image-denied"], name
    for name in (f"{TEAM}/signed@{digest}", f"{TEAM}/both:1.0", "mirror.local:5000/cache/team/both:1.0"):
        assert codes(one(policies, registry, name)) == ["accepted"], name


def test_a_list_of_digests_that_no_image_has(good):
    load(policy(signature(good), deny={"digests": ["sha256:" + "a" * 64]}))
    assert "deny.digests" in refused(policy(signature(good), deny={"digests": ["sha512:" + "a" * 128]})).message


def test_the_deny_list_holds_where_nobody_could_be_asked_and_rules_only_warn(registry, good):
    from sealgate.digest import Digest
    from sealgate.verification.deny import DenyList

    policies = load(policy(signature(good), action="warn"))
    digest = "sha256:" + "e" * 64
    denying = policies._replace(deny=DenyList(digests=((Digest.parse(digest), "withdrawn"),)))
    for name in (f"{TEAM}/nothing:1.0", f"{TEAM}/nothing@{digest}"):
        assert one(policies, registry, name).severity == "warn"
        assert one(denying, registry, name).severity == "deny"
