"""Answers that go on, over ASGI: streams written as their octets come, and long polls (see `interop.asgi`)."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from interop._asgi_parts import Message, Receive, Send, encoded

WRITE_TIMEOUT = 35.0
"""Seconds in which a client has to make room for a piece of a stream. It is longer than `interop._http_limits` waits,
which ends the connection itself: all that can be done here is to write no more."""
PIECE = 2**16
"""Octets written at once: what lies in buffers for a client that reads slowly is a few pieces, and not a whole map."""


class HttpResponse(Protocol):
    """What a server answers with."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Iterable[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...


class HttpStream(Protocol):
    """An answer whose body goes on after its head."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Iterable[tuple[str, str]]: ...
    @property
    def is_finished(self) -> bool: ...
    def data_to_send(self, now: float) -> bytes: ...
    def disconnect(self, now: float) -> None: ...


class HttpPending(Protocol):
    """An answer that is not there yet."""

    @property
    def response(self) -> HttpResponse | None: ...
    def disconnect(self, now: float) -> None: ...


class _Exchange:
    """One answer that goes on, and what can end the wait for more of it."""

    __slots__ = ("event", "is_gone")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.is_gone = False


class Exchanges:
    """Every answer of one server that goes on. `wake` is called whenever the server has been given anything.

    `arm` looks after the server's timer, which is another one after a stream was asked for what it has.
    """

    def __init__(self, server: object, clock: Callable[[], float], arm: Callable[[], None]) -> None:
        self._arm = arm
        self._next_ready: Callable[[], object] | None = getattr(server, "next_ready", None)
        self._clock = clock
        # By identity: the answer lives as long as its exchange.
        self._open: dict[int, _Exchange] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._open)

    def wake(self) -> None:
        """Let those go on whose answers have something new."""
        if self._next_ready is None:
            return
        while (ready := self._next_ready()) is not None:
            exchange = self._open.get(id(ready))
            if exchange is not None:
                exchange.event.set()

    def close(self) -> None:
        """End every stream where it stands, and every long poll without its answer."""
        self._is_closing = True
        for exchange in self._open.values():
            exchange.event.set()

    def reopen(self) -> None:
        """Serve again."""
        self._is_closing = False

    async def stream(self, stream: HttpStream, receive: Receive, send: Send) -> None:
        """Write a stream until it ends, its client is gone or too slow, or the server is closed."""
        with self._exchange(stream, receive) as exchange:
            headers = encoded(stream.headers)
            await _write(send, {"type": "http.response.start", "status": stream.status, "headers": headers})
            while not exchange.is_gone:
                exchange.event.clear()
                data = stream.data_to_send(self._clock())
                if data:
                    await _write_pieces(send, data, exchange)
                elif stream.is_finished or self._is_closing:
                    await _write(send, {"type": "http.response.body", "body": b""})
                    return
                else:
                    self._arm()
                    await exchange.event.wait()

    async def pending(self, pending: HttpPending, receive: Receive) -> HttpResponse | None:
        """The response, as soon as it is there; None where the client is gone or the server is closed before."""
        with self._exchange(pending, receive) as exchange:
            while pending.response is None and not exchange.is_gone and not self._is_closing:
                exchange.event.clear()
                await exchange.event.wait()
            return None if exchange.is_gone else pending.response

    @property
    def is_closing(self) -> bool:
        """Whether the server has been closed."""
        return self._is_closing

    @contextlib.contextmanager
    def _exchange(self, answer: HttpStream | HttpPending, receive: Receive) -> Iterator[_Exchange]:
        exchange = self._open[id(answer)] = _Exchange()
        watcher = asyncio.ensure_future(_watch(receive, exchange))
        try:
            yield exchange
        except (OSError, TimeoutError):
            pass  # gone, or too slow
        finally:
            watcher.cancel()
            del self._open[id(answer)]
            answer.disconnect(self._clock())
            self.wake()


async def _watch(receive: Receive, exchange: _Exchange) -> None:
    """Notice that the client hangs up."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        exchange.is_gone = True
        exchange.event.set()


async def _write_pieces(send: Send, data: bytes, exchange: _Exchange) -> None:
    for at in range(0, len(data), PIECE):
        if at:
            await asyncio.sleep(0)
        if exchange.is_gone:
            return
        await _write(send, {"type": "http.response.body", "body": data[at : at + PIECE], "more_body": True})


async def _write(send: Send, message: Message) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT):
        await send(message)
