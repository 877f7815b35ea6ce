"""Running the webhook: where it listens, TLS, signals, what is looked at again every second, and stopping without a dropped
request.

It speaks HTTPS; plain HTTP only on loopback and only when that is asked for. On SIGTERM it says that it is not ready, goes on
answering for the drain time, then takes no new connections and ends when the last answer is out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission import certificates, selftest
from sealgate.admission.application import Application
from sealgate.admission.exchanging import Exchanges
from sealgate.admission.judging import Shared
from sealgate.admission.measuring import Measured
from sealgate.admission.webhook import Webhook
from sealgate.errors import SealgateError, UsageError
from sealgate.transport.asynchronous import AsyncHttpClient
from sealgate.transport.listening import listening, shown

try:
    import httptools  # noqa: F401
    import prometheus_client  # noqa: F401
    import uvicorn
    import uvloop  # noqa: F401

    from sealgate.admission.protocol import Protocol
except ImportError as missing:
    raise UsageError(
        f"the webhook needs the package {missing.name}, which is not installed",
        hint="pip install 'sealgate[admission]'",
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sealgate.admission.cache import Cache
    from sealgate.admission.cluster.issuing import OwnCertificate
    from sealgate.admission.cluster.standing import ClusterStanding
    from sealgate.admission.journal import Journal
    from sealgate.admission.metrics import Metrics
    from sealgate.admission.registries import Registries
    from sealgate.admission.standing import Standing
    from sealgate.admission.webhook import Settings as WebhookSettings
    from sealgate.transport.proxy import Proxies

_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9.-]{0,253})):(?P<port>[0-9]{1,5})", re.ASCII
)
_STOP_SECONDS = 30
_KEEP_ALIVE = 120
"""Longer than Go's clients keep an idle connection (90 s): so they close it, and no request meets a closing server."""
_CERTIFICATE_SECONDS = 10.0
_TOLD = 32
_THREADS = 32
"""For credential helpers, conditions and names that take long to resolve: one that hangs must not stop the others."""


class Settings(NamedTuple):
    """How the server runs."""

    listen: str = "127.0.0.1:8443"
    tls_cert: str | None = None
    tls_key: str | None = None
    client_ca: str | None = None
    client_names: frozenset[str] = frozenset()
    insecure_http: bool = False
    """Plain HTTP, on loopback only."""
    seconds: float = limits.REVIEW_SECONDS
    drain_seconds: float = 0.0
    stance: str = ""
    """What is asked for beside signatures, in words; said at the start and by /readyz."""
    look_seconds: float = 1.0
    """How often policies are looked at."""


class Parts(NamedTuple):
    """What the webhook is made of."""

    standing: Standing | ClusterStanding
    registries: Registries
    cache: Cache
    metrics: Metrics
    journal: Journal
    webhook: WebhookSettings
    proxies: Proxies | None = None
    certificate: OwnCertificate | None = None
    """In place of the files of `Settings`: one that the webhook makes itself."""
    clock: Callable[[], float] = time.time


class Running:
    """A server that runs, for whoever wants to stop it."""

    def __init__(self, server: _Server, address: str) -> None:
        self._server = server
        self.address = address
        """`host:port`"""

    @property
    def webhook(self) -> Webhook:
        """What answers; tests look at it."""
        found = self._server.application.webhook
        if found is None:
            raise UsageError("the webhook is not ready")
        return found

    def renew(self) -> None:
        """Look at policies and certificates now, on the server's own loop, and wait for it."""
        asyncio.run_coroutine_threadsafe(self._server.look(certificates_too=True), self._server.loop).result(30)

    def stop(self) -> None:
        """As SIGTERM."""
        self._server.stop()


