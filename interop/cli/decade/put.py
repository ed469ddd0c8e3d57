"""`ietf-p2p decade put`: store files as objects."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

import attrs
import click

from decade.client import MAX_OBJECT
from decade.client_exchange import Credential
from decade.cose import HmacKey
from decade.data_index import DataIndex, Entry, Piece, encode_index
from decade.errors import DecodeError, EncodeError
from decade.http import read_media_type
from decade.named import PublisherKey
from decade.names import NiUri
from decade.scope import Operation
from interop._decade_files import FileSource
from interop.cli._errors import MistakeError, reason
from interop.cli._options import JSON
from interop.cli._progress import Display, Snapshot, display, emit
from interop.cli.decade._client import Access, asking, connects, one_server
from interop.cli.decade._words import Size, Span, named_url, read_collections, read_label
from interop.decade_keys import KeyFileError, read_signing_key

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient


class _Attributes(TypedDict):
    expires: int | None
    media_type: str | None
    collections: tuple[bytes, ...]


@attrs.frozen
class _Wanted:
    """How files are to be stored."""

    expires: int | None
    media_type: str | None
    collections: tuple[bytes, ...]
    piece: int | None
    index: Path | None
    claim: bool
    as_json: bool


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p decade put film.mp4 --server https://storage.example --key alice.pem\n"
    "  ietf-p2p decade put film.mp4 --split 16MiB --index film.index --expires 7d",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--expires", type=Span(), metavar="TIME", help="Keep it so long: 12h, 7d.  [default: as the policy says]")
@click.option("--media-type", metavar="TYPE", help="What it is, such as video/mp4.")
@click.option(
    "--collection", "collections", multiple=True, metavar="NAME", help="A set of objects that it is to be in."
)
@click.option("--split", type=Size(), metavar="SIZE", help="Cut files into objects of this size: 16MiB.")
@click.option(
    "--index", type=click.Path(path_type=Path), help="Where the data index of --split goes.  [default: stdout]"
)
@click.option("--label", metavar="TEXT|0xHEX", help="Store it under this label of a publisher, too: a signed name.")
@click.option(
    "--publisher-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private key of the publisher, which signs the label.",
)
@click.option("--claim", is_flag=True, help="Do not send what the server has: show that it is here, if it lets you.")
@JSON
@connects
def command(
    files: tuple[Path, ...],
    expires: int | None,
    media_type: str | None,
    collections: tuple[str, ...],
    split: int | None,
    index: Path | None,
    label: str | None,
    publisher_key: Path | None,
    claim: bool,
    as_json: bool,
    access: Access,
) -> int:
    """Store files at a server, and print their names.

    With --split each file becomes several objects, and what is printed is a data index, which `get` takes. With --label
    what is printed is a URL, which `get` takes, too.
    """
    if index is not None and split is None:
        raise MistakeError("--index goes with --split")
    signing = _read_signing(label, publisher_key)
    if signing is not None and (len(files) != 1 or split is not None or claim):
        raise MistakeError("--label is of one whole file that is sent: no --split, no --claim")
    if split is not None and split < 1:
        raise MistakeError("--split: an octet at least is due")
    try:
        read_media_type(media_type)
    except DecodeError as error:
        raise MistakeError(f"--media-type: {media_type!r} is none") from error
    until = None if expires is None else int(time.time()) + expires
    wanted = _Wanted(until, media_type, read_collections(collections), split, index, claim, as_json)
    sources = list(map(_source, files))

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        if signing is not None:
            await _put_named(client, access, server, sources[0], wanted, signing)
            return
        credentials = access.credentials([server], Operation.PUT)
        with display("storing", as_json=as_json) as shown:
            puts = _Puts(client, server, credentials, wanted, shown, sum(source.size for source in sources))
            if split is None:
                lines = [await puts.whole(source) for source in sources]
            else:
                entries = tuple([await puts.cut(source, split) for source in sources])
        if split is None:
            for source, uri in zip(sources, lines, strict=True):
                _print(source.path, uri, is_alone=len(sources) == 1, as_json=as_json)
        else:
            _write_index(DataIndex(entries=entries, servers=(server,)), wanted)

    return asking(access, work)


def _read_signing(label: str | None, key: Path | None) -> tuple[bytes, PublisherKey] | None:
    """The label of a signed name, and the key that signs it. Raises MistakeError."""
    if label is None and key is None:
        return None
    if label is None or key is None:
        raise MistakeError("--label and --publisher-key go together")
    try:
        found = read_signing_key(key)
    except KeyFileError as error:
        raise MistakeError(str(error)) from error
    if isinstance(found, HmacKey):
        raise MistakeError(f"{key}: a shared secret signs nothing: a key of Ed25519 or P-256 is due")
    return read_label(label), found


async def _put_named(
    client: DecadeClient,
    access: Access,
    server: str,
    source: FileSource,
    wanted: _Wanted,
    signing: tuple[bytes, PublisherKey],
) -> None:
    """Store a file under a signed name, and print the URL of that."""
    credentials = access.credentials([server], Operation.PUT)
    signed = await client.put_named(
        source,
        *signing,
        server,
        credentials,
        expires=wanted.expires,
        media_type=wanted.media_type,
        collections=wanted.collections,
    )
    url = named_url(signed, server)
    if wanted.as_json:
        emit("stored", file=str(source.path), name=url)
    else:
        click.echo(url)


def _source(path: Path) -> FileSource:
    try:
        return FileSource.whole(path)
    except OSError as error:
        raise MistakeError(f"{path}: {reason(error)}") from error


class _Puts:
    """Files on their way to a server, with the progress of all of them."""

    def __init__(
        self,
        client: DecadeClient,
        server: str,
        credentials: list[Credential],
        wanted: _Wanted,
        shown: Display,
        total: int,
    ) -> None:
        self._client = client
        self._server = server
        self._credentials = credentials
        self._wanted = wanted
        self._shown = shown
        self._total = total
        self._before = 0
        self._started = time.monotonic()

    async def whole(self, source: FileSource) -> NiUri:
        """Store a file; its name."""
        if source.size > MAX_OBJECT:
            limits = (await self._client.info(self._server)).limits
            if source.size > limits.max_object:
                raise MistakeError(
                    f"{source.path}: the server takes up to {limits.max_object} octets (--split cuts it)"
                )
        client, wanted = self._client, self._wanted
        kind = () if wanted.media_type is None else (("ct", wanted.media_type),)
        attributes: _Attributes = {
            "expires": wanted.expires,
            "media_type": wanted.media_type,
            "collections": wanted.collections,
        }
        name = await client.claim(source, self._server, self._credentials, **attributes) if wanted.claim else None
        if name is None:
            name = await client.put(source, self._server, self._credentials, **attributes, on_progress=self._progress)
        self._before += source.size
        return NiUri(name, self._server.partition("://")[2], kind)

    async def cut(self, source: FileSource, size: int) -> Entry:
        """Store a file in several objects; what of it is where."""
        pieces = []
        for offset in range(0, source.size, size):
            part = FileSource(source.path, min(size, source.size - offset), offset)
            uri = await self.whole(part)
            pieces.append(Piece(name=uri.name, length=part.size))
        return Entry(label=source.path.name, pieces=tuple(pieces), media_type=self._wanted.media_type)

    def _progress(self, done: int, _: int | None) -> None:
        done += self._before
        rate = done / max(time.monotonic() - self._started, 1e-3)
        self._shown.show(Snapshot(done, self._total, rate))


def _print(path: Path, uri: NiUri, *, is_alone: bool, as_json: bool) -> None:
    text = _text(uri)
    if as_json:
        emit("stored", file=str(path), name=text)
    else:
        click.echo(text if is_alone else f"{text}  {path}")


def _text(uri: NiUri) -> str:
    """The ni URI, with the type that the object is to have (RFC 6920 section 3.1)."""
    query = "" if uri.content_type is None else f"?ct={quote(uri.content_type, safe='/+')}"
    return uri.name.ni(uri.authority) + query


def _write_index(index: DataIndex, wanted: _Wanted) -> None:
    try:
        octets = encode_index(index)
    except EncodeError as error:
        raise MistakeError(f"the data index: {error} (a larger --split makes it shorter)") from error
    if wanted.index is not None:
        try:
            wanted.index.write_bytes(octets)
        except OSError as error:
            raise MistakeError(f"--index {wanted.index}: {reason(error)}") from error
        return
    text = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    if wanted.as_json:
        emit("stored", index=text)
    else:
        click.echo(text)
