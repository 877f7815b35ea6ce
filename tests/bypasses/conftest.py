"""Fixtures of the bypass cases: a signer, a scene, and a registry client that does not wait long."""

from __future__ import annotations

import functools
import socket

import pytest

from bypasses.scene import Scene, Signer


@pytest.fixture(scope="session")
def signer(tmp_path_factory) -> Signer:
    """The key that everybody trusts."""
    return Signer(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory) -> Signer:
    """A key that nobody trusts."""
    return Signer(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch) -> None:
    """Failed requests are tried again as often as ever, after shorter pauses."""
    from sealgate.cli import registries

    settings = functools.partial(registries.RegistrySettings, first_pause=0.01)
    monkeypatch.setattr(registries, "RegistrySettings", settings)


@pytest.fixture
def scene(evil_registry, signer, tmp_path) -> Scene:
    """A registry with the referrers API, and an image in it that is not signed yet."""
    return Scene(evil_registry(), signer, tmp_path)


@pytest.fixture
def old_scene(evil_registry, signer, tmp_path) -> Scene:
    """The same in a registry without the referrers API."""
    return Scene(evil_registry(referrers_api=False), signer, tmp_path)


@pytest.fixture
def resolve(monkeypatch):
    """`resolve("ghcr.io", registry)`: in this process the name leads to that server, whatever the port; or to addresses."""
    known: dict[str, list[tuple[str, int | None]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *rest, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if name in known:
            return [
                found
                for address, own in known[name]
                for found in real(address, port if own is None else own, *rest, **options)
            ]
        if name == "localhost" or ":" in name or name.replace(".", "").isdigit():
            return real(host, port, *rest, **options)
        raise socket.gaierror(socket.EAI_NONAME, "no names but the test's own")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def lead(name: str, where) -> None:
        known[name] = [(address, None) for address in where] if isinstance(where, list) else [("127.0.0.1", where.port)]

    return lead
