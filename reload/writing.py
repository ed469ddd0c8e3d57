"""The user's side of Store: signs values, and stores them again where a clock runs behind (RFC 6940 section 7)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

import attrs

from reload._presentation import encode
from reload.contents import ErrorCode, MessageCode
from reload.destinations import ResourceDestination
from reload.errors import EncodeError, StateError
from reload.exchange import Response
from reload.header import HEADER_SIZE
from reload.kinds import Kind
from reload.operations import (
    Failed,
    Fetch,
    Fetched,
    NewValue,
    Operation,
    Plan,
    Result,
    Send,
    Store,
    Stored,
    StoredValue,
    Wanted,
)
from reload.ports import Signer
from reload.reading import content, location
from reload.signing import data_input, value_octets
from reload.storage_messages import (
    APPEND,
    STORED_DATA,
    ArrayEntry,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionarySpecifier,
    SingleSpecifier,
    Specifier,
    StoreAns,
    StoredDataValue,
    StoreKindData,
    StoreReq,
)

VALUES: Mapping[DataModel, type[Any]] = {
    DataModel.SINGLE: DataValue,
    DataModel.ARRAY: ArrayEntry,
    DataModel.DICTIONARY: DictionaryEntry,
}
"""The StoredDataValue of each data model."""
ROOM_FOR_LISTS = 512
"""Octets of a message that are kept for its lists: some 28 hops in a via list, more than 2^28 peers need."""
MAX_STORAGE_TIME = (1 << 64) - 1
_MAX_LIFETIME = (1 << 32) - 1
_REMAINDER = 30
"""Seconds by which a removed value may have been there longer than was told: what was rounded down on its ways from
peer to peer, and the time that passes until it is removed."""
_FRAME = 12
"""Octets of the message contents and the SecurityBlock that hold the body, the certificates and the signature."""


def overhead(signer: Signer) -> int:
    """Octets of a message that are not for its body and the certificates of others, with room for its way."""
    certificates = sum(len(encode(each)) for each in signer.certificates)
    return HEADER_SIZE + ROOM_FOR_LISTS + _FRAME + certificates + len(encode(signer.sign(b"")))


class Writer:
    """Signs the values of one node, each with a storage_time greater than those before."""

    def __init__(self, signer: Signer, *, node_id_length: int = 16) -> None:
        self._signer = signer
        self._node_id_length = node_id_length
        self._overhead = overhead(signer)
        self._last = 0

    def request(self, operation: Store, kinds: Mapping[int, Kind], wall: float, *, max_message_size: int) -> StoreReq:
        """The body of a Store at the Unix time `wall`, its values signed.

        Raises StateError for values that can be in no Store, and EncodeError for those that are too large for their
        Kind or for one message: a Store is atomic, and not divided.
        """
        _check(operation, kinds)
        now = self._last = max(int(wall * 1000), self._last + 1)
        parts: dict[int, list[bytes]] = {}
        for new in operation.values:
            data_model = kinds[new.kind].data_model
            storage_time = now if new.storage_time is None else new.storage_time
            value = value_octets(new.value, node_id_length=self._node_id_length)
            signature = self._signer.sign(data_input(operation.resource_id, new.kind, storage_time, value))
            data = STORED_DATA[data_model](storage_time, new.lifetime, new.value, signature)
            parts.setdefault(new.kind, []).append(encode(data, node_id_length=self._node_id_length))
        generations = {new.kind: new.generation for new in operation.values}
        data_of_kinds = [StoreKindData(kind, generations[kind], tuple(values)) for kind, values in parts.items()]
        request = StoreReq(operation.resource_id, 0, tuple(data_of_kinds))
        size = len(encode(request)) + self._overhead
        if size > max_message_size:
            raise EncodeError(f"Store: {size} octets with room for its way, a message may have {max_message_size}")
        return request

    def storing(
        self, operation: Store, kinds: Mapping[int, Kind], wall: float, *, max_message_size: int
    ) -> Plan[Stored | Failed]:
        """Store, and do once more what fails for a clock that runs behind that of an earlier writer.

        Raises what `request` raises, at once.
        """
        request = self.request(operation, kinds, wall, max_message_size=max_message_size)
        return self._storing(operation, request, kinds, wall, max_message_size)

    def _storing(
        self, operation: Store, request: StoreReq, kinds: Mapping[int, Kind], wall: float, max_message_size: int
    ) -> Generator[Operation, Result, Stored | Failed]:
        result = _result(request, (yield _send(request)))
        if not isinstance(result, Failed) or result.error is None:
            return result
        code = result.error.error_code
        if code not in (ErrorCode.GENERATION_COUNTER_TOO_LOW, ErrorCode.DATA_TOO_OLD):
            return result
        fetched = yield Fetch(operation.resource_id, _present(operation, kinds))
        if not isinstance(fetched, Fetched):
            return result
        failed = attrs.evolve(result, present=fetched)
        if code != ErrorCode.DATA_TOO_OLD:
            return failed
        # Section 7: a storage_time that increments the previous one, where the clocks of writers disagree.
        later = _later(operation, fetched)
        if later is None:
            return failed
        again = self.request(later, kinds, wall, max_message_size=max_message_size)
        result = _result(again, (yield _send(again)))
        return attrs.evolve(result, present=fetched) if isinstance(result, Failed) else result


def removals(
    kind: int, values: Iterable[StoredValue], *, lifetime: int = 0, generation: int = 0
) -> tuple[NewValue, ...]:
    """What to store at once to remove values that were fetched, for as long as those would have lasted, and longer.

    Else who has the old value may store it again (section 7.4.1.3). Lifetimes are told in seconds, rounded down.
    """
    gone = DataValue(False)
    found: list[NewValue] = []
    for each in values:
        value: StoredDataValue
        match each.data.value:
            case ArrayEntry(index, _):
                value = ArrayEntry(index, gone)
            case DictionaryEntry(key, _):
                value = DictionaryEntry(key, gone)
            case _:
                value = gone
        longest = min(each.data.lifetime + _REMAINDER, _MAX_LIFETIME)
        found.append(NewValue(kind, value, max(lifetime, longest), generation))
    return tuple(found)


def read_stored(request: StoreReq, response: Response) -> Stored | Failed:
    """What a StoreAns says."""
    answer = response.body
    if not isinstance(answer, StoreAns):
        return Failed(None, "not a StoreAns", response.identity)
    if sorted(each.kind for each in answer.kind_responses) != sorted(each.kind for each in request.kind_data):
        return Failed(None, "StoreAns: it is about other Kinds", response.identity)
    return Stored(
        {each.kind: each.generation_counter for each in answer.kind_responses},
        {each.kind: each.replicas for each in answer.kind_responses},
    )


def _send(request: StoreReq) -> Send:
    return Send((ResourceDestination(request.resource),), MessageCode.STORE_REQ, request)


def _result(request: StoreReq, result: Result) -> Stored | Failed:
    if isinstance(result, Response):
        return read_stored(request, result)
    assert isinstance(result, Failed)  # Nothing else comes of a Send.
    return result


def _check(operation: Store, kinds: Mapping[int, Kind]) -> None:
    """Raises StateError, or EncodeError for a value over the limit of its Kind."""
    if not operation.values:
        raise StateError("Store: no values")
    generations: dict[int, int] = {}
    places: set[tuple[int, int | bytes | None]] = set()
    for new in operation.values:
        kind = kinds.get(new.kind)
        if kind is None:
            raise StateError(f"Store: Kind {new.kind} is not known")
        if type(new.value) is not VALUES[kind.data_model]:
            raise StateError(f"Store: {type(new.value).__name__} for a Kind whose data model is {kind.data_model}")
        value, place = content(new.value), location(new.value)
        if not value.exists and value.value:
            raise StateError("Store: a value that does not exist has no octets")
        if len(value.value) > kind.max_size:
            raise EncodeError(f"Store: a value of {len(value.value)} octets, Kind {kind.id} takes {kind.max_size}")
        if generations.setdefault(new.kind, new.generation) != new.generation:
            raise StateError(f"Store: Kind {new.kind} with two generations")
        if place != APPEND and (new.kind, place) in places:
            raise StateError(f"Store: two values of Kind {new.kind} in one place")
        places.add((new.kind, place))


def _present(operation: Store, kinds: Mapping[int, Kind]) -> tuple[Wanted, ...]:
    """How to fetch what a Store would replace; of an array that is only appended to, the last entry shows its end."""
    places: dict[int, list[Any]] = {}
    for new in operation.values:
        places.setdefault(new.kind, []).append(location(new.value))
    return tuple(Wanted(kind, _specifier(kinds[kind].data_model, of)) for kind, of in places.items())


def _specifier(data_model: DataModel, places: list[Any]) -> Specifier:
    match data_model:
        case DataModel.ARRAY:
            named = sorted({place for place in places if place != APPEND})
            return ArraySpecifier(tuple(ArrayRange(place, place) for place in named) or (ArrayRange(0, APPEND),))
        case DataModel.DICTIONARY:
            return DictionarySpecifier(tuple(places))
    return SingleSpecifier()


def _later(operation: Store, fetched: Fetched) -> Store | None:
    """The same values, later than those that are there; None when they are later already, or the time is the user's."""
    times = {
        (kind, location(each.data.value)): each.data.storage_time
        for kind, values in fetched.kinds.items()
        for each in values.values
    }
    newest = max((times.get((new.kind, location(new.value)), 0) for new in operation.values), default=0)
    if newest in (0, MAX_STORAGE_TIME) or any(new.storage_time is not None for new in operation.values):
        return None
    return attrs.evolve(operation, values=tuple(attrs.evolve(new, storage_time=newest + 1) for new in operation.values))
