"""Our `decade` package as an implementation that answers conformance requests: its messages, names and tokens."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from decade.cose import Ed25519Key, Ed25519SigningKey, HmacKey, SigningKey, VerifyingKey
from decade.errors import DecadeError, DecodeError, RefusedError
from decade.messages import Message, decode_message, encode_message
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
from decade.tokens import Claims, RegisteredKey, mint, verify
from interop.conformance._decade_values import object_from_json, to_json

_Json = dict[str, Any]

_MESSAGES: Mapping[str, type] = MappingProxyType(
    {re.sub("(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower(): cls for cls in get_args(Message)}
)
"""By the names of the CDDL."""


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol. A refusal that has a code on the wire says which."""
    params = request["params"]
    try:
        match request["op"]:
            case "decode" if params["of"] == "message":
                return {"value": _message_to_json(decode_message(bytes.fromhex(request["wire"])))}
            case "encode" if params["of"] == "message":
                return {"wire": encode_message(_message_from_json(request["value"])).hex()}
            case "call" if params.get("function") in _CALLS:
                return {"value": _CALLS[params["function"]]({**params, **request["args"]})}
    except (DecodeError, RefusedError) as exc:
        return {"rejected": str(exc), "value": {"error_code": int(exc.code)}}
    except (DecadeError, ValueError) as exc:
        return {"rejected": str(exc)}
    return {"unsupported": True}


def _message_to_json(message: Message) -> _Json:
    (name,) = (name for name, cls in _MESSAGES.items() if type(message) is cls)
    return {"message": name, **to_json(message)}


def _message_from_json(value: _Json) -> Message:
    members = dict(value)
    message: Message = object_from_json(_MESSAGES[members.pop("message")], members)
    return message


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


def _registered(key: _Json) -> RegisteredKey:
    octets = bytes.fromhex(key["octets"])
    is_public = key["algorithm"] == "EdDSA"
    verifying: VerifyingKey = Ed25519Key(octets) if is_public else HmacKey(octets, bytes.fromhex(key["kid"]))
    return RegisteredKey(verifying, key["account"])


def _verify_token(args: _Json) -> _Json:
    keys = {registered.key.kid: registered for registered in map(_registered, args["keys"])}
    token = bytes.fromhex(args["token"])
    found = verify(token, keys.get, audience=args["audience"], wall=args["wall"], max_life=args["max_life"])
    return {"account": found.account, "claims": to_json(found.claims)}


def _mint_token(args: _Json) -> str:
    octets = bytes.fromhex(args["key"]["octets"])
    is_private = args["key"]["algorithm"] == "EdDSA"
    key: SigningKey = Ed25519SigningKey(octets) if is_private else HmacKey(octets, bytes.fromhex(args["key"]["kid"]))
    return mint(object_from_json(Claims, args["claims"]), key).hex()


_CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "read-name": _read_name,
        "write-name": _write_name,
        "name-of": _name_of,
        "verify-token": _verify_token,
        "mint-token": _mint_token,
    }
)
