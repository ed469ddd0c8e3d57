"""Update streams over HTTP: our server and foreign readers of server-sent events, and our client."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import json_merge_patch
import jsonpatch
import pytest
from alto_serving import curl, running, wait_until
from alto_updates import read_events
from httpx_sse import EventSource, connect_sse

from alto import media
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.types import CostType
from alto.updates import UpdateLimits, UpdateStreamService
from alto.updates_client import ResourceInvalidated, ResourceUpdated
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp

PREFIXES = {f"PID{at}": {"ipv4": [f"10.{at}.{n}.0/24" for n in range(100)]} for at in range(20)}
OPENING = {"add": {"n": {"resource-id": "map"}, "c": {"resource-id": "costs"}}}
HEADERS = {"Content-Type": media.UPDATE_STREAM_PARAMS}


def network(**changes: Any) -> NetworkMapResource:
    whole = {"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    return NetworkMapResource("map", NetworkMap({**PREFIXES, **whole, **changes}))


def costs(cost: float = 1.0) -> CostMapResource:
    names = list(PREFIXES)
    rows = [[float(i + j) for j in range(len(names))] for i in range(len(names))]
    rows[1][2] = cost
    matrix = CostMatrix(names, names, rows)
    return CostMapResource("costs", "map", "num-rc", CostType("numerical", "routingcost"), matrix)


def application(**options: Any) -> AltoApp:
    service = UpdateStreamService("updates", ["map", "costs"], **options)
    directory = Directory([network(), costs()], services=[service], default_network_map="map")
    return AltoApp(AltoServer(directory, epoch=1.7e9))


@pytest.fixture
def served() -> Iterator[tuple[AltoApp, str]]:
    app = application()
    with running(app) as url:
        yield app, url


class Reader:
    """A client made of foreign parts: httpx-sse reads, jsonpatch and json-merge-patch apply."""

    def __init__(self, source: EventSource, url: str) -> None:
        self.url = httpx.URL(url)
        self.events = source.iter_sse()
        self.trees: dict[str, Any] = {}
        self.stopped: list[str] = []

    def take(self, count: int) -> list[str]:
        """Read this many events; their names."""
        names = []
        for _ in range(count):
            event = next(self.events)
            assert event.id == ""
            kind, _, name = event.event.rpartition(",")
            value = json.loads(event.data)
            names.append(event.event)
            if event.event == media.UPDATE_STREAM_CONTROL:
                self.stopped += value.get("stopped", [])
                if "control-uri" in value:
                    self.control = self.url.join(value["control-uri"])
            elif kind == media.MERGE_PATCH:
                self.trees[name] = json_merge_patch.merge(self.trees[name], value)
            elif kind == media.JSON_PATCH:
                self.trees[name] = jsonpatch.apply_patch(self.trees[name], value)
            else:
                self.trees[name] = value
        return names


def test_foreign_libraries_follow_the_maps_and_control_the_stream(served: tuple[AltoApp, str]) -> None:
    app, url = served
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(client, "POST", f"{url}/updates", json=OPENING, headers=HEADERS) as source,
    ):
        reader = Reader(source, f"{url}/updates")
        assert reader.take(3) == [
            media.UPDATE_STREAM_CONTROL,
            "application/alto-networkmap+json,n",
            "application/alto-costmap+json,c",
        ]
        app.submit(network(PID3={"ipv4": [*PREFIXES["PID3"]["ipv4"], "10.3.100.0/24"]})).result(60)
        assert reader.take(2) == ["application/json-patch+json,n", "application/merge-patch+json,c"]
        app.submit(costs(77.0)).result(60)
        assert reader.take(1) == ["application/merge-patch+json,c"]
        for name, resource_id in (("n", "map"), ("c", "costs")):
            assert reader.trees[name] == client.get(f"{url}/{resource_id}").json()
        refused = client.post(reader.control, json={"remove": ["x"]}, headers=HEADERS)
        assert (refused.status_code, refused.json()["meta"]["field"]) == (400, "remove")
        assert refused.headers["content-type"] == media.ERROR
        assert client.post(reader.control, json={"remove": ["c"]}, headers=HEADERS).status_code == 204
        assert reader.take(1) == [media.UPDATE_STREAM_CONTROL]
        assert client.post(reader.control, json={"remove": []}, headers=HEADERS).status_code == 204
        reader.take(1)
        assert reader.stopped == ["c", "n"]
        assert next(reader.events, None) is None
        assert client.post(reader.control, json={"remove": []}, headers=HEADERS).status_code == 404
    wait_until(lambda: app.open_count == 0)


def test_curl_reads_events_as_they_come_and_its_end_frees_the_stream(served: tuple[AltoApp, str]) -> None:
    """Trap 28."""
    app, url = served
    data = ["--header", f"Content-Type: {media.UPDATE_STREAM_PARAMS}", "--data", json.dumps(OPENING)]
    command = ["curl", "-N", "--silent", "--include", *data, f"{url}/updates"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read = bytearray()

        def drain() -> None:
            assert process.stdout is not None
            while octets := process.stdout.read1():
                read.extend(octets)

        thread = threading.Thread(target=drain)
        thread.start()
        wait_until(lambda: b"costmap+json,c" in read and read.endswith(b"\n\n"))
        app.submit(costs(77.0)).result(60)
        wait_until(lambda: b"merge-patch+json,c" in read and read.endswith(b"\n\n"))
        process.terminate()
        thread.join()
    wait_until(lambda: app.open_count == 0)
    service = app.server.directory.services["updates"]
    wait_until(lambda: service.get_timer() is None)
    head, _, body = bytes(read).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream\r\n" in head + b"\r\n"
    assert b"cache-control: no-store\r\n" in head + b"\r\n"
    names = [event.event for event in read_events(body)]
    assert names[3:] == ["application/merge-patch+json,c"]


def test_errors_are_answered_without_a_stream(served: tuple[AltoApp, str]) -> None:
    """Section 6.6."""
    app, url = served
    answer = curl("-i", "-H", f"Content-Type: {media.UPDATE_STREAM_PARAMS}", "--data", "{}", f"{url}/updates")
    head, _, body = answer.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"content-type: application/alto-error+json" in head
    assert json.loads(body) == {"meta": {"code": "E_MISSING_FIELD", "field": "add"}}
    assert app.open_count == 0


def test_a_connection_ends_with_the_refusal_of_a_stream_and_not_with_that_of_a_control_request(
    served: tuple[AltoApp, str],
) -> None:
    """Section 6.6: "close the stream (i.e., TCP connection) without sending any events"."""
    url = served[1]
    with httpx.Client(timeout=60) as client:
        for body in (b"{", b"{}", b'{"add": {"n": {"resource-id": "nope"}}}'):
            refused = client.post(f"{url}/updates", content=body, headers=HEADERS)
            assert (refused.status_code, refused.headers["connection"]) == (400, "close")
            assert refused.headers["content-type"] == media.ERROR
        with connect_sse(client, "POST", f"{url}/updates", json=OPENING, headers=HEADERS) as source:
            reader = Reader(source, f"{url}/updates")
            reader.take(1)
            refused = client.post(reader.control, json={"remove": ["nope"]}, headers=HEADERS)
            assert refused.status_code == 400
            assert "connection" not in refused.headers


def test_more_streams_than_there_may_be_are_asked_to_come_back() -> None:
    """Section 10.1."""
    app = application(limits=UpdateLimits(streams=1))
    with (
        running(app) as url,
        httpx.Client(timeout=60) as client,
        connect_sse(client, "POST", f"{url}/updates", json=OPENING, headers=HEADERS) as source,
    ):
        reader = Reader(source, url)  # as long as it is there, the stream is
        reader.take(1)
        second = client.post(f"{url}/updates", json=OPENING, headers=HEADERS)
        assert (second.status_code, second.headers["retry-after"]) == (503, "60")


def test_our_client_follows_our_server_through_the_loss_of_the_connection(served: tuple[AltoApp, str]) -> None:
    app, url = served

    async def main() -> None:
        shown: dict[str, Any] = {}
        async with AltoClient(f"{url}/") as alto:
            updates = alto.watch("map", "costs")

            async def until(tag: str, cost: int) -> None:
                """Take updates until both documents are these."""
                async for update in updates:
                    if isinstance(update, ResourceInvalidated):
                        del shown[update.substream_id]
                    elif isinstance(update, ResourceUpdated):
                        shown[update.substream_id] = update.tree
                    if {"map", "costs"} <= shown.keys():
                        based = shown["costs"]["meta"]["dependent-vtags"][0]["tag"]
                        assert based == shown["map"]["meta"]["vtag"]["tag"]
                        if based == tag and shown["costs"]["cost-map"]["PID1"]["PID2"] == cost:
                            return

            await until(network().vtag.tag, 1)
            changed = network(PID3={"ipv4": ["10.3.0.0/16"]})
            await app.update(changed)
            await app.update(costs(5.0))
            await until(changed.vtag.tag, 5)
            service = app.server.directory.services["updates"]
            assert isinstance(service, UpdateStreamService)
            await asyncio.to_thread(cut, app, service)
            await app.update(costs(6.0))
            await until(changed.vtag.tag, 6)
            await updates.aclose()

    asyncio.run(main())


def cut(app: AltoApp, service: UpdateStreamService) -> None:
    """End every stream from the server's side, without a word: as if nobody had read them for long."""
    loop = app._serving_loop()
    assert loop is not None

    async def end() -> None:
        service.handle_timer(1e18)
        app._adapter.wake()

    asyncio.run_coroutine_threadsafe(end(), loop).result(60)
