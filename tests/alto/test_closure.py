"""The closure of IRDs: IDs, `uses` and the default map across it, what a server has to offer, and the RFCs' IRDs."""

import json
from pathlib import Path

import pytest

from alto import media
from alto._json import Json
from alto.capabilities import PATH_VECTOR
from alto.closure import MAX_DEPENDENCIES, Closure, check_offer, is_network_map, join_directories
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings, Level
from alto.ird import MAX_RESOURCES, InformationResourceDirectory, ResourceEntry, parse_directory

ROOT = "http://alto.example.com/directory"
EXAMPLES = Path(__file__).parent.parent / "data" / "alto_examples"
MAP = ResourceEntry("map", "https://a/map", media.NETWORK_MAP)


def cost_map(name: str = "costs", *, cost_type: str = "num-rc", uses: tuple[str, ...] = ("map",)) -> ResourceEntry:
    return ResourceEntry(name, "https://a/c", media.COST_MAP, None, {"cost-type-names": [cost_type]}, uses)


def load(*trees: Json, is_complete: bool = True) -> tuple[Closure, list[str]]:
    """The closure of documents, the first the Root IRD, and its findings as `level path rfc section`."""
    findings = Findings(strict=False)
    parsed = {
        f"{ROOT}/{number}": parse_directory(tree, findings, ROOT, is_root=number == 0)
        for number, tree in enumerate(trees)
    }
    closure = join_directories(parsed, findings, is_complete=is_complete)
    return closure, [f"{item.level} {item.path} {item.rfc} {item.section}" for item in findings.items]


def of(*entries: ResourceEntry, default: str | None = None, is_complete: bool = True) -> tuple[Closure, list[str]]:
    """The closure of one IRD of those entries."""
    meta: Json = {
        "cost-types": {
            "num-rc": {"cost-mode": "numerical", "cost-metric": "routingcost"},
            "num-hop": {"cost-mode": "numerical", "cost-metric": "hopcount"},
            "pv": {"cost-mode": "array", "cost-metric": "ane-path"},
        }
    }
    if default is not None:
        meta["default-alto-network-map"] = default
    tree = {"meta": meta, "resources": {entry.id: entry.to_json() for entry in entries}}
    closure, findings = load(tree, is_complete=is_complete)
    return closure, [finding for finding in findings if default is not None or "default-alto" not in finding]


def example(name: str) -> Json:
    """An IRD of the RFCs; where they print the `resources` alone, with what they leave out around them."""
    tree = json.loads((EXAMPLES / name).read_text())
    if "resources" in tree:
        return tree
    cost_types = {
        "num-routingcost": {"cost-mode": "numerical", "cost-metric": "routingcost"},
        "num-hopcount": {"cost-mode": "numerical", "cost-metric": "hopcount"},
        "path-vector": {"cost-mode": "array", "cost-metric": "ane-path"},
    }
    return {"meta": {"cost-types": cost_types, "default-alto-network-map": "my-network-map"}, "resources": tree}


def test_the_closure_of_the_example_of_rfc_7285_and_its_delegated_part_has_no_fault() -> None:
    root = example("rfc7285/rfc7285-s9.2.3-01.fixed.json")
    closure, findings = load(root, example("rfc7285/rfc7285-s9.2.4-01.json"))
    assert findings == []
    assert len(closure.entries) == 10
    default = closure.default_network_map
    assert default is not None
    assert default.id == "my-default-network-map"
    assert closure.network_map_of(closure.entries["filtered-cost-map"]) == default


