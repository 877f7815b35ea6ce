"""CSAF 2.0 and 2.1 of the profile VEX (OASIS; category `csaf_vex`)."""

from __future__ import annotations

from typing import Any

from sealgate.scan.fields import Fields
from sealgate.scan.vex import Product, State, Statement

_STATES: dict[str, State] = {
    "known_not_affected": "not_affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "under_investigation": "under_investigation",
}
_DEPTH = 32


def detect(document: dict[str, Any]) -> bool:
    """Whether it is CSAF."""
    inner = document.get("document")
    return isinstance(inner, dict) and "csaf_version" in inner


def read(document: dict[str, Any], fields: Fields) -> tuple[Statement, ...]:
    """Its statements. Raises `fields.error`."""
    head = fields.mapping(document["document"], "document")
    if head.get("csaf_version") not in ("2.0", "2.1") or head.get("category") != "csaf_vex":
        raise fields.error(f"{fields.what}: not CSAF 2.0 or 2.1 of the category csaf_vex")
    tracking = fields.mapping(head.get("tracking"), "tracking")
    moment = fields.moment(tracking.get("current_release_date"), "current_release_date") or 0.0
    products = _products(fields.mapping(document.get("product_tree"), "product_tree"), fields)
    found: list[Statement] = []
    for row in fields.rows(document.get("vulnerabilities"), "vulnerabilities"):
        found += _statements(row, products, moment, fields)
    if not found:
        raise fields.error(f"{fields.what}: CSAF without statements")
    return tuple(found)


def _statements(
    row: dict[str, Any], products: dict[str, Product | None], moment: float, fields: Fields
) -> list[Statement]:
    names = [fields.text(row.get("cve"), "cve")]
    names += [fields.text(each.get("text"), "text") for each in fields.rows(row.get("ids"), "ids")]
    names = [name for name in names if name]
    if not names:
        raise fields.error(f"{fields.what}: a vulnerability without cve and ids")
    reasons: dict[str, str] = {}
    for threat in fields.rows(row.get("threats"), "threats"):
        if threat.get("category") == "impact":
            for identity in fields.words(threat.get("product_ids"), "product_ids"):
                reasons[identity] = fields.text(threat.get("details"), "details")
    for flag in fields.rows(row.get("flags"), "flags"):
        for identity in fields.words(flag.get("product_ids"), "product_ids"):
            reasons[identity] = fields.text(flag.get("label"), "label")
    found = []
    seen: dict[str, str] = {}
    for name, value in fields.mapping(row.get("product_status"), "product_status").items():
        state = _STATES.get(name)
        if state is None:
            continue  # `recommended` says nothing of being affected
        for identity in fields.words(value, name):
            if identity not in products:
                raise fields.error(f"{fields.what}: {names[0][:60]!a} names the unknown product {identity[:60]!a}")
            if seen.setdefault(identity, state) != state:
                raise fields.error(f"{fields.what}: {names[0][:60]!a} says two things of {identity[:60]!a}")
            reason = reasons.get(identity, "")
            if state == "not_affected" and not reason:
                raise fields.error(
                    f"{fields.what}: {names[0][:60]!a} is known_not_affected without a reason",
                    hint="a flag or a threat of the category impact belongs to it (CSAF 2.0, 4.5)",
                )
            product = products[identity]
            known = frozenset(each.upper() for each in names)
            named = () if product is None else (product,)
            found.append(Statement(known, state, named, reason or name, moment, fields.what))
    return found


def _products(tree: dict[str, Any], fields: Fields) -> dict[str, Product | None]:
    """Product ids to products; None where no purl says what is meant."""
    named: dict[str, tuple[str, ...]] = {}
    level = fields.rows(tree.get("branches"), "branches")
    rows = list(fields.rows(tree.get("full_product_names"), "full_product_names"))
    for _ in range(_DEPTH):
        rows += [fields.mapping(branch["product"], "product") for branch in level if "product" in branch]
        level = [inner for branch in level for inner in fields.rows(branch.get("branches"), "branches")]
        if not level:
            break
    else:
        raise fields.error(f"{fields.what}: branches are nested deeper than {_DEPTH}")
    for row in rows:
        identity = fields.required(row.get("product_id"), "product_id")
        if identity in named:
            raise fields.error(f"{fields.what}: the product id {identity[:60]!a} stands twice")
        named[identity] = _purls(row, fields)
    found: dict[str, Product | None] = {
        identity: Product(purls) if purls else None for identity, purls in named.items()
    }
    for row in fields.rows(tree.get("relationships"), "relationships"):
        whole = fields.mapping(row.get("full_product_name"), "full_product_name")
        identity = fields.required(whole.get("product_id"), "product_id")
        if identity in found:
            raise fields.error(f"{fields.what}: the product id {identity[:60]!a} stands twice")
        part = named.get(fields.text(row.get("product_reference"), "product_reference"), ())
        around = named.get(fields.text(row.get("relates_to_product_reference"), "relates_to_product_reference"), ())
        # A part of something that no purl names (a release of a system, by CPE) could be part of anything.
        found[identity] = Product(around, parts=part) if around and part else None
    return found


def _purls(row: dict[str, Any], fields: Fields) -> tuple[str, ...]:
    helper = fields.mapping(row.get("product_identification_helper"), "product_identification_helper")
    one = fields.text(helper.get("purl"), "purl")
    return (*((one,) if one else ()), *fields.words(helper.get("purls"), "purls"))  # 2.1 has several
