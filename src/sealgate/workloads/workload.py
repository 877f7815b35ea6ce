"""One object that runs images, as policies look at it: what kind it is, where it belongs, what is asked of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class User(NamedTuple):
    """Who asks (`authentication.k8s.io/v1` UserInfo)."""

    name: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """`namespace:name` of the Roles bound to them, where that is known."""
    cluster_roles: tuple[str, ...] = ()


class Workload(NamedTuple):
    """One object and what is done with it. What is not known is None, and never taken for empty."""

    group: str
    """`""` for the core group."""
    version: str
    kind: str
    resource: str
    """Plural, lower case: `pods`."""
    namespace: str
    """`""` for objects that belong to no namespace."""
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    document: Mapping[str, Any]
    """The object itself."""
    old: Mapping[str, Any] | None = None
    """The object before an UPDATE."""
    operation: Operation = "CREATE"
    subresource: str = ""
    namespace_labels: Mapping[str, str] | None = None
    """None: nobody could be asked; whoever needs them must not take that for none."""
    user: User | None = None
    """None: not known (manifests in a file)."""

    @property
    def title(self) -> str:
        """For people: `Pod/default/web`, `Deployment/web`."""
        parts = [self.kind, self.namespace, self.name] if self.namespace else [self.kind, self.name]
        return "/".join(part for part in parts if part)
