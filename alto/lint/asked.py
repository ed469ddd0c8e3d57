"""Requests read as a server would read them that offers everything which they ask for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

from alto import media, params
from alto._json import Json
from alto._updates_requests import nothing_added, read_add, read_remove
from alto.address import canonical_endpoint
from alto.calendar import CalendarAttributes
from alto.cdniresources import read_filter
from alto.costrequest import CostCapabilities, read_cost_request, read_names
from alto.endpointcost import distinct_endpoints, read_endpoint_filter
from alto.endpointproperty import is_endpoint_property
from alto.entities import parse_property_name
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.findings import Findings
from alto.metrics import parse_cost_type
from alto.tips_messages import read_tips_request
from alto.types import CostType, is_pid_name

_ANYBODY = "ipv4:192.0.2.1"
_ROUTINGCOST = CostType("numerical", "routingcost")
_MANY = 64
"""Cost types that a request may name, whatever its server allows."""


@frozen
class Reader:
    """What reads a request and raises RequestError, and the clause that describes the request."""

    read: Callable[[Json], object]
    rfc: int
    section: str


def lint_request(tree: Json, kind: str, findings: Findings) -> None:
    """What is wrong with a request; `kind` is one of READERS."""
    reader = READERS[kind]
    if isinstance(tree, dict) and "cost-type" in tree and "multi-cost-types" in tree:
        # A server forgives an empty one, as RFC 8896 section 5.2.4 has it.
        findings.must("cost-type", "never beside multi-cost-types", 8189, "4.1.2")
    try:
        reader.read(tree)
    except RequestError as error:
        text = f"a server has to refuse this: {error.code}" + (f", {error.value!r:.80}" if error.value else "")
        findings.must(error.field or "", text, reader.rfc, reader.section)


def _network_map_filter(tree: Json) -> None:
    asked = params.fields(tree)
    for name in params.elements(asked, "pids", str):
        if not is_pid_name(name):
            raise params.bad_value("pids", name)
    params.optional_elements(asked, "address-types", str)


def _cost_map_filter(tree: Json) -> None:
    _costs(tree)
    pids: dict[str, Json] | None = params.optional(tree, "pids", dict)
    if pids is None:
        return
    for member in ("srcs", "dsts"):
        for name in read_names(pids, member, "pids"):
            if not is_pid_name(name):
                raise params.bad_value(f"pids/{member}", name)


def _endpoint_cost_params(tree: Json) -> None:
    _costs(tree)
    for texts, member in zip(read_endpoint_filter(tree, _ANYBODY), ("srcs", "dsts"), strict=True):
        distinct_endpoints(texts, f"endpoints/{member}")


def _costs(tree: Json) -> None:
    asked = params.fields(tree)
    if "cost-type" not in asked and "multi-cost-types" not in asked:
        raise RequestError(ErrorCode.MISSING_FIELD, field="cost-type")
    read_cost_request(asked, _capabilities(asked))
    params.optional_elements(asked, "ane-property-names", str)


def _capabilities(tree: dict[str, Json]) -> CostCapabilities:
    """Those of a resource that has every cost type which the request names, with a calendar."""
    named = [tree.get("cost-type")]
    for member in ("multi-cost-types", "testable-cost-types"):
        listed = tree.get(member)
        named += listed if isinstance(listed, list) else []
    found: dict[str, CostType] = {}
    for element in named:
        try:
            cost_type = parse_cost_type(element, Findings(strict=False), "")
        except ConfigurationError:
            continue
        if cost_type is not None:
            found.setdefault(":".join(cost_type.key), cost_type)
    offered = found or {"num": _ROUTINGCOST}
    calendars = dict.fromkeys(offered, CalendarAttributes(1, 1)) if "calendared" in tree else {}
    return CostCapabilities(offered, cost_constraints=True, max_cost_types=_MANY, calendars=calendars)


def _endpoint_property_params(tree: Json) -> None:
    asked = params.fields(tree)
    for member, is_one in (("properties", is_endpoint_property), ("endpoints", _is_endpoint)):
        listed = params.elements(asked, member, str)
        if not listed:
            raise params.bad_value(member, [])
        for name in listed:
            if not is_one(name):
                raise params.bad_value(member, name)


def _property_map_params(tree: Json) -> None:
    asked = params.fields(tree)
    for name in params.elements(asked, "entities", str):
        domain, colon, identifier = name.partition(":")
        if not colon or not domain or not identifier:
            raise params.bad_value("entities", name)
    for name in params.optional_elements(asked, "properties", str) or ():
        try:
            parse_property_name(name)
        except ValueError:
            raise params.bad_value("properties", name) from None


def _update_stream_params(tree: Json) -> None:
    asked = params.fields(tree)
    added, removed = read_add(asked), read_remove(asked)
    if not added and removed is None:
        raise nothing_added()
    if added and removed == []:
        raise params.bad_value("remove", [])


def _is_endpoint(text: str) -> bool:
    try:
        canonical_endpoint(text)
    except ValueError:
        return False
    return True


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        media.NETWORK_MAP_FILTER: Reader(_network_map_filter, 7285, "11.3.1.3"),
        media.COST_MAP_FILTER: Reader(_cost_map_filter, 7285, "11.3.2.3"),
        media.ENDPOINT_PROPERTY_PARAMS: Reader(_endpoint_property_params, 7285, "11.4.1.3"),
        media.ENDPOINT_COST_PARAMS: Reader(_endpoint_cost_params, 7285, "11.5.1.3"),
        media.PROPERTY_MAP_PARAMS: Reader(_property_map_params, 9240, "8.3"),
        media.CDNI_FILTER: Reader(read_filter, 9241, "5.3"),
        media.UPDATE_STREAM_PARAMS: Reader(_update_stream_params, 8895, "6.5"),
        media.TIPS_PARAMS: Reader(read_tips_request, 9569, "6.1"),
    }
)
"""By the media type of what is posted."""
