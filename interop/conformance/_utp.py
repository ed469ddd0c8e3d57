"""Our `ledbat.utp` as an implementation that answers conformance requests: packets, masks and the endpoint."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ledbat import LedbatError
from ledbat.utp import (
    Closed,
    Connected,
    DatagramDropped,
    EofReceived,
    Finished,
    Incoming,
    Packet,
    PacketType,
    UtpEndpoint,
    decode,
    encode,
)
from ledbat.utp.packet import bits, is_sample, sack_octets

_Json = dict[str, Any]

_EPOCH = 2**32 / 1e6
"""When a trace begins, in seconds: the 32 bits of the microsecond clock then read as the steps' times do."""
_HALF_MICROSECOND = 5e-7
_FIRST = 1
"""The number of an endpoint's first connection."""

_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "connection_id": "connection_id",
        "timestamp_microseconds": "timestamp",
        "timestamp_difference_microseconds": "timestamp_difference",
        "wnd_size": "wnd_size",
        "seq_nr": "seq_nr",
        "ack_nr": "ack_nr",
    }
)


def read_packet(wire: str) -> _Json:
    """The answer to a decode request."""
    try:
        packet = decode(bytes.fromhex(wire))
    except LedbatError as exc:
        return {"rejected": str(exc)}
    value: _Json = {"type": f"ST_{packet.type.name}"}
    value |= {name: getattr(packet, own) for name, own in _FIELDS.items()}
    value["extensions"] = [{"type": kind, "body": body.hex()} for kind, body in packet.extensions]
    return {"value": value | {"payload": bytes(packet.payload).hex()}}


def write_packet(value: _Json) -> _Json:
    """The answer to an encode request."""
    try:
        return {"wire": encode(_packet(value)).hex()}
    except LedbatError as exc:
        return {"rejected": str(exc)}


def _packet(value: _Json) -> Packet:
    return Packet(
        type=PacketType[value["type"].removeprefix("ST_")],
        extensions=tuple((each["type"], bytes.fromhex(each["body"])) for each in value.get("extensions", ())),
        payload=bytes.fromhex(value.get("payload", "")),
        **{own: value.get(name, 0) for name, own in _FIELDS.items()},
    )


def acknowledged(args: _Json) -> _Json:
    """The sequence numbers that a selective acknowledgement reports."""
    mask = int.from_bytes(bytes.fromhex(args["bitmask"]), "little")
    return {"value": [(args["ack_nr"] + 2 + bit) & 0xFFFF for bit in bits(mask)]}


def bitmask(args: _Json) -> _Json:
    """The selective acknowledgement that reports these sequence numbers."""
    mask = sum(1 << ((seq_nr - args["ack_nr"] - 2) & 0xFFFF) for seq_nr in args["received"])
    return {"value": sack_octets(mask).hex()}


def sample(args: _Json) -> _Json:
    """Whether a timestamp difference is a delay sample."""
    return {"value": is_sample(args["timestamp_difference_microseconds"])}


def trace(params: _Json, steps: list[_Json]) -> list[_Json]:
    """What is observed after each step of an endpoint's trace."""
    trial = _Trial(params)
    return [trial.step(step) for step in steps]


