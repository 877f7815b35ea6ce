"""Adding entries to a tag that others write too, without losing anybody's.

Registries have no conditional PUT: two writers that read, add and write lose one of the entries. With the referrers API
there is no shared tag and no race. Without it (cosign's `.sig` tag, the referrers fallback tag) this is the rule:

1. read; remember every entry that was ever seen, and one's own;
2. write the union unless the tag already has it; what was read too long ago is read again first;
3. read back, at once and again later; whenever anything remembered is missing, go to 2.

A lone writer is done when the tag stood unchanged for a short while. Contention can be seen: entries that appear or
vanish while we look, or a registry that stumbles over a tag being rewritten. Then we hold on until nothing has changed
for a longer while. Both while are multiples of the slowest answer of this registry, with a floor. What is promised, and
what cannot be, is written in docs/concurrency.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, NotKeptError, ServerFailureError
from sealgate.oci.store import Manifest, Store
from sealgate.transport import flow

Entry = Mapping[str, Any]
"""A descriptor as it stands in the JSON document; foreign fields are kept."""


class Settling(NamedTuple):
    """How long a shared tag must stand unchanged."""

    alone: float = 0.15
    """Seconds, when nobody else was seen; at least four answers of the registry."""
    contended: float = 1.0
    """Seconds, once somebody else was seen; at least six answers of the registry."""
    give_up: float = 120.0
    """Seconds after which `NotKeptError` is raised."""


class SharedTag(NamedTuple):
    """A tag that several writers add entries to."""

    store: Store
    tag: str
    read_entries: Callable[[Manifest], list[Entry]]
    """The entries of the manifest under the tag; of a foreign manifest: none."""
    write_entries: Callable[[list[Entry]], tuple[bytes, str]]
    """The bytes and media type of a manifest with these entries."""
    identity: Callable[[Entry], Hashable]
    """What makes two entries the same."""
    is_there: Callable[[Entry], flow.Flow[bool]] | None = None
    """Whether what an entry points to exists: registries refuse a manifest that lists what does not."""


async def add(
    shared: SharedTag,
    entries: list[Entry],
    *,
    settling: Settling,
    before_write: Callable[[list[Entry]], flow.Flow[None]] | None = None,
    replaces: Callable[[Entry], bool] = lambda _: False,
) -> None:
    """Add `entries` and stay until they are there to stay. `before_write` puts up what a manifest needs (its config).

    `replaces` names entries that the first write leaves out. When somebody else puts one back, it stays: losing nothing
    comes first.

    Raises `NotKeptError` when others keep overwriting the tag, and what the store raises.
    """
    mine: dict[Hashable, Entry] = {shared.identity(entry): entry for entry in entries}
    first = await _read(shared)
    current, slowest = first.entries, first.seconds
    replaced = {name for name, entry in current.items() if name not in mine and replaces(entry)}
    known = {
        **{name: entry for name, entry in current.items() if name not in replaced},
        **mine,
    }  # all ever seen, in order
    prepared: set[Hashable] = set()
    contended = first.stumbled
    since = started = answered = await flow.now()  # since when the tag has stood as it is; when we last looked
    pause = 0.0
    while True:
        missing = (known.keys() - current.keys()) | (replaced & current.keys())
        if not missing and since == started:
            return  # everything was there before we came
        stood = current.keys()  # what should be there when we look again
        fresh = True
        if missing:
            if len(known) > limits.INDEX_CHILDREN:
                raise LimitError(
                    f"{shared.store.name}:{shared.tag} would have more than {limits.INDEX_CHILDREN} entries"
                )
            if await flow.now() - started > settling.give_up:
                raise NotKeptError(
                    f"{shared.store.name}:{shared.tag} is rewritten by others again and again; our entry may be lost",
                    hint="try again when fewer sign the same image at once",
                )
            union = list(known.values())
            if before_write is not None and prepared != known.keys():
                await before_write(union)
                prepared = set(known)
            raw, media_type = shared.write_entries(union)
            moment = await flow.now()
            fresh = moment - answered <= _FRESH
            if fresh:
                try:
                    stumbled = await _write(shared, raw, media_type)
                except ServerFailureError:
                    gone = await _gone(shared, known, mine)
                    if not gone:
                        raise
                    known = {name: entry for name, entry in known.items() if name not in gone}
                    replaced |= gone
                    continue
                contended = contended or stumbled
                since = await flow.now()
                slowest = max(slowest, min(since - moment, _SLOW))
                stood = known.keys()
                replaced = set()
            pause = 0.0
        hold = max(settling.contended, 6 * slowest) if contended else max(settling.alone, 4 * slowest)
        if not missing and await flow.now() - since >= hold:
            return
        if fresh:
            await flow.sleep(pause)
            pause = min(max(2 * pause, slowest, 0.01), hold / 3)
        answer = await _read(shared)
        answered = await flow.now()
        slowest = max(slowest, min(answer.seconds, _SLOW))
        current = answer.entries
        appeared = current.keys() - known.keys() - replaced
        vanished = stood - current.keys()
        if appeared or vanished or answer.stumbled:
            contended = True
            since = answered
            pause = 0.0
        known.update({name: current[name] for name in current if name in appeared})


_FRESH = 0.05
"""Seconds: what was read longer ago than that is read again before it is written over.

Others let go when the tag stood long enough for a write that was on its way; ours must not have slept before it left.
"""
_SLOW = 1.0
"""Seconds: an answer slower than that is no measure for the settling time."""


class _Reading(NamedTuple):
    entries: dict[Hashable, Entry]
    seconds: float
    stumbled: bool
    """The registry failed once: docker-registry does while a tag is being rewritten."""


async def _read(shared: SharedTag) -> _Reading:
    """The entries under the tag, in order.

    A registry may stumble over a tag that is just being rewritten (docker-registry: 500, and 400 DIGEST_INVALID); taking
    that for an empty tag would wipe it.
    """
    stumbles = 0
    while True:
        began = await flow.now()
        try:
            manifest = await shared.store.get_manifest(shared.tag)
        except ServerFailureError:
            stumbles += 1
            if stumbles > _STUMBLES:
                raise
            await flow.sleep(0.1 * stumbles)
            continue
        entries = shared.read_entries(manifest) if manifest is not None else []
        found = {shared.identity(entry): entry for entry in entries}
        return _Reading(found, await flow.now() - began, stumbles > 0)


async def _gone(shared: SharedTag, known: dict[Hashable, Entry], mine: dict[Hashable, Entry]) -> set[Hashable]:
    """Entries of others that point to nothing. They prove nothing to anybody; left in, they keep everybody from signing."""
    if shared.is_there is None:
        return set()
    others = [name for name in known if name not in mine]
    there = await flow.gather([shared.is_there(known[name]) for name in others], limit=16)
    return {name for name, found in zip(others, there, strict=True) if not found}


async def _write(shared: SharedTag, raw: bytes, media_type: str) -> bool:
    """Put the manifest under the tag; whether the registry stumbled. A write that failed may have been done: read on."""
    for stumbles in range(_STUMBLES + 1):
        try:
            await shared.store.put_manifest(raw, media_type, shared.tag)
        except ServerFailureError:
            if stumbles == _STUMBLES:
                raise
            await flow.sleep(0.1 * (stumbles + 1))
        else:
            return stumbles > 0
    return True


_STUMBLES = 5
