"""The two octet streams of a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat.utp.limits import MAX_REORDERED, SMALL_PAYLOAD
from ledbat.utp.packet import bits
from ledbat.utp.streams import ReceiveQueue, SendQueue


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), max_size=40))
def test_what_is_taken_for_packets_is_what_was_written_in_order(writes: list[bytes], sizes: list[int]) -> None:
    queue = SendQueue()
    for data in writes:
        queue.append(data)
    taken = b""
    for size in sizes:
        if size <= queue.size:
            taken += queue.take(size)
    assert taken + (bytes(queue.take(queue.size)) if queue.size else b"") == b"".join(writes)


def test_octets_that_are_given_as_bytes_are_not_copied() -> None:
    queue = SendQueue()
    data = bytes(5000)
    queue.append(data)
    assert queue.take(1000).obj is data
    assert queue.take(4000).obj is data


def test_octets_that_may_change_are_copied() -> None:
    queue = SendQueue()
    data = bytearray(b"before")
    queue.append(data)
    data[:] = b"after!"
    assert bytes(queue.take(6)) == b"before"


def test_a_cleared_send_queue_is_empty() -> None:
    queue = SendQueue()
    queue.append(b"abc")
    queue.take(1)
    queue.clear()
    assert queue.size == 0
    queue.append(b"xyz")
    assert bytes(queue.take(3)) == b"xyz"


@given(st.permutations(range(1, 12)), st.integers(0, 0xFFFF), st.integers(0, 2))
def test_packets_in_any_order_come_out_in_theirs(order: list[int], start: int, scale: int) -> None:
    """Sequence numbers wrap wherever the start is."""
    payloads = {number: bytes([number]) * (number * 10**scale) for number in order}
    queue = ReceiveQueue(start, 1 << 20)
    done: set[int] = set()
    for number in order:
        ahead = (start + number - queue.ack_nr) & 0xFFFF
        taken = queue.next_packet(payloads[number]) if ahead == 1 else queue.later_packet(ahead, payloads[number])
        assert taken
        done.add(number)
        in_order = next(n for n in range(1, 14) if n not in done) - 1
        assert queue.ack_nr == (start + in_order) & 0xFFFF
        assert [in_order + 2 + bit for bit in bits(queue.mask)] == [n for n in sorted(done) if n > in_order]
        assert queue.buffered == sum(len(payloads[n]) for n in done)
        assert queue.readable == sum(len(payloads[n]) for n in range(1, in_order + 1))
    assert b"".join(queue.take_all()) == b"".join(payloads[number] for number in sorted(order))
    assert (queue.buffered, queue.readable, queue.reordered) == (0, 0, 0)


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=10), st.lists(st.integers(0, 900), max_size=10))
def test_the_application_takes_any_number_of_octets(payloads: list[bytes], sizes: list[int]) -> None:
    queue = ReceiveQueue(0, 1 << 20)
    for payload in payloads:
        assert queue.next_packet(payload)
    taken = b"".join(queue.take(size) for size in sizes)
    assert taken + b"".join(queue.take_all()) == b"".join(payloads)
    assert queue.buffered == 0


def test_a_packet_that_there_is_no_room_for_is_not_taken() -> None:
    queue = ReceiveQueue(0, 1000)
    assert queue.next_packet(bytes(700))
    assert not queue.next_packet(bytes(301))
    assert not queue.later_packet(2, bytes(301))
    assert (queue.ack_nr, queue.mask) == (1, 0)
    queue.take(1)
    assert queue.next_packet(bytes(301))


def test_the_same_packet_is_kept_once() -> None:
    queue = ReceiveQueue(0, 1000)
    assert queue.later_packet(3, b"abc")
    assert not queue.later_packet(3, b"abc")
    assert queue.buffered == 3


def test_the_reorder_buffer_is_limited_in_packets_too() -> None:
    queue = ReceiveQueue(0, 1 << 20)
    taken = sum(queue.later_packet(ahead, b"x") for ahead in range(2, MAX_REORDERED + 100))
    assert taken == MAX_REORDERED


def test_short_payloads_are_joined_so_that_an_octet_does_not_cost_an_object() -> None:
    queue = ReceiveQueue(0, 1 << 20)
    for _ in range(10_000):
        assert queue.next_packet(b"x")
    assert len(queue.take_all()) <= 10_000 // (16 * SMALL_PAYLOAD) + 1


@pytest.mark.parametrize("size", [SMALL_PAYLOAD + 1, 1452])
def test_a_long_payload_is_handed_on_as_it_came(size: int) -> None:
    queue = ReceiveQueue(0, 1 << 20)
    payload = bytes(size)
    queue.next_packet(payload)
    assert queue.take_all()[0] is payload
