"""Versions named by tags (RFC 7285 10.3): who names one is left with what the server has (RFC 8895, RFC 9569)."""

import json
from typing import Any

import alto_everything
import pytest
from alto_updates import Server
from tips_bench import Bench

from alto.cdni import Advertisement, CdniCapability, Footprint
from alto.cdniresources import CdniResource, FilteredCdniResource
from alto.directory import Directory, Document, Query, RequestContext
from alto.http import Response
from alto.propertyresources import PropertyMapResource, PropertySource
from alto.tips_graph import UpdatesGraph
from alto.types import VTag
from alto.updates_client import Subscription, UpdateStreamClient

URI = "https://alto.example.com/updates"
MOVED = {"PID2": {"ipv4": ["198.51.100.0/24"]}}
HTTPS = CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": ["https/1.1"]})
CDNI = CdniResource(
    "cdni",
    [Advertisement(HTTPS, (Footprint("altopid", ("PID2",)),))],
    network_map="network-map",
    is_private=False,
)
DERIVED = PropertyMapResource("of-cdni", PropertySource(mappings={"ipv4": ["cdni.cdni-capabilities"]}))


def ask(directory: Directory, resource_id: str, given: Any = None) -> Document:
    context = RequestContext(directory, "ipv4:192.0.2.1", "https://alto.example.com/")
    return directory.resources[resource_id].answer(Query(context, given, random_bytes=bytes))


@pytest.mark.parametrize(
    ("resource_id", "given"),
    [
        ("costs", None),
        ("some-pids", {"pids": ["PID2"]}),
        ("cdni", None),
        ("some-cdni", {"cdni-capabilities": []}),
    ],
)
def test_the_same_data_over_another_network_map_is_another_version(resource_id: str, given: Any) -> None:
    """Else who has that version would be left with what names the old map."""
    before = alto_everything.everything(CDNI, FilteredCdniResource("some-cdni", "cdni", network_map="network-map"))
    after = before.replacing(alto_everything.network_map(**MOVED))
    old, new = (ask(directory, resource_id, given) for directory in (before, after))
    assert old.tree != new.tree
    assert old.vtag is not None
    assert old.vtag != new.vtag
    assert new.vtag == ask(after, resource_id, given).vtag


def test_what_comes_of_an_advertisement_follows_the_network_map_of_its_footprints() -> None:
    before = alto_everything.everything(CDNI, DERIVED)
    after = before.replacing(alto_everything.network_map(**MOVED))
    old, new = (ask(directory, "of-cdni").tree["property-map"] for directory in (before, after))
    assert "ipv4:198.51.100.0/24" not in old
    assert "ipv4:198.51.100.0/24" in new


def maps(**changes: Any) -> list[Any]:
    return [alto_everything.network_map(**changes), alto_everything.cost_map()]


def test_a_stream_that_is_opened_again_after_another_network_map_has_its_costs_at_once() -> None:
    """Section 9.2: the client says which versions it has; its costs are of a network map that is gone."""
    server = Server(*maps())
    asked = {
        "n": Subscription("network-map"),
        "c": Subscription("costs", uses=("network-map",)),
    }
    first = UpdateStreamClient(URI, asked)
    serve(server, first)
    assert first.document("c") is not None
    server.replace(alto_everything.network_map(**MOVED))
    second = UpdateStreamClient(URI, first.resumption())
    serve(server, second)
    for name, resource_id in (("n", "network-map"), ("c", "costs")):
        held = second.document(name)
        assert held is not None
        assert held.tree == json.loads(server.directory.resources[resource_id].answer(server.query(None)).body)
    assert second.findings.items == []


def serve(server: Server, client: UpdateStreamClient) -> None:
    """Open the stream that a client asks for, and let it read what is sent at once."""
    stream = server.post("", json.loads(client.request.body))
    client.receive_response(Response(200, tuple(stream.headers)), 0.0)
    client.receive_data(server.sent(stream), 0.0)


def test_a_view_that_is_opened_with_the_costs_of_another_network_map_leads_to_those_of_this_one() -> None:
    bench = Bench(*maps())
    uri, _ = bench.open("costs")
    held = json.loads(bench.pull(uri, 0, 1).body)
    bench.replace(alto_everything.network_map(**MOVED))
    _, summary = bench.open("costs", tag=held["meta"]["vtag"]["tag"])
    edge = summary["start-edge-rec"]
    assert (summary["end-seq"], edge["seq-i"]) in ((2, 0), (2, 1))


def test_versions_of_an_answer_in_parts_have_tags_of_their_own_whichever_part_changes() -> None:
    """A tag "identifies the content of a node" (RFC 9569 section 3.1), and a path vector's is that of one part."""
    vtag = VTag("pv.ecs", "of-one-part")
    versions = [
        Document("multipart/related;boundary=b", body=b"%d" % n, vtag=vtag, parts={"a": Document("x/y", {})})
        for n in range(3)
    ]
    graph = UpdatesGraph(versions[0])
    assert all(map(graph.add, versions[1:]))
    assert len({graph.tag(seq) for seq in (1, 2, 3)}) == 3