UNDEFINED = "must resources/{}/uses 7285 9.2.2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rfc7285/rfc7285-s9.2.3-01.fixed.json", []),
        (
            # Alone, the delegated IRD uses what only the root has.
            "rfc7285/rfc7285-s9.2.4-01.json",
            [
                "must meta/default-alto-network-map 7285 9.2.2",
                *(
                    UNDEFINED.format(name)
                    for name in (
                        "filtered-network-map",
                        "filtered-cost-map",
                        "ordinal-routing-cost-map",
                        "ordinal-hopcount-cost-map",
                    )
                ),
            ],
        ),
        (
            # num-routingcost for num-routing, and an endpoint cost service that uses a network map.
            "rfc8189/rfc8189-s5.1-01.json",
            [
                "note meta/cost-types/num-shoesize/cost-metric 7285 10.6",
                "note meta/cost-types/num-scenery/cost-metric 7285 10.6",
                "must resources/filtered-multicost-map/capabilities/cost-type-names 7285 11.3.2.4",
                "must resources/filtered-cost-map-extended/capabilities/cost-type-names 7285 11.3.2.4",
                "must resources/endpoint-multicost-map/capabilities/cost-type-names 7285 11.3.2.4",
                "must resources/endpoint-multicost-map/uses 7285 11.5.1.5",
            ],
        ),
        (
            # my-networkmap for my-network-map, a media type with one letter too many.
            "rfc8895/rfc8895-s8.1-01.fixed.json",
            [
                "note resources/my-props/media-type 7285 14.1",
                UNDEFINED.format("my-routingcost-map"),
                UNDEFINED.format("my-hopcount-map"),
                UNDEFINED.format("my-filtered-cost-map"),
                UNDEFINED.format("my-simple-filtered-cost-map"),
                *["should resources/update-my-costs/uses 8895 6.4"] * 3,
            ],
        ),
        (
            # A delegated IRD again; the cost mode `string` and three metrics are not registered.
            "rfc8896/rfc8896-s4.3-01.json",
            [
                "note meta/cost-types/num-owdelay/cost-metric 7285 10.6",
                "note meta/cost-types/num-throughputrating/cost-metric 7285 10.6",
                "must meta/cost-types/string-servicestatus/cost-mode 9274 3.2",
                "note meta/cost-types/string-servicestatus/cost-metric 7285 10.6",
                "must meta/default-alto-network-map 7285 9.2.2",
                UNDEFINED.format("filtered-cost-map-calendar"),
            ],
        ),
        (
            # The capability `properties` for `prop-types`.
            "rfc9240/rfc9240-s10.3-01.json",
            ["must resources/legacy-endpoint-property/capabilities/prop-types 7285 11.4.1.4"],
        ),
        (
            # my-default-cdni for my-default-cdnifci; update streams without accepts, without support-stream-control.
            "rfc9241/rfc9241-s3.7.1-01.json",
            [
                "should resources/update-my-cdni-fci/capabilities/support-stream-control 8895 6.3",
                "must resources/update-my-props/accepts 8895 6.5",
                "should resources/update-my-props/capabilities/support-stream-control 8895 6.3",
                UNDEFINED.format("cdnifci-property-map"),
                UNDEFINED.format("filtered-cdnifci-property-map"),
                *["should resources/update-my-props/uses 8895 6.4"] * 2,
            ],
        ),
        (
            "rfc9275/rfc9275-s8.2-01.fixed.json",
            [
                "must meta/default-alto-network-map 7285 9.2.2",
                "should resources/update-pv/capabilities/incremental-change-media-types 8895 6.3",
                "should resources/update-pv/uses 8895 6.4",
            ],
        ),
        (
            "rfc9569draft/rfc9569draft-s5.4-01.fixed.json",
            [
                "should resources/tips-sse/capabilities/support-stream-control 8895 6.3",
                "should resources/tips-sse/uses 8895 6.4",
            ],
        ),
    ],
)
def test_the_directories_of_the_rfcs_have_these_faults_and_no_others(name: str, expected: list[str]) -> None:
    assert load(example(name))[1] == expected


def test_the_default_map_is_the_one_that_the_root_names_and_else_the_first() -> None:
    for default in ("first", "second", "third"):
        entries = [ResourceEntry(name, f"http://x/{name}", media.NETWORK_MAP) for name in ("first", "second", "third")]
        found = of(*entries, default=default)[0].default_network_map
        assert found is not None
        assert found.id == default
    found = of(ResourceEntry("first", "http://x/", media.NETWORK_MAP))[0].default_network_map
    assert found is not None


