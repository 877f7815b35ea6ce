"""Programs: the CEL expressions of one policy for admission, compiled once in a child process (`programcage`) that all share.

A program that comes to no end costs its child, and itself: after some of these it is asked nothing for a while, so that it
cannot hold up the others. No answer is an error, never a yes.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.conditions.child import Child, Ended, Lost, frame
from sealgate.errors import SealgateError


class ProgramError(Exception):
    """A program that cannot be compiled, or gave no answer; the text says why. `where` is the expression's place, if one is it."""

    def __init__(self, message: str, *, where: str = "", unsupported: bool = False) -> None:
        super().__init__(message)
        self.where = where
        self.unsupported = unsupported


class Program(NamedTuple):
    """Expressions and what they are for, as JSON (`programcage` says which); `key` names the text."""

    key: str
    text: str


def program(document: Mapping[str, Any]) -> Program:
    """The program of a document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Program(hashlib.sha256(text.encode()).hexdigest(), text)


class _Failures(NamedTuple):
    times: int
    until: float


class Programs(Child):
    """The child for all programs; for use by several threads, one question at a time."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        seconds: float = limits.PROGRAM_SECONDS,
        memory: int = limits.PROGRAM_MEMORY,
    ) -> None:
        super().__init__("programcage.py", monotonic=monotonic, seconds=seconds, memory=memory)
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._failures: dict[str, _Failures] = {}
        self._owner = os.getpid()

    def close(self) -> None:
        """End the child; the next question starts another one."""
        self._known.clear()
        super().close()

    def ask(self, wanted: Program, question: Mapping[str, Any]) -> dict[str, Any]:
        """What a program answers. Raises `ProgramError`."""
        try:
            body = json.dumps(question, allow_nan=False, default=_no_json).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ProgramError("the object cannot be given to an expression: it is no JSON") from error
        if len(body) > limits.PROGRAM_QUESTION_BYTES:
            raise ProgramError(f"what it is asked about has more than {limits.PROGRAM_QUESTION_BYTES} bytes")
        with self._lock:
            failures = self._failures.get(wanted.key)
            if failures is not None and failures.times >= limits.PROGRAM_FAILURES:
                if self._monotonic() < failures.until:
                    raise ProgramError("not evaluated: too many evaluations of it before came to no end")
                del self._failures[wanted.key]
            try:
                found = self._again(wanted, question)
            except Lost as lost:
                self.close()
                count = (failures.times if failures is not None else 0) + 1
                self._failures[wanted.key] = _Failures(count, self._monotonic() + limits.PROGRAM_PAUSE_SECONDS)
                raise ProgramError(str(lost)) from lost
            except BaseException:
                self.close()  # its answer would be taken for that to the next question
                raise
        if "error" in found:
            where, message, unsupported = found["error"]
            raise ProgramError(str(message), where=str(where), unsupported=unsupported is True)
        return found

    def _again(self, wanted: Program, question: Mapping[str, Any]) -> dict[str, Any]:
        """Ask; once more if a child of an earlier question was gone. It dies with the thread that started it (`walls`)."""
        old = self._child is not None
        try:
            return self._ask(wanted, question)
        except Ended:
            if not old:
                raise
            self.close()
            return self._ask(wanted, question)

    def _ask(self, wanted: Program, question: Mapping[str, Any]) -> dict[str, Any]:
        deadline = self._monotonic() + self._seconds
        if self._owner != os.getpid():  # after a fork the child is the parent's
            self._child, self._owner = None, os.getpid()
            self._known.clear()
        if self._child is not None and self._ended(self._child.pid):
            self.close()
        data = b""
        if self._child is None:
            self._child = self._start()
            data = frame(
                {"cpu": limits.PROGRAM_CPU_SECONDS, "memory": 3 * self._memory, "files": limits.CONDITION_FILES}
            )
        asked: dict[str, Any] = {"key": wanted.key, "question": question}
        if wanted.key not in self._known:
            asked["program"] = json.loads(wanted.text)
        answer = self._talk(self._child, data + frame(asked), deadline)
        try:
            found = strictjson.parse(answer, limit=limits.CONDITION_ANSWER_BYTES, what="the answer")
        except SealgateError as error:
            raise Lost("the engine's answer cannot be read") from error
        if not isinstance(found, dict) or not isinstance(spent := found.get("cpu"), (int, float)):
            raise Lost("the engine's answer cannot be read")
        if "error" in found and not (isinstance(found["error"], list) and len(found["error"]) == 3):
            raise Lost("the engine's answer cannot be read")
        if found.get("kept") is True:
            self._known.add(wanted.key)
        if spent > limits.PROGRAM_CPU_SECONDS / 2 or found.get("full") is True:
            self.close()
        return found

    @staticmethod
    def _ended(pid: int) -> bool:
        """Whether the child has ended on its own, between two questions."""
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True


def _no_json(value: object) -> Any:
    raise TypeError(type(value).__name__)


_shared: Programs | None = None
_lock = threading.Lock()


def shared() -> Programs:
    """The one of this process. Its child ends when this process does."""
    global _shared  # noqa: PLW0603 - one child for all policies of a process, whoever loads them
    with _lock:
        if _shared is None:
            _shared = Programs()
            import atexit

            atexit.register(_shared.close)
        return _shared
