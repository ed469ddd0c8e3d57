"""`ietf-p2p fetch`: fetch a swarm into a file, verifying every chunk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import click

from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._live_fetch import LiveRequest, fetch_live
from interop.cli._options import JSON, LISTEN, TRACKER_LOGIN, UPLOAD_LIMIT, host_port, text_of
from interop.cli._peers import entered
from interop.cli._progress import Snapshot, display, duration, emit, note, octets
from interop.filestore import FileStore, PartialFile, PartialFileError
from interop.peer import SwarmPeer
from interop.resume import HeldContent
from interop.seeding import SeedError, hash_file, in_thread
from interop.tracker_login import Logins
from ppsp import RangeSet
from ppsp.errors import MetadataError
from ppsp.events import ChunksVerified, Event
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmUri

# Seconds between two updates of the display and of the journal: what a kill may cost to fetch again.
_FLUSH_SECONDS = 0.25


@attrs.frozen
class _Request:
    uri: SwarmUri
    output: Path
    listen: tuple[str, int]
    upload_limit: float | None
    peers: tuple[tuple[str, int], ...]
    logins: Logins | None
    seed_after: float
    timeout: float | None
    force: bool
    as_json: bool


def _swarm_uri(ctx: click.Context, param: click.Parameter, value: str) -> SwarmUri:
    try:
        return SwarmUri.parse(value)
    except MetadataError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command(
    epilog="Example:\n\n\b\n  ietf-p2p fetch 'magnet:?xt=urn:ppspp:1140…&tr=http%3A%2F%2F127.0.0.1%3A8700%2F' -o film"
)
@click.argument("uri", callback=_swarm_uri)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: the URI's name]")
@LISTEN
@UPLOAD_LIMIT
@click.option(
    "--peer", "peers", type=host_port, multiple=True, metavar="HOST:PORT", help="A peer to ask, besides the trackers'."
)
@TRACKER_LOGIN
@click.option("--seed-after", type=click.FloatRange(0), default=0, metavar="SECONDS", help="Serve on when complete.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Give up after this long.")
@click.option("--live", is_flag=True, help="The URI must be that of a live stream; FILE may be - for stdout.")
@click.option("--force", is_flag=True, help="Replace a file that is there and has other content.")
@JSON
def command(
    uri: SwarmUri,
    output: Path | None,
    listen: tuple[str, int],
    upload_limit: float | None,
    peers: tuple[tuple[str, int], ...],
    logins: Logins | None,
    seed_after: float,
    timeout: float | None,
    live: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Fetch the swarm that URI names into a file, from all its peers at once.

    Every chunk is verified. What arrives is kept in FILE.part: the same command, given again, goes on where a stop or a
    crash left it. A live stream is written from where it is now until it ends. Exit status: 0 complete and verified,
    1 not complete, 2 a mistake in the command.
    """
    if live and not uri.metadata.is_live:
        raise click.UsageError("--live: the URI is that of static content")
    if output is None:
        if uri.name is None:
            raise click.UsageError("the URI suggests no file name: say -o FILE")
        output = Path(uri.name)
    if not peers and not uri.trackers:
        raise click.UsageError("the URI names no tracker: say --peer HOST:PORT")
    if uri.metadata.is_live:
        return run(fetch_live(LiveRequest(uri, output, listen, upload_limit, peers, logins, timeout, force, as_json)))
    return run(_fetch(_Request(uri, output, listen, upload_limit, peers, logins, seed_after, timeout, force, as_json)))


async def _fetch(request: _Request) -> int:
    if request.output.exists():
        tree = await _verify_existing(request)
        if tree is not None:
            return await _already_there(tree, request)
    try:
        partial = PartialFile(request.output, request.uri, overwrite=request.force)
    except PartialFileError as exc:
        raise MistakeError(f"{exc} (--force starts anew)") from exc
    except OSError as exc:
        raise MistakeError(f"cannot write {exc.filename or request.output}: {reason(exc)}") from exc
    try:
        return await _Fetch(request, partial).run()
    finally:
        partial.discard_if_empty()
        partial.close()


