"""The Merkle hash tree (RFC 7574 section 5), against a tree built by its definition."""

import hashlib
import tracemalloc
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp._bins import peaks, range_of
from ppsp._ranges import RangeSet
from ppsp.constants import HASH_SIZE, MerkleHashFunction
from ppsp.errors import MetadataError, StateError
from ppsp.merkle import MerkleTree, Verdict, hash_chunks

Node = tuple[int, int, bytes]

SHA256 = MerkleHashFunction.SHA256
NAMES = {function: function.name.lower() for function in MerkleHashFunction}
FUNCTIONS = st.sampled_from(MerkleHashFunction)
COUNTS = st.integers(1, 150)
NOWHERE = 2**70
#: Sizes around whole blocks of the storage, beside the small ones that are all tried.
LARGE = [127, 128, 129, 255, 256, 257, 1000, 4095, 4096, 4097, 5000]


def chunks_of(count: int) -> list[bytes]:
    """So many chunks, all different, none as long as two hashes."""
    return [b"chunk %d" % number for number in range(count)]


def naive_nodes(chunks: list[bytes], function: MerkleHashFunction) -> dict[tuple[int, int], bytes]:
    """Every node of the tree by first and last chunk, as section 5.1 defines it, in the plainest way."""
    zero = bytes(HASH_SIZE[function])
    width = 1
    while width < len(chunks):
        width *= 2
    row = [hashlib.new(NAMES[function], chunk).digest() for chunk in chunks] + [zero] * (width - len(chunks))
    nodes = {}
    span = 1
    while True:
        nodes.update({(at * span, (at + 1) * span - 1): digest for at, digest in enumerate(row)})
        if len(row) == 1:
            return nodes
        row = [
            zero if left == right == zero else hashlib.new(NAMES[function], left + right).digest()
            for left, right in zip(row[::2], row[1::2], strict=True)
        ]
        span *= 2


def complete(chunks: list[bytes], function: MerkleHashFunction = SHA256) -> MerkleTree:
    """The complete tree over the chunks."""
    leaves = b"".join(hashlib.new(NAMES[function], chunk).digest() for chunk in chunks)
    return MerkleTree.from_leaves(leaves, function)


def known_nodes(tree: MerkleTree, nodes: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes | None]:
    """What the tree says of these nodes."""
    return {node: tree.node(*node) for node in nodes}


def by_range(nodes: Iterable[Node]) -> dict[tuple[int, int], bytes]:
    """Nodes as `verify` takes them."""
    return {(start, end): digest for start, end, digest in nodes}


def sized(root: bytes, count: int, function: MerkleHashFunction = SHA256) -> MerkleTree:
    """A tree that knows its root and its number of chunks, for certain."""
    tree = MerkleTree(root, function)
    tree.set_chunk_count(count)
    return tree


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit the other way."""
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def offer(source: MerkleTree, chunk: int) -> Mapping[tuple[int, int], bytes]:
    """What a peer sends with the first chunk to another (section 5.6.2): the peaks, and the chunk's uncles."""
    return by_range(source.peaks() + source.uncles(chunk, left=-1, right=NOWHERE))


# Building


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_every_node_of_every_small_tree_is_what_the_definition_says(function: MerkleHashFunction) -> None:
    """Section 5.1; section 12.5 for SHA-1 and 7.6 for the other functions."""
    for count in range(1, 71):
        nodes = naive_nodes(chunks_of(count), function)
        tree = complete(chunks_of(count), function)
        assert known_nodes(tree, nodes) == nodes
        assert tree.chunk_count == count
        assert tree.root == nodes[0, max(end for _, end in nodes)]


@pytest.mark.parametrize("count", LARGE)
def test_every_node_of_larger_trees_is_what_the_definition_says(count: int) -> None:
    """Section 5.1."""
    nodes = naive_nodes(chunks_of(count), SHA256)
    assert known_nodes(complete(chunks_of(count)), nodes) == nodes


def test_the_last_chunk_is_hashed_short_and_not_padded() -> None:
    """Section 5.1: "the hashes of all the chunks of the content are calculated"; chunks need no fixed size."""
    leaves = hash_chunks(b"abcdefgh", 3, SHA256)
    assert leaves == b"".join(hashlib.sha256(chunk).digest() for chunk in (b"abc", b"def", b"gh"))


