"""`ietf-p2p decade policy`: what an application of an account may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import click

from decade.client_exchange import FailedError
from decade.errors import ErrorCode
from decade.messages import ResourcePolicy
from decade.scope import Operation
from decade.values import MAX_WEIGHT, Priority
from interop.cli import _show
from interop.cli._errors import MistakeError
from interop.cli._options import JSON
from interop.cli.decade._client import Access, asking, connects, one_server
from interop.cli.decade._words import Rate, Size, Span
from interop.cli.decade.status import limits, members

if TYPE_CHECKING:
    from decade.client_control import Control
    from interop.decade_client import DecadeClient


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p decade policy --server https://storage.example --key alice.pem\n"
    "  ietf-p2p decade policy films --weight 3 --storage 4GB --download 20M",
)
@click.argument("app", required=False, metavar="[APP]")
@click.option("--weight", type=click.IntRange(1, MAX_WEIGHT), help="Its share of the bandwidth among its siblings.")
@click.option("--storage", type=Size(), metavar="SIZE", help="Octets that it may store.")
@click.option("--download", "ceiling_download", type=Rate(), metavar="RATE", help="The most bit/s to its readers.")
@click.option("--upload", "ceiling_upload", type=Rate(), metavar="RATE", help="The most bit/s of what it stores.")
@click.option("--connections", type=click.IntRange(0), help="Transfers at a time.")
@click.option("--lifetime", "longest_lifetime", type=Span(), metavar="TIME", help="The longest that objects are kept.")
@click.option("--priority", type=click.Choice([priority.name.lower() for priority in Priority]), help="Who goes first.")
@click.option("--delete", is_flag=True, help="Take the application away.")
@JSON
@connects
def command(app: str | None, delete: bool, as_json: bool, access: Access, **options: Any) -> int:
    """Show what the account of the key, or an application of it, may use at a server; with options, change it.

    An application that is not there is made. What no option says stays as it is.
    """
    changes = {name: value for name, value in options.items() if value is not None}
    if "priority" in changes:
        changes["priority"] = Priority[changes["priority"].upper()]
    if app is None and (changes or delete):
        raise MistakeError("the policy of an account is its provider's: say which APP")
    if changes and delete:
        raise MistakeError("--delete goes alone")

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        control = await client.control(server, access.credentials([server], Operation.POLICY))
        if delete and app is not None:
            await client.run(control.delete_policy(app))
            return
        if changes and app is not None:
            found = _changed(await _current(client, control, app), changes)
            await client.run(control.put_policy(found, app))
        else:
            found = await client.run(control.policy(app))
        if as_json:
            _show.as_json(members(found))
        else:
            _show.line(f"weight {found.weight}, {limits(found)}")

    return asking(access, work)


def _changed(policy: Any, changes: Mapping[str, Any]) -> ResourcePolicy:
    found: ResourcePolicy = attrs.evolve(policy, **changes)
    return found


async def _current(client: DecadeClient, control: Control, app: str) -> ResourcePolicy:
    try:
        return await client.run(control.policy(app))
    except FailedError as error:
        if error.failures[-1].code != ErrorCode.NOT_FOUND:
            raise
        return ResourcePolicy(weight=1)
