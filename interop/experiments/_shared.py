"""Gates of flows that share the bottleneck: E2, E2s, E3, E4, E6c, E8, E9 and E10."""

from statistics import fmean

from interop.experiments._controllers import make, target_ms
from interop.experiments._flow import Flow
from interop.experiments._result import Metric, Note, Result
from interop.experiments._world import World
from interop.simulation import megabits


def _silent(what: str) -> None:
    """Nobody wants to know."""


def _against(name: str, other: str, *, buffer: float, first: bool, codel: bool = False) -> tuple[World, Flow]:
    """`name` against a TCP, one of which starts 5 s later."""
    order = f"{name} first" if first else f"{other} first"
    world = World(f"{name} and {other}, {order}", buffer=buffer, codel=codel)
    flow = world.flow(name, make(name), start=0.0 if first else 5.0)
    world.flow(other, make(other), start=5.0 if first else 0.0)
    world.run(130.0)
    return world, flow


def tcp(*, quick: bool = False, note: Note = _silent) -> Result:
    """E2: against Reno and CUBIC with a buffer of 500 ms, from 10 to 130 s."""
    metrics, shown = [], []
    for name in ("R", "A") if quick else ("R", "P", "A"):
        for other in ("Reno",) if quick else ("Reno", "CUBIC"):
            for first in (True,) if quick else (True, False):
                world, flow = _against(name, other, buffer=0.5, first=first)
                note(world.label)
                share = world.share(flow, 10.0)
                why = (
                    "a flow that comes second has only seen Reno's queue, never shorter than 225 ms here, and takes it "
                    "for its base until a sawtooth of Reno shows more; otherwise it has the floor of 2 packets a round "
                    "trip (0.005)"
                )
                accepted = None if first else (None, 0.04)
                high = 0.10 if name == "R" else 0.01
                metrics.append(Metric(f"{world.label}: share", share, None, high, accepted, why))
                if other == "Reno" and name != "P":
                    shown.append(world)
    return Result("E2", "Against TCP", tuple(metrics), tuple(shown))


def tcp_short_buffer(*, quick: bool = False, note: Note = _silent) -> Result:
    """E2s: a buffer of 50 ms, below every target: the loss decides, as for TCP."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("R", "P", "A"):
        for other in ("Reno",) if quick else ("Reno", "CUBIC"):
            runs = [_against(name, other, buffer=0.05, first=first) for first in (True, False)]
            note(f"{name} and {other}")
            share = fmean(world.share(flow, 10.0) for world, flow in runs)
            used = min(world.utilisation(10.0) for world, _ in runs)
            metrics.append(
                Metric(
                    f"{name} and {other}: share",
                    share,
                    high=0.50,
                    accepted=(None, 0.56),
                    why="RFC 6817 lets the window grow in the round trip in which a loss is repaired, NewReno's stands "
                    "still (RFC 6582); and a queue that drops its tail hits the flow that grows more often",
                )
            )
            metrics.append(Metric(f"{name} and {other}: utilisation", used, low=0.99))
            if other == "Reno":
                shown.append(runs[0][0])
    return Result("E2s", "Against TCP, short buffer", tuple(metrics), tuple(shown))


def _late(name: str, gap: float, *, jitter: float = 0.0, skew: float = 0.0, seed: int = 1) -> tuple[World, float]:
    """A second flow after `gap` seconds; the ratio late / first from 20 s after that on, for 100 s."""
    world = World(f"{name}, second flow after {gap:g} s", jitter=jitter, seed=seed)
    first = world.flow("first", make(name), skew=skew)
    late = world.flow("late", make(name), start=gap, skew=skew)
    world.run(gap + 120.0)
    return world, world.rate_of(late, gap + 20.0) / world.rate_of(first, gap + 20.0)


def latecomer(*, quick: bool = False, note: Note = _silent) -> Result:
    """E3: a second flow of the same kind comes later."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("A", "P", "R0", "R"):
        for gap in (5.0, 20.0) if quick else (5.0, 10.0, 20.0, 30.0, 40.0):
            world, ratio = _late(name, gap)
            note(world.label)
            queue = world.queue_ms(gap + 20.0)
            if name in ("A", "P"):
                metrics.append(Metric(f"{name}, gap {gap:g} s: late/first", ratio, 0.8, 1.25))
                metrics.append(Metric(f"{name}, gap {gap:g} s: Jain", world.jain(gap + 20.0), low=0.98))
                metrics.append(Metric(f"{name}, gap {gap:g} s: queue p95, ms", queue.p95, high=66))
            else:
                why = (
                    "slow start makes the latecomer push the first flow down at once, so that the starvation is "
                    "complete earlier: a defect of RFC 6817 (section 4.4), not of its implementation"
                )
                accepted = (None, 12.0) if name == "R" else None
                metrics.append(Metric(f"{name}, gap {gap:g} s: late/first", ratio, None, 10.0, accepted, why))
                metrics.append(Metric(f"{name}, gap {gap:g} s: queue p95, ms", queue.p95, high=200))
            if gap == 20.0:
                shown.append(world)
    return Result("E3", "The latecomer", tuple(metrics), tuple(shown))


