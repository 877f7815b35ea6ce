"""Two kinds of registry, a key, and images with everything attached that people attach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from peers.images import Pushed, digest_of, push_image


class Keys(NamedTuple):
    private: Path
    public: Path


@pytest.fixture(scope="session")
def keys(sealgate, tmp_path_factory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    sealgate("generate-key-pair", cwd=folder, check=True)
    return Keys(folder / "cosign.key", folder / "cosign.pub")


@pytest.fixture(scope="session")
def api_registry(tmp_path_factory) -> str:
    """The embedded registry, which has the referrers API."""
    from sealgate.oci.server import serve_in_thread

    with serve_in_thread(tmp_path_factory.mktemp("embedded")) as host:
        yield host


@pytest.fixture(params=["without the API", "with the API"])
def registry(request) -> str:
    """`host:port` of a registry without, then with the referrers API."""
    return request.getfixturevalue("docker_registry" if request.param == "without the API" else "api_registry")


@pytest.fixture
def repository(request) -> str:
    """A repository name of the test's own."""
    return "a/" + digest_of(request.node.nodeid.encode())[7:19]


@pytest.fixture
def sign(sealgate, keys):
    """`sign(image, …)` by our own command."""
    return lambda image, *more: sealgate("sign", "--key", keys.private, *more, image, check=True)


@pytest.fixture
def verify(sealgate, keys):
    """The exit code of `sealgate verify`."""
    return lambda image, *more: sealgate("verify", "--key", keys.public, *more, image).returncode


@pytest.fixture
def verdict(sealgate, keys):
    """The verdict as a document."""
    return lambda image, *more: json.loads(
        sealgate("verify", "--key", keys.public, "-o", "verdict", *more, image).stdout
    )


@pytest.fixture
def pushed(registry, repository) -> Pushed:
    return push_image(registry, repository, "v1")