@given(st.binary(max_size=200), st.integers(1, 50), FUNCTIONS)
def test_chunks_of_any_buffer_are_hashed_alike(data: bytes, chunk_size: int, function: MerkleHashFunction) -> None:
    """Section 5.1."""
    expected = b"".join(
        hashlib.new(NAMES[function], data[at : at + chunk_size]).digest() for at in range(0, len(data), chunk_size)
    )
    for buffer in (data, bytearray(data), memoryview(data)):
        assert hash_chunks(buffer, chunk_size, function) == expected


@pytest.mark.parametrize("leaves", [b"", bytes(31), bytes(33)])
def test_no_leaf_or_a_part_of_one_makes_no_tree(leaves: bytes) -> None:
    with pytest.raises(MetadataError):
        MerkleTree.from_leaves(leaves, SHA256)


def test_more_leaves_than_the_limit_make_no_tree() -> None:
    assert MerkleTree.from_leaves(bytes(range(96)), SHA256, max_chunks=3).chunk_count == 3
    with pytest.raises(MetadataError):
        MerkleTree.from_leaves(bytes(range(96)), SHA256, max_chunks=2)


def test_leaves_in_runs_make_the_same_tree() -> None:
    leaves = bytes(range(256)) * 40  # 320 of them
    runs = [leaves[: 128 * 32], leaves[128 * 32 : 192 * 32], leaves[192 * 32 :]]
    assert MerkleTree.from_runs(runs, 320, SHA256).root == MerkleTree.from_leaves(leaves, SHA256).root
    for count in (0, 319, 321):
        with pytest.raises(MetadataError):
            MerkleTree.from_runs(runs, count, SHA256)


def test_what_is_above_the_leaves_is_found_again_however_many_blocks_were_asked_for() -> None:
    """Of full blocks only the leaves are kept; what was hashed from them lately is kept for a while."""
    chunks = chunks_of(100 * 64)
    nodes = naive_nodes(chunks, SHA256)
    tree = complete(chunks)
    for _ in range(2):
        for start in range(0, len(chunks), 64):
            assert tree.node(start + 32, start + 63) == nodes[start + 32, start + 63]
            assert tree.node(start + 2, start + 3) == nodes[start + 2, start + 3]


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_a_root_of_another_length_is_refused(function: MerkleHashFunction) -> None:
    """Section 7.6: the hash function, hence the length of the root hash, is part of the metadata."""
    MerkleTree(bytes(HASH_SIZE[function]), function)
    for wrong in (0, 1, -1):
        with pytest.raises(MetadataError):
            MerkleTree(bytes(HASH_SIZE[function] + wrong) if wrong else b"", function)


@pytest.mark.parametrize("span", [(0, 2), (1, 2), (0, 15), (8, 15), (3, 2), (-1, -1), (0, 2**70 - 1)])
def test_what_is_no_node_of_the_tree_is_unknown(span: tuple[int, int]) -> None:
    assert complete(chunks_of(7)).node(*span) is None


# Uncle hashes


def bins(nodes: Iterable[Node]) -> list[int]:
    """The bin numbers of nodes, by section 4.2's figure: the leaf of chunk i is 2 i, a node the mean of its ends."""
    return [start + end for start, end, _ in nodes]


def test_table_1_of_section_5_5() -> None:
    """Section 5.5, Table 1: what is sent for each chunk of a download in order."""
    tree = complete(chunks_of(8))
    sent = [bins(tree.uncles(chunk, left=chunk - 1, right=NOWHERE)) for chunk in range(8)]
    assert sent == [[11, 5, 2], [], [6], [], [13, 10], [], [14], []]


def test_the_example_of_section_5_6_2() -> None:
    """Section 5.6.2: for chunk 0 of 7, the peaks 3, 9 and 12, then the uncles of the chunk below its peak."""
    tree = complete(chunks_of(7))
    assert bins(tree.peaks()) == [3, 9, 12]
    assert bins(tree.uncles(0, left=-1, right=NOWHERE)) == [5, 2]


def test_the_example_of_section_5_3() -> None:
    """Section 5.3: a peer that has chunks 0 and 1 knows 11, so chunk 7 needs 9 and its sibling (leaf 12, not 14)."""
    assert bins(complete(chunks_of(8)).uncles(7, left=1, right=NOWHERE)) == [9, 12]


