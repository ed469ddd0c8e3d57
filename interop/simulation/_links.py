"""One-way links: a rate, a queue, a delay, and what can go wrong on the wire."""

import random
from array import array
from collections import deque
from collections.abc import Callable

import attrs

from interop.simulation._codel import CoDel, CoDelQueue
from interop.simulation._engine import Engine, microseconds
from interop.simulation._packets import Drop, Packet, Recorder


def megabits(number: float) -> float:
    """A rate of so many megabits per second, in octets per second."""
    return number * 1_000_000 / 8


@attrs.frozen
class DropTail:
    """Queue discipline: first in, first out, and what finds the queue full is dropped.

    `octets` counts what is not yet on the wire (of the packet in transmission, the rest), `packets` counts those not
    yet transmitted, the one in transmission included. None: no such limit. An idle link takes any packet.
    """

    octets: int | None = None
    packets: int | None = None


@attrs.define
class LinkMetrics:
    """What a link has done so far. A packet that is lost on the wire was carried: it used the link's rate."""

    packets: int = 0
    octets: int = 0
    """Octets carried, headers included."""
    dropped: int = 0
    """Packets that the gate or the queue refused."""
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    queue_delay_us: int = 0
    """The sum of the packets' queueing delays: from arrival at the link to the start of transmission."""
    max_queue_delay_us: int = 0
    sample_times_us: "array[int]" = attrs.Factory(lambda: array("q"))
    sample_delays_us: "array[int]" = attrs.Factory(lambda: array("q"))
    """With `sample_delays`: when each packet arrived at the link, and its queueing delay."""

    @property
    def mean_queue_delay(self) -> float:
        """Seconds that a packet waited in the queue, on average."""
        return self.queue_delay_us / self.packets / 1_000_000 if self.packets else 0.0

    def throughput(self, seconds: float) -> float:
        """Octets per second carried, over so many seconds."""
        return self.octets / seconds


