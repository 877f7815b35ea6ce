"""What all tests share. Fixtures that need a program or a server are in `tests/peers/`."""

from __future__ import annotations

import os

import hypothesis
import pytest

pytest_plugins = [
    "evil_registry.fixtures",
    "peers.programs",  # before those that import it: pytest rewrites its assertions
    "peers.issuers",
    "peers.registries",
    "peers.clusters",
    "trust_service.fixtures",
]

# The machine may be slow or busy: an example has no deadline, the test has a time-out.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_LEAKING = ("COSIGN_", "SEALGATE_", "DOCKER_", "SIGSTORE_", "TUF_", "XDG_", "SSL_CERT_", "REGISTRY_AUTH_FILE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "netrc")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path_factory) -> None:
    """Nothing of the machine's own settings reaches a test: no proxy, no credentials, no home."""
    for name in list(os.environ):
        if name.startswith(_LEAKING) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "nobody"))
