"""Peer address exchange (sections 3.10 and 8.13): what is asked, answered and believed."""

import ipaddress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ppsp_exchange import ADDRESSES, VERIFIER, at, having_asked, node

from ppsp import _limits
from ppsp.constants import MessageType
from ppsp.events import DatagramDropped, PeerFound
from ppsp.messages import Have, PexReq, PexResCert, PexResV4, PexResV6
from ppsp.pex import PeerExchange

PEX = (PexReq, PexResV4, PexResV6, PexResCert)


def named(peer):
    """The addresses in what the peer was sent since the last call."""
    found = peer.take(PexResV4, PexResV6)
    return {(message.host, message.port) for message in found}


@pytest.fixture
def asked(lab, seven):
    """A fetcher that has asked one peer, which is outside unless told otherwise, for others."""
    return partial(having_asked, lab, seven)


# What is asked and answered


def test_without_a_decision_nothing_is_asked_answered_or_announced(lab, seven):
    bench = node(lab, seven, None, complete=False)
    peer, _ = at(lab, bench, seven, "10.0.0.1"), at(lab, bench, seven, "10.0.0.2")
    peer.send(PexReq(), PexResV4(bytes([10, 0, 0, 3]), 5))
    assert peer.take(*PEX) == []
    assert bench.events(PeerFound, DatagramDropped) == []


@pytest.mark.parametrize(
    ("exchange", "kinds"),
    [(ADDRESSES, {5, 6, 12}), (PeerExchange(verifier=VERIFIER), {6, 13}), (None, set())],
)
def test_the_handshake_tells_which_messages_are_taken(lab, seven, exchange, kinds):
    """Section 7.10."""
    bench = node(lab, seven, exchange)
    answer = lab.HandPeer(bench, seven).open()
    assert answer[0].options.supported_messages & {5, 6, 12, 13} == kinds


def test_a_peer_names_the_others_by_both_families(lab, seven):
    bench = node(lab, seven)
    asking = at(lab, bench, seven, "198.51.100.1")
    at(lab, bench, seven, "203.0.113.5", 1234)
    at(lab, bench, seven, "2001:db8::7", 4321)
    at(lab, bench, seven, "::ffff:203.0.113.6", 99)
    asking.send(PexReq())
    assert named(asking) == {("203.0.113.5", 1234), ("2001:db8::7", 4321), ("203.0.113.6", 99)}


@pytest.mark.parametrize(
    ("left_out", "told"), [(MessageType.PEX_RESV4, "2001:db8::7"), (MessageType.PEX_RESV6, "203.0.113.5")]
)
def test_nobody_is_named_in_a_message_that_the_peer_does_not_take(lab, seven, left_out, told):
    """Section 7.10: a peer that takes certificates alone, or one family, says so in its HANDSHAKE."""
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5", 1)
    at(lab, bench, seven, "2001:db8::7", 1)
    asking = lab.HandPeer(bench, seven, channel=7)
    asking.address = ("198.51.100.1", 6778)
    asking.open(supported_messages=frozenset(MessageType) - {left_out})
    asking.send(PexReq())
    assert named(asking) == {(told, 1)}


def test_only_peers_heard_of_in_the_last_minute_are_named(lab, seven):
    """Section 3.10.1."""
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5")
    bench.advance(61.0)
    at(lab, bench, seven, "203.0.113.6")
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == {("203.0.113.6", 6778)}


def test_a_peer_whose_handshake_is_not_complete_is_not_named(lab, seven):
    bench = node(lab, seven)
    half_open = lab.HandPeer(bench, seven, channel=2)
    half_open.hello()
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == set()


