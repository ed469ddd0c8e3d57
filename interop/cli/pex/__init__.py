"""`ietf-p2p pex`: a module for each subcommand, exporting `command`, imported when it is called."""

from __future__ import annotations

import click

from interop.cli._lazy import LazyGroup

_COMMANDS = {
    "key": "Make the key that issues certificates.",
    "issue": "Issue the certificate of a peer at an address.",
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    package=__name__,
    invoke_without_command=True,
    epilog="Example:\n\n\b\n  ietf-p2p pex key ca.pem > ca.pub\n"
    "  ietf-p2p seed film.mp4 --pex-ca ca.pem --listen 203.0.113.5:6778\n"
    "  ietf-p2p pex issue ca.pem 'magnet:?…&x.ca=…' 203.0.113.9:6778 -o member.pem",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Membership certificates, by which peers tell each other of peers on the Internet (RFC 7574 section 12.2)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
