"""Quantities, versions, addresses and URLs in CEL, as Kubernetes has them: pure, and bounded by the length of their texts.

Each is an object with its `kind` and its canonical text, so that CEL's `==` says of two of them what Kubernetes does. Errors
are `ValueError`s: the engine makes its own of them.

Source: Kubernetes, apiserver/pkg/cel/library: quantity, semverlib, ip, cidr, urls; apimachinery/pkg/api/resource: Quantity.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from sealgate import limits

_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?[0-9]{1,2}))?"
)
_SCALE = {name: Fraction(1024) ** at for at, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)} | {
    name: Fraction(1000) ** at for at, name in enumerate("num", -3)
} | {name: Fraction(1000) ** at for at, name in enumerate("kMGTPE", 1)}  # fmt: skip
_NUMBER = r"(0|[1-9][0-9]{0,17})"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_LOOSE = re.compile(r"[vV]?([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:\.([0-9]{1,18}))?([-+].*)?")
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]]|%[0-9A-Fa-f]{2})*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_WORDS = 64 * 1024
_INT = 2**63


def _made(kind: str, text: str) -> dict[str, str]:
    return {"kind": kind, "value": text}


def _of(kind: str, value: object) -> str:
    """The text of an object of a kind."""
    text = value.get("value") if isinstance(value, dict) and value.get("kind") == kind else None
    if not isinstance(text, str):
        raise ValueError(f"it is no {kind}")  # noqa: TRY004 - the engine makes its errors of ValueErrors
    return text


def _short(text: object, what: str) -> str:
    if not isinstance(text, str) or len(text) > limits.PROGRAM_VALUE_CHARS:
        raise ValueError(f"it is no {what}")
    return text


def holds(read: Callable[..., Any]) -> Callable[..., bool]:
    """Whether a reader takes what it is given."""

    def found(*given: Any) -> bool:
        try:
            read(*given)
        except ValueError:
            return False
        return True

    return found


# -- quantities


def quantity(text: str) -> dict[str, str]:
    """`1.5Gi`, `200m`, `1e3`."""
    found = _QUANTITY.fullmatch(_short(text, "quantity"))
    if found is None:
        raise ValueError(f"{text[:60]!r} is no quantity")
    scale = _SCALE[found[2]] if found[2] else Fraction(10) ** int(found[3] or 0)
    return _amount(Fraction(found[1]) * scale)


def _amount(number: Fraction) -> dict[str, str]:
    text = str(number)
    if len(text) > 2 * limits.PROGRAM_VALUE_CHARS:
        raise ValueError("the quantity is too long")
    return _made("quantity", text)


def _number(value: object) -> Fraction:
    text = _of("quantity", value)
    if len(text) > 2 * limits.PROGRAM_VALUE_CHARS or re.fullmatch(r"-?[0-9]+(?:/[1-9][0-9]*)?", text) is None:
        raise ValueError("it is no quantity")
    return Fraction(text)


def _more(value: object) -> Fraction:
    """A quantity, a whole number, or the text of a quantity."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    return _number(quantity(value) if isinstance(value, str) else value)


def add(one: object, other: object) -> dict[str, str]:
    """Their sum."""
    return _amount(_number(one) + _more(other))


def sub(one: object, other: object) -> dict[str, str]:
    """What is left."""
    return _amount(_number(one) - _more(other))


def sign(value: object) -> int:
    """1, 0 or -1."""
    number = _number(value)
    return (number > 0) - (number < 0)


def is_integer(value: object) -> bool:
    """Whether it is a whole number of 64 bits."""
    number = _number(value)
    return number.denominator == 1 and -_INT <= number < _INT


def as_integer(value: object) -> int:
    """The whole number that it is."""
    if not is_integer(value):
        raise ValueError("it is no whole number of 64 bits")
    return int(_number(value))


def as_float(value: object) -> float:
    """About as much."""
    return float(_number(value))


# -- versions


class Version(NamedTuple):
    """As in semver.org 2.0.0, section 11: a pre-release comes before its release; build metadata decides nothing."""

    numbers: tuple[int, int, int]
    release: bool
    before: tuple[tuple[int, int, str], ...]


def semver(text: str, normalized: bool = False) -> dict[str, str]:  # noqa: FBT001, FBT002 - positional in CEL
    """`1.2.3-rc.1`. With `normalized`: also `v1`, `1.2` and `01.2.3`."""
    text = _short(text, "version")
    loose = _LOOSE.fullmatch(text) if normalized else None
    if loose is not None:
        text = ".".join(str(int(part or "0")) for part in loose.groups()[:3]) + (loose[4] or "")
    found = _SEMVER.fullmatch(text)
    zeros = found is not None and any(
        len(part) > 1 and part.isdigit() and part[0] == "0" for part in (found[4] or "").split(".")
    )
    if found is None or zeros:
        raise ValueError(f"{text[:60]!r} is no version")
    return _made("semver", ".".join(found.groups()[:3]) + (f"-{found[4]}" if found[4] else ""))


def _version(value: object) -> Version:
    found = _SEMVER.fullmatch(_short(_of("semver", value), "version"))
    if found is None:
        raise ValueError("it is no version")
    parts = found[4].split(".") if found[4] else []
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return Version((int(found[1]), int(found[2]), int(found[3])), not parts, before)


