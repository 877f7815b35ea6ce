"""Who must have signed: an expression over keys. Pure.

A requirement is met by signatures, each of which has passed every check on its own. Thresholds count distinct keys, by
the bytes of the key, never signatures or entries (invariant 7). A requirement without parts cannot be made (invariant 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.keys.algorithms import PublicKey


class SignedBy(NamedTuple):
    """A signature by this key."""

    key: PublicKey
    name: str
    """How people call the key: the reference it was loaded from."""


class AtLeast(NamedTuple):
    """At least `needed` of `parts`."""

    needed: int
    parts: tuple[Requirement, ...]


Requirement = SignedBy | AtLeast


def at_least(count: int, parts: Sequence[Requirement]) -> Requirement:
    """`count` of `parts`. Raises `UsageError` for no parts, a count under 1 or one that cannot be reached.

    One key given twice is one part.
    """
    unique: dict[object, Requirement] = {}
    for part in parts:
        unique.setdefault(part.key.spki if isinstance(part, SignedBy) else part, part)
    if not unique:
        raise UsageError("nothing is required: give at least one key", hint="--key FILE")
    if count < 1:
        raise UsageError("at least one signature must be required")
    if count > len(unique):
        raise UsageError(
            f"{count} different keys are required, {len(unique)} were given", hint="one key given twice counts once"
        )
    found = tuple(unique.values())
    return found[0] if len(found) == 1 else AtLeast(count, found)


def any_of(parts: Sequence[Requirement]) -> Requirement:
    """One of `parts`."""
    return at_least(1, parts)


def all_of(parts: Sequence[Requirement]) -> Requirement:
    """Every one of `parts`."""
    distinct = {part.key.spki if isinstance(part, SignedBy) else part for part in parts}
    return at_least(len(distinct), parts)


def keys(requirement: Requirement) -> tuple[SignedBy, ...]:
    """Every key that the requirement names, once."""
    if isinstance(requirement, SignedBy):
        return (requirement,)
    found = {key.key.spki: key for part in requirement.parts for key in keys(part)}
    return tuple(found.values())


def is_met(requirement: Requirement, signed_by: Iterable[PublicKey]) -> bool:
    """Whether signatures by these keys, each good in itself, are enough."""
    present = frozenset(key.spki for key in signed_by)
    return _is_met(requirement, present)


def _is_met(requirement: Requirement, present: frozenset[bytes]) -> bool:
    if isinstance(requirement, SignedBy):
        return requirement.key.spki in present
    if not requirement.parts or requirement.needed < 1:
        return False
    return sum(_is_met(part, present) for part in requirement.parts) >= requirement.needed


def describe(requirement: Requirement) -> str:
    """For people: `a signature by cosign.pub`, `signatures by 2 of: a.pub, b.pub, c.pub`."""
    if isinstance(requirement, SignedBy):
        return f"a signature by {requirement.name}"
    names = ", ".join(part.name if isinstance(part, SignedBy) else f"({describe(part)})" for part in requirement.parts)
    if requirement.needed == 1:
        return f"a signature by any of: {names}"
    if requirement.needed == len(requirement.parts):
        return f"signatures by all of: {names}"
    return f"signatures by {requirement.needed} of: {names}"
