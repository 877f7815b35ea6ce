"""The HTTP/1.1 reader, byte by byte: whatever comes gives an answer or a `SealgateError`, however it is cut into pieces."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import ContentError, LimitError, ProtocolError, SealgateError, UnreachableError
from sealgate.transport.message import FileBody, Request, Response, Url
from sealgate.transport.wire import Wire, check_framing, parse_head, read_file

URL = Url("http", "registry.test", 80, "/v2/?secret")
REQUEST = Request("GET", URL, limit=1_000_000)


class Pieces:
    """A socket that has received some pieces and takes whatever is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, size: int) -> bytes:
        while self.pieces and not self.pieces[0]:
            self.pieces.pop(0)
        if not self.pieces:
            return b""
        piece = self.pieces[0][:size]
        self.pieces[0] = self.pieces[0][size:]
        return piece

    def close(self) -> None:
        pass


def read(data: bytes, request: Request = REQUEST, *, cuts: tuple[int, ...] = ()) -> tuple[Response, Wire]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts})
    pieces = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    wire = Wire(Pieces(*pieces), "192.0.2.1")
    return wire.exchange(request, request.url.target, (), lambda: 1.0), wire


TOKEN = st.text(
    "!#$%&'*+-.^_`|~" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=20
)
VALUE = st.binary(max_size=40).map(lambda data: bytes(byte for byte in data if byte not in b"\r\n\0").strip(b" \t"))
HEADERS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in RESERVED), VALUE), max_size=10)
RESERVED = {"content-length", "transfer-encoding", "content-encoding", "connection"}
CUTS = st.tuples(st.integers(0), st.integers(0), st.integers(0))


@given(
    st.integers(200, 599),
    HEADERS,
    st.binary(max_size=5000),
    st.sampled_from(["length", "chunks", "end"]),
    CUTS,
    st.data(),
)
def test_every_framing_reads_back_however_it_is_cut(status, headers, body, framing, cuts, data):
    if status in {204, 304}:
        body = b""
    lines = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in headers)
    framed = body
    if framing == "length" or status in {204, 304}:
        lines += b"Content-Length: %d\r\n" % len(body)
    elif framing == "chunks":
        lines += b"Transfer-Encoding: Chunked\r\n"
        framed, at = b"", 0
        while at < len(body):
            size = data.draw(st.integers(1, len(body) - at))
            framed += b"%X\r\n%s\r\n" % (size, body[at : at + size])
            at += size
        framed += b"0\r\nX-Trailer: ignored\r\n\r\n"
    response, wire = read(b"HTTP/1.1 %d Whatever\r\n%s\r\n%s" % (status, lines, framed), cuts=cuts)
    assert (response.status, response.body) == (status, body)
    got = [(name, value) for name, value in response.headers if name not in RESERVED]
    assert got == [(name.lower(), value.decode("latin-1")) for name, value in headers]
    assert wire.reusable == (framing != "end" or status in {204, 304})


PARTS = [
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b" OK", b"\r\n", b"\n", b"\r", b"Content-Length: 5\r\n", b"Content-Length:", b"5", b"-1",
    b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffff\r\n", b": ", b"\0",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", b" folded\r\n", b"Connection: close\r\n", b";ext",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=10), max_size=20), CUTS, st.sampled_from(["GET", "HEAD"]))
@example([b"HTTP/1.1 100 Continue\r\n\r\n"] * 20, (0, 0, 0), "GET")
def test_nothing_but_answers_and_our_own_errors_comes_of_any_bytes(parts, cuts, method):
    try:
        response, wire = read(b"".join(parts), REQUEST._replace(method=method), cuts=cuts)
    except SealgateError as error:
        assert "secret" not in str(error)
        assert isinstance(error, (ProtocolError, UnreachableError, LimitError))
    else:
        assert 200 <= response.status < 600
        assert len(response.body) <= REQUEST.limit
        assert not (wire.reusable and wire._buffer)


@given(st.lists(st.sampled_from(PARTS), max_size=12), CUTS)
def test_where_the_pieces_end_makes_no_difference(parts, cuts):
    def outcome(*where: int) -> object:
        try:
            response, wire = read(b"".join(parts), cuts=where)
        except SealgateError as error:
            return type(error)
        return response, wire.reusable

    whole, cut = outcome(), outcome(*cuts)
    if isinstance(whole, tuple) and isinstance(cut, tuple):
        assert whole[0] == cut[0]  # what comes behind an answer may not have come yet
    elif {whole, cut} != {ProtocolError, UnreachableError}:  # nor may what would have shown that it is junk
        assert whole == cut


@pytest.mark.parametrize(
    "line",
    [
        b"X : y",
        b" X: y",
        b"\tX: y",
        b"X\0: y",
        b": y",
        b"X",
        b"",
        b"X\xe9: y",
        b"(X): y",
        b"X: a\rb",
        b"X: a\nb",
        b"X: \0",
    ],
)
def test_headers_that_are_none(line):
    with pytest.raises(ProtocolError) as caught:
        read(
            b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"
            if line
            else b"HTTP/1.1 200 OK\r\n\n\r\n\r\n"
        )
    assert caught.value.code == "protocol-violation"


