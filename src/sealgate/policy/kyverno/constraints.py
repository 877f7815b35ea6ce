"""`matchConstraints` of Kyverno's image policies: which objects a policy is about, and autogen for pod controllers. Pure.

Source: Kubernetes, admissionregistration.k8s.io/v1 MatchResources; Kyverno, api/policies.kyverno.io, AutogenConfiguration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError
from sealgate.policy.kyverno.match import CONTROLLERS, LabelSelector, label_selector

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields
    from sealgate.workloads.workload import Workload

_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT", "*")
_PLURALS = {f"{kind.lower()}s": kind for kind in CONTROLLERS if kind != "ReplicationController"}
"""The controllers that `autogen.podControllers.controllers` may name."""


class ResourceRule(NamedTuple):
    """Resources and what is done with them."""

    groups: tuple[str, ...]
    versions: tuple[str, ...]
    operations: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    scope: str
    exact: bool
    """`matchPolicy: Exact`: versions must be those that are written."""

    def fits(self, workload: Workload, resource: str, group: str) -> bool:
        """`resource` and `group`: what the object counts as (`pods` for a controller's template)."""
        return (
            _one_of(self.groups, group)
            and (not self.exact or _one_of(self.versions, workload.version) or resource != workload.resource)
            and _one_of(self.operations, workload.operation)
            and any(_covers(each, resource, workload.subresource) for each in self.resources)
            and (not self.names or workload.name in self.names)
            and (self.scope == "*" or (self.scope == "Namespaced") == bool(workload.namespace))
        )

    @property
    def is_pods(self) -> bool:
        """Whether it is what autogen looks for."""
        return self.groups == ("",) and "v1" in self.versions and self.resources == ("pods",) and not self.names


class Constraints(NamedTuple):
    """A `Selector`."""

    rules: tuple[ResourceRule, ...]
    excluded: tuple[ResourceRule, ...]
    namespaces: LabelSelector | None
    objects: LabelSelector | None
    controllers: tuple[str, ...]
    """The kinds that stand for the Pods they make."""

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when the labels of the namespace decide and are not known (P09)."""
        resource, group = workload.resource, workload.group
        if self.for_template(workload) or (not resource and workload.kind in {"Compose", "Dockerfile"}):
            resource, group = "pods", ""
        if not any(each.fits(workload, resource, group) for each in self.rules):
            return False
        if any(each.fits(workload, resource, group) for each in self.excluded):
            return False
        if self.objects is not None and not self._object(workload, self.objects):
            return False
        if self.namespaces is None or self.namespaces == LabelSelector((), ()) or not workload.namespace:
            return True
        if workload.namespace_labels is None:
            raise PolicyUndecidedError(
                f"whether the policy is about {workload.title} depends on labels of the namespace, which are not known",
                hint="give the Namespace among the manifests",
            )
        return self.namespaces.fits(workload.namespace_labels)

    @staticmethod
    def _object(workload: Workload, selector: LabelSelector) -> bool:
        """As in Kubernetes: of the old object and the new one, either will do."""
        if selector.fits(workload.labels):
            return True
        metadata = workload.old.get("metadata") if workload.old is not None else None
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        return isinstance(labels, dict) and selector.fits(labels)

    def for_template(self, workload: Workload) -> bool:
        """Whether the object stands for the Pods that it makes."""
        return workload.kind in self.controllers and CONTROLLERS.get(workload.kind) == workload.group


def _one_of(allowed: tuple[str, ...], text: str) -> bool:
    return "*" in allowed or text in allowed


def _covers(pattern: str, resource: str, subresource: str) -> bool:
    """`pods` covers the subresources of Pods too (K01); `pods/x` only that one."""
    wanted, slash, sub = pattern.partition("/")
    if wanted not in {"*", resource}:
        return False
    return not slash or sub in {"*", subresource}


def read(spec: Fields) -> Constraints:
    """`matchConstraints` and `autogen`. Raises `PolicyInvalidError` for what is about nothing (P14)."""
    fields = spec.fields("matchConstraints")
    if fields is None:
        spec.missing("matchConstraints")
    exact = fields.choice("matchPolicy", "Exact", "Equivalent", default="Equivalent") == "Exact"
    rules = tuple(_rule(each, exact=exact) for each in fields.objects("resourceRules"))
    excluded = tuple(_rule(each, exact=True) for each in fields.objects("excludeResourceRules"))
    namespaces, objects = label_selector(fields, "namespaceSelector"), label_selector(fields, "objectSelector")
    if not rules:
        raise PolicyInvalidError(
            f"{fields.at('resourceRules')} is empty, and so the policy is about nothing",
            hint='[{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}]',
        )
    fields.end()
    plain = len(rules) == 1 and rules[0].is_pods and not excluded and objects in {None, LabelSelector((), ())}
    return Constraints(rules, excluded, namespaces, objects, _controllers(spec, plain=plain))


def _rule(fields: Fields, *, exact: bool) -> ResourceRule:
    lists = {name: fields.items(name) for name in ("apiGroups", "apiVersions", "operations", "resources")}
    texts: dict[str, tuple[str, ...]] = {}
    for name, items in lists.items():
        for item, place in items:
            if not isinstance(item, str) or (not item and name != "apiGroups"):
                raise PolicyInvalidError(f"{place} is no string with something in it")
        if not items:
            raise PolicyInvalidError(f"{fields.at(name)} is empty, and so about nothing")
        texts[name] = tuple(item for item, _ in items)
    for each in texts["operations"]:
        if each not in _OPERATIONS:
            raise PolicyInvalidError(f"{fields.at('operations')} has {each!r}", hint=f"of: {', '.join(_OPERATIONS)}")
    scope = fields.choice("scope", "*", "Namespaced", "Cluster", default="*") or "*"
    names = fields.texts("resourceNames")
    return fields.done(
        ResourceRule(
            texts["apiGroups"], texts["apiVersions"], texts["operations"], texts["resources"], names, scope, exact
        )
    )


def _controllers(spec: Fields, *, plain: bool) -> tuple[str, ...]:
    autogen = spec.fields("autogen")
    wanted = tuple(CONTROLLERS)
    if autogen is not None:
        fields = autogen.fields("podControllers")
        if fields is not None:
            named = fields.texts("controllers")
            for name in named:
                if name not in _PLURALS:
                    raise PolicyInvalidError(
                        f"{fields.at('controllers')} names {name!r}", hint=f"of: {', '.join(_PLURALS)}"
                    )
            if fields.has("controllers"):
                wanted = tuple(_PLURALS[name] for name in named)
            fields.end()
        autogen.end()
    return wanted if plain else ()