def test_a_resource_id_is_there_once_in_the_closure() -> None:
    first = {"meta": {"default-alto-network-map": "map"}, "resources": {"map": MAP.to_json()}}
    second = {"meta": {}, "resources": {"map": cost_map().to_json() | {"capabilities": {}}}}
    closure, findings = load(first, second)
    assert "must resources/map 7285 9.1.1" in findings
    assert closure.entries["map"] == MAP
    directory = InformationResourceDirectory({"map": MAP}, {}, "map")
    with pytest.raises(DecodeError, match="twice in the closure"):
        join_directories({"a": directory, "b": directory}, Findings())


def test_names_of_cost_types_hold_in_the_directory_that_defines_them() -> None:
    def tree(metric: str, name: str) -> Json:
        types = {"num": {"cost-mode": "numerical", "cost-metric": metric}}
        resources = {name: cost_map(name, cost_type="num").to_json()}
        return {"meta": {"cost-types": types, "default-alto-network-map": "map"}, "resources": resources}

    closure, _ = load(tree("routingcost", "a"), tree("hopcount", "b"))
    assert closure.offers(closure.entries["a"], ("numerical", "routingcost"))
    assert not closure.offers(closure.entries["b"], ("numerical", "routingcost"))
    assert closure.offers(closure.entries["b"], ("numerical", "hopcount"))


def test_what_is_used_may_be_in_another_directory_or_in_one_that_could_not_be_read() -> None:
    assert UNDEFINED.format("costs") in of(cost_map(uses=("map", "other")), MAP)[1]
    assert of(cost_map(uses=("map", "other")), MAP, is_complete=False)[1] == []


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        (cost_map(uses=()), "must resources/costs/uses 7285 11.2.3.5"),
        (cost_map(uses=("map", "map2")), "must resources/costs/uses 7285 11.2.3.5"),
        (cost_map(uses=("costs", "map")), "must resources/costs/uses 7285 9.2.2"),
        (ResourceEntry("x", "/x", media.NETWORK_MAP, media.NETWORK_MAP_FILTER), "must resources/x/uses 7285 11.3.1.5"),
        (ResourceEntry("x", "/x", media.NETWORK_MAP, None, {}, ("map",)), "should resources/x/uses 7285 11.2.1.5"),
        (
            ResourceEntry(
                "x",
                "/x",
                media.ENDPOINT_PROPERTIES,
                media.ENDPOINT_PROPERTY_PARAMS,
                {"prop-types": ["map.pid"]},
                ("map",),
            ),
            "should resources/x/uses 7285 11.4.1.5",
        ),
        (
            ResourceEntry(
                "x",
                "/x",
                media.ENDPOINT_COST,
                media.ENDPOINT_COST_PARAMS,
                {"cost-type-names": ["num-rc"]},
                ("map",),
            ),
            "must resources/x/uses 7285 11.5.1.5",
        ),
        (
            ResourceEntry(
                "x",
                "/x",
                f"multipart/related;type={media.COST_MAP}",
                media.COST_MAP_FILTER,
                {"cost-type-names": ["pv"]},
            ),
            "must resources/x/uses 9275 7.2.5",
        ),
        (
            ResourceEntry("x", "/x", media.PROPERTY_MAP, None, {"mappings": {"map.pid": [".x"]}}),
            "should resources/x/uses 9240 7.5",
        ),
        (
            ResourceEntry("x", "/x", media.PROPERTY_MAP, None, {"mappings": {"map.ane": [".x"]}}, ("map",)),
            "must resources/x/capabilities/mappings/map.ane 9240 4.6.1",
        ),
        (
            ResourceEntry("x", "/x", media.EVENT_STREAM, media.UPDATE_STREAM_PARAMS),
            "must resources/x/uses 8895 6.4",
        ),
        (
            ResourceEntry(
                "x",
                "/x",
                media.TIPS,
                media.TIPS_PARAMS,
                {"incremental-change-media-types": {"map2": media.MERGE_PATCH}},
                ("map",),
            ),
            "must resources/x/capabilities/incremental-change-media-types 9569 5.3",
        ),
        (
            ResourceEntry("x", "/x", media.TIPS, media.TIPS_PARAMS, {}, ("costs",)),
            "should resources/x/uses 9569 5.3",
        ),
    ],
)
def test_uses_is_checked_by_the_kind_of_resource(entry: ResourceEntry, finding: str) -> None:
    others = [MAP, ResourceEntry("map2", "https://a/2", media.NETWORK_MAP)]
    others += [cost_map()] if entry.id != "costs" else []
    assert finding in of(*others, entry)[1]


