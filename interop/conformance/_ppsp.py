"""Our `ppsp` package as an implementation that answers conformance requests."""

import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

import attrs

from interop.conformance import _ppsp_live, _ppsp_membership, _ppsp_tracker
from interop.conformance._json import chunks_of, number, number_json, octets
from ppsp._addressing import bin_of_range, range_of_bin
from ppsp._bins import peaks, range_of
from ppsp.codec import Codec, channel_of, decode_handshake
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.errors import DecodeError, MetadataError, PpspError
from ppsp.merkle import MerkleTree, hash_chunks
from ppsp.messages import Handshake, Message
from ppsp.options import ProtocolOptions
from ppsp.variable import publish_chunks

_Json = dict[str, Any]

# The RFC spells these with small letters; an IntEnum's members are all capitals.
_SMALL = {"PEX_RESV4": "PEX_RESv4", "PEX_RESV6": "PEX_RESv6", "PEX_RESCERT": "PEX_REScert"}
_CLASSES = {_SMALL.get(cls.message_type.name, cls.message_type.name): cls for cls in get_args(Message)}
_NAMES = {cls: name for name, cls in _CLASSES.items()}


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol."""
    params = request["params"]
    match request["op"]:
        case "decode" if params["of"] in _DECODERS:
            return _DECODERS[params["of"]](bytes.fromhex(request["wire"]), params)
        case "encode" if params["of"] in _ENCODERS:
            return _ENCODERS[params["of"]](request["value"], params)
        case "call" if params["function"] in _FUNCTIONS:
            args = {**params, **request["args"]}
            return _refusable("value", lambda: _FUNCTIONS[params["function"]](args))
        case "call" if params["function"] in _ppsp_live.CALLS:
            args = {**params, **request["args"]}
            return _refusable("value", lambda: _ppsp_live.CALLS[params["function"]](args))
        case "call" if params["function"] in _ppsp_membership.CALLS:
            args = {**params, **request["args"]}
            return _refusable("value", lambda: _ppsp_membership.CALLS[params["function"]](args))
        case "call" if params["function"] in _ppsp_tracker.CALLS:
            return _ppsp_tracker.CALLS[params["function"]](request["args"])
        case "trace" if params["machine"] == "tracker":
            return _ppsp_tracker.trace(request["steps"], params)
    return {"unsupported": True}


def _refusable(member: str, work: Callable[[], Any]) -> _Json:
    try:
        return {member: work()}
    except (PpspError, ValueError) as exc:
        return {"rejected": str(exc)}


def _codec(params: _Json) -> Codec:
    return Codec(
        ChunkAddressing(params.get("chunk_addressing", ChunkAddressing.CHUNK32)),
        params.get("hash_size", 32),
        params.get("signature_size", 0),
        params.get("chunk_size", 1024),
    )


def _decode_datagram(wire: bytes, params: _Json) -> _Json:
    try:
        channel = channel_of(wire)
    except DecodeError as exc:
        return {"rejected": str(exc)}
    messages, error = _codec(params).decode(wire)
    result: _Json = {"value": {"channel": channel, "messages": [message_json(message) for message in messages]}}
    return result if error is None else {"rejected": str(error), **result}


def _encode_datagram(value: _Json, params: _Json) -> _Json:
    messages = [message_of(message) for message in value["messages"]]
    return _refusable("wire", lambda: _codec(params).encode(value["channel"], messages).hex())


def _decode_handshake(wire: bytes, params: _Json) -> _Json:
    def decode() -> _Json:
        handshake, end = decode_handshake(wire)
        fields = message_json(handshake)
        del fields["type"]
        rest = {"rest": wire[end:].hex()} if end < len(wire) else {}
        return {"channel": channel_of(wire), **fields, **rest}

    return _refusable("value", decode)


def _encode_handshake(value: _Json, params: _Json) -> _Json:
    handshake = Handshake(value["source_channel"], options_of(value["options"]))
    rest = bytes.fromhex(value.get("rest", ""))
    return _refusable("wire", lambda: (_codec(params).encode(value["channel"], [handshake]) + rest).hex())


def _decode_options(wire: bytes, params: _Json) -> _Json:
    def decode() -> _Json:
        options, end = ProtocolOptions.decode(wire, 0)
        if end < len(wire):
            raise DecodeError(f"{len(wire) - end} octets behind the end option")
        return options_json(options)

    return _refusable("value", decode)


def _encode_options(value: _Json, params: _Json) -> _Json:
    return _refusable("wire", lambda: options_of(value).encode().hex())


def message_json(message: Message) -> _Json:
    """A message as a vector has it."""
    cls: Any = type(message)  # an attrs class, but its decorator does not say so to the type checker
    fields = {field.name: getattr(message, field.name) for field in attrs.fields(cls)}
    return {"type": _NAMES[cls], **{name: _field_json(name, value) for name, value in fields.items()}}


def _field_json(name: str, value: Any) -> Any:
    if isinstance(value, ProtocolOptions):
        return options_json(value)
    if name == "address":
        return str(ipaddress.ip_address(value))
    return number_json(value) if isinstance(value, int) else bytes(value).hex()


def message_of(value: _Json) -> Message:
    """The message that a vector has as `value`."""
    cls: Callable[..., Message] = _CLASSES[value["type"]]
    return cls(**{name: _field_of(name, field) for name, field in value.items() if name != "type"})


def _field_of(name: str, value: Any) -> Any:
    match name:
        case "options":
            return options_of(value)
        case "address":
            return ipaddress.ip_address(value).packed
        case "payload" | "hash" | "signature" | "certificate":
            return octets(value)
    return number(value)


def options_json(options: ProtocolOptions) -> _Json:
    """Protocol options as a vector has them: those that are there."""
    values = attrs.asdict(options, recurse=False, filter=lambda _, value: value is not None)
    return {name: _option_json(value) for name, value in values.items()}


def _option_json(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.hex() if isinstance(value, bytes) else number_json(value)


def options_of(value: _Json) -> ProtocolOptions:
    """The protocol options that a vector has as `value`."""
    return ProtocolOptions(**{name: _option_of(name, option) for name, option in value.items()})


def _option_of(name: str, value: Any) -> Any:
    match name:
        case "swarm_id":
            return bytes.fromhex(value)
        case "supported_messages":
            return frozenset(value)
    return number(value)


def _hash_function(args: _Json) -> MerkleHashFunction:
    return MerkleHashFunction(args.get("merkle_hash_function", MerkleHashFunction.SHA256))


def _content_tree(args: _Json) -> MerkleTree:
    function = _hash_function(args)
    if "sizes" in args:
        return publish_chunks(chunks_of(args), merkle_hash_function=function).tree
    return MerkleTree.from_leaves(
        hash_chunks(octets(args["content"]), args.get("chunk_size", 1024), function), function
    )


def _root_tree(args: _Json) -> MerkleTree:
    tree = MerkleTree(bytes.fromhex(args["root"]), _hash_function(args))
    if "chunk_count" in args:
        tree.set_chunk_count(number(args["chunk_count"]))
    if "peaks" in args and not tree.set_peaks(_nodes_of(args["peaks"])):
        raise MetadataError("these are no peaks of this root")
    return tree


def _nodes_of(value: list[Any]) -> list[tuple[int, int, bytes]]:
    return [(number(start), number(end), bytes.fromhex(digest)) for start, end, digest in value]


def _nodes_json(nodes: list[tuple[int, int, bytes]]) -> list[Any]:
    return [[start, end, digest.hex()] for start, end, digest in nodes]


def _merkle_node(args: _Json) -> str | None:
    node = _content_tree(args).node(args["start"], args["end"])
    return None if node is None else node.hex()


def _uncles(args: _Json) -> list[Any]:
    tree = _content_tree(args)
    return _nodes_json(tree.uncles(args["chunk"], left=args["left"], right=number(args["right"])))


def _verify(args: _Json) -> str:
    hashes = {(start, end): digest for start, end, digest in _nodes_of(args["hashes"])}
    return _root_tree(args).verify(args["chunk"], octets(args["data"]), hashes).name


_FUNCTIONS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "merkle-root": lambda args: _content_tree(args).root.hex(),
        "merkle-node": _merkle_node,
        "peak-hashes": lambda args: _nodes_json(_content_tree(args).peaks()),
        "peaks": lambda args: [list(range_of(*node)) for node in peaks(number(args["chunk_count"]))],
        "check-peaks": lambda args: _root_tree(args).chunk_count,
        "uncles": _uncles,
        "verify": _verify,
        "bin-of-range": lambda args: number_json(bin_of_range(number(args["start"]), number(args["end"]))),
        "range-of-bin": lambda args: [number_json(each) for each in range_of_bin(number(args["bin"]))],
    }
)
_DECODERS: Mapping[str, Callable[[bytes, _Json], _Json]] = MappingProxyType(
    {"datagram": _decode_datagram, "handshake": _decode_handshake, "options": _decode_options}
)
_ENCODERS: Mapping[str, Callable[[_Json, _Json], _Json]] = MappingProxyType(
    {"datagram": _encode_datagram, "handshake": _encode_handshake, "options": _encode_options}
)
