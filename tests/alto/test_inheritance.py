"""What entities inherit, and what a filtered property map answers (RFC 9240 sections 6.1.3 and 8.6)."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto.entities import format_key, parse_key
from alto.inheritance import MAX_WHOLE, EntityTable
from alto.propertymap import PropertyMap

TABLE_1 = {"192.0.2.0/26": "v1", "192.0.2.0/28": "v2", "192.0.2.0/30": "v3", "192.0.2.0": "v4"}
TABLE_2 = {
    "192.0.2.0": "v4",
    "192.0.2.1": "v3",
    "192.0.2.16": "v1",
    "192.0.2.32": "v1",
    "192.0.2.64": None,
    "192.0.2.0/32": "v4",
    "192.0.2.0/31": "v3",
    "192.0.2.0/29": "v2",
    "192.0.2.0/27": "v1",
    "192.0.2.0/25": None,
}


def table(entries: dict[str, dict[str, Any]], domain_type: str = "ipv4") -> EntityTable:
    return EntityTable(domain_type, {parse_key(domain_type, text): found for text, found in entries.items()})


def select(found: EntityTable, asked: list[str], names: list[str]) -> dict[str, dict[str, Any]]:
    kind = found.domain_type
    chosen = found.select([parse_key(kind, text) for text in asked], set(names))
    return {format_key(kind, key): dict(properties) for key, properties in chosen.items()}


@pytest.mark.parametrize(("text", "value"), TABLE_2.items())
def test_the_longest_prefix_with_a_value_is_inherited_from(text: str, value: str | None) -> None:
    """Tables 1 and 2."""
    found = table({prefix: {"P": P} for prefix, P in TABLE_1.items()})
    assert found.value(parse_key("ipv4", text), "P") == value
    assert found.effective(parse_key("ipv4", text)) == ({} if value is None else {"P": value})


def test_each_property_is_inherited_for_itself() -> None:
    found = table({"10.0.0.0/8": {"P": "1", "Q": "2"}, "10.0.0.0/16": {"P": "3"}, "10.0.0.1": {"R": "4"}})
    assert found.effective(parse_key("ipv4", "10.0.0.1")) == {"P": "3", "Q": "2", "R": "4"}
    assert found.effective(parse_key("ipv4", "10.0.0.0/12")) == {"P": "1", "Q": "2"}


def test_null_stops_inheritance_for_what_it_covers_until_there_is_a_value() -> None:
    found = table({"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": None}, "10.0.0.0/24": {"P": "2"}})
    assert found.value(parse_key("ipv4", "10.0.1.1"), "P") is None
    assert found.effective(parse_key("ipv4", "10.0.1.1")) == {"P": None}
    assert found.value(parse_key("ipv4", "10.0.0.1"), "P") == "2"
    assert found.value(parse_key("ipv4", "10.1.0.1"), "P") == "1"


def test_ipv6_inherits_in_the_same_way() -> None:
    found = table({"2001:db8::/32": {"P": "1"}, "2001:db8::/64": {"P": "2"}, "::/0": {"Q": "0"}}, "ipv6")
    assert found.effective(parse_key("ipv6", "2001:db8::1")) == {"P": "2", "Q": "0"}
    assert found.effective(parse_key("ipv6", "2001:db8::/48")) == {"P": "1", "Q": "0"}


@pytest.mark.parametrize(
    ("kind", "entities"),
    [("pid", ("P", "P1")), ("ane", ("a", "ab")), ("asn", ("as1", "as11")), ("priv:x", ("/", "/1"))],
)
def test_there_is_no_inheritance_without_a_hierarchy(kind: str, entities: tuple[str, str]) -> None:
    found = table({entities[0]: {"P": "1"}}, kind)
    assert found.effective(entities[0]) == {"P": "1"}
    assert found.effective(entities[1]) == {}
    assert found.select(entities, {"P"}) == {entities[0]: {"P": "1"}}
    assert found.has_any(entities[0])
    assert not found.has_any(entities[1])


def test_a_requested_entity_has_what_it_inherits_from_one_that_is_not_requested() -> None:
    found = table({"192.0.2.0/30": {"P": "1"}})
    assert select(found, ["192.0.2.0/31"], ["P"]) == {"192.0.2.0/31": {"P": "1"}}


def test_covered_entities_with_other_values_are_there_and_what_they_cover_wholly_is_not() -> None:
    """The example of section 8.6."""
    found = table({"192.0.2.0/32": {"P": "v1"}, "192.0.2.1/32": {"P": "v2"}})
    assert select(found, ["192.0.2.0/31"], ["P"]) == {"192.0.2.0": {"P": "v1"}, "192.0.2.1": {"P": "v2"}}


def test_what_is_left_out_leaves_its_values_to_those_that_cover_it() -> None:
    found = table({"10.0.0.0/8": {"P": "1", "Q": "q"}, "10.0.0.0/9": {"P": "2"}, "10.128.0.0/9": {"P": "3"}})
    assert select(found, ["10.0.0.0/8"], ["P", "Q"]) == {
        "10.0.0.0/9": {"P": "2", "Q": "q"},
        "10.128.0.0/9": {"P": "3", "Q": "q"},
    }


def test_what_covers_may_itself_be_covered() -> None:
    found = table(
        {
            "10.0.0.0/8": {"P": "0", "Q": "q"},
            "10.0.0.0/9": {"P": "2"},
            "10.0.0.0/10": {"R": "1"},
            "10.64.0.0/10": {"R": "2"},
        }
        | {"10.128.0.0/9": {"P": None}}
    )
    assert select(found, ["10.0.0.0/8"], ["P", "Q", "R"]) == {
        "10.0.0.0/10": {"P": "2", "Q": "q", "R": "1"},
        "10.64.0.0/10": {"P": "2", "Q": "q", "R": "2"},
        "10.128.0.0/9": {"P": None, "Q": "q"},
    }


def test_covered_entities_that_repeat_what_they_inherit_are_left_out() -> None:
    found = table({"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": "1"}, "10.0.0.0/24": {"P": "2", "Q": None}})
    assert select(found, ["10.0.0.0/8"], ["P", "Q"]) == {"10.0.0.0/8": {"P": "1"}, "10.0.0.0/24": {"P": "2"}}


def test_what_differs_differs_from_the_nearest_around() -> None:
    found = table({"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": "2"}, "10.0.0.0/24": {"P": "1"}, "10.0.1.0/24": {}})
    assert select(found, ["10.0.0.0/8"], ["P"]) == {
        "10.0.0.0/8": {"P": "1"},
        "10.0.0.0/16": {"P": "2"},
        "10.0.0.0/24": {"P": "1"},
    }


def test_of_covered_entities_only_the_properties_asked_are_there() -> None:
    found = table({"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": "2", "Q": "q"}, "10.1.0.0/16": {"Q": "q"}})
    assert select(found, ["10.0.0.0/8"], ["P"]) == {"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": "2"}}
    assert select(found, ["10.0.0.0/8"], ["Q"]) == {"10.0.0.0/16": {"Q": "q"}, "10.1.0.0/16": {"Q": "q"}}


def test_properties_of_a_part_of_a_prefix_are_there_though_the_whole_has_none() -> None:
    found = table({"192.0.2.64/26": {"P": "1"}})
    assert select(found, ["192.0.2.0/24"], ["P"]) == {"192.0.2.64/26": {"P": "1"}}
    assert found.has_any(parse_key("ipv4", "192.0.2.0/24"))
    assert not found.has_any(parse_key("ipv4", "192.0.2.0/26"))


def test_a_requested_null_is_told_and_true_is_not_1() -> None:
    found = table({"10.0.0.0/8": {"P": 1}, "10.0.0.0/16": {"P": None}, "10.1.0.0/16": {"P": True}})
    assert select(found, ["10.0.0.1", "10.0.0.0/8"], ["P"]) == {
        "10.0.0.0/8": {"P": 1},
        "10.0.0.0/16": {"P": None},
        "10.0.0.1": {"P": None},
        "10.1.0.0/16": {"P": True},
    }


def test_only_the_properties_asked_are_there() -> None:
    found = table({"10.0.0.0/8": {"P": "1", "Q": "2"}, "11.0.0.0/8": {"Q": "2"}})
    assert found.everything({"P"}) == {(10 << 24, 8): {"P": "1"}}
    assert select(found, ["10.0.0.1", "11.0.0.1"], ["P"]) == {"10.0.0.1": {"P": "1"}}


def test_in_the_answer_to_everything_too_what_is_covered_wholly_is_left_out() -> None:
    found = table(
        {"10.0.0.0/8": {"P": "1", "Q": "q"}, "10.0.0.0/9": {"P": "1"}, "10.128.0.0/9": {"P": "3"}, "11.0.0.0": {}}
    )
    everything = {format_key("ipv4", key): dict(properties) for key, properties in found.everything({"P", "Q"}).items()}
    assert everything == {"10.0.0.0/9": {"P": "1", "Q": "q"}, "10.128.0.0/9": {"P": "3", "Q": "q"}}


def test_what_a_prefix_covers_is_all_within_it_without_itself() -> None:
    found = table({"10.0.0.0/8": {"P": "1"}, "10.0.0.0/16": {"P": "2"}, "10.255.255.255": {"P": "3"}, "11.0.0.0": {}})
    assert [format_key("ipv4", key) for key in found.covered((10 << 24, 8))] == ["10.0.0.0/16", "10.255.255.255"]
    assert found.covered((10 << 24, 16)) == []


def test_the_answer_to_everything_is_made_once_for_a_few_sets_of_properties() -> None:
    found = table({"10.0.0.0/8": dict.fromkeys("PQRST", "1")})
    first = found.everything({"P"})
    assert found.everything({"P"}) is first
    for name in "QRST"[:MAX_WHOLE]:
        assert found.everything({name}) == {(10 << 24, 8): {name: "1"}}
    assert found.everything({"P"}) == first
    assert found.everything({"P"}) is not first


def test_answers_leave_the_table_as_it_is() -> None:
    entries = {"10.0.0.0/8": {"P": "1", "Q": "q"}, "10.0.0.0/9": {"P": "2"}, "10.128.0.0/9": {"P": "3"}}
    found = table(entries)
    found.everything({"P", "Q"})
    select(found, ["10.0.0.0/8"], ["P", "Q"])
    assert dict(found.entries) == dict(table(entries).entries)


# A world of 16 addresses: each property of each of them can be checked.
_PREFIXES = [
    str(prefix)
    for length in range(28, 33)
    for prefix in ipaddress.ip_network("192.0.2.0/28").subnets(new_prefix=length)
]
_VALUES = st.dictionaries(st.sampled_from("PQ"), st.sampled_from(["1", "2", None]), min_size=1)


@given(
    entries=st.dictionaries(st.sampled_from(_PREFIXES), _VALUES),
    asked=st.sets(st.sampled_from(_PREFIXES), min_size=1),
    names=st.sampled_from([["P"], ["P", "Q"]]),
)
def test_a_client_finds_in_a_filtered_map_what_the_whole_map_has(
    entries: dict[str, dict[str, Any]], asked: set[str], names: list[str]
) -> None:
    whole = table(entries)
    answer = select(whole, sorted(asked), names)
    client = PropertyMap.from_values({"ipv4": answer})
    for prefix in map(ipaddress.ip_network, asked):
        for address in prefix:
            for name in names:
                expected = whole.value(parse_key("ipv4", str(address)), name)
                assert client.lookup(f"ipv4:{address}", name) == expected
    networks = {text: ipaddress.ip_network(text) for text in answer}
    for text, network in networks.items():
        inner = [other for other in networks.values() if other != network and other.subnet_of(network)]
        assert sum(other.num_addresses for other in ipaddress.collapse_addresses(inner)) < network.num_addresses
        assert any(network.subnet_of(ipaddress.ip_network(outer)) for outer in asked)
        if str(network) in asked:  # a requested entity stands for itself
            effective = whole.effective(parse_key("ipv4", text))
            assert answer[text] == {name: effective[name] for name in names if name in effective}


@given(entries=st.dictionaries(st.sampled_from(_PREFIXES), _VALUES), text=st.sampled_from(_PREFIXES))
def test_an_entity_has_any_property_when_an_address_in_it_has(entries: dict[str, Any], text: str) -> None:
    found = table(entries)
    expected = any(found.effective(parse_key("ipv4", str(address))) != {} for address in ipaddress.ip_network(text))
    assert found.has_any(parse_key("ipv4", text)) is expected


def test_nested_requests_do_not_multiply_the_work() -> None:
    found = table({f"10.{high}.{low}.0/24": {"P": str(low)} for high in range(8) for low in range(256)})
    visited = 0

    class Counting(dict[str, Any]):
        def items(self) -> Any:
            nonlocal visited
            visited += 1
            return super().items()

    counted = EntityTable("ipv4", {key: Counting(properties) for key, properties in found.entries.items()})
    select(counted, [f"10.0.0.0/{length}" for length in range(8, 21)], ["P"])
    assert visited <= 2048
