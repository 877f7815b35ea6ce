"""One review from its bytes to its answer: what `/mutate` and `/validate` do. Knows no HTTP.

Whatever happens, a review with a uid gets an answer in time, and nothing that went wrong admits anything. Both paths judge
on their own: what `/mutate` found is no evidence for `/validate` (K13, P11).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate import limits
from sealgate.admission import answer as answers
from sealgate.admission import review as reviews
from sealgate.admission.answer import Answer, Mutate
from sealgate.admission.registries import OPERATOR
from sealgate.errors import DeadlineError, InvalidReferenceError, SealgateError
from sealgate.oci.reference import parse as parse_reference
from sealgate.policy.decision import Decision
from sealgate.policy.evaluate import evaluate
from sealgate.transport import asynchronous

if TYPE_CHECKING:
    from sealgate.admission.cluster.standing import ClusterStanding
    from sealgate.admission.journal import Journal
    from sealgate.admission.judging import Shared, SharedJudge
    from sealgate.admission.metrics import Metrics
    from sealgate.admission.review import Review
    from sealgate.admission.standing import Force, Standing
    from sealgate.digest import Digest
    from sealgate.policy.evaluate import Placed
    from sealgate.policy.model import Policies
    from sealgate.transport.message import Request, Response
    from sealgate.workloads.workload import Workload

Path = Literal["mutate", "validate"]


class Own(NamedTuple):
    """The webhook's own workload, which it does not judge: by its namespace and its image's digest, nothing else."""

    namespace: str
    digest: Digest


class Settings(NamedTuple):
    """What the operator says beside the policies."""

    mutate: Mutate = "all"
    exempt: frozenset[str] = frozenset()
    """Namespaces whose objects are admitted without a look: by name, and said each time."""
    own: tuple[Own, ...] = ()


class Outcome(NamedTuple):
    """What goes back."""

    status: int
    body: bytes


class _Silent:
    """A review's own flow sends nothing: looks at images do."""

    async def send(self, request: Request, deadline: float, /) -> Response:  # pragma: no cover - nothing calls it
        raise DeadlineError(f"nothing may be sent from here, to {request.url.authority}")


_SILENT = _Silent()


