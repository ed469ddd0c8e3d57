"""What several commands take about peer exchange (RFC 7574 section 3.10): whether, and with which certificates."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from interop.cli._errors import MistakeError
from interop.cli._options import text_of
from interop.cli._progress import note
from interop.peer import SwarmPeer
from ppsp.errors import MembershipError
from ppsp.membership import LIFETIME_SECONDS, MembershipIssuer, MembershipVerifier
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange

if TYPE_CHECKING:
    from interop.membership_keys import Authority

_Result = TypeVar("_Result")


# Seconds between two looks at whether the files of our certificates are others, and at whether these still hold.
_LOOK_SECONDS = 1.0
_CHECK_SECONDS = 60.0


@attrs.frozen
class Pex:
    """What was said of peer exchange; our certificates, or what will be, are in `files`."""

    wanted: bool
    files: tuple[Path, ...]
    authority: Authority | None

    @property
    def membership_key(self) -> bytes | None:
        """For the metadata of what is published: who issues certificates."""
        return None if self.authority is None else self.authority.public_key

    def exchange(self, metadata: SwarmMetadata) -> PeerExchange | None:
        """How it is done in a swarm; None for not at all. Raises MistakeError for what does not fit that swarm."""
        if self.files and metadata.membership_key is None:
            raise MistakeError("--pex-certificate: the URI names no issuer of certificates (seed it with --pex-ca)")
        if not (self.wanted or self.files or self.authority):
            return None
        try:
            exchange = PeerExchange.of(metadata)
            if self.files:
                self._own(metadata)
        except MembershipError as exc:
            raise MistakeError(f"the URI's x.ca: {exc}") from exc
        except MistakeError:
            # Of several swarms one may have its certificate while that of another is still to come.
            if all(_version(path) is not None for path in self.files):
                raise
        return exchange

    def _own(self, metadata: SwarmMetadata) -> tuple[bytes, str] | None:
        """Our certificate of this swarm, and the address in it; None while its file is not there.

        Raises MembershipError for the issuer's key, and MistakeError for files without a certificate that is any good.
        """
        from interop.membership_keys import MembershipFileError, read_certificate

        troubles = []
        for path in [path for path in self.files if _version(path) is not None]:
            assert metadata.membership_key is not None
            verifier = MembershipVerifier(metadata.membership_key)
            try:
                certificate = read_certificate(path)
                return certificate, text_of(verifier.check(certificate, metadata.swarm_id, time.time()))
            except MembershipFileError as exc:
                troubles.append(f"--pex-certificate {exc}")
            except MembershipError as exc:
                troubles.append(f"--pex-certificate {path}: {exc}")
        if troubles:
            raise MistakeError(troubles[0])
        return None

    @contextlib.asynccontextmanager
    async def certified(self, peer: SwarmPeer) -> AsyncIterator[None]:
        """Give the peer its certificate as it comes and changes, or make it, with the issuer's private key."""
        issuer = None if self.authority is None else self.authority.issuer
        if self.files:
            task = asyncio.create_task(self._follow(peer))
        elif issuer is not None:
            task = asyncio.create_task(_issue_again(issuer, peer))
        else:
            yield
            return
        try:
            yield
        finally:
            task.cancel()

    async def _follow(self, peer: SwarmPeer) -> None:
        """Take the certificate as it comes, and each that replaces it; say so when it is over."""
        known: list[int | None] = []
        told, checked = "", 0.0
        while True:
            versions, now = [_version(path) for path in self.files], time.time()
            if versions != known or not checked <= now < checked + _CHECK_SECONDS:
                try:
                    own = self._own(peer.uri.metadata)
                except MistakeError as exc:
                    text = exc.message
                else:
                    if own is not None:
                        peer.certify(own[0])
                    text = _none_yet(peer) if own is None else f"certified to others: we are at {own[1]}"
                if versions != known or text != told:
                    note(text)
                known, told, checked = versions, text, now
            await asyncio.sleep(_LOOK_SECONDS)


def _version(path: Path) -> int | None:
    """What changes when the file does; None while it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _none_yet(peer: SwarmPeer) -> str:
    where = _seen_at(peer)
    told = "" if where is None else f": `ietf-p2p pex issue` makes one for {text_of(where)}"
    return f"no certificate of our own yet{told}"


def _seen_at(peer: SwarmPeer) -> tuple[str, int] | None:
    """Where others find the peer: where a STUN server sees it, or where it listens, if that tells anything."""
    if peer.seen_at is not None:
        return peer.seen_at
    host, port = peer.local_address[:2]
    ip = ipaddress.ip_address(host)
    return None if ip.is_unspecified or ip.is_link_local else (host, port)


async def _issue_again(issuer: MembershipIssuer, peer: SwarmPeer) -> None:
    """Certify the peer where others find it: anew when that is another place, and before the certificate is over."""
    known: tuple[str, int] | None = ("", 0)
    issued = 0.0
    while True:
        where, now = _seen_at(peer), time.time()
        if where is not None and (where != known or not issued <= now < issued + LIFETIME_SECONDS / 2):
            try:
                peer.certify(issuer.issue(peer.uri.metadata.swarm_id, *where, now))
            except MembershipError as exc:
                note(f"no certificate of our own: {exc}")
                return
            issued = now
        if where != known:
            listen = text_of(peer.local_address)
            note(
                f"no certificate of our own: neither --listen {listen} nor a STUN server tells where others find us"
                if where is None
                else f"certified to others: we are at {text_of(where)}"
            )
        known = where
        await asyncio.sleep(_LOOK_SECONDS)


def _authority(ctx: click.Context, param: click.Parameter, value: Path | None) -> Authority | None:
    if value is None:
        return None
    # Whoever has nothing to do with certificates does not wait for their library.
    from interop.membership_keys import MembershipFileError, read_authority

    try:
        return read_authority(value)
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
    "own",
    type=_PATH,
    multiple=True,
    metavar="FILE",
    help="Our own membership certificate (PEM), which `ietf-p2p pex issue` makes; it may come later. Implies --pex.",
)
_CA = click.option(
    "--pex-ca",
    "authority",
    type=_PATH,
    callback=_authority,
    metavar="FILE",
    help="Who issues membership certificates, for the URI to say: a public key (PEM). With the private one we issue "
    "our own, for where --stun sees us or else the address of --listen. Implies --pex.",
)


def pex_options(*, publishes: bool) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Options that say how peers hear of each other; the command is given `pex`. Who publishes chooses the issuer."""

    def decorate(command: Callable[..., _Result]) -> Callable[..., _Result]:
        @functools.wraps(command)
        def with_pex(pex: bool, own: tuple[Path, ...], authority: Authority | None = None, **words: Any) -> _Result:
            return command(pex=Pex(pex, own, authority), **words)

        return _PEX(_CERTIFICATE(_CA(with_pex) if publishes else with_pex))

    return decorate
