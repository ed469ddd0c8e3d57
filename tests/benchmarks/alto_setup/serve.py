"""One of the servers that are measured, on a port of its own, until SIGTERM: a line of JSON says where.

    python serve.py ours|bare|django|socket [--pure] [--answers FILE]

`ours` is `interop.alto_server.serve` with uvicorn[standard]'s loop and parser; `--pure` hides numpy and orjson from it.
`bare` and `socket` answer every request to a path with the octets that the file has for it: the first is an ASGI
application in the same uvicorn, the second a protocol that does no more than find where a request ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn

Answers = Mapping[str, tuple[int, list[tuple[str, str]], bytes]]
"""Status, header fields and body, by what the request says (`key_of`)."""


def hide_extras() -> None:
    """Let numpy and orjson not be there."""
    for name in ("numpy", "orjson"):
        sys.modules[name] = None  # type: ignore[assignment]


def key_of(target: str, *, gzip: bool, conditional: bool) -> str:
    """What tells requests apart that have different answers."""
    return f"{target}{' gzip' * gzip}{' if-none-match' * conditional}"


def ours() -> None:
    from alto_setup import data

    from alto.costmap import CostMapResource
    from alto.costoffers import CostOffer
    from alto.directory import Directory
    from alto.endpointcost import EndpointCostResource
    from alto.networkmap import NetworkMapResource
    from alto.server import AltoServer
    from alto.types import CostType
    from interop.alto_server import AltoApp, serve

    routing = CostType("numerical", "routingcost")
    directory = Directory(
        [
            NetworkMapResource("map", data.network_map()),
            CostMapResource("costs", "map", "routing", routing, data.costs()),
            EndpointCostResource("ecs", {"routing": CostOffer(routing, "costs")}, network_map="map"),
        ],
        default_network_map="map",
    )
    app = AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))
    serve(app, loop="uvloop", started=announce)


def announce(url: str) -> None:
    print(json.dumps({"url": url}), flush=True)


def run(app: Any) -> None:
    """Uvicorn as it is, without a log."""

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            announce(f"http://127.0.0.1:{port}/")

    config = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    Announcing(config).run()


def bare(answers: Answers) -> None:
    encoded = {
        key: (status, [(name.lower().encode(), value.encode()) for name, value in headers], body)
        for key, (status, headers, body) in answers.items()
    }

    async def app(
        scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        fields = dict(scope["headers"])
        target = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        key = key_of(target, gzip=b"accept-encoding" in fields, conditional=b"if-none-match" in fields)
        status, headers, body = encoded[key]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    run(app)


class Socket(asyncio.Protocol):
    """Answers with octets that are ready."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self._answers = answers
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self._head.find(b"Content-Length: ")
            length = int(self._head[at + 16 : self._head.index(b"\r", at)]) if at >= 0 else 0
            self._missing = end + 4 + length - len(self._head)
        else:
            self._missing -= len(data)
        if not self._missing:
            target = self._head.split(b" ", 2)[1].decode()
            gzip, conditional = b"Accept-Encoding" in self._head, b"If-None-Match" in self._head
            self._head = b""
            self._transport.write(self._answers[key_of(target, gzip=gzip, conditional=conditional)])


def socket(answers: Answers) -> None:
    import uvloop

    async def main() -> None:
        ready = {}
        for key, (status, headers, body) in answers.items():
            lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers)]
            ready[key] = "\r\n".join([*lines, "", ""]).encode() + body
        server = await asyncio.get_running_loop().create_server(lambda: Socket(ready), "127.0.0.1", 0)
        announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await server.serve_forever()

    uvloop.run(main())


def django() -> None:
    from alto_setup.django_app import application

    run(application())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("server", choices=["ours", "bare", "django", "socket"])
    parser.add_argument("--pure", action="store_true")
    parser.add_argument("--answers", type=Path)
    arguments = parser.parse_args()
    if arguments.pure:
        hide_extras()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    match arguments.server:
        case "ours":
            ours()
        case "django":
            django()
        case "bare":
            bare(pickle.loads(arguments.answers.read_bytes()))
        case "socket":
            socket(pickle.loads(arguments.answers.read_bytes()))


if __name__ == "__main__":
    main()
