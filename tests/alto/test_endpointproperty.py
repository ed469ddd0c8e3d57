"""The endpoint property service, served, asked and read (RFC 7285 sections 10.8 and 11.4)."""

from typing import Any

import pytest
from alto_properties import ALT_MAP, DEFAULT_MAP, DIRECTORY, ask, example, refusal
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.directory import Directory
from alto.endpointproperty import (
    EndpointPropertyResource,
    endpoint_property_params,
    is_endpoint_property,
    parse_endpoint_properties,
)
from alto.errors import ConfigurationError, DecodeError, ErrorCode, RequestError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource

VALUE, TYPE, MISSING = ErrorCode.INVALID_FIELD_VALUE, ErrorCode.INVALID_FIELD_TYPE, ErrorCode.MISSING_FIELD
# The network map of RFC 7285 section 11.2.1.7, as far as section 11.4.1.7 needs it.
MAP = NetworkMapResource(
    "my-default-network-map",
    NetworkMap(
        {
            "PID1": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"]},
            "PID2": {"ipv4": ["198.51.100.128/25"]},
            "PID3": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
        }
    ),
)
EPS = EndpointPropertyResource("eps", {"ipv4:192.0.2.34": {"priv:ietf-example-prop": "1"}})
SERVER = Directory([MAP, EPS])
PID = "my-default-network-map.pid"


@pytest.mark.parametrize("text", ["pid", "my-default-networkmap.pid", "priv:x", "a:b.c:d", "r" * 64 + "." + "p" * 32])
def test_a_property_is_global_or_of_a_resource(text: str) -> None:
    assert is_endpoint_property(text)


@pytest.mark.parametrize("text", ["", ".pid", "priv:", "a.priv:", "a.b.pid", "p" * 33, "a b", "r" * 65 + ".pid", "é"])
def test_what_section_10_8_excludes_is_no_property(text: str) -> None:
    assert not is_endpoint_property(text)


def test_the_example_is_answered_as_printed() -> None:
    """Section 11.4.1.7, with the resource ID of the answer in the request too (trap 21)."""
    body = example("rfc7285-s11.4.1.7-01")
    body["properties"][0] = PID
    document = ask(SERVER, "eps", body)
    printed = example("rfc7285-s11.4.1.7-02")
    assert document.media_type == media.ENDPOINT_PROPERTIES
    assert document.tree["endpoint-properties"] == printed["endpoint-properties"]
    assert document.tree["meta"] == {"dependent-vtags": [MAP.vtag.to_json()]}
    parse_endpoint_properties(document.tree, Findings(), body)


def test_the_example_asks_for_another_map_than_it_is_answered_for() -> None:
    """Trap 21: my-default-networkmap is asked, my-default-network-map answered."""
    asked, answer = example("rfc7285-s11.4.1.7-01"), example("rfc7285-s11.4.1.7-02")
    assert refusal(SERVER, "eps", asked) == (VALUE, "properties", "my-default-networkmap.pid")
    parse_endpoint_properties(answer, Findings())
    findings = Findings(strict=False)
    parsed = parse_endpoint_properties(answer, findings, asked)
    assert [item.path for item in findings.items] == ["endpoint-properties", "meta/dependent-vtags"]
    assert parsed.get("ipv4:192.0.2.34", PID) == "PID1"
    with pytest.raises(DecodeError, match="was not asked"):
        parse_endpoint_properties(answer, Findings(), asked)


def test_the_pid_in_every_network_map_can_be_asked() -> None:
    """Section 11.4.1.4."""
    legacy = DIRECTORY.resources["legacy-endpoint-property"]
    names = ["default-network-map.pid", "alt-network-map.pid"]
    assert legacy.capabilities(DIRECTORY) == {"prop-types": names}
    assert legacy.uses == ()
    tree = ask(DIRECTORY, legacy.id, {"properties": names, "endpoints": ["ipv4:192.0.2.64", "ipv6:::1"]}).tree
    assert tree["endpoint-properties"] == {
        "ipv4:192.0.2.64": dict(zip(names, ["pid1", "defaultpid"], strict=True)),
        "ipv6:::1": dict(zip(names, ["defaultpid", "defaultpid"], strict=True)),
    }
    assert [vtag["resource-id"] for vtag in tree["meta"]["dependent-vtags"]] == [
        "default-network-map",
        "alt-network-map",
    ]


def test_only_the_maps_whose_pid_is_asked_are_named_and_none_is_an_empty_list() -> None:
    body = {"properties": ["priv:ietf-example-prop"], "endpoints": ["ipv4:192.0.2.34", "ipv4:203.0.113.129"]}
    assert ask(SERVER, "eps", body).tree == {
        "meta": {"dependent-vtags": []},
        "endpoint-properties": {"ipv4:192.0.2.34": {"priv:ietf-example-prop": "1"}, "ipv4:203.0.113.129": {}},
    }


