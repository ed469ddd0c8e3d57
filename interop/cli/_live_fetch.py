"""`ietf-p2p fetch --live`: write a live stream to a file or to stdout, from the tune-in point on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import attrs

from interop.chunk_sizes import may_replace, sizes_path
from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._peers import entered
from interop.cli._pex import Pex
from interop.cli._progress import Snapshot, display, emit, note, octets
from interop.live import LivePeer
from interop.nat import NatSettings
from interop.tracker_login import Logins
from ppsp.events import Event, MunroRefused
from ppsp.live import MunroVerdict
from ppsp.metadata import SwarmUri

_SHOW_SECONDS = 0.5


@attrs.frozen
class LiveRequest:
    """What to watch, and where to: `output` is a path, or `-` for stdout. `timeout` is in seconds without octets."""

    uri: SwarmUri
    output: Path
    listen: tuple[str, int]
    upload_limit: float | None
    peers: tuple[tuple[str, int], ...]
    logins: Logins | None
    nat: NatSettings | None
    max_datagram: int | None
    pex: Pex
    timeout: float | None
    force: bool
    as_json: bool


async def fetch_live(request: LiveRequest) -> int:
    """Watch until the broadcast ends, or Ctrl-C. Returns the exit status."""
    if request.as_json and str(request.output) == "-":
        raise MistakeError("stdout cannot hold both the stream and --json: say -o FILE")
    listed = _check_list(request)
    told = False

    def heard(event: Event) -> None:
        nonlocal told
        if isinstance(event, MunroRefused) and event.reason == MunroVerdict.TOO_OLD.value and not told:
            told = True
            note("a peer's newest signature is older than 30 s: the broadcast is over, or one of the clocks is wrong")

    peer = LivePeer(
        request.uri,
        local=request.listen,
        upload_rate=request.upload_limit,
        peers=request.peers,
        logins=request.logins,
        nat=request.nat,
        max_datagram=request.max_datagram,
        exchange=request.pex.exchange(request.uri.metadata),
        on_event=heard,
    )
    async with entered(peer, request.listen, request.pex), _sink(request) as write:
        with _listing(listed) as written:
            total = await _copy(request, peer, write, written)
        exchange = peer.stats.exchange
    skipped = peer.stream.skipped
    if request.as_json:
        emit("ended", octets=total, chunks_skipped=skipped, exchange=attrs.asdict(exchange))
    else:
        note(f"the broadcast has ended: {octets(total)}, {skipped} chunks were not to be had")
    return 0


def _check_list(request: LiveRequest) -> Path | None:
    """Where the sizes of the chunks are listed as they are written; None where they do not vary, or `output` is a pipe.

    By the list the recording can be served as static content (RFC 7574 section 6.1.2.1). Raises MistakeError where it
    would take the place of another file.
    """
    output = request.output
    if not request.uri.metadata.is_variable or str(output) == "-" or (output.exists() and not output.is_file()):
        return None
    listed = sizes_path(output)
    try:
        if request.force or may_replace(listed):
            return listed
    except OSError as exc:
        raise MistakeError(f"{listed}: {reason(exc)}") from exc
    raise MistakeError(
        f"{listed}, where the sizes of the chunks are to be listed, is another file (--force replaces it)"
    )


@contextlib.contextmanager
def _listing(listed: Path | None) -> Iterator[Callable[[Sequence[bytes]], None]]:
    """What is told of the chunks that are written: the list grows with them, so that a crash leaves it, too."""
    if listed is None:
        yield lambda chunks: None
        return
    try:
        file = listed.open("wb", buffering=0)
    except OSError as exc:
        raise MistakeError(f"{listed}: {reason(exc)}") from exc
    with file:
        yield lambda chunks: _write_all(file.fileno(), b"".join(b"%d\n" % len(chunk) for chunk in chunks))


async def _copy(
    request: LiveRequest,
    peer: LivePeer,
    write: Callable[[bytes], Awaitable[None]],
    written: Callable[[Sequence[bytes]], None],
) -> int:
    """Write what comes, and tell `written` of it; returns the octets."""
    total, shown_at, shown_total = 0, time.monotonic(), 0
    with display("watching", as_json=request.as_json) as shown:
        while True:
            try:
                async with asyncio.timeout(request.timeout):
                    chunks = await peer.read_chunks()
            except TimeoutError as exc:
                raise FailureError(f"nothing came for {request.timeout:g} s: {octets(total)} until then") from exc
            if not chunks:
                return total
            data = b"".join(chunks)
            try:
                await write(data)
                written(chunks)
            except BrokenPipeError:
                raise
            except OSError as exc:
                raise FailureError(f"cannot write {request.output}: {reason(exc)}") from exc
            total += len(data)
            now = time.monotonic()
            if now - shown_at >= _SHOW_SECONDS:
                rate = (total - shown_total) / (now - shown_at)
                shown_at, shown_total = now, total
                shown.show(Snapshot(total, None, rate, peer.tally.connected))


@contextlib.asynccontextmanager
async def _sink(request: LiveRequest) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Where the octets go. A pipe whose reader is slow holds up the reading, not the serving of peers."""
    if str(request.output) == "-":
        fd = os.dup(sys.stdout.fileno())
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if request.force else os.O_EXCL)
        try:
            fd = os.open(request.output, flags, 0o666)
        except FileExistsError as exc:
            raise MistakeError(f"{request.output}: is there already (--force replaces it)") from exc
        except OSError as exc:
            raise MistakeError(f"{request.output}: {reason(exc)}") from exc
    with os.fdopen(fd, "wb", buffering=0) as file:
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
        except ValueError:  # no pipe: a file takes what it is given
            yield lambda data: asyncio.to_thread(_write_all, file.fileno(), data)
            return
        writer = asyncio.StreamWriter(transport, protocol, None, loop)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()
            if transport.is_closing():
                raise BrokenPipeError

        try:
            yield write
            await writer.drain()
        finally:
            transport.close()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
