"""Policies from files and directories, with the Secrets, ConfigMaps and trust roots that stand beside them.

A directory gives every `.yaml`, `.yml` and `.json` in it and below it, hidden ones left out; a file is read whatever it is
called. Everything is read once, before anything is judged; a file that holds no policy and nothing that policies refer to is
an error, since somebody thought that it was one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.errors import JsonInvalidError, NotFoundError, PolicyInvalidError, UsageError, WorkloadInvalidError
from sealgate.evidence import base64
from sealgate.policy import reading
from sealgate.policy.reading import AbsentError, Context, Source
from sealgate.workloads import yamldocs

if TYPE_CHECKING:
    from sealgate.policy.attestors import Settings
    from sealgate.policy.model import NoMatch, Policies

_ENDINGS = (".yaml", ".yml", ".json")
HOMES = "kyverno"
"""Where policies of a whole cluster have their Secrets when nobody says otherwise."""


def load(paths: Iterable[str], settings: Settings, *, home: str = HOMES, no_match: NoMatch | None = None) -> Policies:
    """The policies of these files and directories, for a person. Raises `NotFoundError`, `UsageError`, `PolicyInvalidError`,
    `LimitError`.
    """
    return of_sources(read_all(paths), settings, home=home, no_match=no_match, personal=True)


def read_all(paths: Iterable[str]) -> list[Source]:
    """Every object of these files, at once. Raises as `load`."""
    return list(read(paths))


def of_sources(
    sources: Sequence[Source], settings: Settings, *, home: str = HOMES, no_match: NoMatch | None = None,
    personal: bool = False,
) -> Policies:  # fmt: skip
    """The policies among these objects. `personal` as in `Context`. Raises `PolicyInvalidError`, `LimitError`."""
    context = Context(settings, Beside(sources), home, file=local_file, personal=personal)
    return reading.load(sources, context, no_match=no_match)


def namespaces(sources: Iterable[Source]) -> dict[str, dict[str, str]]:
    """The labels of the namespaces that stand among these objects, with the one that Kubernetes gives each of them."""
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        if source.kind == "Namespace" and not source.group:
            metadata = source.document.get("metadata")
            labels = _map_of(metadata.get("labels") or {}, source, "labels") if isinstance(metadata, Mapping) else {}
            found[source.name] = {**labels, "kubernetes.io/metadata.name": source.name}
    return found


def read(paths: Iterable[str]) -> Iterator[Source]:
    """Every object of these files."""
    for path in paths:
        for name in files(path):
            yield from parse(read_file(name), name)


def parse(raw: bytes, name: str) -> Iterator[Source]:
    """Every object of one file; of a list, every item. policy.json is an object without a kind."""
    try:
        documents = yamldocs.parse(raw, limit=limits.POLICY_BYTES, what=name)
    except (WorkloadInvalidError, JsonInvalidError) as error:
        raise PolicyInvalidError(error.message, hint=error.hint) from error
    if not documents:
        raise PolicyInvalidError(f"{name} is empty", hint="an empty set of policies admits nothing")
    for document in documents:
        yield from _objects(document, name)


def _objects(document: Any, name: str) -> Iterator[Source]:
    if not isinstance(document, Mapping):
        raise PolicyInvalidError(f"{name} holds something that is no object")
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, name)
        return
    yield Source(name, document)


def files(path: str) -> list[str]:
    """The files of a path. Raises `NotFoundError` for a directory without any, `UsageError`."""
    if not os.path.isdir(path):
        return [path]
    found = []
    for folder, below, names in os.walk(path):
        below[:] = sorted(each for each in below if not each.startswith("."))
        found += [
            os.path.join(folder, name) for name in sorted(names) if name.endswith(_ENDINGS) and not name.startswith(".")
        ]
        if len(found) > limits.DOCUMENTS:
            raise UsageError(f"{path} has more than {limits.DOCUMENTS} files of policies")
    if not found:
        raise NotFoundError(f"there are no policies in {path}", hint="files that end in .yaml, .yml or .json are read")
    return found


def read_file(path: str, limit: int = limits.POLICY_BYTES) -> bytes:
    """A file. Raises `NotFoundError`, `UsageError`, `PolicyInvalidError` when it is too large."""
    try:
        with open(path, "rb") as file:
            raw = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'the name is not a path'}"
        ) from error
    if len(raw) > limit:
        raise PolicyInvalidError(f"{path} is larger than {limit} bytes")
    return raw


def local_file(path: str) -> bytes:
    """A file that a policy names."""
    return read_file(path, limits.CONFIG_FILE_BYTES)


class Beside:
    """`References` to objects that stand in the same files."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._objects: dict[tuple[str, str, str], Source] = {}
        for source in sources:
            self._objects.setdefault((source.kind, source.namespace, source.name), source)

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, decoded."""
        source = self._find("Secret", namespace, name)
        found = {}
        for key, value in _map(source, "data").items():
            found[key] = base64.decode(value, what=f"{source.where}: data.{key}", error=PolicyInvalidError)
        return found | {key: value.encode() for key, value in _map(source, "stringData").items()}

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap."""
        return _map(self._find("ConfigMap", namespace, name), "data")

    def trust_root(self, name: str) -> Source:
        """A `TrustRoot` of policy-controller."""
        return self._find("TrustRoot", "", name)

    def _find(self, kind: str, namespace: str, name: str) -> Source:
        source = self._objects.get((kind, namespace, name))
        if source is None:
            place = f"{namespace}/{name}" if namespace else name
            raise AbsentError(
                f"a policy refers to the {kind} {place}, which is not here", hint=f"give the {kind} beside the policies"
            )
        return source


def _map(source: Source, name: str) -> dict[str, str]:
    return _map_of(source.document.get(name) or {}, source, name)


def _map_of(found: object, source: Source, name: str) -> dict[str, str]:
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in found.items()
    ):
        raise PolicyInvalidError(f"{source.where}: {name} is not text by name")
    return dict(found)
