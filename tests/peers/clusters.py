"""A real kube-apiserver with etcd, where `KUBEBUILDER_ASSETS` names one (the convention of envtest).

No controller, no scheduler, no kubelet runs: objects are admitted and stored, and that is what the tests are about.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from peers.certificates import Authority
from peers.programs import Program, require

_SECONDS = 90
NAME = "kube-apiserver"
"""Of the client that asks webhooks."""


class ApiServer:
    """A running API server; `kubeconfig` is that of an administrator."""

    def __init__(self, port: int, kubeconfig: Path, kubectl: Program, version: str, ca: Path) -> None:
        """`ca`: of its own certificate, and of the one that it shows webhooks (`NAME`)."""
        self.port = port
        self.kubeconfig = kubeconfig
        self.version = version
        self.ca = ca
        self._kubectl = kubectl
        self.resources = self._resources(
            "/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/batch/v1beta1", "/apis/policy/v1"
        )
        """The kind of each resource, by `batch/v1/cronjobs`: what came with which version is looked up, not assumed."""

    def _resources(self, *paths: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in paths:
            done = self.kubectl("get", "--raw", path, check=False)
            listed = json.loads(done.stdout)["resources"] if done.returncode == 0 else []
            place = path.partition("/")[2].partition("/")[2]
            found |= {f"{place}/{each['name']}": each["kind"] for each in listed}
        return found

    def namespace(self, name: str) -> None:
        """See that a namespace is there, with the label that API servers from 1.21 on set themselves."""
        if self.kubectl("get", "namespace", name, check=False).returncode:
            self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, f"kubernetes.io/metadata.name={name}", "--overwrite")

    def kubectl(self, *args, check: bool = True, input=None) -> subprocess.CompletedProcess[str]:
        place = ("--kubeconfig", self.kubeconfig, "--cache-dir", self.kubeconfig.with_name("kubectl"))
        return self._kubectl(*place, *args, check=check, input=input)


def api_server_program() -> Path:
    """The program, or skip the test with the reason."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        pytest.skip("no kube-apiserver: KUBEBUILDER_ASSETS names none")
    found = Path(folder) / "kube-apiserver"
    if not found.is_file():
        pytest.skip(f"no kube-apiserver in {folder}")
    return found


def _etcd(program: Path) -> Path:
    """The one beside the API server, as envtest has it, or the peer."""
    beside = program.with_name("etcd")
    return beside if beside.is_file() else require("etcd").path


def _gates(program: Path) -> list[str]:
    """Debug containers are behind a gate before 1.23; later servers do not know it."""
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout
    return ["--feature-gates=EphemeralContainers=true"] if "EphemeralContainers=true|false" in told else []


@pytest.fixture(scope="session")
def api_server(tmp_path_factory, kubectl) -> Iterator[ApiServer]:
    program = api_server_program()
    etcd = _etcd(program)
    folder = tmp_path_factory.mktemp("cluster")
    authority = Authority(folder / "tls")
    serving = authority.issue("127.0.0.1", "localhost")
    signing = folder / "service-accounts.key"
    key = rsa.generate_private_key(65537, 2048)
    signing.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    tokens = folder / "tokens.csv"
    tokens.write_text('admin-token,admin,1,"system:masters"\n', encoding="utf-8")
    client, peer, port = _free_ports(3)
    started: list[subprocess.Popen[bytes]] = []
    log = (folder / "log").open("wb")
    try:
        started.append(
            subprocess.Popen(
                [
                    etcd, "--data-dir", folder / "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                    "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )
        )  # fmt: skip
        started.append(
            subprocess.Popen(
                [
                    program, "--etcd-servers", f"http://127.0.0.1:{client}", "--bind-address=127.0.0.1", "--secure-port", str(port),
                    "--tls-cert-file", serving.certificate, "--tls-private-key-file", serving.key,
                    "--service-account-key-file", signing, "--service-account-signing-key-file", signing,
                    "--service-account-issuer=https://kubernetes.default.svc", "--token-auth-file", tokens,
                    "--authorization-mode=RBAC", f"--service-cluster-ip-range={_loopback(port)}", "--allow-privileged=true",
                    "--disable-admission-plugins=ServiceAccount", "--cert-dir", folder / "certs", *_gates(program),
                    "--admission-control-config-file", _shown_to_webhooks(folder, authority),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )
        )  # fmt: skip
        kubeconfig = folder / "kubeconfig.json"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [
                        {
                            "name": "test",
                            "cluster": {
                                "server": f"https://127.0.0.1:{port}",
                                "certificate-authority": str(authority.certificate),
                            },
                        }
                    ],
                    "users": [{"name": "admin", "user": {"token": "admin-token"}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                }
            ),
            encoding="utf-8",
        )
        version = _await_ready(kubectl, kubeconfig, started, folder / "log")
        server = ApiServer(port, kubeconfig, kubectl, version, authority.certificate)
        _await_namespaces(server)
        yield server
        for process in started:
            if process.poll() is not None:
                pytest.fail(
                    f"{process.args[0]} ended by itself: {(folder / 'log').read_text(errors='replace')[-3000:]}"
                )
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
        log.close()


def _shown_to_webhooks(folder: Path, authority: Authority) -> Path:
    """The configuration with which it shows webhooks a client certificate ("Dynamic Admission Control")."""
    shown = authority.issue(NAME, client=True)
    user = {"client-certificate": str(shown.certificate), "client-key": str(shown.key)}
    kubeconfig = folder / "webhooks.json"
    kubeconfig.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}), encoding="utf-8"
    )
    version = "apiserver.config.k8s.io/v1"
    inner = {"apiVersion": version, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": str(kubeconfig)}
    plugins = [{"name": f"{each}AdmissionWebhook", "configuration": inner} for each in ("Mutating", "Validating")]
    path = folder / "admission.json"
    path.write_text(
        json.dumps({"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": plugins}), encoding="utf-8"
    )
    return path


def _loopback(port: int) -> str:
    """Addresses of Services: of this machine itself, so that a test can listen at one; others for each API server."""
    return f"127.{64 + (port >> 8) % 128}.{port & 255}.0/24"


def _await_ready(kubectl, kubeconfig, started, log) -> str:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        for process in started:
            if process.poll() is not None:
                pytest.fail(f"{process.args[0]} ended: {log.read_text(errors='replace')[-3000:]}")
        if kubectl("--kubeconfig", kubeconfig, "get", "--raw", "/readyz").stdout.strip() == "ok":
            found = kubectl("--kubeconfig", kubeconfig, "get", "--raw", "/version", check=True)
            return json.loads(found.stdout)["gitVersion"]
        time.sleep(0.5)
    pytest.fail(f"the API server did not become ready: {log.read_text(errors='replace')[-3000:]}")


def _await_namespaces(server: ApiServer) -> None:
    end = time.monotonic() + _SECONDS
    missing = ["default", "kube-system"]
    while missing and time.monotonic() < end:
        label = f"kubernetes.io/metadata.name={missing[0]}"
        if server.kubectl("label", "namespace", missing[0], label, "--overwrite", check=False).returncode == 0:
            missing.pop(0)
        else:
            time.sleep(0.5)
    if missing:
        pytest.fail(f"the namespace {missing[0]} was never made")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
