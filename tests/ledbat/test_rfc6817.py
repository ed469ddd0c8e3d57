"""The RFC 6817 controller, verb by verb; `test_pseudocode.py` compares it with the pseudo-code as a whole.

Its parameters and its slow start have files of their own.
"""

from typing import Any

import pytest

from ledbat import Ledbat, MinFilter, NullFilter, Snapshot, StateError
from ledbat.rfc6817 import MAX_CWND

MSS = 1000


def controller(**parameters: Any) -> Ledbat:
    """A controller without slow start and filter, which the RFC's formulas describe directly."""
    return Ledbat(**{"mss": MSS, "slow_start": "off", "delay_filter": NullFilter(), **parameters})


def grown(segments: int, now: float = 0.0, **parameters: Any) -> Ledbat:
    """A controller in linear growth, with a window of at least so many segments and as many in flight; RTT 0.1 s."""
    flow = controller(**parameters)
    while flow.cwnd < segments * MSS:
        flow.on_sent(sent=flow.cwnd - flow.flightsize, now=now)
        now += 0.1
        flow.on_ack(acked=flow.flightsize, delays_us=[20_000], rtt=0.1, now=now)
    flow.on_sent(sent=flow.cwnd, now=now)
    return flow


def test_the_initial_window_is_two_segments() -> None:
    """RFC 6817 section 2.5: INIT_CWND and MIN_CWND SHOULD both be 2."""
    assert Ledbat(mss=1400).cwnd == 2800


def test_the_smallest_window_is_two_segments() -> None:
    """RFC 6817 section 2.5: INIT_CWND and MIN_CWND SHOULD both be 2."""
    flow = grown(6)
    flow.on_ack(acked=1000, delays_us=[10_000_000], rtt=12.0, now=1.0)
    assert flow.cwnd == 2 * MSS


def test_the_window_may_exceed_flightsize_by_one_segment() -> None:
    """RFC 6817 section 2.5: ALLOWED_INCREASE SHOULD be 1."""
    flow = grown(6)
    for _ in range(2):
        flow.on_ack(acked=2000, delays_us=[20_000], rtt=0.1, now=5.0 + flow.flightsize)
    before = flow.flightsize
    flow.on_ack(acked=10, delays_us=[20_000], rtt=0.1, now=9.0)
    assert flow.cwnd == before + MSS


def test_the_base_delay_looks_back_ten_minutes() -> None:
    """RFC 6817 section 2.5: The size of the base_delays list, BASE_HISTORY, SHOULD be 10."""
    flow = controller()
    seen = []
    for minute in range(12):
        flow.on_sent(sent=MSS, now=minute * 60.0)
        flow.on_ack(acked=MSS, delays_us=[20_000 if minute == 0 else 50_000], rtt=0.1, now=minute * 60.0 + 0.1)
        seen.append(flow.base_delay_us)
    assert seen == [20_000] * 10 + [50_000] * 2


# -- acknowledgements ------------------------------------------------------------------------------------------------


def test_without_queue_the_window_grows_as_fast_as_that_of_tcp() -> None:
    """RFC 6817 section 4.2: when the estimate is zero, LEDBAT ramps up its window at the same rate as standard TCP."""
    flow = controller()
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=1000, delays_us=[20_000], rtt=0.1, now=0.1)
    assert flow.cwnd == 2500


def test_a_growth_of_less_than_an_octet_is_not_lost() -> None:
    """RFC 6817 section 2.4.2, RFC 5681 section 3.1: integer arithmetic must not stop the growth."""
    flow = controller(mss=10)
    now = 0.0
    for _ in range(400):
        flow.on_sent(sent=flow.cwnd - flow.flightsize, now=now)
        now += 0.01
        flow.on_ack(acked=1, delays_us=[0], rtt=0.1, now=now)
    # cwnd * dcwnd = 10 per octet: cwnd^2 = 20^2 + 2 * 10 * 400 = 91.6^2
    assert 90 <= flow.cwnd <= 92


def test_the_window_changes_once_an_acknowledgement_whatever_the_number_of_samples() -> None:
    """RFC 6817 section 2.4.2: irrespective of the number of delay samples in an ACK."""
    one, many = grown(6), grown(6)
    one.on_ack(acked=1000, delays_us=[30_000], rtt=0.1, now=1.0)
    many.on_ack(acked=1000, delays_us=[25_000, 90_000, 30_000], rtt=0.1, now=1.0)
    assert one.cwnd == many.cwnd


