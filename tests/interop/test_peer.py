"""interop.peer: one peer of one swarm on real sockets."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

import pytest

from interop.peer import PeerError, SwarmPeer
from ppsp import (
    ChunkAddressing,
    ChunksVerified,
    Event,
    MerkleHashFunction,
    MerkleTree,
    PeerConnected,
    PeerDisconnected,
    SizeKnown,
    SwarmComplete,
    SwarmMetadata,
    SwarmUri,
    hash_chunks,
)
from ppsp.pex import PeerExchange
from ppsp.store import MemoryStore
from ppsp.tracker import PeerAddr, PeerNum

_CONTENT = os.urandom(300_000)
_TREE_LEAVES = hash_chunks(_CONTENT, 1024, MerkleHashFunction.SHA256)
_LOCAL = ("127.0.0.1", 0)


def _tree() -> MerkleTree:
    return MerkleTree.from_leaves(_TREE_LEAVES, MerkleHashFunction.SHA256)


_URI = SwarmUri(SwarmMetadata(_tree().root))


def _source(local: tuple[str, int] = _LOCAL, **words: object) -> SwarmPeer:
    store = MemoryStore()
    store.write(0, _CONTENT)
    return SwarmPeer(_URI, store, tree=_tree(), content_size=len(_CONTENT), local=local, **words)  # type: ignore[arg-type]


def _run(main: Callable[[], object]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()  # type: ignore[misc]

    asyncio.run(bounded())


def test_a_named_peer_is_fetched_from_and_the_events_are_told() -> None:
    events: list[Event] = []
    store = MemoryStore()

    async def main() -> None:
        async with (
            _source() as source,
            SwarmPeer(_URI, store, local=_LOCAL, peers=[source.local_address], on_event=events.append) as peer,
        ):
            assert await peer.completed() == len(_CONTENT)
            assert peer.tally.received == len(_CONTENT)
            assert list(peer.tally.exchanges) == [source.local_address]

    _run(main)
    assert bytes(store.read(0, len(_CONTENT))) == _CONTENT
    kinds = [type(event) for event in events]
    assert kinds[0] is PeerConnected
    assert kinds.index(SizeKnown) < kinds.index(ChunksVerified) < kinds.index(SwarmComplete)


@pytest.mark.parametrize(("serving", "named"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
def test_ipv6_and_both_at_once_work(serving: str, named: str) -> None:
    async def main() -> None:
        async with _source((serving, 0)) as source:
            port = source.local_address[1]
            local = ("::1", 0) if ":" in named else _LOCAL
            async with SwarmPeer(_URI, MemoryStore(), local=local, peers=[(named, port)]) as peer:
                assert await peer.completed() == len(_CONTENT)

    _run(main)


def test_a_peer_on_both_families_connects_to_either() -> None:
    async def main() -> None:
        async with _source() as four, _source(("::1", 0)) as six:
            both: asyncio.Queue[Event] = asyncio.Queue()

            def note(event: Event) -> None:
                if isinstance(event, PeerConnected):
                    both.put_nowait(event)

            peers = [four.local_address, six.local_address[:2]]
            async with SwarmPeer(_URI, MemoryStore(), local=("::", 0), peers=peers, on_event=note) as peer:
                await both.get()
                await both.get()
                assert {one.address for one in peer.stats.peers} == {four.local_address, six.local_address}

    _run(main)


def test_leaving_is_told_to_the_peers_at_once() -> None:
    async def main() -> None:
        left: asyncio.Future[PeerDisconnected] = asyncio.get_running_loop().create_future()

        def note(event: Event) -> None:
            if isinstance(event, PeerDisconnected):
                left.set_result(event)

        async with _source(on_event=note) as source:
            async with SwarmPeer(_URI, MemoryStore(), local=_LOCAL, peers=[source.local_address]) as peer:
                await peer.completed()
                address = peer.local_address
            async with asyncio.timeout(30):
                assert (await left).address == address

    _run(main)


def test_a_peer_that_comes_later_is_found_again() -> None:
    """A named peer that does not answer yet is tried again."""

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
            reserved.bind(_LOCAL)
            address = reserved.getsockname()
        async with SwarmPeer(_URI, MemoryStore(), local=_LOCAL, peers=[address]) as peer:
            await asyncio.sleep(0.3)
            async with _source(address):
                assert await peer.completed() == len(_CONTENT)

    _run(main)


def test_a_complete_peer_is_complete_when_it_enters() -> None:
    async def main() -> None:
        async with _source() as source:
            assert await source.completed() == len(_CONTENT)

    _run(main)


def test_a_store_that_fails_is_told_to_who_waits() -> None:
    class Full(MemoryStore):
        def write(self, offset: int, data: bytes | memoryview) -> None:
            raise OSError(28, "No space left on device")

    async def main() -> None:
        async with (
            _source() as source,
            SwarmPeer(_URI, Full(), local=_LOCAL, peers=[source.local_address]) as peer,
        ):
            with pytest.raises(OSError, match="No space left"):
                await peer.completed()

    _run(main)


def test_a_used_port_is_an_os_error() -> None:
    async def main() -> None:
        async with _source() as first:
            with pytest.raises(OSError, match="in use"):
                async with _source(first.local_address):
                    pass

    _run(main)


def test_a_name_without_an_address_is_a_peer_error() -> None:
    async def main() -> None:
        with pytest.raises(PeerError, match=r"no-such-host\.invalid"):
            async with SwarmPeer(_URI, MemoryStore(), local=_LOCAL, peers=[("no-such-host.invalid", 1)]):
                pass

    _run(main)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense"])
def test_no_tracker_within_reach_is_a_peer_error_in_one_line(url: str) -> None:
    uri = SwarmUri(_URI.metadata, (url,))

    async def main() -> None:
        with pytest.raises(PeerError, match=r"^no tracker can be reached: [^\n]+$"):
            async with SwarmPeer(uri, MemoryStore(), local=_LOCAL):
                pass

    _run(main)


def test_with_a_named_peer_no_tracker_is_needed() -> None:
    uri = SwarmUri(_URI.metadata, ("http://127.0.0.1:1/",))

    async def main() -> None:
        async with (
            _source() as source,
            SwarmPeer(uri, MemoryStore(), local=_LOCAL, peers=[source.local_address]) as peer,
        ):
            assert await peer.completed() == len(_CONTENT)

    _run(main)


class _FakeTracker:
    """Stands for a TrackerSession, and notes what it is told."""

    def __init__(self, told: list[str], on_candidates: Callable[[bytes, dict[str, list[PeerAddr]]], None]) -> None:
        self.told = told
        self.on_candidates = on_candidates
        self.sought = asyncio.Event()

    def on_peers(self, swarm_id: bytes, addresses: list[tuple[str, int]]) -> None:
        """Name peers with one address each."""
        self.on_candidates(swarm_id, {str(at): [PeerAddr(*address)] for at, address in enumerate(addresses)})

    def join(self, swarm_id: bytes, peer_mode: str) -> None:
        assert swarm_id == _URI.metadata.swarm_id
        self.told.append(f"join {peer_mode}")

    async def joined(self, swarm_id: bytes) -> None:
        pass

    def find(self, swarm_id: bytes) -> None:
        self.told.append("find")
        self.sought.set()

    def report(self, swarm_id: bytes, *, uploaded_bytes: int, downloaded_bytes: int, concurrent_links: int) -> None:
        self.told.append(f"report {concurrent_links}")

    async def close(self) -> None:
        self.told.append("close")


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> list[_FakeTracker]:
    """The sessions that peers open."""
    opened: list[_FakeTracker] = []

    async def open_session(
        url: str,
        peer_id: str,
        *,
        listens_on: list[tuple[str, int]],
        candidates: Sequence[PeerAddr],
        peer_num: PeerNum | None,
        seeks_as_seeder: bool,
        timing: object,
        on_candidates: Callable[[bytes, dict[str, list[PeerAddr]]], None],
        insecure: bool,
        auth: object,
        verify: object,
    ) -> _FakeTracker:
        assert url == "http://tracker/"
        assert listens_on[0][1] > 0
        assert (insecure, auth, verify) == (False, None, True)
        assert (tuple(candidates), peer_num, seeks_as_seeder, timing) == ((), None, False, None)
        opened.append(_FakeTracker([], on_candidates))
        return opened[-1]

    monkeypatch.setattr("interop.peer.TrackerSession.open", open_session)
    return opened


def test_a_peer_is_a_leech_and_when_complete_a_seeder(trackers: list[_FakeTracker]) -> None:
    """RFC 7846 section 3.2.3: the peer mode follows the content."""
    uri = SwarmUri(_URI.metadata, ("http://tracker/",))

    async def main() -> None:
        async with _source() as source, SwarmPeer(uri, MemoryStore(), local=_LOCAL) as peer:
            trackers[0].on_peers(_URI.metadata.swarm_id, [source.local_address, ("::1", 9)])
            await peer.completed()

    _run(main)
    told = trackers[0].told
    assert told[0] == "join LEECH"
    assert told[-2:] == ["join SEEDER", "close"]


def test_every_address_of_a_peer_is_tried_until_one_answers(trackers: list[_FakeTracker]) -> None:
    """RFC 7846 section 3.2.4: the address at home has the highest priority, and is somewhere else's."""
    uri = SwarmUri(_URI.metadata, ("http://tracker/",))

    async def main() -> None:
        async with _source() as source, SwarmPeer(uri, MemoryStore(), local=_LOCAL) as peer:
            at_home = PeerAddr("127.0.0.9", 9, priority=2)
            trackers[0].on_candidates(uri.metadata.swarm_id, {"one": [at_home, PeerAddr(*source.local_address)]})
            await peer.completed()

    _run(main)


