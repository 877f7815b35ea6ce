"""The browser of the person who signs, and the place on loopback where it brings the code to (RFC 8252, section 7.3).

Whoever is on this machine can send requests there: only one with our `state` counts, the others are turned away and waited
past. A code that somebody else reads is worth nothing without the verifier of PKCE.
"""

from __future__ import annotations

import secrets
import socket
import time
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from sealgate import limits
from sealgate.errors import IssuerRefusedError, UsageError

_DEFAULT = "http://localhost:0/auth/callback"
"""cosign's."""
_HOSTS = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
_REQUEST_BYTES = 16 * 1024
_REQUEST_SECONDS = 5.0


class Listener:
    """Waits on loopback for the browser. `redirect_uri` is where it is to be sent."""

    def __init__(self, redirect_url: str | None, *, state: str, issuer: str) -> None:
        """`issuer`: who must have sent it. Raises `UsageError` for a redirect that does not lead to loopback."""
        parts = urlsplit(redirect_url or _DEFAULT)
        try:
            host, port = parts.hostname or "", parts.port or 0
        except ValueError:
            host, port = "", 0
        if parts.scheme != "http" or host not in _HOSTS or parts.query or parts.fragment or parts.username:
            raise UsageError(
                "--oidc-redirect-url must lead to this machine",
                hint=f"as in {_DEFAULT}, which is what it is by default",
            )
        self._path = parts.path or "/"
        self._state = state
        self._issuer = issuer
        family = socket.AF_INET6 if ":" in _HOSTS[host] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.bind((_HOSTS[host], port))
            self._socket.listen(16)
        except OSError as error:
            self._socket.close()
            raise UsageError(f"nobody can listen at --oidc-redirect-url: {error.strerror}") from error
        shown = f"[{host}]" if ":" in host else host
        self.redirect_uri = f"http://{shown}:{self._socket.getsockname()[1]}{self._path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def wait(self, seconds: float) -> str:
        """The code. Blocks. Raises `IssuerRefusedError` when the issuer says no, or nobody comes."""
        ends = time.monotonic() + seconds
        for _ in range(limits.SIGN_IN_REQUESTS):
            left = ends - time.monotonic()
            if left <= 0:
                break
            self._socket.settimeout(left)
            try:
                connection, _ = self._socket.accept()
            except (TimeoutError, OSError):
                break
            with connection:
                found = self._answer(connection, min(left, _REQUEST_SECONDS))
            if found is not None:
                return found
        raise IssuerRefusedError(f"nobody signed in with the browser within {int(seconds)} seconds", hint="sign again")

    def _answer(self, connection: socket.socket, seconds: float) -> str | None:
        """Answer one request; the code, if it brings it."""
        try:
            query = self._query(connection, seconds)
        except (OSError, ValueError):
            query = None
        state = (query or {}).get("state", [""])
        if query is None or len(state) != 1 or not secrets.compare_digest(state[0].encode(), self._state.encode()):
            _say(connection, 400, "This is not what is being waited for.")
            return None
        if query.get("iss", [self._issuer]) != [self._issuer]:  # RFC 9207, section 2.4: another issuer's code
            _say(connection, 400, "This is not the issuer that was asked.")
            raise IssuerRefusedError("another issuer than the one that was asked sent the browser back")
        if "error" in query:
            _say(connection, 200, "You were not signed in. You may close this window.")
            error = query["error"][0]
            shown = error if error.isidentifier() and len(error) < 64 else "no reason"
            raise IssuerRefusedError(f"the issuer signs nobody in: {shown}")
        code = query.get("code", [])
        if len(code) != 1 or not 0 < len(code[0]) <= 4096:
            _say(connection, 400, "The answer of the issuer has no code.")
            raise IssuerRefusedError("the issuer sent the browser back without a code")
        _say(connection, 200, "You are signed in. You may close this window.")
        return code[0]

    def _query(self, connection: socket.socket, seconds: float) -> dict[str, list[str]] | None:
        """The query of a GET for our path; None for anything else."""
        ends = time.monotonic() + seconds
        data = b""
        while b"\r\n\r\n" not in data:
            connection.settimeout(max(ends - time.monotonic(), 0.01))
            piece = connection.recv(4096)
            data += piece
            if not piece or len(data) > _REQUEST_BYTES or time.monotonic() > ends:
                return None
        words = data.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if len(words) != 3 or words[0] != "GET":
            return None
        path, _, query = words[1].partition("?")
        return parse_qs(query, keep_blank_values=True, max_num_fields=32) if path == self._path else None


def show(place: str) -> None:
    """Open a browser, if there is one; `place` was shown to the person too."""
    import contextlib
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(place)


def _say(connection: socket.socket, status: int, text: str) -> None:
    reason = "OK" if status == 200 else "Bad Request"
    page = f"<!doctype html><meta charset=utf-8><title>sealgate</title><p>{text}</p>".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(page)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
    try:
        connection.settimeout(_REQUEST_SECONDS)
        connection.sendall(head.encode("ascii") + page)
    except OSError:
        return
