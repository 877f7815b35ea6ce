"""Syft's own JSON (its schema 11 to 16), as a thin projection. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.sbom.document import Package, Sbom, digests_in, kind_of

if TYPE_CHECKING:
    from sealgate.sbom.fields import Fields


def detect(document: dict[str, Any]) -> bool:
    """Whether it has what Syft's documents have."""
    return all(isinstance(document.get(name), kind) for name, kind in _SHAPE.items())


_SHAPE: dict[str, type] = {"artifacts": list, "source": dict, "descriptor": dict, "schema": dict}


def read(document: dict[str, Any], fields: Fields) -> Sbom:
    """The document. Raises `SbomInvalidError`, `LimitError`."""
    source = fields.mapping(document.get("source"), "source")
    # What was looked at: an image has digests, a directory is a mere path.
    metadata = source.get("metadata") if isinstance(source.get("metadata"), dict) else {}
    words = [fields.text(metadata.get(name), name) for name in ("manifestDigest", "imageID")] if metadata else []
    if metadata:
        words += fields.words(metadata.get("repoDigests"), "repoDigests")
    descriptor = fields.mapping(document.get("descriptor"), "descriptor")
    tool = f"{fields.text(descriptor.get('name'), 'name')} {fields.text(descriptor.get('version'), 'version')}"
    rows = fields.rows(document.get("artifacts"), "artifacts")
    fields.bounded(len(rows))
    schema = fields.mapping(document.get("schema"), "schema")
    name = fields.text(source.get("name"), "name")
    return Sbom(
        "syft",
        fields.text(schema.get("version"), "schema.version"),
        name,
        name or (fields.text(metadata.get("userInput"), "userInput") if metadata else ""),
        digests_in(words),
        (tool.strip(),) if tool.strip() else (),
        "",
        tuple(_package(row, fields) for row in rows),
    )


def _package(row: dict[str, Any], fields: Fields) -> Package:
    purl = fields.text(row.get("purl"), "purl")
    return Package(
        fields.required(row.get("name"), "a package's name"),
        fields.text(row.get("version"), "version"),
        purl,
        tuple(dict.fromkeys(_words(row.get("licenses"), "licenses", ("spdxExpression", "value"), fields))),
        "",
        kind_of(purl, fields.text(row.get("type"), "type")),
        tuple(_words(row.get("cpes"), "cpes", ("cpe",), fields)),
    )


def _words(value: object, name: str, members: tuple[str, ...], fields: Fields) -> list[str]:
    """Strings, as older schemas have them, or a member of objects."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    found = []
    for row in fields.rows(value, name):
        text = next((said for member in members if (said := fields.text(row.get(member), member))), "")
        if text:
            found.append(text)
    return found
