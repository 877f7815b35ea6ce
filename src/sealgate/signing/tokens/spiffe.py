"""A JWT-SVID of the SPIFFE Workload API (SPIFFE_Workload_API.md, section 6): one call of gRPC on a local socket.

gRPC is HTTP/2 (RFC 9113) with a length before each message; of both, what one small call needs: one stream, header fields as
literals (RFC 7541, section 6.2.2), no flow control beyond the window that every connection begins with. Headers of the answer
are not read: a message, or none, says enough. Whoever answers there is whom the environment names, so the answer is bounded
and believed no more than any token.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

from sealgate import limits
from sealgate.errors import IssuerUnavailableError

DEFAULT = "unix:///tmp/spire-agent/public/api.sock"
"""SPIRE's, and cosign's."""
_PATH = "/SpiffeWorkloadAPI/FetchJWTSVID"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_FRAME_BYTES = 16_384
_FRAMES = 64
_SECONDS = 10.0


def fetch(endpoint: str, audience: str) -> str:
    """The first JWT-SVID for `audience`. Blocks. Raises `IssuerUnavailableError`."""
    try:
        with _connect(endpoint) as connection:
            message = _call(connection, _field(1, audience.encode("utf-8")))
        # JWTSVIDResponse.svids (1), JWTSVID.svid (2)
        first = next(content for number, content in _fields(message) if number == 1)
        return next(content for number, content in _fields(first) if number == 2).decode("ascii")
    except OSError as error:
        raise _unavailable(f"cannot be asked: {error.strerror or 'no answer in time'}") from error
    except (ValueError, StopIteration, IndexError):
        # The cause is dropped on purpose: it may show a piece of a token.
        raise _unavailable(f"gives no JWT-SVID for {audience!r}") from None


def _unavailable(what: str) -> IssuerUnavailableError:
    return IssuerUnavailableError(
        f"the SPIFFE Workload API {what}", hint="is SPIFFE_ENDPOINT_SOCKET right, and this workload registered?"
    )


def _connect(endpoint: str) -> socket.socket:
    """A connection to `unix:PATH` or `tcp://ADDRESS:PORT` (SPIFFE_Workload_Endpoint.md, section 4)."""
    scheme, _, place = endpoint.partition(":")
    where: str | tuple[str, int]
    if scheme == "unix":
        family, where = socket.AF_UNIX, place.removeprefix("//")
    elif scheme == "tcp" and place.startswith("//"):
        host, _, port = place.removeprefix("//").rpartition(":")
        where = host.strip("[]"), int(port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    else:
        raise ValueError(scheme)
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(_SECONDS)
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


def _call(connection: socket.socket, request: bytes) -> bytes:
    """The message that answers one message. Raises `ValueError` where there is none, `OSError`."""
    fields = {
        ":method": "POST", ":scheme": "http", ":path": _PATH, ":authority": "localhost",
        "content-type": "application/grpc", "te": "trailers", "workload.spiffe.io": "true",
    }  # fmt: skip
    headers = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    body = struct.pack(">BI", 0, len(request)) + request
    connection.sendall(
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, body)
    )
    data = b""
    ends = time.monotonic() + _SECONDS
    read = _reader(connection, ends)
    for _ in range(_FRAMES):
        length, kind, flags, stream = _head(read(9))
        payload = read(length)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY or (kind == _RST_STREAM and stream == 1):
            break
        elif stream == 1 and kind == _DATA:
            data += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
        if stream == 1 and kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            break
    compressed, size = struct.unpack(">BI", data[:5].ljust(5, b"\xff"))
    if compressed or len(data) != 5 + size:
        raise ValueError("no message")
    return data[5:]


def _reader(connection: socket.socket, ends: float) -> Callable[[int], bytes]:
    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            piece = connection.recv(count - len(data))
            if not piece:
                raise ValueError("cut off")
            data += piece
        return data

    return read


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _head(head: bytes) -> tuple[int, int, int, int]:
    length = int.from_bytes(head[:3], "big")
    kind, flags, stream = struct.unpack(">BBI", head[3:])
    if length > _FRAME_BYTES:  # the most that may be sent to us: we asked for no more
        raise ValueError("a large frame")
    return length, kind, flags, stream & 0x7FFF_FFFF


def _text(text: str) -> bytes:
    """A string literal of fewer than 127 octets (RFC 7541, section 5.2)."""
    return bytes([len(text)]) + text.encode("ascii")


# -- protobuf (protobuf.dev, "Encoding"): fields with a length, which is all that there is in these messages


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    if len(data) > limits.TOKEN_BYTES:
        raise ValueError("large")
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        size, at = _read_varint(data, at)
        if tag & 7 != 2 or at + size > len(data):
            raise ValueError("another kind of field, or cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 28:
            raise ValueError("a large number")
