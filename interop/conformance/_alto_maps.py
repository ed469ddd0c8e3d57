"""ALTO's addresses and network maps for the conformance vectors."""

from collections.abc import Callable, Mapping
from typing import Any

from alto import address
from alto.directory import Directory, Query, RequestContext
from alto.errors import DecodeError, RequestError
from alto.findings import Findings, Level
from alto.networkmap import (
    FilteredNetworkMapResource,
    NetworkMap,
    NetworkMapResource,
    parse_filtered_network_map,
    parse_network_map,
)
from alto.types import is_pid_name, is_resource_id, is_tag

_Json = dict[str, Any]

_NAMES: Mapping[str, Callable[[str], bool]] = {
    "PIDName": is_pid_name,
    "ResourceID": is_resource_id,
    "tag": is_tag,
    "AddressType": address.is_address_type,
}


def _name(args: _Json) -> Any:
    if not _NAMES[args["type"]](args["text"]):
        raise DecodeError(f"{args['text']!r} is no {args['type']}")
    return args["text"]


def _prefix(args: _Json) -> Any:
    family = address.FAMILIES[args["address-type"]]
    return address.format_prefix(family, *address.parse_prefix(args["text"], family))


def _client(args: _Json) -> Any:
    endpoint = address.client_endpoint(args["text"])
    if endpoint is None:
        raise DecodeError(f"{args['text']!r} is no address")
    return endpoint


def _network_map(args: _Json) -> Any:
    parsed = parse_network_map(args["body"], Findings())
    return {"vtag": parsed.vtag.to_json() if parsed.vtag else None, "network-map": parsed.network_map.to_json()}


def _faults(args: _Json) -> Any:
    findings = Findings(strict=False)
    if "request" in args:
        parse_filtered_network_map(args["body"], findings, args["request"])
    else:
        parse_network_map(args["body"], findings)
    broken = {(item.rfc, item.section) for item in findings.items if item.level is Level.MUST}
    return [f"rfc{rfc} {section}" for rfc, section in sorted(broken)]


def _published(args: _Json) -> Any:
    return NetworkMap(args["network-map"], default_pid=args.get("default-pid")).to_json()


def _pid(args: _Json) -> Any:
    location = NetworkMap(args["network-map"]).locate(args["address"])
    return {} if location is None else {"pid": location.pid, "prefix": location.prefix}


def _filtered(args: _Json) -> Any:
    whole = NetworkMapResource("whole", NetworkMap(args["network-map"]))
    resource = FilteredNetworkMapResource("filtered", "whole")
    directory = Directory([whole, resource])
    try:
        answer = resource.answer(Query(RequestContext(directory), args["request"], random_bytes=_octets)).tree
    except RequestError as error:
        members = {"code": error.code.value, "field": error.field, "value": error.value}
        return {"status": error.status, "meta": {name: value for name, value in members.items() if value is not None}}
    is_of_whole = answer["meta"]["vtag"] == whole.vtag.to_json()
    return {"status": 200, "vtag-of-whole": is_of_whole, "network-map": answer["network-map"]}


def _octets(count: int) -> bytes:
    return bytes(count)


def _same_tag(args: _Json) -> Any:
    return NetworkMap(args["one"]).tag == NetworkMap(args["other"]).tag


CALLS: Mapping[str, Callable[[_Json], Any]] = {
    "name": _name,
    "canonical-endpoint": lambda args: address.canonical_endpoint(args["text"]),
    "canonical-prefix": _prefix,
    "client-endpoint": _client,
    "network-map": _network_map,
    "network-map-faults": _faults,
    "publish-network-map": _published,
    "pid-of": _pid,
    "filter-network-map": _filtered,
    "same-tag": _same_tag,
}
