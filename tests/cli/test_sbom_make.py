"""`sealgate sbom IMAGE`: the real Syft (sealgate[sbom] brings it), a Syft that is a script, what is bound, signed and refused."""

import base64
import json
import os
import sys
from pathlib import Path

import pytest

from peers.images import (
    OCI_MANIFEST,
    Client,
    descriptor,
    digest_of,
    push_image,
)
from peers.packages import FILES, push_packages
from sealgate import limits

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
MOMENT = "2023-11-14T22:13:20Z"


@pytest.fixture
def repository(request):
    return "made/" + digest_of(request.node.nodeid.encode())[7:19]


@pytest.fixture
def image(docker_registry, repository):
    return push_packages(docker_registry, repository)


@pytest.fixture
def index(docker_registry, repository):
    return push_packages(docker_registry, repository, architectures=("amd64", "arm64"))


def test_spdx_is_bound_to_the_digest(cli, image):
    said = cli("sbom", image.tagged, env=EPOCH)
    assert said.code == 0, said.err
    document = json.loads(said.out)
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["name"] == f"{image.name}@{image.digest}"
    assert document["creationInfo"]["created"] == MOMENT
    assert document["creationInfo"]["creators"][1].startswith("Tool: syft-")
    assert document["creationInfo"]["creators"][2].startswith("Tool: sealgate-")
    (described,) = [each["relatedSpdxElement"] for each in document["relationships"]
                    if each["spdxElementId"] == "SPDXRef-DOCUMENT"]  # fmt: skip
    packages = {package["SPDXID"]: package for package in document["packages"]}
    root = packages[described]
    assert root["checksums"] == [{"algorithm": "SHA256", "checksumValue": image.digest[7:]}]
    (purl,) = [each["referenceLocator"] for each in root["externalRefs"]]
    last = image.repository.rpartition("/")[2]
    assert purl == f"pkg:oci/{last}@{image.digest}?arch=amd64&repository_url={image.name}"
    versions = {package["name"]: package["versionInfo"] for package in document["packages"]}
    assert versions["openssl"] == "3.0.11-1~deb12u2"
    assert versions["requests"] == "2.31.0"


