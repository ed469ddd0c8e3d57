"""`ietf-p2p decade`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping

import click

from interop.cli._lazy import LazyGroup

# A row for each subcommand: its module's name, and what the help of the group says of it.
_COMMANDS: Mapping[str, str] = {}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    package=__name__,
    invoke_without_command=True,
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Storage inside the network: objects by their hash, tokens, hard limits (DECADE, RFC 7069)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
