"""The SPIFFE Workload API, as a server of gRPC answers, and as none does."""

import contextlib
import socket
import struct
import threading

import pytest

from sealgate.errors import IssuerUnavailableError
from sealgate.signing.tokens import sources, spiffe
from sealgate.transport import driver

TOKEN = "eyJh.eyJi.canary"


def frame(kind, payload=b"", *, flags=0, stream=1):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(number, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def message(svid=TOKEN):
    one = field(1, b"spiffe://example.test/signer") + field(2, svid.encode()) + field(3, b"hint")
    body = field(1, one) + field(1, field(1, b"spiffe://example.test/other") + field(2, b"other"))
    return struct.pack(">BI", 0, len(body)) + body


HELLO = frame(4, stream=0) + frame(4, flags=1, stream=0)
HEADERS = frame(1, b"\x88opaque", flags=4)
TRAILERS = frame(1, b"\x00opaque", flags=5)
GOOD = HELLO + HEADERS + frame(0, message()) + TRAILERS
BODY = message()
TAKEN = {
    "as gRPC answers": GOOD,
    "in pieces": HELLO + HEADERS + b"".join(frame(0, BODY[at : at + 7]) for at in range(0, len(BODY), 7)) + TRAILERS,
    "padded": HELLO + HEADERS + frame(0, b"\x03" + BODY + b"\0\0\0", flags=8) + TRAILERS,
    "ended by data": HELLO + HEADERS + frame(0, BODY, flags=1),
    "with other frames": HELLO
    + frame(6, b"x" * 8, stream=0)
    + frame(8, b"\0\0\1\0", stream=0)
    + HEADERS
    + frame(0, BODY)
    + TRAILERS,
}
REFUSED = {
    "nothing": b"",
    "not HTTP/2": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no message": HELLO + TRAILERS,
    "reset": HELLO + HEADERS + frame(3, b"\0\0\0\7"),
    "gone away": HELLO + frame(7, b"\0" * 8, stream=0),
    "cut off": GOOD[:-30],
    "a frame too large": HELLO + HEADERS + frame(0, b"x" * 16_385),
    "frames without end": HELLO + frame(8, b"\0\0\1\0", stream=0) * 100,
    "two messages": HELLO + HEADERS + frame(0, BODY + BODY) + TRAILERS,
    "compressed": HELLO + HEADERS + frame(0, b"\1" + BODY[1:]) + TRAILERS,
    "a length that lies": HELLO + HEADERS + frame(0, b"\0\0\0\0\1" + BODY[5:]) + TRAILERS,
    "no svid": HELLO + HEADERS + frame(0, b"\0\0\0\0\0") + TRAILERS,
    "another field": HELLO + HEADERS + frame(0, b"\0\0\0\0\2\x08\x01") + TRAILERS,
    "a field that is cut off": HELLO + HEADERS + frame(0, b"\0\0\0\0\2\x0a\x7f") + TRAILERS,
    "a number without end": HELLO + HEADERS + frame(0, b"\0\0\0\0\x09\x0a" + b"\xff" * 8) + TRAILERS,
    "not ASCII": HELLO + HEADERS + frame(0, message("é")) + TRAILERS,
}


@pytest.fixture
def workload(tmp_path):
    """`workload(answer)`: the address of somebody who answers so, once; what was asked is in `workload.asked`."""
    threads, listeners = [], []

    def start(answer):
        path = tmp_path / f"socket{len(threads)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(1)
        listeners.append(listener)

        def serve():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # whoever refuses the answer is gone
                start.asked.append(connection.recv(65_536))
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"unix://{path}"

    start.asked = []
    yield start
    for thread, listener in zip(threads, listeners, strict=True):
        thread.join(10)
        listener.close()


@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
def test_the_first_svid_is_taken(workload, answer):
    assert spiffe.fetch(workload(answer), "sigstore") == TOKEN
    [asked] = workload.asked
    assert asked.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    for words in (b"/SpiffeWorkloadAPI/FetchJWTSVID", b"workload.spiffe.io", b"\x0a\x08sigstore"):
        assert words in asked


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_other_answers_are_refused_and_not_shown(workload, answer):
    with pytest.raises(IssuerUnavailableError) as refused:
        spiffe.fetch(workload(answer), "sigstore")
    assert "canary" not in repr(refused.value)
    assert refused.value.__cause__ is None or isinstance(refused.value.__cause__, OSError)


def test_somebody_who_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(spiffe, "_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(1)
        with pytest.raises(IssuerUnavailableError, match="in time"):
            spiffe.fetch(f"unix://{tmp_path}/socket", "sigstore")


@pytest.mark.parametrize(
    "endpoint", ["unix:///nowhere/socket", "tcp://127.0.0.1:1", "tcp://127.0.0.1", "https://x", "", "unix:" + "x" * 200]
)
def test_places_where_nobody_is(endpoint):
    with pytest.raises(IssuerUnavailableError) as refused:
        spiffe.fetch(endpoint, "sigstore")
    assert refused.value.exit_code == 14


def test_the_environment_says_where_it_is(workload, monkeypatch, tmp_path):
    import base64
    import json

    monkeypatch.setattr(sources, "FILE", str(tmp_path / "nothing"))
    claims = {"iss": "https://issuer.test", "sub": "spiffe://example.test/signer", "aud": ["sigstore"], "exp": 600}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "ES256"}, claims)
    ]
    endpoint = workload(HELLO + HEADERS + frame(0, message(f"{'.'.join(parts)}.x")) + TRAILERS)
    flow = sources.find(
        sources.Wanted(), {"SPIFFE_ENDPOINT_SOCKET": endpoint}, interactive=False, say=lambda _: None, now=0
    )
    assert driver.run(flow, sender=None).challenge == "spiffe://example.test/signer"
