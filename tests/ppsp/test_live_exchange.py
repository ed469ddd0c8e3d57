"""Peer exchange in live swarms (RFC 7574 sections 3.10, 8.13 and 12.2), over a simulated network and by hand."""

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsp import _limits
from ppsp._ranges import RangeSet
from ppsp.constants import ContentIntegrityProtection, MessageType
from ppsp.events import PeerDisconnected, PeerFound
from ppsp.live import codec_of
from ppsp.livekeys import LiveSigner
from ppsp.membership import MembershipIssuer, MembershipVerifier
from ppsp.messages import PexReq, PexResCert, PexResV4, PexResV6
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange

KEY = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE)
EPOCH = 1_700_000_000.0
NOW = EPOCH + 1000.0
ADDRESSES = PeerExchange(addresses=True)
ISSUER = MembershipIssuer.generate(random.Random(1).randbytes)
VERIFIER = MembershipVerifier(ISSUER.public_key)
CERTIFIED = PeerExchange(verifier=VERIFIER)
# 2 Mbit/s, in pieces of 20 ms.
RATE, STEP = 250_000, 0.02


class Broadcast:
    """A source, and viewers that connect to whom they are told of, in virtual time."""

    def __init__(self, lab, exchange, *, source_exchange=None, step=STEP, rate=RATE):
        self.step, self.piece = step, int(rate * step)
        self.network = lab.Network(seed=3)
        self.chance = random.Random(3)
        self.exchange = exchange
        self.viewers = []
        self.source = self.host(source_exchange or exchange, signer=KEY)

    def host(self, exchange, **settings):
        host = self.network.host(epoch=EPOCH)
        host.swarm_id = METADATA.swarm_id
        host.live = host.endpoint.add_live_swarm(METADATA, exchange=exchange, **settings)
        host.got, host.heard = RangeSet(), 0
        return host

    def viewer(self, *others, exchange=None):
        host = self.host(exchange or self.exchange)
        self.viewers.append(host)
        return host.connect(*others)

    def run(self, seconds):
        for _ in range(round(seconds / self.step)):
            self.source.live.publish(self.chance.randbytes(self.piece), self.network.now)
            self.source.flush()
            self.network.run_for(self.step)
            for host in self.viewers:
                if host.alive:
                    self.turn(host)
        return self

    def turn(self, host):
        """What an application does: read, and call those who are named."""
        found = host.live.read(self.network.now)
        if found:
            host.got.add(host.live.position - len(found), host.live.position)
        news = host.seen(PeerFound)[host.heard :]
        host.heard += len(news)
        for event in news:
            address = (event.host, event.port)
            host.endpoint.connect(event.swarm_id, address, self.network.now, found_by=event.source)
        host.flush()

    def behind(self, host):
        """Chunks between what a viewer has seen and what there is."""
        return self.source.live.edge - host.live.position


def addresses(host):
    return {peer.address for peer in host.stats.peers}


def held_together(host):
    """What a viewer saw is one run, without a hole."""
    return len(list(host.got)) == 1 and host.live.skipped == 0


# Swarms


def test_a_viewer_that_knows_one_peer_finds_the_source_and_the_others_and_outlives_that_peer(lab):
    cast = Broadcast(lab, ADDRESSES)
    first = cast.viewer(cast.source)
    second = cast.viewer(first)
    cast.run(2.0)
    last = cast.viewer(second)
    cast.run(2.0)
    assert addresses(last) == {cast.source.address, first.address, second.address}
    assert {peer.address for peer in last.stats.peers if peer.by_exchange} == {cast.source.address, first.address}
    second.kill()
    cast.run(6.0)
    first.kill()
    cast.run(6.0)
    assert held_together(last)
    assert cast.behind(last) < 200
    assert last.stats.exchange.asked >= 2
    assert last.stats.exchange.told >= 2
    assert cast.source.stats.exchange.asked == 0  # a source needs nobody


