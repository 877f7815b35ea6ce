"""Registries as the webhook asks them: with whose credentials, where they may be, and what is known of them between runs.

A run of flows has a session of its own (what is in flight belongs to one run); what it learned (schemes, tokens) is kept
for the next one, bounded. Credentials belong to a scope: that of the operator, one a namespace when pull secrets of
namespaces are read, and one more for each set of Secrets that a policy names. Nothing of one scope is ever used in another
(K16).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sealgate import limits
from sealgate.oci.registry import Session
from sealgate.transport import address

if TYPE_CHECKING:
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.host import Exchange, RegistrySettings
    from sealgate.oci.reference import Reference
    from sealgate.oci.registry import RegistryStore
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.transport.flow import Flow
    from sealgate.workloads.workload import Workload


class Scope(NamedTuple):
    """Whose credentials ask. Two scopes of one name have the same credentials."""

    name: str = ""
    """`""`: the operator's. Part of what verdicts are kept under."""
    credentials: Callable[[str, str], Credentials | None] | None = None
    """As `RegistrySettings.credentials`; None: those of the settings."""
    exchange: Exchange | None = None
    """As `RegistrySettings.exchange`; None: that of the settings."""


OPERATOR = Scope()


class Scopes(Protocol):
    """Says whose credentials ask, by asking the cluster: `pullsecrets.Scopes`."""

    def __call__(self, workload: Workload, /) -> Flow[Scope]:
        """Raises what reading pull secrets raises."""


class Run:
    """The stores of one run of flows."""

    def __init__(self, known: Registries, scope: Scope, session: Session) -> None:
        self._known = known
        self._scope = scope
        self._session = session
        self._used: set[str] = set()

    def repository(self, reference: Reference) -> RegistryStore:
        """The store of a reference's repository. Raises `AddressError` for a registry that may not be asked."""
        address.check_name(reference.host, self._session.settings.addresses)
        self._used.add(reference.registry)
        return self._session.repository(reference)

    def end(self) -> None:
        """Keep what was learned."""
        self._known.learn(self._scope, self._session, self._used)


class Registries:
    """What is known of registries."""

    def __init__(self, settings: RegistrySettings, scopes: Scopes | None = None) -> None:
        """`scopes`: where pull secrets of namespaces are read; without it everything is asked as the operator."""
        self.settings = settings
        self.scopes = scopes
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        """By scope and registry: a session that knows this one host."""

    async def scope(self, workload: Workload) -> Scope:
        """Whose credentials ask for the images of a workload. Raises what reading its pull secrets raises."""
        return OPERATOR if self.scopes is None else await self.scopes(workload)

    def under(self, scope: Scope, keyring: PullSecrets) -> Scope:
        """The scope of a rule that names credentials: those first, then what would ask without them."""
        found = keyring.over(self._of(scope))
        return Scope(f"{scope.name}+{keyring.scope}", found.credentials, found.exchange)

    def begin(self, scope: Scope, registries: tuple[str, ...]) -> Run:
        """The stores of a run that is about images of these registries."""
        session = Session(self._of(scope))
        for registry in registries:
            known = self._sessions.get((scope.name, registry))
            if known is not None:
                session.learn(known)
        return Run(self, scope, session)

    def _of(self, scope: Scope) -> RegistrySettings:
        settings = self.settings
        if scope.credentials is not None:
            settings = settings._replace(credentials=scope.credentials)
        return settings if scope.exchange is None else settings._replace(exchange=scope.exchange)

    def learn(self, scope: Scope, session: Session, registries: set[str]) -> None:
        """Take over what a run that has ended knows."""
        for registry in registries:
            where = (scope.name, registry)
            self._sessions[where] = session.of(registry, most=limits.TOKENS)
            self._sessions.move_to_end(where)
            if len(self._sessions) > limits.HOSTS:
                self._sessions.popitem(last=False)
