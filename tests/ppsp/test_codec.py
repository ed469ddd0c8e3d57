"""Datagrams to messages and back."""

import struct

import pytest

from ppsp._addressing import LAYOUT
from ppsp.codec import Codec, channel_of, decode_handshake
from ppsp.constants import HASH_SIZE, VARIABLE_CHUNK_SIZE, ChunkAddressing, MessageType
from ppsp.errors import DecodeError
from ppsp.messages import (
    Ack,
    Cancel,
    Choke,
    Data,
    Handshake,
    Have,
    Integrity,
    Message,
    PexReq,
    PexResCert,
    PexResV4,
    PexResV6,
    Request,
    SignedIntegrity,
    Unchoke,
)
from ppsp.options import ProtocolOptions

CHUNK32 = Codec(ChunkAddressing.CHUNK32, 32, 64, 1024)
CHUNK_SIZE = 16
HASH = bytes(range(32))
SIGNATURE = bytes(range(64))


def decoded(codec: Codec, text: str) -> list[Message]:
    """The messages of well-formed octets, which stand behind some channel ID."""
    messages, error = codec.decode(bytes(4) + bytes.fromhex(text))
    assert error is None
    return messages


def refused(codec: Codec, text: str) -> tuple[list[Message], str]:
    messages, error = codec.decode(bytes(4) + bytes.fromhex(text))
    assert isinstance(error, DecodeError)
    return messages, str(error)


# Octets from the diagrams of section 8, for 32-bit chunk ranges.
DIAGRAMS = [
    ("03 00000001 00000004", Have(1, 4)),
    ("01 00000005 00000005 0004e94180b7db44 c0ffee", Data(5, 5, 0x4E94180B7DB44, b"\xc0\xff\xee")),
    ("02 00000001 00000004 0000000000000064", Ack(1, 4, 100)),
    ("04 00000000 00000003" + HASH.hex(), Integrity(0, 3, HASH)),
    ("07 00000004 00000005 e94180b700000001" + SIGNATURE.hex(), SignedIntegrity(4, 5, 0xE94180B700000001, SIGNATURE)),
    ("08 00000002 0000000a", Request(2, 10)),
    ("09 00000002 00000002", Cancel(2, 2)),
    ("0a", Choke()),
    ("0b", Unchoke()),
    ("06", PexReq()),
    ("05 c0000201 1a7a", PexResV4(bytes([192, 0, 2, 1]), 6778)),
    (
        "0c 20010db8000000000000000000000001 1a7a",
        PexResV6(bytes.fromhex("20010db8000000000000000000000001"), 6778),
    ),
    ("0d 0003 308201", PexResCert(bytes.fromhex("308201"))),
    ("00 00000001 0001 ff", Handshake(1, ProtocolOptions(version=1))),
]


@pytest.mark.parametrize(("octets", "message"), DIAGRAMS, ids=[type(message).__name__ for _, message in DIAGRAMS])
def test_each_message_stands_on_the_wire_as_its_diagram_shows(octets: str, message: Message) -> None:
    """Sections 8.4 to 8.13: integers in network byte order."""
    assert decoded(CHUNK32, octets) == [message]
    assert CHUNK32.encode(0, [message]) == bytes(4) + bytes.fromhex(octets)


def test_there_is_a_diagram_of_every_message() -> None:
    """Section 8.2."""
    assert {message.message_type for _, message in DIAGRAMS} == set(MessageType)


@pytest.mark.parametrize(
    ("method", "octets"),
    [
        (ChunkAddressing.BIN32, "03 00000009"),
        (ChunkAddressing.BYTE64, "03 0000000000000004 0000000000000005"),
        (ChunkAddressing.CHUNK32, "03 00000004 00000005"),
        (ChunkAddressing.BIN64, "03 0000000000000009"),
        (ChunkAddressing.CHUNK64, "03 0000000000000004 0000000000000005"),
    ],
)
def test_the_chunk_addressing_method_gives_the_chunk_specification(method: ChunkAddressing, octets: str) -> None:
    """Sections 4.1, 4.2 and 8.5; bin 9 of Figure 2 is chunks 4 and 5."""
    codec = Codec(method, 32)
    assert decoded(codec, octets) == [Have(4, 5)]
    assert codec.encode(0, [Have(4, 5)]) == bytes(4) + bytes.fromhex(octets)


