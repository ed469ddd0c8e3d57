"""The linter against our server, whole, and against the same server with one thing broken."""

import json
from itertools import count

import pytest
from alto_pv import cost_map_resource, endpoint_cost_resource, figure_10
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.cdni import Advertisement, CdniCapability
from alto.cdniresources import CdniResource, FilteredCdniResource
from alto.client.errors import ServerError, UnreachableError
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import DecodeError
from alto.findings import Level
from alto.http import Request, Response
from alto.lint.server import lint_server
from alto.networkmap import FilteredNetworkMapResource, NetworkMapResource
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService

BASE = "https://alto.example.com/"
MAP = "my-default-networkmap"
HOPS = CostType("numerical", "hopcount")
ROUTING = CostType("numerical", "routingcost")
ORDINAL = CostType("ordinal", "routingcost")


def whole_server():
    topology = figure_10()
    offers = {
        "num-rc": CostOffer(ROUTING, "cost-map"),
        "ord-rc": CostOffer(ORDINAL, "cost-map"),
        "hops": CostOffer(HOPS, topology.costs()),
    }
    properties = PropertySource({"ipv4": {"192.0.2.1": {".isp": "one"}}, ".ane": {"MEC1": {"cpu": "2"}}})
    capability = CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": ["http/1.1"]})
    resources = [
        NetworkMapResource(MAP, topology.network_map()),
        FilteredNetworkMapResource("some-pids", network_map=MAP),
        CostMapResource("cost-map", MAP, "num-rc", ROUTING, topology.costs()),
        FilteredCostMapResource("some-costs", MAP, offers, cost_constraints=True, max_cost_types=2),
        EndpointCostResource("ecs", {name: offers[name] for name in ("num-rc", "ord-rc")}, network_map=MAP),
        EndpointPropertyResource("eps"),
        PropertyMapResource("props", properties),
        FilteredPropertyMapResource("ane-props", properties),
        CdniResource("cdni", [Advertisement(capability)], is_private=False),
        FilteredCdniResource("some-cdni", "cdni", is_private=False),
        cost_map_resource(topology),
        endpoint_cost_resource(topology),
    ]
    services = [
        TipsService("tips", [MAP, "cost-map", "some-pids"]),
        UpdateStreamService("updates", [MAP, "cost-map"]),
    ]
    directory = Directory(resources, services=services, default_network_map=MAP)
    numbers = count()
    return AltoServer(
        directory, epoch=1.7e9, base_uri=BASE, random_bytes=lambda size: next(numbers).to_bytes(size, "big")
    )


def inspect(answer, root=BASE):
    """The report on a server whose answer to a request is `answer(request)`; an exception is thrown into the plan."""
    plan = lint_server(root, wall=1.7e9)
    try:
        request = next(plan)
        while True:
            try:
                response = answer(request)
            except UnreachableError as error:
                request = plan.throw(error)
            else:
                request = plan.send(response)
    except StopIteration as stop:
        return stop.value


class Carrier:
    """Carries requests to a server of ours, whose answers `broken(request, response)` may change."""

    def __init__(self, broken=lambda request, response: response):
        self.server = whole_server()
        self.broken = broken
        self.seen = []

    def __call__(self, request):
        path = "/" + request.target.removeprefix(BASE)
        answer = self.server.handle(evolve(request, target=path), ("198.51.100.77", 1024), 0.0)
        if not isinstance(answer, Response):
            answer.disconnect(0.0)
            raise UnreachableError("an answer that goes on")
        if request.method == "HEAD":
            answer = evolve(answer, body=b"")
        self.seen.append((request, answer))
        return self.broken(request, answer)


def brief(report):
    return {(each.where, each.finding.level.value, each.finding.rfc, each.finding.section) for each in report.findings}


@pytest.fixture(scope="module")
def clean():
    carrier = Carrier()
    return inspect(carrier), carrier


