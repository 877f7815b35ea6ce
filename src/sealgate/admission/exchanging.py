"""What several looks at images need of a cloud at once is asked once: credentials of its registries.

A question belongs to no look: it goes on when whoever asked first has given up, and all that wait get its outcome. Errors are
not kept.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.oci.exchange.cache import Exchanger
from sealgate.transport import asynchronous, flow

if TYPE_CHECKING:
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.host import Exchange, RegistrySettings

    _Lent = tuple[Credentials, float]


class SharedExchange:
    """`RegistrySettings.exchange` of a server. It belongs to one event loop."""

    def __init__(self, exchanger: Exchanger, client: asynchronous.Client) -> None:
        self._exchanger = exchanger
        self._client = client
        self._asked: dict[tuple[str, str], asyncio.Task[_Lent | None]] = {}

    async def __call__(self, registry: str, /) -> _Lent | None:
        """As `Exchanger`."""
        where = self._exchanger.where(registry)
        if where is None:
            return None
        kept = self._exchanger.kept(where)
        if kept is not None:
            return kept
        task = self._asked.get(where)
        if task is None:
            question = asynchronous.run(
                self._exchanger(registry), client=self._client, seconds=limits.EXCHANGE_TOTAL_SECONDS
            )
            task = self._asked[where] = asyncio.get_running_loop().create_task(question)
            task.add_done_callback(lambda _: self._end(where))
        found: _Lent | None = await flow.outside(task)
        return found

    def refused(self, registry: str, credentials: Credentials, /) -> None:
        """As `Exchanger`."""
        self._exchanger.refused(registry, credentials)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, where: tuple[str, str]) -> None:
        task = self._asked.pop(where)
        if not task.cancelled():
            task.exception()  # taken by those who wait, if anybody still does


class Exchanges:
    """What a server's settings and its policies name: each set of clouds is asked by one `SharedExchange`."""

    def __init__(self, client: asynchronous.Client) -> None:
        self._client = client
        self._shared: dict[frozenset[str], SharedExchange] = {}
        self._operators: SharedExchange | None = None

    def shared(self, settings: RegistrySettings) -> RegistrySettings:
        """The settings, with which every look asks the clouds together with the others."""
        if isinstance(settings.exchange, Exchanger):
            self._operators = SharedExchange(settings.exchange, self._client)
            settings = settings._replace(exchange=self._operators)
        clouds = settings.clouds
        if clouds is None:
            return settings

        def share(names: frozenset[str]) -> Exchange:
            found = self._shared.get(names)
            if found is None:
                made = clouds(names)
                if not isinstance(made, Exchanger):
                    return made
                found = self._shared[names] = SharedExchange(made, self._client)
            return found

        return settings._replace(clouds=share)

    async def close(self) -> None:
        """Give up what is being asked."""
        for each in (self._operators, *self._shared.values()):
            if each is not None:
                await each.close()
