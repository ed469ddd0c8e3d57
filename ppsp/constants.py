"""The registries of RFC 7574 sections 7, 8.2 and 10, and its default values (section 11.1.6, Table 8)."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

VERSION = 1
"""The protocol version of RFC 7574 (section 7.2, Table 3), the only one there is."""

DEFAULT_CHUNK_SIZE = 1024
"""Octets a chunk, RECOMMENDED by section 8.1."""

VARIABLE_CHUNK_SIZE = 0xFFFFFFFF
"""The value of the Chunk Size option when chunk sizes vary (section 7.11)."""

MAX_CHUNK_SIZE = 60_000
"""The longest chunk: UDP's limit less our own headers and the hashes of the tallest tree. Nothing else bounds a chunk
where sizes vary: a longer DATA is malformed there."""

CHANNEL_ID_SIZE = 4
"""Octets of the channel ID that starts every datagram (section 8.3); alone they are a keep-alive (section 8.14)."""

MAX_SUPPORTED_MESSAGES_SIZE = 32
"""Octets of the largest Supported Messages bitmap: a bit for each of 256 types (section 7.10)."""

KEEP_EVERYTHING = 1 << 62
"""The discard window, in chunks, of a live peer that discards nothing: all ones on the wire (section 7.9)."""


class MessageType(IntEnum):
    """The first octet of a message (section 8.2, Table 7)."""

    HANDSHAKE = 0
    DATA = 1
    ACK = 2
    HAVE = 3
    INTEGRITY = 4
    PEX_RESV4 = 5
    PEX_REQ = 6
    SIGNED_INTEGRITY = 7
    REQUEST = 8
    CANCEL = 9
    CHOKE = 10
    UNCHOKE = 11
    PEX_RESV6 = 12
    PEX_RESCERT = 13


class ProtocolOption(IntEnum):
    """The code of an option in a HANDSHAKE (section 7, Table 2)."""

    VERSION = 0
    MINIMUM_VERSION = 1
    SWARM_IDENTIFIER = 2
    CONTENT_INTEGRITY_PROTECTION_METHOD = 3
    MERKLE_HASH_TREE_FUNCTION = 4
    LIVE_SIGNATURE_ALGORITHM = 5
    CHUNK_ADDRESSING_METHOD = 6
    LIVE_DISCARD_WINDOW = 7
    SUPPORTED_MESSAGES = 8
    CHUNK_SIZE = 9
    END = 255


class ContentIntegrityProtection(IntEnum):
    """How the content is protected against corruption (section 7.5, Table 4)."""

    NONE = 0
    MERKLE_HASH_TREE = 1
    SIGN_ALL = 2
    UNIFIED_MERKLE_TREE = 3


class MerkleHashFunction(IntEnum):
    """The hash function of the Merkle hash tree (section 7.6, Table 5)."""

    SHA1 = 0
    SHA224 = 1
    SHA256 = 2
    SHA384 = 3
    SHA512 = 4


class LiveSignatureAlgorithm(IntEnum):
    """Signature algorithms, by their DNSSEC numbers (section 7.7): the four mandatory ones, and Ed25519 (RFC 8080)."""

    RSASHA1 = 5
    RSASHA256 = 8
    ECDSAP256SHA256 = 13
    ECDSAP384SHA384 = 14
    ED25519 = 15


class ChunkAddressing(IntEnum):
    """How messages denote chunks (section 7.8, Table 6)."""

    BIN32 = 0
    BYTE64 = 1
    CHUNK32 = 2
    BIN64 = 3
    CHUNK64 = 4


HASH_SIZE: Mapping[MerkleHashFunction, int] = MappingProxyType(
    {
        MerkleHashFunction.SHA1: 20,
        MerkleHashFunction.SHA224: 28,
        MerkleHashFunction.SHA256: 32,
        MerkleHashFunction.SHA384: 48,
        MerkleHashFunction.SHA512: 64,
    }
)
"""Octets of a hash, by function (FIPS 180-4)."""
