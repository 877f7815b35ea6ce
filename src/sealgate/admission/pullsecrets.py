"""Registry credentials out of pull secrets: those of a pod and of its service account, in the pod's own namespace.

What a tenant wrote counts for that tenant's reviews alone: each namespace and set of Secrets is a scope of its own, and the
scope is part of what verdicts are kept under. The operator's own credentials are never sent to a registry because a tenant
named it (K16): they are for the registries that the operator configured, and there where a pod has none of its own.

Secrets are read for each review, by name, and never kept: one that was withdrawn counts no more.

Sources: Kubernetes, "Pull an Image from a Private Registry"; kubernetes.io/dockerconfigjson.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.admission.registries import OPERATOR, Scope
from sealgate.errors import ClusterMissingError, ContentError, InvalidReferenceError, PullSecretError
from sealgate.evidence import base64
from sealgate.kubernetes.resource import SECRET, SERVICE_ACCOUNT
from sealgate.oci.credentials import Credentials
from sealgate.oci.reference import parse_registry
from sealgate.workloads import kubernetes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.kubernetes.client import Client
    from sealgate.workloads.workload import Workload

_FORMS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}


class PullSecrets:
    """The credentials of one pod: `lookup` is what `oci` asks, `scope` names them without showing any."""

    def __init__(self, namespace: str, entries: Sequence[tuple[str, str, Credentials]]) -> None:
        """`entries`: registry, the beginning of a repository (`""`: every one), credentials; the longest beginning wins."""
        self._entries = sorted(entries, key=lambda entry: -len(entry[1]))
        told = hashlib.sha256()
        for registry, path, credentials in self._entries:
            for part in (registry, path, *credentials):
                told.update(len(part).to_bytes(4) + part.encode())
        self.scope = f"{namespace}/{told.hexdigest()}"

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, registry: str, repository: str) -> Credentials | None:
        """Credentials of a repository of a canonical registry; None: anonymous."""
        for host, path, credentials in self._entries:
            if host == registry and (not path or repository == path or repository.startswith(f"{path}/")):
                return credentials
        return None


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
        operator = self._operator

        def lookup(registry: str, repository: str) -> Credentials | None:
            own = found.lookup(registry, repository)
            return own if own is not None or operator is None else operator(registry, repository)

        return Scope(found.scope, lookup)


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
    entries: list[tuple[str, str, Credentials]] = []
    for name in names:
        try:
            secret = await client.get(SECRET, namespace, name)
        except ClusterMissingError:
            continue
        entries += entries_of(secret, f"{namespace}/{name}")
    return PullSecrets(namespace, entries)


def entries_of(secret: Mapping[str, Any], where: str) -> list[tuple[str, str, Credentials]]:
    """The entries of one Secret. Raises `PullSecretError`, which shows nothing of it."""
    key = _FORMS.get(str(secret.get("type")))
    data = secret.get("data")
    value = data.get(key) if key is not None and isinstance(data, Mapping) else None
    if not isinstance(value, str):
        raise PullSecretError(f"the Secret {where} is no pull secret", hint="type: kubernetes.io/dockerconfigjson")
    raw = base64.decode(value, what=f"the Secret {where}", error=PullSecretError)
    try:
        document = strictjson.parse_object(raw, limit=limits.CONFIG_FILE_BYTES, what=f"the Secret {where}")
    except ContentError as error:
        raise PullSecretError(f"the Secret {where} holds no configuration of docker") from error
    auths = document.get("auths", {}) if key == ".dockerconfigjson" else document
    if not isinstance(auths, dict):
        raise PullSecretError(f"the Secret {where} holds no configuration of docker")
    return [found for name, entry in auths.items() if (found := _entry(name, entry, where)) is not None]


def _names(references: Any) -> Iterator[str]:
    for each in references if isinstance(references, list) else ():
        name = each.get("name") if isinstance(each, Mapping) else None
        if isinstance(name, str) and name:
            yield name


def _entry(name: str, entry: Any, where: str) -> tuple[str, str, Credentials] | None:
    text = name.removeprefix("https://").removeprefix("http://")
    host, _, path = text.partition("/")
    path = path.strip("/")
    if path in {"v1", "v2"}:  # https://index.docker.io/v1/
        path = ""
    try:
        registry = parse_registry(host)
    except InvalidReferenceError:  # a pattern, or nothing that an image could name
        return None
    if not isinstance(entry, dict):
        raise PullSecretError(f"the Secret {where} holds an entry that is no object")
    username, password, auth = entry.get("username", ""), entry.get("password", ""), entry.get("auth", "")
    if not all(isinstance(each, str) for each in (username, password, auth)):
        raise PullSecretError(f"the Secret {where} holds an entry that is no text")
    if auth:
        raw = base64.decode(auth, what=f"an entry of the Secret {where}", error=PullSecretError)
        try:
            username, colon, password = raw.decode().partition(":")
        except UnicodeDecodeError as error:
            raise PullSecretError(f"the Secret {where} holds an entry that is no text") from error
        if not colon:
            raise PullSecretError(f"the Secret {where} holds an entry without a password")
    return (registry, path, Credentials(username, password)) if username else None
