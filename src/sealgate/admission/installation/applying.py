"""Putting the webhook into a cluster, and taking it out: in the order that never leaves the cluster waiting for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.admission.cluster import definitions, issuing
from sealgate.admission.installation import manifests
from sealgate.errors import ClusterUnavailableError, UsageError
from sealgate.kubernetes.resource import CONFIG_MAP, NAMESPACE, SECRET, SERVICE_ACCOUNT, Resource
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sealgate.admission.installation.manifests import Options
    from sealgate.kubernetes.client import Client

_RBAC = "rbac.authorization.k8s.io"
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
DEFINITION = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
RESOURCES = {
    each.kind: each
    for each in (
        Resource(
            "admissionregistration.k8s.io",
            "v1",
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            namespaced=False,
        ),
        Resource(
            "admissionregistration.k8s.io",
            "v1",
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            namespaced=False,
        ),
        Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced=True),
        Resource("", "v1", "services", "Service", namespaced=True),
        DEPLOYMENT,
        Resource(_RBAC, "v1", "rolebindings", "RoleBinding", namespaced=True),
        Resource(_RBAC, "v1", "roles", "Role", namespaced=True),
        Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
        Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
        SECRET,
        CONFIG_MAP,
        SERVICE_ACCOUNT,
        NAMESPACE,
        DEFINITION,
    )
}
"""In the order in which they are removed."""


async def install(client: Client, options: Options, *, say: Callable[[str], object], seconds: float = 150.0) -> None:
    """Apply everything, wait for all replicas, register. Raises `ClusterUnavailableError` when they do not become ready, and
    `UsageError` for an API server that does not label namespaces: the webhook's own would not be left out (K23).
    """
    for document in manifests.before(options):
        found = await _apply(client, document)
        if document["kind"] == NAMESPACE.kind:
            _check_label(found, options.namespace)
        say(f"applied {document['kind']} {document['metadata']['name']}")
    end = await flow.now() + seconds
    while not await _is_ready(client, options):
        if await flow.now() >= end:
            raise ClusterUnavailableError(
                f"the replicas in {options.namespace} are not ready, so the webhook is not registered",
                hint=f"kubectl -n {options.namespace} describe pods; kubectl -n {options.namespace} logs deployment/sealgate",
            )
        await flow.sleep(2.0)
    bundle = b""
    if options.own_certificate:  # the replicas have made it: so the first review is believed at once
        kept = issuing.read(await client.get(SECRET, options.namespace, manifests.OWN_SECRET))
        bundle = b"".join(each.certificate for each in kept.authorities)
    for document in manifests.registration(options, own_bundle=bundle):
        await _apply(client, document)
        say(f"registered {document['kind']} {document['metadata']['name']}")


async def define(client: Client, *, say: Callable[[str], object]) -> None:
    """Apply the definitions of our own policies, and nothing else."""
    for document in definitions.documents():
        await _apply(client, document)
        say(f"applied {document['kind']} {document['metadata']['name']}")


async def remove(client: Client, *, namespace: str, allowed: Iterable[str] = ()) -> list[str]:
    """Remove everything but the namespace, which may hold what is not ours, and the definitions, with which all policies of
    their kind would go; the registration first. What was removed.

    `allowed`: further namespaces that it could read Secrets of, by a Role there.
    """
    gone = []
    for resource in RESOURCES.values():
        if resource in {NAMESPACE, DEFINITION}:
            continue
        name = manifests.OWN_SECRET if resource is SECRET else manifests.NAME
        places: list[str | None] = [namespace if resource.namespaced else None]
        if resource.kind in {"Role", "RoleBinding"}:
            places += sorted({*allowed} - {namespace})
        for place in places:
            if await client.delete(resource, place, name):
                gone.append(resource.title(place, name))  # noqa: PERF401 - an await stands in the condition
    return gone


def _check_label(namespace: dict[str, Any], name: str) -> None:
    if (namespace["metadata"].get("labels") or {}).get(manifests.NAME_LABEL) != name:
        raise UsageError(
            f"this API server does not label the namespace {name} with its name ({manifests.NAME_LABEL}), so it cannot be left out",
            hint="Kubernetes 1.22 or newer does",
        )


async def _apply(client: Client, document: dict[str, Any]) -> dict[str, Any]:
    resource = RESOURCES[document["kind"]]
    metadata = document["metadata"]
    return await client.apply(resource, metadata.get("namespace"), metadata["name"], document, force=True)


async def _is_ready(client: Client, options: Options) -> bool:
    found = await client.get(DEPLOYMENT, options.namespace, manifests.NAME)
    status, metadata = found.get("status") or {}, found["metadata"]
    return (
        status.get("observedGeneration") == metadata.get("generation")
        and status.get("updatedReplicas") == options.replicas
        and status.get("readyReplicas") == options.replicas
    )
