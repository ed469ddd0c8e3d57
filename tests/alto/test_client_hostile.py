"""The ALTO client's plans against any server: what comes is a document or an error of ours, strictly and leniently."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from alto_plans import Carrier
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto._json import Json
from alto.cdni import CdniCapability
from alto.client import Client, CostQuery, Plan
from alto.errors import AltoError
from alto.http import Request, Response
from alto.types import CostType

ROOT = "https://alto.example.com/"
EXAMPLES = Path(__file__).parent.parent / "data" / "alto_examples"
TRANSCRIPTS = json.loads((EXAMPLES.parent / "openalto_server_transcripts.json").read_text())

_COSTS = {"cost-type-names": ["num", "ord", "pv"], "max-cost-types": 3, "cost-constraints": True}
_CALENDAR = {"cost-type-names": ["num"], "time-interval-size": 60, "number-of-intervals": 2}
_KINDS: dict[str, tuple[str, str | None, Json]] = {
    "map": (media.NETWORK_MAP, None, {}),
    "some": (media.NETWORK_MAP, media.NETWORK_MAP_FILTER, {}),
    "costs": (media.COST_MAP, None, {"cost-type-names": ["num"]}),
    "some-costs": (media.COST_MAP, media.COST_MAP_FILTER, {**_COSTS, "calendar-attributes": [_CALENDAR]}),
    "ecs": (media.ENDPOINT_COST, media.ENDPOINT_COST_PARAMS, {**_COSTS, "calendar-attributes": [_CALENDAR]}),
    "eps": (media.ENDPOINT_PROPERTIES, media.ENDPOINT_PROPERTY_PARAMS, {"prop-types": ["map.pid", "priv:x"]}),
    "props": (media.PROPERTY_MAP, None, {"mappings": {"ipv4": [".x"], ".ane": [".y"], "map.pid": [".z"]}}),
    "some-props": (media.PROPERTY_MAP, media.PROPERTY_MAP_PARAMS, {"mappings": {"ipv4": [".x", "map.pid"]}}),
    "cdni": (media.CDNI, None, {}),
    "some-cdni": (media.CDNI, media.CDNI_FILTER, {}),
    "pv": (
        f"multipart/related;type={media.ENDPOINT_COST}",
        media.ENDPOINT_COST_PARAMS,
        {"cost-type-names": ["pv", "num"], "max-cost-types": 2, "ane-property-names": ["max-reservable-bandwidth"]},
    ),
}
_USES = {"some": ["map"], "costs": ["map"], "some-costs": ["map"], "props": ["map"], "some-props": ["map"]}
DIRECTORY: Json = {
    "meta": {
        "default-alto-network-map": "map",
        "cost-types": {
            "num": {"cost-mode": "numerical", "cost-metric": "routingcost"},
            "ord": {"cost-mode": "ordinal", "cost-metric": "routingcost"},
            "pv": {"cost-mode": "array", "cost-metric": "ane-path"},
        },
    },
    "resources": {
        name: {
            "uri": name,
            "media-type": kind,
            **({} if accepts is None else {"accepts": accepts}),
            "capabilities": capabilities,
            "uses": _USES.get(name, []),
        }
        for name, (kind, accepts, capabilities) in _KINDS.items()
    },
}
_NUMBERS = CostType("numerical", "routingcost")
PLANS: dict[str, Callable[[Client], Plan[object]]] = {
    "map": lambda client: client.network_map(),
    "some": lambda client: client.filtered_network_map(["PID1"], ["ipv4"]),
    "costs": lambda client: client.cost_map(),
    "filtered-costs": lambda client: client.filtered_cost_map(["PID1"], ["PID2"]),
    "multi": lambda client: client.filtered_cost_map(query=CostQuery(["num", "ord"], or_constraints=[["[1] le 3"]])),
    "calendar": lambda client: client.filtered_cost_map(query=CostQuery(_NUMBERS, calendared=True)),
    "ecs": lambda client: client.endpoint_costs([], ["ipv4:192.0.2.1"], CostQuery(_NUMBERS, calendared=True)),
    "rank": lambda client: client.rank("192.0.2.1", ["192.0.2.2", "198.51.100.1"]),
    "private": lambda client: client.rank("192.0.2.1", ["192.0.2.2", "198.51.100.1"], private=True),
    "eps": lambda client: client.endpoint_properties(["ipv4:192.0.2.1"], ["map.pid"]),
    "props": lambda client: client.property_map(),
    "some-props": lambda client: client.properties(["ipv4:192.0.2.0/24"]),
    "cdni": lambda client: client.cdni(),
    "some-cdni": lambda client: client.cdni([CdniCapability("x", {"y": ["z"]})]),
    "pv": lambda client: client.path_vector(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"]),
}


def attempt(plan: Callable[[Client], Plan[object]], respond: Callable[[Request], Response], *, strict: bool) -> bool:
    """Whether the plan comes to a value rather than to an error of ours; any other exception is raised."""

    def answer(request: Request) -> Response:
        return _directory() if request.target == ROOT else respond(request)

    try:
        Carrier(answer).run(plan(Client(ROOT, strict=strict)))
    except AltoError:
        return False
    return True


def _directory() -> Response:
    return Response(200, (("Content-Type", media.DIRECTORY),), json.dumps(DIRECTORY).encode())


def _type_of(request: Request) -> str:
    return (request.header("accept") or "").partition(",")[0]


def documents() -> list[Json]:
    """Every JSON document of the RFCs' examples and of the recorded answers."""
    found: list[Json] = []
    texts = [path.read_bytes() for path in sorted(EXAMPLES.glob("rfc*/*.json"))]
    texts += [exchange["response"]["body"].encode() for exchange in TRANSCRIPTS]
    for text in texts:
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