def test_the_have_of_the_text_is_bin_1() -> None:
    """Section 8.2: "0300000001"."""
    codec = Codec(ChunkAddressing.BIN32, 32)
    assert decoded(codec, "0300000001") == [Have(0, 1)]
    assert codec.encode(0, [Have(0, 1)])[4:].hex() == "0300000001"


@pytest.mark.parametrize("size", sorted(HASH_SIZE.values()))
def test_the_hash_of_an_integrity_has_the_size_of_the_hash_function(size: int) -> None:
    """Section 8.8: the format of the hash depends on the protocol options."""
    codec = Codec(ChunkAddressing.CHUNK32, size)
    digest = bytes(range(size))
    assert decoded(codec, "04 00000000 00000001" + digest.hex() + "0a") == [Integrity(0, 1, digest), Choke()]


@pytest.mark.parametrize("size", [64, 96, 128, 256, 512])
def test_the_signature_has_the_size_that_the_swarm_gives_it(size: int) -> None:
    """Section 8.9: 64 and 96 octets with ECDSA, those of the modulus with RSA."""
    codec = Codec(ChunkAddressing.CHUNK32, 32, size)
    signature = bytes(index % 256 for index in range(size))
    octets = "07 00000000 00000001 0000000000000001" + signature.hex() + "0a"
    assert decoded(codec, octets) == [SignedIntegrity(0, 1, 1, signature), Choke()]


def test_messages_come_in_the_order_of_the_datagram() -> None:
    """Section 3: "MUST be processed in the strict order in which they appear"."""
    messages = [Choke(), Have(3, 4), Unchoke(), Have(1, 2), Choke()]
    assert CHUNK32.decode(CHUNK32.encode(1, messages)) == (messages, None)


def test_the_messages_before_an_unknown_one_count_and_those_after_it_do_not() -> None:
    """Section 3: "the remaining messages MUST be discarded"."""
    messages, error = refused(CHUNK32, "03 00000000 00000001 0e 0a")
    assert messages == [Have(0, 1)]
    assert error == "message type 14 at 13 is unknown, and so is its length"


@pytest.mark.parametrize("kind", [14, 100, 254, 255])
def test_message_types_that_are_unassigned_or_reserved_are_refused(kind: int) -> None:
    """Section 8.2, Table 7."""
    assert refused(CHUNK32, f"{kind:02x}")[0] == []


def test_a_message_cut_short_is_refused_with_what_and_where() -> None:
    """Section 3."""
    assert refused(CHUNK32, "0a 03 00000000 000001") == ([Choke()], "HAVE: need 9 octets at 5, have 8")
    assert refused(CHUNK32, "05 c0000201 1a") == ([], "PEX_RESV4: need 7 octets at 4, have 6")
    assert refused(CHUNK32, "0d 0003 3082") == ([], "PEX_RESCERT: need 6 octets at 4, have 5")


@pytest.mark.parametrize("kind", [2, 3, 4, 7, 8, 9])
@pytest.mark.parametrize("method", [ChunkAddressing.CHUNK32, ChunkAddressing.CHUNK64, ChunkAddressing.BYTE64])
def test_a_range_that_ends_before_it_starts_is_refused(kind: int, method: ChunkAddressing) -> None:
    """Section 4.1: a range of chunks, end inclusive."""
    codec = Codec(method, 32, 64)
    backwards = struct.pack(">" + LAYOUT[method].fields, 2, 1)
    messages, error = refused(codec, bytes([kind]).hex() + backwards.hex() + bytes(100).hex())
    assert messages == []
    assert error == f"{MessageType(kind).name}: 2 to 1 at 4 is no range"


