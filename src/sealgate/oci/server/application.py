"""The registry as an ASGI application: who asks for what, and which handler answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from sealgate.errors import SealgateError
from sealgate.oci.server import content, listings, transfers
from sealgate.oci.server.answers import VERSION, RefusalError, from_error
from sealgate.oci.server.held import Registry

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sealgate.oci.server.htpasswd import Passwords


Handler = Callable[[Registry, Request, tuple[str, ...]], Awaitable[Response]]
_READS = frozenset({"GET", "HEAD"})
_MANIFEST: dict[str, Handler] = {
    "GET": content.get_manifest,
    "HEAD": content.get_manifest,
    "PUT": content.put_manifest,
    "DELETE": content.delete_manifest,
}
_UPLOAD: dict[str, Handler] = {
    "GET": transfers.status,
    "PATCH": transfers.patch,
    "PUT": transfers.finish,
    "DELETE": transfers.cancel,
}
_BLOB: dict[str, Handler] = {"GET": content.get_blob, "HEAD": content.get_blob, "DELETE": content.delete_blob}
_ROUTES: tuple[tuple[re.Pattern[str], dict[str, Handler]], ...] = (
    (re.compile(r"/v2/_catalog"), {"GET": listings.catalog}),
    (re.compile(r"/v2/(.+)/tags/list"), {"GET": listings.tags}),
    (re.compile(r"/v2/(.+)/referrers/([^/]+)"), {"GET": listings.referrers}),
    (re.compile(r"/v2/(.+)/manifests/([^/]+)"), _MANIFEST),
    (re.compile(r"/v2/(.+)/blobs/uploads/?"), {"POST": transfers.begin}),
    (re.compile(r"/v2/(.+)/blobs/uploads/([^/]+)"), _UPLOAD),
    (re.compile(r"/v2/(.+)/blobs/([^/]+)"), _BLOB),
)


class Application:
    """The ASGI face. `log` gets one line for each request, `fault` what went wrong inside."""

    def __init__(
        self,
        registry: Registry,
        *,
        passwords: Passwords | None,
        log: Callable[[str], None] | None,
        fault: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._passwords = passwords
        self._log = log
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens in it."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except RefusalError as refusal:
            response = refusal.response()
        except ClientDisconnect:
            return
        except SealgateError as error:
            self._fault(f"{request.method} {ascii(scope['path'][:300])}: {error.message} [{error.code}]")
            response = from_error(error).response()
        except Exception as error:  # noqa: BLE001 - one request must not end the server, nor show a traceback
            self._fault(f"{request.method} {ascii(scope['path'][:300])}: {type(error).__name__}: {error}")
            response = RefusalError(500, "UNKNOWN", "the registry failed").response()
        if self._log is not None:
            self._log(f"{response.status_code} {request.method} {ascii(scope['path'][:300])[1:-1]}")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        await self._admit(request)
        path = request.scope["path"]
        if path in {"/v2/", "/v2"}:
            if request.method not in _READS:
                raise RefusalError(405, "UNSUPPORTED", "only GET", headers={"allow": "GET, HEAD"})
            return JSONResponse({}, headers=VERSION)
        for pattern, handlers in _ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            handler = handlers.get(request.method)
            if handler is None:
                raise RefusalError(405, "UNSUPPORTED", "not this method", headers={"allow": ", ".join(handlers)})
            if self._registry.read_only and request.method not in _READS:
                raise RefusalError(405, "UNSUPPORTED", "this registry is read-only", headers={"allow": "GET, HEAD"})
            return await handler(self._registry, request, match.groups())
        raise RefusalError(404, "UNSUPPORTED", "the registry has nothing at this address")

    async def _admit(self, request: Request) -> None:
        """Let in who may. No registry client sends Origin; a web page that reaches for loopback does."""
        if "origin" in request.headers:
            raise RefusalError(403, "DENIED", "web pages may not use this registry")
        if self._passwords is None:
            return
        given = request.headers.get("authorization", "")
        if self._passwords.is_known(given) or (given and await run_in_threadpool(self._passwords.allows, given)):
            return
        challenge = {"www-authenticate": 'Basic realm="sealgate registry", charset="UTF-8"'}
        raise RefusalError(401, "UNAUTHORIZED", "a user name and password are needed", headers=challenge)
