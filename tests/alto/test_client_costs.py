"""The ALTO client's costs: the resource that can be asked, the order of peers, and the way by the maps."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from alto_plans import Carrier, answer

from alto import media
from alto._json import Json
from alto.client import ROUTING_COST, Client, CostQuery, ServerError
from alto.client.costs import endpoint
from alto.client.reading import json_of
from alto.costmap import parse_cost_map
from alto.errors import ConfigurationError, DecodeError
from alto.http import Request, Response
from alto.types import CostType

ROOT = "https://alto.example.com/"
TYPES: Json = {
    "num-rc": {"cost-mode": "numerical", "cost-metric": "routingcost"},
    "ord-rc": {"cost-mode": "ordinal", "cost-metric": "routingcost"},
    "num-bw": {"cost-mode": "numerical", "cost-metric": "bw-available"},
}
RC, ORDINAL, BANDWIDTH = TYPES["num-rc"], TYPES["ord-rc"], TYPES["num-bw"]


def costs(name: str, *cost_types: str, accepts: str | None = None, **capabilities: Json) -> Json:
    entry = {
        "uri": name,
        "media-type": media.COST_MAP,
        "uses": ["map"],
        "capabilities": {
            "cost-type-names": list(cost_types),
            **{key.replace("_", "-"): value for key, value in capabilities.items()},
        },
    }
    if accepts == media.ENDPOINT_COST_PARAMS:
        entry["media-type"] = media.ENDPOINT_COST
        del entry["uses"]
    return entry if accepts is None else {**entry, "accepts": accepts}


ENTRIES: dict[str, Json] = {
    "map": {"uri": "map", "media-type": media.NETWORK_MAP},
    "costs": costs("costs", "num-rc"),
    "ranks": costs("ranks", "ord-rc"),
    "bandwidths": costs("bandwidths", "num-bw"),
    "some": costs("some", "num-rc", accepts=media.COST_MAP_FILTER),
    "tested": costs("tested", "num-rc", "num-bw", accepts=media.COST_MAP_FILTER, cost_constraints=True),
    "multi": costs("multi", "num-rc", "num-bw", accepts=media.COST_MAP_FILTER, max_cost_types=2),
    "ecs": costs("ecs", "num-rc", accepts=media.ENDPOINT_COST_PARAMS),
    "ecs-calendar": costs(
        "ecs-calendar",
        "num-rc",
        accepts=media.ENDPOINT_COST_PARAMS,
        calendar_attributes=[{"cost-type-names": ["num-rc"], "time-interval-size": 60, "number-of-intervals": 1}],
    ),
    "some-calendar": costs(
        "some-calendar",
        "num-rc",
        accepts=media.COST_MAP_FILTER,
        calendar_attributes=[{"cost-type-names": ["num-rc"], "time-interval-size": 60, "number-of-intervals": 1}],
    ),
    "ecs-ranks": costs("ecs-ranks", "ord-rc", accepts=media.ENDPOINT_COST_PARAMS),
    "ecs-bandwidths": costs("ecs-bandwidths", "num-bw", accepts=media.ENDPOINT_COST_PARAMS),
}


def network_map(tag: str = "1") -> Response:
    # In a /24 of PID1 there is a /26 of PID2.
    pids = {"PID0": ["0.0.0.0/0"], "PID1": ["192.0.2.0/24"], "PID2": ["192.0.2.64/26"]}
    data = {name: {"ipv4": prefixes} for name, prefixes in pids.items()}
    return answer({"meta": {"vtag": vtag(tag)}, "network-map": data}, media.NETWORK_MAP)


def vtag(tag: str = "1") -> Json:
    return {"resource-id": "map", "tag": tag}


def cost_map(rows: Json, cost_type: Json = RC, tag: str = "1") -> Response:
    meta = {"dependent-vtags": [vtag(tag)], "cost-type": cost_type}
    return answer({"meta": meta, "cost-map": rows}, media.COST_MAP)


def endpoint_costs(rows: Json, cost_type: Json = RC) -> Response:
    return answer({"meta": {"cost-type": cost_type}, "endpoint-cost-map": rows}, media.ENDPOINT_COST)


ROWS = {
    "PID0": {"PID0": 1, "PID1": 9, "PID2": 9},
    "PID1": {"PID0": 9, "PID1": 1, "PID2": 3},
    "PID2": {"PID0": 9, "PID1": 3, "PID2": 1},
}


def serving(answers: Mapping[str, Response], *names: str, strict: bool = True) -> tuple[Client, Carrier]:
    """A client of a server with those entries and answers."""
    meta = {"default-alto-network-map": "map", "cost-types": TYPES}
    root = answer({"meta": meta, "resources": {name: ENTRIES[name] for name in ("map", *names)}}, media.DIRECTORY)
    found = {ROOT: root, ROOT + "map": network_map(), **{ROOT + path: value for path, value in answers.items()}}
    return Client(ROOT, strict=strict), Carrier(found)


def posted(carrier: Carrier) -> Json:
    return json.loads(carrier.requests[-1].body)


def test_a_whole_cost_map_is_got_where_one_can() -> None:
    client, carrier = serving({"costs": cost_map(ROWS)}, "some", "costs")
    result = carrier.run(client.cost_map())
    assert result.entry.id == "costs"
    assert result.value.cost("PID1", "PID2") == 3
    assert carrier.requests[-1].method == "GET"


def test_where_it_cannot_all_of_a_filtered_one_is_asked_for() -> None:
    client, carrier = serving({"tested": cost_map(ROWS, BANDWIDTH)}, "costs", "some", "tested")
    result = carrier.run(client.cost_map(CostType("numerical", "bw-available")))
    assert result.entry.id == "tested"
    assert posted(carrier) == {"cost-type": BANDWIDTH}


def test_a_cost_type_that_nobody_has_is_an_error() -> None:
    client, carrier = serving({}, "costs", "some")
    with pytest.raises(ConfigurationError):
        carrier.run(client.cost_map(CostType("numerical", "hopcount")))
    client, carrier = serving({})
    with pytest.raises(ConfigurationError, match="no resource for these costs"):
        carrier.run(client.cost_map())


def test_a_filtered_cost_map_is_the_first_that_can_be_asked_the_question() -> None:
    client, carrier = serving({"some": cost_map({"PID1": {"PID2": 3}})}, "some", "tested", "multi")
    assert carrier.run(client.filtered_cost_map(["PID1"], ["PID2"])).value.cost("PID1", "PID2") == 3
    assert posted(carrier) == {"cost-type": RC, "pids": {"srcs": ["PID1"], "dsts": ["PID2"]}}
    query = CostQuery(ROUTING_COST, constraints=["le 5"])
    with pytest.raises(ServerError):
        carrier.run(client.filtered_cost_map(["PID1"], ["PID2"], query))
    assert carrier.requests[-1].target == ROOT + "tested"
    both = CostQuery([ROUTING_COST, CostType("numerical", "bw-available")])
    with pytest.raises(ServerError):
        carrier.run(client.filtered_cost_map(["PID1"], ["PID2"], both))
    assert carrier.requests[-1].target == ROOT + "multi"
    for query in (CostQuery([ROUTING_COST], constraints=["[0] le 5"]), CostQuery(calendared=True)):
        with pytest.raises(ConfigurationError):
            carrier.run(client.filtered_cost_map(query=query))
    with pytest.raises(ConfigurationError):
        carrier.run(client.filtered_cost_map(["PID1"], ["PID2"], both, resource_id="some"))


def test_endpoint_costs_come_from_the_endpoint_cost_service() -> None:
    rows = {"ipv4:192.0.2.2": {"ipv4:198.51.100.1": 7}}
    client, carrier = serving({"ecs": endpoint_costs(rows)}, "ecs")
    result = carrier.run(client.costs(["192.0.2.2"], ["ipv4:198.51.100.1", "198.51.100.1"]))
    assert result.value.cost("ipv4:192.0.2.2", "ipv4:198.51.100.1") == 7
    asked = {"srcs": ["ipv4:192.0.2.2"], "dsts": ["ipv4:198.51.100.1"]}
    assert posted(carrier) == {"cost-type": RC, "endpoints": asked}
    assert carrier.requests[-1].header("content-type") == media.ENDPOINT_COST_PARAMS


def test_without_an_endpoint_cost_service_the_maps_tell() -> None:
    client, carrier = serving({"costs": cost_map(ROWS)}, "costs")
    result = carrier.run(client.costs(["192.0.2.1"], ["192.0.2.65", "203.0.113.1", "2001:db8::1"]))
    assert result.value.pairs == {"ipv4:192.0.2.1": {"ipv4:192.0.2.65": 3.0, "ipv4:203.0.113.1": 9.0}}
    assert all(request.method == "GET" for request in carrier.requests)


def test_a_failing_service_is_replaced_by_the_maps() -> None:
    client, carrier = serving({"ecs": Response(500), "costs": cost_map(ROWS)}, "ecs", "costs")
    assert carrier.run(client.costs(["192.0.2.1"], ["192.0.2.2"])).value.cost("ipv4:192.0.2.1", "ipv4:192.0.2.2") == 1
    client, carrier = serving({"ecs": Response(500)}, "ecs")
    with pytest.raises(ServerError, match="500"):
        carrier.run(client.costs(["192.0.2.1"], ["192.0.2.2"]))
    with pytest.raises(ServerError, match="500"):
        carrier.run(client.costs([], ["192.0.2.2"]))


def test_a_private_client_tells_the_server_no_address() -> None:
    client, carrier = serving({"costs": cost_map(ROWS)}, "ecs", "ecs-ranks", "costs")
    carrier.run(client.costs(["192.0.2.1"], ["192.0.2.2"], private=True))
    ranking = carrier.run(client.rank("192.0.2.1", ["203.0.113.1", "192.0.2.2"], private=True))
    assert [peer.endpoint for peer in ranking.peers] == ["ipv4:192.0.2.2", "ipv4:203.0.113.1"]
    assert all(request.body == b"" for request in carrier.requests)
    with pytest.raises(ConfigurationError, match="an address that is not given"):
        carrier.run(client.rank(None, ["192.0.2.2"], private=True))


def test_peers_are_ranked_by_ordinal_costs_where_there_are_some() -> None:
    rows = {"ipv4:192.0.2.1": {"ipv4:198.51.100.1": 2, "ipv4:198.51.100.2": 1}}
    client, carrier = serving({"ecs-ranks": endpoint_costs(rows, ORDINAL)}, "ecs", "ecs-ranks")
    ranking = carrier.run(client.rank("192.0.2.1", ["198.51.100.1", "198.51.100.2", "198.51.100.3"]))
    assert [(peer.endpoint, peer.cost) for peer in ranking.peers] == [
        ("ipv4:198.51.100.2", 1),
        ("ipv4:198.51.100.1", 2),
        ("ipv4:198.51.100.3", None),
    ]
    assert ranking.cost_type == CostType("ordinal", "routingcost")
    assert posted(carrier)["cost-type"] == ORDINAL


def test_the_order_follows_from_numerical_costs_by_the_metrics_direction() -> None:
    rows = {"ipv4:192.0.2.1": {"ipv4:198.51.100.1": 2000, "ipv4:198.51.100.2": 1, "ipv4:198.51.100.3": 2000}}
    answers = {"ecs": endpoint_costs(rows), "ecs-bandwidths": endpoint_costs(rows, BANDWIDTH)}
    client, carrier = serving(answers, "ecs", "ecs-bandwidths")
    peers = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
    by_cost = carrier.run(client.rank("192.0.2.1", peers)).peers
    assert [peer.endpoint[-1] for peer in by_cost] == ["2", "1", "3"]
    by_bandwidth = carrier.run(client.rank("192.0.2.1", peers, metric="bw-available")).peers
    assert [peer.endpoint[-1] for peer in by_bandwidth] == ["1", "3", "2"]


def test_this_client_ranks_without_saying_its_address() -> None:
    rows = {"ipv4:192.0.2.9": {"ipv4:198.51.100.1": 5, "ipv4:198.51.100.2": 4}}
    client, carrier = serving({"ecs": endpoint_costs(rows)}, "ecs")
    ranking = carrier.run(client.rank(None, ["198.51.100.1", "198.51.100.2"]))
    assert [peer.cost for peer in ranking.peers] == [4, 5]
    assert posted(carrier)["endpoints"] == {"dsts": ["ipv4:198.51.100.1", "ipv4:198.51.100.2"]}


def test_a_server_may_spell_addresses_as_it_likes() -> None:
    rows = {"ipv6:2001:DB8:0:0::1": {"ipv6:2001:db8:0:0:0:0:0:2": 5}}
    client, carrier = serving({"ecs": endpoint_costs(rows)}, "ecs")
    ranking = carrier.run(client.rank("2001:db8::1", ["2001:db8::2"]))
    assert [(peer.endpoint, peer.cost) for peer in ranking.peers] == [("ipv6:2001:db8::2", 5)]


def test_no_peers_need_no_server() -> None:
    client, carrier = serving({})
    assert carrier.run(client.rank("192.0.2.1", [])).peers == ()
    assert carrier.requests == []


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("192.0.2.1", "ipv4:192.0.2.1"),
        ("ipv4:192.0.2.1", "ipv4:192.0.2.1"),
        ("2001:DB8::0:1", "ipv6:2001:db8::1"),
        ("::ffff:192.0.2.1", "ipv4:192.0.2.1"),
        ("example.com", None),
        ("192.0.2.0/24", None),
        ("ipv6:192.0.2.1", None),
        ("", None),
    ],
)
def test_an_address_may_be_given_with_or_without_its_type(text: str, typed: str | None) -> None:
    if typed is not None:
        assert endpoint(text) == typed
        return
    with pytest.raises(ConfigurationError):
        endpoint(text)


class Versions:
    """A server whose cost map is one over the network map `tags` say, request by request."""

    def __init__(self, maps: list[str], costs: list[str]) -> None:
        self._root = serving({}, "costs")[1]
        self._tags = {"map": iter(maps), "costs": iter(costs)}

    def __call__(self, request: Request) -> Response:
        if request.target == ROOT:
            meta = {"default-alto-network-map": "map", "cost-types": TYPES}
            return answer(
                {"meta": meta, "resources": {"map": ENTRIES["map"], "costs": ENTRIES["costs"]}}, media.DIRECTORY
            )
        name = request.target.removeprefix(ROOT)
        tag = next(self._tags[name])
        return network_map(tag) if name == "map" else cost_map(ROWS, tag=tag)


def test_a_cost_map_over_another_version_of_the_network_map_is_asked_for_once_more() -> None:
    carrier = Carrier(Versions(["1", "2"], ["2", "2"]))
    assert carrier.run(Client(ROOT).rank("192.0.2.1", ["192.0.2.2"])).peers[0].cost == 1
    assert len(carrier.requests) == 5
    carrier = Carrier(Versions(["1", "1"], ["2", "2"]))
    with pytest.raises(DecodeError, match="not the version of the network map 'map'"):
        carrier.run(Client(ROOT).rank("192.0.2.1", ["192.0.2.2"]))
    client = Client(ROOT, strict=False)
    Carrier(Versions(["1", "1"], ["2", "2"])).run(client.rank("192.0.2.1", ["192.0.2.2"]))
    assert [finding.path for finding in client.findings] == ["meta/dependent-vtags"]


OPENALTO = "http://127.0.0.1:8000/directory/directory"
TRANSCRIPTS = json.loads((Path(__file__).parent.parent / "data" / "openalto_server_transcripts.json").read_text())


def recorded(request: Request) -> Response:
    """What the foreign server has answered to that method and URI, if it can be to a body like it."""
    alike: list[Response] = []
    others: list[Response] = []
    for exchange in TRANSCRIPTS:
        asked, response = exchange["request"], exchange["response"]
        if (asked["method"], "http://127.0.0.1:8000" + asked["path"]) == (request.method, request.target):
            is_alike = request.method == "GET" or _json(asked["body"]) == _json(request.body)
            (alike if is_alike else others).append(_response(response))
    return [*alike, *others][0]


def _json(text: str | bytes) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _response(recording: Json) -> Response:
    return Response(recording["status"], tuple(recording["headers"].items()), recording["body"].encode())


def foreign() -> tuple[Client, Carrier]:
    client, carrier = Client(OPENALTO, strict=False), Carrier(recorded)
    carrier.run(client.directory())
    return client, carrier


def deviations(client: Client) -> list[str]:
    return [f"{item.level} {item.path} {item.rfc} {item.section}" for item in client.findings][4:]


def test_the_foreign_servers_endpoint_costs_are_read_strictly() -> None:
    client, carrier = foreign()
    client.strict = True
    sources, destinations = ["ipv4:10.0.0.250"], ["ipv4:10.0.0.251", "ipv4:10.0.0.253", "ipv6:2001:db8::1"]
    costs = carrier.run(client.endpoint_costs(sources, destinations)).value
    assert [costs.cost(sources[0], destination) for destination in destinations] == [1, 0.2, 0]
    distance = carrier.run(client.endpoint_costs(["ipv4:1.1.1.1"], ["ipv4:8.8.8.8"], resource_id="geodist")).value
    assert distance.cost("ipv4:1.1.1.1", "ipv4:8.8.8.8") == 11967.009276381177
    assert deviations(client) == []


def test_peers_are_ranked_by_the_foreign_server() -> None:
    client, carrier = foreign()
    peers = carrier.run(client.rank("10.0.0.250", ["10.0.0.251", "10.0.0.253", "2001:db8::1"])).peers
    assert [(peer.endpoint, peer.cost) for peer in peers] == [
        ("ipv6:2001:db8::1", 0),
        ("ipv4:10.0.0.253", 0.2),
        ("ipv4:10.0.0.251", 1),
    ]


def test_the_foreign_servers_cost_map_fits_its_network_map() -> None:
    client, carrier = foreign()
    costs = carrier.run(client.cost_map()).value
    assert costs.cost("RUCIO", "XRD3") == 0.2
    assert deviations(client) == ["must meta/dependent-vtags 7285 11.2.3.6"]
    ranking = carrier.run(client.rank("10.0.0.250", ["10.0.0.251", "10.0.0.253"], private=True))
    assert [(peer.endpoint, peer.cost) for peer in ranking.peers] == [("ipv4:10.0.0.253", 0.2), ("ipv4:10.0.0.251", 1)]
    assert deviations(client) == [
        "must meta/dependent-vtags 7285 11.2.3.6",
        "must meta/vtag/resource-id 7285 11.2.1.6",
    ]


def test_a_network_map_in_the_place_of_the_foreign_servers_cost_map_is_refused() -> None:
    client, carrier = foreign()
    closure = carrier.run(client.directory())
    with pytest.raises(DecodeError, match="cost-map"):
        carrier.run(client.obtain(closure.entries["mock-costmap"], json_of(parse_cost_map)))


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("ecs malformed", 400, "E_GENERIC_HTTP"),
        ("ecs missing endpoints", 500, None),
        ("ecs wrong content-type", 415, "E_GENERIC_HTTP"),
        ("tips far future edge", 404, "E_GENERIC_HTTP"),
        ("tips next-edge POST", 404, None),
    ],
)
def test_the_foreign_servers_errors_are_errors(name: str, status: int, code: str | None) -> None:
    response = _response(next(exchange["response"] for exchange in TRANSCRIPTS if exchange["name"] == name))
    client = foreign()[0]
    carrier = Carrier(lambda request: recorded(request) if request.method == "GET" else response)
    with pytest.raises(ServerError) as caught:
        carrier.run(client.endpoint_costs(["ipv4:10.0.0.250"], ["ipv4:10.0.0.251"]))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert deviations(client) == ([] if code is None else ["must meta/code 7285 8.5.2"])


@pytest.mark.parametrize(("early", "is_late"), [(None, False), (0, False), (1, True)])
def test_a_calendar_that_starts_later_than_it_was_asked_for_is_a_finding(early: float | None, is_late: bool) -> None:
    """RFC 8896 section 5.1.2: it SHOULD NOT."""
    start = 1561986000
    calendar = {
        "calendar-start-time": "Mon, 01 Jul 2019 13:00:00 GMT",
        "time-interval-size": 60,
        "number-of-intervals": 1,
    }
    meta = {"cost-type": RC, "calendar-response-attributes": [calendar]}
    rows = {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": [5]}}
    body = answer({"meta": meta, "endpoint-cost-map": rows}, media.ENDPOINT_COST)
    meta = {**meta, "dependent-vtags": [vtag()]}
    between_pids = answer({"meta": meta, "cost-map": {"PID0": {"PID1": [5]}}}, media.COST_MAP)
    answers = {"ecs-calendar": body, "some-calendar": between_pids}
    _, carrier = serving(answers, "ecs-calendar", "some-calendar")
    client = Client(ROOT, wall=None if early is None else lambda: start - early)
    query = CostQuery(calendared=True)
    result = carrier.run(client.endpoint_costs(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"], query))
    assert result.value.calendar("ipv4:192.0.2.1", "ipv4:192.0.2.2") == (5,)
    assert [finding.text for finding in result.findings] == ["later than the request"] * is_late
    result = carrier.run(client.filtered_cost_map(["PID0"], ["PID1"], query))
    assert [finding.text for finding in result.findings] == ["later than the request"] * is_late
