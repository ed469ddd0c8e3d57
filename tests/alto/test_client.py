"""The ALTO client's plans: which resource answers, what is asked, and what a foreign server's answers hold."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from alto_plans import Carrier, answer

from alto import media
from alto._json import Json
from alto.cdni import CdniCapability
from alto.client.client import Client
from alto.client.errors import ServerError
from alto.errors import AltoError, ConfigurationError, DecodeError
from alto.findings import MAX_FINDINGS, Finding, Level
from alto.http import Request, Response

ROOT = "https://alto.example.com/"
EXAMPLES = Path(__file__).parent.parent / "data" / "alto_examples"
VTAG = {"resource-id": "map", "tag": "1"}
MAP = {"meta": {"vtag": VTAG}, "network-map": {"PID0": {"ipv4": ["0.0.0.0/0"]}, "PID1": {"ipv4": ["192.0.2.0/24"]}}}
ENTRIES: dict[str, Json] = {
    "map": {"uri": "map", "media-type": media.NETWORK_MAP},
    "small": {"uri": "small", "media-type": media.NETWORK_MAP},
    "some-small": {
        "uri": "some-small",
        "media-type": media.NETWORK_MAP,
        "accepts": media.NETWORK_MAP_FILTER,
        "uses": ["small"],
    },
    "some": {"uri": "some", "media-type": media.NETWORK_MAP, "accepts": media.NETWORK_MAP_FILTER, "uses": ["map"]},
    "eps-other": {
        "uri": "eps-other",
        "media-type": media.ENDPOINT_PROPERTIES,
        "accepts": media.ENDPOINT_PROPERTY_PARAMS,
        "capabilities": {"prop-types": ["priv:isp"]},
    },
    "eps": {
        "uri": "eps",
        "media-type": media.ENDPOINT_PROPERTIES,
        "accepts": media.ENDPOINT_PROPERTY_PARAMS,
        "capabilities": {"prop-types": ["map.pid", "priv:type"]},
    },
    "props": {
        "uri": "props",
        "media-type": media.PROPERTY_MAP,
        "capabilities": {"mappings": {"ipv4": [".ISP"], ".ane": [".cpu"]}},
    },
    "some-props": {
        "uri": "some-props",
        "media-type": media.PROPERTY_MAP,
        "accepts": media.PROPERTY_MAP_PARAMS,
        "capabilities": {"mappings": {"ipv4": [".ISP", ".ASN"]}},
    },
    "cdni": {"uri": "cdni", "media-type": media.CDNI},
    "some-cdni": {"uri": "some-cdni", "media-type": media.CDNI, "accepts": media.CDNI_FILTER},
    "pv": {
        "uri": "pv",
        "media-type": f"multipart/related;type={media.ENDPOINT_COST}",
        "accepts": media.ENDPOINT_COST_PARAMS,
        "capabilities": {"cost-type-names": ["path-vector"], "ane-property-names": ["max-reservable-bandwidth"]},
    },
}


def directory(*names: str) -> Response:
    """An IRD with those entries, with all where none are named."""
    cost_types = {"path-vector": {"cost-mode": "array", "cost-metric": "ane-path"}}
    meta = {"default-alto-network-map": "map", "cost-types": cost_types}
    resources = {name: ENTRIES[name] for name in ("map", *names)} if names else ENTRIES
    return answer({"meta": meta, "resources": resources}, media.DIRECTORY)


def serving(answers: Mapping[str, Response], *names: str) -> tuple[Client, Carrier]:
    return Client(ROOT), Carrier({ROOT: directory(*names), **{ROOT + path: value for path, value in answers.items()}})


def posted(carrier: Carrier) -> Json:
    """The last request's body."""
    return json.loads(carrier.requests[-1].body)


def test_the_directory_is_fetched_once_and_again_on_demand() -> None:
    client, carrier = serving({"map": answer(MAP, media.NETWORK_MAP)})
    carrier.run(client.network_map())
    carrier.run(client.network_map("map"))
    assert [request.target for request in carrier.requests] == [ROOT, ROOT + "map", ROOT + "map"]
    carrier.run(client.directory(refresh=True))
    assert carrier.requests[-1].target == ROOT


