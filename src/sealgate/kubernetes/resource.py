"""Which objects of the API are meant, and their paths. Pure.

Names and namespaces come out of objects that others wrote; each is held to the API's own grammar before it becomes part of
a path, so that none of them can name another object (`../secrets/x`, `x?watch=1`).

Source: Kubernetes, "API Concepts", resource URIs; "Object Names and IDs".
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote

from sealgate.errors import ClusterAnswerError, ClusterNameError

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(rf"{_LABEL}(?:[.:]{_LABEL})*")
_GROUP = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*)?")
_VERSION = re.compile("v[1-9][0-9]*(?:(?:alpha|beta)[1-9][0-9]*)?")


class Resource(NamedTuple):
    """One kind of objects in one version of its group."""

    group: str
    """`""` for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, of all objects of a namespace, or of all. Raises `ClusterNameError`."""
        if not _GROUP.fullmatch(self.group) or not _VERSION.fullmatch(self.version):
            raise ClusterNameError(f"{self.group[:80]!a}/{self.version[:40]!a} is no version of an API group")
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            if not self.namespaced:
                raise ClusterNameError(f"a {self.kind} belongs to no namespace")
            if not _NAMESPACE.fullmatch(namespace):
                raise ClusterNameError(f"{namespace[:80]!a} is no name of a namespace")
            parts += ["namespaces", namespace]
        elif name is not None and self.namespaced:
            raise ClusterNameError(f"a {self.kind} belongs to a namespace, and none is named")
        parts.append(self.plural)
        if name is not None:
            if len(name) > 253 or not _NAME.fullmatch(name):
                raise ClusterNameError(f"{name[:80]!a} is no name of a {self.kind}")
            parts.append(name)
            if subresource is not None:
                parts.append(subresource)
        return "/" + "/".join(quote(part, safe="") for part in parts)

    @property
    def api_version(self) -> str:
        """As an object says it: `kyverno.io/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def title(self, namespace: str | None = None, name: str | None = None) -> str:
        """For messages: `Secret kyverno/keys`."""
        place = "/".join(part for part in (namespace, name) if part)
        return f"{self.kind} {place}" if place else f"{self.plural}.{self.group}".rstrip(".")


class Key(NamedTuple):
    """Which object of a resource."""

    namespace: str
    """`""` for objects that belong to no namespace."""
    name: str


SECRET = Resource("", "v1", "secrets", "Secret", namespaced=True)
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICE_ACCOUNT = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
EVENT = Resource("", "v1", "events", "Event", namespaced=True)


def key_of(document: Any) -> Key:
    """Which object a document is. Raises `ClusterAnswerError` when it does not say."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        raise ClusterAnswerError("the API server sent an object without metadata")
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    if not isinstance(name, str) or not name or not isinstance(namespace, str):
        raise ClusterAnswerError("the API server sent an object without a name")
    return Key(namespace, name)


def version_of(document: Any) -> str:
    """`metadata.resourceVersion` of an object or a list; `""` when there is none. Opaque: compared, never counted."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    found = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and len(found) <= 256 else ""
