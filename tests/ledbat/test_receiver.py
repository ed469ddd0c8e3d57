"""The receiver's window (rLEDBAT, RFC 9840), rule by rule of the facts sheet."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat import Ledbat, LedbatError, ParameterError, StateError
from ledbat.plusplus import LedbatPlusPlus
from ledbat.receiver import ReceiverWindow, RetransmissionDetector, TimestampClock
from ledbat.reno import NewReno

MSS = 1000
BUFFER = 10**6


def made(scale: int = 0, **parameters: Any) -> ReceiverWindow:
    return ReceiverWindow(LedbatPlusPlus(mss=MSS, **parameters), mss=MSS, window_scale=scale)


class Path:
    """A greedy sender that obeys the window alone, and a bottleneck with a queue that never drops."""

    def __init__(self, window: ReceiverWindow, *, rtt: float = 0.05, per_packet: float = 0.001) -> None:
        self.window = window
        self.rtt, self.per_packet = rtt, per_packet
        self.now = self.free = 0.0
        self.sent = self.received = self.edge = 0
        self.delays: list[float] = []
        self.windows: list[int] = []
        self._wire: deque[tuple[float, float]] = deque()  # arrival, and when it was sent
        self._heard: deque[tuple[float, int]] = deque()  # when the sender hears of which edge

    def run(self, until: float) -> None:
        self._advertise()
        while True:
            times = [queue[0][0] for queue in (self._wire, self._heard) if queue]
            if not times or min(times) > until:
                return
            self.now = min(times)
            while self._heard and self._heard[0][0] <= self.now:
                self.edge = max(self.edge, self._heard.popleft()[1])
                self._send()
            while self._wire and self._wire[0][0] <= self.now:
                _, sent_at = self._wire.popleft()
                self._arrive(sent_at)

    def _send(self) -> None:
        while self.sent + MSS <= self.edge:
            self.sent += MSS
            start = max(self.now, self.free)
            self.free = start + self.per_packet
            self.delays.append(start - self.now)
            self._wire.append((self.free + self.rtt / 2, self.now))

    def _arrive(self, sent_at: float) -> None:
        self.received += MSS
        owd = self.now - sent_at
        self.window.on_data(received=MSS, delays_us=(round(owd * 1e6),), rtt=owd + self.rtt / 2, now=self.now)
        self._advertise()

    def _advertise(self) -> None:
        advertised = self.window.window(BUFFER)
        self.windows.append(advertised)
        self._heard.append((self.now + self.rtt / 2, self.received + advertised))


def test_it_is_never_looser_than_flow_control() -> None:
    """The receiver advertises min(fcwnd, RLWND)."""
    window = made()
    assert window.window(500) == 500
    assert window.window(10**9) == window.rlwnd == 2 * MSS
    assert window.window(0) == 0
    assert window.window(-5) == 0


@pytest.mark.parametrize("source", ["rtt", "owd"])
def test_a_rude_sender_is_held_at_the_target(source: Any) -> None:
    """Increases and decreases follow LEDBAT++, with received octets in the place of acknowledged ones."""
    path = Path(made(delay_source=source))
    path.run(30.0)
    late = sorted(path.delays[len(path.delays) // 3 :])
    assert 0.05 <= late[len(late) // 2] <= 0.066
    assert late[-1] < 0.1
    assert path.received >= 0.9 * 30.0 / path.per_packet * MSS


def test_any_controller_can_run_at_the_receiver() -> None:
    """Ledbat as well, at its own target."""
    path = Path(ReceiverWindow(Ledbat(mss=MSS), mss=MSS))
    path.run(30.0)
    late = sorted(path.delays[len(path.delays) // 3 :])
    assert 0.08 <= late[len(late) // 2] <= 0.105


def test_the_window_shrinks_by_no_more_than_what_arrived() -> None:
    """RLWND may fall by at most the octets that arrived since the last advertisement, until it has its new value."""
    path = Path(made())
    path.run(0.8)
    window = path.window
    before = window.window(BUFFER)
    assert before > 8 * MSS
    window.on_retransmission(path.now)
    assert window.rlwnd < before
    assert window.window(BUFFER) == before
    window.on_data(received=MSS, delays_us=(), rtt=None, now=path.now)
    assert window.window(BUFFER) == before - MSS
    for _ in range(45):
        window.on_data(received=MSS, delays_us=(), rtt=None, now=path.now)
        advertised = window.window(BUFFER)
    assert advertised == window.rlwnd < before - 2 * MSS


def test_the_right_edge_never_moves_left_in_a_whole_run() -> None:
    """The window must not shrink into data in flight, slowdowns included."""
    path = Path(made())
    edges = []
    for step in range(1, 40):
        path.run(step * 0.2)
        edges.append(path.received + path.windows[-1])
    assert edges == sorted(edges)
    assert min(path.windows[-2000:]) == 2 * MSS  # a slowdown did bring it to the floor


def test_the_floor_is_two_segments() -> None:
    """RLWND's floor."""
    window = made()
    window.on_data(received=MSS, delays_us=(), rtt=0.05, now=0.0)
    for step in range(20):
        window.on_retransmission(float(step))
    assert window.rlwnd == 2 * MSS


