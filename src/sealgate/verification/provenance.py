"""What is expected of a provenance, and whether one says so: source, builder, kind of build. Pure.

The meaning of each expectation is that of slsa-verifier's option of the same name; where this is stricter it says so. Whatever
is expected and not in the provenance is a failure.
"""

from __future__ import annotations

from typing import NamedTuple

from sealgate.errors import SealgateError, UsageError
from sealgate.evidence import provenance
from sealgate.evidence.provenance import BUILDKIT, Provenance, Source
from sealgate.evidence.statement import Statement
from sealgate.verification.findings import Finding


class Expected(NamedTuple):
    """What a provenance must say; `expected` makes one."""

    source_uri: str | None = None
    source_tag: str | None = None
    source_versioned_tag: str | None = None
    source_branch: str | None = None
    builder_id: str | None = None
    build_type: str | None = None


def expected(
    predicate_type: str,
    *,
    source_uri: str | None = None,
    source_tag: str | None = None,
    source_versioned_tag: str | None = None,
    source_branch: str | None = None,
    builder_id: str | None = None,
    build_type: str | None = None,
) -> Expected | None:
    """The expectations, or None when there are none. Raises `UsageError` for what no provenance could meet."""
    found = Expected(source_uri, source_tag, source_versioned_tag, source_branch, builder_id, build_type)
    given = [(name, value) for name, value in found._asdict().items() if value is not None]
    if not given:
        return None
    for name, value in given:
        if not value or not value.isprintable() or " " in value:
            raise UsageError(f"{_option(name)} is empty, or has white space or control characters")
    if predicate_type not in provenance.TYPES:
        raise UsageError(
            f"{_option(given[0][0])} asks for a provenance, and {predicate_type} is none",
            hint="--type slsaprovenance1 (v1) or slsaprovenance02 (v0.2)",
        )
    refs = [
        name for name in ("source_tag", "source_versioned_tag", "source_branch") if getattr(found, name) is not None
    ]
    if refs and source_uri is None:
        raise UsageError(f"{_option(refs[0])} says nothing without the repository", hint="--source-uri")
    for name in refs:
        if getattr(found, name).startswith("refs/"):
            raise UsageError(f"{_option(name)} is a name such as v1.0 or main, without refs/…")
    if source_uri is not None:
        found = found._replace(source_uri=_repository(source_uri))
    if source_versioned_tag is not None and _semver(source_versioned_tag) is None:
        raise UsageError(f"--source-versioned-tag {source_versioned_tag[:100]!a} is not a version such as v1 or v1.2.3")
    if builder_id is not None and _builder(builder_id) is None:
        raise UsageError("--builder-id is a name, or name@version", hint="an @ once, with something on both sides")
    return found


def judge(wanted: Expected, statement: Statement) -> list[Finding]:
    """A finding for each thing that is expected."""
    try:
        found = provenance.read(statement)
    except SealgateError as error:
        return [Finding("provenance-unclear", "failed", f"its provenance cannot be read: {error.message}")]
    findings = []
    if wanted.source_uri is not None:
        findings += _source(wanted, wanted.source_uri, found)
    if wanted.builder_id is not None:
        findings.append(_builder_id(wanted.builder_id, found.builder_id))
    if wanted.build_type is not None:
        findings.append(_build_type(wanted.build_type, found.build_type))
    return findings


# -- the source


def _source(wanted: Expected, repository: str, found: Provenance) -> list[Finding]:
    if not found.triggers:
        return [_unclear("the source that its build was started from")]
    for trigger in found.triggers:
        if trigger.uri != repository:
            return [_other_source(trigger, repository)]
    built, problem = _built(found, repository)
    if built is None:
        return [problem]
    # slsa-verifier: what started the build and what was built must be the same, ref included.
    refs = [(source.ref, source.where) for source in (*found.triggers, built)] + list(found.refs)
    named = [(ref, where) for ref, where in refs if ref is not None]
    for ref, where in named[1:]:
        if ref != named[0][0]:
            message = f"names two refs: {named[0][0]} ({named[0][1]}) and {ref} ({where})"
            return [Finding("source-mismatch", "failed", message)]
    passed = Finding(
        "source-verified", "passed", f"was built from {repository}" + (f"@{built.ref}" if built.ref else "")
    )
    return [passed, *_refs(wanted, built.ref)]


def _built(found: Provenance, repository: str) -> tuple[Source | None, Finding]:
    """The dependency that is the source. The second is the finding when there is none."""
    if not found.built:
        return None, _unclear("the source among what was built")
    if found.build_type not in BUILDKIT:
        first = found.built[0]
        return (first if first.uri == repository else None), _other_source(first, repository)
    # BuildKit lists whatever was fetched: one of them must be the very source that it was told to build.
    ref = found.triggers[0].ref
    same = [source for source in found.built if source.uri == repository and source.ref == ref]
    return (same[0] if same else None), _unclear("the source among what was built")