DOCUMENTS = documents()


def test_the_directory_of_these_tests_has_no_fault_and_every_plan_asks() -> None:
    asked: set[str] = set()

    def respond(request: Request) -> Response:
        asked.add(request.target.removeprefix(ROOT))
        return Response(404)

    for plan in PLANS.values():
        assert not attempt(plan, respond, strict=True)
    assert asked == _KINDS.keys()


@pytest.mark.parametrize("name", PLANS)
def test_any_document_in_the_place_of_another_is_read_or_refused(name: str) -> None:
    for document in DOCUMENTS:
        body = json.dumps(document).encode()
        for strict in (True, False):
            attempt(
                PLANS[name],
                lambda request, body=body: Response(200, (("Content-Type", _type_of(request)),), body),
                strict=strict,
            )


_SCALARS = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = _SCALARS | st.sampled_from(
    [
        [], {}, "", "x", "PID1", "ipv4", "ipv4:192.0.2.1", "192.0.2.0/24", "192.0.2.1/24", "::/0", ".ane:A", "a.b",
        "\x00", "numerical", "routingcost", ["PID1"], [1, [2]], {"": {}}, {"cost-mode": "numerical"},
        "Tue, 1 Jul 2019 00:00:00 GMT",
        {"resource-id": "map", "tag": "1"}, [{"resource-id": "map", "tag": "1"}], 1e308, -1, [None], {"meta": {}},
    ]
) | st.text(max_size=4)  # fmt: skip


def _spots(tree: Json) -> list[tuple[Json, Json]]:
    """Each member or element of a document: what it is in, and its name or place."""
    found: list[tuple[Json, Json]] = []
    level = [tree]
    while level:
        inner: list[Json] = []
        for outer in level:
            pairs = outer.items() if isinstance(outer, dict) else enumerate(outer)
            for key, value in pairs:
                found.append((outer, key))
                if isinstance(value, dict | list):
                    inner.append(value)
        level = inner
    return found


@given(st.data())
def test_any_change_to_a_document_leaves_it_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PLANS)))
    document = copy.deepcopy(data.draw(st.sampled_from([one for one in DOCUMENTS if isinstance(one, dict)])))
    for _ in range(data.draw(st.integers(1, 3))):
        spots = _spots(document)
        if not spots:
            break
        outer, key = spots[data.draw(st.integers(0, len(spots) - 1))]
        if data.draw(st.booleans()):
            outer[key] = copy.deepcopy(data.draw(_VALUES))
        elif isinstance(outer, dict):
            outer[data.draw(st.text(max_size=3) | st.sampled_from(["meta", "ipv4:::1", "PID9", "ipv4"]))] = outer.pop(
                key
            )
        else:
            del outer[key]
    body = json.dumps(document).encode()
    strict = data.draw(st.booleans())
    attempt(PLANS[name], lambda request: Response(200, (("Content-Type", _type_of(request)),), body), strict=strict)


@given(
    st.sampled_from(sorted(PLANS)),
    st.binary(max_size=60),
    st.sampled_from(["", "; boundary=b", ';boundary="', "; boundary=b; start=<x>"]),
    st.sampled_from([200, 200, 200, 204, 303, 400, 503]),
    st.booleans(),
)
def test_any_octets_are_read_or_refused(name: str, body: bytes, parameters: str, status: int, strict: bool) -> None:
    bodies = [
        body,
        b"--b\r\n" + body,
        b"--b\r\nContent-Type: application/alto-endpointcost+json\r\n\r\n" + body + b"\r\n--b--",
    ]
    for octets in bodies:
        attempt(
            PLANS[name],
            lambda request, octets=octets: Response(
                status, (("Content-Type", _type_of(request) + parameters), ("Location", "/x")), octets
            ),
            strict=strict,
        )


@pytest.mark.parametrize("strict", [True, False])
def test_a_document_cut_short_is_refused(strict: bool) -> None:
    whole = json.dumps({"meta": {"vtag": {"resource-id": "map", "tag": "1"}}, "network-map": {}}).encode()
    for length in range(len(whole)):
        response = Response(200, (("Content-Type", media.NETWORK_MAP),), whole[:length])
        assert not attempt(PLANS["map"], lambda request, given=response: given, strict=strict)
