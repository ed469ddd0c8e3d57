"""`ppsp._channel`, open: HAVE, ACK, REQUEST, CANCEL and CHOKE (sections 3.2, 3.4, 3.7 to 3.9)."""

from itertools import pairwise

import pytest
from ppsp_channel import mid_download

from ppsp import _limits
from ppsp.messages import Ack, Cancel, Choke, Data, Have, Request, Unchoke


@pytest.fixture
def bench(lab, seven):
    """An endpoint in mid-download."""
    return mid_download(lab, seven)


@pytest.fixture
def peer(lab, bench):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, bench.publication)


# HAVE (section 3.2)


def test_who_connects_is_told_what_we_have(bench, peer):
    """Section 3.2: "a complete overview of a peer's chunk availability"."""
    peer.open()
    assert Have(0, 2) in peer.take(Have)


def test_whom_we_connect_to_is_told_what_we_have_when_the_handshake_is_complete(bench, peer):
    """Section 3.2: no HAVE "to peers for which the handshake procedure is still incomplete"."""
    peer.invite()
    peer.reply()
    assert peer.take(Have) == [Have(0, 2)]


def test_a_verified_chunk_is_announced_to_every_peer(lab, bench, peer):
    """Section 3.2 MUST: "to all peers it wants to allow to download those chunks"."""
    others = [lab.HandPeer(bench, bench.publication, host=20 + n, channel=20 + n) for n in range(3)]
    peer.open(peer.have_all())
    for other in others:
        other.open()
        other.take()
    peer.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    for other in others:
        assert other.take(Have) == [Have(4, 4)]


def test_a_have_gives_the_biggest_complete_interval(lab, bench, peer):
    """Section 4.3.1 MUST."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open()
    other.take()
    peer.serve(4, peaks=False)
    peer.serve(3, peaks=False)
    bench.advance(0.1)
    assert other.take(Have)[-1] == Have(0, 4)


def test_no_have_is_sent_to_a_peer_that_has_everything(bench, peer):
    """Section 3.2 SHOULD NOT."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    assert peer.take(Have) == []


def test_no_have_is_sent_for_chunks_that_the_peer_has(lab, bench, peer):
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(Have(4, 4))
    other.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    assert other.take(Have) == []


def test_haves_may_wait_a_little_for_company(lab, bench, peer):
    """Section 3.2: "may wait ... until it has received and checked multiple chunks"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open()
    other.take()
    for chunk in (3, 4, 5, 6):
        peer.serve(chunk, peaks=False)
    bench.advance(0.1)
    assert other.take(Have) == [Have(0, 6)]


def test_a_have_that_may_be_lost_is_said_again(bench, peer):
    """Nothing acknowledges a HAVE, and section 4.3.1 counts on repetition; the last has no later one to cover it."""
    peer.open()
    peer.take()
    bench.advance(100.0)
    said = peer.take(Have)
    assert said
    assert set(map(str, said)) == {str(Have(0, 2))}
    assert len(said) < 15


def test_a_have_is_said_again_more_and_more_rarely(bench, peer):
    peer.open()
    peer.take()
    times = []
    for _ in range(1200):
        if peer.take(Have):
            times.append(bench.now)
        bench.advance(0.1)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) < 10
    assert all(later > 0.9 * earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] > 8 * gaps[0]


def test_a_have_is_not_said_again_to_a_peer_that_has_the_chunks(bench, peer):
    peer.open(peer.have_all())
    peer.take()
    bench.advance(100.0)
    assert peer.take(Have) == []


def test_many_ranges_do_not_make_a_large_answer(lab):
    """Sections 1.3 and 12.1.1: "a large number of smaller messages" is heavy payload."""
    publication = lab.Publication(lab.pattern(400 * 16), chunk_size=16)
    bench = lab.Bench()
    bench.leech(publication, content_size=6400)
    source = lab.HandPeer(bench, publication, host=1, channel=5)
    source.open()
    for chunk in range(0, 400, 2):
        source.serve(chunk, peaks=False)
    peer = lab.HandPeer(bench, publication)
    peer.hello(*[Request(1, 1)] * 100)
    (answer,) = peer.datagrams()
    assert len(answer) < 10
    peer.remote = answer[0].source_channel
    peer.send()
    assert len(peer.take(Have)) == 200  # in full as soon as the handshake is complete


# ACK (sections 3.4 and 4.3.2)


def test_a_verified_chunk_is_acknowledged_with_the_biggest_interval_and_its_delay(bench, peer):
    """Sections 3.4, 4.3.2 and 8.7: MUST."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=int(bench.now * 1e6) - 250, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, 250)]


def test_the_delay_of_a_fast_clock_is_negative_modulo_2_to_the_64(bench, peer):
    """Section 8.6: differences of clocks only."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=int(bench.now * 1e6) + 250, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, 2**64 - 250)]


@pytest.mark.parametrize("timestamp", [0, 1, 2**63, 2**64 - 1])
def test_any_timestamp_gives_a_sample(bench, peer, timestamp):
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=timestamp, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, (int(bench.now * 1e6) - timestamp) % 2**64)]


def test_an_ack_comes_only_after_the_integrity_check(bench, peer):
    """Section 3.4: "that has successfully checked the integrity of a chunk"."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(peer.data(5))  # no hashes
    assert peer.take(Ack) == []