@pytest.mark.parametrize(
    ("method", "none"), [(ChunkAddressing.BIN32, "ffffffff"), (ChunkAddressing.BIN64, "ffffffffffffffff")]
)
def test_the_bin_of_the_empty_interval_is_refused(method: ChunkAddressing, none: str) -> None:
    """Section 4.2: it denotes no chunk that a message could be about."""
    codec = Codec(method, 32)
    for kind in ("03", "08", "02", "01"):
        messages, error = refused(codec, kind + none + bytes(40).hex())
        assert messages == []
        assert "denotes no chunks" in error


def test_the_bin_of_everything_is_all_chunks_that_bins_can_denote() -> None:
    """Section 4.2: whoever knows the content's size cuts it to that."""
    bin32, bin64 = Codec(ChunkAddressing.BIN32, 32), Codec(ChunkAddressing.BIN64, 32)
    assert decoded(bin32, "03 7fffffff") == [Have(0, 2**31 - 1)]
    assert decoded(bin64, "03 7fffffffffffffff") == [Have(0, 2**63 - 1)]
    assert bin32.encode(0, [Have(0, 2**31 - 1)])[4:].hex() == "037fffffff"


def test_a_handshake_that_is_not_the_first_message_is_refused() -> None:
    """Section 3.1: "MUST always be the first message in a datagram"."""
    messages, error = refused(CHUNK32, "0a 00 00000001 0001 ff 0a")
    assert messages == [Choke()]
    assert error.startswith("HANDSHAKE: at 5")


def test_the_rest_of_a_handshake_datagram_cannot_start_with_another_handshake() -> None:
    """Section 3.1: also where the first was read on its own, before its swarm was known."""
    datagram = bytes(4) + bytes.fromhex("00 00000001 0001 ff") * 2
    _, behind = decode_handshake(datagram)
    messages, error = CHUNK32.decode(datagram, behind)
    assert messages == []
    assert error is not None


def test_a_handshake_is_read_without_knowledge_of_the_swarm() -> None:
    """Section 8.4; what follows the end option are messages (section 7.1)."""
    datagram = bytes(4) + bytes.fromhex("00 00000001 0001 ff 0a")
    handshake, behind = decode_handshake(datagram)
    assert handshake == Handshake(1, ProtocolOptions(version=1))
    assert CHUNK32.decode(datagram, behind) == ([Choke()], None)


def test_a_datagram_that_starts_with_another_message_has_no_handshake() -> None:
    """Section 3.1.1."""
    with pytest.raises(DecodeError, match="the message at 4 is of type 3"):
        decode_handshake(bytes(4) + bytes.fromhex("03 00000000 00000001"))


def test_a_closing_handshake_is_accepted_with_and_without_the_end_option() -> None:
    """Sections 8.4 ("MUST either be empty") and 7.1 ("MUST conclude the list"): both readings are met with."""
    assert decoded(CHUNK32, "00 00000000 ff") == [Handshake(0)]
    assert decoded(CHUNK32, "00 00000000") == [Handshake(0)]


def test_a_closing_handshake_is_sent_with_the_end_option() -> None:
    """Section 7.1, as in the example of section 8.16."""
    assert CHUNK32.encode(8, [Handshake(0)]).hex() == "000000080000000000ff"


def test_a_closing_handshake_may_carry_the_maximum_version_and_nothing_else() -> None:
    """Section 8.4."""
    assert CHUNK32.encode(8, [Handshake(0, ProtocolOptions(version=1))])[4:].hex() == "00000000000001ff"
    with pytest.raises(ValueError, match="no option but the version"):
        CHUNK32.encode(8, [Handshake(0, ProtocolOptions(version=1, chunk_size=1024))])


def test_an_opening_handshake_without_the_end_option_is_refused() -> None:
    """Section 7.1."""
    assert refused(CHUNK32, "00 00000001 0001")[0] == []


def test_a_datagram_of_a_channel_id_only_holds_no_message() -> None:
    """Section 8.14: a keep-alive."""
    assert CHUNK32.encode(0xC785F0FC, []).hex() == "c785f0fc"
    assert CHUNK32.decode(bytes.fromhex("c785f0fc")) == ([], None)
    assert channel_of(bytes.fromhex("c785f0fc")) == 0xC785F0FC


