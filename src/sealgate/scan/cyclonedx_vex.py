"""CycloneDX documents read as VEX: `vulnerabilities[].analysis` (CycloneDX 1.4 and later)."""

from __future__ import annotations

import re
from typing import Any

from sealgate.scan import cyclonedx
from sealgate.scan.fields import Fields
from sealgate.scan.vex import Product, State, Statement

_STATES: dict[str, State] = {
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "exploitable": "affected",
    "in_triage": "under_investigation",
}

detect = cyclonedx.detect


def read(document: dict[str, Any], fields: Fields) -> tuple[Statement, ...]:
    """Its statements; vulnerabilities without an analysis say nothing. Raises `fields.error`."""
    metadata = fields.mapping(document.get("metadata"), "metadata")
    subject = fields.mapping(metadata.get("component"), "metadata.component")
    parts = cyclonedx.components(document, fields)
    written = fields.moment(metadata.get("timestamp"), "timestamp") or 0.0
    found = []
    for row in fields.rows(document.get("vulnerabilities"), "vulnerabilities"):
        analysis = fields.mapping(row.get("analysis"), "analysis")
        word = fields.text(analysis.get("state"), "state")
        if not word:
            continue
        identity = fields.required(row.get("id"), "vulnerabilities.id")
        state = _STATES.get(word)
        if state is None:
            raise fields.error(f"{fields.what}: {identity[:60]!a} has the unknown state {word[:40]!a}")
        reason = fields.text(analysis.get("justification"), "justification") or fields.text(
            analysis.get("detail"), "detail"
        )
        if state == "not_affected" and not reason:
            raise fields.error(
                f"{fields.what}: {identity[:60]!a} is {word} without a reason",
                hint="a justification or a detail belongs to it",
            )
        aliases = [fields.text(each.get("id"), "id") for each in fields.rows(row.get("references"), "references")]
        products = tuple(
            product
            for affected in fields.rows(row.get("affects"), "affects")
            if (product := _product(affected, subject, parts, fields)) is not None
        )
        moment = fields.moment(analysis.get("lastUpdated") or row.get("updated"), "lastUpdated")
        names = frozenset(name.upper() for name in (identity, *aliases) if name)
        found.append(
            Statement(names, state, products, reason or word, written if moment is None else moment, fields.what)
        )
    if not found:
        raise fields.error(f"{fields.what}: CycloneDX without an analysis is no VEX")
    return tuple(found)


def _product(
    affected: dict[str, Any], subject: dict[str, Any], parts: dict[str, dict[str, Any]], fields: Fields
) -> Product | None:
    """Of one `affects`: the document's subject, or a part of it; a package of its own where there is no subject."""
    reference = fields.text(affected.get("ref"), "ref")
    if reference.startswith("urn:cdx:"):  # a link into another document: what it points to is told by the fragment
        reference = _decoded(reference.partition("#")[2])
    if affected.get("versions"):
        return None  # only of some versions, in a notation of their own: nobody is excused by it
    part = parts.get(reference)
    purl = fields.text((part or {}).get("purl"), "purl") or reference
    named = (purl,) if purl.startswith("pkg:") else ()
    if not subject:
        return Product(named) if named else None
    purl = fields.text(subject.get("purl"), "purl")
    digests, image_ids = cyclonedx.identities(subject, fields)
    whole = Product((purl,) if purl else (), digests | image_ids)
    return whole if part is subject else whole._replace(parts=named)


def _decoded(text: str) -> str:
    """Percent-encoding undone (RFC 3986, section 2.1)."""
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", "replace")
