"""The framing header, and what is acknowledged with it (RFC 6940 section 6.6.2)."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.errors import DecodeError, EncodeError
from reload.framing import AckFrame, DataFrame, FramedMessage, ReceivedMask, decode_frame, decode_frame_at, encode_frame

numbers = st.integers(0, 2**32 - 1)
frames = st.builds(DataFrame, numbers, st.binary(max_size=40)) | st.builds(AckFrame, numbers, numbers)
WIRE = [
    ("80 00000000 000003 464f4f", DataFrame(0, b"FOO")),
    ("80 01020304 000000", DataFrame(0x01020304, b"")),
    ("80 ffffffff 000100" + "61" * 256, DataFrame(0xFFFFFFFF, b"a" * 256)),
    ("81 00000007 7fffffff", AckFrame(7, 0x7FFFFFFF)),
]


@pytest.mark.parametrize(("wire", "frame"), WIRE)
def test_frames_read_and_write(wire: str, frame: FramedMessage) -> None:
    octets = bytes.fromhex(wire)
    assert encode_frame(frame) == octets
    assert decode_frame(octets) == frame
    for size in range(len(octets)):
        assert decode_frame_at(octets[:size], 0) == (None, 0)
        with pytest.raises(DecodeError):
            decode_frame(octets[:size])
    with pytest.raises(DecodeError, match="1 octets too many"):
        decode_frame(octets + b"\0")


@pytest.mark.parametrize("first", [0, 1, 0x16, 127, 130, 255])
def test_what_is_neither_data_nor_ack_is_refused(first: int) -> None:
    octets = bytes([first]) + bytes(20)
    with pytest.raises(DecodeError, match="neither data nor ack"):
        decode_frame(octets)
    with pytest.raises(DecodeError, match="neither data nor ack"):
        decode_frame_at(octets[:1], 0)


def test_a_stream_is_read_frame_by_frame() -> None:
    stream = b"".join(encode_frame(frame) for _, frame in WIRE)
    found, at = [], 0
    while True:
        frame, at = decode_frame_at(stream, at)
        if frame is None:
            break
        found.append(frame)
    assert found == [frame for _, frame in WIRE]
    assert at == len(stream)


def test_a_message_too_long_shows_as_soon_as_its_length_is_there() -> None:
    head = bytes.fromhex("80 00000000 001389")
    assert decode_frame_at(head, 0, max_message=5001) == (None, 0)
    with pytest.raises(DecodeError, match="5001 octets, at most 5000 are taken"):
        decode_frame_at(head, 0, max_message=5000)


@pytest.mark.parametrize(
    "frame", [AckFrame(2**32, 0), AckFrame(0, -1), DataFrame(2**32, b""), DataFrame(0, bytes(2**24))]
)
def test_what_has_no_octets_is_not_written(frame: FramedMessage) -> None:
    with pytest.raises(EncodeError):
        encode_frame(frame)


@given(frame=frames)
def test_frames_read_as_they_were_written(frame: FramedMessage) -> None:
    assert decode_frame(encode_frame(frame)) == frame


@given(octets=st.binary(max_size=40))
def test_any_octets_are_a_frame_or_a_decode_error(octets: bytes) -> None:
    try:
        frame = decode_frame(octets)
    except DecodeError:
        return
    assert encode_frame(frame) == octets


def masks(sequences: Sequence[int]) -> list[int]:
    """By section 6.6.2 word for word: the 32 received before; N-32 < M < N sets the bit for N-M, bit 0 that of N-1."""
    made = []
    for place, n in enumerate(sequences):
        before = set(sequences[max(place - 32, 0) : place])
        bits = ["1" if n - distance in before and n - 32 < n - distance < n else "0" for distance in range(1, 33)]
        made.append(int("".join(reversed(bits)), 2))
    return made


@pytest.mark.parametrize(
    ("before", "sequence", "received"),
    [
        ([], 0, 0),
        ([0], 1, 0b1),
        ([0, 1], 2, 0b11),
        ([0, 2], 3, 0b101),
        ([0], 31, 1 << 30),
        ([0], 32, 0),
        ([5], 5, 0),
        ([7, 9], 8, 0b1),
        ([0, *range(1, 33)], 33, 0x7FFFFFFF),
        ([1, *[100] * 31], 2, 0b1),
        ([1, *[100] * 32], 2, 0),
        ([0xFFFFFFFF], 0, 0b1),
    ],
)
def test_bit_n_minus_m_minus_1_tells_that_m_was_received(before: list[int], sequence: int, received: int) -> None:
    mask = ReceivedMask()
    for earlier in before:
        mask.acknowledge(earlier)
    assert mask.acknowledge(sequence) == AckFrame(sequence, received)


@given(st.lists(st.integers(0, 60), max_size=90))
def test_the_mask_is_that_of_the_text_in_any_order_with_repetitions(sequences: list[int]) -> None:
    mask = ReceivedMask()
    assert [mask.acknowledge(sequence).received for sequence in sequences] == masks(sequences)


def test_the_mask_is_that_of_the_text_on_a_link_with_loss_and_reordering() -> None:
    chance = random.Random(6940)
    sequences = sorted(
        (n for n in range(3000) if chance.random() > 0.2), key=lambda n: n + chance.uniform(0, 40) * (n % 7 == 0)
    )
    mask = ReceivedMask()
    assert [mask.acknowledge(sequence).received for sequence in sequences] == masks(sequences)
