"""ALTO's properties for the conformance vectors: property maps, endpoint properties and CDNI advertisements."""

from collections.abc import Callable, Mapping
from typing import Any

from alto import media
from alto.cdni import Advertisement, CdniCapability, Footprint, parse_cdni
from alto.cdniresources import CdniResource, FilteredCdniResource, footprint_capabilities
from alto.directory import Directory, Query, RequestContext
from alto.endpointproperty import EndpointPropertyResource, is_endpoint_property, parse_endpoint_properties
from alto.entities import EntityDomains, ScopedName, format_key, parse_domain_name, parse_property_name
from alto.errors import RequestError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.ports import Resource
from alto.propertymap import parse_property_map
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource

_Json = dict[str, Any]


def _entity(args: _Json) -> Any:
    entity = EntityDomains(args["domains"]).parse(args["id"])
    return {"domain": entity.domain, "identifier": format_key(entity.type, entity.key)}


def _name(name: ScopedName) -> _Json:
    return {"type": name.type} if name.resource_id is None else {"resource-id": name.resource_id, "type": name.type}


def _endpoint_property(args: _Json) -> Any:
    if not is_endpoint_property(args["name"]):
        raise ValueError("no endpoint property")
    resource_id, dot, kind = args["name"].rpartition(".")
    return _name(ScopedName(resource_id if dot else None, kind))


def _entry(args: _Json, media_type: str, accepts: str) -> ResourceEntry:
    capabilities = {"mappings": args["mappings"]} if "mappings" in args else {}
    return ResourceEntry(
        args.get("id", "this"),
        "http://alto.example.com/",
        media_type,
        accepts if args.get("filtered") else None,
        capabilities,
        tuple(args.get("uses", ())),
    )


def _read_property_map(args: _Json) -> Any:
    parsed = parse_property_map(
        args["document"],
        Findings(),
        _entry(args, media.PROPERTY_MAP, media.PROPERTY_MAP_PARAMS) if "mappings" in args else None,
        media_types=args.get("media-types"),
        extensions=args.get("extensions", ()),
    )
    return parsed.property_map.to_json()


def _property_value(args: _Json) -> Any:
    found = parse_property_map({"meta": {}, "property-map": args["property-map"]}, Findings())
    value = found.lookup(args["entity"], args["property"])
    return {} if value is None else {"value": value}


def _network_maps(args: _Json) -> list[NetworkMapResource]:
    return [NetworkMapResource(name, NetworkMap(pids)) for name, pids in args.get("network-maps", {}).items()]


def _ask(args: _Json, resource: Resource, *others: Resource) -> Any:
    """What the resource answers, with the IDs of the versions it depends on; or the error."""
    directory = Directory([*_network_maps(args), *others, resource])
    resource.capabilities(directory)
    query = Query(RequestContext(directory), args.get("request"), random_bytes=bytes)
    try:
        tree = dict(resource.answer(query).tree)
    except RequestError as error:
        found = {"code": error.code.value, "field": error.field, "value": error.value}
        return {"error": {name: text for name, text in found.items() if text is not None}}
    meta = tree.pop("meta")
    if "dependent-vtags" in meta:
        tree["dependent"] = [vtag["resource-id"] for vtag in meta["dependent-vtags"]]
    return tree


def _property_map(args: _Json) -> Any:
    source = PropertySource(args.get("values"), args.get("mappings"))
    kind = FilteredPropertyMapResource if "request" in args else PropertyMapResource
    return _ask(args, kind(args.get("id", "this"), source))


def _endpoint_properties(args: _Json) -> Any:
    return _ask(args, EndpointPropertyResource("this", args.get("values")))


def _read_endpoint_properties(args: _Json) -> Any:
    parsed = parse_endpoint_properties(args["document"], Findings(), args.get("request"))
    return {endpoint: dict(properties) for endpoint, properties in parsed.properties.items()}


def _advertisements(listed: list[_Json]) -> list[Advertisement]:
    return [
        Advertisement(
            CdniCapability(tree["capability-type"], tree["capability-value"]),
            tuple(
                Footprint(footprint["footprint-type"], footprint["footprint-value"])
                for footprint in tree.get("footprints", ())
            ),
        )
        for tree in listed
    ]


def _cdni(args: _Json) -> Any:
    network_map = next(iter(args.get("network-maps", {})), None)
    whole = CdniResource("whole", _advertisements(args["advertisements"]), network_map=network_map)
    if "request" not in args:
        return _ask(args, whole)
    return _ask(args, FilteredCdniResource("this", "whole", network_map=network_map), whole)


def _read_cdni(args: _Json) -> Any:
    entry = _entry(args, media.CDNI, media.CDNI_FILTER) if "uses" in args else None
    parsed = parse_cdni(args["document"], Findings(), entry)
    return [{"footprints": [], **advertisement.to_json()} for advertisement in parsed.advertisements]


def _footprint_capabilities(args: _Json) -> Any:
    kind = args["domain-type"]
    maps = [resource.network_map for resource in _network_maps(args)]
    found = footprint_capabilities(_advertisements(args["advertisements"]), kind, maps[0] if maps else None)
    return {format_key(kind, key): values for key, values in found}


CALLS: Mapping[str, Callable[[_Json], Any]] = {
    "entity": _entity,
    "domain-name": lambda args: _name(parse_domain_name(args["name"])),
    "entity-property": lambda args: _name(parse_property_name(args["name"])),
    "endpoint-property": _endpoint_property,
    "read-property-map": _read_property_map,
    "property-value": _property_value,
    "property-map": _property_map,
    "endpoint-properties": _endpoint_properties,
    "read-endpoint-properties": _read_endpoint_properties,
    "cdni-advertisement": _cdni,
    "read-cdni-advertisement": _read_cdni,
    "footprint-capabilities": _footprint_capabilities,
}
