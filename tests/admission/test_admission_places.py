"""Whatever the object says of itself, every image in it is judged: where images stand, and what reduces nothing (K01 to K10)."""

from __future__ import annotations

import copy

import pytest

from admission.place import Selects, patched, pod, recorded, rule, updated

_WORKLOADS = {
    "Pod": ("01", ()),
    "Deployment": ("05", ("spec", "template")),
    "Job": ("07", ("spec", "template")),
    "CronJob": ("09", ("spec", "jobTemplate", "spec", "template")),
    "StatefulSet": ("11", ("spec", "template")),
    "DaemonSet": ("13", ("spec", "template")),
    "ReplicaSet": ("15", ("spec", "template")),
    "ReplicationController": ("17", ("spec", "template")),
    "PodTemplate": ("19", ("template",)),
}
_SLOTS = ("containers", "initContainers", "ephemeralContainers", "volumes")


def at(review, way):
    found = review["request"]["object"]
    for step in way:
        found = found[step]
    return found["spec"]


def of_kind(kind, good, slot=None, image=None):
    """The recorded creation of an object of a kind, all of its images good; in one slot another one."""
    name, way = _WORKLOADS[kind]
    review = recorded(f"{name}-")
    spec = at(review, way)
    for each in spec["containers"]:
        each["image"] = good
    spec.pop("initContainers", None)
    if slot == "volumes":
        spec["volumes"] = [{"name": "v", "image": {"reference": image, "pullPolicy": "IfNotPresent"}}]
    elif slot is not None:
        extra = {"name": "extra", "image": image}
        if slot == "initContainers":
            extra["restartPolicy"] = "Always"
        spec[slot] = [*(spec.get(slot) or []), extra]
    return review


@pytest.mark.parametrize("slot", _SLOTS)
@pytest.mark.parametrize("kind", _WORKLOADS)
def test_K01_K02_K03_K14_every_place_of_every_kind(place, scene, kind, slot):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(of_kind(kind, scene.name)).is_allowed()
    place.validate(of_kind(kind, scene.name, slot, scene.name)).is_allowed()
    refused = place.validate(of_kind(kind, scene.name, slot, evil))
    refused.is_denied("no-signature")
    assert slot in refused.message


@pytest.mark.parametrize("slot", _SLOTS)
@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_K02_the_digest_is_written_at_the_very_place(place, scene, kind, slot):
    review = of_kind(kind, scene.name, slot, scene.tag)
    answer = place.mutate(review)
    answer.is_allowed()
    [step] = answer.patch
    end = "image/reference" if slot == "volumes" else "image"
    assert step["path"].endswith(f"/{slot}/{'1' if slot == 'containers' else '0'}/{end}")
    assert step["value"] == f"{scene.tag}@{scene.image.digest}"
    place.validate(patched(review, answer.patch)).is_allowed()


