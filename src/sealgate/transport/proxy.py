"""Proxies from the environment, read as Go's `http.ProxyFromEnvironment` reads them.

`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and their lower-case twins. Loopback hosts are never proxied. Only the command line
reads the environment; servers are configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sealgate.errors import UnreachableError, UsageError
from sealgate.transport import address
from sealgate.transport.message import Url


class Proxy(NamedTuple):
    """An HTTP proxy: plain http to the proxy, CONNECT for https targets."""

    host: str
    port: int
    authorization: str | None
    """A ready `Proxy-Authorization` value. Never printed."""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


class Proxies(NamedTuple):
    """Which proxy serves which URL."""

    http: Proxy | None
    https: Proxy | None
    exempt: tuple[str, ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Proxies:
        """Read the variables. Raises `UsageError` for a proxy URL that is not `http://host:port`."""

        def value(name: str) -> str:
            return environ.get(name.upper()) or environ.get(name.lower()) or ""

        http = "" if "REQUEST_METHOD" in environ else value("http_proxy")  # httpoxy, CVE-2016-5386
        exempt = tuple(item.strip().lower() for item in value("no_proxy").split(",") if item.strip())
        return cls(_parse(http, "HTTP_PROXY"), _parse(value("https_proxy"), "HTTPS_PROXY"), exempt)

    def describe(self) -> str:
        """What goes through which, for people; never the credentials."""
        found = [
            f"{scheme} goes through {proxy.host}:{proxy.port}"
            for scheme, proxy in (("https", self.https), ("http", self.http))
            if proxy is not None
        ]
        return f"proxies: {', '.join(found) or 'none'}" + (f"; not for {', '.join(self.exempt)}" if self.exempt else "")

    def for_url(self, url: Url) -> Proxy | None:
        """The proxy to use for `url`, or None."""
        proxy = self.https if url.scheme == "https" else self.http
        if proxy is None or address.is_loopback(url.host):
            return None
        for item in self.exempt:
            if item == "*" or _exempts(item, url.host, url.port):
                return None
        return proxy


def _exempts(item: str, host: str, port: int) -> bool:
    """One entry of NO_PROXY: a name (and what is below it), `.name` (only below), an address or network, each with a port or not."""
    if "/" in item:
        import ipaddress

        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    name, colon, only_port = item.rpartition(":")
    if colon and (":" not in name or name.endswith("]")):  # else an IPv6 address without a port
        if only_port != str(port):
            return False
        item = name
    item = item.removeprefix("[").removesuffix("]")
    if item.startswith("*."):
        item = item[1:]
    if item.startswith("."):
        return host.endswith(item)
    return host == item or (not address.is_literal(item) and host.endswith(f".{item}"))


def _parse(text: str, variable: str) -> Proxy | None:
    if not text:
        return None
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        raise _unusable(variable) from None  # its text may hold the password
    plain = host.replace(".", "").replace("-", "").replace("_", "").replace(":", "")
    if parts.scheme != "http" or not (plain.isascii() and plain.isalnum()):
        raise _unusable(variable)
    authorization = None
    if parts.username is not None:
        import base64

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode("utf-8", "replace")).decode("ascii")
    return Proxy(host, port, authorization)


def _unusable(variable: str) -> UsageError:
    return UsageError(
        f"{variable} is not a proxy that can be used here", hint="http://host:port, with user:password@ if it asks"
    )


def refused(proxy: Proxy, url: Url, status: int) -> UnreachableError:
    """The proxy answered, and not by reaching the host."""
    hint = "ask whoever runs the proxy, or set NO_PROXY"
    if status == 407:
        hint = "the proxy wants credentials: HTTPS_PROXY=http://user:password@host:port"
    return UnreachableError(
        f"the proxy {proxy.host}:{proxy.port} refuses to reach {url.authority} ({status})", hint=hint
    )
