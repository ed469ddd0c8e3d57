"""Our Merkle trees against other implementations': roots and nodes they computed, and a session of libswift."""

import json
from pathlib import Path
from typing import Any

import dpkt
import pytest

from ppsp._addressing import range_of_bin
from ppsp.codec import Codec, decode_handshake
from ppsp.constants import HASH_SIZE, ChunkAddressing, MerkleHashFunction
from ppsp.merkle import MerkleTree, Verdict, hash_chunks
from ppsp.messages import Data, Integrity

DATA = Path(__file__).parents[1] / "data"
SEEDER_PORT, LEECHER_PORT = 20010, 20011
FUNCTIONS = {"sha1": MerkleHashFunction.SHA1, "sha256": MerkleHashFunction.SHA256}
TEXTS = {"Hello world!": b"Hello world!", "Hello world!\\n": b"Hello world!\n"}


def pattern(size: int) -> bytes:
    """The content that the other implementations hashed: byte i is i % 251."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def tree_of(content: bytes, chunk_size: int, function: MerkleHashFunction) -> MerkleTree:
    """The complete tree of some content."""
    return MerkleTree.from_leaves(hash_chunks(content, chunk_size, function), function)


@pytest.fixture(scope="module")
def vectors() -> Any:
    """Roots by libswift, its fork of triblerteam and PyPPSPP; nodes that libswift sent, and those in between."""
    return json.loads((DATA / "ppsp_vectors.json").read_text())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_root_hashes_are_those_of_other_implementations(vectors: Any, name: str) -> None:
    """Section 5.1."""
    ours = {}
    for row in vectors["roots"]:
        content = TEXTS.get(row["content"], pattern(row["size"]))
        assert len(content) == row["size"]
        ours[row["size"]] = tree_of(content, row["chunk"], FUNCTIONS[name]).root.hex()
    assert ours == {row["size"]: row[name] for row in vectors["roots"]}
    assert len(ours) == 9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_node_of_seven_chunks_is_that_of_the_shared_vectors(vectors: Any, name: str) -> None:
    """Section 5.1, Figure 3: node 13 is hashed with an empty sibling, node 14 is empty."""
    tree = tree_of(pattern(7162), 1024, FUNCTIONS[name])
    expected = vectors["tree_7162_by_bin"][name]
    ours = {number: (tree.node(*range_of_bin(int(number))) or b"").hex() for number in expected}
    assert ours == expected
    assert len(ours) == 15


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_peaks_of_seven_chunks_are_those_of_the_shared_vectors(vectors: Any, name: str) -> None:
    """Section 5.6.1, Figure 4."""
    tree = tree_of(pattern(7162), 1024, FUNCTIONS[name])
    nodes = vectors["tree_7162_by_bin"][name]
    expected = [(*range_of_bin(peak), bytes.fromhex(nodes[str(peak)])) for peak in vectors["tree_7162_peaks_bins"]]
    assert tree.peaks() == expected
    fresh = MerkleTree(bytes.fromhex(nodes["7"]), FUNCTIONS[name])
    assert fresh.set_peaks(expected)
    assert fresh.chunk_count == 7


class Session:
    """What a libswift seeder sent to a libswift leecher: INTEGRITY and DATA by datagram, and the swarm ID."""

    def __init__(self) -> None:
        codec = Codec(ChunkAddressing.CHUNK32, HASH_SIZE[MerkleHashFunction.SHA1])
        self.swarm_id = b""
        self.datagrams: list[tuple[list[Integrity], list[Data]]] = []
        with (DATA / "captures" / "libswift.pcap").open("rb") as file:
            for _, frame in dpkt.pcap.Reader(file):
                udp = dpkt.ethernet.Ethernet(frame).data.data
                data = bytes(udp.data)
                if data[4:5] == b"\0":
                    handshake, _ = decode_handshake(data)
                    self.swarm_id = self.swarm_id or handshake.options.swarm_id or b""
                elif udp.sport == SEEDER_PORT:
                    messages, error = codec.decode(data)
                    assert error is None
                    hashes = [message for message in messages if isinstance(message, Integrity)]
                    self.datagrams.append((hashes, [message for message in messages if isinstance(message, Data)]))


@pytest.fixture(scope="module")
def session() -> Session:
    """The capture, read once."""
    return Session()


def test_every_chunk_that_libswift_sent_verifies_from_the_swarm_id_on(session: Session) -> None:
    """Sections 5.2, 5.3 and 5.6: the tree learns the size and grows from nothing but what is in each datagram."""
    tree = MerkleTree(session.swarm_id, MerkleHashFunction.SHA1)
    content: dict[int, bytes] = {}
    for integrity, data in session.datagrams:
        hashes = {(message.start, message.end): bytes(message.hash) for message in integrity}
        for chunk in data:
            assert chunk.start == chunk.end
            assert tree.verify(chunk.start, chunk.payload, hashes) is Verdict.VERIFIED
            content[chunk.start] = bytes(chunk.payload)
    assert tree.chunk_count == 64
    assert sorted(content) == list(range(64))
    whole = b"".join(content[chunk] for chunk in range(64))
    assert tree_of(whole, 1024, MerkleHashFunction.SHA1).root == session.swarm_id


def test_every_hash_that_libswift_sent_is_that_of_our_tree(session: Session) -> None:
    """Section 5.4: the chunk specification of a hash is the range of the leaves below its node."""
    chunks = {chunk.start: bytes(chunk.payload) for _, data in session.datagrams for chunk in data}
    whole = b"".join(chunks[chunk] for chunk in range(64))
    tree = tree_of(whole, 1024, MerkleHashFunction.SHA1)
    sent = [message for integrity, _ in session.datagrams for message in integrity]
    assert len(sent) > 64
    for message in sent:
        assert tree.node(message.start, message.end) == bytes(message.hash)


def test_what_libswift_sends_first_is_what_we_would_send(session: Session) -> None:
    """Section 5.6.2: the peaks, here the root of 64 chunks, then the uncles of chunk 0 from the highest down."""
    chunks = {chunk.start: bytes(chunk.payload) for _, data in session.datagrams for chunk in data}
    tree = tree_of(b"".join(chunks[chunk] for chunk in range(64)), 1024, MerkleHashFunction.SHA1)
    integrity, data = session.datagrams[0]
    assert data[0].start == 0
    ours = tree.peaks() + tree.uncles(0, left=-1, right=64)
    assert [(message.start, message.end, bytes(message.hash)) for message in integrity] == ours


def test_a_chunk_of_libswifts_with_one_wrong_bit_is_refused(session: Session) -> None:
    """Section 5.2."""
    tree = MerkleTree(session.swarm_id, MerkleHashFunction.SHA1)
    for integrity, data in session.datagrams:
        hashes = {(message.start, message.end): bytes(message.hash) for message in integrity}
        for chunk in data:
            forged = bytearray(chunk.payload)
            forged[-1] ^= 1
            assert tree.verify(chunk.start, forged, hashes) is Verdict.WRONG
            assert tree.verify(chunk.start, chunk.payload, hashes) is Verdict.VERIFIED
    assert tree.is_size_certain
