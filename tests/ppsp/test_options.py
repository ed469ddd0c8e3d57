"""The protocol options of a HANDSHAKE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.constants import ChunkAddressing
from ppsp.errors import DecodeError
from ppsp.options import ProtocolOptions

# The initiator's options of the example in RFC 7574 section 8.16.
EXAMPLE = bytes.fromhex("0001 0101 020014 47a013e660d408619d894b20806b1d5086aab03b 0301 0402 0602 0900000400 ff")


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


octet = optional(st.integers(0, 255))
option_lists = st.builds(
    ProtocolOptions,
    version=octet,
    minimum_version=octet,
    swarm_id=optional(st.binary(max_size=100)),
    content_integrity=octet,
    merkle_hash_function=octet,
    live_signature_algorithm=octet,
    chunk_addressing=octet,
    supported_messages=optional(st.frozensets(st.integers(0, 255))),
    chunk_size=optional(st.integers(0, 2**32 - 1)),
) | st.builds(
    ProtocolOptions,
    chunk_addressing=st.sampled_from([0, 2]),
    live_discard_window=st.integers(0, 2**32 - 1),
    chunk_size=octet,
)
option_lists |= st.builds(
    ProtocolOptions, chunk_addressing=st.sampled_from([1, 3, 4]), live_discard_window=st.integers(0, 2**64 - 1)
)


def decoded(text: str) -> ProtocolOptions:
    data = bytes.fromhex(text)
    options, end = ProtocolOptions.decode(data, 0)
    assert end == len(data)
    return options


def test_the_options_of_the_example_decode_and_encode() -> None:
    """Section 8.16."""
    options = ProtocolOptions(
        version=1,
        minimum_version=1,
        swarm_id=bytes.fromhex("47a013e660d408619d894b20806b1d5086aab03b"),
        content_integrity=1,
        merkle_hash_function=2,
        chunk_addressing=2,
        chunk_size=1024,
    )
    assert ProtocolOptions.decode(EXAMPLE, 0) == (options, len(EXAMPLE))
    assert options.encode() == EXAMPLE


@given(option_lists)
def test_decoding_inverts_encoding(options: ProtocolOptions) -> None:
    """Section 7."""
    wire = options.encode()
    assert ProtocolOptions.decode(wire, 0) == (options, len(wire))
    assert ProtocolOptions.decode(memoryview(b"??" + wire + b"!"), 2) == (options, 2 + len(wire))


@given(option_lists)
def test_options_are_written_in_ascending_order_and_end_with_the_end_option(options: ProtocolOptions) -> None:
    """Sections 7 and 7.1: sorted on code value, concluded by the end option."""
    wire = options.encode()
    assert wire[-1] == 255
    codes = []
    offset = 0
    while wire[offset] != 255:
        codes.append(wire[offset])
        sizes = {2: 3 + int.from_bytes(wire[offset + 1 : offset + 3], "big"), 8: 2 + wire[offset + 1], 9: 5}
        sizes[7] = 5 if options.chunk_addressing in (0, 2) else 9
        offset += sizes.get(wire[offset], 2)
    assert codes == sorted(set(codes))
    assert offset == len(wire) - 1


@given(option_lists)
def test_an_option_list_cut_short_is_refused(options: ProtocolOptions) -> None:
    """Section 7.1: a list without its end is no list."""
    wire = options.encode()
    for size in range(len(wire)):
        with pytest.raises(DecodeError):
            ProtocolOptions.decode(wire[:size], 0)


@given(st.binary(max_size=80))
def test_any_octets_are_a_list_of_options_or_refused(octets: bytes) -> None:
    """Section 3: invalid messages are discarded."""
    try:
        options, end = ProtocolOptions.decode(octets, 0)
    except DecodeError:
        return
    assert end <= len(octets)
    assert isinstance(options, ProtocolOptions)


def test_options_out_of_order_are_refused() -> None:
    """Section 7: "MUST be sorted on code value (ascending)"."""
    with pytest.raises(DecodeError, match="option 0 at 2 follows option 1"):
        decoded("0101 0001 ff")


def test_an_option_that_comes_twice_is_refused() -> None:
    """Section 7.4 asks for a single swarm identifier; section 7 for ascending codes."""
    with pytest.raises(DecodeError, match="option 2 at 4 follows option 2"):
        decoded("020001aa 020001aa ff")


@pytest.mark.parametrize("code", [10, 11, 128, 254])
def test_an_unknown_option_is_refused(code: int) -> None:
    """Section 7: what has no known length cannot be skipped."""
    with pytest.raises(DecodeError, match=f"option {code} at 2 is unknown"):
        decoded(f"0001 {code:02x}01 ff")


@pytest.mark.parametrize("options", ["", "0001", "0900000400"])
def test_a_list_without_the_end_option_is_refused(options: str) -> None:
    """Section 7.1: "MUST conclude the list of protocol options with the end option"."""
    with pytest.raises(DecodeError, match="no end option"):
        decoded(options)


def test_an_unassigned_value_of_a_known_option_survives() -> None:
    """Sections 7.2 to 7.8: the handshake refuses it, the codec keeps it."""
    options = decoded("00ff 034d 04fe 0510 0699 ff")
    assert (options.version, options.content_integrity, options.merkle_hash_function) == (255, 0x4D, 0xFE)
    assert (options.live_signature_algorithm, options.chunk_addressing) == (0x10, 0x99)
    assert options.encode().hex() == "00ff034d04fe05100699ff"


@pytest.mark.parametrize("method", [ChunkAddressing.BIN32, ChunkAddressing.CHUNK32])
def test_the_live_discard_window_has_32_bits_with_32_bit_chunk_addressing(method: int) -> None:
    """Section 7.9."""
    assert decoded(f"060{method} 07fffffffe ff").live_discard_window == 0xFFFFFFFE


@pytest.mark.parametrize("method", [ChunkAddressing.BYTE64, ChunkAddressing.BIN64, ChunkAddressing.CHUNK64])
def test_the_live_discard_window_has_64_bits_with_64_bit_chunk_addressing(method: int) -> None:
    """Section 7.9."""
    assert decoded(f"060{method} 07000000010000000f ff").live_discard_window == 0x10000000F


@pytest.mark.parametrize("before", ["", "0001", "0605", "06ff"])
def test_a_live_discard_window_without_a_known_method_before_it_is_refused(before: str) -> None:
    """Section 7.9: "the Chunk Addressing Method MUST appear before it in the list"."""
    with pytest.raises(DecodeError, match="without a known chunk addressing method"):
        decoded(before + "07ffffffff ff")


def test_supported_messages_of_the_text_decode_and_encode() -> None:
    """Section 7.10: "every message except ACKs and PEXs is 11011001 11110000"."""
    everything_else = frozenset({0, 1, 3, 4, 7, 8, 9, 10, 11})
    assert decoded("0802 d9f0 ff").supported_messages == everything_else
    assert ProtocolOptions(supported_messages=everything_else).encode().hex() == "0802d9f0ff"


def test_supported_messages_are_truncated_to_the_last_octet_that_is_not_zero() -> None:
    """Section 7.10."""
    assert ProtocolOptions(supported_messages=frozenset({0})).encode().hex() == "080180ff"
    assert ProtocolOptions(supported_messages=frozenset({255})).encode().hex() == "0820" + "00" * 31 + "01ff"
    assert ProtocolOptions(supported_messages=frozenset()).encode().hex() == "0800ff"


def test_a_bitmap_with_zeros_at_its_end_means_the_same() -> None:
    """Section 7.10: the reader pads with zeros anyway."""
    assert decoded("0803 d9f000 ff") == decoded("0802 d9f0 ff")


def test_a_bitmap_of_256_bits_says_something_about_every_message_type() -> None:
    """Section 7.10: "padding it ... until it is 256 bits in length"."""
    assert decoded("0820" + "ff" * 32 + "ff").supported_messages == frozenset(range(256))


def test_a_bitmap_of_more_than_256_bits_is_refused() -> None:
    """Section 7.10: "variable, max 256"."""
    with pytest.raises(DecodeError, match="Supported Messages of 33 octets"):
        decoded("0821" + "80" * 33 + "ff")


def test_a_length_beyond_the_datagram_is_refused() -> None:
    """Section 7.4: nothing is read or reserved for what is not there."""
    with pytest.raises(DecodeError, match="option 2 at 0 ends at 65538, the datagram at 5"):
        decoded("02ffff aaff")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ProtocolOptions(version=256), "VERSION: 256 does not fit 8 bits"),
        (ProtocolOptions(chunk_addressing=-1), "CHUNK_ADDRESSING_METHOD: -1 does not fit 8 bits"),
        (ProtocolOptions(swarm_id=bytes(65536)), "SWARM_IDENTIFIER: 65536 octets do not fit"),
        (ProtocolOptions(chunk_size=2**32), "CHUNK_SIZE: 4294967296 does not fit 32 bits"),
        (ProtocolOptions(supported_messages=frozenset({256})), "SUPPORTED_MESSAGES: message types are 0 to 255"),
        (ProtocolOptions(supported_messages=frozenset({-1})), "SUPPORTED_MESSAGES: message types are 0 to 255"),
        (ProtocolOptions(live_discard_window=1), "LIVE_DISCARD_WINDOW: its width needs a known"),
        (ProtocolOptions(chunk_addressing=5, live_discard_window=1), "LIVE_DISCARD_WINDOW: its width needs a known"),
        (
            ProtocolOptions(chunk_addressing=2, live_discard_window=2**32),
            "LIVE_DISCARD_WINDOW: 4294967296 does not fit 32",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_our_own_mistake(options: ProtocolOptions, sentence: str) -> None:
    """Section 7: the widths of the options."""
    with pytest.raises(ValueError, match=sentence):
        options.encode()
