"""Property maps as a client reads, asks and looks into them (RFC 9240 sections 4.6.1, 7.6 and 8.3)."""

import json
from pathlib import Path
from typing import Any

import pytest
from alto_properties import example
from hypothesis import given
from hypothesis import strategies as st

from alto import findings as findings_module
from alto import media
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings, Level
from alto.ird import ResourceEntry, parse_directory
from alto.propertymap import ParsedPropertyMap, PropertyMap, parse_property_map, property_map_filter
from alto.types import VTag

IRD = parse_directory(example("rfc9240-s10.3-01"), Findings(strict=False), "http://alto.example.com/")
MEDIA_TYPES = {name: entry.media_type for name, entry in IRD.resources.items()}
TRANSCRIPTS = Path(__file__).parents[1] / "data/openalto_server_transcripts.json"


def entry(mappings: dict[str, list[str]], *, uses: tuple[str, ...] = (), is_filtered: bool = False) -> ResourceEntry:
    accepts = media.PROPERTY_MAP_PARAMS if is_filtered else None
    return ResourceEntry("props", "http://a/", media.PROPERTY_MAP, accepts, {"mappings": mappings}, uses)


def document(data: Any, *dependent: str) -> dict[str, Any]:
    vtags = [{"resource-id": name, "tag": "1"} for name in dependent]
    return {"meta": {"dependent-vtags": vtags} if vtags else {}, "property-map": data}


def read(tree: Any, of: ResourceEntry | None = None, **more: Any) -> tuple[ParsedPropertyMap, list[str]]:
    """What a lenient reader has, and what it noted: level, path and section."""
    findings = Findings(strict=False)
    parsed = parse_property_map(tree, findings, of, **more)
    return parsed, [f"{item.level} {item.path} {item.rfc} {item.section}" for item in findings.items]


@pytest.mark.parametrize(
    ("name", "resource", "entities", "verdict"),
    [
        # The IRD gives these two maps no `uses`, and the answers name versions all the same.
        ("rfc9240-s10.4-01", "ia-property-map", 3, ["note meta/dependent-vtags 9240 7.6"] * 2),
        ("rfc9240-s10.5-02", "iacs-property-map", 3, ["note meta/dependent-vtags 9240 7.6"] * 2),
        ("rfc9240-s10.6-02", "iacs-property-map", 7, ["note meta/dependent-vtags 9240 7.6"] * 2),
        ("rfc9240-s10.7-02", "ip-pid-property-map", 4, []),
        ("rfc9240-s10.8-02", "region-property-map", 2, []),
    ],
)
def test_the_rfcs_answers_are_read_strictly(name: str, resource: str, entities: int, verdict: list[str]) -> None:
    of = IRD.resources[resource]
    strict = parse_property_map(example(name), Findings(), of, media_types=MEDIA_TYPES)
    parsed, noted = read(example(name), of, media_types=MEDIA_TYPES)
    assert (len(strict.property_map), len(parsed.property_map), noted) == (entities, entities, verdict)
    assert strict.property_map.to_json() == example(name)["property-map"]


def test_numbers_are_values_only_where_an_extension_says_so() -> None:
    """The example of section 10.9 has numbers, which section 7.6 wants an extension for."""
    tree, of = example("rfc9240-s10.9-02"), IRD.resources["ane-dc-property-map"]
    with pytest.raises(DecodeError, match="a string or null is due, not 40000"):
        parse_property_map(tree, Findings(), of)
    parsed, noted = read(tree, of)
    assert parsed.lookup(".ane:dc21", "cpu") == 500
    assert {line.partition(" ")[0] for line in noted} == {"should"}
    assert (
        parse_property_map(tree, Findings(), of, extensions=["storage-capacity", "cpu"]).lookup(
            ".ane:dc45-srv9", "storage-capacity"
        )
        == 100
    )


