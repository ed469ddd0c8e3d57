"""Path vectors in an update stream: whole at first, then each part by itself (RFC 9275 section 8.5, RFC 8895 6.7.3)."""

import pytest
from alto_figure10 import FIGURE_10
from alto_pv import PATH_VECTOR, directory, endpoint_cost_resource, figure_10
from alto_updates import counting, read_events
from attrs import evolve

from alto import ConfigurationError, media
from alto._json import dumps, loads
from alto.directory import Directory, RequestContext
from alto.findings import Findings
from alto.http import Request, Response, Stream
from alto.patch import merge_patch
from alto.paths import MAX_RESERVABLE_BANDWIDTH
from alto.pathvector import PathVector, PathVectorMessage, read_path_vector, split_path_vector
from alto.updates import UpdateStreamService
from alto.updates_client import Subscription, UpdateStreamClient

ASKED = {
    "cost-type": PATH_VECTOR,
    "endpoints": {"srcs": ["ipv4:192.0.2.34"], "dsts": ["ipv4:192.0.2.2", "ipv4:192.0.2.50"]},
    "ane-property-names": [MAX_RESERVABLE_BANDWIDTH],
}


def opened(held: Directory, service: UpdateStreamService) -> Stream:
    add = {"add": {"ecspvsub1": {"resource-id": "endpoint-cost-pv", "input": ASKED}}}
    request = Request("POST", "/updates", (("Content-Type", media.UPDATE_STREAM_PARAMS),), dumps(add))
    answer = service.handle(request, "", RequestContext(held, base_uri="https://alto.example.com/"), 0.0)
    assert not isinstance(answer, Response)
    return answer  # type: ignore[return-value]


def sent(stream: Stream) -> list[tuple[str, bytes]]:
    pieces = []
    while piece := stream.data_to_send(0.0):
        pieces.append(piece)
    return [(event.event, event.data) for event in read_events(b"".join(pieces))]


def read(message: PathVectorMessage) -> PathVector:
    return read_path_vector(message, Findings(), asked=ASKED)


def test_a_change_of_bandwidth_is_a_patch_of_the_properties_and_names_stay() -> None:
    service = UpdateStreamService("updates", ["endpoint-cost-pv"], random_bytes=counting())
    held = directory(services=[service])
    stream = opened(held, service)
    events = sent(stream)
    name, data = events[1]
    assert name.startswith("multipart/related")
    assert name.endswith(",ecspvsub1")
    message = split_path_vector(name.rpartition(",")[0], data, Findings(), None)
    assert message.root_id == "ecs@alto.example.com"
    before = read(message)
    changed = held.replacing(endpoint_cost_resource(figure_10(FIGURE_10.replace("15G", "5G"))))
    service.changed(changed, 0.0)
    patches = {name: loads(data) for name, data in sent(stream)}
    assert list(patches) == ["application/merge-patch+json,ecspvsub1.propmap@alto.example.com"]
    after = read(evolve(message, properties=merge_patch(message.properties, *patches.values())))
    assert after.paths == before.paths
    assert after.bottleneck("ipv4:192.0.2.34", "ipv4:192.0.2.50") != before.bottleneck(
        "ipv4:192.0.2.34", "ipv4:192.0.2.50"
    )
    assert after.fair_rates()["ipv4:192.0.2.34", "ipv4:192.0.2.50"] == 5e9


def test_a_change_of_paths_is_a_patch_of_both_parts() -> None:
    service = UpdateStreamService("updates", ["endpoint-cost-pv"], random_bytes=counting())
    held = directory(services=[service])
    stream = opened(held, service)
    name, data = sent(stream)[1]
    message = split_path_vector(name.rpartition(",")[0], data, Findings(), None)
    more = FIGURE_10 + "node,NET4,1G\nlink,NET3,NET4,1G,0.1\nlink,NET4,NET2,1G,0.1\n"
    service.changed(held.replacing(endpoint_cost_resource(figure_10(more))), 0.0)
    patches = {name.rpartition(",")[2]: loads(data) for name, data in sent(stream)}
    assert set(patches) == {"ecspvsub1.ecs@alto.example.com", "ecspvsub1.propmap@alto.example.com"}
    after = read(
        evolve(
            message,
            root=merge_patch(message.root, patches["ecspvsub1.ecs@alto.example.com"]),
            properties=merge_patch(message.properties, patches["ecspvsub1.propmap@alto.example.com"]),
        )
    )
    assert after.fair_rates()["ipv4:192.0.2.34", "ipv4:192.0.2.50"] == 1e9


def test_the_id_of_a_substream_leaves_room_for_that_of_a_part() -> None:
    def client(name: str) -> UpdateStreamClient:
        kind = "multipart/related;type=application/alto-endpointcost+json"
        return UpdateStreamClient(
            "https://alto.example.com/updates", {name: Subscription("endpoint-cost-pv", input=ASKED, media_type=kind)}
        )

    client("s" * 31)
    with pytest.raises(ConfigurationError, match="at most 31 characters for a multipart resource"):
        client("s" * 32)
