"""Policies in a real cluster: they come, change, break and go while the webhook runs, and the cluster is told."""

from __future__ import annotations

import copy
import json

from bypasses.scene import Signer
from cluster.place import SEED_RULE, Cluster, admitted, refused, seed, until, workload
from sealgate.admission.cluster import definitions

OWN = {
    "apiVersion": "sealgate.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "one"},
    "spec": {"images": ["registry.example/**"], "require": {"signature": {"key": "k"}}},
}  # fmt: skip


def create(cluster, image: str, *arguments: str):
    return cluster.create(workload("Pod", "probe", image), "--dry-run=server", *arguments)


def test_policies_come_change_and_go_without_a_restart(cluster, webhook, scene, tmp_path):
    found = webhook()
    with found.registered():
        refused(create(cluster, scene.tag)).names("[no-policies]")

        cluster.apply(seed(scene))
        until(lambda: create(cluster, scene.tag).returncode == 0)
        refused(create(cluster, found.evil)).names(SEED_RULE, "[no-signature]")

        other = Signer(tmp_path, "other")
        cluster.apply(seed(scene, key=other.path))
        until(lambda: create(cluster, scene.tag).returncode != 0)
        refused(create(cluster, scene.tag)).names(scene.tag, SEED_RULE, "[signature-key-mismatch]")

        audit = seed(scene)
        audit["spec"] |= {"validationFailureAction": "Audit"}
        audit["spec"]["rules"][0]["verifyImages"][0] |= {"mutateDigest": False, "verifyDigest": False}
        audit["spec"]["emitWarning"] = True
        cluster.apply(audit)
        until(lambda: create(cluster, found.evil).returncode == 0)
        admitted(create(cluster, found.evil)).names("Warning: ", found.evil, SEED_RULE, "[no-signature]")

        cluster.kubectl("delete", "clusterpolicy", "check-image-signature", check=True)
        until(lambda: create(cluster, found.evil).returncode != 0)
        refused(create(cluster, scene.tag)).names("[no-policies]")


def test_X13_a_policy_that_breaks_stays_in_force_as_it_was_and_the_cluster_is_told(cluster, webhook, scene):
    good = seed(scene)
    cluster.apply(good)
    found = webhook()
    with found.registered():
        broken = copy.deepcopy(good)
        broken["spec"]["rules"][0]["verifyImages"][0]["keyy"] = "x"
        cluster.apply(broken)
        until(lambda: "keyy" in found.ask("/readyz"))
        assert found.metric("sealgate_policies_broken") == 1
        admitted(create(cluster, scene.tag))
        refused(create(cluster, found.evil)).names(SEED_RULE, "[no-signature]")
        event = until(lambda: events(cluster, "keyy"))
        assert (event["reason"], event["type"], event["source"]["component"]) == (
            "PolicyInvalid",
            "Warning",
            "sealgate",
        )
        cluster.apply(good)
        until(lambda: found.metric("sealgate_policies_broken") == 0)
        admitted(create(cluster, scene.tag))


def events(cluster, text: str):
    listed = json.loads(cluster.server.kubectl("-n", "default", "get", "events", "-o", "json", check=True).stdout)[
        "items"
    ]
    about = [each for each in listed if each["involvedObject"]["name"] == "check-image-signature"]
    return next((each for each in about if text in each["message"]), None)


def test_our_own_policies_are_enforced_and_say_in_their_status_whether_they_are_in_force(cluster, webhook, scene):
    key = scene.signer.path.read_text(encoding="utf-8")
    policy = copy.deepcopy(OWN)
    policy["spec"] |= {"images": [f"{scene.registry.host}/**"], "require": {"signature": {"key": key}}}
    cluster.apply(policy)
    found = webhook()

    def ready(status: str, generation: int):
        shown = cluster.get("imagepolicy", "one")
        listed = [each for each in shown.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
        return next((e for e in listed if (e["status"], e["observedGeneration"]) == (status, generation)), None)

    with found.registered():
        assert until(lambda: ready("True", 1))["reason"] == "InForce"
        admitted(create(cluster, scene.tag))
        refused(create(cluster, found.evil)).names("one", "[no-signature]")
        cluster.apply({**policy, "spec": {**policy["spec"], "requires": {}}})
        said = until(lambda: ready("False", 2))
        assert said["reason"] == "PolicyInvalid"
        assert "requires" in said["message"]
        admitted(create(cluster, scene.tag))
        refused(create(cluster, found.evil)).names("one", "[no-signature]")
        cluster.apply(policy)
        until(lambda: ready("True", 3))


def test_P23_a_policy_of_one_namespace_shuts_no_other_out(api_server, cluster, webhook, scene):
    """Not even one that cannot be read: it holds in its own namespace, and there nothing is admitted."""
    tenant = Cluster(api_server, f"{cluster.namespace}-tenant")
    api_server.namespace(tenant.namespace)
    cluster.apply(seed(scene))
    found = webhook()
    with found.registered():
        admitted(create(tenant, scene.tag))
        for spec in (OWN["spec"], {**OWN["spec"], "requires": {}}):
            tenant.apply({**OWN, "spec": spec})
            until(lambda: create(tenant, scene.tag).returncode != 0)
            admitted(create(cluster, scene.tag))
            tenant.kubectl("delete", "imagepolicy", "one", check=True)
            until(lambda: create(tenant, scene.tag).returncode == 0)


def test_the_definitions_keep_what_is_unknown_for_the_reader_and_refuse_another_type(cluster):
    unknown = {**OWN, "spec": {**OWN["spec"], "requires": {"misspelt": 1}}}
    cluster.apply(unknown)
    assert cluster.get("imagepolicy", "one")["spec"] == unknown["spec"]
    for change in ({"images": []}, {"images": "x"}, {"action": "sometimes"}, {"digests": {"verify": "yes"}}):
        bad = {**OWN, "metadata": {"name": "two"}, "spec": {**OWN["spec"], **change}}
        assert cluster.create(bad).returncode != 0, change
    admitted(cluster.create({**OWN, "metadata": {"name": "two"}}))
    for each in definitions.documents():
        shown = cluster.get("crd", each["metadata"]["name"])
        conditions = {each["type"]: each["status"] for each in shown["status"]["conditions"]}
        assert conditions.get("NonStructuralSchema", "False") == "False"


def test_a_webhook_outside_has_its_policies_from_a_directory(cluster, webhook, scene, tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "seed.json").write_text(json.dumps(seed(scene)))
    found = webhook("--policies", folder)
    with found.registered():
        admitted(cluster.create(workload("Pod", "good", scene.tag)))
        assert cluster.image("Pod", "good") == found.pinned
        refused(create(cluster, found.evil)).names(SEED_RULE, "[no-signature]")
