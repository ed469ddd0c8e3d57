"""A uTP peer made by hand: packets are built and read with `struct` alone, from the diagram of BEP 29."""

import struct
from typing import Any, NamedTuple

from ledbat.utp import Event, Incoming, UtpEndpoint

DATA, FIN, STATE, RESET, SYN = range(5)
ADDRESS = ("192.0.2.9", 9)
START = 1000.0


class Parsed(NamedTuple):
    """One packet as it went over the wire."""

    kind: int
    connection_id: int
    timestamp: int
    difference: int
    wnd_size: int
    seq_nr: int
    ack_nr: int
    extensions: list[tuple[int, bytes]]
    payload: bytes

    @property
    def sacked(self) -> set[int]:
        """The sequence numbers that the selective acknowledgement reports, by the BEP's prose."""
        return {
            (self.ack_nr + 2 + 8 * octet + bit) & 0xFFFF
            for kind, body in self.extensions
            if kind == 1
            for octet, value in enumerate(body)
            for bit in range(8)
            if value >> bit & 1
        }


def build(
    kind: int,
    connection_id: int,
    *,
    seq_nr: int = 0,
    ack_nr: int = 0,
    timestamp: int = 1,
    difference: int = 0,
    wnd_size: int = 1 << 20,
    extensions: list[tuple[int, bytes]] | None = None,
    payload: bytes = b"",
) -> bytes:
    """The octets of a packet; numbers are taken modulo their width."""
    chain = extensions or []
    kinds = [kind_ for kind_, _ in chain] + [0]
    head = struct.pack(
        ">BBHIIIHH",
        kind << 4 | 1,
        kinds[0],
        connection_id & 0xFFFF,
        timestamp & 0xFFFFFFFF,
        difference & 0xFFFFFFFF,
        wnd_size & 0xFFFFFFFF,
        seq_nr & 0xFFFF,
        ack_nr & 0xFFFF,
    )
    for following, (_, body) in zip(kinds[1:], chain, strict=True):
        head += bytes((following, len(body))) + body
    return head + payload


def parse(datagram: Any) -> Parsed:
    """Read a datagram as the BEP draws it; asserts that version and chain are right."""
    data = datagram if isinstance(datagram, bytes) else b"".join(datagram)
    first, following, *_ = struct.unpack_from(">BBHIIIHH", data)
    connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr = struct.unpack_from(">HIIIHH", data, 2)
    assert first & 15 == 1
    assert first >> 4 <= SYN
    extensions = []
    offset = 20
    while following:
        kind, following, length = following, data[offset], data[offset + 1]
        body = data[offset + 2 : offset + 2 + length]
        assert len(body) == length
        extensions.append((kind, body))
        offset += 2 + length
    fields = (connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr)
    return Parsed(first >> 4, *fields, extensions, data[offset:])


class Hand:
    """The other side of one connection of `endpoint`; time stands still unless `now` is moved."""

    def __init__(self, endpoint: UtpEndpoint, address: Any = ADDRESS, now: float = START) -> None:
        self.endpoint = endpoint
        self.address = address
        self.now = now
        self.number = 0  # the endpoint's for the connection
        self.own_id = 0  # that this side receives under
        self.peer_id = 0  # that the endpoint receives under
        self.seq = 0  # of this side's next packet
        self.ack = 0  # the last sequence number that came in order
        self.clock = 7  # microseconds of this side's clock
        self.sent: list[bytes] = []

    def raw(self, datagram: bytes) -> None:
        """Any octets."""
        self.sent.append(datagram)
        self.endpoint.receive_datagram(datagram, self.address, self.now)

    def say(self, kind: int, **fields: Any) -> None:
        """A packet of this connection; DATA and FIN take the next sequence number unless told which."""
        own = "seq_nr" not in fields
        fields.setdefault("seq_nr", self.seq)
        fields.setdefault("ack_nr", self.ack)
        fields.setdefault("timestamp", self.clock)
        connection_id = fields.pop("connection_id", self.peer_id)
        self.raw(build(kind, connection_id, **fields))
        if own and kind in (DATA, FIN):
            self.seq = (self.seq + 1) & 0xFFFF

    def hear(self) -> list[Parsed]:
        """What the endpoint sends now; what is in order is taken note of, not acknowledged."""
        heard = []
        while batch := self.endpoint.datagrams_to_send(self.now):
            for datagram, address in batch:
                if address == self.address:
                    heard.append(parse(datagram))
        for packet in heard:
            if packet.kind in (DATA, FIN) and packet.seq_nr == (self.ack + 1) & 0xFFFF:
                self.ack = packet.seq_nr
        return heard

    def events(self) -> list[Event]:
        """What the endpoint tells now."""
        events = []
        while (event := self.endpoint.next_event()) is not None:
            events.append(event)
        return events

    def wait(self, seconds: float) -> list[Parsed]:
        """Let time pass, timers included; returns what was sent. Asserts that the timers do not spin."""
        until = self.now + seconds
        heard = []
        spins = 0
        while (due := self.endpoint.get_timer()) is not None and due <= until:
            spins = spins + 1 if due <= self.now else 0
            assert spins < 1000, "timers without progress"
            self.now = max(self.now, due)
            self.endpoint.handle_timer(self.now)
            heard += self.hear()
        self.now = until
        return heard

    def answer_connect(self, *, seq_nr: int = 5000, wnd_size: int = 1 << 20) -> Parsed:
        """The endpoint connects here; this side answers. Returns the SYN."""
        self.number = self.endpoint.connect(self.address, self.now)
        (syn,) = self.hear()
        self.peer_id, self.own_id = syn.connection_id, (syn.connection_id + 1) & 0xFFFF
        self.seq, self.ack = seq_nr, syn.seq_nr
        self.say(STATE, wnd_size=wnd_size)
        return syn

    def open(self, *, connection_id: int = 300, seq_nr: int = 77, payload: bytes = b"x", **fields: Any) -> Parsed:
        """This side connects to the endpoint, and sends its first DATA. Returns the answer to the SYN."""
        self.own_id, self.peer_id = connection_id, (connection_id + 1) & 0xFFFF
        self.say(SYN, connection_id=connection_id, seq_nr=seq_nr, ack_nr=0, **fields)
        (answer,) = self.hear()
        self.seq, self.ack = (seq_nr + 1) & 0xFFFF, (answer.seq_nr - 1) & 0xFFFF
        self.say(DATA, payload=payload, **fields)
        self.number = next(e.connection for e in self.events() if isinstance(e, Incoming))
        return answer