@pytest.mark.parametrize("size", range(4))
def test_a_datagram_shorter_than_a_channel_id_is_refused(size: int) -> None:
    """Section 8.3."""
    with pytest.raises(DecodeError, match=f"need 4 octets at 0, have {size}"):
        channel_of(bytes(size))


def test_the_payload_of_a_data_is_a_view_of_the_datagram() -> None:
    """No copy is made of it."""
    datagram = bytearray(CHUNK32.encode(1, [Data(0, 0, 0, b"chunk")]))
    (data,), _ = CHUNK32.decode(memoryview(datagram))
    datagram[-5:] = b"other"
    assert isinstance(data, Data)
    assert data.payload == b"other"


def test_several_data_of_full_chunks_share_a_datagram() -> None:
    """Section 8.6: allowed where the chunk size is fixed; the last one may be the short one."""
    codec = Codec(ChunkAddressing.CHUNK32, 32, 0, CHUNK_SIZE)
    messages: list[Message] = [
        Data(0, 0, 1, bytes(CHUNK_SIZE)),
        Integrity(1, 1, HASH),
        Data(1, 1, 2, bytes(CHUNK_SIZE)),
        Data(2, 2, 3, b"short"),
    ]
    assert codec.decode(codec.encode(1, messages)) == (messages, None)


def test_a_data_of_variable_chunk_size_takes_the_rest_of_the_datagram() -> None:
    """Sections 7.11 and 8.6."""
    codec = Codec(ChunkAddressing.CHUNK32, 32, 0, VARIABLE_CHUNK_SIZE)
    data = Data(0, 0, 1, bytes(5000))
    assert codec.decode(codec.encode(1, [Choke(), data])) == ([Choke(), data], None)
    with pytest.raises(ValueError, match="nothing can follow"):
        codec.encode(1, [data, data])


def test_a_data_under_byte_ranges_takes_as_much_as_its_range_says() -> None:
    """Sections 4.1.2 and 8.6."""
    codec = Codec(ChunkAddressing.BYTE64, 32, 0, CHUNK_SIZE)
    short = "01 0000000000000010 0000000000000012 0000000000000001 aabbcc"
    assert decoded(codec, short + "0a") == [Data(16, 18, 1, b"\xaa\xbb\xcc"), Choke()]
    assert refused(codec, short[:-2]) == ([], "DATA: need 28 octets at 4, have 27")


def test_a_data_of_variable_chunks_under_byte_ranges_may_start_anywhere() -> None:
    """Sections 4.1.2 and 7.11."""
    codec = Codec(ChunkAddressing.BYTE64, 32, 0, VARIABLE_CHUNK_SIZE)
    assert codec.decode(codec.encode(1, [Data(5, 7, 1, b"abc")])) == ([Data(5, 7, 1, b"abc")], None)


@pytest.mark.parametrize(
    ("method", "specification"),
    [
        (ChunkAddressing.CHUNK32, "00000000 00000001"),
        (ChunkAddressing.CHUNK32, "00000001 00000000"),
        (ChunkAddressing.CHUNK64, "0000000000000000 0000000000000001"),
        (ChunkAddressing.BIN32, "00000001"),
        (ChunkAddressing.BIN64, "0000000000000003"),
        (ChunkAddressing.BYTE64, "0000000000000000 0000000000000010"),
        (ChunkAddressing.BYTE64, "0000000000000001 0000000000000004"),
        (ChunkAddressing.BYTE64, "0000000000000010 000000000000000f"),
        (ChunkAddressing.BYTE64, "0000000000000010 0000000000000000"),
    ],
)
def test_a_data_of_anything_but_a_single_chunk_is_refused(method: ChunkAddressing, specification: str) -> None:
    """Section 8.6: "describing the single chunk"."""
    codec = Codec(method, 32, 0, CHUNK_SIZE)
    messages, error = refused(codec, "0a 01" + specification + bytes(8 + 2 * CHUNK_SIZE).hex())
    assert messages == [Choke()]
    assert "DATA" in error
    assert "not one chunk" in error


