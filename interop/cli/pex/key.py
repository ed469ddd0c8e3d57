"""`ietf-p2p pex key`: make the key that issues membership certificates."""

from __future__ import annotations

import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from interop.cli._errors import MistakeError
from interop.membership_keys import MembershipFileError, make_issuer, read_issuer


@click.command(epilog="Example:\n\n\b\n  ietf-p2p pex key ca.pem > ca.pub")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> int:
    """Make a private key (ECDSA on P-256) in FILE, or read the one that is there, and print the public one."""
    try:
        issuer = read_issuer(file) if os.path.exists(file) else make_issuer(file)
    except MembershipFileError as exc:
        raise MistakeError(str(exc)) from exc
    public = load_der_public_key(issuer.public_key)
    click.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), nl=False)
    return 0
