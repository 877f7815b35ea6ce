"""Why a rule is about an image of a workload, or is not: the same tests as `Index.matching` makes, one by one, told in words.

What is told here decides nothing. That it says the same as `Index.matching` is held by a test over random policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyUndecidedError
from sealgate.policy import patterns
from sealgate.policy.evaluate import Asked

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference
    from sealgate.policy.evaluate import Index
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


def consider(index: Index, reference: Reference, workload: Workload, *, now: float) -> tuple[Considered, ...]:
    """Every rule, in the order of the policies."""
    found = [_one(index, rule, reference, workload, now) for rule in index.policies.rules]
    highest: dict[str, int] = {}
    for each in found:
        if each.state in {"asked", "skipped", "exempted"}:
            highest[each.rule.dialect] = max(highest.get(each.rule.dialect, 0), each.rule.specificity)
    return tuple(
        each._replace(state="narrower", reason="a rule whose scope is narrower counts alone")
        if each.state in {"asked", "skipped", "exempted"} and each.rule.specificity < highest[each.rule.dialect]
        else each
        for each in found
    )


def _one(index: Index, rule: Rule, reference: Reference, workload: Workload, now: float) -> Considered:
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
        exemption = index.exemption(rule, reference, Asked(workload), now)
    except PolicyUndecidedError as error:
        return Considered(rule, "undecided", error.message)
    if _fits(rule, rule.skip, names, excuse=True):
        return Considered(rule, "skipped", "a pattern of the policy takes the image away from it")
    if exemption is not None:
        return Considered(rule, "exempted", f"the exception {exemption.name} holds")
    return Considered(rule, "asked", f"{fitting[0]} fits")


def _fits(rule: Rule, texts: tuple[str, ...], names: tuple[str, ...], *, excuse: bool) -> bool:
    found = patterns.PatternSet([[patterns.expression(each, rule.dialect, excuse=excuse) for each in texts]])
    return bool(found.matching(names))
