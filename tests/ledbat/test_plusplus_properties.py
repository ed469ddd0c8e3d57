"""LEDBAT++, whatever a peer reports: nothing is raised, and the bounds hold."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledbat import LedbatError
from ledbat.plusplus import LedbatPlusPlus
from ledbat.rfc6817 import MAX_CWND

MSS = 1000


anything = st.one_of(
    st.integers(), st.integers(0, 6 * MSS), st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -1, 10**400])
)
times = st.one_of(st.floats(0, 1e7), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**6))
calls = st.one_of(
    st.tuples(st.just("on_sent"), st.fixed_dictionaries({"sent": anything, "now": times})),
    st.tuples(
        st.just("on_ack"),
        st.fixed_dictionaries(
            {
                "acked": anything,
                "delays_us": st.lists(anything, max_size=6),
                "rtt": st.one_of(st.none(), st.floats(0, 2), st.floats()),
                "now": times,
            }
        ),
    ),
    st.tuples(
        st.just("on_loss"), st.fixed_dictionaries({"lost": anything, "will_retransmit": st.booleans(), "now": times})
    ),
    st.tuples(st.just("on_ecn"), st.fixed_dictionaries({"now": times})),
    st.tuples(st.just("on_timeout"), st.fixed_dictionaries({"now": times})),
    st.tuples(st.just("undo_timeout"), st.fixed_dictionaries({"now": times})),
)


@given(st.lists(calls, max_size=80), st.sampled_from(["rtt", "owd"]), st.sampled_from([None, 0, 300]), st.booleans())
def test_whatever_a_peer_reports_nothing_is_raised_and_the_bounds_hold(
    steps: list[tuple[str, dict[str, Any]]], source: Any, anchor: int | None, defer: bool
) -> None:
    """Any integers, any times: only misuse is refused, and the window is between a packet and TCP's longest."""
    flow = LedbatPlusPlus(mss=MSS, delay_source=source, anchor_us=anchor, defer_slowdowns=defer)
    for verb, arguments in steps:
        try:
            getattr(flow, verb)(**arguments)
        except LedbatError:
            octets = [value for name, value in arguments.items() if name in ("sent", "acked", "lost")]
            assert any(value < 0 for value in octets) or arguments.get("sent", 0) > MAX_CWND
        assert MSS <= flow.cwnd <= MAX_CWND
        assert flow.flightsize >= 0
        assert 1.0 <= flow.cto <= 60.0
        assert (flow.get_timer() is None) == (flow.flightsize == 0)
        assert 1 / 16 <= flow.gain <= 1
        assert flow.queuing_delay_us is None or flow.queuing_delay_us >= 0
        assert flow.pacing_rate is None or flow.pacing_rate > 0


steady = st.lists(
    st.tuples(st.integers(0, 400_000), st.integers(0, 5), st.sampled_from(["ack", "ack", "ack", "loss", "wait"])),
    min_size=1,
    max_size=60,
)


@given(steady, st.one_of(st.integers(), st.integers(-(2**33), 2**33)))
def test_a_constant_added_to_every_delay_changes_nothing(steps: list[tuple[int, int, str]], offset: int) -> None:
    """RFC 6817 appendix A.1, gate E6b: the same trace modulo 2^32 and modulo 2^64."""

    def trace(shift: Callable[[int], int]) -> list[Any]:
        flow = LedbatPlusPlus(mss=MSS, delay_source="owd")
        now, seen = 0.0, []
        for delay, more, what in steps:
            flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=now)
            now += 40.0 if what == "wait" else 0.03
            if what == "loss":
                flow.on_loss(lost=MSS, will_retransmit=False, now=now)
            else:
                delays = [shift(delay + 100 * index) for index in range(more)]
                flow.on_ack(acked=MSS * more, delays_us=delays, rtt=0.05 + delay / 1e6, now=now)
            snapshot = flow.snapshot()
            seen.append((snapshot.cwnd, snapshot.queuing_delay_us, snapshot.slow_start, flow.get_timer()))
        return seen

    plain = trace(lambda delay: delay)
    assert trace(lambda delay: (delay + offset) % 2**32) == plain
    assert trace(lambda delay: (delay + offset) % 2**64) == plain


@given(st.lists(calls, max_size=80), st.sampled_from(["rtt", "owd"]))
def test_it_never_grows_faster_than_tcp(steps: list[tuple[str, dict[str, Any]]], source: Any) -> None:
    """RFC 6817 section 4.2: an octet for each acknowledged in slow start, an MSS for each window otherwise."""
    flow = LedbatPlusPlus(mss=MSS, delay_source=source)
    for verb, arguments in steps:
        window, flight, slow_start = flow.cwnd, flow.flightsize, flow.slow_start
        try:
            getattr(flow, verb)(**arguments)
        except LedbatError:
            continue
        if verb == "on_ack":
            acked = min(arguments["acked"], flight)
            growth = acked if slow_start or flow.slow_start else MSS * acked / window
            assert flow.cwnd <= max(window + growth, 2 * MSS) * (1 + 1e-9) + 1
        elif verb != "undo_timeout":
            assert flow.cwnd <= window
