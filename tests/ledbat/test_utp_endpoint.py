"""The endpoint: which packet belongs to whom, timers, SYN policy, RESETs, events, misuse, determinism.

The peer is made by hand where single packets matter.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, START, STATE, SYN, Hand, build, parse
from hypothesis import given
from hypothesis import strategies as st
from utp_network import B, Network

from ledbat.errors import ParameterError, StateError
from ledbat.utp import (
    Closed,
    Connected,
    DatagramDropped,
    EofReceived,
    Finished,
    Incoming,
    Readable,
    Reason,
    UtpEndpoint,
    Writable,
)


def endpoint(seed: int = 1, **options: Any) -> UtpEndpoint:
    options.setdefault("random_bytes", random.Random(seed).randbytes)
    return UtpEndpoint(**options)


def connected(seed: int = 1, **options: Any) -> Hand:
    """A peer whose connection, opened by the endpoint, stands; nothing waits."""
    peer = Hand(endpoint(seed, **options))
    peer.answer_connect()
    peer.hear()
    peer.events()
    return peer


def drain(one: UtpEndpoint, now: float) -> list[tuple[bytes, Any]]:
    sent = []
    while batch := one.datagrams_to_send(now):
        sent += [(d if isinstance(d, bytes) else b"".join(d), address) for d, address in batch]
    return sent


# Demultiplexing


def test_the_same_id_from_two_addresses_is_two_connections() -> None:
    """BEP 29 "connection setup": conn_id names a connection of two hosts."""
    one = endpoint()
    left, right = Hand(one, ("192.0.2.1", 1)), Hand(one, ("192.0.2.1", 2))
    left.open(connection_id=5, payload=b"left")
    right.open(connection_id=5, payload=b"right")
    assert left.number != right.number
    assert one.receive(left.number) == b"left"
    assert one.receive(right.number) == b"right"


def test_one_address_may_have_many_connections_told_apart_by_their_ids() -> None:
    """BEP 29 "connection_id": a random, unique number identifying the connection."""
    one = endpoint()
    peers = [Hand(one) for _ in range(200)]
    for i, peer in enumerate(peers):
        peer.open(connection_id=2 * i, payload=b"hello %d" % i)
        peer.hear()
    for i, peer in enumerate(peers):
        assert one.receive(peer.number) == b"hello %d" % i
    for i, peer in reversed(list(enumerate(peers))):
        peer.say(DATA, payload=b"more %d" % i)
        assert one.receive(peer.number) == b"more %d" % i


def test_connections_in_both_directions_between_the_same_hosts_do_not_mix() -> None:
    """Ours has receive id 100 and send id 101; theirs, by a SYN with 101, has receive id 102 and send id 101."""
    numbers = [100, 1]
    rest = random.Random(1)
    one = endpoint(random_bytes=lambda size: numbers.pop(0).to_bytes(size, "big") if numbers else rest.randbytes(size))
    ours, theirs = Hand(one), Hand(one)
    ours.answer_connect()
    ours.hear()
    ours.events()
    theirs.open(connection_id=101, payload=b"theirs")
    ours.say(DATA, payload=b"ours")
    assert one.receive(ours.number) == b"ours"
    assert one.receive(theirs.number) == b"theirs"


def test_thousands_of_connections_live_side_by_side() -> None:
    """Each gets its own octets, and each is told once."""
    one = endpoint()
    peers = [Hand(one, ("192.0.2.1", port)) for port in range(3000)]
    for i, peer in enumerate(peers):
        peer.open(connection_id=i * 7 & 0xFFFF, payload=i.to_bytes(4, "big"))
    assert one.connections == 3000
    assert all(one.receive(peer.number) == i.to_bytes(4, "big") for i, peer in enumerate(peers))
    assert len({peer.number for peer in peers}) == 3000


def test_a_connect_never_takes_an_id_in_use_towards_the_same_address() -> None:
    """Neither of its two ids may be another connection's receive id."""
    one = endpoint()
    for _ in range(300):
        one.connect(ADDRESS, START)
    ids = Counter(parse(data).connection_id for data, _ in drain(one, START))
    assert max(ids.values()) == 1
    assert not [number for number in ids if (number + 1) & 0xFFFF in ids]


