"""Installing the webhook into a real cluster, by `kubectl apply` and by `--apply`, and taking it out again."""

from __future__ import annotations

import json
import socket
import subprocess
import threading

import pytest
import yaml

from bypasses.scene import run
from cluster.place import OPTIONS, SEED_RULE, Cluster, admitted, refused, seed, until, workload
from sealgate.admission import installation, manifests
from sealgate.kubernetes.resource import Resource

HOOKS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
INSTALL = ("admission", "install", "--image", OPTIONS.image, "--replicas", "2")


@pytest.fixture
def home(api_server, cluster, sealgate):
    """The webhook's own namespace, from which everything goes that was installed."""
    found = Cluster(api_server, "sealgate")
    if found.kubectl("get", "namespace", "sealgate").returncode:
        api_server.namespace("sealgate")
    yield found
    sealgate("admission", "uninstall", "--kubeconfig", api_server.kubeconfig, check=True)
    found.kubectl("delete", "poddisruptionbudget,pods", "--all", "--force", "--grace-period=0", check=True)


def taken(server, documents: list[dict]) -> list[dict]:
    """As this API server takes them: before 1.21 a budget is of policy/v1beta1, with the same fields."""
    if "policy/v1/poddisruptionbudgets" in server.resources:
        return documents
    return [{**each, "apiVersion": each["apiVersion"].replace("policy/v1", "policy/v1beta1")} for each in documents]


def printed(sealgate, server, *arguments: str) -> list[dict]:
    return taken(server, list(yaml.safe_load_all(sealgate(*INSTALL, *arguments, check=True).stdout)))


@pytest.mark.parametrize(
    "arguments",
    [(), ("--pull-secrets",), ("--cert-manager", "sealgate/serving"), ("--exempt-namespace", "kube-system"), ("--ca-bundle", "CA")],
    ids=lambda each: each[0] if each else "plain",
)  # fmt: skip
def test_what_is_printed_is_accepted_and_nothing_in_it_is_unknown(api_server, home, sealgate, authority, arguments):
    arguments = [str(authority.certificate) if each == "CA" else each for each in arguments]
    documents = printed(sealgate, api_server, *arguments)
    for each in documents:
        admitted(home.kubectl("apply", "--dry-run=server", "--validate=true", "-f", "-", given=each))


def test_what_kubectl_applies_fails_closed_and_wedges_nothing_that_is_left_out(
    api_server, cluster, home, sealgate, scene
):
    """With no webhook there yet: its own namespace and the exempt ones go on, others wait, nothing slips through."""
    documents = printed(sealgate, api_server, "--exempt-namespace", "kube-system")
    home.apply(*documents)
    system = Cluster(api_server, "kube-system")
    until(lambda: cluster.create(workload("Pod", "probe", scene.tag), "--dry-run=server").returncode != 0)
    try:
        for kind in ("Pod", "Deployment"):
            done = cluster.create(workload(kind, "one", scene.tag))
            assert done.returncode != 0
            assert "failed calling webhook" in done.stderr
        [deployment] = [each for each in documents if each["kind"] == "Deployment"]
        template = deployment["spec"]["template"]
        own = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "own", **template["metadata"]},
            "spec": template["spec"],
        }
        own["spec"] = {name: value for name, value in own["spec"].items() if name != "priorityClassName"}
        admitted(home.create(own))
        admitted(system.create(workload("Pod", "dns", scene.tag), "--dry-run=server"))
        admitted(home.kubectl("scale", "deployment", "sealgate", "--replicas=4"))
        home.apply(*documents)  # again: nothing to complain of
    finally:
        gone = sealgate("admission", "uninstall", "--kubeconfig", api_server.kubeconfig, check=True).stderr
    assert "removed" in gone
    for kind in HOOKS:
        assert home.kubectl("get", kind, "sealgate").returncode != 0
    for kind in ("deployment", "service", "serviceaccount", "secret/sealgate-serving", "role", "clusterrole"):
        assert home.kubectl("get", *(kind.split("/") if "/" in kind else (kind, "sealgate"))).returncode != 0
    admitted(home.kubectl("get", "namespace", "sealgate"))
    admitted(home.kubectl("get", "crd", "imagepolicies.sealgate.dev"))
    until(lambda: cluster.create(workload("Pod", "one", scene.tag), "--dry-run=server").returncode == 0)
    again = sealgate("admission", "uninstall", "--kubeconfig", api_server.kubeconfig, check=True)
    assert "removed" not in again.stderr


