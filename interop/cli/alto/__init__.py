"""`ietf-p2p alto`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

import click

from interop.cli._lazy import LazyGroup

# A row for each subcommand: its module's name, and what the help of the group says of it.
_COMMANDS = {
    "serve": "Publish maps and costs (RFC 7285), and push their changes.",
    "ird": "List what a server has.",
    "map": "Show a network map: its PIDs, and the prefixes in them.",
    "pid": "Show in which PID an address is, and why.",
    "cost": "Show what it costs to get from here to there.",
    "rank": "Sort addresses, the best first.",
    "props": "Show properties of addresses, PIDs and other entities (RFC 9240).",
    "pv": "Show the network elements that traffic goes through and shares (RFC 9275).",
    "watch": "Print how documents change, as they change (RFC 8895, RFC 9569).",
    "diff": "Show what differs between two documents.",
    "discover": "Find the servers of a domain or an address in the DNS (RFC 7286, RFC 8686).",
    "viz": "Write one HTML page that shows a server's maps and costs.",
    "validate": "Check documents and servers against the RFCs, clause by clause.",
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    package=__name__,
    invoke_without_command=True,
    epilog="Example:\n\n\b\n  ietf-p2p alto serve",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Which peer is near: network maps, costs and properties that a network publishes (ALTO, RFC 7285)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
