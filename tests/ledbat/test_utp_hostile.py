"""Peers that lie, guess, flood and send garbage: nothing raises, memory is bounded, honest connections live on."""

import contextlib
import gc
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, START, STATE, SYN, Hand, build
from hypothesis import given
from hypothesis import strategies as st
from utp_network import A, B, Host, Network

from ledbat.errors import StateError
from ledbat.reno import NewReno
from ledbat.utp import Closed, DatagramDropped, EofReceived, Incoming, Readable, UtpEndpoint
from ledbat.utp.connection import Connection
from ledbat.utp.limits import MAX_HALF_OPEN, MAX_REORDERED, MAX_RESETS


def endpoint(seed: int = 1, **options: Any) -> UtpEndpoint:
    options.setdefault("random_bytes", random.Random(seed).randbytes)
    return UtpEndpoint(**options)


# Every state, entered with packets made by hand


def syn_sent(peer: Hand) -> None:
    peer.number = peer.endpoint.connect(ADDRESS, peer.now)
    peer.endpoint.send(peer.number, b"early")
    (syn,) = peer.hear()
    peer.peer_id, peer.own_id = syn.connection_id, (syn.connection_id + 1) & 0xFFFF
    peer.seq, peer.ack = 5000, syn.seq_nr


def syn_recv(peer: Hand) -> None:
    peer.own_id, peer.peer_id = 300, 301
    peer.raw(build(SYN, 300, seq_nr=77))
    (answer,) = peer.hear()
    peer.seq, peer.ack = 78, (answer.seq_nr - 1) & 0xFFFF


def connected(peer: Hand) -> None:
    peer.answer_connect()
    peer.hear()


def accepted(peer: Hand) -> None:
    peer.open()
    peer.hear()


def sending(peer: Hand) -> None:
    connected(peer)
    peer.endpoint.send(peer.number, bytes(30_000))
    before = peer.ack
    peer.hear()
    peer.ack = before


def behind_a_hole(peer: Hand) -> None:
    connected(peer)
    for ahead in (1, 2, 5):
        peer.say(DATA, seq_nr=peer.seq + ahead, payload=b"ahead")
    peer.hear()


def fin_sent(peer: Hand) -> None:
    connected(peer)
    peer.endpoint.shutdown(peer.number)
    before = peer.ack
    peer.hear()
    peer.ack = before


def fin_received(peer: Hand) -> None:
    connected(peer)
    peer.say(FIN)
    peer.hear()


def closing(peer: Hand) -> None:
    connected(peer)
    peer.endpoint.close(peer.number, peer.now)
    peer.hear()
    peer.say(STATE)
    peer.hear()


def lingering(peer: Hand) -> None:
    connected(peer)
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(FIN)
    peer.hear()


def zero_window(peer: Hand) -> None:
    connected(peer)
    peer.say(STATE, wnd_size=0)
    peer.endpoint.send(peer.number, bytes(5000))
    peer.hear()


def closed_unread(peer: Hand) -> None:
    connected(peer)
    peer.say(DATA, payload=b"unread")
    peer.say(RESET)
    peer.hear()


STATES: dict[str, Callable[[Hand], None]] = {
    enter.__name__: enter
    for enter in (
        syn_sent,
        syn_recv,
        connected,
        accepted,
        sending,
        behind_a_hole,
        fin_sent,
        fin_received,
        closing,
        lingering,
        zero_window,
        closed_unread,
    )
}


def held(one: UtpEndpoint) -> None:
    """The limits of every connection hold."""
    for connection in one._connections.values():
        queue, recovery = connection.inbound.queue, connection.outbound.recovery
        assert 0 <= queue.readable <= queue.buffered <= queue.capacity
        assert queue.reordered <= MAX_REORDERED
        assert recovery.pipe >= 0
        assert recovery.outstanding >= 0
        assert len(recovery.sent) == recovery.count
        unsacked = [
            entry[0] for i in range(recovery.count) if not recovery.sacked >> i & 1
            for entry in (recovery.sent[(recovery.una + i) & 0xFFFF],)
        ]  # fmt: skip
        assert recovery.outstanding == sum(unsacked)


