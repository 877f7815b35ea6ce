"""Before the webhook says that it is ready, it posts itself reviews whose answers are known, on every path that is served.

Through its own listening socket, TLS and HTTP included, as the API server will ask: what is registered at an address that
nobody serves, or an answer that admits whatever it gets, is found before the first pod comes (P05). The reviews ask for
nothing outside: an image whose name nobody can read must be denied, a deletion must be admitted. They are neither logged
nor counted.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.admission.application import PATHS, PEER
from sealgate.admission.review import API_VERSION, KIND
from sealgate.errors import SelfTestError

if TYPE_CHECKING:
    from sealgate.admission.application import Application

_SECONDS = 10.0
_ANSWER_BYTES = 1024 * 1024
_UNREADABLE = "-"
"""The image of the canary: no name in any grammar, so that it is refused before any policy or registry is asked."""


class Place(NamedTuple):
    """Where the server listens."""

    host: str
    port: int
    certificate: bytes | None
    """DER, that of the server: no other is taken for it. None: plain HTTP."""


async def run(application: Application, place: Place, *, client_names: frozenset[str] | None) -> None:
    """Ask every path. `client_names`: None where no certificate of a client is asked for. Raises `SelfTestError`."""
    for path in PATHS:
        try:
            async with asyncio.timeout(_SECONDS):
                await _path(application, place, path, client_names)
        except TimeoutError:
            raise _failed(path, f"there was no answer within {_SECONDS:g} s") from None
        except (OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise _failed(path, f"the answer could not be had: {type(error).__name__}") from error


async def _path(application: Application, place: Place, path: str, client_names: frozenset[str] | None) -> None:
    if application.webhook is None:
        raise _failed(path, "there is nobody who judges")
    canaries = application.webhook.canaries
    for allowed in (False, True):
        uid = f"canary-{uuid.uuid4()}"
        canaries.add(uid)
        try:
            raw = json.dumps(_review(uid, deletes=allowed)).encode()
            status, body = await _ask(place, path, raw)
            if client_names is not None:  # we have no certificate: the door must be shut, and what is behind it open
                if status != 403:
                    raise _failed(path, f"a client without a certificate got HTTP {status}, not 403")
                status, body = await _inside(application, path, raw, next(iter(sorted(client_names)), ""))
            _check(path, uid, status, body, allowed=allowed)
        finally:
            canaries.discard(uid)


def _check(path: str, uid: str, status: int, body: bytes, *, allowed: bool) -> None:
    if status != 200:
        raise _failed(path, f"HTTP {status}")
    document = json.loads(body)
    response = document.get("response") if isinstance(document, dict) else None
    if not isinstance(response, dict) or response.get("uid") != uid or document.get("kind") != KIND:
        raise _failed(path, "what came is no answer to the review")
    if response.get("allowed") is not allowed:
        what = "a deletion" if allowed else "an image that nobody can read"
        raise _failed(path, f"{what} was {'denied' if allowed else 'admitted'}")


def _failed(path: str, what: str) -> SelfTestError:
    return SelfTestError(f"the webhook does not answer itself on {path}: {what}", hint="it was not ready to be asked")


def _review(uid: str, *, deletes: bool) -> dict[str, Any]:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "canary"},
        "spec": {"containers": [{"name": "canary", "image": _UNREADABLE}]},
    }
    request: dict[str, Any] = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "canary",
        "operation": "DELETE" if deletes else "CREATE",
        "userInfo": {"username": "canary"},
        "object": None if deletes else pod,
        "oldObject": pod if deletes else None,
        "dryRun": True,
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "request": request}


async def _ask(place: Place, path: str, raw: bytes) -> tuple[int, bytes]:
    """One POST over a connection of its own."""
    context = None
    if place.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is the very certificate that is compared, not a name in it
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context, limit=_ANSWER_BYTES)
    try:
        if place.certificate is not None:
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if shown != place.certificate:
                raise _failed(path, "somebody else's certificate was shown")
        head = (
            f"POST {path}?timeout={_SECONDS:g}s HTTP/1.1\r\nHost: sealgate\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("ascii") + raw)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        return status, await reader.read(_ANSWER_BYTES)
    except IndexError as error:
        raise ValueError from error
    finally:
        writer.close()


async def _inside(application: Application, path: str, raw: bytes, peer: str) -> tuple[int, bytes]:
    """The same to the application itself, as from a client with a certificate."""
    messages = [{"type": "http.request", "body": raw, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": f"timeout={_SECONDS:g}s".encode(),
        "headers": [(b"content-type", b"application/json")],
        "state": {PEER: peer},
    }
    await application(scope, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])
