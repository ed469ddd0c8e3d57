"""Figures of a swarm, for progress displays and monitoring."""

from typing import TYPE_CHECKING

import attrs

from ppsp._limits import MAX_DATAGRAM
from ppsp.ports import Address

if TYPE_CHECKING:
    from ppsp._channel import Channel
    from ppsp._swarm import Swarm


@attrs.frozen
class PeerStats:
    """One peer. Octets are of verified or served chunks; `download_rate` is in octets a second, `srtt` in seconds.

    `chunks_refused` failed the integrity check, `chunks_unverifiable` came without their hashes; `chunks_outstanding`
    are requested and not here yet; `cwnd` is the congestion window towards the peer, in octets.
    `datagram_size` is what a datagram to the peer may have, in octets of UDP payload, as far as the path is known.
    `choking` says that we choke it, `choked` that it chokes us, `by_exchange` that another peer named it.
    """

    address: Address
    initiated: bool
    chunks_offered: int
    chunks_received: int
    octets_received: int
    chunks_refused: int
    chunks_unverifiable: int
    chunks_outstanding: int
    chunks_sent: int
    octets_sent: int
    chunks_lost: int
    download_rate: float
    srtt: float | None
    cwnd: int
    datagram_size: int = MAX_DATAGRAM
    choking: bool = False
    choked: bool = False
    by_exchange: bool = False

    @classmethod
    def of(cls, channel: "Channel") -> "PeerStats":
        """The figures of a channel."""
        download, upload = channel.download, channel.upload
        return cls(
            address=channel.address,
            initiated=channel.initiated,
            chunks_offered=channel.peer_have.total,
            chunks_received=download.chunks_received,
            octets_received=download.octets_received,
            chunks_refused=download.refused,
            chunks_unverifiable=download.unverifiable,
            chunks_outstanding=len(download.outstanding),
            chunks_sent=upload.chunks_sent,
            octets_sent=upload.octets_sent,
            chunks_lost=upload.chunks_lost,
            download_rate=download.rate * channel.swarm.content.chunk_size,
            srtt=upload.srtt,
            cwnd=upload.cwnd,
            datagram_size=upload.packing.limit,
            choking=channel.choking,
            choked=download.choked,
            by_exchange=channel.found_by is not None,
        )


@attrs.frozen
class ExchangeStats:
    """Peer exchange in a swarm (RFC 7574 section 3.10), in messages, of all channels that there have been.

    `asked` are our questions, `told` the peers that were named to us and reported as `PeerFound`; `answered` are the
    questions of others, `named` the peers that we named to them. `refused` had no effect: questions that came too soon,
    answers that nobody asked for, were too many or name nobody, certificates that prove nothing.
    """

    asked: int = 0
    told: int = 0
    answered: int = 0
    named: int = 0
    refused: int = 0


@attrs.frozen
class SwarmStats:
    """A swarm. `chunk_count` is None until it is known, `content_size` (octets) until the last chunk is verified.

    `octets_held` are those of the chunks that are held; of a live stream whose chunk sizes vary, about so many.
    `half_open` channels were answered and have not answered back; `banned` addresses are not spoken to.
    """

    swarm_id: bytes
    chunk_count: int | None
    chunks_held: int
    content_size: int | None
    peers: tuple[PeerStats, ...]
    half_open: int = 0
    banned: int = 0
    exchange: ExchangeStats = ExchangeStats()
    octets_held: int = 0

    @classmethod
    def of(cls, swarm: "Swarm", *, half_open: int) -> "SwarmStats":
        """The figures of a swarm."""
        content = swarm.content
        return cls(
            swarm_id=swarm.swarm_id,
            chunk_count=content.chunk_count,
            chunks_held=content.have.total,
            octets_held=content.octets_held,
            content_size=content.content_size,
            peers=tuple(PeerStats.of(channel) for channel in swarm.channels.values() if channel.is_open),
            half_open=half_open,
            banned=len(swarm.banned),
            exchange=swarm.exchange.stats,
        )
