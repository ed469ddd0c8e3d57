"""Gates of paths and peers that misbehave: E5, E7, E14, E15 and E17."""

import random
from collections.abc import Callable
from statistics import fmean, median

from interop.experiments._controllers import make, target_ms
from interop.experiments._flow import MSS, Flow
from interop.experiments._result import Metric, Note, Result
from interop.experiments._world import World
from interop.simulation import megabits

LIBUTP_CONGESTED_ACKS = 0.487
"""What libutp makes of the congested way back of E14, measured once in virtual time (requirements, table 4.2)."""


def _silent(what: str) -> None:
    """Nobody wants to know."""


def route_change(*, quick: bool = False, note: Note = _silent) -> Result:
    """E5: after 30 s the path is 50 ms longer, or 40 ms shorter."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("R", "P", "A"):
        for change in (0.05, -0.04):
            label = f"{name}, {change * 1000:+.0f} ms"
            note(label)
            world = World(label, rtt=0.05 if change > 0 else 0.1)
            world.flow(name, make(name))
            world.at(30.0, lambda world=world, change=change: world.bottleneck.change(delay=world.rtt / 2 + change))  # type: ignore[misc]
            world.run(90.0)
            just, later = world.utilisation(30.0, 60.0), world.utilisation(60.0, 90.0)
            if name == "R":
                metrics.append(Metric(f"{label}: utilisation 30 to 60 s", just, low=0.95))
                metrics.append(Metric(f"{label}: utilisation 60 to 90 s", later, low=0.95))
            else:
                metrics.append(Metric(f"{label}: utilisation 30 to 60 s", just, low=0.75))
                metrics.append(Metric(f"{label}: utilisation 60 to 90 s (0.9 wished for)", later, low=0.75))
            longest = world.queue_ms(10.0).longest
            high = target_ms(name) + 10
            why = (
                "what the path no longer holds stands in the queue, and looks like the base delay of before: nothing "
                "tells of it until the queue is short for once, at the next slowdown; RFC 6817 has none"
            )
            accepted = (None, high + 40) if change < 0 else None
            metrics.append(Metric(f"{label}: longest queue from 10 s on, ms", longest, None, high, accepted, why))
            if change < 0:
                settled = world.queue_ms(42.0).longest
                accepted = (None, high + 40) if name == "R" else None
                metrics.append(Metric(f"{label}: longest queue from 42 s on, ms", settled, None, high, accepted, why))
            shown.append(world)
    return Result("E5", "Route change", tuple(metrics), tuple(shown[:4]))


def random_loss(*, quick: bool = False, note: Note = _silent) -> Result:
    """E7: random loss, five seeds, 120 s each; relative to 1.22 * MSS / (RTT * sqrt(p))."""
    metrics, shown = [], []
    for loss in (0.01,) if quick else (0.001, 0.01, 0.03):
        formula = 1.22 * MSS / (0.05 * loss**0.5)
        for name in ("R",) if quick else ("R", "A", "Reno"):
            rates = []
            for seed in range(1, 4 if quick else 6):
                note(f"{name}, loss {loss:.1%}, seed {seed}")
                world = World(f"{name}, loss {loss:.1%}", loss=loss, seed=seed)
                flow = world.flow(name, make(name))
                world.run(120.0)
                rates.append(world.rate_of(flow))
            metrics.append(
                Metric(f"{world.label}: median / formula", median(rates) / formula, low=0.9 if name == "R" else None)
            )
            metrics.append(
                Metric(f"{world.label}: max / min", max(rates) / min(rates), high=1.3 if name == "R" else None)
            )
            if name == "R":
                shown.append(world)
    return Result("E7", "Random loss", tuple(metrics), tuple(shown))


def congested_way_back(*, quick: bool = False, note: Note = _silent) -> Result:
    """E14: Reno fills the way back, 10 Mb/s with a buffer of 500 ms; acknowledgements wait and are lost."""
    metrics, shown = [], []
    orders = {"Reno 5 s before": (5.0, 0.0), "together": (0.0, 0.0), "Reno 5 s later": (0.0, 5.0)}
    for order, (start, other_start) in orders.items():
        for name in ("A",) if quick else ("A", "P", "R"):
            label = f"{name}, {order}"
            note(label)
            world = World(label, back_rate=megabits(10), back_buffer=0.5)
            world.flow(name, make(name), start=start)
            world.flow("Reno, backwards", make("Reno"), start=other_start, backwards=True)
            world.run(125.0)
            used = world.utilisation(5.0)
            metrics.append(_way_back(label, used) if name == "A" else Metric(f"{label}: utilisation", used))
            if order == "Reno 5 s before":
                shown.append(world)
    return Result("E14", "Congested way back", tuple(metrics), tuple(shown))


def _way_back(label: str, used: float) -> Metric:
    why = (
        "the figure that the bar is made of, libutp's, is of another path. On this one the round trip is of 550 ms, "
        "which wants 480 packets in flight, and a third of a packet per round trip (GAIN by the base RTT of 50 ms) "
        "does not get there in 120 s: a growth too slow, not a collapse; LEDBAT++ on round-trip times has 0.01"
    )
    return Metric(f"{label}: utilisation", used, low=0.9 * LIBUTP_CONGESTED_ACKS, accepted=(0.25, None), why=why)


def blackout(*, quick: bool = False, note: Note = _silent) -> Result:
    """E15: nothing passes for 5 s, and for 60 s."""
    metrics, shown = [], []
    for name in ("A", "R"):
        for seconds in (5.0,) if quick else (5.0, 60.0):
            note(f"{name}, {seconds:g} s")
            world = World(f"{name}, {seconds:g} s of darkness")
            flow = world.flow(name, make(name))
            dark_until = 20.0 + seconds
            world.bottleneck.gate = lambda packet, world=world, end=dark_until: not 20.0 <= world.engine.now < end
            rto: list[float] = []
            world.at(dark_until, lambda flow=flow, rto=rto: rto.append(float(getattr(flow.controller, "cto", 0.0))))  # type: ignore[misc]
            world.run(dark_until + 200.0)
            back = _back(world, flow, dark_until)
            metrics.append(
                Metric(f"{world.label}: seconds to 80 % again, RTO {rto[0]:.0f} s", back, high=2 * rto[0] + 2.0)
            )
            if seconds == 5.0:
                shown.append(world)
    return Result("E15", "Blackout", tuple(metrics), tuple(shown))


def _back(world: World, flow: Flow, since: float) -> float:
    for tenths in range(1900):
        start = since + tenths / 10
        if world.rate_of(flow, start, start + 1.0) >= 0.8 * world.rate:
            return tenths / 10
    return 200.0


def _noise(seed: int) -> Callable[[int], int]:
    chance = random.Random(seed)
    return lambda delay_us: chance.getrandbits(32)


def liar(*, quick: bool = False, note: Note = _silent) -> Result:
    """E17: a receiver that lies about delays, on a path with 1 % of loss: never faster than Reno, and never stuck."""
    metrics = []
    seeds = range(1, 3 if quick else 6)
    honest = fmean(_lied_to("Reno", None, seed) for seed in seeds)
    lies: dict[str, Callable[[int], Callable[[int], int]]] = {
        "0": lambda seed: lambda delay_us: 0,
        "random": _noise,
        "INT_MAX": lambda seed: lambda delay_us: 0x7FFFFFFF,
        "negated": lambda seed: lambda delay_us: -delay_us,
    }
    for name in ("R", "A"):
        for what, make_lie in lies.items():
            note(f"{name}, {what}")
            rate = fmean(_lied_to(name, make_lie(seed), seed) for seed in seeds)
            metrics.append(
                Metric(
                    f"{name}, delay {what}: rate / Reno's",
                    rate / honest,
                    0.001,
                    1.0,
                    accepted=(0.001, 1.2),
                    why="a lie of no delay makes RFC 6817 grow as Reno does, an MSS per round trip, also in the round "
                    "trip in which a loss is repaired, when NewReno's window stands still",
                )
            )
    return Result("E17", "A lying receiver", tuple(metrics))


def _lied_to(name: str, lie: Callable[[int], int] | None, seed: int) -> float:
    world = World(name, loss=0.01, seed=seed)
    flow = world.flow(name, make(name), lie=lie)
    return world.run(60.0).rate_of(flow)
