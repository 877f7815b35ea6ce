"""Every field of every dialect's schema: it decides something, or is told to change nothing, or does not load, with its place.

`decides`: what is loaded is another than without it. `idle`: the same, and `field-idle` says so. `aside`: the same, and it is
told otherwise or is about somebody else's webhook. `refused`: an error that names the place.
"""

import base64
import copy
import hashlib
import itertools
import json

import pytest

from policy.kyverno_validating.scene import PODS, SIGNED
from policy.scene import References, load, pem
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.keys.private import PrivateKey
from sealgate.policy.attestors import Settings
from sealgate.policy.conversion import loading

KEY, OTHER, LOG = (PrivateKey.generate() for _ in range(3))
ROOT = loading._root()
SETTINGS = Settings(ROOT)
CHAIN = loading._AUTHORITY
STAMPS = loading._TIMES + CHAIN
SECRETS = {
    (namespace, name): {"cosign.pub": pem(OTHER).encode()} for namespace in ("kyverno", "cosign-system", "team") for name in ("k", "pull")
}  # fmt: skip
MAPS = {("default", "m"): {"a": "b"}, ("cosign-system", "m"): {"a": "package sigstore\nisCompliant = true"}}
IDENTITY = {"issuer": "https://x.example", "subject": "y"}
DECIDES, IDLE, ASIDE, REFUSED, UNSUPPORTED = "decides", "idle", "aside", "refused", "unsupported"


def loaded(document):
    return load(
        document,
        settings=SETTINGS,
        references=References(SECRETS, MAPS),
        files={"/k.pub": pem(OTHER).encode(), "/ca.pem": CHAIN.encode()},
    )


def put(document, path, value):
    """The document with a field. A path is of names and numbers; what is missing on the way is made."""
    made = copy.deepcopy(document)
    place = made
    steps = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step, after in itertools.pairwise(steps):
        if isinstance(step, int) or (step in place and place[step] is not None):
            place = place[step]
        else:
            place[step] = [] if isinstance(after, int) else {}
            place = place[step]
        if isinstance(after, int) and len(place) <= after:
            place.append({})
    if isinstance(place, list) and len(place) <= steps[-1]:
        place.append({})
    place[steps[-1]] = value
    return made


def told(path):
    """A path as messages have it."""
    return "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path.split(".")).removeprefix(".")


def check(base, path, value, outcome):
    """What becomes of a field."""
    before = loaded(base)
    document = put(base, path, value)
    if outcome in {REFUSED, UNSUPPORTED}:
        with pytest.raises(PolicyInvalidError) as found:
            loaded(document)
        assert told(path) in found.value.message
        if outcome == UNSUPPORTED:
            assert isinstance(found.value, PolicyUnsupportedError)
        return
    after = loaded(document)
    same = repr(after._replace(notes=())) == repr(before._replace(notes=()))
    assert same == (outcome != DECIDES), "it changes nothing" if same else "it changes something"
    idle = [note for note in after.notes if note.code == "field-idle" and note.where.endswith(told(path))]
    assert bool(idle) == (outcome == IDLE)


# -- Kyverno: ClusterPolicy

