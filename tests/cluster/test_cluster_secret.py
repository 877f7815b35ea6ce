"""`admission serve --tls-secret` in front of a real API server, which believes in the certificate because the webhook told it so."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import time

import pytest

from cluster.place import until, workload
from policy.seed import seed
from sealgate.admission.installation import manifests
from sealgate.admission.installation.manifests import Options

PLACE = "secret-served"
"""Not the webhook's own namespace, which the registrations leave out."""
NAMES = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


@pytest.fixture
def serving(api_server, sealgate, scene, tmp_path):
    """The Secret and the registrations as the installation makes them; `serving()` starts a replica."""
    kube = api_server.kubectl
    api_server.namespace(PLACE)
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "check.yaml").write_text(seed(scene.signer.path.read_text(), f"*{scene.registry.host}/*"))
    options = Options(image=f"registry.example/s@sha256:{'a' * 64}", namespace="default")
    [secret] = [each for each in manifests.before(options) if each["kind"] == "Secret"]
    kube("apply", "--server-side", "-f", "-", input=json.dumps(secret))
    started = []

    def begin(listen: str = "127.0.0.1:0") -> str:
        port, err = tmp_path / f"port-{len(started)}", tmp_path / f"err-{len(started)}"
        with err.open("wb") as stream:
            process = sealgate.popen(
                "admission", "serve", "--policies", policies, "--kubeconfig", api_server.kubeconfig, "--listen", listen,
                "--tls-secret", f"default/{manifests.OWN_SECRET}", "--port-file", port, "--allow-local-registries",
                stderr=stream,
            )  # fmt: skip
        started.append(process)
        end = time.monotonic() + 60
        while not (port.is_file() and port.read_text()):
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        return port.read_text().strip()

    def stop() -> None:
        started[-1].send_signal(signal.SIGKILL)
        started[-1].wait(20)

    begin.stop = stop
    begin.options = options
    yield begin
    for name in NAMES:
        kube("delete", name, "sealgate", check=False)
    kube("delete", "service", "sealgate", check=False)
    kube("delete", "secret", manifests.OWN_SECRET, check=False)
    kube("delete", "-n", PLACE, "pods", "--all", "--force", "--grace-period=0", check=False)
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def register(api_server, options: Options, port: str) -> None:
    """What the installation registers, by its own Service, which leads to this machine."""
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "sealgate"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }  # fmt: skip
    api_server.kubectl("apply", "-f", "-", input=json.dumps(service))
    for each in manifests.registration(options):
        for hook in each["webhooks"]:
            assert "caBundle" not in hook["clientConfig"]
            hook["clientConfig"]["service"]["port"] = int(port)
        api_server.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(each))


def bundle(api_server) -> bytes:
    """Whom the API server is told to believe, the same in both registrations; empty: nobody yet."""
    found = set()
    for name in NAMES:
        hooks = json.loads(api_server.kubectl("get", name, "sealgate", "-o", "json").stdout)["webhooks"]
        found |= {hook["clientConfig"].get("caBundle", "") for hook in hooks}
    return base64.b64decode(found.pop()) if len(found) == 1 else b""


def served(port: str, authorities: bytes) -> bytes:
    """The certificate that is served under the Service's name, which these authorities must have issued."""
    import socket

    context = ssl.create_default_context(cadata=authorities.decode())
    with (
        socket.create_connection(("127.0.0.1", int(port)), 20) as sock,
        context.wrap_socket(sock, server_hostname="sealgate.default.svc") as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def test_the_api_server_believes_in_the_certificate_that_the_webhook_made(api_server, serving, scene):
    kube = api_server.kubectl
    evil = scene.tag.removesuffix(":v1") + ":evil"

    def create(name: str, image: str):
        return kube("create", "-n", PLACE, "-f", "-", input=json.dumps(workload("Pod", name, image)), check=False)

    register(api_server, serving.options, "1")
    port = serving()  # it tells the API server before it serves
    first = bundle(api_server)
    assert first
    register(api_server, serving.options, port)
    assert bundle(api_server) == first  # another apply leaves what the webhook wrote
    certificate = served(port, first)
    until(lambda: "no-signature" in create("bad", evil).stderr, why=lambda: create("bad", evil).stderr)
    done = create("good", scene.tag)
    assert done.returncode == 0, done.stderr
    image = kube("get", "-n", PLACE, "pod", "good", "-o", "jsonpath={.spec.containers[0].image}").stdout
    assert image == f"{scene.tag}@{scene.image.digest}"
    # Another process takes over what the Secret holds: the same certificate, believed in already.
    serving.stop()
    assert create("meanwhile", scene.tag).returncode != 0
    assert serving(f"127.0.0.1:{port}") == port
    assert served(port, bundle(api_server)) == certificate
    assert until(lambda: create("again", scene.tag).returncode == 0)
    assert "no-signature" in create("bad", evil).stderr
