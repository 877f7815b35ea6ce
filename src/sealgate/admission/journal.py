"""The webhook's log: one JSON object a line, written by a thread of its own, so that a full pipe stops no review.

Plain `json` and a queue: what a logging library adds (levels by logger, handlers, formatters) nothing here needs. Text that
strangers choose is cut and has no control characters; secrets never get here (they are in no message).
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

from sealgate import limits

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = 2000
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_PAUSE = 0.02


class Journal:
    """Writes lines to a stream until it is closed."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._waiting: deque[str] = deque()
        self._second = (-1, "")
        """The last second that was written out."""
        self._closed = threading.Event()
        self.dropped = 0
        self._writing = False
        self._writer = threading.Thread(target=self._write, name="sealgate log", daemon=True)
        self._writer.start()

    def say(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """One line. Values are text, numbers, lists of them, or None (left out)."""
        if len(self._waiting) >= limits.LOG_LINES:
            self.dropped += 1
            return
        now = self._clock()
        second = int(now // 1)
        if second != self._second[0]:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        stamp = f"{self._second[1]}.{int((now - second) * 1000):03d}Z"
        line: dict[str, Any] = {"time": stamp, "level": level, "event": event}
        line.update((name, _plain(value)) for name, value in fields.items() if value is not None)
        self._waiting.append(_encoded(line))

    def flush(self) -> None:
        """Wait until what was said is written, for a moment at most."""
        ends = time.monotonic() + 2.0
        while (self._waiting or self._writing) and time.monotonic() < ends:
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        self._closed.set()
        self._writer.join(2.0)

    def _write(self) -> None:
        """Looks every few milliseconds instead of being woken by each line, which would cost each review a thread switch."""
        while True:
            closed = self._closed.wait(_PAUSE)
            while self._waiting:
                self._writing = True
                lines = [self._waiting.popleft() for _ in range(min(len(self._waiting), 256))]
                try:
                    self._stream.write("".join(f"{each}\n" for each in lines))
                    self._stream.flush()
                except (OSError, ValueError):  # nobody reads any more
                    self.dropped += len(lines)
                self._writing = False
            if closed:
                return


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}…"
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value[:32]]
    return value
