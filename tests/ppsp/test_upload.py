"""`ppsp._upload`: serving requests, in which order and which datagrams."""

from itertools import pairwise

import pytest
from ppsp_upload import CHANNEL, Receiver, Server

from ppsp import _limits
from ppsp._ranges import RangeSet
from ppsp.constants import ChunkAddressing
from ppsp.messages import Integrity


@pytest.fixture
def server(lab, seven):
    """A server of the RFC's 7 chunks."""
    return Server(lab, seven)


def test_nothing_is_sent_unasked(server):
    assert not server.upload.ready
    assert server.send() == []
    assert server.upload.deadline() is None


def test_a_requested_chunk_is_sent(server, seven):
    """Section 3.7; the DATA is last in its datagram (8.6 MUST) and denotes the single chunk (5.4 MUST)."""
    server.upload.request(2, 3)
    ((*integrity, data),) = server.send()
    assert all(isinstance(message, Integrity) for message in integrity)
    assert (data.start, data.end) == (2, 2)
    assert bytes(data.payload) == seven.chunks[2]


def test_data_carries_the_senders_clock(server):
    """Section 8.6 MUST: the timestamp, in microseconds."""
    server.upload.request(2, 3)
    assert server.send()[0][-1].timestamp_us == 10_000_000


def test_64_bit_chunk_ranges_serve_as_well(lab, seven):
    """Section 7.8 MUST."""
    server = Server(lab, seven, chunk_addressing=ChunkAddressing.CHUNK64)
    receiver = Receiver(seven)
    server.upload.request(0, 7)
    assert all(receiver.take(messages) for messages in server.send())
    assert sorted(receiver.verified) == list(range(7))


def test_requests_are_served_in_the_order_received(lab):
    """Section 3.7 SHOULD."""
    server = Server(lab, lab.Publication(lab.pattern(1000 * 1024)))
    for chunk in (900, 3, 500, 64):
        server.upload.request(chunk, chunk + 1)
    assert server.chunks() == [900, 3, 500, 64]


def test_chunks_that_are_not_held_are_passed_over(lab, seven):
    """Section 3.7: a REQUEST is a hint."""
    server = Server(lab, seven, have=RangeSet([(1, 3), (5, 6)]))
    server.upload.request(0, 2**32)
    assert sorted(server.chunks()) == [1, 2, 5]


@pytest.mark.parametrize(("start", "stop"), [(7, 8), (2**32 - 1, 2**32), (2**64 - 1, 2**64), (7, 2**64)])
def test_chunks_that_do_not_exist_are_passed_over(server, start, stop):
    server.upload.request(start, stop)
    assert not server.upload.ready


def test_a_chunk_asked_for_twice_is_sent_once(server):
    """Section 8.2: REQUEST is idempotent."""
    server.upload.request(2, 5)
    server.upload.request(2, 5)
    assert sorted(server.chunks()) == [2, 3, 4]
    server.upload.request(2, 5)  # on its way
    assert server.chunks() == []


def test_of_a_range_that_is_partly_on_its_way_the_rest_is_sent(server):
    server.upload.request(3, 4)
    assert server.chunks() == [3]
    server.upload.request(0, 7)
    assert sorted(server.chunks()) == [0, 1, 2, 4, 5, 6]
    assert server.upload.flight == 7162


def test_a_cancelled_chunk_is_not_sent(server):
    """Section 3.8."""
    server.upload.request(0, 7)
    server.upload.cancel(1, 6)
    assert sorted(server.chunks()) == [0, 6]


def test_a_cancelled_chunk_can_be_asked_for_again(server):
    server.upload.request(0, 7)
    server.upload.cancel(0, 7)
    assert server.chunks() == []
    server.upload.request(3, 4)
    assert server.chunks() == [3]


def test_a_have_is_an_implicit_cancel(server):
    """Section 3.8: "Peer Q MUST also cancel the previous REQUEST(s)"."""
    server.upload.request(0, 7)
    server.have(2, 5)
    assert sorted(server.chunks()) == [0, 1, 5, 6]


def test_a_cancel_for_what_was_never_asked_for_is_ignored(server):
    """Section 12.6.7, CANCEL.1."""
    server.upload.cancel(0, 2**64)
    server.upload.request(1, 2)
    assert server.chunks() == [1]


def test_only_so_many_datagrams_leave_at_once(lab):
    """A burst of 64 at the most, and no more than the caller lets go."""
    server = Server(lab, lab.Publication(lab.pattern(500 * 1024)))
    server.upload.request(0, 500)
    server.upload.datagrams(CHANNEL, 0, 1000, server.now)
    assert server.upload.chunks_sent == _limits.BURST_CHUNKS
    server.upload.datagrams(CHANNEL, 0, 5, server.now)
    assert server.upload.chunks_sent == _limits.BURST_CHUNKS + 5


def test_datagrams_of_equal_size_stand_together(lab):
    """The driver hands a run to the kernel in one call: few runs in a burst."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)), content_size=64 * 1024)
    server.upload.request(0, 64)
    sizes = [len(octets) for octets in server.raw()]
    runs = 1 + sum(1 for before, after in pairwise(sizes) if before != after)
    assert runs <= 8
    assert sizes == sorted(sizes, reverse=True)


def test_requests_and_cancels_in_fragments_stay_within_the_limit(lab):
    """Section 12.6.6, REQUEST.1: what a peer can make us hold has a bound."""
    server = Server(lab, lab.Publication(lab.pattern(30_000 * 16), chunk_size=16), cwnd=16)
    for _ in range(2):
        server.upload.request(0, 30_000)
        for chunk in range(0, 30_000, 2):
            server.upload.cancel(chunk, chunk + 1)
    server.upload.request(0, 30_000)
    assert len(server.upload._queue) <= _limits.MAX_REQUEST_RANGES
    assert server.upload._wanted.range_count <= _limits.MAX_REQUEST_RANGES


def test_single_requests_without_end_stay_within_the_limit(lab):
    server = Server(lab, lab.Publication(lab.pattern(30_000 * 16), chunk_size=16), cwnd=16)
    for chunk in range(0, 30_000, 2):
        server.upload.request(chunk, chunk + 1)
    assert len(server.upload._queue) <= _limits.MAX_REQUEST_RANGES
    assert server.upload._wanted.range_count <= _limits.MAX_REQUEST_RANGES


def test_a_store_that_fails_is_the_callers_affair(server):
    server.upload.request(0, 7)
    server.store.fail_reads = True
    with pytest.raises(OSError, match="disk"):
        server.upload.datagrams(CHANNEL, 0, 100, server.now)
    server.upload.forget()
    assert not server.upload.ready


def test_starting_over_forgets_what_was_asked_for_and_what_is_on_its_way(server):
    """Section 8.2: the peer was started anew, and knows nothing of it."""
    server.upload.request(0, 5)
    server.send()
    server.upload.request(5, 7)
    server.upload.start_over(server.now)
    assert server.chunks() == []
    assert server.upload.flight == server.window.flight == 0


def test_forgetting_drops_every_request(server):
    server.upload.request(0, 7)
    server.upload.forget()
    assert not server.upload.ready


def test_a_request_says_in_how_many_pieces_it_is_held_and_looks_at_no_more_than_it_may(server):
    server.content.have.remove(2, 3)
    server.content.have.remove(4, 5)
    assert server.upload.request(0, 7) == 3
    assert server.upload.request(0, 7) == 3  # also where nothing is new
    assert server.upload.request(0, 7, 2) == 2
    assert server.upload.request(0, 7, 0) == 0