def test_K01_ephemeral_containers_come_as_the_pod_or_alone(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"

    def whole(image):
        def change(new):
            new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": image}]

        return updated(pod(evil), change, subResource="ephemeralcontainers")

    place.validate(whole(scene.name)).is_allowed()
    place.validate(whole(evil)).is_denied("no-signature")
    alone = recorded("33-")  # as Kubernetes before 1.22 sent it
    alone["request"]["object"]["ephemeralContainers"][0]["image"] = scene.name
    place.validate(alone).is_allowed()
    alone["request"]["object"]["ephemeralContainers"][0]["image"] = evil
    place.validate(alone).is_denied("no-signature")


def test_K01_ephemeral_containers_alone_are_those_of_a_pod_for_policies(start, scene, signed):
    place = start(rule(signed, selector=Selects("Pod")))
    alone = recorded("34-")
    alone["request"]["object"]["ephemeralContainers"][0]["image"] = (
        f"{scene.registry.host}/team/app@{scene.evil.digest}"
    )
    place.validate(alone).is_denied("no-signature")


@pytest.mark.parametrize("subresource", ["resize", "status", "ephemeralcontainers", ""])
def test_K04_a_changed_image_is_judged_whatever_subresource_it_comes_by(place, scene, subresource):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"

    def to(image):
        def change(new):
            new["spec"]["containers"][0]["image"] = image

        return updated(pod(f"{scene.tag}"), change, subResource=subresource)

    place.validate(to(scene.name)).is_allowed()
    place.validate(to(evil)).is_denied("no-signature")


def test_K04_subresources_that_run_nothing_pass_and_unknown_ones_do_not(place):
    place.validate(recorded("22-")).is_allowed()  # Deployment/scale
    review = recorded("02-")
    review["request"] |= {
        "subResource": "exec", "operation": "CONNECT", "kind": {"group": "", "version": "v1", "kind": "PodExecOptions"},
        "object": {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh"]},
    }  # fmt: skip
    place.validate(review).is_allowed()
    review["request"] |= {"subResource": "newfangled"}
    place.validate(review).is_denied("review-invalid")
    scale = recorded("22-")
    scale["request"]["kind"] = {"group": "example.com", "version": "v1", "kind": "Scale"}
    scale["request"]["object"]["apiVersion"] = "example.com/v1"
    scale["request"]["oldObject"]["apiVersion"] = "example.com/v1"
    place.validate(scale).is_denied("review-invalid")


def _with(change):
    def altered(review):
        found = copy.deepcopy(review)
        change(found["request"]["object"])
        return found

    return altered


_CLAIMS = {
    "P10_annotations_of_products": lambda o: o["metadata"].update(
        annotations={
            "kyverno.io/verify-images": '{"IMAGE":"pass"}',
            "kyverno.io/image-verification-outcomes": '{"check-image":{"status":"pass"}}',
            "sealgate.dev/verified": "true",
        }
    ),
    "K06_owner": lambda o: o["metadata"].update(
        ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "controller": True}]
    ),
    "K08_deletion_mark": lambda o: o["metadata"].update(
        deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/x"]
    ),
    "K14_mirror_pod": lambda o: o["metadata"].update(annotations={"kubernetes.io/config.mirror": "x"}),
    "K15_never_pulled": lambda o: o["spec"]["containers"][0].update(imagePullPolicy="Never"),
}


@pytest.mark.parametrize("claim", _CLAIMS)
def test_K06_K08_K15_P10_nothing_that_a_pod_says_of_itself_reduces_checking(place, scene, claim):
    claimed = _with(_CLAIMS[claim])
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(claimed(pod(scene.name))).is_allowed()
    place.validate(claimed(pod(evil))).is_denied("no-signature")
    place.mutate(claimed(pod(evil))).is_denied("no-signature")
    place.validate(claimed(pod(scene.tag))).is_denied("digest-missing")


