"""What a server holds at one moment: its resources, what they are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from attrs import field, frozen

from alto._json import Json, dumps, loads
from alto.errors import ConfigurationError
from alto.types import VTag, is_resource_id

if TYPE_CHECKING:
    from alto.ports import Resource, Service

_T = TypeVar("_T")


class Document:
    """An answer: a JSON value, its octets, or both; what is missing is made when it is asked for.

    `vtag` is the version of the whole (None where the resource has none), `parts` the parts of a multipart answer
    by their Content-ID without angle brackets; such an answer has octets and no JSON value of its own.
    """

    __slots__ = ("_body", "_encode", "_tree", "media_type", "parts", "vtag")

    def __init__(
        self,
        media_type: str,
        tree: Json = None,
        *,
        body: bytes | None = None,
        encode: Callable[[], bytes] | None = None,
        vtag: VTag | None = None,
        parts: Mapping[str, Document] | None = None,
    ) -> None:
        self.media_type = media_type
        self.vtag = vtag
        self.parts = MappingProxyType(dict(parts or {}))
        self._tree = tree
        self._body = body
        self._encode = encode

    @property
    def tree(self) -> Json:
        """The JSON value. It is shared: whoever changes it changes it for all."""
        if self._tree is None:
            self._tree = loads(self.body)
        return self._tree

    def merge_patch_from(self, old: Document) -> dict[str, Json] | None:
        """The merge patch (RFC 7396) from an older answer of the same resource, empty where it is the same.

        None where the trees have to be compared for that.
        """
        return None

    @property
    def body(self) -> bytes:
        """The octets."""
        if self._body is None:
            self._body = self._encode() if self._encode is not None else dumps(self._tree)
        return self._body


@frozen
class RequestContext:
    """Where a request comes from, and what the server holds while it is answered."""

    directory: Directory
    client: str | None = None
    """The typed address of the client, such as `ipv4:192.0.2.1`; None where it is not known."""
    base_uri: str = ""
    """The absolute URI of the server, with a slash at its end."""
    user: str | None = None
    """Who has authenticated."""
    wall: float = 0.0
    """Unix time."""


@frozen
class Query:
    """What a resource is asked: the JSON value that was posted, or None for a GET."""

    context: RequestContext
    input: Json = None
    random_bytes: Callable[[int], bytes] = field(kw_only=True)

    @property
    def directory(self) -> Directory:
        """What the server holds."""
        return self.context.directory


class Directory:
    """The resources and services of a server, by their IDs. It never changes: `replacing` makes another one.

    Raises ConfigurationError for an ID that is none or is there twice, for `uses` of what is not there, and for a
    `default_network_map` that is not there.
    """

    __slots__ = ("default_network_map", "resources", "services")

    def __init__(
        self,
        resources: Iterable[Resource],
        *,
        services: Iterable[Service] = (),
        default_network_map: str | None = None,
    ) -> None:
        self.resources: Mapping[str, Resource] = MappingProxyType(_by_id(resources))
        self.services: Mapping[str, Service] = MappingProxyType(_by_id(services))
        self.default_network_map = default_network_map
        both = self.resources.keys() & self.services.keys()
        if both:
            raise ConfigurationError(f"the resource ID {min(both)!r} is there twice")
        if default_network_map is not None and default_network_map not in self.resources:
            raise ConfigurationError(f"the default network map {default_network_map!r} is not among the resources")
        everything: list[Resource | Service] = [*self.resources.values(), *self.services.values()]
        for resource in everything:
            for used in resource.uses:
                if used not in self.resources:
                    raise ConfigurationError(f"{resource.id!r} uses {used!r}, which is not among the resources")

    def find(self, resource_id: str, kind: type[_T]) -> _T:
        """The resource of that ID, which is a `kind`. Raises ConfigurationError where it is none."""
        found = self.resources.get(resource_id)
        if not isinstance(found, kind):
            raise ConfigurationError(f"{resource_id!r} is no {kind.__name__} of this server")
        return found

    def of_kind(self, kind: type[_T]) -> Iterator[_T]:
        """Every resource that is a `kind`, in order."""
        return (resource for resource in self.resources.values() if isinstance(resource, kind))

    def replacing(self, *resources: Resource) -> Directory:
        """Another directory, with these in the place of those with the same IDs. Raises ConfigurationError."""
        unknown = [resource.id for resource in resources if resource.id not in self.resources]
        if unknown:
            raise ConfigurationError(f"there is no resource {unknown[0]!r} to replace")
        merged = {**self.resources, **{resource.id: resource for resource in resources}}
        return Directory(merged.values(), services=self.services.values(), default_network_map=self.default_network_map)


_R = TypeVar("_R", bound="Resource | Service")


def _by_id(resources: Iterable[_R]) -> dict[str, _R]:
    found: dict[str, _R] = {}
    for resource in resources:
        if not is_resource_id(resource.id):
            raise ConfigurationError(f"{resource.id!r} is no resource ID: at most 64 of A-Z a-z 0-9 - : @ _")
        if resource.id in found:
            raise ConfigurationError(f"the resource ID {resource.id!r} is there twice")
        found[resource.id] = resource
    return found
