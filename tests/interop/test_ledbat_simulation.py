"""Ledbat over the simulated network: what RFC 6817 promises of a bottleneck (gates E1, E2, E2s, E6b, E12, E15 and E17).

The transport here is the least that carries LEDBAT: numbered datagrams with a timestamp, each acknowledged with its
one-way delay. Nothing of it is retransmitted.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Protocol

import pytest

from interop.simulation import DropTail, Link, Network, megabits
from ledbat import Ledbat

MSS = 1400
RTT = 0.05
RATE = megabits(10)
TARGET = 0.1
_DATA = struct.Struct("!QQ")
_ACK = struct.Struct("!QQ")
_PADDING = bytes(MSS - _DATA.size)


class Controller(Protocol):
    @property
    def cwnd(self) -> int: ...
    def on_sent(self, *, sent: int, now: float) -> None: ...
    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None: ...
    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None: ...
    def on_timeout(self, now: float) -> None: ...
    def get_timer(self) -> float | None: ...


class Reno:
    """The window of TCP with NewReno recovery (RFC 5681), as a competitor: its sender reports a loss once a window."""

    def __init__(self) -> None:
        self.window, self.ssthresh, self.in_flight = 2.0 * MSS, float("inf"), 0
        self.rto, self.deadline = 1.0, None

    @property
    def cwnd(self) -> int:
        return int(self.window)

    def on_sent(self, *, sent: int, now: float) -> None:
        self.in_flight += sent
        self.deadline = self.deadline or now + self.rto

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        self.in_flight -= acked
        self.rto = max(1.0, 3 * (rtt or 0.0))
        self.window += acked if self.window < self.ssthresh else MSS * acked / self.window
        self.deadline = now + self.rto if self.in_flight else None

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        self.in_flight -= lost

    def halve(self) -> None:
        self.window = self.ssthresh = max(self.window / 2, 2.0 * MSS)

    def on_timeout(self, now: float) -> None:
        self.window, self.ssthresh = 1.0 * MSS, max(self.in_flight / 2, 2.0 * MSS)
        self.rto *= 2
        self.deadline = now + self.rto

    def get_timer(self) -> float | None:
        return self.deadline


class Sender:
    """Sends for ever, as fast as its controller lets it, or `limit` octets a second from `start` on."""

    def __init__(self, controller: Controller, to: tuple[str, int], *, start: float = 0.0, limit: float = 0.0) -> None:
        self.controller = controller
        self.acknowledged = 0
        self.trace = hashlib.sha256()
        self.watch: Callable[[float], None] | None = None
        self._to, self._start, self._limit = to, start, limit
        self._sent_at: dict[int, float] = {}
        self._next = self._recover = 0

    def receive_datagram(self, data: memoryview, address: Any, now: float) -> None:
        number, delay_us = _ACK.unpack(data)
        sent_at = self._sent_at.pop(number, None)
        if sent_at is None:
            return
        self.acknowledged += MSS
        self.controller.on_ack(acked=MSS, delays_us=(delay_us,), rtt=now - sent_at, now=now)
        # Nothing overtakes on these links: what is three packets behind is lost (RFC 5681 section 3.2).
        while self._sent_at and (oldest := next(iter(self._sent_at))) < number - 3:
            self._lost(oldest, now)
        self.trace.update(f"{now:.6f} {self.controller.cwnd};".encode())
        if self.watch is not None:
            self.watch(now)

    def _lost(self, number: int, now: float) -> None:
        del self._sent_at[number]
        if isinstance(self.controller, Reno) and number >= self._recover:
            self.controller.halve()
            self._recover = self._next
        self.controller.on_loss(lost=MSS, will_retransmit=False, now=now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        burst: list[tuple[bytes, Any]] = []
        while now >= self._may_send() and (len(self._sent_at) + 1) * MSS <= self.controller.cwnd and len(burst) < 64:
            self._sent_at[self._next] = now
            self.controller.on_sent(sent=MSS, now=now)
            burst.append((_DATA.pack(self._next, int(now * 1e6)) + _PADDING, self._to))
            self._next += 1
        return burst

    def _may_send(self) -> float:
        return self._start + (self._next * MSS / self._limit if self._limit else 0.0)

    def get_timer(self) -> float | None:
        timeout, start = self.controller.get_timer(), self._may_send()
        blocked = (len(self._sent_at) + 1) * MSS > self.controller.cwnd
        times = [timeout, None if blocked else start]
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        timeout = self.controller.get_timer()
        if timeout is not None and timeout <= now:
            self.controller.on_timeout(now)
            for number in list(self._sent_at):
                self._lost(number, now)


class Receiver:
    """Acknowledges each datagram with its one-way delay, modulo 2^64 as PPSPP does; or with a lie about it."""

    def __init__(self, lie: Callable[[int], int] = lambda delay_us: delay_us) -> None:
        self._lie = lie
        self._out: deque[tuple[bytes, Any]] = deque()

    def receive_datagram(self, data: memoryview, address: Any, now: float) -> None:
        number, timestamp_us = _DATA.unpack_from(data)
        delay_us = self._lie(int(now * 1e6) - timestamp_us)
        self._out.append((_ACK.pack(number, delay_us % 2**64), address))

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        burst = list(self._out)
        self._out.clear()
        return burst

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        return None


class Dumbbell:
    """Flows that share one bottleneck; the propagation delay is half the RTT each way."""

    def __init__(self, *, buffer: float, rate: float = RATE) -> None:
        self.rate = rate
        self.network = Network(seed=1)
        self.bottleneck = Link(
            rate=rate, delay=RTT / 2, queue=DropTail(octets=int(buffer * rate)), sample_delays=True, name="bottleneck"
        )

    def flow(
        self, controller: Controller, *, start: float = 0.0, limit: float = 0.0, offset: float = 0.0, **lie: Any
    ) -> Sender:
        number = len(self.network.recorder.taps) + 1
        self.network.tap(lambda event: None)
        here = self.network.host(f"192.0.2.{number}", up=self.bottleneck)
        there = self.network.host(f"198.51.100.{number}", up=Link(delay=RTT / 2), clock_offset=offset)
        there.run(Receiver(**lie), port=7000)
        sender = Sender(controller, (there.address, 7000), start=start, limit=limit)
        here.run(sender, port=7000)
        return sender

    def utilisation(self, seconds: float) -> float:
        return self.bottleneck.metrics.octets / self.rate / seconds

    def queue_ms(self, since: float = 0.0) -> list[float]:
        metrics = self.bottleneck.metrics
        pairs = zip(metrics.sample_times_us, metrics.sample_delays_us, strict=True)
        return [delay_us / 1000 for at_us, delay_us in pairs if at_us >= since * 1e6]


def test_alone_it_uses_the_link_and_keeps_the_queue_at_the_target() -> None:
    """RFC 6817 sections 1.2 and 3.2.1, gate E1: 10 Mb/s, 50 ms, a buffer of a second."""
    world = Dumbbell(buffer=1.0)
    world.flow(Ledbat(mss=MSS))
    world.network.run(60.0)
    assert world.utilisation(60.0) >= 0.99
    assert abs(median(world.queue_ms()) - 100) <= 5
    assert world.bottleneck.metrics.dropped == 0
    assert max(world.queue_ms(since=10.0)) < 110


def test_alone_with_a_buffer_below_the_target_it_uses_the_link_as_tcp_does() -> None:
    """RFC 6817 section 4.3, gate E1: TARGET is higher than what the queue can sustain."""
    world = Dumbbell(buffer=0.05)
    world.flow(Ledbat(mss=MSS))
    world.network.run(60.0)
    assert world.utilisation(60.0) >= 0.99
    assert world.bottleneck.metrics.dropped > 0


def test_without_slow_start_the_queue_stays_at_the_target_too() -> None:
    """RFC 6817 section 2.2, gate E1: an implementation may skip slow start; the window then takes seconds to open."""
    world = Dumbbell(buffer=1.0)
    world.flow(Ledbat(mss=MSS, slow_start="off"))
    world.network.run(60.0)
    assert abs(median(world.queue_ms(since=20.0)) - 100) <= 5
    assert max(world.queue_ms()) < 105
    assert world.bottleneck.metrics.dropped == 0


def share_beside_reno(buffer: float, ledbat_start: float, reno_start: float) -> tuple[float, float]:
    """The share of a Ledbat flow and the utilisation of both, from 10 s to 70 s."""
    world = Dumbbell(buffer=buffer)
    ours = world.flow(Ledbat(mss=MSS), start=ledbat_start)
    theirs = world.flow(Reno(), start=reno_start)
    world.network.run(10.0)
    before = ours.acknowledged, theirs.acknowledged
    world.network.run(70.0)
    mine, others = ours.acknowledged - before[0], theirs.acknowledged - before[1]
    return mine / (mine + others), (mine + others) / MSS * (MSS + 28) / RATE / 60


@pytest.mark.parametrize(("ledbat_start", "reno_start"), [(0.0, 5.0), (5.0, 0.0)])
def test_it_yields_to_a_reno_flow_whoever_comes_first(ledbat_start: float, reno_start: float) -> None:
    """RFC 6817 sections 1.2 and 4.2, gate E2: with a buffer of 500 ms the Reno flow keeps nine tenths."""
    share, utilisation = share_beside_reno(0.5, ledbat_start, reno_start)
    assert share <= 0.10
    assert utilisation >= 0.99


@pytest.mark.parametrize(("ledbat_start", "reno_start"), [(0.0, 5.0), (5.0, 0.0)])
def test_with_a_buffer_below_the_target_it_takes_no_more_than_reno(ledbat_start: float, reno_start: float) -> None:
    """RFC 6817 section 4.2, gate E2s: in the worst case it is no more aggressive than standard TCP."""
    share, utilisation = share_beside_reno(0.05, ledbat_start, reno_start)
    assert share <= 0.50
    assert utilisation >= 0.99


@pytest.mark.parametrize("offset", [0.0, 3600.0, -(2**31) / 1e6, 2**32 / 1e6 - 2.0])
def test_the_clocks_of_the_hosts_may_show_anything(offset: float) -> None:
    """RFC 6817 appendix A.1, gate E6b: the same trace whatever the offset, wrap of 32 bits in mid-flow included."""

    def digest(receiver_ahead: float) -> str:
        world = Dumbbell(buffer=1.0, rate=megabits(2))
        sender = world.flow(Ledbat(mss=MSS), lie=lambda delay_us: delay_us + round(receiver_ahead * 1e6))
        world.network.run(10.0)
        return sender.trace.hexdigest()

    assert digest(offset) == digest(1.0)


def test_a_receiver_whose_clock_is_an_hour_ahead_is_no_different() -> None:
    """RFC 6817 appendix A.1, gate E6b, with a real clock on the other host."""
    world = Dumbbell(buffer=1.0, rate=megabits(2))
    world.flow(Ledbat(mss=MSS), offset=3600.0)
    world.network.run(20.0)
    assert abs(median(world.queue_ms(since=5.0)) - 100) <= 10


def test_an_application_limited_flow_keeps_its_window_near_what_it_uses() -> None:
    """RFC 6817 section 2.4.2, gate E12: cwnd is clamped to a little more than flightsize."""
    world = Dumbbell(buffer=1.0)
    controller = Ledbat(mss=MSS)
    sender = world.flow(controller, limit=megabits(1))
    windows: list[int] = []
    sender.watch = lambda now: windows.append(controller.cwnd) if now > 2.0 else None
    world.network.run(30.0)
    # 1 Mb/s over 50 ms is 6,250 octets: at most 5 segments in flight before an acknowledgement.
    assert max(windows) <= (5 + 1) * MSS
    assert sender.acknowledged >= 0.98 * megabits(1) * 29.9


def test_after_a_blackout_of_five_seconds_it_recovers() -> None:
    """RFC 6817 section 2.4.2, gate E15: the CTO backs off, and an acknowledgement brings the flow back."""
    world = Dumbbell(buffer=1.0)
    sender = world.flow(Ledbat(mss=MSS))
    dark = False
    world.bottleneck.gate = lambda packet: not dark
    world.network.run(10.0)
    dark, before = True, sender.acknowledged
    world.network.run(15.0)
    dark = False
    assert sender.acknowledged - before < 0.2 * RATE  # only what was on its way
    world.network.run(18.0)  # the next attempt is 7 s after the last acknowledgement: a CTO of 1, 2 and 4 s
    resumed = sender.acknowledged
    world.network.run(22.0)
    assert (sender.acknowledged - resumed) / MSS * (MSS + 28) >= 0.9 * RATE * 4


@pytest.mark.parametrize(
    "lie",
    [
        lambda delay_us: 0,
        lambda delay_us: 2**31 - 1,
        lambda delay_us: 2**63,
        lambda delay_us: -delay_us,
        lambda delay_us: delay_us * 6364136223846793005 % 2**64,
    ],
    ids=["zero", "int-max", "sign-bit", "negated", "noise"],
)
def test_a_receiver_that_lies_about_delays_gets_no_more_than_from_reno(lie: Callable[[int], int]) -> None:
    """RFC 6817 section 6, gate E17: the algorithm is fundamentally limited to be as aggressive as standard TCP."""

    def octets(controller: Controller, **lies: Any) -> int:
        world = Dumbbell(buffer=0.2, rate=megabits(2))
        sender = world.flow(controller, **lies)
        world.network.run(30.0)
        return sender.acknowledged

    honest_reno = octets(Reno())
    assert 0 < octets(Ledbat(mss=MSS), lie=lie) <= honest_reno * 1.02


def test_the_same_run_gives_the_same_trace() -> None:
    """Gate 0: nothing in the controller depends on anything but its arguments."""

    def digest() -> str:
        world = Dumbbell(buffer=0.1, rate=megabits(2))
        sender = world.flow(Ledbat(mss=MSS))
        world.network.run(10.0)
        return sender.trace.hexdigest()

    assert digest() == digest()
