"""The endpoint: which packet belongs to whom, misuse, determinism, what it sends at a time.

The peer is made by hand where single packets matter.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, START, STATE, Hand, parse
from hypothesis import given
from hypothesis import strategies as st
from utp_endpoints import connected, drain, endpoint
from utp_network import B, Network

from ledbat.errors import ParameterError, StateError
from ledbat.utp import Closed, EofReceived, Incoming, Reason, UtpEndpoint

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
