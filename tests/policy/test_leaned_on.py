"""Every step of a decision by policies is leaned on: when one of them always agrees, something that is denied is admitted.

Each scenario is denied for one reason alone. A step is replaced by one that says what an attacker wants to hear (the rule is
met; the rule is about something else; the exception holds); what is admitted then must be what is declared here, and nothing
else. A step that nobody leans on could be left out, and nobody would notice.
"""

import base64

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.kyverno_validating.scene import SIGNED, ivp
from policy.scene import NOW, load, one, pem
from policy.sigstore.scene import cip, keyed
from sealgate.digest import Digest
from sealgate.policy import (
    caged,
    counting,
    evaluate,
    index,
    listing,
    model,
    patterns,
    scanned,
    times,
)
from sealgate.policy.attestors import Settings
from sealgate.policy.kyverno import conditions as kyverno_conditions
from sealgate.policy.kyverno import constraints, deny, exception, globs, match, validation
from sealgate.policy.own import selection
from sealgate.policy.sigstore import conditions as sigstore_conditions
from sealgate.policy.sigstore import policy as sigstore
from sealgate.trust.period import rfc3339
from sealgate.verification import naming
from sealgate.verification.deny import DenyList
from sealgate.verification.findings import Finding

HOST = "registry.example.com"
TEAM = f"{HOST}/team"
SIGNED_IMAGE, UNSIGNED = f"{TEAM}/signed:1.0", f"{TEAM}/unsigned:1.0"
REVIEW = "https://example.com/review"
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
DAY = 86_400.0


def scan(days, *severities):
    at = rfc3339(NOW - days * DAY)
    found = [
        {"VulnerabilityID": f"CVE-2026-{number}", "PkgName": "x", "InstalledVersion": "1", "Severity": each}
        for number, each in enumerate(severities)
    ]
    result = {
        "SchemaVersion": 2, "ArtifactName": "x", "ArtifactType": "container_image",
        "Results": [{"Target": "x", "Class": "os-pkgs", "Type": "debian", "Packages": [{"Name": "x", "Version": "1"}],
                     "Vulnerabilities": found}],
    }  # fmt: skip
    scanner = {"uri": "pkg:github/aquasecurity/trivy@0.50.0", "version": "0.50.0", "result": result}
    return {"scanner": scanner, "metadata": {"scanStartedOn": at, "scanFinishedOn": at}}


@pytest.fixture(scope="module")
def images(registry, good):
    """Those of the scene, and a few that something is attested about, or that are called otherwise."""
    for name, kind, predicate in (
        ("reviewed", REVIEW, {"approved": True}), ("rejected", REVIEW, {"approved": False}),
        ("clean", VULN, scan(1)), ("stale", VULN, scan(30)), ("dirty", VULN, scan(1, "CRITICAL")),
    ):  # fmt: skip
        registry.push(f"{TEAM}/{name}")
        registry.attest(f"{TEAM}/{name}", good, kind, predicate)
    for name, called in (("named", "named"), ("renamed", "other")):
        registry.push(f"{TEAM}/{name}")
        registry.legacy(f"{TEAM}/{name}", good, f"{TEAM}/{called}")
    registry.push("mirror.example.com/team/copied")
    return registry


@pytest.fixture(scope="module")
def scenarios(images, good, other):
    withdrawn = Digest.parse(images.push(f"{TEAM}/withdrawn"))
    return denied(good, other, Settings(deny=DenyList(digests=((withdrawn, "withdrawn"),))))


