"""SLSA provenance v0.1, v0.2 and v1: which builder, which kind of build, and from which source. Pure.

Each build type writes its source at places of its own; those of slsa-github-generator, GitHub's attest actions, BuildKit,
GitLab and Google Cloud Build are known here. What cannot be read there is absent, and absent satisfies nobody.
A predicate is what its signer wrote.

Sources: slsa.dev/provenance/v0.1, v0.2 and v1; moby/buildkit, docs/attestations/slsa-definitions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import StatementInvalidError
from sealgate.evidence import predicates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sealgate.evidence.statement import Statement

TYPES = frozenset({predicates.SLSA_PROVENANCE_V0_1, predicates.SLSA_PROVENANCE_V0_2, predicates.SLSA_PROVENANCE_V1})
BUILDKIT = frozenset(
    {
        "https://mobyproject.org/buildkit@v1",
        "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
    }
)
"""Build types whose dependencies stand in any order; everybody else has the source first."""
_GIT_SCHEMES = ("https://", "http://", "ssh://", "git://")


class Source(NamedTuple):
    """A source repository that a provenance names."""

    uri: str
    """`git+https://github.com/owner/repository`: with a scheme, without the ref, without `.git` at its end."""
    ref: str | None
    """`refs/tags/v1.0`, `refs/heads/main`, or whatever else stands there."""
    where: str
    """The member that says so."""


class Provenance(NamedTuple):
    """What a provenance says of a build. Nothing is filled in: what it does not say is None or empty."""

    builder_id: str | None
    build_type: str | None
    triggers: tuple[Source, ...]
    """What the build was told to build, or was started by."""
    built: tuple[Source, ...]
    """The dependencies that may be the source: the first one, if it is a git repository; with BuildKit every git repository."""
    refs: tuple[tuple[str, str], ...]
    """Further places that name the ref: value and place."""


def read(statement: Statement) -> Provenance:
    """The provenance in a Statement. Raises `StatementInvalidError` (not a provenance; a member of the wrong type)."""
    predicate = _object(statement.predicate, "predicate")
    if statement.predicate_type == predicates.SLSA_PROVENANCE_V1:
        return _v1(predicate)
    if statement.predicate_type == predicates.SLSA_PROVENANCE_V0_2:
        return _v0_2(predicate)
    if statement.predicate_type == predicates.SLSA_PROVENANCE_V0_1:
        return _v0_1(predicate)
    raise StatementInvalidError(f"{ascii(statement.predicate_type)[:100]} is not a type of SLSA provenance")


def normalized(uri: str) -> str:
    """A repository's URI without `.git` at its end: forges serve the same under both names."""
    return uri.removesuffix(".git")


def _v1(predicate: dict[str, Any]) -> Provenance:
    definition = _object(predicate.get("buildDefinition"), "buildDefinition")
    builder = _object(_object(predicate.get("runDetails"), "runDetails").get("builder"), "runDetails.builder")
    build_type = _text(definition, "buildType", "buildDefinition")
    external = _object(definition.get("externalParameters"), "externalParameters")
    internal = _object(definition.get("internalParameters"), "internalParameters")
    return Provenance(
        _text(builder, "id", "runDetails.builder"),
        build_type,
        tuple(_v1_triggers(external, internal)),
        _built(definition.get("resolvedDependencies"), "resolvedDependencies", build_type),
        tuple(_refs(internal, "GITHUB_REF", "internalParameters")),
    )


def _v1_triggers(external: dict[str, Any], internal: dict[str, Any]) -> Iterator[Source]:
    place = "externalParameters"
    # GitHub's attest actions, and slsa-framework.github.io/github-actions-buildtypes/workflow/v1
    workflow = external.get("workflow")
    if isinstance(workflow, dict) and "repository" in workflow:
        where = f"{place}.workflow"
        yield _git(_text(workflow, "repository", where), f"{where}.repository", ref=_text(workflow, "ref", where))
    # GitLab (text), slsa-github-generator's container-based builder (an object)
    source = external.get("source")
    if isinstance(source, dict):
        yield _git(_text(source, "uri", f"{place}.source"), f"{place}.source.uri")
    elif source is not None:
        yield _git(_text(external, "source", place), f"{place}.source")
    # BuildKit
    config = external.get("configSource")
    if isinstance(config, dict) and "uri" in config:
        yield _git(_text(config, "uri", f"{place}.configSource"), f"{place}.configSource.uri")
    # Google Cloud Build
    for name in ("sourceToBuild", "buildConfigSource"):
        found = external.get(name)
        if isinstance(found, dict) and "repository" in found:
            where = f"{place}.{name}"
            yield _git(_text(found, "repository", where), f"{where}.repository", ref=_text(found, "ref", where))
    # slsa-github-generator
    started = _text(internal, "GITHUB_WORKFLOW_REF", "internalParameters")
    if started is not None:
        path, _, ref = started.partition("@")
        owner, _, rest = path.partition("/")
        repository = rest.partition("/")[0]
        yield Source(
            f"git+https://github.com/{owner}/{repository}", ref or None, "internalParameters.GITHUB_WORKFLOW_REF"
        )


