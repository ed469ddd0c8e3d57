"""tshark's dissector of uTP and our codec agree, field by field.

Two things tshark (4.0) does not take for uTP, though libtorrent sends them, and our codec must: a first extension that
it does not know (U7), and a selective acknowledgement whose length is no multiple of four (U8).
"""

import asyncio
import os
import subprocess
from pathlib import Path

import dpkt
import pytest
from utp_relay import Faults, Relay, write_pcap

from interop.utp import UtpOptions, open_connection, start_server
from ledbat.utp import Packet, PacketType, decode, encode

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "captures"
FIELDS = {
    "bt-utp.ver": lambda packet: ["1"],
    "bt-utp.type": lambda packet: [str(packet.type.value)],
    "bt-utp.connection_id": lambda packet: [str(packet.connection_id)],
    "bt-utp.timestamp_us": lambda packet: [str(packet.timestamp)],
    "bt-utp.timestamp_diff_us": lambda packet: [str(packet.timestamp_difference)],
    "bt-utp.wnd_size": lambda packet: [str(packet.wnd_size)],
    "bt-utp.seq_nr": lambda packet: [str(packet.seq_nr)],
    "bt-utp.ack_nr": lambda packet: [str(packet.ack_nr)],
    # The chain: the type of each extension, and the 0 that ends it.
    "bt-utp.next_extension_type": lambda packet: [str(kind) for kind, _ in packet.extensions] + ["0"],
    "bt-utp.extension_len": lambda packet: [str(len(body)) for _, body in packet.extensions],
    "bt-utp.extension_bitmask": lambda packet: [body.hex() for kind, body in packet.extensions if kind in (1, 2)],
    "bt-utp.len": lambda packet: [str(len(packet.payload))],
    "bt-utp.data": lambda packet: [bytes(packet.payload).hex()] if packet.payload else [],
}


def dissected(capture: Path, max_window_size: int) -> list[list[list[str]]]:
    """For each frame the values of each of FIELDS, in their order; empty ones where tshark sees no uTP."""
    command = ["tshark", "-r", str(capture), "-d", "udp.port==1024-65535,bt-utp", "-T", "fields"]
    # Above uTP it would look for BitTorrent, and reassemble.
    command += ["--disable-protocol", "bittorrent", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"]
    # Larger windows it takes for a sign of another protocol, unless told.
    command += ["-o", f"bt-utp.max_window_size:{max_window_size:#x}"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [[value.split(";") if value else [] for value in line.split("|")] for line in done.stdout.splitlines()]


def packets(capture: Path) -> list[Packet]:
    """The same through our codec."""
    with capture.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        if reader.datalink() == dpkt.pcap.DLT_EN10MB:
            return [decode(bytes(dpkt.ethernet.Ethernet(frame).data.data.data)) for _, frame in reader]
        return [decode(bytes(dpkt.ip.IP(frame).data.data)) for _, frame in reader]


def refused(packet: Packet) -> bool:
    """Whether tshark takes it for something else: U7, U8."""
    kinds = [kind for kind, _ in packet.extensions]
    return bool(kinds and kinds[0] > 2) or any(kind == 1 and len(body) % 4 for kind, body in packet.extensions)


def assert_agreement(capture: Path, max_window_size: int = 0x380000) -> list[Packet]:
    """Compare frame by frame; returns the packets."""
    ours, theirs = packets(capture), dissected(capture, max_window_size)
    assert len(ours) == len(theirs)
    for number, (packet, values) in enumerate(zip(ours, theirs, strict=True), 1):
        expected = [[] for _ in FIELDS] if refused(packet) else [told(packet) for told in FIELDS.values()]
        assert values == expected, f"frame {number}: {packet}"
    return ours


@pytest.mark.parametrize(("name", "frames"), [("libtorrent_clean_150k", 149), ("libtorrent_loss_60k", 193)])
def test_libtorrents_packets_read_as_tshark_reads_them(name: str, frames: int) -> None:
    found = assert_agreement(CAPTURES / f"{name}.pcap")
    assert len(found) == frames
    assert sum(not refused(packet) for packet in found) > 140
    # libtorrent's reason for closing hides its FIN from tshark, as it does from libutp (U7).
    assert {packet.type for packet in found if refused(packet)} >= {PacketType.FIN}


def test_our_packets_read_as_tshark_reads_them(tmp_path: Path) -> None:
    capture = tmp_path / "ours.pcap"

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while octets := await reader.read(4096):
                writer.write(octets)
                await writer.drain()
            writer.close()

        faults = Faults(loss=0.03, duplication=0.02, reordering=0.05, seed=3)
        server = await start_server(serve, "127.0.0.1", 0, options=UtpOptions(receive_buffer=100_000))
        async with asyncio.timeout(60), server, Relay(server.local_address, faults) as relay:
            reader, writer = await open_connection(*relay.address)
            content = os.urandom(400_000)
            writer.write(content)
            writer.write_eof()
            assert await reader.read(-1) == content
            writer.close()
            await writer.wait_closed()
            relay.write_pcap(capture)
            server.abort()

    asyncio.run(main())
    found = assert_agreement(capture)
    # We send nothing that tshark or libutp cannot read (U7), and the exchange showed all there is.
    assert not any(refused(packet) for packet in found)
    assert {packet.type for packet in found} == set(PacketType) - {PacketType.RESET}
    assert any(packet.selective_ack for packet in found)


def test_every_kind_of_packet_reads_as_tshark_reads_it(tmp_path: Path) -> None:
    """Extremes of each field, and chains of extensions."""
    top = {"connection_id": 65535, "seq_nr": 65535, "ack_nr": 65534}
    clock = {"timestamp": 0xFFFFFFFF, "timestamp_difference": 0x7FFFFFFF, "wnd_size": 0xFFFFFFFF}
    low = {"connection_id": 0, "seq_nr": 0, "ack_nr": 1}
    chains: list[tuple[tuple[int, bytes], ...]] = [
        (),
        ((1, bytes(range(4))),),
        ((1, bytes(range(128))),),
        ((2, bytes(8)),),
        ((2, bytes(8)), (1, bytes(8))),
        ((1, bytes(4)), (2, bytes(8))),
    ]
    made = [
        encode(Packet(type=kind, extensions=chain, payload=b"octets" if kind is PacketType.DATA else b"", **fields))
        for kind in PacketType
        for chain in chains
        for fields in ({**top, **clock}, low)
    ]
    capture = tmp_path / "made.pcap"
    write_pcap(capture, [(octets, True) for octets in made])
    assert len(assert_agreement(capture, 0xFFFFFFFF)) == len(made)
