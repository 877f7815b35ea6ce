"""Flows: code that says what it needs and lets a driver do it.

A flow is an `async def` that awaits only the functions of this module. It does no I/O and knows no event loop, so the
same code is driven by threads on the command line (`driver.run`, no asyncio import) and by asyncio in servers
(`asynchronous.run`). Only one flow runs at a time in either driver: between two awaits nothing else changes.

Measured before choosing (docs/benchmarks.md): asyncio alone costs 25–40 ms of start-up, threads cost half the throughput
of a server.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, NamedTuple, TypeVar, cast

from sealgate.errors import SealgateError, UnavailableError
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


class Outside(NamedTuple):
    """Wait for what runs outside of this run of flows: a future of the event loop. The servers' driver alone knows it.

    What is waited for goes on when the wait is given up.
    """

    future: Any


class Spawn(NamedTuple):
    """Start a flow beside this one, get its task."""

    flow: Flow[Any]
    effect: object = None
    """What a flow that was begun already waits for; None: it begins with the task."""


class Join(NamedTuple):
    """Wait for a task, get its result or its error."""

    task: Any


class Wait(NamedTuple):
    """Wait until a task has ended, however it ended."""

    task: Any


class Cancel(NamedTuple):
    """Give a task up: `Cancelled` is raised where it waits. Without effect on one that has ended, and on the asking one."""

    task: Any


class Cancelled(BaseException):
    """Raised in a flow that was given up. Flows do not catch it, except to tidy up and raise it again."""


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


async def outside(future: object) -> Any:
    """Wait for a future of the event loop that others wait for as well; it is not cancelled with this flow."""
    return await _perform(Outside(future))


async def gather(flows: Iterable[Flow[T]], *, limit: int | None = None) -> list[T]:
    """Run flows at once (at most `limit`), results in order. The first error gives the others up and is raised."""
    return cast("list[T]", await _run_together(list(flows), limit, stop_at_error=True))


async def settle(flows: Iterable[Flow[T]], *, limit: int | None = None) -> list[T | SealgateError]:
    """Run flows at once; each outcome, in order, is its result or its `SealgateError`. Other exceptions are raised."""
    return await _run_together(list(flows), limit, stop_at_error=False)


async def _run_together(flows: list[Flow[T]], limit: int | None, *, stop_at_error: bool) -> list[T | SealgateError]:
    outcomes: list[Any] = [_UNFINISHED] * len(flows)
    todo = deque(enumerate(flows))
    tasks: list[Any] = []
    failures: list[Exception] = []

    async def work() -> None:
        while todo and not failures:
            index, flow = todo.popleft()
            try:
                outcomes[index] = await flow
            except Exception as error:  # noqa: BLE001 - raised again below, in the flow that asked
                if isinstance(error, SealgateError) and not stop_at_error:
                    outcomes[index] = error
                    continue
                failures.append(error)
                for task in tasks:
                    await _perform(Cancel(task))

    try:
        if len(flows) == 1:
            await work()
        else:
            for _ in range(len(flows) if limit is None else min(max(limit, 1), len(flows))):
                if not todo or failures:
                    break
                worker = work()
                effect = await _begun(worker)  # here: flows that need not wait cost no task
                if not isinstance(effect, Ended):
                    tasks.append(await _perform(Spawn(worker, effect)))
            for task in tasks:
                await _perform(Wait(task))
    except BaseException:  # this flow itself was given up: nothing that was begun here goes on
        for task in tasks:
            await _perform(Cancel(task))
        raise
    finally:
        for _, flow in todo:
            flow.close()
    if failures:
        raise failures[0]
    if any(outcome is _UNFINISHED for outcome in outcomes):  # a task was given up: that is no result
        raise UnavailableError("given up, because something else had gone wrong")
    return outcomes


_UNFINISHED = object()


class Ended(NamedTuple):
    """What came of a flow that ended without waiting for anything."""

    result: Any


def begin(flow: Flow[Any]) -> object:
    """Run a flow up to its first effect: that effect, or how it `Ended`. Raises what it raises."""
    return _effect_of(flow.send, None)


async def _begun(flow: Flow[Any]) -> object:
    """Run a flow up to its first wait. What a driver answers at once lets nothing else run, here as there."""
    effect = begin(flow)
    while isinstance(effect, (Now, Spawn, Cancel)):
        try:
            value = await _perform(effect)
        except BaseException as error:  # noqa: BLE001 - it is the flow's that is asked for
            effect = _effect_of(flow.throw, error)
        else:
            effect = _effect_of(flow.send, value)
    return effect


def _effect_of(go_on: Callable[[Any], object], value: object) -> object:
    try:
        return go_on(value)
    except StopIteration as stop:
        return Ended(stop.value)


class Task(Generic[T]):
    """A flow that was started; `wait()` gives its outcome, as often as one likes."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    async def wait(self) -> T:
        """Its result, or its error raised; `UnavailableError` when it was given up."""
        return cast("T", await _perform(Join(self._handle)))

    async def cancel(self) -> None:
        """Give it up; no harm when it has ended."""
        await _perform(Cancel(self._handle))


async def spawn(flow: Flow[T]) -> Task[T]:
    """Start a flow beside this one. It does not end with the flow that started it, only with the whole run."""
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
