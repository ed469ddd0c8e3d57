"""The clients of the scenario, as programs that know the source by their own protocol alone."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import quote

import attrs

from interop.decade_figure7 import expect
from interop.decade_figure7._processes import OURS, Fields, Program, Programs

_TORRENT = (sys.executable, "-m", "interop.decade_figure7.torrent")


@attrs.frozen
class Place:
    """Where clients run: their programs, a folder, and the certificate that they trust."""

    programs: Programs
    folder: Path
    authority: Path


def same(copy: Path, film: Path) -> None:
    """Raises Figure7Error unless both files have the same octets."""
    expect(_digest(copy) == _digest(film), f"{copy.name} is not {film.name}")


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@attrs.frozen
class Swarm:
    """An answer of the source, which is the content of a swarm of PPSPP: whoever knows its URI may have it."""

    program: Program
    uri: str
    address: str
    size: int


async def seed(place: Place, name: str, answer: bytes) -> Swarm:
    """Give an answer away in a swarm."""
    file = place.folder / f"{name}.json"
    file.write_bytes(answer)
    program = await place.programs.start(f"{name} swarm", (*OURS, "seed", file, "--listen", "127.0.0.1:0", "--json"))
    told = await program.event("seeding")
    return Swarm(program, told["uri"], told["listen"], len(answer))


async def fetch(place: Place, name: str, swarm: Swarm) -> Path:
    """A client: get the answer by PPSPP, and then what it is of from the server that it names."""
    answer, index, token = (place.folder / f"{name}.{kind}" for kind in ("answer", "index", "token"))
    copy = place.folder / f"{name}.copy"
    ask = ("fetch", swarm.uri, "--peer", swarm.address, "--listen", "127.0.0.1:0", "-o", answer, "--json")
    await place.programs.run(f"{name} fetch", (*OURS, *ask))
    found = json.loads(answer.read_bytes())
    index.write_bytes(base64.urlsafe_b64decode(found["index"]))
    token.write_text(found["token"])
    get = ("decade", "get", index, "--token", token, "--cacert", place.authority, "--timeout", "60", "-o", copy)
    await place.programs.run(f"{name} get", (*OURS, *get))
    return copy


@attrs.frozen
class Peer:
    """A BitTorrent client that others can ask for the metadata."""

    program: Program
    port: int

    async def end(self) -> int:
        """End it; the octets of the content that it has uploaded."""
        self.program.tell_end()
        uploaded: int = (await self.program.event("ended"))["uploaded"]
        await self.program.end()
        return uploaded


async def seed_torrent(place: Place, film: Path) -> tuple[Peer, str]:
    """The source's BitTorrent client, and the hash of the torrent."""
    program = await place.programs.start("torrent source", (*_TORRENT, "seed", film))
    told = await program.event("seeding")
    return Peer(program, told["port"]), told["info_hash"]


def magnet(info_hash: str, film: Path, peer: Peer, url: str) -> str:
    """A magnet link: who has the metadata, and a web seed (BEP 9, BEP 19)."""
    return f"magnet:?xt=urn:btih:{info_hash}&dn={quote(film.name)}&x.pe=127.0.0.1:{peer.port}&ws={quote(url, safe='')}"


async def start_torrent(place: Place, name: str, link: str) -> tuple[Program, Path]:
    """A BitTorrent client, and the folder that it downloads to."""
    folder = place.folder / name.replace(" ", "-")
    folder.mkdir()
    # It has a token, which is not for the list of processes.
    file = place.folder / f"{folder.name}.magnet"
    file.write_text(link)
    # libtorrent's TLS trusts what OpenSSL trusts.
    trust = {"SSL_CERT_FILE": str(place.authority)}
    return await place.programs.start(name, (*_TORRENT, "fetch", file, folder), trust), folder


async def finish_torrent(program: Program, size: int) -> Peer:
    """Wait until a BitTorrent client has everything, of which each octet was verified and came once."""
    told: Fields = await program.event("complete")
    expect((told["octets"], told["failed"]) == (size, 0), f"{program.name} took {told['octets']} octets for {size}")
    return Peer(program, told["port"])


async def download(place: Place, name: str, url: str) -> Path:
    """aria2c, in several ranges at a time."""
    urls = place.folder / f"{name}.urls"
    urls.write_text(f"{url}\n out={name}.copy\n")
    command = ("aria2c", "--quiet", f"--input-file={urls}", f"--dir={place.folder}", "--split=3", "--min-split-size=1M")
    trust = (f"--ca-certificate={place.authority}", "--no-conf", "--max-connection-per-server=3")
    await place.programs.run(name, (*command, *trust))
    return place.folder / f"{name}.copy"
