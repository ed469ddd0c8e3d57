"""The codec against octets that we did not write: the RFC's own example, and a capture of libswift."""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import dpkt
import pytest

from ppsp.codec import Codec, channel_of, decode_handshake
from ppsp.constants import (
    CHANNEL_ID_SIZE,
    HASH_SIZE,
    ChunkAddressing,
    ContentIntegrityProtection,
    MerkleHashFunction,
)
from ppsp.messages import Ack, Data, Handshake, Have, Integrity, Message, PexReq, Request
from ppsp.options import ProtocolOptions

DATA = Path(__file__).parents[1] / "data"
CODEC = Codec(ChunkAddressing.CHUNK32, 32)

ROOT = bytes.fromhex("47a013e660d408619d894b20806b1d5086aab03b")
RESPONDER = ProtocolOptions(version=1, content_integrity=1, merkle_hash_function=2, chunk_addressing=2, chunk_size=1024)
INITIATOR = attrs.evolve(RESPONDER, minimum_version=1, swarm_id=ROOT)
# Section 8.16, datagram by datagram: the octets of its diagrams, the destination channel, the messages.
EXAMPLE: list[tuple[str, int, list[Message]]] = [
    (
        "00000000 00 00000001 0001 0101 020014 47a013e660d408619d894b20806b1d5086aab03b 0301 0402 0602 0900000400 ff",
        0,
        [Handshake(1, INITIATOR)],
    ),
    (
        "00000001 00 00000008 0001 0301 0402 0602 0900000400 ff 03 00000000 00000000",
        1,
        [Handshake(8, RESPONDER), Have(0, 0)],
    ),
    ("00000008 08 00000000 00000000 06", 8, [Request(0, 0), PexReq()]),
    (
        "00000001 01 00000000 00000000 0004e94180b7db44 48656c6c6f20776f726c64210a",
        1,
        [Data(0, 0, 0x0004E94180B7DB44, b"Hello world!\n")],
    ),
    ("00000008 02 00000000 00000000 0000000000000064 03 00000000 00000000", 8, [Ack(0, 0, 100), Have(0, 0)]),
    ("00000008 00 00000000 ff", 8, [Handshake(0)]),
]


@pytest.mark.parametrize(("octets", "channel", "messages"), EXAMPLE)
def test_the_datagrams_of_the_example_decode_and_encode(octets: str, channel: int, messages: list[Message]) -> None:
    """Section 8.16."""
    wire = bytes.fromhex(octets)
    assert channel_of(wire) == channel
    assert CODEC.decode(wire) == (messages, None)
    assert CODEC.encode(channel, messages) == wire


def test_the_example_is_the_one_that_the_shared_vectors_have() -> None:
    """Section 8.16, copied from the RFC twice."""
    shared = json.loads((DATA / "ppsp_vectors.json").read_text())
    assert [bytes.fromhex(octets).hex() for octets, _, _ in EXAMPLE] == shared["rfc7574_8_16_datagrams"]


def test_the_swarm_id_of_the_example_is_the_sha1_of_its_content() -> None:
    """Section 8.16 contradicts itself: it announces SHA-256 and 32 octets, and its prose leaves the line feed out.

    The conformance vectors flag the two as SwarmIdIsSha1 and ContentHas13Octets.
    """
    handshake, _ = decode_handshake(bytes.fromhex(EXAMPLE[0][0]))
    (data,), _ = CODEC.decode(bytes.fromhex(EXAMPLE[3][0]))
    assert isinstance(data, Data)
    assert handshake.options.swarm_id == hashlib.sha1(data.payload).digest()
    assert handshake.options.merkle_hash_function == MerkleHashFunction.SHA256
    assert len(ROOT) != HASH_SIZE[MerkleHashFunction.SHA256]
    assert hashlib.sha1(data.payload[:-1]).digest() != ROOT


def test_the_delay_sample_of_the_example_is_100_microseconds() -> None:
    """Section 8.16 says 100 ms (the vectors' DelayIsMicroseconds); the unit is that of section 8.7."""
    (ack, _), _ = CODEC.decode(bytes.fromhex(EXAMPLE[4][0]))
    assert ack == Ack(0, 0, 100)


