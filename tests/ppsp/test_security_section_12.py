"""Every threat that section 12 of RFC 7574 names, and that it comes to nothing."""

import random

import pytest

from ledbat import Ledbat
from ppsp import _limits
from ppsp._ranges import RangeSet
from ppsp._upload import Upload
from ppsp.constants import ContentIntegrityProtection
from ppsp.events import ChunkRefused, ChunksVerified, MunroRefused, PeerFound
from ppsp.live import Injector, codec_of
from ppsp.livekeys import LiveSigner
from ppsp.messages import Ack, Cancel, Choke, Data, Handshake, Have, Integrity, PexReq, PexResV4, Request, Unchoke
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange
from ppsp.policies import TitForTat

EPOCH = 1_700_000_000.0


def source(lab, publication, **settings):
    bench = lab.Bench(**settings)
    bench.seed(publication)
    return bench


def fetcher(lab, publication, **settings):
    """A fetcher that has an honest peer, which serves when told to, and a hostile one."""
    bench = lab.Bench(**settings)
    bench.leech(publication, content_size=len(publication.content))
    honest, evil = lab.HandPeer(bench, publication, host=1, channel=1), lab.HandPeer(bench, publication, host=2)
    return bench, honest, evil


def fetch(bench, honest, seconds=10.0):
    """Let the honest peer serve; whether the content is complete then."""
    for _ in range(int(seconds * 20)):
        honest.serve_requests()
        bench.advance(0.05)
    stats = bench.endpoint.stats(honest.publication.root)
    return stats.chunks_held == stats.chunk_count


# 12.1: the handshake


@pytest.mark.parametrize("size", [1, 7162, 1_000_000])
def test_12_1_1_spoofed_handshakes_bring_their_victim_less_than_they_cost(lab, size):
    """Attack 1: DoS amplification. The factor stays below 1, whatever follows and however long one waits."""
    publication = lab.Publication(lab.pattern(size))
    bench = source(lab, publication)
    cost = brought = 0
    for number in range(200):
        victim = lab.HandPeer(bench, publication, channel=number + 1)
        victim.address = (f"203.0.113.{number}", 53)
        for _ in range(3):
            hello = Handshake(victim.channel, lab.options_of(victim.metadata))
            octets = victim.codec.encode(0, [hello, Request(0, 1000)])
            cost += len(octets)
            bench.receive(octets, victim.address)
        bench.advance(15.0)
        brought += sum(len(octets) for octets in victim.raw())
    assert 0 < brought < cost


def test_12_1_2_a_flood_of_half_open_channels_is_bounded_and_passes(lab, seven):
    """Attack 2: state exhaustion. Our own connections go on meanwhile, and newcomers get in when it is over."""
    bench = source(lab, seven)
    for number in range(5000):
        spoofed = lab.HandPeer(bench, seven, channel=number + 1)
        spoofed.address = (f"203.0.{number // 250}.{number % 250}", 53)
        spoofed.hello()
    assert bench.channels <= _limits.MAX_HALF_OPEN
    ours = lab.HandPeer(bench, seven, host=3, channel=3)
    ours.accept()
    assert bench.endpoint.stats(seven.root).peers
    bench.advance(_limits.HALF_OPEN_SECONDS + 1.0)
    assert bench.channels == 1
    assert lab.HandPeer(bench, seven, host=4, channel=4).open()


def test_12_1_2_newcomers_get_in_while_the_flood_goes_on(lab, seven):
    """A hundred spoofed HANDSHAKEs a round trip; who was here before them stays, and what is half open is bounded."""
    bench = source(lab, seven)
    friend = lab.HandPeer(bench, seven, host=1, channel=1)
    friend.open()
    for turn in range(30):
        newcomer = lab.HandPeer(bench, seven, host=100 + turn, channel=9)
        newcomer.hello()
        for number in range(100):
            spoofed = lab.HandPeer(bench, seven, channel=number + 1)
            spoofed.address = (f"203.0.{turn}.{number}", 53)
            spoofed.hello()
        bench.advance(0.1)
        newcomer.remote = newcomer.take()[0].source_channel
        newcomer.send()
    assert len(bench.endpoint.stats(seven.root).peers) == 31
    assert bench.channels <= _limits.MAX_INCOMING_CHANNELS


