"""Keepers with their storages on a ring, each with the peers that it knows: requests between them in virtual time."""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count
from typing import Any

import attrs
from reload_storing import ALICE, EPOCH, HOME, KINDS, SINGLE, of, signed, there

from reload.configuration import Configuration
from reload.contents import ErrorCode, ErrorResponse
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.exchange import Answer, Failure, Response
from reload.header import ForwardingHeader
from reload.naming import resource_id
from reload.node_ports import OnOutcome
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Identity
from reload.reading import Reader
from reload.replication import Keeper
from reload.security_block import GenericCertificate
from reload.storage import Storage, StoreAccepted
from reload.storage_messages import FetchReq, StoreKindData, StoreReq
from reload.topology import Placement

DELAY = 0.01
TIMEOUT = 15.0
COPIES = 3
LONG = 1_000_000


def at(number: int) -> bytes:
    """The Node-ID of site `number`, 1 to 15, with room between them."""
    return bytes([number * 16]) + bytes(15)


class RingPlacement:
    """The first peer at or behind a Resource-ID is responsible; the next two of those that are known have replicas."""

    def __init__(self, own: bytes) -> None:
        self.own = own
        self.peers: list[bytes] = [own]
        self.held_back: set[bytes] = set()
        self.shows_owner = True

    def _after(self, resource_id: bytes) -> list[bytes]:
        start = int.from_bytes(resource_id)
        return sorted(self.peers, key=lambda peer: (int.from_bytes(peer) - start) % (1 << 128))

    def is_responsible(self, resource_id: bytes) -> bool:
        return self._after(resource_id)[0] == self.own

    def owner(self, resource_id: bytes) -> bytes | None:
        return self._after(resource_id)[0] if self.shows_owner else None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        return tuple(peer for peer in self._after(self.own)[1:COPIES] if peer not in self.held_back)

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        near = self._after(resource_id)[:COPIES]
        return self.keeps(resource_id) and any(sender in near for sender in senders)

    def keeps(self, resource_id: bytes) -> bool:
        return self.own in self._after(resource_id)[:COPIES]


_FITS: type[Placement] = RingPlacement


class Site:
    """A peer: its storage, its keeper, what it knows."""

    def __init__(self, world: "World", number: int, **options: Any) -> None:
        self.world = world
        self.number = number
        self.signer = NullSigner(at(number))
        self.identity = NullVerifier().identify(self.signer.certificates[0].certificate, (), 0.0)
        self.placement = RingPlacement(at(number))
        self.storage = Storage(KINDS, self.placement, epoch=EPOCH, **options)
        self.configuration = Configuration("overlay.example.org", 1, EPOCH * 2)
        self.keeper = Keeper(self.storage, self.placement, self, Reader(KINDS, NullVerifier()), self.signer)
        self.is_up = True

    @property
    def node_id(self) -> bytes:
        return self.signer.node_id

    def wall(self, now: float) -> float:
        return EPOCH + now

    def send_request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        on_outcome: OnOutcome,
        *,
        certificates: tuple[GenericCertificate, ...] = (),
    ) -> int:
        (destination,) = destination_list
        return self.world.send(self, destination, message_code, body, on_outcome, certificates)

    def knows(self, *numbers: int) -> None:
        """These peers, and itself."""
        self.placement.peers = sorted({at(number) for number in (*numbers, self.number)})
        self.keeper.placement_changed(self.world.now)

    def store(self, request: StoreReq, by: Identity, certificates: Sequence[GenericCertificate]) -> Any:
        outcome = self.storage.store(
            request, signer=by, certificates=certificates, verifier=NullVerifier(), now=self.world.now
        )
        source = by.node_id if request.replica_number else None
        if not isinstance(outcome, StoreAccepted):
            if source is not None and outcome.error_code == ErrorCode.FORBIDDEN:
                self.keeper.on_refused(request, source, self.world.now)
            return outcome
        self.keeper.on_stored(request, outcome.changed, source, self.world.now)
        return outcome.answer

    def holds(self, resource_id: bytes) -> list[bytes]:
        """The StoredData that it has there, without lifetimes."""
        copy = self.storage.values_of(resource_id, self.world.now)
        return [] if copy is None else sorted(value.octets[:8] + value.octets[12:] for value in copy.values)


@attrs.define
class Sent:
    """A request that was sent: when, by and to which site, and what."""

    time: float
    sender: int
    receiver: int
    body: Any


