"""The HTTP adapter of the command line, on the standard library's `http.client`.

It connects itself, so that the address is known and judged before a byte is sent, and each TLS setting has its own
context and connections. It follows nothing, retries nothing that was answered, and reads no more than it was told.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import (
    AddressError,
    DeadlineError,
    KeyNotFoundError,
    LimitError,
    ProtocolError,
    TlsError,
    UnreachableError,
)
from sealgate.transport import address
from sealgate.transport.message import FileBody, Request, Response, Tls, Url

if TYPE_CHECKING:
    from sealgate.transport.proxy import Proxies, Proxy

_CHUNK = 64 * 1024
_IDLE_SECONDS = 25.0


class _Key(NamedTuple):
    """What a connection may be shared for."""

    url_scheme: str
    host: str
    port: int
    tls: Tls
    addresses: str


class HttpClient:
    """Sends requests over pooled connections. `send` may be called from several threads."""

    def __init__(self, *, proxies: Proxies | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._proxies = proxies
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[_Key, list[tuple[http.client.HTTPConnection, str, float]]] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    def send(self, request: Request, deadline: float) -> Response:
        """Send `request` once (twice when a kept connection turns out to be dead before anything came back).

        Raises `UnreachableError`, `DeadlineError`, `TlsError`, `ProtocolError`, `AddressError`, `LimitError`.
        """
        url = request.url
        ends = deadline if request.sink or isinstance(request.body, FileBody) else min(
            deadline, self._clock() + request.seconds
        )
        key = _Key(url.scheme, url.host, url.port, request.tls, request.addresses)
        while True:
            with self._lock:
                idle = self._idle.get(key)
                kept = idle.pop() if idle else None
            if kept is None:
                connection, peer = self._connect(request, ends)
                return self._exchange(connection, peer, key, request, ends)
            connection, peer, since = kept
            if self._clock() - since > _IDLE_SECONDS:
                connection.close()
                continue
            try:
                return self._exchange(connection, peer, key, request, ends)
            except _StaleError:
                continue

    # -- connecting

    def _connect(self, request: Request, ends: float) -> tuple[http.client.HTTPConnection, str]:
        url = request.url
        proxy = self._proxies.for_url(url) if self._proxies is not None else None
        if proxy is not None:
            # The proxy resolves the name; only a literal address can be judged here.
            if request.addresses != "any" and address.is_literal(url.host):
                address.check(url.host, request.addresses, url.host)
            sock, peer = self._open(proxy.host, proxy.port, "any", ends)
            if url.scheme == "https":
                self._tunnel(sock, proxy, url, ends)
        else:
            sock, peer = self._open(url.host, url.port, request.addresses, ends)
        if url.scheme == "https":
            sock = self._handshake(sock, request, ends, retry=proxy is None)
        connection = http.client.HTTPConnection(url.host, url.port)
        connection.sock = sock
        connection.auto_open = 0
        return connection, peer

    def _open(self, host: str, port: int, rule: str, ends: float) -> tuple[socket.socket, str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"{host} does not resolve", hint="check the name and the network") from error
        failure: OSError | None = None
        for family, kind, protocol, _, where in found:
            address.check(str(where[0]), rule, host)  # type: ignore[arg-type]
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._patience(limits.CONNECT_SECONDS, ends, host))
                sock.connect(where)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
                sock.close()
            else:
                return sock, str(where[0])
        if isinstance(failure, TimeoutError):
            raise DeadlineError(f"{host}:{port} did not take a connection in time") from failure
        reason = failure.strerror if failure is not None else "no address"
        raise UnreachableError(
            f"cannot connect to {host}:{port}: {reason}", hint="is the registry running, and reachable from here?"
        ) from failure

    def _patience(self, most: float, ends: float, host: str) -> float:
        left = ends - self._clock()
        if left <= 0:
            raise DeadlineError(f"{host} did not answer in time")
        return min(most, left)

    def _tunnel(self, sock: socket.socket, proxy: Proxy, url: Url, ends: float) -> None:
        """CONNECT (RFC 9110, section 9.3.6)."""
        host = f"[{url.host}]" if ":" in url.host else url.host
        lines = [f"CONNECT {host}:{url.port} HTTP/1.1", f"Host: {host}:{url.port}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        try:
            sock.settimeout(self._patience(limits.CONNECT_SECONDS, ends, proxy.host))
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                byte = sock.recv(1)
                answer += byte
                if not byte or len(answer) > limits.HEADER_BYTES:
                    raise ProtocolError(f"the proxy {proxy.host}:{proxy.port} broke off")
        except OSError as error:
            sock.close()
            raise UnreachableError(f"the proxy {proxy.host}:{proxy.port} does not answer") from error
        status = answer.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) < 2 or status[1] != b"200":
            sock.close()
            shown = status[1].decode("ascii", "replace")[:3] if len(status) > 1 else "?"
            raise UnreachableError(f"the proxy {proxy.host}:{proxy.port} refuses to reach {host} ({shown})")

    def _handshake(self, sock: socket.socket, request: Request, ends: float, *, retry: bool) -> socket.socket:
        """TLS. A local host is first greeted without loading the system's roots: most speak plain http (see docs/design.md)."""
        url, tls = request.url, request.tls
        rootless = retry and tls.ca_file is None and tls not in self._contexts and address.is_private(url.host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if rootless else self._context(tls)
        try:
            sock.settimeout(self._patience(limits.CONNECT_SECONDS, ends, url.host))
            return context.wrap_socket(sock, server_hostname=tls.server_name or url.host)
        except ssl.SSLCertVerificationError as error:
            sock.close()
            if rootless:
                self._context(tls)
                again, _ = self._open(url.host, url.port, request.addresses, ends)
                return self._handshake(again, request, ends, retry=False)
            raise TlsError(
                f"the certificate of {url.host}:{url.port} is not trusted: {error.verify_message}",
                hint="--registry-cacert FILE trusts your own authority; --registry-server-name NAME expects another name",
            ) from error
        except TimeoutError as error:
            sock.close()
            raise DeadlineError(f"{url.host}:{url.port} did not finish the TLS handshake in time") from error
        except OSError as error:
            sock.close()
            failure = TlsError(
                f"{url.host}:{url.port} does not speak TLS ({getattr(error, 'reason', None) or error.strerror})",
                hint="a registry without TLS needs --allow-http-registry",
            )
            failure.not_tls = not isinstance(error, ssl.SSLError) or error.reason in _NOT_TLS
            raise failure from error

    def _context(self, tls: Tls) -> ssl.SSLContext:
        with self._lock:
            context = self._contexts.get(tls)
            if context is None:
                context = self._contexts[tls] = _new_context(tls)
            return context

    # -- talking

    def _exchange(
        self, connection: http.client.HTTPConnection, peer: str, key: _Key, request: Request, ends: float
    ) -> Response:
        keep = False
        try:
            response = self._start(connection, request, ends)
            body = self._body(connection, response, request, ends)
            keep = not response.will_close and response.isclosed()
            headers = tuple((name.lower(), value) for name, value in response.headers.items())
            return Response(response.status, headers, body, peer)
        except TimeoutError as error:
            raise DeadlineError(f"{request.url} did not answer in time") from error
        except (http.client.HTTPException, ValueError) as error:
            raise ProtocolError(f"{request.url} does not answer in HTTP: {type(error).__name__}") from error
        except OSError as error:
            raise UnreachableError(f"the connection to {request.url.authority} broke: {error.strerror}") from error
        finally:
            if keep:
                with self._lock:
                    self._idle.setdefault(key, []).append((connection, peer, self._clock()))
            else:
                connection.close()

    def _start(self, connection: http.client.HTTPConnection, request: Request, ends: float) -> http.client.HTTPResponse:
        """Send the request and read the head of the answer."""
        fresh = not getattr(connection, "used", False)
        connection.used = True  # type: ignore[attr-defined]
        url = request.url
        target = url.target
        proxy = self._proxies.for_url(url) if self._proxies is not None and url.scheme == "http" else None
        if proxy is not None:
            target = f"http://{url.authority}{target}"
        try:
            connection.sock.settimeout(self._patience(limits.READ_SECONDS, ends, url.host))
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", url.authority)
            connection.putheader("Accept-Encoding", "identity")
            if proxy is not None and proxy.authorization is not None:
                connection.putheader("Proxy-Authorization", proxy.authorization)
            for name, value in request.headers:
                connection.putheader(name, value)
            body = request.body
            size = body.size if isinstance(body, FileBody) else len(body)
            if size or request.method in {"POST", "PUT", "PATCH"}:
                connection.putheader("Content-Length", str(size))
            if isinstance(body, FileBody):
                connection.endheaders()
                with open(body.path, "rb") as file:  # noqa: PTH123 - pathlib costs 4 ms of start-up
                    while chunk := file.read(_CHUNK):
                        connection.sock.settimeout(self._patience(limits.READ_SECONDS, ends, url.host))
                        connection.send(chunk)
            else:
                connection.endheaders(body or None)
        except TimeoutError:
            raise
        except OSError:
            # A server may answer (413, 401) and close before it took the whole body: the answer still counts.
            if fresh and not isinstance(request.body, FileBody):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return connection.getresponse()
                raise
            if not fresh:
                raise _StaleError from None
            raise
        try:
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            if fresh:
                raise
            raise _StaleError from None

    def _body(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, request: Request, ends: float
    ) -> bytes:
        url = request.url
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() not in {"", "identity"}:
            raise ProtocolError(f"{url} answers compressed ({encoding[:20]!r}), which was not asked for")
        lengths = set(response.headers.get_all("content-length") or [])
        if len(lengths) > 1 or (lengths and "transfer-encoding" in response.headers):
            raise ProtocolError(f"{url} gives two lengths for one body")
        sink = request.sink if 200 <= response.status < 300 else None
        limit = request.limit if 200 <= response.status < 300 else min(request.limit, limits.SMALL_BODY_BYTES)
        if response.length is not None and response.length > limit and request.method != "HEAD":
            raise LimitError(f"{url} answers with {response.length} bytes; at most {limit} are read")
        if sink is not None:
            sink.restart()
        parts: list[bytes] = []
        total = 0
        expected = response.length
        while chunk := response.read1(_CHUNK):
            total += len(chunk)
            if total > limit:
                raise LimitError(f"{url} answers with more than {limit} bytes")
            if sink is not None:
                sink.write(chunk)
            else:
                parts.append(chunk)
            patience = self._patience(limits.READ_SECONDS, ends, url.host)
            if connection.sock is not None:
                connection.sock.settimeout(patience)
        if expected is not None and total != expected and request.method != "HEAD":
            raise UnreachableError(f"{url} broke off after {total} of {expected} bytes")
        return b"".join(parts)


class _StaleError(Exception):
    """A kept connection was closed by the server before it saw the request."""


_NOT_TLS = frozenset({
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
    "UNEXPECTED_EOF_WHILE_READING",
    "INVALID_ALERT",
})


def _new_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif tls.ca_file is not None:
            context.load_verify_locations(cafile=tls.ca_file)
        else:
            context.load_default_certs()
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key, password=_no_password)
    except FileNotFoundError as error:
        raise KeyNotFoundError(
            "a certificate or key file for the registry does not exist", hint="see --registry-cacert and --registry-client-cert"
        ) from error
    except (OSError, ValueError) as error:
        raise TlsError(f"a certificate or key file for the registry cannot be used: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the client key is encrypted")
