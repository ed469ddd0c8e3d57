"""Durable uploads one after the other, each with all that makes it durable: what a store is measured against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from decade.names import name_of
from decade.ports import Row
from interop.decade_store import FileStore
from interop.decade_store._opening import INDEX
from interop.decade_store.disk import PosixDisk
from interop.decade_store.index import Index, insert
from interop.decade_store.settling import place
from interop.decade_store.store import FileSink


def row_of(octets: bytes) -> Row:
    return Row(account="a", name=name_of(octets), size=len(octets), payer=("a",), created=1, expires=None)


class Naive:
    """Content, name and row of an object, in this order, each on the disk before the next; then the next object."""

    def __init__(self, root: Path) -> None:
        FileStore(root, lost=print).close()
        self._disk, self._index = PosixDisk(root), Index(root / INDEX)

    def put(self, octets: bytes) -> None:
        row = row_of(octets)
        sink = FileSink(self._disk, row.name)
        sink.write(octets)
        fd = sink.finish(row)
        folder, name = place(row.name)
        self._disk.link(fd, folder, name)
        self._disk.sync_folder(folder)
        with self._index.database.transaction() as connection:
            insert(connection, row, "")
        self._disk.close(fd)

    def close(self) -> None:
        self._index.close()
        self._disk.shut()


def naive(root: Path) -> Callable[[Any, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]:
    """The same behind HTTP: an application that stores what is put, and asks for no token."""
    store = Naive(root)

    async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            store.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        parts, goes_on = [], True
        while goes_on:
            message = await receive()
            parts.append(message.get("body", b""))
            goes_on = message.get("more_body", False)
        store.put(b"".join(parts))
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return app
