"""Policies from one grammar to another, by way of our own. Pure. What would be lost is an error that names it (exit 2).

Our own grammar says whatever the others say of signatures, so that it is where every conversion passes through. What a
product does by the way (credentials, caches, alerts) is no part of a policy's meaning: it is told as a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, cast

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.oci.reference import HUB
from sealgate.policy import patterns
from sealgate.policy.reading import Source

Target = Literal["sealgate", "sigstore", "kyverno"]
TARGETS: tuple[Target, ...] = ("sealgate", "sigstore", "kyverno")
VERSION = "sealgate.dev/v1alpha1"
_READERS = {
    ("sealgate.dev", "ImagePolicy"): "", ("sealgate.dev", "ClusterImagePolicy"): "", ("sealgate.dev", "PolicyException"): "",
    ("policy.sigstore.dev", "ClusterImagePolicy"): "sigstore", ("kyverno.io", "ClusterPolicy"): "kyverno",
    ("kyverno.io", "Policy"): "kyverno", ("policies.kyverno.io", "ImageValidatingPolicy"): "validating",
    ("policies.kyverno.io", "NamespacedImageValidatingPolicy"): "validating", ("portieris.cloud.ibm.com", "ImagePolicy"): "portieris",
    ("portieris.cloud.ibm.com", "ClusterImagePolicy"): "portieris",
}  # fmt: skip
_WRITERS = {"sigstore": "sigstore", "kyverno": "kyverno"}


class Converted(NamedTuple):
    """Objects, and what their author should know."""

    documents: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


class _Module(Protocol):
    def read(self, source: Source, remarks: list[str]) -> list[dict[str, Any]]: ...
    def write(self, document: Mapping[str, Any], where: str, remarks: list[str]) -> list[dict[str, Any]]: ...


def convert(sources: Iterable[Source], to: Target) -> Converted:
    """All of these objects. Raises `PolicyInvalidError`, and `PolicyUnsupportedError` for what would lose meaning.

    What is given and what comes out is loaded, ours too: a mistake is passed through by no conversion (P18).
    """
    from sealgate.policy.conversion import loading

    sources = list(sources)
    remarks: list[str] = []
    own: list[tuple[Source, dict[str, Any]]] = []
    portieris: dict[str, str] = {}
    for source in sources:
        if _is_beside(source, to):
            remarks.append(f"{source.where} is left out: it goes on standing beside the policies")
            continue
        if source.group == "portieris.cloud.ibm.com":
            portieris.setdefault(source.kind, source.where)
        own += [(source, each) for each in _own(source, remarks)]
    if len(portieris) > 1:
        lost(
            portieris["ImagePolicy"], "that policies of a namespace replace those of the cluster", "convert them apart"
        )
    if not own:
        raise PolicyInvalidError("there is no policy in what was given")
    names: set[tuple[bool, str, str]] = set()
    for source, each in own:
        excepts = each["kind"] == "PolicyException"
        if excepts and to != "sealgate":
            lost(source.where, "that policies of every dialect have an exception", "an exception of that product's own")
        metadata = each.get("metadata") or {}
        name = (excepts, metadata.get("namespace") or "", metadata.get("name") or "")
        if name in names:
            raise PolicyInvalidError(
                f"{source.where}: two policies would be called {name[2]}", hint="rename one of them"
            )
        names.add(name)
    made = own
    if to != "sealgate":
        writer = cast("_Module", import_module(f"sealgate.policy.conversion.{_WRITERS[to]}"))
        made = []
        for source, document in own:
            where = source.where if source.kind else Source(source.file, document).where
            made += [(source, each) for each in writer.write(document, where, remarks)]
    loading.check(sources, made)
    return Converted(tuple(document for _, document in made), tuple(dict.fromkeys(remarks)))


def _is_beside(source: Source, to: Target) -> bool:
    """What policies refer to is written as it is, wherever they can still refer to it."""
    if not source.group and source.kind in {"Secret", "ConfigMap", "Namespace"}:
        return True
    return to != "kyverno" and (source.group, source.kind) == ("policy.sigstore.dev", "TrustRoot")


def _own(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    if "application" in source.document and not source.kind:
        module = "connaisseur"
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
    return cast("_Module", import_module(f"sealgate.policy.conversion.{module}")).read(source, remarks)


def lost(where: str, what: str, hint: str | None = None) -> NoReturn:
    """Refuse to lose `what`."""
    raise PolicyUnsupportedError(f"{where}: {what} would be lost", hint=hint)


def document(name: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A policy of our own, under a name that a cluster takes."""
    name = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    kind = "ImagePolicy" if namespace else "ClusterImagePolicy"
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": dict(spec)}


Grammar = Literal["kyverno", "sigstore", "other"]


