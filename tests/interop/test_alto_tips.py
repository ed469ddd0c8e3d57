"""TIPS over HTTP: our client against our server, and what a plain HTTP client sees of it."""

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from alto import media
from alto.directory import Directory
from alto.errors import ConfigurationError
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.tips import TipsLimits, TipsService
from interop._http_server import Server, bind, config, url
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp
from interop.alto_tips import follow, follow_together

PIDS = {"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}} | {
    f"PID{n}": {"ipv4": [f"10.{n}.{m}.0/24" for m in range(8)]} for n in range(8)
}


def network_map(**changes: dict[str, list[str]]) -> NetworkMapResource:
    return NetworkMapResource("map", NetworkMap(PIDS | changes))


def application(**settings: Any) -> AltoApp:
    resources = [network_map(), FilteredNetworkMapResource("filtered", network_map="map")]
    service = TipsService("tips", ["map", "filtered"], **settings)
    directory = Directory(resources, services=[service], default_network_map="map")
    return AltoApp(AltoServer(directory, epoch=1.7e9))


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class Running:
    """The application on a socket."""

    def __init__(self, app: AltoApp) -> None:
        self.app = app
        self._listening = asyncio.Event()

    async def __aenter__(self) -> str:
        self._listener = bind("127.0.0.1", 0).__enter__()
        self._server = Server(config(self.app), started=self._listening.set, before_end=self.app.close)
        self._task = asyncio.create_task(self._server._serve(sockets=[self._listener]))
        await self._listening.wait()
        return url(self._listener, "http")

    async def __aexit__(self, *details: object) -> None:
        self._server.should_exit = True
        await self._task
        self._listener.close()


def test_the_directory_announces_the_service_by_media_type_capabilities_and_uses() -> None:
    app = application()
    root = app.server.handle(app.server.Request("GET", "/"), None, 0.0)
    entry = json.loads(root.body)["resources"]["tips"]
    assert entry["media-type"] == "application/alto-tips+json"
    assert entry["accepts"] == "application/alto-tipsparams+json"
    assert entry["uses"] == ["map", "filtered"]
    both = "application/merge-patch+json,application/json-patch+json"
    assert entry["capabilities"] == {"incremental-change-media-types": {"map": both, "filtered": both}}


@in_loop
async def test_a_client_follows_a_map_as_it_changes() -> None:
    app = application()
    async with Running(app) as where, AltoClient(where) as alto:
        updates = follow(alto, "map")
        first = await anext(updates)
        assert first.is_full
        assert first.document.tree["network-map"]["PID1"] == {"ipv4": PIDS["PID1"]["ipv4"]}
        for number in range(3):
            waiting = asyncio.create_task(anext(updates))
            await until(lambda: app.open_count == 1)
            await app.update(network_map(PID1={"ipv4": [f"192.0.2.{number}/32"]}))
            update = await waiting
            assert not update.is_full
            assert update.document.tree["network-map"]["PID1"] == {"ipv4": [f"192.0.2.{number}/32"]}
            current = app.server.directory.find("map", NetworkMapResource)
            assert update.document.vtag == current.vtag
        await updates.aclose()


@in_loop
async def test_a_filtered_map_is_followed_with_its_input() -> None:
    app = application()
    async with Running(app) as where, AltoClient(where) as alto:
        updates = follow(alto, "filtered", {"pids": ["PID2"]})
        assert list((await anext(updates)).document.tree["network-map"]) == ["PID2"]
        await app.update(network_map(PID2={"ipv4": ["192.0.2.0/24"]}))
        assert (await anext(updates)).document.tree["network-map"] == {"PID2": {"ipv4": ["192.0.2.0/24"]}}
        await updates.aclose()


@in_loop
async def test_what_the_server_has_no_tips_for_is_said() -> None:
    app = application()
    async with AltoClient.over(app) as alto:
        for name in ("nothing", "tips"):
            with pytest.raises(ConfigurationError, match="no TIPS"):
                await anext(follow(alto, name))


@in_loop
async def test_trap_28_a_client_that_hangs_up_frees_its_place() -> None:
    app = application(limits=TipsLimits(polls=1))
    async with Running(app) as where, httpx.AsyncClient(base_url=where) as http:
        opened = await http.post(
            "/tips", content=b'{"resource-id": "map"}', headers={"Content-Type": media.TIPS_PARAMS}
        )
        view = opened.json()["tips-view-uri"]
        assert view.startswith(where)
        poll = asyncio.create_task(http.get(f"{view}/ug/1/2", timeout=60))
        await until(lambda: app.open_count == 1)
        assert (await http.get(f"{view}/ug/1/2")).status_code == 429
        poll.cancel()
        await until(lambda: app.open_count == 0)
        other = asyncio.create_task(http.get(f"{view}/ug/1/2", timeout=60))
        await until(lambda: app.open_count == 1)
        await app.update(network_map(PID1={"ipv4": ["192.0.2.0/24"]}))
        answer = await other
        assert answer.status_code == 200
        assert answer.headers["content-type"] in (media.MERGE_PATCH, media.JSON_PATCH)


@in_loop
async def test_a_poll_that_waits_long_enough_is_answered() -> None:
    app = application(limits=TipsLimits(poll_timeout=0.05))
    async with Running(app) as where, httpx.AsyncClient(base_url=where) as http:
        opened = await http.post(
            "/tips", content=b'{"resource-id": "map"}', headers={"Content-Type": media.TIPS_PARAMS}
        )
        answer = await http.get(f"{opened.json()['tips-view-uri']}/ug/1/2", timeout=60)
        assert answer.status_code == 425
        assert answer.headers["content-type"] == media.ERROR


@in_loop
async def test_maps_that_depend_on_each_other_are_given_together() -> None:
    app = application()
    async with Running(app) as where, AltoClient(where) as alto:
        together = follow_together(alto, ["map"])
        first = await anext(together)
        waiting = asyncio.create_task(anext(together))
        await until(lambda: app.open_count == 1)
        await app.update(network_map(PID1={"ipv4": ["192.0.2.0/24"]}))
        second = await waiting
        assert first["map"].vtag != second["map"].vtag
        await together.aclose()
        with pytest.raises(ConfigurationError):
            await anext(follow_together(alto, ["map", "nothing"]))
        await until(lambda: app.open_count == 0)


@in_loop
async def test_who_stops_following_leaves_nothing_behind() -> None:
    app = application()
    async with Running(app) as where, AltoClient(where) as alto:
        await alto.directory()
        before = asyncio.all_tasks()
        together = follow_together(alto, ["map"])
        await anext(together)
        waiting = asyncio.create_task(anext(together))
        await until(lambda: app.open_count == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        left = {getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks() - before}
        assert left.isdisjoint({"get", "carry"})
        await until(lambda: app.open_count == 0)


@in_loop
async def test_who_takes_versions_slowly_holds_the_polls_back() -> None:
    """Else they would pile up: one that was taken, one that waits, and one that is put behind it."""
    app = application()
    async with (
        Running(app) as where,
        AltoClient(where) as alto,
        contextlib.aclosing(follow_together(alto, ["map"])) as all_,
    ):
        await anext(all_)
        for n in range(1, 4):
            await until(lambda: app.open_count == 1)
            await app.update(network_map(PID1={"ipv4": [f"192.0.{n}.0/24"]}))
        await until(lambda: app.open_count == 0)
        await asyncio.sleep(0.1)
        assert app.open_count == 0
        assert [len((await anext(all_)).keys()) for _ in range(3)] == [1, 1, 1]
