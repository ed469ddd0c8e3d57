"""`ppsp._events`: events in order, and a bound on those that peers cause."""

from ppsp import _limits
from ppsp._events import EventQueue
from ppsp.events import ChunksVerified, DatagramDropped, PeerConnected

ADDRESS = ("192.0.2.1", 6778)


def drain(queue):
    found = []
    while (event := queue.next()) is not None:
        found.append(event)
    return found


def test_an_empty_queue_gives_none():
    assert EventQueue().next() is None


def test_events_come_out_in_the_order_in_which_they_went_in():
    queue = EventQueue()
    queue.put(ChunksVerified(b"s", 0, 1))
    queue.put_peer(PeerConnected(b"s", ADDRESS))
    queue.junk(ADDRESS, "junk")
    assert drain(queue) == [ChunksVerified(b"s", 0, 1), PeerConnected(b"s", ADDRESS), DatagramDropped(ADDRESS, "junk")]
    assert queue.next() is None


def test_junk_is_counted_and_dropped_when_nobody_reads():
    """Section 12.6: a flood costs no memory."""
    queue = EventQueue()
    for _ in range(10_000):
        queue.junk(ADDRESS, "junk")
    assert queue.dropped == 10_000
    assert len(drain(queue)) == _limits.MAX_JUNK_EVENTS


def test_peers_that_come_and_go_do_not_fill_memory():
    queue = EventQueue()
    for _ in range(10_000):
        queue.put_peer(PeerConnected(b"s", ADDRESS))
    assert len(drain(queue)) == _limits.MAX_PEER_EVENTS
    assert queue.dropped == 10_000 - _limits.MAX_PEER_EVENTS


def test_our_own_progress_is_never_lost():
    """However full the queue is of what peers did."""
    queue = EventQueue()
    for _ in range(10_000):
        queue.put_peer(PeerConnected(b"s", ADDRESS))
    queue.put(ChunksVerified(b"s", 0, 1))
    assert drain(queue)[-1] == ChunksVerified(b"s", 0, 1)


def test_junk_leaves_room_for_what_matters():
    queue = EventQueue()
    for _ in range(10_000):
        queue.junk(ADDRESS, "junk")
    queue.put_peer(PeerConnected(b"s", ADDRESS))
    assert drain(queue)[-1] == PeerConnected(b"s", ADDRESS)


def test_reading_makes_room_again():
    queue = EventQueue()
    for _ in range(_limits.MAX_JUNK_EVENTS + 1):
        queue.junk(ADDRESS, "junk")
    drain(queue)
    queue.junk(ADDRESS, "new")
    assert drain(queue) == [DatagramDropped(ADDRESS, "new")]