def test_bandwidths_and_persistent_ids_of_rfc_9275_are_such_an_extension() -> None:
    """Trap 27: bits per second, and handed on as they stand."""
    values = {".ane:NET1": {"max-reservable-bandwidth": 100000000, "persistent-entity-id": "dc-props.ane:DC1"}}
    parsed = parse_property_map(document(values), Findings())
    assert parsed.lookup(".ane:NET1", "max-reservable-bandwidth") == 100_000_000


@pytest.mark.parametrize(
    ("name", "entities", "first"),
    [("rfc9241-s6.3.1-01", 6, "countrycode:us"), ("rfc9241-s6.3.2-02", 2, "ipv4:192.0.2.0/24")],
)
def test_a_meta_inside_the_property_map_is_forgiven_and_used(name: str, entities: int, first: str) -> None:
    """Trap 21: RFC 9241 section 6.3 prints it there."""
    with pytest.raises(DecodeError, match=r"meta: missing"):
        parse_property_map(example(name), Findings())
    parsed, noted = read(example(name))
    assert noted == ["must meta 7285 8.4"]
    assert len(parsed.property_map) == entities
    assert parsed.dependent_vtags[0] == VTag("my-default-cdnifci", "7915dc0290c2705481c491a2b4ffbec482b3cf62")
    assert parsed.lookup(first, "my-default-cdnifci.cdni-capabilities") == [
        {"capability-type": "FCI.DeliveryProtocol", "capability-value": {"delivery-protocols": ["http/1.1"]}}
    ]


def test_the_client_applies_inheritance_itself() -> None:
    parsed = parse_property_map(example("rfc9240-s10.4-01"), Findings())
    assert parsed.property_map.properties_of("ipv4:192.0.2.1") == {".ISP": "BitsRus", ".ASN": "65543"}
    assert parsed.lookup("ipv4:192.0.2.0/28", ".ISP") == "BitsRus"
    assert parsed.lookup("ipv4:192.0.2.40", ".ASN") is None
    assert parsed.lookup("ipv4:192.0.4.1", ".ISP") is None
    assert parsed.lookup("ipv6:2001:db8::1", ".ISP") is None


def test_null_is_no_value_and_keeps_an_inherited_one_away() -> None:
    parsed, noted = read(document({"ipv4:10.0.0.0/8": {".P": "1"}, "ipv4:10.0.0.0/16": {".P": None, ".Q": None}}))
    assert (parsed.lookup("ipv4:10.0.0.1", ".P"), parsed.lookup("ipv4:10.1.0.1", ".P")) == (None, "1")
    assert parsed.property_map.properties_of("ipv4:10.0.0.1") == {}
    assert noted == []


def test_a_lookup_takes_any_spelling_and_refuses_what_is_no_identifier() -> None:
    parsed, _ = read(document({"ipv6:2001:db8::1/128": {".P": "1"}, "a:b.pid:P": {"a:b.pid-label": "x"}}))
    assert parsed.lookup("ipv6:2001:DB8:0:0:0:0:0:1", ".P") == "1"
    assert parsed.lookup("a:b.pid:P", "a:b.pid-label") == "x"
    assert [*parsed.property_map] == ["ipv6:2001:db8::1", "a:b.pid:P"]
    with pytest.raises(ValueError):
        parsed.lookup("nonsense", ".P")


def test_a_domain_of_a_resource_of_the_wrong_type_is_ignored() -> None:
    """Section 4.6.1: the client MUST ignore it, so a strict one goes on."""
    of = entry({"costs.pid": [".P"], "net.pid": [".P"], "net.asn": [".P"], ".ipv4": [".P"]}, uses=("costs", "net"))
    data = {f"{name}:{key}": {".P": "1"} for name, key in (("costs.pid", "A"), ("net.pid", "A"), ("net.asn", "as1"))}
    tree = document(data | {".ipv4:192.0.2.1": {".P": "1"}}, "costs", "net")
    types = {"costs": media.COST_MAP, "net": media.NETWORK_MAP + "; charset=utf-8"}
    findings = Findings()
    parsed = parse_property_map(tree, findings, of, media_types=types)
    assert [*parsed.property_map] == ["net.pid:A"]
    assert [(item.level, item.section) for item in findings.items] == [(Level.MUST, "4.6.1")] * 3
    unknown, noted = read(document({"costs.pid:A": {".P": "1"}}, "costs", "net"), of)
    assert (len(unknown.property_map), noted) == (1, [])  # nobody said what `costs` is