def test_who_comes_late_asks_for_others_until_it_has_all_up_to_the_end(lab):
    """The source is gone, and the only peer is slow: another one would help even after the end of the broadcast."""
    cast = Broadcast(lab, ADDRESSES)
    first = cast.viewer(cast.source)
    cast.run(3.0)
    cast.source.live.end(cast.network.now)
    cast.source.flush()
    cast.network.run_for(2.0)
    cast.source.kill()
    first.endpoint.set_upload_rate(10_000)
    last = cast.host(ADDRESSES, behind=400).connect(first)
    asked = []
    for _ in range(8):
        cast.network.run_for(10.0)
        cast.turn(last)
        asked.append((last.stats.exchange.asked, last.live.ended))
    before = [count for count, ended in asked if not ended]
    assert before[-1] >= 3
    assert asked[-1] == (asked[len(before)][0], True)


def test_without_exchange_a_viewer_that_knows_one_peer_ends_with_it(lab):
    cast = Broadcast(lab, None)
    first = cast.viewer(cast.source)
    last = cast.viewer(first)
    cast.run(2.0)
    assert addresses(last) == {first.address}
    first.kill()
    cast.run(6.0)
    assert cast.behind(last) > 500


def test_members_with_certificates_find_each_other_and_those_without_are_not_named(lab):
    """Section 12.2.2: each passes on its own certificate, and those of the peers that it is connected to."""
    hosts = [f"10.0.0.{number}" for number in (1, 2)]
    certified = [
        PeerExchange(verifier=VERIFIER, certificate=ISSUER.issue(METADATA.swarm_id, host, 6778, NOW)) for host in hosts
    ]
    cast = Broadcast(lab, CERTIFIED, source_exchange=certified[0])
    first = cast.viewer(cast.source, exchange=certified[1])
    stranger = cast.viewer(cast.source, first)
    cast.run(2.0)
    last = cast.viewer(first)
    cast.run(3.0)
    assert addresses(last) == {cast.source.address, first.address}
    assert stranger.address not in addresses(last)
    assert addresses(stranger) == {cast.source.address, first.address}
    first.kill()
    cast.run(6.0)
    assert held_together(last)
    assert cast.behind(last) < 200


