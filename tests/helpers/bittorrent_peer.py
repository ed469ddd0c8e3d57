"""libtorrent as a foreign peer, and just enough of the BitTorrent peer protocol (BEP 3) to exchange blocks with it."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import libtorrent as lt

PROTOCOL = b"\x13BitTorrent protocol"
BLOCK = 16384
PIECE = 65536
_AHEAD = 64
CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, PIECE_MESSAGE = 0, 1, 2, 4, 5, 6, 7


def torrent(content: bytes, name: str = "content", piece: int = PIECE) -> dict[bytes, Any]:
    """The info dictionary (BEP 3) of one file."""
    pieces = b"".join(hashlib.sha1(content[at : at + piece]).digest() for at in range(0, len(content), piece))
    return {b"length": len(content), b"name": name.encode(), b"piece length": piece, b"pieces": pieces}


class LibtorrentPeer:
    """A session of libtorrent with uTP only, with or without the content."""

    def __init__(
        self, folder: Path, info: dict[bytes, Any], content: bytes | None = None, *, buffers: int = 0, **settings: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / info[b"name"].decode()
        if content is not None:
            self.path.write_bytes(content)
        self._settings: dict[str, Any] = {
            "listen_interfaces": "127.0.0.1:0",
            "enable_outgoing_tcp": False,
            "enable_incoming_tcp": False,
            "enable_outgoing_utp": True,
            "enable_incoming_utp": True,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "min_reconnect_time": 1,
            # It leaves without a word when one packet needs more resends than this, 3 by default.
            "utp_num_resends": 20,
            "allow_multiple_connections_per_ip": True,
            # Plain BitTorrent: no encryption handshake (an allowance for plain text both ways).
            "out_enc_policy": int(lt.enc_policy.disabled),
            "in_enc_policy": int(lt.enc_policy.disabled),
            "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
            **({"recv_socket_buffer_size": buffers, "send_socket_buffer_size": buffers} if buffers else {}),
            **settings,
        }
        self._folder = folder
        self._info = info
        self._is_seed = content is not None

    def start(self) -> None:
        """Open the session and take the torrent up."""
        self.session = lt.session(self._settings)
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info({b"info": self._info})
        parameters.save_path = str(self._folder)
        parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        self.torrent = self.session.add_torrent(parameters)
        self.info_hash: bytes = parameters.ti.info_hash().to_bytes()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.session.listen_port()

    def is_seed(self) -> bool:
        """Whether it has everything, verified."""
        return bool(self.torrent.status().is_seeding)

    async def connect(self, address: tuple[str, int]) -> None:
        """Dial a peer: again and again, since an attempt made while the session is still starting comes to nothing."""
        while not self._exchanged():
            self.torrent.connect_peer(address)
            await asyncio.sleep(0.3)

    def _exchanged(self) -> bool:
        """Whether it is connected to anybody, or was and has exchanged blocks."""
        status = self.torrent.status()
        if status.total_payload_download or status.total_payload_upload:
            return True
        return any(peer.flags & lt.peer_info.handshake == 0 for peer in self.torrent.get_peer_info())

    async def written(self, content: bytes) -> bool:
        """Whether the file comes to hold this; pieces are verified before they are on the disk."""
        limit = time.monotonic() + 60
        while self.path.read_bytes() != content and time.monotonic() < limit:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.05)
        return self.path.read_bytes() == content

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that only asking tells."""
        while not done():  # noqa: ASYNC110 - it tells nobody by itself
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        self.start()
        await self.until(lambda: bool(self.session.listen_port()))
        await self.until(lambda: self.is_seed() if self._is_seed else not self.checking())
        return self

    def checking(self) -> bool:
        return self.torrent.status().state in (
            lt.torrent_status.states.checking_files,
            lt.torrent_status.states.checking_resume_data,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        def end() -> None:
            # The destructor of the session waits for its connections to be closed.
            self.session.pause()
            del self.torrent
            del self.session

        await asyncio.to_thread(end)


class Wire:
    """Our side of a BitTorrent connection, over any pair of streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def handshake(self, info_hash: bytes) -> None:
        """Both handshakes; the peer must be of this torrent."""
        # A peer id of its own for each connection: libtorrent takes a second one for a mistake.
        self.writer.write(PROTOCOL + bytes(8) + info_hash + b"-IP0100-" + os.urandom(12))
        answer = await self.reader.readexactly(68)
        assert answer[:20] == PROTOCOL
        assert answer[28:48] == info_hash

    def send(self, kind: int, body: bytes = b"") -> None:
        self.writer.write((len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body)

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """Messages until the end of the stream; keep-alives are left out."""
        while True:
            try:
                length = int.from_bytes(await self.reader.readexactly(4), "big")
            except asyncio.IncompleteReadError:
                return
            if length:
                message = await self.reader.readexactly(length)
                yield message[0], message[1:]

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


async def fetch(wire: Wire, size: int) -> bytes:
    """Download everything from a seed, some requests ahead."""
    content = bytearray(size)
    missing = [(at // PIECE, at % PIECE, min(BLOCK, size - at)) for at in range(0, size, BLOCK)]
    asked: list[tuple[int, int, int]] = []
    wire.send(INTERESTED)
    choked = True
    async for kind, body in wire.messages():
        if kind == UNCHOKE:
            choked = False
        elif kind == CHOKE:
            # What was asked for is forgotten (BEP 3).
            choked, missing, asked = True, asked + missing, []
        elif kind == PIECE_MESSAGE:
            index, begin, octets = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), body[8:]
            content[index * PIECE + begin : index * PIECE + begin + len(octets)] = octets
            asked.remove((index, begin, len(octets)))
            if not asked and not missing:
                return bytes(content)
        while missing and not choked and len(asked) < _AHEAD:
            asked.append(missing.pop(0))
            wire.send(REQUEST, numbers(*asked[-1]))
    raise AssertionError(f"the peer ended the stream, {len(asked) + len(missing)} blocks were missing")


async def serve(wire: Wire, content: bytes) -> int:
    """Be a seed until the peer ends the stream; returns how many blocks it asked for."""
    count = -(-len(content) // PIECE)
    field = bytearray(-(-count // 8))
    for index in range(count):
        field[index // 8] |= 0x80 >> index % 8
    wire.send(BITFIELD, bytes(field))
    wire.send(UNCHOKE)
    blocks = 0
    async for kind, body in wire.messages():
        if kind == REQUEST:
            index, begin, length = (int.from_bytes(body[at : at + 4], "big") for at in (0, 4, 8))
            at = index * PIECE + begin
            wire.send(PIECE_MESSAGE, numbers(index, begin) + content[at : at + length])
            await wire.writer.drain()
            blocks += 1
    return blocks


def measure(folder: Path, content: bytes, buffers: int) -> float:
    """MB/s from one session of libtorrent to another."""
    info = torrent(content, piece=1 << 20)
    seed = LibtorrentPeer(folder / "seed", info, content, buffers=buffers)
    leech = LibtorrentPeer(folder / "leech", info, buffers=buffers)
    seed.start()
    leech.start()
    while not seed.is_seed() or leech.checking():
        time.sleep(0.02)
    start = time.perf_counter()
    leech.torrent.connect_peer(seed.address)
    while not leech.is_seed():
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    # Every piece is verified by now, and may still be on its way to the disk.
    limit = time.monotonic() + 60
    while leech.path.read_bytes() != content:
        assert time.monotonic() < limit, "the file has other content"
        time.sleep(0.2)
    return len(content) / seconds / 1e6
