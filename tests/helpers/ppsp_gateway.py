"""A gateway on loopback to a swarm that one source serves, both in a thread, and foreign clients to meet it with."""

import asyncio
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from interop._http_server import bind, url
from interop.gateway import Gateway, GatewayServer
from interop.peer import SwarmPeer
from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, SwarmUri, hash_chunks
from ppsp.store import MemoryStore

LOCAL = ("127.0.0.1", 0)
CHUNK = 1024


class Playing:
    """What a test needs of a running gateway. `base` is its address, `url` that of the content."""

    def __init__(
        self, content: bytes, name: str, rate: float | None, words: dict[str, Any], *, sourceless: bool, liar: bool
    ) -> None:
        self.content = content
        tree = MerkleTree.from_leaves(hash_chunks(content, CHUNK, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
        self.uri = SwarmUri(SwarmMetadata(tree.root), name=name)
        stores = [] if sourceless else [MemoryStore(content)]
        if liar:
            stores.append(MemoryStore(bytes(octet ^ 1 for octet in content)))
        self._sources = [
            SwarmPeer(self.uri, store, tree=tree, content_size=len(content), local=LOCAL, upload_rate=rate)
            for store in stores
        ]
        self._words = words
        self.base = self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for source in self._sources:
                await stack.enter_async_context(source)
            peers = [source.local_address for source in self._sources]
            self.peer = SwarmPeer(self.uri, MemoryStore(), local=LOCAL, peers=peers)
            await stack.enter_async_context(self.peer)
            self.gateway = Gateway(self.peer, **self._words)
            self._server = GatewayServer(self.gateway)
            with bind(*LOCAL) as listener:
                self.base = url(listener, "http").removesuffix("/")
                self.url = self.base + self.gateway.path
                self._ready.set()
                await self._server.serve(sockets=[listener])

    @contextlib.contextmanager
    def running(self) -> Iterator["Playing"]:
        """For as long as the block lasts."""
        self._thread.start()
        try:
            assert self._ready.wait(60), "the gateway did not start"
            yield self
        finally:
            self._server.should_exit = True
            self._thread.join()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call something in the gateway's thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def set_rate(self, rate: float | None) -> None:
        """Let the source send faster or slower."""
        endpoint = self._sources[0]._endpoint
        self.call(lambda: endpoint.set_upload_rate(rate))

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` says."""
        found: dict[str, Any] = httpx.get(self.base + "/stats").json()
        return found

    def held(self, first: int, last: int) -> int:
        """How many of these chunks are there."""
        return int(self.call(lambda: sum(self.peer.held_until(chunk) > chunk for chunk in range(first, last + 1))))

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the statistics are so."""
        deadline = time.monotonic() + 60
        while not condition(stats := self.stats()):
            if time.monotonic() > deadline:
                raise TimeoutError(json.dumps(stats))
            time.sleep(0.01)
        return stats


def playing(
    content: bytes,
    name: str = "film.mp4",
    *,
    rate: float | None = None,
    sourceless: bool = False,
    liar: bool = False,
    **words: Any,
) -> contextlib.AbstractContextManager[Playing]:
    """A gateway to a swarm of `content`, whose source sends `rate` octets a second at most; a `liar` sends others."""
    return Playing(content, name, rate, words, sourceless=sourceless, liar=liar).running()


def curl(*words: str) -> bytes:
    """What curl writes."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *words]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
