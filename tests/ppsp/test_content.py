"""`ppsp._content`: what this peer holds, and the verification of what comes (sections 5.2, 5.3 and 5.6)."""

import pytest

from ppsp._content import Content, Reception
from ppsp._ranges import RangeSet
from ppsp.constants import MerkleHashFunction
from ppsp.errors import StateError
from ppsp.merkle import MerkleTree


def hashes_for(publication, chunk, *, peaks=True):
    found = {(start, end): digest for start, end, digest in publication.uncles(chunk)}
    if peaks:
        found |= {(start, end): digest for start, end, digest in publication.peaks()}
    return found


def empty(lab, publication, **metadata):
    store = lab.Store()
    return Content(publication.metadata(**metadata), store), store


def test_a_new_content_holds_nothing_and_knows_no_size(lab, seven):
    content, _ = empty(lab, seven)
    assert content.chunk_count is None
    assert content.content_size is None
    assert not content.complete
    assert content.have.total == 0
    assert not content.holds(0)


def test_the_size_in_the_metadata_gives_the_number_of_chunks(lab, seven):
    """Section 3.1 (f)."""
    content, _ = empty(lab, seven, content_size=7162)
    assert content.chunk_count == 7
    assert content.content_size == 7162


def test_every_chunk_is_verified_and_stored_in_any_order(lab, seven):
    """Section 5.2, with the size from the metadata."""
    content, store = empty(lab, seven, content_size=7162)
    for chunk in (3, 6, 0, 1, 5, 2, 4):
        assert content.accept(chunk, seven.chunks[chunk], hashes_for(seven, chunk)) is Reception.ACCEPTED
        assert content.holds(chunk)
    assert content.merge() == [(0, 7)]
    assert content.complete
    assert bytes(store.octets) == seven.content


@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, MerkleHashFunction.SHA256])
def test_both_mandatory_hash_functions_verify(lab, function):
    """Section 7.6: SHA-1 and SHA-256."""
    publication = lab.Publication(lab.pattern(5000), hash_function=function)
    content, store = empty(lab, publication, content_size=5000)
    for chunk in range(5):
        assert content.accept(chunk, publication.chunks[chunk], hashes_for(publication, chunk)) is Reception.ACCEPTED
    content.merge()
    assert bytes(store.octets) == publication.content


def test_the_last_chunk_gives_the_exact_size(lab, seven):
    """Section 5.6.1: (number of chunks - 1) * chunk size + size of the last chunk."""
    content, _ = empty(lab, seven)
    assert content.accept(6, seven.chunks[6], hashes_for(seven, 6)) is Reception.ACCEPTED
    assert content.chunk_count == 7
    assert content.content_size == 7162


def test_one_chunk_verifies_against_the_root_alone(lab):
    """Section 8.16: "the entire content can fit into a single message"."""
    publication = lab.Publication(b"Hello world!\n", hash_function=MerkleHashFunction.SHA1)
    assert publication.root.hex() == "47a013e660d408619d894b20806b1d5086aab03b"
    content, store = empty(lab, publication)
    assert content.accept(0, b"Hello world!\n", {}) is Reception.ACCEPTED
    content.merge()
    assert content.complete
    assert content.content_size == 13
    assert bytes(store.octets) == b"Hello world!\n"


def test_the_merged_ranges_are_those_of_the_batch(lab, seven):
    content, _ = empty(lab, seven, content_size=7162)
    for chunk in (5, 0, 1):
        content.accept(chunk, seven.chunks[chunk], hashes_for(seven, chunk))
    assert content.have.total == 0  # kept per batch
    assert content.merge() == [(0, 2), (5, 6)]
    assert list(content.have) == [(0, 2), (5, 6)]
    assert content.merge() == []


def test_a_wrong_chunk_is_refused_and_changes_nothing(lab, seven):
    """Section 5.2: "the sending peer sent either the wrong content or the wrong sibling or uncle hashes"."""
    content, store = empty(lab, seven, content_size=7162)
    wrong = b"\xff" + seven.chunks[2][1:]
    assert content.accept(2, wrong, hashes_for(seven, 2)) is Reception.WRONG
    assert not content.holds(2)
    assert store.writes == 0
    assert content.accept(2, seven.chunks[2], hashes_for(seven, 2)) is Reception.ACCEPTED


