"""What a hostile registry does instead of answering honestly: each function here makes a script for `EvilRegistry.on`.

A script takes an `Exchange`, does what it likes with it, and returns whether the connection may be used again.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from evil_registry.messages import Answer, Seen, json_answer


class Exchange:
    """One request being answered: what was `seen`, what `honest()` would be, and the socket to `send` on."""

    def __init__(
        self, sock: socket.socket, seen: Seen, honest: Callable[[Seen], Answer], closing: threading.Event
    ) -> None:
        self.sock = sock
        self.seen = seen
        self._honest = honest
        self._closing = closing

    def honest(self) -> Answer:
        """The honest registry's answer; asking has its effect there (a PUT is stored)."""
        return self._honest(self.seen)

    def send(self, data: bytes) -> None:
        """Bytes as they are. Raises `OSError` when the client has gone."""
        self.sock.sendall(data)

    def reply(self, answer: Answer) -> bool:
        """A whole answer; a HEAD's has no body."""
        body = b"" if self.seen.method == "HEAD" or answer.status in {204, 304} else answer.body
        self.send(answer.head() + body)
        return all(name.lower() != "connection" for name, _ in answer.headers)

    def wait(self, seconds: float) -> bool:
        """Do nothing for a while; False when the server is closed meanwhile."""
        return not self._closing.wait(seconds)


Script = Callable[[Exchange], bool]


def honest() -> Script:
    """As the honest registry."""
    return lambda exchange: exchange.reply(exchange.honest())


def reply(
    status: int = 200,
    body: bytes = b"",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    json: Any = None,
) -> Script:
    """That answer. A list of headers may name one twice; `Content-Length` may lie."""
    pairs = tuple(headers.items() if isinstance(headers, dict) else headers or ())
    answer = Answer(status, pairs, body) if json is None else json_answer(status, json).changed(headers=dict(pairs))
    return lambda exchange: exchange.reply(answer)


def altered(
    *,
    status: int | None = None,
    headers: dict[str, str] | None = None,
    body: bytes | Callable[[bytes], bytes] | None = None,
    without: tuple[str, ...] = (),
) -> Script:
    """The honest answer with some of it changed; `body` may be a function of the honest body."""

    def script(exchange: Exchange) -> bool:
        answer = exchange.honest()
        new = body(answer.body) if callable(body) else body
        return exchange.reply(answer.changed(status=status, headers=headers, body=new, without=without))

    return script


def redirect(location: str, status: int = 307) -> Script:
    """A redirect; `{n}` in the location counts, so that a chain never ends and never repeats."""
    count = itertools.count(1)
    return lambda exchange: exchange.reply(Answer(status, (("Location", location.replace("{n}", str(next(count)))),)))


def challenge(realm: str, *, service: str = "test", scope: str | None = None, scheme: str = "Bearer") -> Script:
    """401 with a challenge that names a realm of any kind."""
    value = f'{scheme} realm="{realm}",service="{service}"' + (f',scope="{scope}"' if scope else "")
    return reply(401, headers={"WWW-Authenticate": value})


def fail(status: int = 500, body: bytes = b"") -> Script:
    """An error without further words."""
    return reply(status, body)


def throttle(retry_after: str = "1") -> Script:
    """429 with Retry-After."""
    return reply(429, headers={"Retry-After": retry_after})


def sequence(*scripts: Script) -> Script:
    """The first script for the first request, and so on; the last one for all that follow."""
    steps: Iterator[Script] = itertools.chain(scripts, itertools.repeat(scripts[-1]))
    lock = threading.Lock()

    def script(exchange: Exchange) -> bool:
        with lock:
            step = next(steps)
        return step(exchange)

    return script


def raw(data: bytes, *, keep: bool = False) -> Script:
    """These bytes, then the end of the connection (or not)."""

    def script(exchange: Exchange) -> bool:
        exchange.send(data)
        return keep

    return script


def stall(after: bytes = b"") -> Script:
    """Some bytes, then silence until the test is over."""

    def script(exchange: Exchange) -> bool:
        exchange.send(after)
        exchange.wait(60)
        return False

    return script


