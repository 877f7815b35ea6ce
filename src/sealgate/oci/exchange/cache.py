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
        """`names`: those of `providers.NAMES`; `default` means nothing here. Raises `UsageError`."""
        self._names = tuple(sorted(providers.parse(",".join(names))))
        self._ambient = ambient
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def __repr__(self) -> str:
        return f"Exchanger({', '.join(self._names)})"

    async def __call__(self, registry: str) -> tuple[Credentials, float] | None:
        """Credentials of a canonical registry, and for how many seconds they may be used; None: it is no provider's.

        Raises as `providers.exchange`.
        """
        where = self._where(registry)
        if where is None:
            return None
        now = self._ambient.clock()
        kept = self._kept.get(where)
        # Before `since`: the clock was set back, and nobody knows how far.
        if kept is None or not kept.since <= now < kept.until:
            found = await providers.exchange(where[0], registry, ambient=self._ambient)
            if found is None:
                return None
            now = self._ambient.clock()
            until = min(found.expires - limits.EXCHANGE_MARGIN_SECONDS, now + limits.EXCHANGED_SECONDS)
            kept = _Kept(found.credentials, now, until)
            if until > now:
                self._kept[where] = kept
                self._kept.move_to_end(where)
                if len(self._kept) > limits.EXCHANGES:
                    self._kept.popitem(last=False)
        return kept.credentials, max(kept.until - now, 0.0)

    def refused(self, registry: str, credentials: Credentials) -> None:
        """The registry does not take them: they are asked for anew next time."""
        where = self._where(registry)
        kept = self._kept.get(where) if where is not None else None
        if where is not None and kept is not None and kept.credentials == credentials:
            del self._kept[where]

    def _where(self, registry: str) -> tuple[str, str] | None:
        for name in self._names:
            found = providers.key(name, registry)
            if found is not None:
                return name, found
        return None
