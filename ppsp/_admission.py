"""Who may open a channel to us: what a first HANDSHAKE repeats, crosses or displaces (RFC 7574 sections 3.1.1, 12)."""

from collections.abc import Mapping

from ppsp import _limits
from ppsp._channel import Channel, State
from ppsp._swarm import Swarm
from ppsp.messages import Handshake
from ppsp.ports import Address

# When both peers open a channel at once, the one with the lower ID is kept; the other is answered after all when ours
# was sent more often than this in vain, since a NAT may stop one direction.
_CROSSING_TRIES = 2


def known_channel(swarm: Swarm, handshake: Handshake, address: Address, now: float) -> Channel | None:
    """The channel that this first HANDSHAKE repeats, or one of ours that crossed it and is to be kept."""
    for channel in swarm.channels.values():
        if channel.address != address:
            continue
        if not channel.initiated and channel.remote_id == handshake.source_channel:
            return channel
        if channel.initiated and channel.channel_id < handshake.source_channel:
            young = channel.state is State.OPEN and now - channel.opened_at < _limits.HALF_OPEN_SECONDS
            if young or (channel.state is State.OPENING and channel.tries <= _CROSSING_TRIES):
                return channel
    return None


def displaced(swarm: Swarm, half_open: Mapping[Channel, None]) -> Channel | str | None:
    """Who has to go for one more channel: nobody, or one of those that are `half_open`; why none is made, as text.

    The oldest goes. An honest peer completes its handshake within a round trip and calls again if it was displaced, so
    that it takes hundreds of spoofed HANDSHAKEs a round trip, not a few a second, to keep newcomers out (section
    12.1.2). What is open stays, whoever comes.
    """
    incoming = sum(1 for channel in swarm.channels.values() if not channel.initiated)
    if incoming >= _limits.MAX_INCOMING_CHANNELS or len(swarm.channels) >= _limits.MAX_CHANNELS:
        oldest = next((channel for channel in half_open if channel.swarm is swarm), None)
        return oldest or "HANDSHAKE while every channel is taken"
    return next(iter(half_open)) if len(half_open) >= _limits.MAX_HALF_OPEN else None
