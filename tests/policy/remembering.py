"""A `Judge` that remembers verdicts beyond a run: what the webhook's cache is to its own judge, without a webhook."""

from __future__ import annotations

from typing import Any


class Remembering:
    """Asks `judge` for what `memory` does not recall. Raises what that raises."""

    def __init__(self, judge: Any, memory: Any) -> None:
        self._judge = judge
        self._memory = memory

    async def resolve(self, reference):
        return await self._judge.resolve(reference)

    async def describe(self, reference, digest):
        return await self._judge.describe(reference, digest)

    def under(self, keyring):
        return self._judge.under(keyring)

    async def verdicts(self, reference, digest, attestors, *, now):
        known = {each.identity: self._memory.recall(reference, digest, each, now) for each in attestors}
        missing = [each for each in attestors if known[each.identity] is None]
        judged = await self._judge.verdicts(reference, digest, missing, now=now) if missing else []
        for each, verdict in zip(missing, judged, strict=True):
            self._memory.remember(reference, digest, each, now, verdict)
            known[each.identity] = verdict
        return [known[each.identity] for each in attestors]
