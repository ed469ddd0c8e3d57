"""Stores, replicas, removals and time in any order: a storage does what a naive model of it does."""

from collections.abc import Sequence

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from reload_storing import ALICE, ALICE_TOO, ARRAY, DICTIONARY, GONE, HOME, SINGLE, Peer, signed, there

from reload.contents import ErrorCode, ErrorResponse
from reload.exchange import Answer
from reload.kinds import Kind
from reload.null_security import NullSigner
from reload.storage import StoreAccepted
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    DataModel,
    DataValue,
    DictionaryEntry,
    FindReq,
    StoredDataValue,
    StoreKindData,
)

_KINDS = {kind.id: kind for kind in (SINGLE, ARRAY, DICTIONARY)}
Place = int | bytes


@attrs.frozen
class Item:
    """A value as the model has it."""

    time: int
    expires: float
    content: bytes | None
    by: NullSigner


@attrs.frozen
class New:
    """A value that is stored."""

    place: Place
    time: int
    lifetime: int
    content: bytes | None
    by: NullSigner

    def octets(self, kind: Kind) -> bytes:
        plain = GONE if self.content is None else there(self.content)
        value: StoredDataValue = plain
        if kind.data_model is DataModel.ARRAY:
            assert isinstance(self.place, int)
            value = ArrayEntry(self.place, plain)
        elif kind.data_model is DataModel.DICTIONARY:
            assert isinstance(self.place, bytes)
            value = DictionaryEntry(self.place, plain)
        return signed(kind, value, time=self.time, lifetime=self.lifetime, by=self.by)


@attrs.define
class Model:
    """Values by Kind and place, and the counters."""

    values: dict[int, dict[Place, Item]] = attrs.Factory(lambda: {kind: {} for kind in _KINDS})
    counters: dict[int, int] = attrs.Factory(lambda: dict.fromkeys(_KINDS, 0))
    highest: int = 0

    def expire(self, now: float) -> None:
        for kind, held in self.values.items():
            self.values[kind] = {place: each for place, each in held.items() if each.expires > now}
            self.forget(kind)

    def forget(self, kind: int) -> None:
        if not self.values[kind]:
            self.highest = max(self.highest, self.counters[kind])
            self.counters[kind] = 0

    def store(self, data: dict[int, tuple[int, Sequence[New]]], is_replica: bool, now: float) -> ErrorCode | None:
        """What goes wrong, or None when all was stored."""
        if not is_replica and any(counter not in (0, self.counters[kind]) for kind, (counter, _) in data.items()):
            return ErrorCode.GENERATION_COUNTER_TOO_LOW
        after = {kind: dict(self.values[kind]) for kind in data}
        changed = dict.fromkeys(data, False)
        for kind, (_, values) in data.items():
            for new in values:
                place = new.place
                is_here = [at for at, old in self.values[kind].items() if (old.time, old.content, old.by) == _key(new)]
                if place == APPEND:
                    if is_here and is_replica:
                        continue
                    if is_here:
                        return ErrorCode.DATA_TOO_OLD
                    place = max((at for at in after[kind] if isinstance(at, int)), default=-1) + 1
                elif is_replica and place in is_here:
                    continue
                if place in after[kind] and after[kind][place].time >= new.time:
                    return ErrorCode.DATA_TOO_OLD
                after[kind][place] = Item(new.time, now + new.lifetime, new.content, new.by)
                changed[kind] = True
        for kind in data:
            if len(after[kind]) > max(_KINDS[kind].max_count, len(self.values[kind])):
                return ErrorCode.DATA_TOO_LARGE
        for kind, (counter, _) in data.items():
            self.values[kind] = after[kind]
            if is_replica and after[kind]:
                self.counters[kind] = counter
            elif changed[kind]:
                self.counters[kind] = (self.counters[kind] or self.highest) + 1
        return None


def _key(new: New) -> tuple[int, bytes | None, NullSigner]:
    return new.time, new.content, new.by


def _news(kind: Kind) -> st.SearchStrategy[list[New]]:
    places: st.SearchStrategy[Place] = st.just(0)
    if kind.data_model is DataModel.ARRAY:
        places = st.sampled_from([APPEND, 0, 1, 2, 5])
    elif kind.data_model is DataModel.DICTIONARY:
        places = st.sampled_from([b"", b"a", b"b", b"c", b"d"])
    one = st.builds(
        New,
        places,
        st.integers(1, 6),
        st.sampled_from([0, 3, 10, 50]),
        st.none() | st.sampled_from([b"", b"x", b"yy"]),
        st.sampled_from([ALICE, ALICE_TOO]),
    )
    return st.lists(one, max_size=1 if kind is SINGLE else 3)


