"""Bad input for an ALTO server that runs: uvicorn on loopback, our resources, whatever a client sends or does not."""

import asyncio
import contextlib
import copy
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_serving import running, wait_until

import alto
import interop._http_limits
import interop.asgi
from alto import media
from alto._json import Json
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.types import CostType
from alto.updates import UpdateStreamService
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp

PIDS = {
    "PID1": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"]},
    "PID2": {"ipv4": ["198.51.100.128/25"]},
    "PID3": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
}
COSTS = {"PID1": {"PID1": 1, "PID2": 5, "PID3": 10}, "PID2": {"PID1": 5, "PID2": 1, "PID3": 15}}
ROUTING = CostType("numerical", "routingcost")
TYPE = {"cost-mode": "numerical", "cost-metric": "routingcost"}
LARGE = 600
"""PIDs of a cost map of some 3 MB: more than the buffers between two ends hold."""

ACCEPTS = {
    "filtered-map": media.NETWORK_MAP_FILTER,
    "filtered-costs": media.COST_MAP_FILTER,
    "endpoint-costs": media.ENDPOINT_COST_PARAMS,
    "endpoint-properties": media.ENDPOINT_PROPERTY_PARAMS,
}
GOOD: dict[str, Json] = {
    "filtered-map": {"pids": ["PID1"], "address-types": ["ipv4"]},
    "filtered-costs": {"cost-type": TYPE, "constraints": ["gt 0"], "pids": {"srcs": ["PID1"], "dsts": ["PID2"]}},
    "endpoint-costs": {
        "cost-type": TYPE,
        "constraints": ["gt 0"],
        "endpoints": {"srcs": ["ipv4:192.0.2.2"], "dsts": ["ipv4:198.51.100.200"]},
    },
    "endpoint-properties": {"properties": ["map.pid"], "endpoints": ["ipv4:192.0.2.34"]},
}
REQUIRED = {
    "filtered-map": ["pids"],
    "filtered-costs": ["cost-type", "cost-type/cost-mode", "cost-type/cost-metric", "pids/srcs", "pids/dsts"],
    "endpoint-costs": ["cost-type", "cost-type/cost-mode", "cost-type/cost-metric", "endpoints"],
    "endpoint-properties": ["properties", "endpoints"],
}
services = pytest.mark.parametrize("service", ACCEPTS)


def app_of(network_map: NetworkMap | None = None) -> AltoApp:
    offers = {"num": CostOffer(ROUTING, "costs")}
    large = [f"P{number}" for number in range(LARGE)]
    directory = Directory(
        [
            NetworkMapResource("map", network_map or NetworkMap(PIDS)),
            CostMapResource("costs", "map", "num", ROUTING, CostMatrix.from_mapping(COSTS)),
            FilteredNetworkMapResource("filtered-map", "map"),
            FilteredCostMapResource("filtered-costs", "map", offers, cost_constraints=True),
            EndpointCostResource("endpoint-costs", offers, network_map="map", cost_constraints=True),
            EndpointPropertyResource("endpoint-properties", network_maps=["map"]),
            NetworkMapResource("large-map", NetworkMap({**{name: {} for name in large}, **PIDS})),
            CostMapResource(
                "large", "large-map", "num", ROUTING, CostMatrix(large, large, [[1234567] * LARGE] * LARGE)
            ),
        ],
        services=[UpdateStreamService("updates", ["map", "costs"])],
    )
    return AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[AltoApp, httpx.Client]]:
    app = app_of()
    with running(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield app, client


def post(client: httpx.Client, service: str, body: Json | bytes) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/{service}", content=content, headers={"Content-Type": ACCEPTS[service]})


def error_of(response: httpx.Response) -> dict[str, str]:
    """The `meta` of an ALTO error response, which nobody may keep."""
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == media.ERROR
    assert response.headers["cache-control"] == "no-store"
    tree = response.json()
    assert list(tree) == ["meta"]
    assert all(isinstance(value, str) for value in tree["meta"].values())
    meta: dict[str, str] = tree["meta"]
    return meta


def is_well(client: httpx.Client) -> bool:
    """Whether the server answers what is right, as it did before."""
    answers = [post(client, service, body).json() for service, body in GOOD.items()]
    return [next(iter(answer[name])) for answer, name in zip(answers, MEMBERS, strict=True)] == FIRST


MEMBERS = ("network-map", "cost-map", "endpoint-cost-map", "endpoint-properties")
FIRST = ["PID1", "PID1", "ipv4:192.0.2.2", "ipv4:192.0.2.34"]


# What is posted


@services
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"pids": [], "pids": []}',
        b'{"cost-type": {"cost-mode": "numerical", "cost-mode": "ordinal"}}',
        b'{"x": NaN}',
        b'{"x": -Infinity}',
        b'{"x": 1e400}',
        b'{"x": ' + b"1" * 5000 + b"}",
        b'{"pids": ["\\udead"]}',
        b'{"pids": ["\xfe"]}',
        b"[" * 500_000,
        b'{"a":' * 150_000,
        b'{"pids": ' + b"[" * 400 + b"]" * 400 + b"}",
        b"{'pids': []}",
        b"{}{}",
    ],
    ids=[
        "nothing", "half of it", "a name twice", "an inner name twice", "NaN", "infinity", "beyond a double",
        "5000 digits", "half of a surrogate pair", "no UTF-8", "a bomb of brackets", "a bomb of braces",
        "400 levels that end", "single quotes", "two texts",
    ],
)  # fmt: skip
def test_what_has_not_one_meaning_is_a_syntax_error_of_every_service(served, service, body):
    meta = error_of(post(served[1], service, body))
    assert (meta["code"], set(meta)) == ("E_SYNTAX", {"code", "syntax-error"})
    assert is_well(served[1])


