"""URLs that others give us: token realms, redirects, the next page of a list.

Stricter than RFC 3986: whatever two programs read differently (user information, backslashes, addresses written oddly,
control characters) is refused, so that the host that is judged is the host that is connected to (bypasses T09, T10, W31).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

from sealgate.errors import ProtocolError
from sealgate.transport.message import Url

_CHARS = 8192
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = rf"\[[0-9A-Fa-f:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})*"
_URL = rf"([A-Za-z][A-Za-z0-9+.-]*)://({_HOST})(?::([1-9][0-9]{{0,4}}))?(/[^?#]*)?(\?[^#]*)?(?:#.*)?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"


def parse_url(text: str) -> Url:
    """An absolute http(s) URL, its fragment dropped. Raises `ProtocolError`; the message never has the query.

    Host: lower case; a name of letters, digits, `-`, `_` and dots (none at its end), four decimal numbers, or IPv6.
    """
    _check_text(text)
    matched = re.fullmatch(_URL, text)
    if matched is None:
        raise _invalid(text, "user name or password in it" if "@" in text.partition("?")[0] else "not an absolute URL")
    scheme, host, port = matched[1].lower(), matched[2].lower(), matched[3]
    if scheme not in {"http", "https"}:
        raise _invalid(text, "only http and https are spoken")
    number = int(port) if port else 443 if scheme == "https" else 80
    if number > 65535:
        raise _invalid(text, "no such port")
    last = host.rpartition(".")[2]
    if host.startswith("["):
        host = _ipv6(host[1:-1], text)
    elif len(host) > 253 or (
        # The last label of a name is never a number (WHATWG URL, section 3.5): 127.1 and 0x7f.1 mean two things.
        (last.isdigit() or last.startswith("0x")) and re.fullmatch(rf"{_OCTET}(?:\.{_OCTET}){{3}}", host) is None
    ):
        raise _invalid(text, "no host that means one thing")
    target = (matched[4] or "/") + (matched[5] or "")
    if re.search("%(?![0-9A-Fa-f]{2})", target):
        raise _invalid(text, "a % that encodes nothing")
    return Url(scheme, host, number, quote(target, safe="!#$%&'()*+,/:;=?@[]~-._"))


def resolve_url(base: Url, location: str) -> Url:
    """`location`, absolute or relative to `base` (RFC 3986, section 5.2; RFC 9110, section 10.2.2).

    Raises `ProtocolError`.
    """
    _check_text(location)
    scheme = re.match("[A-Za-z][A-Za-z0-9+.-]*:", location)
    if scheme is not None:
        if not location.startswith("//", scheme.end()):
            raise _invalid(location, "a scheme without a host")
        return parse_url(location)
    if location.startswith("//"):
        return parse_url(f"{base.scheme}:{location}")
    # A path or query: only now urljoin, which reads hosts otherwise than we do.
    return parse_url(urljoin(f"{base.scheme}://{base.authority}{base.target}", location))


def _check_text(text: str) -> None:
    if not text or len(text) > _CHARS:
        raise ProtocolError(f"a server gave a URL of {len(text)} characters")
    if any(not "!" <= char <= "~" or char == "\\" for char in text):
        raise ProtocolError("a server gave a URL with characters that no URL has")


def _invalid(text: str, why: str) -> ProtocolError:
    """Show the URL up to its query, and nothing where a password may be."""
    shown = re.sub("//[^/]*@", "//…@", text.partition("?")[0].partition("#")[0])[:200]
    return ProtocolError(f"a server gave a URL that is refused: '{shown}': {why}")


def _ipv6(address: str, text: str) -> str:
    import ipaddress

    try:
        return ipaddress.IPv6Address(address).compressed
    except ValueError as error:
        raise _invalid(text, "no IPv6 address") from error
