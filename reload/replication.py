"""Keeps values where they belong as the overlay changes (RFC 6940 sections 6.4.2.3, 7.4.1.1, 10.4 and 10.7.3).

The responsible peer has copies at its replica peers; who loses responsibility gives to the new responsible peer what it
is not known to have; who is no replica any more forgets, once others have a copy. What is sent follows from the
placement at the time of sending: nothing but "this peer is to have that resource" is remembered.

There is no comparison with other peers by a timer, which the RFC does not ask for: writers store again before the
lifetime ends, and each of their Stores goes to all replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs

from reload._shipping import RESPONSIBLE, Carrier, Shipper, essence
from reload.ports import Signer
from reload.reading import Reader
from reload.storage import Copy, Storage
from reload.storage_messages import StoreReq
from reload.topology import Placement

SCAN_DELAY = 0.25
"""Seconds from a change of the placement until the values are looked at: changes come in bursts."""
SCAN_STEP = 512
"""Resources that one call looks at, some 2 ms: messages are not kept waiting."""
SETTLE_TIME = 60.0
"""Seconds after which a value that is not to be kept is forgotten: twice the hold-down, so that neighbors that come and
go are no reason for it."""
ORPHAN_TIME = 10.0
"""Seconds after which a replica that nobody else is known to have is given to the responsible peer: when a peer has
failed, the next one has sent its replicas by then."""
HAND_OVER_TRIES = 2
"""Attempts at each resource of a hand-over before it ends without: a joining peer waits for the end."""


@attrs.define(eq=False)
class _Held:
    """A resource: which others have all that is here, and whether this node is, or was, responsible for it.

    Who was responsible still is until the new one is known to have it (section 6.4.2.3).
    """

    holders: tuple[bytes, ...] = ()
    is_owned: bool = False


@attrs.define(eq=False)
class _HandOver:
    peer: bytes
    belongs: Callable[[bytes], bool]
    remaining: set[bytes]


class Keeper:
    """Moves the values of one `Storage` as its `Placement` says."""

    def __init__(
        self, storage: Storage, placement: Placement, carrier: Carrier, reader: Reader, signer: Signer
    ) -> None:
        self._storage = storage
        self._placement = placement
        self._shipper = Shipper(storage, carrier, reader, signer, self)
        self._held: dict[bytes, _Held] = {}
        self._hand_overs: dict[int, _HandOver] = {}
        self._handed_over: list[int] = []
        self._numbers = count(1)
        self._scan_at: float | None = None
        self._is_outdated = False
        self._unseen: list[bytes] = []
        self._unkept: dict[bytes, float] = {}
        self._orphans: dict[bytes, float] = {}

    @property
    def pending(self) -> int:
        """Resources that are still to be stored at other peers, each counted once for each peer."""
        return len(self._shipper)

    def use(self, reader: Reader) -> None:
        """Other Kinds, policies or signers are in force."""
        self._shipper.reader = reader

    def on_stored(self, request: StoreReq, changed: Copy | None, source: bytes | None, now: float) -> None:
        """A Store was accepted and has `changed` what is here. `source` is the peer that sent a replica."""
        resource_id = request.resource
        held = self._of(resource_id)
        knows = source is not None and (source in held.holders or self._is_all(request, now))
        if changed is not None:
            self._spread(changed, source)
        if source is not None and knows and source not in held.holders:
            held.holders += (source,)
        self._examine(resource_id, now)
        self._shipper.send(now)

    def on_refused(self, request: StoreReq, source: bytes, now: float) -> None:
        """A replica was refused since `source` is not near. The responsible peer asks it what it has.

        In the other part of an overlay that was partitioned it may have been responsible, with any number of peers of
        this part in between now: values are merged as if all had been stored (section 7.4.1.1).
        """
        if self._placement.is_responsible(request.resource):
            kinds = dict.fromkeys(data.kind for data in request.kind_data)
            self._shipper.fetch_offer(source, request.resource, kinds, now)

    def placement_changed(self, now: float) -> None:
        """Look at all values, soon."""
        self._is_outdated = True
        if self._scan_at is None:
            self._scan_at = now + SCAN_DELAY

    def peer_lost(self, peer: bytes, now: float) -> None:
        """There is no connection to a peer any more: if it comes back, it may have lost everything."""
        self._shipper.forget(peer)
        self._end_all(peer)
        self.peer_renewed(peer, now)

    def peer_renewed(self, peer: bytes, now: float) -> None:
        """A peer may have begun anew, without what it had: it is sent again what it is to have."""
        for held in self._held.values():
            if peer in held.holders:
                held.holders = tuple([each for each in held.holders if each != peer])
        self.placement_changed(now)

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        """Store at `peer` all values whose Resource-ID `belongs`; also those that come meanwhile, but for no longer.

        `handed_over` tells the number when what is here now is there, or could not be stored.
        """
        number = next(self._numbers)
        remaining: set[bytes] = set()
        for resource_id in self._storage.resources():
            if belongs(resource_id) and peer not in self._of(resource_id).holders:
                remaining.add(resource_id)
                self._owe(peer, resource_id)
        self._hand_overs[number] = _HandOver(peer, belongs, remaining)
        if not remaining:
            self._end(number)
        self._shipper.send(now)
        return number

    def handed_over(self) -> list[int]:
        """The hand-overs that have ended since the last call."""
        ended, self._handed_over = self._handed_over, []
        return ended

    def clear(self) -> None:
        """This node is no peer any more: nothing is to be moved."""
        for number in list(self._hand_overs):
            self._end(number)
        self._shipper.clear()
        self._held.clear()
        self._unkept.clear()
        self._orphans.clear()
        self._unseen.clear()
        self._scan_at, self._is_outdated = None, False

    def hurry(self, now: float) -> None:
        """This node is about to leave: it does not wait with what nobody else is known to have."""
        for resource_id in list(self._orphans):
            self._examine(resource_id, now, gives_orphan=True)
        self._shipper.send(now)

    def get_timer(self) -> float | None:
        """When there is something to do."""
        due = [] if self._scan_at is None else [self._scan_at]
        due += [next(iter(waiting.values())) for waiting in (self._unkept, self._orphans) if waiting]
        resuming = self._shipper.get_timer()
        if resuming is not None:
            due.append(resuming)
        return min(due, default=None)

    def handle_timer(self, now: float) -> None:
        """Look at values, forget those of others, send what was held back."""
        if self._scan_at is not None and self._scan_at <= now:
            self._scan(now)
        for resource_id in _take_due(self._orphans, now):
            self._examine(resource_id, now, gives_orphan=True)
        for resource_id in _take_due(self._unkept, now):
            self._examine(resource_id, now, may_forget=True)
        self._shipper.send(now)

    # -- what is to be where ---------------------------------------------------------------------------------------

    def _of(self, resource_id: bytes) -> _Held:
        held = self._held.get(resource_id)
        if held is None:
            # Values expire without a word.
            if len(self._held) > 2 * len(self._storage) + SCAN_STEP:
                self._forget_gone()
            held = self._held[resource_id] = _Held()
        return held

    def _forget_gone(self) -> None:
        here = frozenset(self._storage.resources())
        self._held = {resource_id: held for resource_id, held in self._held.items() if resource_id in here}
        for waiting in (self._unkept, self._orphans):
            for resource_id in [each for each in waiting if each not in here]:
                del waiting[resource_id]

    def _scan(self, now: float) -> None:
        """Look at some values. A change of the placement meanwhile makes another round of it."""
        if self._is_outdated and not self._unseen:
            self._is_outdated = False
            self._forget_gone()
            self._shipper.widen()
            self._unseen = list(self._storage.resources())
        unseen, self._unseen = self._unseen[-SCAN_STEP:], self._unseen[:-SCAN_STEP]
        for resource_id in unseen:
            self._forget_others(resource_id)
            self._examine(resource_id, now)
        self._scan_at = now if self._unseen or self._is_outdated else None

    def _forget_others(self, resource_id: bytes) -> None:
        """Who has left the replica set may forget the data: it is sent all of it when it is back."""
        if self._placement.is_responsible(resource_id):
            held, peers = self._of(resource_id), self._placement.replica_peers(resource_id)
            if any(each not in peers for each in held.holders):
                held.holders = tuple([each for each in held.holders if each in peers])

    def _examine(self, resource_id: bytes, now: float, *, gives_orphan: bool = False, may_forget: bool = False) -> None:
        """Who is to have this resource? Called often: it finds what was found before."""
        held, placement = self._of(resource_id), self._placement
        if placement.is_responsible(resource_id):
            self._unkept.pop(resource_id, None)
            self._orphans.pop(resource_id, None)
            held.is_owned = True
            for peer in placement.replica_peers(resource_id):
                if peer not in held.holders:
                    self._owe(peer, resource_id)
            return
        owner = placement.owner(resource_id)
        if owner is not None and owner in held.holders:
            # Of the others it is not known any more whether they are to keep it.
            held.is_owned, held.holders = False, (owner,)
        is_orphan = not held.is_owned and not held.holders
        if held.is_owned or (is_orphan and gives_orphan):
            self._owe(owner or RESPONSIBLE, resource_id)
        if not is_orphan:
            self._orphans.pop(resource_id, None)
        elif not gives_orphan:
            self._orphans.setdefault(resource_id, now + ORPHAN_TIME)
        if held.is_owned or is_orphan or placement.keeps(resource_id):
            self._unkept.pop(resource_id, None)
        elif not may_forget:
            self._unkept.setdefault(resource_id, now + SETTLE_TIME)
        else:
            self._storage.drop(resource_id)
            del self._held[resource_id]

    def _owe(self, peer: bytes, resource_id: bytes) -> None:
        """A peer is to have all of a resource, unless it is to have it already."""
        backlog = self._shipper.to(peer)
        if not backlog.has(resource_id):
            backlog.add(resource_id, None)

    def _spread(self, changed: Copy, source: bytes | None) -> None:
        """Values have changed: only `source` has them. Who had all before gets the new ones alone."""
        resource_id = changed.resource_id
        held, places = self._of(resource_id), self._shipper.places(changed.values)
        had = held.holders
        held.holders = tuple([peer for peer in had if peer == source])
        peers: list[bytes] = []
        if self._placement.is_responsible(resource_id):
            held.is_owned = True
            peers += self._placement.replica_peers(resource_id)
        peers += [each.peer for each in self._hand_overs.values() if each.belongs(resource_id)]
        for peer in dict.fromkeys(peers):
            if peer != source:
                backlog = self._shipper.to(peer)
                backlog.add(resource_id, set(places) if peer in had or backlog.has(resource_id) else None)

    def _is_all(self, request: StoreReq, now: float) -> bool:
        """Whether a request has all that is here at its resource, so that its sender lacks nothing."""
        copy = self._storage.values_of(request.resource, now)
        sent = {(data.kind, essence(octets)) for data in request.kind_data for octets in data.values}
        return copy is None or all((value.kind, essence(value.octets)) in sent for value in copy.values)

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def replica_number(self, peer: bytes, resource_id: bytes) -> int:
        """With which number a peer is to have a resource now; 0 if it is not to have it any more."""
        if any(each.peer == peer and each.belongs(resource_id) for each in self._hand_overs.values()):
            return 1
        if self._placement.is_responsible(resource_id):
            peers = self._placement.replica_peers(resource_id)
            return peers.index(peer) + 1 if peer in peers else 0
        held = self._of(resource_id)
        is_owner = peer == (self._placement.owner(resource_id) or RESPONSIBLE)
        return 1 if is_owner and (held.is_owned or not held.holders) else 0

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether this node is, so that what it sends are replicas."""
        return self._placement.is_responsible(resource_id)

    def on_arrived(self, peer: bytes, resource_id: bytes, holder: bytes, now: float) -> None:
        """`holder` has all that was due to `peer`."""
        held = self._of(resource_id)
        if holder not in held.holders:
            held.holders += (holder,)
        self.on_gone(peer, resource_id)
        self._examine(resource_id, now)

    def on_gone(self, peer: bytes, resource_id: bytes) -> None:
        """Nothing is due to this peer any more: of a hand-over to it there is one less to wait for."""
        for number, each in list(self._hand_overs.items()):
            if each.peer == peer:
                each.remaining.discard(resource_id)
                if not each.remaining:
                    self._end(number)

    def on_failed(self, peer: bytes, resource_id: bytes, failures: int, in_a_row: int) -> None:
        """A joining peer does not wait for ever: neither for one resource, nor when nothing can be stored."""
        if failures >= HAND_OVER_TRIES:
            self.on_gone(peer, resource_id)
        if in_a_row >= HAND_OVER_TRIES:
            self._end_all(peer)

    def on_merged(self, changed: Copy, source: bytes) -> None:
        """What was newer at a peer is here now: others are to have it."""
        self._spread(changed, source)

    def _end_all(self, peer: bytes) -> None:
        for number in [number for number, each in self._hand_overs.items() if each.peer == peer]:
            self._end(number)

    def _end(self, number: int) -> None:
        del self._hand_overs[number]
        self._handed_over.append(number)


def _take_due(waiting: dict[bytes, float], now: float) -> list[bytes]:
    """Take what has waited long enough; whatever came later is due later."""
    due: list[bytes] = []
    for resource_id, at in waiting.items():
        if at > now:
            break
        due.append(resource_id)
    for resource_id in due:
        del waiting[resource_id]
    return due
