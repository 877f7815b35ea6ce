"""A real API server with the webhook in front of it, and what tests ask of both: objects by kubectl, the webhook as a process."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bypasses.scene import Scene
from peers.certificates import Authority
from peers.clusters import ApiServer
from peers.programs import Program
from policy import seed as policy
from sealgate.admission.installation import manifests
from sealgate.admission.installation.manifests import Options

Done = subprocess.CompletedProcess[str]
OPTIONS = Options(image=f"registry.example/sealgate@sha256:{'a' * 64}")
SEED_RULE = "check-image-signature/verify-signature"
_TEMPLATES = {
    "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1",
    "ReplicationController": "v1",
}  # fmt: skip


def seed(scene: Scene, *, key: Path | None = None) -> dict[str, Any]:
    """The seed's policy, filled in: the registry of the tests, and a key."""
    pem = (key or scene.signer.path).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(policy.seed(pem, f"*{scene.registry.host}/*"))
    return found


def definition(group: str, version: str, kind: str, plural: str) -> dict[str, Any]:
    """The definition of a policy of another product, as lax as can be."""
    lax = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Cluster", "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": lax}}],
        },
    }  # fmt: skip


def workload(kind: str, name: str, image: str, *, version: str | None = None) -> dict[str, Any]:
    """An object of this kind that runs one image."""
    spec = {"containers": [{"name": "c", "image": image}], "restartPolicy": "Never" if "Job" in kind else "Always"}
    found = {"apiVersion": version or _TEMPLATES.get(kind, "v1"), "kind": kind, "metadata": {"name": name}}
    template = {"metadata": {"labels": {"a": name}}, "spec": spec}
    match kind:
        case "Pod":
            return {**found, "spec": spec}
        case "Job":
            return {**found, "spec": {"template": template}}
        case "CronJob":
            return {**found, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}}
        case "ReplicationController":
            return {**found, "spec": {"replicas": 0, "selector": {"a": name}, "template": template}}
    selector = {"matchLabels": {"a": name}}
    extra = {} if kind == "DaemonSet" else {"replicas": 0}
    extra |= {"serviceName": name} if kind == "StatefulSet" else {}
    return {**found, "spec": {"selector": selector, "template": template, **extra}}


IMAGE_PLACES = {
    "Pod": "{.spec.containers[0].image}",
    "CronJob": "{.spec.jobTemplate.spec.template.spec.containers[0].image}",
}
TEMPLATE_PLACE = "{.spec.template.spec.containers[0].image}"


def until(asked: Callable[[], Any], *, seconds: float = 40, why: Callable[[], object] = lambda: "") -> Any:
    """What is asked, when it is something: API server and webhook take up changes after a moment."""
    end = time.monotonic() + seconds
    while not (found := asked()):
        assert time.monotonic() < end, why()
        time.sleep(0.1)
    return found


