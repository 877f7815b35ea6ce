"""Where the password of a private key comes from, in cosign's order.

`COSIGN_PASSWORD` if it is set, even to nothing; else a prompt if a person sits at stdin; else all of stdin, newline and all
(the reader of key files tries without it as well). Passwords are bytes and are never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TextIO

from sealgate import limits
from sealgate.errors import PasswordError

VARIABLE = "COSIGN_PASSWORD"
_PROMPT = "Enter password for private key: "
_AGAIN = "Enter password for private key again: "


class PasswordSource:
    """One source for one command; the password is read once."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        stdin: TextIO | None,
        prompt: Callable[[str], str] | None = None,
    ) -> None:
        """`prompt` asks a person without showing what is typed; the default is `getpass.getpass`."""
        self._environ = environ
        self._stdin = stdin
        self._prompt = prompt
        self._kept: bytes | None = None

    def read(self) -> bytes:
        """The password of an existing key. Raises `PasswordError` when there is nobody to ask."""
        if self._kept is None:
            self._kept = self._read(twice=False)
        return self._kept

    def read_new(self) -> bytes:
        """The password of a new key: a person types it twice. Raises `PasswordError` when the two differ."""
        if self._kept is None:
            self._kept = self._read(twice=True)
        return self._kept

    def _read(self, *, twice: bool) -> bytes:
        found = self._environ.get(VARIABLE)
        if found is not None:
            return found.encode("utf-8", "surrogateescape")
        if self._stdin is None:
            raise PasswordError("there is no stdin to read the password from", hint=f"set {VARIABLE}")
        if not self._stdin.isatty():
            return self._all_of_stdin(self._stdin)
        first = self._ask(_PROMPT)
        if twice and self._ask(_AGAIN) != first:
            raise PasswordError("passwords do not match")
        return first

    def _ask(self, question: str) -> bytes:
        from getpass import getpass

        try:
            return (self._prompt or getpass)(question).encode("utf-8", "surrogateescape")
        except EOFError:
            raise PasswordError("no password was typed") from None

    def _all_of_stdin(self, stdin: TextIO) -> bytes:
        most = limits.PASSWORD_BYTES
        try:
            raw = getattr(stdin, "buffer", None)
            data: bytes = raw.read(most + 1) if raw is not None else stdin.read(most + 1).encode("utf-8")
        except (OSError, ValueError):
            raise PasswordError("stdin, where the password should come from, cannot be read") from None
        if len(data) > most:
            raise PasswordError(f"the password on stdin is longer than {most} bytes", hint="is that the password?")
        return data

    def __repr__(self) -> str:
        return "PasswordSource()"
