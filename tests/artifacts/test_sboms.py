"""SBOMs that other programs attached are found and read, and many of them within bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from peers.attachments import COSIGN_OFFLINE, add_missing_to_fallback, attach_artifact
from peers.images import Client, digest_of, push_image

DOCUMENTS = Path(__file__).parents[1] / "sbom" / "documents"
SPDX, TEXT, CYCLONEDX, SYFT = (
    DOCUMENTS / name for name in ("syft.spdx.json", "syft.spdx", "syft.cdx.json", "syft.syft.json")
)


@pytest.fixture
def shown(sealgate):
    """`shown(image)`: what `sbom show` says of the documents."""
    return lambda image, *words: json.loads(sealgate("sbom", "show", "-o", "json", *words, image, check=True).stdout)


@pytest.mark.parametrize(
    ("path", "words", "format_"),
    [
        (SPDX, ("--type", "spdx", "--input-format", "json"), "spdx"),
        (TEXT, ("--type", "spdx", "--input-format", "text"), "spdx"),
        (CYCLONEDX, ("--type", "cyclonedx", "--input-format", "json"), "cyclonedx"),
        (SYFT, ("--type", "syft", "--input-format", "json"), "syft"),
    ],
)
def test_what_cosign_attached_as_sbom(cosign2, shown, docker_registry, repository, path, words, format_):
    image = push_image(docker_registry, repository, "v1")
    cosign2("attach", "sbom", "--sbom", path, *words, image.reference, env={"COSIGN_EXPERIMENTAL": "1"}, check=True)
    found = shown(image.tagged)
    (document,) = found["documents"]
    assert (document["origin"], document["format"], document["signed"]) == ("sbom-tag", format_, "unsigned")
    assert any("log4j" in each["name"] for each in found["packages"])


@pytest.mark.parametrize(
    ("kind", "path", "bundle"),
    [("spdxjson", SPDX, True), ("spdxjson", SPDX, False), ("spdx", TEXT, False), ("cyclonedx", CYCLONEDX, True)],
)
def test_what_cosign_attested(cosign3, shown, keys, registry, repository, kind, path, bundle):
    image = push_image(registry, repository, "v1")
    cosign3("attest", "--key", keys.private, *COSIGN_OFFLINE, f"--new-bundle-format={str(bundle).lower()}",
            "--type", kind, "--predicate", path, image.reference, check=True)  # fmt: skip
    (document,) = shown(image.tagged)["documents"]
    assert (document["origin"], document["signed"], document["problem"]) == ("attestation", "not-verified", None)
    found = shown(image.tagged, "--key", keys.public)
    assert found["documents"][0]["signedBy"] == str(keys.public)
    assert any("log4j" in each["name"] for each in found["packages"])


def test_what_oras_attached(oras, shown, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    oras("attach", "--plain-http", "--artifact-type", "application/spdx+json", image.reference,
         f"{SPDX.name}:application/spdx+json", cwd=DOCUMENTS, check=True)  # fmt: skip
    oras("attach", "--plain-http", "--artifact-type", "application/vnd.cyclonedx+json", image.reference,
         f"{CYCLONEDX.name}:application/json", cwd=DOCUMENTS, check=True)  # fmt: skip
    found = shown(image.tagged)["documents"]
    assert sorted((each["origin"], each["format"]) for each in found) == [
        ("referrer", "cyclonedx"),
        ("referrer", "spdx"),
    ]


def test_what_is_listed_and_gone_hides_no_other(sealgate, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    attach_artifact(Client(docker_registry), image, "application/spdx+json", SPDX.read_bytes())
    gone = add_missing_to_fallback(Client(docker_registry), image)
    said = sealgate("sbom", "show", image.tagged)
    assert said.returncode == 0
    assert "left-pad" in said.stdout
    assert gone in said.stderr


def test_D02_many_large_ones_are_read_within_200_mebibytes(sealgate, api_registry, repository):
    document = json.loads(SPDX.read_text())
    row = document["packages"][1]
    document["packages"] = [
        row | {"SPDXID": f"SPDXRef-{number}", "name": f"package-{number}", "versionInfo": "1"} for number in range(2500)
    ]
    content = json.dumps(document).encode()
    assert len(content) > 6_000_000
    names = []
    for number in range(8):
        image = push_image(api_registry, repository, f"v{number}")
        attach_artifact(Client(api_registry), image, "application/spdx+json", content + b" " * number)
        names.append(image.tagged)
    measured = (
        "import resource, subprocess, sys\n"
        "print(subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", measured, sealgate.path, "sbom", "find", *names, "package-77@1"]
    code, kibibytes = map(int, subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.split())
    assert code == 0
    assert kibibytes < 200 * 1024


def test_find_documents_says_where_each_lies(api_registry, repository):
    """The flow that making, attaching and lifting share."""
    from contextlib import ExitStack

    from sealgate import limits
    from sealgate.artifacts.sboms import find_documents, read_document
    from sealgate.oci.host import RegistrySettings
    from sealgate.oci.images import Images
    from sealgate.oci.registry import Session
    from sealgate.transport import driver
    from sealgate.transport.http import HttpClient

    image = push_image(api_registry, repository, "v1")
    manifest = attach_artifact(Client(api_registry), image, "application/spdx+json", SPDX.read_bytes())

    async def find(limit):
        with ExitStack() as closing:
            opened = Images(Session(RegistrySettings(allow_http=True)), closing=closing)
            return await find_documents(await opened.open(image.tagged), limit=limit)

    def run(limit):
        client = HttpClient()
        try:
            return driver.run(find(limit), sender=client.send, seconds=30)
        finally:
            client.close()

    found = run(limits.SBOM_BYTES)
    assert (str(found.digest), found.problems) == (image.digest, ())
    (document,) = found.documents
    assert document.content == SPDX.read_bytes()
    assert (document.origin, document.signed, document.platform, document.problem) == ("referrer", False, None, None)
    assert (str(document.manifest), str(document.image)) == (manifest, image.digest)
    assert str(document.layer) == digest_of(SPDX.read_bytes())
    assert document.where == f"{image.name}@{manifest}"
    assert len(read_document(document).packages) == 6
    (too_large,) = run(100).documents
    assert too_large.problem.code == "limit-exceeded"
    assert too_large.content == b""
