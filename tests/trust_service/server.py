"""The trust service on loopback: every service on one port.

http://127.0.0.1:PORT/api/v2/signingCert        Fulcio; /api/v1/ too
                     /api/v2/log/entries        Rekor v2; /api/v1/log/… is v1
                     /api/v1/timestamp          timestamps, DER and JSON
                     /oidc/…                    identities
                     /tuf/…                     the TUF repository
                     /at/NAME/api/…             the same, by those of that name
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from trust_service.refusal import RefusedError
from trust_service.routes import Reply, Request, answer, service_of
from trust_service.service import Seen, TrustService


@contextlib.contextmanager
def serve(*, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> Iterator[TrustService]:
    """A trust service that listens on a free port, until the end of the block."""
    server = _Server((address, 0), tls)
    scheme = "http" if tls is None else "https"
    server.service = TrustService(f"{scheme}://{address}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.service
    finally:
        server.shutdown()
        server.part()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are waited for
    service: TrustService

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        super().__init__(address, _Handler)
        self.closing = threading.Event()
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def finish_request(self, request, client_address) -> None:
        with self._lock:
            self._open.add(request)
        try:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                super().finish_request(request, client_address)
            else:
                with self._tls.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)
        except OSError:
            pass  # the client has gone
        finally:
            with self._lock:
                self._open.discard(request)

    def part(self) -> None:
        """End what is still open."""
        self.closing.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, target.path, target.query, headers, body)
        trust = self.server.service
        name = service_of(request)
        trust.requests.append(Seen(name, self.command, self.path, headers, body))
        failure = trust.failures.next(name, target.path)
        if failure is not None:
            self.server.closing.wait(failure.delay)
            if failure.status == 0:
                self.close_connection = True
                return
            if failure.status is not None:
                self._reply(Reply(failure.status, failure.body, "application/json", failure.headers))
                return
        try:
            self._reply(answer(trust, request))
        except RefusedError as refused:
            words = {"code": 3 if refused.status == 400 else 16, "message": str(refused)}
            self._reply(Reply(refused.status, json.dumps(words).encode(), "application/json", refused.headers))
        except Exception as error:  # noqa: BLE001 - a fault of the service itself, or of an alteration: said, not hidden
            words = {"code": 13, "message": f"the trust service of the tests: {error!r}"}
            self._reply(Reply(500, json.dumps(words).encode()))

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()