PODS_ALONE = {"any": [{"resources": {"kinds": ["Pod"]}}]}
CPOL = {
    "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
    "spec": {"validationFailureAction": "Enforce", "rules": [{"name": "r", "match": PODS_ALONE, "verifyImages": [
        {"imageReferences": ["ghcr.io/o/*"], "attestors": [{"entries": [{"keys": {"publicKeys": pem(KEY)}}]}]}]}]},
}  # fmt: skip
BLOCK = "spec.rules.0.verifyImages.0"
ENTRY = f"{BLOCK}.attestors.0.entries.0"
KEYLESS = put(CPOL, ENTRY, {"keyless": dict(IDENTITY)})
CERTIFIED = put(CPOL, ENTRY, {"certificates": {"cert": CHAIN}})
ATTESTED = put(
    CPOL,
    f"{BLOCK}.attestations",
    [{"type": "https://x.example/t", "attestors": [{"entries": [{"keys": {"publicKeys": pem(KEY)}}]}]}],
)
LEGACY = put(put(CPOL, f"{BLOCK}.attestors", None), f"{BLOCK}.key", pem(KEY))
ISSUED = put(
    put(put(CPOL, f"{BLOCK}.attestors", None), f"{BLOCK}.issuer", "https://x.example"), f"{BLOCK}.subject", "y"
)
CONDITION = {"all": [{"key": "{{ a }}", "operator": "Equals", "value": 1}]}
KYVERNO = [
    # 2.1 spec
    (CPOL, "spec.applyRules", "One", ASIDE), (CPOL, "spec.applyRules", "Some", REFUSED), (CPOL, "spec.failurePolicy", "Fail", ASIDE), (CPOL, "spec.failurePolicy", "Never", REFUSED),
    (CPOL, "spec.validationFailureAction", "audit", DECIDES), (CPOL, "spec.validationFailureActionOverrides", [{"action": "Audit", "namespaces": ["a-*"]}], DECIDES),
    (CPOL, "spec.validationFailureActionOverrides", [{"action": "Audit", "namespaceSelector": {"matchLabels": {"a": "b"}}}], DECIDES), (CPOL, "spec.validationFailureActionOverrides.0", {"action": "Audit"}, REFUSED),
    (put(CPOL, "spec.validationFailureAction", "Audit"), "spec.emitWarning", True, DECIDES), (CPOL, "spec.admission", False, DECIDES), (CPOL, "spec.webhookTimeoutSeconds", 30, ASIDE), (CPOL, "spec.webhookTimeoutSeconds", 31, REFUSED),
    (CPOL, "spec.webhookConfiguration", {"failurePolicy": "Fail", "timeoutSeconds": 10, "matchConditions": [{"name": "x", "expression": "true"}]}, ASIDE), (CPOL, "spec.webhookConfiguration.timeoutSeconds", 0, REFUSED),
    *((CPOL, f"spec.{name}", True, IDLE) for name in ("background", "useServerSideApply", "generateExisting", "mutateExistingOnPolicyUpdate", "schemaValidation", "generateExistingOnPolicyUpdate")),
    # 2.2 rules
    (CPOL, "spec.rules.0.context", [{"name": "v", "variable": {"value": 1}}], DECIDES), (CPOL, "spec.rules.0.context", [{"name": "m", "configMap": {"name": "m", "namespace": "default"}}], DECIDES),
    *((put(CPOL, "spec.rules.0.context", [{"name": "v", "variable": {"value": 1}}]), f"spec.rules.0.context.0.{name}", value, UNSUPPORTED) for name, value in (
        ("apiCall", {"urlPath": "/api"}), ("imageRegistry", {"reference": "x"}), ("globalReference", {"name": "g"}))),
    (CPOL, "spec.rules.0.match", {"any": [{"resources": {"kinds": ["Pod"], "names": ["a"]}}]}, DECIDES), (CPOL, "spec.rules.0.exclude", {"any": [{"resources": {"namespaces": ["x"]}}]}, DECIDES),
    *((CPOL, "spec.rules.0.match", {"any": [{"resources": {"kinds": ["Pod"]} | more} | beside]}, DECIDES) for more, beside in (
        ({"name": "a"}, {}), ({"namespaces": ["a"]}, {}), ({"annotations": {"a": "b"}}, {}), ({"selector": {"matchLabels": {"a": "b"}}}, {}), ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {}), ({"operations": ["CREATE"]}, {}),
        ({}, {"roles": ["a:b"]}), ({}, {"clusterRoles": ["c"]}), ({}, {"subjects": [{"kind": "User", "name": "u"}]}))),
    (CPOL, "spec.rules.0.preconditions", {"all": [{"key": "{{ request.operation }}", "operator": "Equals", "value": "CREATE", "message": "m"}]}, DECIDES), (CPOL, "spec.rules.0.celPreconditions", [{"name": "c", "expression": "true"}], UNSUPPORTED),
    (CPOL, "spec.rules.0.imageExtractors", {"Task": [{"path": "/spec/steps/*/image", "value": "v", "name": "n", "key": "k"}]}, DECIDES), (CPOL, "spec.rules.0.skipBackgroundRequests", True, IDLE), (CPOL, "spec.rules.0.reportProperties", {"a": "b"}, IDLE),
    # 2.3 verifyImages
    (CPOL, f"{BLOCK}.failureAction", "Audit", DECIDES), (CPOL, f"{BLOCK}.failureAction", "Deny", REFUSED), (CPOL, f"{BLOCK}.type", "SigstoreBundle", ASIDE), (CPOL, f"{BLOCK}.type", "Notary", UNSUPPORTED), (CPOL, f"{BLOCK}.type", "x", REFUSED),
    (CPOL, f"{BLOCK}.imageReferences", ["ghcr.io/p/*"], DECIDES), (CPOL, f"{BLOCK}.skipImageReferences", ["ghcr.io/o/x/*"], DECIDES), (CPOL, f"{BLOCK}.repository", "ghcr.io/o/sigs", DECIDES), (CPOL, f"{BLOCK}.repository", "A B", REFUSED),
    (CPOL, f"{BLOCK}.cosignOCI11", True, IDLE), (CPOL, f"{BLOCK}.useCache", False, IDLE), *((CPOL, f"{BLOCK}.{name}", False, DECIDES) for name in ("mutateDigest", "verifyDigest", "required")),
    (put(CPOL, "spec.validationFailureAction", "Audit"), f"{BLOCK}.mutateDigest", True, REFUSED), (ATTESTED, f"{BLOCK}.validate", {"message": "m", "deny": {"conditions": CONDITION}}, DECIDES),
    (CPOL, f"{BLOCK}.imageRegistryCredentials", {"allowInsecureRegistry": True, "providers": ["google"], "secrets": ["pull", "a/b"]}, DECIDES), (CPOL, f"{BLOCK}.imageRegistryCredentials.providers", ["x"], REFUSED),
    (CPOL, f"{BLOCK}.image", "ghcr.io/q/*", DECIDES), (CPOL, f"{BLOCK}.key", pem(OTHER), DECIDES), (LEGACY, f"{BLOCK}.annotations", {"a": "b"}, DECIDES), (ISSUED, f"{BLOCK}.subject", "z", DECIDES), (ISSUED, f"{BLOCK}.issuer", "https://z.example", DECIDES),
    (ISSUED, f"{BLOCK}.roots", STAMPS, DECIDES), (ISSUED, f"{BLOCK}.additionalExtensions", {"githubWorkflowTrigger": "push"}, DECIDES), (LEGACY, f"{BLOCK}.additionalExtensions", {"githubWorkflowTrigger": "push"}, REFUSED),
    # 2.4 attestors
    (CPOL, f"{BLOCK}.attestors.0.count", 1, ASIDE), (put(CPOL, f"{BLOCK}.attestors.0.entries", [{"keys": {"publicKeys": pem(each)}} for each in (KEY, OTHER)]), f"{BLOCK}.attestors.0.count", 1, DECIDES), (CPOL, f"{BLOCK}.attestors.0.count", 2, REFUSED),
    (CPOL, f"{ENTRY}.annotations", {"a": "b*"}, DECIDES), (CPOL, f"{ENTRY}.repository", "ghcr.io/o/sigs", DECIDES), (CPOL, f"{ENTRY}.signatureAlgorithm", "sha512", DECIDES), (CPOL, f"{ENTRY}.signatureAlgorithm", "sha224", UNSUPPORTED),
    (CPOL, f"{ENTRY}.keys.publicKeys", pem(OTHER), DECIDES), (CPOL, f"{ENTRY}.keys.publicKeys", "k8s://kyverno/k", DECIDES), (CPOL, f"{ENTRY}.keys.publicKeys", "awskms:///x", UNSUPPORTED), (CPOL, f"{ENTRY}.keys.publicKeys", "hashivault://x", UNSUPPORTED),
    (CPOL, f"{ENTRY}.keys.kms", "gcpkms://x", UNSUPPORTED), (CPOL, f"{ENTRY}.keys", {"secret": {"name": "k", "namespace": "kyverno"}}, DECIDES), (CPOL, f"{ENTRY}.keys.signatureAlgorithm", "sha384", DECIDES),
    (CPOL, f"{ENTRY}.keys.rekor", {"ignoreTlog": True}, DECIDES), (CPOL, f"{ENTRY}.keys.rekor", {"pubkey": pem(LOG), "url": "https://r.example"}, DECIDES), (CPOL, f"{ENTRY}.keys.rekor", {"url": "https://r.example"}, ASIDE), (CPOL, f"{ENTRY}.keys.ctlog", {"tsaCertChain": STAMPS}, DECIDES),
    (CERTIFIED, f"{ENTRY}.certificates.certChain", CHAIN, ASIDE), (CERTIFIED, f"{ENTRY}.certificates", {"certChain": CHAIN}, DECIDES), (CERTIFIED, f"{ENTRY}.certificates.cert", "x", REFUSED), (CERTIFIED, f"{ENTRY}.certificates.rekor", {"ignoreTlog": True}, DECIDES),
    (CERTIFIED, f"{ENTRY}.certificates.ctlog", {"tsaCertChain": STAMPS}, DECIDES), (KEYLESS, f"{ENTRY}.keyless.issuer", "https://z.example", DECIDES), (KEYLESS, f"{ENTRY}.keyless", {"issuerRegExp": "^x$", "subjectRegExp": "^y$"}, DECIDES),
    (KEYLESS, f"{ENTRY}.keyless.subject", "z*", DECIDES), (KEYLESS, f"{ENTRY}.keyless.roots", STAMPS, DECIDES), (KEYLESS, f"{ENTRY}.keyless.roots", "x", REFUSED), (KEYLESS, f"{ENTRY}.keyless.additionalExtensions", {"githubWorkflowTrigger": "push*"}, DECIDES),
    (KEYLESS, f"{ENTRY}.keyless.rekor", {"ignoreTlog": True}, DECIDES),
    (KEYLESS, f"{ENTRY}.keyless.ctlog", {"ignoreSCT": True}, DECIDES), (KEYLESS, f"{ENTRY}.keyless.ctlog", {"pubkey": pem(LOG)}, DECIDES), (CPOL, ENTRY, {"attestor": {"entries": [{"keys": {"publicKeys": pem(KEY)}}]}}, DECIDES),
    (ATTESTED, f"{BLOCK}.attestations.0.name", "n", ASIDE), (ATTESTED, f"{BLOCK}.attestations.0.type", "https://x.example/u", DECIDES), (ATTESTED, f"{BLOCK}.attestations.0.predicateType", "https://x.example/t", ASIDE),
    (ATTESTED, f"{BLOCK}.attestations.0.attestors.0.entries.0.keys.publicKeys", pem(OTHER), DECIDES), (ATTESTED, f"{BLOCK}.attestations.0.conditions", [CONDITION], DECIDES),
]  # fmt: skip