def test_each_endpoint_is_answered_once_in_the_client_s_own_spelling() -> None:
    body = {
        "properties": [PID, PID],
        "endpoints": ["ipv6:2001:DB8:0:0::1", "ipv6:2001:db8::1", "ipv4:192.0.2.1", "ipv4:192.0.2.1"],
    }
    assert ask(SERVER, "eps", body).tree["endpoint-properties"] == {
        "ipv6:2001:DB8:0:0::1": {PID: "PID3"},
        "ipv4:192.0.2.1": {PID: "PID1"},
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, (TYPE, None, None)),
        ("x", (TYPE, None, None)),
        ({}, (MISSING, "properties", None)),
        ({"properties": [PID]}, (MISSING, "endpoints", None)),
        ({"endpoints": ["ipv4:192.0.2.1"]}, (MISSING, "properties", None)),
        ({"properties": {}, "endpoints": []}, (TYPE, "properties", None)),
        ({"properties": [PID], "endpoints": "ipv4:192.0.2.1"}, (TYPE, "endpoints", None)),
        ({"properties": [PID], "endpoints": None}, (TYPE, "endpoints", None)),
        ({"properties": [], "endpoints": ["ipv4:192.0.2.1"]}, (VALUE, "properties", "[]")),
        ({"properties": [PID], "endpoints": []}, (VALUE, "endpoints", "[]")),
        ({"properties": [1], "endpoints": ["ipv4:192.0.2.1"]}, (VALUE, "properties", "1")),
        ({"properties": [PID], "endpoints": [1.5]}, (VALUE, "endpoints", "1.5")),
        ({"properties": [PID], "endpoints": [None]}, (VALUE, "endpoints", "null")),
        ({"properties": ["pid"], "endpoints": ["ipv4:192.0.2.1"]}, (VALUE, "properties", "pid")),
        ({"properties": [PID], "endpoints": ["192.0.2.1"]}, (VALUE, "endpoints", "192.0.2.1")),
        ({"properties": [PID], "endpoints": ["ipv4:192.0.2.0/24"]}, (VALUE, "endpoints", "ipv4:192.0.2.0/24")),
        ({"properties": [PID], "endpoints": ["ipv4:2001:db8::1"]}, (VALUE, "endpoints", "ipv4:2001:db8::1")),
        ({"properties": [PID], "endpoints": ["mac:02-00"]}, (VALUE, "endpoints", "mac:02-00")),
    ],
)
def test_each_bad_request_gets_its_code_field_and_value(body: Any, error: Any) -> None:
    """Trap 5."""
    assert refusal(SERVER, "eps", body) == error


def test_values_are_inherited_by_longest_prefix_and_null_is_none() -> None:
    values = {
        "ipv4:192.0.2.0/24": {"priv:isp": "a", "priv:as": "1"},
        "ipv4:192.0.2.0/28": {"priv:isp": None},
        "ipv6:2001:db8::/32": {"priv:isp": "b"},
    }
    server = Directory([EndpointPropertyResource("eps", values)])
    assert server.resources["eps"].capabilities(server) == {"prop-types": ["priv:isp", "priv:as"]}
    endpoints = ["ipv4:192.0.2.1", "ipv4:192.0.2.99", "ipv6:2001:db8::1", "ipv6:::1"]
    tree = ask(server, "eps", {"properties": ["priv:isp", "priv:as"], "endpoints": endpoints}).tree
    assert [*tree["endpoint-properties"].values()] == [
        {"priv:as": "1"},
        {"priv:isp": "a", "priv:as": "1"},
        {"priv:isp": "b"},
        {},
    ]


def test_properties_of_a_property_map_are_offered_under_its_id() -> None:
    source = PropertySource(
        {"ipv4": {"192.0.2.0/24": {".isp": "a"}}, ".ane": {"x": {".cpu": 1}}},
        {"ipv4": [".isp", "alt-network-map.pid"], "ipv6": [".isp", ".v6"], ".ane": [".cpu"]},
    )
    for kind in (PropertyMapResource, FilteredPropertyMapResource):
        eps = EndpointPropertyResource("eps", network_maps=["alt-network-map"], property_maps=["props"])
        server = Directory([DEFAULT_MAP, ALT_MAP, kind("props", source), eps])
        assert eps.capabilities(server) == {"prop-types": ["alt-network-map.pid", "props.isp", "props.v6"]}
        body = {"properties": ["props.isp", "props.v6"], "endpoints": ["ipv4:192.0.2.1", "ipv6:::1"]}
        tree = ask(server, "eps", body).tree
        assert tree["endpoint-properties"] == {"ipv4:192.0.2.1": {"props.isp": "a"}, "ipv6:::1": {}}


