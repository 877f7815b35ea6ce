"""Policies from the cluster: watched objects of every dialect, what they refer to, and the labels of namespaces.

Each object is read on its own. One that cannot be read does not unload what it was before: that stays in force, and the fault
is told (`broken`, by object). One that never could be read refuses the images that it may be about: everything, or everything
in its own namespace when it belongs to one. So a replica that starts after a policy broke is no weaker than one that ran
before, and a tenant can shut nobody else out.

Nothing is in force before everything was listed once. What policies refer to is fetched by name, never listed: the Secrets
and ConfigMaps of the namespaces that the operator allows, and for a policy of a namespace those of this namespace (P23, X12).
They are looked at again every `REFERENCE_SECONDS`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission.cluster.reporting import State
from sealgate.admission.standing import Force
from sealgate.errors import ClusterDeniedError, ClusterMissingError, PolicyInvalidError, SealgateError
from sealgate.evidence import base64
from sealgate.kubernetes.resource import CONFIG_MAP, NAMESPACE, SECRET, Key, Resource
from sealgate.kubernetes.watch import Informer, labels
from sealgate.policy import compiling, reading
from sealgate.policy.index import Index
from sealgate.policy.model import Digests, Policies, Rule, Static
from sealgate.policy.reading import AbsentError, Context, Loaded, Source, UnsettledError
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.admission.cluster.reporting import Reporter
    from sealgate.kubernetes.client import Client
    from sealgate.policy.attestors import Settings
    from sealgate.policy.model import NoMatch
    from sealgate.workloads.workload import Workload

REFERENCE_SECONDS = 15.0
_SETTLE_SECONDS = 0.2
"""Changes that come together are read together."""
_DENIED = "denied"
"""In place of the data of an object that we may not read: why."""
_ROUNDS = 64
"""How often a policy is read again because it refers to something further."""

RESOURCES: tuple[Resource, ...] = (
    Resource("kyverno.io", "v1", "clusterpolicies", "ClusterPolicy", namespaced=False),
    Resource("kyverno.io", "v1", "policies", "Policy", namespaced=True),
    Resource("kyverno.io", "v2", "policyexceptions", "PolicyException", namespaced=True),
    Resource("policies.kyverno.io", "v1", "imagevalidatingpolicies", "ImageValidatingPolicy", namespaced=False),
    Resource(
        "policies.kyverno.io",
        "v1",
        "namespacedimagevalidatingpolicies",
        "NamespacedImageValidatingPolicy",
        namespaced=True,
    ),
    Resource("policies.kyverno.io", "v1", "policyexceptions", "PolicyException", namespaced=True),
    Resource("policy.sigstore.dev", "v1beta1", "clusterimagepolicies", "ClusterImagePolicy", namespaced=False),
    Resource("policy.sigstore.dev", "v1alpha1", "trustroots", "TrustRoot", namespaced=False),
    Resource("sealgate.dev", "v1alpha1", "clusterimagepolicies", "ClusterImagePolicy", namespaced=False),
    Resource("sealgate.dev", "v1alpha1", "imagepolicies", "ImagePolicy", namespaced=True),
    Resource("sealgate.dev", "v1alpha1", "policyexceptions", "PolicyException", namespaced=False),
)
"""What is watched; a kind that the cluster does not have is looked for now and then."""


class ObjectKey(NamedTuple):
    """Which object of the cluster."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind}.{self.group}/{place}"


class _Everything:
    def selects(self, workload: Workload) -> bool:
        return True


class _MissingError(UnsettledError):
    """Something that a policy refers to has not been fetched yet."""