def test_the_defining_resource_may_be_in_any_ird_of_the_closure() -> None:
    """Trap 19: resource IDs are unique in the closure, so its media types are looked up by the ID alone."""
    root = {
        "props": {
            "uri": "p",
            "media-type": media.PROPERTY_MAP,
            "uses": ["net", "costs"],
            "capabilities": {"mappings": {"net.pid": [".P"], "costs.pid": [".P"]}},
        },
        "more": {"uri": "m", "media-type": media.DIRECTORY},
    }
    linked = {
        "net": {"uri": "n", "media-type": media.NETWORK_MAP},
        "costs": {"uri": "c", "media-type": media.COST_MAP, "capabilities": {"cost-type-names": []}},
    }
    irds = [
        parse_directory({"meta": {}, "resources": resources}, Findings(strict=False), "http://a/")
        for resources in (root, linked)
    ]
    types = {name: of.media_type for ird in irds for name, of in ird.resources.items()}
    tree = document({"net.pid:A": {".P": "1"}, "costs.pid:A": {".P": "2"}}, "net", "costs")
    parsed = parse_property_map(tree, Findings(), irds[0].resources["props"], media_types=types)
    assert [*parsed.property_map] == ["net.pid:A"]


def test_nobody_may_define_a_domain_of_as_numbers_or_countries() -> None:
    """RFC 9241 section 7.4: whatever the resource is, and so even where its media type is not known."""
    data = {"net.asn:as1": {".P": "1"}, ".countrycode:us": {".P": "1"}, "asn:as1": {".P": "1"}}
    parsed, noted = read(document(data))
    assert [*parsed.property_map] == ["asn:as1"]
    assert [text.rpartition(" ")[2] for text in noted] == ["4.6.1", "4.6.1"]


def test_what_is_ignored_does_not_fill_the_findings_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_module, "MAX_FINDINGS", 3)
    data = {f"n{number}.asn:as1": {".P": "1"} for number in range(9)}
    for findings in (Findings(), Findings(strict=False)):
        assert len(parse_property_map(document(data), findings).property_map) == 0
        assert len(findings.items) == 3


def test_a_property_is_defined_by_a_resource_of_the_type_that_is_registered_for_it() -> None:
    """Section 4.7."""
    types = {"net": media.NETWORK_MAP, "costs": media.COST_MAP, "cdni": media.CDNI}
    data = {"ipv4:192.0.2.1": {"net.pid": "A", "cdni.cdni-capabilities": [], "net.ISP": "x", "other.pid": "B"}}
    assert read(document(data), media_types=types)[1] == []
    for name, value in (("costs.pid", "A"), ("cdni.pid", "A"), ("net.cdni-capabilities", [])):
        _, noted = read(document({"ipv4:192.0.2.1": {name: value}}), media_types=types)
        assert noted == [f"must property-map/ipv4:192.0.2.1/{name} 9240 4.7"]


def test_null_is_no_value_of_capabilities_either() -> None:
    name = "c.cdni-capabilities"
    parsed, noted = read(document({"ipv4:10.0.0.0/8": {name: []}, "ipv4:10.0.0.0/16": {name: None}}))
    assert (parsed.lookup("ipv4:10.1.0.1", name), parsed.lookup("ipv4:10.0.0.1", name), noted) == ([], None, [])


