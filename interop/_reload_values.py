"""Structures of RELOAD as JSON, by the declarations of their members.

Names are the RFC's. Octets are lower-case hex; a uint64 is 16 hex digits, as JSON numbers end at 2^53; a case of a
select without octets is left out, and one of an unknown type is octets. A Destination is an object with one of
node_id, resource_id, opaque_id (and "is_compact": true for one of 16 bits), or with type and data.
"""

from typing import Any, assert_never

import attrs

from reload._specs import KEY, Boolean, Custom, Fixed, Nested, NodeId, Number, Opaque, Select, Spec, Vector
from reload.contents import MessageContents
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)
from reload.errors import EncodeError
from reload.header import ForwardingHeader, ForwardingOption
from reload.message import BODIES, Message
from reload.security_block import SecurityBlock

_Json = dict[str, Any]


def structure_to_json(value: Any) -> Any:
    """The JSON object of a structure."""
    made: _Json = {}
    for field in attrs.fields(type(value)):
        spec, member = field.metadata[KEY], getattr(value, field.name)
        shown = _to_json(_case(spec, value.__getattribute__) if isinstance(spec, Select) else spec, member)
        if shown is not None:
            made[field.name] = shown
    return made


def structure_from_json(of: type[Any], value: _Json) -> Any:
    """The structure that such an object describes.

    Raises:
        EncodeError: it describes none.
    """
    members: _Json = {}
    try:
        for field in attrs.fields(of):
            spec = field.metadata[KEY]
            if isinstance(spec, Select):
                spec = _case(spec, members.__getitem__)
                members[field.name] = None if spec is None else _from_json(spec, value[field.name])
            else:
                members[field.name] = _from_json(spec, value[field.name])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise EncodeError(f"{of.__name__}: no such value: {exc!r}") from exc
    return of(**members)


def destination_to_json(destination: Destination) -> _Json:
    """The JSON object of a Destination."""
    match destination:
        case NodeDestination(node_id):
            return {"node_id": node_id.hex()}
        case ResourceDestination(resource_id):
            return {"resource_id": resource_id.hex()}
        case OpaqueDestination(opaque_id, is_compact):
            return {"opaque_id": opaque_id.hex()} | ({"is_compact": True} if is_compact else {})
        case UnknownDestination(kind, data):
            return {"type": kind, "data": data.hex()}
    assert_never(destination)


def destination_from_json(value: _Json) -> Destination:
    """The Destination that such an object describes. Raises KeyError, ValueError or TypeError."""
    if "node_id" in value:
        return NodeDestination(bytes.fromhex(value["node_id"]))
    if "resource_id" in value:
        return ResourceDestination(bytes.fromhex(value["resource_id"]))
    if "opaque_id" in value:
        return OpaqueDestination(bytes.fromhex(value["opaque_id"]), is_compact=value.get("is_compact", False))
    return UnknownDestination(value["type"], bytes.fromhex(value["data"]))


_HEADER = {
    "overlay": 4,
    "configuration_sequence": 2,
    "version": 1,
    "ttl": 1,
    "fragment": 4,
    "length": 4,
    "transaction_id": 8,
    "max_response_length": 4,
}
"""The numbers of a header, and their octets."""


def header_to_json(header: ForwardingHeader) -> _Json:
    """The JSON object of a forwarding header, whose lengths of lists and token are left out."""
    made: _Json = {name: _to_json(Number(size), getattr(header, name)) for name, size in _HEADER.items()}
    for name in ("via_list", "destination_list"):
        made[name] = [destination_to_json(each) for each in getattr(header, name)]
    return made | {"options": [structure_to_json(option) for option in header.options]}


def header_from_json(value: _Json) -> ForwardingHeader:
    """The forwarding header that such an object describes. Raises EncodeError."""
    try:
        return ForwardingHeader(
            **{name: _from_json(Number(size), value[name]) for name, size in _HEADER.items()},
            via_list=tuple(destination_from_json(each) for each in value["via_list"]),
            destination_list=tuple(destination_from_json(each) for each in value["destination_list"]),
            options=tuple(structure_from_json(ForwardingOption, each) for each in value["options"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise EncodeError(f"ForwardingHeader: no such value: {exc!r}") from exc


def message_to_json(message: Message, body: Any) -> _Json:
    """The JSON object of a message with this body, a structure or octets."""
    contents = structure_to_json(message.contents)
    contents["message_body"] = body.hex() if isinstance(body, bytes) else structure_to_json(body)
    return {
        "forwarding_header": header_to_json(message.header),
        "message_contents": contents,
        "security_block": structure_to_json(message.security_block),
    }


def message_from_json(value: _Json) -> tuple[Message, Any]:
    """The message that such an object describes, whose body is still empty, and its body. Raises EncodeError."""
    try:
        contents = value["message_contents"]
        of = BODIES.get(contents["message_code"])
        shown = contents["message_body"]
        body = bytes.fromhex(shown) if of is None else structure_from_json(of, shown)
        message = Message(
            header_from_json(value["forwarding_header"]),
            structure_from_json(MessageContents, contents | {"message_body": ""}),
            structure_from_json(SecurityBlock, value["security_block"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise EncodeError(f"Message: no such value: {exc!r}") from exc
    return message, body


def _case(select: Select, member: Any) -> Spec | None:
    """What stands in the place of a select; octets for an unknown type."""
    return select.cases.get(member(select.on), Opaque(select.length or 1))


def _to_json(spec: Spec | None, value: Any) -> Any:
    match spec:
        case None:
            return None
        case Number(8):
            return f"{value:016x}"
        case Number() | Boolean():
            return value
        case Fixed() | NodeId() | Opaque():
            return value.hex()
        case Nested():
            return structure_to_json(value)
        case Custom():
            return destination_to_json(value)
        case Vector(of):
            return [_to_json(of, item) for item in value]
        case Select():
            raise AssertionError("a select stands in a structure")
    assert_never(spec)


def _from_json(spec: Spec, value: Any) -> Any:
    match spec:
        case Number(8):
            return int(value, 16)
        case Number() | Boolean():
            return value
        case Fixed() | NodeId() | Opaque():
            return bytes.fromhex(value)
        case Nested(of):
            return structure_from_json(of, value)
        case Custom():
            return destination_from_json(value)
        case Vector(of):
            return tuple([_from_json(of, item) for item in value])
        case Select():
            raise AssertionError("a select stands in a structure")
    assert_never(spec)
