"""From the bytes of an AdmissionReview to what is to be judged. Pure.

What an object says of itself (annotations, owners, replicas, a deletion mark) reduces nothing: an image is left out of
checking only where the same text stands at the same place of the object before an UPDATE, and that is said. Which
subresources carry images, and which run none, stands in a table; what is in neither is refused.

Source: Kubernetes, admission.k8s.io/v1 AdmissionReview; "Dynamic Admission Control", request and response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import ReviewInvalidError, SealgateError
from sealgate.policy.evaluate import Placed
from sealgate.workloads import kubernetes
from sealgate.workloads.workload import Operation, User, Workload

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_KINDS: dict[tuple[str, str], str] = {
    ("", "pods"): "Pod",
    ("", "podtemplates"): "PodTemplate",
    ("", "replicationcontrollers"): "ReplicationController",
    ("apps", "deployments"): "Deployment",
    ("apps", "replicasets"): "ReplicaSet",
    ("apps", "daemonsets"): "DaemonSet",
    ("apps", "statefulsets"): "StatefulSet",
    ("extensions", "deployments"): "Deployment",
    ("extensions", "replicasets"): "ReplicaSet",
    ("extensions", "daemonsets"): "DaemonSet",
    ("batch", "jobs"): "Job",
    ("batch", "cronjobs"): "CronJob",
}
"""The resources whose images' places are known, by API group and plural, and the kind of their objects (P17)."""
_WHOLE = frozenset({"", "status", "resize", "ephemeralcontainers"})
"""Subresources that carry the whole object: whatever they are meant to change, all its images are looked at (K04)."""
_OLD_EPHEMERAL = ("", "EphemeralContainers")
"""What `pods/ephemeralcontainers` carried before Kubernetes 1.22: the containers alone."""
_RUN_NOTHING: dict[tuple[str, str], frozenset[str]] = {
    ("autoscaling", "Scale"): frozenset({"scale"}),
    ("extensions", "Scale"): frozenset({"scale"}),
    ("", "Binding"): frozenset({"binding", ""}),
    ("policy", "Eviction"): frozenset({"eviction"}),
    ("", "PodExecOptions"): frozenset({"exec"}),
    ("", "PodAttachOptions"): frozenset({"attach"}),
    ("", "PodPortForwardOptions"): frozenset({"portforward"}),
    ("", "PodProxyOptions"): frozenset({"proxy"}),
}
"""Kinds that name no image, by API group and kind, and the subresources that they come by."""
_OPERATIONS: frozenset[str] = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})


class Review(NamedTuple):
    """One request of the API server."""

    uid: str
    workload: Workload
    images: tuple[Placed, ...]
    """What is to be judged."""
    unchanged: tuple[Placed, ...]
    """What stands unchanged at its place of the object before the UPDATE: admitted, and said."""
    known: bool
    """Whether the places of its images are known; else it was searched by form."""
    dry_run: bool

    @property
    def is_pod(self) -> bool:
        """Whether it is a Pod itself, not something that makes Pods."""
        return self.workload.kind == "Pod" and not self.workload.group


def uid_of(raw: bytes) -> str | None:
    """The uid of a review that could not be read; None where it has none that could be echoed."""
    import json

    if len(raw) > limits.REVIEW_BYTES:
        return None
    try:
        document = json.loads(raw)
        return _uid(document["request"]["uid"])
    except (ValueError, LookupError, TypeError, RecursionError, SealgateError):
        return None


def read(raw: bytes) -> Review:
    """Read a review. Raises `ReviewInvalidError`, `WorkloadInvalidError`, `JsonInvalidError`, `JsonAmbiguousError`, `LimitError`."""
    document = strictjson.parse(raw, limit=limits.REVIEW_BYTES, what="the review", cased=True)
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise ReviewInvalidError(
            f"not an {KIND} of {API_VERSION}", hint="admissionReviewVersions: [v1] is what is answered here"
        )
    request = _mapping(document.get("request"), "request")
    uid = _uid(request.get("uid"))
    operation = request.get("operation")
    if not isinstance(operation, str) or operation not in _OPERATIONS:
        raise ReviewInvalidError(f"request.operation is {ascii(operation)[:60]}")
    kind = _triple(request.get("kind"), "request.kind", "kind")
    resource = _triple(request.get("resource"), "request.resource", "resource")
    subresource = _text(request.get("subResource"), "request.subResource")
    workload = _workload(request, kind, resource, subresource, operation)
    dry_run = request.get("dryRun", False)
    if dry_run is not None and not isinstance(dry_run, bool):
        raise ReviewInvalidError("request.dryRun is neither true nor false")
    review = Review(uid, workload, (), (), known=True, dry_run=bool(dry_run))
    if operation == "DELETE":
        return review  # what is deleted runs nothing; to block it would lock the cluster (K21)
    if subresource in _RUN_NOTHING.get(kind[:2], ()):
        return review
    if operation == "CONNECT":
        raise ReviewInvalidError(f"CONNECT to {resource[1]}/{subresource} is not known here")
    _check_kind(kind, resource, subresource)
    found = _found(workload.document, kind[:2], "request.object")
    images, unchanged = _sorted(_places(found), _before(workload.old, kind[:2]) if operation == "UPDATE" else {})
    if len(images) > limits.REVIEW_IMAGES:
        raise ReviewInvalidError(f"more than {limits.REVIEW_IMAGES} images in one object")
    return review._replace(images=images, unchanged=unchanged, known=found.known)


