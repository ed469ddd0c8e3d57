"""A tracker with its registrations across the network, for `interop.asgi`: it works in a thread that may wait for them.

The event loop of the HTTP server only hands requests over, and answers back. One thread, so one request after another:
who wants more starts more trackers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from attrs import define

from ppsp.tracker import Request as HttpRequest
from ppsp.tracker import Response, TrackerServer

MAX_WAITING = 1000
"""Requests that wait for the thread, each of up to 64 KiB: more than it answers before its clients give up on them
while the store hangs. Others get error 05 at once."""

logger = logging.getLogger(__name__)


@define(eq=False)
class _Answer:
    """An answer that is not there yet, as `interop.asgi` has it."""

    response: Response | None = None

    def disconnect(self, now: float) -> None:
        """The client is gone, or has its answer; what it asked is done either way."""


class ThreadedTracker:
    """`server` as a server for `interop.asgi`; `wake` has to become that of the adapter."""

    Request: ClassVar = HttpRequest

    def __init__(self, server: TrackerServer) -> None:
        self._server = server
        self.max_body = server.max_body
        self.wake: Callable[[], None] = lambda: None
        self._thread = ThreadPoolExecutor(1, "tracker")
        self._ready: deque[_Answer] = deque()
        self._waiting = 0
        self._is_in_timer = False

    def handle(
        self, request: HttpRequest, peer: tuple[str, int] | None, now: float, certificate: str | None = None
    ) -> _Answer | Response:
        """The answer, when the thread has it."""
        if self._waiting >= MAX_WAITING:
            return self._server.unavailable(request)
        answer = _Answer()
        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                response = self._server.handle(request, peer, now, certificate)
            except Exception:
                logger.exception("%s %r failed", request.method, request.target)
                response = self._server.internal_error(request)
            loop.call_soon_threadsafe(self._answered, answer, response)

        self._waiting += 1
        self._thread.submit(work)
        return answer

    def _answered(self, answer: _Answer, response: Response) -> None:
        answer.response = response
        self._waiting -= 1
        self._ready.append(answer)
        self.wake()

    def next_ready(self) -> _Answer | None:
        """An answer that is there now."""
        return self._ready.popleft() if self._ready else None

    def unavailable(self, request: HttpRequest) -> Response:
        """The answer to who still waits when the tracker ends."""
        return self._server.unavailable(request)

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None while the thread is at it."""
        return None if self._is_in_timer else self._server.get_timer()

    def handle_timer(self, now: float) -> None:
        """Let the thread remove peers whose time is up."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                self._server.handle_timer(now)
            finally:
                loop.call_soon_threadsafe(self._timer_handled)

        self._is_in_timer = True
        self._thread.submit(work)

    def _timer_handled(self) -> None:
        self._is_in_timer = False
        self.wake()
