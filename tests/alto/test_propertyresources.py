"""Property maps of a server (RFC 9240 sections 7, 8 and 10)."""

from typing import Any

import pytest
from alto_properties import ALT_MAP, DATA_CENTRES, DEFAULT_MAP, DIRECTORY, INTERNET, REGIONS, ask, example, refusal
from alto_updates import Server
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto._json import dumps, loads
from alto.cdni import Advertisement, CdniCapability, Footprint
from alto.cdniresources import CdniResource
from alto.directory import Directory
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.findings import Findings
from alto.http import Request
from alto.ird import ResourceEntry, parse_directory
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.patch import InexpressibleError, json_diff, json_patch, merge_diff
from alto.propertymap import parse_property_map, property_map_filter
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
from alto.server import AltoServer

VALUE, TYPE, MISSING = ErrorCode.INVALID_FIELD_VALUE, ErrorCode.INVALID_FIELD_TYPE, ErrorCode.MISSING_FIELD


def served(*resources: Any) -> Directory:
    return Directory([DEFAULT_MAP, ALT_MAP, *resources])


def dependent(tree: Any) -> list[str]:
    return [vtag["resource-id"] for vtag in tree["meta"].get("dependent-vtags", [])]


def test_the_ird_entries_are_those_of_the_example() -> None:
    """Section 10.3, whose EPS says `properties` for `prop-types` (trap 21)."""
    printed = example("rfc9240-s10.3-01")["resources"]
    for resource in DIRECTORY.resources.values():
        of = printed[resource.id]
        assert resource.media_type == of["media-type"]
        assert resource.accepts == of.get("accepts")
        assert list(resource.uses) == of.get("uses", [])
        expected = of.get("capabilities", {})
        if resource.id == "legacy-endpoint-property":
            expected = {"prop-types": expected["properties"]}
        if resource.id == "ane-dc-property-map":  # printed in another order than that of the values
            expected = {"mappings": {".ane": ["storage-capacity", "ram", "cpu"]}}
        assert resource.capabilities(DIRECTORY) == expected


@pytest.mark.parametrize(
    ("resource", "request_name", "response"),
    [
        ("ia-property-map", None, "rfc9240-s10.4-01"),
        ("iacs-property-map", "rfc9240-s10.5-01", "rfc9240-s10.5-02"),
        ("iacs-property-map", "rfc9240-s10.6-01", "rfc9240-s10.6-02"),
        ("ip-pid-property-map", "rfc9240-s10.7-01", "rfc9240-s10.7-02"),
        ("region-property-map", "rfc9240-s10.8-01", "rfc9240-s10.8-02"),
        ("ane-dc-property-map", "rfc9240-s10.9-01", "rfc9240-s10.9-02"),
    ],
)
def test_the_examples_are_answered_as_printed(resource: str, request_name: str | None, response: str) -> None:
    document = ask(DIRECTORY, resource, example(request_name) if request_name else None)
    printed = example(response)
    assert document.media_type == media.PROPERTY_MAP
    assert document.tree["property-map"] == printed["property-map"]
    if DIRECTORY.resources[resource].uses:  # 10.4 to 10.6 name versions without any `uses`
        assert dependent(document.tree) == dependent(printed)
    assert loads(document.body) == document.tree


def test_every_answer_is_read_strictly_by_the_client() -> None:
    types = {resource.id: resource.media_type for resource in DIRECTORY.resources.values()}
    for resource in DIRECTORY.resources.values():
        if resource.media_type != media.PROPERTY_MAP:
            continue
        of = ResourceEntry(
            resource.id,
            "http://a/",
            resource.media_type,
            resource.accepts,
            resource.capabilities(DIRECTORY),
            resource.uses,
        )
        body = {"entities": [], "properties": []} if resource.accepts else None
        findings = Findings()
        parsed = parse_property_map(
            ask(DIRECTORY, resource.id, body).tree,
            findings,
            of,
            media_types=types,
            extensions=["storage-capacity", "ram", "cpu"],
        )
        assert (findings.items, len(parsed.property_map) > 0) == ([], True)
        assert parsed.vtag is not None


