"""Our `decade` package as an implementation that answers conformance requests."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from decade.cose import Ed25519SigningKey, HmacKey, SigningKey
from decade.errors import DecadeError, DecodeError, RefusedError
from decade.messages import decode_message, encode_message
from decade.names import (
    Name,
    NiUri,
    name_of,
    read_binary,
    read_ni,
    read_nih,
    read_path,
    read_segment,
)
from decade.recovery import RemoveFile, recover
from decade.tokens import Claims, mint, verify
from interop.conformance import _decade_scheduler, _decade_server
from interop.conformance._decade_values import (
    message_from_json,
    message_to_json,
    object_from_json,
    registered_key,
    to_json,
)

_Json = dict[str, Any]


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol. A refusal that has a code on the wire says which."""
    params = request["params"]
    try:
        match request["op"]:
            case "decode" if params["of"] == "message":
                return {"value": message_to_json(decode_message(bytes.fromhex(request["wire"])))}
            case "encode" if params["of"] == "message":
                return {"wire": encode_message(message_from_json(request["value"])).hex()}
            case "call" if params.get("function") in _CALLS:
                return {"value": _CALLS[params["function"]]({**params, **request["args"]})}
            case "trace" if params["machine"] in _TRACES:
                return {"value": _TRACES[params["machine"]](request["steps"], params)}
    except (DecodeError, RefusedError) as exc:
        return {"rejected": str(exc), "value": {"error_code": int(exc.code)}}
    except (DecadeError, ValueError) as exc:
        return {"rejected": str(exc)}
    return {"unsupported": True}


def _name_to_json(name: Name) -> _Json:
    return {"algorithm": name.algorithm, "value": name.value.hex()}


def _uri_to_json(uri: NiUri) -> _Json:
    more = {"authority": uri.authority} if uri.authority else {}
    parameters = {"parameters": [list(pair) for pair in uri.parameters]} if uri.parameters else {}
    return _name_to_json(uri.name) | more | parameters


def _read_name(args: _Json) -> _Json:
    match args["form"]:
        case "ni":
            return _uri_to_json(read_ni(args["text"]))
        case "well-known":
            return _uri_to_json(read_path(args["text"]))
        case "segment":
            return _name_to_json(read_segment(args["text"]))
        case "nih":
            return _name_to_json(read_nih(args["text"]))
        case _:
            return _name_to_json(read_binary(bytes.fromhex(args["octets"])))


def _write_name(args: _Json) -> _Json:
    name = Name(args["algorithm"], bytes.fromhex(args["value"]))
    return {
        "ni": name.ni(args.get("authority", "")),
        "well-known": name.path,
        "segment": name.segment,
        "nih": name.nih(),
        "binary": name.binary.hex(),
    }


def _name_of(args: _Json) -> _Json:
    return _name_to_json(name_of(bytes.fromhex(args["octets"]), args["algorithm"]))


def _verify_token(args: _Json) -> _Json:
    keys = {registered.key.kid: registered for registered in map(registered_key, args["keys"])}
    token = bytes.fromhex(args["token"])
    found = verify(token, keys.get, audience=args["audience"], wall=args["wall"], max_life=args["max_life"])
    return {"account": found.account, "claims": to_json(found.claims)}


def _mint_token(args: _Json) -> str:
    octets = bytes.fromhex(args["key"]["octets"])
    is_private = args["key"]["algorithm"] == "EdDSA"
    key: SigningKey = Ed25519SigningKey(octets) if is_private else HmacKey(octets, bytes.fromhex(args["key"]["kid"]))
    return mint(object_from_json(Claims, args["claims"]), key).hex()


def _recover(args: _Json) -> list[list[str]]:
    actions = recover(args["rows"], args["files"])
    return [["remove-file" if isinstance(action, RemoveFile) else "drop-rows", action.name] for action in actions]


_CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "read-name": _read_name,
        "write-name": _write_name,
        "name-of": _name_of,
        "verify-token": _verify_token,
        "mint-token": _mint_token,
        "recover": _recover,
    }
)
_TRACES: Mapping[str, Callable[[list[_Json], _Json], list[_Json]]] = MappingProxyType(
    {"decade-server": _decade_server.trace, "decade-scheduler": _decade_scheduler.trace}
)
