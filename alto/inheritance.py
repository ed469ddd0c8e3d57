"""One entity domain with its properties: what is inherited, and what a filtered property map answers (RFC 9240)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import TypeAlias

from alto._json import Json
from alto.address import BITS
from alto.entities import DOMAIN_TYPES, Key
from alto.patch import json_equal

Properties: TypeAlias = Mapping[str, Json]
"""Values by property name; None is "no value", which is not inherited over."""

MAX_WHOLE = 4
"""Answers to everything that a table keeps, each for other properties: to ask for one takes a few octets, to make it of
a large table some tenths of a second."""


class EntityTable:
    """The entities of one domain and the properties that are defined for each. It never changes.

    In a domain of addresses an entity inherits each property from the longest prefix around it that has a value for
    it (section 6.1.3); in any other there is no inheritance.
    """

    __slots__ = ("_lengths", "_names", "_order", "_whole", "domain_type", "entries")

    def __init__(self, domain_type: str, entries: Mapping[Key, Properties]) -> None:
        self.domain_type = domain_type
        self.entries: Mapping[Key, Properties] = MappingProxyType(dict(entries))
        self._order: list[tuple[int, int]] | None = None
        self._names: frozenset[str] | None = None
        self._whole: dict[frozenset[str], Mapping[Key, Properties]] = {}
        # Longest first: the order in which a value is looked for.
        lengths = {key[1] for key in entries if not isinstance(key, str)}
        self._lengths: tuple[int, ...] = tuple(sorted(lengths, reverse=True))

    @property
    def bits(self) -> int:
        """The length of an address of this domain; 0 in a domain without hierarchy."""
        kind = DOMAIN_TYPES.get(self.domain_type)
        return BITS[kind.family] if kind is not None and kind.family is not None else 0

    def around(self, key: Key) -> Iterator[Properties]:
        """What is defined for the entity itself and, longest prefix first, for each that contains it."""
        if isinstance(key, str):
            if key in self.entries:
                yield self.entries[key]
            return
        value, length = key
        bits = self.bits
        for shorter in self._lengths:
            if shorter <= length:
                found = self.entries.get((value >> bits - shorter << bits - shorter, shorter))
                if found is not None:
                    yield found

    def effective(self, key: Key) -> dict[str, Json]:
        """Every property of an entity, inherited or its own; with a value of None where there is expressly none."""
        found: dict[str, Json] = {}
        for properties in self.around(key):
            found = {**properties, **found}
        return found

    def value(self, key: Key, name: str) -> Json:
        """The value of one property of an entity, inherited or its own; None where there is none."""
        return next((properties[name] for properties in self.around(key) if name in properties), None)

    def covered(self, key: tuple[int, int]) -> list[tuple[int, int]]:
        """The entities that lie within the prefix, without itself, by address and then by length."""
        order, start, end = self._range(key)
        return order[start:end]

    def has_any(self, key: Key) -> bool:
        """Whether something is defined for the entity, or for any that it covers (section 8.3)."""
        if next(self.around(key), None) is not None:
            return True
        if isinstance(key, str):
            return False
        _, start, end = self._range(key)
        return start < end

    def _range(self, key: tuple[int, int]) -> tuple[list[tuple[int, int]], int, int]:
        order = self._sorted()
        value, length = key
        # Whatever starts at a later address of the prefix has to be longer, so nothing else is between the two.
        start = bisect_left(order, (value, length + 1))
        end = bisect_left(order, (value + (1 << self.bits - length), 0), lo=start)
        return order, start, end

    def _sorted(self) -> list[tuple[int, int]]:
        if self._order is None:
            self._order = sorted(key for key in self.entries if not isinstance(key, str))
        return self._order

    def everything(self, names: AbstractSet[str]) -> Mapping[Key, Properties]:
        """What is defined of these properties, for every entity that has one of them. It is kept: nobody may change it.

        As in `select`, an entity that others cover wholly is left out.
        """
        if not self.bits:
            kept = ((key, _only(properties, names)) for key, properties in self.entries.items())
            return {key: properties for key, properties in kept if properties}
        chosen = frozenset(names)
        if chosen not in self._whole:
            while len(self._whole) >= MAX_WHOLE:
                del self._whole[next(iter(self._whole))]
            entries = ((key, _only(self.entries[key], names), True) for key in self._sorted())
            self._whole[chosen] = _compact(entries, self.bits)
        return self._whole[chosen]

    def select(self, requested: Collection[Key], names: AbstractSet[str]) -> dict[Key, Properties]:
        """The answer of a filtered property map for these entities and properties (section 8.6).

        A requested entity has all its values, inherited ones too. Entities that it covers are there with what differs
        from what they inherit. An entity that others in the answer cover wholly is left out; they take its values over.
        """
        if not self.bits:
            found = {key: _only(self.entries.get(key, {}), names) for key in requested}
            return {key: properties for key, properties in found.items() if properties}
        asked = {key: _only(self.effective(key), names) for key in requested if not isinstance(key, str)}
        keys = [*asked]
        for outer in _outermost(asked, self.bits):
            keys += [key for key in self.covered(outer) if key not in asked]
        keys.sort()
        return _compact(self._nodes(keys, names, asked), self.bits)

    def _nodes(
        self, keys: Iterable[tuple[int, int]], names: AbstractSet[str], asked: Mapping[tuple[int, int], Properties]
    ) -> Iterator[_Node]:
        """What is known of each; they are not held at a time, as there may be hundreds of thousands."""
        entries = self.entries
        has_only = self._all_names() <= names
        for key in keys:
            if key in asked:
                yield key, asked[key], True
            else:
                yield key, entries[key] if has_only else _only(entries[key], names), False

    def _all_names(self) -> frozenset[str]:
        if self._names is None:
            self._names = frozenset().union(*self.entries.values())
        return self._names


def _only(properties: Properties, names: AbstractSet[str]) -> Properties:
    if properties.keys() <= names:  # the entities of a large map share their few values: so does the answer
        return properties
    return {name: value for name, value in properties.items() if name in names}


def _outermost(prefixes: Iterable[tuple[int, int]], bits: int) -> Iterator[tuple[int, int]]:
    """Those of the prefixes that lie in no other: nested ones must not make the same entities be visited again."""
    end = 0
    for value, length in sorted(prefixes):
        if value >= end:
            end = value + (1 << bits - length)
            yield value, length


_Node: TypeAlias = tuple[tuple[int, int], Properties, bool]
"""An entity, its properties, and whether all of them are told, or only what differs from what it inherits."""


class _Around:
    """An entity of the answer that others lie in."""

    __slots__ = ("below", "end", "place", "properties", "room")

    def __init__(self, place: int, properties: Properties, end: int, room: int) -> None:
        self.place = place
        self.properties = properties
        self.end = end
        self.room = room
        """How many of its addresses are in none of those right below it, whose places are in `below`."""
        self.below: list[int] = []


def _compact(nodes: Iterable[_Node], bits: int) -> dict[Key, Properties]:
    """The answer, from its entities in the order of addresses, the shorter prefix first."""
    keys: list[tuple[int, int]] = []
    kept: list[Properties] = []
    around: list[_Around] = []
    with_some_below: list[_Around] = []
    begin = end = 0  # of the entity that was kept last
    for key, properties, is_whole in nodes:
        value, length = key
        if value < end:
            around.append(_Around(len(keys) - 1, kept[-1], end, end - begin))
            with_some_below.append(around[-1])
        else:
            while around and value >= around[-1].end:
                around.pop()
        if not is_whole:
            properties = _differing(properties, around)
        if properties:
            begin, end = value, value + (1 << bits - length)
            if around:
                around[-1].room -= end - begin
                around[-1].below.append(len(keys))
            keys.append(key)
            kept.append(properties)
    covered = [one for one in with_some_below if not one.room]
    for one in covered:  # those further out come first
        for place in one.below:
            kept[place] = {**kept[one.place], **kept[place]}
    found: dict[Key, Properties] = dict(zip(keys, kept, strict=True))
    for one in covered:
        del found[keys[one.place]]
    return found


def _differing(properties: Properties, around: list[_Around]) -> Properties:
    """Those of the values that are not the ones inherited from the entities around; None where nothing is inherited."""
    same: list[str] = []
    for name, value in properties.items():
        inherited: Json = None
        for one in reversed(around):
            if name in one.properties:
                inherited = one.properties[name]
                break
        if value is inherited or json_equal(value, inherited):
            same.append(name)
    return {name: value for name, value in properties.items() if name not in same} if same else properties