def pattern(glob: str, where: str, grammar: Grammar, *, excuse: bool = False) -> list[str]:
    """A pattern of another grammar in our own: patterns that together cover the same names. Raises `PolicyUnsupportedError`.

    Only what means the same: a wildcard in a host, or one that crosses slashes in the middle of a name, does not. `excuse`:
    it takes images away from checking, and covers literally what it says.
    """
    name, tag, digest = patterns.split(glob)
    deep = grammar != "sigstore"
    host, slash, path = name.partition("/")
    if name == "**" or (deep and name in {"*", "*/*"}):
        if digest is not None or (tag or "*").strip("*"):
            lost(where, f"the tag or digest in {glob!r}")
        if excuse:
            lost(where, f"that {glob!r} takes every image away")
        return ["**"]
    if not slash or "*" in host or "?" in glob or ("." not in host and ":" not in host and host != "localhost"):
        lost(where, f"which images {glob!r} means", "write the host out: docker.io/library/nginx")
    found = "/".join((host, *_path(path, glob, where, deep=deep, hub=host in {"docker.io", HUB})))
    made = _ends(found, tag, digest, glob, where, grammar, excuse=excuse)
    for each in made:
        try:
            patterns.expression(each, "sealgate", excuse=excuse)
        except PolicyInvalidError as error:
            raise PolicyUnsupportedError(f"{where}: {error.message}", hint=error.hint) from error
    return made


def _path(path: str, glob: str, where: str, *, deep: bool, hub: bool) -> list[str]:
    """`**` here may be nothing, and there is at least something: `*/**`."""
    parts = path.split("/")
    if any(("**" in part or (deep and "*" in part)) for part in parts[:-1]):
        lost(where, f"that a wildcard of {glob!r} crosses slashes", "end it in /*")
    last = parts[-1]
    if "**" in last or (deep and "*" in last):
        if last.strip("*"):
            lost(where, f"that a wildcard of {glob!r} crosses slashes", "end it in /*")
        return [*parts[:-1], "*", "**"] if len(parts) > 1 else ["**"]
    return ["library", last] if hub and len(parts) == 1 else parts


def _ends(
    found: str, tag: str | None, digest: str | None, glob: str, where: str, grammar: Grammar, *, excuse: bool
) -> list[str]:
    """With tags and digests as the other grammar has them. Without one, our patterns cover any."""
    open_end = found.endswith("*")
    if digest is not None:
        if excuse or (tag is not None and grammar != "kyverno"):
            lost(where, f"which tags {glob!r} has beside the digest")
        return [f"{found}@{digest}"]
    if tag is None:
        if grammar == "sigstore" and not open_end:
            return [f"{found}:latest"]
        if excuse and not open_end:
            lost(where, f"that {glob!r} names no tag", "end it in /*")
        return [found]
    if not tag.strip("*"):
        if excuse and not open_end:
            lost(where, f"that {glob!r} covers no digests", "end it in /*")
        return [found]
    if "*" in tag and (excuse or grammar == "sigstore"):
        lost(where, f"that the tag in {glob!r} may cover a digest, too", "a tag without wildcards, or none")
    if grammar == "kyverno" and not excuse:
        return [f"{found}:{tag}", f"{found}@*"]  # a demand with a tag covers every digest there
    return [f"{found}:{tag}"]


def whole(name: str) -> list[str]:
    """One repository with any tag and digest, where patterns name one or the other."""
    return [f"{name}:*", f"{name}@*"]


def merged(found: Iterable[str]) -> list[str]:
    """Each once; without those for the digests of a repository of which every name is covered."""
    known = dict.fromkeys(found)
    return [
        each for each in known if not (each.endswith(("@*", "@**")) and each.rstrip("*").removesuffix("@") in known)
    ]


def unfold(text: str, where: str) -> tuple[str, str, str | None]:
    """One of our patterns for a grammar with one wildcard at the end: the name; how it goes on; a tag.

    It goes on with `""` (nothing), `/*` (something below it) or `/**` (itself and what is below it).
    """
    name, tag, digest = patterns.split(text)
    host, _, path = name.partition("/")
    if name.startswith("*.") or digest is not None or "[" in name or "*" in (tag or "").strip("*"):
        lost(where, f"what {text!r} means", "HOST/PATH, or HOST/PATH/**")
    if host in {"docker.io", HUB} and "/" not in path and path != "**":
        lost(where, f"that no image is called {text!r}", f"{host}/library/{path}")
    more = ""
    if name.endswith("/*/**"):
        name, more = name.removesuffix("/*/**"), "/*"
    elif name.endswith("/**"):
        name, more = name.removesuffix("/**"), "/**"
    return name, "/*" if name == host and more else more, tag if tag and tag.strip("*") else None


def narrower(mine: str, others: Iterable[str]) -> list[str]:
    """What must be skipped where only the narrowest of several patterns counts: those that are narrower than `mine`."""
    found = [each for each in others if each != mine and _rank(each) > _rank(mine) and _may_overlap(mine, each)]
    return sorted(dict.fromkeys(found))


def _rank(text: str) -> tuple[int, int]:
    if text == "**":
        return 0, 0
    plain = text.replace("*", "").rstrip("/")
    return plain.count("/"), len(plain)


def _may_overlap(wide: str, narrow: str) -> bool:
    return wide == "**" or wide.partition("/")[0] == narrow.partition("/")[0]
