"""The webhook installed in a real API server: Pods are created with kubectl, or refused.

Needs `KUBEBUILDER_ASSETS`, a directory with `etcd`, `kube-apiserver` and `kubectl` (envtest's convention); skips without.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admission.place import rule
from sealgate.keys.private import PrivateKey

ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/nonexistent")
_MISSING = [
    name for name in ("etcd", "kube-apiserver", "kubectl") if not (ASSETS / name).is_file() and not shutil.which(name)
]
pytestmark = pytest.mark.skipif(
    "KUBEBUILDER_ASSETS" not in os.environ or bool(_MISSING),
    reason="KUBEBUILDER_ASSETS names no directory with etcd, kube-apiserver and kubectl",
)


def _program(name: str) -> str:
    path = ASSETS / name
    return str(path) if path.is_file() else name


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        socks = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


class Cluster:
    """An API server and etcd, without anything that would run a Pod."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._server = f"https://127.0.0.1:{port}"

    def kubectl(self, *arguments: str, given: Any = None) -> subprocess.CompletedProcess[str]:
        command = [
            _program("kubectl"), "--server", self._server, "--token", "tests", "--insecure-skip-tls-verify=true", *arguments,
        ]  # fmt: skip
        return subprocess.run(
            command, input=None if given is None else json.dumps(given), capture_output=True, text=True, timeout=60,
            env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
        )  # fmt: skip

    def image(self, kind: str, name: str, path: str = ".spec.containers[0].image") -> str:
        return self.kubectl("get", kind, name, "-o", f"jsonpath={{{path}}}").stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "sa.key").write_bytes(PrivateKey.generate("rsa-2048").pkcs8())
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_der_private_key((folder / "sa.key").read_bytes(), None)
    (folder / "sa.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "tokens").write_text("tests,admin,1,system:masters\n")
    client, peer, secure = _ports(3)
    etcd = [
        _program("etcd"), "--data-dir", str(folder / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{client}",
        "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    ]  # fmt: skip
    server = [
        _program("kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{client}", "--secure-port", str(secure),
        "--bind-address", "127.0.0.1", "--cert-dir", str(folder / "certs"), "--token-auth-file", str(folder / "tokens"),
        "--service-account-key-file", str(folder / "sa.key"), "--service-account-signing-key-file", str(folder / "sa.key"),
        "--service-account-issuer", "https://tests.example.com", "--authorization-mode", "RBAC",
        "--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.0.0.0/24",
    ]  # fmt: skip
    with contextlib.ExitStack() as running:
        for command in (etcd, server):
            log = running.enter_context((folder / f"{Path(command[0]).name}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
            running.callback(process.wait, 30)
            running.callback(process.terminate)
        found = Cluster(folder, secure)
        deadline = time.monotonic() + 60
        while found.kubectl("get", "namespace", "default").returncode:
            assert time.monotonic() < deadline, (folder / "kube-apiserver.log").read_text()[-2000:]
            time.sleep(0.2)
        yield found


def _install(cluster: Cluster, address: str, authority: Any, *paths: str) -> None:
    """The configurations of these webhooks, as an operator would write them."""
    bundle = base64.b64encode(Path(authority.certificate).read_bytes()).decode()
    resources = [
        {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
         "resources": ["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"]},
        {"apiGroups": ["apps", "batch"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
         "resources": ["deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"]},
    ]  # fmt: skip
    for path in paths:
        kind = f"{'Mutating' if path == 'mutate' else 'Validating'}WebhookConfiguration"
        done = cluster.kubectl("apply", "-f", "-", given={
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "sealgate"},
            "webhooks": [{
                "name": f"{path}.sealgate.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 10, "rules": resources,
                "clientConfig": {"url": f"https://{address}/{path}", "caBundle": bundle},
            }],
        })  # fmt: skip
        assert done.returncode == 0, done.stderr


def _pod(name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }  # fmt: skip


@pytest.fixture
def installed(cluster) -> Iterator[Cluster]:
    """The cluster, from which webhooks and objects go when the test ends."""
    yield cluster
    for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        cluster.kubectl("delete", kind, "--all")
    cluster.kubectl("delete", "pods,deployments", "--all", "--wait=false", "--force", "--grace-period=0")


def _until(done: Any, *, seconds: float = 30) -> Any:
    """The API server takes up configurations after a moment."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def _deployment(image: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }  # fmt: skip


def _create(cluster: Cluster, what: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("create", "-f", "-", *arguments, given=what)


def test_pods_and_templates_are_created_with_the_digests_that_were_verified(installed, start, scene, signed, authority):
    place = start(rule(signed))
    _install(installed, place.running.address, authority, "mutate", "validate")
    evil = f"{scene.registry.host}/team/app:evil"
    _until(lambda: _create(installed, _pod("probe", evil), "--dry-run=server").returncode)
    done = _create(installed, _pod("good", scene.tag))
    assert done.returncode == 0, done.stderr
    assert installed.image("pod", "good") == f"{scene.tag}@{scene.image.digest}"
    done = _create(installed, _deployment(scene.tag))
    assert done.returncode == 0, done.stderr
    pinned = installed.image("deployment", "web", ".spec.template.spec.containers[0].image")
    assert pinned == f"{scene.tag}@{scene.image.digest}"
    assert "no-signature" in _create(installed, _pod("bad", evil)).stderr


def test_nothing_is_created_without_a_signature_and_nothing_slips_through_while_the_webhook_is_away(
    installed, start, scene, signed, authority
):
    place = start(rule(signed))
    _install(installed, place.running.address, authority, "validate")
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    _until(lambda: _create(installed, _pod("probe", evil), "--dry-run=server").returncode)

    refused = _create(installed, _pod("bad", evil))
    assert refused.returncode
    for part in ("denied the request", evil, "check-image/verify-signature", "no-signature"):
        assert part in refused.stderr
    assert installed.kubectl("get", "pod", "bad").returncode
    assert "digest-missing" in _create(installed, _pod("tagged", scene.tag)).stderr
    assert "no-signature" in _create(installed, _deployment(evil)).stderr
    done = _create(installed, _pod("good", scene.name))
    assert done.returncode == 0, done.stderr
    done = _create(installed, _deployment(scene.name))
    assert done.returncode == 0, done.stderr
    assert installed.kubectl("label", "pod", "good", "a=b").returncode == 0
    assert "no-signature" in installed.kubectl("set", "image", "pod/good", f"c={evil}").stderr
    assert installed.kubectl("scale", "deployment", "web", "--replicas=3").returncode == 0

    place.running.stop()
    gone = _until(
        lambda: (found := _create(installed, _pod("late", scene.name), "--dry-run=server")).returncode and found
    )
    assert "failed calling webhook" in gone.stderr
    assert _create(installed, _pod("late", evil)).returncode
    again = start(rule(signed))
    _install(installed, again.running.address, authority, "validate")
    _until(lambda: _create(installed, _pod("late", scene.name)).returncode == 0)
    assert installed.kubectl("delete", "pod", "late", "--wait=false").returncode == 0