@pytest.mark.parametrize("method", list(ChunkAddressing))
def test_a_data_without_a_chunk_is_refused(method: ChunkAddressing) -> None:
    """Section 8.6: no chunk is empty."""
    header = Codec(method, 32).data_header(0, 0, 0, 1)
    messages, error = Codec(method, 32).decode(header)
    assert messages == []
    assert error is not None


def test_hashes_and_signatures_are_refused_where_the_swarm_has_none() -> None:
    """Sections 7.5, 8.8 and 8.9: without them their length is unknown."""
    codec = Codec(ChunkAddressing.CHUNK32, 0)
    assert refused(codec, "0a 04" + bytes(100).hex()) == ([Choke()], "INTEGRITY: at 5, in a swarm that has none")
    assert refused(codec, "07" + bytes(100).hex()) == ([], "SIGNED_INTEGRITY: at 4, in a swarm that has none")


@pytest.mark.parametrize("method", list(ChunkAddressing))
@pytest.mark.parametrize("hashes", [0, 1, 2, 10])
def test_a_data_header_and_its_payload_are_the_datagram(method: ChunkAddressing, hashes: int) -> None:
    """Sections 5.4 and 8.6: INTEGRITY messages go before the DATA."""
    codec = Codec(method, 32, 0, CHUNK_SIZE)
    start, end = (32, 47) if method is ChunkAddressing.BYTE64 else (2, 2)
    integrity = [(8 * index, 8 * index + 7, HASH) for index in range(hashes)]
    payload = bytes(CHUNK_SIZE)
    header = codec.data_header(0xC785F0FC, start, end, 2**64 - 1, integrity)
    messages: list[Message] = [*(Integrity(*each) for each in integrity), Data(start, end, 2**64 - 1, payload)]
    assert codec.decode(header + payload) == (messages, None)
    assert header + payload == codec.encode(0xC785F0FC, messages)


def test_delays_and_timestamps_are_unsigned_numbers_of_64_bits() -> None:
    """Sections 8.6 and 8.7: a negative delay between two clocks is sent modulo 2**64."""
    assert decoded(CHUNK32, "02 00000000 00000000 ffffffffffffff9c") == [Ack(0, 0, 2**64 - 100)]
    with pytest.raises(ValueError, match="ACK: -100 does not fit 64 bits"):
        CHUNK32.encode(0, [Ack(0, 0, -100)])


MISTAKES: list[tuple[Message, str]] = [
    (Have(5, 4), "HAVE: CHUNK32 denotes no range 5 to 4"),
    (Have(0, 2**32), "HAVE: CHUNK32 denotes no range 0 to 4294967296"),
    (Request(-1, 4), "REQUEST: CHUNK32 denotes no range -1 to 4"),
    (Ack(0, 2**32, 0), "ACK: CHUNK32 denotes no range 0 to 4294967296"),
    (Ack(0, 0, 2**64), "ACK: 18446744073709551616 does not fit 64 bits"),
    (Integrity(0, 0, bytes(20)), "INTEGRITY: a hash of 20 octets, the swarm's have 32"),
    (SignedIntegrity(0, 1, 0, bytes(63)), "SIGNED_INTEGRITY: a signature of 63 octets, the swarm's have 64"),
    (SignedIntegrity(0, 1, -1, SIGNATURE), "SIGNED_INTEGRITY: -1 does not fit 64 bits"),
    (Data(0, 1, 0, b"x"), "DATA: 0 to 1 is not one chunk"),
    (Data(0, 0, -1, b"x"), "DATA: -1 does not fit 64 bits"),
    (Data(0, 0, 0, b""), "DATA: a payload of 0 octets where a chunk has 1 to 1024"),
    (Data(0, 0, 0, bytes(1025)), "DATA: a payload of 1025 octets where a chunk has 1 to 1024"),
    (PexResV4(bytes(16), 1), "PEX_RESV4: an address of 16 octets, not 4"),
    (PexResV6(bytes(4), 1), "PEX_RESV6: an address of 4 octets, not 16"),
    (PexResV4(bytes(4), 65536), "PEX_RESV4: port 65536 does not fit 16 bits"),
    (PexResCert(bytes(65536)), "PEX_RESCERT: a certificate of 65536 octets does not fit its 16-bit size"),
    (Handshake(2**32), "HANDSHAKE: channel ID 4294967296 does not fit 32 bits"),
    (Handshake(1, ProtocolOptions(version=256)), "option VERSION: 256 does not fit 8 bits"),
]


