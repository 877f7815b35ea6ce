"""The texts of conditions that policies have, compiled when these are loaded: what is wrong with them is an error then.

All texts of one load are compiled together (`conditions.compiling`). One that could not be compiled here is a note: if it is
broken, it refuses every image that it is asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy.model import Attestor, Count, Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sealgate.conditions.policy import Policy
    from sealgate.errors import SealgateError
    from sealgate.policy.model import Expression, Rule


class Looked(NamedTuple):
    """What is to be said of the texts of some rules."""

    errors: tuple[SealgateError, ...] = ()
    notes: tuple[Note, ...] = ()


def look(groups: Sequence[Iterable[Rule]]) -> list[Looked]:
    """What is wrong with the texts of each group. It may take a while (`limits.CONDITION_LOAD_SECONDS`)."""
    found = [tuple(dict.fromkeys(text for rule in rules for text in texts(rule.demand))) for rules in groups]
    if not any(found):
        return [Looked() for _ in found]
    from sealgate.conditions import compiling

    flaws = compiling.compile_all(compiling.Text(each.language, each.source) for group in found for each in group)
    said = []
    for group in found:
        errors: list[SealgateError] = []
        notes: list[Note] = []
        for each in group:
            flaw = flaws.get(compiling.Text(each.language, each.source))
            if flaw is None:
                continue
            if flaw.fault == "unchecked":
                notes.append(Note("text-unchecked", f"the text was not compiled: {flaw.message}", each.name))
            elif flaw.fault == "unsupported":
                errors.append(PolicyUnsupportedError(f"{each.name}: {flaw.message}"))
            else:
                errors.append(PolicyInvalidError(f"{each.name}: {flaw.message}"))
        said.append(Looked(tuple(errors), tuple(notes)))
    return said


def texts(expression: Expression) -> Iterator[Policy]:
    """Every text of an expression; each is named after its place."""
    from sealgate.policy.caged import Caged

    if isinstance(expression, Count):
        for part in expression.parts:
            yield from texts(part)
    elif isinstance(expression, Attestor):
        attested = expression.wanted.attested
        for condition in attested.conditions if attested is not None else ():
            if isinstance(condition, Caged):
                yield from condition.policies
    else:
        for attestor in getattr(expression, "attestors", ()):
            yield from texts(attestor)
        yield from getattr(expression, "texts", ())
