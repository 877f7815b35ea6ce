"""manifest verify and dockerfile verify: every image found is verified, with verify's options and outcomes."""

import json

import pytest

from peers.images import push_image


@pytest.fixture
def images(docker_registry, repository, sign):
    """A signed and an unsigned image."""
    signed, unsigned = (push_image(docker_registry, repository, tag) for tag in ("signed", "unsigned"))
    sign(signed.reference, "--format", "both")  # cosign 3.1.1 sees no bundles in these commands
    return signed.tagged, unsigned.tagged


def pods(*names):
    return "".join(f"---\nkind: Pod\nspec:\n  containers:\n  - image: {name}\n" for name in names)


def test_manifest_as_cosign(sealgate, cosign3, keys, images, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text("apiVersion: v1\n" + pods(images[0]).removeprefix("---\n"))
    ours = sealgate("manifest", "verify", "--key", keys.public, path, check=True)
    theirs = cosign3("manifest", "verify", "--key", keys.public, "--insecure-ignore-tlog", path, check=True)
    extracted = f"Extracted image(s): {images[0]}"
    assert extracted in ours.stderr
    assert extracted in theirs.stderr
    assert json.loads(ours.stdout)[0]["critical"]["image"] == json.loads(theirs.stdout)[0]["critical"]["image"]


def test_one_unsigned_image_refuses_the_manifest(sealgate, keys, images, tmp_path):
    (tmp_path / "one.yaml").write_text(pods(images[0]))
    (tmp_path / "both.yaml").write_text(pods(*images))
    arguments = ("manifest", "verify", "--key", keys.public)
    assert sealgate(*arguments, tmp_path / "one.yaml").returncode == 0
    said = sealgate(*arguments, tmp_path / "one.yaml", tmp_path / "both.yaml")
    assert said.returncode == 10
    assert "1 of 2 images accepted" in said.stderr


def test_manifest_from_stdin_with_options_of_verify(sealgate, keys, images):
    arguments = ("manifest", "verify", "--key", keys.public, "-o", "verdict")
    said = sealgate(*arguments, "-", input=pods(images[0]), check=True)
    assert json.loads(said.stdout)["outcome"] == "accepted"
    assert sealgate(*arguments, "-a", "env=prod", "-", input=pods(images[0])).returncode == 12


def test_an_unknown_kind_is_named(sealgate, keys, images):
    text = pods(images[0]).replace("kind: Pod", "kind: Rollout\nmetadata: {name: web}")
    said = sealgate("manifest", "verify", "--key", keys.public, "-", input=text, check=True)
    assert "note: Rollout/web is of a kind that is not known" in said.stderr


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("kind: Pod\nspec: {containers: [{image: 1.10}]}", 1, "workload-invalid"),
        ("kind: Pod\nspec: {containers: [{image: 'oci:x'}]}", 1, "workload-invalid"),
        ("kind: Pod\nspec: {containers: [{image: 'A B'}]}", 1, "workload-invalid"),
        ("kind: ConfigMap", 1, "not-found"),
        ("", 1, "not-found"),
    ],
)
def test_a_manifest_that_cannot_be_verified(sealgate, keys, text, status, code):
    said = sealgate("manifest", "verify", "--key", keys.public, "-", input=text)
    assert (said.returncode, said.stdout) == (status, "")
    assert f"[{code}]" in said.stderr


def test_a_file_that_is_not_there(sealgate, keys):
    for command in ("manifest", "dockerfile"):
        said = sealgate(command, "verify", "--key", keys.public, "nowhere")
        assert said.returncode == 2
        assert "[usage]" in said.stderr


def test_dockerfile_as_cosign(sealgate, cosign3, keys, images, tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM {images[0]}\nRUN true\n")
    ours = sealgate("dockerfile", "verify", "--key", keys.public, path, check=True)
    theirs = cosign3("dockerfile", "verify", "--key", keys.public, "--insecure-ignore-tlog", path, check=True)
    extracted = f"Extracted image(s): {images[0]}"
    assert extracted in ours.stderr
    assert extracted in theirs.stderr


def test_X08_dockerfile_sees_every_image(sealgate, keys, images, tmp_path):
    path = tmp_path / "Dockerfile"
    arguments = ("dockerfile", "verify", "--key", keys.public)
    for text in ("from {1}\nFROM {0}", "FROM {0}\nCOPY --from={1} / /", "FROM {0}\nRUN --mount=from={1} x"):
        path.write_text(text.format(*images))
        assert sealgate(*arguments, path).returncode == 10
        path.write_text(text.format(images[0], images[0]))
        assert sealgate(*arguments, path).returncode == 0


def test_dockerfile_with_the_base_only_and_arguments(sealgate, keys, images, tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text(f"ARG BASE\nFROM {images[1]} AS build\nFROM $BASE\n")
    arguments = ("dockerfile", "verify", "--key", keys.public, "--base-image-only", path)
    said = sealgate(*arguments)
    assert said.returncode == 1
    assert "[workload-invalid]" in said.stderr
    assert sealgate(*arguments, "--build-arg", f"BASE={images[0]}").returncode == 0
    assert sealgate(*arguments, "--build-arg", "BASE", env={"BASE": images[0]}).returncode == 0
    assert sealgate(*arguments, env={"BASE": images[0]}).returncode == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [("FROM scratch", "not-found"), ("FROM oci:x", "workload-invalid"), ("FROM oci-archive:/x", "workload-invalid"),
     ("WHAT", "workload-invalid")],
)  # fmt: skip
def test_a_dockerfile_that_cannot_be_verified(sealgate, keys, text, code):
    said = sealgate("dockerfile", "verify", "--key", keys.public, "-", input=text)
    assert (said.returncode, said.stdout) == (1, "")
    assert f"[{code}]" in said.stderr


def test_X10_names_are_escaped(sealgate, keys):
    said = sealgate("manifest", "verify", "--key", keys.public, "-",
                    input='kind: Pod\nspec: {containers: [{image: "a\\e[2Jb"}]}')  # fmt: skip
    assert said.returncode == 1
    assert "\x1b" not in said.stderr
