"""Whose pull secrets are used for whose images: the webhook, a fake API server and docker-registry with passwords."""

from __future__ import annotations

import json

import pytest

from admission.place import by_key, pod, recorded, rule
from admission.test_pull_secrets import ACCOUNTS, SECRETS, auth, secret
from bypasses.scene import Signer, compact
from kubernetes.fake_api_server import FakeApiServer
from peers.handmade import attach_legacy
from peers.images import Pushed, push_image
from sealgate.admission.cluster.pullsecrets import Scopes
from sealgate.kubernetes.client import Client as ClusterClient
from sealgate.kubernetes.client import Cluster
from sealgate.oci.credentials import Credentials
from sealgate.transport.message import Tls, Url

USER = ("someone", "a secret")


@pytest.fixture
def fake():
    made = FakeApiServer()
    yield made
    made.close()


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture(scope="module")
def host(start_registry) -> str:
    return start_registry(htpasswd=dict([USER])).host


@pytest.fixture
def image(host, signer) -> Pushed:
    """A signed image that nobody sees without the password."""
    found = push_image(host, "team/app", auth=USER)
    payload = compact(signer.payload(found.digest))
    attach_legacy(found, payload, signer.sign(payload), auth=USER)
    return found


@pytest.fixture
def place(start, fake, signer):
    def begin(operator=None, **more):
        client = ClusterClient(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        return start(rule(by_key(signer.path.read_bytes())), scopes=Scopes(client, operator), **more)

    return begin


def review(image: str, namespace: str, name: str = "01", **spec) -> dict:
    found = pod(image, name=name, **spec)
    found["request"]["namespace"] = found["request"]["object"]["metadata"]["namespace"] = namespace
    return found


def test_K16_pull_secrets_of_a_namespace_are_used_for_its_own_pods_and_no_others(fake, place, image, host):
    fake.put(SECRETS, secret("pull", "a", {host: auth(*USER)}))
    there = place()
    own = [{"name": "pull"}]
    there.validate(review(image.reference, "a", imagePullSecrets=own)).is_allowed()
    # The verdict is kept by now, but not for the pods of others: neither by the same name nor without any.
    for other in (review(image.reference, "b", imagePullSecrets=own), review(image.reference, "b")):
        there.validate(other).is_denied("registry-unauthorized")
    there.validate(review(image.reference, "a")).is_denied("registry-unauthorized")
    there.mutate(review(image.tagged, "b", imagePullSecrets=own)).is_denied("registry-unauthorized")
    assert there.mutate(review(image.tagged, "a", imagePullSecrets=own)).patch
    asked = {path for _, path, _ in fake.requests}
    assert asked <= {
        f"/api/v1/namespaces/{namespace}/{what}"
        for namespace in ("a", "b")
        for what in ("secrets/pull", "serviceaccounts/default")
    }
    assert "a secret" not in json.dumps(there.log())
    # The same Secret in the other namespace lets its pods in.
    fake.put(SECRETS, secret("pull", "b", {host: auth(*USER)}))
    there.validate(review(image.reference, "b", imagePullSecrets=own)).is_allowed()


def test_K16_a_password_that_was_withdrawn_counts_no_more(fake, place, image, host):
    fake.put(SECRETS, secret("pull", "a", {host: auth(*USER)}))
    there = place()
    asked = review(image.reference, "a", imagePullSecrets=[{"name": "pull"}])
    there.validate(asked).is_allowed()
    fake.put(SECRETS, secret("pull", "a", {host: auth("someone", "another")}))
    there.validate(asked).is_denied("registry-unauthorized")


def test_K16_the_operators_credentials_are_for_what_a_pod_has_none_for(fake, place, image, host):
    told = []

    def operator(registry: str, repository: str) -> Credentials | None:
        told.append(registry)
        return Credentials(*USER) if registry == host else None

    there = place(operator)
    fake.put(SECRETS, secret("bad", "a", {host: auth("someone", "wrong")}))
    fake.put(SECRETS, secret("other", "a", {"registry.example": auth("u", "p")}))
    there.validate(review(image.reference, "a", imagePullSecrets=[{"name": "bad"}])).is_denied("registry-unauthorized")
    assert told == []
    there.validate(review(image.reference, "a", imagePullSecrets=[{"name": "other"}])).is_allowed()
    assert set(told) == {host}


def test_the_secrets_of_a_template_and_of_a_service_account(fake, place, image, host):
    fake.put(SECRETS, secret("pull", "a", {host: auth(*USER)}))
    fake.put(ACCOUNTS, {"metadata": {"name": "robot", "namespace": "a"}, "imagePullSecrets": [{"name": "pull"}]})
    there = place()
    found = recorded("deployment")
    found["request"]["namespace"] = found["request"]["object"]["metadata"]["namespace"] = "a"
    spec = found["request"]["object"]["spec"]["template"]["spec"]
    spec["containers"] = [{"name": "c", "image": image.reference}]
    there.validate(found).is_denied("registry-unauthorized")
    spec["serviceAccountName"] = "robot"
    there.validate(found).is_allowed()


@pytest.mark.parametrize(("broken", "code"), [("secret", "pull-secret-invalid"), ("server", "cluster-denied")])
def test_what_cannot_be_read_admits_nothing(fake, place, image, host, broken, code):
    good = secret("pull", "a", {host: auth(*USER)})
    fake.put(SECRETS, good)
    there = place()
    asked = review(image.reference, "a", imagePullSecrets=[{"name": "pull"}])
    there.validate(asked).is_allowed()
    if broken == "secret":
        fake.put(SECRETS, good | {"type": "Opaque"})
    else:
        fake.refuse["/api/v1/namespaces/a/secrets/pull"] = 403
    there.validate(asked).is_denied(code)
