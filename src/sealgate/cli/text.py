"""Text for people: foreign words made safe, colour only where it is wanted."""

from __future__ import annotations

from sealgate import limits


def printable(text: str, *, most: int = limits.TEXT_CHARS) -> str:
    """`text` with control, format and bidirectional characters escaped (X10), cut at `most` characters."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def printable_json(text: str) -> str:
    """JSON that means the same, with every control, format and bidirectional character inside its strings escaped (X10)."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


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
