"""`ietf-p2p decade log`: who has read the objects of an account, and where they went."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from decade.client_exchange import Plan
from decade.messages import Accessed, AccessLog, DistributionLog, SentToClient, SentToServer, TimeFrame
from decade.names import Name
from decade.scope import Operation
from decade.values import ObjectName
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli._progress import emit, note, octets
from interop.cli.decade._client import Access, asking, connects, one_server
from interop.cli.decade._words import Span

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_DAY = 86400
_Entry: TypeAlias = Accessed | SentToServer | SentToClient
_Ask: TypeAlias = Callable[[int, int | None, bytes | None], Plan[Any]]


@click.command(
    epilog="Example:\n\n\b\n  ietf-p2p decade log --last 1w --server https://storage.example --key alice.pem"
)
@click.option("--last", type=Span(), default=_DAY, metavar="TIME", help="How far to look back, a day without it.")
@click.option("--distribution", is_flag=True, help="Show where objects went, instead of who has read them.")
@JSON
@connects
def command(last: int, distribution: bool, as_json: bool, access: Access) -> int:
    """Show who has read the objects of the account of the key: a hash of each token, how often, how much.

    Reads are counted by the hour.
    """

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        control = await client.control(server, access.credentials([server], Operation.ACCESS_LOG))
        start = max(0, int(time.time()) - last)
        rows: list[list[_show.Cell]] = []
        ask = control.distribution_log if distribution else control.access_log
        async for entry in _entries(client, ask, start, as_json):
            if as_json:
                emit(**_members(entry))
            else:
                rows.append(_row(entry))
        if not as_json:
            headers = ("NAME", "TO", "LAST") if distribution else ("NAME", "TOKEN", "READS", "SENT", "LAST")
            _show.table(headers, rows, right=() if distribution else (2, 3))

    return asking(access, work)


async def _entries(client: DecadeClient, ask: _Ask, start: int, as_json: bool) -> AsyncIterator[_Entry]:
    cursor: bytes | None = None
    while True:
        page: AccessLog | DistributionLog = await client.run(ask(start, None, cursor))
        if cursor is None:
            _tell(page.frame, as_json)
        found: Sequence[_Entry] = page.entries if isinstance(page, AccessLog) else (*page.servers, *page.clients)
        for entry in found:
            yield entry
        # A server that gives the same cursor again would be asked for ever.
        if page.cursor is None or page.cursor == cursor:
            return
        cursor = page.cursor


def _tell(frame: TimeFrame, as_json: bool) -> None:
    """Say which part of what is asked for the log has."""
    if as_json:
        emit("frame", start=frame.start, end=frame.end)
    else:
        note(f"from {_show.local_time(frame.start)} to {_show.local_time(frame.end)}")


def _members(entry: _Entry) -> dict[str, Any]:
    name = _name(entry.name)
    match entry:
        case Accessed():
            counts = {"reads": entry.reads, "octets": entry.octets, "last": entry.last_read}
            return {"kind": "read", "name": name, "token": entry.token.hex(), **counts}
        case SentToServer():
            return {"kind": "server", "name": name, "server": entry.server, "time": entry.time}
        case SentToClient():
            return {"kind": "client", "name": name, "client": entry.client, "time": entry.time}


def _row(entry: _Entry) -> list[_show.Cell]:
    name = _name(entry.name)
    match entry:
        case Accessed():
            last = _show.local_time(entry.last_read)
            return [name, entry.token.hex() or "-", str(entry.reads), octets(entry.octets), last]
        case SentToServer():
            return [name, entry.server, _show.local_time(entry.time)]
        case SentToClient():
            return [name, entry.client, _show.local_time(entry.time)]


def _name(name: ObjectName) -> str:
    return name.ni() if isinstance(name, Name) else f"{name.publisher.ni()} {name.label.hex()}"
