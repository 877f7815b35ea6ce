"""The HTTP adapter of the command line, on blocking sockets.

It connects itself, so that the address is known and judged before a byte is sent, and each TLS setting has its own
context and connections. It follows nothing, retries nothing that was answered, and reads no more than it was told.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import DeadlineError, SealgateError, UnreachableError
from sealgate.transport import address
from sealgate.transport.message import Addresses, FileBody, Request, Response, Tls, check_request
from sealgate.transport.wire import Headers, StaleError, Wire, broken, reason

if TYPE_CHECKING:
    import ssl

    from sealgate.transport.proxy import Proxies, Proxy

_IDLE_SECONDS = 25.0
"""Less than servers and load balancers keep an idle connection."""


class _Key(NamedTuple):
    """What a connection may be shared for."""

    scheme: str
    host: str
    port: int
    tls: Tls
    addresses: Addresses
    direct: bool


class HttpClient:
    """Sends requests over pooled connections. `send` may be called from several threads."""

    def __init__(self, *, proxies: Proxies | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._proxies = proxies
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[_Key, list[Wire]] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._closed = False

    def close(self) -> None:
        """Close the connections that are kept, and keep none any more."""
        with self._lock:
            self._closed = True
            kept = [wire for wires in self._kept.values() for wire in wires]
            self._kept.clear()
        for wire in kept:
            wire.close()

    def send(self, request: Request, deadline: float) -> Response:
        """Send `request` once (again only when a kept connection turns out to be closed before anything came back).

        Raises `UnreachableError`, `DeadlineError`, `TlsError`, `ProtocolError`, `AddressError`, `LimitError`, and
        `SealgateError` when a local file cannot be read or written.
        """
        check_request(request)
        url = request.url
        streams = request.sink is not None or isinstance(request.body, FileBody)
        ends = deadline if streams else min(deadline, self._clock() + request.seconds)
        proxy = self._proxies.for_url(url) if self._proxies is not None and not request.direct else None
        target = url.target
        extra: Headers = ()
        if proxy is not None and url.scheme == "http":
            target = f"http://{url.authority}{target}"
            extra = (("Proxy-Authorization", proxy.authorization),) if proxy.authorization is not None else ()
        key = _Key(url.scheme, url.host, url.port, request.tls, request.addresses, request.direct)
        patience = self._patience(limits.READ_SECONDS, ends, url.authority)
        while True:
            wire = self._take(key) or self._connect(request, proxy, ends)
            try:
                response = wire.exchange(request, target, extra, patience)
            except StaleError:
                wire.close()
                continue
            except BaseException:
                wire.close()
                raise
            self._keep(key, wire)
            if response.status == 407 and proxy is not None:
                from sealgate.transport.proxy import refused

                raise refused(proxy, url, 407)
            return response

    # -- keeping

    def _take(self, key: _Key) -> Wire | None:
        while True:
            with self._lock:
                wires = self._kept.get(key)
                if not wires:
                    return None
                wire = wires.pop()
            if self._clock() - wire.since < _IDLE_SECONDS and wire.is_quiet():
                return wire
            wire.close()

    def _keep(self, key: _Key, wire: Wire) -> None:
        wire.since = self._clock()
        with self._lock:
            if wire.reusable and not self._closed:
                self._kept.setdefault(key, []).append(wire)
                return
        wire.close()

    # -- connecting

    def _connect(self, request: Request, proxy: Proxy | None, ends: float) -> Wire:
        """A connection to where the request goes. Raises `AddressError` before anything is sent."""
        url = request.url
        if proxy is not None:
            address.check_name(url.host, request.addresses)
        if url.scheme == "http":
            return Wire(*self._dial(request, proxy, ends))
        if proxy is None and request.tls not in self._contexts:
            from sealgate.transport import greeting

            if greeting.is_worthwhile(request):
                self._greet(request, ends)
        from sealgate.transport import tls

        with self._lock:
            context = self._contexts.get(request.tls)
            if context is None:
                context = self._contexts[request.tls] = tls.new_context(request.tls)
        try:
            return self._secure(request, proxy, ends, context)
        except tls.UntrustedError as error:
            raise tls.untrusted(url, error.__cause__) from error.__cause__

    def _greet(self, request: Request, ends: float) -> None:
        """Raise `TlsError` (`not_tls`) when a local host does not answer in TLS. Nothing it says is believed."""
        from sealgate.transport import greeting

        sock, _ = self._dial(request, None, ends)
        with sock:
            patience = self._patience(limits.CONNECT_SECONDS, ends, request.url.authority)
            if greeting.speaks_tls(sock, request.url, patience()) is False:
                raise greeting.not_tls(request.url)

    def _secure(self, request: Request, proxy: Proxy | None, ends: float, context: ssl.SSLContext) -> Wire:
        from sealgate.transport import tls

        sock, peer = self._dial(request, proxy, ends)
        try:
            patience = self._patience(limits.CONNECT_SECONDS, ends, request.url.authority)
            return Wire(tls.greet(sock, context, request, patience()), peer)
        except BaseException:
            sock.close()
            raise

    def _dial(self, request: Request, proxy: Proxy | None, ends: float) -> tuple[socket.socket, str]:
        """A TCP connection to the host, or through the proxy to it, and the address that was connected to."""
        url = request.url
        if proxy is None:
            return self._open(url.host, url.port, request.addresses, ends)
        try:
            sock, peer = self._open(proxy.host, proxy.port, "any", ends)
        except UnreachableError as error:
            raise UnreachableError(
                f"the proxy for {url.authority} cannot be reached: {error.message}",
                hint="HTTPS_PROXY, HTTP_PROXY and NO_PROXY name it, or hosts that need none",
            ) from error
        if url.scheme == "https":
            try:
                patience = self._patience(limits.CONNECT_SECONDS, ends, f"the proxy {proxy.host}:{proxy.port}")
                status = Wire(sock, peer).open_tunnel(url, proxy.authorization, patience)
                if status // 100 != 2:
                    from sealgate.transport.proxy import refused

                    raise refused(proxy, url, status)
            except TimeoutError as error:
                sock.close()
                raise DeadlineError(f"the proxy {proxy.host}:{proxy.port} did not answer in time") from error
            except OSError as error:
                sock.close()
                raise broken(f"the connection to the proxy {proxy.host}:{proxy.port} broke: {reason(error)}") from error
            except BaseException:
                sock.close()
                raise
        return sock, peer

    def _open(self, host: str, port: int, rule: Addresses, ends: float) -> tuple[socket.socket, str]:
        """Connect to the first address of `host` that answers, if the rule allows every one."""
        # As bytes a literal address needs no IDNA codec: 2 ms of imports.
        name = host.encode("ascii") if address.is_literal(host) else host
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # ValueError: a label that is empty or too long
            raise UnreachableError(f"{host} does not resolve", hint="check the name and the network") from error
        for *_, where in found:
            address.check(str(where[0]), rule, host)
        patience = self._patience(limits.CONNECT_SECONDS, ends, f"{host}:{port}")
        failure: OSError | None = None
        for family, kind, protocol, _, where in found:
            sock = None
            try:
                sock = socket.socket(family, kind, protocol)
                sock.settimeout(patience())
                sock.connect(where)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except (OSError, SealgateError) as error:
                if sock is not None:
                    sock.close()
                if isinstance(error, SealgateError):
                    raise
                failure = error
            else:
                return sock, str(where[0])
        if isinstance(failure, TimeoutError):
            raise DeadlineError(f"{host}:{port} did not take a connection in time") from failure
        why = reason(failure) if failure is not None else "it has no address"
        raise UnreachableError(
            f"cannot connect to {host}:{port}: {why}", hint="is the registry running, and reachable from here?"
        ) from failure

    def _patience(self, most: float, ends: float, who: str) -> Callable[[], float]:
        """How long the next step may take. Raises `DeadlineError` when no time is left."""

        def left() -> float:
            seconds = ends - self._clock()
            if seconds <= 0:
                raise DeadlineError(f"{who} did not answer in time")
            return min(most, seconds)

        return left
