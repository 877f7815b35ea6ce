"""The tree of a transparency log (RFC 6962, section 2.1), kept as its complete subtrees."""

from __future__ import annotations

import hashlib


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """Leaves in order; `levels[h][i]` is the hash of the i-th complete subtree of 2^h leaves."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        return len(self.leaves)

    def append(self, data: bytes) -> int:
        """The index of the new leaf."""
        self.leaves.append(data)
        digest, height = leaf_hash(data), 0
        while True:
            if height == len(self.levels):
                self.levels.append([])
            level = self.levels[height]
            level.append(digest)
            if len(level) % 2:
                return self.size - 1
            digest, height = node_hash(level[-2], level[-1]), height + 1

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves."""
        size = self.size if size is None else size
        return self._hash(0, size) if size else hashlib.sha256(b"").digest()

    def proof(self, index: int, size: int | None = None) -> list[bytes]:
        """The audit path of a leaf in the tree of the first `size` leaves."""
        return self._path(index, 0, self.size if size is None else size)

    def _hash(self, start: int, end: int) -> bytes:
        count = end - start
        height = count.bit_length() - 1
        if count == 1 << height and start % count == 0:
            return self.levels[height][start >> height]
        middle = start + _left(count)
        return node_hash(self._hash(start, middle), self._hash(middle, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _left(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._hash(middle, end)]
        return [*self._path(index, middle, end), self._hash(start, middle)]


def _left(count: int) -> int:
    """The largest power of two that is smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)
