"""The retransmission timeout of a link (RFC 6298 section 2, RFC 6940 section 6.6.3.1)."""

from hypothesis import given
from hypothesis import strategies as st

from reload.rto import MAX_RTO, RetransmissionTimeout


def test_the_first_measurement_is_taken_by_formula_2_2() -> None:
    timeout = RetransmissionTimeout(0.5, granularity=0.001)
    assert timeout.rto == 0.5
    timeout.measure(0.1)
    assert timeout.rto == 0.3  # 0.1 + 4 * 0.05


def test_those_that_follow_by_formula_2_3_with_the_variation_first() -> None:
    timeout = RetransmissionTimeout(0.5, granularity=0.001)
    timeout.measure(0.1)
    timeout.measure(0.2)
    # RTTVAR = 3/4 * 0.05 + 1/4 * 0.1 = 0.0625; SRTT = 7/8 * 0.1 + 1/8 * 0.2 = 0.1125
    assert timeout.rto == 0.363  # 0.3625, rounded up to a millisecond and not to a second


def test_steady_times_leave_the_granularity() -> None:
    timeout = RetransmissionTimeout(0.5, granularity=0.05)
    for _ in range(200):
        timeout.measure(0.02)
    assert timeout.rto == 0.07


def test_a_least_timeout_holds() -> None:
    timeout = RetransmissionTimeout(1.0, granularity=0.1, least=1.0)
    timeout.measure(0.01)
    assert timeout.rto == 1.0


@given(st.lists(st.floats(-1, 1e9), min_size=1))
def test_the_timeout_stays_within_its_limits(times: list[float]) -> None:
    timeout = RetransmissionTimeout(0.5, granularity=0.05)
    for rtt in times:
        timeout.measure(rtt)
        assert 0.05 <= timeout.rto <= MAX_RTO