class Cluster:
    """One namespace of an API server."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace

    def kubectl(self, *arguments: Any, check: bool = False, given: Any = None) -> Done:
        """kubectl in this namespace; `given` is its input, as JSON unless it is text."""
        text = given if isinstance(given, str) or given is None else json.dumps(given)
        return self.server.kubectl("--namespace", self.namespace, *arguments, check=check, input=text)

    def create(self, document: Any, *arguments: str) -> Done:
        return self.kubectl("create", "-f", "-", *arguments, given=document)

    def apply(self, *documents: Any) -> None:
        """Apply these, or fail."""
        self.kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": documents}, check=True)

    def define(self, document: dict[str, Any]) -> None:
        """Put a definition there, and wait for its resource."""
        self.apply(document)
        name = document["metadata"]["name"]
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}", check=True)
        resource, _, group = name.partition(".")
        until(lambda: self.kubectl("get", f"{resource}.{group}", "--all-namespaces").returncode == 0)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", kind, name, "-o", "json", check=True).stdout)

    def image(self, kind: str, name: str) -> str:
        place = IMAGE_PLACES.get(kind, TEMPLATE_PLACE)
        return self.kubectl("get", kind, name, "-o", f"jsonpath={place}", check=True).stdout


class Said(NamedTuple):
    """What kubectl said of a refusal."""

    text: str

    def names(self, *parts: str) -> None:
        for part in parts:
            assert part in self.text, (part, self.text)


def refused(done: Done) -> Said:
    """It was refused by the webhook itself."""
    assert done.returncode != 0, done.stdout
    assert "denied the request" in done.stderr, done.stderr
    assert "sealgate.dev" in done.stderr
    return Said(done.stderr)


def admitted(done: Done) -> Said:
    assert done.returncode == 0, done.stderr
    return Said(done.stderr)


class Webhook:
    """`sealgate admission serve` as a process, at one address for as long as this lives."""

    def __init__(
        self, sealgate: Program, cluster: Cluster, scene: Scene, authority: Authority, folder: Path, *arguments: Any
    ) -> None:
        self.cluster = cluster
        self.scene = scene
        self.evil = scene.tag.removesuffix(":v1") + ":evil"
        """An image that nobody signed."""
        self.pinned = f"{scene.tag}@{scene.image.digest}"
        self._sealgate = sealgate
        self._authority = authority
        self._serving = authority.issue("127.0.0.1")
        self._folder = folder
        self._arguments = arguments
        self._address = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self) -> None:
        self._starts += 1
        port, log, errors = (self._folder / f"{name}-{self._starts}" for name in ("port", "log", "errors"))
        with log.open("wb") as out, errors.open("wb") as err:
            process = self._sealgate.popen(
                "admission", "serve", "--kubeconfig", self.cluster.server.kubeconfig, "--listen", self._address,
                "--tls-cert", self._serving.certificate, "--tls-key", self._serving.key, "--port-file", port,
                "--allow-local-registries", "--drain", "0.1", *self._arguments, stdout=out, stderr=err,
            )  # fmt: skip
        self._process = process
        until(
            lambda: process.poll() is not None or (port.is_file() and port.read_text(encoding="utf-8")), seconds=60,
        )  # fmt: skip
        assert process.poll() is None, errors.read_text(encoding="utf-8")
        self._address = f"127.0.0.1:{port.read_text(encoding='utf-8').strip()}"

    def kill(self) -> None:
        """End it as a node that loses power would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=20)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=30)

    def ask(self, path: str) -> str:
        """What it says at /readyz or /metrics."""
        return self._open(path).decode()

    def _open(self, path: str, body: bytes | None = None) -> bytes:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        request = urllib.request.Request(f"https://{self._address}{path}", body, {"Content-Type": "application/json"})
        with opener.open(request, timeout=20) as answer:
            return answer.read()

    def metric(self, series: str) -> float:
        """The value of a series, written as it stands; 0 when it is not there."""
        for line in self.ask("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def log(self) -> list[dict[str, Any]]:
        """What it logged since it was started last."""
        return [json.loads(line) for line in (self._folder / f"log-{self._starts}").read_text("utf-8").splitlines()]

    def post(self, path: str, body: bytes) -> int:
        """The status of what a stranger posts."""
        try:
            self._open(path, body)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def registration(self, *paths: str, **options: Any) -> list[dict[str, Any]]:
        """The configurations as they are installed, but for the address: there is no network of pods."""
        options = OPTIONS._replace(ca_bundle=self._authority.certificate.read_bytes(), **options)
        found = manifests.registration(options)
        for each in found:
            for hook in each["webhooks"]:
                path = hook["clientConfig"].pop("service")["path"]
                hook["clientConfig"]["url"] = f"https://{self._address}{path}"
                assert base64.b64decode(hook["clientConfig"]["caBundle"])
        return [each for each in found if not paths or each["webhooks"][0]["clientConfig"]["url"].endswith(paths)]

    @contextlib.contextmanager
    def registered(self, *paths: str, **options: Any) -> Iterator[None]:
        """Registered, from when the API server asks it until it asks it no more. `options`: of `manifests.Options`."""
        documents = self.registration(*paths, **options)
        try:
            for each in reversed(documents):  # first the one that is asked last, so that each can be seen to be asked
                self.cluster.apply(each)
                name = each["webhooks"][0]["name"]
                until(lambda name=name: f'"{name}" denied' in self._probe(), why=self._probe)
            yield
        finally:
            for each in documents:
                self.cluster.kubectl("delete", each["kind"], each["metadata"]["name"], check=True)
            until(lambda: not self._probe(), why=self._probe)

    def _probe(self) -> str:
        """Why a Pod whose image nobody can read is refused, whatever policies say."""
        return self.cluster.create(workload("Pod", "probe", "No Name"), "--dry-run=server").stderr
