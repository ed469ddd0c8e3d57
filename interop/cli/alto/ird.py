"""`ietf-p2p alto ird`: what an ALTO server has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from alto import media
from alto._json import Json
from alto.closure import Closure
from alto.ird import ResourceEntry
from alto.metrics import NUMERICAL, ORDINAL
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects
from interop.cli.alto._names import kind_of

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

# Names of one list that are shown: an update stream uses everything.
_MOST = 3
_FEATURES = {"cost-constraints": "constraints", "support-stream-control": "stream control"}


@click.command(epilog="Example:\n\n\b\n  ietf-p2p alto ird http://127.0.0.1:7285/ --tree")
@URL
@click.option("--tree", "as_tree", is_flag=True, help="Show what depends on what.")
@JSON
@connects()
def command(url: str, as_tree: bool, as_json: bool, access: Access) -> int:
    """List what the ALTO server at URL has (RFC 7285 section 9), in all its directories.

    URL may be a domain, too, whose server is then looked up in the DNS (RFC 7286).
    """

    async def work(alto: AltoClient) -> None:
        closure = await alto.directory()
        if as_json:
            _show.as_json(_json(closure))
        elif as_tree:
            for line in _tree(closure):
                _show.line(line)
        else:
            _tables(closure)

    return asking(access, url, work)


def _json(closure: Closure) -> dict[str, Json]:
    default = closure.default_network_map
    return {
        "default-network-map": default.id if default is not None else None,
        "is-complete": closure.is_complete,
        "directories": {uri: directory.to_json() for uri, directory in closure.directories.items()},
    }


def _tables(closure: Closure) -> None:
    default = closure.default_network_map
    for uri, directory in closure.directories.items():
        rows: list[list[_show.Cell]] = []
        for entry in directory.resources.values():
            name = (f"{entry.id} *", "bold") if default is not None and entry.id == default.id else entry.id
            offers = "; ".join([*_costs(closure, entry), *_capabilities(entry)])
            rows.append([name, kind_of(entry), _first(entry.uses), offers])
        _show.table(["ID", "TYPE", "USES", "OFFERS"], rows, title=uri)
    if default is not None:
        _show.line("* the default network map", "dim")


def _costs(closure: Closure, entry: ResourceEntry) -> Iterator[str]:
    """Its metrics, a text for each cost mode."""
    modes: dict[str, list[str]] = {}
    for cost_type in closure.cost_types[entry.id].values():
        modes.setdefault(cost_type.cost_mode, []).append(cost_type.cost_metric)
    ranks = modes.pop(ORDINAL, [])
    numbers = modes.pop(NUMERICAL, [])
    if numbers:
        yield ", ".join(numbers) + (" (ranks too)" if ranks == numbers else "")
    if ranks and ranks != numbers:
        yield f"ranks of {', '.join(ranks)}"
    for mode, metrics in modes.items():
        yield f"{mode} of {', '.join(metrics)}"


def _capabilities(entry: ResourceEntry) -> Iterator[str]:
    """What the entry says of itself beyond its cost types, a few words each; with --json it is all there."""
    for name, value in entry.capabilities.items():
        if name in ("cost-type-names", "incremental-change-media-types") or value is False:
            continue
        if name == "mappings":
            yield from (f"{domain}: {_first(properties)}" for domain, properties in value.items())
        elif name == "calendar-attributes":
            for each in value:
                size = _show.span(float(each["time-interval-size"]))
                yield f"calendar of {each['number-of-intervals']} × {size}"
        elif name == "max-cost-types":
            yield f"{_show.value_text(value)} at once"
        elif name == "testable-cost-type-names":
            yield f"constraints on {_first(value)}"
        elif name in _FEATURES and value is True:
            yield _FEATURES[name]
        elif isinstance(value, list) and all(isinstance(element, str) for element in value):
            yield _first(value)
        else:
            yield f"{name}: {_show.value_text(value)}"


def _first(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" … {len(names) - _MOST} more" if len(names) > _MOST + 1 else ""
    return ", ".join(names[:_MOST] if more else names) + more


def _tree(closure: Closure) -> Iterator[str]:
    """Each resource below the first that it uses, and each IRD below the entry that leads to it."""
    below: dict[str, list[str]] = {}
    tops: list[str] = []
    for entry in closure.entries.values():
        used = next((name for name in entry.uses if name in closure.entries and name != entry.id), None)
        if used is None:
            tops.append(entry.id)
        else:
            below.setdefault(used, []).append(entry.id)
    done: set[str] = set()
    yield next(iter(closure.directories))
    # Those that use each other in a circle hang below no top.
    for top in (*tops, *closure.entries):
        waiting = [(top, 1)] if top not in done else []
        while waiting:
            name, level = waiting.pop()
            if name in done:
                continue
            done.add(name)
            yield f"{'  ' * min(level, 20)}{_tree_line(closure, closure.entries[name])}"
            waiting.extend((each, level + 1) for each in reversed(below.get(name, [])))


def _tree_line(closure: Closure, entry: ResourceEntry) -> str:
    costs = "; ".join(_costs(closure, entry))
    text = f"{entry.id} ({kind_of(entry)}{f'; {costs}' if costs else ''})"
    text += f", uses {_first(entry.uses[1:])} too" if len(entry.uses) > 1 else ""
    if entry.document_type == media.DIRECTORY:
        text += f" → {entry.uri}"
    default = closure.default_network_map
    return f"{text} *" if default is not None and default.id == entry.id else text