def test_a_network_map_knows_its_pids_better_than_the_values_do() -> None:
    values = {"ipv4:192.0.2.0/24": {PID: "mine", "priv:x": "1"}}
    server = Directory([MAP, EndpointPropertyResource("eps", values)])
    assert server.resources["eps"].capabilities(server) == {"prop-types": [PID, "priv:x"]}
    tree = ask(server, "eps", {"properties": [PID], "endpoints": ["ipv4:192.0.2.1"]}).tree
    assert tree["endpoint-properties"] == {"ipv4:192.0.2.1": {PID: "PID1"}}


def test_the_answers_hang_on_all_that_is_looked_up() -> None:
    other = Directory([NetworkMapResource(MAP.id, NetworkMap({"all": {"ipv4": ["0.0.0.0/0"]}})), EPS])
    assert EPS.depends_on(SERVER) == EPS.depends_on(Directory([MAP, EPS]))
    assert EPS.depends_on(SERVER) != EPS.depends_on(other)
    assert EPS.depends_on(SERVER) != EndpointPropertyResource("eps").depends_on(SERVER)


def test_properties_from_everywhere_are_asked_together() -> None:
    props = PropertyMapResource("props", PropertySource({"ipv4": {"192.0.2.0/24": {".isp": "a", ".as": "1"}}}))
    more = FilteredPropertyMapResource("more", PropertySource({"ipv4": {"192.0.2.0/25": {".isp": "b"}}}))
    values = {"ipv4:0.0.0.0/0": {"priv:x": "y", "priv:z": None}, "ipv6:::/0": {"priv:x": "w"}}
    server = Directory([MAP, props, more, EndpointPropertyResource("eps", values, property_maps=["props", "more"])])
    body = {
        "properties": ["more.isp", "priv:z", "props.as", PID, "props.isp", "priv:x"],
        "endpoints": ["ipv4:192.0.2.1", "ipv4:192.0.2.200", "ipv6:::1"],
    }
    assert ask(server, "eps", body).tree["endpoint-properties"] == {
        "ipv4:192.0.2.1": {PID: "PID1", "more.isp": "b", "props.as": "1", "props.isp": "a", "priv:x": "y"},
        "ipv4:192.0.2.200": {PID: "PID1", "props.as": "1", "props.isp": "a", "priv:x": "y"},
        "ipv6:::1": {PID: "PID3", "priv:x": "w"},
    }


def test_an_address_in_no_pid_has_no_pid() -> None:
    server = Directory([NetworkMapResource("m", NetworkMap({"all": {"ipv4": ["0.0.0.0/0"]}})), EPS])
    tree = ask(server, "eps", {"properties": ["m.pid"], "endpoints": ["ipv6:::1"]}).tree
    assert tree["endpoint-properties"] == {"ipv6:::1": {}}


def test_nothing_private_is_told_to_everybody() -> None:
    secret = NetworkMapResource("secret", MAP.network_map, is_private=True)
    server = Directory([MAP, secret, EPS])
    assert PID in EPS.capabilities(server)["prop-types"]
    assert "secret.pid" not in EPS.capabilities(server)["prop-types"]
    private = EndpointPropertyResource("eps", is_private=True)
    assert private.capabilities(server) == {"prop-types": [PID, "secret.pid"]}
    with pytest.raises(ConfigurationError, match="private"):
        EndpointPropertyResource("eps", network_maps=["secret"]).capabilities(server)


