"""A BitTorrent client of libtorrent as a program: JSON lines out, until SIGTERM. It uploads nothing but metadata.

python -m interop.decade_figure7.torrent seed FILE
python -m interop.decade_figure7.torrent fetch FILE FOLDER

The first FILE is the content, the second has a magnet link, which names a peer that has the metadata (x.pe), and a web
seed (ws), from which all octets come.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libtorrent as lt

from interop.cli._progress import emit

PIECE = 65536
_LOOK = 0.02
_SETTINGS: lt.settings_pack = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # Peers on one machine.
    "allow_multiple_connections_per_ip": True,
    # A web seed at a local address may have no query otherwise, and here that is where the token stands.
    "ssrf_mitigation": False,
    # The server answers when it has the object: up to a minute later.
    "urlseed_timeout": 60,
    # Nobody is unchoked: peers give metadata, which needs no unchoking, and nothing else.
    "unchoke_slots_limit": 0,
    "allowed_fast_set_size": 0,
    "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification),
}


class Torrent:
    """A torrent in a session of its own."""

    def __init__(self, parameters: lt.add_torrent_params) -> None:
        self._session = lt.session(_SETTINGS)
        # Peers on the same network would be unchoked all the same, as a class of their own.
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        self._session.set_peer_class_filter(everybody)
        parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        self._torrent = self._session.add_torrent(parameters)
        self._is_ended = False
        signal.signal(signal.SIGTERM, self._end)

    def seed(self) -> None:
        """Give the metadata to whoever asks."""
        self._until(lambda: self._torrent.status().is_seeding)
        self._say("seeding", info_hash=str(self._torrent.info_hashes().v1))

    def fetch(self) -> None:
        """Get everything, and say when the web seed has been asked and nothing has come yet."""
        self._until(lambda: self._torrent.status().has_metadata)
        metadata = self._torrent.torrent_file()
        emit("metadata", pieces=0 if metadata is None else metadata.num_pieces())
        self._until(self._has_asked)
        emit("asked", octets=self._torrent.status().total_payload_download)
        self._until(lambda: self._torrent.status().is_seeding)
        # Pieces are verified, and may still be on their way to the disk.
        self._torrent.flush_cache()
        self._until(lambda: any(isinstance(one, lt.cache_flushed_alert) for one in self._session.pop_alerts()))
        status = self._torrent.status()
        self._say("complete", octets=status.total_payload_download, failed=status.total_failed_bytes)

    def stay(self) -> None:
        """Until SIGTERM; then say what was uploaded."""
        self._until(lambda: False)
        emit("ended", uploaded=self._torrent.status().total_payload_upload)

    def _say(self, kind: str, **fields: int | str) -> None:
        emit(kind, port=self._session.listen_port(), **fields)

    def _has_asked(self) -> bool:
        peers = self._torrent.get_peer_info()
        web = [peer for peer in peers if peer.connection_type == lt.peer_info.web_seed]
        return any(peer.download_queue_length for peer in web) or self._torrent.status().is_seeding

    def _until(self, done: Callable[[], bool]) -> None:
        while not (self._is_ended or done()):
            time.sleep(_LOOK)

    def _end(self, *_: object) -> None:
        self._is_ended = True


def _of_file(file: Path) -> lt.add_torrent_params:
    pieces = b""
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            pieces += hashlib.sha1(piece, usedforsecurity=False).digest()
    size, name = file.stat().st_size, file.name.encode()
    info = {b"length": size, b"name": name, b"piece length": PIECE, b"pieces": pieces}
    metadata: dict[bytes, Any] = {b"info": info}
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(lt.bencode(metadata))
    parameters.save_path = str(file.parent)
    return parameters


def _of_magnet(file: Path, folder: str) -> lt.add_torrent_params:
    parameters = lt.parse_magnet_uri(file.read_text())
    parameters.save_path = folder
    return parameters


def main(arguments: list[str]) -> None:
    """Run it."""
    if arguments[0] == "seed":
        torrent = Torrent(_of_file(Path(arguments[1])))
        torrent.seed()
    else:
        torrent = Torrent(_of_magnet(Path(arguments[1]), arguments[2]))
        torrent.fetch()
    torrent.stay()


if __name__ == "__main__":
    main(sys.argv[1:])
