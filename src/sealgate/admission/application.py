"""The webhook as an ASGI application: five paths, bounded bodies, and who may ask. Decides nothing about images.

Plain ASGI: five fixed paths need no router, and one costs a tenth of a warm review.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.admission import deadline

if TYPE_CHECKING:
    from sealgate.admission.metrics import Metrics
    from sealgate.admission.webhook import Path, Webhook

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_REVIEWS: dict[str, Path] = {"/mutate": "mutate", "/validate": "validate"}
PATHS = tuple(_REVIEWS)
"""Every path that reviews are taken on: what is registered with an API server is one of these."""
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"
PEER = "sealgate.peer"
"""In the scope's state: the common name of the client's certificate, which was verified; None without one."""


class Application:
    """Answers HTTP requests."""

    def __init__(
        self, metrics: Metrics, *, client_certificates: bool, client_names: frozenset[str], seconds: float
    ) -> None:
        """`client_certificates`: reviews are taken from those alone who showed one. `client_names`: and only if its common
        name is one of these (empty: any). `seconds`: what a review may take when it does not say.
        """
        self.webhook: Webhook | None = None
        """None until everything is ready."""
        self.tested = False
        """Whether the webhook has answered itself as it must (`selftest`); it is not ready before."""
        self.draining = False
        """The server is about to stop: it still answers, says that it is not ready, and ends each connection with its answer:
        the next request finds another replica, and none is on its way when the rest of the connections end.
        """
        self.details: Callable[[], dict[str, Any]] = dict
        """What /readyz says beside."""
        self._metrics = metrics
        self._client_certificates = client_certificates
        self._client_names = client_names
        self._seconds = seconds

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = asyncio.get_running_loop().time()
        path = scope["path"]
        which = _REVIEWS.get(path)
        if which is not None:
            await self._review(scope, receive, send, which, begun)
        elif scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, b"only GET\n", close=True)
        elif path == "/healthz":
            await _answer(send, 200, b"ok\n", close=self.draining)
        elif path == "/readyz":
            await self._ready(send)
        elif path == "/metrics":
            text = self._metrics.text()
            await _answer(send, 200, text, b"text/plain; version=0.0.4; charset=utf-8", close=self.draining)
        else:
            await _answer(send, 404, b"/mutate, /validate, /healthz, /readyz, /metrics\n", close=True)

    async def _ready(self, send: _Send) -> None:
        ready = self.webhook is not None and self.tested and not self.draining
        body = {"ready": ready, **self.details()}
        raw = json.dumps(body, indent=1).encode() + b"\n"
        await _answer(send, 200 if ready else 503, raw, _JSON, close=self.draining)

    async def _review(self, scope: _Scope, receive: _Receive, send: _Send, which: Path, begun: float) -> None:
        if scope["method"] != "POST":
            await _answer(send, 405, b"only POST\n", close=True)
            return
        if not self._may(scope):
            await _answer(send, 403, b"a client certificate of the API server is needed\n", close=True)
            return
        problem = _problem(scope["headers"])
        if problem is not None:
            await _answer(send, problem[0], problem[1], close=True)
            return
        if self.webhook is None:
            await _answer(send, 503, b"not ready yet\n", close=True)
            return
        try:
            async with asyncio.timeout(limits.REVIEW_READ_SECONDS):
                raw = await _body(receive)
        except TimeoutError:
            await _answer(send, 408, b"the body did not come in time\n", close=True)
            return
        if raw is None:
            await _answer(send, 413, b"the review is too large\n", close=True)
            return
        seconds = deadline.budget(deadline.seconds(scope["query_string"], self._seconds))
        outcome = await self.webhook.answer(raw, which, seconds=seconds, begun=begun)
        content_type = _JSON if outcome.status == 200 else _TEXT
        await _answer(send, outcome.status, outcome.body, content_type, close=self.draining)

    def _may(self, scope: _Scope) -> bool:
        if not self._client_certificates:
            return True
        peer = scope.get("state", {}).get(PEER)
        return peer is not None and (not self._client_names or peer in self._client_names)


def _problem(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bytes] | None:
    """Why this cannot be a review of an API server."""
    content_type = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value.partition(b";")[0].strip().lower()
        elif name == b"content-encoding" and value.lower() != b"identity":
            return 415, b"reviews are not compressed\n"
        elif name == b"content-length" and value.isdigit() and (len(value) > 12 or int(value) > limits.REVIEW_BYTES):
            return 413, b"the review is too large\n"
    if content_type != _JSON:
        return 415, b"reviews are application/json\n"
    return None


async def _body(receive: _Receive) -> bytes | None:
    """The whole body; None when it is larger than a review may be, or the client has gone."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > limits.REVIEW_BYTES:
            return None
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _answer(send: _Send, status: int, body: bytes, content_type: bytes = _TEXT, *, close: bool = False) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
