"""Streams and views as RFC 9241 and RFC 9569 show them, from our own server; and where each example is served.

Requests, responses and parts of responses are answered by a server of ours that has the data of the RFC, in the test
files that the table names; it says of the others why no server can answer what is printed.
"""

import copy
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import json_merge_patch
import jsonpatch
import pytest
from alto_judge import events
from attrs import evolve

from alto import media
from alto.cdni import Advertisement, CdniCapability, Footprint, parse_cdni
from alto.cdniresources import CdniResource, FilteredCdniResource
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.findings import Findings
from alto.http import Request, Response, Stream
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
HTTPS = {"delivery-protocols": ["https/1.1"]}


def example(name: str) -> Any:
    (path,) = EXAMPLES.glob(f"{name.partition('-')[0]}/{name}*.json")
    return json.loads(path.read_text())


def post(server: AltoServer, path: str, accepts: str, body: Any) -> Any:
    request = Request("POST", path, (("Content-Type", accepts),), json.dumps(body, indent=2).encode())
    return server.handle(request, ("192.0.2.7", 4711), 0.0)


def sent(stream: Stream) -> list[tuple[str, Any]]:
    octets = b""
    while piece := stream.data_to_send(0.0):
        octets += piece
    return [(name, json.loads(data)) for name, data in events(octets)]


# RFC 9241: update streams


EU = {
    "south-france": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"], "ipv6": ["2001:db8::/32"]},
    "germany": {"ipv4": ["203.0.113.0/24"]},
}
EUROPE = NetworkMapResource("my-eu-netmap", NetworkMap(EU, default_pid="elsewhere"))
WHOLE = CdniResource(
    "my-default-cdnifci", parse_cdni(example("rfc9241-s3.7.2-01"), Findings()).advertisements, is_private=False
)
FILTERED = FilteredCdniResource("my-filtered-cdnifci", "my-default-cdnifci", is_private=False)


def with_pids(*footprints: tuple[str, ...]) -> CdniResource:
    """The advertisement of section 4.2.2, its values as everywhere else."""
    kinds = {"FCI.DeliveryProtocol": HTTPS, "FCI.AcquisitionProtocol": {"acquisition-protocols": ["https/1.1"]}}
    made = [
        Advertisement(CdniCapability(kind, value), (Footprint("altopid", pids),))
        for (kind, value), pids in zip(kinds.items(), footprints, strict=True)
    ]
    return CdniResource("my-cdnifci-with-pid-footprints", made, network_map="my-eu-netmap", is_private=False)


def more_of(resource: CdniResource, prefix: str, *, capability: str) -> CdniResource:
    """With one more prefix in the first footprint of what has the capability."""
    changed, made = False, []
    for advertisement in resource.advertisements:
        if not changed and capability in json.dumps(advertisement.to_json()):
            changed = True
            footprint, *others = advertisement.footprints
            wider = evolve(footprint, footprint_value=(*footprint.footprint_value, prefix))
            advertisement = evolve(advertisement, footprints=(wider, *others))
        made.append(advertisement)
    return CdniResource(resource.id, made, is_private=False)


def cdni_server() -> AltoServer:
    service = UpdateStreamService(
        "cdnifci", ["my-eu-netmap", "my-default-cdnifci", "my-filtered-cdnifci", "my-cdnifci-with-pid-footprints"]
    )
    resources = [EUROPE, WHOLE, FILTERED, with_pids(("south-france",), ("germany", "south-france"))]
    directory = Directory(resources, services=[service], default_network_map="my-eu-netmap")
    return AltoServer(directory, epoch=0.0, base_uri="https://alto.example.com/updates/")


def assert_same_change(kind: str, patch: Any, printed: Any, before: Any) -> Any:
    """Foreign libraries apply both patches, the first of which may be a merge patch; the tags differ."""
    is_merge = kind.startswith(media.MERGE_PATCH)
    ours = json_merge_patch.merge(copy.deepcopy(before), patch) if is_merge else jsonpatch.apply_patch(before, patch)
    theirs = jsonpatch.apply_patch(before, printed)
    assert ours["cdni-advertisement"] == theirs["cdni-advertisement"] != before["cdni-advertisement"]
    assert ours["meta"]["vtag"]["tag"] != before["meta"]["vtag"]["tag"]
    return ours


