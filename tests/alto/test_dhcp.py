"""The domain names of DHCP options, well formed and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import DecodeError
from alto.dhcp import access_domain_v4, access_domain_v6, parse_dhcpv4_options, parse_dhcpv6_options, parse_encoded_name

NAME = b"\x07example\x03net\x00"
COOKIE = bytes((99, 130, 83, 99))


def v4(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


def v6(code: int, value: bytes) -> bytes:
    return code.to_bytes(2) + len(value).to_bytes(2) + value


def test_option_213_names_the_access_domain() -> None:
    assert access_domain_v4(v4(53, b"\x05") + v4(213, NAME) + b"\xff") == "example.net"


def test_option_213_goes_before_option_15() -> None:
    assert access_domain_v4(v4(15, b"other.example") + v4(213, NAME) + b"\xff") == "example.net"


def test_option_15_is_taken_where_option_213_is_missing() -> None:
    assert access_domain_v4(v4(15, b"example.net") + b"\xff") == "example.net"


def test_option_15_is_taken_where_option_213_is_malformed() -> None:
    assert access_domain_v4(v4(213, b"\x07exam") + v4(15, b"example.net")) == "example.net"
    with pytest.raises(DecodeError, match="has no end"):
        access_domain_v4(v4(213, b"\x07exam"))


@pytest.mark.parametrize("text", [b"example.net.", b"example.net\0", b"example.net.\0\0"])
def test_option_15_may_end_with_a_dot_or_null_octets(text: bytes) -> None:
    assert access_domain_v4(v4(15, text)) == "example.net"


def test_neither_option_is_none() -> None:
    assert access_domain_v4(v4(53, b"\x05")) is None
    assert access_domain_v4(b"") is None
    assert access_domain_v6(v6(23, b"\0" * 16)) is None
    assert access_domain_v6(b"") is None


def test_the_cookie_and_padding_are_skipped_and_the_end_ends() -> None:
    assert parse_dhcpv4_options(COOKIE + b"\0\0" + v4(15, b"a") + b"\0\xff" + v4(213, NAME)) == {15: b"a"}


def test_a_long_dhcpv4_option_comes_in_pieces() -> None:
    assert access_domain_v4(v4(213, NAME[:5]) + v4(1, b"\xff" * 4) + v4(213, NAME[5:])) == "example.net"


def test_option_57_names_the_access_domain() -> None:
    assert access_domain_v6(v6(1, b"duid") + v6(57, NAME) + v6(57, b"\0")) == "example.net"


@pytest.mark.parametrize("cut", range(1, len(v4(213, NAME))))
def test_a_dhcpv4_option_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError, match="is cut short"):
        parse_dhcpv4_options(v4(213, NAME)[:cut])


@pytest.mark.parametrize("cut", range(1, len(v6(57, NAME))))
def test_a_dhcpv6_option_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError, match="is cut short"):
        parse_dhcpv6_options(v6(57, NAME)[:cut])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "has no end"),
        (b"\0", "is empty"),
        (b"\x07example", "has no end"),
        (b"\x07example\xc0\x00", "or compressed"),
        (b"\x40" + b"a" * 64 + b"\0", "longer than 63"),
        (NAME + b"\0", "1 octets behind"),
        (NAME + NAME, "13 octets behind"),
        (b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0", "255 octets"),
        (b"\x03a.b\0", "no label"),
        (b"\x03a b\0", "no label"),
        (b"\x03\x1b[m\0", "no label"),
        (b"\x02-a\0", "no label"),
        (b"\x02\xc3\xa9\0", "no label"),
    ],
)
def test_a_malformed_name_is_refused(value: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        parse_encoded_name(value)


@pytest.mark.parametrize("text", [b"", b".", b"a..b", b"\xff", b"a b", b"a" * 64, b".".join([b"a" * 63] * 4)])
def test_a_malformed_text_name_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        access_domain_v4(v4(15, text))


def test_the_longest_name_is_read() -> None:
    labels = [b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61]
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    assert len(encoded) == 255
    assert parse_encoded_name(encoded) == b".".join(labels).decode()


@given(st.binary(max_size=80))
def test_any_octets_give_a_name_or_none_or_a_decode_error(data: bytes) -> None:
    for read in (access_domain_v4, access_domain_v6):
        try:
            name = read(data)
        except DecodeError:
            continue
        assert name is None or name.isascii()
