"""All that a client can reach from its Root IRD, and which resource answers a need (RFC 7285 sections 8.3.1 and 9)."""

from collections.abc import Callable, Iterator, Mapping

from attrs import field, frozen

from alto import media
from alto.capabilities import PATH_VECTOR
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings
from alto.ird import MAX_RESOURCES, InformationResourceDirectory, ResourceEntry
from alto.media import is_media_type
from alto.types import CostType

MAX_DEPENDENCIES = 100_000
"""Names in all the `uses` of a closure. What is checked grows faster than they do."""

_Key = tuple[str, str]


@frozen
class Closure:
    """The information resource closure: the IRDs by their URIs, the Root IRD first, and the resources of them all.

    `entries` has the first entry of each ID, those that lead to other IRDs among them; `cost_types` has for each entry
    the cost types that it names, whose names hold in its own IRD only.
    """

    directories: Mapping[str, InformationResourceDirectory] = field(hash=False)
    entries: Mapping[str, ResourceEntry] = field(hash=False)
    cost_types: Mapping[str, Mapping[str, CostType]] = field(hash=False)
    is_complete: bool = True
    """False where an IRD that others point to could not be read."""

    @property
    def root(self) -> InformationResourceDirectory:
        """The Root IRD."""
        return next(iter(self.directories.values()))

    @property
    def default_network_map(self) -> ResourceEntry | None:
        """The network map that the Root IRD recommends; else, leniently, the first one of the closure."""
        named = self.entries.get(self.root.default_network_map or "")
        if named is not None and is_network_map(named):
            return named
        return next((entry for entry in self.entries.values() if is_network_map(entry)), None)

    def network_map_of(self, entry: ResourceEntry) -> ResourceEntry | None:
        """The network map that an entry uses; None where it uses none, or none that is here."""
        used = (self.entries.get(name) for name in entry.uses)
        return next((other for other in used if other is not None and is_network_map(other)), None)

    def find(
        self, document_type: str, *, accepts: str | None, suits: Callable[[ResourceEntry], bool] = lambda _: True
    ) -> ResourceEntry:
        """The first resource of that type, with that input (None: by GET), not in parts, that `suits`.

        Raises ConfigurationError where the closure has none.
        """
        for entry in self.of_type(document_type, accepts=accepts):
            if not entry.is_multipart and suits(entry):
                return entry
        raise ConfigurationError(f"this server has no such resource: {document_type} for {accepts or 'GET'}")

    def of_type(self, document_type: str, *, accepts: str | None) -> Iterator[ResourceEntry]:
        """Every resource of that type with that input, in parts or not, in the order of the IRDs."""
        for entry in self.entries.values():
            if entry.document_type == document_type and is_input(entry, accepts):
                yield entry

    def offers(self, entry: ResourceEntry, key: _Key) -> bool:
        """Whether an entry names a cost type of that mode and metric."""
        return any(cost_type.key == key for cost_type in self.cost_types.get(entry.id, {}).values())

    def path_vectors(self, entry: ResourceEntry) -> bool:
        """Whether an entry answers with path vectors (RFC 9275)."""
        return entry.is_multipart and self.offers(entry, PATH_VECTOR)


def is_network_map(entry: ResourceEntry) -> bool:
    """Whether an entry is a full network map."""
    return entry.accepts is None and is_media_type(entry.media_type, media.NETWORK_MAP)


def is_input(entry: ResourceEntry, accepts: str | None) -> bool:
    """Whether an entry takes that input; None stands for GET."""
    return entry.accepts is None if accepts is None else is_media_type(entry.accepts, accepts)


def join_directories(
    directories: Mapping[str, InformationResourceDirectory], findings: Findings, *, is_complete: bool = True
) -> Closure:
    """The closure of IRDs by their URIs, the Root IRD first, with what only shows in all of them.

    An ID that comes again counts for its first resource; what is used and not there is a finding only where the
    closure `is_complete`. Raises DecodeError for more than MAX_RESOURCES or MAX_DEPENDENCIES, else what `findings`
    raise.
    """
    if sum(len(directory.resources) for directory in directories.values()) > MAX_RESOURCES:
        raise DecodeError(f"the closure has more than {MAX_RESOURCES} resources")
    if sum(len(entry.uses) for each in directories.values() for entry in each.resources.values()) > MAX_DEPENDENCIES:
        raise DecodeError(f"the closure has more than {MAX_DEPENDENCIES} dependencies")
    entries: dict[str, ResourceEntry] = {}
    cost_types: dict[str, Mapping[str, CostType]] = {}
    for directory in directories.values():
        for entry in directory.resources.values():
            if entry.id in entries:
                findings.must(f"resources/{entry.id}", "this ID is there twice in the closure", 7285, "9.1.1")
                continue
            entries[entry.id] = entry
            cost_types[entry.id] = directory.cost_types_of(entry)
    closure = Closure(directories, entries, cost_types, is_complete)
    _check_default(closure, findings)
    for entry in entries.values():
        _check_uses(closure, entry, findings)
    return closure


def _check_default(closure: Closure, findings: Findings) -> None:
    """RFC 7285 section 9.2.2: the value is the resource ID of a network map."""
    for directory in closure.directories.values():
        named = directory.default_network_map
        if named is None:
            continue
        entry = closure.entries.get(named)
        path = "meta/default-alto-network-map"
        if entry is None:
            if closure.is_complete:
                findings.must(path, f"{named!r:.80} is no resource of the closure", 7285, "9.2.2")
        elif not is_network_map(entry):
            findings.must(path, f"{named!r:.80} is no network map", 7285, "9.2.2")


