"""The values that messages and tokens share: names of objects, bandwidths, prefixes."""

from ipaddress import IPv4Network

import pytest
from decade_messages import BANDWIDTH as BANDWIDTHS
from decade_messages import OBJECT_NAME as OBJECT_NAMES
from decade_messages import PREFIX as PREFIXES
from hypothesis import given

from decade import cbor
from decade.errors import DecodeError, EncodeError, ErrorCode
from decade.messages import ChallengeRequest, ResourcePolicy, decode_message, encode_message
from decade.names import name_of
from decade.values import BANDWIDTH, IP_PREFIX, OBJECT_NAME, BitRate, SignedName, Weight

HELLO = name_of(b"Hello World!")


@given(OBJECT_NAMES, BANDWIDTHS, PREFIXES)
def test_each_value_is_read_as_it_was_written(name, bandwidth, prefix):
    for kind, value in ((OBJECT_NAME, name), (BANDWIDTH, bandwidth), (IP_PREFIX, prefix)):
        assert kind.read(cbor.decode(cbor.encode(kind.write(value)))) == value


def test_reserved_bits_of_a_name_are_cleared_and_other_hashes_have_a_code_of_their_own():
    octets = cbor.encode({0: 14, 1: bytes((0xC1,)) + HELLO.value})
    assert decode_message(octets).name == HELLO
    for name in (HELLO.truncated("sha-256-128").binary, b"\x07" + HELLO.value, b"\x3f" + bytes(64)):
        with pytest.raises(DecodeError) as refused:
            decode_message(cbor.encode({0: 14, 1: name}))
        assert refused.value.code == ErrorCode.DIGEST_UNSUPPORTED
    with pytest.raises(DecodeError) as refused:
        decode_message(cbor.encode({0: 14, 1: b"\x01" + bytes(31)}))
    assert refused.value.code == ErrorCode.MALFORMED


def test_a_name_cut_short_is_no_name_of_an_object():
    with pytest.raises(EncodeError, match="sha-256-32 is not the algorithm"):
        encode_message(ChallengeRequest(name=HELLO.truncated("sha-256-32")))


def test_prefixes_are_spelled_as_rfc_9164_has_it():
    policy = ResourcePolicy(weight=1, prefixes=(IPv4Network("192.0.2.0/24"), IPv4Network("0.0.0.0/0")))
    assert encode_message(policy).hex() == "a300050101" + "0d82" + "d83482181843c00002" + "d834820040"
    wrong_ones = (
        "d83482181844c0000200",  # zeros at the end
        "d834821743c00003",  # a bit behind the length of 23
        "d83482182140",  # 33 bits
        "d8348218204501020304" + "05",  # five octets
        "d8344400000000",  # an address
        "d8348340" + "0000",
    )
    for wrong in wrong_ones:
        with pytest.raises(DecodeError):
            decode_message(bytes.fromhex("a3000501010d81" + wrong))


@pytest.mark.parametrize("item", [(0, 0), (0, 65536), (2, 1), (False, 1), (1, True), (1, -1), (0,), (0, 1, 1), 7, None])
def test_what_is_neither_a_weight_nor_a_bit_rate_is_refused(item):
    with pytest.raises(DecodeError):
        BANDWIDTH.read(item)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BANDWIDTH, 7),
        (BANDWIDTH, Weight(0)),
        (BANDWIDTH, BitRate(-1)),
        (IP_PREFIX, "192.0.2.0/24"),
        (OBJECT_NAME, HELLO.binary),
        (OBJECT_NAME, SignedName(HELLO, b"")),
        (OBJECT_NAME, SignedName(HELLO.truncated("sha-256-96"), b"x")),
    ],
)
def test_what_is_no_such_value_is_not_written(kind, value):
    with pytest.raises(DecodeError):
        kind.write(value)
