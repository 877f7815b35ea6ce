"""An object under review as Kyverno's variables see it: `request`, `images`, `serviceAccountName`. Pure.

What is not known (who asks, in a file of manifests) is no empty text: whoever looks at it has no answer.

Source: Kyverno, pkg/engine/context; the policy reference, "Variables from admission review requests", "Variables from images".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import InvalidReferenceError, PolicyUndecidedError
from sealgate.oci.reference import HUB
from sealgate.oci.reference import parse as parse_reference
from sealgate.policy.kyverno.expression import EvaluationError, Unknown

if TYPE_CHECKING:
    from sealgate.policy.kyverno.conditions import Block
    from sealgate.policy.kyverno.match import Match
    from sealgate.policy.kyverno.variables import Scope
    from sealgate.workloads.workload import Workload

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_ACCOUNT = "system:serviceaccount:"


class Applies(NamedTuple):
    """`match`, `exclude` and `preconditions` of a rule: a `Selector`."""

    match: Match
    preconditions: Block | None
    scope: Scope

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when the preconditions have no answer."""
        if not self.match.selects(workload):
            return False
        if self.preconditions is None:
            return True
        data = self.scope.data(known(workload, self.match.for_template(workload)), None)
        try:
            return self.preconditions.holds(data, None, missing="")
        except EvaluationError as error:
            raise PolicyUndecidedError(f"a precondition for {workload.title} has no answer: {error}") from error


def known(workload: Workload, template: bool) -> dict[str, Any]:  # noqa: FBT001 - what the rule said of it
    """Every name that an object gives. `template`: the Pod that it makes stands in its place (autogen)."""
    document = pod_of(workload.kind, workload.document) if template else workload.document
    request: dict[str, Any] = {
        "object": document,
        "oldObject": workload.old,
        "operation": workload.operation,
        "namespace": workload.namespace,
        "name": workload.name,
        "subResource": workload.subresource,
        "kind": {"group": workload.group, "version": workload.version, "kind": workload.kind},
    }
    user = workload.user
    found: dict[str, Any] = {"request": request, "images": images(document)}
    if user is None:
        request |= {name: Unknown(f"request.{name}") for name in ("userInfo", "roles", "clusterRoles", "uid", "dryRun")}
        return found | {name: Unknown(name) for name in ("serviceAccountName", "serviceAccountNamespace")}
    request |= {
        "userInfo": {"username": user.name, "groups": list(user.groups)},
        "roles": list(user.roles),
        "clusterRoles": list(user.cluster_roles),
        "uid": Unknown("request.uid"),
        "dryRun": Unknown("request.dryRun"),
    }
    namespace, _, name = (
        user.name.removeprefix(_ACCOUNT).partition(":") if user.name.startswith(_ACCOUNT) else ("", "", "")
    )
    return found | {"serviceAccountName": name, "serviceAccountNamespace": namespace}


def pod_of(kind: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the metadata and spec of the Pods that it makes."""
    steps = ("spec", "jobTemplate", "spec", "template") if kind == "CronJob" else ("spec", "template")
    template: Any = document
    for step in steps:
        template = template.get(step) if isinstance(template, Mapping) else None
    if not isinstance(template, Mapping):
        return document
    return {**document, "metadata": template.get("metadata") or {}, "spec": template.get("spec") or {}}


def images(document: Mapping[str, Any]) -> dict[str, Any]:
    """`images.containers.NAME.registry` and so on, of a Pod."""
    spec = document.get("spec")
    found: dict[str, Any] = {}
    for field in _CONTAINERS:
        containers = spec.get(field) if isinstance(spec, Mapping) else None
        named: dict[str, Any] = {}
        for container in containers if isinstance(containers, list) else []:
            if isinstance(container, Mapping) and isinstance(container.get("name"), str):
                named[container["name"]] = image(container.get("image"))
        if named:
            found[field] = named
    return found


def image(text: Any) -> Any:
    """The parts of an image's name; unknown where it is none."""
    try:
        reference = parse_reference(text if isinstance(text, str) else "")
    except InvalidReferenceError:
        return Unknown("what is no image's name")
    host, _, path = reference.name.partition("/")
    digest = str(reference.digest) if reference.digest is not None else ""
    tag = reference.tag or ("" if digest else "latest")
    registry = "docker.io" if host == HUB else host
    end = f"@{digest}" if digest else f":{tag}"
    return {
        "registry": registry,
        "path": path,
        "name": path.rpartition("/")[2],
        "tag": tag,
        "digest": digest,
        "reference": f"{registry}/{path}{end}",
        "referenceWithTag": f"{registry}/{path}:{tag}",
    }