@pytest.mark.parametrize("kind", range(16))
@pytest.mark.parametrize("state", STATES)
def test_every_type_of_packet_in_every_state_raises_nothing(state: str, kind: int) -> None:
    """The five of BEP 29 and the eleven that are none, with plausible and with absurd numbers."""
    for seq_offset in (0, 1, -1, 100, 0x4000, 0x8000, -5000):
        for ack_offset in (0, 1, -1, 3, 0x4000, 0x8000, -5000):
            peer = Hand(endpoint())
            STATES[state](peer)
            for connection_id in (peer.peer_id, peer.own_id):
                peer.say(
                    kind,
                    connection_id=connection_id,
                    seq_nr=peer.seq + seq_offset,
                    ack_nr=peer.ack + ack_offset,
                    payload=b"payload" if kind in (DATA, SYN, STATE) else b"",
                )
            peer.hear()
            held(peer.endpoint)
            peer.wait(200.0)
            peer.events()


@pytest.mark.parametrize("state", STATES)
def test_every_state_ends_or_idles_by_timers_alone(state: str) -> None:
    """Nothing more is heard: `wait` asserts that the timers do not spin."""
    peer = Hand(endpoint())
    STATES[state](peer)
    peer.wait(3600.0)
    assert peer.endpoint.connections <= 1
    if state not in ("connected", "accepted", "behind_a_hole", "fin_received", "closed_unread"):
        assert peer.endpoint.connections == 0
        assert peer.endpoint.get_timer() is None


# Any octets

_NEAR = st.one_of(st.integers(-3, 40), st.integers(-0x8000, 0x8000))
_U32 = st.one_of(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]), st.integers(0, 0xFFFFFFFF))
_CHAIN = st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 3, 4, 255]), st.binary(max_size=255)), max_size=3)
_STEP = st.one_of(
    st.tuples(st.just("octets"), st.binary(max_size=80)),
    st.tuples(st.just("wait"), st.floats(0, 70, allow_nan=False)),
    st.tuples(st.just("send"), st.integers(0, 20_000)),
    st.tuples(st.just("receive"), st.integers(0, 5000)),
    st.tuples(st.just("end"), st.sampled_from(["shutdown", "close", "reset"])),
    st.tuples(
        st.just("packet"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from([DATA, DATA, FIN, STATE, STATE, STATE, RESET, SYN]),
                "own": st.booleans(),
                "seq": _NEAR,
                "ack": _NEAR,
                "timestamp": _U32,
                "difference": _U32,
                "wnd_size": _U32,
                "extensions": _CHAIN,
                "payload": st.binary(max_size=1500),
                "cut": st.one_of(st.none(), st.integers(0, 60)),
            }
        ),
    ),
)


def _do(peer: Hand, what: str, argument: Any) -> None:
    one, number = peer.endpoint, peer.number
    known = number in one._numbers
    match what:
        case "octets":
            peer.raw(argument)
        case "wait":
            peer.wait(argument)
        case "send" if known and not (one._numbers[number].outbound.shut or one.stats(number).state in ENDED):
            one.send(number, bytes(argument))
        case "receive" if known:
            one.receive(number, argument)
        case "end" if known:
            if argument == "shutdown":
                one.shutdown(number)
            else:
                getattr(one, argument)(number, peer.now)
        case "packet":
            data = build(
                argument["kind"],
                peer.own_id if argument["own"] else peer.peer_id,
                seq_nr=peer.seq + argument["seq"],
                ack_nr=peer.ack + argument["ack"],
                timestamp=argument["timestamp"],
                difference=argument["difference"],
                wnd_size=argument["wnd_size"],
                extensions=argument["extensions"],
                payload=argument["payload"],
            )
            peer.raw(data if argument["cut"] is None else data[: argument["cut"]])
        case _:
            pass


ENDED = ("LINGERING", "CLOSED")


@given(st.sampled_from(sorted(STATES)), st.lists(_STEP, max_size=25))
def test_any_octets_in_any_state_raise_nothing_and_break_no_limit(state: str, steps: list[tuple[str, Any]]) -> None:
    """Sequences of packets near and far from what is right, time, and what an application does meanwhile."""
    peer = Hand(endpoint())
    STATES[state](peer)
    for what, argument in steps:
        _do(peer, what, argument)
        peer.hear()
        held(peer.endpoint)
    peer.wait(400.0)
    events = peer.events()
    closed = [event for event in events if isinstance(event, Closed)]
    assert len({event.connection for event in closed}) == len(closed), "Closed is told once"


