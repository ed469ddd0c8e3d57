"""Fragments become the message again (RFC 6940 section 6.7, trap T18)."""

import random
import tracemalloc

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.destinations import NodeDestination
from reload.forwarding import fragment
from reload.header import LAST_FRAGMENT, UNFRAGMENTED, ForwardingHeader, decode_header, encode_header
from reload.reassembly import LIFETIME, MAX_MESSAGES, MAX_MESSAGES_OF_HOP, MAX_OCTETS, Reassembler

HOP, OTHER = b"h" * 16, b"o" * 16
HERE = NodeDestination(b"n" * 16)
HEADER = ForwardingHeader(0x9AA32B8D, 7, (HERE,), via_list=(NodeDestination(b"a" * 16),), ttl=97)
FIRST = 0x80000000


def message(size: int, transaction_id: int = 7) -> bytes:
    header = attrs.evolve(HEADER, transaction_id=transaction_id)
    return encode_header(header, size) + random.Random(size).randbytes(size)


def receive(reassembler: Reassembler, octets: bytes, now: float = 0.0, hop: bytes = HOP) -> bytes | None:
    header, start = decode_header(octets)
    return reassembler.receive(hop, header, octets[start:], now)


def part(start: int, payload: bytes, *, last: bool = False, transaction_id: int = 7) -> tuple[ForwardingHeader, bytes]:
    field = FIRST | (LAST_FRAGMENT if last else 0) | start
    return attrs.evolve(HEADER, fragment=field, transaction_id=transaction_id), payload


def assert_empty(reassembler: Reassembler) -> None:
    assert (len(reassembler), reassembler.octets, reassembler.get_timer()) == (0, 0, None)


@pytest.mark.parametrize("seed", range(6))
def test_fragments_in_any_order_become_the_message_again(seed: int) -> None:
    data = message(4900)
    fragments = fragment(data, 700)
    random.Random(seed).shuffle(fragments)
    reassembler = Reassembler()
    found = [receive(reassembler, each) for each in fragments]
    assert found == [None] * (len(fragments) - 1) + [data]
    assert_empty(reassembler)


def test_a_whole_message_passes() -> None:
    data = message(10)
    reassembler = Reassembler()
    assert receive(reassembler, data) == data
    assert_empty(reassembler)


@given(st.data())
def test_fragments_of_several_transmissions_cut_differently_complete_one_another(data: st.DataObject) -> None:
    whole = message(3000)
    fragments = [
        each
        for mtu in data.draw(st.lists(st.integers(400, 1800), min_size=1, max_size=4))
        for each in fragment(whole, mtu)
    ]
    lost = data.draw(st.sets(st.integers(0, len(fragments) - 1)))
    arrived = data.draw(st.permutations([each for place, each in enumerate(fragments) if place not in lost]))
    covered: set[int] = set()
    reassembler = Reassembler()
    for each in arrived:
        header, start = decode_header(each)
        covered |= set(range(header.fragment_offset, header.fragment_offset + len(each) - start))
        found = receive(reassembler, each)
        if len(covered) == 3000:
            assert found == whole
            assert_empty(reassembler)
            return
        assert found is None
        assert reassembler.octets == len(covered)


def test_two_fragments_that_contradict_each_other_drop_the_message() -> None:
    reassembler = Reassembler()
    reassembler.receive(HOP, *part(0, b"a" * 300), now=0.0)
    reassembler.receive(HOP, *part(600, b"b" * 300), now=0.0)
    assert reassembler.receive(HOP, *part(299, b"ac" * 100), now=0.0) is None
    assert len(reassembler) == 1
    assert reassembler.receive(HOP, *part(298, b"x" * 10), now=0.0) is None
    assert_empty(reassembler)


@pytest.mark.parametrize(
    "wrong",
    [
        part(600, b"x" * 100, last=True),
        part(1000, b"x"),
        part(900, b"x" * 101),
        part(0, b""),
        part(4999, b"xx"),
        part(0xFFFFFF, b"x"),
    ],
    ids=["another end", "behind the end", "over the end", "nothing", "too long", "far too long"],
)
def test_a_fragment_that_cannot_be_of_the_message_drops_it(wrong: tuple[ForwardingHeader, bytes]) -> None:
    reassembler = Reassembler()
    reassembler.receive(HOP, *part(900, b"e" * 100, last=True), now=0.0)
    assert len(reassembler) == 1
    assert reassembler.receive(HOP, *wrong, now=0.0) is None
    assert_empty(reassembler)


