"""What outlives a review: verdicts on evidence, and for some seconds what a tag meant. Never decisions.

A verdict is kept under everything that decides it (P13): the digest, the repository of the image and that of its signatures,
whose credentials asked, and the attestor's identity, which is a hash of the keys, identities, conditions, deny-list and trust
root. So another policy, another root or another tenant never sees it. It ends when a check could turn out otherwise
(`lifetime`), refusals end soon, and what could not be asked is not kept. Nothing is kept of a dry run.

With `known_good_seconds`, an accepted verdict whose time is over may still be used while its registry cannot be asked.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission.descriptions import Descriptions
from sealgate.admission.lifetime import Lifetimes

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.oci.reference import Reference
    from sealgate.policy.model import Attestor
    from sealgate.verification.verdict import Verdict


class Key(NamedTuple):
    """What a verdict is kept under."""

    digest: str
    repository: str
    signatures: str
    """The repository that has the signatures; `""`: that of the image."""
    scope: str
    """Whose credentials asked."""
    identity: str
    """`Attestor.identity`."""
    name: str = ""
    """The image's whole name where what signatures call it counts (`Wanted.naming`), which a tag can decide; else `""`."""


class _Kept(NamedTuple):
    verdict: Verdict
    since: float
    until: float
    good_until: float
    weight: int


_ENTRY_BYTES = 512
"""Of an entry: its tuples, its place in the table."""
_OBJECT_BYTES = 2048
"""What a key or a certificate takes outside of Python, about."""
_REFUSED_REPORTS = 4
_OLD_SHARES = (0.4, 0.8)
"""Of its time, after which a tag is looked up again: each tag has its own share, lest those that came together stay so."""


class Settings(NamedTuple):
    """How long, and how much."""

    accepted_seconds: float = limits.VERDICT_SECONDS
    refused_seconds: float = limits.REFUSAL_SECONDS
    tag_seconds: float = limits.TAG_SECONDS
    known_good_seconds: float = 0.0
    """0: what is over is over."""
    entries: int = limits.VERDICTS


class Counts:
    """How the cache does; read by the metrics."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.tag_hits = 0
        self.tag_misses = 0
        self.known_good = 0
        self.evicted = 0


class Cache:
    """Verdicts and tags, the least recently used given up first."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self._verdicts: OrderedDict[Key, _Kept] = OrderedDict()
        self._tags: OrderedDict[tuple[str, str], tuple[Digest, float, float]] = OrderedDict()
        self._lifetimes = Lifetimes()
        self.descriptions = Descriptions(
            seconds=settings.accepted_seconds, entries=limits.DESCRIPTIONS, most=limits.DESCRIPTION_BYTES
        )
        self.weight = 0
        """About how many bytes the verdicts take."""

    def __len__(self) -> int:
        return len(self._verdicts)

    @property
    def tags(self) -> int:
        """How many tags are remembered."""
        return len(self._tags)

    def recall(self, key: Key, now: float) -> Verdict | None:
        """A verdict that still holds. A clock that went back makes none hold."""
        kept = self._verdicts.get(key)
        if kept is None or not kept.since <= now < kept.until:
            self.counts.misses += 1
            return None
        self._verdicts.move_to_end(key)
        self.counts.hits += 1
        return kept.verdict

    def known_good(self, key: Key, now: float) -> tuple[Verdict, float] | None:
        """An accepted verdict whose time is over, and when it was made: for while nobody can be asked."""
        kept = self._verdicts.get(key)
        if kept is None or not kept.verdict.accepted or not kept.since <= now < kept.good_until:
            return None
        self.counts.known_good += 1
        return kept.verdict, kept.since

    def holds(self, attestor: Attestor, verdict: Verdict, since: float, now: float) -> bool:
        """Whether a verdict that was made at `since`, and is not kept, says the same at `now`."""
        if verdict.outcome == "unknown" or since == now:
            return True
        return since <= now < self._lifetimes.end(attestor, verdict, since, most=math.inf)

    def remember(self, key: Key, attestor: Attestor, verdict: Verdict, now: float) -> None:
        """Keep a verdict as long as it holds; of one that could not be made, nothing (and what was known stays)."""
        if verdict.outcome == "unknown":
            return
        good = now
        if verdict.accepted:
            until = self._lifetimes.end(attestor, verdict, now, most=self.settings.accepted_seconds)
            if self.settings.known_good_seconds:
                good = self._lifetimes.end(attestor, verdict, now, most=self.settings.known_good_seconds)
        else:
            until = self._lifetimes.end(attestor, verdict, now, most=self.settings.refused_seconds)
        verdict = _slim(verdict)
        before = self._verdicts.pop(key, None)
        self.weight -= before.weight if before is not None else 0
        kept = self._verdicts[key] = _Kept(verdict, now, until, max(good, until), _weight(key, verdict))
        self.weight += kept.weight
        while len(self._verdicts) > self.settings.entries or self.weight > limits.VERDICT_BYTES:
            _, gone = self._verdicts.popitem(last=False)
            self.weight -= gone.weight
            self.counts.evicted += 1

    def recall_tag(self, scope: str, reference: Reference, now: float) -> Digest | None:
        """What a tag meant a moment ago."""
        kept = self._tags.get((scope, str(reference)))
        if kept is None or not kept[1] <= now < kept[2]:
            self.counts.tag_misses += 1
            return None
        self.counts.tag_hits += 1
        return kept[0]

    def tag_is_old(self, scope: str, reference: Reference, now: float) -> bool:
        """Whether what a tag means, which is still believed, should be looked up again before it ends."""
        name = str(reference)
        kept = self._tags.get((scope, name))
        if kept is None:
            return False
        least, most = _OLD_SHARES
        share = least + (most - least) * (zlib.crc32(name.encode()) % 64) / 64
        return now - kept[1] >= share * self.settings.tag_seconds

    def remember_tag(self, scope: str, reference: Reference, digest: Digest, now: float) -> None:
        """Keep for some seconds what a tag means."""
        where = (scope, str(reference))
        self._tags[where] = (digest, now, now + self.settings.tag_seconds)
        self._tags.move_to_end(where)
        if len(self._tags) > self.settings.entries:
            self._tags.popitem(last=False)


def _slim(verdict: Verdict) -> Verdict:
    """Without what decides nothing any more: whoever may push attachments could fill the memory with them."""
    good = tuple(report for report in verdict.signatures if report.accepted)
    return verdict._replace(signatures=good if verdict.accepted else verdict.signatures[:_REFUSED_REPORTS], problems=())


def _weight(key: Key, verdict: Verdict) -> int:
    """The bytes of an entry, counted: evidence is as large as its author wants. What several share is counted for each."""
    seen: set[int] = set()
    waiting: list[Any] = [key, verdict]
    found = _ENTRY_BYTES
    while waiting:
        value = waiting.pop()
        if value is None or isinstance(value, bool) or id(value) in seen:
            continue
        seen.add(id(value))
        found += sys.getsizeof(value)
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, tuple | list | frozenset):
            waiting += value
        elif not isinstance(value, str | bytes | int | float):
            found += _OBJECT_BYTES
    return found


def key_of(scope: str, reference: Reference, digest: Digest, attestor: Attestor) -> Key:
    """What the verdict of an attestor on an image is kept under."""
    name = str(reference) if attestor.wanted.naming is not None else ""
    return Key(str(digest), reference.name, attestor.repository or "", scope, attestor.identity, name)
