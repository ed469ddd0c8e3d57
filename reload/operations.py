"""What users and usages ask of a node, and what comes of it.

A usage that takes several steps is a `Plan`: a generator that yields operations, is sent their results, and returns its
own. `Node.run` drives one; so can anybody who answers the operations.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs

from reload.contents import ErrorResponse, MessageExtension
from reload.destinations import Destination
from reload.exchange import Response
from reload.ports import Identity
from reload.storage_messages import Specifier, StoredData, StoredDataValue, StoredMetaData


@attrs.frozen
class NewValue:
    """A value to be signed and stored, for `lifetime` seconds. A `generation` of 0 is stored over any other.

    `storage_time` in ms since 1970; None stands for now.
    """

    kind: int
    value: StoredDataValue
    lifetime: int
    generation: int = 0
    storage_time: int | None = None


@attrs.frozen
class Wanted:
    """What of a Kind is wanted, unless its generation is still `generation`."""

    kind: int
    specifier: Specifier
    generation: int = 0


@attrs.frozen
class Store:
    """Store values at a resource: `Stored`, or `Failed`."""

    resource_id: bytes
    values: tuple[NewValue, ...]


@attrs.frozen
class Fetch:
    """Fetch the values of a resource: `Fetched`, or `Failed`."""

    resource_id: bytes
    wanted: tuple[Wanted, ...]


@attrs.frozen
class Stat:
    """Fetch the metadata of a resource: `Metadata`, or `Failed`."""

    resource_id: bytes
    wanted: tuple[Wanted, ...]


@attrs.frozen
class Find:
    """Where values of these Kinds are, near a Resource-ID: `Found`, or `Failed`."""

    resource_id: bytes
    kinds: tuple[int, ...]


@attrs.frozen
class Send:
    """Any request, its body a structure: `Response`, or `Failed`. `first_hop` is a connected node to begin with."""

    destination_list: tuple[Destination, ...]
    message_code: int
    body: Any
    extensions: tuple[MessageExtension, ...] = ()
    first_hop: bytes | None = None


Operation: TypeAlias = Store | Fetch | Stat | Find | Send


@attrs.frozen
class StoredValue:
    """A value that was fetched and whose signature holds. A synthetic one, of whom there is none, has no `identity`."""

    data: StoredData
    identity: Identity | None


@attrs.frozen
class KindValues:
    """The values of a Kind."""

    kind: int
    generation: int
    values: tuple[StoredValue, ...]


@attrs.frozen
class Stored:
    """The generations that hold now, and who has replicas, by Kind-ID."""

    generations: Mapping[int, int]
    replicas: Mapping[int, tuple[bytes, ...]]


@attrs.frozen
class Fetched:
    """The values by Kind-ID; `is_partial` when some had to be discarded (section 7.4.2.2)."""

    kinds: Mapping[int, KindValues]
    is_partial: bool = False


@attrs.frozen
class Metadata:
    """The metadata by Kind-ID; nothing shows that it is true."""

    kinds: Mapping[int, tuple[StoredMetaData, ...]]
    generations: Mapping[int, int]


@attrs.frozen
class Found:
    """The closest Resource-ID that has values, by Kind-ID; zeros where there is none."""

    closest: Mapping[int, bytes]


@attrs.frozen
class Failed:
    """Nothing came of it: the error of a node, or with `error` None no answer, or one that cannot be.

    `present` is what is there, where a Store has failed because something else was stored before: it is for the user
    to take what is newer, and to store again (section 7.4.1.2).
    """

    error: ErrorResponse | None
    reason: str
    identity: Identity | None = None
    present: Fetched | None = None


Result: TypeAlias = Stored | Fetched | Metadata | Found | Response | Failed
T = TypeVar("T")
Plan: TypeAlias = Generator[Operation, Result, T]
