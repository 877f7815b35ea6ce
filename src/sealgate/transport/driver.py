"""The command line's driver: flows on the calling thread, requests in a few daemon threads.

The calling thread runs every flow, one at a time, and waits on a queue, so Ctrl-C and the deadline are always heard, whatever
the threads are stuck in. When the deadline passes, everything that waits gets a `DeadlineError` and new requests fail at
once: each image of a run still gets its own answer.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sealgate import limits
from sealgate.transport import flow as effects
from sealgate.transport.flow import Flow
from sealgate.transport.message import Request, Response
from sealgate.transport.scheduler import Scheduler, Task

T = TypeVar("T")
Sender = Callable[[Request, float], Response]
"""Sends a request, given the monotonic time at which the whole run ends."""

_Host = tuple[str, int, bool]
_HERE: _Host = ("", 0, False)
"""Where `Call`s run."""
_MAX_THREADS = 64


def run(
    flow: Flow[T],
    *,
    sender: Sender,
    seconds: float = limits.TOTAL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] | None = None,
) -> T:
    """Drive `flow` with `sender` to its end, at most `seconds` long. Raises what the flow raises.

    Tests inject `clock`, and `pause`, which makes that clock go on when every task sleeps.
    """
    return cast("T", _ThreadedScheduler(flow, sender, seconds, clock, pause).run())


class _ThreadedScheduler(Scheduler):
    def __init__(
        self,
        flow: Flow[Any],
        sender: Sender,
        seconds: float,
        clock: Callable[[], float],
        pause: Callable[[float], None] | None,
    ) -> None:
        super().__init__(flow, seconds)
        self._sender = sender
        self._clock = clock
        self._pause = pause
        self._deadline = clock() + seconds
        self._answers: queue.SimpleQueue[tuple[Task, int, Any, BaseException | None]] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Task, int]] = []
        self._pending = 0
        """Answers that will come."""
        self._sequence = 0
        self._threads = _Threads()

    def now(self) -> float:
        return self._clock()

    def run(self) -> Any:
        try:
            while True:
                if not self.expired and self.now() >= self._deadline:
                    self.expire()
                self.advance()
                if self.done:
                    break
                self._wait()
        finally:
            self._threads.stop()
            self.close()
        return self.outcome()

    def _wait(self) -> None:
        """Sleep until an answer, a timer or the deadline; then make tasks ready."""
        moment = self.now()
        until = moment + 3600.0  # a queue cannot wait for ever and hear Ctrl-C
        if self._timers:
            until = min(until, self._timers[0][0])
        if not self.expired:
            until = min(until, self._deadline)
        if self._pause is not None and not self._pending:
            self._pause(max(until - moment, 0.0))
        else:
            try:
                answer = self._answers.get(timeout=max(until - moment, 0.0))
                while True:
                    self._pending -= 1
                    self.resume(*answer)
                    answer = self._answers.get_nowait()
            except queue.Empty:
                pass
        moment = self.now()
        while self._timers and self._timers[0][0] <= moment:
            _, _, task, token = heapq.heappop(self._timers)
            self.resume(task, token, None, None)

    def begin(self, task: Task, token: int, effect: object) -> None:
        if isinstance(effect, effects.Send):
            request = effect.request
            self._dispatch(
                (request.url.host, request.url.port, request.lasting),
                task,
                token,
                lambda: self._sender(request, self._deadline),
            )
        elif isinstance(effect, effects.Sleep):
            self._sequence += 1
            heapq.heappush(self._timers, (self.now() + max(effect.seconds, 0.0), self._sequence, task, token))
        elif isinstance(effect, effects.Call):
            self._dispatch(_HERE, task, token, effect.function)
        else:
            raise TypeError(f"a flow awaited something that is no effect: {effect!r}")

    def _dispatch(self, host: _Host, task: Task, token: int, function: Callable[[], Any]) -> None:
        def job() -> None:
            value, error = None, None
            if task.parked and task.token == token:  # else it was given up while it queued
                try:
                    value = function()
                except BaseException as caught:  # noqa: BLE001 - handed over to the flow, whatever it is
                    error = caught
            self._answers.put((task, token, value, error))

        self._pending += 1
        self._threads.submit(host, job)


class _Threads:
    """Daemon threads, started when there is more to do than threads that idle; few jobs at once for one host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[_Host, Callable[[], None]] | None] = queue.SimpleQueue()
        self._count = 0
        self._idle = 0
        """Threads without a job, less the jobs on their way to them."""
        self._running: dict[_Host, int] = {}
        self._queued: dict[_Host, deque[Callable[[], None]]] = {}
        self._stopped = False

    def submit(self, host: _Host, job: Callable[[], None]) -> None:
        """Run `job` as soon as `CONNECTIONS_PER_HOST` and the number of threads allow."""
        with self._lock:
            running = self._running.get(host, 0)
            if running >= limits.CONNECTIONS_PER_HOST:
                self._queued.setdefault(host, deque()).append(job)
                return
            self._running[host] = running + 1
            more = self._idle <= 0 and self._count < _MAX_THREADS
            if more:
                self._count += 1
            else:
                self._idle -= 1
        self._jobs.put((host, job))
        if more:
            self._start()

    def stop(self) -> None:
        """Begin nothing more. Threads end when they are free."""
        with self._lock:
            self._stopped = True
            self._queued.clear()
            count = self._count
        for _ in range(count):
            self._jobs.put(None)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, daemon=True).start()
        except RuntimeError:  # the system gives no more threads: fewer will do
            with self._lock:
                self._count -= 1
                self._idle -= 1
                if not self._count:
                    raise

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            host, job = item
            if not self._stopped:
                job()
            with self._lock:
                queued = self._queued.get(host)
                if queued:
                    self._jobs.put(
                        (host, queued.popleft())
                    )  # behind other hosts' jobs; one thread, one job: still even
                else:
                    self._running[host] -= 1
                    self._idle += 1