def test_connect_gives_up_when_chance_offers_no_free_id_and_changes_nothing() -> None:
    """`random_bytes` that always says the same must not hang it."""
    one = endpoint(random_bytes=lambda size: bytes(size))
    one.connect(ADDRESS, START)
    with pytest.raises(StateError):
        one.connect(ADDRESS, START)
    assert one.connections == 1
    assert one.connect(("192.0.2.77", 7), START) > 0


def test_any_hashable_address_will_do() -> None:
    """The address is the driver's: IPv6 has four fields."""
    address = ("2001:db8::1", 6881, 0, 2)
    peer = Hand(endpoint(), address)
    peer.open(payload=b"six")
    assert peer.endpoint.receive(peer.number) == b"six"
    peer.endpoint.send(peer.number, b"back")
    assert {to for _, to in peer.endpoint.datagrams_to_send(START)} == {address}


# Timers


def drive(one: UtpEndpoint, now: float, until: float) -> tuple[int, int]:
    """Obey `get_timer` and nothing else; returns how many calls that took, and how many datagrams went out."""
    calls = sent = 0
    while (due := one.get_timer()) is not None and due <= until:
        now = max(now, due)
        one.handle_timer(now)
        sent += len(drain(one, now))
        calls += 1
        assert calls < 100_000, "timers without progress"
    return calls, sent


def test_timers_alone_need_few_calls_for_a_connect_that_nobody_answers() -> None:
    """Five SYNs and the end."""
    one = endpoint()
    number = one.connect(ADDRESS, START)
    drain(one, START)
    calls, sent = drive(one, START, START + 1000)
    assert sent == 4
    assert calls < 20
    assert one.next_event() == Closed(number, Reason.TIMEOUT)
    assert one.get_timer() is None
    assert one.connections == 0


@pytest.mark.parametrize("early", [False, True])
def test_timers_alone_need_few_calls_for_a_half_open_connection(early: bool) -> None:
    """A SYN and nothing more: 30 s later it is forgotten, and until then there is next to nothing to do."""
    one = endpoint(accept_early=early)
    one.receive_datagram(build(SYN, 5, seq_nr=1), ADDRESS, START)
    drain(one, START)
    calls, _ = drive(one, START, START + 1000)
    assert calls < 20
    assert one.connections == 0
    assert one.get_timer() is None


def test_timers_alone_need_few_calls_for_an_idle_connection() -> None:
    """Keep-alives every 29 s for an hour."""
    peer = connected()
    calls, sent = drive(peer.endpoint, START, START + 3600)
    assert sent == 3600 // 29
    assert calls < 3 * sent


@given(st.floats(0.001, 2e9), st.floats(0.0001, 3.0))
def test_a_deadline_that_is_reached_is_served_whatever_the_clock_reads(start: float, later: float) -> None:
    """Floats: a + b may be reached while now - a is still less than b."""
    peer = Hand(endpoint(), now=start)
    peer.answer_connect()
    peer.hear()
    peer.now += later
    peer.say(DATA, payload=b"x")
    peer.hear()
    calls, sent = drive(peer.endpoint, peer.now, peer.now + 100.0)
    assert 3 <= sent <= 4
    assert calls <= 3 * sent
    peer.endpoint.send(peer.number, bytes(3000))
    calls, _ = drive(peer.endpoint, peer.now + 100.0, peer.now + 400.0)
    assert calls < 60


def test_timers_alone_need_few_calls_for_data_that_nobody_acknowledges() -> None:
    """Tail-loss probe, timeouts with back-off, and the end after about a minute."""
    peer = connected()
    peer.endpoint.send(peer.number, bytes(100_000))
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 1000)
    assert calls < 60
    assert peer.events() == [Closed(peer.number, Reason.TIMEOUT)]
    assert peer.endpoint.get_timer() is None


@pytest.mark.parametrize("octets", [0, 1, 100])
def test_timers_alone_need_few_calls_for_a_window_that_stays_shut(octets: int) -> None:
    """The probes of a zero window back off."""
    peer = connected()
    peer.say(STATE, wnd_size=octets)
    peer.endpoint.send(peer.number, bytes(100_000))
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 300)
    assert calls < 60


