"""LEDBAT++, clause by clause of the facts sheet (sections of draft-irtf-iccrg-ledbat-plus-plus-01)."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ledbat import ParameterError, StateError
from ledbat.plusplus import LedbatPlusPlus
from ledbat.rfc6817 import MAX_CWND

MSS = 1000


class Driver:
    """A flow that always fills its window, over a path whose round-trip time the test decides."""

    def __init__(self, rtt: float = 0.05, **parameters: Any) -> None:
        self.flow = LedbatPlusPlus(mss=MSS, **parameters)
        self.rtt = rtt
        self.now = 0.0

    def fill(self) -> None:
        room = self.flow.cwnd - self.flow.flightsize
        if room > 0:
            self.flow.on_sent(sent=room, now=self.now)

    def round(self, queue: float = 0.0, delays: tuple[int, ...] | None = None) -> None:
        """A round trip: what is in flight is acknowledged, a segment at a time, and the window is filled after each."""
        self.fill()
        rtt = self.rtt + queue
        self.now += rtt
        owd = (round(rtt * 1e6 / 2),) if delays is None else delays
        for _ in range(max(self.flow.flightsize // MSS, 1)):
            acked = min(MSS, self.flow.flightsize)
            self.flow.on_ack(acked=acked, delays_us=owd, rtt=rtt, now=self.now)
            self.fill()

    def until(self, condition: Callable[[], bool], queue: float = 0.0, limit: int = 400) -> None:
        for _ in range(limit):
            if condition():
                return
            self.round(queue)
        raise AssertionError("it never came")

    def settle(self) -> None:
        """End the initial slow start by delay, and pass the initial slowdown."""
        while self.flow.cwnd < 40 * MSS:
            self.round()
        self.round(queue=0.05)
        self.until(lambda: self.flow.slowed_down, queue=0.03)
        self.until(lambda: not self.flow.slowed_down and not self.flow.slow_start)


def test_the_first_window_is_two_packets() -> None:
    """Section 4.1."""
    assert LedbatPlusPlus(mss=MSS).cwnd == 2 * MSS


@pytest.mark.parametrize(
    ("base_ms", "divisor"),
    [(1, 16), (7.4, 16), (7.5, 16), (8, 15), (20, 6), (50, 3), (60, 2), (119, 2), (120, 1), (400, 1)],
)
def test_the_gain_follows_the_base_rtt(base_ms: float, divisor: int) -> None:
    """Section 4.2: GAIN = 1 / min(16, ceil(2 * TARGET / base)); 1/16 below 7.5 ms, 1/6 at 20 ms, 1 from 120 ms on."""
    driver = Driver(rtt=base_ms / 1000)
    driver.round()
    assert driver.flow.gain == pytest.approx(1 / divisor)


def test_before_a_round_trip_time_the_gain_is_the_least() -> None:
    """Section 4.2, cautious while the base is not known."""
    assert LedbatPlusPlus(mss=MSS).gain == 1 / 16


@pytest.mark.parametrize("rtt", [0.02, 0.06, 0.12])
def test_slow_start_grows_by_gain_for_each_octet_acknowledged(rtt: float) -> None:
    """Section 4.1, modified slow start."""
    driver = Driver(rtt=rtt)
    driver.round()
    driver.fill()
    before = driver.flow.cwnd
    driver.now += rtt
    driver.flow.on_ack(acked=MSS, delays_us=(), rtt=rtt, now=driver.now)
    assert driver.flow.cwnd == pytest.approx(before + driver.flow.gain * MSS, abs=1)


def test_the_initial_slow_start_ends_above_three_quarters_of_the_target() -> None:
    """Section 4.1."""
    driver = Driver()
    driver.round()
    for _ in range(5):
        driver.round(queue=0.0449)
        assert driver.flow.slow_start
    driver.until(lambda: not driver.flow.slow_start, queue=0.0455, limit=3)


@pytest.mark.parametrize("queue", [0.0, 0.03, 0.0599])
def test_up_to_the_target_the_window_grows_by_gain_packets_a_round_trip_whatever_the_delay(queue: float) -> None:
    """Section 4.3, additive increase: it does not fade as RFC 6817's does."""
    driver = Driver()
    driver.settle()
    driver.round(queue)
    before = driver.flow.cwnd
    driver.round(queue)
    assert driver.flow.cwnd - before == pytest.approx(driver.flow.gain * MSS, rel=0.05)