def test_folded_headers_are_refused():
    with pytest.raises(ProtocolError):
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n b\r\n\r\n")


def test_the_head_is_read_as_the_standard_says():
    status, headers, persistent = parse_head(b"HTTP/1.1 200\r\nA:b\r\nc: \t d e \t\r\nE:", URL)
    assert (status, headers, persistent) == (200, (("a", "b"), ("c", "d e"), ("e", "")), True)
    assert parse_head(b"HTTP/1.1 404 Not \xe9 Found", URL) == (404, (), True)


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close", b"close, x"])
def test_connections_that_the_server_closes_are_not_kept(value):
    _, wire = read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: " + value + b"\r\n\r\n")
    assert not wire.reusable


def test_interim_answers_are_counted():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert read(b"HTTP/1.1 103 Early Hints\r\n\r\n" * limits.INTERIM_ANSWERS + answer)[0].status == 200
    with pytest.raises(ProtocolError, match="interim"):
        read(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (limits.INTERIM_ANSWERS + 1) + answer)


def test_a_chunk_ends_where_it_said():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(chunked + b"5\r\nhello\r\n0\r\n\r\n")[0].body == b"hello"
    with pytest.raises(ProtocolError, match="chunks that do not end"):
        read(chunked + b"5\r\nhelloXX0\r\n\r\n")


def test_chunks_in_http_1_0_are_refused():
    with pytest.raises(ProtocolError):
        read(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_a_head_of_exactly_the_limit_is_read_and_one_more_byte_is_not():
    def head(size: int) -> bytes:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
        return start + b"x" * (size - len(start)) + b"\r\n\r\n"

    assert read(head(limits.HEADER_BYTES))[0].status == 200
    with pytest.raises(LimitError, match=str(limits.HEADER_BYTES)):
        read(head(limits.HEADER_BYTES + 1))


def test_chunk_lines_and_trailers_are_bounded():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(chunked + b"1;" + b"e" * 1000 + b"\r\nx\r\n0\r\n\r\n")[0].body == b"x"
    with pytest.raises(LimitError):
        read(chunked + b"1;" + b"e" * 2000 + b"\r\nx\r\n0\r\n\r\n")
    with pytest.raises(LimitError):
        read(chunked + b"0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n")


def test_a_limit_counts_what_came_in_chunks():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 3 + b"0\r\n\r\n"
    assert read(chunked, REQUEST._replace(limit=15))[0].body == b"hello" * 3
    with pytest.raises(LimitError):
        read(chunked, REQUEST._replace(limit=14))
    with pytest.raises(LimitError):  # by its size alone
        read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", REQUEST)


@pytest.mark.parametrize(
    ("method", "status", "headers", "framing"),
    [
        ("GET", 200, (("content-length", "7"),), 7),
        ("GET", 200, (("content-length", "7"), ("content-length", "7")), 7),
        ("GET", 200, (("transfer-encoding", "chunked"),), -1),
        ("GET", 200, (), None),
        ("HEAD", 200, (("content-length", "7"),), 0),
        ("HEAD", 200, (("transfer-encoding", "chunked"),), 0),
        ("GET", 204, (("content-length", "7"),), 0),
        ("GET", 304, (("content-length", "7"),), 0),
        ("GET", 200, (("content-encoding", "identity"), ("content-length", "0")), 0),
    ],
)
def test_how_long_a_body_is(method, status, headers, framing):
    assert check_framing(REQUEST._replace(method=method), status, headers) == framing


def test_what_goes_out():
    sock = Pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    request = REQUEST._replace(method="PUT", headers=(("B", "2"), ("A", "1")), body=b"body")
    Wire(sock, "").exchange(request, "/target", (("Proxy-Authorization", "x"),), lambda: 1.0)
    assert sock.sent == (
        b"PUT /target HTTP/1.1\r\nHost: registry.test\r\nAccept-Encoding: identity\r\nProxy-Authorization: x\r\n"
        b"B: 2\r\nA: 1\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_a_file_is_read_to_its_size_and_not_beyond(tmp_path):
    data = [b"ab", b"cd", b"ef", b""]
    assert b"".join(read_file(lambda size: data.pop(0)[:size], FileBody("x", 5))) == b"abcde"
    with pytest.raises(ContentError, match="shorter"):
        list(read_file(lambda _: b"", FileBody("x", 5)))


def test_an_upload_over_a_real_connection_that_nobody_reads_ends(monkeypatch):
    """The write itself is timed, too."""
    from sealgate.errors import DeadlineError

    ours, theirs = socket.socketpair()
    with ours, theirs:
        begun = threading.Event()

        def patience() -> float:
            begun.set()
            return 0.2

        with pytest.raises(DeadlineError):
            Wire(ours, "").exchange(REQUEST._replace(method="PUT", body=b"x" * 50_000_000), "/", (), patience)
    assert begun.is_set()
