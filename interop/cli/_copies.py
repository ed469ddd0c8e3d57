"""The copy of a swarm on this disk: what is there of it, whole or in part, and how far it is."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import click

from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._progress import Snapshot, display, note, octets
from interop.filestore import PartialFile, PartialFileError
from interop.peer import SwarmPeer
from interop.resume import HeldContent
from interop.seeding import SeedError, hash_file, in_thread
from ppsp import RangeSet
from ppsp.errors import MetadataError
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmUri

FLUSH_SECONDS = 0.25
"""Between two updates of the display and of the journal: what a kill may cost to fetch again."""


def swarm_uri(ctx: click.Context, param: click.Parameter, value: str) -> SwarmUri:
    """The argument URI."""
    try:
        return SwarmUri.parse(value)
    except MetadataError as exc:
        raise click.BadParameter(str(exc)) from exc


def output_of(uri: SwarmUri, output: Path | None) -> Path:
    """The option `--output`, by default what the URI suggests."""
    if output is not None:
        return output
    if uri.name is None:
        raise click.UsageError("the URI suggests no file name: say -o FILE")
    return Path(uri.name)


async def verify_existing(path: Path, uri: SwarmUri, *, force: bool, as_json: bool) -> MerkleTree | None:
    """The tree of the file there when it is the swarm's content; None when it is not and may be replaced."""
    metadata = uri.metadata
    with display(f"verifying {path.name}", as_json=as_json) as shown:
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
    is_file = await asyncio.to_thread(path.is_file)
    if force and is_file:
        return None
    if not is_file:
        raise MistakeError(f"{path} is not a regular file")
    raise MistakeError(f"{path} is there and has other content (--force replaces it)")


def open_partial(path: Path, uri: SwarmUri, *, force: bool) -> PartialFile:
    """The part file of what will be at `path`."""
    try:
        return PartialFile(path, uri, overwrite=force)
    except PartialFileError as exc:
        raise MistakeError(f"{exc} (--force starts anew)") from exc
    except OSError as exc:
        raise MistakeError(f"cannot write {exc.filename or path}: {reason(exc)}") from exc


async def resume(partial: PartialFile, uri: SwarmUri, *, as_json: bool) -> HeldContent:
    """What an earlier run left, verified."""
    started = time.monotonic()
    with display("verifying what is there", as_json=as_json) as shown:

        def report(done: int, total: int) -> None:
            shown.show(Snapshot(done, total, done / max(time.monotonic() - started, 1e-3)))

        try:
            held = await in_thread(partial.resume, report)
        except OSError as exc:
            raise FailureError(f"cannot read {partial.part}: {reason(exc)}") from exc
    if held.have and not held.tree.is_size_certain:
        # Without the block of the last chunk nothing proves the number of chunks, nor which of them these are.
        metadata = uri.metadata
        held = HeldContent(MerkleTree(metadata.swarm_id, metadata.merkle_hash_function), RangeSet(), None, held.refused)
    if held.have or held.refused:
        found = octets(held.octets(uri.metadata.chunk_size))
        wrong = f", {held.refused} chunks are not right any more" if held.refused else ""
        note(f"resuming: {found} are there and verified{wrong}")
    return held


def snapshot(peer: SwarmPeer) -> Snapshot:
    """How much of the content is there, and how fast more comes."""
    stats, size = peer.stats, peer.uri.metadata.chunk_size
    total = stats.content_size
    if total is None and stats.chunk_count is not None:
        total = stats.chunk_count * size
    done = stats.chunks_held * size
    return Snapshot(done if total is None else min(done, total), total, peer.tally.download_rate, peer.tally.connected)