async def _verify_existing(request: _Request) -> MerkleTree | None:
    """The tree of the output file when it is the swarm's content; None when it is not and may be replaced."""
    path, metadata = request.output, request.uri.metadata
    with display(f"verifying {path.name}", as_json=request.as_json) as shown:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                tree = await in_thread(
                    lambda progress: hash_file(fd, metadata.chunk_size, metadata.merkle_hash_function, progress),
                    lambda done, total: shown.show(Snapshot(done, total)),
                )
            finally:
                os.close(fd)
        except SeedError:
            tree = None
        except OSError as exc:
            raise MistakeError(f"{path}: {reason(exc)}") from exc
    if tree is not None and tree.root == metadata.swarm_id:
        return tree
    if request.force and path.is_file():
        return None
    if not path.is_file():
        raise MistakeError(f"{path} is not a regular file")
    raise MistakeError(f"{path} is there and has other content (--force replaces it)")


async def _already_there(tree: MerkleTree, request: _Request) -> int:
    size = request.output.stat().st_size
    _report(request, _Outcome(size, 0.0, size, 0), None)
    if request.seed_after:
        fd = os.open(request.output, os.O_RDONLY | os.O_CLOEXEC)
        try:
            peer = _peer(request, FileStore(fd), HeldContent(tree, RangeSet([(0, tree.chunk_count or 0)]), size, 0))
            async with entered(peer, request.listen):
                await _seed_on(peer, request)
        finally:
            os.close(fd)
    return 0


def _peer(
    request: _Request, store: FileStore, held: HeldContent, on_event: Callable[[Event], None] = lambda event: None
) -> SwarmPeer:
    return SwarmPeer(
        request.uri,
        store,
        tree=held.tree,
        have=held.have,
        content_size=held.content_size,
        local=request.listen,
        upload_rate=request.upload_limit,
        peers=request.peers,
        logins=request.logins,
        on_event=on_event,
    )


class _Fetch:
    """One run of the command on a part file."""

    def __init__(self, request: _Request, partial: PartialFile) -> None:
        self._request = request
        self._partial = partial

    async def run(self) -> int:
        request, partial = self._request, self._partial
        held = await self._resume()
        resumed = held.octets(request.uri.metadata.chunk_size)
        if held.content_size is not None and held.have.total == held.tree.chunk_count:
            await asyncio.to_thread(partial.finish, held.content_size)
            _report(request, _Outcome(held.content_size, 0.0, held.content_size, held.refused), None)
            if not request.seed_after:
                return 0
        peer = _peer(request, partial.store, held, self._on_event)
        async with entered(peer, request.listen):
            if partial.unfinished:
                started = time.monotonic()
                size = await self._follow(peer, held)
                seconds = time.monotonic() - started
                await asyncio.to_thread(partial.finish, size)
                _report(request, _Outcome(size, seconds, resumed, held.refused), peer)
            await _seed_on(peer, request)
        return 0

    async def _resume(self) -> HeldContent:
        started = time.monotonic()
        with display("verifying what is there", as_json=self._request.as_json) as shown:

            def report(done: int, total: int) -> None:
                shown.show(Snapshot(done, total, done / max(time.monotonic() - started, 1e-3)))

            try:
                held = await in_thread(self._partial.resume, report)
            except OSError as exc:
                raise FailureError(f"cannot read {self._partial.part}: {reason(exc)}") from exc
        if held.have or held.refused:
            found = octets(held.octets(self._request.uri.metadata.chunk_size))
            wrong = f", {held.refused} chunks are not right any more" if held.refused else ""
            note(f"resuming: {found} are there and verified{wrong}")
        return held

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ChunksVerified):
            self._partial.verified(event.start, event.stop)

    async def _follow(self, peer: SwarmPeer, held: HeldContent) -> int:
        """Show and journal the progress until the content is complete; returns its size."""
        request = self._request
        deadline = None if request.timeout is None else time.monotonic() + request.timeout
        waiter = asyncio.ensure_future(peer.completed())
        try:
            with display("fetching", as_json=request.as_json) as shown:
                while not waiter.done():
                    await asyncio.wait({waiter}, timeout=_FLUSH_SECONDS)
                    self._partial.flush(held.tree)
                    shown.show(_snapshot(peer))
                    if deadline is not None and time.monotonic() >= deadline and not waiter.done():
                        raise FailureError(f"not complete after {request.timeout:g} s: {self._kept(peer)}")
            return waiter.result()
        except OSError as exc:
            raise FailureError(f"cannot write {self._partial.part}: {reason(exc)}: {self._kept(peer)}") from exc
        finally:
            waiter.cancel()
            with contextlib.suppress(OSError):
                self._partial.flush(held.tree)

    def _kept(self, peer: SwarmPeer) -> str:
        done = _snapshot(peer)
        if not done.done:
            return f"nothing fetched, {peer.tally.connected} peers"
        share = "" if not done.total else f" ({100 * done.done / done.total:.1f} %)"
        return f"{octets(done.done)}{share} kept, the same command goes on from there"


