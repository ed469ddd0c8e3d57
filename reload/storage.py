"""The values that a peer holds for the overlay: Store, Fetch, Stat, Find, expiry (RFC 6940 section 7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from reload import _snapshot, _stored, fetching
from reload._holdings import Holdings, cost
from reload._stored import Key, Shelf, Value
from reload._storing import KindChange, Proof, RefusalError, Rules, judge, newer
from reload.contents import ErrorCode, ErrorResponse
from reload.errors import SecurityError, StateError
from reload.exchange import Answer, Reply
from reload.kinds import KindTable
from reload.policies import Policy, ValueCheck, standard_policies
from reload.ports import Identity, Verifier
from reload.quotas import Quotas
from reload.security_block import X509, GenericCertificate
from reload.storage_messages import (
    FetchKindResponse,
    FetchReq,
    FindReq,
    StatReq,
    StoreAns,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)
from reload.topology import Placement


@attrs.frozen
class CopiedValue:
    """A value for another peer: StoredData with the lifetime that is left, and its signer's certificates."""

    kind: int
    generation: int
    octets: bytes
    certificates: tuple[GenericCertificate, ...]


@attrs.frozen
class Copy:
    """Values of one resource, to be stored at another peer."""

    resource_id: bytes
    values: tuple[CopiedValue, ...]

    @property
    def kind_data(self) -> tuple[StoreKindData, ...]:
        """For a StoreReq."""
        by_kind: dict[tuple[int, int], list[bytes]] = {}
        for value in self.values:
            by_kind.setdefault((value.kind, value.generation), []).append(value.octets)
        return tuple(StoreKindData(*of, tuple(octets)) for of, octets in by_kind.items())

    @property
    def certificates(self) -> tuple[GenericCertificate, ...]:
        """Of all signers, each once."""
        return tuple(dict.fromkeys(each for value in self.values for each in value.certificates))

    def split(self, max_octets: int) -> Iterator[Copy]:
        """In parts whose values and certificates, encoded, have no more octets; but a value at least is in each."""
        part: list[CopiedValue] = []
        known: set[GenericCertificate] = set()
        size = 0
        for value in self.values:
            new = [each for each in value.certificates if each not in known]
            more = _FRAME + len(value.octets) + sum(_FRAME + len(each.certificate) for each in new)
            if part and size + more > max_octets:
                yield Copy(self.resource_id, tuple(part))
                part, known, size = [], set(), 0
                more = _FRAME + len(value.octets) + sum(_FRAME + len(each.certificate) for each in value.certificates)
            part.append(value)
            known.update(value.certificates)
            size += more
        if part:
            yield Copy(self.resource_id, tuple(part))


_FRAME = 20
"""Octets around a value at most, the Kind and its generation among them; more than those around a certificate."""


@attrs.frozen
class StoreAccepted:
    """A Store is done. `changed` is what has to go to the replicas; None when all of it was here already."""

    answer: Answer
    changed: Copy | None


StoreOutcome = StoreAccepted | ErrorResponse


