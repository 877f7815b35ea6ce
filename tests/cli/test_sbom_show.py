"""`sbom show`: the SBOMs of an image wherever tools put them, what is signed of them, and the packages of one."""

import json
import os
from pathlib import Path

import pytest

from peers.attachments import attach_artifact
from peers.images import OCI_INDEX, OCI_MANIFEST, Client, descriptor, digest_of, push_image
from sealgate.evidence import dsse
from sealgate.oci.server import serve_in_thread

DOCUMENTS = Path(__file__).parents[1] / "sbom" / "documents"
SPDX = (DOCUMENTS / "syft.spdx.json").read_bytes()
TEXT = (DOCUMENTS / "syft.spdx").read_bytes()
CYCLONEDX = (DOCUMENTS / "syft.cdx.json").read_bytes()
REAL = "sha256:073eea17c6eb12e9f8c19237760fa0d8a28eeb7aecfd114c85f48251b8e9229e"
"""The image that the documents are about."""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def repository(request):
    return "s/" + digest_of(request.node.nodeid.encode())[7:19]


@pytest.fixture
def image(host, repository):
    return push_image(host, repository, "v1")


@pytest.fixture
def attest(cli, key, tmp_path):
    """`attest(image, content)`: as spdxjson unless said otherwise."""

    def run(image, content, *words, kind="spdxjson", by=key):
        path = tmp_path / "predicate"
        path.write_bytes(content)
        said = cli("attest", "--key", by.private, "--type", kind, "--predicate", path, "--settle", "1ms", *words, image)
        assert said.code == 0, said.err

    return run


def about(content, image):
    """The document, about this image instead."""
    return content.replace(REAL[7:].encode(), image.digest[7:].encode())


def put_sbom_tag(image, content, media_type="application/spdx+json"):
    """As `cosign attach sbom`."""
    client = Client(image.host)
    config = b"{}"
    for blob in (config, content):
        client.put_blob(image.repository, blob)
    raw = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor(media_type, content)],
        }
    ).encode()
    return client.put_manifest(image.repository, image.digest.replace(":", "-") + ".sbom", raw, OCI_MANIFEST)


def put_buildkit(image, content, *, subject=None, platform="linux/amd64", tag="buildkit"):
    """An index as BuildKit makes it: `image`, and an attestation manifest with an SBOM and a provenance."""
    client = Client(image.host)
    layers = []
    for kind, predicate in (("https://spdx.dev/Document", content), ("https://slsa.dev/provenance/v1", b"{}")):
        digest = {"sha256": (subject or image.digest)[7:]}
        statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind,
                                "subject": [{"name": "app", "digest": digest}], "predicate": json.loads(predicate)}).encode()  # fmt: skip
        client.put_blob(image.repository, statement)
        layers.append(
            descriptor("application/vnd.in-toto+json", statement, annotations={"in-toto.io/predicate-type": kind})
        )
    client.put_blob(image.repository, b"{}")
    config = descriptor("application/vnd.oci.image.config.v1+json", b"{}")
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}).encode()
    client.put_manifest(image.repository, None, raw, OCI_MANIFEST)
    os_name, _, architecture = platform.partition("/")
    entries = [
        descriptor(image.media_type, image.raw, platform={"os": os_name, "architecture": architecture}),
        descriptor(OCI_MANIFEST, raw, platform={"os": "unknown", "architecture": "unknown"}, annotations={
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest}),
    ]  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    client.put_manifest(image.repository, tag, index, OCI_INDEX)
    return f"{image.name}:{tag}"


def documents(cli, name, *words):
    said = cli("sbom", "show", "-o", "json", *words, name)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_every_place_is_looked_at_and_says_whether_it_is_signed(cli, image, attest):
    put_sbom_tag(image, CYCLONEDX, "application/vnd.cyclonedx+json")
    attach_artifact(Client(image.host), image, "text/spdx", TEXT)
    attest(image.reference, SPDX)
    attest(image.reference, CYCLONEDX, "--format", "legacy", kind="cyclonedx")
    found = documents(cli, image.tagged)
    assert found["digest"] == image.digest
    assert [(each["origin"], each["format"], each["signed"], each["packages"]) for each in found["documents"]] == [
        ("sbom-tag", "cyclonedx", "unsigned", 7),
        ("referrer", "spdx", "unsigned", 6),
        ("attestation", "cyclonedx", "not-verified", 7),
        ("attestation", "spdx", "not-verified", 6),
    ]
    assert {each["about"] for each in found["documents"]} == {"another-image"}
    assert found["document"] in {3, 4}
    assert {each["name"] for each in found["packages"]} >= {"jinja2", "libssl3"}