def test_a_meta_beside_and_inside_the_property_map_is_an_entity_of_no_domain() -> None:
    tree = document({"meta": {"dependent-vtags": []}, "ipv4:192.0.2.1": {".P": "1"}}, "net")
    parsed, noted = read(tree)
    assert noted == ["must property-map/meta 9240 5.1.3"]
    assert [vtag.resource_id for vtag in parsed.dependent_vtags] == ["net"]


def test_properties_that_mappings_do_not_have_for_a_specific_domain_are_ignored() -> None:
    """Section 7.6: the client MUST ignore them."""
    of = entry({"net.pid": [".P"], "ipv4": [".P"]}, uses=("net",))
    values = {".P": "1", "other.Q": "2", "R": "3"}
    findings = Findings()
    tree = document({"net.pid:A": values, "net.pid:B": values, "ipv4:192.0.2.1": values}, "net")
    parsed = parse_property_map(tree, findings, of)
    assert parsed.property_map.properties_of("net.pid:A") == {".P": "1", "R": "3"}
    assert parsed.property_map.properties_of("net.pid:B") == {".P": "1", "R": "3"}
    assert parsed.property_map.properties_of("ipv4:192.0.2.1") == values
    assert [(item.level, item.section) for item in findings.items] == [
        (Level.MUST, "7.6"),
        (Level.NOTE, "7.4"),
        (Level.NOTE, "7.4"),
        (Level.NOTE, "7.4"),
    ]


@pytest.mark.parametrize(
    ("data", "noted"),
    [
        ({"nonsense": {}}, "must property-map/nonsense 9240 5.1.3"),
        ({"ipv5:1": {".P": "1"}}, "must property-map/ipv5:1 9240 5.1.3"),
        ({"ipv4:192.0.2.1/24": {".P": "1"}}, "must property-map/ipv4:192.0.2.1/24 9240 5.1.3"),
        ({"ipv4:192.0.2.1": []}, "must property-map/ipv4:192.0.2.1 9240 7.6"),
        ({"ipv4:192.0.2.1": {"a.b.c": "1"}}, "must property-map/ipv4:192.0.2.1/a.b.c 9240 5.2.2"),
        ({"ipv4:192.0.2.1": {"priv:": "1"}}, "must property-map/ipv4:192.0.2.1/priv: 9240 5.2.2"),
        ({"ipv4:192.0.2.1": {".P": 1}}, "should property-map/ipv4:192.0.2.1/.P 9240 7.6"),
        ({"ipv4:192.0.2.1": {".P": [None]}}, "should property-map/ipv4:192.0.2.1/.P 9240 7.6"),
        ({"props.ane:x": {".P": "1"}}, "must property-map/props.ane:x 9240 5.1.2.3"),
        ({"pid:x": {".P": "1"}}, "must property-map/pid:x 9240 6.2"),
        ({"ane:x": {".P": "1"}}, "must property-map/ane:x 9275 6.2"),
        ({"ipv4:192.0.2.1": {"props.P": "1"}}, "should property-map/ipv4:192.0.2.1/props.P 9240 5.2.2"),
        ({"cell:4711": {".P": "1"}}, "note property-map/cell:4711 9240 5.1.1"),
        (
            {"ipv4:192.0.2.1": {"c.cdni-capabilities": "x"}},
            "must property-map/ipv4:192.0.2.1/c.cdni-capabilities 9241 6.2.2",
        ),
        (
            {"ipv4:192.0.2.1": {"c.cdni-capabilities": [7]}},
            "must property-map/ipv4:192.0.2.1/c.cdni-capabilities 9241 6.2.2",
        ),
        (
            {"ipv4:192.0.2.1": {"c.cdni-capabilities": [{"capability-type": "X"}]}},
            "must property-map/ipv4:192.0.2.1/c.cdni-capabilities/capability-value 9241 6.2.2",
        ),
    ],
)
def test_each_deviation_is_named_by_its_clause(data: dict[str, Any], noted: str) -> None:
    mappings = {name: [".P", "props.P", "c.cdni-capabilities"] for name in ("ipv4", "props.ane", "pid", "ane", "cell")}
    _, found = read(document(data, "c"), entry(mappings, uses=("c",)))
    assert found == [noted]
    if noted.startswith(("must", "should property-map/ipv4:192.0.2.1/.P")):
        with pytest.raises(DecodeError):
            parse_property_map(document(data, "c"), Findings(), entry(mappings, uses=("c",)))


