"""Text for people: foreign words made safe, colour only where it is wanted."""

from __future__ import annotations

from sealgate import limits


def printable(text: str, *, most: int = limits.TEXT_CHARS) -> str:
    """`text` with control, format and bidirectional characters escaped (X10), cut at `most` characters."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


class Style:
    """ANSI styles, or nothing at all. Colour is never the only signal."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def good(self, text: str) -> str:
        """What was accepted."""
        return self._wrap("32", text)

    def bad(self, text: str) -> str:
        """What was refused."""
        return self._wrap("31", text)

    def faint(self, text: str) -> str:
        """What is of less weight."""
        return self._wrap("2", text)

    def strong(self, text: str) -> str:
        """What the line is about."""
        return self._wrap("1", text)