@pytest.mark.parametrize(("section", "last"), [("3.7.3", 5), ("5.7.2", 4)])
def test_a_footprint_that_grows_is_a_patch_that_does_what_the_printed_one_does(section: str, last: int) -> None:
    """Sections 3.7.3 and 5.7.2; of a short document a merge patch is shorter than the JSON patch that is printed."""
    server = cdni_server()
    asked = example(f"rfc9241-s{section}-01")
    stream = post(server, "/updates/cdnifci", media.UPDATE_STREAM_PARAMS, asked)
    control, (name, before) = sent(stream)
    assert (control[0], [*control[1]]) == (media.UPDATE_STREAM_CONTROL, [*example(f"rfc9241-s{section}-02")])
    assert name == f"{media.CDNI},{next(iter(asked['add']))}"
    printed = example(f"rfc9241-s{section}-{last:02}")
    capability = "https/1.1" if section == "5.7.2" else ""
    server.update(more_of(WHOLE, printed[1]["value"], capability=capability), now=1.0)
    ((name, patch),) = sent(stream)
    assert name in (f"{kind},{next(iter(asked['add']))}" for kind in (media.JSON_PATCH, media.MERGE_PATCH))
    assert_same_change(name, patch, printed, before)


def test_footprints_of_pids_come_after_their_map_and_change_by_json_patches() -> None:
    """Section 4.2.3, whose media type is a misprint (trap 21)."""
    server = cdni_server()
    stream = post(server, "/updates/cdnifci", media.UPDATE_STREAM_PARAMS, example("rfc9241-s4.2.3-01"))
    opened = sent(stream)
    assert [name for name, _ in opened[1:]] == [
        f"{media.NETWORK_MAP},my-eu-netmap-stream",
        f"{media.CDNI},my-netmap-cdnifci-stream",
    ]
    before = opened[2][1]
    steps = [(("south-france", "germany"), ("germany", "south-france")), (("south-france", "germany"), ("germany",))]
    for number, footprints in zip((5, 6), steps, strict=True):
        server.update(with_pids(*footprints), now=1.0)
        ((name, patch),) = sent(stream)
        assert name == f"{media.JSON_PATCH},my-netmap-cdnifci-stream"
        before = assert_same_change(name, patch, example(f"rfc9241-s4.2.3-{number:02}"), before)


# RFC 9569


def tips_server() -> AltoServer:
    kind = CostType("numerical", "routingcost")
    network = NetworkMapResource("my-network-map", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}}))
    costs = CostMapResource(
        "my-routingcost-map", "my-network-map", "num", kind, CostMatrix.from_mapping({"PID1": {"PID1": 1}})
    )
    service = TipsService("tips", ["my-network-map", "my-routingcost-map"])
    directory = Directory([network, costs], services=[service], default_network_map="my-network-map")
    return AltoServer(directory, epoch=0.0, base_uri="https://alto.example.com/")


def shape(tree: Any) -> Any:
    """The tree with numbers and URIs in the place of any."""
    text = json.dumps(tree, sort_keys=True)
    return re.sub(r"https://alto\.example\.com/tips/[0-9a-f]+", "URI", re.sub(r"\b[0-9]+\b(?!/)", "0", text))


