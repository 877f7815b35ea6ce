"""Proofs that a leaf is in a tree: the tree of RFC 6962's tests, trees of the tests' own log, and every wrong proof (L19)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.trust import merkle
from trust_service.merkle import Tree

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
"""Of the reference implementation of Certificate Transparency."""


def tree_of(size):
    tree = Tree()
    for number in range(size):
        tree.append(b"%d" % number)
    return tree


def leaf(number):
    return merkle.leaf_hash(b"%d" % number)


def test_every_leaf_of_the_reference_tree_is_in_it():
    tree = Tree()
    for each in LEAVES:
        tree.append(bytes.fromhex(each))
    for index, each in enumerate(LEAVES):
        found = merkle.root_of(merkle.leaf_hash(bytes.fromhex(each)), index, len(LEAVES), tree.proof(index))
        assert found is not None
        assert found.hex() == ROOT


def test_every_leaf_of_small_trees_is_in_them_and_nowhere_else():
    for size in range(1, 40):
        tree = tree_of(size)
        root = tree.root()
        for index in range(size):
            path = tree.proof(index)
            for claimed in range(size + 2):
                found = merkle.root_of(leaf(index), claimed, size, path)
                assert (found == root) == (claimed == index)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 100])
def test_L19_a_proof_with_a_hash_too_many_or_too_few_or_altered_leads_nowhere(size):
    tree = tree_of(size)
    root = tree.root()
    for index in {0, size // 2, size - 1}:
        path = tree.proof(index)
        assert merkle.root_of(leaf(index), index, size, path) == root
        wrong = [[*path, root], [root, *path], [*path, *path, b"\0" * 32], [*path[:-1]] if path else [b"\0" * 32]]
        for at, each in enumerate(path):
            wrong.append([*path[:at], bytes([each[0] ^ 1]) + each[1:], *path[at + 1 :]])
            wrong.append([*path[:at], each[:31], *path[at + 1 :]])
            wrong.append([*path[:at], each + b"\0", *path[at + 1 :]])
        for each in wrong:
            assert merkle.root_of(leaf(index), index, size, each) != root


@pytest.mark.parametrize(
    ("index", "size"),
    [(-1, 8), (8, 8), (9, 8), (0, 0), (1, 0), (2**63, 8), (2**64, 2**64), (-1, 0), (0, -1), (3, 2**62)],
)
def test_L19_an_index_outside_the_tree_or_a_tree_of_another_size_has_no_root(index, size):
    tree = tree_of(8)
    assert merkle.root_of(leaf(3), index, size, tree.proof(3)) is None
    assert merkle.root_of(leaf(3), 3, 8, tree.proof(3)) == tree.root()


def test_L19_a_tree_of_one_leaf_is_the_leaf_and_takes_no_hashes():
    assert merkle.root_of(leaf(0), 0, 1, []) == leaf(0) == tree_of(1).root()
    assert merkle.root_of(leaf(0), 0, 1, [leaf(1)]) is None


def test_a_leaf_is_no_node():
    left, right = leaf(0), leaf(1)
    assert merkle.leaf_hash(left + right) != tree_of(2).root() == merkle.root_of(left, 0, 2, [right])


@given(st.data())
def test_every_leaf_of_any_tree_is_in_it_and_no_other_leaf(data):
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    tree = tree_of(size)
    assert merkle.root_of(leaf(index), index, size, tree.proof(index)) == tree.root()
    assert merkle.root_of(leaf(size), index, size, tree.proof(index)) != tree.root()
