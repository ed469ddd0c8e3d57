"""Path MTU discovery by probes of several chunks (RFC 7574 section 8.1), on paths that drop what is too long."""

import pytest

from ppsp._packing import Packing
from ppsp.constants import ChunkAddressing
from ppsp.messages import Ack, Data, Have, PexResCert, Request
from ppsp.pmtu import RAISE_SECONDS


@pytest.fixture
def path_network(lab):
    """Makes a network that drops silently, as a black hole does, what is longer than `mtu` octets of payload.

    But what may leave in fragments arrives. What is longer than `interface` the hosts' own kernel refuses. `long` and
    `broken` list what was dropped, and what went in fragments.
    """

    class PathNetwork(lab.Network):
        def __init__(self, mtu, *, interface=1 << 20, limit=65_507, **settings):
            super().__init__(**settings)
            self.mtu, self.interface, self.limit = mtu, interface, limit
            self.long, self.broken, self.refused, self.sizes = [], [], [], []

        def host(self, **settings):
            host = super().host(**settings)
            host.endpoint.search_path_mtu(self.limit)
            return host

        def carry(self, source, address, octets):
            if len(octets) > min(self.mtu, self.interface):
                if source.endpoint.fragmentable:
                    self.broken.append(len(octets))
                elif len(octets) > self.interface:
                    self.refused.append(len(octets))
                    source.endpoint.datagram_too_long(address, len(octets), self.now)
                    return
                else:
                    self.long.append(len(octets))
                    return
            self.sizes.append(len(octets))
            super().carry(source, address, octets)

    return PathNetwork


def transfer(network, publication, *, until=None, **changes):
    """Move the content; returns the source and what it knows of the fetcher's path."""
    source = network.host(**changes).seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(until or (lambda: fetcher.complete))
    if until is None:
        assert bytes(fetcher.store.octets) == publication.content
    return source


def known(host):
    """The size that the only peer's path is known to carry."""
    (peer,) = host.stats.peers
    return peer.datagram_size


@pytest.fixture(scope="module")
def film(lab):
    """1500 chunks of 1 KiB."""
    return lab.Publication(lab.pattern(1500 * 1024 - 7))


@pytest.fixture(scope="module")
def small(lab):
    """1500 chunks of 512 octets."""
    return lab.Publication(lab.pattern(1500 * 512 - 7), chunk_size=512)


@pytest.mark.parametrize(
    ("mtu", "least", "most", "losses"), [(1372, 1200, 1200, 3), (1472, 1200, 1200, 3), (8972, 8332, 8972, 12)]
)
def test_the_longest_datagram_that_arrives_is_found_and_little_is_lost(path_network, film, mtu, least, most, losses):
    """1500 octets hold one chunk, and three probes of two are lost; jumbo frames hold eight, not 9, 10, 12 or 16."""
    network = path_network(mtu)
    source = transfer(network, film)
    assert least <= known(source) <= most
    assert len(network.long) <= losses
    assert not network.broken
    assert max(network.sizes) <= mtu


def test_chunks_of_512_octets_go_three_a_datagram_where_these_fit(path_network, small):
    network = path_network(2000)
    source = transfer(network, small)
    assert 1591 <= known(source) <= 2000
    assert network.sizes.count(1591) > 50
    assert max(network.sizes) <= 2000


@pytest.mark.parametrize("limit", [1200, 5000, 36_864, 65_507])
def test_nothing_is_longer_than_the_limit(path_network, film, limit):
    network = path_network(1 << 20, limit=limit)
    source = transfer(network, film, cwnd=1 << 17)
    assert max(network.sizes) <= limit
    assert limit / 2 <= known(source) <= limit


def test_probes_hold_several_data_messages_and_their_acks_confirm_them(lab, path_network, film):
    network = path_network(1 << 20, limit=16_384)
    network.record = []
    transfer(network, film)
    codec = lab.HandPeer(lab.Bench(), film).codec
    counts = []
    for _, _, _, octets in network.record:
        if octets[:4] != bytes(4):
            messages, error = codec.decode(octets)
            assert error is None
            counts.append(sum(isinstance(message, Data) for message in messages))
    first = [count for count in counts if count]
    assert {2, 4} <= set(first)
    assert max(first) >= 12


