"""A fallback index that lists what was deleted: docker-registry refuses it whole, and signing must go on."""

from __future__ import annotations

import json

import pytest

from peers.images import Client, push_image


@pytest.fixture
def key(sealgate, tmp_path):
    sealgate("generate-key-pair", "--output-key-prefix", str(tmp_path / "k"), check=True)
    return tmp_path / "k.key"


def _index(registry, image):
    answer = Client(registry).get_manifest(image.repository, image.digest.replace(":", "-"))
    return [entry["digest"] for entry in json.loads(answer.body)["manifests"]]


def test_an_entry_that_points_to_nothing_does_not_keep_others_from_signing(sealgate, docker_registry, key, tmp_path):
    image = push_image(docker_registry, "dead/app", "v1")
    name = f"{docker_registry}/dead/app@{image.digest}"
    sealgate("sign", "--key", str(key), "-a", "n=1", name, check=True)
    sealgate("sign", "--key", str(key), "-a", "n=2", name, check=True)
    first, second = _index(docker_registry, image)
    Client(docker_registry).request("DELETE", f"/v2/dead/app/manifests/{first}")

    sealgate("sign", "--key", str(key), "-a", "n=3", name, check=True)

    standing = _index(docker_registry, image)
    assert first not in standing
    assert second in standing
    assert len(standing) == 2
    sealgate("verify", "--key", str(tmp_path / "k.pub"), "-a", "n=3", name, check=True)
