"""A DECADE server on a socket of this machine, and servers that answer with whatever octets a test says."""

import asyncio
import contextlib
import socket
import time

import uvicorn
from decade_server import KEYS
from decade_tokens import ACCOUNT, MAC

from decade.issuer import Issuer
from decade.ledger import MemoryQuotas
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.scope import ALL_OPERATIONS
from decade.server import Server
from decade.settings import Settings, default_limits
from interop.decade_server.app import DecadeApp


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def serving(*, policy=None, http="httptools", tls=(None, None), **settings):
    """The origin of a server in this event loop. `tls`: the files of a certificate and its key."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "http" if tls[0] is None else "https"
    origin = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    tree = PolicyTree(MemoryQuotas())
    tree.put((ACCOUNT,), policy or ResourcePolicy(weight=1))
    tree.put(("bob",), ResourcePolicy(weight=1))
    server = Server(
        Settings(server=origin, limits=default_limits(), **settings),
        KEYS.get,
        tree,
        epoch=time.time() - time.monotonic(),
    )
    config = uvicorn.Config(
        DecadeApp(server), http=http, log_level="error", ws="none", ssl_certfile=tls[0], ssl_keyfile=tls[1]
    )
    running = Quiet(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield origin
    finally:
        running.should_exit = True
        await task
        listener.close()


def manage(origin, operations=ALL_OPERATIONS, key=MAC):
    """A token of the key's account for everything at a server."""
    return [Issuer(key, (origin,)).manage(operations, wall=time.time())]


@contextlib.asynccontextmanager
async def saying(*answers, heads=None):
    """The origin of a server that says these octets, one answer a connection, the last one again and again.

    `heads`: where it puts what it has read before. An answer that is a function gets the streams.
    """
    count, tasks = 0, []

    async def connected(reader, writer):
        nonlocal count
        tasks.append(asyncio.current_task())
        answer = answers[min(count, len(answers) - 1)]
        count += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(head)
            if callable(answer):
                await answer(reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def said(body=b"", status="200 OK", *fields, length=None):
    """The octets of an answer."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body
