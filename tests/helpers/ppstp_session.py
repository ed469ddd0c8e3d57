"""Trackers on real sockets, and what sessions with them hear."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import uvicorn

from interop.asgi import asgi
from ppsp.tracker import ClientTiming, PeerMode, TrackerServer

SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
SWARM = bytes.fromhex("47a013e660d408619d894b20806b1d5086aab03b")
FAST = ClientTiming(first_find=0.02, find=0.05, report=0.05, first_retry=0.02, retry=0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def running(server: TrackerServer, port: int) -> AsyncIterator[str]:
    """The tracker on a real socket, in this event loop."""
    config = uvicorn.Config(asgi(server), host="127.0.0.1", port=port, log_level="error", ws="none")
    uvicorn_server = Quiet(config)
    task = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{port}/tracker"
    finally:
        uvicorn_server.should_exit = True
        await task


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


class Found:
    """What `on_peers` was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, list[tuple[str, int]]]] = []

    def __call__(self, swarm_id: bytes, addresses: list[tuple[str, int]]) -> None:
        self.calls.append((swarm_id, addresses))


def through(handler: Callable[[httpx.Request], Any]) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


async def parts(body: bytes) -> AsyncIterator[bytes]:
    yield body
