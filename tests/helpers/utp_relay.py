"""A relay on loopback between two uTP peers, which does to their datagrams what networks do, and keeps a record.

What happens to the n-th datagram of a direction is decided by the seed and by n alone.
"""

import asyncio
import random
import socket
import time
from pathlib import Path
from socket import inet_aton

import attrs
import dpkt

from interop.udp import Address
from ledbat.utp.packet import Packet, PacketType, decode

_RAW_IP = 101
_TOLD = 40
"""Packets shown from each end of the record when a test fails."""
BUFFER_SIZE = 4 * 1024 * 1024
HOLD = 4
"""Datagrams that overtake one that is held back."""
HOLD_SECONDS = 0.02
"""How long one is held back when no more follow."""


@attrs.frozen
class Faults:
    """Shares of the datagrams, in each direction, that are lost, sent twice, or held back while others overtake."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    seed: int = 1
    spare: int = 0
    """Datagrams at the start of each direction that nothing happens to."""


@attrs.frozen
class Seen:
    """One datagram that came to the relay."""

    from_client: bool
    octets: bytes
    at: float

    @property
    def packet(self) -> Packet:
        return decode(self.octets)


class _Direction:
    """Sends on what comes from one side."""

    def __init__(self, faults: Faults, name: str) -> None:
        self._faults = faults
        self._chance = random.Random(f"{faults.seed} {name}")
        self._count = 0
        self._held: list[tuple[int, asyncio.TimerHandle, bytes, asyncio.DatagramTransport, Address | None]] = []
        self.lost = self.duplicated = self.reordered = 0

    def forward(self, data: bytes, transport: asyncio.DatagramTransport, address: Address | None) -> None:
        faults, fate = self._faults, self._chance.random()
        self._count += 1
        if self._count <= faults.spare:
            fate = 1.0
        if fate < faults.loss:
            self.lost += 1
        elif fate < faults.loss + faults.duplication:
            self.duplicated += 1
            transport.sendto(data, address)
            transport.sendto(data, address)
        elif fate < faults.loss + faults.duplication + faults.reordering:
            self.reordered += 1
            timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release, self._count)
            self._held.append((self._count, timer, data, transport, address))
        else:
            transport.sendto(data, address)
        if self._held and self._held[0][0] + HOLD <= self._count:
            self._release(self._count - HOLD)

    def _release(self, upto: int) -> None:
        while self._held and self._held[0][0] <= upto:
            _, timer, data, transport, address = self._held.pop(0)
            timer.cancel()
            if not transport.is_closing():
                transport.sendto(data, address)

    def close(self) -> None:
        for _, timer, *_ in self._held:
            timer.cancel()


class _Back(asyncio.DatagramProtocol):
    """The socket towards the target, on behalf of one client."""

    def __init__(self, relay: "Relay", client: Address) -> None:
        self._relay = relay
        self._client = client

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.to_client(data, self._client)


class Relay(asyncio.DatagramProtocol):
    """`async with Relay(target) as relay`: what comes to `relay.address` goes to the target, and answers come back."""

    def __init__(self, target: Address, faults: Faults | None = None) -> None:
        faults = faults or Faults()
        self.target = target
        self.seen: list[Seen] = []
        self.finished = asyncio.Event()
        """Both sides have sent a FIN."""
        self._fins: set[bool] = set()
        self.up = _Direction(faults, "up")
        self.down = _Direction(faults, "down")
        self._backs: dict[Address, asyncio.DatagramTransport] = {}
        self._opening: dict[Address, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        _enlarge(self._front)
        self.address: Address = self._front.get_extra_info("sockname")
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self._tell()
        self.up.close()
        self.down.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._front.close()
        for back in self._backs.values():
            back.close()
        await asyncio.sleep(0)

    def _tell(self) -> None:
        """What the test failed on: the last packets, for pytest to show."""
        for seen in self.seen[:_TOLD] + self.seen[_TOLD:][-_TOLD:]:
            packet = seen.packet
            print(
                f"{seen.at:.4f}",
                "client" if seen.from_client else "server",
                packet.type.name,
                f"id {packet.connection_id} seq {packet.seq_nr} ack {packet.ack_nr} wnd {packet.wnd_size}",
                f"octets {len(packet.payload)} sack {(packet.selective_ack or b'').hex()}",
            )

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._see(True, data)
        back = self._backs.get(addr)
        if back is not None:
            self.up.forward(data, back, None)
        elif addr in self._opening:
            self._opening[addr].append(data)
        else:
            self._opening[addr] = [data]
            task = asyncio.get_running_loop().create_task(self._open(addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _see(self, from_client: bool, data: bytes) -> None:
        self.seen.append(Seen(from_client, data, time.monotonic()))
        if data[0] >> 4 == PacketType.FIN:
            self._fins.add(from_client)
            if len(self._fins) == 2:
                self.finished.set()

    async def _open(self, client: Address) -> None:
        loop = asyncio.get_running_loop()
        back, _ = await loop.create_datagram_endpoint(lambda: _Back(self, client), remote_addr=self.target)
        _enlarge(back)
        self._backs[client] = back
        for data in self._opening.pop(client):
            self.up.forward(data, back, None)

    def to_client(self, data: bytes, client: Address) -> None:
        self._see(False, data)
        self.down.forward(data, self._front, client)

    def count(self, kind: PacketType, *, from_client: bool) -> int:
        """Packets of one type that came from one side."""
        first = kind << 4 | 1
        return sum(1 for seen in self.seen if seen.from_client is from_client and seen.octets[0] == first)

    def assert_orderly(self) -> None:
        """Both sides sent a FIN, and nobody a RESET."""
        for from_client in (True, False):
            side = "the client" if from_client else "the server"
            assert self.count(PacketType.FIN, from_client=from_client), f"no FIN of {side}"
            assert not self.count(PacketType.RESET, from_client=from_client), f"a RESET of {side}"

    def assert_faulty(self) -> None:
        """The relay did what it is there for."""
        for direction in (self.up, self.down):
            assert direction.lost
            assert direction.duplicated
            assert direction.reordered

    def write_pcap(self, path: Path) -> None:
        """All that came to the relay, as a capture of raw IP packets."""
        write_pcap(path, [(seen.octets, seen.from_client) for seen in self.seen])


def write_pcap(path: Path, datagrams: list[tuple[bytes, bool]]) -> None:
    """A capture of these datagrams between 192.0.2.1 (True) and 192.0.2.2, a millisecond apart."""
    client, server = (inet_aton("192.0.2.1"), 40000), (inet_aton("192.0.2.2"), 40001)
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, snaplen=65575, linktype=_RAW_IP)
        for number, (octets, from_client) in enumerate(datagrams):
            (source, sport), (destination, dport) = (client, server) if from_client else (server, client)
            udp = dpkt.udp.UDP(sport=sport, dport=dport, data=octets)
            udp.ulen = len(udp)
            ip = dpkt.ip.IP(src=source, dst=destination, p=dpkt.ip.IP_PROTO_UDP, data=udp)
            ip.len = len(ip)
            writer.writepkt(ip, number / 1000)


def _enlarge(transport: asyncio.DatagramTransport) -> None:
    sock = transport.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