class _Trial:
    """An endpoint with one connection, the peer being the trace."""

    def __init__(self, params: _Json) -> None:
        self._seq_nr: int = params["seq_nr"]
        self._draws: list[int] = []
        self.endpoint = UtpEndpoint(random_bytes=self._draw, nodelay=True)
        self._reset_observations()
        self.reason: str | None = None

    def _draw(self, size: int) -> bytes:
        number = self._draws.pop(0) if self._draws else self._seq_nr
        return number.to_bytes(size, "big")

    def _reset_observations(self) -> None:
        self.sent: list[Packet] = []
        self.told: set[type] = set()
        self.received = b""

    def step(self, step: _Json) -> _Json:
        """Let time pass up to the step, do it, and observe."""
        self._reset_observations()
        now = _EPOCH + step["at"] / 1e6 + _HALF_MICROSECOND
        while (due := self.endpoint.get_timer()) is not None and due <= now:
            self.endpoint.handle_timer(due)
            self._flush(due)
        ((verb, args),) = step["do"].items()
        try:
            _VERBS[verb](self, args, now)
        except LedbatError as exc:
            return {"rejected": True, "why": str(exc)}
        self._flush(now)
        return {name: _OBSERVED[name](self) for name in step["observe"] if name != "rejected"}

    def _flush(self, now: float) -> None:
        endpoint = self.endpoint
        while datagrams := endpoint.datagrams_to_send(now):
            for datagram, _ in datagrams:
                self.sent.append(decode(datagram if isinstance(datagram, bytes) else b"".join(datagram)))
        while (event := endpoint.next_event()) is not None:
            if isinstance(event, Closed):
                self.reason = event.reason.name
            elif not isinstance(event, DatagramDropped):
                self.told.add(type(event))
        if self.reason is None:
            try:
                self.received += endpoint.receive(_FIRST)
            except LedbatError:  # there is no connection yet
                return

    def connect(self, connection_id: int, now: float) -> None:
        """Open the connection under an ID that the trace chose."""
        # The endpoint draws the number that follows its SYN.
        self._draws = [connection_id, (self._seq_nr + 1) & 0xFFFF]
        self.endpoint.connect("peer", now)


def _receive(trial: _Trial, args: _Json, now: float) -> None:
    trial.endpoint.receive_datagram(bytes.fromhex(args["wire"]), args.get("from", "peer"), now)


_VERBS: Mapping[str, Callable[[_Trial, _Json, float], object]] = MappingProxyType(
    {
        "connect": lambda trial, args, now: trial.connect(args["connection_id"], now),
        "receive": _receive,
        "send": lambda trial, args, now: trial.endpoint.send(_FIRST, bytes.fromhex(args["payload"])),
        "shutdown": lambda trial, args, now: trial.endpoint.shutdown(_FIRST),
        "close": lambda trial, args, now: trial.endpoint.close(_FIRST, now),
        "reset": lambda trial, args, now: trial.endpoint.reset(_FIRST, now),
        "wait": lambda trial, args, now: None,
    }
)


def _sent(kind: PacketType) -> Callable[[_Trial], list[_Json]]:
    def observe(trial: _Trial) -> list[_Json]:
        packets = [packet for packet in trial.sent if packet.type is kind]
        return [_brief(packet) for packet in packets]

    return observe


def _brief(packet: Packet) -> _Json:
    """What of a packet does not depend on clocks and buffers; the ack_nr of a SYN is anything."""
    value: _Json = {"connection_id": packet.connection_id, "seq_nr": packet.seq_nr}
    if packet.type is not PacketType.SYN:
        value["ack_nr"] = packet.ack_nr
    if packet.payload:
        value["payload"] = bytes(packet.payload).hex()
    if packet.selective_ack is not None:
        value["selective_ack"] = packet.selective_ack.hex()
    return value


def _told(event: type) -> Callable[[_Trial], bool]:
    return lambda trial: event in trial.told


_OBSERVED: Mapping[str, Callable[[_Trial], Any]] = MappingProxyType(
    {f"st_{kind.name.lower()}": _sent(kind) for kind in PacketType}
    | {
        "connected": _told(Connected),
        "incoming": _told(Incoming),
        "eof": _told(EofReceived),
        "finished": _told(Finished),
        "closed": lambda trial: trial.reason,
        "received": lambda trial: trial.received.hex(),
        "timestamps": lambda trial: [packet.timestamp for packet in trial.sent],
        "timestamp_differences": lambda trial: [packet.timestamp_difference for packet in trial.sent],
        "windows": lambda trial: [packet.wnd_size for packet in trial.sent],
    }
)
