"""Proxies: which URL goes through which, and what goes through them."""

from __future__ import annotations

import base64
import socket
import time

import pytest

from evil_registry import scripts
from sealgate.errors import AddressError, DeadlineError, ProtocolError, TlsError, UnreachableError, UsageError
from sealgate.transport import flow
from sealgate.transport.message import Request, Tls, Url
from sealgate.transport.proxy import Proxies, Proxy

SECRET = "hunter2-canary"
HOST = "registry.example.com"


@pytest.fixture
def proxy(evil_registry):
    """A proxy that leads everything to a plain registry, `proxy.registry`, or one with TLS, `proxy.secure`."""
    server = evil_registry()
    server.registry = evil_registry()
    server.secure = evil_registry(tls=True, names=(HOST,))
    server.on("CONNECT", "*", scripts.tunnel(server.secure.host))
    server.on("*", "/*", scripts.reply(200, b"through the proxy"))
    return server


def proxies(server, authorization: str | None = None, exempt: tuple[str, ...] = ()) -> Proxies:
    found = Proxy(server.address, server.port, authorization)
    return Proxies(found, found, exempt)


def send(adapter, request: Request):
    return adapter.run(flow.send(request))


# -- through a proxy


def test_plain_requests_name_their_whole_url(adapters, proxy):
    adapter = adapters(proxies=proxies(proxy))
    response = send(adapter, Request("GET", Url("http", HOST, 5000, "/v2/?a=b"), (("X", "1"),)))
    assert (response.body, response.peer) == (b"through the proxy", proxy.address)
    (seen,) = proxy.requests
    assert seen.target == f"http://{HOST}:5000/v2/?a=b"
    assert seen.headers["host"] == f"{HOST}:5000"
    assert seen.headers["x"] == "1"
    assert "proxy-authorization" not in seen.headers


def test_tls_goes_through_a_tunnel_and_is_checked_at_its_end(adapters, proxy, evil_registry):
    adapter = adapters(proxies=proxies(proxy))
    url = Url("https", HOST, 443, "/v2/")
    assert send(adapter, Request("GET", url, tls=Tls(ca_file=evil_registry.ca_file))).status == 200
    assert send(adapter, Request("GET", url, tls=Tls(ca_file=evil_registry.ca_file))).status == 200
    assert [seen.target for seen in proxy.requests] == [f"{HOST}:443"]  # kept, and used again
    assert len(proxy.secure.requests) == 2
    for bad in (Tls(), Tls(ca_file=evil_registry.ca_file, server_name="other.example.com")):
        with pytest.raises(TlsError) as caught:
            send(adapter, Request("GET", url, tls=bad))
        assert not caught.value.not_tls
    assert len(proxy.secure.requests) == 2


def test_a_tunnel_to_a_plain_server_is_not_tls(adapters, proxy):
    adapter = adapters(proxies=proxies(proxy))
    proxy.on("CONNECT", "*", scripts.tunnel(proxy.registry.host))
    with pytest.raises(TlsError) as caught:
        send(adapter, Request("GET", Url("https", HOST, 443, "/v2/")))
    assert caught.value.not_tls


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials_go_to_the_proxy_and_only_there(adapters, proxy, evil_registry, scheme):
    authorization = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    adapter = adapters(proxies=proxies(proxy, authorization))
    request = Request("GET", Url(scheme, HOST, 443, "/"), tls=Tls(ca_file=evil_registry.ca_file))
    assert send(adapter, request).status in {200, 404}
    assert proxy.requests[0].headers["proxy-authorization"] == authorization
    assert all("proxy-authorization" not in seen.headers for seen in proxy.secure.requests)


def test_a_request_cannot_bring_its_own_proxy_credentials(adapters, proxy):
    with pytest.raises(ProtocolError):
        send(
            adapters(proxies=proxies(proxy)),
            Request("GET", Url("http", HOST, 80, "/"), (("Proxy-Authorization", SECRET),)),
        )
    assert not proxy.connections


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_credentials(adapters, proxy, scheme):
    proxy.on("*", "*", scripts.reply(407, headers={"Proxy-Authenticate": "Basic"}))
    adapter = adapters(proxies=proxies(proxy, f"Basic {SECRET}"))
    with pytest.raises(UnreachableError) as caught:
        send(adapter, Request("GET", Url(scheme, HOST, 443, f"/?{SECRET}")))
    assert "407" in str(caught.value)
    assert "credentials" in caught.value.hint
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert not caught.value.broken


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_not_taken_for_the_registry(adapters, scheme):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = Proxy("127.0.0.1", port, f"Basic {SECRET}")
    with pytest.raises(UnreachableError) as caught:
        send(adapters(proxies=Proxies(found, found, ())), Request("GET", Url(scheme, HOST, 443, "/")))
    assert f"the proxy for {HOST}" in str(caught.value)
    assert "registry" not in (caught.value.hint or "")
    assert SECRET not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("status", [403, 500, 502, 301])
