"""Which network addresses a name given by somebody else may lead to (bypasses T09, T13, W33)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import AddressError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from sealgate.transport.message import Addresses

_METADATA = frozenset({"100.100.100.200", "192.0.0.192", "fd00:ec2::254"})
"""Where clouds hand out credentials, besides link-local addresses (Alibaba, Oracle, AWS over IPv6)."""


def check(address: str, rule: Addresses, host: str) -> None:
    """Raise `AddressError` when `address` (an IP literal that `host` resolved to) is outside `rule`."""
    if rule == "any":
        return
    found = _parse(address)
    if found is None:
        raise AddressError(f"{host} leads to {ascii(address)}, which is not a plain address")
    if rule == "public" and not _is_public(found):
        raise AddressError(
            f"{host} leads to {address}, which is not a public address",
            hint="a public registry must not send its clients inward; nothing was sent there",
        )
    meant = (found, *_carried(found))
    if rule == "not-local" and any(each.is_loopback or each.is_unspecified for each in meant):
        raise AddressError(
            f"{host} leads to {address}, which is this machine itself",
            hint="who asks from elsewhere must not reach it; nothing was sent there",
        )
    if any(each.is_link_local or str(each) in _METADATA for each in meant):
        raise AddressError(
            f"{host} leads to {address}, where only a machine's own services answer",
            hint="a registry must not send its clients there; nothing was sent",
        )


def check_name(host: str, rule: Addresses) -> None:
    """Judge what the text of `host` alone tells, where a proxy will resolve it. Raises `AddressError`."""
    if rule == "any":
        return
    if is_literal(host):
        check(host, rule, host)
    elif rule == "public" and is_private(host):
        raise AddressError(f"{host} is a local name", hint="a public registry must not send its clients inward")
    elif rule == "not-local" and (host == "localhost" or host.endswith(".localhost")):
        raise AddressError(f"{host} is this machine itself", hint="who asks from elsewhere must not reach it")


_STRICTNESS: tuple[Addresses, ...] = ("any", "not-link-local", "not-local", "public")


def stricter(first: Addresses, second: Addresses) -> Addresses:
    """The rule that allows less; each of them allows nothing that one before it does not."""
    return max(first, second, key=_STRICTNESS.index)


def is_public(address: str) -> bool:
    """Whether an IP literal is globally reachable; False for anything that is not an address."""
    found = _parse(address)
    return found is not None and _is_public(found)


def is_literal(host: str) -> bool:
    """Whether `host` is an address rather than a name, however oddly written: `127.1` and `0x7f000001` are (W31)."""
    last = host.rpartition(".")[2]
    return ":" in host or last.isdigit() or (last.startswith(("0x", "0X")) and _is_hex(last[2:]))


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address by its text."""
    return host in {"localhost", "::1"} or (_octets(host) or [0])[0] == 127


def is_private(host: str) -> bool:
    """Whether the text of `host` alone says that it is local: loopback, RFC 1918, `localhost`, `.local`, `.localhost`.

    These are the hosts that cosign (go-containerregistry) tries by https first and then by plain http.
    """
    if is_loopback(host) or host.endswith((".local", ".localhost")):
        return True
    octets = _octets(host)
    if octets is None:
        return False
    first, second = octets[:2]
    return first == 10 or (first == 172 and 16 <= second < 32) or (first == 192 and second == 168)


def _octets(host: str) -> list[int] | None:
    """The four numbers of a dotted IPv4 address, written as everybody writes it. (`ipaddress` costs 4 ms of start-up.)"""
    parts = host.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        return None
    octets = [int(part) for part in parts]
    return octets if [str(octet) for octet in octets] == parts and max(octets) < 256 else None


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """The address that is meant: IPv6 forms that carry an IPv4 address (mapped, 6to4, NAT64) are that one."""
    import ipaddress

    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if found in ipaddress.ip_network("64:ff9b::/96"):  # RFC 6052
            return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        return found.ipv4_mapped or found.sixtofour or found
    return found


def _carried(found: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an address may stand for which is not public itself: IPv4-compatible (RFC 4291, section
    2.5.5.1), and local-use NAT64 (RFC 8215), whose networks have a /48, /56, /64 or /96 (RFC 6052, section 2.2).
    """
    import ipaddress

    number = int(found)
    forms: tuple[int, ...] = ()
    if found.version == 6 and 1 < number < 1 << 32:
        forms = (number,)
    elif found.version == 6 and number >> 80 == 0x64FF9B0001:
        forms = (
            (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,
            (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF,
            number >> 24,
            number,
        )
    return tuple(ipaddress.IPv4Address(each & 0xFFFFFFFF) for each in forms if each & 0xFFFFFFFF)


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    inward = found.is_multicast or found.is_reserved or found.is_unspecified or getattr(found, "is_site_local", False)
    return found.is_global and not inward and str(found) not in _METADATA
