"""Registry credentials out of pull secrets: those of a pod and of its service account, in the pod's own namespace.

What a tenant wrote counts for that tenant's reviews alone: each namespace and set of Secrets is a scope of its own, and the
scope is part of what verdicts are kept under. The operator's own credentials are never sent to a registry because a tenant
named it (K16): they are for the registries that the operator configured, and there where a pod has none of its own.

Secrets are read for each review, by name, and never kept: one that was withdrawn counts no more. What policies name is another
matter: that is read with them (`policy.pullsecrets`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.admission.registries import OPERATOR, Scope
from sealgate.errors import ClusterMissingError, PullSecretError
from sealgate.kubernetes.resource import SECRET, SERVICE_ACCOUNT
from sealgate.policy.pullsecrets import Entry, PullSecrets, entries_of
from sealgate.workloads import kubernetes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.kubernetes.client import Client
    from sealgate.oci.credentials import Credentials
    from sealgate.workloads.workload import Workload


class Scopes:
    """`registries.Scopes` by the pull secrets of the namespace that the request is about."""

    def __init__(self, client: Client, operator: Callable[[str, str], Credentials | None] | None) -> None:
        """`operator`: the operator's credentials, as `RegistrySettings.credentials`."""
        self._client = client
        self._operator = operator

    async def __call__(self, workload: Workload, /) -> Scope:
        """The scope of a workload; the operator's where its namespace has no pull secrets for it, or it belongs to none."""
        if not workload.namespace:
            return OPERATOR
        found = await of_pod(self._client, workload.namespace, kubernetes.pod_spec(workload))
        if not len(found):
            return OPERATOR
        return Scope(found.scope, found.before(self._operator))


async def of_pod(client: Client, namespace: str, spec: Mapping[str, Any]) -> PullSecrets:
    """The pull secrets of a pod and its service account. One that is not there gives nothing, as at the kubelet.

    Raises `PullSecretError` for one that cannot be read, and what asking raises.
    """
    names = dict.fromkeys(_names(spec.get("imagePullSecrets")))
    account = spec.get("serviceAccountName") or "default"
    if isinstance(account, str):
        try:
            found = await client.get(SERVICE_ACCOUNT, namespace, account)
        except ClusterMissingError:
            found = {}
        names |= dict.fromkeys(_names(found.get("imagePullSecrets")))
    if len(names) > limits.PULL_SECRETS:
        raise PullSecretError(f"more than {limits.PULL_SECRETS} pull secrets in {namespace}")
    entries: list[Entry] = []
    for name in names:
        try:
            secret = await client.get(SECRET, namespace, name)
        except ClusterMissingError:
            continue
        entries += entries_of(secret, f"{namespace}/{name}")
    return PullSecrets(namespace, entries)


def _names(references: Any) -> Iterator[str]:
    for each in references if isinstance(references, list) else ():
        name = each.get("name") if isinstance(each, Mapping) else None
        if isinstance(name, str) and name:
            yield name
