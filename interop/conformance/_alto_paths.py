"""ALTO's multipart messages, path vectors and discovery for the conformance vectors."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alto import dhcp, multipart, naptr
from alto.directory import Directory, Query, RequestContext
from alto.discovery import Discovery, discover_cross_domain, discover_domains, reverse_names
from alto.errors import DecodeError, RequestError
from alto.findings import Findings, Level
from alto.metrics import PATH_VECTOR
from alto.naptr import DnsAnswer, Naptr, Plan, Status
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.paths import PERSISTENT_ENTITY_ID, AbstractNetworkElement
from alto.pathvector import PathVector, parse_path_vector
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
from alto.ports import Resource
from alto.propertyresources import FilteredPropertyMapResource, PropertySource

_Json = dict[str, Any]


def _multipart(args: _Json) -> Any:
    related = multipart.parse(args["content-type"], args["body"].encode("utf-8"), Findings())
    parts = [
        {"content-id": part.content_id, "type": part.type, "body": part.body.decode("utf-8")} for part in related.parts
    ]
    return {"root": related.parts.index(related.root), "parts": parts}


def _written(args: _Json) -> Any:
    """A message of two parts, of which a boundary must not be a part."""
    parts = [
        multipart.Part((("Content-ID", f"<{number}@a>"),), body.encode()) for number, body in enumerate(args["bodies"])
    ]
    content_type, octets = multipart.encode(parts, root_type="application/json", random_bytes=bytes)
    return [part.body.decode() for part in multipart.parse(content_type, octets, Findings()).parts]


def _path_vector(args: _Json) -> Any:
    return _shown(parse_path_vector(args["content-type"], args["body"].encode(), Findings(), asked=args.get("asked")))


def _shown(vector: PathVector) -> _Json:
    shown: _Json = {"properties": {name: dict(properties) for name, properties in vector.properties.items()}}
    if any(cost_type.key == PATH_VECTOR for cost_type in vector.cost_types):
        intervals = [_nested({flow: list(path) for flow, path in paths.items()}) for paths in vector.intervals]
        shown["intervals" if vector.calendars else "paths"] = intervals if vector.calendars else intervals[0]
    for (mode, metric), costs in vector.costs.items():
        shown.setdefault("costs", {})[f"{mode} {metric}"] = _nested(costs)
    if vector.vtag is not None:
        shown["vtag"] = vector.vtag.to_json()
    return shown


def _nested(flows: Mapping[tuple[str, str], Any]) -> _Json:
    nested: _Json = {}
    for (source, destination), value in flows.items():
        nested.setdefault(source, {})[destination] = value
    return nested


def _faults(args: _Json) -> Any:
    findings = Findings(strict=False)
    parse_path_vector(args["content-type"], args["body"].encode(), findings, asked=args.get("asked"))
    broken = {(item.rfc, item.section) for item in findings.items if item.level is Level.MUST}
    return [f"rfc{rfc} {section}" for rfc, section in sorted(broken)]


class _Given:
    """The paths that a vector gives, between whatever names it gives them."""

    version = 0

    def __init__(self, paths: Mapping[str, Mapping[str, Sequence[str]]], elements: Mapping[str, _Json]) -> None:
        self._paths = paths
        self._elements = {name: AbstractNetworkElement(name, properties) for name, properties in elements.items()}

    def paths(self, sources: Sequence[str], destinations: Sequence[str], property_names: object) -> Any:
        return [[self._path(source, destination) for destination in destinations] for source in sources]

    def _path(self, source: str, destination: str) -> Any:
        names = self._paths.get(source, {}).get(destination)
        return None if names is None else [self._elements[name] for name in names]


def _served(args: _Json) -> Any:
    """What a server answers; the names of elements become their numbers, by first appearance."""
    names = tuple(args["ane-property-names"])
    maps = ("ane-props",) if PERSISTENT_ENTITY_ID in names else ()
    offer = PathOffer(_Given(args["paths"], args["elements"]), names, maps)
    resources: list[Resource] = [
        NetworkMapResource("map", NetworkMap(args.get("network-map", {"all": {"ipv4": ["0.0.0.0/0"]}}))),
        FilteredPropertyMapResource("ane-props", PropertySource({}, {".ane": ["cpu"]})),
        PathVectorCostMapResource("pv", "map", offer, is_private=False)
        if "network-map" in args
        else PathVectorEndpointCostResource("pv", offer, is_private=False),
    ]
    directory = Directory(resources)
    chance = itertools.count()
    context = RequestContext(directory, "ipv4:192.0.2.1", "https://alto.example.com:8443/")
    query = Query(context, args["request"], random_bytes=lambda length: next(chance).to_bytes(length))
    try:
        document, again = (directory.resources["pv"].answer(query) for _ in range(2))
    except RequestError as error:
        members = {"code": error.code.value, "field": error.field, "value": error.value}
        return {"status": error.status, "meta": {name: value for name, value in members.items() if value is not None}}
    vector = parse_path_vector(document.media_type, document.body, Findings(), asked=args["request"])
    other = parse_path_vector(again.media_type, again.body, Findings(), asked=args["request"])
    numbers = {name: number for number, name in enumerate(vector.properties)}
    versions = [vtag.resource_id for vtag in vector.property_vtags]
    return {
        "status": 200,
        "paths": _nested({flow: [numbers[name] for name in path] for flow, path in vector.paths.items()}),
        "elements": [dict(properties) for properties in vector.properties.values()],
        "content-ids": list(document.parts),
        "property-map-depends-on": versions,
        "names-differ": not vector.properties.keys() & other.properties.keys(),
    }


def _dhcp(args: _Json) -> Any:
    read = dhcp.access_domain_v4 if args["family"] == 4 else dhcp.access_domain_v6
    return {"domain": read(bytes.fromhex(args["options"]))}


def _regexp(args: _Json) -> Any:
    uri = naptr.parse_regexp(args["regexp"])
    if uri is None:
        raise DecodeError("no replacement by a URI")
    return uri


def _answer(zones: Mapping[str, Any], name: str, asked: Sequence[str]) -> DnsAnswer:
    """What the zones say; a list of answers is used up by the questions for the name."""
    given = {key.lower(): value for key, value in zones.items()}.get(name.lower(), "nxdomain")
    if isinstance(given, list) and given and isinstance(given[0], list | str):
        given = given[min([text.lower() for text in asked].count(name.lower()), len(given) - 1)]
    if isinstance(given, str):
        return DnsAnswer(Status(given))
    return DnsAnswer(Status.ANSWERED, tuple(Naptr(**record) for record in given))


def _discovered(plan: Plan[Discovery], zones: Mapping[str, Any]) -> Any:
    asked: list[str] = []
    try:
        question = next(plan)
        while True:
            answer = _answer(zones, question.name, asked)
            asked.append(question.name)
            question = plan.send(answer)
    except StopIteration as stop:
        discovery: Discovery = stop.value
    return {
        "uris": [{"uri": one.uri, "order": one.order, "preference": one.preference} for one in discovery.uris],
        "questions": [name.upper() for name in asked],
        "temporary-failure": discovery.has_temporary_failure,
    }


CALLS: Mapping[str, Callable[[_Json], Any]] = {
    "multipart-related": _multipart,
    "write-multipart-related": _written,
    "path-vector": _path_vector,
    "path-vector-faults": _faults,
    "serve-path-vector": _served,
    "dhcp-access-domain": _dhcp,
    "u-naptr-uri": _regexp,
    "reverse-names": lambda args: [name.upper() for name in reverse_names(args["subject"])],
    "discover": lambda args: _discovered(
        discover_domains([args["domain"]], args["service"], retries=args["retries"]), args["zones"]
    ),
    "discover-cross-domain": lambda args: _discovered(
        discover_cross_domain(args["subject"], args["service"], retries=args["retries"]), args["zones"]
    ),
}