def _snapshot(peer: SwarmPeer) -> Snapshot:
    stats, size = peer.stats, peer.uri.metadata.chunk_size
    total = stats.content_size
    if total is None and stats.chunk_count is not None:
        total = stats.chunk_count * size
    done = stats.chunks_held * size
    return Snapshot(done if total is None else min(done, total), total, peer.tally.download_rate, peer.tally.connected)


async def _seed_on(peer: SwarmPeer, request: _Request) -> None:
    if not request.seed_after:
        return
    note(f"serving on {text_of(peer.local_address)} for {duration(request.seed_after)}, Ctrl-C stops")
    end = time.monotonic() + request.seed_after
    with display("seeding", as_json=request.as_json) as shown:
        while (left := end - time.monotonic()) > 0:
            shown.show(Snapshot(peer.tally.sent, None, peer.tally.upload_rate, peer.tally.connected))
            await asyncio.sleep(min(left, _FLUSH_SECONDS))


@attrs.frozen
class _Outcome:
    """A complete file: its size, the seconds that fetching took, and what was there before."""

    size: int
    seconds: float
    resumed: int
    refused_on_disk: int


def _report(request: _Request, outcome: _Outcome, peer: SwarmPeer | None) -> None:
    """Say how it went: one line, or one JSON object."""
    exchanges = {} if peer is None else peer.tally.exchanges
    received = sum(exchange.received for exchange in exchanges.values())
    others = sum(exchange.received for exchange in exchanges.values() if not exchange.source)
    refused = sum(exchange.refused for exchange in exchanges.values())
    fetched = outcome.size - outcome.resumed
    rate = fetched / outcome.seconds if outcome.seconds else 0.0
    if request.as_json:
        peers = [
            {"address": text_of(address), "octets": one.received, "source": bool(one.source), "refused": one.refused}
            for address, one in exchanges.items()
        ]
        emit(
            "complete",
            file=str(request.output),
            octets=outcome.size,
            resumed=outcome.resumed,
            seconds=round(outcome.seconds, 3),
            octets_per_second=round(rate),
            share_from_peers=round(others / received, 4) if received else None,
            chunks_refused=refused,
            chunks_refused_on_disk=outcome.refused_on_disk,
            peers=peers,
        )
        return
    parts = [f"{octets(outcome.size)} complete and verified"]
    if outcome.resumed:
        parts.append(f"{octets(outcome.resumed)} of it were there")
    if fetched:
        parts.append(f"{outcome.seconds:.1f} s, {rate / 1e6:.2f} MB/s")
    if received:
        givers = sum(1 for one in exchanges.values() if one.received)
        parts.append(f"{100 * others / received:.0f} % from peers that were fetching too, {givers} in all")
    parts.append(f"{refused} chunks failed verification")
    click.echo(f"{request.output}: {', '.join(parts)}")
