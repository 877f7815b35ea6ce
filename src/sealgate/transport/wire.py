"""HTTP/1.1 on one connected socket: one request out, one answer in (RFC 9110, RFC 9112), strictly, and with every read timed.

`http.client` is not used: it needs the `email` package (a third of the start-up of a verification), times each read but
not the whole, and reads endless interim answers and two lengths for one body. Here whatever two programs could read
differently is a `ProtocolError`: bare line feeds, folded lines, several lengths, a length beside chunks, odd chunk sizes.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable, Iterator

from sealgate import limits
from sealgate.errors import (
    ContentError,
    DeadlineError,
    LimitError,
    ProtocolError,
    SealgateError,
    TlsError,
    UnreachableError,
)
from sealgate.transport.message import FileBody, Request, Response, Sink, Url

CHUNK = 64 * 1024
_CHUNKED = -1
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX = b"0123456789ABCDEFabcdef"

Headers = tuple[tuple[str, str], ...]


class StaleError(Exception):
    """A kept connection turned out to be closed before anything of an answer came. Never leaves the transport."""


class Wire:
    """A connected socket and what was read ahead from it. `patience` says how long the next read or write may take."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._sock = sock
        self.peer = peer
        self.since = 0.0
        """When it was last used (for whoever keeps it)."""
        self.reusable = False
        self._fresh = True
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)
        """Of a TLS socket: how much of it is decrypted and not read."""
        self._buffer = bytearray()
        self._patience: Callable[[], float] = _no_time

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer: neither a farewell nor something that would pass for the next answer."""
        if self._buffer or (self._pending is not None and self._pending()):
            return False
        return not self._is_readable()

    def exchange(self, request: Request, target: str, extra: Headers, patience: Callable[[], float]) -> Response:
        """Send a request (checked by `message.check_request`) and read its answer.

        Raises `DeadlineError`, `UnreachableError`, `TlsError`, `ProtocolError`, `LimitError`, and `StaleError`.
        """
        self._patience = patience
        url = request.url
        self.reusable = False
        received = False
        try:
            sent = self._send(request, target, extra)
            received = bool(self._buffer) or self._receive_more()
            status, headers, persistent = self._read_head(request.url)
            framing = check_framing(request, status, headers)
            body = self._read_body(request, status, framing)
        except TimeoutError as error:
            raise DeadlineError(f"{url} did not answer in time") from error
        except OSError as error:
            if not self._fresh and not received:
                raise StaleError from error
            if is_tls_error(error):
                raise TlsError(
                    f"the TLS connection to {url.authority} broke: {reason(error)}",
                    hint="does the registry want a client certificate? --registry-client-cert and --registry-client-key",
                ) from error
            raise broken(f"the connection to {url.authority} broke: {reason(error)}") from error
        self._fresh = False
        self.reusable = sent and persistent and framing is not None and not self._buffer
        return Response(status, headers, body, self.peer)

    def open_tunnel(self, url: Url, authorization: str | None, patience: Callable[[], float]) -> int:
        """Ask a proxy for a tunnel (CONNECT, RFC 9110, section 9.3.6); its status. `OSError`s are the caller's."""
        self._patience = patience
        host = f"[{url.host}]" if ":" in url.host else url.host
        head = f"CONNECT {host}:{url.port} HTTP/1.1\r\nHost: {host}:{url.port}\r\n"
        if authorization is not None:
            head += f"Proxy-Authorization: {authorization}\r\n"
        self._write(f"{head}\r\n".encode("ascii"))
        status, _, _ = self._read_head(url)
        if status // 100 == 2 and self._buffer:
            raise ProtocolError(f"the proxy speaks before {url.authority} was spoken to")
        return status

    # -- out

    def _send(self, request: Request, target: str, extra: Headers) -> bool:
        """False when the server answered (413, 401) before it took the whole body: the answer counts all the same."""
        body = request.body
        size = body.size if isinstance(body, FileBody) else len(body)
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {request.url.authority}", "Accept-Encoding: identity"]
        lines.extend(f"{name}: {value}" for name, value in (*extra, *request.headers))
        if size or request.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {size}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
        if not isinstance(body, FileBody):
            if size <= CHUNK:
                self._write(head + body)
                return True
            return self._send_pieces(head, (body[at : at + CHUNK] for at in range(0, size, CHUNK)))
        try:
            file = open(body.path, "rb")  # noqa: SIM115 - closed below; errors of reading it are told apart
        except OSError as error:
            raise SealgateError(f"cannot read {body.path}: {reason(error)}") from error
        with file:
            return self._send_pieces(head, read_file(file.read, body))

    def _send_pieces(self, head: bytes, pieces: Iterator[bytes]) -> bool:
        self._write(head)
        for piece in pieces:
            # Over TLS what is readable may be a session ticket; there only a broken connection tells.
            if self._pending is None and self._is_readable():
                return False
            try:
                self._write(piece)
            except TimeoutError:
                raise
            except OSError:
                try:
                    if self._receive_more():
                        return False
                except OSError:
                    pass
                raise
        return True

    def _write(self, data: bytes) -> None:
        self._sock.settimeout(self._patience())
        self._sock.sendall(data)

    # -- in

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def _receive(self) -> bytes:
        self._sock.settimeout(self._patience())
        return self._sock.recv(CHUNK)

    def _receive_more(self) -> bool:
        """More into the buffer. Raises `ConnectionError` at the end."""
        data = self._receive()
        if not data:
            raise ConnectionResetError("closed by the other side")
        self._buffer += data
        return True

    def _read_head(self, url: Url) -> tuple[int, Headers, bool]:
        """Status, headers, and whether the connection persists, of the first answer that is not interim."""
        status = 0
        for _ in range(limits.INTERIM_ANSWERS + 1):
            head = self._read_until(b"\r\n\r\n", limits.HEADER_BYTES, url, start=b"HTTP/1.")
            status, headers, persistent = parse_head(head, url)
            if status >= 200:
                return status, headers, persistent
            if status == 101:
                break
        raise ProtocolError(f"{url} gives interim answers (last {status}) instead of an answer")

    def _read_until(self, mark: bytes, limit: int, url: Url, *, start: bytes = b"") -> bytes:
        """What comes before `mark`, which is taken too. It must begin with `start`."""
        searched = 0
        while True:
            if self._buffer[: len(start)] != start[: len(self._buffer)]:
                raise ProtocolError(
                    f"{url} does not answer in HTTP/1.1", hint="is it another kind of server, or does it want TLS?"
                )
            at = self._buffer.find(mark, searched)
            if at > limit or (at < 0 and len(self._buffer) > limit):
                raise LimitError(f"{url} answers with a head or a chunk line of more than {limit} bytes")
            if at >= 0:
                found = bytes(self._buffer[:at])
                del self._buffer[: at + len(mark)]
                return found
            searched = max(len(self._buffer) - len(mark) + 1, 0)
            self._receive_more()

    def _read_body(self, request: Request, status: int, framing: int | None) -> bytes:
        sink = request.sink if 200 <= status < 300 else None
        limit = body_limit(request, status)
        check_length(request, framing, limit)
        collected = Body(request, sink, limit)
        if framing == _CHUNKED:
            while size := self._chunk_size(request.url):
                check_length(request, collected.total + size, limit)
                self._read_exactly(size, collected)
                self._read_chunk_end(request.url)
            trailer = limits.HEADER_BYTES
            while line := self._read_until(b"\r\n", trailer, request.url):
                trailer -= len(line)
        elif framing is not None:
            self._read_exactly(framing, collected)
        else:
            while piece := bytes(self._buffer) or self._receive():
                self._buffer.clear()
                collected.add(piece)
        return collected.whole()

    def _read_exactly(self, size: int, into: Body) -> None:
        while size:
            if self._buffer:
                piece = bytes(self._buffer[:size])
                del self._buffer[:size]
            else:
                piece = self._receive()
                if not piece:
                    raise ConnectionResetError(f"closed by the other side, {size} bytes too early")
                if len(piece) > size:
                    self._buffer += piece[size:]
                    piece = piece[:size]
            size -= len(piece)
            into.add(piece)

    def _read_chunk_end(self, url: Url) -> None:
        while len(self._buffer) < 2:
            self._receive_more()
        if self._buffer[:2] != b"\r\n":
            raise ProtocolError(f"{url} answers in chunks that do not end where they should")
        del self._buffer[:2]

    def _chunk_size(self, url: Url) -> int:
        """The size of the next chunk (RFC 9112, section 7.1); extensions mean nothing."""
        size = self._read_until(b"\r\n", limits.CHUNK_LINE_BYTES, url).partition(b";")[0].rstrip(b" \t")
        if not 1 <= len(size) <= 15 or size.translate(None, _HEX):
            raise ProtocolError(f"{url} answers in chunks without a size")
        return int(size, 16)


