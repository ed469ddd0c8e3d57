"""`ietf-p2p seed`: publish a file as a swarm, and serve it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import attrs
import click

from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import (
    ADDRESSINGS,
    HASHES,
    JSON,
    LISTEN,
    PEX,
    UPLOAD_LIMIT,
    nat_options,
    text_of,
    tracker_options,
    url,
)
from interop.cli._peers import entered
from interop.cli._progress import Snapshot, display, emit, note, octets
from interop.filestore import FileStore
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from interop.seeding import SeedError, changed, hash_file, in_thread
from interop.tracker_login import Logins
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmMetadata, SwarmUri
from ppsp.pex import PeerExchange

# Seconds between two lines of progress, and two looks at whether the file is still what was hashed.
_LOOK_SECONDS = 0.5
# RFC 7574 section 8.1: smaller chunks cost more in headers than they are worth.
_CHUNK_SIZE = click.IntRange(512, 60_000)


@attrs.frozen
class _Request:
    file: Path
    trackers: tuple[str, ...]
    logins: Logins | None
    nat: NatSettings | None
    exchange: PeerExchange | None
    listen: tuple[str, int]
    upload_limit: float | None
    chunk_size: int
    hash_name: str
    addressing: str
    as_json: bool


@click.command(
    epilog="The URI is a magnet link: no RFC defines one for PPSPP, and magnet links name content by its hash, carry "
    "the addresses of trackers, and are left alone by programs that do not know urn:ppspp.\n\n"
    "Example:\n\n\b\n  ietf-p2p seed film.mp4 --tracker http://127.0.0.1:8700/ --upload-limit 4M"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tracker", "trackers", multiple=True, metavar="URL", callback=url, help="Where peers find one another.")
@tracker_options
@nat_options
@PEX
@LISTEN
@UPLOAD_LIMIT
@click.option("--chunk-size", type=_CHUNK_SIZE, default=1024, show_default=True, help="Octets a chunk.")
@click.option("--hash", "hash_name", type=click.Choice(list(HASHES)), default="sha256", show_default=True)
@click.option("--addressing", type=click.Choice(list(ADDRESSINGS)), default="chunk32", show_default=True)
@JSON
def command(
    file: Path,
    trackers: tuple[str, ...],
    logins: Logins | None,
    nat: NatSettings | None,
    exchange: PeerExchange | None,
    listen: tuple[str, int],
    upload_limit: float | None,
    chunk_size: int,
    hash_name: str,
    addressing: str,
    as_json: bool,
) -> int:
    """Publish FILE as a swarm, and serve it until stopped.

    Prints one line on stdout, the swarm's URI: `ietf-p2p fetch` takes it. Everything else goes to stderr.
    """
    request = _Request(
        file, trackers, logins, nat, exchange, listen, upload_limit, chunk_size, hash_name, addressing, as_json
    )
    return run(_seed(request))


async def _seed(request: _Request) -> int:
    try:
        # Without O_NONBLOCK the name of a pipe would block for ever.
        fd = os.open(request.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise MistakeError(f"{request.file}: {reason(exc)}") from exc
    try:
        before = os.fstat(fd)
        tree = await _hash(fd, request)
        # Peers find the size out from the peak hashes (RFC 7574 section 5.6), but content as long as two hashes could
        # as well be those of two chunks: there the metadata must tell.
        ambiguous = before.st_size == 2 * tree.hash_size
        metadata = SwarmMetadata(
            tree.root,
            chunk_size=request.chunk_size,
            chunk_addressing=ADDRESSINGS[request.addressing],
            merkle_hash_function=HASHES[request.hash_name],
            content_size=before.st_size if ambiguous else None,
        )
        uri = SwarmUri(metadata, request.trackers, request.file.name)
        peer = SwarmPeer(
            uri,
            FileStore(fd),
            tree=tree,
            content_size=before.st_size,
            local=request.listen,
            upload_rate=request.upload_limit,
            logins=request.logins,
            nat=request.nat,
            exchange=request.exchange,
        )
        async with entered(peer, request.listen):
            return await _serve(peer, fd, before, as_json=request.as_json)
    finally:
        os.close(fd)


async def _hash(fd: int, request: _Request) -> MerkleTree:
    started = time.monotonic()
    with display(f"hashing {request.file.name}", as_json=request.as_json) as shown:

        def report(done: int, total: int) -> None:
            shown.show(Snapshot(done, total, done / max(time.monotonic() - started, 1e-3)))

        try:
            return await in_thread(
                lambda progress: hash_file(fd, request.chunk_size, HASHES[request.hash_name], progress), report
            )
        except SeedError as exc:
            raise MistakeError(f"{request.file}: {exc}") from exc
        except OSError as exc:
            raise MistakeError(f"{request.file}: {reason(exc)}") from exc


async def _serve(peer: SwarmPeer, fd: int, before: os.stat_result, *, as_json: bool) -> int:
    uri, address = str(peer.uri), text_of(peer.local_address)
    if as_json:
        emit("seeding", uri=uri, listen=address, octets=before.st_size)
    else:
        print(uri, flush=True)
    note(f"serving {octets(before.st_size)} on {address}, Ctrl-C stops")
    if not peer.uri.trackers:
        note("without a tracker: fetch it with --peer and this address")
    with display("seeding", as_json=as_json) as shown:
        while not changed(fd, before):
            tally = peer.tally
            shown.show(Snapshot(tally.sent, None, tally.upload_rate, tally.connected))
            await asyncio.sleep(_LOOK_SECONDS)
    raise FailureError(f"{peer.uri.name} was changed: the swarm of what it was cannot be served any more")
