"""The child process in which expressions and policies of users run: started behind `walls`, spoken to in frames, always ended.

A frame is four bytes of length, most significant first, and a JSON document. Whatever is not one well-formed frame in time
(a crash, silence, noise, too much memory) is `Lost`, and no yes.
"""

from __future__ import annotations

import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sealgate import limits


class Lost(Exception):
    """The child gave no answer; the text says why."""


class Ended(Lost):
    """The child ended by itself, or was ended by somebody else."""


class Child:
    """One process that is started when it is needed; a context manager.

    `monotonic` is any clock that does not jump, `seconds` what one question may take, `memory` what the child may hold.
    """

    def __init__(self, script: str, *, monotonic: Callable[[], float], seconds: float, memory: int) -> None:
        self._script = script
        self._monotonic = monotonic
        self._seconds = seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None

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

    def _start(self) -> subprocess.Popen[bytes]:
        here = os.path.dirname(os.path.abspath(__file__))
        root = os.path.dirname(os.path.dirname(here))
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-B", os.path.join(here, self._script), root],
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
            raise Lost(f"the process for it could not be started: {error.strerror}") from error

    def _talk(self, child: subprocess.Popen[bytes], data: bytes, deadline: float) -> bytes:
        """Write the request and read one frame."""
        if child.stdin is None or child.stdout is None:
            raise Lost("the process for it has no pipes")
        source, sink = child.stdout.fileno(), child.stdin.fileno()
        os.set_blocking(sink, False)
        waiting, answer = memoryview(data), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(sink, selectors.EVENT_WRITE)
            while True:
                left = deadline - self._monotonic()
                if left <= 0:
                    raise Lost(f"came to no end within {self._seconds:g} seconds")
                self._watch(child)
                for key, _ in selector.select(min(left, limits.CONDITION_WATCH_SECONDS)):
                    if key.fd == sink:
                        waiting = waiting[_write(sink, waiting) :]
                        if not waiting:
                            selector.unregister(sink)
                        continue
                    chunk = os.read(source, 65536)
                    if not chunk:
                        raise Ended(ending(child))
                    answer += chunk
                    if len(answer) > limits.CONDITION_ANSWER_BYTES:
                        raise Lost("its answer is too long")
                    if len(answer) >= 4 and len(answer) >= 4 + (size := struct.unpack(">I", answer[:4])[0]):
                        if len(answer) > 4 + size or waiting:
                            raise Lost("the engine answered more than it was asked")
                        return bytes(answer[4:])

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """The memory that the child really has (Linux); elsewhere the bound on its addresses has to do."""
        try:
            with open(f"/proc/{child.pid}/statm", "rb") as file:
                pages = int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return
        if pages * os.sysconf("SC_PAGE_SIZE") > self._memory:
            raise Lost(f"needs more than {self._memory >> 20} MiB of memory")


def frame(value: Any) -> bytes:
    """One frame."""
    import json

    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return struct.pack(">I", len(body)) + body


def _write(sink: int, data: memoryview) -> int:
    try:
        return os.write(sink, data[:65536])
    except BlockingIOError:
        return 0
    except BrokenPipeError as error:
        raise Ended("the engine ended before it had read the question") from error


def ending(child: subprocess.Popen[bytes]) -> str:
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
