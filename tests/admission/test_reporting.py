"""Policies that cannot be read are told to the cluster: a condition on our own, an Event about others'."""

from __future__ import annotations

import pytest

from kubernetes.fake_api_server import FakeApiServer
from sealgate import limits
from sealgate.admission.cluster.policies import RESOURCES
from sealgate.admission.cluster.reporting import TRIES, Reporter, State
from sealgate.errors import PolicyInvalidError
from sealgate.kubernetes.client import Client, Cluster
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Tls, Url

OWN = "/apis/sealgate.dev/v1alpha1/imagepolicies"
OTHERS = "/apis/kyverno.io/v1/policies"
EVENTS = "/api/v1/events"
BROKEN = PolicyInvalidError("spec: there is no field 'requires'", hint="require")
NOW = 1_700_000_000.0


@pytest.fixture
def fake():
    made = FakeApiServer()
    made.serve(EVENTS)
    for path in (OWN, OTHERS):
        made.put(path, {"metadata": {"name": "one", "namespace": "team", "generation": 3, "uid": "u-1"}, "spec": {}})
    yield made
    made.close()


class Replica:
    def __init__(self, fake: FakeApiServer) -> None:
        self.now = NOW
        self.reporter = Reporter(
            Client(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls())), clock=lambda: self.now
        )

    def tell(self, kind: str, error: PolicyInvalidError | None, *, version: str = "1", steps: int = 1) -> None:
        [resource] = [each for each in RESOURCES if each.kind == kind]
        http = HttpClient()
        try:
            self.reporter.set({kind: State(resource, "team", "one", version, error)})
            for _ in range(steps):
                driver.run(self.reporter.step(), sender=http.send, seconds=30)
        finally:
            http.close()


def ready(fake) -> dict:
    [condition] = fake.get(OWN, "one", "team")["status"]["conditions"]
    return condition


def events(fake) -> list[dict]:
    return list(fake.served[EVENTS].values())


def test_our_own_policy_says_whether_it_is_in_force(fake):
    replica = Replica(fake)
    replica.tell("ImagePolicy", BROKEN)
    assert ready(fake) == {
        "type": "Ready", "status": "False", "reason": "PolicyInvalid", "observedGeneration": 3,
        "message": "spec: there is no field 'requires' [policy-invalid]; require",
        "lastTransitionTime": "2023-11-14T22:13:20Z",
    }  # fmt: skip
    assert [where for _, where, _ in fake.wrote] == [
        "/apis/sealgate.dev/v1alpha1/namespaces/team/imagepolicies/one/status"
    ]
    replica.now += 60
    replica.tell("ImagePolicy", PolicyInvalidError("another"), version="2")
    assert ready(fake)["message"] == "another [policy-invalid]"
    assert ready(fake)["lastTransitionTime"] == "2023-11-14T22:13:20Z"  # it was False before
    replica.tell("ImagePolicy", None, version="3")
    assert (ready(fake)["status"], ready(fake)["lastTransitionTime"]) == ("True", "2023-11-14T22:14:20Z")
    assert events(fake) == []


def test_what_was_told_is_told_once_by_all_replicas_together(fake):
    replicas = [Replica(fake) for _ in range(3)]
    for replica in replicas:
        replica.tell("ImagePolicy", BROKEN, steps=3)
        replica.tell("Policy", BROKEN, steps=3)
        replica.now += 1
    assert len(fake.wrote) == 2
    [event] = events(fake)
    assert (event["type"], event["reason"], event["metadata"]["namespace"]) == ("Warning", "PolicyInvalid", "team")
    assert event["involvedObject"] == {
        "apiVersion": "kyverno.io/v1", "kind": "Policy", "name": "one", "namespace": "team", "uid": "u-1",
    }  # fmt: skip
    replicas[0].tell("Policy", BROKEN, version="2")
    assert len(events(fake)) == 2
    replicas[0].tell("Policy", None, version="3")
    assert len(events(fake)) == 2


def test_conditions_of_others_stay_and_a_faster_writer_is_not_overwritten(fake):
    document = {"metadata": {"name": "one", "namespace": "team", "generation": 4, "uid": "u-1"}, "spec": {}}
    other = {"type": "Other", "status": "True"}
    fake.lose.append((OWN, {**document, "status": {"conditions": [other]}}))
    replica = Replica(fake)
    replica.tell("ImagePolicy", BROKEN)
    assert fake.wrote == []
    replica.tell("ImagePolicy", BROKEN)
    found = fake.get(OWN, "one", "team")["status"]["conditions"]
    assert [each["type"] for each in found] == ["Other", "Ready"]
    assert found[1]["observedGeneration"] == 4


def test_what_cannot_be_told_is_given_up_and_how_much_is_told_at_a_time_is_bounded(fake):
    where = "/apis/sealgate.dev/v1alpha1/namespaces/team/imagepolicies/one/status"
    fake.refuse[where] = 403
    replica = Replica(fake)
    replica.tell("ImagePolicy", BROKEN, steps=TRIES + 3)
    assert sum(path == where for _, path, _ in fake.requests) == TRIES
    fake.refuse.clear()
    replica.tell("ImagePolicy", BROKEN, version="2")
    assert ready(fake)["status"] == "False"
    [resource] = [each for each in RESOURCES if each.kind == "Policy"]
    for number in range(limits.REPORTS + 1):
        fake.put(OTHERS, {"metadata": {"name": f"p{number}", "namespace": "team"}})
    replica.reporter.set(
        {number: State(resource, "team", f"p{number}", "1", BROKEN) for number in range(limits.REPORTS + 1)}
    )
    http = HttpClient()
    for expected in (limits.REPORTS, limits.REPORTS + 1):
        driver.run(replica.reporter.step(), sender=http.send, seconds=30)
        assert len(events(fake)) == expected
    http.close()
