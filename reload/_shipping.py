"""Sends copies of values to other peers, and merges with theirs what they have newer (RFC 6940 section 7.4.1.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import attrs

from reload._backlog import Backlog, Due, Place
from reload._presentation import encode
from reload._stored import data_value_at
from reload.configuration import Configuration
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.exchange import Failure, Outcome, Response
from reload.kinds import Kind
from reload.node_ports import OnOutcome
from reload.ports import Signer
from reload.reading import Reader
from reload.security_block import GenericCertificate
from reload.storage import CopiedValue, Copy, Storage
from reload.storage_messages import (
    APPEND,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DictionarySpecifier,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    SingleSpecifier,
    Specifier,
    StoredDataSpecifier,
    StoreReq,
)
from reload.writing import ROOM_FOR_LISTS, overhead

MAX_IN_FLIGHT = 32
"""Stores under way in all, some 5 kB each: the overlay's own maintenance must not wait behind them."""
_TIME, _TIMES = slice(8), slice(12)
"""Of StoredData: its storage_time, and with it the lifetime; those of a synthetic value are 0."""
_SYNTHETIC = bytes(12)
MAX_OFFERS = 8
"""Fetches at a time of what was offered by peers that replicas are not taken of."""
RESPONSIBLE = b""
"""In the place of a peer: whoever is responsible, when the neighbors do not show it."""

_BEHIND = (ErrorCode.GENERATION_COUNTER_TOO_LOW, ErrorCode.DATA_TOO_OLD)
"""Errors of a peer that has newer data, which MUST be fetched from it (section 7.4.1.1)."""


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


