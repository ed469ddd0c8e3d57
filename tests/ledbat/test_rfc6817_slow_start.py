"""The slow start that RFC 6817 section 2.2 allows: how it grows, what ends it, and when it comes back."""

from typing import Any

import pytest

from ledbat import Ledbat, NullFilter

MSS = 1000


def controller(**parameters: Any) -> Ledbat:
    """A controller without a filter."""
    return Ledbat(**{"mss": MSS, "delay_filter": NullFilter(), **parameters})


def slow_starting(segments: int) -> tuple[Ledbat, float]:
    """A controller in slow start, with a full window of so many segments (a power of 2); and the time. RTT 0.1 s."""
    flow, now = controller(), 0.0
    while flow.cwnd < segments * MSS:
        flow.on_sent(sent=flow.cwnd - flow.flightsize, now=now)
        now += 0.1
        flow.on_ack(acked=flow.flightsize, delays_us=[20_000], rtt=0.1, now=now)
    flow.on_sent(sent=flow.cwnd, now=now)
    assert flow.cwnd == segments * MSS
    return flow, now


def test_slow_start_doubles_the_window_each_rtt() -> None:
    """RFC 6817 section 2.2: a slow start mechanism can be used as specified in RFC 5681."""
    flow, now = slow_starting(16)
    assert flow.slow_start
    for _ in range(16):
        flow.on_ack(acked=1000, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    assert flow.cwnd == 32 * MSS


def test_slow_start_grows_alike_however_the_octets_are_acknowledged() -> None:
    """RFC 6817 section 2.3: an acknowledgement may stand for several packets."""
    one, now = slow_starting(16)
    many, _ = slow_starting(16)
    one.on_ack(acked=16_000, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    for _ in range(160):
        many.on_ack(acked=100, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    assert one.cwnd == 32 * MSS
    assert many.cwnd == one.cwnd


def test_slow_start_ends_at_half_of_the_target_with_half_the_window() -> None:
    """RFC 6817 section 2.2: a decision; the delay is that of the window of an RTT ago."""
    flow, now = slow_starting(16)
    flow.on_ack(acked=1000, delays_us=[70_000], rtt=0.1, now=now + 0.1)
    assert (flow.slow_start, flow.cwnd) == (True, 17 * MSS)
    flow.on_ack(acked=1000, delays_us=[70_001], rtt=0.2, now=now + 0.11)
    assert (flow.slow_start, flow.cwnd) == (False, 17 * MSS // 2)


def test_slow_start_ends_with_a_loss() -> None:
    """RFC 5681 section 3.1: ssthresh is reduced in response to congestion."""
    flow, now = slow_starting(16)
    flow.on_loss(lost=1000, will_retransmit=True, now=now + 0.1)
    assert (flow.slow_start, flow.cwnd) == (False, 8 * MSS)


def test_after_a_timeout_slow_start_leads_back_to_half_of_what_was_in_flight() -> None:
    """RFC 5681 section 3.1: ssthresh = max(FlightSize / 2, 2*SMSS)."""
    flow, now = slow_starting(16)
    flow.on_timeout(now + 10.0)
    assert (flow.slow_start, flow.cwnd) == (True, MSS)
    windows = []
    for step in range(4):
        flow.on_ack(acked=3000, delays_us=[20_000], rtt=None, now=now + 11.0 + step * 0.01)
        windows.append(flow.cwnd)
    assert windows[:2] == [4000, 7000]
    assert windows[2] == 8000
    assert not flow.slow_start


@pytest.mark.parametrize(("left", "threshold"), [(2000, 2000), (6000, 3000), (40_000, 8000)])
def test_the_threshold_after_a_timeout_is_half_of_what_was_in_flight(left: int, threshold: int) -> None:
    """RFC 5681 equation (4), at least 2 * SMSS; and at most half of the window, whatever else is still in flight."""
    flow, now = slow_starting(16)
    if left > 16_000:
        flow.on_sent(sent=left - 16_000, now=now)
    else:
        flow.on_ack(acked=16_000 - left, delays_us=[], rtt=None, now=now + 0.001)
    flow.on_timeout(now + 10.0)
    flow.on_sent(sent=20_000, now=now + 10.0)
    flow.on_ack(acked=20_000, delays_us=[20_000], rtt=None, now=now + 10.1)
    assert (flow.slow_start, flow.cwnd) == (False, threshold)


def test_a_timeout_that_follows_another_keeps_the_threshold() -> None:
    """RFC 5681 section 3.1: when the segment was already retransmitted, the value of ssthresh is held constant."""
    flow, now = slow_starting(16)
    now += 10.0
    flow.on_timeout(now)
    flow.on_loss(lost=15_000, will_retransmit=False, now=now)
    flow.on_timeout(now + 10.0)
    flow.on_sent(sent=6000, now=now + 10.0)
    flow.on_ack(acked=6500, delays_us=[20_000], rtt=None, now=now + 10.1)
    assert (flow.slow_start, flow.cwnd) == (True, 7500)


def test_slow_start_stays_near_flightsize_too() -> None:
    """RFC 6817 section 2.4.2: an application-limited window is clamped down."""
    flow, now = slow_starting(16)
    flow.on_ack(acked=15_000, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    flow.on_ack(acked=1000, delays_us=[20_000], rtt=0.1, now=now + 0.2)
    assert flow.cwnd == 2 * MSS


def test_after_an_idle_time_the_window_begins_anew() -> None:
    """RFC 5681 section 4.1: no more than the restart window when nothing was sent for longer than a timeout."""
    flow, now = slow_starting(16)
    flow.on_ack(acked=16_000, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    assert flow.cwnd == 32 * MSS
    flow.on_sent(sent=1000, now=now + 2.0)
    assert (flow.slow_start, flow.cwnd) == (True, 2 * MSS)


def test_a_short_pause_keeps_the_window() -> None:
    """RFC 5681 section 4.1."""
    flow, now = slow_starting(16)
    flow.on_ack(acked=16_000, delays_us=[20_000], rtt=0.1, now=now + 0.1)
    flow.on_sent(sent=1000, now=now + 0.9)
    assert flow.cwnd == 32 * MSS


def test_without_slow_start_the_window_is_linear_from_the_start() -> None:
    """RFC 6817 section 2.2: conservative implementations may skip slow start altogether."""
    flow = controller(slow_start="off")
    assert not flow.slow_start
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=2000, delays_us=[0], rtt=0.1, now=0.1)
    assert flow.cwnd == 3000
    flow.on_timeout(50.0)
    assert not flow.slow_start
