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


class ApiServer:
    """A running API server; `kubeconfig` is that of an administrator."""

    def __init__(self, port: int, kubeconfig: Path, kubectl: Program, version: str, ca: Path) -> None:
        self.port = port
        self.kubeconfig = kubeconfig
        self.version = version
        self.ca = ca
        self._kubectl = kubectl

    def kubectl(self, *args, check: bool = True, input=None) -> subprocess.CompletedProcess[str]:
        return self._kubectl("--kubeconfig", self.kubeconfig, *args, check=check, input=input)


def api_server_program() -> Path:
    """The program, or skip the test with the reason."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        pytest.skip("no kube-apiserver: KUBEBUILDER_ASSETS names none")
    found = Path(folder) / "kube-apiserver"
    if not found.is_file():
        pytest.skip(f"no kube-apiserver in {folder}")
    return found


@pytest.fixture(scope="session")
def api_server(tmp_path_factory, kubectl) -> Iterator[ApiServer]:
    program = api_server_program()
    etcd = require("etcd")
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
                    etcd.path, "--data-dir", folder / "etcd", "--unsafe-no-fsync",
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
                    "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true",
                    "--disable-admission-plugins=ServiceAccount", "--cert-dir", folder / "certs",
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
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
        log.close()


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
    while time.monotonic() < end:
        if server.kubectl("get", "namespace", "default", check=False).returncode == 0:
            return
        time.sleep(0.5)
    pytest.fail("the namespace default was never made")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