def test_12_1_2_a_flood_at_many_swarms_leaves_a_newcomer_to_any_of_them_a_place(lab, seven):
    publications = [lab.Publication(lab.pattern(1000 + n)) for n in range(6)]
    bench = source(lab, seven)
    for publication in publications:
        bench.seed(publication)
    for number in range(600):
        spoofed = lab.HandPeer(bench, publications[number % 6], channel=number + 1)
        spoofed.address = (f"203.0.{number // 250}.{number % 250}", 53)
        spoofed.hello()
    assert bench.channels == _limits.MAX_HALF_OPEN
    assert lab.HandPeer(bench, seven, host=4, channel=4).open()


def test_12_1_2_a_flood_at_one_swarm_displaces_nobody_in_another(lab, seven):
    other = lab.Publication(lab.pattern(1000))
    bench = source(lab, seven)
    bench.seed(other)
    newcomer = lab.HandPeer(bench, other, host=4, channel=4)
    newcomer.hello()
    for number in range(600):
        spoofed = lab.HandPeer(bench, seven, channel=number + 1)
        spoofed.address = (f"203.0.{number // 250}.{number % 250}", 53)
        spoofed.hello()
    newcomer.remote = newcomer.take()[0].source_channel
    newcomer.send(Request(0, 0))
    assert newcomer.take(Data)


def test_12_1_3_a_datagram_from_another_address_takes_over_no_channel(lab, seven):
    """Attack 3: who guesses the channel ID still has to receive at the address."""
    bench = source(lab, seven)
    peer = lab.HandPeer(bench, seven)
    peer.open()
    thief = lab.HandPeer(bench, seven, host=66, channel=peer.channel)
    thief.remote = peer.remote
    thief.send(Request(0, 6))
    thief.send(Handshake(0))
    assert thief.raw() == []
    peer.send(Request(0, 0))
    assert peer.take(Data)


# 12.2: peer exchange