def test_host_bits_are_masked_by_a_lenient_reader() -> None:
    parsed, _ = read(document({"ipv4:192.0.2.1/24": {".P": "1"}}))
    assert [*parsed.property_map] == ["ipv4:192.0.2.0/24"]


def test_the_second_spelling_of_an_entity_is_a_fault() -> None:
    parsed, noted = read(document({"ipv4:192.0.2.0": {".P": "1"}, "ipv4:192.0.2.0/32": {".P": "2", ".Q": "3"}}))
    assert noted == ["must property-map/ipv4:192.0.2.0/32 9240 5.1.3"]
    assert parsed.property_map.properties_of("ipv4:192.0.2.0") == {".P": "1", ".Q": "3"}


@pytest.mark.parametrize(
    ("is_filtered", "data", "named", "noted"),
    [
        (False, {}, ("a", "b"), []),
        (False, {}, ("b", "a"), ["must meta/dependent-vtags 9240 7.6"]),
        (False, {}, ("a",), ["must meta/dependent-vtags 9240 7.6"]),
        (False, {}, (), ["must meta/dependent-vtags 9240 7.6"]),
        (False, {}, ("a", "b", "c"), ["note meta/dependent-vtags 9240 7.6"]),
        (True, {"a.pid:x": {".P": "1"}}, ("a",), []),
        (True, {"a.pid:x": {".P": "1"}}, ("b",), ["must meta/dependent-vtags 9240 8.6"]),
        (True, {"ipv4:192.0.2.1": {".P": "1"}}, ("a",), ["must meta/dependent-vtags 9240 8.6"]),
        (True, {"ipv4:192.0.2.1": {".P": "1"}}, ("a", "b"), []),
        (True, {"ipv4:192.0.2.1": {".P": "1"}}, ("b", "a"), ["must meta/dependent-vtags 9240 7.6"]),
        (True, {}, (), []),
    ],
)
def test_the_versions_of_what_a_map_depends_on_are_there_in_the_order_of_uses(
    is_filtered: bool, data: Any, named: tuple[str, ...], noted: list[str]
) -> None:
    of = entry({"a.pid": [".P"], "b.pid": [".P"], "ipv4": [".P"]}, uses=("a", "b"), is_filtered=is_filtered)
    parsed, found = read(document(data, *named), of)
    assert found == noted
    assert [vtag.resource_id for vtag in parsed.dependent_vtags] == [*named]


