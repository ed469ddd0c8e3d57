"""Keeps values where they belong as the overlay changes (RFC 6940 sections 6.4.2.3, 7.4.1.1, 10.4 and 10.7.3).

The responsible peer has copies at its replica peers; who loses responsibility gives to the new responsible peer what it
is not known to have; who is no replica any more forgets, once others have a copy. What is sent follows from the
placement at the time of sending: nothing but "this peer is to have that resource" is remembered.

There is no comparison with other peers by a timer, which the RFC does not ask for: writers store again before the
lifetime ends, and each of their Stores goes to all replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any, Protocol

import attrs

from reload._backlog import Backlog, Due, Place
from reload._presentation import encode
from reload._stored import data_value_at
from reload.configuration import Configuration
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.exchange import Failure, Outcome, Response
from reload.node_ports import OnOutcome
from reload.ports import Signer
from reload.reading import Reader
from reload.security_block import GenericCertificate
from reload.storage import CopiedValue, Copy, Storage
from reload.storage_messages import (
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DictionarySpecifier,
    FetchAns,
    FetchReq,
    SingleSpecifier,
    Specifier,
    StoredDataSpecifier,
    StoreReq,
)
from reload.topology import Placement
from reload.writing import overhead

MAX_IN_FLIGHT = 32
"""Stores under way in all, some 5 kB each: the overlay's own maintenance must not wait behind them."""
SCAN_DELAY = 0.25
"""Seconds from a change of the placement until the values are looked at: changes come in bursts."""
SCAN_STEP = 512
"""Resources that one call looks at, some 2 ms: messages are not kept waiting."""
SETTLE_TIME = 60.0
"""Seconds that a value no longer to be kept, or that nobody is known to have, is waited for: twice the hold-down, so
that neighbors that come and go are no reason to forget it or to send it."""
HAND_OVER_TRIES = 2
"""Attempts at each resource of a hand-over before it ends without: a joining peer waits for the end."""

_RESPONSIBLE = b""
"""In the place of a peer: whoever is responsible, when the neighbors do not show it."""


class Carrier(Protocol):
    """The node, as far as it sends requests for the values that it keeps."""

    @property
    def configuration(self) -> Configuration:
        """That is in force."""
        ...

    def wall(self, now: float) -> float:
        """The Unix time at `now`."""
        ...

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
        """Send a request, with these certificates beside the own; `on_outcome` is told after this returns."""
        ...


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


@attrs.define(eq=False)
class _Flight:
    """A Store under way: the places that it has, and those that are left for another."""

    peer: bytes
    backlog: Backlog
    resource_id: bytes
    due: Due
    sent: set[Place]
    rest: set[Place]


