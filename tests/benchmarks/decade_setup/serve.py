"""One of the servers that are measured, on a port of its own, until SIGTERM: a line of JSON says where.

    python serve.py ours|bare|naive [--answers FILE] [--max-requests N] [--root DIR]

`ours` is `DecadeApp` with objects in memory, under uvicorn with uvloop and httptools. `bare` answers each path with the
status, the header and the octets that the file has for it, in the same uvicorn. `naive` stores what is put, one object
after the other.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn

sys.path.insert(0, str(Path(__file__).parent.parent))
from decade_setup.tokens import ACCOUNT, SERVER, registered

Answers = Mapping[str, tuple[int, list[tuple[bytes, bytes]], bytes]]
"""Status, header fields and body, by path."""
Asgi = Callable[[Any, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]


def ours(**settings: Any) -> Any:
    """A server with one account."""
    from decade.ledger import MemoryQuotas
    from decade.messages import ResourcePolicy
    from decade.policy import PolicyTree
    from decade.server import Server
    from decade.settings import Settings
    from interop.decade_server import DecadeApp

    tree = PolicyTree(MemoryQuotas())
    tree.put((ACCOUNT,), ResourcePolicy(weight=1))
    server = Server(Settings(server=SERVER, **settings), registered().get, tree, epoch=time.time() - time.monotonic())
    return DecadeApp(server)


def bare(answers: Answers) -> Asgi:
    """An application that says what it is told to."""

    async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, headers, body = answers[scope["path"]]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def run(app: Any) -> None:
    """Uvicorn as it is, without a log."""

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)

    config = uvicorn.Config(
        app, port=0, loop="uvloop", http="httptools", ws="none", log_config=None, log_level="critical", access_log=False
    )
    Announcing(config).run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("ours", "bare", "naive"))
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--max-requests", type=int)
    parser.add_argument("--root", type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "ours":
        settings = {} if arguments.max_requests is None else {"max_requests": arguments.max_requests}
        run(ours(**settings))
    elif arguments.kind == "naive":
        from decade_setup.naive import naive

        run(naive(arguments.root))
    else:
        run(bare(pickle.loads(arguments.answers.read_bytes())))


if __name__ == "__main__":
    main()
