"""A tracker with its registrations across the network, for `interop.asgi`: it works in a thread that may wait for them.

The event loop of the HTTP server only hands requests over, and answers back. All requests that have come while the
thread waited are carried out together, so that it waits only once for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from attrs import define, frozen

from ppsp.tracker import Incoming, Response, TrackerServer
from ppsp.tracker import Request as HttpRequest

MAX_BATCH = 32
"""Requests that are carried out together: enough that the way to the store is of no matter; few enough that what comes
back for them, some 100 records of peers of up to 7 KiB each, stays below 25 MB."""
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


@frozen
class _Handed:
    """A request for the thread."""

    incoming: Incoming
    now: float
    answer: _Answer


class ThreadedTracker:
    """`server` as a server for `interop.asgi`; `wake` has to become that of the adapter."""

    Request: ClassVar = HttpRequest

    def __init__(self, server: TrackerServer) -> None:
        self._server = server
        self.max_body = server.max_body
        self.wake: Callable[[], None] = lambda: None
        self._thread = ThreadPoolExecutor(1, "tracker")
        self._lock = threading.Lock()
        self._queue: deque[_Handed] = deque()
        self._loop: asyncio.AbstractEventLoop
        """Where the last request came from, and answers go."""
        self._is_working = False
        """Whether the thread is at the queue, or about to be. With the queue under the lock."""
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
        self._waiting += 1
        with self._lock:
            self._queue.append(_Handed(Incoming(request, peer, certificate), now, answer))
            is_working, self._is_working = self._is_working, True
        self._loop = asyncio.get_running_loop()
        if not is_working:
            self._thread.submit(self._work)
        return answer

    def _work(self) -> None:
        """In the thread: carry out what is in the queue, and what comes meanwhile."""
        while True:
            with self._lock:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
                if not batch:
                    self._is_working = False
                    return
            answers = self._answers(batch)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._answered, batch, answers)

    def _answers(self, batch: Sequence[_Handed]) -> list[Response]:
        incoming = [one.incoming for one in batch]
        try:
            answers = self._server.handle_all(incoming, batch[-1].now)
        except Exception as error:  # noqa: BLE001 - told to all of them
            answers = [error] * len(batch)
        return [
            self._failed(one.request, answer) if isinstance(answer, Exception) else answer
            for one, answer in zip(incoming, answers, strict=True)
        ]

    def _failed(self, request: HttpRequest, error: Exception) -> Response:
        logger.error("%s %r failed", request.method, request.target, exc_info=error)
        return self._server.internal_error(request)

    def _answered(self, batch: Sequence[_Handed], responses: Sequence[Response]) -> None:
        for one, response in zip(batch, responses, strict=True):
            one.answer.response = response
            self._ready.append(one.answer)
        self._waiting -= len(batch)
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
