"""From files and objects to `Policies`: which dialect an object is in, and one set made of all of them. Pure.

A policy that cannot be read stops everything: whoever loads policies decides whether the old ones stay in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from sealgate import limits
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import compiling
from sealgate.policy.attestors import Settings
from sealgate.policy.model import Exemption, Note, Policies, Rule

if TYPE_CHECKING:
    from sealgate.policy.mirrors import Mirror
    from sealgate.policy.model import NoMatch

_READERS: dict[tuple[str, str], str] = {
    ("kyverno.io", "ClusterPolicy"): "kyverno.policy",
    ("kyverno.io", "Policy"): "kyverno.policy",
    ("kyverno.io", "PolicyException"): "kyverno.exception",
    ("policies.kyverno.io", "ImageValidatingPolicy"): "kyverno.validating",
    ("policies.kyverno.io", "NamespacedImageValidatingPolicy"): "kyverno.validating",
    ("policies.kyverno.io", "PolicyException"): "kyverno.validating_exception",
    ("policy.sigstore.dev", "ClusterImagePolicy"): "sigstore.policy",
    ("policy.sigstore.dev", "TrustRoot"): "sigstore.trust",
    ("sealgate.dev", "ImagePolicy"): "own.policy",
    ("sealgate.dev", "ClusterImagePolicy"): "own.policy",
    ("sealgate.dev", "PolicyException"): "own.policy",
}
"""API group and kind, and the module of this room that reads it: a function `read(source, context) -> Loaded`."""
_OTHERS = frozenset({"Secret", "ConfigMap", "Namespace", "List"})
"""Objects that policies refer to; they may stand in the same files."""


class Source(NamedTuple):
    """One object of a file or of the cluster."""

    file: str
    """For people: the file's name, `cluster`."""
    document: Mapping[str, Any]

    @property
    def group(self) -> str:
        """The API group."""
        version = self.document.get("apiVersion")
        return version.rpartition("/")[0] if isinstance(version, str) else ""

    @property
    def version(self) -> str:
        """The API version: `v1`."""
        version = self.document.get("apiVersion")
        return version.rpartition("/")[2] if isinstance(version, str) else ""

    @property
    def kind(self) -> str:
        """The kind; `""` when it has none."""
        kind = self.document.get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def namespace(self) -> str:
        """`metadata.namespace`."""
        return self._metadata("namespace")

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self._metadata("name")

    @property
    def where(self) -> str:
        """For messages: `file.yaml: ClusterPolicy/check-image`."""
        title = f"{self.kind}/{self.name}" if self.name else self.kind or "an object without a kind"
        return f"{self.file}: {title}" if self.file else title

    def _metadata(self, name: str) -> str:
        metadata = self.document.get("metadata")
        value = metadata.get(name) if isinstance(metadata, Mapping) else None
        return value if isinstance(value, str) else ""


class AbsentError(PolicyInvalidError):
    """What a policy refers to is not there."""


class UnsettledError(PolicyInvalidError):
    """What a policy refers to may not be referred to, or is not known yet: no reader goes on without it."""


class References(Protocol):
    """What policies refer to beside themselves. Raises `PolicyInvalidError`: `AbsentError` for what is not there (it may come
    later), `UnsettledError`, and itself for what is malformed.
    """

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, decoded."""

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap."""

    def trust_root(self, name: str) -> Source:
        """A `TrustRoot` of policy-controller."""


class Context(NamedTuple):
    """What a reader may know beside the object."""

    settings: Settings
    references: References
    home: str
    """The namespace that the policies of a whole cluster take their Secrets from (`kyverno`, `cosign-system`)."""
    file: Callable[[str], bytes] | None = None
    """Read a local file that a policy names (policy.json's `keyPath`); None: policies may name none."""
    personal: bool = False
    """A person judges: their own credentials stand in for Secrets that are not there. A server has none of a person's."""


class Loaded(NamedTuple):
    """What one object came to."""

    rules: tuple[Rule, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    notes: tuple[Note, ...] = ()
    mirrors: tuple[Mirror, ...] = ()


class _Reader(Protocol):
    def read(self, source: Source, context: Context) -> Loaded: ...


def is_policy(source: Source) -> bool:
    """Whether some reader takes this object."""
    return _module(source) is not None


def _module(source: Source) -> str | None:
    """Who reads an object. policy.json has neither version nor kind, and always `default`."""
    document = source.document
    if "default" in document and "kind" not in document and "apiVersion" not in document:
        return "containers.policy"
    return _READERS.get((source.group, source.kind))


def load(sources: Iterable[Source], context: Context, *, no_match: NoMatch | None = None) -> Policies:
    """All policies of these objects. Raises `PolicyInvalidError` for the first that cannot be read, or is none at all."""
    rules: list[Rule] = []
    exemptions: list[Exemption] = []
    notes: list[Note] = []
    mirrors: dict[str, Mirror] = {}
    seen: set[tuple[str, str, str, str]] = set()
    for source in sources:
        found = read(source, context)
        if found is None:
            continue
        key = (source.group, source.kind, source.namespace, source.name)
        if key in seen:
            raise PolicyInvalidError(f"{source.where} stands there twice", hint="one of them would hide the other")
        seen.add(key)
        rules += found.rules
        exemptions += found.exemptions
        notes += found.notes
        for mirror in found.mirrors:
            if mirrors.setdefault(mirror.mirror, mirror) != mirror:
                raise PolicyInvalidError(f"{source.where}: {mirror.mirror} is a mirror of two registries")
        if len(rules) > limits.POLICY_RULES:
            raise PolicyInvalidError(f"more than {limits.POLICY_RULES} rules")
    [looked] = compiling.look([rules])
    if looked.errors:
        raise looked.errors[0]
    notes += looked.notes
    return Policies(
        tuple(rules), tuple(exemptions), tuple(notes), no_match, context.settings.deny, tuple(mirrors.values())
    )


def read(source: Source, context: Context) -> Loaded | None:
    """The rules of one object; None for one that policies only refer to. Raises `PolicyInvalidError`."""
    module = _module(source)
    if module is None:
        if not source.group and source.kind in _OTHERS:
            return None
        known = ", ".join(sorted({kind for _, kind in _READERS}))
        raise PolicyUnsupportedError(
            f"{source.where} ({source.document.get('apiVersion')}) is no policy that is read here",
            hint=f"known: {known}",
        )
    reader = cast("_Reader", import_module(f"sealgate.policy.{module}"))
    return reader.read(source, context)
