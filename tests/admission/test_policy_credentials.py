"""Secrets that policies name: the webhook asks registries with them, for those policies alone; without them nothing is asked."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from admission.place import pod
from admission.test_pull_secrets import SECRETS, auth, secret
from bypasses.scene import SIGNATURE, SIMPLE, Signer, b64, compact
from kubernetes.fake_api_server import FakeApiServer
from peers.images import OCI_CONFIG, OCI_MANIFEST, Client, Pushed, push_image
from sealgate.admission.cache import Settings as CacheSettings
from sealgate.admission.cluster.policies import ClusterPolicies
from sealgate.admission.cluster.pullsecrets import Scopes
from sealgate.admission.standing import Loaded
from sealgate.digest import Digest
from sealgate.errors import CredentialsUnavailableError
from sealgate.gate import policies as files
from sealgate.kubernetes.client import Client as ClusterClient
from sealgate.kubernetes.client import Cluster
from sealgate.oci.credentials import Credentials
from sealgate.oci.host import RegistrySettings
from sealgate.policy.attestors import Settings
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Tls, Url
from sealgate.verification.deny import DenyList

USER = ("someone", "a secret")
OTHER = ("another", "a word")


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture(scope="module")
def host(start_registry) -> str:
    return start_registry(htpasswd=dict([USER])).host


@pytest.fixture(scope="module")
def elsewhere(start_registry) -> str:
    """A registry with another password, for signatures."""
    return start_registry(htpasswd=dict([OTHER])).host


def sign(host: str, repository: str, digest: str, signer: Signer, user: tuple[str, str]) -> None:
    client = Client(host, auth=user)
    payload = compact(signer.payload(digest))
    layer = {
        "mediaType": SIMPLE, "size": len(payload), "digest": client.put_blob(repository, payload),
        "annotations": {SIGNATURE: b64(signer.sign(payload))},
    }  # fmt: skip
    config = {"mediaType": OCI_CONFIG, "size": 2, "digest": client.put_blob(repository, b"{}")}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
    client.put_manifest(repository, digest.replace(":", "-") + ".sig", compact(manifest), OCI_MANIFEST)


@pytest.fixture
def image(host, signer) -> Pushed:
    """A signed image that nobody sees without the password."""
    found = push_image(host, "team/app", auth=USER)
    sign(host, "team/app", found.digest, signer, USER)
    return found


def kyverno(
    signer: Signer, *secrets: str, namespace: str | None = None, name: str = "check", action: str = "Enforce"
) -> dict:
    block: dict = {
        "imageReferences": ["*"],
        "attestors": [{"entries": [{"keys": {"publicKeys": signer.path.read_text()}}]}],
    }
    if secrets:
        block["imageRegistryCredentials"] = {"secrets": list(secrets)}
    rule = {"name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "verifyImages": [block]}
    return {
        "apiVersion": "kyverno.io/v1", "kind": "Policy" if namespace else "ClusterPolicy",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"validationFailureAction": action, "rules": [rule]},
    }  # fmt: skip


def validating(signer: Signer, *secrets: str, namespace: str | None = None) -> dict:
    """An ImageValidatingPolicy."""
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
    signed = "images.containers.map(i, verifyImageSignatures(i, [attestors.k])).all(e, e > 0)"
    return {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "NamespacedImageValidatingPolicy" if namespace else "ImageValidatingPolicy",
        "metadata": {"name": "ivp"} | ({"namespace": namespace} if namespace else {}),
        "spec": {
            "matchConstraints": {"resourceRules": [pods]}, "matchImageReferences": [{"glob": "*"}],
            "attestors": [{"name": "k", "cosign": {"key": {"data": signer.path.read_text()}}}],
            "validations": [{"expression": signed, "message": "not signed"}],
            "credentials": {"secrets": list(secrets)},
        },
    }  # fmt: skip


def sigstore(signer: Signer, *sources: tuple[str, str]) -> dict:
    """A ClusterImagePolicy, an authority for each repository of signatures and its Secret."""
    return {
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "cip"},
        "spec": {
            "images": [{"glob": "**"}],
            "authorities": [
                {
                    "name": f"a{number}", "key": {"data": signer.path.read_text()},
                    "source": [{"oci": oci, "signaturePullSecrets": [{"name": name}]}],
                }
                for number, (oci, name) in enumerate(sources)
            ],
        },
    }  # fmt: skip


def pull(name: str, namespace: str, *hosts: str, user: tuple[str, str] = USER) -> dict:
    return {"apiVersion": "v1", "kind": "Secret"} | secret(name, namespace, {host: auth(*user) for host in hosts})


def read(*documents: dict, settings: Settings | None = None):
    """The policies of a webhook that reads them from files."""
    sources = list(files.parse(yaml.safe_dump_all(documents).encode(), "policies.yaml"))
    return files.of_sources(sources, settings or Settings())


def review(image: str, namespace: str = "a", **spec) -> dict:
    found = pod(image, **spec)
    found["request"]["namespace"] = found["request"]["object"]["metadata"]["namespace"] = namespace
    return found


def test_the_secrets_of_a_policy_ask_for_its_images(start, signer, image, host):
    """The negative twin: without them nobody may see the image."""
    place = start(policies=read(kyverno(signer, "pull"), pull("pull", "kyverno", host)))
    place.validate(review(image.reference)).is_allowed()
    assert place.mutate(review(image.tagged)).patch[0]["value"].endswith(image.digest)
    assert USER[1] not in json.dumps(place.log())
    assert USER[1] not in place.get("/metrics").body.decode()
    without = start(policies=read(kyverno(signer)))
    without.validate(review(image.reference)).is_denied("registry-unauthorized")
    without.mutate(review(image.tagged)).is_denied("registry-unauthorized")


def test_a_secret_of_another_namespace_and_one_in_plain_text(start, signer, image, host):
    document = pull("pull", "secrets", host)
    document["stringData"] = {name: base64.b64decode(value).decode() for name, value in document.pop("data").items()}
    place = start(policies=read(kyverno(signer, "secrets/pull"), document))
    place.validate(review(image.reference)).is_allowed()


@pytest.mark.parametrize("namespace", [None, "a"])
def test_the_secrets_of_an_image_validating_policy(start, signer, image, host, namespace):
    home = namespace or "kyverno"
    place = start(policies=read(validating(signer, "pull", namespace=namespace), pull("pull", home, host)))
    place.validate(review(image.reference)).is_allowed()
    wrong = read(validating(signer, "pull", namespace=namespace), pull("pull", "elsewhere", host))
    start(policies=wrong).validate(review(image.reference)).is_denied("pull-secret-missing")


def test_K16_what_one_policys_credentials_found_is_nobody_elses(start, signer, image, host):
    """The same signer, image and repository: the verdict of one namespace's policy is not shown to that of another."""
    place = start(
        policies=read(
            kyverno(signer, "pull", namespace="a"), kyverno(signer, namespace="b"), kyverno(signer, "pull", namespace="c"),
            pull("pull", "a", host), pull("pull", "c", host, user=("someone", "wrong")),
        )
    )  # fmt: skip
    for _ in range(2):
        place.validate(review(image.reference, "a")).is_allowed()
        place.validate(review(image.reference, "b")).is_denied("registry-unauthorized")
        place.validate(review(image.reference, "c")).is_denied("registry-unauthorized")
        assert place.mutate(review(image.tagged, "a")).patch
        place.mutate(review(image.tagged, "b")).is_denied("registry-unauthorized")


