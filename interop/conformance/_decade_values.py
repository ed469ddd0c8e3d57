"""Messages of `decade` as JSON, and back: members by name, octets in hex, names in their binary form."""

import re
import types
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from decade import cbor
from decade.cose import Ed25519Key, Es256Key, HmacKey, VerifyingKey
from decade.messages import Message
from decade.names import Name, read_binary
from decade.scope import Collection, Everything, Object, Operation, Publisher, Target
from decade.tokens import RegisteredKey
from decade.values import Absent, BitRate, ObjectName, SignedName, Weight

_Json = Any
_BIG = 2**53
_MESSAGES: Mapping[str, type] = MappingProxyType(
    {re.sub("(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower(): cls for cls in get_args(Message)}
)
"""By the names of the CDDL."""


def message_to_json(message: Message) -> dict[str, Any]:
    """A message by the name of its rule."""
    (name,) = (name for name, cls in _MESSAGES.items() if type(message) is cls)
    return {"message": name, **to_json(message)}


def message_from_json(value: dict[str, Any]) -> Message:
    """A message from the name of its rule and its members. Raises as `object_from_json` does."""
    members = dict(value)
    message: Message = object_from_json(_MESSAGES[members.pop("message")], members)
    return message


def registered_key(key: dict[str, Any]) -> RegisteredKey:
    """A key that a server knows. Raises DecodeError."""
    return RegisteredKey(_verifying_key(key), key["account"], tuple(key.get("app", ())))


def _verifying_key(key: dict[str, Any]) -> VerifyingKey:
    octets = bytes.fromhex(key["octets"])
    match key["algorithm"]:
        case "EdDSA":
            return Ed25519Key(octets)
        case "ES256":
            return Es256Key(octets[:32], octets[32:])
    return HmacKey(octets, bytes.fromhex(key["kid"]))


def to_json(value: Any) -> _Json:
    """A value of a message. What is absent is left out; null is the null of CBOR."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value) if value <= _BIG else f"{value:016x}"
        case bytes():
            return value.hex()
        case Name():
            return value.binary.hex()
        case SignedName():
            return {"publisher": value.publisher.binary.hex(), "label": value.label.hex()}
        case Weight(weight):
            return {"weight": weight}
        case BitRate(bps):
            return {"bps": to_json(bps)}
        case IPv4Network() | IPv6Network():
            return str(value)
        case Everything() | Object() | Collection() | Publisher():
            return _target_to_json(value)
        case tuple():
            return [to_json(entry) for entry in value]
        case Mapping():
            return {key: to_json(entry) for key, entry in value.items()}
    return _object_to_json(value)


def _target_to_json(target: Target) -> _Json:
    match target:
        case Everything():
            return None
        case Object(name):
            return to_json(name)
        case Collection(collection):
            return {"collection": collection.hex()}
        case Publisher(name, prefix):
            return {"publisher": name.binary.hex(), "prefix": prefix.hex()}


def _object_to_json(value: Any) -> _Json:
    made: dict[str, Any] = {}
    for field in attrs.fields(type(value)):
        member = getattr(value, field.name)
        if member is field.default:
            continue
        if field.name == "ext":
            made["ext"] = {str(key): cbor.encode(item).hex() for key, item in member.items()}
        elif field.name == "keys":
            made["keys"] = [cbor.encode(key).hex() for key in member]
        elif field.name == "key":
            made["key"] = cbor.encode(member).hex()
        else:
            made[field.name] = to_json(member)
    return made


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def object_from_json(cls: type, value: _Json) -> Any:
    """An object of `cls` from its members. Raises DecodeError, and KeyError or TypeError for unknown ones."""
    hints = _hints(cls)
    raw = ("ext", "keys", "key")
    members = {name: _from_json(hints[name], member) for name, member in value.items() if name not in raw}
    if "ext" in value:
        members["ext"] = {int(key): cbor.decode(bytes.fromhex(item)) for key, item in value["ext"].items()}
    if "keys" in value:
        members["keys"] = tuple(cbor.decode(bytes.fromhex(key)) for key in value["keys"])
    if "key" in value:
        members["key"] = cbor.decode(bytes.fromhex(value["key"]))
    return cls(**members)


def _from_json(hint: Any, value: _Json) -> Any:
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    of = frozenset(choices) - {type(None), Absent}
    if value is None and Everything not in of:
        return None
    if len(of) > 1:
        return _choice_from_json(of, value)
    (single,) = of
    return _single_from_json(single, value)


def _choice_from_json(of: frozenset[Any], value: _Json) -> Any:
    if Everything in of:
        return _target_from_json(value)
    if Weight in of:
        return Weight(value["weight"]) if "weight" in value else BitRate(_number(value["bps"]))
    if IPv4Network in of:
        return ip_network(value)
    return _name_from_json(value)


def _single_from_json(of: Any, value: _Json) -> Any:
    origin, inner = get_origin(of), get_args(of)
    if origin is tuple and inner[-1] is Ellipsis:
        return tuple(_from_json(inner[0], entry) for entry in value)
    if origin is tuple:
        return tuple(_from_json(each, entry) for each, entry in zip(inner, value, strict=True))
    if origin is not None:
        return {key: _from_json(inner[1], entry) for key, entry in value.items()}
    if of is Name:
        return read_binary(bytes.fromhex(value))
    if of is bytes:
        return bytes.fromhex(value)
    if issubclass(of, IntEnum | Operation):
        return of(value)
    if of is int:
        return _number(value)
    return value if of is str else object_from_json(of, value)


def _number(value: _Json) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def _name_from_json(value: _Json) -> ObjectName:
    if isinstance(value, str):
        return read_binary(bytes.fromhex(value))
    return SignedName(read_binary(bytes.fromhex(value["publisher"])), bytes.fromhex(value["label"]))


def _target_from_json(value: _Json) -> Target:
    match value:
        case None:
            return Everything()
        case {"collection": collection}:
            return Collection(bytes.fromhex(collection))
        case {"publisher": name, "prefix": prefix}:
            return Publisher(read_binary(bytes.fromhex(name)), bytes.fromhex(prefix))
    return Object(_name_from_json(value))
