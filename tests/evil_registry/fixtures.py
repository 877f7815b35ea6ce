"""The pytest fixture `evil_registry`; `tests/conftest.py` names this module in `pytest_plugins`."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator

import pytest

from evil_registry.honest import HonestRegistry
from evil_registry.server import EvilRegistry, trap_script


class Factory:
    """`evil_registry()` starts a registry, `evil_registry.trap()` a trap; all end with the test."""

    def __init__(self, request: pytest.FixtureRequest, running: contextlib.ExitStack) -> None:
        self._request = request
        self._running = running

    def __call__(
        self,
        *,
        tls: bool = False,
        referrers_api: bool = True,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        expired: bool = False,
        client_ca: str | None = None,
        address: str = "127.0.0.1",
    ) -> EvilRegistry:
        """A registry. With `tls`, its certificate is for `names`, issued by the fixture `authority`, whose PEM file is
        `ca_file`; `client_ca` makes it ask for a client certificate of that authority.
        """
        context = self._context(names, expired=expired, client_ca=client_ca) if tls else None
        return self._running.enter_context(
            EvilRegistry(HonestRegistry(referrers_api=referrers_api), tls=context, address=address)
        )

    def trap(self, *, tls: bool = False) -> EvilRegistry:
        """A server that answers everything with 401 and that nobody should ask."""
        context = self._context(("localhost", "127.0.0.1")) if tls else None
        return self._running.enter_context(EvilRegistry(tls=context, default=trap_script))

    @property
    def ca_file(self) -> str:
        """The authority that issues the servers' certificates."""
        return str(self._request.getfixturevalue("authority").certificate)

    def _context(
        self, names: tuple[str, ...], *, expired: bool = False, client_ca: str | None = None
    ) -> ssl.SSLContext:
        issued = self._request.getfixturevalue("authority").issue(*names, expired=expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context


@pytest.fixture
def evil_registry(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Starts hostile registries on loopback: see `evil_registry.server`."""
    with contextlib.ExitStack() as running:
        yield Factory(request, running)
