"""A socket that a server listens on, and how it is shown to people."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from sealgate.errors import UsageError


@contextlib.contextmanager
def listening(family: socket.AddressFamily, address: tuple[str, int], *, backlog: int) -> Iterator[socket.socket]:
    """Listen while the context lasts. Raises `UsageError` where that cannot be."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # every address is those of IPv4 too
        try:
            sock.bind(address)
            sock.listen(backlog)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}", hint="port 0 takes a free one"
            ) from error
        yield sock


def shown(sock: socket.socket) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
