"""attach sbom and download sbom, beside cosign 2.5.0 and 3.1.1: the same bytes written, and each reads the other."""

import json

import pytest

from peers.attachments import add_missing_to_fallback, attach_artifact, fallback_tag
from peers.images import Client, push_image

JSON = b'{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT"}\n'
TEXT = b"SPDXVersion: SPDX-2.3\n"
XML = b'<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>\n'
EXPERIMENTAL = {"COSIGN_EXPERIMENTAL": "1"}
CASES = [
    ("a.json", JSON, ()),
    ("a.json", JSON, ("--type", "spdx", "--input-format", "text")),
    ("a.spdx", TEXT, ()),
    ("a.spdx", TEXT, ("--input-format", "json")),
    ("a.json", JSON, ("--type", "cyclonedx")),
    ("a.json", JSON, ("--type", "cyclonedx", "--input-format", "xml")),
    ("a.xml", XML, ("--type", "cyclonedx")),
    ("a.xml", XML, ("--type", "cyclonedx", "--input-format", "xml")),
    ("a.json", JSON, ("--type", "syft", "--input-format", "json")),
]


@pytest.fixture(params=["cosign3", "cosign2"])
def cosign(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def write(tmp_path):
    def run(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return run


@pytest.fixture
def image(docker_registry, repository):
    return push_image(docker_registry, repository, "v1")


def standing(image, *, tag=None):
    return Client(image.host).get_manifest(image.repository, tag or f"{fallback_tag(image)}.sbom")


@pytest.mark.parametrize(("name", "content", "options"), CASES)
def test_the_same_bytes_as_cosign(sealgate, cosign, image, write, name, content, options):
    file = write(name, content)
    cosign("attach", "sbom", "--sbom", file, *options, image.reference, check=True)
    theirs = standing(image).body
    Client(image.host).request("DELETE", f"/v2/{image.repository}/manifests/{fallback_tag(image)}.sbom")
    said = sealgate("attach", "sbom", "--sbom", file, *options, image.reference, check=True)
    ours = standing(image).body
    assert ours == theirs
    kind = json.loads(ours)["layers"][0]["mediaType"]
    assert f"with mediaType [{kind}]" in said.stderr
    assert "deprecated" in said.stderr
    back = cosign("download", "sbom", image.reference, check=True)
    assert back.stdout.encode() == content
    back = sealgate("download", "sbom", image.reference, check=True)
    assert back.stdout.encode() == content
    assert f"Found SBOM of media type: {kind}" in back.stderr


def test_the_same_bytes_as_a_referrer(sealgate, cosign, docker_registry, repository, write):
    image = push_image(docker_registry, repository, "v1")
    file = write("a.json", JSON)
    mode = ("--registry-referrers-mode", "oci-1-1")
    cosign("attach", "sbom", "--sbom", file, *mode, image.reference, check=True, env=EXPERIMENTAL)
    client = Client(docker_registry)
    index = client.get_manifest(repository, fallback_tag(image)).body
    (entry,) = json.loads(index)["manifests"]
    theirs = client.get_manifest(repository, entry["digest"]).body
    client.request("DELETE", f"/v2/{repository}/manifests/{entry['digest']}")
    sealgate("attach", "sbom", "--sbom", file, *mode, image.reference, check=True)
    assert client.get_manifest(repository, fallback_tag(image)).body == index
    assert client.get_manifest(repository, entry["digest"]).body == theirs
    assert cosign("download", "sbom", image.reference, check=True).stdout.encode() == JSON
    assert sealgate("download", "sbom", image.reference, check=True).stdout.encode() == JSON


def test_wherever_there_is_an_api_it_lists_the_referrer(sealgate, pushed, write):
    said = sealgate("attach", "sbom", "--sbom", write("a.json", JSON), "--registry-referrers-mode=oci-1-1",
                    pushed.reference, check=True)  # fmt: skip
    assert f"to [{pushed.name}@sha256:" in said.stderr
    assert sealgate("download", "sbom", pushed.tagged, check=True).stdout.encode() == JSON
    (artifact,) = json.loads(sealgate("tree", "-o", "json", pushed.tagged, check=True).stdout)["artifacts"]
    assert artifact["artifactType"] == "application/vnd.dev.cosign.artifact.sbom.v1+json"


def test_a_referrer_comes_before_the_tag_as_with_cosign(sealgate, cosign, image, write):
    one, two = write("a.json", JSON), write("a.spdx", TEXT)
    sealgate("attach", "sbom", "--sbom", two, image.reference, check=True)
    sealgate("attach", "sbom", "--sbom", one, "--registry-referrers-mode=oci-1-1", image.reference, check=True)
    assert cosign("download", "sbom", image.reference, check=True).stdout.encode() == JSON
    said = sealgate("download", "sbom", image.reference, check=True)
    assert said.stdout.encode() == JSON
    assert f"there is another one: {image.name}:{fallback_tag(image)}.sbom" in said.stderr


def test_what_is_replaced_is_said(sealgate, image, write):
    sealgate("attach", "sbom", "--sbom", write("a.json", JSON), image.reference, check=True)
    again = sealgate("attach", "sbom", "--sbom", write("a.json", JSON), image.reference, check=True)
    assert "which is gone now" not in again.stderr
    other = sealgate("attach", "sbom", "--sbom", "-", image.reference, input=TEXT, check=True)
    assert "which is gone now" in other.stderr
    assert sealgate("download", "sbom", image.reference, check=True).stdout.encode() == TEXT


def test_the_sbom_of_a_platform(sealgate, cosign, docker_registry, repository, write):
    index = push_image(docker_registry, repository, "v1", kind="index")
    said = sealgate("download", "sbom", index.tagged)
    assert (said.returncode, "[no-sbom]" in said.stderr, "linux/amd64, linux/arm64" in said.stderr) == (10, True, True)
    cosign("attach", "sbom", "--sbom", write("a.json", JSON), index.children[1].reference, check=True)
    options = ("--platform", "linux/arm64", index.tagged)
    assert sealgate("download", "sbom", *options, check=True).stdout.encode() == JSON
    assert cosign("download", "sbom", *options, check=True).stdout.encode() == JSON
    assert sealgate("download", "sbom", "--platform", "linux/amd64", index.tagged).returncode == 10
    assert sealgate("download", "sbom", "--platform", "linux/s390x", index.tagged).returncode == 1


def test_what_oras_attached_is_found(sealgate, oras, docker_registry, repository, write, tmp_path):
    image = push_image(docker_registry, repository, "v1")
    write("sbom.json", JSON)
    oras("attach", "--plain-http", "--artifact-type", "application/spdx+json", image.reference,
         "sbom.json:application/spdx+json", cwd=tmp_path, check=True)  # fmt: skip
    said = sealgate("download", "sbom", image.tagged, check=True)
    assert said.stdout.encode() == JSON
    assert "application/spdx+json" in said.stderr


def test_layouts(sealgate, image, write, tmp_path):
    sealgate("save", "--dir", tmp_path / "layout", image.reference, check=True)
    for mode in ("legacy", "oci-1-1"):
        name = f"oci:{tmp_path / 'layout'}"
        sealgate(
            "attach", "sbom", "--sbom", write("a.json", JSON), f"--registry-referrers-mode={mode}", name, check=True
        )
        assert sealgate("download", "sbom", name, check=True).stdout.encode() == JSON


def test_none_is_10_and_a_dangling_referrer_is_none(sealgate, image):
    assert "[no-sbom]" in sealgate("download", "sbom", image.reference).stderr
    add_missing_to_fallback(Client(image.host), image)
    said = sealgate("download", "sbom", image.reference)
    assert (said.returncode, "[no-sbom]" in said.stderr) == (10, True)


def test_something_else_that_hangs_there_is_no_sbom(sealgate, image):
    attach_artifact(Client(image.host), image, "application/vnd.example.thing", b"{}")
    assert sealgate("download", "sbom", image.reference).returncode == 10


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--type", "bogus"), 2),
        (("--input-format", "xml"), 2),
        (("--type", "syft", "--input-format", "text"), 2),
        (("--type", "cyclonedx", "--input-format", "text"), 2),
        (("--type", "spdx"), 0),
    ],
)
def test_wrong_usage(sealgate, image, write, options, code):
    said = sealgate("attach", "sbom", "--sbom", write("a.json", JSON), *options, image.reference)
    assert said.returncode == code
    assert ("[usage]" in said.stderr) == (code == 2)


def test_too_large_is_refused(sealgate, image, write):
    file = write("a.json", JSON + b" " * 4096)
    said = sealgate("attach", "sbom", "--sbom", file, image.reference, env={"COSIGN_MAX_ATTACHMENT_SIZE": "4KiB"})
    assert (said.returncode, "[limit-exceeded]" in said.stderr) == (1, True)
    sealgate("attach", "sbom", "--sbom", file, image.reference, check=True)
    said = sealgate("download", "sbom", image.reference, env={"COSIGN_MAX_ATTACHMENT_SIZE": "4KiB"})
    assert (said.returncode, "[limit-exceeded]" in said.stderr) == (1, True)
    assert sealgate("download", "sbom", image.reference).returncode == 0
