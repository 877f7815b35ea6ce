"""A registry on loopback that is honest until a test tells it otherwise.

    def test_T02_other_bytes_under_a_digest(evil_registry):
        registry = evil_registry()                       # honest, empty, plain http
        image = registry.honest.put_image("app", "v1")
        registry.on("GET", f"/v2/app/manifests/{image.digest}", altered(body=b"{}"))
        ...                                              # verify registry.host + "/app:v1", expect digest-mismatch
        assert not registry.asked("GET", "/v2/app/blobs/*")

`on(method, path, script, accept=…, nth=…)`: `method` and `path` are shell patterns (`*`), `accept` a word of the Accept
header, `nth` which of the matching requests (1 is the first). The rule added last wins. `scripts` has the scripts.
`requests` has everything that was asked, in order; `asked` filters it. `evil_registry.trap()` is a server that answers
everything with 401 and that a test wants to find unasked: `assert trap.requests == [] and not trap.connections`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import socket
import ssl
import threading
from typing import NamedTuple, Self

from evil_registry.honest import HonestRegistry
from evil_registry.messages import Answer, Seen, split_target
from evil_registry.scripts import Exchange, Script
from evil_registry.scripts import honest as be_honest


class _Rule(NamedTuple):
    method: str
    path: str
    script: Script
    accept: str | None
    nth: int | None
    count: list[int]

    def matches(self, seen: Seen) -> bool:
        if not (fnmatch.fnmatchcase(seen.method, self.method) and fnmatch.fnmatchcase(seen.path, self.path)):
            return False
        if self.accept is not None and self.accept not in seen.headers.get("accept", ""):
            return False
        self.count[0] += 1
        return self.nth is None or self.nth == self.count[0]


class EvilRegistry:
    """A server; use it as a context manager, or through the fixture `evil_registry`."""

    def __init__(
        self,
        honest: HonestRegistry | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        default: Script | None = None,
    ) -> None:
        self.honest = honest or HonestRegistry()
        self.requests: list[Seen] = []
        self.connections = 0
        """How many were accepted, whether or not anything was asked over them."""
        self.greetings = 0
        """How many TLS handshakes succeeded."""
        self.tls = tls
        self.greet: Script | None = None
        """When set, called with every new connection (its `seen` is empty) before anything is read: no TLS, no HTTP."""
        self._default = default or be_honest()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.address, self.port = self._listener.getsockname()[:2]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    # -- for tests

    @property
    def host(self) -> str:
        """`127.0.0.1:port`, as an image reference begins."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:port`, for realms and redirects."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    def on(self, method: str, path: str, script: Script, *, accept: str | None = None, nth: int | None = None) -> None:
        """Do `script` for such requests."""
        with self._lock:
            self._rules.insert(0, _Rule(method, path, script, accept, nth, [0]))

    def asked(self, method: str = "*", path: str = "*") -> list[Seen]:
        """The requests so far whose method and path match the patterns."""
        with self._lock:
            return [
                seen
                for seen in self.requests
                if fnmatch.fnmatchcase(seen.method, method) and fnmatch.fnmatchcase(seen.path, path)
            ]

    def close(self) -> None:
        """End every connection and thread."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the server

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open.add(sock)
                thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        plain = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(60)
            if self.greet is not None:
                self.greet(Exchange(sock, Seen("", "", "", {}, b"", number, ""), self.honest.answer, self._closing))
                return
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.add(sock)
                    self.greetings += 1
            with sock.makefile("rb") as stream:
                while (seen := _read_request(stream, sock, number)) is not None:
                    if not self._answer(sock, seen):
                        break
        except (OSError, ValueError):
            pass  # the client has gone, or did not speak TLS, or not HTTP
        finally:
            with self._lock:
                self._open -= {plain, sock}
            _part(sock)

    def _answer(self, sock: socket.socket, seen: Seen) -> bool:
        with self._lock:
            self.requests.append(seen)
            script = next((rule.script for rule in self._rules if rule.matches(seen)), self._default)
        return script(Exchange(sock, seen, self.honest.answer, self._closing))


def _part(sock: socket.socket) -> None:
    """Close, without a reset that would overtake what was sent: end our half, then read what is still on its way."""
    with contextlib.suppress(OSError):
        sock.settimeout(0.2)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    sock.close()


def _read_request(stream, sock: socket.socket, number: int) -> Seen | None:
    first = stream.read(1)
    if not first.isalpha():  # nothing, or TLS: answered at once, as good servers do
        if first:
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        return None
    method, target, _ = (first + stream.readline(65536)).decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := stream.readline(65536)) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    path, query = split_target(target)
    return Seen(method, path, query, headers, _read_body(stream, headers), number, target)


def _read_body(stream, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("content-length", "0")))
    body = b""
    while size := int(stream.readline(1024).partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline(16)
    while stream.readline(65536).strip():
        pass
    return body


def trap_script(exchange: Exchange) -> bool:
    """401 with a Basic challenge: whoever comes is asked for what it has."""
    return exchange.reply(Answer(401, (("WWW-Authenticate", 'Basic realm="trap"'),)))
