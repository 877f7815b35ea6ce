"""Kyverno's `match` and `exclude`: which objects a rule is about, and autogen for pod controllers. Pure.

Three answers: yes, no, and None where what decides is not known here (who asks, the labels of the namespace). None is
carried through `any`, `all` and `exclude`, and where the whole answer is None the object is refused (P09).

Source: Kyverno, api/kyverno/v1: match_resources_types.go, resource_description_types.go; pkg/autogen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError
from sealgate.policy import labels
from sealgate.policy.kyverno import globs

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields
    from sealgate.workloads.workload import User, Workload

CONTROLLERS: dict[str, str] = {
    "DaemonSet": "apps", "Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps", "ReplicationController": "",
    "Job": "batch", "CronJob": "batch",
}  # fmt: skip
"""The kinds that rules for Pods hold for too, and their API groups."""
AUTOGEN = "pod-policies.kyverno.io/autogen-controllers"
_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?|\*")
_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_SUBJECTS = ("User", "Group", "ServiceAccount")


class Kind(NamedTuple):
    """One entry of `kinds`; every part may have wildcards."""

    group: str
    version: str
    kind: str
    subresource: str
    """Empty: the object and every subresource of it (K01): Kyverno wants `Pod/ephemeralcontainers` named."""

    def fits(self, workload: Workload, kind: str, group: str) -> bool:
        """Whether the object is of this kind."""
        return (
            (self.kind == kind or globs.matches(self.kind, kind))
            and (self.group == "*" or globs.matches(self.group, group))
            and (self.version == "*" or globs.matches(self.version, workload.version))
            and (not self.subresource or globs.matches(self.subresource, workload.subresource))
        )

    @property
    def is_pod(self) -> bool:
        """Whether it is what autogen looks for: Pods by their plain name."""
        return self.kind == "Pod" and not self.subresource


class LabelSelector(labels.LabelSelector):
    """Kubernetes' selector, but keys and values of `matchLabels` may have wildcards."""

    __slots__ = ()

    def fits(self, found: Mapping[str, str]) -> bool:
        """Whether these labels are selected."""
        return all(_has(found, key, value) for key, value in self.labels) and self.expressed(found)


class Subject(NamedTuple):
    """A user, a group or a service account; the name may have wildcards."""

    kind: str
    name: str
    namespace: str

    def fits(self, user: User) -> bool:
        """Whether it is who asks."""
        if self.kind == "Group":
            return any(globs.matches(self.name, group) for group in user.groups)
        name = f"system:serviceaccount:{self.namespace}:{self.name}" if self.kind == "ServiceAccount" else self.name
        return globs.matches(name, user.name)


class Filter(NamedTuple):
    """One block: everything that it names must hold."""

    kinds: tuple[Kind, ...]
    names: tuple[str, ...]
    namespaces: tuple[str, ...]
    annotations: tuple[tuple[str, str], ...]
    operations: tuple[str, ...]
    selector: LabelSelector | None
    namespace_selector: LabelSelector | None
    roles: tuple[str, ...]
    cluster_roles: tuple[str, ...]
    subjects: tuple[Subject, ...]

    def holds(self, workload: Workload, kind: str, group: str) -> bool | None:
        """`kind` and `group`: what the object counts as (`Pod` for a controller's template)."""
        if self.kinds and not any(each.fits(workload, kind, group) for each in self.kinds):
            return False
        if self.names and not globs.any_matches(self.names, workload.name):
            return False
        if self.namespaces and not globs.any_matches(self.namespaces, workload.namespace):
            return False
        if self.operations and workload.operation not in self.operations:
            return False
        if not all(_has(workload.annotations, key, value) for key, value in self.annotations):
            return False
        if self.selector is not None and not self.selector.fits(workload.labels):
            return False
        namespace = self._namespace(workload)
        user = self._user(workload.user) if namespace is not False else False
        return False if user is False else None if namespace is None or user is None else True

    def _namespace(self, workload: Workload) -> bool | None:
        if self.namespace_selector is None:
            return True
        if workload.namespace_labels is None:
            return None
        return self.namespace_selector.fits(workload.namespace_labels)

    def _user(self, user: User | None) -> bool | None:
        if not self.roles and not self.cluster_roles and not self.subjects:
            return True
        if user is None:
            return None
        return (
            (not self.roles or any(globs.any_matches(self.roles, role) for role in user.roles))
            and (not self.cluster_roles or any(globs.any_matches(self.cluster_roles, role) for role in user.cluster_roles))
            and (not self.subjects or any(subject.fits(user) for subject in self.subjects))
        )  # fmt: skip

    @property
    def is_narrow(self) -> bool:
        """Whether it names single objects, which keeps it from holding for controllers."""
        return bool(self.names or self.annotations or self.selector is not None)


