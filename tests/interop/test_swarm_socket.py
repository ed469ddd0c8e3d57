"""interop.swarm_socket: several swarms on one UDP socket."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from interop.live import LivePeer
from interop.nat import NatSettings
from interop.peer import PeerError, SwarmPeer
from interop.swarm_socket import SwarmSocket
from ledbat import Ledbat
from ppsp import (
    ChunksVerified,
    Event,
    MerkleHashFunction,
    MerkleTree,
    PeerConnected,
    PeerDisconnected,
    SwarmComplete,
    SwarmMetadata,
    SwarmUri,
    hash_chunks,
)
from ppsp.constants import ContentIntegrityProtection
from ppsp.errors import StateError
from ppsp.events import DatagramDropped
from ppsp.livekeys import LiveSigner
from ppsp.store import MemoryStore

_Result = TypeVar("_Result")
_LOCAL = ("127.0.0.1", 0)


class _Swarm:
    """Content of its own, and peers for it."""

    def __init__(self, size: int) -> None:
        self.content = os.urandom(size)
        leaves = hash_chunks(self.content, 1024, MerkleHashFunction.SHA256)
        self._tree = MerkleTree.from_leaves(leaves, MerkleHashFunction.SHA256)
        self.uri = SwarmUri(SwarmMetadata(self._tree.root))
        self.copy = MemoryStore()
        self.events: list[Event] = []

    def source(self, shared: SwarmSocket, on_event: Callable[[Event], None] = lambda event: None) -> SwarmPeer:
        store, size = MemoryStore(self.content), len(self.content)
        return SwarmPeer(self.uri, store, tree=self._tree, content_size=size, socket=shared, on_event=on_event)

    def peer(self, shared: SwarmSocket, *sources: SwarmSocket) -> SwarmPeer:
        addresses = [source.local_address for source in sources]
        return SwarmPeer(self.uri, self.copy, peers=addresses, socket=shared, on_event=self.events.append)


def _run(main: Callable[[], Awaitable[_Result]]) -> _Result:
    async def bounded() -> _Result:
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


def test_two_swarms_go_between_two_sockets_at_once_and_each_peer_sees_its_own_events() -> None:
    one, two = _Swarm(200_000), _Swarm(300_000)

    async def main() -> None:
        async with (
            SwarmSocket(local=_LOCAL) as here,
            SwarmSocket(local=_LOCAL) as there,
            one.source(here),
            two.source(here),
            one.peer(there, here) as first,
            two.peer(there, here) as last,
        ):
            assert first.local_address == last.local_address == there.local_address
            await asyncio.gather(first.completed(), last.completed())
            assert (first.tally.received, last.tally.received) == (200_000, 300_000)

    _run(main)
    for swarm in (one, two):
        assert swarm.copy.content == swarm.content
        own = [event for event in swarm.events if not isinstance(event, DatagramDropped)]
        assert {event.swarm_id for event in own} == {swarm.uri.metadata.swarm_id}
        assert {PeerConnected, ChunksVerified, SwarmComplete} <= {type(event) for event in own}


def test_who_leaves_one_swarm_goes_on_in_the_other_and_may_come_back() -> None:
    one, two = _Swarm(300_000), _Swarm(300_000)

    async def main() -> None:
        parted = asyncio.Event()

        def note(event: Event) -> None:
            if isinstance(event, PeerDisconnected):
                parted.set()

        async with (
            SwarmSocket(local=_LOCAL, upload_rate=400_000.0) as here,
            SwarmSocket(local=_LOCAL) as there,
            one.source(here, on_event=note),
            two.source(here),
            two.peer(there, here) as stays,
        ):
            async with one.peer(there, here) as leaves:
                await leaves.news()
            await parted.wait()  # the source is told
            await stays.completed()
            before = len(one.events)
            async with one.peer(there, here) as again:
                await again.completed()
            assert isinstance(one.events[before], PeerConnected)  # not the end of its first visit

    _run(main)
    assert one.copy.content == one.content
    assert two.copy.content == two.content


@pytest.mark.parametrize("limited", ["upload_rate", "download_rate"])
def test_the_rates_are_those_of_all_swarms_together(limited: str) -> None:
    """A lower bound of the time alone: with a limit for each swarm it would be over in 0.7 s."""
    one, two = _Swarm(300_000), _Swarm(300_000)
    limits: dict[str, dict[str, Any]] = {"upload_rate": {}, "download_rate": {}, limited: {limited: 400_000.0}}

    async def main() -> float:
        async with (
            SwarmSocket(local=_LOCAL, **limits["upload_rate"]) as here,
            SwarmSocket(local=_LOCAL, **limits["download_rate"]) as there,
            one.source(here),
            two.source(here),
        ):
            started = time.monotonic()
            async with one.peer(there, here) as first, two.peer(there, here) as second:
                await asyncio.gather(first.completed(), second.completed())
            return time.monotonic() - started

    elapsed = _run(main)
    assert elapsed >= 1.0


def test_a_live_stream_and_a_file_share_a_socket_and_its_controller() -> None:
    signer, film = LiveSigner.generate(), _Swarm(50_000)
    protection = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
    stream = SwarmUri(SwarmMetadata(signer.swarm_id, content_integrity=protection))
    made: list[int] = []
    connected = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, PeerConnected):
            connected.set()

    def controller(chunk_size: int) -> Ledbat:
        made.append(chunk_size)
        return Ledbat(mss=chunk_size)

    async def main() -> bytes:
        async with (
            SwarmSocket(local=_LOCAL, controller=controller) as here,
            SwarmSocket(local=_LOCAL) as there,
            LivePeer(stream, signer=signer, socket=here, on_event=note) as source,
            film.source(here),
            LivePeer(stream, peers=[here.local_address], behind=1024, socket=there) as viewer,
            film.peer(there, here) as peer,
        ):
            await peer.completed()
            await connected.wait()
            source.publish(b"live" * 10_000)
            source.end()
            return b"".join([octets async for octets in viewer.reader()])

    heard = _run(main)
    assert heard == b"live" * 10_000
    assert film.copy.content == film.content
    assert made == [1024, 1024]


def test_who_reads_a_live_stream_is_told_that_the_peer_has_left_the_socket() -> None:
    protection = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
    stream = SwarmUri(SwarmMetadata(LiveSigner.generate().swarm_id, content_integrity=protection))

    async def main() -> bytes:
        async with SwarmSocket(local=_LOCAL) as shared:
            async with LivePeer(stream, socket=shared) as viewer:
                reading = asyncio.create_task(viewer.read())
                await asyncio.sleep(0)
            return await reading

    heard = _run(main)
    assert heard == b""


def test_a_swarm_is_on_a_socket_once_and_the_first_peer_is_not_harmed() -> None:
    swarm = _Swarm(50_000)

    async def main() -> None:
        async with SwarmSocket(local=_LOCAL) as here, SwarmSocket(local=_LOCAL) as there, swarm.source(here) as first:
            with pytest.raises(StateError, match="there already"):
                await swarm.source(here).__aenter__()
            async with swarm.peer(there, here) as peer:
                await peer.completed()
            assert first.stats.chunks_held == 49

    _run(main)


def test_a_socket_that_closes_ends_the_waiting_of_its_peers() -> None:
    one, two = _Swarm(50_000), _Swarm(50_000)

    async def main() -> None:
        async with SwarmSocket(local=_LOCAL) as shared:
            peers = [await swarm.peer(shared).__aenter__() for swarm in (one, two)]
        for peer in peers:
            with pytest.raises(RuntimeError, match="the UDP socket is closed"):
                await peer.completed()
            await peer.__aexit__(None, None, None)
        with pytest.raises(RuntimeError, match="closed"):
            await one.source(shared).__aenter__()

    _run(main)


def test_a_socket_that_is_not_open_or_not_to_be_had_is_told() -> None:
    swarm = _Swarm(2000)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="not open yet"):
            await swarm.source(SwarmSocket(local=_LOCAL)).__aenter__()
        async with SwarmSocket(local=_LOCAL) as shared:
            with pytest.raises(OSError, match="in use"):
                await SwarmSocket(local=shared.local_address).__aenter__()
        with pytest.raises(PeerError, match=r"nobody\.invalid"):
            await SwarmSocket(local=_LOCAL, nat=NatSettings(stun=("nobody.invalid", 3478))).__aenter__()

    _run(main)


@pytest.mark.parametrize(
    "own", [{"local": _LOCAL}, {"upload_rate": 1.0}, {"download_rate": 1.0}, {"nat": NatSettings(stun=("::1", 3478))}]
)
def test_what_belongs_to_the_shared_socket_is_not_said_twice(own: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="those of the socket"):
        SwarmPeer(_Swarm(2000).uri, MemoryStore(), socket=SwarmSocket(), **own)


# The command line


def _files(folder: Path, *sizes: int) -> list[Path]:
    paths = [folder / f"{at}.bin" for at in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(os.urandom(size))
    return paths


def test_two_files_are_seeded_on_one_socket_and_fetched_by_two_processes(cli: Any, tmp_path: Path) -> None:
    files = _files(tmp_path, 700_000, 400_000)
    _, url = cli.tracker()
    source = cli.start("seed", *files, "--tracker", url, "--listen", "127.0.0.1:0")
    uris = [cli.line(source).strip() for _ in files]
    assert [SwarmUri.parse(uri).name for uri in uris] == ["0.bin", "1.bin"]
    fetches = [cli.fetch(uri, f"copy{at}") for at, uri in enumerate(uris)]
    given: set[str] = set()
    for at, fetch in enumerate(fetches):
        status, out, err = cli.finish(fetch)
        assert status == 0, err
        assert (tmp_path / f"copy{at}").read_bytes() == files[at].read_bytes()
        given.update(peer["address"] for peer in json.loads(out.splitlines()[-1])["peers"])
    assert len(given) == 1
    status = cli.stop(source, signal.SIGINT)
    assert status == 130
    assert f"serving 2 files, 1.1 MB on {given.pop()}, Ctrl-C stops\n" in cli.stderr_of(source)


def test_a_file_that_is_changed_is_served_no_more_and_the_other_is(cli: Any, tmp_path: Path) -> None:
    files = _files(tmp_path, 50_000, 40_000)
    source, first = cli.seed(files[0], files[1])
    second = json.loads(cli.line(source))
    assert first["listen"] == second["listen"]
    files[0].write_bytes(b"something else")
    while "0.bin was changed: " not in cli.stderr_of(source):
        time.sleep(0.02)
    status, _, err = cli.finish(cli.fetch(second["uri"], "copy", "--peer", second["listen"]))
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == files[1].read_bytes()
    files[1].write_bytes(b"")
    status = source.wait(60)
    assert status == 1
    assert cli.stderr_of(source).splitlines()[-1].startswith("ietf-p2p: 1.bin was changed: ")


def test_the_same_content_twice_and_a_file_that_is_not_there_are_mistakes(cli: Any, tmp_path: Path) -> None:
    (path,) = _files(tmp_path, 2000)
    (tmp_path / "again").write_bytes(path.read_bytes())
    status, out, err = cli.run("seed", "0.bin", "again")
    assert (status, out) == (2, "")
    assert err == "ietf-p2p: again: the same content as 0.bin, which is the same swarm\n"
    status, out, err = cli.run("seed", "0.bin", "nowhere")
    assert (status, out, err) == (2, "", "ietf-p2p: nowhere: No such file or directory\n")