@pytest.mark.parametrize(
    ("asker", "told"),
    [
        ("198.51.100.1", {"203.0.113.5", "2001:db8::7"}),
        ("192.168.1.1", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1"}),
        ("fd12::1", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1"}),
        ("127.0.0.9", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1", "127.0.0.1"}),
    ],
)
def test_internal_addresses_are_not_told_outside(lab, seven, asker, told):
    """Section 8.13: "the PEX_RES* messages sent in reply MUST NOT contain such addresses"."""
    bench = node(lab, seven)
    for host in ("203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1", "127.0.0.1"):
        at(lab, bench, seven, host)
    asking = at(lab, bench, seven, asker)
    asking.send(PexReq())
    assert {host for host, _ in named(asking)} == told


@pytest.mark.parametrize("asker", ["64:ff9b::c633:6401", "240.0.0.1", "::198.51.100.1"])
def test_who_asks_from_a_reserved_address_is_outside(lab, seven, asker):
    """Section 8.13. A host that has IPv6 alone sees the IPv4 Internet in 64:ff9b::/96 (RFC 6052)."""
    bench = node(lab, seven, complete=False)
    for host in ("203.0.113.5", "10.1.2.3", "fd00::1", "127.0.0.1"):
        at(lab, bench, seven, host)
    asking = at(lab, bench, seven, asker)
    bench.events()
    asking.send(PexReq(), PexResV4(bytes([10, 0, 0, 5]), 22), PexResV4(bytes([203, 0, 113, 9]), 22))
    assert {host for host, _ in named(asking)} == {"203.0.113.5"}
    assert [event.host for event in bench.events(PeerFound)] == ["203.0.113.9"]


def test_an_answer_is_bounded_and_others_are_named_the_next_time(lab, seven):
    bench = node(lab, seven)
    for number in range(40):
        at(lab, bench, seven, f"203.0.113.{number}", channel=number + 10)
    asking = at(lab, bench, seven, "198.51.100.1")
    seen = set()
    for _ in range(3):
        asking.send(PexReq())
        found = named(asking)
        assert len(found) == _limits.MAX_PEX_ANSWER
        assert not found & seen or len(seen) > 20
        seen |= found
        bench.advance(11.0)
    assert len(seen) == 40


@pytest.mark.parametrize("count", [16, 31, 32])
def test_each_of_two_that_ask_in_turn_is_told_of_everybody(lab, seven, count):
    """However many there are: 32 are two answers' worth, and each of the two would be told of one half for ever."""
    bench = node(lab, seven)
    for number in range(count):
        at(lab, bench, seven, f"203.0.113.{number}", channel=number + 10)
    asking = [at(lab, bench, seven, f"198.51.100.{number}", channel=number) for number in (1, 2)]
    seen = {peer: set() for peer in asking}
    for _ in range(3):
        for peer in asking:
            peer.send(PexReq())
            seen[peer] |= {host for host, _ in named(peer) if host.startswith("203.")}
        bench.advance(11.0)
    assert [len(found) for found in seen.values()] == [count, count]


def test_who_asks_again_and_again_is_answered_now_and_then(lab, seven):
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5")
    asking = at(lab, bench, seven, "198.51.100.1")
    for _ in range(100):
        asking.send(PexReq())
    assert len(asking.take(PexResV4)) == 1


def test_addresses_that_are_no_ip_addresses_are_left_out(lab, seven):
    bench = node(lab, seven)
    other = lab.HandPeer(bench, seven, channel=3)
    other.address = "a name"
    other.open()
    other.send(PexReq())
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == set()
    assert other.take(*PEX) == []


# What is believed


def test_a_named_peer_is_reported_with_who_named_it(asked):
    bench, peer = asked()
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 1234), PexResV6(ipaddress.ip_address("2001:db8::7").packed, 4321))
    found = bench.events(PeerFound)
    assert [(event.host, event.port) for event in found] == [("203.0.113.5", 1234), ("2001:db8::7", 4321)]
    assert {event.source for event in found} == {peer.address}


def test_what_was_not_asked_for_is_ignored(lab, seven):
    """A complete peer asks for nothing."""
    bench = node(lab, seven)
    peer = at(lab, bench, seven, "198.51.100.1")
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 1234))
    assert peer.take(PexReq) == []
    assert bench.events(PeerFound) == []


def test_more_than_an_answer_holds_is_ignored(asked):
    bench, peer = asked()
    for number in range(100):
        peer.send(PexResV4(bytes([203, 0, 113, number]), 1234))
    assert len(bench.events(PeerFound)) == _limits.MAX_PEX_ANSWER


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.168.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"]
)
def test_a_peer_outside_cannot_make_us_knock_at_doors_inside(asked, host):
    bench, peer = asked()
    peer.send(PexResV4(ipaddress.ip_address(host).packed, 80))
    assert bench.events(PeerFound) == []


@pytest.mark.parametrize(("host", "taken"), [("10.0.0.1", True), ("127.0.0.1", False), ("224.0.0.1", False)])
def test_a_peer_inside_may_name_others_inside(asked, host, taken):
    bench, peer = asked("10.9.9.9")
    peer.send(PexResV4(ipaddress.ip_address(host).packed, 80))
    assert bool(bench.events(PeerFound)) is taken


def test_port_0_is_nobodys(asked):
    bench, peer = asked()
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 0))
    assert bench.events(PeerFound) == []