def paths(tree: Json, path: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Every place in a request: its path, that which an error names, and what it is in and under which name."""
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        inner = f"{path}/{name}" if path else str(name)
        yield inner, path if isinstance(tree, list) else inner, tree, name
        if isinstance(value, dict | list):
            yield from paths(value, inner)


@services
@pytest.mark.parametrize("wrong", [None, True, 0, 1.5, "x", [], {}], ids=repr)
def test_a_wrong_type_at_any_path_has_its_error_with_that_path(served, service, wrong):
    for number in range(len([*paths(GOOD[service])])):
        request = copy.deepcopy(GOOD[service])
        _, field, inside, name = [*paths(request)][number]
        if type(inside[name]) is type(wrong):
            continue
        inside[name] = wrong
        meta = error_of(post(served[1], service, request))
        if isinstance(inside, list):
            value = wrong if isinstance(wrong, str) else json.dumps(wrong)
            assert meta == {"code": "E_INVALID_FIELD_VALUE", "field": field, "value": value}
        else:
            assert meta == {"code": "E_INVALID_FIELD_TYPE", "field": field}
    assert error_of(post(served[1], service, [wrong])) == {"code": "E_INVALID_FIELD_TYPE"}
    assert is_well(served[1])


@services
def test_whatever_is_missing_is_named_by_its_path(served, service):
    for path, _, _, _ in paths(GOOD[service]):
        request = copy.deepcopy(GOOD[service])
        inside, name = next((tree, name) for found, _, tree, name in paths(request) if found == path)
        if isinstance(inside, list):
            continue
        del inside[name]
        response = post(served[1], service, request)
        if path in REQUIRED[service]:
            assert error_of(response) == {"code": "E_MISSING_FIELD", "field": path}
        else:
            assert response.status_code == 200


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [
        ("filtered-map", "pids", "no.pid"),
        ("filtered-map", "pids", "x" * 65),
        ("filtered-map", "address-types", "ip-4"),
        ("filtered-costs", "cost-type/cost-mode", "sideways"),
        ("filtered-costs", "cost-type/cost-metric", "hopcount"),
        ("filtered-costs", "constraints", "gt"),
        ("filtered-costs", "constraints", "ne 5"),
        ("filtered-costs", "constraints", "gt NaN"),
        ("filtered-costs", "constraints", "gt 1e400"),
        ("filtered-costs", "constraints", "gt 5 6"),
        ("filtered-costs", "pids/srcs", "no pid"),
        ("endpoint-costs", "cost-type/cost-mode", ""),
        ("endpoint-costs", "constraints", "le five"),
        ("endpoint-costs", "endpoints/srcs", "192.0.2.2"),
        ("endpoint-costs", "endpoints/srcs", "ipv4:192.0.2.256"),
        ("endpoint-costs", "endpoints/srcs", "ipv4:192.0.2.02"),
        ("endpoint-costs", "endpoints/dsts", "ipv6:192.0.2.2"),
        ("endpoint-costs", "endpoints/dsts", "ipv6:fe80::1%eth0"),
        ("endpoint-costs", "endpoints/dsts", "ipv6:1::2::3"),
        ("endpoint-costs", "endpoints/dsts", "mac48:00-1B-44-11-3A-B7"),
        # Host bits, and a prefix that lies in more than one PID.
        ("endpoint-costs", "endpoints/dsts", "ipv4:192.0.2.1/24"),
        ("endpoint-costs", "endpoints/dsts", "ipv4:198.51.100.0/24"),
        ("endpoint-properties", "properties", "pid"),
        ("endpoint-properties", "properties", "other-map.pid"),
        ("endpoint-properties", "endpoints", "ipv4:192.0.2.34/32"),
        ("endpoint-properties", "endpoints", "ipv6:::ffff:192.0.2.300"),
    ],
)
def test_a_wrong_value_is_told_with_its_path(served, service, path, value):
    request = copy.deepcopy(GOOD[service])
    *above, last = path.split("/")
    inside = request
    for name in above:
        inside = inside[name]
    inside[last] = [*inside[last], value] if isinstance(inside[last], list) else value
    assert error_of(post(served[1], service, request)) == {
        "code": "E_INVALID_FIELD_VALUE",
        "field": path,
        "value": value,
    }
    assert is_well(served[1])


def test_what_is_asked_for_in_vain_is_told(served):
    _, client = served
    request = {"cost-type": TYPE, "endpoints": {"srcs": [], "dsts": []}}
    assert error_of(post(client, "endpoint-costs", request))["field"] == "endpoints"
    for name in ("properties", "endpoints"):
        meta = error_of(post(client, "endpoint-properties", {**GOOD["endpoint-properties"], name: []}))
        assert meta == {"code": "E_INVALID_FIELD_VALUE", "field": name, "value": "[]"}


def test_a_long_value_is_not_echoed_whole(served):
    request = {**GOOD["endpoint-properties"], "properties": ["x" * 100_000]}
    assert len(error_of(post(served[1], "endpoint-properties", request))["value"]) == 256


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 10000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"],
    ids=["announced", "in chunks"],
)
def test_ten_megabytes_are_refused_and_not_held(served, framing):
    _, client = served
    with connect(client) as sock:
        sock.sendall(
            b"POST /filtered-map HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n" % ACCEPTS["filtered-map"].encode()
        )
        sock.sendall(framing)
        piece = b" " * 100_000
        answer = b""
        with contextlib.suppress(OSError):
            for _ in range(100):
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if b"chunked" in framing else piece)
        # Whoever writes on after the answer may lose the connection before it is read.
        with contextlib.suppress(OSError):
            answer = sock.recv(100)
        assert answer[:12] in (b"HTTP/1.1 413", b"")
    assert is_well(client)


def test_a_refused_body_of_a_moderate_size_has_its_answer(served):
    _, client = served
    response = post(client, "filtered-map", b" " * (2**20 + 1))
    assert (response.status_code, response.headers["cache-control"]) == (413, "no-store")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/alto-costmapfilter+json"}, 415),
        ({"Content-Type": "application/alto-networkmapfilter+json; charset=utf-16"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Accept": "application/alto-costmap+json"}, 406),
        ({"Accept": "application/alto-networkmap+json;q=0, */*"}, 406),
    ],
)
def test_what_is_wrong_about_the_fields_is_told_by_the_status(served, fields, status):
    headers = {"Content-Type": ACCEPTS["filtered-map"], **fields}
    response = served[1].post("/filtered-map", content=b'{"pids": []}', headers=headers)
    assert (response.status_code, response.headers["cache-control"]) == (status, "no-store")
    assert is_well(served[1])


# Maps that are wrong


HOST_BITS = {**PIDS, "PID1": {"ipv4": ["192.0.2.1/24"]}}
OVERLAPPING = {**PIDS, "PID2": {"ipv4": ["192.0.2.0/24"]}}
INCOMPLETE = {"PID1": {"ipv4": ["192.0.2.0/24"]}}
maps = pytest.mark.parametrize(
    ("pids", "why"),
    [(HOST_BITS, "host bits"), (OVERLAPPING, "in the PID 'PID1' already"), (INCOMPLETE, "incomplete")],
    ids=["host bits", "overlapping", "incomplete"],
)


@maps
def test_a_map_that_is_wrong_is_never_served(served, pids, why):
    app, client = served
    with pytest.raises(alto.ConfigurationError, match=why):
        app.submit(NetworkMapResource("map", NetworkMap(pids))).result()
    assert client.get("/map").json()["network-map"] == PIDS


@maps
def test_a_map_that_a_server_sends_wrong_is_refused_or_leniently_read_with_a_finding(pids, why):
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        entry = {"uri": "/map", "media-type": media.NETWORK_MAP}
        directory = {"meta": {"default-alto-network-map": "map"}, "resources": {"map": entry}}
        whole = {"meta": {"vtag": {"resource-id": "map", "tag": "t"}}, "network-map": pids}
        kind, tree = (media.NETWORK_MAP, whole) if scope["path"] == "/map" else (media.DIRECTORY, directory)
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(tree).encode()})

    async def main() -> None:
        async with AltoClient.over(broken) as strict, AltoClient.over(broken, strict=False) as lenient:
            with pytest.raises(alto.DecodeError, match=why):
                await strict.network_map()
            found = await lenient.network_map()
            assert any(why in finding.text for finding in found.findings)
            assert found.value.network_map.pid_of("192.0.2.7") == "PID1"

    asyncio.run(main())


# Clients that dawdle, do not read, or leave


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=60)


def is_hung_up(sock: socket.socket) -> bool:
    """Whether the other end is gone, after whatever it has still sent."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(2**16):
            pass
    return True


def is_left(sock: socket.socket) -> bool:
    """Whether the other end, on this machine, has closed the connection, what it has sent before still to be read."""
    try:
        ends = [f"0100007F:{port:04X}" for _, port in (sock.getpeername(), sock.getsockname())]
    except OSError:  # it was reset
        return True
    states = [line.split()[3] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[1:3] == ends]
    return "01" not in states  # TCP_ESTABLISHED


HEAD = b"POST /filtered-map HTTP/1.1\r\nHost: x\r\nContent-Type: application/alto-networkmapfilter+json\r\n"


def test_who_sends_its_head_drop_by_drop_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(interop._http_limits, "HEAD_TIMEOUT", 1.0)
    with running(app_of()) as url, httpx.Client(base_url=url) as client, connect(client) as sock:
        gone = threading.Event()

        def drip() -> None:
            for number in range(2000):
                if gone.is_set():
                    return
                try:
                    sock.sendall(b"X-%d: y\r\n" % number)
                except OSError:
                    return
                time.sleep(0.01)

        sock.sendall(HEAD)
        thread = threading.Thread(target=drip)
        thread.start()
        assert is_well(client)
        assert is_hung_up(sock)
        gone.set()
        thread.join()
        with httpx.Client(base_url=url) as other:  # the server may be about to close what is idle
            assert is_well(other)


def test_who_sends_its_body_drop_by_drop_is_told_and_hung_up_on(monkeypatch):
    monkeypatch.setattr(interop.asgi, "BODY_TIMEOUT", 0.3)
    with running(app_of()) as url, httpx.Client(base_url=url) as client, connect(client) as sock:
        sock.sendall(HEAD + b'Content-Length: 1000\r\n\r\n{"pids')
        assert is_well(client)
        sock.sendall(b'": ')
        assert sock.recv(100).startswith(b"HTTP/1.1 408")
        assert is_hung_up(sock)
        assert is_well(client)


def test_who_does_not_read_its_answer_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(interop._http_limits, "WRITE_TIMEOUT", 0.3)
    with running(app_of()) as url, httpx.Client(base_url=url) as client:
        whole = client.get("/large", headers={"Accept-Encoding": "identity"})
        assert len(whole.content) > 3_000_000
        with connect(client) as sock:
            for _ in range(5):
                sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            assert is_well(client)
            # Then some of it is there, and the rest never comes.
            wait_until(lambda: is_left(sock))
            got = 0
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(2**20):
                    got += len(piece)
            assert got < 5 * len(whole.content)
        assert is_well(client)


def test_who_leaves_in_the_middle_of_a_large_answer_is_no_error(caplog):
    with running(app_of()) as url, httpx.Client(base_url=url) as client:
        for _ in range(5):
            with connect(client) as sock:
                sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                assert sock.recv(1000)
        assert is_well(client)
    assert not caplog.records


def test_who_leaves_in_the_middle_of_a_body_leaves_nothing(caplog):
    app = app_of()
    with running(app) as url, httpx.Client(base_url=url) as client:
        for _ in range(5):
            with connect(client) as sock:
                sock.sendall(HEAD + b'Content-Length: 1000\r\n\r\n{"pids')
        assert is_well(client)
        wait_until(lambda: app._adapter._buffered == 0)
    assert not caplog.records


def test_who_leaves_its_update_stream_frees_its_place(served):
    app, client = served
    service = app.server.directory.services["updates"]
    assert isinstance(service, UpdateStreamService)
    body = json.dumps({"add": {"a": {"resource-id": "map"}}}).encode()
    for _ in range(3):
        with connect(client) as sock:
            sock.sendall(
                b"POST /updates HTTP/1.1\r\nHost: x\r\nContent-Type: application/alto-updatestreamparams+json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            received = b""
            while b"event: application/alto-networkmap+json" not in received:
                piece = sock.recv(2**16)
                assert piece
                received += piece
            assert (app.open_count, len(service._streams)) == (1, 1)
        wait_until(lambda: app.open_count == 0 and not service._streams)
    assert is_well(client)
