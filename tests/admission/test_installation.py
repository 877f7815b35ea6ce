"""Putting the webhook into a cluster: the order, and what is looked at before it is registered. A client that takes everything."""

from __future__ import annotations

import pytest

from sealgate.admission.cluster import definitions
from sealgate.admission.installation import applying, manifests
from sealgate.admission.installation.manifests import Options
from sealgate.errors import ClusterUnavailableError, UsageError
from sealgate.transport import driver

OPTIONS = Options(image=f"registry.example/sealgate@sha256:{'a' * 64}", ca_bundle=b"-----BEGIN CERTIFICATE-----\n")
LABEL = "kubernetes.io/metadata.name"


class Taker:
    """An API server that takes what it is given; `labels` are those that it gives namespaces, `ready` replicas run."""

    def __init__(self, *, labels=None, ready: int = 3) -> None:
        self.applied: list[tuple[str, str]] = []
        self._labels = {LABEL: "sealgate"} if labels is None else labels
        self._ready = ready

    async def apply(self, resource, namespace, name, document, *, force):
        assert force
        self.applied.append((document["kind"], name))
        labels = {**document["metadata"]["labels"], **(self._labels if document["kind"] == "Namespace" else {})}
        return {**document, "metadata": {**document["metadata"], "labels": labels}}

    async def get(self, resource, namespace, name):
        assert (resource.kind, namespace, name) == ("Deployment", "sealgate", "sealgate")
        status = {"observedGeneration": 2, "updatedReplicas": 3, "readyReplicas": self._ready}
        return {"metadata": {"generation": 2}, "status": status}


def install(taker: Taker) -> list[str]:
    said: list[str] = []
    flow = applying.install(taker, OPTIONS, say=said.append, seconds=0.0)
    driver.run(flow, sender=lambda *_: None, seconds=30)
    return said


def test_the_registration_comes_last():
    taker = Taker()
    said = install(taker)
    assert taker.applied[-2:] == [
        ("MutatingWebhookConfiguration", "sealgate"),
        ("ValidatingWebhookConfiguration", "sealgate"),
    ]
    assert len(taker.applied) == len(manifests.before(OPTIONS)) + 2
    assert [each.split()[0] for each in said[-3:]] == ["applied", "registered", "registered"]


def test_nothing_is_registered_while_replicas_are_missing():
    taker = Taker(ready=2)
    with pytest.raises(ClusterUnavailableError) as caught:
        install(taker)
    assert (caught.value.code, "is not registered" in caught.value.message) == ("cluster-unavailable", True)
    assert not any(kind.endswith("WebhookConfiguration") for kind, _ in taker.applied)


@pytest.mark.parametrize("labels", [{}, {LABEL: "other"}])
def test_K23_nothing_is_installed_where_its_own_namespace_could_not_be_left_out(labels):
    taker = Taker(labels=labels)
    with pytest.raises(UsageError) as caught:
        install(taker)
    assert (caught.value.code, LABEL in caught.value.message) == ("usage", True)
    assert taker.applied[-1] == ("Namespace", "sealgate")
    assert install(Taker())


def test_definitions_alone_are_applied_without_anything_else():
    taker, said = Taker(), []
    driver.run(applying.define(taker, say=said.append), sender=lambda *_: None, seconds=30)
    assert [name for _, name in taker.applied] == [each["metadata"]["name"] for each in definitions.documents()]
    assert len(said) == 3


def test_what_was_made_in_further_namespaces_goes_too():
    class Cluster:
        def __init__(self) -> None:
            self.gone: list[tuple[str, str | None, str]] = []

        async def delete(self, resource, namespace, name):
            self.gone.append((resource.kind, namespace, name))
            return True

    def removed(allowed):
        cluster = Cluster()
        flow = applying.remove(cluster, namespace="sealgate", allowed=allowed)
        said = driver.run(flow, sender=lambda *_: None, seconds=30)
        assert len(said) == len(cluster.gone)
        return cluster.gone

    assert {each[1] for each in removed(())} == {None, "sealgate"}
    assert [each for each in removed(("keys", "sealgate")) if each[1] == "keys"] == [
        ("RoleBinding", "keys", "sealgate"), ("Role", "keys", "sealgate"),
    ]  # fmt: skip
    assert [each[0] for each in removed(())[:2]] == ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