def _refs(wanted: Expected, ref: str | None) -> list[Finding]:
    findings = []
    for kind, name, prefix, meets in (
        ("tag", wanted.source_tag, "refs/tags/", str.__eq__),
        ("tag", wanted.source_versioned_tag, "refs/tags/", _within),
        ("branch", wanted.source_branch, "refs/heads/", str.__eq__),
    ):
        if name is None:
            continue
        if ref is None:
            findings.append(_unclear(f"the {kind} that was built"))
            continue
        actual = ref.removeprefix(prefix)
        if ref.startswith(prefix) and meets(actual, name):
            findings.append(Finding("source-ref-verified", "passed", f"was built from the {kind} {actual}"))
        else:
            findings.append(
                Finding("source-ref-mismatch", "failed", f"was built from {ref}, not from the {kind} {name}")
            )
    return findings


def _repository(uri: str) -> str:
    """`github.com/owner/repository`, with or without `https://` or `git+https://`, as slsa-verifier normalizes it."""
    for mark in "@#?":
        if mark in uri:
            raise UsageError(
                f"--source-uri names a repository, without anything behind {mark}",
                hint="the ref is --source-tag or --source-branch",
            )
    if not uri.startswith("git+"):
        uri = f"git+{uri}" if "://" in uri else f"git+https://{uri}"
    host, _, path = uri.partition("://")[2].partition("/")
    if not host or not path.strip("/"):
        raise UsageError("--source-uri names no repository", hint="--source-uri github.com/owner/repository")
    return provenance.normalized(uri.rstrip("/"))


# -- versions of tags (semver.org, with Go's leading v)


class _Version(NamedTuple):
    numbers: tuple[str, ...]
    prerelease: str


def _within(tag: str, wanted: str) -> bool:
    """Whether a tag is the version asked for: `v1` takes every v1.x.y, `v1.2` every v1.2.x. What follows `+` is ignored."""
    actual, asked = _semver(tag), _semver(wanted)
    if actual is None or asked is None:
        return False
    numbers = (*actual.numbers, "0", "0")[:3]  # as Go's semver.Canonical
    if numbers[: len(asked.numbers)] != asked.numbers:
        return False
    return len(asked.numbers) < 3 or actual.prerelease == asked.prerelease


def _semver(text: str) -> _Version | None:
    if not text.startswith("v"):
        return None
    text, plus, build = text[1:].partition("+")
    core, dash, prerelease = text.partition("-")
    numbers = tuple(core.split("."))
    if len(numbers) > 3 or not all(_number(number) for number in numbers):
        return None
    if (dash or plus) and len(numbers) < 3:
        return None
    if dash and not all(_identifier(part) and (not _digits(part) or _number(part)) for part in prerelease.split(".")):
        return None
    if plus and not all(_identifier(part) for part in build.split(".")):
        return None
    return _Version(numbers, prerelease)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> bool:
    return _digits(text) and (text == "0" or text[0] != "0")


def _identifier(text: str) -> bool:
    return bool(text) and text.isascii() and text.replace("-", "a").isalnum()


# -- the builder and the kind of build


def _builder_id(wanted: str, found: str | None) -> Finding:
    """The name must be equal; the version too where one is asked for (`v1.0` is `refs/tags/v1.0` as well)."""
    if found is None:
        return _unclear("its builder")
    asked, actual = _builder(wanted), _builder(found)
    if asked is not None and actual is not None and asked[0] == actual[0]:
        version = asked[1]
        if version is None or actual[1] in {version, f"refs/tags/{version}"}:
            return Finding("builder-verified", "passed", f"was built by {found}")
    return Finding("builder-mismatch", "failed", f"was built by {found}, not by {wanted}")


def _builder(text: str) -> tuple[str, str | None] | None:
    """The name and the version of a builder; None for a text that cannot be told apart."""
    name, at, version = text.partition("@")
    if not name or "@" in version or (at and not version):
        return None
    return name, version or None


def _build_type(wanted: str, found: str | None) -> Finding:
    if found is None:
        return _unclear("its build type")
    if found != wanted:
        return Finding("build-type-mismatch", "failed", f"is a build of type {found}, not {wanted}")
    return Finding("build-type-verified", "passed", f"is a build of type {found}")


def _other_source(source: Source, wanted: str) -> Finding:
    return Finding("source-mismatch", "failed", f"was built from {source.uri} ({source.where}), not from {wanted}")


def _unclear(what: str) -> Finding:
    return Finding("provenance-unclear", "failed", f"its provenance does not name {what}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
