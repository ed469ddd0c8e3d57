"""`ietf-p2p decade revoke`: make tokens worthless."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from decade.client_exchange import unverified_claims
from decade.errors import DecodeError
from decade.messages import Revocation
from decade.scope import Operation
from interop.cli._errors import MistakeError
from interop.cli.decade._client import Access, asking, connects
from interop.cli.decade._words import When, read_token_or_file
from interop.decade_keys import KeyFileError, read_verifying_key

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_CTI = 7


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p decade revoke token.txt --server https://storage.example --key alice.pem\n"
    "  ietf-p2p decade revoke --before now",
)
@click.argument("tokens", metavar="[TOKEN]...", nargs=-1)
@click.option("--cti", multiple=True, metavar="HEX", help="The identifier of a token.")
@click.option("--before", type=When(), metavar="WHEN", help="All tokens issued up to a moment: now, 2026-11-26T12:00.")
@click.option(
    "--key-of",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="All tokens of a key, private or public.",
)
@connects
def command(
    tokens: tuple[str, ...], cti: tuple[str, ...], before: int | None, key_of: Path | None, access: Access
) -> int:
    """Make tokens worthless at each --server: those given, in base64url or files with one, those of a time, or a key's.

    A revocation reaches tokens alone of the account whose key asks for it.
    """
    revocation = _revocation([*map(_cti_of, tokens), *map(_from_hex, cti)], before, key_of)

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        if not servers:
            raise MistakeError("a server is due: --server https://storage.example, or DECADE_SERVER")
        for server in servers:
            credentials = access.credentials([server], Operation.REVOKE)
            await client.run((await client.control(server, credentials)).revoke(revocation))
            click.echo(f"revoked at {server}")

    return asking(access, work)


def _revocation(identifiers: list[bytes], before: int | None, key_of: Path | None) -> Revocation:
    try:
        kid = None if key_of is None else read_verifying_key(key_of).kid
    except KeyFileError as error:
        raise MistakeError(str(error)) from error
    try:
        return Revocation(cti=tuple(identifiers) or None, before=before, kid=kid)
    except DecodeError as error:
        raise MistakeError("which tokens? TOKEN or --cti, or --before, or --key-of: one of them is due") from error


def _cti_of(text: str) -> bytes:
    found = unverified_claims(read_token_or_file(text).token).get(_CTI)
    if not isinstance(found, bytes):
        raise MistakeError("a token without an identifier")
    return found


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise MistakeError(f"--cti: {text!r:.80} is not hexadecimal") from error
