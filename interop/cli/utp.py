"""`ietf-p2p utp`: a file from one host to another over uTP, which yields to other traffic."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs
import click

from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import JSON, host_port, text_of
from interop.cli._progress import Snapshot, display, emit, note, octets
from interop.utp import open_connection, start_server

_PIECE = 1024 * 1024
"""Octets from and to the disk at once."""
_SHOW_SECONDS = 0.25
_GRACE = 2.0
"""Seconds that the receiver waits for the sender to hear that everything is on disk: the sender may be gone."""


@click.group("utp", epilog="Example:\n\n\b\n  ietf-p2p utp recv -l [::]:7000 -o film.mp4")
def command() -> None:
    """Send a file over uTP (BEP 29): at full speed when the network is idle, out of the way when it is not."""


@command.command("send", epilog="Example:\n\n\b\n  ietf-p2p utp send film.mp4 192.0.2.1:7000")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("address", type=host_port, metavar="HOST:PORT")
@click.option(
    "--connect-timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="[default: 30 seconds]"
)
@JSON
def send(file: Path, address: tuple[str, int], connect_timeout: float | None, as_json: bool) -> int:
    """Send FILE to whoever listens at HOST:PORT.

    Ends when the receiver says that it has everything. Exit status: 0 received, 1 not, 2 a mistake in the command.
    """
    try:
        source = file.open("rb")
    except OSError as exc:
        raise MistakeError(f"{file}: {reason(exc)}") from exc
    with source:
        return run(_send(_Sending(file, source, address, connect_timeout, as_json)))


@command.command("recv", epilog="Example:\n\n\b\n  ietf-p2p utp recv --listen 0.0.0.0:7000 --output film.mp4")
@click.option(
    "-l", "--listen", type=host_port, required=True, metavar="HOST:PORT", help="Port 0 takes any, [::] IPv4 and IPv6."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Wait so long for a sender."
)
@JSON
def recv(listen: tuple[str, int], output: Path, force: bool, timeout: float | None, as_json: bool) -> int:
    """Wait for one sender (for as long as --timeout says), and write what it sends to FILE.

    FILE appears when it is complete. Exit status: 0 received, 1 not, 2 a mistake in the command.
    """
    if output.exists() and not (force and output.is_file()):
        raise MistakeError(f"{output}: there is such a file (--force replaces it)")
    with _part_of(output) as part:
        return run(_receive(_Receiving(listen, output, part, timeout, as_json)))


@attrs.frozen
class _Sending:
    path: Path
    source: BinaryIO
    address: tuple[str, int]
    connect_timeout: float | None
    as_json: bool


@attrs.frozen
class _Receiving:
    listen: tuple[str, int]
    output: Path
    part: BinaryIO
    timeout: float | None
    as_json: bool


@attrs.define
class _Count:
    """Octets that went through, since when, and their digest."""

    total: int | None
    done: int = 0
    started: float = attrs.Factory(time.monotonic)
    sha256: hashlib._Hash = attrs.Factory(hashlib.sha256)

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-6)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.done, self.total, self.done / self.seconds)

    def report(self, path: Path, peer: object, words: str, *, as_json: bool) -> None:
        """One line, or one JSON object."""
        rate = self.done / self.seconds
        if as_json:
            emit(
                "complete",
                file=str(path),
                peer=text_of(peer),
                octets=self.done,
                seconds=round(self.seconds, 3),
                octets_per_second=round(rate),
                sha256=self.sha256.hexdigest(),
            )
        else:
            click.echo(
                f"{path}: {octets(self.done)} {words} {text_of(peer)}, {self.seconds:.1f} s, {rate / 1e6:.2f} MB/s"
            )


async def _show(count: _Count, title: str, as_json: bool) -> None:
    """Show the progress until cancelled."""
    with display(title, as_json=as_json) as shown:
        while True:
            shown.show(count.snapshot())
            await asyncio.sleep(_SHOW_SECONDS)


@contextlib.asynccontextmanager
async def _shown(count: _Count, title: str, as_json: bool) -> AsyncIterator[None]:
    showing = asyncio.create_task(_show(count, title, as_json))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _send(request: _Sending) -> int:
    count = _Count(os.fstat(request.source.fileno()).st_size)
    where = text_of(request.address)
    try:
        reader, writer = await open_connection(*request.address, connect_timeout=request.connect_timeout)
    except OSError as exc:
        raise FailureError(f"{where}: {reason(exc)}") from exc
    try:
        async with _shown(count, f"sending {request.path.name}", request.as_json):
            await _write_all(request.source, writer, count)
            writer.write_eof()
            while await reader.read(_PIECE):
                pass  # only the end of the receiver's stream says something: that it has everything
        stats = writer.get_extra_info("stats")
        if stats is not None and stats.flight + stats.send_queue:
            raise FailureError(f"{where}: the receiver stopped before it had everything")
    except OSError as exc:
        # What drain raises says only that it is over.
        cause = reader.exception()
        raise FailureError(f"{where}: {reason(cause if isinstance(cause, OSError) else exc)}") from exc
    finally:
        writer.close()
    count.report(request.path, request.address, "received by", as_json=request.as_json)
    return 0


async def _write_all(source: BinaryIO, writer: asyncio.StreamWriter, count: _Count) -> None:
    while piece := await asyncio.to_thread(source.read, _PIECE):
        count.sha256.update(piece)
        writer.write(piece)
        await writer.drain()
        count.done += len(piece)
    if count.total is not None and count.done != count.total:
        count.total = count.done  # it is no regular file, or grew


async def _receive(request: _Receiving) -> int:
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if accepted.done():
            writer.transport.abort()
        else:
            accepted.set_result((reader, writer))
            server.close()

    try:
        server = await start_server(accept, *request.listen, limit=_PIECE)
    except OSError as exc:
        raise MistakeError(f"--listen {text_of(request.listen)}: {reason(exc)}") from exc
    try:
        listen = text_of(server.local_address)
        if request.as_json:
            emit("listening", listen=listen)
        else:
            note(f"listening on {listen}, Ctrl-C stops")
        reader, writer = await _first(accepted, request)
        await _read_all(reader, writer, request)
    finally:
        server.abort()
    return 0


async def _first(
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]], request: _Receiving
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(request.timeout):
            return await accepted
    except TimeoutError:
        raise FailureError(f"no sender after {request.timeout:g} s") from None


async def _read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: _Receiving) -> None:
    peer = writer.get_extra_info("peername")
    count = _Count(None)
    async with _shown(count, f"receiving {request.output.name}", request.as_json):
        while piece := await _next(reader, peer):
            try:
                await asyncio.to_thread(request.part.write, piece)
            except OSError as exc:
                raise FailureError(f"cannot write {request.output}: {reason(exc)}") from exc
            count.sha256.update(piece)
            count.done += len(piece)
    try:
        await asyncio.to_thread(_finish, request)
    except OSError as exc:
        raise FailureError(f"cannot write {request.output}: {reason(exc)}") from exc
    count.report(request.output, peer, "received from", as_json=request.as_json)
    # Our end of the stream tells the sender that the file is complete.
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_GRACE):
            await writer.wait_closed()


async def _next(reader: asyncio.StreamReader, peer: object) -> bytes:
    try:
        return await reader.read(_PIECE)
    except OSError as exc:
        raise FailureError(f"{text_of(peer)}: {reason(exc)}") from exc


@contextlib.contextmanager
def _part_of(output: Path) -> Iterator[BinaryIO]:
    """FILE.part, which is removed unless it became the file."""
    path = _part_path(output)
    try:
        part = path.open("wb")
    except OSError as exc:
        raise MistakeError(f"cannot write {path}: {reason(exc)}") from exc
    try:
        with part:
            yield part
    finally:
        path.unlink(missing_ok=True)


def _part_path(output: Path) -> Path:
    return output.with_name(output.name + ".part")


def _finish(request: _Receiving) -> None:
    request.part.flush()
    os.fsync(request.part.fileno())
    _part_path(request.output).replace(request.output)
