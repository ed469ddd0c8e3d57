"""A tap that writes what was sent to a pcap file, which tcpdump and Wireshark read."""

import struct
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

from interop.simulation._packets import Fate, Packet, PacketEvent

_MAGIC = 0xA1B2C3D4
_RAW_IP = 101
_SNAPLEN = 65_535 + 40
_UDP = 17
_TTL = 64


def _checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def encapsulate(packet: Packet) -> bytes:
    """The packet as IPv4 or IPv6 octets, checksums included; a corrupted payload gets the checksum that it now has."""
    source, destination = ip_address(packet.source[0]).packed, ip_address(packet.destination[0]).packed
    length = 8 + len(packet.payload)
    pseudo = source + destination + struct.pack(">II", length, _UDP)
    ports = struct.pack(">HHH", packet.source[1], packet.destination[1], length)
    # A checksum of zero would mean "none" (RFC 768).
    checksum = _checksum(pseudo + ports + b"\0\0" + packet.payload) or 0xFFFF
    udp = ports + struct.pack(">H", checksum) + packet.payload
    if len(source) == 16:
        return struct.pack(">IHBB", 6 << 28, length, _UDP, _TTL) + source + destination + udp
    start = struct.pack(">BBHHHBB", 0x45, 0, 20 + length, 0, 0, _TTL, _UDP)
    header = _checksum(start + b"\0\0" + source + destination)
    return start + struct.pack(">H", header) + source + destination + udp


class PcapWriter:
    """Writes every packet that a host sends, with the virtual time at which it left. Close it, or use it in `with`."""

    def __init__(self, path: str | Path) -> None:
        """Create the file. Raises OSError."""
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._file.write(struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAPLEN, _RAW_IP))

    def __call__(self, event: PacketEvent) -> None:
        """Write the packet of a SENT event."""
        if event.fate is Fate.SENT and not self._file.closed:
            octets = encapsulate(event.packet)
            seconds, fraction = divmod(event.at_us, 1_000_000)
            self._file.write(struct.pack("<IIII", seconds, fraction, len(octets), len(octets)) + octets)

    def close(self) -> None:
        """Finish the file; later packets are not written."""
        self._file.close()

    def __enter__(self) -> "PcapWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
