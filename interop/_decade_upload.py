"""A PUT whose body is sent when the server wants it (RFC 9110 section 10.1.1), which httpx cannot: h11 over a stream.

A server checks the token and reserves the storage before it says 100 (Continue), so that what it refuses is never sent,
and what it refuses half-way is not sent further.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import h11

from decade.client_exchange import Exchange, Receiver, UnreachableError
from decade.http import Headers, Response

EXPECT_WAIT = 1.0
"""Seconds until the body is sent to a server, or a proxy, that does not know of expectations."""
_READ = 65536


async def upload(step: Exchange, parts: AsyncIterator[bytes], context: ssl.SSLContext, patience: float) -> Response:
    """The head of the answer, whose body has gone to the receiver. `patience`: seconds for each part, and the answer.

    Raises UnreachableError.
    """
    url = urlsplit(step.request.target)
    is_tls = url.scheme == "https"
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(
                url.hostname, url.port or (443 if is_tls else 80), ssl=context if is_tls else None
            )
    # UnicodeError: a host that begins like an international name and is none.
    except (OSError, UnicodeError, TimeoutError, ValueError) as error:
        raise UnreachableError(str(error) or "no connection in time") from error
    connection = _Connection(reader, writer, patience)
    try:
        return await connection.exchange(step, parts, url.netloc, f"{url.path or '/'}{url.query and '?' + url.query}")
    except (OSError, h11.ProtocolError, TimeoutError) as error:
        raise UnreachableError(str(error) or "no answer in time") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(EXPECT_WAIT):
                await writer.wait_closed()


class _Connection:
    """One exchange."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._http = h11.Connection(h11.CLIENT)
        self._continued = asyncio.Event()

    async def exchange(self, step: Exchange, parts: AsyncIterator[bytes], host: str, target: str) -> Response:
        fields: Headers = (("Host", host), ("Connection", "close"), *step.request.headers)
        await self._send(h11.Request(method=step.request.method, target=target, headers=list(fields)))
        answer = asyncio.ensure_future(self._answer())
        try:
            await self._when_wanted(answer)
            await self._send_body(parts, answer)
            async with asyncio.timeout(self._patience):
                return await self._receive(await answer, step.receiver)
        finally:
            answer.cancel()

    async def _receive(self, head: h11.Response, receiver: Receiver) -> Response:
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        response = Response(head.status_code, headers)
        is_wanted = receiver.start(response)
        while is_wanted:
            event = await self._event()
            is_wanted = isinstance(event, h11.Data) and receiver.feed(bytes(event.data))
        return response

    async def _when_wanted(self, answer: asyncio.Future[h11.Response]) -> None:
        """Until the server says that it wants the body, or why not, or nothing for a while."""
        continued = asyncio.ensure_future(self._continued.wait())
        both: set[asyncio.Future[Any]] = {answer, continued}
        await asyncio.wait(both, timeout=EXPECT_WAIT, return_when=asyncio.FIRST_COMPLETED)
        continued.cancel()

    async def _send_body(self, parts: AsyncIterator[bytes], answer: asyncio.Future[h11.Response]) -> None:
        """The body, as long as there is no answer yet; who closes before the end of it may have said why."""
        if answer.done():
            return
        with contextlib.suppress(ConnectionError):
            async for part in parts:
                await self._send(h11.Data(part))
                if answer.done():
                    return
            await self._send(h11.EndOfMessage())

    async def _answer(self) -> h11.Response:
        try:
            while not isinstance(event := await self._event(), h11.Response):
                self._continued.set()
        except (ConnectionError, h11.RemoteProtocolError) as error:
            raise UnreachableError("the connection was closed, or was not HTTP, before an answer came") from error
        return event

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ))
        return event

    async def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(self._patience):
            await self._writer.drain()
