"""SPDX 2.2 and 2.3 as text (tag: value): read into the members that its JSON has. Pure.

Only the tags of documents, packages, licenses and relationships are kept. A tag that a section may have once and has twice
is refused: two programs would read two things.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sealgate.sbom.fields import Fields

_TAG = re.compile(r"([A-Za-z]+):[ \t]*(.*)", re.ASCII | re.DOTALL)
_DOCUMENT = {"SPDXVersion": "spdxVersion", "SPDXID": "SPDXID", "DocumentName": "name"}
_PACKAGE = {
    "PackageName": "name", "SPDXID": "SPDXID", "PackageVersion": "versionInfo", "PackageSupplier": "supplier",
    "PackageLicenseConcluded": "licenseConcluded", "PackageLicenseDeclared": "licenseDeclared",
    "PrimaryPackagePurpose": "primaryPackagePurpose",
}  # fmt: skip
_LICENSE = {"LicenseID": "licenseId", "LicenseName": "name", "ExtractedText": "extractedText"}
_SECTIONS = {"PackageName": _PACKAGE, "FileName": {}, "SnippetSPDXID": {}, "LicenseID": _LICENSE}
_SNIFFED_CHARS = 64 * 1024


def detect(raw: bytes) -> bool:
    """Whether a line of the beginning says which version of SPDX it is."""
    return re.search(rb"^SPDXVersion:", raw[:_SNIFFED_CHARS], re.MULTILINE) is not None


def parse(text: str, fields: Fields) -> dict[str, Any]:
    """The document as its JSON would have it. Raises `SbomInvalidError`, `LimitError`."""
    document: dict[str, Any] = {"packages": [], "relationships": [], "hasExtractedLicensingInfos": []}
    creation: dict[str, Any] = {"creators": []}
    document["creationInfo"] = creation
    section, tags = document, _DOCUMENT
    for tag, value in _pairs(text, fields):
        if tag in _SECTIONS:
            section, tags = {}, _SECTIONS[tag]
            if tag == "PackageName":
                document["packages"].append(section)
                fields.bounded(len(document["packages"]))
            elif tag == "LicenseID":
                document["hasExtractedLicensingInfos"].append(section)
        if tag in tags:
            if tags[tag] in section:
                raise fields.error(f"{tag} stands twice in one section")
            section[tags[tag]] = value
        elif tag == "Relationship":
            document["relationships"] += _relationship(value)
        elif tag == "Creator":
            creation["creators"].append(value)
        elif tag == "Created":
            if creation.setdefault("created", value) != value:
                raise fields.error("Created stands twice")
        elif tags is _PACKAGE:
            _in_package(section, tag, value)
    return document


def _pairs(text: str, fields: Fields) -> list[tuple[str, str]]:
    """Tags and values; `<text>…</text>` may have several lines."""
    found = []
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].strip()
        start, position = position, end + 1
        if not line or line.startswith("#"):
            continue
        pair = _TAG.fullmatch(line)
        if pair is None:
            raise fields.error(f"a line is neither a tag nor a comment: {line[:60]!a}", hint="was it cut off?")
        tag, value = pair[1], pair[2].strip()
        if value.startswith("<text>"):
            begin = text.index("<text>", start) + len("<text>")
            end = text.find("</text>", begin)
            if end < 0:
                raise fields.error(f"the <text> of {tag[:60]} has no end", hint="was it cut off?")
            value = text[begin:end].strip()
            rest = text.find("\n", end)
            position = len(text) if rest < 0 else rest + 1
        if tag in _KEPT:
            found.append((tag, value))
    return found


def _relationship(value: str) -> list[dict[str, str]]:
    words = value.split()
    if len(words) < 3 or words[1] not in {"DESCRIBES", "DESCRIBED_BY"}:
        return []
    return [{"spdxElementId": words[0], "relationshipType": words[1], "relatedSpdxElement": words[2]}]


def _in_package(section: dict[str, Any], tag: str, value: str) -> None:
    if tag == "ExternalRef":
        words = value.split(maxsplit=2)
        if len(words) == 3:
            row = {"referenceCategory": words[0], "referenceType": words[1], "referenceLocator": words[2]}
            section.setdefault("externalRefs", []).append(row)
    elif tag == "PackageChecksum":
        algorithm, _, checksum = value.partition(":")
        row = {"algorithm": algorithm.strip(), "checksumValue": checksum.strip()}
        section.setdefault("checksums", []).append(row)


_KEPT = frozenset({*_DOCUMENT, *_PACKAGE, *_LICENSE, *_SECTIONS,
                   "Relationship", "Creator", "Created", "ExternalRef", "PackageChecksum"})  # fmt: skip