def test_text_shows_documents_and_packages(cli, image, attest):
    put_sbom_tag(image, SPDX)
    attest(image.reference, about(SPDX, image))
    said = cli("sbom", "show", image.tagged)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == f"{image.tagged}  {image.digest}"
    unsigned, signed = (next(line for line in lines if word in line) for word in (".sbom tag at", "attestation at"))
    assert unsigned.startswith("  1  SPDX 2.3  syft-1.18.1  6         unsigned  ")
    assert "another image" in unsigned
    assert signed.startswith("* 2  SPDX 2.3")
    assert "signed, not verified" in signed
    assert "this image" in signed
    assert any(line.split() == ["left-pad", "1.3.0", "WTFPL", "pkg:npm/left-pad@1.3.0"] for line in lines)
    assert "signed by" not in said.out


def test_a_key_shows_who_signed_and_takes_no_other_document(cli, image, attest, key, other, monkeypatch):
    attest(image.reference, CYCLONEDX, kind="cyclonedx", by=other)
    attest(image.reference, about(SPDX, image))
    put_sbom_tag(image, CYCLONEDX)
    found = documents(cli, image.tagged, "--key", key.public)
    assert {each["origin"]: each["signed"] for each in found["documents"] if each["format"] == "spdx"} == {
        "attestation": "verified"
    }
    assert [each["signed"] for each in found["documents"] if each["format"] == "cyclonedx"] == [
        "unsigned",
        "not-verified",
    ]
    chosen = found["documents"][found["document"] - 1]
    assert (chosen["format"], chosen["signedBy"]) == ("spdx", key.public)
    folder, name = os.path.split(key.public)
    monkeypatch.chdir(folder)  # a table cuts long names
    assert f"signed by {name}" in cli("sbom", "show", "--key", name, image.tagged).out
    number = next(each["number"] for each in found["documents"] if each["signed"] == "not-verified")
    refused = cli("sbom", "show", "--key", key.public, "--document", number, image.tagged)
    assert refused.code == 12
    assert "NAME" not in refused.out
    assert cli("sbom", "show", "--document", number, image.tagged).code == 0


@pytest.mark.parametrize("attach", ["unsigned", "by another", "altered", "of another image"])
def test_W04_a_key_that_did_not_sign_shows_no_packages(cli, image, attest, key, other, attach, host, repository):
    if attach == "unsigned":
        put_sbom_tag(image, SPDX)
    elif attach == "by another":
        attest(image.reference, SPDX, by=other)
    elif attach == "altered":
        envelope = dsse.Envelope(dsse.IN_TOTO, _statement(image.digest), (dsse.EnvelopeSignature(b"0" * 70),))
        attach_artifact(Client(host), image, "application/vnd.dsse.envelope.v1+json", dsse.encode(envelope))
    else:
        neighbour = push_image(host, repository, "v2")
        attest(neighbour.reference, SPDX)
        tags = Client(host).get_manifest(repository, neighbour.digest)
        assert tags.status == 200
        listed = json.loads(Client(host).request("GET", f"/v2/{repository}/referrers/{neighbour.digest}").body)
        manifest = json.loads(Client(host).get_manifest(repository, listed["manifests"][0]["digest"]).body)
        bundle = Client(host).get_blob(repository, manifest["layers"][0]["digest"]).body
        attach_artifact(Client(host), image, "application/vnd.dev.sigstore.bundle.v0.3+json", bundle)
    said = cli("sbom", "show", "--key", key.public, image.tagged)
    assert said.code == 12
    assert "signed by" not in said.out
    assert "left-pad" not in said.out
    assert cli("sbom", "show", image.tagged).code == 0


def _statement(digest):
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": digest[7:]}}],
            "predicateType": "https://spdx.dev/Document",
            "predicate": json.loads(SPDX),
        }
    ).encode()


def test_the_attestation_of_the_image_itself_is_shown_with_the_key(cli, image, attest, key):
    attest(image.reference, SPDX)
    assert "left-pad" in cli("sbom", "show", "--key", key.public, image.tagged).out


