"""Gates of a flow that has the bottleneck to itself: E1, E6, E6b, E11, E12 and E13."""

from interop.experiments._controllers import make, target_ms
from interop.experiments._flow import MSS
from interop.experiments._result import Metric, Note, Result
from interop.experiments._world import World
from interop.simulation import megabits
from ledbat import Ledbat


def _silent(what: str) -> None:
    """Nobody wants to know."""


def _single(label: str, controller: str, until: float, *, rate: float, buffer: float = 1.0) -> World:
    world = World(label, rate=rate, buffer=buffer)
    world.flow(controller, make(controller))
    return world.run(until)


def alone(*, quick: bool = False, note: Note = _silent) -> Result:
    """E1: the link is used, and the queue stays at the target."""
    metrics, shown = [], []
    for rate in (10,) if quick else (2, 10):
        for buffer in (1.0,) if quick else (1.0, 0.05):
            for name in ("R", "P", "A"):
                label = f"{name}, {rate} Mb/s, buffer {buffer * 1000:.0f} ms"
                note(label)
                world = _single(label, name, 60.0, rate=megabits(rate), buffer=buffer)
                queue = world.queue_ms()
                metrics.append(Metric(f"{label}: utilisation", world.utilisation(), low=0.99 if name == "R" else 0.92))
                if name != "R":
                    metrics.append(Metric(f"{label}: queue p95, ms", queue.p95, high=66))
                elif buffer == 1.0:
                    metrics.append(Metric(f"{label}: queue median - TARGET, ms", queue.median - 100, -5, 5))
                    metrics.append(Metric(f"{label}: drops", world.bottleneck.metrics.dropped, high=0))
                if rate == 10 and buffer == 1.0:
                    shown.append(world)
    return Result("E1", "Alone on the link", tuple(metrics), tuple(shown))


def skew(*, quick: bool = False, note: Note = _silent) -> Result:
    """E6: the receiver's clock runs fast or slow, over five minutes at 2 Mb/s."""
    metrics, shown = [], []
    for name in ("A",) if quick else ("A", "R"):
        for ppm in (-500, 500) if quick else (-500, -100, 100, 500):
            label = f"{name}, {ppm:+d} ppm"
            note(label)
            world = World(label, rate=megabits(2))
            world.flow(name, make(name), skew=ppm * 1e-6)
            world.run(300.0)
            mean = world.queue_ms().mean
            held = name == "A" or abs(ppm) == 100
            low = {"A": 0.94, "R": 0.95}[name] if held else None
            metrics.append(Metric(f"{label}: utilisation", world.utilisation(), low=low))
            bounds = (50, 66) if name == "A" else (None, None)
            metrics.append(Metric(f"{label}: queue mean, ms", mean, *bounds))
            if abs(ppm) == 500:
                shown.append(world)
    return Result("E6", "Clock skew", tuple(metrics), tuple(shown))


def offset(*, quick: bool = False, note: Note = _silent) -> Result:
    """E6b: any constant added to the delays modulo 2^32, the wrap of timestamps in mid-flow included; and gate 0."""
    metrics = []
    offsets = (0, 0, 1, 3_600_000_000, (1 << 31) - 26_000, (1 << 32) - 26_000, (1 << 32) - 10_000_000, -(1 << 31))
    for name in ("R", "P", "A"):
        note(name)
        traces = set()
        for offset_us in offsets[:4] if quick else offsets:
            world = World(name, rate=megabits(2))
            flow = world.flow(name, make(name), offset_us=offset_us, record=True)
            world.run(20.0)
            traces.add(flow.trace)
        metrics.append(Metric(f"{name}: different traces under {len(offsets)} clock offsets", len(traces), 1, 1))
    return Result("E6b", "Clock offset", tuple(metrics))