def test_timers_alone_need_few_calls_for_a_fin_that_nobody_answers() -> None:
    """The end comes by itself."""
    peer = connected()
    peer.endpoint.close(peer.number, START)
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 1000)
    assert calls < 60
    assert [event for event in peer.events() if isinstance(event, Closed)] == [Closed(peer.number, Reason.TIMEOUT)]


def test_timers_alone_need_few_calls_for_a_peer_that_never_finishes_after_a_close() -> None:
    """Our FIN is acknowledged, theirs never comes: a minute, then RESET."""
    peer = connected()
    peer.endpoint.close(peer.number, START)
    peer.hear()
    peer.say(STATE)
    peer.hear()
    calls, sent = drive(peer.endpoint, START, START + 1000)
    assert calls < 20
    assert sent >= 1
    assert Closed(peer.number, Reason.TIMEOUT) in peer.events()


def test_timers_of_a_paced_transfer_need_no_more_calls_than_it_has_packets() -> None:
    """Pacing, delayed acknowledgements and probes together."""
    network = Network(delay=0.05)
    a, b = network.pair()
    calls: Counter[Any] = Counter()
    for host in (a, b):
        handle = host.endpoint.handle_timer

        def counted(now: float, host: Any = host, handle: Callable[[float], None] = handle) -> None:
            calls[host.address] += 1
            handle(now)

        host.endpoint.handle_timer = counted
    number = a.connect(B)
    a.send(number, bytes(2_000_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert calls[a.address] < len(network.log)
    assert calls[b.address] < len(network.log)


def test_early_late_and_repeated_calls_of_handle_timer_do_no_harm() -> None:
    """A driver's timers are not exact."""
    peer = connected()
    peer.endpoint.send(peer.number, b"x" * 50)
    (data,) = peer.hear()
    for step in range(20):
        peer.endpoint.handle_timer(START + step / 1000)
        assert drain(peer.endpoint, START + step / 1000) == []
    peer.now = START + 20.0
    peer.endpoint.handle_timer(peer.now)
    peer.endpoint.handle_timer(peer.now)
    again = peer.hear()
    assert [packet.seq_nr for packet in again] == [data.seq_nr]
    peer.say(STATE, ack_nr=data.seq_nr)
    assert not [event for event in peer.events() if isinstance(event, Closed)]


def test_an_endpoint_without_connections_has_no_timer() -> None:
    """There is nothing to wait for, and handle_timer does nothing."""
    one = endpoint()
    assert one.get_timer() is None
    one.handle_timer(START)
    assert one.datagrams_to_send(START) == []


def test_thousands_of_idle_connections_cost_one_call_of_handle_timer_each_29_seconds_at_most() -> None:
    """One heap: the deadlines of all, each looked at when it is due."""
    one = endpoint()
    for port in range(2000):
        Hand(one, ("192.0.2.1", port)).open(connection_id=9)
    drain(one, START)
    while one.next_event() is not None:
        pass
    calls, sent = drive(one, START, START + 60.0)
    assert sent == 2 * 2000
    assert calls < 100, "those that are due together are served together"


# SYN policy


def test_the_first_syn_is_answered_by_one_state() -> None:
    """BEP 29 "ST_SYN": "the other end expects an ST_STATE packet (only an ACK) in response"."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    (answer,) = peer.hear()
    assert (answer.kind, answer.connection_id, answer.ack_nr, answer.payload) == (STATE, 5, 40, b"")
    assert answer.wnd_size == 1 << 20


def test_the_seq_nr_of_the_answer_is_random() -> None:
    """BEP 29 "ST_SYN": "the sequence number for the return channel is initialized to a random number"."""
    one = endpoint()
    for port in range(100):
        one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", port), START)
    assert len({parse(data).seq_nr for data, _ in drain(one, START)}) > 90


def test_a_syn_may_carry_extension_bits() -> None:
    """libutp and libtorrent: extension 2, eight octets, in the SYN."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40, extensions=[(2, bytes(8))]))
    (answer,) = peer.hear()
    assert (answer.kind, answer.ack_nr) == (STATE, 40)


def test_an_endpoint_that_does_not_accept_answers_a_syn_with_a_reset() -> None:
    """The other side learns at once that nobody listens."""
    peer = Hand(endpoint(accept=False))
    peer.raw(build(SYN, 5, seq_nr=40))
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id, reset.ack_nr) == (RESET, 5, 40)
    assert peer.endpoint.connections == 0


def test_accept_may_be_switched_and_connections_that_stand_go_on() -> None:
    """A server stops listening without dropping its clients."""
    peer = Hand(endpoint())
    peer.open(payload=b"one")
    peer.endpoint.accept = False
    peer.say(DATA, payload=b"two")
    assert peer.endpoint.receive(peer.number) == b"onetwo"
    other = Hand(peer.endpoint, ("192.0.2.50", 5))
    other.raw(build(SYN, 5, seq_nr=40))
    assert [packet.kind for packet in other.hear()] == [RESET]
    peer.endpoint.accept = True
    other.raw(build(SYN, 7, seq_nr=41))
    assert [packet.kind for packet in other.hear()] == [STATE]


def test_peers_can_open_no_more_than_max_connections() -> None:
    """Beyond, SYNs are ignored; what stands goes on, and our own connects do too."""
    one = endpoint(max_connections=3)
    peers = [Hand(one, ("192.0.2.1", port)) for port in range(3)]
    for peer in peers:
        peer.open(payload=b"x")
    drain(one, START)
    one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", 99), START)
    assert drain(one, START) == []
    assert one.connect(("192.0.2.1", 100), START) > 0
    peers[0].say(RESET)
    one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", 99), START)
    assert parse(drain(one, START)[-1][0]).kind == STATE


def test_a_half_open_connection_is_nobodys_until_it_is_confirmed() -> None:
    """No event at the SYN, none when it is forgotten."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    peer.hear()
    peer.wait(40.0)
    assert peer.events() == []
    assert peer.endpoint.connections == 0


@pytest.mark.parametrize("kind", [DATA, STATE, FIN])
def test_a_half_open_connection_is_confirmed_only_by_the_ack_nr_of_our_answer(kind: int) -> None:
    """Whoever spoofed the SYN's address has not seen our random sequence number."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    (answer,) = peer.hear()
    payload = b"x" if kind == DATA else b""
    for ack_nr in (answer.seq_nr, answer.seq_nr + 1, answer.seq_nr - 2, answer.seq_nr - 100, 0x5555):
        if (ack_nr - answer.seq_nr + 1) & 0xFFFF:
            peer.raw(build(kind, 6, seq_nr=41, ack_nr=ack_nr, payload=payload))
    assert not [event for event in peer.events() if isinstance(event, Incoming)]
    peer.raw(build(kind, 6, seq_nr=41, ack_nr=answer.seq_nr - 1, payload=payload))
    assert [event for event in peer.events() if isinstance(event, Incoming)]


# RESET


@pytest.mark.parametrize("kind", [DATA, FIN, STATE])
def test_a_packet_for_no_connection_gets_a_reset(kind: int) -> None:
    """BEP 29 "ST_RESET": "the remote host does not have any state for this connection"."""
    peer = Hand(endpoint())
    peer.raw(build(kind, 4242, seq_nr=99, payload=b"x" if kind == DATA else b""))
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id, reset.ack_nr) == (RESET, 4242, 99)


