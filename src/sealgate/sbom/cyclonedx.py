"""CycloneDX 1.2 to 1.7 in JSON (cyclonedx.org, "JSON Reference"), as a thin projection. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.sbom.document import Package, Sbom, digests_in, kind_of

if TYPE_CHECKING:
    from sealgate.sbom.fields import Fields

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
_IMAGE_IDENTITIES = {"aquasecurity:trivy:RepoDigest", "aquasecurity:trivy:ImageID"}


def detect(document: dict[str, Any]) -> bool:
    """Whether it says that it is CycloneDX."""
    return "bomFormat" in document


def read(document: dict[str, Any], fields: Fields) -> Sbom:
    """The document. Raises `SbomInvalidError`, `LimitError`."""
    if document["bomFormat"] != "CycloneDX":
        raise fields.error("bomFormat is not CycloneDX")
    version = fields.required(document.get("specVersion"), "specVersion")
    if version not in VERSIONS:
        raise fields.error(
            f"CycloneDX of the version {version[:40]!a} is not read here", hint=f"{VERSIONS[0]} to {VERSIONS[-1]} are"
        )
    metadata = fields.mapping(document.get("metadata"), "metadata")
    subject = fields.mapping(metadata.get("component"), "metadata.component")
    packages = [_package(part, fields) for part in _components(document, subject, fields)]
    about = _package(subject, fields) if subject else None
    return Sbom(
        "cyclonedx",
        version,
        fields.text(document.get("serialNumber"), "serialNumber"),
        "" if about is None else about.name,
        frozenset() if about is None else _identities(subject, about, fields),
        tuple(_tools(metadata, fields)),
        fields.text(metadata.get("timestamp"), "timestamp"),
        tuple(packages),
    )


def _components(document: dict[str, Any], subject: dict[str, Any], fields: Fields) -> list[dict[str, Any]]:
    """Every component, those within components too; files are none."""
    found: list[dict[str, Any]] = []
    references: set[str] = set()
    level = [
        *fields.rows(subject.get("components"), "metadata.component.components"),
        *fields.rows(document.get("components"), "components"),
    ]
    for _ in range(limits.SBOM_DEPTH):
        for part in level:
            reference = fields.text(part.get("bom-ref"), "bom-ref")
            if reference and reference in references:
                raise fields.error(f"the bom-ref {reference[:100]!a} stands twice")
            references.add(reference)
            if part.get("type") != "file" or part.get("purl"):
                found.append(part)
        fields.bounded(len(found))
        level = [inner for part in level for inner in fields.rows(part.get("components"), "components")]
        if not level:
            return found
    raise fields.error(f"components are nested deeper than {limits.SBOM_DEPTH}")


def _package(part: dict[str, Any], fields: Fields) -> Package:
    group = fields.text(part.get("group"), "group")
    name = fields.required(part.get("name"), "a component's name")
    purl = fields.text(part.get("purl"), "purl")
    supplier = (
        fields.mapping(part.get("supplier"), "supplier").get("name") or part.get("publisher") or part.get("author")
    )
    cpe = fields.text(part.get("cpe"), "cpe")
    return Package(
        f"{group}/{name}" if group else name,
        fields.text(part.get("version"), "version"),
        purl,
        tuple(dict.fromkeys(_licenses(part, fields))),
        fields.text(supplier, "supplier"),
        kind_of(purl, fields.text(part.get("type"), "type")),
        (cpe,) if cpe else (),
    )


def _licenses(part: dict[str, Any], fields: Fields) -> list[str]:
    found = []
    for row in fields.rows(part.get("licenses"), "licenses"):
        said = fields.mapping(row.get("license"), "license")
        text = fields.text(row.get("expression") or said.get("id") or said.get("name"), "a license")
        if text:
            found.append(text)
    return found


def _tools(metadata: dict[str, Any], fields: Fields) -> list[str]:
    tools = metadata.get("tools")
    if isinstance(tools, dict):  # since 1.5
        rows = [*fields.rows(tools.get("components"), "tools"), *fields.rows(tools.get("services"), "tools")]
    else:
        rows = fields.rows(tools, "tools")
    named = [(fields.text(row.get("name"), "name"), fields.text(row.get("version"), "version")) for row in rows]
    return [f"{name} {version}".rstrip() for name, version in named if name]


def _identities(subject: dict[str, Any], about: Package, fields: Fields) -> frozenset[Any]:
    """Where an image's digest stands: its version, its purl, Trivy's properties."""
    words = [about.version, about.purl, fields.text(subject.get("bom-ref"), "bom-ref")]
    words += [
        fields.text(row.get("value"), "value")
        for row in fields.rows(subject.get("properties"), "properties")
        if row.get("name") in _IMAGE_IDENTITIES
    ]
    return digests_in(words)
