"""Read the objects of a policy strictly: every field is known, of its type, and in its place. Pure.

What a reader does not ask for is an error, with the place where it belongs if there is one (P18): a misspelt or misplaced
field is another policy than its author meant, and the products that drop it in silence admit by it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from sealgate import limits
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

T = TypeVar("T")


class Fields:
    """One object of a policy. Take what is known; `end()` refuses the rest."""

    def __init__(
        self, value: object, where: str, *, elsewhere: Mapping[str, str] | None = None, depth: int = 0
    ) -> None:
        """`where`: its place, for messages; `elsewhere`: where fields belong that people put here by mistake."""
        if depth > limits.JSON_DEPTH:
            raise PolicyInvalidError(f"{where}: nested too deep")
        if not isinstance(value, Mapping):
            raise PolicyInvalidError(f"{where} is {_kind(value)}, not an object")
        for name in value:
            if not isinstance(name, str):
                raise PolicyInvalidError(f"{where} has a key that is no text: {ascii(name)[:80]}")
        self.where = where
        self._value: Mapping[str, Any] = value
        self._known: dict[str, None] = {}
        self._elsewhere = elsewhere or {}
        self._depth = depth

    def at(self, name: str) -> str:
        """The place of a field."""
        return f"{self.where}.{name}" if self.where else name

    def has(self, name: str) -> bool:
        """Whether the field is there and not null. It counts as known."""
        self._known[name] = None
        return self._value.get(name) is not None

    def present(self) -> frozenset[str]:
        """The names that are there; none of them counts as known by that."""
        return frozenset(self._value)

    def take(self, name: str) -> Any:
        """The field as it is; None when it is absent or null."""
        self._known[name] = None
        return self._value.get(name)

    def text(self, name: str, *, blank: bool = False) -> str | None:
        """A string; None when absent. Blank ones are refused unless `blank`."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise PolicyInvalidError(f"{self.at(name)} is {_kind(value)}, not a string", hint="quote it")
        if not blank and not value.strip():
            raise PolicyInvalidError(f"{self.at(name)} is there and blank", hint="leave it out, or say what is meant")
        return value

    def required_text(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            self.missing(name)
        return value

    def missing(self, name: str) -> NoReturn:
        """Say that a field is missing."""
        raise PolicyInvalidError(f"{self.at(name)} is missing")

    def choice(self, name: str, *allowed: str, default: str | None = None) -> str | None:
        """One of these words."""
        value = self.text(name)
        if value is None:
            return default
        if value not in allowed:
            raise PolicyInvalidError(f"{self.at(name)} is {value!r}", hint=f"one of: {', '.join(allowed)}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false; not `"true"`, not 1."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise PolicyInvalidError(f"{self.at(name)} is {_kind(value)}, not true or false")
        return value

    def number(self, name: str, *, least: int, most: int, default: int | None = None) -> int | None:
        """A whole number between two bounds."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise PolicyInvalidError(f"{self.at(name)} is {_kind(value)}, not a whole number")
        if not least <= value <= most:
            raise PolicyInvalidError(f"{self.at(name)} is {value}; it must be from {least} to {most}")
        return value

    def fields(self, name: str, *, elsewhere: Mapping[str, str] | None = None) -> Fields | None:
        """An object; None when absent."""
        value = self.take(name)
        return None if value is None else Fields(value, self.at(name), elsewhere=elsewhere, depth=self._depth + 1)

    def items(self, name: str, *, most: int = limits.POLICY_PARTS) -> list[tuple[Any, str]]:
        """The items of a list, each with its place; none when it is absent."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise PolicyInvalidError(f"{self.at(name)} is {_kind(value)}, not a list")
        if len(value) > most:
            raise PolicyInvalidError(f"{self.at(name)} has more than {most} items")
        return [(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value)]

    def objects(self, name: str, *, elsewhere: Mapping[str, str] | None = None) -> list[Fields]:
        """A list of objects."""
        return [Fields(item, place, elsewhere=elsewhere, depth=self._depth + 1) for item, place in self.items(name)]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, none of them blank."""
        found = []
        for item, place in self.items(name):
            if not isinstance(item, str) or not item.strip():
                raise PolicyInvalidError(f"{place} is {_kind(item)}, not a string with something in it")
            found.append(item)
        return tuple(found)

    def text_map(self, name: str) -> tuple[tuple[str, str], ...]:
        """A map of strings."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            raise PolicyInvalidError(f"{self.at(name)} is {_kind(value)}, not an object")
        for key, item in value.items():
            if not isinstance(key, str) or not isinstance(item, str):
                raise PolicyInvalidError(f"{self.at(name)}: {ascii(key)[:80]} is not text to text", hint="quote it")
        return tuple(sorted(value.items()))

    def ignored(self, *names: str) -> list[tuple[str, str]]:
        """Fields that change nothing about images: they are known, and not looked at. Those that are there, with their places."""
        self._known.update(dict.fromkeys(names))
        return [(name, self.at(name)) for name in names if self._value.get(name) is not None]

    def unsupported(self, name: str, why: str, *, hint: str | None = None) -> None:
        """A field that the dialect has and that is not evaluated here: an error when it is there."""
        if self.has(name):
            raise PolicyUnsupportedError(f"{self.at(name)}: {why}", hint=hint)

    def end(self) -> None:
        """Refuse what nobody asked for."""
        for name in self._value:
            if name in self._known:
                continue
            place = self._elsewhere.get(name)
            if place is not None:
                hint = f"it belongs under {place}"
            else:
                near = difflib.get_close_matches(name, self._known, n=1, cutoff=0.7)
                hint = (
                    f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._known)) or 'nothing'}"
                )
            raise PolicyInvalidError(f"{self.where}: there is no field {ascii(name)[:80]} here", hint=hint)

    def done(self, value: T) -> T:
        """`end()`, then the value that was made of it."""
        self.end()
        return value


def located(read: Callable[[], T], where: str) -> T:
    """What `read` returns; an error of it names the place."""
    try:
        return read()
    except PolicyInvalidError as error:
        if error.message.startswith(where):
            raise
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string" if value.strip() else "a blank string"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, Mapping) else "something else"