# -- Kyverno: ImageValidatingPolicy

IVP = {
    "apiVersion": "policies.kyverno.io/v1", "kind": "ImageValidatingPolicy", "metadata": {"name": "p"},
    "spec": {"matchConstraints": {"resourceRules": [PODS]}, "attestors": [{"name": "k", "cosign": {"key": {"data": pem(KEY)}}}], "validations": [{"expression": SIGNED}]},
}  # fmt: skip
COSIGN = "spec.attestors.0.cosign"
ISSUED_IVP = put(IVP, COSIGN, {"keyless": {"identities": [dict(IDENTITY)]}})
TRUSTED = json.dumps({
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [{"baseUrl": "https://r.example", "hashAlgorithm": "SHA2_256", "publicKey": {"rawBytes": base64.b64encode(LOG.public_key.spki).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2020-01-01T00:00:00Z"}}, "logId": {"keyId": base64.b64encode(hashlib.sha256(LOG.public_key.spki).digest()).decode()}}],
})  # fmt: skip
RULE = "spec.matchConstraints.resourceRules.0"
IMAGE_POLICIES = [
    *((IVP, f"{RULE}.{name}", value, DECIDES) for name, value in (("apiGroups", ["*"]), ("apiVersions", ["*"]), ("operations", ["CREATE"]), ("resources", ["*"]), ("scope", "Namespaced"), ("resourceNames", ["a"]))),
    (IVP, "spec.matchConstraints.excludeResourceRules", [PODS | {"operations": ["DELETE"]}], DECIDES), (IVP, "spec.matchConstraints.matchPolicy", "Exact", DECIDES), (IVP, "spec.matchConstraints.matchPolicy", "x", REFUSED),
    (IVP, "spec.matchConstraints.namespaceSelector", {"matchLabels": {"a": "b"}}, DECIDES), (IVP, "spec.matchConstraints.objectSelector", {"matchLabels": {"a": "b"}}, DECIDES), (IVP, "spec.matchConditions", [{"name": "c", "expression": "true"}], DECIDES),
    (IVP, "spec.failurePolicy", "Ignore", ASIDE), (IVP, "spec.failurePolicy", "x", REFUSED), (IVP, "spec.validationActions", ["Audit"], DECIDES), (IVP, "spec.validationActions", ["x"], REFUSED),
    (IVP, "spec.matchImageReferences", [{"glob": "ghcr.io/*"}], DECIDES), (IVP, "spec.matchImageReferences", [{"expression": "true"}], DECIDES), (IVP, "spec.images", [{"name": "x", "expression": "['a']"}], DECIDES),
    (IVP, "spec.variables", [{"name": "v", "expression": "1"}], DECIDES), (IVP, "spec.auditAnnotations", [{"key": "k", "valueExpression": "'v'"}], DECIDES), (IVP, "spec.attestations", [{"name": "a", "intoto": {"type": "https://x.example/t"}}], DECIDES),
    (IVP, "spec.attestations", [{"name": "a", "intoto": {}}], REFUSED), (put(IVP, "spec.attestations", [{"name": "a", "intoto": {"type": "x"}}]), "spec.attestations.0.referrer", {"type": "x"}, UNSUPPORTED),
    (IVP, "spec.validations.0.message", "m", DECIDES), (IVP, "spec.validations.0.messageExpression", "'m'", DECIDES), (IVP, "spec.validations.0.reason", "Forbidden", IDLE),
    *((IVP, f"spec.validationConfigurations.{name}", False, DECIDES) for name in ("mutateDigest", "verifyDigest", "required")), (IVP, "spec.credentials", {"allowInsecureRegistry": True, "providers": ["google"], "secrets": ["pull"]}, DECIDES),
    (IVP, "spec.credentials.secrets", ["a/b"], REFUSED), (IVP, "spec.evaluation.mode", "Kubernetes", ASIDE), (IVP, "spec.evaluation.mode", "JSON", UNSUPPORTED), (IVP, "spec.evaluation.admission", {"enabled": False}, DECIDES), (IVP, "spec.evaluation.background", {"enabled": False}, ASIDE),
    (IVP, "spec.autogen.podControllers.controllers", ["jobs"], DECIDES), (IVP, "spec.autogen.podControllers.controllers", ["x"], REFUSED), (IVP, "spec.webhookConfiguration.timeoutSeconds", 5, ASIDE), (IVP, "spec.webhookConfiguration.timeoutSeconds", 50, REFUSED),
    (IVP, f"{COSIGN}.key.data", pem(OTHER), DECIDES), (IVP, f"{COSIGN}.key.kms", "awskms:///x", UNSUPPORTED), (IVP, f"{COSIGN}.key", {"expression": repr(pem(OTHER))}, DECIDES), (IVP, f"{COSIGN}.key.hashAlgorithm", "sha512", DECIDES), (IVP, f"{COSIGN}.key.hashAlgorithm", "sha224", UNSUPPORTED),
    (ISSUED_IVP, f"{COSIGN}.keyless.identities.0.subject", "z", DECIDES), (ISSUED_IVP, f"{COSIGN}.keyless.identities.0.issuer", "https://z.example", DECIDES), (ISSUED_IVP, f"{COSIGN}.keyless.identities.0", {"issuerRegExp": "^x$", "subjectRegExp": "^y$"}, DECIDES),
    (ISSUED_IVP, f"{COSIGN}.keyless.identities.0", {"issuer": "https://x.example", "subjectExpression": "'z'"}, DECIDES), (ISSUED_IVP, f"{COSIGN}.keyless.roots", STAMPS, DECIDES), (ISSUED_IVP, f"{COSIGN}.keyless.additionalExtensions", {"githubWorkflowTrigger": "push"}, DECIDES),
    (IVP, COSIGN, {"certificate": {"cert": {"value": CHAIN}}}, DECIDES), (IVP, COSIGN, {"certificate": {"certChain": {"value": CHAIN}}}, DECIDES), (IVP, COSIGN, {"certificate": {"cert": {"expression": repr(CHAIN)}, "certChain": {"expression": repr(CHAIN)}}}, DECIDES),
    (ISSUED_IVP, f"{COSIGN}.ctlog.url", "https://r.example", ASIDE), (IVP, f"{COSIGN}.ctlog.rekorPubKey", pem(LOG), DECIDES), (ISSUED_IVP, f"{COSIGN}.ctlog.ctLogPubKey", pem(LOG), DECIDES), (IVP, f"{COSIGN}.ctlog.tsaCertChain", STAMPS, DECIDES),
    (IVP, f"{COSIGN}.ctlog.insecureIgnoreTlog", True, DECIDES), (ISSUED_IVP, f"{COSIGN}.ctlog.insecureIgnoreSCT", True, DECIDES), (IVP, f"{COSIGN}.source.repository", "ghcr.io/o/sigs", DECIDES), (IVP, f"{COSIGN}.source.PullSecrets", [{"name": "pull"}], DECIDES),
    (IVP, f"{COSIGN}.source.tagPrefix", "x-", DECIDES), (IVP, f"{COSIGN}.annotations", {"a": "b"}, DECIDES), (IVP, f"{COSIGN}.tuf", {"mirror": "https://t.example"}, UNSUPPORTED), (IVP, f"{COSIGN}.trustedRoot", {"value": TRUSTED}, DECIDES),
    (IVP, f"{COSIGN}.trustedRoot", {"expression": repr(TRUSTED)}, DECIDES), (IVP, f"{COSIGN}.trustedRoot", {"value": "x"}, REFUSED), (IVP, "spec.attestors.0.notary", {"certs": {"value": "x"}, "tsaCerts": {"value": "x"}}, UNSUPPORTED),
]  # fmt: skip

# -- policy-controller

CIP = {
    "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"},
    "spec": {"images": [{"glob": "ghcr.io/o/**"}], "authorities": [{"key": {"data": pem(KEY)}}]},
}  # fmt: skip
AUTHORITY = "spec.authorities.0"
ISSUED_CIP = put(CIP, AUTHORITY, {"keyless": {"identities": [dict(IDENTITY)]}})
ATTESTED_CIP = put(CIP, f"{AUTHORITY}.attestations", [{"name": "a", "predicateType": "https://x.example/t"}])
POLICY = {"type": "cue", "data": "x: 1"}
SIGSTORE = [
    (CIP, "spec.images.0.glob", "ghcr.io/p/**", DECIDES), (CIP, "spec.images.0.glob", "a b", REFUSED), (CIP, "spec.mode", "warn", DECIDES), (CIP, "spec.mode", "audit", REFUSED),
    *((CIP, "spec.match", [value], DECIDES) for value in ({"group": "apps"}, {"version": "v1"}, {"resource": "pods"}, {"resource": "pods", "selector": {"matchLabels": {"a": "b"}}})), (CIP, "spec.match.0.resource", "x", REFUSED),
    (CIP, "spec.policy", POLICY, DECIDES), (CIP, "spec.policy", {"type": "rego", "configMapRef": {"name": "m", "key": "a", "namespace": "cosign-system"}}, DECIDES),
    *((put(CIP, "spec.policy", POLICY), f"spec.policy.{name}", True, DECIDES) for name in ("includeSpec", "includeObjectMeta", "includeTypeMeta")), (put(CIP, "spec.policy", POLICY), "spec.policy.fetchConfigFile", True, UNSUPPORTED),
    (put(CIP, "spec.policy", POLICY), "spec.policy.remote", {"url": "https://x.example", "sha256sum": "x"}, UNSUPPORTED), (CIP, "spec.policy", {"type": "x", "data": "y"}, REFUSED), (CIP, f"{AUTHORITY}.name", "n", DECIDES),
    (CIP, f"{AUTHORITY}.key.data", pem(OTHER), DECIDES), (CIP, f"{AUTHORITY}.key", {"secretRef": {"name": "k"}}, DECIDES), (CIP, f"{AUTHORITY}.key", {"secretRef": {"name": "k", "namespace": "x"}}, REFUSED), (CIP, f"{AUTHORITY}.key", {"kms": "awskms:///x"}, UNSUPPORTED),
    (CIP, f"{AUTHORITY}.key.hashAlgorithm", "sha512", DECIDES), (CIP, f"{AUTHORITY}.key.hashAlgorithm", "sha224", UNSUPPORTED), (CIP, f"{AUTHORITY}.ctlog", {"url": "https://r.example"}, DECIDES), (CIP, f"{AUTHORITY}.rfc3161timestamp", {}, DECIDES),
    (CIP, f"{AUTHORITY}.source", [{"oci": "ghcr.io/o/sigs"}], DECIDES), (CIP, f"{AUTHORITY}.source", [{"tagPrefix": "x-"}], DECIDES), (CIP, f"{AUTHORITY}.source", [{"signaturePullSecrets": [{"name": "pull"}]}], DECIDES), (CIP, f"{AUTHORITY}.source", [{}, {}], REFUSED),
    (CIP, AUTHORITY, {"static": {"action": "fail", "message": "m"}}, DECIDES), (CIP, f"{AUTHORITY}.signatureFormat", "legacy", ASIDE), (CIP, f"{AUTHORITY}.signatureFormat", "bundle", REFUSED), (ISSUED_CIP, f"{AUTHORITY}.signatureFormat", "bundle", ASIDE),
    (ISSUED_CIP, f"{AUTHORITY}.keyless.url", "https://f.example", ASIDE), (ISSUED_CIP, f"{AUTHORITY}.keyless.url", "x", REFUSED), (ISSUED_CIP, f"{AUTHORITY}.keyless.ca-cert", {"data": CHAIN}, DECIDES), (ISSUED_CIP, f"{AUTHORITY}.keyless.ca-cert", {"kms": "x"}, UNSUPPORTED),
    (ISSUED_CIP, f"{AUTHORITY}.keyless.identities.0.issuer", "https://z.example", DECIDES), (ISSUED_CIP, f"{AUTHORITY}.keyless.identities.0", {"issuerRegExp": "^x$", "subjectRegExp": "^y$"}, DECIDES), (ISSUED_CIP, f"{AUTHORITY}.keyless.insecureIgnoreSCT", True, DECIDES),
    (ISSUED_CIP, f"{AUTHORITY}.keyless.trustRootRef", "missing", REFUSED), (CIP, f"{AUTHORITY}.ctlog.trustRootRef", "missing", REFUSED), (CIP, f"{AUTHORITY}.rfc3161timestamp.trustRootRef", "missing", REFUSED),
    (ATTESTED_CIP, f"{AUTHORITY}.attestations.0.predicateType", "https://x.example/u", DECIDES), (ATTESTED_CIP, f"{AUTHORITY}.attestations.0.policy", POLICY, DECIDES), (ATTESTED_CIP, f"{AUTHORITY}.attestations.0.policy", POLICY | {"includeSpec": True}, REFUSED),
    (ATTESTED_CIP, f"{AUTHORITY}.attestations.0.name", "b", DECIDES),
]  # fmt: skip

# -- policy.json

PJ = {
    "default": [{"type": "reject"}], "transports": {"docker": {"ghcr.io/o": [{"type": "sigstoreSigned", "keyData": base64.b64encode(pem(KEY).encode()).decode()}]}},
}  # fmt: skip


def required(**more):
    return [{"type": "sigstoreSigned", "keyData": base64.b64encode(pem(KEY).encode()).decode()} | more]


def requirement(**fields):
    return [{"type": "sigstoreSigned"} | fields]


ENCODED = base64.b64encode(pem(OTHER).encode()).decode()
CA = base64.b64encode(CHAIN.encode()).decode()
FULCIO = {"caData": CA, "oidcIssuer": "https://x.example", "subjectEmail": "a@x.example"}
CONTAINERS = [
    ([{"type": "insecureAcceptAnything"}], DECIDES), ([{"type": "reject"}], DECIDES), ([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.pub"}], UNSUPPORTED), (requirement(keyPath="/k.pub"), DECIDES),
    (requirement(keyPaths=["/k.pub"]), DECIDES), (requirement(keyData=ENCODED), DECIDES), (requirement(keyDatas=[ENCODED]), DECIDES), (requirement(), REFUSED), (requirement(keyData=ENCODED, keyPath="/k.pub"), REFUSED),
    (requirement(fulcio=FULCIO, rekorPublicKeyData=ENCODED), DECIDES), (requirement(fulcio=FULCIO), REFUSED), (requirement(fulcio=FULCIO | {"caPath": "/ca.pem"}, rekorPublicKeyData=ENCODED), REFUSED),
    (requirement(pki={"caRootsData": CA, "caIntermediatesData": CA, "subjectEmail": "a@x.example"}), DECIDES), (requirement(pki={"caRootsPath": "/ca.pem", "caIntermediatesPath": "/ca.pem", "subjectEmail": "a@x.example"}), DECIDES),
    (requirement(pki={"caRootsData": CA, "subjectHostname": "x.example"}), UNSUPPORTED), *((required(**{f"rekorPublicKey{ending}": value}), DECIDES) for ending, value in (("Path", "/k.pub"), ("Paths", ["/k.pub"]), ("Data", ENCODED), ("Datas", [ENCODED]))),
    (required(rekorPublicKeyData=ENCODED, rekorPublicKeyPath="/k.pub"), REFUSED), *((required(signedIdentity=value), DECIDES) for value in (
        {"type": "matchExact"}, {"type": "matchRepository"}, {"type": "exactReference", "dockerReference": "ghcr.io/o/a:1"}, {"type": "exactRepository", "dockerRepository": "ghcr.io/o/a"}, {"type": "remapIdentity", "prefix": "ghcr.io", "signedPrefix": "quay.io"})),
    (required(signedIdentity={"type": "matchRepoDigestOrExact"}), ASIDE), (required(signedIdentity={"type": "x"}), REFUSED), (required(signedIdentity={"type": "exactReference"}), REFUSED),
]  # fmt: skip

# -- exceptions

EXCEPTION = {
    "apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "e"},
    "spec": {"match": PODS_ALONE, "exceptions": [{"policyName": "p", "ruleNames": ["r"]}]},
}  # fmt: skip
IMAGE_EXCEPTION = {
    "apiVersion": "policies.kyverno.io/v1", "kind": "PolicyException", "metadata": {"name": "e"}, "spec": {"policyRefs": [{"name": "p", "kind": "ImageValidatingPolicy"}]},
}  # fmt: skip
EXCEPTIONS = [
    (EXCEPTION, "spec.background", True, IDLE), (EXCEPTION, "spec.match", {"any": [{"resources": {"kinds": ["Pod"], "names": ["a"]}}]}, DECIDES), (EXCEPTION, "spec.conditions", {"all": [{"key": "{{ request.operation }}", "operator": "Equals", "value": "CREATE"}]}, DECIDES),
    (EXCEPTION, "spec.exceptions.0.policyName", "q", DECIDES), (EXCEPTION, "spec.exceptions.0.ruleNames", ["s*"], DECIDES), (EXCEPTION, "spec.podSecurity", [{"controlName": "x"}], UNSUPPORTED), (EXCEPTION, "spec.images", ["ghcr.io/o/x/*"], DECIDES), (EXCEPTION, "spec.expires", "2030-01-01T00:00:00Z", DECIDES),
    (EXCEPTION, "spec.expires", "soon", REFUSED), (EXCEPTION, "spec.reason", "why", DECIDES), (IMAGE_EXCEPTION, "spec.policyRefs.0.name", "q", DECIDES), (IMAGE_EXCEPTION, "spec.matchConditions", [{"name": "c", "expression": "true"}], DECIDES),
    (IMAGE_EXCEPTION, "spec.images", ["ghcr.io/o/x/*"], DECIDES), (IMAGE_EXCEPTION, "spec.allowedValues", ["x"], UNSUPPORTED), (IMAGE_EXCEPTION, "spec.reportResult", "pass", ASIDE), (IMAGE_EXCEPTION, "spec.reportResult", "x", REFUSED),
]  # fmt: skip


def _named(rows):
    return [pytest.param(*row, id=f"{row[1]}={json.dumps(row[2])[:40]}") for row in rows]


@pytest.mark.parametrize(
    ("base", "path", "value", "outcome"), _named([*KYVERNO, *IMAGE_POLICIES, *SIGSTORE, *EXCEPTIONS])
)
def test_P18_every_field(base, path, value, outcome):
    check(base, path, value, outcome)


@pytest.mark.parametrize(("requirements", "outcome"), CONTAINERS)
def test_P18_every_requirement(requirements, outcome):
    before = loaded(PJ)
    document = PJ | {"transports": {"docker": {"ghcr.io/o": requirements}}}
    if outcome in {REFUSED, UNSUPPORTED}:
        with pytest.raises(PolicyInvalidError) as found:
            loaded(document)
        assert "ghcr.io/o" in found.value.message
        assert isinstance(found.value, PolicyUnsupportedError) == (outcome == UNSUPPORTED)
        return
    assert (loaded(document).rules == before.rules) == (outcome == ASIDE)


AUTHORITIES = {"certChain": base64.b64encode(CHAIN.encode()).decode()}
A_LOG = {
    "baseURL": "https://r.example",
    "hashAlgorithm": "sha-256",
    "publicKey": base64.b64encode(pem(LOG).encode()).decode(),
}


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"certificateAuthorities": [AUTHORITIES]}, "certificate_authorities"), ({"certificateAuthorities": [AUTHORITIES | {"subject": {"organization": "o", "commonName": "c"}, "uri": "https://f.example"}]}, "certificate_authorities"),
        ({"tLogs": [A_LOG]}, "logs"), ({"ctLogs": [A_LOG]}, "ct_logs"), ({"timestampAuthorities": [{"certChain": base64.b64encode(STAMPS.encode()).decode(), "subject": {"commonName": "c"}, "uri": "x"}]}, "timestamp_authorities"),
    ],
)  # fmt: skip
def test_P18_every_field_of_a_trust_root(spec, part):
    from sealgate.policy.reading import Source
    from sealgate.policy.sigstore import trust

    document = {
        "apiVersion": "policy.sigstore.dev/v1alpha1",
        "kind": "TrustRoot",
        "metadata": {"name": "t"},
        "spec": {"sigstoreKeys": spec},
    }
    found = trust.parse(Source("t.yaml", document), SETTINGS)
    assert [name for name in found._fields if getattr(found, name)] == [part]
    [entries] = spec.values()
    with pytest.raises(PolicyInvalidError) as raised:
        trust.parse(Source("t.yaml", put(document, f"spec.sigstoreKeys.{next(iter(spec))}.0.nothing", 1)), SETTINGS)
    assert f"spec.sigstoreKeys.{next(iter(spec))}[0]: there is no field 'nothing'" in raised.value.message
    assert len(entries) == 1


