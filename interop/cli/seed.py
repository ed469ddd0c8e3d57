"""`ietf-p2p seed`: publish files, each as a swarm, and serve them on one socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import click

from interop.chunk_sizes import SizedFile, line_sizes, read_sizes
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import (
    ADDRESSINGS,
    HASHES,
    JSON,
    LISTEN,
    MAX_DATAGRAM,
    UPLOAD_LIMIT,
    nat_options,
    text_of,
    tracker_options,
    url,
)
from interop.cli._peers import entered
from interop.cli._pex import Pex, pex_options
from interop.cli._progress import Snapshot, display, emit, note, octets
from interop.filestore import FileStore
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from interop.seeding import Progress, SeedError, changed, hash_file, hash_sized, in_thread
from interop.swarm_socket import SwarmSocket
from interop.tracker_login import Logins
from ppsp.constants import DEFAULT_CHUNK_SIZE, ChunkAddressing
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmMetadata, SwarmUri
from ppsp.variable import variable_metadata

# Seconds between two lines of progress, and two looks at whether the files are still what was hashed.
_LOOK_SECONDS = 0.5
# The word for chunks of whole lines.
_LINES = "lines"
# RFC 7574 section 8.1: smaller chunks cost more in headers than they are worth.
_CHUNK_SIZE = click.IntRange(512, 60_000)


@attrs.frozen
class _Request:
    files: tuple[Path, ...]
    trackers: tuple[str, ...]
    logins: Logins | None
    nat: NatSettings | None
    pex: Pex
    listen: tuple[str, int]
    upload_limit: float | None
    max_datagram: int | None
    chunk_size: int
    boundaries: str | None
    hash_name: str
    addressing: str
    as_json: bool


@attrs.frozen
class _Source:
    """A file as a swarm; `before` says what it was when it was hashed, and `leave` ends its peer."""

    fd: int
    before: os.stat_result
    peer: SwarmPeer
    leave: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)


@click.command(
    epilog="The URI is a magnet link: no RFC defines one for PPSPP, and magnet links name content by its hash, carry "
    "the addresses of trackers, and are left alone by programs that do not know urn:ppspp.\n\n"
    "Example:\n\n\b\n  ietf-p2p seed film.mp4 --tracker http://127.0.0.1:8700/ --upload-limit 4M"
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--tracker", "trackers", multiple=True, metavar="URL", callback=url, help="Where peers find one another.")
@tracker_options
@nat_options
@pex_options(publishes=True)
@LISTEN
@UPLOAD_LIMIT
@MAX_DATAGRAM
@click.option(
    "--chunk-size", type=_CHUNK_SIZE, help=f"Octets a chunk, or of the longest. [default: {DEFAULT_CHUNK_SIZE}]"
)
@click.option(
    "--boundaries",
    metavar="lines|FILE",
    help="Chunks of variable size: whole lines, as many as --chunk-size holds; or FILE has the octets of each, a line "
    "a chunk.",
)
@click.option("--hash", "hash_name", type=click.Choice(list(HASHES)), default="sha256", show_default=True)
@click.option("--addressing", type=click.Choice(list(ADDRESSINGS)), default="chunk32", show_default=True)
@JSON
def command(
    files: tuple[Path, ...],
    trackers: tuple[str, ...],
    logins: Logins | None,
    nat: NatSettings | None,
    pex: Pex,
    listen: tuple[str, int],
    upload_limit: float | None,
    max_datagram: int | None,
    chunk_size: int | None,
    boundaries: str | None,
    hash_name: str,
    addressing: str,
    as_json: bool,
) -> int:
    """Publish each FILE as a swarm, and serve them all on one socket until stopped.

    Prints one line on stdout for each, the swarm's URI: `ietf-p2p fetch` takes it. Everything else goes to stderr.
    """
    if boundaries is not None and ADDRESSINGS[addressing] is ChunkAddressing.BYTE64:
        raise click.UsageError(
            "--boundaries: byte ranges cannot name chunks of variable size: take chunk ranges or bins"
        )
    if boundaries not in (None, _LINES):
        if len(files) > 1:
            raise click.UsageError("--boundaries FILE is for one file, this is several")
        if chunk_size is not None:
            raise click.UsageError("--chunk-size says nothing where --boundaries FILE has the size of each chunk")
    size = chunk_size or DEFAULT_CHUNK_SIZE
    request = _Request(
        files,
        trackers,
        logins,
        nat,
        pex,
        listen,
        upload_limit,
        max_datagram,
        size,
        boundaries,
        hash_name,
        addressing,
        as_json,
    )
    return run(_seed(request))


async def _seed(request: _Request) -> int:
    shared = SwarmSocket(
        local=request.listen,
        upload_rate=request.upload_limit,
        nat=request.nat,
        max_datagram=request.max_datagram,
    )
    with contextlib.ExitStack() as files:
        sources: dict[bytes, _Source] = {}
        for file in request.files:
            source = await _hashed(file, request, shared, files)
            other = sources.setdefault(source.peer.uri.metadata.swarm_id, source)
            if other is not source:
                raise MistakeError(f"{file}: the same content as {other.peer.uri.name}, which is the same swarm")
        async with entered(shared, request.listen), contextlib.AsyncExitStack() as peers:
            for source in sources.values():
                await peers.enter_async_context(source.leave)
                await source.leave.enter_async_context(entered(source.peer, request.listen, request.pex))
            return await _serve(list(sources.values()), shared, as_json=request.as_json)


async def _hashed(file: Path, request: _Request, shared: SwarmSocket, files: contextlib.ExitStack) -> _Source:
    """The file, hashed, and its peer, which is not started; `files` closes it."""
    try:
        # Without O_NONBLOCK the name of a pipe would block for ever.
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise MistakeError(f"{file}: {reason(exc)}") from exc
    files.callback(os.close, fd)
    before = os.fstat(fd)
    tree, sizes = await _hash(fd, file, request)
    metadata = _metadata(tree, before.st_size, sizes, request)
    peer = SwarmPeer(
        SwarmUri(metadata, request.trackers, file.name),
        FileStore(fd) if sizes is None else SizedFile(fd, sizes),
        tree=tree,
        content_size=before.st_size,
        logins=request.logins,
        exchange=request.pex.exchange(metadata),
        socket=shared,
    )
    return _Source(fd, before, peer)


def _metadata(tree: MerkleTree, size: int, sizes: Sequence[int] | None, request: _Request) -> SwarmMetadata:
    if sizes is not None:
        metadata = variable_metadata(tree, ADDRESSINGS[request.addressing])
        return attrs.evolve(metadata, membership_key=request.pex.membership_key)
    # Peers find the size out from the peak hashes (RFC 7574 section 5.6), but content as long as two hashes could as
    # well be those of two chunks: there the metadata must tell.
    ambiguous = size == 2 * tree.hash_size
    return SwarmMetadata(
        tree.root,
        chunk_size=request.chunk_size,
        chunk_addressing=ADDRESSINGS[request.addressing],
        merkle_hash_function=HASHES[request.hash_name],
        content_size=size if ambiguous else None,
        membership_key=request.pex.membership_key,
    )


async def _hash(fd: int, file: Path, request: _Request) -> tuple[MerkleTree, Sequence[int] | None]:
    """The tree, and the sizes of the chunks where they differ."""
    started = time.monotonic()
    function = HASHES[request.hash_name]

    def work(progress: Progress) -> tuple[MerkleTree, Sequence[int] | None]:
        if request.boundaries is None:
            return hash_file(fd, request.chunk_size, function, progress), None
        lines = request.boundaries == _LINES
        sizes = line_sizes(fd, request.chunk_size) if lines else read_sizes(Path(request.boundaries))
        return hash_sized(fd, sizes, function, progress), sizes

    with display(f"hashing {file.name}", as_json=request.as_json) as shown:

        def report(done: int, total: int) -> None:
            shown.show(Snapshot(done, total, done / max(time.monotonic() - started, 1e-3)))

        try:
            return await in_thread(work, report)
        except SeedError as exc:
            raise MistakeError(f"{file}: {exc}") from exc
        except OSError as exc:
            raise MistakeError(f"{exc.filename or file}: {reason(exc)}") from exc


async def _serve(sources: list[_Source], shared: SwarmSocket, *, as_json: bool) -> int:
    """Serve until the last of the files was changed."""
    _announce(sources, text_of(shared.local_address), as_json=as_json)
    with display("seeding", as_json=as_json) as shown:
        while True:
            for source in [source for source in sources if changed(source.fd, source.before)]:
                trouble = f"{source.peer.uri.name} was changed: the swarm of what it was cannot be served any more"
                if len(sources) == 1:
                    raise FailureError(trouble)
                note(trouble)
                sources.remove(source)
                await source.leave.aclose()
            tallies = [source.peer.tally for source in sources]
            sent = sum(tally.sent for tally in tallies)
            rate = sum(tally.upload_rate for tally in tallies)
            shown.show(Snapshot(sent, None, rate, sum(tally.connected for tally in tallies)))
            await asyncio.sleep(_LOOK_SECONDS)


def _announce(sources: list[_Source], address: str, *, as_json: bool) -> None:
    """Say what is served, and where."""
    for source in sources:
        uri = str(source.peer.uri)
        if as_json:
            emit("seeding", uri=uri, listen=address, octets=source.before.st_size)
        else:
            print(uri, flush=True)
    files = f"{len(sources)} files, " if len(sources) > 1 else ""
    total = sum(source.before.st_size for source in sources)
    note(f"serving {files}{octets(total)} on {address}, Ctrl-C stops")
    if not sources[0].peer.uri.trackers:
        note("without a tracker: fetch it with --peer and this address")