def _check_uses(closure: Closure, entry: ResourceEntry, findings: Findings) -> None:
    path = f"resources/{entry.id}/uses"
    if closure.is_complete:
        for name in entry.uses:
            if name not in closure.entries:
                findings.must(path, f"{name!r:.80} is no resource of the closure", 7285, "9.2.2")
    if entry.id in entry.uses:
        findings.must(path, "the resource itself stands here", 7285, "9.2.2")
    if entry.document_type in (media.EVENT_STREAM, media.TIPS):
        _check_updates(closure, entry, path, findings)
    elif entry.document_type == media.COST_MAP or (entry.document_type == media.NETWORK_MAP and entry.accepts):
        _check_network_map(closure, entry, path, findings)
    elif entry.document_type == media.ENDPOINT_COST:
        _check_endpoint_cost(closure, entry, path, findings)
    elif entry.document_type == media.PROPERTY_MAP:
        _check_domains(closure, entry, findings)
    elif is_network_map(entry) and entry.uses:
        findings.should(path, "a network map uses nothing", 7285, "11.2.1.5")
    elif entry.document_type == media.ENDPOINT_PROPERTIES and entry.uses:
        findings.should(path, "an endpoint property resource uses nothing", 7285, "11.4.1.5")


def _check_network_map(closure: Closure, entry: ResourceEntry, path: str, findings: Findings) -> None:
    if entry.is_multipart:
        rfc, section = 9275, "7.2.5"
    else:
        rfc, section = 7285, ("11.3.1.5" if entry.document_type == media.NETWORK_MAP else "11.2.3.5")
    maps = [name for name in entry.uses if name in closure.entries and is_network_map(closure.entries[name])]
    is_unknown = any(name not in closure.entries for name in entry.uses)
    if not maps and not is_unknown:
        findings.must(path, "a network map is due here", rfc, section)
    elif len(maps) > 1:
        findings.must(path, f"one network map is due here, not {len(maps)}", rfc, section)


def _check_endpoint_cost(closure: Closure, entry: ResourceEntry, path: str, findings: Findings) -> None:
    for name in entry.uses:
        used = closure.entries.get(name)
        if used is not None and used.document_type in (media.NETWORK_MAP, media.COST_MAP):
            findings.must(path, f"endpoint costs use no map such as {name!r:.80}", 7285, "11.5.1.5")


def _check_updates(closure: Closure, entry: ResourceEntry, path: str, findings: Findings) -> None:
    """RFC 8895 section 6.4, RFC 9569 section 5.3."""
    rfc, section = (9569, "5.3") if entry.document_type == media.TIPS else (8895, "6.4")
    if not entry.uses:
        findings.must(path, "the resources that it follows are due here", rfc, section)
    members = frozenset(entry.uses)
    for name in entry.capabilities.get("incremental-change-media-types", {}):
        if name not in members:
            where = f"resources/{entry.id}/capabilities/incremental-change-media-types"
            findings.must(where, f"{name!r:.80} is not in uses", rfc, section)
    for name in entry.uses:
        used = closure.entries.get(name)
        missing = [other for other in used.uses if other not in members] if used is not None else []
        if missing:
            findings.should(path, f"{name!r:.80} depends on {missing[0]!r:.80}, which is not there", rfc, section)


_DEFINING = {"pid": media.NETWORK_MAP, "ipv4": media.NETWORK_MAP, "ipv6": media.NETWORK_MAP, "ane": media.PROPERTY_MAP}


def _check_domains(closure: Closure, entry: ResourceEntry, findings: Findings) -> None:
    """RFC 9240 sections 4.6.1 and 7.5: what a domain or a property is named after defines it and is used."""
    path = f"resources/{entry.id}/capabilities/mappings"
    named: set[str] = set()
    for domain, properties in entry.capabilities.get("mappings", {}).items():
        resource_id, _, kind = domain.rpartition(".")
        used = closure.entries.get(resource_id)
        due = _DEFINING.get(kind)
        if used is not None and due is not None and used.document_type != due:
            findings.must(f"{path}/{domain}", f"{resource_id!r:.80} is no {due}", 9240, "4.6.1")
        named.update(name.rpartition(".")[0] for name in (domain, *properties))
    for resource_id in sorted(named - {"", entry.id, *entry.uses}):
        findings.should(f"resources/{entry.id}/uses", f"{resource_id!r:.80} is missing", 9240, "7.5")


def check_offer(closure: Closure, findings: Findings) -> None:
    """Note what a server has to offer and does not (RFC 7285 sections 11.2.1, 11.2.3 and 11.4.1.4).

    A client can live without any of it; this is for who checks a server. A closure with gaps passes.
    """
    maps = [entry.id for entry in closure.entries.values() if is_network_map(entry)]
    seen: dict[tuple[str, _Key], str] = {}
    properties: set[str] = set()
    for entry in closure.entries.values():
        if entry.document_type == media.ENDPOINT_PROPERTIES:
            properties.update(entry.capabilities.get("prop-types", ()))
        if entry.document_type != media.COST_MAP or entry.accepts is not None:
            continue
        network_map = closure.network_map_of(entry)
        for cost_type in closure.cost_types[entry.id].values():
            pair = (network_map.id if network_map is not None else "", cost_type.key)
            if pair in seen:
                text = f"the same cost type and network map as {seen[pair]!r}"
                findings.must(f"resources/{entry.id}", text, 7285, "11.2.3.5")
            seen.setdefault(pair, entry.id)
    if not closure.is_complete:
        return
    if not maps:
        findings.must("resources", "no network map is offered", 7285, "11.2.1")
    if not any(metric == "routingcost" for _, (_, metric) in seen):
        findings.must("resources", "no cost map of routingcost is offered", 7285, "11.2.3")
    for name in maps:
        if f"{name}.pid" not in properties:
            findings.must("resources", f"no endpoint property resource has {name}.pid", 7285, "11.4.1.4")