class References:
    """`reading.References` of one policy to objects of the cluster that were fetched; what is missing is noted down."""

    def __init__(
        self,
        fetched: Mapping[tuple[str, Key], Mapping[str, Any] | None],
        roots: Mapping[str, Source],
        allowed: frozenset[str],
    ) -> None:
        self._fetched = fetched
        self._roots = roots
        self._allowed = allowed
        self.wanted: set[tuple[str, Key]] = set()
        """Everything that was asked for."""

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, decoded."""
        document = self._get("Secret", namespace, name)
        return {
            key: base64.decode(value, what=f"the Secret {namespace}/{name}: {key}", error=PolicyInvalidError)
            for key, value in _texts(document, "Secret", namespace, name).items()
        }

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap."""
        return _texts(self._get("ConfigMap", namespace, name), "ConfigMap", namespace, name)

    def trust_root(self, name: str) -> Source:
        """A `TrustRoot` of policy-controller."""
        found = self._roots.get(name)
        if found is None:
            raise AbsentError(f"a policy refers to the TrustRoot {name}, which the cluster does not have")
        return found

    def _get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        if namespace not in self._allowed:
            raise UnsettledError(
                f"a policy refers to the {kind} {namespace}/{name}, and may not: only {', '.join(sorted(self._allowed)) or 'none'}",
                hint="policies of a namespace use what is in it; those of the whole cluster what the operator allows",
            )
        where = (kind, Key(namespace, name))
        self.wanted.add(where)
        if where not in self._fetched:
            raise _MissingError(f"the {kind} {namespace}/{name} has not been fetched yet")
        found = self._fetched[where]
        if found is not None and _DENIED in found:
            raise PolicyInvalidError(
                f"a policy refers to the {kind} {namespace}/{name}: {found[_DENIED]}",
                hint="RBAC decides that; `sealgate admission install` prints what is needed",
            )
        if found is None:
            raise AbsentError(f"a policy refers to the {kind} {namespace}/{name}, which the cluster does not have")
        return found


def _texts(document: Mapping[str, Any], kind: str, namespace: str, name: str) -> dict[str, str]:
    data = document.get("data") or {}
    if not isinstance(data, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in data.items()
    ):
        raise PolicyInvalidError(f"the {kind} {namespace}/{name} has data that is no text by name")
    return dict(data)


class _Read(NamedTuple):
    """What is known of one object."""

    loaded: Loaded
    error: SealgateError | None


