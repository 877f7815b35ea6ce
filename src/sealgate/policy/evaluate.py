"""Judge images by policies: one flow for the gate, the webhook, `explain` and the audit.

The steps, as docs/policies.md numbers them:

(1) the image's name is parsed once; what cannot be parsed is refused;
(2) the rules that are about the workload and the image are found (`Index`); what cannot be decided is a refusal;
(3) exceptions are taken away, each by name, while they last;
(4) the name is resolved to a digest once; nothing asks later what a tag means;
(5) every attestor of every rule gives its verdict on that digest, all at once, each evidence fetched once;
(6) each rule's expression is decided over these verdicts (`counting`);
(7) what no rule of a dialect matched is admitted, warned of or denied as that dialect, or the operator, says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sealgate import limits
from sealgate.errors import (
    ImageNotFoundError,
    InvalidReferenceError,
    PolicyUndecidedError,
    SealgateError,
    UnavailableError,
)
from sealgate.oci.reference import parse as _parse
from sealgate.policy import counting, patterns
from sealgate.policy import model as models
from sealgate.policy.decision import Decision, ImageDecision, Ruling
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.oci.reference import Reference
    from sealgate.policy.model import Action, Attestor, Dialect, Exemption, Policies, Rule, Selector
    from sealgate.verification.verdict import Verdict
    from sealgate.workloads.workload import Workload

IMAGES_AT_ONCE = 32
parse_reference = functools.lru_cache(limits.NAMES)(_parse)
"""A server sees the same names again and again; what is no name is not remembered."""


class Placed(NamedTuple):
    """One image as a workload names it."""

    image: str
    where: str
    """For people: `containers[0].image`."""
    pointer: str = ""
    """RFC 6901, from the root of the document; empty where there is none."""


class Judge(Protocol):
    """Who knows images: resolves names, and has the verdicts of `verification`. What is the same is asked once."""

    async def resolve(self, reference: Reference) -> Digest:
        """The digest of an image that exists. Raises `ImageNotFoundError`, `UnavailableError`, …"""

    async def verdicts(
        self, reference: Reference, digest: Digest, attestors: Sequence[Attestor], *, now: float
    ) -> list[Verdict]:
        """The verdict of each attestor, in their order. Never raises a `SealgateError`: it is in the verdict."""


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
        self._images: dict[Dialect, patterns.PatternSet] = {}
        self._skips: dict[Dialect, patterns.PatternSet] = {}
        self._rules: dict[Dialect, list[Rule]] = {}
        for rule in policies.rules:
            self._rules.setdefault(rule.dialect, []).append(rule)
        for dialect, rules in self._rules.items():
            self._images[dialect] = patterns.PatternSet(
                [[patterns.expression(each, dialect) for each in rule.images] for rule in rules]
            )
            self._skips[dialect] = patterns.PatternSet(
                [[patterns.expression(each, dialect, excuse=True) for each in rule.skip] for rule in rules]
            )
        self._exempt = patterns.PatternSet(
            [
                [patterns.expression(each, "kyverno", excuse=True) for each in exemption.images or ("*",)]
                for exemption in policies.exemptions
            ]
        )

    def dialects(self) -> tuple[Dialect, ...]:
        """The dialects that have a rule."""
        return tuple(self._rules)

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
            texts = patterns.candidates(reference, dialect)
            hits = sorted(self._images[dialect].matching(texts))
            if not hits:
                continue
            excused = self._skips[dialect].matching(texts)
            about = [
                index
                for index in hits
                if rules[index].namespace in {None, workload.namespace} and asked.selects(rules[index].selector)
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
        hits = self._exempt.matching(patterns.candidates(reference, "kyverno"))
        for index in sorted(hits):
            exemption = self.policies.exemptions[index]
            if exemption.expires is not None and now >= exemption.expires:
                continue
            if not any(
                counting.named(policy, rule.policy) and counting.named(name, rule.name)
                for policy, name in exemption.rules
            ):
                continue
            if asked.selects(exemption.selector):
                return exemption
        return None


async def evaluate(
    index: Index, workload: Workload, images: Sequence[Placed], judge: Judge, *, clock: Callable[[], float]
) -> Decision:
    """The decision on one workload. Never raises a `SealgateError`: it is in the decision. `clock`: seconds since 1970."""
    now = clock()
    asked = Asked(workload)
    judged = await flow.gather([_image(index, asked, placed, judge, now) for placed in images], limit=IMAGES_AT_ONCE)
    return Decision(workload.title, workload.namespace, tuple(judged))


async def _image(index: Index, about: Asked, placed: Placed, judge: Judge, now: float) -> ImageDecision:
    workload = about.workload
    base = ImageDecision(placed.image, placed.where, placed.pointer, None, None, ())
    try:
        reference = parse_reference(placed.image)  # (1)
    except InvalidReferenceError as error:
        return base._replace(rulings=(_failed(error, "enforce"),))
    base = base._replace(reference=str(reference))
    if not index.policies.rules:
        return base._replace(
            rulings=(
                Ruling("no-policies", "", "deny", "refused", "there is no policy at all, so nothing can be admitted"),
            )
        )
    try:
        rules, skipped = index.matching(reference, workload, about)
        exempt = {
            rule.title: exemption
            for rule in rules
            if (exemption := index.exemption(rule, reference, about, now)) is not None
        }
    except PolicyUndecidedError as error:
        return base._replace(rulings=(_failed(error, "enforce"),))
    rulings = [_skipped(rule) for rule in skipped]
    rulings += [_exempted(rule, exempt[rule.title]) for rule in rules if rule.title in exempt]
    asked = [rule for rule in rules if rule.title not in exempt]
    unmatched = _unmatched(index, rules, skipped)
    rulings += unmatched
    if not asked:
        return base._replace(rulings=tuple(rulings))
    forbidden = [rule for rule in asked if _forbids(rule, workload)]
    if forbidden:  # a registry that a policy forbids is not asked for anything
        rulings += [_ruled(rule, workload, {}, {}) for rule in forbidden]
        return base._replace(rulings=tuple(rulings))
    try:
        digest = reference.digest or await judge.resolve(reference)  # (4)
        if reference.digest is not None and any(models.attestors(rule.demand) == () for rule in asked):
            digest = await judge.resolve(reference)  # nobody else would notice that it does not exist
    except SealgateError as error:
        rulings += [_failed(error, _action(rule, workload), rule) for rule in asked]
        return base._replace(rulings=tuple(rulings))
    attestors = {each.identity: each for rule in asked for each in models.attestors(rule.demand)}
    verdicts = await judge.verdicts(reference, digest, tuple(attestors.values()), now=now)  # (5)
    by_identity = dict(zip(attestors, verdicts, strict=True))
    subject: dict[str, object] = {
        "image": placed.image,
        "reference": str(reference),
        "digest": str(digest),
        "where": placed.where,
    }
    subject["object"] = workload.document
    for rule in asked:  # (6)
        if models.is_program(rule.demand):  # may run a policy of a user: beside the flows
            try:
                rulings.append(await flow.call(functools.partial(_ruled, rule, workload, by_identity, subject)))
            except SealgateError as error:  # the time is over, or the policy cannot be evaluated
                rulings.append(_failed(error, _action(rule, workload), rule))
        else:
            rulings.append(_ruled(rule, workload, by_identity, subject))
    return base._replace(digest=digest, rulings=tuple(rulings))


def _forbids(rule: Rule, workload: Workload) -> bool:
    """Whether the rule denies every image that it is about, whatever hangs on it."""
    static = isinstance(rule.demand, models.Static) and not rule.demand.passes
    return static and _action(rule, workload) == "enforce"


def _ruled(rule: Rule, workload: Workload, found: dict[str, Verdict], subject: dict[str, object]) -> Ruling:
    outcome = counting.decide(rule.demand, found, subject)
    action = _action(rule, workload)
    used = tuple((each, found[each.identity]) for each in models.attestors(rule.demand))
    return Ruling(
        outcome.code, rule.title, _effect(action), outcome.outcome, outcome.message, rule.kind, rule.dialect, rule.where,
        outcome.hint, used, rule.digests,
    )  # fmt: skip


def _action(rule: Rule, workload: Workload) -> Action:
    """The rule's action in this namespace; where two overrides hold, the stricter one."""
    try:
        found = [each.action for each in rule.overrides if each.selector.selects(workload)]
    except PolicyUndecidedError:
        return "enforce"
    return max(found, key=lambda each: models.STRICTNESS[each], default=rule.action)


