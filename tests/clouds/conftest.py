"""The fakes, the network to them, and who asks."""

from __future__ import annotations

import pytest

from clouds.fake_clouds import Clock, FakeClouds, FakeNetwork, ambient
from sealgate.oci.exchange import providers
from sealgate.transport import driver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clouds(clock):
    found = FakeClouds(clock)
    yield found
    found.close()


@pytest.fixture
def network(clouds):
    found = FakeNetwork(clouds)
    yield found
    found.close()


@pytest.fixture
def exchange(clock, network):
    """Ask a provider for credentials of a registry, with these variables around."""

    def ask(provider: str, registry: str, **environ: str):
        around = ambient(clock, **environ)
        return driver.run(providers.exchange(provider, registry, ambient=around), sender=network, seconds=20)

    return ask


@pytest.fixture
def token_file(tmp_path) -> str:
    """A service account's token, as the kubelet keeps it."""
    path = tmp_path / "token"
    path.write_text("a-service-account-token\n")
    return str(path)