class Controller(threading.Thread):
    """What runs the Deployment where nothing else does: a process with its arguments, as its service account, at its Service."""

    def __init__(self, home: Cluster, sealgate, folder) -> None:
        super().__init__(daemon=True)
        self.registered_early = False
        self.process: subprocess.Popen[bytes] | None = None
        self.failure: BaseException | None = None
        self._home = home
        self._sealgate = sealgate
        self._folder = folder

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - told by the test, which waits for what this makes
            self.failure = error

    def _run(self) -> None:
        home = self._home
        until(lambda: home.kubectl("get", "service", "sealgate").returncode == 0)
        address = home.get("service", "sealgate")["spec"]["clusterIP"]
        [container] = home.get("deployment", "sealgate")["spec"]["template"]["spec"]["containers"]
        arguments = container["args"]
        arguments[arguments.index("--listen") + 1] = f"{address}:443"
        with (self._folder / "errors").open("wb") as errors:
            self.process = self._sealgate.popen(
                *arguments, "--kubeconfig", self._kubeconfig(), "--allow-local-registries", "--port-file", self._folder / "port",
                stdout=errors, stderr=errors,
            )  # fmt: skip
        until(lambda: self.process.poll() is not None or (self._folder / "port").is_file(), seconds=60)
        assert self.process.poll() is None, self.said()
        self.registered_early = any(home.kubectl("get", kind, "sealgate").returncode == 0 for kind in HOOKS)
        generation = home.get("deployment", "sealgate")["metadata"]["generation"]
        status = {"observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
        path = "/apis/apps/v1/namespaces/sealgate/deployments/sealgate/status"
        document = home.get("deployment", "sealgate") | {"status": status}
        home.kubectl("replace", "--raw", path, "-f", "-", given=document, check=True)

    def said(self) -> str:
        path = self._folder / "errors"
        return path.read_text(encoding="utf-8") if path.is_file() else "nothing"

    def _kubeconfig(self):
        """Of the service account, with the rights that the installation gave it and no others."""
        document = json.loads(self._home.server.kubeconfig.read_text(encoding="utf-8"))
        token = self._home.kubectl("create", "token", "sealgate", check=True).stdout.strip()
        document["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self._folder / "kubeconfig.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path


def test_apply_registers_when_the_replicas_are_ready_and_uninstall_takes_all_of_it_out(
    api_server, cluster, home, sealgate, scene, tmp_path, monkeypatch
):
    """The whole of it: the webhook runs as it was installed, with its own certificate and its own rights, behind its Service."""
    if "policy/v1/poddisruptionbudgets" not in api_server.resources:  # before 1.21
        budget = manifests._budget
        monkeypatch.setattr(manifests, "_budget", lambda options: budget(options) | {"apiVersion": "policy/v1beta1"})
        old = Resource("policy", "v1beta1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced=True)
        monkeypatch.setitem(installation.RESOURCES, "PodDisruptionBudget", old)
    try:
        socket.create_server(("127.64.0.1", 443)).close()
    except OSError as error:
        pytest.skip(f"nobody may listen at port 443 of a Service here: {error}")
    cluster.apply(seed(scene))
    controller = Controller(home, sealgate, tmp_path)
    controller.start()
    try:
        done = run([*INSTALL, "--apply", "--kubeconfig", str(api_server.kubeconfig)], environ={"HOME": str(tmp_path)})
        assert done.exit_code == 0, (done.stderr, controller.failure, controller.said())
        controller.join(60)
        assert not controller.registered_early
        assert done.stderr.index("applied Deployment sealgate") < done.stderr.index("registered Mutating")
        evil = scene.tag.removesuffix(":v1") + ":evil"
        until(lambda: cluster.create(workload("Pod", "probe", "No Name"), "--dry-run=server").returncode != 0)
        until(lambda: cluster.create(workload("Pod", "good", scene.tag)).returncode == 0)
        until(lambda: cluster.create(workload("Pod", "probe", evil), "--dry-run=server").returncode != 0)
        refused(cluster.create(workload("Pod", "bad", evil))).names(evil, SEED_RULE, "[no-signature]")
        assert cluster.image("Pod", "good") == f"{scene.tag}@{scene.image.digest}"
        for kind in HOOKS:
            [hook] = home.get(kind, "sealgate")["webhooks"]
            assert hook["clientConfig"]["service"]["name"] == "sealgate"
            assert hook["clientConfig"]["caBundle"]
        # It may say what it must, and look at nothing else.
        broken = seed(scene)
        broken["spec"]["rules"][0]["verifyImagez"] = []
        cluster.apply(broken)
        until(lambda: "verifyImagez" in Cluster(api_server, "default").kubectl("get", "events", "-o", "yaml").stdout)
        may = ("auth", "can-i", "--as=system:serviceaccount:sealgate:sealgate")
        for denied in (
            ("get", "secrets"),
            ("list", "pods"),
            ("create", "pods"),
            ("update", "clusterpolicies.kyverno.io"),
        ):
            assert cluster.kubectl(*may, *denied).stdout.strip() == "no"
        assert home.kubectl(*may, "list", "secrets").stdout.strip() == "no"

        gone = sealgate("admission", "uninstall", "--kubeconfig", api_server.kubeconfig, check=True).stderr.splitlines()
        assert "MutatingWebhookConfiguration" in gone[0] or "mutatingwebhookconfigurations" in gone[0]
        for kind in HOOKS:
            assert home.kubectl("get", kind, "sealgate").returncode != 0
        until(lambda: cluster.create(workload("Pod", "later", evil)).returncode == 0)
    finally:
        if controller.process is not None:
            controller.process.terminate()
            controller.process.communicate(timeout=30)


def test_apply_registers_nothing_when_the_replicas_do_not_become_ready(api_server, home, monkeypatch, tmp_path):
    """Here nothing runs them at all; time goes faster than it does."""
    from sealgate.errors import ClusterUnavailableError
    from sealgate.kubernetes import kubeconfig
    from sealgate.kubernetes.client import Client
    from sealgate.transport import driver
    from sealgate.transport.http import HttpClient

    if "policy/v1/poddisruptionbudgets" not in api_server.resources:
        monkeypatch.setattr(manifests, "_budget", manifests._service)
    client = Client(kubeconfig.cluster(str(api_server.kubeconfig), environ={}, context=None, insecure=False))
    http = HttpClient()
    try:
        with pytest.raises(ClusterUnavailableError) as caught:
            driver.run(
                installation.install(client, OPTIONS, say=lambda _: None, seconds=1.0), sender=http.send, seconds=60
            )
    finally:
        http.close()
    assert caught.value.code == "cluster-unavailable"
    assert "is not registered" in caught.value.message
    for kind in HOOKS:
        assert home.kubectl("get", kind, "sealgate").returncode != 0