def test_the_samples_are_taken_in_the_order_given() -> None:
    """RFC 6817 section 2.3: MUST transmit the samples in the order generated; the sender applies them in that order."""
    flow = grown(6)
    flow.on_ack(acked=1000, delays_us=[30_000, 90_000], rtt=0.1, now=1.0)
    assert flow.queuing_delay_us == 70_000


def test_flightsize_before_the_acknowledgement_limits_the_window() -> None:
    """RFC 6817 section 2.4.2: flightsize is the amount of data outstanding before this ACK was received."""
    flow = controller()
    flow.on_sent(sent=1500, now=0.0)
    flow.on_ack(acked=1500, delays_us=[0], rtt=0.1, now=0.1)
    assert flow.cwnd == 2500
    assert flow.flightsize == 0


def test_an_application_limited_window_stays_near_flightsize() -> None:
    """RFC 6817 section 2.4.2: cwnd is clamped down using max_allowed_cwnd to a little more than flightsize."""
    flow = grown(20)
    now = 10.0
    while flow.flightsize:
        before = flow.flightsize
        now += 0.1
        flow.on_ack(acked=500, delays_us=[20_000], rtt=0.1, now=now)
        assert flow.cwnd <= max(before + MSS, 2 * MSS)
    assert flow.cwnd == 2 * MSS


def test_acknowledgements_within_a_millisecond_do_not_shrink_the_window() -> None:
    """RFC 6817 section 2.5: limits the cwnd increase based on flightsize; a batch leaves no time to send between."""
    batch, apart = grown(10), grown(10)
    window = batch.cwnd
    for step in range(10):
        batch.on_ack(acked=1000, delays_us=[20_000], rtt=0.1, now=5.0 + step * 0.0001)
        apart.on_ack(acked=1000, delays_us=[20_000], rtt=0.1, now=5.0 + step * 0.002)
    assert window < batch.cwnd <= window + MSS
    assert apart.cwnd < window / 4


def test_an_acknowledgement_of_more_than_is_in_flight_counts_what_is() -> None:
    """RFC 6817 section 2.4.2: bytes_newly_acked is what this ACK newly acknowledges."""
    flow = controller()
    flow.on_sent(sent=1000, now=0.0)
    flow.on_ack(acked=10**30, delays_us=[0], rtt=0.1, now=0.1)
    assert (flow.cwnd, flow.flightsize) == (2000, 0)


def test_without_a_sample_the_window_does_not_grow() -> None:
    """RFC 6817 section 2.4.2: an acknowledgement that brings no delay sample says nothing of the queue."""
    for slow_start in ("off", "rfc5681"):
        flow = controller(slow_start=slow_start)
        flow.on_sent(sent=2000, now=0.0)
        flow.on_ack(acked=1000, delays_us=[], rtt=0.1, now=0.1)
        assert flow.cwnd == 2000
        assert flow.queuing_delay_us is None


def test_samples_older_than_an_rtt_do_not_count() -> None:
    """RFC 6817 section 2.5: CURRENT_FILTER MUST be limited such that samples are not older than an RTT in the past."""
    flow = controller(delay_filter=MinFilter(100))
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=100, delays_us=[20_000], rtt=0.1, now=0.1)
    flow.on_ack(acked=100, delays_us=[70_000], rtt=0.1, now=0.19)
    assert flow.queuing_delay_us == 0
    flow.on_ack(acked=100, delays_us=[80_000], rtt=0.1, now=0.21)
    assert flow.queuing_delay_us == 50_000


def test_before_an_rtt_is_known_only_the_samples_of_this_acknowledgement_count() -> None:
    """RFC 6817 section 2.5: what is not known to be younger than an RTT is left out."""
    flow = controller(delay_filter=MinFilter())
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=100, delays_us=[20_000], rtt=None, now=0.1)
    flow.on_ack(acked=100, delays_us=[70_000, 60_000], rtt=None, now=0.2)
    assert flow.queuing_delay_us == 40_000