class Block(NamedTuple):
    """`any` or `all` of some filters."""

    every: bool
    filters: tuple[Filter, ...]

    def holds(self, workload: Workload, kind: str, group: str) -> bool | None:
        """Whether the object is meant."""
        asked = [lambda each=each: each.holds(workload, kind, group) for each in self.filters]
        return _all(asked) if self.every else _any(asked)


class Match(NamedTuple):
    """What a rule is about: a `Selector`."""

    match: Block
    exclude: Block | None
    controllers: tuple[str, ...]
    """The kinds that stand for the Pods they make (autogen)."""

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when who asks, or the namespace's labels, would decide and are not known."""
        found = self._holds(workload, workload.kind, workload.group)
        if found is not True and (self.for_template(workload) or _is_file(workload)):
            found = _any([lambda: found, lambda: self._holds(workload, "Pod", "")])
        if found is None:
            raise PolicyUndecidedError(
                f"whether the rule is about {workload.title} cannot be said: it depends on who asks, or on labels of the "
                "namespace, and that is not known",
                hint="give the Namespace among the manifests; rules about users can be judged at admission only",
            )
        return found

    def for_template(self, workload: Workload) -> bool:
        """Whether the object stands for the Pods that it makes."""
        return workload.kind in self.controllers and CONTROLLERS.get(workload.kind) == workload.group

    def _holds(self, workload: Workload, kind: str, group: str) -> bool | None:
        return _all(
            [
                lambda: self.match.holds(workload, kind, group),
                lambda: self.exclude is None or _not(self.exclude.holds(workload, kind, group)),
            ]
        )


def _is_file(workload: Workload) -> bool:
    """Whether it is no object of a cluster: what a Compose file or a Dockerfile runs is held to the rules for Pods."""
    return not workload.resource and workload.kind in {"Compose", "Dockerfile"}


class Namespaces(NamedTuple):
    """The namespaces of an override: a `Selector`."""

    names: tuple[str, ...]
    selector: LabelSelector | None

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when the namespace's labels are not known."""
        if self.names and not globs.any_matches(self.names, workload.namespace):
            return False
        if self.selector is None:
            return bool(self.names)
        if workload.namespace_labels is None:
            raise PolicyUndecidedError(f"the labels of the namespace {workload.namespace!r} are not known")
        return self.selector.fits(workload.namespace_labels)


def read(rule: Fields, *, autogen: str | None) -> Match:
    """`match` and `exclude` of a rule. `autogen`: the policy's annotation, None where it has none."""
    match = _block(rule, "match")
    if match is None:
        rule.missing("match")
    exclude = _block(rule, "exclude")
    filters = (*match.filters, *(exclude.filters if exclude is not None else ()))
    named = [bool(each.kinds) for each in match.filters]
    if not (any(named) if match.every else all(named)):
        raise PolicyInvalidError(f"{rule.at('match')} has a block without kinds", hint="resources: {kinds: [Pod]}")
    return Match(match, exclude, _controllers(match, filters, autogen, rule.at("match")))


def _controllers(match: Block, filters: Iterable[Filter], autogen: str | None, where: str) -> tuple[str, ...]:
    if autogen is not None:
        names = [name.strip() for name in autogen.split(",")]
        if names == ["none"]:
            return ()
        for name in names:
            if name not in CONTROLLERS and name != "all":
                raise PolicyInvalidError(
                    f"{where}: the annotation {AUTOGEN} names {name!r}",
                    hint=f"none, or some of: {', '.join(CONTROLLERS)}",
                )
        wanted = tuple(CONTROLLERS) if "all" in names else tuple(names)
    else:
        wanted = tuple(CONTROLLERS)
    kinds = [kind for each in match.filters for kind in each.kinds]
    pods = [kind for kind in kinds if kind.is_pod or (kind.kind == "Pod" and kind.subresource)]
    if len(pods) != len(kinds) or any(each.is_narrow for each in filters):
        return ()
    return wanted


_IN_FILTER = dict.fromkeys(
    ("kinds", "name", "names", "namespaces", "annotations", "operations", "selector", "namespaceSelector"), "resources"
)


