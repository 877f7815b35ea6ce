"""Who may ask the webhook in a real cluster, whom it asks and with which credentials, and what it says when nobody answers it."""

from __future__ import annotations

import base64
import json

import pytest

from admission.place import recorded
from bypasses.scene import Scene, Signer
from cluster.place import Cluster, admitted, refused, seed, until, workload
from evil_registry.scripts import stall
from peers.clusters import NAME
from peers.images import push_image


def test_K19_with_client_certificates_only_the_api_server_is_answered(api_server, cluster, webhook, scene):
    cluster.apply(seed(scene))
    body = json.dumps(recorded("02")).encode()
    assert webhook().post("/validate", body) == 200
    found = webhook("--client-ca", api_server.ca, "--client-name", NAME)
    assert found.post("/validate", body) == 403
    with found.registered():
        admitted(cluster.create(workload("Pod", "good", scene.tag)))
        refused(cluster.create(workload("Pod", "bad", found.evil))).names(found.evil, "[no-signature]")
    another = webhook("--client-ca", api_server.ca, "--client-name", "somebody-else")
    cluster.apply(*another.registration())
    try:
        done = until(
            lambda: (said := cluster.create(workload("Pod", "one", scene.tag), "--dry-run=server")).returncode and said
        )
        assert "failed calling webhook" in done.stderr
    finally:
        for each in another.registration():
            cluster.kubectl("delete", each["kind"], each["metadata"]["name"], check=True)
        until(lambda: cluster.create(workload("Pod", "one", scene.tag), "--dry-run=server").returncode == 0)


def test_K12_who_creates_a_pod_hears_which_registry_was_slow(cluster, webhook, scene, evil_registry, tmp_path):
    """The webhook answers before the API server gives up: else it would say no more than that nobody did."""
    slow = Scene(evil_registry(), Signer(tmp_path), tmp_path)
    slow.attach()
    policy = seed(slow)
    policy["metadata"]["name"] = "slow"
    cluster.apply(seed(scene), policy)
    found = webhook()
    with found.registered(seconds=3):
        until(lambda: cluster.create(workload("Pod", "probe", slow.tag), "--dry-run=server").returncode == 0)
        slow.registry.on("*", "/v2/*", stall())
        said = refused(cluster.create(workload("Pod", "slow", slow.name)))
        said.names(slow.name, "slow/verify-signature", slow.registry.host, "has no answer after", "[timed-out]")
        admitted(cluster.create(workload("Pod", "good", scene.tag)))


@pytest.fixture
def private(start_registry, sealgate, tmp_path):
    """A registry that lets in whom it knows alone, with a signed image; and the key."""
    registry = start_registry(htpasswd={"ci": "of-the-nodes"})
    pushed = push_image(registry.host, "team/app", "v1", auth=("ci", "of-the-nodes"))
    sealgate("generate-key-pair", cwd=tmp_path, check=True)
    login = ("--registry-username", "ci", "--registry-password", "of-the-nodes")
    sealgate("sign", "--key", tmp_path / "cosign.key", "--yes", *login, f"{registry.host}/team/app:v1", check=True)
    return registry.host, pushed.digest, tmp_path / "cosign.pub"


def pull_secret(host: str) -> dict:
    auth = base64.b64encode(b"ci:of-the-nodes").decode()
    data = base64.b64encode(json.dumps({"auths": {host: {"auth": auth}}}).encode()).decode()
    kind = "kubernetes.io/dockerconfigjson"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull"},
        "type": kind,
        "data": {".dockerconfigjson": data},
    }


def test_K16_a_private_registry_is_asked_with_the_pull_secrets_of_the_pods_own_namespace(
    api_server, cluster, webhook, scene, private
):
    host, digest, key = private
    image = f"{host}/team/app:v1"
    policy = seed(scene, key=key)
    policy["spec"]["rules"][0]["verifyImages"][0]["image"] = f"{host}/*"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "app"},
        "imagePullSecrets": [{"name": "pull"}],
    }
    other = Cluster(api_server, f"{cluster.namespace}-other")
    api_server.namespace(other.namespace)
    cluster.apply(policy, pull_secret(host), account)
    by_pod, by_account = workload("Pod", "by-pod", image), workload("Pod", "by-account", image)
    by_pod["spec"]["imagePullSecrets"] = [{"name": "pull"}]
    by_account["spec"]["serviceAccountName"] = "app"
    with webhook("--pull-secrets").registered():
        for each in (by_pod, by_account):
            admitted(cluster.create(each))
            assert cluster.image("Pod", each["metadata"]["name"]) == f"{image}@{digest}"
            refused(other.create(each)).names(image, "check-image-signature")
        refused(cluster.create(workload("Pod", "without", image)))
    with webhook().registered():
        refused(cluster.create({**by_pod, "metadata": {"name": "later"}}))