def test_an_absent_list_of_properties_is_not_an_empty_one() -> None:
    """Trap 2, RFC 9240 section 8.3."""
    asked = {"entities": ["ipv4:192.0.2.1", "ipv4:192.0.4.0/26", "ipv4:192.0.2.0/24", "ipv6:2001:db8::1"]}
    assert ask(DIRECTORY, "iacs-property-map", asked).tree["property-map"] == {
        "ipv4:192.0.2.1": {},
        "ipv4:192.0.2.0/24": {},
    }
    found = ask(DIRECTORY, "iacs-property-map", {**asked, "properties": []}).tree["property-map"]
    assert found["ipv4:192.0.2.1"] == {".ISP": "BitsRus", ".ASN": "65543", ".countrycode": "us", ".state": "PA"}


def test_an_empty_list_of_entities_is_all_of_them() -> None:
    everything = ask(DIRECTORY, "iacs-property-map", {"entities": [], "properties": []}).tree["property-map"]
    assert everything == {f"ipv4:{text}": properties for text, properties in INTERNET["ipv4"].items()}
    states = ask(DIRECTORY, "iacs-property-map", {"entities": [], "properties": [".state"]}).tree["property-map"]
    assert states["ipv4:192.0.2.1"] == {".state": "PA"}
    assert "ipv4:192.0.2.0/23" not in states
    names = ask(DIRECTORY, "iacs-property-map", {"entities": []}).tree["property-map"]
    assert names == {text: {} for text in everything}


def test_entities_of_which_nothing_is_known_leave_an_empty_map_and_not_the_whole() -> None:
    """Trap 2: a list that comes to nothing is not an empty list."""
    for body in ({"entities": ["ipv4:198.51.100.1"], "properties": []}, {"entities": ["ipv4:198.51.100.1"]}):
        assert ask(DIRECTORY, "iacs-property-map", body).tree["property-map"] == {}


def test_what_is_asked_twice_is_answered_once_in_the_first_spelling() -> None:
    body = {
        "entities": ["ipv4:192.0.2.1/32", "ipv4:192.0.2.1", "ipv4:192.0.2.1/32"],
        "properties": [".state", ".state"],
    }
    assert ask(DIRECTORY, "iacs-property-map", body).tree["property-map"] == {"ipv4:192.0.2.1/32": {".state": "PA"}}


def test_a_property_that_an_entity_does_not_have_is_left_out_for_it_alone() -> None:
    body = {"entities": ["ipv4:192.0.2.1", "ipv4:192.0.2.200"], "properties": [".state", ".ISP"]}
    assert ask(DIRECTORY, "iacs-property-map", body).tree["property-map"] == {
        "ipv4:192.0.2.1": {".state": "PA", ".ISP": "BitsRus"},
        "ipv4:192.0.2.200": {".ISP": "BitsRus"},
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, (TYPE, None, None)),
        ([], (TYPE, None, None)),
        ({}, (MISSING, "entities", None)),
        ({"properties": []}, (MISSING, "entities", None)),
        ({"entities": None}, (TYPE, "entities", None)),
        ({"entities": {}}, (TYPE, "entities", None)),
        ({"entities": "ipv4:192.0.2.1"}, (TYPE, "entities", None)),
        ({"entities": [7]}, (VALUE, "entities", "7")),
        ({"entities": [None]}, (VALUE, "entities", "null")),
        ({"entities": [{"a": [True]}]}, (VALUE, "entities", '{"a":[true]}')),
        ({"entities": ["ipv4:192.0.2.1", "pid:x"]}, (VALUE, "entities", "pid:x")),
        ({"entities": ["default-network-map.pid:pid1"]}, (VALUE, "entities", "default-network-map.pid:pid1")),
        ({"entities": ["ipv4:300.0.2.1"]}, (VALUE, "entities", "ipv4:300.0.2.1")),
        ({"entities": ["ipv4:192.0.2.1/24"]}, (VALUE, "entities", "ipv4:192.0.2.1/24")),
        ({"entities": [""]}, (VALUE, "entities", "")),
        ({"entities": ["x" * 300]}, (VALUE, "entities", "x" * 256)),
        ({"entities": [], "properties": None}, (TYPE, "properties", None)),
        ({"entities": [], "properties": {}}, (TYPE, "properties", None)),
        ({"entities": [], "properties": [[]]}, (VALUE, "properties", "[]")),
        ({"entities": [], "properties": ["ISP"]}, (VALUE, "properties", "ISP")),
        ({"entities": [], "properties": [".ISP", ".region"]}, (VALUE, "properties", ".region")),
        ({"entities": [], "properties": ["iacs-property-map.ISP"]}, (VALUE, "properties", "iacs-property-map.ISP")),
    ],
)
def test_each_bad_request_gets_its_code_field_and_value(body: Any, error: Any) -> None:
    """Section 8.6 and trap 5: an array element of the wrong type is a wrong value, and values are strings."""
    assert refusal(DIRECTORY, "iacs-property-map", body) == error


