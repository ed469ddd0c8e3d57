"""The deterministic encoding of the profile (RFC 8949 section 4.2.1): one spelling for each value."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.cbor import MAX_DEPTH, MAX_MESSAGE, Tag, decode, encode
from decade.errors import DecodeError, EncodeError

KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        # RFC 8949 appendix A.
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1b000000e8d4a51000", 1000000000000),
        ("1bffffffffffffffff", 18446744073709551615),
        ("3bffffffffffffffff", -18446744073709551616),
        ("3863", -100),
        ("f4", False),
        ("f6", None),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("62c3bc", "ü"),
        ("8301820203820405", (1, (2, 3), (4, 5))),
        ("a201020304", {1: 2, 3: 4}),
        ("826161a161626163", ("a", {"b": "c"})),
    ],
)
def test_examples_of_the_rfc_are_read_and_written(octets, value):
    assert decode(bytes.fromhex(octets)) == value
    assert encode(value).hex() == octets


def test_keys_are_in_the_order_of_their_octets_and_not_the_shorter_first():
    # The keys of the example of RFC 8949 section 4.2.1 that a map of this profile can have.
    value = {"aa": 7, 100: 2, -1: 3, 10: 1, "z": 4}
    assert encode(value).hex() == "a5" + "0a01" + "186402" + "2003" + "617a04" + "62616107"
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("1817", "a longer head than it takes"),
        ("190001", "a longer head than it takes"),
        ("5800", "a longer length than it takes"),
        ("0000", "octets behind the end"),
        ("a203040102", "keys not in order"),
        ("a2010001 00".replace(" ", ""), "a key twice"),
        ("a1f518ff", "a Boolean as a key: True == 1 in Python"),
        ("a14100 00".replace(" ", ""), "a byte string as a key"),
        ("9f01ff", "no length"),
        ("bf0102ff", "no length"),
        ("5f4101ff", "no length"),
        ("f93c00", "a float"),
        ("f97e00", "not a number"),
        ("f7", "undefined"),
        ("e0", "a simple value"),
        ("c074323031332d30332d32315432303a30343a30305a", "a date"),
        ("c249010000000000000000", "a bignum"),
        ("c24101", "a bignum that is none"),
        ("d83dd283", "a token's tag"),
        ("61ff", "no UTF-8"),
        ("5b7fffffffffffffff", "a length that is only claimed"),
        ("9b7fffffffffffffff", "a length that is only claimed"),
        ("bb7fffffffffffffff", "a length that is only claimed"),
        ("", "nothing"),
        ("81" * (MAX_DEPTH + 1) + "00", "too deep"),
        ("81" * 30000 + "00", "too deep"),
    ],
)
def test_another_spelling_or_what_no_message_needs_is_refused(octets, why):
    with pytest.raises(DecodeError):
        decode(bytes.fromhex(octets))


def test_prefixes_have_their_tags_and_no_others_do():
    prefix = Tag(52, (24, b"\xc0\x00\x02"))
    assert encode(prefix).hex() == "d83482181843c00002"
    assert decode(encode(prefix)).tag == 52
    with pytest.raises(EncodeError, match="tag 61"):
        encode(Tag(61, 0))
    with pytest.raises(DecodeError, match="tag 52"):
        decode(encode(prefix), tags=frozenset())


def test_a_message_is_no_larger_than_64_kib():
    assert decode(encode(bytes(MAX_MESSAGE - 5))) == bytes(MAX_MESSAGE - 5)
    with pytest.raises(DecodeError, match="over 65536"):
        decode(encode(bytes(MAX_MESSAGE)))


@pytest.mark.parametrize("value", [1.5, 2**64, -(2**64) - 1, {1.5: 0}, {True: 0}, {b"": 0}, object(), {1: object()}])
def test_what_has_no_octets_is_an_encode_error(value):
    with pytest.raises(EncodeError):
        encode(value)


def test_what_is_too_deep_is_an_encode_error():
    value: object = 0
    for _ in range(MAX_DEPTH + 1):
        value = (value,)
    with pytest.raises(EncodeError, match="levels"):
        encode(value)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value):
    assert decode(encode(value)) == value


@given(VALUES)
def test_another_encoder_reads_it_too_and_spells_plain_values_the_same(value):
    assert cbor2.loads(encode(value)) == cbor2.loads(cbor2.dumps(value))
    if not isinstance(value, (dict, tuple)):
        assert encode(value) == cbor2.dumps(value)


@given(st.binary(max_size=60))
def test_octets_are_a_value_with_this_one_spelling_or_refused(octets):
    try:
        value = decode(octets)
    except DecodeError:
        return
    assert encode(value) == octets