class Body:
    """What came of a body: in memory or in the request's sink, never more than `limit` bytes."""

    def __init__(self, request: Request, sink: Sink | None, limit: int) -> None:
        self._request = request
        self._sink = sink
        self._limit = limit
        self._parts: list[bytes] = []
        self.total = 0
        if sink is not None:
            sink.restart()

    def add(self, piece: bytes) -> None:
        """Take the next bytes. Raises `LimitError`, and `SealgateError` when the sink cannot take them."""
        self.total += len(piece)
        check_length(self._request, self.total, self._limit)
        if self._sink is None:
            self._parts.append(piece)
            return
        try:
            self._sink.write(piece)
        except OSError as error:
            raise SealgateError(f"cannot store what {self._request.url} sends: {reason(error)}") from error

    def whole(self) -> bytes:
        """The body, empty when a sink took it."""
        return b"".join(self._parts)


def parse_head(head: bytes, url: Url) -> tuple[int, Headers, bool]:
    """Status, headers (names in lower case) and persistence of an answer's head, without its final empty line.

    RFC 9112, sections 4 and 5, without what is obsolete or optional to accept. Raises `ProtocolError`.
    """
    lines = head.split(b"\r\n")
    if len(lines) > limits.HEADER_FIELDS:
        raise LimitError(f"{url} answers with more than {limits.HEADER_FIELDS} headers")
    rest = b"".join(lines)
    if b"\n" in rest or b"\r" in rest or b"\0" in rest:
        raise ProtocolError(f"{url} answers with control characters in its headers")
    version, _, line = lines[0].partition(b" ")
    code = line[:3]
    if (
        version not in {b"HTTP/1.1", b"HTTP/1.0"}
        or len(code) != 3
        or not code.isdigit()
        or not b"100" <= code < b"600"
        or line[3:4].strip(b" ")
    ):
        raise ProtocolError(f"{url} does not answer in HTTP/1.1")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, _TOKEN):
            raise ProtocolError(f"{url} answers with a header that is none")
        headers.append((name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")))
    if version == b"HTTP/1.0" and any(name == "transfer-encoding" for name, _ in headers):
        raise ProtocolError(f"{url} answers in a transfer coding that HTTP/1.0 does not have")
    persistent = version == b"HTTP/1.1" and not any(
        name == "connection" and "close" in value.lower() for name, value in headers
    )
    return int(code), tuple(headers), persistent


def check_framing(request: Request, status: int, headers: Headers) -> int | None:
    """How long the body is (RFC 9112, section 6.3): bytes, -1 for chunks, None for "until the connection ends".

    Raises `ProtocolError` for two lengths (request smuggling) and for compression that was not asked for (D07).
    """
    url = request.url
    lengths = {value for name, value in headers if name == "content-length"}
    codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    encodings = {value.lower() for name, value in headers if name == "content-encoding"}
    if not encodings <= {"", "identity"}:
        raise ProtocolError(f"{url} answers compressed, which was not asked for")
    if len(lengths) > 1 or (lengths and codings):
        raise ProtocolError(f"{url} gives two lengths for one body")
    if codings and codings != ["chunked"]:
        raise ProtocolError(f"{url} answers in a transfer coding that was not asked for")
    length = lengths.pop() if lengths else None
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise ProtocolError(f"{url} gives a length that is no number")
    if request.method == "HEAD" or status in {204, 304}:
        return 0
    if codings:
        return _CHUNKED
    return int(length) if length is not None else None


def body_limit(request: Request, status: int) -> int:
    """How much of a body is read: errors are small."""
    return request.limit if 200 <= status < 300 else min(request.limit, limits.SMALL_BODY_BYTES)


def check_length(request: Request, length: int | None, limit: int) -> None:
    """Raise `LimitError` when a body is, or says that it will be, longer than `limit`."""
    if length is not None and length > limit:
        raise LimitError(f"{request.url} answers with more than {limit} bytes")


def read_file(read: Callable[[int], bytes], body: FileBody) -> Iterator[bytes]:
    """Exactly `body.size` bytes. Raises `ContentError` when the file has become shorter, `SealgateError` when it cannot be read."""
    left = body.size
    while left:
        try:
            piece = read(min(CHUNK, left))
        except OSError as error:
            raise SealgateError(f"cannot read {body.path}: {reason(error)}") from error
        if not piece:
            raise ContentError(f"{body.path} became shorter while it was sent")
        left -= len(piece)
        yield piece


def is_tls_error(error: OSError) -> bool:
    """Whether an error is the TLS library's. What was never loaded raised nothing: `ssl` is not imported to find out."""
    library = sys.modules.get("ssl")
    return library is not None and isinstance(error, library.SSLError)


def broken(message: str) -> UnreachableError:
    """An `UnreachableError` of a connection that was made and broke."""
    error = UnreachableError(message)
    error.broken = True
    return error


def reason(error: OSError) -> str:
    """Why, in the system's words. Never the whole text of an error: it may hold what was sent."""
    if is_tls_error(error):
        return str(getattr(error, "reason", None) or "the connection ended").lower().replace("_", " ")
    if error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)  # getaddrinfo's are negative
    return str(error) if isinstance(error, ConnectionResetError) else type(error).__name__


def _no_time() -> float:
    return 0.0
