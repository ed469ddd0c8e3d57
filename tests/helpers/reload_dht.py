"""A DHT without a network, for plans: it holds what is stored for as long as it lasts, and keeps count of requests.

Simple on purpose, and written apart from `reload.storage`. Nothing is signed: whoever runs a plan says who they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs

from reload.contents import ErrorCode, ErrorResponse
from reload.operations import (
    Failed,
    Fetch,
    Fetched,
    Find,
    Found,
    KindValues,
    NewValue,
    Operation,
    Plan,
    Result,
    Store,
    Stored,
    StoredValue,
)
from reload.ports import Identity
from reload.reading import NO_SIGNATURE
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    ArraySpecifier,
    DataValue,
    DictionaryEntry,
    StoredArrayEntry,
    StoredDictionaryEntry,
    StoredSingle,
)

T = TypeVar("T")
Place = int | bytes


def identity(node_id: bytes, user_name: str | None = None, certificate: bytes = b"") -> Identity:
    return Identity(node_id, (node_id,), user_name, certificate or b"certificate of " + node_id)


@attrs.define
class _Held:
    value: StoredValue
    until: float


class Dht:
    """`now` is in seconds, and the caller's to move. `refuse` may fail an operation before it has an effect."""

    def __init__(self) -> None:
        self.now = 0.0
        self.held: dict[tuple[bytes, int], dict[Place, _Held]] = {}
        self.generations: Counter[tuple[bytes, int]] = Counter()
        self.operations: list[Operation] = []
        self.refuse: Callable[[Operation], Failed | None] = lambda operation: None

    def run(self, plan: Plan[T], by: Identity) -> T:
        result: Any = None
        while True:
            try:
                operation = plan.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            self.operations.append(operation)
            result = self.refuse(operation) or self.perform(operation, by)

    def perform(self, operation: Operation, by: Identity) -> Result:
        match operation:
            case Store(resource_id, values):
                return Stored({new.kind: self._store(resource_id, new, by) for new in values}, {})
            case Fetch(resource_id, wanted):
                kinds = {}
                for each in wanted:
                    found = self.values(resource_id, each.kind)
                    if isinstance(each.specifier, ArraySpecifier):
                        (span,) = each.specifier.indices
                        assert (span.first, span.last) == (0, APPEND)
                    kinds[each.kind] = KindValues(each.kind, self.generations[resource_id, each.kind], found)
                return Fetched(kinds)
            case Find(resource_id, kinds_sought):
                return Found({kind: self._closest(resource_id, kind) for kind in kinds_sought})
        raise AssertionError(operation)

    def values(self, resource_id: bytes, kind: int) -> tuple[StoredValue, ...]:
        return tuple(each.value for each in self.held.get((resource_id, kind), {}).values() if each.until > self.now)

    def keys(self, resource_id: bytes, kind: int) -> set[bytes]:
        """The keys of a dictionary under which something exists."""
        entries = (each.data.value for each in self.values(resource_id, kind))
        return {entry.key for entry in entries if isinstance(entry, DictionaryEntry) and entry.value.exists}

    def put(self, resource_id: bytes, value: StoredValue, kind: int, place: Place, lifetime: float = 1e9) -> None:
        """Have something stored that no policy would let through."""
        self.held.setdefault((resource_id, kind), {})[place] = _Held(value, self.now + lifetime)

    def count(self, of: type[Operation]) -> int:
        return sum(isinstance(each, of) for each in self.operations)

    def _store(self, resource_id: bytes, new: NewValue, by: Identity) -> int:
        shelf = self.held.setdefault((resource_id, new.kind), {})
        generation = self.generations[resource_id, new.kind]
        assert new.generation in (0, generation)
        place: Place = 0
        data: Any
        match new.value:
            case DataValue():
                data = StoredSingle(int(self.now * 1000), new.lifetime, new.value, NO_SIGNATURE)
            case DictionaryEntry(place):
                data = StoredDictionaryEntry(int(self.now * 1000), new.lifetime, new.value, NO_SIGNATURE)
            case ArrayEntry(index, value):
                place = max((int(each) for each in shelf), default=-1) + 1 if index == APPEND else index
                entry = ArrayEntry(place, value)
                data = StoredArrayEntry(int(self.now * 1000), new.lifetime, entry, NO_SIGNATURE)
        shelf[place] = _Held(StoredValue(data, by), self.now + new.lifetime)
        self.generations[resource_id, new.kind] += 1
        return generation + 1

    def _closest(self, resource_id: bytes, kind: int) -> bytes:
        def distance(other: bytes) -> int:
            return abs(int.from_bytes(other, "big") - int.from_bytes(resource_id, "big"))

        having = [at for at, of in self.held if of == kind and self.values(at, kind)]
        return min(having, key=distance, default=bytes(16))


def entry(node_id: bytes, value: bytes, by: Identity, *, exists: bool = True, storage_time: int = 1) -> StoredValue:
    """A dictionary entry as it was fetched."""
    data = StoredDictionaryEntry(storage_time, 600, DictionaryEntry(node_id, DataValue(exists, value)), NO_SIGNATURE)
    return StoredValue(data, by)


def failed(error_code: ErrorCode | None = None) -> Failed:
    return Failed(None if error_code is None else ErrorResponse(error_code), "as the test has it")


def drive(plan: Plan[T], results: Iterable[Result]) -> T:
    """Run a plan with these results, whatever it asks for."""
    answers = iter(results)
    try:
        next(plan)
        while True:
            plan.send(next(answers))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
