"""Our `reload` package as an implementation that answers conformance requests: its codec, and calls."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from interop._reload_values import (
    destination_from_json,
    destination_to_json,
    header_from_json,
    header_to_json,
    message_from_json,
    message_to_json,
    structure_from_json,
    structure_to_json,
)
from interop.conformance import _reload_security, _reload_storage, _reload_tuning, _reload_usages
from reload import addresses, contents, diagnostic_information, extensions, header, methods, security_block
from reload import storage_messages as storage
from reload._presentation import decode, encode
from reload.destinations import decode_destinations, encode_destinations
from reload.diagnostic_information import decode_information, encode_information
from reload.errors import DecodeError, ReloadError
from reload.forwarding import forward
from reload.framing import AckFrame, DataFrame, ReceivedMask, decode_frame, encode_frame
from reload.header import decode_header, encode_header
from reload.message import Message, decode_body, decode_message, encode_message
from reload.naming import overlay_hash, resource_id
from reload.reassembly import Reassembler

_Json = dict[str, Any]

_MODULES = (addresses, contents, diagnostic_information, extensions, header, methods, security_block, storage)
_STRUCTURES = {
    re.sub("(?<=[a-z0-9])(?=[A-Z])", "-", name).lower(): of
    for module in _MODULES
    for name, of in vars(module).items()
    if isinstance(of, type) and hasattr(of, "_decode")
}
"""By the RFC's names in lower case with hyphens, such as ice-candidate."""
_BY_MODEL: Mapping[str, Mapping[storage.DataModel, type[Any]]] = MappingProxyType(
    {
        "stored-data": storage.STORED_DATA,
        "stored-meta-data": storage.STORED_META_DATA,
        "model-specifier": storage.SPECIFIERS,
    }
)


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol."""
    params = request["params"]
    try:
        match request["op"]:
            case "decode":
                return {"value": _decoded(params, bytes.fromhex(request["wire"]))}
            case "encode":
                return {"wire": _encoded(params, request["value"]).hex()}
            case "call" if params.get("function") in _CALLS:
                return {"value": _CALLS[params["function"]]({**params, **request["args"]})}
    except (ReloadError, ValueError) as exc:
        return {"rejected": str(exc)}
    return {"unsupported": True}


def _decoded(params: _Json, wire: bytes) -> Any:
    n = params.get("node_id_length", 16)
    match params["of"]:
        case "message":
            message = decode_message(wire, node_id_length=n)
            return message_to_json(message, decode_body(message.contents, node_id_length=n))
        case "forwarding-header":
            found, start = decode_header(wire, node_id_length=n)
            return header_to_json(found) | {"payload": wire[start:].hex()}
        case "framed-message":
            frame = decode_frame(wire)
            if isinstance(frame, AckFrame):
                return {"ack_sequence": frame.ack_sequence, "received": frame.received}
            return {"sequence": frame.sequence, "message": frame.message.hex()}
        case "destination":
            (destination,) = _exactly_one(decode_destinations(wire, n))
            return destination_to_json(destination)
        case "diagnostic-info-contents":
            return _information_to_json(decode_information(params["kind"], wire))
        case _:
            return structure_to_json(decode(_structure(params), wire, node_id_length=n))


def _encoded(params: _Json, value: Any) -> bytes:
    n = params.get("node_id_length", 16)
    match params["of"]:
        case "message":
            message, body = message_from_json(value)
            whole = contents.MessageContents(
                message_code=message.contents.message_code,
                message_body=body if isinstance(body, bytes) else encode(body, node_id_length=n),
                extensions=message.contents.extensions,
            )
            return encode_message(Message(message.header, whole, message.security_block), node_id_length=n)
        case "forwarding-header":
            payload = bytes.fromhex(value["payload"])
            return encode_header(header_from_json(value), len(payload), node_id_length=n) + payload
        case "framed-message":
            if "ack_sequence" in value:
                return encode_frame(AckFrame(value["ack_sequence"], value["received"]))
            return encode_frame(DataFrame(value["sequence"], bytes.fromhex(value["message"])))
        case "destination":
            return encode_destinations([destination_from_json(value)], n)
        case "diagnostic-info-contents":
            return encode_information(params["kind"], _information_from_json(params["kind"], value))
        case _:
            return encode(structure_from_json(_structure(params), value), node_id_length=n)


def _structure(params: _Json) -> type[Any]:
    name = params["of"]
    if name in _BY_MODEL:
        return _BY_MODEL[name][storage.DataModel(params["data_model"])]
    return _STRUCTURES[name]


def _exactly_one(found: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(found) != 1:
        raise DecodeError(f"Destination: {len(found)} of them")
    return found


def _information_to_json(value: Any) -> Any:
    if isinstance(value, int):
        return f"{value:016x}"
    if isinstance(value, bytes):
        return {"octets": value.hex()}
    return value if isinstance(value, str) else [structure_to_json(entry) for entry in value]


def _information_from_json(kind: int, value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["octets"])
    if isinstance(value, list):
        of = (
            diagnostic_information.InstancesStored
            if kind == extensions.DiagnosticKind.INSTANCES_STORED
            else diagnostic_information.MessagesSentRcvd
        )
        return tuple(structure_from_json(of, entry) for entry in value)
    return value if kind == extensions.DiagnosticKind.SOFTWARE_VERSION else int(value, 16)


def _received(args: _Json) -> int:
    mask = ReceivedMask()
    for earlier in args["before"]:
        mask.acknowledge(earlier)
    return mask.acknowledge(args["sequence"]).received


def _forward(args: _Json) -> str:
    wire = bytes.fromhex(args["wire"])
    found, start = decode_header(wire)
    via = tuple(destination_from_json(each) for each in args["append"])
    return forward(
        wire,
        found,
        start,
        via_list=found.via_list + via,
        destination_list=found.destination_list[args["remove"] :],
    ).hex()


def _reassemble(args: _Json) -> list[str]:
    """The messages that come out of what arrives: each has a neighbor, a time, and octets."""
    reassembler = Reassembler(max_size=args["max_message_size"])
    made = []
    for arrival in args["arrivals"]:
        wire = bytes.fromhex(arrival["wire"])
        try:
            found, start = decode_header(wire)
        except DecodeError:
            continue
        hop = bytes.fromhex(arrival["from"])
        whole = reassembler.receive(hop, found, wire[start:], arrival["at"] / 1e6)
        made += [whole.hex()] if whole is not None else []
    return made


_CODEC_CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "overlay-hash": lambda args: overlay_hash(args["name"]),
        "resource-id": lambda args: resource_id(bytes.fromhex(args["name"])).hex(),
        "received": _received,
        "forward": _forward,
        "reassemble": _reassemble,
    }
)
# One module for each further part of the package brings its calls: a name, and a function from args to the value.
_PARTS: tuple[Mapping[str, Callable[[_Json], Any]], ...] = (
    _CODEC_CALLS,
    _reload_security.CALLS,
    _reload_storage.CALLS,
    _reload_tuning.CALLS,
    _reload_usages.CALLS,
)
_CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {name: call for part in _PARTS for name, call in part.items()}
)
