"""The deployment gate and the admission webhook give one decision: random policies of every dialect, workloads and images.

The gate is the command, which remembers nothing; the webhook keeps one cache for all of it, whatever policies come and go
(P13). A Pod goes through `/mutate` first, as in a cluster. One difference is documented: where rules want digests that nobody
may write (`digest-missing`), the gate refuses templates already, the webhook the Pods that are made of them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import time

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from admission.place import patched, recorded
from bypasses.scene import BUNDLE, SIGNATURE, Signer, compact, run
from evil_registry.honest import CONFIG, MANIFEST, HonestRegistry
from evil_registry.scripts import fail
from evil_registry.server import EvilRegistry
from policy.kyverno_validating.scene import PODS
from sealgate.admission.answer import DIGEST_MISSING
from sealgate.admission.cache import Cache
from sealgate.admission.cache import Settings as CacheSettings
from sealgate.admission.journal import Journal
from sealgate.admission.judging import Shared
from sealgate.admission.metrics import Metrics
from sealgate.admission.registries import Registries
from sealgate.admission.standing import Loaded, Standing
from sealgate.admission.webhook import Settings as WebhookSettings
from sealgate.admission.webhook import Webhook
from sealgate.gate import policies as files
from sealgate.oci.host import RegistrySettings
from sealgate.policy.attestors import Settings
from sealgate.transport.asynchronous import AsyncHttpClient

SCORE = "https://example.com/score"
FAR = "2099-01-01T00:00:00Z"
PAST = "2020-01-01T00:00:00Z"
REPOSITORIES = (
    "team/good", "team/legacy", "team/other", "team/both", "team/none", "team/scored", "team/low", "elsewhere/good", "team/gone",
)  # fmt: skip


class World:
    """Registries with images of every kind, and the keys of two people."""

    def __init__(self, folder, registry: EvilRegistry, away: EvilRegistry) -> None:
        self.folder = folder
        self.host, self.away = registry.host, away.host
        self.honest = registry.honest
        self.one, self.two = Signer(folder, "one"), Signer(folder, "two")
        self.digests = {}
        for name in REPOSITORIES:
            if name != "team/gone":
                self.digests[name] = self.honest.put_image(name, "v1", name.encode()).digest
        for name, signer in (
            ("team/good", self.one), ("team/other", self.two), ("team/both", self.one), ("team/both", self.two),
            ("team/scored", self.one), ("team/low", self.one), ("elsewhere/good", self.one),
        ):  # fmt: skip
            self._attach(name, signer, signer.statement(self.digests[name]))
        for name, score in (("team/scored", 9), ("team/low", 2)):
            told = self.one.statement(self.digests[name]) | {"predicateType": SCORE, "predicate": {"score": score}}
            self._attach(name, self.one, told)
        self._legacy("team/legacy", self.one)
        away.on("*", "/v2/*", fail(403))

    def _attach(self, name, signer, statement):
        image = self.honest.manifests[name, self.digests[name]]
        self.honest.put_referrer(name, image, compact(signer.bundle(statement)), artifact_type=BUNDLE)

    def _legacy(self, name, signer):
        payload = signer.payload(self.digests[name])
        payload["critical"]["identity"]["docker-reference"] = f"{self.host}/{name}"
        raw = compact(payload)
        layer = self.honest.put_blob(name, raw, "application/vnd.dev.cosign.simplesigning.v1+json")
        signature = base64.b64encode(signer.sign(raw)).decode()
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": self.honest.put_blob(name, b"{}", CONFIG),
            "layers": [layer | {"annotations": {SIGNATURE: signature}}],
        }  # fmt: skip
        self.honest.put_manifest(name, document, self.digests[name].replace(":", "-") + ".sig")

    def pem(self, who: str) -> str:
        """The public key of `one` or `two`."""
        return {"one": self.one, "two": self.two}[who].path.read_text()

    def image(self, name: str, form: str) -> str:
        """An image by `tag`, `digest` or both."""
        if name == "away":
            return f"{self.away}/x:v1"
        if name == "unmatched":
            return "other.example.com/x:v1"
        if name == "nonsense":
            return "Not A Name"
        digest = self.digests.get(name, "sha256:" + "0" * 64)
        return f"{self.host}/{name}" + {"tag": ":v1", "digest": f"@{digest}", "both": f":v1@{digest}"}[form]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with contextlib.ExitStack() as running:
        made = [running.enter_context(EvilRegistry(HonestRegistry(), address="127.0.0.1")) for _ in range(2)]
        yield World(tmp_path_factory.mktemp("world"), *made)


@pytest.fixture(scope="module")
def cache():
    """What the webhook keeps from one example to the next."""
    return Cache(CacheSettings())


# -- policies, as functions of the world


WHO = st.sampled_from(["one", "two"])
SCOPES = st.sampled_from(["", "/team", "/elsewhere", "/team/good"])
LABELS = st.sampled_from([None, {"app": "web"}, {"app": "db"}])


@st.composite
def kyverno(draw):
    """A ClusterPolicy with verifyImages."""
    entries = draw(st.lists(WHO, min_size=1, max_size=2, unique=True))
    scope, labels = draw(SCOPES), draw(LABELS)
    count = draw(st.integers(1, len(entries)))
    action = draw(st.sampled_from(["Enforce", "Enforce", "Audit"]))
    score = draw(st.sampled_from([None, None, 5]))
    digests = draw(st.sampled_from([{}, {"mutateDigest": False}, {"mutateDigest": False, "verifyDigest": False}]))
    if action == "Audit":
        digests = {"mutateDigest": False}
    excluded = draw(st.sampled_from([None, "default", "other"]))

    def make(world):
        match = {"kinds": ["Pod"]} | ({"selector": {"matchLabels": labels}} if labels else {})
        keys = [{"keys": {"publicKeys": world.pem(each)}} for each in entries]
        block = {"imageReferences": [f"{world.host}{scope}/*", f"{world.away}/*"]} | digests
        if score is None:
            block["attestors"] = [{"count": count, "entries": keys}]
        else:
            condition = {"key": "{{ score }}", "operator": "GreaterThan", "value": score}
            attested = {
                "type": SCORE,
                "attestors": [{"count": count, "entries": keys}],
                "conditions": [{"all": [condition]}],
            }
            block["attestations"] = [attested]
        made = {"name": "r", "match": {"any": [{"resources": match}]}, "verifyImages": [block]}
        if excluded is not None:
            made["exclude"] = {"any": [{"resources": {"namespaces": [excluded]}}]}
        return {
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "kyverno"},
            "spec": {"validationFailureAction": action, "rules": [made]},
        }  # fmt: skip

    return make


@st.composite
def sigstore(draw):
    """policy-controller's ClusterImagePolicy."""
    who = draw(st.lists(WHO, min_size=1, max_size=2, unique=True))
    scope, mode = draw(SCOPES), draw(st.sampled_from(["enforce", "warn"]))
    static, score = draw(st.sampled_from([None, None, None, "pass", "fail"])), draw(st.booleans())
    labels = draw(LABELS)

    def make(world):
        authorities = [{"key": {"data": world.pem(each)}} for each in who]
        if score:
            condition = {"type": "rego", "data": "package sigstore\nisCompliant { input.predicate.score > 5 }"}
            attested = {"name": "score", "predicateType": SCORE, "policy": condition}
            authorities[0] |= {"attestations": [attested]}
        if static is not None:
            authorities = [{"static": {"action": static}}]
        spec = {"images": [{"glob": f"{world.host}{scope}/**"}], "authorities": authorities, "mode": mode}
        if labels:
            spec["match"] = [{"resource": "pods", "version": "v1", "selector": {"matchLabels": labels}}]
        return {
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "cip"}, "spec": spec,
        }  # fmt: skip

    return make


