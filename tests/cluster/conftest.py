"""Fixtures of the tests in a real cluster: without `KUBEBUILDER_ASSETS` they are skipped, and say so (`peers.clusters`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bypasses.scene import Scene, Signer
from cluster.place import Cluster, Webhook, definition
from evil_registry.honest import HonestRegistry
from evil_registry.server import EvilRegistry
from sealgate.admission.cluster import definitions

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Iterator[Scene]:
    """A registry on loopback with a signed image (`tag`, `name`) and an unsigned one, for all tests: none changes it."""
    folder = tmp_path_factory.mktemp("images")
    with EvilRegistry(HonestRegistry()) as registry:
        found = Scene(registry, Signer(folder), folder)
        found.attach()
        yield found


@pytest.fixture(scope="session")
def policies_defined(api_server) -> None:
    """The cluster knows policies of Kyverno and of our own."""
    cluster = Cluster(api_server, "default")
    cluster.define(definition("kyverno.io", "v1", "ClusterPolicy", "clusterpolicies"))
    for each in definitions.documents():
        cluster.define(each)


@pytest.fixture
def cluster(api_server, policies_defined) -> Iterator[Cluster]:
    """A namespace of its own; no policy is left behind."""
    found = Cluster(api_server, f"test-{next(_NUMBERS)}")
    api_server.namespace(found.namespace)
    yield found
    for kind in ("clusterpolicies.kyverno.io", "clusterimagepolicies.sealgate.dev"):
        found.kubectl("delete", kind, "--all", check=True)
    found.kubectl("delete", "imagepolicies.sealgate.dev", "--all", check=True)


@pytest.fixture
def webhook(sealgate, cluster, scene, authority, tmp_path) -> Iterator[Callable[..., Webhook]]:
    """Starts webhooks with the policies of the cluster: `webhook("--mutate", "pods")`."""
    made: list[Webhook] = []

    def start(*arguments: Any) -> Webhook:
        folder = tmp_path / f"webhook-{len(made)}"
        folder.mkdir()
        arguments = arguments if "--policies" in arguments else ("--policies", "cluster:", *arguments)
        made.append(Webhook(sealgate, cluster, scene, authority, folder, *arguments))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()
