"""`ietf-p2p alto diff`: what differs between two ALTO documents."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from alto._json import Json
from alto.patch import InexpressibleError, json_diff, merge_diff
from interop.cli import _show
from interop.cli._errors import FailureError, run
from interop.cli._options import JSON
from interop.cli.alto._changes import changes
from interop.cli.alto._client import Access, connects
from interop.cli.alto._documents import read_tree


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto diff monday.json tuesday.json\n"
    "  ietf-p2p alto diff saved.json http://127.0.0.1:7285/network-map --json"
)
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@JSON
@connects(lenient=False, domains=False)
def command(old: str, new: str, as_json: bool, access: Access) -> int:
    """Show what differs between two ALTO documents, which are files or URLs; '-' is standard input.

    As with diff the exit status is 0 where nothing does, 1 where something does, and 2 for trouble. With --json it is a
    JSON patch (RFC 6902), and a merge patch (RFC 7396) where one can say it, null where none can.
    """
    with _trouble():
        before, after = _both(access, old, new)
    if as_json:
        patch = json_diff(before, after)
        _show.as_json({"equal": not patch, "json-patch": patch, "merge-patch": _merge_patch(before, after)})
        return 1 if patch else 0
    found = list(changes(before, after))
    for change in found:
        _show.line(str(change), change.style)
    if not found and json_diff(before, after):
        _show.line("~ prefixes are in another order")
        return 1
    return 1 if found else 0


def _both(access: Access, old: str, new: str) -> tuple[Json, Json]:
    """Both documents. Raises click's exceptions."""
    trees: list[Json] = []

    async def work() -> int:
        trees.extend([await read_tree(access, old), await read_tree(access, new)])
        return 0

    run(work())
    return trees[0], trees[1]


def _merge_patch(old: Json, new: Json) -> Json:
    try:
        return merge_diff(old, new)
    except InexpressibleError:
        return None


class _TroubleError(FailureError):
    """A failure; here 1 means that something differs."""

    exit_code = 2


@contextlib.contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except FailureError as error:
        raise _TroubleError(error.message) from error
