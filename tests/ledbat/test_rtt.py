"""RFC 6298, and the bounds that RFC 6817 section 2.4.2 sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import ParameterError, RttEstimator


def test_the_timeout_is_a_second_before_the_first_sample() -> None:
    """RFC 6298 section 2 (2.1); RFC 6817 section 2.4.2: CTO = 1 second."""
    estimator = RttEstimator()
    assert estimator.rto == 1.0
    assert estimator.srtt is None


def test_the_timeout_is_backed_off_even_before_the_first_sample() -> None:
    """RFC 6298 section 2 (2.1): "backing off" on repeated retransmission still applies."""
    estimator = RttEstimator()
    estimator.back_off()
    assert estimator.rto == 2.0


def test_the_first_sample_sets_srtt_rttvar_and_rto() -> None:
    """RFC 6298 section 2 (2.2): SRTT <- R, RTTVAR <- R/2, RTO <- SRTT + 4 * RTTVAR."""
    estimator = RttEstimator()
    estimator.update(0.5)
    assert (estimator.srtt, estimator.rttvar, estimator.rto) == (0.5, 0.25, 1.5)


def test_a_later_sample_updates_rttvar_before_srtt() -> None:
    """RFC 6298 section 2 (2.3), by hand: RTTVAR = 3/4 * 0.5 + 1/4 * |1 - 2| = 0.625, SRTT = 7/8 + 1/4 = 1.125."""
    estimator = RttEstimator()
    estimator.update(1.0)
    estimator.update(2.0)
    assert (estimator.srtt, estimator.rttvar, estimator.rto) == (1.125, 0.625, 3.625)


def test_a_deviation_counts_in_either_direction() -> None:
    """RFC 6298 section 2 (2.3), by hand: RTTVAR = 3/4 * 1 + 1/4 * |2 - 1| = 1, SRTT = 7/8 * 2 + 1/8 = 1.875."""
    estimator = RttEstimator()
    estimator.update(2.0)
    estimator.update(1.0)
    assert (estimator.srtt, estimator.rttvar, estimator.rto) == (1.875, 1.0, 5.875)


def test_a_timeout_below_a_second_is_rounded_up() -> None:
    """RFC 6298 section 2 (2.4)."""
    estimator = RttEstimator()
    estimator.update(0.05)
    assert estimator.rto == 1.0


def test_a_variance_of_zero_is_rounded_to_the_clock_granularity() -> None:
    """RFC 6298 section 4: RTO <- SRTT + max (G, K*RTTVAR), where G is a millisecond."""
    estimator = RttEstimator()
    for _ in range(300):
        estimator.update(2.0)
    assert estimator.rttvar < 1e-9
    assert estimator.rto == 2.001


def test_each_expiry_doubles_the_timeout_up_to_sixty_seconds() -> None:
    """RFC 6298 section 5 (5.5) and 2 (2.5); RFC 6817 section 2.4.2: the maximum is at least 60 seconds."""
    estimator = RttEstimator()
    timeouts = []
    for _ in range(8):
        estimator.back_off()
        timeouts.append(estimator.rto)
    assert timeouts == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_higher_maximum_is_allowed() -> None:
    """RFC 6298 section 2 (2.5)."""
    estimator = RttEstimator(max_rto=240.0)
    for _ in range(9):
        estimator.back_off()
    assert estimator.rto == 240.0


def test_a_measured_timeout_obeys_the_maximum_too() -> None:
    """RFC 6298 section 2 (2.5)."""
    estimator = RttEstimator()
    estimator.update(100.0)
    assert estimator.rto == 60.0


def test_a_new_sample_ends_the_back_off() -> None:
    """RFC 6298 section 5: "collapsing" RTO back down after it has been subject to exponential back off."""
    estimator = RttEstimator()
    estimator.update(0.5)
    estimator.back_off()
    estimator.back_off()
    assert estimator.rto == 6.0
    estimator.update(0.5)
    assert estimator.rto == 0.5 + 4 * 0.1875


def test_a_round_trip_below_the_clock_granularity_is_a_sample() -> None:
    """RFC 6298 section 2 (2.2): a loopback interface and a coarse clock."""
    estimator = RttEstimator()
    estimator.update(0.0)
    assert (estimator.srtt, estimator.latest, estimator.rto) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("rtt", [-0.001, -1e300, float("inf"), float("-inf"), float("nan")])
def test_a_time_that_cannot_have_passed_is_no_sample(rtt: float) -> None:
    """A clock that went back tells nothing of the path."""
    estimator = RttEstimator()
    estimator.update(0.5)
    estimator.update(rtt)
    assert (estimator.srtt, estimator.rttvar, estimator.rto, estimator.latest) == (0.5, 0.25, 1.5, 0.5)


@pytest.mark.parametrize("max_rto", [59.999, 1.0, 0.0, -1.0, float("nan")])
def test_a_maximum_below_a_minute_is_refused(max_rto: float) -> None:
    """RFC 6817 section 2.4.2: A maximum value MAY be placed on the CTO, and if placed, it MUST be at least 60 s."""
    with pytest.raises(ParameterError, match=r"60 s .*2\.4\.2"):
        RttEstimator(max_rto=max_rto)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e300)), max_size=50))
def test_the_timeout_stays_between_a_second_and_a_minute(samples: list[float | None]) -> None:
    """RFC 6298 section 2 (2.4) and (2.5), for any samples and expiries (None)."""
    estimator = RttEstimator()
    for rtt in samples:
        if rtt is None:
            estimator.back_off()
        else:
            estimator.update(rtt)
        assert 1.0 <= estimator.rto <= 60.0