_DATA = st.fixed_dictionaries(
    {}, optional={kind.id: st.tuples(st.integers(0, 4), _news(kind)) for kind in _KINDS.values()}
)


class StorageMachine(RuleBasedStateMachine):
    """One resource, at a peer that is both responsible and a replica."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = Peer()
        self.model = Model()
        self.now = 0.0

    @rule(data=_DATA, is_replica=st.booleans())
    def store(self, data: dict[int, tuple[int, list[New]]], is_replica: bool) -> None:
        if is_replica:
            data = {kind: (counter + 1, values) for kind, (counter, values) in data.items()}
        request = [
            StoreKindData(kind, counter, tuple(new.octets(_KINDS[kind]) for new in values))
            for kind, (counter, values) in data.items()
        ]
        before = self.peer.storage.snapshot(self.now)
        outcome = (self.peer.replicate if is_replica else self.peer.store)(*request, now=self.now)
        self.model.expire(self.now)
        expected = self.model.store(data, is_replica, self.now)
        if isinstance(outcome, ErrorResponse):
            assert outcome.error_code == expected
            assert self.peer.storage.snapshot(self.now) == before
        else:
            assert expected is None
            assert isinstance(outcome, StoreAccepted)
            for each in outcome.answer.body.kind_responses:
                assert each.generation_counter == self.model.counters[each.kind]
        self.model.expire(self.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.model.expire(self.now)

    @rule()
    def tick(self) -> None:
        self.peer.storage.handle_timer(self.now)
        due = self.peer.storage.get_timer()
        held = [each.expires for values in self.model.values.values() for each in values.values()]
        assert due is None if not held else due is not None and self.now < due <= min(held)

    @rule()
    def restart(self) -> None:
        octets = self.peer.storage.snapshot(self.now)
        before = self.peer.storage.octets
        self.peer = Peer()
        self.peer.storage.restore(octets, self.now)
        assert self.peer.storage.octets == before

    @rule()
    def drop(self) -> None:
        self.peer.storage.handle_timer(self.now)
        self.peer.storage.drop(HOME)
        for kind in _KINDS:
            self.model.values[kind] = {}
            self.model.forget(kind)
        assert self.peer.storage.octets == 0

    @rule(kind=st.sampled_from(sorted(_KINDS)))
    def drop_kind(self, kind: int) -> None:
        self.peer.storage.handle_timer(self.now)
        self.peer.storage.drop_kinds([kind])
        self.model.values[kind] = {}
        self.model.forget(kind)

    @rule()
    def copy(self) -> None:
        """A peer that gets all of it holds the same for as long, to the second."""
        copy = self.peer.storage.values_of(HOME, self.now)
        kept = sum(each.expires - self.now >= 1 for held in self.model.values.values() for each in held.values())
        assert (0 if copy is None else len(copy.values)) == kept
        if copy is not None:
            other = Peer()
            outcome = other.replicate(*copy.kind_data, now=self.now, certificates=copy.certificates)
            assert isinstance(outcome, StoreAccepted)
            assert other.storage.values_of(HOME, self.now) == copy

    @invariant()
    def values_and_counters_are_those_of_the_model(self) -> None:
        for kind in _KINDS.values():
            held = self.model.values[kind.id]
            assert self.peer.generation(kind, now=self.now) == self.model.counters[kind.id]
            found: dict[Place, tuple[int, bytes | None]] = {}
            for each in self.peer.read(kind, now=self.now):
                if each.signature.signature_value:
                    place, value = _placed(each.value)
                    found[place] = (each.storage_time, value.value if value.exists else None)
                    assert each.lifetime == int(held[place].expires - self.now)
            assert found == {place: (each.time, each.content) for place, each in held.items()}

    @invariant()
    def what_exists_can_be_found(self) -> None:
        answer = self.peer.storage.find(FindReq(bytes(16), tuple(_KINDS)), self.now)
        assert isinstance(answer, Answer)
        for result in answer.body.results:
            is_there = any(each.content is not None for each in self.model.values[result.kind].values())
            assert result.closest == (HOME if is_there else bytes(16))


def _placed(value: StoredDataValue) -> tuple[Place, DataValue]:
    match value:
        case ArrayEntry():
            return value.index, value.value
        case DictionaryEntry():
            return value.key, value.value
    return 0, value


TestStorage = StorageMachine.TestCase
TestStorage.settings = settings(max_examples=60, stateful_step_count=30)
