"""The representations that a server keeps: one for each public resource that one GETs, and its directory.

Nothing that a client sends fills it: there are as many as resources, and private ones are never in it.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from alto._serving_answers import Encoded, Representation, encode
from alto.directory import Directory, Document
from alto.http import Headers
from alto.ports import Resource

MAX_DIRECTORIES = 8
"""Directories kept: one for each path below which the server is mounted."""

Answer: TypeAlias = Callable[[Resource, Directory], Document]


def is_cacheable(resource: Resource) -> bool:
    """Whether there is one answer for everybody who may ask."""
    return resource.accepts is None and not resource.is_private


class Representations:
    """What is served by GET, and since when each resource has been like it is."""

    def __init__(self, answer: Answer, keeping: Headers, hidden: frozenset[str]) -> None:
        """`keeping` are the fields that tell caches what they may keep; resources with `hidden` IDs are not served."""
        self._answer = answer
        self._keeping = keeping
        self._hidden = hidden
        self._held: dict[str, Representation] = {}
        self._since: dict[str, tuple[tuple[object, ...], float]] = {}
        self._directories: dict[str, Representation] = {}

    def of(self, resource: Resource, directory: Directory, wall: float) -> Representation:
        """The representation of a cacheable resource, made now if it was not yet."""
        version = resource.depends_on(directory)
        held = self._held.get(resource.id)
        if held is not None and held.version == version:
            return held
        return self._put(resource.id, encode(self._answer(resource, directory), version), wall)

    def of_directory(
        self, base: str, directory: Directory, make: Callable[[], Document], wall: float
    ) -> Representation:
        """The representation of the server's directory below `base`."""
        held = self._directories.get(base)
        if held is not None and held.version == (directory,):
            return held
        encoded = encode(make(), (directory,))
        if held is not None and held.digest == encoded.digest:
            # The resources have other data and the same entries: nothing that Last-Modified speaks of.
            wall = held.last_modified
        while len(self._directories) >= MAX_DIRECTORIES:
            del self._directories[next(iter(self._directories))]
        made = self._directories[base] = Representation(encoded, wall, self._keeping)
        return made

    def encoded(self, directory: Directory) -> dict[str, Encoded]:
        """Every representation that `directory` needs and that is not held; changes nothing."""
        made = {}
        for resource in directory.resources.values():
            if is_cacheable(resource) and resource.id not in self._hidden:
                version = resource.depends_on(directory)
                held = self._held.get(resource.id)
                if held is None or held.version != version:
                    made[resource.id] = encode(self._answer(resource, directory), version)
        return made

    def replaced(self, directory: Directory, encoded: Mapping[str, Encoded], wall: float) -> None:
        """`directory` holds from now on, for which `encoded` was made."""
        for resource in directory.resources.values():
            version = resource.depends_on(directory)
            self._kept_since(resource.id, version, wall)
            ready = encoded.get(resource.id)
            if ready is not None and ready.version == version:
                self._put(resource.id, ready, wall)

    def since(self, resource: Resource, directory: Directory, wall: float) -> float:
        """Since when a resource is made of what it is made of now, as far as that is known."""
        return self._kept_since(resource.id, resource.depends_on(directory), wall)

    def _kept_since(self, resource_id: str, version: tuple[object, ...], wall: float) -> float:
        since = self._since.get(resource_id)
        if since is None or since[0] != version:
            since = self._since[resource_id] = (version, wall)
        return since[1]

    def _put(self, resource_id: str, encoded: Encoded, wall: float) -> Representation:
        since = self._kept_since(resource_id, encoded.version, wall)
        made = self._held[resource_id] = Representation(encoded, since, self._keeping)
        return made
