"""uvicorn's HTTP protocol with bounds on the head of a request, and with the client's certificate for the application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sealgate import limits
from sealgate.admission.application import PEER

if TYPE_CHECKING:
    from asyncio.events import TimerHandle

_SILENT_SECONDS = 120.0
"""How long a connection may wait for its first request: Go's clients open some that they use later, and do not try again
when such a one closes on them."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _timer: TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who it is."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER: _common_name(transport.get_extra_info("peercert"))}
        self._wait(_SILENT_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as the head does not grow beyond its bound."""
        if self._in_head:
            if not self._head_bytes:
                self._stop_waiting()
                self._wait(limits.REVIEW_READ_SECONDS)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > limits.HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._stop_waiting()
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is another request's head."""
        super().on_message_complete()
        self._in_head = True

    def _wait(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def _common_name(certificate: dict[str, Any] | None) -> str | None:
    """The common name of a verified certificate (as `ssl` gives it); `""` where it has none; None without a certificate."""
    if not certificate:
        return None
    for names in certificate.get("subject", ()):
        for kind, value in names:
            if kind == "commonName":
                return str(value)
    return ""
