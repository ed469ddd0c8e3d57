"""Data indexes: which objects an application's data is in."""

import contextlib
import io
from importlib.resources import files

import pytest
from cddl_verifier import Validator
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.data_index import (
    MAX_ENTRIES,
    MAX_INDEX,
    DataIndex,
    Entry,
    Piece,
    assemble,
    cut,
    decode_index,
    encode_index,
    split,
)
from decade.errors import DecodeError, EncodeError, ErrorCode, RefusedError
from decade.names import name_of

CDDL = Validator(files("decade").joinpath("data_index.cddl").read_text())
NAMES = st.binary(max_size=3).map(name_of)
PIECES = st.builds(Piece, name=NAMES, length=st.integers(1, 2**40), offset=st.integers(0, 2**40))
ENTRIES = st.builds(
    Entry,
    label=st.text(max_size=20),
    pieces=st.lists(PIECES, max_size=4).map(tuple),
    media_type=st.none() | st.just("video/mp4"),
)
INDEXES = st.builds(
    DataIndex,
    entries=st.lists(ENTRIES, min_size=1, max_size=3).map(tuple),
    servers=st.sampled_from([(), ("https://sa.example",), ("https://sa.example", "https://sb.example")]),
)


def cut_up(octets, size):
    pieces, objects = [], {}
    for piece, part in split(io.BytesIO(octets).read, size):
        pieces.append(piece)
        objects[piece.name] = part
    return Entry(label="film", pieces=tuple(pieces)), objects


@given(INDEXES)
def test_an_index_is_read_as_it_was_written(index):
    assert decode_index(encode_index(index)) == index


@given(INDEXES)
def test_an_index_is_what_its_cddl_says(index):
    result = CDDL.validate(encode_index(index), "data-index", require_deterministic=True)
    assert result.valid, result


CUT = st.tuples(INDEXES.map(encode_index), st.integers(0, 60)).map(lambda drawn: drawn[0][: drawn[1]])


@given(st.binary() | CUT)
def test_what_is_no_index_is_refused(octets):
    with contextlib.suppress(DecodeError):
        assert encode_index(decode_index(octets)) == octets


@pytest.mark.parametrize(
    "value",
    [
        {0: 16, 1: ({1: "x", 2: ()},)},
        {0: 17, 1: ()},
        {0: 17, 1: ({1: "x", 2: ()},), 2: ()},
        {0: 17, 1: ({1: "x", 2: ((name_of(b"").binary, 0),)},)},
        {0: 17, 1: ({1: "x", 2: ((name_of(b"").binary, 1, 0),)},)},
        {0: 17, 1: ({1: "x", 2: ((b"\x06abcd", 1),)},)},
        {0: 17, 1: ({1: "x", 2: ()},), 63: 1},
    ],
)
def test_an_index_has_one_spelling_and_no_names_that_bind_nothing(value):
    octets = cbor.encode(value)
    with pytest.raises(DecodeError):
        decode_index(octets)


def test_an_index_of_a_hundred_thousand_pieces_is_read_and_a_larger_one_is_not():
    piece = Piece(name=name_of(b""), length=1)
    octets = encode_index(DataIndex(entries=(Entry(label="", pieces=(piece,) * 100_000),)))
    assert len(octets) <= MAX_INDEX
    assert decode_index(octets).entries[0].size == 100_000
    with pytest.raises(EncodeError):
        encode_index(DataIndex(entries=(Entry(label="", pieces=(piece,) * 100_001),)))
    with pytest.raises(DecodeError):
        decode_index(bytes(MAX_INDEX + 1))


def test_an_index_has_so_many_files_and_no_more():
    with pytest.raises(EncodeError):
        encode_index(DataIndex(entries=(Entry(label="", pieces=()),) * (MAX_ENTRIES + 1)))
    with pytest.raises(DecodeError):
        decode_index(cbor.encode({0: 17, 1: ({1: "", 2: ()},) * (MAX_ENTRIES + 1)}))


@given(st.binary(max_size=50), st.integers(1, 20))
def test_what_is_split_is_assembled_again(octets, size):
    entry, objects = cut_up(octets, size)
    assert b"".join(assemble(entry.pieces, objects.__getitem__)) == octets
    assert entry.size == len(octets)
    assert all(piece.length == size for piece in entry.pieces[:-1])


@given(st.binary(min_size=1, max_size=50), st.integers(1, 20), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_in_the_pieces_that_are_located(octets, size, offset, length):
    entry, objects = cut_up(octets, size)
    assert b"".join(assemble(entry.locate(offset, length), objects.__getitem__)) == octets[offset : offset + length]


def test_a_reader_that_returns_less_than_it_is_asked_makes_the_same_objects():
    stream = io.BytesIO(bytes(range(10)))
    assert [part for _, part in split(lambda size: stream.read(min(size, 3)), 4)] == [
        bytes(range(4)),
        bytes(range(4, 8)),
        bytes((8, 9)),
    ]
    with pytest.raises(ValueError, match="an octet at least"):
        next(split(stream.read, 0))


def test_several_files_can_be_in_one_object():
    shared = b"headertail"
    entry = Entry(
        label="tail",
        pieces=(Piece(name=name_of(shared), length=4, offset=6), Piece(name=name_of(shared), length=6)),
    )
    assert list(assemble(entry.pieces, lambda name: shared)) == [b"tail", b"header"]
    index = DataIndex(entries=(entry,))
    assert index.entry("tail") == entry
    assert index.entry("head") is None


def test_an_object_of_another_name_is_no_part_of_anything():
    piece = Piece(name=name_of(b"abc"), length=3)
    with pytest.raises(RefusedError) as error:
        list(assemble([piece], lambda name: b"abd"))
    assert error.value.code == ErrorCode.NAME_MISMATCH
    with pytest.raises(DecodeError, match="in an object of 3 octets"):
        cut(Piece(name=name_of(b"abc"), length=3, offset=1), b"abc")
