"""Longest prefix match, against a search through all prefixes."""

import ipaddress
import itertools
import random
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import lpm
from alto.address import BITS, format_address, parse_prefix
from alto.lpm import Match, PrefixTable, PrefixTableBuilder

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def table_of(*prefixes: str) -> PrefixTable:
    builder = PrefixTableBuilder()
    for index, text in enumerate(prefixes):
        family = 6 if ":" in text else 4
        assert builder.add(family, *parse_prefix(text, family), index) is None
    return builder.table()


def by_search(networks: Sequence[Network], family: int, value: int) -> int | None:
    """The oracle: every network is asked."""
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    address = ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value)
    inside = [index for index, network in enumerate(networks) if address in network]
    return max(inside, key=lambda index: networks[index].prefixlen, default=None)


@st.composite
def networks_of(draw: st.DrawFn) -> list[Network]:
    """Prefixes that nest and touch: their values are of few bits."""
    family = draw(st.sampled_from([4, 6]))
    bits = BITS[family]
    lengths = st.integers(0, bits) if family == 4 else st.sampled_from([0, 1, 16, 31, 32, 33, 48, 63, 64, 65, 127, 128])
    found: dict[tuple[int, int], Network] = {}
    for length in draw(st.lists(lengths, max_size=25)):
        seed = draw(st.integers(0, 7))
        value = (seed << bits - 3 | seed >> 1 << bits // 2 | seed) >> bits - length << bits - length
        found[value, length] = (ipaddress.IPv4Network if family == 4 else ipaddress.IPv6Network)((value, length))
    return [*found.values()]


def addresses_around(networks: Iterable[Network], bits: int) -> list[int]:
    edges = {0, (1 << bits) - 1}
    for network in networks:
        for edge in (int(network.network_address), int(network.broadcast_address)):
            edges |= {edge - 1, edge, edge + 1}
    return sorted(edge for edge in edges if 0 <= edge < 1 << bits)


def test_the_longest_prefix_wins_also_where_it_was_added_first() -> None:
    table = table_of("192.0.2.0/25", "0.0.0.0/0", "192.0.2.0/24")
    assert [table.lookup_text(text) for text in ("192.0.2.1", "192.0.2.200", "192.0.3.1")] == [0, 2, 1]
    assert table.match(4, 0xC0000281) == Match(2, 4, 0xC0000200, 24)
    assert Match(2, 4, 0xC0000200, 24).prefix == "192.0.2.0/24"


def test_the_families_do_not_meet() -> None:
    """Trap 1: in one tree of 128 bits, 32.1.13.184 lies in 2001::/16, and 0.0.0.0/0 and ::/0 are one."""
    table = table_of("0.0.0.0/0", "::/0", "2001:db8::/32", "42.0.0.0/8")
    assert table.lookup_text("32.1.13.184") == 0
    assert table.lookup_text("2001:db8::1") == 2
    assert table.lookup_text("2a00::1") == 1
    assert table.lookup_text("42.0.0.1") == 3
    assert table.lookup_many(["32.1.13.184", "2a00::1", "2001:db8::1", "42.1.2.3"]) == [0, 1, 2, 3]


def test_an_address_in_no_prefix_has_no_index() -> None:
    table = table_of("192.0.2.0/24")
    assert table.lookup_text("198.51.100.1") is None
    assert table.lookup_text("::1") is None
    assert table.match(4, 0) is None
    assert table.lookup_many(["192.0.2.1", "8.8.8.8", "::1"]) == [0, None, None]
    assert table.lookup_many([]) == []


@given(networks_of())
def test_lookups_agree_with_a_search_through_all_prefixes(networks: list[Network]) -> None:
    table = table_of(*map(str, networks))
    family = networks[0].version if networks else 4
    values = addresses_around(networks, BITS[family])
    expected = [by_search(networks, family, value) for value in values]
    assert [table.lookup(family, value) for value in values] == expected
    # Often enough that the addresses are looked up all at once.
    assert table.lookup_values(family, values * 64) == expected * 64
    assert table.lookup_many([format_address(family, value) for value in values] * 64) == expected * 64
    for value, index in zip(values, expected, strict=True):
        match = table.match(family, value)
        assert (match and (match.index, match.prefix)) == (None if index is None else (index, str(networks[index])))


@given(networks_of())
def test_gaps_are_the_addresses_that_no_prefix_contains(networks: list[Network]) -> None:
    table = table_of(*map(str, networks))
    family = networks[0].version if networks else 4
    gaps = list(table.gaps(family))
    for value in addresses_around(networks, BITS[family]):
        in_gap = any(first <= value <= last for first, last in gaps)
        assert in_gap is (by_search(networks, family, value) is None)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(gaps))


