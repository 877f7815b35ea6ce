"""Pull secrets of a pod's own namespace, over a fake API server."""

from __future__ import annotations

import base64
import json

import pytest

from kubernetes.fake_api_server import FakeApiServer
from sealgate.admission.cluster import pullsecrets
from sealgate.errors import PullSecretError
from sealgate.kubernetes.client import Client, Cluster
from sealgate.oci.reference import HUB
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Tls, Url

SECRETS = "/api/v1/secrets"
ACCOUNTS = "/api/v1/serviceaccounts"


@pytest.fixture
def fake():
    made = FakeApiServer()
    yield made
    made.close()


@pytest.fixture
def of_pod(fake):
    client = Client(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))

    def ask(namespace: str, **spec):
        http = HttpClient()
        try:
            return driver.run(pullsecrets.of_pod(client, namespace, spec), sender=http.send, seconds=30)
        finally:
            http.close()

    return ask


def secret(name: str, namespace: str, auths: dict, kind: str = "kubernetes.io/dockerconfigjson") -> dict:
    raw = json.dumps({"auths": auths}).encode()
    data = {".dockerconfigjson": base64.b64encode(raw).decode()}
    return {"metadata": {"name": name, "namespace": namespace}, "type": kind, "data": data}


def auth(user: str, password: str) -> dict:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_secrets_of_the_pod_and_of_its_service_account(fake, of_pod):
    fake.put(
        SECRETS,
        secret("one", "team", {"registry.example": auth("u", "p:q"), "https://index.docker.io/v1/": auth("h", "x")}),
    )
    fake.put(SECRETS, secret("two", "team", {"other.example/a": auth("a", "1"), "other.example": auth("o", "2")}))
    fake.put(ACCOUNTS, {"metadata": {"name": "robot", "namespace": "team"}, "imagePullSecrets": [{"name": "two"}]})
    found = of_pod("team", imagePullSecrets=[{"name": "one"}, {"name": "not-there"}], serviceAccountName="robot")
    given = found.lookup("registry.example", "any/thing")
    assert (given.username, given.password) == ("u", "p:q")
    assert found.lookup("other.example", "a/b").username == "a"
    assert found.lookup("other.example", "ab").username == "o"
    assert found.lookup(HUB, "library/x").username == "h"
    assert found.lookup("evilregistry.example", "any/thing") is None


def test_K16_scopes_of_two_namespaces_or_two_passwords_are_never_the_same(fake, of_pod):
    for namespace in ("a", "b"):
        fake.put(SECRETS, secret("one", namespace, {"registry.example": auth("u", "canary")}))
    first, second = (of_pod(each, imagePullSecrets=[{"name": "one"}]) for each in ("a", "b"))
    assert first.scope != second.scope
    assert first.scope == of_pod("a", imagePullSecrets=[{"name": "one"}]).scope
    fake.put(SECRETS, secret("one", "a", {"registry.example": auth("u", "other")}))
    assert of_pod("a", imagePullSecrets=[{"name": "one"}]).scope != first.scope
    assert "canary" not in first.scope
    asked = {path for _, path, _ in fake.requests if "/secrets" in path}
    assert asked == {"/api/v1/namespaces/a/secrets/one", "/api/v1/namespaces/b/secrets/one"}


@pytest.mark.parametrize(
    "broken",
    [
        secret("one", "team", {}, kind="Opaque"),
        secret("one", "team", {"registry.example": {"auth": "canary!"}}),
        secret("one", "team", {"registry.example": ["canary"]}),
        secret("one", "team", {}) | {"data": {".dockerconfigjson": base64.b64encode(b"canary").decode()}},
    ],
)
def test_a_secret_that_cannot_be_read_is_told_without_what_is_in_it(fake, of_pod, broken):
    fake.put(SECRETS, broken)
    with pytest.raises(PullSecretError) as caught:
        of_pod("team", imagePullSecrets=[{"name": "one"}])
    assert caught.value.code == "pull-secret-invalid"
    assert "canary" not in str(caught.value)