class World:
    """The sites, and what is under way between them. `refuse` may answer in the place of a site."""

    def __init__(self, *numbers: int, **options: Any) -> None:
        self.now = 0.0
        self.sent: list[Sent] = []
        self.refuse: Callable[[Site, Site, Any], ErrorResponse | None] = lambda sender, receiver, body: None
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count(1)
        self.sites = {number: Site(self, number, **options) for number in numbers}
        for site in self.sites.values():
            site.knows(*numbers)

    def send(
        self,
        sender: Site,
        destination: Destination,
        code: int,
        body: Any,
        on_outcome: OnOutcome,
        certificates: tuple[GenericCertificate, ...],
    ) -> int:
        transaction = next(self.numbers)
        receiver = self.find(destination)
        bucket = sender.signer.certificates + certificates
        self.sent.append(Sent(self.now, sender.number, receiver.number, body))

        def arrive() -> None:
            if not receiver.is_up or not sender.is_up:
                self.at(TIMEOUT, lambda: on_outcome(Failure(transaction), self.now))
                return
            reply = self.refuse(sender, receiver, body)
            if reply is None and isinstance(body, FetchReq):
                reply = receiver.storage.fetch(body, self.now)
            elif reply is None:
                reply = receiver.store(body, sender.identity, bucket)
            self.at(DELAY, lambda: on_outcome(self.outcome(transaction, code, reply, receiver), self.now))

        self.at(DELAY, arrive)
        return transaction

    def outcome(self, transaction: int, code: int, reply: Any, receiver: Site) -> Response | Failure:
        if isinstance(reply, ErrorResponse):
            return Failure(transaction, reply, receiver.identity)
        assert isinstance(reply, Answer)
        header = ForwardingHeader(0, transaction, ())
        bucket = receiver.signer.certificates + reply.certificates
        return Response(transaction, code + 1, reply.body, receiver.identity, header, bucket)

    def find(self, destination: Destination) -> Site:
        match destination:
            case NodeDestination(node_id):
                return next(site for site in self.sites.values() if site.node_id == node_id)
            case ResourceDestination(resource_id):
                up = [site for site in self.sites.values() if site.is_up]
                start = int.from_bytes(resource_id)
                return min(up, key=lambda site: (int.from_bytes(site.node_id) - start) % (1 << 128))
        raise AssertionError(destination)

    def at(self, delay: float, call: Callable[[], None]) -> None:
        self.events.append((self.now + delay, next(self.numbers), call))

    def run(self, seconds: float) -> None:
        """Let so many seconds pass."""
        end = self.now + seconds
        while True:
            times = [event[0] for event in self.events]
            times += [t for site in self.up() if (t := site.keeper.get_timer()) is not None]
            due = min(times, default=end + 1)
            if due > end:
                break
            self.now = max(self.now, due)
            ready = sorted([event for event in self.events if event[0] <= self.now], key=lambda event: event[:2])
            self.events = [event for event in self.events if event[0] > self.now]
            for _, _, call in ready:
                call()
            for site in self.up():
                timer = site.keeper.get_timer()
                if timer is not None and timer <= self.now:
                    site.keeper.handle_timer(self.now)
        self.now = end

    def up(self) -> list[Site]:
        return [site for site in self.sites.values() if site.is_up]

    def write(self, site: int, resource_id: bytes, *data: StoreKindData, by: NullSigner) -> Any:
        """An original Store at a site."""
        identity = NullVerifier().identify(by.certificates[0].certificate, (), 0.0)
        return self.sites[site].store(StoreReq(resource_id, 0, data), identity, by.certificates)

    def fail(self, *numbers: int) -> None:
        """Sites fall silent, and all others notice at once."""
        for number in numbers:
            self.sites[number].is_up = False
        for site in self.up():
            for number in numbers:
                site.keeper.peer_lost(at(number), self.now)
        self.all_know()

    def all_know(self) -> None:
        numbers = [site.number for site in self.up()]
        for site in self.up():
            site.knows(*numbers)

    def holders(self, resource_id: bytes) -> list[int]:
        """Which sites have something there."""
        return sorted(site.number for site in self.up() if site.holds(resource_id))

    def stores(self) -> list[Sent]:
        return [each for each in self.sent if isinstance(each.body, StoreReq)]


def forbid(numbers: Iterable[int]) -> Callable[[Site, Site, Any], ErrorResponse | None]:
    """These sites refuse every Store."""
    named = set(numbers)

    def refuse(sender: Site, receiver: Site, body: Any) -> ErrorResponse | None:
        is_store = isinstance(body, StoreReq) and receiver.number in named
        return ErrorResponse(ErrorCode.FORBIDDEN) if is_store else None

    return refuse


def single(octets: bytes = b"v", *, time: int = 1, lifetime: int = LONG) -> bytes:
    return signed(SINGLE, there(octets), time=time, lifetime=lifetime)


def ring(*numbers: int, octets: bytes = b"v") -> World:
    """A world in which Alice has stored a value and that has come to rest."""
    world = World(*(numbers or (1, 3, 5, 6, 7, 9, 11)))
    owner = next(number for number in sorted(world.sites) if at(number) >= HOME)
    world.write(owner, HOME, of(SINGLE, single(octets)), by=ALICE)
    world.run(5)
    world.sent.clear()
    return world


def write_many(world: World, count: int, *, lifetime: int = LONG, size: int = 10) -> list[bytes]:
    """Values of `count` users, each at its resource, which this tells."""
    resources = []
    for number in range(count):
        user = NullSigner(bytes([0xC0 + number // 256, number % 256]) * 8, f"user{number}@example.org")
        resource = resource_id(f"user{number}@example.org".encode())
        value = signed(SINGLE, there(bytes(size)), time=1, lifetime=lifetime, by=user, at=resource)
        owner = next(site for site in world.sites.values() if site.placement.is_responsible(resource))
        if owner.is_up:
            world.write(owner.number, resource, of(SINGLE, value), by=user)
            resources.append(resource)
    return resources


def is_settled(world: World) -> bool:
    return all(site.keeper.pending == 0 for site in world.up())


def join(world: World, number: int) -> Site:
    """A site that everybody knows at once, without a hand-over."""
    site = world.sites[number] = Site(world, number)
    world.all_know()
    return site