def test_a_view_is_opened_and_its_next_edge_told_as_sections_6_3_1_and_7_4_3_have_it() -> None:
    """The versions of a server that has just begun are other ones."""
    server = tips_server()
    answer = post(server, "/tips", media.TIPS_PARAMS, example("rfc9569draft-s6.3.1-01"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.header("Content-Type")) == (200, media.TIPS)
    view = json.loads(answer.body)
    printed = example("rfc9569draft-s6.3.1-02")
    assert re.fullmatch(r"https://alto\.example\.com/tips/[0-9a-f]+", view.pop("tips-view-uri"))
    assert printed.pop("tips-view-uri").startswith("https://alto.example.com/tips/")
    assert shape(view) == shape(printed)
    path = json.loads(answer.body)["tips-view-uri"].removeprefix("https://alto.example.com")
    asked = example("rfc9569draft-s7.4.3-01")
    edge = post(server, f"{path}/ug", media.TIPS_PARAMS, asked)
    assert (edge.status, edge.header("Content-Type")) == (200, media.MERGE_PATCH)
    assert shape(json.loads(edge.body)) == shape(example("rfc9569draft-s7.4.3-02"))


def test_a_resource_that_is_none_is_refused_as_section_6_2_has_it() -> None:
    printed = example("rfc9569draft-s6.2-01")
    answer = post(tips_server(), "/tips", media.TIPS_PARAMS, {"resource-id": printed["meta"]["value"]})
    assert (answer.status, answer.header("Content-Type")) == (400, media.ERROR)
    assert json.loads(answer.body) == printed


SERVED = {
    "rfc7285/*": "test_rfc7285_examples.py",
    "rfc8189/*-s5.[12345]-*": "test_examples_costs.py",
    "rfc8895/*-s6.6-*": "test_updates_examples.py",
    "rfc8895/*-s8.[234]-*": "test_updates_examples.py",
    "rfc8896/*": "test_examples_costs.py",
    "rfc9240/*": "test_propertyresources.py",
    "rfc9241/*-s3.7.[12]-*": "test_cdniresources.py",
    "rfc9241/*-s3.7.3-*": "test_examples_served.py",
    "rfc9241/*-s4.2.3-*": "test_examples_served.py",
    "rfc9241/*-s5.7.1-*": "test_cdniresources.py",
    "rfc9241/*-s5.7.2-*": "test_examples_served.py",
    "rfc9241/*-s6.3.[12]-*": "test_cdniresources.py",
    "rfc9275/*-s7.*": "test_examples_costs.py",
    "rfc9275/*-s8.3-*": "test_pathvectorresources.py",
    "rfc9275/*-s8.4-0[145].*": "test_pathvectorresources.py",
    "rfc9275/*-s8.6-*": "test_examples_costs.py",
    "rfc9439draft/*": "test_examples_costs.py",
    "rfc9569draft/*-s6.2-*": "test_examples_served.py",
    "rfc9569draft/*-s6.3.1-*": "test_examples_served.py",
    "rfc9569draft/*-s7.4.3-*": "test_examples_served.py",
}
NOT_SERVED = {
    "rfc7971/*": "fragments with C1 for a cost, and with what they leave out",
    "rfc8189/*-s5.6-*": "the answer breaks the constraints that it is asked with (trap 6)",
    "rfc8895/*-s8.5-*": "`ane-properties` of a draft, no path vector is shown; test_pathvector_updates.py has such",
    "rfc9241/*-s4.2.1-*": "half a map, an array for a `vtag` (trap 21); put right it is in test_examples_served.py",
    "rfc9241/*-s4.2.2-*": "no `vtag`, and arrays for values (trap 21); put right it is in test_examples_served.py",
    "rfc9241/*-s6.3.3-*": "patches `property-map/meta`, where no server has it, and PIDs of a map that is not shown",
    "rfc9275/*-s8.4-0[23].*": "the elements before the server has merged them, which 8.4-04 and 8.4-05 show",
    "rfc9275/*-s8.5-*": "what is posted is left out; test_pathvector_updates.py has such a stream",
    "rfc9569draft/*-s6.3.2-*": "the request of section 6.3.1 with user names and passwords, and no answer",
    "rfc9569draft/*-s6.3.3-*": "an update stream of a TIPS view, which is no resource of a map",
}


def test_every_request_and_response_is_served_or_it_is_said_why_not() -> None:
    listed = json.loads((EXAMPLES / "index.json").read_text())
    exchanged = [entry["file"] for entry in listed if entry["kind"] in ("request", "response", "part")]
    assert len(exchanged) == 110
    used = set()
    for name in exchanged:
        found = [pattern for table in (SERVED, NOT_SERVED) for pattern in table if fnmatch(name, pattern)]
        assert len(found) == 1, name
        used.update(found)
    assert used == SERVED.keys() | NOT_SERVED.keys()
    assert all((Path(__file__).parent / file).is_file() for file in SERVED.values())
