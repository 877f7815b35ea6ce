"""Flows: code that says what it needs and lets a driver do it.

A flow is an `async def` that awaits only the functions of this module. It does no I/O and knows no event loop, so the
same code is driven by threads on the command line (`driver.run`, no asyncio import) and by asyncio in servers
(`asynchronous.run`). Only one flow runs at a time in either driver: between two awaits nothing else changes.

Measured before choosing (docs/benchmarks.md): asyncio alone costs 25–40 ms of start-up, threads cost half the throughput
of a server.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, NamedTuple, TypeVar, cast

from sealgate.errors import SealgateError
from sealgate.transport.message import Request, Response

T = TypeVar("T")
Flow = Coroutine[Any, Any, T]


class Send(NamedTuple):
    """Send a request, get its `Response`."""

    request: Request


class Sleep(NamedTuple):
    """Go on after that many seconds."""

    seconds: float


class Now(NamedTuple):
    """The driver's monotonic clock, in seconds."""


class Call(NamedTuple):
    """Run a slow, blocking function beside the flows (a credential helper, scrypt, a remote signer)."""

    function: Callable[[], Any]


class Spawn(NamedTuple):
    """Start a flow beside this one, get its task."""

    flow: Flow[Any]


class Join(NamedTuple):
    """Wait for a task, get its result or its error."""

    task: Any


class Cancel(NamedTuple):
    """Give a task up."""

    task: Any


@types.coroutine
def _perform(effect: object) -> Generator[object, Any, Any]:
    return (yield effect)


async def send(request: Request) -> Response:
    """Send one request. Raises `UnavailableError`s of the transport, and `LimitError`."""
    return cast("Response", await _perform(Send(request)))


async def sleep(seconds: float) -> None:
    """Wait."""
    await _perform(Sleep(seconds))


async def now() -> float:
    """The monotonic clock of the driver; tests inject it."""
    return cast("float", await _perform(Now()))


async def call(function: Callable[[], T]) -> T:
    """Run a blocking function beside the flows."""
    return cast("T", await _perform(Call(function)))


async def gather(flows: Iterable[Flow[T]], *, limit: int | None = None) -> list[T]:
    """Run flows at once (at most `limit`), results in order. The first error gives the others up and is raised."""
    outcomes = await settle(flows, limit=limit, stop_at_error=True)
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    return cast("list[T]", outcomes)


async def settle(
    flows: Iterable[Flow[T]], *, limit: int | None = None, stop_at_error: bool = False
) -> list[T | SealgateError]:
    """Run flows at once; each outcome, in order, is its result or its `SealgateError`. Other exceptions are raised."""
    waiting = list(enumerate(flows))
    outcomes: list[Any] = [None] * len(waiting)
    if len(waiting) == 1:
        try:
            return [await waiting[0][1]]
        except SealgateError as error:
            return [error]
    waiting.reverse()
    failed = False

    async def work() -> None:
        nonlocal failed
        while waiting:
            index, flow = waiting.pop()
            if failed and stop_at_error:
                flow.close()
                continue
            try:
                outcomes[index] = await flow
            except SealgateError as error:
                outcomes[index] = error
                failed = True
                if stop_at_error:
                    for other in tasks:
                        await _perform(Cancel(other))

    tasks: list[Any] = []
    for _ in range(min(limit or len(waiting), len(waiting))):
        tasks.append(await _perform(Spawn(work())))
    for task in tasks:
        await _perform(Join(task))
    for _, flow in waiting:
        flow.close()
    return outcomes


class Task(Generic[T]):
    """A flow that was started; `wait()` gives its outcome, as often as one likes."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    async def wait(self) -> T:
        """Its result, or its error raised."""
        return cast("T", await _perform(Join(self._handle)))

    async def cancel(self) -> None:
        """Give it up; no harm when it has ended."""
        await _perform(Cancel(self._handle))


async def spawn(flow: Flow[T]) -> Task[T]:
    """Start a flow beside this one."""
    return Task(await _perform(Spawn(flow)))


class Once(Generic[T]):
    """One run of a flow for whoever asks: the first starts it, everybody gets its outcome. An error is not kept."""

    def __init__(self) -> None:
        self._task: Task[T] | None = None

    async def get(self, start: Callable[[], Flow[T]]) -> T:
        """The outcome of `start()`, run at most once at a time."""
        task = self._task
        if task is None:
            task = self._task = await spawn(start())
        try:
            return await task.wait()
        except SealgateError:
            if self._task is task:
                self._task = None
            raise

