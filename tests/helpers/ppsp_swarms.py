"""Swarms over the simulated network: sources that hold a content, peers that fetch it, and a count of what is sent."""

from __future__ import annotations

import random
from typing import Any

from interop.simulation import DropTail, Fate, Link, Network, PacketEvent, megabits
from ledbat import Ledbat
from ppsp import Endpoint, MerkleHashFunction, MerkleTree, RarestFirst, SwarmMetadata, hash_chunks
from ppsp._unit_codecs import codec_of
from ppsp.constants import CHANNEL_ID_SIZE
from ppsp.messages import Data, Integrity
from ppsp.store import MemoryStore

CHUNK = 1024
PORT = 7000
# As much as a router of a home line: a quarter of a second.
_BUFFER_SECONDS = 0.25
# Each peer calls the source and so many of the peers that came before it.
_FRIENDS = 4


class SimulatedSwarm:
    """`sources` and `peers` with lines of `rate` Mbit/s, up and down, 20 ms from one to another and back.

    What leaves a source is lost with the probability `loss`. `finished` are the seconds at which peers were complete.
    """

    def __init__(
        self,
        size: int,
        *,
        sources: int = 1,
        peers: int = 1,
        rate: float,
        loss: float = 0.0,
        picker: Any = RarestFirst,
        seed: int = 1,
    ) -> None:
        content = random.Random(seed).randbytes(size)
        tree = MerkleTree.from_leaves(hash_chunks(content, CHUNK, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
        self.content = content
        self.metadata = SwarmMetadata(tree.root, chunk_size=CHUNK)
        self.integrity = self.data = 0
        self.finished: list[float] = []
        self.stores: list[MemoryStore] = []
        self.network = Network(seed)
        self.network.tap(self._count)
        self._codec = codec_of(self.metadata)
        self._rate = megabits(rate)
        self._size = size
        self._peers = peers
        self._sources: list[Endpoint] = []
        addresses = []
        for number in range(sources):
            addresses.append((f"192.0.2.{number + 1}", PORT))
            self._sources.append(self._run(addresses[-1], MemoryStore(content), loss, tree=tree, content_size=size)[1])
        for number in range(peers):
            address = (f"198.51.100.{number + 1}", PORT)
            self.stores.append(MemoryStore())
            socket, endpoint = self._run(address, self.stores[-1], 0.0, picker=picker)
            for other in addresses[:sources] + addresses[sources:][-_FRIENDS:]:
                endpoint.connect(self.metadata.swarm_id, other, 0.0)
            socket.wake()
            addresses.append(address)

    def _run(self, address: tuple[str, int], store: MemoryStore, loss: float, **more: Any) -> tuple[Any, Endpoint]:
        def line(loss: float) -> Link:
            return Link(
                rate=self._rate, delay=0.005, queue=DropTail(octets=int(self._rate * _BUFFER_SECONDS)), loss=loss
            )

        host = self.network.host(address[0], up=line(loss), down=line(0.0))
        endpoint = Endpoint(controller=lambda mss: Ledbat(mss=mss), random_bytes=host.random_bytes)
        endpoint.add_swarm(self.metadata, store=store, **more)
        pending = "tree" not in more

        def look() -> None:
            nonlocal pending
            while endpoint.next_event() is not None:
                pass
            if pending and endpoint.stats(self.metadata.swarm_id).chunks_held * CHUNK >= self._size:
                pending = False
                self.finished.append(host.now)

        return host.run(endpoint, port=address[1], on_events=look), endpoint

    def _count(self, event: PacketEvent) -> None:
        if event.fate is Fate.SENT:
            messages, _ = self._codec.decode(event.packet.payload, CHANNEL_ID_SIZE)
            self.integrity += sum(isinstance(message, Integrity) for message in messages)
            self.data += sum(isinstance(message, Data) for message in messages)

    def run(self, limit: float = 600.0) -> bool:
        """Whether every peer is complete within `limit` seconds of virtual time."""
        return self.network.run_until(lambda: len(self.finished) == self._peers, limit)

    @property
    def rate(self) -> float:
        """Octets of content a second at the peer that took longest."""
        return self._size / max(self.finished)

    @property
    def chunks_of_sources(self) -> int:
        """Chunks that the sources sent."""
        stats = [endpoint.stats(self.metadata.swarm_id) for endpoint in self._sources]
        return sum(peer.chunks_sent for each in stats for peer in each.peers)

    @property
    def integrity_per_chunk(self) -> float:
        """INTEGRITY messages that were sent, of all chunks that had to be delivered."""
        return self.integrity / (self._peers * -(-self._size // CHUNK))