class Consignor(Protocol):
    """Who has things sent, and hears what becomes of them. All of it is about a resource and a peer."""

    def replica_number(self, peer: bytes, resource_id: bytes) -> int:
        """With which number the peer is to have the resource now; 0 if it is not to have it any more."""
        ...

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether this node is, so that what it sends are replicas; others give away what they have."""
        ...

    def on_arrived(self, peer: bytes, resource_id: bytes, holder: bytes, now: float) -> None:
        """`holder` has all that was due to `peer`."""
        ...

    def on_gone(self, peer: bytes, resource_id: bytes) -> None:
        """What was due is there, or here no more; something newer may be due."""
        ...

    def on_failed(self, peer: bytes, resource_id: bytes, failures: int, in_a_row: int) -> None:
        """Nothing came of it, so many times; and of what was sent to the peer, so many times in a row."""
        ...

    def on_merged(self, changed: Copy, source: bytes) -> None:
        """Values of a peer have taken the place of older ones here."""
        ...


@attrs.define(eq=False)
class _Flight:
    """A Store under way: the places that it has, and those that are left for another."""

    peer: bytes
    backlog: Backlog
    resource_id: bytes
    due: Due
    sent: set[Place]
    rest: set[Place]


class Shipper:
    """Sends to each peer what is due to it. What is sent is taken from the storage at that time."""

    def __init__(
        self, storage: Storage, carrier: Carrier, reader: Reader, signer: Signer, consignor: Consignor
    ) -> None:
        self._storage = storage
        self._carrier = carrier
        self._overhead = overhead(signer)
        self._own = frozenset(signer.certificates)
        self._consignor = consignor
        self._backlogs: dict[bytes, Backlog] = {}
        self._in_flight = self._offers = 0
        self.reader = reader

    def __len__(self) -> int:
        """Resources due or under way, each counted once for each peer."""
        return sum(len(backlog.due) + len(backlog.flying) for backlog in self._backlogs.values())

    def to(self, peer: bytes) -> Backlog:
        """What is due to a peer, to add to it."""
        found = self._backlogs.get(peer)
        if found is None:
            found = self._backlogs[peer] = Backlog()
        return found

    def forget(self, peer: bytes) -> None:
        """Nothing is due to a peer any more."""
        self._backlogs.pop(peer, None)

    def widen(self) -> None:
        """Whoever is to have some values of a resource is to have all: it may have been another's for a while."""
        for backlog in self._backlogs.values():
            for due in backlog.due.values():
                due.places = None

    def clear(self) -> None:
        """Nothing is due to anybody any more."""
        self._backlogs.clear()

    def places(self, values: Iterable[CopiedValue]) -> set[Place]:
        """Where values stand, but those of Kinds that are known no more."""
        return {place for value in values if (place := self._place(value.kind, value.octets)) is not None}

    def get_timer(self) -> float | None:
        """When a pause ends."""
        if self._in_flight >= MAX_IN_FLIGHT:
            return None
        resuming = [each.resume_at for each in self._backlogs.values() if each.can_send(each.resume_at)]
        return min(resuming, default=None)

    def send(self, now: float) -> None:
        """Send what may go out: to each peer in turn, so that none waits for another's."""
        is_moving = True
        while is_moving:
            is_moving = False
            for peer, backlog in list(self._backlogs.items()):
                if self._in_flight < MAX_IN_FLIGHT and backlog.can_send(now):
                    is_moving |= self._send_next(peer, backlog, now)
        for peer in [peer for peer, backlog in self._backlogs.items() if not backlog.due and not backlog.flying]:
            del self._backlogs[peer]

    def _send_next(self, peer: bytes, backlog: Backlog, now: float) -> bool:
        """Send, or find to be needless, the next Store to a peer; False when there is none that may go."""
        resource_id = backlog.next()
        if resource_id is None:
            return False
        due = backlog.due.pop(resource_id)
        number = self._consignor.replica_number(peer, resource_id)
        if not number:
            return True
        values = self._select(resource_id, due, now)
        if not values:
            self._consignor.on_gone(peer, resource_id)
            return True
        largest = self._carrier.configuration.max_message_size - self._overhead
        part = next(Copy(resource_id, values[: due.most]).split(largest))
        sent, rest = self.places(part.values), self.places(values[len(part.values) :])
        body = StoreReq(resource_id, number, part.kind_data)
        if len(part.values) == 1 and not self._fits(body, part):
            # No message will ever bring it to anybody, and nothing else is to wait for that.
            due.places = rest
            if rest:
                backlog.again(resource_id, due)
            else:
                self._consignor.on_gone(peer, resource_id)
            return True
        flight = _Flight(peer, backlog, resource_id, due, sent, rest)
        backlog.flying[resource_id] = due
        destination = NodeDestination(peer) if peer else ResourceDestination(resource_id)
        self._request(destination, MessageCode.STORE_REQ, body, now, partial(self._on_store, flight), part.certificates)
        return True

    def _fits(self, body: StoreReq, part: Copy) -> bool:
        certificates = sum(len(encode(each)) for each in part.certificates if each not in self._own)
        size = len(encode(body)) + certificates + self._overhead - ROOM_FOR_LISTS
        return size <= self._carrier.configuration.max_message_size

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
                if (place := self._place(each.kind, each.octets)) is not None
                and (due.places is None or place in due.places)
                and (
                    not due.is_doubted
                    or self.reader.value(each.octets, each.kind, resource_id, each.certificates, wall)
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
        else:
            # A neighbor may forbid that a message goes through it, which says nothing of the data (section 6.1.2).
            by = b"" if outcome.identity is None else outcome.identity.node_id
            code = outcome.error.error_code if outcome.error is not None and flight.peer in (RESPONSIBLE, by) else None
            due.is_doubted |= code == ErrorCode.FORBIDDEN
            # The responsible peer takes nothing from who is not near: it may have had the data from nearer ones.
            is_far = code == ErrorCode.FORBIDDEN and not self._consignor.is_responsible(flight.resource_id)
            due.is_merged = not due.is_merged and (code in _BEHIND or is_far)
            if due.is_merged and outcome.identity is not None:
                source = outcome.identity.node_id
                body = FetchReq(flight.resource_id, self._specifiers(flight.sent))
                on_outcome = partial(self._on_fetch, flight, source)
                self._request(NodeDestination(source), MessageCode.FETCH_REQ, body, now, on_outcome)
            else:
                self._failed(flight, now)
        self.send(now)

    def _on_fetch(self, flight: _Flight, source: bytes, outcome: Outcome, now: float) -> None:
        """What a peer has that is newer takes the place of what is here; what is newer here, it is sent again."""
        self._in_flight -= 1
        if isinstance(outcome, Response) and isinstance(outcome.body, FetchAns):
            kinds = {kind for kind, _ in flight.sent}
            responses = [each for each in outcome.body.kind_responses if each.kind in kinds]
            self._merge(flight.resource_id, responses, outcome, source, now)
            # Of two values of one time neither replaces the other: to send it again would lead to nothing.
            theirs = {
                (self._place(each.kind, octets), octets[_TIME])
                for each in responses
                for octets in each.values
                if octets[_TIMES] != _SYNTHETIC
            }
            mine = self._select(flight.resource_id, Due(flight.sent), now)
            newer = [each for each in mine if (self._place(each.kind, each.octets), each.octets[_TIME]) not in theirs]
            flight.due.places = flight.rest | self.places(newer)
            if newer:
                # That it has something to fetch is no sign that it takes what is sent.
                flight.backlog.again(flight.resource_id, flight.backlog.flying.pop(flight.resource_id))
            else:
                self._arrived(flight, source, now)
        elif len(flight.sent) > 1 and _is_too_large(outcome):
            due = flight.due
            due.most, due.is_merged, due.places = len(flight.sent) // 2, False, flight.sent | flight.rest
            flight.backlog.again(flight.resource_id, flight.backlog.flying.pop(flight.resource_id))
        else:
            self._failed(flight, now)
        self.send(now)

    def fetch_offer(self, source: bytes, resource_id: bytes, kinds: Collection[int], now: float) -> None:
        """Fetch the values of some Kinds of which a peer says that it has them, and take those that are newer."""
        known = self.reader.kinds
        specifiers = tuple([StoredDataSpecifier(kind, 0, everything(known[kind])) for kind in kinds if kind in known])
        if specifiers and self._offers < MAX_OFFERS:
            self._offers += 1
            body = FetchReq(resource_id, specifiers)
            on_outcome = partial(self._on_offer, source, resource_id, {each.kind for each in specifiers})
            self._request(NodeDestination(source), MessageCode.FETCH_REQ, body, now, on_outcome)

    def _on_offer(self, source: bytes, resource_id: bytes, kinds: set[int], outcome: Outcome, now: float) -> None:
        self._in_flight -= 1
        self._offers -= 1
        if isinstance(outcome, Response) and isinstance(outcome.body, FetchAns):
            responses = [each for each in outcome.body.kind_responses if each.kind in kinds]
            self._merge(resource_id, responses, outcome, source, now)
        self.send(now)

    def _merge(
        self,
        resource_id: bytes,
        responses: Sequence[FetchKindResponse],
        outcome: Response,
        source: bytes,
        now: float,
    ) -> None:
        """Take what a peer has newer."""
        changed = self._storage.replace(
            resource_id, responses, certificates=outcome.certificates, verifier=self.reader.verifier, now=now
        )
        if changed is not None:
            self._consignor.on_merged(changed, source)

    def _arrived(self, flight: _Flight, holder: bytes, now: float) -> None:
        """`holder` has what was sent, or the same."""
        resource_id, backlog = flight.resource_id, flight.backlog
        due = backlog.succeeded(resource_id)
        if self._backlogs.get(flight.peer) is not backlog:
            return  # The peer was lost meanwhile.
        if due.places:
            backlog.again(resource_id, due)
        elif resource_id in backlog.due:
            self._consignor.on_gone(flight.peer, resource_id)
        else:
            self._consignor.on_arrived(flight.peer, resource_id, holder, now)

    def _failed(self, flight: _Flight, now: float) -> None:
        due = flight.backlog.failed(flight.resource_id, now)
        in_a_row = flight.backlog.failures
        self._consignor.on_failed(flight.peer, flight.resource_id, due.failures, in_a_row)

    def _specifiers(self, places: Iterable[Place]) -> tuple[StoredDataSpecifier, ...]:
        by_kind: dict[int, list[bytes]] = {}
        for kind, octets in sorted(places):
            by_kind.setdefault(kind, []).append(octets)
        known = self.reader.kinds
        return tuple(
            StoredDataSpecifier(kind, 0, encode(_specifier(known[kind].data_model, named)))
            for kind, named in by_kind.items()
            if kind in known
        )

    def _place(self, kind_id: int, octets: bytes) -> Place | None:
        """None for a Kind that is known no more."""
        kind = self.reader.kinds.get(kind_id)
        return None if kind is None else (kind_id, octets[12 : data_value_at(kind.data_model, octets)])


def _specifier(model: DataModel, places: Sequence[bytes]) -> Specifier:
    match model:
        case DataModel.ARRAY:
            return ArraySpecifier(tuple([ArrayRange(*[int.from_bytes(each, "big")] * 2) for each in places]))
        case DataModel.DICTIONARY:
            return DictionarySpecifier(tuple([each[2:] for each in places]))
    return SingleSpecifier()


def everything(kind: Kind) -> bytes:
    """The octets of the specifier of all values of a Kind."""
    match kind.data_model:
        case DataModel.ARRAY:
            return encode(ArraySpecifier((ArrayRange(0, APPEND),)))
        case DataModel.DICTIONARY:
            return encode(DictionarySpecifier(()))
    return encode(SingleSpecifier())


def essence(octets: bytes) -> bytes:
    """StoredData without its lifetime, in which copies of one value differ."""
    return octets[:8] + octets[12:]


def _is_too_large(outcome: Outcome) -> bool:
    error = outcome.error if isinstance(outcome, Failure) else None
    return error is not None and error.error_code == ErrorCode.RESPONSE_TOO_LARGE
