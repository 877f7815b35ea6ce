"""Fixtures of the webhook's tests: webhooks on loopback, and a registry with a signed and an unsigned image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from admission.place import Place, Start, by_key, rule
from bypasses.scene import Scene, Signer


@pytest.fixture
def start(authority) -> Iterator[Start]:
    """Starts webhooks: `start(*rules, …)`."""
    with contextlib.ExitStack() as running:
        yield Start(running, authority)


@pytest.fixture
def scene(evil_registry, tmp_path) -> Scene:
    """A registry on loopback with an image signed by a key (`tag`, `name`), and an unsigned one (`evil`)."""
    found = Scene(evil_registry(), Signer(tmp_path), tmp_path)
    found.attach()
    return found


@pytest.fixture
def signed(scene):
    """The demand that the scene's key signed."""
    return by_key(scene.signer.path.read_bytes())


@pytest.fixture
def place(start, scene, signed) -> Place:
    """A webhook with one policy: everything is signed by the scene's key."""
    return start(rule(signed))
