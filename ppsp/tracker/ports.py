"""What a tracker leaves to others: where registrations are kept, and who may speak."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from attrs import frozen

from ppsp.errors import PpspError
from ppsp.tracker.http import Request
from ppsp.tracker.messages import PeerMode, RequestMessage, StreamStats
from ppsp.tracker.records import RegisteredPeer
from ppsp.tracker.rules import Limits
from ppsp.tracker.states import PeerInput, TrackerState


class StoreUnavailableError(PpspError):
    """The registrations are out of reach for now; whoever asked gets error 05."""


@frozen
class SwarmCount:
    """How many peers a swarm has."""

    swarm_id: str
    peers: int
    seeders: int


@frozen
class Asked:
    """A request to be carried out."""

    message: RequestMessage
    key: bytes
    """Short, and the same for the same content."""
    host: str | None = None
    """Who asks, as far as limits go: an IPv4 address or an IPv6 /64; None where nothing counts for anybody."""


class Transaction(Protocol):
    """What one request reads and does. What it does counts with `Registry.commit` at the latest, all of it or nothing.

    All that is asked here is known since `Registry.begin`: nothing waits.
    """

    @property
    def remembered(self) -> bytes | None:
        """The body that answered this request before, if any.

        That answer counts only as long as carrying the request out again could change nothing but times.
        """

    @property
    def peer(self) -> RegisteredPeer | None:
        """The registration of the sender."""

    @property
    def peer_count(self) -> int: ...
    @property
    def swarm_count(self) -> int: ...
    @property
    def memberships(self) -> int: ...
    @property
    def memberships_of_host(self) -> int:
        """Over all peers that count for the host that asks, but for the sender itself."""

    def has_swarm(self, swarm_id: str) -> bool:
        """Whether a swarm named in the request has a peer."""

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """The peers in a swarm named in the request, in no particular order, or a random sample; to read only."""

    def connect(self, now: float) -> RegisteredPeer:
        """The registration of the sender of a CONNECT, made on the spot for a new one (START)."""

    def step(self, what: PeerInput, now: float) -> None:
        """Follow the arrow of figure 5 that `what` stands for; TERMINATE removes the peer from everything."""

    def join(self, swarm_id: str, peer_mode: PeerMode) -> None:
        """Enter the peer into the swarm, and it counts for the host that asks; one in it already changes its mode."""

    def record(self, stat: StreamStats) -> None:
        """Keep what the peer reports of a swarm it is in."""

    def leave(self, swarm_id: str) -> None:
        """Take the peer out of a swarm it is in; the last one takes the swarm with it."""


TransactionT = TypeVar("TransactionT", bound=Transaction)


class Registry(Protocol[TransactionT]):
    """The registrations, the swarms, and one timer a registration (section 2.3); maybe shared by several trackers.

    Requests of different peers may be under way at once, between `begin` and `commit`: who is far away needs to wait
    only once for all of them. Everything may raise StoreUnavailableError, and has had no effect then that a repetition
    of the request would not have.
    """

    @property
    def peer_count(self) -> int: ...
    @property
    def swarm_count(self) -> int: ...
    @property
    def memberships(self) -> int: ...
    @property
    def state(self) -> TrackerState: ...

    def begin(self, asked: Sequence[Asked], now: float) -> Sequence[TransactionT | StoreUnavailableError]:
        """Requests come, each of another peer."""

    def commit(
        self, done: Sequence[tuple[TransactionT, bytes | None]], most: Limits, now: float
    ) -> Sequence[bool | StoreUnavailableError]:
        """What was done is to count, and the bodies to be the answers to repetitions; None where one is none.

        False: another tracker has changed the same peer meanwhile, or filled what `most` allows; nothing was done, and
        the request begins anew.
        """

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """The registration of a peer."""

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """The peers in a swarm in no particular order, or a random sample where there are many; to read only."""

    def largest(self, count: int) -> list[SwarmCount]:
        """At most `count` swarms with the most peers, the largest first."""

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when no timer runs."""

    def handle_timer(self, now: float) -> None:
        """Remove every peer whose timer has ended (condition D of section 2.3.2)."""


@frozen
class Allowed:
    """The request may be made. `holder` is who makes it, as the authentication names them; None where nobody knows."""

    holder: str | None = None


@frozen
class Denied:
    """The request is answered with error 06, and these challenges: values of WWW-Authenticate.

    Without any, where nothing but a certificate in TLS would do, the HTTP status is 403.
    """

    challenges: tuple[str, ...]


Verdict: TypeAlias = Allowed | Denied

Authenticator: TypeAlias = Callable[[Request, str | None, float], Verdict]
"""Who may speak (section 6.1): is given the request, the verified name in its sender's TLS certificate, and `now`."""