def test_two_halves_are_complete_and_a_missing_address_is_not() -> None:
    assert list(table_of("0.0.0.0/1", "128.0.0.0/1").gaps(4)) == []
    assert list(table_of("::/0", "2001:db8::/32").gaps(6)) == []
    every = [f"{format_address(4, 1 << 31 - bit)}/{bit + 1}" for bit in range(32)]
    assert list(table_of(*every).gaps(4)) == [(0, 0)]
    assert list(table_of("::/1").gaps(6)) == [(1 << 127, (1 << 128) - 1)]


def test_a_prefix_that_is_there_already_is_left_as_it_is() -> None:
    builder = PrefixTableBuilder()
    assert builder.add(4, 0, 0, 5) is None
    assert builder.add(4, 0, 0, 6) == 5
    assert builder.add(6, 0, 0, 7) is None
    table = builder.table()
    assert (table.lookup_text("1.1.1.1"), table.lookup_text("::")) == (5, 7)
    assert (len(table), table.families) == (2, (4, 6))


def test_prefixes_are_listed_with_their_index() -> None:
    table = table_of("192.0.2.0/24", "0.0.0.0/0")
    assert [(match.prefix, match.index) for match in table.prefixes(4)] == [("0.0.0.0/0", 1), ("192.0.2.0/24", 0)]
    assert list(table.prefixes(6)) == []


@pytest.mark.parametrize(
    "wrong", ["01.2.3.4", "1.2.3", "1.2.3.4 ", "1.2.3.256", "1.2.3.4.5", "1.2.3.4\n5.6.7.8", "١.2.3.4", ""]
)
def test_a_batch_is_as_strict_as_a_single_lookup(wrong: str) -> None:
    table = table_of("0.0.0.0/0")
    good = ["192.0.2.1"] * 300
    assert table.lookup_many(good) == [0] * 300
    for place in (0, 150, 300):
        with pytest.raises(ValueError, match="is no IPv4 address"):
            table.lookup_many([*good[:place], wrong, *good[place:]])


def test_every_ipv4_octet_is_read_in_a_batch() -> None:
    table = table_of(*(f"{octet}.0.0.0/8" for octet in range(256)))
    generator = random.Random(7)
    values = [octet << 24 | generator.getrandbits(24) for octet in range(256)]
    assert table.lookup_many([format_address(4, value) for value in values]) == list(range(256))


def test_prefixes_longer_than_64_bits_are_found_in_a_batch() -> None:
    table = table_of("::/0", "2001:db8::/64", "2001:db8::/65", "2001:db8::1/128")
    texts = ["2001:db8::1", "2001:db8::2", "2001:db8::8000:0:0:0", "2001:db9::"]
    assert table.lookup_many(texts * 50) == [3, 2, 1, 0] * 50


def test_without_numpy_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of("0.0.0.0/0", "192.0.2.0/24", "::/0", "2001:db8::/32")
    ask: Callable[[], list[int | None]] = lambda: table.lookup_many(  # noqa: E731
        ["192.0.2.1", "1.1.1.1", "2001:db8::1", "::1"] * 50
    )
    expected = ask()
    monkeypatch.setattr(lpm, "HAS_NUMPY", False)
    assert ask() == expected == [1, 0, 3, 2] * 50
