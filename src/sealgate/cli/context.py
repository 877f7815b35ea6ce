"""What a command may touch of the world: its environment, its streams, and a driver for flows.

Data goes to `out` (stdout), talk to `err` (stderr). Tests and the library run commands with a context of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, TextIO, TypeVar

from sealgate import limits
from sealgate.errors import AbortedError

if TYPE_CHECKING:
    from sealgate.cli.text import Style
    from sealgate.transport.flow import Flow
    from sealgate.transport.http import HttpClient
    from sealgate.transport.proxy import Proxies

T = TypeVar("T")


class Context:
    """The world of one command."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        stdin: TextIO,
        stdout: TextIO,
        stderr: TextIO,
        seconds: float = limits.TOTAL_SECONDS,
    ) -> None:
        self.environ = environ
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds
        """The whole command's time-out."""
        self.quiet = False
        self.verbose = False
        self._client: HttpClient | None = None

    def out(self, text: str, *, end: str = "\n") -> None:
        """Data, to stdout."""
        self.stdout.write(text + end)

    def out_bytes(self, data: bytes) -> None:
        """Data that is not text, to stdout."""
        self.stdout.flush()
        binary: BinaryIO = self.stdout.buffer
        binary.write(data)
        binary.flush()

    def err(self, text: str) -> None:
        """Talk, to stderr; nothing with --quiet."""
        if not self.quiet:
            self.stderr.write(text + "\n")

    @property
    def interactive(self) -> bool:
        """Whether a person sits at stdin."""
        return self.stdin.isatty()

    def style(self) -> Style:
        """Styles for stderr."""
        from sealgate.cli.text import Style

        return Style(colour=self.stderr.isatty() and not self.environ.get("NO_COLOR"))

    def confirm(self, question: str, *, yes: bool = False) -> None:
        """Ask y/N on stderr and read a line of stdin. Raises `AbortedError` unless the answer is yes; `yes` answers."""
        if yes:
            return
        self.stderr.write(f"{question} [y/N] ")
        self.stderr.flush()
        answer = self.stdin.readline()
        if answer.strip().lower() not in {"y", "yes"}:
            raise AbortedError("user declined the prompt", hint="--yes answers every question")

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, within the command's time-out."""
        from sealgate.transport import driver

        try:
            sender = self.client().send
        except BaseException:
            flow.close()
            raise
        return driver.run(flow, sender=sender, seconds=self.seconds)

    def client(self) -> HttpClient:
        """The HTTP adapter of this command, with the proxies of the environment."""
        if self._client is None:
            from sealgate.transport.http import HttpClient

            self._client = HttpClient(proxies=self.proxies())
        return self._client

    def proxies(self) -> Proxies | None:
        """The proxies of the environment. Raises `UsageError` for one that cannot be used."""
        if not any(name.lower() in {"http_proxy", "https_proxy"} for name in self.environ):
            return None
        from sealgate.transport.proxy import Proxies

        return Proxies.from_environment(self.environ)