@cache
def capture() -> tuple[bytes, ...]:
    """The UDP payloads of a session of a libswift leecher and seeder, in order."""
    with (DATA / "captures" / "libswift.pcap").open("rb") as file:
        frames = [dpkt.ethernet.Ethernet(frame) for _, frame in dpkt.pcap.Reader(file)]
    return tuple(bytes(frame.data.data.data) for frame in frames)


def codec_of(options: ProtocolOptions) -> Codec:
    """libswift predates option 9: its chunk size is the recommended one."""
    assert options.content_integrity == ContentIntegrityProtection.MERKLE_HASH_TREE
    assert options.chunk_addressing is not None
    assert options.merkle_hash_function is not None
    assert options.chunk_size is None
    return Codec(ChunkAddressing(options.chunk_addressing), HASH_SIZE[MerkleHashFunction(options.merkle_hash_function)])


def session() -> Iterator[tuple[bytes, int, Codec, list[Message]]]:
    """Each datagram with its channel, the codec that the handshakes before it ask for, and its messages."""
    codecs: dict[int, Codec] = {}
    for datagram in capture():
        channel = channel_of(datagram)
        if datagram[CHANNEL_ID_SIZE : CHANNEL_ID_SIZE + 1] == b"\0":
            handshake, _ = decode_handshake(datagram)
            codecs[handshake.source_channel] = codec_of(handshake.options)
            if channel == 0:
                codecs[0] = codecs[handshake.source_channel]
        messages, error = codecs[channel].decode(datagram)
        assert error is None
        yield datagram, channel, codecs[channel], messages


def test_every_datagram_of_libswift_decodes_and_encodes_to_the_same_octets() -> None:
    """Section 8."""
    count = 0
    for datagram, channel, codec, messages in session():
        assert codec.encode(channel, messages) == datagram
        count += 1
    assert count == 149


def test_libswift_opens_with_sha1_and_32_bit_chunk_ranges_and_without_a_chunk_size() -> None:
    """Sections 3.1.1, 7.6, 7.8 and 7.11."""
    handshakes = [message for *_, messages in session() for message in messages if isinstance(message, Handshake)]
    assert [handshake.source_channel for handshake in handshakes] == [0xC785F0FC, 0xC777419C]
    for handshake in handshakes:
        options = handshake.options
        assert (options.version, options.minimum_version) == (1, 1)
        assert options.merkle_hash_function == MerkleHashFunction.SHA1
        assert options.chunk_addressing == ChunkAddressing.CHUNK32
        assert options.chunk_size is None
    assert handshakes[0].options.swarm_id == bytes.fromhex("3e20de16b80428648110ef3e705cff9b65ddd6c9")
    assert handshakes[1].options.swarm_id is None


def test_libswift_sends_every_chunk_and_gets_every_one_acknowledged() -> None:
    """Sections 8.6 and 8.7: 64 chunks, as its first HAVE says."""
    messages = [message for *_, found in session() for message in found]
    chunks = {message.start for message in messages if isinstance(message, Data)}
    acknowledged = {chunk for m in messages if isinstance(m, Ack) for chunk in range(m.start, m.end + 1)}
    assert Have(0, 63) in messages
    assert chunks == acknowledged == set(range(64))


def test_a_leaf_hash_of_libswift_is_the_sha1_of_its_chunk() -> None:
    """Sections 5.1 and 8.8: the payload and the hash start and end where they should."""
    messages = [message for *_, found in session() for message in found]
    leaves = {m.start: m.hash for m in messages if isinstance(m, Integrity) and m.start == m.end}
    chunks = {m.start: bytes(m.payload) for m in messages if isinstance(m, Data)}
    assert len(leaves) >= 16
    assert all(hashlib.sha1(chunks[chunk]).digest() == digest for chunk, digest in leaves.items())


def test_the_session_of_libswift_has_handshakes_first_and_keep_alives_last() -> None:
    """Sections 8.2 and 8.14: which messages there are, and datagrams of four octets with none."""
    found = [messages for *_, messages in session()]
    kinds = {type(message) for messages in found for message in messages}
    assert kinds == {Handshake, Have, Integrity, Data, Ack, Request, PexReq}
    assert [type(messages[0]) for messages in found[:3]] == [Handshake, Handshake, Request]
    assert [len(datagram) for datagram in capture()].count(CHANNEL_ID_SIZE) == found.count([]) == 18
    assert found[-1] == []
