"""OpenVEX 0.2.0 (openvex/spec, OPENVEX-SPEC.md)."""

from __future__ import annotations

from typing import Any, cast

from sealgate.scan.fields import Fields
from sealgate.scan.vex import Product, State, Statement

_CONTEXTS = ("https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0")
JUSTIFICATIONS = frozenset(
    {
        "component_not_present",
        "vulnerable_code_not_present",
        "vulnerable_code_not_in_execute_path",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "inline_mitigations_already_exist",
    }
)
_STATES = frozenset({"not_affected", "fixed", "affected", "under_investigation"})


def detect(document: dict[str, Any]) -> bool:
    """Whether it is OpenVEX of any version."""
    context = document.get("@context")
    return isinstance(context, str) and context.startswith("https://openvex.dev/ns")


def read(document: dict[str, Any], fields: Fields) -> tuple[Statement, ...]:
    """Its statements. Raises `fields.error`."""
    if document["@context"] not in _CONTEXTS:
        raise fields.error(f"{fields.what}: OpenVEX of another version than 0.2.0")
    rows = fields.rows(document.get("statements"), "statements")
    if not rows:
        raise fields.error(f"{fields.what}: OpenVEX without statements")
    written = fields.moment(document.get("timestamp"), "timestamp")
    return tuple(_statement(row, written or 0.0, fields) for row in rows)


def _statement(row: dict[str, Any], written: float, fields: Fields) -> Statement:
    vulnerability = fields.mapping(row.get("vulnerability"), "vulnerability")
    names = [fields.required(vulnerability.get("name"), "vulnerability.name")]
    names += fields.words(vulnerability.get("aliases"), "aliases")
    state = fields.required(row.get("status"), "status")
    if state not in _STATES:
        raise fields.error(f"{fields.what}: {names[0][:60]!a} has the unknown status {state[:40]!a}")
    justification = fields.text(row.get("justification"), "justification")
    impact = fields.text(row.get("impact_statement"), "impact_statement")
    if justification and justification not in JUSTIFICATIONS:
        raise fields.error(f"{fields.what}: {names[0][:60]!a} has an unknown justification {justification[:60]!a}")
    if state == "not_affected" and not (justification or impact):
        raise fields.error(
            f"{fields.what}: {names[0][:60]!a} is not_affected without a reason",
            hint="a justification or an impact_statement belongs to it (OpenVEX, Status Requirements)",
        )
    moment = fields.moment(row.get("last_updated") or row.get("timestamp"), "timestamp")
    return Statement(
        frozenset(name.upper() for name in names),
        cast("State", state),
        tuple(_product(each, fields) for each in fields.rows(row.get("products"), "products")),
        justification or impact,
        written if moment is None else moment,
        fields.what,
    )


def _product(row: dict[str, Any], fields: Fields) -> Product:
    parts = None
    if row.get("subcomponents"):
        rows = fields.rows(row["subcomponents"], "subcomponents")
        parts = tuple(text for each in rows for text in _purls(each, fields))
    hashes = fields.mapping(row.get("hashes"), "hashes")
    value = hashes.get("sha-256") or hashes.get("sha256")
    digests = frozenset({f"sha256:{value}"} if isinstance(value, str) else ())
    return Product(_purls(row, fields), digests, parts)


def _purls(row: dict[str, Any], fields: Fields) -> tuple[str, ...]:
    identifiers = fields.mapping(row.get("identifiers"), "identifiers")
    said = (fields.text(row.get("@id"), "@id"), fields.text(identifiers.get("purl"), "purl"))
    return tuple(dict.fromkeys(text for text in said if text.startswith("pkg:")))
