"""`sbom find`: which of many images have a package."""

import json
from pathlib import Path

import pytest

from peers.attachments import attach_artifact
from peers.images import Client, digest_of, push_image
from sealgate.oci.server import serve_in_thread

DOCUMENTS = Path(__file__).parents[1] / "sbom" / "documents"
SPDX = (DOCUMENTS / "syft.spdx.json").read_bytes()
CYCLONEDX = (DOCUMENTS / "syft.cdx.json").read_bytes()
WITHOUT = (DOCUMENTS / "vendoring.cdx.json").read_bytes()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def push(host, request):
    """`push(content, …)`: an image with these SBOMs."""
    repository = "f/" + digest_of(request.node.nodeid.encode())[7:19]
    number = iter(range(1000))

    def run(*contents):
        image = push_image(host, repository, f"v{next(number)}")
        for content in contents:
            attach_artifact(Client(host), image, "application/spdx+json", content)
        return image

    return run


def test_found_in_one_of_three(cli, push):
    images = [push(WITHOUT), push(SPDX), push(WITHOUT)]
    said = cli("sbom", "find", *(image.tagged for image in images), "log4j")
    assert said.code == 0
    (line,) = (line for line in said.out.splitlines() if "log4j" in line)
    assert line.split() == [images[1].tagged, "log4j-core", "2.14.1", "unsigned",
                            "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"]  # fmt: skip


def test_json_names_every_image_and_the_documents(cli, push):
    images = [push(SPDX, CYCLONEDX), push(WITHOUT)]
    said = cli("sbom", "find", "-o", "json", *(image.tagged for image in images), "jinja2@3.1.2")
    assert said.code == 0
    first, second = json.loads(said.out)["images"]
    assert (first["image"], first["digest"], first["documents"]) == (images[0].tagged, images[0].digest, 2)
    (match,) = first["matches"]
    assert (match["name"], match["version"], match["type"]) == ("jinja2", "3.1.2", "pypi")
    assert sorted(each["format"] for each in match["documents"]) == ["cyclonedx", "spdx"]
    assert second["matches"] == []
    assert second["documents"] == 1


def test_not_found_is_1(cli, push):
    said = cli("sbom", "find", push(SPDX).tagged, push(WITHOUT).tagged, "no-such-package")
    assert (said.code, said.out) == (1, "")
    assert "no-such-package is in none of 2 images" in said.err


def test_X02_an_image_without_sbom_is_no_image_without_the_package(cli, push):
    bare = push()
    said = cli("sbom", "find", push(WITHOUT).tagged, bare.tagged, "log4j")
    assert said.code == 10
    assert f"{bare.tagged} has no SBOM: nobody knows what is in it [no-sbom]" in said.err
    found = cli("sbom", "find", push(SPDX).tagged, bare.tagged, "log4j")
    assert found.code == 0
    assert "[no-sbom]" in found.err


def test_an_sbom_that_cannot_be_read_is_no_image_without_the_package(cli, push):
    said = cli("sbom", "find", push(b'{"spdxVersion":').tagged, "log4j")
    assert said.code == 10
    assert "[sbom-invalid]" in said.err
    # Junk beside a good one takes nothing away.
    both = cli("sbom", "find", push(b'{"spdxVersion":', SPDX).tagged, "log4j")
    assert both.code == 0
    assert "[sbom-invalid]" in both.err


def test_X01_what_could_not_be_asked_is_14_and_what_was_found_is_printed(cli, push):
    said = cli("sbom", "find", push(SPDX).tagged, "127.0.0.1:1/a:b", "log4j")
    assert said.code == 14
    assert "log4j-core" in said.out
    assert "127.0.0.1:1/a:b" in said.err


def test_an_image_that_does_not_exist_hides_no_other(cli, push, host):
    said = cli("sbom", "find", f"{host}/nothing:here", push(SPDX).tagged, "log4j")
    assert said.code == 0
    assert "[image-not-found]" in said.err


def test_images_from_a_file_and_stdin(cli, push, tmp_path):
    images = [push(SPDX), push(WITHOUT), push(SPDX)]
    text = "# the fleet\n" + "".join(f"{image.tagged}  # why\n\n" for image in images)
    path = tmp_path / "images"
    path.write_text(text)
    for words, given in (([path], ""), (["-"], text)):
        said = cli("sbom", "find", "--images-from", *words, "log4j", input=given)
        assert said.code == 0
        assert said.out.count("log4j-core@2.14.1") == 2


def test_usage(cli, push):
    assert cli("sbom", "find", "log4j").code == 2
    assert cli("sbom", "find", push(SPDX).tagged, "pkg:").code == 2
    assert cli("sbom", "find", "UPPER/case", "log4j").code == 2
    assert cli("sbom", "find", push(SPDX).tagged, "log4j").code == 0


def test_fifty_images(cli, push):
    images = [push(SPDX if number % 5 == 0 else WITHOUT) for number in range(50)]
    said = cli("sbom", "find", *(image.tagged for image in images), "log4j")
    assert said.code == 0
    assert said.out.count("log4j-core@2.14.1") == 10
