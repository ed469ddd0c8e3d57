"""`ietf-p2p alto serve`: an ALTO server from files, until it is stopped."""

from __future__ import annotations

import click


@click.command(epilog="Example:\n\n\b\n  ietf-p2p alto serve")
def command() -> None:
    """Publish maps and costs (ALTO, RFC 7285), and push their changes."""
