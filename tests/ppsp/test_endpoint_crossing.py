"""Two peers that call each other at once end with one channel, whatever is lost on the way."""

import pytest

from ppsp.codec import channel_of, decode_handshake
from ppsp.events import PeerConnected, PeerDisconnected

ZERO = bytes(4)


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


# Both at once


@pytest.mark.parametrize("seed", range(8))
def test_two_peers_that_call_each_other_at_once_end_with_one_channel(lab, seven, seed):
    network = lab.Network(seed=seed)
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven)
    source.endpoint.connect(seven.root, fetcher.address, network.now)
    fetcher.endpoint.connect(seven.root, source.address, network.now)
    network.run(lambda: fetcher.complete, seconds=5.0)
    network.run_for(60.0)
    assert len(source.endpoint._channels) == len(fetcher.endpoint._channels) == 1
    assert len(source.seen(PeerConnected)) == len(fetcher.seen(PeerConnected)) == 1
    assert source.seen(PeerDisconnected) == fetcher.seen(PeerDisconnected) == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_crossing_handshakes_end_with_a_transfer_even_when_some_are_lost(lab, seven, seed, loss):
    network = lab.Network(seed=seed, loss=loss)
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven)
    source.endpoint.connect(seven.root, fetcher.address, network.now)
    fetcher.endpoint.connect(seven.root, source.address, network.now)
    network.run(lambda: fetcher.complete, seconds=90.0)
    assert bytes(fetcher.store.octets) == seven.content


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_any_single_datagram_of_a_crossing_may_be_lost(lab, seven, seed, side, lost):
    """Both sides must come to keep the same channel."""
    network = lab.Network(seed=seed)
    hosts = [network.host().seed(seven), network.host().leech(seven)]
    carry, count = network.carry, [0]

    def lossy(source, address, octets):
        if source is hosts[side]:
            count[0] += 1
            if count[0] == lost:
                return
        carry(source, address, octets)

    network.carry = lossy
    hosts[0].endpoint.connect(seven.root, hosts[1].address, network.now)
    hosts[1].endpoint.connect(seven.root, hosts[0].address, network.now)
    network.run(lambda: hosts[1].complete, seconds=15.0)
    network.run_for(400.0)
    assert [len(host.endpoint._channels) for host in hosts] == [1, 1]
    assert [event for host in hosts for event in host.seen(PeerDisconnected)] == []
    assert [len(host.seen(PeerConnected)) for host in hosts] == [1, 1]


@pytest.mark.parametrize("theirs", [1, 2**32 - 1], ids=["theirs is lower", "ours is lower"])
def test_of_two_crossing_channels_that_both_opened_the_one_of_the_lower_initiator_is_kept(lab, leecher, seven, theirs):
    """Both peers know both initiators' channel IDs, so that both keep the same channel; the other is closed aloud."""
    peer = lab.HandPeer(leecher, seven, channel=5)
    mine = peer.invite().source_channel
    leecher.advance(4.0)  # ours was sent three times by now: theirs is answered whatever its ID
    peer.raw()
    second = lab.HandPeer(leecher, seven, channel=theirs)
    second.hello()
    answer = leecher.mail[peer.address].pop()
    assert channel_of(answer) == theirs
    leecher.mail.clear()
    peer.reply()
    leecher.mail.clear()
    second.send(to=decode_handshake(answer)[0].source_channel)
    closes = [octets for octets in leecher.mail[peer.address] if octets[4:] == bytes.fromhex("00 00000000 ff")]
    (channel,) = leecher.endpoint._channels.values()
    if theirs < mine:
        assert channel.remote_id == theirs
        assert [channel_of(octets) for octets in closes] == [5]
    else:
        assert channel.remote_id == 5
        assert [channel_of(octets) for octets in closes] == [theirs]
    assert len(leecher.events(PeerConnected, PeerDisconnected)) == 1


def test_a_firewall_that_lets_only_one_direction_begin_does_not_stop_crossing_peers(lab, seven):
    """The first HANDSHAKEs of one side never arrive: the other's is answered in the end."""
    for blocked in (0, 1):
        for seed in range(4):
            network = lab.Network(seed=seed)
            hosts = [network.host().seed(seven), network.host().leech(seven)]
            carry = network.carry

            def filtered(source, address, octets, *, wall=hosts[blocked], carry=carry):
                if source is not wall or octets[:4] != ZERO:
                    carry(source, address, octets)

            network.carry = filtered
            hosts[0].endpoint.connect(seven.root, hosts[1].address, network.now)
            hosts[1].endpoint.connect(seven.root, hosts[0].address, network.now)
            network.run(lambda fetcher=hosts[1]: fetcher.complete, seconds=30.0)
            assert hosts[1].complete


def test_an_endpoint_does_not_talk_to_itself(lab, seven):
    """Trackers return one's own address as well."""
    network = lab.Network()
    host = network.host().leech(seven)
    host.connect(host)
    network.run_for(60.0)
    assert host.seen(PeerConnected) == []
    assert len(host.endpoint._channels) == 0
    assert not host.endpoint.connect(seven.root, host.address, network.now)  # it learnt which address is its own
