"""`sbom diff`: what differs between the SBOMs of two images or files."""

import json
from pathlib import Path

import pytest

from peers.attachments import attach_artifact
from peers.images import Client, push_image
from sealgate.oci.server import serve_in_thread

DOCUMENTS = Path(__file__).parents[1] / "sbom" / "documents"
OLD = DOCUMENTS / "syft.spdx.json"
CYCLONEDX = DOCUMENTS / "syft.cdx.json"


@pytest.fixture
def new(tmp_path):
    """The older one with one package more, one less, one newer and one of another license."""
    document = json.loads(OLD.read_text().replace("2.14.1", "2.17.0").replace("BSD-3-Clause", "GPL-3.0-only"))
    document["packages"] = [each for each in document["packages"] if each["name"] != "left-pad"]
    document["packages"].append({"SPDXID": "SPDXRef-new", "name": "xz", "versionInfo": "5.6.1"})
    path = tmp_path / "new.json"
    path.write_text(json.dumps(document))
    return path


def test_text(cli, new):
    said = cli("sbom", "diff", OLD, new)
    assert said.code == 0
    assert said.out.splitlines() == [
        f"--- {OLD}: SPDX 2.3, unsigned, file at {OLD}",
        f"+++ {new}: SPDX 2.3, unsigned, file at {new}",
        "",
        "added (1)",
        "+ xz 5.6.1",
        "",
        "removed (1)",
        "- npm left-pad 1.3.0",
        "",
        "changed (1)",
        "~ maven org.apache.logging.log4j/log4j-core 2.14.1 -> 2.17.0",
        "",
        "licenses changed (1)",
        "~ pypi jinja2 BSD-3-Clause -> GPL-3.0-only",
    ]


def test_json(cli, new):
    found = json.loads(cli("sbom", "diff", "-o", "json", OLD, new).out)
    assert found["before"]["document"]["format"] == "spdx"
    assert found["added"] == [{"type": "", "name": "xz", "before": [], "after": ["5.6.1"]}]
    assert found["removed"] == [{"type": "npm", "name": "left-pad", "before": ["1.3.0"], "after": []}]
    assert [each["after"] for each in found["changed"]] == [["2.17.0"]]
    assert [each["after"] for each in found["licenses"]] == [["GPL-3.0-only"]]


def test_exit_code_is_asked_for(cli, new):
    assert cli("sbom", "diff", "--exit-code", OLD, new).code == 1
    same = cli("sbom", "diff", "--exit-code", OLD, OLD)
    assert same.code == 0
    assert same.out.endswith("\nno difference\n")


def test_one_of_several_versions(cli, tmp_path):
    rows = [{"SPDXID": f"SPDXRef-{version}", "name": "a", "versionInfo": str(version)} for version in (1, 2)]
    paths = []
    for number, packages in enumerate((rows[:1], rows)):
        document = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": packages}
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(document))
    assert "~ a also 2" in cli("sbom", "diff", *paths).out
    assert "~ a no longer 2" in cli("sbom", "diff", *reversed(paths)).out


def test_images_and_files_of_different_formats(cli, tmp_path, new, key):
    with serve_in_thread(tmp_path / "registry") as host:
        image = push_image(host, "d/app", "v1")
        attach_artifact(Client(host), image, "application/vnd.cyclonedx+json", CYCLONEDX.read_bytes())
        said = cli("sbom", "diff", image.tagged, new)
        assert said.code == 0
        assert "- npm left-pad 1.3.0" in said.out
        assert "says that it is about another image" in said.err
        other = push_image(host, "d/app", "v2")
        assert cli("sbom", "diff", image.tagged, other.tagged).code == 10
        path = tmp_path / "predicate"
        path.write_bytes(OLD.read_bytes())
        attested = cli(
            "attest", "--key", key.private, "--type", "spdxjson", "--predicate", path, "--settle", "1ms", other.tagged
        )
        assert attested.code == 0
        assert cli("sbom", "diff", image.tagged, other.tagged).code == 0
        # With a key both must be signed.
        assert cli("sbom", "diff", "--key", key.public, image.tagged, other.tagged).code == 12
        assert cli("sbom", "diff", "--key", key.public, other.tagged, other.tagged).code == 0


def test_what_cannot_be_read(cli, tmp_path):
    path = tmp_path / "cut.json"
    path.write_bytes(OLD.read_bytes()[:-100])
    said = cli("sbom", "diff", OLD, path)
    assert said.code == 1
    assert "[sbom-invalid]" in said.err
    assert said.out == ""
