"""What digests stand for, kept for policies that look at manifests and configurations: bytes, within bounds. Never of a dry run.

A digest means the same for ever; who may see it does not. So each is kept under the repository and the scope of credentials that
it was asked with: a pull secret that changes makes another scope, which has to ask for itself. The time is that of accepted
verdicts, for rights that a registry has taken away.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.policy.description import Content

_ENTRY_BYTES = 1024
"""Of one entry beside the bytes: its key, its tuples, its place in the table."""


class Place(NamedTuple):
    """What a description is kept under."""

    scope: str
    """Whose credentials asked."""
    repository: str
    digest: Digest


class _Kept(NamedTuple):
    content: Content
    since: float
    weight: int


class Descriptions:
    """The least recently used are given up first."""

    def __init__(self, *, seconds: float, entries: int, most: int) -> None:
        """Kept for `seconds`; at most so many `entries`, which take at most about `most` bytes."""
        self._seconds = seconds
        self._entries = entries
        self._most = most
        self._kept: OrderedDict[Place, _Kept] = OrderedDict()
        self.weight = 0
        """About how many bytes they take."""
        self.hits = 0
        self.misses = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, place: Place, now: float) -> Content | None:
        """What is known of a digest there. A clock that went back makes nothing known."""
        kept = self._kept.get(place)
        if kept is None or not kept.since <= now < kept.since + self._seconds:
            self.misses += 1
            return None
        self._kept.move_to_end(place)
        self.hits += 1
        return kept.content

    def remember(self, place: Place, content: Content, now: float) -> None:
        """Keep it."""
        before = self._kept.pop(place, None)
        self.weight -= before.weight if before is not None else 0
        kept = self._kept[place] = _Kept(content, now, _weight(place, content))
        self.weight += kept.weight
        while len(self._kept) > self._entries or self.weight > self._most:
            _, gone = self._kept.popitem(last=False)
            self.weight -= gone.weight
            self.evicted += 1


def _weight(place: Place, content: Content) -> int:
    parts = (place.scope, place.repository, content.media_type, content.manifest, content.config or b"")
    return _ENTRY_BYTES + sum(map(sys.getsizeof, parts))
