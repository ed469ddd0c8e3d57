"""PPSPP (RFC 7574) and its tracker protocol (RFC 7846, in `ppsp.tracker`), sans-IO.

An `Endpoint` serves any number of swarms on one transport address. It opens no socket and reads no clock: datagrams and
time go in, datagrams and events come out.
"""

from ppsp._live_stream import LiveStream
from ppsp._ranges import RangeSet
from ppsp.constants import ChunkAddressing, ContentIntegrityProtection, MerkleHashFunction
from ppsp.endpoint import Endpoint
from ppsp.errors import DecodeError, MetadataError, PpspError, StateError
from ppsp.events import (
    ChunkRefused,
    ChunksVerified,
    DatagramDropped,
    Event,
    MunroRefused,
    PeerConnected,
    PeerDisconnected,
    SizeKnown,
    StoreFailed,
    SwarmComplete,
)
from ppsp.livekeys import LiveKey, LiveSigner
from ppsp.merkle import MerkleTree, hash_chunks
from ppsp.metadata import SwarmMetadata, SwarmUri
from ppsp.picker import RarestFirst, Sequential
from ppsp.stats import PeerStats, SwarmStats
from ppsp.variable import PublishedChunks, publish_chunks

__all__ = [
    "ChunkAddressing",
    "ChunkRefused",
    "ChunksVerified",
    "ContentIntegrityProtection",
    "DatagramDropped",
    "DecodeError",
    "Endpoint",
    "Event",
    "LiveKey",
    "LiveSigner",
    "LiveStream",
    "MerkleHashFunction",
    "MerkleTree",
    "MetadataError",
    "MunroRefused",
    "PeerConnected",
    "PeerDisconnected",
    "PeerStats",
    "PpspError",
    "PublishedChunks",
    "RangeSet",
    "RarestFirst",
    "Sequential",
    "SizeKnown",
    "StateError",
    "StoreFailed",
    "SwarmComplete",
    "SwarmMetadata",
    "SwarmStats",
    "SwarmUri",
    "hash_chunks",
    "publish_chunks",
]
