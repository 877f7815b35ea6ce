"""The pytest fixture `trust_service`; `tests/conftest.py` names this module in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trust_service.server import serve
from trust_service.service import TrustService


@pytest.fixture(scope="session")
def running_trust_service() -> Iterator[TrustService]:
    """The service of the session: for fixtures of a wider scope, which alter nothing."""
    with serve() as service:
        yield service


@pytest.fixture
def trust_service(running_trust_service: TrustService) -> Iterator[TrustService]:
    """A private Sigstore on loopback (`trust_service.service`), as new: nothing is altered, nobody fails."""
    running_trust_service.reset()
    yield running_trust_service
    running_trust_service.reset()