def test_a_chunk_above_that_the_peer_has_spares_hashes_too() -> None:
    """Section 5.3: the last chunk is fetched early (section 5.6), and its hashes are known then."""
    tree = complete(chunks_of(8))
    assert bins(tree.uncles(0, left=-1, right=7)) == [5, 2]
    assert bins(tree.uncles(4, left=3, right=7)) == [10]
    assert tree.uncles(6, left=3, right=7) == []


def test_a_chunk_that_the_peer_has_needs_nothing() -> None:
    """Section 5.3: hashes are sent for what the receiver cannot verify; a repeated chunk it can."""
    tree = complete(chunks_of(8))
    assert tree.uncles(5, left=5, right=NOWHERE) == []


@given(st.integers(1, 300), st.data())
def test_uncles_are_sorted_by_height_and_lie_below_the_peak(count: int, data: st.DataObject) -> None:
    """Section 5.4: "MUST be sorted in order of the tree height of the nodes, descending"; 5.6.2: the peaks apart."""
    chunk = data.draw(st.integers(0, count - 1))
    uncles = complete(chunks_of(count)).uncles(chunk, left=-1, right=NOWHERE)
    heights = [end - start + 1 for start, end, _ in uncles]
    assert heights == sorted(heights, reverse=True)
    low, high = next((low, high) for low, high in (range_of(*node) for node in peaks(count)) if low <= chunk <= high)
    assert 2 ** len(uncles) == high - low + 1
    assert all(low <= start and end <= high for start, end, _ in uncles)


@given(st.integers(2, 120), FUNCTIONS, st.data())
def test_every_hash_sent_is_needed(count: int, function: MerkleHashFunction, data: st.DataObject) -> None:
    """Section 5.4: "an INTEGRITY message for each hash the receiver misses", and no other (section 5.3)."""
    chunks = chunks_of(count)
    source = complete(chunks, function)
    chunk = data.draw(st.integers(0, count - 1))
    uncles = source.uncles(chunk, left=-1, right=NOWHERE)
    for left_out in range(len(uncles)):
        tree = MerkleTree(source.root, function)
        tree.set_peaks(source.peaks())
        some = by_range(uncles[:left_out] + uncles[left_out + 1 :])
        assert tree.verify(chunk, chunks[chunk], some) is Verdict.MISSING_HASHES


@pytest.mark.parametrize("chunk", [-1, 7, 8, 2**40])
def test_there_are_no_uncles_of_a_chunk_that_is_not_there(chunk: int) -> None:
    with pytest.raises(StateError):
        complete(chunks_of(7)).uncles(chunk, left=-5, right=NOWHERE**2)


def test_there_are_no_uncles_of_a_chunk_that_is_not_verified() -> None:
    source = complete(chunks_of(8))
    tree = sized(source.root, 8)
    tree.verify(0, chunks_of(8)[0], by_range(source.uncles(0, left=-1, right=NOWHERE)))
    assert tree.uncles(0, left=-1, right=NOWHERE) == source.uncles(0, left=-1, right=NOWHERE)
    with pytest.raises(StateError):
        tree.uncles(6, left=-1, right=NOWHERE)


# Verification


@st.composite
def downloads(draw: st.DrawFn) -> tuple[MerkleHashFunction, list[int]]:
    """A hash function, and the chunks of some content in the order in which they arrive."""
    count = draw(COUNTS)
    order = draw(st.one_of(st.just(list(range(count))), st.permutations(range(count))))
    return draw(FUNCTIONS), order


@given(downloads(), st.booleans())
def test_chunks_in_any_order_verify_with_the_hashes_that_uncles_says_are_enough(
    download: tuple[MerkleHashFunction, list[int]], is_size_known: bool
) -> None:
    """Sections 5.2, 5.3 and 5.6.2: the whole way of a swarm's content from one peer to another."""
    function, order = download
    chunks = chunks_of(len(order))
    source = complete(chunks, function)
    tree = sized(source.root, len(order), function) if is_size_known else MerkleTree(source.root, function)
    have = RangeSet()
    for chunk in order:
        left = have.last_before(chunk)
        right = have.first_at_or_after(chunk)
        hashes = [] if have else source.peaks()
        hashes += source.uncles(chunk, left=-1 if left is None else left, right=NOWHERE if right is None else right)
        assert tree.verify(chunk, chunks[chunk], by_range(hashes)) is Verdict.VERIFIED
        have.add(chunk, chunk + 1)
        assert tree.is_size_certain == (is_size_known or tree.node(len(order) - 1, len(order) - 1) is not None)
    assert tree.chunk_count == len(order)
    nodes = naive_nodes(chunks, function)
    assert known_nodes(tree, nodes) == nodes


