"""Whatever a peer reports: no exception, a window within bounds, and never a growth above TCP's."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import DelayFilter, EwmaFilter, Ledbat, MinFilter, NullFilter, StateError
from ledbat.rfc6817 import MAX_CWND

MSS = 1200

anything = st.one_of(
    st.integers(),
    st.integers(0, 4 * MSS),
    st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, -1, 10**400]),
)
times = st.one_of(st.floats(0, 1e7), st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(0, 10**6))
rtts = st.one_of(st.none(), st.floats(0, 2), st.floats())
calls = st.one_of(
    st.tuples(st.just("on_sent"), st.fixed_dictionaries({"sent": anything, "now": times})),
    st.tuples(
        st.just("on_ack"),
        st.fixed_dictionaries(
            {"acked": anything, "delays_us": st.lists(anything, max_size=6), "rtt": rtts, "now": times}
        ),
    ),
    st.tuples(
        st.just("on_loss"), st.fixed_dictionaries({"lost": anything, "will_retransmit": st.booleans(), "now": times})
    ),
    st.tuples(st.just("on_ecn"), st.fixed_dictionaries({"now": times})),
    st.tuples(st.just("on_timeout"), st.fixed_dictionaries({"now": times})),
)
filters = st.sampled_from([None, MinFilter, EwmaFilter, NullFilter])


def made(slow_start: Any, make_filter: type[DelayFilter] | None, **parameters: Any) -> Ledbat:
    return Ledbat(
        mss=MSS, slow_start=slow_start, delay_filter=None if make_filter is None else make_filter(), **parameters
    )


@given(st.lists(calls, max_size=60), st.sampled_from(["off", "rfc5681"]), filters)
def test_any_calls_with_any_numbers_leave_a_sane_controller(
    steps: list[tuple[str, dict[str, Any]]], slow_start: str, make_filter: type[DelayFilter] | None
) -> None:
    """RFC 6817 section 6: only negative or impossible numbers of octets are refused, and then nothing changes."""
    flow = made(slow_start, make_filter)
    for verb, arguments in steps:
        before, timer = flow.snapshot(), flow.get_timer()
        octets = [value for name, value in arguments.items() if name in ("sent", "acked", "lost")]
        misuse = any(value < 0 for value in octets) or arguments.get("sent", 0) > MAX_CWND
        if misuse:
            with pytest.raises(StateError):
                getattr(flow, verb)(**arguments)
            assert (flow.snapshot(), flow.get_timer()) == (before, timer)
        else:
            getattr(flow, verb)(**arguments)
        assert MSS <= flow.cwnd <= MAX_CWND
        assert flow.flightsize >= 0
        assert 1.0 <= flow.cto <= 60.0
        assert (flow.get_timer() is None) == (flow.flightsize == 0)
        assert flow.queuing_delay_us is None or flow.queuing_delay_us >= 0
        assert flow.pacing_rate is None or flow.pacing_rate > 0


@given(st.lists(calls, max_size=80), filters, st.floats(0.01, 1.0), st.floats(0.1, 4.0))
def test_the_window_never_grows_faster_than_that_of_tcp(
    steps: list[tuple[str, dict[str, Any]]],
    make_filter: type[DelayFilter] | None,
    gain: float,
    allowed_increase: float,
) -> None:
    """RFC 6817 sections 2.5 and 4.2: an MSS for each window acknowledged, as TCP Reno in Congestion Avoidance."""
    flow = made("off", make_filter, gain=gain, allowed_increase=allowed_increase)
    for verb, arguments in steps:
        window, flightsize = flow.cwnd, flow.flightsize
        try:
            getattr(flow, verb)(**arguments)
        except StateError:
            continue
        if verb != "on_ack":
            assert flow.cwnd <= window
            continue
        acknowledged = min(arguments["acked"], flightsize)
        allowed = window + gain * acknowledged * MSS / window
        # The step from one segment, after a timeout, to MIN_CWND is the RFC's own; an octet is for rounding.
        assert flow.cwnd <= max(allowed, 2 * MSS) * (1 + 1e-9) + 1


@given(st.lists(calls, max_size=80), filters)
def test_slow_start_never_more_than_doubles_the_window_per_window_acknowledged(
    steps: list[tuple[str, dict[str, Any]]], make_filter: type[DelayFilter] | None
) -> None:
    """RFC 5681 section 3.1: an SMSS for each SMSS acknowledged is the most that slow start grows by."""
    flow = made("rfc5681", make_filter)
    for verb, arguments in steps:
        window, flightsize = flow.cwnd, flow.flightsize
        try:
            getattr(flow, verb)(**arguments)
        except StateError:
            continue
        if verb != "on_ack":
            assert flow.cwnd <= window
        else:
            assert flow.cwnd <= max(window + min(arguments["acked"], flightsize) + 1, 2 * MSS)


steady = st.lists(
    st.tuples(st.integers(0, 400_000), st.integers(0, 5), st.sampled_from(["ack", "ack", "ack", "loss", "wait"])),
    min_size=1,
    max_size=60,
)


@given(steady, st.one_of(st.integers(), st.integers(-(2**33), 2**33)), st.sampled_from(["off", "rfc5681"]), filters)
def test_a_constant_added_to_every_delay_changes_nothing(
    steps: list[tuple[int, int, str]], offset: int, slow_start: str, make_filter: type[DelayFilter] | None
) -> None:
    """RFC 6817 appendix A.1: the trace is identical under any clock offset, modulo 2^32 and modulo 2^64."""

    def trace(shift: Any) -> list[Any]:
        flow = made(slow_start, make_filter)
        now, seen = 0.0, []
        for delay, more, what in steps:
            flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=now)
            now += 40.0 if what == "wait" else 0.03
            if what == "loss":
                flow.on_loss(lost=MSS, will_retransmit=False, now=now)
            else:
                delays = [shift(delay + 100 * index) for index in range(more)]
                flow.on_ack(acked=MSS * more, delays_us=delays, rtt=0.5, now=now)
            snapshot = flow.snapshot()
            delay_estimate = snapshot.queuing_delay_us
            seen.append((snapshot.cwnd, None if delay_estimate is None else round(delay_estimate, 3), flow.get_timer()))
        return seen

    plain = trace(lambda delay: delay)
    assert trace(lambda delay: (delay + offset) % 2**32) == plain
    assert trace(lambda delay: (delay + offset) % 2**64) == plain
    assert trace(lambda delay: delay + offset) == plain


def test_a_flood_of_samples_takes_no_memory() -> None:
    """Every list that a peer can fill is short: the samples by CURRENT_FILTER, the minima by BASE_HISTORY."""
    flow = Ledbat(mss=MSS)
    flow.on_sent(sent=100 * MSS, now=0.0)
    flow.on_ack(acked=MSS, delays_us=[*range(1000)], rtt=1e9, now=0.0)
    tracemalloc.start()
    for step in range(2000):
        flow.on_ack(acked=0, delays_us=[step * 7919 % 100_000 for step in range(50)], rtt=None, now=step * 30.0)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 8192