@st.composite
def expression(draw, depth=0):
    """`require` of our own policies, as a function of the world."""
    kinds = ["signature", "signature", "score", "registries", "digests", "static"]
    if depth < 2:
        kinds += ["all", "any", "atLeast"]
    kind = draw(st.sampled_from(kinds))
    if kind in {"all", "any"}:
        parts = draw(st.lists(expression(depth + 1), min_size=1, max_size=3))
        return lambda world: {kind: [each(world) for each in parts]}
    if kind == "atLeast":
        count = draw(st.integers(1, 2))
        return lambda world: {
            "atLeast": {"count": count, "of": [{"signature": {"key": world.pem(each)}} for each in ("one", "two")]}
        }
    if kind == "static":
        action = draw(st.sampled_from(["pass", "fail"]))
        return lambda world: {"static": {"action": action}}
    if kind == "registries":
        scope = draw(SCOPES)
        return lambda world: {"registries": [f"{world.host}{scope}"]}
    if kind == "digests":
        names = draw(st.lists(st.sampled_from(REPOSITORIES[:4]), min_size=1, max_size=2))
        return lambda world: {"digests": [world.digests[each] for each in names]}
    who = draw(WHO)
    if kind == "signature":
        return lambda world: {"signature": {"key": world.pem(who)}}
    condition = draw(st.sampled_from([{"cel": "predicate.score > 5"}, {"cel": "predicate.score > 5 && now > timestamp('2020-01-01T00:00:00Z')"}]))  # fmt: skip
    return lambda world: {"attestation": {"type": SCORE, "by": {"key": world.pem(who)}, "conditions": [condition]}}


