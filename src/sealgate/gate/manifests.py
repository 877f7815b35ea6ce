"""What is to be deployed: rendered Kubernetes manifests, Compose files and Dockerfiles, as objects with their images.

What a file is says its content (Compose, Kubernetes) or its name (`Dockerfile`, `Dockerfile.x`, `x.Dockerfile`). Whatever
cannot be read for sure is an error: an image that was overlooked would be deployed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, NotFoundError, UsageError, WorkloadInvalidError
from sealgate.policy.evaluate import Placed
from sealgate.workloads import compose, dockerfile, kubernetes, yamldocs
from sealgate.workloads.workload import Workload

if TYPE_CHECKING:
    from sealgate.policy.model import Policies

_ENDINGS = (".yaml", ".yml", ".json")


class Manifest(NamedTuple):
    """One file."""

    name: str
    """Its path; `-` is stdin."""
    raw: bytes
    form: str
    """`kubernetes`, `compose` or `dockerfile`."""


class Deployed(NamedTuple):
    """One object of a file, and the images in it."""

    manifest: Manifest
    workload: Workload
    images: tuple[Placed, ...]
    document: int
    pointer: str
    known: bool


def read_files(paths: Iterable[str], stdin: bytes | None) -> Iterator[Manifest]:
    """The files of these paths; of a directory those that are manifests by their ending, hidden ones left out.

    Raises `NotFoundError`, `UsageError`, `LimitError`.
    """
    for path in paths:
        if path == "-":
            if stdin is None:
                raise UsageError("stdin is one manifest")
            yield Manifest("-", stdin, "")
            continue
        if not os.path.isdir(path):
            yield _file(path)
            continue
        found = 0
        for folder, below, names in os.walk(path):
            below[:] = sorted(each for each in below if not each.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and (name.endswith(_ENDINGS) or is_dockerfile(name)):
                    found += 1
                    if found > limits.DOCUMENTS:
                        raise LimitError(f"{path} has more than {limits.DOCUMENTS} manifests")
                    yield _file(os.path.join(folder, name))
        if not found:
            raise NotFoundError(
                f"there is no manifest in {path}", hint="files that end in .yaml, .yml or .json are read"
            )


def is_dockerfile(name: str) -> bool:
    """Whether a file is a Dockerfile, by its name."""
    name = os.path.basename(name).lower()
    return (
        name in {"dockerfile", "containerfile"}
        or name.startswith(("dockerfile.", "containerfile."))
        or name.endswith((".dockerfile", ".containerfile"))
    )


def _file(path: str) -> Manifest:
    try:
        with open(path, "rb") as file:
            raw = file.read(limits.WORKLOAD_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'the name is not a path'}"
        ) from error
    if len(raw) > limits.WORKLOAD_BYTES:
        raise LimitError(f"{path} is larger than {limits.WORKLOAD_BYTES} bytes")
    return Manifest(path, raw, "dockerfile" if is_dockerfile(path) else "")


def objects(manifest: Manifest, *, namespace: str, build_args: Mapping[str, str] | None = None) -> tuple[Deployed, ...]:
    """The objects of one file. `namespace`: of objects that do not say theirs; `build_args`: of Dockerfiles.

    Raises `WorkloadInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    if manifest.form == "dockerfile":
        return (_dockerfile(manifest, build_args or {}),)
    what = "stdin" if manifest.name == "-" else manifest.name
    try:
        documents = yamldocs.parse(manifest.raw, limit=limits.WORKLOAD_BYTES, what=what)
    except WorkloadInvalidError as error:
        if b"{{" not in manifest.raw:
            raise
        hint = "is it a template? Render it: helm template … | sealgate gate -p POLICIES -"
        raise WorkloadInvalidError(error.message, hint=hint) from error
    if len(documents) == 1 and compose.is_compose(documents[0]):
        one = compose.read(documents[0], what=what)
        form = manifest._replace(form="compose")
        return (_deployed(form, one, ""),)
    form = manifest._replace(form="kubernetes")
    return tuple(_deployed(form, each, namespace) for each in kubernetes.read_documents(documents, what=what))


def with_namespaces(found: Iterable[Deployed]) -> list[Deployed]:
    """The same objects, each with the labels of its namespace, where the Namespace is one of them.

    Of a Namespace that is not there nothing is known, and what its labels decide is refused (P09).
    """
    found = list(found)
    labels = {
        each.workload.name: {**each.workload.labels, NAME_LABEL: each.workload.name}
        for each in found
        if (each.workload.group, each.workload.kind) == ("", "Namespace") and each.manifest.form == "kubernetes"
    }
    return [
        each._replace(workload=each.workload._replace(namespace_labels=labels.get(each.workload.namespace)))
        for each in found
    ]


NAME_LABEL = "kubernetes.io/metadata.name"
"""What the API server writes to every Namespace, whatever stands there."""


def with_extracted(found: Iterable[Deployed], policies: Policies) -> list[Deployed]:
    """The same objects, with the images at places that only policies know (Kyverno's `imageExtractors`, and `images` of its image policies).

    These are judged, and never written. Raises `WorkloadInvalidError`, `LimitError`.
    """
    if not any(rule.extractors or getattr(rule.demand, "extracts", False) for rule in policies.rules):
        return list(found)
    from sealgate.policy.kyverno import extractors

    made = []
    for each in found:
        there = {image.pointer for image in each.images}
        more = tuple(
            image._replace(pointer="")
            for image in extractors.images(policies, each.workload)
            if not image.pointer or f"{each.pointer}{image.pointer}" not in there
        )
        made.append(each._replace(images=(*each.images, *more)))
    return made


def of_image(image: str, kind: str, *, namespace: str, name: str = "image") -> Deployed:
    """A workload that runs one image and nothing else. Raises `UsageError` for a kind that is not known."""
    pod: dict[str, object] = {"containers": [{"name": "image", "image": image}]}
    if kind not in _TEMPLATES:
        raise UsageError(f"{kind[:60]!a} is no kind that runs images", hint=", ".join(_TEMPLATES))
    version, path = _TEMPLATES[kind]
    spec: dict[str, object] = pod
    for step in reversed(path):
        spec = {step: {"metadata": {}, "spec": spec}} if step == "template" else {step: spec}
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **spec}
    (found,) = kubernetes.read_documents([document], what=kind)
    return _deployed(Manifest(image, b"", "kubernetes"), found, namespace)


_TEMPLATES = {
    "Pod": ("v1", ("spec",)), "Deployment": ("apps/v1", ("spec", "template")), "DaemonSet": ("apps/v1", ("spec", "template")),
    "StatefulSet": ("apps/v1", ("spec", "template")), "ReplicaSet": ("apps/v1", ("spec", "template")),
    "Job": ("batch/v1", ("spec", "template")), "CronJob": ("batch/v1", ("spec", "jobTemplate", "spec", "template")),
}  # fmt: skip


def _deployed(manifest: Manifest, found: kubernetes.FoundObject, namespace: str) -> Deployed:
    workload = found.workload
    if not workload.namespace and manifest.form == "kubernetes":
        workload = workload._replace(namespace=namespace)
    images = tuple(Placed(each.image, each.where, f"{found.pointer}{each.pointer}") for each in found.images)
    return Deployed(manifest, workload, images, found.document, found.pointer, found.known)


def _dockerfile(manifest: Manifest, build_args: Mapping[str, str]) -> Deployed:
    found = dockerfile.find(manifest.raw, build_args, what=manifest.name)
    images = tuple(Placed(each.image, f"line {each.line}: {each.instruction}") for each in found.images)
    workload = Workload("", "", "Dockerfile", "", "", os.path.basename(manifest.name), {}, {}, {})
    return Deployed(manifest, workload, images, 0, "", True)
