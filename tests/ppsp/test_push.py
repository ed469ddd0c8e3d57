"""Push mode (sections 3.7 and 9.1): chunks that nobody asked for. And the figures of channels in unusual states."""

import pytest

from ppsp.errors import StateError
from ppsp.messages import Choke, Data, Have, Integrity, Request


@pytest.fixture
def pair(lab, seven):
    """A source, and a peer played by hand whose handshake is complete."""
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.take()
    return bench, peer


def test_a_peer_is_sent_what_it_did_not_ask_for_with_every_hash_that_it_needs(lab, seven, pair):
    bench, peer = pair
    pushed = bench.endpoint.push(seven.root, peer.address, 0, 7)
    bench.flush()
    messages = peer.take(Data, Integrity)
    assert pushed
    assert sorted(message.start for message in messages if isinstance(message, Data)) == list(range(7))
    other = lab.Bench()
    store = other.leech(seven)
    receiver = lab.HandPeer(other, seven)
    receiver.open()
    order = [message.start for message in messages if isinstance(message, Data)]
    for chunk in [6, *order]:
        receiver.serve(chunk)
    assert bytes(store.octets) == seven.content
    assert receiver.take(Request) == []


def test_what_the_peer_has_is_not_pushed(seven, pair):
    bench, peer = pair
    peer.send(Have(0, 3))
    bench.endpoint.push(seven.root, peer.address, 0, 7)
    bench.flush()
    assert sorted(message.start for message in peer.take(Data)) == [4, 5, 6]


def test_nobody_is_pushed_to_before_its_handshake_is_complete(lab, seven):
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.hello()
    peer.take()
    assert not bench.endpoint.push(seven.root, peer.address, 0, 7)
    assert not bench.endpoint.push(seven.root, ("192.0.2.99", 1), 0, 7)
    bench.flush()
    assert peer.raw() == []


@pytest.mark.parametrize("absent", [1, 4])
def test_a_peer_that_takes_no_data_or_no_hashes_is_sent_none(lab, seven, absent):
    """Section 7.10."""
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open(supported_messages=frozenset(range(14)) - {absent})
    assert not bench.endpoint.push(seven.root, peer.address, 0, 7)


def test_pushing_into_a_swarm_that_is_not_there_is_misuse(pair):
    bench, peer = pair
    with pytest.raises(StateError):
        bench.endpoint.push(bytes(32), peer.address, 0, 1)


def test_the_figures_tell_who_chokes_whom_and_who_is_half_open_or_banned(lab, seven):
    """What RFC 6972 asks for (OAM.REQ-3, 6 and 9): diagnosis, faults, security."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    evil, choker = lab.HandPeer(bench, seven, host=1, channel=1), lab.HandPeer(bench, seven, host=2, channel=2)
    evil.open(evil.have_all())
    evil.serve(0, payload=bytes(1024), peaks=False)
    choker.open(Choke())
    lab.HandPeer(bench, seven, host=3, channel=3).hello()
    stats = bench.endpoint.stats(seven.root)
    assert (stats.half_open, stats.banned) == (1, 1)
    (peer,) = stats.peers
    assert (peer.choked, peer.choking, peer.by_exchange) == (True, False, False)