def test_a_poisoned_list_costs_a_viewer_little_and_its_stream_nothing(lab):
    """Section 12.2: a member names peers that are none; each gets nine small datagrams, and they are few in all."""
    cast = Broadcast(lab, ADDRESSES, step=0.2, rate=RATE // 10)
    first = cast.viewer(cast.source)
    cast.run(3.0)
    codec, carry = codec_of(METADATA), cast.network.carry
    poisoned = random.Random(5)

    def poison(sender, address, octets):
        messages, error = codec.decode(octets)
        if sender is first and error is None and any(isinstance(message, PexResV4) for message in messages):
            kept = [message for message in messages if not isinstance(message, PexResV4)]
            bad = [PexResV4(bytes([10, 66, *poisoned.randbytes(2)]), 53) for _ in range(40)]
            octets = codec.encode(int.from_bytes(octets[:4], "big"), [*kept, *bad])
        carry(sender, address, octets)

    cast.network.carry = poison
    cast.network.record = []
    last = cast.viewer(first, cast.source)
    cast.run(100.0)
    victims = [entry for entry in cast.network.record if entry[2][0].startswith("10.66.")]
    assert {sender for _, sender, _, _ in victims} == {last.address}
    assert len({address for _, _, address, _ in victims}) == _limits.MAX_PEX_VAIN  # then it is not believed any more
    assert len(victims) <= 9 * _limits.MAX_PEX_VAIN
    assert held_together(last)
    assert last.stats.exchange.refused > 40 - _limits.MAX_PEX_ANSWER
    assert len(last.seen(PeerDisconnected)) == _limits.MAX_PEX_VAIN  # given up, and room for others again


# By hand


@pytest.fixture(scope="module")
def hand(lab):
    """A live endpoint, and peers at addresses of our choice that speak with it."""

    class Publication:
        hash_size = METADATA.hash_size

    class Hand:
        def __init__(self, exchange, **settings):
            self.bench = lab.Bench(epoch=EPOCH)
            self.live = self.bench.endpoint.add_live_swarm(METADATA, exchange=exchange, **settings)
            self.channel = 0

        def at(self, host, port=6778):
            self.channel += 1
            peer = lab.HandPeer(self.bench, Publication, channel=self.channel, metadata=METADATA)
            peer.address, peer.codec = (host, port), codec_of(METADATA)
            peer.answer, *_ = peer.open(live_signature_algorithm=METADATA.signature_algorithm, live_discard_window=1024)
            return peer

        @property
        def figures(self):
            return self.bench.endpoint.stats(METADATA.swarm_id).exchange

    return Hand


@pytest.mark.parametrize(
    ("exchange", "settings", "asks"),
    [
        (ADDRESSES, {}, True),
        (ADDRESSES, {"signer": KEY}, False),
        (CERTIFIED, {}, True),
        (CERTIFIED, {"signer": KEY}, True),  # for certificates, which it can pass on
        (None, {}, False),
    ],
    ids=["viewer", "source", "viewer certified", "source certified", "without"],
)
def test_who_seeks_peers_asks_for_them_and_says_so_in_the_handshake(hand, exchange, settings, asks):
    made = hand(exchange, **settings)
    peer = made.at("198.51.100.1")
    assert bool(peer.take(PexReq)) is asks
    assert made.figures.asked == asks
    assert (MessageType.PEX_REQ in peer.answer.options.supported_messages) is (exchange is not None)


def test_a_flood_of_questions_is_answered_once_and_counted(hand):
    made = hand(ADDRESSES)
    made.at("203.0.113.5")
    evil = made.at("198.51.100.1")
    evil.take()
    for _ in range(1000):
        evil.send(*[PexReq()] * 50, flush=False)
    made.bench.flush()
    assert len(evil.take(PexResV4)) == 1
    assert (made.figures.answered, made.figures.named) == (1, 1)
    assert made.figures.refused == 50 * 1000 - 1


def test_answers_that_nobody_asked_for_are_counted_and_nothing_else(hand):
    """The source asks for no addresses; a viewer takes one answer."""
    source = hand(ADDRESSES, signer=KEY)
    viewer = hand(ADDRESSES)
    for made, taken in ((source, 0), (viewer, _limits.MAX_PEX_ANSWER)):
        evil = made.at("198.51.100.1")
        for number in range(1000):
            evil.send(PexResV4(bytes([203, 0, number // 250, number % 250]), 53))
        assert len(made.bench.events(PeerFound)) == made.figures.told == taken
        assert made.figures.refused == 1000 - taken


def test_an_address_inside_is_told_to_nobody_outside(hand):
    """Section 8.13."""
    made = hand(ADDRESSES)
    for host in ("10.0.0.5", "127.0.0.5", "203.0.113.5"):
        made.at(host)
    for host, told in (("198.51.100.1", 1), ("10.0.0.9", 2), ("127.0.0.9", 3)):
        peer = made.at(host, 99)
        peer.take()
        peer.send(PexReq())
        hosts = {message.host for message in peer.take(PexResV4)} - {"198.51.100.1", "10.0.0.9"}
        assert len(hosts) == told


OTHER_SWARM = bytes(65)
STRANGER = MembershipIssuer.generate(random.Random(2).randbytes)
BAD_CERTIFICATES = {
    "expired": lambda: ISSUER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW - 90_000.0),
    "of the future": lambda: ISSUER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW + 9000.0),
    "of another swarm": lambda: ISSUER.issue(OTHER_SWARM, "203.0.113.5", 6778, NOW),
    "of another issuer": lambda: STRANGER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW),
    "for an address inside": lambda: ISSUER.issue(METADATA.swarm_id, "10.0.0.5", 6778, NOW),
    "damaged": lambda: ISSUER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW)[:-1] + b"\0",
    "no certificate": lambda: b"\x30\x03\x02\x01\x00",
}


@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_certificate_that_proves_nothing_here_leads_nowhere(hand, kind):
    made = hand(CERTIFIED)
    evil, other = made.at("198.51.100.1"), made.at("198.51.100.2")
    evil.send(PexResCert(BAD_CERTIFICATES[kind]()))
    assert made.bench.events(PeerFound) == []
    assert (made.figures.told, made.figures.refused) == (0, 1)
    other.take()
    other.send(PexReq())
    assert other.take(PexResCert) == []  # nor is it passed on


def test_the_certificate_of_another_does_not_make_us_pass_its_sender_off_as_that_member(hand):
    """Replayed: it leads to its member, which is one; the sender's address is certified by nothing."""
    made = hand(CERTIFIED)
    evil, asking = made.at("198.51.100.1"), made.at("198.51.100.2")
    stolen = ISSUER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW)
    evil.send(*[PexResCert(stolen)])
    assert [(found.host, found.port) for found in made.bench.events(PeerFound)] == [("203.0.113.5", 6778)]
    asking.take()
    asking.send(PexReq())
    assert asking.take(PexResCert) == []


