"""Where a live stream comes from: a file, standard input, or whoever sends to a TCP or UDP port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

__all__ = ["LiveSourceError", "live_source", "paced"]

# Octets of one read: a munro's worth at the usual 32 chunks of 1 KiB.
_PIECE = 32_768
# Datagrams that wait to be taken in; more are dropped, as the kernel would.
_WAITING = 1_024
# Paced input goes out in pieces of this many seconds, so that it flows.
_TICK = 0.02


class LiveSourceError(Exception):
    """The source cannot be opened, or not without more being said; the text is one line."""


async def live_source(name: str, bits_per_second: float | None) -> AsyncGenerator[bytes, None]:
    """The octets of `name` as they come: a file, `-`, `tcp://HOST:PORT` or `udp://HOST:PORT` to listen on.

    A file is there all at once, so it needs `bits_per_second`; the others come at their own pace unless that is given.
    TCP ends with its first connection, UDP never. Raises LiveSourceError.
    """
    parts = urlsplit(name)
    try:
        if parts.scheme in ("tcp", "udp"):
            source = _listening(parts.scheme, parts.hostname or "", parts.port)
        else:
            source = await _opened(name, bits_per_second)
    except OSError as exc:
        raise LiveSourceError(f"{name}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise LiveSourceError(f"{name}: {exc}") from exc
    return source if bits_per_second is None else paced(source, bits_per_second, whole=parts.scheme == "udp")


async def paced(
    source: AsyncGenerator[bytes, None], bits_per_second: float, *, whole: bool
) -> AsyncGenerator[bytes, None]:
    """The same octets, no faster than that: evenly, and without making up for a pause of the source.

    `whole` leaves together what came together, since a datagram may be a chunk.
    """
    due = time.monotonic()
    tick = max(int(bits_per_second / 8 * _TICK), 1)
    async for data in source:
        piece = max(len(data), 1) if whole else tick
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            now = time.monotonic()
            due = max(due, now - _TICK) + len(part) * 8 / bits_per_second
            yield part
            if due > now:
                await asyncio.sleep(due - now)


async def _opened(name: str, bits_per_second: float | None) -> AsyncGenerator[bytes, None]:
    """Raises OSError, and LiveSourceError for a file without a rate."""
    if name == "-":
        fd = os.dup(sys.stdin.fileno())
    else:
        # Without O_NONBLOCK a pipe would block until somebody writes.
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(fd, "rb", buffering=0)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd)):  # /dev/zero is as patient as a file
        if bits_per_second is None:
            file.close()
            raise LiveSourceError(f"{name}: a file has no pace of its own: say --rate, in bits a second")
        return _file(file)
    if stat.S_ISDIR(mode):
        file.close()
        raise LiveSourceError(f"{name}: is a folder")
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return _stream(reader, transport)


async def _file(file: Any) -> AsyncGenerator[bytes, None]:
    with file:
        while data := await asyncio.to_thread(file.read, _PIECE):
            yield data


async def _stream(reader: asyncio.StreamReader, transport: asyncio.BaseTransport) -> AsyncGenerator[bytes, None]:
    with contextlib.closing(transport):
        while data := await reader.read(_PIECE):
            yield data


def _listening(scheme: str, host: str, port: int | None) -> AsyncGenerator[bytes, None]:
    if not host or port is None:
        raise LiveSourceError(f"{scheme}://HOST:PORT is due, an address of this machine to listen on")
    return _tcp(host, port) if scheme == "tcp" else _udp(host, port)


async def _tcp(host: str, port: int) -> AsyncGenerator[bytes, None]:
    """Raises LiveSourceError at the first step when the address cannot be bound."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if accepted.done():
            writer.close()  # a stream has one source
        else:
            accepted.set_result((reader, writer))

    try:
        server = await asyncio.start_server(accept, host, port)
    except OSError as exc:
        raise LiveSourceError(f"tcp://{host}:{port}: {exc.strerror or exc}") from exc
    async with server:
        reader, writer = await accepted
        try:
            while data := await reader.read(_PIECE):
                yield data
        except ConnectionError:
            return
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)

    def datagram_received(self, data: bytes, addr: object) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.queue.put_nowait(data)


async def _udp(host: str, port: int) -> AsyncGenerator[bytes, None]:
    """Raises LiveSourceError at the first step when the address cannot be bound."""
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(_Datagrams, (host, port))
    except OSError as exc:
        raise LiveSourceError(f"udp://{host}:{port}: {exc.strerror or exc}") from exc
    with contextlib.closing(transport):
        while True:
            yield await protocol.queue.get()