def test_above_the_target_the_window_shrinks_in_proportion_to_the_excess() -> None:
    """Section 4.3: W += max(GAIN - Constant * W * (delay / TARGET - 1), -W / 2) a round trip; here an ack of all."""
    driver = Driver()
    driver.settle()
    for _ in range(4):
        driver.flow.on_ack(acked=0, delays_us=(), rtt=0.05 + 0.072, now=driver.now)
    window = driver.flow.cwnd
    driver.flow.on_ack(acked=window, delays_us=(), rtt=0.05 + 0.072, now=driver.now)
    assert driver.flow.queuing_delay_us == pytest.approx(72_000, abs=1)
    assert driver.flow.cwnd == pytest.approx(window + MSS / 3 - 0.2 * window, abs=3)


def test_the_window_falls_by_no_more_than_half_in_a_round_trip() -> None:
    """Section 4.3."""
    driver = Driver()
    driver.settle()
    for _ in range(4):
        driver.flow.on_ack(acked=0, delays_us=(), rtt=0.6, now=driver.now)
    window = driver.flow.cwnd
    driver.flow.on_ack(acked=window, delays_us=(), rtt=0.6, now=driver.now)
    assert driver.flow.cwnd == pytest.approx(window / 2, abs=3)


def test_the_window_never_falls_below_two_packets_for_delay_or_loss() -> None:
    """Section 4.1."""
    driver = Driver()
    driver.settle()
    for _ in range(60):
        driver.round(queue=1.0)
        driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    assert driver.flow.cwnd == 2 * MSS


def test_a_loss_halves_the_window_once_a_round_trip() -> None:
    """Section 4.3: as RFC 6817."""
    driver = Driver()
    driver.settle()
    driver.fill()
    window = driver.flow.cwnd
    for _ in range(3):
        driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    assert driver.flow.cwnd == pytest.approx(window / 2, abs=1)
    driver.round()
    driver.round()
    again = driver.flow.cwnd
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    assert driver.flow.cwnd == pytest.approx(again / 2, abs=1)


def test_an_ecn_mark_counts_as_a_loss() -> None:
    """RFC 6817 section 1.3."""
    driver = Driver()
    driver.settle()
    window = driver.flow.cwnd
    driver.flow.on_ecn(driver.now)
    assert driver.flow.cwnd == pytest.approx(window / 2, abs=1)


def test_the_initial_slowdown_comes_two_round_trips_after_the_initial_slow_start() -> None:
    """Section 4.4."""
    driver = Driver()
    while driver.flow.cwnd < 20 * MSS:
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)  # a loss ends slow start too
    ended, srtt = driver.now, driver.flow.srtt
    assert srtt is not None
    assert not driver.flow.slow_start
    driver.until(lambda: driver.flow.slowed_down)
    assert 2 * srtt - 1e-9 <= driver.now - ended <= 2 * srtt + 1.1 * driver.rtt


def test_a_slowdown_holds_two_packets_for_two_round_trips_and_slow_starts_back() -> None:
    """Section 4.4: ssthresh = W, W = 2 packets, frozen for 2 RTT; then a full slow start up to ssthresh."""
    driver = Driver()
    while driver.flow.cwnd < 40 * MSS:
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    before = driver.flow.cwnd
    while not driver.flow.slowed_down:
        before = driver.flow.cwnd
        driver.round()
    began, srtt = driver.now, driver.flow.srtt
    assert srtt is not None
    windows = []
    while driver.flow.slowed_down:
        windows.append(driver.flow.cwnd)
        driver.round()
    assert set(windows) == {2 * MSS}
    assert driver.now - began >= 2 * srtt - 1e-9
    ramp = [driver.flow.cwnd]
    while driver.flow.slow_start:
        driver.round()
        ramp.append(driver.flow.cwnd)
    # From one round trip to the next it doubles, but for the last step.
    assert all(later == pytest.approx(2 * sooner, rel=0.01) for sooner, later in itertools.pairwise(ramp[:-1]))
    assert driver.flow.cwnd == pytest.approx(before, abs=MSS)


def test_the_next_slowdown_comes_nine_times_the_duration_of_the_last_one_later() -> None:
    """Section 4.4: at most about 10 % of the time is spent slowed down."""
    driver = Driver()
    while driver.flow.cwnd < 40 * MSS:
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    for _ in range(3):
        driver.until(lambda: driver.flow.slowed_down)
        began = driver.now
        driver.until(lambda: not driver.flow.slowed_down and not driver.flow.slow_start)
        ended = driver.now
        driver.until(lambda: driver.flow.slowed_down)
        assert driver.now - ended == pytest.approx(9 * (ended - began), abs=1.5 * driver.rtt)