def own(require, *, kind="ClusterImagePolicy", name="own", images=(f"{HOST}/**",), namespace=None, **spec):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    spec = {"images": list(images), "require": require} | spec
    return {"apiVersion": "sealgate.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def excused(*, until=None, metadata=None, rule="verify", resources=None, **spec):
    resources = {"kinds": ["Pod"]} | (resources or {})
    return {
        "apiVersion": "kyverno.io/v2", "kind": "PolicyException",
        "metadata": {"name": "hotfix", "namespace": "kyverno"} | (metadata or {}),
        "spec": {"exceptions": [{"policyName": "check", "ruleNames": [rule]}], "match": {"any": [{"resources": resources}]}}
        | ({"expires": until} if until else {}) | spec,
    }  # fmt: skip


def registries(text):
    containers = [{"image": text}]
    return policy(rule={"validate": {"message": "unknown registry", "pattern": {"spec": {"containers": containers}}}})


def overridden(namespaces):
    return {"validationFailureActionOverrides": [{"action": "Audit", "namespaces": namespaces}]}


def condition(key, operator, value, how="all"):
    return {how: [{"key": key, "operator": operator, "value": value}]}


def reviewed(good, **more):
    attestation = {"type": REVIEW, "name": "review", "attestors": [{"entries": [keys(good)]}]}
    return block(attestations=[attestation | more.pop("attestation", {})], **more)


def compliant(good):
    rego = "package sigstore\ndefault isCompliant = false\nisCompliant { input.authorityMatches.b.signatures }"
    return cip(keyed(good, name="a"), images=(f"{HOST}/**",), policy={"type": "rego", "data": rego})


def denied(good, other, listed):
    """What is denied, each for one reason: (the policies, the image, what else)."""
    one_key, base = keys(good), policy(block(keys(good)))
    narrow = own({"signature": {"key": pem(good)}})
    scanning = {"by": {"key": pem(good)}, "maxAge": "7d"}
    signed = {"type": "sigstoreSigned", "keyData": base64.b64encode(pem(good).encode()).decode()}
    mirrored = own(
        {"static": {"action": "pass"}}, images=(f"{TEAM}/**",), mirrors=[{"mirror": "mirror.example.com", "of": HOST}]
    )
    return {
        # Kyverno's ClusterPolicy
        "kyverno: unsigned": ([base], UNSIGNED, {}),
        "kyverno: two are asked for": ([policy(block(one_key, keys(other)))], SIGNED_IMAGE, {}),
        "kyverno: one key counts once": ([policy(block(one_key, one_key, count=2))], SIGNED_IMAGE, {}),
        "kyverno: excluded elsewhere": (
            [policy(block(one_key), rule={"exclude": {"any": [{"resources": {"namespaces": ["kube-*"]}}]}})], UNSIGNED, {}),
        "kyverno: a precondition that holds": (
            [policy(block(one_key), rule={"preconditions": condition("{{ request.namespace }}", "Equals", "default")})],
            UNSIGNED, {}),
        "kyverno: skipped by no pattern": (
            [policy(block(one_key, skipImageReferences=[f"{HOST}/other/*"]))], UNSIGNED, {}),
        "kyverno: another registry": ([registries("other.example.com/*")], UNSIGNED, {}),
        "kyverno: overridden elsewhere": ([policy(block(one_key, mutateDigest=False), spec={
            "rules": policy(block(one_key, mutateDigest=False))["spec"]["rules"], **overridden(["test-*"])})], UNSIGNED, {}),
        "kyverno: nobody reviewed it": ([policy(reviewed(good))], SIGNED_IMAGE, {}),
        "kyverno: not approved": ([policy(reviewed(good, attestation={
            "conditions": [condition("{{ approved }}", "Equals", True)]}))], f"{TEAM}/rejected:1.0", {}),
        "kyverno: what it says is denied": ([policy(reviewed(good, validate={
            "deny": {"conditions": condition("{{ review.approved }}", "Equals", False, "any")}}))], f"{TEAM}/rejected:1.0", {}),
        "exception: over": ([base, excused(until=rfc3339(NOW - DAY))], UNSIGNED, {}),
        "exception: from another rule": ([base, excused(rule="other")], UNSIGNED, {}),
        "exception: for another image": ([base, excused(images=[f"{TEAM}/other*"])], UNSIGNED, {}),
        "exception: for another namespace": ([base, excused(resources={"namespaces": ["team-a"]})], UNSIGNED, {}),
        "exception: of another namespace": ([base, excused(metadata={"namespace": "team-a"})], UNSIGNED, {}),
        "exception: nobody can say": (
            [base, excused(resources={"namespaceSelector": {"matchLabels": {"a": "b"}}})], UNSIGNED, {}),
        # image policies
        "image policy: unsigned": ([ivp(SIGNED, keys={"k": good})], UNSIGNED, {}),
        # policy-controller
        "controller: unsigned": ([cip(keyed(good))], UNSIGNED, {}),
        "controller: by one alone": ([compliant(good)], SIGNED_IMAGE, {}),
        "controller: of others": ([cip(keyed(good), match=[{"group": "apps", "version": "v1", "resource": "deployments"}])],
                                  UNSIGNED, {"kind": "Deployment"}),
        "controller: nobody's": ([cip(keyed(good), images=("other.example.com/**",))], SIGNED_IMAGE, {}),
        # policy.json
        "containers: called otherwise": ([{"default": [{"type": "reject"}], "transports": {"docker": {
            HOST: [signed | {"signedIdentity": {"type": "matchRepository"}}]}}}], f"{TEAM}/renamed:1.0", {}),
        "containers: the default": ([{"default": [{"type": "reject"}]}], SIGNED_IMAGE, {}),
        # our own
        "own: unsigned": ([narrow], UNSIGNED, {}),
        "own: a look-alike": ([own({"registries": [f"{HOST}.evil.example", f"{HOST}/team2"]})], SIGNED_IMAGE, {}),
        "own: withdrawn": ([own({"signature": {"key": pem(good)}}, deny={"images": [f"{TEAM}/signed"]})], SIGNED_IMAGE, {}),
        "own: a key that leaked": ([own({"signature": {"key": pem(good)}}, deny={
            "keys": [good.public_key.fingerprint]})], SIGNED_IMAGE, {}),
        "own: an image on the deny-list": ([own({"static": {"action": "pass"}})], f"{TEAM}/withdrawn:1.0", {"settings": listed}),
        "own: scanned long ago": ([own({"attestation": {"type": VULN, **scanning}})], f"{TEAM}/stale:1.0", {}),
        "own: scanned and bad": ([own({"scan": {"by": {"key": pem(good)}, "maxAge": "7d"}})], f"{TEAM}/dirty:1.0", {}),
        "own: not approved": ([own({"attestation": {"type": REVIEW, "by": {"key": pem(good)}, "conditions": [
            {"cel": "predicate.approved"}]}})], f"{TEAM}/rejected:1.0", {}),
        "own: overridden elsewhere": ([own({"signature": {"key": pem(good)}}, overrides=[
            {"action": "audit", "match": {"namespaces": ["test-*"]}}])], UNSIGNED, {}),
        "own: excepted elsewhere": ([own({"signature": {"key": pem(good)}}, exceptions=[
            {"name": "x", "images": [f"{TEAM}/unsigned"], "until": rfc3339(NOW + DAY), "reason": "x",
             "match": {"namespaces": ["test-*"]}}])], UNSIGNED, {}),
        "own: a grace that is over": ([own({"signature": {"key": pem(good)}}, grace={
            "until": rfc3339(NOW - DAY)})], UNSIGNED, {}),
        "own: nobody's": ([own({"signature": {"key": pem(good)}}, images=("other.example.com/**",))], SIGNED_IMAGE, {}),
        "own: a mirror under its own name": ([mirrored, own({"static": {"action": "fail"}}, name="mirror", images=(
            "mirror.example.com/**",))], "mirror.example.com/team/copied:1.0", {}),
    }  # fmt: skip


def admitted(registry, scenarios):
    found = set()
    for name, (documents, image, more) in scenarios.items():
        policies = load(*documents, settings=more.get("settings"))
        if one(policies, registry, image, kind=more.get("kind", "Pod")).severity != "deny":
            found.add(name)
    return found


# -- what replaces a step


def _yes(*_, **__):
    return True


def _no(*_, **__):
    return False


def _nothing(*_, **__):
    return None


def _met(statement, *_, **__):
    return [Finding("condition-met", "passed", "agreed")]


def _excusing(wrapped):
    return lambda pattern, dialect, *, excuse=False: ".*" if excuse else wrapped(pattern, dialect, excuse=excuse)


def _forever(rule, now):
    return rule if rule.grace is None else rule._replace(action=rule.grace.action)


def _all_of(self, workload, candidates, now):
    return [model.Judged("accepted", "accepted", "agreed") for _ in candidates]


def _of(names, *prefixes):
    return {name for name in names if name.startswith(tuple(f"{each}: " for each in prefixes))}


def _rules_of_kyverno(names):
    return _of(names, "kyverno", "exception")


def _asked_by_counts(names):
    """Kyverno's attestors and the controller's authorities; our own demand for one signature counts nothing."""
    others = {"controller: unsigned", "controller: of others", "containers: called otherwise"}
    return (_rules_of_kyverno(names) - {"kyverno: another registry"}) | others


def _refused_by_rules(names):
    return names - {"controller: nobody's", "own: nobody's", "own: an image on the deny-list"}


STEPS = {
    # Step: where it is, what replaces it, what is admitted then
    "a count": (counting, "_met", lambda found, verdicts, good: len(found), _asked_by_counts),
    "signers are different": (counting, "most", len, {"kyverno: one key counts once"}),
    "a list": (listing, "is_on", lambda listed, subject: listed.wanted, {"own: a look-alike", "own: withdrawn"}),
    "what a name alone decides": (counting, "hopeless", _nothing, set()),  # decided once more, over verdicts
    "what an exception is from": (counting, "exempts", _yes, {"exception: from another rule"}),
    "its names": (counting, "named", _yes, {"exception: from another rule"}),
    "how long an exception lasts": (index, "_lasts", _yes, {"exception: over"}),
    "how far it reaches": (index, "_reaches", _yes, {"exception: of another namespace"}),
    "which images it is for": (index, "_exempted_images", lambda found, dialect: [".*"], {"exception: for another image"}),
    "that it can be said": (exception.Surely, "selects", _yes, {
        "exception: for another namespace", "exception: nobody can say"}),
    "patterns that excuse": (patterns, "expression", _excusing, {
        "exception: for another image", "kyverno: skipped by no pattern", "kyverno: another registry", "own: a look-alike"}),
    "what a rule is about, Kyverno": (match.Match, "selects", _no, _rules_of_kyverno),
    "what it excludes": (match, "_not", _no, {"kyverno: excluded elsewhere"}),
    "wildcards": (globs, "matches", _yes, {
        "exception: for another namespace", "kyverno: excluded elsewhere", "kyverno: overridden elsewhere"}),
    "where an override holds, Kyverno": (match.Namespaces, "selects", _yes, {"kyverno: overridden elsewhere"}),
    "a precondition": (kyverno_conditions.Block, "holds", _no, {
        "kyverno: a precondition that holds", "kyverno: what it says is denied"}),
    "a condition, Kyverno": (kyverno_conditions.OnPredicate, "__call__", _met, {"kyverno: not approved"}),
    "validate.deny": (deny.Deny, "decide", lambda self, verdicts, subject: (True, "agreed"), {
        "kyverno: what it says is denied"}),
    "a validation": (validation.Validation, "judge_all", _all_of, {"image policy: unsigned"}),
    "what an image policy is about": (constraints.Constraints, "selects", _no, {"image policy: unsigned"}),
    "a policy over authorities": (sigstore_conditions.Matches, "decide", lambda self, verdicts, subject: (True, "agreed"), {
        "controller: by one alone"}),
    "whom a policy of the controller is about": (sigstore.Match, "selects", _no, set()),  # nobody's: denied all the same
    "what a signature calls the image": (naming.Naming, "_fits", _yes, {"containers: called otherwise"}),
    "the deny-list, images": (DenyList, "digest", _nothing, {"own: an image on the deny-list"}),
    "the deny-list, keys": (DenyList, "key", _nothing, {"own: a key that leaked"}),
    "how old an attestation is": (times.Fresh, "__call__", _met, {"own: scanned long ago"}),
    "what a scan found": (scanned.Scanned, "__call__", _met, {"own: scanned and bad"}),
    "a condition, our own": (caged.Caged, "__call__", _met, {"own: not approved"}),
    "where something holds, our own": (selection.Selection, "selects", _yes, {
        "own: overridden elsewhere", "own: excepted elsewhere"}),
    "what a rule of ours is about": (selection.Selection, "selects", _no, set()),  # nobody's: denied all the same
    "a grace": (evaluate, "_in_grace", _forever, {"own: a grace that is over"}),
    "both names of a mirror": (evaluate, "_both", lambda one, other: one, {"own: a mirror under its own name"}),
    "what nobody's policy is about": (model, "NO_MATCH", dict.fromkeys(model.NO_MATCH, "allow"), {
        "controller: nobody's", "own: nobody's"}),
    "that nobody said anything": (evaluate, "_unmatched", lambda *_: [], set()),  # no ruling at all denies
    "what a refusal does": (evaluate, "_action", lambda rule, workload: "audit", _refused_by_rules),
}  # fmt: skip


def test_each_scenario_is_denied_while_all_steps_are_made(images, scenarios):
    assert admitted(images, scenarios) == set()


def test_what_is_good_is_admitted(images, good, other):
    key = pem(good)
    assert admitted(images, {
        "kyverno": ([policy(block(keys(good)))], SIGNED_IMAGE, {}),
        "two": ([policy(block(keys(good), keys(other)))], f"{TEAM}/both:1.0", {}),
        "exception": ([policy(block(keys(good))), excused(until=rfc3339(NOW + DAY))], UNSIGNED, {}),
        "reviewed": ([policy(reviewed(good, attestation={
            "conditions": [condition("{{ approved }}", "Equals", True)]}))], f"{TEAM}/reviewed:1.0", {}),
        "image policy": ([ivp(SIGNED, keys={"k": good})], SIGNED_IMAGE, {}),
        "controller": ([cip(keyed(good))], SIGNED_IMAGE, {}),
        "own": ([own({"all": [{"signature": {"key": key}}, {"registries": [TEAM]}]})], SIGNED_IMAGE, {}),
        "scanned": ([own({"scan": {"by": {"key": key}, "maxAge": "7d"}})], f"{TEAM}/clean:1.0", {}),
    }) == {"kyverno", "two", "exception", "reviewed", "image policy", "controller", "own", "scanned"}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_leaned_on(images, scenarios, monkeypatch, step):
    holder, name, agreeing, expected = STEPS[step]
    if agreeing is _excusing:
        agreeing = _excusing(patterns.expression)
    monkeypatch.setattr(holder, name, agreeing)
    wanted = expected(scenarios.keys()) if callable(expected) else expected
    assert admitted(images, scenarios) == wanted