@pytest.mark.parametrize(("others", "seconds"), [(0, 15), (3, 60)], ids=["alone with it", "in company"])
def test_a_peer_is_asked_again_after_a_while_and_not_before(lab, seven, asked, others, seconds):
    """Who has nobody else asks more often: when that peer leaves nobody is left to be asked."""
    bench, peer = asked()
    for number in range(others):
        at(lab, bench, seven, "203.0.113.5", 1000 + number, channel=number + 10)
    for _ in range(seconds // 5 - 1):
        bench.advance(5.0)
        peer.send(Have(0, 0))
    assert peer.take(PexReq) == []
    bench.advance(6.0)
    peer.send(Have(0, 0))
    assert peer.take(PexReq) == [PexReq()]


def test_one_peer_fills_only_a_part_of_the_channels(lab, seven, asked):
    """Section 12.2.3: part of the connections is kept for peers that trackers name."""
    bench, peer = asked()
    root = seven.root

    def connect(number, source):
        return bench.endpoint.connect(root, (f"203.0.{number // 250}.{number % 250}", 1), bench.now, found_by=source)

    assert sum(connect(number, peer.address) for number in range(50)) == _limits.MAX_EXCHANGED_BY_ONE
    more = sum(connect(number, ("198.51.100.9", number)) for number in range(50, 300))
    assert more == _limits.MAX_EXCHANGED_CHANNELS - _limits.MAX_EXCHANGED_BY_ONE
    assert bench.endpoint.connect(root, ("203.0.200.1", 1), bench.now)


def test_who_names_peers_that_never_answer_is_not_believed_for_long_and_one_that_answers_counts(lab, seven, asked):
    bench, peer = asked()

    def name(first, count):
        """Name so many peers, have them called, and wait until they are given up."""
        peer.send(*[PexResV4(bytes([203, 0, 113, first + number]), 1) for number in range(count)])
        found = bench.events(PeerFound)
        for event in found:
            bench.endpoint.connect(event.swarm_id, (event.host, event.port), bench.now, found_by=event.source)
        bench.flush()
        return len(found)

    def given_up():
        for _ in range(7):
            bench.advance(5.0)
            peer.send(Have(0, 0))

    believed = [name(0, 16)]
    given_up()
    believed.append(name(16, 16))
    answers = lab.HandPeer(bench, seven, channel=99)
    answers.address = ("203.0.113.31", 1)
    answers.heard()
    answers.reply()
    for first in (
        32,
        48,
        64,
    ):  # before the first of these 15 were in vain since the one that answered, then 31, then 47
        given_up()
        believed.append(name(first, 16))
    assert believed == [16, 16, 16, 16, 0]


@given(data=st.data())
@settings(max_examples=150)
def test_any_answers_raise_nothing(lab, seven, data):
    """With both kinds of exchange: from before the handshake to long after it."""
    settings_of = PeerExchange(addresses=True, verifier=VERIFIER, certificate=b"ours")
    bench = node(lab, seven, settings_of, complete=data.draw(st.booleans()))
    peer = lab.HandPeer(bench, seven)
    peer.address = data.draw(
        st.sampled_from([("198.51.100.1", 5), ("fe80::1%eth0", 5, 0, 2), ("::1", 0, 0, 0), "x", 7])
    )
    peer.open()
    messages = st.one_of(
        st.builds(PexReq),
        st.builds(PexResV4, st.binary(min_size=4, max_size=4), st.integers(0, 65535)),
        st.builds(PexResV6, st.binary(min_size=16, max_size=16), st.integers(0, 65535)),
        st.builds(PexResCert, st.binary(max_size=60)),
    )
    for drawn in data.draw(st.lists(messages, max_size=12)):
        peer.send(drawn)
        bench.advance(data.draw(st.sampled_from([0.0, 11.0, 70.0])))
    assert len(bench.events(PeerFound)) <= 12


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:224.0.0.1",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "fec0::1",
        "240.0.0.1",
    ],
)
def test_an_address_inside_is_not_believed_in_whatever_clothes_it_comes(asked, text):
    """Section 8.13: a stranger would have us knock at doors inside our own network."""
    bench, peer = asked()
    ip = ipaddress.ip_address(text)
    peer.send(PexResV4(ip.packed, 22) if ip.version == 4 else PexResV6(ip.packed, 22))
    assert bench.events(PeerFound) == []


def test_a_peer_without_a_port_is_not_named(lab, seven):
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5", 0)
    asking = at(lab, bench, seven, "198.51.100.1", channel=2)
    asking.send(PexReq())
    assert named(asking) == set()


def test_an_ipv4_address_that_ipv6_wraps_is_found_as_what_it_is(asked):
    bench, peer = asked()
    peer.send(PexResV6(ipaddress.ip_address("::ffff:203.0.113.7").packed, 22))
    assert [event.host for event in bench.events(PeerFound)] == ["203.0.113.7"]


# Swarms


def test_a_swarm_grows_together_from_one_known_peer(lab):
    """Everybody knows the source alone, which is slow; by PEX they find each other."""
    publication = lab.Publication(lab.pattern(300 * 1024))

    def seconds(exchange):
        network = lab.Network(seed=4)
        hosts = []
        for number in range(6):
            host = network.host(upload_rate=60_000)
            host.swarm_id, host.store = publication.root, lab.Store(publication.content if not number else b"")
            more = {} if number else {"tree": publication.tree(), "content_size": len(publication.content)}
            host.endpoint.add_swarm(publication.metadata(), store=host.store, exchange=exchange, **more)
            hosts.append(host)
        for host in hosts[1:]:
            host.connect(hosts[0])
        taken = dict.fromkeys(hosts, 0)
        while not all(host.complete for host in hosts):
            network.run_for(0.25)
            for host in hosts:
                found = host.seen(PeerFound)
                for event in found[taken[host] :]:
                    address = (event.host, event.port)
                    host.endpoint.connect(event.swarm_id, address, network.now, found_by=event.source)
                taken[host] = len(found)
                host.flush()
        assert all(bytes(host.store.octets) == publication.content for host in hosts)
        return network.now - 1000.0

    assert seconds(ADDRESSES) < 0.7 * seconds(None)
