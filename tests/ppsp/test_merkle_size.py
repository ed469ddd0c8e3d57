"""How a Merkle tree learns the number of its chunks (RFC 7574 section 5.6), also from those who lie about it."""

import hashlib
import tracemalloc
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp._bins import peaks, range_of
from ppsp.constants import HASH_SIZE, MerkleHashFunction
from ppsp.errors import MetadataError, StateError
from ppsp.merkle import MAX_CHUNKS, MerkleTree, Verdict

Node = tuple[int, int, bytes]

SHA256 = MerkleHashFunction.SHA256
NAMES = {function: function.name.lower() for function in MerkleHashFunction}
FUNCTIONS = st.sampled_from(MerkleHashFunction)
COUNTS = st.integers(1, 150)
NOWHERE = 2**70


def chunks_of(count: int) -> list[bytes]:
    """So many chunks, all different, none as long as two hashes."""
    return [b"chunk %d" % number for number in range(count)]


def complete(chunks: list[bytes], function: MerkleHashFunction = SHA256) -> MerkleTree:
    """The complete tree over the chunks."""
    leaves = b"".join(hashlib.new(NAMES[function], chunk).digest() for chunk in chunks)
    return MerkleTree.from_leaves(leaves, function)


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


@given(COUNTS, FUNCTIONS)
def test_peak_hashes_alone_tell_the_number_of_chunks(count: int, function: MerkleHashFunction) -> None:
    """Section 5.6.2: "The receiver, Peer B, MUST check the peak hashes against the root hash"."""
    source = complete(chunks_of(count), function)
    tree = MerkleTree(source.root, function)
    assert tree.chunk_count is None
    assert tree.set_peaks(source.peaks())
    assert tree.chunk_count == count
    assert tree.peaks() == source.peaks()


@given(COUNTS)
def test_folding_the_peaks_makes_known_what_lies_above_them(count: int) -> None:
    """Section 5.6.1, lemma (c) to (e)."""
    source = complete(chunks_of(count))
    height = (count - 1).bit_length()
    every = [range_of(layer, index) for layer in range(height + 1) for index in range(1 << height - layer)]
    tree = MerkleTree(source.root, SHA256)
    tree.set_peaks(source.peaks())
    ranges = [range_of(*node) for node in peaks(count)]
    for start, end in every:
        if not any(low <= start and end <= high and (start, end) != (low, high) for low, high in ranges):
            assert tree.node(start, end) == source.node(start, end) is not None


@given(st.data(), st.integers(2, 150))
def test_forged_peak_hashes_are_refused(data: st.DataObject, count: int) -> None:
    """Section 5.6.2."""
    source = complete(chunks_of(count))
    forged = source.peaks()
    at = data.draw(st.integers(0, len(forged) - 1))
    start, end, digest = forged[at]
    forged[at] = (start, end, flipped(digest, data.draw(st.integers(0, 255))))
    tree = MerkleTree(source.root, SHA256)
    assert not tree.set_peaks(forged)
    assert tree.chunk_count is None
    assert tree.node(start, end) is None


A, B, C = (hashlib.sha256(name).digest() for name in (b"a", b"b", b"c"))


@pytest.mark.parametrize(
    "claimed",
    [
        [],
        [(0, 3, A), (5, 5, B)],
        [(0, 0, A), (1, 2, B)],
        [(0, 1, A), (2, 3, B)],
        [(1, 1, A)],
        [(0, 2, A)],
        [(0, 3, A), (4, 6, B)],
        [(0, 3, A), (4, 5, B), (6, 7, C)],
        [(4, 5, B), (0, 3, A)],
        [(0, 3, A), (0, 3, A)],
        [(0, -1, A)],
        [(3, 0, A)],
        [(-4, -1, A)],
        [(0, 3, A[:-1]), (4, 4, B)],
        [(0, 3, A + b"\0"), (4, 4, B)],
        [(0, 3, b""), (4, 4, B)],
    ],
)
def test_what_cannot_be_the_peaks_of_any_content_is_refused(claimed: list[Node]) -> None:
    """Section 5.6.1: a peak for every 1 in the number of chunks, the highest at the left."""
    tree = MerkleTree(A, SHA256)
    assert not tree.set_peaks(claimed)
    assert tree.chunk_count is None