def test_E11_a_statement_about_another_image_says_so(cli, image):
    other = _statement("sha256:" + "1" * 64)
    envelope = dsse.encode(dsse.Envelope(dsse.IN_TOTO, other, (dsse.EnvelopeSignature(b"0"),)))
    attach_artifact(Client(image.host), image, "application/vnd.dsse.envelope.v1+json", envelope)
    (shown,) = documents(cli, image.tagged)["documents"]
    assert (shown["signed"], shown["about"]) == ("not-verified", "another-image")


@pytest.mark.parametrize("kind", ["application/vnd.in-toto+json", "application/vnd.in-toto.spdx+dsse"])
def test_statements_in_referrers_are_told_from_envelopes_by_their_content(cli, image, kind):
    statement = _statement(image.digest)
    envelope = dsse.encode(dsse.Envelope(dsse.IN_TOTO, statement, (dsse.EnvelopeSignature(b"0"),)))
    for content in (statement, envelope):
        attach_artifact(Client(image.host), image, kind, content)
    found = documents(cli, image.tagged)["documents"]
    assert sorted(each["signed"] for each in found) == ["not-verified", "unsigned"]


def test_buildkit_in_an_index(cli, image):
    name = put_buildkit(image, SPDX)
    (shown,) = documents(cli, name)["documents"]
    assert (shown["origin"], shown["signed"], shown["platform"]) == ("buildkit", "unsigned", "linux/amd64")
    assert shown["image"] == image.digest
    assert documents(cli, name, "--platform", "linux/amd64")["documents"][0]["origin"] == "buildkit"
    assert cli("sbom", "show", "--platform", "linux/s390x", name).code == 1


def test_of_an_index_those_of_its_images_too(cli, host, repository, attest):
    index = push_image(host, repository, "multi", kind="index")
    attest(index.children[1].reference, about(SPDX, index.children[1]))
    (shown,) = documents(cli, index.tagged)["documents"]
    assert (shown["platform"], shown["about"]) == ("linux/arm64", "this-image")
    assert cli("sbom", "show", "--platform", "linux/amd64", index.tagged).code == 10


def test_E06_other_attestations_are_none(cli, image, attest):
    attest(image.reference, b'{"anything":1}', kind="custom")
    said = cli("sbom", "show", image.tagged)
    assert said.code == 10
    assert f"{image.tagged} has no SBOM [no-sbom]" in said.err
    attest(image.reference, TEXT, "--format", "legacy", kind="spdx")
    assert [each["format"] for each in documents(cli, image.tagged)["documents"]] == ["spdx"]


def test_types_with_a_version_are_found(cli, image, attest):
    attest(image.reference, SPDX, kind="https://spdx.dev/Document/v2.3")
    attest(image.reference, CYCLONEDX, kind="https://cyclonedx.org/bom/v1.6")
    attest(image.reference, SPDX, kind="https://spdx.dev/Documentary")
    attest(image.reference, SPDX, kind="https://spdx.dev/Document/v2.3/x")
    attest(image.reference, SPDX, kind="https://spdx.dev/Document/v77")
    found = documents(cli, image.tagged)["documents"]
    assert sorted(each["type"] for each in found) == [
        "https://cyclonedx.org/bom/v1.6",
        "https://spdx.dev/Document/v2.3",
    ]


def test_type_chooses_and_what_is_not_there_is_said(cli, image):
    put_sbom_tag(image, CYCLONEDX)
    assert documents(cli, image.tagged, "--type", "cyclonedx")["document"] == 1
    said = cli("sbom", "show", "--type", "spdx", image.tagged)
    assert said.code == 10
    assert "has no SBOM of the type spdx" in said.err
    assert cli("sbom", "show", "--document", "2", image.tagged).code == 2


def test_an_unreadable_document_hides_no_other(cli, image):
    attach_artifact(Client(image.host), image, "application/spdx+json", b'{"spdxVersion": ')
    alone = cli("sbom", "show", image.tagged)
    assert alone.code == 1
    assert "[sbom-invalid]" in alone.err
    assert "unreadable" in alone.out
    put_sbom_tag(image, SPDX)
    said = cli("sbom", "show", image.tagged)
    assert said.code == 0
    assert "unreadable" in said.out
    assert "left-pad" in said.out
    assert "[sbom-invalid]" in said.err