class Webhook:
    """Answers reviews."""

    def __init__(
        self, standing: Standing | ClusterStanding, shared: Shared, settings: Settings, metrics: Metrics, journal: Journal, *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.standing = standing
        self._shared = shared
        self._settings = settings
        self._metrics = metrics
        self._journal = journal
        self._clock = clock
        self.reviews = 0
        """How many are being answered."""
        self.canaries: set[str] = set()
        """Uids of reviews that the webhook posts to itself (`selftest`): judged as every other, not counted, not logged."""

    async def answer(self, raw: bytes, path: Path, *, seconds: float, begun: float) -> Outcome:
        """The answer to one review. `seconds`: how long it may take from `begun` on, a time of the event loop's clock."""
        loop = asyncio.get_running_loop()
        self.reviews += 1
        try:
            return await self._answer(raw, path, begun + seconds, begun)
        except Exception as error:  # noqa: BLE001 - a fault of ours admits nothing, and is no 500 either
            self._metrics.faults.inc()
            uid = reviews.uid_of(raw)
            self._journal.say("fault", level="error", path=path, uid=uid, error=_fault(error))
            self._metrics.review(path, "deny", loop.time() - begun)
            if uid is None:
                return Outcome(400, b"not a review\n")
            message = "something went wrong inside the webhook; its log says what"
            return Outcome(200, answers.refused(uid, "internal-error", message).document())
        finally:
            self.reviews -= 1

    async def _answer(self, raw: bytes, path: Path, deadline: float, begun: float) -> Outcome:
        loop = asyncio.get_running_loop()
        try:
            review = reviews.read(raw)
        except SealgateError as error:
            return self._malformed(raw, path, error, begun)
        if (
            self.reviews > limits.REVIEWS and review.workload.operation != "DELETE"
        ):  # to block that would lock the cluster
            answer = answers.refused(review.uid, "overloaded", f"more than {limits.REVIEWS} reviews are being answered")
            decision = None
        elif review.workload.namespace in self._settings.exempt and review.workload.namespace:
            answer, decision = answers.exempted(review, "namespace-exempt"), None
        elif path == "mutate" and self._settings.mutate == "pods" and not review.is_pod:
            answer, decision = Answer(review.uid, allowed=True, code="not-mutated"), None
        else:
            force = self.standing.force
            review = review._replace(workload=_with_labels(review.workload, force))
            try:
                review = await _complete(force, review, seconds=max(deadline - loop.time(), 0.0))
            except SealgateError as error:
                answer, decision = answers.refused(review.uid, error.code, error.message), None
            else:
                answer, decision = await self._judged(force, review, path, deadline)
        if review.uid in self.canaries:
            return Outcome(200, answer.document())
        self._count(review, path, answer, decision)
        took = loop.time() - begun
        outcome = _outcome(answer)
        self._metrics.review(path, outcome, took)
        self._say(review, path, answer, decision, outcome, took)
        return Outcome(200, answer.document())

    async def _judged(
        self, force: Force, review: Review, path: Path, deadline: float
    ) -> tuple[Answer, Decision | None]:
        loop = asyncio.get_running_loop()
        workload = review.workload
        own = [each for each in review.images if self._is_own(each, workload)]
        images = [each for each in review.images if each not in own]
        scope = OPERATOR
        if images:
            try:
                scope = await self._shared.scope(workload, seconds=max(deadline - loop.time(), 0.0))
            except SealgateError as error:
                return answers.refused(review.uid, error.code, f"pull secrets: {error.message}"), None
        judge = self._shared.judge(scope, keeps=not review.dry_run)
        remarks: list[str] = []
        if images:
            left = max(deadline - loop.time(), 0.0)
            flow = evaluate(force.catalogue, workload, images, judge, clock=self._clock)
            try:
                decision = await asynchronous.run(flow, client=_SILENT, seconds=left)
            except SealgateError as error:  # the time was over before anything was decided
                self._late(judge)
                return answers.refused(review.uid, error.code, error.message), None
            self._late(judge)
            remarks = [f"{each} [known-good]" for each in judge.known_good]
            self._metrics.image("known-good", len(judge.known_good))
        else:
            decision = Decision(workload.title, workload.namespace, ())
        self._metrics.image("own", len(own))
        found = answers.of(
            review, decision, validating=path == "validate", mutating=path == "mutate",
            excused=[each.where for each in own], remarks=remarks, generation=str(force.generation),
        )  # fmt: skip
        return found, decision

    def _is_own(self, placed: Placed, workload: Workload) -> bool:
        for own in self._settings.own:
            if own.namespace == workload.namespace and placed.image.endswith(str(own.digest)):
                try:
                    return parse_reference(placed.image).digest == own.digest
                except InvalidReferenceError:
                    return False
        return False

    def _malformed(self, raw: bytes, path: Path, error: SealgateError, begun: float) -> Outcome:
        uid = reviews.uid_of(raw)
        took = asyncio.get_running_loop().time() - begun
        self._metrics.review(path, "malformed", took)
        self._metrics.decision(error.code, "deny")
        self._journal.say("malformed", level="warning", path=path, uid=uid, code=error.code, message=error.message)
        if uid is None:
            return Outcome(400, b"not a review that can be answered\n")
        return Outcome(200, answers.refused(uid, error.code, error.message).document())

    def _late(self, judge: SharedJudge) -> None:
        for each in judge.late:
            self._metrics.late(each.partition(": ")[0])

    def _count(self, review: Review, path: Path, answer: Answer, decision: Decision | None) -> None:
        self._metrics.image("unchanged", len(review.unchanged))
        if decision is None:
            if not answer.allowed:
                self._metrics.decision(answer.code, "deny")
            return
        for each in answers.missing_digests(decision) if path == "validate" and review.is_pod else ():
            self._metrics.decision(each.code, each.severity)
        for image in decision.images:
            outcomes = {ruling.outcome for ruling in image.rulings}
            state = next((each for each in _STATES if each in outcomes), "accepted")
            self._metrics.image(_STATE_NAMES.get(state, state))
            for ruling in image.rulings:
                self._metrics.decision(ruling.code, ruling.severity)

    def _say(
        self, review: Review, path: Path, answer: Answer, decision: Decision | None, outcome: str, took: float
    ) -> None:
        workload = review.workload
        images = decision.images if decision is not None else ()
        self._journal.say(
            "review",
            level="info" if answer.allowed else "warning",
            path=path,
            uid=review.uid,
            operation=workload.operation,
            object=workload.title,
            subresource=workload.subresource or None,
            user=workload.user.name if workload.user is not None else None,
            outcome=outcome,
            code=answer.code,
            message=answer.message or None,
            images=[f"{answers.shown(each.image)} {each.digest or ''} {_codes(each)}" for each in images[:16]] or None,
            unchanged=len(review.unchanged) or None,
            dry_run=review.dry_run or None,
            warnings=list(answer.warnings[:8]) or None,
            milliseconds=round(took * 1000, 3),
        )


_STATES = ("refused", "unknown", "unmatched", "accepted", "skipped")
_STATE_NAMES: Mapping[str, str] = {"accepted": "verified"}


def _codes(image: object) -> str:
    return ",".join(dict.fromkeys(ruling.code for ruling in getattr(image, "rulings", ())))


def _outcome(answer: Answer) -> str:
    if not answer.allowed:
        return "deny"
    return next((text for name, text in answer.audit if name == "outcome"), "admit")


async def _complete(force: Force, review: Review, *, seconds: float) -> Review:
    """With the images at places that only policies know. Expressions may take their time: they are not this loop's.

    Raises `WorkloadInvalidError`, `LimitError`, `DeadlineError`.
    """
    policies = force.catalogue.policies
    if review.workload.operation == "DELETE" or not any(
        rule.extractors or getattr(rule.demand, "extracts", False) for rule in policies.rules
    ):
        return review
    work = asyncio.get_running_loop().run_in_executor(None, _extracted, policies, review)
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise DeadlineError(
            f"the images of {review.workload.title} that policies find were not found in time"
        ) from None


def _extracted(policies: Policies, review: Review) -> Review:
    """The digest is written at such places too, where they are known; and an image that stands unchanged is excused as others
    are. What an expression found has no place, and is judged each time.
    """
    from sealgate.policy.kyverno import extractors

    workload = review.workload
    there = {each.pointer for each in (*review.images, *review.unchanged)}
    found = [each for each in extractors.images(policies, workload) if each.pointer not in there]
    before: dict[str, str] = {}
    if workload.operation == "UPDATE" and workload.old is not None and any(each.pointer for each in found):
        with contextlib.suppress(SealgateError):  # what cannot be read excuses nothing
            older = extractors.images(policies, workload._replace(document=workload.old, old=None))
            before = {each.pointer: each.image for each in older if each.pointer}
    unchanged = tuple(each for each in found if before.get(each.pointer) == each.image)
    images = tuple(each for each in found if before.get(each.pointer) != each.image)
    return review._replace(images=review.images + images, unchanged=review.unchanged + unchanged)


def _with_labels(workload: Workload, force: Force) -> Workload:
    """With the labels of its namespace, where they are known."""
    found = force.namespaces.get(workload.namespace) if workload.namespace else {}
    return workload._replace(namespace_labels=found) if found is not None else workload


def _fault(error: BaseException) -> str:
    """Where a fault is: the kind of the error and its last places in the code; never its text, which may hold anything."""
    import traceback

    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