def test_all_samples_of_a_round_trip_are_used() -> None:
    """RFC 6817 section 2.5: the sender SHOULD use at least 4 delay samples in each RTT."""
    flow = controller(delay_filter=None)
    flow.on_sent(sent=2000, now=0.0)
    for step, delay in enumerate((50_000, 20_000, 90_000, 80_000, 70_000)):
        flow.on_ack(acked=100, delays_us=[delay], rtt=0.1, now=0.1 + step * 0.02)
    assert flow.queuing_delay_us == 0
    flow.on_ack(acked=100, delays_us=[60_000], rtt=0.1, now=0.225)
    assert flow.queuing_delay_us == 40_000


def test_a_higher_gain_for_decrease_shrinks_faster_and_grows_the_same() -> None:
    """RFC 6817 section 2.5: implementations MAY use a higher GAIN for cwnd decrease than for the increase."""
    plain, eager = grown(10), grown(10, decrease_gain=3.0)
    assert plain.cwnd == eager.cwnd
    window = plain.cwnd
    for flow in (plain, eager):
        flow.on_ack(acked=1000, delays_us=[170_000], rtt=0.4, now=5.0)
    assert window - eager.cwnd == pytest.approx(3 * (window - plain.cwnd), abs=3)


def test_the_window_is_never_longer_than_the_longest_of_tcp() -> None:
    """RFC 6817 section 4.2 and RFC 7323 section 2.3: no more aggressive than TCP."""
    flow = Ledbat(mss=65535)
    for step in range(40):
        flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=step * 0.1)
        flow.on_ack(acked=flow.flightsize, delays_us=[0], rtt=0.1, now=step * 0.1 + 0.1)
    assert flow.cwnd == 2**30


# -- loss and ECN ----------------------------------------------------------------------------------------------------


def test_a_loss_halves_the_window_whatever_the_delay() -> None:
    """RFC 6817 section 3.2.2: even if the queueing delay estimates indicate otherwise."""
    flow = grown(12)
    window = flow.cwnd
    assert flow.queuing_delay_us == 0
    flow.on_loss(lost=1000, will_retransmit=True, now=5.0)
    assert flow.cwnd == pytest.approx(window / 2, abs=1)


def test_the_window_is_halved_at_most_once_per_rtt() -> None:
    """RFC 6817 section 2.4.2: on data loss, at most once per RTT."""
    flow = grown(40)
    window = flow.cwnd
    seen = []
    for now in (5.0, 5.03, 5.06, 5.099, 5.101, 5.15, 5.202):
        flow.on_loss(lost=100, will_retransmit=True, now=now)
        seen.append(round(window / flow.cwnd))
    assert seen == [2, 2, 2, 2, 4, 4, 8]


def test_before_an_rtt_is_known_the_timeout_stands_for_it() -> None:
    """RFC 6817 section 2.4.2: on data loss, at most once per RTT."""
    flow = controller(init_cwnd=4, min_cwnd=1)
    for now in (0.1, 0.5, 1.05):
        flow.on_loss(lost=100, will_retransmit=True, now=now)
        assert flow.cwnd == 2000
    flow.on_loss(lost=100, will_retransmit=True, now=1.2)
    assert flow.cwnd == 1000


def test_a_loss_does_not_halve_below_the_smallest_window() -> None:
    """RFC 6817 section 2.4.2: max(cwnd/2, MIN_CWND * MSS)."""
    flow = grown(3)
    for now in (5.0, 6.0, 7.0):
        flow.on_loss(lost=100, will_retransmit=True, now=now)
    assert flow.cwnd == 2 * MSS


@pytest.mark.parametrize(("will_retransmit", "left"), [(True, 6000), (False, 5000)])
def test_only_what_will_not_be_retransmitted_leaves_flightsize(will_retransmit: bool, left: int) -> None:
    """RFC 6817 section 2.4.2: if data lost is not to be retransmitted, flightsize is reduced."""
    flow = controller()
    flow.on_sent(sent=6000, now=0.0)
    flow.on_loss(lost=1000, will_retransmit=will_retransmit, now=0.5)
    assert flow.flightsize == left


def test_a_loss_of_nothing_is_no_loss() -> None:
    """RFC 6817 section 2.4.2."""
    flow = grown(12)
    window = flow.cwnd
    flow.on_loss(lost=0, will_retransmit=False, now=5.0)
    assert flow.cwnd == window


