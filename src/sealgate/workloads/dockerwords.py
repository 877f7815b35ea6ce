"""Words of a Dockerfile: flags in front, shell words, variables. Pure.

Source: BuildKit, frontend/dockerfile: parser (split_command.go, line_parsers.go), shell (lex.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _NAME_START | frozenset("0123456789")


class NotUnderstoodError(ValueError):
    """A word that builders may read in different ways."""


class UnsetError(NotUnderstoodError):
    """A variable without a value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no value")
        self.name = name


def flags(text: str) -> tuple[list[str], str]:
    """The words in front that begin with `--`, without quotes and escapes, and the rest (`extractBuilderFlags`).

    Raises `NotUnderstoodError` for an escape that would hide where a word ends, and a quote that does not end.
    """
    found: list[str] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        if not text.startswith("--", position):
            return found, text[position:]
        word = ""
        quote = ""
        while position < len(text):
            char = text[position]
            if char in "\\`" and (
                position + 1 == len(text) or text[position + 1] in "'\"" or text[position + 1].isspace()
            ):
                raise NotUnderstoodError("an escape in an option")
            if char == "\\":
                position += 1
                word += text[position]
            elif quote:
                if char == quote:
                    quote = ""
                else:
                    word += char
            elif char.isspace():
                break
            elif char in "'\"":
                quote = char
            else:
                word += char
            position += 1
        if quote:
            raise NotUnderstoodError("a quote in an option that does not end")
        if word == "--":
            return found, text[position:].lstrip()
        found.append(word)
    return found, ""


def split(text: str) -> list[str] | None:
    """Shell words with their quotes and escapes as they stand; None when a quote does not end."""
    found: list[str] = []
    word = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            word += text[position : position + 2]
            position += 2
            continue
        if char in "'\"":
            end = position + 1
            while end < len(text) and text[end] != char:
                end += 2 if char == '"' and text[end] == "\\" else 1
            if end >= len(text):
                return None
            word += text[position : end + 1]
            position = end + 1
            continue
        if char.isspace():
            if word:
                found.append(word)
            word = ""
        else:
            word += char
        position += 1
    return [*found, word] if word else found


def unquote(word: str) -> str | None:
    """A word without its quotes; None when it has variables, escapes or a quote that does not end."""
    found = ""
    quote = ""
    for char in word:
        if char in "$\\`":
            return None
        if quote:
            if char == quote:
                quote = ""
            else:
                found += char
        elif char in "'\"":
            quote = char
        else:
            found += char
    return None if quote else found


def csv_fields(text: str) -> list[str] | None:
    """The fields of `--mount`; None when there are quotes in it."""
    return None if '"' in text else text.split(",")


def expand(word: str, values: Mapping[str, str | None], *, escape: str) -> str:
    """A word as the builder reads it: quotes gone, variables replaced.

    `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}`, `${NAME+word}`. Raises `UnsetError` for a
    variable without value where the builder would take an empty text, `NotUnderstoodError` for everything else.
    """
    found, position = _expand(word, 0, values, escape, "")
    if position != len(word):
        raise NotUnderstoodError("it does not end where it should")
    return found


def _expand(word: str, position: int, values: Mapping[str, str | None], escape: str, stop: str) -> tuple[str, int]:
    found = ""
    quote = ""
    while position < len(word):
        char = word[position]
        if char == escape and quote != "'":
            raise NotUnderstoodError("an escape in a name")
        if quote == "'":
            position += 1
            quote = "" if char == "'" else quote
            found += "" if char == "'" else char
        elif char == stop and not quote:
            return found, position
        elif char == quote:
            quote = ""
            position += 1
        elif char in "'\"" and not quote:
            quote = char
            position += 1
        elif char == "$":
            value, position = _variable(word, position + 1, values, escape)
            found += value
        else:
            found += char
            position += 1
    if quote or stop:
        raise NotUnderstoodError("a quote or brace that does not end")
    return found, position


def _variable(word: str, position: int, values: Mapping[str, str | None], escape: str) -> tuple[str, int]:
    """What follows a `$`."""
    braces = word.startswith("{", position)
    position += braces
    end = position
    while end < len(word) and word[end] in _NAME:
        end += 1
    name = word[position:end]
    if not name or name[0] not in _NAME_START:
        raise NotUnderstoodError("a $ that begins no variable")
    value = values.get(name)
    if not braces:
        return _set(name, value), end
    if word.startswith("}", end):
        return _set(name, value), end + 1
    operator = word[end : end + 2] if word.startswith(":", end) else word[end : end + 1]
    if operator not in {":-", "-", ":+", "+"}:
        raise NotUnderstoodError(f"the operator {ascii(operator)} in a variable")
    # The other word is read in any case, but counts only where it is used.
    other: str | NotUnderstoodError
    other, after = _other(word, end + len(operator), values, escape)
    given = value is not None and (value != "" or not operator.startswith(":"))
    if given == operator.endswith("-"):  # the value itself, or nothing
        return (value or "") if given else "", after
    if isinstance(other, NotUnderstoodError):
        raise other
    return other, after


def _other(
    word: str, position: int, values: Mapping[str, str | None], escape: str
) -> tuple[str | NotUnderstoodError, int]:
    try:
        found, end = _expand(word, position, values, escape, "}")
    except UnsetError as error:
        everything = dict.fromkeys((name for name in _names(word)), "x")
        return error, _expand(word, position, everything, escape, "}")[1] + 1
    return found, end + 1


def _names(word: str) -> list[str]:
    """Everything in a word that may be the name of a variable."""
    found, name = [], ""
    for char in f"{word} ":
        if char in _NAME:
            name += char
        else:
            found.append(name)
            name = ""
    return found


def _set(name: str, value: str | None) -> str:
    if value is None:
        raise UnsetError(name)
    return value