def test_an_unknown_member_of_a_request_is_ignored() -> None:
    body = {"entities": ["ipv4:192.0.2.1"], "properties": [".state"], "filter": 1}
    assert len(ask(DIRECTORY, "iacs-property-map", body).tree["property-map"]) == 1


def test_a_resource_agnostic_entity_brings_the_versions_of_everything_used() -> None:
    source = PropertySource(
        {"ipv4": {"192.0.2.0/24": {".P": "1"}}, **REGIONS},
        {
            "ipv4": [".P", "alt-network-map.pid"],
            "alt-network-map.pid": [".ASN"],
            "default-network-map.pid": [".region"],
        },
    )
    directory = served(FilteredPropertyMapResource("props", source))
    for entities, properties, expected in (
        (["ipv4:192.0.2.1"], [".P"], ["alt-network-map", "default-network-map"]),
        (["default-network-map.pid:pid1"], [".region"], ["default-network-map"]),
        (["default-network-map.pid:pid1"], ["alt-network-map.pid"], ["alt-network-map", "default-network-map"]),
        (["alt-network-map.pid:pid1"], [], ["alt-network-map"]),
        (["alt-network-map.pid:pid1"], None, ["alt-network-map"]),
        ([], None, ["alt-network-map", "default-network-map"]),
    ):
        body = {"entities": entities} if properties is None else {"entities": entities, "properties": properties}
        assert dependent(ask(directory, "props", body).tree) == expected


def test_without_dependencies_there_are_no_dependent_versions() -> None:
    assert "dependent-vtags" not in ask(DIRECTORY, "ane-dc-property-map", {"entities": []}).tree["meta"]


def test_the_whole_map_names_its_versions_in_the_order_of_uses() -> None:
    directory = served(PropertyMapResource("props", PropertySource(REGIONS)))
    resource = directory.resources["props"]
    assert resource.uses == ("default-network-map", "alt-network-map")
    tree = ask(directory, "props").tree
    assert tree["meta"]["dependent-vtags"] == [DEFAULT_MAP.vtag.to_json(), ALT_MAP.vtag.to_json()]


