"""What several commands take about peer exchange (RFC 7574 section 3.10): whether, and with which certificates."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from interop.cli._errors import MistakeError
from interop.cli._options import text_of
from interop.cli._progress import note
from interop.membership_keys import Authority, MembershipFileError, read_authority, read_certificate
from interop.peer import SwarmPeer
from ppsp.errors import MembershipError
from ppsp.membership import LIFETIME_SECONDS, MembershipIssuer
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange

_Result = TypeVar("_Result")


@attrs.frozen
class Pex:
    """What was said of peer exchange; `certificates` are our own, each with the file that it is from."""

    wanted: bool
    certificates: tuple[tuple[Path, bytes], ...]
    authority: Authority | None

    @property
    def membership_key(self) -> bytes | None:
        """For the metadata of what is published: who issues certificates."""
        return None if self.authority is None else self.authority.public_key

    def exchange(self, metadata: SwarmMetadata) -> PeerExchange | None:
        """How it is done in a swarm; None for not at all. Raises MistakeError for what does not fit that swarm."""
        if self.certificates and metadata.membership_key is None:
            raise MistakeError("--pex-certificate: the URI names no issuer of certificates (seed it with --pex-ca)")
        if not (self.wanted or self.certificates or self.authority):
            return None
        try:
            exchange = PeerExchange.of(metadata)
        except MembershipError as exc:
            raise MistakeError(f"the URI's x.ca: {exc}") from exc
        return attrs.evolve(exchange, certificate=self._own(exchange, metadata)) if self.certificates else exchange

    def _own(self, exchange: PeerExchange, metadata: SwarmMetadata) -> bytes:
        """The certificate that is of this swarm."""
        assert exchange.verifier is not None
        troubles = []
        for path, certificate in self.certificates:
            try:
                host, port = exchange.verifier.check(certificate, metadata.swarm_id, time.time())
            except MembershipError as exc:
                troubles.append(f"--pex-certificate {path}: {exc}")
                continue
            note(f"{path} says that we are at {text_of((host, port))}")
            return certificate
        raise MistakeError(troubles[0])

    @contextlib.asynccontextmanager
    async def issuing(self, peers: Sequence[SwarmPeer]) -> AsyncIterator[None]:
        """Who has the issuer's private key makes certificates for its own address, anew as they expire."""
        issuer = None if self.authority is None else self.authority.issuer
        if issuer is None or self.certificates:
            yield
            return
        host, port = peers[0].local_address[:2]
        ip = ipaddress.ip_address(host)
        if ip.is_unspecified or ip.is_link_local:
            note(f"no certificate of our own: --listen {text_of((host, port))} does not tell where others find us")
            yield
            return
        _certify(issuer, peers, host, port)
        task = asyncio.create_task(_certify_again(issuer, peers, host, port))
        try:
            yield
        finally:
            task.cancel()


def _certify(issuer: MembershipIssuer, peers: Sequence[SwarmPeer], host: str, port: int) -> None:
    for peer in peers:
        peer.certify(issuer.issue(peer.uri.metadata.swarm_id, host, port, time.time()))


async def _certify_again(issuer: MembershipIssuer, peers: Sequence[SwarmPeer], host: str, port: int) -> None:
    while True:
        await asyncio.sleep(LIFETIME_SECONDS / 2)
        _certify(issuer, peers, host, port)


def _certificates(
    ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]
) -> tuple[tuple[Path, bytes], ...]:
    try:
        return tuple((path, read_certificate(path)) for path in value)
    except MembershipFileError as exc:
        raise click.BadParameter(str(exc)) from exc


def _authority(ctx: click.Context, param: click.Parameter, value: Path | None) -> Authority | None:
    try:
        return None if value is None else read_authority(value)
    except MembershipFileError as exc:
        raise click.BadParameter(str(exc)) from exc


_PATH = click.Path(path_type=Path, dir_okay=False)
_PEX = click.option(
    "--pex",
    is_flag=True,
    help="Tell peers of other peers, and believe them: where the URI names an issuer of certificates, of members that "
    "have one; else of anybody, for networks where everybody is trusted.",
)
_CERTIFICATE = click.option(
    "--pex-certificate",
    "certificates",
    type=_PATH,
    multiple=True,
    callback=_certificates,
    metavar="FILE",
    help="Our own membership certificate (PEM), which `ietf-p2p pex issue` makes; --pex with it.",
)
_CA = click.option(
    "--pex-ca",
    "authority",
    type=_PATH,
    callback=_authority,
    metavar="FILE",
    help="Who issues membership certificates, for the URI to say: a public key (PEM). With the private one we issue "
    "our own, for the address of --listen; --pex with it.",
)


def pex_options(*, publishes: bool) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Options that say how peers hear of each other; the command is given `pex`. Who publishes chooses the issuer."""

    def decorate(command: Callable[..., _Result]) -> Callable[..., _Result]:
        @functools.wraps(command)
        def with_pex(
            pex: bool, certificates: tuple[tuple[Path, bytes], ...], authority: Authority | None = None, **words: Any
        ) -> _Result:
            return command(pex=Pex(pex, certificates, authority), **words)

        return _PEX(_CERTIFICATE(_CA(with_pex) if publishes else with_pex))

    return decorate
