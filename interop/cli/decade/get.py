"""`ietf-p2p decade get`: fetch an object, or a file in many of them, verified."""

from __future__ import annotations

import base64
import binascii
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from decade.client import MAX_OBJECT
from decade.client_exchange import Credential
from decade.data_index import MAX_INDEX, DataIndex, Entry, decode_index
from decade.errors import DecodeError
from decade.scope import Operation
from decade.values import ObjectName, SignedName
from interop._decade_files import PartialFile
from interop.cli._errors import MistakeError, reason
from interop.cli._progress import Display, Snapshot, display, note
from interop.cli._show import clean
from interop.cli.decade._client import Access, asking, connects, origin, to_stdout
from interop.cli.decade._words import Size, Target, read_named, read_target

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


@attrs.frozen
class _Wanted:
    """What to do with an object."""

    output: Path | None
    max_size: int
    alto: str | None


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ietf-p2p decade get ni://storage.example/sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk -o hello\n"
    "  ietf-p2p decade get film.index -o film.mp4 --server https://near.example --token token.txt",
)
@click.argument("what", metavar="NI|URL|INDEX")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to make.  [default: stdout]")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--max-size", type=Size(), default=MAX_OBJECT, metavar="SIZE", help="Octets of an object at most.")
@click.option("--range", "part", metavar="FIRST-LAST", help="Some octets of the object only: nothing verifies them.")
@click.option("--entry", metavar="LABEL", help="Which file of a data index.  [default: its only one]")
@click.option("--alto", metavar="URL", help="Ask the servers that are nearest first, as this ALTO server sees it.")
@connects
def command(
    what: str,
    output: Path | None,
    force: bool,
    max_size: int,
    part: str | None,
    entry: str | None,
    alto: str | None,
    access: Access,
) -> int:
    """Fetch an object by its ni URI or its URL, or the file that a data index is of.

    Servers are asked one after the other, those of --server first; octets are verified by their name, whoever sends
    them, and a file gets its name when it is whole. With --key the token that reads is minted here. What has a signed
    name is fetched by its URL, which `put --label` prints, and verified by its publisher's signature.
    """
    if output is None and sys.stdout.isatty():
        raise MistakeError("octets for a terminal: say -o FILE, or -o - if you mean it")
    output = None if output == Path("-") else output
    if output is not None:
        _check(output, force)
    wanted = _Wanted(output, max_size, alto)
    named = read_named(what)
    if named is not None:
        if part is not None or entry is not None:
            raise MistakeError("a signed name is of a whole object: no --range, no --entry")
        return _get_named(access, *named, wanted)
    target = read_target(what)
    if target is None:
        if part is not None:
            raise MistakeError("--range is of one object")
        index = _read_index(what)
        return _get_entry(access, index, _chosen(index, entry), wanted)
    if entry is not None:
        raise MistakeError("--entry is of a data index")
    return _get_object(access, target, wanted, None if part is None else _range(part))


def _check(output: Path, force: bool) -> None:
    """Whether a file may be made there. Raises MistakeError."""
    try:
        is_other = output.exists() and not output.is_file()
    except OSError as error:
        raise MistakeError(f"{output}: {reason(error)}") from error
    if is_other:
        raise MistakeError(f"{output} is there, and is no file")
    # A link to nothing is there, too.
    if os.path.lexists(output) and not force:
        raise MistakeError(f"{output} is there (--force replaces it)")
    if not output.parent.is_dir():
        raise MistakeError(f"{output}: there is no directory {output.parent}")


def _get_object(access: Access, target: Target, wanted: _Wanted, part: tuple[int, int] | None) -> int:
    async def work(client: DecadeClient, named: tuple[str, ...]) -> None:
        servers = await _nearest(_candidates(named, target.server), wanted)
        given = [target.credential] if target.credential is not None else []
        credentials = [*given, *_credentials(access, servers, [target.uri.name])]
        if part is not None:
            first, last = part
            found = await client.fetch_part(target.uri, servers, first, last - first + 1, credentials)
            if not found.is_verified:
                note("these octets are not verified: only the whole object has a name")
            _write(found.octets, wanted)
            return
        with display("fetching") as shown:
            progress = _Progress(shown)
            if wanted.output is not None:
                await client.fetch_to(
                    wanted.output, target.uri, servers, credentials, max_size=wanted.max_size, on_progress=progress
                )
            else:
                octets = await client.fetch(
                    target.uri, servers, credentials, max_size=wanted.max_size, on_progress=progress
                )
        if wanted.output is None:
            to_stdout(octets)
        _blame(client)

    return asking(access, work)


