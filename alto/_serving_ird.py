"""The information resource directory of a server (RFC 7285 section 9.2), made from what it holds."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from urllib.parse import quote

from attrs import frozen

from alto import media
from alto.directory import Directory
from alto.errors import ConfigurationError
from alto.ird import InformationResourceDirectory, ResourceEntry, resolve
from alto.ports import Resource, Service
from alto.types import CostType, is_resource_id

Entry: TypeAlias = "Resource | Service | DelegatedDirectory"


@frozen
class DelegatedDirectory:
    """The directory of another server, which holds more resources (section 9.2.4).

    Raises ConfigurationError for an `id` that is no resource ID and a `uri` that leads nowhere.
    """

    id: str
    uri: str
    """Absolute, or relative to this server's directory."""

    def __attrs_post_init__(self) -> None:
        if not is_resource_id(self.id):
            raise ConfigurationError(f"{self.id!r} is no resource ID: at most 64 of A-Z a-z 0-9 - : @ _")
        if not self.uri or resolve("https://alto.invalid/", self.uri) is None:
            raise ConfigurationError(f"{self.id!r}: {self.uri!r} is no http or https URI")


def cost_types_of(resources: Iterable[Resource]) -> dict[str, CostType]:
    """Every cost type by its name. Raises ConfigurationError for a name with two meanings."""
    found: dict[str, CostType] = {}
    for resource in resources:
        for name, cost_type in resource.cost_types.items():
            if found.setdefault(name, cost_type).to_json() != cost_type.to_json():
                raise ConfigurationError(
                    f"the cost type name {name!r} of {resource.id!r} has another meaning elsewhere"
                )
    return found


def check(directory: Directory, delegated: Mapping[str, DelegatedDirectory], elsewhere: frozenset[str] | None) -> None:
    """Find out whether everything fits together, before anybody asks. Raises ConfigurationError."""
    unknown = (elsewhere or frozenset()) - directory.resources.keys()
    if unknown:
        raise ConfigurationError(f"{min(unknown)!r}, which is to be listed elsewhere, is not among the resources")
    made = directory_of(directory, delegated, elsewhere or (), "/")
    if elsewhere is None and made.default_network_map is None:
        raise ConfigurationError(
            "a server needs a network map, be it one PID with 0.0.0.0/0 and ::/0 (RFC 7285 sections 11.2.1, 16.1.1)"
        )
    for resource in directory.resources.values():
        resource.depends_on(directory)
        for used in resource.uses:
            if directory.resources[used].is_private and not resource.is_private:
                raise ConfigurationError(f"{resource.id!r} would tell everybody of the private {used!r}")


def directory_of(
    directory: Directory, delegated: Mapping[str, DelegatedDirectory], elsewhere: Collection[str], base: str
) -> InformationResourceDirectory:
    """The whole directory but what is listed `elsewhere`; `base` ends with a slash and stands before each resource ID.

    A root IRD MUST name a default network map: the first one, where the server was not told another.
    """
    resources = [one for one in directory.resources.values() if one.id not in elsewhere]
    entries: list[Entry] = [*resources, *directory.services.values(), *delegated.values()]
    maps = (one.id for one in resources if not one.accepts and media.is_media_type(one.media_type, media.NETWORK_MAP))
    return InformationResourceDirectory(
        {entry.id: entry_of(entry, directory, base) for entry in entries},
        cost_types_of(resources),
        directory.default_network_map or next(maps, None),
    )


def part_of(entry: Resource | Service, directory: Directory, base: str) -> InformationResourceDirectory:
    """A directory of this entry alone: what an OPTIONS request for its capabilities is told (section 9.2.2)."""
    cost_types = cost_types_of([directory.resources[entry.id]] if entry.id in directory.resources else [])
    return InformationResourceDirectory({entry.id: entry_of(entry, directory, base)}, cost_types)


def entry_of(entry: Entry, directory: Directory, base: str) -> ResourceEntry:
    """The entry of one resource, service or other server."""
    if isinstance(entry, DelegatedDirectory):
        return ResourceEntry(entry.id, entry.uri, media.DIRECTORY)
    return ResourceEntry(
        entry.id,
        base + quote(entry.id, safe=":@"),
        entry.media_type,
        entry.accepts,
        entry.capabilities(directory),
        entry.uses,
    )