@st.composite
def own(draw):
    """Sealgate's own ClusterImagePolicy, with exceptions, grace and lists of what is denied."""
    scope, demand = draw(SCOPES), draw(expression())
    action = draw(st.sampled_from(["enforce", "enforce", "warn", "audit"]))
    until = draw(st.sampled_from([None, None, FAR, PAST]))
    grace = draw(st.sampled_from([None, None, FAR, PAST]))
    excused, denied = draw(st.sampled_from(REPOSITORIES)), draw(st.sampled_from([None, None, "team/good", "team/both"]))
    skipped, kinds = (
        draw(st.sampled_from([None, None, "team/none"])),
        draw(st.sampled_from([None, None, ["Pod"], ["Deployment"]])),
    )

    def make(world):
        spec = {"images": [f"{world.host}{scope}/**"], "require": demand(world), "action": action}
        if until is not None:
            spec["exceptions"] = [{"images": [f"{world.host}/{excused}"], "until": until, "reason": "for now"}]
        if grace is not None:
            spec["grace"] = {"until": grace}
        if denied is not None:
            spec["deny"] = {"digests": [world.digests[denied]], "reason": "known to be bad"}
        if skipped is not None:
            spec["skip"] = [f"{world.host}/{skipped}"]
        if kinds is not None:
            spec["match"] = {"kinds": kinds}
        return {
            "apiVersion": "sealgate.dev/v1alpha1",
            "kind": "ClusterImagePolicy",
            "metadata": {"name": "own"},
            "spec": spec,
        }

    return make


@st.composite
def containers(draw):
    """containers/image's policy.json."""
    who, scope = draw(WHO), draw(SCOPES)
    kind = draw(st.sampled_from(["sigstoreSigned", "sigstoreSigned", "insecureAcceptAnything", "reject"]))
    default = draw(st.sampled_from(["reject", "insecureAcceptAnything"]))

    def make(world):
        demand = {"type": kind}
        if kind == "sigstoreSigned":
            data = base64.b64encode(world.pem(who).encode()).decode()
            demand |= {"keyData": data, "signedIdentity": {"type": "matchRepository"}}
        return {"default": [{"type": default}], "transports": {"docker": {f"{world.host}{scope}": [demand]}}}

    return make


@st.composite
def validating(draw):
    """Kyverno's ImageValidatingPolicy."""
    who, required = draw(WHO), draw(st.booleans())
    looks = draw(st.sampled_from(["", " && images.containers.all(i, getImageData(i).digest != '')"]))

    def make(world):
        signed = "images.containers.all(i, verifyImageSignatures(i, [attestors.k]) > 0)" + looks
        return {
            "apiVersion": "policies.kyverno.io/v1", "kind": "ImageValidatingPolicy", "metadata": {"name": "ivp"},
            "spec": {
                "matchConstraints": {"resourceRules": [PODS]}, "matchImageReferences": [{"glob": f"{world.host}/team/*"}],
                "attestors": [{"name": "k", "cosign": {"key": {"data": world.pem(who)}}}],
                "validations": [{"expression": signed, "message": "not signed"}],
                "validationConfigurations": {"required": required, "mutateDigest": True, "verifyDigest": True},
            },
        }  # fmt: skip

    return make


POLICIES = st.lists(
    st.one_of(kyverno(), kyverno(), sigstore(), sigstore(), own(), own(), own(), containers(), validating()),
    min_size=1, max_size=4,
)  # fmt: skip
IMAGES = st.tuples(
    st.sampled_from([*REPOSITORIES, *REPOSITORIES, "away", "unmatched", "nonsense"]),
    st.sampled_from(["tag", "digest", "both"]),
)
WORKLOADS = st.fixed_dictionaries({
    "kind": st.sampled_from(["Pod", "Pod", "Deployment", "CronJob"]),
    "namespace": st.sampled_from(["default", "other"]),
    "labels": st.sampled_from([{}, {"app": "web"}]),
    "images": st.lists(IMAGES, min_size=1, max_size=3),
    "init": st.lists(IMAGES, max_size=1),
})  # fmt: skip
_RESOURCES = {
    "Pod": ("", "v1", "pods"), "Deployment": ("apps", "v1", "deployments"), "CronJob": ("batch", "v1", "cronjobs"),
}  # fmt: skip


