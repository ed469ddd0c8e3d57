# ruff: noqa: N802, N803, N806 - the names are those of the RFC
"""The controller against the pseudo-code of RFC 6817 section 2.4.2, evaluated line by line.

`PseudoCode` is written from the RFC's text alone: its names, its order, no code of the package. Numbers are floats, to
compare bytes for bytes with the controller, or exact fractions, to check the values of `ledbat/vectors/rfc6817.json`.
The text's own additions to the pseudo-code are in it too: +INFINITY for each idle minute, RFC 6298 for the CTO.
"""

import json
import math
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ledbat import Ledbat, NullFilter

INFINITY = math.inf
SECOND = 1_000_000
MINUTE = 60 * SECOND
VECTORS = Path(__file__).parents[2] / "ledbat" / "vectors" / "rfc6817.json"


class PseudoCode:
    """Section 2.4.2 with the NULL filter; all times are integer microseconds."""

    def __init__(
        self,
        number: Callable[[Any], Any] = float,
        *,
        MSS: int,
        TARGET: int = 100_000,
        GAIN: Any = 1,
        DECREASE_GAIN: Any = None,
        ALLOWED_INCREASE: Any = 1,
        INIT_CWND: int = 2,
        MIN_CWND: int = 2,
        BASE_HISTORY: int = 10,
        MAX_CTO: int = 60 * SECOND,
    ) -> None:
        self.number = number
        self.MSS, self.TARGET, self.GAIN = MSS, TARGET, number(GAIN)
        self.DECREASE_GAIN = self.GAIN if DECREASE_GAIN is None else number(DECREASE_GAIN)
        self.ALLOWED_INCREASE, self.MIN_CWND, self.MAX_CTO = number(ALLOWED_INCREASE), MIN_CWND, MAX_CTO
        # on initialization:
        self.base_delays: list[Any] = [INFINITY] * BASE_HISTORY
        self.current_delay: int | None = None  # NULL: CURRENT_FILTER is 1
        self.last_rollover: Any = -INFINITY
        self.flightsize = 0
        self.cwnd = number(INIT_CWND * MSS)
        self.CTO = number(1 * SECOND)
        # RFC 6298, and what "at most once per RTT" needs
        self.SRTT: Any = None
        self.RTTVAR: Any = None
        self.reduced_until: Any = -INFINITY
        self.queuing_delay: Any = None
        self.timer: Any = None

    def sent(self, octets: int, now: int) -> None:
        self.flightsize += octets
        if self.timer is None:  # RFC 6298 (5.1)
            self.timer = now + self.CTO

    def acknowledgement(self, bytes_newly_acked: int, delays: list[int], rtt: int | None, now: int) -> None:
        for delay in delays:
            self.update_base_delay(delay, now)
            self.current_delay = delay
        self.queuing_delay = self.current_delay - min(self.base_delays)
        off_target = self.number(self.TARGET - self.queuing_delay) / self.TARGET
        gain = self.GAIN if off_target > 0 else self.DECREASE_GAIN
        self.cwnd += gain * off_target * bytes_newly_acked * self.MSS / self.cwnd
        max_allowed_cwnd = self.flightsize + self.ALLOWED_INCREASE * self.MSS
        self.cwnd = min(self.cwnd, max_allowed_cwnd)
        self.cwnd = max(self.cwnd, self.number(self.MIN_CWND * self.MSS))
        self.flightsize = self.flightsize - bytes_newly_acked
        self.update_CTO(rtt)
        if bytes_newly_acked:  # RFC 6298 (5.2) and (5.3)
            self.timer = now + self.CTO if self.flightsize else None

    def data_loss(self, octets: int, to_be_retransmitted: bool, now: int) -> None:
        if now >= self.reduced_until:  # at most once per RTT
            self.cwnd = min(self.cwnd, max(self.cwnd / 2, self.number(self.MIN_CWND * self.MSS)))
            self.reduced_until = now + (self.CTO if self.SRTT is None else self.SRTT)
        if not to_be_retransmitted:
            self.flightsize = self.flightsize - octets
            if not self.flightsize:
                self.timer = None

    def no_acks_within_a_CTO(self, now: Any) -> None:
        self.cwnd = self.number(1 * self.MSS)
        self.CTO = min(2 * self.CTO, self.MAX_CTO)
        self.timer = now + self.CTO

    def update_CTO(self, R: int | None) -> None:
        if R is None:
            return
        if self.SRTT is None:
            self.SRTT, self.RTTVAR = self.number(R), self.number(R) / 2
        else:
            self.RTTVAR = self.RTTVAR * 3 / 4 + abs(self.SRTT - R) / 4
            self.SRTT = self.SRTT * 7 / 8 + self.number(R) / 8
        RTO = self.SRTT + max(1000, 4 * self.RTTVAR)
        self.CTO = min(max(RTO, 1 * SECOND), self.MAX_CTO)

    def update_base_delay(self, delay: int, now: int) -> None:
        if round_to_minute(now) != round_to_minute(self.last_rollover):
            if self.last_rollover != -INFINITY:
                for _ in range(now // MINUTE - self.last_rollover // MINUTE - 1):
                    del self.base_delays[0]
                    self.base_delays.append(INFINITY)
            self.last_rollover = now
            del self.base_delays[0]
            self.base_delays.append(delay)
        else:
            self.base_delays[-1] = min(self.base_delays[-1], delay)


def round_to_minute(now: Any) -> Any:
    return now if now == -INFINITY else now // MINUTE


PARAMETERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"mss": 1400}, {"MSS": 1400}),
    ({"mss": 1024, "target": 0.06, "gain": 0.5}, {"MSS": 1024, "TARGET": 60_000, "GAIN": 0.5}),
    (
        {"mss": 536, "decrease_gain": 8.0, "init_cwnd": 4, "min_cwnd": 1, "base_history": 3},
        {"MSS": 536, "DECREASE_GAIN": 8.0, "INIT_CWND": 4, "MIN_CWND": 1, "BASE_HISTORY": 3},
    ),
    (
        {"mss": 9000, "target": 0.025, "allowed_increase": 2.5, "max_cto": 120.0},
        {"MSS": 9000, "TARGET": 25_000, "ALLOWED_INCREASE": 2.5, "MAX_CTO": 120 * SECOND},
    ),
]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("case", range(len(PARAMETERS)))
def test_the_controller_does_what_the_pseudo_code_says_to_the_octet(case: int, seed: int) -> None:
    """RFC 6817 section 2.4.2: random acknowledgements, losses, timeouts, pauses and idle minutes."""
    ours, theirs = PARAMETERS[case]
    controller = Ledbat(**ours, delay_filter=NullFilter(), slow_start="off")
    literal = PseudoCode(float, **theirs)
    rng = random.Random(1000 * case + seed)
    offset = rng.randrange(-(2**33), 2**33)
    mss, target = theirs["MSS"], literal.TARGET
    queue, base, now, windows = 0, 20_000, 0, set()
    for _ in range(1500):
        now += rng.choice((2_000, 5_000, 20_000, 100_000, rng.randrange(2_000, SECOND)))
        if rng.random() < 0.004:
            now += rng.randrange(4 * MINUTE)
            base = rng.randrange(10_000, 40_000)
        queue = max(0, min(3 * target, queue + rng.randrange(-target // 5, target // 6)))
        at = now / 1e6
        # Time passes without an acknowledgement:
        due = controller.get_timer()
        assert (due is None) == (literal.timer is None)
        if due is not None and due <= at:
            assert due == pytest.approx(literal.timer / 1e6, rel=1e-9)
            controller.on_timeout(at)
            literal.no_acks_within_a_CTO(now)
        # The sender fills its window, or is limited by its application:
        while rng.random() < 0.97 and controller.flightsize + mss <= controller.cwnd:
            controller.on_sent(sent=mss, now=at)
            literal.sent(mss, now)
        if not literal.flightsize:
            continue
        octets = rng.randrange(literal.flightsize) + 1 if rng.random() < 0.05 else min(mss, literal.flightsize)
        if rng.random() < 0.01:
            retransmit = rng.random() < 0.5
            controller.on_loss(lost=octets, will_retransmit=retransmit, now=at)
            literal.data_loss(octets, retransmit, now)
        else:
            samples = [base + queue + rng.randrange(2_000) for _ in range(rng.randrange(1, 5))]
            rtt = None if rng.random() < 0.1 else 2 * base + 300_000 + queue
            shifted = [sample + offset for sample in samples]
            controller.on_ack(acked=octets, delays_us=shifted, rtt=None if rtt is None else rtt / 1e6, now=at)
            literal.acknowledgement(octets, samples, rtt, now)
            assert controller.queuing_delay_us == literal.queuing_delay
        windows.add(controller.cwnd)
        assert controller.cwnd == int(literal.cwnd)
        assert controller.flightsize == literal.flightsize
        assert controller.cto == pytest.approx(float(literal.CTO) / 1e6, rel=1e-9)
    assert len(windows) > 400  # the traces went somewhere


def steps_of_the_vectors() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The trace cases that the pseudo-code alone decides: the NULL filter and no slow start."""
    groups = json.loads(VECTORS.read_text(encoding="utf-8"))["groups"]
    return [
        (group["params"], case)
        for group in groups
        if group["op"] == "trace"
        and group["params"].get("slow_start") == "off"
        and group["params"].get("delay_filter") == {"name": "null"}
        for case in group["cases"]
        if "Decision" not in case["flags"]
    ]


@pytest.mark.parametrize(("params", "case"), [pytest.param(*each, id=each[1]["id"]) for each in steps_of_the_vectors()])
def test_the_vectors_hold_what_the_pseudo_code_gives_in_exact_fractions(
    params: dict[str, Any], case: dict[str, Any]
) -> None:
    """RFC 6817 section 2.4.2: the vectors' values do not come from the code under test."""
    names = {"target_us": "TARGET", "max_cto_us": "MAX_CTO"}
    constants = {
        names.get(name, name.upper()): value
        for name, value in params.items()
        if name not in ("machine", "slow_start", "delay_filter")
    }
    literal = PseudoCode(Fraction, **constants)
    compared = 0
    for step in case["steps"]:
        ((verb, args),) = step["do"].items()
        run_step(literal, verb, args, step["at"])
        for name, expected in step.get("expect", {}).items():
            compared += 1
            assert expected == observed(literal, name), f"{name} at {step['at']} us"
    assert compared


def run_step(literal: PseudoCode, verb: str, args: dict[str, Any], now: int) -> None:
    match verb:
        case "sent":
            literal.sent(args["sent"], now)
        case "ack":
            delays = [int(delay, 16) if isinstance(delay, str) else delay for delay in args["delays_us"]]
            literal.acknowledgement(args["acked"], delays, args.get("rtt_us"), now)
        case "loss":
            literal.data_loss(args["lost"], args["will_retransmit"], now)
        case "ecn":  # section 1.3: as a loss
            literal.data_loss(0, True, now)
        case "timeout":
            if literal.timer is not None and literal.timer <= now:
                literal.no_acks_within_a_CTO(now)
        case _:
            raise AssertionError(verb)


def observed(literal: PseudoCode, name: str) -> Any:
    match name:
        case "cwnd":
            return math.floor(literal.cwnd)
        case "flightsize":
            return literal.flightsize
        case "queuing_delay_us":
            return literal.queuing_delay
        case "base_delay_us":
            return min(literal.base_delays)
        case "cto_us":
            return round(literal.CTO)
        case "srtt_us":
            return round(literal.SRTT)
        case "timer_us":
            return None if literal.timer is None else round(literal.timer)
    raise AssertionError(name)
