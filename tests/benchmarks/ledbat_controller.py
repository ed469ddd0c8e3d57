"""What the LEDBAT controller costs: CPU microseconds of one on_ack and one on_sent together, by filter.

    python tests/benchmarks/ledbat_controller.py [--calls 100000] [--rounds 7] [--json]

It should be at most 4 us with the default filter. `floor` is a controller that only counts, to show
what of it the calls themselves cost: the ratio to it, in one run, does not depend on the machine.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ledbat import EwmaFilter, Ledbat, MinFilter, NullFilter

LIMIT_US = 4.0
_MSS = 1024
_DELAYS = [(40_000 + step * 7919 % 5_000,) for step in range(256)]


class _Controller(Protocol):
    def on_sent(self, *, sent: int, now: float) -> None: ...
    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None: ...


class _Floor:
    def __init__(self) -> None:
        self.flightsize = 0

    def on_sent(self, *, sent: int, now: float) -> None:
        self.flightsize += sent

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        self.flightsize -= acked


VARIANTS: dict[str, Callable[[], _Controller]] = {
    "floor": _Floor,
    "MIN (default)": lambda: Ledbat(mss=_MSS),
    "MIN, no slow start": lambda: Ledbat(mss=_MSS, slow_start="off", delay_filter=MinFilter()),
    "NULL": lambda: Ledbat(mss=_MSS, delay_filter=NullFilter()),
    "EWMA": lambda: Ledbat(mss=_MSS, delay_filter=EwmaFilter()),
}


def measure(make: Callable[[], _Controller], calls: int) -> float:
    """CPU microseconds of one segment: sent and acknowledged, 40 in flight, 5,000 a second."""
    controller = make()
    now = 0.0
    for _ in range(40):
        controller.on_sent(sent=_MSS, now=now)
    on_ack, on_sent = controller.on_ack, controller.on_sent
    start = time.process_time()
    for step in range(calls):
        now += 0.0002
        on_ack(acked=_MSS, delays_us=_DELAYS[step & 255], rtt=0.05, now=now)
        on_sent(sent=_MSS, now=now)
    return (time.process_time() - start) / calls * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The cost of the LEDBAT controller.")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    best = dict.fromkeys(VARIANTS, float("inf"))
    for _ in range(options.rounds):  # interleaved, the least of each: the machine has other things to do
        for name, make in VARIANTS.items():
            best[name] = min(best[name], measure(make, options.calls))
    if options.json:
        print(json.dumps({"limit_us": LIMIT_US, "us": best}))
    else:
        print("on_ack + on_sent      us   ratio to floor")
        for name, cost in best.items():
            print(f"{name:20} {cost:5.2f} {cost / best['floor']:6.1f}")
        verdict = "kept" if best["MIN (default)"] <= LIMIT_US else "exceeded"
        print(f"the limit of {LIMIT_US} us is {verdict}")


if __name__ == "__main__":
    main()
