"""CHOKE, UNCHOKE and the upload policy (sections 3.9, 8.12, 12.6.8 and 12.6.9)."""

from types import SimpleNamespace

import pytest

from ppsp._choking import Choking, _Standing
from ppsp._ranges import RangeSet
from ppsp.messages import Ack, Choke, Data, Have, Request, Unchoke
from ppsp.policies import TitForTat
from ppsp.ports import PeerStanding, UploadPolicy


class OneAfterTheOther:
    """Serves the one that the test names."""

    slots = 1
    chosen = 0

    def serve(self, peers, *, complete, now):
        return [at for at, peer in enumerate(peers) if peer.address[0] == f"192.0.2.{self.chosen + 1}"]


def standing(rate=0.0, *, served=False, since=0.0, name="peer"):
    return PeerStanding((name, 1), rate, served, since)


def test_the_default_policy_fits_the_port():
    policy: UploadPolicy = TitForTat()
    assert policy.slots >= 8


def test_a_policy_without_slots_is_refused():
    with pytest.raises(ValueError, match="nobody"):
        TitForTat(0)


def test_who_gives_most_is_served_and_one_slot_goes_round():
    peers = [standing(rate) for rate in (0, 5, 9, 1, 7)] + [standing(0, since=-100.0)]
    served = TitForTat(4).serve(peers, complete=False, now=60.0)
    assert sorted(served) == [1, 2, 4, 5]


def test_slots_that_no_giver_takes_are_not_wasted():
    peers = [standing(9), *[standing(since=float(at)) for at in range(5)]]
    assert sorted(TitForTat(4).serve(peers, complete=False, now=60.0)) == [0, 1, 2, 3]


def test_a_source_serves_all_in_turns_whatever_they_give():
    peers = [standing(9, served=True, since=0.0), standing(0, since=10.0), standing(0, since=20.0)]
    assert sorted(TitForTat(2).serve(peers, complete=True, now=30.0)) == [1, 2]


def test_who_has_just_begun_a_turn_keeps_it():
    peers = [standing(served=True, since=25.0), standing(since=0.0)]
    assert TitForTat(1).serve(peers, complete=True, now=30.0) == [0]


@pytest.mark.parametrize("complete", [False, True])
def test_nobody_waits_for_ever(complete):
    """Of thirty peers with four slots, each is served within thirty turns."""
    policy, waiting = TitForTat(4), dict.fromkeys(range(30), (False, 0.0))
    seen = set()
    for now in range(0, 600, 5):
        peers = [standing(float(at % 3), served=served, since=since) for at, (served, since) in waiting.items()]
        chosen = set(policy.serve(peers, complete=complete, now=float(now)))
        assert len(chosen) == 4
        seen |= chosen
        waiting = {
            at: (at in chosen, since if (at in chosen) == served else float(now))
            for at, (served, since) in waiting.items()
        }
    assert seen == set(range(30))


@pytest.fixture
def crowd(lab, seven):
    """A source with one slot, and two peers that want everything; the first one is served."""
    policy = OneAfterTheOther()
    bench = lab.Bench()
    store = lab.Store(seven.content)
    bench.endpoint.add_swarm(seven.metadata(), store=store, tree=seven.tree(), content_size=7162, policy=policy)
    peers = [lab.HandPeer(bench, seven, host=host, channel=host) for host in (1, 2)]
    for peer in peers:
        peer.open()
    return bench, policy, *peers


def test_while_there_are_slots_for_all_nobody_is_choked(lab, seven):
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open()
    bench.advance(60.0)
    assert peer.take(Choke, Unchoke) == []


def test_who_is_not_served_is_choked(crowd):
    _, _, served, choked = crowd
    assert choked.take(Choke, Unchoke) == [Choke()]
    assert served.take(Choke, Unchoke) == []


def test_a_request_while_choking_brings_the_choke_again_and_no_data(crowd):
    """Section 12.6.8."""
    bench, _, _, choked = crowd
    choked.take()
    for _ in range(3):
        choked.send(Request(0, 6), Request(1, 2))
        assert choked.take(Choke, Data) == [Choke()]
    bench.advance(3.0)
    assert choked.take(Data) == []


def test_requests_from_before_a_choke_are_discarded(lab, crowd):
    """Section 3.9: "SHOULD discard old requests"; only new ones count after an UNCHOKE."""
    bench, policy, first, _ = crowd
    window = bench.windows.made[0]
    window.cwnd, window._cto = 0, 100.0  # one chunk leaves, and is not lost
    first.send(Request(0, 6))
    assert [message.start for message in first.take(Data)] == [0]
    policy.chosen = 1
    bench.advance(6.0)
    heard = first.take()
    assert Choke() in heard
    window.cwnd = 1 << 20
    first.send(Ack(0, 0, 1))
    policy.chosen = 0
    bench.advance(6.0)
    heard = first.take()
    assert Unchoke() in heard
    assert not [message for message in heard if isinstance(message, Data)]
    first.send(Request(5, 5))
    assert [message.start for message in first.take(Data)] == [5]


def test_an_unchoke_is_said_again_until_a_request_comes(crowd):
    bench, policy, _, second = crowd
    second.take()
    policy.chosen = 1
    bench.advance(6.5)
    assert len(second.take(Unchoke)) == 2
    second.send(Request(0, 0))
    second.take()
    bench.advance(30.0)
    assert second.take(Unchoke) == []


