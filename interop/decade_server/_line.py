"""Downloads on their way to clients: sent as the scheduler grants it, and no faster than they are read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from decade.http import Download
from decade.scheduler import LONE_QUANTUM, Grant
from interop._asgi_parts import Receive, Send
from interop.decade_server._stalls import Progress

if TYPE_CHECKING:
    from decade.server import Server

WINDOW = LONE_QUANTUM
"""Octets that a download offers at a time: what is granted at once must not run out before it offers again, and what
is granted to a client that stops reading is lost to the others."""


class _Sending:
    """A download, and what it may send now."""

    __slots__ = ("credit", "is_gone", "turn")

    def __init__(self) -> None:
        self.credit = 0
        self.is_gone = False
        self.turn: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let it go on."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)

    async def wait(self) -> None:
        """Until it is woken."""
        self.turn = asyncio.get_running_loop().create_future()
        try:
            await self.turn
        finally:
            self.turn = None


class _Free:
    """A line without shares, until the server has a scheduler."""

    def __init__(self) -> None:
        self._offers: dict[Download, int] = {}

    def offer(self, download: Download, octets: int) -> None:
        self._offers[download] = self._offers.get(download, 0) + octets

    def withdraw(self, download: Download) -> None:
        self._offers.pop(download, None)

    def grant(self, now: float) -> Grant | None:
        if not self._offers:
            return None
        download, octets = self._offers.popitem()
        return Grant(download, octets)


class Line:
    """All downloads of a server in one event loop."""

    def __init__(self, server: Server, clock: Callable[[], float], arm: Callable[[], None]) -> None:
        """`arm`: looks after the server's timer, which is another one when somebody has to wait."""
        self._server: Any = server if hasattr(server, "grant") else _Free()
        self._clock = clock
        self._arm = arm
        self._sending: dict[Download, _Sending] = {}

    def __len__(self) -> int:
        """Downloads that go on."""
        return len(self._sending)

    def grant(self) -> None:
        """Let those go on whose turn it is."""
        now = self._clock()
        while (grant := self._server.grant(now)) is not None:
            sending = self._sending[grant.transfer]
            sending.credit += grant.octets
            sending.wake()

    async def send(self, body: Download, send: Send, receive: Receive, progress: Progress) -> None:
        """Send the whole body, or as much as can be. It is not closed here."""
        sending = self._sending[body] = _Sending()
        watcher: asyncio.Task[None] | None = None
        unsent, offered = body.length, 0
        try:
            while unsent:
                room = min(unsent, WINDOW) - offered
                if room:
                    self._server.offer(body, room)
                    offered += room
                    self.grant()
                if not sending.credit or unsent > sending.credit:
                    # Only who does not send all at once has to notice that the client hangs up.
                    watcher = watcher or asyncio.ensure_future(_watch(receive, sending))
                while not sending.credit and not sending.is_gone:
                    self._arm()
                    await sending.wait()
                if sending.is_gone:
                    return
                octets = body.read(sending.credit, self._clock())
                if len(octets) != sending.credit:
                    return
                unsent -= sending.credit
                offered -= sending.credit
                sending.credit = 0
                await send({"type": "http.response.body", "body": octets, "more_body": unsent > 0})
                progress.touch(self._clock())
                if unsent:
                    # It returns when the HTTP server would take more.
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
        finally:
            del self._sending[body]
            self._server.withdraw(body)
            if watcher is not None:
                watcher.cancel()


async def _watch(receive: Receive, sending: _Sending) -> None:
    """Notice that the client hangs up."""
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
    sending.is_gone = True
    sending.wake()
