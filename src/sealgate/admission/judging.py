"""The webhook's `Judge`: what several reviews want to know at once is asked once, and what is known is not asked again.

A look at an image (`_Work`) is a run of flows of its own. Reviews wait for it, each until its own deadline; the look goes on
when a review has answered, so that the next one finds what it wants. It keeps what it found only if somebody waited whose
request was not a dry run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission.cache import key_of
from sealgate.admission.descriptions import Place
from sealgate.admission.measuring import Measured
from sealgate.admission.registries import OPERATOR
from sealgate.errors import DeadlineError, SealgateError, UnavailableError
from sealgate.oci.reference import parse_repository
from sealgate.policy import description
from sealgate.policy.judging import StoreJudge
from sealgate.transport import asynchronous, flow
from sealgate.verification import verdict as verdicts

if TYPE_CHECKING:
    from sealgate.admission.cache import Cache, Key
    from sealgate.admission.metrics import Metrics
    from sealgate.admission.registries import Registries, Run, Scope
    from sealgate.digest import Digest
    from sealgate.oci.reference import Reference
    from sealgate.policy.model import Attestor
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.transport.message import Request, Response
    from sealgate.verification.verdict import Verdict
    from sealgate.workloads.workload import Workload


class _Sent(NamedTuple):
    """A request that has no answer yet."""

    request: Request
    since: float


class _Client:
    """Sends for one look, and knows what is on its way."""

    def __init__(self, client: asynchronous.Client, metrics: Metrics) -> None:
        self._client = Measured(client, metrics)
        self.waiting: dict[int, _Sent] = {}

    async def send(self, request: Request, deadline: float, /) -> Response:
        """Send one request."""
        sent = _Sent(request, asyncio.get_running_loop().time())
        self.waiting[id(sent)] = sent
        try:
            return await self._client.send(request, deadline)
        finally:
            del self.waiting[id(sent)]


class _Work:
    """One look at an image, for everybody who wants to know."""

    def __init__(self, client: _Client, now: float) -> None:
        self.client = client
        self.now = now
        """The time that it judges by: that of the review that began it."""
        self.keeps = False
        """Whether somebody waits whose request may leave traces."""

    def slow(self, now: float) -> str:
        """What it waits for, for people: the request that has waited longest."""
        if not self.client.waiting:
            return "nothing was asked yet"
        oldest = min(self.client.waiting.values(), key=lambda each: each.since)
        return f"{oldest.request.method} {oldest.request.url} has no answer after {now - oldest.since:.1f} s"


_Look = tuple[_Work, "asyncio.Future[Any]"]


class Shared:
    """The looks that go on, and everything that outlives a review."""

    def __init__(
        self, registries: Registries, cache: Cache, metrics: Metrics, client: asynchronous.Client, *,
        clock: Callable[[], float], seconds: float = limits.WORK_SECONDS,
    ) -> None:  # fmt: skip
        self.registries = registries
        self.cache = cache
        self.metrics = metrics
        self._client = client
        self.clock = clock
        self._seconds = seconds
        self._tags: dict[tuple[str, str], tuple[_Work, asyncio.Future[Digest | Exception]]] = {}
        self._renewals: set[tuple[str, str]] = set()
        """Tags that are looked up again though nobody waits for them."""
        self._verdicts: dict[Key, tuple[_Work, asyncio.Future[Verdict | Exception]]] = {}
        self._contents: dict[Place, tuple[_Work, asyncio.Future[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def looks(self) -> int:
        """How many go on."""
        return len(self._tasks)

    async def scope(self, workload: Workload, *, seconds: float) -> Scope:
        """Whose credentials ask for the images of a workload. Raises `DeadlineError`, and what reading pull secrets raises."""
        if self.registries.scopes is None:
            return OPERATOR
        return await asynchronous.run(self.registries.scope(workload), client=self._client, seconds=seconds)

    def judge(self, scope: Scope, *, keeps: bool) -> SharedJudge:
        """The judge of one review. `keeps`: what it finds may be kept (no dry run)."""
        return SharedJudge(self, scope, keeps=keeps)

    async def close(self) -> None:
        """Give up what goes on."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def digest(self, scope: Scope, reference: Reference, *, keeps: bool) -> tuple[_Work, asyncio.Future[Any]]:
        """The look at what a reference means; begun if nobody looks yet."""
        where = (scope.name, str(reference))
        found = self._tags.get(where)
        if found is None:
            self._check_room()
            work, future = self._new()
            found = self._tags[where] = (work, future)
            self._start(self._resolve(scope, reference, where, work, future))
        found[0].keeps |= keeps
        return found

    def renew(self, scope: Scope, reference: Reference) -> None:
        """Look up again what a tag means, for reviews to come: nobody waits for it. A few at once, lest reviews wait."""
        self._renewals = {each for each in self._renewals if each in self._tags}
        if len(self._renewals) < limits.TAG_RENEWALS:
            with contextlib.suppress(UnavailableError):
                self.digest(scope, reference, keeps=True)
                self._renewals.add((scope.name, str(reference)))

    async def _resolve(
        self, scope: Scope, reference: Reference, where: tuple[str, str], work: _Work, future: asyncio.Future[Any]
    ) -> None:
        outcome: Any = _stopped()
        try:
            stores = self.registries.begin(scope, (reference.registry,))
            outcome = await self._run(work, stores, StoreJudge(stores).resolve(reference))
            if work.keeps:
                self.cache.remember_tag(scope.name, reference, outcome, self.clock())
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            outcome = error
        finally:
            del self._tags[where]
            if not future.done():
                future.set_result(outcome)

    def verdicts(
        self, scope: Scope, reference: Reference, digest: Digest, wanted: Sequence[tuple[Key, Attestor]], *, keeps: bool,
        now: float, within: float = limits.WORK_SECONDS,
    ) -> list[tuple[_Work, asyncio.Future[Any]]]:  # fmt: skip
        """The looks at what these attestors say, in their order; begun, all in one, where nobody looks yet.

        A look counts that judges by a time at most `within` seconds from `now`.
        """
        new = [
            (key, attestor)
            for key, attestor in wanted
            if key not in self._verdicts or abs(self._verdicts[key][0].now - now) > within
        ]
        if new:
            self._check_room()
            work = _Work(_Client(self._client, self.metrics), now)
            futures = [asyncio.get_running_loop().create_future() for _ in new]
            for (key, _), future in zip(new, futures, strict=True):
                self._verdicts[key] = (work, future)
            self._start(self._judge(scope, reference, digest, new, work, futures))
        found = [self._verdicts[key] for key, _ in wanted]
        for work, _ in found:
            work.keeps |= keeps
        return found

    async def _judge(
        self, scope: Scope, reference: Reference, digest: Digest, wanted: Sequence[tuple[Key, Attestor]], work: _Work,
        futures: Sequence[asyncio.Future[Any]],
    ) -> None:  # fmt: skip
        outcomes: list[Any] = [_stopped()] * len(wanted)
        try:
            asked = [attestor for _, attestor in wanted]
            hosts = {reference.registry}
            hosts |= {parse_repository(each.repository).registry for each in asked if each.repository is not None}
            stores = self.registries.begin(scope, tuple(hosts))
            outcomes = list(
                await self._run(work, stores, StoreJudge(stores).verdicts(reference, digest, asked, now=work.now))
            )
            if work.keeps:
                for (key, attestor), verdict in zip(wanted, outcomes, strict=True):
                    self.cache.remember(key, attestor, verdict, work.now)
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            outcomes = [error] * len(wanted)
        finally:
            for (key, _), future, outcome in zip(wanted, futures, outcomes, strict=True):
                if key in self._verdicts and self._verdicts[key][0] is work:  # else one of another time took its place
                    del self._verdicts[key]
                if not future.done():
                    future.set_result(outcome)

    def content(
        self, scope: Scope, reference: Reference, where: Place, *, keeps: bool
    ) -> tuple[_Work, asyncio.Future[Any]]:
        """The look at an image's manifest and configuration; begun if nobody looks yet."""
        found = self._contents.get(where)
        if found is None:
            self._check_room()
            found = self._contents[where] = self._new()
            self._start(self._content(scope, reference, where, *found))
        found[0].keeps |= keeps
        return found

    async def _content(
        self, scope: Scope, reference: Reference, where: Place, work: _Work, future: asyncio.Future[Any]
    ) -> None:
        outcome: Any = _stopped()
        try:
            stores = self.registries.begin(scope, (reference.registry,))
            outcome = await self._run(work, stores, StoreJudge(stores).content(reference, where.digest))
            if work.keeps:
                self.cache.descriptions.remember(where, outcome, work.now)
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            outcome = error
        finally:
            del self._contents[where]
            if not future.done():
                future.set_result(outcome)

    def _new(self) -> tuple[_Work, asyncio.Future[Any]]:
        return _Work(_Client(self._client, self.metrics), self.clock()), asyncio.get_running_loop().create_future()

    def _check_room(self) -> None:
        if len(self._tasks) >= limits.WORKS:
            raise UnavailableError(f"more than {limits.WORKS} images are being looked at", hint="ask again later")

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: _Work, stores: Run, what: flow.Flow[Any]) -> Any:
        try:
            return await asynchronous.run(what, client=work.client, seconds=self._seconds)
        finally:
            stores.end()


