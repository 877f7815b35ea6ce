"""Policies from the cluster, over a fake API server."""

from __future__ import annotations

import base64
import time

import pytest

from kubernetes.fake_api_server import FakeApiServer
from sealgate.admission.cluster.policies import RESOURCES, ClusterPolicies
from sealgate.admission.cluster.standing import ClusterStanding
from sealgate.errors import UnavailableError
from sealgate.kubernetes.client import Client, Cluster
from sealgate.policy.attestors import Settings
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Tls, Url

CLUSTER_POLICIES = "/apis/kyverno.io/v1/clusterpolicies"
POLICIES = "/apis/kyverno.io/v1/policies"
NAMESPACES = "/api/v1/namespaces"
SECRETS = "/api/v1/secrets"


@pytest.fixture
def fake():
    made = FakeApiServer()
    made.serve(NAMESPACES)
    made.serve(CLUSTER_POLICIES)
    yield made
    made.close()


@pytest.fixture
def start(fake):
    def begin(*, seconds: float = 20, allowed=(), reporter=lambda _: None) -> ClusterStanding:
        client = Client(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        return ClusterStanding(
            lambda changed: ClusterPolicies(
                client, Settings(), home="home", allowed=allowed, no_match=None, changed=changed, watch_seconds=1,
                reference_seconds=0.3, reporter=reporter(client),
            ),
            sender=HttpClient().send, seconds=seconds,
        )  # fmt: skip

    return begin


@pytest.fixture
def key(tmp_path):
    from bypasses.scene import Signer

    return Signer(tmp_path).path.read_text(encoding="utf-8")


def policy(name: str, key: str, *, namespace: str | None = None, image: str = "registry.example/*") -> dict:
    place = {"namespace": namespace} if namespace else {}
    rule = {
        "name": "signed",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "verifyImages": [{"imageReferences": [image], "attestors": [{"entries": [{"keys": {"publicKeys": key}}]}]}],
    }
    return {"metadata": {"name": name, **place}, "spec": {"validationFailureAction": "Enforce", "rules": [rule]}}


def rules(standing) -> dict[str, str]:
    return {rule.policy: rule.images[0] for rule in standing.force.catalogue.policies.rules}


def until(standing, condition) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        standing.renew()
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(rules(standing), standing.broken)


def test_policies_come_change_and_go_without_a_restart(fake, start, key):
    fake.put(CLUSTER_POLICIES, policy("one", key))
    fake.put(NAMESPACES, {"metadata": {"name": "team", "labels": {"a": "1", "A": "2"}}})
    standing = start()
    assert rules(standing) == {"one": "registry.example/*"}
    assert standing.force.namespaces["team"] == {"a": "1", "A": "2"}
    assert "unheard-of" not in standing.force.namespaces  # P09: not known, never none
    fake.put(CLUSTER_POLICIES, policy("two", key))
    until(standing, lambda: set(rules(standing)) == {"one", "two"})
    fake.put(CLUSTER_POLICIES, policy("one", key, image="other.example/*"))
    until(standing, lambda: rules(standing)["one"] == "other.example/*")
    fake.drop(CLUSTER_POLICIES, "two")
    until(standing, lambda: set(rules(standing)) == {"one"})


def test_X13_a_policy_that_breaks_leaves_in_force_what_it_was(fake, start, key):
    fake.put(CLUSTER_POLICIES, policy("one", key))
    standing = start()
    assert standing.broken is None
    fake.put(CLUSTER_POLICIES, {"metadata": {"name": "one"}, "spec": {"rulez": []}})
    until(standing, lambda: standing.broken is not None)
    assert standing.broken.code == "policy-invalid"
    assert "ClusterPolicy.kyverno.io/one" in standing.broken.message
    assert rules(standing) == {"one": "registry.example/*"}
    fake.put(CLUSTER_POLICIES, policy("one", key))
    until(standing, lambda: standing.broken is None)


def test_W21_a_policy_that_never_could_be_read_refuses_what_it_may_be_about(fake, start):
    fake.put(CLUSTER_POLICIES, {"metadata": {"name": "one"}, "spec": {"rulez": []}})
    fake.put(POLICIES, {"metadata": {"name": "mine", "namespace": "team"}, "spec": {"rulez": []}})
    found = {rule.policy: rule for rule in start().force.catalogue.policies.rules}
    assert found["one"].namespace is None
    assert found["team/mine"].namespace == "team"  # a tenant shuts nobody else out
    for rule in found.values():
        assert rule.images == ("*",)
        assert rule.demand.passes is False
        assert rule.action == "enforce"


def test_W21_nothing_is_in_force_before_everything_was_listed(fake, start):
    fake.refuse[CLUSTER_POLICIES] = 403
    with pytest.raises(UnavailableError) as caught:
        start(seconds=2)
    assert caught.value.code == "cluster-denied"


def secret(namespace: str, key: str) -> dict:
    return {
        "metadata": {"name": "keys", "namespace": namespace},
        "data": {"cosign.pub": base64.b64encode(key.encode()).decode()},
    }


def test_a_secret_is_fetched_and_one_that_vanishes_unloads_nothing(fake, start, key):
    fake.put(SECRETS, secret("home", key))
    fake.put(CLUSTER_POLICIES, policy("one", "k8s://home/keys"))
    standing = start()
    assert standing.broken is None
    assert rules(standing) == {"one": "registry.example/*"}
    fake.drop(SECRETS, "keys", "home")
    until(standing, lambda: standing.broken is not None)
    assert rules(standing) == {"one": "registry.example/*"}
    fake.put(SECRETS, secret("home", key))
    until(standing, lambda: standing.broken is None)


def test_X13_the_cluster_is_told_which_policy_cannot_be_read(fake, start, key):
    from sealgate.admission.cluster.reporting import Reporter

    events = "/api/v1/events"
    fake.serve(events)
    fake.put(CLUSTER_POLICIES, {"metadata": {"name": "one"}, "spec": {"rulez": []}})
    fake.put(CLUSTER_POLICIES, policy("two", key))
    standing = start(reporter=lambda client: Reporter(client, clock=time.time))
    until(standing, lambda: fake.served[events])
    [event] = fake.served[events].values()
    assert (event["involvedObject"]["name"], event["metadata"]["namespace"]) == ("one", "default")
    assert "spec.rules is empty [policy-invalid]" in event["message"]


def test_a_policy_that_the_cluster_hears_of_is_in_force_already(fake, start, key):
    from sealgate.transport import flow

    class Listener:
        """Looks at what is in force in the moment in which the cluster is told."""

        def __init__(self) -> None:
            self.standing: ClusterStanding | None = None
            self.seen: list[set[str]] = []

        def set(self, states) -> None:
            if self.standing is not None:
                assert {state.name for state in states.values()} == set(rules(self.standing))
                self.seen.append(set(rules(self.standing)))

        async def run(self) -> None:
            await flow.sleep(3600)

    listener = Listener()
    listener.standing = start(reporter=lambda _: listener)
    fake.put(CLUSTER_POLICIES, policy("one", key))
    until(listener.standing, lambda: {"one"} in listener.seen)
    fake.drop(CLUSTER_POLICIES, "one")
    until(listener.standing, lambda: listener.seen[-1] == set())
    assert listener.standing.broken is None


@pytest.mark.parametrize(("namespace", "where", "good"), [(None, "kube-system", "home"), ("team", "home", "team")])
def test_P23_X12_secrets_of_other_namespaces_are_never_asked_for(fake, start, key, namespace, where, good):
    path = POLICIES if namespace else CLUSTER_POLICIES
    for each in (where, good):
        fake.put(SECRETS, secret(each, key))
    fake.put(path, policy("one", f"k8s://{where}/keys", namespace=namespace))
    standing = start()
    assert standing.broken is not None
    assert not any(f"/namespaces/{where}/secrets" in path for _, path, _ in fake.requests)
    fake.put(path, policy("one", f"k8s://{good}/keys", namespace=namespace))
    until(standing, lambda: standing.broken is None)


def test_every_kind_that_a_reader_takes_is_watched():
    from sealgate.policy.reading import _READERS

    assert {(each.group, each.kind) for each in RESOURCES} == set(_READERS)


def test_a_text_that_cannot_be_compiled_leaves_in_force_what_was_before(fake, start, key):
    path = "/apis/sealgate.dev/v1alpha1/clusterimagepolicies"
    fake.serve(path)

    def own(name: str, text: str, image: str) -> dict:
        attestation = {"type": "https://example.com/score", "by": {"key": key}, "conditions": [{"cel": text}]}
        return {
            "metadata": {"name": name},
            "spec": {"images": [image], "require": {"attestation": attestation}},
        }

    fake.put(path, own("one", "predicate.score > 5", "registry.example/a/**"))
    fake.put(path, own("two", "predicate.score > 6", "registry.example/b/**"))
    standing = start()
    assert standing.broken is None
    fake.put(path, own("one", "predicate.score >", "registry.example/c/**"))
    fake.put(path, own("two", "predicate.score > 7", "registry.example/d/**"))
    until(standing, lambda: standing.broken is not None and rules(standing)["two"] == "registry.example/d/**")
    assert rules(standing) == {"one": "registry.example/a/**", "two": "registry.example/d/**"}
    assert "ClusterImagePolicy.sealgate.dev/one: " in standing.broken.message
    assert "conditions[0].cel: is not CEL" in standing.broken.message
    fake.put(path, own("one", "predicate.score > 8", "registry.example/c/**"))
    until(standing, lambda: standing.broken is None)
    assert rules(standing)["one"] == "registry.example/c/**"
    fake.put(path, own("new", "http.Get('x')", "registry.example/e/**"))
    until(standing, lambda: standing.broken is not None)
    assert rules(standing)["new"] == "**"  # it never could be read: it refuses everything