def test_a_ramp_that_a_loss_cuts_short_counts_twice() -> None:
    """Section 4.4 and deployed practice: the window is halved, and the next slowdown is twice as far away."""
    driver = Driver()
    while driver.flow.cwnd < 40 * MSS:
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    driver.until(lambda: driver.flow.slowed_down)
    began = driver.now
    driver.until(lambda: driver.flow.slow_start and driver.flow.cwnd > 8 * MSS)
    window = driver.flow.cwnd
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    ended = driver.now
    assert driver.flow.cwnd == pytest.approx(window / 2, abs=1)
    assert not driver.flow.slow_start
    driver.until(lambda: driver.flow.slowed_down)
    assert driver.now - ended == pytest.approx(18 * (ended - began), abs=1.5 * driver.rtt)


def test_a_loss_while_the_window_is_held_halves_what_it_goes_back_to() -> None:
    """Section 4.3: the packets lost were sent before the slowdown."""
    driver = Driver()
    while driver.flow.cwnd < 40 * MSS:
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    while not driver.flow.slowed_down:
        before = driver.flow.cwnd
        driver.round()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    assert driver.flow.cwnd == 2 * MSS
    driver.until(lambda: not driver.flow.slowed_down and not driver.flow.slow_start)
    assert driver.flow.cwnd == pytest.approx(before / 2, abs=MSS)


@pytest.mark.parametrize("defer", [False, True])
def test_a_cut_window_defers_the_next_slowdown_by_thirty_seconds_where_that_is_wanted(defer: bool) -> None:
    """Deferral, practice: an option, off by default."""
    driver = Driver(defer_slowdowns=defer)
    driver.settle()
    driver.flow.on_loss(lost=MSS, will_retransmit=False, now=driver.now)
    since = driver.now
    driver.until(lambda: driver.flow.slowed_down, limit=1000)
    assert (driver.now - since >= 30.0) == defer


def test_after_idle_the_window_is_two_packets_and_no_slowdown_is_scheduled() -> None:
    """Idle, practice: the slowdown state is cleared."""
    driver = Driver()
    driver.settle()
    driver.flow.on_ack(acked=driver.flow.flightsize, delays_us=(), rtt=0.05, now=driver.now)
    driver.now += 1.5
    driver.flow.on_sent(sent=MSS, now=driver.now)
    assert driver.flow.cwnd == 2 * MSS
    assert driver.flow.slow_start


def test_after_a_timeout_the_window_is_one_packet_and_slow_start_comes_back() -> None:
    """Timeout, practice, and RFC 6817 section 2.4.2; the next acknowledgement lifts it to two."""
    driver = Driver()
    driver.settle()
    driver.fill()
    deadline = driver.flow.get_timer()
    assert deadline is not None
    driver.flow.on_timeout(deadline - 0.01)
    assert driver.flow.cwnd > MSS
    driver.flow.on_timeout(deadline)
    assert driver.flow.cwnd == MSS
    assert driver.flow.slow_start
    assert driver.flow.cto == 2.0
    driver.flow.on_loss(lost=driver.flow.flightsize, will_retransmit=False, now=deadline)
    assert driver.flow.cwnd == MSS
    driver.flow.on_sent(sent=MSS, now=deadline)
    driver.flow.on_ack(acked=MSS, delays_us=(), rtt=None, now=deadline + 0.05)
    assert driver.flow.cwnd == 2 * MSS


def test_a_spurious_timeout_can_be_taken_back() -> None:
    """RFC 4015 section 3.2: the window is what it was before."""
    driver = Driver()
    driver.settle()
    driver.fill()
    window, deadline = driver.flow.cwnd, driver.flow.get_timer()
    assert deadline is not None
    driver.flow.undo_timeout(deadline)
    assert driver.flow.cwnd == window
    driver.flow.on_timeout(deadline)
    driver.flow.undo_timeout(deadline)
    assert driver.flow.cwnd == window
    assert not driver.flow.slow_start


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    """RFC 6817 section 2.4.2, in spirit: what was never sent says nothing about the path."""
    flow = LedbatPlusPlus(mss=MSS)
    for step in range(200):
        flow.on_sent(sent=MSS, now=step * 0.05)
        flow.on_ack(acked=MSS, delays_us=(), rtt=0.05, now=step * 0.05 + 0.05)
    assert flow.cwnd <= 3 * MSS


def test_on_round_trip_times_one_way_delays_do_not_count() -> None:
    """The draft measures the round-trip time."""
    driver = Driver()
    for _ in range(5):
        driver.round(delays=(10**6,))
    assert driver.flow.queuing_delay_us == 0