# -- fields in the wrong place

MISPLACED = [
    (CPOL, "spec.verifyImages", [], "rules[]"), (CPOL, "spec.match", PODS_ALONE, "rules[]"), (CPOL, "spec.rules.0.attestors", [], "verifyImages[]"), (CPOL, "spec.rules.0.imageReferences", [], "verifyImages[]"), (CPOL, "spec.rules.0.failureAction", "Audit", "verifyImages[]"),
    (CPOL, "spec.rules.0.attestations", [], "verifyImages[]"), (CPOL, "spec.failureAction", "Audit", "verifyImages[]"), (CPOL, "spec.rules.0.validationFailureAction", "Audit", "spec"),
    (CPOL, f"{BLOCK}.entries", [], "attestors[]"), (CPOL, f"{BLOCK}.keyless", {}, "attestors[].entries[]"), (CPOL, f"{BLOCK}.rekor", {}, "attestors[].entries[]"), (CPOL, f"{BLOCK}.conditions", [], "attestations[]"), (CPOL, f"{BLOCK}.preconditions", {}, "the rule"),
    (CPOL, f"{BLOCK}.publicKeys", "x", "attestors[].entries[].keys"), (CPOL, f"{BLOCK}.secrets", [], "imageRegistryCredentials"), (CPOL, f"{BLOCK}.deny", {}, "validate"), (CPOL, f"{BLOCK}.attestors.0.keys", {}, "entries"), (CPOL, f"{ENTRY}.rekor", {}, "keys, certificates or keyless"),
    (CPOL, f"{ENTRY}.ctlog", {}, "keys, certificates or keyless"), (CPOL, f"{ENTRY}.ignoreTlog", True, "rekor"), (CPOL, f"{ENTRY}.ignoreSCT", True, "ctlog"), (CPOL, f"{ENTRY}.keys.ignoreTlog", True, "rekor"), (CPOL, f"{ENTRY}.keys.ignoreSCT", True, "ctlog"), (KEYLESS, f"{ENTRY}.keyless.ignoreTlog", True, "rekor"),
    (CPOL, f"{ENTRY}.keys.url", "x", "rekor"), (CPOL, f"{ENTRY}.keys.annotations", {}, "the entry"), (CPOL, f"{ENTRY}.keys.rekor.ignoreSCT", True, "ctlog"), (CPOL, f"{ENTRY}.keys.ctlog.ignoreTlog", True, "rekor"), (ATTESTED, f"{BLOCK}.attestations.0.keys", {}, "attestors[].entries[]"),
    (ATTESTED, f"{BLOCK}.attestations.0.entries", [], "attestors[]"), (ATTESTED, f"{BLOCK}.attestations.0.all", [], "conditions[]"),
    (IVP, "spec.glob", "x", "matchImageReferences[]"), (IVP, "spec.cosign", {}, "attestors[]"), (IVP, "spec.resourceRules", [], "matchConstraints"), (IVP, "spec.expression", "x", "validations[]"), (IVP, "spec.mutateDigest", True, "validationConfigurations"), (IVP, "spec.required", True, "validationConfigurations"),
    (IVP, "spec.namespaceSelector", {}, "matchConstraints"), (IVP, "spec.secrets", [], "credentials"), (IVP, "spec.timeoutSeconds", 1, "webhookConfiguration"), (IVP, "spec.attestors.0.key", {}, "cosign"), (IVP, "spec.attestors.0.keyless", {}, "cosign"), (IVP, f"{COSIGN}.identities", [], "keyless"),
    (IVP, f"{COSIGN}.insecureIgnoreTlog", True, "ctlog"), (IVP, f"{COSIGN}.repository", "x", "source"), (IVP, f"{COSIGN}.key.insecureIgnoreTlog", True, "ctlog"), (IVP, f"{COSIGN}.mirror", "x", "tuf"),
    (ISSUED_IVP, f"{COSIGN}.keyless.subject", "x", "identities[]"), (ISSUED_IVP, f"{COSIGN}.keyless.issuer", "x", "identities[]"), (put(IVP, "spec.attestations", [{"name": "a", "intoto": {"type": "x"}}]), "spec.attestations.0.type", "x", "intoto"),
    (CIP, "spec.key", {}, "authorities[]"), (CIP, "spec.keyless", {}, "authorities[]"), (CIP, "spec.glob", "x", "images[]"), (CIP, "spec.identities", [], "authorities[].keyless"), (CIP, f"{AUTHORITY}.data", "x", "key"), (CIP, f"{AUTHORITY}.kms", "x", "key"), (CIP, f"{AUTHORITY}.identities", [], "keyless"),
    (CIP, f"{AUTHORITY}.insecureIgnoreSCT", True, "keyless"), (CIP, f"{AUTHORITY}.predicateType", "x", "attestations[]"), (CIP, f"{AUTHORITY}.mode", "warn", "spec"), (CIP, f"{AUTHORITY}.key.ctlog", {}, "the authority"), (ISSUED_CIP, f"{AUTHORITY}.keyless.ctlog", {}, "the authority"),
    (ISSUED_CIP, f"{AUTHORITY}.keyless.subject", "x", "identities[]"), (CIP, "spec.authorities.0.ctlog.insecureIgnoreSCT", True, "keyless"), (CIP, "spec.resource", "pods", "match[]"), (CIP, "spec.selector", {}, "match[]"),
    (EXCEPTION, "spec.policyName", "x", "exceptions[]"), (EXCEPTION, "spec.ruleNames", [], "exceptions[]"), (EXCEPTION, "spec.policyRefs", [], "exceptions[]"), (EXCEPTION, "spec.kinds", [], "match"), (IMAGE_EXCEPTION, "spec.name", "x", "policyRefs[]"), (IMAGE_EXCEPTION, "spec.exceptions", [], "policyRefs[]"),
    (IMAGE_EXCEPTION, "spec.conditions", [], "matchConditions"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "path", "value", "place"), [pytest.param(*row, id=f"{row[1]} under {row[3]}") for row in MISPLACED]
)
def test_P18_weakness_16_misplaced_fields_are_named_with_their_place(base, path, value, place):
    assert loaded(base)
    with pytest.raises(PolicyInvalidError) as found:
        loaded(put(base, path, value))
    above, _, name = told(path).rpartition(".")
    assert f"{above}: there is no field {name!r} here" in found.value.message
    assert (found.value.hint or "").startswith("it belongs under ")
    assert place in (found.value.hint or "")
