"""Clients that stall, dawdle and vanish, against update streams and TIPS served by uvicorn (trap 28, RFC 8895 10.1)."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import pytest
from alto_serving import running, wait_until
from alto_updates import Map, read_events

from alto import media
from alto._tips_views import TipsLimits
from alto._updates_stream import UpdateStream
from alto.directory import Directory, Document, Query
from alto.server import AltoServer
from alto.tips import TipsService
from alto.updates import UpdateStreamService
from interop import _asgi_streams, _http_limits
from interop.alto_server import AltoApp

LARGE = ["z" * 1000] * 24_000
"""Far more than the buffers of two sockets hold."""
OPENING = json.dumps({"add": {"m": {"resource-id": "map"}}}).encode()


def application(data: Any = "small", **limits: Any) -> AltoApp:
    services = [UpdateStreamService("updates", ["map"]), TipsService("tips", ["map"], limits=TipsLimits(**limits))]
    return AltoApp(AltoServer(Directory([Map("map", data)], services=services), epoch=1.7e9))


def post(path: str, kind: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: alto.example.com\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connect(url: str, request: bytes) -> socket.socket:
    """A connection that takes little from the network by itself."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(60)
    made.connect((urlsplit(url).hostname, urlsplit(url).port))
    made.sendall(request)
    return made


