"""Proxies from the environment, read as Go's `http.ProxyFromEnvironment` reads them.

`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and their lower-case twins. Loopback hosts are never proxied. Only the command line
reads the environment; servers are configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from sealgate.errors import UsageError
from sealgate.transport.message import Url


class Proxy(NamedTuple):
    """An HTTP proxy: plain http to the proxy, CONNECT for https targets."""

    host: str
    port: int
    authorization: str | None
    """A ready `Proxy-Authorization` value. Never printed."""


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

    def for_url(self, url: Url) -> Proxy | None:
        """The proxy to use for `url`, or None."""
        proxy = self.https if url.scheme == "https" else self.http
        if proxy is None or url.host in {"localhost", "::1"} or url.host.startswith("127."):
            return None
        for item in self.exempt:
            if item == "*" or _exempts(item, url.host, url.port):
                return None
        return proxy


def _exempts(item: str, host: str, port: int) -> bool:
    if "/" in item:
        import ipaddress

        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    name, colon, only_port = item.rpartition(":")
    if colon and only_port.isdigit() and not name.endswith(":"):
        if int(only_port) != port:
            return False
        item = name
    item = item.strip("[]").removeprefix("*")
    if item.startswith("."):
        return host.endswith(item)
    return host == item or host.endswith(f".{item}")


def _parse(text: str, variable: str) -> Proxy | None:
    if not text:
        return None
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise UsageError(f"{variable} is not a proxy that can be used here", hint="http://host:port")
    authorization = None
    if parts.username is not None:
        import base64

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, authorization)