def test_pids_follow_the_network_map_as_it_changes() -> None:
    source = PropertySource(mappings={"ipv4": ["alt-network-map.pid"], "ipv6": ["alt-network-map.pid"]})
    directory = served(PropertyMapResource("props", source), FilteredPropertyMapResource("filtered", source))
    before = ask(directory, "props")
    assert before.tree["property-map"]["ipv4:192.0.3.0/27"] == {"alt-network-map.pid": "pid2"}
    assert before.tree["property-map"]["ipv6:::/0"] == {"alt-network-map.pid": "defaultpid"}
    changed = directory.replacing(
        NetworkMapResource("alt-network-map", NetworkMap({"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}))
    )
    after = ask(changed, "props")
    assert after.tree["property-map"] == {
        "ipv4:0.0.0.0/0": {"alt-network-map.pid": "all"},
        "ipv6:::/0": {"alt-network-map.pid": "all"},
    }
    for resource_id in ("props", "filtered"):
        resource = directory.resources[resource_id]
        assert resource.depends_on(directory) != resource.depends_on(changed)
    assert before.vtag != after.vtag
    assert ask(directory, "props").tree == before.tree
    body = {"entities": ["ipv6:2001:db8::/32"], "properties": ["alt-network-map.pid"]}
    assert ask(changed, "filtered", body).tree["property-map"] == {"ipv6:2001:db8::/32": {"alt-network-map.pid": "all"}}


def test_what_other_resources_define_is_looked_up_once_for_each_version_of_them() -> None:
    source = PropertySource(mappings={"ipv4": ["alt-network-map.pid"]})
    directory = served(PropertyMapResource("props", source))
    changed = directory.replacing(NetworkMapResource("alt-network-map", DEFAULT_MAP.network_map))
    first = source.property_map(directory)
    assert source.property_map(served(PropertyMapResource("props", source))) is first
    assert source.property_map(changed) is not first


def test_values_and_derived_properties_stand_side_by_side() -> None:
    source = PropertySource(
        {"ipv4": {"192.0.2.0/27": {".P": "1"}, "192.0.2.0/26": {".P": "2"}}},
        {"ipv4": [".P", "alt-network-map.pid", "default-network-map.pid"]},
    )
    found = ask(served(PropertyMapResource("props", source)), "props").tree["property-map"]
    assert found["ipv4:192.0.2.0/27"] == {".P": "1", "alt-network-map.pid": "pid1", "default-network-map.pid": "pid2"}
    assert found["ipv4:192.0.2.0/26"] == {".P": "2"}
    assert found["ipv4:0.0.0.0/0"] == {"alt-network-map.pid": "defaultpid", "default-network-map.pid": "defaultpid"}


def test_an_entity_is_found_in_the_longest_domain_name_that_fits() -> None:
    """Trap 31: `a:b.pid` and `a` are both domains here."""
    network_map = NetworkMapResource("a:b", DEFAULT_MAP.network_map)
    source = PropertySource({"a:b.pid": {"pid1": {".P": "1"}}, "priv:a": {"b.pid:pid1": {".P": "2"}}})
    directory = Directory([network_map, FilteredPropertyMapResource("props", source)])
    body = {"entities": ["a:b.pid:pid1", "priv:a:b.pid:pid1"], "properties": [".P"]}
    assert ask(directory, "props", body).tree["property-map"] == {
        "a:b.pid:pid1": {".P": "1"},
        "priv:a:b.pid:pid1": {".P": "2"},
    }


def test_an_application_may_give_the_values_of_pid_itself() -> None:
    source = PropertySource({"ipv4": {"192.0.2.0/24": {"alt-network-map.pid": "mine"}}})
    assert source.derived == ()
    found = ask(served(PropertyMapResource("props", source)), "props").tree["property-map"]
    assert found == {"ipv4:192.0.2.0/24": {"alt-network-map.pid": "mine"}}


def test_the_version_hangs_on_the_data_and_not_on_its_order() -> None:
    one = PropertySource({"ipv4": {"192.0.2.0/24": {"P": "1", "Q": "2"}, "192.0.2.1": {"P": "3"}}})
    other = PropertySource({"ipv4": {"192.0.2.1/32": {"P": "3"}, "192.0.2.0/24": {"Q": "2", "P": "1"}}})
    third = PropertySource({"ipv4": {"192.0.2.1/32": {"P": "4"}, "192.0.2.0/24": {"Q": "2", "P": "1"}}})
    assert one.tag == other.tag != third.tag


def test_null_is_served_as_null() -> None:
    source = PropertySource({"ipv4": {"10.0.0.0/8": {".P": "1"}, "10.0.0.0/16": {".P": None}}})
    directory = served(PropertyMapResource("whole", source), FilteredPropertyMapResource("part", source))
    assert ask(directory, "whole").tree["property-map"]["ipv4:10.0.0.0/16"] == {".P": None}
    body = {"entities": ["ipv4:10.0.0.1"], "properties": [".P"]}
    assert ask(directory, "part", body).tree["property-map"] == {"ipv4:10.0.0.1": {".P": None}}


def test_properties_of_a_persistent_ane_are_defined_by_another_property_map() -> None:
    dc = FilteredPropertyMapResource("dc-props", PropertySource(DATA_CENTRES))
    view = PropertyMapResource("view", PropertySource({"dc-props.ane": {"dc21": {".site": "a"}}}))
    directory = served(dc, view)
    assert view.capabilities(directory) == {"mappings": {"dc-props.ane": [".site"]}}
    tree = ask(directory, "view").tree
    assert tree["meta"]["dependent-vtags"] == [dc.version(directory).to_json()]


CDNI = CdniResource(
    "cdni",
    [
        Advertisement(
            CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": ["http/1.1"]}),
            (Footprint("altopid", ("pid1",)), Footprint("countrycode", ("us",))),
        )
    ],
    network_map="alt-network-map",
    is_private=False,
)


@pytest.mark.parametrize(
    ("values", "mappings", "words"),
    [
        (None, {"x.y.z": ["P"]}, "no entity domain name"),
        (None, {"ipv4": ["a.b.c"]}, "no entity property name"),
        (None, {"ipv4": []}, "at least one property"),
        ({"ipv4": {"10.0.0.1": {"P": "1"}}}, {"ipv4": ["Q"]}, "which the mappings do not"),
        ({"ipv4": {}}, {"ipv6": ["Q"]}, "which the mappings do not"),
        (None, {"pid": ["P"]}, "need a resource that defines them"),
        (None, {"ane": ["P"]}, "need a resource that defines them"),
        (None, {".pid": [".P"]}, "no property map may define"),
        (None, {".ipv4": [".P"]}, "no property map may define"),
        (None, {"alt-network-map.pid": ["alt-network-map.pid"]}, "only addresses have the property"),
        (None, {"ipv4": ["pid"]}, "needs the ID of the resource"),
        (None, {"ipv4": [".cdni-capabilities"]}, "needs the ID of the resource"),
        (None, {"cell": ["P"]}, "no registered domain type"),
    ],
)
def test_a_source_that_rfc_9240_does_not_allow_is_refused(values: Any, mappings: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        PropertySource(values, mappings)


@pytest.mark.parametrize(
    ("mappings", "words"),
    [
        ({"cdni.pid": [".P"]}, "it takes application/alto-networkmap"),
        ({"cdni.ipv4": [".P"]}, "it takes application/alto-networkmap"),
        ({"alt-network-map.ane": [".P"]}, "it takes application/alto-propmap"),
        ({"cdni.asn": [".P"]}, "it takes no resource"),
        ({"ipv4": ["cdni.pid"]}, "it takes application/alto-networkmap"),
        ({"ipv4": ["alt-network-map.cdni-capabilities"]}, "it takes application/alto-cdni"),
        ({"alt-network-map.ipv4": ["default-network-map.pid"]}, "does not depend on"),
        ({"default-network-map.pid": ["cdni.cdni-capabilities"]}, "does not depend on"),
        ({"props.ane": [".P"]}, "leave its own ID out"),
        ({"ipv4": ["props.P"]}, "leave its own ID out"),
        ({"loop.ane": [".P"]}, "depends on itself"),
        ({"ipv4": ["secret.pid"]}, "private"),
    ],
)
def test_what_other_resources_cannot_define_is_refused(mappings: Any, words: str) -> None:
    secret = NetworkMapResource("secret", DEFAULT_MAP.network_map, is_private=True)
    loop = PropertyMapResource("loop", PropertySource(mappings={"props.ane": [".P"]}))
    props = PropertyMapResource("props", PropertySource(mappings=mappings))
    with pytest.raises(ConfigurationError, match=words):
        props.capabilities(served(CDNI, secret, loop, props))


def test_a_used_resource_without_a_version_is_refused() -> None:
    parts = FilteredPropertyMapResource("parts", PropertySource(mappings={"ipv4": ["region.P"]}))

    class Unversioned:
        id = "region"
        media_type = "application/x"
        accepts = None
        uses = ()
        cost_types: Any = None
        is_private = False

        def capabilities(self, directory: Directory) -> dict[str, Any]:
            return {}

        def depends_on(self, directory: Directory) -> tuple[object, ...]:
            return ()

        def answer(self, query: Any) -> Any:
            raise AssertionError

    with pytest.raises(ConfigurationError, match="no version"):
        parts.depends_on(served(Unversioned(), parts))


def test_properties_of_a_pid_may_come_from_what_uses_its_network_map() -> None:
    """Section 7.6, and RFC 9241 section 6.1: altopid footprints are PIDs of the map that the advertisement uses."""
    source = PropertySource(mappings={"alt-network-map.pid": ["cdni.cdni-capabilities"]})
    props = FilteredPropertyMapResource("props", source)
    directory = served(CDNI, props)
    assert props.capabilities(directory) == {"mappings": {"alt-network-map.pid": ["cdni.cdni-capabilities"]}}
    tree = ask(directory, "props", {"entities": [], "properties": []}).tree
    assert [*tree["property-map"]] == ["alt-network-map.pid:pid1"]
    assert dependent(tree) == ["alt-network-map", "cdni"]


def test_a_null_in_a_map_needs_json_patch_and_the_slash_of_a_prefix_is_escaped() -> None:
    """Traps 11 and 12: a merge patch would remove the property, which then is inherited."""
    before = ask(served(PropertyMapResource("p", PropertySource({"ipv4": {"10.0.0.0/8": {".P": "1"}}}))), "p").tree
    values = {"ipv4": {"10.0.0.0/8": {".P": "1"}, "10.0.0.0/16": {".P": None}}}
    after = ask(served(PropertyMapResource("p", PropertySource(values))), "p").tree
    with pytest.raises(InexpressibleError):
        merge_diff(before, after)
    operations = json_diff(before, after)
    assert "/property-map/ipv4:10.0.0.0~116" in [operation["path"] for operation in operations]
    patched = json_patch(before, operations)
    assert patched == after
    for tree, expected in ((before, "1"), (patched, None)):
        assert parse_property_map(tree, Findings()).lookup("ipv4:10.0.0.1", ".P") == expected


def test_a_client_of_an_update_stream_hears_of_a_changed_property() -> None:
    """Section 11: incremental updates."""
    many = {f"10.{number}.0.0/16": {".P": str(number)} for number in range(50)}
    server = Server(PropertyMapResource("props", PropertySource({"ipv4": many})))
    stream = server.open(p="props")
    assert server.events(stream)[1][0] == f"{media.PROPERTY_MAP},p"
    server.replace(PropertyMapResource("props", PropertySource({"ipv4": {**many, "10.7.0.0/16": {".P": None}}})))
    ((name, operations),) = server.events(stream)
    assert name == f"{media.JSON_PATCH},p"
    assert {"op": "replace", "path": "/property-map/ipv4:10.7.0.0~116/.P", "value": None} in operations


_ENTITY = st.sampled_from(["ipv4:192.0.2.0/28", "ipv4:192.0.2.1", "ipv6:::/0", "pid:x"]) | st.text(max_size=8)
_JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(_ENTITY | st.integers(), max_size=4)


@given(st.dictionaries(st.sampled_from(["entities", "properties", "x"]), _JUNK | st.just([".ISP"]), max_size=3) | _JUNK)
def test_any_json_that_is_posted_is_answered_or_refused_with_a_full_error(body: Any) -> None:
    error: RequestError | None = None
    try:
        tree = ask(DIRECTORY, "iacs-property-map", body).tree
    except RequestError as refused:
        error = refused
    if error is None:
        dumps(tree)
        parse_property_map(tree, Findings())
    else:
        assert error.code in (VALUE, TYPE, MISSING)
        assert error.value is None or error.field in ("entities", "properties")


def test_a_server_of_all_this_is_found_asked_and_refuses_over_http() -> None:
    server = AltoServer(DIRECTORY, epoch=1e9, base_uri="https://alto.example.com/alto")

    def send(method: str, target: str, body: bytes = b"", kind: str = media.PROPERTY_MAP_PARAMS) -> Any:
        headers = (("Content-Type", kind),) if body else ()
        return server.handle(Request(method, target, headers, body), ("192.0.2.7", 4711), 1.0)

    findings = Findings()
    ird = parse_directory(loads(send("GET", "/alto").body), findings, "https://alto.example.com/alto")
    assert findings.items == []
    types = {name: of.media_type for name, of in ird.resources.items()}
    of = ird.resources["ip-pid-property-map"]
    asked = property_map_filter(["ipv4:192.0.2.1"], ["default-network-map.pid"], of)
    response = send("POST", of.uri, dumps(asked))
    assert (response.status, response.header("Content-Type")) == (200, media.PROPERTY_MAP)
    parsed = parse_property_map(loads(response.body), findings, of, media_types=types)
    assert (parsed.lookup("ipv4:192.0.2.1", "default-network-map.pid"), findings.items) == ("pid2", [])
    refused = send("POST", of.uri, b'{"entities": ["ipv4:192.0.2"]}')
    assert (refused.status, refused.header("Content-Type")) == (400, media.ERROR)
    assert loads(refused.body)["meta"] == {
        "code": "E_INVALID_FIELD_VALUE",
        "field": "entities",
        "value": "ipv4:192.0.2",
    }
    whole = ird.resources["ia-property-map"]
    assert send("GET", whole.uri).status == 200
    assert send("POST", whole.uri, b"{}").status == 405
    assert send("POST", of.uri, b"{}", media.ENDPOINT_PROPERTY_PARAMS).status == 415