def test_our_own_server_breaks_nothing(clean):
    report, _ = clean
    assert [str(each) for each in report.findings if each.finding.level is not Level.NOTE] == []
    assert report.is_conforming


def test_every_resource_is_asked_rightly_and_wrongly(clean):
    report, carrier = clean
    assert set(report.resources) == {*carrier.server.directory.resources, *carrier.server.directory.services}
    assert report.unchecked == ("updates: what the stream says; only its errors are looked at",)
    for name, resource in carrier.server.directory.resources.items():
        answers = [answer for request, answer in carrier.seen if request.target == BASE + name]
        assert any(answer.status == 200 for answer in answers), name
        assert any(answer.status == 405 for answer in answers), name
        if resource.accepts is not None:
            assert any(answer.status == 415 for answer in answers), name
            codes = {json.loads(answer.body)["meta"]["code"] for answer in answers if answer.status == 400}
            assert codes >= {"E_SYNTAX", "E_MISSING_FIELD", "E_INVALID_FIELD_TYPE", "E_INVALID_FIELD_VALUE"}, name
    assert report.requests == len(carrier.seen)


def of(resource_id, method="GET", status=200):
    """Whether an exchange is one of those with a resource."""
    return lambda request, response: (
        request.target == BASE + resource_id and request.method == method and response.status == status
    )


def without(header):
    return lambda response: evolve(
        response, headers=tuple(pair for pair in response.headers if pair[0].lower() != header)
    )


def with_header(header, value):
    return lambda response: evolve(
        without(header)(response), headers=(*without(header)(response).headers, (header, value))
    )


def with_status(status):
    return lambda response: evolve(response, status=status)


def with_tree(change):
    def changed(response):
        tree = json.loads(response.body)
        change(tree)
        return evolve(response, body=json.dumps(tree).encode())

    return changed


def set_at(path, value):
    def change(tree):
        *above, name = path.split("/")
        for step in above:
            tree = tree[int(step) if isinstance(tree, list) else step]
        tree[name] = value

    return with_tree(change)


