"""Which first HANDSHAKEs open a channel: neither those that repeat or cross another, nor those there is no room for."""

from typing import TYPE_CHECKING

from ppsp import _limits
from ppsp._channel import Channel, State
from ppsp.messages import Handshake
from ppsp.ports import Address

if TYPE_CHECKING:
    from ppsp._swarm import Swarm

# When both peers open a channel at once, the one with the lower ID is kept; the other is answered after all when ours
# was sent more often than this in vain, since a NAT may stop one direction.
_CROSSING_TRIES = 2


def crossing(swarm: "Swarm", handshake: Handshake, address: Address, now: float) -> Channel | None:
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


def refusal_of(swarm: "Swarm", address: Address, half_open: int) -> str | None:
    """Why the address is not answered while so many channels are half open; None when it is."""
    if address in swarm.banned:
        return "HANDSHAKE from a peer that is banned"
    incoming = sum(1 for channel in swarm.channels.values() if not channel.initiated)
    if incoming >= _limits.MAX_INCOMING_CHANNELS or len(swarm.channels) >= _limits.MAX_CHANNELS:
        return "HANDSHAKE while every channel is taken"
    if half_open >= _limits.MAX_HALF_OPEN:
        return "HANDSHAKE while too many are half open"
    return None
