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

from interop.cli._copies import (
    FLUSH_SECONDS,
    WholeCopy,
    finish,
    open_partial,
    output_of,
    resume,
    snapshot,
    swarm_uri,
    verify_existing,
)
from interop.cli._errors import FailureError, reason, run
from interop.cli._live_fetch import LiveRequest, fetch_live
from interop.cli._options import (
    JSON,
    LISTEN,
    MAX_DATAGRAM,
    PEERS,
    UPLOAD_LIMIT,
    nat_options,
    text_of,
    tracker_options,
)
from interop.cli._peers import entered
from interop.cli._pex import Pex, pex_options
from interop.cli._progress import Snapshot, display, duration, emit, note, octets
from interop.filestore import PartialFile
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from interop.resume import HeldContent
from interop.tracker_login import Logins
from ppsp.events import ChunksVerified, Event
from ppsp.metadata import SwarmUri
from ppsp.ports import ChunkStore, VariableStore
from ppsp.stats import ExchangeStats


@attrs.frozen
class _Request:
    uri: SwarmUri
    output: Path
    listen: tuple[str, int]
    upload_limit: float | None
    peers: tuple[tuple[str, int], ...]
    logins: Logins | None
    nat: NatSettings | None
    max_datagram: int | None
    pex: Pex
    seed_after: float
    timeout: float | None
    force: bool
    as_json: bool


@click.command(
    epilog="Example:\n\n\b\n  ietf-p2p fetch 'magnet:?xt=urn:ppspp:1140…&tr=http%3A%2F%2F127.0.0.1%3A8700%2F' -o film"
)
@click.argument("uri", callback=swarm_uri)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: the URI's name]")
@LISTEN
@UPLOAD_LIMIT
@PEERS
@tracker_options
@nat_options
@MAX_DATAGRAM
@pex_options(publishes=False)
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
    nat: NatSettings | None,
    max_datagram: int | None,
    pex: Pex,
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
    output = output_of(uri, output)
    if not peers and not uri.trackers:
        raise click.UsageError("the URI names no tracker: say --peer HOST:PORT")
    if uri.metadata.is_live:
        watched = LiveRequest(
            uri, output, listen, upload_limit, peers, logins, nat, max_datagram, pex, timeout, force, as_json
        )
        return run(fetch_live(watched))
    request = _Request(
        uri, output, listen, upload_limit, peers, logins, nat, max_datagram, pex, seed_after, timeout, force, as_json
    )
    return run(_fetch(request))


async def _fetch(request: _Request) -> int:
    if request.output.exists():
        copy = await verify_existing(request.output, request.uri, force=request.force, as_json=request.as_json)
        if copy is not None:
            return await _already_there(copy, request)
    partial = open_partial(request.output, request.uri, force=request.force)
    try:
        return await _Fetch(request, partial).run()
    finally:
        partial.discard_if_empty()
        partial.close()


async def _already_there(copy: WholeCopy, request: _Request) -> int:
    _report(request, _Outcome(copy.size, 0.0, copy.size, 0), None)
    if request.seed_after:
        fd = os.open(request.output, os.O_RDONLY | os.O_CLOEXEC)
        try:
            peer = _peer(request, copy.store(fd), copy.held)
            async with entered(peer, request.listen, request.pex):
                await _seed_on(peer, request)
        finally:
            os.close(fd)
    return 0


def _peer(
    request: _Request,
    store: ChunkStore | VariableStore,
    held: HeldContent,
    on_event: Callable[[Event], None] = lambda event: None,
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
        nat=request.nat,
        max_datagram=request.max_datagram,
        exchange=request.pex.exchange(request.uri.metadata),
        on_event=on_event,
    )


class _Fetch:
    """One run of the command on a part file."""

    def __init__(self, request: _Request, partial: PartialFile) -> None:
        self._request = request
        self._partial = partial

    async def run(self) -> int:
        request, partial = self._request, self._partial
        held = await resume(partial, request.uri, as_json=request.as_json)
        resumed = held.octets
        if held.content_size is not None and held.have.total == held.tree.chunk_count:
            await finish(partial, held.content_size)
            _report(request, _Outcome(held.content_size, 0.0, held.content_size, held.refused), None)
            if not request.seed_after:
                return 0
        peer = _peer(request, partial.store, held, self._on_event)
        async with entered(peer, request.listen, request.pex):
            if partial.unfinished:
                started = time.monotonic()
                size = await self._follow(peer, held)
                seconds = time.monotonic() - started
                await finish(partial, size)
                _report(request, _Outcome(size, seconds, resumed, held.refused), peer)
            await _seed_on(peer, request)
        return 0

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
                    await asyncio.wait({waiter}, timeout=FLUSH_SECONDS)
                    self._partial.flush(held.tree)
                    shown.show(snapshot(peer))
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
        done = snapshot(peer)
        if not done.done:
            return f"nothing fetched, {peer.tally.connected} peers"
        share = "" if not done.total else f" ({100 * done.done / done.total:.1f} %)"
        return f"{octets(done.done)}{share} kept, the same command goes on from there"


async def _seed_on(peer: SwarmPeer, request: _Request) -> None:
    if not request.seed_after:
        return
    note(f"serving on {text_of(peer.local_address)} for {duration(request.seed_after)}, Ctrl-C stops")
    end = time.monotonic() + request.seed_after
    with display("seeding", as_json=request.as_json) as shown:
        while (left := end - time.monotonic()) > 0:
            shown.show(Snapshot(peer.tally.sent, None, peer.tally.upload_rate, peer.tally.connected))
            await asyncio.sleep(min(left, FLUSH_SECONDS))


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
            exchange=attrs.asdict(ExchangeStats() if peer is None else peer.stats.exchange),
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