def test_what_is_no_utp_packet_gets_no_answer() -> None:
    """Another protocol may share the port."""
    peer = Hand(endpoint())
    for datagram in (b"", b"d1:ad2:id20:", bytes(19), bytes(20), b"\x51" + bytes(19), b"\x02" + bytes(30)):
        peer.raw(datagram)
    assert peer.hear() == []
    assert {type(event) for event in peer.events()} == {DatagramDropped}


def test_a_reset_that_names_nothing_we_may_have_sent_is_ignored() -> None:
    """Whoever does not see our packets cannot end the connection by guessing two ids."""
    peer = connected()
    peer.endpoint.send(peer.number, b"x")
    peer.hear()
    for distance in (2000, 0x4000, -2000):
        peer.say(RESET, ack_nr=peer.ack + distance)
    assert not [event for event in peer.events() if isinstance(event, Closed)]
    peer.say(RESET)
    assert Closed(peer.number, Reason.RESET) in peer.events()


def test_after_a_reset_nothing_is_sent_and_nothing_waits() -> None:
    """The peer has forgotten us."""
    peer = connected()
    peer.endpoint.send(peer.number, bytes(50_000))
    peer.hear()
    peer.say(RESET)
    assert peer.hear() == []
    assert peer.wait(120.0) == []
    assert peer.endpoint.connections == 0


