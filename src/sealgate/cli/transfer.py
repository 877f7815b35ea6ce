"""What copy, save and load say while they work, and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.text import printable

if TYPE_CHECKING:
    from sealgate.artifacts.copy import Copied
    from sealgate.artifacts.transfer import Status
    from sealgate.cli.context import Context


class Progress:
    """One line that is rewritten, on a terminal only."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shown = context.stderr.isatty() and not context.quiet
        self._line = ""

    def told(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        self._context.err(printable(text, most=1000))

    def moving(self, status: Status) -> None:
        """How far it is."""
        if not self._shown:
            return
        self._line = f"{status.blobs} of {status.of_blobs} blobs, {megabytes(status.moved_bytes)}"
        self._context.stderr.write(f"\r\x1b[K{self._line}")
        self._context.stderr.flush()

    def end(self, copied: Copied, done: str) -> None:
        """What was done."""
        self._clear()
        moved = copied.moved
        parts = [f"{moved.blobs} blobs ({megabytes(moved.moved_bytes)}) and {moved.manifests} manifests moved"]
        if moved.mounted:
            parts.append(f"{moved.mounted} blobs mounted")
        self._context.err(
            f"{done} {printable(copied.target, most=600)} ({copied.digest}), {copied.attached} attached: {', '.join(parts)}"
        )

    def _clear(self) -> None:
        if self._line:
            self._context.stderr.write("\r\x1b[K")
            self._line = ""


def megabytes(count: int) -> str:
    """A size for people."""
    return f"{count} B" if count < 10_000 else f"{count / 1e6:.1f} MB"
