"""The list of one-minute minima of RFC 6817 section 2.4.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import BaseDelay, ParameterError


def test_every_minimum_is_infinite_at_first() -> None:
    """RFC 6817 section 2.4.2: initialize elements in base_delays to +INFINITY; section 2.5: BASE_HISTORY is 10."""
    base = BaseDelay()
    assert base.delays == (None,) * 10
    assert base.minimum is None


def test_a_minute_keeps_its_least_delay() -> None:
    """RFC 6817 section 2.4.2: base_delays.tail = MIN(base_delays.tail, delay)."""
    base = BaseDelay(3)
    for at, delay in ((0.0, 50), (10.0, 40), (59.999, 60)):
        base.update(delay, at)
    assert base.delays == (None, None, 40)
    assert base.minimum == 40


def test_a_new_minute_pushes_the_oldest_out() -> None:
    """RFC 6817 section 2.4.2: delete first item, append delay."""
    base = BaseDelay(3)
    for minute, delay in enumerate((10, 20, 30, 40)):
        base.update(delay, minute * 60.0)
    assert base.delays == (20, 30, 40)
    assert base.minimum == 20


def test_an_idle_minute_is_stored_as_infinity() -> None:
    """RFC 6817 section 2.4.2: If the connection is idle for a given minute, +INFINITY has to be stored in the list."""
    base = BaseDelay(5)
    base.update(10, 30.0)
    base.update(20, 30.0 + 3 * 60)
    assert base.delays == (None, 10, None, None, 20)
    assert base.minimum == 10


def test_after_base_history_idle_minutes_measurement_begins_anew() -> None:
    """RFC 6817 section 2.4.2: all minima in the list are thus set to +INFINITY and measurement begins anew."""
    base = BaseDelay(10)
    base.update(10, 0.0)
    base.update(90, 10 * 60.0)
    assert base.delays == (None,) * 9 + (90,)
    assert base.minimum == 90


def test_the_list_is_kept_while_idle() -> None:
    """RFC 6817 section 2.4.2: during idle periods, an implementation must maintain the base delay list."""
    base = BaseDelay(10)
    base.update(10, 0.0)
    base.update(90, 9 * 60.0 + 59)
    assert base.minimum == 10


def test_a_lower_delay_counts_at_once() -> None:
    """RFC 6817 section 2.5: If the actual base delay decreases, a LEDBAT sender adapts immediately."""
    base = BaseDelay(10)
    base.update(50, 0.0)
    base.update(-3, 1.0)
    assert base.minimum == -3


def test_a_higher_base_delay_takes_base_history_minutes() -> None:
    """RFC 6817 section 2.5: a LEDBAT sender will take BASE_HISTORY minutes to adapt."""
    base = BaseDelay(10)
    base.update(50, 0.0)
    minima = []
    for minute in range(1, 11):
        base.update(80, minute * 60.0)
        minima.append(base.minimum)
    assert minima == [50] * 9 + [80]


def test_minutes_do_not_repeat_after_an_hour() -> None:
    """RFC 6817 section 2.4.2: a sample exactly an hour later is in another minute."""
    base = BaseDelay(2)
    base.update(10, 5.0)
    base.update(30, 3605.0)
    assert base.minimum == 30


def test_a_clock_that_goes_back_stays_in_its_minute() -> None:
    """The list must not lose minima to a clock that is not monotonic."""
    base = BaseDelay(3)
    base.update(10, 600.0)
    base.update(5, 30.0)
    base.update(20, 601.0)
    assert base.delays == (None, None, 5)


def test_a_cleared_history_begins_anew() -> None:
    """RFC 6817 section 2.4.2."""
    base = BaseDelay(2)
    base.update(10, 0.0)
    base.clear()
    assert base.minimum is None
    base.update(30, 0.0)
    assert base.delays == (None, 30)


@pytest.mark.parametrize("history", [0, -1])
def test_a_history_without_minutes_is_refused(history: int) -> None:
    """RFC 6817 section 2.5."""
    with pytest.raises(ParameterError, match=r"BASE_HISTORY.*section 2\.5"):
        BaseDelay(history)


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.floats(0, 900), st.integers(-(2**40), 2**40)), max_size=60),
)
def test_the_minimum_is_that_of_the_samples_of_the_last_minutes(history: int, steps: list[tuple[float, int]]) -> None:
    """RFC 6817 section 3.1.1, against a list of all samples."""
    base = BaseDelay(history)
    now, samples = 0.0, []
    for gap, delay in steps:
        now += gap
        base.update(delay, now)
        samples.append((int(now // 60), delay))
        newest = samples[-1][0]
        assert base.minimum == min(delay for minute, delay in samples if minute > newest - history)
        assert len(base.delays) == history
