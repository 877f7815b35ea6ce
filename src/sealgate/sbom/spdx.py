"""SPDX 2.2 and 2.3 in JSON (spdx.github.io, "Composition of an SPDX document"), as a thin projection. Pure.

What is written as text (`spdx_text`) comes here as the same members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.sbom.document import Package, Sbom, digests_in, kind_of

if TYPE_CHECKING:
    from sealgate.sbom.fields import Fields

VERSIONS = {"SPDX-2.2": "2.2", "SPDX-2.3": "2.3"}
DOCUMENT = "SPDXRef-DOCUMENT"
_NAME_CHARS = 200
_NOTHING = frozenset({"", "NOASSERTION", "NONE"})


def detect(document: dict[str, Any]) -> bool:
    """Whether it is SPDX 2, of whatever version."""
    return "spdxVersion" in document


def read(document: dict[str, Any], fields: Fields) -> Sbom:
    """The document. Raises `SbomInvalidError`, `LimitError`."""
    said = fields.required(document.get("spdxVersion"), "spdxVersion")
    version = VERSIONS.get(said)
    if version is None:
        raise fields.error(f"SPDX of the version {said[:40]!a} is not read here", hint="SPDX 2.2 and 2.3 are")
    if document.get("SPDXID") != DOCUMENT:
        raise fields.error(f"the document's SPDXID is not {DOCUMENT}", hint="was it cut off?")
    creation = fields.mapping(document.get("creationInfo"), "creationInfo")
    tools = [word.removeprefix("Tool:").strip() for word in fields.words(creation.get("creators"), "creators")
             if word.startswith("Tool:")]  # fmt: skip
    rows = fields.rows(document.get("packages"), "packages")
    fields.bounded(len(rows))
    names = _license_names(document, fields)
    described = _described(document, fields)
    subjects: list[str] = []
    words: list[str] = []
    packages: list[Package] = []
    identities: set[str] = set()
    for row in rows:
        identity = fields.required(row.get("SPDXID"), "a package's SPDXID")
        if identity in identities:
            raise fields.error(f"the SPDXID {identity[:100]!a} stands twice")
        identities.add(identity)
        package = _package(row, names, fields)
        is_image = package.kind in {"oci", "docker"} or row.get("primaryPackagePurpose") == "CONTAINER"
        if identity in described:
            subjects.append(package.name)
            if is_image:
                words += _identities(row, package, fields)
        if identity not in described or not is_image:  # what it is about is no package in it
            packages.append(package)
    return Sbom(
        "spdx",
        version,
        fields.text(document.get("name"), "name"),
        ", ".join(subjects[:3]),
        digests_in(words),
        tuple(tools),
        fields.text(creation.get("created"), "created"),
        tuple(packages),
    )


def _described(document: dict[str, Any], fields: Fields) -> set[str]:
    found = set(fields.words(document.get("documentDescribes"), "documentDescribes"))
    for row in fields.rows(document.get("relationships"), "relationships"):
        kind, source, target = (row.get(name) for name in ("relationshipType", "spdxElementId", "relatedSpdxElement"))
        if kind == "DESCRIBES" and source == DOCUMENT:
            found.add(fields.text(target, "relatedSpdxElement"))
        elif kind == "DESCRIBED_BY" and target == DOCUMENT:
            found.add(fields.text(source, "spdxElementId"))
    return found


def _identities(row: dict[str, Any], package: Package, fields: Fields) -> list[str]:
    """Where an image's digest stands: its version, its purl, its checksum."""
    sums = [
        f"sha256:{fields.text(each.get('checksumValue'), 'checksumValue')}"
        for each in fields.rows(row.get("checksums"), "checksums")
        if each.get("algorithm") == "SHA256"
    ]
    return [package.version, package.purl, *sums]


def _package(row: dict[str, Any], names: dict[str, str], fields: Fields) -> Package:
    purl = ""
    cpes = []
    for reference in fields.rows(row.get("externalRefs"), "externalRefs"):
        kind = reference.get("referenceType")
        locator = fields.text(reference.get("referenceLocator"), "referenceLocator")
        if kind == "purl":
            purl = purl or locator
        elif kind in {"cpe22Type", "cpe23Type"}:
            cpes.append(locator)
    licenses = _said(row.get("licenseConcluded"), "licenseConcluded", fields)
    licenses = licenses or _said(row.get("licenseDeclared"), "licenseDeclared", fields)
    supplier = _said(row.get("supplier"), "supplier", fields)
    return Package(
        fields.required(row.get("name"), "a package's name"),
        _said(row.get("versionInfo"), "versionInfo", fields),
        purl,
        (names.get(licenses, licenses),) if licenses else (),
        supplier.removeprefix("Organization:").removeprefix("Person:").strip(),
        kind_of(purl, fields.text(row.get("primaryPackagePurpose"), "primaryPackagePurpose").lower()),
        tuple(cpes),
    )


def _said(value: object, name: str, fields: Fields) -> str:
    found = fields.text(value, name)
    return "" if found in _NOTHING else found


def _license_names(document: dict[str, Any], fields: Fields) -> dict[str, str]:
    """Licenses that the document describes itself (`LicenseRef-…`), by what it calls them."""
    found = {}
    for row in fields.rows(document.get("hasExtractedLicensingInfos"), "hasExtractedLicensingInfos"):
        text = _said(row.get("extractedText"), "extractedText", fields)
        name = _said(row.get("name"), "a license's name", fields) or ("" if "\n" in text else text[:_NAME_CHARS])
        if name:
            found[fields.text(row.get("licenseId"), "licenseId")] = name
    return found
