"""An ASGI application in a thread of its own: the HTTP server goes on while it waits, for a ledger across the network.

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
    """The ASGI application `app` in a thread of its own, from the first time that it is called to `close`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = asyncio.get_running_loop()

        async def work() -> None:
            await self._app(scope, functools.partial(_across, here, receive), functools.partial(_across, here, send))

        await _across(self._running(), work)

    async def call(self, function: Callable[[], _T]) -> _T:
        """What a function returns that is called in the application's thread."""

        async def work() -> _T:
            return function()

        return await _across(self._running(), work)

    def close(self) -> None:
        """End the thread, when no request is under way."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="decade-server", daemon=True)
            self._thread.start()
        return self._loop


async def _across(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
    """Call a function in another loop."""

    async def call() -> _T:
        return await function(*arguments)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))