def test_reset_tells_the_peer_and_the_application() -> None:
    """The verb: RESET with our send id, and `Closed`."""
    peer = connected()
    peer.endpoint.reset(peer.number, START)
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id) == (RESET, peer.own_id)
    assert reset.ack_nr == (peer.seq - 1) & 0xFFFF
    assert peer.events() == [Closed(peer.number, Reason.ABORTED)]


# Events


def test_readable_is_told_once_until_everything_is_taken() -> None:
    """However many packets arrive."""
    peer = connected()
    for _ in range(5):
        peer.say(DATA, payload=b"12345")
    assert peer.events() == [Readable(peer.number)]
    assert peer.endpoint.receive(peer.number, 7) == b"1234512"
    peer.say(DATA, payload=b"67")
    assert peer.events() == []
    assert peer.endpoint.receive(peer.number) == b"345" + b"12345" * 3 + b"67"
    assert peer.endpoint.receive(peer.number) == b""
    peer.say(DATA, payload=b"again")
    assert peer.events() == [Readable(peer.number)]


def test_data_behind_a_hole_is_not_readable() -> None:
    """Until the missing packet comes, then all at once."""
    peer = connected()
    first = peer.seq
    peer.say(DATA, seq_nr=first + 2, payload=b"c")
    peer.say(DATA, seq_nr=first + 1, payload=b"b")
    assert peer.events() == []
    peer.say(DATA, seq_nr=first, payload=b"a")
    assert peer.events() == [Readable(peer.number)]
    assert peer.endpoint.receive(peer.number) == b"abc"


def test_eof_is_told_after_what_came_before_it_even_when_the_fin_overtakes() -> None:
    """BEP 29 "ST_FIN": "wait for packets that might still be missing [...] even after receiving the ST_FIN"."""
    peer = connected()
    first = peer.seq
    peer.say(FIN, seq_nr=first + 2)
    peer.say(DATA, seq_nr=first, payload=b"a")
    assert peer.events() == [Readable(peer.number)]
    peer.say(DATA, seq_nr=first + 1, payload=b"b")
    assert peer.events() == [EofReceived(peer.number)]
    assert peer.endpoint.receive(peer.number) == b"ab"


def test_nothing_after_the_fin_is_taken() -> None:
    """BEP 29 "ST_FIN": "this connection will never have a sequence number greater than [its]"."""
    peer = connected()
    first = peer.seq
    peer.say(DATA, payload=b"a")
    peer.say(FIN)
    peer.say(DATA, seq_nr=first + 2, payload=b"after the end")
    peer.say(FIN, seq_nr=first + 3)
    assert peer.endpoint.receive(peer.number) == b"a"
    assert [event for event in peer.events() if isinstance(event, EofReceived)] == [EofReceived(peer.number)]
    assert peer.hear()[-1].ack_nr == first + 1


def test_writable_is_told_once_when_send_took_less_than_all() -> None:
    """After there is room again."""
    peer = connected(send_buffer=10_000)
    taken = peer.endpoint.send(peer.number, bytes(50_000))
    assert taken == 10_000
    assert peer.endpoint.send(peer.number, b"x") == 0
    assert peer.events() == []
    for _ in range(100):
        if not peer.hear():
            break
        peer.now += 0.05
        peer.say(STATE)
    peer.hear()
    assert [event for event in peer.events() if isinstance(event, Writable)] == [Writable(peer.number)]
    assert peer.endpoint.send(peer.number, bytes(50_000)) == 10_000


def test_a_send_that_is_taken_whole_is_followed_by_no_writable() -> None:
    """There is nothing to tell."""
    peer = connected()
    assert peer.endpoint.send(peer.number, bytes(5000)) == 5000
    for _ in range(20):
        peer.hear()
        peer.now += 0.05
        peer.say(STATE)
    assert peer.events() == []


