"""Installing the webhook into a real cluster, by `kubectl apply` and by `--apply`, and taking it out again."""

from __future__ import annotations

import json

import pytest
import yaml

from cluster.controller import HOOKS, Controller, command, why_nobody_listens
from cluster.place import OPTIONS, SEED_RULE, Cluster, admitted, refused, seed, until, workload
from sealgate.admission.installation import applying, manifests

INSTALL = ("admission", "install", "--image", OPTIONS.image, "--replicas", "2")


@pytest.fixture
def home(api_server, cluster, sealgate):
    """The webhook's own namespace, from which everything goes that was installed."""
    found = Cluster(api_server, "sealgate")
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
    [(), ("--pull-secrets", "--trusted-root", "ROOT"), ("--cert-manager", "sealgate/serving"), ("--exempt-namespace", "kube-system"), ("--ca-bundle", "CA")],
    ids=lambda each: each[0] if each else "plain",
)  # fmt: skip
def test_what_is_printed_is_accepted_and_nothing_in_it_is_unknown(
    api_server, home, sealgate, authority, running_trust_service, tmp_path, arguments
):
    root = tmp_path / "root.json"
    root.write_text(json.dumps(running_trust_service.trusted_root()), encoding="utf-8")
    arguments = [{"CA": str(authority.certificate), "ROOT": str(root)}.get(each, each) for each in arguments]
    documents = printed(sealgate, api_server, *arguments)
    for each in documents:
        admitted(home.kubectl("apply", "--dry-run=server", "--validate=true", "-f", "-", given=each))


def test_K12_K23_what_kubectl_applies_fails_closed_and_wedges_nothing_that_is_left_out(
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


def test_apply_registers_when_the_replicas_are_ready_and_uninstall_takes_all_of_it_out(
    api_server, cluster, home, sealgate, scene, tmp_path
):
    """The whole of it: the webhook runs as it was installed, with its own certificate and its own rights, behind its Service."""
    if (reason := why_nobody_listens()) is not None:
        pytest.skip(reason)
    cluster.apply(seed(scene))
    controller = Controller(home, sealgate, tmp_path)
    controller.start()
    try:
        done = command(sealgate, api_server)(*INSTALL, "--apply", "--kubeconfig", api_server.kubeconfig, timeout=100)
        assert done.returncode == 0, (done.stderr, controller.failure, controller.said())
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
        controller.stop()


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
            driver.run(applying.install(client, OPTIONS, say=lambda _: None, seconds=1.0), sender=http.send, seconds=60)
    finally:
        http.close()
    assert caught.value.code == "cluster-unavailable"
    assert "is not registered" in caught.value.message
    for kind in HOOKS:
        assert home.kubectl("get", kind, "sealgate").returncode != 0