class Storage:
    """What one peer holds, by resource and Kind. Whom a value is taken from and who may write it, it asks others."""

    def __init__(
        self,
        kinds: KindTable,
        placement: Placement,
        *,
        epoch: float,
        node_id_length: int = 16,
        policies: Mapping[str, Policy] | None = None,
        checks: Mapping[int, ValueCheck] | None = None,
        hidden_kinds: Collection[int] = (),
        quotas: Quotas | None = None,
    ) -> None:
        """`epoch` is the Unix time at `now` 0.

        `policies` are by the names that Kinds have them by, instead of `standard_policies()`: what is not among them
        nobody may write. `checks` are those of usages, by Kind-ID; a Find finds nothing of `hidden_kinds`.
        """
        self._rules = Rules(
            kinds,
            standard_policies() if policies is None else policies,
            {} if checks is None else dict(checks),
            quotas or Quotas(),
            node_id_length,
        )
        self._placement = placement
        self._epoch = epoch
        self._hidden = frozenset(hidden_kinds)
        self._holdings = Holdings()

    def __len__(self) -> int:
        """How many resources there are values of."""
        return len(self._holdings)

    @property
    def octets(self) -> int:
        """What all of it takes: values, the overhead that each is taken to have, certificates."""
        return self._holdings.octets

    def num_resources(self) -> int:
        """Resources that there are values of: what a Probe asks for (section 6.4.2.5)."""
        return len(self._holdings)

    def instances(self) -> dict[int, int]:
        """Values by their Kind-ID."""
        found: dict[int, int] = {}
        for resource_id in self._holdings:
            for kind_id, shelf in self._holdings.shelves(resource_id).items():
                found[kind_id] = found.get(kind_id, 0) + len(shelf.values)
        return found

    def resources(self) -> Iterator[bytes]:
        """Their Resource-IDs; do not store, expire or drop meanwhile."""
        return iter(self._holdings)

    # -- requests --------------------------------------------------------------------------------------------------

    def store(
        self,
        request: StoreReq,
        *,
        signer: Identity,
        certificates: Sequence[GenericCertificate],
        verifier: Verifier,
        now: float,
    ) -> StoreOutcome:
        """Store all values of a request, or none (section 7.4.1). `signer` is the request's."""
        self._holdings.expire(now)
        proof = Proof(verifier, certificates, self._epoch + now)
        try:
            self._check_place(request, signer)
            changes = judge(request, signer, proof, self._rules, self._holdings)
        except RefusalError as refusal:
            return refusal.error
        copied: list[CopiedValue] = []
        for change in changes:
            copied += self._apply(request.resource, change, certificates, now)
        is_replica = request.replica_number > 0
        replicas = () if is_replica else self._placement.replica_peers(request.resource)
        responses = tuple(
            StoreKindResponse(data.kind, self._holdings.generation(request.resource, data.kind), replicas)
            for data in request.kind_data
        )
        changed = Copy(request.resource, tuple(copied)) if copied else None
        return StoreAccepted(Answer(StoreAns(responses)), changed)

    def fetch(self, request: FetchReq, now: float) -> Reply:
        """The values that are wanted, and their signers' certificates (section 7.4.2)."""
        self._holdings.expire(now)
        return fetching.fetch(request, self._holdings, self._rules.kinds, now, self._rules.node_id_length)

    def stat(self, request: StatReq, now: float) -> Reply:
        """The metadata of the values that are wanted (section 7.4.3)."""
        self._holdings.expire(now)
        return fetching.stat(request, self._holdings, self._rules.kinds, now, self._rules.node_id_length)

    def find(self, request: FindReq, now: float) -> Reply:
        """The next Resource-IDs at which there are values of these Kinds (section 7.4.4)."""
        self._holdings.expire(now)
        if not self._placement.is_responsible(request.resource):
            return ErrorResponse(ErrorCode.NOT_FOUND, b"another peer is responsible for the Resource-ID")
        return fetching.find(request, self._holdings, self._rules.kinds, self._hidden)

    # -- copies for others, and from others ------------------------------------------------------------------------

    def values_of(self, resource_id: bytes, now: float) -> Copy | None:
        """All values of a resource that have a second left, for another peer; None when there are none."""
        self._holdings.expire(now)
        copied = [
            _copied(kind_id, shelf, value, now)
            for kind_id, shelf in self._holdings.shelves(resource_id).items()
            for value in shelf.values.values()
            if _stored.lifetime_left(value, now)
        ]
        return Copy(resource_id, tuple(copied)) if copied else None

    def replace(
        self,
        resource_id: bytes,
        responses: Iterable[FetchKindResponse],
        *,
        certificates: Sequence[GenericCertificate],
        verifier: Verifier,
        now: float,
    ) -> Copy | None:
        """Take the values that a peer has and that are newer than those here; what has changed, if anything.

        This is what follows when a Store of copies has failed because the peer has newer ones (section 7.4.1.1):
        values are merged as if all were stored in the order of their storage times. Values whose signature does not
        hold, or whose signer may not write them, are left out.
        """
        self._holdings.expire(now)
        proof = Proof(verifier, certificates, self._epoch + now)
        copied: list[CopiedValue] = []
        for response in responses:
            change = newer(resource_id, response, proof, self._rules, self._holdings)
            if change is not None:
                copied += self._apply(resource_id, change, certificates, now)
        return Copy(resource_id, tuple(copied)) if copied else None

    def drop(self, resource_id: bytes) -> None:
        """Forget all values of a resource."""
        for kind_id, shelf in list(self._holdings.shelves(resource_id).items()):
            self._holdings.remove(resource_id, kind_id, list(shelf.values))

    # -- configuration ---------------------------------------------------------------------------------------------

    def use(
        self,
        kinds: KindTable,
        policies: Mapping[str, Policy] | None = None,
        checks: Mapping[int, ValueCheck] | None = None,
    ) -> None:
        """Go on with these Kinds, policies and checks; values of Kinds unknown or of another data model are dropped."""
        rules = self._rules
        self._rules = attrs.evolve(
            rules,
            kinds=kinds,
            policies=rules.policies if policies is None else policies,
            checks=rules.checks if checks is None else dict(checks),
        )
        self._drop_shelves(lambda kind_id, shelf: kind_id not in kinds or kinds[kind_id].data_model is not shelf.model)

    def drop_kinds(self, kind_ids: Collection[int]) -> None:
        """Forget all values of these Kinds: they may be signed no more by who has signed them (section 11.1)."""
        self._drop_shelves(lambda kind_id, shelf: kind_id in kind_ids)

    def drop_invalid(self, verifier: Verifier, now: float) -> None:
        """Forget the values of whom `verifier` believes no longer: expired or revoked certificates (section 7.1).

        Nobody may use them; and a peer that is sent one of them refuses all that comes with it.
        """
        gone = set()
        for signatory in self._holdings.certificates:
            certificates = signatory.certificates
            try:
                verifier.identify(certificates[0].certificate, certificates, self._epoch + now)
            except SecurityError:
                gone.add(certificates[0].certificate)
        if gone:
            self._drop_values(lambda value: value.signatory.certificates[0].certificate in gone)

    # -- a process that ends, and begins again ----------------------------------------------------------------------

    def snapshot(self, now: float) -> bytes:
        """All that is held, for `restore`, in octets of this package's own."""
        self._holdings.expire(now)
        return _snapshot.write(self._holdings, self._epoch)

    def restore(self, octets: bytes, now: float) -> None:
        """Hold what `snapshot` wrote, but what has expired, or is of Kinds that are unknown or have another data model.

        Signatures are not verified anew, see `drop_invalid`. Raises DecodeError for other octets, and StateError
        when there are values already.
        """
        if len(self._holdings):
            raise StateError("there are values already")
        self._holdings = _snapshot.read(octets, self._rules.kinds, self._rules.quotas, self._epoch, now)

    # -- time ------------------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When the next value expires."""
        return self._holdings.due

    def handle_timer(self, now: float) -> None:
        """Forget what has expired; what is asked for earlier is found to have, all the same."""
        self._holdings.expire(now)

    # -- within ----------------------------------------------------------------------------------------------------

    def _check_place(self, request: StoreReq, signer: Identity) -> None:
        """Raises RefusalError when values do not belong here, or not from this one. The RFC names no code."""
        if request.replica_number == 0:
            if not self._placement.is_responsible(request.resource):
                raise RefusalError(ErrorCode.FORBIDDEN, "another peer is responsible for the Resource-ID")
        elif not self._placement.accepts_replica((signer.node_id,), request.resource, request.replica_number):
            raise RefusalError(ErrorCode.FORBIDDEN, "no replica is expected here, or from another peer")

    def _apply(
        self,
        resource_id: bytes,
        change: KindChange,
        certificates: Sequence[GenericCertificate],
        now: float,
    ) -> list[CopiedValue]:
        holdings, kind_id = self._holdings, change.kind.id
        shelf = holdings.shelf(resource_id, kind_id)
        generation = change.generation
        if generation == 0 and change.values:
            generation = holdings.generation_after(shelf)
        values: dict[Key, Value] = {}
        for key, new in change.values.items():
            own = _certificate(new.signer.certificate, certificates)
            issuers = tuple(GenericCertificate(X509, der) for der in new.signer.issuers)
            signatory = holdings.certificates.keep(own, issuers, cost(new.octets))
            values[key] = Value(new.octets, now + new.data.lifetime, signatory)
        if values:
            holdings.put(resource_id, change.kind, generation, values)
        elif generation and shelf is not None:
            shelf.generation = generation
        made = holdings.shelf(resource_id, kind_id)
        return [_copied(kind_id, made, value, now) for value in values.values()] if made is not None else []

    def _drop_values(self, is_unwanted: Callable[[Value], bool]) -> None:
        for resource_id in list(self._holdings):
            for kind_id, shelf in list(self._holdings.shelves(resource_id).items()):
                keys = [key for key, value in shelf.values.items() if is_unwanted(value)]
                self._holdings.remove(resource_id, kind_id, keys)

    def _drop_shelves(self, is_unwanted: Callable[[int, Shelf], bool]) -> None:
        for resource_id in list(self._holdings):
            for kind_id, shelf in list(self._holdings.shelves(resource_id).items()):
                if is_unwanted(kind_id, shelf):
                    self._holdings.remove(resource_id, kind_id, list(shelf.values))


def _certificate(octets: bytes, certificates: Sequence[GenericCertificate]) -> GenericCertificate:
    """A signer's, as it is passed on: X.509, even if it came under another type as well, under which nobody reads it.

    That of a `NullSigner` has a type of its own.
    """
    x509 = GenericCertificate(X509, octets)
    of_others = [each for each in certificates if each.certificate == octets]
    return x509 if x509 in of_others else next(iter(of_others), x509)


def _copied(kind_id: int, shelf: Shelf, value: Value, now: float) -> CopiedValue:
    octets = _stored.octets_at(value, now)
    return CopiedValue(kind_id, shelf.generation, octets, value.signatory.certificates)
