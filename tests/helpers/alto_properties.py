"""The server of RFC 9240 section 10, and how a test asks a resource."""

import json
from pathlib import Path
from typing import Any

import pytest

from alto.directory import Directory, Document, Query, RequestContext
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import ErrorCode, RequestError
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource

EXAMPLES = Path(__file__).parents[1] / "data/alto_examples"


def example(name: str) -> Any:
    """The JSON of an RFC example, such as `rfc9240-s10.4-01`."""
    return json.loads((EXAMPLES / name.partition("-")[0] / f"{name}.json").read_bytes())


# Tables 3 to 7.
DEFAULT_MAP = NetworkMapResource(
    "default-network-map",
    NetworkMap(
        {
            "defaultpid": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
            "pid1": {"ipv4": ["192.0.2.0/25"]},
            "pid2": {"ipv4": ["192.0.2.0/27"]},
            "pid3": {"ipv4": ["192.0.3.0/28"]},
            "pid4": {"ipv4": ["192.0.3.16/28"]},
        }
    ),
)
ALT_MAP = NetworkMapResource(
    "alt-network-map",
    NetworkMap(
        {
            "defaultpid": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
            "pid1": {"ipv4": ["192.0.2.0/27"]},
            "pid2": {"ipv4": ["192.0.3.0/27"]},
        }
    ),
)
INTERNET = {
    "ipv4": {
        "192.0.2.0/23": {".ISP": "BitsRus", ".countrycode": "us"},
        "192.0.2.0/28": {".ASN": "65543", ".state": "NJ"},
        "192.0.2.16/28": {".ASN": "65543", ".state": "CT"},
        "192.0.2.1": {".state": "PA"},
        "192.0.3.0/28": {".ASN": "65544", ".state": "TX"},
        "192.0.3.16/28": {".ASN": "65544", ".state": "MN"},
    }
}
REGIONS = {
    "default-network-map.pid": {
        "pid1": {".region": "us-west"},
        "pid2": {".region": "us-east"},
        "pid3": {".region": "us-south"},
        "pid4": {".region": "us-north"},
    },
    "alt-network-map.pid": {"pid1": {".ASN": "65543"}, "pid2": {".ASN": "65544"}},
}
DATA_CENTRES = {
    ".ane": {
        "dc21": {"storage-capacity": 40000, "ram": 8, "cpu": 500},
        "dc45-srv9": {"storage-capacity": 100, "ram": 8, "cpu": 20},
        "dc6-srvcluster8": {"storage-capacity": 6000, "ram": 8, "cpu": 100},
    }
}
_PIDS = ["default-network-map.pid", "alt-network-map.pid"]
DIRECTORY = Directory(
    [
        DEFAULT_MAP,
        ALT_MAP,
        PropertyMapResource(
            "ia-property-map",
            PropertySource(
                # Section 10.4 merges entities with the same value into one.
                {
                    "ipv4": {
                        "192.0.2.0/23": {".ISP": "BitsRus"},
                        "192.0.2.0/27": {".ASN": "65543"},
                        "192.0.3.0/27": {".ASN": "65544"},
                    }
                },
                {"ipv4": [".ISP", ".ASN"], "ipv6": [".ISP", ".ASN"]},
            ),
        ),
        FilteredPropertyMapResource(
            "iacs-property-map",
            PropertySource(
                INTERNET,
                {family: [".ISP", ".ASN", ".countrycode", ".state"] for family in ("ipv4", "ipv6")},
            ),
        ),
        FilteredPropertyMapResource("region-property-map", PropertySource(REGIONS)),
        FilteredPropertyMapResource("ip-pid-property-map", PropertySource(mappings={"ipv4": _PIDS, "ipv6": _PIDS})),
        EndpointPropertyResource("legacy-endpoint-property"),
        FilteredPropertyMapResource("ane-dc-property-map", PropertySource(DATA_CENTRES)),
    ],
    default_network_map="default-network-map",
)


def ask(directory: Directory, resource_id: str, body: Any = None) -> Document:
    """The answer of a resource to a GET, or to what is posted."""
    query = Query(RequestContext(directory), body, random_bytes=bytes)
    return directory.resources[resource_id].answer(query)


def refusal(directory: Directory, resource_id: str, body: Any) -> tuple[ErrorCode, str | None, str | None]:
    """Code, field and value of the error that a resource answers with."""
    with pytest.raises(RequestError) as caught:
        ask(directory, resource_id, body)
    return caught.value.code, caught.value.field, caught.value.value
