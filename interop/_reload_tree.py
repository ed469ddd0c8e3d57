"""A RELOAD message as a tree, for people and for programs: what is in its octets is opened as far as it is known.

Opened are the bodies, stored values of IANA's Kinds, specifiers, metadata, extensions, options, and the information of
errors and diagnostics. What is known and does not decode says so, and its octets stay.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from interop import _reload_words as words
from interop._reload_values import destination_to_json, structure_to_json
from reload import extensions, methods
from reload._presentation import decode
from reload._specs import KEY, Boolean, Custom, Fixed, Nested, NodeId, Number, Opaque, Select, Spec, Vector
from reload.addresses import IpAddressPort
from reload.contents import (
    ErrorCode,
    ErrorResponse,
    ExtensionType,
    MessageCode,
    MessageContents,
    MessageExtension,
    UnknownKinds,
    is_request,
)
from reload.diagnostic_information import decode_information
from reload.errors import DecodeError
from reload.header import ForwardingHeader, ForwardingOption, OptionType
from reload.kinds import CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER, REDIR, REGISTERED, SIP_REGISTRATION, TURN_SERVICE
from reload.message import Message, decode_body
from reload.storage_messages import (
    SPECIFIERS,
    STORED_DATA,
    STORED_META_DATA,
    DataValue,
    FetchKindResponse,
    StoreAns,
    StoredDataSpecifier,
    StoreKindData,
)

_MODELS = {kind.id: kind.data_model for kind in REGISTERED.values()}
_VALUES: dict[int, type[Any] | None] = {
    TURN_SERVICE.id: extensions.TurnServer,
    SIP_REGISTRATION.id: extensions.SipRegistration,
    REDIR.id: extensions.RedirServiceProvider,
    CERTIFICATE_BY_NODE.id: None,
    CERTIFICATE_BY_USER.id: None,
}
"""What the values of a Kind are; certificates stay octets."""


@attrs.frozen
class Leaf:
    """A value, as a person and as a program reads it."""

    name: str
    text: str
    json: Any


@attrs.frozen
class Branch:
    """Members of a structure, or items of a list."""

    name: str
    children: "tuple[Tree, ...]"
    is_list: bool = False

    @property
    def json(self) -> Any:
        """As JSON."""
        if self.is_list:
            return [child.json for child in self.children]
        return {child.name: child.json for child in self.children}


Tree: TypeAlias = Leaf | Branch


def lines(tree: Tree, depth: int = 0) -> Iterator[str]:
    """The tree as text, a line a member."""
    indent = "  " * depth
    if isinstance(tree, Leaf):
        yield f"{indent}{tree.name}: {tree.text}"
        return
    yield f"{indent}{tree.name}" if tree.children else f"{indent}{tree.name}: {'[]' if tree.is_list else '{}'}"
    for child in tree.children:
        yield from lines(child, depth + 1)


_LISTS = ("via_list", "destination_list")
_HEADER = ("overlay", "configuration_sequence", "version", "ttl", "fragment", "length", "transaction_id")


def header_tree(header: ForwardingHeader, node_id_length: int) -> Branch:
    """A forwarding header."""
    made: list[Tree] = []
    for name in (*_HEADER, "max_response_length"):
        value = getattr(header, name)
        json = f"{value:016x}" if name == "transaction_id" else value
        made.append(Leaf(name, words.number("ForwardingHeader", name, value), json))
    made += [_list(name, [_destination(each) for each in getattr(header, name)]) for name in _LISTS]
    opener = _Opener(node_id_length)
    made.append(_list("options", [opener.structure("option", option) for option in header.options]))
    return Branch("forwarding_header", tuple(made))


def fragment_tree(header: ForwardingHeader, payload: bytes, node_id_length: int) -> Branch:
    """A fragment of a message."""
    payload_leaf = Leaf("payload", words.octets("payload", payload), payload.hex())
    return Branch("fragment", (header_tree(header, node_id_length), payload_leaf))


def message_tree(message: Message, node_id_length: int) -> Branch:
    """A whole message."""
    opener = _Opener(node_id_length, message.contents.message_code)
    return Branch(
        "message",
        (
            header_tree(message.header, node_id_length),
            opener.structure("message_contents", message.contents),
            opener.structure("security_block", message.security_block),
        ),
    )


def _list(name: str, items: list[Tree]) -> Branch:
    return Branch(name, tuple(items), is_list=True)


def _destination(value: Any) -> Leaf:
    return Leaf("destination", words.destination(value), destination_to_json(value))


_WITHOUT_OCTETS = frozenset({"model_specifier", "message_body"})
"""What may be a structure even where there are no octets."""


class _Opener:
    """Walks through structures; what octets mean depends on the message, and on the Kind around them."""

    def __init__(self, node_id_length: int, message_code: int = 0) -> None:
        self._n = node_id_length
        self._code = message_code
        self._kind: int | None = None

    def structure(self, name: str, value: Any) -> Tree:
        """A structure with all that is in it."""
        if isinstance(value, IpAddressPort):
            return Leaf(name, words.address(value), structure_to_json(value))
        before = self._kind
        if isinstance(value, StoreKindData | FetchKindResponse | StoredDataSpecifier):
            self._kind = value.kind
        children: list[Tree] = []
        for field in attrs.fields(type(value)):
            spec, member = field.metadata[KEY], getattr(value, field.name)
            if isinstance(spec, Select):
                spec = spec.cases.get(getattr(value, spec.on), Opaque(2))
            if spec is not None:
                children.append(
                    self._opened(value, field.name, member) or self._member(value, field.name, spec, member)
                )
        self._kind = before
        return Branch(name, tuple(children))

    def _member(self, owner: Any, name: str, spec: Spec, value: Any) -> Tree:
        match spec:
            case Number(size):
                text = words.number(type(owner).__name__, name, value)
                return Leaf(name, text, f"{value:016x}" if size == 8 else value)
            case Boolean():
                return Leaf(name, "true" if value else "false", value)
            case Fixed() | NodeId() | Opaque():
                return Leaf(name, words.octets(name, value), value.hex())
            case Nested():
                return self.structure(name, value)
            case Custom():
                return attrs.evolve(_destination(value), name=name)
            case Vector(of):
                return _list(name, [self._item(owner, name, of, item) for item in value])
        raise AssertionError(spec)

    def _item(self, owner: Any, name: str, spec: Spec, value: Any) -> Tree:
        """An item is called by its structure, others by their list."""
        if (opened := self._opened(owner, name, value)) is not None:
            return attrs.evolve(opened, name="StoredMetaData" if self._code == MessageCode.STAT_ANS else "StoredData")
        if isinstance(spec, Custom):
            return _destination(value)
        tree = self._member(owner, name, spec, value)
        return attrs.evolve(tree, name=type(value).__name__) if isinstance(spec, Nested) else tree

    def _opened(self, owner: Any, name: str, value: Any) -> Tree | None:
        """What is in these octets, if it is known."""
        if not isinstance(value, bytes):
            return None
        opener = self._opener(owner, name)
        if opener is None or (not value and name not in _WITHOUT_OCTETS):
            return None
        try:
            return self._tree(name, opener(value))
        except DecodeError as error:
            return Leaf(name, f"{words.octets('', value)} (malformed: {error})", {"octets": value.hex()})

    def _tree(self, name: str, found: Any) -> Tree | None:
        if isinstance(found, bytes):
            return None
        if isinstance(found, int | str):
            return Leaf(name, str(found), f"{found:016x}" if isinstance(found, int) else found)
        if isinstance(found, tuple):
            return _list(name, [self.structure(type(each).__name__, each) for each in found])
        return self.structure(name, found)

    def _opener(self, owner: Any, name: str) -> Callable[[bytes], Any] | None:
        match owner, name:
            case MessageContents(), "message_body":
                return lambda value: decode_body(owner, node_id_length=self._n)
            case MessageExtension(type=kind), "extension_contents":
                return self._structure(self._extension(kind))
            case ForwardingOption(type=OptionType.EXTENSIVE_ROUTING_MODE), "value":
                return self._structure(extensions.ExtensiveRoutingModeOption)
            case methods.LeaveReq(), "overlay_specific_data":
                return self._structure(methods.ChordLeaveData)
            case ErrorResponse(error_code=ErrorCode.GENERATION_COUNTER_TOO_LOW), "error_info":
                return self._structure(StoreAns)
            case ErrorResponse(error_code=ErrorCode.UNKNOWN_KIND), "error_info":
                return self._structure(UnknownKinds)
            case extensions.DiagnosticInfo(kind=kind), _:
                return lambda value: decode_information(kind, value)
            case StoredDataSpecifier(), "model_specifier":
                return self._of_kind(SPECIFIERS)
            case StoreKindData() | FetchKindResponse(), "values":
                return self._of_kind(STORED_META_DATA if self._code == MessageCode.STAT_ANS else STORED_DATA)
            case DataValue(exists=True), "value" if self._kind is not None:
                return self._structure(_VALUES.get(self._kind))
        return None

    def _extension(self, kind: int) -> type[Any] | None:
        if kind == ExtensionType.SELF_TUNING_DATA:
            return extensions.SelfTuningData
        if kind == ExtensionType.DIAGNOSTIC_PING:
            return extensions.DiagnosticsRequest if is_request(self._code) else extensions.DiagnosticsResponse
        return None

    def _of_kind(self, structures: Any) -> Callable[[bytes], Any] | None:
        model = _MODELS.get(self._kind) if self._kind is not None else None
        return None if model is None else self._structure(structures[model])

    def _structure(self, of: type[Any] | None) -> Callable[[bytes], Any] | None:
        return None if of is None else lambda value: decode(of, value, node_id_length=self._n)
