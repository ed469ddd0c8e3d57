"""From a `ServerConfig` to what an AltoServer holds: every resource that RFC 7285 and its extensions ask for.

`plan` reads the files, makes the resources, and checks that they fit together; it is called again when a file changes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from alto._json import Json
from alto.address import ADDRESS_TYPES
from alto.auth import Authenticator
from alto.cdni import FOOTPRINT_DOMAINS, Advertisement
from alto.cdniresources import CdniResource, FilteredCdniResource
from alto.directory import Directory
from alto.endpointproperty import EndpointPropertyResource
from alto.entities import guess_entity
from alto.errors import ConfigurationError
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.ports import Resource, Service
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
from alto.server import AltoServer, DelegatedDirectory, Limits
from alto.tips import TipsService
from alto.topology import Topology
from alto.updates import UpdateStreamService
from interop._alto_costplan import ROUTINGCOST, CostPlanner
from interop._alto_filecache import FileCache
from interop._alto_mistakes import part
from interop.alto_config import CdniConfig, NetworkMapConfig, PropertyMapConfig, ServerConfig
from interop.alto_sources import (
    Credentials,
    ip_location_map,
    load_advertisements,
    load_credentials,
    load_network_map,
    load_properties,
    load_topology,
)

_ELSEWHERE = "elsewhere"
"""The PID of what a database does not know."""
_FILTERED = "a part of it, by POST"


@frozen
class Plan:
    """What a server is to serve. Its services are made by `server`, as they have state."""

    config: ServerConfig
    directory: Directory
    """The resources, without services."""
    about: Mapping[str, str] = field(hash=False)
    """What there is to say of a resource, by its ID."""
    credentials: Credentials | None
    next_change: float | None
    """Unix time from which on another plan holds, as a calendar goes on."""

    @property
    def shape(self) -> tuple[object, ...]:
        """As long as this is equal, the resources of one plan can replace those of another in a running server."""
        resources = [
            (one.id, type(one), one.media_type, one.accepts, one.uses, one.is_private)
            for one in self.directory.resources.values()
        ]
        config = self.config
        settings = (config.base_uri, config.max_age, config.posts_per_second, config.is_private, config.users is None)
        others = (config.has_updates, config.has_tips, dict(config.redirects), dict(config.delegated), self.elsewhere)
        return resources, self.directory.default_network_map, settings, others

    @property
    def elsewhere(self) -> tuple[str, ...] | None:
        """The network maps that another server has listed; None where this server stands for itself."""
        return tuple(one.id for one in self.config.network_maps if one.is_elsewhere) or None

    def server(self, authenticator: Authenticator | None) -> AltoServer:
        """A server of it, whose `now` is `time.monotonic()`. Raises ConfigurationError for what does not fit."""
        config = self.config
        with part(config.where):
            return AltoServer(
                Directory(
                    self.directory.resources.values(),
                    services=self._services(),
                    default_network_map=self.directory.default_network_map,
                ),
                epoch=time.time() - time.monotonic(),
                base_uri=config.base_uri,
                authenticator=authenticator,
                private=config.is_private,
                delegated=[DelegatedDirectory(name, uri) for name, uri in config.delegated.items()],
                elsewhere=self.elsewhere,
                redirects=config.redirects,
                max_age=config.max_age,
                limits=Limits(posts_per_second=config.posts_per_second),
            )

    def _services(self) -> Iterator[Service]:
        """An update stream service and TIPS for everybody, and others for those who may see everything."""
        everything = list(self.directory.resources.values())
        public = [one.id for one in everything if not one.is_private]
        groups = [("", public, False), ("private-", [one.id for one in everything], True)]
        for prefix, names, is_private in groups:
            if not names or (is_private and len(public) == len(everything)):
                continue
            if self.config.has_updates:
                yield UpdateStreamService(f"{prefix}updates", names, is_private=is_private)
            if self.config.has_tips:
                yield TipsService(f"{prefix}tips", names, is_private=is_private)


def plan(config: ServerConfig, files: FileCache, *, wall: float) -> Plan:
    """What to serve at the Unix time `wall`. Raises ConfigurationError, one sentence with the file or key."""
    planner = _Planner(config, files, wall)
    credentials = None
    if config.users is not None:
        users = config.users
        credentials = files.made(
            users.file, ("users", users.realm), lambda: load_credentials(users.file, realm=users.realm)
        )
        with part(str(users.file)):
            credentials.authenticator()
    planner.plan()
    with part(config.where):
        directory = Directory(planner.resources, default_network_map=planner.default)
    found = Plan(
        config,
        directory,
        planner.about,
        credentials,
        planner.next_change,
    )
    has_private = config.is_private or any(one.is_private for one in planner.resources)
    if has_private and credentials is None and (config.tls is None or config.tls.client_ca is None):
        with part(config.where):
            raise ConfigurationError(
                "something is private, and nobody can prove who it is; "
                "[users] with a file of htdigest is due, or [tls] with a client-ca"
            )
    return found


class _Planner:
    """Makes the resources, in the order in which the directory lists them."""

    def __init__(self, config: ServerConfig, files: FileCache, wall: float) -> None:
        self._config = config
        self._files = files
        self._costs = CostPlanner(files, wall)
        self.resources: list[Resource] = []
        self.about: dict[str, str] = {}
        defaults = [one.id for one in config.network_maps if one.is_default]
        self.default = (defaults or [config.network_maps[0].id])[0]

    @property
    def next_change(self) -> float | None:
        return min(self._costs.changes, default=None)

    def plan(self) -> None:
        config = self._config
        # RFC 7285 section 6.1.1.1: "An ALTO server MUST offer the "routingcost" cost metric."
        has_routingcost = any(
            one.paths is not None or ROUTINGCOST in (costs.metric for costs in one.costs) for one in config.network_maps
        )
        for one in config.network_maps:
            topology = self._topology(one)
            network_map = self._network_map(one, topology)
            with part(one.where):
                about = _size(network_map) + (", listed by another server" if one.is_elsewhere else "")
                self._add(NetworkMapResource(one.id, network_map, is_private=one.is_private), about)
                self._add(
                    FilteredNetworkMapResource(f"{one.id}-filtered", one.id, is_private=one.is_private), _FILTERED
                )
            is_made_up = not has_routingcost and one.id == self.default
            for resource, about in self._costs.plan(one, network_map, topology, is_made_up=is_made_up):
                self._add(resource, about)
        for advertisement in config.cdni:
            self._add_cdni(advertisement)
        for property_map in config.property_maps:
            self._add_property_map(property_map)
        self._add_endpoint_properties()

    def _add(self, resource: Resource, about: str) -> None:
        self.resources.append(resource)
        self.about[resource.id] = about

    def _topology(self, config: NetworkMapConfig) -> Topology | None:
        if config.paths is None:
            return None
        path = config.paths.topology
        return self._files.made(path, "topology", lambda: load_topology(path))

    def _network_map(self, config: NetworkMapConfig, topology: Topology | None) -> NetworkMap:
        path, default_pid = config.file, config.default_pid
        if config.ip_location is not None:
            systems = config.ip_location == "systems"
            cache = self._config.cache
            return self._files.made(None, ("ip-location", systems), lambda: ip_location_map(cache, systems=systems))
        if path is None:
            assert topology is not None
            with part(config.where):
                return topology.network_map()
        if default_pid is None and config.field is not None:
            default_pid = _ELSEWHERE
        return self._files.made(
            path,
            ("network-map", config.field, default_pid),
            lambda: load_network_map(path, default_pid=default_pid, field=config.field),
        )

    def _add_cdni(self, config: CdniConfig) -> None:
        used = config.network_map
        if used is not None and used not in (one.id for one in self._config.network_maps):
            raise ConfigurationError(f"{config.where}: there is no network map {used!r}")
        listed = self._files.made(
            config.file,
            ("cdni", used is not None),
            lambda: load_advertisements(config.file, has_network_map=used is not None),
        )
        with part(config.where):
            whole = CdniResource(config.id, listed, network_map=used, is_private=config.is_private)
            self._add(whole, f"{len(listed)} capabilities")
            filtered = f"{config.id}-filtered"
            part_of_it = FilteredCdniResource(filtered, config.id, network_map=used, is_private=config.is_private)
            self._add(part_of_it, _FILTERED)

    def _add_property_map(self, config: PropertyMapConfig) -> None:
        values: dict[str, dict[str, dict[str, Json]]] = {}
        mappings: dict[str, dict[str, None]] = {}
        path = config.file
        listed = {} if path is None else self._files.made(path, "properties", lambda: load_properties(path))
        for text, properties in listed.items():
            domain = guess_entity(text).domain
            identifier = text[len(domain) + 1 :]
            if domain == "pid":
                domain = f"{self.default}.pid"
            values.setdefault(domain, {})[identifier] = properties
            mappings.setdefault(domain, {}).update(dict.fromkeys(properties))
        with part(config.where):
            for name in config.look_up:
                for domain in self._domains_of(name):
                    mappings.setdefault(domain, {})[name] = None
            known = {domain: names for domain, names in mappings.items() if names}
            source = PropertySource({domain: values.get(domain, {}) for domain in known}, known)
            self._check_uses(source)
            count = f"{sum(map(len, values.values()))} entities"
            self._add(PropertyMapResource(config.id, source, is_private=config.is_private), count)
            filtered = f"{config.id}-filtered"
            self._add(FilteredPropertyMapResource(filtered, source, is_private=config.is_private), _FILTERED)

    def _domains_of(self, name: str) -> list[str]:
        """The entity domains in which a property is looked up that another resource defines."""
        resource_id, _, kind = name.rpartition(".")
        if kind == "pid" and resource_id in (one.id for one in self._config.network_maps):
            return [*ADDRESS_TYPES.values()]
        for config in self._config.cdni if kind == "cdni-capabilities" else ():
            if config.id == resource_id:
                whole = next(one for one in self.resources if one.id == resource_id)
                assert isinstance(whole, CdniResource)
                return _footprint_domains(whole.advertisements, config.network_map)
        raise ConfigurationError(
            f"look-up: {name!r} is neither NETWORK-MAP.pid nor CDNI.cdni-capabilities of this server"
        )

    def _check_uses(self, source: PropertySource) -> None:
        for used in source.uses:
            if used not in self.about:
                raise ConfigurationError(f"there is no resource {used!r}")

    def _add_endpoint_properties(self) -> None:
        """RFC 7285 section 11.4.1.4: the `pid` is to be known for every network map."""
        maps = [one for one in self.resources if isinstance(one, NetworkMapResource | PropertyMapResource)]
        for is_private, name in ((False, "endpoint-properties"), (True, "private-endpoint-properties")):
            shown = [one for one in maps if is_private or not one.is_private]
            if not any(isinstance(one, NetworkMapResource) for one in shown):
                continue
            if is_private and not any(one.is_private for one in maps):
                continue
            properties = [one.id for one in shown if isinstance(one, PropertyMapResource) and _has_own(one.source)]
            resource = EndpointPropertyResource(name, property_maps=properties, is_private=is_private)
            self._add(resource, "the PIDs and properties of addresses")


def _size(network_map: NetworkMap) -> str:
    prefixes = sum(len(prefixes) for group in network_map.pids.values() for prefixes in group.values())
    return f"{len(network_map.names)} PIDs, {prefixes} prefixes"


def _footprint_domains(advertisements: Sequence[Advertisement], network_map: str | None) -> list[str]:
    found: dict[str, None] = {}
    for advertisement in advertisements:
        kinds = [FOOTPRINT_DOMAINS.get(one.footprint_type) for one in advertisement.footprints]
        for kind in kinds or ADDRESS_TYPES.values():
            if kind is not None:
                found[f"{network_map}.pid" if kind == "pid" else kind] = None
    return list(found)


def _has_own(source: PropertySource) -> bool:
    """Whether it has properties of addresses of its own."""
    names = [name for domain in ADDRESS_TYPES.values() for name in source.mappings.get(domain, ())]
    return any(source.names[name].is_self_defined for name in names)