@pytest.mark.parametrize("node", [(0, 0), (2, 3), (4, 7)])
def test_a_wrong_uncle_is_refused_and_changes_nothing(lab, seven, node):
    content, store = empty(lab, seven, content_size=7162)
    hashes = hashes_for(seven, 1, peaks=False)
    assert node in hashes
    lie = {**hashes, node: bytes(32)}
    assert content.accept(1, seven.chunks[1], lie) is Reception.WRONG
    assert store.writes == 0
    assert content.accept(1, seven.chunks[1], hashes) is Reception.ACCEPTED


def test_a_chunk_of_another_place_is_refused(lab, seven):
    """Every chunk is verified at its own place in the tree."""
    content, _ = empty(lab, seven, content_size=7162)
    assert content.accept(0, seven.chunks[1], hashes_for(seven, 0)) is Reception.WRONG
    assert content.accept(0, seven.chunks[1], hashes_for(seven, 1)) is not Reception.ACCEPTED


def test_a_chunk_without_its_hashes_is_not_held_against_the_peer(lab, seven):
    """Section 5.3: where some additional data is still missing, "the message SHOULD be dropped"."""
    content, store = empty(lab, seven, content_size=7162)
    assert content.accept(0, seven.chunks[0], {}) is Reception.UNVERIFIABLE
    assert store.writes == 0


def test_hashes_of_verified_chunks_are_remembered(lab, seven):
    """Section 5.3: "the receiver MUST remember all the hashes it needs to verify missing chunks"."""
    content, _ = empty(lab, seven, content_size=7162)
    content.accept(0, seven.chunks[0], hashes_for(seven, 0))
    assert content.accept(1, seven.chunks[1], {}) is Reception.ACCEPTED  # its hash was an uncle of chunk 0
    assert content.accept(2, seven.chunks[2], {(3, 3): seven.node(3, 3)}) is Reception.ACCEPTED
    assert content.accept(3, seven.chunks[3], {}) is Reception.ACCEPTED


def test_a_chunk_that_is_held_is_a_duplicate(lab, seven):
    """Section 8.2: all messages are idempotent or recognisable as duplicates."""
    content, store = empty(lab, seven, content_size=7162)
    content.accept(0, seven.chunks[0], hashes_for(seven, 0))
    assert content.accept(0, seven.chunks[0], {}) is Reception.DUPLICATE
    assert content.accept(0, b"anything", {}) is Reception.DUPLICATE
    assert content.merge() == [(0, 1)]
    assert store.writes == 1


@pytest.mark.parametrize("chunk", [7, 8, 2**31, 2**32 - 1, 2**64 - 1])
def test_a_chunk_behind_the_last_one_is_impossible(lab, seven, chunk):
    content, store = empty(lab, seven, content_size=7162)
    assert content.accept(chunk, bytes(1024), {}) is not Reception.ACCEPTED
    assert store.writes == 0


@pytest.mark.parametrize("length", [1, 1017, 1019, 1024])
def test_the_last_chunk_has_the_length_that_the_metadata_say(lab, seven, length):
    content, _ = empty(lab, seven, content_size=7162)
    payload = (seven.chunks[6] + bytes(1024))[:length]
    assert content.accept(6, payload, hashes_for(seven, 6)) is Reception.WRONG


def test_a_short_chunk_in_the_middle_is_refused(lab, seven):
    """Section 5.6.1: "all chunks except the last are of a fixed size"."""
    content, _ = empty(lab, seven, content_size=7162)
    assert content.accept(2, seven.chunks[2][:-1], hashes_for(seven, 2)) is Reception.WRONG


def test_peaks_that_do_not_fold_to_the_root_are_worth_nothing(lab, seven):
    """Section 5.6.2: "Peer B MUST check the peak hashes against the root hash"."""
    content, _ = empty(lab, seven)
    lie = {(0, 3): seven.node(0, 3), (4, 4): seven.node(4, 4), (0, 1): seven.node(0, 1)}
    assert content.accept(0, seven.chunks[0], lie) is not Reception.ACCEPTED
    assert content.chunk_count is None


def test_a_store_that_fails_amid_a_batch_leaves_what_waited_missing(lab):
    publication = lab.Publication(lab.pattern(100 * 1024))
    content, store = empty(lab, publication)
    assert content.accept(99, publication.chunks[99], hashes_for(publication, 99)) is Reception.ACCEPTED
    assert content.merge() == [(99, 100)]
    content.accept(0, publication.chunks[0], hashes_for(publication, 0))
    store.fail_writes = True
    with pytest.raises(OSError, match="full"):
        content.accept(70, publication.chunks[70], hashes_for(publication, 70))
    store.fail_writes = False
    assert content.merge() == []
    assert list(content.have) == [(99, 100)]
    assert not content.holds(0)
    for chunk in (0, 70):
        assert content.accept(chunk, publication.chunks[chunk], hashes_for(publication, chunk)) is Reception.ACCEPTED
    assert content.merge() == [(0, 1), (70, 71)]
    assert content.read(0, 1) == publication.chunks[0]