def _stopped() -> UnavailableError:
    return UnavailableError("the webhook is being stopped", hint="another replica answers")


class SharedJudge:
    """The `policy.evaluate.Judge` of one review."""

    def __init__(self, shared: Shared, scope: Scope, *, keeps: bool) -> None:
        self._shared = shared
        self._scope = scope
        self._keeps = keeps
        self._resolved: dict[Reference, Digest] = {}
        self._under: dict[str, SharedJudge] = {}
        self._described: dict[tuple[Reference, Digest], dict[str, Any]] = {}
        self.known_good: list[str] = []
        """Images that are believed because their registry cannot be asked, and when they were verified: for people."""
        self.late: list[str] = []
        """What did not come in time."""

    def under(self, keyring: PullSecrets, /) -> SharedJudge:
        """The judge of the same review that asks with these credentials first: a scope of its own (K16)."""
        found = self._under.get(keyring.scope)
        if found is None:
            scope = self._shared.registries.under(self._scope, keyring)
            found = self._under[keyring.scope] = SharedJudge(self._shared, scope, keeps=self._keeps)
            found.known_good, found.late = self.known_good, self.late
        return found

    async def resolve(self, reference: Reference) -> Digest:
        """The digest of an image that exists: one a review, whatever the tag does meanwhile."""
        found = self._resolved.get(reference)
        if found is None:
            now = self._shared.clock()
            found = self._shared.cache.recall_tag(self._scope.name, reference, now)
            if found is not None and self._keeps and self._shared.cache.tag_is_old(self._scope.name, reference, now):
                self._shared.renew(self._scope, reference)
        if found is None:
            work, future = self._shared.digest(self._scope, reference, keeps=self._keeps)
            found = await self._wait(work, future, reference)
        return self._resolved.setdefault(reference, found)

    async def describe(self, reference: Reference, digest: Digest) -> Any:
        """An image's manifest and configuration, for policies that look at them. Raises `SealgateError`."""
        found = self._described.get((reference, digest))
        if found is None:
            place = Place(self._scope.name, reference.name, digest)
            content = self._shared.cache.descriptions.recall(place, self._shared.clock())
            if content is None:
                work, future = self._shared.content(self._scope, reference, place, keeps=self._keeps)
                content = await self._wait(work, future, reference)
            found = self._described[reference, digest] = description.document(reference, digest, content)
        return found

    async def verdicts(
        self, reference: Reference, digest: Digest, attestors: Sequence[Attestor], *, now: float
    ) -> list[Verdict]:
        """The verdict of each attestor, in their order. Never raises a `SealgateError`: it is in the verdict."""
        name = str(reference.with_digest(digest))
        keys = [key_of(self._scope.name, reference, digest, each) for each in attestors]
        found = [self._shared.cache.recall(key, now) for key in keys]
        missing = [(keys[at], attestors[at]) for at, verdict in enumerate(found) if verdict is None]
        if missing:
            judged = iter(await self._judge(reference, digest, missing, now))
            found = [next(judged) if verdict is None else verdict for verdict in found]
        return [
            verdict if verdict.image == name else verdict._replace(image=name)
            for verdict in found
            if verdict is not None
        ]

    async def _judge(
        self, reference: Reference, digest: Digest, missing: list[tuple[Key, Attestor]], now: float
    ) -> list[Verdict]:
        try:
            looks = self._shared.verdicts(self._scope, reference, digest, missing, keeps=self._keeps, now=now)
        except SealgateError as error:
            return [self._unknown(reference, key, attestor, error, now) for key, attestor in missing]
        return [
            await self._one(reference, digest, key, attestor, look, now)
            for (key, attestor), look in zip(missing, looks, strict=True)
        ]

    async def _one(
        self, reference: Reference, digest: Digest, key: Key, attestor: Attestor, look: _Look, now: float
    ) -> Verdict:
        try:
            verdict: Verdict = await self._wait(*look, reference)
            for within in (1.0, 0.0):
                if self._shared.cache.holds(attestor, verdict, look[0].now, now):
                    break  # else it began at another time, and that counts
                [look] = self._shared.verdicts(
                    self._scope, reference, digest, [(key, attestor)], keeps=self._keeps, now=now, within=within
                )
                verdict = await self._wait(*look, reference)
        except SealgateError as error:
            return self._unknown(reference, key, attestor, error, now)
        return self._believed(reference, key, verdict, now) if verdict.outcome == "unknown" else verdict

    def _unknown(self, reference: Reference, key: Key, attestor: Attestor, error: SealgateError, now: float) -> Verdict:
        verdict = verdicts.from_error(str(reference), reference.name, error, attestor.wanted.describe())
        return self._believed(reference, key, verdict, now)

    def _believed(self, reference: Reference, key: Key, verdict: Verdict, now: float) -> Verdict:
        """A verdict that was good, in place of one that cannot be made now, where the operator allows it.

        Only for images that are given by digest: what a tag means nobody knows while its registry is away.
        """
        if not self._shared.cache.settings.known_good_seconds or reference.digest is None:
            return verdict
        found = self._shared.cache.known_good(key, now)
        if found is None:
            return verdict
        good, since = found
        self.known_good.append(
            f"{reference} was verified {now - since:.0f} s ago, and cannot be verified now: {verdict.summary}"
        )
        return good._replace(summary=f"{good.summary}, verified {now - since:.0f} s ago; now: {verdict.summary}")

    async def _wait(self, work: _Work, future: asyncio.Future[Any], reference: Reference) -> Any:
        try:
            outcome = await flow.outside(future)
        except DeadlineError as error:
            slow = work.slow(asyncio.get_running_loop().time())
            self.late.append(f"{reference.registry}: {slow}")
            raise DeadlineError(
                f"{error.message}: {slow}",
                hint="the registry is slow or out of reach; the next try finds what came meanwhile",
            ) from None
        if isinstance(outcome, Exception):
            raise outcome.with_traceback(None)
        return outcome
