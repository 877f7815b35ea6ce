"""Starting and stopping the registry: where it may listen, TLS, passwords, signals, and a thread for the demo and tests."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.transport.listening import listening, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn

    from sealgate.oci.server.uploads import Uploads

_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9.-]{0,253})):(?P<port>[0-9]{1,5})", re.ASCII
)
_STOP_SECONDS = 5


class Settings(NamedTuple):
    """How the registry runs."""

    directory: str
    """Of layouts, one for each repository; or itself a layout. Made when absent."""
    listen: str = "127.0.0.1:5000"
    """`host:port`; port 0 takes a free one."""
    repository: str | None = None
    """The name of the only repository, when `directory` is itself a layout (its own name by default)."""
    tls_cert: str | None = None
    tls_key: str | None = None
    htpasswd: str | None = None
    read_only: bool = False
    referrers_api: bool = True
    page: int = limits.LISTING_PAGE
    """Entries in one answer of a list."""


def serve(
    settings: Settings,
    *,
    started: Callable[[str], None],
    log: Callable[[str], None] | None = None,
    fault: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; call it on the main thread. `started` is told `host:port` when requests are taken.

    Raises `UsageError` for settings that must not or cannot be: not on loopback without both TLS and passwords, no such
    address, wrong files, packages that are not installed.
    """
    with _prepared(settings, log=log, fault=fault) as (server, sock):
        previous = {
            number: signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            _run(server, sock, lambda: started(shown(sock)))
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def serve_in_thread(
    directory: str | os.PathLike[str],
    *,
    listen: str = "127.0.0.1:0",
    repository: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    htpasswd: str | None = None,
    read_only: bool = False,
    referrers_api: bool = True,
    page: int = limits.LISTING_PAGE,
    log: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Serve `directory` beside the caller while the block lasts; gives `host:port`. Raises as `serve`."""
    settings = Settings(
        os.fspath(directory), listen, repository, tls_cert, tls_key, htpasswd, read_only, referrers_api, page
    )
    ready = threading.Event()
    with _prepared(settings, log=log, fault=_to_stderr) as (server, sock):
        thread = threading.Thread(target=_run, args=(server, sock, ready.set), name="sealgate registry", daemon=True)
        thread.start()
        try:
            while not ready.wait(0.05):
                if not thread.is_alive():
                    raise UsageError("the registry did not start")
            yield shown(sock)
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS * 2)


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"registry: {text}\n")


@contextlib.contextmanager
def _prepared(
    settings: Settings, *, log: Callable[[str], None] | None, fault: Callable[[str], None]
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """A server that is ready to run and the socket that it is to run on; both end with the block."""
    _require_packages()
    import uvicorn

    from sealgate.oci.layout import Layout
    from sealgate.oci.layout_files import Files
    from sealgate.oci.server.application import Application
    from sealgate.oci.server.held import Registry
    from sealgate.oci.server.repositories import Repositories
    from sealgate.oci.server.uploads import Uploads

    address = _address(settings)
    _check_tls(settings)
    passwords = None
    if settings.htpasswd is not None:
        from sealgate.oci.server.htpasswd import Passwords

        passwords = Passwords.read(settings.htpasswd)
    with Files(settings.directory).directory(create=not settings.read_only) as fd:
        if fd is None:
            raise UsageError(f"there is no directory {settings.directory}")
    single = None
    if Files(settings.directory).read("oci-layout", limit=limits.SMALL_BODY_BYTES) is not None:
        Layout(Files(settings.directory)).exists()
        single = _single_name(settings)
    elif settings.repository is not None:
        raise UsageError(f"{settings.directory} is not itself a layout: its repositories have their own names")
    repositories = Repositories(settings.directory, single=single)
    with listening(*address, backlog=512) as sock, _uploading(Uploads(settings.directory), settings) as uploads:
        registry = Registry(repositories, uploads, settings.read_only, settings.referrers_api, settings.page)
        config = uvicorn.Config(
            Application(registry, passwords=passwords, log=log, fault=fault),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        server = uvicorn.Server(config)
        setattr(server, "capture_signals", contextlib.nullcontext)  # noqa: B010 - signals are the caller's
        yield server, sock


@contextlib.contextmanager
def _uploading(uploads: Uploads, settings: Settings) -> Iterator[Uploads]:
    if not settings.read_only:
        uploads.start()
    try:
        yield uploads
    finally:
        uploads.stop()


def _run(server: uvicorn.Server, sock: socket.socket, started: Callable[[], None]) -> None:
    """Serve until `should_exit`; `started` is called when requests are taken."""
    original = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await original(sockets=sockets)
        started()

    server.startup = startup  # type: ignore[method-assign]
    server.run(sockets=[sock])


def _require_packages() -> None:
    try:
        import bcrypt  # noqa: F401
        import httptools  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the registry needs the package {error.name}, which is not installed",
            hint="install sealgate with its extra `server`: sealgate[server]",
        ) from error


def _single_name(settings: Settings) -> str:
    from sealgate.oci.server.repositories import valid_name

    name = settings.repository or os.path.basename(os.path.realpath(settings.directory)).lower()
    if not valid_name(name):
        raise UsageError(
            f"{settings.directory} is a layout; {ascii(name[:100])} is no name for a repository",
            hint="--repository gives it one",
        )
    return name


def _address(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Where to listen. Raises `UsageError` where strangers could come in."""
    match = _LISTEN.fullmatch(settings.listen)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"{ascii(settings.listen[:100])} is not host:port", hint="127.0.0.1:5000, [::1]:5000")
    host = match["six"] or match["host"] or "0.0.0.0"  # noqa: S104 - refused below unless it is protected
    try:
        found = socket.getaddrinfo(host, int(match["port"]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"{ascii(host)} is not an address of this machine: {error.strerror}") from error
    addresses = {str(item[4][0]) for item in found}
    public = [address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]
    if public and not (settings.tls_cert and settings.tls_key and settings.htpasswd):
        raise UsageError(
            f"{settings.listen} is not on loopback: others could reach the registry and write to it",
            hint="give both TLS (--tls-cert, --tls-key) and users (--htpasswd), or listen on 127.0.0.1",
        )
    family, _, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def _check_tls(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("TLS needs both a certificate and its key", hint="--tls-cert FILE --tls-key FILE")
    if settings.tls_cert is None:
        return
    import ssl

    def no_password() -> str:
        raise ValueError("the key is encrypted")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise UsageError(f"the TLS certificate or key cannot be used: {reason}") from error