def test_a_proxy_that_opens_no_tunnel(adapters, proxy, status):
    proxy.on("CONNECT", "*", scripts.reply(status, b"words"))
    with pytest.raises(UnreachableError) as caught:
        send(adapters(proxies=proxies(proxy)), Request("GET", Url("https", HOST, 443, "/")))
    assert str(status) in str(caught.value)
    assert not caught.value.broken


@pytest.mark.parametrize(
    "script",
    [
        scripts.raw(b""),
        scripts.raw(b"SSH-2.0-x\r\n"),
        scripts.raw(b"HTTP/1.1 200 OK\r\n\r\nhello"),
        scripts.endless_headers(),
    ],
)
def test_a_proxy_that_speaks_no_http(adapters, proxy, script):
    proxy.on("CONNECT", "*", script)
    with pytest.raises((UnreachableError, ProtocolError, TlsError, Exception)) as caught:
        send(adapters(proxies=proxies(proxy)), Request("GET", Url("https", HOST, 443, "/")))
    assert caught.value.code in {"registry-unreachable", "protocol-violation", "limit-exceeded", "tls-failed"}
    assert proxy.secure.requests == []


@pytest.mark.parametrize("script", [scripts.stall(), scripts.drip(b"HTTP/1.1 200 OK\r\nX:" + b"x" * 5000, pause=0.05)])
def test_D14_a_proxy_that_is_slow(adapters, proxy, script):
    proxy.on("CONNECT", "*", script)
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        send(adapters(proxies=proxies(proxy)), Request("GET", Url("https", HOST, 443, "/"), seconds=0.3))
    assert time.monotonic() - began < 5


def test_a_proxy_that_is_not_there(adapters):
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = Proxy("127.0.0.1", server.getsockname()[1], f"Basic {SECRET}")
    for scheme in ("http", "https"):
        with pytest.raises(UnreachableError) as caught:
            send(adapters(proxies=Proxies(gone, gone, ())), Request("GET", Url(scheme, HOST, 443, "/")))
        assert SECRET not in str(caught.value)


def test_exempt_and_loopback_hosts_are_asked_directly(adapters, proxy, get):
    adapter = adapters(proxies=proxies(proxy, exempt=("10.0.0.0/8",)))
    for host in ("127.0.0.1", "localhost"):
        assert send(adapter, get(proxy.registry, host=host)).status == 200
    assert not proxy.connections


