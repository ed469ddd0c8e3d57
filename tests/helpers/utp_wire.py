"""One uTP endpoint, whose peer the test plays packet by packet."""

from collections.abc import Callable, Sequence
from typing import Any

from ledbat.utp import Connected, Incoming, Packet, PacketType, UtpEndpoint, decode, encode

DATA, FIN, STATE, RESET, SYN = PacketType
PEER = ("198.51.100.7", 6881)
RANDOM = bytes.fromhex("1234abcd") * 64
"""Connection IDs and sequence numbers of the endpoint under test."""


def types_of(packets: Sequence[Packet]) -> list[str]:
    return [packet.type.name for packet in packets]


class Wire:
    """An endpoint, and its peer played by hand."""

    def __init__(self, **options: Any) -> None:
        source = iter(RANDOM)
        options.setdefault("random_bytes", lambda count: bytes(next(source) for _ in range(count)))
        self.endpoint = UtpEndpoint(**options)
        self.now = 50.0
        self.dropped: list[str] = []

    def take(self) -> list[Packet]:
        """What it sends now."""
        sent = []
        while batch := self.endpoint.datagrams_to_send(self.now):
            sent += [decode(d if isinstance(d, bytes) else b"".join(d)) for d, _ in batch]
        return sent

    def give(self, kind: PacketType, connection_id: int, seq_nr: int, ack_nr: int, **fields: Any) -> list[Packet]:
        """One packet from the peer, and the answers."""
        fields.setdefault("timestamp", 7_000_000)
        fields.setdefault("wnd_size", 1 << 20)
        return self.give_octets(
            encode(Packet(type=kind, connection_id=connection_id, seq_nr=seq_nr, ack_nr=ack_nr, **fields))
        )

    def give_octets(self, data: bytes) -> list[Packet]:
        self.endpoint.receive_datagram(data, PEER, self.now)
        return self.take()

    def after(self, seconds: float) -> list[Packet]:
        """Let time pass."""
        until = self.now + seconds
        sent = []
        while (due := self.endpoint.get_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            self.endpoint.handle_timer(self.now)
            sent += self.take()
        self.now = until
        return sent

    def events(self) -> list[Any]:
        found = []
        while (event := self.endpoint.next_event()) is not None:
            found.append(event)
        return found

    def accepted(self, seq_nr: int = 500) -> tuple[Packet, int]:
        """Open a connection with ID 0x4000 to it: its answer to the SYN, and the number, after one octet of data."""
        (answer,) = self.give(PacketType.SYN, 0x4000, seq_nr, 0)
        self.give(PacketType.DATA, 0x4001, seq_nr + 1, answer.seq_nr - 1 & 0xFFFF, payload=b"x")
        number = next(event.connection for event in self.events() if isinstance(event, Incoming))
        return answer, number

    def dialled(self, seq_nr: int = 9000) -> tuple[Packet, int]:
        """Let it open a connection: its SYN, and the number, after an answer whose seq_nr is `seq_nr`."""
        number = self.endpoint.connect(PEER, self.now)
        (syn,) = self.take()
        self.give(PacketType.STATE, syn.connection_id, seq_nr, syn.seq_nr)
        events = self.events()
        assert any(isinstance(event, Connected) for event in events)
        return syn, number


def spy(samples: list[int]) -> Callable[[int], Any]:
    class Spy:
        pacing_rate = None

        def __init__(self, mss: int) -> None:
            self.cwnd = 10 * mss

        def on_sent(self, **_: Any) -> None: ...
        def on_loss(self, **_: Any) -> None: ...
        def on_timeout(self, now: float) -> None: ...

        def on_ack(self, *, delays_us: list[int], **_: Any) -> None:
            samples.extend(delays_us)

        def get_timer(self) -> None:
            return None

    return Spy