def many(*, quick: bool = False, note: Note = _silent) -> Result:
    """E4: five and ten flows that start 10 ms apart, from 20 to 120 s; and 1 s apart, which only LEDBAT++ can bear."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("R0", "R", "P", "A"):
        for count in (5,) if quick else (5, 10):
            world = _several(name, count, 0.01)
            note(world.label)
            metrics.append(_fairness(name, count, world.jain(20.0)))
            metrics.append(Metric(f"{world.label}: utilisation", world.utilisation(20.0), low=0.98))
            p95 = world.queue_ms(20.0).p95
            metrics.append(Metric(f"{world.label}: queue p95, ms", p95, high=target_ms(name) + 10))
            if count == 5:
                shown.append(world)
    for name in () if quick else ("R0", "A"):
        for count in (5, 10):
            world = _several(name, count, 1.0)
            note(f"{world.label}, 1 s apart")
            metrics.append(Metric(f"{world.label}: Jain when they start 1 s apart", world.jain(20.0)))
    return Result("E4", "Many flows", tuple(metrics), tuple(shown))


def _fairness(name: str, count: int, jain: float) -> Metric:
    label = f"{count} flows of {name}: Jain"
    if name in ("P", "A"):
        return Metric(label, jain, low=0.99)
    why = (
        "each flow's base holds the queue of those before it, however little, and RFC 6817 never corrects that: the "
        "same defect as the latecomer's"
    )
    return Metric(label, jain, low=0.95, accepted=(0.85, None), why=why)


def _several(name: str, count: int, gap: float) -> World:
    world = World(f"{count} flows of {name}")
    for number in range(count):
        world.flow(f"{name}{number + 1}", make(name), start=number * gap)
    return world.run(120.0)


def jitter(*, quick: bool = False, note: Note = _silent) -> Result:
    """E6c: up to 5 ms of jitter, with a true clock and with one that gains 500 ppm; means of five seeds."""
    metrics, shown = [], []
    for skew, clock in (
        ((5e-4, "+500 ppm"),) if quick else ((0.0, "true clock"), (5e-4, "+500 ppm"), (-5e-4, "-500 ppm"))
    ):
        for gap in (20.0,) if quick or skew < 0 else (5.0, 20.0, 40.0):
            runs = []
            for seed in range(1, 3 if quick else 6):
                note(f"{clock}, gap {gap:g} s, seed {seed}")
                runs.append(_late("A", gap, jitter=0.005, skew=skew, seed=seed))
            ratio = fmean(ratio for _, ratio in runs)
            bounds = (0.8, 1.25) if skew >= 0 else (None, None)
            metrics.append(Metric(f"A, {clock}, gap {gap:g} s: late/first, {clock}", ratio, *bounds))
            if gap == 20.0:
                shown.append(runs[0][0])
        note(f"{clock}, alone")
        world = World(f"A alone, {clock}", rate=megabits(2), jitter=0.005)
        world.flow("A", make("A"), skew=skew)
        world.run(300.0)
        metrics.append(Metric(f"A alone, {clock}, 2 Mb/s: utilisation alone", world.utilisation(), low=0.94))
        metrics.append(Metric(f"A alone, {clock}, 2 Mb/s: queue mean alone, ms", world.queue_ms().mean))
    return Result("E6c", "Jitter", tuple(metrics), tuple(shown))


def codel(*, quick: bool = False, note: Note = _silent) -> Result:
    """E8: a bottleneck with CoDel, against Reno: there is no delay to yield to, and loss decides."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("R", "P", "A"):
        world, flow = _against(name, "Reno", buffer=1.0, first=True, codel=True)
        note(world.label)
        metrics.append(Metric(f"{name}: share", world.share(flow, 10.0), 0.3, 0.6))
        metrics.append(Metric(f"{name}: utilisation", world.utilisation(10.0)))
        shown.append(world)
    return Result("E8", "CoDel", tuple(metrics), tuple(shown))


