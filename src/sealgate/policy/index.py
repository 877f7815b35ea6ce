"""The rules of a set of policies, found by image and workload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import PolicyUndecidedError
from sealgate.policy import counting, patterns
from sealgate.policy import model as models

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference
    from sealgate.policy.model import Attestor, Dialect, Exemption, Policies, Rule, Selector
    from sealgate.workloads.workload import Workload


class Asked:
    """What selectors say of one workload, each asked once: a pod may have hundreds of images."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._answers: dict[int, bool | PolicyUndecidedError] = {}
        self._kept: list[Selector] = []

    def selects(self, selector: Selector) -> bool:
        """As `Selector.selects`."""
        answer = self._answers.get(id(selector))
        if answer is None:
            try:
                answer = selector.selects(self.workload)
            except PolicyUndecidedError as error:
                answer = error
            self._answers[id(selector)] = answer
            self._kept.append(selector)  # so that its id stays its own
        if isinstance(answer, PolicyUndecidedError):
            raise PolicyUndecidedError(answer.message, hint=answer.hint)
        return answer


class Index:
    """The rules of a set of policies, found by image and workload in time that hardly grows with their number."""

    def __init__(self, policies: Policies) -> None:
        """Raises `PolicyInvalidError` for a pattern that is none."""
        self.policies = policies
        self._attestors = {id(rule.demand): models.attestors(rule.demand) for rule in policies.rules}
        self._images: dict[Dialect, patterns.PatternSet] = {}
        self._skips: dict[Dialect, patterns.PatternSet] = {}
        self._rules: dict[Dialect, list[Rule]] = {}
        self._selectors: dict[Dialect, list[Selector]] = {}
        alike: dict[str, Selector] = {}
        for rule in policies.rules:
            self._rules.setdefault(rule.dialect, []).append(rule)
            # Many policies select alike: `Asked` asks each selector once. What is written out alike is of the same types.
            same = alike.setdefault(repr(rule.selector), rule.selector)
            self._selectors.setdefault(rule.dialect, []).append(same)
        for dialect, rules in self._rules.items():
            self._images[dialect] = patterns.PatternSet(
                [[patterns.expression(each, dialect) for each in rule.images] for rule in rules]
            )
            self._skips[dialect] = patterns.PatternSet(
                [[patterns.expression(each, dialect, excuse=True) for each in rule.skip] for rule in rules]
            )
        self._places = {dialect: {rule.namespace for rule in rules} for dialect, rules in self._rules.items()}
        self._exempt: dict[Dialect, patterns.PatternSet] = {
            dialect: patterns.PatternSet([_exempted_images(each, dialect) for each in policies.exemptions])
            for dialect in dict.fromkeys(each.dialect for each in policies.exemptions)
        }
        self.keyrings = any(
            rule.keyring is not None or any(each.keyring is not None for each in self.attestors(rule))
            for rule in policies.rules
        )
        """Whether a rule names credentials."""
        self.programs = any(getattr(each.selector, "program", None) is not None for each in policies.exemptions)
        """Whether an exception has a program of a user."""

    def dialects(self, namespace: str) -> tuple[Dialect, ...]:
        """The dialects that have a rule of the whole cluster or of this namespace; where none has, those that have any.

        A policy of another namespace decides nothing here, nor does its dialect: no tenant shuts others out.
        """
        here = tuple(each for each, places in self._places.items() if None in places or namespace in places)
        return here or tuple(self._places)

    def attestors(self, rule: Rule) -> tuple[Attestor, ...]:
        """Every attestor of a rule of these policies (with whatever action), each identity once."""
        return self._attestors[id(rule.demand)]

    def matching(
        self, reference: Reference, workload: Workload, asked: Asked | None = None
    ) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        """(2) The rules that this image of this workload needs, and those that skip it by a pattern of their own.

        Raises `PolicyUndecidedError`.
        """
        asked = asked or Asked(workload)
        found: list[Rule] = []
        skipped: list[Rule] = []
        for dialect, rules in self._rules.items():
            selectors = self._selectors[dialect]
            texts = patterns.candidates(reference, dialect)
            hits = sorted(self._images[dialect].matching(texts))
            if not hits:
                continue
            excused = self._skips[dialect].matching(texts)
            about = [
                index
                for index in hits
                if rules[index].namespace in {None, workload.namespace} and asked.selects(selectors[index])
            ]
            highest = max((rules[index].specificity for index in about), default=0)
            for index in about:
                if rules[index].specificity == highest:
                    (skipped if index in excused else found).append(rules[index])
        return tuple(found), tuple(skipped)

    def exemption(self, rule: Rule, reference: Reference, asked: Asked, now: float) -> Exemption | None:
        """(3) The exception that holds for this image under this rule now."""
        if not self.policies.exemptions:
            return None
        hits = {
            index
            for dialect, found in self._exempt.items()
            for index in found.matching(patterns.candidates(reference, dialect))
        }
        for index in sorted(hits):
            exemption = self.policies.exemptions[index]
            if not (_lasts(exemption, now) and _reaches(exemption, asked.workload)):
                continue
            if counting.exempts(exemption, rule) and asked.selects(exemption.selector):
                return exemption
        return None


def _lasts(exemption: Exemption, now: float) -> bool:
    return exemption.expires is None or now < exemption.expires


def _reaches(exemption: Exemption, workload: Workload) -> bool:
    """An exception of a namespace is for that namespace alone (CVE-2024-48921)."""
    return exemption.namespace in {None, workload.namespace}


def _exempted_images(exemption: Exemption, dialect: Dialect) -> list[str]:
    """The expressions of an exception's images; none where they are of another dialect."""
    if exemption.dialect != dialect:
        return []
    if not exemption.images:
        return [".*"]
    return [patterns.expression(each, dialect, excuse=True) for each in exemption.images]
