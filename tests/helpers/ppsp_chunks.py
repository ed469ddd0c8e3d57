"""Chunks of variable size for tests, and a swarm of them that is served from a thread."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

from interop.peer import SwarmPeer
from ppsp import PublishedChunks, SwarmUri


def random_records(count: int, seed: int = 1) -> list[bytes]:
    """Chunks of 1 to 900 octets."""
    chance = random.Random(seed)
    return [chance.randbytes(chance.randint(1, 900)) for _ in range(count)]


def silent(done: int, total: int) -> None:
    """Nobody looks at the progress."""


@contextlib.contextmanager
def served(published: PublishedChunks, **words: Any) -> Iterator[tuple[str, str]]:
    """The URI of a swarm, and the address as a word at which a source of it answers; `words` are of `SwarmPeer`."""
    uri = SwarmUri(published.metadata, name="records")
    ready, loop = threading.Event(), asyncio.new_event_loop()
    addresses: list[str] = []
    over = asyncio.Event()

    async def serve() -> None:
        try:
            async with SwarmPeer(uri, published.store, tree=published.tree, local=("127.0.0.1", 0), **words) as peer:
                addresses.append("{}:{}".format(*peer.local_address[:2]))
                ready.set()
                await over.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        ready.wait()
        yield str(uri), addresses[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
