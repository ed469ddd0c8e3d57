"""`ietf-p2p live`: broadcast a stream as a live swarm."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from pathlib import Path

import attrs
import click

from interop.cli._errors import FailureError, MistakeError, run
from interop.cli._options import (
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
from interop.live import LivePeer
from interop.live_key import LiveKeyError, LiveKeyFile
from interop.live_source import LiveSourceError, live_source
from interop.live_units import CUTS, LONGEST
from interop.nat import NatSettings
from interop.tracker_login import Logins
from ppsp.constants import (
    DEFAULT_CHUNK_SIZE,
    KEEP_EVERYTHING,
    VARIABLE_CHUNK_SIZE,
    ContentIntegrityProtection,
    LiveSignatureAlgorithm,
)
from ppsp.errors import StateError
from ppsp.live import DEFAULT_CHUNKS_PER_SIGNATURE, MAX_CHUNKS_PER_SIGNATURE
from ppsp.metadata import SwarmMetadata, SwarmUri

_LOOK_SECONDS = 0.5
_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_ALGORITHMS = {each.name.lower(): each for each in LiveSignatureAlgorithm}
_METHODS = {
    "munros": ContentIntegrityProtection.UNIFIED_MERKLE_TREE,
    "sign-all": ContentIntegrityProtection.SIGN_ALL,
}


def _bits(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Bits a second, with a unit: `500k`, `2M`."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMG]?)(?:BIT/S|BPS)?", value.strip().upper())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not a rate in bits a second, such as 500k or 2M")
    return float(match[1]) * _UNITS[match[2]]


def _power_of_two(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value & (value - 1):
        raise click.BadParameter(f"{value} is not a power of 2")
    return value


@attrs.frozen
class _Request:
    source: str
    key: Path
    algorithm: LiveSignatureAlgorithm | None
    method: ContentIntegrityProtection
    rate: float | None
    trackers: tuple[str, ...]
    logins: Logins | None
    nat: NatSettings | None
    max_datagram: int | None
    pex: Pex
    listen: tuple[str, int]
    upload_limit: float | None
    chunk_size: int
    chunks: str
    chunks_per_signature: int
    window: int
    hash_name: str
    name: str | None
    serve_after: float
    as_json: bool


@click.command(
    epilog="The key names the stream: who has the URI of one broadcast can see the next one under the same key. Keep "
    "FILE.next with it, since a chunk number is never used twice.\n\n"
    "Example:\n\n\b\n  ffmpeg -re -i talk.mp4 -c copy -f mpegts - | ietf-p2p live - --key talk.key \\\n"
    "      --tracker http://127.0.0.1:8700/"
)
@click.argument("source")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The private key; made if missing."
)
@click.option("--algorithm", type=click.Choice(list(_ALGORITHMS)), help="Of a new key. [default: ecdsap256sha256]")
@click.option(
    "--method", type=click.Choice(list(_METHODS)), default="munros", show_default=True, help="What is signed."
)
@click.option("--rate", callback=_bits, metavar="BITS", help="Bits a second at most: 500k, 2M. A file needs it.")
@click.option("--tracker", "trackers", multiple=True, metavar="URL", callback=url, help="Where peers find one another.")
@tracker_options
@nat_options
@MAX_DATAGRAM
@pex_options(publishes=True)
@LISTEN
@UPLOAD_LIMIT
@click.option(
    "--chunk-size",
    type=click.IntRange(512, 60_000),
    help=f"Octets a chunk, or of the longest. [default: 1024; {LONGEST} where sizes vary]",
)
@click.option(
    "--chunks",
    type=click.Choice(list(CUTS)),
    default="fixed",
    show_default=True,
    help="What a chunk is: of one size; what came at once (a datagram, a read of a pipe); whole lines.",
)
@click.option(
    "--chunks-per-signature",
    type=click.IntRange(2, MAX_CHUNKS_PER_SIGNATURE),
    default=DEFAULT_CHUNKS_PER_SIGNATURE,
    callback=_power_of_two,
    show_default=True,
    help="A power of 2. Fewer make the delay shorter.",
)
@click.option("--window", type=click.IntRange(2, 2**24), default=16_384, show_default=True, help="Chunks kept.")
@click.option("--keep-all", is_flag=True, help="Keep everything, for viewers who start late; in memory.")
@click.option("--hash", "hash_name", type=click.Choice(list(HASHES)), default="sha256", show_default=True)
@click.option("--name", help="The name in the URI.")
@click.option("--serve-after", type=click.FloatRange(0), default=10, show_default=True, help="Seconds, after the end.")
@JSON
def command(
    source: str,
    key: Path,
    algorithm: str | None,
    method: str,
    window: int,
    keep_all: bool,
    chunk_size: int | None,
    chunks: str,
    **words: object,
) -> int:
    """Broadcast SOURCE: a file, `-` for stdin, or tcp://HOST:PORT or udp://HOST:PORT to listen on.

    Prints one line on stdout, the stream's URI: `ietf-p2p fetch --live` takes it. Everything else goes to stderr.
    """
    number = None if algorithm is None else _ALGORITHMS[algorithm]
    size = chunk_size or (DEFAULT_CHUNK_SIZE if chunks == "fixed" else LONGEST)
    kept = KEEP_EVERYTHING if keep_all else window
    request = _Request(source, key, number, _METHODS[method], window=kept, chunk_size=size, chunks=chunks, **words)  # type: ignore[arg-type]
    return run(_live(request))


async def _live(request: _Request) -> int:
    if request.window < request.chunks_per_signature:
        raise MistakeError(f"--window {request.window} does not hold --chunks-per-signature")
    try:
        with LiveKeyFile(request.key, request.algorithm, request.chunks_per_signature) as key:
            return await _broadcast(request, key)
    except (LiveKeyError, LiveSourceError, StateError) as exc:
        raise MistakeError(str(exc)) from exc


async def _broadcast(request: _Request, key: LiveKeyFile) -> int:
    cut = CUTS[request.chunks](request.chunk_size)
    metadata = SwarmMetadata(
        key.signer.swarm_id,
        chunk_size=VARIABLE_CHUNK_SIZE if cut.is_variable else request.chunk_size,
        content_integrity=request.method,
        merkle_hash_function=HASHES[request.hash_name],
        membership_key=request.pex.membership_key,
    )
    uri = SwarmUri(metadata, request.trackers, request.name)
    peer = LivePeer(
        uri,
        signer=key.signer,
        chunks_per_signature=request.chunks_per_signature,
        first_chunk=key.first_chunk,
        window=request.window,
        local=request.listen,
        upload_rate=request.upload_limit,
        logins=request.logins,
        nat=request.nat,
        max_datagram=request.max_datagram,
        exchange=request.pex.exchange(metadata),
    )
    pieces = await live_source(request.source, request.rate)
    async with entered(peer, request.listen, request.pex):
        _announce(request, peer)
        sent = _Sent()
        show = asyncio.create_task(_show(request, peer, sent))
        try:

            def publish(parts: list[bytes]) -> None:
                # Numbers are written down before they are used, a munro ahead of the octets in hand.
                ahead = cut.count(parts) + 2 * request.chunks_per_signature
                key.used_up_to(max(peer.stream.edge, key.first_chunk) + ahead)
                for part in parts:
                    peer.publish(part)

            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    publish(cut.take(piece))
                    sent.octets += len(piece)
            publish(cut.rest())
            peer.end()
            note(f"the broadcast of {octets(sent.octets)} has ended, serving for {request.serve_after:g} s more")
            await asyncio.sleep(request.serve_after)
        except (LiveKeyError, StateError) as exc:
            raise FailureError(str(exc)) from exc
        finally:
            show.cancel()
            key.finish(max(peer.stream.edge, key.first_chunk) + request.chunks_per_signature)
    return 0


@attrs.define
class _Sent:
    octets: int = 0


def _announce(request: _Request, peer: LivePeer) -> None:
    uri, address = str(peer.uri), text_of(peer.local_address)
    if request.as_json:
        emit("broadcasting", uri=uri, listen=address)
    else:
        print(uri, flush=True)
    note(f"broadcasting on {address}, Ctrl-C stops")
    if not request.trackers:
        note("without a tracker: watch it with --peer and this address")


async def _show(request: _Request, peer: LivePeer, sent: _Sent) -> None:
    with display("broadcasting", as_json=request.as_json) as shown:
        before, at, rate = 0, time.monotonic(), 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            rate = (sent.octets - before) / (now - at)
            before, at = sent.octets, now
            shown.show(Snapshot(sent.octets, None, rate, peer.tally.connected))
