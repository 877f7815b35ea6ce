"""The webhook in front of a real API server: policies from the cluster, the registration as it is installed, kubectl."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time

import pytest
import yaml

from policy.seed import seed
from sealgate.admission import manifests
from sealgate.admission.manifests import Options

KYVERNO = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "clusterpolicies.kyverno.io"},
    "spec": {
        "group": "kyverno.io",
        "scope": "Cluster",
        "names": {"plural": "clusterpolicies", "singular": "clusterpolicy", "kind": "ClusterPolicy"},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}  # fmt: skip


def pod_spec(image: str) -> dict:
    return {"containers": [{"name": "c", "image": image}], "restartPolicy": "Never"}


def workload(kind: str, name: str, image: str) -> dict:
    template = {"metadata": {"labels": {"a": name}}, "spec": pod_spec(image)}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": pod_spec(image)}
    if kind == "Job":
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template}}
    template["spec"]["restartPolicy"] = "Always"
    spec = {"selector": {"matchLabels": {"a": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def webhook(api_server, sealgate, scene, authority, tmp_path):
    """Serves with policies of the cluster, registered by what `admission install` registers."""
    kube = api_server.kubectl
    kube("apply", "-f", "-", input=json.dumps(KYVERNO))
    kube("wait", "--for=condition=established", "crd/clusterpolicies.kyverno.io", "--timeout=60s")
    kube("apply", "-f", "-", input=seed(scene.signer.path.read_text(encoding="utf-8"), "*127.0.0.1*"))
    serving = authority.issue("127.0.0.1")
    started: list[subprocess.Popen[bytes]] = []
    listen = ["127.0.0.1:0"]

    def start() -> str:
        port = tmp_path / f"port-{len(started)}"
        with (tmp_path / f"err-{len(started)}").open("wb") as err:
            process = sealgate.popen(
                "admission", "serve", "--policies", "cluster:", "--kubeconfig", api_server.kubeconfig, "--listen", listen[0],
                "--tls-cert", serving.certificate, "--tls-key", serving.key, "--port-file", port, "--allow-local-registries",
                stderr=err,
            )  # fmt: skip
        started.append(process)
        end = time.monotonic() + 60
        while not (port.is_file() and port.read_text(encoding="utf-8")):
            assert process.poll() is None, (tmp_path / f"err-{len(started) - 1}").read_text(encoding="utf-8")
            assert time.monotonic() < end
            time.sleep(0.1)
        listen[0] = f"127.0.0.1:{port.read_text(encoding='utf-8').strip()}"
        return listen[0]

    def stop() -> None:
        started[-1].send_signal(signal.SIGKILL)
        started[-1].wait(20)

    address = start()
    options = Options(image=f"registry.example/s@sha256:{'a' * 64}", ca_bundle=authority.certificate.read_bytes())
    registered = manifests.registration(options)
    for each in registered:
        for hook in each["webhooks"]:
            path = hook["clientConfig"].pop("service")["path"]
            hook["clientConfig"]["url"] = f"https://{address}{path}"
            assert base64.b64decode(hook["clientConfig"]["caBundle"])
    kube("apply", "-f", "-", input="---\n".join(yaml.safe_dump(each) for each in registered))
    time.sleep(3)  # the API server takes a moment to read its registrations
    yield start, stop
    for each in registered:
        kube("delete", each["kind"], each["metadata"]["name"], check=False)
    kube("delete", "clusterpolicy", "check-image-signature", check=False)
    kube("delete", "pods,deployments,jobs", "--all", "--force", "--grace-period=0", check=False)
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def test_what_is_signed_runs_by_its_digest_and_nothing_else_does(api_server, webhook, scene):
    kube = api_server.kubectl
    start, stop = webhook
    evil = scene.tag.removesuffix(":v1") + ":evil"

    def create(kind: str, name: str, image: str) -> subprocess.CompletedProcess[str]:
        return kube("create", "-f", "-", input=json.dumps(workload(kind, name, image)), check=False)

    for kind in ("Pod", "Deployment", "Job"):
        done = create(kind, "good", scene.tag)
        assert done.returncode == 0, done.stderr
        bad = create(kind, "bad", evil)
        assert bad.returncode != 0
        assert evil in bad.stderr
        assert "check-image-signature/verify-signature" in bad.stderr
        assert "[no-signature]" in bad.stderr, bad.stderr
    image = kube("get", "pod", "good", "-o", "jsonpath={.spec.containers[0].image}").stdout
    assert image == f"{scene.tag}@{scene.image.digest}"
    # It dies: nothing slips through. It comes back: everything goes on.
    stop()
    for image in (scene.tag, evil):
        done = create("Pod", "meanwhile", image)
        assert done.returncode != 0
        assert "sealgate.dev" in done.stderr
    start()
    done = create("Pod", "again", scene.tag)
    assert done.returncode == 0, done.stderr
