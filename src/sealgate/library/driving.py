"""How a client's flows are driven: on asyncio by aiohttp where that is installed, else in threads; what is kept between calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from sealgate.errors import AbortedError, UsageError
from sealgate.library.operations import Place
from sealgate.oci.host import RegistrySettings
from sealgate.oci.registry import Session

if TYPE_CHECKING:
    from sealgate.transport.flow import Flow
    from sealgate.transport.http import HttpClient
    from sealgate.transport.message import Request, Response
    from sealgate.transport.proxy import Proxies

T = TypeVar("T")
Adapter = Literal["aiohttp", "threads"]
ANONYMOUS = RegistrySettings()
"""No credentials, the system's authorities, https everywhere but on this machine and its network."""


class Knowledge:
    """What one client knows of registries: schemes and tokens. Calls that run at once have sessions of their own."""

    def __init__(self, registry: RegistrySettings, signature_repository: str | None) -> None:
        self._known = Session(registry)
        self._signature_repository = signature_repository
        self._lock = threading.Lock()

    def begin(self) -> Place:
        """For one call."""
        with self._lock:
            return Place(self._known.renewed(), self._signature_repository)

    def end(self, place: Place) -> None:
        """Keep what the call learned."""
        with self._lock:
            self._known.learn(place.session)


class Threads:
    """Drives flows on the calling thread, with a few daemon threads for the HTTP. May be used from several threads."""

    def __init__(self, proxies: Proxies | None) -> None:
        self._proxies = proxies
        self._client: HttpClient | None = None
        self._lock = threading.Lock()

    def run(self, flow: Flow[T], *, seconds: float, given_up: Callable[[], bool] = lambda: False) -> T:
        """Drive `flow` to its end. Once `given_up` says so, no further request is sent, and `AbortedError` is raised."""
        from sealgate.transport import driver

        client = self._get()

        def send(request: Request, deadline: float) -> Response:
            if given_up():
                raise AbortedError("the caller gave up")
            return client.send(request, deadline)

        return driver.run(flow, sender=send, seconds=seconds)

    async def run_beside(self, flow: Flow[T], *, seconds: float) -> T:
        """Drive `flow` in a thread, and let the event loop go on. When the caller is cancelled, no request is sent any more."""
        import asyncio

        stop = threading.Event()
        try:
            return await asyncio.to_thread(lambda: self.run(flow, seconds=seconds, given_up=stop.is_set))
        finally:
            stop.set()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _get(self) -> HttpClient:
        with self._lock:
            if self._client is None:
                from sealgate.transport.http import HttpClient

                self._client = HttpClient(proxies=self._proxies)
            return self._client


def run_alone(flow: Flow[T], *, seconds: float) -> T:
    """Drive one flow, and keep no connection."""
    threads = Threads(None)
    try:
        return threads.run(flow, seconds=seconds)
    finally:
        threads.close()


async def run_alone_beside(flow: Flow[T], *, seconds: float) -> T:
    """As `run_alone`, in a thread."""
    threads = Threads(None)
    try:
        return await threads.run_beside(flow, seconds=seconds)
    finally:
        threads.close()


def choose(adapter: Adapter | None) -> Adapter:
    """The adapter asked for, or the best one that is installed. Raises `UsageError` for one that is not."""
    import importlib.util

    installed = importlib.util.find_spec("aiohttp") is not None
    if adapter is None:
        return "aiohttp" if installed else "threads"
    if adapter not in {"aiohttp", "threads"}:
        raise UsageError("the adapter is aiohttp or threads")
    if adapter == "aiohttp" and not installed:
        raise UsageError("aiohttp is not installed", hint="pip install 'sealgate[async]'")
    return adapter
