"""The security of the handshake (sections 12.1 and 12.7): no amplification, limits on channels, banned peers."""

import pytest
from ppsp_first_octets import first_octets

from ppsp import _limits
from ppsp.codec import Codec
from ppsp.events import PeerDisconnected
from ppsp.messages import Handshake, Request
from ppsp.options import ProtocolOptions


@pytest.fixture
def bench(lab, seven):
    """A seeder of the RFC's seven chunks."""
    bench = lab.Bench()
    bench.seed(seven)
    return bench


@pytest.fixture
def peer(lab, bench, seven):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, seven)


@pytest.fixture
def leecher(lab, seven):
    """An endpoint that will open the channel itself."""
    bench = lab.Bench()
    bench.leech(seven)
    return bench


# Security (section 12.1)


@pytest.mark.parametrize("size", [7162, 300 * 1024])
def test_the_answer_is_never_longer_than_what_came(lab, size):
    """Section 12.1.1: "does not send back much more data than it received"; we: never more."""
    publication = lab.Publication(lab.pattern(size))
    bench = lab.Bench()
    bench.seed(publication)
    for extra in range(40):
        peer = lab.HandPeer(bench, publication, host=extra, channel=extra + 1)
        octets = first_octets(peer, publication.root) + bytes.fromhex("06") * extra
        bench.receive(octets, peer.address)
        assert sum(map(len, peer.raw())) <= len(octets)


def test_the_answer_is_never_longer_with_the_options_of_an_older_peer(bench, peer):
    codec = Codec(2, 32)
    options = ProtocolOptions(
        version=1, minimum_version=1, swarm_id=peer.publication.root, content_integrity=1, chunk_addressing=2
    )
    octets = codec.encode(0, [Handshake(peer.channel, options)])
    bench.receive(octets, peer.address)
    (answer,) = peer.raw()
    assert len(answer) <= len(octets)


def test_a_spoofed_first_datagram_brings_its_victim_one_answer(bench, peer):
    """Section 12.1.1: nothing more comes until the victim answers, which it does not."""
    peer.hello(Request(0, 6))
    assert len(peer.raw()) == 1
    bench.advance(300.0)
    assert peer.raw() == []
    assert bench.channels == 0


def test_a_half_open_channel_is_forgotten_soon(bench, peer):
    """Section 12.1.2: state for who never answers."""
    peer.hello()
    assert bench.channels == 1
    bench.advance(_limits.HALF_OPEN_SECONDS + 0.1)
    assert bench.channels == 0
    assert bench.events(PeerDisconnected) == []


def test_a_repeated_handshake_renews_the_half_open_channel(bench, peer):
    """The initiator is alive; its answer, or the third datagram, was lost."""
    peer.hello()
    bench.advance(_limits.HALF_OPEN_SECONDS - 1.0)
    peer.hello()
    bench.advance(3.0)
    assert bench.channels == 1


def test_only_so_many_channels_are_half_open(lab, bench, seven):
    """Section 12.1.2, attack 2: a flood of HANDSHAKEs from spoofed addresses."""
    for number in range(1000):
        address = (f"10.1.{number // 250}.{number % 250}", 6778)
        handshake = Handshake(number + 1, lab.options_of(seven.metadata()))
        bench.receive(Codec(2, 32).encode(0, [handshake]), address, flush=False)
    assert bench.channels <= min(_limits.MAX_HALF_OPEN, _limits.MAX_INCOMING_CHANNELS)
    bench.flush()
    bench.advance(_limits.HALF_OPEN_SECONDS + 0.1)
    assert bench.channels == 0
    peer = lab.HandPeer(bench, seven)
    peer.open()
    assert bench.channels == 1


def test_half_open_channels_are_limited_over_all_swarms(lab):
    bench = lab.Bench()
    publications = [lab.Publication(lab.pattern(1000 + n)) for n in range(6)]
    for publication in publications:
        bench.seed(publication)
    for number in range(1200):
        publication = publications[number % 6]
        handshake = Handshake(number + 1, lab.options_of(publication.metadata()))
        bench.receive(Codec(2, 32).encode(0, [handshake]), (f"10.1.{number // 250}.{number % 250}", 1), flush=False)
    assert bench.channels <= _limits.MAX_HALF_OPEN


def test_half_open_channels_of_a_swarm_that_was_left_do_not_count_any_more(lab, bench, seven):
    for _ in range(4):
        for number in range(100):
            handshake = Handshake(number + 1, lab.options_of(seven.metadata()))
            bench.receive(Codec(2, 32).encode(0, [handshake]), (f"10.1.1.{number}", 6778), flush=False)
        assert bench.channels == 100
        bench.endpoint.remove_swarm(seven.root, bench.now)
        assert bench.channels == 0
        bench.seed(seven)


def test_incoming_channels_leave_room_for_our_own(lab, bench, seven):
    """Section 12.6.1, HS.1: "must not let other peers fill all its available connection slots"."""
    for number in range(400):
        lab_peer = lab.HandPeer(bench, seven, host=number, channel=number + 1)
        lab_peer.hello()
        answer = lab_peer.take()
        if answer:
            lab_peer.remote = answer[0].source_channel
            lab_peer.send()
    assert bench.channels == _limits.MAX_INCOMING_CHANNELS < _limits.MAX_CHANNELS
    assert bench.endpoint.connect(seven.root, ("198.51.100.1", 1), bench.now)
    assert bench.channels == _limits.MAX_INCOMING_CHANNELS + 1


def test_our_own_channels_are_limited_too(bench, seven):
    opened = [bench.endpoint.connect(seven.root, ("198.51.100.1", port), bench.now) for port in range(400)]
    assert opened.count(True) == bench.channels == _limits.MAX_CHANNELS


def test_one_address_holds_one_channel_however_often_it_calls(lab, bench, seven):
    """One peer with many source channel IDs must not take every slot."""
    for number in range(100):
        peer = lab.HandPeer(bench, seven, channel=number + 1)
        peer.hello()
        answer = peer.take()
        if answer:
            peer.remote = answer[0].source_channel
            peer.send()
        bench.mail.clear()
    assert bench.channels == 1


def test_a_handshake_is_not_taken_from_a_banned_peer(lab, leecher, seven):
    """Section 12.7: exclude bad peers."""
    evil = lab.HandPeer(leecher, seven)
    evil.open(evil.have_all())
    for _ in range(3):
        for request in evil.take(Request):
            evil.serve(request.start, payload=b"\1" * 1024)
    assert leecher.channels == 0
    evil.channel += 1
    evil.hello()
    assert evil.take(Handshake) == []
    assert not leecher.endpoint.connect(seven.root, evil.address, leecher.now)
    assert leecher.channels == 0
