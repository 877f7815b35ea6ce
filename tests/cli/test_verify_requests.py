"""What a verification asks a registry for: no more than it must."""

from __future__ import annotations

import pytest

from peers.images import push_image


@pytest.fixture
def key(sealgate, tmp_path):
    sealgate("generate-key-pair", "--output-key-prefix", str(tmp_path / "k"), check=True)
    return tmp_path / "k"


@pytest.mark.parametrize(
    ("signed", "asked", "fetched"),
    [((), (), 0), (("-a", "env=prod"), ("-a", "env=prod"), 0), (("-a", "env=prod"), (), 1)],
    ids=["no annotation", "the annotation asked for", "an annotation nobody asked for"],
)
def test_a_payload_that_is_known_word_for_word_is_not_fetched(sealgate, evil_registry, key, signed, asked, fetched):
    registry = evil_registry()
    image = push_image(registry.host, "team/app", "v1")
    name = f"{registry.host}/team/app@{image.digest}"
    sealgate("sign", "--key", f"{key}.key", "--format", "legacy", *signed, name, check=True)
    before = len(registry.requests)

    said = sealgate("verify", "--key", f"{key}.pub", *asked, name)

    assert said.returncode == 0, said.stderr
    asked_for = [request.path for request in registry.requests[before:]]
    assert sum("/blobs/" in path for path in asked_for) == fetched
    assert len(asked_for) == 4 + fetched  # the image, the referrers, the fallback tag, the .sig tag


def test_a_signature_of_another_repository_is_fetched_and_good(sealgate, evil_registry, key):
    registry = evil_registry()
    image = push_image(registry.host, "team/app", "v1")
    name = f"{registry.host}/team/app@{image.digest}"
    sealgate(
        "sign",
        "--key",
        f"{key}.key",
        "--format",
        "legacy",
        "--sign-container-identity",
        "elsewhere/app",
        name,
        check=True,
    )
    before = len(registry.requests)
    assert sealgate("verify", "--key", f"{key}.pub", name).returncode == 0
    assert sum("/blobs/" in request.path for request in registry.requests[before:]) == 1
