"""Why a rule is about an image of a workload, or is not: the same tests as `Index.matching` makes, one by one, told in words.

What is told here decides nothing. That it says the same as `Index.matching` is held by a test over random policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyUndecidedError
from sealgate.policy import mirrors, patterns
from sealgate.policy import model as models
from sealgate.policy.index import Asked

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference
    from sealgate.policy.index import Index
    from sealgate.policy.model import Rule
    from sealgate.workloads.workload import Workload


class Considered(NamedTuple):
    """One rule, and whether it is about the image."""

    rule: Rule
    state: str
    """`asked`, `exempted`, `skipped`, `narrower` (a rule that fits better counts), `undecided`, `image`, `namespace`,
    `workload` (what of it does not fit)."""
    reason: str

    def as_json(self) -> dict[str, str]:
        """As a JSON object."""
        return {
            "rule": self.rule.title, "kind": self.rule.kind, "where": self.rule.where, "state": self.state,
            "reason": self.reason,
        }  # fmt: skip


def consider(
    index: Index, reference: Reference, workload: Workload, *, now: float, written: str = ""
) -> tuple[Considered, ...]:
    """Every rule, in the order of the policies. An image at a mirror goes by its origin's name, too.

    `written`: the image as the workload names it. May run programs of policies.
    """
    origin = mirrors.origin(index.policies.mirrors, reference)
    asked = Asked(workload)
    found = _under(index, reference, origin or reference, asked, now, written)
    if origin is None:
        return found
    return tuple(
        max(pair, key=lambda each: _WEIGHT.get(each.state, 0))
        for pair in zip(_under(index, origin, origin, asked, now, written), found, strict=True)
    )


_WEIGHT = {"undecided": 3, "asked": 2, "exempted": 2, "skipped": 1}
"""Of an image with two names: what only one of them is excused from is asked."""


def _under(
    index: Index, reference: Reference, judged: Reference, asked: Asked, now: float, written: str
) -> tuple[Considered, ...]:
    """Under one of its names; exceptions are for the one that is judged."""
    found = [_one(rule, reference, written, asked.workload) for rule in index.policies.rules]
    highest: dict[str, int] = {}
    for each in found:
        if each.state in {"asked", "skipped"}:
            highest[each.rule.dialect] = max(highest.get(each.rule.dialect, 0), each.rule.specificity)
    return tuple(
        each
        if each.state not in {"asked", "skipped"}
        else each._replace(state="narrower", reason="a rule whose scope is narrower counts alone")
        if each.rule.specificity < highest[each.rule.dialect]
        else _excepted(each, index, judged, asked, now)
        for each in found
    )


def _excepted(found: Considered, index: Index, reference: Reference, asked: Asked, now: float) -> Considered:
    if found.state != "asked":
        return found
    try:
        exemption = index.exemption(found.rule, reference, asked, now)
    except PolicyUndecidedError as error:
        return found._replace(state="undecided", reason=error.message)
    if exemption is None:
        return found
    return found._replace(state="exempted", reason=f"the exception {exemption.name} holds")


def _one(rule: Rule, reference: Reference, written: str, workload: Workload) -> Considered:
    names = patterns.candidates(reference, rule.dialect)
    fitting = [each for each in rule.images if _fits(rule, (each,), names, excuse=False)]
    if not fitting:
        shown = ", ".join(rule.images[:5]) + (", …" if len(rule.images) > 5 else "")
        return Considered(rule, "image", f"{' or '.join(names[:2])} does not fit {shown}")
    if rule.namespace is not None and rule.namespace != workload.namespace:
        return Considered(
            rule, "namespace", f"it is about the namespace {rule.namespace}, not {workload.namespace or 'none'}"
        )
    try:
        if not rule.selector.selects(workload):
            return Considered(rule, "workload", f"it is not about {workload.title} ({workload.operation})")
        if models.is_joint(rule.demand):
            texts = (*names, written) if written else names
            if not rule.demand.concerns(workload, written or str(reference), texts):
                return Considered(rule, "image", "a condition or an expression of the policy leaves it out")
    except PolicyUndecidedError as error:
        return Considered(rule, "undecided", error.message)
    if _fits(rule, rule.skip, names, excuse=True):
        return Considered(rule, "skipped", "a pattern of the policy takes the image away from it")
    return Considered(rule, "asked", f"{fitting[0]} fits")


def _fits(rule: Rule, texts: tuple[str, ...], names: tuple[str, ...], *, excuse: bool) -> bool:
    found = patterns.PatternSet([[patterns.expression(each, rule.dialect, excuse=excuse) for each in texts]])
    return bool(found.matching(names))