def test_12_2_1_a_poisoner_cannot_make_us_flood_the_victims_that_it_names(lab, seven):
    bench = lab.Bench()
    bench.endpoint.add_swarm(seven.metadata(), store=lab.Store(), exchange=PeerExchange(addresses=True))
    evil = lab.HandPeer(bench, seven)
    evil.address = ("198.51.100.1", 6778)
    evil.open()
    for number in range(1000):
        evil.send(PexResV4(bytes([203, 0, number // 250, number % 250]), 53))
    victims = bench.events(PeerFound)
    assert len(victims) <= _limits.MAX_PEX_ANSWER
    for event in victims:
        bench.endpoint.connect(event.swarm_id, (event.host, event.port), bench.now, found_by=event.source)
    bench.flush()
    bench.advance(60.0)
    sent = [len(octets) for event in victims for octets in bench.mail.get((event.host, event.port), ())]
    assert len(sent) <= 9 * _limits.MAX_PEX_ANSWER


def test_12_2_3_peers_that_name_only_each_other_leave_channels_for_those_of_a_tracker(lab, seven):
    """Eclipse: part of the connections is kept for peers that nobody in the swarm has named."""
    bench = lab.Bench()
    bench.leech(seven)
    for gang in range(20):
        for number in range(50):
            address = (f"203.0.{gang}.{number}", 53)
            bench.endpoint.connect(seven.root, address, bench.now, found_by=("198.51.100.1", gang))
    assert bench.channels == _limits.MAX_EXCHANGED_CHANNELS
    assert bench.endpoint.connect(seven.root, ("192.0.2.77", 1), bench.now)


# 12.6: message by message


def test_12_6_1_peers_that_connect_to_us_leave_slots_for_our_own_connections(lab, seven):
    bench = lab.Bench()
    bench.leech(seven)
    for number in range(300):
        evil = lab.HandPeer(bench, seven, channel=number + 1)
        evil.address = (f"203.0.{number // 250}.{number % 250}", 6778)
        evil.hello()
        if answer := evil.take():
            evil.remote = answer[0].source_channel
            evil.send()
    assert bench.channels == _limits.MAX_INCOMING_CHANNELS
    assert bench.endpoint.connect(seven.root, ("192.0.2.77", 1), bench.now)


def test_12_6_2_who_claims_chunks_and_does_not_send_them_is_a_slow_peer(lab, seven):
    bench, honest, liar = fetcher(lab, seven)
    liar.open(liar.have_all())
    assert liar.take(Request)
    honest.open(honest.have_all())
    assert fetch(bench, honest)


def test_12_6_2_who_claims_to_have_nothing_is_served_less(lab):
    """A free-rider: where slots are short, they go to those who give. It starves not, and has everything in the end."""
    publication = lab.Publication(lab.pattern(500 * 1024))

    class Nobody:
        slots = 0

        def serve(self, peers, *, complete, now):
            return ()

    network = lab.Network(seed=1)
    hosts = []
    for number in range(9):
        host = network.host(upload_rate=30_000)
        host.swarm_id, host.store = publication.root, lab.Store(b"" if number else publication.content)
        more = {} if number else {"tree": publication.tree(), "content_size": len(publication.content)}
        policy = Nobody() if number == 8 else TitForTat(3 if number else 2)
        host.endpoint.add_swarm(publication.metadata(), store=host.store, policy=policy, **more)
        hosts.append(host.connect(*hosts))
    network.run_for(20.0)
    *honest, rider = (host.stats.chunks_held for host in hosts[1:])
    assert 0 < rider < 0.8 * sum(honest) / len(honest)
    network.run(lambda: hosts[-1].complete)


def test_12_6_3_a_content_polluter_is_excluded_and_the_content_completes(lab, seven):
    bench, honest, evil = fetcher(lab, seven)
    evil.open(evil.have_all())
    evil.serve(0, payload=bytes(1024), peaks=False)
    assert [event.address for event in bench.events(ChunkRefused)] == [evil.address]
    assert not bench.endpoint.connect(seven.root, evil.address, bench.now)
    honest.open(honest.have_all())
    assert fetch(bench, honest)


def test_12_6_3_unrequested_chunks_are_taken_if_they_are_right_and_cost_no_memory_if_not(lab, seven):
    """Push mode (sections 3.7 and 9.1) is legal; what the network brings unasked has its price, and no more."""
    bench, _, pushing = fetcher(lab, seven)
    pushing.open()
    pushing.serve(3, peaks=False)
    assert [(event.start, event.stop) for event in bench.events(ChunksVerified)] == [(3, 4)]
    for _ in range(100):
        pushing.serve(3, peaks=False)
        pushing.send(pushing.data(6))
    assert bench.endpoint.stats(seven.root).chunks_held == 1


@pytest.mark.parametrize("delay", [0, 2**64 - 1, 2**63, 1])
def test_12_6_4_lies_in_acknowledgements_release_no_flood(lab, delay):
    """Threats ACK.1 and ACK.2: what was never sent is not acknowledged, and no delay sample opens the window."""
    publication = lab.Publication(lab.pattern(2000 * 1024))
    bench = source(lab, publication, controller=lambda size: Ledbat(mss=size))
    evil = lab.HandPeer(bench, publication)
    evil.open()
    evil.send(Request(0, 1999))
    before = len(evil.take(Data))
    for _ in range(100):
        evil.send(Ack(1900, 1999, delay))
    assert before <= 10
    assert len(evil.take(Data)) == 0


def test_12_6_5_bogus_hashes_are_bounded_and_harm_only_their_sender(lab, seven):
    bench, honest, evil = fetcher(lab, seven)
    evil.open(evil.have_all())
    for number in range(200):
        evil.send(*[Integrity(at, at, bytes([number]) * 32) for at in range(7)])
    evil.send(Integrity(4, 7, bytes(32)), Integrity(2, 3, bytes(32)), Integrity(1, 1, bytes(32)), evil.data(0))
    honest.open(honest.have_all())
    assert fetch(bench, honest)
    assert honest.address not in {event.address for event in bench.events(ChunkRefused)}


@pytest.fixture
def viewer(lab):
    """A viewer of a live stream, a peer of it played by hand, and what the source has signed, now and long ago."""
    key = LiveSigner.generate()
    metadata = SwarmMetadata(key.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE)
    bench = lab.Bench(epoch=EPOCH)
    bench.live = bench.endpoint.add_live_swarm(metadata)
    peer = lab.HandPeer.__new__(lab.HandPeer)
    peer.bench, peer.publication, peer.metadata = bench, None, metadata
    peer.address, peer.channel, peer.remote, peer.codec = ("192.0.2.9", 6778), 5, 0, codec_of(metadata)

    def munro(first, age=0.0, *, signer=key):
        injector = Injector(
            metadata
            if signer is key
            else SwarmMetadata(signer.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE),
            signer,
            chunks_per_signature=4,
            first_chunk=first,
        )
        return list(injector.feed(random.Random(first).randbytes(4096), EPOCH + bench.now - age)[0][0].messages)

    peer.open(live_signature_algorithm=metadata.swarm_id[0], live_discard_window=2**32 - 1)
    return bench, peer, munro


def test_12_6_5_a_forged_munro_excludes_its_sender(viewer):
    bench, peer, munro = viewer
    peer.send(*munro(400, signer=LiveSigner.generate()))
    (refused,) = bench.events(MunroRefused)
    assert refused.address == peer.address
    assert bench.live.edge == 0
    assert not bench.endpoint.connect(peer.metadata.swarm_id, peer.address, bench.now)


def test_12_6_5_a_replayed_munro_is_no_place_to_tune_in(viewer):
    """Threat INTEGRITY.2."""
    bench, peer, munro = viewer
    peer.send(*munro(40, age=3600.0))
    assert bench.live.position is None
    peer.send(*munro(400))
    assert bench.live.position == 400
    peer.send(*munro(80, age=3600.0))
    assert bench.live.position == 400


def test_12_6_6_one_peer_that_requests_everything_leaves_the_others_their_share(lab):
    publication = lab.Publication(lab.pattern(4000 * 1024))
    bench = source(lab, publication, upload_rate=200_000)
    greedy, modest = lab.HandPeer(bench, publication, host=1, channel=1), lab.HandPeer(bench, publication, host=2)
    greedy.open()
    for at in range(0, 4000, 10):
        greedy.send(Request(at, at + 9))
    modest.open()
    modest.send(Request(0, 99))
    bench.advance(1.0)
    assert len(modest.take(Data)) >= 0.4 * len(greedy.take(Data))


def test_12_6_6_a_datagram_full_of_requests_for_everything_costs_what_few_cost(lab, monkeypatch):
    """A partial seeder holds content in thousands of pieces; each REQUEST of all would be matched with all of them."""
    publication = lab.Publication(lab.pattern(4000 * 1024))
    bench = lab.Bench(cwnd=1024)
    have = RangeSet((chunk, chunk + 1) for chunk in range(0, 4000, 4))
    bench.endpoint.add_swarm(
        publication.metadata(),
        store=lab.Store(publication.content),
        tree=publication.tree(),
        have=have,
        content_size=len(publication.content),
    )
    peer = lab.HandPeer(bench, publication)
    peer.open()
    request, looked = Upload.request, []

    def counted(*asked):
        looked.append(request(*asked))
        return looked[-1]

    monkeypatch.setattr(Upload, "request", counted)
    peer.send(*[Request(0, 2**31)] * 160, flush=False)
    assert sum(looked) == _limits.MAX_REQUEST_PIECES
    peer.send(Request(0, 2**31), flush=False)
    assert sum(looked) == 2 * _limits.MAX_REQUEST_PIECES


def test_12_6_7_a_cancel_for_what_was_never_requested_is_ignored(lab, seven):
    bench = source(lab, seven)
    peer, other = lab.HandPeer(bench, seven, host=1, channel=1), lab.HandPeer(bench, seven, host=2)
    peer.open(Cancel(0, 6), Cancel(5, 2**31))
    other.open(Request(0, 0))
    assert other.take(Data)
    peer.send(Request(0, 0))
    assert peer.take(Data)


def test_12_6_8_requests_of_a_choked_peer_bring_the_choke_again(lab, seven):
    class Second:
        slots = 1

        def serve(self, peers, *, complete, now):
            return (1,)

    bench = lab.Bench()
    store = lab.Store(seven.content)
    bench.endpoint.add_swarm(seven.metadata(), store=store, tree=seven.tree(), content_size=7162, policy=Second())
    evil, served = lab.HandPeer(bench, seven, host=1, channel=1), lab.HandPeer(bench, seven, host=2)
    evil.open()
    served.open()
    evil.take()
    for _ in range(20):
        evil.send(*[Request(0, 6)] * 50)
        assert evil.take(Choke, Data) == [Choke()]
    served.send(Request(0, 6))
    assert len(served.take(Data)) == 7


def test_12_6_9_an_unchoke_without_a_choke_changes_nothing(lab, seven):
    _, _, peer = fetcher(lab, seven)
    peer.open(peer.have_all())
    asked = peer.take(Request)
    peer.send(*[Unchoke()] * 100)
    assert peer.take(Request, Cancel) == []
    assert asked


def test_12_6_9_who_unchokes_and_does_not_serve_is_a_slow_peer(lab, seven):
    bench, honest, evil = fetcher(lab, seven)
    evil.open(evil.have_all())
    honest.open(honest.have_all())
    for _ in range(20):
        evil.send(Choke())
        evil.send(Unchoke())
        honest.serve_requests()
        bench.advance(0.2)
    assert fetch(bench, honest)


def test_12_6_10_an_answer_that_nobody_asked_for_names_nobody(lab, seven):
    bench = lab.Bench()
    store = lab.Store(seven.content)
    bench.endpoint.add_swarm(
        seven.metadata(),
        store=store,
        tree=seven.tree(),
        content_size=7162,
        exchange=PeerExchange(addresses=True),
    )
    evil = lab.HandPeer(bench, seven)
    evil.open(PexResV4(bytes([203, 0, 113, 1]), 53))
    assert bench.events(PeerFound) == []


def test_12_6_11_spoofed_requests_without_a_handshake_send_nothing_to_anybody(lab, seven):
    bench = lab.Bench()
    bench.endpoint.add_swarm(
        seven.metadata(),
        store=lab.Store(seven.content),
        tree=seven.tree(),
        content_size=7162,
        exchange=PeerExchange(addresses=True),
    )
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.raw()
    victim = lab.HandPeer(bench, seven, host=66, channel=6)
    for channel in (0, peer.remote, 12345):
        victim.send(PexReq(), Request(0, 6), to=channel)
    assert victim.raw() == []
    assert peer.raw() == []


# 12.7: exclusion


def test_12_7_a_bad_peer_is_not_spoken_to_whoever_calls(lab, seven):
    bench, _, evil = fetcher(lab, seven)
    evil.open(evil.have_all())
    evil.serve(0, payload=bytes(1024), peaks=False)
    evil.raw()
    bench.advance(60.0)
    evil.hello()
    evil.send(Have(0, 6))
    assert evil.raw() == []
    assert not bench.endpoint.connect(seven.root, evil.address, bench.now)
