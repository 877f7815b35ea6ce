"""A registry in memory, a clock that only tests move, and a schedule that decides when each request arrives and is answered.

Everything of the product runs as it is, from `signing.sign` down to the requests: many writers in one deterministic run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from evil_registry.honest import HonestRegistry, Stored
from evil_registry.messages import Answer, Seen, error_answer, split_target
from sealgate.digest import Digest
from sealgate.oci.reference import Reference
from sealgate.oci.registry import RegistrySettings, RegistryStore, Session
from sealgate.oci.store import Manifest
from sealgate.transport import flow as effects
from sealgate.transport.flow import Flow
from sealgate.transport.message import Request, Response
from sealgate.transport.scheduler import Scheduler, Task

REPOSITORY = "team/app"


class Journey(NamedTuple):
    """How long one request takes, in seconds."""

    there: float
    """Until it takes effect on the registry."""
    back: float
    """From then until the writer has the answer."""


Schedule = Callable[[Request], Journey]


def steady(seconds: float) -> Schedule:
    """Every request takes the same time."""
    return lambda _: Journey(seconds / 2, seconds / 2)


def uneven(seed: int, *, usual: float, slow: float, share: float = 0.2) -> Schedule:
    """Each way of each request takes any time up to `usual`, and for `share` of them up to `slow`, in an order of its own."""
    chance = random.Random(seed)

    def journey(_: Request) -> Journey:
        return Journey(*(chance.uniform(0.0, slow if chance.random() < share else usual) for _ in range(2)))

    return journey


class World:
    """The registry with one image, and the log of what was asked of it."""

    def __init__(self, schedule: Schedule, *, referrers_api: bool = False, rewriting: float = 0.0) -> None:
        """`rewriting`: seconds that a tag is being rewritten, during which asking for it gives 500 or 400 DIGEST_INVALID."""
        self.schedule = schedule
        self.registry = HonestRegistry(referrers_api=referrers_api)
        self.image: Stored = self.registry.put_image(REPOSITORY)
        self.digest = Digest.parse(self.image.digest)
        self.manifest = Manifest(self.image.media_type, self.digest, self.image.raw, self.image.document)
        self.asked: list[str] = []
        """`METHOD path`, in the order of arrival."""
        self.ended = 0.0
        """When the last run ended."""
        self.on_arrival: Callable[[Seen], Answer | None] = lambda _: None
        """A script's own answer."""
        self._rewriting = rewriting
        self._unreadable: dict[str, tuple[float, float]] = {}
        """Tags by path, and from when until when they are being rewritten."""
        self._stumbles = 0

    def store(self) -> RegistryStore:
        """The repository, as a process of its own sees it."""
        reference = Reference.parse(f"registry.test/{REPOSITORY}:latest")
        return Session(RegistrySettings()).repository(reference)

    def entries(self, suffix: str) -> list[dict[str, Any]]:
        """What stands under the fallback tag (suffix `""`) or the tag of a suffix (`.sig`)."""
        digest = self.registry.tags.get((REPOSITORY, self.tag(suffix)))
        if digest is None:
            return []
        document = self.registry.manifests[REPOSITORY, digest].document
        return document["manifests" if "manifests" in document else "layers"]

    def tag(self, suffix: str) -> str:
        return f"sha256-{self.digest.hex}{suffix}"

    def run(self, flow: Flow[Any], *, seconds: float = 3600.0) -> Any:
        """Drive a flow to its end in simulated time. Raises what the flow raises."""
        simulation = _Simulation(self, flow, seconds)
        try:
            return simulation.run()
        finally:
            self.ended = simulation.now()

    def writes(self, suffix: str) -> int:
        """How often the tag was written."""
        return self.asked.count(f"PUT /v2/{REPOSITORY}/manifests/{self.tag(suffix)}")

    def answer(self, request: Request, now: float) -> Answer:
        path, query = split_target(request.url.target)
        headers = {name.lower(): value for name, value in request.headers}
        assert isinstance(request.body, bytes)
        seen = Seen(request.method, path, query, headers, request.body, 1, request.url.target)
        self.asked.append(f"{request.method} {path}")
        if (scripted := self.on_arrival(seen)) is not None:
            return scripted
        begins, ends = self._unreadable.get(path, (0.0, 0.0))
        if request.method == "GET" and begins <= now < ends:
            self._stumbles += 1
            return error_answer(500, "UNKNOWN") if self._stumbles % 2 else error_answer(400, "DIGEST_INVALID")
        if request.method == "PUT" and ":" not in path and "/manifests/" in path:
            self._unreadable[path] = (now, now + self._rewriting)
        return self.registry.answer(seen)


class _Simulation(Scheduler):
    def __init__(self, world: World, flow: Flow[Any], seconds: float) -> None:
        super().__init__(flow, seconds)
        self._world = world
        self._moment = 1000.0
        self._sequence = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._moment

    def run(self) -> Any:
        try:
            while True:
                self.advance()
                if self.done:
                    return self.outcome()
                self._moment, _, happen = heapq.heappop(self._events)
                if self._moment > 1000.0 + self._seconds:
                    self.expire()
                happen()
        finally:
            self.close()

    def begin(self, task: Task, token: int, effect: object) -> None:
        if isinstance(effect, effects.Sleep):
            self._at(effect.seconds, lambda: self.resume(task, token, None, None))
        elif isinstance(effect, effects.Call):
            self.resume(task, token, effect.function(), None)
        elif isinstance(effect, effects.Send):
            request = effect.request
            journey = self._world.schedule(request)

            def arrive() -> None:
                said = self._world.answer(request, self._moment)
                response = Response(
                    said.status, tuple((name.lower(), value) for name, value in said.headers), said.body
                )
                self._at(journey.back, lambda: self.resume(task, token, response, None))

            self._at(journey.there, arrive)
        else:
            raise TypeError(repr(effect))

    def _at(self, seconds: float, happen: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self._moment + max(seconds, 0.0), self._sequence, happen))