def test_the_loss_of_probes_alone_is_no_congestion(path_network, lab, film):
    windows = lab.fixed_window(64 * 1024)
    network = path_network(1472)
    source = network.host(controller=windows).seed(film)
    fetcher = network.host().leech(film).connect(source)
    network.run(lambda: fetcher.complete and not any(made.flight for made in windows.made))
    assert len(network.long) == 3
    assert [made.losses for made in windows.made if made.sent] == [[]]
    assert [made.timeouts for made in windows.made if made.sent] == [[]]


@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
@pytest.mark.parametrize("mtu", [1472, 8972])
def test_content_arrives_on_a_path_that_loses_reorders_and_repeats_as_well(lab, path_network, mtu, addressing):
    publication = lab.Publication(lab.pattern(400 * 1024 - 7))
    network = path_network(mtu, seed=3, loss=0.05, reorder=0.05, duplicate=0.02)
    source = network.host().seed(publication, chunk_addressing=addressing)
    fetcher = network.host().leech(publication, chunk_addressing=addressing).connect(source)
    network.run(lambda: fetcher.complete)
    assert bytes(fetcher.store.octets) == publication.content
    assert max(network.sizes) <= mtu
    assert not network.broken


def test_a_path_that_becomes_a_black_hole_in_mid_transfer_is_noticed(path_network, film):
    network = path_network(8972)
    source = network.host().seed(film)
    fetcher = network.host().leech(film).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 700)
    assert known(source) > 8000
    network.mtu = 1472
    network.run(lambda: fetcher.complete)
    assert bytes(fetcher.store.octets) == film.content
    assert known(source) == 1200
    assert not network.broken


def test_datagrams_a_little_longer_than_the_base_are_missed_too_and_without_a_timeout(lab, path_network):
    windows = lab.fixed_window(64 * 1024)
    network = path_network(2000)
    publication = lab.Publication(lab.pattern(4000 * 512), chunk_size=512)
    source = network.host(controller=windows).seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 2000)
    assert known(source) > 1500
    network.mtu = 1300
    network.run(lambda: fetcher.complete)
    assert known(source) == 1200
    assert not any(made.timeouts for made in windows.made)


def test_an_outage_does_not_end_the_search_for_minutes(lab, path_network):
    publication = lab.Publication(lab.pattern(4000 * 1024))
    network = path_network(8972)
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 700)
    network.mtu, ends = 0, network.now + 5.0
    network.run(lambda: network.now >= ends)
    network.mtu = 8972
    held = fetcher.stats.chunks_held
    network.run(lambda: fetcher.stats.chunks_held > held + 300, seconds=60)
    assert known(source) == 1200
    network.now += 20.0
    network.run(lambda: fetcher.complete, seconds=60)
    assert known(source) > 8000


def test_the_least_limit_leaves_room_for_the_hashes_that_go_ahead(lab, path_network):
    publication = lab.Publication(lab.pattern(3000 * 8), chunk_size=8)
    network = path_network(548, limit=548)
    transfer(network, publication)
    assert max(network.sizes) <= 548
    assert not network.broken


def test_what_the_own_kernel_refuses_is_resent_at_once_and_not_tried_again(path_network, film):
    network = path_network(1472, interface=1472)
    source = transfer(network, film)
    assert len(network.refused) == 1
    assert not network.long
    assert known(source) == 1200


def test_an_interface_that_becomes_narrower_in_mid_transfer_is_obeyed(path_network, film):
    network = path_network(8972, interface=8972)
    source = network.host().seed(film)
    fetcher = network.host().leech(film).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 700)
    network.interface = network.mtu = 2400
    network.run(lambda: fetcher.complete)
    assert bytes(fetcher.store.octets) == film.content
    assert 2086 <= known(source) <= 2400
    assert not network.broken


def test_chunks_longer_than_any_packet_leave_in_fragments_as_ever(lab, path_network):
    """Section 8.1 allows it; the bit that forbids fragments must not be set then."""
    publication = lab.Publication(lab.pattern(100 * 8192 - 5), chunk_size=8192)
    network = path_network(1472)
    transfer(network, publication)
    assert not network.long
    assert len(network.broken) >= 99
    assert min(network.broken) > 8192


