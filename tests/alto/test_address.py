"""Addresses and prefixes: which texts are taken, and how they are written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto.address import (
    HostBitsError,
    canonical_endpoint,
    client_endpoint,
    format_address,
    format_endpoint,
    format_prefix,
    is_address_type,
    parse_address,
    parse_endpoint,
    parse_prefix,
)

IPV4 = st.integers(0, 2**32 - 1)
# Few groups that are not 0, so that there is something to leave out.
IPV6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: sum(group << 16 * at for at, group in enumerate(groups))
) | st.integers(0, 2**128 - 1)

WRONG_IPV4 = [
    "01.2.3.4",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.4\n",
    "1.2.3.256",
    "1.2.3.-4",
    "1.2.3.+4",
    "1.2..4",
    "1.2.3.",
    "0x1.2.3.4",
    "1.2.3.00",
    "1.2.3.٤",
    "1.2.3.4/32",
    "16909060",
    "",
    "." * 100_000,
]
WRONG_IPV6 = [
    ":",
    ":::",
    "1::2::3",
    "12345::",
    "::12345",
    "fe80::1%eth0",
    "fe80::1%1",
    "::1 ",
    " ::1",
    "::1\n",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "::1:2:3:4:5:6:7:8",
    ":1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:",
    "1:::2",
    "[::1]",
    "::g",
    "::-1",
    "::+1",
    "::0x1",
    "::1_0",
    "::1.2.3",
    "::01.2.3.4",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4",
    "1:2:3:4:5:6:1.2.3.4:7",
    "::1/128",
    ":" * 100_000,
]
EQUAL_IPV6 = [
    ("2001:DB8::1", "2001:db8::1"),
    ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ("0:0:0:0:0:0:0:0", "::"),
    ("::ffff:192.0.2.1", "::ffff:c000:201"),
    ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ("0:0:1::", "0:0:1::"),
    ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
    ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"),
]


@pytest.mark.parametrize("text", WRONG_IPV4 + WRONG_IPV6)
def test_what_the_rfcs_do_not_spell_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no IPv"):
        parse_address(text)


@pytest.mark.parametrize(("text", "canonical"), EQUAL_IPV6)
def test_every_legal_spelling_of_an_ipv6_address_is_one_address(text: str, canonical: str) -> None:
    family, value = parse_address(text)
    assert (family, value) == (6, int(ipaddress.IPv6Address(text)))
    assert format_address(family, value) == canonical


@given(IPV4)
def test_an_ipv4_address_is_written_as_it_is_read(value: int) -> None:
    text = format_address(4, value)
    assert text == str(ipaddress.IPv4Address(value))
    assert parse_address(text) == (4, value)


@given(IPV6)
def test_an_ipv6_address_is_written_as_rfc_5952_section_4_has_it(value: int) -> None:
    text = format_address(6, value)
    # Python writes some addresses in section 5's mixed notation; the groups are the same.
    if "." not in str(ipaddress.IPv6Address(value)):
        assert text == str(ipaddress.IPv6Address(value))
    assert parse_address(text) == (6, value)
    assert parse_address(ipaddress.IPv6Address(value).exploded.upper()) == (6, value)


@given(st.text("0123456789abcdefABCDEF:./% g", max_size=45) | st.text(max_size=20))
def test_any_text_is_the_address_that_another_parser_reads_or_none(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text)
        oracle = None if "%" in text else (expected.version, int(expected))
    except ValueError:
        oracle = None
    try:
        assert parse_address(text) == oracle
    except ValueError:
        assert oracle is None


@pytest.mark.parametrize(
    "text", ["ipv6:192.0.2.1", "ipv4:2001:db8::1", "192.0.2.1", "::1", "IPv4:192.0.2.1", "ipv4", "ipv4:", "", "pid:1"]
)
def test_a_typed_address_is_of_the_type_it_names(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_endpoint(text)


def test_typed_addresses_are_read_and_written() -> None:
    assert parse_endpoint("ipv4:192.0.2.1") == (4, 0xC0000201)
    assert parse_endpoint("ipv6:2001:db8::1") == (6, 0x20010DB8 << 96 | 1)
    assert format_endpoint(4, 0xC0000201) == "ipv4:192.0.2.1"


def test_two_spellings_of_an_endpoint_have_one_canonical_form() -> None:
    spellings = ["ipv6:2001:DB8:0::1", "ipv6:2001:db8::0001", "ipv6:2001:db8:0:0:0:0:0.0.0.1"]
    assert {canonical_endpoint(text) for text in spellings} == {"ipv6:2001:db8::1"}


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("192.0.2.0", 4),
        ("192.0.2.0/", 4),
        ("192.0.2.0/33", 4),
        ("192.0.2.0/024", 4),
        ("192.0.2.0/+4", 4),
        ("192.0.2.0/24 ", 4),
        ("192.0.2.0/24/24", 4),
        ("192.0.2.0/255.255.255.0", 4),
        ("10/8", 4),
        ("2001:db8::/32", 4),
        ("192.0.2.0/24", 6),
        ("2001:db8::/129", 6),
        ("2001:db8::%1/32", 6),
        ("/0", 4),
        ("/0", 6),
    ],
)
def test_what_is_no_prefix_is_refused(text: str, family: int) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_prefix(text, family)


@given(IPV4, st.integers(0, 32))
def test_a_prefix_is_read_as_another_parser_does(value: int, length: int) -> None:
    network = ipaddress.ip_network((value, length), strict=False)
    assert parse_prefix(str(network), 4) == (int(network.network_address), length)
    assert format_prefix(4, int(network.network_address), length) == str(network)


def test_host_bits_are_an_error_that_knows_the_prefix() -> None:
    with pytest.raises(HostBitsError, match=r"198\.51\.100\.128/24 has host bits set; its prefix is") as caught:
        parse_prefix("198.51.100.128/24", 4)
    assert (caught.value.value, caught.value.length) == (0xC6336400, 24)
    with pytest.raises(HostBitsError):
        parse_prefix("2001:db8::1/127", 6)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", "ipv4:192.0.2.1"),
        ("::ffff:192.0.2.1", "ipv4:192.0.2.1"),
        ("::FFFF:c000:201", "ipv4:192.0.2.1"),
        ("fe80::1%eth0", "ipv6:fe80::1"),
        ("2001:DB8::1", "ipv6:2001:db8::1"),
        ("::192.0.2.1", "ipv6:::c000:201"),
        ("unix", None),
        ("", None),
    ],
)
def test_a_dual_stack_sockets_ipv4_client_is_an_ipv4_endpoint(text: str, endpoint: str | None) -> None:
    assert client_endpoint(text) == endpoint


def test_an_address_type_is_letters_and_digits() -> None:
    assert is_address_type("ipv4")
    assert not any(is_address_type(text) for text in ("", "ip-v4", "ipv4 ", "ipv4\n", "ïpv4"))


GROUPS = st.lists(st.sampled_from(["0", "1", "0db8", "db8", "DB8", "ffff", "00"]), min_size=8, max_size=8)


@given(GROUPS, st.integers(0, 8), st.integers(0, 8))
def test_an_endpoint_is_canonical_as_rfc_5952_has_it(groups: list[str], left: int, right: int) -> None:
    for text in (":".join(groups), f"{':'.join(groups[:left])}::{':'.join(groups[max(left, right) :])}"):
        try:
            expected = ipaddress.IPv6Address(text)
        except ValueError:
            continue
        assert canonical_endpoint(f"ipv6:{text}") == f"ipv6:{expected}"