def _get_named(access: Access, signed: SignedName, server: str, wanted: _Wanted) -> int:
    async def work(client: DecadeClient, named: tuple[str, ...]) -> None:
        servers = await _nearest(_candidates(named, server), wanted)
        credentials = _credentials(access, servers, [signed])
        with display("fetching") as shown:
            octets = await client.fetch_named(
                signed, servers, credentials, max_size=wanted.max_size, on_progress=_Progress(shown)
            )
        _write(octets, wanted)
        _blame(client)

    return asking(access, work)


def _get_entry(access: Access, index: DataIndex, entry: Entry, wanted: _Wanted) -> int:
    output = wanted.output
    if output is None:
        raise MistakeError("a file in many objects is put together in a file: say -o FILE")

    async def work(client: DecadeClient, named: tuple[str, ...]) -> None:
        servers = await _nearest(_candidates((*named, *map(origin, index.servers)), None), wanted)
        names = list(dict.fromkeys(piece.name for piece in entry.pieces))
        # A token names its objects, but for more than it has room for.
        credentials = _credentials(access, servers, names if len(names) <= _MAX_NAMES else [])
        with display("fetching") as shown:
            await client.fetch_entry(
                output, entry, servers, credentials, max_size=wanted.max_size, on_progress=_Progress(shown)
            )
        _blame(client)

    return asking(access, work)


def _blame(client: DecadeClient) -> None:
    """Say who has lied, though another one had the object."""
    for server in client.blamed:
        note(f"{server} sends something else than it is asked for")


_MAX_NAMES = 64
"""Objects that a token of its usual size names."""


def _credentials(access: Access, servers: Sequence[str], names: Sequence[ObjectName]) -> list[Credential]:
    """None are needed for objects that everybody may read."""
    if access.key is None and not access.given():
        return []
    return access.credentials(servers, Operation.GET, names)


def _candidates(named: Sequence[str], hint: str | None) -> list[str]:
    servers = list(dict.fromkeys((*named, *([hint] if hint is not None else []))))
    if not servers:
        raise MistakeError("who has it? --server https://storage.example, or DECADE_SERVER")
    return servers


async def _nearest(servers: Sequence[str], wanted: _Wanted) -> Sequence[str]:
    if wanted.alto is None or len(servers) == 1:
        return servers
    # Imported here, so that who does not ask need not wait for the libraries.
    from alto.errors import AltoError
    from interop.alto_client import AltoClient
    from interop.decade_ranking import alto_costs

    try:
        async with AltoClient(wanted.alto, strict=False) as alto:
            costs = await alto_costs(alto, servers)
    except AltoError as error:
        # Who is near is good to know, and no condition.
        note(clean(f"--alto: {error}"))
        return servers
    return sorted(servers, key=costs.__getitem__)


class _Progress:
    def __init__(self, shown: Display) -> None:
        self._shown = shown
        self._started = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        self._shown.show(Snapshot(done, total, done / max(time.monotonic() - self._started, 1e-3)))


def _write(octets: bytes, wanted: _Wanted) -> None:
    if wanted.output is None:
        to_stdout(octets)
        return
    with PartialFile(wanted.output) as file:
        file.write(memoryview(octets), 0)
        file.finish(len(octets))


def _range(text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        raise MistakeError(f"--range: {text!r:.40} is not FIRST-LAST, such as 0-1023")
    return int(found[1]), int(found[2])


def _read_index(text: str) -> DataIndex:
    """An index in a file, as octets or in base64url. Raises MistakeError."""
    try:
        with click.open_file(text, "rb") as file:
            octets = file.read(2 * MAX_INDEX)
    except OSError as error:
        raise MistakeError(f"{text}: neither a name, nor a URL, nor a data index: {reason(error)}") from error
    stripped = octets.strip()
    try:
        if re.fullmatch(rb"[A-Za-z0-9_-]+", stripped):
            octets = base64.urlsafe_b64decode(stripped + b"=" * (-len(stripped) % 4))
        return decode_index(octets)
    except (binascii.Error, DecodeError) as error:
        raise MistakeError(f"{text}: no data index: {error}") from error


def _chosen(index: DataIndex, label: str | None) -> Entry:
    if label is None and len(index.entries) == 1:
        return index.entries[0]
    entry = index.entry(label) if label is not None else None
    if entry is None:
        labels = ", ".join(repr(entry.label) for entry in index.entries[:10])
        raise MistakeError(f"--entry LABEL is due, one of {labels}")
    return entry
