"""Every image that the objects of a Kubernetes manifest run or mount. Pure.

Of the kinds that Kubernetes itself runs every place of an image is known, and one that cannot be read is refused. Objects
of other kinds (Argo Rollouts, Knative Services, …) are searched for lists of containers by their form: what is found there
is verified too, what looks otherwise cannot be.

Source: Kubernetes API reference, PodSpec: containers, initContainers, ephemeralContainers, volumes[].image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, WorkloadInvalidError
from sealgate.workloads import yamldocs
from sealgate.workloads.workload import Workload

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
_GROUPS = {
    "Pod": {""}, "PodTemplate": {""}, "ReplicationController": {""},
    "Deployment": {"apps", "extensions"}, "ReplicaSet": {"apps", "extensions"}, "DaemonSet": {"apps", "extensions"},
    "StatefulSet": {"apps"}, "Job": {"batch"}, "CronJob": {"batch"},
}  # fmt: skip
"""The API groups whose objects these are; others may call theirs so too, and put their images elsewhere (P17)."""
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_KNOWN = frozenset({"spec", "template", "jobTemplate", "volumes", "image", "reference", "items", "kind", *_CONTAINERS})
_FOLDED = {name.casefold(): name for name in _KNOWN}


class FoundImage(NamedTuple):
    """One image and where it stands."""

    image: str
    where: str
    """`Deployment/web: containers[0].image`."""
    pointer: str = ""
    """Where in the object (RFC 6901): `/spec/containers/0/image`."""


class FoundObject(NamedTuple):
    """One object of a manifest and the images that it runs or mounts."""

    workload: Workload
    images: tuple[FoundImage, ...]
    known: bool
    """False: its kind is not known here, and it was searched by form."""
    document: int
    """Which document of the stream it stands in, from 0; empty ones are not counted."""
    pointer: str
    """Where in that document: `""`, or `/items/3`."""


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
    objects = read(raw, limit=limit, what=what)
    images = tuple(image for each in objects for image in each.images)
    searched = [
        _name(dict(each.workload.document), each.workload.kind) for each in objects if not each.known and each.images
    ]
    return FoundImages(images, tuple(dict.fromkeys(searched)))


def read(raw: bytes, *, limit: int = limits.WORKLOAD_BYTES, what: str = "the manifest") -> tuple[FoundObject, ...]:
    """Every object of a manifest, with its images. Raises as `find`."""
    return read_documents(yamldocs.parse(raw, limit=limit, what=what), what=what)


def read_documents(documents: list[Any], *, what: str) -> tuple[FoundObject, ...]:
    """Every object of parsed documents, with its images. Raises as `find`."""
    finder = _Finder()
    try:
        for number, document in enumerate(documents):
            finder.read(document, None, document=number)
    except WorkloadInvalidError as error:
        prefix = "" if error.message.startswith(what) else f"{what}: "
        raise WorkloadInvalidError(f"{prefix}{error.message}", hint=error.hint) from None
    return tuple(finder.objects)


def pod_spec(workload: Workload) -> Mapping[str, Any]:
    """The PodSpec of an object whose kind is known here; empty for others, and where it is no object."""
    found: Any = workload.document
    if workload.kind not in _PLACES or workload.group not in _GROUPS[workload.kind]:
        return {}
    for step in _PLACES[workload.kind]:
        found = found.get(step) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


class _Finder:
    def __init__(self) -> None:
        self.objects: list[FoundObject] = []
        self._images: list[FoundImage] = []
        self._steps = 0

    def _step(self) -> None:
        """Aliases can make a small file endless."""
        self._steps += 1
        if self._steps > limits.WORKLOAD_NODES:
            raise LimitError(f"the manifest has more than {limits.WORKLOAD_NODES} parts")

    def read(
        self, value: object, kind_of_list: str | None, depth: int = 0, *, document: int = 0, pointer: str = ""
    ) -> None:
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
            for number, item in enumerate(_list(items, f"{name}: items")):
                self.read(item, single, depth + 1, document=document, pointer=f"{pointer}/items/{number}")
            return
        workload = workload_of(found, kind)
        self._images = []
        known = kind in _PLACES and (workload.group in _GROUPS[kind] or "apiVersion" not in found)
        if known:
            self._place(found, name, _PLACES[kind])
        else:
            self._search(found, name, "", 0)
        self.objects.append(FoundObject(workload, tuple(self._images), known, document, pointer))

    def _place(self, found: dict[str, Any], name: str, place: tuple[str, ...]) -> None:
        spec = found
        where = ""
        for step in place:
            where = f"{where}.{step}" if where else step
            if step not in spec:
                raise WorkloadInvalidError(f"{name} has no {where}")
            spec = _mapping(spec[step], f"{name}: {where}")
        self._pod(spec, name, "".join(f"/{step}" for step in place))

    def _pod(self, spec: dict[str, Any], name: str, pointer: str) -> None:
        if not spec.get("containers"):
            raise WorkloadInvalidError(f"{name} has no containers")
        for field in _CONTAINERS:
            containers = spec.get(field)
            if containers is None:
                continue
            for position, container in enumerate(_list(containers, f"{name}: {field}")):
                where = f"{field}[{position}]"
                image = _mapping(container, f"{name}: {where}").get("image")
                self._add(image, f"{name}: {where}.image", f"{pointer}/{field}/{position}/image")
        volumes = spec.get("volumes")
        for position, volume in enumerate(_list(volumes, f"{name}: volumes") if volumes is not None else []):
            where = f"volumes[{position}].image"
            source = _mapping(volume, f"{name}: volumes[{position}]").get("image")
            if source is not None:
                image = _mapping(source, f"{name}: {where}").get("reference")
                self._add(image, f"{name}: {where}.reference", f"{pointer}/volumes/{position}/image/reference")

    def _add(self, image: object, where: str, pointer: str) -> None:
        self._step()
        if not isinstance(image, str) or not image.strip():
            raise WorkloadInvalidError(
                f"{where} is not a string with a name in it", hint='quote it: image: "registry/repository:1.10"'
            )
        if image != image.strip():
            raise WorkloadInvalidError(f"{where} begins or ends with white space")
        self._images.append(FoundImage(image, where, pointer))

    def _search(self, value: object, where: str, pointer: str, depth: int) -> None:
        """Lists of containers, and image volumes, in an object of an unknown kind."""
        self._step()
        if depth > limits.JSON_DEPTH:
            raise LimitError(f"{where.partition(':')[0]} is nested deeper than {limits.JSON_DEPTH}")
        if isinstance(value, list):
            for position, item in enumerate(value):
                self._search(item, f"{where}[{position}]", f"{pointer}/{position}", depth + 1)
        elif isinstance(value, dict):
            for key, item in value.items():
                below = f"{where}.{key}" if ":" in where else f"{where}: {key}"
                deeper = f"{pointer}/{_escaped(key)}"
                field = "reference" if key == "volumes" else "image"
                if key in _CONTAINERS or key == "volumes":
                    self._search_list(item, below, deeper, field)
                self._search(item, below, deeper, depth + 1)

    def _search_list(self, value: object, where: str, pointer: str, field: str) -> None:
        for position, item in enumerate(value if isinstance(value, list) else []):
            place, deeper = f"{where}[{position}]", f"{pointer}/{position}"
            source = item.get("image") if isinstance(item, dict) and field == "reference" else item
            if field == "reference" and isinstance(source, dict):
                place, deeper = f"{place}.image", f"{deeper}/image"
            if isinstance(source, dict) and isinstance(image := source.get(field), str) and image.strip():
                self._add(image.strip(), f"{place}.{field}", f"{deeper}/{field}")


def workload_of(document: Mapping[str, Any], kind: str) -> Workload:
    """An object as policies look at it. What it says of itself is taken as it is; labels that are no text are left out."""
    version = document.get("apiVersion")
    group, _, number = version.rpartition("/") if isinstance(version, str) else ("", "", "")
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return Workload(
        group=group,
        version=number,
        kind=kind,
        resource=_RESOURCES.get(kind, f"{kind.lower()}s"),
        namespace=_text(metadata.get("namespace")),
        name=_text(metadata.get("name")) or _text(metadata.get("generateName")),
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        document=document,
    )


_RESOURCES = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
"""Plurals that are not made by an `s`; nothing but selectors of policies looks at them."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {name: text for name, text in value.items() if isinstance(name, str) and isinstance(text, str)}


def _escaped(key: object) -> str:
    """A step of a JSON Pointer (RFC 6901, section 3)."""
    return str(key).replace("~", "~0").replace("/", "~1")


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
