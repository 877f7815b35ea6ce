"""Many `sealgate sign` processes at one image at once, on real registries. Simulated schedules: `test_publish.py`.

SEALGATE_TEST_ROUNDS=20 runs more rounds than the usual two.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading

import pytest

from peers.images import OCI_INDEX, OCI_LAYER, Client, push_image
from sealgate.keys import private
from sealgate.oci.server import serve_in_thread

ROUNDS = int(os.environ.get("SEALGATE_TEST_ROUNDS", "2"))
SIGNERS = 16
SIGNATURE = "dev.cosignproject.cosign/signature"
OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
FORMATS = ("bundle", "legacy")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for number in range(SIGNERS):
        key = private.generate()
        (folder / f"{number}.key").touch(mode=0o600)
        (folder / f"{number}.key").write_bytes(key.encrypt(b"pw"))
        (folder / f"{number}.pub").write_bytes(key.public_key.pem())
    return [folder / f"{number}.key" for number in range(SIGNERS)]


@pytest.fixture(scope="module")
def filed_registry(start_registry, tmp_path_factory):
    """docker-registry that keeps its content in files, where a tag that is being rewritten reads as 500."""
    folder = tmp_path_factory.mktemp("content")
    return start_registry(settings={"storage": {"filesystem": {"rootdirectory": str(folder)}}}).host


@pytest.fixture(scope="module")
def embedded_registry(tmp_path_factory):
    with serve_in_thread(tmp_path_factory.mktemp("served")) as host:
        yield host


def at_once(program, commands):
    """Start all before any is waited for; what each said, if all ended well."""
    running = []
    try:
        for command in commands:
            environ = program.environment()
            running.append(
                subprocess.Popen(
                    [str(program.path), *map(str, command)],
                    env=environ,
                    cwd=environ["HOME"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        said = [process.communicate(timeout=90) for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.communicate()
    for process, (_, errors) in zip(running, said, strict=True):
        assert process.returncode == 0, errors
    return [errors for _, errors in said]


def sign_at_once(sealgate, keys, image, format_):
    return at_once(sealgate, [("sign", "--format", format_, "--key", key, image.reference) for key in keys])


def shared_tag(image, format_):
    """The entries of the fallback tag or the `.sig` tag, read by plain HTTP."""
    tag = image.digest.replace(":", "-") + {"bundle": "", "legacy": ".sig"}[format_]
    answer = Client(image.host).get_manifest(image.repository, tag)
    if answer.status == 404:
        return []
    assert answer.status == 200
    return json.loads(answer.body)["manifests" if format_ == "bundle" else "layers"]


def signed_by_all(sealgate, keys, image):
    """A verdict, with every key required."""
    options = [option for key in keys for option in ("--key", key.with_suffix(".pub"))]
    verify = sealgate("verify", *options, "--require", "all", "-o", "verdict", image.reference)
    assert verify.returncode == 0, verify.stderr
    return json.loads(verify.stdout)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_sixteen_signers_at_once_lose_nothing(sealgate, keys, request, format_, round_):
    host = request.getfixturevalue("docker_registry" if round_ % 2 else "filed_registry")
    image = push_image(host, f"crowd/{format_}-{round_}")
    sign_at_once(sealgate, keys, image, format_)
    assert len(shared_tag(image, format_)) == SIGNERS
    signed_by_all(sealgate, keys, image)


@pytest.mark.parametrize("format_", FORMATS)
def test_sixteen_signers_at_once_on_the_embedded_registry(sealgate, keys, embedded_registry, format_):
    image = push_image(embedded_registry, f"crowd/{format_}")
    sign_at_once(sealgate, keys, image, format_)
    # With the referrers API nobody shares a tag.
    assert len(shared_tag(image, format_)) == (SIGNERS if format_ == "legacy" else 0)
    signed_by_all(sealgate, keys, image)


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_key_many_times_at_once_is_kept_and_afterwards_adds_nothing(sealgate, keys, docker_registry, format_):
    image = push_image(docker_registry, f"crowd/same-{format_}")
    sign_at_once(sealgate, [keys[0]] * 4, image, format_)
    before = shared_tag(image, format_)
    assert 1 <= len(before) <= 4
    (said,) = sign_at_once(sealgate, keys[:1], image, format_)
    assert "nothing was added" in said
    assert shared_tag(image, format_) == before


@pytest.mark.parametrize("format_", FORMATS)
def test_what_cosign_and_oras_attached_before_is_kept(
    sealgate, cosign3, oras, keys, docker_registry, tmp_path, format_
):
    image = push_image(docker_registry, f"crowd/foreign-{format_}")
    legacy = ("--new-bundle-format=false",) if format_ == "legacy" else ()
    cosign3("sign", "--key", keys[0], *OFFLINE, *legacy, image.reference, check=True)
    (tmp_path / "sbom.json").write_text("{}")
    oras(
        "attach", "--plain-http", "--artifact-type", "application/spdx+json", image.reference, "sbom.json",
        cwd=tmp_path, check=True,
    )  # fmt: skip
    foreign = shared_tag(image, format_)
    assert foreign
    sign_at_once(sealgate, keys[1:9], image, format_)
    after = shared_tag(image, format_)
    assert [entry for entry in foreign if entry not in after] == []
    assert len(after) == len(foreign) + 8
    signed_by_all(sealgate, keys[:9], image)
    assert (
        cosign3("verify", "--key", keys[5].with_suffix(".pub"), "--insecure-ignore-tlog", image.reference).returncode
        == 0
    )


@pytest.mark.parametrize("format_", FORMATS)
def test_ours_are_kept_beside_a_cosign_that_never_looks_back(sealgate, cosign3, keys, docker_registry, format_):
    image = push_image(docker_registry, f"crowd/beside-{format_}")
    legacy = ("--new-bundle-format=false",) if format_ == "legacy" else ()
    careless = threading.Thread(
        target=lambda: [cosign3("sign", "--key", keys[-1], *OFFLINE, *legacy, image.reference) for _ in range(3)]
    )
    careless.start()
    sign_at_once(sealgate, keys[:6], image, format_)
    careless.join(60)
    signed_by_all(sealgate, keys[:6], image)


def test_a_foreign_entry_of_the_fallback_index_keeps_every_field(sealgate, keys, docker_registry):
    image = push_image(docker_registry, "crowd/fields")
    client = Client(docker_registry)
    blob = client.put_blob(image.repository, b"kept")
    document = {
        "schemaVersion": 2,
        "mediaType": image.media_type,
        "artifactType": "application/x-kept",
        "config": {"mediaType": OCI_LAYER, "digest": blob, "size": 4},
        "layers": [{"mediaType": OCI_LAYER, "digest": blob, "size": 4}],
        "subject": {"mediaType": image.media_type, "digest": image.digest, "size": len(image.raw)},
    }
    raw = json.dumps(document).encode()
    digest = client.put_manifest(image.repository, None, raw, image.media_type)
    foreign = {
        "mediaType": image.media_type, "digest": digest, "size": len(raw), "artifactType": "application/x-kept",
        "annotations": {"b": "2", "a": "1"}, "urls": ["https://example.com/x"], "x-unknown": {"z": [1, None]},
    }  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [foreign]}).encode()
    client.put_manifest(image.repository, image.digest.replace(":", "-"), index, OCI_INDEX)
    sign_at_once(sealgate, keys[:4], image, "bundle")
    entries = shared_tag(image, "bundle")
    assert foreign in entries
    assert len(entries) == 5
