"""The seed's policy in a real cluster: what is signed is created with its digest, what is not is refused and told why."""

from __future__ import annotations

import json

import pytest

from cluster.place import SEED_RULE, admitted, refused, seed, workload

KINDS = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob")
REASONS = (SEED_RULE, "[no-signature]")


@pytest.fixture
def guard(cluster, webhook, scene):
    """The seed's policy, and the webhook registered as it is installed."""
    cluster.apply(seed(scene))
    found = webhook()
    with found.registered():
        yield found


def versions(cluster, kind: str) -> list[str | None]:
    """The API versions in which this cluster takes a kind; None: the usual one."""
    if kind != "CronJob":
        return [None]
    return [each for each in ("batch/v1", "batch/v1beta1") if f"{each}/cronjobs" in cluster.server.resources]


def test_K05_K14_every_kind_is_created_with_the_digest_that_was_verified_or_refused_with_the_reason(cluster, guard):
    for kind in KINDS:
        found = versions(cluster, kind)
        assert found
        for number, version in enumerate(found):
            admitted(cluster.create(workload(kind, f"good-{number}", guard.scene.tag, version=version)))
            assert cluster.image(kind, f"good-{number}") == guard.pinned, kind
            said = refused(cluster.create(workload(kind, f"bad-{number}", guard.evil, version=version)))
            said.names(guard.evil, *REASONS)
            assert cluster.kubectl("get", kind, f"bad-{number}").returncode != 0


def test_K01_K04_debug_containers_are_judged(cluster, guard):
    admitted(cluster.create(workload("Pod", "good", guard.scene.tag)))
    refused(debug(cluster, guard.evil)).names(guard.evil, "ephemeralContainers[0].image", *REASONS)
    assert "ephemeralContainers" not in cluster.get("pod", "good")["spec"]
    admitted(debug(cluster, guard.scene.tag))
    [container] = cluster.get("pod", "good")["spec"]["ephemeralContainers"]
    assert container["image"] == guard.pinned


def debug(cluster, image: str):
    """`kubectl debug`; before 1.22, where kubectl's own way is not known, what it did then."""
    kind = cluster.server.resources.get("v1/pods/ephemeralcontainers")
    if kind == "Pod":
        return cluster.kubectl("debug", "good", f"--image={image}", "--container=debug")
    assert kind == "EphemeralContainers"
    added = {"name": "debug", "image": image, "imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File"}
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "good"}, "ephemeralContainers": [added]}
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/good/ephemeralcontainers"
    return cluster.kubectl("replace", "--raw", path, "-f", "-", given=document)


def test_K09_K10_what_stands_unchanged_is_admitted_with_a_warning_and_what_changes_is_judged(cluster, guard):
    admitted(cluster.create(workload("Pod", "good", guard.scene.tag)))
    admitted(cluster.create(workload("Deployment", "web", guard.scene.tag)))
    before = guard.metric('sealgate_images_total{state="unchanged"}')
    said = admitted(cluster.kubectl("annotate", "deployment", "web", "a=b"))
    said.names("Warning: ", guard.pinned, "[image-unchanged]")
    assert guard.metric('sealgate_images_total{state="unchanged"}') > before
    refused(cluster.kubectl("set", "image", "pod/good", f"c={guard.evil}")).names(guard.evil, *REASONS)
    refused(cluster.kubectl("set", "image", "deployment/web", f"c={guard.evil}")).names(guard.evil, *REASONS)
    assert (cluster.image("Pod", "good"), cluster.image("Deployment", "web")) == (guard.pinned, guard.pinned)
    admitted(cluster.kubectl("scale", "deployment", "web", "--replicas=3"))
    assert cluster.get("deployment", "web")["spec"]["replicas"] == 3
    admitted(cluster.kubectl("delete", "pod", "good", "--force", "--grace-period=0"))


def test_K07_K08_neither_scaling_down_nor_a_deletion_mark_lets_another_image_in(cluster, guard):
    admitted(cluster.create(workload("Deployment", "web", guard.scene.tag)))
    change = {"spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "c", "image": guard.evil}]}}}}
    refused(cluster.kubectl("patch", "deployment", "web", "-p", json.dumps(change))).names(guard.evil, *REASONS)
    pod = workload("Pod", "held", guard.scene.tag)
    pod["metadata"]["finalizers"] = ["tests.example/held"]
    admitted(cluster.create(pod))
    admitted(cluster.kubectl("delete", "pod", "held", "--force", "--grace-period=0", "--wait=false"))
    assert "deletionTimestamp" in cluster.get("pod", "held")["metadata"]
    refused(cluster.kubectl("set", "image", "pod/held", f"c={guard.evil}")).names(guard.evil, *REASONS)
    admitted(cluster.kubectl("patch", "pod", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}'))
    assert cluster.kubectl("get", "pod", "held").returncode != 0


def test_K10_what_was_there_before_the_webhook_may_change_but_not_its_image(cluster, webhook, scene):
    cluster.apply(seed(scene))
    evil = scene.tag.removesuffix(":v1") + ":evil"
    admitted(cluster.create(workload("Deployment", "old", evil)))
    with webhook().registered():
        admitted(cluster.kubectl("label", "deployment", "old", "a=b")).names(evil, "[image-unchanged]")
        admitted(cluster.kubectl("scale", "deployment", "old", "--replicas=2"))
        refused(cluster.kubectl("set", "image", "deployment/old", f"c={scene.registry.host}/team/app:other"))
        admitted(cluster.kubectl("set", "image", "deployment/old", f"c={scene.tag}"))
        refused(cluster.kubectl("set", "image", "deployment/old", f"c={evil}")).names(evil, *REASONS)


def test_K20_a_dry_run_is_judged_and_leaves_nothing_behind(cluster, guard):
    refused(cluster.create(workload("Pod", "bad", guard.evil), "--dry-run=server")).names(guard.evil, *REASONS)
    done = cluster.create(workload("Pod", "good", guard.scene.tag), "--dry-run=server", "-o", "yaml")
    admitted(done)
    assert guard.pinned in done.stdout
    for cache in ("verdict", "tag"):
        assert guard.metric(f'sealgate_cache_entries{{cache="{cache}"}}') == 0
    assert cluster.kubectl("get", "pods", "-o", "name").stdout == ""
    admitted(cluster.create(workload("Pod", "good", guard.scene.tag)))
    assert guard.metric('sealgate_cache_entries{cache="verdict"}') > 0


def test_with_mutate_pods_templates_keep_their_tags_and_pods_get_their_digests(cluster, webhook, scene):
    cluster.apply(seed(scene))
    found = webhook("--mutate", "pods")
    with found.registered():
        for kind in KINDS[1:-1]:
            admitted(cluster.create(workload(kind, "good", scene.tag)))
            assert cluster.image(kind, "good") == scene.tag
            refused(cluster.create(workload(kind, "bad", found.evil))).names(
                found.evil, *REASONS, "validate.sealgate.dev"
            )
        admitted(cluster.create(workload("Pod", "good", scene.tag)))
        assert cluster.image("Pod", "good") == found.pinned
        refused(cluster.create(workload("Pod", "bad", found.evil))).names(found.evil, *REASONS)


def test_K13_without_mutate_a_pod_needs_the_digest_that_it_names_itself(cluster, webhook, scene):
    cluster.apply(seed(scene))
    found = webhook()
    with found.registered("/validate"):
        refused(cluster.create(workload("Pod", "tagged", scene.tag))).names(scene.tag, "[digest-missing]")
        admitted(cluster.create(workload("Pod", "good", scene.name)))
        assert cluster.image("Pod", "good") == scene.name