@attrs.frozen(kw_only=True)
class _Settings:
    """What `Link.change` may change; every value is checked here."""

    rate: float | None
    delay: float
    jitter: float
    loss: float
    duplication: float
    reordering: float
    reorder_delay: float
    corruption: float

    def __attrs_post_init__(self) -> None:
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate: {self.rate} octets per second is not positive")
        for name in ("delay", "jitter", "reorder_delay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} s is negative")
        for name in ("loss", "duplication", "reordering", "corruption"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is no probability")


class Link:
    """A one-way link. Several hosts may share one: give it to each of them."""

    def __init__(
        self,
        *,
        name: str = "",
        rate: float | None = None,
        delay: float = 0.0,
        jitter: float = 0.0,
        keeps_order: bool = True,
        queue: DropTail | CoDel | None = None,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
        reorder_delay: float = 0.01,
        corruption: float = 0.0,
        gate: Callable[[Packet], bool] | None = None,
        sample_delays: bool = False,
    ) -> None:
        """Describe a link; the network gives it a name if you do not.

        `rate` is octets per second, None for no limit; `delay` is the propagation delay in seconds, to which up to
        `jitter` seconds are added, evenly distributed. Packets keep their order all the same, unless `keeps_order` is
        False. The rest are probabilities for each packet: to be lost, to arrive twice, to be held back for
        `reorder_delay` seconds while others overtake, to have one bit inverted. `gate` is asked about every packet that
        arrives at the link; False drops it. `queue` is DropTail without a limit by default.

        Raises ValueError for what no link can have.
        """
        self.name = name
        self.gate = gate
        self.metrics = LinkMetrics()
        self._queue = queue or DropTail()
        self._codel = CoDelQueue(queue) if isinstance(queue, CoDel) else None
        self._keeps_order = keeps_order
        self._sample = sample_delays
        self._apply(
            _Settings(
                rate=rate,
                delay=delay,
                jitter=jitter,
                loss=loss,
                duplication=duplication,
                reordering=reordering,
                reorder_delay=reorder_delay,
                corruption=corruption,
            )
        )
        self._free_ns = 0
        self._busy = False
        self._departures: deque[int] = deque()
        self._last_arrival_us = 0
        self._engine: Engine | None = None

    def join(self, engine: Engine, recorder: Recorder, name: str, seed: str) -> None:
        """Become part of a network, which calls this; a link belongs to one network for good."""
        if self._engine is not None:
            if self._engine is not engine:
                raise ValueError(f"link {self.name}: belongs to another network")
            return
        self.name = self.name or name
        self._engine = engine
        self._recorder = recorder
        self._random = random.Random(f"{seed}/link/{self.name}")

    def change(
        self,
        *,
        rate: float | None = None,
        delay: float | None = None,
        jitter: float | None = None,
        loss: float | None = None,
        duplication: float | None = None,
        reordering: float | None = None,
        corruption: float | None = None,
    ) -> None:
        """Change what is given from now on. A packet whose transmission is already planned keeps its time.

        Raises ValueError, and changes nothing, for what no link can have.
        """
        given = {
            "rate": rate, "delay": delay, "jitter": jitter, "loss": loss,
            "duplication": duplication, "reordering": reordering, "corruption": corruption,
        }  # fmt: skip
        self._apply(attrs.evolve(self._settings, **{name: value for name, value in given.items() if value is not None}))

    def _apply(self, settings: _Settings) -> None:
        self._settings = settings
        self._ns_per_octet = 1e9 / settings.rate if settings.rate else 0.0
        self._delay_us = microseconds(settings.delay)
        self._jitter_us = microseconds(settings.jitter)
        self._reorder_us = microseconds(settings.reorder_delay)
        self._imperfect = bool(
            settings.jitter or settings.loss or settings.duplication or settings.reordering or settings.corruption
        )

    # -- the queue -----------------------------------------------------------------------------------------------

    def carry(self, packet: Packet) -> None:
        """Take a packet, which arrives at the other end later or is dropped."""
        if self.gate is not None and not self.gate(packet):
            self._drop(packet, Drop.GATE)
        elif self._codel is not None:
            self._enqueue(self._codel, packet)
        else:
            self._transmit(packet)

    def _transmit(self, packet: Packet) -> None:
        """Drop-tail: when a packet will have been transmitted is known as soon as it comes; no event tells of it."""
        assert self._engine is not None
        now_us = self._engine.now_us
        if not self._ns_per_octet:
            self._note(packet, now_us, 0)
            self._propagate(packet, now_us)
            return
        now_ns = now_us * 1000
        wait_ns = self._free_ns - now_ns
        if wait_ns <= 0:
            wait_ns = 0
            self._departures.clear()
        elif self._full(packet.size, wait_ns, now_ns):
            self._drop(packet, Drop.QUEUE)
            return
        self._free_ns = free_ns = now_ns + wait_ns + int(packet.size * self._ns_per_octet + 0.5)
        if self._queue.packets is not None:
            self._departures.append(free_ns)
        self._note(packet, now_us, wait_ns // 1000)
        self._propagate(packet, -(-free_ns // 1000))

    def _full(self, size: int, wait_ns: int, now_ns: int) -> bool:
        queue = self._queue
        assert isinstance(queue, DropTail)
        if queue.octets is not None and wait_ns / self._ns_per_octet + size > queue.octets:
            return True
        if queue.packets is None:
            return False
        departures = self._departures
        while departures and departures[0] <= now_ns:
            departures.popleft()
        return len(departures) >= queue.packets

    def _enqueue(self, queue: CoDelQueue, packet: Packet) -> None:
        assert self._engine is not None
        if not queue.push(packet, self._engine.now_us):
            self._drop(packet, Drop.QUEUE)
        elif not self._busy:
            self._serve(queue)

    def _serve(self, queue: CoDelQueue) -> None:
        """Transmit the head of a CoDel queue, whose choice depends on what is queued when its turn comes."""
        assert self._engine is not None
        now_us = self._engine.now_us
        head, dropped = queue.pop(now_us)
        for packet in dropped:
            self._drop(packet, Drop.AQM)
        # The rounding of events to microseconds must not add up: a busy link goes on where it really ended.
        start_ns = self._free_ns if self._busy else now_us * 1000
        self._busy = head is not None
        if head is None:
            return
        since_us, packet = head
        self._free_ns = start_ns + int(packet.size * self._ns_per_octet + 0.5)
        departure_us = -(-self._free_ns // 1000)
        self._note(packet, since_us, now_us - since_us)
        self._propagate(packet, departure_us)
        self._engine.post(departure_us, self._serve, queue)

    def _note(self, packet: Packet, since_us: int, delay_us: int) -> None:
        metrics = self.metrics
        metrics.packets += 1
        metrics.octets += packet.size
        if delay_us:
            metrics.queue_delay_us += delay_us
            if delay_us > metrics.max_queue_delay_us:
                metrics.max_queue_delay_us = delay_us
        if self._sample:
            metrics.sample_times_us.append(since_us)
            metrics.sample_delays_us.append(delay_us)

    def _drop(self, packet: Packet, reason: Drop) -> None:
        self.metrics.dropped += 1
        self._recorder.was_dropped(packet, self.name, reason)

    # -- the wire ------------------------------------------------------------------------------------------------

    def _propagate(self, packet: Packet, departure_us: int) -> None:
        assert self._engine is not None
        arrival_us = departure_us + self._delay_us
        if self._imperfect:
            self._suffer(packet, arrival_us)
            return
        if self._keeps_order:
            if arrival_us < self._last_arrival_us:
                arrival_us = self._last_arrival_us
            self._last_arrival_us = arrival_us
        self._engine.post(arrival_us, packet.advance)

    def _suffer(self, packet: Packet, arrival_us: int) -> None:
        """What an imperfect wire does to a packet."""
        settings, chance = self._settings, self._random.random
        if settings.loss and chance() < settings.loss:
            self.metrics.lost += 1
            self._recorder.was_dropped(packet, self.name, Drop.LOSS)
            return
        if settings.duplication and chance() < settings.duplication:
            self.metrics.duplicated += 1
            self._arrive(packet.copy(), arrival_us)
        if settings.corruption and packet.payload and chance() < settings.corruption:
            self.metrics.corrupted += 1
            octets = bytearray(packet.payload)
            octets[self._random.randrange(len(octets))] ^= 1 << self._random.randrange(8)
            packet.payload = bytes(octets)
        self._arrive(packet, arrival_us)

    def _arrive(self, packet: Packet, arrival_us: int) -> None:
        assert self._engine is not None
        if self._jitter_us:
            arrival_us += self._random.randrange(self._jitter_us + 1)
        if self._settings.reordering and self._random.random() < self._settings.reordering:
            self.metrics.reordered += 1
            arrival_us += self._reorder_us
        elif self._keeps_order:
            arrival_us = self._last_arrival_us = max(arrival_us, self._last_arrival_us)
        self._engine.post(arrival_us, packet.advance)