def test_P11_annotations_are_believed_at_no_path_and_not_on_updates(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    review = updated(pod(scene.name), lambda new: new["spec"]["containers"][0].update(image=evil))
    for which in ("object", "oldObject"):
        review["request"][which]["metadata"]["annotations"] = {"kyverno.io/verify-images": f'{{"{evil}":"pass"}}'}
    place.validate(review).is_denied("no-signature")
    place.mutate(review).is_denied("no-signature")


def test_K05_a_template_without_replicas_is_judged(place, scene):
    evil = of_kind("Deployment", f"{scene.registry.host}/team/app@{scene.evil.digest}")
    evil["request"]["object"]["spec"]["replicas"] = 0
    place.validate(evil).is_denied("no-signature")
    good = of_kind("Deployment", scene.name)
    good["request"]["object"]["spec"]["replicas"] = 0
    place.validate(good).is_allowed()


def test_K07_scaling_down_and_changing_at_once_is_judged_scaling_alone_asks_nobody(place, scene):
    base = of_kind("Deployment", scene.tag)

    def scaled(image):
        def change(new):
            new["spec"]["replicas"] = 0
            new["spec"]["template"]["spec"]["containers"][0]["image"] = image

        return updated(base, change)

    place.validate(scaled(f"{scene.registry.host}/team/app@{scene.evil.digest}")).is_denied("no-signature")
    before = len(scene.registry.asked())
    place.validate(scaled(scene.tag)).is_allowed()
    assert len(scene.registry.asked()) == before


def test_K08_an_object_that_is_being_deleted_may_lose_its_finalizer_and_not_change_its_image(place, scene):
    base = pod(f"{scene.registry.host}/team/app:evil")
    base["request"]["object"]["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["example.com/x"],
    }
    place.validate(updated(base, lambda new: new["metadata"].pop("finalizers"))).is_allowed()
    other = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    changed = updated(base, lambda new: new["spec"]["containers"][0].update(image=other))
    place.validate(changed).is_denied("no-signature")


def test_K09_K10_what_stands_unchanged_at_its_place_is_admitted_and_said(place, scene):
    evil = f"{scene.registry.host}/team/app:evil"
    base = pod(evil, scene.name)
    labelled = place.validate(updated(base, lambda new: new["metadata"].update(labels={"a": "b"})))
    labelled.is_allowed()
    assert any("[image-unchanged]" in each and evil in each for each in labelled.warnings)
    assert labelled.response["auditAnnotations"]["unchanged"] == "2"
    assert place.metric("sealgate_images_total", state="unchanged") == 2

    def turned(new):
        new["spec"]["containers"].reverse()

    place.validate(updated(base, turned)).is_denied("no-signature")  # at another place it is another image
    added = updated(base, lambda new: new["spec"].update(initContainers=[{"name": "i", "image": evil}]))
    place.validate(added).is_denied("no-signature")


def test_K09_the_old_object_admits_nothing_on_creation_nor_when_it_cannot_be_read(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    created = pod(evil)
    created["request"]["oldObject"] = copy.deepcopy(created["request"]["object"])
    place.validate(created).is_denied("no-signature")
    unreadable = updated(pod(evil), lambda new: None)
    unreadable["request"]["oldObject"]["spec"]["containers"].append({"name": "x", "image": 7})
    place.validate(unreadable).is_denied("no-signature")


def test_K13_P11_what_mutate_saw_is_no_evidence_for_validate(place, scene):
    created = pod(scene.tag)
    answer = place.mutate(created)
    answer.is_allowed()
    final = patched(created, answer.patch)
    place.validate(final).is_allowed()
    swapped = copy.deepcopy(final)
    swapped["request"]["object"]["spec"]["containers"][0]["image"] = (
        f"{scene.registry.host}/team/app@{scene.evil.digest}"
    )
    place.validate(swapped).is_denied("no-signature")
    place.validate(created).is_denied("digest-missing")  # the digest was taken away again
    injected = copy.deepcopy(final)
    injected["request"]["object"]["spec"]["containers"].append({"name": "sidecar", "image": scene.tag})
    place.validate(injected).is_denied("digest-missing")


def _rollout(*images, kind="Rollout", group="example.com"):
    review = recorded("06-")
    containers = [{"name": "x", "image": image} for image in images]
    review["request"] |= {
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
        "object": {
            "apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "web", "namespace": "default"},
            "spec": {"template": {"spec": {"containers": containers}}},
        },
    }  # fmt: skip
    return review


def test_K14_K18_P17_objects_of_other_kinds_are_searched_by_their_form_every_container_of_them(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(_rollout(scene.name, scene.name)).is_allowed()
    place.validate(_rollout(evil, scene.name)).is_denied("no-signature")  # two containers of one name
    place.validate(_rollout(scene.name, evil)).is_denied("no-signature")
    place.validate(_rollout(evil, kind="Pod")).is_denied("no-signature")  # a Pod of somebody else's
    place.validate(_rollout(evil, kind="Deployment")).is_denied("no-signature")


def test_P17_an_object_of_another_kind_than_the_request_says_is_refused(place, scene):
    review = pod(scene.name)
    review["request"]["kind"]["kind"] = "Node"
    place.validate(review).is_denied("review-invalid")
    review = pod(scene.name)
    review["request"]["resource"]["resource"] = "nodes"
    place.validate(review).is_denied("review-invalid")
    review = pod(scene.name)
    review["request"]["object"]["metadata"]["namespace"] = "elsewhere"
    place.validate(review).is_denied("review-invalid")


def test_K21_deletions_pass_and_ask_nobody(place, scene):
    review = recorded("36-")
    review["request"]["oldObject"]["spec"]["containers"][0]["image"] = f"{scene.registry.host}/team/app:evil"
    before = len(scene.registry.asked())
    place.validate(review).is_allowed()
    assert len(scene.registry.asked()) == before


@pytest.mark.parametrize(
    "image", ["", " ", None, 7, ["x"], "nginx ", "sha256:" + "0" * 64, "a//b", "xn--80ak6aa92e.com/x:1"]
)
def test_R13_R05_R12_an_image_that_cannot_be_read_is_refused(place, image):
    answer = place.validate(pod(image))
    assert answer.response["allowed"] is False


def test_R01_R14_the_digest_decides_and_the_name_stays_as_it_was_written(place, scene):
    good = f"{scene.registry.host}/team/app:nosuchtag@{scene.image.digest}"
    answer = place.mutate(pod(good))
    answer.is_allowed()
    assert not answer.patch
    place.validate(pod(f"{scene.tag}@{scene.evil.digest}")).is_denied("no-signature")
