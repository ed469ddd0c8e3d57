"""Path MTU discovery on real networks: Linux network namespaces, with a router that drops and does not say so."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from ppsp_namespaces import NamespaceError
from ppsp_road import FETCHER, SOURCE, Road, content

from interop.peer import SwarmPeer
from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, SwarmUri, hash_chunks
from ppsp.store import MemoryStore

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_OCTETS = 3_000_001


@pytest.fixture(scope="module")
def road(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    for program in ("ip", "nft"):
        if shutil.which(program, path=_PATH) is None:
            pytest.fail(f"needs {program}: the Debian packages iproute2 and nftables")
    try:
        made = Road(tmp_path_factory.mktemp("road"))
    except NamespaceError as error:
        pytest.skip(
            f"NO REAL PATH IS TESTED HERE, only simulated ones (test_packing.py): no network namespaces: {error}"
        )
    try:
        yield made
    finally:
        made.close()


def _transfer(
    road: Road,
    *,
    version: int,
    chunk_size: int,
    rate: float | None = None,
    at_half: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Move the content over the road; returns what the source says of the fetcher when that has left."""
    seeded = road.ask("source", octets=_OCTETS, chunk_size=chunk_size, host=SOURCE[version], rate=rate)
    road.ask("fetcher", **seeded, octets=_OCTETS, peer=SOURCE[version], host=FETCHER[version])
    at_half()
    got = road.hear("fetcher")
    assert got["sha256"] == hashlib.sha256(content(_OCTETS)).hexdigest()
    return road.hear("source")


@pytest.mark.parametrize(
    ("version", "ends", "middle", "chunk_size", "least", "most"),
    [
        (4, 1500, 1500, 1024, 1200, 1200),
        (4, 1500, 1400, 1024, 1200, 1200),
        (4, 9000, 9000, 1024, 8332, 8972),
        (4, 9000, 1500, 1024, 1200, 1200),
        (4, 9000, 5000, 1024, 4168, 4972),
        (4, 9000, 2200, 512, 1591, 2172),
        (6, 9000, 4000, 1024, 2086, 3952),
        (6, 1500, 1300, 1024, 1200, 1200),
    ],
)
def test_the_longest_datagram_that_the_path_carries_is_found_and_no_packet_is_ever_fragmented(
    road: Road, version: int, ends: int, middle: int, chunk_size: int, least: int, most: int
) -> None:
    road.narrow(ends, middle)
    before = road.fragments()
    told = _transfer(road, version=version, chunk_size=chunk_size)
    assert least <= told["datagram_size"] <= most
    assert road.fragments() == before


def test_a_path_that_becomes_narrower_in_mid_transfer_is_noticed_though_nobody_tells(road: Road) -> None:
    road.narrow(9000, 9000)
    before = road.fragments()
    told = _transfer(road, version=4, chunk_size=1024, rate=4e6, at_half=lambda: road.narrow(9000, 1500))
    assert told["datagram_size"] == 1200
    assert told["lost"] > 8
    assert road.fragments() == before


@pytest.mark.parametrize("ends", [1500, 9000])
def test_chunks_longer_than_a_packet_arrive_in_fragments(road: Road, ends: int) -> None:
    """With 9000 at the source, a datagram that must not be cut would fit its link, and never arrive."""
    road.narrow(ends, 1500)
    before = road.fragments()
    told = _transfer(road, version=4, chunk_size=8192)
    assert road.fragments() > before + 1000
    assert told["lost"] < 100


@pytest.mark.parametrize(("limit", "least", "most"), [(None, 1452, 1452), (9000, 8332, 9000), (36_864, 20_000, 36_864)])
def test_on_loopback_datagrams_become_as_long_as_they_may(limit: int | None, least: int, most: int) -> None:
    octets = content(_OCTETS)
    tree = MerkleTree.from_leaves(hash_chunks(octets, 1024, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
    uri = SwarmUri(SwarmMetadata(tree.root))
    local = ("127.0.0.1", 0)

    async def main() -> int:
        source = SwarmPeer(
            uri, MemoryStore(octets), tree=tree, content_size=len(octets), local=local, max_datagram=limit
        )
        store = MemoryStore()
        async with source, SwarmPeer(uri, store, local=local, peers=[source.local_address]) as peer:
            await asyncio.wait_for(peer.completed(), 60)
            (figures,) = source.stats.peers
        assert store.content == octets
        return figures.datagram_size

    assert least <= asyncio.run(main()) <= most
