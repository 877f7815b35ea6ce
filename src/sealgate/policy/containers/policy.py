"""containers/image's `policy.json`: the requirements of the most specific scope, all of which must be met. Pure.

An object without version and kind, strictly read: an unknown key is an error in every transport. Only `docker` is about
images in registries; the other transports are read, and say nothing here. GPG signatures are an error at load.

Source: containers-policy.json(5); containers/image, signature/policy_config.go and policy_config_sigstore.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sealgate.errors import InvalidReferenceError, PolicyInvalidError
from sealgate.oci.reference import parse, parse_repository
from sealgate.policy import patterns
from sealgate.policy.containers.requirement import Requirements
from sealgate.policy.fields import Fields
from sealgate.policy.model import Count, Note, Rule, Static, attestors
from sealgate.policy.reading import Loaded

if TYPE_CHECKING:
    from sealgate.policy.model import Expression
    from sealgate.policy.reading import Context, Source
    from sealgate.workloads.workload import Workload

NAME = "policy.json"
_TRANSPORTS = frozenset(
    {
        "atomic", "containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive",
        "ostree", "sif", "tarball",
    }
)  # fmt: skip
_EXACT = 1_000_000
"""Every scope that begins with a host is narrower than one with `*.`; the longer, the narrower."""


class Everything(NamedTuple):
    """A `Selector`: policy.json knows nothing of workloads."""

    def selects(self, workload: Workload) -> Literal[True]:
        """Yes."""
        return True


class _Scope(NamedTuple):
    """Requirements, and for which names."""

    title: str
    pattern: str
    specificity: int
    demand: Expression
    where: str


def read(source: Source, context: Context) -> Loaded:
    """One rule a scope. Raises `PolicyInvalidError`."""
    where = source.file or NAME
    top = Fields(source.document, where)
    reader = Requirements(context, [])
    scopes = [_Scope("default", "*", 0, reader.read(top.take("default"), f"{where}: default"), f"{where}: default")]
    for name, found in _objects(top.take("transports"), f"{where}: transports"):
        if name not in _TRANSPORTS:
            raise PolicyInvalidError(f"{where}: transports has {name!r}", hint=f"of: {', '.join(sorted(_TRANSPORTS))}")
        for scope, value in _objects(found, f"{where}: transports.{name}"):
            place = f'{where}: transports.{name}["{scope}"]'
            demand = reader.read(value, place)
            if name == "docker":
                pattern, specificity = _pattern(scope, place)
                scopes.append(_Scope(f"docker:{scope}", pattern, specificity, demand, place))
    top.end()
    rules = tuple(
        Rule(
            NAME, each.title, NAME, "containers", each.where, None, "enforce", Everything(), (each.pattern,),
            each.demand, specificity=each.specificity,
        )
        for each in scopes
    )  # fmt: skip
    return Loaded(rules, notes=(*reader.notes, *_weaker(scopes)))


def _objects(value: Any, where: str) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise PolicyInvalidError(f"{where} is not an object")
    return list(value.items())


def _pattern(scope: str, where: str) -> tuple[str, int]:
    """The pattern of a scope, and how narrow it is. Raises `PolicyInvalidError` for a scope that could match nothing."""
    if scope == "":
        return "*", 1
    if scope.startswith("*."):
        domain = scope[2:]
        if not domain or "*" in domain or "/" in domain:
            raise PolicyInvalidError(f"{where}: no scope", hint="*. and a domain: *.example.com")
        patterns.expression(scope, "containers")
        return scope, 10 + len(scope)
    if "*" in scope or "?" in scope:
        raise PolicyInvalidError(f"{where}: a scope has no wildcards but *. at its front")
    if scope.endswith("/") or scope.startswith("index.docker.io"):
        raise PolicyInvalidError(
            f"{where}: nothing is called so", hint="names are fully expanded: docker.io/library/busybox"
        )
    try:
        last = scope.rpartition("/")[2]
        if "/" in scope and "@" in last and ":" in last.partition("@")[0]:
            raise PolicyInvalidError(f"{where}: a scope has a tag or a digest, never both")
        if "/" in scope:
            found = parse(scope) if "@" in last or ":" in last else parse_repository(scope)
            if found.hub and not scope.startswith("docker.io/"):
                raise PolicyInvalidError(f"{where}: nothing is called so", hint="begin with the host: docker.io/…")
    except InvalidReferenceError as error:
        if not scope.startswith("docker.io/"):
            raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error
    patterns.expression(scope, "containers")
    return scope, _EXACT + len(scope)


# -- P22


def _asks(demand: Expression) -> int:
    """How many signatures a scope asks for."""
    parts = demand.parts if isinstance(demand, Count) else ()
    return sum(bool(attestors(part)) for part in parts)


def _refuses(part: Expression) -> bool:
    if isinstance(part, Count):
        return any(_refuses(each) for each in part.parts)
    return isinstance(part, Static) and not part.passes


def _weaker(scopes: list[_Scope]) -> list[Note]:
    """A narrower scope replaces the wider one: what it leaves out is not asked for (P22)."""
    found = []
    for scope in scopes:
        wider = [each for each in scopes if each.specificity < scope.specificity and _covers(each, scope)]
        if not wider:
            continue
        parent = max(wider, key=lambda each: each.specificity)
        if _refuses(scope.demand):
            continue
        # That what a wider scope rejects is admitted with a signature is what scopes are for.
        if _asks(scope.demand) < max(_asks(parent.demand), int(_refuses(parent.demand))):
            message = f"{scope.title} asks for less than {parent.title}, which it replaces"
            found.append(Note("policy-weaker", message, scope.where))
    return found


def _covers(wide: _Scope, narrow: _Scope) -> bool:
    if wide.pattern == "*":
        return True
    if wide.pattern.startswith("*."):
        host = narrow.pattern.removeprefix("*.").partition("/")[0]
        return host.endswith(wide.pattern[1:])
    rest = narrow.pattern.removeprefix(wide.pattern)
    return narrow.pattern.startswith(wide.pattern) and rest[:1] in {"/", ":", "@"}
