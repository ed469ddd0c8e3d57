"""What a tracker client tells its application."""

from typing import TypeAlias

from attrs import frozen

from ppsp.tracker.messages import PeerAddr, PeerInfo, PeerMode


@frozen
class Joined:
    """The tracker has entered us into the swarm, in this mode."""

    swarm_id: str
    peer_mode: PeerMode


@frozen
class Left:
    """We are in the swarm no more."""

    swarm_id: str


@frozen
class PeersFound:
    """Peers of the swarm, ourselves left out; a peer with several addresses stands in it once for each."""

    swarm_id: str
    peers: tuple[PeerInfo, ...]


@frozen
class AddressSeen:
    """The address that our requests come from, as the tracker sees it (section 4.1.1)."""

    peer_addr: PeerAddr


@frozen
class Refused:
    """The tracker refused a request about these swarms; the client tries again, more and more seldom."""

    swarm_ids: tuple[str, ...]
    error_code: int
    """0 where the request as a whole was carried out, and failed for these swarms only."""


@frozen
class RequestLost:
    """A request got no answer, or none that can be understood; the client repeats it, more and more seldom."""

    reason: str


Event: TypeAlias = Joined | Left | PeersFound | AddressSeen | Refused | RequestLost
