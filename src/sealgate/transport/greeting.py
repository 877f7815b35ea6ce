"""A first word to a host that may speak plain http: does it answer in TLS?

Local registries are tried by https first and then by plain http, and most speak plain http. Loading TLS to find that out
costs a third of the start-up of a short command; sending these bytes and looking at the first one that comes back costs
one connection. A host that answers in TLS is then connected to anew, with everything checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import DeadlineError, TlsError
from sealgate.transport import address
from sealgate.transport.message import Request, Tls, Url

if TYPE_CHECKING:
    import socket

_EXTENSIONS = bytes.fromhex(
    "002b0005040304" "0303"  # supported_versions: 1.3, 1.2
    "000a00040002001d"  # supported_groups: x25519
    "000d000400020403"  # signature_algorithms: ecdsa_secp256r1_sha256
)  # fmt: skip
# A random of line ends: a server that reads lines has seen a whole request, and answers at once that it is none.
_HELLO = (
    b"\x03\x03" + b"\r\n" * 16 + b"\x00" + bytes.fromhex("0004 1301 c02f") + b"\x01\x00"
    + len(_EXTENSIONS).to_bytes(2, "big") + _EXTENSIONS
)  # fmt: skip
_HANDSHAKE = b"\x01" + len(_HELLO).to_bytes(3, "big") + _HELLO
CLIENT_HELLO = b"\x16\x03\x01" + len(_HANDSHAKE).to_bytes(2, "big") + _HANDSHAKE
"""A ClientHello (RFC 8446, section 4.1.2). Whatever a TLS server thinks of it, its answer, if any, is a TLS record."""

_ALERT, _HANDSHAKE_RECORD = b"\x15", b"\x16"


def is_worthwhile(request: Request) -> bool:
    """Whether a host may well speak plain http: it is local by its name, and nothing special is set for its TLS."""
    return request.tls == Tls() and address.is_private(request.url.host)


def speaks_tls(sock: socket.socket, url: Url, seconds: float) -> bool | None:
    """Whether the peer of a fresh connection answers in TLS; None when it ends the connection without a word, as TLS
    servers on asyncio do instead of sending an alert: only a whole handshake tells. The connection is of no further use.

    Raises `DeadlineError` when nothing comes back.
    """
    try:
        sock.settimeout(seconds)
        sock.sendall(CLIENT_HELLO)
        first = sock.recv(1)
    except TimeoutError as error:
        raise DeadlineError(f"{url.authority} did not answer the TLS greeting in time") from error
    except OSError:
        return None
    return first in {_ALERT, _HANDSHAKE_RECORD} if first else None


def not_tls(url: Url, why: str = "it answers in something else") -> TlsError:
    """The peer does not speak TLS."""
    failure = TlsError(
        f"{url.authority} does not speak TLS ({why})", hint="a registry without TLS needs --allow-http-registry"
    )
    failure.not_tls = True
    return failure
