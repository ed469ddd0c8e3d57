"""Addresses read by the thousand are those that are read one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import lpm
from alto.address import parse_of_family
from alto.lpm import PrefixTableBuilder
from alto.networkmap import NetworkMap

_addressbatch = pytest.importorskip("alto._addressbatch")
pytest.importorskip("numpy")

GOOD = {
    4: ["0.0.0.0", "255.255.255.255", "192.0.2.1", "1.22.133.4"],
    6: ["::", "::1", "1::", "2001:db8::1", "2001:DB8:0:0:1:2:3:4", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2::8"],
}
BAD = {
    4: [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1..2.3",
        "1.2.3.4 ",
        "1.2.3.4\n",
        "::1",
        "1.2.3.٤",
        "1.2.3.x",
    ],
    6: [
        *("", ":", ":::", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "12345::", "::g", ":1::"),
        *(
            "1::2:",
            "1:2:3:4:5:6:7:",
            ":2:3:4:5:6:7:8",
            "::1%1",
            "::1\n",
            "1\n::",
            "192.0.2.1",
            "::١",
            "1:2:3:4:5:6:7:8::",
        ),
    ],
}
PIECES = st.lists(
    st.sampled_from(["0", "1", "f", "FF", "dead", "00ab", ":", ":", "::", ".", "\n", "g", " "]), max_size=20
)


def batch(family: int, texts: list[str]) -> list[int] | None:
    read = _addressbatch.ipv4_values if family == 4 else _addressbatch.ipv6_halves
    values = read(texts)
    return None if values is None else values.tolist()


def one_by_one(family: int, texts: list[str]) -> list[int] | None:
    try:
        values = list(map(parse_of_family(family), texts))
    except ValueError:
        return None
    return values if family == 4 else [value >> 64 for value in values]


@pytest.mark.parametrize("family", [4, 6])
def test_good_addresses_have_their_values(family: int) -> None:
    assert batch(family, GOOD[family]) == one_by_one(family, GOOD[family])


@pytest.mark.parametrize(("family", "text"), [(family, text) for family in (4, 6) for text in BAD[family]])
def test_one_bad_address_among_good_ones_is_seen_wherever_it_is(family: int, text: str) -> None:
    good = GOOD[family]
    assert one_by_one(family, [text]) is None
    for place in range(len(good) + 1):
        assert batch(family, [*good[:place], text, *good[place:]]) is None, place
    assert batch(family, [text]) is None
    assert batch(family, [text, text]) is None


@given(st.lists(st.ip_addresses(v=6).map(str) | PIECES.map("".join), min_size=1, max_size=4))
def test_any_texts_are_read_as_one_by_one_or_not_at_all(texts: list[str]) -> None:
    for family in (4, 6):
        found = batch(family, texts)
        # A text that ends as an IPv4 address does is for the other reader.
        assert found == one_by_one(family, texts) or (found is None and "." in "".join(texts)), family


@given(st.lists(st.ip_addresses(v=4), min_size=1, max_size=5))
def test_every_ipv4_address_is_read(addresses: list[object]) -> None:
    texts = list(map(str, addresses))
    assert batch(4, texts) == one_by_one(4, texts) is not None


@pytest.mark.parametrize("family", [4, 6])
def test_a_table_finds_many_as_it_finds_each(family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = PrefixTableBuilder()
    builder.add(4, 0, 0, 0)
    builder.add(4, 192 << 24, 8, 1)
    builder.add(6, 0, 0, 2)
    builder.add(6, 0x20010DB8 << 96, 32, 3)
    table = builder.table()
    texts = GOOD[family] * 100
    expected = [table.lookup_text(text) for text in texts]
    assert table.lookup_many(texts) == table.lookup_texts(family, texts) == expected
    for wrong in (*BAD[family], GOOD[10 - family][0]):
        with pytest.raises(ValueError, match="is no"):
            table.lookup_texts(family, [*texts, wrong])
    monkeypatch.setattr(lpm, "HAS_NUMPY", False)
    assert table.lookup_many(texts) == expected


def test_typed_addresses_have_pids_by_the_hundred() -> None:
    network_map = NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}, "PID2": {"ipv6": ["::/0"]}})
    assert network_map.pids_of(["ipv4:192.0.2.1"] * 300) == ["PID1"] * 300
    assert network_map.pids_of(["ipv6:2001:db8::1"] * 300) == ["PID2"] * 300
    assert network_map.pids_of(["ipv6:2001:db8::1", "::1", "192.0.2.1", "ipv4:1.1.1.1"]) == [
        "PID2",
        "PID2",
        "PID1",
        "PID1",
    ]
    for wrong in ("ipv4:::1", "ipv6:1.1.1.1", "ipv4:", "mac:1"):
        with pytest.raises(ValueError, match="is no"):
            network_map.pids_of(["ipv4:192.0.2.1"] * 300 + [wrong])
