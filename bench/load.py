"""A load generator for the webhook: TLS, keep-alive, as many requests as it can or so many a second, on one event loop.

At a given rate each request has a moment at which it is due, and its time counts from then: what waits because the server
is behind counts as time. Answers are looked at: one that does not admit is a failure of the measurement.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Load(NamedTuple):
    """What came of it; times in seconds, sorted."""

    seconds: float
    times: list[float]

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        return self.times[min(int(len(self.times) * share), len(self.times) - 1)]


class Target(NamedTuple):
    """The webhook."""

    host: str
    port: int
    context: ssl.SSLContext


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._left = -1
        self._received = bytearray()
        self._done: Callable[[bytes], None] | None = None
        self._lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost is not None and self._done is not None:
            self._lost()

    def send(self, request: bytes, done: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._done, self._lost = done, lost
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._left < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            start = self._received.index(b"content-length: ") + 16
            self._left = end + 4 + int(self._received[start : self._received.index(b"\r\n", start)])
        if len(self._received) >= self._left and self._done is not None:
            body, done = bytes(self._received), self._done
            self._received.clear()
            self._left = -1
            self._done = None
            done(body)

    def close(self) -> None:
        self._lost = None
        self._transport.close()


def request(path: str, review: bytes, *, timeout: str = "10s") -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path}?timeout={timeout} HTTP/1.1\r\nHost: sealgate.security.svc\r\nUser-Agent: kube-apiserver-admission\r\n"
        f"Accept: application/json, */*\r\nContent-Type: application/json\r\nContent-Length: {len(review)}\r\n\r\n"
    )
    return head.encode() + review


def run(
    target: Target, requests: Sequence[bytes], *, connections: int, seconds: float | None = None,
    rate: float | None = None,
) -> Load:  # fmt: skip
    """Send these (over and over while `seconds` last; each once without). `rate`: so many a second; None: as fast as it goes."""
    import uvloop

    gc.disable()
    try:
        return uvloop.run(_run(target, requests, connections, seconds, rate))
    finally:
        gc.enable()


async def _run(
    target: Target, requests: Sequence[bytes], count: int, seconds: float | None, rate: float | None
) -> Load:
    loop = asyncio.get_running_loop()
    free: deque[_Connection] = deque()
    for start in range(0, count, 50):  # a server's backlog is not what is measured
        made = [
            loop.create_connection(_Connection, target.host, target.port, ssl=target.context)
            for _ in range(min(50, count - start))
        ]
        free.extend(connection for _, connection in await asyncio.gather(*made))
    every = list(free)
    waiting: deque[tuple[bytes, float]] = deque()
    times: list[float] = []
    failures: list[bytes] = []
    state = {"sent": 0, "open": 0}
    idle = asyncio.Event()
    begun = time.perf_counter()
    total = len(requests) if seconds is None else None

    def lost() -> None:
        failures.append(b"a connection was closed")
        idle.set()

    def start(connection: _Connection, body: bytes, due: float) -> None:
        state["open"] += 1

        def done(answer: bytes) -> None:
            state["open"] -= 1
            times.append(time.perf_counter() - due)
            if b'"allowed":true' not in answer and len(failures) < 5:
                failures.append(answer[:1000])
            if waiting:
                start(connection, *waiting.popleft())
                return
            free.append(connection)
            if rate is None and more():
                take()
            elif not state["open"]:
                idle.set()

        connection.send(body, done, lost)

    def more() -> bool:
        return state["sent"] < total if total is not None else time.perf_counter() - begun < (seconds or 0)

    def take(due: float | None = None) -> None:
        body = requests[state["sent"] % len(requests)]
        state["sent"] += 1
        moment = time.perf_counter() if due is None else due
        if free:
            start(free.popleft(), body, moment)
        else:
            waiting.append((body, moment))

    if rate is None:
        while free and more():
            take()
    else:
        while more():
            due = begun + state["sent"] / rate
            now = time.perf_counter()
            if due > now:
                await asyncio.sleep(due - now)
                continue
            take(due)
            if state["sent"] % 16 == 0:
                await asyncio.sleep(0)
    while (state["open"] or waiting) and not failures:
        idle.clear()
        await asyncio.wait_for(idle.wait(), 60)
    ended = time.perf_counter()
    for connection in every:
        connection.close()
    if failures:
        raise RuntimeError(f"not every pod was admitted: {failures[0].decode(errors='replace')}")
    return Load(ended - begun, sorted(times))
