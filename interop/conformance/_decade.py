"""Our `decade` package as an implementation that answers conformance requests."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from decade import cbor
from decade.cose import Ed25519SigningKey, HmacKey, SigningKey, read_public_key
from decade.errors import DecadeError, DecodeError, ErrorCode, RefusedError
from decade.http import Request
from decade.ledger import MemoryLedger
from decade.messages import Revocation, decode_message, encode_message
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
from decade.pop import Replays, check_body, read_proof
from decade.ports import Use
from decade.recovery import RemoveFile, recover
from decade.tokens import Claims, TokenFeature, VerifiedToken, mint, verify
from decade.uses import check_revoked, check_uses, hold_use
from interop.conformance import _decade_scheduler, _decade_server, _decade_transfers
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

    def check(token: str) -> VerifiedToken:
        return verify(
            bytes.fromhex(token),
            keys.get,
            audience=args["audience"],
            wall=args["wall"],
            max_life=args["max_life"],
            features=frozenset(map(TokenFeature, args.get("features", ()))),
        )

    found, ledger = check(args["token"]), MemoryLedger()
    for token in args.get("used", ()):
        hold_use(ledger, check(token), Use(1)).spend()
    if "revoked" in args:
        revocation = decode_message(bytes.fromhex(args["revoked"]))
        assert isinstance(revocation, Revocation)
        ledger.revoke(
            tuple(args.get("revoked_by", (found.account,))), revocation, wall=args["wall"], until=found.claims.exp
        )
    check_revoked(ledger, found)
    check_uses(ledger, found)
    return {"account": found.account, "claims": to_json(found.claims)}


def _verify_proof(args: _Json) -> _Json:
    headers = tuple((name, value) for name, value in args["headers"])
    key = read_public_key(cbor.decode(bytes.fromhex(args["key"])))
    try:
        proof = read_proof(Request(args["method"], args["uri"], headers), args["uri"])
    except DecodeError as exc:
        raise RefusedError(ErrorCode.POP_FAILED, str(exc)) from exc
    Replays(args.get("started")).check(proof, key, "", args["wall"])
    check_body(proof.digest, bytes.fromhex(args.get("body", "")))
    return {"nonce": proof.nonce, "created": proof.created}


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
        "verify-proof": _verify_proof,
        "recover": _recover,
    }
)
_TRACES: Mapping[str, Callable[[list[_Json], _Json], list[_Json]]] = MappingProxyType(
    {
        "decade-server": _decade_server.trace,
        "decade-scheduler": _decade_scheduler.trace,
        "decade-transfer": _decade_transfers.trace,
    }
)