def _block(rule: Fields, name: str) -> Block | None:
    fields = rule.fields(name, elsewhere=_IN_FILTER)
    if fields is None:
        return None
    anys, alls = fields.has("any"), fields.has("all")
    blocks = fields.objects("any", elsewhere=_IN_FILTER) + fields.objects("all", elsewhere=_IN_FILTER)
    if anys and alls:
        raise PolicyInvalidError(f"{fields.where} has any and all: one of them")
    if anys or alls:
        filters = tuple(each.done(_filter(each)) for each in blocks)
        fields.end()
    else:
        filters = (fields.done(_filter(fields)),)
    if not filters:
        raise PolicyInvalidError(
            f"{fields.where} is empty, and so about nothing", hint="any: [{resources: {kinds: [Pod]}}]"
        )
    empty = Filter((), (), (), (), (), None, None, (), (), ())
    if any(each == empty for each in filters):
        raise PolicyInvalidError(f"{fields.where} has an empty block", hint="resources: {kinds: [Pod]}")
    return Block(alls, filters)


def _filter(fields: Fields) -> Filter:
    resources = fields.fields("resources")
    roles, cluster_roles = fields.texts("roles"), fields.texts("clusterRoles")
    subjects = tuple(_subject(each) for each in fields.objects("subjects"))
    if resources is None:
        return Filter((), (), (), (), (), None, None, roles, cluster_roles, subjects)
    name = resources.text("name")
    operations = resources.texts("operations")
    for each in operations:
        if each not in _OPERATIONS:
            raise PolicyInvalidError(f"{resources.at('operations')} has {each!r}", hint=f"of: {', '.join(_OPERATIONS)}")
    kinds = resources.texts("kinds")
    return resources.done(
        Filter(
            tuple(kind_of(each, resources.at("kinds")) for each in kinds),
            (*((name,) if name is not None else ()), *resources.texts("names")),
            resources.texts("namespaces"),
            resources.text_map("annotations"),
            operations,
            label_selector(resources, "selector"),
            label_selector(resources, "namespaceSelector"),
            roles,
            cluster_roles,
            subjects,
        )
    )


def kind_of(text: str, where: str) -> Kind:
    """`Pod`, `v1/Pod`, `apps/v1/Deployment`, `*/Pod`, `Pod/ephemeralcontainers`, `v1/Pod.status`. Raises `PolicyInvalidError`."""
    parts = text.strip().split("/")
    if "." in parts[-1]:
        last, _, subresource = parts[-1].partition(".")
        parts = [*parts[:-1], last, subresource]
    if not all(parts) or len(parts) > 4:
        raise PolicyInvalidError(f"{where}: {text!r} is no kind", hint="Kind, group/version/Kind, Kind/subresource")
    if len(parts) == 1:
        return Kind("*", "*", parts[0], "")
    if len(parts) == 2:
        if _VERSION.fullmatch(parts[0]):
            return Kind("*", parts[0], parts[1], "")
        return Kind("*", "*", parts[0], parts[1])
    if len(parts) == 3:
        if _VERSION.fullmatch(parts[1]) and parts[1] != "*":
            return Kind(parts[0], parts[1], parts[2], "")
        if _VERSION.fullmatch(parts[0]) and parts[0] != "*":
            return Kind("*", parts[0], parts[1], parts[2])
        if parts[0] == "*" and parts[1] != "*":
            return Kind("*", "*", parts[1], parts[2])
        return Kind(parts[0], parts[1], parts[2], "")
    return Kind(parts[0], parts[1], parts[2], parts[3])


def label_selector(fields: Fields, name: str) -> LabelSelector | None:
    """The selector in a field; None when absent. Raises `PolicyInvalidError`."""
    return labels.read(fields, name, LabelSelector)


def _subject(fields: Fields) -> Subject:
    kind, name = fields.choice("kind", *_SUBJECTS), fields.required_text("name")
    namespace = fields.text("namespace")
    fields.ignored("apiGroup")
    if kind is None:
        fields.missing("kind")
    if kind == "ServiceAccount" and namespace is None:
        fields.missing("namespace")
    return fields.done(Subject(kind, name, namespace or ""))


def _has(found: Mapping[str, str], key: str, value: str) -> bool:
    """Whether one of the entries fits a pattern of keys and a pattern of values."""
    if not globs.is_wild(key):
        return key in found and globs.matches(value, found[key])
    return any(globs.matches(key, name) and globs.matches(value, text) for name, text in found.items())


def _not(found: bool | None) -> bool | None:  # noqa: FBT001 - one of three answers
    return None if found is None else not found


def _all(questions: Iterable[Callable[[], bool | None]]) -> bool | None:
    unknown = False
    for ask in questions:
        found = ask()
        if found is False:
            return False
        unknown |= found is None
    return None if unknown else True


def _any(questions: Iterable[Callable[[], bool | None]]) -> bool | None:
    unknown = False
    for ask in questions:
        found = ask()
        if found is True:
            return True
        unknown |= found is None
    return None if unknown else False