def delay(seconds: float, then: Script | None = None) -> Script:
    """Silence for a while, then another script (honesty)."""

    def script(exchange: Exchange) -> bool:
        return exchange.wait(seconds) and (then or honest())(exchange)

    return script


def drip(data: bytes | None = None, *, pause: float = 0.2, start: bytes = b"") -> Script:
    """`start` at once, then one byte at a time: of `data`, or of the honest answer, head included (slowloris, D14)."""

    def script(exchange: Exchange) -> bool:
        exchange.send(start)
        answer = exchange.honest() if data is None else None
        for byte in data if answer is None else answer.head() + answer.body:  # type: ignore[union-attr]
            exchange.send(bytes([byte]))
            if not exchange.wait(pause):
                break
        return False

    return script


def endless(
    status: int = 200, *, chunked: bool = False, headers: dict[str, str] | None = None, piece: bytes = b"x" * 65536
) -> Script:
    """A body without an end (D02, D06): unsized, or in chunks."""

    def script(exchange: Exchange) -> bool:
        extra = (("Transfer-Encoding", "chunked"),) if chunked else (("Connection", "close"),)
        exchange.send(Answer(status, (*(headers or {}).items(), *extra)).head(sized=False))
        framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
        with contextlib.suppress(OSError):
            while exchange.wait(0):
                exchange.send(framed)
        return False

    return script


def endless_headers(status: int = 200) -> Script:
    """A head without an end."""

    def script(exchange: Exchange) -> bool:
        exchange.send(f"HTTP/1.1 {status} OK\r\n".encode())
        with contextlib.suppress(OSError):
            while exchange.wait(0):
                exchange.send(b"X-Padding: " + b"x" * 1000 + b"\r\n")
        return False

    return script


def cut(after: int) -> Script:
    """The honest answer, broken off that many bytes into its body."""

    def script(exchange: Exchange) -> bool:
        answer = exchange.honest()
        exchange.send(answer.head() + answer.body[:after])
        return False

    return script


def gzipped(times: int = 1, body: bytes | None = None) -> Script:
    """The honest body, or another (a bomb), compressed as often as one likes (D07)."""

    def script(exchange: Exchange) -> bool:
        answer = exchange.honest()
        data = answer.body if body is None else body
        for _ in range(times):
            data = gzip.compress(data)
        return exchange.reply(answer.changed(body=data, headers={"Content-Encoding": ", ".join(["gzip"] * times)}))

    return script


def endless_pages(body: bytes | None = None) -> Script:
    """The honest list, always with a Link to one more page (D14)."""
    count = itertools.count(1)

    def script(exchange: Exchange) -> bool:
        link = f'<{exchange.seen.path}?n=1&last={next(count)}>; rel="next"'
        return exchange.reply(exchange.honest().changed(headers={"Link": link}, body=body))

    return script


def forward() -> Script:
    """What a proxy does with an absolute http target: ask there, pass the answer on."""

    def script(exchange: Exchange) -> bool:
        host, _, port = exchange.seen.headers["host"].rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), 10) as onward:
            path = exchange.seen.path + (f"?{exchange.seen.query}" if exchange.seen.query else "")
            head = f"{exchange.seen.method} {path} HTTP/1.1\r\nHost: {exchange.seen.headers['host']}\r\nConnection: close\r\n"
            length = f"Content-Length: {len(exchange.seen.body)}\r\n" if exchange.seen.body else ""
            onward.sendall(f"{head}{length}\r\n".encode() + exchange.seen.body)
            while data := onward.recv(65536):
                exchange.send(data)
        return False

    return script


def tunnel(to: str | None = None) -> Script:
    """What a proxy does when it is asked to CONNECT: bytes both ways until one side ends; to another `host:port` if told so."""

    def script(exchange: Exchange) -> bool:
        host, _, port = (to or exchange.seen.target).rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), 10) as onward:
            exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pump = threading.Thread(target=_pump, args=(onward, exchange.sock), daemon=True)
            pump.start()
            _pump(exchange.sock, onward)
            pump.join(10)
        return False

    return script


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
