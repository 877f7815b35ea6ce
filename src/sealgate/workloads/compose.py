"""Every image of a Compose file: `services.*.image`. Pure.

Source: Compose Specification, services. What is only known where Compose runs (`${TAG}`) cannot be verified and is refused,
as are services that are only built, unless their Dockerfile is given for itself, and files that include others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sealgate.errors import WorkloadInvalidError
from sealgate.workloads.kubernetes import FoundImage, FoundObject
from sealgate.workloads.workload import Workload

_VARIABLE = re.compile(r"\$(?:\{|[A-Za-z_])")
_RENDER = "`docker compose config` writes the file as it is meant; give that"


def is_compose(document: object) -> bool:
    """Whether a parsed document is a Compose file: services, and none of what every Kubernetes object has."""
    return isinstance(document, Mapping) and "services" in document and not {"kind", "apiVersion"} & document.keys()


def read(document: Mapping[str, Any], *, what: str, number: int = 0) -> FoundObject:
    """The images of a Compose file. Raises `WorkloadInvalidError`."""
    for name in ("include", "extends"):
        if document.get(name):
            raise WorkloadInvalidError(f"{what}: {name} leads to other files", hint=_RENDER)
    services = document.get("services")
    if not isinstance(services, Mapping) or not services:
        raise WorkloadInvalidError(f"{what}: services is not a mapping with something in it")
    images: list[FoundImage] = []
    for name, service in services.items():
        where = f"services.{name}"
        if not isinstance(name, str) or not isinstance(service, Mapping):
            raise WorkloadInvalidError(f"{what}: {where} is not a mapping")
        if service.get("extends"):
            raise WorkloadInvalidError(f"{what}: {where}.extends leads to another service", hint=_RENDER)
        image = service.get("image")
        if image is None:
            if service.get("build") is not None:
                raise WorkloadInvalidError(
                    f"{what}: {where} is built and has no image", hint="name the image that was built and pushed"
                )
            raise WorkloadInvalidError(f"{what}: {where} has no image")
        pointer = f"/services/{name.replace('~', '~0').replace('/', '~1')}"
        images.append(_image(image, f"{where}.image", f"{pointer}/image", what))
        volumes = service.get("volumes") or []
        if not isinstance(volumes, list):
            raise WorkloadInvalidError(f"{what}: {where}.volumes is not a list")
        for position, mount in enumerate(volumes):
            kind = mount.get("type") if isinstance(mount, Mapping) else None
            if isinstance(kind, str) and _VARIABLE.search(kind):
                raise WorkloadInvalidError(f"{what}: {where}.volumes[{position}].type has a variable", hint=_RENDER)
            if kind == "image":  # mounted, as an image volume of a Pod is
                place = f"volumes[{position}].source"
                images.append(
                    _image(mount.get("source"), f"{where}.{place}", f"{pointer}/volumes/{position}/source", what)
                )
    title = document.get("name")
    workload = Workload("", "", "Compose", "", "", title if isinstance(title, str) else what, {}, {}, document)
    return FoundObject(workload, tuple(images), True, number, "")


def _image(image: object, where: str, pointer: str, what: str) -> FoundImage:
    if not isinstance(image, str) or not image.strip() or image != image.strip():
        raise WorkloadInvalidError(f"{what}: {where} is not a string with a name in it")
    if _VARIABLE.search(image.replace("$$", "")):
        raise WorkloadInvalidError(f"{what}: {where} has a variable: {image[:120]!a}", hint=_RENDER)
    return FoundImage(image.replace("$$", "$"), where, pointer)