def test_peaks_in_place_of_others_are_refused() -> None:
    """Section 5.6.2: the right hashes, at the wrong nodes."""
    source = complete(chunks_of(5))
    (_, _, high), (_, _, low) = source.peaks()
    tree = MerkleTree(source.root, SHA256)
    assert not tree.set_peaks([(0, 3, low), (4, 4, high)])
    assert not tree.set_peaks([(0, 3, high), (4, 5, low), (6, 6, low)])


@pytest.mark.parametrize("count", [2**26, 2**40, 2**63, 2**64])
def test_a_claimed_number_of_chunks_allocates_nothing(count: int) -> None:
    """The peak of 2^k chunks is the root, so anybody can claim it: memory must follow what is verified."""
    tree = MerkleTree(A, SHA256)
    tracemalloc.start()
    taken = tree.set_peaks([(0, count - 1, A)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken == (count <= MAX_CHUNKS)
    assert peak < 20_000


def test_a_verified_chunk_far_to_the_right_takes_memory_for_its_path_only() -> None:
    """A hostile publisher can forge one path to chunk 2^26 - 1 at the cost of 26 hashes."""
    chunk = MAX_CHUNKS - 1
    hashes = {}
    digest = hashlib.sha256(b"chunk").digest()
    for layer in range(26):
        start, end = range_of(layer, (chunk >> layer) - 1)
        hashes[start, end] = A
        digest = hashlib.sha256(A + digest).digest()
    tree = sized(digest, MAX_CHUNKS)
    tracemalloc.start()
    verdict = tree.verify(chunk, b"chunk", hashes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verdict is Verdict.VERIFIED
    assert peak < 50_000


def test_junk_for_many_chunks_takes_no_memory() -> None:
    """Design: a decoder, and what follows it, keeps nothing that was not verified."""
    tree = sized(A, MAX_CHUNKS)
    hashes = {range_of(layer, index): B for layer in range(26) for index in range(2)}
    tracemalloc.start()
    verdicts = {tree.verify(chunk, b"junk", hashes) for chunk in range(0, MAX_CHUNKS, MAX_CHUNKS // 500)}
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verdicts == {Verdict.WRONG, Verdict.MISSING_HASHES}
    assert held < 20_000


@given(COUNTS)
def test_peaks_are_taken_again_once_the_number_is_certain_if_they_are_right(count: int) -> None:
    """Section 5.6.2: every peer that has no acknowledgement yet sends them."""
    source = complete(chunks_of(count))
    tree = sized(source.root, count)
    assert tree.set_peaks(source.peaks())
    assert tree.set_peaks(source.peaks())
    start, end, digest = source.peaks()[-1]
    assert not tree.set_peaks([*source.peaks()[:-1], (start, end, flipped(digest, 7))])
    assert not tree.set_peaks([(0, 2**20 - 1, source.root)])
    assert tree.chunk_count == count


@pytest.mark.parametrize("fewer", [1, 2, 4])
def test_a_verified_chunk_settles_the_height_against_who_says_that_there_are_fewer(fewer: int) -> None:
    """The root passes for the peak of every power of two; the last of eight chunks is not here yet."""
    source = complete(chunks_of(8))
    tree = MerkleTree(source.root, SHA256)
    assert tree.verify(0, chunks_of(8)[0], offer(source, 0)) is Verdict.VERIFIED
    assert not tree.set_peaks([(0, fewer - 1, source.root)])
    tree.verify(5, b"junk", {(0, fewer - 1): source.root})
    assert (tree.chunk_count, tree.is_size_certain) == (8, False)
    assert tree.verify(7, chunks_of(8)[7], by_range(source.uncles(7, left=0, right=NOWHERE))) is Verdict.VERIFIED
    assert tree.is_size_certain


@pytest.mark.parametrize("first", [0, 130, 194])
def test_peaks_that_came_with_a_chunk_are_known_even_if_its_way_to_the_root_did_not_need_them(first: int) -> None:
    """The next chunk then comes with what is below its peak alone (section 5.6.2)."""
    chunks = chunks_of(196)
    source = complete(chunks)
    peaks_of = by_range(source.peaks())
    way = dict(peaks_of)
    node = (first, first)
    while node != (0, 255):
        width = node[1] - node[0] + 1
        start = node[0] ^ width
        way[start, start + width - 1] = source.node(start, start + width - 1) or b""
        node = (node[0] & ~width, (node[0] & ~width) + 2 * width - 1)
    tree = sized(source.root, 196)
    assert tree.verify(first, chunks[first], way) is Verdict.VERIFIED
    assert by_range(tree.peaks()) == peaks_of
    for chunk in (5, 150, 193):
        below = by_range(source.uncles(chunk, left=-1, right=NOWHERE))
        assert tree.verify(chunk, chunks[chunk], below) is Verdict.VERIFIED


def test_zeros_in_the_place_of_the_last_chunk_settle_nothing() -> None:
    """Who says that seven chunks are eight can prove the seventh beside an empty leaf."""
    chunks = chunks_of(7)
    source = complete(chunks)
    tree = MerkleTree(source.root, SHA256)
    lie = [(0, 7, source.root), (7, 7, bytes(32)), *source.uncles(6, left=-1, right=NOWHERE)]
    above = {(4, 5): source.node(4, 5) or b"", (0, 3): source.node(0, 3) or b""}
    assert tree.verify(6, chunks[6], by_range(lie) | above) is Verdict.VERIFIED
    assert (tree.chunk_count, tree.is_size_certain) == (8, False)
    assert tree.set_peaks(source.peaks())
    assert (tree.chunk_count, tree.is_size_certain) == (7, True)


def test_peaks_are_not_told_while_one_is_unknown() -> None:
    """A size from the metadata (section 3.1) gives the number of chunks, but no hash."""
    assert MerkleTree(A, SHA256).peaks() == []
    assert sized(A, 7).peaks() == []
    assert sized(A, 8).peaks() == [(0, 7, A)]


@pytest.mark.parametrize("count", [0, -1, MAX_CHUNKS + 1])
def test_a_number_of_chunks_that_no_tree_has_is_refused(count: int) -> None:
    with pytest.raises(MetadataError):
        MerkleTree(A, SHA256).set_chunk_count(count)


def test_a_certain_number_of_chunks_does_not_change() -> None:
    tree = sized(A, 7)
    tree.set_chunk_count(7)
    with pytest.raises(StateError):
        tree.set_chunk_count(8)
    assert tree.chunk_count == 7


def test_the_users_number_of_chunks_replaces_a_claim() -> None:
    """Section 3.1: the metadata come from a trusted source, peak hashes do not."""
    tree = MerkleTree(A, SHA256)
    assert tree.set_peaks([(0, 7, A)])
    assert not tree.is_size_certain
    tree.set_chunk_count(5)
    assert tree.is_size_certain
    assert (tree.chunk_count, tree.peaks()) == (5, [])


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_a_lone_chunk_needs_no_hash(function: MerkleHashFunction) -> None:
    """Section 8.16: DATA without INTEGRITY, the chunk's hash being the root hash."""
    tree = MerkleTree(hashlib.new(NAMES[function], b"Hello world!\n").digest(), function)
    assert tree.verify(0, b"Hello world!", {}) is Verdict.MISSING_HASHES
    assert tree.verify(1, b"Hello world!\n", {}) is Verdict.MISSING_HASHES
    assert tree.verify(0, b"Hello world!\n", {}) is Verdict.VERIFIED
    assert (tree.chunk_count, tree.is_size_certain) == (1, True)
    assert tree.peaks() == [(0, 0, tree.root)]


def test_a_lone_chunk_may_come_with_its_peak() -> None:
    """Section 5.6.2: the peak of one chunk is the root."""
    source = complete(chunks_of(1))
    tree = MerkleTree(source.root, SHA256)
    assert tree.verify(0, b"chunk 1", offer(source, 0)) is Verdict.WRONG
    assert tree.chunk_count is None
    assert tree.verify(0, b"chunk 0", offer(source, 0)) is Verdict.VERIFIED
    assert tree.chunk_count == 1


def test_nothing_verifies_while_the_number_of_chunks_is_unknown() -> None:
    """Section 5.6.2: "MUST first send all the peak hashes"; here only the uncles came."""
    source = complete(chunks_of(6))
    tree = MerkleTree(source.root, SHA256)
    uncles = by_range(source.uncles(4, left=-1, right=NOWHERE))
    assert tree.verify(4, b"chunk 4", uncles) is Verdict.MISSING_HASHES
    assert tree.chunk_count is None
    assert tree.verify(4, b"chunk 4", offer(source, 4)) is Verdict.VERIFIED
    assert tree.chunk_count == 6


@given(st.integers(1, 100), st.integers(1, 4), st.data())
def test_a_lie_about_the_number_of_chunks_gives_way_to_a_chunk_that_proves_another(
    count: int, factor: int, data: st.DataObject
) -> None:
    """The peaks of n chunks, called those of n 2^k, fold to the root as well: section 5.6.1's lemma has a hole."""
    chunks = chunks_of(count)
    source = complete(chunks)
    lie = [(start << factor, (end + 1 << factor) - 1, digest) for start, end, digest in source.peaks()]
    tree = MerkleTree(source.root, SHA256)
    assert tree.set_peaks(lie)
    assert (tree.chunk_count, tree.is_size_certain) == (count << factor, False)
    chunk = data.draw(st.integers(0, count - 1))
    # The liar has no chunks for it; nobody else is blamed for what does not fit the lie.
    assert tree.verify(chunk, b"garbage", by_range(lie)) in (Verdict.WRONG, Verdict.MISSING_HASHES)
    uncles = by_range(source.uncles(chunk, left=-1, right=NOWHERE))
    if count > 1:
        assert tree.verify(chunk, chunks[chunk], uncles) is Verdict.MISSING_HASHES
    assert tree.verify(chunk, chunks[chunk], offer(source, chunk)) is Verdict.VERIFIED
    assert tree.chunk_count == count
    assert tree.is_size_certain == (tree.node(count - 1, count - 1) is not None)
    assert not tree.set_peaks(lie)


def too_many(source: MerkleTree, count: int) -> list[Node]:
    """The nodes of a tree that would be the peaks of `count` chunks, though some of them are partly empty."""
    ranges = [range_of(*node) for node in peaks(count)]
    return [(start, end, source.node(start, end) or b"") for start, end in ranges]


@given(st.integers(2, 100), st.data())
def test_a_partly_empty_node_in_the_place_of_a_peak_is_found_out(count: int, data: st.DataObject) -> None:
    """Section 5.6.1: the root folds to the root as the peak of 2^k chunks, whatever their number really is."""
    chunks = chunks_of(count)
    source = complete(chunks)
    most = 1 << (count - 1).bit_length()
    tree = MerkleTree(source.root, SHA256)
    assert tree.set_peaks(too_many(source, most))
    chunk = data.draw(st.integers(0, count - 1))
    lie = by_range(too_many(source, most)) | by_range(source.uncles(chunk, left=-1, right=NOWHERE))
    above = [range_of(layer, (chunk >> layer) ^ 1) for layer in range(most.bit_length() - 1)]
    lie |= {node: source.node(*node) or b"" for node in above}
    assert tree.verify(chunk, chunks[chunk], lie) is Verdict.VERIFIED
    assert (tree.chunk_count, tree.is_size_certain) == (
        most,
        most == count and tree.node(most - 1, most - 1) is not None,
    )
    # No chunk proves the lie; a true peer's peaks end it, and what was verified before stays.
    assert tree.verify(most, b"", {}) is Verdict.WRONG
    assert tree.verify(count - 1, chunks[-1], offer(source, count - 1)) is Verdict.VERIFIED
    assert (tree.chunk_count, tree.is_size_certain) == (count, True)
    assert tree.uncles(chunk, left=-1, right=NOWHERE) == source.uncles(chunk, left=-1, right=NOWHERE)
    assert most == count or not tree.set_peaks(too_many(source, most))


@given(st.integers(1, 40), st.data())
def test_whoever_lies_the_number_of_chunks_is_never_certain_and_wrong(count: int, data: st.DataObject) -> None:
    """Section 5.6.2: honest peers and liars in any order, with every list of peaks that folds to the root."""
    chunks = chunks_of(count)
    source = complete(chunks)
    height = (count - 1).bit_length()
    lies = [too_many(source, most) for most in range(count, (1 << height) + 1)]
    lies += [[(a << k, (b + 1 << k) - 1, digest) for a, b, digest in lie] for lie in lies for k in (1, 2)]
    tree = MerkleTree(source.root, SHA256)
    verified = set()
    for _ in range(data.draw(st.integers(1, 12))):
        claim = data.draw(st.sampled_from([*lies, source.peaks()]))
        if data.draw(st.booleans()):
            tree.set_peaks(claim)
        chunk = data.draw(st.integers(0, count - 1))
        known = {range_of(layer, (chunk >> layer) ^ 1) for layer in range(height)}
        hashes = by_range(claim) | {node: source.node(*node) or b"" for node in known}
        if tree.verify(chunk, chunks[chunk], hashes) is Verdict.VERIFIED:
            verified.add(chunk)
        assert not tree.is_size_certain or tree.chunk_count == count
        assert all(tree.verify(chunk, chunks[chunk], {}) is Verdict.VERIFIED for chunk in verified)
    assert tree.verify(count - 1, chunks[-1], offer(source, count - 1)) is Verdict.VERIFIED
    assert (tree.chunk_count, tree.is_size_certain) == (count, True)


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_two_hashes_do_not_pass_for_a_chunk(function: MerkleHashFunction) -> None:
    """Leaves and nodes are hashed alike: the root's two children hash to the root, as a chunk of their own would."""
    source = complete(chunks_of(8), function)
    forged = (source.node(0, 3) or b"") + (source.node(4, 7) or b"")
    tree = MerkleTree(source.root, function)
    assert tree.verify(0, forged, {}) is Verdict.MISSING_HASHES
    assert tree.verify(0, forged, {(0, 0): source.root}) is Verdict.MISSING_HASHES
    # As the second of four chunks: node 2-3 of eight is made of two hashes.
    forged = (source.node(2, 2) or b"") + (source.node(3, 3) or b"")
    halved = {(0, 3): source.root, (2, 3): source.node(4, 7) or b"", (0, 0): source.node(0, 1) or b""}
    assert tree.verify(1, forged, halved) is Verdict.MISSING_HASHES
    assert not tree.is_size_certain
    assert tree.verify(0, b"chunk 0", offer(source, 0)) is Verdict.VERIFIED
    assert tree.chunk_count == 8


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_a_chunk_as_long_as_two_hashes_verifies_once_the_size_is_certain(function: MerkleHashFunction) -> None:
    """Section 5.6: the last chunk may have any length; the user's size, or another chunk, settles what it is."""
    chunks = [b"chunk 0", b"chunk 1", bytes(2 * HASH_SIZE[function])]
    source = complete(chunks, function)
    given_size = sized(source.root, 3, function)
    assert given_size.verify(2, chunks[2], offer(source, 2)) is Verdict.VERIFIED
    tree = MerkleTree(source.root, function)
    assert tree.verify(2, chunks[2], offer(source, 2)) is Verdict.MISSING_HASHES
    assert tree.verify(0, chunks[0], offer(source, 0)) is Verdict.VERIFIED
    assert tree.verify(2, chunks[2], offer(source, 2)) is Verdict.VERIFIED


@given(
    st.dictionaries(st.tuples(st.integers(-2, 12), st.integers(-2, 12)), st.sampled_from([A, B, b"", A + B])),
    st.integers(-1, 10),
    st.integers(0, 8),
)
def test_any_hashes_in_any_places_raise_nothing_and_verify_nothing(
    hashes: dict[tuple[int, int], bytes], chunk: int, count: int
) -> None:
    """Design: what a peer sends never raises."""
    tree = sized(C, count) if count else MerkleTree(C, SHA256)
    assert tree.verify(chunk, b"junk", hashes) in (Verdict.WRONG, Verdict.MISSING_HASHES)
    assert not tree.set_peaks([(start, end, digest) for (start, end), digest in hashes.items()])
    assert tree.chunk_count == (count or None)