def test_a_life_in_order() -> None:
    """Connected, Readable, EofReceived, Finished, Closed: each once, the last one last."""
    peer = Hand(endpoint())
    peer.answer_connect()
    peer.endpoint.send(peer.number, b"question")
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(DATA, payload=b"answer")
    peer.say(FIN)
    peer.hear()
    number = peer.number
    assert peer.endpoint.receive(number) == b"answer"
    assert peer.events() == [
        Connected(number, ADDRESS),
        Readable(number),
        EofReceived(number),
        Finished(number),
        Closed(number, Reason.FINISHED),
    ]
    peer.wait(100.0)
    assert peer.events() == []


def test_finished_comes_while_the_peer_goes_on() -> None:
    """Half-close: everything and our FIN acknowledged, their direction open."""
    peer = connected()
    peer.endpoint.send(peer.number, b"all")
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(STATE)
    peer.hear()
    assert peer.events() == [Finished(peer.number)]
    peer.say(DATA, payload=b"still here")
    assert peer.endpoint.receive(peer.number) == b"still here"


def test_what_was_not_read_at_the_end_can_still_be_read() -> None:
    """Closed is the last event, and the octets are kept for as long as nobody took them."""
    peer = connected()
    peer.say(DATA, payload=b"left")
    peer.say(RESET)
    assert peer.events() == [Readable(peer.number), Closed(peer.number, Reason.RESET)]
    peer.wait(300.0)
    assert peer.endpoint.receive(peer.number) == b"left"
    with pytest.raises(StateError):
        peer.endpoint.receive(peer.number)


def test_dropped_datagrams_leave_a_limited_number_of_events() -> None:
    """Whoever sends garbage fills no memory with it."""
    peer = Hand(endpoint())
    for _ in range(10_000):
        peer.raw(b"garbage")
    assert len(peer.events()) <= 64


def test_dropped_datagrams_crowd_out_no_other_event() -> None:
    """They have a queue of their own."""
    peer = connected()
    peer.say(DATA, payload=b"x")
    for _ in range(1000):
        peer.raw(b"garbage")
    assert peer.events()[0] == Readable(peer.number)


def test_a_fin_that_comes_again_after_the_end_is_acknowledged_again() -> None:
    """Our last acknowledgement was lost: we linger."""
    peer = connected()
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(STATE)
    fin_seq = peer.seq
    peer.say(FIN)
    peer.hear()
    peer.now += 1.0
    peer.say(FIN, seq_nr=fin_seq)
    (state,) = peer.hear()
    assert (state.kind, state.ack_nr) == (STATE, fin_seq)


# Verbs misused


