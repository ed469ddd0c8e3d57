"""Who gave how much: an endpoint's figures are of open channels, these outlive them."""

from __future__ import annotations

from collections import deque

import attrs

from ppsp.ports import Address
from ppsp.stats import PeerStats, SwarmStats

# Peers can come back under ever new addresses; those beyond this many are counted as one.
_MAX_ADDRESSES = 1024
_OTHERS: Address = ("others", 0)
# The time over which rates are taken, in seconds.
_WINDOW = 3.0


@attrs.define
class Exchange:
    """What went between us and one address, in octets of chunks.

    `source` says whether it had the whole content when we met (None: not known yet).
    """

    received: int = 0
    sent: int = 0
    refused: int = 0
    source: bool | None = None


class Tally:
    """Sums up, look by look, what peers gave and got."""

    def __init__(self) -> None:
        self.exchanges: dict[Address, Exchange] = {}
        self.connected = 0
        # Of the channels that are open: what they had received and sent when we looked last. "The others" have many.
        self._channels: dict[Address, tuple[int, int]] = {}
        self._window: deque[tuple[float, int, int]] = deque()

    def look(self, stats: SwarmStats, now: float) -> None:
        """Take in the figures of the channels that are open at `now`."""
        self.connected = len(stats.peers)
        for peer in stats.peers:
            exchange = self._take(peer)
            if exchange.source is None and stats.chunk_count is not None and peer.chunks_offered:
                exchange.source = peer.chunks_offered >= stats.chunk_count
        self._window.append((now, self.received, self.sent))
        while now - self._window[0][0] > _WINDOW and len(self._window) > 2:
            self._window.popleft()

    def part(self, peer: PeerStats) -> None:
        """Take in the last figures of a channel that is closed."""
        self._take(peer)
        del self._channels[peer.address]

    def _take(self, peer: PeerStats) -> Exchange:
        exchange = self._of(peer.address)
        received, sent = self._channels.pop(peer.address, (0, 0))
        # Counts that fell are of another channel.
        exchange.received += _growth(received, peer.octets_received)
        exchange.sent += _growth(sent, peer.octets_sent)
        self._channels[peer.address] = peer.octets_received, peer.octets_sent
        if len(self._channels) > _MAX_ADDRESSES:  # of the oldest the end was never told
            del self._channels[next(iter(self._channels))]
        return exchange

    def refuse(self, address: Address) -> None:
        """A chunk from this address failed the integrity check."""
        self._of(address).refused += 1

    def _of(self, address: Address) -> Exchange:
        if address not in self.exchanges and len(self.exchanges) >= _MAX_ADDRESSES:
            address = _OTHERS
        return self.exchanges.setdefault(address, Exchange())

    @property
    def received(self) -> int:
        """Octets of verified chunks, from everybody."""
        return sum(exchange.received for exchange in self.exchanges.values())

    @property
    def sent(self) -> int:
        """Octets of chunks sent, to everybody."""
        return sum(exchange.sent for exchange in self.exchanges.values())

    @property
    def refused(self) -> int:
        """Chunks that failed the integrity check."""
        return sum(exchange.refused for exchange in self.exchanges.values())

    @property
    def download_rate(self) -> float:
        """Octets a second received, over the last seconds."""
        return self._rate(1)

    @property
    def upload_rate(self) -> float:
        """Octets a second sent, over the last seconds."""
        return self._rate(2)

    def _rate(self, column: int) -> float:
        if len(self._window) < 2:
            return 0.0
        first, last = self._window[0], self._window[-1]
        return (last[column] - first[column]) / max(last[0] - first[0], 1e-3)


def _growth(before: int, now: int) -> int:
    return now - before if now >= before else now
