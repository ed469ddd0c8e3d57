"""`ietf-p2p pex issue`: issue the membership certificate of a peer at an address."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from pathlib import Path

import attrs
import click
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from interop._whole_files import replace
from interop.cli._copies import swarm_uri
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import host_port, text_of
from interop.cli._peers import entered
from interop.cli._progress import note
from interop.live import LivePeer
from interop.membership_keys import MembershipFileError, read_issuer
from interop.peer import SwarmPeer
from interop.swarm_socket import ANY_ADDRESS
from ppsp.errors import MembershipError
from ppsp.membership import MembershipIssuer
from ppsp.metadata import SwarmUri
from ppsp.store import MemoryChunks, MemoryStore

_DAY = 86_400


@attrs.frozen
class _Request:
    issuer: MembershipIssuer
    uri: SwarmUri
    address: tuple[str, int]
    days: float
    unchecked: bool
    timeout: float
    output: Path | None


@click.command(
    epilog="Example:\n\n\b\n"
    "  ietf-p2p pex issue ca.pem 'magnet:?xt=urn:ppspp:1140…&x.ca=…' 203.0.113.9:6778 -o member.pem"
)
@click.argument("key", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("uri", callback=swarm_uri)
@click.argument("address", type=host_port, metavar="HOST:PORT")
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), default=30, show_default=True, help="Its life.")
@click.option("--unchecked", is_flag=True, help="Do not ask first whether there is such a peer.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=10, show_default=True, metavar="SECONDS")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: stdout]"
)
def command(key: Path, uri: SwarmUri, address: tuple[str, int], **rest: object) -> int:
    """Issue a certificate: the peer at HOST:PORT, an IP address as others see it, is a member of the swarm of URI.

    KEY is the private key whose public one the URI names (`seed --pex-ca`). The peer must be running: it is spoken to
    first, so that nobody gets a certificate for the address of another (RFC 7574 section 12.2.2). Hand the certificate
    to who runs the peer, for `--pex-certificate`.
    """
    try:
        issuer = read_issuer(key)
    except MembershipFileError as exc:
        raise MistakeError(str(exc)) from exc
    if uri.metadata.membership_key != issuer.public_key:
        other = f"another issuer than {key}" if uri.metadata.membership_key else "no issuer (seed it with --pex-ca)"
        raise MistakeError(f"the URI names {other}")
    try:
        ip = ipaddress.ip_address(address[0])
    except ValueError as exc:
        raise MistakeError(f"{address[0]} is a name: a certificate is of an IP address") from exc
    host = str((ip.ipv4_mapped or ip) if ip.version == 6 else ip)
    request = _Request(issuer, uri, (host, address[1]), **rest)  # type: ignore[arg-type] # as the options have it
    if request.output is not None and os.path.exists(request.output) and request.output.samefile(key):
        raise MistakeError(f"-o {request.output}: this is the private key")
    return run(_issue(request))


async def _issue(request: _Request) -> int:
    swarm_id = request.uri.metadata.swarm_id
    try:
        der = request.issuer.issue(swarm_id, *request.address, time.time(), lifetime=request.days * _DAY)
    except (ValueError, MembershipError) as exc:
        raise MistakeError(str(exc)) from exc
    if not request.unchecked:
        await _meet(request)
    pem = load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    if request.output is None:
        click.echo(pem, nl=False)
        return 0
    try:
        await asyncio.to_thread(replace, request.output, pem)
    except OSError as exc:
        raise MistakeError(f"{request.output}: {reason(exc)}") from exc
    note(f"{request.output}: {text_of(request.address)} is a member for {request.days:g} days")
    return 0


async def _meet(request: _Request) -> None:
    """The return routability check: a peer of the swarm answers at the address, and nobody else can have sent that.

    Others that call us meanwhile prove nothing about it.
    """
    alone = attrs.evolve(request.uri, trackers=())
    where = text_of(request.address)
    local = ("::", 0) if ":" in request.address[0] else ANY_ADDRESS
    store = MemoryChunks() if alone.metadata.is_variable else MemoryStore()
    peer = (
        LivePeer(alone, local=local, peers=[request.address])
        if alone.metadata.is_live
        else SwarmPeer(alone, store, local=local, peers=[request.address])
    )
    async with entered(peer, local):
        try:
            async with asyncio.timeout(request.timeout):
                while where not in [text_of(one.address) for one in peer.stats.peers]:
                    await peer.news()
        except TimeoutError as exc:
            raise FailureError(f"no peer of this swarm answers at {where}, and nothing is issued") from exc
