"""Peers that guess and send garbage, in every state: nothing raises, and every limit holds."""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, STATE, SYN, Hand, build
from hypothesis import given
from hypothesis import strategies as st
from utp_endpoints import endpoint
from utp_network import B, Network
from utp_states import connected, held, zero_window

from ledbat.errors import StateError
from ledbat.reno import NewReno
from ledbat.utp import Closed, DatagramDropped, Incoming

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
