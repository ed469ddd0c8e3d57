"""PPSTP messages: the RFC's examples, its section 3 as a JSON Schema, and messages to change."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ppsp.tracker import (
    MessageError,
    parse_request,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"

# RFC 7846 section 3 by hand, as a JSON Schema. `peer_info` may be empty: a FIND in an empty swarm MUST have a group.
STRING = {"type": "string", "minLength": 1}
INTEGER = {"type": "integer"}


def _object(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


PEER_NUM = _object(
    "peer_count",
    {
        "peer_count": INTEGER,
        "ability_nat": {"enum": ["NO_NAT", "STUN", "TURN"]},
        "concurrent_links": INTEGER,
        "online_time": INTEGER,
        "upload_bandwidth": INTEGER,
    },
)
PEER_ADDR = _object(
    "ip_address port priority type",
    {
        "ip_address": _object("address_type address", {"address_type": {"enum": ["ipv4", "ipv6"]}, "address": STRING}),
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "priority": INTEGER,
        "type": {"enum": ["HOST", "REFLEXIVE", "PROXY"]},
        "connection": {"enum": ["wireless", "wired"]},
        "asn": STRING,
        "peer_protocol": STRING,
    },
)
SWARM_ACTION = _object(
    "swarm_id action peer_mode",
    {"swarm_id": STRING, "action": {"enum": ["JOIN", "LEAVE"]}, "peer_mode": {"enum": ["SEEDER", "LEECH"]}},
)
STREAM_STATS = _object(
    "swarm_id uploaded_bytes downloaded_bytes available_bandwidth concurrent_links",
    {
        "swarm_id": STRING,
        "uploaded_bytes": INTEGER,
        "downloaded_bytes": INTEGER,
        "available_bandwidth": INTEGER,
        "concurrent_links": INTEGER,
    },
)
_COMMON = {"version": {"const": 1}, "transaction_id": STRING, "peer_id": STRING}


def _request(kind: str, required: str, **data: Any) -> dict[str, Any]:
    return _object(
        f"version request_type transaction_id peer_id {required}", {**_COMMON, "request_type": {"const": kind}, **data}
    )


CONNECT = _object(
    "swarm_action",
    {
        "peer_num": PEER_NUM,
        "peer_addr": {"type": "array", "minItems": 1, "items": PEER_ADDR},
        "swarm_action": {"type": "array", "minItems": 1, "items": SWARM_ACTION},
    },
)
STAT_GROUP = _object(
    "type stat",
    {"type": {"const": "STREAM_STATS"}, "stat": {"type": "array", "minItems": 1, "items": STREAM_STATS}},
)
SWARM_RESULT = _object(
    "swarm_id result",
    {
        "swarm_id": STRING,
        "result": {"enum": [0, 1]},
        "peer_group": _object(
            "peer_info",
            {
                "peer_info": {
                    "type": "array",
                    "items": _object("peer_id peer_addr", {"peer_id": STRING, "peer_addr": PEER_ADDR}),
                }
            },
        ),
    },
)
RESPONSE = _object(
    "version response_type error_code transaction_id",
    {
        "version": {"const": 1},
        "response_type": {"enum": [0, 1]},
        "error_code": {"type": "integer", "minimum": 0, "maximum": 6},
        "transaction_id": {"type": "string"},
        "peer_addr": PEER_ADDR,
        "swarm_result": {"type": "array", "minItems": 1, "items": SWARM_RESULT},
    },
)
SCHEMA = Draft202012Validator(
    _object(
        "PPSPTrackerProtocol",
        {
            "PPSPTrackerProtocol": {
                "oneOf": [
                    _request("CONNECT", "connect", connect=CONNECT),
                    _request("FIND", "find", find=_object("swarm_id", {"swarm_id": STRING, "peer_num": PEER_NUM})),
                    _request("STAT_REPORT", "", stat_report=STAT_GROUP),
                    RESPONSE,
                ]
            }
        },
    )
)


def connect_root(**changes: Any) -> dict[str, Any]:
    """A well-formed CONNECT, with members of the request element replaced, or removed where None."""
    root = json.loads((EXAMPLES / "connect_req_leech.strict.json").read_text())["PPSPTrackerProtocol"]
    root.update(changes)
    return {key: value for key, value in root.items() if value is not None}


def body_of(root: Any) -> bytes:
    return json.dumps({"PPSPTrackerProtocol": root}).encode()


def address_of(**changes: Any) -> dict[str, Any]:
    address = {
        "ip_address": {"address_type": "ipv4", "address": "192.0.2.2"},
        "port": 80,
        "priority": 1,
        "type": "HOST",
        **changes,
    }
    return {key: value for key, value in address.items() if value is not None}


def connect_from(*addresses: Any) -> bytes:
    action = {"swarm_id": "1111", "action": "JOIN", "peer_mode": "LEECH"}
    return body_of(connect_root(connect={"swarm_action": [action], "peer_addr": list(addresses)}))


def refusal(body: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parse_request(body)
    return caught.value