def test_a_source_joins_as_a_seeder_and_connects_to_nobody(trackers: list[_FakeTracker]) -> None:
    uri = SwarmUri(_URI.metadata, ("http://tracker/",))
    store = MemoryStore()
    store.write(0, _CONTENT)

    async def main() -> None:
        async with SwarmPeer(uri, store, tree=_tree(), content_size=len(_CONTENT), local=_LOCAL) as peer:
            trackers[0].on_peers(_URI.metadata.swarm_id, [("127.0.0.1", 9)])
            await asyncio.sleep(0.1)
            assert not peer.stats.peers

    _run(main)
    assert [word for word in trackers[0].told if not word.startswith("report")] == ["join SEEDER", "close"]


def test_a_lonely_peer_asks_its_trackers_again(trackers: list[_FakeTracker]) -> None:
    uri = SwarmUri(_URI.metadata, ("http://tracker/",))

    async def main() -> None:
        async with SwarmPeer(uri, MemoryStore(), local=_LOCAL):
            await trackers[0].sought.wait()

    _run(main)
    assert "report 0" in trackers[0].told


def test_peers_that_know_only_the_source_find_each_other_by_exchange() -> None:
    """RFC 7574 section 3.10: the second one is named to the first by the source."""
    connected: list[object] = []

    def note(event: Event) -> None:
        if isinstance(event, PeerConnected):
            connected.append(event.address)

    async def main() -> None:
        pex = PeerExchange(addresses=True)
        met = asyncio.Event()

        def meet(event: Event) -> None:
            if isinstance(event, PeerConnected):
                met.set()

        async with _source(exchange=pex, upload_rate=200_000.0, on_event=meet) as source:
            named = {"local": _LOCAL, "peers": [source.local_address], "exchange": pex}
            async with SwarmPeer(_URI, MemoryStore(), **named) as first:  # type: ignore[arg-type]
                await met.wait()
                async with SwarmPeer(_URI, MemoryStore(), on_event=note, **named) as second:  # type: ignore[arg-type]
                    await asyncio.gather(first.completed(), second.completed())
                    assert first.local_address in connected

    _run(main)


@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
def test_every_addressing_method_and_hash_function_works_on_a_socket(addressing: ChunkAddressing) -> None:
    """RFC 7574 sections 7.6 and 7.8, and the URI that carries them; each method with another hash function."""
    function = MerkleHashFunction(int(addressing))
    tree = MerkleTree.from_leaves(hash_chunks(_CONTENT, 1024, function), function)
    metadata = SwarmMetadata(tree.root, chunk_addressing=addressing, merkle_hash_function=function)
    uri = SwarmUri.parse(str(SwarmUri(metadata)))
    store = MemoryStore()

    async def main() -> None:
        held = MemoryStore(_CONTENT)
        async with (
            SwarmPeer(uri, held, tree=tree, content_size=len(_CONTENT), local=_LOCAL) as source,
            SwarmPeer(uri, store, local=_LOCAL, peers=[source.local_address]) as peer,
        ):
            await peer.completed()

    _run(main)
    assert store.content == _CONTENT
