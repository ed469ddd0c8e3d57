"""ReDiR service discovery (RFC 7374): providers register in a tree of their namespace, and are looked up in it.

A tree node is fetched as a whole: an overlay with many providers needs a max-message-size beyond the default, or walks
end at the root, whose record of 200 providers, with their certificates, fits no message of 5,000 octets.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping

import attrs

from reload._presentation import encode
from reload.destinations import Destination, NodeDestination, OpaqueDestination
from reload.extensions import RedirServiceProvider
from reload.kinds import REDIR
from reload.operations import Failed, NewValue, Plan, Store, Stored, StoredValue
from reload.storage_messages import DataValue, DictionaryEntry, DictionarySpecifier
from reload.usages._fetching import fetch_kind
from reload.usages.redir_tree import RedirTree, read_provider

LIFETIME = 600
"""Seconds a registration is good for (section 4.4)."""
REMEMBERED = 16
"""Lookups whose levels say where the next one begins (section 4.2)."""


@attrs.frozen
class Provider:
    """A provider of a service, as it has signed it."""

    node_id: bytes
    record: RedirServiceProvider


@attrs.frozen
class Lookup:
    """What a lookup has found, at which level it ended, and how many tree nodes it has fetched.

    `provider` is None when the tree is empty, or as good as: `failure` is what came in the place of a tree node, if
    anything did. A lookup that has failed may be repeated.
    """

    provider: Provider | None
    level: int
    fetches: int
    failure: Failed | None = None


def look_up(tree: RedirTree, key: bytes, start: int, random_bytes: Callable[[int], bytes]) -> Plan[Lookup]:
    """The provider whose Node-ID follows `key` most closely, from the level `start` on (section 4.5).

    No tree node is fetched twice. A walk that should lead to one seen before, or below the deepest level, ends with the
    closest successor of all that it has seen; one over the root, where nobody follows, with a provider by chance.
    """
    seen: dict[int, Mapping[bytes, Provider]] = {}
    level = start
    while level not in seen and 0 <= level <= tree.deepest_level:
        found = yield from _fetch(tree, level, key)
        if isinstance(found, Failed):
            return Lookup(_closest(seen, key), level, len(seen) + 1, found)
        seen[level] = found
        is_lowest, is_highest = _place(tree, level, key, found)
        if not any(node_id > key for node_id in found):
            level -= 1
        elif not is_lowest and not is_highest:
            level += 1
        else:
            return Lookup(_closest({level: found}, key), level, len(seen))
    provider = _closest(seen, key)
    if provider is None:
        # Nobody follows: from the root, or from what has expired there and not yet below it.
        candidates = seen.get(0) or {node_id: each for nodes in seen.values() for node_id, each in nodes.items()}
        if candidates:
            at = int.from_bytes(random_bytes(4), "big") % len(candidates)
            provider = candidates[sorted(candidates)[at]]
    return Lookup(provider, min(max(level, 0), tree.deepest_level), len(seen))


class ServiceFinder:
    """Looks up providers of a service. It begins where most of the last lookups have ended (section 4.2)."""

    def __init__(self, tree: RedirTree, random_bytes: Callable[[int], bytes]) -> None:
        self._tree = tree
        self._random_bytes = random_bytes
        self._levels: deque[int] = deque(maxlen=REMEMBERED)

    @property
    def starting_level(self) -> int:
        """Where the next lookup begins."""
        if not self._levels:
            return self._tree.starting_level
        return Counter(self._levels).most_common(1)[0][0]

    def find(self, key: bytes) -> Plan[Lookup]:
        """The provider that follows `key`: one's own Node-ID, so that nodes share the providers evenly."""
        found = yield from look_up(self._tree, key, self.starting_level, self._random_bytes)
        if found.provider is not None:
            self._levels.append(found.level)
        return found


