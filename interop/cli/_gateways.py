"""What the commands that open a gateway have in common: they serve it, say where it is, and run a player."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import attrs
import click

from interop._gateway_base import GatewayBase, GatewayServer
from interop._http_server import Listener, url
from interop._lifetime import with_us
from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._progress import emit, note


@attrs.frozen
class Showing:
    """How the gateway is shown: where it listens, the player to run, whether to open its page in the browser."""

    listener: Listener
    player: str | None
    opens: bool
    as_json: bool

    async def run(self, gateway: GatewayBase, work: Coroutine[Any, Any, None], **more: Any) -> None:
        """Serve `gateway` until the player ends, or `work` where there is none; `more` is for those who read JSON."""
        async with _serving(gateway, self.listener) as server:
            where = url(self.listener, "http")
            content = where.removesuffix("/") + gateway.path
            if self.as_json:
                emit("playing", url=content, page=where, stats=f"{where}stats", **more)
            else:
                print(content, flush=True)
            note(f"give this URL to a player, or open {where} in a browser; Ctrl-C stops")
            if self.opens:
                click.launch(where)
            tasks = [asyncio.create_task(work)]
            if self.player is not None:
                tasks.append(asyncio.create_task(_run_player(self.player, content)))
            try:
                done, _ = await asyncio.wait({*tasks, server}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if server not in done and tasks[-1] not in done:
                    # What the player was given last is still on its way to it.
                    done, _ = await asyncio.wait({tasks[-1], server}, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _serving(gateway: GatewayBase, listener: Listener) -> AsyncIterator[asyncio.Task[None]]:
    """The gateway listens."""
    listens = asyncio.Event()
    server = GatewayServer(gateway, started=listens.set)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await listens.wait()
        yield task
    finally:
        server.should_exit = True
        await asyncio.wait({task})


async def _run_player(player: str, content: str) -> None:
    """Run the player until it ends."""
    try:
        words = shlex.split(player)
        process = await asyncio.create_subprocess_exec(*words, content, preexec_fn=with_us())
    except (OSError, ValueError) as exc:
        raise MistakeError(f"--player {player}: {reason(exc) if isinstance(exc, OSError) else exc}") from exc
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()
    if status:
        raise FailureError(f"the player ended with status {status}")
