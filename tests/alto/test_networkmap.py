"""Network maps: what is refused, what is forgiven, which PID an address has, and what a server answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import networkmap
from alto.directory import Directory, Query, RequestContext
from alto.errors import ConfigurationError, DecodeError, ErrorCode, RequestError
from alto.findings import Findings, Level
from alto.networkmap import (
    FilteredNetworkMap,
    FilteredNetworkMapResource,
    Location,
    NetworkMap,
    NetworkMapResource,
    network_map_filter,
    parse_filtered_network_map,
    parse_network_map,
)
from alto.types import VTag

EXAMPLES = Path(__file__).parents[1] / "data/alto_examples/rfc7285"
# RFC 7285 section 11.2.2.
COMPLETE = {
    "PID0": {"ipv6": ["::/0"]},
    "PID1": {"ipv4": ["0.0.0.0/0"]},
    "PID2": {"ipv4": ["192.0.2.0/24", "198.51.100.0/24"]},
    "PID3": {"ipv4": ["192.0.2.0/25", "192.0.2.128/25"]},
}
VTAG = {"resource-id": "my-default-network-map", "tag": "da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785"}


def example(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_bytes())


def response(pids: Any, vtag: Any = VTAG) -> dict[str, Any]:
    return {"meta": {"vtag": vtag}, "network-map": pids}


def lenient(tree: Any) -> tuple[networkmap.ParsedNetworkMap, list[str]]:
    findings = Findings(strict=False)
    parsed = parse_network_map(tree, findings)
    return parsed, [f"{finding.level}: {finding}" for finding in findings.items]


def test_the_rfcs_complete_map_maps_its_address() -> None:
    network_map = NetworkMap(COMPLETE)
    assert network_map.pid_of("192.0.2.1") == "PID3"
    assert network_map.pid_of("ipv4:198.51.100.1") == "PID2"
    assert network_map.pid_of("ipv6:2001:db8::1") == "PID0"
    assert network_map.locate("192.0.2.200") == Location("PID3", "192.0.2.128/25")
    assert network_map.pids_of(["192.0.2.1", "ipv6:::", "8.8.8.8"]) == ["PID3", "PID0", "PID1"]
    assert network_map.pids_of(["192.0.2.1", "8.8.8.8"] * 100) == ["PID3", "PID1"] * 100
    assert network_map.names == ("PID0", "PID1", "PID2", "PID3")


def test_the_rfcs_overlapping_map_is_refused() -> None:
    overlapping = {**COMPLETE, "PID3": {"ipv4": ["192.0.2.0/24"]}}
    with pytest.raises(ConfigurationError, match=r"PID3/ipv4: 192.0.2.0/24 is in the PID 'PID2' already .*11.2.2"):
        NetworkMap(overlapping)
    with pytest.raises(DecodeError, match="network-map/PID3/ipv4"):
        parse_network_map(response(overlapping), Findings())
    parsed, notes = lenient(response(overlapping))
    assert parsed.network_map.pid_of("192.0.2.1") == "PID2"
    assert parsed.network_map.pids["PID3"] == {"ipv4": ()}
    assert len(notes) == 1


def test_overlap_is_seen_behind_another_spelling() -> None:
    with pytest.raises(ConfigurationError, match="2001:db8::/32 is in the PID 'a' already"):
        NetworkMap({"a": {"ipv6": ["::/0", "2001:db8::/32"]}, "b": {"ipv6": ["2001:0DB8::0/32"]}})


def test_a_prefix_twice_in_one_pid_counts_once() -> None:
    twice = {"a": {"ipv4": ["0.0.0.0/0", "0.0.0.0/0"]}}
    assert NetworkMap(twice).to_json() == {"a": {"ipv4": ["0.0.0.0/0"]}}
    _, notes = lenient(response(twice))
    assert notes == ["note: network-map/a/ipv4: 0.0.0.0/0 is there twice (RFC 7285 section 11.2.2)"]


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        ({"a": {"ipv4": ["192.0.2.0/24"]}}, "incomplete: no PID contains 0.0.0.0 to 192.0.1.255"),
        ({"a": {"ipv4": ["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"]}}, "no PID contains 224.0.0.0 to 255.255.255.255"),
        ({"a": {"ipv4": ["0.0.0.0/0"], "ipv6": ["2000::/3"]}}, "no PID contains :: to 1fff:ffff:"),
    ],
)
def test_a_map_is_complete_for_every_family_in_it(pids: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NetworkMap(pids)
    with pytest.raises(DecodeError, match=message):
        parse_network_map(response(pids), Findings())
    parsed, notes = lenient(response(pids))
    assert len(notes) == 1
    assert parsed.network_map.pids.keys() == pids.keys()


def test_a_map_of_one_family_is_complete_without_the_other() -> None:
    network_map = NetworkMap({"a": {"ipv4": ["0.0.0.0/1", "128.0.0.0/1"], "ipv6": []}, "empty": {}})
    assert network_map.pid_of("::1") is None
    assert network_map.pids_of(["::1", "1.1.1.1"]) == [None, "a"]
    assert network_map.locate("::1") is None


def test_the_owner_may_have_the_rest_in_a_pid_of_his() -> None:
    pids = {"a": {"ipv4": ["192.0.2.0/24"], "ipv6": ["::/1", "8000::/1"]}}
    completed = NetworkMap(pids, default_pid="rest")
    assert completed.to_json() == {**pids, "rest": {"ipv4": ["0.0.0.0/0"]}}
    assert completed.pid_of("8.8.8.8") == "rest"
    assert NetworkMap(pids, default_pid="a").pids["a"]["ipv4"] == ("192.0.2.0/24", "0.0.0.0/0")
    assert NetworkMap(COMPLETE, default_pid="rest").to_json() == COMPLETE
    with pytest.raises(ConfigurationError, match="no PID name"):
        NetworkMap(pids, default_pid="the.rest")


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        ({"": {"ipv4": ["0.0.0.0/0"]}}, "'' is no PID name"),
        ({"a.b": {}}, "'a.b' is no PID name"),
        ({"a b": {}}, "'a b' is no PID name"),
        ({"é": {}}, "is no PID name"),
        ({"x" * 65: {}}, "is no PID name"),
        (
            {"a": {"ipv4": ["198.51.100.128/24"]}},
            "a/ipv4: 198.51.100.128/24 has host bits set; its prefix is 198.51.100",
        ),
        ({"a": {"ipv4": ["192.0.2.1"]}}, "a/ipv4: '192.0.2.1' is no ipv4 prefix"),
        ({"a": {"ipv4": ["2001:db8::/32"]}}, "'2001:db8::' is no IPv4 address"),
        ({"a": {"ipv6": ["192.0.2.0/24"]}}, "is no IPv6 address"),
        ({"a": {"ipv4": [1]}}, "a string is due, not 1"),
        ({"a": {"ipv4": "0.0.0.0/0"}}, "an array is due"),
        ({"a": {"ip-v4": ["0.0.0.0/0"]}}, "'ip-v4' is no address type"),
        ({"a": {"mac": ["00:00:5e:00:53:00/24"]}}, "address type 'mac' is not registered"),
    ],
)
def test_a_server_gets_one_sentence_for_a_map_that_cannot_be_served(pids: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NetworkMap(pids)


def test_names_of_64_characters_are_names() -> None:
    name = "aZ09-:@_" * 8
    assert NetworkMap({name: {"ipv4": ["0.0.0.0/0"]}}).pid_of("1.1.1.1") == name


def test_a_map_does_not_change_with_what_it_was_made_from() -> None:
    prefixes = ["0.0.0.0/0"]
    network_map = NetworkMap({"a": {"ipv4": prefixes}})
    prefixes.append("192.0.2.0/24")
    assert network_map.pids == {"a": {"ipv4": ("0.0.0.0/0",)}}
    with pytest.raises(TypeError):
        network_map.pids["b"] = {}  # type: ignore[index]


def test_the_tag_changes_with_the_content_and_only_with_it() -> None:
    network_map = NetworkMap(COMPLETE)
    # RFC 7285 asks for 1 to 64 of U+0021 to U+007E.
    assert len(network_map.tag) == 40
    other = {**COMPLETE, "PID3": {"ipv4": ["192.0.2.0/25"]}}
    more = {**COMPLETE, "PID4": {}}
    replaced = {**COMPLETE, "PID3": {"ipv4": ["192.0.2.0/25", "203.0.113.0/24"]}}
    tags = {network_map.tag, *(NetworkMap(pids).tag for pids in (other, more, replaced))}
    assert len(tags) == 4


def test_the_tag_does_not_depend_on_the_order() -> None:
    backwards = {
        name: {kind: prefixes[::-1] for kind, prefixes in group.items()} for name, group in [*COMPLETE.items()][::-1]
    }
    assert NetworkMap(backwards).tag == NetworkMap(COMPLETE).tag


@pytest.mark.parametrize("address", ["ipv4:::1", "ipv6:192.0.2.1", "192.0.2.01", "", "pid:PID1", "ipv4:"])
def test_what_is_no_address_has_no_pid(address: str) -> None:
    network_map = NetworkMap(COMPLETE)
    for ask in (network_map.pid_of, network_map.locate, lambda text: network_map.pids_of(["8.8.8.8"] * 70 + [text])):
        with pytest.raises(ValueError, match="is no"):
            ask(address)


def test_version_tags_are_equal_octet_by_octet() -> None:
    """Section 10.3"""
    spelled = [{"resource-id": name, "tag": tag} for name in ("m", "M") for tag in ("a1", "A1", "a1.")]
    vtags = [parse_network_map(response(COMPLETE, vtag), Findings()).vtag for vtag in spelled]
    assert len(set(vtags)) == 6
    assert [vtag.to_json() for vtag in vtags if vtag is not None] == spelled


def test_the_rfcs_response_is_read() -> None:
    findings = Findings()
    parsed = parse_network_map(example("rfc7285-s11.2.1.7-01.json"), findings)
    assert parsed.vtag == VTag("my-default-network-map", "da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785")
    assert parsed.network_map.pid_of("198.51.100.200") == "PID2"
    assert parsed.network_map.pid_of("2001:db8::1") == "PID3"
    assert findings.items == []


def test_unknown_address_types_are_ignored_and_their_pids_are_valid() -> None:
    pids = {**COMPLETE, "PID9": {"mac48": ["00-00-5e/24"]}, "PID8": {"mac48": {"not": "prefixes"}}}
    findings = Findings()
    network_map = parse_network_map(response(pids), findings).network_map
    assert network_map.names[-2:] == ("PID9", "PID8")
    assert network_map.pids["PID9"] == {"mac48": ("00-00-5e/24",)}
    assert network_map.pids["PID8"] == {}
    assert network_map.pid_of("192.0.2.1") == "PID3"
    assert {finding.level for finding in findings.items} == {Level.NOTE}


def test_unknown_members_are_ignored() -> None:
    tree = response(COMPLETE)
    tree["meta"]["priv:x"] = tree["data"] = 1
    assert parse_network_map(tree, Findings()).network_map.tag == NetworkMap(COMPLETE).tag


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"network-map": COMPLETE}, "meta: missing .*8.4"),
        ({"meta": {}, "network-map": COMPLETE}, "meta/vtag: missing .*11.2.1.6"),
        ({"meta": {"vtags": VTAG}, "network-map": COMPLETE}, "meta/vtag: missing"),
        ({"meta": [], "network-map": COMPLETE}, "meta: an object is due"),
        (response(COMPLETE, [VTAG]), "meta/vtag: an object is due"),
        (response(COMPLETE, {"tag": "1"}), "meta/vtag/resource-id: missing"),
        (response(COMPLETE, {"resource-id": "m"}), "meta/vtag/tag: missing"),
        (response(COMPLETE, {"resource-id": "m", "tag": 1}), "meta/vtag/tag: a string is due"),
        (response(COMPLETE, {"resource-id": "m", "tag": "a b"}), "meta/vtag/tag: 'a b' is no tag"),
        (response(COMPLETE, {"resource-id": "m", "tag": "x" * 65}), "meta/vtag/tag"),
        (response(COMPLETE, {"resource-id": "m.n", "tag": "1"}), "meta/vtag/resource-id: 'm.n' is no resource ID"),
        (response({**COMPLETE, "a.b": {}}), "network-map/a.b: 'a.b' is no PID name .*10.1"),
        (response({**COMPLETE, "a": []}), "network-map/a: an object is due"),
        (response({**COMPLETE, "a": {"ipv4": "10.0.0.0/8"}}), "network-map/a/ipv4: an array is due"),
        (response({**COMPLETE, "a": {"ipv4": [None]}}), "network-map/a/ipv4: a string is due"),
        (response({**COMPLETE, "a": {"ip v4": []}}), "is no address type .*10.4.2"),
        (
            response({**COMPLETE, "a": {"ipv4": ["10.1.0.0/8"]}}),
            "network-map/a/ipv4: 10.1.0.0/8 has host bits .*10.4.4.1",
        ),
        (response({**COMPLETE, "a": {"ipv6": ["2001:db8::1/32"]}}), "has host bits .*10.4.4.2"),
        (response({**COMPLETE, "a": {"ipv4": ["10/8"]}}), "'10' is no IPv4 address"),
        (response({**COMPLETE, "a": {"ipv4": ["10.0.0.1"]}}), "is no ipv4 prefix"),
    ],
)
def test_a_strict_client_stops_at_the_first_broken_must_and_a_lenient_one_goes_on(tree: Any, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        parse_network_map(tree, Findings())
    parsed, notes = lenient(tree)
    # Where `meta` is at fault, there is no `vtag` either.
    assert len([note for note in notes if note.startswith("must: ")]) == (2 if message.startswith("meta: ") else 1)
    assert parsed.network_map.pid_of("192.0.2.1") == "PID3"


@pytest.mark.parametrize("tree", [None, [], "x", {}, {"meta": {}}, {"network-map": []}, response(None), response([])])
def test_without_a_map_nothing_is_read_even_leniently(tree: Any) -> None:
    for strict in (True, False):
        with pytest.raises(DecodeError):
            parse_network_map(tree, Findings(strict=strict))


def test_a_lenient_client_takes_an_address_for_the_prefix_of_it() -> None:
    parsed, _ = lenient(response({**COMPLETE, "a": {"ipv4": ["10.0.0.1", "x", "::1"]}}))
    assert parsed.network_map.pids["a"] == {"ipv4": ("10.0.0.1/32",)}


def test_another_spelling_than_rfc_5952s_is_noted() -> None:
    parsed, notes = lenient(response({"a": {"ipv6": ["0::/0", "2001:DB8::/32"]}}))
    assert parsed.network_map.pids["a"]["ipv6"] == ("::/0", "2001:db8::/32")
    assert notes[1] == (
        "should: network-map/a/ipv6: 2001:DB8::/32 is 2001:db8::/32 in the form of RFC 5952 (RFC 7285 section 10.4.4.2)"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["meta", "vtag", "resource-id", "tag", "network-map", "ipv4", "ipv6", "PID1", "a.b"]), inner
        )
    ),
    max_leaves=30,
)
PREFIX = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/8", "::/0", "::1/0", "10.0.0.1", "::1", "x/1", ""])
GROUP = st.dictionaries(st.sampled_from(["ipv4", "ipv6", "mac", "i-p"]), st.lists(PREFIX | JSON, max_size=4) | JSON)


@given(JSON | st.builds(response, st.dictionaries(st.sampled_from(["a", "b", "c.d", ""]), GROUP | JSON), JSON))
def test_any_json_is_a_map_or_a_decode_error(tree: Any) -> None:
    for read in (parse_network_map, parse_filtered_network_map):
        for strict in (True, False):
            try:
                parsed = read(tree, Findings(strict=strict))
            except DecodeError:
                continue
            assert read(response(dict(_listed(parsed.network_map.pids))), Findings(strict=False)) is not None


def _listed(pids: networkmap.Pids) -> dict[str, dict[str, list[str]]]:
    return {name: {kind: [*prefixes] for kind, prefixes in group.items()} for name, group in pids.items()}


def test_the_rfcs_filtered_response_has_host_bits_and_then_a_prefix_twice() -> None:
    """Trap 7: section 11.3.1.7's 198.51.100.128/24 is PID1's prefix, once the host bits are gone."""
    tree = example("rfc7285-s11.3.1.7-02.json")
    asked = example("rfc7285-s11.3.1.7-01.json")
    with pytest.raises(DecodeError, match=r"198\.51\.100\.128/24 has host bits set"):
        parse_filtered_network_map(tree, Findings(), asked)
    findings = Findings(strict=False)
    parsed = parse_filtered_network_map(tree, findings, asked)
    assert [finding.section for finding in findings.items] == ["10.4.4.1", "11.2.2"]
    assert parsed.vtag == VTag("my-default-network-map", "c0ce023b8678a7b9ec00324673b98e54656d1f6d")
    assert parsed.network_map.pids == {"PID1": {"ipv4": ("192.0.2.0/24", "198.51.100.0/24")}, "PID2": {"ipv4": ()}}


def test_a_filtered_map_maps_no_address() -> None:
    """Trap 32: without PID3, 192.0.2.1 would seem to be in PID2."""
    filtered = parse_filtered_network_map(response({"PID2": COMPLETE["PID2"]}), Findings()).network_map
    assert isinstance(filtered, FilteredNetworkMap)
    assert not hasattr(filtered, "pid_of")
    assert not hasattr(filtered, "table")


def test_a_client_sees_what_it_did_not_ask_for() -> None:
    tree = response({"PID2": COMPLETE["PID2"], "PID0": COMPLETE["PID0"]})
    assert parse_filtered_network_map(tree, Findings(), {"pids": []}).network_map.pids.keys() == {"PID2", "PID0"}
    with pytest.raises(DecodeError, match="network-map/PID0: a PID that was not asked for"):
        parse_filtered_network_map(tree, Findings(), {"pids": ["PID2", "PID3"]})
    with pytest.raises(DecodeError, match="network-map/PID0/ipv6: an address type that was not asked for"):
        parse_filtered_network_map(tree, Findings(), {"pids": [], "address-types": ["ipv4"]})


def test_a_filter_is_asked_for_by_names_in_the_syntax() -> None:
    assert network_map_filter(["PID1", "PID2"]) == example("rfc7285-s11.3.1.7-01.json")
    assert network_map_filter(address_types=["ipv4"]) == {"pids": [], "address-types": ["ipv4"]}
    with pytest.raises(ConfigurationError, match=r"'a\.b' is no PID name"):
        network_map_filter(["a.b"])
    with pytest.raises(ConfigurationError, match="is no address type"):
        network_map_filter([], ["ip/4"])


WHOLE = NetworkMapResource("my-map", NetworkMap(COMPLETE))
FILTERED = FilteredNetworkMapResource("filtered", "my-map")
DIRECTORY = Directory([WHOLE, FILTERED], default_network_map="my-map")


def ask(resource: Any, body: Any = None, directory: Directory = DIRECTORY) -> Any:
    return resource.answer(Query(RequestContext(directory), body, random_bytes=bytes)).tree


def test_the_whole_map_is_answered_with_its_version() -> None:
    assert ask(WHOLE) == {
        "meta": {"vtag": {"resource-id": "my-map", "tag": NetworkMap(COMPLETE).tag}},
        "network-map": COMPLETE,
    }
    assert parse_network_map(ask(WHOLE), Findings()).vtag == WHOLE.vtag
    assert WHOLE.answer(Query(RequestContext(DIRECTORY), random_bytes=bytes)).vtag == WHOLE.vtag


def test_what_the_ird_says_of_the_maps() -> None:
    assert (WHOLE.media_type, WHOLE.accepts, WHOLE.uses) == ("application/alto-networkmap+json", None, ())
    assert FILTERED.media_type == "application/alto-networkmap+json"
    assert FILTERED.accepts == "application/alto-networkmapfilter+json"
    assert FILTERED.uses == ("my-map",)
    assert WHOLE.capabilities(DIRECTORY) == FILTERED.capabilities(DIRECTORY) == {}
    assert WHOLE.cost_types == FILTERED.cost_types == {}
    assert NetworkMapResource("p", NetworkMap(COMPLETE), is_private=True).is_private
    assert not WHOLE.is_private


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"pids": []}, ["PID0", "PID1", "PID2", "PID3"]),
        ({"pids": ["PID2"]}, ["PID2"]),
        ({"pids": ["PID2", "PID0", "PID2"]}, ["PID0", "PID2"]),
        ({"pids": ["PID2", "nope"]}, ["PID2"]),
        ({"pids": ["nope"]}, []),
        ({"pids": ["x" * 64]}, []),
        ({"pids": ["PID2"], "ignored": 1}, ["PID2"]),
    ],
)
def test_pids_filter_the_map_and_an_empty_list_is_all_of_them(body: Any, names: list[str]) -> None:
    """Trap 2: a list that is empty is all, a list of which nothing is left is none."""
    assert ask(FILTERED, body) == response({name: COMPLETE[name] for name in names}, WHOLE.vtag.to_json())


@pytest.mark.parametrize(
    ("kinds", "groups"),
    [
        ([], COMPLETE),
        (["ipv4", "ipv6"], COMPLETE),
        (["ipv6", "ipv6"], {"PID0": {"ipv6": ["::/0"]}, "PID1": {}, "PID2": {}, "PID3": {}}),
        (["ipv6", "mac48"], {"PID0": {"ipv6": ["::/0"]}, "PID1": {}, "PID2": {}, "PID3": {}}),
        (["mac48"], {"PID0": {}, "PID1": {}, "PID2": {}, "PID3": {}}),
    ],
)
def test_address_types_filter_the_map_and_an_empty_list_is_all_of_them(kinds: list[str], groups: Any) -> None:
    """Trap 2 once more; a PID that is left without addresses stays."""
    assert ask(FILTERED, {"pids": [], "address-types": kinds})["network-map"] == groups


@pytest.mark.parametrize(
    ("body", "code", "field", "value"),
    [
        ({"pids": ["PID1", "no.pid"]}, ErrorCode.INVALID_FIELD_VALUE, "pids", "no.pid"),
        ({"pids": ["x" * 65]}, ErrorCode.INVALID_FIELD_VALUE, "pids", "x" * 65),
        ({"pids": [""]}, ErrorCode.INVALID_FIELD_VALUE, "pids", ""),
        ({"pids": [], "address-types": ["ipv4", "ip-6"]}, ErrorCode.INVALID_FIELD_VALUE, "address-types", "ip-6"),
        ([], ErrorCode.INVALID_FIELD_TYPE, None, None),
        ({}, ErrorCode.MISSING_FIELD, "pids", None),
        ({"address-types": []}, ErrorCode.MISSING_FIELD, "pids", None),
        ({"pids": "PID1"}, ErrorCode.INVALID_FIELD_TYPE, "pids", None),
        ({"pids": None}, ErrorCode.INVALID_FIELD_TYPE, "pids", None),
        ({"pids": ["PID1", 2]}, ErrorCode.INVALID_FIELD_VALUE, "pids", "2"),
        ({"pids": [], "address-types": {}}, ErrorCode.INVALID_FIELD_TYPE, "address-types", None),
        ({"pids": [], "address-types": [["ipv4"]]}, ErrorCode.INVALID_FIELD_VALUE, "address-types", '["ipv4"]'),
    ],
)
def test_a_filter_that_is_none_is_refused(body: Any, code: ErrorCode, field: str | None, value: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        ask(FILTERED, body)
    assert (caught.value.code, caught.value.field, caught.value.value) == (code, field, value)


@given(JSON | st.fixed_dictionaries({"pids": st.lists(JSON, max_size=3)}, optional={"address-types": JSON}))
def test_any_json_posted_is_answered_or_refused(body: Any) -> None:
    try:
        tree = ask(FILTERED, body)
    except RequestError:
        return
    parse_filtered_network_map(tree, Findings(), body)


def test_the_version_of_a_filtered_map_is_that_of_the_whole() -> None:
    document = FILTERED.answer(Query(RequestContext(DIRECTORY), {"pids": ["PID0"]}, random_bytes=bytes))
    assert document.vtag == WHOLE.vtag
    assert document.tree["meta"]["vtag"] == WHOLE.vtag.to_json()


def test_both_depend_on_the_map_and_change_with_it() -> None:
    changed = DIRECTORY.replacing(NetworkMapResource("my-map", NetworkMap({"a": {"ipv4": ["0.0.0.0/0"]}})))
    assert FILTERED.depends_on(DIRECTORY) == WHOLE.depends_on(DIRECTORY)
    assert FILTERED.depends_on(changed) != FILTERED.depends_on(DIRECTORY)
    assert ask(FILTERED, {"pids": []}, changed)["network-map"] == {"a": {"ipv4": ["0.0.0.0/0"]}}


def test_a_filtered_map_needs_the_map_it_filters() -> None:
    with pytest.raises(ConfigurationError, match="'filtered' uses 'my-map'"):
        Directory([FILTERED])
    alone = Directory([FilteredNetworkMapResource("my-map", "my-map")])
    with pytest.raises(ConfigurationError, match="is no NetworkMapResource"):
        FILTERED.depends_on(alone)


def test_a_filter_does_not_open_a_private_map() -> None:
    private = NetworkMapResource("my-map", NetworkMap(COMPLETE), is_private=True)
    directory = Directory([private, FILTERED])
    for use in (lambda: FILTERED.capabilities(directory), lambda: ask(FILTERED, {"pids": []}, directory)):
        with pytest.raises(ConfigurationError, match="'filtered' would show everybody the private map 'my-map'"):
            use()
    closed = FilteredNetworkMapResource("filtered", "my-map", is_private=True)
    assert ask(closed, {"pids": ["PID0"]}, Directory([private, closed]))["network-map"] == {"PID0": COMPLETE["PID0"]}
