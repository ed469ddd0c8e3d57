"""The speed of the simulated network: packets per second of CPU time.

    python tests/benchmarks/simulation_speed.py [--packets 200000] [--rounds 3]

`machines`: two machines on 100 Mb/s links of 10 ms, 64 datagrams of 1045 octets under way, each acknowledged.
`callbacks`: a sender and a receiver without machines over one such link.
"""

import argparse
import json
import time

from interop.simulation import Datagram, Link, Network, SimulatedAddress, megabits

_PAYLOAD = bytes(1045)
_WINDOW = 64
_RECEIVER = ("192.0.2.2", 7000)


class _Sender:
    """Keeps a window of datagrams under way until all are acknowledged."""

    def __init__(self, count: int) -> None:
        self.to_send = count
        self.acknowledged = 0
        self._under_way = 0

    def receive_datagram(self, data: memoryview, address: SimulatedAddress, now: float) -> None:
        self._under_way -= 1
        self.acknowledged += 1

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, SimulatedAddress]]:
        number = min(_WINDOW - self._under_way, self.to_send)
        self._under_way += number
        self.to_send -= number
        return [(_PAYLOAD, _RECEIVER)] * number

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        """No timer was asked for."""


class _Receiver(_Sender):
    """Acknowledges every datagram."""

    def __init__(self) -> None:
        super().__init__(0)
        self._waiting: list[SimulatedAddress] = []

    def receive_datagram(self, data: memoryview, address: SimulatedAddress, now: float) -> None:
        self._waiting.append(address)

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, SimulatedAddress]]:
        waiting, self._waiting = self._waiting, []
        return [(b"ack", address) for address in waiting]


def _link() -> Link:
    return Link(rate=megabits(100), delay=0.01)


def machines(packets: int) -> float:
    """Packets per CPU second between two machines, half of them acknowledgements."""
    network = Network()
    sender = _Sender(packets // 2)
    network.host("192.0.2.1", up=_link()).run(sender, 7000)
    network.host(_RECEIVER[0], up=_link()).run(_Receiver(), 7000)
    start = time.process_time()
    network.run()
    seconds = time.process_time() - start
    assert sender.acknowledged == packets // 2
    return packets / seconds


def callbacks(packets: int) -> float:
    """Packets per CPU second from a plain sender to a callback."""
    network = Network()
    received: list[float] = []
    network.host(_RECEIVER[0]).listen(lambda data, source, now: received.append(now), 7000)
    socket = network.host("192.0.2.1", up=_link()).listen(lambda *_: None, 7000)

    def tick(left: int) -> None:
        socket.send(_PAYLOAD, _RECEIVER)
        if left:
            network.engine.post(network.engine.now_us + 100, tick, left - 1)

    tick(packets - 1)
    start = time.process_time()
    network.run()
    seconds = time.process_time() - start
    assert len(received) == packets
    return packets / seconds


def main() -> None:
    """Print the best of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {
        "machines": [machines(options.packets) for _ in range(options.rounds)],
        "callbacks": [callbacks(options.packets) for _ in range(options.rounds)],
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, rates in figures.items():
        print(f"simulation, {name:9}: {max(rates):8.0f} packets per CPU second")


if __name__ == "__main__":
    main()