ACCEPTED = evolve(Response(200), body=b"{}")
BREAKAGES = {
    "no ETag": (of(MAP), without("etag"), (f"{MAP}: GET", "should", 9110, "8.8.3")),
    "the wrong media type": (
        of("cost-map"),
        with_header("content-type", "application/json"),
        ("cost-map: GET", "must", 7285, "8.3.3"),
    ),
    "no media type": (of("cost-map"), without("content-type"), ("cost-map: GET", "must", 7285, "8.3.3")),
    "a resource that is gone": (of("cost-map"), with_status(404), ("cost-map: GET", "must", 7285, "9.2.2")),
    "an error that is a success": (
        of("cost-map"),
        with_header("content-type", media.ERROR),
        ("cost-map: GET", "must", 7285, "8.5.1"),
    ),
    "no JSON": (of("cost-map"), lambda answer: evolve(answer, body=b"{"), ("cost-map: GET", "must", 7285, "8.2")),
    "never 304": (
        of(MAP, status=304),
        lambda answer: evolve(answer, status=200),
        (f"{MAP}: GET with If-None-Match", "must", 9110, "13.1.2"),
    ),
    "304 without ETag": (
        of(MAP, status=304),
        without("etag"),
        (f"{MAP}: GET with If-None-Match", "must", 9110, "15.4.5"),
    ),
    "no HEAD": (of(MAP, "HEAD"), with_status(405), (f"{MAP}: HEAD", "must", 9110, "9.1")),
    "405 without Allow": (of(MAP, "POST", 405), without("allow"), (f"{MAP}: POST", "must", 9110, "15.5.6")),
    "POST that is not announced": (of(MAP, "POST", 405), with_status(200), (f"{MAP}: POST", "should", 7285, "9.2.2")),
    "a crash": (of("ecs", "GET", 405), with_status(500), ("ecs: GET", "must", 7285, "8.5")),
    "any type is read": (
        of("ecs", "POST", 415),
        with_status(200),
        ("ecs: POST of text/plain", "should", 9110, "15.5.16"),
    ),
    "a crash at bad JSON": (of("ecs", "POST", 400), with_status(500), ('ecs: POST of {"', "must", 7285, "8.5")),
    "bad JSON is taken": (of("ecs", "POST", 400), with_status(200), ('ecs: POST of {"', "must", 7285, "8.5.2")),
    "errors without ALTO": (
        of("ecs", "POST", 400),
        with_header("content-type", "text/html"),
        ("ecs: POST, without endpoints", "should", 7285, "8.5"),
    ),
    "an unknown code": (
        of("ecs", "POST", 400),
        set_at("meta/code", "E_GENERIC"),
        ("ecs: POST, without endpoints", "must", 7285, "8.5.2"),
    ),
    "a code that does not fit": (
        of("ecs", "POST", 400),
        set_at("meta/code", "E_SYNTAX"),
        ("ecs: POST, without endpoints", "should", 7285, "8.5.2"),
    ),
    "a field that is wrong": (
        of("ecs", "POST", 400),
        set_at("meta/field", "elsewhere"),
        ("ecs: POST, without endpoints", "should", 7285, "8.5.2"),
    ),
    "a map that has changed under its costs": (
        of("cost-map"),
        set_at("meta/dependent-vtags/0/tag", "other"),
        ("cost-map: against its network map", "must", 7285, "11.2.3.6"),
    ),
    "a PID that no map has": (
        of("cost-map"),
        set_at("cost-map/nowhere", {"nowhere": 1}),
        ("cost-map: against its network map", "must", 7285, "11.2.3.6"),
    ),
    "a filtered map with another tag": (
        of("some-pids", "POST"),
        set_at("meta/vtag/tag", "other"),
        ("some-pids: against its network map", "must", 7285, "11.3.1.6"),
    ),
    "a PID property that is not the longest match": (
        of("eps", "POST"),
        with_tree(lambda tree: [each.update({f"{MAP}.pid": "wrong"}) for each in tree["endpoint-properties"].values()]),
        ("eps: against its network map", "must", 7285, "11.2.2"),
    ),
    "a map with holes": (
        of(MAP),
        with_tree(
            lambda tree: (
                [group.pop("ipv6", None) for group in tree["network-map"].values()]
                and [
                    group.update(ipv4=["192.0.2.0/24"] if at == 0 else [])
                    for at, group in enumerate(tree["network-map"].values())
                ]
            )
        ),
        (f"{MAP}: GET", "must", 7285, "11.2.2"),
    ),
    "no default map": (
        of(""),
        with_tree(lambda tree: tree["meta"].pop("default-alto-network-map")),
        ("directory", "must", 7285, "9.2.2"),
    ),
    "no PIDs to look up": (
        of(""),
        with_tree(lambda tree: tree["resources"].pop("eps")),
        ("directory", "must", 7285, "11.4.1.4"),
    ),
    "properties that are not announced": (
        of("props"),
        set_at("property-map/ipv4:192.0.2.1", {"other.unknown": "x"}),
        ("props: GET", "note", 9240, "7.4"),
    ),
    "an edge that is not the latest snapshot": (
        of("tips", "POST"),
        with_tree(
            lambda tree: tree["tips-view-summary"]["updates-graph-summary"].update(
                {"start-edge-rec": {"seq-i": 1, "seq-j": 2}}
            )
        ),
        ("tips: open", "must", 9569, "6.2"),
    ),
    "a view without its address": (
        of("tips", "POST"),
        set_at("tips-view-uri", "/tips/1"),
        ("tips: open", "must", 9569, "6.2"),
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_found_with_its_clause(name):
    applies, change, expected = BREAKAGES[name]
    report = inspect(Carrier(lambda request, answer: change(answer) if applies(request, answer) else answer))
    assert expected in brief(report)
    assert report.is_conforming == all(level != "must" for _, level, _, _ in brief(report))


def test_a_filtered_cost_that_differs_from_the_whole_map_is_noted():
    def change(tree):
        for row in tree["cost-map"].values():
            row.update(dict.fromkeys(row, 12345))

    report = inspect(
        Carrier(
            lambda request, answer: with_tree(change)(answer) if of("some-costs", "POST")(request, answer) else answer
        )
    )
    assert ("some-costs: against the whole map", "note", 7285, "11.3.2") in brief(report)


def test_a_resource_that_does_not_answer_does_not_keep_the_others_from_being_looked_at():
    def broken(request, answer):
        if request.target == BASE + "ecs":
            raise UnreachableError("reset")
        return answer

    report = inspect(Carrier(broken))
    assert brief(report) == {("ecs", "must", 7285, "9.2.2")}


def test_redirects_are_followed_and_circles_are_found():
    def moved(request, answer):
        if request.target == BASE + "cost-map":
            return Response(307, (("Location", BASE + "elsewhere"),))
        if request.target == BASE + "elsewhere":
            there = carrier.server.handle(evolve(request, target="/cost-map"), None, 0.0)
            return evolve(there, body=b"") if request.method == "HEAD" else there
        return answer

    carrier = Carrier(moved)
    assert inspect(carrier).is_conforming

    def circle(request, answer):
        return Response(307, (("Location", request.target),)) if request.target == BASE + "cost-map" else answer

    assert ("cost-map", "must", 7285, "8.5.3") in brief(inspect(Carrier(circle)))


def test_without_a_directory_there_is_nothing_to_look_at():
    with pytest.raises(ServerError):
        inspect(lambda request: Response(404))
    with pytest.raises(DecodeError):
        inspect(lambda request: Response(200, (("Content-Type", media.DIRECTORY),), b"[]"))


def test_a_server_without_end_is_left(monkeypatch):
    monkeypatch.setattr("alto.lint.asking.MAX_REQUESTS", 40)
    report = inspect(Carrier())
    assert report.requests == 40
    assert report.unchecked == ("the rest: 40 requests are enough",)


statuses = st.sampled_from([200, 200, 200, 204, 304, 301, 307, 400, 404, 405, 500, 999])
kinds = st.sampled_from(
    [media.DIRECTORY, media.NETWORK_MAP, media.COST_MAP, media.ERROR, media.TIPS, media.MERGE_PATCH, "text/html", ""]
)
bodies = st.sampled_from(
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'{"meta":{"code":"E_SYNTAX"}}',
        b'{"meta":{"code":7}}',
        b'{"network-map":{}}',
        b"\xff",
    ]
) | st.binary(max_size=30)
answers = st.builds(
    lambda status, kind, body, etag: Response(
        status, (("Content-Type", kind), ("ETag", etag), ("Location", "/x"), ("Allow", "GET")), body
    ),
    statuses,
    kinds,
    bodies,
    st.sampled_from(['"a"', "", "W/"]),
)


@given(st.lists(answers, min_size=1, max_size=20), st.integers(1, 7))
def test_whatever_a_server_answers_there_is_a_report(given_answers, every):
    carrier, numbers = Carrier(), count()

    def answer(request: Request) -> Response:
        number = next(numbers)
        good = carrier(request)
        return good if number == 0 or number % every else given_answers[number % len(given_answers)]

    report = inspect(answer)
    assert all(each.where and str(each) for each in report.findings)


@pytest.mark.parametrize("status", [401, 403])
def test_a_resource_that_is_not_public_is_not_at_fault_but_was_not_looked_at(status):
    report = inspect(
        Carrier(lambda request, response: Response(status) if request.target == BASE + "cost-map" else response)
    )
    assert not [each for each in report.findings if each.where.startswith("cost-map")]
    assert f"cost-map: only for clients with other credentials (status {status})" in report.unchecked
