"""The presentation language, and every structure that is declared in it."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_strategies import STRUCTURES, structures

from reload._presentation import decode, encode, structure
from reload._specs import (
    OPAQUE8,
    OPAQUE24,
    U16,
    boolean,
    fixed,
    nested,
    node_id,
    opaque,
    select,
    u8,
    u16,
    u32,
    u64,
    vector,
)
from reload.errors import DecodeError, EncodeError
from reload.methods import Empty

every_structure = pytest.mark.parametrize("of", STRUCTURES, ids=lambda of: of.__name__)


@structure
class Inner:
    """Two numbers."""

    one: int = u8()
    two: int = u16()


@structure
class Everything:
    """A member of each sort."""

    byte: int = u8()
    flag: bool = boolean()
    word: int = u32()
    long: int = u64()
    four: bytes = fixed(4)
    node: bytes = node_id()
    name: bytes = opaque(1)
    inner: Inner = nested(Inner)
    inners: tuple[Inner, ...] = vector(Inner, 2)
    words: tuple[int, ...] = vector(U16, 1)
    names: tuple[bytes, ...] = vector(OPAQUE8, 2)
    big: tuple[bytes, ...] = vector(OPAQUE24, 4)


EVERYTHING = Everything(
    byte=1,
    flag=True,
    word=0x01020304,
    long=0x0A0B0C0D0E0F1011,
    four=b"four",
    node=bytes(range(16)),
    name=b"FOO",
    inner=Inner(one=2, two=0x0304),
    inners=(Inner(one=5, two=6), Inner(one=7, two=8)),
    words=(1, 2, 3),
    names=(b"", b"a"),
    big=(b"xyz",),
)
OCTETS = bytes.fromhex(
    "01 01 01020304 0a0b0c0d0e0f1011 666f7572 000102030405060708090a0b0c0d0e0f 03464f4f 020304"
    "0006 050006 070008 06 0001 0002 0003 0003 00 0161 00000006 000003 78797a"
)


@structure
class Chosen:
    """A select without a length, of known types only."""

    type: int = u8()
    value: Any = select("type", {1: None, 2: U16, 3: Inner})


@structure
class Boxed:
    """A select with a length, which can be extended."""

    type: int = u8()
    value: Any = select("type", {1: None, 2: U16, 3: Inner}, length=2, extensible=True)
    behind: int = u8()


@structure
class Bounded:
    """A vector with a lower bound, and one whose length stands twice."""

    some: tuple[int, ...] = vector(U16, 1, least=4)
    twice: tuple[int, ...] = vector(U16, 2, twice=True)


def test_lengths_count_octets_and_have_the_fewest_octets_that_hold_the_upper_bound() -> None:
    assert encode(EVERYTHING) == OCTETS
    assert decode(Everything, OCTETS) == EVERYTHING


@pytest.mark.parametrize("n", [16, 17, 20])
def test_a_node_id_has_as_many_octets_as_the_overlay_says(n: int) -> None:
    octets = OCTETS[:18] + bytes(n) + OCTETS[34:]
    read = decode(Everything, octets, node_id_length=n)
    assert read.node == bytes(n)
    assert encode(read, node_id_length=n) == octets
    with pytest.raises(EncodeError, match="a Node-ID of this overlay has 19 octets"):
        encode(read, node_id_length=19)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("01", Chosen(type=1, value=None)),
        ("02 0102", Chosen(type=2, value=0x0102)),
        ("03 010203", Chosen(type=3, value=Inner(one=1, two=0x0203))),
        ("01 0000 09", Boxed(type=1, value=None, behind=9)),
        ("02 0002 0102 09", Boxed(type=2, value=0x0102, behind=9)),
        ("03 0003 010203 09", Boxed(type=3, value=Inner(one=1, two=0x0203), behind=9)),
        ("04 0003 010203 09", Boxed(type=4, value=b"\1\2\3", behind=9)),
        ("ff 0000 09", Boxed(type=255, value=b"", behind=9)),
        ("04 0001 0002 0000 0000", Bounded(some=(1, 2), twice=())),
        ("06 0001 0002 0003 0004 0004 0005 0006", Bounded(some=(1, 2, 3), twice=(5, 6))),
    ],
)
def test_select_and_bounds_read_and_write(wire: str, value: Any) -> None:
    octets = bytes.fromhex(wire)
    assert decode(type(value), octets) == value
    assert encode(value) == octets
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(type(value), octets[:size])


@pytest.mark.parametrize(
    ("of", "wire", "why"),
    [
        (Everything, OCTETS.replace(b"\1\1\1", b"\1\2\1", 1).hex(), "2 is no Boolean"),
        (Everything, OCTETS.hex().replace("06000100020003", "0500010002ff"), "5 octets are no multiple of 2"),
        (Chosen, "00", "unknown type 0"),
        (Chosen, "04", "unknown type 4"),
        (Boxed, "00 0000 09", "unknown type 0"),
        (Boxed, "01 0001 00 09", "1 octets too many"),
        (Boxed, "02 0003 010203 09", "1 octets too many"),
        (Boxed, "02 0001 01 09", "need 2 octets at 3, have 1"),
        (Boxed, "04 ffff 01", "need 65535 octets at 3, have 1"),
        (Bounded, "02 0001 0000 0000", "2 octets, at least 4 are due"),
        (Bounded, "04 0001 0002 0002 0000 0005", "the lengths 2 and 0 contradict each other"),
        (Bounded, "04 0001 0002 0000 0002 0005", "the lengths 0 and 2 contradict each other"),
        (Bounded, "04 0001 0002 0004 0002 0005 0000", "the lengths 4 and 2 contradict each other"),
        (Inner, "01 0203 04", "1 octets too many behind offset 3"),
    ],
)
def test_what_breaks_a_declaration_is_refused_with_place_and_reason(of: type[Any], wire: str, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode(of, bytes.fromhex(wire))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Inner(one=256, two=0), "Inner"),
        (Inner(one=-1, two=0), "Inner"),
        (Inner(one="1", two=0), "Inner"),
        (Chosen(type=0, value=None), "unknown type 0"),
        (Chosen(type=4, value=None), "unknown type 4"),
        (Chosen(type=1, value=b""), "bytes does not fit type 1"),
        (Chosen(type=3, value=Bounded(some=(1, 2), twice=())), "Bounded does not fit type 3"),
        (Chosen(type=3, value=None), "NoneType does not fit type 3"),
        (Boxed(type=0, value=b"", behind=1), "unknown type 0"),
        (Boxed(type=9, value="text", behind=1), "Boxed"),
        (Boxed(type=9, value=bytes(65536), behind=1), "65536 octets, it takes 0 to 65535"),
        (Bounded(some=(1,), twice=()), "2 octets, it takes 4 to 255"),
        (Bounded(some=tuple(range(128)), twice=()), "256 octets, it takes 4 to 255"),
    ],
)
def test_what_has_no_octets_is_not_written(value: Any, why: str) -> None:
    with pytest.raises(EncodeError, match=why):
        encode(value)


def test_fixed_octets_are_neither_padded_nor_cut() -> None:
    @structure
    class Exact:
        four: bytes = fixed(4)

    with pytest.raises(EncodeError, match=r"Exact\.four: 4 octets are due, not 3"):
        encode(Exact(four=b"abc"))
    with pytest.raises(EncodeError):
        encode(Exact(four=b"abcde"))


def test_a_vector_of_items_without_octets_ends() -> None:
    @structure
    class Endless:
        items: tuple[Empty, ...] = vector(Empty, 2)

    assert decode(Endless, bytes(2)) == Endless(items=())
    with pytest.raises(DecodeError, match="an item without octets"):
        decode(Endless, b"\0\1\0")


def test_structures_are_values() -> None:
    assert Inner(one=1, two=2) == Inner(one=1, two=2) != Inner(one=1, two=3)
    assert len({Inner(one=1, two=2), Inner(one=1, two=2)}) == 1
    with pytest.raises(AttributeError):
        Inner(one=1, two=2).three = 3  # type: ignore[attr-defined]


@every_structure
@given(data=st.data(), n=st.integers(16, 20))
def test_every_structure_reads_as_it_was_written_and_never_when_cut_or_longer(
    of: type[Any], data: st.DataObject, n: int
) -> None:
    value = data.draw(structures(of, n))
    octets = encode(value, node_id_length=n)
    assert decode(of, octets, node_id_length=n) == value
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(of, octets[:size], node_id_length=n)
    with pytest.raises(DecodeError):
        decode(of, octets + b"\0", node_id_length=n)


def read_or_refused(of: type[Any], octets: bytes) -> None:
    """There is one way to write a value: whatever is read is written again as it was."""
    try:
        value = decode(of, octets)
    except DecodeError:
        return
    assert encode(value) == octets


@every_structure
@given(octets=st.binary(max_size=80))
def test_any_octets_are_a_value_or_a_decode_error(of: type[Any], octets: bytes) -> None:
    read_or_refused(of, octets)


@every_structure
@given(data=st.data())
def test_octets_with_some_of_them_changed_are_a_value_or_a_decode_error(of: type[Any], data: st.DataObject) -> None:
    octets = bytearray(encode(data.draw(structures(of))))
    for _ in range(data.draw(st.integers(1, 3)) if octets else 0):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(of, bytes(octets))


@every_structure
def test_no_memory_is_made_for_what_a_length_claims(of: type[Any]) -> None:
    claims = [b"\xff" * 64, *(bytes([kind]) + b"\xff" * 64 for kind in range(1, 5)), bytes(12) + b"\xff" * 64]
    tracemalloc.start()
    try:
        for octets in claims:
            read_or_refused(of, octets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
