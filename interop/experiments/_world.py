"""A bottleneck, the flows that share it, and what is seen of them."""

from array import array
from collections.abc import Callable
from statistics import fmean

import attrs

from interop.experiments._flow import Controller, Flow
from interop.simulation import CoDel, DropTail, Engine, Link, Recorder, megabits

RATE = megabits(10)
"""Octets a second of the bottleneck, unless told otherwise."""
RTT = 0.05
"""Seconds of round-trip propagation, half of it each way, unless told otherwise."""
INTERVAL = 0.1
"""Seconds between two looks at everything."""


@attrs.frozen
class Series:
    """What was seen of a flow: at `times[i]`, the octets acknowledged until then and the window."""

    name: str
    acknowledged: "array[int]" = attrs.Factory(lambda: array("q"))
    cwnd: "array[int]" = attrs.Factory(lambda: array("q"))


class World:
    """Flows through one bottleneck in virtual time. The same calls give the same run."""

    def __init__(
        self,
        label: str,
        *,
        rate: float = RATE,
        rtt: float = RTT,
        buffer: float = 1.0,
        codel: bool = False,
        loss: float = 0.0,
        jitter: float = 0.0,
        back_rate: float | None = None,
        back_buffer: float = 1.0,
        seed: int = 1,
    ) -> None:
        """`rate` is octets a second, `buffer` seconds of that; the queue drops its tail, or is CoDel.

        With `back_rate` the way back has a queue too, which acknowledgements share with the flows that `flow` makes
        with `backwards`; without, it only takes its time.
        """
        self.label = label
        self.rate = rate
        self.rtt = rtt
        self.engine = Engine()
        self.times: list[float] = []
        """When everything was looked at, every INTERVAL seconds from 0."""
        self.carried: list[int] = []
        """Octets that had come through the bottleneck then."""
        self.series: list[Series] = []
        self.flows: list[Flow] = []
        recorder = Recorder(self.engine)
        self.bottleneck = Link(
            rate=rate,
            delay=rtt / 2,
            queue=CoDel() if codel else DropTail(octets=int(buffer * rate)),
            loss=loss,
            jitter=jitter,
            sample_delays=True,
        )
        self.bottleneck.join(self.engine, recorder, "bottleneck", str(seed))
        self.back: Link | None = None
        if back_rate is not None:
            self.back = Link(rate=back_rate, delay=rtt / 2, queue=DropTail(octets=int(back_buffer * back_rate)))
            self.back.join(self.engine, recorder, "back", str(seed))
        self._look()

    def flow(
        self,
        name: str,
        controller: Controller,
        *,
        start: float = 0.0,
        total: int | None = None,
        limit: float | None = None,
        skew: float = 0.0,
        offset_us: int = 0,
        lie: Callable[[int], int] | None = None,
        backwards: bool = False,
        record: bool = False,
    ) -> Flow:
        """Add a flow that begins at `start` seconds and sends for ever, or `total` octets, or `limit` octets a second.

        The receiver's clock gains `skew` seconds a second and is `offset_us` microseconds ahead; `lie` is what it says
        of a delay. `backwards` sends over the way back. `record` makes a trace of the windows.
        """
        assert not backwards or self.back is not None
        flow = Flow(
            name,
            controller,
            self.engine,
            [self.back] if backwards and self.back is not None else [self.bottleneck],
            back=None if backwards else self.back,
            back_delay=self.rtt / 2,
            start=start,
            total=total,
            limit=limit,
            skew=skew,
            offset_us=offset_us,
            lie=lie,
            record=record,
        )
        flow.backwards = backwards
        self.flows.append(flow)
        known = array("q", [0] * len(self.times))
        self.series.append(Series(name, known, array("q", [controller.cwnd] * len(self.times))))
        return flow

    def at(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call something at that time."""
        self.engine.call_at(seconds, callback)

    def run(self, until: float) -> "World":
        """Let time pass until so many seconds; return this world."""
        self.engine.run(until)
        return self

    def _look(self) -> None:
        self.times.append(self.engine.now)
        self.carried.append(sum(flow.arrived for flow in self.flows if not flow.backwards))
        for flow, series in zip(self.flows, self.series, strict=True):
            series.acknowledged.append(flow.acknowledged)
            series.cwnd.append(flow.controller.cwnd)
        self.engine.post(self.engine.now_us + round(INTERVAL * 1e6), self._look)

    # -- figures --------------------------------------------------------------------------------------------------

    def utilisation(self, since: float = 0.0, until: float | None = None) -> float:
        """The share of the bottleneck's rate that was carried, headers included."""
        first, last = self._looks(since, until)
        return (self.carried[last] - self.carried[first]) / (self.times[last] - self.times[first]) / self.rate

    def rate_of(self, flow: Flow, since: float = 0.0, until: float | None = None) -> float:
        """Octets a second that were acknowledged."""
        first, last = self._looks(since, until)
        seen = self.series[self.flows.index(flow)].acknowledged
        return (seen[last] - seen[first]) / (self.times[last] - self.times[first])

    def share(self, flow: Flow, since: float = 0.0, until: float | None = None) -> float:
        """The flow's part of all that was acknowledged."""
        rates = [self.rate_of(each, since, until) for each in self.flows]
        total = sum(rates)
        return rates[self.flows.index(flow)] / total if total else 0.0

    def jain(self, since: float = 0.0, until: float | None = None) -> float:
        """Jain's fairness index of the flows' rates: 1 when all are equal, 1/n when one has everything."""
        rates = [self.rate_of(each, since, until) for each in self.flows]
        squares = sum(rate * rate for rate in rates)
        return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0

    def queue_ms(self, since: float = 0.0, until: float | None = None) -> "Queue":
        """The queueing delays of the packets that came in that time, in milliseconds."""
        metrics = self.bottleneck.metrics
        first_us, last_us = since * 1e6, float("inf") if until is None else until * 1e6
        pairs = zip(metrics.sample_times_us, metrics.sample_delays_us, strict=True)
        return Queue(sorted(delay_us / 1000 for at_us, delay_us in pairs if first_us <= at_us <= last_us))

    def _looks(self, since: float, until: float | None) -> tuple[int, int]:
        first = round(since / INTERVAL)
        last = len(self.times) - 1 if until is None else round(until / INTERVAL)
        return first, last


class Queue:
    """Queueing delays in milliseconds, sorted."""

    def __init__(self, delays: list[float]) -> None:
        self._delays = delays or [0.0]

    @property
    def mean(self) -> float:
        """The mean."""
        return fmean(self._delays)

    @property
    def median(self) -> float:
        """The 50th percentile."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return self.percentile(95)

    @property
    def longest(self) -> float:
        """The greatest."""
        return self._delays[-1]

    def percentile(self, percent: float) -> float:
        """The delay that so many per cent of the packets did not exceed."""
        return self._delays[min(int(len(self._delays) * percent / 100), len(self._delays) - 1)]