class ClusterPolicies:
    """Keeps what is in force. `run` never ends; it shares state with nobody but through `force`, replaced at once."""

    def __init__(
        self, client: Client, settings: Settings, *, home: str, allowed: Iterable[str], no_match: NoMatch | None,
        changed: Callable[[ClusterPolicies], object] = lambda _: None, watch_seconds: int = limits.WATCH_SECONDS,
        reference_seconds: float = REFERENCE_SECONDS, reporter: Reporter | None = None,
    ) -> None:  # fmt: skip
        """`home`: where policies of the whole cluster have their Secrets; `allowed`: further namespaces that they may name.

        `reporter`: tells the cluster which of them can be read; None: nobody is told there.
        """
        self.force: Force | None = None
        """None: not everything was listed yet, and nothing may be admitted."""
        self.broken: dict[ObjectKey, SealgateError] = {}
        """Objects that cannot be read, and why; what they were before is still in force."""
        self._client = client
        self._settings = settings
        self._home = home
        self._allowed = frozenset({home, *allowed})
        self._no_match = no_match
        self._told = changed
        self._reporter = reporter
        self._reference_seconds = reference_seconds
        self._dirty = True
        self._read: dict[ObjectKey, _Read] = {}
        self._fetched: dict[tuple[str, Key], dict[str, Any] | None] = {}
        self._informers = [
            Informer(client, each, changed=self._mark, optional=True, keep=_policy, seconds=watch_seconds)
            for each in RESOURCES
        ]
        self._namespaces = Informer(
            client, NAMESPACE, changed=self._mark, metadata_only=True, keep=labels, seconds=watch_seconds
        )

    @property
    def ready(self) -> bool:
        """Whether everything was listed once and is in force."""
        return self.force is not None

    @property
    def errors(self) -> dict[str, SealgateError]:
        """Resources that cannot be watched now, by name: what is in force of them may be old."""
        watched = [*self._informers, self._namespaces]
        return {each.resource.title(): each.error for each in watched if each.error is not None}

    def stale(self, now: float) -> dict[str, SealgateError]:
        """Those of `errors` that nobody has answered for a while (`limits.STALE_SECONDS`); `now`: the driver's clock."""
        watched = [*self._informers, self._namespaces]
        return {
            each.resource.title(): error
            for each in watched
            if (error := each.error) is not None
            and (each.since is None or now - each.since > limits.STALE_SECONDS)
            and not each.absent
        }

    def _mark(self) -> None:
        self._dirty = True

    async def run(self) -> None:
        """Watch, and put into force what changed."""
        watched = [*self._informers, self._namespaces]
        tasks = [await flow.spawn(each.run()) for each in watched]
        if self._reporter is not None:
            tasks.append(await flow.spawn(self._reporter.run()))
        due = await flow.now() + self._reference_seconds
        try:
            while True:
                await flow.sleep(_SETTLE_SECONDS)
                moment = await flow.now()
                if moment >= due:
                    due = moment + self._reference_seconds
                    if await self._refresh():
                        self._dirty = True
                if self._dirty and all(each.synced for each in watched):
                    self._dirty = False
                    await self._renew()
        finally:
            for task in tasks:
                await task.cancel()

    async def _refresh(self) -> bool:
        """Fetch again what policies refer to; whether anything is different. What cannot be asked for stays as it was."""
        different = False
        for where in list(self._fetched):
            try:
                found = await self._fetch(where)
            except SealgateError:
                continue
            if found != self._fetched[where]:
                self._fetched[where] = found
                different = True
        return different

    async def _fetch(self, where: tuple[str, Key]) -> dict[str, Any] | None:
        kind, key = where
        try:
            found = await self._client.get(SECRET if kind == "Secret" else CONFIG_MAP, key.namespace, key.name)
        except ClusterMissingError:
            return None
        except ClusterDeniedError as error:  # as good as gone: it is not there for us
            return {_DENIED: error.message}
        return {"data": found.get("data")}

    async def _renew(self) -> None:
        sources = self._sources()
        roots = {key.name: source for key, source in sources.items() if key.kind == "TrustRoot"}
        read: dict[ObjectKey, _Read] = {}
        fresh: dict[ObjectKey, _Read] = {}
        wanted: set[tuple[str, Key]] = set()
        for key, source in sources.items():
            allowed = frozenset({key.namespace}) if key.namespace else self._allowed
            loaded, error, used = await self._one(source, roots, allowed)
            wanted |= used
            fresh[key] = _Read(loaded, error)
        rules = [each.loaded.rules for each in fresh.values()]
        looked = await flow.call(lambda: compiling.look(rules))
        for (key, (loaded, unread)), texts in zip(fresh.items(), looked, strict=True):
            known, source = self._read.get(key), sources[key]
            error = unread or next(iter(texts.errors), None)
            if error is None:
                read[key] = _Read(loaded, None)
            elif known is not None:
                read[key] = known._replace(error=error)
            else:
                read[key] = _Read(Loaded((refusal(key, source, error),)), error)
        self._read = read
        self._fetched = {where: found for where, found in self._fetched.items() if where in wanted}
        self.broken = {key: each.error for key, each in read.items() if each.error is not None}
        before = self.force
        policies = Policies(
            tuple(rule for each in read.values() for rule in each.loaded.rules),
            tuple(exemption for each in read.values() for exemption in each.loaded.exemptions),
            tuple(note for each in read.values() for note in each.loaded.notes),
            self._no_match,
        )
        namespaces = {key.name: found for key, found in self._namespaces.objects().items()}
        self.force = Force(Index(policies), namespaces, (before.generation if before is not None else 0) + 1)
        self._told(self)
        if self._reporter is not None:  # last: who is told that a policy is in force may rely on it
            self._reporter.set(self._states(sources))

    def _states(self, sources: Mapping[ObjectKey, Source]) -> dict[object, State]:
        resources = {(each.group, each.kind): each for each in RESOURCES}
        return {
            key: State(resources[key.group, key.kind], key.namespace, key.name, _writing(source), self._read[key].error)
            for key, source in sources.items()
        }

    def _sources(self) -> dict[ObjectKey, Source]:
        found = {}
        for informer in self._informers:
            resource = informer.resource
            for key, document in sorted(informer.objects().items()):
                found[ObjectKey(resource.group, resource.kind, *key)] = Source("cluster", document)
        return found

    async def _one(
        self, source: Source, roots: Mapping[str, Source], allowed: frozenset[str]
    ) -> tuple[Loaded, SealgateError | None, set[tuple[str, Key]]]:
        """Read one object, and fetch what it refers to until it has all of it."""
        wanted: set[tuple[str, Key]] = set()
        for _ in range(_ROUNDS):
            references = References(self._fetched, roots, allowed)
            wanted = references.wanted
            context = Context(self._settings, references, self._home)
            try:
                return reading.read(source, context) or Loaded(), None, references.wanted
            except _MissingError as missing:
                # Of the namespaces that this policy may name: what others refer to shuts it out of nothing.
                if sum(key.namespace in allowed for _, key in self._fetched) >= limits.POLICY_REFERENCES:
                    return (
                        Loaded(),
                        PolicyInvalidError(f"policies refer to more than {limits.POLICY_REFERENCES} objects"),
                        references.wanted,
                    )
                try:
                    for where in references.wanted - self._fetched.keys():
                        self._fetched[where] = await self._fetch(where)
                except SealgateError as error:
                    self._dirty = True  # it may be had the next time
                    return Loaded(), PolicyInvalidError(f"{missing.message}: {error.message}"), references.wanted
            except SealgateError as error:
                return Loaded(), error, references.wanted
            except Exception as error:  # noqa: BLE001 - a fault in a reader must not unload what is in force either
                return (
                    Loaded(),
                    PolicyInvalidError(f"{source.where} cannot be read: {type(error).__name__}"),
                    references.wanted,
                )
        return Loaded(), PolicyInvalidError(f"{source.where} refers to ever more objects"), wanted


