"""From delay samples to the queueing delay, over any clock offset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import BaseDelay, MinFilter, NullFilter, QueuingDelay
from ledbat.queuing_delay import difference


def estimator() -> QueuingDelay:
    return QueuingDelay(NullFilter(), BaseDelay())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (5, 3, 2),
        (3, 5, -2),
        (0, 2**32 - 1, 1),
        (2**32 - 1, 0, -1),
        (2**31 - 1, 0, 2**31 - 1),
        (2**31, 0, -(2**31)),
        (2**64 - 10, 10, -20),
        (-10, 10, -20),
        (10**30, 10**30 - 7, 7),
    ],
)
def test_a_difference_is_the_nearest_one_modulo_32_bits(a: int, b: int, expected: int) -> None:
    """RFC 6817 appendix A.1: only differences mean anything; the clocks of uTP wrap at 2^32."""
    assert difference(a, b) == expected


def test_the_queueing_delay_is_what_exceeds_the_base_delay() -> None:
    """RFC 6817 section 3.1.2."""
    delay = estimator()
    values = [delay.update([sample], 0.0, 1.0, None) for sample in (700, 900, 650, 660)]
    assert values == [0, 200, 0, 10]
    assert delay.base_delay_us == 650
    assert delay.queuing_delay_us == 10


def test_the_samples_of_a_bundle_count_in_their_order() -> None:
    """RFC 6817 section 2.3: the sender's adjustment may be sensitive to the order of the samples."""
    delay = estimator()
    assert delay.update([500, 800, 600], 0.0, 1.0, None) == 100
    assert delay.update([600, 500, 800], 0.0, 1.0, None) == 300


def test_there_is_no_queueing_delay_before_a_sample() -> None:
    """RFC 6817 section 2.4.2: the lists are empty at first."""
    delay = estimator()
    assert delay.update([], 0.0, 1.0, None) is None
    assert delay.queuing_delay_us is None
    assert delay.base_delay_us is None


def test_there_is_no_queueing_delay_when_every_sample_is_older_than_an_rtt() -> None:
    """RFC 6817 section 2.5: CURRENT_FILTER MUST be limited such that samples are not older than an RTT."""
    delay = estimator()
    delay.update([500], 0.0, 0.1, None)
    assert delay.update([], 0.1, 0.1, None) == 0
    assert delay.update([], 0.2, 0.1, None) is None


def test_the_queueing_delay_is_at_most_the_round_trip_time() -> None:
    """RFC 6817 section 6: wrong delays must not do more harm than a queue could; none is longer than the RTT."""
    delay = estimator()
    delay.update([0], 0.0, 1.0, 0.05)
    assert delay.update([90_000], 0.0, 1.0, 0.05) == pytest.approx(50_000)


def test_the_queueing_delay_is_never_negative() -> None:
    """RFC 6817 section 4.2: even when a new minute begins the base anew while older samples are still in the filter."""
    delay = QueuingDelay(MinFilter(), BaseDelay(1))
    delay.update([100], 59.9, 1.0, None)
    assert delay.update([150], 60.1, 1.0, None) == 0


@given(
    st.lists(st.lists(st.integers(0, 200_000), max_size=4), max_size=30),
    st.integers(-(2**70), 2**70),
)
def test_no_clock_offset_changes_the_estimate(bundles: list[list[int]], offset: int) -> None:
    """RFC 6817 appendix A.1: clock offset error has no impact on LEDBAT; wherever the counter wraps."""
    here, there = estimator(), estimator()
    for step, samples in enumerate(bundles):
        now = step * 7.0
        shifted = [(sample + offset) % 2**32 for sample in samples]
        assert there.update(shifted, now, 10.0, None) == here.update(samples, now, 10.0, None)


def test_a_counter_that_wraps_in_mid_flow_is_followed() -> None:
    """RFC 6817 appendix A.1, at the wrap of a 32-bit microsecond clock."""
    delay = estimator()
    samples = [2**32 - 100, 2**32 - 50, 40, 2**32 - 120]
    assert [delay.update([sample], 0.0, 1.0, None) for sample in samples] == [0, 50, 140, 0]


def test_a_drift_beyond_the_range_of_the_counter_is_followed() -> None:
    """RFC 6817 appendix A.2: a skew that adds up to more than 2^31 us within the history is no wrap."""
    delay = QueuingDelay(NullFilter(), BaseDelay(10))
    values = [delay.update([(step * 9_000_000) % 2**32], step * 0.001, 1.0, None) for step in range(600)]
    assert values == [step * 9_000_000 for step in range(600)]


@pytest.mark.parametrize("usual", [5_000, 1_000_000_000, -1_000_000_000])
def test_a_single_absurd_sample_is_ignored(usual: int) -> None:
    """RFC 6817 section 6: a field of noise must not become the base delay of ten minutes."""
    delay = estimator()
    delay.update([usual], 0.0, 1.0, 0.05)
    for absurd in (-(2**31), 2**31 - 1, -60_000_000, 60_000_000, -10_000_001, 10_000_002):
        delay.update([usual + absurd], 0.0, 1.0, 0.05)
        assert delay.update([usual + 1_000], 0.0, 1.0, 0.05) == 1_000
    assert delay.base_delay_us == usual


@pytest.mark.parametrize("usual", [0, 1_000_000_000])
def test_samples_ten_seconds_apart_are_believed(usual: int) -> None:
    """RFC 6817 section 3.1.2: up to there a queue is a queue."""
    delay = estimator()
    assert delay.update([usual, usual + 10_000_000], 0.0, 1.0, None) == 10_000_000
    assert delay.update([usual, usual], 0.0, 1.0, None) == 0


@pytest.mark.parametrize("step", [20_000_000, -20_000_000, 2**31 - 1, -(2**31)])
def test_two_samples_that_agree_show_that_a_clock_was_set(step: int) -> None:
    """RFC 6817 appendix A.1: the offset changed, so measurement begins anew."""
    delay = estimator()
    delay.update([5_000, 7_000], 0.0, 1.0, 0.05)
    delay.update([5_000 + step], 0.0, 1.0, 0.05)
    assert delay.update([5_400 + step], 0.0, 1.0, 0.05) == 0
    assert delay.update([5_600 + step], 0.0, 1.0, 0.05) == 200


def test_a_delay_that_the_rtt_shows_too_is_no_absurd_one() -> None:
    """RFC 6817 section 3.1.2: a queue of 20 s is believed when the round trip takes as long."""
    delay = estimator()
    delay.update([5_000], 0.0, 1.0, 0.05)
    assert delay.update([20_005_000], 0.0, 1.0, 20.5) == 20_000_000


def test_a_step_below_ten_seconds_is_left_to_the_history() -> None:
    """RFC 6817 section 2.5: a higher base delay takes BASE_HISTORY minutes."""
    delay = estimator()
    delay.update([5_000], 0.0, 1.0, None)
    assert delay.update([9_005_000], 0.0, 1.0, None) == 9_000_000


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=40), st.one_of(st.none(), st.floats(0, 100)))
def test_any_integers_give_a_delay_between_zero_and_the_rtt(bundles: list[list[int]], rtt: float | None) -> None:
    """RFC 6817 section 6."""
    delay = QueuingDelay(MinFilter(), BaseDelay())
    for step, samples in enumerate(bundles):
        value = delay.update(samples, step * 13.0, 20.0, rtt)
        assert value is None or 0 <= value <= (2**63 if rtt is None else rtt * 1e6)