@given(downloads(), st.data())
def test_a_peer_serves_what_it_has_verified_as_the_source_would(
    download: tuple[MerkleHashFunction, list[int]], data: st.DataObject
) -> None:
    """Section 5.2: "This self-certifying hash tree" lets everybody pass chunks on, from the first chunk on."""
    function, order = download
    chunks = chunks_of(len(order))
    source = complete(chunks, function)
    tree = MerkleTree(source.root, function)
    have = order[: data.draw(st.integers(1, len(order)))]
    for chunk in have:
        hashes = source.peaks() + source.uncles(chunk, left=-1, right=NOWHERE)
        assert tree.verify(chunk, chunks[chunk], by_range(hashes)) is Verdict.VERIFIED
    assert tree.peaks() == source.peaks()
    for chunk in have:
        left, right = data.draw(st.tuples(st.integers(-1, chunk), st.integers(chunk + 1, len(order))))
        assert tree.uncles(chunk, left=left, right=right) == source.uncles(chunk, left=left, right=right)


def test_the_example_of_section_5_2() -> None:
    """Section 5.2: chunk C4 of 7 is checked with 10, 13 and 3 against the root alone; no peaks are needed."""
    nodes = naive_nodes(chunks_of(7), SHA256)
    hashes = {(5, 5): nodes[5, 5], (6, 7): nodes[6, 7], (0, 3): nodes[0, 3]}
    tree = sized(nodes[0, 7], 7)
    assert tree.verify(4, b"chunk 4", hashes) is Verdict.VERIFIED
    assert tree.node(4, 7) == nodes[4, 7]
    assert tree.peaks() == []
    # Peak 12 is not known by itself, so what this peer sends on must reach up to the root.
    assert bins(tree.uncles(4, left=-1, right=NOWHERE)) == [3, 13, 10]
    other = sized(tree.root, 7)
    assert other.verify(4, b"chunk 4", by_range(tree.uncles(4, left=-1, right=NOWHERE))) is Verdict.VERIFIED


def test_peaks_among_the_hashes_are_used_where_the_user_gave_the_size() -> None:
    """Section 5.6.2: uncles stop below the peak, so a tree that has only the number of chunks needs the peaks too."""
    source = complete(chunks_of(7))
    tree = sized(source.root, 7)
    assert tree.verify(4, b"wrong", offer(source, 4)) is Verdict.WRONG
    assert tree.node(4, 4) is None
    assert tree.verify(4, b"chunk 4", by_range(source.uncles(4, left=-1, right=NOWHERE))) is Verdict.VERIFIED
    assert tree.peaks() == source.peaks()


@given(st.integers(2, 100), FUNCTIONS, st.booleans(), st.data())
def test_one_wrong_bit_is_never_verified_and_changes_nothing(
    count: int, function: MerkleHashFunction, is_size_known: bool, data: st.DataObject
) -> None:
    """Section 5.2: "Otherwise, the sending peer sent either the wrong content or the wrong sibling or uncle hashes"."""
    chunks = chunks_of(count)
    source = complete(chunks, function)
    tree = sized(source.root, count, function) if is_size_known else MerkleTree(source.root, function)
    assert tree.set_peaks(source.peaks())
    for chunk in data.draw(st.lists(st.integers(0, count - 1), max_size=5)):
        tree.verify(chunk, chunks[chunk], by_range(source.uncles(chunk, left=-1, right=NOWHERE)))
    chunk = data.draw(st.integers(0, count - 1))
    uncles = source.uncles(chunk, left=-1, right=NOWHERE)
    needed = [node for node in uncles if tree.node(*node[:2]) is None]
    bit = data.draw(st.integers(0, 511))
    wrong = data.draw(st.integers(0, len(needed)))
    hashes = by_range(uncles)
    payload = chunks[chunk]
    if wrong == len(needed):
        payload = flipped(payload, bit)
    else:
        start, end, digest = needed[wrong]
        hashes[start, end] = flipped(digest, bit)
    nodes = naive_nodes(chunks, function)
    before = known_nodes(tree, nodes), tree.is_size_certain
    verdict = tree.verify(chunk, payload, hashes)
    # Under a number of chunks that is a mere claim, the fault may be the claim's.
    # Before anything is certain, what fits no known hash may fit the peaks of another claim.
    assert verdict is Verdict.WRONG or (verdict is Verdict.MISSING_HASHES and not tree.is_size_certain)
    assert (known_nodes(tree, nodes), tree.is_size_certain) == before


