"""Who must have signed: an expression over keys and identities. Pure.

A requirement is met by signatures, each of which has passed every check on its own. Thresholds count distinct signers (a
key by its bytes, an identity by issuer and subject), never signatures or entries (invariant 7): where several parts are asked
for, each needs a signer of its own. A requirement without parts cannot be made (invariant 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import UsageError
from sealgate.pairing import most

if TYPE_CHECKING:
    from sealgate.keys.algorithms import PublicKey
    from sealgate.trust.identity import Identity, IdentityPattern


class SignedBy(NamedTuple):
    """A signature by this key."""

    key: PublicKey
    name: str
    """How people call the key: the reference it was loaded from."""


class IdentifiedAs(NamedTuple):
    """A signature by somebody whose certificate names them so."""

    pattern: IdentityPattern
    name: str
    """For people: the pattern in words."""


class AtLeast(NamedTuple):
    """At least `needed` of `parts`."""

    needed: int
    parts: tuple[Requirement, ...]


Requirement = SignedBy | IdentifiedAs | AtLeast


class Signatory(NamedTuple):
    """Who made a good signature."""

    key: PublicKey
    identity: Identity | None
    """Proven by a certificate; None: the key itself was asked for."""


def at_least(count: int, parts: Sequence[Requirement]) -> Requirement:
    """`count` of `parts`. Raises `UsageError` for no parts, a count under 1 or one that cannot be reached.

    One key given twice is one part, and so is an identity.
    """
    unique: dict[object, Requirement] = {}
    for part in parts:
        unique.setdefault(_same(part), part)
    if not unique:
        raise UsageError("nothing is required: give at least one key or identity", hint="--key FILE")
    if count < 1:
        raise UsageError("at least one signature must be required")
    if count > len(unique):
        raise UsageError(
            f"{count} different keys are required, {len(unique)} were given", hint="one key given twice counts once"
        )
    found = tuple(unique.values())
    return found[0] if len(found) == 1 else AtLeast(count, found)


def _same(part: Requirement) -> object:
    return part.key.spki if isinstance(part, SignedBy) else part.pattern if isinstance(part, IdentifiedAs) else part


def any_of(parts: Sequence[Requirement]) -> Requirement:
    """One of `parts`."""
    return at_least(1, parts)


def all_of(parts: Sequence[Requirement]) -> Requirement:
    """Every one of `parts`."""
    return at_least(len({_same(part) for part in parts}), parts)


def leaves(requirement: Requirement) -> tuple[SignedBy | IdentifiedAs, ...]:
    """Every key and identity that the requirement names, once."""
    if not isinstance(requirement, AtLeast):
        return (requirement,)
    found = {_same(leaf): leaf for part in requirement.parts for leaf in leaves(part)}
    return tuple(found.values())


def keys(requirement: Requirement) -> tuple[SignedBy, ...]:
    """Every key that the requirement names, once."""
    return tuple(leaf for leaf in leaves(requirement) if isinstance(leaf, SignedBy))


def identities(requirement: Requirement) -> tuple[IdentifiedAs, ...]:
    """Every identity that the requirement names, once."""
    return tuple(leaf for leaf in leaves(requirement) if isinstance(leaf, IdentifiedAs))


def is_met(requirement: Requirement, signed_by: Iterable[Signatory]) -> bool:
    """Whether signatures by these, each good in itself, are enough."""
    distinct = {signer_id(each): each for each in signed_by}
    return _is_met(requirement, tuple(distinct.values()))


def signer_id(signatory: Signatory) -> object:
    """What makes two good signatures those of one signer: the key's bytes, or issuer and subject of an identity."""
    identity = signatory.identity
    return signatory.key.spki if identity is None else (identity.issuer, identity.kind, identity.subject)


def _is_met(requirement: Requirement, present: Sequence[Signatory]) -> bool:
    if not isinstance(requirement, AtLeast):
        return any(fits(requirement, each) for each in present)
    if not requirement.parts or requirement.needed < 1:
        return False
    nested = sum(_is_met(part, present) for part in requirement.parts if isinstance(part, AtLeast))
    leaves_here = [part for part in requirement.parts if not isinstance(part, AtLeast)]
    choices = [[index for index, each in enumerate(present) if fits(part, each)] for part in leaves_here]
    return nested + most(choices) >= requirement.needed


def fits(part: SignedBy | IdentifiedAs, signatory: Signatory) -> bool:
    """Whether this signer is the one that is asked for."""
    if isinstance(part, SignedBy):
        return part.key.spki == signatory.key.spki
    return signatory.identity is not None and part.pattern.mismatch(signatory.identity) is None


def describe(requirement: Requirement) -> str:
    """For people: `a signature by cosign.pub`, `signatures by 2 of: a.pub, b.pub, c.pub`."""
    if not isinstance(requirement, AtLeast):
        return f"a signature by {requirement.name}"
    names = ", ".join(f"({describe(part)})" if isinstance(part, AtLeast) else part.name for part in requirement.parts)
    if requirement.needed == 1:
        return f"a signature by any of: {names}"
    if requirement.needed == len(requirement.parts):
        return f"signatures by all of: {names}"
    return f"signatures by {requirement.needed} of: {names}"
