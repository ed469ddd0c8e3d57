"""CUBIC's window (RFC 9438)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import LedbatError, ParameterError
from ledbat.cubic import Cubic
from ledbat.rfc6817 import MAX_CWND

MSS = 1000
RTT = 0.1


class Driver:
    """A flow that always fills its window, a round trip at a time."""

    def __init__(self) -> None:
        self.flow = Cubic(mss=MSS)
        self.now = 0.0

    def round(self, rtt: float = RTT) -> None:
        flow = self.flow
        flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=self.now)
        self.now += rtt
        for _ in range(flow.flightsize // MSS):
            flow.on_ack(acked=MSS, delays_us=(), rtt=rtt, now=self.now)
            flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=self.now)

    def lose_at(self, segments: int) -> int:
        """Slow start to about so many segments, lose one, and be past the recovery; return the window at the loss."""
        while self.flow.cwnd < segments * MSS:
            self.round()
        window = self.flow.cwnd
        self.flow.on_loss(lost=MSS, will_retransmit=False, now=self.now)
        return window


def test_slow_start_doubles_the_window_in_a_round_trip() -> None:
    """Section 4.10: as RFC 5681."""
    driver = Driver()
    driver.round()
    before = driver.flow.cwnd
    driver.round()
    assert driver.flow.cwnd == pytest.approx(2 * before, rel=0.1)


def test_a_loss_multiplies_the_window_by_seven_tenths_once_a_round_trip() -> None:
    """Section 4.6: beta_cubic is 0.7."""
    driver = Driver()
    window = driver.lose_at(100)
    assert driver.flow.cwnd == driver.flow.ssthresh == pytest.approx(0.7 * window, rel=0.02)
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    driver.flow.on_ecn(driver.now)
    assert driver.flow.cwnd == pytest.approx(0.7 * window, rel=0.02)


def test_it_is_back_at_its_maximum_after_k_seconds() -> None:
    """Section 4.2: K = cubic root of (W_max - cwnd_epoch) / C; around there it hardly grows."""
    driver = Driver()
    window = driver.lose_at(400)
    k = (0.3 * window / MSS / 0.4) ** (1 / 3)
    began = driver.now
    while driver.now < began + k:
        driver.round()
    assert driver.flow.cwnd == pytest.approx(window, rel=0.05)
    there = driver.flow.cwnd
    driver.round()
    assert driver.flow.cwnd - there < 3 * MSS
    while driver.now < began + 2 * k + 2 * RTT:
        driver.round()
    # As far beyond the maximum as it was below it.
    assert driver.flow.cwnd > 1.2 * window


def test_with_a_short_round_trip_and_a_small_window_it_grows_as_reno_does() -> None:
    """Section 4.3, the Reno-friendly region: alpha is 3 * (1 - 0.7) / (1 + 0.7) segments a round trip."""
    driver = Driver()
    while driver.flow.cwnd < 20 * MSS:
        driver.round(0.005)
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    for _ in range(3):
        driver.round(0.005)
    before = driver.flow.cwnd
    for _ in range(4):
        driver.round(0.005)
    assert driver.flow.cwnd - before == pytest.approx(4 * 9 / 17 * MSS, rel=0.25)


def test_a_window_that_did_not_get_back_makes_room() -> None:
    """Section 4.7, fast convergence: W_max = cwnd * (1 + beta) / 2, so that the plateau comes below the last loss."""
    driver = Driver()
    driver.lose_at(400)
    for _ in range(4):
        driver.round()
    second = driver.flow.cwnd
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    k = ((0.85 - 0.7) * second / MSS / 0.4) ** (1 / 3)
    began = driver.now
    while driver.now < began + k:
        driver.round()
    assert driver.flow.cwnd == pytest.approx(0.85 * second, rel=0.05)


def test_the_time_in_which_the_application_limits_it_does_not_count() -> None:
    """Section 5.8."""
    driver = Driver()
    driver.lose_at(400)
    for _ in range(5):
        driver.round()
    flow = driver.flow
    while flow.flightsize:
        flow.on_ack(acked=MSS, delays_us=(), rtt=RTT, now=driver.now)
    before = flow.cwnd
    for _ in range(300):
        flow.on_sent(sent=MSS, now=driver.now)
        driver.now += RTT
        flow.on_ack(acked=MSS, delays_us=(), rtt=RTT, now=driver.now)
    assert flow.cwnd == before
    driver.round()
    assert flow.cwnd - before < 20 * MSS


def test_a_timeout_leaves_one_segment() -> None:
    """Section 4.8."""
    driver = Driver()
    driver.lose_at(100)
    flow = driver.flow
    driver.round()
    deadline = flow.get_timer()
    assert deadline is not None
    flow.on_timeout(deadline)
    flow.on_loss(lost=flow.flightsize, will_retransmit=False, now=deadline)
    assert flow.cwnd == MSS
    assert flow.slow_start


def test_a_segment_size_that_no_packet_has_is_refused() -> None:
    """Every window is counted in it."""
    for mss in (0, 65536):
        with pytest.raises(ParameterError):
            Cubic(mss=mss)


anything = st.one_of(st.integers(), st.integers(0, 6 * MSS), st.sampled_from([2**32, -1, 10**400]))
times = st.one_of(st.floats(0, 1e7), st.floats(allow_nan=False, allow_infinity=False))
calls = st.one_of(
    st.tuples(st.just("on_sent"), st.fixed_dictionaries({"sent": anything, "now": times})),
    st.tuples(
        st.just("on_ack"),
        st.fixed_dictionaries(
            {"acked": anything, "delays_us": st.just(()), "rtt": st.one_of(st.none(), st.floats()), "now": times}
        ),
    ),
    st.tuples(
        st.just("on_loss"), st.fixed_dictionaries({"lost": anything, "will_retransmit": st.booleans(), "now": times})
    ),
    st.tuples(st.just("on_ecn"), st.fixed_dictionaries({"now": times})),
    st.tuples(st.just("on_timeout"), st.fixed_dictionaries({"now": times})),
)


@given(st.lists(calls, max_size=80))
def test_whatever_a_peer_reports_the_bounds_hold(steps: list[tuple[str, dict[str, Any]]]) -> None:
    """Any integers, any times: only misuse is refused; at most 1.5 windows from one to the next (section 4.2)."""
    flow = Cubic(mss=MSS)
    for verb, arguments in steps:
        window = flow.cwnd
        try:
            getattr(flow, verb)(**arguments)
        except LedbatError:
            octets = [value for name, value in arguments.items() if name in ("sent", "acked", "lost")]
            assert any(value < 0 for value in octets) or arguments.get("sent", 0) > MAX_CWND
        assert MSS <= flow.cwnd <= MAX_CWND
        assert flow.flightsize >= 0
        assert flow.pacing_rate is None or flow.pacing_rate > 0
        if verb != "on_ack":
            assert flow.cwnd <= window