@given(st.binary(max_size=3000))
def test_any_datagram_at_an_empty_endpoint_raises_nothing(data: bytes) -> None:
    """Nothing that a stranger sends makes more than one answer."""
    peer = Hand(endpoint())
    peer.raw(data)
    assert len(peer.hear()) <= 1


@given(st.integers(0, 2**32 - 1))
def test_mutated_real_traffic_raises_nothing(seed: int) -> None:
    """A transfer in both directions whose packets also arrive with bits flipped, cut, doubled and glued together."""
    chance = random.Random(seed)
    network = Network(delay=0.01)
    a, b = network.pair()
    seen: list[bytes] = [b""]
    rate = chance.choice((0.03, 0.3))

    def fate(data: bytes, source: Any, destination: Any, _: int) -> list[float]:
        seen.append(data)
        if chance.random() < rate:
            damaged = bytearray(chance.choice((data, chance.choice(seen))))
            for _ in range(chance.randrange(1, 4)):
                if damaged:
                    # Mostly in the header and the extensions.
                    at = chance.randrange(min(len(damaged), chance.choice((20, 40, len(damaged)))))
                    damaged[at] ^= 1 << chance.randrange(8)
            cut = chance.choice((len(damaged), len(damaged), chance.randrange(len(damaged) + 1)))
            extra = chance.choice((b"", b"", chance.choice(seen)))
            network.hosts[destination].endpoint.receive_datagram(bytes(damaged[:cut]) + extra, source, network.now)
        return [0.01] * chance.choice((0, 1, 1, 1, 1, 2))

    network.fate = fate
    number = a.connect(B)
    a.send(number, bytes(30_000))
    for _ in range(6):
        network.run(1.0)
        held(a.endpoint)
        held(b.endpoint)
        for event in b.of(Incoming):
            # The end may have come already, and wait to be told.
            with contextlib.suppress(StateError):
                if event.connection not in b.unsent:
                    b.send(event.connection, bytes(5000))
    network.run(200.0)
    held(a.endpoint)
    held(b.endpoint)


# Extensions


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\x01",
        b"\x01\xff",
        b"\x01\x04abc",
        b"\x01\x00" * 700,
        b"\x02\x00" * 700 + b"\x00\x00",
        b"\x01\x01\xff" * 400,
        b"\x00\xff" + bytes(254),
        bytes(range(256)),
    ],
    ids=["none", "half", "too long", "one short", "no end", "of nothing", "all sacks", "one short at 255", "junk"],
)
def test_extension_chains_that_end_nowhere_are_dropped_or_skipped(state: str, tail: bytes) -> None:
    """A chain has no way back: it ends with its datagram at the latest."""
    for kind in range(5):
        for first in (1, 2, 3, 255):
            peer = Hand(endpoint())
            STATES[state](peer)
            head = build(kind, peer.peer_id, seq_nr=peer.seq, ack_nr=peer.ack)
            peer.raw(head[:1] + bytes([first]) + head[2:] + tail)
            peer.hear()
            held(peer.endpoint)


def test_a_packet_whose_chain_runs_over_its_end_changes_nothing() -> None:
    """Neither its acknowledgement nor its payload count."""
    peer = Hand(endpoint())
    connected(peer)
    peer.events()
    head = build(DATA, peer.peer_id, seq_nr=peer.seq, ack_nr=peer.ack)
    peer.raw(head[:1] + b"\x01" + head[2:] + b"\x00\xffshort")
    assert [type(event) for event in peer.events()] == [DatagramDropped]
    peer.say(DATA, payload=b"right")
    assert peer.endpoint.receive(peer.number) == b"right"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 100, 255])