def _v0_2(predicate: dict[str, Any]) -> Provenance:
    invocation = _object(predicate.get("invocation"), "invocation")
    config = _object(invocation.get("configSource"), "invocation.configSource")
    environment = _object(invocation.get("environment"), "invocation.environment")
    build_type = _text(predicate, "buildType", "predicate")
    uri = _text(config, "uri", "invocation.configSource")
    return Provenance(
        _text(_object(predicate.get("builder"), "builder"), "id", "builder"),
        build_type,
        () if uri is None else (_git(uri, "invocation.configSource.uri"),),
        _built(predicate.get("materials"), "materials", build_type),
        tuple(_refs(environment, "github_ref", "invocation.environment")),
    )


def _v0_1(predicate: dict[str, Any]) -> Provenance:
    recipe = _object(predicate.get("recipe"), "recipe")
    environment = _object(recipe.get("environment"), "recipe.environment")
    index = recipe.get("definedInMaterial")
    materials = predicate.get("materials")
    triggers: tuple[Source, ...] = ()
    if isinstance(materials, list) and type(index) is int and 0 <= index < len(materials):
        where = f"materials[{index}]"
        triggers = (_git(_text(_object(materials[index], where), "uri", where), f"{where}.uri"),)
    return Provenance(
        _text(_object(predicate.get("builder"), "builder"), "id", "builder"),
        _text(recipe, "type", "recipe"),
        triggers,
        triggers,
        tuple(_refs(environment, "github_ref", "recipe.environment")),
    )


def _built(dependencies: object, what: str, build_type: str | None) -> tuple[Source, ...]:
    if dependencies is None:
        return ()
    if not isinstance(dependencies, list):
        raise StatementInvalidError(f"the provenance's {what} is not a list")
    found = []
    for index, entry in enumerate(dependencies if build_type in BUILDKIT else dependencies[:1]):
        where = f"{what}[{index}]"
        uri = _text(_object(entry, where), "uri", where)
        if uri is not None and uri.startswith(("git+", *_GIT_SCHEMES)):
            found.append(_git(uri, f"{where}.uri"))
    return tuple(found)


def _refs(environment: dict[str, Any], name: str, where: str) -> Iterator[tuple[str, str]]:
    ref = _text(environment, name, where)
    if ref is not None:
        yield ref, f"{where}.{name}"


def _git(uri: str | None, where: str, *, ref: str | None = None) -> Source:
    """A source of `git+https://host/path@ref`, or BuildKit's `https://host/path.git#ref:folder`. What is neither stays as it is.

    The first `@` ends the URI: a name and password before a host never become part of one that matches.
    """
    if uri is None:
        raise StatementInvalidError(f"the provenance's {where} is missing")
    text = uri if uri.startswith("git+") else f"git+{uri}" if uri.startswith(_GIT_SCHEMES) else uri
    place, mark, rest = text.partition("#")
    found = rest.partition(":")[0]
    if not mark:
        place, _, found = text.partition("@")
    elif "@" in place:
        place, found = text, ""
    if ref is not None and found:
        raise StatementInvalidError(f"the provenance's {where} names a ref, and so does the member beside it")
    return Source(normalized(place), ref or found or None, where)


def _object(value: object, what: str) -> dict[str, Any]:
    """An object; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise StatementInvalidError(f"the provenance's {what} is not an object")
    return value


def _text(whole: dict[str, Any], name: str, where: str) -> str | None:
    """A text; an absent or empty one says nothing."""
    value = whole.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise StatementInvalidError(f"the provenance's {where}.{name} is not a text")
    return value
