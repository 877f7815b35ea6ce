"""The servers' driver: the same flows on asyncio, and an HTTP adapter on `aiohttp` with the guarantees of `http`.

Needs the extra `sealgate[async]`. One `AsyncHttpClient` serves any number of runs of one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import socket
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar, cast

from sealgate import limits
from sealgate.errors import (
    DeadlineError,
    LimitError,
    ProtocolError,
    SealgateError,
    TlsError,
    UnreachableError,
    UsageError,
)
from sealgate.transport import address, tls
from sealgate.transport import flow as effects
from sealgate.transport.flow import Flow
from sealgate.transport.message import Addresses, FileBody, Request, Response, Tls, Url, check_request
from sealgate.transport.proxy import Proxies, refused
from sealgate.transport.scheduler import Scheduler, Task
from sealgate.transport.wire import (
    CHUNK,
    Body,
    Headers,
    body_limit,
    broken,
    check_framing,
    check_length,
    read_file,
    reason,
)

try:
    import aiohttp
    import yarl
    from aiohttp.abc import AbstractResolver, ResolveResult
except ImportError as missing:
    raise UsageError(
        "flows on asyncio need aiohttp, which is not installed", hint="pip install 'sealgate[async]'"
    ) from missing

if TYPE_CHECKING:
    from aiohttp.connector import AddrInfoType, Connection

T = TypeVar("T")
_IDLE_SECONDS = 25.0


class Client(Protocol):
    """What sends requests: `AsyncHttpClient`, or a test's own."""

    async def send(self, request: Request, deadline: float, /) -> Response:
        """Send one request; `deadline` is a time of the event loop's clock."""


async def run(flow: Flow[T], *, client: Client, seconds: float = limits.TOTAL_SECONDS) -> T:
    """Drive `flow` to its end, at most `seconds` long. Raises what the flow raises.

    When the calling task is cancelled, the flow and everything it started is given up, and requests on their way are ended.
    """
    effect = effects.begin(flow)
    if isinstance(effect, effects.Ended):  # nothing was waited for: most of what is in a cache
        return cast("T", effect.result)
    return cast("T", await _LoopScheduler(flow, client, seconds, effect).run())


class _LoopScheduler(Scheduler):
    """Runs tasks in callbacks of the event loop."""

    def __init__(self, flow: Flow[Any], client: Client, seconds: float, effect: object) -> None:
        super().__init__(flow, seconds, effect)
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._jobs: dict[Task, asyncio.Future[Any] | asyncio.TimerHandle] = {}
        """What each waiting task waits for."""
        self._sending: set[asyncio.Task[Response]] = set()
        self._finished: asyncio.Future[None] = self._loop.create_future()

    def now(self) -> float:
        return self._loop.time()

    async def run(self) -> Any:
        timer = self._loop.call_at(self._deadline, self._at_deadline)
        try:
            self._pump()
            await self._finished
        finally:
            timer.cancel()
            self._finished.cancel()
            self.close()
            for job in list(self._jobs.values()):
                job.cancel()
            if self._sending:
                for sending in self._sending:
                    if not sending.cancelling():  # a second time would disturb its tidying up
                        sending.cancel()
                await asyncio.wait(self._sending)
        return self.outcome()

    def begin(self, task: Task, token: int, effect: object) -> None:
        job: asyncio.Future[Any]
        if isinstance(effect, effects.Sleep):
            self._jobs[task] = self._loop.call_later(max(effect.seconds, 0.0), self._at_timer, task, token)
            return
        if isinstance(effect, effects.Send):
            job = sending = self._loop.create_task(self._client.send(effect.request, self._deadline))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        elif isinstance(effect, effects.Outside):
            job = asyncio.shield(effect.future)
        elif isinstance(effect, effects.Call):
            job = self._loop.run_in_executor(None, effect.function)
        else:
            raise TypeError(f"a flow awaited something that is no effect: {effect!r}")
        self._jobs[task] = job
        job.add_done_callback(functools.partial(self._at_answer, task, token))

    def resume(self, task: Task, token: int, value: object, error: BaseException | None) -> None:
        super().resume(task, token, value, error)
        if not task.parked and (job := self._jobs.pop(task, None)) is not None:
            job.cancel()  # given up: nobody waits for it any more

    def _at_answer(self, task: Task, token: int, job: asyncio.Future[Any]) -> None:
        if job.cancelled():
            # By us, and then nobody is told, or by somebody who holds the client.
            self._go_on(task, token, None, UnreachableError("the request was cancelled"))
        elif (error := job.exception()) is not None:
            self._go_on(task, token, None, error)
        else:
            self._go_on(task, token, job.result(), None)

    def _at_timer(self, task: Task, token: int) -> None:
        self._go_on(task, token, None, None)

    def _at_deadline(self) -> None:
        self.expire()
        self._pump()

    def _go_on(self, task: Task, token: int, value: object, error: BaseException | None) -> None:
        if task.parked and task.token == token:
            self._jobs.pop(task, None)
            self.resume(task, token, value, error)
            self._pump()

    def _pump(self) -> None:
        if self._finished.done():
            return
        if not self.expired and self.now() >= self._deadline:
            self.expire()
        try:
            self.advance()
        except BaseException as error:
            self._finished.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        if self.done:
            self._finished.set_result(None)