@given(st.integers(2, 100), st.data())
def test_a_chunk_in_the_place_of_another_is_wrong(count: int, data: st.DataObject) -> None:
    """Section 5.2: "the chunk of content has been positively verified to be the requested part of the content"."""
    chunks = chunks_of(count)
    source = complete(chunks)
    chunk, other = data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
    tree = sized(source.root, count)
    tree.set_peaks(source.peaks())
    hashes = by_range(source.uncles(chunk, left=-1, right=NOWHERE))
    assert tree.verify(chunk, chunks[other], hashes) is Verdict.WRONG


def test_a_verified_chunk_is_verified_again_without_hashes_and_a_forged_one_is_not() -> None:
    """Section 5.3: the hashes of what was verified are known."""
    source = complete(chunks_of(100))
    for chunk in range(100):
        assert source.verify(chunk, b"chunk %d" % chunk, {}) is Verdict.VERIFIED
        assert source.verify(chunk, b"forged %d" % chunk, {}) is Verdict.WRONG


@pytest.mark.parametrize("chunk", [-1, 7, 8, 63, 64, 2**26, 2**64])
def test_a_chunk_that_the_content_does_not_have_is_wrong(chunk: int) -> None:
    """Section 5.6.1: the number of chunks is known for sure."""
    nodes = naive_nodes(chunks_of(7), SHA256)
    for tree in (complete(chunks_of(7)), sized(nodes[0, 7], 7)):
        assert tree.verify(chunk, b"", nodes) is Verdict.WRONG
        assert tree.verify(chunk, b"chunk 6", nodes) is Verdict.WRONG


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_hash_of_another_length_counts_as_missing(length: int) -> None:
    source = complete(chunks_of(2))
    tree = sized(source.root, 2)
    assert tree.verify(0, b"chunk 0", {(1, 1): bytes(length)}) is Verdict.MISSING_HASHES
    assert tree.verify(0, b"chunk 0", {(1, 1): source.node(1, 1) or b""}) is Verdict.VERIFIED


def test_a_root_of_zeros_verifies_nothing() -> None:
    """Section 5.1: zeros stand for "empty", so nothing that exists may hash to them; nor may they mean "unknown"."""
    tree = sized(bytes(32), 5)
    hashes = {(1, 1): bytes(32), (2, 3): bytes(32), (4, 7): bytes(32)}
    assert tree.verify(0, b"anything", hashes) is Verdict.WRONG
    assert tree.verify(4, b"anything", hashes | {(0, 3): bytes(32), (6, 7): bytes(32)}) is Verdict.WRONG


def test_an_empty_chunk_is_a_chunk() -> None:
    """Section 5.1: chunks need no fixed size; H() is the hash of no octets, not zeros."""
    source = complete([b"", b"x"])
    assert source.node(0, 0) == hashlib.sha256(b"").digest()
    assert sized(source.root, 2).verify(0, b"", {(1, 1): hashlib.sha256(b"x").digest()}) is Verdict.VERIFIED


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_data_may_be_any_buffer(kind: type) -> None:
    assert complete(chunks_of(3)).verify(1, kind(b"chunk 1"), {}) is Verdict.VERIFIED


def test_serving_chunks_all_over_a_tree_takes_bounded_memory() -> None:
    """What is above the leaves is at hand for the blocks that were asked for last."""
    count = 300 * 64
    tree = MerkleTree.from_leaves(hash_chunks(bytes(count), 1, SHA256), SHA256)
    tracemalloc.start()
    for chunk in range(0, count, 64):
        assert tree.uncles(chunk, left=-1, right=NOWHERE)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * 128 * 32
