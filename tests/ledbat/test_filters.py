"""The filters of RFC 6817 section 2.4.2, and the limit on the age of what they look at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import DelayFilter, EwmaFilter, MinFilter, NullFilter, ParameterError

FILTERS = [MinFilter, EwmaFilter, NullFilter]


@pytest.mark.parametrize("make", FILTERS)
def test_a_filter_without_samples_has_no_current_delay(make: type[DelayFilter]) -> None:
    """RFC 6817 section 2.4.2."""
    assert make().current(0.0, 1.0) is None


@pytest.mark.parametrize("make", FILTERS)
def test_a_single_sample_is_the_current_delay(make: type[DelayFilter]) -> None:
    """RFC 6817 section 2.4.2."""
    delay_filter = make()
    delay_filter.add(-7, 1.0)
    assert delay_filter.current(1.0, 0.0) == -7


@pytest.mark.parametrize("make", FILTERS)
def test_a_sample_older_than_an_rtt_does_not_count(make: type[DelayFilter]) -> None:
    """RFC 6817 section 2.5: samples in the list are not older than an RTT in the past."""
    delay_filter = make()
    delay_filter.add(10, 1.0)
    assert delay_filter.current(1.5, 0.5) == 10
    assert delay_filter.current(1.501, 0.5) is None


@pytest.mark.parametrize("make", FILTERS)
def test_a_cleared_filter_has_forgotten_everything(make: type[DelayFilter]) -> None:
    """RFC 6817 section 2.4.2."""
    delay_filter = make()
    delay_filter.add(10, 1.0)
    delay_filter.clear()
    assert delay_filter.current(1.0, 5.0) is None


def test_the_null_filter_is_the_last_sample() -> None:
    """RFC 6817 section 2.4.2: a NULL filter does not filter at all."""
    null = NullFilter()
    for delay in (5, 1, 9):
        null.add(delay, 0.0)
    assert null.current(0.0, 1.0) == 9


def test_the_min_filter_is_the_least_of_the_last_samples() -> None:
    """RFC 6817 section 2.4.2: a MIN filter over a small window."""
    least = MinFilter(3)
    seen = []
    for at, delay in enumerate((5, 1, 9, 8, 7, 2)):
        least.add(delay, at)
        seen.append(least.current(at, 100.0))
    assert seen == [5, 1, 1, 1, 7, 2]


def test_the_min_filter_drops_samples_by_age_before_their_number() -> None:
    """RFC 6817 section 2.5."""
    least = MinFilter(8)
    for at, delay in ((0.0, 1), (0.4, 3), (0.8, 2)):
        least.add(delay, at)
    assert least.current(0.8, 0.8) == 1
    assert least.current(0.9, 0.8) == 2
    assert least.current(1.3, 0.5) == 2
    assert least.current(1.4, 0.5) is None


def test_the_default_min_filter_looks_at_the_four_samples_that_an_rtt_should_have() -> None:
    """RFC 6817 section 2.5: use at least 4 delay samples in each RTT."""
    least = MinFilter()
    for delay in (1, 5, 5, 5):
        least.add(delay, 0.0)
    assert least.current(0.0, 1.0) == 1


def test_the_default_min_filter_follows_a_lasting_queue_within_eight_samples() -> None:
    """RFC 6817 section 2.4.2: the filter remains sensitive to persistent congestion signals."""
    least = MinFilter()
    for delay in [0] * 100 + [90_000] * 8:
        least.add(delay, 0.0)
    assert least.current(0.0, 1.0) == 90_000


def test_the_ewma_filter_weighs_the_newest_sample_most() -> None:
    """RFC 6817 section 2.4.2: 0.5 * 8 + 0.25 * 4 + 0.25 * 0 by hand."""
    average = EwmaFilter(weight=0.5)
    for delay in (0, 4, 8):
        average.add(delay, 0.0)
    assert average.current(0.0, 1.0) == 5.0


def test_the_ewma_filter_gives_nothing_older_than_an_rtt_any_weight() -> None:
    """RFC 6817 section 2.5: the average of the two newest samples alone, 0.5 * 8 + 0.5 * 4."""
    average = EwmaFilter(weight=0.5)
    for at, delay in ((0.0, 1_000_000), (1.0, 4), (1.1, 8)):
        average.add(delay, at)
    assert average.current(1.2, 0.5) == 6.0


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=40), st.integers(-(2**80), 2**80))
def test_the_ewma_filter_is_exact_wherever_the_zero_of_the_delays_lies(delays: list[int], offset: int) -> None:
    """RFC 6817 appendix A.1: clock offset has no impact."""
    here, there = EwmaFilter(), EwmaFilter()
    for delay in delays:
        here.add(delay, 0.0)
        there.add(delay + offset, 0.0)
    one, other = here.current(0.0, 1.0), there.current(0.0, 1.0)
    assert one is not None
    assert other is not None
    assert other - offset == pytest.approx(one, abs=max(1e-6, abs(offset) * 1e-15))


@pytest.mark.parametrize("make", [MinFilter, EwmaFilter])
def test_a_filter_keeps_no_more_samples_than_its_size(make: type[MinFilter] | type[EwmaFilter]) -> None:
    """However fast a peer acknowledges, the list stays short."""
    delay_filter = make(size=4)
    for delay in range(1000):
        delay_filter.add(delay, 0.0)
    current = delay_filter.current(0.0, 1.0)
    assert current is not None
    assert current >= 996


@pytest.mark.parametrize("make", [MinFilter, EwmaFilter])
def test_a_filter_of_one_sample_and_of_many_are_accepted(make: type[MinFilter] | type[EwmaFilter]) -> None:
    """RFC 6817 section 2.5: the size of this list, CURRENT_FILTER, may be variable."""
    one, many = make(size=1), make(size=1024)
    for delay_filter in (one, many):
        for delay in (1, 2):
            delay_filter.add(delay, 0.0)
    assert one.current(0.0, 1.0) == 2
    assert many.current(0.0, 1.0) in (1, 1.25)


@pytest.mark.parametrize("size", [0, -1, 1025, 10**9])
@pytest.mark.parametrize("make", [MinFilter, EwmaFilter])
def test_a_filter_refuses_a_size_that_makes_no_sense(make: type[MinFilter] | type[EwmaFilter], size: int) -> None:
    """A mistake gets one clear sentence."""
    with pytest.raises(ParameterError, match="CURRENT_FILTER"):
        make(size=size)


@pytest.mark.parametrize("weight", [0.0, -0.1, 1.1, float("nan")])
def test_the_ewma_filter_refuses_a_weight_that_makes_no_sense(weight: float) -> None:
    """A mistake gets one clear sentence."""
    with pytest.raises(ParameterError, match="weight"):
        EwmaFilter(weight=weight)
