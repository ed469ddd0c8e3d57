"""The copy of a swarm on this disk: what is there of it, whole or in part, and how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import click

from interop.chunk_sizes import SizedFile, read_sizes, sizes_path
from interop.chunkfile import PartialChunks
from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._progress import Snapshot, display, note, octets
from interop.filestore import FileStore, PartialFile, PartialFileError
from interop.peer import SwarmPeer
from interop.resume import HeldContent, bare_tree
from interop.seeding import SeedError, hash_file, hash_sized, in_thread
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


@attrs.frozen
class WholeCopy:
    """A file that is the swarm's content; `sizes` are those of its chunks where they differ."""

    tree: MerkleTree
    size: int
    sizes: Sequence[int] | None

    @property
    def held(self) -> HeldContent:
        """All of it."""
        return HeldContent(self.tree, RangeSet([(0, self.tree.chunk_count or 0)]), self.size, 0, self.size)

    def store(self, fd: int) -> FileStore | SizedFile:
        """The store of the open file."""
        return FileStore(fd) if self.sizes is None else SizedFile(fd, self.sizes)


async def verify_existing(path: Path, uri: SwarmUri, *, force: bool, as_json: bool) -> WholeCopy | None:
    """The file there when it is the swarm's content; None when it is not and may be replaced."""
    metadata = uri.metadata
    sizes: Sequence[int] | None = None
    if metadata.is_variable:
        sizes = await asyncio.to_thread(_sizes_of, path, force=force)
    with display(f"verifying {path.name}", as_json=as_json) as shown:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                tree = await in_thread(
                    lambda progress: (
                        hash_file(fd, metadata.chunk_size, metadata.merkle_hash_function, progress)
                        if sizes is None
                        else hash_sized(fd, sizes, metadata.merkle_hash_function, progress)
                    ),
                    lambda done, total: shown.show(Snapshot(done, total)),
                )
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
        except SeedError:
            tree = None
        except OSError as exc:
            raise MistakeError(f"{path}: {reason(exc)}") from exc
    if tree is not None and tree.root == metadata.swarm_id:
        return WholeCopy(tree, size, sizes)
    is_file = await asyncio.to_thread(path.is_file)
    if force and is_file:
        return None
    if not is_file:
        raise MistakeError(f"{path} is not a regular file")
    cut = f", cut as {sizes_path(path).name} says," if metadata.is_variable else ""
    raise MistakeError(f"{path} is there and{cut} has other content (--force replaces it)")


def _sizes_of(path: Path, *, force: bool) -> Sequence[int]:
    """The sizes of the chunks of a file that was fetched; none where they are not to be had and it may be replaced."""
    listed = sizes_path(path)
    try:
        return read_sizes(listed)
    except FileNotFoundError as exc:
        if force:
            return ()
        text = f"{path} is there, and nothing tells where its chunks end without {listed.name} (--force replaces it)"
        raise MistakeError(text) from exc
    except SeedError as exc:
        if force:
            return ()
        raise MistakeError(f"{exc} (--force replaces {path})") from exc
    except OSError as exc:
        raise MistakeError(f"{listed}: {reason(exc)}") from exc


def open_partial(path: Path, uri: SwarmUri, *, force: bool) -> PartialFile:
    """The part file of what will be at `path`."""
    kind = PartialChunks if uri.metadata.is_variable else PartialFile
    try:
        return kind(path, uri, overwrite=force)
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
        held = HeldContent(bare_tree(uri.metadata), RangeSet(), None, held.refused, 0)
    if held.have or held.refused:
        found = octets(held.octets)
        wrong = f", {held.refused} chunks are not right any more" if held.refused else ""
        note(f"resuming: {found} are there and verified{wrong}")
    return held


async def finish(partial: PartialFile, content_size: int) -> None:
    """Give the complete file its name. Who stops meanwhile waits for it, since its files are closed afterwards."""
    work = asyncio.ensure_future(asyncio.to_thread(partial.finish, content_size))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await work
        raise
    except OSError as exc:
        text = f"cannot write {partial.target}: {reason(exc)}: everything is fetched, the same command tries it again"
        raise FailureError(text) from exc


def snapshot(peer: SwarmPeer) -> Snapshot:
    """How much of the content is there, and how fast more comes."""
    stats, metadata, tally = peer.stats, peer.uri.metadata, peer.tally
    total = stats.content_size
    chunks = None
    if metadata.is_variable:
        chunks = stats.chunks_held, stats.chunk_count  # how many octets those have that are missing, nobody knows
    elif total is None and stats.chunk_count is not None:
        total = stats.chunk_count * metadata.chunk_size
    return Snapshot(stats.octets_held, total, tally.download_rate, tally.connected, chunks)