def test_an_end_before_what_is_there_drops_the_message() -> None:
    reassembler = Reassembler()
    reassembler.receive(HOP, *part(900, b"e" * 100), now=0.0)
    reassembler.receive(HOP, *part(0, b"e" * 500, last=True), now=0.0)
    assert_empty(reassembler)


@pytest.mark.parametrize(
    "other",
    [
        {"hop": OTHER},
        {"header": {"transaction_id": 8}},
        {"header": {"destination_list": (NodeDestination(b"m" * 16),)}},
    ],
    ids=["hop", "transaction", "destination"],
)
def test_fragments_of_another_hop_transaction_or_destination_do_not_join(other: dict[str, object]) -> None:
    first, second = fragment(message(600), 450)
    reassembler = Reassembler()
    assert receive(reassembler, first) is None
    header, start = decode_header(second)
    header = attrs.evolve(header, **other.get("header", {}))  # type: ignore[arg-type]
    hop = other.get("hop", HOP)
    assert isinstance(hop, bytes)
    assert reassembler.receive(hop, header, second[start:], 0.0) is None
    assert len(reassembler) == 2
    assert receive(reassembler, second) == message(600)


def test_an_incomplete_message_is_dropped_after_15_seconds() -> None:
    first, second = fragment(message(600), 450)
    reassembler = Reassembler()
    receive(reassembler, first, 100.0)
    assert reassembler.get_timer() == 100.0 + LIFETIME == 115.0
    reassembler.handle_timer(114.9)
    assert len(reassembler) == 1
    reassembler.handle_timer(115.0)
    assert_empty(reassembler)
    reassembler.handle_timer(115.0)
    receive(reassembler, first, 200.0)
    assert receive(reassembler, second, 215.0) is None
    assert receive(reassembler, first, 215.0) == message(600)


def test_one_hop_cannot_push_out_the_messages_of_another() -> None:
    first, second = fragment(message(600), 450)
    reassembler = Reassembler()
    receive(reassembler, first, hop=OTHER)
    for number in range(1000):
        reassembler.receive(HOP, *part(0, b"a", transaction_id=number), now=0.0)
    assert len(reassembler) == MAX_MESSAGES_OF_HOP + 1
    assert receive(reassembler, second, hop=OTHER) == message(600)


def test_all_hops_together_are_limited_and_the_oldest_goes() -> None:
    reassembler = Reassembler()
    for number in range(1000):
        reassembler.receive(number.to_bytes(16, "big"), *part(0, b"a"), now=number / 1000)
    assert len(reassembler) == MAX_MESSAGES
    assert reassembler.octets == MAX_MESSAGES
    assert reassembler.get_timer() == pytest.approx((1000 - MAX_MESSAGES) / 1000 + LIFETIME)


def test_the_octets_of_all_incomplete_messages_are_limited() -> None:
    reassembler = Reassembler(max_size=100_000)
    for hop in range(8):
        for number in range(MAX_MESSAGES_OF_HOP):
            header, payload = part(0, bytes(60_000), transaction_id=number)
            reassembler.receive(hop.to_bytes(16, "big"), header, payload, 0.0)
            assert reassembler.octets <= MAX_OCTETS
    assert reassembler.octets > MAX_OCTETS - 60_000


def test_no_memory_is_made_for_an_offset() -> None:
    reassembler = Reassembler(max_size=2**24)
    tracemalloc.start()
    try:
        for number in range(100):
            reassembler.receive(HOP, *part(2**24 - 10, b"a" * 10, last=True, transaction_id=number), now=0.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_a_message_in_crumbs_is_dropped() -> None:
    reassembler = Reassembler()
    for number in range(79):
        reassembler.receive(HOP, *part(2 * number, b"a"), now=0.0)
        assert len(reassembler) == 1
    reassembler.receive(HOP, *part(2 * 79, b"a"), now=0.0)
    assert_empty(reassembler)


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 40), st.booleans(), st.integers(0, 2), st.booleans()), max_size=40
    )
)
def test_nothing_that_arrives_raises_and_only_the_true_message_comes_out(
    fragments: list[tuple[int, int, bool, int, bool]],
) -> None:
    body = bytes(range(100))
    reassembler = Reassembler(max_size=80)
    for start, size, last, transaction_id, liar in fragments:
        payload = bytes(size) if liar else body[start : start + size]
        header, payload = part(start, payload, last=last, transaction_id=transaction_id)
        found = reassembler.receive(HOP, header, payload, 0.0)
        held = sum(partial.octets for partial in reassembler._messages.values())
        assert reassembler.octets == held <= 3 * 80
        if found is not None:
            whole, at = decode_header(found)
            assert whole.fragment == UNFRAGMENTED
            assert whole.length == len(found) <= at + 80
