"""Both drivers, each with its HTTP adapter, under one face, so that one test says what both must do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sealgate.transport import driver, flow
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Request, Response, Url


class Threads:
    """`driver.run` with `http.HttpClient`."""

    name = "threads"

    def __init__(self, proxies=None) -> None:
        self.client = HttpClient(proxies=proxies)

    def run(self, wanted, *, seconds: float = 20, send=None) -> Any:
        """Drive a flow. `send(request)` answers instead of the network, when given."""
        sender = self.client.send if send is None else (lambda request, deadline: send(request))
        return driver.run(wanted, sender=sender, seconds=seconds)

    def close(self) -> None:
        self.client.close()


class Loop:
    """`asynchronous.run` with `AsyncHttpClient`."""

    name = "asyncio"

    def __init__(self, proxies=None) -> None:
        self.asynchronous = pytest.importorskip("sealgate.transport.asynchronous")
        self.runner = asyncio.Runner()
        self.client = self.asynchronous.AsyncHttpClient(proxies=proxies)

    def run(self, wanted, *, seconds: float = 20, send=None) -> Any:
        class Client:
            async def send(self, request: Request, deadline: float, /) -> Response:
                return await asyncio.to_thread(send, request)

        client = self.client if send is None else Client()
        return self.runner.run(self.asynchronous.run(wanted, client=client, seconds=seconds))

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


class Adapters:
    """Makes adapters of one kind: `adapters(proxies=…)`."""

    def __init__(self, kind: type[Threads | Loop]) -> None:
        self.name = kind.name
        self._kind = kind
        self._made: list[Any] = []

    def __call__(self, **options) -> Any:
        self._made.append(self._kind(**options))
        return self._made[-1]

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture(params=[Threads, Loop], ids=["threads", "asyncio"])
def adapters(request) -> Iterator[Adapters]:
    made = Adapters(request.param)
    yield made
    made.close()


class Adapter:
    """An adapter, and a short way to send through it."""

    def __init__(self, made) -> None:
        self._made = made
        self.name = made.name
        self.run = made.run

    def send(self, request: Request, *, seconds: float = 20) -> Response:
        return self.run(flow.send(request), seconds=seconds)


@pytest.fixture
def adapter(adapters) -> Adapter:
    return Adapter(adapters())


@pytest.fixture
def get():
    """`get(registry, "/path", **fields)`: a GET request to a test server."""

    def make(registry, target: str = "/v2/", *, method: str = "GET", **fields) -> Request:
        scheme = "http" if registry.tls is None else "https"
        return Request(method, Url(scheme, fields.pop("host", registry.address), registry.port, target), **fields)

    return make