def test_the_network_map_is_the_default_one_or_the_one_named() -> None:
    small = {"meta": {"vtag": {"resource-id": "small", "tag": "2"}}, "network-map": {"P": {"ipv4": ["0.0.0.0/0"]}}}
    client, carrier = serving({"map": answer(MAP, media.NETWORK_MAP), "small": answer(small, media.NETWORK_MAP)})
    result = carrier.run(client.network_map())
    assert result.value.network_map.pid_of("192.0.2.1") == "PID1"
    assert result.uri == ROOT + "map"
    assert carrier.run(client.network_map("small")).value.network_map.pid_of("192.0.2.1") == "P"
    for name in ("nope", "some", "eps"):
        with pytest.raises(ConfigurationError, match=r"no (resource|network map)"):
            carrier.run(client.network_map(name))


def test_a_map_whose_version_is_that_of_another_resource_is_refused() -> None:
    tree = {**MAP, "meta": {"vtag": {"resource-id": "small", "tag": "1"}}}
    client, carrier = serving({"map": answer(tree, media.NETWORK_MAP)})
    with pytest.raises(DecodeError, match=r"'small', where that of 'map' is due .* 11\.2\.1\.6"):
        carrier.run(client.network_map())


def test_a_filtered_map_is_that_of_the_map_in_question() -> None:
    filtered = {**MAP, "network-map": {"PID1": {"ipv4": ["192.0.2.0/24"]}}}
    client, carrier = serving({"some": answer(filtered, media.NETWORK_MAP)})
    result = carrier.run(client.filtered_network_map(["PID1"], ["ipv4"]))
    assert result.entry.id == "some"
    assert list(result.value.network_map.pids) == ["PID1"]
    request = carrier.requests[-1]
    assert request.method == "POST"
    assert request.header("content-type") == media.NETWORK_MAP_FILTER
    assert posted(carrier) == {"pids": ["PID1"], "address-types": ["ipv4"]}
    with pytest.raises(ServerError):
        carrier.run(client.filtered_network_map(["PID1"], network_map="small"))
    assert carrier.requests[-1].target == ROOT + "some-small"


def test_endpoint_properties_come_from_a_service_that_has_them_all() -> None:
    properties = {"ipv4:192.0.2.1": {"map.pid": "PID1", "priv:type": "x"}}
    tree = {"meta": {"dependent-vtags": [VTAG]}, "endpoint-properties": properties}
    client, carrier = serving({"eps": answer(tree, media.ENDPOINT_PROPERTIES)})
    result = carrier.run(client.endpoint_properties(["ipv4:192.0.2.1"], ["map.pid", "priv:type"]))
    assert result.value.get("ipv4:192.0.2.1", "map.pid") == "PID1"
    assert posted(carrier) == {"properties": ["map.pid", "priv:type"], "endpoints": ["ipv4:192.0.2.1"]}
    with pytest.raises(ConfigurationError):
        carrier.run(client.endpoint_properties(["ipv4:192.0.2.1"], ["map.pid", "priv:isp"]))
    with pytest.raises(ServerError):
        carrier.run(client.endpoint_properties(["ipv4:192.0.2.1"]))
    assert posted(carrier) == {"properties": ["priv:isp"], "endpoints": ["ipv4:192.0.2.1"]}


