"""Which network addresses a name given by somebody else may lead to (bypasses T09, T13, W33)."""

from __future__ import annotations

from sealgate.errors import AddressError
from sealgate.transport.message import Addresses


def check(address: str, rule: Addresses, host: str) -> None:
    """Raise `AddressError` when `address` (an IP literal that `host` resolved to) is outside `rule`."""
    if rule == "any":
        return
    import ipaddress

    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    if found.is_link_local or (rule == "public" and not found.is_global):
        raise AddressError(
            f"{host} leads to {address}, which is not a public address",
            hint="a public registry must not send its clients inward; nothing was sent there",
        )


def is_literal(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    return ":" in host or host.replace(".", "").isdigit()


def is_private(host: str) -> bool:
    """Whether the text of `host` alone says that it is local: loopback, RFC 1918, `localhost`, `.local`, `.localhost`.

    These are the hosts that cosign (go-containerregistry) tries by https first and then by plain http.
    """
    if host == "localhost" or host.endswith((".local", ".localhost")) or host.startswith("127.") or host == "::1":
        return True
    if not is_literal(host):
        return False
    import ipaddress

    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or any(
        found in ipaddress.ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    )
