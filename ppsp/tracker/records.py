"""What a tracker keeps of a peer."""

from attrs import define, field

from ppsp.tracker.messages import PeerAddr, PeerMode, PeerNum, StreamStats
from ppsp.tracker.states import PeerState


@define(eq=False)
class Membership:
    """A peer's part in one swarm."""

    peer_mode: PeerMode
    stat: StreamStats | None = None
    """What the peer last reported about this swarm."""
    position: int = 0
    """Where the peer stands in the swarm's list of members, if the swarm has one."""


@define(eq=False)
class RegisteredPeer:
    """What the tracker knows of a peer. It is the tracker's own record: others may read it and no more."""

    peer_id: str
    number: int
    """Tells registrations of one peer ID apart; never 0."""
    connect_time: float
    """Unix time in seconds (section 2.2)."""
    state: PeerState = PeerState.START
    peer_addr: tuple[PeerAddr, ...] = ()
    """The addresses that the peer announced, best first; else the one its last CONNECT came from, as REFLEXIVE."""
    announced: bool = False
    """Whether the addresses are the peer's own words."""
    holder: str | None = None
    """Who has registered it: nobody else may use the peer ID meanwhile. None: whoever comes."""
    host: str | None = None
    """Whose limits it counts for: who was the last to have it join a swarm, an IPv4 address or an IPv6 /64; None:
    nobody's."""
    source: str | None = None
    """The IP address that its last CONNECT came from."""
    properties: PeerNum | None = None
    """What the peer last said about itself."""
    swarms: dict[str, Membership] = field(factory=dict)
    changes: int = 0
    """Counts its joins, changes of mode or address, and leaves."""