def _workload(
    request: dict[str, Any],
    kind: tuple[str, str, str],
    resource: tuple[str, str, str],
    subresource: str,
    operation: str,
) -> Workload:
    group, name, version = kind
    document = request.get("object")
    old = request.get("oldObject")
    if old is not None and not isinstance(old, dict):
        raise ReviewInvalidError("request.oldObject is not an object")
    if operation == "DELETE":
        document = old if document is None else document
        document = {} if document is None else document
    if not isinstance(document, dict):
        raise ReviewInvalidError("request.object is not an object")
    if operation != "DELETE":
        _check_object(document, kind, "request.object")
        if old is not None:
            _check_object(old, kind, "request.oldObject")
    namespace = _text(request.get("namespace"), "request.namespace")
    said = _part(document.get("metadata"), "namespace")
    if said and said != namespace:
        raise ReviewInvalidError("request.object says another namespace than the request")
    base = kubernetes.workload_of(document, "Pod" if (group, name) == _OLD_EPHEMERAL else name)
    user = request.get("userInfo")
    return base._replace(
        group=group,
        version=version,
        resource=resource[1],
        namespace=namespace,
        name=_text(request.get("name"), "request.name") or base.name,
        old=old,
        operation=_operation(operation),
        subresource=subresource,
        user=_user(user) if user is not None else None,
    )


def _operation(text: str) -> Operation:
    return (
        "CREATE" if text == "CREATE" else "UPDATE" if text == "UPDATE" else "DELETE" if text == "DELETE" else "CONNECT"
    )


def _check_object(document: dict[str, Any], kind: tuple[str, str, str], what: str) -> None:
    """The object is of the kind that the request says: what a policy matches is what is looked at (P17)."""
    group, name, version = kind
    said = f"{group}/{version}" if group else version
    if document.get("kind") != name or document.get("apiVersion") != said:
        raise ReviewInvalidError(f"{what} is not a {name} of {said}, as the request says")


def _check_kind(kind: tuple[str, str, str], resource: tuple[str, str, str], subresource: str) -> None:
    """A resource whose images are known has the kind that belongs to it, and comes by a subresource that is known."""
    group, name, _ = kind
    expected = _KINDS.get(resource[:2])
    if expected is None:
        if name in _KINDS.values() and any(known[0] == group and _KINDS[known] == name for known in _KINDS):
            raise ReviewInvalidError(f"a {name} comes as {resource[1]}, which is not its resource")
        return
    if subresource not in _WHOLE:
        raise ReviewInvalidError(
            f"{resource[1]}/{subresource} is not known here", hint="take it out of the webhook's rules"
        )
    if (group, name) == _OLD_EPHEMERAL and subresource == "ephemeralcontainers" and expected == "Pod":
        return
    if name != expected or group != resource[0]:
        raise ReviewInvalidError(f"{resource[1]} are of kind {expected}, not {name}")


def _found(document: Mapping[str, Any], kind: tuple[str, str], what: str) -> kubernetes.FoundObject:
    found = kubernetes.read_documents([dict(document)], what=what)
    if len(found) != 1 or found[0].pointer:
        raise ReviewInvalidError(f"{what} is a list of objects")
    return found[0]._replace(known=True) if kind == _OLD_EPHEMERAL else found[0]


def _places(found: kubernetes.FoundObject) -> list[Placed]:
    return [Placed(each.image, each.where.partition(": ")[2] or each.where, each.pointer) for each in found.images]


def _before(old: Mapping[str, Any] | None, kind: tuple[str, str]) -> dict[str, str]:
    """What stood where before. An old object that cannot be read excuses nothing."""
    if old is None:
        return {}
    try:
        return {each.pointer: each.image for each in _places(_found(old, kind, "request.oldObject"))}
    except SealgateError:
        return {}


def _sorted(found: list[Placed], before: dict[str, str]) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    images = tuple(each for each in found if before.get(each.pointer) != each.image)
    unchanged = tuple(each for each in found if before.get(each.pointer) == each.image)
    return images, unchanged


def _user(value: object) -> User:
    info = _mapping(value, "request.userInfo")
    groups = info.get("groups") or []
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise ReviewInvalidError("request.userInfo.groups is not a list of names")
    return User(_text(info.get("username"), "request.userInfo.username"), tuple(groups))


def _triple(value: object, what: str, last: str) -> tuple[str, str, str]:
    """(group, name, version) of a GroupVersionKind or a GroupVersionResource."""
    found = _mapping(value, what)
    group, version, name = (_text(found.get(each), f"{what}.{each}") for each in ("group", "version", last))
    if not version or not name:
        raise ReviewInvalidError(f"{what} has no version or no {last}")
    return group, name, version


def _uid(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 128 or not value.isascii() or not value.isprintable():
        raise ReviewInvalidError("request.uid is not a plain string")
    return value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReviewInvalidError(f"{what} is not an object")
    return value


def _text(value: object, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ReviewInvalidError(f"{what} is not a string")
    return value


def _part(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