@pytest.mark.parametrize(("speak", "share"), [(False, 0.8), (True, 0.5)])
def test_who_makes_nothing_of_its_turn_loses_it_to_those_who_wait(lab, seven, speak, share):
    """A dead peer, or one that only blocks a slot, has two seconds of it and not fifteen."""
    bench = lab.Bench()
    store, policy = lab.Store(seven.content), TitForTat(1)
    bench.endpoint.add_swarm(seven.metadata(), store=store, tree=seven.tree(), content_size=7162, policy=policy)
    honest, *idle = (lab.HandPeer(bench, seven, host=host, channel=host) for host in (4, 1, 2, 3))
    for peer in (*idle, honest):
        peer.open()
    choked, served = True, 0
    for _ in range(480):
        bench.advance(0.25)
        for message in honest.take(Choke, Unchoke):
            choked = message == Choke()
        if not choked:
            served += 1
            honest.send(Request(0, 0))
        for peer in idle if speak else ():
            peer.send()
    assert served > 480 * share


def test_a_peer_that_needs_nothing_more_gives_up_its_slot_at_once(crowd):
    bench, _, first, second = crowd
    second.take()
    first.send(Have(0, 6))
    bench.flush()
    assert second.take(Choke, Unchoke) == [Unchoke()]


def test_a_slot_of_a_peer_that_leaves_is_given_away_at_once(crowd):
    bench, _, first, second = crowd
    second.take()
    first.send_raw(bytes.fromhex("0000000000ff"))
    bench.flush()
    assert second.take(Choke, Unchoke) == [Unchoke()]


def test_a_peer_that_takes_no_choke_is_not_sent_one_and_waits_its_turn(lab, crowd, seven):
    """Section 7.10."""
    bench, policy, _, _ = crowd
    third = lab.HandPeer(bench, seven, host=3, channel=3)
    third.open(supported_messages=frozenset(range(10)))
    third.send(Request(0, 0))
    assert third.take(Choke, Unchoke, Data) == []
    policy.chosen = 2
    bench.advance(6.0)
    third.send(Request(0, 0))
    assert [type(message) for message in third.take(Choke, Unchoke, Data)] == [Data]


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_swarm_with_more_peers_than_slots_completes_at_every_peer(lab, loss):
    publication = lab.Publication(lab.pattern(200 * 1024))
    network = lab.Network(seed=5, loss=loss)
    source = network.host(upload_rate=400_000)
    joined(lab, source, publication, TitForTat(2), complete=True)
    peers = [joined(lab, network.host(upload_rate=400_000), publication, TitForTat(2)) for _ in range(7)]
    for at, peer in enumerate(peers):
        peer.connect(source, *peers[:at])
    network.run(lambda: all(peer.complete for peer in peers), seconds=200.0)


def joined(lab, host, publication, policy, *, complete=False):
    """Put a host into the swarm with this policy."""
    host.swarm_id = publication.root
    host.store = lab.Store(publication.content if complete else b"")
    more = {"tree": publication.tree(), "content_size": len(publication.content)} if complete else {}
    host.endpoint.add_swarm(publication.metadata(), store=host.store, policy=policy, **more)
    return host


class _Peer:
    """As much of a channel as a review looks at."""

    heard_unchoke = True
    choking = False
    last_received = 0.0

    def __init__(self, name, peer_have):
        self.address = (name, 1)
        self.peer_have = peer_have
        self.download = self.upload = self
        self.octets_received = 0

    def understands(self, kind):
        return True

    def send(self, messages):
        pass

    def forget(self):
        pass


class _Held:
    """As much of the content."""

    chunk_count = 1_000_000

    def __init__(self):
        self.have = RangeSet((block * 128, block * 128 + 64) for block in range(3_000))


class _Counting(RangeSet):
    """A set that counts how often it is compared."""

    looks = 0

    def covers(self, start, stop):
        _Counting.looks += 1
        return super().covers(start, stop)


def test_a_peer_that_lacks_next_to_nothing_is_not_compared_with_all_that_is_held():
    """A hundred peers that claim all but one chunk, each of which would cost a look at thousands of ranges."""
    held = _Held()
    choking = Choking(OneAfterTheOther(), held)
    peers = [_Peer(f"198.51.100.{at}", _Counting([(0, 999_999)])) for at in range(100)]
    _Counting.looks = 0
    choking.review(peers, 0.0)
    assert _Counting.looks <= 100 * 64
    for now in range(1, 60):
        choking.review(peers, float(now))
    assert not any(peer.choking for peer in peers)


@pytest.mark.parametrize("missing", [0, 64 * 128, 2_999 * 128 + 63])
def test_what_a_peer_lacks_is_found_wherever_it_is(missing):
    held = _Held()
    choking = Choking(OneAfterTheOther(), held)
    rest = RangeSet([(0, missing), (missing + 1, 999_999)])
    peers = [_Peer("192.0.2.9", rest), _Peer("192.0.2.8", RangeSet())]
    for now in range(60):
        choking.review(peers, float(now))
    assert [peer.choking for peer in peers] == [True, True]
    rest.add(missing, missing + 1)
    for now in range(60, 120):
        choking.review(peers, float(now))
    assert [peer.choking for peer in peers] == [False, False]  # the other has the only slot, which nobody else wants


def test_of_scattered_chunks_what_comes_later_is_compared_too():
    """A look compares a part; once all is compared, the next begins at the front again."""
    have = RangeSet([(chunk, chunk + 1) for chunk in range(0, 200, 2)])
    peer_have = RangeSet([*have, (600, 700)])
    channel = SimpleNamespace(peer_have=peer_have)
    choking = Choking(None, SimpleNamespace(have=have, chunk_count=1000))
    standing = _Standing(0.0, 0.0, 0)
    assert [choking._lacks_something(channel, standing) for _ in range(2)] == [True, False]
    have.add(301, 302)
    assert [choking._lacks_something(channel, standing) for _ in range(2)] == [False, True]
    peer_have.add(301, 302)
    assert not choking._lacks_something(channel, standing)
    have.add(1, 2)
    assert choking._lacks_something(channel, standing)
