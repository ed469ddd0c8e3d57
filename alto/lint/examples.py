"""A request that each resource can be asked, made of its capabilities and of what its network map has."""

from collections.abc import Mapping, Sequence

from alto import media
from alto._json import Json
from alto.closure import Closure
from alto.costparams import cost_map_filter, endpoint_cost_params
from alto.costrequest import CostCapabilities
from alto.entities import parse_domain_name
from alto.errors import ConfigurationError
from alto.ird import ResourceEntry
from alto.lint.asking import Inspection
from alto.metrics import PATH_VECTOR
from alto.networkmap import NetworkMap, ParsedNetworkMap

SOME = 3
"""PIDs and addresses of a request: enough to compare, and little work for the server."""
_ADDRESSES = ("ipv4:192.0.2.1", "ipv4:198.51.100.1", "ipv4:203.0.113.1")
"""For documentation (RFC 5737): nobody's, and in every map that is complete."""
_ENTITIES: Mapping[str, Sequence[str]] = {
    "ipv4": _ADDRESSES[:1],
    "ipv6": ("ipv6:2001:db8::1",),
    "asn": ("asn:as64496",),
    "countrycode": ("countrycode:de",),
}


def example_for(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> Json | None:
    """What to POST to a resource; None where nothing can be made up."""
    match entry.accepts:
        case media.NETWORK_MAP_FILTER:
            return {"pids": list(_pids(inspection, closure, entry))}
        case media.COST_MAP_FILTER | media.ENDPOINT_COST_PARAMS:
            return _costs(inspection, closure, entry)
        case media.ENDPOINT_PROPERTY_PARAMS:
            names = entry.capabilities.get("prop-types", [])
            return {"properties": names[:1], "endpoints": list(_ADDRESSES)} if names else None
        case media.PROPERTY_MAP_PARAMS:
            return _entities(inspection, entry)
        case media.CDNI_FILTER:
            return {"cdni-capabilities": []}
        case media.TIPS_PARAMS:
            known = (closure.entries.get(name) for name in entry.uses)
            resource = next((other for other in known if other is not None and other.accepts is None), None)
            return {"resource-id": resource.id} if resource is not None else None
        case media.UPDATE_STREAM_PARAMS:
            return {"add": {"x": {"resource-id": entry.uses[0]}}} if entry.uses else None
        case _:
            return None


def network_map_of(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> NetworkMap | None:
    """The network map that a resource uses, if it has been fetched."""
    used = closure.network_map_of(entry)
    document = inspection.documents.get(used.id) if used is not None else None
    return document.network_map if isinstance(document, ParsedNetworkMap) else None


def _pids(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> tuple[str, ...]:
    network_map = network_map_of(inspection, closure, entry)
    return network_map.names[:SOME] if network_map is not None else ()


def _costs(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> Json | None:
    try:
        capabilities = CostCapabilities.of_entry(entry.capabilities, closure.cost_types.get(entry.id, {}))
        wanted = next(iter(capabilities.cost_types.values()))
        if entry.is_multipart:
            wanted = next(each for each in capabilities.cost_types.values() if each.key == PATH_VECTOR)
        if entry.accepts == media.ENDPOINT_COST_PARAMS:
            return endpoint_cost_params(capabilities, wanted, sources=_ADDRESSES[:1], destinations=_ADDRESSES[1:])
        pids = _pids(inspection, closure, entry)
        return cost_map_filter(capabilities, wanted, sources=pids, destinations=pids)
    except (ConfigurationError, StopIteration):
        return None


def _entities(inspection: Inspection, entry: ResourceEntry) -> Json | None:
    for domain, properties in entry.capabilities.get("mappings", {}).items():
        name = parse_domain_name(domain)
        entities = list(_ENTITIES.get(domain, ()))
        if name.type == "pid":
            document = inspection.documents.get(name.resource_id or "")
            if isinstance(document, ParsedNetworkMap):
                entities = [f"{domain}:{pid}" for pid in document.network_map.names[:SOME]]
        if entities and properties:
            return {"entities": entities, "properties": properties[:1]}
    return None
