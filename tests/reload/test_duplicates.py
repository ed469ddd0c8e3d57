"""Messages that a datagram link brings twice (RFC 6940 sections 6.6.2 and 6.6.3.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.duplicates import SEQUENCES, Duplicates
from reload.framing import WINDOW, DataFrame

RTO = 0.5


def test_a_datagram_that_the_network_doubles_is_known_by_its_number() -> None:
    duplicates = Duplicates()
    assert duplicates.is_new(DataFrame(0, b"a"), RTO, 0.0)
    assert not duplicates.is_new(DataFrame(0, b"a"), RTO, 100.0)


def test_retransmissions_are_known_by_their_octets_whichever_of_them_are_lost() -> None:
    times = (0.0, 0.5, 1.5, 3.5, 7.5)
    for came in range(1, 32):
        duplicates = Duplicates()
        assert duplicates.is_new(DataFrame(9, b"before"), RTO, -1.0)
        arrived = [number for number in range(5) if came >> number & 1]
        fresh = [duplicates.is_new(DataFrame(10 + number, b"a"), RTO, times[number]) for number in arrived]
        assert fresh == [True] + [False] * (len(arrived) - 1), arrived


def test_what_is_sent_again_end_to_end_passes() -> None:
    duplicates = Duplicates()
    for number in range(5):
        assert duplicates.is_new(DataFrame(number, b"a"), RTO, number * 3.0)


def test_what_is_sent_again_behind_other_messages_passes() -> None:
    duplicates = Duplicates()
    for number in range(20):
        assert duplicates.is_new(DataFrame(number, b"a" if number % 10 == 0 else b"%d" % number), RTO, number * 0.3)


@pytest.mark.parametrize("others", [1, 2, 3])
@pytest.mark.parametrize("first", [0, SEQUENCES - 2])
def test_what_is_sent_again_end_to_end_passes_behind_a_few_other_messages(first: int, others: int) -> None:
    duplicates = Duplicates()
    assert duplicates.is_new(DataFrame(first, b"a"), RTO, 0.0)
    for number in range(1, others + 1):
        assert duplicates.is_new(DataFrame((first + number) % SEQUENCES, b"%d" % number), RTO, 0.1)
    # A retransmission of the link with this number would come by 0.5 * (2 ** (others + 1) - 1) seconds.
    assert duplicates.is_new(DataFrame((first + others + 1) % SEQUENCES, b"a"), RTO, 1.4)


def test_a_late_transmission_of_what_was_there_is_known() -> None:
    duplicates = Duplicates()
    assert duplicates.is_new(DataFrame(1, b"a"), RTO, 0.5)
    assert duplicates.is_new(DataFrame(2, b"b"), RTO, 0.6)
    assert not duplicates.is_new(DataFrame(0, b"a"), RTO, 9.0)


def test_numbers_wrap() -> None:
    duplicates = Duplicates()
    assert duplicates.is_new(DataFrame(SEQUENCES - 1, b"a"), RTO, 0.0)
    assert not duplicates.is_new(DataFrame(0, b"a"), RTO, 0.5)
    assert duplicates.is_new(DataFrame(1, b"b"), RTO, 0.6)
    assert not duplicates.is_new(DataFrame(SEQUENCES - 2, b"a"), RTO, 0.7)


@pytest.mark.parametrize("step", [1, 2, 1000, SEQUENCES // 2 - 1])
def test_messages_of_a_sender_of_any_kind_are_all_new(step: int) -> None:
    duplicates = Duplicates()
    for number in range(100):
        assert duplicates.is_new(DataFrame(number * step % SEQUENCES, b"%d" % number), RTO, 0.0)


@given(st.lists(st.tuples(st.integers(0, SEQUENCES - 1), st.binary(max_size=2), st.floats(0, 1e6)), max_size=80))
def test_whatever_comes_memory_is_bounded(frames: list[tuple[int, bytes, float]]) -> None:
    duplicates = Duplicates()
    for sequence, message, now in frames:
        duplicates.is_new(DataFrame(sequence, message), RTO, now)
    assert len(duplicates._seen) <= WINDOW
    assert len(duplicates._numbers) <= WINDOW