def test_a_store_that_fails_leaves_the_chunks_of_the_batch_missing(lab, seven):
    content, store = empty(lab, seven, content_size=7162)
    store.fail_writes = True
    for chunk in (0, 1):
        content.accept(chunk, seven.chunks[chunk], hashes_for(seven, chunk))
    with pytest.raises(OSError, match="full"):
        content.merge()
    content.accept(3, seven.chunks[3], hashes_for(seven, 3))
    with pytest.raises(OSError, match="full"):
        content.merge()
    assert not any(content.holds(chunk) for chunk in range(7))
    assert content.merge() == []
    store.fail_writes = False
    for chunk in range(7):
        assert content.accept(chunk, seven.chunks[chunk], hashes_for(seven, chunk)) is Reception.ACCEPTED
    assert content.merge() == [(0, 7)]
    assert bytes(store.octets) == seven.content


def test_chunks_side_by_side_are_written_together(lab, seven):
    content, store = empty(lab, seven, content_size=7162)
    for chunk in (4, 5, 6, 0, 1):
        content.accept(chunk, seven.chunks[chunk], hashes_for(seven, chunk))
    content.merge()
    assert store.writes == 2
    assert store.octets[4096:] == seven.content[4096:]
    assert store.octets[:2048] == seven.content[:2048]


def test_the_payload_is_copied_by_the_store(lab, seven):
    """The buffer is the network's: it is used again for the next datagram."""
    content, store = empty(lab, seven, content_size=7162)
    buffer = bytearray(seven.chunks[0])
    content.accept(0, memoryview(buffer), hashes_for(seven, 0))
    buffer[:] = bytes(len(buffer))
    content.merge()
    assert store.octets[:1024] == seven.chunks[0]


def test_a_complete_tree_holds_everything(lab, seven):
    content = Content(seven.metadata(), lab.Store(seven.content), seven.tree(), None, 7162)
    assert content.complete
    assert content.merge() == []
    assert bytes(content.read(0, 7)) == seven.content
    assert bytes(content.read(6, 7)) == seven.chunks[6]
    assert bytes(content.read(2, 4)) == seven.content[2048:4096]


def test_part_of_the_content_may_be_held(lab, seven):
    """Resuming: the tree is complete, the store is not."""
    content = Content(seven.metadata(), lab.Store(seven.content), seven.tree(), RangeSet([(1, 3)]), 7162)
    assert not content.complete
    assert [content.holds(chunk) for chunk in range(7)] == [False, True, True, False, False, False, False]
    assert content.accept(0, seven.chunks[0], {}) is Reception.ACCEPTED


def test_chunks_are_not_held_without_their_hashes(lab, seven):
    """They could not be served: a sender MUST send the hashes (section 5.3)."""
    with pytest.raises(StateError):
        Content(seven.metadata(content_size=7162), lab.Store(seven.content), None, RangeSet([(0, 1)]))
    bare = MerkleTree(seven.root, MerkleHashFunction.SHA256)
    bare.set_chunk_count(7)
    with pytest.raises(StateError):
        Content(seven.metadata(content_size=7162), lab.Store(seven.content), bare, RangeSet([(0, 1)]))


def test_arguments_that_contradict_each_other_are_refused(lab, seven):
    other = lab.Publication(lab.pattern(5000))
    with pytest.raises(StateError):
        Content(seven.metadata(), lab.Store(), other.tree(), None, 5000)
    with pytest.raises(StateError):
        Content(seven.metadata(), lab.Store(seven.content), seven.tree(), None, 5000)
    with pytest.raises(StateError):
        Content(seven.metadata(), lab.Store(seven.content), seven.tree(), RangeSet([(0, 8)]), 7162)
    with pytest.raises(StateError):
        Content(seven.metadata(), lab.Store(seven.content), seven.tree(), None, None)


def test_a_store_that_gives_too_little_is_an_error(lab, seven):
    """What would be sent could not be verified."""
    content = Content(seven.metadata(), lab.Store(seven.content[:1500]), seven.tree(), None, 7162)
    assert bytes(content.read(0, 1)) == seven.chunks[0]
    with pytest.raises(OSError, match="octets"):
        content.read(1, 2)