def test_X10_words_of_others_are_escaped(cli, image):
    evil = "\x1b[2J\u202egnp"
    package = {"SPDXID": "SPDXRef-a", "name": evil, "versionInfo": evil, "licenseDeclared": evil, "supplier": evil,
               "externalRefs": [{"referenceType": "purl", "referenceLocator": f"pkg:a/{evil}"}]}  # fmt: skip
    document = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": evil, "packages": [package],
                "creationInfo": {"creators": [f"Tool: {evil}"]}}  # fmt: skip
    put_sbom_tag(image, json.dumps(document).encode(), "application/spdx+json")
    for words in (["show", image.tagged], ["show", "-o", "json", image.tagged], ["find", image.tagged, "gnp"],
                  ["find", "-o", "json", image.tagged, "gnp"], ["diff", image.tagged, DOCUMENTS / "syft.spdx.json"],
                  ["diff", "-o", "json", image.tagged, DOCUMENTS / "syft.spdx.json"]):  # fmt: skip
        said = cli("sbom", *words)
        assert said.code == 0
        assert "gnp" in said.out
        assert "\x1b" not in said.out + said.err
        assert "\u202e" not in said.out + said.err


def test_no_image_and_no_registry(cli, host):
    assert cli("sbom", "show", f"{host}/nothing:here").code == 11
    assert cli("sbom", "show", "127.0.0.1:1/a:b").code == 14


# -- files


@pytest.mark.parametrize("name", ["syft.spdx.json", "syft.spdx", "syft.cdx.json", "syft.syft.json"])
def test_a_file_is_read_whatever_its_name(cli, name, tmp_path):
    path = tmp_path / "what-is-it"
    path.write_bytes((DOCUMENTS / name).read_bytes())
    found = documents(cli, path)
    assert found["documents"][0]["origin"] == "file"
    assert any("log4j" in each["name"] for each in found["packages"])
    assert documents(cli, f"file:{path}")["packages"] == found["packages"]


def test_stdin_statements_envelopes_and_bundles(cli, image, attest, tmp_path, host, repository):
    assert cli("sbom", "show", "-", input=SPDX.decode()).code == 0
    statement = _statement(image.digest)
    assert "  unsigned  " in cli("sbom", "show", "-", input=statement.decode()).out
    envelope = dsse.encode(dsse.Envelope(dsse.IN_TOTO, statement, (dsse.EnvelopeSignature(b"0"),)))
    assert "signed, not verified" in cli("sbom", "show", "-", input=envelope.decode()).out
    attest(image.reference, SPDX)
    listed = json.loads(Client(host).request("GET", f"/v2/{repository}/referrers/{image.digest}").body)
    manifest = json.loads(Client(host).get_manifest(repository, listed["manifests"][0]["digest"]).body)
    bundle = Client(host).get_blob(repository, manifest["layers"][0]["digest"]).body
    assert "signed, not verified" in cli("sbom", "show", "-", input=bundle.decode()).out


def test_D02_a_file_of_200_megabytes_is_refused_unread(cli, tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    said = cli("sbom", "show", path)
    assert said.code == 1
    assert "is larger than 33554432 bytes [limit-exceeded]" in said.err


def test_D02_an_attached_sbom_of_200_megabytes_is_not_fetched(cli, image):
    client = Client(image.host)
    client.put_blob(image.repository, b"{}")
    client.put_blob(image.repository, SPDX)
    layer = descriptor("application/spdx+json", SPDX) | {"size": 200_000_000}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [layer],
                      "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}")}).encode()  # fmt: skip
    answer = client.request(
        "PUT",
        f"/v2/{image.repository}/manifests/{image.digest.replace(':', '-')}.sbom",
        raw,
        {"Content-Type": OCI_MANIFEST},
    )
    assert answer.status == 201
    said = cli("sbom", "show", image.tagged)
    assert said.code == 1
    assert "[limit-exceeded]" in said.err


def test_a_file_and_a_key_do_not_go_together(cli, key):
    said = cli("sbom", "show", "--key", key.public, DOCUMENTS / "syft.spdx.json")
    assert said.code == 2
    assert "verify-blob-attestation" in said.err
    assert cli("sbom", "show", "--require", "any", DOCUMENTS / "syft.spdx.json").code == 2
    assert cli("sbom", "show", DOCUMENTS / "no-such-file.json").code != 0


def test_without_a_command_one_is_made(cli, tmp_path):
    said = cli("sbom", f"oci:{tmp_path}/nothing", env={"PATH": str(tmp_path)})
    assert said.code != 0
    assert "make|show|find|diff" not in said.err
    assert cli("sbom", "--help").code == 0
    assert "required" in cli("sbom").err
