"""Which workloads a policy of our own is about: everything that `match` says must hold. Pure.

A pod's template counts as the pod it makes: kinds may name either, and none means every kind that runs images.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError
from sealgate.policy import labels
from sealgate.policy.labels import LabelSelector

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields
    from sealgate.workloads.workload import Workload

OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_NAMESPACE = re.compile(r"[a-z0-9*](?:[a-z0-9*-]{0,61}[a-z0-9*])?")
_KIND = re.compile(r"(?:(?P<group>[a-z0-9.-]+)/)?(?P<kind>[A-Z][A-Za-z0-9]*)")
_BUILT_IN = {"Pod": "", "ReplicationController": "", "PodTemplate": ""} | {
    "Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps", "DaemonSet": "apps",
    "Job": "batch", "CronJob": "batch",
}  # fmt: skip


class Selection(NamedTuple):
    """A `Selector`."""

    namespaces: tuple[str, ...] = ()
    """Names; `*` is any run of characters. Empty: every one."""
    namespace_selector: LabelSelector | None = None
    selector: LabelSelector | None = None
    """Of the object's own labels."""
    kinds: tuple[tuple[str, str], ...] = ()
    """(group, kind)."""
    operations: tuple[str, ...] = ()

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when the labels of the namespace would decide and are not known (P09)."""
        if self.kinds and (workload.group, workload.kind) not in self.kinds:
            return False
        if self.operations and workload.operation not in self.operations:
            return False
        if self.namespaces and not any(_named(each, workload.namespace) for each in self.namespaces):
            return False
        if self.selector is not None and not self.selector.fits(workload.labels):
            return False
        if self.namespace_selector is None:
            return True
        if workload.namespace_labels is None:
            raise PolicyUndecidedError(
                f"whether a policy is about {workload.title} cannot be said: the labels of the namespace "
                f"{workload.namespace!r} are not known",
                hint="give the Namespace among the manifests",
            )
        return self.namespace_selector.fits(workload.namespace_labels)


def _named(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None


def read(fields: Fields | None) -> Selection:
    """`match`; None: everything. Raises `PolicyInvalidError`."""
    if fields is None:
        return Selection()
    namespaces = fields.texts("namespaces")
    for each in namespaces:
        if _NAMESPACE.fullmatch(each) is None or each.count("*") > 4:
            raise PolicyInvalidError(f"{fields.at('namespaces')}: {each!r} is no name of a namespace")
    operations = fields.texts("operations")
    for each in operations:
        if each not in OPERATIONS:
            raise PolicyInvalidError(f"{fields.at('operations')} has {each!r}", hint=f"of: {', '.join(OPERATIONS)}")
    kinds = tuple(_kind(each, fields.at("kinds")) for each in fields.texts("kinds"))
    found = Selection(
        namespaces,
        labels.read(fields, "namespaceSelector", LabelSelector),
        labels.read(fields, "selector", LabelSelector),
        kinds,
        operations,
    )
    if found == Selection():
        raise PolicyInvalidError(f"{fields.where} is empty", hint="leave it out: then the policy is about everything")
    return fields.done(found)


def _kind(text: str, where: str) -> tuple[str, str]:
    found = _KIND.fullmatch(text)
    if found is None:
        raise PolicyInvalidError(f"{where}: {text!r} is no kind", hint="Pod, apps/Deployment, argoproj.io/Rollout")
    group, kind = found["group"], found["kind"]
    if group is None and kind not in _BUILT_IN:
        raise PolicyInvalidError(f"{where}: of which API group is {kind}?", hint=f"GROUP/{kind}")
    return (group if group is not None else _BUILT_IN[kind]), kind
