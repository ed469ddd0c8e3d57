"""The examples of RFC 8895 sections 3 and 8, played by our server and read by our client.

The request and event bodies are those of the RFC (tests/data/alto_examples). What is not JSON as printed is used as the
index there repairs it: the JSON patch of 8.2 lacks its brackets, and some have a comma too many (trap 21).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alto_updates import Server, control_path
from attrs import field, frozen

from alto import media
from alto._json import canonical
from alto.directory import Directory, Document, Query
from alto.errors import DecodeError, RequestError
from alto.http import Response
from alto.params import bad_value
from alto.patch import json_diff, json_patch, merge_diff, merge_patch
from alto.sse import encode_event
from alto.types import CostType, VTag
from alto.updates_client import (
    Event,
    ResourceInvalidated,
    ResourceUpdated,
    StreamBroken,
    StreamEnded,
    StreamOpened,
    Subscription,
    SubstreamsStopped,
    UpdateStreamClient,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples" / "rfc8895"
CONTROL = media.UPDATE_STREAM_CONTROL
EPS_TYPO = "application/alto-endpointprops+json"


def example(section: str, number: int) -> Any:
    (path,) = EXAMPLES.glob(f"rfc8895-s{section}-{number:02}*.json")
    return json.loads(path.read_text())


@frozen
class Fixed:
    """A resource with an answer to each input that it knows."""

    id: str
    answers: Mapping[bytes, Any]
    media_type: str = media.COST_MAP
    accepts: str | None = None
    uses: tuple[str, ...] = ()
    is_private: bool = False
    cost_types: Mapping[str, CostType] = field(factory=dict)

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (canonical(list(self.answers.values())),)

    def answer(self, query: Query) -> Document:
        if canonical(query.input) not in self.answers:
            raise bad_value("input", query.input)
        tree = self.answers[canonical(query.input)]
        vtag = tree.get("meta", {}).get("vtag")
        return Document(self.media_type, tree, vtag=VTag(self.id, vtag["tag"]) if vtag else None)


def fixed(name: str, tree: Any, **more: Any) -> Fixed:
    return Fixed(name, {canonical(None): tree}, **more)


def network(tree: Any) -> Fixed:
    return fixed("my-network-map", tree, media_type=media.NETWORK_MAP)


def costs(name: str, tree: Any) -> Fixed:
    return fixed(name, tree, uses=("my-network-map",))


MAP, COSTS = example("8.2", 3), example("8.2", 4)
ANNOUNCED = {
    "my-network-map": [media.JSON_PATCH],
    "my-routingcost-map": [media.MERGE_PATCH],
    "my-hopcount-map": [media.MERGE_PATCH],
}


def cost_server() -> Server:
    maps = [network(MAP), costs("my-routingcost-map", COSTS), costs("my-hopcount-map", COSTS)]
    return Server(*maps, incremental_change_media_types=ANNOUNCED)


def test_section_3_1_2_merge_patches_of_maps() -> None:
    assert merge_patch(example("3.1.2.1", 1), example("3.1.2.1", 2)) == example("3.1.2.1", 3)
    assert merge_patch(example("3.1.2.2", 1), example("3.1.2.2", 2)) == example("3.1.2.2", 3)
    assert merge_diff(example("3.1.2.1", 1), example("3.1.2.1", 3)) == example("3.1.2.1", 2)
    assert merge_diff(example("3.1.2.2", 1), example("3.1.2.2", 3)) == example("3.1.2.2", 2)


def test_section_3_2_2_json_patches_of_maps() -> None:
    assert json_patch(example("3.1.2.1", 1), example("3.2.2.1", 1)) == example("3.1.2.1", 3)
    change = json_diff(example("3.1.2.1", 1), example("3.1.2.1", 3))
    assert sorted(map(str, change)) == sorted(map(str, example("3.2.2.1", 1)))


def test_section_3_2_2_2_replaces_a_cost_that_is_not_there() -> None:
    """Trap 12: by RFC 6902 that fails; with "add" it gives the map of section 3.1.2.2."""
    operations = example("3.2.2.2", 1)
    with pytest.raises(DecodeError):
        json_patch(example("3.1.2.2", 1), operations)
    operations[3]["op"] = "add"
    assert json_patch(example("3.1.2.2", 1), operations) == example("3.1.2.2", 3)


def test_section_6_6_the_error_response() -> None:
    server = cost_server()
    with pytest.raises(RequestError) as caught:
        server.post("", {"add": {"my-network-map": {"resource-id": "my-networkmap/#"}}})
    meta = {"code": caught.value.code, "field": caught.value.field, "value": caught.value.value}
    assert meta == example("6.6", 1)["meta"]


def test_section_8_2_the_server() -> None:
    server = cost_server()
    stream = server.post("", example("8.2", 1))
    control, *full = server.events(stream)
    assert (control[0], list(control[1])) == (CONTROL, list(example("8.2", 2)))
    assert full == [
        (f"{media.NETWORK_MAP},my-network-map", MAP),
        (f"{media.COST_MAP},my-routingcost-map", COSTS),
    ]
    changed = merge_patch(COSTS, example("8.2", 5))
    server.replace(costs("my-routingcost-map", changed))
    assert server.events(stream) == [("application/merge-patch+json,my-routingcost-map", example("8.2", 5))]
    last = {"meta": changed["meta"], "cost-map": example("8.2", 7)["cost-map"]}
    server.replace(network(json_patch(MAP, example("8.2", 6))), costs("my-routingcost-map", last))
    first, second = server.events(stream)
    assert first == ("application/json-patch+json,my-network-map", example("8.2", 6))
    assert second[0].endswith(",my-routingcost-map")


def test_section_8_3_the_server() -> None:
    tagged = merge_patch(MAP, {"meta": {"vtag": {"tag": example("8.3", 1)["add"]["net"]["tag"]}}})
    server = cost_server()
    server.replace(network(tagged))
    stream = server.post("", example("8.3", 1))
    events = server.events(stream)
    assert [name for name, _ in events] == [CONTROL, f"{media.COST_MAP},routing", f"{media.COST_MAP},hops"]
    path = control_path(events)
    for name, number, substream in (("my-routingcost-map", 5, "routing"), ("my-hopcount-map", 6, "hops")):
        server.replace(costs(name, merge_patch(COSTS, example("8.3", number))))
        assert server.events(stream) == [(f"application/merge-patch+json,{substream}", example("8.3", number))]
    assert server.post(path, example("8.3", 7)) == Response(204)
    ((name, stopped),) = server.events(stream)
    assert (name, stopped["stopped"]) == (CONTROL, example("8.3", 8)["stopped"])
    with pytest.raises(RequestError) as caught:
        server.post(path, example("8.3", 9))
    meta = {"code": caught.value.code, "field": caught.value.field, "value": caught.value.value}
    assert meta == example("8.3", 10)["meta"]
    assert server.post(path, example("8.3", 11)) == Response(204)
    ((name, stopped),) = server.events(stream)
    assert (name, stopped["stopped"]) == (CONTROL, example("8.3", 12)["stopped"])
    assert stream.is_finished


def properties(answers: Mapping[bytes, Any]) -> Fixed:
    params = media.ENDPOINT_PROPERTY_PARAMS
    return Fixed("my-props", answers, media_type=media.ENDPOINT_PROPERTIES, accepts=params)


def test_section_8_4_the_server() -> None:
    """With the media type that RFC 7285 registers; the example says "endpointprops" (trap 21)."""
    opening, more = example("8.4", 1), example("8.4", 7)
    inputs = [entry["input"] for request in (opening, more) for entry in request["add"].values()]
    answers = {canonical(each): example("8.4", number) for each, number in zip(inputs, (3, 4, 8, 9), strict=True)}
    server = Server(properties(answers))
    stream = server.post("", opening)
    control, *full = server.events(stream)
    kind = media.ENDPOINT_PROPERTIES
    assert full == [(f"{kind},props-1", example("8.4", 3)), (f"{kind},props-2", example("8.4", 4))]

    def change(at: int, number: int) -> list[tuple[str, Any]]:
        key = canonical(inputs[at])
        answers[key] = merge_patch(answers[key], example("8.4", number))
        server.replace(properties(dict(answers)))
        return server.events(stream)

    merge = "application/merge-patch+json"
    assert change(0, 5) == [(f"{merge},props-1", example("8.4", 5))]
    assert change(1, 6) == [(f"{merge},props-2", example("8.4", 6))]
    assert server.post(control_path([control]), more) == Response(204)
    assert server.events(stream) == [
        (CONTROL, {"started": ["props-3", "props-4"]}),
        (f"{kind},props-3", example("8.4", 8)),
        (f"{kind},props-4", example("8.4", 9)),
    ]
    assert change(3, 12) == [(f"{merge},props-4", example("8.4", 12))]


def octets(*events: tuple[str, Any]) -> bytes:
    """Events with their JSON on several lines, as the RFC prints them."""
    return b"".join(encode_event(name, json.dumps(value, indent=2).encode()) for name, value in events)


def play(client: UpdateStreamClient, stream: bytes) -> list[Event]:
    client.receive_data(stream, 0.0)
    found: list[Event] = []
    while (event := client.next_event()) is not None:
        found.append(event)
    return found


def opened(add: dict[str, Subscription], uri: str = "https://alto.example.com/updates/costs") -> UpdateStreamClient:
    client = UpdateStreamClient(uri, add)
    client.receive_response(Response(200, (("Content-Type", "text/event-stream"),)), 0.0)
    return client


def test_section_8_2_the_client() -> None:
    uses = ("my-network-map",)
    client = opened(
        {
            "my-network-map": Subscription("my-network-map"),
            "my-routingcost-map": Subscription("my-routingcost-map", uses=uses),
        }
    )
    assert json.loads(client.request.body) == example("8.2", 1)
    events = play(
        client,
        octets(
            (CONTROL, example("8.2", 2)),
            (f"{media.NETWORK_MAP},my-network-map", MAP),
            (f"{media.COST_MAP},my-routingcost-map", COSTS),
            ("application/merge-patch+json,my-routingcost-map", example("8.2", 5)),
        ),
    )
    assert events[0] == StreamOpened(example("8.2", 2)["control-uri"])
    assert [each.tree for each in events[1:] if isinstance(each, ResourceUpdated)] == [
        MAP,
        COSTS,
        example("3.1.2.2", 3) | {"meta": merge_patch(COSTS, example("8.2", 5))["meta"]},
    ]
    invalid, changed = play(client, octets(("application/json-patch+json,my-network-map", example("8.2", 6))))
    assert invalid == ResourceInvalidated("my-routingcost-map")
    assert isinstance(changed, ResourceUpdated)
    assert changed.tree["network-map"]["PID1"]["ipv4"][2] == "203.0.113.0/25"
    # This cost map names no version of the network map, so that its arrival has to do.
    (again,) = play(client, octets((f"{media.COST_MAP},my-routingcost-map", example("8.2", 7))))
    assert isinstance(again, ResourceUpdated)
    assert again.tree == example("8.2", 7)


def test_section_8_2_the_json_patch_as_printed_ends_the_stream() -> None:
    client = opened({"my-network-map": Subscription("my-network-map")})
    play(client, octets((CONTROL, example("8.2", 2)), (f"{media.NETWORK_MAP},my-network-map", MAP)))
    printed = b'{\n  {\n  "op": "replace",\n  "path": "/meta/vtag/tag",\n  "value" :"a1"\n  }\n}'
    (last,) = play(client, encode_event("application/json-patch+json,my-network-map", printed))
    assert isinstance(last, StreamBroken)
    tag = client.resumption()["my-network-map"].tag
    assert tag == MAP["meta"]["vtag"]["tag"]


def test_section_8_3_the_client() -> None:
    asked = example("8.3", 1)["add"]
    held = merge_patch(MAP, {"meta": {"vtag": {"tag": asked["net"]["tag"]}}})
    client = opened(
        {
            "net": Subscription("my-network-map", tag=asked["net"]["tag"], document=held),
            "routing": Subscription("my-routingcost-map"),
            "hops": Subscription("my-hopcount-map"),
        }
    )
    assert json.loads(client.request.body) == example("8.3", 1)
    based = merge_patch(COSTS, {"meta": {"dependent-vtags": [held["meta"]["vtag"]]}})
    events = play(
        client,
        octets(
            (CONTROL, example("8.3", 2)),
            (f"{media.COST_MAP},routing", based),
            (f"{media.COST_MAP},hops", based),
            ("application/merge-patch+json,routing", example("8.3", 5)),
            ("application/merge-patch+json,hops", example("8.3", 6)),
        ),
    )
    assert [type(each) for each in events] == [StreamOpened, *[ResourceUpdated] * 4]
    remove = client.remove(["hops"])
    assert (remove.request.target, json.loads(remove.request.body)) == (client.control_uri, example("8.3", 7))
    assert play(client, octets((CONTROL, example("8.3", 8)))) == [SubstreamsStopped(("hops",), None)]
    assert json.loads(client.close().request.body) == example("8.3", 11)
    assert play(client, octets((CONTROL, example("8.3", 12)))) == [SubstreamsStopped(("net", "routing"), None)]
    client.receive_eof(0.0)
    assert client.next_event() == StreamEnded(is_complete=True)


def test_section_8_4_the_client_is_lenient_about_the_media_type() -> None:
    """Trap 21: "alto-endpointprops+json"."""
    kind = media.ENDPOINT_PROPERTIES
    entries = {name: entry["input"] for name, entry in example("8.4", 1)["add"].items()}
    client = opened({name: Subscription("my-props", given, media_type=kind) for name, given in entries.items()})
    assert json.loads(client.request.body) == example("8.4", 1)
    stream = octets(
        (CONTROL, example("8.4", 2)),
        (f"{EPS_TYPO},props-1", example("8.4", 3)),
        (f"{EPS_TYPO},props-2", example("8.4", 4)),
        ("application/merge-patch+json,props-1", example("8.4", 5)),
        ("application/merge-patch+json,props-2", example("8.4", 6)),
    )
    play(client, stream)
    assert {finding.section for finding in client.findings.items} == {"5.2"}
    last = client.document("props-1")
    assert last is not None
    assert last.tree["endpoint-properties"]["ipv4:198.51.100.1"] == {"priv:ietf-bandwidth": "3"}


def test_section_8_5_the_client() -> None:
    """Trap 13: the event line in one piece, the Content-ID without angle brackets and domain, bare LF."""
    asked = example("8.5", 1)["add"]["ecspvsub1"]
    client = opened({"ecspvsub1": Subscription("my-pv", asked["input"])}, "https://alto.example.com/updates/pv")
    assert json.loads(client.request.body) == example("8.5", 1)
    stream = (
        b"event: application/alto-updatestreamcontrol+json\n"
        b'data: {"control-uri":\ndata:    "https://alto.example.com/updates/streams/1414"}\n\n'
        b"event: multipart/related;boundary=example-pv;type=application/alto-endpointcost+json,ecspvsub1\n"
        b"data: --example-pv\ndata: Content-ID: ecsmap\ndata: Content-Type: application/alto-endpointcost+json\n"
        b'data:\ndata: {"endpoint-cost-map": {}}\ndata: --example-pv\ndata: Content-ID: propmap\n'
        b'data: Content-Type: application/alto-propmap+json\ndata:\ndata: {"property-map": {}}\n'
        b"data: --example-pv--\n\n"
        b'event: application/merge-patch+json,ecspvsub1.ecsmap\ndata: {"endpoint-cost-map": {"a": 1}}\n\n'
        b'event: application/merge-patch+json,ecspvsub1.propmap\ndata: {"property-map": {"b": 2}}\n\n'
    )
    first, *rest = play(client, stream)
    assert first == StreamOpened("https://alto.example.com/updates/streams/1414")
    assert [each.parts for each in rest if isinstance(each, ResourceUpdated)] == [
        {"ecsmap": {"endpoint-cost-map": {}}, "propmap": {"property-map": {}}},
        {"ecsmap": {"endpoint-cost-map": {"a": 1}}, "propmap": {"property-map": {}}},
        {"ecsmap": {"endpoint-cost-map": {"a": 1}}, "propmap": {"property-map": {"b": 2}}},
    ]
    assert client.findings.items == []