def test_a_retransmission_halves_the_window_once_in_two_round_trips() -> None:
    """At most once per RTT, with one more RTT of leeway: it is the retransmission that is seen and not the loss."""
    window = ReceiverWindow(NewReno(mss=MSS), mss=MSS)
    now = 0.0
    for _ in range(6):
        for _ in range(window.window(BUFFER) // MSS):
            window.on_data(received=MSS, delays_us=(), rtt=0.1, now=now)
            window.window(BUFFER)
        now += 0.1
    first = window.rlwnd
    window.on_retransmission(now)
    halved = window.rlwnd
    assert halved == pytest.approx(first / 2, abs=MSS)
    window.on_retransmission(now + 0.19)
    assert window.rlwnd == halved
    for _ in range(first // MSS + 8):
        window.on_data(received=MSS, delays_us=(), rtt=0.1, now=now + 0.19)
        window.window(BUFFER)
    again = window.rlwnd
    window.on_retransmission(now + 0.21)
    assert window.rlwnd < again


@pytest.mark.parametrize("scale", [0, 3, 7, 9])
def test_the_window_is_a_multiple_of_the_scale(scale: int) -> None:
    """RLWND is rounded to a multiple of 2^(window scale); the edge stays where it is all the same."""
    window = made(scale)
    edge = received = 0
    for step in range(300):
        octets = 137 if step % 7 else MSS
        window.on_data(received=octets, delays_us=(), rtt=0.05 + (step % 50) * 0.003, now=step * 0.01)
        received += octets
        advertised = window.window(BUFFER)
        assert advertised % (1 << scale) == 0
        assert received + advertised >= edge
        edge = received + advertised
        assert window.rlwnd >= 2 * MSS


def test_a_scale_whose_unit_is_above_a_segment_is_refused() -> None:
    """The granularity has to be finer than what the window is counted in; TCP's longest shift is 14."""
    for scale in (-1, 10, 15):
        with pytest.raises(ParameterError):
            made(scale)
    with pytest.raises(ParameterError):
        ReceiverWindow(NewReno(mss=MSS), mss=0)


def test_a_sender_that_is_limited_by_itself_does_not_open_the_window() -> None:
    """Growth needs use: an allowance that nobody takes says nothing about the path."""
    window = made()
    for step in range(2000):
        window.on_data(received=MSS, delays_us=(), rtt=0.05, now=step * 0.025)
        window.window(BUFFER)
        if step == 100:
            early = window.rlwnd
    assert window.rlwnd <= early <= 8 * MSS  # twice what is in flight, and a segment or two


def test_after_the_sender_was_idle_the_controller_begins_anew() -> None:
    """An idle sender: the window is the first one again, and what was promised stays promised."""
    path = Path(made())
    path.run(0.8)
    window, promised = path.window, path.window.credit
    assert window.rlwnd > 8 * MSS
    window.on_data(received=MSS, delays_us=(), rtt=None, now=path.now + 30.0)
    assert window.rlwnd <= 3 * MSS
    assert window.window(BUFFER) == promised - MSS


def test_the_timestamp_clock_measures_round_trips_over_the_wrap() -> None:
    """RTT is measured with the TCP timestamp option (RFC 7323 section 4)."""
    clock = TimestampClock(0.001)
    just_before = 2**32 * 0.001 - 0.02
    assert clock.round_trip(clock.value(just_before), just_before + 0.05) == pytest.approx(0.05, abs=0.0011)
    assert clock.round_trip(clock.value(10.0), 9.0) is None


def test_a_clock_that_ticks_more_rarely_than_every_10_ms_is_refused() -> None:
    """The timestamp clock must tick at least every 10 ms."""
    assert TimestampClock(0.01).value(1.0) == 100
    for tick in (0.0101, 0.0, -1.0, float("nan")):
        with pytest.raises(ParameterError):
            TimestampClock(tick)


def test_a_newer_segment_below_the_highest_is_a_retransmission_and_a_late_one_is_not() -> None:
    """Loss seen from the receiver; numbers wrap."""
    detector = RetransmissionDetector()
    base = 2**32 - 1500
    assert not detector.on_segment(base, 100)
    assert not detector.on_segment((base + 3000) % 2**32, 103)
    assert not detector.on_segment(base + 1000, 101)  # late: it was sent before the highest
    assert detector.on_segment((base + 2000) % 2**32, 140)
    assert not detector.on_segment((base + 4000) % 2**32, 141)


def test_misuse_is_refused() -> None:
    """Octets are never negative."""
    window = made()
    with pytest.raises(StateError):
        window.on_data(received=-1, delays_us=(), rtt=None, now=0.0)
    assert window.credit == 0


anything = st.one_of(st.integers(), st.integers(0, 5 * MSS), st.sampled_from([0, 2**32, 10**400]))
times = st.one_of(st.floats(0, 1e7), st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("data"), anything, st.lists(anything, max_size=4), st.one_of(st.none(), st.floats())),
            st.tuples(st.just("retransmission"), st.just(0), st.just([]), st.none()),
            st.tuples(st.just("window"), anything, st.just([]), st.none()),
        ),
        max_size=60,
    ),
    st.lists(times, min_size=60, max_size=60),
    st.sampled_from([0, 4]),
)
def test_whatever_comes_nothing_is_raised_and_the_edge_stays(steps: list[Any], at: list[float], scale: int) -> None:
    """Any integers, any times: only misuse is refused; the edge moves left only where flow control wants it."""
    window = made(scale)
    received = edge = 0
    for (verb, number, delays, rtt), now in zip(steps, at, strict=False):
        if verb == "data":
            try:
                window.on_data(received=number, delays_us=delays, rtt=rtt, now=now)
                received += number
            except LedbatError:
                assert not 0 <= number <= 2**30
        elif verb == "retransmission":
            window.on_retransmission(now)
        else:
            advertised = window.window(number)
            assert 0 <= advertised <= max(number, 0)
            assert advertised % (1 << scale) == 0
            if number >= edge - received + (1 << scale):
                assert received + advertised >= edge
            edge = max(edge, received + advertised)