def test_on_one_way_delays_a_queue_on_the_way_back_does_not_count() -> None:
    """Requirements section 0.6: why one-way delays."""
    driver = Driver(delay_source="owd")
    driver.round(delays=(25_000,))
    driver.round(queue=0.3, delays=(25_000,))
    assert driver.flow.queuing_delay_us == 0
    for _ in range(3):
        driver.round(queue=0.3, delays=(75_000,))
    assert driver.flow.queuing_delay_us == 50_000


def drifting(flow: LedbatPlusPlus, ppm: int, rounds: int) -> float:
    """A segment a round trip over a path with a queue of 40 ms but for every 50th time; return the time at the end."""
    now = 0.0
    for step in range(rounds):
        queue = 0.0 if step % 50 == 0 else 0.04
        flow.on_sent(sent=MSS, now=now)
        now += 0.05 + queue
        delay_us = 25_000 + round(now * ppm) + round(queue * 1e6)
        flow.on_ack(acked=MSS, delays_us=(delay_us,), rtt=0.05 + queue, now=now)
    return now


@pytest.mark.parametrize("ppm", [-500, 500])
def test_clock_drift_leaves_the_anchored_base_true(ppm: int) -> None:
    """Requirements section 0.7: a round trip without a queue shows the base, however the clocks drift."""
    flow = LedbatPlusPlus(mss=MSS, delay_source="owd")
    end = drifting(flow, ppm, 4000)
    assert flow.base_delay_us == pytest.approx(25_000 + end * ppm, abs=abs(ppm) * 50 * 0.09 + 300)


def test_without_an_anchor_a_fast_clock_looks_like_a_queue() -> None:
    """Requirements section 0.7: what the anchor is for; RFC 6817 appendix A.2."""
    flow = LedbatPlusPlus(mss=MSS, delay_source="owd", anchor_us=None)
    drifting(flow, 500, 2001)
    assert flow.base_delay_us == pytest.approx(25_000, abs=100)
    assert flow.queuing_delay_us == pytest.approx(90_000, rel=0.2)  # 180 s of 500 ppm, and no more than the RTT


def test_the_queue_on_this_way_is_never_taken_for_more_than_that_of_the_round_trip() -> None:
    """Requirements section 0.7, extended: a base that the round trip proves too low is lifted at once."""
    driver = Driver(delay_source="owd")
    driver.round(delays=(25_000,))
    # The receiver's clock was set 30 ms ahead; the round trip shows a queue of 10 ms at most.
    for _ in range(2):
        driver.round(queue=0.01, delays=(25_000 + 30_000 + 10_000,))
    assert driver.flow.queuing_delay_us == 10_000
    assert driver.flow.base_delay_us == 55_000


@pytest.mark.parametrize("target", [0.0, -1.0, 0.0601, 1.0, float("nan")])
def test_a_target_above_60_ms_or_none_is_refused(target: float) -> None:
    """Section 4.5."""
    with pytest.raises(ParameterError, match="TARGET"):
        LedbatPlusPlus(mss=MSS, target=target)


@pytest.mark.parametrize("mss", [0, -1, 65536])
def test_a_segment_size_that_no_packet_has_is_refused(mss: int) -> None:
    """Every window is counted in packets of it."""
    with pytest.raises(ParameterError, match="MSS"):
        LedbatPlusPlus(mss=mss)


def test_other_parameters_are_checked() -> None:
    """The source is one of two, the anchor no wider than the target, the history and the longest CTO as for Ledbat."""
    bad: list[dict[str, Any]] = [
        {"delay_source": "ack"}, {"anchor_us": -1}, {"anchor_us": 60_001}, {"base_history": 0}, {"max_cto": 59.9},
    ]  # fmt: skip
    for parameters in bad:
        with pytest.raises(ParameterError):
            LedbatPlusPlus(mss=MSS, **parameters)


def test_misuse_is_refused_and_changes_nothing() -> None:
    """Octets are never negative."""
    driver = Driver()
    driver.settle()
    before = driver.flow.snapshot()
    for misuse in (
        lambda: driver.flow.on_sent(sent=-1, now=0.0),
        lambda: driver.flow.on_sent(sent=MAX_CWND + 1, now=0.0),
        lambda: driver.flow.on_ack(acked=-1, delays_us=(), rtt=None, now=0.0),
        lambda: driver.flow.on_loss(lost=-1, will_retransmit=False, now=0.0),
    ):
        with pytest.raises(StateError):
            misuse()
        assert driver.flow.snapshot() == before


def test_the_pacing_rate_lets_a_ramp_double() -> None:
    """The rate is above cwnd / SRTT: twice in slow start."""
    driver = Driver()
    assert driver.flow.pacing_rate is None
    driver.round()
    assert driver.flow.pacing_rate == pytest.approx(2 * driver.flow.snapshot().cwnd / 0.05, rel=0.05)