def short_flows(*, quick: bool = False, note: Note = _silent) -> Result:
    """E9: the time that 100 kB and 1 MB of TCP take over a LEDBAT flow, relative to an idle link; five of each."""
    metrics, shown = [], []
    bars = {"A": (2.0, 1.25), "P": (2.0, 1.25), "R": (3.2, 2.0)}
    why = (
        "TCP's first round trips are of 110 ms and not of 50 until the queue has made way: 0.2 s more than the 1.02 s "
        "that 1 MB takes on the idle link; 1.15 to 1.45 by the phase of the slowdowns"
    )
    idle = [_transfer(None, size)[1] for size in (100_000, 1_000_000)]
    for name in ("A",) if quick else ("A", "P", "R"):
        for size, alone, high in zip((100_000, 1_000_000), idle, bars[name], strict=True):
            note(f"{name}, {size} octets")
            world, taken = _transfer(name, size)
            accepted = None if name == "R" or size == 100_000 else (None, 1.4)
            metrics.append(
                Metric(f"{name}: {size // 1000} kB of TCP, x idle", taken / alone, None, high, accepted, why)
            )
            if size == 1_000_000:
                shown.append(world)
    return Result("E9", "Short TCP flows", tuple(metrics), tuple(shown))


def _transfer(name: str | None, size: int) -> tuple[World, float]:
    """The mean of the seconds that five transfers take, at different times of a slowdown."""
    world = World(f"{name}, {size // 1000} kB of TCP")
    if name is not None:
        world.flow(name, make(name))
    flows = [world.flow("Reno", make("Reno"), start=20.0 + 11.3 * number, total=size) for number in range(5)]
    world.run(20.0 + 11.3 * 5)
    times = [flow.finished_at - flow.start for flow in flows if flow.finished_at is not None]
    assert len(times) == len(flows)
    return world, fmean(times)


def yielding(*, quick: bool = False, note: Note = _silent) -> Result:
    """E10: how soon a flow has made way when Reno starts at 20 s, and has the link again when it stops at 60 s."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("A", "P", "R"):
        note(name)
        world = World(name, buffer=0.5)
        flow = world.flow(name, make(name))
        reno = world.flow("Reno", make("Reno"), start=20.0)
        world.at(60.0, reno.stop)
        world.run(100.0)
        gone = _first(world, flow, 20.0, below=0.2)
        back = _first(world, flow, 60.0, above=0.9)
        metrics.append(Metric(f"{name}: seconds to below 20 %", gone, high=4.0 if name == "R" else 1.0))
        metrics.append(Metric(f"{name}: seconds to 90 % again", back, high=3.0 if name == "R" else 8.0))
        shown.append(world)
    return Result("E10", "Yield and reclaim", tuple(metrics), tuple(shown))


def _first(world: World, flow: Flow, since: float, *, below: float = 1e9, above: float = -1.0) -> float:
    """Seconds after `since` from which on the flow has less, or more, than that part of the rate, over 5 s."""
    for tenths in range(300):
        start = since + tenths / 10
        part = world.rate_of(flow, start, start + 5.0) * (1428 / 1400) / world.rate
        if above <= part <= below:
            return tenths / 10
    return 30.0
