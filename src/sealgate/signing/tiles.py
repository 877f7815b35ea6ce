"""A log of tiles that has an entry of ours already: the entry and its proof, out of its tiles (C2SP, tlog-tiles.md).

Rekor v2 answers 409 with the entry's index and nothing else (rekor-tiles, `x-log-index`): an answer that was lost on its way
to us, or a key that makes the same signature each time. The checkpoint must be by a log of the trust root, the leaf at the
index must be ours byte for byte, and the proof must lead to the checkpoint's root; else nobody's entry is taken for ours.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.evidence import base64
from sealgate.signing.service import Service, ask
from sealgate.transport import flow
from sealgate.trust import checkpoint as checkpoints
from sealgate.trust import merkle
from sealgate.trust.failure import TrustFailure

if TYPE_CHECKING:
    from sealgate.transport.message import Response
    from sealgate.trust.checkpoint import Checkpoint
    from sealgate.trust.root import Log, TrustRoot

WIDTH = 256
"""Hashes in a full tile, entries in a full bundle of them."""
_HEIGHT = 8
_PAUSE = 0.5
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Node(NamedTuple):
    """A whole subtree of 2^level leaves, the number-th of its size."""

    level: int
    number: int


class _Tile(NamedTuple):
    level: int
    number: int
    width: int


async def existing(service: Service, response: Response, leaf: bytes, root: TrustRoot) -> dict[str, Any]:
    """The `TransparencyLogEntry` of the leaf that the 409 `response` is about. Raises the errors of the service."""
    text = response.header("x-log-index") or ""
    if not _INDEX.fullmatch(text):
        raise service.invalid("has an equal entry, and does not say where")
    index = int(text)
    log, note, checkpoint = await _checkpoint(service, index, root)
    if await _entry(service, index, checkpoint.size) != leaf:
        raise service.invalid("says that it has this entry, and has another one there")
    path = await _path(service, index, checkpoint.size)
    if merkle.root_of(merkle.leaf_hash(leaf), index, checkpoint.size, path) != checkpoint.root:
        raise service.invalid("gives tiles that do not lead to its checkpoint")
    return {
        "logIndex": text,
        "logId": {"keyId": base64.encode(log.log_id)},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {
            "logIndex": text,
            "rootHash": base64.encode(checkpoint.root),
            "treeSize": str(checkpoint.size),
            "hashes": [base64.encode(each) for each in path],
            "checkpoint": {"envelope": note},
        },
        "canonicalizedBody": base64.encode(leaf),
    }


async def _checkpoint(service: Service, index: int, root: TrustRoot) -> tuple[Log, str, Checkpoint]:
    """A checkpoint with the entry below it; that may take a moment after the entry was taken."""
    for attempt in range(limits.ATTEMPTS):
        if attempt:
            await flow.sleep(_PAUSE * 2**attempt)
        answer = await ask(service, "GET", service.below("/api/v2/checkpoint"), limit=limits.CHECKPOINT_BYTES)
        try:
            note = answer.body.decode("utf-8")
            read = checkpoints.read(note)
        except UnicodeDecodeError:
            raise service.invalid("gives a checkpoint that is not UTF-8") from None
        except TrustFailure as failure:
            raise service.invalid(f"gives a checkpoint that cannot be read: {failure.message}") from failure
        log = _log_of(read, root)
        if log is None:
            raise service.invalid("gives a checkpoint that is by no log of the trust root")
        if index < read.size:
            return log, note, read
    raise service.kind.unavailable(
        f"{service} has this entry, and no checkpoint that covers it yet", hint="try again later"
    )


def _log_of(read: Checkpoint, root: TrustRoot) -> Log | None:
    for log in root.logs:
        try:
            checkpoints.verified(read, log, tiles=True)
        except TrustFailure:
            continue
        return log
    return None


async def _entry(service: Service, index: int, size: int) -> bytes | None:
    """The leaf there. None: the log's own bundle of entries does not reach so far."""
    number, place = divmod(index, WIDTH)
    body = await _fetched(service, "/api/v2/tile/entries", number, min(size - number * WIDTH, WIDTH), limits.TILE_BYTES)
    at = 0
    for _ in range(place):
        at += 2 + int.from_bytes(body[at : at + 2], "big")
    length = int.from_bytes(body[at : at + 2], "big")
    found = body[at + 2 : at + 2 + length]
    return found if len(found) == length and length else None


async def _path(service: Service, index: int, size: int) -> list[bytes]:
    nodes: dict[Node, bytes] = {}
    tiles: dict[_Tile, bytes] = {}
    steps = path_of(index, size)
    for node in {each for step in steps for each in step}:
        tile, first = _tile_of(node, size)
        if tile not in tiles:
            place = f"/api/v2/tile/{tile.level}"
            tiles[tile] = await _fetched(service, place, tile.number, tile.width, WIDTH * merkle.HASH_BYTES)
        count = 1 << node.level % _HEIGHT
        hashes = tiles[tile][first * merkle.HASH_BYTES : (first + count) * merkle.HASH_BYTES]
        if len(hashes) != count * merkle.HASH_BYTES:
            raise service.invalid("gives a tile with fewer hashes than its checkpoint tells of")
        nodes[node] = _joined([hashes[at : at + merkle.HASH_BYTES] for at in range(0, len(hashes), merkle.HASH_BYTES)])
    return [_folded([nodes[node] for node in step]) for step in steps]


def path_of(index: int, size: int) -> list[list[Node]]:
    """The audit path of a leaf (RFC 9162, section 2.1.3.1), each hash as the whole subtrees it is made of, left to right."""
    steps: list[list[Node]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        if index < middle:
            steps.append(_whole(middle, high))
            high = middle
        else:
            steps.append(_whole(low, middle))
            low = middle
    return steps[::-1]


def _whole(low: int, high: int) -> list[Node]:
    """The leaves from `low` to `high`, `low` a multiple of the largest power of two among them, as whole subtrees."""
    found: list[Node] = []
    while low < high:
        level = (high - low).bit_length() - 1
        found.append(Node(level, low >> level))
        low += 1 << level
    return found


def _tile_of(node: Node, size: int) -> tuple[_Tile, int]:
    """The tile with the hashes that a node is made of, and the place of the first."""
    level = node.level // _HEIGHT
    first = node.number << node.level % _HEIGHT
    number = first // WIDTH
    return _Tile(level, number, min((size >> level * _HEIGHT) - number * WIDTH, WIDTH)), first % WIDTH


def _joined(hashes: list[bytes]) -> bytes:
    """The root of a whole subtree."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [_inner(left, right) for left, right in pairs]
    return hashes[0]


def _folded(hashes: list[bytes]) -> bytes:
    """The root of whole subtrees side by side, each smaller than the one before."""
    found = hashes[-1]
    for each in reversed(hashes[:-1]):
        found = _inner(each, found)
    return found


def _inner(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


async def _fetched(service: Service, place: str, number: int, width: int, limit: int) -> bytes:
    """A tile; the full one where a part of it, which was published before, is there no more (tlog-tiles.md, Partial Tiles)."""
    whole = f"{place}/{_numbered(number)}"
    if width < WIDTH:
        part = await ask(service, "GET", service.below(f"{whole}.p/{width}"), answers={404}, limit=limit)
        if part.status != 404:
            return part.body
    return (await ask(service, "GET", service.below(whole), limit=limit)).body


def _numbered(number: int) -> str:
    """`x001/x234/067`"""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))
