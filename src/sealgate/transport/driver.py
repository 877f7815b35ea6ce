"""The command line's driver: flows on the calling thread, requests in a few daemon threads.

The calling thread runs every flow, one at a time, and waits on a queue, so Ctrl-C and the deadline are always heard.
When the deadline passes, everything that waits gets a `DeadlineError` and new requests fail at once: each image of a run
still gets its own answer.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from sealgate import limits
from sealgate.errors import DeadlineError, SealgateError
from sealgate.transport import flow as effects
from sealgate.transport.flow import Flow
from sealgate.transport.message import Request, Response

T = TypeVar("T")
Sender = Callable[[Request, float], Response]
"""Sends a request, given the monotonic time at which the whole run ends."""

_MAX_THREADS = 64


class _Cancelled(BaseException):
    """Thrown into a flow that was given up."""


class _Task:
    __slots__ = ("done", "error", "flow", "joiners", "result", "token")

    def __init__(self, flow: Flow[Any]) -> None:
        self.flow = flow
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.joiners: list[_Task] = []
        self.token = 0
        """Counts the waits of this task, so that an answer to a wait that was given up is ignored."""


class _Threads:
    """Daemon threads, started when there is more to do than threads that idle."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = 0
        self._count = 0
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._count < _MAX_THREADS:
                self._count += 1
                threading.Thread(target=self._work, daemon=True).start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()
            with self._lock:
                self._idle += 1

    def stop(self) -> None:
        for _ in range(self._count):
            self._jobs.put(None)


class Scheduler:
    """Drives one flow, and what it spawns, to its end."""

    def __init__(self, sender: Sender, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._sender = sender
        self._clock = clock
        self._deadline = clock() + seconds
        self._seconds = seconds
        self._expired = False
        self._ready: deque[tuple[_Task, Any, BaseException | None]] = deque()
        self._answers: queue.SimpleQueue[tuple[_Task, int, Any, BaseException | None]] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, _Task, int]] = []
        self._waiting: set[_Task] = set()
        self._threads = _Threads()
        self._in_flight: dict[tuple[str, int], int] = {}
        self._queued: dict[tuple[str, int], deque[Callable[[], None]]] = {}
        self._sequence = 0

    def run(self, flow: Flow[T]) -> T:
        """Drive `flow`; its result, or its error raised."""
        root = _Task(flow)
        self._ready.append((root, None, None))
        try:
            while not root.done:
                if self._ready:
                    self._step(*self._ready.popleft())
                else:
                    self._wait()
        finally:
            self._threads.stop()
            for task in list(self._waiting):
                task.flow.close()
            root.flow.close()
        if root.error is not None:
            raise root.error
        return root.result  # type: ignore[no-any-return]

    def _wait(self) -> None:
        """Sleep until an answer, a timer or the deadline; then make tasks ready."""
        moment = self._clock()
        until = self._timers[0][0] if self._timers else moment + 3600
        if not self._expired:
            until = min(until, self._deadline)
        try:
            task, token, value, error = self._answers.get(timeout=max(until - moment, 0))
            self._resume(task, token, value, error)
        except queue.Empty:
            pass
        moment = self._clock()
        while self._timers and self._timers[0][0] <= moment:
            _, _, task, token = heapq.heappop(self._timers)
            self._resume(task, token, None, None)
        if not self._expired and moment >= self._deadline:
            self._expired = True
            for task in list(self._waiting):
                self._resume(task, task.token, None, self._too_late())

    def _resume(self, task: _Task, token: int, value: object, error: BaseException | None) -> None:
        if not task.done and task.token == token and task in self._waiting:
            self._waiting.discard(task)
            self._ready.append((task, value, error))

    def _too_late(self) -> DeadlineError:
        return DeadlineError(
            f"the time-out of {self._seconds:g} s passed before the answer came",
            hint="--timeout sets it; the registry may be slow or out of reach",
        )

    def _step(self, task: _Task, value: object, error: BaseException | None) -> None:
        """Run a task up to the next effect that takes time."""
        if task.done:
            return
        while True:
            try:
                effect = task.flow.send(value) if error is None else task.flow.throw(error)
            except StopIteration as stop:
                self._finish(task, stop.value, None)
                return
            except (SealgateError, _Cancelled) as caught:
                self._finish(task, None, caught)
                return
            except BaseException as caught:
                self._finish(task, None, caught)
                if not isinstance(caught, Exception):
                    raise
                return
            value = error = None
            if isinstance(effect, effects.Now):
                value = self._clock()
            elif isinstance(effect, effects.Spawn):
                value = _Task(effect.flow)
                self._ready.append((value, None, None))
            elif isinstance(effect, effects.Cancel):
                self._cancel(effect.task, task)
            elif isinstance(effect, effects.Join):
                other: _Task = effect.task
                if not other.done:
                    other.joiners.append(task)
                    self._waiting_for_task(task)
                    return
                value, error = other.result, other.error
            elif self._expired:
                error = self._too_late()
            else:
                self._begin(task, effect)
                return

    def _waiting_for_task(self, task: _Task) -> None:
        """A join ends with its task, not with the deadline: the joined task hears of that."""
        task.token += 1

    def _begin(self, task: _Task, effect: object) -> None:
        task.token += 1
        self._waiting.add(task)
        if isinstance(effect, effects.Sleep):
            self._sequence += 1
            heapq.heappush(self._timers, (self._clock() + effect.seconds, self._sequence, task, task.token))
        elif isinstance(effect, effects.Call):
            self._dispatch(("", 0), task, effect.function)
        elif isinstance(effect, effects.Send):
            request = effect.request
            self._dispatch(
                (request.url.host, request.url.port), task, lambda: self._sender(request, self._deadline)
            )
        else:
            raise TypeError(f"a flow awaited something that is not an effect: {effect!r}")

    def _dispatch(self, host: tuple[str, int], task: _Task, function: Callable[[], Any]) -> None:
        """Run `function` in a thread, at most `CONNECTIONS_PER_HOST` at once for one host."""
        token = task.token

        def job() -> None:
            value, error = None, None
            try:
                value = function()
            except BaseException as caught:  # noqa: BLE001 - handed over to the flow, whatever it is
                error = caught
            self._answers.put((task, token, value, error))
            with lock:
                waiting = self._queued.get(host)
                if waiting:
                    following = waiting.popleft()
                else:
                    self._in_flight[host] -= 1
                    return
            self._threads.submit(following)

        lock = self._threads._lock  # noqa: SLF001 - one lock guards the small shared state of this module
        with lock:
            if self._in_flight.get(host, 0) >= limits.CONNECTIONS_PER_HOST:
                self._queued.setdefault(host, deque()).append(job)
                return
            self._in_flight[host] = self._in_flight.get(host, 0) + 1
        self._threads.submit(job)

    def _finish(self, task: _Task, result: object, error: BaseException | None) -> None:
        task.done = True
        task.result = result
        task.error = error
        for joiner in task.joiners:
            if not joiner.done:
                self._ready.append((joiner, result, error))
        task.joiners.clear()

    def _cancel(self, task: _Task, by: _Task) -> None:
        if task.done or task is by:
            return
        self._waiting.discard(task)
        task.flow.close()
        self._finish(task, None, None)


def run(
    flow: Flow[T],
    *,
    sender: Sender,
    seconds: float = limits.TOTAL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Drive `flow` with `sender` to its end, at most `seconds` long. Raises what the flow raises."""
    return Scheduler(sender, seconds=seconds, clock=clock).run(flow)