@pytest.mark.parametrize(
    "tree", [None, [], "x", {}, {"meta": {}}, {"property-map": []}, {"meta": {}, "property-map": 1}]
)
def test_without_a_property_map_there_is_nothing_to_read(tree: Any) -> None:
    for strict in (True, False):
        with pytest.raises(DecodeError):
            parse_property_map(tree, Findings(strict=strict))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["as1", ".P", "ipv4:10.0.0.0/8"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                [
                    "meta",
                    "vtag",
                    "tag",
                    "resource-id",
                    "dependent-vtags",
                    "ipv4:10.0.0.0/8",
                    "a.pid:x",
                    ".P",
                    "c.cdni-capabilities",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(meta=_JSON, data=st.dictionaries(st.text(max_size=12) | st.sampled_from(["ipv4:10.0.0.1", "a.pid:x"]), _JSON))
def test_a_lenient_reader_takes_whatever_is_in_a_property_map(meta: Any, data: dict[str, Any]) -> None:
    for of in (None, entry({"a.pid": [".P"], "ipv4": [".P"]}, uses=("a",))):
        parsed, _ = read({"meta": meta, "property-map": data}, of)
        for text in parsed.property_map:
            parsed.property_map.properties_of(text)


@given(_JSON)
def test_any_json_is_a_property_map_or_a_decode_error(tree: Any) -> None:
    for strict in (True, False):
        try:
            parse_property_map(tree, Findings(strict=strict))
        except DecodeError:
            continue


def test_what_another_server_answered_needs_the_lenient_reader() -> None:
    """openalto has no `meta`, and an object for a value."""
    pairs = {pair["name"]: pair for pair in json.loads(TRANSCRIPTS.read_bytes())}
    tree = json.loads(pairs["entity props"]["response"]["body"])
    with pytest.raises(DecodeError, match="meta: missing"):
        parse_property_map(tree, Findings())
    parsed, noted = read(tree)
    assert noted == ["must meta 7285 8.4", "should property-map/ipv4:1.1.1.1/geolocation 9240 7.6"]
    assert parsed.lookup("ipv4:1.1.1.1", "geolocation") == {"lat": -33.8688, "lng": 151.209}


def test_a_filter_is_built_and_checked_against_the_mappings() -> None:
    of = IRD.resources["iacs-property-map"]
    assert property_map_filter(["ipv4:192.0.2.1", "ipv4:192.0.2.1"], [".ISP", ".ISP"], of) == {
        "entities": ["ipv4:192.0.2.1"],
        "properties": [".ISP"],
    }
    assert property_map_filter([]) == {"entities": []}
    assert property_map_filter([], []) == {"entities": [], "properties": []}
    for number in (5, 6):
        request = example(f"rfc9240-s10.{number}-01")
        assert property_map_filter(request["entities"], request["properties"], of) == request


@pytest.mark.parametrize(
    ("entities", "properties", "of"),
    [
        (["pid:x"], [".ISP"], "iacs-property-map"),
        (["ipv4:192.0.2.1"], [".region"], "iacs-property-map"),
        (["ipv4:300.0.2.1"], [".ISP"], None),
        (["ipv4:192.0.2.1"], ["a.b.c"], None),
        (["nonsense"], None, None),
    ],
)
def test_a_filter_that_a_server_has_to_refuse_is_not_built(
    entities: list[str], properties: list[str] | None, of: str | None
) -> None:
    with pytest.raises(ConfigurationError):
        property_map_filter(entities, properties, IRD.resources[of] if of else None)


@pytest.mark.parametrize(
    "values",
    [
        {"ipv4": {"192.0.2.0": {}, "192.0.2.0/32": {"P": "1"}, "x": {}}},
        {"ipv4": {"192.0.2.0": {"P": "1"}, "192.0.2.0/32": {"P": "1"}}},
        {"a.b.c": {}},
        {"ipv4": {"192.0.2.1/24": {"P": "1"}}},
        {"ipv4": {"192.0.2.0/24": {"a.b.c": "1"}}},
        {"pid": {"a.b": {"P": "1"}}},
    ],
)
def test_an_application_s_own_mistakes_are_told(values: Any) -> None:
    with pytest.raises(ConfigurationError):
        PropertyMap.from_values(values)


def test_an_entity_without_properties_is_not_in_the_map() -> None:
    found = PropertyMap.from_values({"ipv4": {"192.0.2.0": {}, "192.0.2.1": {"P": "1"}}})
    assert ([*found], len(found)) == (["ipv4:192.0.2.1"], 1)


def test_identifiers_are_kept_only_of_what_is_defined() -> None:
    """A client can ask for 2**128 others."""
    found = PropertyMap.from_values({"ipv4": {"192.0.2.0": {"P": "1"}}, "ipv6": {"::1": {"P": "1"}}})
    for value in range(9):
        assert found.identifier("ipv4", (value, 32)) == f"ipv4:0.0.0.{value}"
    assert [*found] == ["ipv4:192.0.2.0", "ipv6:::1"]
    assert {domain: len(texts) for domain, texts in found._texts.items()} == {"ipv4": 1, "ipv6": 1}
