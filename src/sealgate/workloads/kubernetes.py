"""Every image that the objects of a Kubernetes manifest run or mount. Pure.

Of the kinds that Kubernetes itself runs every place of an image is known, and one that cannot be read is refused. Objects
of other kinds (Argo Rollouts, Knative Services, …) are searched for lists of containers by their form: what is found there
is verified too, what looks otherwise cannot be.

Source: Kubernetes API reference, PodSpec: containers, initContainers, ephemeralContainers, volumes[].image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, WorkloadInvalidError
from sealgate.workloads import yamldocs

_POD_SPEC = ("spec",)
_TEMPLATE = ("spec", "template", "spec")
_PLACES = {
    "Pod": _POD_SPEC,
    "PodTemplate": ("template", "spec"),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_KNOWN = frozenset({"spec", "template", "jobTemplate", "volumes", "image", "reference", "items", "kind", *_CONTAINERS})
_FOLDED = {name.casefold(): name for name in _KNOWN}


class FoundImage(NamedTuple):
    """One image and where it stands."""

    image: str
    where: str
    """`Deployment/web: containers[0].image`."""


class FoundImages(NamedTuple):
    """What a manifest runs."""

    images: tuple[FoundImage, ...]
    searched: tuple[str, ...]
    """Objects of kinds that are not known here, which were searched by form."""

    def names(self) -> list[str]:
        """Each image once, in order."""
        return list(dict.fromkeys(found.image for found in self.images))


def find(raw: bytes, *, limit: int = limits.WORKLOAD_BYTES, what: str = "the manifest") -> FoundImages:
    """Find the images in a manifest: a YAML stream or JSON.

    Raises `WorkloadInvalidError` (an image that is no string, a known object of another shape), `JsonAmbiguousError`,
    `LimitError`.
    """
    finder = _Finder()
    try:
        for document in yamldocs.parse(raw, limit=limit, what=what):
            finder.read(document, None)
    except WorkloadInvalidError as error:
        prefix = "" if error.message.startswith(what) else f"{what}: "
        raise WorkloadInvalidError(f"{prefix}{error.message}", hint=error.hint) from None
    return FoundImages(tuple(finder.images), tuple(dict.fromkeys(finder.searched)))


class _Finder:
    def __init__(self) -> None:
        self.images: list[FoundImage] = []
        self.searched: list[str] = []
        self._steps = 0

    def _step(self) -> None:
        """Aliases can make a small file endless."""
        self._steps += 1
        if self._steps > limits.WORKLOAD_NODES:
            raise LimitError(f"the manifest has more than {limits.WORKLOAD_NODES} parts")

    def read(self, value: object, kind_of_list: str | None, depth: int = 0) -> None:
        """One object, or a list of objects."""
        self._step()
        if depth > limits.JSON_DEPTH:
            raise LimitError(f"lists in lists, deeper than {limits.JSON_DEPTH}")
        found = _mapping(value, "a document")
        kind = found.get("kind", kind_of_list)
        if not isinstance(kind, str) or not kind:
            raise WorkloadInvalidError("an object has no kind")
        name = _name(found, kind)
        if "items" in found and kind.endswith("List"):
            items = found["items"]
            if items is None:
                return
            single = kind.removesuffix("List") or None
            for item in _list(items, f"{name}: items"):
                self.read(item, single, depth + 1)
            return
        place = _PLACES.get(kind)
        if place is None:
            before = len(self.images)
            self._search(found, name, 0)
            if len(self.images) > before:
                self.searched.append(name)
            return
        spec = found
        where = ""
        for step in place:
            where = f"{where}.{step}" if where else step
            if step not in spec:
                raise WorkloadInvalidError(f"{name} has no {where}")
            spec = _mapping(spec[step], f"{name}: {where}")
        self._pod(spec, name)

    def _pod(self, spec: dict[str, Any], name: str) -> None:
        if not spec.get("containers"):
            raise WorkloadInvalidError(f"{name} has no containers")
        for field in _CONTAINERS:
            containers = spec.get(field)
            if containers is None:
                continue
            for position, container in enumerate(_list(containers, f"{name}: {field}")):
                where = f"{field}[{position}]"
                self._add(_mapping(container, f"{name}: {where}").get("image"), f"{name}: {where}.image")
        volumes = spec.get("volumes")
        for position, volume in enumerate(_list(volumes, f"{name}: volumes") if volumes is not None else []):
            where = f"volumes[{position}].image"
            source = _mapping(volume, f"{name}: volumes[{position}]").get("image")
            if source is not None:
                self._add(_mapping(source, f"{name}: {where}").get("reference"), f"{name}: {where}.reference")

    def _add(self, image: object, where: str) -> None:
        self._step()
        if not isinstance(image, str) or not image.strip():
            raise WorkloadInvalidError(
                f"{where} is not a string with a name in it", hint='quote it: image: "registry/repository:1.10"'
            )
        if image != image.strip():
            raise WorkloadInvalidError(f"{where} begins or ends with white space")
        self.images.append(FoundImage(image, where))

    def _search(self, value: object, where: str, depth: int) -> None:
        """Lists of containers, and image volumes, in an object of an unknown kind."""
        self._step()
        if depth > limits.JSON_DEPTH:
            raise LimitError(f"{where.partition(':')[0]} is nested deeper than {limits.JSON_DEPTH}")
        if isinstance(value, list):
            for position, item in enumerate(value):
                self._search(item, f"{where}[{position}]", depth + 1)
        elif isinstance(value, dict):
            for key, item in value.items():
                below = f"{where}.{key}" if ":" in where else f"{where}: {key}"
                field = "reference" if key == "volumes" else "image"
                if key in _CONTAINERS or key == "volumes":
                    self._search_list(item, below, field)
                self._search(item, below, depth + 1)

    def _search_list(self, value: object, where: str, field: str) -> None:
        for position, item in enumerate(value if isinstance(value, list) else []):
            place = f"{where}[{position}]"
            source = item.get("image") if isinstance(item, dict) and field == "reference" else item
            if field == "reference" and isinstance(source, dict):
                place += ".image"
            if isinstance(source, dict) and isinstance(image := source.get(field), str) and image.strip():
                self._add(image.strip(), f"{place}.{field}")


def _name(found: dict[str, Any], kind: str) -> str:
    metadata = found.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind}/{name}" if isinstance(name, str) else kind


def _mapping(value: object, what: str) -> dict[str, Any]:
    """A mapping without a key that is a known one but for its case: Kubernetes would not see it, an older client would."""
    if not isinstance(value, dict):
        raise WorkloadInvalidError(f"{what} is not a mapping")
    for key in value:
        if not isinstance(key, str):
            raise WorkloadInvalidError(f"{what} has a key that is not a string: {ascii(key)[:80]}")
        known = _FOLDED.get(key.casefold(), key)
        if known != key:
            raise WorkloadInvalidError(f"{what} has a key {ascii(key)[:80]}, which is {known} in other letters")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise WorkloadInvalidError(f"{what} is not a list")
    return value