def test_an_ecn_mark_counts_as_a_loss() -> None:
    """RFC 6817 section 1.3: LEDBAT should react to an ECN mark as it would to a loss."""
    flow = grown(12)
    window, flightsize = flow.cwnd, flow.flightsize
    flow.on_ecn(5.0)
    assert flow.cwnd == pytest.approx(window / 2, abs=1)
    assert flow.flightsize == flightsize


def test_an_ecn_mark_and_a_loss_in_one_rtt_halve_once() -> None:
    """RFC 6817 sections 1.3 and 2.4.2."""
    flow = grown(12)
    window = flow.cwnd
    flow.on_ecn(5.0)
    flow.on_loss(lost=1000, will_retransmit=True, now=5.05)
    flow.on_ecn(5.09)
    assert flow.cwnd == pytest.approx(window / 2, abs=1)


# -- the congestion timeout ------------------------------------------------------------------------------------------


def test_a_congestion_timeout_leaves_one_segment_and_doubles_the_timeout() -> None:
    """RFC 6817 section 2.4.2: cwnd = 1 * MSS; CTO = 2 * CTO."""
    flow = grown(12)
    due = flow.get_timer()
    assert due is not None
    flow.on_timeout(due)
    assert (flow.cwnd, flow.cto, flow.get_timer()) == (MSS, 2.0, due + 2.0)


def test_the_timeout_doubles_up_to_60_seconds() -> None:
    """RFC 6817 section 2.4.2: exponential backoff of the CTO interval; the maximum MUST be at least 60 seconds."""
    flow = controller()
    flow.on_sent(sent=1000, now=0.0)
    timeouts = []
    for _ in range(8):
        due = flow.get_timer()
        assert due is not None
        flow.on_timeout(due)
        timeouts.append(flow.cto)
    assert timeouts == [2, 4, 8, 16, 32, 60, 60, 60]
    assert flow.cwnd == MSS


def test_early_and_repeated_timeouts_do_nothing() -> None:
    """RFC 6817 section 2.4.2: only when no ACKs are received within a CTO."""
    flow = grown(12)
    due = flow.get_timer()
    assert due is not None
    before = flow.snapshot()
    flow.on_timeout(due - 0.001)
    assert flow.snapshot() == before
    flow.on_timeout(due)
    after = flow.snapshot()
    flow.on_timeout(due)
    flow.on_timeout(due + 1.9)
    assert flow.snapshot() == after


def test_a_timeout_with_nothing_in_flight_does_nothing() -> None:
    """RFC 6298 section 5 (5.2): when all outstanding data has been acknowledged, turn off the timer."""
    flow = controller()
    before = flow.snapshot()
    flow.on_timeout(1e9)
    assert flow.snapshot() == before
    assert flow.get_timer() is None


def test_only_an_acknowledgement_of_new_data_restarts_the_timer() -> None:
    """RFC 6298 section 5 (5.3): a peer that repeats itself does not hold the timeout off."""
    flow = controller()
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=0, delays_us=[100], rtt=None, now=0.5)
    assert flow.get_timer() == 1.0
    flow.on_ack(acked=1000, delays_us=[100], rtt=None, now=0.6)
    assert flow.get_timer() == 1.6


def test_the_timeout_follows_rfc_6298() -> None:
    """RFC 6817 section 2.4.2: SHOULD use RFC 6298; by hand: SRTT 0.5 and 0.55, RTTVAR 0.25 and 0.2875."""
    flow = controller()
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=1000, delays_us=[0], rtt=0.5, now=0.5)
    assert (flow.srtt, flow.cto, flow.get_timer()) == (0.5, 1.5, 2.0)
    flow.on_ack(acked=500, delays_us=[0], rtt=0.9, now=1.0)
    assert flow.srtt == pytest.approx(0.55)
    assert flow.cto == pytest.approx(0.55 + 4 * 0.2875)


def test_an_ambiguous_acknowledgement_gives_no_rtt_sample_and_keeps_the_back_off() -> None:
    """RFC 6298 section 3: RTT samples MUST NOT be made using segments that were retransmitted (Karn)."""
    flow = controller()
    flow.on_sent(sent=2000, now=0.0)
    flow.on_timeout(1.0)
    flow.on_ack(acked=1000, delays_us=[0], rtt=None, now=1.5)
    assert (flow.srtt, flow.cto) == (None, 2.0)
    flow.on_ack(acked=500, delays_us=[0], rtt=0.2, now=1.7)
    assert (flow.srtt, flow.cto) == (0.2, 1.0)


