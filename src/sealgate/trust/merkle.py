"""Merkle trees of transparency logs: that a leaf is in the tree of a root (RFC 6962, section 2.1; RFC 9162, section 2.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
"""Every log here hashes with SHA-256."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf. The prefix keeps leaves and inner nodes apart."""
    return hashlib.sha256(b"\x00" + data).digest()


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an audit path leads to from a leaf's hash (RFC 9162, section 2.1.3.2), for the caller to compare.

    None where no tree of `size` leaves has such a path: an index outside it, hashes too many or too few (bypass L19), or
    of another length.
    """
    if not 0 <= index < size or any(len(each) != HASH_BYTES for each in path):
        return None
    node, last = index, size - 1
    found = leaf
    for each in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = hashlib.sha256(b"\x01" + each + found).digest()
            while not node & 1 and node:  # the right edge: levels at which this subtree has no sibling
                node >>= 1
                last >>= 1
        else:
            found = hashlib.sha256(b"\x01" + found + each).digest()
        node >>= 1
        last >>= 1
    return found if last == 0 else None
