"""The scenario from its beginning to its end."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from pathlib import Path
from typing import Protocol

import attrs

from interop.decade_client import DecadeClient
from interop.decade_figure7 import clients, expect, policies
from interop.decade_figure7._processes import Program, Programs
from interop.decade_figure7._servers import ACCOUNT, OTHER, SHARES, Keys, Servers, Site
from interop.decade_figure7.clients import Peer, Place, Swarm
from interop.decade_figure7.source import Source

SLOW = 60
"""Times slower than Sa the source's application is until a client has been seen to read at Sb: so that nothing is over
before the programs have started, on whatever machine.
"""
REFUSALS = {
    "no token": "token-missing",
    "used-up token": "token-used-up",
    "revoked token": "token-revoked",
    "token for another object": "object-not-permitted",
    "token of another account": "not-found",
    "token of nobody": "token-bad-signature",
}
"""How Sb is to refuse whom."""
_LOOK = 0.02


class Tell(Protocol):
    """Says what has happened: a line for a person, or the same for a program."""

    def __call__(self, step: str, text: str, **fields: int | str | dict[str, int] | dict[str, str]) -> None: ...


@attrs.frozen
class _Stage:
    """Everybody who takes part."""

    place: Place
    sa: Site
    rate: int
    decade: DecadeClient
    source: Source
    tell: Tell


async def play(film: Path, folder: Path, *, seconds: float, tell: Tell) -> int:
    """All of it, in an empty folder; the octets of the film. `seconds`: that Sa needs at least to send them.

    Raises Figure7Error, FailedError, OSError.
    """
    keys, size = Keys(), os.stat(film).st_size
    rate = max(1, round(size * 8 / seconds))
    async with Programs(folder) as programs:
        servers = Servers(programs, folder, keys)
        context = ssl.create_default_context(cafile=servers.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        sa, sb = await asyncio.gather(servers.start("Sa", egress=rate), servers.start("Sb", egress=2 * rate))
        async with DecadeClient(verify=context) as decade:
            source = Source(decade, keys, film, sa.origin, sb.origin)
            tell(
                "servers", f"Sa is {sa.origin}, at {rate / 1e6:.1f} Mbit/s; Sb is {sb.origin}, at twice that", rate=rate
            )
            stage = _Stage(Place(programs, folder, servers.authority), sa, rate, decade, source, tell)
            await source.store()
            count = len(source.names)
            tell("stored", f"the source has put {count} objects to Sa, and one of all of it", objects=count)
            await _scenario(stage)
            await _policies(stage, keys, context)
    return size


async def _scenario(stage: _Stage) -> None:
    """What figure 7 shows, by each protocol, and then the next clients."""
    following = await _ppspp(stage)
    peer, info_hash = await _bittorrent(stage)
    await _later(stage, following, peer, info_hash)


async def _ppspp(stage: _Stage) -> Swarm:
    """A client asks by PPSPP and reads object by object what Sb pulls. The swarm for the next client."""
    source, place = stage.source, stage.place
    await source.limit(stage.rate // SLOW)
    order = await source.pull(source.names)
    swarm, following = await asyncio.gather(
        clients.seed(place, "first client", source.answer()), clients.seed(place, "next client", source.answer())
    )
    stage.tell("asked", f"a client gets the {swarm.size} octets of its answer by PPSPP", protocol="ppspp")
    client = asyncio.create_task(clients.fetch(place, "first client", swarm))
    try:
        while not (served := await source.sent(source.sb)) and not client.done():  # noqa: ASYNC110 - as above
            await asyncio.sleep(_LOOK)
        if not served:
            await client  # It says why.
        status = await source.under_way(order)
        percent = _percent(status.done, source.size)
        text = f"the client has read {served} octets at Sb, which has pulled {percent} % so far"
        stage.tell("joined", text, protocol="ppspp", percent=percent, read=served)
        await source.limit(None)
        clients.same(await client, source.film)
    finally:
        client.cancel()
    percent = _percent((await source.done(order)).done, source.size)
    sent = await source.sent(source.sa)
    text = f"the client has the film, verified; Sa has sent {sent} octets, the film's"
    stage.tell("delivered", text, protocol="ppspp", percent=percent, sent=sent)
    await swarm.program.end()
    return following


async def _bittorrent(stage: _Stage) -> tuple[Peer, str]:
    """A client of libtorrent reads by ranges what Sa pushes to Sb. That client, and the hash of the torrent."""
    source, place = stage.source, stage.place
    await source.limit(stage.rate // SLOW)
    seed, info_hash = await clients.seed_torrent(place, source.film)
    order = await source.push([source.whole])
    await source.under_way(order)
    link = clients.magnet(info_hash, source.film, seed, source.url())
    program, folder = await clients.start_torrent(place, "first torrent client", link)
    pieces = (await program.event("metadata"))["pieces"]
    stage.tell(
        "asked", f"a client gets the hashes of {pieces} pieces from the source by BitTorrent", protocol="torrent"
    )
    asked = (await program.event("asked"))["octets"]
    # One look later, so that what it has asked for has come to Sb.
    status = await source.under_way(order, (await source.progress(order)).done + 1)
    expect(not asked, "libtorrent was given octets of an object that was not there")
    percent = _percent(status.done, source.size)
    text = f"the client waits at Sb, a web seed, to which Sa has pushed {percent} % so far"
    stage.tell("joined", text, protocol="torrent", percent=percent, read=asked)
    await source.limit(None)
    peer = await clients.finish_torrent(program, source.size)
    clients.same(folder / source.film.name, source.film)
    percent = _percent((await source.done(order)).done, source.size)
    uploaded = await seed.end()
    expect(uploaded == 0, f"the source has uploaded {uploaded} octets itself")
    text = (
        "the client has the film, all of it from Sb, its pieces verified by libtorrent; the source has uploaded nothing"
    )
    stage.tell("delivered", text, protocol="torrent", percent=percent, sent=await source.sent(source.sa))
    return peer, info_hash


async def _later(stage: _Stage, swarm: Swarm, peer: Peer, info_hash: str) -> None:
    """The next clients near Sb, when Sa is gone."""
    source, place = stage.source, stage.place
    sent = await source.sent(source.sa)
    expect(sent == 2 * source.size, f"Sa has sent {sent} octets, and not {source.size} by each way")
    reads = {await source.reads(source.sa, name) for name in source.names}
    expect(reads == {1}, f"objects were read {reads} times at Sa")
    await stage.sa.program.kill()
    stage.tell("stopped", f"Sa has sent each object once, {sent} octets in all, and is killed", sent=sent)
    before = await source.sent(source.sb)
    link = clients.magnet(info_hash, source.film, peer, source.url())
    program, folder = await clients.start_torrent(place, "next torrent client", link)
    work = [clients.fetch(place, "next client", swarm), _torrent(program, folder, source)]
    if shutil.which("aria2c") is not None:
        work.append(clients.download(place, "aria2c", source.url()))
    for copy in await asyncio.gather(*work):
        clients.same(copy, source.film)
    uploaded = await peer.end()
    expect(uploaded == 0, f"the first BitTorrent client has uploaded {uploaded} octets")
    served = await source.sent(source.sb) - before
    text = f"{len(work)} more clients have the film from Sb alone, which has sent them {served} octets"
    stage.tell("later", text, clients=len(work), served=served)


async def _torrent(program: Program, folder: Path, source: Source) -> Path:
    await clients.finish_torrent(program, source.size)
    return folder / source.film.name


async def _policies(stage: _Stage, keys: Keys, context: ssl.SSLContext) -> None:
    """Who is refused at Sb, and how it divides what it sends."""
    refused = await policies.access(stage.decade, stage.source, keys)
    for who, why in refused.items():
        expect(why == REFUSALS[who], f"{who}: {why or 'refused without a reason'}, and not {REFUSALS[who]}")
    stage.tell("refused", "Sb refuses: " + ", ".join(f"{who} ({why})" for who, why in refused.items()), refused=refused)
    got = await policies.shares(stage.source, keys, context)
    ratio = got[ACCOUNT] / max(1, got[OTHER])
    text = f"{ACCOUNT} and {OTHER} read at Sb at once, with weights {SHARES[ACCOUNT]}:{SHARES[OTHER]}: "
    stage.tell("shared", f"{text}{got[ACCOUNT]} and {got[OTHER]} octets, {ratio:.2f}:1", octets=got)
    expect(ratio > SHARES[ACCOUNT] / 2, f"the shares are {ratio:.2f}:1")


def _percent(octets: int, size: int) -> int:
    return 100 * octets // size