def written(world, workload):
    """The object."""
    kind, labels = workload["kind"], workload["labels"]
    spec = {
        name: [{"name": f"{name.lower()}{at}", "image": world.image(*image)} for at, image in enumerate(images)]
        for name, images in (("containers", workload["images"]), ("initContainers", workload["init"])) if images
    }  # fmt: skip
    metadata = {"name": "web", "namespace": workload["namespace"], "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {
        "Pod": lambda: spec,
        "Deployment": lambda: {"selector": {"matchLabels": labels}, "template": template},
        "CronJob": lambda: {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}},
    }[kind]()
    group, version, _ = _RESOURCES[kind]
    return {"apiVersion": f"{group}/{version}".lstrip("/"), "kind": kind, "metadata": metadata, "spec": body}


# -- the two


def gated(folder, document):
    """What `sealgate gate` says: its exit code, and the codes of each image by its place."""
    (folder / "manifest.json").write_text(json.dumps(document))
    said = run(["gate", "-p", str(folder / "policies"), "-o", "json", str(folder / "manifest.json")])
    assert said.exit_code in {0, 14, 16}, said.stderr
    [decision] = json.loads(said.stdout)
    if document["kind"] != "Pod":
        for image in decision["images"]:
            image["rulings"] = [each for each in image["rulings"] if each["code"] != DIGEST_MISSING]
    denied = any(_effect(each) == "deny" for image in decision["images"] for each in image["rulings"])
    warned = any(_effect(each) == "warn" for image in decision["images"] for each in image["rulings"])
    assert (said.exit_code != 0) is denied or document["kind"] != "Pod"
    codes = [tuple(dict.fromkeys(each["code"] for each in image["rulings"])) for image in decision["images"]]
    return codes, "deny" if denied else "warn" if warned else "admit"


def _effect(ruling):
    return "none" if ruling["outcome"] in {"accepted", "skipped"} else ruling["effect"]


def asked(folder, cache, document):
    """What the webhook says: of a Pod after `/mutate`, as an API server does it."""
    review = recorded("01")
    group, version, resource = _RESOURCES[document["kind"]]
    kind = {"group": group, "version": version, "kind": document["kind"]}
    where = {"group": group, "version": version, "resource": resource}
    review["request"] |= {
        "kind": kind, "requestKind": kind, "resource": where, "requestResource": where, "object": document,
        "name": "web", "namespace": document["metadata"]["namespace"],
    }  # fmt: skip
    return asyncio.run(_asked(folder, cache, review))


async def _asked(folder, cache, review):
    loaded = Loaded(files.load([str(folder / "policies")], Settings()), {})
    log = io.StringIO()
    journal, metrics = Journal(log), Metrics()
    async with AsyncHttpClient() as client:
        registries = Registries(RegistrySettings(first_pause=0.01))
        shared = Shared(registries, cache, metrics, client, clock=time.time)
        webhook = Webhook(Standing((), lambda: loaded), shared, WebhookSettings(), metrics, journal)

        async def ask(path):
            outcome = await webhook.answer(
                json.dumps(review).encode(), path, seconds=30.0, begun=asyncio.get_running_loop().time()
            )
            assert outcome.status == 200
            return json.loads(outcome.body)["response"]

        said = await ask("mutate")
        if said["allowed"] and "patch" in said:
            review = patched(review, json.loads(base64.b64decode(said["patch"])))
        if said["allowed"]:
            said = await ask("validate")
        await shared.close()
    journal.close()
    [*_, line] = [each for each in map(json.loads, log.getvalue().splitlines()) if each["event"] == "review"]
    codes = [tuple(each.rpartition(" ")[2].split(",")) for each in line["images"]]
    return said, codes, line


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
@given(policies=POLICIES, workload=WORKLOADS)
def test_P13_the_gate_and_the_webhook_decide_alike(world, cache, tmp_path_factory, policies, workload):
    folder = tmp_path_factory.mktemp("example")
    (folder / "policies").mkdir()
    for number, make in enumerate(policies):
        made = make(world)
        name = f"{number}.json" if "kind" in made else "policy.json"
        made.get("metadata", {}).update(name=f"policy-{number}")
        (folder / "policies" / name).write_text(json.dumps(made))
        note(f"{name}: {json.dumps(made)}")
    document = written(world, workload)
    by_gate, outcome = gated(folder, document)
    said, by_webhook, line = asked(folder, cache, document)
    missing = any(DIGEST_MISSING in codes for codes in by_gate)
    event(f"{workload['kind']} {outcome}{' digest-missing' if missing else ''}")
    assert said["allowed"] is (outcome != "deny"), (by_gate, line)
    assert by_webhook == [tuple(code for code in codes if code != DIGEST_MISSING) for codes in by_gate]
    if said["allowed"]:
        assert bool(said.get("warnings")) == (outcome == "warn")
    else:
        assert {line["code"]} <= {code for codes in by_gate for code in codes}