@pytest.mark.parametrize(("default", "is_fault"), [("map", False), ("nope", True), ("costs", True)])
def test_the_default_map_is_a_network_map_of_the_closure(default: str, is_fault: bool) -> None:
    closure, findings = of(cost_map(), MAP, default=default)
    assert ("must meta/default-alto-network-map 7285 9.2.2" in findings) == is_fault
    assert closure.default_network_map == MAP


def test_more_resources_or_dependencies_than_any_server_has_are_refused() -> None:
    half = MAX_RESOURCES // 2 + 1
    many = {str(number): MAP for number in range(half)}
    directory = InformationResourceDirectory(many, {})
    with pytest.raises(DecodeError, match="resources"):
        join_directories({"a": directory, "b": directory}, Findings(strict=False))
    names = tuple(map(str, range(MAX_DEPENDENCIES + 1)))
    directory = InformationResourceDirectory({"costs": cost_map(uses=names)}, {})
    with pytest.raises(DecodeError, match="dependencies"):
        join_directories({"a": directory}, Findings(strict=False))


def test_a_resource_is_found_by_its_type_its_input_and_what_it_offers() -> None:
    vectors = ResourceEntry(
        "vectors",
        "https://a/v",
        f"multipart/related;type={media.COST_MAP}",
        media.COST_MAP_FILTER,
        {"cost-type-names": ["pv"]},
        ("map",),
    )
    closure, _ = of(vectors, MAP, cost_map("hops", cost_type="num-hop"), cost_map())
    hops = closure.find(media.COST_MAP, accepts=None, suits=lambda e: closure.offers(e, ("numerical", "hopcount")))
    assert hops.id == "hops"
    assert closure.find(media.COST_MAP, accepts=None).id == "hops"
    assert closure.path_vectors(closure.entries["vectors"])
    assert closure.offers(closure.entries["vectors"], PATH_VECTOR)
    assert is_network_map(closure.entries["map"])
    assert closure.network_map_of(MAP) is None
    with pytest.raises(ConfigurationError, match="no such resource"):
        closure.find(media.COST_MAP, accepts=media.COST_MAP_FILTER)


def test_what_a_server_has_to_offer_is_asked_for_apart() -> None:
    def offered(closure: Closure) -> list[str]:
        findings = Findings(strict=False)
        check_offer(closure, findings)
        assert all(item.level is Level.MUST for item in findings.items)
        return [f"{item.path} {item.section}" for item in findings.items]

    properties = ResourceEntry(
        "props",
        "https://a/p",
        media.ENDPOINT_PROPERTIES,
        media.ENDPOINT_PROPERTY_PARAMS,
        {"prop-types": ["map.pid"]},
    )
    assert offered(of(MAP, cost_map(), properties)[0]) == []
    assert offered(of(MAP, cost_map())[0]) == ["resources 11.4.1.4"]
    assert offered(of(MAP, properties, cost_map(cost_type="num-hop"))[0]) == ["resources 11.2.3"]
    assert offered(of(MAP, properties, cost_map(), cost_map("again"))[0]) == ["resources/again 11.2.3.5"]
    assert offered(of(cost_map())[0]) == ["resources 11.2.1"]
    assert offered(of(cost_map(cost_type="num-hop"), is_complete=False)[0]) == []
