"""The webhook at registries of clouds: a docker-registry stands in for ECR, fakes for the services behind it, on loopback."""

from __future__ import annotations

import json
import threading
import time

import pytest

from admission.place import at_once, by_key, pod, rule
from admission.test_pull_secrets import SECRETS, auth, secret
from admission.test_pull_secrets_used import review
from bypasses.scene import SIGNATURE, SIMPLE, Signer, b64, compact
from clouds.fake_clouds import ACCOUNT, ECR, FakeClouds, FakeNetwork, ambient, said
from kubernetes.fake_api_server import FakeApiServer
from peers.images import OCI_CONFIG, OCI_MANIFEST, Client, push_image
from sealgate import limits
from sealgate.admission.cluster.pullsecrets import Scopes
from sealgate.kubernetes.client import Client as ClusterClient
from sealgate.kubernetes.client import Cluster
from sealgate.oci.exchange.cache import Exchanger
from sealgate.oci.host import RegistrySettings
from sealgate.transport.asynchronous import AsyncHttpClient
from sealgate.transport.message import Tls, Url

USER = ("AWS", "ecr-password-1")
VARIABLES = {"AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "the-secret-of-variables"}


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture(scope="module")
def host(start_registry) -> str:
    return start_registry(htpasswd=dict([USER])).host


@pytest.fixture
def images(host, signer) -> list[str]:
    """Signed images at what passes for ECR, and an unsigned one, the last."""
    found = []
    client = Client(host, auth=USER)
    for number in range(4):
        name = f"team/app{number}"
        pushed = push_image(host, name, auth=USER)
        found.append(f"{ACCOUNT}/{name}@{pushed.digest}")
        if number == 3:
            break
        payload = compact(signer.payload(pushed.digest))
        layer = {
            "mediaType": SIMPLE, "size": len(payload), "digest": client.put_blob(name, payload),
            "annotations": {SIGNATURE: b64(signer.sign(payload))},
        }  # fmt: skip
        config = {"mediaType": OCI_CONFIG, "size": 2, "digest": client.put_blob(name, b"{}")}
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
        client.put_manifest(name, pushed.digest.replace(":", "-") + ".sig", compact(manifest), OCI_MANIFEST)
    return found


@pytest.fixture
def clouds():
    found = FakeClouds(time.time)
    found.keys["AKIDENVIRONMENT"] = ("the-secret-of-variables", "")
    yield found
    found.close()


@pytest.fixture
def fake_network(monkeypatch, clouds, host):
    """Leads the registry of the cloud to docker-registry, and its services to their fakes."""
    network = FakeNetwork(clouds)
    real = AsyncHttpClient.send
    where, _, port = host.partition(":")

    async def send(self, request, deadline, /):
        if request.url.host == ACCOUNT:
            assert request.addresses == "not-local"
            url = request.url._replace(scheme="http", host=where, port=int(port))
            return await real(self, request._replace(url=url, addresses="any"), deadline)
        return await real(self, network.led(request) if request.url.host in clouds.services else request, deadline)

    monkeypatch.setattr(AsyncHttpClient, "send", send)
    yield network
    network.close()


@pytest.fixture
def place(start, signer, fake_network):
    def begin(*names: str, **more):
        exchange = Exchanger(names, ambient(time.time, **VARIABLES)) if names else None
        settings = RegistrySettings(first_pause=0.01, addresses="not-local", exchange=exchange)
        return start(rule(by_key(signer.path.read_bytes())), registry=settings, **more)

    return begin


def test_images_of_a_clouds_registry_are_judged_with_its_credentials(place, images, clouds):
    there = place("amazon")
    there.validate(pod(*images[:3])).is_allowed()
    there.validate(pod(images[3])).is_denied("no-signature")
    assert clouds.hosts == [ECR]
    text = json.dumps(there.log())
    assert not any(each in text for each in clouds.secrets())


def counted(there, host: str) -> dict[str, float]:
    """How many requests went to a host, by status."""
    found = {}
    for line in there.get("/metrics").body.decode().splitlines():
        if line.startswith(f'sealgate_registry_answers_total{{host="{host}",'):
            labels, _, value = line.rpartition(" ")
            found[labels.partition('status="')[2].partition('"')[0]] = float(value)
    return found


def test_D10_what_clouds_are_asked_is_counted_by_host_and_status(place, images, clouds):
    there = place("amazon")
    clouds.instead[ECR] = said({"__type": "AccessDeniedException"}, 400)
    there.validate(pod(images[0])).is_denied("credentials-refused")
    refused = float(len(clouds.hosts))
    assert refused >= 1
    assert counted(there, ECR) == {"400": refused}
    clouds.instead.clear()
    there.validate(pod(images[0])).is_allowed()
    there.validate(pod(*images[:3])).is_allowed()  # its credentials are known by now
    assert counted(there, ECR) == {"400": refused, "200": 1.0}
    assert f'sealgate_registry_seconds_count{{host="{ECR}"}} {refused + 1}' in there.get("/metrics").body.decode()
    there = place("amazon")
    for number in range(limits.HOSTS):
        there.parts.metrics.registry(f"r{number}.example", "200", 0.1)
    there.validate(pod(images[0])).is_denied("registry-unauthorized")  # the fake's second password is another one
    assert counted(there, ECR) == counted(there, ACCOUNT) == {}
    assert counted(there, "other")["200"] >= 1


def test_without_the_option_no_cloud_is_asked(place, images, clouds):
    place().validate(pod(images[0])).is_denied("registry-unauthorized")
    place("google", "azure", "github").validate(pod(images[0])).is_denied("registry-unauthorized")
    assert clouds.asked == []


def test_where_the_cloud_gives_nothing_nothing_is_admitted(place, images, clouds):
    there = place("amazon")
    clouds.instead[ECR] = said({"__type": "AccessDeniedException", "message": "ecr-password"}, 400)
    found = there.validate(pod(images[0]))
    found.is_denied("credentials-refused")
    assert "AccessDeniedException" in found.message
    text = found.message + json.dumps(there.log())
    assert not any(each in text for each in clouds.secrets())
    clouds.instead.clear()
    there.validate(pod(images[0])).is_allowed()  # a failure is not remembered


def test_reviews_at_once_ask_the_cloud_once(place, images, clouds):
    there = place("amazon")
    clouds.gate = threading.Event()
    timer = threading.Timer(1.0, clouds.gate.set)
    timer.start()
    found = at_once(*[lambda image=image: there.validate(pod(image)) for image in images[:3] * 4])
    timer.join()
    for each in found:
        each.is_allowed()
    assert clouds.hosts == [ECR]


def test_a_cloud_that_stalls_is_named_in_time_and_its_answer_is_there_for_the_next_review(place, images, clouds):
    there = place("amazon")
    clouds.gate = threading.Event()
    found = there.validate(pod(images[0]), timeout="2s")
    found.is_denied("timed-out")
    assert found.seconds < 2
    clouds.gate.set()
    there.validate(pod(images[0])).is_allowed()
    assert clouds.hosts == [ECR]


def test_K16_a_namespaces_own_secret_comes_first_and_is_never_replaced_by_the_operators_cloud(place, images, clouds):
    fake = FakeApiServer()
    try:
        client = ClusterClient(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        there = place("amazon", scopes=Scopes(client, None))
        fake.put(SECRETS, secret("own", "a", {ACCOUNT: auth("AWS", "wrong")}))
        fake.put(SECRETS, secret("own", "b", {"registry.example": auth("u", "p")}))
        own = [{"name": "own"}]
        there.validate(review(images[0], "a", imagePullSecrets=own)).is_denied("registry-unauthorized")
        assert clouds.asked == []
        there.validate(review(images[0], "b", imagePullSecrets=own)).is_allowed()
        assert clouds.hosts == [ECR]
        there.validate(review(images[0], "a", imagePullSecrets=own)).is_denied("registry-unauthorized")
    finally:
        fake.close()


def test_T12_an_image_whose_registry_looks_like_the_clouds_gets_nothing(place, images, clouds):
    there = place("amazon")
    evil = images[0].replace(ACCOUNT, f"{ACCOUNT}.evil.invalid")
    found = there.validate(pod(evil))
    assert found.response["allowed"] is False
    assert clouds.asked == []
    there.validate(pod(images[0])).is_allowed()
