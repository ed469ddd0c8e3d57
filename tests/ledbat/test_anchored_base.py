"""The base delay anchored by round-trip times (requirements section 0.7; ours, in no RFC)."""

import pytest

from ledbat.anchored_base import AnchoredBase
from ledbat.errors import ParameterError

MARGIN = 300


def sample(base: AnchoredBase, delay_us: int, excess_us: int | None, now: float = 0.0) -> int | None:
    base.begin(excess_us)
    base.update(delay_us, now)
    return base.minimum


def test_there_is_none_before_the_first_sample() -> None:
    """As for BaseDelay."""
    assert AnchoredBase(MARGIN).minimum is None


def test_without_round_trip_times_it_is_the_minimum_of_the_history() -> None:
    """RFC 6817 section 3.1.1."""
    base = AnchoredBase(MARGIN)
    assert [sample(base, delay, None) for delay in (900, 700, 800)] == [900, 700, 700]


@pytest.mark.parametrize("excess", [0, 300])
def test_a_round_trip_without_a_queue_shows_the_base_even_when_it_has_risen(excess: int) -> None:
    """A clock that gains makes every delay longer."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    assert sample(base, 15_000, excess, 5.0) == 15_000


def test_a_queue_on_the_way_back_does_not_lift_it() -> None:
    """The excess of the round trip is above what the one-way delay has gained."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    assert sample(base, 10_500, 40_000) == 10_000


def test_a_base_that_the_round_trip_contradicts_is_lifted() -> None:
    """The queue on this way is at most the excess: 15 ms - 2 ms."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    assert sample(base, 12_300, 2_000) == 10_000  # within the margin
    assert sample(base, 15_000, 2_000) == 13_000


def test_a_smaller_delay_lowers_it_at_once() -> None:
    """Nothing is below the base."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    assert sample(base, 9_000, 50_000) == 9_000


def test_of_one_acknowledgement_the_least_sample_counts() -> None:
    """It had the shortest queue, and the round-trip time may be its own."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    base.begin(100)
    for delay in (16_000, 14_000, 17_000):
        base.update(delay, 1.0)
    assert base.minimum == 14_000
    base.begin(1_000)
    for delay in (20_000, 14_200, 30_000):
        base.update(delay, 2.0)
    assert base.minimum == 14_000


def test_an_anchor_older_than_the_history_no_longer_counts() -> None:
    """Then it is the minimum of the last minutes again."""
    base = AnchoredBase(MARGIN, history=2)
    sample(base, 10_000, 0, 0.0)
    assert sample(base, 50_000, 60_000, 119.0) == 10_000
    assert sample(base, 51_000, 60_000, 121.0) == 50_000


def test_measurement_can_begin_anew() -> None:
    """As after a clock was set."""
    base = AnchoredBase(MARGIN)
    sample(base, 10_000, 0)
    base.clear()
    assert base.minimum is None
    assert sample(base, 99_000, 5_000) == 99_000


def test_a_history_below_a_minute_is_refused() -> None:
    """As for BaseDelay."""
    with pytest.raises(ParameterError):
        AnchoredBase(MARGIN, history=0)
