"""Credentials that clouds gave, kept until shortly before they expire.

One `Exchanger` serves any number of runs of flows; what is in flight belongs to the run that asked. Errors are not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.oci.exchange import providers

if TYPE_CHECKING:
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.exchange.ambient import Ambient


class _Kept(NamedTuple):
    credentials: Credentials
    since: float
    until: float


class Exchanger:
    """`RegistrySettings.exchange`: the credentials of registries that belong to one of these providers."""

    def __init__(self, names: Iterable[str], ambient: Ambient) -> None:
        """`names`: some of `providers.NAMES`."""
        self._names = tuple(sorted(names))
        self._ambient = ambient
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def __repr__(self) -> str:
        return f"Exchanger({', '.join(self._names)})"

    async def __call__(self, registry: str, /) -> tuple[Credentials, float] | None:
        """Credentials of a canonical registry, and for how many seconds they may be used; None: it is no provider's.

        Raises as `providers.exchange`.
        """
        where = self.where(registry)
        if where is None:
            return None
        kept = self.kept(where)
        if kept is not None:
            return kept
        found = await providers.exchange(where[0], registry, ambient=self._ambient)
        if found is None:
            return None
        now = self._ambient.clock()
        # One that lives shortly anyway is used for half of that.
        until = max(found.expires - limits.EXCHANGE_MARGIN_SECONDS, (now + found.expires) / 2)
        until = min(until, now + limits.EXCHANGED_SECONDS)
        if until > now:
            self._kept[where] = _Kept(found.credentials, now, until)
            self._kept.move_to_end(where)
            if len(self._kept) > limits.EXCHANGES:
                self._kept.popitem(last=False)
        return found.credentials, max(until - now, 0.0)

    def kept(self, where: tuple[str, str]) -> tuple[Credentials, float] | None:
        """What is known and may be used still."""
        now = self._ambient.clock()
        kept = self._kept.get(where)
        # Before `since`: the clock was set back, and nobody knows how far.
        if kept is None or not kept.since <= now < kept.until:
            return None
        return kept.credentials, kept.until - now

    def refused(self, registry: str, credentials: Credentials, /) -> None:
        """The registry does not take them: they are asked for anew next time."""
        where = self.where(registry)
        kept = self._kept.get(where) if where is not None else None
        if where is not None and kept is not None and kept.credentials == credentials:
            del self._kept[where]

    def where(self, registry: str) -> tuple[str, str] | None:
        """The provider that a canonical registry belongs to, and what its credentials are kept under."""
        for name in self._names:
            found = providers.key(name, registry)
            if found is not None:
                return name, found
        return None
