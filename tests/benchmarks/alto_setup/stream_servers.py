"""The servers of the benchmark of streams: an update for each line on standard input, a line of JSON when it is made.

    python stream_servers.py ours|bare|django [--pure]

`bare` and `django` write an event to each of their streams: what ours does besides finding out what has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

OPENED = b"event: open\ndata: {}\n\n"
EVENT = (
    b'event: application/json-patch+json,map\ndata: [{"op":"add","path":"/network-map/PID0/ipv4/0","value":"x"}]\n\n'
)


def on_lines(update: Callable[[str], None]) -> None:
    """Make an update for each line, which may say of what, and print when its work began and ended."""

    def read() -> None:
        for line in sys.stdin:
            began = time.monotonic()
            update(line.strip())
            print(json.dumps({"began": began, "made": time.monotonic()}), flush=True)

    threading.Thread(target=read, daemon=True).start()


def ours() -> None:
    from alto_setup import data
    from alto_setup.serve import announce

    from alto.directory import Directory
    from alto.networkmap import NetworkMap, NetworkMapResource
    from alto.server import AltoServer
    from alto.updates import UpdateStreamService
    from interop.alto_server import AltoApp, serve

    whole = data.network_map()
    moved = {name: {kind: [*prefixes] for kind, prefixes in group.items()} for name, group in whole.pids.items()}
    prefix = moved["PID0"]["ipv4"].pop()
    moved["PID1"]["ipv4"].append(prefix)
    maps = [NetworkMap(moved), whole]
    directory = Directory(
        [NetworkMapResource("map", whole)],
        services=[UpdateStreamService("updates", ["map"])],
        default_network_map="map",
    )
    app = AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))

    def update(_: str) -> None:
        maps.append(maps.pop(0))
        app.submit(NetworkMapResource("map", maps[-1])).result()

    on_lines(update)
    serve(app, loop="uvloop", started=announce)


class Broadcast:
    """Gives what is sent to all that wait, each once a change."""

    def __init__(self) -> None:
        self._changed: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._changed is None:
            self._changed = self._loop.create_future()
        await asyncio.shield(self._changed)

    def send(self, _: str) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)


def bare() -> None:
    from alto_setup.serve import run

    broadcast = Broadcast()

    async def app(
        scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": OPENED, "more_body": True})
        while True:
            await broadcast.wait()
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})

    on_lines(broadcast.send)
    run(app)


def django_site() -> None:
    import django
    from alto_setup.serve import run
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, StreamingHttpResponse
    from django.urls import path

    broadcast = Broadcast()

    async def events() -> AsyncIterator[bytes]:
        yield OPENED
        while True:
            await broadcast.wait()
            yield EVENT

    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(events(), content_type="text/event-stream")

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], SECRET_KEY="of a benchmark")
    django.setup()
    urlpatterns[:] = [path("updates", stream)]
    on_lines(broadcast.send)
    run(get_asgi_application())


urlpatterns: list[Any] = []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("server", choices=["ours", "bare", "django"])
    parser.add_argument("--pure", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from alto_setup.serve import hide_extras

    if arguments.pure:
        hide_extras()
    {"ours": ours, "bare": bare, "django": django_site}[arguments.server]()


if __name__ == "__main__":
    main()
