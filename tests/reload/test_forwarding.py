"""What a peer on the way does to the octets of a message (RFC 6940 sections 6.1.2, 6.3.2 and 6.7)."""

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.destinations import NodeDestination, OpaqueDestination, ResourceDestination
from reload.errors import EncodeError
from reload.forwarding import MIN_FRAGMENT, VIA_ROOM, forward, fragment
from reload.header import UNFRAGMENTED, ForwardingHeader, ForwardingOption, decode_header, encode_header

A, B, C, D = (NodeDestination(letter * 16) for letter in (b"A", b"B", b"C", b"D"))
RESOURCE = ResourceDestination(b"R" * 16)
OPTION = ForwardingOption(type=1, flags=5, value=b"xyz")


def message(size: int, *, via: int = 1, field: int = UNFRAGMENTED) -> bytes:
    """A message with a payload of so many octets, which never repeat in step with its fragments."""
    header = ForwardingHeader(
        1, 2, (B, RESOURCE), via_list=(A,) * via, options=(OPTION,), configuration_sequence=3, fragment=field
    )
    payload = random.Random(size).randbytes(size)
    return encode_header(header, size) + payload


def test_forwarding_changes_the_lists_the_ttl_and_the_length_and_nothing_else() -> None:
    data = message(100)
    header, start = decode_header(data)
    passed_on = forward(data, header, start, via_list=(A, C), destination_list=(RESOURCE,))
    changed, at = decode_header(passed_on)
    assert passed_on[at:] == data[start:]
    assert changed == attrs.evolve(
        header, via_list=(A, C), destination_list=(RESOURCE,), ttl=99, length=len(data) + 18 - 18
    )


def test_a_fragment_is_forwarded_like_a_message() -> None:
    data = message(300, field=0x80000400)
    header, start = decode_header(data)
    changed, at = decode_header(forward(data, header, start, via_list=(A, C, D), destination_list=(B, RESOURCE)))
    assert (changed.fragment, changed.length, changed.via_list) == (0x80000400, len(data) + 36, (A, C, D))
    assert at == start + 36


def test_list_compression_replaces_entries_by_an_opaque_id() -> None:
    data = message(50, via=3)
    header, start = decode_header(data)
    opaque = OpaqueDestination(b"\x80\x01", is_compact=True)
    changed, _ = decode_header(forward(data, header, start, via_list=(opaque,), destination_list=(RESOURCE,)))
    assert changed.via_list == (opaque,)
    assert changed.length == len(data) - 3 * 18 + 2 - 18


def test_a_message_without_hops_left_is_not_forwarded() -> None:
    data = encode_header(ForwardingHeader(1, 2, (B,), ttl=0), 0)
    header, start = decode_header(data)
    with pytest.raises(EncodeError):
        forward(data, header, start, via_list=(), destination_list=(B,))


def test_lists_that_outgrow_their_lengths_are_not_forwarded() -> None:
    data = message(10)
    header, start = decode_header(data)
    with pytest.raises(EncodeError):
        forward(data, header, start, via_list=(A,) * 4000, destination_list=(B,))


def parts_of(fragments: list[bytes]) -> list[tuple[ForwardingHeader, bytes]]:
    found = []
    for octets in fragments:
        header, start = decode_header(octets)
        found.append((header, octets[start:]))
    return found


def test_a_message_that_fits_stays_whole() -> None:
    data = message(1000)
    assert fragment(data, len(data)) == [data]


@pytest.mark.parametrize("size", [1020, 1500, 2000, 4900, 60_000])
def test_fragments_are_of_one_size_with_the_whole_header_and_leave_room_for_32_octets(size: int) -> None:
    data = message(size)
    header, start = decode_header(data)
    mtu = 1100
    fragments = fragment(data, mtu)
    parts = parts_of(fragments)
    at = 0
    for number, (part, payload) in enumerate(parts):
        last = number == len(parts) - 1
        assert part == attrs.evolve(header, fragment=0x80000000 | last << 30 | at, length=start + len(payload))
        assert payload == data[start + at : start + at + len(payload)]
        at += len(payload)
    assert at == size
    sizes = {len(payload) for _, payload in parts}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= MIN_FRAGMENT
    assert max(map(len, fragments)) <= mtu - VIA_ROOM


@pytest.mark.parametrize(
    ("payload", "room", "sizes"),
    [
        (511, 300, None),  # two fragments have 512 octets at least
        (512, 300, [256, 256]),
        (512, 256, [256, 256]),  # room to grow gives way to the MUST
        (512, 255, None),
        (600, 300, [300, 300]),
        (600, 299, None),  # three would be below 256, two do not fit
        (768, 257, [256, 256, 256]),
        (770, 257, [257, 257, 256]),
        (772, 257, None),
    ],
)
def test_a_fragment_has_256_octets_or_the_message_stays_whole(payload: int, room: int, sizes: list[int] | None) -> None:
    data = message(payload)
    head = len(data) - payload
    fragments = fragment(data, head + room)
    assert [len(octets) - head for octets in fragments] == (sizes or [payload])


@pytest.mark.parametrize("last", [True, False])
def test_a_fragment_fragmented_again_keeps_its_place_and_only_the_tail_of_the_last_one_is_last(last: bool) -> None:
    data = message(1200, field=0x80000000 | last << 30 | 4000)
    parts = parts_of(fragment(data, 500))
    assert [(part.fragment_offset, part.is_last_fragment) for part, _ in parts] == [
        (4000, False),
        (4300, False),
        (4600, False),
        (4900, last),
    ]


def test_an_offset_that_would_leave_its_24_bits_is_not_made() -> None:
    data = message(1200, field=0x80000000 | 0xFFFFFF - 1000)
    assert fragment(data, 500) == [data]


@given(
    size=st.integers(0, 6000),
    mtu=st.integers(0, 2500),
    via=st.integers(0, 12),
    again=st.integers(300, 1500),
)
def test_what_is_fragmented_again_and_again_still_covers_the_message_once(
    size: int, mtu: int, via: int, again: int
) -> None:
    data = message(size, via=via)
    _, start = decode_header(data)
    fragments = [part for whole in fragment(data, mtu) for part in fragment(whole, again)]
    body = b""
    for part, payload in parts_of(fragments):
        assert part.fragment_offset == len(body)
        body += payload
        assert part.is_last_fragment == (len(body) == size)
        assert len(fragments) == 1 or len(payload) >= MIN_FRAGMENT
    assert body == data[start:]
