"""`ietf-p2p alto watch`: documents as they change."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from alto import media
from alto._json import Json, JsonError, loads
from alto.closure import Closure
from alto.errors import ConfigurationError
from alto.patch import json_diff
from alto.updates_client import ResourceInvalidated, ResourceUpdated
from interop.alto_watch import Update, stream_for, watch_by_tips, watch_stream
from interop.cli import _show
from interop.cli._errors import MistakeError
from interop.cli._options import JSON
from interop.cli._progress import emit
from interop.cli.alto._changes import changes, summary
from interop.cli.alto._client import URL, Access, asking, connects

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

_VERSIONS = ("meta/vtag", "meta/dependent-vtags")
_Input = dict[str, Json]


def _inputs(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> _Input:
    found: _Input = {}
    for text in value:
        name, _, body = text.partition("=")
        try:
            found[name] = loads(body.encode())
        except JsonError as error:
            raise click.BadParameter(f"{text!r:.80} is not ID=JSON: {error}") from error
    return found


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto watch http://127.0.0.1:7285/\n"
    "  ietf-p2p alto watch http://127.0.0.1:7285/ network-map costs --tips"
)
@URL
@click.argument("resources", metavar="[RESOURCE...]", nargs=-1)
@click.option("--sse", "way", flag_value="sse", help="By an update stream (RFC 8895) or not at all.")
@click.option("--tips", "way", flag_value="tips", help="By TIPS (RFC 9569) or not at all.")
@click.option("--input", "inputs", multiple=True, callback=_inputs, metavar="ID=JSON", help="What a resource is asked.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many updates. [default: never]")
@click.option("--lines", type=click.IntRange(min=0), default=20, show_default=True, help="Changes to print of each.")
@JSON
@connects()
def command(
    url: str,
    resources: tuple[str, ...],
    way: str | None,
    inputs: _Input,
    count: int | None,
    lines: int,
    as_json: bool,
    access: Access,
) -> int:
    """Print how documents of the ALTO server at URL change, until Ctrl-C: first as they are, then what is new.

    Each RESOURCE is an ID that 'ietf-p2p alto ird' lists. [default: all that the server sends updates of by itself]
    """

    async def work(alto: AltoClient) -> None:
        names = resources or _all(await alto.directory(), way)
        teller = _Teller(as_json, lines)
        left = count
        async with contextlib.aclosing(await _updates(alto, names, way, inputs)) as updates:
            async for update in updates:
                teller.tell(update)
                if left is not None and isinstance(update, ResourceUpdated):
                    left -= 1
                if left == 0:
                    return

    return asking(access, url, work)


def _all(closure: Closure, way: str | None) -> Sequence[str]:
    """What one service has updates of, without input: by an update stream, else by TIPS. Raises MistakeError."""
    kinds = [(media.EVENT_STREAM, media.UPDATE_STREAM_PARAMS)] if way != "tips" else []
    kinds += [(media.TIPS, media.TIPS_PARAMS)] if way != "sse" else []
    for document_type, accepts in kinds:
        for service in closure.of_type(document_type, accepts=accepts):
            used = [closure.entries[name] for name in service.uses if name in closure.entries]
            names = [entry.id for entry in used if entry.accepts is None]
            if names:
                return names
    raise MistakeError("this server sends no updates" + (f" by {way.upper()}" if way else ""))


async def _updates(
    alto: AltoClient, names: Sequence[str], way: str | None, inputs: Mapping[str, Json]
) -> AsyncGenerator[Update, None]:
    closure = await alto.directory()
    unknown = [name for name in (*names, *inputs) if name not in closure.entries]
    if unknown:
        raise ConfigurationError(f"this server has no resource {unknown[0]!r:.80}")
    if way == "sse":
        service = stream_for(closure, names)
        if service is None:
            raise ConfigurationError("this server has no update stream with all these resources")
        return watch_stream(alto, service, names, inputs)
    if way == "tips":
        return watch_by_tips(alto, names, inputs)
    return alto.watch(*names, inputs=inputs)


class _Teller:
    """Remembers each document, to tell how the next version differs."""

    def __init__(self, as_json: bool, lines: int) -> None:
        self._as_json = as_json
        self._lines = lines
        self._before: dict[str, Json] = {}

    def tell(self, update: Update) -> None:
        """Print one update."""
        if isinstance(update, ResourceInvalidated):
            if self._as_json:
                emit("invalidated", resource=update.substream_id)
            else:
                self._head(update.substream_id, "out of date until its next update")
            return
        name = update.resource_id
        tree = update.tree if update.tree is not None else dict(update.parts)
        tag = update.vtag.tag if update.vtag is not None else None
        is_first = name not in self._before
        before = self._before.get(name)
        self._before[name] = tree
        if self._as_json:
            content = {"document": tree} if is_first else {"patch": json_diff(before, tree)}
            emit("update", resource=name, tag=tag, **content)
        elif is_first:
            self._head(name, f"{summary(tree)}{_version(tag)}")
        else:
            self._changes(name, before, tree, tag)

    def _changes(self, name: str, before: Json, tree: Json, tag: str | None) -> None:
        # The version is told once, and so are those that it depends on, by their own updates.
        found = [change for change in changes(before, tree) if not change.where.startswith(_VERSIONS)]
        self._head(name, f"{_show.counted(len(found), 'change')}{_version(tag)}")
        for change in found[: self._lines]:
            _show.line(f"  {change}", change.style)
        if len(found) > self._lines > 0:
            _show.line(f"  … and {len(found) - self._lines} more", "dim")

    def _head(self, name: str, text: str) -> None:
        _show.line(f"{time.strftime('%H:%M:%S')} {name}: {text}", "bold")


def _version(tag: str | None) -> str:
    return f" (version {tag[:12]})" if tag is not None else ""
