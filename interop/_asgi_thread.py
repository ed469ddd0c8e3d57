"""An ASGI application in a thread of its own: the HTTP server goes on while it waits for a store across the network.

The application has an event loop in that thread, and all that it does is done there; what it receives and sends goes
across to the loop of the HTTP server.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from interop._asgi_parts import Receive, Scope, Send

_T = TypeVar("_T")
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ThreadedApp:
    """The ASGI application `app` in a thread that ends with the process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="tracker", daemon=True).start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = asyncio.get_running_loop()

        async def work() -> None:
            await self._app(scope, functools.partial(_across, here, receive), functools.partial(_across, here, send))

        await _across(self._loop, work)


async def _across(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
    """Call a function in another loop."""

    async def call() -> _T:
        return await function(*arguments)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))