def test_K16_each_rule_asks_with_its_own_credentials(start, signer, image, host):
    """Two rules about one image: the one without credentials cannot ask, whatever the other found out."""
    with_and_without = (kyverno(signer, "pull", name="a"), kyverno(signer, name="b"), pull("pull", "kyverno", host))
    place = start(policies=read(*with_and_without))
    for asked in (image.reference, image.tagged):
        found = place.mutate(review(asked))
        found.is_denied("registry-unauthorized")
        assert "b/signed" in found.message
        assert "a/signed" not in found.message
    both = start(
        policies=read(kyverno(signer, "pull", name="a"), kyverno(signer, "pull", name="b"), with_and_without[2])
    )
    both.validate(review(image.reference)).is_allowed()


def test_K16_the_credentials_of_a_policy_go_to_the_registry_that_they_name(start, signer, image, host, scene):
    """Another registry, which the same policy is about, is asked as before."""
    place = start(
        policies=read(kyverno(scene.signer, "pull"), pull("pull", "kyverno", host, user=("u", "never shown"))),
    )
    place.validate(review(scene.name)).is_allowed()
    assert scene.registry.requests
    assert not any("authorization" in seen.headers for seen in scene.registry.requests)


def test_the_operators_and_the_pods_credentials_are_for_what_the_policy_has_none_for(start, signer, image, host):
    operator = RegistrySettings(
        first_pause=0.01, credentials=lambda registry, _: Credentials(*USER) if registry == host else None
    )
    other = pull("pull", "kyverno", "registry.example")
    start(policies=read(kyverno(signer, "pull"), other), registry=operator).validate(
        review(image.reference)
    ).is_allowed()
    # Its own come first, also when they are worse.
    bad = pull("pull", "kyverno", host, user=("someone", "wrong"))
    place = start(policies=read(kyverno(signer, "pull"), bad), registry=operator)
    place.validate(review(image.reference)).is_denied("registry-unauthorized")


