"""Whom the adapters believe over TLS, and how they tell "not trusted" from "not TLS"."""

from __future__ import annotations

import asyncio
import http.server
import socket
import ssl
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization

from evil_registry import scripts
from peers.certificates import Authority
from sealgate.errors import DeadlineError, KeyNotFoundError, TlsError, UnreachableError
from sealgate.oci.server import serve_in_thread
from sealgate.transport import flow, tls
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Request, Tls, Url


def refused(adapter, request: Request, error: type = TlsError, seconds: float = 20):
    with pytest.raises(error) as caught:
        adapter.send(request, seconds=seconds)
    assert type(caught.value) is error
    return caught.value


def test_the_given_authority_is_believed(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    for host in ("127.0.0.1", "localhost"):
        assert adapter.send(get(registry, host=host, tls=Tls(ca_file=evil_registry.ca_file))).status == 200


def test_without_it_the_same_server_is_not(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    error = refused(adapter, get(registry))
    assert error.code == "tls-failed"
    assert not error.not_tls
    assert "not trusted" in str(error)
    assert "--registry-cacert" in error.hint
    assert registry.requests == []


def test_only_the_given_authority_is_believed(adapter, evil_registry, get, tmp_path, monkeypatch):
    """The system's authorities are not added to it."""
    registry = evil_registry(tls=True)
    monkeypatch.setenv("SSL_CERT_FILE", evil_registry.ca_file)
    assert adapter.send(get(registry)).status == 200  # SSL_CERT_FILE names the system's authorities
    other = Authority(tmp_path, "another authority")
    error = refused(adapter, get(registry, tls=Tls(ca_file=str(other.certificate))))
    assert "not trusted" in str(error)


def test_an_expired_certificate(adapter, evil_registry, get):
    registry = evil_registry(tls=True, expired=True)
    error = refused(adapter, get(registry, tls=Tls(ca_file=evil_registry.ca_file)))
    assert "expired" in str(error)
    assert "clock" in error.hint


def test_a_certificate_for_another_host(adapter, evil_registry, get):
    registry = evil_registry(tls=True, names=("registry.example.com",))
    trust = Tls(ca_file=evil_registry.ca_file)
    for host in ("127.0.0.1", "localhost"):
        error = refused(adapter, get(registry, host=host, tls=trust))
        assert "mismatch" in str(error)
        assert "--registry-server-name" in error.hint
    assert registry.requests == []


def test_the_server_name_is_expected_in_place_of_the_host(adapter, evil_registry, get):
    registry = evil_registry(tls=True, names=("registry.example.com",))
    trust = Tls(ca_file=evil_registry.ca_file, server_name="registry.example.com")
    assert adapter.send(get(registry, tls=trust)).status == 200
    assert registry.requests[0].headers["host"] == registry.host
    refused(adapter, get(registry, tls=trust._replace(server_name="registry.example.org")))


@pytest.mark.parametrize("name", ["", ".example.com", "a" * 64 + ".test"])
def test_a_server_name_that_is_none(adapter, evil_registry, get, name):
    registry = evil_registry(tls=True, names=("registry.example.com",))
    request = get(registry, tls=Tls(ca_file=evil_registry.ca_file, server_name=name))
    assert not refused(adapter, request).not_tls


def test_T14_a_lax_connection_is_never_used_for_a_strict_request(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    lax = Tls(insecure_skip_verify=True)
    assert adapter.send(get(registry, tls=lax)).status == 200
    refused(adapter, get(registry))
    refused(adapter, get(registry, tls=Tls(ca_file=evil_registry.ca_file, server_name="other.example.com")))
    assert adapter.send(get(registry, tls=lax)).status == 200
    assert adapter.send(get(registry, tls=Tls(ca_file=evil_registry.ca_file))).status == 200
    assert len(registry.requests) == 3


def test_a_client_certificate_is_shown(adapter, evil_registry, get, authority):
    registry = evil_registry(tls=True, client_ca=evil_registry.ca_file)
    mine = authority.issue("someone", client=True)
    trust = Tls(ca_file=evil_registry.ca_file)
    with_mine = trust._replace(client_cert=str(mine.certificate), client_key=str(mine.key))
    assert adapter.send(get(registry, tls=with_mine)).status == 200
    with pytest.raises((TlsError, UnreachableError)) as caught:  # after TLS 1.3's handshake, so a reset may come first
        adapter.send(get(registry, tls=trust))
    if isinstance(caught.value, TlsError):
        assert "--registry-client-cert" in caught.value.hint
    assert len(registry.requests) == 1


def test_files_that_do_not_exist_or_are_something_else(adapter, evil_registry, get, tmp_path, authority):
    registry = evil_registry(tls=True)
    for missing in (Tls(ca_file=str(tmp_path / "no")), Tls(client_cert=str(tmp_path / "no"), client_key=None)):
        assert refused(adapter, get(registry, tls=missing), KeyNotFoundError).code == "key-not-found"
    (tmp_path / "junk").write_text("not PEM")
    refused(adapter, get(registry, tls=Tls(ca_file=str(tmp_path / "junk"))))
    mine = authority.issue("someone", client=True)
    mixed = Tls(client_cert=str(mine.certificate), client_key=str(authority.issue("other").key))
    refused(adapter, get(registry, tls=mixed))
    assert registry.connections == 0


def test_an_encrypted_client_key_is_refused_without_a_prompt(adapter, evil_registry, get, tmp_path, authority):
    mine = authority.issue("someone", client=True)
    key = serialization.load_pem_private_key(mine.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2-canary"),
        )
    )
    request = get(evil_registry(tls=True), tls=Tls(client_cert=str(mine.certificate), client_key=str(encrypted)))
    assert "encrypted" in str(refused(adapter, request))


def test_old_tls_is_refused(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        registry.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    error = refused(adapter, get(registry, tls=Tls(ca_file=evil_registry.ca_file)))
    assert not error.not_tls


def test_D14_a_handshake_that_stalls_ends_with_the_request(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    registry.greet = scripts.stall()
    began = time.monotonic()
    refused(adapter, get(registry, seconds=0.3), DeadlineError)
    refused(adapter, get(registry), DeadlineError, seconds=0.3)
    assert time.monotonic() - began < 5


def test_D14_a_handshake_that_drips_ends_with_the_request(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    registry.greet = scripts.drip(b"x" * 1000, start=b"\x16\x03\x03\x40\x00", pause=0.05)
    began = time.monotonic()
    refused(adapter, get(registry, seconds=0.3), DeadlineError)
    assert time.monotonic() - began < 5


def test_a_connection_over_tls_is_used_again(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    for _ in range(4):
        assert adapter.send(get(registry, tls=Tls(ca_file=evil_registry.ca_file))).status == 200
    assert registry.greetings == 1


def test_a_body_cut_short_over_tls_is_not_taken_for_whole(adapter, evil_registry, get):
    registry = evil_registry(tls=True)
    registry.on("*", "*", scripts.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"))
    error = refused(adapter, get(registry, tls=Tls(ca_file=evil_registry.ca_file)), UnreachableError)
    assert error.broken


# -- not TLS


def not_tls(adapter, host: str, port: int) -> None:
    """A greeting in TLS is answered at once, and known as not TLS."""
    began = time.monotonic()
    error = refused(adapter, Request("GET", Url("https", host, port, "/v2/")))
    assert error.not_tls
    assert "does not speak TLS" in str(error)
    assert "--allow-http-registry" in error.hint
    assert time.monotonic() - began < 5


def test_a_plain_registry_is_known_as_such(adapter, evil_registry):
    registry = evil_registry()
    for _ in range(5):
        not_tls(adapter, registry.address, registry.port)
    not_tls(adapter, "localhost", registry.port)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"HTTP/1.0 400 Bad\r\n\r\n", b"<html>", b"SSH-2.0-x\r\n", b"", b"\0" * 100],
)
def test_what_is_no_tls_record_is_not_tls(adapter, evil_registry, answer):
    def greet(exchange):
        exchange.sock.recv(65536)
        exchange.send(answer)
        return False

    registry = evil_registry()
    registry.greet = greet
    not_tls(adapter, registry.address, registry.port)


def test_a_reset_is_not_tls(adapter, evil_registry):
    def greet(exchange):
        exchange.sock.recv(1)
        exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        exchange.sock.close()
        return False

    registry = evil_registry()
    registry.greet = greet
    not_tls(adapter, registry.address, registry.port)


def test_pythons_http_server_is_not_tls(adapter):
    """It waits for a line end; every greeting holds one (the number of an extension is 10)."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        for _ in range(5):
            not_tls(adapter, "127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def test_uvicorn_is_not_tls(adapter):
    uvicorn = pytest.importorskip("uvicorn")

    async def app(scope, receive, send):
        raise AssertionError

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    sock = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])), daemon=True)
    thread.start()
    try:
        not_tls(adapter, "127.0.0.1", sock.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()


def test_docker_registry_is_not_tls(adapter, docker_registry):
    host, _, port = docker_registry.partition(":")
    not_tls(adapter, host, int(port))


def test_a_docker_registry_with_tls_is_believed(adapter, start_registry, authority):
    registry = start_registry(tls=authority)
    url = Url("https", "127.0.0.1", int(registry.host.partition(":")[2]), "/v2/")
    assert adapter.send(Request("GET", url, tls=Tls(ca_file=str(authority.certificate)))).status == 200
    assert not refused(adapter, Request("GET", url)).not_tls
    # Go answers plain http on a TLS port in plain http.
    assert adapter.send(Request("GET", url._replace(scheme="http"))).status == 400


# -- the first greeting, before the system's authorities are loaded (threads only: it is about start-up)


@pytest.fixture
def loaded(monkeypatch):
    contexts = []
    new_context = tls.new_context
    monkeypatch.setattr(tls, "new_context", lambda wanted: contexts.append(wanted) or new_context(wanted))
    return contexts


@pytest.fixture
def client():
    made = HttpClient()
    yield made
    made.close()


def ends() -> float:
    return time.monotonic() + 10


def test_a_plain_local_host_is_greeted_without_loading_the_authorities(client, evil_registry, get, loaded):
    registry = evil_registry()
    with pytest.raises(TlsError) as caught:
        client.send(get(registry)._replace(url=Url("https", "127.0.0.1", registry.port, "/v2/")), ends())
    assert caught.value.not_tls
    assert loaded == []


def test_a_local_host_with_tls_is_greeted_again_with_the_authorities(client, evil_registry, get, loaded, monkeypatch):
    registry = evil_registry(tls=True)
    monkeypatch.setenv("SSL_CERT_FILE", evil_registry.ca_file)
    assert client.send(get(registry), ends()).status == 200
    assert loaded == [Tls()]
    assert (registry.connections, registry.greetings) == (2, 1)
    assert client.send(get(registry), ends()).status == 200
    assert registry.connections == 2


def test_a_local_host_is_never_believed_by_the_bare_greeting(client, evil_registry, get, loaded):
    registry = evil_registry(tls=True)
    with pytest.raises(TlsError, match="not trusted") as caught:
        client.send(get(registry), ends())
    assert not caught.value.not_tls
    assert loaded == [Tls()]
    assert registry.requests == []


def test_T13_a_server_on_asyncio_ends_the_first_greeting_without_a_word_and_speaks_tls(
    client, get, authority, monkeypatch, tmp_path
):
    """It closes where others send an alert. That is no answer in something else, and no reason for plain http."""
    issued = authority.issue("127.0.0.1", "localhost")
    options = {"tls_cert": str(issued.certificate), "tls_key": str(issued.key)}
    with serve_in_thread(tmp_path / "registry", **options) as host:
        url = Url("https", "127.0.0.1", int(host.rpartition(":")[2]), "/v2/")
        with pytest.raises(TlsError, match="not trusted") as caught:
            client.send(Request("GET", url), ends())
        assert not caught.value.not_tls
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        trusting = HttpClient()
        assert trusting.send(Request("GET", url), ends()).status == 200
        trusting.close()


@pytest.mark.parametrize("change", [{"insecure_skip_verify": True}, {"ca_file": "given"}])
def test_a_greeting_that_loads_nothing_of_the_system_needs_no_rehearsal(client, evil_registry, get, change):
    registry = evil_registry(tls=True)
    if "ca_file" in change:
        change = {"ca_file": evil_registry.ca_file}
    assert client.send(get(registry, tls=Tls(**change)), ends()).status == 200
    assert registry.connections == 1


def test_a_distant_host_is_not_greeted_twice(client, evil_registry, get, loaded, monkeypatch):
    registry = evil_registry(tls=True, names=("registry.example.com",))
    monkeypatch.setenv("SSL_CERT_FILE", evil_registry.ca_file)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    assert client.send(get(registry, host="registry.example.com"), ends()).status == 200
    assert registry.connections == 1


def test_many_at_once_load_the_authorities_once(client, evil_registry, get, loaded, monkeypatch):
    from sealgate.transport import driver

    registry = evil_registry(tls=True)
    monkeypatch.setenv("SSL_CERT_FILE", evil_registry.ca_file)
    responses = driver.run(flow.gather([flow.send(get(registry)) for _ in range(10)]), sender=client.send)
    assert {response.status for response in responses} == {200}
    assert loaded == [Tls()]