def test_properties_of_entities_come_from_a_filtered_map_or_else_a_whole_one() -> None:
    tree = {"meta": {}, "property-map": {"ipv4:192.0.2.0/24": {".ISP": "BitsRus"}}}
    elements = {"meta": {}, "property-map": {".ane:dc1": {".cpu": "4"}}}
    client, carrier = serving(
        {"some-props": answer(tree, media.PROPERTY_MAP), "props": answer(elements, media.PROPERTY_MAP)}
    )
    result = carrier.run(client.properties(["ipv4:192.0.2.0/24"], [".ISP"]))
    assert result.value.lookup("ipv4:192.0.2.0/24", ".ISP") == "BitsRus"
    assert posted(carrier) == {"entities": ["ipv4:192.0.2.0/24"], "properties": [".ISP"]}
    carrier.run(client.properties(["ipv4:192.0.2.0/24"]))
    assert posted(carrier) == {"entities": ["ipv4:192.0.2.0/24"], "properties": []}
    assert carrier.run(client.properties([".ane:dc1"])).value.lookup(".ane:dc1", ".cpu") == "4"
    assert carrier.requests[-1].method == "GET"
    for entities, properties in ((["ipv6:::1"], None), (["ipv4:192.0.2.1"], ["nope"]), (["x"], None)):
        with pytest.raises(ConfigurationError):
            carrier.run(client.properties(entities, properties))
    with pytest.raises(ConfigurationError):
        carrier.run(client.properties(["ipv4:192.0.2.1"], resource_id="cdni"))


def test_a_whole_property_map_is_found_by_its_id_or_its_domain() -> None:
    tree = {"meta": {}, "property-map": {}}
    client, carrier = serving({"props": answer(tree, media.PROPERTY_MAP)})
    for plan in (client.property_map(), client.property_map("props"), client.property_map(domain=".ane")):
        assert carrier.run(plan).entry.id == "props"
    for plan in (client.property_map("some-props"), client.property_map(domain="pid"), client.property_map("map")):
        with pytest.raises(ConfigurationError):
            carrier.run(plan)


def test_a_cdni_advertisement_is_whole_or_of_some_capabilities() -> None:
    tree = {
        "meta": {"vtag": {"resource-id": "cdni", "tag": "1"}},
        "cdni-advertisement": {"capabilities-with-footprints": []},
    }
    client, carrier = serving({name: answer(tree, media.CDNI) for name in ("cdni", "some-cdni")})
    assert carrier.run(client.cdni()).value.advertisements == ()
    asked = CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": ["http/1.1"]})
    assert carrier.run(client.cdni([asked])).entry.id == "some-cdni"
    assert posted(carrier) == {"cdni-capabilities": [asked.to_json()]}


