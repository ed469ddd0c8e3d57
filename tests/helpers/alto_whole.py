"""A server with every kind of resource and service that there is, and requests to those that one POSTs to."""

from collections.abc import Mapping
from typing import Any

from alto_everything import HOPS, RANK, everything
from alto_pv import BOTH, NUM_RC, figure_10

from alto import media
from alto.auth import DigestAuthenticator
from alto.cdni import Advertisement, CdniCapability, Footprint
from alto.cdniresources import CdniResource, FilteredCdniResource
from alto.costoffers import CostOffer
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.updates import UpdateStreamService

SECRET = "private-costs"
"""The resource that only those may ask who have proven who they are: `ann`, whose password is `secret`."""

_RC, _RANK, _HOPS = (cost_type.to_json() for cost_type in (NUM_RC, RANK, HOPS))
_DELAY = {"cost-mode": "numerical", "cost-metric": "delay-ow"}
_PATHS = {"cost-mode": "array", "cost-metric": "ane-path"}
_PIDS = {"srcs": ["PID1", "PID2"], "dsts": ["PID3", "PID4"]}
_ENDS = {"srcs": ["ipv4:192.0.2.2"], "dsts": ["ipv4:192.0.2.34", "ipv6:2001:db8:4::1"]}
_HTTPS = ("FCI.DeliveryProtocol", {"delivery-protocols": ["https/1.1"]})
_FILTER = {"cost-type": _RC, "pids": _PIDS}


def _costs(member: str, pairs: Any) -> list[Any]:
    """What both services of costs can be asked."""
    return [
        {"cost-type": _RC, member: pairs},
        {"cost-type": _RANK, member: pairs, "constraints": ["ge 1", "le 3"]},
        {
            "multi-cost-types": [_RC, _HOPS, _DELAY],
            member: pairs,
            "or-constraints": [["[0] le 3"], ["[1] ge 2", "[2] lt 1e9"]],
        },
        {
            "cost-type": {},
            "multi-cost-types": [_HOPS],
            member: pairs,
            "testable-cost-types": [_RC],
            "constraints": ["[0] gt 2"],
        },
        {"cost-type": _DELAY, member: pairs, "calendared": [True]},
        {"multi-cost-types": [_DELAY, _RC], member: pairs, "calendared": [True, False]},
    ]


ASKED: Mapping[str, list[Any]] = {
    "some-pids": [
        {"pids": ["PID1", "PID2"]},
        {"pids": [], "address-types": ["ipv4"]},
        {"pids": ["nobody"], "address-types": []},
    ],
    "some-costs": [
        *_costs("pids", _PIDS),
        {"cost-type": _RC},
        {"cost-type": _RC, "pids": {"srcs": [], "dsts": ["PID1"]}},
    ],
    "endpoint-costs": [
        *_costs("endpoints", _ENDS),
        {"cost-type": _RC, "endpoints": {"dsts": ["ipv4:192.0.2.9"]}},
    ],
    "endpoint-properties": [{"properties": ["network-map.pid"], "endpoints": ["ipv4:192.0.2.2", "ipv6:2001:db8:3::9"]}],
    "some-properties": [
        {"entities": ["ipv4:192.0.2.1", "ipv4:192.0.2.0/25"], "properties": ["isp"]},
        {"entities": [], "properties": []},
        {"entities": ["ipv4:192.0.2.1"]},
    ],
    "ane-props": [{"entities": [".ane:MEC1", ".ane:MEC2"], "properties": ["cpu"]}],
    "endpoint-cost-pv": [
        {"cost-type": _PATHS, "endpoints": _ENDS},
        {
            "cost-type": _PATHS,
            "endpoints": {"dsts": ["ipv4:192.0.2.50"]},
            "ane-property-names": ["max-reservable-bandwidth"],
        },
    ],
    "path-vectors": [
        {"cost-type": _PATHS, "pids": _PIDS, "ane-property-names": list(BOTH)},
        {"multi-cost-types": [_PATHS, _RC], "pids": {"srcs": ["PID1"], "dsts": ["PID3"]}},
    ],
    "some-cdni": [
        {"cdni-capabilities": [{"capability-type": _HTTPS[0], "capability-value": _HTTPS[1]}]},
        {"cdni-capabilities": []},
    ],
    "updates": [
        {"add": {"map": {"resource-id": "network-map", "incremental-changes": False}}},
        {
            "add": {
                "c": {"resource-id": "costs", "tag": "abc"},
                "f": {"resource-id": "some-costs", "input": _FILTER},
            }
        },
        {
            "add": {
                "e": {"resource-id": "endpoint-costs", "input": {"cost-type": _RC, "endpoints": _ENDS}},
                "v": {"resource-id": "endpoint-cost-pv", "input": {"cost-type": _PATHS, "endpoints": _ENDS}},
            }
        },
    ],
    "tips": [
        {"resource-id": "network-map"},
        {"resource-id": "costs", "tag": "abc"},
        {"resource-id": "some-costs", "input": _FILTER},
    ],
}
"""For each resource and service that one POSTs to, bodies that it answers with success."""

FOLLOWED = ("some-costs", "endpoint-costs", "endpoint-cost-pv")
"""What one POSTs to that there are update streams of."""

CONTROL: list[Any] = [
    {"add": {"p": {"resource-id": "properties"}}},
    {"remove": ["c"]},
    {"add": {"f2": {"resource-id": "some-costs", "input": _FILTER}}, "remove": []},
]
"""Bodies for the control service of a stream that `ASKED["updates"]` has opened."""


def whole_directory() -> Directory:
    """The directory of `alto_everything`, with path vectors between PIDs, CDNI, and something private."""
    costs = {"num-rc": CostOffer(NUM_RC, "costs")}
    cdni = [
        Advertisement(CdniCapability(*_HTTPS), (Footprint("ipv4cidr", ("192.0.2.0/24",)),)),
        Advertisement(CdniCapability("FCI.Logging", {"record-type": "x"}), ()),
    ]
    resources = everything(
        PathVectorCostMapResource(
            "path-vectors",
            "network-map",
            PathOffer(figure_10(), BOTH, ("ane-props",)),
            costs=costs,
            max_cost_types=2,
            is_private=False,
        ),
        CdniResource("cdni", cdni, is_private=False),
        FilteredCdniResource("some-cdni", "cdni", is_private=False),
        EndpointCostResource(SECRET, costs, network_map="network-map", is_private=True),
    ).resources.values()
    services = [
        UpdateStreamService("updates", ["network-map", "costs", "properties", *FOLLOWED]),
        TipsService("tips", ["network-map", "costs", "some-costs"]),
    ]
    return Directory(resources, services=services, default_network_map="network-map")


def whole_server(base_uri: str = "https://maps.example.com/") -> AltoServer:
    """A server of it."""
    users = DigestAuthenticator("alto", {"ann": "secret"})
    return AltoServer(whole_directory(), epoch=1.8e9, base_uri=base_uri, authenticator=users)


POSTED = media.UPDATE_STREAM_PARAMS
"""What the control service of a stream takes; it is in no directory."""