def test_cyclonedx_is_bound_to_the_digest(cli, image, tmp_path):
    said = cli("sbom", "--format", "cyclonedx-json", "-o", tmp_path / "bom.json", image.reference, env=EPOCH)
    assert (said.code, said.out) == (0, "")
    document = json.loads((tmp_path / "bom.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    metadata = document["metadata"]
    assert metadata["timestamp"] == MOMENT
    assert [tool["name"] for tool in metadata["tools"]["components"]] == ["syft", "sealgate"]
    component = metadata["component"]
    assert (component["name"], component["version"]) == (image.name, image.digest)
    assert component["hashes"] == [{"alg": "SHA-256", "content": image.digest[7:]}]
    assert component["purl"].startswith(f"pkg:oci/{image.repository.rpartition('/')[2]}@{image.digest}?arch=amd64&")
    assert {"openssl", "requests"} <= {each["name"] for each in document["components"]}


@pytest.mark.parametrize("format_", ["spdx-json", "cyclonedx-json"])
def test_the_same_image_gives_the_same_bytes(cli, image, format_, tmp_path):
    first = cli("sbom", "--format", format_, image.tagged, env=EPOCH)
    second = cli("sbom", "make", "--format", format_, image.reference, env=EPOCH)
    assert first.code == 0
    assert first.out == second.out
    assert first.out.count("\n") == 1
    for word in ("sealgate-", str(tmp_path), "/tmp/"):
        assert word not in first.out.replace("Tool: sealgate-", "")
    other = cli("sbom", "--format", format_, image.reference, env={"SOURCE_DATE_EPOCH": "1700000001"})
    assert other.out != first.out


def test_what_is_made_can_be_read(cli, image, tmp_path):
    for format_ in ("spdx-json", "cyclonedx-json"):
        assert cli("sbom", "--format", format_, "-o", tmp_path / format_, image.reference).code == 0
        said = cli("sbom", "show", tmp_path / format_)
        assert said.code == 0, said.err
        assert "3.0.11-1~deb12u2" in said.out


def test_layouts_and_archives_and_dockers_types(cli, docker_registry, repository, tmp_path):
    image = push_packages(docker_registry, repository, docker=True)
    assert cli("sbom", image.reference).code == 0
    for place in (f"oci:{tmp_path / 'layout'}", f"oci-archive:{tmp_path / 'image.tar'}"):
        assert cli("copy", image.reference, f"{place}:v1").code == 0
        said = cli("sbom", f"{place}:v1")
        assert said.code == 0, said.err
        document = json.loads(said.out)
        assert document["name"].endswith(f"@{image.digest}")
        assert str(tmp_path) not in said.out


def test_of_an_index_a_platform_is_named(cli, index):
    said = cli("sbom", index.tagged)
    assert (said.code, "[usage]" in said.err, "linux/amd64, linux/arm64" in said.err) == (2, True, True)
    said = cli("sbom", "--platform", "linux/arm64", index.tagged)
    assert json.loads(said.out)["name"] == f"{index.name}@{index.children[1].digest}"
    assert "arch=arm64" in said.out
    assert cli("sbom", "--platform", "linux/s390x", index.tagged).code == 1


@pytest.mark.parametrize(("format_", "kind"), [("spdx-json", "spdxjson"), ("cyclonedx-json", "cyclonedx")])
def test_attest_signs_and_attaches_it(cli, cosign3, cosign2, key, image, format_, kind, tmp_path):
    words = ("--attest", "--key", key.private, "--settle", "1ms", "--format", format_)
    said = cli("sbom", *words, "--attestation-format", "both", "-o", tmp_path / "sbom", image.tagged, env=EPOCH)
    assert (said.code, said.out) == (0, ""), said.err
    assert said.err.count("Attested: ") == 2
    verified = cli("verify-attestation", "--key", key.public, "--type", kind, image.reference)
    assert verified.code == 0
    payload = base64.b64decode(json.loads(verified.out.splitlines()[0])["payload"])
    assert (tmp_path / "sbom").read_bytes().strip() in payload  # byte for byte
    ignoring = ("--insecure-ignore-tlog", "--type", kind, image.reference)
    for cosign, bundles in ((cosign3, "true"), (cosign3, "false"), (cosign2, "false")):
        cosign("verify-attestation", "--key", key.public, f"--new-bundle-format={bundles}", *ignoring, check=True)
    again = cli("sbom", *words, "--attestation-format", "both", image.tagged, env=EPOCH)
    assert again.err.count("Already attested: ") == 2


def test_replace_lets_the_older_one_go(cli, key, image):
    words = ("--attest", "--key", key.private, "--settle", "1ms", image.reference)
    assert cli("sbom", *words, env=EPOCH).code == 0
    assert cli("sbom", "--replace", *words, env={"SOURCE_DATE_EPOCH": "1700000099"}).code == 0
    found = cli("download", "attestation", image.reference).out.splitlines()
    assert len(found) == 1


def test_of_an_index_every_image_is_attested(cli, key, index):
    said = cli("sbom", "--attest", "--key", key.private, "--settle", "1ms", index.tagged)
    assert said.code == 0, said.err
    for child in index.children:
        verified = cli("verify-attestation", "--key", key.public, "--type", "spdxjson", child.reference)
        assert verified.code == 0
        payload = json.loads(base64.b64decode(json.loads(verified.out)["payload"]))
        assert payload["subject"][0]["digest"] == {"sha256": child.digest[7:]}
        assert payload["predicate"]["name"].endswith(f"@{child.digest}")
    assert cli("verify-attestation", "--key", key.public, "--type", "spdxjson", index.reference).code == 10


def test_a_layer_that_is_a_bomb_fills_no_disk(cli, docker_registry, repository, monkeypatch):
    image = push_packages(docker_registry, repository, files=FILES | {"zeros": "\0" * 8_000_000})
    assert cli("sbom", image.tagged).code == 0
    monkeypatch.setattr(limits, "ARCHIVE_FREE_BYTES", 1024 * 1024)
    said = cli("sbom", image.tagged)
    assert (said.code, "[generator-failed]" in said.err) == (14, True)


# -- a Syft that is a script


SCRIPT = """#!{python}
import json, os, sys, time
with open({log!r}, "w") as file:
    json.dump({{"argv": sys.argv, "environ": dict(os.environ), "cwd": os.listdir("."),
               "layout": sorted(os.listdir(sys.argv[2].partition(":")[2]))}}, file)
{body}
"""


@pytest.fixture
def syft(tmp_path, monkeypatch):
    """`syft(body)`: what runs instead; the one beside this Python is out of sight."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    real = os.path.realpath("/proc/self/exe")

    def make(body):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "syft"
        program.write_text(SCRIPT.format(python=real, log=str(tmp_path / "log.json"), body=body))
        program.chmod(0o755)
        return {"PATH": str(folder)}

    return make


def prints(document):
    return f"sys.stdout.write({json.dumps(document)!r})"


def spdx(image, **more):
    """The least that Syft could say."""
    root = {"SPDXID": "SPDXRef-Root", "name": "x", "checksums": [
        {"algorithm": "SHA256", "checksumValue": image.digest[7:]}]}  # fmt: skip
    return {
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "x", "documentNamespace": "https://x/y",
        "creationInfo": {"creators": ["Tool: syft-9"], "created": "2026-01-01T00:00:00Z"}, "packages": [root],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-Root"}],
    } | more  # fmt: skip


def test_syft_is_told_no_secret_and_reads_no_settings(cli, image, syft, tmp_path, password):
    env = syft(prints(spdx(image)))
    env |= {"COSIGN_PASSWORD": password, "SYFT_REGISTRY_AUTH_TOKEN": "t", "SYFT_PARALLELISM": "1",
            "DOCKER_CONFIG": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}  # fmt: skip
    said = cli("sbom", image.tagged, env=env)
    assert said.code == 0, said.err
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["argv"][1] == "scan"
    assert log["argv"][2].startswith("oci-dir:/")
    assert log["argv"][3:] == [
        "--quiet", "--source-name", image.name, "--source-version", image.digest, "--output", "spdx-json@2.3",
    ]  # fmt: skip
    assert log["cwd"] == []
    given = log["environ"]
    assert given["SYFT_CHECK_FOR_APP_UPDATE"] == "false"
    assert {name for name in given if name.startswith("SYFT_")} == {"SYFT_CHECK_FOR_APP_UPDATE"}
    assert not {"COSIGN_PASSWORD", "DOCKER_CONFIG"} & given.keys()
    assert given["HOME"] != str(tmp_path / "home")
    assert given["XDG_CONFIG_HOME"] != str(tmp_path)
    assert given["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert not Path(given["HOME"]).exists()  # nothing is left


def test_without_syft_it_is_said_how_to_get_it(cli, image, syft, tmp_path):
    said = cli("sbom", image.tagged, env={"PATH": str(tmp_path)})
    assert (said.code, "[generator-failed]" in said.err, "sealgate[sbom]" in said.err) == (14, True, True)
    assert cli("sbom", image.tagged, env=syft(prints(spdx(image)))).code == 0


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(1)",
        "time.sleep(60)",
        "print('{')",
        "print('[]')",
        "print('{}')",
        'print(\'{"spdxVersion":"SPDX-2.3","spdxVersion":"SPDX-2.3"}\')',
        "",
    ],
)
def test_a_syft_that_does_not_get_to_an_end_makes_no_sbom(cli, image, syft, body, tmp_path):
    said = cli("sbom", "--sbom-timeout", "2s", "-o", tmp_path / "sbom", image.tagged, env=syft(body))
    assert (said.code, "[generator-failed]" in said.err) == (14, True), said.err
    assert not (tmp_path / "sbom").exists()
    assert cli("sbom", image.tagged, env=syft(prints(spdx(image)))).code == 0


def test_a_syft_that_says_too_much_is_ended(cli, image, syft, monkeypatch):
    monkeypatch.setattr(limits, "SBOM_BYTES", 1024 * 1024)
    said = cli("sbom", image.tagged, env=syft("while True: sys.stdout.write('x' * 65536)"))
    assert (said.code, "[generator-failed]" in said.err) == (14, True)
    assert cli("sbom", image.tagged, env=syft(prints(spdx(image)))).code == 0


@pytest.mark.parametrize("change", ["checksum", "version", "two roots", "nothing described"])
def test_an_sbom_of_another_image_is_not_signed(cli, key, image, syft, change):
    document = spdx(image)
    if change == "checksum":
        document["packages"][0]["checksums"][0]["checksumValue"] = "0" * 64
    elif change == "version":
        document["spdxVersion"] = "SPDX-2.2"
    elif change == "two roots":
        document["packages"].append(dict(document["packages"][0]))
    else:
        document["relationships"] = []
    words = ("sbom", "--attest", "--key", key.private, "--settle", "1ms", image.tagged)
    said = cli(*words, env=syft(prints(document)))
    assert (said.code, "[generator-failed]" in said.err) == (14, True)
    assert cli("download", "attestation", image.reference).code == 10
    assert cli(*words, env=syft(prints(spdx(image)))).code == 0
    assert cli("download", "attestation", image.reference).code == 0


def test_the_cyclonedx_of_another_image_is_not_signed(cli, image, syft):
    def document(version):
        component = {"type": "container", "name": "x", "version": version}
        metadata = {"component": component, "tools": {"components": []}}
        return {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": metadata}

    words = ("sbom", "--format", "cyclonedx-json", image.tagged)
    for version in ("latest", "sha256:" + "0" * 64):
        said = cli(*words, env=syft(prints(document(version))))
        assert (said.code, "[generator-failed]" in said.err) == (14, True)
    assert cli(*words, env=syft(prints(document(image.digest)))).code == 0


def test_it_is_attested_without_a_key(cli, image, syft, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services")
    (tmp_path / "token").write_text(trust_service.token())
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    words = ("sbom", "--attest", *services, "--identity-token", tmp_path / "token", "--settle", "1ms", image.tagged)
    said = cli(*words, env=syft(prints(spdx(image))))
    assert said.code == 0, said.err
    who = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    verify = ("verify-attestation", "--type", "spdxjson", "--trusted-root", files.trusted_root, *who)
    assert cli(*verify, image.reference).code == 0


def test_syft_sees_one_image_alone(cli, index, syft, tmp_path):
    child = index.children[0]
    assert cli("sbom", "--platform", "linux/amd64", index.tagged, env=syft(prints(spdx(child)))).code == 0
    log = json.loads((tmp_path / "log.json").read_text())
    assert set(log["layout"]) >= {"blobs", "index.json", "oci-layout"}
    assert not os.path.exists(log["argv"][2].partition(":")[2])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--attest",), 2),
        (("--key", "k"), 2),
        (("--replace",), 2),
        (("--attestation-format", "both"), 2),
        (("--format", "text"), 2),
        ((), 0),
    ],
)
def test_wrong_usage(cli, image, syft, words, code):
    said = cli("sbom", *words, image.tagged, env=syft(prints(spdx(image))))
    assert (said.code, "[usage]" in said.err) == (code, code == 2)


def test_what_is_no_image_has_no_sbom(cli, docker_registry, repository, syft):
    client = Client(docker_registry)
    client.put_blob(repository, b"{}")
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
                      "config": descriptor("application/vnd.oci.empty.v1+json", b"{}")}).encode()  # fmt: skip
    client.put_manifest(repository, "artifact", raw, OCI_MANIFEST)
    said = cli("sbom", f"{docker_registry}/{repository}:artifact", env=syft(""))
    assert (said.code, "[manifest-unsupported]" in said.err) == (1, True)
    image = push_image(docker_registry, repository, "v1")
    assert cli("sbom", image.tagged, env=syft(prints(spdx(image)))).code == 0
    assert cli("sbom", f"{image.name}:nope", env=syft("")).code == 11
