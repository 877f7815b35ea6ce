"""Conditions: what policies say of Statements. They are evaluated in a child process (`cage`) that is always ended.

Whatever is not a well-formed answer in time (a crash, silence, noise, too much memory) is an `error`, and no yes.
"""

from __future__ import annotations

import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from sealgate import limits, strictjson
from sealgate.conditions.policy import Policy
from sealgate.conditions.result import Result
from sealgate.errors import SealgateError


class _Lost(Exception):
    """The child gave no answer; the text says why."""


class Conditions:
    """The policies of one command or call, with one child process for all Statements; a context manager.

    `now` gives the time in seconds since 1970, `monotonic` any clock that does not jump; `path` is where `cue` is looked for,
    `seconds` what one Statement may take. Not for use by two threads at once.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        path: str,
        seconds: float = limits.CONDITION_SECONDS,
        memory: int = limits.CONDITION_MEMORY,
    ) -> None:
        self._policies = tuple(policies)
        self._now = now
        self._monotonic = monotonic
        self._path = path
        self._seconds = seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:  # not reaped, so that the number is still its own
            try:
                os.killpg(child.pid, signal.SIGKILL)  # its session: what it has started goes with it
            except (ProcessLookupError, PermissionError):
                child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        child.wait()

    def judge(self, statement: bytes) -> tuple[Result, ...]:
        """What every policy says of a Statement, as it was signed: one result a policy, in their order."""
        try:
            document = strictjson.parse(statement, limit=limits.CONDITION_DOCUMENT_BYTES, what="the Statement")
        except SealgateError as error:
            return self._errors(error.message)
        if self._failures >= limits.CONDITION_FAILURES:
            return self._errors("not evaluated: too many evaluations before it came to no end")
        try:
            return self._ask(document)
        except _Lost as lost:
            self._failures += 1
            self.close()
            return self._errors(str(lost))
        except BaseException:
            self.close()  # its answer would be taken for that to the next question
            raise

    def _errors(self, message: str) -> tuple[Result, ...]:
        return tuple(Result(policy.name, "error", message) for policy in self._policies)

    def _ask(self, document: Any) -> tuple[Result, ...]:
        deadline = self._monotonic() + self._seconds
        data = b""
        if self._child is None:
            self._child = self._start()
            data = _frame(self._setup())
        data += _frame({"document": document, "now": int(self._now())})
        answer = self._talk(self._child, data, deadline)
        try:
            said = strictjson.parse(answer, limit=limits.CONDITION_ANSWER_BYTES, what="the answer")
            if not isinstance(said, list) or len(said) != len(self._policies):
                raise TypeError
            return tuple(_result(policy, entry) for policy, entry in zip(self._policies, said, strict=True))
        except (SealgateError, TypeError, ValueError) as error:
            raise _Lost("the engine's answer cannot be read") from error

    def _setup(self) -> dict[str, Any]:
        # rego-cpp reserves 256 GiB of addresses at its start, so that a bound on them says nothing: `_watch` holds there.
        bounded = all(policy.language in {"cel", "schema"} for policy in self._policies)
        return {
            "policies": [[policy.language, policy.source] for policy in self._policies],
            "cpu": max(1, int(limits.CONDITION_CPU_SECONDS)),
            "memory": 2 * self._memory if bounded else None,
            "files": limits.CONDITION_FILES,
            "path": self._path,
        }

    def _start(self) -> subprocess.Popen[bytes]:
        here = os.path.dirname(os.path.abspath(__file__))
        root = os.path.dirname(os.path.dirname(here))
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-B", os.path.join(here, "cage.py"), root],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},  # nothing of ours: a policy may print what it finds
                close_fds=True,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise _Lost(f"the process for it could not be started: {error.strerror}") from error

    def _talk(self, child: subprocess.Popen[bytes], data: bytes, deadline: float) -> bytes:
        """Write the request and read one frame."""
        if child.stdin is None or child.stdout is None:
            raise _Lost("the process for it has no pipes")
        source, sink = child.stdout.fileno(), child.stdin.fileno()
        os.set_blocking(sink, False)
        waiting, answer = memoryview(data), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(sink, selectors.EVENT_WRITE)
            while True:
                left = deadline - self._monotonic()
                if left <= 0:
                    raise _Lost(f"came to no end within {self._seconds:g} seconds")
                self._watch(child)
                for key, _ in selector.select(min(left, limits.CONDITION_WATCH_SECONDS)):
                    if key.fd == sink:
                        waiting = waiting[_write(sink, waiting) :]
                        if not waiting:
                            selector.unregister(sink)
                        continue
                    chunk = os.read(source, 65536)
                    if not chunk:
                        raise _Lost(_ending(child))
                    answer += chunk
                    if len(answer) > limits.CONDITION_ANSWER_BYTES:
                        raise _Lost("its answer is too long")
                    if len(answer) >= 4 and len(answer) >= 4 + (size := struct.unpack(">I", answer[:4])[0]):
                        if len(answer) > 4 + size or waiting:
                            raise _Lost("the engine answered more than it was asked")
                        return bytes(answer[4:])

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """The memory that the child really has (Linux); elsewhere the bound on its addresses has to do."""
        try:
            with open(f"/proc/{child.pid}/statm", "rb") as file:
                pages = int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return
        if pages * os.sysconf("SC_PAGE_SIZE") > self._memory:
            raise _Lost(f"needs more than {self._memory >> 20} MiB of memory")


def _frame(value: Any) -> bytes:
    import json

    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return struct.pack(">I", len(body)) + body


def _write(sink: int, data: memoryview) -> int:
    try:
        return os.write(sink, data[:65536])
    except BlockingIOError:
        return 0
    except BrokenPipeError as error:
        raise _Lost("the engine ended before it had read the Statement") from error


def _ending(child: subprocess.Popen[bytes]) -> str:
    """How the child ended. It is not reaped yet: `close` ends first what it has started."""
    for _ in range(100):
        found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            break
        time.sleep(0.01)
    else:
        return "the engine fell silent"
    if found.si_code == os.CLD_EXITED:
        return f"the engine ended with code {found.si_status}"
    if found.si_status in {signal.SIGXCPU, signal.SIGKILL}:
        return "took more processor time or memory than it may"
    return f"the engine ended by {signal.Signals(found.si_status).name}"


def _result(policy: Policy, entry: Any) -> Result:
    outcome, message = entry
    if outcome not in {"passed", "failed", "error"} or not isinstance(message, str):
        raise TypeError
    return Result(policy.name, outcome, message)
