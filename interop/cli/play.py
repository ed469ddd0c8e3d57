"""`ietf-p2p play`: watch a swarm while it is being fetched, in any player."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import attrs
import click

from interop._http_server import Listener
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
from interop.cli._gateways import Showing
from interop.cli._listening import listen_at
from interop.cli._options import (
    DOWNLOAD_LIMIT,
    JSON,
    LISTEN,
    MAX_DATAGRAM,
    PEERS,
    UPLOAD_LIMIT,
    host_port,
    nat_options,
    tracker_options,
    url,
)
from interop.cli._peers import entered
from interop.cli._pex import Pex, pex_options
from interop.cli._progress import Snapshot, display, emit, note, octets
from interop.filestore import PartialFile
from interop.gateway import Gateway
from interop.live import LivePeer
from interop.live_gateway import LiveGateway
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from interop.resume import BLOCK_CHUNKS, HeldContent
from interop.sequential_gateway import SequentialGateway
from interop.tracker_login import Logins
from ppsp import Sequential
from ppsp.events import ChunksVerified, Event, SizeKnown
from ppsp.metadata import SwarmUri
from ppsp.ports import ChunkStore, VariableStore


@attrs.frozen
class _Request:
    uri: SwarmUri
    output: Path
    gateway: tuple[str, int]
    hosts: tuple[str, ...]
    player: str | None
    opens: bool
    listen: tuple[str, int]
    upload_limit: float | None
    download_limit: float | None
    peers: tuple[tuple[str, int], ...]
    logins: Logins | None
    nat: NatSettings | None
    max_datagram: int | None
    pex: Pex
    force: bool
    as_json: bool


@click.command(
    epilog="Example:\n\n\b\n"
    "  ietf-p2p play 'magnet:?xt=urn:ppspp:1140…&tr=http%3A%2F%2F127.0.0.1%3A8700%2F' --player mpv"
)
@click.argument("uri", callback=swarm_uri)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: the URI's name]")
@click.option("--player", metavar="COMMAND", help="Run this with the URL behind it, and end when it ends.")
@click.option("--open", "opens", is_flag=True, help="Open the gateway's page in the browser.")
@click.option(
    "--gateway",
    type=host_port,
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where players find it (HTTP); port 0 takes any.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name of this machine in players' URLs.")
@click.option("--tracker", "trackers", multiple=True, metavar="URL", callback=url, help="One more tracker to ask.")
@PEERS
@tracker_options
@nat_options
@MAX_DATAGRAM
@pex_options(publishes=False)
@LISTEN
@UPLOAD_LIMIT
@DOWNLOAD_LIMIT
@click.option("--force", is_flag=True, help="Replace a file that is there and has other content.")
@JSON
def command(uri: SwarmUri, output: Path | None, trackers: tuple[str, ...], **rest: object) -> int:
    """Watch the swarm that URI names while it is being fetched: give the URL that is printed to a player or a browser.

    A player may seek: what it needs next is fetched first. What arrives is kept in FILE, as `fetch` keeps it, and the
    same command goes on where a stop left it. It serves until it is stopped. Of a live stream nothing is kept, and it
    ends with the broadcast. The gateway is for this machine alone unless --gateway says otherwise.
    """
    uri = attrs.evolve(uri, trackers=tuple(dict.fromkeys((*uri.trackers, *trackers))))
    kept = Path() if uri.metadata.is_live else output_of(uri, output)
    request = _Request(uri=uri, output=kept, **rest)  # type: ignore[arg-type] # as the options have it
    if not request.peers and not uri.trackers:
        raise click.UsageError("the URI names no tracker: say --tracker URL or --peer HOST:PORT")
    return run(_play_live(request) if uri.metadata.is_live else _play(request))


async def _play(request: _Request) -> int:
    with listen_at(*request.gateway) as listener:
        if request.output.exists():
            copy = await verify_existing(request.output, request.uri, force=request.force, as_json=request.as_json)
            if copy is not None:
                return await _play_whole(request, listener, copy)
        partial = open_partial(request.output, request.uri, force=request.force)
        try:
            held = await resume(partial, request.uri, as_json=request.as_json)
            return await _Play(request, listener, partial.store, held, partial).run()
        finally:
            partial.discard_if_empty()
            partial.close()


async def _play_whole(request: _Request, listener: Listener, copy: WholeCopy) -> int:
    """The file is there: it is played from, and served."""
    fd = os.open(request.output, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return await _Play(request, listener, copy.store(fd), copy.held, None).run()
    finally:
        os.close(fd)


class _Play:
    """One run of the command; without a `partial` everything is there."""

    def __init__(
        self,
        request: _Request,
        listener: Listener,
        store: ChunkStore | VariableStore,
        held: HeldContent,
        partial: PartialFile | None,
    ) -> None:
        self._request = request
        self._listener = listener
        self._held = held
        self._partial = partial
        self._peer = SwarmPeer(
            request.uri,
            store,
            tree=held.tree,
            have=held.have,
            content_size=held.content_size,
            picker=Sequential,
            local=request.listen,
            upload_rate=request.upload_limit,
            download_rate=request.download_limit,
            peers=request.peers,
            logins=request.logins,
            nat=request.nat,
            max_datagram=request.max_datagram,
            exchange=request.pex.exchange(request.uri.metadata),
            on_event=self._on_event,
        )
        gateway = SequentialGateway if request.uri.metadata.is_variable else Gateway
        self._gateway = gateway(self._peer, hosts=request.hosts)

    def _on_event(self, event: Event) -> None:
        if self._partial is None:
            return
        if isinstance(event, SizeKnown):
            # Without the block of the last chunk a journal proves nothing.
            self._peer.prioritise("the end", max(0, event.chunk_count - BLOCK_CHUNKS), event.chunk_count)
        elif isinstance(event, ChunksVerified):
            self._partial.verified(event.start, event.stop)

    async def run(self) -> int:
        request = self._request
        showing = Showing(self._listener, request.player, request.opens, request.as_json)
        async with entered(self._peer, request.listen, request.pex):
            await showing.run(self._gateway, self._fetch(), file=str(request.output))
        return 0

    async def _fetch(self) -> None:
        """Show and journal the progress until the content is complete, and then serve on."""
        peer, partial = self._peer, self._partial
        if partial is not None:
            waiter = asyncio.ensure_future(peer.completed())
            try:
                with display("playing", as_json=self._request.as_json) as shown:
                    while not waiter.done():
                        await asyncio.wait({waiter}, timeout=FLUSH_SECONDS)
                        partial.flush(self._held.tree)
                        shown.show(snapshot(peer))
                await finish(partial, waiter.result())
            except OSError as exc:
                raise FailureError(f"cannot write {partial.part}: {reason(exc)}") from exc
            finally:
                waiter.cancel()
                if partial.unfinished:
                    with contextlib.suppress(OSError):
                        partial.flush(self._held.tree)
        self._say_complete()
        with display("seeding", as_json=self._request.as_json) as shown:
            while True:
                shown.show(Snapshot(peer.tally.sent, None, peer.tally.upload_rate, peer.tally.connected))
                await asyncio.sleep(FLUSH_SECONDS)

    def _say_complete(self) -> None:
        size = self._peer.stats.content_size or 0
        if self._request.as_json:
            emit("complete", file=str(self._request.output), octets=size)
        else:
            note(f"{self._request.output}: {octets(size)} complete and verified")


async def _play_live(request: _Request) -> int:
    """Nothing is kept of a live stream; it ends when the broadcast does."""
    with listen_at(*request.gateway) as listener:
        peer = LivePeer(
            request.uri,
            local=request.listen,
            upload_rate=request.upload_limit,
            peers=request.peers,
            logins=request.logins,
            nat=request.nat,
            max_datagram=request.max_datagram,
            exchange=request.pex.exchange(request.uri.metadata),
        )
        async with entered(peer, request.listen, request.pex):
            gateway = LiveGateway(peer, hosts=request.hosts)
            await Showing(listener, request.player, request.opens, request.as_json).run(gateway, gateway.run())
    if peer.stream.ended:
        note("the broadcast has ended")
    return 0
