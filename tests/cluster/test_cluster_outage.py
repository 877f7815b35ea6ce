"""The webhook dies and comes back, the cluster stays: nothing slips through, and nothing is wedged that need not be."""

from __future__ import annotations

from cluster.place import SEED_RULE, admitted, refused, seed, until, workload


def closed(done) -> None:
    """Refused by the API server, because nobody answers it."""
    assert done.returncode != 0
    assert "failed calling webhook" in done.stderr, done.stderr
    assert "sealgate.dev" in done.stderr


def test_K12_nothing_slips_through_while_the_webhook_is_away(cluster, webhook, scene):
    cluster.apply(seed(scene))
    found = webhook()
    with found.registered():
        for kind in ("Pod", "Deployment"):
            admitted(cluster.create(workload(kind, "before", scene.tag)))
        found.kill()
        try:
            for kind in ("Pod", "Deployment", "Job"):
                for name, image in (("signed", scene.tag), ("pinned", found.pinned), ("unsigned", found.evil)):
                    closed(cluster.create(workload(kind, name, image)))
            closed(cluster.kubectl("set", "image", "deployment/before", f"c={found.evil}"))
            closed(cluster.kubectl("scale", "deployment", "before", "--replicas=5"))
            assert cluster.kubectl("get", "pods", "-o", "name").stdout.split() == ["pod/before"]
            # What runs nothing is not held up, and what is there can be taken away.
            admitted(cluster.kubectl("create", "configmap", "one", "--from-literal=a=b"))
            admitted(cluster.kubectl("delete", "deployment", "before"))
        finally:
            found.start()
        admitted(cluster.create(workload("Pod", "after", scene.tag)))
        assert cluster.image("Pod", "after") == found.pinned
        refused(cluster.create(workload("Pod", "unsigned", found.evil))).names(found.evil, SEED_RULE, "[no-signature]")


def test_X13_a_webhook_that_starts_when_the_policy_is_broken_admits_nothing_that_it_may_be_about(
    cluster, webhook, scene
):
    policy = seed(scene)
    cluster.apply(policy)
    found = webhook()
    with found.registered():
        admitted(cluster.create(workload("Pod", "before", scene.tag)))
        policy["spec"]["rules"][0]["verifyImagez"] = []
        cluster.apply(policy)
        until(lambda: "verifyImagez" in found.ask("/readyz"))
        admitted(cluster.create(workload("Pod", "meanwhile", scene.tag)))
        found.kill()
        found.start()
        refused(cluster.create(workload("Pod", "after", scene.tag))).names("check-image-signature", "verifyImagez")
        cluster.apply(seed(scene))
        until(lambda: cluster.create(workload("Pod", "after", scene.tag)).returncode == 0)
        refused(cluster.create(workload("Pod", "unsigned", found.evil))).names("[no-signature]")


def test_K11_K23_W25_exempt_namespaces_and_that_of_the_webhook_go_on_without_it(cluster, webhook, scene, api_server):
    """By name alone: a label of an object, or one of a namespace that anybody can set, opens nothing (W25)."""
    own = type(cluster)(api_server, "sealgate")
    api_server.namespace("sealgate")
    system = type(cluster)(api_server, "kube-system")
    found = webhook()
    with found.registered(exempt=("kube-system",)):
        cluster.kubectl("label", "namespace", cluster.namespace, "sealgate.dev/ignore=true", check=True)
        found.kill()
        try:
            for each in (own, system):
                admitted(each.create(workload("Pod", "one", found.evil)))
                admitted(each.kubectl("delete", "pod", "one", "--force", "--grace-period=0"))
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "one"}, "spec": {}}
            for each in (system, cluster):
                admitted(each.create(lease))
                admitted(
                    each.kubectl("patch", "lease", "one", "--type=merge", "-p", '{"spec": {"holderIdentity": "a"}}')
                )
                admitted(each.kubectl("delete", "lease", "one"))
            closed(cluster.create(workload("Pod", "one", found.evil)))
        finally:
            found.start()
