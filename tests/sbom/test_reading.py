"""SBOMs of real programs, read as two libraries read them, and what is refused.

`documents/`: Syft 1.18.1 of one small image in every format that it has (its settings left out of its own), auditwheel's and
vendoring's of Python packages. `libraries.json`: the packages as spdx-tools 0.8 and cyclonedx-python-lib 11 read them.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError, SbomInvalidError, SealgateError
from sealgate.sbom import reading

DOCUMENTS = Path(__file__).parent / "documents"
IMAGE = Digest.parse("sha256:073eea17c6eb12e9f8c19237760fa0d8a28eeb7aecfd114c85f48251b8e9229e")
LIBRARIES = json.loads((DOCUMENTS / "libraries.json").read_text())
LICENSE_REF = "LicenseRef-https---www.apache.org-licenses-LICENSE-2.0.txt"


def content(name):
    return (DOCUMENTS / name).read_bytes()


def read(raw):
    return reading.read(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), what="the SBOM")


def normal(purl):
    return PackageURL.from_string(purl).to_string() if purl else ""


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_packages_are_those_that_the_libraries_read(name):
    expected = [
        # A license that only the document describes is shown by what it says of it.
        [each, version, normal(purl), [word.replace(LICENSE_REF, "https://www.apache.org/licenses/LICENSE-2.0.txt") for word in words]]
        for each, version, purl, words in LIBRARIES[name]["packages"]
    ]  # fmt: skip
    found = [[each.name, each.version, normal(each.purl), list(each.licenses)] for each in read(content(name)).packages]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("syft.spdx.json", "SPDX 2.3"),
        ("syft-2.2.spdx.json", "SPDX 2.2"),
        ("syft.spdx", "SPDX 2.3"),
        ("syft.cdx.json", "CycloneDX 1.6"),
        ("syft-1.4.cdx.json", "CycloneDX 1.4"),
        ("syft.syft.json", "Syft 16.0.18"),
    ],
)
def test_every_format_of_syft_says_the_same_of_the_image(name, title):
    sbom = read(content(name))
    assert sbom.title == title
    assert sbom.subject == "registry.example.com/shop/app"
    assert sbom.is_about([IMAGE]) is True
    assert sbom.is_about([Digest.of(b"another")]) is False
    assert [tool.replace("-", " ") for tool in sbom.tools] == ["syft 1.18.1"]
    found = {(each.kind, each.version, each.purl) for each in sbom.packages if each.kind != "operating-system"}
    assert found == {(each.kind, each.version, each.purl) for each in read(content("syft.syft.json")).packages}
    log4j = next(each for each in sbom.packages if "log4j" in each.name)
    assert log4j.licenses == ("https://www.apache.org/licenses/LICENSE-2.0.txt",)
    assert any(cpe.startswith("cpe:2.3:a:apache:log4j") for cpe in log4j.cpes)


def test_an_sbom_that_names_no_image_is_about_none():
    assert read(content("auditwheel.cdx.json")).is_about([IMAGE]) is None


def test_a_predicate_may_be_text_in_a_string():
    text = content("syft.spdx").decode()
    assert reading.read_value(text, what="the predicate") == read(content("syft.spdx"))
    assert reading.read(json.dumps(text).encode(), what="the predicate") == read(content("syft.spdx"))


SPDX = {
    "spdxVersion": "SPDX-2.3",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "x",
    "packages": [{"SPDXID": "SPDXRef-a", "name": "a", "versionInfo": "1"}],
}
CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [{"type": "library", "bom-ref": "a", "name": "a", "version": "1"}],
}
SYFT = {"artifacts": [{"name": "a", "version": "1"}], "source": {}, "descriptor": {}, "schema": {"version": "16.0.0"}}
TEXT = "SPDXVersion: SPDX-2.3\nSPDXID: SPDXRef-DOCUMENT\nPackageName: a\nSPDXID: SPDXRef-a\nPackageVersion: 1\n"


@pytest.mark.parametrize("document", [SPDX, CYCLONEDX, SYFT, TEXT.encode()])
def test_the_least_documents_of_each_format(document):
    (package,) = read(document).packages
    assert (package.name, package.version, package.purl, package.licenses) == ("a", "1", "", ())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n" * 100, "is empty", id="only-space"),
        pytest.param(b"{}", "no SBOM of a known format", id="empty-object"),
        pytest.param(b"[]", "is no SBOM", id="list"),
        pytest.param(b"hello", "is not JSON", id="words"),
        pytest.param(b"\xff\xfe{}", "is not UTF-8", id="utf-16"),
        pytest.param(json.dumps(SPDX).encode()[:-10], "is not JSON", id="cut-off"),
        pytest.param(content("syft.cdx.xml"), "is XML", id="xml"),
        pytest.param(b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><bom>&a;</bom>', "is XML", id="xml-entities"),
        pytest.param({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []}, "SPDX 3", id="spdx-3"),
        pytest.param(SPDX | {"spdxVersion": "SPDX-2.1"}, "'SPDX-2.1' is not read here", id="spdx-2.1"),
        pytest.param(SPDX | {"SPDXID": "SPDXRef-x"}, "SPDXID is not SPDXRef-DOCUMENT", id="spdx-without-id"),
        pytest.param(SPDX | {"packages": {"a": 1}}, "packages is not a list of objects", id="spdx-packages"),
        pytest.param(SPDX | {"packages": [{"SPDXID": "SPDXRef-a"}]}, "name is missing", id="spdx-no-name"),
        pytest.param(SPDX | {"packages": SPDX["packages"] * 2}, "stands twice", id="spdx-same-id"),
        pytest.param(SPDX | CYCLONEDX, "SPDX and CycloneDX at once", id="two-formats"),
        pytest.param(CYCLONEDX | SYFT, "CycloneDX and Syft at once", id="two-other-formats"),
        pytest.param(CYCLONEDX | {"bomFormat": "cyclonedx"}, "bomFormat is not CycloneDX", id="cyclonedx-case"),
        pytest.param(CYCLONEDX | {"specVersion": "2.0"}, "'2.0' is not read here", id="cyclonedx-2.0"),
        pytest.param(CYCLONEDX | {"components": CYCLONEDX["components"] * 2}, "stands twice", id="cyclonedx-same-ref"),
        pytest.param(CYCLONEDX | {"components": [{"name": 1}]}, "name is not a string", id="cyclonedx-name"),
        pytest.param((TEXT + "PackageComment: <text>never\nending").encode(), "has no end", id="text-cut-off"),
        pytest.param((TEXT + "no tag here\n").encode(), "neither a tag nor a comment", id="text-junk"),
        pytest.param(TEXT.replace("2.3", "2.9").encode(), "'SPDX-2.9' is not read here", id="text-version"),
        pytest.param(TEXT.encode() + b"PackageSupplier: \xff\n", "is not UTF-8", id="text-latin-1"),
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_refused(document, words):
    with pytest.raises(SbomInvalidError) as caught:
        read(document)
    assert caught.value.code == "sbom-invalid"
    assert words in caught.value.message
    assert caught.value.message.startswith("the SBOM")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"spdxVersion":"SPDX-2.3","packages":[],"packages":[1]}', "same key twice"),
        (b'{"bomFormat":"CycloneDX","Components":[],"components":[1]}', "differ in case"),
        ((TEXT + "PackageVersion: 2\n").encode(), "PackageVersion stands twice"),
    ],
)
def test_M03_what_stands_twice_is_refused(document, words):
    with pytest.raises(SbomInvalidError, match=words) as caught:
        read(document)
    assert caught.value.code == "sbom-invalid"


def test_D02_a_large_sbom_is_refused_by_its_size():
    with pytest.raises(LimitError, match=f"the SBOM is larger than {limits.SBOM_BYTES} bytes"):
        read(b" " * (limits.SBOM_BYTES + 1))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b'{"spdxVersion":' + b"[" * 100_000, id="nesting"),  # D11
        pytest.param(b'{"spdxVersion":[' + b"0," * (limits.SBOM_VALUES + 1) + b"0]}", id="values"),
        pytest.param(b'{"spdxVersion":' + b"9" * 1000 + b"}", id="number"),
    ],
)
def test_D11_what_is_too_much_is_refused_by_its_bound(document):
    with pytest.raises(LimitError) as caught:
        read(document)
    assert caught.value.code == "limit-exceeded"


def test_more_packages_than_are_read(monkeypatch):
    monkeypatch.setattr(limits, "SBOM_PACKAGES", 2)
    two = [{"SPDXID": f"SPDXRef-{each}", "name": each} for each in "ab"]
    assert len(read(SPDX | {"packages": two}).packages) == 2
    with pytest.raises(LimitError, match="more than 2 packages"):
        read(SPDX | {"packages": [*two, {"SPDXID": "SPDXRef-c", "name": "c"}]})
    text = "SPDXVersion: SPDX-2.3\nSPDXID: SPDXRef-DOCUMENT\n" + "PackageName: a\n" * 3
    with pytest.raises(LimitError, match="more than 2 packages"):
        read(text.encode())


def test_D11_components_within_components_are_found_and_bounded():
    def nested(depth):
        part = {"name": f"at-{depth}"}
        return part | {"components": [nested(depth - 1)]} if depth else part

    found = read(CYCLONEDX | {"components": [nested(20)]}).packages
    assert {each.name for each in found} == {f"at-{depth}" for depth in range(21)}
    with pytest.raises(SealgateError, match="nested deeper than"):
        read(CYCLONEDX | {"components": [nested(60)]})


def test_what_it_is_about_is_no_package_and_everything_else_is():
    image = {
        "SPDXID": "SPDXRef-image", "name": "app", "versionInfo": str(IMAGE), "primaryPackagePurpose": "CONTAINER",
    }  # fmt: skip
    described = [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"}
    ]
    document = SPDX | {"packages": [image, *SPDX["packages"]], "relationships": described}
    assert [each.name for each in read(document).packages] == ["a"]
    assert read(document).digests == {IMAGE}
    # The document's word alone makes nothing an image, and an image that is not described is a package.
    hidden = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-a"}]
    assert [each.name for each in read(document | {"relationships": hidden}).packages] == ["app", "a"]
    assert read(document | {"relationships": hidden}).digests == frozenset()


def test_trivy_names_its_image_in_properties():
    other = Digest.of(b"config")
    subject = {
        "name": "app", "type": "container", "purl": f"pkg:oci/app@{IMAGE.algorithm}%3A{IMAGE.hex}?arch=amd64",
        "properties": [{"name": "aquasecurity:trivy:ImageID", "value": str(other)}],
    }  # fmt: skip
    assert read(CYCLONEDX | {"metadata": {"component": subject}}).digests == {IMAGE, other}


@given(st.binary(max_size=400))
def test_no_bytes_bring_anything_but_an_sbom_or_an_error(raw):
    try:
        read(raw)
    except SealgateError as error:
        assert error.code in {"sbom-invalid", "limit-exceeded"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([SPDX, CYCLONEDX, SYFT]), st.data())
def test_no_member_of_any_type_brings_anything_but_an_sbom_or_an_error(document, data):
    names = ["packages", "components", "artifacts", "metadata", "creationInfo", "relationships", "source", "descriptor",
             "hasExtractedLicensingInfos", "documentDescribes", "schema"]  # fmt: skip
    inner = [
        "name",
        "version",
        "versionInfo",
        "licenses",
        "cpes",
        "externalRefs",
        "tools",
        "component",
        "purl",
        "checksums",
    ]
    rows = st.dictionaries(st.sampled_from(inner), _JSON)
    value = data.draw(_JSON | rows | st.lists(rows, max_size=3))
    try:
        reading.read_value(document | {data.draw(st.sampled_from(names)): value}, what="the SBOM")
    except SealgateError as error:
        assert error.code in {"sbom-invalid", "limit-exceeded"}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_text_brings_anything_but_an_sbom_or_an_error(text):
    try:
        read((TEXT + text).encode())
    except SealgateError as error:
        assert error.code in {"sbom-invalid", "limit-exceeded"}
