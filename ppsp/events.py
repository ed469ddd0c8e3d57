"""What an `Endpoint` tells its user, as values. `match` over `Event` with `assert_never` is checked by mypy."""

from typing import TypeAlias

import attrs

from ppsp.ports import Address
from ppsp.stats import PeerStats


@attrs.frozen
class SizeKnown:
    """The peak hashes fixed the number of chunks (RFC 7574 section 5.6).

    `content_size` is in octets, and None until the last chunk, which may be short, is verified.
    """

    swarm_id: bytes
    chunk_count: int
    content_size: int | None


@attrs.frozen
class ChunksVerified:
    """The chunks from `start` up to, not including, `stop` are verified and stored."""

    swarm_id: bytes
    start: int
    stop: int


@attrs.frozen
class SwarmComplete:
    """Every chunk is verified and stored."""

    swarm_id: bytes
    content_size: int


@attrs.frozen
class PeerConnected:
    """The handshake with the peer is complete (section 3.1.1)."""

    swarm_id: bytes
    address: Address


@attrs.frozen
class PeerFound:
    """The peer at `source` names another one (section 3.10); `host` is an IP address.

    Give `source` to `Endpoint.connect` as `found_by`, so that nobody can fill all channels with friends.
    """

    swarm_id: bytes
    host: str
    port: int
    source: Address


@attrs.frozen
class PeerDisconnected:
    """The channel to the peer is closed; `reason` is one sentence, `stats` the channel's last figures."""

    swarm_id: bytes
    address: Address
    reason: str
    stats: PeerStats


@attrs.frozen
class ChunkRefused:
    """The peer sent a chunk that fails the integrity check; the peer is dropped and not spoken to again."""

    swarm_id: bytes
    address: Address
    chunk: int


@attrs.frozen
class MunroRefused:
    """The peer sent a signed munro, over the chunks from `chunk` on, that is forged, too old or of another stream.

    Who forges is dropped and not spoken to again; a munro is too old that was not asked for (section 6.1.2.4).
    """

    swarm_id: bytes
    address: Address
    chunk: int
    reason: str


@attrs.frozen
class DatagramDropped:
    """A datagram, or the rest of one from its first invalid message on, had no effect (section 3)."""

    address: Address
    reason: str


@attrs.frozen
class StoreFailed:
    """The chunk store raised OSError; nothing more is requested for the swarm. What it held is still served."""

    swarm_id: bytes
    error: OSError


Event: TypeAlias = (
    SizeKnown
    | ChunksVerified
    | SwarmComplete
    | PeerConnected
    | PeerDisconnected
    | PeerFound
    | ChunkRefused
    | MunroRefused
    | DatagramDropped
    | StoreFailed
)
