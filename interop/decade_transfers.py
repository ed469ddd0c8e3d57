"""Transfers between DECADE servers over HTTP: what a server's book of transfers asks for is done here.

Requests go by httpcore, without what a browser would add: no redirects, no cookies, no proxies of the environment, no
compression. The book says when to give up; an exchange that it closes is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import httpcore

from decade.http import Response
from decade.transfer import Exchange
from decade.transfer_states import Trouble
from decade.waiting import Waiting
from interop._asgi_parts import Timer
from interop.decade_addresses import AddressPolicy, CheckedBackend, ForbiddenAddressError, Resolver, resolve

if TYPE_CHECKING:
    from decade.transfer_book import Transfers

PIECE = 65536
"""Octets that are read from the store and sent at once."""
IDLE = 10.0
"""Seconds that a connection is kept for the next object of a transfer."""
THREADS = 16
"""Objects that are opened, or stored, at a time: as many writes to a disk are committed together."""
_SENDING = "http11.send_request_headers.started"

logger = logging.getLogger(__name__)


def client_tls(ca: str | None = None) -> ssl.SSLContext:
    """TLS 1.3 towards remote servers, whose names are verified. `ca`: a file of certificates besides the system's."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    # RFC 7069 section 6.2.1: tokens are confidential.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class TransferRunner:
    """Does the transfers of a server, in the event loop in which that is used."""

    def __init__(
        self,
        transfers: Transfers,
        *,
        clock: Callable[[], float] = time.monotonic,
        policy: AddressPolicy | None = None,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`transfers`: `Server.transfers`. `clock`: that of the server. `policy`: which addresses may be asked."""
        self._transfers = transfers
        self._clock = clock
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or client_tls(),
            # The book says how many there are, and so how many are kept.
            max_connections=None,
            keepalive_expiry=IDLE,
            network_backend=CheckedBackend(policy or AddressPolicy(), resolver),
        )
        self._timer = Timer(transfers.get_timer, self._handle_timer, clock)
        # The exchange of each task, None while it waits for our own store, which is not to be interrupted.
        self._tasks: dict[asyncio.Task[None], Exchange | None] = {}
        # Whatever else the process does in threads does not keep our own store waiting.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="decade-transfer")
        self._is_open = False
        self._arm_server: Callable[[], None] | None = None
        self._changed = asyncio.Event()

    def start(self, arm: Callable[[], None] | None = None) -> None:
        """Begin, in the running loop. `arm` looks after the timer of the server, which is another one when a transfer
        waits for the line.
        """
        self._is_open = True
        self._arm_server = arm
        loop = asyncio.get_running_loop()
        self._transfers.wake = partial(loop.call_soon_threadsafe, self.kick)
        self.kick()

    def kick(self) -> None:
        """Something has changed: begin what has a place, and hang up what nobody wants any more."""
        if not self._is_open:
            return
        self._changed.set()
        self._changed = asyncio.Event()
        for task, exchange in self._tasks.items():
            if exchange is not None and not exchange.is_open:
                task.cancel()
        while (following := self._transfers.next_request(self._clock())) is not None:
            task = asyncio.get_running_loop().create_task(self._carry(following))
            self._tasks[task] = None
            task.add_done_callback(self._ended)
        self._timer.arm()

    async def close(self) -> None:
        """Hang up, and wait for what is being stored."""
        self._is_open = False
        self._timer.cancel()
        for task, exchange in self._tasks.items():
            if exchange is not None:
                task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.aclose()
        self._threads.shutdown()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a transfer failed", exc_info=error)
        self.kick()

    def _handle_timer(self) -> None:
        self._transfers.handle_timer(self._clock())
        self.kick()

    async def _carry(self, following: Exchange | Waiting[Exchange | None]) -> None:
        exchange: Exchange | None = await self._settle(following)
        while exchange is not None and self._is_open:
            exchange = await self._do(exchange)
        if exchange is not None:
            exchange.fail(Trouble.CUT, self._clock())

    async def _do(self, exchange: Exchange) -> Exchange | None:
        """One exchange; the one to go on with."""
        trouble = Trouble.CUT
        self._watch(exchange)
        try:
            return await self._ask(exchange)
        except ForbiddenAddressError:
            trouble = Trouble.FORBIDDEN
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            trouble = Trouble.UNREACHABLE
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
            pass
        finally:
            exchange.fail(trouble, self._clock())
            self._timer.arm()
        return None

    async def _ask(self, exchange: Exchange) -> Exchange | None:
        async def trace(event: str, info: dict[str, Any]) -> None:
            if event == _SENDING:
                exchange.connected(self._clock())
                self._timer.arm()

        request = exchange.request
        async with self._pool.stream(
            request.method,
            request.target,
            headers=list(request.headers),
            content=self._body(exchange) if exchange.length else None,
            extensions={"trace": trace},
        ) as answer:
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
            waiting = exchange.receive_head(Response(answer.status, headers), self._clock())
            following: Exchange | None = await self._settle(waiting)
            if following is None or not exchange.is_open:
                return following
            self._watch(following)
            async for octets in answer.aiter_stream():
                following.receive_data(octets, self._clock())
                await self._turn(following)
                if not following.is_open:
                    return None
        await self._settle(following.receive_end(self._clock()))
        return None

    async def _body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        while octets := exchange.read(PIECE, self._clock()):
            yield octets
            await self._turn(exchange)

    async def _turn(self, exchange: Exchange) -> None:
        """Wait for the line."""
        while exchange.is_paused:
            if self._arm_server is not None:
                self._arm_server()
            await self._changed.wait()

    def _watch(self, exchange: Exchange | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = exchange

    async def _settle(self, answer: Any) -> Any:
        """Do what an answer waits for; nobody interrupts that."""
        self._watch(None)
        while isinstance(answer, Waiting):
            await asyncio.get_running_loop().run_in_executor(self._threads, answer.run)
            answer = answer.resume(self._clock())
        self._timer.arm()
        return answer