def vanish(connection: socket.socket) -> None:
    """End it by a reset, without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def streams_of(app: AltoApp) -> UpdateStreamService:
    service = app.server.directory.services["updates"]
    assert isinstance(service, UpdateStreamService)
    return service


def is_empty(app: AltoApp) -> bool:
    """Whether nothing is held any more for any client of an update stream."""
    service = streams_of(app)
    held = (service._streams, service._feeds, service._quiet, service._silent, service._ready)
    return app.open_count == 0 and service._octets == 0 and not any(held)


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The octets that wait in the server for a socket to take them, each time that anything is written."""
    found: list[int] = []
    real = _http_limits.LimitedHttpProtocol.pause_writing

    def noted(self: Any) -> None:
        found.append(self.transport.get_write_buffer_size())
        real(self)

    monkeypatch.setattr(_http_limits.LimitedHttpProtocol, "pause_writing", noted)
    return found


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The octets that are taken from update streams."""
    found: list[int] = []
    real = UpdateStream.data_to_send

    def counted(self: Any, now: float) -> bytes:
        data = real(self, now)
        found.append(len(data))
        return data

    monkeypatch.setattr(UpdateStream, "data_to_send", counted)
    return found


def test_clients_that_never_read_are_hung_up_on_and_hold_no_large_buffers(
    monkeypatch: pytest.MonkeyPatch, buffers: list[int], taken: list[int]
) -> None:
    monkeypatch.setattr(_http_limits, "WRITE_TIMEOUT", 1.0)
    app = application(LARGE)
    with running(app) as url, httpx.Client() as client:
        stalled = [connect(url, post("/updates", media.UPDATE_STREAM_PARAMS, OPENING)) for _ in range(8)]
        wait_until(lambda: len(buffers) >= 8)
        # Meanwhile the map changes, and others are served.
        app.submit(Map("map", [*LARGE, "y"])).result(60)
        assert client.get(f"{url}/").status_code == 200
        wait_until(lambda: is_empty(app))
        assert max(buffers) < 8 * _asgi_streams.PIECE
        assert sum(taken) < 8 * len(LARGE) * 1000 / 2
        for connection in stalled:
            connection.close()


def test_a_client_that_reads_an_octet_now_and_then_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http_limits, "WRITE_TIMEOUT", 1.0)
    app = application(LARGE)
    with running(app) as url:
        connection = connect(url, post("/updates", media.UPDATE_STREAM_PARAMS, OPENING))
        ended = threading.Event()

        def dawdle() -> None:
            try:
                while not ended.is_set():
                    connection.recv(1)
                    time.sleep(0.02)
            except OSError:
                pass

        thread = threading.Thread(target=dawdle)
        thread.start()
        wait_until(lambda: app.open_count == 1)
        wait_until(lambda: is_empty(app))
        ended.set()
        thread.join()
        connection.close()


def test_a_client_that_reads_slowly_but_steadily_gets_everything() -> None:
    app = application(LARGE[:2000])
    with running(app) as url:
        connection = connect(url, post("/updates", media.UPDATE_STREAM_PARAMS, OPENING))
        read = bytearray()
        while not read.endswith(b"\n\n\r\n") or read.count(b"event: ") < 2:
            read += connection.recv(16_384)
            time.sleep(0.001)
        vanish(connection)
        wait_until(lambda: is_empty(app))
    assert read.count(b"z") == 2000 * 1000


def test_clients_that_vanish_free_what_they_held() -> None:
    app = application(LARGE[:500])
    with running(app) as url:
        request = post("/updates", media.UPDATE_STREAM_PARAMS, OPENING)
        for turn in range(3):
            connections = [connect(url, request) for _ in range(40)]
            if turn:
                wait_until(lambda: app.open_count == 40)
            for place, connection in enumerate(connections):
                if place % 2:
                    connection.recv(10)
                vanish(connection)
            wait_until(lambda: is_empty(app))
            app.submit(Map("map", turn)).result(60)
        # A place that was not freed would be missing now.
        with (
            httpx.Client(timeout=60) as client,
            client.stream("POST", f"{url}/updates", content=OPENING, headers=KIND) as answer,
        ):
            assert answer.status_code == 200


KIND = {"Content-Type": media.UPDATE_STREAM_PARAMS}


def view_of(client: httpx.Client, url: str) -> str:
    """Open a view: its path."""
    opened = client.post(f"{url}/tips", json={"resource-id": "map"}, headers={"Content-Type": media.TIPS_PARAMS})
    return urlsplit(opened.json()["tips-view-uri"]).path


def test_polls_of_clients_that_vanish_make_room_for_others() -> None:
    app = application(polls=20)
    tips = app.server.directory.services["tips"]
    assert isinstance(tips, TipsService)
    with running(app) as url, httpx.Client(timeout=60) as client:
        view = view_of(client, url)
        request = f"GET {view}/ug/1/2 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        for _ in range(3):
            connections = [connect(url, request) for _ in range(20)]
            wait_until(lambda: app.open_count == 20)
            refused = client.get(f"{url}{view}/ug/1/2")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            for connection in connections:
                vanish(connection)
            wait_until(lambda: app.open_count == 0)
            assert not tips._polls.waiting()
            assert not tips._polls._by_client
        waiting = connect(url, request)
        wait_until(lambda: app.open_count == 1)
        app.submit(Map("map", "other")).result(60)
        assert waiting.recv(12) == b"HTTP/1.1 200"
        vanish(waiting)


def test_the_end_of_the_server_stops_every_substream_and_answers_every_poll() -> None:
    """RFC 8895 sections 4.1 and 7.6: who is cut off is told which updates end, and why."""
    app = application()
    answers: list[httpx.Response] = []
    with httpx.Client(timeout=60) as client:
        with running(app) as url:
            lines = stream_lines(client, url)
            read = [next(lines) for _ in range(6)]
            view = view_of(client, url)
            poll = threading.Thread(target=lambda: answers.append(client.get(f"{url}{view}/ug/1/2")))
            poll.start()
            wait_until(lambda: app.open_count == 2)
        read += list(lines)
        poll.join()
    events = read_events("".join(f"{line}\n" for line in read).encode())
    assert [event.event for event in events] == [
        media.UPDATE_STREAM_CONTROL,
        f"{media.NETWORK_MAP},m",
        media.UPDATE_STREAM_CONTROL,
    ]
    assert json.loads(events[-1].data) == {"stopped": ["m"], "description": "the server is going down"}
    assert (answers[0].status_code, answers[0].headers["retry-after"]) == (503, "5")


def test_streams_are_ended_from_another_thread_while_the_server_goes_on() -> None:
    app = application()
    with running(app, closing=Quiet()) as url, httpx.Client(timeout=60) as client:
        lines = stream_lines(client, url)
        for _ in range(6):
            next(lines)
        wait_until(lambda: app.open_count == 1)
        app.close("maintenance")
        assert "maintenance" in "".join(lines)
        wait_until(lambda: is_empty(app))
        assert client.get(f"{url}/map").status_code == 200


class Noting(Map):
    """A map that notes which thread asks it."""

    threads: ClassVar[list[int]] = []

    def answer(self, query: Query) -> Document:
        self.threads.append(threading.get_ident())
        return super().answer(query)


def test_what_takes_long_in_an_update_is_done_in_another_thread() -> None:
    """The event loop goes on meanwhile."""
    app = application()

    async def main() -> None:
        await app.update(Noting("map", LARGE))

    with running(app):
        loop = app._serving_loop()
        assert loop is not None
        serving = asyncio.run_coroutine_threadsafe(identity(), loop).result(60)
        asyncio.run_coroutine_threadsafe(main(), loop).result(60)
    assert Noting.threads
    assert serving not in Noting.threads


async def identity() -> int:
    return threading.get_ident()


class Quiet:
    """What is closed in place of the application."""

    def close(self) -> None:
        pass


def stream_lines(client: httpx.Client, url: str) -> Iterator[str]:
    with client.stream("POST", f"{url}/updates", content=OPENING, headers=KIND) as response:
        yield from response.iter_lines()