def drift(*, quick: bool = False, note: Note = _silent) -> Result:
    """E11: alone for 40 minutes at 1 Mb/s; the base delay must not be measured against the flow's own queue."""
    metrics, shown = [], []
    minutes = 25 if quick else 40
    for name in ("A", "RS") if quick else ("A", "P", "R", "RS"):
        note(name)
        world = _single(name, name, minutes * 60.0, rate=megabits(1))
        worst = max(world.queue_ms(since * 60.0, since * 60.0 + 300.0).mean for since in range(0, minutes, 5))
        label = f"{name}: worst 5-minute mean of the queue, ms"
        if name == "R":
            metrics.append(Metric(f"{label} (the ratchet of RFC 6817)", worst, low=300))
        else:
            metrics.append(Metric(label, worst, high=target_ms(name) + 4))
        metrics.append(Metric(f"{name}: utilisation", world.utilisation()))
        shown.append(world)
    return Result("E11", "Forty minutes", tuple(metrics), tuple(shown))


def application_limited(*, quick: bool = False, note: Note = _silent) -> Result:
    """E12: 1 Mb/s for 30 s, then all that the link takes; and 11 minutes of silence, in which the path grows longer."""
    metrics, shown = [], []
    for name in ("R", "A"):
        note(name)
        world = World(name)
        controller = make(name)
        assert isinstance(controller, Ledbat) or name == "A"
        flow = world.flow(name, controller, limit=megabits(1))
        excess = [0]

        def check(now: float, flow=flow, controller=controller, excess=excess) -> None:  # type: ignore[no-untyped-def]
            # The flightsize of the rule is that before the acknowledgement.
            allowed = max(flow.in_flight + 2 * MSS, 2 * MSS)
            if now < 30.0:
                excess.append(controller.cwnd - allowed)

        flow.watch = check
        world.at(30.0, lambda flow=flow: flow.set_limit(None))  # type: ignore[misc]
        world.run(60.0)
        metrics.append(
            Metric(
                f"{name}: octets of cwnd above flightsize + MSS while limited",
                max(excess),
                high=0 if name == "R" else None,
            )
        )
        metrics.append(Metric(f"{name}: utilisation 10 s after", world.utilisation(40.0, 60.0), low=0.9))
        metrics.append(Metric(f"{name}: base delay after 11 idle minutes, error in ms", _idle(name), -1, 1))
        shown.append(world)
    return Result("E12", "Limited by the application", tuple(metrics), tuple(shown))


def _idle(name: str) -> float:
    """Milliseconds by which the base delay is off after 11 idle minutes, when the path has become 30 ms longer."""
    world = World(name, rate=megabits(2))
    controller = make(name)
    flow = world.flow(name, controller, limit=megabits(0.1))
    world.run(30.0)
    flow.limit = megabits(1e-9)  # a segment in a million seconds
    world.run(40.0)
    world.bottleneck.change(delay=world.rtt / 2 + 0.03)
    world.run(30.0 + 11 * 60.0)
    flow.set_limit(megabits(0.1))
    world.run(30.0 + 11 * 60.0 + 5.0)
    base_delay_us = getattr(controller, "base_delay_us", None)
    assert isinstance(base_delay_us, int)
    serialisation_us = 1428 * 1e6 / world.rate
    return (base_delay_us - 55_000 - serialisation_us) / 1000


def fast_path(*, quick: bool = False, note: Note = _silent) -> Result:
    """E13: 50 Mb/s and 100 ms."""
    worlds = {}
    for name in ("A",) if quick else ("A", "R", "R0"):
        note(name)
        world = World(name, rate=megabits(50), rtt=0.1)
        world.flow(name, make(name))
        worlds[name] = world.run(60.0)
    metrics = [Metric("A: utilisation 5 to 60 s", worlds["A"].utilisation(5.0), low=0.9)]
    if "R" in worlds:
        metrics.append(Metric("R: utilisation 10 to 15 s", worlds["R"].utilisation(10.0, 15.0), low=0.9))
        metrics.append(Metric("R0: utilisation 30 to 60 s", worlds["R0"].utilisation(30.0)))
    return Result("E13", "A long fat path", tuple(metrics), tuple(worlds.values()))
