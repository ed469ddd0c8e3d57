"""What uTP costs: processor time a data packet, both ends together, in memory.

    python tests/benchmarks/utp_core.py [MEGABYTES] [--json]

Two endpoints hand each other their datagrams in batches, as a driver would. Joining a datagram's buffers is what a
system call does anyway; its cost is measured too, and shown apart.
"""

import argparse
import json
import random
import time
from typing import Any

from ledbat.utp import Connected, Datagram, Incoming, Readable, UtpEndpoint, Writable

BATCHES = {"batches of 64": 64, "batches of 8": 8, "one by one": 1}
"""Datagrams that an endpoint takes in before it is asked for its own; `interop.udp` drains up to 64."""
STEP = 0.0001
"""Seconds of virtual time in each direction: a path of 0.2 ms."""
CHUNK = 65_536
A, B = ("127.0.0.1", 1), ("127.0.0.1", 2)


class FixedWindow:
    """A controller that does nothing, to see what the protocol costs without one."""

    pacing_rate = None

    def __init__(self, mss: int) -> None:
        self.cwnd = 512 * mss

    def on_sent(self, **_: Any) -> None: ...
    def on_ack(self, **_: Any) -> None: ...
    def on_loss(self, **_: Any) -> None: ...
    def on_timeout(self, now: float) -> None: ...

    def get_timer(self) -> None:
        return None


def joined(datagram: Datagram) -> bytes:
    return datagram if isinstance(datagram, bytes) else b"".join(datagram)


def transfer(octets: int, options: dict[str, Any], size: int) -> tuple[int, int]:
    """Send so many octets from one endpoint to another; returns how many datagrams each of them sent."""
    source = UtpEndpoint(random_bytes=random.Random(1).randbytes, **options)
    sink = UtpEndpoint(random_bytes=random.Random(2).randbytes, **options)
    number = source.connect(B, 0.0)
    payload = bytes(CHUNK)
    left, received, now, sent, acks = octets, 0, 0.0, 0, 0
    writable = False
    while received < octets:
        now += STEP
        writable, left = feed(source, number, writable, left, payload)
        batch = source.datagrams_to_send(now)
        sent += len(batch)
        now += STEP
        for start in range(0, max(len(batch), 1), size):
            for datagram, _ in batch[start : start + size]:
                sink.receive_datagram(joined(datagram), A, now)
            answers = sink.datagrams_to_send(now)
            acks += len(answers)
            while (event := sink.next_event()) is not None:
                if isinstance(event, Readable):
                    received += sum(map(len, sink.receive_chunks(event.connection)))
                else:
                    assert isinstance(event, Incoming), event
            for datagram, _ in answers:
                source.receive_datagram(joined(datagram), B, now + STEP)
        while (event := source.next_event()) is not None:
            assert isinstance(event, Connected | Writable), event
            writable = True
        source.handle_timer(now)
        sink.handle_timer(now)
    return sent, acks


def feed(source: UtpEndpoint, number: int, writable: bool, left: int, payload: bytes) -> tuple[bool, int]:
    while writable and left:
        piece = payload[: min(left, CHUNK)]
        taken = source.send(number, piece)
        left -= taken
        writable = taken == len(piece)
    return writable, left


def join_cost(count: int) -> float:
    """Processor seconds for joining the buffers of so many full packets."""
    header, payload = bytes(20), memoryview(bytes(1452))
    start = time.process_time()
    for _ in range(count):
        b"".join((header, payload))
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("megabytes", nargs="?", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    octets = arguments.megabytes * 1_000_000
    variants: dict[str, tuple[dict[str, Any], int]] = {name: ({}, size) for name, size in BATCHES.items()}
    variants["no controller"] = ({"controller": FixedWindow}, 64)
    best: dict[str, dict[str, float]] = {}
    for _ in range(3):
        for name, (options, size) in variants.items():
            start = time.process_time()
            sent, acks = transfer(octets, options, size)
            spent = time.process_time() - start
            figures = {
                "us_per_packet": spent / sent * 1e6,
                "packets": sent,
                "acks": acks,
                "join_us": join_cost(sent) / sent * 1e6,
            }
            if name not in best or figures["us_per_packet"] < best[name]["us_per_packet"]:
                best[name] = figures
    if arguments.json:
        print(json.dumps(best))
        return
    for name, figures in best.items():
        print(
            f"{name:13} {figures['us_per_packet']:6.2f} us a data packet, of which {figures['join_us']:.2f} us joins "
            f"its buffers ({figures['packets']:.0f} packets, {figures['acks']:.0f} acknowledgements)"
        )


if __name__ == "__main__":
    main()