def test_path_vectors_come_in_two_parts() -> None:
    root = {
        "meta": {
            "vtag": {"resource-id": "pv.costs", "tag": "1"},
            "cost-type": {"cost-mode": "array", "cost-metric": "ane-path"},
        },
        "endpoint-cost-map": {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": ["A"]}},
    }
    properties = {
        "meta": {"dependent-vtags": [{"resource-id": "pv.costs", "tag": "1"}]},
        "property-map": {".ane:A": {"max-reservable-bandwidth": 1000}},
    }
    parts = ((media.ENDPOINT_COST, "costs", root), (media.PROPERTY_MAP, "props", properties))
    body = "".join(
        f"--b\r\nContent-Type: {kind}\r\nContent-ID: <{name}@alto.example.com>\r\n\r\n{json.dumps(tree)}\r\n"
        for kind, name, tree in parts
    )
    content_type = f"multipart/related; boundary=b; type={media.ENDPOINT_COST}; start=<costs@alto.example.com>"
    response = Response(200, (("Content-Type", content_type),), (body + "--b--").encode())
    client, carrier = serving({"pv": response})
    result = carrier.run(client.path_vector(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"]))
    assert result.value.bottleneck("ipv4:192.0.2.1", "ipv4:192.0.2.2") == ("A", 1000.0)
    assert posted(carrier)["ane-property-names"] == ["max-reservable-bandwidth"]
    accept = f"multipart/related;type={media.ENDPOINT_COST},{media.ERROR}"
    assert carrier.requests[-1].header("accept") == accept
    for asked in (
        client.path_vector(["PID1"], ["PID2"], between="pids"),
        client.path_vector(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"], ["next-hop"]),
        client.path_vector(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"], resource_id="other"),
    ):
        with pytest.raises(ConfigurationError, match="no path vectors"):
            carrier.run(asked)


def test_what_a_server_does_not_have_is_an_error_before_anything_is_asked() -> None:
    client, carrier = serving({}, "map")
    for plan in (
        client.filtered_network_map(),
        client.endpoint_properties(["ipv4:192.0.2.1"]),
        client.properties(["ipv4:192.0.2.1"]),
        client.property_map(),
        client.cdni(),
    ):
        with pytest.raises(ConfigurationError):
            carrier.run(plan)
    assert len(carrier.requests) == 1


def test_an_error_response_is_raised_and_its_own_faults_are_noted() -> None:
    meta = {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints", "value": 3}
    client, carrier = serving({"eps": answer({"meta": meta}, media.ERROR, status=400)})
    with pytest.raises(ServerError) as caught:
        carrier.run(client.endpoint_properties(["ipv4:192.0.2.1"], ["map.pid"]))
    assert (caught.value.status, caught.value.field) == (400, "endpoints")
    assert [finding.path for finding in client.findings] == ["meta/value"]


def test_a_client_remembers_each_deviation_once_and_not_too_many() -> None:
    client = Client(ROOT)
    findings = [Finding(Level.NOTE, str(number), "x", 7285, "1") for number in range(MAX_FINDINGS + 5)]
    client.note(findings[:3])
    client.note(findings[:4])
    assert client.findings == tuple(findings[:4])
    client.note(findings)
    assert len(client.findings) == MAX_FINDINGS


def test_a_strict_client_refuses_what_a_lenient_one_notes() -> None:
    tree = {**MAP, "network-map": {"PID1": {"ipv4": ["192.0.2.0/24"]}}}
    client, carrier = serving({"map": answer(tree, media.NETWORK_MAP)})
    with pytest.raises(DecodeError):
        carrier.run(client.network_map())
    client.strict = False
    result = carrier.run(client.network_map())
    assert len(result.findings) == 1
    assert client.findings == result.findings


OPENALTO = "http://127.0.0.1:8000/directory/directory"
TRANSCRIPTS = json.loads((EXAMPLES.parent / "openalto_server_transcripts.json").read_text())


def recorded(request: Request) -> Response:
    """What the foreign server has answered to the first recorded request of that method and URI."""
    for exchange in TRANSCRIPTS:
        asked, response = exchange["request"], exchange["response"]
        if (asked["method"], "http://127.0.0.1:8000" + asked["path"]) == (request.method, request.target):
            return Response(response["status"], tuple(response["headers"].items()), response["body"].encode())
    raise AssertionError(request.target)


def deviations(client: Client) -> list[str]:
    return [f"{item.level} {item.path} {item.rfc} {item.section}" for item in client.findings]


DIRECTORY_FAULTS = [
    "must meta/default-alto-network-map 7285 9.2.2",
    "must resources/geoip-misconfig/capabilities/mappings 9240 7.4",
    "must resources/updates-graph/uses 9569 5.3",
    "must resources/updates-graph/capabilities/incremental-change-media-types 9569 5.3",
]


def test_the_foreign_servers_directory_is_read_leniently_and_refused_strictly() -> None:
    client = Client(OPENALTO, strict=False)
    closure = Carrier(recorded).run(client.directory())
    assert deviations(client) == DIRECTORY_FAULTS
    assert len(closure.entries) == 11
    with pytest.raises(DecodeError) as caught:
        Carrier(recorded).run(Client(OPENALTO).directory())
    assert str(caught.value) == ("meta/default-alto-network-map: missing in a Root IRD (RFC 7285 section 9.2.2)")


def foreign(*, strict: bool = False) -> tuple[Client, Carrier]:
    """A client that has got over the foreign server's IRD."""
    client, carrier = Client(OPENALTO, strict=False), Carrier(recorded)
    carrier.run(client.directory())
    client.strict = strict
    return client, carrier


def test_the_foreign_servers_network_maps_are_read() -> None:
    client, carrier = foreign()
    result = carrier.run(client.network_map())
    assert result.value.network_map.pid_of("10.0.0.251") == "XRD1"
    assert deviations(client)[4:] == ["must meta/vtag/resource-id 7285 11.2.1.6"]
    client, carrier = foreign(strict=True)
    assert carrier.run(client.network_map("dynamic-networkmap")).value.network_map.pid_of("192.0.2.113") == "PID1"


def test_the_foreign_servers_property_map_is_read_leniently_and_refused_strictly() -> None:
    client, carrier = foreign()
    result = carrier.run(client.properties(["ipv4:1.1.1.1"]))
    assert result.value.lookup("ipv4:1.1.1.1", "geolocation") == {"lat": -33.8688, "lng": 151.209}
    assert deviations(client)[4:] == ["must meta 7285 8.4", "should property-map/ipv4:1.1.1.1/geolocation 9240 7.6"]
    client, carrier = foreign(strict=True)
    with pytest.raises(DecodeError, match=r"^meta: missing \(RFC 7285 section 8.4\)$"):
        carrier.run(client.properties(["ipv4:1.1.1.1"]))


def test_the_foreign_servers_path_vectors_are_read_leniently_and_refused_strictly() -> None:
    client, carrier = foreign()
    result = carrier.run(client.path_vector(["ipv4:10.1.0.2"], ["ipv4:10.2.0.2"]))
    assert result.value.paths == {("ipv4:10.1.0.2", "ipv4:10.2.0.2"): ("autolink_1", "autolink_2")}
    assert result.value.properties["autolink_1"] == {"next_hop": "10.0.0.2"}
    assert deviations(client)[4:] == [
        "must part application/alto-endpointcost+json 9275 6.6",
        "must part application/alto-propmap+json 9275 6.6",
        "must endpoint-cost-map/10.1.0.2 7285 10.4.1",
        "must endpoint-cost-map/10.1.0.2/10.2.0.2 7285 10.4.1",
        "must property-map/.ane:autolink_1/next_hop 9275 7.3.6",
        "must property-map/.ane:autolink_2/next_hop 9275 7.3.6",
    ]
    client, carrier = foreign(strict=True)
    with pytest.raises(DecodeError, match=r"Content-ID '<ecs@127.0.0.1:8000>' is not <PART@DOMAIN>"):
        carrier.run(client.path_vector(["ipv4:10.1.0.2"], ["ipv4:10.2.0.2"]))


@pytest.mark.parametrize("strict", [True, False])
def test_whatever_a_resource_answers_with_is_a_document_or_an_error_of_ours(strict: bool) -> None:
    """Each document of the foreign server in the place of each other, and each cut short."""
    bodies = [exchange["response"] for exchange in TRANSCRIPTS]

    def plans(client: Client) -> list[object]:
        return [
            client.network_map(),
            client.filtered_network_map(["PID1"]),
            client.endpoint_properties(["ipv4:192.0.2.1"], ["map.pid"]),
            client.properties(["ipv4:192.0.2.1"]),
            client.property_map(),
            client.cdni(),
            client.path_vector(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"]),
        ]

    for recording in bodies:
        for length in (len(recording["body"]), len(recording["body"]) // 2):
            response = Response(
                200,
                (("Content-Type", recording["headers"].get("Content-Type", "")),),
                recording["body"][:length].encode(),
            )
            client = Client(ROOT, strict=strict)
            for index in range(7):
                carrier = Carrier(lambda request, given=response: directory() if request.target == ROOT else given)
                try:
                    carrier.run(plans(client)[index])  # type: ignore[arg-type]
                except AltoError:
                    continue


def test_a_resource_is_asked_by_the_method_of_its_entry_and_no_other() -> None:
    """RFC 7285 section 8.3.2: GET and POST are not interchangeable, parameters go in the body of a POST."""
    client, carrier = serving({})
    closure = carrier.run(client.directory())
    for entry in closure.entries.values():
        params = None if entry.accepts is None else {}
        with pytest.raises(ServerError, match="404"):
            carrier.run(client.obtain(entry, lambda response, findings: response, params))
        request = carrier.requests[-1]
        assert request.target == entry.uri
        assert request.method == ("GET" if entry.accepts is None else "POST")
        assert request.body == (b"" if entry.accepts is None else b"{}")
        assert request.header("content-type") == entry.accepts
    assert len(carrier.requests) == 1 + len(closure.entries)
