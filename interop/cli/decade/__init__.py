"""`ietf-p2p decade`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

import click

from interop.cli._lazy import LazyGroup

# A row for each subcommand: its module's name, and what the help of the group says of it.
_COMMANDS = {
    "serve": "Keep objects for accounts, within their limits, for whoever has a token.",
    "key": "Make a key that mints tokens.",
    "put": "Store files as objects.",
    "get": "Fetch an object, or a file in many of them, verified.",
    "mint": "Make a token, without asking anybody.",
    "revoke": "Make tokens worthless.",
    "ls": "List the objects of an account.",
    "info": "Show what a server is, or what an object has.",
    "rm": "Delete objects.",
    "transfer": "Have servers give objects to one another.",
    "policy": "Show or change what an application of an account may use.",
    "status": "Show what an account has and uses.",
    "demo": "Deliver a file to clients of two protocols, through two servers.",
    "log": "Show who has read the objects of an account, or where they went.",
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    package=__name__,
    invoke_without_command=True,
    epilog="Example:\n\n\b\n  ietf-p2p decade serve --root objects --account alice --key alice.pem --storage 1GB",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Storage inside the network: objects by their hash, tokens, hard limits (DECADE, RFC 7069)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
