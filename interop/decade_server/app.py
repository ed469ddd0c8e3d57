"""A DECADE server as an ASGI application.

The server is asked on the head of a request alone. A body is received only for an upload, so that a client that waits
for 100 (Continue) sends none in vain; an object is sent as the scheduler grants it. What takes time is run in a thread
and resumed in the loop, whatever has become of the client. An answer that breaks off before its Content-Length is how a
client learns that it failed: the HTTP server closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from decade.arrivals import Joining
from decade.errors import ErrorCode
from decade.http import Headers, Request, Response, plain_response, problem_response
from decade.problem import Problem
from decade.waiting import Waiting
from interop._asgi_parts import CLOSE, Application, Receive, Scope, Send, Timer, encoded, hang_up, headers_of, target_of
from interop.decade_server._heads import Asked, Heads
from interop.decade_server._line import Incoming, Line, join
from interop.decade_server._stalls import Stalls
from interop.decade_server.front import Front, asked_about, is_question
from interop.decade_server.origin import Proxies

if TYPE_CHECKING:
    from decade._pace import PacedUpload
    from decade.server import Answer, Server

THREADS = 32
"""Calls that wait for a medium at a time: those of a store of files share their transactions, and the others wait."""
DRAIN = 2**20
"""Octets of a body that is refused which are read in vain, so that the connection stays."""
LINGER = 2.0
"""Seconds for which longer ones are read (RFC 9112 section 9.6): whoever still writes when the connection is closed is
told of that by a reset, and may never see the answer."""

SET_EVERY = 1.0
"""Seconds after which the server is told what the clock says: a machine that has slept must not take old tokens."""

_BODIES = frozenset({"PUT", "POST", "PATCH"})


class Background(Protocol):
    """What goes on beside the requests, from when the application starts to when it stops. `arm` looks after the timer
    of the server, which is another one when something waits for the line.
    """

    def start(self, arm: Callable[[], None]) -> None: ...
    async def close(self) -> None: ...


class DecadeApp(Application):
    """The ASGI application of a server, which is used in the event loop alone.

    `clock` is where its `now` comes from, in seconds. `proxies` say where requests come from. Tokens that came over
    plain HTTP from another machine are refused (RFC 7069 section 8.2), unless `is_insecure_allowed`. `wall`: the Unix
    time, which the server is told once a second. `transfers`: what moves objects between servers. `front`: which of the
    `proxies` send the files of objects themselves.
    """

    def __init__(
        self,
        server: Server,
        *,
        clock: Callable[[], float] = time.monotonic,
        proxies: Proxies | None = None,
        is_insecure_allowed: bool = False,
        wall: Callable[[], float] | None = None,
        transfers: Background | None = None,
        front: Front | None = None,
    ) -> None:
        self.server = server
        self._clock = clock
        self._wall = wall
        self._is_set_at = float("-inf")
        self._proxies = proxies or Proxies()
        self._is_insecure_allowed = is_insecure_allowed
        self._transfers = transfers
        self._front = front
        self._timer = Timer(self._get_timer, self._handle_timer, clock)
        self._stalls = Stalls(self._timer.arm_at)
        self._heads = Heads()
        self._line = Line(server, clock, self._timer.arm)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decade")
        self._calls: set[asyncio.Future[None]] = set()

    def _start(self) -> None:
        # The server knows from now on when it has started.
        self._handle_timer()
        if self._transfers is not None:
            self._transfers.start(self._timer.arm)

    async def _stop(self) -> None:
        if self._transfers is not None:
            await self._transfers.close()
        self._timer.cancel()
        while self._calls:
            await asyncio.wait(self._calls)
        self._pool.shutdown()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = self._heads.key(scope)
        asked = self._heads.get(head)
        if asked is not None:
            known = self.server.recall(asked.request, asked.peer, self._now(), head=asked.head)
            if known is not None:
                try:
                    await send(asked.start(known))
                    await send({"type": "http.response.body", "body": known.body})
                except OSError:
                    return
                return
        answer: Any
        answer, asked = self._ask(scope)
        # A client that is gone is no error of anybody's.
        with contextlib.suppress(OSError):
            while isinstance(answer, Waiting | Joining):
                answer = await self._wait(answer, receive)
            if type(answer) is not Response:
                await self._receive(answer, scope, receive, send)
            elif scope["method"] in _BODIES and _is_body_long(scope):
                await self._refuse(answer, scope, receive, send)
            else:
                is_object = answer.status == 200
                if self._front is not None and self._proxies.is_trusted(_peer(scope)):
                    told = self._told(self._front, answer, scope)
                    if asked is not None:
                        asked.tell(answer, told)
                    answer = told
                if is_object and head is not None and asked is not None:
                    self._heads.add(head, asked)
                await self._send(answer, receive, send)

    def _told(self, front: Front, answer: Response, scope: Scope) -> Response:
        """What a web server in front is told instead of an answer. Raises ConnectionError if it must not be sent."""
        answer = front.hand_over(answer, self._clock())
        return front.verdict(answer) if is_question(scope["path"]) else answer

    def _ask(self, scope: Scope) -> tuple[Answer | Waiting[Answer], Asked | None]:
        """The answer, and what it is one to if that was looked at."""
        method, target, headers = scope["method"], target_of(scope), headers_of(scope)
        if self._front is not None and is_question(target) and self._proxies.is_trusted(_peer(scope)):
            method, target, headers = asked_about(method, target, headers)
        if "dt=" in target:
            # A token: the HTTP server logs the query when the answer begins.
            parts = scope["query_string"].split(b"&")
            scope["query_string"] = b"&".join(part for part in parts if not part.startswith(b"dt="))
        origin = self._proxies.origin(_peer(scope), scope["scheme"], headers)
        if not (origin.is_safe or self._is_insecure_allowed) and (
            "dt=" in target or any(name == "authorization" for name, _ in headers)
        ):
            return _UNSAFE, None
        asked = Asked(Request(method, target, headers), origin.peer)
        return self.server.handle(asked.request, asked.peer, self._now()), asked

    def _now(self) -> float:
        now = self._clock()
        if self._wall is not None and now >= self._is_set_at + SET_EVERY:
            self._is_set_at = now
            self.server.set_clock(self._wall(), now)
        return now

    async def _send(self, answer: Response, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": answer.status, "headers": _encoded(answer.headers)}
        body = answer.body
        if isinstance(body, bytes):
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        try:
            with self._stalls.watch(self._clock()) as progress:
                await send(start)
                await self._line.send(body, send, receive, progress)
        finally:
            body.close(self._clock())

    async def _refuse(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer before the body is whole, and read no more of it than the client needs to see the answer."""
        assert isinstance(answer.body, bytes)
        headers = [field for field in encoded(answer.headers) if field != CLOSE] + hang_up(scope)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                # Who waits for 100 (Continue) sends nothing.
                goes_on = all(name != b"expect" for name, _ in scope["headers"])
                while goes_on:
                    goes_on = (await receive()).get("more_body", False)
        await send({"type": "http.response.body", "body": b""})

    async def _receive(self, upload: PacedUpload, scope: Scope, receive: Receive, send: Send) -> None:
        """The body of a request, and the answer to it."""
        try:
            answer, is_whole = await self._body(upload, receive)
        except BaseException:
            upload.abort(self._clock())
            raise
        if not is_whole:
            assert answer is not None
            await self._refuse(answer, scope, receive, send)
            return
        if answer is None:
            answer = await self._settle(upload.finish(self._clock()))
        self._timer.arm()
        await self._send(answer, receive, send)

    async def _body(self, upload: PacedUpload, receive: Receive) -> tuple[Response | None, bool]:
        """The answer if there is one already, and whether all has come. Raises ConnectionError."""
        goes_on = True
        with self._stalls.watch(self._clock()) as progress, contextlib.closing(Incoming(receive)) as incoming:
            self._timer.arm()
            while goes_on:
                message = await incoming.next()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                now = self._clock()
                progress.touch(now)
                goes_on = message.get("more_body", False)
                if octets := message.get("body", b""):
                    answer = upload.feed(octets, now)
                    if answer is not None:
                        return answer, not goes_on
                    await self._line.pay(upload, len(octets), incoming, progress)
        if not goes_on:
            return None, True
        # It has stalled, as the server knows.
        now = self._clock()
        answer = upload.feed(b"", now)
        upload.abort(now)
        return answer or plain_response(408), False

    async def _wait(self, answer: Waiting[Any] | Joining[Any], receive: Receive) -> Any:
        """Wait for an answer, or for what is to be waited for next. Raises ConnectionError when the client is gone."""
        if isinstance(answer, Waiting):
            return await self._settle(answer)
        self._timer.arm()
        return await join(answer, receive, self._clock)

    async def _settle(self, answer: Any) -> Any:
        """Do what an answer waits for. It is done to the end even when this is cancelled."""
        while isinstance(answer, Waiting):
            call = self._run(answer)
            try:
                await asyncio.shield(call)
            except asyncio.CancelledError:
                call.add_done_callback(functools.partial(self._go_on, answer))
                raise
            answer = answer.resume(self._clock())
        return answer

    def _run(self, waiting: Waiting[Any]) -> asyncio.Future[None]:
        call = asyncio.get_running_loop().run_in_executor(self._pool, waiting.run)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    def _go_on(self, waiting: Waiting[Any], call: asyncio.Future[None]) -> None:
        """What an answer waited for is done, and nobody is there for it."""
        now = self._clock()
        answer = waiting.resume(now)
        if isinstance(answer, Waiting):
            self._run(answer).add_done_callback(functools.partial(self._go_on, answer))
        elif isinstance(answer, Response):
            if not isinstance(answer.body, bytes):
                answer.body.close(now)
        elif isinstance(answer, Joining):
            answer.cancel(now)
        elif answer is not None:
            answer.abort(now)
        self._timer.arm()

    def _get_timer(self) -> float | None:
        times = (self.server.get_timer(), self._stalls.get_timer())
        return min((time for time in times if time is not None), default=None)

    def _handle_timer(self) -> None:
        now = self._now()
        self._stalls.handle_timer(now)
        waiting = self.server.handle_timer(now)
        if waiting is not None:
            self._run(waiting).add_done_callback(functools.partial(self._go_on, waiting))
        self._line.grant()
        self._timer.arm()


def _peer(scope: Scope) -> tuple[str, int] | None:
    client = scope.get("client")
    return (client[0], client[1]) if client else None


@functools.lru_cache(1024)
def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Objects that are fetched often have the same fields each time."""
    return encoded(headers)


def _is_body_long(scope: Scope) -> bool:
    """Whether a body is not worth to be read in vain, or will not come when the answer does."""
    length = b""
    for name, value in scope["headers"]:
        if name in (b"transfer-encoding", b"expect"):
            return True
        if name == b"content-length":
            length = value
    return length.isdigit() and int(length) > DRAIN


_UNSAFE = problem_response(
    Problem(code=ErrorCode.CLIENT_NOT_PERMITTED, title="a token came over plain HTTP: revoke it, and use HTTPS")
)