class ServiceProvider:
    """Registers a node as provider of a service (sections 4.3 and 4.6); a `Publication` repeats it in time."""

    def __init__(
        self,
        tree: RedirTree,
        node_id: bytes,
        destination_list: tuple[Destination, ...] = (),
        *,
        extension_type: int = 0,
        extension: bytes = b"",
        lifetime: int = LIFETIME,
    ) -> None:
        """`destination_list` leads to the node; the node itself when it is empty."""
        self._tree = tree
        self._node_id = node_id
        self._destination_list = destination_list or (NodeDestination(node_id),)
        self._extension_type = extension_type
        self._extension = extension
        self._lifetime = lifetime
        self._stored: set[int] = set()

    @property
    def lifetime(self) -> int:
        """Of the registration, in seconds."""
        return self._lifetime

    @property
    def levels(self) -> tuple[int, ...]:
        """Of the tree nodes that it is stored in."""
        return tuple(sorted(self._stored))

    def store(self) -> Plan[bool]:
        """Walk up the tree, then down, and register where it is due. True: nothing has failed."""
        tree = self._tree
        level = tree.starting_level
        first = yield from self._visit(level, always=True)
        succeeded = first.succeeded
        # Section 4.3, step 4: of the whole tree node where the walk begins, and of the interval above. A tree node is
        # one interval of its parent, so that lowest and highest of each interval get there, and few others.
        goes_on = first.is_edge_of_node
        while goes_on and level > 0:
            level -= 1
            visit = yield from self._visit(level, always=True)
            succeeded &= visit.succeeded
            goes_on = visit.is_edge
        level, visit = tree.starting_level, first
        while not visit.is_alone and level < tree.deepest_level:
            level += 1
            visit = yield from self._visit(level, always=False)
            succeeded &= visit.succeeded
        return succeeded

    def remove(self) -> Plan[bool]:
        """Store that it exists no longer wherever it is stored."""
        for level in self.levels:
            result = yield self._store_at(level, DataValue(False))
            if isinstance(result, Stored):
                self._stored.discard(level)
        return not self._stored

    def _visit(self, level: int, *, always: bool) -> Plan[_Visit]:
        """Fetch a tree node, and store the record in it: `always`, or if it is the lowest or highest there."""
        found = yield from _fetch(self._tree, level, self._node_id)
        if isinstance(found, Failed):
            # As if the walk ended here: it is repeated soon.
            return _Visit(is_edge=False, is_edge_of_node=False, is_alone=True, succeeded=False)
        is_lowest, is_highest = _place(self._tree, level, self._node_id, found)
        visit = _Visit(
            is_edge=is_lowest or is_highest,
            is_edge_of_node=not min(found, default=self._node_id) < self._node_id < max(found, default=b""),
            is_alone=is_lowest and is_highest,
            succeeded=True,
        )
        if always or visit.is_edge:
            record = RedirServiceProvider(
                self._extension_type,
                self._destination_list,
                self._tree.namespace.encode(),
                level,
                self._tree.node(level, self._node_id),
                self._extension,
            )
            # Before it is known: what has no answer may have been stored.
            self._stored.add(level)
            value = DataValue(True, encode(record, node_id_length=len(self._node_id)))
            visit.succeeded = isinstance((yield self._store_at(level, value)), Stored)
        return visit

    def _store_at(self, level: int, value: DataValue) -> Store:
        entry = DictionaryEntry(self._node_id, value)
        at = self._tree.resource_id(level, self._node_id)
        return Store(at, (NewValue(REDIR.id, entry, self._lifetime),))


@attrs.define
class _Visit:
    """A provider in a tree node: is it lowest or highest of its interval, or of them all; is it alone in its own?"""

    is_edge: bool
    is_edge_of_node: bool
    is_alone: bool
    succeeded: bool


def _fetch(tree: RedirTree, level: int, key: bytes) -> Plan[Mapping[bytes, Provider] | Failed]:
    """The providers in the tree node responsible for I(level, key), by Node-ID."""
    at = tree.resource_id(level, key)
    found = yield from fetch_kind(at, REDIR.id, DictionarySpecifier(()))
    if isinstance(found, Failed):
        return found
    providers = (_provider(tree, at, value) for value in found.values)
    return {provider.node_id: provider for provider in providers if provider is not None}


def _provider(tree: RedirTree, at: bytes, value: StoredValue) -> Provider | None:
    """A value of a tree node, if it may stand there: the peer that has stored it may have looked away.

    The list has to lead to who has signed it. A provider might otherwise send all its users to somebody else.
    """
    entry = value.data.value
    if value.identity is None or not isinstance(entry, DictionaryEntry):
        return None
    record = read_provider(entry, at, value.identity.node_id, tree.branching_factor)
    if record is None or not record.destination_list:
        return None
    match record.destination_list[-1]:
        case NodeDestination(node_id) if node_id in value.identity.node_ids:
            return Provider(entry.key, record)
        case OpaqueDestination():
            return Provider(entry.key, record)
    return None


def _place(tree: RedirTree, level: int, key: bytes, found: Mapping[bytes, Provider]) -> tuple[bool, bool]:
    """Whether the key is the lowest, and whether it is the highest, in its interval."""
    interval = tree.interval(level, key)
    inside = [node_id for node_id in found if tree.interval(level, node_id) == interval]
    return not any(node_id < key for node_id in inside), not any(node_id > key for node_id in inside)


def _closest(seen: Mapping[int, Mapping[bytes, Provider]], key: bytes) -> Provider | None:
    """The closest successor of the key in these tree nodes."""
    following = {node_id: each for nodes in seen.values() for node_id, each in nodes.items() if node_id > key}
    return following[min(following)] if following else None
