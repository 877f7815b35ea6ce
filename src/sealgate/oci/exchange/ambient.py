"""What is around a program and says who it is to a cloud: variables, files, and what time it is.

Everything that the providers know of their surroundings comes through here, so that a test, or a server with surroundings
of its own, can give others. No text of such a file or variable is ever shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import CredentialsMissingError

if TYPE_CHECKING:
    from sealgate.oci.credentials import Credentials


class Ambient(NamedTuple):
    """The surroundings."""

    environ: Mapping[str, str]
    read: Callable[[str], bytes]
    """The content of a file, bounded; it blocks, and raises `OSError`."""
    clock: Callable[[], float]
    """Seconds since 1970."""

    def __repr__(self) -> str:
        return "Ambient(…)"

    def variable(self, name: str, *, words: bool = False) -> str:
        """What a variable holds, without blanks around it; `""` where it is not set. `words`: it may have blanks within.

        Raises `CredentialsMissingError`.
        """
        return _plain(self.environ.get(name, "").strip(), name, words=words)

    def path(self, name: str) -> str:
        """The file that a variable names; `""` where it is not set."""
        return self.environ.get(name, "")

    def text(self, path: str, what: str, *, words: bool = False) -> str:
        """A file of one token, without blanks around it. `what` names it in errors. Blocks. Raises `CredentialsMissingError`."""
        found = _plain(self.document(path, what).decode("utf-8", "replace").strip(), what, words=words)
        if not found:
            raise CredentialsMissingError(f"{what} is empty")
        return found

    def document(self, path: str, what: str) -> bytes:
        """A file as it is. Blocks. Raises `CredentialsMissingError`."""
        try:
            raw = self.read(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no path"
            raise CredentialsMissingError(f"{what} cannot be read: {why}") from None
        if len(raw) > limits.EXCHANGE_BODY_BYTES:
            raise CredentialsMissingError(f"{what} is larger than {limits.EXCHANGE_BODY_BYTES} bytes")
        return raw


class Exchanged(NamedTuple):
    """Credentials that a cloud gave."""

    credentials: Credentials
    expires: float
    """Seconds since 1970."""


def of_process(environ: Mapping[str, str]) -> Ambient:
    """The surroundings of this process, with these variables."""
    return Ambient(environ, _read, time.time)


def _read(path: str) -> bytes:
    # A pipe that somebody put there would block for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        return file.read(limits.EXCHANGE_BODY_BYTES + 1) or b""


def _plain(text: str, what: str, *, words: bool) -> str:
    """Text that can stand in a header or a form."""
    odd = not text.isascii() or (text and not text.isprintable()) or (" " in text and not words)
    if odd or len(text) > limits.EXCHANGE_BODY_BYTES:
        raise CredentialsMissingError(f"{what} holds characters that cannot be sent, or too many")
    return text
