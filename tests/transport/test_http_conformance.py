"""What an HTTP adapter must do and must not do, whichever it is; the server lies, stalls and floods."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import socket
import threading
import time
import zlib

import pytest

from evil_registry import scripts
from sealgate import limits
from sealgate.errors import (
    ContentError,
    DeadlineError,
    LimitError,
    ProtocolError,
    SealgateError,
    UnreachableError,
)
from sealgate.transport import flow
from sealgate.transport.message import FileBody, Request, Tls, Url

SECRET = "hunter2-canary"


class Collected:
    """A sink in memory that counts and hashes."""

    def __init__(self) -> None:
        self.size = 0
        self.restarts = 0
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.hash.update(data)

    def restart(self) -> None:
        self.restarts += 1
        self.size = 0
        self.hash = hashlib.sha256()


def refused(adapter, request: Request, *errors: type[SealgateError], seconds: float = 20) -> SealgateError:
    """The error of a request that must fail with one of `errors`; no secret is in any of its words."""
    with pytest.raises(errors) as caught:
        adapter.send(request, seconds=seconds)
    assert type(caught.value) in errors
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert "?" not in str(caught.value)  # no query
    return caught.value


# -- honest answers


def test_a_request_goes_out_as_it_is_and_its_answer_comes_back_whole(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("GET", "/v2/*", scripts.reply(200, b"body", [("X-One", "1"), ("x-one", " 2 "), ("Link", "<a>")]))
    response = adapter.send(
        get(registry, "/v2/a%20b/..%2f/./x?q=%2B&r", headers=(("X-Mine", "a b"), ("Accept", "x/y")))
    )
    assert (response.status, response.body, response.peer) == (200, b"body", "127.0.0.1")
    assert response.all("x-one") == ["1", "2"]
    assert response.header("link") == "<a>"
    (seen,) = registry.requests
    assert seen.target == "/v2/a%20b/..%2f/./x?q=%2B&r"
    assert {name: value for name, value in seen.headers.items() if name != "connection"} == {
        "host": registry.host,
        "accept-encoding": "identity",
        "x-mine": "a b",
        "accept": "x/y",
    }


@pytest.mark.parametrize("status", [200, 201, 204, 206, 301, 302, 304, 307, 401, 403, 404, 416, 429, 500, 503])
def test_every_status_is_an_answer_and_nothing_is_followed_or_tried_again(adapter, evil_registry, get, status):
    registry = evil_registry()
    trap = evil_registry.trap()
    registry.on("*", "*", scripts.reply(status, b"" if status in {204, 304} else b"words", {"Location": trap.origin}))
    response = adapter.send(get(registry))
    assert response.status == status
    assert response.body == (b"" if status in {204, 304} else b"words")
    assert len(registry.requests) == 1
    assert not trap.connections


def test_cookies_are_not_kept(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(200, headers={"Set-Cookie": "session=1; Path=/"}))
    adapter.send(get(registry))
    adapter.send(get(registry))
    assert "cookie" not in registry.requests[1].headers


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 65536, b"y" * 1_000_000])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_bodies_go_out_with_their_length(adapter, evil_registry, get, method, body):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(201))
    assert adapter.send(get(registry, method=method, body=body)).status == 201
    (seen,) = registry.requests
    assert seen.body == body
    assert seen.headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in seen.headers


def test_a_file_goes_out_without_being_held_in_memory(adapter, evil_registry, get, tmp_path):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(201))
    path = tmp_path / "layer"
    path.write_bytes(b"0123456789" * 300_000)
    assert adapter.send(get(registry, method="PUT", body=FileBody(str(path), 3_000_000))).status == 201
    assert registry.requests[0].body == path.read_bytes()
    assert registry.requests[0].headers["content-length"] == "3000000"


def test_no_more_of_a_file_goes_out_than_was_said(adapter, evil_registry, get, tmp_path):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(201))
    path = tmp_path / "grown"
    path.write_bytes(b"0123456789")
    assert adapter.send(get(registry, method="PUT", body=FileBody(str(path), 4))).status == 201
    assert adapter.send(get(registry, method="PUT", body=FileBody(str(path), 0))).status == 201
    assert [seen.body for seen in registry.requests] == [b"0123", b""]


@pytest.mark.parametrize(("name", "code"), [("shrunk", "content-invalid"), ("missing", "failure"), ("", "failure")])
def test_a_file_that_cannot_be_sent_whole_is_no_fault_of_the_registry(
    adapter, evil_registry, get, tmp_path, name, code
):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(201))
    (tmp_path / "shrunk").write_bytes(b"short")
    body = FileBody(str(tmp_path / name), 1_000_000)
    error = refused(adapter, get(registry, method="PUT", body=body), SealgateError, ContentError)
    assert error.code == code


def test_a_large_body_goes_to_the_sink(adapter, evil_registry, get):
    registry = evil_registry()
    data = b"layer" * 500_000
    registry.on("*", "*", scripts.reply(200, data))
    sink = Collected()
    response = adapter.send(get(registry, sink=sink, limit=limits.BLOB_BYTES))
    assert response.body == b""
    assert (sink.size, sink.hash.digest(), sink.restarts) == (len(data), hashlib.sha256(data).digest(), 1)


def test_the_body_of_an_error_does_not_go_to_the_sink(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(404, b"not here"))
    sink = Collected()
    assert adapter.send(get(registry, sink=sink)).body == b"not here"
    assert (sink.size, sink.restarts) == (0, 0)


def test_a_sink_that_cannot_take_it_is_no_fault_of_the_registry(adapter, evil_registry, get):
    class Full(Collected):
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    registry = evil_registry()
    registry.on("*", "*", scripts.reply(200, b"data"))
    error = refused(adapter, get(registry, sink=Full()), SealgateError)
    assert "No space left" in str(error)


def test_head_has_a_length_and_no_body(adapter, evil_registry, get):
    registry = evil_registry()
    image = registry.honest.put_image("app", "v1")
    response = adapter.send(get(registry, "/v2/app/manifests/v1", method="HEAD", limit=10))
    assert response.header("content-length") == str(len(image.raw))
    assert response.body == b""
    assert adapter.send(get(registry, "/v2/app/manifests/v1")).body == image.raw


@pytest.mark.parametrize("chunked", [True, False])
def test_chunks_and_bodies_that_end_with_the_connection_are_read(adapter, evil_registry, get, chunked):
    registry = evil_registry()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if chunked else b"HTTP/1.1 200 OK\r\n\r\n"
    body = b"5;name=value\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n" if chunked else b"hello!"
    registry.on("*", "*", scripts.raw(head + body))
    assert adapter.send(get(registry)).body == b"hello!"


@pytest.mark.parametrize("interim", [b"100 Continue", b"103 Early Hints", b"102 Processing"])
def test_interim_answers_are_passed_over(adapter, evil_registry, get, interim):
    registry = evil_registry()
    data = b"HTTP/1.1 " + interim + b"\r\nLink: <x>\r\n\r\n"
    registry.on("*", "*", scripts.raw(data * 2 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    response = adapter.send(get(registry))
    assert (response.status, response.body) == (200, b"ok")


def test_http_1_0_is_read_and_its_connection_is_not_kept(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", keep=True))
    assert adapter.send(get(registry)).body == b"ok"
    assert adapter.send(get(registry)).body == b"ok"
    assert registry.connections == 2


def test_identical_lengths_are_one_length(adapter, evil_registry, get):
    registry = evil_registry()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"
    registry.on("*", "*", scripts.raw(answer))
    if adapter.name == "threads":
        assert adapter.send(get(registry)).body == b"ok"
    else:
        refused(adapter, get(registry), ProtocolError)  # stricter


# -- connections


def test_a_connection_is_used_again(adapter, evil_registry, get):
    registry = evil_registry()
    for _ in range(5):
        assert adapter.send(get(registry)).status == 200
    assert registry.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_unseen(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on(
        "*", "*", scripts.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    )  # and closes, without saying so
    for _ in range(3):
        assert adapter.send(get(registry)).body == b"ok"
    assert registry.connections == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_kept_connection_that_dies_at_the_next_request_is_replaced_once(adapter, evil_registry, get, method):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(b""), nth=2)  # takes the request, says nothing, closes
    assert adapter.send(get(registry, method="GET")).status == 200
    assert adapter.send(get(registry, method=method, body=b"x" if method == "PUT" else b"")).status in {200, 404}
    assert registry.connections == 2
    assert len(registry.requests) == 3


def test_a_file_is_sent_again_from_its_beginning_over_the_new_connection(adapter, evil_registry, get, tmp_path):
    registry = evil_registry()
    path = tmp_path / "layer"
    path.write_bytes(b"z" * 200_000)
    registry.on("PUT", "*", scripts.sequence(scripts.raw(b""), scripts.reply(201)))
    assert adapter.send(get(registry)).status == 200
    request = get(registry, method="PUT", body=FileBody(str(path), 200_000))
    if adapter.name == "asyncio":  # aiohttp leaves it to the flow to try again
        assert refused(adapter, request, UnreachableError).broken
    assert adapter.send(request).status == 201
    assert [len(seen.body) for seen in registry.asked("PUT")] == [200_000, 200_000]


def test_a_fresh_connection_that_dies_is_an_error_worth_another_try(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(b""))
    error = refused(adapter, get(registry, f"/x?token={SECRET}"), UnreachableError)
    assert error.broken
    assert len(registry.requests) == (1 if adapter.name == "threads" else 2)  # aiohttp tries reads again by itself


def test_what_a_server_sends_unasked_is_never_taken_for_an_answer(adapter, evil_registry, get):
    """Response smuggling: a second answer behind the first must not answer the next request."""
    registry = evil_registry()
    honest = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    registry.on("*", "*", scripts.raw(honest + forged, keep=True), nth=1)
    registry.on("*", "/second", scripts.reply(200, b"second"))
    assert adapter.send(get(registry)).body == b"ok"
    time.sleep(0.05)
    assert adapter.send(get(registry, "/second")).body == b"second"


@pytest.mark.parametrize("tls", [False, True])
def test_what_a_server_sends_later_and_unasked_is_never_taken_for_an_answer(adapter, evil_registry, get, tls):
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        exchange.wait(0.1)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        return True

    registry = evil_registry(tls=tls)
    trust = Tls(ca_file=evil_registry.ca_file if tls else None)
    registry.on("*", "/first", script)
    registry.on("*", "/second", scripts.reply(200, b"second"))
    assert adapter.send(get(registry, "/first", tls=trust)).body == b"ok"
    time.sleep(0.3)
    assert adapter.send(get(registry, "/second", tls=trust)).body == b"second"


def test_a_body_behind_a_head_is_never_taken_for_an_answer(adapter, evil_registry, get):
    registry = evil_registry()
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    registry.on("HEAD", "*", scripts.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + forged, keep=True))
    registry.on("GET", "/second", scripts.reply(200, b"second"))
    try:
        assert adapter.send(get(registry, method="HEAD")).body == b""
        time.sleep(0.05)
        assert adapter.send(get(registry, "/second")).body == b"second"
    except ProtocolError:
        assert adapter.name == "asyncio"  # aiohttp notices, and fails whichever of the two


def test_no_more_connections_than_allowed_for_one_host(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.delay(0.01))

    async def many():
        return await flow.gather([flow.send(get(registry)) for _ in range(100)])

    assert {response.status for response in adapter.run(many())} == {200}
    assert registry.connections <= limits.CONNECTIONS_PER_HOST


def test_nobody_there(adapter):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refused(adapter, Request("GET", Url("http", "127.0.0.1", port, f"/?{SECRET}")), UnreachableError)
    assert not error.broken
    assert "refused" in str(error)


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 64 + ".test", "a..test"])
def test_a_name_that_does_not_resolve(adapter, host):
    error = refused(adapter, Request("GET", Url("http", host, 80, "/")), UnreachableError)
    assert not error.broken
    assert "does not resolve" in str(error)


# -- lies about lengths


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nshort", (UnreachableError,), id="longer than the body"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", (ProtocolError,), id="two"),
        pytest.param(HEAD + b"Content-Length: 5, 6\r\n\r\nhello!", (ProtocolError,), id="two in one"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\nhello", (ProtocolError,), id="negative"),
        pytest.param(HEAD + b"Content-Length: 0x5\r\n\r\nhello", (ProtocolError,), id="hex"),
        pytest.param(HEAD + b"Content-Length: +5\r\n\r\nhello", (ProtocolError,), id="signed"),
        pytest.param(
            HEAD + "Content-Length: \u00b25\r\n\r\nhello".encode("latin-1"), (ProtocolError,), id="superscript"
        ),
        pytest.param(
            HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello", (ProtocolError, LimitError), id="huge"
        ),
        pytest.param(
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            (ProtocolError,),
            id="length and chunks",
        ),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (ProtocolError,), id="gzip coding"),
        pytest.param(HEAD + b"Transfer-Encoding: cow\r\n\r\nmoo", (ProtocolError,), id="unknown coding"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n", (ProtocolError,), id="no chunks"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", (ProtocolError,), id="negative chunk"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", (ProtocolError,), id="0x chunk"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n", (ProtocolError, LimitError), id="2^68"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n", (ProtocolError,), id="empty size"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!!\r\n", (ProtocolError,), id="chunk overrun"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", (UnreachableError,), id="chunk cut"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", (UnreachableError,), id="no last chunk"
        ),
    ],
)
def test_lengths_that_lie(adapter, evil_registry, get, answer, errors):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(answer))
    error = refused(adapter, get(registry, f"/v2/?sig={SECRET}"), *errors)
    if errors == (UnreachableError,):
        assert error.broken


def test_the_twin_of_lengths_that_lie(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    assert adapter.send(get(registry)).body == b"hello"


# -- what is not HTTP


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="ssh"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="tls alert"),
        pytest.param(b"<!DOCTYPE html><p>hello</p>\r\n\r\n", id="http 0.9"),
        pytest.param(b"HTTP/2.0 200 OK\r\n\r\n", id="http 2"),
        pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", id="four digits"),
        pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", id="two digits"),
        pytest.param(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", id="letters"),
        pytest.param(b"HTTP/1.1 -99 OK\r\nContent-Length: 0\r\n\r\n", id="negative"),
        pytest.param(b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n", id="700"),
        pytest.param(b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", id="000"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="101"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", id="no colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\n: nothing\r\nContent-Length: 0\r\n\r\n", id="no name"),
        pytest.param(b"HTTP/1.1 200 OK\r\nCon tent: x\r\nContent-Length: 0\r\n\r\n", id="space in name"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", id="nul"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", id="bare cr"),
    ],
)
def test_what_is_not_http(adapter, evil_registry, get, answer):
    registry = evil_registry()
    registry.on("*", "*", scripts.raw(answer))
    began = time.monotonic()
    # aiohttp takes a few of these for HTTP; then there is an answer, and a connection that is not used again.
    lenient = {b"HTTP/1.1 200 OK\r\nX: a\rb", b"HTTP/1.1 700 ", b"HTTP/1.1 000 ", b"HTTP/2.0 200 OK"}
    if adapter.name == "asyncio" and any(answer.startswith(start) for start in lenient):
        with contextlib.suppress(ProtocolError, UnreachableError):
            adapter.send(get(registry))
        return
    refused(adapter, get(registry, f"/?{SECRET}"), ProtocolError, UnreachableError)
    assert time.monotonic() - began < 10


def test_endless_interim_answers_end(adapter, evil_registry, get):
    def script(exchange):
        while exchange.wait(0):
            exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        return False

    registry = evil_registry()
    registry.on("*", "*", script)
    refused(adapter, get(registry, seconds=2.0), ProtocolError, DeadlineError)


# -- floods


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("status", [200, 201, 301, 401, 404, 429, 500])
def test_D02_D06_endless_bodies_of_every_status_end_at_the_limit(adapter, evil_registry, get, status, chunked):
    registry = evil_registry()
    registry.on("*", "*", scripts.endless(status, chunked=chunked))
    error = refused(adapter, get(registry, f"/x?sig={SECRET}", limit=1_000_000), LimitError)
    assert error.code == "limit-exceeded"
    assert str(1_000_000 if status < 300 else limits.SMALL_BODY_BYTES) in str(error)


def test_D02_an_endless_body_ends_at_the_limit_in_a_sink_too(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.endless())
    sink = Collected()
    refused(adapter, get(registry, sink=sink, limit=3_000_000), LimitError)
    assert sink.size <= 3_000_000


def test_a_body_up_to_the_limit_is_read(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(200, b"x" * 1000))
    assert len(adapter.send(get(registry, limit=1000)).body) == 1000
    refused(adapter, get(registry, limit=999), LimitError)


def test_a_length_beyond_the_limit_is_refused_before_the_body_is_read(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.stall(HEAD + b"Content-Length: 99999999999\r\n\r\n"))
    refused(adapter, get(registry), LimitError, seconds=10)


def test_D02_memory_stays_bounded(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.endless(chunked=True))
    adapter.send(get(evil_registry()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        refused(adapter, get(registry, sink=Collected(), limit=200_000_000), LimitError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


def test_endless_headers_end_at_the_limit(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.endless_headers())
    refused(adapter, get(registry), LimitError, ProtocolError, seconds=10)


def test_many_headers_end_at_the_limit(adapter, evil_registry, get):
    registry = evil_registry()
    many = b"".join(b"X-%d: x\r\n" % number for number in range(2 * limits.HEADER_FIELDS))
    registry.on("*", "*", scripts.raw(HEAD + many + b"Content-Length: 0\r\n\r\n"))
    refused(adapter, get(registry), LimitError, ProtocolError)


@pytest.mark.parametrize("times", [1, 50])
def test_D07_compressed_answers_are_refused(adapter, evil_registry, get, times):
    registry = evil_registry()
    registry.honest.put_image("app", "v1")
    registry.on("GET", "/v2/app/*", scripts.gzipped(times))
    refused(adapter, get(registry, f"/v2/app/manifests/v1?s={SECRET}"), ProtocolError)
    registry.on("GET", "/v2/app/*", scripts.altered(headers={"Content-Encoding": "identity"}))
    assert adapter.send(get(registry, "/v2/app/manifests/v1")).status == 200


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "x-gzip", "identity, gzip", "GZIP"])
def test_D07_no_coding_is_undone(adapter, evil_registry, get, encoding):
    registry = evil_registry()
    registry.on("*", "*", scripts.reply(200, zlib.compress(b"x" * 10_000_000), {"Content-Encoding": encoding}))
    refused(adapter, get(registry), ProtocolError)


# -- slowness


def slow_scripts() -> dict[str, scripts.Script]:
    return {
        "no answer": scripts.stall(),
        "half a status line": scripts.stall(b"HTTP/1.1 2"),
        "half a head": scripts.stall(HEAD + b"X-One: 1\r\n"),
        "half a body": scripts.stall(HEAD + b"Content-Length: 10\r\n\r\nhello"),
        "half a chunk": scripts.stall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"),
        "no trailer": scripts.stall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        "dripping head": scripts.drip(HEAD + b"X: " + b"x" * 10_000, pause=0.05),
        "dripping length": scripts.drip(b"0" * 10_000, start=HEAD + b"Transfer-Encoding: chunked\r\n\r\n", pause=0.05),
        "dripping body": scripts.drip(b"x" * 10_000, start=HEAD + b"Content-Length: 10000\r\n\r\n", pause=0.05),
        "dripping until the end": scripts.drip(b"x" * 10_000, start=HEAD + b"\r\n", pause=0.05),
    }


@pytest.mark.parametrize("kind", slow_scripts())
def test_D14_slow_servers_end_with_the_request(adapter, evil_registry, get, kind):
    registry = evil_registry()
    registry.on("*", "*", slow_scripts()[kind])
    began = time.monotonic()
    refused(adapter, get(registry, f"/v2/?sig={SECRET}", seconds=0.4), DeadlineError)
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["no answer", "dripping body"])
@pytest.mark.parametrize("sink", [True, False])
def test_D14_slow_servers_end_with_the_run(adapter, evil_registry, get, kind, sink):
    registry = evil_registry()
    registry.on("*", "*", slow_scripts()[kind])
    began = time.monotonic()
    request = get(registry, sink=Collected() if sink else None, limit=1_000_000)
    refused(adapter, request, DeadlineError, seconds=0.4)
    assert time.monotonic() - began < 5


def test_a_slow_stream_is_not_bound_by_the_seconds_of_one_exchange(adapter, evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.drip(b"x" * 20, start=HEAD + b"Content-Length: 20\r\n\r\n", pause=0.02))
    sink = Collected()
    adapter.send(get(registry, sink=sink, seconds=0.1))
    assert sink.size == 20


def test_D14_silence_in_a_stream_ends_with_the_patience_for_one_read(adapters, evil_registry, get, monkeypatch):
    monkeypatch.setattr(limits, "READ_SECONDS", 0.3)
    adapter = adapters()
    registry = evil_registry()
    registry.on("*", "*", scripts.stall(HEAD + b"Content-Length: 10\r\n\r\nhello"))
    began = time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        adapter.run(flow.send(get(registry, sink=Collected())))
    assert caught.value.code == "timed-out"
    assert time.monotonic() - began < 5


def test_D14_a_server_that_takes_no_connection_ends_with_the_patience_for_it(adapters, monkeypatch):
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.3)
    adapter = adapters()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # Fill the backlog: the kernel then leaves further SYNs unanswered.
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        time.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(DeadlineError) as caught:
            adapter.run(flow.send(Request("GET", Url("http", "127.0.0.1", server.getsockname()[1], "/"))))
        for sock in waiting:
            sock.close()
    assert caught.value.code == "timed-out"
    assert time.monotonic() - began < 5


def test_D14_a_name_service_that_stalls_ends_with_the_run(adapter, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    began = time.monotonic()
    refused(adapter, Request("GET", Url("http", "slow.test", 80, "/")), DeadlineError, seconds=0.3)
    assert time.monotonic() - began < 5
    over.set()


def test_D15_stalling_requests_of_one_host_do_not_hold_up_another(adapter, evil_registry, get):
    slow, fast = evil_registry(), evil_registry()
    slow.on("*", "*", scripts.stall())
    began: list[float] = []

    async def good():
        began.append(await flow.now())
        response = await flow.send(get(fast))
        began.append(await flow.now())
        return response

    async def whole():
        return await flow.settle([*(flow.send(get(slow)) for _ in range(40)), good()])

    outcomes = adapter.run(whole(), seconds=1.5)
    assert outcomes[-1].status == 200
    assert began[1] - began[0] < 1.0
    assert {type(outcome) for outcome in outcomes[:-1]} == {DeadlineError}


# -- uploads that are answered early


def test_an_answer_before_the_upload_is_over_counts(adapter, evil_registry, get):
    """413 or 401 while the body is still on its way."""

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
                sock.settimeout(5)
                try:
                    while sock.recv(65536):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        request = Request("PUT", Url("http", "127.0.0.1", server.getsockname()[1], "/"), body=b"x" * 30_000_000)
        response = adapter.send(request)
        thread.join(10)
    assert (response.status, response.body) == (413, b"big")


# -- what must not go out


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": (("Authorization", f"Bearer {SECRET}\r\nX-Evil: 1"),)},
        {"headers": (("Authorization", f"Bearer {SECRET}\nX-Evil: 1"),)},
        {"headers": (("X", "a\0b"),)},
        {"headers": (("X", "caf\u00e9"),)},
        {"headers": (("X: y\r\nZ", "1"),)},
        {"headers": (("", "1"),)},
        {"headers": (("Host", "elsewhere"),)},
        {"headers": (("Content-Length", "5"),)},
        {"headers": (("transfer-encoding", "chunked"),)},
        {"method": "GET /x HTTP/1.1\r\nX:"},
        {"method": ""},
        {"method": "get"},
        {"url": ("http", "127.0.0.1", 1, f"/v2/ HTTP/1.1\r\nX: {SECRET}\r\n\r\n")},
        {"url": ("http", "127.0.0.1", 1, "v2/")},
        {"url": ("http", "127.0.0.1", 1, "/caf\u00e9")},
        {"url": ("http", "127.0.0.1\r\nX: 1", 1, "/")},
        {"url": ("http", "user@127.0.0.1", 1, "/")},
        {"url": ("http", "", 1, "/")},
        {"url": ("http", "127.0.0.1", 0, "/")},
        {"url": ("http", "127.0.0.1", 65536, "/")},
        {"url": ("ftp", "127.0.0.1", 1, "/")},
    ],
)
def test_what_would_not_be_one_request_is_refused_before_anything_is_sent(adapter, evil_registry, get, changes):
    trap = evil_registry.trap()
    request = get(trap)
    if "url" in changes:
        scheme, host, port, target = changes["url"]
        changes = {"url": Url(scheme, host, trap.port if port == 1 else port, target)}
    error = refused(adapter, request._replace(**changes), ProtocolError)
    assert error.code == "protocol-violation"
    assert not trap.connections