VERBS: dict[str, Callable[[UtpEndpoint, int], object]] = {
    "send": lambda one, number: one.send(number, b"x"),
    "receive": lambda one, number: one.receive(number),
    "receive_chunks": lambda one, number: one.receive_chunks(number),
    "shutdown": lambda one, number: one.shutdown(number),
    "close": lambda one, number: one.close(number, START),
    "reset": lambda one, number: one.reset(number, START),
    "stats": lambda one, number: one.stats(number),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_for_a_number_that_is_none_raises_and_changes_nothing(verb: str) -> None:
    """0, negative, never given, and one that has ended."""
    peer = connected()
    ended = Hand(peer.endpoint, ("192.0.2.60", 6))
    ended.open(payload=b"")
    ended.say(RESET)
    peer.hear()
    peer.events()
    for number in (0, -1, 999, ended.number):
        with pytest.raises(StateError):
            VERBS[verb](peer.endpoint, number)
    assert peer.endpoint.datagrams_to_send(START) == []
    assert peer.endpoint.next_event() is None
    peer.say(DATA, payload=b"alive")
    assert peer.endpoint.receive(peer.number) == b"alive"


@pytest.mark.parametrize("end", ["shutdown", "close"])
def test_send_after_the_end_of_our_direction_raises_and_changes_nothing(end: str) -> None:
    """What was sent before arrives, and the FIN behind it; nothing else."""
    peer = connected()
    peer.endpoint.send(peer.number, b"before")
    VERBS[end](peer.endpoint, peer.number)
    with pytest.raises(StateError):
        peer.endpoint.send(peer.number, b"after")
    with pytest.raises(StateError):
        peer.endpoint.send(peer.number, b"")
    assert [(p.kind, p.payload) for p in peer.hear()] == [(DATA, b"before"), (FIN, b"")]


def test_shutdown_and_close_may_be_called_again() -> None:
    """One FIN."""
    peer = connected()
    for _ in range(3):
        peer.endpoint.shutdown(peer.number)
    for _ in range(3):
        peer.endpoint.close(peer.number, START)
    assert [packet.kind for packet in peer.hear()] == [FIN]


def test_close_before_the_answer_gives_the_connection_up() -> None:
    """There is nothing to finish yet."""
    peer = Hand(endpoint())
    number = peer.endpoint.connect(ADDRESS, START)
    peer.hear()
    peer.endpoint.close(number, START)
    assert peer.events() == [Closed(number, Reason.ABORTED)]
    assert peer.wait(100.0) == []


def test_shutdown_before_the_answer_finishes_after_what_was_sent() -> None:
    """The queue and the FIN wait for the answer."""
    peer = Hand(endpoint())
    number = peer.endpoint.connect(ADDRESS, START)
    peer.endpoint.send(number, b"quick")
    peer.endpoint.shutdown(number)
    (syn,) = peer.hear()
    peer.peer_id, peer.seq, peer.ack = syn.connection_id, 9000, syn.seq_nr
    peer.say(STATE)
    assert [(p.kind, p.payload) for p in peer.hear()][:2] == [(DATA, b"quick"), (FIN, b"")]


def test_close_drops_what_arrives_and_acknowledges_it() -> None:
    """ "Want nothing more of the other": its window stays open, and its FIN is answered."""
    peer = connected(receive_buffer=1000)
    peer.endpoint.close(peer.number, START)
    peer.hear()
    for _ in range(10):
        peer.say(DATA, payload=bytes(500))
        state = peer.hear()[-1]
        assert state.ack_nr == (peer.seq - 1) & 0xFFFF
        assert state.wnd_size == 1000
    peer.say(FIN)
    peer.hear()
    assert [event for event in peer.events() if isinstance(event, Closed)] == [Closed(peer.number, Reason.FINISHED)]


@pytest.mark.parametrize(
    "options",
    [
        {"receive_buffer": 0},
        {"receive_buffer": (1 << 30) + 1},
        {"send_buffer": 0},
        {"send_buffer": -1},
        {"min_datagram": 149},
        {"min_datagram": 1000, "max_datagram": 999},
        {"max_datagram": 65_508},
    ],
    ids=str,
)
def test_sizes_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """By the constructor, as a ParameterError."""
    with pytest.raises(ParameterError):
        UtpEndpoint(**options)


def test_receive_with_a_limit_takes_no_more() -> None:
    """Whatever pieces the octets came in."""
    peer = connected()
    rest = data = random.Random(2).randbytes(6000)
    while rest:
        size = 1 + len(rest) * 7 % 700
        peer.say(DATA, payload=rest[:size])
        rest = rest[size:]
    taken = b""
    while piece := peer.endpoint.receive(peer.number, 333):
        assert len(piece) <= 333
        taken += piece
    assert taken == data
    assert peer.endpoint.receive(peer.number, 0) == b""


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_send_takes_any_buffer_and_what_happens_to_it_later_does_not_matter(make: Any) -> None:
    """Only `bytes` are kept without a copy, and they do not change."""
    peer = connected()
    source = bytearray(b"original")
    peer.endpoint.send(peer.number, make(source))
    source[:] = b"mutated!"
    assert [packet.payload for packet in peer.hear()] == [b"original"]


# Determinism


def _run(seed: int) -> list[tuple[float, Any, bytes]]:
    network = Network()
    chance = random.Random(seed)
    network.fate = lambda *_: [0.02 + chance.random() * 0.02 for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2)))]
    a, b = network.pair()
    numbers = [a.connect(B) for _ in range(3)]
    for number in numbers:
        a.send(number, random.Random(number).randbytes(60_000), finish=True)
    network.run_until(lambda: len(b.of(EofReceived)) == 3)
    for event in b.of(Incoming):
        b.send(event.connection, b"bye", finish=True)
    network.run_until(lambda: len(a.of(Closed)) == 3)
    return network.log


