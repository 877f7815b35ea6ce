"""Fixtures: a fake API server, and a client of it."""

from __future__ import annotations

import pytest

from kubernetes.fake_api_server import FakeApiServer
from sealgate.kubernetes.client import Client, Cluster
from sealgate.transport.message import Tls, Url


@pytest.fixture
def fake():
    made = FakeApiServer()
    yield made
    made.close()


@pytest.fixture
def client(fake) -> Client:
    return Client(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls(), lambda: "canary-token"))
