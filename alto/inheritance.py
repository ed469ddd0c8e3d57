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


class EntityTable:
    """The entities of one domain and the properties that are defined for each. It never changes.

    In a domain of addresses an entity inherits each property from the longest prefix around it that has a value for
    it (section 6.1.3); in any other there is no inheritance.
    """

    __slots__ = ("_lengths", "_order", "domain_type", "entries")

    def __init__(self, domain_type: str, entries: Mapping[Key, Properties]) -> None:
        self.domain_type = domain_type
        self.entries: Mapping[Key, Properties] = MappingProxyType(dict(entries))
        self._order: list[tuple[int, int]] | None = None
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

    def everything(self, names: AbstractSet[str]) -> dict[Key, Properties]:
        """What is defined of these properties, for every entity that has one of them.

        As in `select`, an entity that others cover wholly is left out.
        """
        kept = {key: _only(properties, names) for key, properties in self.entries.items()}
        if not self.bits:
            return {key: properties for key, properties in kept.items() if properties}
        return _compact([_Node(key, kept[key], True) for key in self._sorted()], self.bits)

    def select(self, requested: Collection[Key], names: AbstractSet[str]) -> dict[Key, Properties]:
        """The answer of a filtered property map for these entities and properties (section 8.6).

        A requested entity has all its values, inherited ones too. Entities that it covers are there with what differs
        from what they inherit. An entity that others in the answer cover wholly is left out; they take its values over.
        """
        if not self.bits:
            found = {key: _only(self.entries.get(key, {}), names) for key in requested}
            return {key: properties for key, properties in found.items() if properties}
        prefixes = [key for key in requested if not isinstance(key, str)]
        nodes = [_Node(key, _only(self.effective(key), names), True) for key in prefixes]
        asked = set(prefixes)
        nodes += [
            _Node(key, _only(self.entries[key], names), False)
            for outer in _outermost(prefixes, self.bits)
            for key in self.covered(outer)
            if key not in asked
        ]
        return _compact(sorted(nodes, key=lambda node: node.key), self.bits)


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


class _Node:
    """An entity of the answer, and those right below it."""

    __slots__ = ("children", "is_covered", "is_requested", "key", "properties")

    def __init__(self, key: tuple[int, int], properties: Properties, is_requested: bool) -> None:
        self.key = key
        self.properties = properties
        self.is_requested = is_requested
        self.is_covered = False
        self.children: list[_Node] | None = None

    def close(self, bits: int) -> list[_Node]:
        """What stands for this entity, now that all below it is known: itself, or what covers all of it."""
        if self.children is None:
            return [self]
        if sum(1 << bits - child.key[1] for child in self.children) < 1 << bits - self.key[1]:
            return [self]
        self.is_covered = True
        for child in self.children:
            child.properties = {**self.properties, **child.properties}
        return self.children


def _compact(nodes: list[_Node], bits: int) -> dict[Key, Properties]:
    """The answer, from its entities in the order of addresses, the shorter prefix first."""
    kept: list[_Node] = []
    around: list[_Node] = []
    for node in nodes:
        while around and not _contains(around[-1].key, node.key, bits):
            _close_last(around, bits)
        if not node.is_requested:
            node.properties = _differing(node.properties, around)
        if node.properties:
            kept.append(node)
            around.append(node)
    while around:
        _close_last(around, bits)
    return {node.key: node.properties for node in kept if not node.is_covered}


def _close_last(around: list[_Node], bits: int) -> None:
    below = around.pop().close(bits)
    if around:
        outer = around[-1]
        if outer.children is None:
            outer.children = []
        outer.children += below


def _contains(outer: tuple[int, int], inner: tuple[int, int], bits: int) -> bool:
    return outer[1] <= inner[1] and outer[0] == inner[0] >> bits - outer[1] << bits - outer[1]


def _differing(properties: Properties, around: list[_Node]) -> Properties:
    """Those of the values that are not the ones inherited from the entities around; None where nothing is inherited."""
    same = [name for name, value in properties.items() if json_equal(value, _inherited(name, around))]
    return {name: value for name, value in properties.items() if name not in same} if same else properties


def _inherited(name: str, around: list[_Node]) -> Json:
    return next((node.properties[name] for node in reversed(around) if name in node.properties), None)
