"""Policies from one grammar to another, by way of our own. Pure. What would be lost is an error that names it (exit 2).

Our own grammar says whatever the others say of signatures, so that it is where every conversion passes through. What a
product does by the way (credentials, caches, alerts) is no part of a policy's meaning: it is told as a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, cast

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import patterns
from sealgate.policy.reading import Source

Target = Literal["sealgate", "sigstore", "kyverno"]
TARGETS: tuple[Target, ...] = ("sealgate", "sigstore", "kyverno")
VERSION = "sealgate.dev/v1alpha1"
_READERS = {
    ("sealgate.dev", "ImagePolicy"): "", ("sealgate.dev", "ClusterImagePolicy"): "",
    ("policy.sigstore.dev", "ClusterImagePolicy"): "conversion_sigstore", ("kyverno.io", "ClusterPolicy"): "conversion_kyverno",
    ("kyverno.io", "Policy"): "conversion_kyverno", ("portieris.cloud.ibm.com", "ImagePolicy"): "conversion_portieris",
    ("portieris.cloud.ibm.com", "ClusterImagePolicy"): "conversion_portieris",
}  # fmt: skip
_WRITERS = {"sigstore": "conversion_sigstore", "kyverno": "conversion_kyverno"}


class Converted(NamedTuple):
    """Objects, and what their author should know."""

    documents: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


class _Module(Protocol):
    def read(self, source: Source, remarks: list[str]) -> list[dict[str, Any]]: ...
    def write(self, document: Mapping[str, Any], where: str, remarks: list[str]) -> list[dict[str, Any]]: ...


def convert(sources: Iterable[Source], to: Target) -> Converted:
    """All of these objects. Raises `PolicyInvalidError`, and `PolicyUnsupportedError` for what would lose meaning."""
    remarks: list[str] = []
    own: list[tuple[Source, dict[str, Any]]] = []
    portieris: dict[str, str] = {}
    for source in sources:
        if source.group == "portieris.cloud.ibm.com":
            portieris.setdefault(source.kind, source.where)
        own += [(source, each) for each in _own(source, remarks)]
    if len(portieris) > 1:
        lost(
            portieris["ImagePolicy"], "that policies of a namespace replace those of the cluster", "convert them apart"
        )
    if not own:
        raise PolicyInvalidError("there is no policy in what was given")
    if to == "sealgate":
        return Converted(tuple(document for _, document in own), tuple(dict.fromkeys(remarks)))
    writer = cast("_Module", import_module(f"sealgate.policy.{_WRITERS[to]}"))
    made = [found for source, document in own for found in writer.write(document, source.where, remarks)]
    return Converted(tuple(made), tuple(dict.fromkeys(remarks)))


def _own(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    if "application" in source.document and not source.kind:
        module = "conversion_connaisseur"
    else:
        found = _READERS.get((source.group, source.kind))
        if found is None:
            raise PolicyUnsupportedError(
                f"{source.where} cannot be converted",
                hint="Connaisseur's configuration, and policies of Portieris, Kyverno, policy-controller and Sealgate",
            )
        module = found
    if not module:
        return [dict(source.document)]
    return cast("_Module", import_module(f"sealgate.policy.{module}")).read(source, remarks)


def lost(where: str, what: str, hint: str | None = None) -> NoReturn:
    """Refuse to lose `what`."""
    raise PolicyUnsupportedError(f"{where}: {what} would be lost", hint=hint)


def document(name: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A policy of our own."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    kind = "ImagePolicy" if namespace else "ClusterImagePolicy"
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def pattern(glob: str, where: str, *, deep: bool) -> str:
    """A pattern of another grammar in our own. `deep`: a `*` there crosses slashes. Raises `PolicyUnsupportedError`.

    Only what means the same: a wildcard in a host, or one that crosses slashes in the middle of a name, does not.
    """
    name, tag, digest = patterns.split(glob)
    if (name in {"*", "**", "*/*"} and deep) or name == "**":
        if digest is not None or (tag or "*").strip("*"):
            lost(where, f"the tag or digest in {glob!r}")
        return "**"
    host, slash, path = name.partition("/")
    if not slash or "*" in host or "?" in name or ("." not in host and ":" not in host and host != "localhost"):
        lost(where, f"which registry {glob!r} means", "write the host out: docker.io/library/nginx")
    parts = path.split("/")
    made = []
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        wild = "**" in part or (deep and "*" in part)
        if wild and not (last and part.strip("*") == ""):
            lost(where, f"that a wildcard of {glob!r} crosses slashes", "end it in /*")
        made.append("**" if wild else part)
    found = "/".join((host, *made))
    if tag is not None and tag.strip("*"):
        found += f":{tag}"
    if digest is not None and digest.strip("*"):
        found += f"@{digest}"
    try:
        patterns.expression(found, "sealgate")
    except PolicyInvalidError as error:
        raise PolicyUnsupportedError(f"{where}: {error.message}", hint=error.hint) from error
    return found


def narrower(mine: str, others: Iterable[str]) -> list[str]:
    """What must be skipped where only the narrowest of several patterns counts: those that are narrower than `mine`."""
    found = [each for each in others if each != mine and _rank(each) > _rank(mine) and _may_overlap(mine, each)]
    return sorted(dict.fromkeys(found))


def _rank(text: str) -> tuple[int, int]:
    if text == "**":
        return 0, 0
    plain = text.replace("*", "")
    return plain.rstrip("/").count("/"), len(plain)


def _may_overlap(wide: str, narrow: str) -> bool:
    return wide == "**" or wide.partition("/")[0] == narrow.partition("/")[0]
