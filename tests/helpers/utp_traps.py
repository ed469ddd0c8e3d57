"""What the tests of the fourteen traps share: drawn numbers, a peer made by hand, a window that is watched."""

import random
from collections.abc import Callable, Sequence

from hand_utp import Hand, Parsed

from ledbat.utp import UtpEndpoint


class Window:
    """A congestion controller that never says no, and remembers what it was told."""

    def __init__(self, mss: int) -> None:
        self.cwnd = 1 << 20
        self.pacing_rate = None
        self.acks: list[tuple[int, list[int], float | None]] = []
        self.losses: list[int] = []

    def on_sent(self, *, sent: int, now: float) -> None:
        pass

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        self.acks.append((acked, list(delays_us), rtt))

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        self.losses.append(lost)

    def on_timeout(self, now: float) -> None:
        pass

    def get_timer(self) -> float | None:
        return None

    @property
    def samples(self) -> list[int]:
        return [delay for _, delays, _ in self.acks for delay in delays]


def drawn(*numbers: int) -> Callable[[int], bytes]:
    """`random_bytes` that draws these numbers first."""
    left = list(numbers)
    rest = random.Random(5)
    return lambda size: left.pop(0).to_bytes(size, "big") if left else rest.randbytes(size)


def hand(*numbers: int, **options: object) -> Hand:
    """A peer of a new endpoint whose random numbers start with these: connection ID, sequence number."""
    return Hand(UtpEndpoint(random_bytes=drawn(*numbers), **options))  # type: ignore[arg-type]


def watched(*numbers: int, **options: object) -> tuple[Hand, Window]:
    """The same with an open congestion window that can be looked at."""
    windows: list[Window] = []

    def make(mss: int) -> Window:
        windows.append(Window(mss))
        return windows[-1]

    peer = hand(*numbers, controller=make, **options)
    peer.answer_connect()
    peer.hear()
    peer.events()
    return peer, windows[0]


def of(kind: int, packets: list[Parsed]) -> list[Parsed]:
    return [packet for packet in packets if packet.kind == kind]