def test_a_path_too_narrow_for_a_single_chunk_gets_fragments_after_two_timeouts(path_network, film):
    network = path_network(900)
    source = transfer(network, film)
    assert network.broken
    assert known(source) == 1200


def test_the_search_begins_anew_after_ten_minutes(lab, path_network):
    publication = lab.Publication(lab.pattern(4000 * 1024))
    network = path_network(1472)
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 500)
    assert known(source) == 1200
    network.mtu = 8972
    network.now += RAISE_SECONDS
    network.run(lambda: fetcher.complete, seconds=300)
    assert known(source) > 8000


def hand_peer(lab, film, **options):
    """A source that searches, and a peer played by hand that has asked for the first chunks."""
    bench = lab.Bench(cwnd=64 * 1024)
    bench.endpoint.search_path_mtu(16_384)
    bench.seed(film)
    peer = lab.HandPeer(bench, film)
    peer.open(**options)
    peer.send(Request(0, 15))
    peer.take()
    peer.send(*(Ack(chunk, chunk, 5) for chunk in range(16)))
    peer.take()
    return bench, peer


def probes(peer):
    """The chunks of the datagrams since the last call that have several."""
    found = [[message.start for message in messages if isinstance(message, Data)] for messages in peer.datagrams()]
    return [chunks for chunks in found if len(chunks) > 1]


def size_of(bench, film):
    (peer,) = bench.endpoint.stats(film.root).peers
    return peer.datagram_size


def test_acks_of_what_was_not_sent_change_nothing(lab, film):
    bench, peer = hand_peer(lab, film)
    peer.send(Ack(64, 900, 5), Have(1000, 1100))
    assert size_of(bench, film) == 1200


def test_a_probe_of_which_only_a_part_is_acknowledged_has_not_arrived(lab, film):
    """A peer whose buffer is too short reads the first chunks of a long datagram."""
    bench, peer = hand_peer(lab, film)
    peer.send(Request(64, 95))
    ((first, second),) = probes(peer)
    peer.send(Ack(first, first, 5))
    assert size_of(bench, film) == 1200
    peer.send(Ack(second, second, 5))
    assert size_of(bench, film) > 2000


def test_a_have_does_not_confirm_a_probe(lab, film):
    """Another peer may have sent the chunk."""
    bench, peer = hand_peer(lab, film)
    peer.send(Request(64, 95))
    (chunks,) = probes(peer)
    for chunk in chunks:
        peer.send(Have(chunk, chunk))
    assert size_of(bench, film) == 1200


def test_a_peer_that_reads_one_chunk_a_datagram_is_not_probed(lab, film):
    """libswift knows no chunk size option, and takes DATA for the last message of its datagram."""
    _, peer = hand_peer(lab, film, chunk_size=None)
    peer.send(Request(64, 95))
    assert not probes(peer)


def test_addresses_that_are_exempt_are_not_searched(lab, film):
    bench = lab.Bench(cwnd=64 * 1024)
    bench.endpoint.search_path_mtu(16_384, exempt=lambda address: address == ("192.0.2.9", 6778))
    bench.seed(film)
    near, far = lab.HandPeer(bench, film, host=9), lab.HandPeer(bench, film, host=8, channel=77)
    for peer in (near, far):
        peer.open()
        peer.send(Have(0, 0), Request(64, 95))
    assert not probes(near)
    assert len(probes(far)) == 1


def test_channels_that_are_open_already_are_searched_too(lab, film):
    bench = lab.Bench(cwnd=64 * 1024)
    bench.seed(film)
    peer = lab.HandPeer(bench, film)
    peer.open()
    bench.endpoint.search_path_mtu(16_384)
    peer.send(Have(0, 0), Request(64, 95))
    assert len(probes(peer)) == 1


@pytest.mark.parametrize("limit", [0, -5, 40, 547, 65_508])
def test_no_datagram_has_such_a_limit(lab, limit):
    with pytest.raises(ValueError, match="from 548 to 65507"):
        lab.Bench().endpoint.search_path_mtu(limit)


