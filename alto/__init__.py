"""ALTO, Application-Layer Traffic Optimization (RFC 7285 and its extensions), sans-IO.

What is listed here is what most users need. The modules hold more: `alto.patch`, `alto.sse`, `alto.discovery`,
`alto.multipart`, `alto.lint` and others are whole by themselves.

They are imported when they are first used: who needs longest-prefix match only does not wait for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alto.calendar import Calendar, CalendarAttributes
    from alto.cdni import Advertisement, CdniAdvertisement, CdniCapability, Footprint
    from alto.cdniresources import CdniResource, FilteredCdniResource
    from alto.client import Client, CostQuery, RankedPeer, Ranking, Result, ServerError, UnreachableError
    from alto.costmap import CostMapResource, FilteredCostMapResource
    from alto.costoffers import CostOffer
    from alto.costs import CostMatrix
    from alto.directory import Directory, Document, Query, RequestContext
    from alto.endpointcost import EndpointCostResource
    from alto.endpointproperty import EndpointPropertyResource
    from alto.errors import AltoError, ConfigurationError, DecodeError, ErrorCode, RequestError, StateError
    from alto.findings import Finding, Findings, Level
    from alto.http import Request, Response
    from alto.lint import lint_document, lint_server
    from alto.lpm import PrefixTable, PrefixTableBuilder
    from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
    from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
    from alto.propertymap import PropertyMap
    from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
    from alto.server import AltoServer, DelegatedDirectory, Limits
    from alto.tips import TipsService
    from alto.tips_client import TipsClient
    from alto.topology import Topology
    from alto.types import CostType, VTag
    from alto.updates import UpdateStreamService
    from alto.updates_client import UpdateStreamClient

__all__ = [
    "Advertisement",
    "AltoError",
    "AltoServer",
    "Calendar",
    "CalendarAttributes",
    "CdniAdvertisement",
    "CdniCapability",
    "CdniResource",
    "Client",
    "ConfigurationError",
    "CostMapResource",
    "CostMatrix",
    "CostOffer",
    "CostQuery",
    "CostType",
    "DecodeError",
    "DelegatedDirectory",
    "Directory",
    "Document",
    "EndpointCostResource",
    "EndpointPropertyResource",
    "ErrorCode",
    "FilteredCdniResource",
    "FilteredCostMapResource",
    "FilteredNetworkMapResource",
    "FilteredPropertyMapResource",
    "Finding",
    "Findings",
    "Footprint",
    "Level",
    "Limits",
    "NetworkMap",
    "NetworkMapResource",
    "PathOffer",
    "PathVectorCostMapResource",
    "PathVectorEndpointCostResource",
    "PrefixTable",
    "PrefixTableBuilder",
    "PropertyMap",
    "PropertyMapResource",
    "PropertySource",
    "Query",
    "RankedPeer",
    "Ranking",
    "Request",
    "RequestContext",
    "RequestError",
    "Response",
    "Result",
    "ServerError",
    "StateError",
    "TipsClient",
    "TipsService",
    "Topology",
    "UnreachableError",
    "UpdateStreamClient",
    "UpdateStreamService",
    "VTag",
    "lint_document",
    "lint_server",
]

_MODULES = {
    "calendar": "Calendar CalendarAttributes",
    "cdni": "Advertisement CdniAdvertisement CdniCapability Footprint",
    "cdniresources": "CdniResource FilteredCdniResource",
    "client": "Client CostQuery RankedPeer Ranking Result ServerError UnreachableError",
    "costmap": "CostMapResource FilteredCostMapResource",
    "costoffers": "CostOffer",
    "costs": "CostMatrix",
    "directory": "Directory Document Query RequestContext",
    "endpointcost": "EndpointCostResource",
    "endpointproperty": "EndpointPropertyResource",
    "errors": "AltoError ConfigurationError DecodeError ErrorCode RequestError StateError",
    "findings": "Finding Findings Level",
    "http": "Request Response",
    "lint": "lint_document lint_server",
    "lpm": "PrefixTable PrefixTableBuilder",
    "networkmap": "FilteredNetworkMapResource NetworkMap NetworkMapResource",
    "pathvectorresources": "PathOffer PathVectorCostMapResource PathVectorEndpointCostResource",
    "propertymap": "PropertyMap",
    "propertyresources": "FilteredPropertyMapResource PropertyMapResource PropertySource",
    "server": "AltoServer DelegatedDirectory Limits",
    "tips": "TipsService",
    "tips_client": "TipsClient",
    "topology": "Topology",
    "types": "CostType VTag",
    "updates": "UpdateStreamService",
    "updates_client": "UpdateStreamClient",
}
_MODULE_OF = {name: f"alto.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'alto' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value