def test_the_same_random_bytes_twice_are_the_same_octets_on_the_wire() -> None:
    """No clock, no chance but that which is given."""
    first = _run(4)
    assert _run(4) == first
    assert _run(5) != first


# Output


def test_datagrams_of_one_size_to_one_address_stand_together() -> None:
    """So that the kernel can cut one buffer into them (segmentation offload)."""
    peer = connected()
    network = Network(delay=0.05)
    a, b = network.pair()
    batches: list[list[tuple[int, Any]]] = []
    give = a.endpoint.datagrams_to_send

    def recorded(now: float) -> list[Any]:
        batch = give(now)
        batches.append([(sum(map(len, d)) if isinstance(d, tuple) else len(d), to) for d, to in batch])
        return batch

    a.endpoint.datagrams_to_send = recorded
    numbers = [a.connect(B) for _ in range(4)]
    for number in numbers:
        a.send(number, bytes(400_000), finish=True)
    network.run_until(lambda: len(b.of(EofReceived)) == 4)
    runs = datagrams = 0
    for batch in batches:
        full = [item for item in batch if item[0] >= 1400]
        datagrams += len(full)
        runs += sum(1 for i, item in enumerate(full) if i == 0 or full[i - 1] != item)
    assert datagrams > 1000
    assert datagrams / runs > 2
    assert peer.endpoint.connections == 1


def test_one_call_of_datagrams_to_send_is_bounded_and_every_connection_gets_its_turn() -> None:
    """A driver reads in between; a connection with much to send does not keep others waiting."""

    class Wide:
        cwnd = 1 << 24
        pacing_rate = None

        def __init__(self, mss: int) -> None:
            pass

        def nothing(self, *args: Any, **fields: Any) -> None:
            pass

        on_sent = on_ack = on_loss = on_timeout = get_timer = nothing

    one = endpoint(controller=Wide)
    peers = [Hand(one, ("192.0.2.1", port)) for port in range(8)]
    for peer in peers:
        peer.answer_connect()
    drain(one, START)
    for peer in peers:
        one.send(peer.number, bytes(900_000))
    batch = one.datagrams_to_send(START)
    assert 0 < len(batch) <= 256 + 64
    assert len({to for _, to in batch}) >= 3
    seen = Counter(to for _, to in batch)
    while batch := one.datagrams_to_send(START):
        seen.update(to for _, to in batch)
    assert len(seen) == 8


def test_acknowledgements_are_merged_over_all_datagrams_since_the_last_call() -> None:
    """One STATE for a drained socket."""
    peer = connected()
    for _ in range(40):
        peer.say(DATA, payload=b"x" * 100)
    (state,) = peer.hear()
    assert state.ack_nr == (peer.seq - 1) & 0xFFFF


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.binary(max_size=3000)), max_size=40))
def test_whatever_the_application_does_in_whatever_order_only_state_errors_come(
    steps: list[tuple[int, int, bytes]],
) -> None:
    """Verbs against a network that delivers; numbers that ended included."""
    network = Network(delay=0.01)
    a, b = network.pair()
    numbers = {a: [a.connect(B)], b: []}
    network.run(0.1)
    for who, what, data in steps:
        host = (a, b)[who % 2]
        numbers[b] = [event.connection for event in b.of(Incoming)]
        if not numbers[host]:
            continue
        number = numbers[host][-1]
        try:
            if what == 0:
                host.endpoint.send(number, data)
            elif what == 1:
                host.endpoint.shutdown(number)
            elif what == 2 and data:
                host.endpoint.close(number, network.now)
            elif what == 3 and len(data) > 1000:
                host.endpoint.reset(number, network.now)
            elif host is a:
                numbers[a].append(a.connect(B))
        except StateError:
            pass
        network.poke(host)
        network.run(0.05)
    for host in (a, b):
        for event in host.of(Closed):
            assert [type(e) for e in host.events if getattr(e, "connection", None) == event.connection][-1] is Closed
            assert len([e for e in host.of(Closed) if e.connection == event.connection]) == 1
