"""What this package asks of others, as structural types: nothing here is inherited from.

`ledbat.Ledbat` fits `CongestionController` and never hears of it; `interop` plugs them together.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Protocol, TypeAlias

import attrs

#: A transport address as the socket gives it: `(host, port)`, or the four-tuple of IPv6.
Address: TypeAlias = Hashable
#: One datagram: its octets, or the buffers that make it up in order (so that no payload is copied).
Datagram: TypeAlias = bytes | tuple[bytes | memoryview, ...]


class CongestionController(Protocol):
    """The congestion control of one channel (RFC 7574 section 8.15: LEDBAT). Sizes are octets, times float seconds."""

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""

    def on_sent(self, *, sent: int, now: float) -> None:
        """`sent` octets of chunks left for the network."""

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """`acked` octets arrived; the one-way delay samples stand in the order in which the receiver took them.

        Only differences of delays mean anything, since clocks differ. `rtt` is None where it would be ambiguous (Karn).
        """

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets in flight are taken for lost."""

    def on_timeout(self, now: float) -> None:
        """The deadline of `get_timer` has passed without an acknowledgement."""

    def get_timer(self) -> float | None:
        """When `on_timeout` is due; None while nothing is in flight."""


#: Makes the controller of a new channel, given the size of a full segment in octets (the chunk size).
ControllerFactory: TypeAlias = Callable[[int], CongestionController]


class ChunkStore(Protocol):
    """Where the content's octets are kept, as one linear space. Both methods raise OSError when they fail."""

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """The `length` octets at `offset`, all of which were written before."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Keep `data` at `offset`. It is copied before this returns: the buffer is the network's."""


class VariableStore(Protocol):
    """Where chunks of variable size are kept, by number. All methods raise OSError when they fail."""

    def read(self, chunk: int) -> bytes | memoryview:
        """The octets of a chunk that was written before."""

    def size(self, chunk: int) -> int:
        """How many octets a chunk has that was written before."""

    def write(self, chunk: int, data: bytes | memoryview) -> None:
        """Keep a chunk. It is copied before this returns: the buffer is the network's."""


@attrs.frozen
class PeerStanding:
    """A peer that lacks something of what we hold.

    `received_rate` is what it gives us, in octets of verified chunks a second; `since` when it was connected, or began
    or ceased to be `served`, whichever was last.
    """

    address: Address
    received_rate: float
    served: bool
    since: float


class UploadPolicy(Protocol):
    """Decides whom to serve, and whom to CHOKE (RFC 7574 section 3.9)."""

    @property
    def slots(self) -> int:
        """While no more peers than this lack something, all of them are served and `serve` is not called."""

    def serve(self, peers: Sequence[PeerStanding], *, complete: bool, now: float) -> Collection[int]:
        """Which of the peers are served from now on, by their place; `complete` says that we hold everything."""


class ChunkPicker(Protocol):
    """Decides which chunks to ask a peer for (RFC 7574 section 9.1). Chunk ranges are half-open."""

    def peer_has(self, start: int, stop: int) -> None:
        """One more peer offers these chunks."""

    def peer_lost(self, start: int, stop: int) -> None:
        """A peer that offered these chunks is gone."""

    def take(self, offered: "Offer", most: int) -> list[tuple[int, int]]:
        """Chunks to request of a peer that offers `offered`, about `most`; they count as requested from now on."""

    def give_back(self, start: int, stop: int) -> None:
        """Chunks that were taken are not coming from that peer: they may be taken again."""

    def wants(self, start: int, stop: int) -> bool:
        """Whether any of these chunks is missing and not requested."""

    def arrived(self, start: int, stop: int) -> None:
        """These chunks are verified and held."""


class Offer(Protocol):
    """The chunks that a peer has said it has."""

    def __contains__(self, chunk: object) -> bool: ...
    def __iter__(self) -> Iterator[tuple[int, int]]: ...
    def intersects(self, start: int, stop: int) -> bool: ...
    def covers(self, start: int, stop: int) -> bool: ...