def part_of(at: int) -> Callable[[object], int]:
    """`major`, `minor` or `patch`."""
    return lambda value: _version(value).numbers[at]


def compare(one: object, other: object) -> int:
    """Of two quantities, or of two versions."""
    read: Callable[[object], Any] = _version if isinstance(one, dict) and one.get("kind") == "semver" else _number
    first, second = read(one), read(other)
    return int(first > second) - int(first < second)


# -- addresses


def address(text: str) -> dict[str, str]:
    """An IP address, without a zone, and no IPv4 within IPv6."""
    found = ipaddress.ip_address(_short(text, "address"))
    if isinstance(found, ipaddress.IPv6Address) and (found.ipv4_mapped is not None or found.scope_id is not None):
        raise ValueError("IPv4 within IPv6, or a zone")
    return _made("ip", found.compressed)


def is_canonical(text: str) -> bool:
    """Whether an address is written as it should be."""
    return address(text)["value"] == text


def _address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(_of("ip", value))


def family(value: object) -> int:
    """4 or 6."""
    return _address(value).version


def is_kind(name: str) -> Callable[[object], bool]:
    """One of Go's questions about an address (net/netip)."""

    def found(value: object) -> bool:
        one = _address(value)
        known = {
            "isUnspecified": one.is_unspecified, "isLoopback": one.is_loopback,
            "isLinkLocalUnicast": one.is_link_local, "isLinkLocalMulticast": _is_near(one),
        }  # fmt: skip
        if name != "isGlobalUnicast":
            return known[name]
        broadcast = one == ipaddress.IPv4Address("255.255.255.255")
        return not (one.is_unspecified or one.is_loopback or one.is_multicast or one.is_link_local or broadcast)

    return found


def _is_near(one: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(one, ipaddress.IPv4Address):
        return one in ipaddress.IPv4Network("224.0.0.0/24")
    return one.packed[0] == 0xFF and one.packed[1] & 0x0F == 2


def text_of(value: object) -> str:
    """An address or a network as text: `string(ip(…))`."""
    return _of("cidr" if isinstance(value, dict) and value.get("kind") == "cidr" else "ip", value)


_Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def network(text: str) -> dict[str, str]:
    """An address and how many bits of it count: `10.0.0.1/8`."""
    plain, slash, bits = _short(text, "network").partition("/")
    if not slash or re.fullmatch(r"0|[1-9][0-9]{0,2}", bits) is None:
        raise ValueError("it is no network")
    ipaddress.ip_interface(f"{address(plain)['value']}/{bits}")
    return _made("cidr", f"{address(plain)['value']}/{bits}")


def _network(value: object) -> _Network:
    return ipaddress.ip_interface(_of("cidr", value))


def contains_ip(value: object, other: object) -> bool:
    """Whether an address is in a network."""
    return _address(address(other) if isinstance(other, str) else other) in _network(value).network


def contains_cidr(value: object, other: object) -> bool:
    """Whether a network is in another one."""
    wide = _network(value).network
    narrow = _network(network(other) if isinstance(other, str) else other).network
    return wide.version == narrow.version and wide.prefixlen <= narrow.prefixlen and narrow.network_address in wide


def ip_of(value: object) -> dict[str, str]:
    """The address of a network, as it was written."""
    return _made("ip", _network(value).ip.compressed)


def masked(value: object) -> dict[str, str]:
    """The network without the bits that do not count."""
    return _made("cidr", str(_network(value).network))


def prefix_length(value: object) -> int:
    """How many bits count."""
    return _network(value).network.prefixlen


# -- URLs


def url(text: str) -> dict[str, str]:
    """An absolute URL, or an absolute path."""
    import urllib.parse

    if len(text) > _WORDS or any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        raise ValueError("it is no URL")
    found = urllib.parse.urlsplit(text)
    port = found.port  # raises ValueError for what is none
    absolute = _SCHEME.fullmatch(found.scheme) is not None if found.scheme else text.startswith("/")
    if not absolute or port == -1 or re.search(r"%(?![0-9A-Fa-f]{2})", found.path) or " " in found.netloc:
        raise ValueError("it is no absolute URL")
    return _made("url", text)


def part_of_url(name: str) -> Callable[[object], Any]:
    """`getScheme`, `getHost`, `getHostname`, `getPort`, `getEscapedPath` or `getQuery`."""

    def found(value: object) -> Any:
        import urllib.parse

        text = _of("url", value)
        url(text)
        one = urllib.parse.urlsplit(text)
        host = one.netloc.rpartition("@")[2]
        if name == "getQuery":
            pairs = urllib.parse.parse_qsl(one.query, keep_blank_values=True, max_num_fields=limits.PROGRAM_ITEMS)
            query: dict[str, list[str]] = {}
            for key, each in pairs:
                query.setdefault(key, []).append(each)
            return query
        if name == "getHostname":
            return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return {
            "getScheme": one.scheme.lower(), "getHost": host, "getPort": str(one.port) if one.port is not None else "",
            "getEscapedPath": one.path if _PATH.fullmatch(one.path) else urllib.parse.quote(one.path, safe="/%:@!$&'()*+,;=~"),
        }[name]  # fmt: skip

    return found