def test_the_last_chunk_is_in_no_probe(lab, film):
    """It is shorter, and who reads several chunks a datagram cuts them by the chunk size."""
    _, peer = hand_peer(lab, film)
    peer.send(Request(1480, 1499))
    found = [[message.start for message in messages if isinstance(message, Data)] for messages in peer.datagrams()]
    assert [1499] in found
    assert sorted(chunk for chunks in found for chunk in chunks) == list(range(1480, 1500))


def test_a_probe_that_is_lost_with_others_is_congestion_and_says_nothing_of_the_path(lab, film):
    bench, peer = hand_peer(lab, film)
    for start in (64, 128, 192, 256):
        peer.send(Request(start, start + 15))
        (probe,) = probes(peer)
        bench.now += 0.05
        peer.send(Request(start + 16, start + 31))
        assert not probes(peer)
        bench.now += 0.05
        peer.send(Ack(start + 16, start + 31, 5))
        lost = {message.start for message in peer.take(Data)}
        assert lost == set(range(start, start + 16))
        assert lost.issuperset(probe)
        bench.now += 0.05
        peer.send(Ack(start, start + 15, 5))
    assert len([losses for made in bench.windows.made for losses in made.losses]) == 4


def test_the_kernels_word_on_longer_ones_leaves_a_probe_alone(lab, film):
    bench, peer = hand_peer(lab, film)
    peer.send(Request(64, 95))
    assert len(probes(peer)) == 1
    bench.endpoint.datagram_too_long(peer.address, 16_000, bench.now)
    bench.flush()
    assert not peer.take(Data)
    bench.endpoint.datagram_too_long(peer.address, 2000, bench.now)
    bench.flush()
    assert len(peer.take(Data)) == 2


def pieces(start, stop):
    """Chunks of 1 KiB without hashes."""
    return [(chunk, bytes(25), bytes(1024)) for chunk in range(start, stop)]


def test_that_a_chunk_arrives_which_was_sent_once_more_on_its_own_says_nothing_of_long_datagrams():
    packing = Packing(1045, varies=False)
    packing.search(65_507)
    packing.path.size = 8364
    out = []
    packing.pack(pieces(0, 8), 99, out, may_probe=False)
    assert len(out) == 1
    packing.path.lost(8364, 1.0)
    packing.path.lost(8364, 2.0)
    packing.resent(3)
    packing.arrived([3], [(4.0, 1024, True)])
    assert not packing.lost([0], [(3.0, 1024, False)])
    assert packing.path.size == 1200


def test_a_probe_all_of_whose_chunks_were_sent_once_more_is_waited_for_no_longer():
    packing = Packing(1045, varies=False)
    packing.search(65_507)
    packing.look(0.0)
    out = []
    packing.pack(pieces(0, 2), 99, out, may_probe=True)
    assert packing.on_trial(0, 2) == [0, 1]
    packing.resent(0)
    packing.look(0.0)
    assert not packing.shares
    packing.resent(1)
    packing.look(0.0)
    assert packing.shares


def test_of_more_channels_than_one_burst_serves_the_others_come_first_in_the_next(lab, film):
    bench = lab.Bench(cwnd=1 << 20)
    bench.seed(film)
    peers = [lab.HandPeer(bench, film, host=host, channel=host) for host in range(1, 7)]
    for peer in peers:
        peer.open()
    for peer in peers:
        peer.send(Have(0, 0), Request(64, 1000), flush=False)
    served = []
    for _ in range(3):
        datagrams = bench.endpoint.datagrams_to_send(bench.now)
        served += dict.fromkeys(address for datagram, address in datagrams if len(b"".join(datagram)) > 1000)
    assert served == [peer.address for peer in peers] * 2


def test_a_certificate_longer_than_the_base_may_leave_in_fragments(lab, film):
    bench, peer = hand_peer(lab, film)
    (channel,) = bench.endpoint._channels.values()
    for length in (1000, 1400):
        channel.send_apart(PexResCert(bytes(length)))
    peer.send(Have(17, 17), flush=False)
    fragmentable = {}
    while datagrams := bench.endpoint.datagrams_to_send(bench.now):
        fragmentable.update({len(datagram): bench.endpoint.fragmentable for datagram, _ in datagrams})
    assert fragmentable == {1007: False, 1407: True}
