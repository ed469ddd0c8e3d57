"""Floods of SYNs, strays and short connections: memory is bounded, honest connections live on."""

import gc

from hand_utp import ADDRESS, DATA, RESET, START, SYN, Hand, build
from utp_endpoints import endpoint

from ledbat.utp import Incoming
from ledbat.utp.connection import Connection
from ledbat.utp.limits import MAX_HALF_OPEN, MAX_RESETS


def living_connections() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


def test_ten_thousand_syns_from_spoofed_addresses_leave_a_bounded_number_of_connections() -> None:
    """Those that stand live on, and memory is bounded by MAX_HALF_OPEN."""
    one = endpoint()
    friend = Hand(one, ("192.0.2.200", 1))
    friend.open(payload=b"before")
    before = living_connections()
    for i in range(10_000):
        address = (f"198.51.{i >> 8}.{i & 255}", i)
        one.receive_datagram(build(SYN, i, seq_nr=i), address, START + i / 1000)
        if i % 16 == 0:
            while one.datagrams_to_send(START + i / 1000):
                pass
    assert one.connections <= MAX_HALF_OPEN + 1
    assert living_connections() <= before + 2 * MAX_HALF_OPEN + 100
    friend.now = START + 10
    friend.say(DATA, payload=b" after")
    assert one.receive(friend.number) == b"before after"
    one.send(friend.number, b"and back")
    assert [packet.payload for packet in friend.hear() if packet.kind == DATA] == [b"and back"]
    friend.wait(60.0)
    assert one.connections == 1
    assert living_connections() <= before + 100


def test_during_a_flood_of_syns_an_honest_peer_still_gets_in() -> None:
    """The oldest half-open connection gives way, so that of a peer that answers within a round trip stands."""
    one = endpoint()
    for i in range(3000):
        one.receive_datagram(build(SYN, i, seq_nr=i), ("198.51.100.1", i), START)
        while one.datagrams_to_send(START):
            pass
    peer = Hand(one, ("192.0.2.200", 1))
    peer.raw(build(SYN, 7, seq_nr=40))
    (answer,) = peer.hear()
    for i in range(500):
        one.receive_datagram(build(SYN, i, seq_nr=i), ("198.51.100.2", i), START)
    peer.hear()
    peer.raw(build(DATA, 8, seq_nr=41, ack_nr=answer.seq_nr - 1, payload=b"made it"))
    numbers = [event.connection for event in peer.events() if isinstance(event, Incoming)]
    assert [one.receive(number) for number in numbers] == [b"made it"]


def test_a_syn_costs_its_sender_more_octets_than_it_makes_us_send() -> None:
    """No amplification: one STATE for a SYN, nothing again, until it is forgotten."""
    for early in (False, True):
        one = endpoint(accept_early=early)
        syn = build(SYN, 5, seq_nr=1)
        one.receive_datagram(syn, ADDRESS, START)
        sent = 0
        now = START
        while True:
            for datagram, _ in one.datagrams_to_send(now):
                sent += len(datagram) if isinstance(datagram, bytes) else sum(map(len, datagram))
            due = one.get_timer()
            if due is None:
                break
            now = max(now, due)
            one.handle_timer(now)
        assert sent <= len(syn)


def test_a_flood_of_packets_for_no_connection_is_answered_a_limited_number_of_times() -> None:
    """And what is remembered of it is limited too."""
    one = endpoint()
    for i in range(20_000):
        one.receive_datagram(build(DATA, i, seq_nr=i, payload=b"?"), ("198.51.100.1", i), START)
    answers = 0
    while batch := one.datagrams_to_send(START):
        answers += len(batch)
    assert answers <= MAX_RESETS
    assert len(one._resets._sent) <= MAX_RESETS


def test_connections_that_are_opened_and_reset_over_and_over_leave_nothing() -> None:
    """An application that reads its events."""
    one = endpoint()
    before = living_connections()
    for i in range(3000):
        peer = Hand(one, ("192.0.2.1", i & 7))
        peer.open(connection_id=i * 2 & 0xFFFF, payload=b"")
        peer.say(RESET)
        peer.hear()
        peer.events()
    assert one.connections == 0
    assert living_connections() <= before + 100
    assert not one._numbers