@pytest.mark.parametrize(
    ("values", "more", "words"),
    [
        ({"192.0.2.1": {"p": "1"}}, {}, "no typed address"),
        ({"pid:x": {"p": "1"}}, {}, "no typed address"),
        ({"ipv4:300.0.2.1": {"p": "1"}}, {}, "no IPv4 address"),
        ({"ipv4:192.0.2.1": {".p": "1"}}, {}, "no endpoint property"),
        ({"ipv4:192.0.2.1": {"a.b.p": "1"}}, {}, "no entity property name"),
        ({}, {"network_maps": []}, "no property to offer"),
        ({}, {"network_maps": ["eps"]}, "is no NetworkMapResource"),
        ({}, {"property_maps": [MAP.id]}, "no property map"),
    ],
)
def test_an_application_s_own_mistakes_are_told(values: Any, more: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        EndpointPropertyResource("eps", values, **more).capabilities(SERVER)


def answer(data: Any, *dependent: str) -> Any:
    vtags = [{"resource-id": name, "tag": "1"} for name in dependent]
    return {"meta": {"dependent-vtags": vtags}, "endpoint-properties": data}


@pytest.mark.parametrize(
    ("tree", "asked", "noted"),
    [
        (answer({}), None, []),
        (answer({"ipv4:192.0.2.1": {"a": "x", "m.pid": "P"}}, "m"), None, []),
        ({"meta": {}, "endpoint-properties": {}}, None, ["must meta/dependent-vtags 11.4.1.6"]),
        ({"endpoint-properties": {}}, None, ["must meta 8.4", "must meta/dependent-vtags 11.4.1.6"]),
        (answer({"192.0.2.1": {}}), None, ["must endpoint-properties/192.0.2.1 10.4.1"]),
        (answer({"ipv4:192.0.2.1": []}), None, ["must endpoint-properties/ipv4:192.0.2.1 11.4.1.6"]),
        (answer({"ipv6:::1": {}, "ipv6:0::1": {}}), None, ["must endpoint-properties/ipv6:0::1 11.4.1.6"]),
        (answer({"ipv4:192.0.2.1": {".a": "1"}}), None, ["must endpoint-properties/ipv4:192.0.2.1/.a 10.8"]),
        (answer({"ipv4:192.0.2.1": {"a": 1}}), None, ["should endpoint-properties/ipv4:192.0.2.1/a 11.4.1.6"]),
        (answer({"ipv4:192.0.2.1": {"a": None}}), None, ["should endpoint-properties/ipv4:192.0.2.1/a 11.4.1.6"]),
        (answer({"ipv4:192.0.2.1": {"m.pid": "a.b"}}), None, ["must endpoint-properties/ipv4:192.0.2.1/m.pid 7.1.1"]),
        (answer({"ipv6:0::1": {"a": "x"}}), {"properties": ["a"], "endpoints": ["ipv6:::1"]}, []),
        (answer({}), {"properties": ["a"], "endpoints": ["ipv6:::1"]}, ["must endpoint-properties 11.4.1.6"]),
        (
            answer({"ipv6:::1": {}, "ipv6:::2": {}}),
            {"properties": ["a"], "endpoints": ["ipv6:::1"]},
            ["must endpoint-properties 11.4.1.6"],
        ),
        (
            answer({"ipv6:::1": {"m.pid": "P"}}),
            {"properties": ["m.pid"], "endpoints": ["ipv6:::1"]},
            ["must meta/dependent-vtags 11.4.1.6"],
        ),
    ],
)
def test_each_deviation_of_an_answer_is_named_by_its_clause(tree: Any, asked: Any, noted: list[str]) -> None:
    findings = Findings(strict=False)
    parse_endpoint_properties(tree, findings, asked)
    assert [f"{item.level} {item.path} {item.section}" for item in findings.items] == noted
    if noted:
        with pytest.raises(DecodeError):
            parse_endpoint_properties(tree, Findings(), asked)


def test_a_value_that_is_no_string_is_taken_where_an_extension_says_so() -> None:
    tree = answer({"ipv4:192.0.2.1": {"props.load": 0.5}})
    assert parse_endpoint_properties(tree, Findings(), extensions=["load"]).get("ipv4:192.0.2.1", "props.load") == 0.5


@pytest.mark.parametrize("tree", [None, [], {}, {"meta": {"dependent-vtags": []}, "endpoint-properties": []}])
def test_without_endpoint_properties_there_is_nothing_to_read(tree: Any) -> None:
    for strict in (True, False):
        with pytest.raises(DecodeError):
            parse_endpoint_properties(tree, Findings(strict=strict))


def test_a_request_is_built_and_checked_against_the_capabilities() -> None:
    of = ResourceEntry(
        "eps", "http://a/", media.ENDPOINT_PROPERTIES, media.ENDPOINT_PROPERTY_PARAMS, EPS.capabilities(SERVER)
    )
    assert endpoint_property_params([PID, PID], ["ipv4:192.0.2.1", "ipv4:192.0.2.1"], of) == {
        "properties": [PID],
        "endpoints": ["ipv4:192.0.2.1"],
    }
    for properties, endpoints in (
        ([], ["ipv4:192.0.2.1"]),
        ([PID], []),
        ([".x"], ["ipv4:192.0.2.1"]),
        (["other.pid"], ["ipv4:192.0.2.1"]),
        ([PID], ["192.0.2.1"]),
        ([PID], ["ipv4:192.0.2.0/24"]),
    ):
        with pytest.raises(ConfigurationError):
            endpoint_property_params(properties, endpoints, of)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from([PID, "ipv4:192.0.2.1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["properties", "endpoints"]), _JUNK | st.just([PID])) | _JUNK)
def test_any_json_that_is_posted_is_answered_or_refused(body: Any) -> None:
    try:
        tree = ask(SERVER, "eps", body).tree
    except RequestError:
        return
    parse_endpoint_properties(tree, Findings(), body)


@given(_JUNK, st.dictionaries(st.text(max_size=6) | st.just("ipv4:192.0.2.1"), _JUNK, max_size=3))
def test_a_lenient_reader_takes_whatever_is_in_an_answer(meta: Any, data: Any) -> None:
    parse_endpoint_properties({"meta": meta, "endpoint-properties": data}, Findings(strict=False))
