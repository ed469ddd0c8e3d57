"""`ppsp._subtree`: the Merkle tree below one munro (RFC 7574 sections 5.1, 5.4 and 6.1.2)."""

import hashlib

import pytest

from ppsp._subtree import Subtree
from ppsp.constants import MerkleHashFunction

SHA256 = MerkleHashFunction.SHA256
CHUNKS = [bytes((number,)) * 100 for number in range(8)]


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def complete(chunks=CHUNKS, start=16, width=8):
    return Subtree.of_chunks(start, width, chunks, SHA256)


def test_a_munro_is_the_root_of_its_chunks():
    leaves = [h(chunk) for chunk in CHUNKS]
    twos = [h(leaves[k], leaves[k + 1]) for k in range(0, 8, 2)]
    fours = [h(twos[0], twos[1]), h(twos[2], twos[3])]
    assert complete().root == h(*fours)


def test_missing_leaves_are_zeros_and_so_is_a_parent_of_zeros():
    """Section 5.1; the parent of two empty nodes is not the hash of zeros."""
    zero = bytes(32)
    tree = complete(CHUNKS[:3])
    left = h(h(h(CHUNKS[0]), h(CHUNKS[1])), h(h(CHUNKS[2]), zero))
    assert tree.root == h(left, zero)
    assert complete([]).root == zero
    assert complete([]).is_empty
    assert not tree.is_empty


def test_the_uncles_of_the_rfcs_example_are_sent_once():
    """Section 5.4: what a peer has verified, or will, makes it know the nodes above."""
    tree = complete()
    all_three = tree.uncles(16, left=-1, right=1 << 62)
    assert [node[:2] for node in all_three] == [(20, 23), (18, 19), (17, 17)]
    assert tree.uncles(17, left=16, right=1 << 62) == []
    assert [node[:2] for node in tree.uncles(18, left=17, right=1 << 62)] == [(19, 19)]
    assert [node[:2] for node in tree.uncles(20, left=19, right=1 << 62)] == [(22, 23), (21, 21)]
    assert [node[:2] for node in tree.uncles(18, left=-1, right=20)] == [(16, 17), (19, 19)]
    total = sum(len(tree.uncles(16 + k, left=15 + k if k else -1, right=1 << 62)) for k in range(8))
    assert total == 7


@pytest.mark.parametrize("order", [range(8), range(7, -1, -1), [3, 0, 7, 5, 1, 2, 6, 4]], ids=str)
def test_every_chunk_is_verified_against_the_munro_in_any_order(order):
    source = complete()
    viewer = Subtree(16, 8, source.root, SHA256)
    have = set()
    for number in order:
        chunk = 16 + number
        left = max((each for each in have if each < chunk), default=-1)
        right = min((each for each in have if each > chunk), default=1 << 62)
        hashes = {node[:2]: node[2] for node in source.uncles(chunk, left=left, right=right)}
        assert viewer.verify(chunk, CHUNKS[number], hashes) is True
        have.add(chunk)
    for chunk in have:
        assert viewer.uncles(chunk, left=-1, right=1 << 62) == source.uncles(chunk, left=-1, right=1 << 62)


def test_wrong_chunks_and_wrong_hashes_change_nothing():
    source = complete()
    viewer = Subtree(16, 8, source.root, SHA256)
    hashes = {node[:2]: node[2] for node in source.uncles(16, left=-1, right=1 << 62)}
    assert viewer.verify(16, CHUNKS[1], hashes) is False
    assert viewer.verify(16, CHUNKS[0], {**hashes, (17, 17): bytes(32)}) is False
    assert viewer.verify(16, CHUNKS[0], {}) is None
    assert viewer.verify(17, CHUNKS[0], hashes) is None
    assert viewer.verify(16, CHUNKS[0], hashes) is True
    assert viewer.verify(17, CHUNKS[1], {}) is True
    assert viewer.verify(17, CHUNKS[2], {}) is False


@pytest.mark.parametrize("count", range(9))
def test_the_last_chunk_proves_that_it_is_the_last(count):
    source = complete(CHUNKS[:count])
    viewer = Subtree(16, 8, source.root, SHA256)
    ends = []
    for number in range(count):
        chunk = 16 + number
        hashes = {node[:2]: node[2] for node in source.uncles(chunk, left=-1, right=1 << 62)}
        assert viewer.verify(chunk, CHUNKS[number], hashes) is True
        ends.append(viewer.ends_after(chunk))
    assert ends == [False] * (count - 1) + [count < 8] * (count > 0)