def test_a_chunk_that_came_twice_is_acknowledged_twice(bench, peer):
    """Section 8.2; its ACK may have been lost."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, peaks=False)
    peer.serve(3, peaks=False)
    assert len(peer.take(Ack)) == 2


def test_hashes_may_come_in_an_earlier_datagram(bench, peer):
    """Section 5.4: they "MUST be sent first in one or more datagrams" where they do not fit."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(*peer.integrity(5, peaks=False))
    peer.send(peer.data(5))
    assert [(ack.start, ack.end) for ack in peer.take(Ack)] == [(5, 5)]


def test_chunks_that_were_not_asked_for_are_taken(bench, peer):
    """Section 3.7: the push model."""
    peer.open()
    peer.serve(5, peaks=False)
    assert [(ack.start, ack.end) for ack in peer.take(Ack)] == [(5, 5)]


def test_several_data_may_share_a_datagram(bench, peer):
    """Section 8.6 MAY: the chunk size is fixed, and none is the short last one."""
    peer.open(peer.have_all())
    peer.take()
    messages = [*peer.integrity(3, peaks=False), peer.data(3), *peer.integrity(4, peaks=False), peer.data(4)]
    peer.send(*messages)
    assert {(ack.start, ack.end) for ack in peer.take(Ack)} == {(0, 4)}


# REQUEST, CANCEL, CHOKE (sections 3.7 to 3.9)


def test_chunks_that_the_peer_offers_and_we_lack_are_requested(bench, peer):
    peer.open(Have(1, 4))
    assert [(request.start, request.end) for request in peer.take(Request)] == [(3, 4)]


def test_nothing_is_requested_of_a_peer_that_offers_nothing_new(bench, peer):
    peer.open(Have(0, 2))
    assert peer.take(Request) == []


def test_no_chunk_is_requested_of_two_peers_at_once(lab, bench, peer):
    """Section 2.2: the requests "refer to disjoint sets of chunks"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(other.have_all())
    asked = [
        chunk
        for each in (peer, other)
        for request in each.take(Request)
        for chunk in range(request.start, request.end + 1)
    ]
    assert sorted(asked) == [3, 4, 5, 6]


def test_a_choked_peer_asks_for_nothing(bench, peer):
    """Section 3.9: it "MUST NOT send new REQUEST messages"."""
    peer.open(Choke(), peer.have_all())
    bench.advance(30.0)
    assert peer.take(Request) == []


def test_a_have_does_not_unchoke(bench, peer):
    """Section 3.9: "is not automatically unchoked and MUST NOT send any new REQUEST messages"."""
    peer.open(Choke())
    peer.send(peer.have_all())
    bench.advance(30.0)
    peer.send(Have(3, 6))
    assert peer.take(Request) == []


def test_what_was_outstanding_at_a_peer_that_chokes_is_asked_of_others(lab, bench, peer):
    """Section 2.2: "Peer A should then re-request from other peers"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(other.have_all())
    assert peer.take(Request)
    assert other.take(Request) == []
    peer.send(Choke())
    assert other.take(Request)


def test_an_unchoked_peer_asks_again(bench, peer):
    """Section 3.9: "it will respond to new REQUESTs"."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(Choke())
    peer.take()
    peer.send(Unchoke())
    assert [(request.start, request.end) for request in peer.take(Request)] == [(3, 6)]


def test_an_unchoke_without_choke_changes_nothing(bench, peer):
    """Section 12.6.9, UNCHOKE.1."""
    peer.open(peer.have_all())
    first = peer.take(Request)
    peer.send(Unchoke())
    assert first
    assert peer.take(Request) == []


def test_a_have_from_the_requester_cancels_its_request(bench, peer, lab):
    """Section 3.8: "the HAVE message acts as an implicit CANCEL", a MUST."""
    peer.open(Request(0, 2), Have(1, 1))
    assert sorted(data.start for data in peer.take(Data)) == [0, 2]


def test_a_request_is_answered_with_data(bench, peer):
    peer.open(Request(1, 1))
    (data,) = peer.take(Data)
    assert bytes(data.payload) == bench.publication.chunks[1]


def test_several_requests_in_one_datagram_are_all_served(bench, peer):
    """Section 3.7."""
    peer.open(Request(2, 2), Request(0, 0))
    assert {data.start for data in peer.take(Data)} == {0, 2}


def test_the_cancel_of_requests_that_lapse_goes_to_the_peer(bench, peer):
    """Section 3.8 SHOULD."""
    peer.open(peer.have_all())
    peer.take()
    bench.advance(_limits.REQUEST_SECONDS + 0.5)
    assert peer.take(Cancel) == [Cancel(3, 6)]