def refusal(key: ObjectKey, source: Source, error: SealgateError) -> Rule:
    """What stands in for a policy that never could be read: nothing that it may be about is admitted."""
    static = Static(passes=False, message=f"this policy cannot be read: {error.message}", where="")
    kyverno = key.group.endswith("kyverno.io")
    return Rule(
        policy=f"{key.namespace}/{key.name}" if key.namespace else key.name, name="", kind=key.kind,
        # Our own patterns name a registry always; `**` of the other dialect is every image, and what nothing matches is denied too.
        dialect="kyverno" if kyverno else "sigstore", where=source.where, namespace=key.namespace or None,
        action="enforce", selector=_Everything(), images=("*" if kyverno else "**",), demand=static,
        digests=Digests(mutate=False),
    )  # fmt: skip


def _writing(source: Source) -> str:
    """Tells one writing of an object from another."""
    return hashlib.sha256(json.dumps(source.document, sort_keys=True).encode()).hexdigest()


def _policy(document: dict[str, Any]) -> dict[str, Any]:
    """An object without what changes by itself: a status that we write must not make us read it again."""
    metadata = document.get("metadata")
    kept = (
        {name: metadata[name] for name in ("name", "namespace", "labels", "annotations") if name in metadata}
        if isinstance(metadata, dict)
        else {}
    )
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        kept["annotations"] = {
            name: value
            for name, value in annotations.items()
            if name != "kubectl.kubernetes.io/last-applied-configuration"
        }
    found = {name: value for name, value in document.items() if name not in {"status", "metadata"}}
    return json.loads(json.dumps({**found, "metadata": kept}))  # type: ignore[no-any-return]
