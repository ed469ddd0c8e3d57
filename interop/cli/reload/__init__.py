"""`ietf-p2p reload`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

import click

from interop.cli._lazy import LazyGroup

# A row for each subcommand: its module's name, and what the help of the group says of it.
_COMMANDS = {
    "decode": "Show what is in a message, a frame or a capture.",
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    package=__name__,
    invoke_without_command=True,
    epilog="Example:\n\n\b\n  ietf-p2p reload decode 8000000000000003464f4f",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """A peer-to-peer overlay with signed messages and storage (RELOAD, RFC 6940)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
