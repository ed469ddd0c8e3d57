"""Bodies on the line of a server: they go and come as the scheduler grants it, and no faster than they are read."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from decade.scheduler import LONE_QUANTUM
from interop._asgi_parts import Message, Receive, Send
from interop.decade_server._stalls import Progress

if TYPE_CHECKING:
    from decade._pace import PacedUpload
    from decade.arrivals import Joining
    from decade.server import Server

WINDOW = LONE_QUANTUM
"""Octets that a download asks for at a time: they must outlast the grants of one turn of the loop, and what is granted
to a client that stops reading is lost to the others."""
_NOTHING = {"type": "http.response.body", "body": b"", "more_body": True}


class _Flow:
    """A body that waits for its turn, or has: `credit` octets may be moved. It is over when it can go no further."""

    __slots__ = ("_turn", "credit", "is_over")

    def __init__(self) -> None:
        self.credit = 0
        self.is_over = False
        self._turn: asyncio.Future[None] | None = None

    def end(self) -> None:
        """It can go no further."""
        self.is_over = True
        self._wake()

    def add(self, octets: int) -> None:
        """It may move so many octets more."""
        self.credit += octets
        self._wake()

    async def take(self) -> int:
        """Wait for octets, and return how many there are; none when it is over."""
        while not (self.credit or self.is_over):
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn
        octets, self.credit = self.credit, 0
        return 0 if self.is_over else octets

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


class Incoming:
    """The messages of a body, in their order."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: asyncio.Future[Message] | None = None

    async def next(self) -> Message:
        """The next one."""
        ahead, self._ahead = self._ahead, None
        return await (self._receive() if ahead is None else ahead)

    def look_ahead(self, gone: Callable[[], None]) -> None:
        """Receive the next one while something else is waited for; `gone` is called if the client is."""

        def look(message: asyncio.Future[Message]) -> None:
            if not message.cancelled() and (message.exception() or message.result()["type"] == "http.disconnect"):
                gone()

        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._receive())
        self._ahead.add_done_callback(look)

    def close(self) -> None:
        """No other one is wanted."""
        if self._ahead is not None:
            self._ahead.cancel()


class Line:
    """All bodies of a server in one event loop."""

    def __init__(self, server: Server, clock: Callable[[], float], arm: Callable[[], None]) -> None:
        """`arm`: looks after the server's timer, which is another one when somebody has to wait."""
        self._server: Any = server
        self._clock = clock
        self._arm = arm
        # By the body: those that the server was asked to let go on, and that cannot all go at once.
        self._flows: dict[Any, _Flow] = {}

    def grant(self) -> None:
        """Let those go on whose turn it is."""
        now = self._clock()
        while (grant := self._server.grant(now)) is not None:
            flow = self._flows.get(grant.transfer)
            if flow is None:
                continue  # it has ended meanwhile
            if grant.octets:
                flow.add(grant.octets)
            else:
                flow.end()

    async def send(self, body: Any, send: Send, receive: Receive, progress: Progress) -> None:
        """Send a whole download, or as much of it as can be. It is not closed here."""
        now = self._clock()
        granted = self._server.take(body, min(body.length, WINDOW), now)
        if granted < body.length:
            await self._send_in_parts(body, granted, send, receive, progress)
            return
        # Who sends all at once need not notice that the client hangs up.
        octets = body.read(granted, now)
        if len(octets) == granted:
            await send({"type": "http.response.body", "body": octets})

    async def _send_in_parts(self, body: Any, granted: int, send: Send, receive: Receive, progress: Progress) -> None:
        flow = self._flows[body] = _Flow()
        watcher = asyncio.ensure_future(_watch(receive, flow))
        unsent, waiting = body.length, 0 if granted else min(body.length, WINDOW)
        try:
            while True:
                if not granted:
                    granted = await self._turn(flow, progress)
                    waiting -= granted
                octets = body.read(granted, self._clock())
                if not granted or len(octets) != granted:
                    return
                unsent -= granted
                await send({"type": "http.response.body", "body": octets, "more_body": unsent > 0})
                if not unsent:
                    return
                # It returns when the HTTP server would take more.
                await send(_NOTHING)
                # A connection that is broken takes everything at once: only the loop notices that it is.
                await asyncio.sleep(0)
                if flow.is_over:
                    return
                now = self._clock()
                progress.touch(now)
                granted = 0
                if not waiting:
                    asked = min(unsent, WINDOW)
                    granted = self._server.take(body, asked, now)
                    waiting = 0 if granted else asked
        finally:
            del self._flows[body]
            watcher.cancel()

    async def pay(self, upload: PacedUpload, octets: int, incoming: Incoming, progress: Progress) -> None:
        """Wait until as many octets may come as have come. Raises ConnectionError when the upload has to end."""
        owed = octets
        while owed and (taken := self._server.take(upload, owed, self._clock())):
            owed -= taken
        if not owed:
            return
        flow = self._flows[upload] = _Flow()
        incoming.look_ahead(flow.end)
        try:
            while owed:
                paid = await self._turn(flow, progress)
                if not paid:
                    raise ConnectionError
                owed -= paid
        finally:
            del self._flows[upload]

    async def _turn(self, flow: _Flow, progress: Progress) -> int:
        """Wait for the line, which is not to be held against the client."""
        progress.pause()
        self.grant()
        self._arm()
        granted = await flow.take()
        progress.touch(self._clock())
        return granted


async def join(joining: Joining[Any], receive: Receive, clock: Callable[[], float]) -> Any:
    """Wait for an object that is on its way: the answer, or what to wait for next.

    Raises ConnectionError when the client is gone.
    """
    flow = _Flow()
    joining.subscribe(functools.partial(flow.add, 1))
    watcher = asyncio.ensure_future(_watch(receive, flow))
    try:
        if await flow.take():
            return joining.resume(clock())
        raise ConnectionError
    finally:
        joining.cancel(clock())
        watcher.cancel()


async def _watch(receive: Receive, flow: _Flow) -> None:
    """Notice that the client hangs up."""
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
    flow.end()
