"""Binding an SBOM that Syft has just made to its image: by the manifest's digest, in the places where readers look. Pure.

Syft says which image it has read; that must be the one it was asked for. What differs from run to run (times, random
identifiers) is made to follow from the content, so that the same image gives the same bytes where `SOURCE_DATE_EPOCH` is set.

Source: SPDX 2.3 (clauses 6, 7), CycloneDX 1.6 (`metadata.component`), package-url types (`oci`).
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import ContentError, GeneratorError

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.sbom.generator import Format


class Subject(NamedTuple):
    """The image that an SBOM is about."""

    name: str
    """`registry/repository`; of a layout, its last name."""
    digest: Digest
    """Of the manifest."""
    architecture: str
    """As its config says; may be empty."""
    in_registry: bool

    @property
    def purl(self) -> str:
        """`pkg:oci/app@sha256%3A…?arch=amd64&repository_url=registry.example.com/team/app`."""
        from packageurl import PackageURL

        qualifiers = {"arch": self.architecture} if self.architecture else {}
        if self.in_registry:
            qualifiers["repository_url"] = self.name
        last = self.name.rpartition("/")[2]
        return PackageURL("oci", None, last, str(self.digest), qualifiers).to_string()


def bind(raw: bytes, subject: Subject, *, format: Format, moment: str, version: str) -> bytes:  # noqa: A002 - the option's name
    """The document with its subject, as it is written: one line of JSON. `moment` is RFC 3339, `version` our own.

    Raises `GeneratorError` when it is no document of the format, or about another image.
    """
    try:
        document = strictjson.parse(raw, limit=limits.SBOM_BYTES, what="what syft wrote", values=limits.SBOM_VALUES)
    except ContentError as error:
        raise GeneratorError(error.message) from error
    if not isinstance(document, dict):
        raise GeneratorError("what syft wrote is no JSON object")
    try:
        (_spdx if format == "spdx-json" else _cyclonedx)(document, subject, moment, version)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise GeneratorError(
            f"what syft wrote is no {format} of an image", hint="is it a version from 1.0 on?"
        ) from error
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _spdx(document: dict[str, Any], subject: Subject, moment: str, version: str) -> None:
    if document["spdxVersion"] != "SPDX-2.3":
        raise ValueError("version")
    described = [
        relation["relatedSpdxElement"]
        for relation in document["relationships"]
        if relation["spdxElementId"] == "SPDXRef-DOCUMENT" and relation["relationshipType"] == "DESCRIBES"
    ]
    (root,) = (package for package in document["packages"] if package["SPDXID"] in described)
    checksums = [each["checksumValue"] for each in root["checksums"] if each["algorithm"] == "SHA256"]
    _require(checksums == [subject.digest.hex], subject)
    root["name"] = subject.name
    root["versionInfo"] = str(subject.digest)
    root["externalRefs"] = [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": subject.purl}
    ]
    document["name"] = f"{subject.name}@{subject.digest}"
    document["creationInfo"]["creators"].append(f"Tool: sealgate-{version}")
    document["creationInfo"]["created"] = moment
    document["documentNamespace"] = ""
    where = urllib.parse.quote(subject.name)
    document["documentNamespace"] = f"https://anchore.com/syft/image/{where}-{_identifier(document)}"


def _cyclonedx(document: dict[str, Any], subject: Subject, moment: str, version: str) -> None:
    if document["bomFormat"] != "CycloneDX" or document["specVersion"] != "1.6":
        raise ValueError("version")
    metadata = document["metadata"]
    component = metadata["component"]
    _require(component["type"] == "container" and component["version"] == str(subject.digest), subject)
    component["name"] = subject.name
    component["hashes"] = [{"alg": "SHA-256", "content": subject.digest.hex}]
    component["purl"] = subject.purl
    metadata["tools"]["components"].append({"type": "application", "name": "sealgate", "version": version})
    metadata["timestamp"] = moment
    document["serialNumber"] = ""
    document["serialNumber"] = f"urn:uuid:{_identifier(document)}"


def _require(condition: object, subject: Subject) -> None:
    if not condition:
        raise GeneratorError(
            f"syft's SBOM is not about {subject.digest}", hint="this is a fault of syft or of sealgate"
        )


def _identifier(document: dict[str, Any]) -> str:
    """A UUID that follows from everything else in the document."""
    import uuid

    content = hashlib.sha256(json.dumps(document, ensure_ascii=True, sort_keys=True).encode()).hexdigest()
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sealgate:sbom:{content}"))
