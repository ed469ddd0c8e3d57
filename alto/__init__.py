"""ALTO, Application-Layer Traffic Optimization (RFC 7285 and its extensions), sans-IO.

What is listed here is what most users need. The modules hold more: `alto.patch`, `alto.sse`, `alto.discovery`,
`alto.multipart`, `alto.lint` and others are whole by themselves.
"""

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
