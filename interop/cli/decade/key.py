"""`ietf-p2p decade key`: make a key that mints tokens."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from decade.cose import Ed25519SigningKey
from interop.cli._errors import MistakeError, reason
from interop.decade_keys import KeyFileError, read_signing_key


@click.command(epilog="Example:\n\n\b\n  ietf-p2p decade key alice.pem --account alice")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--account", default="alice", show_default=True, metavar="NAME", help="Whose it is to be.")
def command(file: Path, account: str) -> int:
    """Make a private key of Ed25519 in FILE, or read the one that is there, and print what makes a server know it."""
    if not file.exists():
        _make(file)
    try:
        key = read_signing_key(file)
    except KeyFileError as error:
        raise MistakeError(str(error)) from error
    if not isinstance(key, Ed25519SigningKey):
        raise MistakeError(f"{file}: no key of Ed25519: a server reads it from a file")
    public = base64.urlsafe_b64encode(key.public.octets).rstrip(b"=").decode()
    click.echo(f'[accounts.{_quoted(account)}.keys.{_quoted(file.stem)}]\npublic = "{public}"')
    return 0


def _make(file: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as out:
            out.write(pem)
    except OSError as error:
        raise MistakeError(f"{file}: {reason(error)}") from error


def _quoted(text: str) -> str:
    """A key of TOML."""
    plain = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