def test_without_proxies_the_environment_means_nothing(adapters, proxy, get, monkeypatch):
    """T23: only the command line reads it, and hands over what it found."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    assert send(adapters(), get(proxy.registry)).status == 200
    assert not proxy.connections


def test_T23_netrc_means_nothing(adapters, evil_registry, get, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    registry = evil_registry()
    send(adapters(), get(registry))
    assert "authorization" not in registry.requests[0].headers


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "::1", "fd00::1", "0x7f000001", "127.1", "nas.local"])
def test_T09_no_inward_address_is_asked_for_through_a_proxy(adapters, proxy, host):
    adapter = adapters(proxies=proxies(proxy))
    for scheme in ("http", "https"):
        with pytest.raises(AddressError):
            send(adapter, Request("GET", Url(scheme, host, 80, "/"), addresses="public"))
    assert not proxy.connections
    assert send(adapter, Request("GET", Url("http", "93.184.215.14", 80, "/"), addresses="public")).status == 200


# -- which URL goes through which


def from_environment(**environ: str) -> Proxies:
    return Proxies.from_environment(environ)


def test_the_environment_is_read_in_either_case():
    found = from_environment(HTTP_PROXY="http://a:1", https_proxy="b:2", no_proxy="x, y ,,.Z")
    assert (found.http, found.https) == (Proxy("a", 1, None), Proxy("b", 2, None))
    assert found.exempt == ("x", "y", ".z")
    assert from_environment(HTTPS_PROXY="http://upper", https_proxy="http://lower").https == Proxy("upper", 80, None)
    assert from_environment() == Proxies(None, None, ())
    assert from_environment(HTTPS_PROXY="") == Proxies(None, None, ())


def test_the_proxy_header_of_a_cgi_request_is_not_a_setting():
    assert from_environment(HTTP_PROXY="http://evil:1", REQUEST_METHOD="GET").http is None


def test_user_and_password_become_a_header_that_is_not_shown():
    found = from_environment(HTTPS_PROXY=f"http://me%40work:{SECRET}%3a%20@proxy.test:3128").https
    assert found is not None
    assert found.authorization == "Basic " + base64.b64encode(f"me@work:{SECRET}: ".encode()).decode()
    assert SECRET not in repr(found)
    assert found.authorization not in repr(Proxies(found, found, ()))


@pytest.mark.parametrize(
    "value",
    [
        f"socks5://me:{SECRET}@proxy.test:1080",
        f"https://me:{SECRET}@proxy.test",
        f"http://me:{SECRET}@proxy.test:notaport",
        f"http://me:{SECRET}@proxy.test:99999",
        f"http://me:{SECRET}@[::1",
        f"http://me:{SECRET}@",
        f"http://me:{SECRET}@pro xy",
        "http://proxy.test\r\nX: 1:80",
        "://",
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_usage_error_without_its_value(value):
    with pytest.raises(UsageError) as caught:
        from_environment(HTTPS_PROXY=value)
    assert caught.value.code == "usage"
    assert "HTTPS_PROXY" in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "a.test", 443, False),
        ("*", "a.test", 443, True),
        ("a.test", "a.test", 443, True),
        ("a.test", "b.a.test", 443, True),
        ("A.Test", "a.test", 443, True),
        ("a.test", "ba.test", 443, False),
        ("a.test", "a.test.evil", 443, False),
        (".a.test", "a.test", 443, False),
        (".a.test", "b.a.test", 443, True),
        ("*.a.test", "a.test", 443, False),
        ("*.a.test", "b.a.test", 443, True),
        ("*a.test", "ba.test", 443, False),
        ("a.test:443", "a.test", 443, True),
        ("a.test:443", "a.test", 5000, False),
        ("a.test:x", "a.test", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("1.2.3", "10.1.2.3", 443, False),
        ("2.3", "10.1.2.3", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "a.test", 443, False),
        ("10.0.0.0/99", "10.1.2.3", 443, False),
        ("fd00::1", "fd00::1", 443, True),
        ("fd00::1", "fd00::2", 443, False),
        ("[fd00::1]", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 80, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("", "localhost", 443, True),
        ("", "127.0.0.1", 443, True),
        ("", "127.255.0.1", 443, True),
        ("", "::1", 443, True),
        ("", "127.evil.test", 443, False),
        ("", "localhost.evil.test", 443, False),
        (",,", "a.test", 443, False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(no_proxy, host, port, direct):
    found = from_environment(HTTPS_PROXY="http://proxy.test:1", HTTP_PROXY="http://proxy.test:2", NO_PROXY=no_proxy)
    assert (found.for_url(Url("https", host, port, "/")) is None) is direct
    assert (found.for_url(Url("http", host, port, "/")) is None) is direct


def test_each_scheme_has_its_own_proxy():
    found = from_environment(HTTPS_PROXY="http://secure.test:1", HTTP_PROXY="http://plain.test:2")
    assert found.for_url(Url("https", "a.test", 443, "/")) == Proxy("secure.test", 1, None)
    assert found.for_url(Url("http", "a.test", 80, "/")) == Proxy("plain.test", 2, None)


# -- not through a proxy


def test_what_goes_direct_never_meets_the_proxy(adapters, proxy, evil_registry, monkeypatch):
    """A machine's metadata service answers with credentials; through a proxy they would be the proxy's."""
    there = evil_registry()
    there.on("GET", "/v2/", scripts.reply(200, b"direct"))
    real = socket.getaddrinfo

    def resolve(host, *rest, **more):
        return real(there.address if host in {HOST, HOST.encode()} else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    adapter = adapters(proxies=proxies(proxy))
    request = Request("GET", Url("http", HOST, there.port, "/v2/"))
    for direct, body in ((True, b"direct"), (False, b"through the proxy"), (True, b"direct")):
        # The kept connection of either is not the other's.
        assert send(adapter, request._replace(direct=direct)).body == body
    assert len(proxy.requests) == 1
    assert len(there.requests) == 2