@pytest.mark.parametrize(("message", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_a_message_that_does_not_fit_the_wire_is_our_own_mistake(message: Message, sentence: str) -> None:
    """Section 8: the widths of the fields."""
    with pytest.raises(ValueError) as caught:
        CHUNK32.encode(0, [message])
    assert str(caught.value) == sentence


@pytest.mark.parametrize("end", [2, 2**31, 2**32 - 1])
def test_a_range_that_is_no_bin_is_our_own_mistake(end: int) -> None:
    """Section 4.2: with bins there is one HAVE for each; all ones would be the empty interval."""
    with pytest.raises(ValueError, match=r"no range|no bin"):
        Codec(ChunkAddressing.BIN32, 32).encode(0, [Have(0, end)])


def test_a_payload_that_is_not_its_byte_range_is_our_own_mistake() -> None:
    """Section 4.1.2."""
    codec = Codec(ChunkAddressing.BYTE64, 32, 0, CHUNK_SIZE)
    with pytest.raises(ValueError, match="a payload of 3 octets for the octets 0 to 3"):
        codec.encode(0, [Data(0, 3, 0, b"abc")])
    with pytest.raises(ValueError, match="1 to 16 is not one chunk"):
        codec.encode(0, [Data(1, 16, 0, bytes(16))])


@pytest.mark.parametrize("channel", [-1, 2**32])
def test_a_channel_id_that_does_not_fit_is_our_own_mistake(channel: int) -> None:
    """Section 8.3: 4 octets."""
    with pytest.raises(ValueError, match=f"channel ID {channel} does not fit 32 bits"):
        CHUNK32.encode(channel, [])
    with pytest.raises(ValueError, match="does not fit 32 bits"):
        CHUNK32.data_header(channel, 0, 0, 0)


def test_messages_in_an_order_that_could_not_be_read_back_are_our_own_mistake() -> None:
    """Sections 3.1 and 8.6."""
    full, short = Data(0, 0, 0, bytes(1024)), Data(1, 1, 0, b"short")
    with pytest.raises(ValueError, match="HANDSHAKE: must be the first message"):
        CHUNK32.encode(0, [Choke(), Handshake(1)])
    with pytest.raises(ValueError, match="DATA: nothing can follow a chunk that is shorter"):
        CHUNK32.encode(0, [short, full])
    with pytest.raises(ValueError, match="DATA: must be in the tail"):
        CHUNK32.encode(0, [full, Choke()])


def test_a_data_header_that_does_not_fit_is_our_own_mistake() -> None:
    """Sections 5.4 and 8.6."""
    with pytest.raises(ValueError, match="DATA: 0 to 1 is not one chunk"):
        CHUNK32.data_header(0, 0, 1, 0)
    with pytest.raises(ValueError, match="INTEGRITY: a hash of 20 octets"):
        CHUNK32.data_header(0, 0, 0, 0, [(0, 1, bytes(20))])
    with pytest.raises(ValueError, match="INTEGRITY: a hash of 32 octets, the swarm's have 0"):
        Codec(ChunkAddressing.CHUNK32, 0).data_header(0, 0, 0, 0, [(0, 1, HASH)])


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((33, 0, 1024), "no Merkle hash function has 33 octets"),
        ((32, -1, 1024), "a signature cannot have -1 octets"),
        ((32, 0, 0), "a chunk size of 0 octets"),
        ((32, 0, 2**32), "a chunk size of 4294967296 octets"),
    ],
)
def test_a_codec_for_a_swarm_that_cannot_be_is_our_own_mistake(sizes: tuple[int, int, int], sentence: str) -> None:
    """Sections 7.6 and 7.11."""
    with pytest.raises(ValueError, match=sentence):
        Codec(ChunkAddressing.CHUNK32, *sizes)