class _Key(NamedTuple):
    """What connections may be shared for. Each has a connector of its own (T14)."""

    tls: Tls | None
    """None for plain http."""
    addresses: Addresses


class AsyncHttpClient:
    """`http.HttpClient` for asyncio. Proxies are used only when given. Use it as an async context manager, or `close` it."""

    def __init__(self, *, proxies: Proxies | None = None) -> None:
        self._proxies = proxies
        self._sessions: dict[_Key, aiohttp.ClientSession] = {}
        self._slots: dict[tuple[str, int, bool], _Slots] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    async def send(self, request: Request, deadline: float, /) -> Response:
        """Send `request` once. Raises as `http.HttpClient.send`; `deadline` is a time of the event loop's clock."""
        check_request(request)
        url = request.url
        streams = request.sink is not None or isinstance(request.body, FileBody)
        try:
            async with asyncio.timeout_at(deadline), self._slot(request):
                ends = deadline if streams else min(deadline, asyncio.get_running_loop().time() + request.seconds)
                async with asyncio.timeout_at(ends):
                    return await self._exchange(request)
        except TimeoutError as error:
            raise DeadlineError(f"{url} did not answer in time") from error

    @contextlib.asynccontextmanager
    async def _slot(self, request: Request) -> AsyncIterator[None]:
        """At most `CONNECTIONS_PER_HOST` requests of one host at once, first come, first served (D15); as many that last."""
        where = (request.url.host, request.url.port, request.lasting)
        slots = self._slots.setdefault(where, _Slots())
        slots.users += 1
        try:
            async with slots.free:
                yield
        finally:
            slots.users -= 1
            if not slots.users:
                del self._slots[where]

    async def _session(self, key: _Key) -> aiohttp.ClientSession:
        if key not in self._sessions:
            # Loading authorities blocks for some 10 ms.
            context = tls.new_bare_context()
            if key.tls is not None:
                context = await asyncio.get_running_loop().run_in_executor(None, tls.new_context, key.tls)
            if key not in self._sessions:
                self._sessions[key] = _new_session(key, context)
        return self._sessions[key]

    async def _exchange(self, request: Request) -> Response:
        url = request.url
        proxy = self._proxies.for_url(url) if self._proxies is not None and not request.direct else None
        options: dict[str, Any] = {}
        headers = [("Accept-Encoding", "identity"), *request.headers]
        if proxy is not None:
            address.check_name(url.host, request.addresses)
            where = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
            options["proxy"] = f"http://{where}:{proxy.port}"
            if proxy.authorization is not None:
                if url.scheme == "https":
                    options["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}
                else:
                    headers.append(("Proxy-Authorization", proxy.authorization))
        upload = None
        if isinstance(request.body, FileBody):
            upload = _Upload(request.body)
            headers.append(("Content-Length", str(request.body.size)))
        elif not request.body and request.method in {"POST", "PUT", "PATCH"}:
            headers.append(("Content-Length", "0"))
        # Through a proxy, the connection is the proxy's, wherever that is.
        key = _Key(request.tls if url.scheme == "https" else None, "any" if proxy else request.addresses)
        session = await self._session(key)
        try:
            async with session.request(
                request.method,
                yarl.URL(f"{url.scheme}://{url.authority}{url.target}", encoded=True),
                headers=headers,
                data=upload or _in_pieces(request.body),
                allow_redirects=False,
                server_hostname=request.tls.server_name,
                **options,
            ) as response:
                answer = await _read(request, cast("_Response", response))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if upload is not None and upload.error is not None:
                raise upload.error from error
            if isinstance(error, aiohttp.ClientHttpProxyError) and proxy is not None:
                raise refused(proxy, url, error.status) from None
            raise _translated(url, error) from error
        if answer.status == 407 and proxy is not None:
            raise refused(proxy, url, 407)
        return answer


class _Slots:
    def __init__(self) -> None:
        self.users = 0
        self.free = asyncio.Semaphore(limits.CONNECTIONS_PER_HOST)


def _new_session(key: _Key, context: ssl.SSLContext) -> aiohttp.ClientSession:
    def new_socket(info: AddrInfoType) -> socket.socket:
        # The last word before the connection is made, to exactly this address (W33).
        family, kind, protocol, _, where = info
        address.check(str(where[0]), key.addresses, str(where[0]))
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    connector = aiohttp.TCPConnector(
        resolver=_JudgingResolver(key.addresses),
        use_dns_cache=False,
        socket_factory=new_socket,
        ssl=context,
        limit=0,
        keepalive_timeout=_IDLE_SECONDS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=_Request,
        response_class=_Response,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.CONNECT_SECONDS, sock_read=limits.READ_SECONDS),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        auto_decompress=False,
        trust_env=False,
        max_line_size=limits.HEADER_BYTES,
        max_field_size=limits.HEADER_BYTES,
    )


