"""The packet codec against the BEP's layouts, captures of libtorrent, and any octets at all."""

import struct
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledbat.errors import DecodeError, StateError
from ledbat.utp.packet import (
    HEADER_SIZE,
    Packet,
    PacketType,
    bits,
    decode,
    encode,
    is_sample,
    sack_octets,
    skip_extensions,
)

_CAPTURES = Path(__file__).resolve().parents[1] / "data" / "captures"
_U16 = st.integers(0, 0xFFFF)
_U32 = st.integers(0, 0xFFFFFFFF)
_PACKETS = st.builds(
    Packet,
    type=st.sampled_from(PacketType),
    connection_id=_U16,
    seq_nr=_U16,
    ack_nr=_U16,
    timestamp=_U32,
    timestamp_difference=_U32,
    wnd_size=_U32,
    extensions=st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=40)), max_size=4).map(tuple),
    payload=st.binary(max_size=60),
)


def _captured(name: str) -> Iterator[bytes]:
    with (_CAPTURES / name).open("rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            yield bytes(dpkt.ethernet.Ethernet(frame).data.data.data)


@pytest.mark.parametrize(
    ("name", "count"), [("libtorrent_clean_150k.pcap", 149), ("libtorrent_loss_60k.pcap", 193)], ids=["clean", "loss"]
)
def test_every_captured_packet_of_libtorrent_decodes_and_encodes_to_the_same_octets(name: str, count: int) -> None:
    datagrams = list(_captured(name))
    assert len(datagrams) == count
    for datagram in datagrams:
        packet = decode(datagram)
        assert encode(packet) == datagram
        # The fields once more, read by hand from the BEP's diagram.
        fields = struct.unpack(">BBHIIIHH", datagram[:20])
        assert fields[0] == packet.type * 16 + 1
        assert fields[2:] == (
            packet.connection_id,
            packet.timestamp,
            packet.timestamp_difference,
            packet.wnd_size,
            packet.seq_nr,
            packet.ack_nr,
        )


def test_the_lossy_capture_has_selective_acknowledgements_of_one_octet() -> None:
    sacks = [decode(datagram).selective_ack for datagram in _captured("libtorrent_loss_60k.pcap")]
    assert {len(sack) for sack in sacks if sack is not None} == {1, 2}


def test_a_packet_is_laid_out_as_in_the_header_format() -> None:
    """BEP 29, header format: type in the upper four bits, all fields big-endian."""
    wire = bytes.fromhex("21 00 1234 01020304 05060708 090a0b0c fffe 0001")
    assert decode(wire) == Packet(
        type=PacketType.STATE,
        connection_id=0x1234,
        timestamp=0x01020304,
        timestamp_difference=0x05060708,
        wnd_size=0x090A0B0C,
        seq_nr=0xFFFE,
        ack_nr=1,
    )


def test_the_chain_of_extensions_is_linked_by_the_type_of_the_next() -> None:
    """BEP 29, extension: the header names the first, each extension the next, 0 ends the list."""
    wire = bytes.fromhex("2101 0001 00000000 00000000 00000000 0001 0001  0904 01000080  0003 aabbcc") + b"rest"
    packet = decode(wire)
    assert packet.extensions == ((1, bytes.fromhex("01000080")), (9, bytes.fromhex("aabbcc")))
    assert packet.selective_ack == bytes.fromhex("01000080")
    assert bytes(packet.payload) == b"rest"
    assert skip_extensions(wire, 1) == (len(wire) - 4, 1 | 1 << 31)
    assert encode(packet) == wire


def test_unknown_extensions_are_skipped_by_their_length() -> None:
    """BEP 29, extension: "Unknown extensions can be skipped by simply advancing len bytes"."""
    wire = bytes.fromhex("01ff 0001 00000000 00000000 00000000 0001 0001  00 05 0102030405") + b"payload"
    assert skip_extensions(wire, 0xFF) == (27, 0)
    assert bytes(decode(wire).payload) == b"payload"
    assert decode(wire).selective_ack is None


def test_the_least_significant_bit_of_a_selective_ack_is_ack_nr_plus_2() -> None:
    """BEP 29, Selective ACK: the layout "9 8 ... 3 2 | 17 ... 10 | ..."."""
    assert sack_octets(1) == b"\x01\0\0\0"
    assert sack_octets(1 << 7) == b"\x80\0\0\0"
    assert sack_octets(1 << 8) == b"\0\x01\0\0"
    assert bits(int.from_bytes(b"\x81\x02\0\0", "little")) == [0, 7, 9]


@pytest.mark.parametrize(("bit", "size"), [(0, 4), (31, 4), (32, 8), (63, 8), (64, 12), (1023, 128), (5000, 128)])
def test_a_selective_ack_is_sent_in_multiples_of_four_octets(bit: int, size: int) -> None:
    """BEP 29, Selective ACK: "must be at least 4, and in multiples of 4"."""
    assert len(sack_octets(1 << bit)) == size


def test_an_empty_selective_ack_says_nothing() -> None:
    wire = encode(Packet(type=PacketType.STATE, connection_id=1, seq_nr=1, ack_nr=1, extensions=((1, b""),)))
    assert skip_extensions(wire, 1) == (22, 0)


@pytest.mark.parametrize("version", [0, 2, 15])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(DecodeError, match="version"):
        decode(bytes([0x20 | version]) + bytes(19))


@pytest.mark.parametrize("kind", range(5, 16))
def test_an_unknown_type_is_refused(kind: int) -> None:
    with pytest.raises(DecodeError, match="type"):
        decode(bytes([kind << 4 | 1]) + bytes(19))


@pytest.mark.parametrize("sample", [0, 0x7FFFFFFF])
def test_0_and_int_max_are_no_delay_samples(sample: int) -> None:
    assert not is_sample(sample)
    assert is_sample(sample + 1)


@given(_PACKETS)
def test_what_is_encoded_decodes_to_the_same(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


@given(_PACKETS)
def test_a_packet_cut_in_its_header_or_extensions_is_refused(packet: Packet) -> None:
    wire = encode(packet)
    for length in range(len(wire) - len(packet.payload)):
        with pytest.raises(DecodeError):
            decode(wire[:length])


@given(st.binary(max_size=80), st.booleans())
def test_any_octets_are_a_packet_or_a_decode_error(data: bytes, look_like_utp: bool) -> None:
    if look_like_utp and data:
        data = bytes([data[0] % 5 << 4 | 1]) + data[1:]
    try:
        packet = decode(memoryview(data))
    except DecodeError:
        return
    assert encode(packet) == data
    payload, mask = skip_extensions(data, data[1])
    assert data[payload:] == packet.payload
    assert mask.bit_length() <= 8 * 255
    assert len(data) >= HEADER_SIZE


@pytest.mark.parametrize(
    "change",
    [
        {"connection_id": 0x10000},
        {"seq_nr": -1},
        {"ack_nr": 0x10000},
        {"timestamp": 1 << 32},
        {"timestamp_difference": -1},
        {"wnd_size": 1 << 32},
        {"extensions": ((0, b""),)},
        {"extensions": ((256, b""),)},
        {"extensions": ((1, bytes(256)),)},
    ],
    ids=str,
)
def test_a_field_out_of_range_is_not_written(change: dict[str, object]) -> None:
    fields: dict[str, object] = {"type": PacketType.DATA, "connection_id": 1, "seq_nr": 1, "ack_nr": 1} | change
    with pytest.raises(StateError):
        encode(Packet(**fields))  # type: ignore[arg-type]


@given(st.integers(0, (1 << 1024) - 1))
def test_a_mask_survives_its_octets(mask: int) -> None:
    assert int.from_bytes(sack_octets(mask), "little") == mask
    assert sum(1 << bit for bit in bits(mask)) == mask
