"""The tree is RFC 6962's: known roots, and every proof between trees of up to 64 leaves."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.tree.frontier import Frontier, Node, fold
from audit.tree.hashing import EMPTY_ROOT, leaf_hash, node_hash
from audit.tree.proofs import consistent, includes
from audit.tree.ranges import Range, complete_subtrees, consistency_ranges, inclusion_ranges
from tests.support.source_mutants import Mutant, noticed

#: The leaves and roots with which implementations of RFC 6962 compare themselves.
KNOWN_LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MOST = 64
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]


def plain_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(plain_root(leaves[:half]), plain_root(leaves[half:]))


def hashes(ranges: list[Range]) -> list[bytes]:
    """The hash over each range."""
    return [plain_root(LEAVES[start:end]) for start, end in ranges]


ROOTS = [plain_root(LEAVES[:size]) for size in range(MOST + 1)]


def test_the_known_roots() -> None:
    frontier = Frontier()
    found = [frontier.root().hex()]
    for data in KNOWN_LEAVES:
        frontier.append(leaf_hash(data))
        found.append(frontier.root().hex())
    assert found == KNOWN_ROOTS


def test_a_frontier_gives_every_root_and_every_complete_node() -> None:
    frontier, nodes = Frontier(), {}
    for size, leaf in enumerate(LEAVES, 1):
        for node in frontier.append(leaf):
            nodes[node.level, node.number] = node.hash
        assert frontier.root() == ROOTS[size]
        assert Frontier(size, [_node(nodes, *one) for one in complete_subtrees(0, size)]).root() == ROOTS[size]
    assert nodes == {
        (level, number): plain_root(LEAVES[number << level : (number + 1) << level])
        for level in range(1, 7)
        for number in range(MOST >> level)
    }


def _node(nodes: dict[tuple[int, int], bytes], level: int, number: int) -> bytes:
    return nodes[level, number] if level else LEAVES[number]


def test_a_copy_is_independent() -> None:
    frontier = Frontier()
    frontier.append(LEAVES[0])
    frontier.copy().append(LEAVES[1])
    assert (frontier.size, frontier.root()) == (1, ROOTS[1])
    with pytest.raises(ValueError, match="1 complete"):
        Frontier(4, LEAVES[:2])


def test_every_leaf_of_every_tree_is_included_and_nowhere_else() -> None:
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = hashes(inclusion_ranges(index, size))
            assert includes(ROOTS[size], size, index, LEAVES[index], proof)
            assert not includes(ROOTS[size], size, index, LEAVES[(index + 1) % MOST], proof)
            assert not includes(ROOTS[size - 1], size, index, LEAVES[index], proof)
            assert not includes(ROOTS[size], size, index, LEAVES[index], [*proof, EMPTY_ROOT])
            if size > 1:
                assert not includes(ROOTS[size], size, (index + 1) % size, LEAVES[index], proof)
    assert not includes(ROOTS[1], 1, 1, LEAVES[0], [])


def every_tree_begins_with_every_smaller_one() -> None:
    """Checks all pairs of sizes, and that no other root passes."""
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = hashes(consistency_ranges(old, new))
            assert consistent(ROOTS[old], old, ROOTS[new], new, proof)
            assert not consistent(ROOTS[old - 1], old, ROOTS[new], new, proof)
            assert not consistent(ROOTS[old], old, EMPTY_ROOT, new, proof)
            assert not consistent(ROOTS[old], old, ROOTS[new], new, [*proof, EMPTY_ROOT])
            for at in range(len(proof)):
                changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
                assert not consistent(ROOTS[old], old, ROOTS[new], new, changed)


def test_every_tree_begins_with_every_smaller_one() -> None:
    every_tree_begins_with_every_smaller_one()
    assert consistent(EMPTY_ROOT, 0, ROOTS[5], 5, [])
    assert not consistent(ROOTS[1], 0, ROOTS[5], 5, [])
    assert not consistent(ROOTS[5], 5, ROOTS[4], 4, [])
    with pytest.raises(ValueError, match="no tree"):
        consistency_ranges(3, 2)
    with pytest.raises(ValueError, match="leaf 4"):
        inclusion_ranges(4, 4)


@pytest.mark.mutant
def test_a_proof_that_does_not_look_at_the_old_tree_is_noticed() -> None:
    with noticed(Mutant(consistent, "old == old_root and ", "")):
        every_tree_begins_with_every_smaller_one()


@given(st.integers(1, 10_000_000), st.data())
def test_the_parts_of_a_proof_cover_the_tree_once(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    covered = sorted([*inclusion_ranges(index, size), Range(index, index + 1)])
    assert [one.start for one in covered] == [0, *(one.end for one in covered[:-1])]
    assert covered[-1].end == size
    assert len(covered) - 1 <= size.bit_length()
    old = data.draw(st.integers(1, size))
    parts = sorted(consistency_ranges(old, size))
    assert len(parts) <= size.bit_length() + 1
    assert all(one.end <= old or one.start >= old for one in parts)


@given(st.integers(0, 200))
def test_complete_subtrees_fold_to_the_root(size: int) -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    peaks = [
        plain_root(leaves[number << level : (number + 1) << level]) for level, number in complete_subtrees(0, size)
    ]
    assert fold(peaks) == plain_root(leaves)


def test_a_node_says_where_it_is() -> None:
    frontier = Frontier()
    frontier.append(LEAVES[0])
    assert frontier.append(LEAVES[1]) == [Node(1, 0, node_hash(LEAVES[0], LEAVES[1]))]
