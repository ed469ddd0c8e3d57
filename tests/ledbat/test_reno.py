"""NewReno's window (RFC 5681, RFC 6582)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import LedbatError, ParameterError
from ledbat.reno import NewReno
from ledbat.rfc6817 import MAX_CWND

MSS = 1000
FRACTION = 400


def filled(flow: NewReno, now: float = 0.0) -> NewReno:
    flow.on_sent(sent=flow.cwnd - flow.flightsize, now=now)
    return flow


def avoiding(window: int = 20) -> NewReno:
    """A flow in congestion avoidance with so many segments, and a fraction, all in flight, at time 0.4."""
    flow = NewReno(mss=MSS)
    while flow.cwnd < 2 * window * MSS:
        filled(flow, 0.0)
        flow.on_ack(acked=min(flow.flightsize, 2 * window * MSS - flow.cwnd), delays_us=(), rtt=0.1, now=0.1)
    filled(flow, 0.1)
    flow.on_loss(lost=MSS, will_retransmit=False, now=0.2)
    while flow.flightsize:
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=0.3)
    filled(flow, 0.3)
    # As far as can be told by three duplicate acknowledgements, the losses of before are over.
    flow.on_ack(acked=4 * MSS, delays_us=(), rtt=0.1, now=0.4)
    return filled(flow, 0.4)


@pytest.mark.parametrize(("mss", "segments"), [(500, 4), (1095, 4), (1096, 3), (2190, 3), (2191, 2)])
def test_the_initial_window(mss: int, segments: int) -> None:
    """RFC 5681 section 3.1."""
    assert NewReno(mss=mss).cwnd == segments * mss


def test_slow_start_grows_by_a_segment_for_each_one_acknowledged() -> None:
    """RFC 5681 equation 2."""
    flow = filled(NewReno(mss=MSS))
    flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=0.1)
    assert flow.cwnd == 5 * MSS
    assert flow.slow_start


def test_congestion_avoidance_grows_by_a_segment_a_round_trip() -> None:
    """RFC 5681 equation 3."""
    flow = avoiding()
    before = flow.cwnd
    assert before == pytest.approx(20 * MSS, abs=FRACTION)
    for _ in range(20):
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=0.5)
        filled(flow, 0.5)
    assert flow.cwnd == pytest.approx(before + MSS, rel=0.01)


def test_a_loss_halves_what_is_in_flight_once_a_window() -> None:
    """RFC 5681 equation 4, RFC 6582 section 3.2: further losses of that window do nothing more."""
    flow = avoiding()
    for _ in range(5):
        flow.on_loss(lost=MSS, will_retransmit=False, now=0.5)
    assert flow.cwnd == flow.ssthresh == pytest.approx(10 * MSS, abs=FRACTION)
    halved = flow.cwnd
    for _ in range(15):
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=0.6)
    filled(flow, 0.6)
    flow.on_ack(acked=5 * MSS, delays_us=(), rtt=0.1, now=0.7)
    filled(flow, 0.7)
    assert halved <= flow.cwnd <= halved + MSS
    flow.on_loss(lost=MSS, will_retransmit=False, now=0.8)
    assert flow.cwnd == pytest.approx(halved / 2, abs=2 * FRACTION)


def test_the_window_stands_still_while_the_loss_is_repaired() -> None:
    """RFC 6582 section 3.2: until everything that was in flight has been acknowledged."""
    flow = avoiding()
    flow.on_loss(lost=MSS, will_retransmit=False, now=0.5)
    for _ in range(15):
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=0.6)
        if flow.flightsize < flow.cwnd:
            filled(flow, 0.6)
    assert flow.cwnd == flow.ssthresh == pytest.approx(10 * MSS, abs=FRACTION)


def test_an_ecn_mark_counts_as_a_loss() -> None:
    """RFC 3168 section 6.1.2."""
    flow = avoiding()
    flow.on_ecn(0.5)
    assert flow.cwnd == pytest.approx(10 * MSS, abs=FRACTION)


def test_a_timeout_leaves_one_segment_and_half_of_the_flight_as_ssthresh() -> None:
    """RFC 5681 section 3.1; a timeout that follows holds ssthresh, and slow start comes back at once."""
    flow = avoiding()
    deadline = flow.get_timer()
    assert deadline is not None
    flow.on_timeout(deadline)
    flow.on_loss(lost=flow.flightsize, will_retransmit=False, now=deadline)
    ssthresh = flow.ssthresh
    assert ssthresh == pytest.approx(10 * MSS, abs=FRACTION)
    assert flow.cwnd == MSS
    flow.on_sent(sent=MSS, now=deadline)
    flow.on_timeout(deadline + 2.0)
    assert (flow.cwnd, flow.ssthresh, flow.cto) == (MSS, ssthresh, 4.0)
    flow.on_ack(acked=MSS, delays_us=(), rtt=None, now=deadline + 2.1)
    assert flow.cwnd == 2 * MSS


def test_after_idle_the_window_is_the_restart_window() -> None:
    """RFC 5681 section 4.1."""
    flow = avoiding()
    flow.on_ack(acked=flow.flightsize, delays_us=(), rtt=0.1, now=0.4)
    flow.on_sent(sent=MSS, now=2.0)
    assert flow.cwnd == 4 * MSS


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    """RFC 7661 section 4.3."""
    flow = NewReno(mss=MSS)
    for step in range(100):
        flow.on_sent(sent=MSS, now=step * 0.1)
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.1, now=step * 0.1 + 0.1)
    assert flow.cwnd == 4 * MSS


def test_a_segment_size_that_no_packet_has_is_refused() -> None:
    """Every window is counted in it."""
    for mss in (0, 65536):
        with pytest.raises(ParameterError):
            NewReno(mss=mss)


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
    """Any integers, any times: only misuse is refused."""
    flow = NewReno(mss=MSS)
    for verb, arguments in steps:
        window, flight = flow.cwnd, flow.flightsize
        try:
            getattr(flow, verb)(**arguments)
        except LedbatError:
            octets = [value for name, value in arguments.items() if name in ("sent", "acked", "lost")]
            assert any(value < 0 for value in octets) or arguments.get("sent", 0) > MAX_CWND
        assert MSS <= flow.cwnd <= MAX_CWND
        assert flow.flightsize >= 0
        assert flow.pacing_rate is None or flow.pacing_rate > 0
        if verb == "on_ack":
            assert flow.cwnd <= window + max(min(arguments["acked"], flight), 0) + 1
        else:
            assert flow.cwnd <= window
