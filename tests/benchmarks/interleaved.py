"""Measurement shared by benchmarks: each piece of work in turn, several rounds, the least of its CPU times."""

import time
from collections.abc import Callable, Mapping


def measure(works: Mapping[str, Callable[[], object]], *, seconds: float, rounds: int) -> dict[str, float]:
    """The CPU seconds that each takes; `seconds` for a first look at each, and as long in each of the rounds."""
    times: dict[str, float] = {}
    loops: dict[str, int] = {}
    for name, work in works.items():
        start, done = time.process_time(), 0
        while time.process_time() - start < seconds:
            work()
            done += 1
        loops[name] = max(done, 1)
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            for _ in range(loops[name]):
                work()
            elapsed = (time.process_time() - start) / loops[name]
            times[name] = min(elapsed, times.get(name, elapsed))
    return times