class _JudgingResolver(AbstractResolver):
    """The system's resolver; one address outside the rule refuses the name."""

    def __init__(self, rule: Addresses) -> None:
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except ValueError as error:  # a label that is empty or too long
            raise OSError(socket.EAI_NONAME, "not a name") from error
        results: list[ResolveResult] = []
        for kind, _, protocol, _, where in found:
            address.check(str(where[0]), self._rule, host)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(where[0]),
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is kept."""


class _Request(aiohttp.ClientRequest):
    """Uses no kept connection over which something came unasked: it would pass for the answer (aiohttp does not look)."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send the request."""
        for _ in range(2):  # one turn of the loop to see what has come, one to take it
            await asyncio.sleep(0)
        if conn.protocol is None or conn.protocol.should_close:
            raise aiohttp.ServerDisconnectedError
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """Remembers the address that was connected to: the connection may be given back before anybody asks."""

    peer = ""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the head."""
        if connection.transport is not None:
            self.peer = str((connection.transport.get_extra_info("peername") or ("",))[0])
        return await super().start(connection)


class _Upload:
    """A file as an asynchronous body; every try reads it anew. `error` is why it could not be read."""

    def __init__(self, body: FileBody) -> None:
        self._body = body
        self.error: SealgateError | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            try:
                file = open(self._body.path, "rb")  # noqa: SIM115 - a local file; closed below
            except OSError as error:
                raise SealgateError(f"cannot read {self._body.path}: {reason(error)}") from error
            with file:
                pieces = read_file(file.read, self._body)
                while piece := await loop.run_in_executor(None, next, pieces, b""):
                    yield piece
        except SealgateError as error:
            self.error = error
            raise


def _in_pieces(body: bytes | FileBody) -> bytes | io.BytesIO | None:
    """Large bodies in pieces, between which other tasks run."""
    if isinstance(body, FileBody) or not body:
        return None
    return io.BytesIO(body) if len(body) > CHUNK else body


async def _read(request: Request, response: _Response) -> Response:
    status = response.status
    headers: Headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers
    )
    try:
        if len(headers) > limits.HEADER_FIELDS:
            raise LimitError(f"{request.url} answers with more than {limits.HEADER_FIELDS} headers")
        if not 200 <= status < 600:
            raise ProtocolError(f"{request.url} gives an interim answer ({status}) instead of an answer")
        framing = check_framing(request, status, headers)
        limit = body_limit(request, status)
        check_length(request, framing, limit)
        sink = request.sink if 200 <= status < 300 else None
        body = Body(request, sink, limit)
        loop = asyncio.get_running_loop()
        while piece := await response.content.read(CHUNK):
            if sink is None:
                body.add(piece)
            else:
                await loop.run_in_executor(None, body.add, piece)
        return Response(status, headers, body.whole(), response.peer)
    except BaseException:
        response.close()  # what is left of it must not be taken for the next answer
        raise


def _translated(url: Url, error: Exception) -> SealgateError:
    """The error class that `http.HttpClient` would raise. Never the text of the library's error: it may hold anything."""
    if isinstance(error, TimeoutError):
        return DeadlineError(f"{url} did not answer in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return tls.untrusted(url, error.certificate_error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return UnreachableError(f"cannot connect to the proxy for {url.authority}: {reason(error.os_error)}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UnreachableError(f"{url.host} does not resolve", hint="check the name and the network")
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, ssl.SSLError) or (url.scheme == "https" and isinstance(cause, ConnectionResetError)):
            return tls.failed(url, cause)
        return UnreachableError(
            f"cannot connect to {url.authority}: {reason(cause)}",
            hint="is the registry running, and reachable from here?",
        )
    if isinstance(error, aiohttp.ClientPayloadError):
        if "Not enough data" in str(error.__cause__ or error):
            return broken(f"the connection to {url.authority} broke before the body of {url} had ended")
        return ProtocolError(f"{url} answers with a body that HTTP/1.1 does not have")
    if isinstance(error, ssl.SSLError):
        return TlsError(
            f"the TLS connection to {url.authority} broke: {reason(error)}",
            hint="does the registry want a client certificate? --registry-client-cert and --registry-client-key",
        )
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError)):
        return broken(f"the connection to {url.authority} broke")
    return ProtocolError(f"{url} does not answer in HTTP/1.1")