def serve(settings: Settings, parts: Parts, *, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call it on the main thread. Raises `UsageError`, `KeyMaterialError`, `NotFoundError`."""
    os.environ.setdefault("UV_THREADPOOL_SIZE", str(_THREADS))  # libuv resolves names there; read at its first use
    with listening(*_address(settings), backlog=4096) as sock:
        server = _Server(settings, parts, shown(sock), started)
        previous = {
            number: signal.signal(number, lambda *_: server.stop()) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            server.run(sockets=[sock])
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    if server.failure is not None:
        raise server.failure


@contextlib.contextmanager
def serve_in_thread(settings: Settings, parts: Parts) -> Iterator[Running]:
    """Serve beside the caller while the block lasts. Raises as `serve`."""
    ready = threading.Event()
    with listening(*_address(settings), backlog=4096) as sock:
        server = _Server(settings, parts, shown(sock), lambda _: ready.set())
        thread = threading.Thread(target=server.run, args=([sock],), name="sealgate admission", daemon=True)
        thread.start()
        try:
            while not ready.wait(0.05):
                if not thread.is_alive():
                    raise server.failure or UsageError("the webhook did not start")
            yield Running(server, shown(sock))
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn with what the webhook needs before it takes requests, and after."""

    def __init__(self, settings: Settings, parts: Parts, address: str, started: Callable[[str], None]) -> None:
        self.application = Application(
            parts.metrics,
            client_certificates=settings.client_ca is not None,
            client_names=settings.client_names,
            seconds=settings.seconds,
        )
        self.application.details = self._details
        self.failure: SealgateError | None = None
        self._settings = settings
        self._parts = parts
        self._shown = address
        self._started = started
        self._context: ssl.SSLContext | None = None
        self._pair: certificates.Pair | None = None
        self._certificate_problem: str | None = None
        self._ending: bool | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._shared: Shared | None = None
        self._client: AsyncHttpClient | None = None
        self._exchanges: Exchanges | None = None
        self._stop_at: float | None = None
        if not settings.insecure_http:
            self._prepare_tls()
        super().__init__(
            uvicorn.Config(
                self.application,
                loop="uvloop",
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                backlog=4096,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_STOP_SECONDS,
                ssl_context_factory=None if self._context is None else lambda *_: self._context,
            )
        )

    def _prepare_tls(self) -> None:
        self._context = certificates.new_context(self._settings.client_ca)
        self._pair = self._read_certificate()
        self._parts.metrics.certificate_expires.set(certificates.load(self._context, self._pair))

    def _read_certificate(self) -> certificates.Pair:
        settings = self._settings
        if self._parts.certificate is not None:
            return self._parts.certificate.read()
        if settings.tls_cert is None or settings.tls_key is None:
            raise UsageError(
                "the webhook speaks HTTPS: it needs a certificate and its key", hint="--tls-cert, --tls-key"
            )
        return certificates.read(settings.tls_cert, settings.tls_key)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's."""
        yield

    def stop(self) -> None:
        """Say that it is not ready, drain, end; at once when told twice. Safe in a signal handler."""
        if self.application.draining:
            self.should_exit = True
        self.application.draining = True
        self._stop_at = time.monotonic() + self._settings.drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Everything that needs the loop, then requests are taken."""
        try:
            self._begin()
        except SealgateError as error:
            self.failure = error
            self.should_exit = True
            return
        await super().startup(sockets=sockets)
        try:
            await selftest.run(self.application, self._place(sockets), client_names=self._client_names())
            self.application.tested = True
            self._tell_credentials()
            self._started(self._shown)
        except SealgateError as error:
            self.failure = error
            self.should_exit = True

    def _place(self, sockets: list[socket.socket] | None) -> selftest.Place:
        """Where the server reaches itself."""
        host, port = (sockets or [])[0].getsockname()[:2]
        host = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - it is not bound here
        certificate = certificates.leaf(self._pair.chain) if self._pair is not None else None
        return selftest.Place(host, port, certificate)

    def _client_names(self) -> frozenset[str] | None:
        return self._settings.client_names if self._settings.client_ca is not None else None

    def _begin(self) -> None:
        parts = self._parts
        self.loop = asyncio.get_running_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="sealgate"))
        self._client = AsyncHttpClient(proxies=parts.proxies)
        self._exchanges = Exchanges(Measured(self._client, parts.metrics))
        parts.registries.settings = self._exchanges.shared(parts.registries.settings)
        self._shared = Shared(parts.registries, parts.cache, parts.metrics, self._client, clock=parts.clock)
        webhook = Webhook(parts.standing, self._shared, parts.webhook, parts.metrics, parts.journal, clock=parts.clock)
        parts.metrics.watch(
            parts.cache,
            looks=lambda: self._shared.looks if self._shared is not None else 0,
            reviews=lambda: webhook.reviews,
            dropped=lambda: parts.journal.dropped,
        )
        parts.metrics.rules.set(len(parts.standing.force.catalogue.policies.rules))
        self.application.webhook = webhook
        self._tell_ending()
        self._background.add(self.loop.create_task(self._watch()))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what is being answered end, then give up the rest."""
        await super().shutdown(sockets=sockets)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()
        if self._exchanges is not None:
            await self._exchanges.close()
        if self._client is not None:
            await self._client.close()
        self._parts.journal.say("stopped")

    async def _watch(self) -> None:
        """Looks at policies and certificates again, and whether it is time to end."""
        loop = asyncio.get_running_loop()
        policies_at = loop.time() + self._settings.look_seconds
        certificates_at = loop.time() + _CERTIFICATE_SECONDS
        told = False
        while True:
            await asyncio.sleep(0.1)
            if self.application.draining and not told:
                self._parts.journal.say("draining", seconds=self._settings.drain_seconds)
                told = True
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                self.should_exit = True
            now = loop.time()
            if now >= policies_at:
                due = now >= certificates_at
                await self.look(certificates_too=due)
                policies_at = loop.time() + self._settings.look_seconds
                if due:
                    certificates_at = loop.time() + _CERTIFICATE_SECONDS

    async def look(self, *, certificates_too: bool) -> None:
        """Take over what changed on the disk."""
        parts = self._parts
        try:
            if await self.loop.run_in_executor(None, parts.standing.renew):
                self._tell_policies()
                self._tell_credentials()
        except Exception as error:  # noqa: BLE001 - a fault here must not end the watch
            parts.journal.say("fault", level="error", error=type(error).__name__)
        try:
            if certificates_too and self._context is not None:
                self._renew_certificate()
                self._tell_ending()
        except Exception as error:  # noqa: BLE001 - as above
            parts.journal.say("fault", level="error", error=type(error).__name__)

    def _tell_policies(self) -> None:
        parts = self._parts
        standing = parts.standing
        parts.metrics.policies_broken.set(1 if standing.broken is not None else 0)
        if standing.broken is not None:
            parts.metrics.policy_failures.inc()
            parts.journal.say(
                "policies-broken", level="error", code=standing.broken.code, message=standing.broken.message,
                in_force=standing.force.generation,
            )  # fmt: skip
            return
        rules = len(standing.force.catalogue.policies.rules)
        parts.metrics.rules.set(rules)
        parts.journal.say("policies-changed", generation=standing.force.generation, rules=rules)

    def _tell_credentials(self) -> None:
        """Rules that refuse everything because their Secrets cannot be had, before a pod shows it."""
        parts = self._parts
        found = [
            (rule.title, problem)
            for rule in parts.standing.force.catalogue.policies.rules
            if rule.keyring is not None and (problem := rule.keyring.problem) is not None
        ]
        for title, problem in found[:_TOLD]:
            parts.journal.say(
                "policy-credentials", level="error", rule=title, code=problem.code, message=problem.message
            )

    def _renew_certificate(self) -> None:
        parts = self._parts
        if self._context is None:
            return
        try:
            pair = self._read_certificate()
            if pair == self._pair:
                self._certificate_problem = None
                return
            now = parts.clock()
            if self._pair is not None and certificates.is_valid(self._pair.chain, now=now):
                certificates.check_valid(pair.chain, now=now)
            ends = certificates.load(self._context, pair)
        except SealgateError as error:
            if self._certificate_problem != error.message:  # said once
                self._certificate_problem = error.message
                parts.metrics.certificate_failures.inc()
                parts.journal.say("certificate-broken", level="error", code=error.code, message=error.message)
            return
        self._pair = pair
        self._certificate_problem = None
        parts.metrics.certificate_expires.set(ends)
        parts.journal.say("certificate-changed", ends=int(ends))

    def _tell_ending(self) -> None:
        """Say once that the certificate is about to end, and once that it has: then no API server believes in it any more."""
        if self._pair is None:
            return
        ending = certificates.ending(self._pair.chain, now=self._parts.clock())
        if ending is not None and ending is not self._ending:
            event, level = ("certificate-ended", "error") if ending else ("certificate-ends-soon", "warning")
            self._parts.journal.say(event, level=level, ends=self._ends())
        self._ending = ending

    def _ends(self) -> str:
        ends = certificates.end(self._pair.chain) if self._pair is not None else 0.0
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))

    def _details(self) -> dict[str, Any]:
        """What /readyz says: enough to see what is in force and what is not."""
        standing = self._parts.standing
        found: dict[str, Any] = {
            "policies": {
                "generation": standing.force.generation,
                "rules": len(standing.force.catalogue.policies.rules),
                "broken": None if standing.broken is None else f"{standing.broken.message} [{standing.broken.code}]",
            },
            "transparencyLog": self._settings.stance or None,
        }
        if self._certificate_problem is not None:
            found["certificate"] = self._certificate_problem
        elif self._ending is not None:
            found["certificate"] = f"the serving certificate {'ended' if self._ending else 'ends'} at {self._ends()}"
        if self.application.draining:
            found["draining"] = True
        return found


def _address(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Where to listen. Raises `UsageError` for what is no address, and for plain HTTP that others could reach."""
    match = _LISTEN.fullmatch(settings.listen)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"{ascii(settings.listen[:100])} is not host:port", hint="127.0.0.1:8443, :8443, [::]:8443")
    host = match["six"] or match["host"] or None
    try:
        found = socket.getaddrinfo(host, int(match["port"]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"{ascii(host)} is not an address of this machine: {error.strerror}") from error
    addresses = {str(item[4][0]).partition("%")[0] for item in found}
    if settings.insecure_http and not all(ipaddress.ip_address(each).is_loopback for each in addresses):
        raise UsageError(
            f"{settings.listen} is not on loopback: plain HTTP is for this machine alone",
            hint="--tls-cert and --tls-key",
        )
    if host is None and socket.has_dualstack_ipv6():
        return socket.AF_INET6, ("::", int(match["port"]))
    family, _, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))