def _effect(action: Action) -> str:
    return {"enforce": "deny", "warn": "warn", "audit": "audit"}[action]


def _skipped(rule: Rule) -> Ruling:
    message = "the policy skips this image by a pattern of its own"
    return Ruling("image-skipped", rule.title, "none", "skipped", message, rule.kind, rule.dialect, rule.where)


def _exempted(rule: Rule, exemption: Exemption) -> Ruling:
    reason = f": {exemption.reason}" if exemption.reason else ""
    message = f"the exception {exemption.name} holds for it{reason}"
    return Ruling("image-exempted", rule.title, "none", "skipped", message, rule.kind, rule.dialect, rule.where)


def _unmatched(index: Index, rules: Sequence[Rule], skipped: Sequence[Rule]) -> list[Ruling]:
    """(7) One ruling a dialect whose policies say nothing about the image."""
    present = {rule.dialect for rule in (*rules, *skipped)}
    found = []
    for dialect in index.dialects():
        if dialect in present:
            continue
        what = index.policies.no_match or models.NO_MATCH[dialect]
        effect = {"allow": "none", "warn": "warn", "deny": "deny"}[what]
        message = "no policy is about this image"
        hint = "write a policy that matches it, or --no-match warn|allow" if what == "deny" else None
        found.append(Ruling("image-unmatched", "", effect, "unmatched", message, "", dialect, "", hint))
    return found


def _failed(error: SealgateError, action: Action, rule: Rule | None = None) -> Ruling:
    unknown = isinstance(error, UnavailableError) and not isinstance(error, ImageNotFoundError)
    outcome = "unknown" if unknown else "refused"
    if rule is None:
        return Ruling(error.code, "", _effect(action), outcome, error.message, hint=error.hint)
    return Ruling(
        error.code, rule.title, _effect(action), outcome, error.message, rule.kind, rule.dialect, rule.where, error.hint
    )