def test_the_next_acknowledgement_after_a_timeout_brings_the_smallest_window() -> None:
    """RFC 6817 section 2.4.2: cwnd = max(cwnd, MIN_CWND * MSS)."""
    flow = grown(12)
    flow.on_timeout(1e6)
    flow.on_ack(acked=1000, delays_us=[20_000], rtt=None, now=1e6 + 0.1)
    assert flow.cwnd == 2 * MSS


@pytest.mark.parametrize("slow_start", ["off", "rfc5681"])
def test_a_loss_after_a_timeout_leaves_the_window_at_one_segment(slow_start: str) -> None:
    """RFC 6817 section 2.4.2: cwnd = min(cwnd, max(cwnd/2, MIN_CWND * MSS))."""
    flow = grown(12, slow_start=slow_start)
    flow.on_timeout(1e6)
    flow.on_loss(lost=flow.flightsize, will_retransmit=False, now=1e6)
    assert (flow.cwnd, flow.flightsize, flow.get_timer()) == (MSS, 0, None)
    assert flow.slow_start == (slow_start == "rfc5681")


def test_what_is_sent_after_a_timeout_waits_for_the_doubled_timeout() -> None:
    """RFC 6817 section 2.4.2: an exponential backoff of the sending rate under heavy congestion."""
    flow = controller()
    now, sent = 0.0, []
    for _ in range(4):
        flow.on_sent(sent=1000, now=now)
        sent.append(now)
        due = flow.get_timer()
        assert due is not None
        now = due
        flow.on_timeout(now)
        flow.on_loss(lost=flow.flightsize, will_retransmit=False, now=now)
    assert sent == [0.0, 1.0, 3.0, 7.0]


# -- advice and misuse -----------------------------------------------------------------------------------------------


def test_the_pacing_rate_is_a_quarter_above_a_window_per_rtt() -> None:
    """RFC 6817 section 5.4: the parent protocol may interact; bursts must not pollute the delay samples."""
    flow = controller()
    assert flow.pacing_rate is None
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=1000, delays_us=[0], rtt=0.5, now=0.5)
    assert flow.pacing_rate == 2500 / 0.5 * 1.25


def test_an_rtt_of_zero_gives_no_pacing_rate() -> None:
    """A coarse clock on a loopback interface."""
    flow = controller()
    flow.on_sent(sent=2000, now=0.0)
    flow.on_ack(acked=1000, delays_us=[0], rtt=0.0, now=0.0)
    assert flow.pacing_rate is None


def test_a_snapshot_holds_what_the_properties_say() -> None:
    """For logs."""
    flow = grown(5)
    assert flow.snapshot() == Snapshot(
        cwnd=flow.cwnd,
        flightsize=flow.flightsize,
        slow_start=False,
        queuing_delay_us=0,
        base_delay_us=20_000,
        srtt=flow.srtt,
        cto=1.0,
        pacing_rate=flow.pacing_rate,
    )


@pytest.mark.parametrize("octets", [-1, -(10**30), MAX_CWND + 1, 10**400])
def test_octets_that_cannot_have_been_sent_are_refused_and_change_nothing(octets: int) -> None:
    """A verb that is misused raises StateError."""
    flow = grown(5)
    before = flow.snapshot()
    with pytest.raises(StateError, match="on_sent"):
        flow.on_sent(sent=octets, now=9.0)
    assert flow.snapshot() == before


@pytest.mark.parametrize("octets", [-1, -(10**400)])
def test_negative_octets_are_refused_and_change_nothing(octets: int) -> None:
    """A verb that is misused raises StateError."""
    flow = grown(5)
    before, due = flow.snapshot(), flow.get_timer()
    with pytest.raises(StateError, match="on_ack"):
        flow.on_ack(acked=octets, delays_us=[0, 5], rtt=9.0, now=9.0)
    with pytest.raises(StateError, match="on_loss"):
        flow.on_loss(lost=octets, will_retransmit=False, now=9.0)
    assert (flow.snapshot(), flow.get_timer()) == (before, due)