def test_the_pods_own_secrets_and_the_policys(start, signer, image, host):
    """The pod's Secrets ask for the rule that names none; each namespace stays a scope of its own."""
    fake = FakeApiServer()
    try:
        client = ClusterClient(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        fake.put(SECRETS, secret("own", "a", {host: auth(*USER)}))
        place = start(
            policies=read(kyverno(signer, "pull"), pull("pull", "kyverno", "registry.example")),
            scopes=Scopes(client, None),
        )
        own = {"imagePullSecrets": [{"name": "own"}]}
        place.validate(review(image.reference, **own)).is_allowed()
        place.validate(review(image.reference, "b", **own)).is_denied("registry-unauthorized")
        place.validate(review(image.reference)).is_denied("registry-unauthorized")
    finally:
        fake.close()


@pytest.mark.parametrize("action", ["Enforce", "Audit"])
def test_K16_a_secret_that_is_missing_refuses_and_nobody_is_asked(start, scene, action):
    """The registry would answer anybody: it is not asked as somebody else."""
    place = start(policies=read(kyverno(scene.signer, "pull", action=action)))
    found = place.validate(review(scene.name))
    if action == "Enforce":
        found.is_denied("pull-secret-missing")
        assert "kyverno/pull" in found.message
    else:
        found.is_allowed()
    assert place.metric("sealgate_decisions_total", code="pull-secret-missing") == 1
    by_tag = place.mutate(review(scene.tag))
    by_tag.is_denied("pull-secret-missing") if action == "Enforce" else by_tag.is_allowed()
    assert not scene.registry.requests
    there = start(
        policies=read(kyverno(scene.signer, "pull", action=action), pull("pull", "kyverno", "registry.example"))
    )
    there.validate(review(scene.name)).is_allowed()


def test_what_is_on_the_deny_list_is_refused_also_where_the_secret_is_missing(start, scene):
    """The rule is only audited; the digest stands in the name, so nobody needs to be asked."""
    audited = kyverno(scene.signer, "pull", action="Audit")
    denied = Settings(deny=DenyList(((Digest.parse(str(scene.image.digest)), "it is known to be bad"),)))
    start(policies=read(audited, settings=denied)).validate(review(scene.name)).is_denied("denied-digest")
    assert not scene.registry.requests
    start(policies=read(audited)).validate(review(scene.name)).is_allowed()


def test_a_rule_without_its_secret_takes_no_other_rule_along(start, scene):
    """It is only audited: what the other demands decides."""
    place = start(policies=read(kyverno(scene.signer, "pull", action="Audit"), kyverno(scene.signer, name="other")))
    place.validate(review(scene.name)).is_allowed()
    place.validate(review(f"{scene.name.partition('@')[0]}@{scene.evil.digest}")).is_denied("no-signature")


@pytest.mark.parametrize(
    "data",
    [{}, {".dockerconfigjson": "e30", "x": "y"}, {".dockerconfigjson": b64(b"[]")}, {".dockerconfigjson": b64(b'{"auths": 1}')}],
)  # fmt: skip
def test_a_secret_that_holds_something_else_refuses(start, scene, data):
    document = pull("pull", "kyverno", "registry.example")
    place = start(policies=read(kyverno(scene.signer, "pull"), document | {"data": data}))
    place.validate(review(scene.name)).is_denied("pull-secret-invalid")
    assert not scene.registry.requests
    start(policies=read(kyverno(scene.signer, "pull"), document)).validate(review(scene.name)).is_allowed()


def test_more_secrets_than_the_bound_refuse(start, scene):
    many = [f"s{number}" for number in range(33)]
    documents = [pull(name, "kyverno", "registry.example") for name in many]
    place = start(policies=read(kyverno(scene.signer, *many), *documents))
    place.validate(review(scene.name)).is_denied("pull-secret-invalid")
    start(policies=read(kyverno(scene.signer, *many[:32]), *documents)).validate(review(scene.name)).is_allowed()


def test_signatures_of_an_authority_are_asked_for_with_its_secrets(start, signer, image, host, elsewhere):
    """The image's registry has one password, that of the signatures another; the second authority has the wrong one."""
    sign(elsewhere, "signatures/app", image.digest, signer, OTHER)
    there = f"{elsewhere}/signatures/app"
    registry = RegistrySettings(
        first_pause=0.01, credentials=lambda name, _: Credentials(*USER) if name == host else None
    )
    secrets = (
        pull("right", "cosign-system", elsewhere, user=OTHER),
        pull("wrong", "cosign-system", elsewhere, user=("another", "x")),
    )
    either = start(policies=read(sigstore(signer, (there, "wrong"), (there, "right")), *secrets), registry=registry)
    either.validate(review(image.reference)).is_allowed()
    wrong = start(policies=read(sigstore(signer, (there, "wrong")), *secrets), registry=registry)
    wrong.validate(review(image.reference)).is_denied("registry-unauthorized")
    missing = start(policies=read(sigstore(signer, (there, "missing")), *secrets), registry=registry)
    missing.validate(review(image.reference)).is_denied("pull-secret-missing")
    # In a namespace of tenants it counts nothing.
    tenants = (pull("right", "a", elsewhere, user=OTHER),)
    start(policies=read(sigstore(signer, (there, "right")), *tenants), registry=registry).validate(
        review(image.reference)
    ).is_denied("pull-secret-missing")


# -- clouds


class Cloud:
    """What `RegistrySettings.clouds` makes: gives the password of one registry, or fails."""

    def __init__(self, host: str, *, fails: bool = False) -> None:
        self.asked: list[tuple[frozenset[str], str]] = []
        self._host = host
        self._fails = fails

    def __call__(self, names: frozenset[str]) -> Cloud._Of:
        return Cloud._Of(self, names)

    class _Of:
        def __init__(self, cloud: Cloud, names: frozenset[str]) -> None:
            self._cloud, self._names = cloud, names

        async def __call__(self, registry: str, /) -> tuple[Credentials, float] | None:
            self._cloud.asked.append((self._names, registry))
            if self._cloud._fails:
                raise CredentialsUnavailableError("the cloud is away")
            return (Credentials(*USER), 60.0) if registry == self._cloud._host else None

        def refused(self, registry: str, credentials: Credentials, /) -> None:
            raise AssertionError(registry)


def provided(document: dict, *names: str) -> dict:
    document["spec"]["rules"][0]["verifyImages"][0].setdefault("imageRegistryCredentials", {})["providers"] = list(
        names
    )
    return document


def test_clouds_that_a_policy_names_are_asked_for_it_alone(start, signer, image, host):
    cloud = Cloud(host)
    registry = RegistrySettings(first_pause=0.01, clouds=cloud)
    place = start(policies=read(provided(kyverno(signer), "amazon", "default", "google")), registry=registry)
    place.validate(review(image.reference)).is_allowed()
    assert set(cloud.asked) == {(frozenset({"amazon", "google"}), host)}
    ivp = validating(signer)
    ivp["spec"]["credentials"] = {"providers": ["github"]}
    start(policies=read(ivp), registry=registry).validate(review(image.reference)).is_allowed()
    assert (frozenset({"github"}), host) in cloud.asked
    del cloud.asked[:]
    for names in ((), ("default",)):
        without = start(policies=read(provided(kyverno(signer), *names)), registry=registry)
        without.validate(review(image.reference)).is_denied("registry-unauthorized")
    assert not cloud.asked


def test_K16_a_policy_of_a_namespace_makes_the_webhook_ask_no_cloud_as_itself(start, signer, image, host):
    cloud = Cloud(host)
    policies = read(provided(kyverno(signer, namespace="a"), "amazon"))
    place = start(policies=policies, registry=RegistrySettings(first_pause=0.01, clouds=cloud))
    place.validate(review(image.reference)).is_denied("registry-unauthorized")
    assert not cloud.asked
    [note] = [note for note in policies.notes if note.code == "difference"]
    assert "--registry-credentials amazon" in note.message
    # What the operator names is for everybody.
    operator = RegistrySettings(first_pause=0.01, exchange=cloud(frozenset({"amazon"})))
    start(policies=policies, registry=operator).validate(review(image.reference)).is_allowed()


def test_secrets_come_before_clouds_and_a_cloud_that_is_away_is_not_done_without(start, signer, image, host):
    cloud = Cloud(host)
    both = (provided(kyverno(signer, "pull"), "azure"), pull("pull", "kyverno", host))
    start(policies=read(*both), registry=RegistrySettings(first_pause=0.01, clouds=cloud)).validate(
        review(image.reference)
    ).is_allowed()
    assert not cloud.asked
    away = RegistrySettings(first_pause=0.01, clouds=Cloud(host, fails=True))
    start(policies=read(both[0], pull("pull", "kyverno", "registry.example")), registry=away).validate(
        review(image.reference)
    ).is_denied("credentials-unavailable")


def test_a_tag_means_what_it_means_to_the_first_rule_that_may_see_it(start, signer, image, host):
    """Rules whose credentials do not do are refused, each for itself; reported only, they take no other along."""
    away = RegistrySettings(first_pause=0.01, clouds=Cloud(host, fails=True))
    wrong = pull("wrong", "kyverno", host, user=("someone", "other"))
    documents = (
        provided(kyverno(signer, name="a", action="Audit"), "google"), kyverno(signer, "wrong", name="b", action="Audit"),
        kyverno(signer, "pull", name="c"), pull("pull", "kyverno", host), wrong,
    )  # fmt: skip
    start(policies=read(*documents), registry=away).mutate(review(image.tagged)).is_allowed()
    nobody = start(policies=read(*documents[:2], kyverno(signer, "wrong", name="c"), wrong), registry=away)
    nobody.mutate(review(image.tagged)).is_denied("credentials-unavailable")


def test_K16_a_secret_in_a_file_that_vanishes_refuses_whatever_was_found_with_it(start, signer, image, host, tmp_path):
    """While the webhook runs: a verdict that is kept is not shown without the Secret, nor under another password."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "check.yaml").write_text(yaml.safe_dump(kyverno(signer, "pull")))
    file = folder / "secret.yaml"

    def load() -> Loaded:
        return Loaded(files.of_sources(files.read_all([str(folder)]), Settings()), {})

    file.write_text(yaml.safe_dump(pull("pull", "kyverno", host)))
    place = start(load=load, paths=(str(folder),), cache=CacheSettings(known_good_seconds=3600))
    place.validate(review(image.reference)).is_allowed()
    for change, code in (
        (file.unlink, "pull-secret-missing"),
        (lambda: file.write_text(yaml.safe_dump(pull("pull", "kyverno", host, user=("someone", "x")))), "registry-unauthorized"),
    ):  # fmt: skip
        change()
        place.running.renew()
        place.validate(review(image.reference)).is_denied(code)
    told = [each for each in place.log() if each["event"] == "policy-credentials"]
    assert [(each["rule"], each["code"]) for each in told] == [("check/signed", "pull-secret-missing")]
    file.write_text(yaml.safe_dump(pull("pull", "kyverno", host)))
    place.running.renew()
    place.validate(review(image.reference)).is_allowed()


# -- policies of the cluster


@pytest.fixture
def cluster():
    from sealgate.admission.cluster.standing import ClusterStanding

    fake = FakeApiServer()
    for path in ("/api/v1/namespaces", CLUSTER_POLICIES, POLICIES):
        fake.serve(path)

    def begin() -> ClusterStanding:
        client = ClusterClient(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        return ClusterStanding(
            lambda changed: ClusterPolicies(
                client, Settings(), home="home", allowed=(), no_match=None, changed=changed, watch_seconds=1,
                reference_seconds=0.2,
            ),
            sender=HttpClient().send, seconds=20,
        )  # fmt: skip

    fake.begin = begin
    yield fake
    fake.close()


CLUSTER_POLICIES = "/apis/kyverno.io/v1/clusterpolicies"
POLICIES = "/apis/kyverno.io/v1/policies"


def until(standing, condition) -> None:
    import time

    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
        standing.renew()


def test_K16_a_secret_of_the_cluster_that_vanishes_refuses_until_it_is_back(start, cluster, signer, image, host):
    cluster.put(SECRETS, secret("pull", "home", {host: auth(*USER)}))
    cluster.put(CLUSTER_POLICIES, kyverno(signer, "pull"))
    standing = cluster.begin()
    place = start(load=lambda: Loaded(standing.force.catalogue.policies, {}))
    place.validate(review(image.reference)).is_allowed()

    def renewed(problem: bool):
        until(standing, lambda: _has_problem(standing) is problem)
        return start(load=lambda: Loaded(standing.force.catalogue.policies, {}))

    cluster.drop(SECRETS, "pull", "home")
    renewed(problem=True).validate(review(image.reference)).is_denied("pull-secret-missing")
    assert standing.broken is None  # the policy itself is whole, and in force
    cluster.put(SECRETS, secret("pull", "home", {host: auth(*USER)}))
    renewed(problem=False).validate(review(image.reference)).is_allowed()
    cluster.put(SECRETS, secret("pull", "home", {host: auth("someone", "changed")}))
    before = _scope(standing)
    until(standing, lambda: _scope(standing) != before)
    start(load=lambda: Loaded(standing.force.catalogue.policies, {})).validate(review(image.reference)).is_denied(
        "registry-unauthorized"
    )


def _has_problem(standing) -> bool:
    [rule] = standing.force.catalogue.policies.rules
    return rule.keyring.problem is not None


def _scope(standing) -> str:
    [rule] = standing.force.catalogue.policies.rules
    return rule.keyring.scope


def test_P23_policies_of_a_tenant_name_secrets_of_their_namespace_alone(cluster, signer, host):
    cluster.put(SECRETS, secret("pull", "home", {host: auth(*USER)}))
    cluster.put(SECRETS, secret("pull", "team", {host: auth(*USER)}))
    cluster.put(POLICIES, kyverno(signer, "pull", namespace="team", name="mine"))
    cluster.put(POLICIES, kyverno(signer, "home/pull", namespace="team", name="theirs"))
    cluster.put(CLUSTER_POLICIES, kyverno(signer, "elsewhere/pull", name="beyond"))
    standing = cluster.begin()
    found = {rule.policy: rule for rule in standing.force.catalogue.policies.rules}
    assert len(found["team/mine"].keyring) == 1
    for name in ("team/theirs", "beyond"):
        assert found[name].demand.passes is False  # it refuses what it may be about
    asked = [path for _, path, _ in cluster.requests if "/secrets/" in path]
    assert set(asked) == {"/api/v1/namespaces/team/secrets/pull"}


def test_P23_a_secret_that_may_not_be_read_refuses_the_images_of_its_policy_alone(start, cluster, signer, image, host):
    cluster.put(SECRETS, secret("pull", "team", {host: auth(*USER)}))
    cluster.refuse["/api/v1/namespaces/team/secrets/pull"] = 403
    cluster.put(POLICIES, kyverno(signer, "pull", namespace="team", name="mine"))
    standing = cluster.begin()
    assert standing.broken is None
    denied = start(load=lambda: Loaded(standing.force.catalogue.policies, {}))
    found = denied.validate(review(image.reference, "team"))
    found.is_denied("pull-secret-invalid")
    assert "403" in found.message
    del cluster.refuse["/api/v1/namespaces/team/secrets/pull"]
    until(standing, lambda: not _has_problem(standing))
    allowed = start(load=lambda: Loaded(standing.force.catalogue.policies, {}))
    allowed.validate(review(image.reference, "team")).is_allowed()
