"""Judge images by policies: one flow for the gate, the webhook, `explain` and the audit.

The steps, as docs/policies.md numbers them:

(1) the image's name is parsed once; what cannot be parsed is refused;
(2) the rules that are about the workload and the image are found (`index`); what cannot be decided is a refusal;
(3) exceptions are taken away, each by name, while they last; what a rule refuses by the image's name alone asks nobody;
(4) the name is resolved to a digest once; nothing asks later what a tag means;
(5) every attestor of every rule gives its verdict on that digest, all at once, each evidence fetched once (`asking`: with the
    credentials that its rule names, if it names any; without them nothing is asked);
(6) each rule's expression is decided over these verdicts (`counting`); those that look at whole workloads last, over all images
    that they are about;
(7) what no rule of a dialect matched is admitted, warned of or denied as that dialect, or the operator, says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from sealgate import limits
from sealgate.errors import (
    ImageNotFoundError,
    InvalidReferenceError,
    PolicyUndecidedError,
    SealgateError,
    UnavailableError,
)
from sealgate.oci.reference import parse as _parse
from sealgate.policy import asking, counting, mirrors, patterns
from sealgate.policy import model as models
from sealgate.policy.decision import Decision, ImageDecision, Ruling
from sealgate.policy.index import Asked
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.digest import Digest
    from sealgate.oci.reference import Reference
    from sealgate.policy.index import Index
    from sealgate.policy.model import Action, Attestor, Dialect, Exemption, Rule
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.verification.verdict import Verdict
    from sealgate.workloads.workload import Workload

IMAGES_AT_ONCE = 32
ALLOWED = "image-allowed"
"""The code where a rule refuses everything but what its patterns take away (Kyverno's rules about registries): its yes."""
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

    def under(self, keyring: PullSecrets, /) -> Judge:
        """The one that asks with these credentials first. Nothing that either finds is the other's."""


async def evaluate(
    index: Index, workload: Workload, images: Sequence[Placed], judge: Judge, *, clock: Callable[[], float]
) -> Decision:
    """The decision on one workload. Never raises a `SealgateError`: it is in the decision. `clock`: seconds since 1970."""
    now = clock()
    about = Asked(workload)
    jointly: list[list[_Question]] = [[] for _ in images]
    judged = await flow.gather(
        [_image(index, about, placed, judge, now, each) for placed, each in zip(images, jointly, strict=True)],
        limit=IMAGES_AT_ONCE,
    )
    if any(jointly):
        judged = await _jointly(workload, judged, jointly, now)
    return Decision(workload.title, workload.namespace, tuple(judged))


class _Question(NamedTuple):
    """A rule that looks at whole workloads, and what it is to know of one image."""

    rule: Rule
    demand: models.Joint
    verdicts: dict[str, Verdict]
    data: Mapping[str, Any] | None
    judged: bool
    """Whether it is to say something of this image; False: it is refused already."""


async def _jointly(
    workload: Workload, images: list[ImageDecision], jointly: list[list[_Question]], now: float
) -> list[ImageDecision]:
    """(6) What the rules say that look at all images of a workload at once."""
    groups: dict[tuple[str, str, int], list[tuple[int, _Question]]] = {}
    for position, several in enumerate(jointly):
        for each in several:  # a rule in its grace is a value of its own for each image; its demand is the same one
            groups.setdefault((each.rule.where, each.rule.title, id(each.demand)), []).append((position, each))
    for group in groups.values():
        rule, demand = group[0][1].rule, group[0][1].demand
        candidates = [
            models.Candidate(
                images[position].image, images[position].where, images[position].reference or "",
                str(images[position].digest) if each.judged else None, each.verdicts, each.data,
            )
            for position, each in group
        ]  # fmt: skip
        try:
            said = await flow.call(functools.partial(demand.judge_all, workload, candidates, now))
            rulings = [
                _judged(rule, workload, each, found.verdicts) for each, (_, found) in zip(said, group, strict=True)
            ]
        except SealgateError as error:  # the time is over, or the policy cannot be evaluated
            rulings = [_failed(error, _action(rule, workload), rule) for _ in group]
        for ruling, (position, each) in zip(rulings, group, strict=True):
            if each.judged:
                images[position] = images[position]._replace(rulings=(*images[position].rulings, ruling))
    return images


def _judged(rule: Rule, workload: Workload, said: models.Judged, found: dict[str, Verdict]) -> Ruling:
    used = tuple((each, found[each.identity]) for each in models.attestors(rule.demand) if each.identity in found)
    return Ruling(
        said.code, rule.title, _effect(_action(rule, workload)), said.outcome, said.message, rule.kind, rule.dialect,
        rule.where, said.hint, used, rule.digests, said.annotations,
    )  # fmt: skip


async def _concerned(
    rules: Sequence[Rule], workload: Workload, references: Sequence[Reference], image: str
) -> tuple[Rule, ...]:
    """(2) The rules less those that say themselves that they are about something else, whichever name the image goes by."""
    found = []
    for rule in rules:
        if models.is_joint(rule.demand):
            texts = (*(text for each in references for text in patterns.candidates(each, rule.dialect)), image)
            if not await flow.call(functools.partial(rule.demand.concerns, workload, image, texts)):
                continue
        found.append(rule)
    return tuple(found)


def _exempt(
    index: Index, rules: Sequence[Rule], about: Asked, reference: Reference, now: float
) -> dict[tuple[str, str, Dialect], Exemption]:
    return {
        (rule.policy, rule.name, rule.dialect): exemption
        for rule in rules
        if (exemption := index.exemption(rule, reference, about, now)) is not None
    }


async def _image(
    index: Index, about: Asked, placed: Placed, judge: Judge, now: float, jointly: list[_Question]
) -> ImageDecision:
    workload = about.workload
    try:
        reference = parse_reference(placed.image)  # (1)
    except InvalidReferenceError as error:
        return ImageDecision(placed.image, placed.where, placed.pointer, None, None, (_failed(error, "enforce"),))
    base = ImageDecision(placed.image, placed.where, placed.pointer, str(reference), None, ())
    if not index.policies.rules:
        return base._replace(
            rulings=(
                Ruling("no-policies", "", "deny", "refused", "there is no policy at all, so nothing can be admitted"),
            )
        )
    judged = mirrors.origin(index.policies.mirrors, reference) or reference
    try:
        rules, skipped = index.matching(judged, workload, about)
        if judged != reference:
            rules, skipped = _both((rules, skipped), index.matching(reference, workload, about))
        rules = tuple(_in_grace(rule, now) for rule in rules)
        rules = await _concerned(rules, workload, tuple(dict.fromkeys((judged, reference))), placed.image)
        if index.programs:  # exceptions with programs of a user: beside the flows
            exempt = await flow.call(functools.partial(_exempt, index, rules, about, judged, now))
        else:
            exempt = _exempt(index, rules, about, judged, now)
    except SealgateError as error:  # it cannot be decided, or the time is over
        return base._replace(rulings=(_failed(error, "enforce"),))
    rulings = [_skipped(rule) for rule in skipped]
    held = [(rule, exempt.get((rule.policy, rule.name, rule.dialect))) for rule in rules]
    rulings += [_exempted(rule, exemption) for rule, exemption in held if exemption is not None]
    asked = [rule for rule, exemption in held if exemption is None]
    unmatched = _unmatched(index, workload.namespace, rules, skipped)
    rulings += unmatched
    named = {"image": placed.image, "reference": str(reference), "origin": str(judged), "digest": reference.digest}
    lost = [(rule, why) for rule in asked if (why := counting.hopeless(rule.demand, named)) is not None]
    if lost:  # by its name alone: a registry that a policy forbids is not asked for anything
        rulings += [_told(why, rule, workload) for rule, why in lost]
        asked = [rule for rule in asked if all(rule is not each for each, _ in lost)]
        if any(_action(rule, workload) == "enforce" for rule, _ in lost):
            return base._replace(rulings=tuple(rulings))
    if not asked:
        if index.policies.deny.digests and (rules or skipped or reference.digest is not None):
            return await _denied(index, base._replace(rulings=tuple(rulings)), reference, judge)
        return base._replace(rulings=tuple(rulings))
    resolve = judge.resolve
    if index.keyrings:
        unread = [(rule, problem) for rule in asked if (problem := asking.problem(rule)) is not None]
        rulings += [_failed(problem, _action(rule, workload), rule) for rule, problem in unread]
        jointly += [
            _Question(rule, rule.demand, {}, None, judged=False) for rule, _ in unread if models.is_joint(rule.demand)
        ]
        asked = [rule for rule in asked if asking.problem(rule) is None]
        if not asked:
            return await _undenied(index, base._replace(rulings=tuple(rulings)), reference, judge, unread[0][1])
        resolve = functools.partial(asking.resolve, judge, asked)
    try:
        digest = reference.digest or await resolve(reference)  # (4)
        if reference.digest is not None and any(index.attestors(rule) == () for rule in asked):
            digest = await resolve(reference)  # nobody else would notice that it does not exist
    except SealgateError as error:
        rulings += [_failed(error, _action(rule, workload), rule) for rule in asked]
        jointly += [
            _Question(rule, rule.demand, {}, None, judged=False) for rule in asked if models.is_joint(rule.demand)
        ]
        return await _undenied(index, base._replace(rulings=tuple(rulings)), reference, judge, error)
    if (reason := index.policies.deny.digest(digest)) is not None:
        jointly += [
            _Question(rule, rule.demand, {}, None, judged=False) for rule in asked if models.is_joint(rule.demand)
        ]
        return base._replace(digest=digest, rulings=(*rulings, _denial(reason)))
    found = await _verdicts(index, asked, judge, judged, digest, now)  # (5)
    subject: dict[str, object] = {
        "image": placed.image,
        "reference": str(reference),
        "origin": str(judged),
        "digest": str(digest),
        "where": placed.where,
    }
    subject |= {"object": workload.document, "now": now}
    for rule, by_identity in zip(asked, found, strict=True):  # (6)
        if models.is_joint(rule.demand):
            data = None
            if rule.demand.wants_data:
                data = await _data(asking.under(judge, rule.keyring), reference, digest)
            jointly.append(_Question(rule, rule.demand, by_identity, data, judged=True))
        elif models.is_program(rule.demand):  # may run a policy of a user: beside the flows
            try:
                rulings.append(await flow.call(functools.partial(_ruled, index, rule, workload, by_identity, subject)))
            except SealgateError as error:  # the time is over, or the policy cannot be evaluated
                rulings.append(_failed(error, _action(rule, workload), rule))
        else:
            rulings.append(_ruled(index, rule, workload, by_identity, subject))
    return base._replace(digest=digest, rulings=tuple(rulings))


async def _verdicts(
    index: Index, rules: Sequence[Rule], judge: Judge, reference: Reference, digest: Digest, now: float
) -> list[dict[str, Verdict]]:
    """For each rule, the verdicts of its attestors by their identity."""
    if index.keyrings:
        return await asking.verdicts_of(judge, rules, index.attestors, reference, digest, now=now)
    attestors = {each.identity: each for rule in rules for each in index.attestors(rule)}
    verdicts = await judge.verdicts(reference, digest, tuple(attestors.values()), now=now)
    return [dict(zip(attestors, verdicts, strict=True))] * len(rules)


async def _denied(index: Index, base: ImageDecision, reference: Reference, judge: Judge) -> ImageDecision:
    """An image that needs no proof (an exception, a pattern that skips) is not on the deny-list either.

    What no policy is about is judged by the digest that stands in its name; nobody is asked what its tag means.
    """
    try:
        digest = reference.digest or await judge.resolve(reference)
    except SealgateError as error:
        return base._replace(rulings=(*base.rulings, _failed(error, "enforce")))
    if (reason := index.policies.deny.digest(digest)) is not None:
        return base._replace(rulings=(*base.rulings, _denial(reason)))
    return base


async def _undenied(
    index: Index, base: ImageDecision, reference: Reference, judge: Judge, error: SealgateError
) -> ImageDecision:
    """An image that nobody could be asked about: where its rules only warn, the deny-list holds all the same."""
    if reference.digest is not None:
        return await _denied(index, base, reference, judge)
    if index.policies.deny.digests:
        return base._replace(rulings=(*base.rulings, _failed(error, "enforce")))
    return base


def _denial(reason: str) -> Ruling:
    hint = "the deny-list names this image"
    return Ruling("denied-digest", "", "deny", "refused", f"the deny-list names it: {reason}", hint=hint)


async def _data(judge: Judge, reference: Reference, digest: Digest) -> Mapping[str, Any] | None:
    """What a program may look at beside verdicts; None where it cannot be had."""
    describe = getattr(judge, "describe", None)
    if describe is None:
        return None
    try:
        return cast("Mapping[str, Any]", await describe(reference, digest))
    except SealgateError:
        return None


def _both(
    one: tuple[tuple[Rule, ...], tuple[Rule, ...]], other: tuple[tuple[Rule, ...], tuple[Rule, ...]]
) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """What holds for an image under either of its names; what only one of them is excused from is asked."""
    rules = [*one[0], *(rule for rule in other[0] if rule not in one[0])]
    skipped = [*one[1], *(rule for rule in other[1] if rule not in one[1])]
    return tuple(rules), tuple(rule for rule in skipped if rule not in rules)


def _in_grace(rule: Rule, now: float) -> Rule:
    """The rule as it is enforced now: until its grace ends, no stricter than that says."""
    grace = rule.grace
    if grace is None or now >= grace.until:
        return rule
    ranked = models.STRICTNESS
    overrides = tuple(
        each._replace(action=min(each.action, grace.action, key=ranked.__getitem__)) for each in rule.overrides
    )
    return rule._replace(action=min(rule.action, grace.action, key=ranked.__getitem__), overrides=overrides)


def _ruled(
    index: Index, rule: Rule, workload: Workload, found: dict[str, Verdict], subject: dict[str, object]
) -> Ruling:
    used = tuple((each, found[each.identity]) for each in index.attestors(rule))
    return _told(counting.decide(rule.demand, found, subject), rule, workload, used)


def _told(
    outcome: counting.Outcome, rule: Rule, workload: Workload, used: tuple[tuple[Attestor, Verdict], ...] = ()
) -> Ruling:
    return Ruling(
        outcome.code, rule.title, _effect(_action(rule, workload)), outcome.outcome, outcome.message, rule.kind, rule.dialect,
        rule.where, outcome.hint, used, rule.digests,
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
    if rule.dialect == "kyverno" and isinstance(rule.demand, models.Static) and not rule.demand.passes:
        code, message = ALLOWED, "it comes from where the policy allows"
    else:
        code, message = "image-skipped", "the policy skips this image by a pattern of its own"
    return Ruling(code, rule.title, "none", "skipped", message, rule.kind, rule.dialect, rule.where)


def _exempted(rule: Rule, exemption: Exemption) -> Ruling:
    reason = f": {exemption.reason}" if exemption.reason else ""
    message = f"the exception {exemption.name} holds for it{reason}"
    return Ruling("image-exempted", rule.title, "none", "skipped", message, rule.kind, rule.dialect, rule.where)


def _unmatched(index: Index, namespace: str, rules: Sequence[Rule], skipped: Sequence[Rule]) -> list[Ruling]:
    """(7) One ruling a dialect whose policies say nothing about the image."""
    present = {rule.dialect for rule in (*rules, *skipped)}
    found = []
    for dialect in index.dialects(namespace):
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
