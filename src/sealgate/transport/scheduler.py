"""What both drivers share: flows as tasks, who waits for whom, giving up, and the deadline. No I/O, no threads, no loop.

A driver subclasses `Scheduler`, starts what takes time in `begin`, calls `resume` when it has the answer, and `advance`
to run every task up to its next wait.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from sealgate.errors import DeadlineError, SealgateError, UnavailableError
from sealgate.transport import flow as effects
from sealgate.transport.flow import Cancelled, Flow

_STUBBORN = 100_000
"""How many `DeadlineError`s one flow may shrug off before it is given up."""


class Task:
    """A flow and how far it came."""

    __slots__ = (
        "cancelled",
        "done",
        "effect",
        "error",
        "flow",
        "joined",
        "joiners",
        "late",
        "parked",
        "result",
        "token",
        "traceback",
    )

    def __init__(self, flow: Flow[Any], effect: object = None) -> None:
        self.flow = flow
        self.effect = effect
        """What a flow that was begun already waits for, until it is told to go on; None otherwise."""
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.traceback: Any = None
        """The error's own, put back for each joiner, lest it grow with every one."""
        self.joined: Task | None = None
        """The ended task that it is to be told of when it runs again."""
        self.joiners: list[tuple[Task, int, bool]] = []
        self.parked = False
        """Whether it waits, for the driver or for another task."""
        self.token = 0
        """Counts the waits, so that an answer to a wait that was given up is ignored."""
        self.cancelled = False
        """To be given up as soon as it runs again."""
        self.late = 0


class Scheduler:
    """Runs one flow and what it spawns, one at a time, to the end of the first."""

    def __init__(self, flow: Flow[Any], seconds: float, effect: object = None) -> None:
        """`effect`: what the flow waits for, if it was begun already (`flow.begin`)."""
        self._seconds = seconds
        self._ready: deque[tuple[Task, Any, BaseException | None]] = deque()
        self._live: dict[Task, None] = {}
        self._waiting: dict[Task, None] = {}
        self._lost: BaseException | None = None
        """The last unexpected exception that no task was told of."""
        self._closing = False
        self.expired = False
        self._root = self._add(flow, effect)

    # -- what a driver provides

    def begin(self, task: Task, token: int, effect: object) -> None:
        """Start a `Send`, `Sleep` or `Call`; call `resume(task, token, …)` when it has ended."""
        raise NotImplementedError

    def now(self) -> float:
        """The monotonic clock."""
        raise NotImplementedError

    # -- what a driver calls

    @property
    def done(self) -> bool:
        """Whether the first flow has ended."""
        return self._root.done

    def advance(self) -> None:
        """Run every task until it waits or has ended. Raises only what ends the program (Ctrl-C), and on a knot of flows."""
        while self._ready and not self._root.done:
            self._step(*self._ready.popleft())
        if not self._root.done and not self._waiting:
            raise RuntimeError("flows wait for each other")

    def resume(self, task: Task, token: int, value: object, error: BaseException | None) -> None:
        """Give a waiting task its answer. Answers to waits that were given up are dropped."""
        if task.parked and task.token == token:
            task.parked = False
            self._waiting.pop(task, None)
            self._ready.append((task, value, error))

    def expire(self) -> None:
        """The deadline has passed: whatever waits for the driver, now or later, gets a `DeadlineError`."""
        self.expired = True
        for task in list(self._waiting):
            self.resume(task, task.token, None, self._too_late())

    def close(self) -> None:
        """Give up everything that still runs."""
        self._closing = True
        for _ in range(10):  # a flow that tidies up may have to be told more than once
            self._ready.clear()
            for task in list(self._live):
                task.cancelled, task.parked = True, False
                self._ready.append((task, None, None))
            while self._ready:
                self._step(*self._ready.popleft())
            if not self._live:
                return

    def outcome(self) -> Any:
        """The first flow's result, or its error raised; or a bug's exception in a flow nobody waited for."""
        error = self._root.error or self._lost
        if isinstance(error, Cancelled):
            raise self._too_late()
        if error is not None:
            raise error
        return self._root.result

    # -- the inside

    def _too_late(self) -> DeadlineError:
        return DeadlineError(
            f"the time-out of {self._seconds:g} s passed before the answer came",
            hint="--timeout sets it; the registry may be slow or out of reach",
        )

    def _add(self, flow: Flow[Any], effect: object) -> Task:
        task = Task(flow, effect)
        self._live[task] = None
        self._ready.append((task, None, None))
        return task

    def _step(self, task: Task, value: Any, error: BaseException | None) -> None:
        """Run a task up to the next effect that takes time."""
        if task.joined is not None:
            value, error = self._told(task.joined)
            task.joined = None
        while True:
            if task.cancelled:
                task.cancelled = False
                error = Cancelled()
            try:
                if error is not None:
                    effect = task.flow.throw(error)
                elif task.effect is not None:
                    effect = task.effect
                else:
                    effect = task.flow.send(value)
            except StopIteration as stop:
                self._finish(task, stop.value, None)
                return
            except BaseException as caught:
                self._finish(task, None, caught)
                if isinstance(caught, (Exception, Cancelled)):
                    return
                raise
            value = error = task.effect = None
            if isinstance(effect, effects.Now):
                value = self.now()
            elif isinstance(effect, effects.Spawn):
                value = self._add(effect.flow, effect.effect)
            elif isinstance(effect, effects.Cancel):
                if effect.task is not task:
                    self._cancel(effect.task)
            elif isinstance(effect, (effects.Join, effects.Wait)):
                # A join ends with its task, not with the deadline: the joined task hears of that.
                other: Task = effect.task
                joins = isinstance(effect, effects.Join)
                if not other.done:
                    self._park(task)
                    other.joiners.append((task, task.token, joins))
                    return
                if joins:
                    value, error = self._told(other)
            elif self._closing:
                error = Cancelled()
            elif self.expired:
                task.late += 1
                error = self._too_late() if task.late < _STUBBORN else Cancelled()
            else:
                self._park(task)
                self._waiting[task] = None
                self.begin(task, task.token, effect)
                return

    def _park(self, task: Task) -> None:
        task.token += 1
        task.parked = True

    def _finish(self, task: Task, result: object, error: BaseException | None) -> None:
        task.done = True
        del self._live[task]
        task.result = result
        task.error = error
        if isinstance(error, Exception):
            task.traceback = error.__traceback__
            if not isinstance(error, SealgateError):
                self._lost = error
        for joiner, token, joins in task.joiners:
            joiner.joined = task if joins else None
            self.resume(joiner, token, None, None)
        task.joiners.clear()

    def _told(self, task: Task) -> tuple[Any, BaseException | None]:
        """What a task that joins an ended one is told."""
        error = task.error
        if isinstance(error, Cancelled):
            return None, UnavailableError("given up, because something else had gone wrong")
        if isinstance(error, Exception):
            if self._lost is error:
                self._lost = None
            error.with_traceback(task.traceback)
        return task.result, error

    def _cancel(self, task: Task) -> None:
        if not task.done:
            task.cancelled = True
            self.resume(task, task.token, None, None)