class Keeper:
    """Moves the values of one `Storage` as its `Placement` says."""

    def __init__(
        self, storage: Storage, placement: Placement, carrier: Carrier, reader: Reader, signer: Signer
    ) -> None:
        self._storage = storage
        self._placement = placement
        self._carrier = carrier
        self._reader = reader
        self._overhead = overhead(signer)
        self._held: dict[bytes, _Held] = {}
        self._backlogs: dict[bytes, Backlog] = {}
        self._in_flight = 0
        self._hand_overs: dict[int, _HandOver] = {}
        self._handed_over: list[int] = []
        self._numbers = count(1)
        self._scan_at: float | None = None
        self._is_outdated = False
        self._unseen: list[bytes] = []
        self._waiting: dict[bytes, float] = {}

    @property
    def pending(self) -> int:
        """Resources that are still to be stored at other peers, each counted once for each peer."""
        return sum(len(backlog.due) + len(backlog.flying) for backlog in self._backlogs.values())

    def use(self, reader: Reader) -> None:
        """Other Kinds, policies or signers are in force."""
        self._reader = reader

    def on_stored(self, request: StoreReq, changed: Copy | None, source: bytes | None, now: float) -> None:
        """A Store was accepted and has `changed` what is here. `source` is the peer that sent a replica."""
        resource_id = request.resource
        held = self._of(resource_id)
        knows = source is not None and (source in held.holders or self._is_all(request, now))
        if changed is not None:
            self._spread(changed, source, now)
        if source is not None and knows and source not in held.holders:
            held.holders += (source,)
        self._examine(resource_id, now)
        self._pump(now)

    def placement_changed(self, now: float) -> None:
        """Look at all values, soon."""
        self._is_outdated = True
        if self._scan_at is None:
            self._scan_at = now + SCAN_DELAY

    def peer_lost(self, peer: bytes, now: float) -> None:
        """There is no connection to a peer any more: if it comes back, it may have lost everything."""
        self._backlogs.pop(peer, None)
        for held in self._held.values():
            if peer in held.holders:
                held.holders = tuple([each for each in held.holders if each != peer])
        for number in [number for number, each in self._hand_overs.items() if each.peer == peer]:
            self._end(number)
        self.placement_changed(now)

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        """Store at `peer` all values whose Resource-ID `belongs`, and those that come before this is done.

        `handed_over` tells the number when all are there, or could not be stored.
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
        self._pump(now)
        return number

    def handed_over(self) -> list[int]:
        """The hand-overs that have ended since the last call."""
        ended, self._handed_over = self._handed_over, []
        return ended

    def clear(self) -> None:
        """This node is no peer any more: nothing is to be moved."""
        for number in list(self._hand_overs):
            self._end(number)
        self._backlogs.clear()
        self._held.clear()
        self._waiting.clear()
        self._unseen.clear()
        self._scan_at = None

    def get_timer(self) -> float | None:
        """When there is something to do."""
        due = [] if self._scan_at is None else [self._scan_at]
        if self._waiting:
            due.append(next(iter(self._waiting.values())) + SETTLE_TIME)
        if self._in_flight < MAX_IN_FLIGHT:
            due += [each.resume_at for each in self._backlogs.values() if each.can_send(each.resume_at)]
        return min(due, default=None)

    def handle_timer(self, now: float) -> None:
        """Look at values, forget those of others, send what was held back."""
        if self._scan_at is not None and self._scan_at <= now:
            self._scan(now)
        while self._waiting:
            resource_id, since = next(iter(self._waiting.items()))
            if since + SETTLE_TIME > now:
                break
            del self._waiting[resource_id]
            self._examine(resource_id, now, has_settled=True)
        self._pump(now)

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
        self._waiting = {resource_id: since for resource_id, since in self._waiting.items() if resource_id in here}

    def _scan(self, now: float) -> None:
        """Look at some values. A change of the placement meanwhile makes another round of it."""
        if self._is_outdated and not self._unseen:
            self._is_outdated = False
            self._forget_gone()
            self._unseen = list(self._storage.resources())
        unseen, self._unseen = self._unseen[-SCAN_STEP:], self._unseen[:-SCAN_STEP]
        for resource_id in unseen:
            self._examine(resource_id, now)
        self._scan_at = now if self._unseen or self._is_outdated else None

    def _examine(self, resource_id: bytes, now: float, *, has_settled: bool = False) -> None:
        """Who is to have this resource? Called often: it finds what was found before."""
        held, placement = self._of(resource_id), self._placement
        if placement.is_responsible(resource_id):
            self._waiting.pop(resource_id, None)
            held.is_owned = True
            peers = placement.replica_peers(resource_id)
            if any(each not in peers for each in held.holders):
                held.holders = tuple([each for each in held.holders if each in peers])
            for peer in peers:
                if peer not in held.holders:
                    self._owe(peer, resource_id)
            return
        owner = placement.owner(resource_id)
        if owner in held.holders:
            held.is_owned = False
        is_orphan = not held.is_owned and not held.holders
        if held.is_owned or (is_orphan and has_settled):
            self._owe(owner or _RESPONSIBLE, resource_id)
        if held.is_owned or (placement.keeps(resource_id) and not is_orphan):
            self._waiting.pop(resource_id, None)
        elif not has_settled:
            self._waiting.setdefault(resource_id, now)
        elif not is_orphan:
            self._storage.drop(resource_id)
            del self._held[resource_id]

    def _owe(self, peer: bytes, resource_id: bytes) -> None:
        """A peer is to have all of a resource, unless it is to have it already."""
        backlog = self._backlog(peer)
        if not backlog.has(resource_id):
            backlog.add(resource_id, None)

    def _backlog(self, peer: bytes) -> Backlog:
        found = self._backlogs.get(peer)
        if found is None:
            found = self._backlogs[peer] = Backlog()
        return found

    def _spread(self, changed: Copy, source: bytes | None, now: float) -> None:
        """Values have changed: only `source` has them. Who had all before gets the new ones alone."""
        resource_id = changed.resource_id
        held, places = self._of(resource_id), self._places(changed.values)
        had = held.holders
        held.holders = tuple([peer for peer in had if peer == source])
        peers: list[bytes] = []
        if self._placement.is_responsible(resource_id):
            held.is_owned = True
            peers += self._placement.replica_peers(resource_id)
        for hand_over in self._hand_overs.values():
            if hand_over.belongs(resource_id):
                hand_over.remaining.add(resource_id)
                peers.append(hand_over.peer)
        for peer in dict.fromkeys(peers):
            if peer != source:
                backlog = self._backlog(peer)
                backlog.add(resource_id, set(places) if peer in had or backlog.has(resource_id) else None)

    def _is_all(self, request: StoreReq, now: float) -> bool:
        """Whether a request has all that is here at its resource, so that its sender lacks nothing."""
        copy = self._storage.values_of(request.resource, now)
        sent = {(data.kind, _essence(octets)) for data in request.kind_data for octets in data.values}
        return copy is None or all((value.kind, _essence(value.octets)) in sent for value in copy.values)

    def _places(self, values: Iterable[CopiedValue]) -> set[Place]:
        return {place for value in values if (place := self._place(value)) is not None}

    def _place(self, value: CopiedValue) -> Place | None:
        """None for a Kind that is known no more."""
        kind = self._reader.kinds.get(value.kind)
        return None if kind is None else (value.kind, value.octets[12 : data_value_at(kind.data_model, value.octets)])

    def _end(self, number: int) -> None:
        del self._hand_overs[number]
        self._handed_over.append(number)

    def _settle_hand_overs(self, peer: bytes, resource_id: bytes) -> None:
        """This resource is stored there, or could not be."""
        for number, each in list(self._hand_overs.items()):
            if each.peer == peer:
                each.remaining.discard(resource_id)
                if not each.remaining:
                    self._end(number)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        """Send what may go out: to each peer in turn, so that none waits for another's."""
        is_moving = True
        while is_moving:
            is_moving = False
            for peer, backlog in list(self._backlogs.items()):
                if self._in_flight < MAX_IN_FLIGHT and backlog.can_send(now):
                    is_moving |= self._send_next(peer, backlog, now)
        for peer in [peer for peer, backlog in self._backlogs.items() if not backlog.due and not backlog.flying]:
            del self._backlogs[peer]

    def _replica_number(self, peer: bytes, resource_id: bytes) -> int:
        """With which number a peer is to have a resource now; 0 if it is not to have it any more."""
        if any(each.peer == peer and resource_id in each.remaining for each in self._hand_overs.values()):
            return 1
        if self._placement.is_responsible(resource_id):
            peers = self._placement.replica_peers(resource_id)
            return peers.index(peer) + 1 if peer in peers else 0
        held = self._of(resource_id)
        is_owner = peer == (self._placement.owner(resource_id) or _RESPONSIBLE)
        return 1 if is_owner and (held.is_owned or not held.holders) else 0

    def _send_next(self, peer: bytes, backlog: Backlog, now: float) -> bool:
        """Send, or find to be needless, the next Store to a peer; False when there is none that may go."""
        resource_id = backlog.next()
        if resource_id is None:
            return False
        due = backlog.due.pop(resource_id)
        number = self._replica_number(peer, resource_id)
        if not number:
            return True
        values = self._select(resource_id, due, now)
        if not values:
            self._settle_hand_overs(peer, resource_id)
            return True
        largest = self._carrier.configuration.max_message_size - self._overhead
        part = next(Copy(resource_id, values).split(largest))
        sent, rest = self._places(part.values), self._places(values[len(part.values) :])
        flight = _Flight(peer, backlog, resource_id, due, sent, rest)
        backlog.flying[resource_id] = due
        destination = NodeDestination(peer) if peer else ResourceDestination(resource_id)
        body = StoreReq(resource_id, number, part.kind_data)
        self._request(destination, MessageCode.STORE_REQ, body, now, partial(self._on_store, flight), part.certificates)
        return True

    def _select(self, resource_id: bytes, due: Due, now: float) -> tuple[CopiedValue, ...]:
        """What is here of what is due. Values that would be refused, as their certificate has expired, stay here."""
        copy = self._storage.values_of(resource_id, now)
        if copy is None:
            return ()
        wall = self._carrier.wall(now)
        return tuple(
            [
                each
                for each in copy.values
                if (place := self._place(each)) is not None
                and (due.places is None or place in due.places)
                and (
                    not due.is_doubted
                    or self._reader.value(each.octets, each.kind, resource_id, each.certificates, wall)
                )
            ]
        )

    def _request(
        self,
        destination: Destination,
        code: MessageCode,
        body: StoreReq | FetchReq,
        now: float,
        on_outcome: OnOutcome,
        certificates: tuple[GenericCertificate, ...] = (),
    ) -> None:
        self._in_flight += 1
        self._carrier.send_request((destination,), code, body, now, on_outcome, certificates=certificates)

    def _on_store(self, flight: _Flight, outcome: Outcome, now: float) -> None:
        self._in_flight -= 1
        due = flight.due
        if isinstance(outcome, Response):
            due.places = flight.rest
            self._arrived(flight, outcome.identity.node_id, now)
        elif _is_behind(outcome) and outcome.identity is not None and not due.is_merged:
            # Section 7.4.1.1: it MUST fetch the newer data from the peer generating the error.
            due.is_merged = True
            body = FetchReq(flight.resource_id, self._specifiers(flight.sent))
            source = outcome.identity.node_id
            on_outcome = partial(self._on_fetch, flight, source)
            self._request(NodeDestination(source), MessageCode.FETCH_REQ, body, now, on_outcome)
        else:
            due.is_merged = False
            if outcome.error is not None and outcome.error.error_code == ErrorCode.FORBIDDEN:
                due.is_doubted = True
            self._failed(flight, now)
        self._pump(now)

    def _on_fetch(self, flight: _Flight, source: bytes, outcome: Outcome, now: float) -> None:
        """What a peer has that is newer takes the place of what is here; what is newer here, it is sent again."""
        self._in_flight -= 1
        if isinstance(outcome, Response) and isinstance(outcome.body, FetchAns):
            kinds = {kind for kind, _ in flight.sent}
            responses = [each for each in outcome.body.kind_responses if each.kind in kinds]
            changed = self._storage.replace(
                flight.resource_id,
                responses,
                certificates=outcome.certificates,
                verifier=self._reader.verifier,
                now=now,
            )
            if changed is not None:
                self._spread(changed, source, now)
            theirs = {(each.kind, _essence(octets)) for each in responses for octets in each.values}
            mine = self._select(flight.resource_id, Due(flight.sent), now)
            newer = [each for each in mine if (each.kind, _essence(each.octets)) not in theirs]
            flight.due.places = flight.rest | self._places(newer)
            self._arrived(flight, source, now)
        else:
            self._failed(flight, now)
        self._pump(now)

    def _arrived(self, flight: _Flight, holder: bytes, now: float) -> None:
        """`holder` has what was sent, or the same."""
        resource_id, backlog = flight.resource_id, flight.backlog
        due = backlog.succeeded(resource_id)
        if self._backlogs.get(flight.peer) is not backlog:
            return  # The peer was lost meanwhile.
        if due.places:
            backlog.again(resource_id, due)
        elif resource_id not in backlog.due:
            held = self._of(resource_id)
            if holder not in held.holders:
                held.holders += (holder,)
            self._settle_hand_overs(flight.peer, resource_id)
            self._examine(resource_id, now)

    def _failed(self, flight: _Flight, now: float) -> None:
        due = flight.backlog.failed(flight.resource_id, now)
        if due.failures >= HAND_OVER_TRIES:
            self._settle_hand_overs(flight.peer, flight.resource_id)
        if flight.backlog.failures >= HAND_OVER_TRIES:
            for number in [number for number, each in self._hand_overs.items() if each.peer == flight.peer]:
                self._end(number)

    def _specifiers(self, places: Iterable[Place]) -> tuple[StoredDataSpecifier, ...]:
        by_kind: dict[int, list[bytes]] = {}
        for kind, octets in sorted(places):
            by_kind.setdefault(kind, []).append(octets)
        known = self._reader.kinds
        return tuple(
            StoredDataSpecifier(kind, 0, encode(_specifier(known[kind].data_model, named)))
            for kind, named in by_kind.items()
            if kind in known
        )


def _specifier(model: DataModel, places: Sequence[bytes]) -> Specifier:
    match model:
        case DataModel.ARRAY:
            return ArraySpecifier(tuple([ArrayRange(*[int.from_bytes(each, "big")] * 2) for each in places]))
        case DataModel.DICTIONARY:
            return DictionarySpecifier(tuple([each[2:] for each in places]))
    return SingleSpecifier()


def _essence(octets: bytes) -> bytes:
    """StoredData without its lifetime, in which copies of one value differ."""
    return octets[:8] + octets[12:]


def _is_behind(failure: Failure) -> bool:
    return failure.error is not None and failure.error.error_code in (
        ErrorCode.GENERATION_COUNTER_TOO_LOW,
        ErrorCode.DATA_TOO_OLD,
    )
