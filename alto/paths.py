"""What an application brings for path vectors: abstract network elements, and the paths through them (RFC 9275)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from attrs import field, frozen

from alto._json import Json, canonical

MAX_RESERVABLE_BANDWIDTH = "max-reservable-bandwidth"
"""Bits a second, not less than 0 (section 6.4.1); the bandwidth metrics of RFC 9439 are bytes a second."""
PERSISTENT_ENTITY_ID = "persistent-entity-id"
"""`PROPMAP.ane:NAME`, under which the property map PROPMAP knows the element as well (section 6.4.2)."""


@frozen
class AbstractNetworkElement:
    """An abstract network element (section 5.1): what it is to the server, and the properties it has.

    `key` says whether two elements are the same one. It never leaves the server.
    """

    key: str
    properties: Mapping[str, Json] = field(factory=dict, hash=False)


Path: TypeAlias = Sequence[AbstractNetworkElement]
"""The elements that traffic goes through, in this order."""
Paths: TypeAlias = Sequence[Sequence[Path | None]]
"""A row for each source with the path to each destination; None where there is none."""


class PathSource(Protocol):
    """Where path vectors come from: between PIDs for a cost map, between endpoints for an endpoint cost service."""

    def paths(self, sources: Sequence[str], destinations: Sequence[str], property_names: Collection[str]) -> Paths:
        """The paths between PID names, or between typed endpoint addresses such as `ipv4:192.0.2.2`.

        `property_names` are the properties that will be shown, so that elements may be made on demand (5.1.2).
        """

    @property
    def version(self) -> object:
        """Differs whenever the paths or properties do."""


class EphemeralNames:
    """Names for the elements of one answer, from a random number and a one-way function of their keys.

    Nobody can tell from two answers with different numbers that they name the same element (section 11); with the same
    number, as in an update stream, an element keeps its name. An element with other properties than before, which is
    so with calendars only, is another one with another name (section 9.4).
    """

    def __init__(self, secret: bytes, property_names: Collection[str]) -> None:
        self._secret = secret[: hashlib.blake2b.MAX_KEY_SIZE]
        self.property_names = property_names
        # By key: the properties of the element that was named first, what of them is shown, and its name. There may be
        # a million elements on the paths of one answer, few of them different.
        self._first: dict[str, tuple[Mapping[str, Json], dict[str, Json], str]] = {}
        self.properties: dict[str, dict[str, Json]] = {}
        """By name, the properties that were asked for and that the element has."""

    def name(self, element: AbstractNetworkElement) -> str:
        """The name of an element, noting its properties."""
        first = self._first.get(element.key)
        if first is not None and first[0] is element.properties:
            return first[2]
        shown = {name: element.properties[name] for name in self.property_names if name in element.properties}
        if first is not None and first[1] == shown:
            return first[2]
        identity = [element.key] if first is None else [element.key, canonical(shown).decode("ascii")]
        digest = hashlib.blake2b(canonical(identity), key=self._secret, digest_size=10)
        name = digest.hexdigest()
        if first is None:
            self._first[element.key] = (element.properties, shown, name)
        self.properties.setdefault(name, shown)
        return name

    def path(self, path: Path) -> list[str]:
        """The path vector."""
        return [self.name(element) for element in path]
