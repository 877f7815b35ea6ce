"""Which addresses are inward, however they are written; and that nothing is sent there."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import AddressError
from sealgate.transport import address
from sealgate.transport.message import Request, Url

PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1", "2002:101:101::1"]
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0",
    "0.1.2.3", "255.255.255.255", "240.0.0.1", "224.0.0.1", "198.18.0.1", "192.0.2.1", "192.0.0.192", "100.100.100.200",
    "::1", "::", "fd00::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::1", "2002:a00:1::", "fd00:ec2::254", "100::1", "::10.0.0.1",
    "64:ff9b:1::a00:1",
]  # fmt: skip
LINK_LOCAL = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "::169.254.169.254", "::100.100.100.200",
    "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0",
]  # fmt: skip
ODD = ["", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.1.1.1.1", "not an address", "1.1.1.1 ", "::g"]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed_everywhere(text):
    for rule in ("any", "not-link-local", "public"):
        address.check(text, rule, "registry.test")
    assert address.is_public(text)


@pytest.mark.parametrize("text", PRIVATE + LINK_LOCAL)
def test_T09_T13_inward_addresses_are_not_public(text):
    with pytest.raises(AddressError) as caught:
        address.check(text, "public", "registry.test")
    assert caught.value.code == "address-refused"
    assert "registry.test" in str(caught.value)
    assert not address.is_public(text)
    address.check(text, "any", "registry.test")


@pytest.mark.parametrize("text", LINK_LOCAL)
def test_T09_where_machines_keep_their_credentials_is_refused_to_private_registries_too(text):
    with pytest.raises(AddressError):
        address.check(text, "not-link-local", "registry.test")


@pytest.mark.parametrize("text", [text for text in PRIVATE if text not in LINK_LOCAL])
def test_private_registries_may_lead_to_private_addresses(text):
    address.check(text, "not-link-local", "registry.test")


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_plain_address_is_refused(text):
    for rule in ("public", "not-link-local"):
        with pytest.raises(AddressError):
            address.check(text, rule, "registry.test")
    assert not address.is_public(text)


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_ever_public(found):
    mapped = found.version == 6 and found.ipv4_mapped is not None and found.ipv4_mapped.is_global
    if (found.is_private or found.is_loopback or found.is_link_local or found.is_multicast) and not mapped:
        assert not address.is_public(str(found))


@given(st.ip_addresses(v=4))
def test_private_hosts_are_loopback_and_rfc_1918(found):
    networks = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    expected = any(found in ipaddress.ip_network(network) for network in networks)
    assert address.is_private(str(found)) is expected
    assert address.is_literal(str(found))


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.20.0.1", "192.168.0.1", "nas.local", "a.localhost"],
)
def test_hosts_that_are_local_by_their_text(host):
    assert address.is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.evil.test", "127.0.0.1.evil.test", "10.evil", "localhost.evil.test", "xlocalhost", "local", "nas.local.evil.test",
        "172.32.0.1", "172.15.0.1", "192.169.0.1", "11.0.0.1", "127.1", "127.0.0.01", "127.0.0.256", "0x7f.0.0.1", "", ".",
        "registry.example.com", "1.1.1.1", "2606:4700::1", "169.254.169.254", "\u0661\u0660.0.0.1",
    ],
)  # fmt: skip
def test_T13_hosts_that_only_look_local_are_not(host):
    """Else they would be asked in plain http when somebody on the way makes https fail."""
    assert not address.is_private(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "a.0x1", "1.2.3.4.5", "0x"]
)
def test_W31_hosts_that_some_program_takes_for_an_address(host):
    assert address.is_literal(host)


@pytest.mark.parametrize("host", ["registry.test", "1.test", "0x7f.test", "a0x1", "x", "0xyz", ""])
def test_hosts_that_are_names(host):
    assert not address.is_literal(host)


# -- on the wire


def resolve(monkeypatch, *found: str) -> None:
    real = socket.getaddrinfo

    def fake(host, port, *rest, **more):
        if host == "public.example.com":
            return [answer for text in found for answer in real(text, port, type=socket.SOCK_STREAM)]
        return real(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["public.example.com", "127.0.0.1", "localhost"])
def test_T09_W33_nothing_is_sent_to_an_inward_address(adapter, evil_registry, monkeypatch, scheme, host):
    trap = evil_registry.trap()
    resolve(monkeypatch, "127.0.0.1")
    request = Request("GET", Url(scheme, host, trap.port, "/token"), (("Authorization", "Basic c2VjcmV0"),))
    for _ in range(2):
        with pytest.raises(AddressError) as caught:
            adapter.send(request._replace(addresses="public"))
        assert "127.0.0.1" in str(caught.value) or "::1" in str(caught.value)
    assert not trap.connections


def test_the_twin_the_same_name_without_a_rule(adapter, evil_registry, monkeypatch):
    registry = evil_registry()
    resolve(monkeypatch, "127.0.0.1")
    request = Request("GET", Url("http", "public.example.com", registry.port, "/v2/"))
    assert adapter.send(request).peer == "127.0.0.1"
    assert adapter.send(request._replace(addresses="not-link-local")).peer == "127.0.0.1"


def test_W33_one_inward_address_among_public_ones_refuses_the_name(adapter, evil_registry, monkeypatch):
    trap = evil_registry.trap()
    resolve(monkeypatch, "127.0.0.1", "93.184.215.14")
    with pytest.raises(AddressError):
        adapter.send(Request("GET", Url("http", "public.example.com", trap.port, "/"), addresses="public"))
    resolve(monkeypatch, "93.184.215.14", "127.0.0.1")
    with pytest.raises(AddressError):
        adapter.send(Request("GET", Url("http", "public.example.com", trap.port, "/"), addresses="public"))
    assert not trap.connections


def test_W33_a_connection_made_without_the_rule_is_not_used_under_it(adapter, evil_registry, monkeypatch):
    registry = evil_registry()
    resolve(monkeypatch, "127.0.0.1")
    request = Request("GET", Url("http", "public.example.com", registry.port, "/v2/"))
    assert adapter.send(request).status == 200
    with pytest.raises(AddressError):
        adapter.send(request._replace(addresses="public"))
    assert len(registry.requests) == 1


def test_W33_the_name_is_asked_for_once_a_connection(adapter, evil_registry, monkeypatch):
    """What was judged is what is connected to: there is no second answer."""
    registry = evil_registry()
    answers = []
    real = socket.getaddrinfo

    def rebinding(host, port, *rest, **more):
        if host != "public.example.com":
            return real(host, port, *rest, **more)
        answers.append(host)
        return real("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert adapter.send(Request("GET", Url("http", "public.example.com", registry.port, "/v2/"))).status == 200
    assert len(answers) == 1


def test_ipv6(adapter, evil_registry, get):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        registry = evil_registry(address="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    response = adapter.send(get(registry))
    assert response.peer == "::1"
    assert registry.requests[0].headers["host"] == f"[::1]:{registry.port}"
    with pytest.raises(AddressError):
        adapter.send(get(registry, addresses="public"))


def test_the_next_address_is_tried_when_one_refuses(adapter, evil_registry, monkeypatch):
    registry = evil_registry()
    resolve(monkeypatch, "127.0.0.2", "127.0.0.1")  # the server listens on 127.0.0.1 only
    response = adapter.send(Request("GET", Url("http", "public.example.com", registry.port, "/v2/")))
    assert response.peer == "127.0.0.1"