@pytest.mark.parametrize("octet", [0x00, 0xFF, 0xAA])
def test_selective_acks_of_any_length_and_content_break_nothing(size: int, octet: int) -> None:
    """ "Bits that are outside of the send window are ignored.\""""
    peer = Hand(endpoint())
    sending(peer)
    for back in range(4):
        peer.now += 0.05
        peer.say(STATE, ack_nr=peer.ack - back, extensions=[(1, bytes([octet]) * size)])
        peer.hear()
        held(peer.endpoint)
    peer.wait(30.0)
    held(peer.endpoint)


def test_a_selective_ack_of_packets_never_sent_acknowledges_nothing() -> None:
    """There is one packet in flight; the mask names 2040 others."""
    peer = Hand(endpoint())
    connected(peer)
    peer.endpoint.send(peer.number, b"one")
    before = peer.ack
    (data,) = peer.hear()
    for _ in range(10):
        peer.say(STATE, ack_nr=before, extensions=[(1, b"\xff" * 255)])
    assert peer.endpoint.stats(peer.number).flight == 3
    peer.say(STATE, ack_nr=data.seq_nr)
    peer.hear()
    assert peer.endpoint.stats(peer.number).flight == 0


def test_what_was_acknowledged_selectively_is_not_kept_for_a_peer_that_hides_the_first_packet() -> None:
    """It reports all but one, for ever: what it claims to have need not be kept for it."""
    peer = Hand(endpoint(controller=lambda mss: NewReno(mss=mss), send_buffer=200_000))
    connected(peer)
    hidden = peer.ack
    total = 0
    for _ in range(300):
        total += peer.endpoint.send(peer.number, bytes(200_000))
        peer.hear()
        peer.now += 0.05
        connection = peer.endpoint._numbers[peer.number]
        count = connection.outbound.recovery.count
        for start in range(0, max(count - 1, 0), 2040):
            # Several masks would be needed; the first covers 2040 packets.
            size = min((count - 1 - start + 7) // 8, 255)
            peer.say(STATE, ack_nr=hidden, extensions=[(1, b"\xff" * size)])
            break
        peer.hear()
    kept = sum(len(entry[4]) for entry in peer.endpoint._numbers[peer.number].outbound.recovery.sent.values())
    assert total >= 200_000
    assert kept + peer.endpoint.stats(peer.number).send_queue <= 200_000


# Lying acknowledgements and windows


def test_acknowledgements_of_everything_possible_move_the_connection_only_by_what_was_sent() -> None:
    """All 65536 of them."""
    peer = Hand(endpoint())
    connected(peer)
    peer.endpoint.send(peer.number, b"x")
    before = peer.ack
    (data,) = peer.hear()
    for ack_nr in range(0x10000):
        if ack_nr != data.seq_nr:
            peer.raw(build(STATE, peer.peer_id, seq_nr=peer.seq, ack_nr=ack_nr))
    assert peer.endpoint.stats(peer.number).flight == 1
    peer.say(STATE, ack_nr=data.seq_nr)
    assert peer.endpoint.stats(peer.number).flight == 0
    assert before != data.seq_nr


def test_a_window_that_stays_shut_for_ever_is_probed_more_and_more_seldom_and_ends_nothing() -> None:
    """The peer answers each probe with window 0: it lives, so we wait; when it opens, all goes through."""
    peer = Hand(endpoint())
    zero_window(peer)
    probes = 0
    for _ in range(1000):
        for packet in peer.wait(1.0):
            probes += packet.kind == DATA
            peer.say(STATE, wnd_size=0)
            peer.hear()
    assert 5 < probes < 100
    assert not [event for event in peer.events() if isinstance(event, Closed)]
    received = 0
    peer.say(STATE, wnd_size=1 << 20)
    for _ in range(40):
        received += sum(len(packet.payload) for packet in peer.hear())
        peer.now += 0.05
        peer.say(STATE)
    assert received >= 5000 - probes


@pytest.mark.parametrize("wnd_size", [1, 3, 100, 527])
def test_a_window_of_less_than_a_packet_for_ever_does_not_deadlock(wnd_size: int) -> None:
    """Small packets then: never more octets in flight than the window says."""
    peer = Hand(endpoint())
    connected(peer)
    peer.say(STATE, wnd_size=wnd_size)
    peer.endpoint.send(peer.number, b"y" * 700)
    received = b""
    for _ in range(2000):
        heard = peer.hear() + peer.wait(0.01)
        assert sum(len(packet.payload) for packet in heard if packet.kind == DATA) <= wnd_size
        received += b"".join(packet.payload for packet in heard if packet.kind == DATA)
        peer.say(STATE, wnd_size=wnd_size)
        if len(received) >= 700:
            break
    assert received == b"y" * 700


def test_a_window_that_jumps_between_0_and_everything_breaks_nothing() -> None:
    """At every packet."""
    peer = Hand(endpoint())
    connected(peer)
    peer.endpoint.send(peer.number, bytes(100_000))
    received = 0
    for i in range(3000):
        for packet in peer.hear() + peer.wait(0.02):
            received += len(packet.payload) * (packet.seq_nr == packet.seq_nr)
        peer.say(STATE, wnd_size=(0, 0xFFFFFFFF, 1, 1 << 20)[i % 4])
        held(peer.endpoint)
    assert received >= 100_000


def test_a_peer_that_sends_beyond_its_window_is_held_to_it() -> None:
    """What does not fit is dropped, in order or not, and the window never says more than there is."""
    peer = Hand(endpoint(receive_buffer=10_000))
    connected(peer)
    for i in range(200):
        peer.say(DATA, payload=bytes(1000), seq_nr=peer.seq + (i * 7) % 150)
        held(peer.endpoint)
        assert all(packet.wnd_size <= 10_000 for packet in peer.hear())
    peer.endpoint.receive(peer.number)
    held(peer.endpoint)


def test_a_peer_that_sends_empty_data_packets_only_fills_nothing() -> None:
    """BEP 29: "an ST_DATA packet always has a data payload"."""
    peer = Hand(endpoint())
    connected(peer)
    peer.events()
    for _ in range(20_000):
        peer.say(DATA)
    peer.hear()
    for _ in range(10_000):
        peer.say(DATA, seq_nr=peer.seq + 2 + _)
    peer.hear()
    held(peer.endpoint)
    assert not [event for event in peer.events() if isinstance(event, Readable)]


# Floods


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


# Lying timestamps


def liar(host: Host, lie: Callable[[int, int], tuple[int, int]]) -> None:
    """`host` hears (timestamp, timestamp_difference) as `lie` makes them."""
    receive = host.endpoint.receive_datagram

    def lied(data: Any, address: Any, now: float) -> None:
        changed = bytearray(data)
        if len(changed) >= 20:
            struct.pack_into(">II", changed, 4, *lie(*struct.unpack_from(">II", changed, 4)))
        receive(bytes(changed), address, now)

    host.endpoint.receive_datagram = lied


_chance = random.Random(12)
LIES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "difference 0": lambda timestamp, _: (timestamp, 0),
    "difference 1": lambda timestamp, _: (timestamp, 1),
    "difference constant": lambda timestamp, _: (timestamp, 123_456),
    "difference INT_MAX": lambda timestamp, _: (timestamp, 0x7FFFFFFF),
    "difference all ones": lambda timestamp, _: (timestamp, 0xFFFFFFFF),
    "difference random": lambda timestamp, _: (timestamp, _chance.getrandbits(32)),
    "difference falling": lambda timestamp, difference: (timestamp, (difference - timestamp // 10) & 0xFFFFFFFF),
    "difference rising": lambda timestamp, difference: (timestamp, (difference + timestamp // 10) & 0xFFFFFFFF),
    "timestamp 0": lambda _, difference: (0, difference),
    "timestamp constant": lambda _, difference: (99, difference),
    "both random": lambda *_: (_chance.getrandbits(32), _chance.getrandbits(32)),
}


def octets_in(seconds: float, lie: Callable[[int, int], tuple[int, int]] | None, **options: Any) -> int:
    """What a sender that is lied to gets across a path of 50 ms that loses every 150th full packet."""
    network = Network(delay=0.025)
    full = [0]

    def fate(data: bytes, source: Any, _: Any, number: int) -> list[float]:
        if source == A and len(data) > 500:
            full[0] += 1
            if full[0] % 150 == 0:
                return []
        return [0.025]

    network.fate = fate
    a = network.host(A, 1, send_buffer=1 << 22, min_datagram=1472, **options)
    b = network.host(B, 2, receive_buffer=1 << 22)
    if lie is not None:
        liar(a, lie)
    number = a.connect(B)
    a.send(number, bytes(60_000_000))
    network.run(seconds)
    assert not b.of(Closed)
    assert not a.of(Closed)
    return len(b.received[b.incoming])


@pytest.fixture(scope="module")
def reno_octets() -> int:
    return octets_in(20.0, None, controller=lambda mss: NewReno(mss=mss))


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_about_delays_makes_a_sender_faster_than_reno_or_stops_it(lie: str, reno_octets: int) -> None:
    """E17: delay constant, 0, random, INT_MAX: never faster than Reno; never a deadlock."""
    octets = octets_in(20.0, LIES[lie])
    assert octets <= reno_octets
    assert octets > 50_000


@pytest.mark.parametrize("lie", LIES)
def test_a_transfer_whose_timestamps_lie_in_both_directions_is_exact(lie: str) -> None:
    """Reliability does not rest on clocks."""
    network = Network(delay=0.02)
    chance = random.Random(8)
    network.fate = lambda *_: [] if chance.random() < 0.03 else [0.02 + 0.01 * chance.random()]
    a, b = network.pair()
    liar(a, LIES[lie])
    liar(b, LIES[lie])
    data = random.Random(9).randbytes(150_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == data


# Wraps


@pytest.mark.parametrize("seq_nr", [0xFFFF, 0xFFF0, 0xFF00, 0x7FF0, 0])
def test_sequence_numbers_wrap_in_the_middle_of_a_lossy_stream(seq_nr: int) -> None:
    """65535 is followed by 0, with holes, selective acknowledgements and retransmissions around it."""
    for loss in (0.0, 0.1):
        network = Network(delay=0.02)
        chance = random.Random(8)

        def fate(*_: Any, loss: float = loss, chance: random.Random = chance) -> list[float]:
            return [] if chance.random() < loss else [0.02 + 0.01 * chance.random()]

        network.fate = fate
        numbers = [b"\x12\x34", struct.pack(">H", seq_nr), struct.pack(">H", seq_nr)]
        a = network.host(A, random_bytes=lambda size, numbers=numbers: numbers.pop(0))
        b = network.host(B, random_bytes=lambda size, seq_nr=seq_nr: struct.pack(">H", seq_nr))
        data = random.Random(9).randbytes(300_000)
        number = a.connect(B)
        a.send(number, data, finish=True)
        network.run_until(lambda b=b: bool(b.of(EofReceived)))
        b.send(b.incoming, data, finish=True)
        network.run_until(lambda a=a, b=b: bool(a.of(Closed) and b.of(Closed)))
        assert b.received[b.incoming] == data
        assert a.received[number] == data
        assert [event.reason.name for event in a.of(Closed) + b.of(Closed)] == ["FINISHED"] * 2


def test_a_stream_of_more_packets_than_there_are_sequence_numbers() -> None:
    """Once around and further."""
    network = Network(delay=0.0005)
    a, b = network.pair(min_datagram=150, max_datagram=150, controller=lambda mss: NewReno(mss=mss))
    data = random.Random(9).randbytes(130) * 70_000
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == data
    assert a.endpoint.stats(number).retransmissions == 0


@pytest.mark.parametrize("start", [2**32 / 1e6 - 1.0, 2**31 / 1e6 - 1.0, 1.7e9, 0.0, -5.0])
def test_the_clock_of_32_bits_wraps_in_the_middle_of_a_stream(start: float) -> None:
    """timestamp_microseconds and its differences are modulo 2^32: no jump, no timeout, no slowdown."""
    reference = Network(delay=0.05, start=1000.0)
    wrapped = Network(delay=0.05, start=start)
    spans = []
    for network in (reference, wrapped):
        begin = network.now
        a, b = network.pair()
        data = random.Random(9).randbytes(1_000_000)
        number = a.connect(B)
        a.send(number, data, finish=True)
        network.run_until(lambda b=b: bool(b.of(EofReceived)))
        assert b.received[b.incoming] == data
        assert a.endpoint.stats(number).retransmissions == 0
        spans.append(network.now - begin)
    assert spans[1] == pytest.approx(spans[0], rel=0.02)
