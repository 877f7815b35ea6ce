"""VEX statements, whatever document they stand in: who is excused of what.

A statement speaks of one vulnerability in products; a product is an image, or a package in any image. It excuses only what it
names: a statement about another product, or about one that cannot be recognised by a purl or a digest, never applies.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import JsonAmbiguousError, JsonInvalidError, VexInvalidError
from sealgate.scan import purl as purls
from sealgate.scan.report import Finding

State = Literal["not_affected", "fixed", "affected", "under_investigation"]


class Product(NamedTuple):
    """What a statement is about: an image (`purl` of type oci, or digests) or a package; with parts, only those."""

    purls: tuple[str, ...] = ()
    digests: frozenset[str] = frozenset()
    parts: tuple[str, ...] | None = None
    """The purls of the parts that it speaks of; None is all of it. Empty: of parts that nobody can recognise."""


class Statement(NamedTuple):
    """What one document says of one vulnerability."""

    names: frozenset[str]
    """Id and aliases, upper case."""
    state: State
    products: tuple[Product, ...]
    reason: str
    moment: float
    """When it was said; later ones count."""
    document: str
    """The file: for people."""


class Subject(NamedTuple):
    """The image that statements may speak of."""

    repository: str | None
    """`registry/path`; None for a layout."""
    digests: frozenset[str]
    """Its manifest, the indexes it was reached through, its config."""


def read(raw: bytes, *, what: str) -> tuple[Statement, ...]:
    """The statements of an OpenVEX, CycloneDX or CSAF document, told apart by content.

    Raises `VexInvalidError`, `LimitError`.
    """
    from sealgate.scan import csaf, cyclonedx_vex, openvex
    from sealgate.scan.fields import Fields

    try:
        document: Any = strictjson.parse(
            raw, limit=limits.SCAN_REPORT_BYTES, what=what, values=limits.SCAN_REPORT_VALUES
        )
    except (JsonInvalidError, JsonAmbiguousError) as error:
        raise VexInvalidError(error.message) from error
    if not isinstance(document, dict):
        raise VexInvalidError(f"{what} is not a VEX document")
    fields = Fields(what, VexInvalidError)
    kinds = [kind for kind in (openvex, cyclonedx_vex, csaf) if kind.detect(document)]
    if len(kinds) != 1:
        raise VexInvalidError(
            f"{what} is not a VEX document of a known format", hint="read are OpenVEX 0.2, CycloneDX VEX and CSAF VEX"
        )
    found: tuple[Statement, ...] = kinds[0].read(document, fields)
    return found


def applies(statement: Statement, finding: Finding, subject: Subject) -> bool:
    """Whether the statement is about this finding in this image."""
    if statement.names.isdisjoint(name.upper() for name in finding.names):
        return False
    return any(_concerns(product, finding, subject) for product in statement.products)


def _concerns(product: Product, finding: Finding, subject: Subject) -> bool:
    is_image = not product.digests.isdisjoint(subject.digests) or any(
        purls.names_image(text, repository=subject.repository, digests=subject.digests) for text in product.purls
    )
    if is_image:
        return product.parts is None or any(purls.names_package(text, finding) for text in product.parts)
    # A package as the product: in any image. With parts it would be a package in a package, which nobody can tell.
    return product.parts is None and any(purls.names_package(text, finding) for text in product.purls)


def verdict(statements: tuple[Statement, ...], finding: Finding, subject: Subject) -> Statement | None:
    """The statement that counts: the latest that applies; of two of the same time the one that does not excuse."""
    found = [statement for statement in statements if applies(statement, finding, subject)]
    return max(found, key=lambda one: (one.moment, one.state not in {"not_affected", "fixed"}), default=None)