def test_a_certificate_that_is_sent_again_and_again_is_checked_a_few_times_and_calls_its_member_once(hand):
    made = hand(CERTIFIED)
    evil = made.at("198.51.100.1")
    stolen = ISSUER.issue(METADATA.swarm_id, "203.0.113.5", 6778, NOW)
    for _ in range(100):
        evil.send(PexResCert(stolen))
    found = made.bench.events(PeerFound)
    assert len(found) == made.figures.told == _limits.MAX_PEX_CERTIFICATES + 1
    assert made.figures.refused == 100 - len(found)
    called = [
        made.bench.endpoint.connect(event.swarm_id, (event.host, event.port), made.bench.now, found_by=event.source)
        for event in found
    ]
    assert called.count(True) == 1


@given(data=st.data())
@settings(max_examples=60)
def test_any_questions_and_answers_raise_nothing_and_name_few(hand, data):
    """With certificates, addresses or neither, at a source or a viewer."""
    exchange = data.draw(st.sampled_from([ADDRESSES, attrs.evolve(CERTIFIED, certificate=b"ours"), None]))
    made = hand(exchange, **data.draw(st.sampled_from([{}, {"signer": KEY}])))
    peers = [made.at(host) for host in ("198.51.100.1", "10.0.0.1", "127.0.0.1")]
    messages = st.one_of(
        st.builds(PexReq),
        st.builds(PexResV4, st.binary(min_size=4, max_size=4), st.integers(0, 65535)),
        st.builds(PexResV6, st.binary(min_size=16, max_size=16), st.integers(0, 65535)),
        st.builds(PexResCert, st.binary(max_size=60)),
    )
    for drawn in data.draw(st.lists(messages, max_size=12)):
        data.draw(st.sampled_from(peers)).send(drawn)
        made.bench.advance(data.draw(st.sampled_from([0.0, 11.0, 70.0])))
    figures = made.figures
    assert len(made.bench.events(PeerFound)) == figures.told <= 12
    assert figures.refused <= 12


def test_plain_addresses_lead_nowhere_where_certificates_are_asked_for(hand):
    """Section 3.10.1: PEX_RESv4 and PEX_RESv6 are for benign networks."""
    made = hand(CERTIFIED)
    evil = made.at("198.51.100.1")
    evil.send(PexResV4(bytes([203, 0, 113, 5]), 6778))
    assert made.bench.events(PeerFound) == []
    assert made.figures.refused == 1
