"""One HTTP request and its answer, as values. Nothing is sent from here.

An adapter sends a `Request` exactly as it is: no redirects, no retries of answered requests, no decompression, no cookies,
and reads at most `limit` bytes of the body, of every status.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from sealgate import limits
from sealgate.errors import ProtocolError

Addresses = Literal["any", "not-link-local", "not-local", "public"]


class Url(NamedTuple):
    """An absolute http(s) URL in validated parts. `target` is the path and query, percent-encoded, beginning with `/`."""

    scheme: str
    host: str
    """Lower-case ASCII name or address, without brackets."""
    port: int
    target: str

    @property
    def authority(self) -> str:
        """`host[:port]` as a Host header has it: brackets for IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials are bound to."""
        return (self.scheme, self.host, self.port)

    def __str__(self) -> str:
        """For messages: without the query, which may carry signed tokens."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


class Tls(NamedTuple):
    """How a server is believed. Each distinct value has connections of its own: strict and lax never share one (T14)."""

    ca_file: str | None = None
    """PEM file; when given, only these authorities are trusted."""
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None
    """Checked (and sent) in place of the host's name."""
    insecure_skip_verify: bool = False


class FileBody(NamedTuple):
    """A request body that is read from a file, so that a layer is never held in memory."""

    path: str
    size: int


class Sink(Protocol):
    """Where a large body goes while it arrives."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""

    def restart(self) -> None:
        """Forget what was written: the request is tried again."""


class Request(NamedTuple):
    """One request. `headers` go out as they are; Host, Content-Length and `Accept-Encoding: identity` are added."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | FileBody = b""
    limit: int = limits.SMALL_BODY_BYTES
    """Most bytes of the body that are read; more is `LimitError`."""
    sink: Sink | None = None
    """Takes the body of a 2xx answer instead of memory."""
    tls: Tls = Tls()
    addresses: Addresses = "any"
    """Which addresses may be connected to (`AddressError` otherwise): `public` where the URL came from a public server,
    `not-local` where whoever asks is not of this machine (loopback, link-local and unspecified addresses are its own).
    """
    seconds: float = 60.0
    """The whole exchange, unless there is a sink."""
    direct: bool = False
    """Never through a proxy: a machine's own metadata service, whose answers are credentials, or the API server of a cluster."""
    lasting: bool = False
    """It stays open for minutes (a watch), in connections of its own: what is asked for now never waits behind it."""


def check_request(request: Request) -> None:
    """Raise `ProtocolError` for what would not go out as one request: line ends in a header, spaces in a target (CWE-113).

    Adapters ask before they connect. The message never holds the value: it may be a secret.
    """
    url = request.url
    name_chars = url.host.replace(".", "").replace("-", "").replace("_", "").replace(":", "")
    if (
        url.scheme not in {"http", "https"}
        or not (name_chars.isascii() and name_chars.isalnum())
        or not 0 < url.port < 65536
    ):
        raise ProtocolError("a request to a URL without a scheme, host or port that could be meant")
    if not (request.method.isascii() and request.method.isalpha() and request.method.isupper()):
        raise ProtocolError(f"a request to {url.authority} with a method that HTTP does not have")
    if not url.target.startswith("/") or not _is_plain(url.target) or " " in url.target:
        raise ProtocolError(f"a request to {url.authority} for a path that needs encoding")
    for name, value in request.headers:
        if not (name.isascii() and name.replace("-", "").isalnum()) or name.lower() in _RESERVED:
            raise ProtocolError(f"a request to {url.authority} with a header that must not be sent")
        if not _is_plain(value):
            raise ProtocolError(
                f"a request to {url.authority} with characters in its {name} header that must not be sent"
            )


_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "proxy-authorization"}
)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class Response(NamedTuple):
    """An answer: header names are lower case, in the order they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str = ""
    """The address that was connected to (the proxy's when there is one)."""

    def header(self, name: str) -> str | None:
        """The first value of `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of `name` (lower case)."""
        return [value for key, value in self.headers if key == name]
