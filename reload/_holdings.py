"""What a peer holds: values by resource and Kind, their signers' certificates, and when they expire."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reload._stored import Key, Shelf, Signatory, Value, exists
from reload.kinds import Kind
from reload.security_block import GenericCertificate

VALUE_OVERHEAD = 1024
"""Octets of memory that a value takes beside its own, as measured for one alone at its resource and the only one of
its signer: small ones would be free otherwise."""
_SPARE_TIMES = 64
"""Outdated entries of the heap that are no reason to build it anew."""
_COUNTABLE = 1 << 63
"""Generation counters from here on are forgotten without a trace, else one replica could use all of them up."""


def cost(octets: bytes) -> int:
    """What a value of these octets counts for in all limits."""
    return len(octets) + VALUE_OVERHEAD


def next_generation(counter: int) -> int:
    """What follows a generation counter. Only a replica can bring one to its end; then it begins again."""
    return counter + 1 if counter < 0xFFFFFFFFFFFFFFFF else 1


class Certificates:
    """The certificates of the values that are held, each once, as long as there is a value (section 7.4.2.2)."""

    def __init__(self) -> None:
        self._signatories: dict[bytes, Signatory] = {}
        self._issuers: dict[GenericCertificate, GenericCertificate] = {}
        self._users: dict[GenericCertificate, int] = {}
        self.octets = 0

    def __len__(self) -> int:
        return len(self._signatories)

    def __iter__(self) -> Iterator[Signatory]:
        return iter(self._signatories.values())

    def find(self, certificate: bytes) -> Signatory | None:
        """The signer with this certificate, if there are values of theirs."""
        return self._signatories.get(certificate)

    def keep(self, own: GenericCertificate, issuers: Iterable[GenericCertificate], value_octets: int) -> Signatory:
        """Another value of this signer is held. `issuers` are the certificates above its own."""
        found = self._signatories.get(own.certificate)
        if found is None:
            found = Signatory((own, *(self._keep_issuer(issuer) for issuer in issuers)))
            self._signatories[own.certificate] = found
            self.octets += len(own.certificate)
        found.values += 1
        found.octets += value_octets
        return found

    def release(self, signatory: Signatory, value_octets: int) -> None:
        """One value less is held."""
        signatory.values -= 1
        signatory.octets -= value_octets
        if signatory.values:
            return
        own, *issuers = signatory.certificates
        del self._signatories[own.certificate]
        self.octets -= len(own.certificate)
        for issuer in issuers:
            self._users[issuer] -= 1
            if not self._users[issuer]:
                del self._users[issuer], self._issuers[issuer]
                self.octets -= len(issuer.certificate)

    def _keep_issuer(self, issuer: GenericCertificate) -> GenericCertificate:
        if issuer not in self._issuers:
            self._issuers[issuer] = issuer
            self.octets += len(issuer.certificate)
        self._users[issuer] = self._users.get(issuer, 0) + 1
        return self._issuers[issuer]


class Holdings:
    """Values by Resource-ID, Kind-ID and `Key`. Nothing that has expired is in it, once `expire` was called.

    `forgotten` is the highest generation counter of values of which none is left.
    """

    def __init__(self) -> None:
        self._resources: dict[bytes, dict[int, Shelf]] = {}
        self._existing: dict[int, list[bytes]] = {}
        self._times: list[tuple[float, bytes, int]] = []
        self._shelves = 0
        self._value_octets = 0
        self.forgotten = 0
        self.certificates = Certificates()

    def __len__(self) -> int:
        return len(self._resources)

    def __contains__(self, resource_id: bytes) -> bool:
        return resource_id in self._resources

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._resources)

    @property
    def octets(self) -> int:
        """What all of it counts for."""
        return self._value_octets + self.certificates.octets

    @property
    def due(self) -> float | None:
        """When the next value may expire."""
        while self._times:
            due, resource_id, kind_id = self._times[0]
            shelf = self.shelf(resource_id, kind_id)
            if shelf is not None and shelf.due == due:
                return due
            heapq.heappop(self._times)
        return None

    def shelf(self, resource_id: bytes, kind_id: int) -> Shelf | None:
        """The values of one Kind at one resource."""
        shelves = self._resources.get(resource_id)
        return None if shelves is None else shelves.get(kind_id)

    def shelves(self, resource_id: bytes) -> Mapping[int, Shelf]:
        """What is held at one resource, by Kind-ID."""
        return self._resources.get(resource_id, {})

    def generation(self, resource_id: bytes, kind_id: int) -> int:
        """The generation counter of these values; 0 when there are none."""
        shelf = self.shelf(resource_id, kind_id)
        return 0 if shelf is None else shelf.generation

    def generation_after(self, shelf: Shelf | None) -> int:
        """The generation counter after a change of these values.

        That of values which are the first goes on behind all that were forgotten: who remembers one of those would
        take them for what was there before.
        """
        return next_generation(self.forgotten if shelf is None else shelf.generation)

    def put(self, resource_id: bytes, kind: Kind, generation: int, values: Mapping[Key, Value]) -> None:
        """Hold values, in the place of those with the same keys; their signatories are kept already."""
        if not values:
            return
        shelves = self._resources.setdefault(resource_id, {})
        shelf = shelves.get(kind.id)
        if shelf is None:
            shelf = shelves[kind.id] = Shelf(kind.data_model, due=float("inf"))
            self._shelves += 1
        before = shelf.existing
        for key, value in values.items():
            old = shelf.values.get(key)
            if old is not None:
                self._forget_value(shelf, old)
            shelf.values[key] = value
            shelf.existing += exists(shelf.model, value.octets)
            self._value_octets += cost(value.octets)
        shelf.generation = generation
        self._index(resource_id, kind.id, before, shelf.existing)
        self._schedule(resource_id, kind.id, shelf, min(value.expires for value in values.values()))

    def remove(self, resource_id: bytes, kind_id: int, keys: Sequence[Key]) -> None:
        """Hold these values no longer, and nothing of the resource when none is left."""
        shelf = self._resources[resource_id][kind_id]
        before = shelf.existing
        for key in keys:
            self._forget_value(shelf, shelf.values.pop(key))
        self._index(resource_id, kind_id, before, shelf.existing)
        if not shelf.values:
            del self._resources[resource_id][kind_id]
            self._shelves -= 1
            if not self._resources[resource_id]:
                del self._resources[resource_id]
            self.forget(shelf.generation)

    def forget(self, generation: int) -> None:
        """There was a generation of values, of which none is left."""
        if generation < _COUNTABLE:
            self.forgotten = max(self.forgotten, generation)

    def expire(self, now: float) -> None:
        """Forget the values whose lifetime is over."""
        while self._times and self._times[0][0] <= now:
            due, resource_id, kind_id = heapq.heappop(self._times)
            shelf = self.shelf(resource_id, kind_id)
            if shelf is None or shelf.due != due:
                continue
            self.remove(resource_id, kind_id, [key for key, value in shelf.values.items() if value.expires <= now])
            if shelf.values:
                shelf.due = float("inf")
                self._schedule(resource_id, kind_id, shelf, min(value.expires for value in shelf.values.values()))

    def closest(self, resource_id: bytes, kind_id: int) -> bytes | None:
        """The first Resource-ID, from this one upwards and around, at which a value of the Kind exists."""
        found = self._existing.get(kind_id)
        return found[bisect_left(found, resource_id) % len(found)] if found else None

    def _forget_value(self, shelf: Shelf, value: Value) -> None:
        octets = cost(value.octets)
        shelf.existing -= exists(shelf.model, value.octets)
        self._value_octets -= octets
        self.certificates.release(value.signatory, octets)

    def _index(self, resource_id: bytes, kind_id: int, before: int, after: int) -> None:
        if bool(before) == bool(after):
            return
        found = self._existing.setdefault(kind_id, [])
        if after:
            insort(found, resource_id)
        else:
            del found[bisect_left(found, resource_id)]

    def _schedule(self, resource_id: bytes, kind_id: int, shelf: Shelf, due: float) -> None:
        """One entry for all values of a Kind. When it comes too early it only says when to look again."""
        if due >= shelf.due:
            return
        shelf.due = due
        heapq.heappush(self._times, (due, resource_id, kind_id))
        if len(self._times) > 2 * self._shelves + _SPARE_TIMES:
            self._times = [
                (each.due, resource, kind)
                for resource, shelves in self._resources.items()
                for kind, each in shelves.items()
            ]
            heapq.heapify(self._times)
