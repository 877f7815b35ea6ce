"""Mirrors: an image at a mirror is judged as the image it is a copy of, by the signatures and policies of its origin. Pure.

The bytes are the same, since they are asked for by their digest; what was signed and stated about them is at the origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import InvalidReferenceError, PolicyInvalidError
from sealgate.oci.reference import HUB, Reference, parse

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields


class Mirror(NamedTuple):
    """What begins with `mirror` is a copy of what begins with `of`; both are whole parts of names."""

    mirror: str
    of: str

    def origin(self, reference: Reference) -> Reference | None:
        """The image that this one is a copy of; None: it is at no such mirror."""
        rest = reference.name.removeprefix(self.mirror)
        if not reference.name.startswith(self.mirror) or not rest.startswith("/"):
            return None
        try:
            found = parse(self.of + rest)
        except InvalidReferenceError:
            return None
        return found._replace(tag=reference.tag, digest=reference.digest)


def origin(mirrors: Iterable[Mirror], reference: Reference) -> Reference | None:
    """The image's origin by the narrowest mirror that has it."""
    found = [(len(each.mirror), origin) for each in mirrors if (origin := each.origin(reference)) is not None]
    return max(found, key=lambda each: each[0])[1] if found else None


def read(fields: Fields) -> Mirror:
    """One entry. Raises `PolicyInvalidError`."""
    mirror, of = (_prefix(fields, name) for name in ("mirror", "of"))
    if mirror == of or of.startswith(f"{mirror}/"):
        raise PolicyInvalidError(f"{fields.where}: {mirror} would be a mirror of itself")
    return fields.done(Mirror(mirror, of))


def _prefix(fields: Fields, name: str) -> str:
    text = fields.required_text(name)
    host, slash, path = text.partition("/")
    try:
        found = parse(f"{text}/x")
        if "@" in text or (slash and ":" in path) or not ("." in host or ":" in host or host == "localhost"):
            raise PolicyInvalidError(
                f"{fields.at(name)}: {text!r} is no registry, and nothing in one", hint="HOST/PATH"
            )
    except InvalidReferenceError as error:
        raise PolicyInvalidError(f"{fields.at(name)}: {error.message}", hint=error.hint) from error
    return found.name.removesuffix("/x") if found.registry != HUB or slash else HUB
