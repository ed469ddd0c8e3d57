"""`ietf-p2p alto`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

import click

from interop.cli._lazy import LazyGroup

# A row for each subcommand: its module's name, and what the help of the group says of it.
_COMMANDS = {
    "serve": "Publish maps and costs (RFC 7285), and push their changes.",
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
